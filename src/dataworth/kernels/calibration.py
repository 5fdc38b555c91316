"""From the game of synthetic copies to calibrated values, and how near such values come to the truth.

Every provider gets a weight, the mix of three parts of one: of Shapley values of the synthetic game, of fidelity
(agreement with private labels beyond chance) and of utility (what the copy is worth alone beyond chance). The weights
divide a total. ``docs/theory/calibration.md`` has the formulas and what they cannot do.

The last axis of every array is that of the players; axes before it are cases that are worked out together.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls

from dataworth.errors import InputError, MethodError

__all__ = [
    "Terms",
    "fit_weights",
    "kendall",
    "parts_of_one",
    "permutation_p",
    "relative_error",
    "scaled_total",
    "spearman",
    "spread",
    "total_error",
    "weigh",
]

DRAWS = 2_000
EXACT_PLAYERS = 8  # 40,320 orders are tried one by one; of more players orders are drawn


@dataclass(frozen=True, eq=False)
class Terms:
    """The three parts of one and the weights mixed of them, each ``(..., P)``.

    Args:
        value: ``s``, of the Shapley values of the synthetic game.
        fidelity: ``f``, among those who answered; 0 for the others.
        utility: ``u``, of what each is worth alone.
        weights: ``w``; they sum to 1.
    """

    value: NDArray[np.float64]
    fidelity: NDArray[np.float64]
    utility: NDArray[np.float64]
    weights: NDArray[np.float64]


def parts_of_one(figures: NDArray[np.float64], present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Figures above zero as parts of one; equal parts where no figure is above zero.

    Args:
        figures: ``(..., P)``; what is below zero counts as zero.
        present: Who takes part, ``(P,)``; the others get 0.

    Example:
        >>> parts_of_one(np.array([3.0, -1.0, 1.0]), np.array([True, True, True]))
        array([0.75, 0.  , 0.25])
    """
    kept = np.where(present, np.maximum(figures, 0.0), 0.0)
    peak = kept.max(axis=-1, keepdims=True, initial=0.0)
    kept = kept / np.where(peak > 0, peak, 1.0)  # sums of the largest and quotients of the smallest numbers stay finite
    level = present / max(int(present.sum()), 1)
    return np.where(peak > 0, kept / np.where(peak > 0, kept.sum(axis=-1, keepdims=True), 1.0), level)


def weigh(
    value: NDArray[np.float64],
    fidelity: NDArray[np.float64],
    utility: NDArray[np.float64],
    mix: tuple[float, float, float],
    present: NDArray[np.bool_],
    *,
    signed: bool = False,
) -> Terms:
    """The weight of each player.

    Who gave no fidelity is weighed by the other two terms alone. Fidelity divides, among those who gave it, what these
    two terms say that they are worth together, so a missing answer moves nothing from or to the group that answered.

    Args:
        value: Shapley values of the synthetic game, ``(..., P)``.
        fidelity: Agreement beyond chance, ``(..., P)``; NaN where there was no answer, in every case the same players.
        utility: Worth alone beyond chance, ``(..., P)``.
        mix: Of the three, not negative, summing to 1.
        present: False for who declared itself empty, ``(P,)``: they get 0 exactly.
        signed: Keep values below zero, so that a weight can be below zero too.

    Raises:
        MethodError: Fidelity is missing where nothing else is weighed, or where ``signed`` is asked for.

    Example:
        >>> everyone = np.array([True, True])
        >>> weigh(np.array([0.3, 0.1]), np.array([0.5, 0.5]), np.array([0.4, 0.4]), (0.4, 0.3, 0.3), everyone).weights
        array([0.6, 0.4])
    """
    alpha, beta, gamma = mix
    s = _signed_parts(value, present) if signed else parts_of_one(value, present)
    u = parts_of_one(utility, present)
    missing = np.isnan(fidelity).reshape(-1, fidelity.shape[-1]).any(axis=0)
    answered = present & ~missing
    f = parts_of_one(np.where(answered, fidelity, 0.0), answered)
    if beta == 0 or np.array_equal(answered, present):
        return Terms(s, f, u, alpha * s + (beta * f if beta else 0.0) + gamma * u)
    if alpha + gamma == 0:
        raise MethodError("weights that rest on fidelity alone need the answer of every provider")
    if signed:
        raise MethodError("signed values need the answer of every provider")
    rest = (alpha * s + gamma * u) / (alpha + gamma)
    held = (rest * answered).sum(axis=-1, keepdims=True)
    weights = np.where(answered, (alpha + gamma) * rest + beta * held * f, rest)
    return Terms(s, f, u, weights / weights.sum(axis=-1, keepdims=True))


