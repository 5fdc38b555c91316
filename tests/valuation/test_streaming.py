"""Values of files that are read part by part: those of the whole, to the last bit, however a run was stopped."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import count, product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dataworth as dw
from dataworth.data.filters import Filter
from dataworth.data.part_files import buffer_of
from dataworth.data.sources import Source
from dataworth.engines.engine import Engine
from dataworth.engines.local import Local
from dataworth.errors import DataError, InputError, MethodError, UnmatchedLabels
from dataworth.kernels import neighbors
from dataworth.records.stored import StoredValues
from dataworth.valuation import part_memory
from dataworth.valuation.part_memory import Need, parse_memory, rows_that_fit
from dataworth.valuation.parts_kept import PartsKept
from dataworth.valuation.streaming import value_source
from tests.strategies import Problem, classification_problems
from tests.valuation.streaming_problems import METHOD, Stopped, files_of, judges, some_rows, table_of, write_files

SEMIVALUES: tuple[Any, ...] = ("shapley", "banzhaf", "leave-one-out", dw.Beta(4, 1), dw.Beta(0.5, 2.5))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 rows in four files, row groups of 20."""
    return write_files(tmp_path_factory.mktemp("rows"), table_of(*some_rows(400)), [90, 150, 10, 0], 20)


def value(rows: Path | Source, out: Path, **more: Any) -> StoredValues:
    source = rows if isinstance(rows, Source) else Source.open(rows, label="y")
    settings_ = {"validation": judges(), "method": METHOD, "part_rows": 50, "engine": Local(1), "progress": False}
    return value_source(source, out=out, **{**settings_, **more})


def parts_left(out: Path, kind: str) -> int:
    return len(list(out.rglob(f"{kind}-*[a-z]")))


# -- the very same values ---------------------------------------------------------------------------


@st.composite
def streamed(draw: st.DrawFn) -> tuple[Problem, dict[str, Any], list[int], int, Any]:
    """A problem, more columns for its rows, how rows are cut into files and groups, and a method."""
    problem = draw(classification_problems(max_train=14, max_validation=11))
    n = len(problem.train_y)
    columns: dict[str, Any] = {"age": draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))}
    kind = draw(st.sampled_from(["none", "whole", "text"]))
    if kind != "none":
        names = draw(st.permutations(range(n)))
        columns["id"] = [f"row {name}é\n" if kind == "text" else name - 3 for name in names]
    if draw(st.booleans()):
        columns["owner"] = draw(st.lists(st.sampled_from(["ann", "bob", "żółw"]), min_size=n, max_size=n))
    sizes = draw(st.lists(st.integers(0, n), min_size=1, max_size=4))
    semivalue = draw(st.sampled_from(SEMIVALUES))
    method = draw(
        st.sampled_from([
            dw.ThresholdKNNShapley(radius=problem.radius, metric=problem.metric, semivalue=semivalue),
            dw.ValidationVote(radius=problem.radius, metric=problem.metric),
        ])
    )  # fmt: skip
    return problem, columns, sizes, draw(st.integers(1, 5)), method


@settings(max_examples=40)
@given(
    given_=streamed(),
    part_rows=st.integers(1, 20),
    least_age=st.sampled_from([None, 1, 2]),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_values_are_those_of_the_whole_to_the_last_bit(
    given_: tuple[Problem, dict[str, Any], list[int], int, Any],
    part_rows: int,
    least_age: int | None,
    dtype: Any,
) -> None:
    """Any rows, files, parts and filters; ids and owners; one worker or two; links kept or not."""
    problem, columns, sizes, group, method = given_
    table = table_of(problem.train_x, problem.train_y, **columns)
    passing = np.flatnonzero(np.asarray(columns["age"]) >= (least_age or 0))
    digests = set()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UnmatchedLabels)
        source = Source.open(
            write_files(Path(folder, "rows"), table, sizes, group),
            label="y",
            id="id" if "id" in columns else None,
            owner="owner" if "owner" in columns else None,
            features=[f"x{at}" for at in range(problem.train_x.shape[1])],
            filter=None if least_age is None else f"age >= {least_age}",
        )
        for number, (workers, spill, rows_) in enumerate([(1, True, part_rows), (2, False, part_rows), (2, True, 100)]):

            def run(out: Path, workers: int = workers, spill: bool = spill, rows_: int = rows_) -> StoredValues:
                return value_source(
                    source, problem.validation, method=method, out=out, dtype=dtype, engine=Local(workers),
                    part_rows=rows_, spill=spill, survey=spill, progress=False,
                )  # fmt: skip

            if not passing.size:
                with pytest.raises(DataError, match=r"no row of .* passes"):
                    run(Path(folder, str(number)))
                continue
            stored = run(Path(folder, str(number)))
            digests.add(stored.digest())
            found = stored.load()
            points = dw.Points(
                problem.train_x[passing],
                problem.train_y[passing],
                ids=np.asarray(columns["id"])[passing] if "id" in columns else passing,
                owners=np.asarray(columns["owner"])[passing] if "owner" in columns else None,
            )
            whole = dw.value_points(points, problem.validation, method=method, dtype=dtype, threads=1)
            np.testing.assert_array_equal(found.values.view(np.int64), whole.values.view(np.int64))
            np.testing.assert_array_equal(found.ids, whole.ids)
            if whole.owners is None:
                assert found.owners is None
            else:
                np.testing.assert_array_equal(found.owners, whole.owners)
            assert (found.method, found.n_validation) == (whole.method, whole.n_validation)
            assert stored.rows == len(passing)
            assert stored.total == pytest.approx(whole.values.sum(), abs=1e-12)
            assert (stored.lowest, stored.highest) == (whole.values.min(), whole.values.max())
            assert stored.below_zero == (whole.values < 0).sum()
    assert len(digests) <= 1


