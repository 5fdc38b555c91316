"""Games of rows and owners, refitted: who plays, what the floor is, what is refused, and what a failure says."""

from __future__ import annotations

import math
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, get_scorer, make_scorer
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import dataworth as dw
from dataworth.errors import DataError, DataworthError, InputError, MethodError
from dataworth.valuation.row_games import RowGame

CLASSES = np.array(["ill", "odd", "well"])


def rows(seed: int, n: int, d: int = 3, **more: Any) -> dw.Points:
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 3
    return dw.Points(np.eye(3, d)[codes] + rng.normal(0, 0.6, (n, d)), CLASSES[codes], **more)


def numbers(seed: int, n: int) -> dw.Points:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    return dw.Points(x, x @ [1.0, -2.0, 0.0] + rng.normal(0, 0.1, n))


def whole(*members: int) -> NDArray[np.int64]:
    return np.array(members, dtype=np.int64)


TRAIN, JUDGES = rows(1, 30), rows(9, 40)
TREE = DecisionTreeClassifier(max_depth=2)


# -- what a coalition is worth --------------------------------------------------------------------


def test_a_coalition_scores_what_a_model_fitted_to_its_rows_scores() -> None:
    game = RowGame.of(TRAIN, JUDGES, TREE, seed=3)
    learner = game.learner()
    assert game.n == 30
    assert game.names.tolist() == list(range(30))
    rng = np.random.default_rng(0)
    for fits in range(1, 6):
        members = np.sort(rng.permutation(30)[: rng.integers(10, 30)])
        learner.clear()
        learner.join(rng.permutation(members))
        seeds = int(np.random.SeedSequence([3, 0]).generate_state(1)[0])
        model = DecisionTreeClassifier(max_depth=2, random_state=seeds).fit(TRAIN.x[members], TRAIN.y[members])
        assert learner.score() == model.score(JUDGES.x, JUDGES.y)
        assert learner.fits == fits
    assert game.how == "refitted from scratch for each coalition (no fast path for DecisionTreeClassifier)"


def test_rows_come_and_go() -> None:
    game = RowGame.of(TRAIN, JUDGES, TREE)
    one, other = game.learner(), game.learner()
    one.join(np.arange(20))
    one.leave(whole(3, 7))
    one.join(whole(25))
    other.join(np.array([i for i in range(26) if i not in (3, 7) and (i < 20 or i == 25)]))
    assert one.score() == other.score()
    with pytest.raises(InputError, match="must not be in the coalition already"):
        one.join(whole(25))
    with pytest.raises(InputError, match="must be in the coalition"):
        one.leave(whole(3))


def test_nothing_to_learn_from_scores_the_floor_without_a_fit() -> None:
    learner = RowGame.of(TRAIN, JUDGES, TREE).learner()
    assert learner.score() == 1 / 3
    learner.join(whole(0, 3, 6))  # all ill
    assert learner.score() == 1 / 3
    assert learner.fits == 0
    learner.join(whole(1))
    assert learner.fits == 0
    learner.score()
    assert learner.fits == 1
    learner.leave(whole(1))
    assert learner.score() == 1 / 3
    assert learner.fits == 1


def test_owners_bring_all_their_rows() -> None:
    owners = np.array(["eve", "bob", "ann", "bob", "eve"] * 6)
    game = RowGame.of(rows(1, 30, owners=owners), JUDGES, TREE, players="owners")
    assert game.names.tolist() == ["ann", "bob", "eve"]
    learner = game.learner()
    plain = RowGame.of(TRAIN, JUDGES, TREE).learner()
    learner.join(whole(2, 0))
    plain.join(np.flatnonzero(owners != "bob"))
    assert learner.score() == plain.score()
    learner.leave(whole(2))
    plain.leave(np.flatnonzero(owners == "eve"))
    assert learner.score() == plain.score()


