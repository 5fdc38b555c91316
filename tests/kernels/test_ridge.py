"""Ridge classifiers that are sums: against the penalised least squares they claim to solve."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from dataworth.errors import DataError, MethodError
from dataworth.kernels import ridge
from dataworth.kernels.ridge import FeatureMap, Statistics, add_up, collect, solve


def problem(seed: int, n: int, d: int, classes: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    return rng.normal(rng.normal(size=d), rng.uniform(0.1, 5, d), (n, d)), rng.integers(0, classes, n)


@given(
    seed=st.integers(0, 10**6), n=st.integers(2, 30), d=st.integers(1, 6), penalty=st.sampled_from([0.01, 1.0, 50.0])
)
def test_it_is_the_penalised_least_squares_fit(seed: int, n: int, d: int, penalty: float) -> None:
    x, codes = problem(seed, n, d, 3)
    features = FeatureMap.of(x)
    model = solve(features, collect(features, x, codes, 3), penalty)
    ready = features(x)
    peer = Ridge(alpha=penalty, solver="svd").fit(ready[:, 1:], np.eye(3)[codes])
    np.testing.assert_allclose(ready @ model.weights, peer.predict(ready[:, 1:]), atol=1e-8)
    # Weights at a minimum: no gradient of the penalised error, and none of the intercept without penalty.
    slope = ready.T @ (ready @ model.weights - np.eye(3)[codes])
    slope[1:] += penalty * model.weights[1:]
    np.testing.assert_allclose(slope, 0, atol=1e-9)


@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(1, 39), max_size=3, unique=True))
def test_the_sums_of_parts_are_the_sums_of_all(seed: int, cuts: list[int]) -> None:
    x, codes = problem(seed, 40, 4, 3)
    features = FeatureMap.of(x)
    edges = [0, *sorted(cuts), 40]
    parts = [collect(features, x[a:b], codes[a:b], 3) for a, b in pairwise(edges)]
    merged, whole = add_up(parts), collect(features, x, codes, 3)
    np.testing.assert_allclose(merged.gram, whole.gram, atol=1e-12)
    np.testing.assert_allclose(merged.cross, whole.cross, atol=1e-12)
    assert merged.counts.tolist() == whole.counts.tolist() == np.bincount(codes, minlength=3).tolist()


def test_blocks_are_seamless(monkeypatch: pytest.MonkeyPatch) -> None:
    x, codes = problem(1, 50, 3, 2)
    features = FeatureMap.of(x, random_features=7)
    whole, ready = collect(features, x, codes, 2), features(x)
    monkeypatch.setattr(ridge, "_BLOCK", 8)
    np.testing.assert_allclose(collect(features, x, codes, 2).gram, whole.gram, atol=1e-12)
    np.testing.assert_allclose(features(x), ready, atol=1e-14)


def test_the_same_rows_give_the_same_bits() -> None:
    x, codes = problem(2, 5000, 9, 4)
    features = FeatureMap.of(x[:100])
    once, again = collect(features, x, codes, 4), collect(features, x.copy(), codes.copy(), 4)
    assert once.gram.tobytes() == again.gram.tobytes()
    assert once.cross.tobytes() == again.cross.tobytes()


# -- features -------------------------------------------------------------------------------------


def test_public_rows_have_mean_zero_and_squared_length_one() -> None:
    x, _ = problem(3, 200, 12, 2)
    ready = FeatureMap.of(x)(x)
    assert (ready[:, 0] == 1).all()
    np.testing.assert_allclose(ready[:, 1:].mean(axis=0), 0, atol=1e-12)
    assert (ready[:, 1:] ** 2).sum(axis=1).mean() == pytest.approx(1)


def test_a_column_that_is_constant_in_public_is_only_centred() -> None:
    public = np.full((7, 1), 0.1)  # whose computed deviation is not exactly 0
    features = FeatureMap.of(public)
    assert features.scale.tolist() == [1.0]
    assert features(np.array([[0.6]]))[0, 1] == pytest.approx(0.5)


def test_wild_values_are_clipped() -> None:
    x, codes = problem(4, 30, 2, 2)
    features = FeatureMap.of(x)
    wild = x.copy()
    wild[0, 0], wild[1, 1] = 1e300, -1e300
    ready = features(wild)
    assert ready[0, 1] == -ready[1, 2] == ridge.CLIP / math.sqrt(2)
    assert np.isfinite(solve(features, collect(features, wild, codes, 2), 1.0).weights).all()


def test_numbers_too_large_to_standardise_are_refused() -> None:
    with pytest.raises(DataError, match="1 of 2 columns hold numbers too large"):
        FeatureMap.of(np.array([[1e308, 0.0], [-1e308, 1.0]]))


def test_random_features_approximate_the_kernel() -> None:
    x, _ = problem(5, 60, 3, 2)
    ready = FeatureMap.of(x, random_features=20_000, seed=1)(x)[:, 1:]
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    gaps = np.sqrt(((standard[:, None] - standard) ** 2).sum(axis=2))
    width = np.median(gaps[gaps > 0])
    np.testing.assert_allclose(ready @ ready.T, np.exp(-((gaps / width) ** 2) / 2), atol=0.05)
    again = FeatureMap.of(x, random_features=20_000, seed=1)(x)[:, 1:]
    assert (ready == again).all()
    assert (ready != FeatureMap.of(x, random_features=20_000, seed=2)(x)[:, 1:]).any()


# -- what is chosen -------------------------------------------------------------------------------


@given(seed=st.integers(0, 10**6), n=st.integers(1, 12), classes=st.integers(2, 6))
def test_a_class_without_rows_is_never_chosen(seed: int, n: int, classes: int) -> None:
    x, codes = problem(seed, n, 3, classes)
    features = FeatureMap.of(x)
    model = solve(features, collect(features, x, codes, classes), 0.01)
    anywhere = features(np.random.default_rng(seed).normal(0, 30, (50, 3)))
    np.testing.assert_allclose((anywhere @ model.weights).sum(axis=1), 1, atol=1e-9)
    assert set(model.choose(anywhere).tolist()) <= set(codes.tolist())


def test_rows_of_one_class_predict_it() -> None:
    x, _ = problem(6, 10, 3, 2)
    features = FeatureMap.of(x)
    assert (solve(features, collect(features, x, np.full(10, 2), 3), 1.0).predict(x) == 2).all()


def test_ties_go_to_the_first_class() -> None:
    features = FeatureMap.of(np.array([[-1.0], [1.0]]))
    x = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    model = solve(features, collect(features, x, np.array([1, 2, 1, 2]), 3), 1.0)
    assert model.predict(x).tolist() == [1, 1, 1, 1]


def test_no_row_changes_the_class_of_another() -> None:
    x, codes = problem(7, 100, 20, 3)
    features = FeatureMap.of(x, random_features=40)
    model = solve(features, collect(features, x, codes, 3), 1.0)
    whole = model.predict(x)
    assert whole.tolist() == [int(model.predict(row[np.newaxis])[0]) for row in x]
    assert (whole == model.choose(features(x))).mean() > 0.99
    assert model.predict(x[:0]).shape == (0,)


def test_a_vanishing_penalty_says_so() -> None:
    features = FeatureMap.of(np.array([[-1.0, -1.0], [1.0, 1.0]]))
    flat = Statistics(np.ones((3, 3)), np.ones((3, 2)), np.array([1, 1]))
    with pytest.raises(MethodError, match="penalty of 1e-300 is too small"):
        solve(features, flat, 1e-300)


def test_more_rows_do_not_harm_where_they_are_as_many_as_columns() -> None:
    rng = np.random.default_rng(0)
    means = 0.25 * rng.standard_normal((10, 200))

    def rows(n: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        codes = rng.integers(0, 10, n)
        return rng.standard_normal((n, 200)) + means[codes], codes

    (public, classes), (x, codes) = rows(2000), rows(400)
    codes = np.where(rng.random(400) < 0.3, rng.integers(0, 10, 400), codes)
    features = FeatureMap.of(public)
    ready = features(public)

    def accuracy(n: int, penalty: float) -> float:
        model = solve(features, collect(features, x[:n], codes[:n], 10), penalty)
        return float((model.choose(ready) == classes).mean())

    by_rows = [accuracy(n, 1.0) for n in (50, 100, 200, 400)]
    assert by_rows == sorted(by_rows)
    assert accuracy(200, 1 / 200) < accuracy(100, 1 / 200)  # what the scale of the features is there to avoid
