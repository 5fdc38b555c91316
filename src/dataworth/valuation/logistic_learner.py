"""Logistic regression that follows a coalition: for the estimators whose optimum our own solver finds."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.kernels.logistic import LogisticPath, parameters
from dataworth.valuation.fast_learners import Plan, parts_of
from dataworth.valuation.learners import Following, Table, lone_thread, scored

__all__ = ["LogisticLearner", "plan_for"]

MOST_PARAMETERS = 160
"""Numbers to find beyond which refitting by scikit-learn is as fast, or faster, for coalitions that have little in
common: see the decision on this solver."""

_PLAIN: dict[str, tuple[object, ...]] = {
    "solver": ("lbfgs", "newton-cg", "newton-cholesky", "sag", "saga"),  # liblinear penalises the intercept
    "penalty": ("l2", "deprecated"),
    "l1_ratio": (None, 0),
    "class_weight": (None,),
    "dual": (False,),
    "verbose": (0,),
    "multi_class": ("deprecated", "auto"),
    "fit_intercept": (True, False),
}
"""Settings with which the objective is ours; scikit-learn's releases have not all of them."""

_COSTS = 1e-6, 1e6  # of C: where the solver was tried
_LARGEST = 1e30  # squares of such numbers are far from overflowing
_LARGEST_UNSCALED = 1e6  # times the root of C: beyond it, rows far from all others leave double precision no digits


def plan_for(table: Table) -> Plan | str | None:
    """The way to follow coalitions of a logistic regression; in words why there is none; None for another model.

    There is one for an l2 penalty without class weights, alone or behind a ``StandardScaler``, whatever the scorer.
    """
    from sklearn.linear_model import LogisticRegression

    scaled, model = parts_of(table.estimator)
    if type(model) is not LogisticRegression or table.classes is None:
        return None
    classes = np.unique(table.codes).size
    odd = _odd_settings(table.estimator, classes)
    if odd:
        return f"LogisticRegression({', '.join(f'{name}={value!r}' for name, value in odd.items())})"
    found = parameters(table.x.shape[1], classes, intercept=model.fit_intercept)
    if found > MOST_PARAMETERS:
        return f"LogisticRegression of {found:,} coefficients, more than {MOST_PARAMETERS}"
    size = float(np.abs(table.x).max())
    if (scaled and size > _LARGEST) or (not scaled and size * math.sqrt(model.C) > _LARGEST_UNSCALED):
        return f"LogisticRegression(C={model.C!r}) of features up to {size:.2g}"
    how = "logistic regression by Newton steps to its optimum, each coalition from the one before"
    return Plan(f"{how}, scaled by the coalition's own deviations" if scaled else how, LogisticLearner)


class LogisticLearner(Following):
    """The optimum of logistic regression, a few Newton steps from that of the coalition before.

    The estimator's ``solver``, ``tol`` and ``max_iter`` do not matter: this is what they approach. Accuracy is counted
    here; any other scorer is given scikit-learn's own estimator, with these coefficients.

    Args:
        table: One for which there is a plan.
    """

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        scaled, model = parts_of(table.estimator)
        self._path = LogisticPath(
            table.x,
            table.codes,
            table.n_classes,
            cost=float(model.C),
            intercept=bool(model.fit_intercept),
            standardize=scaled,
        )
        self.counts = self._path.counts
        self._ready = self._path.ready(table.judges)

    def _changed(self, players: NDArray[np.int64], sign: int) -> None:
        rows = self.table.rows_of(players)
        if sign > 0:
            self._path.join(rows)
        else:
            self._path.leave(rows)

    def _emptied(self) -> None:
        self._path.clear()

    def _judge(self) -> float:
        table = self.table
        try:
            self._path.solve()
            if table.scoring == "accuracy":
                return self._path.count_right(self._ready, table.judge_codes) / table.judge_codes.size
            with lone_thread():
                return scored(table, self._model())
        except Exception as trouble:
            raise self._failed(self._path.size, trouble) from trouble

    def _model(self) -> Any:
        """Scikit-learn's estimator as if it had been fitted to the coalition until nothing moved."""
        from sklearn.base import clone

        model = clone(self.table.estimator)
        last = model
        if hasattr(model, "steps"):
            scaler, last = model.steps[0][1], model.steps[1][1]
            scaler.mean_, scaler.var_, scaler.scale_ = self._path.moments()
            scaler.n_samples_seen_ = self._path.size
            scaler.n_features_in_ = self.table.x.shape[1]
        present, last.coef_, last.intercept_ = self._path.solution()
        last.classes_ = np.asarray(self.table.classes)[present]
        last.n_features_in_ = self.table.x.shape[1]
        last.n_iter_ = np.array([1], dtype=np.int32)
        return model


def _odd_settings(estimator: Any, classes: int) -> dict[str, Any]:
    """The settings with which scikit-learn would minimise something else, by name."""
    _, model = parts_of(estimator)
    given = model.get_params()
    odd = {name: value for name, value in given.items() if name in _PLAIN and not _among(value, _PLAIN[name])}
    cost = given["C"]
    if isinstance(cost, bool) or not isinstance(cost, Real) or not _COSTS[0] <= float(cost) <= _COSTS[1]:
        odd["C"] = cost
    if "multi_class" in given and classes > 2 and given["solver"] == "newton-cholesky":
        odd["solver"] = given["solver"]  # until 1.7 it told each class from all others
    if model is not estimator:
        scaler = estimator.steps[0][1]
        odd |= {"with_std": False} if not scaler.with_std else {}  # columns as they are, but for what is taken off
        odd |= {"copy": False} if not scaler.copy else {}  # it writes into the rows that a scorer hands to it
        odd |= {"with_mean": False} if not scaler.with_mean else {}
        odd |= {"fit_intercept": False} if not given["fit_intercept"] else {}
    return odd


def _among(value: object, plain: tuple[object, ...]) -> bool:
    return any(value is one or (isinstance(value, (str, int, float)) and value == one) for one in plain)
