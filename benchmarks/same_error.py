"""How many coalitions Data Shapley needs to the same error: our plans against pyDVL's samplers, on one game."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Finding, Section, say
from benchmarks.retraining import Peer, planes
from dataworth import DataShapley
from dataworth.valuation.retraining import solve_rows
from dataworth.valuation.retraining_methods import Sampling
from dataworth.valuation.row_games import RowGame

__all__ = ["Errors", "measure", "squared_error"]

_POINTS = 200
_TEXT = f"""Data Shapley of rows made up by the law of the data set 2dplanes, a tenth of the labels flipped, to
`LogisticRegression()` and its accuracy on {_POINTS} validation points: how far estimates are from the truth after so
many coalitions were judged. The truth is a long run of `DataShapley` with `sampling="antithetic"` and a seed of its
own; its variance, known from its standard errors, is taken off squared errors. *Error* is the root of the mean squared
error over rows; the median over seeds is shown, with the least and the greatest.

pyDVL's samplers and estimators are its own code in its own environment; the utilities they ask for are worked out by
ours (the same to 1e-6, see above), so that there is time for many seeds. *Truncated* is `TMCShapleyValuation` as it
comes (from four tenths of an order on, it stops within 1% of the full score); the coalitions that it does judge are
counted. *Stratified* is `StratifiedShapleyValuation`, *VRDS* its `VRDSSampler` with as many samples a row as the number
of coalitions allows. Ours is `DataShapley` with its three kinds of `sampling`; the first is what it does unless told
otherwise.

