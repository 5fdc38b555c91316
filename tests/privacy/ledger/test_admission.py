"""Whole numbers: what a charge costs, what a budget allows, and that neither is ever rounded the wrong way."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataworth.errors import MethodError
from dataworth.privacy.accounting import epsilon_of_rho, zcdp
from dataworth.privacy.kinds import CappedCounts, Event, RowCount, SubsampledCounts
from dataworth.privacy.ledger import Charge
from dataworth.privacy.ledger.admission import Steps, cap_of, check_account, cost_of, fits, remaining
from dataworth.records.privacy import Budget, Owner, Relation, Row, Unit

ROW = Row()
MOST = 2**62  # twice it still fits a 64-bit integer
GAUSSIAN = (CappedCounts(Fraction(40), links=25), RowCount(Fraction(100)))
POISSON = (SubsampledCounts(Fraction(20), Fraction(1, 100), points=10),)

known_cap = lru_cache(lambda budget: cap_of(budget, "zcdp"))
epsilons = st.integers(1, 10**11).map(lambda n: Decimal(n).scaleb(-9))
deltas = st.integers(4 * 10**8, 10**17).map(lambda n: Decimal(n).scaleb(-18))
events = st.lists(
    st.one_of(
        st.builds(CappedCounts, st.integers(16384, 2**28).map(lambda n: Fraction(n, 2**14)), st.integers(1, 200)),
        st.builds(RowCount, st.integers(16384, 2**28).map(lambda n: Fraction(n, 2**14))),
        st.just(POISSON[0]),
    ),
    min_size=1,
    max_size=3,
)


def cost(spend: Budget, of: Any, composition: Any, unit: Unit = ROW, relation: Relation = "add_or_remove") -> Steps:
    return cost_of(*spend.charge(), of, unit, relation, composition)


@given(epsilons, deltas)
def test_basic_costs_are_billionths(epsilon: Decimal, delta: Decimal) -> None:
    spend = Budget(epsilon, delta)
    expected = Steps(int(epsilon * 10**9), int(delta * 10**18))
    assert cost(spend, GAUSSIAN, "basic") == cap_of(spend, "basic") == expected


def test_costs_round_up_and_caps_down() -> None:
    between = Budget("0.1000000005", "1.0000000000005e-6")
    assert cost(between, POISSON, "basic") == Steps(100000001, 1000000000001)
    assert cap_of(between, "basic") == Steps(100000000, 1000000000000)
    assert not fits(cost(between, POISSON, "basic"), cap_of(between, "basic"))


def test_zcdp_costs() -> None:
    rho = Fraction(25, 2 * 40**2) + Fraction(1, 2 * 100**2)
    paid = cost(Budget(1, "5e-7"), GAUSSIAN, "zcdp")
    assert paid.delta == 0
    assert paid.loss - 1 < rho * 2**40 <= paid.loss
    either = cost(Budget("0.1", "1e-6"), POISSON, "zcdp")
    assert either.delta == 10**12
    assert either.loss - 1 < Fraction(1, 200) * 2**40 <= either.loss
    assert cost(Budget("0.1", "1e-6"), (*GAUSSIAN, *POISSON), "zcdp") == either  # one that earns nothing is enough


def test_every_cost_is_at_least_one_step() -> None:
    """Replacing a row moves no count of rows; it is charged for all the same."""
    nothing = (RowCount(Fraction(10)),)
    assert zcdp(nothing, unit=ROW, relation="replace") == 0
    assert cost(Budget("1e-9", "1e-18"), nothing, "zcdp", relation="replace") == Steps(1, 0)
    assert cost(Budget("1e-9", "1e-18"), POISSON, "zcdp") == Steps(1, 1)
    assert cost(Budget("1e-9", "1e-18"), POISSON, "basic") == Steps(1, 1)


@pytest.mark.parametrize("amounts", [(0, 5), (5, 0), (-1, 5), (5, -1), (0, 0), (-(10**9), -(10**9))])
@pytest.mark.parametrize("composition", ["basic", "zcdp"])
@pytest.mark.parametrize("of", [GAUSSIAN, POISSON])
def test_no_refunds(amounts: tuple[int, int], composition: Any, of: Any) -> None:
    with pytest.raises(MethodError, match="must be positive"):
        cost_of(*amounts, of, ROW, "add_or_remove", composition)


@given(st.integers(0, 10), st.integers(0, 10), st.integers(0, 10), st.integers(0, 10))
def test_fits_is_both_at_most(loss: int, delta: int, left_loss: int, left_delta: int) -> None:
    assert fits(Steps(loss, delta), Steps(left_loss, left_delta)) == (loss <= left_loss and delta <= left_delta)


@given(epsilons, deltas)
@settings(max_examples=25)
def test_the_cap_on_rho_is_the_largest_safe_one(epsilon: Decimal, delta: Decimal) -> None:
    budget = Budget(epsilon, delta)
    if Decimal(epsilon_of_rho(Fraction(1, 2**40), delta / 2)) > epsilon:
        with pytest.raises(MethodError, match="no room"):
            cap_of(budget, "zcdp")
        return
    cap = cap_of(budget, "zcdp")
    assert cap.delta == int(delta * 10**18) // 2
    assert Decimal(epsilon_of_rho(Fraction(cap.loss, 2**40), delta / 2)) <= epsilon
    assert Decimal(epsilon_of_rho(Fraction(cap.loss + 1, 2**40), delta / 2)) > epsilon


SOME_BUDGETS = [Budget(2, "1e-6"), Budget("0.1", "1e-5"), Budget(100, "0.1"), Budget("0.003", "1e-9")]
small = st.integers(1, 10**9).map(lambda n: Decimal(n).scaleb(-9))
smaller = st.integers(1, 10**10).map(lambda n: Decimal(n).scaleb(-18))


@given(st.sampled_from(SOME_BUDGETS), st.lists(st.tuples(events, small | epsilons, smaller | deltas), max_size=30))
def test_whatever_zcdp_admits_converts_to_the_budget(
    budget: Budget, asked: list[tuple[list[Event], Decimal, Decimal]]
) -> None:
    """Recomputed from the events with exact rationals, with no whole number of the ledger in sight."""
    epsilon, delta = budget.epsilon, budget.delta
    left = known_cap(budget)
    rho, deltas_spent = Fraction(0), Fraction(0)
    for of, its_epsilon, its_delta in asked:
        paid = cost(Budget(its_epsilon, its_delta), of, "zcdp")
        if not fits(paid, left):
            continue
        left = left - paid
        exact = zcdp(of, unit=ROW, relation="add_or_remove")
        rho += Fraction(its_epsilon) ** 2 / 2 if exact is None else exact
        deltas_spent += Fraction(its_delta) if exact is None else 0
    assert deltas_spent <= Fraction(delta) / 2
    total = Decimal(epsilon_of_rho(rho, delta / 2))
    assert total <= epsilon * (1 + Decimal("1e-12"))  # floats of the conversion, not of the ledger
    assert deltas_spent + Fraction(delta) / 2 <= Fraction(delta)


def test_twenty_releases_of_a_tenth_fit_in_much_less_than_two() -> None:
    """Their epsilons add up to 2.0; composed, they are within 0.5, and a ledger of 0.6 takes them all."""
    tenth = Budget("0.1", "1e-6")
    event = (CappedCounts(Fraction(43), links=1),)
    check_account(Charge(tenth, event, ROW, "add_or_remove"))
    left = cap_of(Budget("0.6", "1e-6"), "zcdp")
    for _ in range(20):
        paid = cost(tenth, event, "zcdp")
        assert fits(paid, left)
        left = left - paid
    basic = cap_of(Budget("0.6", "2e-5"), "basic")
    assert basic.loss // cost(tenth, event, "basic").loss == 6


@given(st.integers(0, 10**15), st.integers(0, 10**17))
def test_what_is_left_under_zcdp_is_what_one_more_release_may_declare(loss: int, delta: int) -> None:
    left = remaining(Steps(loss, delta), "zcdp")
    assert left.rho == Fraction(loss, 2**40)
    steps = int(left.epsilon * 10**9)
    if steps and delta:
        assert fits(cost_of(steps, delta, POISSON, ROW, "add_or_remove", "zcdp"), Steps(loss, delta))
    assert not fits(cost_of(steps + 1, 1, POISSON, ROW, "add_or_remove", "zcdp"), Steps(loss, 10**18))


@given(st.integers(0, 10**11), st.integers(0, 10**17))
def test_what_is_left_under_basic(loss: int, delta: int) -> None:
    left = remaining(Steps(loss, delta), "basic")
    assert left.rho is None
    assert (int(left.epsilon * 10**9), int(left.delta * 10**18)) == (loss, delta)


def test_remaining_in_words() -> None:
    assert str(remaining(Steps(15 * 10**8, 5 * 10**11), "basic")) == "epsilon = 1.5, delta = 5e-7"
    assert str(remaining(Steps(0, 0), "basic")) == "epsilon = 0, delta = 0"
    assert str(remaining(Steps(100 * 10**9, 10**17), "basic")) == "epsilon = 100, delta = 0.1"
    assert str(remaining(Steps(2**40 // 200, 5 * 10**11), "zcdp")) == (
        "rho = 0.005 for counts of all rows with Gaussian noise, or one release of epsilon = 0.099999999, delta = 5e-7"
    )


@pytest.mark.parametrize("composition", ["basic", "zcdp"])
def test_extremes_fit_64_bits(composition: Any) -> None:
    """A sum of what was spent and one more charge stays within 64 bits: nobody asks the database for more."""
    for budget in (Budget(100, "0.1"), Budget(100, "1e-9"), Budget("1e-3", "0.1")):
        cap = cap_of(budget, composition)
        assert 0 < cap.loss < MOST
        assert 0 < cap.delta < MOST
    dearest = cost(Budget(100, "0.1"), POISSON, composition)
    assert max(dearest.loss, dearest.delta) < MOST
    assert composition == "basic" or dearest == Steps(5000 * 2**40, 10**17)


def test_an_absurd_charge_does_not_fit_and_does_not_wrap() -> None:
    absurd = (CappedCounts(Fraction(1, 2**14), links=10**7),)
    paid = cost(Budget(100, "0.1"), absurd, "zcdp", Owner(10**6), "replace")
    assert paid.loss > 2**63
    assert not fits(paid, cap_of(Budget(100, "0.1"), "zcdp"))


@pytest.mark.parametrize("budget", [Budget(1, "1.9e-10"), Budget("1e-9", "1e-9"), Budget("1e-9", "1e-18")])
def test_budgets_with_no_room_under_zcdp(budget: Budget) -> None:
    with pytest.raises(MethodError, match="composition='zcdp'"):
        cap_of(budget, "zcdp")
    cap_of(budget, "basic")


def test_a_charge_that_costs_more_than_it_declares() -> None:
    """Before anything is admitted, the pessimistic account must agree with what is declared."""
    honest = Charge(Budget(1, "5e-7"), GAUSSIAN, ROW, "add_or_remove")
    check_account(honest)
    for lie in (
        Charge(Budget("0.5", "5e-7"), GAUSSIAN, ROW, "add_or_remove"),
        Charge(Budget(1, "5e-7"), GAUSSIAN, Owner(5), "add_or_remove"),
        Charge(Budget(1, "5e-7"), (CappedCounts(Fraction(40, 2), links=25),), ROW, "add_or_remove"),
        Charge(Budget(1, "5e-7"), (CappedCounts(Fraction(1, 2**14), links=10**6),), ROW, "add_or_remove"),
    ):
        with pytest.raises(MethodError, match=r"cost more than the epsilon = .* that it declares"):
            check_account(lie)
    with pytest.raises(MethodError, match="for the accountant to resolve"):
        check_account(Charge(Budget(1, "1e-12"), GAUSSIAN, ROW, "add_or_remove"))


def test_the_account_is_kept_but_never_for_another_charge() -> None:
    for sigma, relation, unit in ((40, "add_or_remove", ROW), (40, "replace", ROW), (40, "add_or_remove", Owner(1))):
        check_account(Charge(Budget(1, "5e-7"), (CappedCounts(Fraction(sigma), 25),), unit, relation))  # type: ignore[arg-type]
    with pytest.raises(MethodError):
        check_account(Charge(Budget("0.3", "5e-7"), (CappedCounts(Fraction(40), 25),), ROW, "add_or_remove"))


@pytest.mark.parametrize(
    "parts",
    [
        {"spend": (1, 1e-6)},
        {"events": ()},
        {"events": list(GAUSSIAN)},
        {"events": ("sigma=40",)},
        {"unit": "row"},
        {"unit": None},
        {"relation": "swap"},
    ],
    ids=repr,
)
def test_what_is_no_charge(parts: dict[str, Any]) -> None:
    whole: dict[str, Any] = {"spend": Budget(1, "5e-7"), "events": GAUSSIAN, "unit": ROW, "relation": "replace"}
    with pytest.raises(MethodError):
        Charge(**(whole | parts))
