"""The DP-KNN baseline has the law it is told to have, in the edge cases too."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataworth.papers.dpknn import dp_knn, dp_knn_sigma
from dataworth.privacy.accounting import spent_epsilon
from dataworth.privacy.kinds import CappedCounts, SubsampledCounts
from dataworth.records import Points
from dataworth.records.privacy import Budget, Row
from dataworth.valuation.methods import KNNShapley
from dataworth.valuation.points import value_points
from tests.oracles import fixed_knn, shapley

ONE = Fraction(1)


def line(match: list[bool]) -> tuple[Points, Points]:
    """Rows that turn away from one validation point step by step, and that point."""
    angle = np.linspace(0.1, 1.4, len(match))
    return Points(np.stack([np.cos(angle), np.sin(angle)], axis=1), match), Points([[1.0, 0.0]], [True])


def law(match: list[bool], k: int, probability: Fraction) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of every row's value over all samples of the others, by the definition of the game."""
    n = len(match)
    mean, square = np.zeros(n), np.zeros(n)
    for row in range(n):
        others = [i for i in range(n) if i != row]
        for let_in in product([False, True], repeat=n - 1):
            sample = sorted([row, *(i for i, here in zip(others, let_in, strict=True) if here)])
            chance = float(np.prod([float(probability if here else 1 - probability) for here in let_in]))
            values = shapley(fixed_knn([match[i] for i in sample], k), len(sample))
            value = float(values[sample.index(row)])
            mean[row] += chance * value
            square[row] += chance * value**2
    return mean, square - mean**2


