"""Values too many for memory: a folder of Parquet files, with what describes them."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError
from dataworth.records.arrays import exact
from dataworth.records.attributions import Attributions
from dataworth.records.evidence import Table
from dataworth.records.files import whole_file
from dataworth.records.sealed import digest_of
from dataworth.records.values import Values, owner_table

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ATTRIBUTIONS", "MANIFEST", "StoredValues", "encode_part", "encode_rows", "part_name", "read_part"]

MANIFEST = "_values.json"
"""What describes the files; a name that begins with ``_`` is no data to readers of Parquet folders."""

ATTRIBUTIONS = "_attributions.parquet"
"""The matches that values were added up from, of jobs that match."""

_FORMAT = "dataworth.stored-values/1"
_TOLD = b"dataworth"


def part_name(number: int) -> str:
    """The file of a part.

    Example:
        >>> part_name(7)
        'part-00007.parquet'
    """
    return f"part-{number:05d}.parquet"


def encode_part(
    about: Mapping[str, Any], ids: NDArray[Any], owners: NDArray[Any] | None, values: NDArray[np.float64]
) -> bytes:
    """The values of some rows as a Parquet file; the same bytes from the same rows.

    Args:
        about: What the file says of itself, in JSON.
        ids: The rows' names.
        owners: Whose they are, if known.
        values: Their values.
    """
    return encode_rows(about, {"id": ids} | ({} if owners is None else {"owner": owners}) | {"value": values})


def encode_rows(about: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]) -> bytes:
    """Columns as a Parquet file that :func:`read_part` reads; the same bytes from the same entries.

    Args:
        about: What the file says of itself, in JSON.
        columns: Texts or numbers, by name.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: pa.array(column) for name, column in columns.items()})
    told = json.dumps({**about, "digest": _content(table)})
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({_TOLD: told}), sink)
    return bytes(sink.getvalue())


