"""Threshold-KNN values, for any semivalue, from two counts a validation point.

A row outside the radius is a null player, so only the neighbours matter, and of them only how many share
the validation point's label and how many do not. Per validation point there are two values other than zero:
one for every neighbour of the same label and one for every other neighbour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma, poch

from dataworth.errors import MethodError
from dataworth.kernels.neighbors import ClassOrder, Rows
from dataworth.kernels.team import blocks, run

__all__ = ["SEMIVALUES", "Beta", "Semivalue", "add_links", "neighbour_value", "point_weights"]


@dataclass(frozen=True)
class Beta:
    """The Beta(alpha, beta) semivalue of Kwon and Zou (AISTATS 2022); Beta(1, 1) is the Shapley value.

    Args:
        alpha: Larger means more weight on small coalitions.
        beta: Larger means more weight on large coalitions.

    Raises:
        MethodError: Not positive numbers.

    Example:
        >>> float(neighbour_value(1, 1, True, 2, Beta(1, 1))) == float(neighbour_value(1, 1, True, 2, "shapley"))
        True
    """

    alpha: float
    beta: float

    def __post_init__(self) -> None:
        for name, given in (("alpha", self.alpha), ("beta", self.beta)):
            if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 < given < float("inf"):
                raise MethodError(f"{name} of Beta must be a positive number, not {given!r}")


Semivalue: TypeAlias = Literal["shapley", "banzhaf", "leave-one-out"] | Beta
SEMIVALUES = ("shapley", "banzhaf", "leave-one-out")


def neighbour_value(
    same_others: ArrayLike,
    other_others: ArrayLike,
    own_match: ArrayLike,
    n_classes: int,
    semivalue: Semivalue = "shapley",
) -> NDArray[np.float64]:
    """The value of one neighbour to one validation point, from the counts of the neighbours beside it.

    The one formula that the exact, the proxy and any noisy path share: with m neighbours in all, p of the
    others sharing the point's label, and a = 1 if this one does,
    ``(a - 1/C) P0 + (a - p/(m-1)) (R/m - P0)``, where P0 is the weight of joining no other neighbour and R/m
    the weight of joining any (for Shapley: P0 = 1/m, R = H_m). Threshold-KNN: Wang et al., NeurIPS 2023,
    Theorem 13, simplified: the sum over the data set size is a harmonic number.

    Args:
        same_others: Other neighbours with the point's label; counts, or non-negative estimates of them.
        other_others: Other neighbours with another label.
        own_match: Whether this neighbour has the point's label.
        n_classes: What an empty neighbourhood guesses among: it scores ``1 / n_classes``.
        semivalue: Which semivalue.

    Returns:
        float64 of the broadcast shape.

    Example:
        >>> neighbour_value(0, 0, True, n_classes=2)
        array(0.5)
    """
    p = np.asarray(same_others, dtype=np.float64)
    others = p + np.asarray(other_others, dtype=np.float64)
    a = np.asarray(own_match, dtype=np.float64)
    m = others + 1.0
    alone, joining = _join_weights(m, semivalue)
    share = np.divide(p, others, out=np.zeros(np.broadcast(p, others).shape), where=others > 0)
    return np.asarray((a - 1.0 / n_classes) * alone + np.where(others > 0, (a - share) * (joining - alone), 0.0))


def _join_weights(m: NDArray[np.float64], semivalue: Semivalue) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """P0 and R/m: how much a semivalue weighs joining none, and any, of m - 1 other neighbours."""
    match semivalue:
        case "shapley":
            return 1.0 / m, (digamma(m + 1.0) + np.euler_gamma) / m
        case "banzhaf":
            return np.exp2(1.0 - m), (2.0 - np.exp2(1.0 - m)) / m
        case "leave-one-out":
            return np.where(m <= 1.0, 1.0, 0.0), 1.0 / m
        case Beta(alpha=alpha, beta=beta):
            return _beta_join_weights(m, float(alpha), float(beta))


def _beta_join_weights(
    m: NDArray[np.float64], alpha: float, beta: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """With ``r_l = B(beta, alpha + l) / B(beta, alpha)``: P0 = r_{m-1} and R = r_0 + ... + r_{m-1}, for real m too.

    The sum telescopes: ``(beta - 1) R = (alpha + beta - 1) - (alpha + beta - 1 + m) r_m``. Ratios of gamma
    functions go through ``poch``, which keeps its digits where differences of log-gammas lose them.
    """

    def weight(members: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(poch(alpha, beta) / poch(alpha + members, beta))

    if beta == 1.0:
        total = alpha * (digamma(alpha + m) - digamma(alpha))
    else:
        edge = alpha + beta - 1.0
        total = (edge - (edge + m) * weight(m)) / (beta - 1.0)
    return weight(m - 1.0), total / m


def point_weights(
    n_same: NDArray[np.int64], n_other: NDArray[np.int64], n_classes: int, semivalue: Semivalue = "shapley"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each validation point gives a neighbour of its own label, and a neighbour of another.

    Args:
        n_same: Neighbours with the point's label, ``(n_validation,)``.
        n_other: Neighbours with another label, ``(n_validation,)``.
        n_classes: How many classes an empty neighbourhood guesses among.
        semivalue: Which semivalue.

    Returns:
        Two float64 arrays ``(n_validation,)``; zero where a point has no such neighbour.

    Example:
        >>> import numpy as np
        >>> same, other = point_weights(np.array([1]), np.array([1]), n_classes=2)
        >>> same, other
        (array([0.5]), array([-0.5]))
    """
    same = neighbour_value(np.maximum(n_same - 1, 0), n_other, True, n_classes, semivalue)
    other = neighbour_value(n_same, np.maximum(n_other - 1, 0), False, n_classes, semivalue)
    return np.where(n_same > 0, same, 0.0), np.where(n_other > 0, other, 0.0)


