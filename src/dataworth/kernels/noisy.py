"""From noisy counts to what each validation point gives a linked row: the exact formula, fed with estimates.

An owner's own row is known to its owner, so it is taken out of the counts before anything else is done to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from dataworth.kernels.reweighting import Prediction
from dataworth.kernels.threshold import Semivalue, neighbour_value, point_weights

__all__ = ["Given", "clamped", "exact", "shrunk"]

_FLOOR = 0.5  # of a shrunk count


@dataclass(frozen=True, eq=False)
class Given:
    """What each validation point gives a linked row, and how uncertain that is.

    Args:
        same: To a row of the point's label, ``(n_validation,)``.
        other: To a row of another label, ``(n_validation,)``.
        same_variance: Of ``same``, for the noise that is left, ``(n_validation,)``.
        other_variance: Of ``other``, ``(n_validation,)``.
    """

    same: NDArray[np.float64]
    other: NDArray[np.float64]
    same_variance: NDArray[np.float64]
    other_variance: NDArray[np.float64]


def exact(counts: NDArray[np.int64], n_classes: int, semivalue: Semivalue) -> Given:
    """From counts without noise: the exact values, bit for bit.

    Args:
        counts: ``(n_validation, 2)``, of the same label and of another.
        n_classes: What an empty neighbourhood guesses among.
        semivalue: Which semivalue.
    """
    same, other = point_weights(counts[:, 0], counts[:, 1], n_classes, semivalue)
    nothing = np.zeros(same.size)
    return Given(same, other, nothing, nothing)


def clamped(counts: NDArray[np.int64], sigma: Fraction, included: bool, n_classes: int, semivalue: Semivalue) -> Given:
    """From noisy counts of a subsample, for rows that were let in or were not.

    Args:
        counts: Noisy, ``(n_validation, 2)``.
        sigma: The scale of their noise.
        included: Whether the row itself was counted, and so is taken out.
        n_classes: What an empty neighbourhood guesses among.
        semivalue: Which semivalue.
    """
    own = int(included)
    variance = np.full(counts.shape, float(sigma) ** 2)

    def estimate(a: int) -> NDArray[np.float64]:
        return np.asarray(np.maximum(counts - own * np.array([a, 1 - a]), 0), dtype=np.float64)

    return _given(estimate(1), estimate(0), variance, n_classes, semivalue)


def shrunk(
    counts: NDArray[np.int64], sigma: Fraction, prediction: Prediction, n_classes: int, semivalue: Semivalue
) -> Given:
    """From noisy counts of all rows, each averaged with its prediction by their precisions.

    Args:
        counts: Noisy, ``(n_validation, 2)``.
        sigma: The scale of their noise; above 0.
        prediction: What is expected without having seen a point's own counts.
        n_classes: What an empty neighbourhood guesses among.
        semivalue: Which semivalue.
    """
    noise, spread = float(sigma) ** 2, prediction.variance
    trust = spread / (spread + noise)

    def estimate(a: int) -> NDArray[np.float64]:
        others = counts - np.array([a, 1 - a])
        return np.asarray(np.maximum(trust * others + (1.0 - trust) * prediction.mean, _FLOOR))

    return _given(estimate(1), estimate(0), trust * noise, n_classes, semivalue)


def _given(
    for_same: NDArray[np.float64],
    for_other: NDArray[np.float64],
    variance: NDArray[np.float64],
    n_classes: int,
    semivalue: Semivalue,
) -> Given:
    same, same_variance = _value(for_same, variance, True, n_classes, semivalue)
    other, other_variance = _value(for_other, variance, False, n_classes, semivalue)
    return Given(same, other, same_variance, other_variance)


def _value(
    counts: NDArray[np.float64], variance: NDArray[np.float64], match: bool, n_classes: int, semivalue: Semivalue
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The value, and its variance from what one standard deviation of each count, up and down, makes of it."""
    value = neighbour_value(counts[:, 0], counts[:, 1], match, n_classes, semivalue)
    step = np.sqrt(variance)
    total = np.zeros(value.size)
    for side in (0, 1):
        up, down = counts.copy(), counts.copy()
        up[:, side] += step[:, side]
        down[:, side] = np.maximum(down[:, side] - step[:, side], 0.0)
        change = neighbour_value(up[:, 0], up[:, 1], match, n_classes, semivalue) - neighbour_value(
            down[:, 0], down[:, 1], match, n_classes, semivalue
        )
        total += (0.5 * change) ** 2
    return value, total
