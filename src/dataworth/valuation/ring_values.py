"""KNN-Shapley of rows too many for memory: ranks near by, rings further out, part by part, on any engine.

The first pass finds the nearest rows of every point, and takes along a sample of rows that says where rings shall lie.
The second counts the rows of each ring. The third adds what every point gives to the rows of its rings, and puts right
the few that are ranked. Lists merge by distance and place, counts add up, and a row's sum goes from point to point: so
how rows are cut into parts, who works on them and in what order changes no bit of any value.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from dataworth.data.sources import Part, Piece, Source
from dataworth.errors import DataError, InputError
from dataworth.kernels.knn import soft_gifts
from dataworth.kernels.matching import keep_nearest, nearest
from dataworth.kernels.rings import add_rings, choose_edges, count_rings, rank_values, ring_tables
from dataworth.kernels.team import blocks
from dataworth.records.stored import StoredValues
from dataworth.valuation.methods import KNNShapley
from dataworth.valuation.part_job import PartJob
from dataworth.valuation.part_memory import MOST_ROWS, Need, names_bytes
from dataworth.valuation.part_run import Figures, PartRun, Setting
from dataworth.valuation.part_survey import survey_rows
from dataworth.valuation.parts_kept import PartsKept
from dataworth.valuation.provenance import provenance
from dataworth.valuation.task import bar

__all__ = ["DEFAULT_ERROR", "value_rings"]

DEFAULT_ERROR = 0.002
_RINGS = 127
# Places among all rows that are looked at for where rings shall lie.
_SAMPLE = 32_768
# Points whose edges are chosen in one call.
_POINTS = 64

_NEAREST = "nearest"

Arrays: TypeAlias = dict[str, NDArray[Any]]


def value_rings(job: PartJob, method: KNNShapley, how: Setting, *, error: float = DEFAULT_ERROR) -> StoredValues:
    """The KNN-Shapley value of every row of files, each within a known distance of the exact one.

    Args:
        job: The rows and the points.
        method: The game.
        how: Where to, with what.
        error: How far from its exact value a row's value may be. The ``1 / error`` nearest rows of each point are
            ranked, and with no more rows than these all values are exact. How far off values can be at most was worked
            out from what was counted: ``provenance["error bound"]``, mostly many times less.

    Returns:
        What was written.

    Raises:
        InputError: ``error`` out of range, and as for ``value_source``.
        DataError: Anything wrong with a file or a row.
    """
    began = perf_counter()
    _check_error(error)
    listed = min(max(math.ceil(1 / error), method.k + 1), max(job.source.rows, 1))
    need, disk = _need(job, listed)
    with PartRun.begin(job.source, job.digest(method, listed, _RINGS, _SAMPLE), how, need, disk=disk) as run:
        if isinstance(run, StoredValues):
            return run
        if how.survey:
            survey_rows(job, run, depth=3)
        with run.at_work() as passes:
            found = _first_pass(_Lists(job, run.kept, listed), passes)
            job.check_files()
            if not found.n:
                run.kept.give_up(run.parts)
                raise DataError(f"no row of {job.source} passes")
            edges = _edges(job, passes, found)
            rings = _Rings(job, run.kept, edges)
            counts = _second_pass(rings, passes) if found.others else _ranked_in(job, edges, found)[1]
            job.check_files()
            given, bound = _given(job, method, run.kept, edges, found, counts)
            figures = passes.add_values(_add, given, given.digest)
        job.check_files()

        def about(rows: int) -> dict[str, str | int | float]:
            return {
                **provenance(rows, job.source.width, job.n_classes, job.dtype, how.engine.workers, began),
                "error bound": bound,
                "ranked rows of a point": found.ranked,
                "rings of a point": edges.shape[1] + 1 if found.others else 0,
            }

        return run.finish(figures, method=repr(method), n_validation=len(job.points), provenance=about)


def _check_error(error: float) -> None:
    if not isinstance(error, int | float) or isinstance(error, bool) or not 0 < error <= 1:
        raise InputError(f"error must be a number above 0 and at most 1, not {error!r}")


def _need(job: PartJob, listed: int) -> tuple[Need, int]:
    """What the job takes of the memory and, as far as is known, of the disk."""
    source, points = job.source, len(job.points)
    lists = points * listed * 16
    tables = points * _RINGS * 16
    numbers = source.dtype.itemsize + np.dtype(job.dtype).itemsize
    candidates = points * (5 * listed // 2 + 40) * 8 + 64 * 2**20  # of ``nearest``
    sample = min(source.rows, _SAMPLE) * source.width * source.dtype.itemsize
    need = Need(
        hint="ask for a larger error, ",
        row=source.width * numbers + names_bytes(source) + 64,
        worker=points * source.width * 24 + 2 * lists + 3 * tables + candidates + 2**25,
        once=6 * lists + 4 * tables + 2 * sample,
    )
    return need, -(-source.rows // MOST_ROWS) * (lists + tables) + sample


Told = TypeVar("Told")


def _each(
    run: PartRun, job: Callable[[Told, Part], Arrays], told: Told, what: str, title: str
) -> Iterator[tuple[Part, Arrays]]:
    """What a job finds about each part, in any order; from the folder what an earlier run kept."""
    left = []
    for part in run.parts:
        known = run.kept.find(part, what)
        if known is None:
            left.append(part)
        else:
            yield part, known
    with bar(len(left), title, run.progress) as tick:
        for at, found in run.engine.run(job, told, left, tick=tick):
            yield left[at], found


# -- the nearest, and a sample ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Lists:
    """What the first pass needs: how many of the nearest rows are ranked, if there are as many."""

    job: PartJob
    kept: PartsKept
    listed: int


@dataclass(frozen=True, eq=False)
class _Found:
    """What the first pass found.

    Args:
        n: How many rows there are.
        rows_of: How many of each class, the last for labels that are no class, ``(n_classes + 1,)``.
        place: Which rows are the nearest of each point, nearest first, ``(n_validation, ranked)``.
        code: Their classes.
        distance: Their distances.
        sample: Some of all rows, as given.
    """

    n: int
    rows_of: NDArray[np.int64]
    place: NDArray[np.int64]
    code: NDArray[np.int64]
    distance: NDArray[np.float64]
    sample: NDArray[Any]

    @property
    def ranked(self) -> int:
        """How many rows of each point."""
        return int(self.place.shape[1])

    @property
    def others(self) -> int:
        """How many rows of each point are not ranked."""
        return self.n - self.ranked


def _rank(told: _Lists, part: Part) -> Arrays:
    """First pass: the nearest rows of a part, what classes it has, and its share of the sample."""
    job, kept = told.job, told.kept
    kept.check_seen()
    piece = job.source.read(part)
    codes = job.codes(piece)
    key, distance = np.empty((len(job.points), 0), dtype=np.int64), np.empty((len(job.points), 0))
    if len(piece):
        at, distance = nearest(*job.ready(part, piece), min(told.listed, len(piece)), threads=1)
        key = (part.first + at) * (job.n_classes + 1) + codes[at] % (job.n_classes + 1)
    found: Arrays = {
        "key": key,
        "distance": distance,
        "rows_of": np.bincount(codes % (job.n_classes + 1), minlength=job.n_classes + 1),
        "sample": piece.x[_sampled(_places(job.source, part, piece), job.source.rows)],
    }
    kept.keep(part, _NEAREST, found)
    return found


def _places(source: Source, part: Part, piece: Piece) -> NDArray[np.int64]:
    """The places of rows among all rows of all files, before any filter."""
    if source.filter is None:
        return part.first + np.arange(len(piece))
    if source.id is None:
        return piece.ids
    return source.places_only().read(part).ids


def _sampled(places: NDArray[np.int64], rows: int) -> NDArray[np.bool_]:
    """Which places are in the sample: evenly spaced, or all if they are few."""
    return np.asarray((places == 0) | (places * _SAMPLE // rows != (places - 1) * _SAMPLE // rows))


def _first_pass(told: _Lists, run: PartRun) -> _Found:
    """The nearest rows of all parts.

    A key is a row's place and its class, so that lists merge by distance and place. Rows that a filter leaves out are
    not counted in the places of a part: they keep their order, and that is all that matters.
    """
    job = told.job
    classes, shape = job.n_classes + 1, (len(job.points), 0)
    key, distance = np.empty(shape, dtype=np.int64), np.empty(shape)
    rows_of, samples = np.zeros(classes, dtype=np.int64), dict[int, NDArray[Any]]()
    for part, found in _each(run, _rank, told, _NEAREST, "Ranking the nearest"):
        rows_of += found["rows_of"]
        samples[part.number] = found["sample"]
        both = np.concatenate([key, found["key"]], axis=1), np.concatenate([distance, found["distance"]], axis=1)
        key, distance = keep_nearest(*both, min(told.listed, both[0].shape[1]))
    sample = np.concatenate([samples[part.number] for part in run.parts])
    return _Found(int(rows_of.sum()), rows_of, key // classes, key % classes, distance, sample)


# -- rings -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Choice:
    """What edges are chosen from: a sample of ``n`` rows of which so many are ranked."""

    job: PartJob
    sample: NDArray[Any]
    n: int
    ranked: int


def _choose(told: _Choice, which: tuple[int, int]) -> NDArray[np.float64]:
    """Edges of some points."""
    job = told.job
    return choose_edges(told.sample, job.points[slice(*which)], job.metric, told.n, told.ranked, _RINGS)


def _edges(job: PartJob, run: PartRun, found: _Found) -> NDArray[np.float64]:
    """The edges of every point; none if all rows are ranked."""
    if not found.others:
        return np.empty((len(job.points), 0))
    some = blocks(len(job.points), _POINTS)
    told = _Choice(job, found.sample, found.n, found.ranked)
    edges: list[NDArray[np.float64]] = [np.empty(0)] * len(some)
    with bar(len(some), "Placing rings", run.progress) as tick:
        for at, own in run.engine.run(_choose, told, some, tick=tick):
            edges[at] = own
    return np.concatenate(edges)


@dataclass(frozen=True, eq=False)
class _Rings:
    """What the second pass needs."""

    job: PartJob
    kept: PartsKept
    edges: NDArray[np.float64]

    @cached_property
    def name(self) -> str:
        """Under which counts are kept: counts of other edges are of no use."""
        return f"rings-{hashlib.blake2b(self.edges.tobytes(), digest_size=8).hexdigest()}"


def _count(told: _Rings, part: Part) -> Arrays:
    """Second pass: how many rows of a part are in each ring."""
    told.kept.check_seen()
    piece = told.job.source.read(part)
    counts = np.zeros((2, len(told.edges), told.edges.shape[1] + 1), dtype=np.int64)
    if len(piece):
        counts = count_rings(*told.job.ready(part, piece), told.edges)
    found = {"counts": counts}
    told.kept.keep(part, told.name, found)
    return found


def _second_pass(told: _Rings, run: PartRun) -> NDArray[np.int64]:
    """How many rows there are in each ring of each point, ``(2, n_validation, rings)``."""
    total = np.zeros((2, len(told.edges), told.edges.shape[1] + 1), dtype=np.int64)
    for _, found in _each(run, _count, told, told.name, "Counting rings"):
        total += found["counts"]
    return total


def _ranked_in(job: PartJob, edges: NDArray[np.float64], found: _Found) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The ring of every ranked row, and how many of them are in each."""
    ring = np.stack([np.searchsorted(own, there) for own, there in zip(edges, found.distance, strict=True)])
    counts = np.zeros((2, len(edges), edges.shape[1] + 1), dtype=np.int64)
    side = (found.code != job.point_codes[:, None]).astype(np.int64)
    np.add.at(counts, (side, np.arange(len(edges))[:, None], ring), 1)
    return ring, counts


