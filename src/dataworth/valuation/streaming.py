"""Values of rows too many for memory: link, count, add, part by part, on any engine.

The first pass links every part with the validation points and counts; counts are integers, and add up in any order.
The second pass adds what every point gives to the rows it is linked with, which looks at one row at a time. So how
rows are cut into parts, who works on them and in what order changes no bit of any value.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dataworth.data.sources import Part, Piece, Source
from dataworth.engines.engine import Engine, positive
from dataworth.engines.local import Local
from dataworth.errors import DataError, InputError, MethodError, UnmatchedLabels
from dataworth.kernels import neighbors
from dataworth.kernels.neighbors import ClassOrder, DType, Judges
from dataworth.kernels.threshold import add_links, point_weights
from dataworth.records import Points
from dataworth.records.points import missing_features
from dataworth.records.stored import StoredValues
from dataworth.valuation.methods import ThresholdKNNShapley, ValidationVote
from dataworth.valuation.parts_kept import PartsKept
from dataworth.valuation.provenance import provenance
from dataworth.valuation.task import bar, check_same_kind, class_list, encode, link_panels

__all__ = ["parse_memory", "value_source"]

StreamedMethod: TypeAlias = ThresholdKNNShapley | ValidationVote

_BASE = 400 * 2**20  # what the interpreter, compiled code and libraries take
_MOST_ROWS = 262_144  # larger parts are no faster
_DEFAULT_MEMORY = 2 * 2**30
_ONE_PANEL = 2048  # more validation points have their links put together from several arrays


def value_source(
    source: Source,
    validation: Points,
    *,
    method: StreamedMethod,
    out: str | os.PathLike[str],
    classes: Sequence[Any] | None = None,
    dtype: DType = "float32",
    engine: Engine | None = None,
    memory: int | str = _DEFAULT_MEMORY,
    part_rows: int | None = None,
    spill: bool = True,
    survey: bool = True,
    progress: bool | None = None,
) -> StoredValues:
    """The value of every row of files that need not fit in memory, written as files.

    The values are those of :func:`dataworth.value_points`, to the last bit, whatever the parts, the engine and the
    number of workers. What was done is kept in the folder until all is done: a run that was stopped anywhere goes on
    by the same call, and ends with the same bytes.

    Args:
        source: The files, from ``Source.open``.
        validation: The points that judge; the same features in the same order.
        method: ``ThresholdKNNShapley`` or ``ValidationVote``.
        out: A folder for the values, new or of an earlier run of this very call; workers of a cluster must see it
            under the same path.
        classes: All class labels there are; by default those found in the validation set.
        dtype: As for :func:`dataworth.value_points`.
        engine: Where parts are worked on; by default threads of this machine, one for each core.
        memory: What all workers may take together, in bytes or such as ``"2GiB"``; parts are cut to fit. Workers of a
            cluster share it, too, wherever they are; of one that is there already, those it has at the beginning.
        part_rows: How many rows a part has, if not by memory; a row group larger than that is a part by itself.
        spill: Keep the links of the first pass on disk, one bit a pair, so that the second need not compute them.
        survey: Read everything once before, so that what is wrong with any row or file is told before hours of work.
            Without it, ids that repeat are not found and labels that are no class give no warning.
        progress: Whether to show progress bars; by default only on a terminal.

    Returns:
        What was written: the folder and figures about it.

    Raises:
        DataError: Anything wrong with a file or a row; the message names the file.
        InputError: A folder that holds something else or cannot be written, too little room on the disk, or memory
            that does not suffice for one row group.
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
    if not isinstance(method, ThresholdKNNShapley | ValidationVote):
        raise MethodError(
            f"{type(method).__name__} is not worked out part by part; ThresholdKNNShapley and ValidationVote are"
        )
    if dtype not in ("float32", "float64"):
        raise InputError(f"dtype must be 'float32' or 'float64', not {dtype!r}")
    began = perf_counter()
    run = _Run.of(source, validation, method, classes, dtype, spill)
    where = engine if engine is not None else Local()
    room = parse_memory(memory)
    asked = None if part_rows is None else positive("part_rows", part_rows)
    kept = PartsKept(Path(out).absolute(), run.digest)
    if kept.finished(asked):
        return StoredValues.open(out)
    workers = where.workers
    rows = asked or _rows_that_fit(run, room, workers, where.processes, kept.rows_of_a_part())
    parts = source.parts(rows)
    kept.begin(rows, run.bits_bytes(source.rows) if run.spill and source.filter is None else 0)
    if survey and not kept.surveyed.exists():
        try:
            _survey(run, kept, progress)
        except (DataError, MethodError):
            kept.clear()  # once the files are right they are other files, and the folder shall be free for them
            raise
    counts = _first_pass(run, where, parts, kept, progress)
    run.check_files()
    figures = [found for found in _second_pass(run, where, parts, kept, counts, progress) if found.rows]
    run.check_files()
    if not figures:
        raise DataError(f"no row of {source} passes")
    kept.check_values(parts)
    valued = sum(found.rows for found in figures)
    StoredValues(
        folder=os.fspath(out),
        rows=valued,
        parts=len(parts),
        method=repr(method),
        n_validation=len(validation),
        total=math.fsum(found.total for found in figures),
        lowest=min(found.lowest for found in figures),
        highest=max(found.highest for found in figures),
        below_zero=sum(found.below_zero for found in figures),
        provenance={
            **provenance(valued, source.width, run.n_classes, dtype, workers, began),
            "job": run.digest,
            "engine": where.describe(),
            "rows of a part": rows,
            "files": len(source.files),
        },
    ).save()
    kept.clear()
    return StoredValues.open(out)


