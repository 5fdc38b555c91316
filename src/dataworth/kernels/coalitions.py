"""Values of players from what their coalitions were worth: all of them, or those met along random orders.

A coalition is a number whose bit i says whether player i is in it, and utilities of all coalitions stand in the
order of these numbers. A semivalue weighs what a player adds to a coalition by the size of that coalition alone, so
one routine gives all of them; only the weights differ.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import InputError
from dataworth.kernels.threshold import Beta, Semivalue

__all__ = ["OrderMeans", "all_coalitions", "gains_along", "random_order", "semivalues", "size_weights"]


def all_coalitions(n: int) -> NDArray[np.bool_]:
    """Who is in each of the ``2 ** n`` coalitions, in their order, bool, ``(2 ** n, n)``.

    Example:
        >>> all_coalitions(2).astype(int).tolist()
        [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    return ((np.arange(2**n)[:, np.newaxis] >> np.arange(n)) & 1).astype(np.bool_)


# -- every coalition ------------------------------------------------------------------------------


def size_weights(n: int, semivalue: Semivalue = "shapley") -> NDArray[np.float64]:
    """What a semivalue weighs one coalition of s other players with, for s = 0 .. n - 1.

    Worked out in fractions and rounded once. Over all ``comb(n - 1, s)`` coalitions of every size they sum to 1.

    Args:
        n: How many players, at least 1.
        semivalue: ``"shapley"``, ``"banzhaf"``, ``"leave-one-out"`` or ``Beta(alpha, beta)``.

    Returns:
        ``(n,)``.

    Example:
        >>> size_weights(3)
        array([0.33333333, 0.16666667, 0.33333333])
    """
    match semivalue:
        case "shapley":
            exact = [Fraction(1, n * math.comb(n - 1, s)) for s in range(n)]
        case "banzhaf":
            exact = [Fraction(1, 2 ** (n - 1))] * n
        case "leave-one-out":
            exact = [Fraction(s == n - 1) for s in range(n)]
        case Beta(alpha=alpha, beta=beta):
            whole = _rising(Fraction(alpha) + Fraction(beta), n - 1)
            exact = [_rising(Fraction(beta), s) * _rising(Fraction(alpha), n - 1 - s) / whole for s in range(n)]
    return np.array([float(weight) for weight in exact])


def _rising(start: Fraction, steps: int) -> Fraction:
    return math.prod((start + step for step in range(steps)), start=Fraction(1))


def semivalues(utilities: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The value of every player, from the utilities of all coalitions.

    What a player adds to coalitions of one size is summed without rounding, so players who add the same have the
    same value to the last bit, in whatever order they stand, and one who never adds anything has exactly 0.

    Args:
        utilities: Of all coalitions in their order, finite, ``(2 ** n,)`` or one column a repeat, ``(2 ** n, r)``.
        weights: By the number of others, ``(n,)``, from :func:`size_weights`.

    Returns:
        ``(n,)`` or ``(n, r)``.

    Raises:
        InputError: Another number of utilities than ``2 ** len(weights)``.

    Example:
        >>> import numpy as np
        >>> semivalues(np.array([0.5, 0.7, 0.6, 0.9]), size_weights(2))
        array([0.25, 0.15])
    """
    n = int(weights.size)
    if n < 1 or utilities.shape[0] != 2**n:
        raise InputError(f"{n} players have {2**n:,} coalitions, not {utilities.shape[0]:,}")
    columns = utilities.reshape(2**n, -1)
    sizes = np.bitwise_count(np.arange(2 ** (n - 1)))
    by_size = [np.flatnonzero(sizes == size) for size in range(n)]  # of the coalitions of the others
    values = np.empty((n, columns.shape[1]))
    for player in range(n):
        halves = columns.reshape(2 ** (n - 1 - player), 2, 2**player, -1)
        gains = (halves[:, 1] - halves[:, 0]).reshape(2 ** (n - 1), -1)
        for repeat in range(columns.shape[1]):
            totals = [math.fsum(gains[group, repeat].tolist()) for group in by_size]
            values[player, repeat] = math.fsum(w * total for w, total in zip(weights.tolist(), totals, strict=True))
    return values.reshape(n, *utilities.shape[1:])


# -- random orders --------------------------------------------------------------------------------


def random_order(seed: int, number: int, n: int) -> NDArray[np.int64]:
    """The order of arrival with this number: the same whichever were drawn before it.

    Args:
        seed: Of all orders, 0 or more.
        number: Which order, 0 or more.
        n: How many players.

    Example:
        >>> sorted(random_order(0, 7, 4).tolist())
        [0, 1, 2, 3]
    """
    return np.random.default_rng([seed, number]).permutation(n)


def gains_along(order: NDArray[np.int64], utilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each player adds on arrival.

    Args:
        order: Players as they arrive, ``(n,)``.
        utilities: Before the first arrival and after each, ``(n + 1, r)``.

    Returns:
        By player, not by arrival, ``(n, r)``.

    Example:
        >>> import numpy as np
        >>> gains_along(np.array([1, 0]), np.array([[0.5], [0.6], [0.9]])).round(3).tolist()
        [[0.3], [0.1]]
    """
    gains = np.empty((order.size, utilities.shape[1]))
    gains[order] = np.diff(utilities, axis=0)
    return gains


class OrderMeans:
    """Shapley values as means over random orders, with their standard errors; more orders can follow at any time.

    A draw is one order, or an order with its reverse: whoever comes early in one comes late in the other, which
    cancels much of the chance. The two are not independent, so a pair counts as one draw of its mean.

    Args:
        n: How many players.
        repeats: How many utilities each coalition has; they share the orders.

    Example:
        >>> import numpy as np
        >>> means = OrderMeans(2)
        >>> means.add(np.array([[0.2], [0.2]]), np.array([[0.3], [0.1]]))
        >>> means.add(np.array([[0.2], [0.2]]), np.array([[0.3], [0.1]]))
        >>> means.draws, means.values.round(3).tolist(), means.errors.tolist()
        (2, [0.25, 0.15], [0.0, 0.0])
    """

    def __init__(self, n: int, repeats: int = 1) -> None:
        self.draws = 0
        """How many independent draws there were."""
        self.by_repeat: NDArray[np.float64] = np.zeros((n, repeats))
        """The mean of each repeat, ``(n, repeats)``."""
        self._mean: NDArray[np.float64] = np.zeros(n)
        self._scatter: NDArray[np.float64] = np.zeros(n)  # sum of squares about the mean, updated by Welford's rule

    def add(self, *gains: NDArray[np.float64]) -> None:
        """One draw: the gains of an order, or of an order and its reverse, each ``(n, repeats)``."""
        drawn = sum(gains[1:], start=gains[0]) / len(gains)
        self.draws += 1
        self.by_repeat = self.by_repeat + (drawn - self.by_repeat) / self.draws
        over_repeats = drawn.mean(axis=1)
        step = over_repeats - self._mean
        self._mean = self._mean + step / self.draws
        self._scatter = self._scatter + step * (over_repeats - self._mean)

    @property
    def values(self) -> NDArray[np.float64]:
        """The estimate, over draws and repeats, ``(n,)``."""
        return self._mean.copy()

    @property
    def errors(self) -> NDArray[np.float64]:
        """Standard errors from the choice of orders alone, ``(n,)``; NaN before the second draw."""
        if self.draws < 2:
            return np.full(self._mean.size, np.nan)
        return np.sqrt(self._scatter / (self.draws - 1) / self.draws)
