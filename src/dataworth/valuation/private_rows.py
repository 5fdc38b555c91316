"""A provider's own rows, checked at the provider's own screen before anything is spent on them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError, WeakDelta
from dataworth.kernels.capped import first_rows
from dataworth.records import Budget, Owner, Points, Unit
from dataworth.records.points import missing_features
from dataworth.records.privacy import in_words
from dataworth.valuation.task import check_same_kind, encode

__all__ = ["check_columns", "label_list", "private_rows", "warn_of_weak_delta"]


def label_list(classes: Sequence[Any]) -> NDArray[Any]:
    """The public list of labels, in ascending order.

    Args:
        classes: Different labels of one kind; a single one will do.

    Raises:
        InputError: They are no such list.
    """
    try:
        given = Points(np.zeros((len(classes), 1)), classes)
    except (DataError, TypeError):
        raise InputError(f"classes must be a list of labels, one kind and none missing, not {classes!r}") from None
    if not given.has_classes:
        raise InputError("classes must be labels, not numbers with fractions")
    if np.unique(given.y).size != given.y.size:
        raise InputError(f"classes repeats labels: {given.y.size} given, {np.unique(given.y).size} different")
    return np.unique(given.y)


def private_rows(
    points: Points, classes: NDArray[Any], unit: Unit, *, others: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features and class numbers of the rows that are counted: at most so many an owner as the unit says.

    Which rows of an owner stay is decided by that owner's rows alone: those with the lowest ids. Features are always
    float32, so that the type which one row's number needs changes nothing for the others.

    Args:
        points: The provider's rows.
        classes: From :func:`label_list`.
        unit: Whose presence is hidden.
        others: Keep rows of other labels, with code -1, where refusing them would tell somebody that they are there.

    Returns:
        Features, float32, ``(n, d)``, and codes ``(n,)``.

    Raises:
        DataError: Missing or huge features, or labels that are no class; the message counts rows and quotes none.
        InputError: No points, or an owner is the unit and the rows have none.
    """
    if not isinstance(points, Points):
        raise InputError("a provider's rows must be dataworth.Points; dataworth.read_points makes them from files")
    if points.missing:
        raise missing_features(points.missing, len(points))
    check_same_kind(points.y, classes, "the labels")
    codes = encode(points.y, classes)
    strange = int((codes < 0).sum())
    if strange and not others:
        raise DataError(
            f"{strange} of {len(points)} rows have a label that is none of the declared classes; declare it, or "
            "leave those rows out (nothing was spent)"
        )
    with np.errstate(over="ignore"):
        x = points.x.astype(np.float32)
    huge = int((~np.isfinite(x).all(axis=1)).sum())
    if huge:
        raise DataError(f"{huge} of {len(points)} rows hold numbers beyond what float32 can hold; scale them first")
    if not isinstance(unit, Owner):
        return x, codes
    if points.owners is None:
        raise InputError(f"the unit is {unit}, but the rows have no owners; give owners=")
    _, whose = np.unique(points.owners, return_inverse=True)
    kept = first_rows(whose, np.argsort(points.ids, kind="stable"), unit.rows)
    return x[kept], codes[kept]


def check_columns(ours: Points, theirs: Points, names: tuple[str, str]) -> None:
    """Refuse two sets of rows that do not have the same columns in the same order.

    Args:
        ours: Rows.
        theirs: Other rows.
        names: What to call the two.

    Raises:
        DataError: Another number of columns or, where both have names, other ones.
    """
    if ours.x.shape[1] != theirs.x.shape[1]:
        raise DataError(
            f"{names[0]} must have the same columns as {names[1]}, but the first has {ours.x.shape[1]} and the "
            f"second {theirs.x.shape[1]}"
        )
    if ours.features is None or theirs.features is None or ours.features == theirs.features:
        return
    at = next(i for i, (one, other) in enumerate(zip(ours.features, theirs.features, strict=True)) if one != other)
    raise DataError(
        f"{names[0]} must have the same columns as {names[1]} in the same order, but column {at + 1} is "
        f"{ours.features[at]!r} in the first and {theirs.features[at]!r} in the second"
    )


def warn_of_weak_delta(spend: Budget, rows: int, depth: int) -> None:
    """Warn, at the provider's own screen, of a delta that would allow publishing somebody's row.

    Args:
        spend: What is spent.
        rows: How many rows there are.
        depth: How many calls below the user's this one is.

    Warns:
        WeakDelta: Delta is above one over the number of rows.
    """
    if float(spend.delta) * rows > 1:
        warnings.warn(
            f"delta = {in_words(spend.delta)} is above one over the number of rows: it would allow publishing "
            "somebody's row",
            WeakDelta,
            stacklevel=depth,
        )
