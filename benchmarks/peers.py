"""End to end against what people run today, on the same arrays, taking turns in the same run."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import reference
from benchmarks.measure import Finding, Pace, Section, Task, interleave, say, timed
from benchmarks.workloads import Problem, overlapping, radius_for
from dataworth import KNNShapley, ThresholdKNNShapley, value_points
from dataworth.valuation.methods import PointMethod

__all__ = ["PYTHON", "measure"]

PYTHON = Path(__file__).resolve().parent.parent / ".peers" / "bin" / "python"
_K, _POINTS, _FEATURES, _SHARE = 5, 100, 10, 0.1
_TEXT = f"""Time of a peer over time of `value_points` with 2 threads, end to end from arrays in memory, imports not
counted. {_POINTS} validation points, {_FEATURES} features, two classes, K = {_K}, a radius that takes in a tenth of the
rows. *The loops* are the formulas as printed: for each validation point distances and a sort by NumPy, then a
Python loop over rows (one thread, as they are; cosine metric). *pyDVL* is `KNNShapleyValuation` of pyDVL 0.10 with 2
jobs, and with 1 as it is unless told otherwise, in its own environment (euclidean metric; its game divides by K, so
it meets `normalise="k"`). Where the peer is right (it is for at least K rows), values are compared: the greatest
difference of any row, over the greatest value."""


def measure(*, quick: bool) -> Section:
    findings: list[Finding] = []
    for n in (10_000,) if quick else (10_000, 100_000):
        problem = overlapping(n, _POINTS, _FEATURES)
        say(f"  {problem.shape}")
        findings += _race(problem, Pace(10 if quick else 60, 3, 7))
    return Section("peers", "Peers, end to end", _TEXT, findings)


def _race(problem: Problem, pace: Pace) -> list[Finding]:
    x, y, points, labels = problem.train.x, problem.train.y, problem.validation.x, problem.validation.y
    radius = radius_for(problem, _SHARE)
    soft, fixed = KNNShapley(k=_K), KNNShapley(k=_K, normalise="k", metric="euclidean")
    threshold = ThresholdKNNShapley(radius=radius)
    answers: dict[str, NDArray[np.float64]] = {}

    def ours(method: PointMethod, threads: int = 2) -> Task:
        return timed(lambda: _value(problem, method, threads=threads))

    def knn_loop() -> None:
        answers["knn"] = reference.knn(x, y, points, labels, _K, problem.n_classes)

    def tknn_loop() -> None:
        answers["tknn"] = reference.tknn(x, y, points, labels, radius, problem.n_classes)

    with PyDVL(problem, k=_K, jobs=2) as pydvl, PyDVL(problem, k=_K, jobs=1) as alone:
        rounds = interleave(
            {
                "KNN": ours(soft),
                "KNN 1": ours(soft, 1),
                "KNN loop": timed(knn_loop),
                "TKNN": ours(threshold),
                "TKNN 1": ours(threshold, 1),
                "TKNN loop": timed(tknn_loop),
                "KNN euclidean": ours(fixed),
                "pyDVL": pydvl.run,
                "pyDVL 1": alone.run,
            },
            pace,
        )
        answers["pydvl"] = pydvl.values()

    group = problem.shape
    found = [
        Finding.of("KNN loop over KNN", rounds.ratio("KNN loop", "KNN"), sign=">=", goal=100, group=group),
        Finding.of("KNN loop over KNN with 1 thread", rounds.ratio("KNN loop", "KNN 1"), group=group),
        Finding.of("pyDVL over KNN", rounds.ratio("pyDVL", "KNN euclidean"), sign=">=", goal=50, group=group),
        Finding.of("pyDVL with 1 job over KNN", rounds.ratio("pyDVL 1", "KNN euclidean"), group=group),
        Finding.of("TKNN loop over TKNN", rounds.ratio("TKNN loop", "TKNN"), sign=">=", goal=30, group=group),
        Finding.of("TKNN loop over TKNN with 1 thread", rounds.ratio("TKNN loop", "TKNN 1"), group=group),
    ]
    names = {"KNN": "KNN, value_points", "TKNN": "TKNN, value_points", "KNN loop": "KNN loop", "TKNN loop": "TKNN loop"}
    for task, what in (names | {"pyDVL": "pyDVL"}).items():
        found.append(Finding.of(what, rounds.of(task), unit="s", group=group))
    for what, method, key in (
        ("KNN loop", soft, "knn"),
        ("TKNN loop", threshold, "tknn"),
        ("pyDVL", fixed, "pydvl"),
    ):
        for dtype, goal in (("float32", 1e-4), ("float64", 1e-12)):
            gap = _gap(_value(problem, method, dtype=dtype), answers[key])
            found.append(Finding.of(f"Difference from {what}, {dtype}", [gap], unit="", goal=goal, group=group))
    return found


def _value(problem: Problem, method: PointMethod, **how: Any) -> NDArray[np.float64]:
    return value_points(problem.train, problem.validation, method=method, progress=False, **how).values


def _gap(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


class PyDVL:
    """A process of the peers' Python that waits for its turns."""

    def __init__(self, problem: Problem, *, k: int, jobs: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._answer = Path(self._folder.name) / "values.npy"
        arrays = Path(self._folder.name) / "problem.npz"
        np.savez(
            arrays,
            x=problem.train.x,
            y=problem.train.y,
            points=problem.validation.x,
            labels=problem.validation.y,
            k=np.int64(k),
            jobs=np.int64(jobs),
        )
        script = Path(__file__).with_name("pydvl_peer.py")
        self._process = subprocess.Popen(
            [PYTHON, script, arrays, self._answer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},  # joblib's workers inherit it
        )
        self._read()

    def run(self) -> float:
        """Seconds of one valuation, as the other process measured them."""
        if self._process.stdin is None:
            raise RuntimeError("the peer was started without a way to talk to it")
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        return float(self._read())

    def values(self) -> NDArray[np.float64]:
        return np.asarray(np.load(self._answer, allow_pickle=False), dtype=np.float64)

    def _read(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError("the pyDVL process ended without an answer; its error is above")
        return line

    def __enter__(self) -> PyDVL:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=60)
        self._folder.cleanup()