def test_rows_reach_the_model_in_the_order_of_the_training_set() -> None:
    seen: list[Any] = []

    class Spy(DecisionTreeClassifier):  # type: ignore[misc]
        def fit(self, x: Any, y: Any) -> Any:
            seen.append(x)
            return super().fit(x, y)

    owners = np.arange(30) % 4
    for players, members in (("rows", [11, 3, 7, 25, 1]), ("owners", [3, 1])):
        learner = RowGame.of(rows(1, 30, owners=owners), JUDGES, Spy(), players=players).learner()  # type: ignore[arg-type]
        learner.join(whole(*members))
        learner.score()
    np.testing.assert_array_equal(seen[0], TRAIN.x[[1, 3, 7, 11, 25]])
    np.testing.assert_array_equal(seen[1], TRAIN.x[owners % 2 == 1])


def test_owners_of_one_row_each_are_not_taken_for_the_rows_in_their_order() -> None:
    owners = [f"o{29 - i:02}" for i in range(30)]
    game = RowGame.of(rows(1, 30, owners=owners), JUDGES, TREE, players="owners")
    learner, plain = game.learner(), RowGame.of(TRAIN, JUDGES, TREE).learner()
    learner.join(np.arange(12))
    plain.join(np.arange(18, 30))
    assert learner.score() == plain.score()


def test_one_player_is_a_game() -> None:
    game = RowGame.of(rows(1, 30, owners=["ann"] * 30), JUDGES, TREE, players="owners")
    learner = game.learner()
    learner.join(whole(0))
    assert game.n == 1
    assert learner.score() > game.floor == 1 / 3


def test_every_coalition_has_the_same_seed_whatever_the_model_had() -> None:
    seen: list[int] = []

    class Spy(DecisionTreeClassifier):  # type: ignore[misc]
        def fit(self, x: Any, y: Any) -> Any:
            seen.append(self.random_state)
            return super().fit(x, y)

    model = make_pipeline(MinMaxScaler(), Spy(random_state=5))
    for seed in (0, 1):
        learner = RowGame.of(TRAIN, JUDGES, model, seed=seed).learner()
        for member in range(5):
            learner.join(whole(member))
            learner.score()
    assert len(seen) == 8
    assert len(set(seen[:4])) == len(set(seen[4:])) == 1
    assert seen[0] != seen[4]
    assert 5 not in seen
    assert model[1].random_state == 5


def test_scorers_by_name_and_by_function() -> None:
    named = RowGame.of(TRAIN, JUDGES, TREE, scoring="balanced_accuracy")
    called = RowGame.of(TRAIN, JUDGES, TREE, scoring=make_scorer(balanced_accuracy_score))
    loss = RowGame.of(TRAIN, JUDGES, TREE, scoring="neg_log_loss")
    accuracy = RowGame.of(TRAIN, JUDGES, TREE)
    assert named.floor == called.floor == pytest.approx(1 / 3, abs=0.05)
    assert loss.floor == pytest.approx(-math.log(3))
    learners = [game.learner() for game in (named, called, loss, accuracy)]
    for learner in learners:
        learner.join(np.arange(20))
    model = pickle.loads(pickle.dumps(accuracy))._table.estimator.fit(TRAIN.x[:20], TRAIN.y[:20])  # noqa: S301
    expected = balanced_accuracy_score(JUDGES.y, model.predict(JUDGES.x))
    scores = [learner.score() for learner in learners]
    assert scores[:2] == [expected, expected]
    assert scores[2] < 0
    assert scores[3] == model.score(JUDGES.x, JUDGES.y)


def test_regressors_are_scored_by_r2_and_fitted_to_a_single_row() -> None:
    train, judges = numbers(1, 25), numbers(2, 30)
    game = RowGame.of(train, judges, DecisionTreeRegressor())
    assert game.floor == 0
    learner = game.learner()
    assert learner.score() == 0
    learner.join(whole(4))
    assert learner.score() == DecisionTreeRegressor().fit(train.x[4:5], train.y[4:5]).score(judges.x, judges.y)
    assert learner.fits == 1
    squares = RowGame.of(train, judges, DecisionTreeRegressor(), scoring="neg_mean_squared_error")
    assert squares.floor == pytest.approx(-judges.y.var())


