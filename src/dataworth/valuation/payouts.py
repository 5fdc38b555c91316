"""Payouts: an amount of money divided by shares, to the last cent, in decimal arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from dataworth.errors import InputError, MethodError
from dataworth.records import Release, Shares, Table
from dataworth.records.privacy import Amount

__all__ = ["Payout", "payout"]

Negative: TypeAlias = Literal["zero", "refuse"]
Noisy: TypeAlias = Literal["keep", "shrink"]

_MOST_DIGITS = 12
_FORMULA = "=+-@\t\r"  # what a spreadsheet takes for the beginning of a formula
_MOST_TOTAL = Decimal(10) ** 18


@dataclass(frozen=True)
class Payout:
    """What each provider is paid.

    Args:
        providers: Names, in order.
        amounts: What each gets; they sum to ``total`` exactly.
        shares: The parts of one that were paid, before rounding to whole units of money.
        total: What is divided.
        rule: How, in words.
        flags: What whoever pays must know first.

    Example:
        >>> Payout(("a", "b"), (Decimal("66.67"), Decimal("33.33")), (2 / 3, 1 / 3), Decimal(100), "by hand").to_table(
        ... ).columns["amount"]
        ('66.67', '33.33')
    """

    providers: tuple[str, ...]
    amounts: tuple[Decimal, ...]
    shares: tuple[float, ...]
    total: Decimal
    rule: str
    flags: tuple[str, ...] = ()

    def to_table(self) -> Table:
        """One row a provider; amounts as text, so that no cent is lost. The flags are not in it."""
        return Table(
            "payout",
            f"{self.total:f} divided among {len(self.providers)} providers",
            {
                "provider": self.providers,
                "share": self.shares,
                "amount": [f"{amount:f}" for amount in self.amounts],
            },
            note=self.rule,
        )

    def to_csv(self) -> str:
        """The table for a spreadsheet; names come from strangers, so one that would be a formula gets a ``'`` first."""
        table = self.to_table()
        names = [f"'{name}" if name[:1] in tuple(_FORMULA) else name for name in self.providers]
        return replace(table, columns={**table.columns, "provider": names}).to_csv()

    def to_json(self) -> dict[str, Any]:
        """What JSON can hold; amounts as text."""
        paid = zip(self.providers, self.shares, self.amounts, strict=True)
        return {
            "total": f"{self.total:f}",
            "payouts": [{"provider": name, "share": part, "amount": f"{amount:f}"} for name, part, amount in paid],
            "rule": self.rule,
            "flags": list(self.flags),
        }


def payout(
    shares: Shares,
    total: Amount,
    *,
    currency_digits: int = 2,
    negative: Negative = "zero",
    noisy: Noisy = "keep",
) -> Payout:
    """Divide an amount by shares.

    Every provider first gets the whole units of money in its part, rounded down; what is left goes, one unit each, to
    those whose parts were cut most. Of equal remainders, the provider that comes first is served first.

    Args:
        shares: Calibrated shares of providers.
        total: What is divided, with no more decimals than ``currency_digits``; a float stands for the decimal text that
            Python prints for it.
        currency_digits: Decimals of the money: 2 for cents.
        negative: A value below zero counts as zero and the others are scaled (``"zero"``), or nothing is divided
            (``"refuse"``).
        noisy: Pay by the values as they are (``"keep"``), or draw them toward equal parts by how little of their spread
            is noise (``"shrink"``): reliability = var / (var + mean squared standard error), where var is what the
            spread of the values holds beyond noise.

    Raises:
        MethodError: A private release of values of points, whose values are for their owners alone; an unknown rule;
            values below zero to be refused; standard errors that are needed and not known; an amount that is not above
            zero or has more decimals than the money.

    Example:
        >>> import dataworth as dw, numpy as np
        >>> members = np.array([[False, False], [True, False], [False, True], [True, True]])
        >>> tried = dw.Coalitions(
        ...     ("a", "b"), members, np.array([[0.5], [0.7], [0.6], [0.9]]), floor=0.5, full=0.9,
        ...     alone=np.array([0.7, 0.6]), values=np.array([0.25, 0.15]), errors=np.zeros(2), exact=True,
        ...     utility="by hand",
        ... )
        >>> unknown = np.full(2, np.nan)
        >>> shares = dw.Shares(
        ...     ("a", "b"), tried.values, unknown, tried.values, 0.4, unknown, tried.alone - 0.5, "none", tried,
        ...     (None, None),
        ... )
        >>> [str(amount) for amount in payout(shares, 1000).amounts]
        ['625.00', '375.00']
    """
    _check_shares(shares)
    for name, given, known in (("negative", negative, Negative), ("noisy", noisy, Noisy)):
        if given not in get_args(known):
            raise MethodError(f"{name} must be {' or '.join(map(repr, get_args(known)))}, not {given!r}")
    if isinstance(currency_digits, bool) or not isinstance(currency_digits, int):
        raise MethodError(f"currency_digits must be a whole number, not {currency_digits!r}")
    if not 0 <= currency_digits <= _MOST_DIGITS:
        raise MethodError(f"currency_digits must be from 0 to {_MOST_DIGITS}, not {currency_digits}")
    amount = _amount(total)
    units = Fraction(amount) * 10**currency_digits
    if units.denominator != 1:
        raise MethodError(f"{amount:f} has more decimals than the {currency_digits} of the money")
    present = shares.present
    if not present.any():
        raise MethodError("every provider declared itself empty; there is nobody to pay")
    below = [name for name, value in zip(shares.providers, shares.values, strict=True) if value < 0]
    if below and negative == "refuse":
        raise MethodError(f"{len(below)} of {len(shares)} values are below zero, so nothing is divided by them")
    flags = []
    if shares.stamp:
        flags.append("NOT PRIVATE: these shares were made with nothing known to protect the data of some provider.")
    if below:
        become = "they are paid nothing" if noisy == "keep" else "they count as zero, and are drawn toward equal parts"
        flags.append(f"{len(below)} of {len(shares)} values are below zero; {become}.")
    parts, rule = _parts(shares)
    if not (shares.values[present] > 0).any():
        flags.append("No value is above zero, so the amount is divided in equal parts.")
    elif noisy == "shrink":
        trust = _reliability(shares)
        level = Fraction(1, int(present.sum()))
        pull = [level if here else Fraction(0) for here in present]
        parts = [trust * part + (1 - trust) * even for part, even in zip(parts, pull, strict=True)]
        rule += f" Drawn toward equal parts: reliability {float(trust):.3f}."
    whole = _divided(parts, int(units))
    amounts = tuple(_decimal(number, currency_digits) for number in whole)
    said = tuple(flag for flag in shares.flags if not flag.startswith("NOT PRIVATE"))
    paid = _decimal(int(units), currency_digits)
    return Payout(shares.providers, amounts, tuple(float(part) for part in parts), paid, rule, (*flags, *said))


