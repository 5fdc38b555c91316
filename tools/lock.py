"""Resolve every dependency afresh in a throw-away environment and write constraints.txt.

Run by `make lock`. Takes the newest versions that pyproject.toml and constraints.in allow, torch included.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Exact versions of everything the Makefile installs. Made by `make lock`; do not edit.\n"


def main() -> None:
    """Install everything, list what came, write it down."""
    wanted = [line.split("#")[0].strip() for line in (ROOT / "constraints.in").read_text().splitlines()]
    alone = [line.removeprefix("--no-deps ") for line in wanted if line.startswith("--no-deps ")]
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        pip = [f"{folder}/bin/python", "-m", "pip"]
        limits = Path(folder) / "limits.txt"
        limits.write_text("\n".join(line for line in wanted if line and not line.startswith("--no-deps ")))

        def install(*what: str) -> None:
            subprocess.run([*pip, "install", "--constraint", str(limits), *what], check=True, cwd=ROOT)

        install("--upgrade", "pip>=25.1")
        install("--editable", ".[all]", "--group", "test", "--group", "lint")
        install("--no-deps", *alone)
        done = subprocess.run(
            [*pip, "freeze", "--all", "--exclude-editable"], check=True, capture_output=True, text=True
        )
    # A local version label such as +cpu names one build of a release; the release is what is pinned.
    pins = [re.sub(r"\+.*", "", line) for line in done.stdout.splitlines() if "==" in line]
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(sorted(pins, key=str.lower)) + "\n")
    print(f"{len(pins)} versions pinned", file=sys.stderr)


if __name__ == "__main__":
    main()
