"""Games that are solved by brute force, and shares made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import dataworth as dw
from dataworth.valuation.calibration import Calibration

PROMISE = dw.Guarantee(dw.Budget(4, "1e-5"), dw.Row(), "add_or_remove", joint=False)
INSECURE = dw.Guarantee(dw.Budget(4, "1e-5"), dw.Row(), "add_or_remove", private=False, joint=False)


def solved(
    worth: Callable[[NDArray[np.bool_]], float],
    count: int,
    *,
    repeats: int = 1,
    noise: float = 0.0,
    exact: bool = True,
    errors: Any = None,
    names: Sequence[str] | None = None,
) -> dw.Coalitions:
    """Every coalition of a game, and its Shapley values by going through all orders of players."""
    members = ((np.arange(2**count)[:, np.newaxis] >> np.arange(count)) & 1).astype(np.bool_)
    mean = np.array([worth(row) for row in members])
    rng = np.random.default_rng(0)
    utilities = mean[:, np.newaxis] + noise * rng.normal(size=(len(members), repeats))
    table = utilities.mean(axis=1)
    shapley = np.zeros(count)
    for order in permutations(range(count)):
        met = 0
        for player in order:
            shapley[player] += table[met | 1 << player] - table[met]
            met |= 1 << player
    spread = np.zeros(count) if noise == 0 else np.full(count, noise / np.sqrt(repeats))
    return dw.Coalitions(
        tuple(names or [f"clinic {i}" for i in range(count)]),
        members,
        utilities,
        floor=float(table[0]),
        full=float(table[-1]),
        alone=table[1 << np.arange(count)],
        values=shapley / factorial(count),
        errors=spread if errors is None else np.asarray(errors, dtype=np.float64),
        exact=exact,
        utility="by hand",
    )


def additive(gains: Sequence[float], **more: Any) -> dw.Coalitions:
    """A game in which every player brings the same to every coalition, from 0.1 on."""
    return solved(lambda row: 0.1 + float(np.asarray(gains) @ row), len(gains), **more)


def made(gains: Sequence[float] = (0.3, 0.2, 0.1), fidelity: Any = (0.5, 0.4, 0.3), **more: Any) -> dw.Shares:
    """Shares of an additive game, privately made unless told otherwise."""
    calibration = more.pop("calibration", Calibration())
    game = {key: more.pop(key) for key in ("repeats", "noise", "exact", "errors", "names") if key in more}
    more.setdefault("fidelity_errors", np.full(len(gains), 0.01))
    more.setdefault("spent", [PROMISE] * len(gains))
    shares: dw.Shares = calibration.apply(additive(gains, **game), fidelity, **more)
    return shares
