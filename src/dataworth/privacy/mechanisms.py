"""Exact discrete Gaussian noise and exact inclusion bits: the only source of randomness that privacy rests on.

Both are drawn on integers, with no floating-point step: noise by OpenDP (the sampler of Canonne, Kamath and
Steinke 2020, arXiv 2004.00010, fed by OpenSSL's generator, which the operating system seeds), bits by comparing
bytes of the operating system's generator with the expansion of the probability in base 256. A probability is a
``Fraction``; a noise scale is a ``Fraction`` that a float holds exactly, so what is sampled is what is accounted.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import MethodError, MissingExtra

__all__ = [
    "MOST_SIGMA",
    "SIGMA_STEPS",
    "InsecureSource",
    "NoisyCounts",
    "SecureSource",
    "Source",
    "check_probability",
    "check_sigma",
    "random_source",
    "round_sigma_up",
]

SIGMA_STEPS = 2**14  # noise scales are whole multiples of 1/16384, which floats hold exactly up to MOST_SIGMA
MOST_SIGMA = 2**18
_BLOCK = 2**20  # bits drawn at a time: one mebibyte of randomness in hand


@dataclass(frozen=True)
class NoisyCounts:
    """Counts after noise.

    Args:
        counts: int64, of the shape that was given; may be negative.
        sigma: The scale of the discrete noise, Gaussian or Laplace.
        private: False when the noise was seeded or left out.
    """

    counts: NDArray[np.int64]
    sigma: Fraction
    private: bool

    @property
    def stamp(self) -> str:
        """What every artefact made from these counts must show: nothing, or NOT PRIVATE."""
        return "" if self.private else "NOT PRIVATE"


class Source(Protocol):
    """Where noise and inclusion bits come from."""

    @property
    def private(self) -> bool:
        """Whether privacy may rest on it."""

    def add_noise(self, counts: NDArray[np.integer[Any]], sigma: Fraction) -> NoisyCounts:
        """Counts plus independent discrete Gaussian noise of scale ``sigma``."""

    def add_laplace(self, counts: NDArray[np.integer[Any]], scale: Fraction) -> NoisyCounts:
        """Counts plus independent discrete Laplace noise of scale ``scale``."""

    def draw_bits(self, number: int, probability: Fraction) -> NDArray[np.bool_]:
        """Independent bits, each true with exactly ``probability``."""


class SecureSource:
    """Noise and bits that nobody can predict or repeat.

    Example:
        >>> from fractions import Fraction
        >>> from dataworth.privacy.mechanisms import SecureSource
        >>> bits = SecureSource().draw_bits(1000, Fraction(1, 3))
        >>> bits.dtype, bits.shape
        (dtype('bool'), (1000,))
    """

    private = True

    def add_noise(self, counts: NDArray[np.integer[Any]], sigma: Fraction) -> NoisyCounts:
        """Counts plus independent discrete Gaussian noise, exact, about 40,000 counts a second.

        Args:
            counts: Whole numbers of any shape, of a type that int64 can hold.
            sigma: A positive multiple of ``1 / SIGMA_STEPS``.

        Raises:
            MethodError: The counts are not whole numbers, or the scale is no such multiple.
            MissingExtra: OpenDP is not installed.
        """
        return _noised(counts, sigma, _gaussian)

    def add_laplace(self, counts: NDArray[np.integer[Any]], scale: Fraction) -> NoisyCounts:
        """Counts plus independent discrete Laplace noise, exact: weight ``exp(-|x| / scale)`` on every whole x.

        Args:
            counts: Whole numbers of any shape, of a type that int64 can hold.
            scale: A positive multiple of ``1 / SIGMA_STEPS``.

        Raises:
            MethodError: The counts are not whole numbers, or the scale is no such multiple.
            MissingExtra: OpenDP is not installed.
        """
        return _noised(counts, scale, _laplace)

    def draw_bits(self, number: int, probability: Fraction) -> NDArray[np.bool_]:
        """Independent bits, each true with exactly ``probability``.

        Args:
            number: How many.
            probability: Above 0 and at most 1.

        Returns:
            Bools, shape ``(number,)``.
        """
        check_probability(probability)
        return _bernoulli(number, probability, os.urandom)


class InsecureSource:
    """Seeded noise and bits of the same laws, for tests: whoever has the seed has the data.

    Args:
        seed: Of numpy's generator.
    """

    private = False

    def __init__(self, seed: int) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise MethodError(f"insecure_seed must be a whole number from 0 on, not {seed!r}")
        self._generator = np.random.default_rng(seed)

    def add_noise(self, counts: NDArray[np.integer[Any]], sigma: Fraction) -> NoisyCounts:
        """Counts plus seeded noise, as ``SecureSource`` adds it; scale 0 leaves them as they are."""
        whole = _whole_counts(counts)
        if sigma == 0:
            return NoisyCounts(whole.copy(), sigma, private=False)
        check_sigma(sigma)
        reach = int(12 * sigma) + 1
        support = np.arange(-reach, reach + 1)
        law = np.exp(-0.5 * (support / float(sigma)) ** 2)
        noise = self._generator.choice(support, size=whole.shape, p=law / law.sum())
        return NoisyCounts(whole + noise, sigma, private=False)

    def add_laplace(self, counts: NDArray[np.integer[Any]], scale: Fraction) -> NoisyCounts:
        """Counts plus seeded noise, as ``SecureSource`` adds it; scale 0 leaves them as they are."""
        whole = _whole_counts(counts)
        if scale == 0:
            return NoisyCounts(whole.copy(), scale, private=False)
        check_sigma(scale)
        # The difference of two geometric numbers has exactly this law.
        stop = -math.expm1(-1 / float(scale))
        noise = self._generator.geometric(stop, whole.shape) - self._generator.geometric(stop, whole.shape)
        return NoisyCounts(whole + noise, scale, private=False)

    def draw_bits(self, number: int, probability: Fraction) -> NDArray[np.bool_]:
        """Independent seeded bits, each true with ``probability``."""
        check_probability(probability)
        return _bernoulli(number, probability, self._generator.bytes)


def random_source(insecure_seed: int | None = None) -> Source:
    """The operating system's randomness or, for tests only, a seeded one whose results are NOT PRIVATE."""
    return SecureSource() if insecure_seed is None else InsecureSource(insecure_seed)