def test_the_filter_of_the_law_filters(tmp_path: Path) -> None:
    table = pa.table({"age": [0, 1, 2]})
    assert Filter.parse("age >= 1", table.schema).mask(table.to_batches()[0]).to_pylist() == [False, True, True]


def test_digests_hang_on_no_parts_and_no_workers_and_bytes_on_parts_alone(rows: Path, tmp_path: Path) -> None:
    digests = set()
    bytes_of: dict[int, list[dict[str, str]]] = {}
    for number, (part_rows, workers, spill) in enumerate(product((1, 50, 1000), (1, 2, 3), (True, False))):
        stored = value(rows, tmp_path / str(number), part_rows=part_rows, engine=Local(workers), spill=spill)
        digests.add(stored.digest())
        bytes_of.setdefault(part_rows, []).append(files_of(stored))
    assert len(digests) == 1
    assert [len(found[0]) for found in bytes_of.values()] == [22, 11, 4]
    assert all(found == [found[0]] * 6 for found in bytes_of.values())


def test_lists_of_numbers_are_features_too(tmp_path: Path) -> None:
    x, y = some_rows(60)
    pq.write_table(pa.table({"e": list(x), "y": y}), tmp_path / "rows.parquet", row_group_size=7)
    stored = value(tmp_path / "rows.parquet", tmp_path / "out")
    whole = dw.value_points(dw.Points(x, y), judges(), method=METHOD, threads=1)
    np.testing.assert_array_equal(stored.load().values, whole.values)


@pytest.mark.parametrize(
    ("workers", "threads", "processes"),
    [(1, 1, False), (2, 1, False), (1, 2, False), pytest.param(2, 2, True, marks=pytest.mark.slow)],
)
def test_dask_gives_the_same_bytes(rows: Path, tmp_path: Path, workers: int, threads: int, processes: bool) -> None:
    pytest.importorskip("distributed")
    from dataworth.engines.dask import Dask

    engine = Dask(workers=workers, threads=threads, processes=processes)
    stored = value(rows, tmp_path / "dask", engine=engine)
    here = value(rows, tmp_path / "local")
    assert stored.digest() == here.digest()
    assert files_of(stored) == files_of(here)


# -- runs that were stopped -------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("spill", [True, False])
def test_a_run_stopped_at_any_job_goes_on_to_the_same_bytes(
    rows: Path, tmp_path: Path, error: type[BaseException], spill: bool
) -> None:
    whole = files_of(value(rows, tmp_path / "whole", spill=spill))
    done = []
    for at in range(0, 2 * len(whole), 3):
        out = tmp_path / f"stopped{at}"
        with pytest.raises(error):
            value(rows, out, spill=spill, engine=Stopped(Local(1), at, error))
        done.append((parts_left(out, "counts"), parts_left(out, "part")))
        with pytest.raises(DataError, match="no finished values"):
            StoredValues.open(out)
        seen = Counting()
        assert files_of(value(rows, out, spill=not spill, engine=seen)) == whole  # kept links are no must
        assert seen.jobs == 2 * len(whole) - at
    n = len(whole)
    assert done == [(min(at, n), max(0, at - n)) for at in range(0, 2 * n, 3)]


class Counting(Local):
    """Counts jobs."""

    def __init__(self) -> None:
        super().__init__(1)
        self.jobs = 0

    def run(self, job: Any, shared: Any, tasks: Any, *, tick: Any = None) -> Generator[tuple[int, Any], None, None]:
        self.jobs += len(tasks)
        yield from super().run(job, shared, tasks, tick=tick)


