"""Accounts of releases: against definitions summed by hand, closed forms, and published figures."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import binom, norm

from dataworth.errors import MethodError
from dataworth.privacy import accounting
from dataworth.privacy.accounting import calibrate, guarantee, satisfies, spent_epsilon, zcdp
from dataworth.privacy.kinds import CappedCounts, Event, RowCount, SubsampledCounts
from dataworth.privacy.mechanisms import SIGMA_STEPS, round_sigma_up
from dataworth.records import Budget, Owner, Relation, Row, Unit

pytest.importorskip("opendp")
pytest.importorskip("dp_accounting")

RELATIONS: tuple[Relation, Relation] = ("add_or_remove", "replace")
HUNDREDTH = Fraction(1, 100)
Law = NDArray[np.float64]


def spent(
    *events: Event, delta: float | str = 1e-4, unit: Unit | None = None, relation: Relation = "add_or_remove"
) -> float:
    return spent_epsilon(events, delta, unit=unit or Row(), relation=relation)


def subsampled(sigma: float, points: int, probability: Fraction = HUNDREDTH) -> SubsampledCounts:
    return SubsampledCounts(round_sigma_up(sigma), probability, points)


def capped(sigma: float, links: int) -> CappedCounts:
    return CappedCounts(round_sigma_up(sigma), links)


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Closed form for continuous noise: sensitivity over scale in, epsilon out."""

    def excess(epsilon: float) -> float:
        tail = norm.logcdf(-mu / 2 - epsilon / mu)
        return float(norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon + tail) - delta)

    return float(brentq(excess, 0, 200)) if excess(0) > 0 else 0.0


# --- by definition: sum over every outcome -----------------------------------------------------------------------


def count_law(sigma: float, shifts: Sequence[float]) -> Law:
    """Law of 0 plus noise when the unit moves the count by k with probability ``shifts[k]``."""
    support = np.arange(-80, 121)
    normal = math.fsum(math.exp(-0.5 * (x / sigma) ** 2) for x in range(-400, 401))
    law = sum(weight * np.exp(-0.5 * ((support - k) / sigma) ** 2) for k, weight in enumerate(shifts))
    return np.asarray(law / normal)


def true_epsilon(pairs: Sequence[tuple[Law, Law]], delta: float) -> float:
    """The least epsilon in both directions, of independent counts, each with its law with and without the unit."""
    left, right = np.ones(1), np.ones(1)
    for with_unit, without in pairs:
        left, right = np.multiply.outer(left, with_unit).ravel(), np.multiply.outer(right, without).ravel()
        keep = (left > 1e-16) | (right > 1e-16)
        left, right = left[keep], right[keep]

    def least(upper: Law, lower: Law) -> float:
        def excess(epsilon: float) -> float:
            return float(np.maximum(upper - math.exp(epsilon) * lower, 0).sum() - delta)

        return float(brentq(excess, 0, 60)) if excess(0) > 0 else 0.0

    return max(least(left, right), least(right, left))


def assert_safe_and_tight(claimed: float, truth: float) -> None:
    assert truth - 1e-9 <= claimed <= truth * 1.005 + 2e-4


@pytest.mark.parametrize("sigma", [0.75, 1.0, 2.5])
@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("probability", [Fraction(1, 100), Fraction(1, 3)])
@pytest.mark.parametrize("points", [1, 2])
def test_subsampled_counts_by_definition(sigma: float, rows: int, probability: Fraction, points: int) -> None:
    mixed = count_law(sigma, [float(binom.pmf(k, rows, float(probability))) for k in range(rows + 1)])
    still = count_law(sigma, [1])
    event, unit = subsampled(sigma, points, probability), Row() if rows == 1 else Owner(rows)
    truth = true_epsilon([(mixed, still)] * points, 1e-4)
    assert_safe_and_tight(spent(event, unit=unit), truth)
    if points == 1:  # one point: the unit leaves one of the two counts and enters the other
        truth = true_epsilon([(mixed, still), (still, mixed)], 1e-4)
        assert_safe_and_tight(spent(event, unit=unit, relation="replace"), truth)


