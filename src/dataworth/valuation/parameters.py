"""Checks of parameters that method records share."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from dataworth.errors import MethodError

__all__ = ["called", "check_choice", "check_positive", "check_whole"]


def called(thing: Any) -> str:
    """The name of a callable, for texts about a method."""
    return str(getattr(thing, "__name__", type(thing).__name__))


def check_whole(name: str, given: object, low: int, high: int | None = None) -> None:
    """Refuse what is no integer from ``low`` to ``high``."""
    whole = isinstance(given, Integral) and not isinstance(given, bool)
    if not whole or given < low or (high is not None and given > high):  # type: ignore[operator]
        span = f"of {low} or more" if high is None else f"from {low} to {high}"
        raise MethodError(f"{name} must be an integer {span}, not {given!r}")


def check_positive(name: str, given: object) -> None:
    """Refuse what is no finite number above 0."""
    number = isinstance(given, Real) and not isinstance(given, bool)
    if not number or not 0 < given < math.inf:  # type: ignore[operator]
        raise MethodError(f"{name} must be a number above 0 and finite, not {given!r}")


def check_choice(name: str, given: object, choices: tuple[str, ...], more: str = "") -> None:
    """Refuse what is none of the choices; ``more`` names others that the caller knows."""
    if given not in choices:
        raise MethodError(f"{name} must be one of {', '.join(map(repr, choices))}{more}, not {given!r}")
