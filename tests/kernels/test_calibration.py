"""Weights and totals of calibration: laws first, then worked examples; and how near values are to the truth."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataworth.errors import InputError, MethodError
from dataworth.kernels import calibration as kernel

Vector = NDArray[np.float64]
Mix = tuple[float, float, float]
Problem = tuple[Vector, Vector, Vector, Mix, NDArray[np.bool_]]

figures = st.floats(-10, 10).map(lambda number: round(number, 3))


@st.composite
def problems(draw: st.DrawFn, *, missing: bool = True) -> Problem:
    """Values, fidelity (some of it missing), utility, a mix, and who is there."""
    count = draw(st.integers(1, 6))
    value, fidelity, utility = (np.array(draw(st.lists(figures, min_size=count, max_size=count))) for _ in range(3))
    present = np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    present[draw(st.integers(0, count - 1))] = True
    if missing:
        fidelity[np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)))] = np.nan
    tenths = draw(st.tuples(st.integers(1, 10), st.integers(0, 10), st.integers(0, 10)))
    a, b, c = (tenth / sum(tenths) for tenth in tenths)
    return value, fidelity, utility, (a, b, c), present


def by_hand(value: Vector, fidelity: Vector, utility: Vector, mix: Mix, present: NDArray[np.bool_]) -> list[Fraction]:
    """The weights in fractions, player by player, as the page on calibration defines them."""
    players = [i for i in range(value.size) if present[i]]

    def parts(array: Vector, among: list[int]) -> dict[int, Fraction]:
        kept = {i: max(Fraction(float(array[i])), Fraction(0)) for i in among}
        total = sum(kept.values())
        return {i: kept[i] / total if total else Fraction(1, len(among)) for i in among}

    a, b, c = (Fraction(part) for part in mix)
    answered = [i for i in players if not np.isnan(fidelity[i])]
    s, u, f = parts(value, players), parts(utility, players), parts(fidelity, answered)
    rest = {i: (a * s[i] + c * u[i]) / (a + c) for i in players}
    held = sum((rest[i] for i in answered), Fraction(0))
    weights = {i: (a + c) * rest[i] + b * held * f[i] if i in answered else rest[i] for i in players}
    total = sum(weights.values())
    return [weights[i] / total if i in players else Fraction(0) for i in range(value.size)]


@given(problems())
def test_weights_are_those_of_the_definition(problem: Problem) -> None:
    terms = kernel.weigh(*problem)
    np.testing.assert_allclose(terms.weights, [float(w) for w in by_hand(*problem)], atol=1e-12)
    present = problem[-1]
    for part in (terms.value, terms.utility, terms.weights):
        assert part.sum() == pytest.approx(1)
        assert (part >= 0).all()
        assert (part[~present] == 0).all()


@given(problems(), st.floats(1e-3, 1e3))
def test_scaling_any_term_leaves_the_weights(problem: Problem, factor: float) -> None:
    value, fidelity, utility, mix, present = problem
    whole = kernel.weigh(*problem).weights
    for changed in (
        (factor * value, fidelity, utility), (value, factor * fidelity, utility), (value, fidelity, factor * utility)
    ):  # fmt: skip
        np.testing.assert_allclose(kernel.weigh(*changed, mix, present).weights, whole, atol=1e-12)


@given(problems(), st.integers(0, 5))
def test_identical_players_weigh_the_same(problem: Problem, twin: int) -> None:
    value, fidelity, utility, mix, present = problem
    doubled = [np.append(array, array[twin % array.size]) for array in (value, fidelity, utility, present)]
    weights = kernel.weigh(doubled[0], doubled[1], doubled[2], mix, doubled[3]).weights
    assert weights[twin % value.size] == weights[-1]


@given(problems())
def test_order_of_players_does_not_matter(problem: Problem) -> None:
    value, fidelity, utility, mix, present = problem
    back = kernel.weigh(value[::-1], fidelity[::-1], utility[::-1], mix, present[::-1]).weights[::-1]
    np.testing.assert_allclose(back, kernel.weigh(*problem).weights, atol=1e-12)


@given(problems())
def test_cases_are_worked_out_together_as_alone(problem: Problem) -> None:
    value, fidelity, utility, mix, present = problem
    stacked = kernel.weigh(
        np.stack([value, 2 * value - 1]), np.stack([fidelity, fidelity]), np.stack([utility, utility]), mix, present
    ).weights
    np.testing.assert_array_equal(stacked[0], kernel.weigh(*problem).weights)
    np.testing.assert_array_equal(stacked[1], kernel.weigh(2 * value - 1, fidelity, utility, mix, present).weights)


@given(problems(missing=False))
def test_a_missing_answer_moves_nothing_between_the_groups(problem: Problem) -> None:
    value, fidelity, utility, mix, present = problem
    fidelity[0] = np.nan
    alpha, _, gamma = mix
    without = kernel.weigh(value, fidelity, utility, (alpha / (alpha + gamma), 0.0, gamma / (alpha + gamma)), present)
    assert kernel.weigh(*problem).weights[0] == pytest.approx(without.weights[0], abs=1e-12)


def test_identical_players_of_whom_one_is_silent_weigh_the_same() -> None:
    level, everyone = np.ones(4), np.ones(4, dtype=np.bool_)
    fidelity = np.array([0.5, 0.5, np.nan, 0.5])
    np.testing.assert_allclose(kernel.weigh(level, fidelity, level, (0.4, 0.3, 0.3), everyone).weights, 0.25)


def test_weights_that_cannot_be_had() -> None:
    level, everyone = np.ones(2), np.ones(2, dtype=np.bool_)
    with pytest.raises(MethodError, match="answer of every provider"):
        kernel.weigh(level, np.array([0.5, np.nan]), level, (0.0, 1.0, 0.0), everyone)
    with pytest.raises(MethodError, match="answer of every provider"):
        kernel.weigh(level, np.array([0.5, np.nan]), level, (0.4, 0.3, 0.3), everyone, signed=True)


def test_signed_values_stay_in_proportion() -> None:
    value, everyone = np.array([0.5, -0.1, 0.2]), np.ones(3, dtype=np.bool_)
    terms = kernel.weigh(value, np.ones(3), np.ones(3), (1.0, 0.0, 0.0), everyone, signed=True)
    np.testing.assert_allclose(terms.weights * value.sum(), value)
    assert terms.weights[1] < 0
    mixed = kernel.weigh(value, np.ones(3), np.ones(3), (0.4, 0.3, 0.3), everyone, signed=True)
    np.testing.assert_allclose(mixed.weights, 0.4 * value / 0.6 + 0.2)
    sunk = kernel.weigh(np.array([-0.5, 0.1, 0.1]), np.ones(3), np.ones(3), (1.0, 0.0, 0.0), everyone, signed=True)
    np.testing.assert_allclose(sunk.weights, 1 / 3)


@pytest.mark.parametrize("tiny", [5e-324, 1e-300, 1e300])
def test_parts_of_extreme_figures(tiny: float) -> None:
    found = kernel.parts_of_one(np.array([tiny, tiny, 0.0]), np.ones(3, dtype=np.bool_))
    np.testing.assert_allclose(found, [0.5, 0.5, 0.0])


@pytest.mark.parametrize(
    ("gain", "scale", "room", "total"), [(0.4, 1.5, 0.9, 0.6), (0.4, 3.0, 0.9, 0.9), (-0.1, 1.0, 0.9, 0.0)]
)
def test_totals_stay_within_what_can_be_gained(gain: float, scale: float, room: float, total: float) -> None:
    assert kernel.scaled_total(gain, scale, room) == pytest.approx(total)


# -- standard errors -------------------------------------------------------------------------------


def spread(**changed: object) -> Vector:
    value, zero = np.array([0.3, 0.2, 0.1]), np.zeros(3)
    given_: dict[str, object] = {
        "value": (value, zero), "fidelity": (np.array([0.4, 0.5, 0.6]), zero), "utility": (value, zero),
        "gain": (0.6, 0.0), "mix": (0.4, 0.3, 0.3), "present": np.ones(3, dtype=np.bool_), "scale": 1.0, "room": 0.9,
    }  # fmt: skip
    return kernel.spread(**{**given_, **changed})  # type: ignore[arg-type]


def test_no_error_in_no_error_out() -> None:
    assert spread().tolist() == [0.0, 0.0, 0.0]


def test_errors_are_those_of_the_delta_method_away_from_zero() -> None:
    value, fidelity = np.array([0.3, 0.2, 0.1]), np.array([0.4, 0.5, 0.6])
    error, noise, off = np.array([0.003, 0.002, 0.004]), np.array([0.01, 0.02, 0.005]), 0.006

    def values(changed: Vector, answers: Vector, gain: float) -> Vector:
        terms = kernel.weigh(changed, answers, value, (0.4, 0.3, 0.3), np.ones(3, dtype=np.bool_))
        return np.asarray(terms.weights * gain)

    at, variance, step = values(value, fidelity, 0.6), np.zeros(3), 1e-6
    for i in range(3):
        nudge = step * np.eye(3)[i]
        variance += ((values(value + nudge, fidelity, 0.6) - at) / step * error[i]) ** 2
        variance += ((values(value, fidelity + nudge, 0.6) - at) / step * noise[i]) ** 2
    variance += ((values(value, fidelity, 0.6 + step) - at) / step * off) ** 2
    np.testing.assert_allclose(
        spread(value=(value, error), fidelity=(fidelity, noise), gain=(0.6, off)), np.sqrt(variance), rtol=0.08
    )


def test_errors_not_known_stay_not_known_where_they_count() -> None:
    unknown = np.full(3, np.nan)
    assert np.isnan(spread(value=(np.ones(3), unknown))).all()
    assert np.isnan(spread(fidelity=(np.ones(3), unknown))).all()
    assert np.isnan(spread(gain=(0.6, np.nan))).all()
    np.testing.assert_allclose(spread(fidelity=(np.ones(3), unknown), mix=(0.7, 0.0, 0.3)), 0, atol=1e-12)
    np.testing.assert_allclose(spread(fidelity=(unknown, unknown)), 0, atol=1e-12)


def test_an_empty_player_has_no_error() -> None:
    present = np.array([True, False, True])
    found = spread(value=(np.array([0.3, 0.0, 0.1]), np.array([0.1, 0.1, 0.1])), present=present)
    assert found[1] == 0
    assert (found[present] > 0).all()


# -- learned weights -------------------------------------------------------------------------------


def test_weights_that_made_the_truth_are_found_again() -> None:
    rng = np.random.default_rng(0)
    terms = rng.dirichlet(np.ones(6), size=(4, 3)).transpose(0, 2, 1).reshape(-1, 3)
    np.testing.assert_allclose(kernel.fit_weights(terms, terms @ [0.2, 0.5, 0.3]), [0.2, 0.5, 0.3], atol=1e-9)


def test_no_weight_is_below_zero() -> None:
    terms = np.array([[0.6, 0.3, 0.5], [0.3, 0.3, 0.25], [0.1, 0.4, 0.25]])
    found = kernel.fit_weights(terms, terms @ [0.9, -0.4, 0.5])
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(1)


def test_terms_that_say_nothing() -> None:
    with pytest.raises(MethodError, match="cannot be learned"):
        kernel.fit_weights(np.eye(3), -np.ones(3))


# -- how near to the truth -------------------------------------------------------------------------


def test_errors_by_hand() -> None:
    assert kernel.relative_error([1.0, 3.0], [2.0, 2.0]) == 0.5
    assert kernel.relative_error([-1.0, 3.0], [-2.0, 2.0]) == 0.5
    assert kernel.relative_error([0.0, 1.0], [0.0, 1.0]) == 0
    assert kernel.relative_error([0.1, 1.0], [0.0, 1.0]) == np.inf
    assert kernel.total_error([0.1, 1.0], [0.0, 1.0]) == pytest.approx(0.1)
    assert kernel.total_error([0.1, 1.0], [0.0, 0.0]) == np.inf
    assert kernel.total_error([0.0], [0.0]) == 0


@given(st.integers(2, 9).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 5), min_size=n, max_size=n)] * 2)))
def test_rank_correlations_are_those_of_scipy(pair: tuple[list[int], list[int]]) -> None:
    from scipy import stats

    a, b = pair
    found = kernel.spearman(a, b), kernel.kendall(a, b)
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert found == (None, None)
        assert kernel.permutation_p(a, b) is None
    else:
        assert found[0] == pytest.approx(stats.spearmanr(a, b).statistic)
        assert found[1] == pytest.approx(stats.kendalltau(a, b).statistic)


@given(st.integers(2, 5).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 3), min_size=n, max_size=n)] * 2)))
def test_chance_is_counted_order_by_order(pair: tuple[list[int], list[int]]) -> None:
    from scipy import stats

    a, b = pair
    if len(set(a)) == 1 or len(set(b)) == 1:
        return
    held = stats.spearmanr(a, b).statistic
    hits = [stats.spearmanr(a, order).statistic >= held - 1e-9 for order in permutations(b)]
    assert kernel.permutation_p(a, b) == pytest.approx(np.mean(hits))


def test_chance_among_many_players_is_drawn() -> None:
    rising = list(range(12))
    found = kernel.permutation_p(rising, rising, draws=999)
    assert found == kernel.permutation_p(rising, rising, draws=999) == 1 / 1000
    middle = kernel.permutation_p(rising, [5, 3, 8, 1, 0, 11, 2, 9, 10, 4, 7, 6], draws=999)
    assert middle is not None
    assert 0.1 < middle < 0.9


@pytest.mark.parametrize(("a", "b"), [([1.0], [1.0, 2.0]), ([[1.0]], [[1.0]]), ([], []), ([np.nan], [1.0])])
def test_what_cannot_be_compared(a: list[float], b: list[float]) -> None:
    with pytest.raises(InputError):
        kernel.relative_error(a, b)
