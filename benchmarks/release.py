"""A private release against the exact run on the same data: what privacy costs in time."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from benchmarks.measure import Finding, Pace, Section, interleave, say, timed
from benchmarks.workloads import Problem, overlapping, radius_for
from dataworth import (
    Budget,
    CappedLinks,
    Ledger,
    Plan,
    Row,
    Subsampled,
    ThresholdKNNShapley,
    WeakDelta,
    plan_release,
    release_points,
    value_points,
)
from dataworth.valuation.methods import Mechanism

__all__ = ["measure"]

_GOAL = 1.3
_SPEND = Budget(epsilon=1, delta="1e-5")
_CAP = Budget(epsilon=100, delta="0.01")  # for more releases than there are rounds
_TEXT = """`release_points` end to end (exact random bits and noise, values, votes and bands of every row, the charge
to an SQLite ledger with its synchronous writes) over `value_points` on the same data. The plan, which holds the
accountant's work and uses public data only, is made beforehand, as `dataworth plan` does. Cosine metric, two classes,
2 threads. *Full data* counts every row; the cap is the one the rehearsal chooses, or none."""


def measure(*, quick: bool) -> Section:
    problem = overlapping(*((5_000, 200, 64) if quick else (50_000, 1_000, 512)))
    findings: list[Finding] = []
    for share in (0.1, 0.5):
        say(f"  {problem.shape}, {share:.0%} neighbours")
        findings += _workload(problem, share, Pace(10 if quick else 60, 3 if quick else 7, 21))
    return Section("release", "Private releases against exact values", _TEXT, findings)


def _workload(problem: Problem, share: float, pace: Pace) -> list[Finding]:
    method = ThresholdKNNShapley(radius=radius_for(problem, share))
    mechanisms: dict[str, Mechanism] = {
        "full data, cap chosen": CappedLinks(),
        "full data, no cap": CappedLinks(len(problem.validation)),
        "subsample, q = 0.01": Subsampled(Fraction(1, 100)),
    }
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", WeakDelta)
        tasks: dict[str, Callable[[], object]] = {
            "exact": lambda: value_points(problem.train, problem.validation, method=method, threads=2, progress=False)
        }
        for number, (name, mechanism) in enumerate(mechanisms.items()):
            plan = plan_release(problem.validation, method=method, spend=_SPEND, mechanism=mechanism, progress=False)
            ledger = Ledger.create(
                Path(folder) / f"{number}.db", budget=_CAP, unit=Row(), population=f"benchmark {number}"
            )
            tasks[name] = _release(problem, plan, ledger)
        rounds = interleave({name: timed(task) for name, task in tasks.items()}, pace)
    group = f"{problem.shape}, radius {method.radius:g}: about {share:.0%} of the pairs are links"
    found = [Finding.of("value_points", rounds.of("exact"), unit="s", group=group)]
    for name in mechanisms:
        note = f"core time {rounds.core_ratio(name, 'exact'):.2f} times"
        found.append(Finding.of(f"{name}, over exact", rounds.ratio(name, "exact"), goal=_GOAL, group=group, note=note))
    return found


def _release(problem: Problem, plan: Plan, ledger: Ledger) -> Callable[[], object]:
    def release() -> object:
        return release_points(
            problem.train, problem.validation, method=plan.method, spend=plan.spend, ledger=ledger, plan=plan,
            threads=2, progress=False,
        )  # fmt: skip

    return release
