"""The first job: what each training row is worth to a nearest-neighbour model, exactly."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError, MethodError
from dataworth.kernels import neighbors
from dataworth.kernels.knn import knn_jobs, knn_values, soft_from_fixed
from dataworth.kernels.neighbors import DType, Metric
from dataworth.kernels.regression import regression_values
from dataworth.kernels.team import add_in_order, team_size
from dataworth.kernels.threshold import add_links, neighbour_value, point_weights
from dataworth.kernels.weighted import quantise_weights, weighted_values
from dataworth.records import Points, Values
from dataworth.records.points import missing_features
from dataworth.valuation.methods import (
    KNNRegressionShapley,
    KNNShapley,
    NeighborMethod,
    PointMethod,
    PublicProxy,
    ThresholdKNNShapley,
    ValidationVote,
    WeightedKNNShapley,
)
from dataworth.valuation.provenance import provenance
from dataworth.valuation.reading import check_same_features
from dataworth.valuation.retraining import value_by_retraining
from dataworth.valuation.retraining_methods import RetrainingMethod
from dataworth.valuation.row_games import Players
from dataworth.valuation.task import Task, bar, link_panels

__all__ = ["suggest_radius", "value_points"]

# Distances between validation points are looked at for no more points than this.
_MOST_POINTS = 2000


def value_points(
    train: Points,
    validation: Points,
    *,
    method: PointMethod,
    classes: Sequence[Any] | None = None,
    dtype: DType = "float32",
    threads: int | None = None,
    players: Players = "rows",
    folder: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> Values:
    """The value of every training row to a model, judged by a validation set.

    Methods of nearest neighbours (``KNNShapley``, ``ThresholdKNNShapley``, ...) have closed forms. ``LeaveOneOut``,
    ``DataShapley``, ``DataBanzhaf`` and ``BetaShapley`` train any scikit-learn model again and again and give
    standard errors too.

    Values are means over validation points, so exact Shapley values sum to what the utility gains from no
    rows to all rows (for classification: accuracy gained). Every value depends on other rows: handing exact
    values to data owners reveals something about other owners' data.

    Args:
        train: The rows to value.
        validation: The points that judge; the same features in the same order.
        method: For example ``ThresholdKNNShapley(radius=0.5)`` or ``KNNShapley(k=5)``.
        classes: All class labels there are; by default those found in the validation set. An empty
            neighbourhood guesses among them.
        dtype: ``"float32"`` screens distances in single precision and rechecks close calls in double;
            ``"float64"`` is slower and ranks every row in double, as the weighted and regression methods always do.
        threads: How many threads to use, processes where models are trained; by default one for each core.
        players: What is valued, where models are trained: ``"rows"``, or ``"owners"``, each with all their rows.
        folder: Where models are trained: a folder that keeps what was found, so that a run that was stopped goes on
            and ends with the very same values.
        progress: Whether to show a progress bar; by default only on a terminal.

    Returns:
        Values aligned with ``train.ids``, or with the sorted owners. The same for any number of threads.

    Raises:
        DataError: Features or labels that do not fit together, or zero vectors under cosine.
        MethodError: A method that cannot do what was asked.

    Warns:
        UnmatchedLabels: Some train labels are no class; such rows match no validation point.

    Example:
        >>> import dataworth as dw
        >>> train = dw.Points([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], ["cat", "dog", "dog"])
        >>> validation = dw.Points([[1.0, 0.0]], ["cat"])
        >>> dw.value_points(train, validation, method=dw.ThresholdKNNShapley(radius=0.5), classes=["cat", "dog"]).values
        array([ 0.5, -0.5,  0. ])
    """
    if dtype not in ("float32", "float64"):
        raise InputError(f"dtype must be 'float32' or 'float64', not {dtype!r}")
    if not isinstance(train, Points) or not isinstance(validation, Points):
        raise InputError("train and validation must be dataworth.Points; dataworth.read_points makes them from files")
    check_same_features(train, validation)
    began = time.perf_counter()
    workers = team_size(threads)
    if isinstance(method, RetrainingMethod):
        return value_by_retraining(
            train, validation, method,
            players=players, classes=classes, workers=workers, folder=folder, progress=progress,
        )  # fmt: skip
    if players != "rows" or folder is not None:
        raise MethodError(
            f"{type(method).__name__} has a closed form for rows, so it takes neither players nor a folder; the values "
            "of owners need a method that trains models, such as DataShapley"
        )
    if isinstance(method, KNNRegressionShapley):
        if classes is not None:
            raise MethodError("KNNRegressionShapley predicts numbers, so it takes no classes")
        sums = _regression(train, validation, method, workers, progress)
        n_classes = 0
    else:
        task = Task.of(train, validation, classes)
        sums = _classify(task, method, dtype, workers, progress)
        n_classes = task.n_classes
    return Values(
        ids=train.ids,
        values=sums / len(validation),
        owners=train.owners,
        method=repr(method),
        n_validation=len(validation),
        provenance=provenance(
            len(train),
            train.x.shape[1],
            n_classes,
            "float64" if isinstance(method, _RANKS_IN_FLOAT64) else dtype,
            workers,
            began,
        ),
    )


# Methods that sort every distance in double precision, whatever dtype says about screening.
_RANKS_IN_FLOAT64 = (WeightedKNNShapley, KNNRegressionShapley)


# -- methods ---------------------------------------------------------------------------------------


def _classify(
    task: Task, method: NeighborMethod, dtype: DType, threads: int, progress: bool | None
) -> NDArray[np.float64]:
    """Values summed over validation points."""
    match method:
        case KNNShapley():
            return _knn(task, method, dtype, threads, progress)
        case ThresholdKNNShapley():
            return _linked(task, method, dtype, threads, progress, _threshold_weights(task, method))
        case ValidationVote():
            return _linked(task, method, dtype, threads, progress, _vote_weights)
        case PublicProxy():
            return _linked(task, method, dtype, threads, progress, _proxy_weights(task, method, dtype, threads))
        case WeightedKNNShapley():
            return _weighted(task, method, threads, progress)
        case _:
            raise MethodError(
                f"value_points knows no method {method!r}; see the methods in dataworth, such as KNNShapley"
            )


def _knn(task: Task, method: KNNShapley, dtype: DType, threads: int, progress: bool | None) -> NDArray[np.float64]:
    rows, judges = task.ready(method.metric, dtype, threads)
    n = len(rows)
    soft = method.normalise == "subset"
    k = min(method.k, n) if soft else method.k
    with bar(knn_jobs(n, len(judges), k, dtype), "KNN-Shapley", progress) as tick:
        fixed = knn_values(rows, judges, task.point_codes, k, threads=threads, tick=tick)
    return soft_from_fixed(fixed, task.codes, task.point_codes, k, task.n_classes) if soft else fixed


Weigh = Callable[[neighbors.LinkBits, slice], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""From the links of a panel of validation points to what each point gives a match and a non-match."""


