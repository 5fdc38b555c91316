"""The criteria against brute force, by their laws, and on planted answers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import linalg, stats

from dataworth.errors import DataError, InputError
from dataworth.papers.gmvaluator.criteria import (
    agreement,
    chance_agreement,
    find_planted,
    first_is,
    frechet_distance,
    permuted_spearman,
    random_agreement,
)
from dataworth.records import Values

# -- C1 and C2 -----------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 5), st.integers(1, 4))
def test_agreement_counts_like_a_loop(seed: int, k: int, m: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    train, generated = random.integers(0, classes, 8), random.integers(0, classes, m)
    at = np.array([random.permutation(8)[:6] for _ in range(m)])
    slow = [sum(train[i] == generated[j] for i in at[j, :k]) / k for j in range(m)]
    np.testing.assert_allclose(agreement(at, train, generated, k), slow)


def test_agreement_looks_at_the_first_contributors_only() -> None:
    at, train, generated = np.array([[0, 1, 2, 3]]), np.array(["a", "b", "b", "a"]), np.array(["a"])
    assert [agreement(at, train, generated, k)[0] for k in (1, 2, 4)] == [1.0, 0.5, 0.5]


def test_fewer_contributors_than_asked_for_are_refused() -> None:
    train, generated = np.zeros(4, np.int64), np.zeros(1, np.int64)
    for at in ([[0, 1]], [[0, 1, -1]]):
        with pytest.raises(InputError, match="first 3 contributors"):
            agreement(np.array(at), train, generated, 3)
    with pytest.raises(InputError, match="every generated item"):
        agreement(np.array([[0, 1]]), train, np.zeros(2, np.int64), 1)


def test_chance_is_the_share_of_the_kind_and_nothing_for_an_unknown_one() -> None:
    train = np.array(["cat", "cat", "cat", "dog"])
    assert chance_agreement(train, np.array(["cat", "dog", "ant", "zebra"])).tolist() == [0.75, 0.25, 0.0, 0.0]


def test_random_contributors_reach_chance_on_average_and_differ_by_seed() -> None:
    train, generated = np.arange(1000) % 4, np.zeros(200, np.int64)
    found = random_agreement(train, generated, 20, seed=0)
    assert found.mean() == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 4000))
    assert (found == random_agreement(train, generated, 20, seed=0)).all()
    assert (found != random_agreement(train, generated, 20, seed=1)).any()
    # Without replacement: drawing everyone reaches chance exactly.
    assert (random_agreement(train, generated[:3], 1000, seed=0) == 0.25).all()


# -- C3 ------------------------------------------------------------------------------------------


def made(values: NDArray[np.float64]) -> Values:
    return Values(np.arange(values.size), values, "made", 1)


def test_planted_items_of_the_lowest_values_are_all_found() -> None:
    found = find_planted(made(np.array([0.0, 0.1, 0.5, 0.6])), np.array([True, True, False, False]), seed=0)
    assert found.auroc == 1
    assert (found.uncredited, found.uncredited_others) == (0.5, 0)
    assert [found.mean, found.mean_others] == pytest.approx([0.05, 0.55])


def test_ties_at_nothing_count_half() -> None:
    found = find_planted(made(np.array([0.0, 0.0, 0.0, 1.0])), np.array([True, False, False, False]), seed=0)
    assert found.auroc == pytest.approx((0.5 + 0.5 + 1) / 3)
    assert found.uncredited_others == pytest.approx(2 / 3)


def test_the_random_ranking_finds_nothing() -> None:
    values = np.concatenate([np.zeros(500), np.ones(500)])
    aurocs = [find_planted(made(values), values == 0, seed).random for seed in range(40)]
    assert np.mean(aurocs) == pytest.approx(0.5, abs=0.02)
    assert find_planted(made(values), values == 0, 0).auroc == 1


# -- copies --------------------------------------------------------------------------------------


def test_first_is() -> None:
    assert first_is(np.array([[3, 1], [1, 3], [-1, -1]]), np.array([3, 3, 0])).tolist() == [True, False, False]
    with pytest.raises(InputError, match="one original a copy"):
        first_is(np.array([[3]]), np.array([3, 3]))


# -- retraining ----------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(3, 9), st.integers(3, 9), st.integers(1, 4))
def test_frechet_distance_is_the_formula_with_a_matrix_root(seed: int, n1: int, n2: int, d: int) -> None:
    random = np.random.default_rng(seed)
    first, second = random.standard_normal((n1, d)), 2 * random.standard_normal((n2, d)) + 1
    c1, c2 = (np.atleast_2d(np.cov(x.T)) for x in (first, second))
    root = np.real(linalg.sqrtm(c1 @ c2 + 1e-12 * np.eye(d)))
    slow = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(c1 + c2 - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(slow, abs=1e-4)
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first))
    assert frechet_distance(first, first[::-1]) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_one_dimension_is_known() -> None:
    x = np.array([[-1.0], [0.0], [1.0]])
    assert frechet_distance(x, 3 * x + 2) == pytest.approx(2**2 + (3 - 1) ** 2)


def test_frechet_distance_takes_float32_and_refuses_what_has_no_covariance() -> None:
    x = np.random.default_rng(0).standard_normal((5, 3))
    assert frechet_distance(x.astype(np.float32), (x + 1).astype(np.float32)) == pytest.approx(3, abs=1e-5)
    for first, second in ((x[:1], x), (x, x[:, :2])):
        with pytest.raises(DataError, match="two samples"):
            frechet_distance(first, second)


@given(st.lists(st.integers(0, 4), min_size=4, max_size=30), st.integers(0, 100))
def test_spearman_is_scipys(numbers: list[int], seed: int) -> None:
    first = np.array(numbers)
    second = np.random.default_rng(seed).integers(0, 5, first.size)
    if min(np.ptp(first), np.ptp(second)) == 0:
        with pytest.raises(DataError, match="no order"):
            permuted_spearman(first, second, permutations=5)
    else:
        found = permuted_spearman(first, second, permutations=5)
        assert found.rho == pytest.approx(stats.spearmanr(first, second).statistic)
        assert 1 / 6 - 1e-12 <= found.p <= 1


def test_p_agrees_with_every_order_there_is() -> None:
    first, second = np.array([1.0, 2, 3, 4, 5, 6]), np.array([2.0, 1, 3, 6, 4, 5])
    rho = stats.spearmanr(first, second).statistic
    every = [stats.spearmanr(first, np.array(order)).statistic for order in itertools.permutations(second)]
    exact = np.mean(np.abs(every) >= abs(rho) - 1e-9)
    assert permuted_spearman(first, second, permutations=20_000).p == pytest.approx(exact, abs=0.01)
    assert permuted_spearman(first, -second, permutations=20_000).p == pytest.approx(exact, abs=0.01)  # two-sided


@pytest.mark.parametrize("n", [0, 1, 2])
def test_spearman_needs_three(n: int) -> None:
    with pytest.raises(DataError, match="at least three"):
        permuted_spearman(np.arange(n), np.arange(n))
