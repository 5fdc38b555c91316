"""Values of rows too many for memory: link, count, add, part by part, on any engine.

The first pass links every part with the validation points and counts; counts are integers, and add up in any order.
The second pass adds what every point gives to the rows it is linked with, which looks at one row at a time. So how
rows are cut into parts, who works on them and in what order changes no bit of any value.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dataworth.data.sources import Part, Source
from dataworth.engines.engine import Engine
from dataworth.engines.local import Local
from dataworth.errors import InputError, MethodError
from dataworth.kernels import neighbors
from dataworth.kernels.neighbors import ClassOrder, DType
from dataworth.kernels.threshold import add_links, point_weights
from dataworth.records import Points
from dataworth.records.stored import StoredValues
from dataworth.valuation.links_kept import FOLDER, LinksKept, LinksNoted
from dataworth.valuation.methods import KNNShapley, ThresholdKNNShapley, ValidationVote
from dataworth.valuation.part_job import PartJob
from dataworth.valuation.part_memory import DEFAULT_MEMORY, Need, names_bytes, parse_memory
from dataworth.valuation.part_run import Figures, PartRun, Setting
from dataworth.valuation.part_survey import survey_rows
from dataworth.valuation.parts_kept import PartsKept
from dataworth.valuation.provenance import provenance
from dataworth.valuation.ring_values import DEFAULT_ERROR, value_rings
from dataworth.valuation.task import bar

__all__ = ["value_source"]

LinkedMethod: TypeAlias = ThresholdKNNShapley | ValidationVote


def value_source(
    source: Source,
    validation: Points,
    *,
    method: LinkedMethod | KNNShapley,
    out: str | os.PathLike[str],
    classes: Sequence[Any] | None = None,
    dtype: DType = "float32",
    engine: Engine | None = None,
    memory: int | str = DEFAULT_MEMORY,
    part_rows: int | None = None,
    spill: bool = True,
    keep_links: bool = False,
    update: str | os.PathLike[str] | None = None,
    error: float | None = None,
    survey: bool = True,
    progress: bool | None = None,
) -> StoredValues:
    """The value of every row of files that need not fit in memory, written as files.

    The values are those of :func:`dataworth.value_points`, to the last bit, or within ``error`` for ``KNNShapley``;
    they have the same bits whatever the parts, the engine and the number of workers. What was done is kept in the
    folder until all is done: a run that was stopped anywhere goes on by the same call, and ends with the same bytes.

    Args:
        source: The files, from ``Source.open``.
        validation: The points that judge; the same features in the same order.
        method: ``ThresholdKNNShapley``, ``ValidationVote`` or ``KNNShapley``.
        out: A folder for the values, new or of an earlier run of this very call; workers of a cluster must see it
            under the same path.
        classes: All class labels there are; by default those found in the validation set.
        dtype: As for :func:`dataworth.value_points`.
        engine: Where parts are worked on; by default threads of this machine, one for each core.
        memory: What all workers may take together, in bytes or such as ``"2GiB"``; parts are cut to fit. Workers of a
            cluster share it, too, wherever they are; of one that is there already, those it has at the beginning.
        part_rows: How many rows a part has, if not by memory; a row group larger than that is a part by itself.
        spill: Keep the links of the first pass on disk, one bit a pair, so that the second need not compute them.
        keep_links: Leave links and counts in the folder, so that a later run can take them over. They tell which row
            lies near which point: keep them as you keep the data.
        update: The folder of an earlier run that kept its links, about the same validation set, classes, metric and
            radius. Files that it knew are not linked again; new and changed ones are, and files that are gone no
            longer count. The earlier folder is left as it is; the new one keeps its links, too.
        error: For ``KNNShapley``: how far from its exact value a row's value may be at most, above 0; 0.002 by default.
            The ``1 / error`` nearest rows of each point are ranked exactly, and so many numbers a point a part are
            kept. ``provenance["error bound"]`` of the result says what was reached, mostly far less.
        survey: Read everything once before, so that what is wrong with any row or file is told before hours of work.
            Without it, ids that repeat are not found and labels that are no class give no warning.
        progress: Whether to show progress bars; by default only on a terminal.

    Returns:
        What was written: the folder and figures about it.

    Raises:
        DataError: Anything wrong with a file or a row; the message names the file.
        InputError: A folder that holds something else or cannot be written, too little room on the disk, memory that
            does not suffice for one row group, or an earlier run without links or with those of another question.
        MethodError: A method that cannot be streamed, or labels that are no classes.

    Warns:
        UnmatchedLabels: Some labels in the files are no class; such rows match no validation point.

    Example:
        >>> import tempfile
        >>> import dataworth as dw, pyarrow as pa, pyarrow.parquet as pq
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     rows = pa.table({"a": [1.0, 0.9, 0.0], "b": [0.0, 0.1, 1.0], "y": ["cat", "dog", "dog"]})
        ...     pq.write_table(rows, f"{folder}/train.parquet")
        ...     source = Source.open(f"{folder}/train.parquet", label="y")
        ...     judge = dw.Points([[1.0, 0.0]], ["cat"])
        ...     method = dw.ThresholdKNNShapley(radius=0.5)
        ...     found = value_source(source, judge, method=method, out=f"{folder}/values", classes=["cat", "dog"])
        ...     found.load().values
        array([ 0.5, -0.5,  0. ])
    """
    if not isinstance(source, Source) or not isinstance(validation, Points):
        raise InputError("value_source takes a Source of files and validation Points")
    if not isinstance(method, ThresholdKNNShapley | ValidationVote | KNNShapley):
        raise MethodError(
            f"{type(method).__name__} is not worked out part by part; ThresholdKNNShapley, ValidationVote and "
            "KNNShapley are"
        )
    if error is not None and not isinstance(method, KNNShapley):
        raise MethodError(f"{type(method).__name__} is worked out without error; leave error out")
    if dtype not in ("float32", "float64"):
        raise InputError(f"dtype must be 'float32' or 'float64', not {dtype!r}")
    if source.allow_missing:
        raise InputError("values need all features of all rows; open the files without allow_missing=True")
    how = Setting(out, Local() if engine is None else engine, parse_memory(memory), part_rows, survey, progress)
    job = PartJob.of(source, validation, method.metric, classes, dtype)
    lasting = keep_links or update is not None
    _check_links(method, spill=spill, lasting=lasting)
    if isinstance(method, KNNShapley):
        return value_rings(job, method, how, error=DEFAULT_ERROR if error is None else error)
    return _value_links(job, method, how, spill=spill, lasting=lasting, update=update)


def _check_links(method: LinkedMethod | KNNShapley, *, spill: bool, lasting: bool) -> None:
    if isinstance(method, KNNShapley) and (lasting or not spill):
        raise MethodError("KNNShapley has no links; keep_links, update and spill are for ThresholdKNNShapley")
    if lasting and not isinstance(method, ThresholdKNNShapley):
        raise MethodError(
            f"{type(method).__name__} has no links to keep: a row's value depends on no other row, so value new files "
            "by themselves"
        )
    if lasting and not spill:
        raise InputError("keep_links and update need the links on disk; leave spill=False out")


# -- values from links -------------------------------------------------------------------------------


def _value_links(
    job: PartJob,
    method: LinkedMethod,
    how: Setting,
    *,
    spill: bool,
    lasting: bool,
    update: str | os.PathLike[str] | None,
) -> StoredValues:
    digest, lasts = job.digest(method), Path(how.out).absolute() / FOLDER
    there = PartRun.finished(how, digest)
    if there is not None:
        if lasting:
            LinksKept.noted(lasts)  # or they were not kept
        return there
    earlier = None if update is None else _earlier(update)
    if earlier is not None:
        if how.part_rows not in (None, earlier.rows_of_a_part):
            raise InputError(
                f"an update has the parts of the run before, of {earlier.rows_of_a_part} rows: leave "
                f"part_rows={how.part_rows} out"
            )
        how = replace(how, part_rows=earlier.rows_of_a_part)
    spill = spill and isinstance(method, ThresholdKNNShapley)  # a vote needs no counts, so one pass is all
    disk = job.source.rows * _bits_of_a_row(job) if spill and job.source.filter is None else 0
    spare = "; spill=False keeps no links" if spill and not lasting else ""
    with PartRun.begin(job.source, digest, how, _need(job), disk=disk, spare=spare) as run:
        if isinstance(run, StoredValues):
            return run
        if not lasting and lasts.exists():  # of an earlier try that was to keep them
            shutil.rmtree(lasts)
        links = LinksKept.of(lasts if lasting else run.kept.work, job.links_digest(method.radius), job.source)
        nothing = np.empty(0)
        return _passes(
            _Shared(job, method, run.kept, links, spill, nothing, nothing), run, how, earlier, lasting=lasting
        )


def _earlier(update: str | os.PathLike[str]) -> LinksNoted:
    if not isinstance(update, str | os.PathLike) or not os.fspath(update):
        raise InputError(f"update must name the folder of an earlier run, not {update!r}")
    return LinksKept.noted(Path(update).absolute() / FOLDER)


def _passes(told: _Shared, run: PartRun, how: Setting, earlier: LinksNoted | None, *, lasting: bool) -> StoredValues:
    began = perf_counter()
    job, links = told.job, told.links
    known = frozenset[str]() if earlier is None else links.shared(earlier.links)
    if how.survey:
        survey_rows(job, run, known=known, depth=4)
    with run.kept.room():
        links.folder.mkdir(exist_ok=True)
        if earlier is not None:
            links.take_over(earlier.links, [part for part in run.parts if part.file in known])
    with run.at_work() as passes:
        same, other = _weights(told, _first_pass(told, passes))
        job.check_files()
        told = replace(told, same=same, other=other)
        figures = passes.add_values(_add, told, told.weights)
    job.check_files()
    if lasting:
        with run.kept.room():
            links.note(run.rows_of_a_part)

    def about(rows: int) -> dict[str, str | int | float]:
        facts = provenance(rows, job.source.width, job.n_classes, job.dtype, how.engine.workers, began)
        if earlier is not None:
            facts |= {"files taken over": len(known), "files gone": len(links.gone(earlier.links))}
        return facts

    return run.finish(figures, method=repr(told.method), n_validation=len(job.points), provenance=about)


@dataclass(frozen=True, eq=False)
class _Shared:
    """What every call of a job needs."""

    job: PartJob
    method: LinkedMethod
    kept: PartsKept
    links: LinksKept
    spill: bool
    same: NDArray[np.float64]
    """What a point gives a linked row of its label, ``(n_validation,)``; empty in the first pass."""
    other: NDArray[np.float64]

    @cached_property
    def weights(self) -> str:
        """A digest of both."""
        return hashlib.blake2b(self.same.tobytes() + self.other.tobytes(), digest_size=16).hexdigest()


def _count(shared: _Shared, part: Part) -> NDArray[np.int64]:
    """First pass: link a part, keep its bits, count."""
    job, kept = shared.job, shared.kept
    kept.check_seen()
    piece = job.source.read(part)
    counts = np.zeros((2, len(job.points)), dtype=np.int64)
    bits = np.empty((_bits_of_a_row(job), 0), dtype=np.uint8)
    if len(piece):
        found = neighbors.link(*job.ready(part, piece), shared.method.radius)
        counts, bits = np.stack(found.counts()), found.bits
    with kept.room():
        shared.links.keep(part, counts, bits if shared.spill else None)
    return counts


def _add(shared: _Shared, part: Part) -> Figures:
    """Second pass: add what points give to the rows they are linked with, and write the part's values."""
    job, kept = shared.job, shared.kept
    kept.check_seen()
    piece = (job.source.names_only() if shared.spill else job.source).read(part)
    codes = job.codes(piece)
    values = np.zeros(len(codes))
    if len(codes):
        bits = shared.links.bits(part, (_bits_of_a_row(job), len(codes))) if shared.spill else None
        if bits is None:
            rows = job.ready(part, job.source.read(part) if shared.spill else piece)
            bits = neighbors.link(*rows, shared.method.radius).bits
        add_links(ClassOrder.of(codes, job.n_classes), bits, job.point_codes, shared.same, shared.other, values)
        values /= len(job.points)
    kept.keep_values(part, shared.weights, piece.ids, piece.owners, values)
    return Figures.of(values)


