"""Semivalues against their definitions in fractions, their axioms, and sampling against the exact values."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataworth.errors import InputError
from dataworth.kernels.coalitions import (
    OrderMeans,
    all_coalitions,
    gains_along,
    random_order,
    semivalues,
    size_weights,
)
from dataworth.kernels.threshold import Beta
from tests import oracles

LAWS: list[tuple[Any, oracles.SemivalueLaw]] = [
    ("shapley", oracles.SHAPLEY),
    ("banzhaf", oracles.BANZHAF),
    ("leave-one-out", oracles.LEAVE_ONE_OUT),
    (Beta(1, 1), oracles.SHAPLEY),
    (Beta(4, 1), oracles.beta(4, 1)),
    (Beta(0.5, 2), oracles.beta(Fraction(1, 2), 2)),
]


@st.composite
def tables(draw: st.DrawFn, most: int = 6) -> tuple[int, NDArray[np.float64]]:
    """Utilities of all coalitions of a few players: small multiples of 1/64, which floats hold exactly."""
    n = draw(st.integers(1, most))
    entries = draw(st.lists(st.integers(-64, 64), min_size=2**n, max_size=2**n))
    return n, np.array(entries) / 64.0


def by_orders(n: int, utilities: NDArray[np.float64]) -> list[Fraction]:
    """The Shapley value by its first definition: the mean gain over every order of arrival."""
    values = [Fraction(0)] * n
    for order in permutations(range(n)):
        mask = 0
        for player in order:
            before, mask = mask, mask | 1 << player
            values[player] += Fraction(float(utilities[mask])) - Fraction(float(utilities[before]))
    return [value / math.factorial(n) for value in values]


def mask_of(coalition: tuple[int, ...]) -> int:
    return sum(1 << player for player in coalition)


@given(table=tables())
def test_shapley_is_the_mean_over_all_orders(table: tuple[int, NDArray[np.float64]]) -> None:
    n, utilities = table
    exact = by_orders(n, utilities)
    values = semivalues(utilities, size_weights(n))
    np.testing.assert_allclose(values, [float(value) for value in exact], rtol=0, atol=1e-15)


@pytest.mark.parametrize(("semivalue", "law"), LAWS, ids=str)
@given(table=tables(most=5))
def test_every_semivalue_is_its_definition(
    semivalue: Any, law: oracles.SemivalueLaw, table: tuple[int, NDArray[np.float64]]
) -> None:
    n, utilities = table
    exact = oracles.semivalue(lambda s: Fraction(float(utilities[mask_of(s)])), n, law.weights(n))
    values = semivalues(utilities, size_weights(n, semivalue))
    np.testing.assert_allclose(values, [float(value) for value in exact], rtol=0, atol=1e-14)


@pytest.mark.parametrize(("semivalue", "law"), LAWS, ids=str)
@pytest.mark.parametrize("n", [1, 2, 12, 30])
def test_weights_of_all_coalitions_sum_to_one(semivalue: Any, law: oracles.SemivalueLaw, n: int) -> None:
    weights = size_weights(n, semivalue)
    assert weights.tolist() == [float(weight / n) for weight in law.weights(n)]
    assert math.fsum(math.comb(n - 1, s) * weights[s] for s in range(n)) == pytest.approx(1, abs=1e-15)


def test_twelve_players_at_once() -> None:
    rng = np.random.default_rng(3)
    members = all_coalitions(12)
    own, together = rng.normal(size=12), rng.normal(size=(12, 12))
    utilities = members @ own + np.einsum("mi,ij,mj->m", members, np.triu(together, 1), members, optimize=True)
    pairs = np.triu(together, 1)
    expected = own + (pairs.sum(axis=0) + pairs.sum(axis=1)) / 2  # a pair's gain is halved
    values = semivalues(utilities, size_weights(12))
    np.testing.assert_allclose(values, expected, atol=1e-13)
    assert values.sum() == pytest.approx(utilities[-1] - utilities[0], abs=1e-13)


# -- axioms, to the last bit ----------------------------------------------------------------------


@given(seed=st.integers(0, 10**6), n=st.integers(2, 7))
def test_players_who_add_the_same_are_worth_the_same(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = sorted(rng.choice(n, 2, replace=False).tolist())
    utilities = rng.normal(size=2**n)
    for mask in range(2**n):
        if mask >> second & 1 and not mask >> first & 1:  # the one in place of the other
            utilities[mask] = utilities[mask ^ (1 << second) | (1 << first)]
    values = semivalues(utilities, size_weights(n))
    assert values[first] == values[second]


@given(seed=st.integers(0, 10**6), n=st.integers(1, 7))
def test_a_player_who_adds_nothing_is_worth_exactly_nothing(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    idle = int(rng.integers(n))
    utilities = rng.normal(size=2**n)
    for mask in range(2**n):
        if mask >> idle & 1:
            utilities[mask] = utilities[mask ^ (1 << idle)]
    assert semivalues(utilities, size_weights(n))[idle] == 0


@given(seed=st.integers(0, 10**6), n=st.integers(1, 6))
def test_values_are_linear_and_sum_to_what_is_gained(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    u, v = rng.normal(size=(2, 2**n))
    weights = size_weights(n)
    both = semivalues(np.stack([u, v, 2 * u - v], axis=1), weights)
    np.testing.assert_allclose(both[:, 2], 2 * both[:, 0] - both[:, 1], atol=1e-13)
    assert both[:, 0].sum() == pytest.approx(u[-1] - u[0], abs=1e-13)
    assert both[:, 0].tolist() == semivalues(u, weights).tolist()


def test_another_number_of_utilities_is_refused() -> None:
    with pytest.raises(InputError, match="3 players have 8 coalitions, not 7"):
        semivalues(np.zeros(7), size_weights(3))


# -- random orders --------------------------------------------------------------------------------


def sampled(utilities: NDArray[np.float64], n: int, draws: int, seed: int, *, reverse: bool) -> OrderMeans:
    means = OrderMeans(n, utilities.shape[1])
    for number in range(draws):
        order = random_order(seed, number, n)
        orders = (order, order[::-1]) if reverse else (order,)
        means.add(*(gains_along(one, utilities[[0, *np.cumsum(2**one).tolist()]]) for one in orders))
    return means


@pytest.mark.parametrize("reverse", [True, False])
def test_sampling_finds_the_exact_values_within_its_errors(reverse: bool) -> None:
    rng = np.random.default_rng(5)
    n = 8
    members = all_coalitions(n)
    utilities = np.sqrt(members @ rng.uniform(0, 1, n))[:, np.newaxis] + rng.normal(0, 0.1, (2**n, 2))
    exact = semivalues(utilities, size_weights(n))
    means = sampled(utilities, n, 400, 1, reverse=reverse)
    distance = (means.values - exact.mean(axis=1)) / means.errors
    assert np.abs(distance).max() < 4
    assert means.values.sum() == pytest.approx((utilities[-1] - utilities[0]).mean(), abs=1e-12)
    np.testing.assert_allclose(means.by_repeat.mean(axis=1), means.values, atol=1e-14)
    np.testing.assert_allclose(means.by_repeat, exact, atol=8 * means.errors.max())


def test_errors_are_as_large_as_the_estimates_stray() -> None:
    rng = np.random.default_rng(6)
    n = 5
    utilities = np.sqrt(all_coalitions(n) @ rng.uniform(0, 1, n))[:, np.newaxis]
    exact = semivalues(utilities, size_weights(n))[:, 0]
    runs = [sampled(utilities, n, 30, seed, reverse=True) for seed in range(150)]
    strayed = np.sqrt(np.mean([(run.values - exact) ** 2 for run in runs], axis=0))
    said = np.sqrt(np.mean([run.errors**2 for run in runs], axis=0))
    np.testing.assert_allclose(said, strayed, rtol=0.3)


def test_means_and_errors_are_those_of_the_draws() -> None:
    rng = np.random.default_rng(7)
    gains = rng.normal(1e6, 1, (25, 3, 2))
    means = OrderMeans(3, 2)
    assert np.isnan(means.errors).all()
    for one in gains:
        means.add(one)
    own = gains.mean(axis=2)
    assert means.draws == 25
    np.testing.assert_allclose(means.values, own.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(means.errors, own.std(axis=0, ddof=1) / 5, rtol=1e-8)


def test_orders_are_uniform_and_do_not_depend_on_each_other() -> None:
    found = [tuple(random_order(0, number, 3).tolist()) for number in range(1200)]
    counts = [found.count(order) for order in permutations(range(3))]
    assert min(counts) > 150
    assert max(counts) < 250
    assert tuple(random_order(0, 700, 3).tolist()) == found[700]


def test_gains_go_to_the_player_who_arrives() -> None:
    utilities = np.array([[0.0], [1.0], [3.0], [7.0]])
    assert gains_along(np.array([2, 0, 1]), utilities)[:, 0].tolist() == [2.0, 4.0, 1.0]
