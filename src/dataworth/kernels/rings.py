"""KNN-Shapley values of rows too many to sort: exact ranks for the nearest of each point, rings for the others.

Around every validation point lie edges, distances chosen from a sample of rows. Ring ``b`` of a point holds the rows
of distance at most edge ``b`` that are in no ring before it; beyond the last edge lies the last ring. Rows of one ring
that are not among the listed nearest count as tied: their value is the mean over all orders they could stand in. That
takes two integers a ring, how many rows and how many matches, and integers of parts of the rows add up.

In which ring a pair is, is a pure function of one row, one point and its edges. Pairs are screened by float32
products; where rounding could put an edge between, :func:`~dataworth.kernels.neighbors.pair_distance` decides. So no
tile, thread, part or other row ever changes a ring.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import digamma

from dataworth.errors import InputError
from dataworth.kernels.neighbors import Judges, Metric, Rows, _distance, _distances_at, _lengths
from dataworth.kernels.team import blocks, run

__all__ = ["MOST_RINGS", "RingTables", "add_rings", "choose_edges", "count_rings", "rank_values", "ring_tables"]

MOST_RINGS = 127

# A tile of float32 products and the tables of its points fit in a core's second-level cache.
_POINTS = 64
_ROWS = 1024
# Rows that meet the same points one tile after another, while the tables of these points are in the cache.
_STRETCH = 16 * _ROWS
# Points whose tables are held at once.
_PANEL = 1024
# A table look-up says of most products which ring they are in, of some which edge they are near, and of the others
# that they must be looked at: they have one cell more.
_CELLS = 8192
_NEAR = np.uint8(128)
_LOOK = np.uint8(255)
# Rows whose rounding bound is far above that of most are looked at one by one, so that they widen no table.
_WIDE = 4.0


# -- edges -----------------------------------------------------------------------------------------


def choose_edges(
    sample: NDArray[Any], points: NDArray[Any], metric: Metric, n: int, listed: int, rings: int
) -> NDArray[np.float64]:
    """Edges of the rings of each point: distances of a sample at ranks that grow by the same factor.

    They are distances of rows, measured in float64 in a fixed order of summation: the same bits on any machine.

    Args:
        sample: Some of the rows as given, ``(s, d)``.
        points: Validation points as given, ``(n_validation, d)``.
        metric: ``"cosine"`` or ``"euclidean"``.
        n: How many rows there are in all.
        listed: How many of the nearest are ranked exactly; the first edge lies about there.
        rings: How many rings there may be, from 1 to 127.

    Returns:
        In the metric's unit, ascending, ``(n_validation, edges)`` with fewer edges than rings; none for a small sample.

    Raises:
        InputError: A number out of range.

    Example:
        >>> import numpy as np
        >>> choose_edges(np.arange(16.0)[:, None], np.array([[0.0]]), "euclidean", 16, 2, 4)
        array([[1., 3., 7.]])
    """
    if not 1 <= rings <= MOST_RINGS:
        raise InputError(f"rings must be from 1 to {MOST_RINGS}, not {rings}")
    if listed < 1 or len(sample) > n:
        raise InputError(
            f"edges take at least 1 listed row and a sample of at most {n:,} rows, not {listed:,} and {len(sample):,}"
        )
    s = len(sample)
    if s == 0 or listed >= n:
        return np.empty((len(points), 0))
    ranks = np.geomspace(max(1.0, s * listed / n), s, rings)
    at = np.unique(np.rint(ranks[:-1]).astype(np.int64)) - 1
    everyone, cosine = np.arange(s), metric == "cosine"
    norm, point_norm = (_lengths(sample), _lengths(points)) if cosine else (np.ones(s), np.ones(len(points)))
    edges = np.empty((len(points), at.size))
    for z, point in enumerate(points):
        edges[z] = np.sort(_distances_at(sample, everyone, norm, point, point_norm[z], cosine))[at]
    return edges


# -- rings of pairs --------------------------------------------------------------------------------


def count_rings(rows: Rows, judges: Judges, edges: NDArray[np.float64], *, threads: int = 1) -> NDArray[np.int64]:
    """How many rows lie in each ring of each point, apart those of the point's label and the others.

    Args:
        rows: Training rows from :func:`~dataworth.kernels.neighbors.prepare`; there may be none.
        judges: Validation points, from ``Judges.ready``.
        edges: Distances in ascending order for each point, ``(n_validation, rings - 1)``; not negative for euclidean.
        threads: How many threads share the rows.

    Returns:
        int64 ``(2, n_validation, rings)``, the point's label first. Exact, and the same for any number of threads and
        any tiling; counts of parts of the rows add up.

    Raises:
        InputError: Edges that do not fit the points.

    Example:
        >>> import numpy as np
        >>> from dataworth.kernels.neighbors import prepare
        >>> rows = prepare(np.array([[0.0], [3.0], [1.0]]), np.array([0, 0, 1]), 2, "euclidean")
        >>> points = Judges.ready(rows, np.array([[0.0]]), np.array([0]), None)
        >>> count_rings(rows, points, np.array([[1.0, 2.0]]))
        array([[[1, 0, 1]],
        <BLANKLINE>
               [[1, 0, 0]]])
    """
    _check_edges(judges, edges)
    found = np.zeros((threads, 2, len(judges), edges.shape[1] + 1), dtype=np.int64)

    def count(worker: int, screen: _Screen, z0: int, i0: int, products: NDArray[Any], ring: NDArray[np.uint8]) -> None:
        z1, i1 = z0 + products.shape[0], i0 + products.shape[1]
        _count_tile(
            products, *screen.of(rows, i0, i1, z0, z1), judges.same_from[z0:z1] - i0, judges.same_to[z0:z1] - i0,
            ring, found[worker, 0, z0:z1], found[worker, 1, z0:z1],
        )  # fmt: skip

    _each_tile(rows, judges, edges, threads, count)
    total: NDArray[np.int64] = found.sum(axis=0)
    return total


def add_rings(
    rows: Rows,
    judges: Judges,
    edges: NDArray[np.float64],
    same: NDArray[np.float64],
    other: NDArray[np.float64],
    *,
    threads: int = 1,
) -> NDArray[np.float64]:
    """Sum of what every point gives a row for being in its ring.

    Args:
        rows: Training rows; there may be none.
        judges: Validation points.
        edges: As for :func:`count_rings`.
        same: What a point gives a row of its label in each ring, ``(n_validation, rings)``.
        other: What it gives a row of another label, ``(n_validation, rings)``.
        threads: How many threads share the rows.

    Returns:
        float64 ``(n,)``, in the order given to ``prepare``. One row's sum is added up in the order of the points, so
        it has the same bits for any number of threads and any split of the rows.

    Raises:
        InputError: Edges or tables that do not fit the points.
    """
    _check_edges(judges, edges)
    shape = (len(judges), edges.shape[1] + 1)
    if same.shape != shape or other.shape != shape:
        raise InputError(f"tables of rings must be of shape {shape}, not {same.shape} and {other.shape}")
    sums = np.zeros(len(rows))

    def add(_: int, screen: _Screen, z0: int, i0: int, products: NDArray[Any], ring: NDArray[np.uint8]) -> None:
        z1, i1 = z0 + products.shape[0], i0 + products.shape[1]
        _add_tile(
            products, *screen.of(rows, i0, i1, z0, z1), judges.same_from[z0:z1] - i0, judges.same_to[z0:z1] - i0,
            ring, same[z0:z1], other[z0:z1], sums[i0:i1],
        )  # fmt: skip

    _each_tile(rows, judges, edges, threads, add)
    return rows.unsort(sums)


def _check_edges(judges: Judges, edges: NDArray[np.float64]) -> None:
    if edges.ndim != 2 or len(edges) != len(judges) or edges.shape[1] >= MOST_RINGS:
        raise InputError(
            f"edges must be of shape ({len(judges)}, up to {MOST_RINGS - 1}), one row a point, not {edges.shape}"
        )


def _each_tile(rows: Rows, judges: Judges, edges: NDArray[np.float64], threads: int, job: Any) -> None:
    """Call the job for every tile of products; the tiles of one row come in the order of the points."""
    if not len(rows):
        return
    stretches = blocks(len(rows), _STRETCH)
    scratch = [np.empty(_POINTS * _ROWS, dtype=rows.x.dtype) for _ in range(threads)]
    ring = [np.empty(_ROWS, dtype=np.uint8) for _ in range(threads)]
    for first, past in blocks(len(judges), _PANEL):
        screen = _Screen.of_points(rows, judges, edges, first, past)

        def stretch(worker: int, number: int, first: int = first, past: int = past, screen: _Screen = screen) -> None:
            start, stop = stretches[number]
            for z0, z1 in blocks(past - first, _POINTS):
                for i0, i1 in blocks(stop - start, _ROWS):
                    products = scratch[worker][: (z1 - z0) * (i1 - i0)].reshape(z1 - z0, i1 - i0)
                    np.dot(judges.x[first + z0 : first + z1], rows.x[start + i0 : start + i1].T, out=products)
                    job(worker, screen, first + z0, start + i0, products, ring[worker][: i1 - i0])

        run(stretch, len(stretches), threads)


@dataclass(frozen=True, eq=False)
class _Screen:
    """What tells the ring of a product for some of the points.

    A product less ``half`` of its row, minus the row's share of rounding, is surely within edge ``e`` at or above
    ``inside``; with the share added, surely beyond it below ``outside``. ``cells`` knows the answer for whole ranges.
    """

    first: int
    judges: Judges
    edges: NDArray[np.float64]  # (m, edges)
    inside: NDArray[np.float64]  # (m, edges)
    outside: NDArray[np.float64]  # (m, edges)
    base: NDArray[Any]  # (m,): cell 0 begins here
    scale: NDArray[Any]  # (m,): cells per unit
    cells: NDArray[np.uint8]  # (m, _CELLS + 1): the ring of all products in a cell, _NEAR and an edge, or _LOOK
    lift: NDArray[Any]  # (n,): half of each row, NaN for rows that must be looked at
    margin: NDArray[np.float64]  # (n,): each row's share of how far off the distance of copies is
    point_margin: NDArray[np.float64]  # (m,)

    @classmethod
    def of_points(cls, rows: Rows, judges: Judges, edges: NDArray[np.float64], first: int, past: int) -> _Screen:
        some, own, real = judges.take(first, past), edges[first:past], rows.x.dtype
        m = past - first
        usual = min(rows.most_slack, _WIDE * float(np.median(rows.slack)))
        # cosine: within edge e when product >= 1 - e. euclidean: product - half >= (|v|^2 - e^2) / 2.
        energy = some.energy[:, None] - 0.5 * own**2
        at = 1.0 - own if rows.metric == "cosine" else energy
        slack = some.slack[:, None] + rows.rounding * 0.5 * own**2
        # Rounding must not break their order, on which searching among them depends.
        inside = np.maximum.accumulate((at + slack)[:, ::-1], axis=1)[:, ::-1]
        outside = np.minimum.accumulate(at - slack, axis=1)
        high = np.nextafter((inside + usual).astype(real), np.asarray(np.inf, real))
        low = np.nextafter((outside - usual).astype(real), np.asarray(-np.inf, real))
        base, scale = np.zeros(m, real), np.zeros(m, real)
        if own.shape[1]:
            wide = high[:, 0].astype(np.float64) - low[:, -1]
            room = _CELLS - 4  # none of the edges is in the first cells or in the last ones
            base = (low[:, -1] - 2.0 * wide / room).astype(real)
            scale = np.divide(room, wide, out=np.zeros(m), where=wide > room * 1e-30).astype(real)
        cells = np.empty((m, _CELLS + 1), dtype=np.uint8)
        _fill_cells(low, high, base, scale, cells)
        lift = np.where(rows.slack > usual, np.asarray(np.nan, real), rows.half)
        margins = [_margin(rows, rows.energy), _margin(rows, some.energy)]
        inside, outside = np.ascontiguousarray(inside), np.ascontiguousarray(outside)
        return cls(first, some, np.ascontiguousarray(own), inside, outside, base, scale, cells, lift, *margins)

    def of(self, rows: Rows, i0: int, i1: int, z0: int, z1: int) -> tuple[Any, ...]:
        """What compiled code needs of a tile."""
        a, b = z0 - self.first, z1 - self.first
        return (
            rows.x[i0:i1], rows.half[i0:i1], self.lift[i0:i1], rows.slack[i0:i1], self.margin[i0:i1],
            rows.order[i0:i1], rows.source, rows.norm,
            self.base[a:b], self.scale[a:b], self.cells[a:b],
            self.inside[a:b], self.outside[a:b], self.edges[a:b], self.judges.x[a:b], self.point_margin[a:b],
            self.judges.source[a:b], self.judges.norm[a:b], rows.metric == "cosine",
        )  # fmt: skip


def _margin(rows: Rows, energy: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far off the distance of float32 copies may be: they hold each number within half a unit of its last place.

    Float64 copies are no closer than the sums over them.
    """
    if rows.x.dtype == np.float64:
        return np.full(len(energy), np.inf)
    return float(np.finfo(np.float32).eps) * np.sqrt(2.0 * energy) + rows.underflow


