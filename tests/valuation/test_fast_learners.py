"""Models that follow a coalition: each against scikit-learn's own, fitted to the same rows."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, Ridge, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import dataworth as dw
from dataworth.errors import MethodError
from dataworth.valuation.row_games import RowGame

CLASSIFIERS = [
    RidgeClassifier(),
    RidgeClassifier(alpha=0.01, solver="svd"),
    NearestCentroid(),
    GaussianNB(),
    GaussianNB(var_smoothing=0.1),
    make_pipeline(StandardScaler(), RidgeClassifier(alpha=3)),
    make_pipeline(StandardScaler(with_mean=False), NearestCentroid()),
    make_pipeline(StandardScaler(), GaussianNB(var_smoothing=1e-3)),
    make_pipeline(StandardScaler(with_std=False), RidgeClassifier()),
]
REGRESSORS = [
    Ridge(),
    Ridge(alpha=100),
    LinearRegression(),
    make_pipeline(StandardScaler(), Ridge(alpha=0.3)),
    make_pipeline(StandardScaler(), LinearRegression()),
]
LABELS = {2: ["no", "yes"], 3: ["cat", "dog", "owl"]}


def problem(
    seed: int, n: int, d: int, classes: int, shift: float = 0.0, judges: int = 25
) -> tuple[dw.Points, dw.Points]:
    """Rows of which some are there twice, a constant column if there are three, a column of 0 and 1 if four."""
    rng = np.random.default_rng(seed)
    names = np.array(LABELS[classes])
    codes = rng.integers(0, classes, n + judges)
    codes[-classes:] = codes[:classes] = np.arange(classes)
    x = rng.normal(0, rng.uniform(0.2, 3, d), (n + judges, d)) + 0.8 * (codes[:, np.newaxis] == np.arange(d)) + shift
    if d > 2:
        x[:, 2] = shift + 0.7
    if d > 3:
        x[:, 3] = rng.random(n + judges) < 0.15
    again = rng.integers(0, n, n // 4)
    x[n - again.size : n] = x[again]
    train = dw.Points(x[:n], names[codes[:n]], owners=rng.integers(0, 5, n))
    return train, dw.Points(x[n:], names[codes[n:]])


def scored_by_scikit_learn(model: Any, train: dw.Points, judges: dw.Points, rows: NDArray[np.int64]) -> tuple[int, int]:
    """How many are right, and how many lie so near to a boundary that rounding may decide."""
    fitted = clone(model).fit(train.x[rows], train.y[rows])
    return int((fitted.predict(judges.x) == judges.y).sum()), int((margins(fitted, judges.x) < 1e-9).sum())


def margins(fitted: Any, x: NDArray[Any]) -> NDArray[np.float64]:
    """How far each point is from another answer, as a part of the size of the scores."""
    last = fitted
    if hasattr(fitted, "steps"):
        x, last = fitted[0].transform(x), fitted[-1]
    if isinstance(last, RidgeClassifier):
        scores = last.decision_function(x)
        if scores.ndim == 1:
            return np.asarray(np.abs(scores))
    elif isinstance(last, GaussianNB):
        scores = last.predict_joint_log_proba(x)
    else:
        scores = ((x[:, np.newaxis] - last.centroids_) ** 2).sum(axis=2)
        # Its distances are differences of products, which round away what is small beside the rows themselves.
        scores = scores / np.maximum((x**2).sum(axis=1), (last.centroids_**2).sum(axis=1).max())[:, np.newaxis]
        two = np.sort(scores, axis=1)[:, :2]
        return np.asarray(two[:, 1] - two[:, 0])
    two = np.sort(scores, axis=1)[:, -2:]
    return np.asarray((two[:, 1] - two[:, 0]) / np.maximum(np.abs(two).max(axis=1), 1.0))


def some_rows(rng: np.random.Generator, n: int) -> NDArray[np.int64]:
    return np.asarray(rng.permutation(n)[: rng.integers(1, n + 1)], dtype=np.int64)


# -- the same as scikit-learn ---------------------------------------------------------------------


@pytest.mark.parametrize("model", CLASSIFIERS, ids=str)
@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(4, 40),
    d=st.integers(1, 9),
    classes=st.integers(2, 3),
    shift=st.sampled_from([0.0, 1e3]),
)
def test_classifiers_score_as_if_fitted_to_the_coalition(
    model: Any, seed: int, n: int, d: int, classes: int, shift: float
) -> None:
    train, judges = problem(seed, n, d, classes, shift)
    game = RowGame.of(train, judges, model)
    assert "sums over rows" in game.how
    learner = game.learner()
    rng = np.random.default_rng(seed)
    here = np.zeros(n, dtype=np.bool_)
    for _ in range(4):
        chosen = some_rows(rng, n)
        learner.leave(chosen[here[chosen]])
        learner.join(chosen[~here[chosen]])
        here[chosen] = ~here[chosen]
        rows = np.flatnonzero(here)
        if np.unique(train.y[rows]).size < 2:
            assert learner.score() == game.floor
            continue
        with warnings.catch_warnings(action="ignore"):  # of columns that are constant in a class
            try:
                right, close = scored_by_scikit_learn(model, train, judges, rows)
            except ValueError:  # rows that are all the same have no centroids to tell apart
                with pytest.raises(MethodError, match=r": ValueError"):
                    learner.score()
                continue
            assert abs(learner.score() * len(judges) - right) <= close + 1e-9


@pytest.mark.parametrize("model", REGRESSORS, ids=str)
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), n=st.integers(3, 40), d=st.integers(1, 9), shift=st.sampled_from([0.0, 1e3]))
def test_regressors_score_as_if_fitted_to_the_coalition(model: Any, seed: int, n: int, d: int, shift: float) -> None:
    classed, judged = problem(seed, n, d, 2, shift)
    rng = np.random.default_rng(seed)
    slope = rng.normal(size=d)
    train = dw.Points(classed.x, classed.x @ slope + rng.normal(size=n))
    judges = dw.Points(judged.x, judged.x @ slope + rng.normal(size=len(judged)))
    game = RowGame.of(train, judges, model)
    assert "sums over rows" in game.how
    learner = game.learner()
    for _ in range(4):
        rows = some_rows(rng, n)
        learner.clear()
        learner.join(rows)
        peer = clone(model).fit(train.x[np.sort(rows)], train.y[np.sort(rows)]).score(judges.x, judges.y)
        assert learner.score() == pytest.approx(peer, rel=1e-6, abs=1e-6)
        learner.leave(rows)
        assert learner.score() == game.floor == 0


@pytest.mark.parametrize(
    "model",
    [
        KNeighborsClassifier(1),
        KNeighborsClassifier(),
        KNeighborsClassifier(4, p=2.0),
        make_pipeline(StandardScaler(with_std=False), KNeighborsClassifier(3)),
    ],
    ids=str,
)
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), n=st.integers(4, 40), d=st.integers(1, 5), classes=st.integers(2, 3))
def test_neighbours_vote_as_if_the_coalition_were_all(model: Any, seed: int, n: int, d: int, classes: int) -> None:
    train, judges = problem(seed, n, d, classes)
    game = RowGame.of(train, judges, model)
    assert game.how == "nearest neighbours from one ranking"
    learner, rng = game.learner(), np.random.default_rng(seed)
    for _ in range(4):
        rows = np.sort(some_rows(rng, n))
        learner.clear()
        learner.join(rows)
        if np.unique(train.y[rows]).size < 2:
            assert learner.score() == game.floor
            continue
        last = model[-1] if hasattr(model, "steps") else model
        k = min(last.n_neighbors, rows.size)  # scikit-learn refuses fewer rows than neighbours; here all vote
        peer = clone(last).set_params(n_neighbors=k).fit(train.x[rows], train.y[rows])
        apart = np.sort(((judges.x[:, np.newaxis] - train.x[rows]) ** 2).sum(axis=2), axis=1)
        close = int((np.diff(apart)[:, k - 1] < 1e-9).sum()) if k < rows.size else 0  # who votes is a tie
        assert abs(learner.score() * len(judges) - (peer.predict(judges.x) == judges.y).sum()) <= close + 1e-9


# -- who comes when -------------------------------------------------------------------------------

FOLLOWED = [*CLASSIFIERS, KNeighborsClassifier(3)]


@pytest.mark.parametrize("model", FOLLOWED, ids=str)
def test_the_way_to_a_coalition_does_not_matter(model: Any) -> None:
    train, judges = problem(5, 40, 4, 3, judges=80)
    game = RowGame.of(train, judges, model)
    rng = np.random.default_rng(1)
    rows = rng.permutation(40)[:17]
    scores = []
    for _ in range(5):
        learner = game.learner()
        for row in rng.permutation(rows).tolist():
            learner.join(np.array([row]))
            strangers = rng.permutation(np.setdiff1d(np.arange(40), rows))[:6]
            learner.join(strangers)
            learner.score()
            learner.leave(strangers[3:])
            learner.leave(strangers[:3])
        scores.append(learner.score())
    assert len(set(scores)) == 1
    assert scores[0] != game.floor


@pytest.mark.parametrize("model", FOLLOWED, ids=str)
@pytest.mark.parametrize("most", [0, 3, 2**28], ids=["no sums kept", "few sums kept", "all sums kept"])
def test_owners_are_their_rows(model: Any, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    train, judges = problem(6, 40, 4, 3)
    monkeypatch.setattr("dataworth.valuation.fast_learners._KEPT_BYTES", 3_000 if most == 3 else most)
    whole, parts = (RowGame.of(train, judges, model, players=who) for who in ("owners", "rows"))
    ours, theirs = whole.learner(), parts.learner()
    rng = np.random.default_rng(2)
    here = np.zeros(5, dtype=np.bool_)
    for _ in range(12):
        turned = rng.permutation(5)[: rng.integers(1, 4)]
        ours.leave(turned[here[turned]])
        ours.join(turned[~here[turned]])
        here[turned] = ~here[turned]
        theirs.clear()
        theirs.join(np.flatnonzero(here[train.owners]))
        assert ours.score() == theirs.score()
    assert ours.fits == theirs.fits > 0


@pytest.mark.filterwarnings("ignore:self.within_class_std_dev_")
@pytest.mark.parametrize("model", [RidgeClassifier(), GaussianNB(), NearestCentroid()], ids=str)
@pytest.mark.parametrize("scaled", [False, True])
def test_ten_thousand_steps_far_from_zero_lose_nothing(model: Any, scaled: bool) -> None:
    train, judges = problem(7, 60, 5, 3, shift=1e6, judges=200)
    chosen = make_pipeline(StandardScaler(), model) if scaled else model
    game = RowGame.of(train, judges, chosen)
    learner, fresh = game.learner(), game.learner()
    rng = np.random.default_rng(3)
    here = np.zeros(60, dtype=np.bool_)
    for row in rng.integers(0, 60, 10_000).tolist():
        (learner.leave if here[row] else learner.join)(np.array([row]))
        here[row] = not here[row]
    fresh.join(np.flatnonzero(here))
    assert learner.score() == fresh.score()
    # Near zero, where scikit-learn loses no digits either.
    near = [dw.Points(points.x - np.where(np.arange(5) == 3, 0, 1e6), points.y) for points in (train, judges)]
    right, close = scored_by_scikit_learn(chosen, near[0], near[1], np.flatnonzero(here))
    assert close == 0
    assert learner.score() == right / 200


@pytest.mark.parametrize(
    "model", [RidgeClassifier(), GaussianNB(), make_pipeline(StandardScaler(), NearestCentroid())], ids=str
)
@pytest.mark.parametrize("players", ["rows", "owners"])
def test_a_row_that_dwarfs_the_others_leaves_no_trace(model: Any, players: Any) -> None:
    train, judges = problem(8, 40, 3, 2)
    x = train.x.copy()
    x[9] = 1e40
    owners = np.arange(40) % 5
    owners[9] = 99
    game = RowGame.of(dw.Points(x, train.y, owners=owners), judges, model, players=players)
    learner, fresh = game.learner(), game.learner()
    giant = 9 if players == "rows" else game.n - 1
    others = np.setdiff1d(np.arange(game.n), giant)
    learner.join(others)
    fresh.join(others)
    learner.join(np.array([giant]))
    learner.leave(np.array([giant]))
    assert learner.score() == fresh.score() != game.floor


@pytest.mark.parametrize("model", FOLLOWED, ids=str)
def test_fits_are_counted_and_games_travel(model: Any) -> None:
    train, judges = problem(9, 30, 3, 2)
    game = pickle.loads(pickle.dumps(RowGame.of(train, judges, model)))  # noqa: S301
    learner = game.learner()
    assert learner.score() == game.floor
    learner.join(np.flatnonzero(train.y == "no"))
    assert learner.score() == game.floor
    assert learner.fits == 0
    learner.join(np.flatnonzero(train.y == "yes"))
    learner.score()
    learner.score()
    assert learner.fits == 2


# -- which way ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "scoring", "how"),
    [
        (RidgeClassifier(), None, "ridge classifier from sums over rows"),
        (
            make_pipeline(StandardScaler(), GaussianNB()),
            None,
            "Gaussian naive Bayes from sums over rows, scaled by the coalition's own deviations",
        ),
        (RidgeClassifier(), "roc_auc", "(no fast path for scoring='roc_auc')"),
        (RidgeClassifier(), lambda model, x, y: 0.0, "<lambda>)"),
        (RidgeClassifier(class_weight="balanced"), None, "(no fast path for RidgeClassifier(class_weight='balanced'))"),
        (RidgeClassifier(fit_intercept=False), None, "RidgeClassifier(fit_intercept=False)"),
        (RidgeClassifier(positive=True), None, "RidgeClassifier(positive=True)"),
        (RidgeClassifier(solver="sag"), None, "RidgeClassifier(solver='sag')"),
        (RidgeClassifier(alpha=0), None, "RidgeClassifier(alpha=0)"),
        (NearestCentroid(shrink_threshold=0.5), None, "NearestCentroid(shrink_threshold=0.5)"),
        (NearestCentroid(metric="manhattan"), None, "NearestCentroid(metric='manhattan')"),
        (GaussianNB(priors=[0.5, 0.5]), None, "GaussianNB(priors=[0.5, 0.5])"),
        (GaussianNB(var_smoothing=0), None, "GaussianNB(var_smoothing=0)"),
        (KNeighborsClassifier(weights="distance"), None, "KNeighborsClassifier(weights='distance')"),
        (KNeighborsClassifier(metric="manhattan"), None, "KNeighborsClassifier(metric='manhattan')"),
        (KNeighborsClassifier(p=1), None, "KNeighborsClassifier(p=1)"),
        (make_pipeline(StandardScaler(), KNeighborsClassifier()), None, "neighbours among rows that are scaled anew"),
        (make_pipeline(StandardScaler(copy=False), GaussianNB()), None, "for StandardScaler(copy=False))"),
        (KNeighborsClassifier(None), None, "KNeighborsClassifier(n_neighbors=None)"),
        (make_pipeline(PCA(2), GaussianNB()), None, "(no fast path for Pipeline of PCA, GaussianNB)"),
    ],
)  # fmt: skip
def test_the_way_is_stated(model: Any, scoring: Any, how: str) -> None:
    game = RowGame.of(*problem(1, 30, 3, 2), model, scoring=scoring)
    assert game.how.endswith(how) or how in game.how
    assert ("refitted from scratch" in game.how) == ("sums" not in how)


def test_one_that_is_almost_a_model_we_know_is_refitted() -> None:
    class Other(GaussianNB):  # type: ignore[misc]
        def predict(self, x: Any) -> Any:
            return np.full(len(x), self.classes_[1])

    train, judges = problem(1, 30, 3, 2)
    learner = RowGame.of(train, judges, Other()).learner()
    learner.join(np.arange(30))
    assert learner.score() == (judges.y == "yes").mean()


def test_what_does_not_fit_in_doubles_or_memory_is_refitted(monkeypatch: pytest.MonkeyPatch) -> None:
    train, judges = problem(1, 30, 3, 2)
    wild = dw.Points(np.where(np.arange(30)[:, np.newaxis] == 4, 1e120, train.x), train.y)
    assert "(no fast path for numbers beyond 1e+100)" in RowGame.of(wild, judges, GaussianNB()).how
    monkeypatch.setattr("dataworth.valuation.fast_learners._MOST_RANKS", 700)
    assert "(no fast path for 30 times 25 distances)" in RowGame.of(train, judges, KNeighborsClassifier()).how


def test_sums_that_say_too_little_are_left_to_scikit_learn() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(40, 3))
    x[:, 2] = x[:, 0] + 1e-9 * rng.normal(size=40)
    train = dw.Points(x, x[:, 0] + x[:, 1])
    learner = RowGame.of(train, train, LinearRegression()).learner()
    learner.join(np.arange(30))
    assert learner.score() == LinearRegression().fit(x[:30], train.y[:30]).score(x, train.y)
