"""How tables look where people see them, and that what comes from a file cannot steer a terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import dataworth as dw
from dataworth.cli.output import check_file, make_folder, show, write_text
from dataworth.errors import InputError


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


@pytest.mark.parametrize(
    ("cells", "shown"),
    [
        ([0.001, 0.000952], ["0.00100", "0.00095"]),
        ([0.5, 0.25], ["0.500", "0.250"]),
        ([0.0123, 0.0124], ["0.0123", "0.0124"]),
        ([-0.0181, 0.25, 0.0], ["-0.018", "0.250", "0.000"]),
        ([1 / 6, 1 / 6 + 1e-15], ["0.167", "0.167"]),  # as good as equal
        ([0.000952, 0.0001], ["9.52e-04", "1.00e-04"]),
        ([1e-5, 1.001e-5], ["1.000e-05", "1.001e-05"]),
        ([12345.678, 12345.679], ["12345.678", "12345.679"]),
        ([1234567.8, 0.5], ["1.23e+06", "0.500"]),
        ([0.0, 0.0], ["0.000", "0.000"]),
        ([0.0012, None, float("nan")], ["0.00120", "-", "-"]),
        ([0.0012, 3, True, "some"], ["0.001", "3", "yes", "some"]),  # facts of many kinds
    ],
)
def test_numbers_of_a_column_are_written_alike(
    cells: list[object], shown: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = dw.Table("t", "A table", {"value": cells})  # type: ignore[dict-item]
    show([table])
    assert capsys.readouterr().out.split()[-len(shown) :] == shown
    assert drawn(table, monkeypatch, capsys).split()[-len(shown) :] == shown


def test_a_folder_is_tried_by_writing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_file(tmp_path / "v.parquet", "--out", ".parquet")
    make_folder(tmp_path, "--work")
    assert list(tmp_path.iterdir()) == []

    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", full)
    with pytest.raises(InputError, match=r"for --out is not writable \(No space left on device\)"):
        check_file(tmp_path / "v.parquet", "--out", ".parquet")
    with pytest.raises(InputError, match=r"for --work is not writable \(No space"):
        make_folder(tmp_path, "--work")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder that says it can be written to")
def test_a_folder_where_nothing_can_be_made_is_refused() -> None:
    with pytest.raises(InputError, match="not writable"):
        check_file(Path("/proc/self/v.parquet"), "--out", ".parquet")


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
