"""Distances that are not spread evenly: a method that sorts by buckets must not become quadratic on them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Finding, Pace, Section, interleave, say, timed
from dataworth import KNNShapley, Points, ThresholdKNNShapley, value_points

__all__ = ["measure"]

_POINTS, _FEATURES = 100, 10
_TEXT = f"""`value_points` on features whose distances crowd together, euclidean metric, {_POINTS} validation points,
{_FEATURES} features, two classes. *Growth* is the time at 4 n over the time at n: 4 if linear, 16 if quadratic; the
goal of 8 lies half way between (as a power of n). *Against normal data* is at 4 n."""

Matrix = NDArray[np.float32]


def _normal(rng: np.random.Generator, n: int) -> Matrix:
    return rng.standard_normal((n, _FEATURES), dtype=np.float32)


def _one_far_outlier(rng: np.random.Generator, n: int) -> Matrix:
    x = _normal(rng, n)
    x[n // 2] = 1e12
    return x


def _heavy_tails(rng: np.random.Generator, n: int) -> Matrix:
    return np.asarray(rng.standard_cauchy((n, _FEATURES)), dtype=np.float32)


def _many_duplicates(rng: np.random.Generator, n: int) -> Matrix:
    x = _normal(rng, n)
    copies = rng.random(n) < 0.9
    x[copies] = x[rng.integers(0, 10, int(copies.sum()))]
    return x


def _few_levels(rng: np.random.Generator, n: int) -> Matrix:
    return np.asarray(rng.integers(0, 3, (n, _FEATURES)), dtype=np.float32)


_SHAPES: dict[str, Callable[[np.random.Generator, int], Matrix]] = {
    "normal": _normal,
    "one outlier 1e12 away": _one_far_outlier,
    "heavy tails (Cauchy)": _heavy_tails,
    "nine in ten are copies of ten rows": _many_duplicates,
    "three levels a feature": _few_levels,
}


def measure(*, quick: bool) -> Section:
    n = 10_000 if quick else 50_000
    pace = Pace(5 if quick else 30, 3 if quick else 5)
    findings: list[Finding] = []
    for name in ("TKNN", "KNN"):
        say(f"  {name}")
        tasks = {
            f"{shape} {size}": timed(_valuation(name, draw, size))
            for shape, draw in _SHAPES.items()
            for size in (n, 4 * n)
        }
        rounds = interleave(tasks, pace)
        group = f"{name}, n = {n:,}"
        for shape in _SHAPES:
            growth = rounds.ratio(f"{shape} {4 * n}", f"{shape} {n}")
            findings.append(Finding.of(f"Growth from n to 4 n: {shape}", growth, goal=8.0, group=group))
        for shape in list(_SHAPES)[1:]:
            against = rounds.ratio(f"{shape} {4 * n}", f"normal {4 * n}")
            findings.append(Finding.of(f"Against normal data: {shape}", against, group=group))
    return Section("skewed", "Skewed distances", _TEXT, findings)


def _valuation(name: str, draw: Callable[[np.random.Generator, int], Matrix], n: int) -> Callable[[], object]:
    rng = np.random.default_rng(n)
    x = draw(rng, n)
    y = rng.integers(0, 2, n)
    train = Points(x, y)
    # Points near rows as they are, so that copies are copies for them too.
    some = rng.integers(0, n, _POINTS)
    validation = Points(x[some], y[some])
    apart = np.median(np.linalg.norm(x[some].astype(np.float64) - np.median(x, axis=0), axis=1))
    method = ThresholdKNNShapley(float(apart), metric="euclidean") if name == "TKNN" else KNNShapley(metric="euclidean")
    return lambda: value_points(train, validation, method=method, threads=2, progress=False)
