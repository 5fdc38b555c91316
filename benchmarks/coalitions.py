"""Every coalition of ten providers against the matrix products that their sums and scores come to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.measure import Finding, Pace, Section, interleave, say, timed
from benchmarks.workloads import overlapping
from dataworth import Points
from dataworth.valuation.coalitions import solve_game
from dataworth.valuation.games import RidgeAccuracy

__all__ = ["bare_products", "measure"]

_PROVIDERS = 10
_SECONDS = 30.0
_TEXT = f"""Exact Shapley values of {_PROVIDERS} providers with the default utility, `RidgeAccuracy`: all
{2**_PROVIDERS - 1:,} coalitions with rows, each a ridge classifier scored on every validation point. *Bare products*
are the float64 products that it comes to and nothing else: each provider's rows with themselves once, and the
validation points with the weights of every coalition, one coalition at a time and on one core as the job does. What
is left is standardising rows, adding matrices and one Cholesky solve a coalition."""


def measure(*, quick: bool) -> Section:
    n, m, d, n_classes = (10_000, 2_000, 128, 10) if quick else (50_000, 10_000, 512, 10)
    problem = overlapping(n, m, d, n_classes)
    say(f"  {problem.shape}")
    owner = np.arange(n) % _PROVIDERS
    players = [problem.train.take(owner == provider) for provider in range(_PROVIDERS)]
    names = tuple(f"provider {provider}" for provider in range(_PROVIDERS))

    def solve() -> None:
        game = RidgeAccuracy().game(players, problem.validation, range(n_classes))
        solve_game(game, names, exact=True, progress=False)

    rows = [player.x.astype(np.float64) for player in players]
    tasks = {
        "solve": timed(solve),
        "products": timed(lambda: bare_products(rows, problem.validation, n_classes)),
    }
    rounds = interleave(tasks, Pace(10 if quick else 120, 3, 5))
    goal = None if quick else _SECONDS
    note = f"core time {rounds.core_ratio('solve', 'products'):.2f} times"
    group = f"{problem.shape}, {n_classes} classes, {_PROVIDERS} providers"
    findings = [
        Finding.of("Exact values of all providers", rounds.of("solve"), unit="s", goal=goal, group=group),
        Finding.of("Bare products", rounds.of("products"), unit="s", group=group),
        Finding.of("Values over bare products", rounds.ratio("solve", "products"), group=group, note=note),
    ]
    return Section("coalitions", "Coalitions of providers", _TEXT, findings)


def bare_products(rows: list[NDArray[np.float64]], validation: Points, n_classes: int) -> None:
    """The products of sums over rows, and of scores of every coalition."""
    judges = validation.x.astype(np.float64)
    weights = np.ones((judges.shape[1], n_classes))
    for own in rows:
        own.T @ own
    with threadpool_limits(1, "blas"):
        for _ in range(2 ** len(rows) - 1):
            judges @ weights
