"""Matches are those of float64 arithmetic whatever the tiles; credit adds up exactly, in fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError
from dataworth.kernels import matching, neighbors
from dataworth.kernels.matching import add_credit, credit, distances_at, keep_nearest, nearest
from dataworth.kernels.neighbors import Judges, Metric, Rows, nearest_first
from tests import oracles, strategies
from tests.strategies import Problem

METRICS: tuple[Metric, ...] = ("cosine", "euclidean")


def ready(
    x: NDArray[Any], v: NDArray[Any], metric: Any, dtype: Any = "float32", codes: NDArray[Any] | None = None
) -> tuple[Rows, Judges]:
    centre = x.mean(axis=0, dtype=np.float64) if metric == "euclidean" else None
    n_classes = 1 if codes is None else int(codes.max()) + 1
    rows = neighbors.prepare(
        x, np.zeros(len(x), np.int64) if codes is None else codes, n_classes, metric, centre=centre, dtype=dtype
    )
    return rows, Judges.ready(rows, v, np.zeros(len(v), np.int64), centre)


def same_as_by_hand(x: NDArray[Any], v: NDArray[Any], k: int, metric: Any, dtype: Any = "float32") -> None:
    at, distance = nearest(*ready(x, v, metric, dtype), k, threads=2)
    for z, point in enumerate(v):
        expected, expected_distance = nearest_first(x, point, metric)
        assert at[z].tolist() == expected[:k].tolist()
        assert distance[z].tolist() == expected_distance[:k].tolist()


@pytest.fixture
def looked_again(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many points of each block had to look at all rows."""
    seen: list[int] = []
    look_again = matching._look_again

    def spy(rows: Rows, judges: Judges, who: NDArray[np.intp], *out: Any) -> None:
        seen.append(who.size)
        look_again(rows, judges, who, *out)

    monkeypatch.setattr(matching, "_look_again", spy)
    return seen


# -- the k nearest ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(problem=strategies.classification_problems(max_train=20, max_validation=4), k=st.integers(1, 20))
@settings(max_examples=80)
def test_the_nearest_are_those_of_exact_arithmetic(problem: Problem, k: int, dtype: Any) -> None:
    k = min(k, len(problem.train_x))
    rows, judges = ready(problem.train_x, problem.validation_x, problem.metric, dtype)
    at, distance = nearest(rows, judges, k, threads=1)
    for z, point in enumerate(problem.validation_x):
        assert at[z].tolist() == oracles.nearest_first(problem.train_x, point, problem.metric)[:k]
        exact = [oracles.float_distance(problem.train_x[i], point, problem.metric) for i in at[z]]
        np.testing.assert_allclose(distance[z], exact, rtol=1e-12, atol=1e-12)


