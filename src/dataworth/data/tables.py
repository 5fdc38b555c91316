"""Tables of any kind, opened as named arrow columns that are read only when asked for."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dataworth.errors import DataError
from dataworth.records.arrays import check_unmasked

__all__ = ["OpenTable", "as_arrow", "open_table", "quoted", "without_index"]

# What arrays by name (NPZ files, dictionaries) call the parts of a set, unless the caller says otherwise.
ARRAY_NAMES = {"label": "y", "features": "x", "id": "ids", "owner": "owners"}

_ARROW_FILE = b"ARROW1"
_INDEX = "__index_level_"  # how pandas names an index that it saves as a column


@dataclass(frozen=True)
class OpenTable:
    """A table whose columns are known and not yet read.

    Args:
        name: What to call it in a message.
        columns: The column names, in file order.
        read: Columns to read -> a pyarrow Table of exactly those, in that order. The second argument lists
            columns that hold names: where the format does not say (CSV), ``007`` stays text in them.
        folder: Where relative paths inside the table start.
        usual: Which of its columns play which part unless the caller says otherwise (arrays by name only).
    """

    name: str
    columns: tuple[str, ...]
    read: Callable[[Sequence[str], Collection[str]], pa.Table]
    folder: Path = field(default_factory=Path)
    usual: Mapping[str, str] = field(default_factory=dict)


def open_table(source: Any) -> OpenTable:
    """Open a file or a table object without reading its columns.

    Args:
        source: A path to Parquet, CSV, Arrow (file or stream), Feather or NPZ; or arrays by name (a dictionary
            or a structured array); or a table object: pyarrow, pandas, polars (lazy too), a Hugging Face
            dataset, or anything else that narwhals knows or that speaks the Arrow C stream.

    Raises:
        DataError: No such file, a suffix or object of no known kind, a file that is damaged or of another
            format, or column names that repeat.
    """
    table = _open_file(Path(source)) if isinstance(source, (str, os.PathLike)) else _open_object(source)
    repeated = [column for column, times in Counter(table.columns).items() if times > 1]
    if repeated:
        raise DataError(f"column names must be unique, but {table.name} repeats {quoted(repeated)}; rename them")
    return table


# -- files ---------------------------------------------------------------------------------------


def _open_file(path: Path) -> OpenTable:
    if not path.exists():
        raise DataError(f"there is no file {str(path)!r}")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = suffixes[-1] if suffixes else ""
    if kind == ".gz" and len(suffixes) > 1:
        kind = "".join(suffixes[-2:])
    if kind not in _OPENERS:
        raise DataError(f"{str(path)!r} has no known suffix; these are read: {', '.join(_OPENERS)}")
    return _OPENERS[kind](path)


@contextmanager
def _reading(path: Path, kind: str) -> Iterator[None]:
    """Whatever goes wrong while a file is read becomes one error that names the file and its kind."""
    try:
        yield
    except DataError:
        raise
    except (pa.ArrowException, OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        # The first line only: what follows may be a traceback, or a piece of the file.
        reason = "" if kind == "CSV" else f": {(str(error) or type(error).__name__).splitlines()[0]}"
        raise DataError(
            f"{str(path)!r} cannot be read as {kind}; it may be damaged or of another format{reason}"
        ) from None


def _open_parquet(path: Path) -> OpenTable:
    import pyarrow.parquet as pq

    with _reading(path, "Parquet"), pq.ParquetFile(path) as file:
        columns = without_index(file.schema_arrow.names)

    def read(wanted: Sequence[str], names: Collection[str]) -> pa.Table:
        with _reading(path, "Parquet"), pq.ParquetFile(path, pre_buffer=False) as file:  # no second copy in memory
            return file.read(columns=list(wanted)).select(list(wanted))

    return OpenTable(repr(str(path)), columns, read, path.parent)


def _open_arrow(path: Path) -> OpenTable:
    @contextmanager
    def batches() -> Iterator[Any]:
        with _reading(path, "Arrow"), pa.memory_map(str(path)) as file:
            is_file = file.read(len(_ARROW_FILE)) == _ARROW_FILE
            file.seek(0)
            with pa.ipc.open_file(file) if is_file else pa.ipc.open_stream(file) as reader:
                yield reader

    with batches() as reader:
        columns = without_index(reader.schema.names)

    def read(wanted: Sequence[str], names: Collection[str]) -> pa.Table:
        with batches() as reader:
            return reader.read_all().select(list(wanted))

    return OpenTable(repr(str(path)), columns, read, path.parent)


def _open_csv(path: Path) -> OpenTable:
    from pyarrow import csv

    wrong: list[int] = []

    def note(row: Any) -> str:
        wrong.append(row.actual_columns)
        return "skip"

    options = csv.ParseOptions(
        delimiter="\t" if ".tsv" in path.suffixes else ",", newlines_in_values=True, invalid_row_handler=note
    )
    with _reading(path, "CSV"), csv.open_csv(path, parse_options=options) as reader:
        columns = tuple(reader.schema.names)

    def read(wanted: Sequence[str], names: Collection[str]) -> pa.Table:
        wrong.clear()
        convert = csv.ConvertOptions(include_columns=list(wanted), column_types=dict.fromkeys(names, pa.string()))
        with _reading(path, "CSV"):
            table = csv.read_csv(path, parse_options=options, convert_options=convert)
        if wrong:
            raise DataError(
                f"{len(wrong)} lines of {str(path)!r} do not have the {len(columns)} fields of its header "
                f"(the first has {wrong[0]})"
            )
        for at, column in enumerate(table.column_names):
            if pa.types.is_string(table.schema.field(at).type):
                values = pc.if_else(pc.equal(table[column], ""), None, table[column])  # an empty field is missing
                table = table.set_column(at, column, _plain_integers(values) if column in names else values)
        return table

    return OpenTable(repr(str(path)), columns, read, path.parent)


def _plain_integers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text that is nothing but integers written the plain way becomes integers: 7 does, 007 stays text."""
    if not pc.all(pc.match_substring_regex(column, r"^(0|-?[1-9][0-9]{0,17})$")).as_py():
        return column
    return pc.cast(column, pa.int64())


