"""KNN-Shapley of files read part by part: near the values of the whole, and the same bits however they were cut."""

from __future__ import annotations

import tempfile
import warnings
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

import dataworth as dw
from dataworth.data.sources import Source
from dataworth.engines.engine import Engine
from dataworth.engines.local import Local
from dataworth.errors import DataError, InputError, MethodError, UnmatchedLabels
from dataworth.kernels import rings
from dataworth.records.stored import StoredValues
from dataworth.valuation import ring_values
from dataworth.valuation.methods import KNNShapley
from dataworth.valuation.part_job import PartJob
from dataworth.valuation.part_run import Setting
from dataworth.valuation.ring_values import value_rings
from tests.strategies import Problem, classification_problems
from tests.valuation.streaming_problems import Stopped, files_of, judges, some_rows, table_of, write_files

METHOD = KNNShapley(k=3)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 rows in four files, row groups of 20."""
    return write_files(tmp_path_factory.mktemp("rows"), table_of(*some_rows(400)), [90, 150, 10, 0], 20)


def value(
    rows: Path | Source,
    out: Path,
    *,
    validation: dw.Points | None = None,
    method: KNNShapley = METHOD,
    engine: Engine | None = None,
    part_rows: int = 50,
    survey: bool = False,
    dtype: Any = "float32",
    **more: Any,
) -> StoredValues:
    source = rows if isinstance(rows, Source) else Source.open(rows, label="y")
    job = PartJob.of(source, validation or judges(), method.metric, None, dtype)
    how = Setting(out, Local(1) if engine is None else engine, 2**33, part_rows, survey, progress=False)
    return value_rings(job, method, how, **more)


# -- the values of the whole -------------------------------------------------------------------------


@st.composite
def streamed(draw: st.DrawFn) -> tuple[Problem, dict[str, Any], list[int], int, KNNShapley]:
    """A problem, more columns for its rows, how rows are cut into files and groups, and a method."""
    problem = draw(classification_problems(max_train=24, max_validation=5))
    n = len(problem.train_y)
    columns: dict[str, Any] = {"age": draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))}
    if draw(st.booleans()):
        columns["id"] = [f"row {name}" for name in draw(st.permutations(range(n)))]
    sizes = draw(st.lists(st.integers(0, n), min_size=1, max_size=4))
    normalise: Any = draw(st.sampled_from(["subset", "k"]))
    k = draw(st.sampled_from([1, 2, problem.k]))
    return problem, columns, sizes, draw(st.integers(1, 5)), KNNShapley(k, normalise, problem.metric)


@settings(max_examples=15)
@given(
    given_=streamed(),
    part_rows=st.integers(1, 20),
    least_age=st.sampled_from([None, 1, 2]),
    dtype=st.sampled_from(["float32", "float64"]),
    error=st.sampled_from([0.01, 0.2, 0.5, 1]),
)
def test_values_are_within_the_bound_and_the_same_bits_however_rows_are_cut(
    given_: tuple[Problem, dict[str, Any], list[int], int, KNNShapley],
    part_rows: int,
    least_age: int | None,
    dtype: Any,
    error: float,
) -> None:
    """Any rows, files, parts and filters, duplicates and fewer rows than k; the whole is worked out in float64."""
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
            features=[f"x{at}" for at in range(problem.train_x.shape[1])],
            filter=None if least_age is None else f"age >= {least_age}",
        )
        for number, (workers, rows_) in enumerate([(1, part_rows), (2, part_rows), (2, 100)]):
            told: dict[str, Any] = {
                "validation": problem.validation,
                "method": method,
                "engine": Local(workers),
                "error": error,
            }
            out = Path(folder, str(number))
            if not passing.size:
                with pytest.raises(DataError, match=r"no row of .* passes"):
                    value(source, out, part_rows=rows_, dtype=dtype, **told)
                continue
            stored = value(source, out, part_rows=rows_, dtype=dtype, survey=number == 0, **told)
            digests.add(stored.digest())
            points = dw.Points(problem.train_x[passing], problem.train_y[passing])
            whole = dw.value_points(points, problem.validation, method=method, dtype="float64", threads=1)
            bound = float(stored.provenance["error bound"])
            assert bound <= error
            assert len(passing) > int(stored.provenance["ranked rows of a point"]) or bound == 0
            np.testing.assert_allclose(stored.load().values, whole.values, rtol=0, atol=bound + 1e-12)
            assert stored.total == pytest.approx(whole.values.sum(), abs=1e-12)
            assert stored.method == whole.method
    assert len(digests) <= 1


def test_bytes_hang_on_parts_alone_and_digests_not_even_on_them(rows: Path, tmp_path: Path) -> None:
    digests = set()
    for part_rows in (1, 50, 1000):
        found = []
        for workers in (1, 2, 3):
            stored = value(
                rows, tmp_path / f"{part_rows} {workers}", part_rows=part_rows, engine=Local(workers), error=0.1
            )
            digests.add(stored.digest())
            found.append(files_of(stored))
        assert found == [found[0]] * 3
    assert len(digests) == 1


@pytest.mark.parametrize("method", [KNNShapley(5), KNNShapley(5, "k", "euclidean")])
def test_order_and_sum_of_many_rows(tmp_path: Path, method: KNNShapley) -> None:
    """Clusters of 6,000 rows, of which 50 are ranked: far fewer than decide the order of the whole."""
    x, y = some_rows(6000, width=8, classes=4)
    folder = write_files(tmp_path / "rows", table_of(x, y), [6000], 500)
    validation = judges(100, width=8, classes=4)
    stored = value(folder, tmp_path / "out", validation=validation, method=method, part_rows=2000, error=0.02)
    whole = dw.value_points(dw.Points(x, y), validation, method=method, dtype="float64", threads=1)
    found = stored.load().values
    bound = float(stored.provenance["error bound"])
    assert bound < 0.02 / 8
    assert np.abs(found - whole.values).max() <= bound
    assert np.abs(found - whole.values).max() > 1e-9  # not all was ranked, or this says nothing of rings
    assert spearmanr(found, whole.values).statistic > 0.999
    assert found.sum() == pytest.approx(whole.values.sum(), abs=1e-9)


def test_edges_come_from_few_rows_and_from_a_filter_that_leaves_none(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the sample, values stay within the bound, and the sample does not hang on parts."""
    x, y = some_rows(400)
    whole = dw.value_points(dw.Points(x, y), judges(), method=METHOD, dtype="float64", threads=1).values
    bounds = []
    for sample in (1, 3, 40, 400, 10**6):
        monkeypatch.setattr(ring_values, "_SAMPLE", sample)
        one, two = (value(rows, tmp_path / f"{sample} {n}", part_rows=n, error=0.1) for n in (20, 1000))
        assert one.digest() == two.digest()
        bounds.append(float(one.provenance["error bound"]))
        assert np.abs(one.load().values - whole).max() <= bounds[-1] + 1e-12
    assert bounds[0] > bounds[2] > bounds[3] == bounds[4]
    source = Source.open(rows, label="y", filter="x0 > 0.5")
    monkeypatch.setattr(ring_values, "_sampled", lambda places, rows: places < 0)
    none = value(source, tmp_path / "none", error=0.1)
    assert none.provenance["rings of a point"] == 1
    kept = dw.value_points(dw.Points(x[x[:, 0] > 0.5], y[x[:, 0] > 0.5]), judges(), method=METHOD, threads=1).values
    assert np.abs(none.load().values - kept).max() <= float(none.provenance["error bound"]) + 1e-7