# -- values ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Given:
    """What the third pass needs.

    Args:
        job: The rows and the points.
        kept: What the folder holds.
        edges: Of the rings of each point; None if all rows are ranked.
        same: What a point gives a row of its label in each ring.
        other: What it gives a row of another label.
        places: Of ranked rows, ascending; a row's in the order of the points it is ranked by.
        puts_right: What a ranked row gets besides what its ring gives, for each of ``places``.
        gift: What all points give a row of each class on top, the last for labels that are no class.
        guess: What they take from every row.
    """

    job: PartJob
    kept: PartsKept
    edges: NDArray[np.float64] | None
    same: NDArray[np.float64]
    other: NDArray[np.float64]
    places: NDArray[np.int64]
    puts_right: NDArray[np.float64]
    gift: NDArray[np.float64]
    guess: float

    @cached_property
    def digest(self) -> str:
        """Of all that values are made from besides the rows."""
        digest = hashlib.blake2b(repr(self.guess).encode(), digest_size=16)
        for array in (self.edges, self.same, self.other, self.places, self.puts_right, self.gift):
            digest.update(b"" if array is None else np.ascontiguousarray(array).data)
        return digest.hexdigest()


def _given(
    job: PartJob,
    method: KNNShapley,
    kept: PartsKept,
    edges: NDArray[np.float64],
    found: _Found,
    counts: NDArray[np.int64],
) -> tuple[_Given, float]:
    """What points give, and how far off any value can be."""
    soft = method.normalise == "subset"
    k = min(method.k, found.n) if soft else method.k
    ring, ranked = _ranked_in(job, edges, found)
    tables = ring_tables(counts, ranked, k)
    match = found.code == job.point_codes[:, None]
    of_ring = [np.take_along_axis(table, ring, axis=1) for table in (tables.same, tables.other)]
    puts_right = rank_values(match, k, tables.beyond) - np.where(match, *of_ring)
    order = np.argsort(found.place, axis=None, kind="stable")
    gift, guess = np.zeros(job.n_classes + 1), 0.0
    if soft:
        gift, guess = soft_gifts(found.rows_of[:-1], found.n, job.point_codes, k)
    given = _Given(
        job=job,
        kept=kept,
        edges=edges if found.others else None,
        same=tables.same,
        other=tables.other,
        places=found.place.reshape(-1)[order],
        puts_right=puts_right.reshape(-1)[order],
        gift=gift,
        guess=guess,
    )
    return given, math.fsum(tables.bound.tolist()) / len(job.points)


def _add(told: _Given, part: Part) -> Figures:
    """Third pass: add what points give the rows of a part, and write its values."""
    job, kept = told.job, told.kept
    kept.check_seen()
    piece = (job.source.names_only() if told.edges is None else job.source).read(part)
    codes = job.codes(piece)
    values = np.zeros(len(codes))
    if len(codes):
        if told.edges is not None:
            values = add_rings(*job.ready(part, piece), told.edges, told.same, told.other)
        here = slice(*np.searchsorted(told.places, [part.first, part.first + part.rows]))
        np.add.at(values, told.places[here] - part.first, told.puts_right[here])
        values = (values + told.gift[codes] - told.guess) / len(job.points)
    kept.keep_values(part, told.digest, piece.ids, piece.owners, values)
    return Figures.of(values)
