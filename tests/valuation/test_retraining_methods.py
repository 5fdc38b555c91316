"""Methods that train models: what they refuse, and how they tell themselves."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import dataworth as dw
from dataworth.errors import MethodError

MODEL = LogisticRegression()
ALL = [dw.LeaveOneOut, dw.DataShapley, dw.DataBanzhaf, dw.BetaShapley]
SAMPLED = ALL[1:]
ORDERED = [dw.DataShapley, dw.BetaShapley]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(
    ("model", "given"),
    [(LogisticRegression, "the class LogisticRegression"), ("logistic", "str"), (None, "NoneType"), (3, "int")],
)
def test_models_are_estimators(kind: Any, model: object, given: str) -> None:
    with pytest.raises(MethodError, match=rf"such as LogisticRegression\(\), not {given}$"):
        kind(model)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"scoring": 3}, "scoring must be the name of a scorer, a callable or None, not 3"),
        ({"seed": -1}, "seed must be an integer of 0 or more, not -1"),
        ({"seed": 1.0}, "seed must be an integer"),
        ({"seed": True}, "seed must be an integer"),
    ],
)
def test_what_all_refuse(kind: Any, given: dict[str, Any], words: str) -> None:
    with pytest.raises(MethodError, match=words):
        kind(MODEL, **given)


@pytest.mark.parametrize("kind", SAMPLED)
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"fits": 0}, "fits must be an integer of 1 or more, not 0"),
        ({"fits": 1e4}, "fits must be an integer"),
        ({"fits": None}, "fits=None needs another limit: give target_error or seconds"),
        ({"fits": None, "exact": False}, "fits=None needs another limit"),
        ({"target_error": 0}, "target_error must be a number above 0 and finite, not 0"),
        ({"target_error": float("nan")}, "target_error must be"),
        ({"target_error": "0.1"}, "target_error must be"),
        ({"seconds": -3.0}, r"seconds must be a number above 0 and finite, not -3\.0"),
        ({"seconds": float("inf")}, "seconds must be"),
        ({"exact": 1}, "exact must be True, False or None, not 1"),
    ],
)
def test_what_those_that_sample_refuse(kind: Any, given: dict[str, Any], words: str) -> None:
    with pytest.raises(MethodError, match=words):
        kind(MODEL, **given)


@pytest.mark.parametrize("kind", ORDERED)
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sampling": "random"}, "sampling must be one of 'stratified', 'permutations', 'antithetic', not 'random'"),
        ({"sampling": "antithetic", "truncation": 0.0}, "truncation must be a number above 0"),
        ({"truncation": 0.1}, 'truncation is for orders of arrival; use sampling="permutations"'),
    ],
)
def test_what_those_with_orders_refuse(kind: Any, given: dict[str, Any], words: str) -> None:
    with pytest.raises(MethodError, match=words):
        kind(MODEL, **given)


@pytest.mark.parametrize("shape", [(0, 1), (1, -2), (True, 1), ("1", 1), (float("inf"), 1)])
def test_betas_are_above_zero(shape: tuple[Any, Any]) -> None:
    with pytest.raises(MethodError, match="of Beta must be a positive number"):
        dw.BetaShapley(MODEL, *shape)


@pytest.mark.parametrize("kind", ALL)
def test_methods_are_frozen_and_only_the_model_comes_without_a_name(kind: Any) -> None:
    method = kind(MODEL)
    with pytest.raises(FrozenInstanceError):
        method.seed = 1
    with pytest.raises(TypeError):
        kind(MODEL, 1.0, 1.0, "accuracy")
    assert repr(pickle.loads(pickle.dumps(method))) == repr(method)  # noqa: S301 - our own


def odd(estimator: Any, x: Any, y: Any) -> float:
    return 0.0


@pytest.mark.parametrize(
    ("method", "told"),
    [
        (dw.LeaveOneOut(MODEL), "LeaveOneOut(LogisticRegression())"),
        (dw.DataShapley(MODEL, fits=10_000), "DataShapley(LogisticRegression())"),
        (dw.DataShapley(MODEL, scoring=odd, seed=2), "DataShapley(LogisticRegression(), scoring=odd, seed=2)"),
        (dw.DataBanzhaf(MODEL, fits=None, seconds=9), "DataBanzhaf(LogisticRegression(), fits=None, seconds=9)"),
        (dw.DataBanzhaf(MODEL, scoring="r2"), "DataBanzhaf(LogisticRegression(), scoring='r2')"),
        (dw.BetaShapley(MODEL), "BetaShapley(LogisticRegression(), alpha=16.0, beta=1.0)"),
        (
            dw.BetaShapley(make_pipeline(StandardScaler(), MODEL), 4, 1, sampling="antithetic", truncation=0.01),
            "BetaShapley(Pipeline(steps=[('standardscaler', StandardScaler()), ('logisticregression', "
            "LogisticRegression())]), alpha=4, beta=1, sampling='antithetic', truncation=0.01)",
        ),
    ],
    ids=lambda given: type(given).__name__,
)
def test_methods_tell_what_is_not_the_default(method: object, told: str) -> None:
    assert repr(method) == told