def test_whole_numbers_may_be_targets() -> None:
    train = dw.Points(np.arange(10.0)[:, np.newaxis], np.arange(10))
    learner = RowGame.of(train, train, DecisionTreeRegressor()).learner()
    learner.join(np.arange(10))
    assert learner.score() == 1


def test_labels_reach_the_model_as_they_were_given() -> None:
    seen: list[Any] = []

    class Spy(DecisionTreeClassifier):  # type: ignore[misc]
        def fit(self, x: Any, y: Any) -> Any:
            seen.append((x.dtype, y.tolist()))
            return super().fit(x, y)

    train = dw.Points(TRAIN.x.astype(np.float32), TRAIN.y)
    learner = RowGame.of(train, JUDGES, Spy()).learner()
    learner.join(whole(5, 0, 1))
    learner.score()
    assert seen == [(np.float64, ["ill", "odd", "well"])]


def test_classes_beyond_those_of_the_validation_set() -> None:
    game = RowGame.of(TRAIN, JUDGES.take(JUDGES.y != "odd"), TREE, classes=CLASSES)
    assert game.floor == 1 / 3


# -- games as records -----------------------------------------------------------------------------


def test_a_game_goes_to_other_processes() -> None:
    for model in (TREE, LinearRegression()):
        points = (TRAIN, JUDGES) if model is TREE else (numbers(1, 30), numbers(2, 30))
        game = RowGame.of(*points, model)
        there = pickle.loads(pickle.dumps(game))  # noqa: S301
        learners = [game.learner(), there.learner()]
        for learner in learners:
            learner.join(np.arange(12))
        assert learners[0].score() == learners[1].score()
        assert (there.digest, there.how, there.floor) == (game.digest, game.how, game.floor)


def test_learners_do_not_share_a_coalition() -> None:
    game = RowGame.of(TRAIN, JUDGES, TREE)
    one, other = game.learner(), game.learner()
    one.join(np.arange(30))
    assert one.score() > other.score() == game.floor


