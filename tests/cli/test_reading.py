"""Folders of values that were worked out part by part, where commands take a file or a release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dataworth as dw
from tests.cli.conftest import Run


@pytest.fixture
def stored(run: Run, train: Path, validation: Path, tmp_path: Path) -> Path:
    out = tmp_path / "stored"
    options = ("--label", "y", "--id", "name", "--owner", "who", "--features", "a,b", "--method", "threshold")
    done = run("points", train, "--validation", validation, *options, "--radius", 0.5, "--memory", "1GiB", "--out", out)
    assert done.code == 0, done.err
    return out


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["report", "{stored}", "--out", "{new}.html"], "a report takes values in one file"),
        (["compare", "{stored}", "{other}"], "a comparison takes values in one file"),
        (["payout", "{stored}", "--total", "3"], "a payout divides by shares of providers"),
        (["deliver", "{stored}", "--out", "{new}"], "what is delivered is a private release"),
    ],
)
def test_a_folder_of_values_is_told_for_what_it_is(
    run: Run, stored: Path, tmp_path: Path, command: list[str], said: str
) -> None:
    places = {"stored": stored, "new": tmp_path / "new", "other": tmp_path / "other.parquet"}
    done = run(*(word.format(**places) for word in command))
    assert done.code == 2
    assert "is a folder of values that were worked out part by part" in done.err
    assert said in done.err
    assert ("dw.StoredValues.open(" in done.err) == ("one file" in said)
    assert not list(tmp_path.glob("new*"))


def test_what_is_advised_makes_a_file_that_is_taken(run: Run, stored: Path, tmp_path: Path) -> None:
    file: Any = dw.StoredValues.open(stored).load().save(tmp_path / "values.parquet")
    assert run("report", file, "--out", tmp_path / "page.html").code == 0


@pytest.mark.parametrize("command", [["deliver", "{}", 1, "--out", "new"], ["budget", "{}"]])
def test_a_ledger_that_is_not_there_is_made_by_a_command(run: Run, tmp_path: Path, command: list[Any]) -> None:
    done = run(*(str(word).format(tmp_path / "none.db") for word in command))
    assert done.code == 2
    assert "make it once with dataworth budget create" in done.err
    assert "Ledger.create" not in done.err
