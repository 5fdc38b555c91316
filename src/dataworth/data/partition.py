"""One set of rows among several providers, to try out what providers would be worth.

A split works on raw rows, so it is for simulation: nothing here is private, and what it returns says exactly which
rows went where, whose labels were changed, and which rows are copies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, MethodError
from dataworth.records.points import Points

__all__ = ["Partition", "Split", "partition_points", "partition_rows"]

_DRAWS = 100  # attempts at a label skew that leaves nobody empty


class Split(StrEnum):
    """How rows go to providers."""

    CONTIGUOUS = "contiguous"
    IID = "iid"
    DIRICHLET = "dirichlet"
    SIZES = "sizes"
    COLUMN = "column"


@dataclass(frozen=True, eq=False)
class Partition:
    """Which rows each provider has, and what was changed on the way.

    Args:
        names: Of the providers.
        rows: Each provider's rows as places in the set, int64, ascending; copies come behind, in the order drawn.
        labels: Each provider's labels after changes, beside ``rows``; None if no labels were given.
        changed: Which of each provider's labels are not those of the set, bool, beside ``rows``.
        copies: How many of each provider's last rows are copies of its earlier ones.
        left_out: Rows that nobody has, int64, ascending.
        parameters: What was asked for, as plain JSON.

    Example:
        >>> found = partition_rows(10, how="contiguous", providers=3)
        >>> [rows.tolist() for rows in found.rows]
        [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
    """

    names: tuple[str, ...]
    rows: tuple[NDArray[np.int64], ...]
    labels: tuple[NDArray[Any], ...] | None
    changed: tuple[NDArray[np.bool_], ...]
    copies: tuple[int, ...]
    left_out: NDArray[np.int64]
    parameters: dict[str, Any]

    def __len__(self) -> int:
        return len(self.names)

    def copy_number(self, provider: int) -> NDArray[np.int64]:
        """Which copy each of a provider's rows is: 0 for the row itself, 1 for its first copy, and so on."""
        rows, seen = self.rows[provider], dict[int, int]()
        number = np.zeros(len(rows), dtype=np.int64)
        for at, row in enumerate(rows.tolist()):
            number[at] = seen[row] = seen.get(row, -1) + 1
        return number


def partition_rows(
    n: int,
    *,
    how: Split | str = Split.CONTIGUOUS,
    providers: int | None = None,
    y: NDArray[Any] | None = None,
    alpha: float | None = None,
    sizes: Sequence[int] | Sequence[float] | None = None,
    column: NDArray[Any] | None = None,
    label_noise: float | Sequence[float] = 0.0,
    duplicates: float | Sequence[float] = 0.0,
    allow_empty: bool = False,
    seed: int = 0,
) -> Partition:
    """Split rows among providers.

    ``contiguous`` cuts the rows in their order into parts as equal as can be, the first ones one row larger;
    ``iid`` does so after shuffling; ``dirichlet`` gives each provider a share of every class, drawn from a symmetric
    Dirichlet law; ``sizes`` draws so many rows for each; ``column`` makes a provider of each value.

    Labels are changed first and rows copied afterwards, so that a copy has the label of its original.

    Args:
        n: Number of rows.
        how: The split.
        providers: How many; default 10. ``sizes`` and ``column`` say it themselves.
        y: Labels, ``(n,)``; needed by ``dirichlet`` and for label noise.
        alpha: Of the Dirichlet law, above 0 and at most 1,000,000: the smaller, the more uneven; default 0.5.
        sizes: For ``sizes``: rows of each provider as whole numbers, or shares of all rows as floats. Rows beyond
            their sum are left out.
        column: For ``column``: whose each row is, ``(n,)``.
        label_noise: Share of each provider's labels that become another class, one for all or one for each:
            exactly ``round(rate * rows)`` of them.
        duplicates: Share of each provider's rows that are added once more, one for all or one for each.
        allow_empty: Let a provider have no rows.
        seed: Of everything drawn: the same seed splits alike.

    Raises:
        MethodError: Parameters that are out of range or do not go together.
        DataError: Fewer rows than providers, a set of one class where labels count, or a split that leaves a
            provider empty.

    Example:
        >>> import numpy as np
        >>> y = np.array(["cat", "dog"] * 50)
        >>> found = partition_rows(100, how="dirichlet", providers=4, y=y, alpha=0.3, label_noise=0.1)
        >>> sum(len(rows) for rows in found.rows), len(found.left_out)
        (100, 0)
    """
    how = _known(how)
    _check(how, n, y, alpha, sizes, column, seed)
    count = _number(how, providers, sizes, column)
    noise = _rates("label_noise", label_noise, count)
    copied = _rates("duplicates", duplicates, count)
    if not allow_empty and count > n:
        raise DataError(f"{count} providers cannot share {n} rows: each needs one at least")
    rng = np.random.default_rng(seed)
    alpha = 0.5 if alpha is None else float(alpha)
    names, parts = _parts(how, n, count, y, alpha, sizes, column, allow_empty, rng)
    empty = sum(len(part) == 0 for part in parts)
    if empty and not allow_empty:
        raise DataError(f"{empty} of {count} providers would have no rows; say that a provider may be empty if it may")

    kept = np.zeros(n, dtype=np.bool_)
    rows, labels, changed, copies = [], [], [], []
    for part, rate, share in zip(parts, noise, copied, strict=True):
        own = np.sort(part).astype(np.int64)
        kept[own] = True
        moved = _draw(len(own), rate, rng)
        again = np.flatnonzero(_draw(len(own), share, rng))
        rows.append(np.concatenate([own, own[again]]))
        changed.append(np.concatenate([moved, moved[again]]))
        copies.append(len(again))
        if y is not None:
            told = _mislabelled(y, own, moved, rng)
            labels.append(np.concatenate([told, told[again]]))
        elif rate:
            raise MethodError("label noise needs labels (y)")

    asked = {"how": str(how), "providers": count, "seed": seed, "label_noise": noise, "duplicates": copied}
    asked |= {"alpha": alpha} if how is Split.DIRICHLET else {}
    asked |= {"sizes": [int(size) if _is_whole(size) else float(size) for size in sizes]} if sizes is not None else {}
    return Partition(
        names,
        tuple(rows),
        None if y is None else tuple(labels),
        tuple(changed),
        tuple(copies),
        np.flatnonzero(~kept),
        {**asked, "allow_empty": allow_empty},
    )


def partition_points(points: Points, split: Partition) -> tuple[Points | None, ...]:
    """Each provider's points, with the labels as the split left them.

    Where a provider has copies, its ids become text, and a copy's id ends in ``-copy1`` (``-copy2``, ...).

    Args:
        points: The rows that were split.
        split: What :func:`partition_rows` made of them; of labels it needs to know only if it changed any.

    Returns:
        Points of each provider; None for one that has no rows.

    Raises:
        DataError: The split names rows that are not there.

    Example:
        >>> import dataworth as dw
        >>> points = dw.Points([[0.0], [1.0], [2.0], [3.0]], ["a", "b", "a", "b"])
        >>> partition_points(points, partition_rows(4, providers=2))
        (Points(2 rows, 1 features, labels: a, b), Points(2 rows, 1 features, labels: a, b))
    """
    if any(len(rows) and rows.max() >= len(points) for rows in split.rows):
        raise DataError(f"the split is of more rows than the {len(points)} that there are")
    return tuple(_points_of(points, split, at) for at in range(len(split)))


def _points_of(points: Points, split: Partition, at: int) -> Points | None:
    rows = split.rows[at]
    if len(rows) == 0:
        return None
    ids = points.ids[rows]
    if split.copies[at]:
        number = split.copy_number(at).tolist()
        ids = np.array([f"{name}-copy{copy}" if copy else str(name) for name, copy in zip(ids.tolist(), number)])
    return Points(
        points.x[rows],
        points.y[rows] if split.labels is None else split.labels[at],
        ids=ids,
        owners=None if points.owners is None else points.owners[rows],
        features=points.features,
        items=None if points.items is None else [points.items[int(row)] for row in rows],
        allow_missing=points.missing > 0,
    )


# -- what was asked --------------------------------------------------------------------------------


def _known(how: Split | str) -> Split:
    try:
        return Split(how)
    except ValueError:
        raise MethodError(f"how must be {', '.join(repr(str(way)) for way in Split)}, not {how!r}") from None


def _check(
    how: Split,
    n: int,
    y: NDArray[Any] | None,
    alpha: float | None,
    sizes: Sequence[float] | None,
    column: NDArray[Any] | None,
    seed: int,
) -> None:
    if not _is_whole(n) or n < 1:
        raise DataError(f"there must be at least one row to split, not {n!r}")
    if not _is_whole(seed) or seed < 0:
        raise MethodError(f"seed must be a whole number from 0 on, not {seed!r}")
    for name, given, owner in (
        ("alpha", alpha, Split.DIRICHLET),
        ("sizes", sizes, Split.SIZES),
        ("column", column, Split.COLUMN),
    ):
        if given is not None and how is not owner:
            raise MethodError(f"{name} belongs to the split {str(owner)!r}, not to {str(how)!r}")
        if given is None and how is owner and name != "alpha":
            raise MethodError(f"the split {str(how)!r} needs {name}")
    if how is Split.DIRICHLET and y is None:
        raise MethodError("the split 'dirichlet' needs labels (y)")
    if alpha is not None and not 0 < alpha <= 1e6:  # refuses NaN too
        raise MethodError(f"alpha must be above 0 and at most 1,000,000, not {alpha!r}")
    for name, array in (("y", y), ("column", column)):
        if array is not None and np.shape(array) != (n,):
            raise DataError(f"{name} must have one entry for each of the {n} rows, not shape {np.shape(array)}")


def _number(how: Split, providers: int | None, sizes: Sequence[float] | None, column: NDArray[Any] | None) -> int:
    if providers is not None and (not _is_whole(providers) or not 1 <= providers <= 100_000):
        raise MethodError(f"providers must be a whole number from 1 to 100,000, not {providers!r}")
    said = None
    if how is Split.SIZES:
        said = _checked_sizes(sizes or ())
    elif how is Split.COLUMN:
        said = int(np.unique(np.asarray(column)).size)
    if said is not None and providers is not None and providers != said:
        raise MethodError(f"the {'sizes' if how is Split.SIZES else 'column'} name {said} providers, not {providers}")
    return said if said is not None else 10 if providers is None else providers


def _checked_sizes(sizes: Sequence[float]) -> int:
    if not sizes:
        raise MethodError("sizes must name at least one provider's rows")
    if all(_is_whole(size) for size in sizes):
        if min(sizes) < 0:
            raise MethodError("sizes must not be below 0")
    elif not all(isinstance(size, float) and 0 <= size <= 1 for size in sizes) or math.fsum(sizes) > 1 + 1e-9:
        raise MethodError(
            f"sizes are whole numbers of rows, or shares from 0.0 to 1.0 that sum to 1 at most, not {list(sizes)!r}"
        )
    return len(sizes)


def _rates(name: str, given: float | Sequence[float], count: int) -> list[float]:
    rates = list(given) if isinstance(given, Sequence) else [given]
    if any(isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1 for rate in rates):
        raise MethodError(f"{name} must be between 0 and 1, not {given!r}")
    if len(rates) not in (1, count):
        raise MethodError(f"{name} takes one rate, or one for each of the {count} providers, not {len(rates)}")
    return [float(rate) for rate in (rates * count if len(rates) == 1 else rates)]


def _is_whole(number: object) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool)


