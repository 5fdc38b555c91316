"""Small problems for Hypothesis, full of what goes wrong: ties, duplicates, rows exactly on the radius.

Features are halves of small integers, so float32 and float64 hold them exactly. Under cosine every row has a
rational length, so rows that tie in exact arithmetic tie in floats too. Fewer rows than k, one row, one class,
train labels that no validation point has, and radii that reach nobody all come up often.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import permutations, product
from typing import Any, Literal

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataworth.records import Points
from tests import oracles
from tests.oracles import Metric

_METRICS: tuple[Metric, ...] = ("cosine", "euclidean")
_LABELS: tuple[tuple[Any, ...], ...] = (
    ("cat", "dog", "owl", "żółw"),
    (0, 1, 2, 3),
    (-7, 10, 3, 2**40),
    (True, False),
)


@dataclass(frozen=True)
class View:
    """What one validation point sees: the train rows nearest first, ties in row order."""

    order: list[int]
    """Position in train of each row."""
    match: list[bool]
    """Whether each row shares the point's label."""
    inside: list[bool]
    """Whether each row is within the radius."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Train and validation points, and the parameters a method would take."""

    train_x: NDArray[Any]
    train_y: NDArray[Any]
    validation_x: NDArray[Any]
    validation_y: NDArray[Any]
    metric: Metric
    k: int
    radius: float

    def __repr__(self) -> str:  # what Hypothesis shows of a failing example
        return "Problem(" + ", ".join(f"{name}={_plain(value)!r}" for name, value in vars(self).items()) + ")"

    @property
    def train(self) -> Points:
        return Points(self.train_x, self.train_y)

    @property
    def validation(self) -> Points:
        return Points(self.validation_x, self.validation_y)

    @property
    def n_classes(self) -> int:
        """How many classes the validation set has."""
        return len(set(self.validation_y.tolist()))

    @property
    def unmatched(self) -> int:
        """How many train rows have a label that no validation point has."""
        return sum(label not in set(self.validation_y.tolist()) for label in self.train_y.tolist())

    def views(self) -> Iterator[View]:
        """What each validation point sees, by exact arithmetic."""
        for point, label in zip(self.validation_x, self.validation_y, strict=True):
            order = oracles.nearest_first(self.train_x, point, self.metric)
            inside = oracles.inside_radius(self.train_x, point, self.radius, self.metric)
            yield View(order, [bool(self.train_y[i] == label) for i in order], [inside[i] for i in order])

    def mean(self, values_by_view: list[Any]) -> NDArray[np.float64]:
        """Values given nearest first for each view, averaged over validation points in train order."""
        total = np.zeros(len(self.train_x))
        for view, values in zip(self.views(), values_by_view, strict=True):
            total[view.order] += np.array([float(value) for value in values])
        return total / len(self.validation_x)


@st.composite
def classification_problems(
    draw: st.DrawFn,
    *,
    metric: Metric | None = None,
    max_train: int = 7,
    max_validation: int = 3,
    max_classes: int = 4,
    allow_unmatched: bool = True,
) -> Problem:
    """Labelled rows near each other; labels are strings, integers or bools.

    Args:
        draw: Given by Hypothesis.
        metric: One metric only, or either.
        max_train: Most train rows.
        max_validation: Most validation points.
        max_classes: Most labels in all; 2 for methods that know two classes.
        allow_unmatched: Whether train may have labels that no validation point has.
    """
    names = draw(st.sampled_from(_LABELS))[:max_classes]
    names = names[: draw(st.integers(1, len(names)))]
    validation_y = draw(st.lists(st.sampled_from(names), min_size=1, max_size=max_validation))
    allowed = names if allow_unmatched else tuple(sorted(set(validation_y)))
    train_y = draw(st.lists(st.sampled_from(allowed), min_size=1, max_size=max_train))
    return _problem(draw, metric, np.array(train_y), np.array(validation_y))


