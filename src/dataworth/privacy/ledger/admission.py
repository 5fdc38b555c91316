"""Whether a charge fits, in whole numbers.

Under ``"basic"`` epsilons and deltas add up (Rogers et al. 2016, arXiv 1605.08294, for budgets chosen as one goes).
Under ``"zcdp"`` zero-concentrated privacy adds up (Bun and Steinke 2016, arXiv 1605.02065; Whitehouse et al. 2023,
arXiv 2203.05481, for budgets chosen as one goes): noisy counts of all rows cost their exact rho and no delta; any
other release costs rho = epsilon^2 / 2 and its delta. Half of the ledger's delta bounds the sum of deltas, the other
half turns rho back into epsilon.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from dataworth.errors import MethodError
from dataworth.privacy.accounting import LEAST_DELTA, epsilon_of_rho, satisfies, zcdp
from dataworth.privacy.kinds import Event
from dataworth.privacy.ledger.charges import Charge, Composition, Remaining
from dataworth.records.privacy import Budget, Relation, Unit

__all__ = ["Steps", "cap_of", "check_account", "cost_of", "fits", "remaining"]

_EPSILON_STEPS = 10**9
_RHO_STEPS = 2**40
_HOPELESS_RHO = 1000  # a mean loss of ten times the largest epsilon; tabulating it would fill the memory


@dataclass(frozen=True)
class Steps:
    """An amount in whole steps: loss (epsilon in 1e-9, or rho in 2^-40) and delta (in 1e-18)."""

    loss: int
    delta: int

    def __sub__(self, other: Steps) -> Steps:
        return Steps(self.loss - other.loss, self.delta - other.delta)


def cap_of(budget: Budget, composition: Composition) -> Steps:
    """What a ledger may give out, rounded down.

    Raises:
        MethodError: Too little for ``"zcdp"``.
    """
    epsilon, delta = budget.cap()
    if composition == "basic":
        return Steps(epsilon, delta)
    if delta // 2 < LEAST_DELTA * 10**18:
        raise MethodError(f"composition='zcdp' needs a delta of at least {2 * LEAST_DELTA}, not {budget.delta}")
    rho = _largest(lambda steps: _within(steps, budget))
    if rho == 0:
        raise MethodError(f"composition='zcdp' has no room in {budget}; use 'basic'")
    return Steps(rho, delta // 2)


def cost_of(
    epsilon: int, delta: int, events: Sequence[Event], unit: Unit, relation: Relation, composition: Composition
) -> Steps:
    """What a release costs, rounded up: always some loss, never less than nothing.

    Args:
        epsilon: Declared, in 1e-9, rounded up.
        delta: Declared, in 1e-18, rounded up.
        events: What the release consists of.
        unit: Whose presence is hidden.
        relation: Whether that unit is added or removed, or replaced.
        composition: The rule.

    Raises:
        MethodError: An amount that is not positive.
    """
    if epsilon <= 0 or delta <= 0:
        raise MethodError("a charge must be positive: a ledger gives nothing back")
    if composition == "basic":
        return Steps(epsilon, delta)
    rho = zcdp(events, unit=unit, relation=relation)
    if rho is not None:
        return Steps(max(1, math.ceil(rho * _RHO_STEPS)), 0)
    return Steps(math.ceil(Fraction(epsilon**2, 2 * _EPSILON_STEPS**2) * _RHO_STEPS), delta)


def fits(cost: Steps, left: Steps) -> bool:
    """Whether no part of a cost is above what is left."""
    return cost.loss <= left.loss and cost.delta <= left.delta


def remaining(left: Steps, composition: Composition) -> Remaining:
    """What is left, as people read it, rounded down."""
    delta = Decimal(left.delta).scaleb(-18)
    if composition == "basic":
        return Remaining(Decimal(left.loss).scaleb(-9), delta)
    # The largest e with e^2 / 2 within what is left of rho.
    epsilon = math.isqrt(left.loss * 2 * _EPSILON_STEPS**2 // _RHO_STEPS)
    return Remaining(Decimal(epsilon).scaleb(-9), delta, Fraction(left.loss, _RHO_STEPS))


def check_account(charge: Charge) -> None:
    """Refuse a charge whose events cost more than it declares, by the pessimistic account.

    Raises:
        MethodError: They do, or cannot be accounted.
        MissingExtra: dp-accounting is not installed.
    """
    if not _holds(charge):
        raise MethodError(
            f"the events of this release cost more than the {charge.spend} that it declares "
            f"({charge.unit}, {charge.relation}); nothing was spent"
        )


@lru_cache(maxsize=4096)
def _holds(charge: Charge) -> bool:
    """Takes up to seconds, so the answer is kept: a charge is nothing but its parts."""
    rho = zcdp(charge.events, unit=charge.unit, relation=charge.relation)
    if rho is not None and rho > _HOPELESS_RHO:
        return False
    return satisfies(charge.events, charge.spend, unit=charge.unit, relation=charge.relation)


def _within(rho: int, budget: Budget) -> bool:
    epsilon = epsilon_of_rho(Fraction(rho, _RHO_STEPS), budget.delta / 2)
    return Decimal(epsilon) <= budget.epsilon


def _largest(safe: Callable[[int], bool]) -> int:
    """The largest whole number up to which all are safe; 0 if not even one is."""
    low, high = 0, 1
    while safe(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if safe(middle) else (low, middle)
    return low
