"""The laws of noise and bits, by tests that a wrong law fails.

Draws are secure, so they cannot be seeded: every statistical check here fails by chance about once in a million.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom, chi2

from dataworth.errors import MethodError
from dataworth.privacy import mechanisms
from dataworth.privacy.mechanisms import (
    SIGMA_STEPS,
    InsecureSource,
    SecureSource,
    random_source,
    round_sigma_up,
)

BY_CHANCE = 1e-6
SIGMAS = [Fraction(1, 2), Fraction(7, 8), round_sigma_up(3.621), Fraction(40)]


def draw_noise(sigma: Fraction, number: int) -> NDArray[np.int64]:
    pytest.importorskip("opendp")
    return SecureSource().add_noise(np.zeros(number, dtype=np.int64), sigma).counts


def noise_law(sigma: Fraction) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The exact probability mass function, from its definition."""
    reach = math.ceil(12 * sigma) + 1
    support = np.arange(-reach, reach + 1)
    mass = np.exp(-0.5 * (support / float(sigma)) ** 2)
    return support, mass / math.fsum(mass)


def fit(noise: NDArray[np.int64], sigma: Fraction) -> float:
    """Chi-square p-value of noise against the exact law; values expected fewer than ten times are pooled."""
    support, mass = noise_law(sigma)
    common = mass * noise.size >= 10
    seen = np.array([np.count_nonzero(noise == value) for value in support[common]])
    expected = mass[common] * noise.size
    seen, expected = np.append(seen, noise.size - seen.sum()), np.append(expected, noise.size - expected.sum())
    if expected[-1] < 1e-6 * noise.size:  # hardly anything is left to pool
        seen, expected = seen[:-1], expected[:-1] * seen[:-1].sum() / expected[:-1].sum()
    return float(chi2.sf(((seen - expected) ** 2 / expected).sum(), len(seen) - 1))


@pytest.mark.parametrize("sigma", SIGMAS, ids=float)
def test_noise_follows_the_discrete_gaussian(sigma: Fraction) -> None:
    assert fit(draw_noise(sigma, 60_000), sigma) > BY_CHANCE


@pytest.mark.slow
@pytest.mark.parametrize("sigma", SIGMAS, ids=float)
def test_noise_follows_the_discrete_gaussian_closely(sigma: Fraction) -> None:
    assert fit(draw_noise(sigma, 2_000_000), sigma) > BY_CHANCE


@pytest.mark.parametrize("wrong", [Fraction(21, 20), Fraction(19, 20), 1 / round_sigma_up(math.sqrt(2))])
def test_the_fit_tells_a_wrong_scale(wrong: Fraction) -> None:
    sigma = round_sigma_up(3.621)
    assert fit(draw_noise(round_sigma_up(sigma * wrong), 60_000), sigma) < BY_CHANCE


def test_the_fit_tells_rounded_float_noise_at_small_scales() -> None:
    rounded = np.rint(np.random.default_rng(0).normal(0, 0.5, 60_000)).astype(np.int64)
    assert fit(rounded, Fraction(1, 2)) < BY_CHANCE


@pytest.mark.parametrize("sigma", SIGMAS, ids=float)
def test_moments_of_noise(sigma: Fraction) -> None:
    noise = draw_noise(sigma, 60_000).astype(np.float64)
    support, mass = noise_law(sigma)
    for power in (1, 2, 3, 4):
        mean, square = (support**power * mass).sum(), (support.astype(float) ** (2 * power) * mass).sum()
        error = math.sqrt((square - mean**2) / noise.size)
        assert abs((noise**power).mean() - mean) < 5.5 * error


def test_neighbouring_draws_are_independent() -> None:
    noise = draw_noise(Fraction(2), 60_000)
    table = np.zeros((3, 3))
    signs = np.sign(noise) + 1
    np.add.at(table, (signs[:-1:2], signs[1::2]), 1)
    expected = table.sum(1)[:, None] * table.sum(0) / table.sum()
    assert chi2.sf(((table - expected) ** 2 / expected).sum(), 4) > BY_CHANCE


def test_large_counts_keep_all_their_digits() -> None:
    pytest.importorskip("opendp")
    counts = np.array([[2**40, 2**40 + 1], [2**53 + 1, 2**31], [-(2**40), 0]])
    noisy = SecureSource().add_noise(counts, Fraction(1))
    assert noisy.counts.dtype == np.int64
    assert noisy.counts.shape == counts.shape
    assert np.abs(noisy.counts - counts).max() < 40
    silent = SecureSource().add_noise(counts, Fraction(1, SIGMA_STEPS))  # so little noise that none is drawn
    assert silent.counts.tolist() == counts.tolist()  # a float on the way would lose the last digit