@pytest.mark.parametrize("sigma", [0.75, 1.0, 2.5])
@pytest.mark.parametrize("links", [1, 2])
def test_capped_counts_by_definition(sigma: float, links: int) -> None:
    moved, still = count_law(sigma, [0, 1]), count_law(sigma, [1])
    assert_safe_and_tight(spent(capped(sigma, links)), true_epsilon([(moved, still)] * links, 1e-4))
    if links == 1:
        truth = true_epsilon([(moved, still), (still, moved)], 1e-4)
        assert_safe_and_tight(spent(capped(sigma, 1), relation="replace"), truth)


def test_the_number_of_rows_is_one_more_count() -> None:
    pair = count_law(2, [0, 1]), count_law(2, [1])
    wide = count_law(5, [0, 1]), count_law(5, [1])
    truth = true_epsilon([pair, wide], 1e-4)
    assert_safe_and_tight(spent(capped(2, 1), RowCount(Fraction(5))), truth)
    mixed = count_law(2, [0.99, 0.01]), count_law(2, [1])
    truth = true_epsilon([mixed, wide], 1e-4)
    assert_safe_and_tight(spent(subsampled(2, 1), RowCount(Fraction(5))), truth)


def test_replacing_a_row_leaves_the_number_of_rows_alone() -> None:
    count = RowCount(Fraction(1))
    assert spent(count) > 3
    assert spent(count, relation="replace") == 0
    assert spent(capped(2, 5), count, relation="replace") == spent(capped(2, 5), relation="replace")
    owner = Owner(3)  # who may come back with one row instead of three
    assert spent(count, unit=owner, relation="replace") >= spent_epsilon(
        [count], 1e-4, unit=Owner(2), relation="add_or_remove"
    )


@pytest.mark.parametrize("sigma", [0.75, 1.5, 4.0])
def test_owners_rows_in_any_pattern_cost_no_more_than_claimed(sigma: float) -> None:
    """Every way in which two rows of at most two links can lie over four counts."""
    choices = [set(cells) for size in (0, 1, 2) for cells in itertools.combinations(range(4), size)]
    patterns = {
        tuple(sorted(((cell in one) + (cell in other) for cell in range(4)), reverse=True))
        for one, other in itertools.product(choices, repeat=2)
    }
    claimed = spent(capped(sigma, 2), unit=Owner(2))
    still = count_law(sigma, [1])
    for pattern in patterns:
        moved = [(count_law(sigma, [0] * shift + [1]), still) for shift in pattern if shift]
        if len(moved) < 4 or sigma < 2:  # four wide counts have too many outcomes to list
            assert true_epsilon(moved, 1e-4) <= claimed


# --- published figures and closed forms --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sigma", "added", "replaced", "ten_rows"),
    [(3.621, 0.1, 0.144, 1.36), (1.165, 0.5, 0.645, 7.2), (0.875, 1.0, 1.165, 13.4)],
)
def test_figures_for_two_hundred_points(sigma: float, added: float, replaced: float, ten_rows: float) -> None:
    event = subsampled(sigma, 200)
    assert spent(event) == pytest.approx(added, rel=0.005)
    assert spent(event, relation="replace") == pytest.approx(replaced, abs=0.0006)
    assert spent(event, unit=Owner(10)) == pytest.approx(ten_rows, rel=0.005)
    assert spent(event, unit=Owner(10)) > 10 * 1.2 * spent(event)  # never r times epsilon


@pytest.mark.parametrize(
    ("points", "sigma", "added"),
    [
        (1000, 9.828, 0.1),
        (1000, 2.391, 0.5),
        (1000, 1.416, 1.0),
        (5000, 22.13, 0.1),
        (5000, 5.149, 0.5),
        (5000, 2.767, 1.0),
    ],
)
def test_figures_for_more_points(points: int, sigma: float, added: float) -> None:
    assert 0.97 * added < spent(subsampled(sigma, points), delta=1e-5) <= added


def test_the_published_noise_for_a_tenth_is_really_less() -> None:
    assert spent(subsampled(3.795, 200)) == pytest.approx(0.0947, rel=0.005)


@pytest.mark.parametrize("sigma", [3.0, 10.0, 60.0, 435.0])
@pytest.mark.parametrize("links", [1, 25, 200])
def test_closed_form_of_full_data(sigma: float, links: int) -> None:
    for relation, counts in zip(RELATIONS, (links, 2 * links), strict=True):
        closed = gaussian_epsilon(math.sqrt(counts) / sigma, 1e-4)
        assert spent(capped(sigma, links), relation=relation) == pytest.approx(closed, rel=0.01, abs=1e-3)


