"""KNN-Shapley kernels where value_points does not reach: crowded buckets, progress, the team."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataworth.kernels import knn
from dataworth.kernels.neighbors import Judges, prepare
from dataworth.kernels.team import add_in_order, blocks, run
from tests import oracles


@pytest.mark.parametrize("shape", ["one bucket", "far outliers", "steps", "all equal", "heavy tail"])
def test_any_spread_of_distances_is_ranked_right(shape: str) -> None:
    """Distances that defeat equal-width buckets: full buckets are sorted another way, and must agree."""
    rng = np.random.default_rng(2)
    n = 1500
    shapes: dict[str, NDArray[Any]] = {
        "one bucket": 1e6 + rng.uniform(0, 1e-3, n),
        "far outliers": np.where(np.arange(n) % 100 == 0, 1e9, 1) * rng.uniform(0, 1, n),
        "steps": rng.integers(0, 5, n).astype(np.float64),
        "all equal": np.ones(n),
        "heavy tail": rng.standard_cauchy(n) ** 3,
    }
    x = shapes[shape][:, None]
    codes = rng.integers(0, 2, n)
    v, point_codes = np.array([[0.3], [1e6], [-2.0]]), np.array([0, 1, 1])
    rows = prepare(x, codes, 2, "euclidean", centre=v.mean(axis=0), dtype="float64")
    got = knn.knn_values(rows, Judges.ready(rows, v, point_codes, v.mean(axis=0)), point_codes, 4)
    expected = np.zeros(n)
    for point, code in zip(v, point_codes, strict=True):
        order = np.argsort(np.abs(x[:, 0] - point[0]), kind="stable")
        expected[order] += oracles.knn_reference(codes[order] == code, 4, 2, "k")
    np.testing.assert_allclose(got, expected, atol=1e-12)


@given(keys=st.lists(st.integers(0, 6), min_size=33, max_size=400))
def test_full_buckets_are_sorted_by_distance_and_then_by_place(keys: list[int]) -> None:
    key = np.append(np.array(keys, dtype=np.float32), np.float32(np.inf))
    who = np.arange(len(keys), dtype=np.uint32)
    ends = np.array([0, len(keys), len(keys)], dtype=np.uint32)
    knn._sort_full_buckets(ends, key, who)
    assert who.tolist() == np.argsort(keys, kind="stable").tolist()
    assert key[:-1].tolist() == sorted(keys)


def test_progress_ticks_reach_the_promised_number() -> None:
    rng = np.random.default_rng(1)
    x, v, codes = rng.normal(size=(300, 2)), rng.normal(size=(70, 2)), np.zeros(300, np.int64)
    rows = prepare(x, codes, 1, "cosine")
    ticks: list[int] = []
    judges = Judges.ready(rows, v, np.zeros(70, np.int64), None)
    knn.knn_values(rows, judges, np.zeros(70, np.int64), 5, threads=2, tick=ticks.append)
    assert sum(ticks) == knn.knn_jobs(300, 70, 5, "float32") > 1
    assert knn.knn_jobs(300, 70, 300, "float32") == 0


def test_panels_cover_the_points_within_memory() -> None:
    for n, m in [(10, 3), (10**5, 100), (10**7, 1000)]:
        panels = knn._panels(n, m, 4)
        assert [z for panel in panels for z in range(*panel)] == list(range(m))
        assert all((b - a) * n * 4 <= max(64 * 2**20, 8 * n * 4) for a, b in panels)


def test_sums_are_taken_in_order_whoever_finishes_first() -> None:
    rng = np.random.default_rng(0)
    found = rng.normal(size=(50, 3)) * 10.0 ** rng.integers(-9, 9, (50, 1))
    expected = np.zeros(3)
    for row in found:
        expected += row
    for threads in (1, 2, 7):
        total = np.zeros(3)

        def job(_: int, number: int, sums: NDArray[np.float64]) -> None:
            sums += found[number]

        add_in_order(job, 50, total, threads)
        assert (total == expected).all()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_first_error_of_a_job_is_raised_and_nobody_waits_forever(threads: int) -> None:
    def job(_: int, number: int, sums: NDArray[np.float64]) -> None:
        if number == 3:
            raise ValueError("job 3")

    with pytest.raises(ValueError, match="job 3"):
        add_in_order(job, 40, np.zeros(2), threads)


def test_every_job_runs_once() -> None:
    seen: list[int] = []
    run(lambda _, number: seen.append(number), 100, 4)
    assert sorted(seen) == list(range(100))
    assert blocks(10, 4) == [(0, 4), (4, 8), (8, 10)]