*Coalitions over ours* is how many times ours another needs for the same error: coalitions times mean squared error,
over the same of ours, seed by seed. For whatever has no bias, squared error falls as one over the number of coalitions,
so this product stays; *few over many* is the product at the lower number of coalitions over that at the higher, both
means over seeds. As a check that needs no such law: *ours with a third*, its error over that of pyDVL's permutations
with all of them."""


def measure(*, quick: bool) -> Section:
    if quick:
        findings = _game(50, pairs=200, budgets=(650, 1950), seeds=3, samplers=tuple(_THEIRS), goal=None)
    else:
        few = ("permutations", "antithetic", "truncated")
        findings = [
            *_game(100, pairs=3_000, budgets=(1_200, 3_600), seeds=12, samplers=tuple(_THEIRS), goal=3.0),
            *_game(500, pairs=700, budgets=(3_500, 10_500), seeds=10, samplers=few, goal=3.0),
        ]
    return Section("same-error", "Coalitions to the same error", _TEXT, findings)


_THEIRS = {
    "permutations": "pyDVL, permutations",
    "antithetic": "pyDVL, antithetic permutations",
    "truncated": "pyDVL, truncated permutations",
    "stratified": "pyDVL, stratified",
    "vrds": "pyDVL, VRDS",
}
_OURS: dict[Sampling, str] = {
    "stratified": "Ours, as it comes",
    "permutations": "Ours, permutations",
    "antithetic": "Ours, antithetic permutations",
}


@dataclass(frozen=True)
class Errors:
    """Mean squared errors of one kind of estimate with few coalitions and with many, seed by seed.

    Args:
        coalitions: How many were judged, ``(2, seeds)``.
        squared: The mean squared errors, the truth's variance taken off, ``(2, seeds)``.
    """

    coalitions: NDArray[np.float64]
    squared: NDArray[np.float64]

    @property
    def costs(self) -> NDArray[np.float64]:
        """Coalitions times mean squared error, ``(2, seeds)``."""
        return self.coalitions * self.squared

    @property
    def law(self) -> float:
        """The mean cost with few coalitions over that with many: 1 where squared error falls as it should."""
        few, many = self.costs.mean(axis=1)
        return float(few / many)

    def roots(self, which: int) -> list[float]:
        """Errors, with few coalitions (0) or with many (1)."""
        return [float(root) for root in np.sqrt(np.maximum(self.squared[which], 0.0))]


def squared_error(values: NDArray[np.float64], truth: NDArray[np.float64], errors: NDArray[np.float64]) -> float:
    """The mean squared error of values, freed of what the truth itself is off by."""
    return float(np.mean((values - truth) ** 2) - np.mean(errors**2))


def _game(
    n: int, *, pairs: int, budgets: tuple[int, int], seeds: int, samplers: Sequence[str], goal: float | None
) -> list[Finding]:
    from sklearn.linear_model import LogisticRegression

    problem = planes(n, _POINTS, flipped=0.1)
    model = LogisticRegression()
    game = RowGame.of(problem.train, problem.validation, model)
    say(f"  the truth of {n} rows")
    long = DataShapley(model, sampling="antithetic", fits=2 * n * pairs, seed=1_000_000)
    truth = solve_rows(game, long, workers=2, progress=False).estimate

    squared = {name: np.full((2, seeds), np.nan) for name in (*_OURS.values(), *_THEIRS.values())}
    judged = {name: np.full((2, seeds), np.nan) for name in squared}
    scores: list[float] = []
    with Peer(problem) as peer:
        for seed in range(seeds):
            say(f"  {n} rows, seed {seed}")
            for sampling, name in _OURS.items():
                for which, budget in enumerate(budgets):
                    method = DataShapley(model, sampling=sampling, fits=budget, seed=seed)
                    solved = solve_rows(game, method, progress=False)
                    squared[name][which, seed] = squared_error(solved.estimate.values, truth.values, truth.errors)
                    judged[name][which, seed] = solved.judged
                if sampling == "stratified":
                    off = (solved.estimate.values - truth.values) ** 2
                    scores.append(float(np.sqrt(np.mean(off / (solved.estimate.errors**2 + truth.errors**2)))))
            for sampler in samplers:
                asked = budgets[1:] if sampler == "vrds" else budgets  # which takes one row after another
                told = peer.ask("estimate", game, sampler=sampler, budgets=list(asked), seed=seed)
                for back, values in enumerate(reversed(told["values"]), start=1):
                    name = _THEIRS[sampler]
                    squared[name][-back, seed] = squared_error(np.array(values), truth.values, truth.errors)
                    judged[name][-back, seed] = told["evaluations"][-back]
    found = {name: Errors(judged[name], squared[name]) for name in squared if not np.isnan(squared[name][1]).any()}
    return _told(n, found, float(np.sqrt(np.mean(truth.errors**2))), pairs, scores, goal)


def _told(
    n: int, found: dict[str, Errors], error: float, pairs: int, scores: Sequence[float], goal: float | None
) -> list[Finding]:
    ours, base = found[_OURS["stratified"]], found[_THEIRS["permutations"]]
    seeds = base.squared.shape[1]
    group = f"{n} rows, {seeds} seeds; the truth of {pairs:,} pairs of orders is off by {error:.2g}"
    findings = [
        Finding.of(
            f"{name}: error", each.roots(1), unit="", group=group,
            note=f"{each.coalitions[1].mean():,.0f} coalitions" + _law(each),
        )
        for name, each in found.items()
    ]  # fmt: skip
    for name, each in found.items():
        if each is not ours:
            about = {"sign": ">=", "goal": goal} if each is base else {}
            ratio = [float(a / b) for a, b in zip(each.costs[1], ours.costs[1], strict=True)]
            note = f"ratio of means {each.costs[1].mean() / ours.costs[1].mean():.3g}"
            findings.append(Finding.of(f"{name}: coalitions over ours", ratio, group=group, note=note, **about))
    third = [a / b for a, b in zip(ours.roots(0), base.roots(1), strict=True)]
    note = f"{ours.coalitions[0].mean():,.0f} coalitions against {base.coalitions[1].mean():,.0f}"
    limit = {} if goal is None else {"goal": 1.0}
    findings += [
        Finding.of("Ours with a third over pyDVL, permutations: error", third, group=group, note=note, **limit),
        Finding.of("Ours: error over its own standard error", scores, unit="", group=group),
    ]
    return findings


def _law(errors: Errors) -> str:
    return "" if np.isnan(errors.squared[0]).any() else f"; few over many {errors.law:.2f}"