def test_an_interrupted_survey_is_done_again_and_a_whole_one_is_not(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = count()
    survey, look = Source.survey, Source._look

    def interrupted(self: Source, *given: Any) -> Any:
        if next(looked) == 5:
            raise KeyboardInterrupt
        return look(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Source, "_look", interrupted)
        with pytest.raises(KeyboardInterrupt):
            value(rows, tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        value(rows, tmp_path / "out", engine=Stopped(Local(1), 3, KeyboardInterrupt))
    monkeypatch.setattr(Source, "survey", None)
    stored = value(rows, tmp_path / "out")
    monkeypatch.setattr(Source, "survey", survey)
    assert files_of(stored) == files_of(value(rows, tmp_path / "whole"))


def start(rows: Path, out: Path, workers: int, spill: str) -> subprocess.Popen[str]:
    """A run in a process of its own, up to the moment when it begins."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.valuation.streaming_problems", str(rows), str(out), str(workers), spill],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill_and_finish(tmp_path: Path, kills: int, longest: float, workers: int, spill: str) -> int:
    """Kill a run at random moments, each time going on from the last; in how many it was at work."""
    source = write_files(tmp_path / "rows", table_of(*some_rows(3000)), [1000, 1000, 1000], 10)
    delays = np.random.default_rng(kills + workers).uniform(0, longest, kills)
    at_work = 0
    for delay in delays.tolist():
        process = start(source, tmp_path / "killed", workers, spill)
        try:
            time.sleep(delay)
            at_work += process.poll() is None
        finally:
            process.kill()
            process.communicate()
    more = {"validation": judges(200), "part_rows": 1}
    found, whole = value(source, tmp_path / "killed", **more), value(source, tmp_path / "whole", **more)
    assert files_of(found) == files_of(whole)
    assert found.digest() == whole.digest()
    return at_work


def test_a_run_killed_three_times_ends_with_the_same_bytes(tmp_path: Path) -> None:
    assert kill_and_finish(tmp_path, 3, 0.4, 2, "spill") == 3


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "spill"), [(1, "spill"), (2, "spill"), (2, "again")])
def test_a_run_killed_fifty_times_ends_with_the_same_bytes(tmp_path: Path, workers: int, spill: str) -> None:
    for attempt in range(10):
        assert kill_and_finish(tmp_path / str(attempt), 5, 0.4, workers, spill) >= 3


def test_a_run_killed_before_its_note_or_after_its_last_file_leaves_nothing(rows: Path, tmp_path: Path) -> None:
    whole = files_of(value(rows, tmp_path / "whole"))
    (tmp_path / "before" / "_work").mkdir(parents=True)
    (tmp_path / "before" / "_work" / ".job.json.123.part").touch()
    assert files_of(value(rows, tmp_path / "before")) == whole
    (tmp_path / "whole" / "_work").mkdir()
    (tmp_path / "whole" / "_work" / "bits-00000.bin").touch()
    (tmp_path / "whole" / ".part-00003.parquet.123.part").touch()
    assert files_of(value(rows, tmp_path / "whole")) == whole


def test_a_finished_folder_is_returned_at_once(rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = value(rows, tmp_path)
    before = files_of(stored)
    monkeypatch.setattr(Source, "read", None)
    assert value(rows, tmp_path, engine=Local(2), spill=False) == stored
    assert value(rows, tmp_path, part_rows=None) == stored
    assert files_of(stored) == before


OTHERS: dict[str, dict[str, Any]] = {
    "method": {"method": dw.ThresholdKNNShapley(radius=0.7)},
    "points": {"validation": judges(21)},
    "classes": {"classes": [0, 1, 2, 3]},
    "dtype": {"dtype": "float64"},
    "part size": {"part_rows": 51},
}


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "begun"])
@pytest.mark.parametrize("other", [*OTHERS, "rows", "filter"])
def test_other_runs_in_the_same_folder_are_refused(rows: Path, tmp_path: Path, finished: bool, other: str) -> None:
    out = tmp_path / "out"
    if finished:
        value(rows, out)
    else:
        with pytest.raises(KeyboardInterrupt):
            value(rows, out, engine=Stopped(Local(1), 3, KeyboardInterrupt))
    source = Source.open(rows, label="y", filter="x0 > 0" if other == "filter" else None)
    if other == "rows":
        source = Source.open(write_files(tmp_path / "rows", table_of(*some_rows(9)), [9], 9), label="y")
    with pytest.raises(InputError, match="name a new folder"):
        value(source, out, **OTHERS.get(other, {}))


def test_parts_that_were_begun_stay_where_memory_allows(rows: Path, tmp_path: Path) -> None:
    """However many workers a later run has, and what it may take."""
    with pytest.raises(KeyboardInterrupt):
        value(rows, tmp_path / "out", engine=Stopped(Local(1), 3, KeyboardInterrupt))
    stored = value(rows, tmp_path / "out", part_rows=None, engine=Local(2))
    assert stored.provenance["rows of a part"] == 50
    with pytest.raises(KeyboardInterrupt):
        value(rows, tmp_path / "large", part_rows=200_000, engine=Stopped(Local(1), 3, KeyboardInterrupt))
    with pytest.raises(InputError, match=r"holds a run of 200,000 rows a part, which take about \d+ MiB with 1 work"):
        value(rows, tmp_path / "large", part_rows=None, memory=part_memory.PROGRAM + 2**20)


# -- damage ------------------------------------------------------------------------------------------


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    held = bytearray(path.read_bytes())
    held[len(held) // 2] ^= 4
    path.write_bytes(held)


def swap(path: Path) -> None:
    """The file of another part."""
    others = sorted(path.parent.glob(f"{path.name.partition('-')[0]}-*"))
    path.write_bytes(others[others.index(path) + 1].read_bytes())


@pytest.mark.parametrize("damage", [cut, flip, swap, Path.unlink], ids=["cut", "flipped", "swapped", "gone"])
@pytest.mark.parametrize("kind", ["bits", "counts", "part"])
def test_what_is_damaged_is_made_again(rows: Path, tmp_path: Path, kind: str, damage: Callable[[Path], None]) -> None:
    whole = files_of(value(rows, tmp_path / "whole"))
    at = len(whole) + 5
    with pytest.raises(KeyboardInterrupt):
        value(rows, tmp_path / "out", engine=Stopped(Local(1), at, KeyboardInterrupt))
    for hurt in tmp_path.rglob("out/**/part-0000[1-4]*"):
        if kind == "bits":
            hurt.unlink()  # else nobody looks at the links
    damage(sorted((tmp_path / "out").rglob(f"{kind}-*"))[1])
    assert files_of(value(rows, tmp_path / "out")) == whole


def test_every_flipped_bit_of_kept_files_is_seen_or_harmless(tmp_path: Path) -> None:
    source = write_files(tmp_path / "rows", table_of(*some_rows(12)), [12], 6)
    more = {"part_rows": 6, "validation": judges(9)}
    whole = files_of(value(source, tmp_path / "whole", **more))
    kept = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        value(source, kept, engine=Stopped(Local(1), 3, KeyboardInterrupt), **more)
    held = {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    assert len(held) == 3 + 2 * 2 + 1
    random = np.random.default_rng(0)
    for path, before in held.items():
        if path.name in ("job.json", "surveyed", "lock"):
            continue
        for at in random.integers(0, len(before) * 8, 12).tolist():
            for other, content in held.items():
                other.parent.mkdir(exist_ok=True)
                other.write_bytes(content)
            (kept / "_values.json").unlink(missing_ok=True)
            (kept / "part-00001.parquet").unlink(missing_ok=True)
            spoiled = bytearray(before)
            spoiled[at // 8] ^= 1 << at % 8
            path.write_bytes(spoiled)
            found = value(source, kept, survey=False, **more)
            assert found.digest() == StoredValues.open(tmp_path / "whole").digest()
            assert {name: files_of(found)[name] for name in whole if path.name != name} == {
                name: digest for name, digest in whole.items() if path.name != name
            }


def test_values_of_other_weights_are_made_again(rows: Path, tmp_path: Path) -> None:
    whole = files_of(value(rows, tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        value(rows, tmp_path / "out", engine=Stopped(Local(1), len(whole), KeyboardInterrupt))
    job = json.loads((tmp_path / "out" / "_work" / "job.json").read_text())["job"]
    part = Source.open(rows, label="y").parts(50)[1]
    kept = PartsKept(tmp_path / "out", job)
    kept.keep_values(part, "others", np.arange(part.rows), None, np.zeros(part.rows))
    assert kept.values(part, "others") is not None
    assert files_of(value(rows, tmp_path / "out")) == whole


def test_a_damaged_note_is_named(rows: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        value(rows, tmp_path, engine=Stopped(Local(1), 3, KeyboardInterrupt))
    cut(tmp_path / "_work" / "job.json")
    with pytest.raises(DataError, match=r"job\.json' is damaged; name a new folder"):
        value(rows, tmp_path)


# -- bad input ---------------------------------------------------------------------------------------


def spoil_middle(path: Path) -> None:
    held = bytearray(path.read_bytes())
    held[4:60] = bytes(56)
    path.write_bytes(held)


def with_table(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def set_column(name: str, values: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with_table(path, lambda t: t.set_column(t.column_names.index(name), name, pa.array(values)))

    return change


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "corrupt": (spoil_middle, r"3\.parquet' cannot be decoded; the file is damaged"),
    "NaN": (set_column("x0", [1.0, np.nan, *[0.0] * 8]), r"3\.parquet': .*'x0' in 1 of 10 rows"),
    "missing": (set_column("x0", [1.0, None, *[0.0] * 8]), r"3\.parquet': .*'x0' in 1 of 10 rows"),
    "no label": (set_column("y", [None, *[0] * 9]), r"3\.parquet': .*'y'.*1 of 10"),
    "repeated id": (set_column("id", [0, *range(30_001, 30_010)]), r"1 of 100 rows repeat .*0\.parquet', .*3\.parq"),
}  # fmt: skip


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    """Ten files of ten rows with ids."""
    table = table_of(*some_rows(100), id=list(range(100)))
    return write_files(tmp_path / "rows", table.cast(table.schema.set(0, pa.field("x0", pa.float64()))), [10] * 10, 10)


@pytest.mark.parametrize("what", BAD)
def test_one_bad_file_among_many_is_named_before_any_product(
    ten: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    spoil, message = BAD[what]
    spoil(ten / "003.parquet")
    source = Source.open(ten, label="y", id="id")
    with monkeypatch.context() as patch:
        patch.setattr(neighbors, "prepare", None)
        with pytest.raises(DataError, match=message):
            value(source, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())  # free for the files when they are right
    if what != "repeated id":  # the only thing that no part sees by itself
        with pytest.raises(DataError, match=message):
            value(source, tmp_path / "unseen", survey=False)


def test_files_of_other_columns_or_types_are_named_at_opening(ten: Path) -> None:
    with_table(ten / "004.parquet", lambda t: t.drop_columns(["x1"]))
    with pytest.raises(DataError, match=r"004\.parquet' lacks 'x1'"):
        Source.open(ten, label="y", id="id")
    set_column("x1", ["a"] * 10)(write_files(ten, table_of(*some_rows(100)), [10] * 10, 10) / "004.parquet")
    with pytest.raises(DataError, match=r"004\.parquet' has 'x1' as string"):
        Source.open(ten, label="y")


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_rows_out_of_reach_are_named_with_their_file(
    ten: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: Any
) -> None:
    """Before any product by the survey, and with the part without one."""
    x, y = some_rows(100)
    x[[31, 70, 72]] = 0.0 if metric == "cosine" else 1e30
    write_files(ten, table_of(x, y, id=list(range(100))), [10] * 10, 10)
    source = Source.open(ten, label="y", id="id")
    method = dw.ThresholdKNNShapley(radius=0.5, metric=metric)
    kind = "are zero vectors" if metric == "cosine" else "have features too large for float32"
    wanted = rf"2 of 10 files .*003\.parquet': 1 of 10 rows {kind}.*; '.*007\.parquet': 2 of 10 rows {kind}"
    with monkeypatch.context() as patch:
        patch.setattr(neighbors, "prepare", None)
        with pytest.raises(DataError, match=wanted):
            value(source, tmp_path / "out", method=method)
    wanted = r"003\.parquet', rows 30 to 39: " + ("1 of 10 rows are zero" if metric == "cosine" else "features are too")
    with pytest.raises(DataError, match=wanted):
        value(source, tmp_path / "unseen", method=method, survey=False)
    if metric == "euclidean":
        value(source, tmp_path / "double", method=method, dtype="float64")


class Changing(Local):
    """Something happens to the files at the k-th result of the first pass."""

    def __init__(self, at: int, change: Callable[[], None]) -> None:
        super().__init__(1)
        self.left, self.change = at, change

    def run(self, job: Any, shared: Any, tasks: Any, *, tick: Any = None) -> Generator[Any, None, None]:
        for found in super().run(job, shared, tasks, tick=tick):
            if not self.left:
                self.change()
            self.left -= 1
            yield found


@pytest.mark.parametrize("file", [1, 6])
def test_a_file_that_changes_between_survey_and_passes_is_named(ten: Path, tmp_path: Path, file: int) -> None:
    """Before the first pass reads it, and after."""
    source = Source.open(ten, label="y", id="id")
    changing = Changing(3, lambda: set_column("y", [1] * 10)(ten / f"00{file}.parquet"))
    with pytest.raises(DataError, match=rf"00{file}\.parquet' (is gone or )?has changed"):
        value(source, tmp_path / "out", engine=changing)
    for again in (source, Source.open(ten, label="y", id="id")):
        with pytest.raises(InputError, match="other rows or another method"):
            value(again, tmp_path / "out")


@pytest.mark.parametrize(("at", "since"), [(4, "it was opened"), (9, "the run began")], ids=["amid", "at the end"])
def test_an_arrow_file_that_changes_while_it_is_read_is_named(tmp_path: Path, at: int, since: str) -> None:
    """Its footer says nothing of its rows, so that of another file of the same shape is the same."""

    def write(seed: int) -> None:
        table = table_of(*some_rows(100, seed=seed))
        with pa.OSFile(str(tmp_path / "rows.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=10)

    write(0)
    source = Source.open(tmp_path / "rows.arrow", label="y")
    with pytest.raises(DataError, match=rf"rows\.arrow' (is gone or )?has changed since {since}"):
        value(source, tmp_path / "out", engine=Changing(at, lambda: write(7)), part_rows=10)
    with pytest.raises(InputError, match="other rows or another method"):
        value(source, tmp_path / "out", part_rows=10)
    (tmp_path / "rows.arrow").unlink()
    with pytest.raises(DataError, match=r"rows\.arrow' is gone"):
        value(source, tmp_path / "out", part_rows=10)


def test_rows_that_no_filter_passes(rows: Path, tmp_path: Path) -> None:
    for survey in (True, False):
        with pytest.raises(DataError, match=r"no row of .* passes"):
            value(Source.open(rows, label="y", filter="x0 > 1000"), tmp_path / str(survey), survey=survey)


def test_arguments_that_do_not_fit(rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"validation": judges(width=4)}, DataError, "the files have 3 features, but the validation set has 4"),
        ({"validation": dw.Points(np.ones((1, 3)), ["a"])}, DataError, "labels of the files are numbers, but"),
        ({"validation": dw.Points(np.ones((1, 3)), [0.5])}, MethodError, "no classes"),
        ({"validation": dw.Points(np.ones((1, 3)), [0], features="abc")}, DataError, "other features"),
        ({"classes": [0, 1]}, DataError, "not among the classes given"),
        ({"method": dw.WeightedKNNShapley()}, MethodError, "WeightedKNNShapley is not worked out part by part"),
        ({"validation": [1]}, InputError, "validation Points"),
        ({"part_rows": 0}, InputError, "part_rows must be a positive integer"),
        ({"part_rows": True}, InputError, "part_rows must be a positive integer"),
        ({"dtype": "float16"}, InputError, "dtype must be"),
        ({"memory": "much"}, InputError, "memory must be a size"),
        ({"memory": "410MiB", "part_rows": None, "engine": Local(3000)}, InputError, "memory of 410 MiB is too little"),
    ]
    for given_, error, message in cases:
        with pytest.raises(error, match=message):
            value(rows, out, **given_)
    with pytest.raises(DataError, match="labels of the files are numbers"):
        value(rows, tmp_path / "unseen", validation=dw.Points(np.ones((1, 3)), ["a"]), survey=False)


@pytest.mark.parametrize(
    ("opened", "words"), [({"label": None}, "by their labels"), ({"allow_missing": True}, "need all features")]
)
def test_files_that_were_opened_for_something_else(
    rows: Path, tmp_path: Path, opened: dict[str, Any], words: str
) -> None:
    source = Source.open(rows, **{"label": "y", "features": ["x0", "x1", "x2"], **opened})
    with pytest.raises(InputError, match=words):
        value(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_labels_with_fractions_are_no_classes(tmp_path: Path) -> None:
    x, y = some_rows(20)
    source = write_files(tmp_path / "rows", table_of(x, y + np.r_[np.zeros(19), 0.5]), [20], 5)
    for survey in (True, False):
        with pytest.raises(MethodError, match="numbers with fractions"):
            value(source, tmp_path / str(survey), survey=survey, part_rows=5)


def test_too_little_memory_says_what_would_do(rows: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="take about") as told:
        value(rows, tmp_path / "out", memory=part_memory.PROGRAM, part_rows=None)
    enough = int(str(told.value).split("take about ")[1].split(" MiB")[0].replace(",", ""))
    value(rows, tmp_path / "out", memory=f"{enough} MiB", part_rows=None)


def test_places_that_cannot_hold_values(rows: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "like" / "_work").mkdir(parents=True)
    (tmp_path / "like" / "_work" / "mine.txt").write_text("mine")
    for name, message in [
        ("file", "out must be a folder"), ("full", "holds other files"), ("like", "holds other files"),
        ("file/below", "cannot be written"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=message):
            value(rows, tmp_path / name)
    with pytest.raises(InputError, match="cannot be written"):
        value(rows, Path("/proc/nothing"))
    assert {path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == {"mine"}


def test_a_disk_that_is_too_small_is_told_before_anything_is_read(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage(tmp_path)._replace(free=400 * 3 - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    monkeypatch.setattr(Source, "survey", None)
    with pytest.raises(
        InputError, match=r"the work takes 0.0 MiB, but .* has room for 0.0 MiB; spill=False keeps no links"
    ):
        value(rows, tmp_path / "out")
    monkeypatch.undo()
    value(rows, tmp_path / "out", spill=False)


FULL = """
import resource, signal, sys
from pathlib import Path
from tests.valuation.test_streaming import value
from dataworth.errors import InputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), -1))
try:
    value(Path(sys.argv[1]), Path(sys.argv[2]), part_rows=400)
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize("most", [400, 2000], ids=["links", "values"])
def test_a_disk_that_gets_full_is_told_and_the_run_goes_on(rows: Path, tmp_path: Path, most: int) -> None:
    """No file may be larger than that."""
    whole = files_of(value(rows, tmp_path / "whole", part_rows=400))
    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(rows), str(tmp_path / "out"), str(most)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "has no room left" in ran.stdout, ran.stderr
    assert (len(list(tmp_path.glob("out/_work/bits-*"))) == 4) == (most == 2000)
    assert not list(tmp_path.rglob("*.part"))
    assert files_of(value(rows, tmp_path / "out", part_rows=400)) == whole