def _open_npz(path: Path) -> OpenTable:
    with _reading(path, "NPZ"), np.load(path, allow_pickle=False) as file:
        columns = tuple(file.files)

    def load(wanted: Sequence[str]) -> dict[str, NDArray[Any]]:
        with _reading(path, "NPZ"), np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in wanted}

    return _from_arrays(repr(str(path)), columns, load, path.parent)


_OPENERS: dict[str, Callable[[Path], OpenTable]] = {
    ".parquet": _open_parquet,
    ".pq": _open_parquet,
    ".csv": _open_csv,
    ".csv.gz": _open_csv,
    ".tsv": _open_csv,
    ".tsv.gz": _open_csv,
    ".arrow": _open_arrow,
    ".arrows": _open_arrow,
    ".ipc": _open_arrow,
    ".feather": _open_arrow,
    ".npz": _open_npz,
}


def without_index(columns: Sequence[str]) -> tuple[str, ...]:
    """An index that pandas wrote along counts rows; it is no feature."""
    return tuple(column for column in columns if not column.startswith(_INDEX))


# -- objects -------------------------------------------------------------------------------------


def _open_object(source: Any) -> OpenTable:
    import narwhals as nw

    name = f"the given {type(source).__name__}"
    if isinstance(source, np.ndarray):
        if source.dtype.names is None:
            raise DataError("a bare array has no column names; give arrays to dataworth.Points(x, y) instead")
        return _from_arrays(name, source.dtype.names, lambda wanted: _arrays(source, wanted))
    if isinstance(source, Mapping):
        if any(hasattr(part, "column_names") for part in source.values()):
            raise DataError(f"{name} holds several tables: {quoted(source)}; give one of them")
        return _from_arrays(name, tuple(source), lambda wanted: _arrays(source, wanted))
    if isinstance(source, (pa.Table, pa.RecordBatch, pa.RecordBatchReader)):
        return _from_arrow(name, pa.table(source))
    if hasattr(source, "with_format") and hasattr(source, "column_names"):
        return _from_hugging_face(name, source)
    try:
        frame = nw.from_native(source)
    except nw.exceptions.DuplicateError:
        raise DataError(f"column names must be unique, but {name} repeats some; rename them") from None
    except TypeError:
        if hasattr(source, "__arrow_c_stream__"):
            return _from_arrow(name, pa.table(source))
        raise DataError(
            f"{name} is no table that can be read; give a path, a dictionary of arrays, or a pyarrow, pandas, "
            "polars or Hugging Face table"
        ) from None
    return _from_frame(name, frame)


def _from_arrow(name: str, table: pa.Table) -> OpenTable:
    return OpenTable(name, tuple(table.column_names), lambda wanted, names: table.select(list(wanted)))


