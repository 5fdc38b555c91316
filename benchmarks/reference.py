"""Values as a first program writes them: a loop over validation points, and in it a loop over rows.

Written from the formulas. The published experiments are loops of this kind, which is why they are what users
wait for today.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["knn", "tknn"]


def knn(
    x: NDArray[Any], y: NDArray[Any], points: NDArray[Any], labels: NDArray[Any], k: int, n_classes: int
) -> NDArray[np.float64]:
    """Mean soft-label KNN-Shapley values by the recursion from the farthest row to the nearest, cosine metric.

    For more rows than k: with a = 1 for a row of the point's label, ranks from 1 and N rows,
    ``v[N] = (a[N] - 1/C) / N + (a[N] - mean of the others) / N * (H_K - 1)`` and
    ``v[i] = v[i+1] + (a[i] - a[i+1]) / (N-1) * (H_K + (min(i, K) (N-1) / i - K) / K)``.
    """
    n = len(y)
    harmonic = sum(1.0 / j for j in range(1, k + 1))
    total = np.zeros(n)
    for point, label in zip(points, labels, strict=True):
        order = np.argsort(_distance(x, point), kind="stable")
        values = np.zeros(n)
        last = int(y[order[n - 1]] == label)
        others = np.mean(y[order[: n - 1]] == label)
        values[order[n - 1]] = (last - 1 / n_classes) / n + (last - others) / n * (harmonic - 1)
        for i in range(n - 1, 0, -1):
            gain = int(y[order[i - 1]] == label) - int(y[order[i]] == label)
            step = harmonic + (min(i, k) * (n - 1) / i - k) / k
            values[order[i - 1]] = values[order[i]] + gain / (n - 1) * step
        total += values
    return np.asarray(total / len(points))


def tknn(
    x: NDArray[Any], y: NDArray[Any], points: NDArray[Any], labels: NDArray[Any], radius: float, n_classes: int
) -> NDArray[np.float64]:
    """Mean Threshold-KNN-Shapley values as printed: a sum over coalition sizes, then a loop over rows, cosine metric.

    With m neighbours, p of the others of the row's neighbours matching, and c = N - 1, a neighbour gets
    ``(a - 1/C) / m + (a / m - p / (m (m-1))) A``, where
    ``A = sum over j = 0 .. c of (1 - C(c-j, m) / C(c+1, m)) / (j+1), minus 1``.
    """
    n = len(y)
    total = np.zeros(n)
    for point, label in zip(points, labels, strict=True):
        near = _distance(x, point) <= radius
        m = int(near.sum())
        same = int((near & (y == label)).sum())
        spread = _sum_over_sizes(n - 1, m)
        values = np.zeros(n)
        for i in range(n):
            if near[i]:
                a = int(y[i] == label)
                values[i] = (a - 1 / n_classes) / m
                if m >= 2:
                    values[i] += (a / m - (same - a) / (m * (m - 1))) * spread
        total += values
    return np.asarray(total / len(points))


def _sum_over_sizes(c: int, m: int) -> float:
    """``A`` above; the ratio of binomials is a running product, 0 once fewer than m are left to choose from."""
    total = -1.0
    ratio = 1.0
    for j in range(c + 1):
        ratio *= max(c + 1 - j - m, 0) / (c + 1 - j)
        total += (1.0 - ratio) / (j + 1)
    return total


def _distance(x: NDArray[Any], point: NDArray[Any]) -> NDArray[np.float64]:
    rows = x.astype(np.float64)
    one = point.astype(np.float64)
    return np.asarray(1.0 - (rows @ one) / (np.linalg.norm(rows, axis=1) * np.linalg.norm(one)))