def test_closed_form_of_the_number_of_rows_in_the_same_charge() -> None:
    sigma, links = 40.0, 20
    weight = math.sqrt(links / 10)
    events = capped(sigma, links), RowCount(round_sigma_up(sigma / weight))
    assert spent(*events) == pytest.approx(gaussian_epsilon(math.sqrt(links + weight**2) / sigma, 1e-4), rel=0.01)


def test_the_closed_form_is_not_safe_at_small_scales() -> None:
    closed = gaussian_epsilon(math.sqrt(2) / 0.75, 1e-4)
    assert closed < spent(capped(0.75, 2)) < 1.1 * closed


@given(
    sigma=st.floats(1, 50), links=st.integers(1, 50), delta=st.sampled_from([1e-4, 1e-6, 1e-9]), rows=st.integers(1, 3)
)
@settings(max_examples=20)
def test_zero_concentration_bounds_the_exact_account(sigma: float, links: int, delta: float, rows: int) -> None:
    event, unit = capped(sigma, links), Owner(rows)
    for relation in RELATIONS:
        rho = zcdp([event], unit=unit, relation=relation)
        assert rho == Fraction(rows**2 * links * (2 if relation == "replace" else 1)) / (2 * event.sigma**2)
        bound = accounting._epsilon_of_rho(rho, delta)
        exact = spent(event, delta=delta, unit=unit, relation=relation)
        assert exact <= bound * 1.01 + 1e-3
        if rows > 1:
            assert exact >= bound


def test_zero_concentration_of_whole_releases() -> None:
    events: list[Event] = [capped(2, 8), RowCount(Fraction(4))]
    assert zcdp(events, unit=Owner(3), relation="add_or_remove") == 9 * (Fraction(8, 8) + Fraction(1, 32))
    assert zcdp(events, unit=Owner(3), relation="replace") == 9 * Fraction(16, 8) + 4 * Fraction(1, 32)
    assert zcdp([*events, subsampled(2, 5)], unit=Row(), relation="replace") is None


def test_all_rows_let_in_is_full_data() -> None:
    units: tuple[Unit, ...] = (Row(), Owner(3))
    for unit, relation in itertools.product(units, RELATIONS):
        full = spent(capped(5, 30), unit=unit, relation=relation)
        everyone = spent(subsampled(5, 30, Fraction(1)), unit=unit, relation=relation)
        assert everyone == pytest.approx(full, rel=1e-9)


def test_our_mixture_of_one_row_is_the_library_s() -> None:
    for ours, theirs in zip(
        accounting._mixture(1.5, 1, 0.01), accounting._one_count(Fraction(3, 2), 1, HUNDREDTH), strict=True
    ):
        for times in (1, 300):
            assert ours.self_compose(times).get_epsilon_for_delta(1e-5) == pytest.approx(
                theirs.self_compose(times).get_epsilon_for_delta(1e-5), abs=2e-5
            )


# --- order -------------------------------------------------------------------------------------------------------

ORDERED = {"sigma": st.floats(0.8, 30), "probability": st.fractions(Fraction(1, 1000), 1, max_denominator=1000)}


@given(sigma=ORDERED["sigma"], more=st.floats(1.01, 3), points=st.integers(1, 60), probability=ORDERED["probability"])
@settings(max_examples=25)
def test_more_noise_costs_less(sigma: float, more: float, points: int, probability: Fraction) -> None:
    for relation in RELATIONS:
        loud, quiet = (spent(subsampled(s, points, probability), relation=relation) for s in (sigma * more, sigma))
        assert loud <= quiet * 1.001 + 1e-4 * math.sqrt(points)


@given(
    sigma=ORDERED["sigma"],
    points=st.integers(1, 60),
    low=ORDERED["probability"],
    high=ORDERED["probability"],
    extra=st.integers(1, 60),
)
@settings(max_examples=25)
def test_more_of_anything_else_costs_more(sigma: float, points: int, low: Fraction, high: Fraction, extra: int) -> None:
    low, high = sorted((low, high))
    slack = 1e-4 * math.sqrt(points)
    for relation in RELATIONS:
        base = spent(subsampled(sigma, points, low), relation=relation)
        assert base <= spent(subsampled(sigma, points, high), relation=relation) * 1.001 + slack
        assert base <= spent(subsampled(sigma, points + extra, low), relation=relation) * 1.001 + slack
        assert base <= spent(subsampled(sigma, points, low), unit=Owner(2), relation=relation) * 1.001 + slack
    assert spent(subsampled(sigma, points, low)) <= spent(subsampled(sigma, points, low), relation="replace") + slack
    assert spent(capped(sigma, points)) <= spent(capped(sigma, points + extra))


