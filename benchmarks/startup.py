"""How long one waits before anything happens: a whole process, from start to end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.measure import Finding, Pace, Section, interleave, timed

__all__ = ["measure"]

_TEXT = """Whole processes, start to end, files already in the page cache. A bare Python is shown beside, since it is
part of every figure."""


def measure(*, quick: bool) -> Section:
    python = sys.executable
    commands = {
        "python -c pass": [python, "-c", "pass"],
        "import dataworth": [python, "-c", "import dataworth"],
        "dataworth --help": [str(Path(python).with_name("dataworth")), "--help"],
    }
    goals = {"import dataworth": 0.3, "dataworth --help": 0.5}
    tasks = {name: timed(lambda line=line: _run(line)) for name, line in commands.items()}  # type: ignore[misc]
    rounds = interleave(tasks, Pace(5 if quick else 20, 7, 21))
    findings = [Finding.of(name, rounds.of(name), unit="s", goal=goals.get(name)) for name in commands]
    return Section("startup", "Start-up", _TEXT, findings)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
