"""Which rows of files an owner keeps, and their numbers among the owner's rows, where owners do not fit in memory.

Rows are dealt out to heaps by a digest of their owner's name, so that an owner's rows are all in one heap; then each
heap is looked at by itself. So it is each owner's rows alone that decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataworth.data.sources import Part, Source
from dataworth.engines.engine import Engine
from dataworth.errors import DataError, InputError
from dataworth.records import Owner, Unit
from dataworth.records.dealt import blob_size, deal, heaps_of, keys_of, read_blob, read_dealt, write_blobs
from dataworth.valuation.release_rows import check_names, numbers, rows_that_stay
from dataworth.valuation.task import bar

__all__ = ["RowsOfOwners", "heaps_for"]

_TOLD = np.dtype([("place", "<i8"), ("number", "<i8"), ("stays", "?")])
_ROW = 160  # bytes that a dealt row takes while its heap is looked at, besides the text of its id
_TEXT = 5  # times the bytes of a heap on disk that its texts take as Python's
_MOST_HEAPS = 4096
_FEW = 16


def heaps_for(source: Source, parts: int, memory: int) -> int:
    """How many heaps to deal to, so that one fits in a worker's memory twice over.

    Args:
        source: The files.
        parts: How many parts they are cut into.
        memory: What a worker may take, in bytes.
    """
    size = source.rows * (_ROW + (512 if source.id is not None else 0))
    return int(min(_MOST_HEAPS, max(min(parts, _FEW), -(-2 * size // max(memory, 1)))))


@dataclass(frozen=True, eq=False)
class RowsOfOwners:
    """What is found about the rows of each part by way of heaps on disk.

    Args:
        source: The files, with owners.
        unit: With how many rows an owner may bring, if there is a limit.
        parts: All parts.
        work: Where heaps are kept: a folder that is there already, for its owner's eyes only.
        heaps: How many.
        memory: What a worker may take, in bytes.
    """

    source: Source
    unit: Unit
    parts: Sequence[Part]
    work: Path
    heaps: int
    memory: int

    @property
    def folder(self) -> Path:
        """Where these heaps are: another number of them, as another memory asks for, is dealt anew."""
        return self.work / f"owners-{self.heaps}"

    def find(self, engine: Engine, progress: bool | None) -> None:
        """Deal all rows and look at all heaps, but for what was done before.

        Raises:
            InputError: The rows of one owner do not fit in the memory.
            DataError: Something that cannot be a name, or a file that is damaged.
        """
        self.folder.mkdir(mode=0o700, exist_ok=True)
        parts = [part for part in self.parts if not self._dealt(part.number).exists()]
        heaps = [heap for heap in range(self.heaps) if not self._found(heap).exists()]
        if not heaps:
            return
        with bar(len(parts) + len(heaps), "Grouping rows by owner", progress) as tick:
            for _ in engine.run(_deal, self, parts, tick=tick):
                pass
            for _ in engine.run(_look, self, heaps, tick=tick):
                pass

    def of(self, part: Part, rows: int) -> tuple[NDArray[np.int64], NDArray[np.bool_] | None]:
        """Each row's number among its owner's, and whether it stays; None if all do.

        Args:
            part: The part.
            rows: How many rows it has that pass.

        Raises:
            DataError: A file is damaged.
        """
        blobs = [np.frombuffer(read_blob(self._found(heap), part.number), dtype=_TOLD) for heap in range(self.heaps)]
        told = np.concatenate(blobs)
        if told.size != rows:
            raise DataError(f"{str(self.folder)!r} holds the owners of other rows; remove it and make the call again")
        told = told[np.argsort(told["place"])]
        stays = told["stays"] if isinstance(self.unit, Owner) else None
        return np.ascontiguousarray(told["number"]), stays

    def deal(self, part: Part) -> None:
        """Write the names of a part's rows to heaps."""
        piece = self.source.names_only().read(part)
        owners = np.empty(0) if piece.owners is None else piece.owners
        try:
            check_names(piece.ids, owners)
        except DataError as error:
            raise DataError(f"{part.file!r}: {error}") from None
        keys = keys_of(owners)
        columns = {"one": keys[:, 0], "two": keys[:, 1], "place": np.arange(len(keys))}
        if self.source.id is not None:
            columns["id"] = piece.ids
        table = pa.table({name: pa.array(column) for name, column in columns.items()})
        deal(self._dealt(part.number), table, heaps_of(keys, self.heaps), self.heaps)

    def look(self, heap: int) -> None:
        """Find what there is to find about the rows of a heap."""
        files = [self._dealt(part.number) for part in self.parts]
        self._check_memory(sum(blob_size(file, heap) for file in files))
        tables = [read_dealt(file, heap) for file in files]
        table = pa.concat_tables(tables)
        keys = np.stack([table["one"].to_numpy(), table["two"].to_numpy()], axis=1)
        _, owners = np.unique(keys, axis=0, return_inverse=True)
        owners = owners.reshape(-1)
        told = np.empty(len(table), dtype=_TOLD)
        told["place"] = table["place"].to_numpy()
        told["number"] = numbers(owners)
        ids = told["number"] if self.source.id is None else table["id"].to_numpy()
        stays = rows_that_stay(owners, ids, self.unit) if told.size else None
        told["stays"] = True if stays is None else stays
        ends = np.cumsum([some.num_rows for some in tables])
        write_blobs(self._found(heap), [some.tobytes() for some in np.split(told, ends[:-1])])

    def _check_memory(self, size: int) -> None:
        """Heaps are cut to fit, so one that does not is mostly the rows of one owner."""
        needed = size * _TEXT
        if needed > self.memory:
            raise InputError(
                f"a worker may take {self.memory / 2**20:,.0f} MiB, but the rows of one owner take about "
                f"{needed / 2**20:,.0f}; allow more memory, or use fewer workers"
            )

    def _dealt(self, part: int) -> Path:
        return self.folder / f"dealt-{part:05d}"

    def _found(self, heap: int) -> Path:
        return self.folder / f"found-{heap:05d}"


def _deal(rows: RowsOfOwners, part: Part) -> None:
    rows.deal(part)


def _look(rows: RowsOfOwners, heap: int) -> None:
    rows.look(heap)