def add_links(
    rows: Rows | ClassOrder,
    bits: NDArray[np.uint8],
    point_codes: NDArray[np.int64],
    same: NDArray[np.float64],
    other: NDArray[np.float64],
    out: NDArray[np.float64],
    *,
    threads: int = 1,
) -> None:
    """Add to every row what its linked validation points give it, in the order of the points.

    Eight links are added by one look-up: a byte of bits picks one of 256 sums. The order is fixed (points in
    groups of eight, groups in order), so the same links and weights give the same bits of the sum for any
    number of threads and any split of the rows, and points may come in panels that start at multiples of 8.

    Args:
        rows: The rows that were linked; of them only the order by class is looked at.
        bits: From :func:`dataworth.kernels.neighbors.link`.
        point_codes: Class of each validation point, ``(n_validation,)``.
        same: What a point gives a linked row of its label, ``(n_validation,)``.
        other: What it gives a linked row of another label, ``(n_validation,)``.
        out: Sums so far, float64 in the order given to ``prepare``, ``(n_train,)``; added to in place.
        threads: How many threads share the rows.
    """
    parts = blocks(len(rows), 8192)
    n_classes = len(rows.starts) - 2
    given = np.zeros((n_classes + 1, bits.shape[0] * 8))
    for code in range(n_classes + 1):
        given[code, : len(same)] = np.where(point_codes == code, same, other)

    def part(_: int, number: int) -> None:
        start, stop = parts[number]
        _add_links(bits[:, start:stop], rows.codes[start:stop], given, rows.order[start:stop], out)

    run(part, len(parts), threads)


@njit(nogil=True, cache=True)
def _add_links(bits, codes, given, order, out):  # type: ignore[no-untyped-def]
    n_bytes, n = bits.shape
    sums = np.empty(n)
    for i in range(n):
        sums[i] = out[order[i]]
    table = np.zeros(256)
    a = 0
    while a < n:
        b = a
        while b < n and codes[b] == codes[a]:
            b += 1
        for g in range(n_bytes):
            weights = given[codes[a], 8 * g : 8 * g + 8]
            for bit in range(8):
                top = 1 << bit
                for low in range(top):
                    table[top + low] = table[low] + weights[bit]
            byte = bits[g, a:b]
            part = sums[a:b]
            for i in range(byte.shape[0]):
                part[i] += table[byte[i]]
        a = b
    for i in range(n):
        out[order[i]] = sums[i]
