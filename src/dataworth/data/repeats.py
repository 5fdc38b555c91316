"""Keys that come more than once among more of them than memory holds."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Repeats"]

_KEYS = 2**20  # kept in memory before they go to disk
_HEAPS = 256  # files on disk that they are dealt out to


class Repeats:
    """Finds keys that come more than once: beyond a million they are dealt out to files, each sorted alone.

    Args:
        folder: Where those files go for the time being; where temporary files go if not given.
        wide: Whether a key is two numbers, not one.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, *, wide: bool) -> None:
        self._folder = folder
        parts = [("key", "<u8"), ("more", "<u8"), ("file", "<u4")]
        self._record = np.dtype(parts if wide else [parts[0], parts[2]])
        self._held: list[NDArray[Any]] = []
        self._count = 0
        self._disk: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Repeats:
        return self

    def __exit__(self, *_: object) -> None:
        if self._disk is not None:
            self._disk.cleanup()

    def add(self, keys: NDArray[np.uint64], file: int) -> None:
        """Keep some keys, shape ``(n, 1)`` or ``(n, 2)``, of one file; from any thread."""
        records = np.empty(len(keys), dtype=self._record)
        records["key"] = keys[:, 0] * np.uint64(0x9E3779B97F4A7C15)  # odd, so no two keys become one; spreads them
        if keys.shape[1] > 1:
            records["more"] = keys[:, 1]
        records["file"] = file
        with self._lock:
            self._held.append(records)
            self._count += len(records)
            if self._count > _KEYS:
                self._deal()

    def _deal(self) -> None:
        """To disk, by the first bits."""
        if self._disk is None:
            self._disk = tempfile.TemporaryDirectory(prefix="dataworth-ids-", dir=self._folder)
        records = np.concatenate([np.empty(0, self._record), *self._held])
        self._held, self._count = [], 0
        heap = (records["key"] >> np.uint64(56)).astype(np.uint8)
        records = records[np.argsort(heap, kind="stable")]
        ends = np.cumsum(np.bincount(heap, minlength=_HEAPS)).tolist()
        for number, (start, stop) in enumerate(zip([0, *ends], ends, strict=False)):
            if stop > start:
                with open(Path(self._disk.name, str(number)), "ab") as file:
                    file.write(records[start:stop].view(np.uint8).data)  # tofile would not say why it could not

    def found(self) -> tuple[int, list[int]]:
        """How many keys repeat another, and the numbers of the files that have such keys, ascending."""
        if self._disk is None:
            heaps = iter([np.concatenate([np.empty(0, self._record), *self._held])])
        else:
            self._deal()
            heaps = (np.fromfile(heap, dtype=self._record) for heap in sorted(Path(self._disk.name).iterdir()))
        repeated, files = 0, set[int]()
        for heap in heaps:
            count, among = _repeats_among(heap)
            repeated += count
            files.update(among)
        return repeated, sorted(files)


def _repeats_among(heap: NDArray[Any]) -> tuple[int, list[int]]:
    order = np.argsort(heap["key"])
    keys = heap["key"][order]
    twins = np.flatnonzero(keys[1:] == keys[:-1])
    if not twins.size:
        return 0, []
    alike = heap[order[np.union1d(twins, twins + 1)]]
    if "more" in (alike.dtype.names or ()):
        alike = alike[np.lexsort((alike["more"], alike["key"]))]
        same = (alike["key"][1:] == alike["key"][:-1]) & (alike["more"][1:] == alike["more"][:-1])
    else:
        same = alike["key"][1:] == alike["key"][:-1]
    pairs = np.flatnonzero(same)
    return int(pairs.size), np.unique(alike["file"][np.union1d(pairs, pairs + 1)]).tolist() if pairs.size else []
