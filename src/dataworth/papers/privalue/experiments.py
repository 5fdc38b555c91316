"""The published experiment, ours beside it: ten providers by Private Evolution, five by PrivImage, and a table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import numpy as np

from dataworth.errors import DataError, InputError, MissingExtra
from dataworth.models.cache import default_folder
from dataworth.papers.experiment import Experiment, Result, Setting
from dataworth.papers.privalue.federations import SPLITS, Pools, Split, deal, is_there, most_noise, open_pools
from dataworth.papers.privalue.simulated import FIDELITY_SHARE, Outcome, simulate
from dataworth.records import Budget, Exhibit, Points, Table
from dataworth.records.evidence import Cell
from dataworth.synthesis.candidates import EmbeddingCandidates
from dataworth.synthesis.private_evolution import PrivateEvolution
from dataworth.synthesis.protocol import Synthesizer
from dataworth.valuation.calibration import Calibration, learn_calibration
from dataworth.valuation.games import Game, Labels, RidgeAccuracy

__all__ = ["EXPERIMENTS", "TABLES", "Plan", "run_plan"]

SEEDS = 3
DELTA = "1e-5"
IMAGINED_ROWS = 2_000  # images of a copy by PrivImage, whatever its provider has
JUDGE = RidgeAccuracy(random_features=512)

PUBLISHED = {"evolution": (0.326, 0.067, 0.95), "privimage": (0.387, 0.142, 1.00)}
"""Relative error before and after calibration, and Spearman after it, at epsilon 4, on CIFAR-10."""

BY = {"evolution": "Private Evolution", "privimage": "PrivImage"}

WAYS = {
    "none": "none",
    "uniform": "uniform split",
    "own": ".4/.3/.3, own fidelity",
    "union": ".4/.3/.3, union fidelity",
    "scaled": ".4/.3/.3, union, learned scale",
    "scale": "learned scale alone",
    "learned": "learned weights and scale, union",
}

Maker = Callable[[Pools], Synthesizer]


@dataclass(frozen=True)
class Case:
    """One kind of federation.

    Args:
        dataset: Its name.
        providers: How many.
        by: ``"evolution"`` or ``"privimage"``.
        maker: The synthesizer, given what is public.
        rows: How many rows are dealt out; None deals all.
        pixels: Whether rows are pixels.
        mocks: Federations of public rows that scale and weights are learned from.
        most_seeds: Not more seeds than this, where copies take minutes each.
    """

    dataset: str
    providers: int
    by: str
    maker: Maker
    rows: int | None = None
    pixels: bool = False
    mocks: int = 3
    most_seeds: int | None = None


def _evolution(pools: Pools) -> Synthesizer:
    # Votes taken off cost a provider its false labels first, so fewer are taken off than by default.
    return PrivateEvolution(EmbeddingCandidates(pools.public.x), threshold=1.0)


def _privimage(pools: Pools) -> Synthesizer:
    from dataworth.synthesis.privimage import PrivImage

    if pools.image_shape is None:
        raise InputError("PrivImage makes images; these rows are none")
    return PrivImage.small(pools.public.x, pools.image_shape, size=IMAGINED_ROWS, cache=default_folder() / "privimage")


EVOLVED = (Case("mnist", 10, "evolution", _evolution), Case("cifar10", 10, "evolution", _evolution))
IMAGINED = Case("mnist", 5, "privimage", _privimage, rows=25_000, pixels=True, mocks=1)
TABLES = (Case("pol", 5, "evolution", _evolution),)


@dataclass(frozen=True)
class Plan:
    """What an experiment tries.

    Args:
        cases: Which federations.
        splits: How rows are dealt out.
        epsilons: What each provider spends.
        seeds: How many seeds if it is not said.
    """

    cases: tuple[Case, ...]
    splits: tuple[Split, ...]
    epsilons: tuple[str, ...]
    seeds: int = SEEDS


def run_plan(plan: Plan) -> Callable[[Experiment, Setting], list[Result]]:
    """An experiment that tries what a plan says."""

    def measure(experiment: Experiment, setting: Setting) -> list[Result]:
        return _measure(plan, experiment, setting)

    return measure


def _measure(plan: Plan, experiment: Experiment, setting: Setting) -> list[Result]:
    began = time.perf_counter()
    cases, absent = _cases(plan, setting)
    work = (setting.work or default_folder()) / "privalue"
    rows: list[dict[str, Cell]] = []
    pictures: list[Result] = []
    seeds = range(setting.seeds or plan.seeds)
    for case in setting.bar(cases, "federations"):
        try:
            found, drawn = _tried(plan, case, experiment, setting, seeds[: case.most_seeds], work)
        except MissingExtra as missing:
            if setting.datasets is not None:
                raise
            absent.append(f"{case.dataset} by {BY[case.by]} ({missing})")
            continue
        rows += found
        pictures += drawn
    if not rows:
        raise DataError(
            f"{str(setting.data)!r} has none of the data sets that {experiment.name} uses, or what they need is not "
            f"installed: {'; '.join(absent)}"
        )
    note = [
        "Relative error: mean over providers of |value - real value| / |real value|; total error: the sum of errors "
        "over the sum of real values. Real values are those of the game of the real rows, which no coordinator sees: "
        "the data here are public. 'none' are the values of the game of the copies; the uniform split divides the gain "
        "of the copies in equal parts. Published: CIFAR-10, epsilon 4, classifier and split of the budget unknown. "
        f"Fidelity costs {FIDELITY_SHARE} of epsilon, the copy the rest. Scale and weights are learned from pretended "
        "federations of public rows. Where providers are alike (iid), ranks mean nothing.",
        "Seeds count from 0: means over seeds and, beside relative errors, standard deviations.",
    ]
    if absent:
        note.append(f"Left out: {'; '.join(absent)}.")
    note.append(f"Run time {time.perf_counter() - began:.0f} s.")
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    return [Table(experiment.name, experiment.title, columns, " ".join(note)), *pictures]


def _tried(
    plan: Plan, case: Case, experiment: Experiment, setting: Setting, seeds: range, work: Path
) -> tuple[list[dict[str, Cell]], list[Result]]:
    """Rows and pictures of one kind of federation, at every budget and split."""
    pools = open_pools(case.dataset, setting.data, pixels=case.pixels, progress=setting.progress)
    synthesizer = case.maker(pools)
    rows: list[dict[str, Cell]] = []
    pictures: list[Result] = []
    for epsilon in plan.epsilons:
        learned = _learned(case, pools, synthesizer, epsilon, work, setting)
        for split in plan.splits:
            outcomes = [
                simulate(
                    deal(pools, split, case.providers, seed, rows=case.rows),
                    synthesizer,
                    Budget(epsilon, DELTA),
                    _calibrations(case, learned),
                    JUDGE,
                    folder=work,
                    progress=setting.progress,
                )
                for seed in seeds
            ]
            rows += _rows(case, split, epsilon, outcomes)
            if split == "uneven":
                pictures.append(_picture(experiment, case, epsilon, outcomes[0]))
    return rows, pictures


def _cases(plan: Plan, setting: Setting) -> tuple[list[Case], list[str]]:
    if setting.protocol != "published":
        raise InputError(f"PriValue's experiments have one protocol only, 'published', not {setting.protocol!r}")
    known = list(dict.fromkeys(case.dataset for case in plan.cases))
    wanted = known if setting.datasets is None else setting.datasets
    wrong = [name for name in wanted if name not in known]
    if wrong:
        raise InputError(f"this experiment has no data set {', '.join(wrong)}; it has {', '.join(known)}")
    missing = [name for name in wanted if not is_there(name, setting.data)]
    if missing and setting.datasets is not None:
        raise DataError(f"{', '.join(missing)} is not in the data folder {str(setting.data)!r}")
    there = [case for case in plan.cases if case.dataset in wanted and case.dataset not in missing]
    return there, [f"{name} (not in the data folder)" for name in missing]


def _learned(
    case: Case, pools: Pools, synthesizer: Synthesizer, epsilon: str, work: Path, setting: Setting
) -> Calibration:
    """Weights and scale from public rows."""
    rows = len(pools.private) if case.rows is None else case.rows
    return learn_calibration(
        pools.public,
        pools.test,
        synthesizer=synthesizer,
        sizes=[int(size) for size in np.linspace(0.4, 1.6, case.providers) * rows / case.providers],
        spend=Budget(Decimal(epsilon) * (1 - FIDELITY_SHARE), DELTA),
        utility=_Seen(pools) if case.pixels else JUDGE,
        mocks=case.mocks,
        label_noise=(0.0, most_noise(pools)),
        fidelity_epsilon=Decimal(epsilon) * FIDELITY_SHARE,
        model=JUDGE,
        fixed_weights=case.pixels,  # one federation is enough for a scale, not for weights
        folder=work / "mocks",
        progress=setting.progress,
    )


@dataclass(frozen=True)
class _Seen:
    """The judge, of rows as coalitions are judged by."""

    pools: Pools

    def game(self, players: Sequence[Points | None], validation: Points, classes: Labels | None = None) -> Game:
        seen = [None if player is None else self.pools.seen(player) for player in players]
        return JUDGE.game(seen, self.pools.seen(validation), classes)


def _calibrations(case: Case, learned: Calibration) -> dict[str, Calibration]:
    found = {
        "union": Calibration(),
        "scaled": Calibration(scale=learned.scale),
        "scale": Calibration(1, 0, 0, scale=learned.scale),
    }
    return found if case.pixels else found | {"learned": learned}


# -- tables and pictures ---------------------------------------------------------------------------


def _rows(case: Case, split: Split, epsilon: str, outcomes: Sequence[Outcome]) -> Iterator[dict[str, Cell]]:
    for way in outcomes[0].ways:
        found = [outcome.ways[way] for outcome in outcomes]
        before, after, rank = PUBLISHED[case.by]
        is_published = case.dataset == "cifar10" or case.by == "privimage"
        shown = is_published and epsilon == "4" and way in ("none", "union")
        yield {
            "data": case.dataset,
            "providers": case.providers,
            "copies by": BY[case.by],
            "split": split,
            "epsilon": float(epsilon),
            "seeds": len(outcomes),
            "calibration": WAYS[way],
            "relative error": _mean([one.relative for one in found]),
            "sd": float(np.std([one.relative for one in found], ddof=1)) if len(found) > 1 else None,
            "total error": _mean([one.total for one in found]),
            "Spearman": _mean([one.spearman for one in found]),
            "Kendall": _mean([one.kendall for one in found]),
            "p (median)": _median([one.p for one in found]),
            "published error": (before if way == "none" else after) if shown else None,
            "published Spearman": rank if shown and way == "union" else None,
            "accuracy real": _mean([outcome.real_accuracy for outcome in outcomes]),
            "accuracy copies": _mean([outcome.copied_accuracy for outcome in outcomes]),
        }


def _picture(experiment: Experiment, case: Case, epsilon: str, outcome: Outcome) -> Exhibit:
    ways = [way for way in ("none", "union", "scale", "learned") if way in outcome.ways]
    table = Table(
        f"{experiment.name}-{case.dataset}-{case.by}-{epsilon}",
        f"Values of {case.providers} uneven providers: {case.dataset}, epsilon {epsilon}",
        {
            "real value": [value for _ in ways for value in outcome.real],
            "value": [value for way in ways for value in outcome.ways[way].values],
            "calibration": [WAYS[way] for way in ways for _ in outcome.real],
        },
        note="Seed 0. A provider is a point of each colour; on the diagonal a value would be the real one.",
    )
    return Exhibit(
        table.name, "points", table, x="real value", y="value", series="calibration",
        alt=f"Values from copies against real values of {case.providers} providers of {case.dataset}.",
        caption=table.note,
    )  # fmt: skip


def _mean(found: Sequence[float | None]) -> float | None:
    there = [one for one in found if one is not None]
    return float(np.mean(there)) if there else None


def _median(found: Sequence[float | None]) -> float | None:
    there = [one for one in found if one is not None]
    return float(np.median(there)) if there else None


_ALL = (*EVOLVED, replace(IMAGINED, most_seeds=1), *TABLES)

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            "privalue",
            "PriValue, small: providers valued on private copies at epsilon 4",
            run_plan(Plan(_ALL, ("iid", "uneven"), ("4",))),
        ),
        Experiment(
            "privalue-evolution",
            "PriValue: ten providers by Private Evolution",
            run_plan(Plan(EVOLVED, SPLITS, ("1", "4", "10"))),
        ),
        Experiment(
            "privalue-privimage",
            "PriValue: five providers by PrivImage",
            run_plan(Plan((IMAGINED,), ("iid", "uneven"), ("1", "4", "10"))),
        ),
        Experiment(
            "privalue-table",
            "PriValue: five providers of a table by Private Evolution",
            run_plan(Plan(TABLES, SPLITS, ("1", "4", "10"))),
        ),
    )
}
"""Every experiment by its name."""
