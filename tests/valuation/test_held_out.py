"""The held-out test against its formulas, and the nearest trained-on items against every relabelling."""

from __future__ import annotations

from itertools import combinations
from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

import dataworth as dw
from dataworth.valuation.held_out import nearest_trained


def valued(numbers: NDArray[np.float64] | list[float]) -> dw.Values:
    return dw.Values(np.arange(len(numbers)), numbers, "by hand", 3)


def figures(table: dw.Table) -> dict[str, object]:
    (row,) = table.rows()
    return dict(zip(table.columns, row, strict=True))


# -- the test --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m", "shift"), [(2, 2, 1.0), (5, 40, 0.0), (300, 200, 0.3), (50, 60, -2.0)])
def test_it_is_welchs_one_sided_test(n: int, m: int, shift: float) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.normal(shift, 1.0, n), rng.normal(0.0, 3.0, m)
    order = rng.permutation(n + m)
    mask = (np.arange(n + m) < n)[order]
    seen = figures(dw.held_out_test(valued(np.concatenate([a, b])[order]), mask))
    va, vb = a.var(ddof=1) / n, b.var(ddof=1) / m
    t = (a.mean() - b.mean()) / sqrt(va + vb)
    df = (va + vb) ** 2 / (va**2 / (n - 1) + vb**2 / (m - 1))
    pooled = sqrt(((n - 1) * a.var(ddof=1) + (m - 1) * b.var(ddof=1)) / (n + m - 2))
    assert seen["t (Welch)"] == pytest.approx(t)
    assert seen["degrees of freedom"] == pytest.approx(df)
    assert seen["p, one-sided"] == pytest.approx(stats.t.sf(t, df))
    assert seen["Cohen's d"] == pytest.approx((a.mean() - b.mean()) / pooled)
    assert (seen["items trained on"], seen["items held out"]) == (n, m)
    assert seen["mean value, trained on"] == pytest.approx(a.mean())
    assert seen["mean value, held out"] == pytest.approx(b.mean())
    assert seen["null hypothesis rejected"] == bool(stats.t.sf(t, df) < 0.01)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=9), st.lists(st.integers(0, 3), min_size=2, max_size=9))
def test_the_chance_that_trained_on_is_higher_counts_every_pair(a: list[int], b: list[int]) -> None:
    seen = figures(dw.held_out_test(valued([*map(float, a), *map(float, b)]), np.arange(len(a) + len(b)) < len(a)))
    wins = sum(x > y for x in a for y in b) + 0.5 * sum(x == y for x in a for y in b)
    assert seen["chance that trained on is higher"] == pytest.approx(wins / len(a) / len(b))


def test_the_other_way_round_is_the_other_tail() -> None:
    values, mask = valued(np.random.default_rng(0).normal(size=40)), np.arange(40) % 3 == 0
    one, other = (figures(dw.held_out_test(values, side)) for side in (mask, ~mask))
    assert one["p, one-sided"] == pytest.approx(1 - other["p, one-sided"])  # type: ignore[operator]
    assert one["Cohen's d"] == pytest.approx(-other["Cohen's d"])  # type: ignore[operator]


def test_it_rejects_at_one_in_a_hundred() -> None:
    rng = np.random.default_rng(1)
    mask = np.arange(200) < 100
    rejected = [
        figures(dw.held_out_test(valued(rng.normal(size=200)), mask))["null hypothesis rejected"] for _ in range(500)
    ]
    assert 0 <= sum(bool(said) for said in rejected) <= 14  # five expected; 14 has a chance of 1 in 2,000


def test_values_that_never_differ_have_no_test() -> None:
    seen = figures(dw.held_out_test(valued([1.0, 1.0, 1.0, 1.0]), np.array([True, True, False, False])))
    assert [seen[key] for key in ("t (Welch)", "p, one-sided", "Cohen's d", "null hypothesis rejected")] == [None] * 4
    assert seen["chance that trained on is higher"] == 0.5
    zero = figures(dw.held_out_test(valued([1.0, 2.0, 0.0, 0.0]), np.array([True, True, False, False])))
    assert zero["t (Welch)"] == pytest.approx(3.0)  # one side that never differs is no obstacle


