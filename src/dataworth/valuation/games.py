"""Games of providers: what a model trained on a coalition's rows scores on public validation points.

A utility (``RidgeAccuracy``, ``ModelScore``, ``NeighborAccuracy``) is a frozen record of parameters; with players and
a validation set it makes a :class:`Game`, which answers one question: what is this coalition worth?
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError, MethodError
from dataworth.kernels import ridge
from dataworth.kernels.neighbors import Metric, link
from dataworth.kernels.team import team_size
from dataworth.records import Points
from dataworth.records.points import missing_features
from dataworth.valuation.methods import ThresholdKNNShapley
from dataworth.valuation.parameters import check_whole
from dataworth.valuation.scoring import (
    Scorer,
    check_scorer,
    for_rows,
    guessing_score,
    model_copy,
    model_told,
    scorer_named,
    scorer_told,
    seed_of,
    seeded,
    takes_seed,
)
from dataworth.valuation.task import Task, check_same_kind, class_list, encode, link_panels
from dataworth.valuation.telling import check_told, tell

__all__ = ["Game", "Labels", "ModelScore", "NeighborAccuracy", "RidgeAccuracy", "Scorer", "Utility"]

Labels: TypeAlias = Sequence[Any] | NDArray[Any]
"""Class labels, each once."""


class Game(Protocol):
    """What every coalition of some players is worth."""

    @property
    def floor(self) -> float:
        """The utility of no rows at all."""

    @property
    def repeats(self) -> int:
        """How many utilities a coalition has: one for each seed of its model."""

    @property
    def noisy(self) -> bool:
        """Whether another seed could give another utility."""

    @property
    def alike(self) -> tuple[int, ...]:
        """A number for each player: the same for players with the same rows, -1 for those without rows."""

    @property
    def digest(self) -> str:
        """Of everything that utilities depend on."""

    def utility(self, members: NDArray[np.bool_], repeat: int) -> float:
        """What a coalition is worth.

        Args:
            members: Who is in it, bool, ``(players,)``.
            repeat: Which of the repeats, from 0; the same repeat has the same seed in every coalition.
        """

    def describe(self) -> str:
        """What is measured, on one line."""


@runtime_checkable
class Utility(Protocol):
    """How a coalition of providers is judged."""

    def game(self, players: Sequence[Points | None], validation: Points, classes: Labels | None = None) -> Game:
        """The game of these players.

        Args:
            players: The rows of each; None for one who declares that there are none.
            validation: Public points that judge.
            classes: All labels there are, public; by default those of the validation set.

        Raises:
            DataError: Features or labels that do not fit together.
            InputError: No player, or ``classes`` is no list of different labels.
        """


# -- the default: a closed form -------------------------------------------------------------------


@dataclass(frozen=True)
class RidgeAccuracy:
    """Accuracy of a ridge classifier, which costs one small solve a coalition however many rows there are.

    Columns are standardised by the validation set, which is public (a column constant there is only centred; what
    lies more than 10 standard deviations out counts as 10), and divided by the square root of their number. A class
    that a coalition has no row of is never predicted; a coalition with rows of one class predicts that class; one
    without rows guesses among all classes and scores ``1 / classes``.

    Args:
        penalty: On the squared weights, not on the intercept; above 0. A penalty of 1 weighs as much as one more
            row of typical length, whatever the number of columns.
        random_features: Random Fourier features of a Gaussian kernel, as wide as the median distance of validation
            rows, in place of the columns: how many. None keeps the columns.
        seed: Of the random features; public.

    Raises:
        MethodError: A parameter out of range.

    Example:
        >>> import dataworth as dw
        >>> validation = dw.Points([[-2.0], [-1.0], [1.0], [2.0]], ["low", "low", "high", "high"])
        >>> game = RidgeAccuracy().game([dw.Points([[-1.0], [1.5]], ["low", "high"]), None], validation)
        >>> game.floor, game.utility(np.array([True, True]), 0)
        (0.5, 1.0)
    """

    penalty: float = 1.0
    random_features: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        penalty: object = self.penalty  # whatever was given
        number = isinstance(penalty, Real) and not isinstance(penalty, bool)
        if not number or not 0 < self.penalty < math.inf:
            raise MethodError(f"penalty must be a number above 0 and finite, not {self.penalty!r}")
        if self.random_features is not None:
            check_whole("random_features", self.random_features, 1)
        check_whole("seed", self.seed, 0)

    def game(self, players: Sequence[Points | None], validation: Points, classes: Labels | None = None) -> Game:
        """The game of these players; see :meth:`Utility.game`."""
        seats = _Seats.of(players, validation, classes)
        features = ridge.FeatureMap.of(validation.x, self.random_features, self.seed)
        known: dict[int, ridge.Statistics] = {}
        for kind, points, codes in zip(seats.alike, seats.points, seats.codes, strict=True):
            if points is not None and kind not in known:  # players with the same rows share one set of sums
                known[kind] = ridge.collect(features, points.x, codes, seats.n_classes)
        sums = {player: known[kind] for player, kind in enumerate(seats.alike) if kind in known}
        return _RidgeGame(self, seats, features, sums, features(validation.x))

    def fit(
        self, x: NDArray[Any], codes: NDArray[np.int64], n_classes: int, *, public: NDArray[Any] | None = None
    ) -> ridge.LinearClassifier:
        """The classifier of these rows; ``model.predict(x)`` gives codes, each from its row alone.

        Args:
            x: Rows, ``(n, d)``, at least one.
            codes: Class of each row as its place in the list of classes, ``(n,)``.
            n_classes: Length of that list.
            public: Rows that set mean, deviation and width of the features, ``(m, d)``; by default ``x`` itself.

        Example:
            >>> x = np.array([[-1.0], [1.0]])
            >>> RidgeAccuracy().fit(x, np.array([0, 1]), 2).predict(np.array([[0.2], [-0.3]])).tolist()
            [1, 0]
        """
        features = ridge.FeatureMap.of(x if public is None else public, self.random_features, self.seed)
        return ridge.solve(features, ridge.collect(features, x, codes, n_classes), float(self.penalty))


@dataclass(frozen=True)
class NeighborAccuracy:
    """The soft accuracy of the Threshold-KNN classifier: no training, exact, from two counts a provider and point.

    A coalition is worth the mean, over validation points, of the share of its rows within the radius that have the
    point's label; ``1 / classes`` where it has no row within the radius.

    Args:
        radius: In the metric's unit; inside means ``<=``.
        metric: ``"cosine"`` (1 - cosine similarity, in [0, 2]) or ``"euclidean"``.

    Raises:
        MethodError: A parameter out of range.

    Example:
        >>> import dataworth as dw
        >>> validation = dw.Points([[1.0, 0.0], [0.0, 1.0]], ["cat", "dog"])
        >>> game = NeighborAccuracy(0.5).game([dw.Points([[1.0, 0.1]], ["cat"]), None], validation)
        >>> game.utility(np.array([True, False]), 0)
        0.75
    """

    radius: float
    metric: Metric = "cosine"

    def __post_init__(self) -> None:
        ThresholdKNNShapley(self.radius, metric=self.metric)  # the same parameters, so the same rules

    def game(self, players: Sequence[Points | None], validation: Points, classes: Labels | None = None) -> Game:
        """The game of these players; see :meth:`Utility.game`."""
        seats = _Seats.of(players, validation, classes)
        nobody = np.zeros((2, len(validation)), dtype=np.int64)
        known: dict[int, NDArray[np.int64]] = {-1: nobody}
        for kind, points, codes in zip(seats.alike, seats.points, seats.codes, strict=True):
            if points is not None and kind not in known:
                task = Task(points, validation, codes, seats.point_codes, seats.n_classes)
                known[kind] = self._counts(task)
        return _NeighborGame(self, seats, np.stack([known[kind] for kind in seats.alike]))

    def _counts(self, task: Task) -> NDArray[np.int64]:
        """Rows within the radius of each point, of its label and of others, ``(2, n_validation)``."""
        threads = team_size(None)
        rows, judges = task.ready(self.metric, "float32", threads)
        parts = [
            np.stack(link(rows, judges.take(panel.start, panel.stop), self.radius, threads=threads).counts())
            for panel in link_panels(rows, judges)
        ]
        return np.concatenate(parts, axis=1)


@dataclass(frozen=True)
class ModelScore:
    """The score of any scikit-learn classifier, trained anew on every coalition.

    Repeat r has the same seed in every coalition, so that differences between coalitions are not differences between
    seeds. A coalition without rows, or with rows of one class only, scores what knowing nothing scores: ``1 / classes``
    for accuracy, else the mean score of 100 models that guess uniformly among the classes
    (``DummyClassifier("uniform")``). A model that ends in nearest neighbours, and has fewer rows than it asks for
    neighbours, lets all rows vote.

    Args:
        estimator: A classifier or pipeline; it is copied, never trained itself. Every ``random_state`` in it is set,
            whatever it was.
        scoring: The name of a scorer of scikit-learn, or a callable ``scorer(estimator, x, y)``.
        repeats: How many trainings a coalition's utility is the mean of.
        seed: Of all repeats.

    Raises:
        MethodError: No classifier, an unknown scorer, or more repeats than one of a model that takes no seed.

    Example:
        >>> import dataworth as dw
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> validation = dw.Points([[-2.0], [-1.0], [1.0], [2.0]], ["low", "low", "high", "high"])
        >>> players = [dw.Points([[-1.0], [1.5]], ["low", "high"]), dw.Points([[1.0]], ["high"])]
        >>> game = ModelScore(DecisionTreeClassifier()).game(players, validation)
        >>> game.utility(np.array([True, False]), 0), game.utility(np.array([False, True]), 0)
        (1.0, 0.5)
    """

    estimator: Any
    scoring: str | Scorer = "accuracy"
    repeats: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        from sklearn.base import is_regressor

        check_whole("repeats", self.repeats, 1)
        check_whole("seed", self.seed, 0)
        copy = model_copy(self.estimator)
        if copy is None or is_regressor(copy):
            raise MethodError(
                f"estimator must be a scikit-learn classifier or pipeline, not {type(self.estimator).__name__}"
            )
        check_scorer(copy, self.scoring)
        object.__setattr__(self, "estimator", copy)
        if self.repeats > 1 and not takes_seed(copy):
            raise MethodError(
                f"{type(copy).__name__} takes no random_state, so all {self.repeats} repeats would be the same; use "
                "repeats=1"
            )

    def game(self, players: Sequence[Points | None], validation: Points, classes: Labels | None = None) -> Game:
        """The game of these players; see :meth:`Utility.game`."""
        seats = _Seats.of(players, validation, classes)
        floor = guessing_score(self.scoring, seats.classes, seats.validation.x, seats.labels)
        return _ModelGame(self, seats, floor)

    def __repr__(self) -> str:
        model = " ".join(repr(self.estimator).split())
        return f"ModelScore({model}, scoring={scorer_named(self.scoring)}, repeats={self.repeats}, seed={self.seed})"


# -- players at the table -------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Seats:
    """Players and validation points, checked, with labels as places in the list of classes."""

    points: tuple[Points | None, ...]
    codes: tuple[NDArray[np.int64], ...]
    alike: tuple[int, ...]
    validation: Points
    point_codes: NDArray[np.int64]
    classes: NDArray[Any]
    digest: str
    """Of players, validation points and classes, in their order."""

    @classmethod
    def of(cls, players: Sequence[Points | None], validation: Points, classes: Labels | None) -> _Seats:
        if not isinstance(validation, Points) or not all(one is None or isinstance(one, Points) for one in players):
            raise InputError("players and validation must be dataworth.Points; a player who declares no rows is None")
        if not players:
            raise InputError("a game needs one player or more")
        known, point_codes = judged(validation, classes)
        codes = tuple(codes_of(one, f"player {number}", validation, known) for number, one in enumerate(players))
        digests = [b"" if one is None else digest_of(one.x, theirs) for one, theirs in zip(players, codes, strict=True)]
        first = {digest: number for number, digest in reversed(list(enumerate(digests)))}
        alike = tuple(first[digest] if digest else -1 for digest in digests)
        whole = hashlib.blake2b(digest_of(validation.x, point_codes) + repr(known.tolist()).encode(), digest_size=32)
        for digest in digests:
            whole.update(digest or bytes(32))
        return cls(tuple(players), codes, alike, validation, point_codes, known, whole.hexdigest())

    @property
    def n_classes(self) -> int:
        return int(self.classes.size)

    @cached_property
    def labels(self) -> NDArray[Any]:
        """The validation labels, in the type of the classes."""
        return self.classes[self.point_codes]

    def rows(self, members: NDArray[np.bool_]) -> tuple[list[NDArray[Any]], list[NDArray[np.int64]]]:
        """The rows and codes of each member who has any."""
        seated = [
            (one.x, theirs)
            for one, theirs, here in zip(self.points, self.codes, members.tolist(), strict=True)
            if here and one is not None
        ]
        return [x for x, _ in seated], [theirs for _, theirs in seated]


def judged(validation: Points, classes: Labels | None) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """All classes there are, ascending, and those of the validation points as places among them.

    Raises:
        DataError: Missing features, fewer than two classes, or validation labels that are not among them.
        MethodError: Labels are numbers with fractions.
    """
    if validation.missing:
        raise missing_features(validation.missing, len(validation))
    if not validation.has_classes:
        raise MethodError("validation labels are numbers with fractions, which are no classes")
    known = class_list(validation, classes.tolist() if isinstance(classes, np.ndarray) else classes)
    if known.size < 2:
        raise DataError(f"a game needs two classes or more to tell apart, not {known.size}")
    codes = encode(validation.y, known)
    strange = int((codes < 0).sum())
    if strange:
        raise DataError(f"{strange} of {len(validation)} validation labels are not among the classes given")
    return known, codes


def codes_of(player: Points | None, name: str, validation: Points, classes: NDArray[Any]) -> NDArray[np.int64]:
    """The classes of a player's rows; errors call the player by the name given, and never quote a row.

    Raises:
        DataError: Features or labels that do not fit those of the validation set.
    """
    if player is None:
        return np.empty(0, dtype=np.int64)
    if player.missing:
        raise DataError(f"{name}: {missing_features(player.missing, len(player))}")
    ours, theirs = player.x.shape[1], validation.x.shape[1]
    if ours != theirs:
        raise DataError(f"{name} has {ours} columns, but the validation set has {theirs}")
    if player.features is not None and validation.features is not None and player.features != validation.features:
        raise DataError(f"{name} has other columns than the validation set, or the same in another order")
    check_same_kind(player.y, classes, f"labels of {name}")
    codes = encode(player.y, classes)
    strange = int((codes < 0).sum())
    if strange:
        raise DataError(f"{strange} of {len(player)} labels of {name} are none of the {classes.size} classes")
    return codes


def digest_of(x: NDArray[Any], codes: NDArray[np.int64]) -> bytes:
    """Of rows and their classes, whatever type the rows came in."""
    digest = hashlib.blake2b(f"{x.shape}".encode(), digest_size=32)
    for start in range(0, len(x), 4096):
        digest.update(np.ascontiguousarray(x[start : start + 4096], dtype=np.float64).data)
    digest.update(np.ascontiguousarray(codes).data)
    return digest.digest()


# -- games ----------------------------------------------------------------------------------------


class _Seated:
    """What all games share: who sits at the table."""

    repeats = 1
    noisy = False

    def __init__(self, utility: Utility, seats: _Seats) -> None:
        self._rule = utility
        self._seats = seats
        self.alike = seats.alike

    @property
    def floor(self) -> float:
        return 1.0 / self._seats.n_classes

    @property
    def digest(self) -> str:
        return hashlib.blake2b(f"{self._told()}\n{self._seats.digest}".encode(), digest_size=32).hexdigest()

    def describe(self) -> str:
        return repr(self._rule)

    def _told(self) -> str:
        """Every parameter of the utility."""
        return repr(self._rule)


class _RidgeGame(_Seated):
    def __init__(
        self,
        utility: RidgeAccuracy,
        seats: _Seats,
        features: ridge.FeatureMap,
        sums: dict[int, ridge.Statistics],
        judges: NDArray[np.float64],
    ) -> None:
        super().__init__(utility, seats)
        self._penalty = float(utility.penalty)
        self._features, self._sums, self._judges = features, sums, judges
        self._begun: list[tuple[int, ridge.Statistics]] = []  # the last coalition's sums, member by member

    def utility(self, members: NDArray[np.bool_], repeat: int) -> float:
        sums = self._sum(members)
        if sums is None:
            return self.floor
        with ridge.one_thread():
            found = ridge.solve(self._features, sums, self._penalty).choose(self._judges)
        return float((found == self._seats.point_codes).mean())

    def _sum(self, members: NDArray[np.bool_]) -> ridge.Statistics | None:
        """Members added from last to first, always: so a coalition's sum is the same however one came to it.

        Coalitions that follow each other as binary numbers share their last members, whose sum is kept.
        """
        seated = [member for member in np.flatnonzero(members)[::-1].tolist() if member in self._sums]
        shared = 0
        while shared < min(len(seated), len(self._begun)) and self._begun[shared][0] == seated[shared]:
            shared += 1
        del self._begun[shared:]
        for member in seated[shared:]:
            own = self._sums[member]
            self._begun.append((member, ridge.add_up([self._begun[-1][1], own]) if self._begun else own))
        return self._begun[-1][1] if self._begun else None


class _NeighborGame(_Seated):
    def __init__(self, utility: NeighborAccuracy, seats: _Seats, counts: NDArray[np.int64]) -> None:
        super().__init__(utility, seats)
        self._counts = counts  # (players, 2, n_validation)

    def utility(self, members: NDArray[np.bool_], repeat: int) -> float:
        same, other = self._counts[members].sum(axis=0)
        near = same + other
        shares = np.divide(same, near, out=np.full(near.size, self.floor), where=near > 0)
        return math.fsum(shares.tolist()) / len(shares)


class _ModelGame(_Seated):
    def __init__(self, utility: ModelScore, seats: _Seats, guessing: float) -> None:
        super().__init__(utility, seats)
        self._model = utility
        self._guessing = guessing
        self.repeats = utility.repeats
        self.noisy = bool(takes_seed(utility.estimator))

    @property
    def floor(self) -> float:
        return self._guessing

    def utility(self, members: NDArray[np.bool_], repeat: int) -> float:
        rows, codes = self._seats.rows(members)
        if not rows:
            return self._guessing
        labels = self._seats.classes[np.concatenate(codes)]
        if (labels == labels[0]).all():
            return self._guessing
        model = seeded(self._model.estimator, seed_of(self._model.seed, repeat))
        model = for_rows(model, labels.size).fit(np.concatenate(rows), labels)
        scorer = check_scorer(model, self._model.scoring)
        # Copies, as a model or scorer may write into what it is given.
        return float(scorer(model, self._seats.validation.x.copy(), self._seats.labels.copy()))

    def _told(self) -> str:
        rule = self._model  # whose repr has addresses in memory where models or scorers hold functions
        check_told([*tell(rule.scoring).missed, *tell(rule.estimator).missed])
        return f"model 2 {rule.repeats} {rule.seed} {scorer_told(rule.scoring)} {model_told(rule.estimator)}"
