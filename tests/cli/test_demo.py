"""``dataworth demo``: the whole job on digits, for real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dataworth as dw
from dataworth.valuation.demo import DemoResult, digits_with_errors, run_demo
from tests.cli.conftest import Run


@pytest.fixture(scope="module")
def result() -> DemoResult:
    return run_demo(progress=False)


def test_a_tenth_of_the_labels_is_wrong_and_nothing_else_is() -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    data = digits_with_errors()
    n = len(data.train)
    assert (n, len(data.validation)) == (1397, 400)
    assert data.wrong.sum() == round(0.1 * n)
    for points, wrong in ((data.train, data.wrong), (data.validation, np.zeros(400, dtype=bool))):
        rows = [int(str(name).removeprefix("digit-")) for name in points.ids]
        np.testing.assert_array_equal(points.x, digits.data[rows])
        np.testing.assert_array_equal(points.y != digits.target[rows], wrong)
    assert not set(data.train.ids.tolist()) & set(data.validation.ids.tolist())
    assert set(np.unique(data.train.y)) == set(range(10))


def test_the_seed_decides_which() -> None:
    first, again, other = digits_with_errors(), digits_with_errors(), digits_with_errors(seed=1)
    np.testing.assert_array_equal(first.wrong, again.wrong)
    np.testing.assert_array_equal(first.train.y, again.train.y)
    assert not np.array_equal(first.train.ids, other.train.ids)


def test_low_values_find_the_wrong_labels(result: DemoResult) -> None:
    wrong = result.data.wrong
    assert result.summary.columns["AUROC"] == tuple(v.detection(wrong).auroc for v in (result.threshold, result.knn))
    assert min(result.summary.columns["AUROC"]) > 0.95
    lowest = np.argsort(result.threshold.values, kind="stable")[:140]
    assert result.summary.columns["wrong among the 140 lowest"][0] == wrong[lowest].sum() > 100


def test_the_report_will_have_all_its_pictures(result: DemoResult) -> None:
    for values in (result.threshold, result.knn):
        pieces = {piece.name: piece for piece in values.evidence}
        assert {"removal-curve", "detection-curve", "train-rows", "validation-rows"} <= set(pieces)
        rows = pieces["train-rows"]
        assert isinstance(rows, dw.Exhibit)
        assert all(str(cell).startswith("data:image/png;base64,") for cell in rows.table.columns["picture"])


def test_the_command_writes_and_says_where(run: Run, tmp_path: Path, result: DemoResult) -> None:
    folder = tmp_path / "new" / "demo"
    done = run("demo", "--out", folder)
    assert done.code == 0, done.err
    assert {file.name for file in folder.iterdir()} == {"report.html", "values.parquet", "values-knn.parquet"}
    for file in folder.iterdir():
        assert f"written: {file}" in done.out
    assert result.summary.to_text() in done.out
    np.testing.assert_array_equal(dw.Values.load(folder / "values.parquet").values, result.threshold.values)
    np.testing.assert_array_equal(dw.Values.load(folder / "values-knn.parquet").values, result.knn.values)
    assert "Which digits are mislabelled?" in (folder / "report.html").read_text(encoding="utf-8")


def test_a_folder_that_cannot_be_made(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("demo", "--out", tmp_path / "file")
    assert done.code == 2
    assert "cannot be created" in done.err
