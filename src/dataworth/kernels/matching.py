"""Which training rows are nearest to what a generative model made, and how its worth is divided among them.

Whom a generated item is matched with is a pure function of that item and the training rows: no tile, thread, panel or
other generated item has a say. Float32 products only screen. Every row that rounding could place among the k nearest
is measured by :func:`~dataworth.kernels.neighbors.pair_distance`, and rows rank by (distance, position).

Credit is divided in whole steps of the last binary digit of the item's worth, so that the shares of one item add up
to it exactly, and sums of shares are rounded once, so that the order of items, batches and parts changes no bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dataworth.errors import InputError
from dataworth.kernels.neighbors import Judges, Metric, Rows, _count_bound, _distance, _dot, _lengths, check_directions
from dataworth.kernels.sorting import select, sort_stably
from dataworth.kernels.team import Tick, blocks, run

__all__ = ["add_credit", "credit", "distances_at", "keep_nearest", "nearest", "nearest_jobs"]

# A tile of float32 products fills about half of a core's second-level cache.
_POINTS = 256
_ROWS = 512
# Products that are looked at together to see whether any of them matters.
_BLOCK = 64
# Few points are spread over parts of the rows, so that many threads have something to do.
_LEAST_JOBS = 64
# Generated items whose candidates are held at once.
_PANEL = 64 * _POINTS
# Memory, for each thread, of the products of items that need a full look.
_LOOK_BYTES = 32 * 2**20


# -- the k nearest ---------------------------------------------------------------------------------


def nearest(
    rows: Rows, judges: Judges, k: int, *, threads: int, tick: Tick | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k nearest rows of every point, exactly: by float64 distance, equal distances by position.

    Each point keeps the rows of least screened gap, more than k of them. Those within the rounding bound of the k-th
    least gap are measured in float64. If the gaps that were let go all lie beyond that bound, no row let go can be
    among the k nearest; where they do not (near ties, duplicates), that point looks at all rows again.

    Args:
        rows: Training rows from :func:`~dataworth.kernels.neighbors.prepare`.
        judges: The points, from ``Judges.ready``.
        k: How many, from 1 to the number of rows.
        threads: How many threads share the work; the result is the same for any number.
        tick: Called with 1 after each job; there are :func:`nearest_jobs` of them.

    Returns:
        Positions in the order the rows were given, int64 ``(m, k)``, nearest first, and their distances in the
        metric's unit, float64 ``(m, k)``.

    Raises:
        InputError: k is out of range.

    Example:
        >>> import numpy as np
        >>> from dataworth.kernels.neighbors import prepare
        >>> rows = prepare(np.array([[0.0], [3.0], [1.0]]), np.zeros(3, dtype=np.int64), 1, "euclidean")
        >>> points = Judges.ready(rows, np.array([[0.75]]), np.zeros(1, dtype=np.int64), None)
        >>> nearest(rows, points, 2, threads=1)
        (array([[2, 0]]), array([[0.25, 0.75]]))
    """
    n, m = len(rows), len(judges)
    if not 1 <= k <= n:
        raise InputError(f"k must be from 1 to {n:,}, the number of rows to match with, not {k}")
    at, distance = np.empty((m, k), dtype=np.int64), np.empty((m, k))
    scratch = [np.empty((min(m, _POINTS), min(n, _ROWS)), dtype=rows.x.dtype) for _ in range(threads)]
    for z0, z1 in blocks(m, _PANEL):
        _match_panel(rows, judges.take(z0, z1), at[z0:z1], distance[z0:z1], scratch, tick)
    return at, distance


def nearest_jobs(n_train: int, n_points: int) -> int:
    """How many times :func:`nearest` ticks."""
    panels = [z1 - z0 for z0, z1 in blocks(n_points, _PANEL)]
    return sum(len(blocks(m, _POINTS)) * (len(_parts(n_train, m)) + 1) for m in panels)


