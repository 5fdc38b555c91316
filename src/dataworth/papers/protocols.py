"""Three ways from a data set to training and validation points: as published, without leaks, and shifted.

``published`` follows the original preparation step by step, random call by random call, so that the printed
numbers come out; it balances the classes with copies before it splits, so copies of one row can stand on both
sides. ``leak-free`` splits first. From then on both do the same: corrupt the first tenth of the training rows,
scale by the training rows, and give every row length 1.

``shifted`` scales by the whole file and then draws training rows that are unlike the validation rows: the further
along a random direction, the likelier. What the validation set says of its own surroundings is then no guide to
the training rows'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError
from dataworth.papers.datasets import Dataset, Pool
from dataworth.records import Points

__all__ = ["FIRST_SEED", "NoiseScale", "Prepared", "Protocol", "Task", "prepare"]

Protocol: TypeAlias = Literal["published", "leak-free", "shifted"]
Task: TypeAlias = Literal["mislabel", "noisy", "clean"]
NoiseScale: TypeAlias = Literal["norm", "mean"]

FIRST_SEED = {"published": 999, "leak-free": 0, "shifted": 0}
"""The first seed of each protocol; 999 is the original's."""

_Random: TypeAlias = np.random.RandomState | np.random.Generator
_Rows: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Prepared:
    """What an experiment values.

    Args:
        train: Training points, every row of length 1.
        validation: Validation points, every row of length 1.
        bad: Which training rows are corrupted, shape ``(n_train,)``; none for the clean task.
        train_rows: Which row of the data set each training point was, shape ``(n_train,)``.
        validation_rows: Which row of the data set (of its held-out part, if it has one) each validation point was.
    """

    train: Points
    validation: Points
    bad: NDArray[np.bool_]
    train_rows: _Rows
    validation_rows: _Rows


def prepare(
    dataset: Dataset,
    task: Task,
    *,
    protocol: Protocol,
    seed: int,
    noise: NoiseScale = "norm",
    at_most: int | None = None,
) -> Prepared:
    """Draw, corrupt and scale.

    Args:
        dataset: Where the rows come from.
        task: ``"mislabel"`` gives the first tenth of the training rows a wrong label, each other class equally
            likely; ``"noisy"`` adds Gaussian noise to their features; ``"clean"`` leaves them as they are.
        protocol: How rows are drawn. Texts and images are drawn the same way as published and leak-free, and
            cannot be drawn shifted.
        seed: Of everything random.
        noise: Standard deviation of a feature's noise: ``"norm"`` is the L2 norm of its column over the training
            rows, which is what the published numbers were made with; ``"mean"`` is the mean of its absolute
            values, which is what the paper says, and at least ``sqrt(n_train)`` times smaller.
        at_most: Value no more than this many training rows.

    Raises:
        DataError: Too few rows to draw from, or ``"shifted"`` for what is no table.
    """
    random: _Random
    n_train = min(dataset.source.n_train, at_most or dataset.source.n_train)
    if protocol == "shifted":
        return _shifted(dataset, task, n_train, np.random.default_rng(seed), noise)
    if dataset.source.kind != "table":
        random = np.random.default_rng(seed)
        train_rows, validation_rows = _balanced_rows(dataset, n_train, random)
    elif protocol == "published":
        random = np.random.RandomState(seed)  # the original's generator, so that its draws come out
        train_rows, validation_rows = _published_rows(dataset, n_train, random)
    else:
        random = np.random.default_rng(seed)
        train_rows, validation_rows = _split_rows(dataset, n_train, random)

    judges = dataset.held_out or dataset.rows
    x, y = dataset.rows.x[train_rows], dataset.rows.y[train_rows]
    x_validation, y_validation = judges.x[validation_rows], judges.y[validation_rows]
    x, x_validation = _fill(x, x_validation)
    bad = _bad_rows(y.size, task)
    if task == "noisy":
        _add_noise(x, bad, noise, random)
    x, x_validation = _scale(x, x_validation, by_deviation=dataset.source.kind == "table")
    if task == "mislabel":
        shift = random.choice(np.arange(1, dataset.classes), size=int(bad.sum()))
        y[bad] = (y[bad] + shift) % dataset.classes
    return Prepared(Points(x, y), Points(x_validation, y_validation), bad, train_rows, validation_rows)


