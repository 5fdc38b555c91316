"""Logistic regression along coalitions: against its own optimality, and against scikit-learn run until it stops."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dataworth.errors import MethodError
from dataworth.kernels.logistic import LogisticPath, parameters

KINDS = ["plain", "duplicates", "separable", "constant", "shifted", "one row far out"]

problems = {
    "seed": st.integers(0, 10**6),
    "n": st.integers(4, 40),
    "d": st.integers(1, 9),
    "classes": st.integers(2, 4),
    "cost": st.sampled_from([1e-3, 0.1, 1.0, 30.0, 1e3]),
    "kind": st.sampled_from(KINDS),
}


def problem(seed: int, n: int, d: int, classes: int, kind: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Rows of every class, more columns than rows at times."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    codes = np.concatenate([np.arange(classes), rng.integers(0, classes, n)])[:n]
    x[:, 0] += codes
    match kind:
        case "duplicates":
            x = x[rng.integers(0, 3, n)]
        case "separable":
            x[:, 0] = 4.0 * codes + rng.uniform(-1, 1, n)
        case "constant":
            x[:, -1] = 3.0
        case "shifted":
            x += rng.normal(0, 50, d)
        case "one row far out":
            x[-1] *= 100.0
    return x, codes


def solved(path: LogisticPath, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    path.clear()
    path.join(rows)
    path.solve()
    return path.solution()[1:]


def peer(
    x: NDArray[np.float64], codes: NDArray[np.int64], cost: float, intercept: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scikit-learn's solution, with intercepts that sum to 0 where only their differences matter."""
    model = LogisticRegression(
        C=cost, fit_intercept=intercept, solver="newton-cholesky", tol=1e-12, max_iter=100_000
    ).fit(x, codes)
    shift = model.intercept_.mean() if model.classes_.size > 2 else 0.0
    return model.coef_, model.intercept_ - shift


def steepest(
    x: NDArray[np.float64],
    codes: NDArray[np.int64],
    cost: float,
    weights: NDArray[np.float64],
    intercepts: NDArray[np.float64],
) -> float:
    """The largest part of the gradient, relative to the sizes of what it is the sum of for any class."""
    logits = x @ weights.T + intercepts
    if logits.shape[1] == 1:
        logits = np.hstack([-logits / 2, logits / 2])
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    own = np.arange(len(x)), codes
    others = chances.copy()
    others[own] = 0.0
    gaps = chances.copy()
    gaps[own] = -others.sum(axis=1)  # as exact as chances near 1 need it
    ones = np.column_stack([x, np.ones(len(x))])
    slope, size = cost * gaps.T @ ones, cost * np.abs(gaps).T @ np.abs(ones)
    if len(weights) == 1:
        slope, size = slope[1:], size[1:]
    slope[:, :-1] += weights
    size[:, :-1] += np.abs(weights)
    return float((np.abs(slope) / np.maximum(size.max(axis=0), 1e-300)).max())


# -- the optimum ----------------------------------------------------------------------------------


@given(scale=st.sampled_from([1e-6, 1e-2, 1.0, 30.0, 1e3]), **problems)
def test_the_gradient_is_zero(scale: float, seed: int, n: int, d: int, classes: int, cost: float, kind: str) -> None:
    x, codes = problem(seed, n, d, classes, kind)
    x *= scale
    found = solved(LogisticPath(x, codes, classes, cost=cost), np.arange(n))
    assert steepest(x, codes, cost, *found) < 1e-6