def test_the_note_says_which_hypothesis_is_which() -> None:
    note = dw.held_out_test(valued([1.0, 2.0, 3.0, 4.0]), np.array([True, True, False, False])).note
    assert "Null hypothesis: the mean value of items the model was trained on is at most that of items held out" in note
    assert "rejected where p is below 0.01" in note


@pytest.mark.parametrize("mask", [np.zeros(4, bool), np.ones(4, bool), np.arange(4) < 1, np.arange(4) < 3])
def test_a_side_of_fewer_than_two_is_refused(mask: NDArray[np.bool_]) -> None:
    with pytest.raises(dw.InputError, match="two items or more"):
        dw.held_out_test(valued([1.0, 2.0, 3.0, 4.0]), mask)


@pytest.mark.parametrize("mask", [[1, 0, 1, 0], [True, False], np.ones((4, 1), bool)])
def test_what_is_no_mask_is_refused(mask: object) -> None:
    with pytest.raises(dw.InputError, match="boolean mask"):
        dw.held_out_test(valued([1.0, 2.0, 3.0, 4.0]), mask)  # type: ignore[arg-type]


# -- nearest items that were trained on ------------------------------------------------------------


def matched(at: list[list[int]], n: int) -> dw.Attributions:
    m, k = len(at), len(at[0])
    share = np.where(np.array(at) >= 0, 1.0 / k, 0.0)
    distance = np.where(np.array(at) >= 0, np.arange(k) + 0.5, np.inf)
    return dw.Attributions(np.arange(n), np.arange(m), at, distance, share)


def test_relabelling_agrees_with_every_relabelling() -> None:
    nearest = [0, 0, 0, 1, 1, 2, 3, 5]
    n, mask = 8, np.arange(8) < 3
    seen = figures(nearest_trained(matched([[i] for i in nearest], n), mask))
    hits = sum(nearest.count(i) for i in range(3))
    every = [sum(nearest.count(i) for i in group) >= hits for group in combinations(range(n), 3)]
    exact = sum(every) / len(every)
    assert seen["p, by relabelling"] == pytest.approx(exact, abs=4 * sqrt(exact * (1 - exact) / 9999) + 2e-4)
    tail = sum(comb(8, h) * (3 / 8) ** h * (5 / 8) ** (8 - h) for h in range(hits, 9))
    assert seen["p, binomial"] == pytest.approx(tail)
    assert seen["share of items trained on"] == 3 / 8
    assert seen["share of generated items nearest to one of them"] == hits / 8


def test_one_item_that_is_nearest_to_all_proves_little() -> None:
    """The binomial p believes a hundred generated items; the relabelling sees one item that may be on either side."""
    seen = figures(nearest_trained(matched([[0]] * 100, 50), np.arange(50) < 25))
    assert seen["p, binomial"] < 1e-20  # type: ignore[operator]
    assert seen["p, by relabelling"] == pytest.approx(0.5, abs=0.03)


def test_matches_and_credit_are_counted() -> None:
    credit = matched([[0, 3, -1], [4, 1, 2]], 5)
    seen = figures(nearest_trained(credit, np.arange(5) < 3))
    assert seen["share of generated items nearest to one of them"] == 0.5
    assert seen["share of matches with one of them"] == 3 / 5
    assert seen["share of credit that goes to them"] == pytest.approx(3 / 5)


def test_relabelling_is_the_same_each_time() -> None:
    credit, mask = matched([[i % 7] for i in range(40)], 20), np.arange(20) % 2 == 0
    assert nearest_trained(credit, mask).rows() == nearest_trained(credit, mask).rows()
