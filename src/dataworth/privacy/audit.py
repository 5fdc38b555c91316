"""What attacks prove: scores in, verdict out.

A membership attack scores every target; how often a member's score is above a non-member's is its AUROC. A
distinguishing attack draws one statistic of the released numbers many times from each of two neighbouring data
sets; how differently often an event occurs bounds epsilon from below. An audit can show that a promise is broken,
never that it is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from dataworth.errors import MethodError
from dataworth.privacy.mechanisms import check_sigma

__all__ = [
    "LEAST_VARIANCE",
    "Bound",
    "Interval",
    "auroc",
    "bound_epsilon",
    "bound_from_counts",
    "log_likelihood_ratio",
    "mean_interval",
    "noise_fit",
]

LEAST_VARIANCE = 1e-12
_THRESHOLDS = 400  # events tried, at most, on the half of the draws that chooses


# -- who was a member ------------------------------------------------------------------------------


def log_likelihood_ratio(
    observed: NDArray[np.float64], present: NDArray[np.float64], absent: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How much better a normal law fits what was observed if it is that of members than if it is that of others.

    Algorithm 1 of Wang et al. (NeurIPS 2023): each target has its own two normal laws, fitted to shadow data
    sets with and without the target; a variance is at least ``LEAST_VARIANCE``. In logarithms, so that no
    far-off value underflows.

    Args:
        observed: What the attacker saw, one number a target, ``(n,)``.
        present: The same number in each shadow data set with the target in it, ``(n_shadows, n)``.
        absent: The same without it, ``(n_shadows, n)``.

    Returns:
        One score a target, ``(n,)``; higher means a member.

    Example:
        >>> import numpy as np
        >>> present, absent = np.array([[1.0], [3.0]]), np.array([[-3.0], [-1.0]])
        >>> log_likelihood_ratio(np.array([2.0]), present, absent)
        array([8.])
    """
    return _log_normal(observed, present) - _log_normal(observed, absent)


