"""Logistic regression that follows a coalition: the scores of scikit-learn's own fits, run until they stop."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import get_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import dataworth as dw
from dataworth.errors import MethodError
from dataworth.valuation.fast_learners import Plan
from dataworth.valuation.learners import Table
from dataworth.valuation.logistic_learner import MOST_PARAMETERS, LogisticLearner, plan_for
from dataworth.valuation.row_games import RowGame

EXACT: dict[str, Any] = {"solver": "newton-cholesky", "tol": 1e-12, "max_iter": 100_000}
MODELS = {
    "plain": LogisticRegression(),
    "strong penalty": LogisticRegression(C=0.05, solver="lbfgs"),
    "no intercept": LogisticRegression(C=3.0, fit_intercept=False),
    "standardised": make_pipeline(StandardScaler(), LogisticRegression(C=0.5)),
}


def points(seed: int, n: int, classes: int, owners: int = 0) -> dw.Points:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, classes, n)
    x = rng.normal(size=(n, 4)) * [1, 10, 0.1, 1]
    x[:, 0] += codes
    names = np.array(["ill", "odd", "well"])[codes]
    return dw.Points(x, names, owners=[f"o{i}" for i in rng.integers(0, owners, n)] if owners else None)


def table_of(model: Any, scoring: Any = None, classes: int = 3, owners: int = 0) -> Table:
    game = RowGame.of(
        points(1, 60, classes, owners),
        points(2, 80, classes),
        model,
        scoring=scoring,
        players="owners" if owners else "rows",
    )
    return game._table


def expected(table: Table, players: NDArray[np.int64]) -> float:
    """What scikit-learn scores when it is run until it stops."""
    rows = np.sort(table.rows_of(players))
    if np.unique(table.codes[rows]).size < 2:
        return table.floor
    model = clone(table.estimator)
    (model[-1] if hasattr(model, "steps") else model).set_params(**EXACT)
    model.fit(table.x[rows], table.y[rows])
    scorer = get_scorer(table.scoring) if isinstance(table.scoring, str) else table.scoring
    return float(scorer(model, table.judges, table.judge_y))


@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss", "balanced_accuracy"])
@pytest.mark.parametrize("owners", [0, 7])
@pytest.mark.parametrize("name", MODELS)
def test_it_scores_what_scikit_learn_does(name: str, owners: int, scoring: str) -> None:
    if scoring == "neg_log_loss":
        owners = 3  # all of whose coalitions have all classes, which this scorer needs
    table = table_of(MODELS[name], scoring, owners=owners)
    assert isinstance(plan_for(table), Plan)
    learner, rng = LogisticLearner(table), np.random.default_rng(0)
    n = table.names.size
    for _ in range(4):
        order = rng.permutation(n)
        learner.clear()
        for start in range(0, n, max(1, n // 6)):
            learner.join(order[start : start + max(1, n // 6)])
            assert learner.score() == pytest.approx(expected(table, np.flatnonzero(learner.members)), abs=1e-7)
        learner.leave(order[: n // 2])
        assert learner.score() == pytest.approx(expected(table, order[n // 2 :]), abs=1e-7)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), classes=st.integers(2, 3))
def test_the_path_does_not_matter(seed: int, classes: int) -> None:
    table, rng = table_of(LogisticRegression(), classes=classes), np.random.default_rng(seed)
    some = rng.permutation(60)[: rng.integers(1, 60)]
    learner = LogisticLearner(table)
    learner.join(some)
    first = learner.score()
    others = np.setdiff1d(np.arange(60), some)
    learner.join(others)
    learner.score()
    learner.leave(others)
    assert learner.score() == first
    learner.clear()
    for player in rng.permutation(some):
        learner.join(np.array([player]))
    assert learner.score() == first


@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss", "f1_macro"])
@pytest.mark.parametrize("intercept", [True, False])
def test_rows_that_are_only_centred_score_what_scikit_learn_does(intercept: bool, scoring: str) -> None:
    model = make_pipeline(StandardScaler(with_std=False), LogisticRegression(fit_intercept=intercept, **EXACT))
    train, judges = (dw.Points(one.x + np.array([3, 10, -2, 0]), one.y) for one in (points(1, 40, 2), points(2, 60, 2)))
    game = RowGame.of(train, judges, model, scoring=scoring)
    learner = game.learner()
    learner.join(np.arange(3, 30))
    assert learner.score() == pytest.approx(expected(game._table, np.arange(3, 30)), abs=1e-9)


def test_degenerate_coalitions_score_the_floor_and_are_no_fits() -> None:
    table = table_of(LogisticRegression())
    learner = LogisticLearner(table)
    assert learner.score() == table.floor == 1 / 3
    learner.join(np.flatnonzero(table.codes == 1))
    assert learner.score() == table.floor
    assert learner.fits == 0
    learner.join(np.flatnonzero(table.codes == 0))
    assert learner.score() != table.floor
    assert learner.fits == 1
    learner.clear()
    assert learner.score() == table.floor


def test_a_scorer_is_given_a_model_of_scikit_learn() -> None:
    seen: list[Any] = []

    def look(model: Any, x: NDArray[np.float64], y: NDArray[Any]) -> float:
        seen.append(model)
        return float(model.predict_proba(x).max())

    for model in (MODELS["plain"], MODELS["standardised"]):
        table = table_of(model, look)
        learner = LogisticLearner(table)
        learner.join(np.flatnonzero(table.codes != 1))
        learner.score()
        found = seen[-1]
        assert type(found) is type(model)
        assert found.classes_.tolist() == ["ill", "well"]
        assert found.n_features_in_ == 4
        peer = clone(model)
        (peer[-1] if hasattr(peer, "steps") else peer).set_params(**EXACT)
        rows = table.codes != 1
        chances = peer.fit(table.x[rows], table.y[rows]).predict_proba(table.judges)
        np.testing.assert_allclose(found.predict_proba(table.judges), chances, atol=1e-8)


def test_a_scorer_that_fails_names_the_coalition_and_no_row() -> None:
    def fail(model: Any, x: NDArray[np.float64], y: NDArray[Any]) -> float:
        if hasattr(model, "coef_"):
            raise ValueError(f"the first row is {x[0]}")
        return 0.5

    table = table_of(LogisticRegression(), fail)
    learner = LogisticLearner(table)
    learner.join(np.arange(12))
    with pytest.raises(
        MethodError, match=r"coalition of 12 of 60 players with 12 rows .*, \.\.\.\): ValueError; a model that cannot"
    ) as caught:
        learner.score()
    assert "the first row" not in str(caught.value)


def test_scores_that_are_no_numbers_are_refused() -> None:
    table = table_of(LogisticRegression(), lambda model, x, y: math.nan if hasattr(model, "coef_") else 0.5)
    learner = LogisticLearner(table)
    learner.join(np.arange(12))
    with pytest.raises(MethodError, match="it scored nan"):
        learner.score()


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (LogisticRegression(solver="liblinear"), "solver='liblinear'"),
        (LogisticRegression(class_weight="balanced"), "class_weight='balanced'"),
        (LogisticRegression(l1_ratio=1, solver="saga"), "l1_ratio=1"),
        (LogisticRegression(C=np.inf), "C=inf"),
        (LogisticRegression(C=1e9), "C=1000000000.0"),
        (make_pipeline(StandardScaler(with_std=False), LogisticRegression()), "with_std=False"),
        (make_pipeline(StandardScaler(copy=False), LogisticRegression()), "copy=False"),
        (make_pipeline(StandardScaler(with_mean=False), LogisticRegression()), "with_mean=False"),
        (make_pipeline(StandardScaler(), LogisticRegression(fit_intercept=False)), "fit_intercept=False"),
    ],
)
def test_other_objectives_are_left_to_scikit_learn(model: Any, reason: str) -> None:
    plan = plan_for(table_of(model, classes=2))
    assert isinstance(plan, str)
    assert reason in plan


def test_other_models_are_none_of_its_business() -> None:
    class Own(LogisticRegression):  # type: ignore[misc]
        pass

    for model in (RidgeClassifier(), Own(), make_pipeline(MinMaxScaler(), LogisticRegression())):
        assert plan_for(table_of(model)) is None


def test_many_coefficients_are_left_to_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    for d, followed in ((MOST_PARAMETERS - 1, True), (MOST_PARAMETERS, False)):
        train, validation = (dw.Points(rng.normal(size=(6, d)), [0, 1] * 3) for _ in range(2))
        assert isinstance(plan_for(RowGame.of(train, validation, LogisticRegression())._table), Plan) == followed


def test_what_makes_learners_can_be_sent_to_other_processes() -> None:
    table = table_of(LogisticRegression())
    plan = plan_for(table)
    assert isinstance(plan, Plan)
    make, sent = pickle.loads(pickle.dumps((plan.make, table)))  # noqa: S301
    learner = make(sent)
    learner.join(np.arange(30))
    assert learner.score() == expected(table, np.arange(30))