@st.composite
def regression_problems(
    draw: st.DrawFn, *, metric: Metric | None = None, max_train: int = 7, max_validation: int = 3
) -> Problem:
    """Rows whose labels are halves of integers, as floats."""
    halves = st.integers(-8, 8).map(lambda twice: twice / 2)
    train_y = draw(st.lists(halves, min_size=1, max_size=max_train))
    validation_y = draw(st.lists(halves, min_size=1, max_size=max_validation))
    return _problem(draw, metric, np.array(train_y), np.array(validation_y))


def label_patterns(max_n: int = 8) -> st.SearchStrategy[list[bool]]:
    """Which rows share the validation point's label, nearest first; one row or more."""
    return st.lists(st.booleans(), min_size=1, max_size=max_n)


def signed_weights(max_n: int = 8, top: int = 3) -> st.SearchStrategy[list[int]]:
    """Integer weights, plus for the point's label and minus for the other; 0 and ties are common."""
    return st.lists(st.integers(-top, top), min_size=1, max_size=max_n)


def sorted_labels(max_n: int = 8) -> st.SearchStrategy[list[Fraction]]:
    """Numeric labels, nearest first, as fractions that floats hold exactly."""
    return st.lists(st.integers(-6, 6).map(lambda twice: Fraction(twice, 2)), min_size=1, max_size=max_n)


def radii(train_x: NDArray[Any], validation_x: NDArray[Any], metric: Metric) -> st.SearchStrategy[float]:
    """Radii that matter: 0, exactly a distance, just short of one, everybody."""
    distances = sorted(
        {max(0.0, oracles.float_distance(row, point, metric)) for row in train_x for point in validation_x}
    )
    short = [distance * (1 - 1e-6) for distance in distances]
    everybody = 2.0 if metric == "cosine" else 2 * distances[-1] + 1
    return st.one_of(st.sampled_from(distances), st.sampled_from([0.0, everybody]), st.sampled_from(short))


def _problem(draw: st.DrawFn, metric: Metric | None, train_y: NDArray[Any], validation_y: NDArray[Any]) -> Problem:
    chosen: Metric = metric if metric is not None else draw(st.sampled_from(_METRICS))
    width = draw(st.integers(1, 3))
    row = st.sampled_from(_rational_rows(width)) if chosen == "cosine" else _lattice_rows(width)
    # A few places that many rows share, so that duplicates and ties are the rule.
    places = draw(st.lists(row, min_size=1, max_size=5))
    dtype = draw(st.sampled_from((np.float32, np.float64)))

    def rows(n: int) -> NDArray[Any]:
        return np.array(draw(st.lists(st.sampled_from(places), min_size=n, max_size=n)), dtype=dtype)

    train_x, validation_x = rows(len(train_y)), rows(len(validation_y))
    k = draw(st.integers(1, len(train_y) + 2))
    radius = draw(radii(train_x, validation_x, chosen))
    return Problem(train_x, train_y, validation_x, validation_y, chosen, k, radius)


def _lattice_rows(width: int) -> st.SearchStrategy[tuple[float, ...]]:
    return st.tuples(*[st.integers(-4, 4).map(lambda twice: twice / 2)] * width)


def _rational_rows(width: int) -> list[tuple[float, ...]]:
    """Rows of rational length: axes, and Pythagorean pairs, triples and halves of them."""
    bases: dict[int, tuple[tuple[float, ...], ...]] = {
        1: ((1,), (2.5,)),
        2: ((1, 0), (2, 0), (3, 4), (1.5, 2)),
        3: ((1, 0, 0), (1, 2, 2), (3, 4, 0), (2, 3, 6), (0.5, 1, 1)),
    }
    shapes = {shape for base in bases[width] for shape in permutations(base)}
    signs = list(product((1, -1), repeat=width))
    return sorted({tuple(s * u + 0.0 for s, u in zip(sign, shape, strict=True)) for shape in shapes for sign in signs})


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, np.ndarray) else value


EmptyRule = Literal["zero", "natural"]
empty_rules: st.SearchStrategy[EmptyRule] = st.sampled_from(("zero", "natural"))
