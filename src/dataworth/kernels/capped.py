"""Links with a cap: each training row keeps only its nearest links, so one row can move only so many counts.

A row keeps exactly ``min(most, links)`` of its links within the radius: the nearest by float64 distance, of
equally near ones those that come first in the validation set. Which they are is a pure function of that row
and of public data; this is what a private release rests on. So here too float32 products with a proved bound
on their error decide only what they can tell, and :func:`dataworth.kernels.neighbors.pair_distance` the rest.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dataworth.errors import MethodError
from dataworth.kernels.neighbors import Judges, LinkBits, Rows, _distance, link, link_jobs, radius_limit
from dataworth.kernels.sorting import sort_stably
from dataworth.kernels.team import Tick, blocks, run

__all__ = ["first_rows", "link_nearest", "link_nearest_jobs"]

# A block of rows against all points: about this many products, and rows enough for a matrix product to be fast.
_TILE = 128 * 1024
_LEAST_ROWS = 64
# Halvings of the range in which a row's last kept link is looked for; what is left then is settled in float64.
_HALVINGS = 100
_LANES = 64


def link_nearest(
    rows: Rows,
    judges: Judges,
    radius: float,
    most: int,
    *,
    threads: int = 1,
    tick: Tick | None = None,
) -> LinkBits:
    """Link every training row with the nearest validation points within the radius, at most so many, and count.

    Args:
        rows: Training rows from :func:`dataworth.kernels.neighbors.prepare`.
        judges: All validation points, from :meth:`Judges.ready`; a part of them would be another cap.
        radius: In the metric's unit; inside means ``<=``.
        most: How many links a row may keep, at least 1: its nearest by (float64 distance, place of the point).
        threads: How many threads share the blocks of rows.
        tick: Called after each block with 1; there are :func:`link_nearest_jobs` of them.

    Returns:
        Bits and counts: exact, and the same for any number of threads, any blocks and any other rows. With
        ``most >= len(judges)`` they are those of :func:`dataworth.kernels.neighbors.link`.

    Raises:
        MethodError: ``most`` is below 1.

    Example:
        >>> import numpy as np
        >>> from dataworth.kernels.neighbors import prepare
        >>> codes, x = np.array([0]), np.array([[0.0]])
        >>> rows = prepare(x, codes, 1, "euclidean", centre=np.zeros(1))
        >>> points = np.array([[2.0], [-1.0], [1.0], [9.0]])
        >>> judges = Judges.ready(rows, points, np.zeros(4, dtype=np.int64), np.zeros(1))
        >>> link_nearest(rows, judges, 5.0, 2).n_same
        array([0, 1, 1, 0])
    """
    if most < 1:
        raise MethodError(f"a row must be allowed at least one link, not {most}")
    n, m = len(rows), len(judges)
    if most >= m:
        return link(rows, judges, radius, threads=threads, tick=tick)
    parts = _blocks(n, m)
    bits = np.zeros((-(-m // 8), n), dtype=np.uint8)
    tally = np.zeros((threads, 2, m), dtype=np.int64)  # links, same-label links
    near = np.zeros(threads, dtype=np.int64)
    dtype = rows.x.dtype
    sure_at, maybe_at = judges.thresholds(rows, radius)
    sure_lift = (rows.half + rows.slack).astype(dtype)
    maybe_lift = (rows.half - rows.slack).astype(dtype)
    # What orders one row's points: the product less half the point's squared length (nothing for unit points),
    # at least and at most, as far as rounding for the point's sake goes.
    half = np.zeros(m) if rows.metric == "cosine" else judges.energy
    least, greatest = (half + judges.slack).astype(dtype), (half - judges.slack).astype(dtype)
    limit = radius_limit(radius)
    height = max(stop - start for start, stop in parts)
    scratch = [np.empty(height * m, dtype=dtype) for _ in range(threads)]
    points = judges.x.T

    def block(worker: int, number: int) -> None:
        i0, i1 = parts[number]
        products = scratch[worker][: (i1 - i0) * m].reshape(i1 - i0, m)
        np.dot(rows.x[i0:i1], points, out=products)
        near[worker] += _link_block(
            products, most, sure_lift[i0:i1], maybe_lift[i0:i1], sure_at, maybe_at, least, greatest,
            rows.slack[i0:i1], judges.slack, rows.codes[i0:i1], judges.same_from - i0, judges.same_to - i0,
            rows.source, rows.norm, rows.order[i0:i1], judges.source, judges.norm, limit,
            rows.metric == "cosine", bits[:, i0:i1], tally[worker],
        )  # fmt: skip

    run(block, len(parts), threads, tick)
    links, same = tally.sum(axis=0)
    return LinkBits(bits, same, links - same, int(near.sum()))


def link_nearest_jobs(n_train: int, n_validation: int, most: int) -> int:
    """How many times :func:`link_nearest` ticks."""
    return link_jobs(n_train, n_validation) if most >= n_validation else len(_blocks(n_train, n_validation))


def first_rows(owner_codes: NDArray[np.int64], id_order: NDArray[np.int64], most: int) -> NDArray[np.bool_]:
    """Which rows stay when an owner may bring at most so many: each owner's lowest ids.

    Whether a row stays depends on the rows of its own owner alone.

    Args:
        owner_codes: Whose each row is, as a number, ``(n,)``.
        id_order: Positions of the rows in ascending order of id (``np.argsort(ids)``), ``(n,)``.
        most: How many rows an owner may bring, at least 1.

    Returns:
        A mask of the rows that stay, ``(n,)``.

    Raises:
        MethodError: ``most`` is below 1.

    Example:
        >>> import numpy as np
        >>> first_rows(np.array([7, 7, 7, 2]), np.argsort([30, 10, 20, 40]), 2)
        array([False,  True,  True,  True])
    """
    if most < 1:
        raise MethodError(f"an owner must be allowed at least one row, not {most}")
    by_owner = id_order[np.argsort(owner_codes[id_order], kind="stable")]
    owners = owner_codes[by_owner]
    begins = np.flatnonzero(np.concatenate([[True], owners[1:] != owners[:-1]]))
    sizes = np.diff(np.append(begins, owners.size))
    stays = np.empty(owners.size, dtype=np.bool_)
    stays[by_owner] = np.arange(owners.size) - np.repeat(begins, sizes) < most
    return stays


def _blocks(n_train: int, n_validation: int) -> list[tuple[int, int]]:
    return blocks(n_train, max(_LEAST_ROWS, _TILE // n_validation))


@njit(nogil=True, cache=True)
def _link_block(  # type: ignore[no-untyped-def]
    products, most, sure_lift, maybe_lift, sure_at, maybe_at, least, greatest, row_slack, point_slack,
    codes, same_from, same_to, source, norm, order, points, point_norm, limit, cosine, bits, tally,
):  # fmt: skip
    """Links of a block of rows with all points; returns how many pairs were too close to call."""
    n, m = products.shape
    near = 0
    mark = np.zeros(8 * bits.shape[0], np.uint8)  # one row's links
    doubt = np.zeros(m, np.uint8)
    place = np.empty(m, np.int64)
    low = np.empty(m, products.dtype)
    links = np.zeros(m, np.uint32)
    begin = 0
    for i in range(n):
        g = products[i]
        row, length = source[order[i]], norm[order[i]]
        inside, close = _mark_inside(
            g, sure_lift[i], maybe_lift[i], sure_at, maybe_at, row, length, points, point_norm, limit, cosine,
            mark, doubt, place,
        )  # fmt: skip
        near += close
        if inside > most:
            near += _keep_nearest(
                g, most, least, greatest, row_slack[i], point_slack, row, length, points, point_norm, cosine,
                mark, doubt, place, low,
            )  # fmt: skip
        for z in range(m):
            links[z] += mark[z]
        _pack(mark, bits[:, i])
        if i + 1 == n or codes[i + 1] != codes[i]:
            for z in range(m):
                tally[0, z] += links[z]
                if same_from[z] <= begin < same_to[z]:
                    tally[1, z] += links[z]
                links[z] = 0
            begin = i + 1
    return near


@njit(nogil=True, cache=True)
def _mark_inside(  # type: ignore[no-untyped-def]
    g, sure_lift, maybe_lift, sure_at, maybe_at, row, length, points, point_norm, limit, cosine, mark, doubt, place
):  # fmt: skip
    """Mark the points within the radius of one row; returns how many, and how many were too close to call."""
    m = g.shape[0]
    inside = np.uint32(0)
    possible = np.uint32(0)
    for z in range(m):  # one simple loop for each thing: the compiler makes wide instructions of those
        mark[z] = np.uint8(g[z] - sure_lift >= sure_at[z])
    for z in range(m):
        inside += np.uint32(mark[z])
    for z in range(m):
        possible += np.uint32(g[z] - maybe_lift >= maybe_at[z])
    close = 0
    if possible > inside:
        for z in range(m):
            doubt[z] = np.uint8(g[z] - maybe_lift >= maybe_at[z]) & (mark[z] ^ np.uint8(1))
        close = _places(doubt, place)
        for z in place[:close]:
            if _distance(row, points[z], length, point_norm[z], cosine) <= limit:
                mark[z] = 1
                inside += np.uint32(1)
    return inside, close


@njit(nogil=True, cache=True)
def _keep_nearest(  # type: ignore[no-untyped-def]
    g, most, least, greatest, row_slack, point_slack, row, length, points, point_norm, cosine, mark, doubt, place, low
):  # fmt: skip
    """Of one row's marks, more than ``most``, keep the nearest; returns how many were too close to call.

    A point's true score (larger is nearer) lies from ``g - least`` to ``g - greatest``, give or take the row's
    slack. Let c be the most-th largest of the lower ends. A point whose upper end is below c by more than twice
    the row's slack has at least ``most`` nearer points: it is out. A point whose lower end is above c by more
    than twice the row's slack and twice the largest slack of any point not out has fewer than ``most`` points
    as near: it stays. Those between are ranked by float64 distance.
    """
    m = g.shape[0]
    minus = g.dtype.type(-np.inf)
    for z in range(m):
        low[z] = g[z] - least[z] if mark[z] else minus
    under, over = _bracket(low, most, row_slack)
    out = np.nextafter(g.dtype.type(np.float64(under) - 2.0 * row_slack), minus)
    kept = np.uint32(0)
    for z in range(m):
        mark[z] &= np.uint8(g[z] - greatest[z] >= out)
    for z in range(m):
        kept += np.uint32(mark[z])
    if kept == most:
        return 0
    widest = 0.0
    for z in range(m):
        widest = max(widest, mark[z] * point_slack[z])
    stay = np.nextafter(g.dtype.type(np.float64(over) + 2.0 * (row_slack + widest)), -minus)
    for z in range(m):
        doubt[z] = mark[z] & np.uint8(low[z] <= stay)
    for z in range(m):
        mark[z] ^= doubt[z]
    near = _places(doubt, place)
    exact = np.empty(near)
    for j in range(near):
        z = place[j]
        exact[j] = _distance(row, points[z], length, point_norm[z], cosine)
    sort_stably(exact, place[:near], np.empty(near), np.empty(near, np.int64))  # ties stay in order of place
    kept -= np.uint32(near)
    for j in range(most - kept):
        mark[place[j]] = 1
    return near


@njit(nogil=True, cache=True)
def _bracket(low, most, enough):  # type: ignore[no-untyped-def]
    """Two numbers around the most-th largest value; close together as a rule.

    At least ``most`` values reach the first and fewer than ``most`` exceed the second. Halving the range needs
    a count each time, which is many times faster than moving values about; it ends at the exact value when the
    cut falls between two values, and otherwise when the range is too narrow to matter.
    """
    half = low.dtype.type(0.5)
    under, over = _least_from(low, np.nextafter(low.dtype.type(-np.inf), half)), _greatest(low)
    for _ in range(_HALVINGS):
        if over - under <= enough:
            break
        middle = under + (over - under) * half
        count = np.uint32(0)
        for z in range(low.shape[0]):
            count += np.uint32(low[z] >= middle)
        if count >= most:
            under = middle
            if count == most:
                under = over = _least_from(low, middle)
                break
        else:
            over = middle
    return under, over


@njit(nogil=True, cache=True)
def _least_from(values, bound):  # type: ignore[no-untyped-def]
    """The least value of those from the bound upwards."""
    inf = values.dtype.type(np.inf)
    columns = np.full(_LANES, inf)
    for start in range(0, values.shape[0], _LANES):
        strip = values[start : min(start + _LANES, values.shape[0])]
        for j in range(strip.shape[0]):
            w = strip[j] if strip[j] >= bound else inf
            columns[j] = w if w < columns[j] else columns[j]
    return columns.min()


@njit(nogil=True, cache=True)
def _greatest(values):  # type: ignore[no-untyped-def]
    columns = np.full(_LANES, values.dtype.type(-np.inf))
    for start in range(0, values.shape[0], _LANES):
        strip = values[start : min(start + _LANES, values.shape[0])]
        for j in range(strip.shape[0]):
            columns[j] = strip[j] if strip[j] > columns[j] else columns[j]
    return columns.max()


@njit(nogil=True, cache=True)
def _places(flags, place):  # type: ignore[no-untyped-def]
    """Where flags are set, in order; returns how many. Few are, so most stretches are passed over at once."""
    n = 0
    for start in range(0, flags.shape[0], _LANES):
        strip = flags[start : min(start + _LANES, flags.shape[0])]
        some = np.uint8(0)
        for j in range(strip.shape[0]):
            some |= strip[j]
        if some:
            for j in range(strip.shape[0]):
                if strip[j]:
                    place[n] = start + j
                    n += 1
    return n


@njit(nogil=True, cache=True)
def _pack(mark, byte):  # type: ignore[no-untyped-def]
    for b in range(byte.shape[0]):
        eight = mark[8 * b : 8 * b + 8]
        byte[b] = (
            eight[0] | eight[1] << 1 | eight[2] << 2 | eight[3] << 3
            | eight[4] << 4 | eight[5] << 5 | eight[6] << 6 | eight[7] << 7
        )  # fmt: skip
