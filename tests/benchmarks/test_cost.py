"""The formulas say what runs do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dataworth as dw
from benchmarks.cost import Cost, Rates, Run, fitted
from dataworth.data.sources import Source
from dataworth.engines.dask import _size
from dataworth.engines.engine import Tick
from dataworth.engines.local import Local
from dataworth.kernels import neighbors
from dataworth.records.stored import StoredValues
from dataworth.valuation import streaming
from dataworth.valuation.part_job import PartJob

ROWS, FEATURES, POINTS, FILES = 40_000, 16, 203, 4
IO = Path("/proc/self/io")


class Watched(Local):
    """One worker; notes what would be sent to others and what comes back."""

    def __init__(self, out: Path) -> None:
        super().__init__(1)
        self.out = out
        self.tasks = self.sent = self.returned = self.links = 0

    def run(
        self, job: Callable[..., Any], shared: Any, tasks: Sequence[Any], *, tick: Tick | None = None
    ) -> Generator[tuple[int, Any], None, None]:
        self.tasks += len(tasks)
        self.sent += _size(shared)
        for place, found in super().run(job, shared, tasks, tick=tick):
            self.returned += found.nbytes if isinstance(found, np.ndarray) else 0
            yield place, found
        self.links = max(self.links, sum(path.stat().st_size for path in self.out.glob("_work/bits-*.bin")))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder, rng = tmp_path_factory.mktemp("rows"), np.random.default_rng(0)
    for at in range(FILES):
        x = rng.standard_normal((FEATURES, ROWS // FILES), dtype=np.float32)
        table = pa.table(
            {**{f"f{number}": column for number, column in enumerate(x)}, "y": rng.integers(0, 2, x.shape[1])}
        )
        pq.write_table(table, folder / f"{at}.parquet", use_dictionary=["y"], row_group_size=5_000)
    return Source.open(folder, label="y")


def judges() -> dw.Points:
    rng = np.random.default_rng(1)
    return dw.Points(rng.standard_normal((POINTS, FEATURES), dtype=np.float32), np.arange(POINTS) % 2)


def value(source: Source, out: Path, engine: Local, cost: Cost) -> StoredValues:
    return streaming.value_source(
        source, judges(), method=dw.ThresholdKNNShapley(radius=0.5), out=out, engine=engine, spill=cost.links_kept,
        survey=cost.survey, part_rows=cost.part_rows, progress=False,
    )  # fmt: skip


@pytest.mark.parametrize("survey", [True, False])
@pytest.mark.parametrize("links_kept", [True, False])
def test_formulas_are_what_a_run_does(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links_kept: bool, survey: bool
) -> None:
    cost = run_cost(links_kept, survey)
    engine, pairs, link = Watched(tmp_path / "out"), 0, neighbors.link

    def counting(rows: Any, points: Any, radius: float) -> Any:
        nonlocal pairs
        pairs += len(rows) * len(points)
        return link(rows, points, radius)

    monkeypatch.setattr(neighbors, "link", counting)
    stored = value(source, engine.out, engine, cost)
    assert stored.rows == ROWS
    assert engine.links == cost.link_bytes
    assert (stored.parts, engine.tasks) == (cost.parts, cost.tasks)
    assert 2 * engine.returned == cost.returned_bytes
    assert 2 * pairs * FEATURES == cost.flops
    assert 0 < engine.sent - cost.sent_bytes / 2 < 16_384  # also which files there are, and the names of columns


# In a process of its own: what else this one holds and does, threads of other tests included, reads files as well.
CHILD = """
import json, sys
from pathlib import Path
from dataworth.data.sources import Source
from dataworth.engines.local import Local
from tests.benchmarks.test_cost import run_cost, counted, value

source, out = Source.open(sys.argv[1], label="y"), Path(sys.argv[2])
found = []
for links_kept in (True, False):
    for survey in (True, False):
        cost = run_cost(links_kept, survey)
        value(source, out / f"before {links_kept} {survey}", Local(1), cost)  # compiled code is read from files, too
        before = counted()
        value(source, out / f"{links_kept} {survey}", Local(1), cost)
        found.append({name: was - before[name] for name, was in counted().items()})
