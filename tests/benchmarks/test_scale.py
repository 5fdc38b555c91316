"""Runs over files in small: what is compared is the same work, and all of it is told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.spatial.distance import cdist

from benchmarks import scale, scale_run
from benchmarks.cost import Cost, Rates
from benchmarks.measure import Section
from benchmarks.page import table
from benchmarks.scale import Measured
from benchmarks.scale_files import FEATURES, FILES, GROUP, Files
from dataworth.data.sources import Source

ROWS, POINTS = 4_000, 40


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files.make(tmp_path_factory.mktemp("scale") / "files", ROWS)


@pytest.fixture(scope="module")
def found(files: Files) -> dict[str, Any]:
    return {name: scale_run.main(name, files.folder, POINTS) for name in ("limits", "kept", "twice")}


def test_files_are_made_once(files: Files) -> None:
    made = {path: path.stat().st_mtime_ns for path in (files.folder / "rows").iterdir()}
    assert len(made) == FILES
    assert Files.make(files.folder, ROWS) == files
    assert {path: path.stat().st_mtime_ns for path in made} == made
    with pytest.raises(ValueError, match="has 4,000 rows, not 5,000"):
        Files.make(files.folder, 5_000)


@pytest.mark.parametrize("rows", [FILES * 3, FILES * 3 + 1, GROUP + 5])
def test_files_have_all_rows_in_groups(tmp_path: Path, rows: int) -> None:
    made = Files.make(tmp_path / "files", rows)
    about = [pq.ParquetFile(path).metadata for path in sorted((made.folder / "rows").iterdir())]
    assert sum(one.num_rows for one in about) == rows
    assert all(one.row_group(at).num_rows <= GROUP for one in about for at in range(one.num_row_groups))
    assert {one.num_columns for one in about} == {FEATURES + 1}


def test_a_tenth_of_the_rows_are_neighbours(files: Files) -> None:
    x = np.concatenate([
        np.column_stack([column.to_numpy() for column in pq.read_table(path).columns[:FEATURES]])
        for path in sorted((files.folder / "rows").iterdir())
    ])  # fmt: skip
    assert x.shape == (ROWS, FEATURES)
    near = cdist(files.judges(200).x, x, "cosine") <= files.radius
    assert 0.05 < near.mean() < 0.2


def test_runs_give_the_same_values_and_tell_what_they_did(found: dict[str, Any]) -> None:
    kept, twice = found["kept"], found["twice"]
    assert kept["digest"] == twice["digest"]
    assert (kept["links"], twice["links"]) == (ROWS * POINTS // 8, 0)
    for one in (kept, twice):
        assert one["tasks"] == 2 * FILES
        parts = sum(one["seconds"][phase] for phase in ("survey", "first", "second"))
        assert 0 < parts <= one["seconds"]["all"]
    assert set(found["limits"]) == {"columns", "rows", "product"}


def test_what_is_read_for_the_limit_is_all(files: Files) -> None:
    parts = Source.open(files.folder / "rows", label="label").parts(300)
    assert sum(scale_run._columns(part) for part in parts) == ROWS
    assert sum(scale_run._rows(part) for part in parts) == ROWS


def test_findings_and_picture_are_made_of_what_was_measured(found: dict[str, Any], tmp_path: Path) -> None:
    one = {**found["kept"], "mib of all": 1.0, "loopback": 1e6}
    measured = {
        rows: Measured(rows, [found["limits"]] * 2, {name: [one, one] for name in scale_run.RUNS})
        for rows in (ROWS, 10 * ROWS)
    }
    rates = Rates(0.1, *[1e-9] * 7)
    findings = [
        *scale._against_limits(measured[ROWS], goals=True), *scale._growth(measured), *scale._rates_found(rates, ROWS),
        *scale.predicted(measured[ROWS], rates), *scale.on_paper(rates),
    ]  # fmt: skip
    by_name = {(finding.group, finding.what): finding for finding in findings}
    assert len(by_name) + 2 == len(findings)  # two rates each of the first and the second pass
    ratio = by_name[f"{ROWS:,} rows", "2 threads, links kept, over the limit"]
    limits = found["limits"]
    assert ratio.middle == pytest.approx(one["seconds"]["all"] / 2 / (limits["columns"] + limits["product"]))
    assert ratio.goal == 1.5
    growth = [finding for finding in findings if finding.what.endswith("slope")]
    assert all(finding.middle == pytest.approx(0.0, abs=1e-9) for finding in growth)  # ten times the rows as fast
    assert [finding.middle for finding in findings if finding.what == "Links on the disk"][1:] == [125.0] * 3
    assert "125 GB" in table(Section("scale", "", "", findings))
    scale._draw(measured, rates, tmp_path / "scale.svg")
    assert (tmp_path / "scale.svg").read_text().startswith("<?xml")


def test_different_values_end_the_benchmark(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(name: str, folder: Path, points: int) -> dict[str, Any]:
        return {"seconds": {"all": 1.0}, "columns": 1.0, "product": 1.0, "digest": name}

    monkeypatch.setattr(scale, "_process", other)
    scale._rounds(files, ("kept",), 2)
    with pytest.raises(RuntimeError, match="gave different values"):
        scale._rounds(files, ("kept", "twice"), 1)


def test_memory_of_a_process_is_told_while_it_lives() -> None:
    assert scale._most_resident(os.getpid()) > 2**20
    assert scale._most_resident(2**22 + 1) == 0  # no process has such a number


def test_what_the_formulas_say_is_found_where_runs_obey_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole of it, on a machine that is as fast as it should be."""
    rates = Rates(0.1, 3e-9, 4e-9, 1e-11, 1e-7, 2e-9, 3e-7, 2e-10)

    def run(name: str, folder: Path, points: int) -> dict[str, Any]:
        rows = int(folder.name)
        cost = Cost(rows, FEATURES, points, links_kept=name != "twice")
        read, product = (spent / 2 for spent in (rows * cost.row_bytes * 4e-9, 2 * cost.pairs * FEATURES * 1e-11))
        seconds = {"survey": rates.survey(cost) / 2, "first": rates.link(cost) / 2, "second": rates.add(cost) / 2}
        return {
            "columns": read, "rows": read, "product": product, "seconds": {**seconds, "all": rates.seconds(cost)},
            "begin": {"survey": 0.0, "first": 0.0, "second": 0.0, "all": 0.1}, "mib": 100.0, "mib of all": 100.0,
            "read": cost.bytes_read, "written": cost.bytes_written, "loopback": 10**6, "links": cost.link_bytes,
            "tasks": cost.tasks, "part rows": cost.part_rows, "digest": str(rows),
        }  # fmt: skip

    monkeypatch.setattr(scale, "_process", run)
    monkeypatch.setattr(Files, "make", lambda folder, rows: Files(folder, rows, 0.5))
    section = scale.measure(quick=False, folder=tmp_path, files=tmp_path)
    assert (tmp_path / section.picture).exists()
    exact = [
        finding for finding in section.findings if finding.what.endswith(("seconds", "bytes read", "bytes written"))
    ]
    assert len(exact) == 3 * 2 * 3
    assert all(finding.middle == pytest.approx(1.0) for finding in exact)
    shown = {(finding.what, finding.note.split(",", maxsplit=1)[0]): finding.middle for finding in section.findings}
    assert shown["First pass", "a pair"] == pytest.approx(2.0)
    assert shown["Second pass", "a row"] == pytest.approx(300.0)
    slopes = [finding for finding in section.findings if finding.what.endswith("slope")]
    assert all(0.9 < finding.middle < 1.0 and finding.met for finding in slopes)
    assert "slope 0.9" in section.alt