def _shifted(dataset: Dataset, task: Task, n_train: int, random: np.random.Generator, noise: NoiseScale) -> Prepared:
    """Two classes: scale by the whole file, split off validation, draw rows likelier the further they lie one way.

    Rows stay in the order drawn, and likelier rows tend to be drawn earlier.
    """
    if dataset.source.kind != "table":
        raise DataError(f"{dataset.source.name} holds {dataset.source.kind}, but only tables can be shifted")
    _check_two_classes(dataset)
    n_validation = dataset.source.n_train // 10
    rows = random.permutation(dataset.rows.y.size)
    validation, pool = rows[:n_validation], rows[n_validation:]
    n_train = min(n_train, pool.size // 2)
    if n_train < 10:
        raise DataError(f"{dataset.source.name} needs at least {n_validation + 20} rows here, but has {rows.size}")
    scaled = _standardise(_fill(dataset.rows.x, dataset.rows.x)[0])
    direction = random.normal(size=scaled.shape[1])
    along = _standardise(scaled[pool] @ (direction / np.linalg.norm(direction)))
    weights = np.exp(2 * (along - along.max()))
    if np.count_nonzero(weights) < n_train:
        raise DataError(f"{dataset.source.name} has rows so far out that the others would never be drawn")
    train = pool[random.choice(pool.size, size=n_train, replace=False, p=weights / weights.sum())]
    x, y, bad = scaled[train], dataset.rows.y[train], _bad_rows(n_train, task)
    if task == "noisy":
        _add_noise(x, bad, noise, random)
    if task == "mislabel":
        y[bad] = 1 - y[bad]
    judges = Points(_unit(scaled[validation]), dataset.rows.y[validation])
    return Prepared(Points(_unit(x), y), judges, bad, train, validation)


def _bad_rows(n_train: int, task: Task) -> NDArray[np.bool_]:
    """The first tenth, unless the task is clean."""
    return np.arange(n_train) < (0 if task == "clean" else n_train // 10)


def _published_rows(dataset: Dataset, n_train: int, random: _Random) -> tuple[_Rows, _Rows]:
    """Two classes: copy the smaller one up to the larger, shuffle, split off validation, draw half of each.

    The order of the random calls is the original's and must stay: the printed numbers depend on it.
    """
    y, n_validation = dataset.rows.y, n_train // 10
    _check_two_classes(dataset)
    smaller = 1 if y.mean() < 0.5 else 0
    few, many = np.flatnonzero(y == smaller), np.flatnonzero(y != smaller)
    copies = random.choice(few, size=many.size - few.size)
    rows = random.permutation(np.concatenate([np.arange(y.size), copies]))
    validation, pool = rows[:n_validation], rows[n_validation:]
    halves = []
    for is_smaller in (True, False):
        half = pool[(y[pool] == smaller) == is_smaller]
        if half.size < n_train // 2:
            raise _too_few(dataset, n_train // 2, half.size)
        halves.append(random.choice(half, size=n_train // 2, replace=False))
    train = np.concatenate(halves)
    random.shuffle(train)
    return train, validation


def _split_rows(dataset: Dataset, n_train: int, random: np.random.Generator) -> tuple[_Rows, _Rows]:
    """Two classes: split off the validation rows, half of each class, then draw half of each for training.

    A class with too few rows left is drawn with copies, on the training side alone.
    """
    _check_two_classes(dataset)
    train, validation = [], []
    for code in (0, 1):
        rows = random.permutation(np.flatnonzero(dataset.rows.y == code))
        judges, pool = rows[: n_train // 20], rows[n_train // 20 :]
        if pool.size == 0:
            raise _too_few(dataset, n_train // 20 + 1, rows.size)
        copies = random.choice(pool, size=max(0, n_train // 2 - pool.size))
        validation.append(judges)
        train.append(np.concatenate([pool[: n_train // 2], copies]))
    return random.permutation(np.concatenate(train)), random.permutation(np.concatenate(validation))


def _balanced_rows(dataset: Dataset, n_train: int, random: np.random.Generator) -> tuple[_Rows, _Rows]:
    """Any classes, no copies: equally many of each, as many as the paper's if the rows are there.

    A tenth as many judge, from the held-out part if there is one.
    """
    shuffled = [random.permutation(rows) for rows in _rows_by_class(dataset.rows, dataset.classes)]
    fewest = min(rows.size for rows in shuffled)
    each = n_train // dataset.classes
    if dataset.held_out is not None:
        others = [random.permutation(rows) for rows in _rows_by_class(dataset.held_out, dataset.classes)]
        each = min(each, fewest)
        judges = min(each // 10, *(rows.size for rows in others))
        validation = [rows[:judges] for rows in others]
    else:
        each = min(each, 10 * fewest // 11)
        judges = each // 10
        validation = [rows[each : each + judges] for rows in shuffled]
    if judges == 0:
        raise _too_few(dataset, 11, fewest)
    train = np.concatenate([rows[:each] for rows in shuffled])
    return random.permutation(train), random.permutation(np.concatenate(validation))


def _rows_by_class(pool: Pool, classes: int) -> list[_Rows]:
    return [np.flatnonzero(pool.y == code) for code in range(classes)]


def _fill(
    x: NDArray[np.floating], x_validation: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Missing numbers become the median of their column over the training rows (0 if it has none)."""
    if not (np.isnan(x).any() or np.isnan(x_validation).any()):
        return x, x_validation
    masked = np.ma.masked_invalid(x)
    median = np.ma.median(masked, axis=0).filled(0.0)  # type: ignore[no-untyped-call]
    return np.where(np.isnan(x), median, x), np.where(np.isnan(x_validation), median, x_validation)


def _add_noise(x: NDArray[np.floating], bad: NDArray[np.bool_], noise: NoiseScale, random: _Random) -> None:
    deviation = np.linalg.norm(x, axis=0) if noise == "norm" else np.abs(x).mean(axis=0)
    x[bad] += random.normal(0.0, deviation, size=(int(bad.sum()), x.shape[1])).astype(x.dtype)


def _scale(
    x: NDArray[np.floating], x_validation: NDArray[np.floating], *, by_deviation: bool
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Centre both by the training rows, divide by their deviation if asked, and give each row length 1."""
    centre = x.mean(axis=0)
    deviation = _deviation(x) if by_deviation else np.ones_like(centre)
    return _unit((x - centre) / deviation), _unit((x_validation - centre) / deviation)


def _standardise(x: NDArray[np.floating]) -> NDArray[np.float64]:
    standard: NDArray[np.float64] = (x - x.mean(axis=0)) / _deviation(x)
    return standard


def _deviation(x: NDArray[np.floating]) -> NDArray[np.floating]:
    deviation: NDArray[np.floating] = np.maximum(x.std(axis=0), 1e-12)  # a column of one number stays at its mean
    return deviation


def _unit(x: NDArray[np.floating]) -> NDArray[np.floating]:
    length = np.linalg.norm(x, axis=1, keepdims=True)
    unit: NDArray[np.floating] = x / np.where(length > 0, length, 1)  # a row of zeros stays one, and is refused later
    return unit


def _check_two_classes(dataset: Dataset) -> None:
    if dataset.classes != 2:
        raise DataError(f"{dataset.source.name} must have two labels, not {dataset.classes}")


def _too_few(dataset: Dataset, needed: int, there: int) -> DataError:
    return DataError(f"{dataset.source.name} needs at least {needed} rows of each class here, but one has {there}")
