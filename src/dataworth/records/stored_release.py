"""A private release of rows too many for memory: noisy counts for anybody, values in files for the operator."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError
from dataworth.records.dealt import deal, heaps_of, keys_of, read_dealt
from dataworth.records.files import whole_file
from dataworth.records.privacy import Guarantee
from dataworth.records.release import Answer, NotCovered, Release, answer_of, rows_of_owner, whole_folder, write_answers
from dataworth.records.sealed import digest_of
from dataworth.records.stored import part_name, read_part

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ROWS", "WORK", "StoredRelease", "clear_work", "note_rows"]

ROWS = "rows"
"""The folder of everybody's values in that of a release: for the operator only."""

WORK = "_work"
"""The folder of what led to them, exact counts and links among it: removed when they are all there."""

_ABOUT = "_rows.json"
_FORMAT = "dataworth.release-rows/1"
_COLUMNS = {
    "id": "ids", "owner": "owners", "value": "values", "band": "band", "vote": "vote", "proxy": "proxy",
    "reason": "reason",
}  # fmt: skip
_MOST_HEAPS = 1024


@dataclass(frozen=True, eq=False, repr=False)
class StoredRelease(NotCovered):
    """A release whose values are files; made by :func:`dataworth.valuation.release_parts.release_source`.

    What its attributes show is a function of public inputs and noisy counts, as those of a :class:`Release`. Values
    are to be had through :meth:`for_owner` and :meth:`deliver` only.

    Args:
        folder: Where it is: ``manifest.json`` and ``counts.csv`` may be shown to anybody, all else and how many files
            there are is for the operator only.
        head: All that anybody may see of it.

    Example:
        >>> import tempfile
        >>> import dataworth as dw, pyarrow as pa, pyarrow.parquet as pq
        >>> from dataworth.data.sources import Source
        >>> from dataworth.valuation.release_parts import release_source
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     rows = pa.table({"a": [1.0, 0.9], "b": [0.0, 0.1], "y": [0, 1], "who": ["ann", "bob"]})
        ...     pq.write_table(rows, f"{folder}/rows.parquet")
        ...     release = release_source(  # an exercise: no ledger, seeded noise
        ...         Source.open(f"{folder}/rows.parquet", label="y", owner="who"),
        ...         dw.Points([[1.0, 0.1], [0.1, 1.0]], [0, 1]),
        ...         method=dw.ThresholdKNNShapley(radius=0.5), spend=dw.Budget(1.0, 1e-5), ledger=None,
        ...         out=f"{folder}/release", insecure_seed=1,
        ...     )
        ...     release.stamp, len(release.for_owner("bob")), len(release.for_owner("nobody"))
        ('NOT PRIVATE', 1, 0)
    """

    folder: str
    head: Release

    def __repr__(self) -> str:
        return f"Stored{self.head!r}"

    @property
    def guarantee(self) -> Guarantee | None:
        """What is promised under the relation that the ledger keeps account of; None if there was no noise."""
        return self.head.guarantee

    @property
    def stamp(self) -> str:
        """NOT PRIVATE if the noise was seeded or left out, and nothing otherwise."""
        return self.head.stamp

    @property
    def words(self) -> tuple[str, ...]:
        """The guarantees as sentences, and how they were kept."""
        return self.head.words

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> StoredRelease:
        """Open a folder that ``release_source`` finished; no row is read.

        What a run left of its work that was killed just before its end is removed.

        Raises:
            DataError: It is no such folder, unfinished or damaged.
        """
        where = Path(folder)
        stored = cls(os.fspath(folder), Release.from_folder(where))
        about = stored._about()
        missing = sum(not (where / ROWS / part_name(number)).exists() for number in range(about["parts"]))
        if missing:
            raise DataError(
                f"{str(where / ROWS)!r} lacks some of its files; the same call with the same request key makes them "
                "again in a new folder"
            )
        with suppress(PermissionError):  # who may only read it leaves it to its owner
            clear_work(where)
        return stored

    # -- what may be asked -------------------------------------------------------------------------

    def for_owner(self, owner: str | int) -> Answer:
        """The values of one owner's rows, to be handed to that owner and to nobody else.

        All files are read, one after the other, whoever is asked for: a name that is not in the data gets the same
        answer, after the same work, as one that never was.

        Args:
            owner: The owner's name, as in the data (a whole number stands for its digits); without owners, the row's
                id or, without ids, its place among all rows of all files.

        Raises:
            DataError: A file is missing or damaged.
        """
        found = []
        for table in self._tables():
            rows = _arrays(table)
            mine = rows_of_owner(rows["owners"], owner)
            found.append({name: column[mine] for name, column in rows.items()})
        together = {name: np.concatenate([some[name] for some in found]) for name in _COLUMNS.values()}
        return answer_of(together, self.words)

    def deliver(self, folder: str | os.PathLike[str]) -> Path:
        """Write one file for each owner under a random name, ``deliver.csv``, the manifest, and the noisy counts.

        The files are those of :meth:`Release.save`. Rows are brought together by owner on disk: it takes the memory
        of a few parts, or of the owner with the most rows, a few hundred bytes a row and the text of its id.

        Args:
            folder: A folder that does not exist yet.

        Returns:
            The folder.

        Raises:
            InputError: It exists already, or its parent does not.
            DataError: A file of values is missing or damaged.
        """
        target = Path(folder)
        with whole_folder(target) as temporary:
            dealt = temporary / "_dealt"
            dealt.mkdir(mode=0o700)
            write_answers(temporary, self._answers(dealt))
            shutil.rmtree(dealt)
            self.head.write_public(temporary)
        return target

    # -- inside ------------------------------------------------------------------------------------

    def _about(self) -> dict[str, Any]:
        path = Path(self.folder) / ROWS / _ABOUT
        try:
            about: dict[str, Any] = json.loads(path.read_text("utf-8"))
            if about.pop("digest") != digest_of(about, {}) or about["format"] != _FORMAT:
                raise ValueError
        except (FileNotFoundError, NotADirectoryError):
            raise DataError(f"{self.folder!r} holds no finished values of a release: there is no {path.name}") from None
        except (KeyError, TypeError, ValueError, AttributeError) as trouble:
            raise DataError(f"{str(path)!r} is damaged, or of another format ({type(trouble).__name__})") from None
        if about["counts"] != self.head.manifest()["noisy_counts_sha256"]:
            raise DataError(f"the values in {self.folder!r} are not those of its noisy counts")
        return about

    def _tables(self) -> Iterator[pa.Table]:
        """The rows of each file."""
        told = self._about()
        for number in range(told["parts"]):
            path = Path(self.folder) / ROWS / part_name(number)
            about, table = read_part(path)
            if about != {"part": number, "key": told["key"]} or table.column_names != list(_COLUMNS):
                raise DataError(f"{str(path)!r} is a file of another release")
            yield table

    def _answers(self, dealt: Path) -> Iterator[tuple[str | int, Answer]]:
        """Every owner and what they are told, by way of heaps on disk."""
        heaps = max(1, min(self._about()["parts"], _MOST_HEAPS))
        files = []
        for number, table in enumerate(self._tables()):
            files.append(dealt / str(number))
            deal(files[-1], table.replace_schema_metadata(), heaps_of(keys_of(_owners(table)), heaps), heaps)
        for heap in range(heaps):
            yield from self._answers_of(files, heap)

    def _answers_of(self, files: list[Path], heap: int) -> Iterator[tuple[str | int, Answer]]:
        import pyarrow as pa

        tables = [read_dealt(file, heap) for file in files]
        rows = _arrays(pa.concat_tables(tables))
        names, owners = np.unique(rows["owners"], return_inverse=True)
        order = np.argsort(owners, kind="stable")
        ends = np.cumsum(np.bincount(owners, minlength=names.size))
        for name, mine in zip(names.tolist(), np.split(order, ends[:-1]) if names.size else [], strict=True):
            yield name, answer_of({column: cells[mine] for column, cells in rows.items()}, self.words)


