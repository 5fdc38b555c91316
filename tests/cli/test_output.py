"""How tables look where people see them, and that what comes from a file cannot steer a terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import dataworth as dw
from dataworth.cli.output import show, write_text


def drawn(table: dw.Table, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    show([table])
    return capsys.readouterr().out


def test_a_pipe_gets_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    table = dw.Table("t", "A table", {"id": ["a"], "value": [0.5]})
    show([table, "a line"])
    assert capsys.readouterr().out == f"\n{table.to_text()}\na line\n"


def test_a_terminal_gets_a_drawn_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    table = dw.Table("t", "A table", {"id": ["[red]a[/red]"], "value": [0.5]}, note="Some [words].")
    out = drawn(table, monkeypatch, capsys)
    assert "───" in out
    assert "[red]a[/red]" in out  # an id is text, never markup
    assert "Some [words]." in out


def test_ids_cannot_steer_the_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    out = drawn(dw.Table("t", "A table", {"id": ["\x1b]0;owned\x07"], "value": [0.5]}), monkeypatch, capsys)
    assert "\x1b]" not in out
    assert "\N{REPLACEMENT CHARACTER}]0;owned" in out


def test_long_ids_are_folded_not_cut(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    out = drawn(dw.Table("t", "A table", {"id": ["x" * 200], "value": [0.5]}), monkeypatch, capsys)
    assert out.count("x") == 200


def test_a_very_wide_table_stays_readable(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    table = dw.Table("t", "A table", {f"a long column {j}": [j] for j in range(12)})
    assert drawn(table, monkeypatch, capsys) == f"\n{table.to_text()}\n"


def test_text_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "table.csv"
    write_text(target, "old")

    def stopped(source: Path, to: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_text(target, "new")
    assert target.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [target]