def test_a_folder_is_for_one_run_at_a_time(rows: Path, tmp_path: Path) -> None:
    class Another(Local):
        """While it works, somebody asks for the same values in the same folder."""

        told = ""

        def run(self, job: Any, shared: Any, tasks: Any, *, tick: Any = None) -> Generator[Any, None, None]:
            with pytest.raises(InputError) as refused:
                value(rows, tmp_path / "out")
            self.told = str(refused.value)
            yield from super().run(job, shared, tasks, tick=tick)

    engine = Another(1)
    stored = value(rows, tmp_path / "out", engine=engine)
    assert "another run is at work in" in engine.told
    assert files_of(stored) == files_of(value(rows, tmp_path / "whole"))


def test_a_run_that_ended_just_before_is_taken_as_it_is(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = PartsKept.alone

    @contextmanager
    def late(kept: PartsKept) -> Iterator[None]:
        monkeypatch.setattr(PartsKept, "alone", alone)
        value(rows, tmp_path / "out")  # ends between our look at the folder and our lock
        with alone(kept):
            yield

    monkeypatch.setattr(PartsKept, "alone", late)
    stored = value(rows, tmp_path / "out")
    assert files_of(stored) == files_of(value(rows, tmp_path / "whole"))


def test_values_are_not_written_among_the_rows(rows: Path, tmp_path: Path) -> None:
    for out in (rows / "values", rows / "below" / "values"):
        with pytest.raises(InputError, match="lies among the files that are read"):
            value(rows, out)
    value(rows, rows / "_values")  # which no reader of folders looks into
    shutil.rmtree(rows / "_values")


def test_rows_that_are_none_leave_the_folder_free(rows: Path, tmp_path: Path) -> None:
    for method in (METHOD, dw.KNNShapley(k=1)):
        with pytest.raises(DataError, match="no row of"):
            value(Source.open(rows, label="y", filter="x0 > 1e9"), tmp_path / "out", survey=False, method=method)
        assert not list((tmp_path / "out").rglob("*"))
    value(rows, tmp_path / "out")


def test_workers_that_see_another_disk_are_told(rows: Path, tmp_path: Path) -> None:
    class Elsewhere(Local):
        def run(self, job: Any, shared: Any, tasks: Any, *, tick: Any = None) -> Generator[Any, None, None]:
            away = tmp_path / "away"
            os.rename(tmp_path / "out", away)
            try:
                yield from super().run(job, shared, tasks, tick=tick)
            finally:
                os.rename(away, tmp_path / "out")

    with pytest.raises(InputError, match=r"finds no '.*out'; values must go to a folder that all workers"):
        value(rows, tmp_path / "out", engine=Elsewhere(1))

    class Vanishing(Local):
        def run(self, job: Any, shared: Any, tasks: Any, *, tick: Any = None) -> Generator[Any, None, None]:
            yield from super().run(job, shared, tasks, tick=tick)
            for file in tmp_path.glob("out/part-00002*"):
                file.unlink()

    with pytest.raises(InputError, match="1 of 11 files of values are not in"):
        value(rows, tmp_path / "out", engine=Vanishing(1))


def test_a_relative_folder_stays_where_it_was_meant(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Moving(Local):
        def run(self, job: Any, shared: Any, tasks: Any, *, tick: Any = None) -> Generator[Any, None, None]:
            os.chdir("/")
            yield from super().run(job, shared, tasks, tick=tick)
            os.chdir(tmp_path)

    monkeypatch.chdir(tmp_path)
    stored = value(rows, Path("out"), engine=Moving(1))
    assert stored.folder == "out"
    assert stored.digest() == value(rows, tmp_path / "whole").digest()


def test_labels_that_are_no_class_warn_the_caller(rows: Path, tmp_path: Path) -> None:
    known = judges()
    some = known.take(known.y < 2)
    with pytest.warns(UnmatchedLabels, match="1 of 3 labels in the files") as caught:
        value_source(Source.open(rows, label="y"), some, method=METHOD, out=tmp_path, engine=Local(1), progress=False)
    assert [warning.filename for warning in caught] == [__file__]


def test_sizes_of_memory() -> None:
    assert [parse_memory(text) for text in (123, "2GiB", "1.5 kB", " 3 tib ", "7B")] == [
        123, 2**31, 1500, 3 * 2**40, 7,
    ]  # fmt: skip
    for wrong in ("", "GiB", "-1", "2 GiBs", "1e9", "nan", 0, True, None, "٣"):
        with pytest.raises(InputError, match="memory must be a size"):
            parse_memory(wrong)  # type: ignore[arg-type]


# -- memory ------------------------------------------------------------------------------------------


def test_parts_are_cut_to_the_memory(tmp_path: Path) -> None:
    table = table_of(*some_rows(60_000, width=8, classes=2))
    source = Source.open(write_files(tmp_path / "rows", table, [60_000], 500), label="y")
    points = judges(800, width=8, classes=2)
    base = part_memory.PROGRAM
    sizes = {}
    for memory, workers in [(8, 1), (8, 2), (16, 1), (1600, 1)]:
        out = tmp_path / f"{memory} {workers}"
        kept = {"validation": points, "memory": base + memory * 2**20, "part_rows": None, "engine": Local(workers)}
        sizes[memory, workers] = int(value(source, out, **kept).provenance["rows of a part"])
    assert 2**23 / 1000 < sizes[8, 1] < 2**23 / 300
    assert sizes[8, 2] < sizes[8, 1] / 2 + 1 < sizes[16, 1] / 3
    assert sizes[1600, 1] == part_memory.MOST_ROWS


@pytest.mark.parametrize("kind", ["columns", "lists", "texts"])
def test_what_reading_takes_is_planned_for(tmp_path: Path, kind: str) -> None:
    """Beside the rows: what fits by a byte, and what does not."""
    x, y = some_rows(400, width=40, classes=2)
    table = pa.table({"e": list(x), "y": y}) if kind == "lists" else table_of(x, y)
    if kind == "texts":
        table = table.append_column("id", pa.array([f"row {at}" for at in range(400)]))
    source = Source.open(write_files(tmp_path, table, [400], 200), label="y", id="id" if kind == "texts" else None)
    assert source.reading_bytes > 200 * 40 * 4
    need = Need(row=1000, worker=5000, once=70)
    for workers in (1, 3):
        least = part_memory.PROGRAM + 70 + workers * (source.reading_bytes + 5000 + 200 * 1000)
        fit: dict[str, Any] = {"need": need, "engine": Local(workers), "asked": None, "begun": None}
        assert rows_that_fit(source, memory=least, **fit) == 200
        assert rows_that_fit(source, memory=least + workers * 1000, **fit) == 201
        with pytest.raises(InputError, match="is too little"):
            rows_that_fit(source, memory=least - 1, **fit)


def test_wide_rows_are_decoded_few_at_a_time(tmp_path: Path) -> None:
    """However many a row group has; and buffers of very many columns are small."""
    x, y = some_rows(64, width=2**16, classes=2)
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"e": list(x), "y": y}), path)
    source = Source.open(path, label="y")
    sizes = [batch.num_rows for _, batch in source._batches(source._files[0], [(0, 0, 64)], source.parts(64)[0])]
    assert max(sizes) <= 16
    assert sum(sizes) == 64
    assert np.array_equal(source.read(source.parts(64)[0]).x, x)
    assert [buffer_of(columns) for columns in (1, 100, 1000, 10**6)] == [2**16, 2**16, 8388, 2**10]