@njit(nogil=True, cache=True)
def _cell(product, base, scale, top):  # type: ignore[no-untyped-def]
    """The cell of a product: never lower for a greater one, and the top one for NaN."""
    at = (product - base) * scale
    at = at if at < top else top
    at = at if at > top * 0 else top * 0
    return np.int32(at)


@njit(nogil=True, cache=True)
def _fill_cells(low, high, base, scale, cells):  # type: ignore[no-untyped-def]
    """Cells that no edge and its rounding touch get their ring: no greater product is in a lower cell."""
    last = cells.shape[1] - 1
    top = base.dtype.type(last)
    for z in range(cells.shape[0]):
        least = greatest = low.shape[1]
        for c in range(last):  # every edge is beyond the cells above its ``high``, and within those below its ``low``
            while least > 0 and _cell(low[z, least - 1], base[z], scale[z], top) <= c:
                least -= 1
            while greatest > 0 and _cell(high[z, greatest - 1], base[z], scale[z], top) < c:
                greatest -= 1
            if least == greatest:
                cells[z, c] = np.uint8(least)
            else:
                cells[z, c] = _NEAR + np.uint8(least) if least + 1 == greatest else _LOOK
        cells[z, last] = _LOOK


@njit(nogil=True, cache=True)
def _rings(  # type: ignore[no-untyped-def]
    g, x, half, lift, slack, margin, order, source, norm, base, scale, cells, inside, outside, edges,
    v, point_margin, point, point_norm, cosine, ring,
):  # fmt: skip
    """The rings that rows are in around one point."""
    n = g.shape[0]
    top = g.dtype.type(_CELLS)
    cell = np.empty(n, np.int32)
    look = np.empty(n + 1, np.int32)
    for i in range(n):
        cell[i] = _cell(g[i] - lift[i], base, scale, top)
    for i in range(n):
        ring[i] = cells[np.uint32(cell[i])]
    many = 0
    for i in range(n):  # without a branch, as nothing could foresee it
        look[many] = np.int32(i)
        many += np.int64(ring[i] >= _NEAR)
    for j in range(many):
        i = look[j]
        every = ring[i] == _LOOK
        first = np.int64(0) if every else np.int64(ring[i] - _NEAR)
        ring[i] = _look(
            np.float64(g[i] - half[i]), slack[i], first, edges.shape[0] if every else first + 1, inside, outside, edges,
            x[i], v, margin[i] + point_margin, source, norm, order[i], point, point_norm, cosine,
        )  # fmt: skip