@given(data=st.data())
@settings(max_examples=60)
def test_tiles_parts_panels_threads_and_other_points_change_nothing(data: st.DataObject) -> None:
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    n, m, d = draw(st.integers(1, 400)), draw(st.integers(1, 40)), draw(st.integers(1, 9))
    metric = draw(st.sampled_from(METRICS))
    x = rng.normal(size=(n, d)).round(draw(st.sampled_from([0, 1, 8]))) + 0.25  # few, some or no ties
    v = x[rng.integers(0, n, m)] + draw(st.sampled_from([0.0, 1e-9, 0.1])) * rng.normal(size=(m, d))
    codes = rng.integers(-1, draw(st.integers(1, 4)), n)  # a class is of no concern, but moves rows about
    k = draw(st.integers(1, n))
    rows, judges = ready(x, v, metric, draw(st.sampled_from(["float32", "float64"])), np.maximum(codes, 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "_POINTS", draw(st.integers(1, 50)))
        patch.setattr(matching, "_ROWS", draw(st.integers(1, 90)))
        patch.setattr(matching, "_LEAST_JOBS", draw(st.integers(1, 20)))
        patch.setattr(matching, "_PANEL", draw(st.integers(1, 60)))
        patch.setattr(matching, "_LOOK_BYTES", draw(st.integers(1, 10_000)))
        ticks: list[int] = []
        at, distance = nearest(rows, judges, k, threads=draw(st.integers(1, 3)), tick=ticks.append)
        assert sum(ticks) == matching.nearest_jobs(n, m)
        some = draw(st.integers(0, m - 1))
        alone, _ = nearest(rows, judges.take(some, some + 1), k, threads=1)
    for z, point in enumerate(v):
        expected, expected_distance = nearest_first(x, point, metric)
        assert at[z].tolist() == expected[:k].tolist()
        assert distance[z].tolist() == expected_distance[:k].tolist()
    assert alone[0].tolist() == at[some].tolist()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ordinary_rows_need_no_second_look(metric: Any, kind: Any, dtype: Any, looked_again: list[int]) -> None:
    rng = np.random.default_rng(1)
    x, v = rng.normal(size=(6000, 40)).astype(kind), rng.normal(size=(70, 40)).astype(kind)
    for k in (1, 10, 60):
        same_as_by_hand(x, v, k, metric, dtype)
    assert sum(looked_again) == 0


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_hundreds_of_copies_rank_by_position(metric: Any, kind: Any, looked_again: list[int]) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(4000, 16)).astype(kind)
    x[rng.permutation(4000)[:700]] = x[5]
    x[rng.permutation(4000)[:300]] = x[6]
    v = np.concatenate([x[5:8], x[5:7] + kind(0.01), rng.normal(size=(5, 16)).astype(kind)])
    for k in (1, 10, 299, 800):
        same_as_by_hand(x, v, k, metric)
    assert sum(looked_again) > 0


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_near_copies_far_from_the_origin(metric: Any, kind: Any, dtype: Any, looked_again: list[int]) -> None:
    """Spaced a ten-millionth apart beside a large common offset: float32 products see one point."""
    rng = np.random.default_rng(3)
    x = (1000.0 * (1.0 + 1e-7 * rng.normal(size=(3000, 24)))).astype(kind)
    v = (1000.0 * (1.0 + 1e-7 * rng.normal(size=(6, 24)))).astype(kind)
    x[77] += 5000  # what float32 spends its digits on
    for k in (1, 10, 100):
        same_as_by_hand(x, v, k, metric, dtype)
    if dtype == "float32":
        assert sum(looked_again) > 0


def test_copies_that_only_one_part_has(monkeypatch: pytest.MonkeyPatch, looked_again: list[int]) -> None:
    """The other parts, whose candidates lie far beyond, must not vouch for those that this one let go."""
    monkeypatch.setattr(matching, "_ROWS", 16)
    rng = np.random.default_rng(8)
    middle = rng.normal(size=8)
    x = middle + rng.normal(size=(2000, 8))
    for start in (0, 900, 1500):
        copies = x.copy()
        copies[start : start + 500] = middle + 1e-9 * rng.normal(size=(500, 8))
        assert len(matching._parts(len(copies), 3)) > 10
        same_as_by_hand(copies, middle + 1e-9 * rng.normal(size=(3, 8)), 10, "euclidean")
    assert sum(looked_again) == 9


def test_rows_that_all_lie_equally_far(looked_again: list[int]) -> None:
    x = np.repeat(np.eye(6), 300, axis=0)
    v = np.concatenate([np.zeros((1, 6)) + 1.0, np.eye(6)[:2]])
    for metric in METRICS:
        same_as_by_hand(x, v, 10, metric)
    at, distance = nearest(*ready(x, v[:1], "euclidean"), 10, threads=1)
    assert at.tolist() == [list(range(10))]
    assert np.unique(distance).size == 1
    assert sum(looked_again) > 0


@pytest.mark.parametrize("case", ["near copies", "a line far away", "long rows", "nearer and nearer", "huge and tiny"])
def test_hard_cases(case: str) -> None:
    rng = np.random.default_rng(4)
    if case == "near copies":
        middle = rng.normal(size=64)
        x, v = middle + 0.008 * rng.normal(size=(8000, 64)), middle + 0.008 * rng.normal(size=(3, 64))
    elif case == "a line far away":
        x, v = 3e5 + rng.uniform(size=(20_000, 1)), np.array([[1.0], [-1.0], [3e5]])
    elif case == "long rows":
        x = rng.normal(size=(3000, 8)) * rng.lognormal(sigma=3, size=(3000, 1))
        v = rng.normal(size=(3, 8)) * 40
    elif case == "nearer and nearer":  # every row is nearer than all before it
        x, v = np.linspace(9, 1, 5000)[:, None] * np.array([[1.0, 0.1]]), np.array([[0.5, 0.5], [1.0, 0.0]])
    else:
        x = rng.normal(size=(2000, 5)) * np.where(rng.random((2000, 1)) < 0.5, 1e-12, 1e12)
        v = x[:3] * 1.5
    x, v = x.astype(np.float32), v.astype(np.float32)
    for k in (1, 20, 500):
        same_as_by_hand(x, v, k, "euclidean")
        if case != "a line far away":
            same_as_by_hand(x, v, k, "cosine")


