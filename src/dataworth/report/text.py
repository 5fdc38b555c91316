"""How numbers and names are written on the page."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from dataworth.records.evidence import Cell

__all__ = ["clean", "column", "decimals_of", "figure", "share"]

# What HTML cannot hold (control characters, halves of surrogate pairs, two codes that are no characters), and
# the marks that turn the direction of all text after them.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")

_MINUS = "\N{MINUS SIGN}"
_NOTHING = "\N{EN DASH}"


def clean(text: str) -> str:
    """The text with what a page cannot hold, or would be garbled by, replaced by a mark that says so."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def figure(number: float, decimals: int | None = None) -> str:
    """A number for people: a real minus sign, thousands marked, three significant digits unless told.

    Example:
        >>> figure(1234567), figure(0.0001234), figure(0.5, decimals=3)
        ('1,234,567', '0.000123', '0.500')
    """
    if not math.isfinite(number):
        return _NOTHING
    size = abs(number)
    if size >= 1e15 or (decimals is None and 0 < size < 1e-9):
        text = f"{number:.2e}"
    elif decimals is None and size == int(size):
        text = f"{int(number):,}"
    else:
        text = f"{number:,.{decimals_of([number]) if decimals is None else decimals}f}"
    negative = text.startswith("-") and any(digit in text for digit in "123456789")
    return (_MINUS if negative else "") + text.lstrip("-")


def share(part: float) -> str:
    """A share as a percentage that never rounds something to nothing.

    Example:
        >>> share(0.087), share(0.0001), share(0.0)
        ('8.7%', 'under 0.1%', '0%')
    """
    if 0 < part < 0.001:
        return "under 0.1%"
    if 0.999 < part < 1:
        return "over 99.9%"
    return f"{part:.0%}" if part in (0, 1) or part >= 0.995 else f"{part:.1%}"


def column(cells: Sequence[Cell]) -> tuple[Callable[[Cell], str], bool]:
    """How to write the cells of one column, and whether it holds numbers.

    All floats of a column get the same number of decimals, so that they can be compared down the page.
    Whole numbers stay as they are: they may be names.
    """
    numbers = [cell for cell in cells if isinstance(cell, (int, float)) and not isinstance(cell, bool)]
    floats = [float(cell) for cell in numbers if isinstance(cell, float) and math.isfinite(cell)]
    places = decimals_of(floats)

    def write(cell: Cell) -> str:
        match cell:
            case None:
                return _NOTHING
            case bool():
                return "yes" if cell else "no"
            case float():
                return figure(cell, places)
            case int():
                return str(cell).replace("-", _MINUS)
            case _:
                return cell

    return write, bool(numbers) and all(isinstance(cell, (int, float, type(None))) for cell in cells)


def decimals_of(numbers: Sequence[float]) -> int | None:
    """Decimals that give the largest of the numbers three significant digits, and shares at least three.

    None where a fixed number of decimals would show nothing: the numbers are zero, tiny or huge.
    """
    top = max((abs(number) for number in numbers), default=0.0)
    if not 1e-9 <= top < 1e15:
        return None
    return max(2 - math.floor(math.log10(top)), 3 if top < 100 else 1)
