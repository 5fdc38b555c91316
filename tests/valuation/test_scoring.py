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
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from dataworth.errors import MethodError
from dataworth.valuation.scoring import (
    check_parameters,
    check_scorer,
    for_rows,
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


def test_parameters_that_scikit_learn_refuses() -> None:
    for model in (
        KNeighborsClassifier(2.5),
        make_pipeline(StandardScaler(), KNeighborsClassifier(algorithm="bogus")),
        LogisticRegression(max_iter=-5),
    ):
        with pytest.raises(MethodError, match=r"cannot be fitted: The '(n_neighbors|algorithm|max_iter)' parameter of"):
            check_parameters(model)
    for model in (KNeighborsClassifier(3), make_pipeline("passthrough", GaussianNB()), object()):
        check_parameters(model)


def test_no_more_neighbours_than_rows() -> None:
    assert for_rows(KNeighborsClassifier(5), 4).n_neighbors == 4
    assert for_rows(KNeighborsRegressor(5), 9).n_neighbors == 5
    nested = make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), KNeighborsRegressor(5)))
    assert for_rows(nested, 1)[-1][-1].n_neighbors == 1
    assert isinstance(for_rows(GaussianNB(), 1), GaussianNB)


@pytest.mark.parametrize(
    ("scoring", "labels", "said"),
    [
        ("f1", ["no", "yes"], "use labels 0 and 1, sklearn.metrics.make_scorer"),
        ("precision", [3, 4], "'f1_macro'"),
        ("f1", [0, 1, 2], "an average over classes, such as 'f1_macro'"),
        (lambda *_: 1 / 0, [0, 1], "use another scorer$"),
    ],
)
def test_a_scorer_that_cannot_score_a_guess_says_what_helps(scoring: Any, labels: list[Any], said: str) -> None:
    classes = np.array(labels)
    with pytest.raises(MethodError, match=said):
        guessing_score(scoring, classes, np.zeros((6, 2)), np.resize(classes, 6))


def test_words_of_a_scorer_stay_in_the_cause() -> None:
    def quote(model: Any, x: Any, y: Any) -> float:
        raise ValueError(f"row {x[0].tolist()} is odd")

    x, y = np.full((4, 1), 55120.5), np.array([0.0, 1.0, 1.0, 1.0])
    for floor in (partial(guessing_score, quote, np.array([0, 1])), partial(mean_score, quote)):
        with pytest.raises(MethodError) as caught:
            floor(x, y)
        assert "55120" not in str(caught.value)
        assert "55120" in str(caught.value.__cause__)


def test_a_scorer_that_writes_into_rows_spoils_none() -> None:
    def spoil(model: Any, x: Any, y: Any) -> float:
        x -= 1.0
        y[:] = 0
        return float(x.sum())

    x, y = np.ones((4, 2)), np.array([0, 1, 0, 1])
    assert guessing_score(spoil, np.array([0, 1]), x, y) == 0
    assert mean_score(spoil, x, y.astype(np.float64)) == 0
    assert (x.min(), y.max()) == (1.0, 1)


def test_bad_names() -> None:
    with pytest.raises(MethodError, match="'nonsense' is no scorer of scikit-learn"):
        check_scorer(GaussianNB(), "nonsense")
    with pytest.raises(MethodError, match="name of a scorer or a callable, not 3"):
        check_scorer(GaussianNB(), 3)
