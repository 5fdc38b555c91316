"""``dataworth payout`` and ``dataworth report`` of shares."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.made_shares import made


@pytest.fixture
def shares(tmp_path: Path) -> Path:
    return made((0.3, 0.2, -0.1), (0.5, 0.4, 0.3)).save(tmp_path / "shares.parquet")


def test_amounts_on_screen_and_on_disk(run: Run, shares: Path, tmp_path: Path) -> None:
    done = run("payout", shares, "--total", "100000", "--out", tmp_path / "payout.csv")
    assert (done.code, done.err) == (0, "")
    assert "100000.00 divided among 3 providers" in done.out
    assert "Shares are never exact" in done.out
    rows = list(csv.DictReader((tmp_path / "payout.csv").open(encoding="utf-8")))
    assert [row["provider"] for row in rows] == ["clinic 0", "clinic 1", "clinic 2"]
    assert sum(Decimal(row["amount"]) for row in rows) == 100000


def test_as_json(run: Run, shares: Path) -> None:
    done = run("payout", shares, "--total", "7", "--digits", "0", "--noisy", "shrink", "--json")
    found = json.loads(done.out)
    assert found["total"] == "7"
    assert sum(int(entry["amount"]) for entry in found["payouts"]) == 7
    assert "reliability" in found["rule"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--total", "0"], "above zero"), (["--total", "ten"], "decimal number"),
        (["--total", "1.005"], "more decimals"), (["--total", "5", "--out", "x.txt"], ".csv"),
    ],
)  # fmt: skip
def test_wrong_questions(run: Run, shares: Path, options: list[str], said: str) -> None:
    done = run("payout", shares, *options)
    assert done.code == 2
    assert said in done.err


def test_a_file_that_holds_no_shares(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("text")
    done = run("payout", tmp_path / "x.parquet", "--total", "5")
    assert done.code == 2
    assert "cannot be read as Parquet" in done.err


def test_a_page_of_saved_shares(run: Run, shares: Path, tmp_path: Path) -> None:
    done = run("report", shares, "--out", tmp_path / "x.html")
    assert (done.code, done.err) == (0, "")
    assert "What each data provider is worth" in (tmp_path / "x.html").read_text(encoding="utf-8")
