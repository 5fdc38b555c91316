"""Who is near whom: distances tile by tile, never an n_validation x n_train matrix of floats.

The spine of every job is link, count, add. This module links and counts: for a tile of validation points
and training rows it decides which pairs are within the radius and packs the answers into bits, eight
validation points to a byte. Counts of tiles, parts and machines merge by adding integers.

A link is a pure function of one row and one point. Pairs are screened by a float32 matrix product with a
proved error bound; what falls inside the bound is decided by :func:`pair_distance`, in float64, in a fixed
order of summation. So no tile, thread, part or other row ever changes a decision.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dataworth.errors import DataError
from dataworth.kernels.sorting import select, sort_stably
from dataworth.kernels.team import Tick, blocks, run

__all__ = [
    "METRICS",
    "ClassOrder",
    "DType",
    "Judges",
    "LinkBits",
    "Metric",
    "Rows",
    "check_directions",
    "check_scale",
    "distances_to",
    "link",
    "link_jobs",
    "nearest_first",
    "pair_distance",
    "pairwise",
    "pick_links",
    "prepare",
    "product_jobs",
    "products",
    "radius_limit",
    "settle_ties",
    "tally",
    "usable_rows",
]

Metric: TypeAlias = Literal["cosine", "euclidean"]
DType: TypeAlias = Literal["float32", "float64"]
METRICS: tuple[Metric, ...] = ("cosine", "euclidean")

# A tile of float32 products fills about half of a core's second-level cache.
_TILE = 128 * 1024
_POINTS = 256


@dataclass(frozen=True, eq=False)
class ClassOrder:
    """Rows sorted by class: which of them stands where.

    Args:
        order: Position, as they were given, of each sorted row, ``(n,)``.
        starts: Class ``c`` stands at ``starts[c]:starts[c + 1]``; the last slice holds labels that are no class.
        codes: Class of each sorted row, ``(n,)``; ``len(starts) - 2`` for a label that is no class.
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    codes: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.order.shape[0])

    @classmethod
    def of(cls, codes: NDArray[np.int64], n_classes: int) -> ClassOrder:
        """Sort rows by class; within a class they keep their order.

        Args:
            codes: Class of each row, ``0 .. n_classes - 1``, or -1 for a label that is no class, ``(n,)``.
            n_classes: How many classes there are.
        """
        group = np.where(codes < 0, n_classes, codes)
        order = np.argsort(group, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=n_classes + 1))])
        return cls(order, starts, group[order])


