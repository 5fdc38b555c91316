"""Random coalitions of every size, each of which tells of every player: who is in it, and who is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import InputError
from dataworth.kernels.sampling import A_TIME, NOBODY, Estimate, Walk, size_shares
from dataworth.kernels.threshold import Semivalue

__all__ = ["Strata"]

_A_BATCH = 16  # draws whose memberships are multiplied at once
_FOLDS = 5  # parts of the draws, each corrected by what the others predict
_MOST_ADJUSTED = 2048  # players up to whom the linear part of a prediction is fitted: a matrix of players squared
_LEAST_ADJUSTED = 2  # coalitions a player before it is fitted


@dataclass(frozen=True)
class Strata:
    """Random coalitions of every size, each of which tells of every player: who is in it, and who is not.

    A value is a weighted mean, over sizes, of what coalitions with the player are worth, less what coalitions without
    are worth. So a coalition's utility enters every player's value (maximum sample reuse: Wang and Jia, AISTATS 2023,
    for Banzhaf; by size for any semivalue: Kolpaczki et al., AAAI 2024), and permutation sampling, in which it enters
    two, needs several times as many.

    Most of what a utility is, its coalition's size tells, and some of the rest is the sum of its members' worth.
    Both are predicted from other draws and taken off before the mean, and what the prediction itself gives each player
    is added back exactly: no bias, less spread.

    Args:
        n: How many players, at least 2.
        semivalue: Which value.
        seed: Of all coalitions.

    Raises:
        InputError: Fewer than two players.
    """

    n: int
    semivalue: Semivalue = "shapley"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n < 2:
            raise InputError(f"coalitions by size need two players or more, not {self.n}")

    @property
    def draws(self) -> None:
        """How many draws there are; None for no end of them."""
        return None

    @property
    def per_draw(self) -> int:
        """The most coalitions in a draw."""
        return A_TIME

    @property
    def least(self) -> int:
        """Draws before a standard error is worth anything."""
        return 16

    def walks(self, number: int) -> list[Walk]:
        """The coalitions of a draw."""
        return [[(np.flatnonzero(row), NOBODY)] for row in self.members(number)]

    def members(self, number: int) -> NDArray[np.bool_]:
        """Who is in each coalition of a draw, ``(64, n)``."""
        random = np.random.default_rng([self.seed, number])
        members = np.zeros((A_TIME, self.n), dtype=np.bool_)
        for row, size in zip(members, self._sizes(random), strict=True):
            # Of a size above one half, those who stay out are drawn: the same law with fewer draws.
            few = min(size, self.n - size)
            row[random.choice(self.n, few, replace=False, shuffle=False)] = True
            if few != size:
                np.logical_not(row, out=row)
        return members

    def _sizes(self, random: np.random.Generator) -> NDArray[np.int64]:
        """Sizes of a draw's coalitions: evenly spaced over what is to be drawn of each, from a random start."""
        at = (np.arange(A_TIME) + random.random()) / A_TIME
        sizes = 1 + np.searchsorted(np.cumsum(self._chances), at, side="right")
        return np.minimum(sizes, self._largest)

    @cached_property
    def _shares(self) -> NDArray[np.float64]:
        return size_shares(self.n, self.semivalue)

    @cached_property
    def _chances(self) -> NDArray[np.float64]:
        """The chance of each size from 1 to n - 1: the best there is when utilities of all sizes spread alike."""
        size = np.arange(1, self.n)
        spread = self._shares[:-1] ** 2 / size + self._shares[1:] ** 2 / (self.n - size)
        return np.asarray(np.sqrt(spread) / np.sqrt(spread).sum())

    @cached_property
    def _largest(self) -> int:
        return 1 + int(np.flatnonzero(self._chances)[-1])

    @cached_property
    def _weights(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What a coalition of each size from 1 to n - 1 counts for its members and, taken off, for the others."""
        size = np.arange(1, self.n)
        drawn = np.where(self._chances > 0, self._chances, np.inf)  # a size that is never drawn counts nothing
        inside = self._shares[:-1] * self.n / size / drawn
        outside = self._shares[1:] * self.n / (self.n - size) / drawn
        return inside, outside

    def estimate(self, utilities: Sequence[NDArray[np.float64]], floor: float, full: float) -> Estimate:
        """The values; see :meth:`Plan.estimate`."""
        found = np.concatenate(utilities)
        sizes = np.concatenate([self._sizes(np.random.default_rng([self.seed, k])) for k in range(len(utilities))])
        folds = np.repeat(np.arange(len(utilities)) % _FOLDS, A_TIME)
        predictions = _Predictions.of(self, found, sizes, folds, floor, full)
        inside, outside = self._weights
        ends = self._shares[-1] * full - self._shares[0] * floor
        total, squares = np.zeros(self.n), np.zeros(self.n)
        for number, members in enumerate(self._all_members(len(utilities))):
            fold, rows = number % _FOLDS, slice(number * A_TIME, (number + 1) * A_TIME)
            size = sizes[rows]
            rest = found[rows] - predictions.of_coalitions(members, size, fold)
            added = (
                np.where(members, inside[size - 1, np.newaxis], -outside[size - 1, np.newaxis]) * rest[:, np.newaxis]
            )
            # Coalitions of a draw share a random start of sizes only: a draw is one observation, its mean.
            drawn = added.mean(axis=0) + predictions.of_players(fold) + ends
            total += drawn
            squares += drawn**2
        count = len(utilities)
        values = total / count
        if count < 2:
            return Estimate(values, np.full(self.n, np.nan))
        return Estimate(values, np.sqrt(np.maximum(squares / count - values**2, 0.0) / (count - 1)))

    def _all_members(self, count: int) -> Iterator[NDArray[np.bool_]]:
        return (self.members(number) for number in range(count))


@dataclass(frozen=True, eq=False)
class _Predictions:
    """What a coalition is worth by its size and its members, fitted for each fold on the other folds.

    Args:
        by_size: For sizes 0 to n, one row a fold, ``(folds, n + 1)``.
        by_player: What each member adds to a coalition of one, one row a fold, ``(folds, n)``.
        shares: Of sizes by the semivalue, ``(n,)``.
    """

    by_size: NDArray[np.float64]
    by_player: NDArray[np.float64]
    shares: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        plan: Strata,
        found: NDArray[np.float64],
        sizes: NDArray[np.int64],
        folds: NDArray[np.int64],
        floor: float,
        full: float,
    ) -> _Predictions:
        n = plan.n
        by_size = np.stack([_by_size(n, found[folds != f], sizes[folds != f], floor, full) for f in range(_FOLDS)])
        by_player = np.zeros((_FOLDS, n))
        if n <= _MOST_ADJUSTED and found.size >= _LEAST_ADJUSTED * n and found.size > 2 * _FOLDS * A_TIME:
            by_player = cls._fit_players(plan, found, sizes, by_size)
        return cls(by_size, by_player, plan._shares)

    @staticmethod
    def _fit_players(
        plan: Strata, found: NDArray[np.float64], sizes: NDArray[np.int64], by_size: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Ridge regressions on who is in, the penalty by how much members explain (see _ridge)."""
        n, draws = plan.n, found.size // A_TIME
        # Single precision is plenty: coefficients need only be the same wherever they are used.
        gram, count = np.zeros((_FOLDS, n, n), dtype=np.float32), np.zeros(_FOLDS)
        cross, square = np.zeros((_FOLDS, _FOLDS, n)), np.zeros((_FOLDS, _FOLDS))  # by the fit's fold, then the draw's
        for fold in range(_FOLDS):
            own = range(fold, draws, _FOLDS)
            for some in (own[start : start + _A_BATCH] for start in range(0, len(own), _A_BATCH)):
                rows = np.concatenate([np.arange(number * A_TIME, (number + 1) * A_TIME) for number in some])
                columns = _centred(np.concatenate([plan.members(number) for number in some]), sizes[rows])
                rest = found[rows] - by_size[:, sizes[rows]]  # as each fold's own curve leaves it
                single = columns.astype(np.float32)
                gram[fold] += single.T @ single
                cross[:, fold] += rest @ columns
                square[:, fold] += (rest**2).sum(axis=1)
                count[fold] += rows.size
        fitted = np.zeros((_FOLDS, n))
        for fold in range(_FOLDS):
            others = np.arange(_FOLDS) != fold
            fitted[fold] = _ridge(
                gram[others].sum(axis=0, dtype=np.float64),
                cross[fold, others].sum(axis=0),
                float(square[fold, others].sum()),
                float(count[others].sum()),
            )
        return fitted

    def of_coalitions(self, members: NDArray[np.bool_], sizes: NDArray[np.int64], fold: int) -> NDArray[np.float64]:
        """The predicted utilities, by a fold's fit."""
        return np.asarray(self.by_size[fold, sizes] + _centred(members, sizes) @ self.by_player[fold])

    def of_players(self, fold: int) -> NDArray[np.float64]:
        """What the prediction gives each player, by the same weighted mean over all coalitions of sizes 1 to n - 1."""
        n = self.shares.size
        size = np.arange(1, n)
        inside, outside = self.shares[:-1], self.shares[1:]
        evenly = ((inside - outside) * self.by_size[fold, 1:-1]).sum()
        own = self.by_player[fold]
        others = (own.sum() - own) / (n - 1)
        slope = ((inside * (1 - size / n) + outside * (size / n)) / np.sqrt(size)).sum()
        return np.asarray(evenly + slope * (own - others))


def _centred(members: NDArray[np.bool_], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Who is in, less the share who are; a member matters less the more there are."""
    share = (sizes / members.shape[1])[:, np.newaxis]
    return np.asarray((members - share) / np.sqrt(sizes)[:, np.newaxis])


def _by_size(
    n: int, found: NDArray[np.float64], sizes: NDArray[np.int64], floor: float, full: float
) -> NDArray[np.float64]:
    """The mean utility of each size 0 to n: straight lines between means of groups of like sizes."""
    ends = np.array([0.0, n]), np.array([floor, full])
    if not found.size:
        return np.asarray(np.interp(np.arange(n + 1), *ends))
    edges = np.unique(np.round(_spaced(n)).astype(np.int64))
    group = np.searchsorted(edges, sizes, side="right")
    held = np.bincount(group, minlength=edges.size + 1)
    kept = held > 0
    at = np.bincount(group, weights=sizes, minlength=edges.size + 1)[kept] / held[kept]
    mean = np.bincount(group, weights=found, minlength=edges.size + 1)[kept] / held[kept]
    return np.asarray(
        np.interp(np.arange(n + 1), np.concatenate([[0], at, [n]]), np.concatenate([[floor], mean, [full]]))
    )


def _spaced(n: int) -> NDArray[np.float64]:
    """Edges of groups of sizes, close at both ends, where utilities change fastest."""
    half = np.geomspace(1, max(n / 2, 1), 12)
    return np.concatenate([half, n - half])


def _ridge(gram: NDArray[np.float64], cross: NDArray[np.float64], square: float, count: float) -> NDArray[np.float64]:
    """Ridge coefficients, with the penalty that suits how much there is to explain; zero if that is nothing.

    With coefficients of variance t and noise of variance s, the sum of squares has mean ``t tr(G) + m s`` and that of
    the cross products ``t tr(G G) + s tr(G)``. The two give t and s, and the penalty is s / t.
    """
    trace, frobenius = float(np.trace(gram)), float((gram**2).sum())
    solved = frobenius * count - trace**2
    signal = (float(cross @ cross) * count - square * trace) / solved if solved > 0 else 0.0
    noise = (square - signal * trace) / count
    if signal <= 0:
        return np.zeros(cross.size)
    penalty = max(noise / signal, 1e-9 * trace / cross.size)
    return np.asarray(np.linalg.solve(gram + penalty * np.eye(cross.size), cross))