@given(intercept=st.booleans(), **problems)
def test_it_is_what_scikit_learn_approaches(
    intercept: bool, seed: int, n: int, d: int, classes: int, cost: float, kind: str
) -> None:
    x, codes = problem(seed, n, d, classes, kind)
    rows = np.random.default_rng(seed).permutation(n)[: max(3, n // 2)]
    present = np.unique(codes[rows])
    if present.size < 2:
        return
    path = LogisticPath(x, codes, classes, cost=cost, intercept=intercept)
    weights, intercepts = solved(path, rows)
    assert path.solution()[0].tolist() == present.tolist()
    with warnings.catch_warnings(action="ignore"):
        expected = peer(x[rows], codes[rows], cost, intercept)
    if steepest(x[rows], np.searchsorted(present, codes[rows]), cost, *expected) > 1e-9 and intercept:
        return  # it has stopped before its optimum, and says so
    np.testing.assert_allclose(weights, expected[0], atol=1e-6)
    np.testing.assert_allclose(intercepts, expected[1], rtol=1e-6, atol=1e-6)


@given(**problems)
def test_columns_are_standardised_by_the_rows_that_take_part(
    seed: int, n: int, d: int, classes: int, cost: float, kind: str
) -> None:
    x, codes = problem(seed, n, d, classes, kind)
    rows = np.random.default_rng(seed).permutation(n)[: max(3, n // 2)]
    if np.unique(codes[rows]).size < 2:
        return
    path = LogisticPath(x, codes, classes, cost=cost, standardize=True)
    weights, intercepts = solved(path, rows)
    scaler = StandardScaler().fit(x[rows])
    for ours, theirs in zip(path.moments(), (scaler.mean_, scaler.var_, scaler.scale_), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    with warnings.catch_warnings(action="ignore"):
        expected = peer(scaler.transform(x[rows]), codes[rows], cost)
    np.testing.assert_allclose(weights, expected[0], atol=1e-6)
    np.testing.assert_allclose(intercepts, expected[1], rtol=1e-6, atol=1e-6)


# -- the path does not matter ---------------------------------------------------------------------


@settings(max_examples=40)
@given(standardize=st.booleans(), **problems)
def test_ten_paths_lead_to_one_solution(
    standardize: bool, seed: int, n: int, d: int, classes: int, cost: float, kind: str
) -> None:
    x, codes = problem(seed, n, d, classes, kind)
    rng = np.random.default_rng(seed)
    goal = rng.permutation(n)[: max(classes, n // 2)]
    goal = np.union1d(goal, np.arange(classes))
    path = LogisticPath(x, codes, classes, cost=cost, standardize=standardize)
    cold = solved(path, goal)
    for _ in range(10):
        for visited in wander(path, rng, n, goal):
            if np.unique(codes[visited]).size > 1:
                path.solve()
        assert path.counts.tolist() == np.bincount(codes[goal], minlength=classes).tolist()
        assert np.sort(path.rows).tolist() == goal.tolist()
        _, weights, intercepts = path.solution()
        np.testing.assert_allclose(weights, cold[0], rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(intercepts, cold[1], rtol=1e-8, atol=1e-8)


def wander(
    path: LogisticPath, rng: np.random.Generator, n: int, goal: NDArray[np.int64]
) -> Iterator[NDArray[np.int64]]:
    """From nobody over other coalitions to the one in the end; each as it is reached."""
    path.clear()
    inside = np.zeros(n, dtype=np.bool_)
    for last in (False, False, False, True):
        wanted = np.isin(np.arange(n), goal) if last else rng.random(n) < rng.random()
        for moves, go in ((inside & ~wanted, path.leave), (wanted & ~inside, path.join)):
            rows = rng.permutation(np.flatnonzero(moves))
            for some in np.array_split(rows, min(len(rows), int(rng.integers(1, 5)))) if len(rows) else []:
                go(some)
                inside[some] = go == path.join
                yield np.flatnonzero(inside)


def test_after_clearing_nothing_of_the_past_is_left() -> None:
    x, codes = problem(3, 60, 5, 3, "plain")
    rows = np.arange(7, 40)
    fresh = solved(LogisticPath(x, codes, 3, cost=1.0), rows)
    path = LogisticPath(x, codes, 3, cost=1.0)
    for start in range(5):
        solved(path, np.arange(start, 60))
        path.leave(np.arange(start, start + 4))
        path.solve()
    for ours, theirs in zip(fresh, solved(path, rows), strict=True):
        assert ours.tobytes() == theirs.tobytes()


def test_classes_that_come_and_go() -> None:
    x, codes = problem(4, 80, 3, 3, "plain")
    path = LogisticPath(x, codes, 3, cost=2.0)
    by_class = [np.flatnonzero(codes == code) for code in range(3)]
    for gone in (0, 1, 2):
        path.clear()
        path.join(np.arange(80))
        path.solve()
        path.leave(by_class[gone])
        path.solve()
        present, weights, intercepts = path.solution()
        assert present.tolist() == [code for code in range(3) if code != gone]
        rest = np.flatnonzero(codes != gone)
        expected = peer(x[rest], codes[rest], 2.0)
        np.testing.assert_allclose(weights, expected[0], atol=1e-8)
        np.testing.assert_allclose(intercepts, expected[1], atol=1e-8)
        assert gone not in path.choose(path.ready(x))
        path.join(by_class[gone])
        path.solve()
        np.testing.assert_allclose(path.solution()[1], peer(x, codes, 2.0)[0], atol=1e-8)


# -- choices --------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("standardize", [False, True])
def test_it_chooses_as_scikit_learn_does(classes: int, standardize: bool) -> None:
    x, codes = problem(5, 150, 4, classes, "shifted")
    judges, right = problem(6, 90, 4, classes, "plain")
    judges += x.mean(axis=0)
    path = LogisticPath(x, codes, classes, cost=1.0, standardize=standardize)
    solved(path, np.arange(100))
    model = LogisticRegression(tol=1e-12, solver="newton-cholesky")
    model = make_pipeline(StandardScaler(), model) if standardize else model
    expected = model.fit(x[:100], codes[:100]).predict(judges)
    ready = path.ready(judges)
    assert path.choose(ready).tolist() == expected.tolist()
    assert path.count_right(ready, right) == (expected == right).sum()


def test_of_equal_logits_the_first_class_is_chosen() -> None:
    for classes in (2, 3):
        x = np.zeros((2 * classes, 1))
        path = LogisticPath(x, np.arange(2 * classes) % classes, classes, cost=1.0)
        solved(path, np.arange(2 * classes))
        assert path.choose(path.ready(np.array([[0.0], [5.0]]))).tolist() == [0, 0]


# -- limits ---------------------------------------------------------------------------------------


def test_far_apart_and_hardly_penalised() -> None:
    x, codes = np.array([[-1e6], [1e6], [2e6], [-1e6]]), np.array([0, 1, 1, 0])
    found = solved(LogisticPath(x, codes, 2, cost=1e6), np.arange(4))
    assert np.isfinite(found[0]).all()
    assert steepest(x, codes, 1e6, *found) < 1e-6


def test_one_class_is_refused() -> None:
    path = LogisticPath(np.eye(3), np.array([0, 0, 1]), 2, cost=1.0)
    path.join(np.array([0, 1]))
    with pytest.raises(MethodError, match="needs rows of at least 2 classes, not of 1"):
        path.solve()


def test_numbers_that_overflow_are_refused() -> None:
    path = LogisticPath(np.array([[1e200], [-1e200], [3e200]]), np.array([0, 1, 1]), 2, cost=1.0)
    path.join(np.arange(3))
    with pytest.raises(MethodError, match="scale the columns"):
        path.solve()


def test_an_interruption_on_the_way_to_the_start_leaves_no_other_start(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    x, codes = rng.normal(size=(60, 4)), rng.integers(0, 2, 60)

    def made() -> LogisticPath:
        return LogisticPath(x, codes, 2, cost=1.0)

    def found(path: LogisticPath) -> list[list[float]]:
        solutions = []
        for size in range(5, 55, 5):
            path.clear()
            path.join(np.arange(size))
            path.solve()
            solutions.append(path.solution()[1].ravel().tolist())
        return solutions

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    path = made()
    path.join(np.arange(40))
    with monkeypatch.context() as patched:
        patched.setattr("dataworth.kernels.logistic._solve", interrupt)
        with pytest.raises(KeyboardInterrupt):
            path.solve()
    assert found(path) == found(made())  # to the last bit


def test_a_coalition_has_so_many_parameters() -> None:
    assert [parameters(7, 2), parameters(7, 2, intercept=False), parameters(7, 4)] == [8, 7, 32]
