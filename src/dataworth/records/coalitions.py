"""What coalitions of players were worth, and what each player gets of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import InputError
from dataworth.records.arrays import read_only

__all__ = ["Coalitions"]


@dataclass(frozen=True, eq=False, repr=False)
class Coalitions:
    """Utilities of the coalitions that were tried, and the Shapley values that follow from them.

    Args:
        players: Names, in order.
        members: Who is in each coalition, bool, ``(m, players)``; for exact values all ``2 ** players`` of them.
        utilities: Of each coalition, one column a repeat (another seed of the model), ``(m, repeats)``.
        floor: The utility of the empty coalition.
        full: The mean utility of the whole set.
        alone: The mean utility of each player alone, ``(players,)``.
        values: The Shapley values, ``(players,)``; they sum to ``full - floor``.
        errors: Their standard errors, ``(players,)``; NaN where one repeat tells nothing of it, 0 where exact and free
            of chance.
        exact: Whether every coalition was tried.
        utility: What was measured, as text.

    Raises:
        InputError: Arrays that do not fit together.

    Example:
        >>> import dataworth as dw, numpy as np
        >>> members = np.array([[False, False], [True, False], [False, True], [True, True]])
        >>> dw.Coalitions(
        ...     ("a", "b"), members, np.array([[0.5], [0.7], [0.6], [0.9]]), floor=0.5, full=0.9,
        ...     alone=np.array([0.7, 0.6]), values=np.array([0.25, 0.15]), errors=np.zeros(2), exact=True,
        ...     utility="by hand",
        ... )
        Coalitions(2 players, 4 coalitions, exact, by hand)
    """

    players: tuple[str, ...]
    members: NDArray[np.bool_]
    utilities: NDArray[np.float64]
    floor: float
    full: float
    alone: NDArray[np.float64]
    values: NDArray[np.float64]
    errors: NDArray[np.float64]
    exact: bool
    utility: str

    def __post_init__(self) -> None:
        count = len(self.players)
        fits = (
            self.members.ndim == self.utilities.ndim == 2
            and self.members.shape == (len(self.utilities), count)
            and self.alone.shape == self.values.shape == self.errors.shape == (count,)
        )
        if not fits:
            raise InputError("members, utilities, alone, values and errors do not fit the number of players")
        for name in ("members", "utilities", "alone", "values", "errors"):
            object.__setattr__(self, name, read_only(getattr(self, name)))

    def __repr__(self) -> str:
        how = "exact" if self.exact else "sampled"
        return f"Coalitions({len(self.players)} players, {len(self.members)} coalitions, {how}, {self.utility})"
