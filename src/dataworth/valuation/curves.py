"""The removal curve: what happens to a model when the lowest, the highest or random rows leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, MethodError
from dataworth.records import Points, Table, Values
from dataworth.valuation.reading import check_same_features

__all__ = ["removal_curve", "values_of"]

DEFAULT_FRACTIONS = tuple(round(0.05 * step, 2) for step in range(11))


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
            a remainder, or the fractions or repeats make no sense.

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
    check_same_features(train, validation)
    if not (train.has_classes and validation.has_classes):
        raise MethodError(
            "a removal curve measures accuracy, so its labels must be classes, not numbers with fractions"
        )
    shares = _check_fractions(DEFAULT_FRACTIONS if fractions is None else fractions)
    if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
        raise MethodError(f"repeats must be a positive integer, not {repeats!r}")
    fresh = _seeded(model, seed)
    n = len(train)
    drop = [round(share * n) for share in shares]

    # Every order starts from the same full set: one fit serves them all.
    full = _accuracy(fresh, train, np.arange(n), validation) if 0 in drop else np.nan

    def accuracies(order: NDArray[np.intp]) -> list[float]:
        kept = (np.sort(order[count:]) for count in drop)  # in the rows' own order, which some models depend on
        return [full if at.size == n else _accuracy(fresh, train, at, validation) for at in kept]

    rng = np.random.default_rng(seed)
    # Equal values leave in a random order: rows often lie sorted by class, and that order must not tell.
    ties = rng.permutation(n)
    lowest = accuracies(np.lexsort((ties, by_row)))
    highest = accuracies(np.lexsort((ties, -by_row)))
    random = np.array([accuracies(rng.permutation(n)) for _ in range(repeats)])
    return Table(
        "removal-curve",
        "Accuracy as rows are removed",
        {
            "removed": shares,
            "lowest first": lowest,
            "highest first": highest,
            "random": random.mean(axis=0).tolist(),
            "random, lowest run": random.min(axis=0).tolist(),
            "random, highest run": random.max(axis=0).tolist(),
        },
        note=(
            f"Accuracy of {_name(fresh)} on {len(validation):,} validation points, trained on what is left "
            f"of {n:,} rows. Random removal: {repeats} orders."
        ),
    )


def values_of(values: Values, train: Points) -> NDArray[np.float64]:
    """The value of each row of ``train``, matched by id, shape ``(n,)``.

    Raises:
        DataError: The ids of the two are not the same.
    """
    if np.array_equal(values.ids, train.ids):
        return values.values
    if (values.ids.dtype.kind == "U") == (train.ids.dtype.kind == "U"):
        order = np.argsort(values.ids, kind="stable")
        at = np.searchsorted(values.ids, train.ids, sorter=order)
        found = order[np.minimum(at, len(values) - 1)]
        missing = int((values.ids[found] != train.ids).sum())
        if missing == 0 and len(values) == len(train):
            return values.values[found]
        said = f"{missing} of {len(train)} training rows have no value, and there are {len(values)} values"
    else:
        said = f"the ids of the values are {values.ids.dtype}, those of the training rows {train.ids.dtype}"
    raise DataError(f"these values are for other rows: {said}; give the very points that were valued")


def _check_fractions(fractions: Sequence[float]) -> list[float]:
    shares = [float(share) for share in fractions]
    if not shares or not all(0 <= share <= 1 for share in shares) or sorted(set(shares)) != shares:
        raise MethodError(f"fractions must be rising shares from 0 to 1, for example [0, 0.1, 0.2], not {fractions!r}")
    return shares


def _seeded(model: Any, seed: int) -> Any:
    """An untrained copy whose every unset ``random_state`` is the seed."""
    from sklearn.base import clone, is_regressor

    try:
        fresh = clone(model)
    except TypeError:
        fresh = None
    if fresh is None or not hasattr(fresh, "predict") or is_regressor(fresh):
        raise MethodError(f"model must be a scikit-learn classifier or pipeline, not {type(model).__name__}")
    unset = [
        key for key, value in fresh.get_params().items() if key.split("__")[-1] == "random_state" and value is None
    ]
    return fresh.set_params(**dict.fromkeys(unset, seed))


def _name(model: Any) -> str:
    """What a model is called: a pipeline, by what it ends in."""
    steps = getattr(model, "steps", None)
    return type(steps[-1][1] if steps else model).__name__


def _accuracy(fresh: Any, train: Points, kept: NDArray[np.intp], validation: Points) -> float:
    from sklearn.base import clone
    from threadpoolctl import threadpool_limits

    if kept.size == 0:
        return 1.0 / np.unique(validation.y).size
    y = train.y[kept]
    if (y == y[0]).all():
        return float(np.mean(validation.y == y[0]))
    try:
        # Scores of small fits: on a busy machine, threads that wait for each other would cost minutes.
        with threadpool_limits(1):
            predicted = clone(fresh).fit(train.x[kept], y).predict(validation.x)
    except ValueError as error:
        raise MethodError(
            f"{_name(fresh)} cannot be trained on the {kept.size} rows left of {len(train)} ({type(error).__name__}); "
            "remove smaller fractions, or use a model that needs fewer rows"
        ) from error
    return float(np.mean(predicted == validation.y))
