"""Values by retraining, killed at any moment: what follows is bit for bit what would have been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are counted in /proc")

CHILD = """
import sys
from pathlib import Path
import numpy as np
from sklearn.tree import DecisionTreeClassifier
import dataworth as dw
from dataworth.valuation import retraining

folder, workers, fits = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
retraining._SAVE_EVERY, retraining._ALONE = 0.02, 0.2

def rows(seed, n):
    random = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return dw.Points(random.normal(size=(n, 2)) + y[:, np.newaxis], y)

print("ready", flush=True)
method = dw.DataShapley(DecisionTreeClassifier(), fits=fits, seed=1)
values = dw.value_points(
    rows(1, 20), rows(2, 30), method=method, threads=workers, folder=folder / "kept", progress=False
)
(folder / "found").write_bytes(values.values.tobytes() + values.errors.tobytes())
"""


def start(folder: Path, workers: int, fits: int) -> subprocess.Popen[str]:
    """A run in a group of its own, up to the moment when it begins to work."""
    folder.mkdir(exist_ok=True)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(workers), str(fits)],
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def finish(folder: Path, workers: int, fits: int) -> bytes:
    """A run that nobody kills; the bytes of its values and errors."""
    child = start(folder, workers, fits)
    try:
        assert child.wait(timeout=600) == 0
    finally:
        end(child)
    return (folder / "found").read_bytes()


def end(child: subprocess.Popen[str]) -> bool:
    """Kill a run with all its workers; whether it was still at work."""
    working = child.poll() is None
    if alive(child.pid):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait(timeout=60)
    assert child.stdout is not None
    child.stdout.close()
    return working


def alive(group: int) -> list[int]:
    """The processes of a group that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text().rsplit(")", 1)[1].split()[:3]
        except OSError:  # it has just ended
            continue
        if int(its_group) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def killed_again_and_again(folder: Path, workers: int, fits: int, kills: int, longest: float) -> int:
    """Kill a run at random moments, each time going on from the last; how often it was at work."""
    delays = np.random.default_rng(workers).uniform(0, longest, kills)
    at_work = 0
    for delay in delays.tolist():
        child = start(folder, workers, fits)
        time.sleep(delay)
        at_work += end(child)
    return at_work


def test_a_run_killed_three_times_ends_with_the_same_bits(tmp_path: Path) -> None:
    fits = 64 * 40
    assert killed_again_and_again(tmp_path / "killed", 1, fits, 3, 0.5) == 3
    assert list((tmp_path / "killed" / "kept").glob("draws-*.npz"))
    assert finish(tmp_path / "killed", 1, fits) == finish(tmp_path / "whole", 1, fits)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "longest"), [(1, 1.0), (2, 4.0)])
def test_a_run_killed_twenty_times_ends_with_the_same_bits(tmp_path: Path, workers: int, longest: float) -> None:
    fits = 64 * 1_000
    whole = finish(tmp_path / "whole", 1, fits)
    assert killed_again_and_again(tmp_path / "killed", workers, fits, 20, longest) == 20
    assert finish(tmp_path / "killed", workers, fits) == whole


@pytest.mark.slow
def test_workers_of_a_run_that_was_killed_go_by_themselves(tmp_path: Path) -> None:
    child = start(tmp_path, 2, 64 * 100_000)
    try:
        deadline = time.monotonic() + 60
        while len(alive(child.pid)) < 4 and time.monotonic() < deadline:  # itself, two workers, what tracks them
            time.sleep(0.1)
        time.sleep(3)
        assert len(alive(child.pid)) >= 3
        child.kill()  # it alone
        child.wait()
        deadline = time.monotonic() + 20
        while alive(child.pid) and time.monotonic() < deadline:
            time.sleep(0.5)
        assert not alive(child.pid)
    finally:
        end(child)
