"""Models that follow a coalition as players join and leave: the protocol, what they look at, and the plain way."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from dataworth.errors import InputError, MethodError
from dataworth.valuation.scoring import Scorer, check_scorer, for_rows

__all__ = ["Following", "Learner", "Refit", "Table", "lone_thread", "scored"]

_MOST_NAMES = 10  # players that an error names

_HELP = (
    "a model that cannot do with so few rows, or a scoring that cannot do without a class, calls for another model, "
    "another scoring, or owners of many rows as players"
)


class Learner(Protocol):
    """A model that follows a coalition as players join and leave."""

    def clear(self) -> None:
        """Nobody is in it."""

    def join(self, players: NDArray[np.int64]) -> None:
        """Players enter.

        Args:
            players: Places in the list of players, each once, none of them in the coalition, ``(k,)``.

        Raises:
            InputError: Somebody is in it already.
        """

    def leave(self, players: NDArray[np.int64]) -> None:
        """Players go.

        Args:
            players: Places in the list of players, each once, all of them in the coalition, ``(k,)``.

        Raises:
            InputError: Somebody is not in it.
        """

    def score(self) -> float:
        """The score of whoever is in it now; the floor for a coalition that cannot be learned from.

        Raises:
            MethodError: The model failed; the message names the coalition.
        """

    @property
    def fits(self) -> int:
        """How many models were fitted so far; coalitions that cannot be learned from do not count."""


@dataclass(frozen=True, eq=False)
class Table:
    """All that a learner looks at.

    Args:
        x: Training rows, float64, ``(n, d)``.
        y: Their labels, ``(n,)``, or targets, float64.
        codes: Class of each row as its place in the list of classes, ``(n,)``; all 0 for a regressor.
        starts: Player p has the rows ``order[starts[p]:starts[p + 1]]``, int64, ``(players + 1,)``.
        order: Rows by player, each player's as they stand, int64, ``(n,)``.
        names: Of players, ``(players,)``.
        judges: Validation rows, float64, ``(m, d)``.
        judge_y: Their labels or targets, ``(m,)``.
        judge_codes: Their classes, ``(m,)``; all 0 for a regressor.
        classes: All labels, ascending, ``(C,)``; None for a regressor.
        estimator: The untrained model with its seeds.
        scoring: The name of a scorer or a callable.
        floor: The score of nobody.

    Rows and labels are read-only: a model that writes into what it is given gets copies.
    """

    x: NDArray[np.float64]
    y: NDArray[Any]
    codes: NDArray[np.int64]
    starts: NDArray[np.int64]
    order: NDArray[np.int64]
    names: NDArray[Any]
    judges: NDArray[np.float64]
    judge_y: NDArray[Any]
    judge_codes: NDArray[np.int64]
    classes: NDArray[Any] | None
    estimator: Any
    scoring: str | Scorer
    floor: float

    def __post_init__(self) -> None:
        self._lock()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock()  # which pickle forgets

    def _lock(self) -> None:
        for name in ("x", "y", "judges", "judge_y"):
            view = getattr(self, name).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    @property
    def n_classes(self) -> int:
        """How many classes there are; 1 for a regressor."""
        return 1 if self.classes is None else int(self.classes.size)

    @cached_property
    def one_each(self) -> bool:
        """Whether player p is row p, for every player."""
        return self.names.size == len(self.x) and bool((self.order == np.arange(len(self.x))).all())

    def rows_of(self, players: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of players, player by player."""
        if self.one_each:
            return players
        parts = [self.order[self.starts[player] : self.starts[player + 1]] for player in players.tolist()]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


@cache
def _pools() -> ThreadpoolController:
    import sklearn.utils  # noqa: F401 - its own pool must be there to be found

    return ThreadpoolController()


def lone_thread() -> Any:
    """While it lasts, products and models stay on one core, so that a score has the same bits among other workers."""
    return _pools().limit(limits=1)


