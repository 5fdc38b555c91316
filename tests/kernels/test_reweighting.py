"""The reweighted validation set: counts and their transpose, the prior, the most probable weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array

from dataworth.kernels import neighbors, reweighting
from dataworth.kernels.capped import link_nearest
from dataworth.kernels.neighbors import Judges
from dataworth.kernels.reweighting import Prediction, PublicLinks, explain, prior_weights

CLASSES = [1, 2, 10]


def some_links(m: int, n: int, n_classes: int, seed: int, density: float = 0.4) -> PublicLinks:
    random = np.random.default_rng(seed)
    linked = random.random((m, n)) < density
    alike = random.random((m, n)) < (1.0 if n_classes == 1 else 0.5)
    return PublicLinks(csr_array((linked & alike).astype(float)), csr_array((linked & ~alike).astype(float)), n_classes)


shapes = st.tuples(st.integers(1, 12), st.integers(1, 9), st.sampled_from(CLASSES), st.integers(0, 10**6))


@pytest.mark.parametrize("metric", neighbors.METRICS)
@pytest.mark.parametrize("cap", [1, 3, 40])
def test_links_of_the_validation_set_with_itself(metric: Any, cap: int) -> None:
    """Row by row: the nearest points, of its own label or of another; fewer rows than points."""
    random = np.random.default_rng(4)
    v, codes = random.normal(size=(31, 3)).round(1), random.integers(0, 3, 31)
    some = np.arange(0, 31, 2)
    rows = neighbors.prepare(v[some], codes[some], 3, metric)
    radius = neighbors.pair_distance(v[0], v[5], metric)
    links = link_nearest(rows, Judges.ready(rows, v, codes, None), radius, cap)
    public = PublicLinks.of(rows, links, codes, 3)
    assert (public.rows, public.n_classes) == (16, 3)
    same, other = public.same.toarray(), public.other.toarray()
    for j, i in enumerate(some):
        distance = np.array([neighbors.pair_distance(v[i], point, metric) for point in v])
        order = np.lexsort((np.arange(31), distance))
        kept = order[distance[order] <= neighbors.radius_limit(radius)][:cap]
        assert np.flatnonzero(same[j]).tolist() == sorted(z for z in kept if codes[z] == codes[i])
        assert np.flatnonzero(other[j]).tolist() == sorted(z for z in kept if codes[z] != codes[i])


@given(shapes)
def test_counts_by_definition(shape: tuple[int, int, int, int]) -> None:
    """Each row there so many times, with its label or with each other class equally often."""
    m, n, n_classes, seed = shape
    links = some_links(m, n, n_classes, seed)
    weights = np.random.default_rng(seed).random((2, m)) * 10
    hit = 1 / (n_classes - 1) if n_classes > 1 else 0.0
    expected = np.zeros((n, 2))
    for j in range(m):
        for z in range(n):
            if links.same.toarray()[j, z]:
                expected[z] += [weights[0, j], weights[1, j]]
            if links.other.toarray()[j, z]:
                expected[z] += [hit * weights[1, j], weights[0, j] + (1 - hit) * weights[1, j]]
    assert np.allclose(links.counts(weights), expected)
    total = ((links.same + links.other).T @ weights.sum(axis=0)).ravel()
    assert np.allclose(links.counts(weights).sum(axis=1), total)  # whatever the label, a neighbour is a neighbour


@given(shapes)
def test_pull_is_the_transpose_of_counts(shape: tuple[int, int, int, int]) -> None:
    m, n, n_classes, seed = shape
    links = some_links(m, n, n_classes, seed)
    random = np.random.default_rng(seed)
    weights, residual = random.normal(size=(2, m)), random.normal(size=(n, 2))
    left, right = (links.counts(weights) * residual).sum(), (weights * links.pull(residual)).sum()
    assert left == pytest.approx(right, rel=1e-9, abs=1e-9)


@given(shapes, st.floats(1, 1e9))
def test_the_prior_shares_the_rows_out(shape: tuple[int, int, int, int], rows: float) -> None:
    links = some_links(*shape)
    prior = prior_weights(links, rows)
    assert prior.sum() == pytest.approx(rows)
    assert (prior[1] / prior[0]).tolist() == pytest.approx([1 / 9] * links.rows)


@dataclass
class Search:
    """What ``explain`` minimised, from which prior, where it stopped, and what it then predicted."""

    loss: Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]]
    prior: NDArray[np.float64]
    found: NDArray[np.float64]
    prediction: Prediction


def search(
    monkeypatch: pytest.MonkeyPatch, links: PublicLinks, noisy: NDArray[Any], sigma: float, rows: float
) -> Search:
    kept: dict[str, Any] = {}

    def minimize(loss: Any, start: Any, **settings: Any) -> Any:
        kept["loss"], kept["result"] = loss, scipy.optimize.minimize(loss, start, **settings)
        return kept["result"]

    def weights(*given: Any) -> Any:
        kept["prior"] = prior_weights(*given)  # the last is the one that is searched from
        return kept["prior"]

    with monkeypatch.context() as patch:
        patch.setattr(reweighting, "minimize", minimize)
        patch.setattr(reweighting, "prior_weights", weights)
        prediction = explain(links, noisy, sigma, rows)
    return Search(kept["loss"], kept["prior"], kept["result"].x, prediction)


def objective(
    links: PublicLinks, noisy: NDArray[Any], sigma: float, prior: NDArray[Any], exponent: NDArray[Any]
) -> float:
    """What is to be least, from its definition."""
    tau2 = sigma**2 + 0.1 * prior.sum() / links.rows * links.counts(prior) + 1
    residual = links.counts(prior * np.exp(exponent)) - noisy
    return float(0.5 * (residual**2 / tau2).sum() + 0.5 * (exponent**2).sum())


@pytest.mark.parametrize("n_classes", CLASSES)
@pytest.mark.parametrize("seed", range(3))
def test_the_slope_is_that_of_the_objective(n_classes: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By finite differences, away from the start too."""
    links = some_links(9, 7, n_classes, seed)
    random = np.random.default_rng(seed)
    noisy = random.integers(-20, 200, (7, 2))
    made = search(monkeypatch, links, noisy, 6.0, 150.0)
    for at in (np.zeros(18), 0.7 * random.standard_normal(18)):
        height, slope = made.loss(at)
        assert height == pytest.approx(objective(links, noisy, 6.0, made.prior, at.reshape(2, 9)), rel=1e-9)
        for i in range(18):
            step = 1e-5 * np.eye(18)[i]
            measured = (made.loss(at + step)[0] - made.loss(at - step)[0]) / 2e-5
            assert slope[i] == pytest.approx(measured, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("n_classes", CLASSES)
@pytest.mark.parametrize("seed", range(3))
def test_the_weights_are_the_most_probable(n_classes: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A careful search from there gains hardly anything more, and what is predicted follows from the weights."""
    links = some_links(15, 20, n_classes, seed)
    noisy = np.random.default_rng(seed).integers(0, 300, (20, 2))
    made = search(monkeypatch, links, noisy, 5.0, 300.0)
    careful = {"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-9}
    best = scipy.optimize.minimize(made.loss, made.found, jac=True, method="L-BFGS-B", options=careful)
    start = made.loss(np.zeros(30))[0]
    assert made.loss(made.found)[0] - best.fun <= 0.01 * (start - best.fun)
    weights = made.prior * np.exp(made.found.reshape(2, 15))
    assert np.allclose(made.prediction.mean, links.counts(weights))


def test_the_share_of_other_labels_is_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clear counts show it; noise leaves the prior's; it never leaves its range."""
    eye = np.kron(np.eye(5), np.ones((20, 20)))
    links = PublicLinks(csr_array(eye), csr_array(np.zeros((100, 100))), 2)

    def share(truth: float, sigma: float) -> float:
        noisy = np.rint(links.counts(prior_weights(links, 10_000.0, truth))).astype(np.int64)
        prior = search(monkeypatch, links, noisy, sigma, 10_000.0).prior
        return float(prior[1].sum() / prior.sum())

    assert share(0.2, 1.0) == pytest.approx(0.2, abs=0.03)
    assert share(0.1, 1.0) == pytest.approx(0.1, abs=0.01)
    assert share(0.4, 1e9) == pytest.approx(reweighting.OTHER_LABEL, abs=1e-6)
    assert share(1.0, 1e-3) <= 0.5
    assert share(0.0, 1e-3) >= 0.01


@given(shapes, st.floats(1, 1e6))
@settings(max_examples=30)
def test_noise_without_end_leaves_the_prior(shape: tuple[int, int, int, int], rows: float) -> None:
    links = some_links(*shape)
    noisy = np.random.default_rng(shape[3]).integers(-(10**4), 10**4, (shape[1], 2))
    expected = links.counts(prior_weights(links, rows))
    assert np.allclose(explain(links, noisy, 1e9, rows).mean, expected, rtol=1e-4)


def test_clear_counts_are_explained_by_whoever_is_there() -> None:
    """A validation set that is a fifth of the rows' kind and noise that is small: the kind is found."""
    eye = np.kron(np.eye(5), np.ones((6, 6)))  # five clouds of six points, all of one label
    links = PublicLinks(csr_array(eye), csr_array(np.zeros((30, 30))), 2)
    truth = np.kron([900.0, 20.0, 20.0, 20.0, 40.0], np.ones(6))  # the rows are mostly in the first
    noisy = np.rint(np.stack([truth, np.zeros(30)], axis=1)).astype(np.int64)
    told = explain(links, noisy, 5.0, 1000.0)
    before = links.counts(prior_weights(links, 1000.0))
    assert np.abs(before[:, 0] - truth).max() > 600
    assert np.abs(told.mean[:, 0] - truth).max() < 60


@given(shapes, st.floats(0.5, 200), st.floats(1, 1e6), st.integers(-200, 10**6))
@settings(max_examples=60)
def test_predictions_are_counts(shape: tuple[int, int, int, int], sigma: float, rows: float, level: int) -> None:
    """Whatever was noised, also far below zero: finite, at least 0, with some variance left."""
    links = some_links(*shape)
    noisy = level + np.random.default_rng(shape[3]).integers(-300, 300, (shape[1], 2))
    told = explain(links, noisy, sigma, rows)
    assert told.mean.shape == told.variance.shape == noisy.shape
    assert np.isfinite(told.mean).all()
    assert (told.mean >= 0).all()
    assert np.isfinite(told.variance).all()
    assert (told.variance >= 1).all()


@pytest.mark.parametrize("density", [0.0, 1.0])
def test_nobody_and_everybody_linked(density: float) -> None:
    links = some_links(6, 8, 2, 0, density)
    told = explain(links, np.full((8, 2), 50), 4.0, 100.0)
    assert np.isfinite(told.mean).all()
    if density == 0.0:
        assert not told.mean.any()
        assert (told.variance == 1.0).all()


def test_counts_of_many_bits() -> None:
    links = some_links(6, 8, 2, 0)
    told = explain(links, np.full((8, 2), 2**40), 4.0, 1e9)
    assert np.isfinite(told.mean).all()
    assert np.isfinite(told.variance).all()


@pytest.mark.parametrize("n_classes", CLASSES)
def test_the_order_of_points_and_rows_does_not_matter(n_classes: int) -> None:
    """Up to where the search stops."""
    links = some_links(14, 11, n_classes, 5)
    random = np.random.default_rng(5)
    noisy = random.integers(0, 90, (11, 2))
    told = explain(links, noisy, 3.0, 140.0)
    points, rows = random.permutation(11), random.permutation(14)
    moved = PublicLinks(
        csr_array(links.same.toarray()[rows][:, points]), csr_array(links.other.toarray()[rows][:, points]), n_classes
    )
    again = explain(moved, noisy[points], 3.0, 140.0)
    assert np.allclose(again.mean, told.mean[points], rtol=1e-3, atol=1e-3)


def test_the_spread_is_read_from_the_residuals() -> None:
    """Residuals that noise explains leave the least variance; residuals beyond it grow with the counts."""
    links = PublicLinks(csr_array(np.ones((4, 40))), csr_array(np.zeros((4, 40))), 1)
    random = np.random.default_rng(0)

    def spread(extra: float) -> float:
        noisy = np.stack([np.rint(400 + extra * random.standard_normal(40)), np.zeros(40)], axis=1).astype(np.int64)
        return float(explain(links, noisy, 5.0, 400.0).variance[:, 0].mean())

    assert spread(1.0) == pytest.approx(1.0, abs=1.0)
    assert spread(60.0) == pytest.approx(60.0**2, rel=0.6)


def test_one_class_has_no_other_label() -> None:
    links = some_links(5, 4, 1, 0, 1.0)
    assert links.counts(np.stack([np.zeros(5), np.ones(5)])).tolist() == [[0.0, 5.0]] * 4
    assert math.isfinite(explain(links, np.full((4, 2), 3), 2.0, 5.0).mean.sum())
