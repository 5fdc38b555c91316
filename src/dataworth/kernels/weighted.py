"""Weighted hard-label KNN-Shapley for two classes, from integer weights sorted nearest first.

A coalition is right (1) when the signed weights of its K nearest members add up to 0 or more, else wrong (0);
the empty coalition is right. A row of rank i (from 1) among N matters in two ways (Wang, Mittal and Jia,
AISTATS 2024, arXiv 2401.11103, written here with probabilities in place of counts):

* it joins fewer than K members, where all of them vote: for each size l < min(K, N) the chance that it turns
  a random l-subset of the other rows, weighed by 1/N;
* it pushes out the farthest voter, of rank M > max(i, K): the chance that the verdict with i differs from the
  verdict with M when K - 1 other voters are drawn from the rows nearer than M, weighed by K / (M (M - 1)).

Both ask how the sum of a random subset is distributed when one row is left out. One table of upper tails,
grown row by row, answers for every row: leaving out a row of weight u is undone level by level,

    with(l, t) = (1 - l/M) without(l, t) + (l/M) without(l - 1, t - u),

in a chain of at most K steps that shrinks rounding errors as long as l <= M/2; above M/2 the chain runs on
the complement of the subset instead. Rows of equal weight share one chain. With D distinct weights the cost is
O(N K (K W + D)) for weights below W, where the published recursion costs O(N^2 K^2 W).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dataworth.errors import MethodError

__all__ = ["quantise_weights", "weighted_values"]

# One table of tails per validation point at work; beyond this a smaller k or fewer bits are meant.
_TABLE_BYTES = 256 * 2**20


def quantise_weights(
    distance: NDArray[np.float64], kernel: Literal["rbf", "uniform"], bits: int, *, scale: float = 1.0
) -> NDArray[np.int64]:
    """Vote weights rounded to integers, each a function of that row's distance alone.

    ``"rbf"``: ``exp(-d^2 / (2 scale^2))`` in units of ``1 / (2**bits - 1)``, rounded half to even. A row at
    distance 0 weighs ``2**bits - 1``; a far row may weigh 0, and then takes a place among the voters without
    a say. ``"uniform"``: every row weighs 1, the plain majority vote.

    The scale must be public and must not be fitted to the training rows: otherwise a row's weight would
    depend on the others, and their values on its presence in ways the game does not count. The default 1
    suits cosine distances (0 to 2); for euclidean distances take a typical distance between validation points.

    Args:
        distance: Distances to one validation point, 0 or more, in the metric's unit, ``(n,)``.
        kernel: ``"rbf"`` or ``"uniform"``.
        bits: How finely weights are rounded: ``2**bits`` levels.
        scale: The distance, in the same unit, at which a vote counts ``exp(-1/2)`` = 0.61.

    Returns:
        int64 weights from 0 to ``2**bits - 1``, ``(n,)``.

    Raises:
        MethodError: An unknown kernel, or a scale that is not a positive number.

    Example:
        >>> import numpy as np
        >>> quantise_weights(np.array([0.0, 1.0, 2.0]), "rbf", bits=3)
        array([7, 4, 1])
    """
    if kernel == "uniform":
        return np.ones(distance.shape, dtype=np.int64)
    if kernel != "rbf":
        raise MethodError(f"kernel must be 'rbf' or 'uniform', not {kernel!r}")
    if not 0.0 < scale < float("inf"):
        raise MethodError(f"scale must be a positive number in the unit of the distances, not {scale!r}")
    with np.errstate(over="ignore"):  # a distance whose square overflows weighs 0 all the same
        weight = np.exp(-0.5 * np.square(np.asarray(distance, dtype=np.float64) / scale))
    levels: NDArray[np.int64] = np.rint(weight * (2**bits - 1)).astype(np.int64)
    return levels


def weighted_values(signed_weights: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Exact Shapley values of all rows to one validation point, in the order given.

    Releases the GIL. Errors stay near 1e-15; the values add up to v(all rows) - 1.

    Args:
        signed_weights: Nearest first, plus the weight for rows of the point's label, minus it for rows of the
            other label, ``(n,)``.
        k: How many nearest rows vote, 1 or more; may exceed n.

    Returns:
        float64 ``(n,)``.

    Raises:
        MethodError: The weights spread so wide, or k is so large, that the table of tails would not fit.

    Example:
        >>> import numpy as np
        >>> weighted_values(np.array([3, -1]), k=1)
        array([ 0.5, -0.5])
    """
    weights = np.ascontiguousarray(signed_weights, dtype=np.int64)
    if weights.size == 0:
        return np.zeros(0)
    lowest = int(weights.min())
    spread = int(weights.max()) - lowest
    levels = min(k, weights.size)
    if 8 * levels * ((levels - 1) * spread + 2) > _TABLE_BYTES:
        raise MethodError(
            f"k={k} voters with weights that spread over {spread} levels need a table of tails beyond "
            f"{_TABLE_BYTES // 2**20} MiB a validation point; use a smaller k or fewer bits"
        )
    lifts, group = np.unique(weights - lowest, return_inverse=True)
    return np.asarray(_weighted_values(weights, group.astype(np.int64), lifts, lowest, levels))


