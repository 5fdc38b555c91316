"""``dataworth points`` from files to files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

import dataworth as dw
from tests.cli.conftest import Outcome, Run, blobs


@pytest.fixture
def points(run: Run, train: Path, validation: Path) -> Any:
    """The command with the columns named; more options come behind."""

    def call(*more: Any, method: str = "threshold", features: str = "a,b") -> Outcome:
        return run(
            "points",
            train,
            "--validation",
            validation,
            "--label",
            "y",
            "--features",
            features,
            "--method",
            method,
            *more,
        )

    return call


@pytest.fixture
def expected(train: Path, validation: Path) -> Any:
    """The same through the library."""

    def value(method: Any, **options: Any) -> dw.Values:
        read: Any = {"label": "y", "features": ["a", "b"]}
        return dw.value_points(
            dw.read_points(train, **read), dw.read_points(validation, **read), method=method, **options
        )

    return value


# -- what comes out ------------------------------------------------------------------------------


def test_the_values_are_those_of_the_library(points: Any, expected: Any, tmp_path: Path) -> None:
    out = tmp_path / "values.parquet"
    done = points("--radius", 0.3, "--out", out)
    assert (done.code, done.err) == (0, "")
    wanted = expected(dw.ThresholdKNNShapley(radius=0.3))
    saved = dw.Values.load(out)
    np.testing.assert_array_equal(saved.values, wanted.values)
    assert saved.method == wanted.method
    assert f"values written to {out}" in done.out


@pytest.mark.parametrize(
    ("method", "options", "record"),
    [
        ("threshold", ["--radius", "0.3", "--semivalue", "banzhaf"], dw.ThresholdKNNShapley(0.3, semivalue="banzhaf")),
        ("threshold", ["--radius", "0.3", "--semivalue", "beta(4, 1)"], dw.ThresholdKNNShapley(0.3, dw.Beta(4.0, 1.0))),
        ("threshold", ["--radius", "1", "--metric", "euclidean"], dw.ThresholdKNNShapley(1.0, metric="euclidean")),
        ("knn", [], dw.KNNShapley()),
        ("knn", ["--k", "3", "--normalise", "k"], dw.KNNShapley(3, normalise="k")),
        ("weighted", ["--k", "2", "--kernel", "uniform", "--bits", "2"], dw.WeightedKNNShapley(2, "uniform", 2)),
        ("vote", ["--radius", "0.3"], dw.ValidationVote(0.3)),
        ("proxy", ["--radius", "0.3"], dw.PublicProxy(0.3)),
    ],
)
def test_options_set_the_method(
    points: Any, expected: Any, tmp_path: Path, method: str, options: list[str], record: Any
) -> None:
    out = tmp_path / "values.parquet"
    done = points(*options, "--out", out, method=method)
    assert done.code == 0, done.err
    wanted = expected(record)
    saved = dw.Values.load(out)
    assert saved.method == wanted.method
    np.testing.assert_array_equal(saved.values, wanted.values)


def test_regression(points: Any, run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, n in (("train", 40), ("validation", 20)):
        x = rng.normal(size=(n, 2))
        pq.write_table(pa.table({"a": x[:, 0], "b": x[:, 1], "y": x.sum(axis=1)}), tmp_path / f"r-{name}.parquet")
    out, page = tmp_path / "values.parquet", tmp_path / "report.html"
    files = [tmp_path / "r-train.parquet", "--validation", tmp_path / "r-validation.parquet"]
    done = run("points", *files, "--label", "y", "--method", "regression", "--out", out, "--report", page)
    assert done.code == 0, done.err
    read = [dw.read_points(tmp_path / f"r-{name}.parquet", label="y") for name in ("train", "validation")]
    wanted = dw.value_points(*read, method=dw.KNNRegressionShapley())
    np.testing.assert_array_equal(dw.Values.load(out).values, wanted.values)
    assert page.is_file()


def test_float64_and_threads_reach_the_library(points: Any, expected: Any, tmp_path: Path) -> None:
    out = tmp_path / "values.parquet"
    assert points("--radius", 0.3, "--dtype", "float64", "--threads", 1, "--out", out).code == 0
    wanted = expected(dw.ThresholdKNNShapley(0.3), dtype="float64", threads=1)
    saved = dw.Values.load(out)
    np.testing.assert_array_equal(saved.values, wanted.values)


def test_a_missing_radius_is_suggested_and_said(points: Any, expected: Any, validation: Path, tmp_path: Path) -> None:
    out = tmp_path / "values.parquet"
    done = points("--out", out)
    radius = dw.suggest_radius(dw.read_points(validation, label="y"))
    assert done.code == 0
    assert f"radius {radius:.6g}, suggested by the validation set" in done.out
    np.testing.assert_array_equal(dw.Values.load(out).values, expected(dw.ThresholdKNNShapley(radius)).values)


def test_the_suggestion_is_in_the_metric_asked_for(points: Any, validation: Path) -> None:
    radius = dw.suggest_radius(dw.read_points(validation, label="y"), metric="euclidean")
    assert json.loads(points("--metric", "euclidean", "--json").out)["suggested_radius"] == radius


def test_json_is_one_object_and_nothing_else(points: Any, expected: Any, tmp_path: Path) -> None:
    out = tmp_path / "values.parquet"
    done = points("--radius", 0.3, "--id", "name", "--bad", "wrong", "--out", out, "--json")
    assert (done.code, done.err) == (0, "")
    answer = json.loads(done.out)
    wanted = expected(dw.ThresholdKNNShapley(0.3))
    assert answer["method"] == wanted.method
    assert (answer["rows"], answer["validation_points"]) == (60, 30)
    assert answer["suggested_radius"] is None
    assert (answer["out"], answer["report"]) == (str(out), None)
    lowest = np.argsort(wanted.values, kind="stable")[:5]
    assert answer["lowest"] == [{"id": f"row-{i}", "value": wanted.values[i]} for i in lowest]
    assert [row["value"] for row in answer["highest"]] == sorted(wanted.values)[::-1][:5]
    found = wanted.detection(np.arange(60) < 6)
    assert answer["detection"] == {
        "bad_rows": 6,
        "auroc": found.auroc,
        "average_precision": found.average_precision,
    }


def test_the_summary_shows_both_ends(points: Any, expected: Any) -> None:
    done = points("--radius", 0.3, "--id", "name", "--owner", "who")
    wanted = expected(dw.ThresholdKNNShapley(0.3))
    assert done.out.startswith(f"60 rows by {wanted.method}, 30 validation points\n")
    lowest, highest = int(np.argmin(wanted.values)), int(np.argmax(wanted.values))
    for row in (lowest, highest):
        assert f"row-{row} " in done.out
        assert f"owner-{row % 3} " in done.out
    assert "values not kept" in done.out


def test_known_bad_rows_are_looked_for(points: Any, expected: Any, run: Run, train: Path, validation: Path) -> None:
    auroc = expected(dw.ThresholdKNNShapley(0.3)).detection(np.arange(60) < 6).auroc
    assert auroc > 0.9
    done = points("--radius", 0.3, "--bad", "wrong")
    assert f"{auroc:.3f}" in done.out


def test_the_bad_column_is_no_feature(run: Run, train: Path, validation: Path, tmp_path: Path) -> None:
    out = tmp_path / "values.parquet"
    columns = ["--label", "y", "--id", "name", "--owner", "who", "--bad", "wrong"]
    done = run("points", train, "--validation", validation, *columns, "--method", "knn", "--out", out)
    assert done.code == 0, done.err
    read = [dw.read_points(file, label="y", features=["a", "b"]) for file in (train, validation)]
    np.testing.assert_array_equal(dw.Values.load(out).values, dw.value_points(*read, method=dw.KNNShapley()).values)


def test_names_in_the_validation_file_are_no_features(run: Run, train: Path, tmp_path: Path) -> None:
    validation = tmp_path / "named.parquet"
    pq.write_table(blobs(30, seed=2), validation)
    columns = ["--label", "y", "--id", "name", "--owner", "who", "--bad", "wrong"]
    assert run("points", train, "--validation", validation, *columns, "--method", "knn").code == 0


def test_csv_and_npz_are_read_alike(run: Run, train: Path, validation: Path, tmp_path: Path) -> None:
    values = []
    for kind in ("parquet", "csv", "npz"):
        for file in (train, validation):
            table = pq.read_table(file).select(["a", "b", "y"])
            if kind == "csv":
                pc.write_csv(table, file.with_suffix(".csv"))
            if kind == "npz":
                x = np.stack([table["a"], table["b"]], axis=1)
                bad = np.arange(len(x)) < 6
                np.savez(file.with_suffix(".npz"), x=x, y=table["y"].to_numpy().astype(str), bad=bad)
        columns = {"parquet": ["--features", "a,b", "--label", "y"], "csv": ["--label", "y"], "npz": ["--bad", "bad"]}
        out = tmp_path / "values.parquet"
        files = [train.with_suffix(f".{kind}"), "--validation", validation.with_suffix(f".{kind}")]
        done = run("points", *files, *columns[kind], "--method", "knn", "--out", out)
        assert done.code == 0, done.err
        values.append(dw.Values.load(out).values)
    np.testing.assert_array_equal(values[0], values[1])
    np.testing.assert_array_equal(values[0], values[2])


def test_features_may_be_repeated(points: Any, run: Run, train: Path, validation: Path) -> None:
    together = points("--radius", 0.3, "--json")
    repeated = points("--radius", 0.3, "--json", "--features", "b", features="a")
    assert repeated.code == 0
    assert repeated.out == together.out


def test_classes_are_declared(points: Any, expected: Any, tmp_path: Path) -> None:
    out = tmp_path / "values.parquet"
    assert points("--radius", 0.3, "--classes", "cat,dog,mouse", "--out", out).code == 0
    wanted = expected(dw.ThresholdKNNShapley(0.3), classes=["cat", "dog", "mouse"])
    np.testing.assert_array_equal(dw.Values.load(out).values, wanted.values)
    assert not np.array_equal(wanted.values, expected(dw.ThresholdKNNShapley(0.3)).values)


def test_the_report_is_written_with_its_evidence(points: Any, tmp_path: Path) -> None:
    out, page = tmp_path / "values.parquet", tmp_path / "report.html"
    done = points("--radius", 0.3, "--id", "name", "--bad", "wrong", "--out", out, "--report", page)
    assert (done.code, done.err) == (0, "")
    assert f"report written to {page}" in done.out
    names = {piece.name for piece in dw.Values.load(out).evidence}
    assert {"lowest-neighbours", "removal-curve", "detection"} <= names
    assert "train-rows" not in names
    assert page.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html>")


def test_rows_are_shown_and_the_removal_curve_left_out_when_asked(points: Any, tmp_path: Path) -> None:
    out, page = tmp_path / "values.parquet", tmp_path / "report.html"
    more = ["--show-rows", "--removal-model", "none", "--out", out, "--report", page]
    assert points("--radius", 0.3, *more).code == 0
    names = {piece.name for piece in dw.Values.load(out).evidence}
    assert "train-rows" in names
    assert "removal-curve" not in names


def test_values_are_kept_when_the_report_fails(points: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("boom")

    monkeypatch.setattr(dw, "gather_evidence", fail)
    out = tmp_path / "values.parquet"
    assert points("--radius", 0.3, "--out", out, "--report", tmp_path / "page.html").code == 1
    assert len(dw.Values.load(out)) == 60


def test_whole_float_labels_are_classes(run: Run, train: Path, validation: Path, tmp_path: Path) -> None:
    for path in (train, validation):
        table = pq.read_table(path)
        y = pa.array((table["y"].to_numpy() == "dog").astype(np.float64))
        pq.write_table(table.set_column(table.column_names.index("y"), "y", y), path)
    page = tmp_path / "page.html"
    asked = ("--validation", validation, "--label", "y", "--features", "a,b", "--method", "knn", "--report", page)
    done = run("points", train, *asked)
    assert (done.code, done.err) == (0, "")
    assert "Accuracy as rows are removed" in page.read_text()


def test_a_file_that_exists_is_replaced(points: Any, tmp_path: Path) -> None:
    out = tmp_path / "values.parquet"
    out.write_text("old")
    assert points("--radius", 0.3, "--out", out).code == 0
    assert len(dw.Values.load(out)) == 60


def test_unmatched_labels_are_one_plain_warning(run: Run, validation: Path, tmp_path: Path) -> None:
    table = blobs(20, seed=3)
    labels = pa.array(["mouse", *table["y"].to_pylist()[1:]])
    odd = tmp_path / "odd.parquet"
    pq.write_table(table.select(["a", "b"]).append_column("y", labels), odd)
    done = run("points", odd, "--validation", validation, "--label", "y", "--method", "knn", "--json")
    assert done.code == 0
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith("dataworth: warning: ")
    assert json.loads(done.out)["rows"] == 20


# -- what is refused -----------------------------------------------------------------------------


def refused(done: Outcome, *words: str) -> None:
    assert done.code == 2, done.err
    assert done.out == ""
    assert done.err.startswith("dataworth: ")
    assert len(done.err.splitlines()) == 1
    for word in words:
        assert word in done.err


@pytest.mark.parametrize(
    ("method", "option", "users"),
    [
        ("knn", ["--radius", "0.5"], "by threshold, vote, proxy"),
        ("threshold", ["--k", "5"], "by knn, weighted, regression"),
        ("knn", ["--semivalue", "banzhaf"], "by threshold"),
        ("vote", ["--normalise", "k"], "by knn"),
        ("knn", ["--kernel", "rbf"], "by weighted"),
        ("regression", ["--bits", "3"], "by weighted"),
        ("regression", ["--classes", "a,b"], "by threshold, knn, weighted, vote, proxy"),
        ("weighted", ["--dtype", "float64"], "by threshold, knn, vote, proxy"),
    ],
)
def test_an_option_the_method_does_not_use(points: Any, method: str, option: list[str], users: str) -> None:
    refused(points(*option, method=method), f"{option[0]} is not used by --method {method}, but {users}")


@pytest.mark.parametrize(
    ("method", "option", "words"),
    [
        ("threshold", ["--radius", "3"], "from 0 to 2"),
        ("threshold", ["--radius", "-0.1"], "from 0 to 2"),
        ("threshold", ["--radius", "nan"], "from 0 to 2"),
        ("threshold", ["--radius", "-1", "--metric", "euclidean"], "from 0 to 1e150"),
        ("threshold", ["--semivalue", "core"], "leave-one-out"),
        ("threshold", ["--semivalue", "beta(0,1)"], "positive"),
        ("knn", ["--k", "0"], "1 or more"),
        ("weighted", ["--bits", "9"], "1 to 8"),
    ],
)
def test_a_value_the_method_cannot_take(points: Any, method: str, option: list[str], words: str) -> None:
    refused(points(*option, method=method), words)


def test_a_wrong_method_option_is_told_before_any_file_is_read(run: Run) -> None:
    missing = ["nothing.parquet", "--validation", "nothing.parquet", "--label", "y"]
    refused(run("points", *missing, "--method", "threshold", "--radius", "3"), "radius")


@pytest.mark.parametrize("which", ["train", "validation"])
def test_a_missing_file(run: Run, train: Path, validation: Path, which: str) -> None:
    files = {"train": train, "validation": validation, which: "nothing.parquet"}
    done = run(
        "points",
        files["train"],
        "--validation",
        files["validation"],
        "--label",
        "y",
        "--features",
        "a",
        "--method",
        "knn",
    )
    refused(done, "there is no file 'nothing.parquet'")


def test_a_wrong_label(run: Run, train: Path, validation: Path) -> None:
    done = run("points", train, "--validation", validation, "--label", "target", "--method", "knn")
    refused(done, "'target'", "'y'")


def test_different_feature_columns(run: Run, train: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    pq.write_table(blobs(30, seed=2).select(["a", "y"]), other)
    bare = tmp_path / "bare.parquet"
    pq.write_table(pq.read_table(train).select(["a", "b", "y"]), bare)
    refused(run("points", bare, "--validation", other, "--label", "y", "--method", "knn"), "same features", "'b'")


def test_a_text_column_names_the_way_out(run: Run, train: Path, validation: Path) -> None:
    done = run("points", train, "--validation", validation, "--label", "y", "--method", "knn")
    refused(done, "'name'")


def test_bad_columns_that_mark_nothing(run: Run, points: Any, train: Path) -> None:
    refused(points("--bad", "nothing", "--radius", 0.3), "'nothing'", "--bad")
    refused(points("--bad", "a", "--radius", 0.3), "'a'", "true or false")
    refused(points("--bad", "wrong", "--radius", 0.3, "--features", "wrong"), "--features names too")


def test_classes_of_another_type(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "codes.parquet"
    pq.write_table(pa.table({"a": [0.1, 0.9, 0.2, 0.8], "b": [0.9, 0.1, 0.8, 0.2], "y": [0, 1, 0, 1]}), file)
    command = ["points", file, "--validation", file, "--label", "y", "--method", "knn", "--classes"]
    assert run(*command, "0,1,2").code == 0
    refused(run(*command, "cat,dog"), "--classes", "int64")


@pytest.mark.parametrize(
    ("option", "name", "words"),
    [
        ("--out", "nowhere/values.parquet", "does not exist"),
        ("--out", "values.csv", "ends in .parquet"),
        ("--out", "folder.parquet", "is a folder"),
        ("--report", "nowhere/report.html", "does not exist"),
        ("--report", "report.parquet", "ends in .html"),
    ],
)
def test_outputs_are_checked_before_anything_is_read(
    run: Run, tmp_path: Path, option: str, name: str, words: str
) -> None:
    (tmp_path / "folder.parquet").mkdir()
    missing = ["nothing.parquet", "--validation", "nothing.parquet", "--label", "y", "--method", "knn"]
    refused(run("points", *missing, option, tmp_path / name), option, words)


def test_a_folder_without_leave_to_write(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # a superuser may write anywhere
    missing = ["nothing.parquet", "--validation", "nothing.parquet", "--label", "y", "--method", "knn"]
    refused(run("points", *missing, "--out", tmp_path / "values.parquet"), "not writable")


@pytest.mark.parametrize("option", [["--show-rows"], ["--removal-model", "none"]])
def test_options_about_a_report_need_one(points: Any, option: list[str]) -> None:
    refused(points("--radius", 0.3, *option), option[0], "--report")


def test_no_removal_model_for_regression(points: Any, tmp_path: Path) -> None:
    more = ["--removal-model", "logistic-regression", "--report", tmp_path / "report.html"]
    refused(points(*more, method="regression"), "needs classes")


def test_a_report_that_cannot_be_drawn_is_told_first(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataworth.cli.output.find_spec", lambda module: None)
    missing = ["nothing.parquet", "--validation", "nothing.parquet", "--label", "y", "--method", "knn"]
    refused(run("points", *missing, "--report", tmp_path / "report.html"), "pip install 'dataworth[report]'")


def test_nothing_is_written_when_a_run_fails(run: Run, train: Path, validation: Path, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    outputs = ["--out", tmp_path / "values.parquet", "--report", tmp_path / "report.html"]
    run("points", train, "--validation", validation, "--label", "y", "--method", "knn", *outputs)
    assert set(tmp_path.iterdir()) == before
