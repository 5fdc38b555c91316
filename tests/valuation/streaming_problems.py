"""Files of rows for tests of values that are streamed, and a run of them in a process of its own."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import dataworth as dw
from dataworth.data.sources import Source
from dataworth.engines.engine import Engine
from dataworth.engines.local import Local
from dataworth.records.stored import StoredValues
from dataworth.valuation.streaming import value_source

METHOD = dw.ThresholdKNNShapley(radius=0.8)


class Stopped:
    """An engine that is stopped when it has done so many jobs, counted over all passes; it counts them.

    Args:
        engine: Does them.
        at: How many; all of them by default.
        error: What stops it.
    """

    def __init__(self, engine: Engine, at: int | None = None, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.engine, self.at, self.error, self.done = engine, at, error, 0
        self.workers, self.processes = 2, 1

    def describe(self) -> str:
        return self.engine.describe()

    def held(self) -> AbstractContextManager[Engine]:
        return nullcontext(self)

    def run(self, job: Any, shared: Any, tasks: Any, *, tick: Any = None) -> Generator[tuple[int, Any], None, None]:
        def stopping(shared: Any, task: Any) -> Any:
            if self.done == self.at:
                raise self.error("stopped")
            self.done += 1
            return job(shared, task)

        yield from self.engine.run(stopping, shared, tasks, tick=tick)


def some_rows(n: int, *, seed: int = 0, width: int = 3, classes: int = 3) -> tuple[Any, Any]:
    """Features and labels of clusters, float32."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    return (rng.standard_normal((n, width)) + np.eye(classes, width)[y]).astype(np.float32), y


def table_of(x: Any, y: Any, **more: Any) -> pa.Table:
    """Columns ``x0``, ``x1``, ... and ``y``."""
    return pa.table({**{f"x{at}": x[:, at] for at in range(x.shape[1])}, "y": pa.array(y), **more})


def write_files(folder: Path, table: pa.Table, sizes: Sequence[int], group: int) -> Path:
    """The rows of a table as files of these sizes; the last takes what is left."""
    folder.mkdir(parents=True, exist_ok=True)
    at = 0
    for number, size in enumerate(sizes):
        stop = at + size if number + 1 < len(sizes) else table.num_rows
        pq.write_table(table.slice(at, max(0, stop - at)), folder / f"{number:03d}.parquet", row_group_size=group)
        at = max(at, stop)
    return folder


def judges(n: int = 20, **more: Any) -> dw.Points:
    """Validation points for :func:`some_rows`."""
    x, y = some_rows(n, seed=1, **more)
    return dw.Points(x, y)


def files_of(stored: StoredValues) -> dict[str, str]:
    """A digest of every file of values, and the names of all else that is there."""
    there = sorted(Path(stored.folder).rglob("*"))
    assert [path.name for path in there if not path.name.startswith("part-")] == ["_values.json"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in there if path.name[:5] == "part-"}


def child(rows: str, out: str, workers: str, spill: str) -> None:
    """A run for a process of its own."""
    source = Source.open(rows, label="y")
    print("ready", flush=True)
    value_source(
        source, judges(200), method=METHOD, out=out, engine=Local(int(workers)), part_rows=1,
        spill=spill == "spill", progress=False,
    )  # fmt: skip


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    child(*sys.argv[1:])