# -- the splits ------------------------------------------------------------------------------------


def _parts(
    how: Split,
    n: int,
    count: int,
    y: NDArray[Any] | None,
    alpha: float,
    sizes: Sequence[float] | None,
    column: NDArray[Any] | None,
    allow_empty: bool,
    rng: np.random.Generator,
) -> tuple[tuple[str, ...], list[NDArray[np.int64]]]:
    """Names of providers, and the rows of each in any order."""
    names = tuple(f"usr{at:0{len(str(count - 1))}d}" for at in range(count))
    match how:
        case Split.CONTIGUOUS:
            return names, np.array_split(np.arange(n), count)
        case Split.IID:
            return names, np.array_split(rng.permutation(n), count)
        case Split.DIRICHLET:
            return names, _by_label_skew(np.asarray(y), count, alpha, allow_empty, rng)
        case Split.SIZES:
            return names, _by_sizes(n, list(sizes or ()), rng)
        case Split.COLUMN:
            values, owner = np.unique(np.asarray(column), return_inverse=True)
            return tuple(str(value) for value in values.tolist()), [np.flatnonzero(owner == at) for at in range(count)]


def _by_sizes(n: int, sizes: list[float], rng: np.random.Generator) -> list[NDArray[np.int64]]:
    whole = [int(size) for size in sizes] if all(_is_whole(size) for size in sizes) else _shares(n, sizes)
    if sum(whole) > n:
        raise DataError(f"the sizes sum to {sum(whole):,}, but there are {n:,} rows")
    order = rng.permutation(n)[: sum(whole)]
    return list(np.split(order, np.cumsum(whole)[:-1]))


