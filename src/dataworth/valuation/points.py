"""The first job: what each training row is worth to a nearest-neighbour model, exactly."""

from __future__ import annotations

import platform
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import dataworth
from dataworth.errors import DataError, InputError, MethodError, UnmatchedLabels
from dataworth.kernels import neighbors
from dataworth.kernels.knn import knn_jobs, knn_values, soft_from_fixed
from dataworth.kernels.neighbors import DType, Judges, Metric, Rows
from dataworth.kernels.regression import regression_values
from dataworth.kernels.team import Tick, add_in_order, blocks, team_size
from dataworth.kernels.threshold import add_links, neighbour_value, point_weights
from dataworth.kernels.weighted import quantise_weights, weighted_values
from dataworth.records import Points, Values
from dataworth.valuation.methods import (
    KNNRegressionShapley,
    KNNShapley,
    PointMethod,
    PublicProxy,
    ThresholdKNNShapley,
    ValidationVote,
    WeightedKNNShapley,
)
from dataworth.valuation.reading import check_same_features

__all__ = ["suggest_radius", "value_points"]

# Memory for the bits of the links held at once; more validation points come in further panels.
_BITS_BYTES = 64 * 2**20
# suggest_radius looks at no more validation points than this, evenly spread.
_RADIUS_POINTS = 2000


def value_points(
    train: Points,
    validation: Points,
    *,
    method: PointMethod,
    classes: Sequence[Any] | None = None,
    dtype: DType = "float32",
    threads: int | None = None,
    progress: bool | None = None,
) -> Values:
    """The value of every training row to a nearest-neighbour model, judged by a validation set.

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
        threads: How many threads to use; by default one for each core.
        progress: Whether to show a progress bar; by default only on a terminal.

    Returns:
        Values aligned with ``train.ids``. The same for any number of threads.

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
    if isinstance(method, KNNRegressionShapley):
        if classes is not None:
            raise MethodError("KNNRegressionShapley predicts numbers, so it takes no classes")
        sums = _regression(train, validation, method, workers, progress)
        n_classes = 0
    else:
        task = _Task.of(train, validation, classes)
        sums = _classify(task, method, dtype, workers, progress)
        n_classes = task.n_classes
    return Values(
        ids=train.ids,
        values=sums / len(validation),
        owners=train.owners,
        method=repr(method),
        n_validation=len(validation),
        provenance={
            "dataworth": dataworth.__version__,
            "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "rows": len(train),
            "features": train.x.shape[1],
            "classes": n_classes,
            "dtype": "float64" if isinstance(method, _RANKS_IN_FLOAT64) else dtype,
            "threads": workers,
            "seconds": round(time.perf_counter() - began, 3),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    )


# Methods that sort every distance in double precision, whatever dtype says about screening.
_RANKS_IN_FLOAT64 = (WeightedKNNShapley, KNNRegressionShapley)


# -- the task: labels as class numbers --------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Task:
    """Train and validation with their labels as class numbers; -1 for a train label that is no class."""

    train: Points
    validation: Points
    codes: NDArray[np.int64]
    point_codes: NDArray[np.int64]
    n_classes: int

    @classmethod
    def of(cls, train: Points, validation: Points, classes: Sequence[Any] | None) -> _Task:
        for name, points in (("train", train), ("validation", validation)):
            if points.y.dtype.kind == "f" and not (points.y == np.rint(points.y)).all():
                raise MethodError(
                    f"{name} labels are numbers with fractions, which are no classes; "
                    "use KNNRegressionShapley, or turn them into classes"
                )
        known = _class_list(validation, classes)
        _check_same_kind(train.y, known, "train labels")
        codes, point_codes = _encode(train.y, known), _encode(validation.y, known)
        strange = int((point_codes < 0).sum())
        if strange:
            raise DataError(f"{strange} of {len(validation)} validation labels are not among the classes given")
        unmatched = int((codes < 0).sum())
        if unmatched:
            warnings.warn(
                f"{unmatched} of {len(train)} train labels are no validation class: those rows match no "
                "validation point, so they can only lower the votes of others",
                UnmatchedLabels,
                stacklevel=3,
            )
        return cls(train, validation, codes, point_codes, known.size)

    def ready(self, metric: Metric, dtype: DType, threads: int) -> tuple[Rows, Judges]:
        """Rows and points made ready for tiles; euclidean data is centred on the validation mean, which is public."""
        centre = self.validation.x.mean(axis=0, dtype=np.float64) if metric == "euclidean" else None
        rows = neighbors.prepare(
            self.train.x, self.codes, self.n_classes, metric, centre=centre, dtype=dtype, threads=threads
        )
        return rows, Judges.ready(rows, self.validation.x, self.point_codes, centre)


def _class_list(validation: Points, classes: Sequence[Any] | None) -> NDArray[Any]:
    if classes is None:
        return np.unique(validation.y)
    given = np.asarray(list(classes))
    if given.ndim != 1 or given.size == 0 or given.dtype.kind not in "USTiubf":
        raise InputError(f"classes must be a list of labels, not {given.dtype} of shape {given.shape}")
    if np.unique(given).size != given.size:
        raise InputError(f"classes repeats labels: {given.size} given, {np.unique(given).size} different")
    _check_same_kind(validation.y, given, "validation labels")
    return np.unique(given.astype(np.str_) if given.dtype.kind in "ST" else given)


def _check_same_kind(labels: NDArray[Any], classes: NDArray[Any], name: str) -> None:
    kinds = {True: "text", False: "numbers"}
    ours, theirs = labels.dtype.kind == "U", classes.dtype.kind == "U"
    if ours != theirs:
        raise DataError(f"{name} are {kinds[ours]}, but the classes are {kinds[theirs]}; use one kind for both")


def _encode(labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64]:
    at = np.minimum(np.searchsorted(classes, labels), classes.size - 1)
    return np.where(classes[at] == labels, at, -1).astype(np.int64)


# -- methods ---------------------------------------------------------------------------------------


def _classify(
    task: _Task, method: PointMethod, dtype: DType, threads: int, progress: bool | None
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


def _knn(task: _Task, method: KNNShapley, dtype: DType, threads: int, progress: bool | None) -> NDArray[np.float64]:
    rows, judges = task.ready(method.metric, dtype, threads)
    n = len(rows)
    soft = method.normalise == "subset"
    k = min(method.k, n) if soft else method.k
    with _bar(knn_jobs(n, len(judges), k), "KNN-Shapley", progress) as tick:
        fixed = knn_values(rows, judges, task.point_codes, k, threads=threads, tick=tick)
    return soft_from_fixed(fixed, task.codes, task.point_codes, k, task.n_classes) if soft else fixed


Weigh = Callable[[neighbors.LinkBits, slice], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""From the links of a panel of validation points to what each point gives a match and a non-match."""