@njit(nogil=True, cache=True)
def _look(  # type: ignore[no-untyped-def]
    product, slack, start, end, inside, outside, edges, x, v, margin, source, norm, i, point, point_norm, cosine
):  # fmt: skip
    """The ring of one pair: by its product, by the distance of its copies, or where both may err by its distance."""
    first, stop = start, end
    while first < stop:  # the first edge that it is not surely beyond
        middle = (first + stop) >> 1
        if product + slack < outside[middle]:
            first = middle + 1
        else:
            stop = middle
    last, stop = first, end
    while last < stop:  # the first edge that it is surely within
        middle = (last + stop) >> 1
        if product - slack >= inside[middle]:
            stop = middle
        else:
            last = middle + 1
    if first < last:  # the copies are at hand, and summed in float64 they are off by their own rounding alone
        distance = _distance(x, v, 1.0, 1.0, cosine)
        first, last = _first_at(edges, distance - margin, first, last), _first_at(edges, distance + margin, first, last)
    if first < last:
        first = _first_at(edges, _distance(source[i], point, norm[i], point_norm, cosine), first, last)
    return np.uint8(first)


@njit(nogil=True, cache=True)
def _first_at(edges, distance, first, last):  # type: ignore[no-untyped-def]
    """The first edge at or beyond a distance, known to be none before ``first`` and none after ``last``."""
    while first < last:
        middle = (first + last) >> 1
        if edges[middle] < distance:
            first = middle + 1
        else:
            last = middle
    return first