def scaled_total(gain: ArrayLike, scale: float, room: float) -> NDArray[np.float64]:
    """What calibrated values sum to: the gain of the synthetic game times ``scale``, within what can be gained.

    Args:
        gain: Utility of everyone less that of nobody.
        scale: Of real to synthetic gain.
        room: The best utility there is less that of nobody.
    """
    return np.clip(scale * np.asarray(gain, dtype=np.float64), 0.0, room)


def spread(
    value: tuple[NDArray[np.float64], NDArray[np.float64]],
    fidelity: tuple[NDArray[np.float64], NDArray[np.float64]],
    utility: tuple[NDArray[np.float64], NDArray[np.float64]],
    gain: tuple[float, float],
    mix: tuple[float, float, float],
    present: NDArray[np.bool_],
    *,
    scale: float,
    room: float,
    signed: bool = False,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Standard errors of calibrated values, by drawing what they are made of again.

    Every figure is drawn from a normal law around what was found, each on its own, and calibrated anew; the standard
    errors are the deviations of the draws. Parts of one have a kink at zero, where derivatives would mislead.

    Args:
        value: Shapley values with their standard errors, each ``(P,)``.
        fidelity: The same of fidelity; NaN where there was no answer.
        utility: The same of utility.
        gain: The gain of everyone with its standard error.
        mix: As in :func:`weigh`.
        present: As in :func:`weigh`.
        scale: As in :func:`scaled_total`.
        room: As in :func:`scaled_total`.
        signed: As in :func:`weigh`.
        seed: Of the draws.

    Returns:
        ``(P,)``; NaN for all players where a standard error that counts is not known.
    """
    alpha, beta, gamma = mix
    answered = present & ~np.isnan(fidelity[0])
    counting = [(value[1][present], alpha), (fidelity[1][answered], beta), (utility[1][present], gamma)]
    if np.isnan(gain[1]) or any(weight and np.isnan(errors).any() for errors, weight in counting):
        return np.where(present, np.nan, 0.0)
    if not gain[1] and not any(errors.any() for errors, weight in counting if weight):
        return np.zeros(present.size)
    rng = np.random.default_rng(seed)

    def drawn(mean: NDArray[np.float64], error: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean + np.nan_to_num(error) * rng.standard_normal((DRAWS, mean.size))

    terms = weigh(drawn(*value), drawn(*fidelity), drawn(*utility), mix, present, signed=signed)
    totals = scaled_total(drawn(np.array([gain[0]]), np.array([gain[1]])), scale, room)
    return np.asarray((terms.weights * totals).std(axis=0))


def _signed_parts(value: NDArray[np.float64], present: NDArray[np.bool_]) -> NDArray[np.float64]:
    kept = np.where(present, value, 0.0)
    total = kept.sum(axis=-1, keepdims=True)
    level = present / max(int(present.sum()), 1)
    return np.where(total > 0, kept / np.where(total > 0, total, 1.0), level)


def fit_weights(terms: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mix whose weights come nearest to true shares, by non-negative least squares.

    Args:
        terms: One row a player: its ``s``, ``f`` and ``u``, ``(m, 3)``.
        truth: The true share of each, ``(m,)``.

    Returns:
        ``(3,)``, summing to 1.

    Raises:
        MethodError: None of the three tells anything of the truth.

    Example:
        >>> fit_weights(np.array([[0.5, 0.2, 0.5], [0.5, 0.8, 0.5]]), np.array([0.2, 0.8]))
        array([0., 1., 0.])
    """
    found, _ = nnls(terms, truth)
    if not found.sum() > 0:
        raise MethodError("weights cannot be learned: nothing that the synthetic copies say follows the true shares")
    return np.asarray(found / found.sum())


# -- how near to the truth -------------------------------------------------------------------------


def relative_error(found: ArrayLike, truth: ArrayLike) -> float:
    """The mean over players of how far off a value is, as a part of the true one.

    Infinite if a true value is 0 and the one found is not.

    Example:
        >>> relative_error([1.25, 0.5], [1.0, 1.0])
        0.375
    """
    a, b = _pair(found, truth)
    off, size = np.abs(a - b), np.abs(b)
    return float(np.where(off == 0, 0.0, np.divide(off, size, out=np.full(a.shape, np.inf), where=size > 0)).mean())


def total_error(found: ArrayLike, truth: ArrayLike) -> float:
    """How far off all values are together, as a part of all true ones together.

    Infinite if all true values are 0 and one that was found is not.

    Example:
        >>> total_error([1.5, 0.0], [1.0, 0.0])
        0.5
    """
    a, b = _pair(found, truth)
    off, size = float(np.abs(a - b).sum()), float(np.abs(b).sum())
    return 0.0 if off == 0 else off / size if size else float("inf")


def spearman(a: ArrayLike, b: ArrayLike) -> float | None:
    """Spearman's rank correlation, ties with average ranks; None where either is constant.

    Example:
        >>> round(spearman([1, 2, 3], [10, 30, 20]), 3)
        0.5
        >>> spearman([1, 1, 1], [10, 30, 20]) is None
        True
    """
    ranks = _centred_ranks(*_pair(a, b))
    if ranks is None:
        return None
    x, y = ranks
    return float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1.0, 1.0))  # equal orders agree to the last bit