def test_threads_of_the_survey_are_as_many_as_memory_allows(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_memory, "cpu_count", lambda: 8)
    source = Source.open(rows, label="y")
    for room, threads in [(-1, 1), (0, 1), (1, 1), (3, 3), (3.9, 3), (100, 8)]:
        memory = part_memory.PROGRAM + int(room * source.reading_bytes)
        assert part_memory.survey_threads(source, memory) == threads
    asked = []

    def survey(self: Source, *args: Any, threads: int, **more: Any) -> Any:
        asked.append(threads)
        return known(self, *args, threads=threads, **more)

    known = Source.survey
    monkeypatch.setattr(Source, "survey", survey)
    value(source, tmp_path / "out", memory=part_memory.PROGRAM + 5 * source.reading_bytes, part_rows=None)
    assert asked == [5]


def test_every_process_of_a_cluster_has_its_program(rows: Path, tmp_path: Path) -> None:
    class Processes(Local):
        processes = 2

    more = {"part_rows": None, "engine": Processes(2)}
    with pytest.raises(InputError, match="too little"):
        value(rows, tmp_path / "out", memory=2 * part_memory.PROGRAM - 1, **more)
    value(rows, tmp_path / "out", memory=2 * part_memory.PROGRAM + 2**20, **more)


def test_workers_of_a_cluster_share_the_memory(tmp_path: Path) -> None:
    """Made by the run, and there already."""
    distributed = pytest.importorskip("distributed")
    from dataworth.engines.dask import Dask

    table = table_of(*some_rows(20_000, width=8, classes=2))
    source = Source.open(write_files(tmp_path / "rows", table, [20_000], 500), label="y")
    base, more = part_memory.PROGRAM, {"validation": judges(800, width=8, classes=2), "part_rows": None}

    def rows_of_a_part(name: str, engine: Engine, room: int) -> int:
        found = value(source, tmp_path / name, engine=engine, memory=base + room, **more).provenance
        assert found["threads"] == engine.workers
        return int(found["rows of a part"])

    one = rows_of_a_part("alone", Local(1), 2**22)
    assert one < 20_000
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, processes=False, memory_limit=0, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        for name, engine in {"made": Dask(workers=2, threads=2, processes=False), "there": Dask(client)}.items():
            assert rows_of_a_part(name, engine, 4 * 2**22) == one
    for workers in (2, 4):
        with pytest.raises(InputError, match=f"too little: {workers * 3} workers"):
            value(source, tmp_path / "out", engine=Dask(workers=workers, threads=3), memory=workers * base, **more)


