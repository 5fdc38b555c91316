"""KNN-regression Shapley against enumeration, and what must always hold."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataworth.errors import MethodError
from dataworth.kernels.regression import regression_values
from tests import oracles
from tests.strategies import EmptyRule, empty_rules, label_patterns, sorted_labels

RULES: tuple[EmptyRule, ...] = ("zero", "natural")
halves = st.integers(-8, 8).map(lambda twice: Fraction(twice, 2))


def values_of(labels: Any, target: Any, k: int, empty: EmptyRule) -> Any:
    return regression_values(np.array([float(y) for y in labels]), float(target), k, empty=empty)


def enumerated(labels: Any, target: Fraction, k: int, empty: EmptyRule) -> list[float]:
    return [float(value) for value in oracles.shapley(oracles.regression(labels, target, k, empty), len(labels))]


def score_gained(labels: np.ndarray, target: float, k: int, empty: EmptyRule) -> float:
    everyone = -((math.fsum(labels[:k]) / k - target) ** 2)
    return everyone if empty == "zero" else everyone + target**2


# -- against enumeration ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("empty", RULES)
@pytest.mark.parametrize("n", range(1, 6))
def test_every_pattern_of_three_labels(n: int, empty: EmptyRule) -> None:
    target = Fraction(3, 2)
    for labels, k in product(product((Fraction(-1), Fraction(0), Fraction(5, 2)), repeat=n), range(1, n + 3)):
        exact = enumerated(labels, target, k, empty)
        assert values_of(labels, target, k, empty) == pytest.approx(exact, abs=1e-13), (labels, k)


@settings(max_examples=60)
@given(sorted_labels(8), halves, st.integers(1, 10), empty_rules)
def test_any_small_labels(labels: list[Fraction], target: Fraction, k: int, empty: EmptyRule) -> None:
    assert values_of(labels, target, k, empty) == pytest.approx(enumerated(labels, target, k, empty), abs=1e-12)


@pytest.mark.parametrize("empty", RULES)
def test_permutations_agree_at_thirty_rows(empty: EmptyRule) -> None:
    rng = np.random.default_rng(3)
    labels = [Fraction(int(twice), 2) for twice in rng.integers(-6, 7, 30)]
    utility = oracles.regression(labels, Fraction(1), 5, empty)
    mean, error = oracles.permutation_shapley(utility, 30, 1000, rng)
    assert (np.abs(mean - values_of(labels, 1, 5, empty)) <= 4 * error + 1e-12).all()
    assert error.max() < 0.1


def test_farthest_row_as_printed_in_the_paper() -> None:
    """Theorem 6 prints it for at least K rows, no rows scoring zero."""
    rng = np.random.default_rng(11)
    for n, k in ((5, 5), (9, 4), (40, 7)):
        y, t = rng.normal(size=n), 0.7
        last = y[-1] / k
        printed = -(k - 1) / n * last * (last - 2 * t + y[:-1].mean()) - (last - t) ** 2 / n
        assert regression_values(y, t, k, empty="zero")[-1] == pytest.approx(printed, rel=1e-12)


# -- what must always hold ----------------------------------------------------------------------------------------


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=80), st.floats(-100, 100), st.integers(1, 90), empty_rules)
def test_values_add_up_to_what_all_rows_score_beyond_none(
    labels: list[float], target: float, k: int, empty: EmptyRule
) -> None:
    y = np.array(labels)
    values = regression_values(y, target, k, empty=empty)
    assert math.fsum(values) == pytest.approx(score_gained(y, target, k, empty), abs=1e-8)


@pytest.mark.parametrize("empty", RULES)
@pytest.mark.parametrize("k", [1, 5, 200])
def test_a_million_rows_keep_their_digits(k: int, empty: EmptyRule) -> None:
    y = np.random.default_rng(k).normal(10.0, 2.0, 1_000_000)
    values = regression_values(y, 9.0, k, empty=empty)
    assert np.isfinite(values).all()
    assert math.fsum(values) == pytest.approx(score_gained(y, 9.0, k, empty), abs=1e-10)


@given(sorted_labels(60), halves, st.integers(1, 62), empty_rules)
def test_neighbours_in_rank_with_equal_labels_are_worth_the_same(
    labels: list[Fraction], target: Fraction, k: int, empty: EmptyRule
) -> None:
    values = values_of(labels, target, k, empty)
    for i in range(len(labels) - 1):
        if labels[i] == labels[i + 1]:
            assert values[i] == values[i + 1]


@given(sorted_labels(60), halves, st.integers(1, 62), st.sampled_from([0.5, 2.0, -4.0]), empty_rules)
def test_units_of_labels_square(
    labels: list[Fraction], target: Fraction, k: int, unit: float, empty: EmptyRule
) -> None:
    """Scaling by a power of two is exact, so the digits agree to the last."""
    scaled = values_of([unit * float(y) for y in labels], unit * float(target), k, empty)
    assert np.array_equal(scaled, unit**2 * values_of(labels, target, k, empty))


@given(sorted_labels(60), halves, st.integers(1, 62))
def test_the_two_rules_for_no_rows_differ_by_an_equal_share(labels: list[Fraction], target: Fraction, k: int) -> None:
    share = float(target**2) / len(labels)
    zero, natural = (values_of(labels, target, k, empty) for empty in RULES)
    assert natural == pytest.approx(zero + share, abs=1e-12)


@given(label_patterns(100))
def test_labels_zero_and_one_with_one_neighbour_are_classification(match: list[bool]) -> None:
    """With K = 1 and target 1 the score is that of the nearest match, less 1 for any row at all."""
    classified = oracles.knn_reference(match, 1, 2, "k")
    assert values_of(match, 1, 1, "zero") == pytest.approx(classified - 1 / len(match), abs=1e-13)


def test_edges() -> None:
    assert regression_values(np.array([]), 1.0, 3, empty="zero").shape == (0,)
    assert regression_values(np.array([3.0]), 1.0, 1, empty="zero").tolist() == [-4.0]
    assert regression_values(np.array([3.0]), 1.0, 1, empty="natural").tolist() == [-3.0]
    frozen = np.array([1.0, 2.0])
    frozen.flags.writeable = False
    assert regression_values(frozen, 0.0, 1, empty="zero").shape == (2,)
    with pytest.raises(MethodError, match="'zero' or 'natural'"):
        regression_values(frozen, 0.0, 1, empty="none")  # type: ignore[arg-type]
