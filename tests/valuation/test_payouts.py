"""Payouts: every cent is paid, nobody pays, and more is paid to who is worth more."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dataworth as dw
from dataworth.errors import InputError, MethodError
from dataworth.valuation.payouts import Payout, payout
from tests.made_shares import INSECURE, PROMISE, made
from tests.records.test_release import made as released


def shares_of(values: list[float], *, empty: tuple[str, ...] = (), errors: Any = None) -> dw.Shares:
    count = len(values)
    names = tuple(f"p{i}" for i in range(count))
    tried = dw.Coalitions(
        names, np.zeros((1, count), dtype=np.bool_), np.zeros((1, 1)), 0.0, 1.0, np.zeros(count), np.zeros(count),
        np.zeros(count), False, "by hand",
    )  # fmt: skip
    unknown = np.full(count, np.nan)
    return dw.Shares(
        names, np.array(values), unknown if errors is None else np.array(errors), np.zeros(count), float(sum(values)),
        unknown, np.zeros(count), "by hand", tried, (PROMISE,) * count, empty=empty,
    )  # fmt: skip


def money(*amounts: int | str) -> tuple[Decimal, ...]:
    return tuple(map(Decimal, amounts))


values_of = st.lists(
    st.one_of(st.floats(-1, 1), st.sampled_from([0.0, 0.25, 0.25, 5e-324, 1e300, 1 / 3])), min_size=1, max_size=8
)


def amounts_of_money() -> st.SearchStrategy[tuple[Decimal, int]]:
    return st.integers(0, 12).flatmap(
        lambda digits: st.integers(1, 10 ** (15 + digits)).map(
            lambda units: (Decimal((0, tuple(map(int, str(units))), -digits)), digits)
        )
    )


@given(values_of, amounts_of_money())
def test_every_unit_is_paid_and_nobody_pays(values: list[float], sum_of: tuple[Decimal, int]) -> None:
    total, digits = sum_of
    paid = payout(shares_of(values), total, currency_digits=digits)
    assert sum(map(Fraction, paid.amounts)) == Fraction(total) == Fraction(paid.total)
    assert all(amount >= 0 and amount.as_tuple().exponent == -digits for amount in paid.amounts)
    kept = [max(Fraction(value), Fraction(0)) for value in values]
    if any(kept):  # never a whole unit off what would be fair
        for part, amount in zip(kept, paid.amounts, strict=True):
            assert abs(Fraction(amount) - Fraction(total) * part / sum(kept)) < Fraction(1, 10**digits)
        assert all(not amount for value, amount in zip(values, paid.amounts, strict=True) if value <= 0)


@given(values_of, amounts_of_money())
def test_more_is_paid_to_who_is_worth_more(values: list[float], sum_of: tuple[Decimal, int]) -> None:
    paid = payout(shares_of(values), sum_of[0], currency_digits=sum_of[1]).amounts
    if max(values) > 0:
        for i in range(len(values)):
            for j in range(len(values)):
                assert values[i] <= values[j] or paid[i] >= paid[j]


@given(values_of, amounts_of_money(), st.randoms())
def test_order_decides_between_equals_only(values: list[float], sum_of: tuple[Decimal, int], random: Any) -> None:
    order = random.sample(range(len(values)), len(values))
    total, digits = sum_of
    one = payout(shares_of(values), total, currency_digits=digits).amounts
    other = payout(shares_of([values[i] for i in order]), total, currency_digits=digits).amounts
    assert sorted(one) == sorted(other)
    kept = [max(value, 0.0) for value in values] if max(values) > 0 else [1.0] * len(values)
    for place, i in enumerate(order):
        alike = [j for j in range(len(values)) if kept[j] == kept[i]]
        assert one[i] == other[place] or len(alike) > 1


def test_of_equal_remainders_the_first_is_served_first() -> None:
    assert payout(shares_of([1.0, 1.0, 1.0]), 100).amounts == money("33.34", "33.33", "33.33")
    assert payout(shares_of([1.0, 1.0, 1.0]), 2, currency_digits=0).amounts == money(1, 1, 0)


def test_what_an_empty_provider_gets() -> None:
    assert payout(shares_of([0.2, 0.0, 0.2], empty=("p1",)), 1).amounts == money("0.5", 0, "0.5")
    equal = payout(shares_of([0.0, 0.0, 0.0], empty=("p1",)), 1)
    assert equal.amounts == money("0.5", 0, "0.5")
    assert any("equal parts" in flag for flag in equal.flags)
    drawn = payout(shares_of([0.2, 0.0, 0.1], empty=("p1",), errors=[0.05, 0.0, 0.05]), 1, noisy="shrink")
    assert drawn.amounts[1] == 0
    with pytest.raises(MethodError, match="nobody to pay"):
        payout(shares_of([0.0], empty=("p0",)), 1)


def test_values_below_zero() -> None:
    shares = shares_of([0.3, -0.1, 0.1])
    paid = payout(shares, 100)
    assert paid.amounts == money(75, 0, 25)
    assert "1 of 3 values are below zero; they are paid nothing." in paid.flags
    drawn = payout(shares_of([0.3, -0.1, 0.1], errors=[0.1] * 3), 100, noisy="shrink")
    assert drawn.amounts[1] > 0
    assert not any("paid nothing" in flag for flag in drawn.flags)
    with pytest.raises(MethodError, match="1 of 3 values are below zero"):
        payout(shares, 100, negative="refuse")
    assert payout(shares_of([0.3, 0.1]), 100, negative="refuse").amounts == money(75, 25)


def test_noise_draws_toward_equal_parts() -> None:
    values = [0.4, 0.3, 0.2]  # variance 0.01
    assert payout(shares_of(values, errors=[0.0] * 3), 900, noisy="shrink").amounts == money(400, 300, 200)
    half = payout(shares_of(values, errors=[np.sqrt(0.005)] * 3), 900, noisy="shrink", currency_digits=0)
    assert half.amounts == money(350, 300, 250)
    assert "reliability 0.500" in half.rule
    assert payout(shares_of(values, errors=[0.2] * 3), 900, noisy="shrink").amounts == money(300, 300, 300)
    with pytest.raises(MethodError, match="needs standard errors"):
        payout(shares_of(values), 900, noisy="shrink")


@pytest.mark.parametrize(
    ("total", "digits", "said"),
    [
        (0, 2, "above zero"), (-5, 2, "above zero"), ("many", 2, "decimal number"), (float("nan"), 2, "above zero"),
        (float("inf"), 2, "above zero"), (1.005, 2, "more decimals"), ("1.5", 0, "more decimals"), (True, 2, "bool"),
        ("1e19", 2, "at most"), (1, 13, "from 0 to 12"), (1, -1, "from 0 to 12"), (1, 2.0, "whole number"),
    ],
)  # fmt: skip
def test_amounts_that_cannot_be_paid(total: Any, digits: Any, said: str) -> None:
    with pytest.raises(MethodError, match=said):
        payout(made(), total, currency_digits=digits)


def test_unknown_rules() -> None:
    with pytest.raises(MethodError, match="negative must be 'zero' or 'refuse', not 'keep'"):
        payout(made(), 1, negative="keep")  # type: ignore[arg-type]
    with pytest.raises(MethodError, match="noisy must be 'keep' or 'shrink', not 'zero'"):
        payout(made(), 1, noisy="zero")  # type: ignore[arg-type]


def test_only_shares_of_providers_are_paid_out() -> None:
    with pytest.raises(MethodError, match="for its owner alone"):
        payout(released(), 100)  # type: ignore[arg-type]
    values = dw.Values(["a"], [1.0], method="by hand", n_validation=1)
    with pytest.raises(InputError, match="not by Values"):
        payout(values, 100)  # type: ignore[arg-type]


def test_shares_that_nothing_protects_say_so() -> None:
    assert not any("NOT PRIVATE" in flag for flag in payout(made(), 1).flags)
    for spent in (None, [PROMISE, INSECURE, PROMISE]):
        flags = payout(made(spent=spent), 1).flags
        assert flags[0].startswith("NOT PRIVATE")
        assert sum("NOT PRIVATE" in flag for flag in flags) == 1


def test_a_name_is_no_formula_in_a_spreadsheet() -> None:
    names = ["=1+1", "@x", "plain"]
    paid = payout(made(names=names), 10)
    rows = paid.to_csv().splitlines()
    assert [row.split(",")[0] for row in rows] == ["provider", "'=1+1", "'@x", "plain"]
    assert paid.to_json()["payouts"][0]["provider"] == "=1+1"


def test_as_a_table_and_as_json() -> None:
    paid = payout(shares_of([0.5, 0.25]), "100.00")
    assert isinstance(paid, Payout)
    assert paid.to_table().to_csv() == (
        "provider,share,amount\np0,0.6666666666666666,66.67\np1,0.3333333333333333,33.33\n"
    )
    found = paid.to_json()
    assert found["total"] == "100.00"
    assert found["payouts"][0] == {"provider": "p0", "share": 2 / 3, "amount": "66.67"}