def test_one_row_and_no_point_and_more_than_there_are() -> None:
    rows, judges = ready(np.ones((1, 3)), np.full((2, 3), 2.0), "euclidean")
    at, distance = nearest(rows, judges, 1, threads=4)
    assert at.tolist() == [[0], [0]]
    assert distance.tolist() == [[math.sqrt(3)], [math.sqrt(3)]]
    at, distance = nearest(rows, judges.take(0, 0), 1, threads=2)
    assert at.shape == distance.shape == (0, 1)
    assert matching.nearest_jobs(1, 0) == 0
    for k in (0, 2):
        with pytest.raises(InputError, match=f"k must be from 1 to 1, the number of rows to match with, not {k}"):
            nearest(rows, judges, k, threads=1)


# -- some pairs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_distances_of_pairs_are_those_of_the_matches(metric: Any, kind: Any) -> None:
    rng = np.random.default_rng(5)
    x, v = rng.normal(size=(900, 13)).astype(kind), rng.normal(size=(300, 13)).astype(kind)
    at, distance = nearest(*ready(x, v, metric), 7, threads=2)
    assert (distances_at(x, v, at, metric, threads=2) == distance).all()
    assert (distances_at(np.asfortranarray(x), v[::-1][::-1], at, metric, threads=1) == distance).all()
    at[::3, 4:] = -1
    again = distances_at(x, v, at, metric, threads=1)
    assert np.isinf(again[at < 0]).all()
    assert (again[at >= 0] == distance[at >= 0]).all()


def test_pairs_that_do_not_exist_and_rows_without_direction_are_refused() -> None:
    x = np.array([[0.0, 0.0], [1.0, 0.0]])
    for wrong in (2, -2):
        with pytest.raises(InputError, match="positions of matches must be from 0 to 1, or -1 for none"):
            distances_at(x, x, np.array([[0], [wrong]]), "euclidean", threads=1)
    with pytest.raises(DataError, match="zero vectors"):
        distances_at(x, x[1:], np.array([[0]]), "cosine", threads=1)
    assert distances_at(x, x[1:], np.array([[1]]), "cosine", threads=1).tolist() == [[0.0]]
    assert distances_at(x, x[:0], np.empty((0, 3), np.int64), "cosine", threads=1).shape == (0, 3)


candidates = st.integers(0, 12).flatmap(
    lambda c: st.lists(
        st.lists(st.tuples(st.integers(-1, 9), st.integers(0, 3)), min_size=c, max_size=c), min_size=1, max_size=5
    )
)


@given(table=candidates, k=st.integers(1, 14))
def test_the_nearest_candidates_are_kept(table: list[list[tuple[int, int]]], k: int) -> None:
    at = np.array([[i for i, _ in row] for row in table], dtype=np.int64).reshape(len(table), -1)
    # The distance of a row is its own: listed twice, it has the same one.
    distance = np.where(at >= 0, (at * 7 % 4) / 4 + np.arange(len(table))[:, None], np.inf)
    kept, kept_distance = keep_nearest(at, distance, k)
    assert kept.shape == kept_distance.shape == (len(table), k)
    for z in range(len(table)):
        expected = sorted({(float(d), int(i)) for i, d in zip(at[z], distance[z], strict=True) if i >= 0})[:k]
        expected += [(math.inf, -1)] * (k - len(expected))
        assert list(zip(kept_distance[z].tolist(), kept[z].tolist(), strict=True)) == expected


