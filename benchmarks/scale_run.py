"""One run over files, or the least that any run must do, in a process of its own."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.scale_files import Files
from dataworth import Points, ThresholdKNNShapley
from dataworth.data.sources import Part, Source
from dataworth.engines.dask import Dask
from dataworth.engines.engine import Engine, Tick
from dataworth.engines.local import Local
from dataworth.kernels import neighbors
from dataworth.kernels.neighbors import Judges, prepare
from dataworth.valuation.part_memory import MOST_ROWS
from dataworth.valuation.streaming import value_source

__all__ = ["RUNS", "Clocked", "main"]

RUNS = ("kept", "twice", "dask", "dask-there")
_WORKERS = 2
_BLOCK = 4096  # rows that are put in place at a time: with 64 numbers each they stay in the cache


class Clocked:
    """An engine that notes when its runs began and ended, and what lay in the folder then."""

    def __init__(self, engine: Engine, out: Path) -> None:
        self._engine, self._out = engine, out
        self.opened = 0.0
        self.began: list[float] = []
        self.ended: list[float] = []
        self.tasks = 0
        self.links = 0

    @property
    def workers(self) -> int:
        return self._engine.workers

    @property
    def processes(self) -> int:
        return self._engine.processes

    @contextmanager
    def held(self) -> Iterator[Clocked]:
        """The engine held, and when it was asked to be."""
        self.opened = time.perf_counter()
        alone = self._engine
        with alone.held() as self._engine:
            yield self
        self._engine = alone

    def describe(self) -> str:
        return self._engine.describe()

    def run(
        self, job: Callable[..., Any], shared: Any, tasks: Sequence[Any], *, tick: Tick | None = None
    ) -> Generator[tuple[int, Any], None, None]:
        self.began.append(time.perf_counter())
        self.tasks += len(tasks)
        yield from self._engine.run(job, shared, tasks, tick=tick)
        self.links = max(self.links, sum(path.stat().st_size for path in self._out.glob("_work/bits-*.bin")))
        self.ended.append(time.perf_counter())


def main(name: str, folder: Path, points: int) -> dict[str, Any]:
    """What one run found, ready for JSON."""
    files = Files.at(folder)
    if name == "limits":
        return _limits(files, points)
    if name == "dask-there":
        from distributed import Client, LocalCluster

        with (
            LocalCluster(
                n_workers=_WORKERS, threads_per_worker=1, memory_limit=0, security=True, dashboard_address=None
            ) as cluster,
            Client(cluster) as client,
        ):
            return _values(files, points, Dask(client), Dask(client), spill=True)
    engine = Dask(workers=_WORKERS) if name == "dask" else Local(_WORKERS)
    return _values(files, points, engine, Local(_WORKERS), spill=name != "twice")


def _values(files: Files, points: int, engine: Engine, warm: Engine, *, spill: bool) -> dict[str, Any]:
    """What a run took, and one over next to nothing before it."""
    with tempfile.TemporaryDirectory(dir=files.folder, prefix="values-") as scratch:
        few = Files.make(Path(scratch, "few"), 8 * 64)
        judges = files.judges(points)
        for at in range(2):  # the first loads compiled code, here and on workers that are there
            begin = _value(few, judges, files.radius, warm, Path(scratch, f"begin-{at}"), spill=spill)
        found = _value(files, judges, files.radius, engine, Path(scratch, "values"), spill=spill)
    return {**found, "begin": begin["seconds"], "mib": _peak() / 2**20}


def _value(files: Files, judges: Points, radius: float, engine: Engine, out: Path, *, spill: bool) -> dict[str, Any]:
    clocked = Clocked(engine, out)
    source = Source.open(files.folder / "rows", label="label")
    read, written, loop = _counter("rchar"), _counter("wchar"), _loopback()
    began = time.perf_counter()
    stored = value_source(
        source, judges, method=ThresholdKNNShapley(radius=radius), out=out, engine=clocked, spill=spill,
        memory="2GiB", progress=False,
    )  # fmt: skip
    ended = time.perf_counter()
    figures: dict[str, Any] = {
        "seconds": {
            "survey": clocked.opened - began,
            "first": clocked.ended[0] - clocked.began[0],
            "second": clocked.ended[1] - clocked.began[1],
            "all": ended - began,
        },
        "read": _counter("rchar") - read,
        "written": _counter("wchar") - written,
        "loopback": _loopback() - loop,
        "links": clocked.links,
        "tasks": clocked.tasks,
        "part rows": max(part.rows for part in source.parts(int(stored.provenance["rows of a part"]))),
        "digest": stored.digest(),
    }
    return figures


# -- the least that must be done -------------------------------------------------------------------


def _limits(files: Files, points: int) -> dict[str, Any]:
    """Seconds of bare reads and bare products, by two threads."""
    source = Source.open(files.folder / "rows", label="label")
    parts = source.parts(MOST_ROWS)
    with ThreadPoolExecutor(_WORKERS) as pool:
        list(pool.map(_columns, parts))  # so that the files are in the page cache
        columns = _clock(lambda: list(pool.map(_columns, parts)))
        rows = _clock(lambda: list(pool.map(_rows, parts)))
    return {"columns": columns, "rows": rows, "product": _products(files, parts, points)}


def _columns(part: Part) -> int:
    """Decode the columns of a part, as pyarrow does it, and drop them."""
    with pq.ParquetFile(part.file) as file:
        return sum(batch.num_rows for batch in file.iter_batches(2**16, row_groups=part.groups, use_threads=False))


def _rows(part: Part) -> int:
    """Decode the columns of a part and put them side by side into one float32 matrix, row after row."""
    at = 0
    with pq.ParquetFile(part.file) as file:
        names = [name for name in file.schema_arrow.names if name != "label"]
        x = np.empty((part.rows, len(names)), dtype=np.float32)
        block = np.empty((len(names), _BLOCK + 16), dtype=np.float32)  # no columns a power of two apart
        for batch in file.iter_batches(2**16, row_groups=part.groups, use_threads=False):
            columns = [batch.column(name).to_numpy() for name in names]
            for start in range(0, batch.num_rows, _BLOCK):
                some = block[:, : min(_BLOCK, batch.num_rows - start)]
                for number, column in enumerate(columns):
                    some[number] = column[start : start + _BLOCK]
                x[at + start : at + start + some.shape[1]] = some.T
            at += batch.num_rows
    return at


def _products(files: Files, parts: Sequence[Part], points: int) -> float:
    """The products of the tiles of all parts; rows of one part stand for those of all, as products are all alike."""
    judges = files.judges(points)
    most = max(part.rows for part in parts)
    x = np.random.default_rng(0).standard_normal((most, judges.x.shape[1]), dtype=np.float32)
    rows = prepare(x, np.zeros(most, dtype=np.int64), 1, "cosine")
    ready = Judges.ready(rows, judges.x, judges.y, None).x
    copies = [rows.x, rows.x.copy()]  # no two workers share a part, so none profits from another's cache

    def product(_: None, part: Part) -> None:
        tiles = neighbors._tiles(part.rows, points)
        out = np.empty(max((z1 - z0) * (i1 - i0) for z0, z1, i0, i1 in tiles), dtype=np.float32)
        here = copies[part.number % 2]
        for z0, z1, i0, i1 in tiles:
            np.dot(ready[z0:z1], here[i0:i1].T, out=out[: (z1 - z0) * (i1 - i0)].reshape(z1 - z0, i1 - i0))

    list(Local(_WORKERS).run(product, None, parts[:2]))
    return _clock(lambda: list(Local(_WORKERS).run(product, None, parts)))


def _clock(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


# -- what the system counted -----------------------------------------------------------------------


def _counter(name: str) -> int:
    """Bytes that this process read or wrote by calls of the system, from the page cache or not."""
    return _field(Path("/proc/self/io"), name)


def _peak() -> int:
    return _field(Path("/proc/self/status"), "VmHWM") * 1024


def _loopback() -> int:
    """Bytes that went over this machine's own network, of all processes."""
    return int(Path("/sys/class/net/lo/statistics/rx_bytes").read_text())


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise RuntimeError(f"this system does not tell {name}; the benchmark of rows in files needs Linux")


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))
