"""``dataworth points`` with methods that train a model again and again."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import NearestCentroid

import dataworth as dw
from dataworth.cli.retraining import Model, build_model, facts_json, facts_text, parse_time
from dataworth.valuation import retraining
from tests.cli.conftest import Outcome, Run, blobs


@pytest.fixture(autouse=True)
def small(tmp_path: Path) -> None:
    """Rows few enough to be quick, more than are solved exactly."""
    pq.write_table(blobs(24, seed=1, wrong=4), tmp_path / "train.parquet")
    pq.write_table(blobs(20, seed=2).select(["a", "b", "y"]), tmp_path / "validation.parquet")


@pytest.fixture
def points(run: Run, tmp_path: Path) -> Any:
    def call(*more: Any, method: str = "data-shapley", model: str | None = "nearest-centroid") -> Outcome:
        named = [] if model is None else ["--model", model]
        files = [tmp_path / "train.parquet", "--validation", tmp_path / "validation.parquet"]
        columns = ["--label", "y", "--id", "name", "--owner", "who", "--features", "a,b", "--threads", 1]
        return run("points", *files, *columns, "--method", method, *named, *more)

    return call


@pytest.fixture
def expected(tmp_path: Path) -> Any:
    """The same through the library."""

    def value(method: Any, **options: Any) -> dw.Values:
        features = ["a", "b"]
        train = dw.read_points(tmp_path / "train.parquet", label="y", id="name", owner="who", features=features)
        validation = dw.read_points(tmp_path / "validation.parquet", label="y", features=features)
        return dw.value_points(train, validation, method=method, threads=1, **options)

    return value


def refused(done: Outcome, *words: str) -> None:
    assert done.code == 2, done.err
    assert done.out == ""
    assert len(done.err.splitlines()) == 1
    for word in words:
        assert word in done.err


# -- what comes out ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "options", "record"),
    [
        ("leave-one-out", ["--scoring", "balanced_accuracy"], ("LeaveOneOut", {"scoring": "balanced_accuracy"})),
        ("data-shapley", ["--fits", "300"], ("DataShapley", {"fits": 300})),
        (
            "data-shapley",
            ["--fits", "300", "--sampling", "antithetic", "--truncation", "0.1", "--seed", "3"],
            ("DataShapley", {"fits": 300, "sampling": "antithetic", "truncation": 0.1, "seed": 3}),
        ),
        ("data-banzhaf", ["--target-error", "0.2"], ("DataBanzhaf", {"target_error": 0.2, "fits": None})),
        (
            "data-banzhaf",
            ["--target-error", "0.2", "--fits", "300"],
            ("DataBanzhaf", {"target_error": 0.2, "fits": 300}),
        ),
        (
            "beta-shapley",
            ["--alpha", "1", "--beta", "4", "--fits", "300", "--sampled"],
            ("BetaShapley", {"alpha": 1.0, "beta": 4.0, "fits": 300, "exact": False}),
        ),
    ],
)
def test_the_values_are_those_of_the_library(
    points: Any, expected: Any, tmp_path: Path, method: str, options: list[str], record: Any
) -> None:
    out = tmp_path / "values.parquet"
    done = points(*options, "--out", out, method=method)
    assert (done.code, done.err) == (0, "")
    name, parameters = record
    wanted = expected(getattr(dw, name)(NearestCentroid(), **parameters))
    saved = dw.Values.load(out)
    assert saved.method == wanted.method
    np.testing.assert_array_equal(saved.values, wanted.values)
    assert saved.errors is not None
    np.testing.assert_array_equal(saved.errors, wanted.errors)


def test_the_text_says_how_it_went(points: Any, expected: Any) -> None:
    done = points("--fits", 300)
    values = expected(dw.DataShapley(NearestCentroid(), fits=300))
    facts = values.provenance
    assert f"path: {facts['path']}" in done.out
    assert f"{facts['coalitions']:,} coalitions ({facts['plan']}); ended because the next draw" in done.out
    assert "the next draw of up to 64 would pass 300 fits" in done.out
    assert f"mean standard error {values.errors.mean():.3g}" in done.out
    assert f"score {facts['score of everybody']:.6g} with everybody, 0.5 with nobody" in done.out
    below = int((values.values < -2 * values.errors).sum())
    assert f"{below} of 24 rows below zero by more than two standard errors" in done.out


def test_nothing_sampled_has_no_error(points: Any) -> None:
    done = points(method="leave-one-out")
    assert "no standard error: nothing was sampled" in done.out
    assert "mean standard error" not in done.out


def test_json_has_the_same_facts(points: Any, expected: Any) -> None:
    done = points("--fits", 300, "--json", "--bad", "wrong")
    assert (done.code, done.err) == (0, "")
    held = json.loads(done.out)
    values = expected(dw.DataShapley(NearestCentroid(), fits=300))
    assert held["mean_standard_error"] == pytest.approx(values.errors.mean())
    assert (held["rows"], held["players"], held["ended"]) == (24, "rows", values.provenance["ended"])
    assert (held["path"], held["plan"]) == (values.provenance["path"], values.provenance["plan"])
    assert (held["coalitions"], held["score_of_nobody"]) == (values.provenance["coalitions"], 0.5)
    assert held["detection"]["auroc"] == pytest.approx(values.detection(np.arange(24) < 4).auroc)


def test_closed_forms_have_no_such_facts(points: Any) -> None:
    held = json.loads(points("--json", method="knn", model=None).out)
    assert held["players"] == "rows"
    assert {held[name] for name in ("path", "coalitions", "mean_standard_error", "mostly_noise")} == {None}


def test_owners_are_valued_with_all_their_rows(points: Any, expected: Any, tmp_path: Path) -> None:
    out, page = tmp_path / "values.parquet", tmp_path / "page.html"
    done = points("--players", "owners", "--out", out, "--report", page)
    assert (done.code, done.err) == (0, "")
    wanted = expected(dw.DataShapley(NearestCentroid()), players="owners")
    saved = dw.Values.load(out)
    assert saved.ids.tolist() == ["owner-0", "owner-1", "owner-2"]
    np.testing.assert_array_equal(saved.values, wanted.values)
    assert saved.evidence == ()
    assert done.out.startswith("3 owners by DataShapley")
    assert done.out.count("owner-1") == 1
    assert "<title>What each owner is worth</title>" in page.read_text(encoding="utf-8")


def test_the_report_trains_the_same_model_as_rows_leave(points: Any, tmp_path: Path) -> None:
    out, page = tmp_path / "values.parquet", tmp_path / "page.html"
    assert points("--fits", 300, "--out", out, "--report", page, model="naive-bayes").code == 0
    assert "Accuracy of GaussianNB" in page.read_text(encoding="utf-8")
    assert points("--fits", 300, "--report", page, "--removal-model", "logistic-regression").code == 0
    assert "Accuracy of LogisticRegression" in page.read_text(encoding="utf-8")


def test_numbers_are_valued_too(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("train", "validation"):
        x = rng.normal(size=(20, 2))
        pq.write_table(pa.table({"a": x[:, 0], "b": x[:, 1], "y": x.sum(axis=1)}), tmp_path / f"{name}.parquet")
    page = tmp_path / "page.html"
    files = [tmp_path / "train.parquet", "--validation", tmp_path / "validation.parquet", "--label", "y"]
    asked = [*files, "--method", "data-shapley", "--model", "linear-regression", "--fits", "300", "--report", page]
    done = run("points", *asked)
    assert (done.code, done.err) == (0, "")
    assert "removed" not in page.read_text(encoding="utf-8")
    refused(run("points", *asked, "--removal-model", "logistic-regression"), "--model linear-regression", "classes")


def test_a_target_that_was_not_reached_is_said(points: Any) -> None:
    words = "note: the target error of 1e-06 was not reached"
    done = points("--fits", 300, "--target-error", 1e-6)
    assert words in done.out
    assert re.search(r"mean standard error 0\.0\d+; ", done.out)
    assert json.loads(points("--fits", 300, "--target-error", 1e-6, "--json").out)["target_error"] == 1e-6
    for reached in (["--target-error", 1], ["--fits", 300]):
        assert "was not reached" not in points(*reached).out


@pytest.mark.parametrize(
    ("labels", "options", "warned"),
    [
        ([0, 1], ["--model", "ridge-regression"], "by --model ridge-regression; there are only 2 different ones"),
        ([0.0, 1.0], ["--model", "linear-regression"], "by --model linear-regression"),
        ([0.1, 0.9], ["--model", "linear-regression"], None),
        ([0, 1], ["--model", "naive-bayes", "--scoring", "r2"], "by --scoring r2, but --model naive-bayes"),
        ([0, 1], ["--model", "naive-bayes", "--scoring", "neg_mean_squared_error"], "by --scoring neg_mean"),
        ([0, 1], ["--model", "naive-bayes", "--scoring", "neg_log_loss"], None),
        ([0, 1], ["--model", "naive-bayes", "--scoring", "roc_auc"], None),
    ],
)
def test_labels_taken_for_numbers_are_warned_of(
    run: Run, tmp_path: Path, labels: list[float], options: list[str], warned: str | None
) -> None:
    file = tmp_path / "numbers.parquet"
    x = np.random.default_rng(0).normal(size=12)
    pq.write_table(pa.table({"a": x, "y": labels * 6}), file)
    asked = ["--validation", file, "--label", "y", "--method", "leave-one-out", *options]
    done = run("points", file, *asked, "--threads", 1)
    assert done.code == 0
    if warned is None:
        assert done.err == ""
    else:
        assert done.err.startswith("dataworth: warning: labels are treated as numbers")
        assert warned in done.err


def test_bad_rows_are_no_feature_and_not_looked_for_among_owners(run: Run, points: Any, tmp_path: Path) -> None:
    files = [tmp_path / "train.parquet", "--validation", tmp_path / "validation.parquet", "--label", "y"]
    bare = pq.read_table(tmp_path / "train.parquet").drop_columns(["name"])
    pq.write_table(bare, tmp_path / "train.parquet")
    asked = [*files, "--owner", "who", "--method", "data-shapley", "--model", "ridge", "--players", "owners"]
    done = run("points", *asked, "--bad", "wrong", "--report", tmp_path / "page.html")
    assert (done.code, done.err) == (0, "")
    assert "--bad kept 'wrong' out of the features; bad rows are not looked for among owners" in done.out
    assert json.loads(run("points", *asked, "--bad", "wrong", "--json").out)["detection"] is None
    assert run("points", *asked).code == 2  # without it, the validation rows miss a feature


def test_few_are_shown_in_one_list(points: Any) -> None:
    done = points("--players", "owners")
    assert "All 3 values, highest first" in done.out
    assert "standard error\n" not in done.out
    rows = [line.split()[0] for line in done.out.splitlines() if line.startswith("owner-")]
    assert sorted(rows) == ["owner-0", "owner-1", "owner-2"]


# -- stopping and going on -------------------------------------------------------------------------


def test_work_is_kept_and_gone_on_with(points: Any, tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "values.parquet"
    assert points("--fits", 300, "--work", work).code == 0
    held = {file.name: file.stat().st_mtime_ns for file in work.iterdir()}
    assert len(held) == 1
    refused(points("--fits", 600, "--work", work), "holds draws of an earlier run", "--resume")
    resumed = points("--fits", 600, "--work", work, "--resume", "--out", out)
    assert resumed.code == 0
    assert "went on from 4 draws kept before" in resumed.out
    assert set(held) == {file.name for file in work.iterdir()}
    assert points("--fits", 600, "--out", tmp_path / "afresh.parquet").code == 0
    gone_on, afresh = dw.Values.load(out), dw.Values.load(tmp_path / "afresh.parquet")
    np.testing.assert_array_equal(gone_on.values, afresh.values)
    np.testing.assert_array_equal(gone_on.errors, afresh.errors)
    assert "took 4 of 9 draws kept before" in points("--fits", 300, "--work", work, "--resume").out


def test_going_on_from_nothing_starts(points: Any, tmp_path: Path) -> None:
    first = points("--fits", 300, "--work", tmp_path / "new", "--resume")
    assert first.code == 0
    assert "it began anew" in first.out
    assert any((tmp_path / "new").iterdir())
    other = points("--fits", 300, "--work", tmp_path / "new", "--resume", "--seed", 7)
    assert other.code == 0
    assert "it began anew" in other.out


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ([], "nothing was kept; with --work FOLDER a run can be stopped and gone on with"),
        (["--work", "kept"], "go on with the same command and --resume"),
        (["--work", "kept", "--resume"], "go on with the same command"),
    ],
)
def test_a_stop_says_how_to_go_on(
    points: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: list[str], said: str
) -> None:
    def stop(*_: Any, **__: Any) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dw, "value_points", stop)
    done = points(*kept)
    assert (done.code, done.out) == (130, "")
    assert done.err == f"dataworth: stopped; {said}\n"


@pytest.fixture
def harmless() -> Iterator[Any]:
    """What SIGTERM does outside of a run: nothing, so that a late one does not end all tests."""

    def nothing(*_: object) -> None:
        pass

    before = signal.signal(signal.SIGTERM, nothing)
    yield nothing
    signal.signal(signal.SIGTERM, before)


def test_being_terminated_keeps_what_was_found(
    points: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harmless: Any
) -> None:
    real = retraining._Rule.use

    def use(rule: Any, draw: Any) -> None:
        real(rule, draw)
        if rule.used == 6:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)  # it comes twice from `timeout`

    monkeypatch.setattr(retraining._Rule, "use", use)
    work = tmp_path / "work"
    done = points("--time", "60s", "--work", work)
    assert (done.code, done.out) == (143, "")
    assert done.err == "dataworth: stopped; go on with the same command and --resume\n"
    assert signal.getsignal(signal.SIGTERM) is harmless
    monkeypatch.setattr(retraining._Rule, "use", real)
    assert "took 4 of 6 draws" in points("--fits", 300, "--work", work, "--resume").out


def test_without_a_terminal_one_line_tells_the_time_left(points: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retraining, "_SPEED_AFTER", 0.0)
    done = points("--fits", 6400)
    assert done.code == 0
    assert re.fullmatch(
        r"dataworth: about 6,400 coalitions, of which [\d,]+ are done; at this speed \d+ (seconds|minutes) more\n",
        done.err,
    )
    monkeypatch.setattr(retraining, "_SPEED_AFTER", 10.0)
    assert points("--fits", 6400).err == ""


def test_what_cannot_be_written_is_told_with_what_is_there(
    points: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    out, page, work = tmp_path / "values.parquet", tmp_path / "page.html", tmp_path / "work"
    monkeypatch.setattr(dw, "write_report", full)
    done = points("--fits", 300, "--report", page, "--removal-model", "none", "--out", out, "--work", work)
    assert (done.code, done.out) == (1, "")
    assert f"--report {str(page)!r} cannot be written (No space left on device)" in done.err
    assert f"the values are in {str(out)!r}; all draws are in {str(work)!r}, and the same command with" in done.err
    assert "nothing was written" in points("--fits", 300, "--report", page, "--removal-model", "none").err
    monkeypatch.setattr(dw.Values, "save", full)
    done = points("--fits", 300, "--out", out, "--work", work, "--resume")
    assert done.code == 1
    assert done.err.endswith(f"all draws are in {str(work)!r}, and the same command goes on\n")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5H", 5400), (" .5 m ", 30)]
)
def test_times(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0h", "-5", "3d", "1h30m", "soon", "1e3", "inf", "\N{ARABIC-INDIC DIGIT TWO}h"]
)
def test_what_is_no_time(points: Any, text: str) -> None:
    refused(points("--time", text), "--time", "90s, 30m or 2h")


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "option", "users"),
    [
        ("knn", ["--model", "ridge"], "leave-one-out, data-shapley, data-banzhaf, beta-shapley"),
        ("knn", ["--players", "owners"], "leave-one-out, data-shapley, data-banzhaf, beta-shapley"),
        ("vote", ["--work", "kept"], "leave-one-out, data-shapley, data-banzhaf, beta-shapley"),
        ("knn", ["--resume"], "leave-one-out, data-shapley, data-banzhaf, beta-shapley"),
        ("threshold", ["--seed", "1"], "leave-one-out, data-shapley, data-banzhaf, beta-shapley"),
        ("leave-one-out", ["--fits", "10"], "data-shapley, data-banzhaf, beta-shapley"),
        ("leave-one-out", ["--time", "10"], "data-shapley, data-banzhaf, beta-shapley"),
        ("leave-one-out", ["--target-error", "1"], "data-shapley, data-banzhaf, beta-shapley"),
        ("data-banzhaf", ["--truncation", "1"], "data-shapley, beta-shapley"),
        ("data-banzhaf", ["--sampling", "permutations"], "data-shapley, beta-shapley"),
        ("data-shapley", ["--alpha", "1"], "beta-shapley"),
        ("data-shapley", ["--k", "5"], "knn, weighted, regression"),
        ("data-shapley", ["--metric", "cosine"], "threshold, knn, weighted, regression, vote, proxy"),
        ("data-shapley", ["--dtype", "float64"], "threshold, knn, vote, proxy"),
    ],
)
def test_an_option_the_method_does_not_use(points: Any, method: str, option: list[str], users: str) -> None:
    model = "ridge" if method in ("leave-one-out", "data-shapley", "data-banzhaf") else None
    refused(
        points(*option, method=method, model=model), f"{option[0]} is not used by --method {method}, but by {users}\n"
    )


@pytest.mark.parametrize("option", ["--exact", "--sampled"])
def test_leave_one_out_is_neither_exact_nor_sampled(points: Any, option: str) -> None:
    refused(points(option, method="leave-one-out"), "--exact/--sampled is not used by --method leave-one-out")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--exact", "--fits", "5"], "--exact tries all coalitions and draws none, so --fits means nothing"),
        (["--exact", "--target-error", "5"], "--target-error means nothing"),
        (["--exact", "--sampling", "antithetic", "--truncation", "1"], "--sampling means nothing"),
        (["--exact"], "up to 12 players"),
        (["--truncation", "0.1"], "--sampling permutations"),
        (["--truncation", "0.1", "--sampling", "stratified"], "--sampling permutations"),
        (["--resume"], "give --work too"),
        (["--players", "owners", "--show-rows", "--report", "page.html"], "--show-rows is about rows"),
        (["--players", "owners", "--removal-model", "none", "--report", "page.html"], "--removal-model is about rows"),
        (["--fits", "0"], "1 or more"),
        (["--target-error", "-1"], "above 0"),
        (["--scoring", "charm"], "scorer"),
        (["--epsilon", "1"], "only --method threshold has a private release"),
        (["--delta", "1e-5"], "--epsilon"),
    ],
)
def test_what_does_not_go_together(
    points: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(points(*options), words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fits", "0"], "--fits must be"),
        (["--target-error", "-1"], "--target-error must be"),
        (["--sampling", "permutations", "--truncation", "0"], "--truncation must be"),
        (["--seed", "-1"], "--seed must be"),
        (["--scoring", "charm"], "--scoring 'charm' is no scorer"),
    ],
)
def test_wrong_options_are_told_as_options_before_any_file_is_read(run: Run, options: list[str], words: str) -> None:
    missing = ["nothing.parquet", "--validation", "nothing.parquet", "--label", "y", "--model", "ridge"]
    refused(run("points", *missing, "--method", "data-shapley", *options), f"dataworth: {words}")


def test_alpha_is_told_before_any_file_is_read(run: Run) -> None:
    missing = ["nothing.parquet", "--validation", "nothing.parquet", "--label", "y", "--model", "ridge"]
    refused(run("points", *missing, "--method", "beta-shapley", "--alpha", 0), "dataworth: --alpha must be")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fits", "1"], "--fits 1 is less than two draws"),
        (["--exact"], "more by sampling (--sampled)"),
        (["--sampling", "permutations", "--fits", "10"], "or use --sampling stratified, whose draws"),
    ],
)
def test_what_the_data_refuse_is_told_in_options_too(points: Any, options: list[str], words: str) -> None:
    refused(points(*options), words)


def test_a_model_is_needed_and_all_are_named(points: Any) -> None:
    refused(points(model=None), "--method data-shapley trains a model; name it with --model", *Model)


def test_wrong_options_make_no_folder(points: Any, tmp_path: Path) -> None:
    refused(points("--work", tmp_path / "work", "--k", 3), "--k")
    assert not (tmp_path / "work").exists()


def test_owners_have_to_be_known(run: Run, tmp_path: Path) -> None:
    files = [tmp_path / "train.parquet", "--validation", tmp_path / "validation.parquet", "--features", "a,b"]
    asked = ["--label", "y", "--method", "data-shapley", "--model", "ridge", "--players", "owners"]
    refused(run("points", *files, *asked), "name the column with --owner")


def test_work_cannot_be_a_file(points: Any, tmp_path: Path) -> None:
    refused(points("--work", tmp_path / "train.parquet"), "--work")


# -- models and words ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", Model)
def test_models_are_what_their_names_say(name: Model) -> None:
    model = clone(build_model(name))
    assert (is_regressor if name.predicts_numbers else is_classifier)(model)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 2)), np.arange(40) % 2
    assert len(model.fit(x, y).predict(x)) == 40


def test_the_help_groups_them(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    done = run("points", "--help")
    panel = re.split(r"\n╭", done.out.split("Retraining")[1])[0]
    for option in ("--model", "--scoring", "--players", "--fits", "--target-error", "--time", "--work", "--resume"):
        assert option in panel


def test_noise_is_said(expected: Any) -> None:
    values = expected(dw.DataShapley(GaussianNB(), fits=300))
    quiet, loud = (
        dw.Values(
            values.ids, values.values, values.method, 20, provenance=values.provenance, errors=off * values.errors
        )
        for off in (0.1, 10)
    )
    assert facts_json(loud)["mostly_noise"] is True
    assert [line for line in facts_text(loud) if "say little yet; allow more fits or time" in line]
    assert facts_json(loud)["errors_are_rough"] is (int(values.provenance["draws"]) < 10)
    assert facts_json(quiet)["mostly_noise"] is False
    assert not any("say little" in line for line in facts_text(quiet))