def _from_frame(name: str, frame: Any) -> OpenTable:
    """Any data frame that narwhals knows; a lazy one is collected once its columns are chosen."""
    import narwhals as nw

    try:
        columns = tuple(frame.collect_schema().names())
    except nw.exceptions.DuplicateError:
        raise DataError(f"column names must be unique, but {name} repeats some; rename them") from None
    if not all(isinstance(column, str) for column in columns):
        raise DataError(f"column names must be strings; for pandas: frame.columns = frame.columns.astype(str) ({name})")

    def read(wanted: Sequence[str], names: Collection[str]) -> pa.Table:
        chosen = frame.select(list(wanted))
        try:
            return (chosen.collect() if isinstance(chosen, nw.LazyFrame) else chosen).to_arrow()
        except (pa.ArrowException, TypeError) as error:
            # Mixed Python objects in one column; arrow's first line names types, the rest may quote a cell.
            raise DataError(
                f"a column of {name} mixes types or holds Python objects ({type(error).__name__})"
            ) from None

    return OpenTable(name, columns, read)


def _from_hugging_face(name: str, dataset: Any) -> OpenTable:
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise DataError(f"{name} streams its rows; load the whole data set (streaming=False)")

    def read(wanted: Sequence[str], names: Collection[str]) -> pa.Table:
        # Through the format, not the table below it: only so do selections and shuffles count.
        return pa.table(dataset.select_columns(list(wanted)).with_format("arrow")[:]).select(list(wanted))

    return OpenTable(name, tuple(dataset.column_names), read)


# -- arrays --------------------------------------------------------------------------------------


def _from_arrays(
    name: str,
    columns: Sequence[str],
    load: Callable[[Sequence[str]], dict[str, NDArray[Any]]],
    folder: Path | None = None,
) -> OpenTable:
    def read(wanted: Sequence[str], names: Collection[str]) -> pa.Table:
        arrays = load(wanted)
        flat = [column for column, array in arrays.items() if array.ndim == 0]
        if flat:
            raise DataError(f"{quoted(flat)} of {name} is a single value, not one entry a row")
        lengths = {column: len(array) for column, array in arrays.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"the arrays of {name} must have one entry a row each, but their lengths are {lengths}")
        return pa.table({column: as_arrow(array, column) for column, array in arrays.items()})

    usual = {part: column for part, column in ARRAY_NAMES.items() if column in columns}
    return OpenTable(name, tuple(columns), read, folder or Path(), usual)


def _arrays(source: Any, wanted: Sequence[str]) -> dict[str, NDArray[Any]]:
    return {column: _array(source[column], f"array {column!r}") for column in wanted}


def _array(values: Any, name: str) -> NDArray[Any]:
    """What was given as an array; a flat list keeps its objects, so that NumPy makes no text of its numbers."""
    check_unmasked(values, name)
    try:
        array = np.asarray(values)
    except ValueError:
        raise DataError(f"{name} is ragged: its rows have different lengths") from None
    if array.ndim != 1 or hasattr(values, "__array__") or set(map(type, values)) == {bytes}:
        return array
    return np.array(values, dtype=object)


def as_arrow(array: NDArray[Any], name: str) -> pa.Array:
    """One array as an arrow column; rows of more than one number become tensors, with no copy where possible.

    Raises:
        DataError: Complex numbers, Python objects or text in more than one dimension.
    """
    if array.dtype.kind == "S":
        try:
            array = array.astype(np.str_)
        except UnicodeDecodeError:
            raise DataError(f"array {name!r} holds bytes that are not text") from None
    try:
        if array.ndim == 1 or len(array) == 0:
            return _flat(array.reshape(len(array)))
        if array.dtype.kind == "b":
            array = array.astype(np.uint8)  # arrow would pack the bits
        if array.dtype.kind not in "fiu":
            raise DataError(f"array {name!r} must hold numbers, not {array.dtype}, if its rows have several entries")
        return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(array))
    except (pa.ArrowException, TypeError, NotImplementedError, OverflowError):
        raise DataError(
            f"array {name!r} of type {array.dtype} holds no column of numbers, texts or bools, or mixes them"
        ) from None


def _flat(array: NDArray[Any]) -> pa.Array:
    if array.dtype.kind not in "UO":
        return pa.array(array)
    entries = array.tolist()
    try:
        return pa.array(entries)
    except OverflowError:  # arrow tries int64 alone
        return pa.array(entries, pa.uint64())


def quoted(names: Collection[str], most: int = 10) -> str:
    """Names in quotes for a message, the first few if there are many."""
    shown = ", ".join(repr(name) for name in list(names)[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
