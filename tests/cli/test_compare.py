"""``dataworth compare``: files of values to one table and one page, and what it refuses before it reads anything."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import dataworth as dw
from tests.cli.conftest import Run, blobs

DATA = ("--label", "y", "--id", "name", "--owner", "who")


@pytest.fixture
def saved(train: Path, validation: Path, tmp_path: Path) -> list[Path]:
    """Values of two methods, the rows of the second in another order."""
    rows = dw.read_points(train, label="y", id="name", owner="who", features=["a", "b"])
    judges = dw.read_points(validation, label="y")
    one = dw.value_points(rows, judges, method=dw.KNNShapley())
    other = dw.value_points(rows, judges, method=dw.ValidationVote(0.2))
    at = np.random.default_rng(0).permutation(len(rows))
    turned = dw.Values(other.ids[at], other.values[at], other.method, other.n_validation)
    return [one.save(tmp_path / "knn.parquet"), turned.save(tmp_path / "vote.parquet")]


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    path = tmp_path / "test.parquet"
    pq.write_table(blobs(40, seed=3).select(["a", "b", "y"]), path)
    return path


def test_a_page_and_a_table(run: Run, saved: list[Path], train: Path, held_out: Path, tmp_path: Path) -> None:
    page = tmp_path / "compared.html"
    done = run(
        "compare", *saved, "--train", train, "--test", held_out, *DATA, "--bad", "wrong", "--report", page,
        "--repeats", 2, "--model", "decision-tree", "--seed", 4,
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert "Comparison(KNNShapley, ValidationVote; 60 rows)" in done.out
    assert "All figures" in done.out
    assert f"report written to {page}" in done.out
    text = page.read_text(encoding="utf-8")
    assert "DecisionTreeClassifier" in text
    assert "What not to conclude" in text


def test_json_holds_all_of_it(run: Run, saved: list[Path], train: Path, held_out: Path) -> None:
    done = run(
        "compare", *saved, "--train", train, "--test", held_out, *DATA, "--bad", "wrong", "--repeats", 1, "--json"
    )
    assert done.code == 0
    held = json.loads(done.out)
    assert (held["methods"], held["rows"], held["report"]) == (["KNNShapley", "ValidationVote"], 60, None)
    pieces = {piece["name"]: piece for piece in held["evidence"]}
    assert {"summary", "spearman", "kendall", "removal-lowest-first", "discovery-curve"} <= set(pieces)
    assert pieces["detection"]["columns"]["AUROC"] == [1.0, 1.0]


def test_values_alone_are_enough(run: Run, saved: list[Path]) -> None:
    done = run("compare", *saved)
    assert done.code == 0
    assert "Spearman's rank correlation" in done.out
    assert "mean place" not in done.out


def test_bad_rows_need_no_held_out(run: Run, saved: list[Path], train: Path) -> None:
    done = run("compare", *saved, "--train", train, *DATA, "--bad", "wrong")
    assert done.code == 0
    assert "AUROC" in done.out
    assert "lowest removed" not in done.out
    assert "Finding the rows known to be bad" in done.out
    assert "called bad" in done.out


def test_methods_that_are_mostly_noise_are_named(run: Run, saved: list[Path], tmp_path: Path) -> None:
    one = dw.Values.load(saved[0])
    loud = dw.Values(one.ids, one.values, "Loud()", 4, errors=np.full(len(one), one.values.std()))
    done = run("compare", saved[1], loud.save(tmp_path / "loud.parquet"))
    assert "note: of Loud, the errors are as large as the differences between values" in done.out
    assert "note:" not in run("compare", *saved).out


@pytest.mark.parametrize("seed", ["-3", str(2**32), "one"])
def test_seeds_that_are_none_are_refused_at_once(run: Run, seed: str) -> None:
    done = run("compare", "a.parquet", "b.parquet", "--train", "t.csv", "--test", "v.csv", "--seed", seed)
    assert (done.code, done.out) == (2, "")
    assert "--seed" in done.err


def test_files_of_one_method_are_called_after_the_files(run: Run, saved: list[Path], tmp_path: Path) -> None:
    again = tmp_path / "again.parquet"
    again.write_bytes(saved[0].read_bytes())
    done = run("compare", saved[0], again, saved[1])
    assert "Comparison(KNNShapley (knn), KNNShapley (again), ValidationVote; 60 rows)" in done.out
    (tmp_path / "sub").mkdir()
    other = tmp_path / "sub" / "knn.parquet"
    other.write_bytes(saved[0].read_bytes())
    done = run("compare", saved[0], other)
    assert done.code == 0
    assert f"KNNShapley ({other})" in done.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--bad", "wrong"], "--bad is about the rows that were valued"),
        (["--test", "test.parquet"], "--test is about the rows that were valued"),
        (["--label", "y"], "--label is about"),
        (["--train", "train.parquet"], "--train is for curves"),
        (["--repeats", "2"], "--repeats is about the curves"),
        (["--train", "train.parquet", "--bad", "wrong", "--seed", "0"], "--seed is about the curves"),
        (["--report", "page.txt"], "ends in .html"),
        (["--train", "t.csv", "--test", "t.csv", "--model", "ridge-regression"], "predicts numbers"),
    ],
)
def test_options_that_would_change_nothing(run: Run, saved: list[Path], options: list[str], said: str) -> None:
    done = run("compare", *saved, *options)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_one_file_is_too_few(run: Run, saved: list[Path]) -> None:
    done = run("compare", saved[0])
    assert done.code == 2
    assert "at least two files of values, not 1" in done.err
    done = run("compare", saved[0], saved[0])
    assert "is there twice" in done.err


def test_files_of_other_rows(run: Run, saved: list[Path], tmp_path: Path) -> None:
    other = dw.Values([f"row-{i}" for i in range(1, 61)], np.zeros(60), "Other()", 4).save(tmp_path / "other.parquet")
    done = run("compare", saved[0], other)
    assert done.code == 2
    assert "KNNShapley and Other value different rows: of Other, 1 of 60 rows have no value" in done.err


def test_files_that_hold_no_values(run: Run, saved: list[Path], train: Path, tmp_path: Path) -> None:
    assert "holds no dataworth values" in run("compare", saved[0], train).err
    assert "there is no file" in run("compare", saved[0], tmp_path / "nowhere.parquet").err
    folder = tmp_path / "release"
    folder.mkdir()
    assert "A private release hides" in run("compare", saved[0], folder).err