def test_no_more_rows_than_are_ranked_is_exact(rows: Path, tmp_path: Path) -> None:
    x, y = some_rows(400)
    normalisings: tuple[Literal["subset", "k"], ...] = ("subset", "k")
    for k, normalise in product((1, 5, 500), normalisings):
        method = KNNShapley(k, normalise)
        stored = value(rows, tmp_path / f"{k} {normalise}", method=method)
        whole = dw.value_points(dw.Points(x, y), judges(), method=method, dtype="float64", threads=1)
        assert stored.provenance["error bound"] == stored.provenance["rings of a point"] == 0
        np.testing.assert_allclose(stored.load().values, whole.values, atol=1e-14)


@pytest.mark.parametrize(
    ("workers", "threads", "processes"),
    [(1, 2, False), pytest.param(2, 2, True, marks=pytest.mark.slow)],
)
def test_dask_gives_the_same_bytes(rows: Path, tmp_path: Path, workers: int, threads: int, processes: bool) -> None:
    pytest.importorskip("distributed")
    from dataworth.engines.dask import Dask

    engine = Dask(workers=workers, threads=threads, processes=processes)
    stored = value(rows, tmp_path / "dask", engine=engine, error=0.1)
    assert files_of(stored) == files_of(value(rows, tmp_path / "local", error=0.1))