def _log_normal(at: NDArray[np.float64], draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log density, but for a constant, of the normal law fitted to each column of draws."""
    variance = np.maximum(draws.var(axis=0), LEAST_VARIANCE)
    return np.asarray(-0.5 * (at - draws.mean(axis=0)) ** 2 / variance - 0.5 * np.log(variance))


def auroc(members: ArrayLike, others: ArrayLike) -> float:
    """The chance that a random member scores above a random non-member; ties count half.

    Args:
        members: Scores of members, ``(m,)``.
        others: Scores of non-members, ``(n,)``.

    Raises:
        MethodError: There are no members or no others, or a score is not a number.

    Example:
        >>> auroc([3.0, 1.0], [1.0, 0.0])
        0.875
    """
    first, second = np.asarray(members, dtype=np.float64), np.asarray(others, dtype=np.float64)
    if first.size == 0 or second.size == 0 or np.isnan(first).any() or np.isnan(second).any():
        raise MethodError("an AUROC needs scores of members and of others, all of them numbers")
    ranks = stats.rankdata(np.concatenate([first, second]))
    above = ranks[: first.size].sum() - first.size * (first.size + 1) / 2
    return float(above / (first.size * second.size))


@dataclass(frozen=True)
class Interval:
    """A mean over runs and where the true mean is likely to lie.

    Args:
        mean: Over the runs.
        low: Lower end.
        high: Upper end.
    """

    mean: float
    low: float
    high: float


def mean_interval(samples: ArrayLike, confidence: float = 0.95) -> Interval:
    """The mean of independent runs with Student's interval.

    Args:
        samples: One number a run, at least two, ``(n,)``.
        confidence: Of the interval, between 0 and 1.

    Raises:
        MethodError: Fewer than two runs: one says nothing about how far it strays.

    Example:
        >>> mean_interval([0.5, 0.5, 0.5])
        Interval(mean=0.5, low=0.5, high=0.5)
    """
    runs = np.asarray(samples, dtype=np.float64)
    if runs.ndim != 1 or runs.size < 2:
        raise MethodError(f"an interval needs at least two runs, not {runs.size}")
    reach = stats.t.ppf(0.5 + confidence / 2, runs.size - 1) * runs.std(ddof=1) / math.sqrt(runs.size)
    return Interval(float(runs.mean()), float(runs.mean() - reach), float(runs.mean() + reach))


# -- how much was lost -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Bound:
    """What draws from two neighbouring data sets prove about epsilon.

    Args:
        epsilon: Not below this, at the confidence asked for; 0 proves nothing.
        event: The event that shows it, in words.
        confidence: Chance, at least, that a mechanism of a smaller epsilon is not accused.
    """

    epsilon: float
    event: str
    confidence: float


def bound_from_counts(
    hits: ArrayLike, rare_hits: ArrayLike, draws: int, rare_draws: int, *, delta: float, confidence: float
) -> NDArray[np.float64]:
    """Epsilon is at least ``log((p - delta) / q)`` for every event: p from below, q from above, by Clopper-Pearson.

    Args:
        hits: How often the event came up where it is likely; one number or many.
        rare_hits: How often where it is unlikely.
        draws: Of the first kind.
        rare_draws: Of the second kind.
        delta: Of the promise.
        confidence: That the bound holds; each of the two proportions may fail with half of the rest.

    Returns:
        float64 of the broadcast shape, never below 0.

    Raises:
        MethodError: More hits than draws, no draws, or a confidence or delta out of range.

    Example:
        >>> round(float(bound_from_counts(900, 100, 1000, 1000, delta=1e-5, confidence=0.95)), 3)
        1.99
    """
    often, seldom = np.asarray(hits, dtype=np.float64), np.asarray(rare_hits, dtype=np.float64)
    if draws < 1 or rare_draws < 1 or (often > draws).any() or (seldom > rare_draws).any():
        raise MethodError("hits must be counted among draws: at least one draw a side, and no more hits than draws")
    if not 0 < confidence < 1 or not 0 <= delta < 1:
        raise MethodError(f"confidence must be between 0 and 1 and delta from 0 to 1, not {confidence} and {delta}")
    fail = (1 - confidence) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.where(often > 0, stats.beta.ppf(fail, often, draws - often + 1), 0.0)
        high = np.where(seldom < rare_draws, stats.beta.ppf(1 - fail, seldom + 1, rare_draws - seldom), 1.0)
        bound = np.where(low > delta, np.log((low - delta) / high), 0.0)
    return np.asarray(np.maximum(bound, 0.0))


def bound_epsilon(without: NDArray[Any], with_unit: NDArray[Any], *, delta: float, confidence: float) -> Bound:
    """A lower bound on epsilon from one statistic, drawn independently from two neighbouring data sets.

    The first half of the draws chooses an event (the statistic at most, or at least, some number) and which of
    the two data sets makes it likely; the other half, which had no say, tests that one event.

    Args:
        without: The statistic on one data set, ``(n,)``.
        with_unit: The statistic on its neighbour, ``(m,)``.
        delta: Of the promise.
        confidence: That the bound holds; with several audits, ``1 - 0.01 / number of audits``.

    Raises:
        MethodError: Fewer than 100 draws a side, or draws that are not numbers.

    Example:
        >>> import numpy as np
        >>> noise = np.random.default_rng(0).normal(size=(2, 20_000))
        >>> found = bound_epsilon(noise[0], noise[1] + 1, delta=1e-5, confidence=0.99)
        >>> 1 < found.epsilon < 4
        True
    """
    sides = [np.asarray(side, dtype=np.float64) for side in (without, with_unit)]
    if any(side.ndim != 1 or side.size < 100 or np.isnan(side).any() for side in sides):
        raise MethodError("an audit needs at least 100 draws a side of one statistic, all of them numbers")
    choosing = [side[: side.size // 2] for side in sides]
    testing = [side[side.size // 2 :] for side in sides]
    likely, above, threshold = _choose_event(choosing, delta, confidence)
    hits = [int(_occurs(side, threshold, above).sum()) for side in testing]
    draws = [side.size for side in testing]
    rare = 1 - likely
    bound = bound_from_counts(hits[likely], hits[rare], draws[likely], draws[rare], delta=delta, confidence=confidence)
    return Bound(float(bound), _in_words(hits, draws, threshold, above), confidence)


def _choose_event(sides: list[NDArray[np.float64]], delta: float, confidence: float) -> tuple[int, bool, float]:
    """Which side makes the event likely, whether it is "at least", and its threshold."""
    values = np.unique(np.concatenate(sides))
    thresholds = values[np.unique(np.linspace(0, values.size - 1, _THRESHOLDS).astype(np.int64))]
    if values.size > _THRESHOLDS:  # evenly spread over the draws, not over the values
        thresholds = np.unique(np.quantile(np.concatenate(sides), np.linspace(0, 1, _THRESHOLDS), method="nearest"))
    best = (-1.0, 0, True, float(thresholds[0]))
    for above in (True, False):
        hits = [_hits(side, thresholds, above) for side in sides]
        for likely in (0, 1):
            rare = 1 - likely
            bounds = bound_from_counts(
                hits[likely], hits[rare], sides[likely].size, sides[rare].size, delta=delta, confidence=confidence
            )
            at = int(bounds.argmax())
            best = max(best, (float(bounds[at]), likely, above, float(thresholds[at])))
    return best[1:]


def _hits(side: NDArray[np.float64], thresholds: NDArray[np.float64], above: bool) -> NDArray[np.int64]:
    ordered = np.sort(side)
    if above:
        return np.asarray(side.size - np.searchsorted(ordered, thresholds, side="left"))
    return np.asarray(np.searchsorted(ordered, thresholds, side="right"))


def _occurs(side: NDArray[np.float64], threshold: float, above: bool) -> NDArray[np.bool_]:
    return side >= threshold if above else side <= threshold


def _in_words(hits: list[int], draws: list[int], threshold: float, above: bool) -> str:
    return (
        f"statistic {'at least' if above else 'at most'} {threshold:.4g}: "
        f"{hits[1]:,} of {draws[1]:,} with, {hits[0]:,} of {draws[0]:,} without"
    )


# -- the law of the noise --------------------------------------------------------------------------


def noise_fit(noise: NDArray[np.integer[Any]], sigma: Fraction) -> float:
    """How well noise fits the discrete Gaussian it is said to be: the p-value of a chi-square test.

    A bound on epsilon cannot see noise that is a little too small; this can. Values expected fewer than ten
    times are pooled.

    Args:
        noise: Whole numbers, of any shape: what was released less what was counted.
        sigma: The scale it is said to have.

    Returns:
        A probability; below one in a million, the noise is another.

    Raises:
        MethodError: Fewer than 1,000 draws, no whole numbers, or no scale that is ever sampled.

    Example:
        >>> import numpy as np
        >>> from dataworth.privacy.mechanisms import InsecureSource
        >>> noise = InsecureSource(0).add_noise(np.zeros(5000, dtype=np.int64), Fraction(3)).counts
        >>> noise_fit(noise, Fraction(3)) > 1e-6, noise_fit(noise, Fraction(4)) > 1e-6
        (True, False)
    """
    check_sigma(sigma)
    if not np.issubdtype(noise.dtype, np.integer) or noise.size < 1000:
        raise MethodError(f"at least 1,000 whole numbers tell a law, not {noise.size} of type {noise.dtype}")
    reach = math.ceil(12 * sigma) + 1
    support = np.arange(-reach, reach + 1)
    mass = np.exp(-0.5 * (support / float(sigma)) ** 2)
    expected = noise.size * mass / math.fsum(mass)
    low = int(support[expected >= 10].min(initial=0))
    while low < 0 and noise.size - expected[np.abs(support) <= -low].sum() < 10:
        low += 1  # what is pooled must be common enough as well
    flat = noise.ravel()
    common = flat[np.abs(flat) <= -low]
    seen = np.append(np.bincount(common - low, minlength=1 - 2 * low), noise.size - common.size)
    expected = expected[np.abs(support) <= -low]
    expected = np.append(expected, max(noise.size - expected.sum(), 1e-9))
    return float(stats.chi2.sf(((seen - expected) ** 2 / expected).sum(), seen.size - 1))