def _check_shares(shares: Any) -> None:
    if isinstance(shares, Release):
        raise MethodError(
            "a private release cannot be paid out: each value in it is promised to be for its owner alone, and amounts "
            "that depend on everybody's values would break that promise"
        )
    if not isinstance(shares, Shares):
        raise InputError(f"a payout divides by Shares of providers, not by {type(shares).__name__}")


def _amount(total: Amount) -> Decimal:
    if isinstance(total, bool) or not isinstance(total, str | int | float | Decimal):
        raise MethodError(f"total must be an amount of money, not {type(total).__name__}")
    try:
        amount = Decimal(repr(float(total)) if isinstance(total, float) else total)
    except InvalidOperation:
        raise MethodError(f"total must be a decimal number like 100000 or 99.95, not {total!r}") from None
    if not amount.is_finite() or not 0 < amount <= _MOST_TOTAL:
        raise MethodError(f"total must be above zero and at most 10^18, not {total!r}")
    return amount


def _parts(shares: Shares) -> tuple[list[Fraction], str]:
    """Parts of one, exactly; equal ones where no value is above zero."""
    present = shares.present
    kept = [
        max(Fraction(float(value)), Fraction(0)) if here else Fraction(0)
        for value, here in zip(shares.values, present, strict=True)
    ]
    whole = sum(kept, Fraction(0))
    rule = "Parts are rounded down to whole units of money; what is left goes to the largest remainders."
    if not whole:
        return [Fraction(int(here), int(present.sum())) for here in present], rule
    return [value / whole for value in kept], rule


def _reliability(shares: Shares) -> Fraction:
    """The part of the spread of values that is not noise."""
    values, errors = shares.values[shares.present], shares.errors[shares.present]
    if np.isnan(errors).any():
        raise MethodError(
            "noisy='shrink' needs standard errors, and these shares have none; value the providers with two repeats or "
            "more, or choose noisy='keep'"
        )
    noise = math.fsum(errors**2) / errors.size
    spread = float(values.var(ddof=1)) if values.size > 1 else 0.0
    between = max(spread - noise, 0.0)
    return Fraction(between / (between + noise)) if between + noise > 0 else Fraction(1)


def _divided(parts: list[Fraction], units: int) -> list[int]:
    """Whole units by largest remainders, of equal remainders the first first."""
    exact = [part * units for part in parts]
    whole = [math.floor(part) for part in exact]
    order = sorted(range(len(parts)), key=lambda i: (whole[i] - exact[i], i))
    for i in order[: units - sum(whole)]:
        whole[i] += 1
    return whole


def _decimal(units: int, digits: int) -> Decimal:
    """Units of money as an exact decimal number, however many digits it has."""
    return Decimal((0, tuple(int(digit) for digit in str(units)), -digits))
