"""Games told by a table of the utilities of all coalitions, and how a plan would play them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.kernels.coalitions import all_coalitions
from dataworth.kernels.sampling import Estimate, Orders, Plan
from dataworth.kernels.strata import Strata

KINDS = ("uniform", "additive", "majority")


def game(kind: str, n: int, seed: int) -> NDArray[np.float64]:
    """Utilities of all coalitions, ``(2 ** n,)``, by the number whose bits are the members.

    ``"uniform"``: chance alone. ``"additive"``: what members are worth, and a little chance. ``"majority"``: 1 where
    the members hold more than half of all votes, else 0.
    """
    random = np.random.default_rng([seed, KINDS.index(kind)])
    members = all_coalitions(n)
    match kind:
        case "uniform":
            return np.asarray(random.random(2**n))
        case "additive":
            return np.asarray(members @ random.uniform(0, 1 / n, n) + random.normal(0, 0.02, 2**n))
        case _:
            votes = random.integers(5, 11, n)
            return np.asarray(members @ votes > votes.sum() / 2, dtype=np.float64)


def coalitions(plan: Plan, number: int) -> list[NDArray[np.bool_]]:
    """Who is in each coalition of a draw; whoever joins must have been outside, and whoever leaves inside."""
    met = []
    for walk in plan.walks(number):
        members = np.zeros(plan.n, dtype=np.bool_)
        for joins, leaves in walk:
            for players, there in ((joins, False), (leaves, True)):
                assert players.dtype.kind == "i"
                assert np.unique(players).size == players.size
                assert (members[players] == there).all()
                members[players] = not there
            met.append(members.copy())
    return met


def masks(plan: Plan, number: int) -> NDArray[np.int64]:
    """The coalitions of a draw as numbers whose bits are the members; the quick way, where there is one."""
    if isinstance(plan, Strata):
        met = plan.members(number)
    elif isinstance(plan, Orders):
        return np.concatenate([np.cumsum(1 << np.concatenate([joins for joins, _ in w])) for w in plan.walks(number)])
    else:
        met = np.array(coalitions(plan, number))
    return np.asarray(met @ (1 << np.arange(plan.n)))


def played(plan: Plan, number: int, *tables: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """What the coalitions of a draw are worth in each of the games."""
    met = masks(plan, number)
    return [table[met] for table in tables]


def estimated(plan: Plan, table: NDArray[np.float64], draws: int) -> Estimate:
    """What a plan makes of its first draws."""
    found = [played(plan, number, table)[0] for number in range(draws)]
    return plan.estimate(found, float(table[0]), float(table[-1]))


def same(one: Estimate, other: Estimate) -> bool:
    """Whether two estimates agree to the last bit, NaN included."""
    return one.values.tobytes() == other.values.tobytes() and one.errors.tobytes() == other.errors.tobytes()


def distances(found: Estimate, exact: NDArray[Any]) -> NDArray[np.float64]:
    """How many standard errors each value is off; rounding does not count."""
    off = found.values - exact
    return np.where(np.abs(off) < 1e-12, 0.0, off / np.maximum(found.errors, 1e-300))
