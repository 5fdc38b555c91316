"""``dataworth partition`` from file to files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import dataworth as dw
from tests.cli.conftest import Run


def test_as_published(run: Run, train: Path, tmp_path: Path) -> None:
    done = run("partition", train, "--label", "y", "--providers", 5, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "nothing is private" in done.out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "manifest.json",
        *(f"usr{at}.parquet" for at in range(5)),
    ]
    assert pq.read_table(tmp_path / "out" / "usr1.parquet")["name"].to_pylist() == [f"row-{i}" for i in range(12, 24)]


def test_json_says_what_was_changed(run: Run, train: Path, tmp_path: Path) -> None:
    done = run(
        "partition", train, "--label", "y", "--id", "name", "--how", "sizes", "--sizes", "20,10",
        "--label-noise", "0,0.5", "--duplicates", "0.1", "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert said == {
        "out": str(tmp_path / "out"),
        "providers": [
            {"name": "usr0", "rows": 22, "wrong_labels": 0, "copies": 2},
            {"name": "usr1", "rows": 11, "wrong_labels": said["providers"][1]["wrong_labels"], "copies": 1},
        ],
        "left_out": 30,
        "private": False,
    }
    assert said["providers"][1]["wrong_labels"] in (5, 6)  # the copy may be of a row whose label is wrong
    points = dw.read_points(tmp_path / "out" / "usr0.parquet", label="y", id="name", features=["a", "b"])
    assert len(points) == 22


def test_label_skew_and_columns(run: Run, train: Path, tmp_path: Path) -> None:
    common = ["partition", train, "--label", "y", "--out"]
    done = run(*common, tmp_path / "skew", "--how", "dirichlet", "--alpha", 1, "--providers", 4, "--seed", 2)
    assert done.code == 0, done.err
    done = run(*common, tmp_path / "owners", "--how", "column", "--column", "who")
    assert done.code == 0, done.err
    assert (tmp_path / "owners" / "owner-2.parquet").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--how", "fair"], "--how must be contiguous"),
        (["--alpha", 1], "--alpha belongs to --how dirichlet"),
        (["--sizes", "1,2"], "--sizes belongs to --how sizes"),
        (["--how", "sizes"], "--how sizes needs --sizes"),
        (["--how", "sizes", "--sizes", "1,two"], "--sizes takes numbers of rows"),
        (["--how", "column"], "--how column needs --column"),
        (["--label-noise", "much"], "--label-noise takes shares"),
        (["--duplicates", "1.5"], "between 0 and 1"),
        (["--providers", 61], "61 providers cannot share 60 rows"),
    ],
)
def test_asked_wrongly(options: list[Any], says: str, run: Run, train: Path, tmp_path: Path) -> None:
    done = run("partition", train, "--label", "y", "--out", tmp_path / "out", *options)
    assert done.code == 2
    assert says in done.err
    assert not (tmp_path / "out").exists()
