"""``dataworth audit``: what it runs, what it writes, and what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import dataworth as dw
from dataworth.cli.app import app
from dataworth.cli.audit import audit
from dataworth.valuation import audits
from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def registered() -> None:
    if "audit" not in {group.name for group in app.registered_groups}:
        app.add_typer(audit, name="audit")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the audit of epsilon was asked; it answers that a promise is broken if delta is 0.1."""
    seen: dict[str, Any] = {}

    def answer(spend: dw.Budget, **options: Any) -> dw.Table:
        seen.update(options, spend=spend)
        verdict = "BROKEN" if float(spend.delta) == 0.1 else "not refuted"
        return dw.Table("audit-epsilon", "Audit", {"attack": ["a row"], "verdict": [verdict]}, note="Of nothing.")

    monkeypatch.setattr(audits, "audit_epsilon", answer)
    return seen


def data(train: Path, validation: Path) -> list[Any]:
    return [train, "--validation", validation, "--label", "y", "--id", "name", "--owner", "who", "--features", "a,b"]


def test_members_are_attacked_and_the_table_written(run: Run, train: Path, validation: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "found.csv", tmp_path / "found.html"
    done = run(
        "audit", "membership", *data(train, validation), "--method", "threshold", "--radius", 0.2,
        "--seeds", 3, "--shadows", 4, "--out", out, "--report", page,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "NOT PRIVATE" in done.out
    (row,) = csv.DictReader(out.read_text(encoding="utf-8").splitlines())
    assert (row["members"], row["runs"], row["release"]) == ("15", "3", "exact values")
    assert 0 <= float(row["AUROC"]) <= 1
    assert "NOT PRIVATE" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("method", "release"),
    [
        (["--method", "knn", "--k", 3], "exact values"),
        (["--method", "threshold"], "exact values"),
        (["--method", "private", "--epsilon", 1, "--delta", "1e-4", "--links", 3], "CappedLinks(links=3)"),
        (
            ["--method", "private", "--epsilon", 1, "--delta", "1e-4", "--mechanism", "subsampled"],
            "Subsampled(probability=Fraction(1, 100))",
        ),
    ],
)
def test_every_method_can_be_attacked(run: Run, train: Path, validation: Path, method: list[Any], release: str) -> None:
    options = ["--seeds", 2, "--shadows", 3, "--members", 10, "--json"]
    done = run("audit", "membership", *data(train, validation), *method, *options)
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert answer["audit"] == "audit-membership"
    assert answer["rows"][0]["members"] == 10
    assert "NOT PRIVATE" in answer["note"]
    assert release in answer["rows"][0]["release"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--method", "knn", "--radius", 0.5], "--radius is not used by --method knn"),
        (["--method", "knn", "--epsilon", 1], "--epsilon is about private values"),
        (["--method", "threshold", "--links", 3], "--links is about private values"),
        (["--method", "private", "--epsilon", 1], "needs --delta"),
        (["--method", "private", "--epsilon", -1, "--delta", 0.1], "epsilon must be"),
        (["--method", "private", "--epsilon", 1, "--delta", "1e-4", "--probability", 0.1], "--probability is for"),
        (["--method", "threshold", "--members", 16], "needs 64 rows"),
        (["--method", "threshold", "--out", "found.txt"], "ends in .csv"),
        (["--method", "vote"], "vote"),
        (["--method", "threshold", "--seeds", 1], "seeds"),
    ],
)
def test_what_is_refused(run: Run, train: Path, validation: Path, options: list[Any], words: str) -> None:
    done = run("audit", "membership", *data(train, validation), *options)
    assert done.code == 2
    assert words in " ".join(done.err.split())
    assert done.out == ""


def test_epsilon_is_audited_as_asked(run: Run, asked: dict[str, Any], tmp_path: Path) -> None:
    done = run("audit", "epsilon", "--out", tmp_path / "found.csv")
    assert done.code == 0, done.err
    assert asked == {"spend": dw.Budget("1", "1e-5"), "mechanism": dw.CappedLinks(2), "draws": 20_000}
    assert "not refuted" in (tmp_path / "found.csv").read_text(encoding="utf-8")
    options = ["--epsilon", 0.5, "--delta", "1e-6", "--mechanism", "subsampled", "--probability", "1/8"]
    done = run("audit", "epsilon", *options, "--draws", 3000, "--json")
    assert json.loads(done.out)["rows"][0]["verdict"] == "not refuted"
    assert asked == {"spend": dw.Budget("0.5", "1e-6"), "mechanism": dw.Subsampled("1/8"), "draws": 3000}


def test_a_broken_promise_is_an_error(run: Run, asked: dict[str, Any]) -> None:
    done = run("audit", "epsilon", "--delta", 0.1)
    assert done.code == 1
    assert "BROKEN" in done.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--draws", 10], "draws"),
        (["--epsilon", 0], "epsilon must be"),
        (["--delta", 0.5], "delta must be"),
        (["--mechanism", "subsampled", "--links", 3], "--links"),
        (["--probability", 0.1], "--probability is for"),
    ],
)
def test_wrong_questions_about_epsilon(run: Run, asked: dict[str, Any], options: list[Any], words: str) -> None:
    done = run("audit", "epsilon", *options)
    assert done.code == 2
    assert words in " ".join(done.err.split())
    assert asked == {}


@pytest.mark.slow
def test_epsilon_is_audited_in_earnest(run: Run) -> None:
    pytest.importorskip("opendp")
    done = run("audit", "epsilon", "--links", 1, "--draws", 1000, "--json")
    assert done.code == 0, done.err
    rows = json.loads(done.out)["rows"]
    assert rows[-1]["attack"] == "the law of the noise"
    assert all(row["lower bound"] <= row["claimed epsilon"] for row in rows[:-1])