# --- calibration and guarantees ----------------------------------------------------------------------------------

RELEASES: dict[str, Any] = {
    "subsampled": lambda sigma: [SubsampledCounts(sigma, HUNDREDTH, 200)],
    "capped": lambda sigma: [CappedCounts(sigma, 20)],
    "with rows": lambda sigma: [CappedCounts(sigma, 20), RowCount(round_sigma_up(float(sigma) / math.sqrt(2)))],
}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize(
    "epsilon", [1, pytest.param(0.1, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("unit", [Row(), Owner(3)], ids=str)
def test_calibration_finds_the_last_safe_step(release: str, relation: Relation, epsilon: float, unit: Unit) -> None:
    events_at, spend = RELEASES[release], Budget(epsilon, 1e-4)
    sigma = calibrate(events_at, spend, unit=unit, relation=relation)
    assert satisfies(events_at(sigma), spend, unit=unit, relation=relation)
    assert not satisfies(events_at(sigma - Fraction(1, SIGMA_STEPS)), spend, unit=unit, relation=relation)


def test_calibration_of_the_published_mechanism() -> None:
    for epsilon, sigma in ((0.1, 3.621), (0.5, 1.165), (1, 0.875)):
        found = calibrate(RELEASES["subsampled"], Budget(epsilon, 1e-4), unit=Row(), relation="add_or_remove")
        assert float(found) == pytest.approx(sigma, abs=0.003)


def test_calibration_says_when_no_noise_is_enough() -> None:
    with pytest.raises(MethodError, match="no noise scale up to"):
        calibrate(
            lambda sigma: [CappedCounts(sigma, 10**6)], Budget("0.001", 1e-9), unit=Owner(1000), relation="replace"
        )


def test_guarantees_round_up() -> None:
    events = [capped(30, 20)]
    spent_exactly = spent(*events, delta=1e-5)
    promise = guarantee(events, 1e-5, unit=Row(), relation="add_or_remove")
    assert Decimal(spent_exactly) <= promise.budget.epsilon <= Decimal(spent_exactly) + Decimal("1e-9")
    assert promise.private
    assert not guarantee(events, 1e-5, unit=Row(), relation="replace", private=False).private
    nothing = guarantee([RowCount(Fraction(5))], 1e-5, unit=Row(), relation="replace")
    assert nothing.budget.epsilon == Decimal("1e-9")
    with pytest.raises(MethodError, match="promise nothing"):
        guarantee([capped(0.5, 200)], 1e-5, unit=Row(), relation="replace")


# --- refusals ----------------------------------------------------------------------------------------------------


def test_what_cannot_be_accounted() -> None:
    with pytest.raises(MethodError, match="at least one event"):
        spent()
    with pytest.raises(MethodError, match="delta must be at least"):
        spent(capped(5, 5), delta="9e-11")
    with pytest.raises(MethodError, match="relation must be"):
        spent(capped(5, 5), relation="swap")  # type: ignore[arg-type]
    with pytest.raises(MethodError, match="at most 1,000 rows"):
        spent(subsampled(5, 5), unit=Owner(1001))


@pytest.mark.parametrize("number", [0, -1, 2.0, True, 10**7 + 1])
def test_events_of_no_sensible_number(number: Any) -> None:
    with pytest.raises(MethodError, match="links must be"):
        CappedCounts(Fraction(1), number)
    with pytest.raises(MethodError, match="points must be"):
        SubsampledCounts(Fraction(1), HUNDREDTH, number)


@pytest.mark.parametrize("sigma", [Fraction(0), Fraction(1, 3), 1.0])
def test_events_with_noise_that_cannot_be_sampled(sigma: Any) -> None:
    for make in (RowCount, lambda s: CappedCounts(s, 1), lambda s: SubsampledCounts(s, HUNDREDTH, 1)):
        with pytest.raises(MethodError, match="sigma must be"):
            make(sigma)
    with pytest.raises(MethodError, match="probability must be"):
        SubsampledCounts(Fraction(1), 0.01, 1)  # type: ignore[arg-type]
