"""How large parts may be, so that all workers together stay within a memory."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from joblib import cpu_count

from dataworth.data.sources import Source
from dataworth.engines.engine import Engine
from dataworth.errors import InputError

__all__ = [
    "DEFAULT_MEMORY",
    "MOST_ROWS",
    "PROGRAM",
    "Need",
    "names_bytes",
    "parse_memory",
    "rows_that_fit",
    "survey_threads",
]

DEFAULT_MEMORY = 2 * 2**30
MOST_ROWS = 262_144
"""Larger parts are no faster."""
PROGRAM = 400 * 2**20
"""What the interpreter, compiled code and libraries take in a process."""


@dataclass(frozen=True)
class Need:
    """What a job takes besides :data:`PROGRAM`, in bytes.

    Args:
        row: For each row of a part: features, names, links.
        worker: For each worker, whatever the part, besides what reading takes.
        once: For the caller, whatever the workers.
        hint: What else would need less, for messages, such as ``"ask for a larger error, "``.
    """

    row: int
    worker: int
    once: int = 0
    hint: str = ""

    def of(self, rows: int, workers: int, processes: int) -> int:
        """All of it, for parts of so many rows."""
        return PROGRAM * processes + self.once + workers * (self.worker + rows * self.row)


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


def names_bytes(source: Source) -> int:
    """What labels and names of a row take, also while they are decoded."""
    texts = 256 * ("label" in source.texts) + 384 * ("owner" in source.texts)
    return 256 + 512 * (source.id is not None) + 128 * (source.owner is not None) + texts


def rows_that_fit(
    source: Source, need: Need, memory: int, engine: Engine, *, asked: int | None, begun: int | None
) -> int:
    """How many rows a part may have.

    Args:
        source: The files.
        need: What the job takes, but for what each worker's reading takes besides its rows.
        memory: What all workers may take together, in bytes.
        engine: Where parts are worked on.
        asked: The rows of a part that were asked for, if any were; they must fit.
        begun: The rows of a part in an earlier run that was stopped; they stay if they fit.

    Raises:
        InputError: Not even one row group fits, or the parts that were asked for or begun do not.
    """
    workers, processes = engine.workers, engine.processes
    need = replace(need, worker=need.worker + source.reading_bytes)
    rows = ((memory - PROGRAM * processes - need.once) // workers - need.worker) // need.row
    largest = max(part.rows for part in source.parts(1))
    little, hint = f"memory of {memory / 2**20:,.0f} MiB is too little", f"{need.hint}use fewer workers"
    if rows < largest:
        raise InputError(
            f"{little}: {workers} workers at row groups of up to {largest:,} rows take about "
            f"{_mebibytes(need.of(largest, workers, processes)):,} MiB; allow that, {hint}, or write files with "
            "smaller row groups"
        )
    if asked is not None:
        # Parts of whole row groups of one file may be far below what was asked for.
        real = max(part.rows for part in source.parts(asked))
        if real > rows:
            raise InputError(
                f"{little} for parts of {real:,} rows, which take about "
                f"{_mebibytes(need.of(real, workers, processes)):,} MiB with {workers} workers; allow that, {hint}, or "
                f"leave part_rows={asked} out"
            )
        return asked
    if begun is None:
        return int(min(rows, max(MOST_ROWS, largest)))
    if begun > rows:
        raise InputError(
            f"{little}: the folder holds a run of {begun:,} rows a part, which take about "
            f"{_mebibytes(need.of(begun, workers, processes)):,} MiB with {workers} workers; allow that, {hint}, or "
            "name a new folder"
        )
    return begun


def survey_threads(source: Source, memory: int) -> int:
    """How many threads may look at rows at a time: one for each core, as far as the memory goes."""
    return max(1, min(int(cpu_count()), (memory - PROGRAM) // source.reading_bytes))


def _mebibytes(size: int) -> int:
    return math.ceil(size / 2**20)
