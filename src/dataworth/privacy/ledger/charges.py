"""What goes into a ledger and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import MethodError
from dataworth.privacy.kinds import Event
from dataworth.records.privacy import Budget, Owner, Relation, Row, Unit, check_relation, in_words

__all__ = ["Charge", "Composition", "Preview", "Remaining", "Stored", "Verification", "check_composition"]

Composition: TypeAlias = Literal["basic", "zcdp"]


@dataclass(frozen=True)
class Charge:
    """What one release is to cost, and why.

    Args:
        spend: The epsilon and delta declared; the events must stay within them.
        events: What the release consists of, noise scales included.
        unit: Whose presence is hidden.
        relation: ``"add_or_remove"`` or ``"replace"``.

    Raises:
        MethodError: No events, something that is none, or an unknown unit or relation.

    Example:
        >>> from fractions import Fraction
        >>> from dataworth.privacy.kinds import CappedCounts
        >>> from dataworth.privacy.ledger import Charge
        >>> from dataworth.records import Budget, Row
        >>> charge = Charge(Budget(0.1, 5e-7), (CappedCounts(Fraction(45), links=1),), Row(), "add_or_remove")
        >>> print(charge.spend)
        epsilon = 0.1, delta = 5e-7
    """

    spend: Budget
    events: tuple[Event, ...]
    unit: Unit
    relation: Relation

    def __post_init__(self) -> None:
        if not isinstance(self.spend, Budget):
            raise MethodError(f"spend must be a Budget, not {type(self.spend).__name__}")
        if not isinstance(self.events, tuple) or not self.events:
            raise MethodError("events must be a tuple of at least one event")
        odd = [type(e).__name__ for e in self.events if not isinstance(e, Event)]
        if odd:
            known = ", ".join(kind.__name__ for kind in get_args(Event))
            raise MethodError(f"events are of {known}, not {', '.join(odd)}")
        if not isinstance(self.unit, Row | Owner):
            raise MethodError(f"unit must be Row() or Owner(max_rows), not {type(self.unit).__name__}")
        check_relation(self.relation)


@dataclass(frozen=True)
class Remaining:
    """What a ledger has left.

    Args:
        epsilon: The largest epsilon that one more release of any kind may declare.
        delta: What such a release may declare as its delta.
        rho: Under ``composition="zcdp"``, what is left for noisy counts of all rows, which are charged their exact
            rho and no delta; None under ``"basic"``.
    """

    epsilon: Decimal
    delta: Decimal
    rho: Fraction | None = None

    def __str__(self) -> str:
        either = f"epsilon = {in_words(self.epsilon)}, delta = {in_words(self.delta)}"
        if self.rho is None:
            return either
        return f"rho = {float(self.rho):.6g} for counts of all rows with Gaussian noise, or one release of {either}"


@dataclass(frozen=True)
class Preview:
    """What a charge would do.

    Args:
        admitted: Whether it fits.
        remaining: What is left now.
        after: What would be left afterwards; None if it does not fit.
    """

    admitted: bool
    remaining: Remaining
    after: Remaining | None


@dataclass(frozen=True)
class Stored:
    """An answer as the ledger keeps it: the same bytes at every retry.

    Args:
        number: Of the release, from 1 on.
        payload: The answer, as it was given to the ledger.
        noisy: The noisy counts, int64, read-only.
        made: When it was made, in UTC, as ISO 8601 text.
    """

    number: int
    payload: bytes = field(repr=False)
    noisy: NDArray[np.int64] = field(repr=False, compare=False)
    made: str


@dataclass(frozen=True)
class Verification:
    """Whether a ledger is as it was written.

    Args:
        ok: No problem was found.
        releases: How many releases were read.
        problems: What was found, in words, one line each.
        head: The hash of the last row; note it elsewhere to notice later whether the ledger was rewritten.
    """

    ok: bool
    releases: int
    problems: tuple[str, ...]
    head: str


def check_composition(composition: str) -> None:
    """Refuse a rule of composition that does not exist.

    Raises:
        MethodError: It is neither of the two.
    """
    if composition not in get_args(Composition):
        raise MethodError(f"composition must be 'basic' or 'zcdp', not {composition!r}")