def _linked(
    task: _Task,
    method: ThresholdKNNShapley | ValidationVote | PublicProxy,
    dtype: DType,
    threads: int,
    progress: bool | None,
    weigh: Weigh,
) -> NDArray[np.float64]:
    """Link, count, add: the three steps of every value that rests on a radius."""
    rows, judges = task.ready(method.metric, dtype, threads)
    sums = np.zeros(len(rows))
    panels = blocks(len(judges), max(8, _BITS_BYTES * 8 // len(rows) // 8 * 8))
    jobs = sum(neighbors.link_jobs(len(rows), stop - start) for start, stop in panels)
    with _bar(jobs, type(method).__name__, progress) as tick:
        for start, stop in panels:
            links = neighbors.link(rows, judges.take(start, stop), method.radius, threads=threads, tick=tick)
            same, other = weigh(links, slice(start, stop))
            add_links(rows, links.bits, task.point_codes[start:stop], same, other, sums, threads=threads)
    return sums


def _threshold_weights(task: _Task, method: ThresholdKNNShapley) -> Weigh:
    def weigh(links: neighbors.LinkBits, _: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return point_weights(links.n_same, links.n_other, task.n_classes, method.semivalue)

    return weigh


def _vote_weights(links: neighbors.LinkBits, _: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.ones(links.n_same.size), np.full(links.n_same.size, -1.0)


def _proxy_weights(task: _Task, method: PublicProxy, dtype: DType, threads: int) -> Weigh:
    """Values from counts that the validation set predicts: its own leave-one-out links, scaled to the rows expected."""
    judged = _Task(task.validation, task.validation, task.point_codes, task.point_codes, task.n_classes)
    rows, judges = judged.ready(method.metric, dtype, threads)
    links = neighbors.link(rows, judges, method.radius, threads=threads)
    scale = (method.expected_rows or len(task.train)) / len(task.validation)
    n_same = (links.n_same - 1 + 0.5) * scale  # a point is always its own neighbour, of its own label
    n_other = (links.n_other + 0.5) * scale

    def weigh(_: neighbors.LinkBits, panel: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        counts = n_same[panel], n_other[panel]
        return neighbour_value(*counts, True, task.n_classes), neighbour_value(*counts, False, task.n_classes)

    return weigh


def _weighted(task: _Task, method: WeightedKNNShapley, threads: int, progress: bool | None) -> NDArray[np.float64]:
    labels = np.unique(np.concatenate([np.unique(task.codes), np.arange(task.n_classes)])).size
    if labels > 2:
        raise MethodError(
            f"WeightedKNNShapley is for two classes, but there are {labels} labels; "
            "use KNNShapley or ThresholdKNNShapley, or value one class against the rest"
        )
    _refuse_zero_rows(task.train, task.validation, method.metric)
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
        if points.y.dtype.kind not in "fiu":
            raise MethodError(f"KNNRegressionShapley needs numeric targets, but {name} labels are {points.y.dtype}")
    _refuse_zero_rows(train, validation, method.metric)
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
    total = np.zeros(len(train))

    def job(_: int, z: int, sums: NDArray[np.float64]) -> None:
        order, distance = neighbors.nearest_first(train.x, validation.x[z], metric)
        sums[order] = point(z, order, distance)

    with _bar(len(validation), title, progress) as tick:
        add_in_order(job, len(validation), total, threads, tick)
    return total


def _refuse_zero_rows(train: Points, validation: Points, metric: Metric) -> None:
    if metric == "cosine":
        for points in (train, validation):
            neighbors.check_directions(np.sqrt(np.einsum("ij,ij->i", points.x, points.x, dtype=np.float64)))


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
    if len(validation) < 2:
        raise DataError("suggest_radius needs at least two validation points; give a radius instead")
    task = _Task.of(validation, validation, None)
    n = len(validation)
    keep = np.unique(np.linspace(0, n - 1, min(n, _RADIUS_POINTS)).astype(np.int64))
    x, codes = validation.x[keep], task.point_codes[keep]
    _refuse_zero_rows(validation, validation, metric)
    distance = neighbors.pairwise(x, metric)
    np.fill_diagonal(distance, np.inf)
    shares = np.concatenate([[0.001, 0.002, 0.005, 0.01, 0.02], np.linspace(0.05, 1.0, 20)])
    grid = np.unique(np.quantile(distance[np.isfinite(distance)], shares))
    at = np.searchsorted(grid, distance)  # the first radius that takes the pair in; past the end for itself
    votes = np.zeros((len(keep), task.n_classes, grid.size + 1))
    for z in range(len(keep)):
        np.add.at(votes[z], (codes, at[z]), 1.0)
    votes = votes[:, :, :-1].cumsum(axis=2)
    most = votes.max(axis=1, keepdims=True)
    leading = votes == most
    right = leading[np.arange(len(keep)), codes, :] / leading.sum(axis=1)
    accuracy = right.mean(axis=0)
    best = int(np.flatnonzero(accuracy == accuracy.max())[-1])
    top = 2.0 if metric == "cosine" else np.inf
    return float(np.clip(grid[best], 0.0, top))


def _typical_distance(x: NDArray[Any], metric: Metric) -> float:
    """The median distance between different points; 1 where there is none."""
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), _RADIUS_POINTS)).astype(np.int64))
    distance = neighbors.pairwise(x[keep], metric)
    apart = distance[distance > 0]
    return float(np.median(apart)) if apart.size else 1.0


# -- progress ---------------------------------------------------------------------------------------


@contextmanager
def _bar(jobs: int, title: str, progress: bool | None) -> Iterator[Tick]:
    """A progress bar on a terminal, or where asked for."""
    from tqdm.auto import tqdm

    with tqdm(total=jobs, desc=title, disable=None if progress is None else not progress, leave=False) as bar:
        yield bar.update
