"""What went wrong decides the exit code, and the message is one line for people."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest

from dataworth import Values
from tests.cli.conftest import Run


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the loading of values fail with a given error."""

    def fail_with(error: BaseException) -> None:
        def load(path: object) -> NoReturn:
            raise error

        monkeypatch.setattr(Values, "load", load)

    return fail_with


COMMANDS = (
    "demo", "points", "generated", "synthesize", "providers", "answer", "payout", "partition", "train-generator",
    "report", "reproduce",
)  # fmt: skip


def test_help_lists_the_commands(run: Run) -> None:
    done = run("--help")
    assert done.code == 0
    for command in COMMANDS:
        assert command in done.out


@pytest.mark.parametrize("command", COMMANDS)
def test_each_help_has_an_example(run: Run, command: str) -> None:
    done = run(command, "--help")
    assert done.code == 0
    assert f"Example: dataworth {command}" in " ".join(done.out.split())


@pytest.mark.parametrize(
    "arguments", [["nothing-like-this"], ["points"], ["report", "--frobnicate"], ["points", "t", "--method", "magic"]]
)
def test_wrong_usage_is_2(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert "Usage" in done.err


def test_an_input_error_is_2_with_one_line(run: Run, tmp_path: Path) -> None:
    done = run("report", tmp_path / "nothing.parquet", "--out", tmp_path / "page.html")
    assert done.code == 2
    assert done.err == f"dataworth: there is no file {str(tmp_path / 'nothing.parquet')!r}\n"


def test_our_own_fault_is_1_and_says_so(run: Run, broken: Any, tmp_path: Path) -> None:
    broken(RuntimeError("boom"))
    done = run("report", "v.parquet", "--out", tmp_path / "page.html")
    assert done.code == 1
    assert done.err.startswith("dataworth: this is our fault, not yours: RuntimeError. Run")
    assert "boom" not in done.err  # a message may quote a row
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("by", ["option", "environment"])
def test_debug_shows_where(run: Run, broken: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    broken(RuntimeError("boom"))
    if by == "environment":
        monkeypatch.setenv("DATAWORTH_DEBUG", "1")
    done = run(*(["--debug"] if by == "option" else []), "report", "v.parquet", "--out", tmp_path / "page.html")
    assert done.code == 1
    assert "Traceback" in done.err
    assert "in load" in done.err
    assert "RuntimeError: boom" in done.err


def test_debug_does_not_outlive_the_run(run: Run, broken: Any, tmp_path: Path) -> None:
    broken(RuntimeError("boom"))
    run("--debug", "report", "v.parquet", "--out", tmp_path / "page.html")
    assert "Traceback" not in run("report", "v.parquet", "--out", tmp_path / "page.html").err


def test_a_full_disk_is_1_without_blame(run: Run, broken: Any, tmp_path: Path) -> None:
    broken(OSError(errno.ENOSPC, "No space left on device"))
    done = run("report", "v.parquet", "--out", tmp_path / "page.html")
    assert done.code == 1
    assert done.err == "dataworth: the system refused: [Errno 28] No space left on device\n"


def test_ctrl_c_is_130(run: Run, broken: Any, tmp_path: Path) -> None:
    broken(KeyboardInterrupt())
    done = run("report", "v.parquet", "--out", tmp_path / "page.html")
    assert (done.code, done.out) == (130, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_ctrl_c_leaves_no_half_written_file(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    running = subprocess.Popen(
        [sys.executable, "-m", "dataworth.cli", "demo", "--out", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 30
    while not folder.is_dir() and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)  # the folder is made first; seconds of work follow
    running.communicate(timeout=60)
    assert running.returncode == 130
    assert list(folder.iterdir()) == []
