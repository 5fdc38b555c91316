"""Values by likeness of items too many for memory: match, divide, add, part by part, on any engine.

The first pass finds the nearest items of every part; the nearest of all parts side by side are the nearest of all.
Shares are divided once, and the second pass adds them up, one item at a time. So how items are cut into parts, who
works on them and in what order changes no bit of any value.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dataworth.data.sources import Part, Source
from dataworth.engines.engine import Engine
from dataworth.engines.local import Local
from dataworth.errors import DataError, InputError, MethodError
from dataworth.kernels import matching, neighbors
from dataworth.kernels.neighbors import DType, Judges
from dataworth.records import Items
from dataworth.records.files import whole_file
from dataworth.records.stored import ATTRIBUTIONS, StoredValues, part_name, read_part
from dataworth.valuation.generated import check_worth
from dataworth.valuation.items import read_items
from dataworth.valuation.matching import FLOAT32_REACH, check_directions, largest
from dataworth.valuation.methods import SimilarityMatch
from dataworth.valuation.part_memory import DEFAULT_MEMORY, MOST_ROWS, Need, names_bytes, parse_memory
from dataworth.valuation.part_run import Figures, PartRun, Setting
from dataworth.valuation.parts_kept import PartsKept
from dataworth.valuation.provenance import provenance
from dataworth.valuation.sides import check_judged, qualities, quoted, x_of
from dataworth.valuation.task import bar

__all__ = ["credit_source"]

_REACH = 1e150  # squares of larger numbers leave float64
# What ``matching.nearest`` takes, in bytes: for a row, and besides, where a point looks at all rows again; and how many
# lists of candidates it has at a time, at most 64 a point, with what a place in a list takes.
_LOOK, _AGAIN = 64, 64 * 2**20
_LISTED, _LIST = 2**14, 24


def credit_source(
    generated: Any,
    source: Source,
    *,
    method: SimilarityMatch,
    out: str | os.PathLike[str],
    engine: Engine | None = None,
    memory: int | str = DEFAULT_MEMORY,
    part_rows: int | None = None,
    survey: bool = True,
    progress: bool | None = None,
) -> StoredValues:
    """The value of every training item in files, by its likeness to what a generative model made, written as files.

    The values are those of :func:`dataworth.value_generated`, to the last bit, whatever the parts, the engine and the
    number of workers. What was done is kept in the folder until all is done: a run that was stopped anywhere goes on
    by the same call, and ends with the same bytes.

    Args:
        generated: What the model made, with vectors: :class:`Items`, or whatever :func:`read_items` takes.
        source: The files of what it was trained on, from ``Source.open``: a column of vectors, or of their numbers.
            Labels are not looked at.
        method: How to match: ``recall="exact"``, and no ``rerank``.
        out: A folder for the values, new or of an earlier run of this very call; workers of a cluster must see it
            under the same path. Matches are in it, too: ``StoredValues.attributions``.
        engine: Where parts are worked on; by default threads of this machine, one for each core.
        memory: What all workers may take together, in bytes or such as ``"2GiB"``; parts are cut to fit. Generated
            items and their matches are in memory, in every process.
        part_rows: How many items a part has, if not by memory; a row group larger than that is a part by itself.
        survey: Read everything once before, so that what is wrong with any item or file is told before hours of work.
            Without it, ids that repeat are not found.
        progress: Whether to show progress bars; by default only on a terminal.

    Returns:
        What was written: the folder and figures about it.

    Raises:
        DataError: Anything wrong with a file or an item; the message names the file.
        InputError: A folder that holds something else or cannot be written, or memory that does not suffice for one
            row group.
        MethodError: A method that needs more than vectors, or all of them at once; fewer training items than ``k``.

    Example:
        >>> import tempfile
        >>> import dataworth as dw, pyarrow as pa, pyarrow.parquet as pq
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     train = pa.table({"name": ["a", "b", "c"], "vector": [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]})
        ...     pq.write_table(train, f"{folder}/train.parquet")
        ...     source = Source.open(f"{folder}/train.parquet", label=None, id="name")
        ...     made = dw.Items([[1.0, 0.1], [0.1, 1.0]])
        ...     found = credit_source(made, source, method=dw.SimilarityMatch(k=2), out=f"{folder}/values")
        ...     found.load().values.round(3)
        array([0.535, 0.886, 0.579])
    """
    if not isinstance(source, Source):
        raise InputError("credit_source takes a Source of files; value_generated takes items in memory")
    how = Setting(out, Local() if engine is None else engine, parse_memory(memory), part_rows, survey, progress)
    began = perf_counter()
    job = _Job.of(read_items(generated), source, method, progress)
    disk = -(-source.rows // MOST_ROWS) * len(job.made) * method.k * 16  # matches of each part, at the least
    with PartRun.begin(source, job.digest, how, _need(job), disk=disk) as run:
        if isinstance(run, StoredValues):
            return run
        if survey and not run.kept.surveyed.exists():
            _survey(job, run)
        with run.at_work() as passes:
            at, distance = _match(job, passes)
            share = matching.credit(distance, job.worth, method.temperature)
            told = _Shared(job, run.kept, at, share)
            figures = passes.add_values(_add, told, told.weights)
        run.kept.check_values(run.parts)
        with run.kept.room():
            _write(_table(job, run, at, distance, share), run.kept.out / ATTRIBUTIONS)

        def about(rows: int) -> dict[str, str | int | float]:
            facts = provenance(rows, source.width, 0, "float32", how.engine.workers, began)
            del facts["classes"]  # nobody votes
            return facts | {
                "generated": len(job.made),
                "k": method.k,
                "temperature": method.temperature,
                "metric": method.metric,
                "recall": "exact",
                "rerank": "none",
                "vectors": "given",
                "skipped in generated": len(job.made.skipped),
            }

        return run.finish(figures, method=repr(method), n_validation=len(job.made), provenance=about)


# -- what every worker is told ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Job:
    """Generated items, and the files whose items they are matched with.

    Args:
        made: Generated items, with vectors.
        worth: Of each, ``(m,)``.
        source: The files.
        method: How to match.
    """

    made: Items
    worth: NDArray[np.float64]
    source: Source
    method: SimilarityMatch

    @classmethod
    def of(cls, made: Items, source: Source, method: SimilarityMatch, progress: bool | None) -> _Job:
        _check_method(method)
        if source.allow_missing:
            raise InputError("items are matched by all their numbers; open their files without allow_missing")
        if made.x is None:
            raise DataError(
                "generated has no vectors; make them by the model that made those in the files, for example with "
                "dataworth.embed_items"
            )
        if source.width != made.x.shape[1]:
            raise DataError(
                f"vectors of train have {source.width} numbers, but those of generated {made.x.shape[1]}; make both by "
                "the same model"
            )
        if source.rows < method.k:
            raise _too_few(method, source.rows)
        check_judged(made, method)
        if method.metric == "cosine":
            check_directions(made, "generated")
        worth = qualities(method, made, progress)
        check_worth(worth)
        bare = Items(made.x, ids=made.ids, skipped=made.skipped)  # images are not sent to workers
        return cls(bare, worth, source, method)

    @cached_property
    def digest(self) -> str:
        """A digest of everything that values and matches depend on."""
        x = x_of(self.made)
        told = ("credit", self.source.digest, repr(self.method), self.made.ids.tolist(), x.dtype, x.shape)
        digest = hashlib.blake2b(repr(told).encode(), digest_size=16)
        for numbers in (x, self.worth):
            digest.update(np.ascontiguousarray(numbers).data)
        return digest.hexdigest()

    @cached_property
    def centre(self) -> NDArray[np.float64] | None:
        """Where float32 is finest; no match depends on it."""
        return x_of(self.made).mean(axis=0, dtype=np.float64) if self.method.metric == "euclidean" else None

    @cached_property
    def reach(self) -> float:
        """The largest number of the generated items."""
        return largest(x_of(self.made))

    def usable(self, x: NDArray[Any]) -> NDArray[np.bool_]:
        """Which items have a distance to others."""
        if self.method.metric == "cosine":
            return neighbors.usable_rows(x, "cosine")
        return np.asarray(np.abs(x).max(axis=1).astype(np.float64) <= _REACH)

    @property
    def unusable(self) -> str:
        """What is wrong with the others."""
        if self.method.metric == "cosine":
            return (
                "are zero vectors, which have no direction for the cosine metric, or far too long or short; drop them, "
                "or use metric='euclidean'"
            )
        return f"hold numbers beyond {_REACH:.0e}, too large for euclidean distances; rescale them"

    def nearest(self, part: Part, x: NDArray[Any]) -> _Found:
        """The nearest of some items to every generated item; all of them where they are fewer than ``k``."""
        if not len(x):
            nobody = np.empty((len(self.made), 0))
            return _Found(0, 0.0, nobody.astype(np.int64), nobody)
        metric, reach, made = self.method.metric, largest(x), x_of(self.made)
        # By what is in this part alone, so that no number of another part has a say; no match depends on it.
        near = metric == "cosine" or max(reach, self.reach) <= FLOAT32_REACH
        dtype: DType = "float32" if near else "float64"
        try:
            if metric == "euclidean" and reach > 1:  # numbers may be too small all together, but not part by part
                neighbors.check_scale(x, made)
            rows = neighbors.prepare(x, np.zeros(len(x), dtype=np.int64), 1, metric, centre=self.centre, dtype=dtype)
        except DataError as error:
            raise DataError(f"{part.file!r}, rows {part.first} to {part.first + part.rows - 1}: {error}") from None
        judges = Judges.ready(rows, made, np.zeros(len(made), dtype=np.int64), self.centre)
        at, distance = matching.nearest(rows, judges, min(self.method.k, len(x)), threads=1)
        return _Found(len(x), reach, at + part.first, distance)


def _check_method(method: SimilarityMatch) -> None:
    if not isinstance(method, SimilarityMatch):
        raise MethodError(f"generated items are valued by SimilarityMatch(...), not by {method!r}")
    if method.recall != "exact":
        raise MethodError(
            f"recall={method.recall!r} builds an index of all training items in memory; for items in files use "
            "recall='exact'"
        )
    if method.rerank is not None:
        raise MethodError(
            f"rerank={quoted(method.rerank)} looks at pairs of items, but files are matched by their vectors alone; "
            "leave rerank out, or use value_generated with items that fit in memory"
        )


def _too_few(method: SimilarityMatch, items: int) -> MethodError:
    return MethodError(
        f"k={method.k} training items share in each generated item, but there are {items}; use a smaller k"
    )


def _survey(job: _Job, run: PartRun) -> None:
    """Look at every item before anything that takes longer."""
    try:
        with run.kept.room(), bar(job.source.rows, "Checking files", run.progress) as tick:
            found = job.source.survey(
                tick, usable=job.usable, unusable=job.unusable, threads=run.survey_threads, folder=run.kept.work
            )
        if found.rows < job.method.k:
            raise _too_few(job.method, found.rows)
    except (DataError, MethodError):
        run.kept.clear()  # once the files are right they are other files, and the folder shall be free for them
        raise
    run.kept.surveyed.touch()


# -- two passes ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Found:
    """What was found in a part, or in several.

    Args:
        rows: How many items.
        reach: The largest of their numbers.
        at: Places of the nearest, ``(m, up to k)``; within a part items are numbered from its first on.
        distance: Of the nearest, ``(m, up to k)``.
    """

    rows: int
    reach: float
    at: NDArray[np.int64]
    distance: NDArray[np.float64]

    def with_more(self, other: _Found, k: int) -> _Found:
        """The ``k`` nearest of both."""
        at, distance = np.hstack([self.at, other.at]), np.hstack([self.distance, other.distance])
        kept = matching.keep_nearest(at, distance, min(k, at.shape[1]))
        return _Found(self.rows + other.rows, max(self.reach, other.reach), *kept)


@dataclass(frozen=True, eq=False)
class _Shared:
    """What every call of a job needs; matches and shares are empty in the first pass."""

    job: _Job
    kept: PartsKept
    at: NDArray[np.int64]
    share: NDArray[np.float64]

    @cached_property
    def weights(self) -> str:
        """A digest of both."""
        return hashlib.blake2b(self.at.tobytes() + self.share.tobytes(), digest_size=16).hexdigest()


def _look(shared: _Shared, part: Part) -> _Found:
    """First pass: match generated items with those of a part."""
    shared.kept.check_seen()
    found = shared.job.nearest(part, shared.job.source.read(part).x)
    about = {"rows": np.array(found.rows), "reach": np.array(found.reach)}
    shared.kept.keep(part, "matches", {**about, "at": found.at, "distance": found.distance})
    return found


def _add(shared: _Shared, part: Part) -> Figures:
    """Second pass: add up what the items of a part earned, and write it."""
    shared.kept.check_seen()
    piece = shared.job.source.names_only().read(part)
    here = shared.at - part.first
    here[(here < 0) | (here >= len(piece))] = -1
    values = matching.add_credit(here, shared.share, len(piece))
    shared.kept.keep_values(part, shared.weights, piece.ids, piece.owners, values)
    return Figures.of(values)


def _match(job: _Job, run: PartRun) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest training items of every generated item, and their distances, both ``(m, k)``."""
    m, k = len(job.made), job.method.k
    found = _Found(0, 0.0, np.empty((m, 0), dtype=np.int64), np.empty((m, 0)))
    left = []
    for part in run.parts:
        known = run.kept.find(part, "matches")
        if known is None:
            left.append(part)
        else:
            one = _Found(int(known["rows"]), float(known["reach"]), known["at"], known["distance"])
            found = found.with_more(one, k)
    shared = _Shared(job, run.kept, np.empty((m, 0), dtype=np.int64), np.empty((m, 0)))
    with bar(len(left), "Finding matches", run.progress) as tick:
        for _, one in run.engine.run(_look, shared, left, tick=tick):
            found = found.with_more(one, k)
    try:
        if not found.rows:
            raise DataError(f"no row of {job.source} passes")
        if found.rows < k:
            raise _too_few(job.method, found.rows)
        if job.method.metric == "euclidean":
            neighbors.check_scale(np.array([found.reach]), x_of(job.made))
    except (DataError, MethodError):
        run.kept.clear()
        raise
    return found.at, found.distance