@given(seed=st.integers(0, 999), k=st.integers(1, 12), cut=st.integers(1, 59))
def test_the_nearest_of_parts_are_the_nearest_of_all(seed: int, k: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    x, v = rng.integers(0, 4, size=(60, 2)) / 2.0, rng.integers(0, 4, size=(5, 2)) / 2.0
    found = []
    for start, stop in ((0, cut), (cut, 60)):
        at, distance = nearest(*ready(x[start:stop], v, "euclidean"), min(k, stop - start), threads=1)
        found.append((at + start, distance))
    at, distance = (np.concatenate(each, axis=1) for each in zip(*found, strict=True))
    whole = nearest(*ready(x, v, "euclidean"), k, threads=1)
    merged = keep_nearest(at, distance, k)
    assert merged[0].tolist() == whole[0].tolist()
    assert merged[1].tolist() == whole[1].tolist()


# -- credit ----------------------------------------------------------------------------------------

anything = st.floats(0, allow_infinity=True)
qualities = st.one_of(
    st.floats(0, allow_infinity=False), st.floats(0, 1), st.sampled_from([0.0, 5e-324, 1e-308, 2.0**-1022, 1.7e308])
)
temperatures = st.one_of(st.floats(1e-3, 1e3), st.sampled_from([1e-300, 5e-324, 1e300]))


def step_of(quality: float) -> Fraction:
    return Fraction(math.ulp(quality))


@given(
    row=st.lists(st.one_of(anything, st.floats(0, 2)), min_size=1, max_size=12),
    quality=qualities,
    temperature=temperatures,
)
@settings(max_examples=500)
def test_shares_add_up_exactly_and_follow_distance(row: list[float], quality: float, temperature: float) -> None:
    distance = np.array([row])
    share = credit(distance, np.array([quality]), temperature)[0]
    there = [d for d in row if d < math.inf]
    assert sum(map(Fraction, share.tolist())) == (Fraction(quality) if there else 0)
    assert math.fsum(share.tolist()) == (quality if there else 0.0)
    assert (share >= 0).all()
    assert (share[np.isinf(distance[0])] == 0).all()
    steps = [Fraction(each) / step_of(quality) for each in share.tolist()]
    assert all(each.denominator == 1 for each in steps)
    order = np.argsort(distance[0], kind="stable")
    assert (np.diff(share[order]) <= 0).all()  # nearer never gets less
    for d in set(there):
        equal = [each for each, far in zip(steps, row, strict=True) if far == d]
        assert max(equal) - min(equal) <= 1


@njit
def compiled_exp(x: float) -> float:
    return math.exp(x)


@given(
    row=st.lists(st.floats(0, 5), min_size=1, max_size=12), quality=st.floats(1e-3, 10), temperature=st.floats(0.1, 10)
)
def test_shares_are_the_softmax_rounded_by_largest_remainder(
    row: list[float], quality: float, temperature: float
) -> None:
    share = credit(np.array([row]), np.array([quality]), temperature)[0]
    weight = [Fraction(compiled_exp(-((d - min(row)) / temperature))) for d in row]
    exact = [Fraction(quality) * w / sum(weight) / step_of(quality) for w in weight]
    whole = [math.floor(each) for each in exact]
    extra = [Fraction(each) / step_of(quality) - low for each, low in zip(share.tolist(), whole, strict=True)]
    assert set(extra) <= {0, 1}
    remainder = [each - low for each, low in zip(exact, whole, strict=True)]
    ups = [each for each, more in zip(remainder, extra, strict=True) if more]
    downs = [each for each, more in zip(remainder, extra, strict=True) if not more]
    assert min(ups, default=Fraction(1)) >= max(downs, default=Fraction(0)) - Fraction(1, 2**30)


@given(
    row=st.lists(st.integers(0, 1000), min_size=1, max_size=12),
    more=st.integers(-(2**30), 2**30),
    quality=qualities,
    temperature=temperatures,
)
def test_a_constant_added_to_all_distances_changes_no_bit(
    row: list[int], more: int, quality: float, temperature: float
) -> None:
    distance = np.array([row]) / 64.0
    q = np.array([quality])
    assert (credit(distance, q, temperature) == credit(distance + more, q, temperature)).all()


@given(distance=st.floats(0, allow_infinity=False), quality=qualities, temperature=temperatures)
def test_a_single_match_gets_everything(distance: float, quality: float, temperature: float) -> None:
    assert credit(np.array([[distance]]), np.array([quality]), temperature).tolist() == [[quality]]
    padded = np.array([[np.inf, distance, np.inf]])
    assert credit(padded, np.array([quality]), temperature).tolist() == [[0.0, quality, 0.0]]


def test_credit_at_the_edges() -> None:
    far = np.array([[1.0, 2.0, 1e300, np.inf], [1e300, 1e300, 1e300, 1e300]])
    for temperature in (1e-300, 5e-324, 1e-3):
        share = credit(far, np.array([3.0, 1.0]), temperature)
        assert share[0].tolist() == [3.0, 0.0, 0.0, 0.0]  # the nearest takes it all
        assert share[1].tolist() == [0.25] * 4
    assert (credit(far, np.zeros(2), 1.0) == 0).all()
    smallest = credit(np.zeros((1, 3)), np.array([5e-324]), 1.0)
    assert smallest.tolist() == [[5e-324, 0.0, 0.0]]
    assert credit(np.full((1, 2), np.inf), np.ones(1), 1.0).tolist() == [[0.0, 0.0]]
    assert credit(np.empty((0, 3)), np.empty(0), 1.0).shape == (0, 3)
    even = credit(np.zeros((1, 1000)), np.array([1.0]), 1.0)[0]
    assert sum(map(Fraction, even.tolist())) == 1
    assert even.max() - even.min() <= np.spacing(1.0)


def test_an_item_is_divided_alone() -> None:
    rng = np.random.default_rng(6)
    distance, quality = np.sort(rng.random((500, 10)), axis=1), rng.random(500)
    whole = credit(distance, quality, 0.1)
    assert (whole[123:124] == credit(distance[123:124], quality[123:124], 0.1)).all()
    order = rng.permutation(500)
    assert (whole[order] == credit(distance[order], quality[order], 0.1)).all()


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_credit_refuses_a_temperature_that_is_none(temperature: float) -> None:
    with pytest.raises(InputError, match="temperature must be a positive number"):
        credit(np.zeros((1, 1)), np.ones(1), temperature)


def test_credit_refuses_numbers_that_are_none() -> None:
    with pytest.raises(InputError, match="2 qualities are not finite and 0 or more"):
        credit(np.zeros((3, 1)), np.array([1.0, -1.0, np.nan]), 1.0)
    with pytest.raises(InputError, match="1 distances are not numbers"):
        credit(np.array([[0.0, np.nan]]), np.ones(1), 1.0)


# -- sums ------------------------------------------------------------------------------------------


def exact_sums(at: NDArray[np.int64], share: NDArray[np.float64], n: int) -> list[float]:
    total = [Fraction(0)] * n
    for i, each in zip(at.ravel().tolist(), share.ravel().tolist(), strict=True):
        if i >= 0:
            total[i] += Fraction(each)
    return [float(each) for each in total]  # rounded once, half to even


@given(
    entries=st.lists(
        st.tuples(
            st.integers(-1, 3),
            st.one_of(
                st.floats(0, 1), st.floats(0, 1e200), st.floats(0, 1e-200), st.sampled_from([2.0**52, 2.0**-60, 1.0])
            ),
        ),
        max_size=40,
    ),
    seed=st.integers(0, 99),
)
@settings(max_examples=300)
def test_sums_are_exact_and_rounded_once(entries: list[tuple[int, float]], seed: int) -> None:
    at = np.array([i for i, _ in entries], dtype=np.int64)[:, None]
    share = np.array([each for _, each in entries])[:, None]
    expected = exact_sums(at, share, 4)
    assert add_credit(at, share, 4).tolist() == expected
    order = np.random.default_rng(seed).permutation(len(at))
    assert add_credit(at[order], share[order], 4).tolist() == expected


def test_values_of_many_items_come_out_the_same_in_any_order() -> None:
    rng = np.random.default_rng(7)
    n, m, k = 50, 3000, 10
    at = np.argsort(rng.random((m, n)), axis=1)[:, :k]
    quality = rng.lognormal(sigma=4, size=m)
    share = credit(np.sort(rng.random((m, k)), axis=1), quality, 0.2)
    values = add_credit(at, share, n)
    assert values.tolist() == exact_sums(at, share, n)
    order = rng.permutation(m)
    assert (add_credit(at[order], share[order], n) == values).all()
    assert (add_credit(at.reshape(-1, 1), share.reshape(-1, 1), n) == values).all()
    np.testing.assert_allclose(math.fsum(values), math.fsum(quality), rtol=1e-15)


def test_sums_refuse_what_they_cannot_hold() -> None:
    with pytest.raises(InputError, match="shares add up beyond the range of float64"):
        add_credit(np.zeros((2, 1), np.int64), np.full((2, 1), 1.7e308), 1)
    with pytest.raises(InputError, match="positions of matches must be from 0 to 2"):
        add_credit(np.array([[3]]), np.ones((1, 1)), 3)
    assert add_credit(np.full((2, 2), -1), np.zeros((2, 2)), 3).tolist() == [0.0, 0.0, 0.0]
    assert add_credit(np.empty((0, 2), np.int64), np.empty((0, 2)), 2).tolist() == [0.0, 0.0]
