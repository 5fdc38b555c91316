"""Utilities of coalitions: each against a model trained the plain way on the coalition's rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score, get_scorer, make_scorer
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import dataworth as dw
from dataworth.errors import DataError, InputError, MethodError
from dataworth.kernels.coalitions import all_coalitions
from dataworth.kernels.ridge import FeatureMap
from dataworth.valuation.games import ModelScore, NeighborAccuracy, RidgeAccuracy, Utility
from tests import oracles

CLASSES = np.array(["ill", "odd", "well"])
UTILITIES: list[Utility] = [
    RidgeAccuracy(),
    RidgeAccuracy(penalty=0.1, random_features=20, seed=3),
    NeighborAccuracy(0.3),
    NeighborAccuracy(1.5, "euclidean"),
    ModelScore(GaussianNB()),
    ModelScore(DecisionTreeClassifier(), "balanced_accuracy", repeats=2),
]


def rows(seed: int, n: int, classes: NDArray[Any] = CLASSES, d: int = 3) -> dw.Points:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, len(classes), n)
    return dw.Points(np.eye(len(classes), d)[codes] + rng.normal(0, 0.6, (n, d)), classes[codes])


def only(*members: int, of: int = 3) -> NDArray[np.bool_]:
    return np.isin(np.arange(of), members)


@pytest.mark.parametrize("utility", UTILITIES, ids=str)
def test_what_every_game_keeps(utility: Utility) -> None:
    assert isinstance(utility, Utility)
    validation = rows(9, 40)
    players = [rows(1, 12), rows(2, 20), None, rows(1, 12)]
    game = utility.game(players, validation)
    assert game.alike == (0, 1, -1, 0)
    assert game.utility(only(of=4), 0) == game.utility(only(2, of=4), 0) == game.floor
    for repeat in range(game.repeats):
        known = [game.utility(members, repeat) for members in all_coalitions(4)]
        assert all(0 <= utility <= 1 for utility in known)
        # In any order of asking, and asked again: nothing is left over from the last coalition.
        again = [game.utility(members, repeat) for members in all_coalitions(4)[::-1]]
        assert known == again[::-1]
        assert known[1] == known[8] == known[5]  # the twin, and with the one who has nothing
    assert game.digest == utility.game(players, validation).digest
    assert game.describe() == repr(utility)
    assert "\n" not in game.describe()


@pytest.mark.parametrize("utility", UTILITIES, ids=str)
def test_the_digest_is_of_everything_that_counts(utility: Utility) -> None:
    validation, players = rows(9, 20), [rows(1, 6), None]
    known = utility.game(players, validation, CLASSES).digest
    moved = players[0].x.copy()  # type: ignore[union-attr]
    moved[5, 2] += 1e-6
    others = [
        utility.game([None, players[0]], validation, CLASSES),
        utility.game(players[:1], validation, CLASSES),
        utility.game([dw.Points(moved, players[0].y), None], validation, CLASSES),  # type: ignore[union-attr]
        utility.game([dw.Points(moved - [0, 0, 1e-6], players[0].y), None], rows(8, 20), CLASSES),  # type: ignore[union-attr]
        utility.game(players, validation, [*CLASSES, "zest"]),
    ]
    assert known not in [other.digest for other in others]
    assert UTILITIES[0].game(players, validation).digest != UTILITIES[1].game(players, validation).digest
    fewer = ModelScore(DecisionTreeClassifier(max_depth=2)), ModelScore(DecisionTreeClassifier(max_depth=3))
    assert fewer[0].game(players, validation).digest != fewer[1].game(players, validation).digest


def test_scorers_of_one_name_make_different_games() -> None:
    def weighted(weight: float) -> Any:
        return lambda model, x, y: weight * model.score(x, y)

    def named(score: Any) -> Any:
        return lambda y, found: 1.0 * score(y, found)

    scorers = [
        lambda model, x, y: model.score(x, y),
        lambda model, x, y: -model.score(x, y),
        weighted(2.0),
        weighted(3.0),
        make_scorer(f1_score, average="macro"),
        make_scorer(f1_score, average="micro"),
        make_scorer(balanced_accuracy_score),
        make_scorer(named(balanced_accuracy_score)),
        make_scorer(lambda y, found: -balanced_accuracy_score(y, found)),
    ]
    own, validation = rows(1, 6), rows(9, 20)
    digests = [ModelScore(GaussianNB(), scorer).game([own], validation).digest for scorer in scorers]
    assert len(set(digests)) == len(scorers)
    assert ModelScore(GaussianNB(), scorers[4]).game([own], validation).digest == digests[4]
    assert ModelScore(GaussianNB(), weighted(2.0)).game([own], validation).digest == digests[2]


# -- ridge ----------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), features=st.sampled_from([None, 15]))
def test_ridge_on_sums_is_ridge_on_rows(seed: int, features: int | None) -> None:
    utility = RidgeAccuracy(random_features=features)
    validation, players = rows(seed, 30), [rows(seed + 1 + i, 5 + 9 * i) for i in range(3)]
    game = utility.game(players, validation, CLASSES)
    ready = FeatureMap.of(validation.x, features, 0)(validation.x)
    for members in all_coalitions(3)[1:]:
        x = np.concatenate([player.x for player, here in zip(players, members, strict=True) if here])
        y = np.concatenate([player.y for player, here in zip(players, members, strict=True) if here])
        model = utility.fit(x, np.searchsorted(CLASSES, y), 3, public=validation.x)
        two = np.sort(ready @ model.weights, axis=1)[:, -2:]
        close = (np.diff(two) < 1e-9).sum()  # only a tie may fall either way
        right = (model.predict(validation.x) == np.searchsorted(CLASSES, validation.y)).sum()
        assert abs(game.utility(members, 0) * 30 - right) <= close


def test_ridge_learns() -> None:
    game = RidgeAccuracy().game([rows(1, 300)], rows(9, 300))
    peer = LogisticRegression().fit(rows(1, 300).x, rows(1, 300).y).score(rows(9, 300).x, rows(9, 300).y)
    assert game.utility(np.array([True]), 0) == pytest.approx(peer, abs=0.05)
    assert game.floor == 1 / 3


def test_one_class_predicts_that_class() -> None:
    validation = rows(9, 50)
    lone = dw.Points([[0.0, 1.0, 2.0], [1.0, 0.0, 0.0]], ["odd", "odd"])
    utility = RidgeAccuracy().game([lone], validation).utility(np.array([True]), 0)
    assert utility == (validation.y == "odd").mean()


def test_the_number_type_of_rows_does_not_make_players_differ() -> None:
    own = rows(1, 8)
    low = dw.Points(own.x.astype(np.float32), own.y)
    assert RidgeAccuracy().game([low, dw.Points(low.x.astype(np.float64), own.y)], rows(9, 20)).alike == (0, 0)


# -- neighbours -----------------------------------------------------------------------------------


@given(seed=st.integers(0, 10**6), metric=st.sampled_from(["cosine", "euclidean"]))
def test_neighbours_vote_as_in_the_threshold_game(seed: int, metric: Any) -> None:
    radius = 0.2 if metric == "cosine" else 0.8
    validation, players = rows(seed, 6), [rows(seed + 1, 4), rows(seed + 2, 3)]
    game = NeighborAccuracy(radius, metric).game(players, validation, CLASSES)
    for members in all_coalitions(2):
        train = [player for player, here in zip(players, members, strict=True) if here]
        total = Fraction(0)
        for point, label in zip(validation.x, validation.y, strict=True):
            match = [bool(y == label) for player in train for y in player.y]
            near = [one for player in train for one in oracles.inside_radius(player.x, point, radius, metric)]
            total += oracles.threshold_knn(match, near, 3)(tuple(range(len(match))))
        assert game.utility(members, 0) == pytest.approx(float(total / 6), abs=1e-15)


def test_values_of_rows_sum_to_what_their_provider_gains_alone() -> None:
    validation, own = rows(9, 30), rows(1, 50)
    game = NeighborAccuracy(0.4).game([own], validation)
    values = dw.value_points(own, validation, method=dw.ThresholdKNNShapley(0.4)).values
    assert game.utility(np.array([True]), 0) - game.floor == pytest.approx(values.sum(), abs=1e-12)


# -- any model ------------------------------------------------------------------------------------


def test_a_model_is_trained_on_the_rows_of_the_members() -> None:
    validation, players = rows(9, 40), [rows(1, 12), rows(2, 20), None]
    game = ModelScore(GaussianNB()).game(players, validation)
    x = np.concatenate([players[0].x, players[1].x])  # type: ignore[union-attr]
    y = np.concatenate([players[0].y, players[1].y])  # type: ignore[union-attr]
    assert game.utility(only(0, 1, 2), 0) == GaussianNB().fit(x, y).score(validation.x, validation.y)
    assert not game.noisy


def test_a_repeat_has_one_seed_in_every_coalition() -> None:
    seen: list[int] = []

    class Spy(DecisionTreeClassifier):  # type: ignore[misc]
        def fit(self, x: Any, y: Any) -> Any:
            seen.append(self.random_state)
            return super().fit(x, y)

    game = ModelScore(make_pipeline(StandardScaler(), Spy(random_state=5)), repeats=2).game(
        [rows(1, 9), rows(2, 9)], rows(9, 20)
    )
    assert game.noisy
    assert game.repeats == 2
    for repeat in (0, 1):
        for members in ([True, False], [True, True]):
            game.utility(np.array(members), repeat)
    assert seen[0] == seen[1] != seen[2] == seen[3]
    assert 5 not in seen


def test_repeats_of_a_noisy_model_differ() -> None:
    game = ModelScore(RandomForestClassifier(n_estimators=2), repeats=4).game([rows(1, 30)], rows(9, 200))
    assert len({game.utility(np.array([True]), repeat) for repeat in range(4)}) > 1


def test_scorers_by_name_and_by_function() -> None:
    validation, own = rows(9, 60), rows(1, 40)
    named = ModelScore(GaussianNB(), "balanced_accuracy").game([own], validation)
    called = ModelScore(GaussianNB(), get_scorer("balanced_accuracy")).game([own], validation)

    def by_hand(model: Any, x: Any, y: Any) -> float:
        return float(balanced_accuracy_score(y, model.predict(x)))

    plain = ModelScore(GaussianNB(), by_hand).game([own], validation)
    here = np.array([True])
    assert named.utility(here, 0) == called.utility(here, 0) == plain.utility(here, 0)
    assert named.floor == called.floor == plain.floor == pytest.approx(1 / 3, abs=0.03)
    assert "by_hand" in plain.describe()
    assert "0x" not in plain.describe()


def test_knowing_nothing_scores_as_documented() -> None:
    two = np.array([0, 1])
    validation = rows(9, 60, two)
    assert ModelScore(GaussianNB()).game([None], validation).floor == 0.5
    log_loss = ModelScore(GaussianNB(), "neg_log_loss").game([None], validation)
    assert log_loss.floor == pytest.approx(-math.log(2))
    assert ModelScore(GaussianNB(), "roc_auc").game([None], validation).floor == 0.5
    f1 = ModelScore(GaussianNB(), "f1").game([None, dw.Points(np.eye(3), [1, 1, 1])], validation)
    guesses = [
        get_scorer("f1")(DummyClassifier(strategy="uniform", random_state=i).fit(np.eye(2, 3), two), *_xy(validation))
        for i in range(100)
    ]
    assert f1.floor == pytest.approx(np.mean(guesses), abs=1e-12)
    assert f1.utility(np.array([True, True]), 0) == f1.floor  # rows of one class are nothing to tell apart


def _xy(points: dw.Points) -> tuple[NDArray[Any], NDArray[Any]]:
    return points.x, points.y


def test_the_model_given_stays_as_it_was() -> None:
    model = DecisionTreeClassifier(max_depth=3)
    utility = ModelScore(model)
    game = utility.game([rows(1, 20)], rows(9, 20))
    told = game.digest
    game.utility(np.array([True]), 0)
    model.max_depth = 1
    assert not hasattr(model, "tree_")
    assert model.random_state is None
    assert utility.estimator.max_depth == 3
    assert utility.game([rows(1, 20)], rows(9, 20)).digest == told


# -- bad input ------------------------------------------------------------------------------------

GOOD = rows(9, 10)


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda u: u.game([], GOOD), InputError, "one player or more"),
        (lambda u: u.game([rows(1, 5), rows(1, 5, d=2)], GOOD), DataError, "player 1 has 2 columns, .* has 3"),
        (lambda u: u.game([rows(1, 5).x], GOOD), InputError, "must be dataworth.Points"),
        (lambda u: u.game([None], GOOD, ["ill", "well"]), DataError, "validation labels are not among"),
        (lambda u: u.game([rows(1, 9, np.array(["what"]))], GOOD), DataError, "9 of 9 labels of player 0 are none"),
        (lambda u: u.game([rows(1, 9, np.arange(3))], GOOD), DataError, "labels of player 0 are numbers"),
        (lambda u: u.game([None], rows(1, 5, CLASSES[:1])), DataError, "two classes or more"),
        (lambda u: u.game([None], dw.Points([[1.0], [2.0]], [0.5, 1.5])), MethodError, "with fractions"),
        (
            lambda u: u.game([dw.Points([[np.nan, 1, 2]], ["ill"], allow_missing=True)], GOOD),
            DataError,
            "player 0: 1 of 1 rows hold NaN",
        ),
        (
            lambda u: u.game([dw.Points(np.eye(3), CLASSES, features=list("abc"))], dw.Points(
                np.eye(3), CLASSES, features=list("acb"))),
            DataError,
            "player 0 has other columns",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("utility", [RidgeAccuracy(), NeighborAccuracy(0.5), ModelScore(GaussianNB())], ids=str)
def test_bad_players(utility: Any, make: Callable[[Any], Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        make(utility)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: RidgeAccuracy(penalty=0), "penalty must be a number above 0"),
        (lambda: RidgeAccuracy(penalty=math.inf), "penalty must be"),
        (lambda: RidgeAccuracy(penalty=True), "penalty must be"),
        (lambda: RidgeAccuracy(random_features=0), "random_features must be an integer of 1 or more"),
        (lambda: RidgeAccuracy(seed=-1), "seed must be an integer of 0 or more"),
        (lambda: NeighborAccuracy(-1), "radius must be"),
        (lambda: NeighborAccuracy(1, "hamming"), "metric must be"),  # type: ignore[arg-type]
        (lambda: ModelScore("tree"), "scikit-learn classifier or pipeline, not str"),
        (lambda: ModelScore(LinearRegression()), "not LinearRegression"),
        (lambda: ModelScore(GaussianNB(), "nonsense"), "'nonsense' is no scorer"),
        (lambda: ModelScore(GaussianNB(), 3), "the name of a scorer or a callable"),  # type: ignore[arg-type]
        (lambda: ModelScore(GaussianNB(), repeats=0), "repeats must be an integer of 1 or more"),
        (lambda: ModelScore(GaussianNB(), repeats=3), "GaussianNB takes no random_state, so all 3 repeats"),
        (
            lambda: ModelScore(GaussianNB(), lambda model, x, y: model.var_.sum()).game([None], GOOD),
            "cannot score a model that guesses",
        ),
        (lambda: ModelScore(GaussianNB(), lambda *_: math.nan).game([None], GOOD), "scores a model that guesses nan"),
    ],
)
def test_bad_parameters(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(MethodError, match=said):
        make()