def read_part(path: Path) -> tuple[dict[str, Any], pa.Table]:
    """What :func:`encode_part` made: what it says of itself, and the rows.

    Raises:
        DataError: It is not there, or not what was written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        raise DataError(f"there is no file {str(path)!r}")
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(use_threads=False)
        about: dict[str, Any] = json.loads(table.schema.metadata[_TOLD])
        whole = about.pop("digest") == _content(table)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, AttributeError, MemoryError) as trouble:
        raise DataError(f"{str(path)!r} is damaged, or no file of values ({type(trouble).__name__})") from None
    if not whole:
        raise DataError(f"{str(path)!r} is damaged: it does not fit its digest; value the rows again")
    return about, table


@dataclass(frozen=True)
class StoredValues:
    """Values in a folder of Parquet files: columns ``id``, ``owner`` (if known) and ``value``, in the rows' order.

    Args:
        folder: Where they are.
        rows: How many rows were valued.
        parts: How many files there are.
        method: The method with its parameters, as text.
        n_validation: How many validation points judged.
        total: The sum of all values; for exact Shapley values what all rows gain over none. Files are summed exactly,
            and then their sums; so its last digit, unlike any value's, may hang on how rows were cut into files.
        lowest: The lowest value.
        highest: The highest.
        below_zero: How many values lie below zero.
        provenance: What made them: versions, sizes, settings, time.

    Example:
        >>> StoredValues("values", 2, 1, "by hand", 4, 0.2, -0.05, 0.25, 1, {})
        StoredValues(2 rows in 1 file by by hand, min -0.05, mean 0.1, max 0.25)
    """

    folder: str
    rows: int
    parts: int
    method: str
    n_validation: int
    total: float
    lowest: float
    highest: float
    below_zero: int
    provenance: Mapping[str, str | int | float]

    def __repr__(self) -> str:
        files = f"{self.parts} file{'s' if self.parts != 1 else ''}"
        return (
            f"StoredValues({self.rows} rows in {files} by {self.method}, min {self.lowest:.3g}, "
            f"mean {self.total / self.rows:.3g}, max {self.highest:.3g})"
        )

    @property
    def files(self) -> list[Path]:
        """The files of values, in the order of the rows."""
        return [Path(self.folder) / part_name(number) for number in range(self.parts)]

    def load(self) -> Values:
        """All of them in memory, 16 bytes a row and more for names.

        Raises:
            DataError: A file is missing or damaged.
        """
        table = self._read()
        owners = table["owner"].to_numpy() if "owner" in table.column_names else None
        return Values(
            table["id"].to_numpy(), table["value"].to_numpy(), self.method, self.n_validation,
            owners=owners, provenance=self.provenance,
        )  # fmt: skip

    def lowest_rows(self, n: int = 10) -> Table:
        """The ``n`` rows of lowest value, lowest first: ids, owners if known, values; one file is in memory at a time.

        Raises:
            DataError: A file is missing or damaged.
        """
        return self._some(n, 1).lowest(n)

    def highest_rows(self, n: int = 10) -> Table:
        """The ``n`` rows of highest value, highest first: ids, owners if known, values; one file at a time.

        Raises:
            DataError: A file is missing or damaged.
        """
        return self._some(n, -1).highest(n)

    def by_owner(self) -> Table:
        """Sums of values by owner, highest first, as :meth:`Values.by_owner`; one file is in memory at a time.

        Each file's values are added up, and then the files' sums, so last digits may hang on how rows were cut.

        Raises:
            InputError: The owners are not known.
            DataError: A file is missing or damaged.
        """
        sums: dict[Any, list[float]] = {}
        rows: dict[Any, int] = {}
        for table in self._tables():
            if "owner" not in table.column_names:
                raise InputError("owners are not known: name their column, Source.open(..., owner=...), before valuing")
            names, at = np.unique(table["owner"].to_numpy(), return_inverse=True)
            values = table["value"].to_numpy()
            places = np.split(np.argsort(at, kind="stable"), np.cumsum(np.bincount(at))[:-1]) if names.size else []
            for name, mine in zip(names.tolist(), places, strict=True):
                sums.setdefault(name, []).append(math.fsum(values[mine].tolist()))
                rows[name] = rows.get(name, 0) + mine.size
        order = sorted(sums)
        return owner_table(
            np.array(order),
            np.array([rows[name] for name in order]),
            np.array([math.fsum(sums[name]) for name in order]),
            self.total,
            additive=(Path(self.folder) / ATTRIBUTIONS).exists(),
        )

    def _some(self, n: int, sign: int) -> Values:
        """More than the ``n`` lowest values, or with sign -1 the highest, in the order of the rows."""
        ids, owners, values = [], [], []
        for table in self._tables():
            at = np.sort(np.argsort(sign * table["value"].to_numpy(), kind="stable")[: n + 1])
            some = table.take(at)
            ids.append(some["id"].to_numpy())
            values.append(some["value"].to_numpy())
            if "owner" in table.column_names:
                owners.append(some["owner"].to_numpy())
        return Values(
            np.concatenate(ids), np.concatenate(values), self.method, self.n_validation,
            owners=np.concatenate(owners) if owners else None,
        )  # fmt: skip

    def digest(self) -> str:
        """SHA-256 of ids and values in the order of the ids: the same however the rows were cut into parts.

        Ids that are integers count as eight bytes each, others as text with a line's end; values as float64. It
        takes the memory of all ids and values.

        Raises:
            DataError: A file is missing or damaged.
        """
        import pyarrow.compute as pc

        table = self._read()
        order = pc.sort_indices(table["id"])
        found = hashlib.sha256()
        for start in range(0, len(order), 1 << 20):
            some = table.take(order.slice(start, 1 << 20))
            found.update(_bytes_of(some["id"].to_numpy()))
            found.update(_bytes_of(some["value"].to_numpy()))
        return found.hexdigest()

    def attributions(self) -> Attributions:
        """Who earned what of each generated item, where values are those of training items.

        Returns:
            Matches, distances and shares; of training items those alone that some generated item is matched with.

        Raises:
            DataError: They are not there, or damaged.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = Path(self.folder) / ATTRIBUTIONS
        if not path.exists():
            raise DataError(f"{self.folder!r} holds no matches: there is no {ATTRIBUTIONS} in it")
        try:
            with pq.ParquetFile(path) as file:
                table = file.read(use_threads=False)
            k = int(table.schema.metadata[b"k"])
            ids, at = np.unique(table["id"].to_numpy(), return_inverse=True)
            owners = np.empty(0)
            if "owner" in table.column_names:
                owners = table["owner"].to_numpy()[np.unique(at, return_index=True)[1]]
            return Attributions(
                exact(ids.tolist(), "ids"),
                exact(table["generated"].to_numpy()[::k].tolist(), "generated"),
                at.reshape(-1, k),
                table["distance"].to_numpy().reshape(-1, k),
                table["share"].to_numpy().reshape(-1, k),
                exact(owners.tolist(), "owners") if owners.size else None,
            )
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, InputError) as trouble:
            raise DataError(f"{str(path)!r} is damaged ({type(trouble).__name__}); match the items again") from None

    def save(self) -> Path:
        """Write what describes the files, beside them; the last thing to be written."""
        path = Path(self.folder) / MANIFEST
        about = {name: value for name, value in vars(self).items() if name != "folder"}
        told = {"format": _FORMAT, **about, "provenance": dict(self.provenance)}
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps({**told, "digest": digest_of(told, {})}, indent=1), "utf-8")
        return path

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> StoredValues:
        """Open a folder of values; none of them is read.

        Raises:
            DataError: It is no such folder, its description is damaged, or a file is missing.
        """
        path = Path(folder) / MANIFEST
        name = repr(os.fspath(folder))
        try:
            about = json.loads(path.read_text("utf-8"))
            whole = about.pop("digest") == digest_of(about, {})
            found = about.pop("format")
            provenance = MappingProxyType(about.pop("provenance"))
            stored = cls(os.fspath(folder), **about, provenance=provenance)
        except (FileNotFoundError, NotADirectoryError):
            raise DataError(f"{name} holds no finished values: there is no {MANIFEST} in it") from None
        except (KeyError, TypeError, ValueError, AttributeError) as trouble:
            raise DataError(f"{str(path)!r} is damaged ({type(trouble).__name__}); value the rows again") from trouble
        if found != _FORMAT:
            raise DataError(f"{name} holds values of format {found!r}; this dataworth reads {_FORMAT!r}")
        if not whole:
            raise DataError(f"{str(path)!r} is damaged: it does not fit its digest; value the rows again")
        missing = [file.name for file in stored.files if not file.exists()]
        if missing:
            raise DataError(f"{name} lacks {len(missing)} of its {stored.parts} files, the first {missing[0]!r}")
        return stored

    def _tables(self) -> Iterator[pa.Table]:
        """The rows of each file."""
        for number, file in enumerate(self.files):
            about, table = read_part(file)
            if (about.get("part"), about.get("job")) != (number, self.provenance.get("job")):
                raise DataError(f"{str(file)!r} is a file of other values; value the rows again")
            yield table.replace_schema_metadata()

    def _read(self) -> pa.Table:
        """All files as one table."""
        import pyarrow as pa

        whole = pa.concat_tables(list(self._tables()))
        if whole.num_rows != self.rows:
            raise DataError(f"the files in {self.folder!r} have {whole.num_rows} rows, not {self.rows}")
        return whole


def _content(table: pa.Table) -> str:
    """A digest of names, types and entries."""
    digest = hashlib.blake2b(str(table.schema.remove_metadata()).encode(), digest_size=16)
    for column in table.columns:
        digest.update(_bytes_of(column.to_numpy()))
    return digest.hexdigest()


def _bytes_of(column: NDArray[Any]) -> bytes:
    match column.dtype.kind:
        case "i":
            return np.ascontiguousarray(column, dtype="<i8").tobytes()
        case "u":
            return np.ascontiguousarray(column, dtype="<u8").tobytes()
        case "f":
            return np.ascontiguousarray(column, dtype="<f8").tobytes()
        case _:
            return "".join(f"{name}\n" for name in column.tolist()).encode()