def _parts(n: int, m: int) -> list[tuple[int, int]]:
    """Ranges of rows that are screened apart: one if there are points enough to keep many threads busy."""
    wanted = -(-_LEAST_JOBS // max(1, len(blocks(m, _POINTS))))
    return blocks(n, max(-(-n // wanted), 8 * _ROWS))


@dataclass(frozen=True, eq=False)
class _Lists:
    """Candidates of each point from each part of the rows: those of least screened gap, in the order of the rows.

    Args:
        gap: Screened gaps, ``(n_parts, m, room)``.
        row: Which rows, ``(n_parts, m, room)``.
        count: How many there are, ``(n_parts, m)``.
        limit: No row of the part that is not listed has a gap below this, ``(n_parts, m)``.
        keep: How many a full list is cut back to.
    """

    gap: NDArray[Any]
    row: NDArray[np.uint32]
    count: NDArray[np.int64]
    limit: NDArray[Any]
    keep: int

    @classmethod
    def empty(cls, n_parts: int, m: int, k: int, dtype: np.dtype[Any]) -> _Lists:
        keep = k + k // 4 + 8
        shape = (n_parts, m, 2 * keep + 24)
        limit = np.full((n_parts, m), np.inf, dtype=dtype)
        return cls(np.empty(shape, dtype), np.empty(shape, np.uint32), np.zeros((n_parts, m), np.int64), limit, keep)


def _match_panel(
    rows: Rows,
    judges: Judges,
    at: NDArray[np.int64],
    distance: NDArray[np.float64],
    scratch: list[NDArray[Any]],
    tick: Tick | None,
) -> None:
    m, k = at.shape
    parts, groups = _parts(len(rows), m), blocks(m, _POINTS)
    apart = len(scratch) > 1  # one thread goes through the parts in order, and goes on with the same list
    lists = _Lists.empty(len(parts) if apart else 1, m, k, rows.x.dtype)

    def screen(worker: int, number: int) -> None:
        (z0, z1), part = groups[number // len(parts)], number % len(parts)
        own = part if apart else 0
        memory = scratch[worker].reshape(-1)
        # What another part has found so far bounds this one too; how far it has come changes no result.
        lists.limit[own, z0:z1] = lists.limit[:, z0:z1].min(axis=0)
        for i0, i1 in blocks(parts[part][1] - parts[part][0], _ROWS):
            a, b = parts[part][0] + i0, parts[part][0] + i1
            products = memory[: (z1 - z0) * (b - a)].reshape(z1 - z0, b - a)
            np.dot(judges.x[z0:z1], rows.x[a:b].T, out=products)
            _screen(
                products, rows.half[a:b], a, lists.keep, lists.gap[own, z0:z1], lists.row[own, z0:z1],
                lists.count[own, z0:z1], lists.limit[own, z0:z1],
            )  # fmt: skip

    def decide(_: int, number: int) -> None:
        z0, z1 = groups[number]
        unsure = np.zeros(z1 - z0, dtype=np.bool_)
        _decide_lists(
            lists.gap[:, z0:z1], lists.row[:, z0:z1], lists.count[:, z0:z1], lists.limit[:, z0:z1],
            *_of_rows(rows), *_of_points(judges.take(z0, z1)), rows.metric == "cosine",
            at[z0:z1], distance[z0:z1], unsure,
        )  # fmt: skip
        _look_again(rows, judges, z0 + np.flatnonzero(unsure), at, distance)

    run(screen, len(groups) * len(parts), len(scratch), tick)
    run(decide, len(groups), len(scratch), tick)


@njit(nogil=True, cache=True)
def _screen(products, half, first, keep, gap, row, count, limit):  # type: ignore[no-untyped-def]
    """Add the rows of a tile whose gaps are below the limit to the candidates of each point."""
    n = products.shape[1]
    gaps = np.empty(n, products.dtype)
    for z in range(products.shape[0]):
        g = products[z]
        below = limit[z]
        size = count[z]
        if below == np.inf:  # not one row after another until the list is full: first a bound from the whole tile
            for i in range(n):
                gaps[i] = half[i] - g[i]
            below = np.nextafter(_count_bound(gaps, keep), gaps.dtype.type(np.inf))
        for start in range(0, n, _BLOCK):
            hit = np.uint8(1)
            if start + _BLOCK <= n:  # a length known when compiled makes this loop eight times faster
                block = g[start : start + _BLOCK]
                lift = half[start : start + _BLOCK]
                hit = np.uint8(0)
                for i in range(_BLOCK):
                    hit |= np.uint8(lift[i] - block[i] < below)
            if hit:
                for i in range(start, min(start + _BLOCK, n)):
                    found = half[i] - g[i]
                    if found < below:
                        gap[z, size] = found
                        row[z, size] = np.uint32(first + i)
                        size += 1
                        if size == gap.shape[1]:
                            below = _cut_back(gap[z], row[z], keep)
                            size = keep
        count[z] = size
        limit[z] = below


@njit(nogil=True, cache=True)
def _cut_back(gap, row, keep):  # type: ignore[no-untyped-def]
    """Keep the least gaps of a full list, in their order; returns the greatest that was kept."""
    edge = select(gap.copy(), keep - 1)
    nearer = 0
    for j in range(gap.shape[0]):
        nearer += gap[j] < edge
    equal = keep - nearer
    size = 0
    for j in range(gap.shape[0]):
        here = gap[j] == edge and equal > 0
        if here:
            equal -= 1
        if here or gap[j] < edge:
            gap[size] = gap[j]
            row[size] = row[j]
            size += 1
    return edge


def _of_rows(rows: Rows) -> tuple[Any, ...]:
    return rows.order, rows.slack, rows.most_slack, rows.rounding, rows.source, rows.norm


def _of_points(judges: Judges) -> tuple[Any, ...]:
    return judges.slack, judges.energy, judges.source, judges.norm


@njit(nogil=True, cache=True)
def _decide_lists(  # type: ignore[no-untyped-def]
    gap, row, count, limit, order, slack, most_slack, rounding, source, norm,
    point_slack, point_energy, points, point_norm, cosine, at, distance, unsure,
):  # fmt: skip
    """Rank the candidates of each point; notes the points of which a row that is no candidate could be the match."""
    n_parts, m, room = gap.shape
    k = at.shape[1]
    all_gap, all_row = np.empty(n_parts * room, gap.dtype), np.empty(n_parts * room, row.dtype)
    for z in range(m):
        size = 0
        for part in range(n_parts):
            for j in range(count[part, z]):
                all_gap[size] = gap[part, z, j]
                all_row[size] = row[part, z, j]
                size += 1
        cutoff = select(all_gap[:size].copy(), k - 1)
        unsure[z] = not _decide(
            all_gap[:size], all_row[:size], limit[:, z].min(), cutoff,
            order, slack, most_slack, rounding, source, norm,
            point_slack[z], point_energy[z], points[z], point_norm[z], cosine, at[z], distance[z],
        )  # fmt: skip


@njit(nogil=True, cache=True)
def _decide(  # type: ignore[no-untyped-def]
    gap, row, limit, cutoff, order, slack, most_slack, rounding, source, norm,
    point_slack, point_energy, point, point_norm, cosine, at, distance,
):  # fmt: skip
    """Rank the candidates of one point in float64; False if a row that is no candidate could rank among them.

    At least k rows have screened gaps up to ``cutoff``, so no true gap of the k nearest exceeds c, the cutoff and the
    rounding of those rows and the point; and a row whose true gap does not is no longer than the point lets it be:
    from half |x|^2 - x.v <= c follows |x| <= |v| + sqrt(|v|^2 + 2 c). That limits its rounding, and so its screened
    gap, by ``edge``.
    """
    most = 0.0
    for j in range(gap.shape[0]):
        if gap[j] <= cutoff:
            most = max(most, slack[row[j]])
    c = np.float64(cutoff) + most + point_slack
    reach = np.sqrt(point_energy) + np.sqrt(max(point_energy + c, 0.0))
    most = max(most, min(most_slack, 1.01 * rounding * reach * reach))
    edge = np.nextafter(gap.dtype.type(np.float64(cutoff) + 2.0 * (most + point_slack)), gap.dtype.type(np.inf))
    if limit <= edge:
        return False
    m = 0
    for j in range(gap.shape[0]):
        m += gap[j] <= edge
    place = np.empty(m, np.int64)
    m = 0
    for j in range(gap.shape[0]):
        if gap[j] <= edge:
            place[m] = order[row[j]]
            m += 1
    place.sort()
    exact = np.empty(m)
    for j in range(m):
        exact[j] = _distance(source[place[j]], point, norm[place[j]], point_norm, cosine)
    sort_stably(exact, place, np.empty_like(exact), np.empty_like(place))
    for j in range(at.shape[0]):
        at[j] = place[j]
        distance[j] = exact[j]
    return True


def _look_again(
    rows: Rows, judges: Judges, who: NDArray[np.intp], at: NDArray[np.int64], distance: NDArray[np.float64]
) -> None:
    """Match some points with every row a candidate."""
    if not who.size:
        return
    n, k = len(rows), at.shape[1]
    everyone = np.arange(n, dtype=np.uint32)
    for a, b in blocks(len(who), max(1, _LOOK_BYTES // (n * rows.x.itemsize))):
        some = Judges(*(getattr(judges, field.name)[who[a:b]] for field in fields(judges)))
        gaps = some.x @ rows.x.T
        np.subtract(rows.half, gaps, out=gaps)
        for z, gap in enumerate(gaps):
            _decide(
                gap, everyone, gap.dtype.type(np.inf), np.partition(gap, k - 1)[k - 1],
                *_of_rows(rows), *(each[z] for each in _of_points(some)), rows.metric == "cosine",
                at[who[a + z]], distance[who[a + z]],
            )  # fmt: skip


# -- some pairs ------------------------------------------------------------------------------------


def distances_at(
    train_x: NDArray[Any], generated_x: NDArray[Any], at: NDArray[np.int64], metric: Metric, *, threads: int
) -> NDArray[np.float64]:
    """The :func:`~dataworth.kernels.neighbors.pair_distance` of every generated item to some training rows.

    Args:
        train_x: Rows as given, ``(n, d)``.
        generated_x: Generated items as given, ``(m, d)``.
        at: Positions in ``train_x``, ``(m, c)``; -1 for none.
        metric: ``"cosine"`` or ``"euclidean"``.
        threads: How many threads share the items.

    Returns:
        float64 ``(m, c)``, infinite where there is none.

    Raises:
        InputError: A position that is no row's.
        DataError: A zero row under cosine.

    Example:
        >>> import numpy as np
        >>> x = np.array([[0.0], [3.0]])
        >>> distances_at(x, np.array([[1.0]]), np.array([[1, -1]]), "euclidean", threads=1)
        array([[ 2., inf]])
    """
    at = np.asarray(at, dtype=np.int64)
    _check_positions(at, len(train_x))
    out = np.empty(at.shape)
    norm, point_norm = np.ones(len(train_x)), np.ones(len(generated_x))
    if metric == "cosine":
        _fill_lengths(train_x, at, norm)
        point_norm = _lengths(generated_x)
        check_directions(norm)
        check_directions(point_norm)
    parts = blocks(len(at), _POINTS)

    def part(_: int, number: int) -> None:
        a, b = parts[number]
        _measure(train_x, norm, generated_x[a:b], point_norm[a:b], at[a:b], metric == "cosine", out[a:b])

    run(part, len(parts), threads)
    return out


def _check_positions(at: NDArray[np.int64], n: int) -> None:
    """Compiled code would read and write beyond its arrays."""
    if at.size and not -1 <= at.min() <= at.max() < n:
        raise InputError(
            f"positions of matches must be from 0 to {n - 1:,}, or -1 for none, not {at.min()} to {at.max()}"
        )


@njit(nogil=True, cache=True)
def _fill_lengths(rows, at, norm):  # type: ignore[no-untyped-def]
    """Lengths of the rows that are asked for, and of no others."""
    known = np.zeros(norm.shape[0], np.bool_)
    for i in at.flat:
        if i >= 0 and not known[i]:
            known[i] = True
            norm[i] = np.sqrt(_dot(rows[i], rows[i]))


@njit(nogil=True, cache=True)
def _measure(source, norm, points, point_norm, at, cosine, out):  # type: ignore[no-untyped-def]
    for z in range(at.shape[0]):
        for j in range(at.shape[1]):
            i = at[z, j]
            out[z, j] = np.inf if i < 0 else _distance(source[i], points[z], norm[i], point_norm[z], cosine)


def keep_nearest(
    at: NDArray[np.int64], distance: NDArray[np.float64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k nearest of each item's candidates, by distance, then position; a candidate listed twice counts once.

    The nearest of several parts of the rows, side by side, give the nearest of all.

    Args:
        at: Positions of the candidates, ``(m, c)``; -1 for none.
        distance: Of the candidates, ``(m, c)``.
        k: How many to keep.

    Returns:
        Positions ``(m, k)``, -1 at the end where there are fewer, and distances ``(m, k)``, infinite there.

    Example:
        >>> import numpy as np
        >>> keep_nearest(np.array([[7, -1, 4, 5]]), np.array([[0.5, np.inf, 0.5, 0.1]]), 2)
        (array([[5, 4]]), array([[0.1, 0.5]]))
    """
    kept = np.full((len(at), k), -1, dtype=np.int64), np.full((len(at), k), np.inf)
    _keep_nearest(np.asarray(at, dtype=np.int64), np.asarray(distance, dtype=np.float64), *kept)
    return kept


@njit(nogil=True, cache=True)
def _keep_nearest(at, distance, kept_at, kept_distance):  # type: ignore[no-untyped-def]
    c = at.shape[1]
    place, near = np.empty(c, np.int64), np.empty(c)
    spare_place, spare_near = np.empty_like(place), np.empty_like(near)
    for z in range(at.shape[0]):
        m = 0
        for j in range(c):
            if at[z, j] >= 0:
                place[m] = at[z, j]
                near[m] = distance[z, j]
                m += 1
        sort_stably(place[:m], near[:m], spare_place, spare_near)
        sort_stably(near[:m], place[:m], spare_near, spare_place)
        size = 0
        for j in range(m):
            if size == kept_at.shape[1]:
                break
            if j > 0 and place[j] == place[j - 1]:
                continue
            kept_at[z, size] = place[j]
            kept_distance[z, size] = near[j]
            size += 1


# -- credit ----------------------------------------------------------------------------------------


def credit(distance: NDArray[np.float64], quality: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Divide the worth of every generated item among its matches: a softmax of minus distance over temperature.

    ``share_i = quality * exp(-distance_i / temperature) / sum_l exp(-distance_l / temperature)``, as in GMValuator
    (Yang et al., ICLR 2025), where the temperature is 1. Shares are whole steps, a step being the last binary digit
    of the quality; the steps that rounding down leaves go one each to the largest remainders. So every item's shares
    add up to its quality exactly, each is within a step of the formula, and a nearer match never gets less.

    Args:
        distance: Of the matches, ``(m, k)``; infinite where there is none.
        quality: What each item is worth, finite and not negative, ``(m,)``.
        temperature: Positive and finite; the smaller, the more goes to the nearest.

    Returns:
        float64 ``(m, k)``; 0 where there is no match. An item without any match gives nothing to anybody.

    Raises:
        InputError: A distance, quality or temperature that is none.

    Example:
        >>> import numpy as np
        >>> credit(np.array([[0.25, 0.25, np.inf]]), np.array([3.0]), temperature=1.0)
        array([[1.5, 1.5, 0. ]])
    """
    far, worth = np.asarray(distance, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    if not 0 < temperature < math.inf:
        raise InputError(f"temperature must be a positive number, not {temperature!r}")
    if not ((worth >= 0) & (worth < math.inf)).all():
        raise InputError(f"{int((~((worth >= 0) & (worth < math.inf))).sum())} qualities are not finite and 0 or more")
    if not (far > -math.inf).all():
        raise InputError(f"{int((~(far > -math.inf)).sum())} distances are not numbers")
    share = np.zeros(far.shape)
    last_digit = np.ldexp(1.0, np.maximum(np.frexp(worth)[1] - 53, -1074))
    _credit(far, worth, last_digit, float(temperature), share)
    return share


@njit(nogil=True, cache=True)
def _credit(distance, quality, step, temperature, share):  # type: ignore[no-untyped-def]
    m, k = distance.shape
    near, weight, rest = np.empty(k), np.empty(k), np.empty(k)
    who, spare, spare_who = np.empty(k, np.int64), np.empty(k), np.empty(k, np.int64)
    for z in range(m):
        for j in range(k):
            near[j] = distance[z, j]
            who[j] = j
        sort_stably(near, who, spare, spare_who)
        total, low = 0.0, 0.0  # the sum of weights, and what rounding took from it
        for j in range(k):
            weight[j] = 0.0
            if near[j] < np.inf:
                w = math.exp(-((near[j] - near[0]) / temperature))
                w = w if w > 1e-200 else 0.0  # less is no step, and its products would lose digits
                weight[j] = min(w, weight[j - 1]) if j else w  # exp may be wrong about its last digit
            total, off = _two_sum(total, weight[j])
            low += off
        if total == 0.0:
            continue
        steps = quality[z] / step[z]  # a whole number below 2^53
        left = steps
        for j in range(k):
            share[z, who[j]], part = _divide(steps, weight[j], total, low)
            left -= share[z, who[j]]
            rest[j] = -part
        sort_stably(rest, who, spare, spare_who)
        for j in range(int(left)):
            share[z, who[j]] += 1.0
        for j in range(k):
            share[z, j] *= step[z]


@njit(nogil=True, cache=True, inline="always")
def _two_sum(a, b):  # type: ignore[no-untyped-def]
    """The rounded sum of two numbers and exactly what rounding took from it (Knuth)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


@njit(nogil=True, cache=True, inline="always")
def _two_product(a, b):  # type: ignore[no-untyped-def]
    """The rounded product of two numbers and exactly what rounding took from it (Dekker)."""
    p = a * b
    t = 134217729.0 * a
    a1 = t - (t - a)
    a2 = a - a1
    t = 134217729.0 * b
    b1 = t - (t - b)
    b2 = b - b1
    return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2


@njit(nogil=True, cache=True)
def _divide(steps, weight, total, low):  # type: ignore[no-untyped-def]
    """``steps * weight / (total + low)`` as a whole number and a remainder in [0, 1), to about a hundred bits."""
    product, product_low = _two_product(steps, weight)
    whole = math.floor(product / total)
    taken, taken_low = _two_product(whole, total)
    rest = ((product - taken) + (product_low - taken_low) - whole * low) / total
    more = math.floor(rest)
    return whole + more, rest - more


def add_credit(at: NDArray[np.int64], share: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """What every training row earned: the exact sum of its shares, rounded once.

    Args:
        at: Positions of the matches, ``(m, k)``; -1 for none.
        share: What each match earned, not negative, ``(m, k)``.
        n: How many training rows there are.

    Returns:
        float64 ``(n,)``; the same bits for any order of the items.

    Raises:
        InputError: A position that is no row's, or a row that earned more than float64 can say.

    Example:
        >>> import numpy as np
        >>> add_credit(np.array([[0, 2], [2, -1]]), np.array([[0.5, 0.25], [1.0, 0.0]]), 3)
        array([0.5 , 0.  , 1.25])
    """
    at, share = np.asarray(at, dtype=np.int64), np.asarray(share, dtype=np.float64)
    _check_positions(at, n)
    total, low, inexact = np.zeros(n), np.zeros(n), np.zeros(n, dtype=np.bool_)
    _add_credit(at, share, total, low, inexact)
    if inexact.any():  # shares so far apart in size that two floats cannot hold their sum
        entries = np.flatnonzero((at >= 0) & inexact[at])
        entries = entries[np.argsort(at.flat[entries], kind="stable")]
        earned = share.flat[entries]
        rows, starts = np.unique(at.flat[entries], return_index=True)
        try:
            total[rows] = [math.fsum(one.tolist()) for one in np.split(earned, starts[1:])]
        except OverflowError:
            raise InputError("shares add up beyond the range of float64; give qualities on a smaller scale") from None
    return total


@njit(nogil=True, cache=True)
def _add_credit(at, share, total, low, inexact):  # type: ignore[no-untyped-def]
    """Sums as two floats each, ``total`` being their rounded sum; notes where that was not exact."""
    for z in range(at.shape[0]):
        for j in range(at.shape[1]):
            i = at[z, j]
            if i >= 0:
                s, off = _two_sum(total[i], share[z, j])
                rest, lost = _two_sum(low[i], off)
                if lost != 0.0:
                    inexact[i] = True
                total[i], low[i] = _two_sum(s, rest)
