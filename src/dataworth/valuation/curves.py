"""Curves of retraining: what happens to a model when the lowest, the highest or random rows leave, or come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, MethodError
from dataworth.records import Points, Table, Values
from dataworth.valuation.parameters import check_whole
from dataworth.valuation.reading import check_same_features
from dataworth.valuation.scoring import model_copy, takes_seed

__all__ = [
    "ADDED",
    "REMOVED",
    "Orders",
    "Retraining",
    "check_seed",
    "lines_of",
    "match_ids",
    "removal_curve",
    "table_of_runs",
    "values_of",
]

DEFAULT_FRACTIONS = tuple(round(0.05 * step, 2) for step in range(11))
REMOVED, ADDED = "removed", "added"
MOST_SEED = 2**32 - 1  # what models take
_RUNS = ("random", "random, lowest run", "random, highest run")


def removal_curve(
    values: Values,
    train: Points,
    validation: Points,
    model: Any,
    *,
    fractions: Sequence[float] | None = None,
    repeats: int = 5,
    seed: int = 0,
) -> Table:
    """Accuracy on the validation points as rows leave the training set, by value and at random.

    Good values make the first curve stay up or rise (the lowest rows were no help) and the second fall fast
    (the highest rows carried the model), with random removal between them. The model may be any classifier:
    it need not be the one the values stand on.

    The accuracy of a remainder that no model can be trained on is what a constant answer gets: with one class
    left, that class; with no rows left, a guess, ``1 / number of validation classes``.

    Args:
        values: Values of the rows of ``train``, matched by id, in any order.
        train: The points that were valued.
        validation: The points that judge, best other ones than those that gave the values.
        model: A scikit-learn classifier or pipeline. It is cloned for every fit; a ``random_state`` of None
            is set to ``seed``.
        fractions: Shares of rows to remove, from 0 to 1; ``0, 0.05, ..., 0.5`` if not given.
        repeats: How many random orders to average.
        seed: Seed of the random orders, of ties between equal values, and of the model.

    Returns:
        Columns ``removed`` (the share), ``lowest first``, ``highest first``, ``random`` (mean over the
        repeats), ``random, lowest run`` and ``random, highest run``, all accuracies in [0, 1].

    Raises:
        DataError: The ids of ``values`` and ``train`` differ, or ``train`` and ``validation`` do not have the
            same features.
        MethodError: The labels are numbers with fractions, the model is no classifier or cannot be trained on
            a remainder, or the fractions, repeats or seed make no sense.

    Example:
        >>> import dataworth as dw
        >>> from sklearn.neighbors import KNeighborsClassifier
        >>> points = dw.Points([[0.0], [0.1], [1.0], [1.1]], ["a", "b", "b", "b"])
        >>> values = dw.Values(points.ids, [0.2, -0.1, 0.1, 0.1], method="by hand", n_validation=4)
        >>> curve = dw.removal_curve(values, points, points, KNeighborsClassifier(1), fractions=[0, 0.5, 1])
        >>> curve.columns["lowest first"]
        (1.0, 0.75, 0.5)
    """
    by_row = values_of(values, train)
    job = Retraining(model, train, validation, fractions=fractions, repeats=repeats, seed=seed)
    return table_of_runs(
        "removal-curve",
        "Accuracy as rows are removed",
        REMOVED,
        job,
        {
            "lowest first": job.removing(job.orders.lowest_first(by_row)),
            "highest first": job.removing(job.orders.highest_first(by_row)),
        },
        [job.removing(order) for order in job.orders.random],
    )


@dataclass(frozen=True, eq=False)
class Orders:
    """Orders in which rows leave or come: by value, and at random.

    Args:
        ties: Equal values go in this order, a permutation of the rows, ``(n,)``: rows often lie sorted by class, and
            the order of the file must not tell.
        random: Random orders, each ``(n,)``.
    """

    ties: NDArray[np.int64]
    random: tuple[NDArray[np.int64], ...]

    @classmethod
    def drawn(cls, n: int, repeats: int, seed: int) -> Orders:
        """Ties and ``repeats`` random orders of ``n`` rows, the same ones for the same seed."""
        rng = np.random.default_rng(seed)
        return cls(rng.permutation(n), tuple(rng.permutation(n) for _ in range(repeats)))

    def lowest_first(self, by_row: NDArray[np.float64]) -> NDArray[np.intp]:
        """Positions of the rows, the lowest value first, ``(n,)``."""
        return np.lexsort((self.ties, by_row))

    def highest_first(self, by_row: NDArray[np.float64]) -> NDArray[np.intp]:
        """Positions of the rows, the highest value first, ``(n,)``."""
        return np.lexsort((self.ties, -by_row))


class Retraining:
    """The accuracy of one model trained on one part of the rows after another; each part is trained on once.

    Args:
        model: A scikit-learn classifier or pipeline, cloned for every fit; an unset ``random_state`` is ``seed``.
        train: The rows that leave or come.
        judges: The points that judge.
        fractions: Rising shares of the rows; ``0, 0.05, ..., 0.5`` if not given.
        repeats: How many random orders there are.
        seed: Seed of the random orders, of ties and of the model.

    Raises:
        DataError: ``train`` and ``judges`` do not have the same features.
        MethodError: The labels are numbers with fractions, the model is no classifier, or the fractions, repeats or
            seed make no sense.

    Example:
        >>> import dataworth as dw, numpy as np
        >>> from sklearn.neighbors import KNeighborsClassifier
        >>> points = dw.Points([[0.0], [0.1], [1.0], [1.1]], ["a", "b", "b", "b"])
        >>> job = Retraining(KNeighborsClassifier(1), points, points, fractions=[0, 0.5, 1])
        >>> job.removing(np.array([1, 2, 3, 0])), job.adding(np.array([1, 2, 3, 0])), job.fits
        ([1.0, 0.75, 0.5], [0.5, 0.75, 1.0], 2)
    """

    def __init__(
        self,
        model: Any,
        train: Points,
        judges: Points,
        *,
        fractions: Sequence[float] | None = None,
        repeats: int = 5,
        seed: int = 0,
    ) -> None:
        check_seed(seed)
        check_same_features(train, judges)
        if not (train.has_classes and judges.has_classes):
            raise MethodError(
                "curves of rows that leave or come measure accuracy, so labels must be classes, not numbers with "
                "fractions"
            )
        self.shares = _check_fractions(DEFAULT_FRACTIONS if fractions is None else fractions)
        if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
            raise MethodError(f"repeats must be a positive integer, not {repeats!r}")
        self.fits = 0
        self.train, self.judges = train, judges
        self.orders = Orders.drawn(len(train), repeats, seed)
        self._fresh = _seeded(model, seed)
        self._known: dict[bytes, float] = {}

    @property
    def model(self) -> str:
        """What the model is called."""
        return _name(self._fresh)

    def removing(self, order: NDArray[np.intp]) -> list[float]:
        """Accuracy without the first rows of an order, at each share."""
        return [self.accuracy(order[count:]) for count in self._counts()]

    def adding(self, order: NDArray[np.intp]) -> list[float]:
        """Accuracy with the first rows of an order alone, at each share."""
        return [self.accuracy(order[:count]) for count in self._counts()]

    def accuracy(self, rows: NDArray[np.intp]) -> float:
        """Accuracy of the model trained on these rows, in the rows' own order, which some models depend on."""
        taken = np.zeros(len(self.train), dtype=np.bool_)
        taken[rows] = True
        key = np.packbits(taken).tobytes()
        if key not in self._known:
            self._known[key] = self._train_on(np.flatnonzero(taken))
        return self._known[key]

    def _counts(self) -> list[int]:
        return [round(share * len(self.train)) for share in self.shares]

    def _train_on(self, rows: NDArray[np.intp]) -> float:
        from sklearn.base import clone
        from threadpoolctl import threadpool_limits

        judges = self.judges
        if rows.size == 0:
            return 1.0 / np.unique(judges.y).size
        y = self.train.y[rows]
        if (y == y[0]).all():
            return float(np.mean(judges.y == y[0]))
        self.fits += 1
        try:
            # Scores of small fits: on a busy machine, threads that wait for each other would cost minutes.
            with threadpool_limits(1):
                predicted = clone(self._fresh).fit(self.train.x[rows], y).predict(judges.x)
        except ValueError as error:
            raise MethodError(
                f"{self.model} cannot be trained on {rows.size} of {len(self.train)} rows ({type(error).__name__}); "
                "choose fractions that leave more rows, or a model that needs fewer"
            ) from error
        return float(np.mean(predicted == judges.y))


