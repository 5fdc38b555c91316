"""From noisy counts to what a point gives: the one formula, the own row out, floors, and how uncertain it is."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataworth.kernels.noisy import Given, clamped, exact, shrunk
from dataworth.kernels.reweighting import Prediction
from dataworth.kernels.threshold import Beta, Semivalue, neighbour_value, point_weights

SEMIVALUES: list[Semivalue] = ["shapley", "banzhaf", "leave-one-out", Beta(4, 1), Beta(1, 3)]
semivalues = st.sampled_from(SEMIVALUES)
classes = st.sampled_from([1, 2, 3, 10])
counts = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=9).map(np.array)
noisy_counts = st.lists(st.tuples(st.integers(-90, 90), st.integers(-90, 90)), min_size=1, max_size=9).map(np.array)
ONE = Fraction(1)


def prediction(mean: Any, variance: Any) -> Prediction:
    return Prediction(np.asarray(mean, dtype=np.float64), np.asarray(variance, dtype=np.float64))


def same_bits(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return one.tobytes() == other.tobytes()


@given(counts, classes, semivalues)
def test_exact_is_the_exact_jobs_own(found: NDArray[np.int64], n_classes: int, semivalue: Semivalue) -> None:
    result = exact(found, n_classes, semivalue)
    same, other = point_weights(found[:, 0], found[:, 1], n_classes, semivalue)
    assert same_bits(result.same, same)
    assert same_bits(result.other, other)
    assert not result.same_variance.any()
    assert not result.other_variance.any()


@given(counts, classes, semivalues)
def test_clamping_true_counts_changes_no_bit_where_there_is_a_link(
    found: NDArray[np.int64], n_classes: int, semivalue: Semivalue
) -> None:
    """Rows that were all let in, and no noise: what a linked row is given is exact."""
    result = clamped(found, Fraction(0), True, n_classes, semivalue)
    same, other = point_weights(found[:, 0], found[:, 1], n_classes, semivalue)
    has_same, has_other = found[:, 0] > 0, found[:, 1] > 0
    assert same_bits(result.same[has_same], same[has_same])
    assert same_bits(result.other[has_other], other[has_other])
    assert not result.same_variance.any()


@given(noisy_counts, classes, semivalues, st.booleans())
def test_clamping_takes_out_the_own_row_and_stops_at_zero(
    noisy: NDArray[np.int64], n_classes: int, semivalue: Semivalue, included: bool
) -> None:
    result = clamped(noisy, ONE, included, n_classes, semivalue)
    b = int(included)
    for z, (p, n) in enumerate(noisy.tolist()):
        same = neighbour_value(max(0, p - b), max(0, n), True, n_classes, semivalue)
        other = neighbour_value(max(0, p), max(0, n - b), False, n_classes, semivalue)
        assert (result.same[z], result.other[z]) == (same, other)
        # With p and n at 0 or above, the matches never outnumber the others: values stay in range.
        assert abs(result.same[z]) <= 1
        assert abs(result.other[z]) <= 1


@given(noisy_counts, classes, semivalues, st.floats(0, 80), st.floats(0.1, 500), st.sampled_from([1, 7, 90]))
def test_shrinking_averages_by_precision_and_stops_at_a_half(
    noisy: NDArray[np.int64], n_classes: int, semivalue: Semivalue, mean: float, variance: float, sigma: int
) -> None:
    told = prediction(np.full(noisy.shape, mean), np.full(noisy.shape, variance))
    result = shrunk(noisy, Fraction(sigma), told, n_classes, semivalue)
    trust = variance / (variance + sigma**2)

    def estimate(count: int, own: int) -> float:
        return max(trust * (count - own) + (1 - trust) * mean, 0.5)

    for z, (p, n) in enumerate(noisy.tolist()):
        same = neighbour_value(estimate(p, 1), estimate(n, 0), True, n_classes, semivalue)
        other = neighbour_value(estimate(p, 0), estimate(n, 1), False, n_classes, semivalue)
        assert result.same[z] == pytest.approx(float(same), rel=1e-9, abs=1e-12)
        assert result.other[z] == pytest.approx(float(other), rel=1e-9, abs=1e-12)
        assert abs(result.same[z]) <= 1
        assert abs(result.other[z]) <= 1


def test_the_own_row_leaves_before_shrinkage() -> None:
    """With little trust in the counts, the own row moves the estimate by that little, not by one."""
    told = prediction([[40.0, 40.0]], [[1.0, 1.0]])
    result = shrunk(np.array([[40, 40]]), Fraction(10), told, 2, "shapley")
    trust = 1 / 101
    assert result.same[0] == pytest.approx(float(neighbour_value(40 - trust, 40, True, 2)), rel=1e-12)


def test_hardly_any_noise_is_hardly_any_shrinkage() -> None:
    found = np.array([[5, 3], [40, 2], [7, 19]])
    told = prediction(np.full((3, 2), 100.0), np.full((3, 2), 2.0))
    near = shrunk(found, Fraction(1, 2**14), told, 2, "shapley")
    true = exact(found, 2, "shapley")
    assert np.allclose(near.same, true.same, atol=1e-7)
    assert np.allclose(near.other, true.other, atol=1e-7)
    assert (near.same_variance < 1e-8).all()


def test_noise_without_end_leaves_the_prediction() -> None:
    told = prediction([[12.0, 30.0]], [[4.0, 4.0]])
    for far in (-(2**40), 2**40):
        result = shrunk(np.array([[far, far]]), Fraction(2**18) * 2**30, told, 3, "shapley")
        assert result.same[0] == pytest.approx(float(neighbour_value(12, 30, True, 3)), rel=1e-3)


@pytest.mark.parametrize("make", [clamped, shrunk], ids=["clamped", "shrunk"])
def test_counts_of_many_bits(make: Any) -> None:
    """Up to 2**40, where 32-bit integers are long lost, to the last digit a float has."""
    big = np.array([[2**40, 3], [2**31, 2**31], [2**33 + 1, 2**40 - 1], [-(2**40), -(2**33)]])
    if make is clamped:
        result = clamped(big, ONE, True, 2, "shapley")
        floor = 0.0
    else:
        result = shrunk(big, Fraction(1, 2**14), prediction(np.ones(big.shape), np.full(big.shape, 1e3)), 2, "shapley")
        floor = 0.5
    for z, (p, n) in enumerate(big.tolist()):
        wanted = neighbour_value(max(p - 1, floor), max(n, floor), True, 2)
        assert result.same[z] == pytest.approx(float(wanted), rel=1e-9)


def test_the_variance_is_what_a_step_of_each_count_makes() -> None:
    """Half the difference of the value one standard deviation up and down, squared, summed over both counts."""
    result = clamped(np.array([[20, 30]]), Fraction(3), False, 2, "shapley")
    steps = [
        (neighbour_value(23, 30, True, 2) - neighbour_value(17, 30, True, 2)) / 2,
        (neighbour_value(20, 33, True, 2) - neighbour_value(20, 27, True, 2)) / 2,
    ]
    assert result.same_variance[0] == pytest.approx(float(steps[0] ** 2 + steps[1] ** 2), rel=1e-12)


def test_the_variance_is_that_of_simulated_noise() -> None:
    """At counts large against the noise, to a tenth."""
    random = np.random.default_rng(0)
    counts = np.array([[200, 150]])
    given = clamped(counts, Fraction(9), False, 2, "shapley")
    drawn = clamped(np.rint(counts + 9 * random.standard_normal((20_000, 2))).astype(int), ONE, False, 2, "shapley")
    assert drawn.same.var() == pytest.approx(given.same_variance[0], rel=0.1)
    assert drawn.other.var() == pytest.approx(given.other_variance[0], rel=0.1)


@given(noisy_counts, st.randoms(use_true_random=False))
def test_points_do_not_look_at_each_other(noisy: NDArray[np.int64], random: Any) -> None:
    order = list(range(len(noisy)))
    random.shuffle(order)
    mean = np.abs(noisy) + 0.25

    def given_to(rows: list[int]) -> list[Given]:
        told = prediction(mean[rows], mean[rows])
        return [clamped(noisy[rows], ONE, True, 2, "shapley"), shrunk(noisy[rows], Fraction(4), told, 2, "shapley")]

    for whole, part in zip(given_to(list(range(len(noisy)))), given_to(order), strict=True):
        for name in vars(whole):
            # Vector instructions may round the last place of a special function differently by position.
            assert np.allclose(getattr(whole, name)[order], getattr(part, name), rtol=1e-13, atol=1e-300)
