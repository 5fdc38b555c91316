"""Plans of coalitions: weights against fractions, values against their definitions, and estimates against the exact."""

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

from dataworth.kernels import sampling
from dataworth.kernels.coalitions import all_coalitions, semivalues, size_weights
from dataworth.kernels.sampling import A_TIME, Absences, Enumeration, Orders, Plan, size_shares
from dataworth.kernels.strata import Strata
from dataworth.kernels.threshold import Beta
from tests import oracles
from tests.kernels.table_games import KINDS, coalitions, distances, estimated, game, masks, played, same

LAWS: list[tuple[Any, oracles.SemivalueLaw]] = [
    ("shapley", oracles.SHAPLEY),
    ("banzhaf", oracles.BANZHAF),
    ("leave-one-out", oracles.LEAVE_ONE_OUT),
    (Beta(16, 1), oracles.beta(16, 1)),
    (Beta(1, 4), oracles.beta(1, 4)),
    (Beta(0.5, 2.25), oracles.beta(Fraction(1, 2), Fraction(9, 4))),
]
SEMIVALUES: list[Any] = ["shapley", "banzhaf", Beta(16, 1), Beta(1, 4)]


@st.composite
def tables(draw: st.DrawFn, most: int = 7) -> tuple[int, NDArray[np.float64]]:
    """Utilities of all coalitions of a few players: small multiples of 1/64, which floats hold exactly."""
    n = draw(st.integers(1, most))
    seed = draw(st.integers(0, 2**32 - 1))
    return n, np.random.default_rng(seed).integers(-64, 65, 2**n) / 64.0


def by_definition(law: oracles.SemivalueLaw, n: int, utilities: NDArray[np.float64]) -> NDArray[np.float64]:
    exact = oracles.semivalue(lambda s: Fraction(float(utilities[sum(1 << i for i in s)])), n, law.weights(n))
    return np.array([float(value) for value in exact])


# -- how much each size weighs --------------------------------------------------------------------


@pytest.mark.parametrize(("semivalue", "law"), LAWS, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 11, 30])
def test_shares_are_weights_of_all_coalitions_of_a_size(semivalue: Any, law: oracles.SemivalueLaw, n: int) -> None:
    shares = size_shares(n, semivalue)
    exact = [float(weight * math.comb(n - 1, s) / n) for s, weight in enumerate(law.weights(n))]
    np.testing.assert_allclose(shares, exact, rtol=1e-12, atol=0)
    weights = size_weights(n, semivalue) * [math.comb(n - 1, s) for s in range(n)]
    np.testing.assert_allclose(shares, weights, rtol=1e-12, atol=0)


@pytest.mark.parametrize("semivalue", ["shapley", "banzhaf", "leave-one-out", Beta(16, 1), Beta(0.01, 300.5)], ids=str)
def test_shares_of_thousands_of_players_are_finite_and_sum_to_one(semivalue: Any) -> None:
    shares = size_shares(5_000, semivalue)
    assert np.isfinite(shares).all()
    assert (shares >= 0).all()
    assert math.fsum(shares.tolist()) == pytest.approx(1, abs=1e-14)


@given(alpha=st.floats(0.05, 40), beta=st.floats(0.05, 40), n=st.integers(1, 30))
def test_shares_of_any_beta(alpha: float, beta: float, n: int) -> None:
    shares = size_shares(n, Beta(alpha, beta))
    weights = size_weights(n, Beta(alpha, beta)) * [math.comb(n - 1, s) for s in range(n)]
    np.testing.assert_allclose(shares, weights, rtol=1e-10, atol=0)
    np.testing.assert_allclose(shares, size_shares(n, Beta(beta, alpha))[::-1], rtol=1e-10, atol=0)


@given(
    alpha=st.one_of(st.floats(1e-6, 1e12), st.sampled_from([1e-6, 1.0, 1e6, 1e9, 1e12])),
    beta=st.one_of(st.floats(1e-6, 1e12), st.sampled_from([1e-6, 1.0, 1e6, 1e9, 1e12])),
    n=st.sampled_from([2, 8, 100]),
)
def test_shares_keep_their_digits_whatever_the_parameters(alpha: float, beta: float, n: int) -> None:
    weights = size_weights(n, Beta(alpha, beta)) * [float(math.comb(n - 1, s)) for s in range(n)]
    np.testing.assert_allclose(size_shares(n, Beta(alpha, beta)), weights, rtol=1e-12, atol=1e-290)


@pytest.mark.parametrize("alpha", [5e-324, 1e-300, 1e-12, 1.0, 1e300, 1.7e308])
@pytest.mark.parametrize("beta", [5e-324, 1.0, 1e16, 1.7e308])
def test_shares_of_the_oddest_parameters_are_numbers(alpha: float, beta: float) -> None:
    for n in (1, 2, 50, 3_000):
        shares = size_shares(n, Beta(alpha, beta))
        assert (shares >= 0).all()
        assert math.fsum(shares.tolist()) == pytest.approx(1, abs=1e-14)
    if alpha < 1e-200 and beta == 1.0:
        assert size_shares(8, Beta(alpha, beta)).tolist() == pytest.approx([0] * 7 + [1], abs=1e-200)


