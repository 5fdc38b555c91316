"""Models whose training is a sum or a ranking: they follow a coalition without being fitted from scratch.

Each gives the score of scikit-learn's own fit, and stands aside (:func:`plan_for` says why) where it could not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from dataworth.kernels.class_sums import RowSums, bayes_right, centroid_right, linear_system, spreads
from dataworth.kernels.neighbor_sets import NeighborSets
from dataworth.valuation.learners import Following, Learner, Table, lone_thread
from dataworth.valuation.scoring import scorer_named

__all__ = ["Bayes", "Centroids", "Linear", "Neighbors", "Plan", "plan_for"]

_LARGEST = 1e100
"""Size of numbers whose squares, and sums of these, still fit in doubles."""

_MOST_RANKS = 2**27  # distances that are ranked, 8 bytes each in every worker

_KEPT_BYTES = 2**28  # of the sums of owners that a learner keeps

_SMALLEST_PIVOT = 1e-10
"""Of a Cholesky factor, squared, as a part of the largest: below it the sums no longer say what the rows say."""


@dataclass(frozen=True)
class Plan:
    """A way to follow coalitions.

    Args:
        how: In words.
        make: What makes its learners; a class or function of a module, so that it can go to other processes.
    """

    how: str
    make: Callable[[Table], Learner]


def plan_for(table: Table) -> Plan | str:
    """The way to follow coalitions of this model, or in words what there is none for."""
    scaled, model = parts_of(table.estimator)
    ways = _ways()
    if type(model) not in ways:
        return type_named(table.estimator)
    way = ways[type(model)]
    if model is not table.estimator and not table.estimator.steps[0][1].copy:
        return "StandardScaler(copy=False)"
    trouble = _trouble(table, scaled, model, way)
    return trouble or Plan(f"{way.how}, scaled by the coalition's own deviations" if scaled else way.how, way.make)


@dataclass(frozen=True)
class _Way:
    """How the models of one class are followed, for one scoring."""

    how: str
    make: Callable[[Table], Learner]
    scoring: str
    odds: Callable[[Any], dict[str, Any]]
    """The settings that change the mathematics."""


def _ways() -> dict[type, _Way]:
    from sklearn.linear_model import LinearRegression, Ridge, RidgeClassifier
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

    return {
        RidgeClassifier: _Way("ridge classifier from sums over rows", Linear, "accuracy", _ridge_odds),
        Ridge: _Way("ridge regression from sums over rows", Linear, "r2", _ridge_odds),
        LinearRegression: _Way("least squares from sums over rows", Linear, "r2", _least_squares_odds),
        NearestCentroid: _Way("nearest centroid from sums over rows", Centroids, "accuracy", _centroid_odds),
        GaussianNB: _Way("Gaussian naive Bayes from sums over rows", Bayes, "accuracy", _bayes_odds),
        KNeighborsClassifier: _Way("nearest neighbours from one ranking", Neighbors, "accuracy", _neighbor_odds),
    }


def _trouble(table: Table, scaled: bool, model: Any, way: _Way) -> str:
    """Why a model is not followed although others of its class are; empty if it is."""
    if table.scoring != way.scoring:
        return f"scoring={scorer_named(table.scoring)}"
    odd = way.odds(model)
    if odd:
        return f"{type(model).__name__}({', '.join(f'{name}={value!r}' for name, value in odd.items())})"
    if way.make is Neighbors and scaled:
        return "neighbours among rows that are scaled anew"
    if way.make is Neighbors and len(table.x) * len(table.judges) > _MOST_RANKS:
        return f"{len(table.x):,} times {len(table.judges):,} distances"
    numbers = (table.x, table.judges) if table.classes is not None else (table.x, table.judges, table.y)
    if max(float(np.abs(part).max()) for part in numbers) > _LARGEST:
        return f"numbers beyond {_LARGEST:g}"
    return ""


def parts_of(estimator: Any) -> tuple[bool, Any]:
    """Whether rows are divided by their deviations first, and the model; a pipeline of other steps is itself the model.

    Centring alone changes none of the models here.
    """
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    if type(estimator) is Pipeline and len(estimator.steps) == 2:
        scaler, model = estimator.steps[0][1], estimator.steps[1][1]
        if type(scaler) is StandardScaler:
            return bool(scaler.with_std), model
    return False, estimator


def type_named(estimator: Any) -> str:
    """The class of a model, with those of its steps if it is a pipeline."""
    from sklearn.pipeline import Pipeline

    if not isinstance(estimator, Pipeline):
        return type(estimator).__name__
    steps = [step if isinstance(step, str) else type(step).__name__ for _, step in estimator.steps]
    return f"{type(estimator).__name__} of {', '.join(steps)}"


# -- settings that change the mathematics ---------------------------------------------------------


def _odd(model: Any, **expected: tuple[Any, ...]) -> dict[str, Any]:
    """The settings that are none of those expected, by name; settings that a release does not have are not odd."""
    given = {name: getattr(model, name) for name in expected if hasattr(model, name)}
    return {
        name: value
        for name, value in given.items()
        if not any(value is one or _same(value, one) for one in expected[name])
    }


def _same(value: object, one: object) -> bool:
    return type(value) is type(one) and isinstance(value, (str, int, float)) and value == one


def _not_above_0(model: Any, name: str) -> dict[str, Any]:
    """The setting if it is no finite number above 0."""
    value = getattr(model, name)
    number = isinstance(value, (Integral, Real)) and not isinstance(value, bool)
    return {} if number and 0 < value < math.inf else {name: value}


def _ridge_odds(model: Any) -> dict[str, Any]:
    odd = _odd(
        model, fit_intercept=(True,), positive=(False,), class_weight=(None,), solver=("auto", "cholesky", "svd")
    )
    return odd | _not_above_0(model, "alpha")


def _least_squares_odds(model: Any) -> dict[str, Any]:
    return _odd(model, fit_intercept=(True,), positive=(False,))


def _centroid_odds(model: Any) -> dict[str, Any]:
    return _odd(model, metric=("euclidean",), shrink_threshold=(None,), priors=("uniform",))


def _bayes_odds(model: Any) -> dict[str, Any]:
    return _odd(model, priors=(None,)) | _not_above_0(model, "var_smoothing")


def _neighbor_odds(model: Any) -> dict[str, Any]:
    odd = _odd(model, weights=("uniform",), metric=("minkowski", "euclidean"), metric_params=(None,))
    if model.metric == "minkowski":
        odd |= _odd(model, p=(2, 2.0))
    return odd | _not_above_0(model, "n_neighbors")


# -- learners -------------------------------------------------------------------------------------


class _OnSums(Following):
    """What learners on sums share: rows, or the sums of owners, come and go."""

    def __init__(self, table: Table, *, targets: bool = False, products: bool = False) -> None:
        super().__init__(table)
        self._scaled, self._model = parts_of(table.estimator)
        # Medians, unlike means, stay where the rows are if one row lies far out.
        self._centre: NDArray[np.float64] = np.median(table.x, axis=0)
        self._d = self._centre.size
        self._x = table.x - self._centre
        if targets:  # as one more column, whose products with the others are needed too
            self._shift = float(np.median(table.y))
            self._x = np.column_stack([self._x, table.y - self._shift])
        self._judges: NDArray[np.float64] = np.ascontiguousarray((table.judges - self._centre).T)
        self._sums = self._new_sums(products)
        self._products = products
        self._owned: dict[int, RowSums] = {}  # the sums of owners met so far
        held = self._sums.sums.nbytes + self._sums.products.nbytes
        self._most_owned = _KEPT_BYTES // max(held, 1)

    def _new_sums(self, products: bool) -> RowSums:
        return RowSums(self._x.shape[1], self.table.n_classes, products=products)

    def _emptied(self) -> None:
        self._sums.clear()

    def _changed(self, players: NDArray[np.int64], sign: int) -> None:
        super()._changed(players, sign)
        if sign > 0:
            self._add(players)
        elif not self._remove(players):
            self._sums.clear()
            self._add(np.flatnonzero(self.members))

    def _add(self, players: NDArray[np.int64]) -> None:
        table = self.table
        if table.one_each:
            self._sums.add(self._x, table.codes, players)
            return
        for player in players.tolist():
            own = self._own(player)
            if own is None:
                self._sums.add(self._x, table.codes, self._rows_of(player))
            else:
                self._sums.merge(own)

    def _remove(self, players: NDArray[np.int64]) -> bool:
        """Whether the sums are still good."""
        table = self.table
        if table.one_each:
            return self._sums.remove(self._x, table.codes, players)
        good = True
        for player in players.tolist():
            own = self._own(player)
            if own is None:
                good &= self._sums.remove(self._x, table.codes, self._rows_of(player))
            else:
                good &= self._sums.part(own)
        return good

    def _own(self, player: int) -> RowSums | None:
        """The sums of an owner's rows; None where adding the rows themselves is as quick, or memory is full."""
        if player not in self._owned:
            rows = self._rows_of(player)
            if rows.size <= self.table.n_classes or len(self._owned) >= self._most_owned:
                return None
            self._owned[player] = self._new_sums(self._products)
            self._owned[player].add(self._x, self.table.codes, rows)
        return self._owned[player]

    def _rows_of(self, player: int) -> NDArray[np.int64]:
        table = self.table
        return table.order[table.starts[player] : table.starts[player + 1]]

    def _scales(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What columns are divided by, and their variances."""
        scales, variances = spreads(self._sums.counts, self._sums.sums[:, :, : self._d], self._centre)
        return (scales if self._scaled else np.ones(self._d)), variances


class Centroids(_OnSums):
    """Nearest centroid."""

    def _judge(self) -> float:
        scales, variances = self._scales()
        if not variances.any():
            return self.refit()  # which refuses rows that are all the same
        table, sums = self.table, self._sums
        right = centroid_right(sums.counts, sums.sums, scales, self._judges, table.judge_codes)
        return int(right) / table.judge_codes.size


class Bayes(_OnSums):
    """Gaussian naive Bayes."""

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self._smoothing = float(self._model.var_smoothing)

    def _judge(self) -> float:
        table, sums = self.table, self._sums
        scales = self._scales()[0] if self._scaled else np.ones(self._d)
        settled, right = bayes_right(sums.counts, sums.sums, scales, self._smoothing, self._judges, table.judge_codes)
        return int(right) / table.judge_codes.size if settled else self.refit()


class Linear(_OnSums):
    """Ridge classifier, ridge regression and least squares: one small system of equations a coalition."""

    def __init__(self, table: Table) -> None:
        super().__init__(table, targets=table.classes is None, products=True)
        self._penalty = float(getattr(self._model, "alpha", 0.0))

    def _judge(self) -> float:
        table, sums, d = self.table, self._sums, self._d
        scales, variances = self._scales()
        n = int(sums.counts.sum())
        matrix, sides, means, target = _equations(sums, d, scales, variances, self._penalty, table.classes is None)
        if table.classes is not None:
            present = np.flatnonzero(sums.counts)
            sides = sides[present[1:]] if present.size == 2 else sides[present]
        with lone_thread():
            # The upper triangle is the lower one of the transpose, which LAPACK reads without a copy.
            factor, weights, trouble = lapack.dposv(matrix.T, sides.T, lower=1)
            pivots = factor.diagonal()
            if trouble or pivots.min() ** 2 < _SMALLEST_PIVOT * pivots.max() ** 2:
                return self.refit()
            weights /= scales[:, np.newaxis]
            found = weights.T @ self._judges - (means @ weights)[:, np.newaxis]
        if table.classes is None:
            return _r2(found[0] + (target + self._shift), table.judge_y)
        shares = sums.counts / n
        if present.size == 2:  # the second class where its indicator is nearer to 1 than to 0
            chosen = present[(found[0] + shares[present[1]] > 0.5).astype(np.int64)]
        else:
            chosen = present[(found + shares[present, np.newaxis]).argmax(axis=0)]
        return int(np.count_nonzero(chosen == table.judge_codes)) / table.judge_codes.size


def _equations(
    sums: RowSums, d: int, scales: NDArray[np.float64], variances: NDArray[np.float64], penalty: float, regression: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]:
    """The matrix, the right sides, the mean row, and the mean target of a regression (0 for classes)."""
    if not regression:
        return *linear_system(sums.counts, sums.sums, sums.products, scales, variances, penalty), 0.0
    # The target is the last column: its products with the others are the right side.
    spread, alive = np.append(scales, 1.0), np.append(variances, 1.0)
    matrix, _, means = linear_system(sums.counts, sums.sums, sums.products, spread, alive, penalty)
    return np.ascontiguousarray(matrix[:d, :d]), matrix[:d, d:].T.copy(), means[:d], float(means[d])


def _r2(found: NDArray[np.float64], targets: NDArray[np.float64]) -> float:
    missed = float(((targets - found) ** 2).sum())
    return 1.0 - missed / float(((targets - targets.mean()) ** 2).sum())


class Neighbors(Following):
    """K nearest neighbours."""

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        k = int(parts_of(table.estimator)[1].n_neighbors)
        self._sets = NeighborSets(table.x, table.codes, table.judges, table.judge_codes, table.n_classes, k)

    def _emptied(self) -> None:
        self._sets.clear()

    def _changed(self, players: NDArray[np.int64], sign: int) -> None:
        super()._changed(players, sign)
        rows = self.table.rows_of(players)
        if sign > 0:
            self._sets.join(rows)
        else:
            self._sets.leave(rows)

    def _judge(self) -> float:
        return self._sets.right() / self.table.judge_codes.size