class Following:
    """Who is in the coalition; the models that follow it do the rest.

    Args:
        table: What the model looks at.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.fits = 0
        self.members: NDArray[np.bool_] = np.zeros(table.names.size, dtype=np.bool_)
        self.counts: NDArray[np.int64] = np.zeros(table.n_classes, dtype=np.int64)
        """Rows of each class."""
        self._least = 1 if table.classes is None else 2  # classes without which there is nothing to learn

    def clear(self) -> None:
        """Nobody is in it."""
        self.members[:] = False
        self.counts[:] = 0
        self._emptied()

    def join(self, players: NDArray[np.int64]) -> None:
        """Players enter; see :meth:`Learner.join`."""
        if self.members[players].any():
            raise InputError("a player who joins must not be in the coalition already")
        self.members[players] = True
        self._changed(players, 1)

    def leave(self, players: NDArray[np.int64]) -> None:
        """Players go; see :meth:`Learner.leave`."""
        if not self.members[players].all():
            raise InputError("a player who leaves must be in the coalition")
        self.members[players] = False
        self._changed(players, -1)

    def score(self) -> float:
        """The score of whoever is in it now; see :meth:`Learner.score`."""
        if np.count_nonzero(self.counts) < self._least:
            return self.table.floor
        self.fits += 1
        return self._judge()

    def rows(self) -> NDArray[np.int64]:
        """The rows of all members in the order of the training set."""
        if self.table.one_each:
            return np.flatnonzero(self.members)
        return np.sort(self.table.rows_of(np.flatnonzero(self.members)))

    def refit(self) -> float:
        """The score of the model of scikit-learn itself, fitted to all members."""
        table, rows = self.table, self.rows()
        try:
            with lone_thread():
                return _fit_and_score(table, rows)
        except Exception as trouble:
            raise self._failed(rows.size, trouble) from trouble

    def _changed(self, players: NDArray[np.int64], sign: int) -> None:
        """Players came (1) or went (-1)."""
        table = self.table
        rows = table.rows_of(players)
        self.counts += sign * np.bincount(table.codes[rows], minlength=self.counts.size)

    def _emptied(self) -> None:
        """Everybody went at once."""

    def _judge(self) -> float:
        """The score of a coalition that can be learned from."""
        return self.refit()

    def _failed(self, rows: int, trouble: Exception) -> MethodError:
        """What to say of a model that failed on the coalition; words of others may quote rows, so only their kind."""
        message = f"{self._who(rows)}: {_told(trouble)}"
        return MethodError(message if self.members.all() else f"{message}; {_HELP}")

    def _who(self, rows: int) -> str:
        """The coalition, for a message."""
        table, members = self.table, np.flatnonzero(self.members)
        failed = f"{type(table.estimator).__name__} failed on a coalition of"
        if members.size == self.members.size:  # whose names would tell nothing
            return f"{failed} all {members.size} players with {rows} rows"
        named = ", ".join(str(name) for name in table.names[members[:_MOST_NAMES]].tolist())
        more = ", ..." if members.size > _MOST_NAMES else ""
        return f"{failed} {members.size} of {self.members.size} players with {rows} rows ({named}{more})"


class Refit(Following):
    """Any model, fitted from scratch to every coalition: all its rows in the order of the training set."""


def _fit_and_score(table: Table, rows: NDArray[np.int64]) -> float:
    from sklearn.base import clone

    model = for_rows(clone(table.estimator), rows.size).fit(table.x[rows], table.y[rows])
    if table.scoring != "accuracy":
        return scored(table, model)
    found = np.asarray(model.predict(table.judges.copy()))  # the scorer's own checks take longer than many models
    if found.shape != table.judge_y.shape:
        raise MethodError(f"it predicted labels of shape {found.shape} for {table.judge_y.size} rows")
    return int(np.count_nonzero(found == table.judge_y)) / table.judge_y.size


def scored(table: Table, model: Any) -> float:
    """What the scorer says of a fitted model, which with it gets copies of the validation rows to spoil.

    Raises:
        MethodError: NaN or infinite.
    """
    scorer = check_scorer(model, table.scoring)
    score = float(scorer(model, table.judges.copy(), table.judge_y.copy()))
    if not math.isfinite(score):
        raise MethodError(f"it scored {score}")
    return score


def _told(trouble: Exception) -> str:
    """What went wrong: in words only where they are ours, as those of others may quote rows."""
    return str(trouble) if isinstance(trouble, MethodError) else type(trouble).__name__