@dataclass(frozen=True, eq=False)
class Rows:
    """Training rows or validation points, made ready for tiles.

    Rows of a class lie together (``starts``), so that the rows that share a validation point's label are one
    slice; within a class they keep their order.

    Args:
        x: Unit rows (cosine) or rows minus the public centre (euclidean), class by class, ``(n, d)``.
        half: Half the squared length of each row of ``x`` for euclidean, zeros for cosine, ``(n,)``.
        energy: Half the squared length of each row of ``x``; scales the rounding bound, ``(n,)``.
        source: The rows as they were given, ``(n, d)``; what exact decisions look at.
        norm: float64 length of each row of ``source`` (cosine), ``(n,)``.
        order: Position in ``source`` of each row of ``x``, ``(n,)``.
        starts: Class ``c`` is ``x[starts[c]:starts[c + 1]]``; the last slice holds labels that are no class.
        codes: Class of each row of ``x``, ``(n,)``; ``len(starts) - 2`` for a label that is no class.
        metric: The metric they were made ready for.
    """

    x: NDArray[Any]
    half: NDArray[Any]
    energy: NDArray[Any]
    source: NDArray[Any]
    norm: NDArray[np.float64]
    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    codes: NDArray[np.int64]
    metric: Metric

    def __len__(self) -> int:
        return int(self.x.shape[0])

    @property
    def rounding(self) -> float:
        """Relative bound on the error of a screened product, against the sum of the two energies.

        A dot product of length d in any order of summation is off by at most ``d u / (1 - d u)`` times the
        product of lengths, which is at most the sum of energies; storing rows, halves and thresholds in the
        tile's type adds a few ``u`` more, and float64 screening must also cover :func:`pair_distance`.
        """
        unit = float(np.finfo(self.x.dtype).eps) / 2
        d = int(self.x.shape[1])
        return (2.0 if self.x.dtype == np.float64 else 1.1) * (d + 8) * unit

    @cached_property
    def slack(self) -> NDArray[np.float64]:
        """Each row's share of the bound on the error of a screened product; a point's share comes on top."""
        return np.asarray(self.rounding * self.energy)

    @cached_property
    def most_slack(self) -> float:
        """The largest row's share of the bound."""
        return float(self.slack.max())

    def unsort(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values of the sorted rows, in the order the rows were given."""
        out = np.empty_like(values)
        out[self.order] = values
        return out

    @property
    def underflow(self) -> float:
        """Absolute bound on what products of very small numbers can lose."""
        return 4.0 * int(self.x.shape[1]) * float(np.finfo(self.x.dtype).tiny)


def prepare(
    x: NDArray[Any],
    codes: NDArray[np.int64],
    n_classes: int,
    metric: Metric,
    *,
    centre: NDArray[np.float64] | None = None,
    dtype: DType = "float32",
    threads: int = 1,
) -> Rows:
    """Sort rows by class and make the one copy that matrix products read.

    Args:
        x: Rows as given, float32 or float64, ``(n, d)``, finite.
        codes: Class of each row, ``0 .. n_classes - 1``, or -1 for a label that is no class, ``(n,)``.
        n_classes: How many classes there are.
        metric: ``"cosine"`` or ``"euclidean"``.
        centre: For euclidean, a public point (the validation mean) to subtract, so that float32 spends its
            digits on differences; no decision depends on it.
        dtype: The type of the copy, and so of the screening products.
        threads: How many threads make the copy.

    Raises:
        DataError: A zero row under cosine (there is no direction), numbers too large or small for ``dtype``, or
            a million features and more.
    """
    by_class = ClassOrder.of(codes, n_classes)
    order = by_class.order
    n, d = x.shape
    if d >= 1_000_000:
        raise DataError(
            f"{d:,} features are more than the bound on rounding errors covers (a million); reduce them first"
        )
    ready = np.empty((n, d), dtype=dtype)
    norm = np.ones(n)
    energy = np.empty(n)
    middle = np.zeros(d) if centre is None else np.ascontiguousarray(centre, dtype=np.float64)
    parts = blocks(n, max(1, 4_000_000 // d))

    def part(_: int, number: int) -> None:
        start, stop = parts[number]
        if metric == "cosine":
            _fill_unit(x, order[start:stop], ready[start:stop], norm, energy[start:stop])
        else:
            _fill_centred(x, order[start:stop], middle, ready[start:stop], energy[start:stop])

    run(part, len(parts), threads)
    if metric == "cosine":
        check_directions(norm)
    # Squares must fit twice over; a float64 row beyond this is out of reach of float64 distances too.
    if not (energy < float(np.finfo(dtype).max) / 8).all():
        raise DataError(
            f"features are too large for {dtype} distances (squares overflow); rescale them"
            + (", or use dtype='float64'" if dtype == "float32" else "")
        )
    half = np.zeros(n, dtype=dtype) if metric == "cosine" else energy.astype(dtype)
    return Rows(ready, half, energy, x, norm, order, by_class.starts, by_class.codes, metric)


def usable_rows(
    x: NDArray[Any],
    metric: Metric,
    *,
    centre: NDArray[np.float64] | None = None,
    dtype: DType = "float32",
    threads: int = 1,
) -> NDArray[np.bool_]:
    """Which rows :func:`prepare` would take: finite, and with a direction (cosine) or in reach (euclidean).

    Decided for each row by itself.

    Args:
        x: Rows as given, not necessarily finite, ``(n, d)``.
        metric: ``"cosine"`` or ``"euclidean"``.
        centre: As for :func:`prepare`.
        dtype: As for :func:`prepare`.
        threads: How many threads share the rows.
    """
    n, d = x.shape
    usable = np.empty(n, dtype=np.bool_)
    middle = np.zeros(d) if centre is None else np.ascontiguousarray(centre, dtype=np.float64)
    most = min(float(np.finfo(dtype).max) / 8, 1e299)
    parts = blocks(n, max(1, 4_000_000 // d))

    def part(_: int, number: int) -> None:
        start, stop = parts[number]
        if metric == "cosine":
            norm = _lengths(x[start:stop])
            usable[start:stop] = (norm >= 1e-140) & (norm <= 1e140)
        else:
            energy = np.empty(stop - start)
            _fill_centred(x[start:stop], np.arange(stop - start), middle, np.empty((stop - start, d), dtype), energy)
            usable[start:stop] = energy < most  # not true of NaN either

    with np.errstate(over="ignore", invalid="ignore"):
        run(part, len(parts), threads)
    return usable


def check_directions(norm: NDArray[np.float64]) -> None:
    """Refuse rows whose length leaves cosine similarity undefined or out of float64's reach.

    Args:
        norm: Lengths of the rows, ``(n,)``.

    Raises:
        DataError: With the number of such rows.
    """
    zero = int((norm == 0).sum())
    if zero:
        raise DataError(
            f"{zero} of {norm.size} rows are zero vectors, which have no direction for the cosine metric; "
            "drop them, or use metric='euclidean'"
        )
    odd = int((~np.isfinite(norm) | (norm < 1e-140) | (norm > 1e140)).sum())
    if odd:
        raise DataError(
            f"{odd} of {norm.size} rows are too long or too short for cosine similarity; rescale the features"
        )


def check_scale(*sets: NDArray[Any]) -> None:
    """Refuse features whose squared differences leave the range of float64.

    Args:
        sets: Rows and points as given, each ``(n, d)``.

    Raises:
        DataError: The largest number is above 1e150, or all are below 1e-140 but not zero.
    """
    largest = max(max(float(x.max()), -float(x.min())) for x in sets)
    if largest > 1e150 or 0.0 < largest < 1e-140:
        raise DataError(
            f"features are too {'large' if largest > 1 else 'small'} for euclidean distances "
            f"(the largest is {largest:.0e} in size); rescale them"
        )


def radius_limit(radius: float) -> float:
    """The largest distance that counts as inside: the radius and a hair, so that duplicates are inside radius 0."""
    return radius + 1e-9 * (1.0 + radius)


@njit(nogil=True, cache=True)
def _dot(a, b):  # type: ignore[no-untyped-def]
    """Float64 dot product in eight fixed lanes: the same bits on every machine and for every neighbour."""
    n = a.shape[0]
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    m = n - n % 8
    for i in range(0, m, 8):
        s0 += np.float64(a[i]) * np.float64(b[i])
        s1 += np.float64(a[i + 1]) * np.float64(b[i + 1])
        s2 += np.float64(a[i + 2]) * np.float64(b[i + 2])
        s3 += np.float64(a[i + 3]) * np.float64(b[i + 3])
        s4 += np.float64(a[i + 4]) * np.float64(b[i + 4])
        s5 += np.float64(a[i + 5]) * np.float64(b[i + 5])
        s6 += np.float64(a[i + 6]) * np.float64(b[i + 6])
        s7 += np.float64(a[i + 7]) * np.float64(b[i + 7])
    for i in range(m, n):
        s0 += np.float64(a[i]) * np.float64(b[i])
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))


@njit(nogil=True, cache=True)
def _squared_gap(a, b):  # type: ignore[no-untyped-def]
    """Float64 sum of squared differences in four fixed lanes."""
    n = a.shape[0]
    s0 = s1 = s2 = s3 = 0.0
    m = n - n % 4
    for i in range(0, m, 4):
        d0 = np.float64(a[i]) - np.float64(b[i])
        d1 = np.float64(a[i + 1]) - np.float64(b[i + 1])
        d2 = np.float64(a[i + 2]) - np.float64(b[i + 2])
        d3 = np.float64(a[i + 3]) - np.float64(b[i + 3])
        s0 += d0 * d0
        s1 += d1 * d1
        s2 += d2 * d2
        s3 += d3 * d3
    for i in range(m, n):
        d0 = np.float64(a[i]) - np.float64(b[i])
        s0 += d0 * d0
    return (s0 + s1) + (s2 + s3)


@njit(nogil=True, cache=True)
def _distance(a, b, norm_a, norm_b, cosine):  # type: ignore[no-untyped-def]
    if cosine:
        return 1.0 - _dot(a, b) / (norm_a * norm_b)
    return np.sqrt(_squared_gap(a, b))


def pair_distance(a: NDArray[Any], b: NDArray[Any], metric: Metric) -> float:
    """The distance of one row and one point, in float64, in a fixed order of summation.

    This is the function that decides every close call, so a decision never depends on other rows.

    Args:
        a: A row as given, ``(d,)``.
        b: A point as given, ``(d,)``.
        metric: ``"cosine"`` (1 - cosine similarity) or ``"euclidean"``.

    Example:
        >>> import numpy as np
        >>> pair_distance(np.array([3.0, 0.0]), np.array([0.0, 4.0]), "euclidean")
        5.0
    """
    return float(distances_to(np.asarray(a)[np.newaxis], np.asarray(b), metric)[0])


@njit(nogil=True, cache=True)
def _fill_unit(source, order, ready, norm, energy):  # type: ignore[no-untyped-def]
    for r in range(order.shape[0]):
        row = source[order[r]]
        length = np.sqrt(_dot(row, row))
        norm[order[r]] = length
        energy[r] = 0.5
        scale = 1.0 / length if length > 0 else 0.0
        for j in range(row.shape[0]):
            ready[r, j] = np.float64(row[j]) * scale


@njit(nogil=True, cache=True)
def _fill_centred(source, order, centre, ready, energy):  # type: ignore[no-untyped-def]
    for r in range(order.shape[0]):
        row = source[order[r]]
        for j in range(row.shape[0]):
            ready[r, j] = np.float64(row[j]) - centre[j]
        energy[r] = 0.5 * _dot(ready[r], ready[r])


@dataclass(frozen=True, eq=False)
class Judges:
    """Validation points, in their own order, made ready to meet the rows of a :class:`Rows`.

    Args:
        x: Unit points or points minus the centre, ``(n_validation, d)``, in the type of the rows.
        slack: Each point's share of the bound on the error of a screened product, ``(n_validation,)``.
        energy: Half the squared length of each row of ``x``, ``(n_validation,)``.
        source: The points as given.
        norm: float64 length of each point (cosine).
        same_from: Where the rows of the point's label begin, ``(n_validation,)``.
        same_to: Where they end.
    """

    x: NDArray[Any]
    slack: NDArray[np.float64]
    energy: NDArray[np.float64]
    source: NDArray[Any]
    norm: NDArray[np.float64]
    same_from: NDArray[np.int64]
    same_to: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.x.shape[0])

    @classmethod
    def ready(
        cls, rows: Rows, points: NDArray[Any], codes: NDArray[np.int64], centre: NDArray[np.float64] | None
    ) -> Judges:
        """Bring points into the space of the rows.

        Args:
            rows: From :func:`prepare`.
            points: As given, ``(n_validation, d)``.
            codes: Class of each point, ``(n_validation,)``.
            centre: The centre that ``rows`` were prepared with.
        """
        dtype: DType = "float64" if rows.x.dtype == np.float64 else "float32"
        own = prepare(points, np.zeros(len(points), dtype=np.int64), 1, rows.metric, centre=centre, dtype=dtype)
        slack = own.rounding * own.energy + own.underflow
        return cls(own.x, slack, own.energy, points, own.norm, rows.starts[codes], rows.starts[codes + 1])

    def take(self, start: int, stop: int) -> Judges:
        """Some of the points."""
        return Judges(*(getattr(self, field.name)[start:stop] for field in fields(self)))

    def thresholds(self, rows: Rows, radius: float) -> tuple[NDArray[Any], NDArray[Any]]:
        """Products at or above the first are surely inside, below the second surely outside."""
        limit = radius_limit(radius)
        # cosine: product >= 1 - limit. euclidean: product - half >= (|v|^2 - limit^2) / 2.
        at = np.full(len(self.x), 1.0 - limit) if rows.metric == "cosine" else self.energy - 0.5 * limit**2
        slack = self.slack + rows.rounding * 0.5 * limit**2
        up, down = np.asarray(np.inf, rows.x.dtype), np.asarray(-np.inf, rows.x.dtype)
        with np.errstate(over="ignore"):  # a radius beyond float32 takes in everybody
            return (
                np.nextafter((at + slack).astype(rows.x.dtype), up),
                np.nextafter((at - slack).astype(rows.x.dtype), down),
            )


# -- links within a radius -------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LinkBits:
    """Which rows are within the radius of which validation points, as bits, and how many of each label.

    Args:
        bits: ``(ceil(n_validation / 8), n_train)`` uint8 in the order of ``rows.x``: bit ``z % 8`` of
            ``bits[z // 8, i]`` says whether row ``i`` is a neighbour of point ``z``.
        n_same: How many neighbours share each point's label, int64 ``(n_validation,)``.
        n_other: How many do not, int64 ``(n_validation,)``.
        near: How many pairs were too close to call in the screening type and were decided in float64.
    """

    bits: NDArray[np.uint8]
    n_same: NDArray[np.int64]
    n_other: NDArray[np.int64]
    near: int

    def mask(self) -> NDArray[np.bool_]:
        """The links as a boolean ``(n_validation, n_train)`` matrix; for looking at small cases."""
        bits = np.unpackbits(self.bits, axis=0, bitorder="little")
        return bits[: self.n_same.shape[0]].astype(np.bool_)

    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """``n_same`` and ``n_other``, without the bits: counts of several parts of the rows merge by addition."""
        return self.n_same, self.n_other


def link(
    rows: Rows,
    judges: Judges,
    radius: float,
    *,
    threads: int = 1,
    tick: Tick | None = None,
) -> LinkBits:
    """Link every training row with every validation point within the radius, and count.

    Args:
        rows: Training rows from :func:`prepare`.
        judges: Validation points from :meth:`Judges.ready`.
        radius: In the metric's unit; inside means ``<=``.
        threads: How many threads share the tiles.
        tick: Called after each tile with 1; there are :func:`link_jobs` of them.

    Returns:
        Bits and counts: exact, and the same for any number of threads and any tiling.
    """
    n, m = len(rows), len(judges)
    tiles = _tiles(n, m)
    bits = np.zeros((-(-m // 8), n), dtype=np.uint8)
    tally = np.zeros((threads, 3, m), dtype=np.int64)  # links, same-label links, close calls
    sure_at, maybe_at = judges.thresholds(rows, radius)
    sure_lift = (rows.half + rows.slack).astype(rows.x.dtype)
    maybe_lift = (rows.half - rows.slack).astype(rows.x.dtype)
    limit = radius_limit(radius)
    scratch = [np.empty(min(m, _POINTS) * _tile_rows(m), dtype=rows.x.dtype) for _ in range(threads)]
    marks = [np.empty(_tile_rows(m), dtype=np.uint8) for _ in range(threads)]

    def tile(worker: int, number: int) -> None:
        z0, z1, i0, i1 = tiles[number]
        products = scratch[worker][: (z1 - z0) * (i1 - i0)].reshape(z1 - z0, i1 - i0)
        np.dot(judges.x[z0:z1], rows.x[i0:i1].T, out=products)
        _link_tile(
            products, sure_lift[i0:i1], maybe_lift[i0:i1], sure_at[z0:z1], maybe_at[z0:z1],
            judges.same_from[z0:z1] - i0, judges.same_to[z0:z1] - i0,
            rows.source, rows.norm, rows.order[i0:i1], judges.source[z0:z1], judges.norm[z0:z1],
            limit, rows.metric == "cosine", bits[z0 // 8 : -(-z1 // 8), i0:i1], marks[worker],
            tally[worker, :, z0:z1],
        )  # fmt: skip

    run(tile, len(tiles), threads, tick)
    links, same, near = tally.sum(axis=0)
    return LinkBits(bits, same, links - same, int(near.sum()))


def link_jobs(n_train: int, n_validation: int) -> int:
    """How many times :func:`link` ticks."""
    return len(_tiles(n_train, n_validation))


def _tile_rows(n_validation: int) -> int:
    return max(1024, _TILE // min(n_validation, _POINTS))


def _tiles(n_train: int, n_validation: int) -> list[tuple[int, int, int, int]]:
    """Tiles of points and rows; point ranges start at multiples of 8, so tiles share no byte of bits."""
    return [
        (z0, z1, i0, i1)
        for z0, z1 in blocks(n_validation, _POINTS)
        for i0, i1 in blocks(n_train, _tile_rows(n_validation))
    ]


@njit(nogil=True, cache=True)
def _link_tile(  # type: ignore[no-untyped-def]
    products, sure_lift, maybe_lift, sure_at, maybe_at, same_from, same_to,
    source, norm, order, points, point_norm, limit, cosine, bits, mark, tally,
):  # fmt: skip
    n_points, n = products.shape
    mark = mark[:n]
    for z in range(n_points):
        g = products[z]
        sure = sure_at[z]
        maybe = maybe_at[z]
        for i in range(n):
            mark[i] = np.uint8(g[i] - sure_lift[i] >= sure)
        inside = np.uint32(0)
        for i in range(n):
            inside += np.uint32(mark[i])
        possible = np.uint32(0)
        for i in range(n):
            possible += np.uint32(g[i] - maybe_lift[i] >= maybe)
        if possible > inside:
            for i in range(n):
                if mark[i] == 0 and g[i] - maybe_lift[i] >= maybe:
                    j = order[i]
                    if _distance(source[j], points[z], norm[j], point_norm[z], cosine) <= limit:
                        mark[i] = 1
                        inside += np.uint32(1)
                    tally[2, z] += 1
        tally[0, z] += inside
        a = min(max(same_from[z], 0), n)
        b = min(max(same_to[z], a), n)
        same = np.uint32(0)
        for i in range(b - a):
            same += np.uint32(mark[a:b][i])
        tally[1, z] += same
        byte = bits[z >> 3]
        shift = np.uint8(z & 7)
        for i in range(n):
            byte[i] |= mark[i] << shift


def tally(
    rows: Rows, bits: NDArray[np.uint8], point_codes: NDArray[np.int64], *, threads: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count links given as bits, as :func:`link` does on the way.

    Args:
        rows: The rows that were linked.
        bits: Some of their links, ``(ceil(n_validation / 8), n_train)``.
        point_codes: Class of each validation point, ``(n_validation,)``.
        threads: How many threads share the points.

    Returns:
        ``n_same`` and ``n_other``, int64 ``(n_validation,)``.
    """
    groups = bits.shape[0]
    found = np.zeros((groups, 8, len(rows.starts) - 1), dtype=np.int64)  # links by class of the row

    def part(_: int, group: int) -> None:
        _tally_group(bits[group], rows.starts, found[group])

    run(part, groups, threads)
    by_class = found.reshape(groups * 8, -1)[: point_codes.size]
    same = by_class[np.arange(point_codes.size), point_codes]
    return same, by_class.sum(axis=1) - same


@njit(nogil=True, cache=True)
def _tally_group(byte, starts, found):  # type: ignore[no-untyped-def]
    for c in range(starts.shape[0] - 1):
        seen = np.zeros(256, np.int64)
        for i in range(starts[c], starts[c + 1]):
            seen[byte[i]] += 1
        for value in range(256):
            for bit in range(8):
                if (value >> bit) & 1:
                    found[bit, c] += seen[value]


@njit(nogil=True, cache=True)
def pick_links(bits, keep, out):  # type: ignore[no-untyped-def]
    """Keep some of the links of eight points: the set bits of ``bits`` in order, one entry of ``keep`` each.

    Args:
        bits: Links, one byte a row, ``(n,)``.
        keep: Bool, as many as there are set bits.
        out: The links that are kept, ``(n,)`` uint8; overwritten.
    """
    at = 0
    for i in range(bits.shape[0]):
        left = bits[i]
        kept = np.uint8(0)
        while left:
            lowest = np.uint8(left & (~left + np.uint8(1)))
            if keep[at]:
                kept |= lowest
            at += 1
            left ^= lowest
        out[i] = kept


# -- rows ranked by distance -----------------------------------------------------------------------


def products(
    rows: Rows,
    judges: Judges,
    *,
    threads: int = 1,
    tick: Tick | None = None,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Screened gaps of every row to some validation points: what orders rows by distance.

    A gap is minus the cosine similarity, or half the squared distance less what only the point decides.

    Args:
        rows: Training rows.
        judges: A panel of validation points, few enough that ``n_train`` numbers for each fit in memory.
        threads: How many threads share the tiles.
        tick: Called after each tile with 1; there are :func:`product_jobs` of them.
        out: Where to put them, to spare the memory of a new array.

    Returns:
        ``(len(judges), n_train)`` in the type of ``rows.x``, in the order of ``rows.x``.
    """
    gaps = np.empty((len(judges), len(rows)), dtype=rows.x.dtype) if out is None else out
    away = -judges.x  # a product with the point turned around is minus the product: one pass less
    tiles = _tiles(len(rows), len(judges))

    def tile(_: int, number: int) -> None:
        z0, z1, i0, i1 = tiles[number]
        part = gaps[z0:z1, i0:i1]
        np.matmul(away[z0:z1], rows.x[i0:i1].T, out=part)
        if rows.metric == "euclidean":
            np.add(part, rows.half[i0:i1], out=part)

    run(tile, len(tiles), threads, tick)
    return gaps


def product_jobs(n_train: int, n_points: int) -> int:
    """How many times :func:`products` ticks."""
    return len(_tiles(n_train, n_points))


def settle_ties(gaps: NDArray[Any], nearest: int, rows: Rows, judges: Judges, z: int, pick: NDArray[np.uint32]) -> None:
    """Put the nearest rows in their exact order, by editing the gaps of rows too close to call.

    Rows whose gaps differ by less than the rounding bound are ordered by :func:`pair_distance`, then by their
    place in the data; their gaps are dealt out again in that order, and equal distances get equal gaps.

    Args:
        gaps: Gaps of all rows to one point, from :func:`products`, ``(n,)``; edited in place.
        nearest: How many of the nearest rows to settle; ``n`` settles all.
        rows: The training rows.
        judges: The validation points.
        z: Which point the gaps are to.
        pick: Scratch, ``(n,)``.
    """
    _settle_ties(
        gaps, nearest, rows.order, rows.slack, rows.most_slack, rows.rounding, judges.slack[z], judges.energy[z],
        rows.source, rows.norm, judges.source[z], judges.norm[z], rows.metric == "cosine", pick,
    )  # fmt: skip


@njit(nogil=True, cache=True)
def _settle_ties(  # type: ignore[no-untyped-def]
    gaps, nearest, order, slack, most_slack, rounding, point_slack, point_energy,
    source, norm, point, point_norm, cosine, pick,
):  # fmt: skip
    m = _pick_up_to(gaps, _count_bound(gaps, nearest), pick)
    near, found, spare = _sorted_picks(gaps, pick, m)
    # No true gap of the nearest exceeds c, and a row whose true gap does not is no longer than the point lets it
    # be: from half |x|^2 - x.v <= c follows |x| <= |v| + sqrt(|v|^2 + 2 c). That limits its share of the bound.
    cutoff = np.float64(found[nearest - 1])
    c = cutoff + _largest(slack, near[:nearest]) + point_slack
    reach = np.sqrt(point_energy) + np.sqrt(max(point_energy + c, 0.0))
    band = 2.0 * (min(most_slack, 1.01 * rounding * reach * reach) + point_slack)
    edge = np.nextafter(gaps.dtype.type(cutoff + band), gaps.dtype.type(np.inf))
    if edge > found[m - 1] and m < gaps.shape[0]:  # more rows may tie with the last of the nearest
        m = _pick_up_to(gaps, edge, pick)
        near, found, spare = _sorted_picks(gaps, pick, m)
    band = 2.0 * (_largest(slack, near) + point_slack)
    exact = np.empty(m)
    place = np.empty(m, np.int64)
    spare_exact = np.empty(m)
    spare_place = np.empty(m, np.int64)
    # From the farthest run to the nearest, gaps are dealt downwards: below them stand only rows that were picked.
    stop = m
    last = gaps.dtype.type(np.inf)
    while stop > 0:
        start = stop - 1  # rows of one run may stand in any order
        while start > 0 and np.float64(found[start]) - np.float64(found[start - 1]) <= band:
            start -= 1
        alone = stop == start + 1
        if not alone:
            for j in range(start, stop):
                place[j] = order[near[j]]
            sort_stably(place[start:stop], near[start:stop], spare_place, spare)
            for j in range(start, stop):
                exact[j] = _distance(source[place[j]], point, norm[place[j]], point_norm, cosine)
            sort_stably(exact[start:stop], near[start:stop], spare_exact, spare)
        for j in range(stop - 1, start - 1, -1):
            gap = found[j]
            if j < stop - 1 and exact[j] == exact[j + 1]:
                gap = last
            elif gap >= last:
                gap = np.nextafter(last, -gaps.dtype.type(np.inf))
            gaps[near[j]] = gap
            last = gap
        stop = start


@njit(nogil=True, cache=True)
def _sorted_picks(gaps, pick, m):  # type: ignore[no-untyped-def]
    """The picked rows in ascending order of their gaps, the gaps, and scratch."""
    near = pick[:m].copy()
    found = np.empty(m, gaps.dtype)
    for j in range(m):
        found[j] = gaps[near[j]]
    spare = np.empty_like(near)
    sort_stably(found, near, np.empty_like(found), spare)
    return near, found, spare


@njit(nogil=True, cache=True)
def _largest(values, at):  # type: ignore[no-untyped-def]
    most = values[at[0]]
    for j in range(at.shape[0]):
        most = max(most, values[at[j]])
    return most


@njit(nogil=True, cache=True)
def _count_bound(values, count):  # type: ignore[no-untyped-def]
    """A number that at least ``count`` values do not exceed, and not many more.

    The values are laid in four times as many columns; the count-th smallest of the columns' least is such a
    bound, and on shuffled values about a sixth more than ``count`` lie below it.
    """
    if 4 * count >= values.shape[0]:
        return values.dtype.type(np.inf)
    return select(_column_least(values, 4 * count), count - 1)


@njit(nogil=True, cache=True)
def _column_least(values, width):  # type: ignore[no-untyped-def]
    least = values[:width].copy()
    for start in range(width, values.shape[0], width):
        strip = values[start : min(start + width, values.shape[0])]
        for j in range(strip.shape[0]):
            least[j] = strip[j] if strip[j] < least[j] else least[j]
    return least


@njit(nogil=True, cache=True)
def _distances_at(source, place, norm, point, point_norm, cosine):  # type: ignore[no-untyped-def]
    out = np.empty(place.shape[0])
    for j in range(place.shape[0]):
        i = place[j]
        out[j] = _distance(source[i], point, norm[i], point_norm, cosine)
    return out


@njit(nogil=True, cache=True)
def _pick_up_to(values, bound, pick):  # type: ignore[no-untyped-def]
    """Positions of all values up to the bound, in order; returns how many."""
    m = 0
    for start in range(0, values.shape[0], 32):
        block = values[start : min(start + 32, values.shape[0])]
        hit = False
        for i in range(block.shape[0]):
            hit |= block[i] <= bound
        if hit:
            for i in range(block.shape[0]):
                if block[i] <= bound:
                    pick[m] = start + i
                    m += 1
    return m


def distances_to(rows: NDArray[Any], point: NDArray[Any], metric: Metric) -> NDArray[np.float64]:
    """The :func:`pair_distance` of every row to one point, ``(n,)``."""
    norm, point_norm = np.ones(len(rows)), 1.0
    if metric == "cosine":
        norm, point_norm = _lengths(rows), float(_lengths(point[np.newaxis])[0])
    return np.asarray(_distances_at(rows, np.arange(len(rows)), norm, point, point_norm, metric == "cosine"))


@njit(nogil=True, cache=True)
def _lengths(rows):  # type: ignore[no-untyped-def]
    out = np.empty(rows.shape[0])
    for i in range(rows.shape[0]):
        out[i] = np.sqrt(_dot(rows[i], rows[i]))
    return out


def nearest_first(
    rows: NDArray[Any], point: NDArray[Any], metric: Metric
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Every row in order of distance to one point, all in float64; equal distances in the order given.

    Args:
        rows: As given, ``(n, d)``.
        point: As given, ``(d,)``.
        metric: ``"cosine"`` or ``"euclidean"``.

    Returns:
        Positions of the rows, nearest first, and their distances in that order, both ``(n,)``.

    Example:
        >>> import numpy as np
        >>> nearest_first(np.array([[3.0], [1.0]]), np.array([0.0]), "euclidean")
        (array([1, 0]), array([1., 3.]))
    """
    distance = distances_to(rows, point, metric)
    order = np.argsort(distance, kind="stable")
    return order, distance[order]


def pairwise(rows: NDArray[Any], metric: Metric) -> NDArray[np.float64]:
    """Every distance between a few rows, float64 ``(n, n)``; for public sets small enough to hold it."""
    return np.stack([distances_to(rows, row, metric) for row in rows])
