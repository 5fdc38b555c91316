"""Who is in the data? The membership attacks of the Threshold KNN-Shapley paper (Wang et al., NeurIPS 2023), again.

Tables 1, 4, 5 and 6 print one run each, which strays by .03 and more; here is the mean of several runs with its
interval, and beside it the same attack among non-members, which must find nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeAlias

import numpy as np

from dataworth.errors import InputError
from dataworth.papers import published
from dataworth.papers.datasets import Dataset
from dataworth.papers.experiment import Experiment, Result, Setting, Shelf
from dataworth.papers.protocols import prepare
from dataworth.privacy.audit import Interval, mean_interval
from dataworth.records.evidence import Cell
from dataworth.records.privacy import Budget
from dataworth.valuation.audits.membership import DATA_SETS, Attack, Found, attack_knn, attack_threshold
from dataworth.valuation.methods import CappedLinks, KNNShapley, Mechanism, Subsampled, ThresholdKNNShapley
from dataworth.valuation.planning import Plan, plan_release

__all__ = ["EXPERIMENTS"]

RUNS = 10
MEMBERS = 200
SHADOWS = 32
DELTA = "1e-4"
RELEASES: dict[str, Mechanism] = {"subsampled": Subsampled(Fraction(1, 100)), "capped": CappedLinks()}

Cells: TypeAlias = dict[str, Cell]
Runs: TypeAlias = dict[str, dict[float, list[Found]]]
"""By attack, then by K or tau: one finding a run."""


def _by_k(experiment: Experiment, setting: Setting) -> list[Result]:
    methods = {float(k): KNNShapley(k=k) for k in published.KS_ATTACKED}

    def attack(run: _Run, found: Runs) -> None:
        for k, finding in zip(methods, attack_knn(run.attack, list(methods.values())), strict=True):
            found["KNN"][k].append(finding)

    note = "Values of the soft game, which divides a coalition's votes by min(K, |S|)."
    return _tables(experiment, setting, "K", published.K_MEMBERSHIP, published.KS_ATTACKED, attack, note)


def _by_tau(experiment: Experiment, setting: Setting) -> list[Result]:
    def attack(run: _Run, found: Runs) -> None:
        for tau in published.TAUS:
            found["TKNN"][tau].append(attack_threshold(run.attack, _method(tau)))

    note = "Exact Threshold-KNN values."
    return _tables(experiment, setting, "tau", published.TAU_MEMBERSHIP, published.TAUS, attack, note)


def _private(epsilon: str) -> Callable[[Experiment, Setting], list[Result]]:
    def measure(experiment: Experiment, setting: Setting) -> list[Result]:
        def attack(run: _Run, found: Runs) -> None:
            for name, mechanism in RELEASES.items():
                plan = run.plan(mechanism, Budget(epsilon, DELTA))
                for tau in published.TAUS:
                    found[name][tau].append(attack_threshold(run.attack, _method(tau), plan, seed=run.seed))

        note = (
            f"NOT PRIVATE: seeded noise, on public data. Epsilon = {epsilon}, delta = {DELTA} for a row added or "
            "removed; shadows are noised too. Subsampled is the published mechanism with two counts in place of three, "
            "a hundredth of the rows at each point; capped is ours, its cap chosen on the validation rows at tau = 0.5 "
            "of the first seed. All 400 targets of a run see the same noise, so runs stray more than exact ones."
        )
        printed = published.PRIVATE_MEMBERSHIP[epsilon]
        return _tables(experiment, setting, "tau", printed, published.TAUS, attack, note)

    return measure


def _method(tau: float) -> ThresholdKNNShapley:
    return ThresholdKNNShapley(radius=round(1 - tau, 10))


# -- what they share -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Run:
    """One seed: rows dealt out, and the plans of private releases, which are the same for every seed."""

    seed: int
    attack: Attack
    plans: dict[tuple[Mechanism, Budget], Plan]

    def plan(self, mechanism: Mechanism, spend: Budget) -> Plan:
        """Noise and cap of a release."""
        key = mechanism, spend
        if key not in self.plans:
            self.plans[key] = plan_release(
                self.attack.task.validation, method=_method(0.5), spend=spend, mechanism=mechanism,
                expected_rows=self.attack.members, progress=False,
            )  # fmt: skip
        return self.plans[key]


def _tables(
    experiment: Experiment,
    setting: Setting,
    by: str,
    printed: Mapping[str, Sequence[float]],
    at: Sequence[float],
    attack: Callable[[_Run, Runs], None],
    note: str,
) -> list[Result]:
    if setting.seeds == 1:
        raise InputError("one seed has no interval; attacks need at least 2 seeds, by default they run 10")
    several = replace(setting, seeds=setting.seeds or RUNS)
    shelf = Shelf(several, "table")
    rows: list[Cells] = []
    summary: list[Cells] = []
    for dataset in shelf:
        name = dataset.source.name
        found: Runs = defaultdict(lambda: defaultdict(list))
        for run in _runs(dataset, several):
            attack(run, found)
        for key, number in zip(at, printed[name], strict=True):
            row: Cells = {"data set": name, by: key, "published": number}
            for attacked, findings in found.items():
                row |= _beside(attacked, findings[float(key)])
            rows.append(row)
        line: Cells = {"data set": name, "published": float(np.mean(printed[name]))}
        for attacked, findings in found.items():
            line |= _beside(attacked, _means(findings))
        summary.append(line)
    words = [
        f"AUROC of telling {MEMBERS} members from as many others by the value of a copy (Algorithm 1): {SHADOWS} "
        f"shadow sets of {MEMBERS} rows from a pool of {2 * MEMBERS}. {note} Published is one run; ours the mean over "
        "the seeds with its 95% interval; null is the same between non-members, one half but for chance. No row of "
        "the file is dealt twice: a copy of a member among the others would belong to both."
    ]
    about = [f"Means over all {by}, run by run, and of the published row. {note}"]
    return [
        shelf.table(replace(experiment, title=f"{experiment.title}: means"), summary, about, "-summary"),
        shelf.table(experiment, rows, words),
    ]


def _runs(dataset: Dataset, setting: Setting) -> Iterator[_Run]:
    """Rows prepared clean and dealt out, for every seed."""
    plans: dict[tuple[Mechanism, Budget], Plan] = {}
    for seed in setting.bar(setting.all_seeds, dataset.source.name):
        prepared = prepare(dataset, "clean", protocol=setting.protocol, seed=seed)
        _, first = np.unique(prepared.train_rows, return_index=True)
        rows = prepared.train.take(np.sort(first))
        members = min(MEMBERS, len(rows) // DATA_SETS)
        drawn = Attack.draw(rows, prepared.validation, members=members, shadows=SHADOWS, seed=seed)
        yield _Run(seed, drawn, plans)


def _beside(name: str, findings: Sequence[Found]) -> Cells:
    """Columns: the attack's mean and interval, and the null's mean."""
    ours: Interval = mean_interval([finding.auroc for finding in findings])
    null = mean_interval([finding.null for finding in findings])
    return {
        name: ours.mean,
        f"{name} from": ours.low,
        f"{name} to": ours.high,
        f"{name} null": null.mean,
        f"{name} null from": null.low,
        f"{name} null to": null.high,
    }


def _means(findings: Mapping[float, Sequence[Found]]) -> list[Found]:
    """One finding a run: its mean over K or tau."""
    return [
        Found(float(np.mean([one.auroc for one in run])), float(np.mean([one.null for one in run])))
        for run in zip(*findings.values(), strict=True)
    ]


EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Experiment("tknn-table1", "Table 1: who is in the data, by KNN values", _by_k),
        Experiment("tknn-table4", "Table 4: who is in the data, by Threshold-KNN values", _by_tau),
        Experiment("tknn-table5", "Table 5: who is in the data, by private values, epsilon = 0.5", _private("0.5")),
        Experiment("tknn-table6", "Table 6: who is in the data, by private values, epsilon = 1", _private("1")),
    )
}
"""Every experiment by its name."""