def table_of_runs(
    name: str,
    title: str,
    along: str,
    job: Retraining,
    lines: dict[str, list[float]],
    random: Sequence[Sequence[float]],
) -> Table:
    """A table of accuracies: the shares, a column a line, and the mean, lowest and highest of the random runs."""
    runs = np.array(random)
    ends = {key: figures.tolist() for key, figures in zip(_RUNS, (runs.mean(0), runs.min(0), runs.max(0)), strict=True)}
    kind, rest = ("Random removal", "what is left") if along == REMOVED else ("Random addition", "the first")
    return Table(
        name,
        title,
        {along: job.shares, **lines, **ends},
        note=(
            f"Accuracy of {job.model} on {len(job.judges):,} validation points, trained on {rest} "
            f"of {len(job.train):,} rows. {kind}: {runs.shape[0]} orders."
        ),
    )


def lines_of(curve: Table, x: str, series: Sequence[str], *, names: tuple[str, str, str]) -> Table:
    """A wide table of lines as pictures want it: one column along, one that names the line, one up.

    Args:
        curve: A column along, and a column a line.
        x: The column along.
        series: The columns that are lines, in the order of the legend.
        names: What the three columns are called.

    Example:
        >>> from dataworth.records import Table
        >>> wide = Table("t", "T", {"x": [0, 1], "a": [2, 3], "b": [4, 5]})
        >>> lines_of(wide, "x", ["a", "b"], names=("along", "line", "up")).columns["line"]
        ('a', 'a', 'b', 'b')
    """
    along, line, up = names
    columns: dict[str, Sequence[Any]] = {
        along: list(curve.columns[x]) * len(series),
        line: [name for name in series for _ in range(len(curve))],
        up: [cell for name in series for cell in curve.columns[name]],
    }
    return Table(curve.name, curve.title, columns, curve.note)


