"""Votes of rows for their nearest candidates, and what is chosen by them.

How a row votes is a pure function of that row and the candidates, so that one row more or less moves exactly its own
votes. Whatever follows the noise (cutting, choosing, sharing out) is arithmetic on released numbers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import InputError
from dataworth.kernels.matching import nearest
from dataworth.kernels.neighbors import Judges, prepare, usable_rows

__all__ = ["above", "apportion", "best", "count_votes", "draw_evenly"]


def count_votes(candidates: NDArray[Any], rows: NDArray[Any], votes: int) -> NDArray[np.int64]:
    """How many rows have each candidate among their nearest: by Euclidean distance, equal distances by position.

    A row that is not finite, or beyond the reach of float32 squares, casts no vote.

    Args:
        candidates: Float32 or float64, finite, ``(m, d)``.
        rows: Float32 or float64, ``(n, d)``.
        votes: For how many different candidates each row votes, from 1 to ``m``.

    Returns:
        int64 ``(m,)``; they sum to ``votes`` times the number of rows that vote.

    Raises:
        InputError: ``votes`` is out of range.

    Example:
        >>> import numpy as np
        >>> count_votes(np.array([[0.0], [1.0], [1.0]]), np.array([[0.2], [0.9], [5.0]]), 1)
        array([1, 2, 0])
    """
    m = len(candidates)
    if not 1 <= votes <= m:
        raise InputError(f"votes must be from 1 to {m:,}, the number of candidates, not {votes}")
    centre = candidates.mean(axis=0, dtype=np.float64)
    voting = rows[usable_rows(rows, "euclidean", centre=centre)]
    if not len(voting):
        return np.zeros(m, dtype=np.int64)
    ready = prepare(candidates, np.zeros(m, dtype=np.int64), 1, "euclidean", centre=centre)
    judges = Judges.ready(ready, voting, np.zeros(len(voting), dtype=np.int64), centre)
    at, _ = nearest(ready, judges, votes, threads=1)
    return np.bincount(at.ravel(), minlength=m).astype(np.int64)


def above(counts: NDArray[np.int64], threshold: int) -> NDArray[np.int64]:
    """What is left of counts when a threshold is taken off each, never below zero.

    Example:
        >>> import numpy as np
        >>> above(np.array([-3, 4, 9]), 5)
        array([0, 0, 4])
    """
    return np.asarray(np.maximum(counts - threshold, 0), dtype=np.int64)


def draw_evenly(weights: NDArray[np.int64], number: int, start: float) -> NDArray[np.int64]:
    """Positions drawn with chances in proportion to weights, spread as evenly as chance allows.

    Points at equal steps are laid over the weights in a row, the first at ``start`` steps. With a uniformly random
    start each position is drawn ``number * weight / sum`` times on average, as if drawn one by one, but never more
    than one off. If all weights are zero they count as equal.

    Args:
        weights: 0 or more, at least one of them, ``(m,)``.
        number: How many to draw.
        start: In [0, 1).

    Returns:
        Positions in ascending order, ``(number,)``.

    Example:
        >>> import numpy as np
        >>> draw_evenly(np.array([3, 0, 1]), 4, 0.5)
        array([0, 0, 0, 2])
    """
    held = weights if weights.any() else np.ones_like(weights)
    ends = np.cumsum(held)
    at = (start + np.arange(number)) * (float(ends[-1]) / max(number, 1))
    # Rounding may lift the last point to the very end, where nothing lies any more.
    found = np.minimum(np.searchsorted(ends, at, side="right"), np.flatnonzero(held)[-1])
    return np.asarray(found, dtype=np.int64)


def best(counts: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """Positions of the greatest counts, the greatest first; equal counts by position.

    Example:
        >>> import numpy as np
        >>> best(np.array([2, 7, 7, -1]), 3)
        array([1, 2, 0])
    """
    return np.argsort(-counts, kind="stable")[:number].astype(np.int64)


def apportion(shares: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Whole numbers in proportion to shares that add up to a total: largest remainders first, ties by position.

    Args:
        shares: 0 or more, not all zero, ``(m,)``.
        total: 0 or more.

    Raises:
        InputError: A share that is negative or not finite, or no share above zero.

    Example:
        >>> import numpy as np
        >>> apportion(np.array([1.0, 1.0, 1.0]), 5)
        array([2, 2, 1])
    """
    held = np.asarray(shares, dtype=np.float64)
    whole = math.fsum(held)
    if not ((held >= 0).all() and 0 < whole < math.inf):
        raise InputError("shares must be finite, 0 or more, and not all zero")
    wanted = held / whole * total
    given = np.floor(wanted).astype(np.int64)
    left = total - int(given.sum())
    given[np.argsort(-(wanted - given), kind="stable")[: max(left, 0)]] += 1
    return given