def _linked(
    task: Task,
    method: ThresholdKNNShapley | ValidationVote | PublicProxy,
    dtype: DType,
    threads: int,
    progress: bool | None,
    weigh: Weigh,
) -> NDArray[np.float64]:
    """Link, count, add: the three steps of every value that rests on a radius."""
    rows, judges = task.ready(method.metric, dtype, threads)
    sums = np.zeros(len(rows))
    panels = link_panels(rows, judges)
    jobs = sum(neighbors.link_jobs(len(rows), panel.stop - panel.start) for panel in panels)
    with bar(jobs, type(method).__name__, progress) as tick:
        for panel in panels:
            links = neighbors.link(
                rows, judges.take(panel.start, panel.stop), method.radius, threads=threads, tick=tick
            )
            same, other = weigh(links, panel)
            add_links(rows, links.bits, task.point_codes[panel], same, other, sums, threads=threads)
    return sums


def _threshold_weights(task: Task, method: ThresholdKNNShapley) -> Weigh:
    def weigh(links: neighbors.LinkBits, _: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return point_weights(links.n_same, links.n_other, task.n_classes, method.semivalue)

    return weigh


def _vote_weights(links: neighbors.LinkBits, _: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.ones(links.n_same.size), np.full(links.n_same.size, -1.0)


def _proxy_weights(task: Task, method: PublicProxy, dtype: DType, threads: int) -> Weigh:
    """Values from counts that the validation set predicts: its own leave-one-out links, scaled to the rows expected."""
    judged = Task(task.validation, task.validation, task.point_codes, task.point_codes, task.n_classes)
    rows, judges = judged.ready(method.metric, dtype, threads)
    parts = [
        neighbors.link(rows, judges.take(panel.start, panel.stop), method.radius, threads=threads).counts()
        for panel in link_panels(rows, judges)
    ]
    scale = (method.expected_rows or len(task.train)) / len(task.validation)
    n_same = (np.concatenate([same for same, _ in parts]) - 1 + 0.5) * scale  # a point is its own neighbour
    n_other = (np.concatenate([other for _, other in parts]) + 0.5) * scale

    def weigh(_: neighbors.LinkBits, panel: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        counts = n_same[panel], n_other[panel]
        return neighbour_value(*counts, True, task.n_classes), neighbour_value(*counts, False, task.n_classes)

    return weigh


def _weighted(task: Task, method: WeightedKNNShapley, threads: int, progress: bool | None) -> NDArray[np.float64]:
    strangers = np.unique(task.train.y[task.codes < 0]).size
    labels = task.n_classes + strangers
    if labels > 2:
        raise MethodError(
            f"WeightedKNNShapley is for two classes, but there are {labels} labels; "
            "use KNNShapley or ThresholdKNNShapley, or value one class against the rest"
        )
    # The validation set is public, so its typical distance is a scale that no training row moves.
    scale = 1.0 if method.metric == "cosine" else _typical_distance(task.validation.x, method.metric)

    def point(z: int, order: NDArray[np.int64], distance: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = quantise_weights(distance, method.kernel, method.bits, scale=scale)
        match = task.codes[order] == task.point_codes[z]
        return weighted_values(np.where(match, weights, -weights), method.k)

    return _ranked(task.train, task.validation, method.metric, point, threads, progress, "weighted KNN-Shapley")


def _regression(
    train: Points, validation: Points, method: KNNRegressionShapley, threads: int, progress: bool | None
) -> NDArray[np.float64]:
    for name, points in (("train", train), ("validation", validation)):
        if points.missing:
            raise missing_features(points.missing, len(points))
        if points.y.dtype.kind not in "fiu":
            raise MethodError(f"KNNRegressionShapley needs numeric targets, but {name} labels are {points.y.dtype}")
    y, targets = train.y.astype(np.float64), validation.y.astype(np.float64)

    def point(z: int, order: NDArray[np.int64], _: NDArray[np.float64]) -> NDArray[np.float64]:
        return regression_values(y[order], float(targets[z]), method.k, empty=method.empty)

    return _ranked(train, validation, method.metric, point, threads, progress, "KNN regression Shapley")


def _ranked(
    train: Points,
    validation: Points,
    metric: Metric,
    point: Callable[[int, NDArray[np.int64], NDArray[np.float64]], NDArray[np.float64]],
    threads: int,
    progress: bool | None,
    title: str,
) -> NDArray[np.float64]:
    """Sum what ``point(z, order, distance)`` finds, nearest first, for every validation point z in turn."""
    _check_reach(train, validation, metric)
    total = np.zeros(len(train))

    def job(_: int, z: int, sums: NDArray[np.float64]) -> None:
        order, distance = neighbors.nearest_first(train.x, validation.x[z], metric)
        sums[order] = point(z, order, distance)

    with bar(len(validation), title, progress) as tick:
        add_in_order(job, len(validation), total, threads, tick)
    return total


def _check_reach(train: Points, validation: Points, metric: Metric) -> None:
    """What ``ready`` checks on the way, for methods that take distances one point at a time."""
    if metric == "cosine":
        for points in (train, validation):
            neighbors.check_directions(np.sqrt(np.einsum("ij,ij->i", points.x, points.x, dtype=np.float64)))
    else:
        neighbors.check_scale(train.x, validation.x)


# -- choosing a radius ------------------------------------------------------------------------------


def suggest_radius(validation: Points, *, metric: Metric = "cosine") -> float:
    """A radius chosen on the validation set alone, which is public.

    Tries quantiles of the distances between validation points and takes the radius at which the most points
    are classified rightly by the majority of the others within it (no neighbour counts as a guess, a tied
    vote as a guess among the tied); of equal ones, the largest. At most 2,000 points are looked at, evenly
    spread over the set.

    Args:
        validation: The points that judge; at least two.
        metric: ``"cosine"`` or ``"euclidean"``.

    Returns:
        A radius in the metric's unit.

    Raises:
        DataError: Fewer than two points, or a zero vector under cosine.

    Example:
        >>> import dataworth as dw
        >>> validation = dw.Points([[1.0, 0.1], [1.0, 0.2], [0.1, 1.0], [0.2, 1.0]], [0, 0, 1, 1])
        >>> round(dw.suggest_radius(validation), 4)
        0.5238
    """
    if metric not in neighbors.METRICS:
        raise MethodError(f"metric must be 'cosine' or 'euclidean', not {metric!r}")
    if len(validation) < 2:
        raise DataError("suggest_radius needs at least two validation points; give a radius instead")
    task = Task.of(validation, validation, None)
    _check_reach(validation, validation, metric)
    keep = _spread(len(validation))
    codes = task.point_codes[keep]
    distance = neighbors.pairwise(validation.x[keep], metric)
    np.fill_diagonal(distance, np.inf)
    shares = np.concatenate([[0.001, 0.002, 0.005, 0.01, 0.02], np.linspace(0.05, 1.0, 20)])
    grid = np.unique(np.quantile(distance[np.isfinite(distance)], shares))
    at = np.searchsorted(grid, distance)  # the first radius that takes the pair in; past the end for itself
    right = np.zeros(grid.size)
    for code, first in zip(codes, at, strict=True):
        votes = np.zeros((task.n_classes, grid.size + 1))
        np.add.at(votes, (codes, first), 1.0)
        votes = votes[:, :-1].cumsum(axis=1)
        leading = votes == votes.max(axis=0)
        right += leading[code] / leading.sum(axis=0)
    best = int(np.flatnonzero(right == right.max())[-1])
    return float(np.clip(grid[best], 0.0, 2.0 if metric == "cosine" else np.inf))


def _typical_distance(x: NDArray[Any], metric: Metric) -> float:
    """The median distance between different points; 1 where there is none."""
    distance = neighbors.pairwise(x[_spread(len(x))], metric)
    apart = distance[distance > 0]
    return float(np.median(apart)) if apart.size else 1.0


def _spread(n: int) -> NDArray[np.int64]:
    """Positions of at most 2,000 of n points, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, _MOST_POINTS)).astype(np.int64))