def round_sigma_up(sigma: float | Fraction) -> Fraction:
    """The least scale the sampler takes that is no smaller than ``sigma``."""
    if not 0 < sigma <= MOST_SIGMA:  # also refuses what is not a number
        raise MethodError(f"sigma must be above 0 and at most {MOST_SIGMA}, not {sigma!r}")
    return Fraction(math.ceil(Fraction(sigma) * SIGMA_STEPS), SIGMA_STEPS)


def check_sigma(sigma: Fraction) -> None:
    """Refuse a noise scale that the sampler could only take rounded.

    Raises:
        MethodError: It is not a positive multiple of ``1 / SIGMA_STEPS``, or too large.
    """
    if not isinstance(sigma, Fraction) or not 0 < sigma <= MOST_SIGMA or (sigma * SIGMA_STEPS).denominator != 1:
        raise MethodError(
            f"sigma must be a Fraction above 0 and up to {MOST_SIGMA}, a multiple of 1/{SIGMA_STEPS}, not {sigma!r}"
        )


def check_probability(probability: Fraction) -> None:
    """Refuse an inclusion probability that is not an exact number above 0 and at most 1.

    Raises:
        MethodError: It is not.
    """
    if not isinstance(probability, Fraction) or not 0 < probability <= 1:
        raise MethodError(f"a probability must be a Fraction above 0 and at most 1, not {probability!r}")


def _whole_counts(counts: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    given = np.asarray(counts)
    if not np.issubdtype(given.dtype, np.integer) or not np.can_cast(given.dtype, np.int64):
        raise MethodError(f"counts must be whole numbers that int64 can hold, not {given.dtype}")
    return given.astype(np.int64)


def _noised(counts: NDArray[np.integer[Any]], scale: Fraction, sampler: Callable[[float], Any]) -> NoisyCounts:
    whole = _whole_counts(counts)
    check_sigma(scale)
    if whole.size == 0:
        return NoisyCounts(whole, scale, private=True)
    noisy = sampler(float(scale))(whole.ravel().tolist())
    return NoisyCounts(np.array(noisy, dtype=np.int64).reshape(whole.shape), scale, private=True)


def _gaussian(sigma: float) -> Any:
    dp = _opendp()
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64")
    return dp.m.make_gaussian(*space, scale=sigma)


def _laplace(scale: float) -> Any:
    dp = _opendp()
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l1_distance(T="i64")
    return dp.m.make_laplace(*space, scale=scale)


def _opendp() -> Any:
    try:
        dp = import_module("opendp.prelude")
    except ImportError as error:
        raise MissingExtra("a private release", "private") from error
    # OpenDP keeps these samplers behind a flag for parts whose proofs are reviewed by contributors.
    dp.enable_features("contrib")
    return dp


def _bernoulli(number: int, probability: Fraction, random_bytes: Any) -> NDArray[np.bool_]:
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise MethodError(f"the number of bits must be a whole number from 0 on, not {number!r}")
    bits = np.empty(number, dtype=np.bool_)
    for start in range(0, number, _BLOCK):
        block = bits[start : start + _BLOCK]
        _compare_uniforms(block, probability, random_bytes)
    return bits


def _compare_uniforms(bits: NDArray[np.bool_], probability: Fraction, random_bytes: Any) -> None:
    """Set each bit to whether a uniform number, written in base 256 as far as needed, is below the probability.

    The first digit in which the two differ decides. One bit in 256 goes on to the next digit, and a
    probability whose expansion has ended is not above any number that equals it so far.
    """
    if probability == 1:
        bits[:] = True
        return
    above, below = probability.numerator, probability.denominator
    digit, above = divmod(above * 256, below)
    drawn = np.frombuffer(random_bytes(bits.size), dtype=np.uint8)
    np.less(drawn, digit, out=bits)
    undecided = np.flatnonzero(drawn == digit)
    while above and undecided.size:
        digit, above = divmod(above * 256, below)
        drawn = np.frombuffer(random_bytes(undecided.size), dtype=np.uint8)
        bits[undecided] = drawn < digit
        undecided = undecided[drawn == digit]
