"""Which coalitions to try where there are too many for all, and what follows from their utilities.

A plan numbers its draws. A draw is a few coalitions, the same whichever other draws are made, by whom and in what
order; draws are independent of each other. So they can be worked out in any number of places at once, and what
follows is a function of the plan and of the utilities alone.

============== ========================================================= =====================================
plan           a draw                                                    values
============== ========================================================= =====================================
Enumeration    some of all coalitions                                    exact
Absences       the whole set without a few players, one at a time        exact leave-one-out
Orders         an order of arrival, or one and its reverse               means of what players add on arrival
Strata         coalitions of sizes spread over all sizes                 every coalition tells of every player
============== ========================================================= =====================================

Strata, whose estimate takes more words, has a module of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dataworth.kernels.coalitions import OrderMeans, gains_along, random_order, semivalues, size_weights
from dataworth.kernels.threshold import Beta, Semivalue

__all__ = ["A_TIME", "NOBODY", "Absences", "Enumeration", "Estimate", "Orders", "Plan", "Step", "Walk", "size_shares"]

Step: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Players who join and players who leave before the next coalition is judged."""

Walk: TypeAlias = list[Step]
"""Coalitions one after another, from nobody."""

A_TIME = 64
"""Coalitions in a draw, where a draw could have any number."""

NOBODY = np.empty(0, dtype=np.int64)
"""No player joins, or none leaves."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """Values of players with their standard errors.

    Args:
        values: ``(n,)``.
        errors: From the choice of coalitions alone, ``(n,)``: 0 where nothing is left to chance, NaN where too few
            draws were made to tell.
    """

    values: NDArray[np.float64]
    errors: NDArray[np.float64]


class Plan(Protocol):
    """Coalitions to try, draw by draw."""

    @property
    def n(self) -> int:
        """How many players."""

    @property
    def draws(self) -> int | None:
        """How many draws there are; None for no end of them."""

    @property
    def per_draw(self) -> int:
        """The most coalitions in a draw."""

    @property
    def least(self) -> int:
        """Draws before a standard error is worth anything; all of them, where there is none."""

    def walks(self, number: int) -> list[Walk]:
        """The coalitions of a draw."""

    def estimate(self, utilities: Sequence[NDArray[np.float64]], floor: float, full: float) -> Estimate:
        """The values.

        Args:
            utilities: Of the first draws, each as long as its walks together, in their order.
            floor: The utility of nobody.
            full: The utility of everybody.
        """


def size_shares(n: int, semivalue: Semivalue = "shapley") -> NDArray[np.float64]:
    """How much a semivalue weighs coalitions of s other players, all of one size together, for s = 0 .. n - 1.

    The same as :func:`~dataworth.kernels.coalitions.size_weights` times ``comb(n - 1, s)``, for any number of players
    (the weight of one coalition would vanish in double precision). The shares sum to 1.

    Args:
        n: How many players, at least 1.
        semivalue: ``"shapley"``, ``"banzhaf"``, ``"leave-one-out"`` or ``Beta(alpha, beta)``.

    Returns:
        ``(n,)``.

    Example:
        >>> size_shares(3, "banzhaf")
        array([0.25, 0.5 , 0.25])
    """
    others = np.arange(n)
    match semivalue:
        case "shapley":
            return np.full(n, 1 / n)
        case "leave-one-out":
            return np.asarray(others == n - 1, dtype=np.float64)
        case "banzhaf":
            above = below = np.ones(n - 1)
        case Beta(alpha=alpha, beta=beta):
            above, below = np.asarray(beta + others[:-1]), np.asarray(alpha + others[:-1][::-1])
    return _in_steps(above, below)


def _in_steps(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of n sizes, of which the weight of one coalition is ``above / below`` times that of one smaller by one.

    A product keeps the digits that differences of logarithms of gamma functions lose where parameters are large.
    Powers of two are counted apart, so that it neither overflows nor vanishes on the way.
    """
    upper, upper_powers = np.frexp(above)
    lower, lower_powers = np.frexp(below)
    more_coalitions = np.arange(above.size, 0, -1) / np.arange(1, above.size + 1)
    steps = zip((upper / lower * more_coalitions).tolist(), (upper_powers - lower_powers).tolist(), strict=True)
    parts, powers = [1.0], [0]
    for ratio, power in steps:
        part, more = math.frexp(parts[-1] * ratio)
        parts.append(part)
        powers.append(powers[-1] + power + more)
    most = max(powers)
    shares = [math.ldexp(part, power - most) for part, power in zip(parts, powers, strict=True)]
    return np.asarray(shares) / math.fsum(shares)


# -- nothing left to chance -----------------------------------------------------------------------


