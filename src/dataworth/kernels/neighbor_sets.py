"""The k nearest rows of any subset of rows, from one ranking of them all: each row that comes or goes costs a glance.

For every point the rows are ranked by distance once. The nearest k of a subset are the first k of its members in that
ranking, so it is enough to know where the last of them stands: who joins behind it changes nothing, and who joins or
leaves before it moves it by one member.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["NeighborSets"]


class NeighborSets:
    """Votes of the k nearest members for every point; with fewer than k members, all of them vote.

    Equally near rows count in their order. Distances are euclidean, each summed from squared differences, so equal
    rows are equally near to the last bit.

    Args:
        x: Rows, finite, ``(n, d)``.
        codes: Their classes, ``(n,)``.
        judges: Points, ``(m, d)``.
        judge_codes: Their classes, ``(m,)``.
        n_classes: How many classes there are.
        k: How many rows vote, at least 1.

    Example:
        >>> x = np.array([[0.0], [1.0], [2.0]])
        >>> sets = NeighborSets(x, np.array([0, 1, 1]), np.array([[0.1]]), np.array([1]), 2, 1)
        >>> sets.join(np.array([1, 2]))
        >>> sets.right()
        1
        >>> sets.join(np.array([0]))
        >>> sets.right()
        0
    """

    def __init__(
        self,
        x: NDArray[np.float64],
        codes: NDArray[np.int64],
        judges: NDArray[np.float64],
        judge_codes: NDArray[np.int64],
        n_classes: int,
        k: int,
    ) -> None:
        n, m = len(x), len(judges)
        self._codes, self._judge_codes, self._k = codes, judge_codes, k
        self._order: NDArray[np.int32] = np.empty((m, n), dtype=np.int32)  # rows by rank
        for point in range(m):
            self._order[point] = np.argsort(_squares(x, judges[point]), kind="stable")
        self._places: NDArray[np.int32] = np.empty((n, m), dtype=np.int32)  # ranks by row
        _invert(self._order, self._places)
        self._members: NDArray[np.bool_] = np.zeros(n, dtype=np.bool_)
        self._size = 0
        self._votes: NDArray[np.int32] = np.zeros((m, n_classes), dtype=np.int32)
        self._voters: NDArray[np.int32] = np.zeros(m, dtype=np.int32)
        self._last: NDArray[np.int32] = np.full(m, -1, dtype=np.int32)  # the rank of the last who votes

    def clear(self) -> None:
        """No members."""
        self._members[:] = False
        self._size = 0
        self._votes[:] = 0
        self._voters[:] = 0
        self._last[:] = -1

    def join(self, rows: NDArray[np.int64]) -> None:
        """Rows that are no members become members."""
        if self._many(rows.size, self._size + rows.size):
            self._members[rows] = True
            self._scan()
        else:
            _join(
                rows,
                self._k,
                self._codes,
                self._order,
                self._places,
                self._members,
                self._votes,
                self._voters,
                self._last,
            )
        self._size += rows.size

    def leave(self, rows: NDArray[np.int64]) -> None:
        """Rows that are members no longer are."""
        if self._many(rows.size, self._size - rows.size):
            self._members[rows] = False
            self._scan()
        else:
            _leave(rows, self._codes, self._order, self._places, self._members, self._votes, self._voters, self._last)
        self._size -= rows.size

    def _many(self, moved: int, left: int) -> bool:
        """Whether looking for the first k members anew takes fewer steps for each point than rows that move."""
        return moved * max(left, 1) > self._k * self._members.size

    def _scan(self) -> None:
        _scan(self._k, self._codes, self._order, self._members, self._votes, self._voters, self._last)

    def right(self) -> int:
        """How many points get the most votes for their own class, of equal ones the first class."""
        return int(_right(self._votes, self._judge_codes))


@njit(nogil=True, cache=True)
def _squares(x, point):  # type: ignore[no-untyped-def]
    found = np.empty(x.shape[0])
    for row in range(x.shape[0]):
        total = 0.0
        for j in range(x.shape[1]):
            gap = x[row, j] - point[j]
            total += gap * gap
        found[row] = total
    return found


@njit(nogil=True, cache=True)
def _invert(order, places):  # type: ignore[no-untyped-def]
    for point in range(order.shape[0]):
        for rank in range(order.shape[1]):
            places[order[point, rank], point] = rank


@njit(nogil=True, cache=True)
def _before(ranked, members, rank):  # type: ignore[no-untyped-def]
    """The last member before a rank; -1 if there is none."""
    rank -= 1
    while rank >= 0 and not members[ranked[rank]]:
        rank -= 1
    return rank


@njit(nogil=True, cache=True)
def _join(rows, k, codes, order, places, members, votes, voters, last):  # type: ignore[no-untyped-def]
    for at in range(rows.size):
        row = rows[at]
        members[row] = True
        for point in range(order.shape[0]):
            rank = places[row, point]
            if voters[point] < k:
                voters[point] += 1
                votes[point, codes[row]] += 1
                last[point] = max(last[point], rank)
            elif rank < last[point]:
                votes[point, codes[row]] += 1
                votes[point, codes[order[point, last[point]]]] -= 1
                last[point] = _before(order[point], members, last[point])


@njit(nogil=True, cache=True)
def _leave(rows, codes, order, places, members, votes, voters, last):  # type: ignore[no-untyped-def]
    n = order.shape[1]
    for at in range(rows.size):
        row = rows[at]
        members[row] = False
        for point in range(order.shape[0]):
            rank = places[row, point]
            if rank > last[point]:
                continue
            votes[point, codes[row]] -= 1
            after = last[point] + 1
            while after < n and not members[order[point, after]]:
                after += 1
            if after < n:
                votes[point, codes[order[point, after]]] += 1
                last[point] = after
            else:
                voters[point] -= 1
                if rank == last[point]:
                    last[point] = _before(order[point], members, rank)


@njit(nogil=True, cache=True)
def _scan(k, codes, order, members, votes, voters, last):  # type: ignore[no-untyped-def]
    for point in range(order.shape[0]):
        votes[point] = 0
        voters[point] = 0
        last[point] = -1
        for rank in range(order.shape[1]):
            row = order[point, rank]
            if members[row]:
                votes[point, codes[row]] += 1
                voters[point] += 1
                last[point] = rank
                if voters[point] == k:
                    break


@njit(nogil=True, cache=True)
def _right(votes, judge_codes):  # type: ignore[no-untyped-def]
    right = 0
    for point in range(votes.shape[0]):
        chosen = 0
        for code in range(1, votes.shape[1]):
            if votes[point, code] > votes[point, chosen]:
                chosen = code
        right += chosen == judge_codes[point]
    return right
