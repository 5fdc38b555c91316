"""Weighted hard-label KNN-Shapley against enumeration, exact counting, and what must always hold."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataworth.errors import MethodError
from dataworth.kernels.weighted import quantise_weights, weighted_values
from tests import oracles
from tests.strategies import label_patterns, signed_weights


def values_of(weights: Sequence[int], k: int) -> NDArray[np.float64]:
    return weighted_values(np.array(weights, dtype=np.int64), k)


def enumerated(weights: Sequence[int], k: int) -> list[float]:
    return [float(value) for value in oracles.shapley(oracles.weighted_hard_label(weights, k), len(weights))]


def random_weights(n: int, top: int, seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    weights: NDArray[np.int64] = rng.integers(0, top + 1, n) * rng.choice([-1, 1], n)
    return weights


# -- against enumeration and exact counting -----------------------------------------------------------------------


@pytest.mark.parametrize("n", range(1, 6))
def test_every_pattern_of_small_weights(n: int) -> None:
    for weights, k in product(product((-1, 0, 2), repeat=n), range(1, n + 3)):
        assert values_of(weights, k) == pytest.approx(enumerated(weights, k), abs=1e-14), (weights, k)


@pytest.mark.parametrize("n", range(1, 7))
def test_every_label_pattern_when_all_weigh_the_same(n: int) -> None:
    """The plain majority vote, ties right."""
    for match, k in product(product((False, True), repeat=n), range(1, n + 3)):
        weights = [1 if same else -1 for same in match]
        assert values_of(weights, k) == pytest.approx(enumerated(weights, k), abs=1e-14), (match, k)


@settings(max_examples=60)
@given(signed_weights(9, top=7), st.integers(1, 11))
def test_any_small_weights(weights: list[int], k: int) -> None:
    assert values_of(weights, k) == pytest.approx(enumerated(weights, k), abs=1e-14)


@pytest.mark.parametrize(
    ("n", "k", "top"),
    [(60, 1, 7), (60, 5, 255), (60, 29, 3), (60, 31, 3), (60, 45, 1), (60, 59, 1), (60, 60, 1), (60, 70, 1),
     (120, 20, 3), (200, 5, 7)],
)  # fmt: skip
def test_error_against_exact_integers(n: int, k: int, top: int) -> None:
    """Also where K is more than half of N, and leaving a row out goes through the complement."""
    weights = random_weights(n, top, seed=n + k)
    exact = np.array([float(value) for value in oracles.weighted_reference(weights.tolist(), k)])
    assert np.abs(exact).max() > 1e-4
    assert np.abs(weighted_values(weights, k) - exact).max() <= 1e-14


def test_permutations_agree_at_thirty_rows() -> None:
    weights = random_weights(30, 7, seed=4)
    mean, error = oracles.permutation_shapley(
        oracles.weighted_hard_label(weights.tolist(), 5), 30, 1500, np.random.default_rng(8)
    )
    assert (np.abs(mean - weighted_values(weights, 5)) <= 4 * error + 1e-12).all()
    assert error.max() < 0.02


# -- what must always hold ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "k", "top"), [(1000, 1, 7), (1000, 5, 7), (1000, 5, 255), (1000, 900, 1), (10_000, 5, 7)]
)
def test_values_add_up_to_what_all_rows_score_beyond_none(n: int, k: int, top: int) -> None:
    for seed in range(4):
        weights = random_weights(n, top, seed)
        gained = float(weights[:k].sum() >= 0) - 1.0
        assert weighted_values(weights, k).sum() == pytest.approx(gained, abs=1e-12)


@given(label_patterns(40), st.integers(1, 45), st.data())
def test_neighbours_in_rank_with_equal_weights_are_worth_the_same(
    match: list[bool], k: int, data: st.DataObject
) -> None:
    weights = [data.draw(st.integers(1, 2)) * (1 if same else -1) for same in match]
    values = values_of(weights, k)
    for i in range(len(weights) - 1):
        if weights[i] == weights[i + 1]:
            assert values[i] == pytest.approx(values[i + 1], abs=1e-14)


@given(st.lists(st.integers(0, 7), min_size=1, max_size=30), st.integers(1, 33))
def test_nobody_against_means_nothing_to_gain(weights: list[int], k: int) -> None:
    assert values_of(weights, k) == pytest.approx(np.zeros(len(weights)), abs=1e-15)


@given(signed_weights(30), st.integers(1, 33), st.integers(2, 9))
def test_only_proportions_of_weights_matter(weights: list[int], k: int, factor: int) -> None:
    scaled = [factor * weight for weight in weights]
    assert values_of(scaled, k) == pytest.approx(values_of(weights, k), abs=1e-14)


@given(signed_weights(30), st.integers(1, 33))
def test_for_is_never_worth_less_than_nothing_and_against_never_more(weights: list[int], k: int) -> None:
    """At K = N or more nobody is pushed out, so a vote for the label can only help."""
    values = values_of(weights, max(k, len(weights)))
    for weight, value in zip(weights, values, strict=True):
        assert weight * value >= -1e-15


def test_threads_agree() -> None:
    weights = [random_weights(500, 7, seed) for seed in range(8)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda w: weighted_values(w, 5), weights))
    for one, alone in zip(together, weights, strict=True):
        assert np.array_equal(one, weighted_values(alone, 5))


def test_a_thousand_rows_take_well_under_a_second() -> None:
    weights = random_weights(1000, 7, seed=0)
    weighted_values(weights, 5)  # compile
    start = time.perf_counter()
    weighted_values(weights, 5)
    assert time.perf_counter() - start < 1.0


def test_edges() -> None:
    assert values_of([], 3).shape == (0,)
    assert values_of([-2], 1).tolist() == [-1.0]
    assert values_of([0], 7).tolist() == [0.0]
    given_weights = np.array([1, -2, 3])
    weighted_values(given_weights, 2)
    assert given_weights.tolist() == [1, -2, 3]
    given_weights.flags.writeable = False
    assert weighted_values(given_weights, 2).sum() == pytest.approx(-1.0)


def test_tables_beyond_memory_are_refused() -> None:
    with pytest.raises(MethodError, match="smaller k or fewer bits"):
        weighted_values(random_weights(5000, 255, seed=0), 5000)


# -- weights ------------------------------------------------------------------------------------------------------


def test_rbf_weights_by_hand() -> None:
    distance = np.array([0.0, 0.5, 1.0, 1.5, 2.0])  # exp(-d^2/2): 1, .882, .607, .325, .135
    assert quantise_weights(distance, "rbf", 3).tolist() == [7, 6, 4, 2, 1]
    assert quantise_weights(distance, "rbf", 8).tolist() == [255, 225, 155, 83, 35]
    assert quantise_weights(distance, "rbf", 1).tolist() == [1, 1, 1, 0, 0]
    assert quantise_weights(3 * distance, "rbf", 3, scale=3.0).tolist() == [7, 6, 4, 2, 1]
    assert quantise_weights(np.array([1e200]), "rbf", 3).tolist() == [0]


def test_uniform_weighs_all_the_same() -> None:
    assert quantise_weights(np.array([0.0, 9.0]), "uniform", 3).tolist() == [1, 1]
    assert quantise_weights(np.array([0.0, 9.0]), "uniform", 3).dtype == np.int64


@given(
    st.lists(st.floats(0, 1e300), min_size=1, max_size=20),
    st.integers(1, 8),
    st.floats(1e-3, 1e3),
)
def test_weights_are_levels_that_fall_with_distance_row_by_row(distance: list[float], bits: int, scale: float) -> None:
    ordered = np.sort(np.array(distance))
    weights = quantise_weights(ordered, "rbf", bits, scale=scale)
    alone = [int(quantise_weights(ordered[i : i + 1], "rbf", bits, scale=scale)[0]) for i in range(len(ordered))]
    assert weights.tolist() == alone
    assert weights.min() >= 0
    assert weights.max() <= 2**bits - 1
    assert (np.diff(weights) <= 0).all()


@pytest.mark.parametrize(
    ("kernel", "scale", "said"),
    [("gauss", 1.0, "'rbf' or 'uniform'"), ("rbf", 0.0, "positive"), ("rbf", float("nan"), "positive")],
)
def test_what_cannot_be_asked_of_weights(kernel: str, scale: float, said: str) -> None:
    with pytest.raises(MethodError, match=said):
        quantise_weights(np.array([1.0]), kernel, 3, scale=scale)  # type: ignore[arg-type]
