"""``dataworth report``: saved values to one page."""

from __future__ import annotations

from pathlib import Path

import pytest

import dataworth as dw
from tests.cli.conftest import Run


@pytest.fixture
def saved(tmp_path: Path) -> list[Path]:
    return [
        dw.Values(["a", "b"], [0.25, -0.05], method=f"by hand {i}", n_validation=4).save(tmp_path / f"{i}.parquet")
        for i in range(2)
    ]


def test_several_files_make_one_page(run: Run, saved: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = run("report", *saved, "--out", page, "--title", "Sensor <readings>")
    assert (done.code, done.out, done.err) == (0, f"report written to {page}\n", "")
    text = page.read_text(encoding="utf-8")
    assert "by hand 0" in text
    assert "by hand 1" in text
    assert "Sensor &lt;readings&gt;" in text


def test_a_file_that_holds_no_values(run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    other.write_text("not parquet")
    done = run("report", other, "--out", tmp_path / "report.html")
    assert done.code == 2
    assert "cannot be read as Parquet" in done.err
    assert not (tmp_path / "report.html").exists()


def test_a_folder_that_is_not_there(run: Run, saved: list[Path], tmp_path: Path) -> None:
    done = run("report", *saved, "--out", tmp_path / "nowhere" / "report.html")
    assert done.code == 2
    assert "does not exist" in done.err
