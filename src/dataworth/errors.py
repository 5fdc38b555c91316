"""Everything dataworth can complain about, as one tree.

    DataworthError                      base of all; catch this to catch everything below
    ├── InputError (ValueError)         you asked wrongly: the command line exits with 2
    │   ├── DataError                   the rows, columns, labels or files given cannot be used
    │   ├── MethodError                 the method cannot do what was asked of it
    │   ├── LedgerError                 the ledger is not there, not a ledger, or kept for something else
    │   └── MissingExtra (ImportError)  an optional dependency is not installed
    ├── BudgetExceeded                  a ledger refuses: nothing was computed or spent; exit code 3
    └── (anything else is our fault: the command line exits with 1)

    DataworthWarning (UserWarning)      worth saying, not worth stopping for
    ├── UnmatchedLabels                 train labels that are no validation class: such rows never match
    └── WeakDelta                       a delta that would allow publishing somebody's row

Messages say what was given and what would be right, and never quote a private row.
"""

from __future__ import annotations

__all__ = [
    "BudgetExceeded",
    "DataError",
    "DataworthError",
    "DataworthWarning",
    "InputError",
    "LedgerError",
    "MethodError",
    "MissingExtra",
    "UnmatchedLabels",
    "WeakDelta",
]


class DataworthError(Exception):
    """Base of every error that dataworth raises on purpose."""


class InputError(DataworthError, ValueError):
    """What was given cannot be used; the message says what would be right."""


class DataError(InputError):
    """The rows, columns, labels or files that were given cannot be used."""


class MethodError(InputError):
    """A method was given a parameter or a task that it cannot serve."""


class LedgerError(InputError):
    """The ledger is not there, is no ledger, is kept for something else, or was asked something else before."""


class BudgetExceeded(DataworthError):  # noqa: N818 - says what happened
    """What was asked would spend more than the ledger has left; nothing was computed and nothing spent."""


class MissingExtra(InputError, ImportError):  # noqa: N818 - says what is missing
    """A feature needs an optional dependency that is not installed.

    Args:
        feature: What was asked for, for the message.
        extra: The extra of dataworth that brings it, for example ``"report"``.
    """

    def __init__(self, feature: str, extra: str) -> None:
        self.feature = feature
        self.extra = extra
        super().__init__(f"{feature} needs an optional part of dataworth: pip install 'dataworth[{extra}]'")

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str]]:
        return type(self), (self.feature, self.extra)


class DataworthWarning(UserWarning):
    """Base of every warning that dataworth gives."""


class UnmatchedLabels(DataworthWarning):
    """Some train labels are no validation class, so those rows match no validation point."""


class WeakDelta(DataworthWarning):
    """Delta is above one over the number of rows; only the operator may know."""
