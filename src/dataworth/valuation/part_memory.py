"""How large parts may be, so that all workers together stay within a memory."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from dataworth.data.sources import Source
from dataworth.engines.engine import Engine
from dataworth.errors import InputError

__all__ = ["DEFAULT_MEMORY", "MOST_ROWS", "PROGRAM", "Need", "names_bytes", "parse_memory", "rows_that_fit"]

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
        worker: For each worker, whatever the part.
        once: For the caller, whatever the workers.
    """

    row: int
    worker: int
    once: int = 0

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
    return 256 + 512 * (source.id is not None) + 128 * (source.owner is not None)


def rows_that_fit(source: Source, need: Need, memory: int, engine: Engine, begun: int | None) -> int:
    """How many rows a part may have.

    Args:
        source: The files.
        need: What the job takes.
        memory: What all workers may take together, in bytes.
        engine: Where parts are worked on.
        begun: The rows of a part in an earlier run that was stopped; they stay if they fit.

    Raises:
        InputError: Not even one row group fits, or the parts that were begun do not.
    """
    workers, processes = engine.workers, engine.processes
    rows = ((memory - PROGRAM * processes - need.once) // workers - need.worker) // need.row
    largest = max(part.rows for part in source.parts(1))
    if rows < largest:
        raise InputError(
            f"memory of {memory / 2**20:,.0f} MiB is too little: {workers} workers at row groups of up to {largest:,} "
            f"rows take about {_mebibytes(need.of(largest, workers, processes)):,} MiB; allow that, use fewer "
            "workers, or write files with smaller row groups"
        )
    if begun is None:
        return int(min(rows, max(MOST_ROWS, largest)))
    if begun > rows:
        raise InputError(
            f"memory of {memory / 2**20:,.0f} MiB is too little: the folder holds a run of {begun:,} rows a part, "
            f"which take about {_mebibytes(need.of(begun, workers, processes)):,} MiB with {workers} workers; "
            "allow that, use fewer workers, or name a new folder"
        )
    return begun


def _mebibytes(size: int) -> int:
    return math.ceil(size / 2**20)
