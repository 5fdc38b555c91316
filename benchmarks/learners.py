"""What it costs to follow a coalition, beside scikit-learn's clone, fit and score: ``python -m benchmarks.learners``.

Rows join one by one in a random order, with a score after each; scikit-learn is fitted to every tenth of these
coalitions. The best of three rounds on one core, in microseconds a coalition.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, Ridge, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import dataworth as dw
from dataworth.valuation.learners import lone_thread
from dataworth.valuation.row_games import RowGame

ROWS, COLUMNS, JUDGES, FIRST, ROUNDS = 500, 20, 200, 20, 3


def main() -> None:
    """Print a line for each model."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS + JUDGES, COLUMNS))
    labels = (x[:, 0] + rng.normal(size=len(x)) > 0).astype(int)
    targets = x.sum(axis=1) + rng.normal(size=len(x))
    plain: list[Any] = [RidgeClassifier(), NearestCentroid(), GaussianNB(), Ridge(), LinearRegression()]
    models = [*plain, KNeighborsClassifier(), *(make_pipeline(StandardScaler(), model) for model in plain)]
    for model in models:
        y = targets if isinstance(model[-1] if hasattr(model, "steps") else model, Ridge | LinearRegression) else labels
        train, judges = dw.Points(x[:ROWS], y[:ROWS]), dw.Points(x[ROWS:], y[ROWS:])
        game = RowGame.of(train, judges, model)
        order = rng.permutation(ROWS)
        ours = min(followed(game, order) for _ in range(ROUNDS))
        theirs = min(fitted(model, train, judges, order) for _ in range(ROUNDS))
        print(f"{ours:8.1f}  {theirs:8.0f}  {theirs / ours:6.0f} times  {game.how}")


def followed(game: RowGame, order: np.ndarray[Any, Any]) -> float:
    """Microseconds for a row to join and a score."""
    learner = game.learner()
    for row in order[:FIRST]:
        learner.join(np.array([row]))
        learner.score()
    began = time.perf_counter()
    for row in order[FIRST:]:
        learner.join(np.array([row]))
        learner.score()
    return (time.perf_counter() - began) / (ROWS - FIRST) * 1e6


def fitted(model: Any, train: dw.Points, judges: dw.Points, order: np.ndarray[Any, Any]) -> float:
    """Microseconds for scikit-learn to clone, fit and score."""
    sizes = range(FIRST, ROWS, 10)
    with lone_thread(), warnings.catch_warnings(action="ignore"):
        began = time.perf_counter()
        for size in sizes:
            rows = np.sort(order[:size])
            clone(model).fit(train.x[rows], train.y[rows]).score(judges.x, judges.y)
        return (time.perf_counter() - began) / len(sizes) * 1e6


if __name__ == "__main__":
    main()