# -- nothing left to chance -----------------------------------------------------------------------


@pytest.mark.parametrize(("semivalue", "law"), LAWS, ids=str)
@given(table=tables())
def test_enumeration_is_the_definition(
    semivalue: Any, law: oracles.SemivalueLaw, table: tuple[int, NDArray[np.float64]]
) -> None:
    n, utilities = table
    plan = Enumeration(n, semivalue)
    found = estimated(plan, utilities, plan.draws)
    np.testing.assert_allclose(found.values, by_definition(law, n, utilities), rtol=0, atol=1e-14)
    assert found.errors.tolist() == [0.0] * n


@pytest.mark.parametrize("n", [1, 2, 5, 6, 7, 9])
def test_enumeration_meets_every_coalition_once_a_player_at_a_time(n: int) -> None:
    plan = Enumeration(n)
    masks = [int(members @ (1 << np.arange(n))) for k in range(plan.draws) for members in coalitions(plan, k)]
    assert sorted(masks) == list(range(2**n))
    for number in range(plan.draws):
        (walk,) = plan.walks(number)
        assert len(walk) <= plan.per_draw
        assert all(joins.size + leaves.size == 1 for joins, leaves in walk[1:])
    assert plan.least == plan.draws


@given(table=tables())
def test_absences_are_leave_one_out(table: tuple[int, NDArray[np.float64]]) -> None:
    n, utilities = table
    plan = Absences(n)
    found = estimated(plan, utilities, plan.draws)
    np.testing.assert_allclose(found.values, by_definition(oracles.LEAVE_ONE_OUT, n, utilities), rtol=0, atol=1e-15)
    assert found.errors.tolist() == [0.0] * n


@pytest.mark.parametrize("n", [1, 63, 64, 65, 128, 150])
def test_absences_of_many_players_come_in_parts(n: int) -> None:
    plan = Absences(n)
    met = [members for number in range(plan.draws) for members in coalitions(plan, number)]
    assert [np.flatnonzero(~members).tolist() for members in met] == [[player] for player in range(n)]
    worth = np.random.default_rng(n).integers(0, 100, n) / 64.0
    parts = [np.array([worth[m].sum() for m in coalitions(plan, k)]) for k in range(plan.draws)]
    assert max(part.size for part in parts) == plan.per_draw == min(n, A_TIME)
    assert plan.estimate(parts, 0.0, float(worth.sum())).values.tolist() == worth.tolist()


# -- orders of arrival ----------------------------------------------------------------------------