# In the code below every weight is lifted by -lowest to u = w - lowest >= 0, so an l-subset's sum reaches
# `need` exactly when its lifted sum reaches need - l * lowest. tails[l, t] is the chance that a random
# l-subset of the rows so far has a lifted sum of t or more; it is 1 for t <= 0 and 0 for t > l * max(u).


@njit(nogil=True, cache=True)
def _weighted_values(weights, group, lifts, lowest, k):  # type: ignore[no-untyped-def]
    n = weights.shape[0]
    n_groups = lifts.shape[0]
    top = k - 1  # the most members beside the row itself
    tails = np.zeros((top + 1, top * lifts[-1] + 2))
    tails[0, 0] = 1.0
    total = 0  # lifted weights of the rows so far
    values = np.zeros(n)
    last = np.full(n_groups, -1)  # the latest row of each weight, which collects the terms until the next one
    earlier = np.full(n, -1)  # the row of the same weight before each row
    for j in range(n):
        if j >= k:
            voters = k - 1
            own = -weights[j] - voters * lowest
            factor = k / ((j + 1.0) * j)
            for g in range(n_groups):
                if last[g] >= 0 and g != group[j]:
                    without = -(lifts[g] + lowest) - voters * lowest
                    values[last[g]] += factor * (
                        _tail_without(tails, voters, without, lifts[g], (j, total))
                        - _tail_without(tails, voters, own, lifts[g], (j, total))
                    )
        _add_row(tails, top, lifts[group[j]], lifts[-1], j + 1)
        total += lifts[group[j]]
        earlier[j] = last[group[j]]
        last[group[j]] = j
    for j in range(n - 1, -1, -1):  # a row gets its own terms and all of the later rows of its weight
        if earlier[j] >= 0:
            values[earlier[j]] += values[j]
    for g in range(n_groups):
        joining = 0.0
        for members in range(top + 1):
            need = -members * lowest
            joining += _tail_without(tails, members, need - (lifts[g] + lowest), lifts[g], (n, total))
            joining -= _tail_without(tails, members, need, lifts[g], (n, total))
        j = last[g]
        while j >= 0:
            values[j] += joining / n
            j = earlier[j]
    return values


@njit(nogil=True, cache=True)
def _add_row(tails, top, lift, highest, rows):  # type: ignore[no-untyped-def]
    """Grow the table by one row, the ``rows``-th: a subset holds it with chance level / rows."""
    for level in range(min(top, rows), 0, -1):
        inside = level / rows
        outside = (rows - level) / rows
        here = tails[level]
        here[0] = 1.0
        certain = here[1 : lift + 1]  # with the row the subset reaches these anyway
        for t in range(certain.shape[0]):
            certain[t] = outside * certain[t] + inside
        shifted = here[lift + 1 : level * highest + 1]
        below = tails[level - 1, 1 : level * highest + 1 - lift]
        for t in range(shifted.shape[0]):
            shifted[t] = outside * shifted[t] + inside * below[t]


@njit(nogil=True, cache=True)
def _tail_without(tails, level, need, lift, crowd):  # type: ignore[no-untyped-def]
    """The chance that ``level`` random rows have a lifted sum >= need, one row of weight ``lift`` left out.

    ``crowd``: how many rows the table holds, with that one, and the sum of their lifted weights.
    """
    rows, total = crowd
    others = rows - 1 - level
    if others < level:  # the rows not drawn are fewer: ask how much they leave
        return 1.0 - _chain(tails, others, total - lift - need + 1, lift, rows)
    return _chain(tails, level, need, lift, rows)


@njit(nogil=True, cache=True)
def _chain(tails, level, need, lift, rows):  # type: ignore[no-untyped-def]
    end = tails.shape[1] - 1
    start = need - level * lift
    without = 1.0 if start <= 0 else 0.0
    for drawn in range(1, level + 1):
        t = start + drawn * lift
        full = 1.0 if t <= 0 else tails[drawn, min(t, end)]
        without = (rows * full - drawn * without) / (rows - drawn)
    return without
