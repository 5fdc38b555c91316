"""Arrow columns as arrays: labels, names, numbers side by side, images; each checked, and named in errors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dataworth.data.tables import quoted
from dataworth.errors import DataError

__all__ = [
    "block_of",
    "check_label",
    "check_name",
    "check_there",
    "column_names",
    "feature_columns",
    "finite_needed",
    "fits_float32",
    "images_of",
    "is_list",
    "is_number",
    "is_numeric",
    "is_text",
    "labels_of",
    "listed",
    "missing_entries",
    "names_of",
    "not_numeric",
    "numbers_of",
    "plain",
    "whole",
    "whole_needed",
]

_LISTED = 10  # at most so many columns are spelled out in one message


def whole(columns: pa.Table, name: str, part: str) -> pa.ChunkedArray:
    """One column with nothing missing, without dictionary encoding or extension types (tensors stay).

    Raises:
        DataError: Entries are missing; the message says in how many rows of which column.
    """
    column = plain(columns[name])
    if column.null_count:
        raise DataError(missing_entries(name, part, column.null_count, len(column)))
    return column


def missing_entries(name: str, part: str, missing: int, rows: int) -> str:
    """What to say of a column of labels, ids or owners with gaps."""
    return f"{part} column {name!r} is missing in {missing} of {rows} rows; drop those rows or fill them in"


def labels_of(columns: pa.Table, name: str) -> NDArray[Any]:
    """The labels: strings, integers, bools or floats, shape ``(n,)``.

    Raises:
        DataError: Labels are missing or of another type.
    """
    column = whole(columns, name, "label")
    check_label(name, column.type)
    return _flat(column)


def check_label(name: str, kind: pa.DataType) -> None:
    """Refuse a type that holds no labels.

    Raises:
        DataError: With the column's name and type.
    """
    if not (is_text(kind) or is_number(kind)):
        raise DataError(
            f"label column {name!r} must hold strings, integers, bools, or floats for regression, not {kind}"
        )


def names_of(columns: pa.Table, name: str, part: str) -> NDArray[Any]:
    """Ids or owners: strings or integers, shape ``(n,)``.

    Raises:
        DataError: Names are missing or of another type.
    """
    column = whole(columns, name, part)
    check_name(name, column.type, part)
    return _flat(column)


def check_name(name: str, kind: pa.DataType, part: str) -> None:
    """Refuse a type that holds no ids or owners.

    Raises:
        DataError: With the column's name and type.
    """
    if not (is_text(kind) or pa.types.is_integer(kind)):
        raise DataError(f"{part} column {name!r} must hold integers or strings, not {kind}")


def check_there(table: str, columns: Sequence[str], asked: dict[str, Sequence[str | None]]) -> None:
    """Refuse columns that are not there.

    Args:
        table: What to call the table in a message.
        columns: All its columns.
        asked: The argument that names them -> the names, or None where it names none.

    Raises:
        DataError: With the argument, the names, and those of the columns that are there.
    """
    for part, names in asked.items():
        absent = [name for name in names if name is not None and name not in columns]
        if absent:
            raise DataError(f"{table} has no column {quoted(absent)} ({part}=); it has {quoted(columns)}")


def feature_columns(
    table: str, columns: Sequence[str], features: Sequence[str] | None, label: str | None, taken: Collection[str | None]
) -> list[str]:
    """The columns that are features: those asked for, or all that have no other part to play.

    Args:
        table: What to call the table in a message.
        columns: All its columns.
        features: The columns asked for, if any were.
        label: The column of labels, if there is one.
        taken: Columns that play another part.

    Raises:
        DataError: No column is left, one is asked for twice, or the label is among them.
    """
    wanted = [column for column in columns if column not in taken] if features is None else list(features)
    if len(set(wanted)) < len(wanted):
        raise DataError("features names a column twice")
    if label in wanted:
        raise DataError(f"features names the label column {label!r}; a label cannot be a feature of itself")
    if not wanted:
        raise DataError(f"{table} has no feature column beside {quoted([c for c in taken if c is not None])}")
    return wanted


def numbers_of(
    columns: pa.Table, wanted: Sequence[str], *, allow_missing: bool = False
) -> tuple[NDArray[Any], list[str] | None]:
    """The feature columns side by side.

    Args:
        columns: The table.
        wanted: The names of the feature columns.
        allow_missing: Give NaN where an entry is missing, and NaN and infinity as they are, instead of an error.
            No entry changes the number type of the others.

    Returns:
        Features, shape ``(n, d)``, float32 if that holds every column exactly and float64 otherwise; and their
        ``d`` names. A single column of lists is given as it is, and its entries have no names.

    Raises:
        DataError: A column is not numeric, ragged, or holds missing, NaN or infinite entries.
    """
    held = {name: plain(columns[name]) for name in wanted}
    missing = {name: column.null_count for name, column in held.items() if column.null_count}
    if allow_missing:
        held = {name: _with_type(column) for name, column in held.items()}
    elif missing:
        counts = [f"{name!r} in {count} of {columns.num_rows} rows" for name, count in missing.items()]
        raise DataError(whole_needed(counts))
    other = {name: column.type for name, column in held.items() if not is_numeric(column.type)}
    if other:
        raise not_numeric(other)
    blocks = {name: block_of(name, column, allow_missing) for name, column in held.items()}
    if not allow_missing:
        _check_finite(blocks)
    if len(blocks) == 1 and blocks[wanted[0]].ndim == 2:
        return blocks[wanted[0]], None
    return _side_by_side(blocks)


def images_of(name: str, column: pa.ChunkedArray, folder: Path) -> Sequence[bytes | Path | NDArray[np.uint8]]:
    """The images of a column: bytes of image files, paths, structs of both, or uint8 arrays.

    Args:
        name: The column's name.
        column: Its entries, none missing.
        folder: Where relative paths start.

    Raises:
        DataError: The column holds something else.
    """
    kind = column.type
    if isinstance(kind, pa.FixedShapeTensorType):
        return list(_tensor(column))
    entries: list[Any] = column.to_pylist()
    if is_text(kind):
        return [folder / path for path in entries]
    if _is_bytes(kind):
        return entries
    if pa.types.is_struct(kind) and {"bytes", "path"} & {field.name for field in kind}:
        pairs = [(entry.get("bytes"), entry.get("path")) for entry in entries]
        absent = sum(raw is None and path is None for raw, path in pairs)
        if absent:
            raise DataError(f"column {name!r} has neither bytes nor a path in {absent} of {len(pairs)} rows")
        return [folder / path if raw is None else raw for raw, path in pairs]
    raise DataError(
        f"column {name!r} holds {kind}; images are bytes of image files, paths, structs of bytes and path, or uint8 "
        "arrays, and texts are strings"
    )


# -- kinds of columns ----------------------------------------------------------------------------


def is_text(kind: pa.DataType) -> bool:
    """Whether the entries of a column are strings."""
    return _any_of(kind, pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


def _is_bytes(kind: pa.DataType) -> bool:
    binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return _any_of(kind, *binary)


def is_number(kind: pa.DataType) -> bool:
    """Whether the entries of a column are single numbers or bools."""
    return _any_of(kind, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)


def is_list(kind: pa.DataType) -> bool:
    """Whether the entries of a column are lists."""
    return _any_of(kind, pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def is_numeric(kind: pa.DataType) -> bool:
    """Whether a column can be features: numbers, bools, or lists or tensors of them."""
    listed = is_list(kind) and is_number(kind.value_type)
    return listed or is_number(kind) or isinstance(kind, pa.FixedShapeTensorType)


def _any_of(kind: pa.DataType, *tests: Callable[[pa.DataType], bool]) -> bool:
    return any(test(kind) for test in tests)


# -- from arrow to numpy -------------------------------------------------------------------------


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column without dictionary encoding or extension types (tensors stay)."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return pc.cast(column, kind.value_type)
    if isinstance(kind, pa.BaseExtensionType) and not isinstance(kind, pa.FixedShapeTensorType):
        return plain(pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type))
    return column


def _with_type(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column in which nothing is known at all, not even a type, is one of missing numbers."""
    return pc.cast(column, pa.float64()) if pa.types.is_null(column.type) else column


