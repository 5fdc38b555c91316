"""Files that come and go: values are those of a fresh run, and only what is new is linked."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dataworth as dw
from dataworth.data.sources import Source
from dataworth.engines.local import Local
from dataworth.errors import DataError, InputError, MethodError
from dataworth.records.stored import StoredValues
from dataworth.valuation import streaming
from dataworth.valuation.links_kept import FOLDER
from dataworth.valuation.streaming import value_source
from tests.valuation.streaming_problems import METHOD, Stopped, judges, some_rows, table_of, write_files


class Watched(Local):
    """Remembers which files' rows were linked; stops after so many jobs."""

    def __init__(self, stop: int | None = None) -> None:
        super().__init__(1)
        self.linked: list[str] = []
        self.left = stop

    def run(self, job: Any, shared: Any, tasks: Any, *, tick: Any = None) -> Generator[Any, None, None]:
        if job is streaming._count:
            self.linked += [Path(part.file).name for part in tasks]
        for found in super().run(job, shared, tasks, tick=tick):
            yield found
            if self.left is not None:
                self.left -= 1
                if not self.left:
                    raise KeyboardInterrupt


def value(rows: Any, out: Path, **more: Any) -> StoredValues:
    source = rows if isinstance(rows, Source) else Source.open(rows, label="y", id="id")
    settled = {"method": METHOD, "part_rows": 7, "engine": Local(1), "validation": judges(), **more}
    return value_source(source, settled.pop("validation"), out=out, progress=False, **settled)


def table(n: int, first: int, seed: int) -> pa.Table:
    return table_of(*some_rows(n, seed=seed), id=np.arange(first, first + n))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("part-*"))}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_files(tmp_path / "rows", table(100, 0, 3), [20] * 5, 5)


Change = tuple[list[tuple[int, int]], list[int]]


@settings(max_examples=30)
@given(
    changes=st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), max_size=3),  # files written: name, rows
            st.lists(st.integers(0, 6), max_size=3),  # files removed
        ),
        min_size=1,
        max_size=4,
    ),
    named=st.booleans(),
    semivalue=st.sampled_from(["shapley", "banzhaf"]),
)
def test_updates_give_the_values_of_a_fresh_run(changes: list[Change], named: bool, semivalue: Any) -> None:
    """Any files written, overwritten and removed, update after update; links do not hang on the semivalue."""
    with tempfile.TemporaryDirectory() as name:
        rows, first, stamp = Path(name, "rows"), 0, 0
        rows.mkdir()

        def write(number: int, n: int) -> None:
            nonlocal first, stamp
            pq.write_table(table(n, first, seed=first + 1), rows / f"{number}.parquet", row_group_size=3)
            stamp += 1
            os.utime(rows / f"{number}.parquet", ns=(stamp, stamp))  # no two files of one time
            first += n

        def opened() -> Source:
            return Source.open(rows, label="y", id="id" if named else None, features=["x0", "x1", "x2"])

        write(0, 8)
        earlier = Path(name, "values")
        value(opened(), earlier, keep_links=True)
        for at, (written, removed) in enumerate(changes):
            for number in removed:
                (rows / f"{number}.parquet").unlink(missing_ok=True)
            for number, n in written:
                write(number, n)
            if not sum(pq.read_metadata(path).num_rows for path in rows.glob("*")):
                write(0, 4)
            method = METHOD if at % 2 else dw.ThresholdKNNShapley(radius=METHOD.radius, semivalue=semivalue)
            before = {path: path.read_bytes() for path in earlier.rglob("*") if path.is_file()}
            now = Path(name, f"values-{at}")
            engine = Watched()
            value(opened(), now, update=earlier, method=method, engine=engine)
            fresh = value(opened(), Path(name, f"fresh-{at}"), method=method)
            assert bytes_of(now) == bytes_of(Path(fresh.folder))
            assert set(engine.linked) <= {f"{number}.parquet" for number, _ in written} | {"0.parquet"}
            assert before == {path: path.read_bytes() for path in earlier.rglob("*") if path.is_file()}
            earlier = now