@pytest.mark.parametrize(
    ("k", "probability"),
    [(1, Fraction(1, 10)), (1, Fraction(1, 2)), (2, Fraction(1, 10)), (2, Fraction(1, 2)), (5, Fraction(4, 5))],
)
def test_sampled_values_have_the_law_of_the_definition(k: int, probability: Fraction) -> None:
    match = [True, False, True, True, False, True]
    train, validation = line(match)
    draws = 20_000
    # The same point many times over: each has its own samples, so a call draws them all; halves tell the spread.
    each = 20
    many = Points(np.repeat(validation.x, each, axis=0), np.repeat(validation.y, each))
    found = np.array(
        [dp_knn(train, many, k=k, sigma=0.0, seed=seed, probability=probability) for seed in range(draws // each)]
    )
    mean, variance = law(match, k, probability)
    error = np.sqrt(variance / draws)
    assert (np.abs(found.mean(axis=0) - mean) <= 4.5 * error + 1e-12).all()
    # Independent samples at every point: the mean of 20 has a twentieth of the variance.
    spread = found.var(axis=0, ddof=1) * each
    assert (np.abs(spread - variance) <= 0.25 * variance + 1e-12).all()


def test_a_sample_of_the_owner_alone_gives_the_whole_vote() -> None:
    train, validation = line([True, False, True])
    values = dp_knn(train, validation, k=2, sigma=0.0, seed=0, probability=Fraction(1, 10**9))
    assert values.tolist() == [0.5, 0.0, 0.5]


def test_one_row_alone_has_a_value() -> None:
    train, validation = line([True])
    for probability in (ONE, Fraction(1, 2)):
        assert dp_knn(train, validation, k=3, sigma=0.0, seed=0, probability=probability).tolist() == [1 / 3]


def test_the_farthest_row_gets_its_own_value_and_not_the_nearest_ones() -> None:
    # With nearly everything sampled, the nearest row is a match worth a lot, and the farthest is worth nothing.
    train, validation = line([True] * 5 + [False])
    values = dp_knn(train, validation, k=1, sigma=0.0, seed=0, probability=Fraction(10**9 - 1, 10**9))
    assert values[-1] == 0
    assert values[0] == pytest.approx(float(shapley(fixed_knn([True] * 5 + [False], 1), 6)[0]))


@pytest.mark.filterwarnings("ignore::dataworth.errors.UnmatchedLabels")
@settings(max_examples=60, deadline=None)
@given(match=st.lists(st.booleans(), min_size=1, max_size=7), k=st.integers(1, 8), seed=st.integers(0, 9))
def test_sampling_nearly_all_gives_the_exact_values(match: list[bool], k: int, seed: int) -> None:
    train, validation = line(match)
    exact = [float(value) for value in shapley(fixed_knn(match, k), len(match))]
    nearly = dp_knn(train, validation, k=k, sigma=0.0, seed=seed, probability=Fraction(10**9 - 1, 10**9))
    np.testing.assert_allclose(nearly, exact, atol=1e-12)
    np.testing.assert_allclose(dp_knn(train, validation, k=k, sigma=0.0, seed=seed), exact, atol=1e-12)


def clouds(n: int, points: int, seed: int = 0) -> tuple[Points, Points]:
    random = np.random.default_rng(seed)
    x = random.standard_normal((n + points, 4))
    y = (x[:, 0] > 0).astype(np.int64)
    return Points(x[:n], y[:n]), Points(x[n:], y[n:])


@pytest.mark.parametrize("probability", [ONE, Fraction(1, 50)])
def test_noise_on_an_owners_mean_is_that_of_its_points(probability: Fraction) -> None:
    train, validation = clouds(300, 40)
    k, sigma = 3, 7.0
    silent = np.array([dp_knn(train, validation, k=k, sigma=0, seed=s, probability=probability) for s in range(40)])
    noisy = np.array([dp_knn(train, validation, k=k, sigma=sigma, seed=s, probability=probability) for s in range(40)])
    noise = noisy - silent  # the samples are drawn first, so both runs have the same
    expected = sigma / (k * (k + 1)) / np.sqrt(40)
    assert noise.std() == pytest.approx(expected, rel=0.03)
    assert abs(noise.mean()) < 4 * expected / np.sqrt(noise.size)
    # Independent from owner to owner: no walk along the ranks.
    assert np.abs(np.corrcoef(noise.T)[np.triu_indices(300, 1)]).mean() < 0.16
    assert noise.std(axis=0).max() < 1.5 * expected


def test_without_noise_or_sampling_values_are_the_old_knn_shapley_values() -> None:
    train, validation = clouds(200, 30)
    exact = value_points(train, validation, method=KNNShapley(k=5, normalise="k"), progress=False)
    assert (dp_knn(train, validation, k=5, sigma=0.0, seed=1) == exact.values).all()


def test_rows_at_the_same_place_rank_in_the_order_given() -> None:
    train = Points(np.ones((4, 2)), [True, False, False, False])
    values = dp_knn(train, Points([[1.0, 1.0]], [True]), k=1, sigma=0.0, seed=0, probability=Fraction(10**9 - 1, 10**9))
    assert values.tolist() == [1.0, 0.0, 0.0, 0.0]


def test_a_seed_decides_everything() -> None:
    train, validation = clouds(100, 10)
    one, again, other = (
        dp_knn(train, validation, k=5, sigma=1.0, seed=seed, probability=Fraction(1, 10)) for seed in (1, 1, 2)
    )
    assert (one == again).all()
    assert (one != other).any()


def test_the_scale_is_the_least_that_stays_within_the_budget() -> None:
    for epsilon, delta in ((1.0, "1e-4"), (0.1, "1e-5")):
        # Of discrete noise this wide the loss is that of the Gaussian to three digits.
        whole = Fraction(round(dp_knn_sigma(Budget(epsilon, delta), 200) * 2**14), 2**14)
        spent = spent_epsilon([CappedCounts(whole, 200)], delta, unit=Row(), relation="add_or_remove")
        assert spent == pytest.approx(epsilon, rel=2e-3)
    sigma = Fraction(dp_knn_sigma(Budget(1, "1e-4"), 200, Fraction(1, 100)))
    for scale, within in ((sigma, True), (sigma - Fraction(1, 2**14), False)):
        event = SubsampledCounts(scale, Fraction(1, 100), 200)
        assert (spent_epsilon([event], "1e-4", unit=Row(), relation="add_or_remove") <= 1) == within


def test_more_points_need_more_noise_and_sampling_much_less() -> None:
    spend = Budget(1, "1e-4")
    assert dp_knn_sigma(spend, 400) == pytest.approx(math.sqrt(2) * dp_knn_sigma(spend, 200))
    assert dp_knn_sigma(spend, 200, Fraction(1, 100)) < dp_knn_sigma(spend, 200) / 20