@pytest.mark.parametrize("antithetic", [True, False])
@pytest.mark.parametrize(("semivalue", "law"), LAWS, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_all_orders_together_are_exact(
    n: int, semivalue: Any, law: oracles.SemivalueLaw, antithetic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = [np.array(order) for order in permutations(range(n))]
    monkeypatch.setattr(sampling, "random_order", lambda _, number, __: every[number])
    utilities = np.random.default_rng(n).integers(-64, 65, 2**n) / 64.0
    found = estimated(Orders(n, semivalue, antithetic=antithetic), utilities, len(every))
    np.testing.assert_allclose(found.values, by_definition(law, n, utilities), rtol=0, atol=1e-13)


@pytest.mark.parametrize("antithetic", [True, False])
def test_players_arrive_one_by_one_until_all_are_there(antithetic: bool) -> None:
    plan = Orders(6, seed=3, antithetic=antithetic)
    for number in range(5):
        met = coalitions(plan, number)
        assert [int(members.sum()) for members in met] == [1, 2, 3, 4, 5, 6] * (2 if antithetic else 1)
        assert len(met) == plan.per_draw
        if antithetic:
            first, second = ([int(joins[0]) for joins, _ in walk] for walk in plan.walks(number))
            assert second == first[::-1]


@given(table=tables(most=6), seed=st.integers(0, 1000), antithetic=st.booleans())
def test_shapley_orders_share_out_the_whole_gain(
    table: tuple[int, NDArray[np.float64]], seed: int, antithetic: bool
) -> None:
    n, utilities = table
    found = estimated(Orders(n, seed=seed, antithetic=antithetic), utilities, 3)
    assert found.values.sum() == pytest.approx(utilities[-1] - utilities[0], abs=1e-12)


@pytest.mark.parametrize("semivalue", SEMIVALUES, ids=str)
@given(seed=st.integers(0, 10**6), antithetic=st.booleans())
def test_orders_are_linear_in_utilities(semivalue: Any, seed: int, antithetic: bool) -> None:
    one, other = np.random.default_rng(seed).normal(size=(2, 32))
    plan = Orders(5, semivalue, seed, antithetic)
    found = [estimated(plan, table, 4) for table in (one, other, 2 * one - other, one + 7)]
    np.testing.assert_allclose(found[2].values, 2 * found[0].values - found[1].values, atol=1e-12)
    np.testing.assert_allclose(found[3].values, found[0].values, atol=1e-12)


@pytest.mark.parametrize("antithetic", [True, False])
@pytest.mark.parametrize("semivalue", SEMIVALUES, ids=str)
@pytest.mark.parametrize(("games", "draws"), [(12, 400), pytest.param(50, 4_000, marks=pytest.mark.slow)])
def test_orders_of_many_games_are_within_their_errors(semivalue: Any, antithetic: bool, games: int, draws: int) -> None:
    off = []
    for number in range(games):
        table = game(KINDS[number % 3], 10, number)
        # A gain of 1 in a few places of many is a skewed thing to take the mean of: an error needs it often enough.
        enough = draws * (2 if KINDS[number % 3] == "majority" else 1)
        found = estimated(Orders(10, semivalue, number, antithetic), table, enough)
        off.append(distances(found, semivalues(table, size_weights(10, semivalue))))
    z = np.concatenate(off)
    assert np.abs(z).max() < 4
    assert 0.75 < (z**2).mean() < 1.25  # errors are neither too small nor too large


# -- what all plans promise -----------------------------------------------------------------------


def plans(n: int, seed: int) -> list[Plan]:
    return [
        Enumeration(n),
        Absences(n),
        Orders(n, "banzhaf", seed),
        Orders(n, Beta(4, 1), seed, antithetic=False),
        Strata(n, "shapley", seed),
        Strata(n, Beta(1, 4), seed),
    ]


@pytest.mark.parametrize("at", range(6))
def test_a_draw_is_the_same_whichever_came_before(at: int) -> None:
    one, other = plans(9, 4)[at], plans(9, 4)[at]
    many = range(min(one.draws or 5, 5))
    forwards = [np.array(coalitions(one, number)) for number in many]
    backwards = [np.array(coalitions(other, number)) for number in reversed(many)][::-1]
    for first, second in zip(forwards, backwards, strict=True):
        np.testing.assert_array_equal(first, second)
    assert all(len(met) <= one.per_draw for met in forwards)


@pytest.mark.parametrize("at", range(2, 6))
def test_draws_and_seeds_differ(at: int) -> None:
    plan, other = plans(9, 4)[at], plans(9, 5)[at]
    met = [np.array(coalitions(plan, number)).tobytes() for number in range(20)]
    assert len(set(met)) == 20
    assert not set(met) & {np.array(coalitions(other, number)).tobytes() for number in range(20)}
    assert plan.draws is None


@pytest.mark.parametrize("at", range(2, 6))
@pytest.mark.parametrize("n", [2, 3])
def test_two_and_three_players_can_be_sampled(n: int, at: int) -> None:
    table = game("uniform", n, 1)
    plan = plans(n, 0)[at]
    found = estimated(plan, table, 200)
    assert np.abs(distances(found, semivalues(table, size_weights(n, plan.semivalue)))).max() < 4  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize("n", [2, 3, 8])
@pytest.mark.parametrize("level", [0.0, 0.1, -1e6])
def test_equal_utilities_are_worth_nothing_without_doubt(n: int, at: int, level: float) -> None:
    plan = plans(n, 0)[at]
    found = estimated(plan, np.full(2**n, level), plan.draws or 15)
    np.testing.assert_allclose(found.values, 0, atol=1e-14 * abs(level))
    np.testing.assert_allclose(found.errors, 0, atol=1e-14 * abs(level))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("at", range(2, 6))
def test_one_draw_tells_no_error(at: int) -> None:
    plan = plans(6, 0)[at]
    table = game("uniform", 6, 2)
    assert np.isnan(estimated(plan, table, 1).errors).all()
    assert np.isfinite(estimated(plan, table, 1).values).all()
    assert np.isfinite(estimated(plan, table, 2).errors).all()


@pytest.mark.parametrize("at", range(2, 6))
def test_more_draws_do_not_change_the_first(at: int) -> None:
    plan, table = plans(6, 0)[at], game("additive", 6, 2)
    found = [played(plan, number, table)[0] for number in range(25)]
    ends = float(table[0]), float(table[-1])
    assert same(plan.estimate(found[:12], *ends), estimated(plan, table, 12))
    assert plan.estimate(found, *ends).errors.mean() < plan.estimate(found[:12], *ends).errors.mean()


@pytest.mark.parametrize("at", range(6))
def test_the_quick_way_to_play_is_the_slow_way(at: int) -> None:
    plan = plans(9, 1)[at]
    for number in range(min(plan.draws or 3, 3)):
        slow = [int(members @ (1 << np.arange(9))) for members in coalitions(plan, number)]
        assert masks(plan, number).tolist() == slow


def test_members_stand_for_masks() -> None:
    """The games' own law: bit i of a coalition's number is player i."""
    table = all_coalitions(4) @ np.array([1.0, 2.0, 4.0, 8.0])
    assert estimated(Orders(4), table, 2).values.tolist() == [1.0, 2.0, 4.0, 8.0]
