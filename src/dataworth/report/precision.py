"""How far values with standard errors can be believed, in figures and in words."""

from __future__ import annotations

from dataworth.records import Values
from dataworth.records.comparison import Comparison

__all__ = [
    "below_beyond_errors",
    "cautions",
    "drowned",
    "drowned_methods",
    "mean_error",
    "rough",
    "sampled",
]

_DROWNED = 0.5  # of the variance of the values
_SAID_OF_DROWNED = "the errors are as large as the differences between values, which say little yet"
_FEW_DRAWS = 10  # errors from fewer vary so much that two of them hold clearly less than 95 in 100 values


def mean_error(values: Values) -> float | None:
    """The mean standard error over all that have one; None without errors."""
    known = values.known_errors
    return float(known.mean()) if known.size else None


def sampled(values: Values) -> bool:
    """Whether some error is above zero, so that other draws would give other values."""
    return bool((values.known_errors > 0).any())


def below_beyond_errors(values: Values) -> int:
    """How many values are below zero by more than two of their standard errors; one without an error never is."""
    if values.errors is None:
        return 0
    return int((values.values < -2 * values.errors).sum())  # nothing is below NaN


def drowned(values: Values) -> str:
    """What is to be said of values of whose spread sampling makes up half or more; empty for others.

    Example:
        >>> import dataworth as dw
        >>> drowned(dw.Values(["a", "b"], [0.1, 0.2], method="x", n_validation=1, errors=[0.3, 0.3]))
        'the errors are as large as the differences between values, which say little yet'
        >>> drowned(dw.Values(["a", "b"], [0.1, 0.2], method="x", n_validation=1, errors=[0.01, 0.01]))
        ''
    """
    noise = values.noise
    if noise is None or noise < _DROWNED:
        return ""
    return _SAID_OF_DROWNED


def drowned_methods(compared: Comparison) -> str:
    """The same of the methods of a comparison, which are named; empty where there are none.

    Example:
        >>> import dataworth as dw
        >>> loud = dw.Values(["a", "b"], [0.1, 0.2], method="Loud()", n_validation=1, errors=[0.3, 0.3])
        >>> sure = dw.Values(["a", "b"], [0.1, 0.2], method="Sure()", n_validation=1)
        >>> drowned_methods(dw.compare_values([loud, sure]))
        'of Loud, the errors are as large as the differences between values, which say little yet'
    """
    columns = compared.table("methods").columns if "methods" in compared else {}
    noises = columns.get("noise in the spread", ())
    names = (
        [
            str(name)
            for name, noise in zip(columns["method"], noises, strict=True)
            if isinstance(noise, int | float) and noise >= _DROWNED
        ]
        if noises
        else []
    )
    return f"of {', '.join(names)}, {_SAID_OF_DROWNED}" if names else ""


def rough(values: Values) -> str:
    """What is to be said of errors that rest on a few draws; empty for others.

    Example:
        >>> import dataworth as dw
        >>> few = dw.Values(["a", "b"], [0.1, 0.2], "x", 1, provenance={"draws": 4}, errors=[0.01, 0.01])
        >>> rough(few)
        'the errors rest on 4 draws, so they are rough themselves, and more often too small than too large'
    """
    draws = values.provenance.get("draws")
    if not isinstance(draws, int) or draws >= _FEW_DRAWS or not sampled(values):
        return ""
    return f"the errors rest on {draws} draws, so they are rough themselves, and more often too small than too large"


def cautions(values: Values) -> list[str]:
    """Whatever has to be known before values with errors are believed."""
    return [said for said in (drowned(values), rough(values)) if said]