def note_rows(folder: Path, head: Release, parts: int, key: str) -> None:
    """Write what the files of values are of, beside them.

    Args:
        folder: That of the release.
        head: What anybody may see of it.
        parts: How many files there are.
        key: What every one of them says of itself.
    """
    about = {
        "format": _FORMAT,
        "parts": parts,
        "key": key,
        "counts": head.manifest()["noisy_counts_sha256"],
    }
    with whole_file(folder / ROWS / _ABOUT, secret=True) as temporary:
        temporary.write_text(json.dumps({**about, "digest": digest_of(about, {})}, indent=1), "utf-8")


def clear_work(folder: Path) -> None:
    """Remove the work, all at once or not at all as others see it, and what runs left that were killed.

    Args:
        folder: That of the release.
    """
    with suppress(FileNotFoundError):
        os.replace(folder / WORK, folder / f".work.{uuid4().hex}.part")
    for left in [*folder.glob(".*.part"), *(folder / ROWS).glob(".*.part")]:
        if not left.is_dir():
            left.unlink(missing_ok=True)
        while left.exists():
            with suppress(FileNotFoundError):  # another run removes the same
                shutil.rmtree(left)


def _arrays(table: pa.Table) -> Mapping[str, NDArray[Any]]:
    return {_COLUMNS[name]: table[name].to_numpy() for name in table.column_names}


def _owners(table: pa.Table) -> NDArray[Any]:
    found: NDArray[Any] = table["owner"].to_numpy()
    return found
