"""Games of rows or of owners: who plays, how a coalition is judged, and the quickest exact way to follow it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError, MethodError
from dataworth.records import Points
from dataworth.records.points import missing_features
from dataworth.valuation import fast_learners, logistic_learner
from dataworth.valuation.games import Labels, codes_of, digest_of, judged
from dataworth.valuation.learners import Learner, Refit, Table
from dataworth.valuation.parameters import check_whole
from dataworth.valuation.reading import check_same_features
from dataworth.valuation.scoring import (
    Scorer,
    check_parameters,
    check_scorer,
    guessing_score,
    mean_score,
    model_copy,
    model_told,
    scorer_named,
    scorer_told,
    seed_of,
    seeded,
)
from dataworth.valuation.telling import tell

__all__ = ["Players", "RowGame"]

Players: TypeAlias = Literal["rows", "owners"]
"""Who joins and leaves: each row for itself, or all rows of one owner together."""

_DIGEST = "utilities of rows 2"  # another number when the same words come to mean other utilities

_Maker: TypeAlias = Callable[[Table], Learner]


@dataclass(frozen=True, eq=False)
class RowGame:
    """Who plays, and what every coalition of them is worth: the score of a model trained on its rows.

    Features go to the model as float64, rows in the order of the training set, every ``random_state`` from one seed,
    the same in every coalition. A classifier that has no rows, or rows of one class only, scores what knowing nothing
    scores: ``1 / classes`` for accuracy, else the mean score of 100 models that guess uniformly. A regressor without
    rows scores what always predicting the mean of the validation targets scores (0 for r2); with one row it is fitted.
    A model that ends in nearest neighbours, and has fewer rows than it asks for neighbours, lets all rows vote.

    Args:
        names: Of the players: ids of rows, or owners in sorted order, ``(n,)``.
        floor: The utility of nobody, and of every coalition of a classifier with fewer than two classes.
        how: The path chosen, in words.
        digest: Of everything that utilities depend on: rows, model and scorer with their code, the globals that this
            names, and the releases of packages. Not of what code reads from files, clocks or other machines.
        untold: What the model or the scorer holds that the digest could not tell, in words; utilities of such a game
            must not be kept for another run. Empty where the digest is of everything.

    Example:
        >>> import dataworth as dw
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> train = dw.Points([[-1.0], [1.5], [1.0]], ["low", "high", "high"])
        >>> validation = dw.Points([[-2.0], [-1.0], [1.0], [2.0]], ["low", "low", "high", "high"])
        >>> game = RowGame.of(train, validation, DecisionTreeClassifier())
        >>> learner = game.learner()
        >>> learner.join(np.array([1, 2]))
        >>> learner.score(), learner.fits
        (0.5, 0)
        >>> learner.join(np.array([0]))
        >>> learner.score(), learner.fits
        (1.0, 1)
    """

    names: NDArray[Any]
    floor: float
    how: str
    digest: str
    untold: str
    _table: Table
    _make: _Maker

    @classmethod
    def of(
        cls,
        train: Points,
        validation: Points,
        model: Any,
        *,
        scoring: str | Scorer | None = None,
        seed: int = 0,
        players: Players = "rows",
        classes: Labels | None = None,
    ) -> RowGame:
        """The game of these rows.

        Args:
            train: The rows that play, or whose owners do.
            validation: The points that judge; the same features in the same order.
            model: A classifier, a regressor or a pipeline of scikit-learn; it is copied, never trained itself.
            scoring: The name of a scorer of scikit-learn, or a callable ``scorer(estimator, x, y)``; by default
                ``"accuracy"`` for classifiers and ``"r2"`` for regressors.
            seed: Of the model's chance, 0 or more.
            players: ``"rows"`` or ``"owners"``.
            classes: All labels there are; by default those of the validation set.

        Raises:
            DataError: Features or labels that do not fit together, missing features, no owners, or labels that are
                all the same.
            InputError: No Points, or ``classes`` is no list of different labels.
            MethodError: No model, parameters that scikit-learn refuses, no scorer, or a scorer that cannot score
                knowing nothing.
        """
        from sklearn.base import is_regressor

        if not isinstance(train, Points) or not isinstance(validation, Points):
            raise InputError(
                "train and validation must be dataworth.Points; dataworth.read_points makes them from files"
            )
        check_whole("seed", seed, 0)
        copy = model_copy(model)
        if copy is None:
            raise MethodError(
                f"the model must be a classifier, a regressor or a pipeline of scikit-learn, not {type(model).__name__}"
            )
        regression = is_regressor(copy)
        check_parameters(copy)
        chosen = scoring if scoring is not None else "r2" if regression else "accuracy"
        check_scorer(copy, chosen)
        check_same_features(train, validation)
        for name, points in (("train", train), ("validation", validation)):
            if points.missing:
                raise DataError(f"{name}: {missing_features(points.missing, len(points))}")
        names, starts, order = _seat(train, players)
        parts = _targets(train, validation, chosen, classes) if regression else _labels(train, validation, classes)
        y, codes, judge_y, judge_codes, known = parts
        judges = validation.x.astype(np.float64)
        floor = mean_score(chosen, judges, judge_y) if known is None else guessing_score(chosen, known, judges, judge_y)
        table = Table(
            x=train.x.astype(np.float64),
            y=y,
            codes=codes,
            starts=starts,
            order=order,
            names=names,
            judges=judges,
            judge_y=judge_y,
            judge_codes=judge_codes,
            classes=known,
            estimator=seeded(copy, seed_of(seed)),
            scoring=chosen,
            floor=floor,
        )
        how, make = _choose(table)
        missed = dict.fromkeys([*tell(table.estimator).missed, *tell(chosen).missed])
        return cls(names, floor, how, _digest(table, how), ", ".join(missed), table, make)

    @property
    def n(self) -> int:
        """How many players there are."""
        return int(self.names.size)

    @property
    def n_classes(self) -> int:
        """How many classes there are; 0 where targets are numbers."""
        return 0 if self._table.classes is None else int(self._table.classes.size)

    def learner(self) -> Learner:
        """A model with nobody in its coalition yet; each has its own."""
        return self._make(self._table)

    def __repr__(self) -> str:
        table = self._table
        model = " ".join(repr(table.estimator).split())
        return f"RowGame({self.n} players, {model}, scoring={scorer_named(table.scoring)}: {self.how})"


# -- who plays, and for what ----------------------------------------------------------------------


def _seat(train: Points, players: Players) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """Names of players, and the rows of each as starts and order."""
    if players == "rows":
        n = len(train)
        return train.ids, np.arange(n + 1), np.arange(n)
    if players != "owners":
        raise MethodError(f"players must be 'rows' or 'owners', not {players!r}")
    if train.owners is None:
        raise DataError("players='owners' needs the owner of each train row; give Points owners=[...]")
    names, whose = np.unique(train.owners, return_inverse=True)
    starts = np.concatenate([[0], np.cumsum(np.bincount(whose))]).astype(np.int64)
    return names, starts, np.argsort(whose, kind="stable").astype(np.int64)


_Targets: TypeAlias = tuple[NDArray[Any], NDArray[np.int64], NDArray[Any], NDArray[np.int64], NDArray[Any] | None]
"""Labels or targets of train, their codes, the same of validation, and the classes."""


def _labels(train: Points, validation: Points, classes: Labels | None) -> _Targets:
    known, judge_codes = judged(validation, classes)
    codes = codes_of(train, "train", validation, known)
    if (codes == codes[0]).all():
        raise DataError(
            f"all {len(train)} train rows have the same label, so no coalition has two classes to tell apart"
        )
    return known[codes], codes, known[judge_codes], judge_codes, known


def _targets(train: Points, validation: Points, scoring: str | Scorer, classes: Labels | None) -> _Targets:
    if classes is not None:
        raise MethodError("a regressor predicts numbers, so it takes no classes")
    for name, points in (("train", train), ("validation", validation)):
        if points.y.dtype.kind == "U":
            raise DataError(f"{name} labels are text, but a regressor needs numbers")
    y, judge_y = train.y.astype(np.float64), validation.y.astype(np.float64)
    if scoring == "r2" and (judge_y == judge_y[0]).all():
        raise DataError(
            f"all {len(validation)} validation labels are equal, so r2 has no spread to explain; give another scoring, "
            "for example 'neg_mean_squared_error'"
        )
    return y, np.zeros(y.size, dtype=np.int64), judge_y, np.zeros(judge_y.size, dtype=np.int64), None


def _digest(table: Table, how: str) -> str:
    words = f"{_DIGEST}\n{model_told(table.estimator)}\n{scorer_told(table.scoring)}\n{how}\n{table.floor!r}"
    digest = hashlib.blake2b(words.encode(), digest_size=32)
    if table.classes is not None:
        digest.update(repr(table.classes.tolist()).encode())
    for x, codes, y in ((table.x, table.codes, table.y), (table.judges, table.judge_codes, table.judge_y)):
        digest.update(digest_of(x, codes))
        if table.classes is None:
            digest.update(np.ascontiguousarray(y).data)
    digest.update(table.starts.data)
    digest.update(table.order.data)
    return digest.hexdigest()


# -- which way ------------------------------------------------------------------------------------


def _choose(table: Table) -> tuple[str, _Maker]:
    """The quickest way that gives the scores of scikit-learn, in words and as what makes its learners."""
    plan = logistic_learner.plan_for(table) or fast_learners.plan_for(table)
    if isinstance(plan, str):
        return f"refitted from scratch for each coalition (no fast path for {plan})", Refit
    return plan.how, plan.make
