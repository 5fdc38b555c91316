"""What is counted and compared in the benchmarks of retraining."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.retraining import coalitions, distinct_fits, planes
from benchmarks.same_error import Errors, squared_error
from dataworth.kernels.sampling import Absences, Enumeration, Orders


def test_the_coalitions_of_a_plan_are_those_of_its_walks() -> None:
    everybody = [tuple(np.flatnonzero(members).tolist()) for members in coalitions(Enumeration(3), 0)]
    assert sorted(everybody) == [(), (0,), (0, 1), (0, 1, 2), (0, 2), (1,), (1, 2), (2,)]
    absent = [int(np.flatnonzero(~members)[0]) for members in coalitions(Absences(4), 0)]
    assert absent == [0, 1, 2, 3]


@pytest.mark.parametrize("antithetic", [False, True])
def test_every_order_begins_with_nobody(antithetic: bool) -> None:
    sizes = [int(members.sum()) for members in coalitions(Orders(5, antithetic=antithetic), 3)]
    assert sizes == [1, 2, 3, 4, 5] * (1 + antithetic)


def test_a_fit_counts_once_and_only_with_two_classes() -> None:
    # Of the 16 coalitions of 4 rows, 1 is empty, 3 hold only "a" (rows 0 and 1) and 3 only "b".
    assert distinct_fits(Enumeration(4), 1, np.array(["a", "a", "b", "b"])) == 16 - 1 - 3 - 3
    both = np.array([0, 1])
    assert distinct_fits(Orders(2, antithetic=False), 7, both) == 1  # everybody, seven times


def test_rows_of_planes_lie_where_they_should() -> None:
    problem = planes(4000, 500, flipped=0.1, seed=3)
    x, y = problem.train.x, problem.train.y
    assert set(np.unique(x[:, 0])) == {-1.0, 1.0}
    assert set(np.unique(x[:, 1:])) == {-1.0, 0.0, 1.0}
    sure = (x[:, 0] > 0) & (x[:, 1] == 1) & (x[:, 2] >= 0)  # targets of 5 or more, less noise
    assert (y[sure][:20] == 0).all()  # the first ones are flipped
    kept = planes(4000, 500, seed=3).train
    assert kept.y[sure].mean() > 0.999
    assert np.flatnonzero(kept.y != y).tolist() == list(range(400))
    assert (kept.x == x).all()
    assert len(problem.validation) == 500


def test_the_truth_is_not_blamed_on_an_estimate() -> None:
    random = np.random.default_rng(0)
    real = random.standard_normal(200_000)
    truth = real + 0.3 * random.standard_normal(real.size)
    values = real + 0.5 * random.standard_normal(real.size)
    assert squared_error(values, truth, np.full(real.size, 0.3)) == pytest.approx(0.25, rel=0.02)


def test_the_law_of_errors_is_one_where_squares_fall_as_one_over_the_number() -> None:
    judged = np.array([[100.0, 110.0], [400.0, 440.0]])
    assert Errors(judged, 3 / judged).law == pytest.approx(1)
    assert Errors(judged, np.ones((2, 2))).law == pytest.approx(0.25)  # a bias stays
    assert Errors(judged, np.array([[4.0, 1.0], [0.25, -1e-9]])).roots(1) == [0.5, 0.0]
