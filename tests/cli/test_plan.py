"""``dataworth plan``: what a release would be, from public rows only, and nothing spent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dataworth as dw
from dataworth.privacy.ledger import Charge, Ledger
from tests.cli.conftest import Outcome, Run

pytest.importorskip("dp_accounting")
pytest.importorskip("sqlalchemy")

METHOD = dw.ThresholdKNNShapley(radius=0.3)
CHEAP = ["--radius", "0.3", "--links", "5", "--expected-rows", "100"]
SPEND = dw.Budget(1, "1e-4")


def cheap(public: dw.Points) -> dw.Plan:
    """The same through the library."""
    return dw.plan_release(public, method=METHOD, spend=SPEND, mechanism=dw.CappedLinks(5), expected_rows=100)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    dw.Ledger.create(path, budget=dw.Budget("1.5", "2e-4"), unit=dw.Row(), population="patients")
    return path


@pytest.fixture
def plan(run: Run, validation: Path) -> Any:
    """The command with the column named; more options come behind."""

    def call(*more: Any, epsilon: str = "1", delta: str = "1e-4") -> Outcome:
        spend = ["--epsilon", epsilon, "--delta", delta]
        return run("plan", validation, "--label", "y", *CHEAP, *spend, *more)

    return call


@pytest.fixture
def public(validation: Path) -> dw.Points:
    return dw.read_points(validation, label="y")


def refused(done: Outcome, *words: str) -> None:
    assert (done.code, done.out) == (2, ""), done.err
    assert done.err.startswith("dataworth: ")
    assert len(done.err.splitlines()) == 1
    for word in words:
        assert word in done.err


def test_the_plan_is_the_library_s(plan: Any, public: dw.Points) -> None:
    done = plan("--json")
    assert (done.code, done.err) == (0, "")
    answer = json.loads(done.out)
    wanted = cheap(public)
    assert answer["noise_scale"] == float(wanted.sigma)
    assert answer["expected_rank_correlation"] == wanted.expected_spearman
    assert answer["expected_error"] == wanted.expected_error
    assert [promise["words"] for promise in answer["guarantees"]] == [str(promise) for promise in wanted.guarantees]
    assert [promise["relation"] for promise in answer["guarantees"]] == ["add_or_remove", "replace"]
    assert (answer["links"], answer["validation_points"], answer["ledger"]) == (5, 30, None)
    assert (answer["curve"], answer["expected_rows"], answer["noise_scale_of_rows"]) == (None, 100, None)


def test_an_unknown_number_of_rows_is_released_with_noise(run: Run, validation: Path, public: dw.Points) -> None:
    spend = ["--epsilon", "1", "--delta", "1e-4", "--json"]
    done = run("plan", validation, "--label", "y", "--radius", "0.3", "--links", "5", *spend)
    wanted = dw.plan_release(public, method=METHOD, spend=SPEND, mechanism=dw.CappedLinks(5))
    assert wanted.rows_sigma is not None
    assert json.loads(done.out)["noise_scale_of_rows"] == float(wanted.rows_sigma)


def test_the_best_cap_is_chosen_and_said(run: Run, validation: Path, public: dw.Points) -> None:
    spend = ["--epsilon", "1", "--delta", "1e-4"]
    done = run("plan", validation, "--label", "y", "--radius", "0.3", "--expected-rows", "200", *spend)
    assert done.code == 0
    wanted = dw.plan_release(public, method=METHOD, spend=SPEND, expected_rows=200)
    assert repr(wanted.mechanism) in done.out
    assert wanted.table().to_text() in done.out
    assert "200 rows declared" in done.out
    assert "one row added or removed: epsilon = 1" in done.out
    assert "one row replaced by any other" in done.out


def test_a_ledger_says_what_would_remain(plan: Any, ledger: Path, public: dw.Points) -> None:
    done = plan("--ledger", ledger, "--json")
    wanted = cheap(public)
    account = Ledger.open(ledger)
    preview = account.preview(Charge(SPEND, wanted.events, dw.Row(), "add_or_remove"))
    said = json.loads(done.out)["ledger"]
    assert (said["population"], said["admitted"]) == ("patients", True)
    assert said["remaining"]["epsilon"] == f"{preview.remaining.epsilon:f}"
    assert preview.after is not None
    assert said["after"]["epsilon"] == f"{preview.after.epsilon:f}" == "0.500000000"
    assert f"then have {preview.after}" in plan("--ledger", ledger).out
    assert len(account.history()) == 0


def test_a_refusal_is_foretold(plan: Any, ledger: Path) -> None:
    done = plan("--ledger", ledger, epsilon="1.6")
    assert done.code == 0  # a question was asked and answered
    assert "would refuse" in done.out
    said = json.loads(plan("--ledger", ledger, "--json", epsilon="1.6").out)["ledger"]
    assert (said["admitted"], said["after"]) == (False, None)


def test_what_is_planned_is_what_is_released(plan: Any, run: Run, ledger: Path, train: Path, tmp_path: Path) -> None:
    pytest.importorskip("opendp")
    foretold = json.loads(plan("--ledger", ledger, "--json").out)
    named = ["--label", "y", "--features", "a,b", "--method", "threshold", *CHEAP]
    where = ["--ledger", ledger, "--out", tmp_path / "release", "--json"]
    validation = tmp_path / "validation.parquet"
    done = run("points", train, "--validation", validation, *named, "--epsilon", "1", "--delta", "1e-4", *where)
    released = json.loads(done.out)
    for part in ("method", "mechanism", "noise_scale", "guarantees"):
        assert released[part] == foretold[part], part
    assert released["remaining"] == foretold["ledger"]["after"]


def test_owners_and_relations(plan: Any, tmp_path: Path) -> None:
    """Without a ledger as asked; with one, as the ledger says."""
    asked = json.loads(plan("--json", "--max-rows", 2, "--relation", "replace").out)
    account = tmp_path / "owners.db"
    dw.Ledger.create(
        account, budget=dw.Budget(2, "1e-3"), unit=dw.Owner(2), relation="replace", population="p", composition="zcdp"
    )
    said = json.loads(plan("--json", "--ledger", account).out)
    for answer in (asked, said):
        assert [promise["relation"] for promise in answer["guarantees"]] == ["replace", "add_or_remove"]
        assert [promise["unit"] for promise in answer["guarantees"]] == ["one owner of at most 2 rows"] * 2
        assert answer["guarantees"][0]["epsilon"] == "1"
        assert answer["noise_scale"] > 2.5 * json.loads(plan("--json").out)["noise_scale"]
    assert said["ledger"]["remaining"]["rho"] is not None


def test_a_curve_over_epsilon(plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataworth.cli import plan as module

    assert module.CURVE == ("0.1", "0.5", "1", "2", "4")
    monkeypatch.setattr(module, "CURVE", ("0.5", "1"))
    answer = json.loads(plan("--json", "--curve").out)
    assert [point["epsilon"] for point in answer["curve"]] == ["0.5", "1"]
    scales = [point["noise scale"] for point in answer["curve"]]
    assert scales[0] > scales[1] == answer["noise_scale"]
    assert "The same for other epsilons" in plan("--curve").out


def test_subsampling(plan: Any, run: Run, validation: Path) -> None:
    spend = ["--epsilon", "1", "--delta", "1e-4", "--json"]
    done = run("plan", validation, "--label", "y", "--mechanism", "subsampled", "--probability", "0.02", *spend)
    answer = json.loads(done.out)
    assert (answer["mechanism"], answer["links"]) == (repr(dw.Subsampled("0.02")), None)
    assert answer["noise_scale_of_rows"] is None
    assert answer["suggested_radius"] == dw.suggest_radius(dw.read_points(validation, label="y"))


def test_names_of_rows_are_no_features(plan: Any, run: Run, validation: Path, tmp_path: Path) -> None:
    named = tmp_path / "named.parquet"
    table = pq.read_table(validation)
    table = table.append_column("name", pa.array([f"r{i}" for i in range(30)]))
    pq.write_table(table.append_column("who", pa.array(["w"] * 30)), named)
    asked = ["--label", "y", "--id", "name", "--owner", "who", *CHEAP, "--json"]
    done = run("plan", named, *asked, "--epsilon", "1", "--delta", "1e-4")
    assert done.out == plan("--json").out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--ledger", "l.db", "--max-rows", "3"], "leave out --max-rows"),
        (["--ledger", "l.db", "--relation", "replace"], "leave out --relation"),
        (["--ledger", "l.db"], "l.db"),
        (["--mechanism", "subsampled"], "--links caps"),
        (["--max-rows", "0"], "max_rows"),
        (["--epsilon", "0"], "epsilon must be from"),
        (["--delta", "x"], "delta must be a decimal"),
        (["--delta", "1e-15"], "delta must be at least"),
        (["--radius", "9"], "radius"),
        (["--expected-rows", "-1"], "expected_rows"),
        (["--label", "z"], "'z'"),
        (["--classes", "cat"], "not among the classes"),
    ],
)
def test_what_cannot_be_planned(plan: Any, options: list[str], words: str) -> None:
    refused(plan(*options), words)


@pytest.mark.parametrize("lacking", ["--epsilon", "--delta"])
def test_a_spend_is_needed(run: Run, validation: Path, lacking: str) -> None:
    given = [word for option in ("--epsilon", "--delta") if option != lacking for word in (option, "0.01")]
    done = run("plan", validation, "--label", "y", *given)
    assert done.code == 2
    assert lacking in done.err


def test_missing_features_are_refused_in_public_rows(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "holed.parquet"
    pq.write_table(pa.table({"a": [1.0, None], "b": [0.5, 0.25], "y": ["p", "q"]}), file)
    refused(run("plan", file, "--label", "y", "--epsilon", "1", "--delta", "1e-4"), "'a' in 1 of 2 rows")
