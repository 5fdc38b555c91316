"""What games of models say of models and scorers: the same in every process, another where they do something else."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stdout
from functools import partial
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, fbeta_score, make_scorer
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from dataworth.errors import MethodError
from dataworth.valuation.scoring import (
    check_scorer,
    guessing_score,
    mean_score,
    model_copy,
    model_told,
    scorer_told,
    seed_of,
    seeded,
    takes_seed,
)


class Weighted:
    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.myself = self  # something may hold itself

    def __call__(self, model: Any, x: Any, y: Any) -> float:
        return self.weight * float(model.score(x, y))

    def doubled(self, model: Any, x: Any, y: Any) -> float:
        return 2 * self(model, x, y)


def by_share(model: Any, x: Any, y: Any, share: float = 1.0) -> float:
    return share * float(model.score(x, y))


def test_scorers_that_do_other_things_are_told_apart() -> None:
    scorers: list[Any] = [
        "accuracy",
        "f1",
        by_share,
        partial(by_share, share=0.5),
        partial(by_share, share=0.25),
        Weighted(1.0),
        Weighted(2.0),
        Weighted(1.0).doubled,
        Weighted(2.0).doubled,
        make_scorer(accuracy_score),
        make_scorer(fbeta_score, beta=1.0),
        make_scorer(fbeta_score, beta=2.0),
        make_scorer(partial(f1_score, average="macro")),
        make_scorer(partial(f1_score, average="micro")),
        lambda model, x, y: 1.0,
        lambda model, x, y: 2.0,
        lambda model, x, y: max([1.0, 2.0], key=lambda one: one),
        lambda model, x, y: max([1.0, 2.0], key=lambda one: -one),
    ]
    assert len({scorer_told(scorer) for scorer in scorers}) == len(scorers)
    assert scorer_told(Weighted(1.0)) == scorer_told(Weighted(1.0))


def test_models_are_told_apart_by_all_settings() -> None:
    long, other = np.full(5000, 0.1), np.full(5000, 0.1)
    other[2500] = 0.2  # where a repr has dots
    models = [
        GaussianNB(),
        GaussianNB(priors=long),
        GaussianNB(priors=other),
        make_pipeline(StandardScaler(), GaussianNB()),
        make_pipeline(StandardScaler(with_mean=False), GaussianNB()),
        make_pipeline(FunctionTransformer(np.log1p), GaussianNB()),
        make_pipeline(FunctionTransformer(np.sqrt), GaussianNB()),
        LogisticRegression(class_weight={0: 1.0, 1: 2.0}),
        LogisticRegression(class_weight={0: 2.0, 1: 1.0}),
    ]
    assert len({model_told(model) for model in models}) == len(models)
    assert model_told(GaussianNB(priors=long)) == model_told(GaussianNB(priors=long.copy()))


SAID = """
import numpy as np
from sklearn.metrics import f1_score, make_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.naive_bayes import GaussianNB
from dataworth.valuation.scoring import model_told, scorer_told
print(model_told(make_pipeline(FunctionTransformer(lambda x: x + 1), GaussianNB())))
print(scorer_told(make_scorer(lambda y, found: f1_score(y, found) if "f" in {"e", "f", "g", "h", "i", "j"} else 0)))
print(scorer_told(object()))
"""


def test_another_process_says_the_same() -> None:
    elsewhere = subprocess.run([sys.executable, "-c", SAID], capture_output=True, check=True, text=True).stdout
    here = io.StringIO()
    with redirect_stdout(here):
        exec(SAID, {"__name__": "__main__"})  # noqa: S102 - the text above
    assert elsewhere == here.getvalue()


def test_seeds_reach_every_part_and_leave_the_model_alone() -> None:
    forest = make_pipeline(StandardScaler(), RandomForestClassifier(random_state=3))
    assert takes_seed(forest) == ["randomforestclassifier__random_state"]
    assert seeded(forest, 7)[1].random_state == 7
    assert forest[1].random_state == 3
    assert takes_seed(GaussianNB()) == []
    assert len({seed_of(seed, repeat) for seed in range(3) for repeat in range(3)}) == 9


def test_what_is_no_model() -> None:
    assert model_copy("tree") is None
    assert model_copy(GaussianNB) is None
    assert model_copy(StandardScaler()) is None
    assert isinstance(model_copy(GaussianNB()), GaussianNB)


def test_knowing_nothing() -> None:
    x, labels = np.zeros((4, 2)), np.array([0, 1, 1, 1])
    assert guessing_score("accuracy", np.array([0, 1]), x, labels) == 0.5
    assert guessing_score("neg_log_loss", np.array([0, 1]), x, labels) == pytest.approx(-np.log(2))
    assert mean_score("r2", x, np.array([1.0, 2.0, 3.0, 4.0])) == 0
    assert mean_score("neg_mean_absolute_error", x, np.array([1.0, 2.0, 3.0, 4.0])) == -1


def test_bad_names() -> None:
    with pytest.raises(MethodError, match="'nonsense' is no scorer of scikit-learn"):
        check_scorer(GaussianNB(), "nonsense")
    with pytest.raises(MethodError, match="name of a scorer or a callable, not 3"):
        check_scorer(GaussianNB(), 3)