print(json.dumps(found))
"""


def run_cost(links_kept: bool, survey: bool) -> Cost:
    return Cost(ROWS, FEATURES, POINTS, links_kept=links_kept, survey=survey, workers=1, part_rows=10_000)


@pytest.mark.skipif(not IO.exists(), reason="the system does not say what a process reads and writes")
def test_bytes_are_what_a_process_reads_and_writes(source: Source, tmp_path: Path) -> None:
    folder = Path(source.files[0]).parent
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    runs = [(links_kept, survey) for links_kept in (True, False) for survey in (True, False)]
    for run, spent in zip(runs, json.loads(done.stdout), strict=True):
        cost = run_cost(*run)
        assert 0.85 < cost.bytes_read / spent["rchar"] < 1.02, (run, spent)  # also footers
        assert 0.9 < cost.bytes_written / spent["wchar"] < 1.1, (run, spent)


def test_memory_is_what_is_planned_for(source: Source) -> None:
    job = PartJob.of(source, judges(), "cosine", None, "float32")
    for workers, processes, part_rows in [(1, 1, 5_000), (2, 1, 10_000), (8, 2, 7)]:
        cost = Cost(ROWS, FEATURES, POINTS, workers=workers, processes=processes, part_rows=part_rows)
        assert cost.memory == streaming._need(job).of(part_rows, workers, processes)


rates = st.builds(Rates, *[st.floats(1e-3, 1e3)] * 8)
costs = st.builds(
    Cost, st.integers(1, 10**9), st.integers(1, 1000), st.integers(20, 10**4), survey=st.booleans(),
    links_kept=st.booleans(), workers=st.integers(1, 64),
)  # fmt: skip


@given(rates, costs)
def test_rates_come_back_from_the_runs_that_they_make(rate: Rates, cost: Cost) -> None:
    many = replace(cost, survey=True, links_kept=True)
    few = replace(many, points=many.points // 10)
    begin = {"survey": 0.25, "first": 0.5, "second": 0.125, "all": rate.begin}

    def run(cost: Cost) -> Run:
        seconds = {"survey": rate.survey(cost), "first": rate.link(cost), "second": rate.add(cost)}
        read = cost.rows * cost.row_bytes * rate.read_byte
        product = 2 * cost.pairs * cost.features * rate.flop
        clock = {name: begin[name] + spent / cost.workers for name, spent in seconds.items()}
        return Run(cost, clock, read / cost.workers, product / cost.workers)

    found = fitted(run(many), run(few), begin)
    assert found.seconds(many) == pytest.approx(rate.seconds(many), rel=1e-9)
    assert found.seconds(few) == pytest.approx(rate.seconds(few), rel=1e-9)
    product = max(1.0, 2 * many.features * rate.flop)  # digits that are lost where it is far greater than the rest
    for name, given_, got in zip(Rates.__dataclass_fields__, astuple(rate), astuple(found), strict=True):
        loose = {"link_row": product * many.points + many.row_bytes * rate.read_byte, "link_pair": product}
        loose["value_row"] = rate.value_pair * many.points
        slack = 1e-9 * (loose.get(name, 0.0) + many.row_bytes * rate.read_byte + 1 / many.rows)
        assert got == pytest.approx(given_, rel=1e-6, abs=slack), name


@given(rates, costs, st.integers(1, 64), st.floats(1, 1e12))
def test_neither_files_nor_cores_are_faster_than_alone(rate: Rates, cost: Cost, cores: int, speed: float) -> None:
    survey, passes = rate.seconds_from(cost, speed, cores)
    assert survey * cores >= rate.survey(cost) * (1 - 1e-12)
    assert passes * cost.workers >= (rate.link(cost) + rate.add(cost)) * (1 - 1e-12)
    moved = cost.bytes_read + cost.bytes_written
    assert (survey + passes) * speed == pytest.approx(moved, rel=1e-9) or (survey + passes) * speed >= moved * (
        1 - 1e-9
    )
    endless = rate.seconds_from(cost, float("inf"), cost.workers)
    assert sum(endless) + rate.begin == pytest.approx(rate.seconds(cost), rel=1e-9)


@given(rates, costs)
def test_links_that_are_not_kept_are_found_once_more(rate: Rates, cost: Cost) -> None:
    kept, twice = (rate.seconds(replace(cost, links_kept=links_kept)) for links_kept in (True, False))
    assert twice == pytest.approx(kept + rate.link(cost) / cost.workers, rel=1e-9)


def counted() -> dict[str, int]:
    """Bytes that this process has read and written by calls of the system."""
    told = dict(line.split(": ") for line in IO.read_text().splitlines())
    return {name: int(told[name]) for name in ("rchar", "wchar")}
