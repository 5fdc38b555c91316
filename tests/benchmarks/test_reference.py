"""The loops that we race against must be right, or the race is not one."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import reference
from benchmarks.workloads import overlapping, radius_for
from dataworth import KNNShapley, ThresholdKNNShapley, value_points


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_knn_loop_finds_what_value_points_finds(n_classes: int) -> None:
    problem = overlapping(60, 7, 4, n_classes)
    train, validation = problem.train, problem.validation
    ours = value_points(train, validation, method=KNNShapley(k=5), classes=range(n_classes), dtype="float64")
    theirs = reference.knn(train.x, train.y, validation.x, validation.y, 5, n_classes)
    np.testing.assert_allclose(ours.values, theirs, rtol=0, atol=1e-14)


@pytest.mark.parametrize("share", [0.002, 0.1, 0.9])
def test_the_threshold_loop_finds_what_value_points_finds(share: float) -> None:
    problem = overlapping(60, 7, 4, 2)
    train, validation = problem.train, problem.validation
    radius = radius_for(problem, share)
    ours = value_points(train, validation, method=ThresholdKNNShapley(radius), classes=range(2))
    theirs = reference.tknn(train.x, train.y, validation.x, validation.y, radius, 2)
    np.testing.assert_allclose(ours.values, theirs, rtol=0, atol=1e-14)


def test_the_radius_takes_in_the_share_asked_for() -> None:
    problem = overlapping(3000, 100, 10, 2)
    x, v = (points.x.astype(float) for points in (problem.train, problem.validation))
    cosine = (v / np.linalg.norm(v, axis=1, keepdims=True)) @ (x / np.linalg.norm(x, axis=1, keepdims=True)).T
    assert np.mean(1 - cosine <= radius_for(problem, 0.1)) == pytest.approx(0.1, abs=0.01)
