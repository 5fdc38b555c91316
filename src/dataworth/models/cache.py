"""A cache on disk of vectors by the content they were computed from."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError

__all__ = ["VectorCache", "default_folder"]

FILE = "vectors.sqlite"
FORMAT = 1


def default_folder() -> Path:
    """``$DATAWORTH_CACHE`` if set, else the user's cache folder as the platform has it (``$XDG_CACHE_HOME``)."""
    import platformdirs

    chosen = os.environ.get("DATAWORTH_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("dataworth", appauthor=False)


class VectorCache:
    """Float32 vectors by key, in one SQLite file that several processes may share.

    Each vector is stored with a digest of itself and its key: an entry that does not fit its digest is
    treated as absent, so a damaged entry is computed again. A write appears whole or not at all.

    Args:
        folder: Where the file lies; made (for this user only) if it is not there.

    Raises:
        DataError: The folder cannot be used, or the file in it is no such cache.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        with self._naming_trouble():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._database = sqlite3.connect(self._path, timeout=60)
            try:
                self._settle()
            except BaseException:
                self._database.close()
                raise

    def _settle(self) -> None:
        found = self._database.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, FORMAT):
            raise DataError(f"{str(self._path)!r} has cache format {found}; this dataworth writes {FORMAT}: {_ADVICE}")
        with self._database:
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL, digest BLOB NOT NULL)"
            )
            self._database.execute(f"PRAGMA user_version = {FORMAT}")

    def get(self, keys: Iterable[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """The sound entries among the given keys."""
        found: dict[bytes, NDArray[np.float32]] = {}
        with self._naming_trouble():
            for key in keys:
                row = self._database.execute(
                    "SELECT CAST(vector AS BLOB), digest FROM vectors WHERE key = ?", (key,)
                ).fetchone()
                if row is not None and _digest(key, row[0]) == row[1]:
                    found[key] = np.frombuffer(row[0], "<f4")
        return found

    def put(self, vectors: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Store vectors, all or none; an entry that is there already is replaced."""
        raw = [(key, np.ascontiguousarray(vector, "<f4").tobytes()) for key, vector in vectors.items()]
        with self._naming_trouble(), self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)",
                [(key, data, _digest(key, data)) for key, data in raw],
            )

    def __enter__(self) -> VectorCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    @contextmanager
    def _naming_trouble(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise DataError(f"the embedding cache {str(self._path)!r} cannot be used ({error}): {_ADVICE}") from None


_ADVICE = "delete that file, give another folder with cache= or $DATAWORTH_CACHE, or do without with cache=False"


def _digest(key: bytes, raw: bytes) -> bytes:
    return hashlib.blake2b(raw, digest_size=16, key=key).digest()