def test_only_new_and_changed_files_are_linked_and_figures_say_so(rows: Path, tmp_path: Path) -> None:
    value(rows, tmp_path / "old", keep_links=True)
    (rows / "001.parquet").unlink()
    pq.write_table(table(10, 200, 5), rows / "002.parquet")
    pq.write_table(table(10, 300, 6), rows / "007.parquet")
    engine = Watched()
    stored = value(rows, tmp_path / "new", update=tmp_path / "old", engine=engine)
    assert sorted(set(engine.linked)) == ["002.parquet", "007.parquet"]
    assert (stored.provenance["files taken over"], stored.provenance["files gone"]) == (3, 2)
    assert stored.digest() == value(rows, tmp_path / "fresh").digest()


def test_an_update_takes_the_parts_of_the_run_before(rows: Path, tmp_path: Path) -> None:
    value(rows, tmp_path / "old", keep_links=True, part_rows=12)
    engine = Watched()
    stored = value(rows, tmp_path / "new", update=tmp_path / "old", part_rows=None, engine=engine)
    assert (stored.provenance["rows of a part"], engine.linked) == (12, [])


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_files_that_look_alike_from_outside_are_told_apart(tmp_path: Path, kind: str) -> None:
    """Hive folders with files of one name, one size and one time of change, of which an Arrow footer says nothing."""

    def write(day: int, seed: int) -> None:
        path = tmp_path / "rows" / f"day={day}" / f"part-0.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = table(20, 100 * day, seed)
        if kind == "arrow":
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
                writer.write_table(rows)
        else:
            pq.write_table(rows, path, compression="none", use_dictionary=False, write_statistics=False)
        os.utime(path, ns=(10**9, 10**9))

    def opened() -> Source:
        return Source.open(tmp_path / "rows", label="y", id="id")

    def fresh(name: str) -> dict[str, bytes]:
        value(opened(), tmp_path / name, spill=False)
        return bytes_of(tmp_path / name)

    write(1, 1)
    value(opened(), tmp_path / "first", keep_links=True)
    write(2, 2)
    assert len({path.stat().st_size for path in (tmp_path / "rows").rglob("*.*")}) == 1
    value(opened(), tmp_path / "second", update=tmp_path / "first")
    assert bytes_of(tmp_path / "second") == fresh("second-fresh")
    write(1, 3)  # over the old one, and the same from outside
    stored = value(opened(), tmp_path / "third", update=tmp_path / "second")
    assert bytes_of(tmp_path / "third") == fresh("third-fresh")
    assert (stored.provenance["files taken over"], stored.provenance["files gone"]) == (1, 1)


def test_links_that_were_to_be_kept_go_if_they_are_not(rows: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        value(rows, tmp_path / "out", keep_links=True, engine=Stopped(Local(1), 3))
    assert list((tmp_path / "out" / FOLDER).iterdir())
    value(rows, tmp_path / "out")
    assert sorted({path.name.partition("-")[0] for path in (tmp_path / "out").rglob("*")}) == ["_values.json", "part"]


def test_an_update_is_there_when_the_run_before_is_gone(rows: Path, tmp_path: Path) -> None:
    value(rows, tmp_path / "old", keep_links=True)
    stored = value(rows, tmp_path / "new", update=tmp_path / "old")
    shutil.rmtree(tmp_path / "old")
    assert value(rows, tmp_path / "new", update=tmp_path / "old").digest() == stored.digest()


def test_an_update_must_fit_in_the_memory(rows: Path, tmp_path: Path) -> None:
    value(rows, tmp_path / "old", keep_links=True)
    with pytest.raises(InputError, match="memory of 1 MiB is too little"):
        value(rows, tmp_path / "new", update=tmp_path / "old", part_rows=None, memory="1MiB")


@pytest.mark.parametrize("stop", range(1, 8))
def test_a_stopped_update_goes_on(rows: Path, tmp_path: Path, stop: int) -> None:
    value(rows, tmp_path / "old", keep_links=True)
    pq.write_table(table(20, 300, 6), rows / "007.parquet")
    with pytest.raises(KeyboardInterrupt):
        value(rows, tmp_path / "new", update=tmp_path / "old", engine=Watched(stop))
    value(rows, tmp_path / "new", update=tmp_path / "old")
    value(rows, tmp_path / "fresh", keep_links=True)
    assert bytes_of(tmp_path / "new") == bytes_of(tmp_path / "fresh")
    assert {path.name: path.read_bytes() for path in (tmp_path / "new" / FOLDER).iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "fresh" / FOLDER).iterdir()
    }
    assert not (tmp_path / "new" / "_work").exists()