def _flat(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column of single numbers or strings; NaN where a number is missing."""
    if is_text(column.type):
        return np.asarray(column.to_pylist())
    if column.null_count:
        # By its type, never by its entries: one row's gap must not change how another row is stored.
        wanted = pa.float32() if fits_float32(column.type) else pa.float64()
        return np.asarray(pc.cast(column, wanted, safe=False).to_numpy())
    return np.asarray((pc.cast(column, pa.float64()) if pa.types.is_decimal(column.type) else column).to_numpy())


def fits_float32(kind: pa.DataType) -> bool:
    """Whether float32 holds every number of a type exactly."""
    small = (pa.types.is_int8, pa.types.is_int16, pa.types.is_uint8, pa.types.is_uint16)
    return _any_of(kind, *small, pa.types.is_boolean, pa.types.is_float16, pa.types.is_float32)


def _tensor(column: pa.ChunkedArray) -> NDArray[Any]:
    chunks = [chunk.to_numpy_ndarray() for chunk in column.chunks]
    return np.asarray(chunks[0] if len(chunks) == 1 else np.concatenate(chunks))


def block_of(name: str, column: pa.ChunkedArray, allow_missing: bool) -> NDArray[Any]:
    """One feature column without dictionary encoding: shape ``(n,)``, or ``(n, width)`` for lists.

    Raises:
        DataError: Lists that are ragged or empty, entries missing inside lists, tensors of more than one dimension.
    """
    if isinstance(column.type, pa.FixedShapeTensorType):
        if len(column.type.shape) != 1:
            raise DataError(
                f"feature column {name!r} holds an array of shape {tuple(column.type.shape)} in each row; embed it "
                f"(features=[{name!r}], embed='efficientnet-lite0' for images) or make it flat"
            )
        if not column.null_count:
            return _tensor(column)
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    if not is_list(column.type):
        return _flat(column)
    if column.null_count:
        return _around_gaps(name, column)
    return _lists(name, column, allow_missing)


def _around_gaps(name: str, column: pa.ChunkedArray) -> NDArray[Any]:
    """Lists of which some are missing: NaN in those rows."""
    there = pc.is_valid(column)
    if column.null_count == len(column):
        raise DataError(f"feature column {name!r} has no list in any row")
    known = _lists(name, column.filter(there), allow_missing=True)
    kind = known.dtype if known.dtype.kind == "f" else np.result_type(np.float32, known.dtype)
    block = np.full((len(column), known.shape[1]), np.nan, dtype=kind)
    block[there.to_numpy()] = known
    return block


def _lists(name: str, column: pa.ChunkedArray, allow_missing: bool) -> NDArray[Any]:
    widths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(widths) > 1:
        raise DataError(
            f"feature column {name!r} is ragged: its lists have lengths from {min(widths)} to {max(widths)}"
        )
    if widths[0] == 0:
        raise DataError(f"feature column {name!r} holds empty lists")
    entries = pc.list_flatten(column)
    if entries.null_count and not allow_missing:
        raise DataError(f"feature column {name!r} lacks {entries.null_count} entries inside its lists; fill them in")
    return _flat(entries).reshape(len(column), widths[0])


def _side_by_side(blocks: dict[str, NDArray[Any]]) -> tuple[NDArray[Any], list[str]]:
    names = column_names({name: None if block.ndim == 1 else block.shape[1] for name, block in blocks.items()})
    rows = len(next(iter(blocks.values())))
    x = np.empty((rows, len(names)), dtype=np.result_type(np.float32, *(block.dtype for block in blocks.values())))
    start = 0
    for block in blocks.values():
        wide = block.reshape(rows, -1)
        x[:, start : start + wide.shape[1]] = wide
        start += wide.shape[1]
    return x, names


def column_names(widths: Mapping[str, int | None]) -> list[str]:
    """Names of numbers side by side: column -> its name, or one for each entry if it holds lists of so many."""
    names: list[str] = []
    for name, width in widths.items():
        names += [name] if width is None else [f"{name}[{at}]" for at in range(width)]
    return names


def _check_finite(blocks: dict[str, NDArray[Any]]) -> None:
    spoiled = []
    for name, block in blocks.items():
        count = int((~np.isfinite(block)).reshape(len(block), -1).any(axis=1).sum())
        if count:
            spoiled.append(f"{name!r} in {count} of {len(block)} rows")
    if spoiled:
        raise DataError(finite_needed(spoiled))


def whole_needed(missing: Sequence[str]) -> str:
    """What to say of feature columns with gaps."""
    return f"feature columns are missing: {listed(missing)}; drop those rows or fill them in before valuing"


def finite_needed(spoiled: Sequence[str]) -> str:
    """What to say of feature columns that hold NaN or infinity."""
    return f"feature columns hold NaN or infinity: {listed(spoiled)}; drop those rows or fill them in before valuing"


def not_numeric(other: dict[str, pa.DataType], *, embed: bool = True) -> DataError:
    """The error for feature columns that hold no numbers.

    Args:
        other: The columns and their types, at least one.
        embed: Whether they could be embedded where they are read.
    """
    name, kind = next(iter(other.items()))
    if not embed:
        hint = "turn it into numbers"
    elif is_text(kind):
        hint = f"embed the text (features=[{name!r}], embed='minilm'), turn it into numbers"
    elif _is_bytes(kind) or pa.types.is_struct(kind):
        hint = f"embed it if it holds images (features=[{name!r}], embed='efficientnet-lite0')"
    else:
        hint = "turn it into numbers"
    columns = listed([f"{quoted([column])} ({kind})" for column, kind in other.items()])
    return DataError(
        f"features must be numbers, but these columns are not: {columns}; {hint}, or leave it out with features=[...]"
    )


def listed(parts: Sequence[str]) -> str:
    """Parts of a message one after another, the first few if there are many."""
    more = f" and {len(parts) - _LISTED} more" if len(parts) > _LISTED else ""
    return ", ".join(parts[:_LISTED]) + more
