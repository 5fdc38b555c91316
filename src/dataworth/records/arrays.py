"""From what people give to arrays that hold exactly that."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.errors import DataError

__all__ = ["among", "check_unmasked", "exact", "joined", "read_only"]


def exact(values: ArrayLike, name: str) -> NDArray[Any]:
    """An array of the very entries given: no number becomes text, and no integer a float.

    Left alone, NumPy makes ``["1", "a"]`` of ``[1, "a"]``, a class ``"nan"`` of a missing label, and floats of
    ``[2**63, 1]``. Arrays are taken as they are, but for Python objects and bytes.

    Args:
        values: An array, or a list of strings, bytes in ASCII, integers, bools or floats.
        name: What to call it in a message.

    Raises:
        DataError: Entries that are missing, masked, mixed, too large, or of another type.

    Example:
        >>> exact([2**63, 1], "ids").dtype
        dtype('uint64')
    """
    check_unmasked(values, name)
    try:
        array = np.asarray(values) if hasattr(values, "__array__") else np.array(values, dtype=object)
    except ValueError:
        raise DataError(f"{name} must be a flat list with one entry a row") from None
    if array.dtype.kind == "T":
        array = array.astype(object)  # where a missing string is no string
    if array.dtype == object and array.ndim == 1:
        array = _settled(array, name)
    if array.dtype.kind != "S":
        return array
    try:
        return array.astype(np.str_)
    except UnicodeDecodeError:
        raise DataError(f"{name} holds bytes that are not ASCII text; decode them first") from None


def _settled(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Python objects of one kind as an array of that kind."""
    kinds = set(map(type, array))
    if any(kind is type(None) or issubclass(kind, (float, np.floating)) for kind in kinds):
        missing = sum(e is None or (isinstance(e, (float, np.floating)) and math.isnan(e)) for e in array)
        if missing:
            raise DataError(f"{name} is missing in {missing} of {array.size} rows; every row needs one")
    if len({issubclass(kind, str) for kind in kinds}) > 1:
        raise DataError(f"{name} mixes strings with other types; use one type")
    if kinds - {bool, np.bool_} and all(issubclass(kind, (int, np.integer, np.bool_)) for kind in kinds):
        return _integers(array, name)
    try:
        settled = np.asarray(array.tolist())
    except ValueError:
        settled = array
    if settled.dtype.kind not in "USfiub" or settled.ndim != 1:
        raise DataError(f"{name} must be strings, integers or bools, not {type(array[0]).__name__} objects")
    return settled


def _integers(array: NDArray[Any], name: str) -> NDArray[Any]:
    whole = [int(entry) for entry in array]  # NumPy's own integers would wrap around
    for wanted in (np.int64, np.uint64):
        try:
            return np.array(whole, dtype=wanted)
        except OverflowError:
            continue
    raise DataError(f"{name} holds integers that fit neither int64 nor uint64; write them as strings")


def among(names: NDArray[Any], known: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of some names are among others; int64 and uint64 are compared as whole numbers.

    NumPy alone would compare those two as floats, to which neighbours beyond 2**53 look alike.

    Example:
        >>> among(np.array([2**63 + 1], dtype=np.uint64), np.array([2**62]))
        array([False])
    """
    if {names.dtype.kind, known.dtype.kind} == {"i", "u"}:
        held = set(known.tolist())
        return np.array([name in held for name in names.tolist()], dtype=np.bool_)
    return np.asarray(np.isin(names, known), dtype=np.bool_)


def joined(held: NDArray[Any], more: NDArray[Any], name: str) -> NDArray[Any]:
    """Names that an index holds and further ones as one array; no number becomes text or a float.

    Args:
        held: Strings or integers; none at all fit with any.
        more: Further ones.
        name: What to call them in a message.

    Raises:
        DataError: Further ones of another kind, or integers that fit neither int64 nor uint64 together.
    """
    kinds = {"U": "text", "i": "integers", "u": "integers"}
    ours, theirs = (kinds.get(array.dtype.kind, str(array.dtype)) for array in (held, more))
    if more.dtype.kind not in kinds or (held.size and ours != theirs):
        raise DataError(f"{name} of the index are {ours}, so further ones must be too, not {theirs}")
    if held.size and held.dtype.kind != more.dtype.kind:  # NumPy would make floats of int64 and uint64
        return exact([*held.tolist(), *more.tolist()], name)
    return np.concatenate([held, more]) if held.size else more


def check_unmasked(values: Any, name: str) -> None:
    """Refuse a masked array that masks anything: what stands under a mask is no data.

    Raises:
        DataError: With the number of rows that hold masked entries.
    """
    masked = 0
    if isinstance(values, np.ma.MaskedArray):
        masked = int(np.ma.getmaskarray(values).reshape(values.shape[0] if values.ndim else 1, -1).any(axis=1).sum())
    elif isinstance(values, (list, tuple)) and any(
        issubclass(kind, np.ma.MaskedArray) for kind in set(map(type, values))
    ):
        masked = sum(bool(np.ma.getmaskarray(row).any()) for row in values if isinstance(row, np.ma.MaskedArray))
    if masked:
        raise DataError(f"{name} has masked entries in {masked} rows; drop those rows or fill them in")


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A view that cannot be written through; the caller's own array stays as it is."""
    view = array.view()
    view.flags.writeable = False
    return view