@njit(nogil=True, cache=True)
def _count_tile(  # type: ignore[no-untyped-def]
    products, x, half, lift, slack, margin, order, source, norm, base, scale, cells, inside, outside, edges,
    copies, point_margin, points, point_norm, cosine, same_from, same_to, ring, same, other,
):  # fmt: skip
    n = products.shape[1]
    for z in range(products.shape[0]):
        _rings(
            products[z], x, half, lift, slack, margin, order, source, norm, base[z], scale[z], cells[z],
            inside[z], outside[z], edges[z], copies[z], point_margin[z], points[z], point_norm[z], cosine, ring,
        )  # fmt: skip
        a = min(max(same_from[z], 0), n)
        b = min(max(same_to[z], a), n)
        _count(ring[:a], other[z])
        _count(ring[a:b], same[z])
        _count(ring[b:], other[z])


@njit(nogil=True, cache=True)
def _count(ring, found):  # type: ignore[no-untyped-def]
    for i in range(ring.shape[0]):
        found[np.uint32(ring[i])] += 1


@njit(nogil=True, cache=True)
def _add_tile(  # type: ignore[no-untyped-def]
    products, x, half, lift, slack, margin, order, source, norm, base, scale, cells, inside, outside, edges,
    copies, point_margin, points, point_norm, cosine, same_from, same_to, ring, same, other, sums,
):  # fmt: skip
    n = products.shape[1]
    for z in range(products.shape[0]):
        _rings(
            products[z], x, half, lift, slack, margin, order, source, norm, base[z], scale[z], cells[z],
            inside[z], outside[z], edges[z], copies[z], point_margin[z], points[z], point_norm[z], cosine, ring,
        )  # fmt: skip
        a = min(max(same_from[z], 0), n)
        b = min(max(same_to[z], a), n)
        _add(ring[:a], other[z], sums[:a])
        _add(ring[a:b], same[z], sums[a:b])
        _add(ring[b:], other[z], sums[b:])