def parse_memory(text: int | str) -> int:
    """Bytes of a size such as ``"2GiB"``, ``"500MB"`` or a number of bytes.

    Raises:
        InputError: No size.

    Example:
        >>> parse_memory("2GiB"), parse_memory("1.5 MB")
        (2147483648, 1500000)
    """
    units = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
    units |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(text), re.ASCII)
    unit = None if found is None or isinstance(text, bool) else units.get(found[2].upper())
    if found is None or unit is None or float(found[1]) * unit < 1:
        raise InputError(f"memory must be a size such as 2GiB or 500MB, not {text!r}")
    return int(float(found[1]) * unit)


# -- what every worker is told ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Run:
    """Everything that values depend on."""

    source: Source
    points: NDArray[Any]
    point_codes: NDArray[np.int64]
    classes: NDArray[Any]
    method: StreamedMethod
    dtype: DType
    spill: bool
    stamps: tuple[tuple[int, int], ...]
    """Size and time of change of every file; the footer of an Arrow file says nothing of its rows."""

    @classmethod
    def of(
        cls,
        source: Source,
        validation: Points,
        method: StreamedMethod,
        classes: Sequence[Any] | None,
        dtype: DType,
        spill: bool,
    ) -> _Run:
        if validation.missing:
            raise missing_features(validation.missing, len(validation))
        if not validation.has_classes:
            raise MethodError("validation labels are numbers with fractions, which are no classes")
        if source.width != validation.x.shape[1]:
            raise DataError(
                f"the files have {source.width} features, but the validation set has {validation.x.shape[1]}"
            )
        if source.names is not None and validation.features is not None and source.names != validation.features:
            raise DataError("the files have other features than the validation set, or the same in another order")
        known = class_list(validation, classes)
        codes = encode(validation.y, known)
        strange = int((codes < 0).sum())
        if strange:
            raise DataError(f"{strange} of {len(validation)} validation labels are not among the classes given")
        linked_twice = isinstance(method, ThresholdKNNShapley)  # a vote needs no counts, so one pass is all
        return cls(source, validation.x, codes, known, method, dtype, spill and linked_twice, _stamps(source))

    @property
    def n_classes(self) -> int:
        return int(self.classes.size)

    @property
    def centre(self) -> NDArray[np.float64] | None:
        """Euclidean data is centred on the validation mean, which is public."""
        return self.points.mean(axis=0, dtype=np.float64) if self.method.metric == "euclidean" else None

    @cached_property
    def digest(self) -> str:
        told = (
            self.source.digest,
            self.method,
            self.classes.tolist(),
            self.points.dtype,
            self.points.shape,
            self.dtype,
        )
        digest = hashlib.blake2b(repr((told, self.stamps)).encode(), digest_size=16)
        digest.update(np.ascontiguousarray(self.points).data)
        digest.update(self.point_codes.data)
        return digest.hexdigest()

    def check_files(self) -> None:
        """Make sure that all was read from the same files.

        Raises:
            DataError: One is gone, or was changed since the run began.
        """
        for file, before, now in zip(self.source.files, self.stamps, _stamps(self.source), strict=True):
            if before != now:
                raise DataError(f"{file!r} has changed since the run began; open the files again, for a new folder")

    def bits_bytes(self, rows: int) -> int:
        """What the links of some rows take."""
        return rows * -(-len(self.points) // 8)

    def usable(self, x: NDArray[Any]) -> NDArray[np.bool_]:
        """Which rows can be linked."""
        return neighbors.usable_rows(x, self.method.metric, centre=self.centre, dtype=self.dtype)

    @property
    def unusable(self) -> str:
        """What is wrong with the others."""
        if self.method.metric == "cosine":
            return (
                "are zero vectors, which have no direction for the cosine metric, or far too long or short; drop them, "
                "or use metric='euclidean'"
            )
        more = ", or use dtype='float64'" if self.dtype == "float32" else ""
        return f"have features too large for {self.dtype} distances (squares overflow); rescale them{more}"

    def codes(self, piece: Piece) -> NDArray[np.int64]:
        """The class of each row, -1 for a label that is no class."""
        if piece.y.dtype.kind == "f" and not (piece.y == np.rint(piece.y)).all():
            raise _fractions()
        check_same_kind(piece.y, self.classes, "labels of the files")
        return encode(piece.y, self.classes)

    def links(self, part: Part, piece: Piece) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The links of some rows as bits, in their order by class, and the two counts of each point."""
        try:
            if self.method.metric == "euclidean":
                neighbors.check_scale(piece.x, self.points)
            rows = neighbors.prepare(
                piece.x, self.codes(piece), self.n_classes, self.method.metric, centre=self.centre, dtype=self.dtype
            )
        except DataError as error:
            raise DataError(f"{part.file!r}, rows {part.first} to {part.first + part.rows - 1}: {error}") from None
        judges = Judges.ready(rows, self.points, self.point_codes, self.centre)
        panels = link_panels(rows, judges)
        bits = np.empty((-(-len(self.points) // 8), len(rows)) if len(panels) > 1 else (0, 0), dtype=np.uint8)
        counts = []
        for panel in panels:
            found = neighbors.link(rows, judges.take(panel.start, panel.stop), self.method.radius)
            counts.append(np.stack(found.counts()))
            if len(panels) == 1:
                bits = found.bits
            else:
                bits[panel.start // 8 : -(-panel.stop // 8)] = found.bits
        return bits, np.concatenate(counts, axis=1)


def _stamps(source: Source) -> tuple[tuple[int, int], ...]:
    found = []
    for file in source.files:
        try:
            about = os.stat(file)
        except OSError:
            raise DataError(f"{file!r} is gone or cannot be read") from None
        found.append((about.st_size, about.st_mtime_ns))
    return tuple(found)


def _fractions() -> MethodError:
    return MethodError("labels are numbers with fractions, which are no classes; turn them into classes first")


@dataclass(frozen=True, eq=False)
class _Shared:
    """What every call of a job needs."""

    run: _Run
    kept: PartsKept
    same: NDArray[np.float64]
    """What a point gives a linked row of its label, ``(n_validation,)``; empty in the first pass."""
    other: NDArray[np.float64]

    @cached_property
    def weights(self) -> str:
        """A digest of both."""
        return hashlib.blake2b(self.same.tobytes() + self.other.tobytes(), digest_size=16).hexdigest()


# -- two passes ------------------------------------------------------------------------------------


def _count(shared: _Shared, part: Part) -> NDArray[np.int64]:
    """First pass: link a part, keep its bits, count."""
    run, kept = shared.run, shared.kept
    kept.check_seen()
    piece = run.source.read(part)
    bits, counts = None, np.zeros((2, len(run.points)), dtype=np.int64)
    if len(piece):
        bits, counts = run.links(part, piece)
    kept.keep_counts(part, counts, bits if run.spill else None)
    return counts


@dataclass(frozen=True)
class _Figures:
    """What a part's values come to."""

    rows: int
    total: float
    lowest: float
    highest: float
    below_zero: int

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> _Figures:
        if not values.size:
            return cls(0, 0.0, 0.0, 0.0, 0)
        return cls(
            values.size,
            math.fsum(values.tolist()),
            float(values.min()),
            float(values.max()),
            int((values < 0).sum()),
        )


def _add(shared: _Shared, part: Part) -> _Figures:
    """Second pass: add what points give to the rows they are linked with, and write the part's values."""
    run, kept = shared.run, shared.kept
    kept.check_seen()
    piece = (run.source.names_only() if run.spill else run.source).read(part)
    codes = run.codes(piece)
    values = np.zeros(len(codes))
    if len(codes):
        bits = kept.bits(part, (-(-len(run.points) // 8), len(codes))) if run.spill else None
        if bits is None:
            bits = run.links(part, run.source.read(part) if run.spill else piece)[0]
        add_links(ClassOrder.of(codes, run.n_classes), bits, run.point_codes, shared.same, shared.other, values)
        values /= len(run.points)
    kept.keep_values(part, shared.weights, piece.ids, piece.owners, values)
    return _Figures.of(values)


def _first_pass(
    run: _Run, engine: Engine, parts: Sequence[Part], kept: PartsKept, progress: bool | None
) -> NDArray[np.int64]:
    """How many neighbours of its own label, and of others, each point has, ``(2, n_validation)``."""
    total = np.zeros((2, len(run.points)), dtype=np.int64)
    if not isinstance(run.method, ThresholdKNNShapley):
        return total  # a vote does not look at counts
    left = []
    for part in parts:
        known = kept.counts(part)
        if known is None:
            left.append(part)
        else:
            total += known
    shared = _Shared(run, kept, np.empty(0), np.empty(0))
    with bar(len(left), "Linking parts", progress) as tick:
        for _, counts in engine.run(_count, shared, left, tick=tick):
            total += counts
    return total


def _second_pass(
    run: _Run,
    engine: Engine,
    parts: Sequence[Part],
    kept: PartsKept,
    counts: NDArray[np.int64],
    progress: bool | None,
) -> list[_Figures]:
    """The figures of every part, in their order; the values are in its file."""
    if isinstance(run.method, ThresholdKNNShapley):
        same, other = point_weights(counts[0], counts[1], run.n_classes, run.method.semivalue)
    else:
        same, other = np.ones(len(run.points)), np.full(len(run.points), -1.0)
    shared = _Shared(run, kept, same, other)
    figures: dict[int, _Figures] = {}
    left = []
    for part in parts:
        known = kept.values(part, shared.weights)
        if known is None:
            left.append(part)
        else:
            figures[part.number] = _Figures.of(known)
    with bar(len(left), "Adding values", progress) as tick:
        for at, found in engine.run(_add, shared, left, tick=tick):
            figures[left[at].number] = found
    return [figures[part.number] for part in parts]


def _survey(run: _Run, kept: PartsKept, progress: bool | None) -> None:
    """Look at every row before anything that takes longer."""
    with bar(run.source.rows, "Checking files", progress) as tick:
        found = run.source.survey(tick, usable=run.usable, unusable=run.unusable, folder=kept.work)
    if not found.has_classes:
        raise _fractions()
    if found.labels is not None:
        check_same_kind(found.labels, run.classes, "labels of the files")
        unknown = int((encode(found.labels, run.classes) < 0).sum())
        if unknown:
            warnings.warn(
                f"{unknown} of {found.labels.size} labels in the files are no validation class: their rows match no "
                "validation point, so they can only lower the votes of others",
                UnmatchedLabels,
                stacklevel=3,
            )
    kept.surveyed.touch()


# -- how large parts are ---------------------------------------------------------------------------


def _rows_that_fit(run: _Run, memory: int, workers: int, processes: int, begun: int | None) -> int:
    """How many rows a part may have, so that all workers together stay within the memory.

    Args:
        run: What is to be done.
        memory: In bytes.
        workers: How many parts are worked on at a time.
        processes: In how many processes.
        begun: The rows of a part in an earlier run that was stopped; they stay if they fit.

    Raises:
        InputError: Not even one row group fits, or the parts that were begun do not.
    """
    source, points = run.source, len(run.points)
    base = _BASE * processes
    each = points * source.width * 24
    names = 256 + 512 * (source.id is not None) + 128 * (source.owner is not None)
    bits = -(-points // 8) * (1 if points <= _ONE_PANEL else 2)
    row = source.width * (source.dtype.itemsize + np.dtype(run.dtype).itemsize) + bits + names
    rows = ((memory - base) // workers - each) // row
    largest = max(part.rows for part in source.parts(1))
    if rows < largest:
        raise InputError(
            f"memory of {memory / 2**20:,.0f} MiB is too little: {workers} workers at row groups of up to {largest:,} "
            f"rows take about {_mebibytes(base + workers * (largest * row + each)):,} MiB; allow that, use fewer "
            "workers, or write files with smaller row groups"
        )
    if begun is None:
        return int(min(rows, max(_MOST_ROWS, largest)))
    if begun > rows:
        raise InputError(
            f"memory of {memory / 2**20:,.0f} MiB is too little: the folder holds a run of {begun:,} rows a part, "
            f"which take about {_mebibytes(base + workers * (begun * row + each)):,} MiB with {workers} workers; "
            "allow that, use fewer workers, or name a new folder"
        )
    return begun


def _mebibytes(size: int) -> int:
    return math.ceil(size / 2**20)
