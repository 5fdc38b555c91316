"""Sums that rows can leave: against fractions, which round nothing."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataworth.kernels.class_sums import RowSums, bayes_right, centroid_right, linear_system, spreads

SHIFTS = st.sampled_from([0.0, 1.0, 1e6, -3e9])


def problem(
    seed: int, n: int = 30, d: int = 4, classes: int = 3, shift: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Rows with a constant column, a column of 0 and 1 with few 1, and rows that are there twice."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, rng.uniform(0.1, 10, d), (n, d)) + shift
    x[:, 0] = shift + 0.3
    if d > 1:
        x[:, 1] = rng.random(n) < 0.1
    x[n // 2 :: 3] = x[: len(x[n // 2 :: 3])]
    return x, rng.integers(0, classes, n)


def after_coming_and_going(
    x: NDArray[np.float64], codes: NDArray[np.int64], seed: int, steps: int
) -> tuple[RowSums, NDArray[np.int64]]:
    """Sums after random comings and goings, and who is there then."""
    rng = np.random.default_rng(seed)
    sums = RowSums(x.shape[1], int(codes.max()) + 1, products=True)
    here = np.zeros(len(x), dtype=np.bool_)
    for row in rng.integers(0, len(x), steps).tolist():
        one = np.array([row])
        if here[row]:
            assert sums.remove(x, codes, one)
        else:
            sums.add(x, codes, one)
        here[row] = not here[row]
    return sums, np.flatnonzero(here)


def assert_same_sums(ours: RowSums, theirs: RowSums) -> None:
    """To the last bit, once each pair of doubles is one."""
    assert ours.counts.tolist() == theirs.counts.tolist()
    for part in (0, 2):
        np.testing.assert_array_equal(
            ours.sums[:, part] + ours.sums[:, part + 1], theirs.sums[:, part] + theirs.sums[:, part + 1]
        )
    np.testing.assert_array_equal(ours.products.sum(axis=0), theirs.products.sum(axis=0))


def exact_variance(column: NDArray[np.float64]) -> Fraction:
    values = [Fraction(value) for value in column.tolist()]
    mean = sum(values, Fraction(0)) / len(values)
    return sum(((value - mean) ** 2 for value in values), Fraction(0)) / len(values)


@given(seed=st.integers(0, 10**6), steps=st.integers(1, 200), shift=SHIFTS)
def test_variances_are_those_of_fractions_wherever_the_rows_lie(seed: int, steps: int, shift: float) -> None:
    x, codes = problem(seed, shift=shift)
    sums, rows = after_coming_and_going(x, codes, seed, steps)
    assert sums.counts.tolist() == np.bincount(codes[rows], minlength=sums.counts.size).tolist()
    if not rows.size:
        return
    for code in np.unique(codes[rows]).tolist():
        own = x[rows][codes[rows] == code]
        np.testing.assert_allclose(sums.means()[code], own.mean(axis=0), rtol=1e-14, atol=1e-14)
    scales, variances = spreads(sums.counts, sums.sums, np.zeros(x.shape[1]))
    expected = np.array([float(exact_variance(x[rows, j])) for j in range(x.shape[1])])
    np.testing.assert_allclose(variances, expected, rtol=1e-12, atol=1e-29 * shift**2)
    assert variances[0] == 0
    assert scales[0] == 1
    assert (scales[variances > 0] == np.sqrt(variances[variances > 0])).all()


def test_ten_thousand_comings_and_goings_lose_nothing() -> None:
    x, codes = problem(1, n=60, shift=1e6)
    x[:, 2] = 1e6 + np.random.default_rng(0).normal(size=60)
    sums, rows = after_coming_and_going(x, codes, 2, 10_000)
    fresh = RowSums(4, 3, products=True)
    fresh.add(x, codes, rows)
    assert_same_sums(sums, fresh)
    np.testing.assert_array_equal(
        spreads(sums.counts, sums.sums, np.zeros(4))[1], spreads(fresh.counts, fresh.sums, np.zeros(4))[1]
    )


def test_sums_say_when_a_row_so_large_left_that_others_are_lost() -> None:
    x, codes = problem(3)
    x[5] = 1e50
    sums = RowSums(4, 3)
    sums.add(x, codes, np.arange(30))
    assert sums.remove(x, codes, np.array([4]))
    assert not sums.remove(x, codes, np.array([5]))


@given(seed=st.integers(0, 10**6), cut=st.integers(1, 29), shift=SHIFTS)
def test_merged_sums_are_the_sums_of_all_rows(seed: int, cut: int, shift: float) -> None:
    x, codes = problem(seed, shift=shift)
    halves = []
    for rows in (np.arange(cut), np.arange(cut, 30)):
        half = RowSums(4, 3, products=True)
        half.add(x, codes, rows)
        halves.append(half)
    whole, merged = RowSums(4, 3, products=True), RowSums(4, 3, products=True)
    whole.add(x, codes, np.arange(30))
    merged.merge(halves[0])
    merged.merge(halves[1])
    assert_same_sums(merged, whole)
    assert merged.part(halves[0])
    assert_same_sums(merged, halves[1])
    merged.clear()
    assert not merged.sums.any()
    assert not merged.products.any()
    assert not merged.counts.any()


@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_many_rows_at_once_are_as_good_as_one_by_one(shift: float) -> None:
    x, codes = problem(4, n=2500, shift=shift)
    x[7, 3] = 1e4  # far out: the leading digits of its column say little of the others
    at_once, by_row = RowSums(4, 3, products=True), RowSums(4, 3, products=True)
    at_once.add(x, codes, np.arange(2500))
    for row in range(2500):
        by_row.add(x, codes, np.array([row]))
    size = np.sqrt((x**2).sum(axis=0))
    for ours, theirs in ((at_once, by_row), (by_row, at_once)):
        gap = (ours.products[0] - theirs.products[0]) + (ours.products[1] - theirs.products[1])
        assert (np.abs(gap) <= 1e-19 * np.outer(size, size)).all()
        if ours is at_once:
            assert ours.remove(x, codes, np.arange(100, 2500))
            for row in range(100, 2500):
                assert theirs.remove(x, codes, np.array([row]))
    whole = np.rint(3 * x)
    at_once, by_row = RowSums(4, 3, products=True), RowSums(4, 3, products=True)
    at_once.add(whole, codes, np.arange(2500))
    for row in range(2500):
        by_row.add(whole, codes, np.array([row]))
    assert_same_sums(at_once, by_row)


@given(seed=st.integers(0, 10**6), shift=st.sampled_from([0.0, 1e6]))
def test_the_linear_system_is_that_of_centred_rows(seed: int, shift: float) -> None:
    x, codes = problem(seed, shift=shift)
    sums = RowSums(4, 3, products=True)
    sums.add(x, codes, np.arange(30))
    scales, variances = spreads(sums.counts, sums.sums, np.zeros(4))
    matrix, right, means = linear_system(sums.counts, sums.sums, sums.products, scales, variances, 0.7)
    alive = variances > 0
    ready = (x - x.mean(axis=0)) / scales
    wanted = ready.T @ ready + 0.7 * np.eye(4)
    got = matrix + np.triu(matrix, 1).T
    np.testing.assert_allclose(got[np.ix_(alive, alive)], wanted[np.ix_(alive, alive)], atol=1e-8)
    assert (matrix[~alive] == np.eye(4)[~alive]).all()
    np.testing.assert_allclose(right[:, alive], (np.eye(3)[codes].T @ ready)[:, alive], atol=1e-8)
    assert not right[:, ~alive].any()
    np.testing.assert_allclose(means, x.mean(axis=0), rtol=1e-14, atol=1e-14)


@given(seed=st.integers(0, 10**6), smoothing=st.sampled_from([1e-9, 0.1]))
def test_right_answers_are_counted_as_by_hand(seed: int, smoothing: float) -> None:
    rng = np.random.default_rng(seed)
    x, codes = rng.normal(size=(20, 3)), rng.integers(0, 2, 20) * 2  # class 1 has no rows
    codes[:4] = [0, 0, 2, 2]
    judges, judge_codes = rng.normal(size=(50, 3)), rng.integers(0, 3, 50)
    scales = rng.uniform(0.5, 2, 3)
    sums = RowSums(3, 3)
    sums.add(x, codes, np.arange(20))
    columns = np.ascontiguousarray(judges.T)
    means = {code: (x[codes == code] / scales).mean(axis=0) for code in (0, 2)}
    apart = np.stack([((judges / scales - means[code]) ** 2).sum(axis=1) for code in (0, 2)])
    right = (np.array([0, 2])[apart.argmin(axis=0)] == judge_codes).sum()
    assert centroid_right(sums.counts, sums.sums, scales, columns, judge_codes) == right
    likely = []
    for code in (0, 2):
        own = x[codes == code] / scales
        variance = own.var(axis=0) + smoothing * (x / scales).var(axis=0).max()
        gaps = (judges / scales - means[code]) ** 2 / variance
        likely.append(math.log(len(own) / 20) - 0.5 * (np.log(2 * np.pi * variance) + gaps).sum(axis=1))
    right = (np.array([0, 2])[np.argmax(likely, axis=0)] == judge_codes).sum()
    assert bayes_right(sums.counts, sums.sums, scales, smoothing, columns, judge_codes) == (True, right)


def test_naive_bayes_without_any_variance_has_no_answer() -> None:
    sums = RowSums(2, 2)
    sums.add(np.ones((4, 2)), np.array([0, 0, 1, 1]), np.arange(4))
    settled, _ = bayes_right(sums.counts, sums.sums, np.ones(2), 1e-9, np.ones((2, 1)), np.array([0]))
    assert not settled


@pytest.mark.parametrize("products", [False, True])
def test_products_are_kept_only_if_asked_for(products: bool) -> None:
    assert RowSums(5, 2, products=products).products.shape == ((2, 5, 5) if products else (2, 0, 0))