# -- runs that were stopped -------------------------------------------------------------------------


def test_a_run_stopped_at_any_job_goes_on_to_the_same_bytes(rows: Path, tmp_path: Path) -> None:
    all_jobs = Stopped(Local(1), None)
    whole = files_of(value(rows, tmp_path / "whole", engine=all_jobs, error=0.1))
    parts = len(whole)
    assert all_jobs.done == 3 * parts + 1
    for at in range(0, 3 * parts + 1, 4):
        out = tmp_path / str(at)
        with pytest.raises(KeyboardInterrupt):
            value(rows, out, engine=Stopped(Local(1), at), error=0.1)
        left = Stopped(Local(1), None)
        assert files_of(value(rows, out, engine=left, error=0.1)) == whole
        assert left.done == 3 * parts + 1 - at + (at > parts)  # edges are small, and chosen again


def test_counts_of_other_edges_are_not_taken_over(rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As edges would be where numbers are rounded in another way."""
    whole = files_of(value(rows, tmp_path / "whole", error=0.1))
    choose = rings.choose_edges
    with monkeypatch.context() as patch:
        patch.setattr(ring_values, "choose_edges", lambda *given: choose(*given)[:, ::2])
        with pytest.raises(KeyboardInterrupt):
            value(rows, tmp_path / "out", engine=Stopped(Local(1), 2 * len(whole)), error=0.1)
    assert files_of(value(rows, tmp_path / "out", error=0.1)) == whole


def test_another_error_is_another_run(rows: Path, tmp_path: Path) -> None:
    value(rows, tmp_path / "out", error=0.1)
    with pytest.raises(InputError, match="name a new folder"):
        value(rows, tmp_path / "out", error=0.05)


@pytest.mark.parametrize("error", [0, -0.1, 1.5, float("nan"), True, "0.1"])
def test_an_error_out_of_range_is_refused(rows: Path, tmp_path: Path, error: Any) -> None:
    with pytest.raises(InputError, match="error must be a number above 0 and at most 1, not"):
        value(rows, tmp_path / "out", error=error)


# -- value_source -------------------------------------------------------------------------------------


def test_value_source_knows_the_method_and_the_error(rows: Path, tmp_path: Path) -> None:
    source = Source.open(rows, label="y")
    told: dict[str, Any] = {"part_rows": 50, "engine": Local(1), "progress": False}
    found = dw.value_source(source, judges(), method=METHOD, out=tmp_path / "a", error=0.1, **told)
    assert files_of(found) == files_of(value(rows, tmp_path / "b", error=0.1))
    default = dw.value_source(source, judges(), method=METHOD, out=tmp_path / "c", **told)
    assert default.provenance["ranked rows of a point"] == 400
    with pytest.raises(MethodError, match="ValidationVote is worked out without error"):
        dw.value_source(source, judges(), method=dw.ValidationVote(radius=0.5), out=tmp_path / "d", error=0.1, **told)
    with pytest.raises(MethodError, match="KNNShapley has no links"):
        dw.value_source(source, judges(), method=METHOD, out=tmp_path / "d", keep_links=True, **told)
    assert not (tmp_path / "d").exists()