# -- who earned what -------------------------------------------------------------------------------


def _table(
    job: _Job, run: PartRun, at: NDArray[np.int64], distance: NDArray[np.float64], share: NDArray[np.float64]
) -> pa.Table:
    """One row a match, as ``Attributions.to_arrow`` has it."""
    m, k = at.shape
    order = np.argsort(at, axis=None, kind="stable")
    back = np.empty_like(order)
    back[order] = np.arange(order.size)
    names = _names_at(run, at.flat[order]).take(pa.array(back))
    columns = {
        "generated": pa.array(np.repeat(job.made.ids, k)),
        "rank": pa.array(np.tile(np.arange(1, k + 1), m)),
        **{name: names[name] for name in names.column_names},
        "distance": pa.array(distance.ravel()),
        "share": pa.array(share.ravel()),
    }
    return pa.table(columns).combine_chunks().replace_schema_metadata({"k": str(k)})


def _names_at(run: PartRun, places: NDArray[np.int64]) -> pa.Table:
    """Ids, and owners if known, of items at ascending places; read from the files of values that are written."""
    starts = np.searchsorted(places, [part.first for part in run.parts]).tolist()
    found: Sequence[pa.Table] = [
        read_part(run.kept.out / part_name(part.number))[1].drop_columns("value").take(places[a:b] - part.first)
        for part, (a, b) in zip(run.parts, pairwise([*starts, len(places)]), strict=True)
        if b > a
    ]
    return pa.concat_tables([table.replace_schema_metadata() for table in found])


def _need(job: _Job) -> Need:
    """What a run takes: items and their copy for products, and matches of every generated item."""
    source, m, k = job.source, len(job.made), job.method.k
    wide = job.method.metric == "euclidean"  # numbers may be so large that the copy must be float64
    matched = m * k
    return Need(
        row=source.width * (source.dtype.itemsize + (8 if wide else 4)) + names_bytes(source) + _LOOK,
        worker=m * source.width * (8 if wide else 4) + min(64 * m, _LISTED) * (k + 16) * _LIST + 32 * matched + _AGAIN,
        once=128 * matched,
    )


def _write(table: pa.Table, path: Path) -> None:
    with whole_file(path) as temporary:
        pq.write_table(table, temporary)
