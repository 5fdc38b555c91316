"""KNN-Shapley values, both games, from label matches sorted nearest first.

With K neighbours voting, a row's value to a validation point depends on its own rank and on the ranks of the
matches (rows of the point's label) behind it:

    value(i) = a_i / max(K, i)  -  sum over matches j > i, j > K of 1 / (j (j - 1))        (i, j: ranks from 1)

That is the game that divides votes by K. The game that divides by min(K, |S|) differs from it by a constant
for matches and one for the others (:func:`soft_from_fixed`), so one sort serves both. A row that is no match
needs no rank at all, only the number of matches nearer than it: matches are sorted into buckets by distance,
and every other row looks up its place among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dataworth.kernels.neighbors import DType, Judges, Rows, product_jobs, products, settle_ties
from dataworth.kernels.sorting import sort_stably
from dataworth.kernels.team import Tick, add_in_order, blocks

__all__ = ["knn_jobs", "knn_values", "soft_from_fixed", "soft_gifts"]

U32 = np.uint32
U64 = np.uint64

# How many validation points one accumulator takes before it joins the total; fixed, so that sums do not
# depend on the number of threads.
_GROUP = 8
# Memory for the distances held at once.
_PANEL_BYTES = 64 * 2**20
# Buckets a match: more make fuller buckets rarer and the table of buckets larger.
_SPREAD = 4


def knn_values(
    rows: Rows,
    judges: Judges,
    point_codes: NDArray[np.int64],
    k: int,
    *,
    threads: int = 1,
    tick: Tick | None = None,
) -> NDArray[np.float64]:
    """Values summed over validation points in the game that divides by K (Jia et al., PVLDB 2019, Theorem 1).

    Rows are ranked by screened distance. In float32, rows that the rounding bound cannot tell apart are
    ranked by :func:`~dataworth.kernels.neighbors.pair_distance` among the nearest ``2 k + 16``, more in
    few dimensions; in float64, everywhere. Equal distances rank in the order of the rows as given. A swap of
    neighbours at ranks j and j + 1 beyond K moves two values by 1 / (j (j + 1)) for that one point.

    Args:
        rows: Training rows.
        judges: Validation points.
        point_codes: Class of each validation point, ``(n_validation,)``.
        k: How many nearest rows vote.
        threads: How many threads share the work; the result is the same for any number.
        tick: Called with 1 after each job; there are :func:`knn_jobs` of them.

    Returns:
        float64 ``(n_train,)``, in the order given to ``prepare``. Right for fewer rows than k too.
    """
    n = len(rows)
    if n <= k:  # every row always votes: its value is its own vote
        counts = np.bincount(point_codes, minlength=len(rows.starts) - 1).astype(np.float64)
        return rows.unsort(counts[rows.codes] / k)
    total = np.zeros(n)
    vote = 1.0 / np.maximum(k, np.arange(n + 1))
    recheck = n if rows.x.dtype == np.float64 else min(n, 2 * k + max(16, 4096 // rows.x.shape[1]))
    workers = [_Workspace.of(rows) for _ in range(threads)]

    panels = _panels(n, len(point_codes), rows.x.itemsize)
    memory = np.empty((panels[0][1], n), dtype=rows.x.dtype)

    def add_panel(first: int, past: int) -> None:
        panel = products(rows, judges.take(first, past), threads=threads, tick=tick, out=memory[: past - first])
        groups = blocks(past - first, _GROUP)

        def group(worker: int, number: int, sums: NDArray[np.float64]) -> None:
            for z in range(*groups[number]):
                _add_point(rows, judges, first + z, panel[z], recheck, vote, workers[worker], sums)

        add_in_order(group, len(groups), total, threads, tick)

    for first, past in panels:
        add_panel(first, past)
    return rows.unsort(total)


def knn_jobs(n_train: int, n_validation: int, k: int, dtype: DType) -> int:
    """How many times :func:`knn_values` ticks."""
    if n_train <= k:
        return 0
    return sum(
        product_jobs(n_train, z1 - z0) + len(blocks(z1 - z0, _GROUP))
        for z0, z1 in _panels(n_train, n_validation, np.dtype(dtype).itemsize)
    )


def soft_from_fixed(
    fixed: NDArray[np.float64],
    codes: NDArray[np.int64],
    point_codes: NDArray[np.int64],
    k: int,
    n_classes: int,
) -> NDArray[np.float64]:
    """Values in the game that divides by min(K, |S|) (Wang and Jia 2023) from those in the game that divides by K.

    The two differ by ``(H_K - 1) / (n - 1) (a_i - matches / n) - 1 / (C n)`` a validation point.

    Args:
        fixed: From :func:`knn_values` with ``min(k, n)`` neighbours, summed over validation points, ``(n,)``.
        codes: Class of each training row, -1 for a label that is no class, ``(n,)``.
        point_codes: Class of each validation point.
        k: How many nearest rows vote.
        n_classes: How many classes an empty coalition guesses among.
    """
    rows_of = np.bincount(codes[codes >= 0], minlength=n_classes)
    gift, guess = soft_gifts(rows_of, len(fixed), point_codes, k)
    return fixed + gift[codes] - guess


def soft_gifts(
    rows_of: NDArray[np.int64], n: int, point_codes: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float64], float]:
    """By what the game that divides by min(K, |S|) exceeds the one that divides by K: it takes counts of labels alone.

    Args:
        rows_of: How many training rows each class has, ``(n_classes,)``.
        n: How many training rows there are, those of no class included.
        point_codes: Class of each validation point.
        k: How many nearest rows vote.

    Returns:
        What to add to a row's value, by its class, ``(n_classes + 1,)`` with the last for a label that is no class;
        and what to take from every row's value after that. Both are sums over validation points.

    Example:
        >>> import numpy as np
        >>> soft_gifts(np.array([1, 1]), 2, np.array([0]), 2)
        (array([ 0.25, -0.25, -0.25]), 0.25)
    """
    points_of = np.append(np.bincount(point_codes, minlength=len(rows_of)), 0)  # the last entry is for code -1
    gain = float(np.sum(1.0 / np.arange(2, min(k, n) + 1))) / max(n - 1, 1)
    matches = float(rows_of[point_codes].sum())
    return gain * (points_of - matches / n), len(point_codes) / (len(rows_of) * n)


def _panels(n_train: int, n_validation: int, itemsize: int) -> list[tuple[int, int]]:
    """Ranges of validation points whose distances are held at once: multiples of a group, within memory."""
    fit = _PANEL_BYTES // (itemsize * n_train) // _GROUP * _GROUP
    return blocks(n_validation, max(_GROUP, min(256, fit)))


@dataclass(frozen=True, eq=False)
class _Workspace:
    """What one thread needs to rank one validation point at a time."""

    bucket: NDArray[np.uint32]  # distance bucket of each row, (n,)
    place: NDArray[np.uint32]  # how many matches are nearer than each row, (n,)
    ends: NDArray[np.uint32]  # where each bucket of sorted matches ends
    key: NDArray[Any]  # distances of the matches, sorted, and a guard
    who: NDArray[np.uint32]  # which match each key belongs to
    behind: NDArray[np.uint32]  # how many other rows fall between sorted matches, then ranks of matches
    tail: NDArray[np.float64]  # what the matches behind a place take from a row there

    @classmethod
    def of(cls, rows: Rows) -> _Workspace:
        n, most = len(rows), int(np.diff(rows.starts).max())
        return cls(
            bucket=np.empty(n, np.uint32),
            place=np.empty(n, np.uint32),
            ends=np.empty(_SPREAD * most + 4, np.uint32),
            key=np.empty(most + 1, rows.x.dtype),
            who=np.empty(most, np.uint32),
            behind=np.empty(most + 1, np.uint32),
            tail=np.empty(most + 1),
        )


def _add_point(
    rows: Rows,
    judges: Judges,
    z: int,
    gaps: NDArray[Any],
    recheck: int,
    vote: NDArray[np.float64],
    own: _Workspace,
    sums: NDArray[np.float64],
) -> None:
    """Add every row's value to one validation point.

    Three compiled calls rather than one: compiled as one, the loops lose half their speed.
    """
    a, b = judges.same_from[z], judges.same_to[z]
    if a == b:
        return  # no row matches, so no row is worth anything to this point
    settle_ties(gaps, recheck, rows, judges, z, own.place)
    low, high = _where_most_lie(gaps[a:b])
    _rank_matches(gaps, a, b, low, high, rows.order, own.bucket, own.place, own.ends, own.key, own.who, own.behind)
    _add_ranked(a, b, vote, sums, own.place, own.who, own.behind, own.tail)


def _where_most_lie(gaps: NDArray[Any]) -> tuple[Any, Any]:
    """A range that holds nearly all of the gaps, judged by a sample, so that a far outlier does not stretch it."""
    sample = np.sort(gaps[:: max(1, gaps.size // 64)])
    quarter, three_quarters = sample[sample.size // 4], sample[3 * sample.size // 4]
    reach = 3 * (three_quarters - quarter)
    return quarter - reach, three_quarters + reach


@njit(nogil=True, cache=True)
def _rank_matches(gaps, a, b, low, high, order, bucket, place, ends, key, who, behind):  # type: ignore[no-untyped-def]
    """Sort the matches a..b by distance (``who``), find their ranks (``behind``), place all others among them."""
    n = b - a
    matches = order[a:b]
    top = _assign_buckets(gaps, gaps[a:b], low, high, bucket)
    key = key[: n + 1]
    ends = ends[: U64(top) + U64(3)]
    _sort_matches(gaps[a:b], bucket[a:b], ends, key, who)
    for j in range(n + 1):
        behind[j] = 0
    _look_up(gaps[:a], bucket[:a], order[:a], matches, ends, key, who, place[:a], behind)
    _look_up(gaps[b:], bucket[b:], order[b:], matches, ends, key, who, place[b:], behind)
    rank = U32(0)
    for j in range(n):
        rank += behind[j] + U32(1)
        behind[j] = rank


@njit(nogil=True, cache=True)
def _add_ranked(a, b, vote, sums, place, who, rank, tail):  # type: ignore[no-untyped-def]
    """The formula at the top of this file, from the ranks of the matches and the places of the others."""
    matches = sums[a:b]
    j = U64(b - a)
    taken = 0.0
    tail[j] = 0.0
    while j > U64(0):
        j -= U64(1)
        r = U64(rank[j])
        own = vote[r]
        matches[U64(who[j])] += own - taken
        taken += vote[r - U64(1)] - own  # 1 / (r (r - 1)) for a rank beyond K, else 0
        tail[j] = taken
    _take(sums[:a], place[:a], tail)
    _take(sums[b:], place[b:], tail)


@njit(nogil=True, cache=True)
def _take(sums, place, tail):  # type: ignore[no-untyped-def]
    for i in range(sums.shape[0]):
        sums[i] -= tail[place[i]]


@njit(nogil=True, cache=True)
def _assign_buckets(gaps, matches, low, high, bucket):  # type: ignore[no-untyped-def]
    """Buckets of equal width over the matches from low to high, all else in the end ones; returns the last bucket."""
    real = gaps.dtype.type
    n = matches.shape[0]
    least = matches[0]
    most = matches[0]
    for i in range(n):
        v = matches[i]
        least = v if v < least else least
        most = v if v > most else most
    if low < high:
        least = max(least, low)
        most = min(most, high)
    top = U32(min(_SPREAD * n, 1 << 24))  # numbers of buckets must be exact in float32
    wide = np.float64(most) - np.float64(least)
    scale = real(0.0)
    if wide > np.float64(top) * 1e-30:
        scale = real(np.float64(top) / wide)
    limit = real(top)
    zero = real(0.0)
    for i in range(gaps.shape[0]):
        at = (gaps[i] - least) * scale
        at = at if at > zero else zero
        at = at if at < limit else limit
        bucket[i] = U32(np.int32(at))
    return top


@njit(nogil=True, cache=True)
def _sort_matches(gaps, bucket, ends, key, who):  # type: ignore[no-untyped-def]
    """Counting sort by bucket, then by distance inside each bucket; equal distances keep their order."""
    n = U64(gaps.shape[0])
    one = U64(1)
    for j in range(ends.shape[0]):
        ends[j] = 0
    ahead = ends[2:]
    for i in range(gaps.shape[0]):
        ahead[bucket[i]] += U32(1)
    most = U32(0)
    filled = U32(0)
    for j in range(ends.shape[0]):
        most = max(most, ends[j])
        filled += ends[j]
        ends[j] = filled
    start = ends[1:]
    for i in range(gaps.shape[0]):
        at = start[bucket[i]]
        start[bucket[i]] = at + U32(1)
        key[at] = gaps[i]
        who[at] = U32(i)
    if most > U32(32):
        _sort_full_buckets(ends, key, who)
    j = one
    while j < n:  # insertion sort: nothing moves further than its bucket, and full buckets are sorted already
        v = key[j]
        if key[j - one] > v:
            w = who[j]
            p = j
            while p > U64(0) and key[p - one] > v:
                key[p] = key[p - one]
                who[p] = who[p - one]
                p -= one
            key[p] = v
            who[p] = w
        j += one
    key[n] = np.inf


@njit(nogil=True, cache=True)
def _sort_full_buckets(ends, key, who):  # type: ignore[no-untyped-def]
    """Sort buckets too full for insertion sort; equal distances keep their order."""
    spare_key = np.empty_like(key)
    spare_who = np.empty_like(who)
    for j in range(ends.shape[0] - 1):
        first, last = ends[j], ends[j + 1]
        if last - first > U32(32):
            sort_stably(key[first:last], who[first:last], spare_key, spare_who)


@njit(nogil=True, cache=True)
def _look_up(gaps, bucket, order, matches, ends, key, who, place, behind):  # type: ignore[no-untyped-def]
    """How many sorted matches are nearer than each of these rows, counted by place in ``behind``."""
    for i in range(gaps.shape[0]):
        k = U64(bucket[i])
        first = ends[k]
        last = ends[k + U64(1)]
        v = gaps[i]
        nearest = key[first]  # the guard makes this right for an empty last bucket
        p = first + (U32(first < last) & U32(nearest < v))
        if (last > first + U32(1)) or (nearest == v):  # rare: several matches in the bucket, or a tie
            p = first
            if last - first > U32(8):
                end = last
                while p < end:
                    middle = (p + end) >> U32(1)
                    x = key[middle]
                    if x < v or (x == v and matches[U64(who[middle])] < order[i]):
                        p = middle + U32(1)
                    else:
                        end = middle
            else:  # counting is quicker than branching while there are few
                j = first
                while j < last:
                    p += U32(key[j] < v)
                    j += U32(1)
                while p < last and key[p] == v and matches[U64(who[p])] < order[i]:
                    p += U32(1)
        behind[p] += U32(1)
        place[i] = p