def test_the_digest_is_of_everything_that_counts() -> None:
    owned = rows(1, 30, owners=np.arange(30) // 3)
    moved = TRAIN.x.copy()
    moved[29, 2] += 1e-9

    def scorer(model: Any, x: Any, y: Any) -> float:
        return float(model.score(x, y))

    games = [
        RowGame.of(owned, JUDGES, TREE),
        RowGame.of(owned, JUDGES, TREE, players="owners"),
        RowGame.of(owned, JUDGES, TREE, seed=1),
        RowGame.of(owned, JUDGES, TREE, scoring="balanced_accuracy"),
        RowGame.of(owned, JUDGES, TREE, scoring=scorer),
        RowGame.of(owned, JUDGES, TREE, scoring=lambda model, x, y: -model.score(x, y)),
        RowGame.of(owned, JUDGES, TREE, classes=[*CLASSES, "zest"]),
        RowGame.of(owned, JUDGES, DecisionTreeClassifier(max_depth=3)),
        RowGame.of(owned, rows(8, 40), TREE),
        RowGame.of(dw.Points(moved, TRAIN.y), JUDGES, TREE),
        RowGame.of(dw.Points(TRAIN.x, np.roll(TRAIN.y, 1)), JUDGES, TREE),
    ]
    assert len({game.digest for game in games}) == len(games)
    assert RowGame.of(TRAIN, JUDGES, DecisionTreeClassifier(max_depth=2)).digest == games[0].digest
    targets = numbers(1, 9)
    other = dw.Points(targets.x, targets.y + 1)
    model = DecisionTreeRegressor()
    assert RowGame.of(targets, JUDGE_NUMBERS, model).digest != RowGame.of(other, JUDGE_NUMBERS, model).digest


def test_logistic_regression_is_followed_where_it_can_be() -> None:
    game = RowGame.of(TRAIN, JUDGES, LogisticRegression())
    assert game.how.startswith("logistic regression by Newton steps")
    assert "steps" not in RowGame.of(TRAIN, JUDGES, LogisticRegression(class_weight="balanced")).how
    learner = game.learner()
    learner.join(np.arange(15))
    peer = LogisticRegression(tol=1e-10).fit(TRAIN.x[:15], TRAIN.y[:15])
    assert learner.score() == peer.score(JUDGES.x, JUDGES.y)


def test_a_game_says_what_it_is_in_one_line() -> None:
    said = repr(RowGame.of(TRAIN, JUDGES, TREE))
    assert said.startswith("RowGame(30 players, DecisionTreeClassifier(")
    assert "\n" not in said


# -- failures -------------------------------------------------------------------------------------


class Fragile(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Fails as asked on more than five rows."""

    def __init__(self, how: str = "raise") -> None:
        self.how = how

    def fit(self, x: Any, y: Any) -> Fragile:
        self.classes_ = np.unique(y)
        if self.how == "raise" and len(x) > 5:
            raise RuntimeError(f"secret {x[0, 0]}")
        return self

    def predict(self, x: Any) -> Any:
        shape = (len(x), 1) if self.how == "shape" else len(x)
        return np.full(shape, self.classes_[0])


def test_a_model_that_fails_names_the_coalition_and_no_row() -> None:
    train = rows(1, 30, ids=[f"r{i}" for i in range(30)])
    learner = RowGame.of(train, JUDGES, Fragile()).learner()
    learner.join(np.arange(4))
    assert learner.score() == pytest.approx(1 / 3, abs=0.05)
    learner.join(np.arange(4, 12))
    with pytest.raises(MethodError) as caught:
        learner.score()
    assert str(caught.value) == (
        "Fragile failed on a coalition of 12 of 30 players with 12 rows (r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, ...): "
        "RuntimeError; a model that cannot do with so few rows, or a scoring that cannot do without a class, calls for "
        "another model, another scoring, or owners of many rows as players"
    )
    learner.join(np.arange(12, 30))
    with pytest.raises(MethodError, match=r"all 30 players with 30 rows: RuntimeError$"):
        learner.score()
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_what_scikit_learn_says_of_rows_is_not_passed_on() -> None:
    x = np.append(np.zeros(9), 55120.5)[:, np.newaxis]
    judges = dw.Points(x, ["odd", "well"] * 5)
    model = make_pipeline(OneHotEncoder(), DecisionTreeClassifier())
    learner = RowGame.of(dw.Points(x, judges.y), judges, model).learner()
    learner.join(np.arange(4))
    with pytest.raises(MethodError, match=r"4 of 10 players with 4 rows \(0, 1, 2, 3\): ValueError; ") as caught:
        learner.score()
    assert "55120" not in str(caught.value)
    assert "55120" in str(caught.value.__cause__)


@pytest.mark.parametrize("scoring", ["accuracy", "f1_macro", make_scorer(accuracy_score)])
@pytest.mark.parametrize(
    "model",
    [
        KNeighborsClassifier(),
        KNeighborsClassifier(weights="distance"),
        make_pipeline(StandardScaler(), KNeighborsClassifier()),
    ],
    ids=str,
)
def test_fewer_rows_than_neighbours_all_vote_whatever_the_scorer(model: Any, scoring: Any) -> None:
    learner = RowGame.of(TRAIN, JUDGES, model, scoring=scoring).learner()
    learner.join(whole(0, 1, 4))
    three = clone(model)
    (three[-1] if hasattr(three, "steps") else three).set_params(n_neighbors=3)
    three.fit(TRAIN.x[[0, 1, 4]], TRAIN.y[[0, 1, 4]])
    scorer = get_scorer(scoring) if isinstance(scoring, str) else scoring
    assert learner.score() == scorer(three, JUDGES.x, JUDGES.y)


def test_fewer_rows_than_neighbours_are_a_regression_too() -> None:
    train, judges = numbers(1, 9), numbers(2, 9)
    learner = RowGame.of(train, judges, KNeighborsRegressor()).learner()
    learner.join(whole(0, 1))
    two = KNeighborsRegressor(2).fit(train.x[:2], train.y[:2])
    assert learner.score() == two.score(judges.x, judges.y)


def test_models_and_scorers_that_write_into_rows_spoil_none() -> None:
    def spoil(model: Any, x: Any, y: Any) -> float:
        score = float(model.score(x, y))
        x -= 100.0
        y[:] = y[0]
        return score

    for scaler in (StandardScaler, MinMaxScaler):
        for last in (TREE, LogisticRegression()):
            for scoring in (None, "f1_macro", spoil):
                games = [
                    RowGame.of(TRAIN, JUDGES, make_pipeline(scaler(copy=copy), last), scoring=scoring)
                    for copy in (False, True)
                ]
                learners = [game.learner() for game in games]
                assert games[0].floor == games[1].floor
                for members in (np.arange(9), np.arange(5, 25), np.arange(9)):
                    for learner in learners:
                        learner.clear()
                        learner.join(members)
                    assert learners[0].score() == pytest.approx(learners[1].score(), abs=0.03)
                scores = []
                for _ in range(2):
                    learners[0].clear()
                    learners[0].join(np.arange(9))
                    scores.append(learners[0].score())
                assert scores[0] == scores[1]


def test_what_a_game_holds_cannot_be_written_into() -> None:
    game = RowGame.of(TRAIN, JUDGES, TREE)
    for one in (game, pickle.loads(pickle.dumps(game))):  # noqa: S301
        for part in (one._table.x, one._table.y, one._table.judges, one._table.judge_y):
            with pytest.raises(ValueError, match="read-only"):
                part[0] = part[1]


def test_a_game_says_what_its_digest_could_not_tell() -> None:
    assert RowGame.of(TRAIN, JUDGES, make_pipeline(StandardScaler(), TREE), scoring="f1_macro").untold == ""
    lock = threading.Lock()
    game = RowGame.of(TRAIN, JUDGES, TREE, scoring=lambda model, x, y: float(lock.locked()))
    assert game.untold == "a lock"


def test_scores_that_are_no_numbers_and_predictions_of_odd_shape_are_failures() -> None:
    model = Fragile("shape")
    learner = RowGame.of(TRAIN, JUDGES, model).learner()
    learner.join(np.arange(6))
    with pytest.raises(MethodError, match=r"it predicted labels of shape \(40, 1\) for 40 rows"):
        learner.score()

    def broken(model: Any, x: Any, y: Any) -> float:
        return 0.5 if hasattr(model, "strategy") else math.nan

    learner = RowGame.of(TRAIN, JUDGES, TREE, scoring=broken).learner()
    learner.join(np.arange(6))
    with pytest.raises(MethodError, match=r"6 rows .*: it scored nan"):
        learner.score()


# -- bad input ------------------------------------------------------------------------------------

JUDGE_NUMBERS = numbers(2, 30)
GAP = dw.Points(np.array([[np.nan, 1.0, 2.0], [0.0, 1.0, 2.0]]), ["ill", "odd"], allow_missing=True)


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: RowGame.of(TRAIN.x, JUDGES, TREE), InputError, "must be dataworth.Points"),  # type: ignore[arg-type]
        (lambda: RowGame.of(TRAIN, JUDGES, "tree"), MethodError, "a pipeline of scikit-learn, not str"),
        (lambda: RowGame.of(TRAIN, JUDGES, StandardScaler()), MethodError, "not StandardScaler"),
        (lambda: RowGame.of(TRAIN, JUDGES, TREE, scoring="nonsense"), MethodError, "'nonsense' is no scorer"),
        (lambda: RowGame.of(TRAIN, JUDGES, KNeighborsClassifier(2.5)), MethodError, "'n_neighbors' parameter of K"),
        (lambda: RowGame.of(TRAIN, JUDGES, TREE, scoring=3), MethodError, "name of a scorer or a callable"),  # type: ignore[arg-type]
        (lambda: RowGame.of(TRAIN, JUDGES, TREE, seed=-1), MethodError, "seed must be an integer of 0 or more"),
        (lambda: RowGame.of(TRAIN, JUDGES, TREE, players="clubs"), MethodError, "'rows' or 'owners', not 'clubs'"),  # type: ignore[arg-type]
        (lambda: RowGame.of(TRAIN, JUDGES, TREE, players="owners"), DataError, "needs the owner of each train row"),
        (lambda: RowGame.of(rows(1, 9, 4), JUDGES, TREE), DataError, "train has 4 of them and validation 3"),
        (
            lambda: RowGame.of(rows(1, 9, features=list("abc")), rows(1, 9, features=list("acb")), TREE),
            DataError,
            "same features in another order",
        ),
        (lambda: RowGame.of(GAP, JUDGES, TREE), DataError, "train: 1 of 2 rows hold NaN"),
        (lambda: RowGame.of(TRAIN, GAP, TREE), DataError, "validation: 1 of 2 rows hold NaN"),
        (
            lambda: RowGame.of(TRAIN, JUDGES.take(JUDGES.y != "odd"), TREE),
            DataError,
            "10 of 30 labels of train are none of the 2 classes",
        ),
        (lambda: RowGame.of(TRAIN, JUDGES, TREE, classes=["ill", "well"]), DataError, "13 of 40 validation labels"),
        (lambda: RowGame.of(TRAIN, JUDGES.take(JUDGES.y == "odd"), TREE), DataError, "two classes or more"),
        (lambda: RowGame.of(TRAIN.take(TRAIN.y == "odd"), JUDGES, TREE), DataError, "all 10 train rows have the same"),
        (lambda: RowGame.of(numbers(1, 9), JUDGES, TREE), DataError, "labels of train are numbers, but the classes"),
        (lambda: RowGame.of(TRAIN, JUDGE_NUMBERS, TREE), MethodError, "with fractions, which are no classes"),
        (lambda: RowGame.of(TRAIN, JUDGES, DecisionTreeRegressor()), DataError, "train labels are text"),
        (
            lambda: RowGame.of(numbers(1, 9), JUDGE_NUMBERS, DecisionTreeRegressor(), classes=[1, 2]),
            MethodError,
            "takes no classes",
        ),
        (
            lambda: RowGame.of(numbers(1, 9), numbers(2, 1), DecisionTreeRegressor()),
            DataError,
            "all 1 validation labels are equal, so r2 has no spread",
        ),
        (
            lambda: RowGame.of(TRAIN, JUDGES, TREE, scoring=lambda model, x, y: model.tree_.value),
            MethodError,
            "cannot score a model that guesses",
        ),
        (
            lambda: RowGame.of(numbers(1, 9), JUDGE_NUMBERS, DecisionTreeRegressor(), scoring=lambda *_: math.inf),
            MethodError,
            "scores a model that always predicts the mean inf",
        ),
    ],
)
def test_bad_input(make: Callable[[], Any], error: type[DataworthError], said: str) -> None:
    with pytest.raises(error, match=said):
        make()


def test_any_model_that_predicts_labels_will_do() -> None:
    forest = RowGame.of(TRAIN, JUDGES, RandomForestClassifier(3))
    learner = forest.learner()
    learner.join(np.arange(30))
    assert learner.score() == learner.score()
    clusters = RowGame.of(dw.Points(TRAIN.x, np.arange(30) % 2), dw.Points(JUDGES.x, np.arange(40) % 2), KMeans(2))
    learner = clusters.learner()
    learner.join(np.arange(30))
    assert 0 <= learner.score() <= 1