LARGE = """
import resource, sys
import numpy as np
from dataworth.data.sources import Source
from dataworth.engines.local import Local
from dataworth.valuation.streaming import value_source
import dataworth as dw
rng = np.random.default_rng(0)
points = dw.Points(rng.standard_normal((1000, 64), dtype=np.float32), np.arange(1000) % 10)
source = Source.open(sys.argv[1], label="y", id=sys.argv[3] or None)
found = value_source(source, points, method=dw.ThresholdKNNShapley(radius=0.8), out=sys.argv[2], engine=Local(2),
                     memory="1GiB", progress=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, found.provenance["rows of a part"],
      found.provenance["seconds"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("named", ["", "id"], ids=["places", "uuids"])
def test_two_million_rows_stay_within_one_gibibyte(tmp_path: Path, named: str) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "rows").mkdir()
    for at in range(20):
        x = rng.standard_normal((100_000, 64), dtype=np.float32)
        ids = [f"{at:03d}{number:033d}" for number in range(100_000)]
        table = pa.table({"e": pa.FixedSizeListArray.from_arrays(x.ravel(), 64), "y": rng.integers(0, 10, 100_000)})
        table = table.append_column("id", pa.array(ids)) if named else table
        pq.write_table(table, tmp_path / "rows" / f"{at:02d}.parquet", row_group_size=25_000)
    ran = subprocess.run(
        [sys.executable, "-c", LARGE, str(tmp_path / "rows"), str(tmp_path / "values"), named],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    print(ran.stdout)
    peak, rows_, _ = ran.stdout.split()
    assert int(rows_) >= 100_000
    assert int(peak) < 2**30


ODD = """
import re, resource, sys
import numpy as np
from dataworth.data.sources import Source
from dataworth.engines.local import Local
from dataworth.errors import InputError
from dataworth.valuation.streaming import value_source
import dataworth as dw
source = Source.open(sys.argv[1], label="y", id=sys.argv[3] or None)
points = dw.Points(np.random.default_rng(0).standard_normal((5, source.width), dtype=np.float32), list(sys.argv[4]))
def run(memory):
    return value_source(
        source, points, method=dw.ThresholdKNNShapley(radius=0.8), out=sys.argv[2], engine=Local(2), memory=memory,
        classes=list("ab"), progress=False,
    )
