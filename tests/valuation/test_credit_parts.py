"""Values by likeness of items in files: those of all items in memory, to the last bit, however a run was stopped."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import dataworth as dw
from dataworth.data.sources import Source
from dataworth.engines.local import Local
from dataworth.errors import DataError, InputError, MethodError
from dataworth.records.stored import StoredValues
from dataworth.valuation.credit_parts import credit_source
from tests.valuation.likeness_problems import Problem, blobs, brightness, problems, taxi
from tests.valuation.streaming_problems import Stopped, write_files

METHOD = dw.SimilarityMatch(k=4, temperature=0.1)


def table_of(train: dw.Items, *, columns: bool = False, **more: Any) -> pa.Table:
    """A column of vectors, or one for each of their numbers; ids and owners if there are any."""
    x = train.x
    assert x is not None
    named = {f"x{at}": x[:, at] for at in range(x.shape[1])} if columns else {"vector": list(x)}
    owners = {} if train.owners is None else {"owner": train.owners}
    return pa.table({**named, "id": pa.array(train.ids), **owners, **more})


def open_files(folder: Path, train: dw.Items, **more: Any) -> Source:
    owner = None if train.owners is None else "owner"
    return Source.open(folder, **{"label": None, "id": "id", "owner": owner, **more})


def credit(made: Any, source: Source, out: Path, **more: Any) -> StoredValues:
    usual = {"method": METHOD, "part_rows": 50, "engine": Local(1), "progress": False}
    return credit_source(made, source, out=out, **{**usual, **more})


def files_of(stored: StoredValues) -> dict[str, str]:
    """A digest of every file, but for what describes them, which says how long it took."""
    there = sorted(path for path in Path(stored.folder).rglob("*"))
    assert {path.name for path in there if not path.name.startswith("part-")} == {
        "_values.json",
        "_attributions.parquet",
    }
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in there if path.name != "_values.json"}


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, dw.Items, dw.Items]:
    """400 training items in four files, row groups of 20, and generated ones; also in memory."""
    train, made = blobs(400, 30)
    folder = write_files(tmp_path_factory.mktemp("items"), table_of(train), [90, 150, 10, 0], 20)
    return open_files(folder, train), train, made


# -- the very same values ---------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    problem=problems(),
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    group=st.integers(1, 5),
    part_rows=st.integers(1, 14),
    kind=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    least=st.sampled_from([None, 1, 2]),
    data=st.data(),
)
def test_values_are_those_of_all_items_in_memory_to_the_last_bit(
    problem: Problem,
    sizes: list[int],
    group: int,
    part_rows: int,
    kind: tuple[bool, bool, bool],
    least: int | None,
    data: st.DataObject,
) -> None:
    """Any items, files, parts and filters, one worker or two; and so are the matches."""
    columns, labelled, named = kind
    train, made = problem.train, problem.made
    method = replace(problem.full, rerank=None)
    n = len(train)
    age = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    passing = np.flatnonzero(age >= (least or 0))
    with tempfile.TemporaryDirectory() as folder:
        table = table_of(train, columns=columns, age=age, y=[f"class {at % 2}" for at in range(n)])
        source = open_files(
            write_files(Path(folder, "items"), table, sizes, group),
            train,
            label="y" if labelled else None,
            id="id" if named else None,
            features=[name for name in table.column_names if name[0] in "xv"],
            filter=None if least is None else f"age >= {least}",
        )
        digests = set()
        for workers, survey, rows in ((1, True, part_rows), (2, False, part_rows), (2, False, 100)):
            out = Path(folder, f"{workers} {survey} {rows}")
            more: dict[str, Any] = {
                "method": method, "part_rows": rows, "survey": survey, "engine": Local(workers)
            }  # fmt: skip
            if len(passing) < method.k:
                error = MethodError if len(passing) else DataError
                with pytest.raises(error, match=r"there are \d+; use a smaller k|no row of .* passes"):
                    credit(made, source, out, **more)
                assert not list(out.rglob("*"))
                continue
            stored = credit(made, source, out, **more)
            found, told = stored.load(), stored.attributions()
            there = train.take(passing)
            if not named:
                there = dw.Items(there.x, ids=passing, owners=there.owners)
            whole = dw.value_generated(made, there, method=method, threads=1)
            assert found.values.tobytes() == whole.values.tobytes()
            assert found.ids.tolist() == whole.ids.tolist()
            assert (found.owners is None) == (whole.owners is None)
            assert found.owners is None or whole.owners is None or found.owners.tolist() == whole.owners.tolist()
            assert (found.method, found.n_validation) == (whole.method, whole.n_validation)
            assert whole.attributions is not None
            matches = pq.read_table(Path(stored.folder) / "_attributions.parquet").replace_schema_metadata()
            assert matches.equals(whole.attributions.to_arrow())
            assert told.to_arrow().equals(whole.attributions.to_arrow())
            digests.add((stored.digest(), files_of(stored)["_attributions.parquet"]))
        assert len(digests) <= 1


def test_bytes_hang_on_parts_alone_and_digests_on_nothing(
    sides: tuple[Source, dw.Items, dw.Items], tmp_path: Path
) -> None:
    source, _, made = sides
    digests = set()
    bytes_of: dict[int, list[dict[str, str]]] = {}
    for number, (part_rows, workers) in enumerate(product((1, 50, 1000), (1, 2, 3))):
        stored = credit(made, source, tmp_path / str(number), part_rows=part_rows, engine=Local(workers))
        digests.add(stored.digest())
        bytes_of.setdefault(part_rows, []).append(files_of(stored))
    assert len(digests) == 1
    assert [len(found[0]) for found in bytes_of.values()] == [23, 12, 5]
    assert all(found == [found[0]] * 3 for found in bytes_of.values())
    assert len({found[0]["_attributions.parquet"] for found in bytes_of.values()}) == 1


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_dask_gives_the_same_bytes(sides: tuple[Source, dw.Items, dw.Items], tmp_path: Path, processes: bool) -> None:
    pytest.importorskip("distributed")
    from dataworth.engines.dask import Dask

    source, _, made = sides
    stored = credit(made, source, tmp_path / "dask", engine=Dask(workers=2, threads=1, processes=processes))
    assert files_of(stored) == files_of(credit(made, source, tmp_path / "local"))


@pytest.mark.parametrize("scale", [1e-150, 1e-20, 1.0, 1e20, 1e149])
@pytest.mark.parametrize("n", [200, 40])
def test_numbers_of_any_size_that_memory_takes(tmp_path: Path, scale: float, n: int) -> None:
    """Of some parts alone; what float32 holds is found by each part for itself."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3))
    x[10:20] *= scale
    made = dw.Items(np.vstack([x[:4] + 1e-3, x[n // 2 :][:4]]))
    train = dw.Items(x)
    source = open_files(write_files(tmp_path / "items", table_of(train), [n], 10), train)
    method = dw.SimilarityMatch(k=7, metric="euclidean")
    whole = dw.value_generated(made, train, method=method, threads=1)
    for part_rows in (10, 1000):
        stored = credit(made, source, tmp_path / str(part_rows), method=method, part_rows=part_rows)
        assert stored.load().values.tobytes() == whole.values.tobytes()


def test_images_are_judged_where_they_are(sides: tuple[Source, dw.Items, dw.Items], tmp_path: Path) -> None:
    """Generated items may be images with vectors; what they are worth is found once, here."""
    source, train, made = sides
    pixels = np.random.default_rng(0).integers(0, 256, (len(made), 8, 8, 3), dtype=np.uint8)
    shown = dw.Items(made.x, images=pixels)
    method = dw.SimilarityMatch(k=4, quality="entropy")
    whole = dw.value_generated(made, train, method=replace(method, quality=dw.value_generated(
        shown, dw.Items(train.x, images=np.zeros((400, 2, 2), dtype=np.uint8)), method=method
    ).attributions.quality), threads=1)  # type: ignore[union-attr]  # fmt: skip
    stored = credit(shown, source, tmp_path, method=method)
    assert stored.load().values.tobytes() == whole.values.tobytes()


def test_what_is_told_of_a_run(sides: tuple[Source, dw.Items, dw.Items], tmp_path: Path) -> None:
    source, train, made = sides
    stored = credit(made, source, tmp_path)
    whole = dw.value_generated(made, train, method=METHOD)
    assert stored.rows == 400
    assert stored.total == pytest.approx(30, abs=1e-12)
    assert (stored.lowest, stored.highest, stored.below_zero) == (0.0, whole.values.max(), 0)
    for name in ("generated", "k", "temperature", "metric", "recall", "rerank", "vectors", "features", "rows"):
        assert stored.provenance[name] == whole.provenance[name]
    assert "classes" not in stored.provenance
    matched = stored.attributions()
    assert whole.attributions is not None
    item = matched.ids[0]
    assert matched.of_item(item).rows() == whole.attributions.of_item(item).rows()
    assert matched.quality.tolist() == [1.0] * 30


# -- runs that were stopped -------------------------------------------------------------------------


def test_a_run_stopped_at_any_job_goes_on_to_the_same_bytes(
    sides: tuple[Source, dw.Items, dw.Items], tmp_path: Path
) -> None:
    source, _, made = sides
    whole = files_of(credit(made, source, tmp_path / "whole"))
    jobs = 2 * (len(whole) - 1)
    for at in range(0, jobs, 3):
        out = tmp_path / str(at)
        with pytest.raises(KeyboardInterrupt):
            credit(made, source, out, engine=Stopped(Local(1), at))
        with pytest.raises(DataError, match="no finished values"):
            StoredValues.open(out)
        seen = Stopped(Local(1))
        assert files_of(credit(made, source, out, engine=seen)) == whole
        assert seen.done == jobs - at


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_run_killed_anywhere_ends_with_the_same_bytes(tmp_path: Path, seed: int) -> None:
    train, made = blobs(900, 60, seed=seed)
    folder = write_files(tmp_path / "items", table_of(train), [300, 300, 300], 10)
    np.save(tmp_path / "made.npy", made.x)  # type: ignore[arg-type]  # they have vectors
    for delay in np.random.default_rng(seed).uniform(0, 1, 3).tolist():
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(delay)
        child.kill()
        child.communicate()
    source = open_files(folder, train)
    found, whole = (credit(made, source, tmp_path / name, part_rows=10) for name in ("out", "whole"))
    assert files_of(found) == files_of(whole)


CHILD = """
import sys
import numpy as np
import dataworth as dw
from dataworth.data.sources import Source
from dataworth.engines.local import Local
from dataworth.valuation.credit_parts import credit_source
folder = sys.argv[1]
source = Source.open(f"{folder}/items", label=None, id="id", owner="owner")
made, method = dw.Items(np.load(f"{folder}/made.npy")), dw.SimilarityMatch(k=4, temperature=0.1)
print("ready", flush=True)
credit_source(made, source, method=method, out=f"{folder}/out", engine=Local(2), part_rows=10, progress=False)
"""


def test_damaged_matches_are_found_again(sides: tuple[Source, dw.Items, dw.Items], tmp_path: Path) -> None:
    source, _, made = sides
    with pytest.raises(KeyboardInterrupt):
        credit(made, source, tmp_path / "out", engine=Stopped(Local(1), 5))
    kept = sorted((tmp_path / "out").rglob("matches-*"))
    assert len(kept) == 5
    os.truncate(kept[1], kept[1].stat().st_size // 2)
    kept[2].write_bytes(kept[3].read_bytes())
    seen = Stopped(Local(1))
    assert files_of(credit(made, source, tmp_path / "out", engine=seen)) == files_of(
        credit(made, source, tmp_path / "whole")
    )
    assert seen.done == 2 * 11 - 3


def test_a_finished_folder_is_returned_at_once(
    sides: tuple[Source, dw.Items, dw.Items], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _, made = sides
    stored = credit(made, source, tmp_path)
    before = files_of(stored)
    monkeypatch.setattr(Source, "read", None)
    assert credit(made, source, tmp_path, engine=Local(2), part_rows=None) == stored
    assert files_of(stored) == before


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "begun"])
@pytest.mark.parametrize("other", ["method", "vectors", "ids", "quality", "rows", "filter", "part size"])
def test_other_runs_in_the_same_folder_are_refused(
    sides: tuple[Source, dw.Items, dw.Items], tmp_path: Path, finished: bool, other: str
) -> None:
    source, train, made = sides
    quality = np.arange(30.0)
    first = replace(METHOD, quality=quality)
    if finished:
        credit(made, source, tmp_path / "out", method=first)
    else:
        with pytest.raises(KeyboardInterrupt):
            credit(made, source, tmp_path / "out", method=first, engine=Stopped(Local(1), 3))
    x = made.x
    assert x is not None
    more: dict[str, Any] = {"method": first}
    match other:
        case "method":
            more["method"] = replace(first, temperature=0.2)
        case "vectors":
            made = dw.Items(x[::-1])
        case "ids":
            made = dw.Items(x, ids=np.arange(30) + 1)
        case "quality":
            more["method"] = replace(METHOD, quality=quality[::-1])
        case "rows":
            source = open_files(write_files(tmp_path / "items", table_of(train), [400], 20), train)
        case "filter":
            source = Source.open(source.files, label=None, id="id", owner="owner", filter="id >= 0")
        case _:
            more["part_rows"] = 51
    with pytest.raises(InputError, match="name a new folder"):
        credit(made, source, tmp_path / "out", **more)


# -- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (dw.IVFPQ(), "IVFPQ.* builds an index of all training items in memory; .* recall='exact'"),
        (dw.HNSW(), "HNSW.* builds an index of all training items in memory; .* recall='exact'"),
        (taxi, "rerank=taxi.* by their vectors alone; leave rerank out, or use value_generated"),
        ("ssim", "rerank='ssim'.* by their vectors alone"),
        ("sharpness", "quality='sharpness' looks at images, but generated holds vectors alone"),
        (401, "k=401 training items share in each generated item, but there are 400; use a smaller k"),
        (None, r"valued by SimilarityMatch\(...\), not by ValidationVote"),
        (1e308, "qualities add up beyond the range of float64"),
    ],
)
def test_methods_that_need_more(
    sides: tuple[Source, dw.Items, dw.Items], tmp_path: Path, method: Any, words: str
) -> None:
    source, _, made = sides
    rule: Any = dw.ValidationVote(radius=0.5)
    if isinstance(method, dw.IVFPQ | dw.HNSW):
        rule = dw.SimilarityMatch(recall=method)
    elif method == "sharpness":
        rule = dw.SimilarityMatch(quality=method)
    elif isinstance(method, int):
        rule = dw.SimilarityMatch(k=method)
    elif isinstance(method, float):
        rule = dw.SimilarityMatch(quality=[method] * 30)
    elif method is not None:
        rule = dw.SimilarityMatch(rerank=method)
    with pytest.raises(MethodError, match=words):
        credit(made, source, tmp_path / "out", method=rule)
    assert not (tmp_path / "out").exists()


def test_sides_that_do_not_fit(sides: tuple[Source, dw.Items, dw.Items], tmp_path: Path) -> None:
    source, train, made = sides
    out = tmp_path / "out"
    with pytest.raises(InputError, match="takes a Source of files; value_generated takes items in memory"):
        credit(made, train, out)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="vectors of train have 16 numbers, but those of generated 2"):
        credit([[1.0, 2.0]], source, out)
    with pytest.raises(DataError, match="generated has no vectors"):
        credit(["a text", "another"], source, out)
    with pytest.raises(DataError, match="generated: 1 of 2 rows are zero vectors"):
        credit([[0.0] * 16, [1.0] * 16], source, out)
    open_to_gaps = Source.open(source.files, label=None, id="id", owner="owner", allow_missing=True)
    with pytest.raises(InputError, match="open their files without allow_missing"):
        credit(made, open_to_gaps, out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("metric", "number", "words"),
    [
        ("cosine", 0.0, "are zero vectors"),
        ("euclidean", 1e200, r"too large for euclidean distances"),
        ("euclidean", np.inf, r"NaN or infinity"),
    ],
)
@pytest.mark.parametrize("survey", [True, False])
def test_items_without_a_distance_are_told_with_their_file(
    tmp_path: Path, metric: Any, number: float, words: str, survey: bool
) -> None:
    x = np.ones((40, 2))
    x[33] = number
    folder = write_files(tmp_path / "items", pa.table({"vector": list(x)}), [20, 20], 5)
    source = Source.open(folder, label=None)
    with pytest.raises(DataError, match=rf"001.parquet'.*{words}"):
        credit([[1.0, 1.0]], source, tmp_path / "out", method=dw.SimilarityMatch(k=2, metric=metric), survey=survey)
    if survey:
        assert not list((tmp_path / "out").rglob("*"))


def test_numbers_too_small_all_together_are_refused_and_in_one_part_alone_are_not(tmp_path: Path) -> None:
    """As in memory."""
    method = dw.SimilarityMatch(k=2, metric="euclidean")
    x = np.full((20, 1), 1e-160)
    for largest, fine in ((1e-150, False), (1.0, True)):
        x[15] = largest
        source = Source.open(write_files(tmp_path / str(largest), pa.table({"x": x[:, 0]}), [20], 5), label=None)
        if fine:
            stored = credit([[0.0]], source, tmp_path / f"{largest}-out", method=method, part_rows=5)
            whole = dw.value_generated([[0.0]], x, method=method)
            assert stored.load().values.tobytes() == whole.values.tobytes()
            continue
        for part_rows in (5, 100):
            with pytest.raises(DataError, match="too small for euclidean distances"):
                credit([[0.0]], source, tmp_path / f"{largest}-out", method=method, part_rows=part_rows)
            assert not list((tmp_path / f"{largest}-out").rglob("*"))
        with pytest.raises(DataError, match="too small for euclidean distances"):
            dw.value_generated([[0.0]], x, method=method)


def test_too_few_items_are_told_before_any_is_matched(sides: tuple[Source, dw.Items, dw.Items], tmp_path: Path) -> None:
    source, _, made = sides
    few = Source.open(source.files, label=None, id="id", owner="owner", filter="id in (1, 399)")
    for survey, jobs in ((True, 0), (False, 11)):
        seen = Stopped(Local(1))
        with pytest.raises(MethodError, match=r"k=4 training items .* there are 2; use a smaller k"):
            credit(made, few, tmp_path / "out", survey=survey, engine=seen)
        assert seen.done == jobs


def test_ids_that_repeat_are_told(tmp_path: Path) -> None:
    data = pa.table({"x": [1.0, 2.0, 3.0], "id": ["a", "b", "a"]})
    source = Source.open(write_files(tmp_path / "items", data, [3], 1), label=None, id="id")
    with pytest.raises(DataError, match="1 of 3 rows repeat an id"):
        credit([[1.0]], source, tmp_path / "out", method=dw.SimilarityMatch(k=1))


def test_a_file_that_changes_on_the_way_is_told(tmp_path: Path) -> None:
    train, made = blobs(40, 5)
    folder = write_files(tmp_path / "items", table_of(train), [20, 20], 5)
    source = open_files(folder, train)

    class Changing(Local):
        def run(self, *given: Any, **more: Any) -> Generator[tuple[int, Any], None, None]:
            yield from super().run(*given, **more)
            os.utime(folder / "001.parquet", ns=(0, 0))

    with pytest.raises(DataError, match=r"001.parquet' is gone or has changed since"):
        credit(made, source, tmp_path / "out", engine=Changing(1), part_rows=5)


def test_memory_cuts_parts(sides: tuple[Source, dw.Items, dw.Items], tmp_path: Path) -> None:
    """What the error asks for suffices, and what is more makes parts larger."""
    source, _, made = sides
    with pytest.raises(
        InputError, match=r"memory of 401 MiB is too little: 1 workers at row groups of up to 20 "
    ) as no:
        credit(made, source, tmp_path / "out", part_rows=None, memory="401MiB")
    asked = re.search(r"take about (\d+) MiB", str(no.value))
    assert asked is not None
    rows = []
    for more in (0, 10, 2000):
        stored = credit(made, source, tmp_path / str(more), part_rows=None, memory=f"{int(asked[1]) + more}MiB")
        rows.append(stored.provenance["rows of a part"])
    assert rows[0] < 2000 < rows[1] < 20_000  # type: ignore[operator]  # a number
    assert rows[2] == 262_144


@pytest.mark.parametrize("damage", ["cut", "gone", "other"])
def test_matches_that_are_damaged_are_told(
    sides: tuple[Source, dw.Items, dw.Items], tmp_path: Path, damage: str
) -> None:
    source, _, made = sides
    stored = credit(made, source, tmp_path)
    path = tmp_path / "_attributions.parquet"
    match damage:
        case "cut":
            os.truncate(path, path.stat().st_size // 2)
        case "gone":
            path.unlink()
        case _:
            pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(DataError, match=r"_attributions.parquet.* (is damaged|in it)"):
        stored.attributions()


def test_brightness_is_a_callable_of_vectors(sides: tuple[Source, dw.Items, dw.Items], tmp_path: Path) -> None:
    source, train, made = sides
    method = replace(METHOD, quality=brightness)
    stored = credit(made, source, tmp_path, method=method)
    whole: NDArray[np.float64] = dw.value_generated(made, train, method=method).values
    assert stored.load().values.tobytes() == whole.tobytes()
