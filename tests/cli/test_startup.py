"""The command answers at once because nothing heavy is loaded before it is needed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import dataworth

HEAVY = {
    "numba",
    "numpy",
    "scipy",
    "sklearn",
    "pandas",
    "polars",
    "pyarrow",
    "altair",
    "matplotlib",
    "torch",
    "PIL",
    "tqdm",
}

COMMANDS = (
    "points", "demo", "report", "reproduce", "synthesize", "providers", "answer", "payout", "partition",
    "train-generator", "compare",
)  # fmt: skip

AFTER = "import json, sys; print(json.dumps([m for m in sys.modules if '.' not in m]), file=sys.stderr)"


def loaded(script: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_importing_the_package_loads_nothing_heavy() -> None:
    modules = loaded(f"import dataworth; {AFTER}")
    assert "dataworth" in modules
    assert not modules & {*HEAVY, "typer", "rich"}


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    script = f"""
import atexit
from dataworth.cli import main
def tell():
    {AFTER}
atexit.register(tell)
main({[*command, "--help"]!r})
"""
    modules = loaded(script)
    assert "typer" in modules
    assert not modules & HEAVY


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dataworth.cli", "--version"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{dataworth.__version__}\n", "")