def _first_pass(shared: _Shared, run: PartRun) -> NDArray[np.int64]:
    """How many neighbours of its own label, and of others, each point has, ``(2, n_validation)``."""
    total = np.zeros((2, len(shared.job.points)), dtype=np.int64)
    if not isinstance(shared.method, ThresholdKNNShapley):
        return total  # a vote does not look at counts
    left = []
    for part in run.parts:
        known = shared.links.counts(part)
        if known is None:
            left.append(part)
        else:
            total += known
    with bar(len(left), "Linking parts", run.progress) as tick:
        for _, counts in run.engine.run(_count, shared, left, tick=tick):
            total += counts
    return total


def _weights(shared: _Shared, counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each point gives a linked row of its label, and of another."""
    job, method = shared.job, shared.method
    if isinstance(method, ThresholdKNNShapley):
        return point_weights(counts[0], counts[1], job.n_classes, method.semivalue)
    return np.ones(len(job.points)), np.full(len(job.points), -1.0)


def _bits_of_a_row(job: PartJob) -> int:
    return -(-len(job.points) // 8)


def _need(job: PartJob) -> Need:
    source, points = job.source, len(job.points)
    numbers = source.dtype.itemsize + np.dtype(job.dtype).itemsize
    return Need(
        row=source.width * numbers + _bits_of_a_row(job) + names_bytes(source), worker=points * source.width * 24
    )
