"""DP-KNN-Shapley, the baseline that the Threshold KNN-Shapley paper is set against (its Appendix B.4).

Noise is added to the finished values of the game that divides votes by K, one owner at a time. One other row
moves such a value by at most ``1 / (K (K + 1))`` a validation point, so noise of that many times ``sigma`` on
each hides a row as well as noise of scale ``sigma`` hides it in a count. With subsampling, every (owner,
validation point) has its own sample: the owner's row, and every other row with a small probability.

For experiments on public data only: each owner is protected from each other one, but two who compare notes are
not, and the noise is a float from a seeded generator. There is no ledger to charge because nothing is promised.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from dataworth.kernels.neighbors import nearest_first
from dataworth.privacy.accounting import calibrate
from dataworth.privacy.kinds import SubsampledCounts
from dataworth.records import Points
from dataworth.records.privacy import Budget, Row
from dataworth.valuation.methods import KNNShapley
from dataworth.valuation.points import value_points

__all__ = ["dp_knn", "dp_knn_sigma"]


@lru_cache(maxsize=256)
def dp_knn_sigma(spend: Budget, points: int, probability: Fraction = Fraction(1)) -> float:
    """The noise, in sensitivities, that keeps all values sent to one owner within a budget, one row added or removed.

    All rows: the Gaussian mechanism in closed form (Balle and Wang 2018, arXiv 1805.06530). Samples: calibrated as
    for whole-number noise; float noise of the same scale costs up to about 0.2 percent more where it is below 1.

    Args:
        spend: Epsilon and delta.
        points: Number of validation points; each is a query.
        probability: Of another row being in a sample.

    Raises:
        MissingExtra: Samples, and dp-accounting is not installed.
    """
    if probability == 1:
        return math.sqrt(points) / _most_shift(float(spend.epsilon), float(spend.delta))
    return float(
        calibrate(
            lambda sigma: [SubsampledCounts(sigma, probability, points)], spend, unit=Row(), relation="add_or_remove"
        )
    )


def _most_shift(epsilon: float, delta: float) -> float:
    """By how many deviations Gaussian noise may be shifted for the budget to hold."""

    def excess(shift: float) -> float:
        near, far = shift / 2 - epsilon / shift, -shift / 2 - epsilon / shift
        return float(norm.cdf(near) - math.exp(epsilon) * norm.cdf(far)) - delta

    return float(brentq(excess, 1e-9, 1e3))


def dp_knn(
    train: Points,
    validation: Points,
    *,
    k: int,
    sigma: float,
    seed: int,
    probability: Fraction = Fraction(1),
) -> NDArray[np.float64]:
    """Noisy values, one for each owner of one row.

    Args:
        train: The rows to value.
        validation: The points that judge.
        k: How many nearest rows vote.
        sigma: Standard deviation of the noise on one value, in units of ``1 / (k (k + 1))``.
        seed: Of the noise and the samples.
        probability: Of another row being in the sample; 1 values every row among all others.

    Returns:
        Means over validation points, float64 ``(n_train,)``.

    Example:
        >>> import dataworth as dw
        >>> from dataworth.papers.dpknn import dp_knn
        >>> train = dw.Points([[1.0, 0.0], [0.0, 1.0]], ["cat", "dog"])
        >>> dp_knn(train, train, k=1, sigma=0.0, seed=0)
        array([0.5, 0.5])
    """
    random = np.random.default_rng(seed)
    if probability == 1:
        method = KNNShapley(k=k, normalise="k")
        values = value_points(train, validation, method=method, progress=False).values
    else:
        values = _sampled_values(train, validation, k, probability, random)
    # Independent noise on each point's value; an owner receives only the sum, whose noise is one Gaussian.
    deviation = sigma / (k * (k + 1)) / math.sqrt(len(validation))
    return values + random.normal(0.0, deviation, size=len(train))


def _sampled_values(
    train: Points, validation: Points, k: int, probability: Fraction, random: np.random.Generator
) -> NDArray[np.float64]:
    """Every row's value in a sample of its own at every validation point, as means over the points."""
    sums = np.zeros(len(train))
    for point, label in zip(validation.x, validation.y, strict=True):
        order, _ = nearest_first(train.x, point, "cosine")
        sums[order] += _sampled_point(train.y[order] == label, k, float(probability), random)
    return sums / len(validation)


@njit(nogil=True, cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
def _sampled_point(match: Any, k: Any, probability: Any, random: Any) -> Any:
    """Values to one point from label matches sorted nearest first, each row in a fresh sample of the others.

    A row at rank r of its sample is worth ``match / max(k, r)`` less ``1 / (j (j - 1))`` for each match behind it
    at rank j > k. The rows sampled are found by leaps: the gaps between them are geometric.
    """
    n = match.shape[0]
    values = np.empty(n)
    for row in range(n):
        rank, own_rank, taken = 1, 1, 0.0
        other = random.geometric(probability) - 1  # the n - 1 others in order: those from ``row`` on lie behind
        while other < n - 1:
            rank += 1
            if other < row:
                own_rank = rank
            elif rank > k and match[other + 1]:
                taken += 1.0 / (rank * (rank - 1))
            other += random.geometric(probability)
        values[row] = match[row] / max(k, own_rank) - taken
    return values