def kendall(a: ArrayLike, b: ArrayLike) -> float | None:
    """Kendall's rank correlation tau-b; None where either is constant.

    Example:
        >>> round(kendall([1, 2, 3], [10, 30, 20]), 3)
        0.333
    """
    x, y = _pair(a, b)
    pairs = np.triu_indices(x.size, 1)
    rising_x, rising_y = (np.sign(v[:, np.newaxis] - v)[pairs] for v in (x, y))
    untied = float((rising_x**2).sum() * (rising_y**2).sum())
    return float((rising_x * rising_y).sum() / np.sqrt(untied)) if untied else None


def permutation_p(a: ArrayLike, b: ArrayLike, *, draws: int = 9_999, seed: int = 0) -> float | None:
    """How often chance alone gives a rank correlation at least as high; None where either is constant.

    All orders of up to 8 players are tried, and the figure is exact. Of more, orders are drawn, and the one that was
    found counts among them.

    Args:
        a: One figure a player.
        b: Another.
        draws: Orders to draw for more than 8 players.
        seed: Of the draws.

    Example:
        >>> round(permutation_p([1, 2, 3, 4], [10, 20, 30, 40]), 4)
        0.0417
    """
    ranks = _centred_ranks(*_pair(a, b))
    if ranks is None:
        return None
    x, y = ranks
    if x.size <= EXACT_PLAYERS:
        orders = np.array(list(permutations(range(x.size))))
        return float((y[orders] @ x >= x @ y - 1e-9).mean())
    rng = np.random.default_rng(seed)
    shuffled = rng.permuted(np.broadcast_to(y, (draws, y.size)), axis=1)
    return float(((shuffled @ x >= x @ y - 1e-9).sum() + 1) / (draws + 1))


def _centred_ranks(
    a: NDArray[np.float64], b: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Average ranks with mean zero and length one; None where either is constant."""
    from scipy.stats import rankdata

    if a.size < 2 or (a == a[0]).all() or (b == b[0]).all():
        return None
    x, y = (rankdata(v) - (v.size + 1) / 2 for v in (a, b))
    return x / np.linalg.norm(x), y / np.linalg.norm(y)


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or x.size == 0:
        raise InputError(f"two flat arrays of one length are compared, not shapes {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("values that are compared must be finite")
    return x, y