@pytest.mark.parametrize("kind", ["bits", "counts"])
def test_damaged_links_are_made_again(rows: Path, tmp_path: Path, kind: str) -> None:
    value(rows, tmp_path / "old", keep_links=True)
    for hurt in (tmp_path / "old" / FOLDER).glob(f"{kind}-*"):
        held = bytearray(hurt.read_bytes())
        held[len(held) // 2] ^= 1
        hurt.write_bytes(held)
    value(rows, tmp_path / "new", update=tmp_path / "old")
    assert bytes_of(tmp_path / "new") == bytes_of(tmp_path / "old")


def test_an_id_that_an_old_file_has_is_found(rows: Path, tmp_path: Path) -> None:
    value(rows, tmp_path / "old", keep_links=True)
    pq.write_table(table(4, 99, 6), rows / "007.parquet")
    with pytest.raises(DataError, match="1 of 104 rows repeat an id") as caught:
        value(rows, tmp_path / "new", update=tmp_path / "old")
    assert "007.parquet" in str(caught.value)


def test_a_new_file_that_is_wrong_is_named_before_any_product(rows: Path, tmp_path: Path) -> None:
    value(rows, tmp_path / "old", keep_links=True)
    bad = table(4, 300, 6)
    pq.write_table(bad.set_column(0, "x0", pa.array([1.0, np.nan, 0.0, 1.0], pa.float32())), rows / "007.parquet")
    engine = Watched()
    with pytest.raises(DataError, match=r"007.parquet.*'x0' in 1 of 4 rows"):
        value(rows, tmp_path / "new", update=tmp_path / "old", engine=engine)
    assert not engine.linked


def test_what_cannot_be_updated_says_why(rows: Path, tmp_path: Path) -> None:
    value(rows, tmp_path / "plain")
    value(rows, tmp_path / "old", keep_links=True)
    with pytest.raises(InputError, match="no links to go on from; value the rows with keep_links=True"):
        value(rows, tmp_path / "new", update=tmp_path / "plain")
    with pytest.raises(InputError, match="no links to go on from"):
        value(rows, tmp_path / "plain", keep_links=True)
    with pytest.raises(InputError, match="no links to go on from"):
        value(rows, tmp_path / "new", update=tmp_path / "nowhere")
    for update in (5, ""):
        with pytest.raises(InputError, match="update must name the folder of an earlier run"):
            value(rows, tmp_path / "new", update=update)
    with pytest.raises(InputError, match="leave part_rows=9 out"):
        value(rows, tmp_path / "new", update=tmp_path / "old", part_rows=9)
    with pytest.raises(InputError, match="leave spill=False out"):
        value(rows, tmp_path / "new", update=tmp_path / "old", spill=False)
    with pytest.raises(MethodError, match="ValidationVote has no links to keep"):
        value(rows, tmp_path / "new", keep_links=True, method=dw.ValidationVote(radius=0.8))
    x, y = some_rows(20, seed=8)
    others: list[dict[str, Any]] = [
        {"method": dw.ThresholdKNNShapley(radius=0.7)},
        {"method": dw.ThresholdKNNShapley(radius=0.8, metric="euclidean")},
        {"validation": dw.Points(x, y)},
        {"classes": [0, 1, 2, 3]},
        {"rows": Source.open(rows, label="y", id="id", filter="x0 > 0")},
        {"rows": Source.open(rows, label="y", id="id", features=["x1", "x0", "x2"])},
    ]
    for at, other in enumerate(others):
        with pytest.raises(InputError, match="holds links with other validation points, or of other"):
            value(other.pop("rows", rows), tmp_path / f"new-{at}", update=tmp_path / "old", **other)
    pq.write_table(table(4, 300, 6), rows / "007.parquet")
    with pytest.raises(InputError, match="name a new folder"):
        value(rows, tmp_path / "old", update=tmp_path / "old")


def test_a_finished_update_is_returned_at_once(rows: Path, tmp_path: Path) -> None:
    value(rows, tmp_path / "old", keep_links=True)
    stored = value(rows, tmp_path / "new", update=tmp_path / "old")
    engine = Watched(1)
    again = value(rows, tmp_path / "new", update=tmp_path / "old", engine=engine)
    assert (again.digest(), engine.left) == (stored.digest(), 1)
