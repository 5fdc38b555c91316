"""Made-up data of the shapes that decide speed. Always float32, as features mostly come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth import Points

__all__ = ["Problem", "overlapping", "radius_for"]


@dataclass(frozen=True, eq=False)
class Problem:
    """Training rows and validation points with their classes ``0 .. n_classes - 1``."""

    train: Points
    validation: Points
    n_classes: int

    @property
    def shape(self) -> str:
        n, d = self.train.x.shape
        return f"{n:,} rows x {len(self.validation):,} points x {d:,} features"


def overlapping(n: int, m: int, d: int, n_classes: int = 2, *, seed: int = 0) -> Problem:
    """Normal classes whose means are a quarter of a standard normal vector, so that neighbours mix."""
    rng = np.random.default_rng(seed)
    means = 0.25 * rng.standard_normal((n_classes, d), dtype=np.float32)

    def points(size: int) -> Points:
        y = rng.integers(0, n_classes, size)
        x = rng.standard_normal((size, d), dtype=np.float32)
        for start in range(0, size, 4096):  # a piece at a time: no second matrix
            x[start : start + 4096] += means[y[start : start + 4096]]
        return Points(x, y)

    return Problem(points(n), points(m), n_classes)


def radius_for(problem: Problem, share: float, *, seed: int = 0) -> float:
    """The cosine radius within which about ``share`` of the rows lie, judged by a sample, to three digits."""
    rng = np.random.default_rng(seed)

    def sample(x: NDArray[Any], size: int) -> NDArray[np.float64]:
        some = x[rng.choice(len(x), min(size, len(x)), replace=False)].astype(np.float64)
        return np.asarray(some / np.linalg.norm(some, axis=1, keepdims=True))

    cosine = sample(problem.validation.x, 100) @ sample(problem.train.x, 5000).T
    return float(f"{np.quantile(1.0 - cosine, share):.3g}")
