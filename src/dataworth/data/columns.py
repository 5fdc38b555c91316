"""Arrow columns as arrays: labels, names, numbers side by side, images; each checked, and named in errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dataworth.data.tables import quoted
from dataworth.errors import DataError

__all__ = ["images_of", "is_text", "labels_of", "names_of", "numbers_of", "whole"]

_LISTED = 10  # at most so many columns are spelled out in one message


def whole(columns: pa.Table, name: str, part: str) -> pa.ChunkedArray:
    """One column with nothing missing, without dictionary encoding or extension types (tensors stay).

    Raises:
        DataError: Entries are missing; the message says in how many rows of which column.
    """
    column = _plain(columns[name])
    if column.null_count:
        raise DataError(
            f"{part} column {name!r} is missing in {column.null_count} of {len(column)} rows; "
            "drop those rows or fill them in"
        )
    return column


def labels_of(columns: pa.Table, name: str) -> NDArray[Any]:
    """The labels: strings, integers, bools or floats, shape ``(n,)``.

    Raises:
        DataError: Labels are missing or of another type.
    """
    column = whole(columns, name, "label")
    if not (is_text(column.type) or _is_number(column.type)):
        raise DataError(
            f"label column {name!r} must hold strings, integers, bools, or floats for regression, not {column.type}"
        )
    return _flat(column)


def names_of(columns: pa.Table, name: str, part: str) -> NDArray[Any]:
    """Ids or owners: strings or integers, shape ``(n,)``.

    Raises:
        DataError: Names are missing or of another type.
    """
    column = whole(columns, name, part)
    if not (is_text(column.type) or pa.types.is_integer(column.type)):
        raise DataError(f"{part} column {name!r} must hold integers or strings, not {column.type}")
    return _flat(column)


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
    plain = {name: _plain(columns[name]) for name in wanted}
    missing = {name: column.null_count for name, column in plain.items() if column.null_count}
    if allow_missing:
        plain = {name: _with_type(column) for name, column in plain.items()}
    elif missing:
        counts = [f"{name!r} in {count} of {columns.num_rows} rows" for name, count in missing.items()]
        raise DataError(f"feature columns are missing: {_some(counts)}; drop those rows or fill them in before valuing")
    other = {name: column.type for name, column in plain.items() if not _is_numeric(column.type)}
    if other:
        raise DataError(_not_numeric(other))
    blocks = {name: _block(name, column, allow_missing) for name, column in plain.items()}
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


def _is_number(kind: pa.DataType) -> bool:
    return _any_of(kind, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)


def _is_list(kind: pa.DataType) -> bool:
    return _any_of(kind, pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def _is_numeric(kind: pa.DataType) -> bool:
    listed = _is_list(kind) and _is_number(kind.value_type)
    return listed or _is_number(kind) or isinstance(kind, pa.FixedShapeTensorType)


def _any_of(kind: pa.DataType, *tests: Callable[[pa.DataType], bool]) -> bool:
    return any(test(kind) for test in tests)


# -- from arrow to numpy -------------------------------------------------------------------------


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return pc.cast(column, kind.value_type)
    if isinstance(kind, pa.BaseExtensionType) and not isinstance(kind, pa.FixedShapeTensorType):
        return _plain(pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type))
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
        wanted = pa.float32() if _fits_float32(column.type) else pa.float64()
        return np.asarray(pc.cast(column, wanted, safe=False).to_numpy())
    return np.asarray((pc.cast(column, pa.float64()) if pa.types.is_decimal(column.type) else column).to_numpy())


def _fits_float32(kind: pa.DataType) -> bool:
    small = (pa.types.is_int8, pa.types.is_int16, pa.types.is_uint8, pa.types.is_uint16)
    return _any_of(kind, *small, pa.types.is_boolean, pa.types.is_float16, pa.types.is_float32)


def _tensor(column: pa.ChunkedArray) -> NDArray[Any]:
    chunks = [chunk.to_numpy_ndarray() for chunk in column.chunks]
    return np.asarray(chunks[0] if len(chunks) == 1 else np.concatenate(chunks))


def _block(name: str, column: pa.ChunkedArray, allow_missing: bool) -> NDArray[Any]:
    """One feature column: shape ``(n,)``, or ``(n, width)`` for lists."""
    if isinstance(column.type, pa.FixedShapeTensorType):
        if len(column.type.shape) != 1:
            raise DataError(
                f"feature column {name!r} holds an array of shape {tuple(column.type.shape)} in each row; embed it "
                f"(features=[{name!r}], embed='efficientnet-lite0' for images) or make it flat"
            )
        if not column.null_count:
            return _tensor(column)
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    if not _is_list(column.type):
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
    names: list[str] = []
    for name, block in blocks.items():
        names += [name] if block.ndim == 1 else [f"{name}[{at}]" for at in range(block.shape[1])]
    rows = len(next(iter(blocks.values())))
    x = np.empty((rows, len(names)), dtype=np.result_type(np.float32, *(block.dtype for block in blocks.values())))
    start = 0
    for block in blocks.values():
        wide = block.reshape(rows, -1)
        x[:, start : start + wide.shape[1]] = wide
        start += wide.shape[1]
    return x, names


def _check_finite(blocks: dict[str, NDArray[Any]]) -> None:
    spoiled = []
    for name, block in blocks.items():
        count = int((~np.isfinite(block)).reshape(len(block), -1).any(axis=1).sum())
        if count:
            spoiled.append(f"{name!r} in {count} of {len(block)} rows")
    if spoiled:
        raise DataError(
            f"feature columns hold NaN or infinity: {_some(spoiled)}; drop those rows or fill them in before valuing"
        )


def _not_numeric(other: dict[str, pa.DataType]) -> str:
    name, kind = next(iter(other.items()))
    if is_text(kind):
        hint = f"embed the text (features=[{name!r}], embed='minilm'), turn it into numbers"
    elif _is_bytes(kind) or pa.types.is_struct(kind):
        hint = f"embed it if it holds images (features=[{name!r}], embed='efficientnet-lite0')"
    else:
        hint = "turn it into numbers"
    listed = _some([f"{quoted([column])} ({kind})" for column, kind in other.items()])
    return f"features must be numbers, but these columns are not: {listed}; {hint}, or leave it out with features=[...]"


def _some(parts: Sequence[str]) -> str:
    more = f" and {len(parts) - _LISTED} more" if len(parts) > _LISTED else ""
    return ", ".join(parts[:_LISTED]) + more