def test_opendp_samples_the_very_scale_that_is_accounted() -> None:
    """Its own privacy map, sensitivity squared over twice the variance, gives the scale it uses away."""
    pytest.importorskip("opendp")
    for sigma in (*SIGMAS, Fraction(1, SIGMA_STEPS), Fraction(2**18 * SIGMA_STEPS - 1, SIGMA_STEPS)):
        rho = Fraction(mechanisms._gaussian(float(sigma)).map(1.0))
        exact = 1 / (2 * sigma**2)
        assert exact <= rho <= exact * (1 + Fraction(1, 10**14))


@pytest.mark.parametrize("dtype", ["float64", "uint64", "bool", "complex128", "datetime64[s]"])
@pytest.mark.parametrize("source", [SecureSource(), InsecureSource(0)])
def test_only_whole_counts(source: Any, dtype: str) -> None:
    with pytest.raises(MethodError, match="whole numbers"):
        source.add_noise(np.zeros(3, dtype=dtype), Fraction(1))


@pytest.mark.parametrize("sigma", [Fraction(0), Fraction(-1), Fraction(1, 3), 1.0, Fraction(2**18 + 1), float("nan")])
def test_scales_that_cannot_be_sampled_exactly(sigma: Any) -> None:
    with pytest.raises(MethodError, match="sigma must be"):
        SecureSource().add_noise(np.zeros(3, dtype=np.int64), sigma)


@given(st.floats(1e-5, 2**18) | st.fractions(Fraction(1, 10**5), 2**18))
def test_scales_are_rounded_up_by_less_than_a_step(sigma: float | Fraction) -> None:
    rounded = round_sigma_up(sigma)
    assert 0 <= rounded - Fraction(sigma) < Fraction(1, SIGMA_STEPS)
    assert Fraction(float(rounded)) == rounded


@pytest.mark.parametrize("sigma", [0, -1.0, float("nan"), float("inf"), 2.0**19])
def test_no_scale_out_of_range(sigma: float) -> None:
    with pytest.raises(MethodError, match="sigma must be"):
        round_sigma_up(sigma)


PROBABILITIES = [
    Fraction(1, 100),
    Fraction(1, 3),
    Fraction(1, 2),
    Fraction(255, 256),
    Fraction(3, 512),
    Fraction(1, 65536),
    Fraction(1, 100_000),
    Fraction(999_999, 1_000_000),
    Fraction(1, 10**6),
]


@pytest.mark.parametrize("probability", PROBABILITIES, ids=str)
def test_frequency_of_bits(probability: Fraction) -> None:
    number = 4_000_000
    ones = int(SecureSource().draw_bits(number, probability).sum())
    assert binom.cdf(ones, number, float(probability)) > BY_CHANCE
    assert binom.sf(ones - 1, number, float(probability)) > BY_CHANCE