def values_of(values: Values, train: Points) -> NDArray[np.float64]:
    """The value of each row of ``train``, matched by id, shape ``(n,)``.

    Raises:
        DataError: The ids of the two are not the same.
        MethodError: The values are of owners.
    """
    if values.provenance.get("players") == "owners":
        raise MethodError(
            "these are values of owners, but curves, neighbours and known bad rows are about rows; write_report shows "
            'values of owners as they are, and players="rows" gives values of rows'
        )
    try:
        return values.values[match_ids(values.ids, train.ids)]
    except DataError as error:
        raise DataError(f"these values are for other rows: {error}; give the very points that were valued") from None


def match_ids(given: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.intp]:
    """Where each wanted id is among the given ones, shape ``(n,)``.

    Args:
        given: Names of the rows that have values, none twice.
        wanted: Names of the very same rows in any order, shape ``(n,)``.

    Raises:
        DataError: They are not the same ones; the message says how many differ.

    Example:
        >>> match_ids(np.array(["a", "b", "c"]), np.array(["c", "a", "b"])).tolist()
        [2, 0, 1]
    """
    if np.array_equal(given, wanted):
        return np.arange(given.size)
    if (given.dtype.kind == "U") != (wanted.dtype.kind == "U"):
        raise DataError(f"their ids are {given.dtype}, not {wanted.dtype}")
    missing, at = wanted.size, np.zeros(0, dtype=np.intp)
    if given.size:
        order = np.argsort(given, kind="stable")
        at = order[np.minimum(np.searchsorted(given, wanted, sorter=order), given.size - 1)]
        missing = int((given[at] != wanted).sum())
    if missing or given.size != wanted.size:
        raise DataError(f"{missing} of {wanted.size} rows have no value, and there are {given.size} values")
    return at


def check_seed(seed: int) -> None:
    """Refuse a seed that random orders or models cannot take.

    Raises:
        MethodError: No whole number, or one below 0 or above ``2**32 - 1``.

    Example:
        >>> check_seed(-1)
        Traceback (most recent call last):
        ...
        dataworth.errors.MethodError: seed must be an integer from 0 to 4294967295, not -1
    """
    check_whole("seed", seed, 0, MOST_SEED)


def _check_fractions(fractions: Sequence[float]) -> list[float]:
    shares = [float(share) for share in fractions]
    if not shares or not all(0 <= share <= 1 for share in shares) or sorted(set(shares)) != shares:
        raise MethodError(f"fractions must be rising shares from 0 to 1, for example [0, 0.1, 0.2], not {fractions!r}")
    return shares


def _seeded(model: Any, seed: int) -> Any:
    """An untrained copy whose every unset ``random_state`` is the seed."""
    from sklearn.base import is_regressor

    fresh = model_copy(model)
    if fresh is None or is_regressor(fresh):
        raise MethodError(f"model must be a scikit-learn classifier or pipeline, not {type(model).__name__}")
    settings = fresh.get_params()
    unset = [name for name in takes_seed(fresh) if settings[name] is None]
    return fresh.set_params(**dict.fromkeys(unset, seed))


def _name(model: Any) -> str:
    """What a model is called: a pipeline, by what it ends in."""
    steps = getattr(model, "steps", None)
    return type(steps[-1][1] if steps else model).__name__