@njit(nogil=True, cache=True)
def _add(ring, given, sums):  # type: ignore[no-untyped-def]
    for i in range(ring.shape[0]):
        sums[i] += given[np.uint32(ring[i])]


# -- values ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class RingTables:
    """What points give rows that are not listed, in the game that divides by K.

    Args:
        same: To a row of the point's label, by ring, ``(n_validation, rings)``; 0 where there is none.
        other: To another row, ``(n_validation, rings)``; 0 where there is none.
        beyond: What matches that are not listed take from every listed row, ``(n_validation,)``.
        bound: No row's value to a point is further off than this, however the rows of a ring are ordered,
            ``(n_validation,)``; the mean over points bounds the error of every value.
    """

    same: NDArray[np.float64]
    other: NDArray[np.float64]
    beyond: NDArray[np.float64]
    bound: NDArray[np.float64]


def ring_tables(counts: NDArray[np.int64], listed: NDArray[np.int64], k: int) -> RingTables:
    """Mean values over all orders that the rows of a ring could stand in, and how far off they can be.

    Args:
        counts: From :func:`count_rings` of all rows, ``(2, n_validation, rings)``.
        listed: How many of them are listed, in the same shape; at least k for each point, or all.
        k: How many nearest rows vote.

    Returns:
        The tables. The bound is below ``1 / (listed rows of the point)``.

    Raises:
        InputError: More are listed than were counted, or fewer than k of more.

    Example:
        One listed row, and then a match and another row of which nobody knows which is nearer:

        >>> import numpy as np
        >>> found = ring_tables(np.array([[[1, 1]], [[0, 1]]]), np.array([[[1, 0]], [[0, 0]]]), 1)
        >>> found.same.round(4), found.other.round(4), found.beyond.round(4), found.bound.round(4)
        (array([[0.    , 0.4167]]), array([[ 0.    , -0.0833]]), array([0.3333]), array([0.1667]))
    """
    of_label, (q, rest) = listed.sum(axis=2), counts - listed
    t = q + rest
    near = of_label.sum(axis=0)[:, None]
    if min(q.min(initial=0), rest.min(initial=0)) < 0:
        raise InputError("more rows of a ring are listed than were counted in it")
    if ((near < max(k, 1)) & (t > 0)).any():
        raise InputError(f"at least the {k} nearest rows of each point must be listed, or all rows")
    hi = np.maximum(near + np.cumsum(t, axis=1), 1)  # ranks lo + 1 .. hi
    lo = np.maximum(hi - t, 1)
    mean = (digamma(hi + 1.0) - digamma(lo + 1.0)) / np.maximum(t, 1)  # of 1 / rank
    within = np.where(t > 1, mean - 1 / hi, 0.0) / np.maximum(t - 1, 1)
    after = _later(q / np.maximum(t, 1) * (1 / lo - 1 / hi))
    beyond, tail = after[:, 0], after[:, 1:]
    same = np.where(q > 0, np.where(t > 1, mean, 1 / hi) - (q - 1) * within - tail, 0.0)
    other = np.where(rest > 0, -q * within - tail, 0.0)

    least, most = _later(1 / (hi - np.minimum(q, hi - 1)) - 1 / hi), _later(1 / lo - 1 / (lo + q))
    first = 1 / (lo + 1)
    off = [
        np.where(q > 0, same - (1 / hi - most[:, 1:]), 0.0),
        np.where(q > 0, 1 / hi + first - 1 / (hi - np.maximum(q, 1) + 1) - least[:, 1:] - same, 0.0),
        np.where(rest > 0, other + first - 1 / (lo + 1 + q) + most[:, 1:], 0.0),
        np.where(rest > 0, -least[:, 1:] - other, 0.0),
        np.maximum(beyond - least[:, 0], most[:, 0] - beyond)[:, None],
    ]
    return RingTables(same, other, beyond, np.maximum(np.max([one.max(axis=1) for one in off], axis=0), 0.0))


def _later(step: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums from each ring on, ``(n_validation, rings + 1)``; nothing comes after the last."""
    sums = np.cumsum(step[:, ::-1], axis=1)[:, ::-1]
    return np.concatenate([sums, np.zeros((len(step), 1))], axis=1)


def rank_values(match: NDArray[np.bool_], k: int, beyond: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of the listed rows to each point, in the game that divides by K.

    Args:
        match: Whether the row at each rank has the point's label, nearest first, ``(n_validation, listed)``.
        k: How many nearest rows vote.
        beyond: What the rows further out take from each of them, ``(n_validation,)``.

    Returns:
        float64 ``(n_validation, listed)``.

    Example:
        >>> import numpy as np
        >>> rank_values(np.array([[True, False, True]]), 1, np.zeros(1)).round(4)
        array([[ 0.8333, -0.1667,  0.3333]])
    """
    rank = np.arange(1.0, match.shape[1] + 1)
    taken = np.where(match & (rank > k), 1 / np.maximum(rank * (rank - 1), 1), 0.0)
    return np.where(match, 1 / np.maximum(rank, k), 0.0) - _later(taken)[:, 1:] - beyond[:, None]