@pytest.mark.slow
@pytest.mark.parametrize("probability", [Fraction(1, 10**7), Fraction(1, 2**20), Fraction(1, 100)], ids=str)
def test_frequency_of_many_bits(probability: Fraction) -> None:
    number = 400_000_000
    ones = sum(int(SecureSource().draw_bits(number // 10, probability).sum()) for _ in range(10))
    assert binom.cdf(ones, number, float(probability)) > BY_CHANCE
    assert binom.sf(ones - 1, number, float(probability)) > BY_CHANCE


@pytest.mark.parametrize(
    "probability", [Fraction(1, 3), Fraction(77, 256), Fraction(1, 700), Fraction(513, 65536)], ids=str
)
def test_every_uniform_of_two_digits_is_decided_rightly(probability: Fraction) -> None:
    """Exact, without chance: all 65,536 pairs of digits, then digits of 0, so the number drawn is known."""
    pairs = np.array(list(itertools.product(range(256), repeat=2)), dtype=np.uint8)
    first, wanted = pairs[:, 0].tobytes(), Fraction(256 * 256)
    digit = probability.numerator * 256 // probability.denominator
    second = pairs[pairs[:, 0] == digit, 1].tobytes()
    script = iter([first, second])
    drawn = mechanisms._bernoulli(len(pairs), probability, lambda size: next(script, bytes(size)))
    uniform = [Fraction(int(a) * 256 + int(b)) / wanted for a, b in pairs]
    assert drawn.tolist() == [number < probability for number in uniform]


@given(probability=st.fractions(0, 1, max_denominator=3000).filter(bool), data=st.data())
def test_bits_compare_a_uniform_with_the_exact_probability(probability: Fraction, data: st.DataObject) -> None:
    """One bit from scripted digits, near the probability on purpose; the digits say what the bit must be."""
    length = 6
    near = math.floor(probability * 256**length) + data.draw(st.integers(-2, 2))
    number = min(max(near, 0), 256**length - 1)
    digits = iter(number.to_bytes(length, "big"))
    bit = mechanisms._bernoulli(1, probability, lambda size: bytes([next(digits, 0)]))
    assert bit.tolist() == [Fraction(number, 256**length) < probability]


def test_bits_are_independent_of_their_neighbours_and_of_other_draws() -> None:
    """Of pairs at several distances, across the edge of a block and between draws, as many agree as should."""
    probability, number = Fraction(1, 4), 3 * 2**20
    first, second = (SecureSource().draw_bits(number, probability) for _ in range(2))
    pairs = [(first[:-lag], first[lag:]) for lag in (1, 2, 8, 256, 2**20)] + [(first, second)]
    for left, right in pairs:
        both = int((left & right).sum())
        spread = math.sqrt(left.size) * 0.25  # overlapping pairs vary a little more than independent ones
        assert abs(both - left.size / 16) < 5.5 * spread * 1.3


def test_certain_bits_cost_no_randomness() -> None:
    def refuse(size: int) -> bytes:
        raise AssertionError(size)

    assert mechanisms._bernoulli(5, Fraction(1), refuse).all()
    assert SecureSource().draw_bits(0, Fraction(1, 2)).shape == (0,)


def test_bits_come_from_the_operating_system(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def watched(size: int) -> bytes:
        asked.append(size)
        return b"\xff" * size

    monkeypatch.setattr("dataworth.privacy.mechanisms.os.urandom", watched)
    assert not SecureSource().draw_bits(10, Fraction(1, 2)).any()
    assert asked == [10]


@pytest.mark.parametrize("probability", [Fraction(0), Fraction(-1, 2), Fraction(3, 2), 0.01, 1])
def test_probabilities_are_exact(probability: Any) -> None:
    with pytest.raises(MethodError, match="probability must be"):
        SecureSource().draw_bits(3, probability)


@pytest.mark.parametrize("number", [-1, 2.0, True])
def test_numbers_of_bits(number: Any) -> None:
    with pytest.raises(MethodError, match="number of bits"):
        SecureSource().draw_bits(number, Fraction(1, 2))


def test_seeded_draws_repeat_and_are_stamped() -> None:
    counts = np.array([5, 2**40])
    first, second = (random_source(insecure_seed=3) for _ in range(2))
    assert not first.private
    noisy = first.add_noise(counts, Fraction(3))
    assert noisy.counts.tolist() == second.add_noise(counts, Fraction(3)).counts.tolist()
    assert (noisy.private, noisy.stamp) == (False, "NOT PRIVATE")
    assert first.draw_bits(100, Fraction(1, 3)).tolist() == second.draw_bits(100, Fraction(1, 3)).tolist()
    unmoved = first.add_noise(counts, Fraction(0))
    assert unmoved.counts.tolist() == counts.tolist()
    assert unmoved.stamp == "NOT PRIVATE"


def test_seeded_noise_has_the_same_law() -> None:
    noise = InsecureSource(1).add_noise(np.zeros(60_000, dtype=np.int64), Fraction(7, 8)).counts
    assert fit(noise, Fraction(7, 8)) > BY_CHANCE


def test_secure_draws_are_private_and_never_repeat() -> None:
    pytest.importorskip("opendp")
    counts = np.full(100, 2**40)
    one, two = (random_source().add_noise(counts, Fraction(50)) for _ in range(2))
    assert (one.private, one.stamp) == (True, "")
    assert one.counts.tolist() != two.counts.tolist()
    np.random.seed(0)  # must change nothing
    assert random_source().add_noise(counts, Fraction(50)).counts.tolist() != one.counts.tolist()


@pytest.mark.parametrize("seed", [-1, 1.5, True])
def test_seeds(seed: Any) -> None:
    with pytest.raises(MethodError, match="insecure_seed"):
        random_source(seed)
