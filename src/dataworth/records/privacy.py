"""Whose presence is hidden, how much may be spent on it, and what was promised."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Literal, TypeAlias, get_args

from dataworth.errors import MethodError

__all__ = ["Amount", "Budget", "Guarantee", "Owner", "Relation", "Row", "Unit"]

Amount: TypeAlias = "str | int | float | Decimal"
Relation: TypeAlias = Literal["add_or_remove", "replace"]

_EPSILON_STEPS = 10**9  # epsilon is kept in whole billionths
_DELTA_STEPS = 10**18  # delta is kept in whole 1e-18ths; the largest still fits a 64-bit integer
_MOST_EPSILON = Decimal(100)
_MOST_DELTA = Decimal("0.1")
_MOST_ROWS = 10**6


@dataclass(frozen=True)
class Row:
    """The unit of privacy is one training row.

    Example:
        >>> import dataworth as dw
        >>> str(dw.Row())
        'one row'
    """

    @property
    def rows(self) -> int:
        """How many rows one unit brings at most."""
        return 1

    def __str__(self) -> str:
        return "one row"


@dataclass(frozen=True)
class Owner:
    """The unit of privacy is one owner, who brings at most ``max_rows`` rows.

    Args:
        max_rows: From 1 to 1,000,000. Rows beyond it are left out, by a rule on that owner's rows alone.

    Raises:
        MethodError: Not a whole number in that range.

    Example:
        >>> import dataworth as dw
        >>> str(dw.Owner(max_rows=5))
        'one owner of at most 5 rows'
    """

    max_rows: int

    def __post_init__(self) -> None:
        if isinstance(self.max_rows, bool) or not isinstance(self.max_rows, int):
            raise MethodError(f"max_rows must be a whole number of rows, not {self.max_rows!r}")
        if not 1 <= self.max_rows <= _MOST_ROWS:
            raise MethodError(f"max_rows must be from 1 to {_MOST_ROWS:,}, not {self.max_rows}")

    @property
    def rows(self) -> int:
        """How many rows one unit brings at most."""
        return self.max_rows

    def __str__(self) -> str:
        return f"one owner of at most {self.max_rows:,} row{'' if self.max_rows == 1 else 's'}"


Unit: TypeAlias = Row | Owner


@dataclass(frozen=True, init=False)
class Budget:
    """An epsilon and a delta, exactly as they were written.

    A float stands for the decimal text that Python prints for it: ``0.1`` is one tenth.

    Args:
        epsilon: From 1e-9 to 100.
        delta: From 1e-18 to 0.1.

    Raises:
        MethodError: Either is zero, negative, not a number, infinite or absurd.

    Example:
        >>> from dataworth.records.privacy import Budget
        >>> Budget(epsilon=0.1, delta="1e-6").charge()
        (100000000, 1000000000000)
    """

    epsilon: Decimal
    delta: Decimal

    def __init__(self, epsilon: Amount, delta: Amount) -> None:
        object.__setattr__(self, "epsilon", _amount("epsilon", epsilon, _EPSILON_STEPS, _MOST_EPSILON))
        object.__setattr__(self, "delta", _amount("delta", delta, _DELTA_STEPS, _MOST_DELTA))

    def charge(self) -> tuple[int, int]:
        """Epsilon in 1e-9 and delta in 1e-18, rounded up: what a release of this budget costs."""
        return math.ceil(Fraction(self.epsilon) * _EPSILON_STEPS), math.ceil(Fraction(self.delta) * _DELTA_STEPS)

    def cap(self) -> tuple[int, int]:
        """Epsilon in 1e-9 and delta in 1e-18, rounded down: what a ledger of this budget may give out."""
        return math.floor(Fraction(self.epsilon) * _EPSILON_STEPS), math.floor(Fraction(self.delta) * _DELTA_STEPS)

    def __str__(self) -> str:
        return f"epsilon = {in_words(self.epsilon)}, delta = {in_words(self.delta)}"


@dataclass(frozen=True)
class Guarantee:
    """What a release promises, to whom, and under which change of the data.

    Args:
        budget: The epsilon and delta promised.
        unit: Whose presence is hidden.
        relation: ``"add_or_remove"`` (a unit is there or not) or ``"replace"`` (a unit's data are others).
        private: False when the noise was seeded or left out, so that nothing is promised at all.
        joint: True where the promise is of what everyone but the unit's own owner sees; False where it holds of all
            that was released.

    Example:
        >>> import dataworth as dw
        >>> print(dw.Guarantee(dw.Budget(0.5, 1e-6), dw.Row(), "add_or_remove"))
        Joint differential privacy, one row added or removed: epsilon = 0.5, delta = 1e-6.
    """

    budget: Budget
    unit: Unit
    relation: Relation
    private: bool = True
    joint: bool = True

    def __post_init__(self) -> None:
        check_relation(self.relation)

    @property
    def hides(self) -> str:
        """Which change of the data nobody can tell, in words."""
        change = "added or removed" if self.relation == "add_or_remove" else "replaced by any other"
        return f"{self.unit} {change}"

    def __str__(self) -> str:
        if not self.private:
            return "NOT PRIVATE: the randomness was seeded or left out, so nothing is hidden."
        kind = "Joint differential privacy" if self.joint else "Differential privacy"
        return f"{kind}, {self.hides}: {self.budget}."


def in_words(amount: Decimal) -> str:
    """A number without needless zeros, small ones with an exponent."""
    plain = amount.normalize()
    return f"{plain:f}" if plain == 0 or plain.adjusted() >= -4 else f"{plain:e}"


def check_relation(relation: str) -> None:
    """Refuse a neighbour relation that does not exist.

    Raises:
        MethodError: It is neither of the two.
    """
    if relation not in get_args(Relation):
        raise MethodError(f"relation must be 'add_or_remove' or 'replace', not {relation!r}")


def _amount(name: str, given: Amount, steps: int, most: Decimal) -> Decimal:
    least = Decimal(1) / steps
    if isinstance(given, bool) or not isinstance(given, str | int | float | Decimal):
        raise MethodError(f"{name} must be a number from {least} to {most}, not {type(given).__name__}")
    try:
        amount = Decimal(repr(float(given)) if isinstance(given, float) else given)
    except InvalidOperation as error:
        raise MethodError(f"{name} must be a decimal number from {least} to {most}, not {given!r}") from error
    if not amount.is_finite() or not least <= amount <= most:
        raise MethodError(f"{name} must be from {least} to {most}, not {given!r}")
    return amount
