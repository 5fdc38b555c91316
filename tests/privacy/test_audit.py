"""What attacks prove, on draws whose truth is known."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, norm
from sklearn.metrics import roc_auc_score

from dataworth.errors import MethodError
from dataworth.privacy.audit import (
    LEAST_VARIANCE,
    auroc,
    bound_epsilon,
    bound_from_counts,
    log_likelihood_ratio,
    mean_interval,
    noise_fit,
)
from dataworth.privacy.mechanisms import InsecureSource, round_sigma_up
from tests.privacy.test_mechanisms import fit


def test_the_ratio_is_that_of_two_normal_densities() -> None:
    rng = np.random.default_rng(0)
    observed, present, absent = rng.normal(size=7), rng.normal(1, 2, size=(32, 7)), rng.normal(size=(32, 7))
    wanted = norm.logpdf(observed, present.mean(0), present.std(0)) - norm.logpdf(
        observed, absent.mean(0), absent.std(0)
    )
    np.testing.assert_allclose(log_likelihood_ratio(observed, present, absent), wanted, rtol=1e-10, atol=1e-12)


def test_a_law_without_spread_keeps_the_least_variance_and_nothing_underflows() -> None:
    constant, away = np.ones((3, 2)), np.zeros((3, 2))
    score = log_likelihood_ratio(np.array([1.0, 0.0]), constant, away)
    np.testing.assert_allclose(score, [0.5 / LEAST_VARIANCE, -0.5 / LEAST_VARIANCE])
    same = log_likelihood_ratio(np.array([5.0, 0.0]), constant, constant)
    assert same.tolist() == [0.0, 0.0]


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=20), st.lists(st.integers(-3, 3), min_size=1, max_size=20))
def test_auroc_is_the_known_one(members: list[int], others: list[int]) -> None:
    labels = [1] * len(members) + [0] * len(others)
    assert auroc(members, others) == pytest.approx(roc_auc_score(labels, members + others))


def test_auroc_refuses_nothing_and_no_numbers() -> None:
    for members, others in (([], [1.0]), ([1.0], []), ([math.nan], [1.0])):
        with pytest.raises(MethodError, match="AUROC"):
            auroc(members, others)


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    found = [mean_interval(rng.normal(3, 2, size=10)) for _ in range(2000)]
    covered = sum(interval.low <= 3 <= interval.high for interval in found)
    assert abs(covered / 2000 - 0.95) < 0.02
    with pytest.raises(MethodError, match="at least two runs"):
        mean_interval([0.5])


@pytest.mark.parametrize(("p", "q", "delta"), [(0.3, 0.1, 1e-5), (0.05, 0.02, 0.01), (0.5, 0.5, 0.0)])
def test_a_bound_fails_no_more_often_than_it_says(p: float, q: float, delta: float) -> None:
    """Exact, without chance: every pair of counts with its probability."""
    n, confidence = 60, 0.9
    counts = np.arange(n + 1)
    bounds = bound_from_counts(counts[:, None], counts, n, n, delta=delta, confidence=confidence)
    wrong = bounds > max(math.log((p - delta) / q), 0.0)
    chance = (np.outer(binom.pmf(counts, n, p), binom.pmf(counts, n, q)) * wrong).sum()
    assert chance <= 1 - confidence


def test_bounds_at_the_edges() -> None:
    def bound(hits: int, rare: int, draws: int = 1000, delta: float = 1e-5) -> float:
        return float(bound_from_counts(hits, rare, draws, draws, delta=delta, confidence=0.99))

    assert bound(0, 0) == 0
    assert bound(1000, 1000) == 0
    assert bound(1000, 0) == pytest.approx(math.log((0.005 ** (1 / 1000) - 1e-5) / (1 - 0.005 ** (1 / 1000))))
    assert bound(100, 10) > bound(100, 20) > bound(50, 20)
    assert bound(100, 10, delta=0.09) < bound(100, 10)
    assert bound(100, 10, delta=0.2) == 0
    for hits, rare, draws in ((11, 0, 10), (0, 11, 10), (0, 0, 0)):
        with pytest.raises(MethodError, match="hits"):
            bound(hits, rare, draws)
    for confidence, delta in ((0.0, 0.1), (1.0, 0.1), (0.9, 1.0), (0.9, -0.1)):
        with pytest.raises(MethodError, match="between 0 and 1"):
            bound_from_counts(1, 0, 10, 10, delta=delta, confidence=confidence)


def gaussian_epsilon(mu: float, delta: float) -> float:
    """The epsilon of two normal laws that lie ``mu`` apart, from the closed form."""
    low, high = 0.0, 50.0
    for _ in range(100):
        middle = (low + high) / 2
        spent = norm.cdf(-middle / mu + mu / 2) - math.exp(middle) * norm.cdf(-middle / mu - mu / 2)
        low, high = (middle, high) if spent > delta else (low, middle)
    return high


@pytest.mark.parametrize("mu", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize("swap", [False, True])
def test_the_truth_is_never_exceeded_and_neared(mu: float, turn: int, swap: bool) -> None:
    rng = np.random.default_rng(2)
    sides = [turn * rng.normal(size=20_000), turn * (rng.normal(size=20_000) + mu)]
    without, with_unit = sides[::-1] if swap else sides
    truth = gaussian_epsilon(mu, 1e-5)
    found = bound_epsilon(without, with_unit, delta=1e-5, confidence=0.999)
    assert 0.1 * (mu >= 0.3) * truth < found.epsilon <= truth
    if mu == 1.0:
        assert found.epsilon > 0.4 * truth


def test_equal_laws_are_accused_no_more_often_than_said() -> None:
    rng = np.random.default_rng(3)
    draws = rng.integers(0, 4, size=(2, 300, 200)).astype(float)
    accused = sum(
        bound_epsilon(a, b, delta=0.0, confidence=0.9).epsilon > 0 for a, b in zip(draws[0], draws[1], strict=True)
    )
    assert accused <= binom.ppf(1 - 1e-6, 300, 0.1)


def test_the_half_that_chooses_does_not_judge() -> None:
    """An event that shows in the first half alone proves nothing."""
    tell = np.concatenate([np.ones(1000), np.zeros(1000)])
    assert bound_epsilon(np.zeros(2000), tell, delta=0.0, confidence=0.99).epsilon == 0
    late = tell[::-1]
    assert bound_epsilon(np.zeros(2000), late, delta=0.0, confidence=0.99).epsilon == 0
    both = np.tile([0.0, 1.0], 1000)
    found = bound_epsilon(np.zeros(2000), both, delta=0.0, confidence=0.99)
    assert found.epsilon > 3
    assert found.event == "statistic at least 1: 500 of 1,000 with, 0 of 1,000 without"
    gone = bound_epsilon(both, np.zeros(2000), delta=0.0, confidence=0.99)
    assert (gone.epsilon, gone.confidence) == (found.epsilon, 0.99)


def test_too_few_draws_are_refused() -> None:
    for side in (np.zeros(99), np.zeros((10, 20)), np.full(200, np.nan)):
        with pytest.raises(MethodError, match="at least 100 draws"):
            bound_epsilon(side, np.zeros(200), delta=0.0, confidence=0.9)


@pytest.mark.parametrize("sigma", [Fraction(1, 2), Fraction(7, 8), round_sigma_up(3.621), Fraction(40)], ids=float)
def test_the_law_of_the_noise_is_told(sigma: Fraction) -> None:
    """As by the other chi-square, written apart from this one; wrong scales are seen where a bound sees nothing."""
    noise = InsecureSource(4).add_noise(np.zeros((100, 600), dtype=np.int64), sigma).counts
    assert noise_fit(noise, sigma) > 1e-6
    assert fit(noise.ravel(), sigma) > 1e-6
    for wrong in (sigma * Fraction(20, 19), sigma / round_sigma_up(math.sqrt(2)), 2 * sigma):
        assert noise_fit(noise, round_sigma_up(wrong)) < 1e-6


def test_p_values_of_the_right_law_are_even() -> None:
    source = InsecureSource(5)
    values = [
        noise_fit(source.add_noise(np.zeros(1000, dtype=np.int64), Fraction(2)).counts, Fraction(2)) for _ in range(400)
    ]
    for share in (0.05, 0.5):
        assert abs(np.mean(np.array(values) < share) - share) < 5 * math.sqrt(share * (1 - share) / 400)


def test_no_noise_at_a_scale_that_draws_none() -> None:
    silent = np.zeros(1000, dtype=np.int64)
    assert noise_fit(silent, Fraction(1, 2**14)) > 0.9
    assert noise_fit(silent + 1, Fraction(1, 2**14)) < 1e-6
    assert noise_fit(silent, Fraction(1)) < 1e-6
    with pytest.raises(MethodError, match="1,000 whole numbers"):
        noise_fit(silent[:999], Fraction(1))
    with pytest.raises(MethodError, match="1,000 whole numbers"):
        noise_fit(silent.astype(np.float64), Fraction(1))
