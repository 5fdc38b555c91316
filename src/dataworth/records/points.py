"""Points: rows of features with a label each, checked once at the door."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.errors import DataError
from dataworth.records.arrays import check_unmasked, exact, read_only

__all__ = ["Item", "Points", "features_of", "missing_features", "names_of"]

Item: TypeAlias = str | bytes | Path
"""What a row was before it became features: a text, or an image as encoded bytes or a path."""

# Small number types that float32 holds exactly; everything else numeric goes to float64.
_EXACT_IN_FLOAT32 = frozenset(["float32", "float16", "int8", "uint8", "int16", "uint16", "bool"])


@dataclass(frozen=True, eq=False, repr=False)
class Points:
    """Rows of features, each with a label, and whose they are.

    Args:
        x: Features, shape ``(n, d)``, any real number type. float32 stays float32; what float32 cannot
            hold exactly becomes float64.
        y: Labels, shape ``(n,)``: strings, integers of any kind, bools; floats for regression.
        ids: Unique names of the rows, integers or strings; ``0 .. n-1`` if not given.
        owners: Who contributed each row, integers or strings, if known.
        features: Names of the ``d`` columns, if known.
        items: What each row was before it became features (texts, or images as bytes or paths), if known.
            Shown in a report only when row content is asked for.
        allow_missing: Take rows with NaN or infinite features too. Only a private release values such a set:
            the rows get no links, and their owner alone is told.

    Raises:
        DataError: No rows, ragged or non-numeric features, NaN or infinite features, labels or names that are
            missing, masked or of mixed types, lengths that differ, or ids that repeat. The message gives counts,
            never a row's content.

    Example:
        >>> import dataworth as dw
        >>> points = dw.Points([[0.0, 1.0], [1.0, 0.0]], ["cat", "dog"])
        >>> points
        Points(2 rows, 2 features, labels: cat, dog)
    """

    x: NDArray[Any]
    y: NDArray[Any]
    ids: NDArray[Any]
    owners: NDArray[Any] | None
    features: tuple[str, ...] | None
    items: tuple[Item, ...] | None
    missing: int
    named: bool

    def __init__(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        ids: ArrayLike | None = None,
        owners: ArrayLike | None = None,
        features: Sequence[str] | None = None,
        items: Sequence[Item] | None = None,
        allow_missing: bool = False,
    ) -> None:
        checked_x = features_of(x)
        missing = int(checked_x.shape[0] - np.isfinite(checked_x).all(axis=1).sum())
        if missing and not allow_missing:
            raise missing_features(missing, checked_x.shape[0])
        n, d = checked_x.shape
        checked_ids = np.arange(n) if ids is None else names_of(ids, n, "ids")
        repeated = n - np.unique(checked_ids).size
        if repeated:
            raise DataError(f"ids must be unique, but {repeated} of {n} rows repeat an id that another row has")
        if features is not None and len(features) != d:
            raise DataError(f"features names {len(features)} columns, but x has {d}")
        if items is not None and len(items) != n:
            raise DataError(f"items has {len(items)} entries, but x has {n} rows")
        settle = object.__setattr__
        settle(self, "x", read_only(checked_x))
        settle(self, "y", read_only(_labels(y, n)))
        settle(self, "ids", read_only(checked_ids))
        settle(self, "owners", None if owners is None else read_only(names_of(owners, n, "owners")))
        settle(self, "features", None if features is None else tuple(str(name) for name in features))
        settle(self, "items", None if items is None else tuple(items))
        settle(self, "missing", missing)  # how many rows have missing features
        settle(self, "named", ids is not None)  # whether ids say more than places in a set

    def __len__(self) -> int:
        return int(self.x.shape[0])

    def __repr__(self) -> str:
        n, d = self.x.shape
        if not self.has_classes:
            labels = "numeric target"
        else:
            classes = np.unique(self.y)
            shown = ", ".join(str(c) for c in classes[:5])
            labels = f"labels: {shown}" + (f", ... ({classes.size} classes)" if classes.size > 5 else "")
        owners = "" if self.owners is None else f", {np.unique(self.owners).size} owners"
        return f"Points({n} rows, {d} features, {labels}{owners})"

    @property
    def has_classes(self) -> bool:
        """Whether the labels can be classes: anything but floats of which some have a fraction."""
        return self.y.dtype.kind != "f" or bool((self.y == np.rint(self.y)).all())

    def take(self, rows: ArrayLike) -> Points:
        """The given rows, in the given order.

        Args:
            rows: Positions, or a boolean mask of length ``n``.
        """
        index = np.asarray(rows)
        positions = np.flatnonzero(index) if index.dtype == np.bool_ else index
        taken = Points(
            self.x[positions],
            self.y[positions],
            ids=self.ids[positions],
            owners=None if self.owners is None else self.owners[positions],
            features=self.features,
            items=None if self.items is None else [self.items[int(i)] for i in positions],
            allow_missing=self.missing > 0,
        )
        object.__setattr__(taken, "named", self.named)
        return taken


def features_of(x: ArrayLike) -> NDArray[Any]:
    """A table of numbers as rows of float32 or float64, ``(n, d)``, ready to compute with; it may hold NaN.

    Raises:
        DataError: It is ragged, empty, or holds other things than real numbers.
    """
    check_unmasked(x, "x")
    try:
        array = np.asarray(x)
    except ValueError:
        raise DataError("x must be a table of numbers whose rows have equal lengths; it is ragged") from None
    if array.dtype == object:
        array = _numbers_from_objects(array)
    if array.dtype.kind not in "fiub":
        raise DataError(
            f"x must hold real numbers, not {array.dtype}; turn texts or images into features first "
            "with dataworth.embed_texts or dataworth.embed_images"
        )
    if array.ndim != 2:
        raise DataError(f"x must have two dimensions (rows, features), not shape {array.shape}")
    if 0 in array.shape:
        raise DataError(f"x must have at least one row and one feature, not shape {array.shape}")
    wanted = np.float32 if array.dtype.name in _EXACT_IN_FLOAT32 else np.float64
    return np.ascontiguousarray(array, dtype=wanted)


def missing_features(rows: int, n: int) -> DataError:
    """The error for rows that hold NaN or infinity."""
    return DataError(f"{rows} of {n} rows hold NaN or infinity; drop those rows or fill them in before valuing")


def _numbers_from_objects(array: NDArray[Any]) -> NDArray[Any]:
    try:
        return array.astype(np.float64)
    except (OverflowError, TypeError, ValueError):
        raise DataError(
            "x must be a table of real numbers whose rows have equal lengths; it holds other objects or ragged rows"
        ) from None


def _column(values: ArrayLike, n: int, name: str) -> NDArray[Any]:
    """A one-dimensional array of n non-missing entries."""
    array = exact(values, name)
    if array.ndim != 1 or array.shape[0] != n:
        raise DataError(f"{name} must have one entry for each of the {n} rows of x, not shape {array.shape}")
    return array


def _labels(y: ArrayLike, n: int) -> NDArray[Any]:
    array = _column(y, n, "y")
    if array.dtype.kind == "f":
        missing = int(n - np.isfinite(array).sum())
        if missing:
            raise DataError(f"the label is NaN or infinite in {missing} of {n} rows; every row needs one")
    elif array.dtype.kind not in "Uiub":
        raise DataError(f"labels must be strings, integers, bools, or floats for regression, not {array.dtype}")
    return array


def names_of(values: ArrayLike, n: int, name: str) -> NDArray[Any]:
    """One name a row, integers or strings.

    Raises:
        DataError: Names that are missing or of another kind, or another number of them than ``n``.
    """
    array = _column(values, n, name)
    if array.dtype.kind not in "Uiu":
        raise DataError(f"{name} must be integers or strings, not {array.dtype}")
    if array.dtype.kind == "U":
        broken = sum(_is_broken(entry) for entry in array.tolist())
        if broken:
            raise DataError(f"{broken} of {n} {name} hold half a character (a lone surrogate), which no file can keep")
    return array


def _is_broken(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