@dataclass(frozen=True)
class Enumeration:
    """All coalitions.

    Neighbours on the way differ by one player (a Gray code), so a model can follow.

    Args:
        n: How many players, 1 to 20.
        semivalue: Which value.

    Example:
        >>> import numpy as np
        >>> plan = Enumeration(2)
        >>> [np.sort(joins).tolist() for joins, _ in plan.walks(0)[0]]  # nobody, then 0, then 1 too
        [[], [0], [1], []]
        >>> plan.estimate([np.array([0.5, 0.7, 0.9, 0.6])], 0.5, 0.9).values
        array([0.25, 0.15])
    """

    n: int
    semivalue: Semivalue = "shapley"

    @property
    def draws(self) -> int:
        """How many draws there are; None for no end of them."""
        return -(-(1 << self.n) // A_TIME)

    @property
    def per_draw(self) -> int:
        """The most coalitions in a draw."""
        return min(1 << self.n, A_TIME)

    @property
    def least(self) -> int:
        """Draws before a standard error is worth anything."""
        return self.draws

    def walks(self, number: int) -> list[Walk]:
        """The coalitions of a draw."""
        masks = self._masks(number)
        steps: Walk = [(self._players(masks[0]), NOBODY)]
        for before, now in pairwise(masks):
            steps.append((self._players(now & ~before), self._players(before & ~now)))
        return [steps]

    def estimate(self, utilities: Sequence[NDArray[np.float64]], floor: float, full: float) -> Estimate:
        """The values; see :meth:`Plan.estimate`."""
        found = np.empty(2**self.n)
        for number, some in enumerate(utilities):
            found[self._masks(number)] = some
        return Estimate(semivalues(found, size_weights(self.n, self.semivalue)), np.zeros(self.n))

    def _masks(self, number: int) -> list[int]:
        places = range(number * A_TIME, min((number + 1) * A_TIME, 2**self.n))
        return [place ^ (place >> 1) for place in places]

    def _players(self, mask: int) -> NDArray[np.int64]:
        return np.flatnonzero(mask >> np.arange(self.n) & 1)


@dataclass(frozen=True)
class Absences:
    """The whole set without each player in turn: what leave-one-out asks.

    Example:
        >>> import numpy as np
        >>> Absences(2).estimate([np.array([0.6, 0.7])], 0.5, 0.9).values.round(3)
        array([0.3, 0.2])
    """

    n: int

    @property
    def draws(self) -> int:
        """How many draws there are; None for no end of them."""
        return -(-self.n // A_TIME)

    @property
    def per_draw(self) -> int:
        """The most coalitions in a draw."""
        return min(self.n, A_TIME)

    @property
    def least(self) -> int:
        """Draws before a standard error is worth anything."""
        return self.draws

    def walks(self, number: int) -> list[Walk]:
        """The coalitions of a draw."""
        first, last = number * A_TIME, min((number + 1) * A_TIME, self.n)
        everybody = np.arange(self.n)
        steps: Walk = [(np.delete(everybody, first), NOBODY)]
        steps += [(everybody[player - 1 : player], everybody[player : player + 1]) for player in range(first + 1, last)]
        return [steps]

    def estimate(self, utilities: Sequence[NDArray[np.float64]], floor: float, full: float) -> Estimate:
        """The values; see :meth:`Plan.estimate`."""
        return Estimate(full - np.concatenate(utilities), np.zeros(self.n))


# -- orders of arrival ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Orders:
    """Players arrive in random orders; a value is the mean of what the player adds, weighed by the place.

    Permutation sampling (Castro et al., Computers and Operations Research 2009; for data: Ghorbani and Zou, ICML
    2019). For a semivalue other than Shapley's, what is added in a place counts ``n`` times the share of that place
    (Kwon and Zou, AISTATS 2022).

    Args:
        n: How many players.
        semivalue: Which value.
        seed: Of all orders.
        antithetic: Each order is followed by its reverse; the two are one draw.

    Example:
        >>> import numpy as np
        >>> plan = Orders(2, antithetic=False)
        >>> plan.walks(0)[0][0][0].tolist() in ([0], [1])
        True
    """

    n: int
    semivalue: Semivalue = "shapley"
    seed: int = 0
    antithetic: bool = True

    @property
    def draws(self) -> None:
        """How many draws there are; None for no end of them."""
        return None

    @property
    def per_draw(self) -> int:
        """The most coalitions in a draw."""
        return self.n * len(self._arrivals(0))

    @property
    def least(self) -> int:
        """Draws before a standard error is worth anything."""
        return 10

    def walks(self, number: int) -> list[Walk]:
        """The coalitions of a draw."""
        return [[(order[at : at + 1], NOBODY) for at in range(self.n)] for order in self._arrivals(number)]

    def estimate(self, utilities: Sequence[NDArray[np.float64]], floor: float, full: float) -> Estimate:
        """The values; see :meth:`Plan.estimate`."""
        weights = self.n * size_shares(self.n, self.semivalue)
        means = OrderMeans(self.n)
        for number, some in enumerate(utilities):
            orders = self._arrivals(number)
            drawn = []
            for order, along in zip(orders, np.split(some, len(orders)), strict=True):
                gains = gains_along(order, np.concatenate([[floor], along])[:, np.newaxis])
                gains[order, 0] *= weights
                drawn.append(gains)
            means.add(*drawn)
        return Estimate(means.values, means.errors)

    def _arrivals(self, number: int) -> list[NDArray[np.int64]]:
        order = random_order(self.seed, number, self.n)
        return [order, order[::-1]] if self.antithetic else [order]
