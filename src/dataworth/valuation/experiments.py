"""The standard experiments on values: whether they find bad rows, and what a model is without, or with, the best.

They go by the names that other libraries of data valuation gave them, for values of any method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.records import Exhibit, Points, Table, Values
from dataworth.valuation.curves import (
    ADDED,
    REMOVED,
    Retraining,
    lines_of,
    removal_curve,
    table_of_runs,
    values_of,
)

__all__ = [
    "Curve",
    "area_of",
    "best_discovery",
    "clusters_note",
    "discovery_curve",
    "noisy_label_detection",
    "point_addition",
    "point_removal",
    "two_clusters",
]

INSPECTED, FOUND = "share of rows inspected", "share of bad rows found"
BEST, RANDOM = "best possible", "random order"


@dataclass(frozen=True, eq=False)
class Curve:
    """Lines over a share of the rows, as figures, as a picture, and each as one number.

    Args:
        table: The shares, and a column a line.
        picture: The lines drawn, for a report.
        areas: Name of each line to the area under it, divided by the width of the curve: the mean height.

    Example:
        >>> import dataworth as dw
        >>> values = dw.Values([1, 2, 3, 4], [-0.5, -0.2, 0.1, 0.3], method="by hand", n_validation=4)
        >>> found = dw.discovery_curve(values, [True, False, False, False])
        >>> round(found.areas["lowest value first"], 3), found.picture.kind
        (0.875, 'curve')
    """

    table: Table
    picture: Exhibit
    areas: Mapping[str, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "areas", MappingProxyType(dict(self.areas)))


def noisy_label_detection(values: Values, bad: ArrayLike) -> Table:
    """How well low values find rows with wrong labels, by their order and by a cut in two clusters.

    OpenDataVal calls it ``noisy_detection``. The values are cut in two where that leaves the least squared distance to
    the means of both parts (two-means, solved exactly), and every row of the lower part is called bad. That rule needs
    no threshold and pays for it: where values have no gap it cuts somewhere in the middle. AUROC and average precision
    judge the order alone.

    Args:
        values: The values.
        bad: Boolean mask of the rows known to be bad, shape ``(n,)``, in the order of ``values.ids``; some but not all.

    Returns:
        One row: ``AUROC``, ``average precision``, ``called bad`` (how many rows the rule calls bad), ``precision``,
        ``recall`` and ``F1`` of that call, ``F1 by chance`` (what calling as many rows at random gets on average).
        Where all values are equal there are no two parts: nothing is called bad, and the figures of the call are None.

    Raises:
        InputError: The mask has another shape or type, or marks no row or every row.

    Example:
        >>> import dataworth as dw
        >>> values = dw.Values(range(5), [-0.5, -0.4, 0.1, 0.2, 0.3], method="by hand", n_validation=4)
        >>> table = dw.noisy_label_detection(values, [True, False, False, False, False])
        >>> table.columns["called bad"], table.columns["precision"], table.columns["recall"]
        ((2,), (0.5,), (1.0,))
    """
    found = values.detection(bad)
    mask = np.asarray(bad)
    called = two_clusters(values.values)
    n, n_called = len(values), int(called.sum())
    hit = int((called & mask).sum())
    sizes = n_called + found.n_bad
    figures: dict[str, float | int | None] = {
        "AUROC": found.auroc,
        "average precision": found.average_precision,
        "called bad": n_called,
        "precision": hit / n_called if n_called else None,
        "recall": hit / found.n_bad if n_called else None,
        "F1": 2 * hit / sizes if n_called else None,
        "F1 by chance": 2 * n_called * found.n_bad / n / sizes if n_called else None,
    }
    said = clusters_note(found.n_bad, n)
    if not n_called:
        said += " All values are equal: there are no two clusters."
    return Table(
        "noisy-label-detection", "Finding bad labels", {key: [figure] for key, figure in figures.items()}, said
    )


def point_removal(
    values: Values,
    train: Points,
    test: Points,
    model: Any,
    *,
    fractions: Sequence[float] | None = None,
    repeats: int = 5,
    seed: int = 0,
) -> Curve:
    """What a model is without the rows of highest, of lowest value.

    OpenDataVal calls it ``remove_high_low``, pyDVL the removal of points. The figures are those of
    :func:`dataworth.removal_curve`, with a picture and the area under each line.

    Args:
        values: Values of the rows of ``train``, matched by id, in any order.
        train: The points that were valued.
        test: The points that judge: other ones than those that gave the values, which would flatter them.
        model: A scikit-learn classifier or pipeline. It is cloned for every fit; a ``random_state`` of None
            is set to ``seed``.
        fractions: Rising shares of rows to remove, from 0 to 1; ``0, 0.05, ..., 0.5`` if not given.
        repeats: How many random orders to average.
        seed: Seed of the random orders, of ties between equal values, and of the model.

    Returns:
        Good values keep the line ``lowest first`` up and let ``highest first`` fall.

    Raises:
        DataError, MethodError: As :func:`dataworth.removal_curve`.

    Example:
        >>> import dataworth as dw
        >>> from sklearn.neighbors import KNeighborsClassifier
        >>> points = dw.Points([[0.0], [0.1], [1.0], [1.1]], ["a", "b", "b", "b"])
        >>> values = dw.Values(points.ids, [0.2, -0.1, 0.1, 0.1], method="by hand", n_validation=4)
        >>> curve = dw.point_removal(values, points, points, KNeighborsClassifier(1), fractions=[0, 0.5, 1])
        >>> curve.areas["lowest first"]
        0.75
    """
    table = removal_curve(values, train, test, model, fractions=fractions, repeats=repeats, seed=seed)
    return _accuracies(
        table,
        REMOVED,
        ["lowest first", "random", "highest first"],
        "Useful values keep the first line at or above random and pull the last below it.",
    )


def point_addition(
    values: Values,
    train: Points,
    test: Points,
    model: Any,
    *,
    fractions: Sequence[float] | None = None,
    repeats: int = 5,
    seed: int = 0,
) -> Curve:
    """What a model learns from the rows of highest, of lowest value alone.

    It starts from nothing, where a constant answer gets ``1 / number of test classes``; with one class so far, it
    answers that class.

    Args:
        values: Values of the rows of ``train``, matched by id, in any order.
        train: The points that were valued.
        test: The points that judge: other ones than those that gave the values, which would flatter them.
        model: A scikit-learn classifier or pipeline. It is cloned for every fit; a ``random_state`` of None
            is set to ``seed``.
        fractions: Rising shares of rows to train on, from 0 to 1; ``0, 0.05, ..., 0.5`` if not given.
        repeats: How many random orders to average.
        seed: Seed of the random orders, of ties between equal values, and of the model.

    Returns:
        Columns ``added`` (the share), ``highest first``, ``lowest first``, ``random`` (mean over the repeats),
        ``random, lowest run`` and ``random, highest run``. Good values make ``highest first`` rise fast. They need not
        beat random early on: rows of high value can be much alike.

    Raises:
        DataError, MethodError: As :func:`dataworth.removal_curve`.

    Example:
        >>> import dataworth as dw
        >>> from sklearn.neighbors import KNeighborsClassifier
        >>> points = dw.Points([[0.0], [0.1], [1.0], [1.1]], ["a", "b", "b", "b"])
        >>> values = dw.Values(points.ids, [0.2, -0.1, 0.1, 0.05], method="by hand", n_validation=4)
        >>> curve = dw.point_addition(values, points, points, KNeighborsClassifier(1), fractions=[0, 0.5, 1])
        >>> curve.table.columns["highest first"]
        (0.5, 0.75, 1.0)
    """
    by_row = values_of(values, train)
    job = Retraining(model, train, test, fractions=fractions, repeats=repeats, seed=seed)
    table = table_of_runs(
        "addition-curve",
        "Accuracy as rows are added",
        ADDED,
        job,
        {
            "highest first": job.adding(job.orders.highest_first(by_row)),
            "lowest first": job.adding(job.orders.lowest_first(by_row)),
        },
        [job.adding(order) for order in job.orders.random],
    )
    return _accuracies(
        table,
        ADDED,
        ["highest first", "random", "lowest first"],
        "Useful values raise the first line fast and keep the last below random. Rows of high value can be much alike, "
        "so that random rows teach more at first.",
    )


def discovery_curve(values: Values, bad: ArrayLike) -> Curve:
    """How fast bad rows are found, looking at the lowest values first.

    OpenDataVal calls it ``discover_corrupted_sample``.

    Args:
        values: The values.
        bad: Boolean mask of the rows known to be bad, shape ``(n,)``, in the order of ``values.ids``; some but not all.

    Returns:
        Columns ``inspected`` (the share of all rows, in steps of a hundredth), ``lowest value first`` (the share of bad
        rows found by then; rows of equal value count in an average order), ``best possible`` (all bad rows first) and
        ``random order``. With a share ``r`` of bad rows, the area under the first is ``r / 2 + (1 - r) AUROC``.

    Raises:
        InputError: The mask has another shape or type, or marks no row or every row.

    Example:
        >>> import dataworth as dw
        >>> values = dw.Values([1, 2, 3, 4], [-0.5, -0.2, 0.1, 0.3], method="by hand", n_validation=4)
        >>> curve = dw.discovery_curve(values, [True, False, False, False])
        >>> curve.table.columns["lowest value first"] == curve.table.columns["best possible"]
        True
    """
    found = values.detection(bad)
    shares = np.array(found.curve.columns["inspected"], dtype=np.float64)
    table = Table(
        "discovery-curve",
        "Bad rows found when the lowest values are inspected first",
        {
            "inspected": shares.tolist(),
            "lowest value first": found.curve.columns["found"],
            BEST: best_discovery(shares, found.n_bad, len(values)).tolist(),
            RANDOM: shares.tolist(),
        },
        note=f"{found.n_bad:,} of {len(values):,} rows are known to be bad.",
    )
    lines = ["lowest value first", BEST, RANDOM]
    return Curve(
        table,
        Exhibit(
            "discovery-curve",
            "curve",
            lines_of(table, "inspected", lines, names=(INSPECTED, "order", FOUND)),
            x=INSPECTED,
            y=FOUND,
            series="order",
            alt="Lines of the share of bad rows found against the share inspected: lowest value first, at best, and "
            "at random.",
            caption=(
                f"{table.note} Reading the lowest 10% finds {found.found_in_lowest(0.1):.0%} of them; the lowest 20%, "
                f"{found.found_in_lowest(0.2):.0%}."
            ),
        ),
        {line: area_of(shares, table.columns[line]) for line in lines},
    )


def clusters_note(n_bad: int, n: int) -> str:
    """What the figures of noisy label detection are, in words."""
    return (
        f"{n_bad:,} of {n:,} rows are known to be bad. Rows are called bad by cutting the values in two clusters "
        "(two-means) and taking the lower one; F1 by chance is what calling as many rows at random gets. AUROC (0.5 is "
        f"guessing) and average precision (guessing gives {n_bad / n:.3f}) judge the order alone."
    )


def best_discovery(shares: NDArray[np.float64], n_bad: int, n: int) -> NDArray[np.float64]:
    """The share of bad rows found at each share inspected when all bad rows come first."""
    return np.minimum(shares * n / n_bad, 1.0)


def two_clusters(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which values are in the lower one of two clusters, bool, shape ``(n,)``; none if all are equal.

    The cut is the one with the least squared distances to the means of both parts, found by looking at every cut
    between unequal values; of equally good ones, the lowest.

    Example:
        >>> two_clusters(np.array([0.0, 9.0, 1.0, 8.0])).tolist()
        [True, False, True, False]
    """
    levels, count = np.unique(values, return_counts=True)
    if levels.size < 2:
        return np.zeros(values.shape, dtype=np.bool_)
    # Moved and scaled, so that squares neither vanish nor overflow nor drown in a common offset.
    scaled = levels / np.abs(levels).max()
    scaled = scaled - np.average(scaled, weights=count)
    scaled = scaled / np.abs(scaled).max()
    below, total = np.cumsum(count)[:-1], np.cumsum(count * scaled)
    low, high = total[:-1] / below, (total[-1] - total[:-1]) / (values.size - below)
    between = below * low**2 + (values.size - below) * high**2  # what the cut takes off the squared distances
    best = int(np.flatnonzero(between >= between.max() * (1 - 1e-12))[0])
    lower: NDArray[np.bool_] = values <= levels[best]
    return lower


def area_of(x: Sequence[Any] | NDArray[np.float64], y: Sequence[Any] | NDArray[np.float64]) -> float:
    """The area under a line divided by its width: its mean height over ``x``; the height of a single point."""
    across, up = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    return float(np.trapezoid(up, across) / (across[-1] - across[0])) if across.size > 1 else float(up[0])


def _accuracies(table: Table, along: str, lines: Sequence[str], said: str) -> Curve:
    x = f"share of rows {along}"
    spread = np.subtract(*(np.array(table.columns[f"random, {end} run"]) for end in ("highest", "lowest"))).max()
    return Curve(
        table,
        Exhibit(
            table.name,
            "curve",
            lines_of(table, along, lines, names=(x, "order", "accuracy")),
            x=x,
            y="accuracy",
            series="order",
            alt=f"Lines of accuracy on the test points against the share of rows {along}: {', '.join(lines)}.",
            caption=f"{said} {table.note} They differed by up to {spread:.3f}.",
        ),
        {line: area_of(table.columns[along], table.columns[line]) for line in lines},
    )