try:
    run("1MiB")
except InputError as error:
    least = int(re.search(r"take about ([0-9,]+) MiB", str(error))[1].replace(",", "")) + 1
run(f"{least}MiB")
print(least, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wide lists", "many columns", "long id", "long label"])
def test_odd_rows_stay_within_the_least_memory(tmp_path: Path, kind: str) -> None:
    """The least that is accepted suffices, whatever is read: the largest memory ever held, of the whole process."""
    n, width, group = {"wide lists": (1200, 40_000, 300), "many columns": (400, 12_000, 100)}.get(
        kind, (50_000, 4, 50_000)
    )
    rng = np.random.default_rng(0)
    labels, ids = ["ab"[at % 2] for at in range(n)], [f"row {at}" for at in range(n)]
    if kind == "long id":
        ids[7] = "i" * 5000
    if kind == "long label":
        labels[7] = "l" * 3000
    path = tmp_path / "rows.parquet"
    writer = None
    for start in range(0, n, group):
        x = rng.standard_normal((group, width), dtype=np.float32)
        features = (
            {f"f{at}": x[:, at] for at in range(width)}
            if kind == "many columns"
            else {"e": pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), width)}
        )
        some = pa.table({**features, "y": labels[start : start + group], "id": ids[start : start + group]})
        writer = writer or pq.ParquetWriter(path, some.schema)
        writer.write_table(some, row_group_size=group)
    assert writer is not None
    writer.close()
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ODD, str(path), str(tmp_path / "out"), "id", "ababa"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    least, peak = map(int, ran.stdout.split())
    assert peak <= least