def _shares(n: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers of rows nearest to shares of n: the largest remainders are rounded up."""
    exact = [share * n for share in shares]
    whole = [math.floor(part + 1e-9) for part in exact]
    spare = min(round(math.fsum(exact)), n) - sum(whole)
    order = sorted(range(len(whole)), key=lambda at: (whole[at] - exact[at], at))
    for at in order[: max(spare, 0)]:
        whole[at] += 1
    return whole


def _by_label_skew(
    y: NDArray[Any], count: int, alpha: float, allow_empty: bool, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    classes = _classes_of(y, "label skew (dirichlet)")
    for _ in range(_DRAWS):
        parts: list[list[NDArray[np.int64]]] = [[] for _ in range(count)]
        for label in classes:
            own = rng.permutation(np.flatnonzero(y == label))
            cuts = np.rint(np.cumsum(_dirichlet(alpha, count, rng))[:-1] * len(own)).astype(np.int64)
            for part, piece in zip(parts, np.split(own, cuts), strict=True):
                part.append(piece)
        joined = [np.concatenate(part) for part in parts]
        if allow_empty or all(len(part) for part in joined):
            return joined
    raise DataError(
        f"in {_DRAWS} draws every split of {len(y):,} rows with alpha {alpha:g} left one of {count} providers empty; "
        "take a larger alpha or fewer providers, or say that a provider may be empty"
    )


def _dirichlet(alpha: float, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """One draw; with alpha so small that every weight underflows, one provider gets all, which is the limit."""
    drawn = rng.dirichlet(np.full(count, alpha))
    if np.isfinite(drawn).all() and drawn.sum() > 0:
        return drawn
    lone = np.zeros(count)
    lone[rng.integers(count)] = 1.0
    return lone


def _draw(n: int, rate: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Exactly ``round(rate * n)`` of n, as a mask."""
    drawn = np.zeros(n, dtype=np.bool_)
    drawn[rng.choice(n, size=round(rate * n), replace=False)] = True
    return drawn


def _mislabelled(
    y: NDArray[Any], own: NDArray[np.int64], moved: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[Any]:
    """The labels of a provider's rows, some of them moved to another class, each other one as likely."""
    told: NDArray[Any] = np.asarray(y)[own]
    if moved.any():
        classes = _classes_of(np.asarray(y), "label noise")
        here = np.searchsorted(classes, told[moved])
        told[moved] = classes[(here + rng.integers(1, len(classes), size=int(moved.sum()))) % len(classes)]
    return told


def _classes_of(y: NDArray[Any], what: str) -> NDArray[Any]:
    if y.dtype.kind == "f" and not (y == np.rint(y)).all():
        raise DataError(f"{what} needs labels that are classes, not numbers with fractions")
    classes = np.unique(y)
    if classes.size < 2:
        raise DataError(f"{what} needs rows of two classes at least; all {len(y)} have the same")
    return classes
