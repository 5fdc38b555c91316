"""``dataworth budget``: a ledger made, shown and checked from the shell."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dataworth.privacy.kinds import CappedCounts
from dataworth.privacy.ledger import Charge, Ledger
from dataworth.records.privacy import Budget, Owner, Row
from tests.cli.conftest import Run

MAKE = ["--epsilon", "2", "--delta", "1e-6", "--population", "patients-2026"]


@pytest.fixture
def ledger(tmp_path: Path, run: Run) -> str:
    path = tmp_path / "ledger.db"
    assert run("budget", "create", path, *MAKE).code == 0
    return str(path)


def release(ledger: str) -> None:
    charge = Charge(Budget("0.5", "5e-7"), (CappedCounts(Fraction(40), links=4),), Row(), "add_or_remove")
    Ledger.open(ledger).commit(
        charge, noisy=np.zeros(2, dtype=np.int64), payload=b"s3cret", request_key="monday", digest="d"
    )


def test_a_ledger_is_made_as_asked(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    done = run(
        "budget", "create", path, *MAKE, "--max-rows", 5, "--relation", "replace", "--composition", "zcdp"
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    made = Ledger.open(path)
    assert (made.unit, made.relation, made.composition) == (Owner(5), "replace", "zcdp")
    assert (made.budget, made.population) == (Budget(2, "1e-6"), "patients-2026")
    assert made.head in done.out


def test_rows_are_hidden_unless_owners_are_asked_for(ledger: str) -> None:
    made = Ledger.open(ledger)
    assert (made.unit, made.relation, made.composition) == (Row(), "add_or_remove", "basic")


@pytest.mark.parametrize("words", [["budget"], ["budget", "show"]])
def test_a_ledger_is_shown(run: Run, ledger: str, words: list[str]) -> None:
    release(ledger)
    done = run(*words, ledger)
    assert (done.code, done.err) == (0, "")
    for part in ("patients-2026", "one row, added or removed", "epsilon = 1.5, delta = 5e-7", "monday", "noise 40"):
        assert part in done.out
    assert Ledger.open(ledger).head in done.out
    assert "s3cret" not in done.out
    assert "verified" not in done.out


def test_options_may_come_first(run: Run, ledger: str) -> None:
    assert "verified    all 0 releases" in run("budget", "--verify", ledger).out


@pytest.mark.parametrize("name", ["create", "show"])
def test_a_ledger_named_like_a_command(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("budget", "create", name, *MAKE).code == 0
    assert run("budget", "show", name).code == 0


def test_verify_says_so_when_all_is_well(run: Run, ledger: str) -> None:
    noted = Ledger.open(ledger).head
    release(ledger)
    for head in ([], ["--head", noted], ["--head", Ledger.open(ledger).head]):
        done = run("budget", ledger, "--verify", *head)
        assert done.code == 0
        assert "verified    all 1 releases are as they were written" in done.out


def test_verify_finds_an_edit(run: Run, ledger: str) -> None:
    release(ledger)
    with sqlite3.connect(ledger) as connection:
        connection.execute("UPDATE dataworth_outbox SET payload = X'00'")
    done = run("budget", ledger, "--verify")
    assert done.code == 2
    assert done.out == "- release 1: it does not match its own hash\n"
    assert done.err == "dataworth: 1 problem(s) found: this ledger is not as it was written\n"
    as_json = run("budget", ledger, "--verify", "--json")
    assert as_json.code == 2
    assert json.loads(as_json.out) == {
        "verified": False,
        "releases": 1,
        "problems": ["release 1: it does not match its own hash"],
    }


def test_verify_misses_a_noted_head(run: Run, ledger: str) -> None:
    done = run("budget", ledger, "--verify", "--head", "0" * 64)
    assert done.code == 2
    assert "older copy" in done.out


def test_a_head_without_verify_is_refused(run: Run, ledger: str) -> None:
    done = run("budget", ledger, "--head", "0" * 64)
    assert (done.code, done.err) == (2, "dataworth: --head is checked with --verify; give both\n")


def test_json(run: Run, ledger: str) -> None:
    release(ledger)
    answer = json.loads(run("budget", ledger, "--json", "--verify").out)
    (row,) = answer.pop("releases")
    assert answer == {
        "population": "patients-2026",
        "unit": "one row",
        "max_rows": 1,
        "relation": "add_or_remove",
        "composition": "basic",
        "epsilon": "2",
        "delta": "0.000001",
        "remaining": {"epsilon": "1.500000000", "delta": "0.000000500000000000", "rho": None},
        "head": Ledger.open(ledger).head,
        "verified": True,
    }
    assert (row["number"], row["epsilon"], row["delta"], row["request key"]) == (1, 0.5, 5e-7, "monday")


def test_json_of_a_new_zcdp_ledger(run: Run, tmp_path: Path) -> None:
    done = run("budget", "create", tmp_path / "l.db", *MAKE, "--composition", "zcdp", "--json")
    answer = json.loads(done.out)
    assert Fraction(answer["remaining"]["rho"]) > Fraction(1, 20)
    assert answer["releases"] == []


def test_a_ledger_is_never_overwritten(run: Run, ledger: str) -> None:
    release(ledger)
    done = run("budget", "create", ledger, *MAKE)
    assert done.code == 2
    assert "never overwritten" in done.err
    assert Ledger.open(ledger).verify().releases == 1


def test_showing_never_creates(run: Run, tmp_path: Path) -> None:
    done = run("budget", tmp_path / "nothing.db")
    assert done.code == 2
    assert done.err.startswith("dataworth: there is no ledger at")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "options",
    [
        ["--epsilon", "0"],
        ["--epsilon", "-1"],
        ["--epsilon", "nan"],
        ["--epsilon", "inf"],
        ["--epsilon", "1e9"],
        ["--epsilon", "two"],
        ["--delta", "0"],
        ["--delta", "1"],
        ["--population", ""],
        ["--max-rows", "0"],
        ["--max-rows", "five"],
        ["--relation", "swap"],
        ["--composition", "renyi"],
    ],
    ids=" ".join,
)
def test_wrong_options_make_nothing(run: Run, tmp_path: Path, options: list[str]) -> None:
    done = run("budget", "create", tmp_path / "ledger.db", *MAKE, *options)
    assert done.code == 2
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("missing", ["--epsilon", "--delta", "--population"])
def test_nothing_is_assumed(run: Run, tmp_path: Path, missing: str) -> None:
    at = MAKE.index(missing)
    done = run("budget", "create", tmp_path / "ledger.db", *MAKE[:at], *MAKE[at + 2 :])
    assert done.code == 2
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("words", [["budget"], ["budget", "create"], ["budget", "show"]])
def test_each_help_has_an_example(run: Run, words: list[str]) -> None:
    done = run(*words, "--help")
    assert done.code == 0
    assert "Example: dataworth budget" in " ".join(done.out.split())


def test_help_loads_nothing_heavy() -> None:
    script = """
import atexit, sys
from dataworth.cli import main
atexit.register(lambda: print({"numpy", "sqlalchemy", "scipy"} & set(sys.modules), file=sys.stderr))
main(["budget", "create", "--help"])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.splitlines()[-1] == "set()"
