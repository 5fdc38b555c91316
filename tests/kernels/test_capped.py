"""A row keeps exactly its nearest links, whatever other rows there are: what a private release rests on."""

from __future__ import annotations

from collections import Counter
from itertools import combinations_with_replacement, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataworth.errors import MethodError
from dataworth.kernels import capped, neighbors
from dataworth.kernels.neighbors import Judges, LinkBits, Metric, Rows
from tests import oracles, strategies
from tests.strategies import Problem

METRICS: tuple[Metric, ...] = ("cosine", "euclidean")
DTYPES = ("float32", "float64")


def ready(
    x: NDArray[Any],
    v: NDArray[Any],
    metric: Any,
    dtype: Any = "float32",
    codes: NDArray[Any] | None = None,
    point_codes: NDArray[Any] | None = None,
) -> tuple[Rows, Judges]:
    codes = np.arange(len(x)) % 3 - 1 if codes is None else codes
    point_codes = np.arange(len(v)) % 2 if point_codes is None else point_codes
    centre = v.mean(axis=0, dtype=np.float64) if metric == "euclidean" else None
    rows = neighbors.prepare(x, codes, max(2, int(point_codes.max()) + 1), metric, centre=centre, dtype=dtype)
    return rows, Judges.ready(rows, v, point_codes, centre)


def in_order(rows: Rows, links: LinkBits) -> NDArray[np.bool_]:
    """The link matrix, one line a row in the order given."""
    mask = np.empty((len(rows), len(links.n_same)), dtype=np.bool_)
    mask[rows.order] = links.mask().T
    return mask


def links_of(
    x: NDArray[Any], v: NDArray[Any], radius: float, most: int, metric: Any, dtype: Any = "float32"
) -> NDArray[np.bool_]:
    rows, judges = ready(x, v, metric, dtype)
    return in_order(rows, capped.link_nearest(rows, judges, radius, most, threads=2))


def by_definition(x: NDArray[Any], v: NDArray[Any], radius: float, most: int, metric: Any) -> NDArray[np.bool_]:
    """Every distance in float64, every row sorted by (distance, place of the point)."""
    mask = np.zeros((len(x), len(v)), dtype=np.bool_)
    for kept, row in zip(mask, x, strict=True):
        distance = np.array([neighbors.pair_distance(row, point, metric) for point in v])
        order = np.lexsort((np.arange(len(v)), distance))
        kept[order[distance[order] <= radius + 1e-9 * (1 + radius)][:most]] = True
    return mask


@pytest.mark.parametrize("dtype", DTYPES)
@given(problem=strategies.classification_problems(max_train=20, max_validation=19), data=st.data())
@settings(max_examples=100)
def test_links_and_counts_are_those_of_exact_arithmetic(problem: Problem, dtype: Any, data: st.DataObject) -> None:
    m = len(problem.validation_x)
    most = data.draw(st.integers(1, m + 1))
    classes, point_codes = np.unique(problem.validation_y, return_inverse=True)
    codes = np.array([int(np.flatnonzero(classes == y)[0]) if y in classes else -1 for y in problem.train_y])
    rows, judges = ready(problem.train_x, problem.validation_x, problem.metric, dtype, codes, point_codes)
    links = capped.link_nearest(rows, judges, problem.radius, most)
    mask = in_order(rows, links)
    for row, kept in zip(problem.train_x, mask, strict=True):
        expected, inside = oracles.nearest_links(row, problem.validation_x, problem.radius, most, problem.metric)
        assert np.flatnonzero(kept).tolist() == expected
        assert kept.sum() == min(most, inside)
    same = codes[:, None] == point_codes[None, :]
    assert links.n_same.tolist() == (mask & same).sum(axis=0).tolist()
    assert links.n_other.tolist() == (mask & ~same).sum(axis=0).tolist()
    assert links.n_same.dtype == links.n_other.dtype == np.int64


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d", [1, 7, 64, 1024])
def test_points_closer_than_float32_can_tell_are_ranked_in_float64(metric: Any, d: int) -> None:
    """Distances that differ by 1e-6, 1e-9, 1e-15 or not at all, at the cut and at the radius."""
    rng = np.random.default_rng(d)
    x = rng.normal(size=(40, d))
    near = rng.choice([0, 1e-15, 1e-9, 1e-6, 1e-3, 1.0], size=(60, 1))
    v = x[rng.integers(0, 40, 60)] + near * rng.normal(size=(60, d))
    v[rng.integers(0, 60, 20)] = v[rng.integers(0, 60, 20)]
    for radius in (1e-9, neighbors.pair_distance(x[7], v[0], metric), 2.0 if metric == "cosine" else 1e9):
        for most in (1, 2, 13, 59):
            expected = by_definition(x, v, radius, most, metric)
            for dtype in DTYPES:
                assert (links_of(x, v, radius, most, metric, dtype) == expected).all(), (radius, most, dtype)


@given(seed=st.integers(0, 10**6), metric=st.sampled_from(METRICS), step=st.sampled_from([1e-9, 1e-7, 1e-5, 1e-3]))
@settings(max_examples=60)
def test_a_lattice_finer_than_float32_keeps_its_order(seed: int, metric: Metric, step: float) -> None:
    rng = np.random.default_rng(seed)
    d, m = int(rng.integers(1, 6)), int(rng.integers(2, 50))
    start = rng.normal(size=d)
    x = start + step * rng.integers(-5, 6, size=(15, d))
    v = start + step * rng.integers(-5, 6, size=(m, d))
    most = int(rng.integers(1, m))
    radius = neighbors.pair_distance(x[0], v[0], metric)
    expected = by_definition(x, v, radius, most, metric)
    for dtype in DTYPES:
        assert (links_of(x, v, radius, most, metric, dtype) == expected).all()


@given(
    places=st.lists(st.integers(-12, 12), min_size=2, max_size=60),
    row_slack=st.sampled_from([0.0, 0.1, 1.0, 30.0]),
    unequal=st.booleans(),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=300)
def test_any_screening_within_its_bound_keeps_the_same_links(
    places: list[int], row_slack: float, unequal: bool, seed: int
) -> None:
    """Products made as wrong as the bound allows, the same way for all points or each in its own."""
    rng = np.random.default_rng(seed)
    v = np.array(places, dtype=np.float64)[:, None] / 4
    m = len(v)
    most = int(rng.integers(1, m))
    row = np.array([rng.integers(-12, 13) / 4])
    half = 0.5 * v[:, 0] ** 2
    point_slack = rng.choice([0.0, 0.05, 0.5, 5.0], size=m) if unequal else np.full(m, 0.05)
    wrong = rng.choice([rng.uniform(-1, 1, m), np.sign(rng.uniform(-1, 1, m)), np.ones(m)])
    g = v[:, 0] * row[0] + 0.999 * wrong * (row_slack + point_slack)
    inside = rng.uniform(size=m) < 0.8
    inside[: most + 1] = True
    mark, doubt, place = inside.astype(np.uint8), np.zeros(m, np.uint8), np.empty(m, np.int64)
    capped._keep_nearest(
        g, most, half + point_slack, half - point_slack, row_slack, point_slack, row, 1.0, v, np.ones(m), False,
        mark, doubt, place, np.empty(m),
    )  # fmt: skip
    order = np.lexsort((np.arange(m), np.abs(v[:, 0] - row[0])))
    assert np.flatnonzero(mark).tolist() == sorted(order[inside[order]][:most].tolist())


def hard_cases() -> dict[str, tuple[NDArray[Any], NDArray[Any], Metric, float]]:
    rng = np.random.default_rng(3)
    axes = np.vstack([np.eye(9), -np.eye(9)])
    some = rng.normal(size=(30, 9))
    return {
        "every point twice": (some, np.repeat(some[:10], 2, axis=0), "cosine", 2.0),
        "all points one": (some, np.repeat(some[:1], 21, axis=0), "euclidean", 50.0),
        "all distances equal": (np.zeros((5, 9)), axes, "euclidean", 1.0),
        "nearly equal distances": (1e-12 * some, axes, "euclidean", 2.0),
        "duplicates at radius 0": (np.repeat(some[:3], 4, axis=0), np.repeat(some[:3], 7, axis=0), "euclidean", 0.0),
        "one row": (some[:1], some[1:], "cosine", 2.0),
        "two points": (some, some[:2], "euclidean", 100.0),
        "far from the origin": (3e5 + rng.uniform(size=(40, 2)), 3e5 + rng.uniform(size=(35, 2)), "euclidean", 1.0),
        "off the centre": (3e5 + rng.uniform(size=(40, 2)), rng.normal(size=(35, 2)), "euclidean", 1e6),
        "far rows, points by the cluster": (
            1e4 * rng.normal(size=(60, 64)),
            np.repeat(np.vstack([np.eye(2, 64), -np.eye(2, 64)]), 12, axis=0) + 1e-8 * rng.normal(size=(48, 64)),
            "euclidean",
            1e7,
        ),
        "many scales": (
            rng.normal(size=(20, 2)) * 10.0 ** rng.integers(-12, 12, size=(20, 1)),
            rng.normal(size=(33, 2)) * 10.0 ** rng.integers(-12, 12, size=(33, 1)),
            "euclidean",
            1e13,
        ),
    }


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("case", hard_cases())
def test_hard_cases(case: str, single: bool, dtype: Any) -> None:
    x, v, metric, radius = hard_cases()[case]
    if single:
        x, v = x.astype(np.float32), v.astype(np.float32)
    for most in range(1, len(v)):
        assert (links_of(x, v, radius, most, metric, dtype) == by_definition(x, v, radius, most, metric)).all()


def test_equally_near_points_are_kept_in_their_own_order() -> None:
    kept = links_of(np.zeros((2, 3)), np.vstack([np.eye(3)] * 5), 1.0, 4, "euclidean")
    assert kept.tolist() == [[True] * 4 + [False] * 11] * 2


@pytest.mark.parametrize("metric", METRICS)
def test_a_cap_that_no_row_reaches_changes_nothing(metric: Any) -> None:
    rng = np.random.default_rng(4)
    x, v = rng.normal(size=(700, 5)).round(1), rng.normal(size=(43, 5)).round(1)
    x, v = x[x.any(axis=1)], v[v.any(axis=1)]
    rows, judges = ready(x, v, metric)
    radius = neighbors.pair_distance(x[3], v[2], metric)
    whole = neighbors.link(rows, judges, radius)
    reached = int(whole.mask().sum(axis=0).max())
    for most in (reached, len(v), len(v) + 100):
        links = capped.link_nearest(rows, judges, radius, most)
        assert (links.bits == whole.bits).all()
        assert (links.n_same == whole.n_same).all()
        assert (links.n_other == whole.n_other).all()
        if most >= len(v):
            assert links.near == whole.near
    assert (capped.link_nearest(rows, judges, radius, reached - 1).bits != whole.bits).any()


@pytest.mark.parametrize("metric", METRICS)
def test_other_rows_change_no_link(metric: Any) -> None:
    """Added, removed, permuted, made far or equal: the links of a row depend on that row and public data alone."""
    rng = np.random.default_rng(5)
    v = rng.normal(size=(29, 6)).round(1)
    x = rng.normal(size=(500, 6)).round(1)
    radius = neighbors.pair_distance(x[3], v[2], metric)
    for most in (1, 6):
        whole = links_of(x, v, radius, most, metric)
        shuffle = rng.permutation(500)
        assert (links_of(x[shuffle], v, radius, most, metric) == whole[shuffle]).all()
        assert (links_of(x[:101], v, radius, most, metric) == whole[:101]).all()
        assert (links_of(x[7:8], v, radius, most, metric) == whole[7:8]).all()
        crowd = np.vstack([x, 1e3 * rng.normal(size=(300, 6)), np.repeat(x[:1], 200, axis=0)])
        assert (links_of(crowd, v, radius, most, metric)[:500] == whole).all()


@pytest.mark.parametrize("metric", METRICS)
def test_blocks_and_threads_change_no_link(metric: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    x, v = rng.normal(size=(900, 9)).astype(np.float32), rng.normal(size=(300, 9)).astype(np.float32)
    rows, judges = ready(x, v, metric)
    radius = neighbors.pair_distance(x[3], v[2], metric)
    whole = capped.link_nearest(rows, judges, radius, 20)
    monkeypatch.setattr(capped, "_TILE", 0)
    for height in (1, 37, 10_000):
        monkeypatch.setattr(capped, "_LEAST_ROWS", height)
        for threads in (1, 2, 3):
            links = capped.link_nearest(rows, judges, radius, 20, threads=threads)
            assert (links.bits == whole.bits).all()
            assert (links.n_same == whole.n_same).all()
            assert (links.n_other == whole.n_other).all()


def test_counts_of_parts_add_up() -> None:
    rng = np.random.default_rng(7)
    x, v, codes = rng.normal(size=(400, 4)), rng.normal(size=(30, 4)), rng.integers(-1, 2, 400)
    whole = capped.link_nearest(*ready(x, v, "cosine", codes=codes), 0.9, 5)
    cuts = [slice(0, 150), slice(150, 151), slice(151, 400)]
    parts = [capped.link_nearest(*ready(x[cut], v, "cosine", codes=codes[cut]), 0.9, 5) for cut in cuts]
    assert (np.sum([part.n_same for part in parts], axis=0) == whole.n_same).all()
    assert (np.sum([part.n_other for part in parts], axis=0) == whole.n_other).all()


@pytest.mark.parametrize("most", [1, 2, 3, 4])
def test_one_row_moves_the_counts_by_the_square_root_of_its_links(most: int) -> None:
    """All data sets of up to two rows on a grid, each with any row added, removed or replaced."""
    v = np.array([[0.0], [1.0], [1.0], [2.0], [6.0]])
    point_codes = np.array([0, 1, 0, 1, 1])
    kinds = list(product([0.0, 1.0, 1.5, 4.5, 20.0], [-1, 0, 1]))
    counts: dict[tuple[Any, ...], NDArray[np.int64]] = {(): np.zeros(10, dtype=np.int64)}
    for size in (1, 2):
        for data in combinations_with_replacement(kinds, size):
            x, codes = np.array([[place] for place, _ in data]), np.array([code for _, code in data])
            rows, judges = ready(x, v, "euclidean", codes=codes, point_codes=point_codes)
            links = capped.link_nearest(rows, judges, 2.0, most)
            counts[data] = np.concatenate(links.counts())
    inside = {
        kind: min(most, oracles.nearest_links(np.array([kind[0]]), v, 2.0, most, "euclidean")[1]) for kind in kinds
    }
    largest_replaced = 0
    for data, before in counts.items():
        for row in data:
            rest = Counter(data) - Counter([row])
            without = counts[tuple(sorted(rest.elements()))]
            moved = before - without
            assert set(moved.tolist()) <= {0, 1}
            assert int((moved**2).sum()) == inside[row] <= most
            for other in kinds:
                replaced = counts[tuple(sorted([*rest.elements(), other]))]
                squared = int(((before - replaced) ** 2).sum())
                assert squared <= 2 * most
                largest_replaced = max(largest_replaced, squared)
    assert max(inside.values()) == most  # the bounds are reached
    assert largest_replaced == 2 * most


@pytest.mark.parametrize("twins", [False, True])
def test_a_far_point_does_not_widen_what_is_settled_in_float64(twins: bool) -> None:
    rng = np.random.default_rng(8)
    x, v = rng.normal(size=(300, 16)), rng.normal(size=(200, 16))
    if twins:
        v = np.repeat(v, 2, axis=0)
    far = np.vstack([v, np.full((1, 16), 1e5), np.full((1, 16), -1e5)])  # the centre stays where it was
    without = capped.link_nearest(*ready(x, v, "euclidean"), 1e9, 21)
    beside = capped.link_nearest(*ready(x, far, "euclidean"), 1e9, 21)
    assert (beside.n_same[: len(v)] == without.n_same).all()
    assert beside.near <= without.near + 10 <= (2 * 300 if twins else 0) + 20


def test_a_point_exactly_on_the_limit_is_inside_and_the_next_number_is_not() -> None:
    limit = neighbors.radius_limit(1.0)
    v = np.array([[np.nextafter(limit, 2)], [0.5], [limit], [9.0]])
    for most in (2, 3):
        assert links_of(np.zeros((1, 1)), v, 1.0, most, "euclidean").tolist() == [[False, True, True, False]]


def test_duplicates_of_points_cost_a_look_at_each_and_no_more() -> None:
    rng = np.random.default_rng(9)
    x, v = rng.normal(size=(50, 8)), np.repeat(rng.normal(size=(1, 8)), 3000, axis=0)
    links = capped.link_nearest(*ready(x, v, "cosine"), 2.0, 10)
    assert links.near == 50 * 3000
    assert (links.n_same + links.n_other).tolist() == [50] * 10 + [0] * 2990


def test_progress_ticks_reach_the_promised_number() -> None:
    rng = np.random.default_rng(10)
    rows, judges = ready(rng.normal(size=(5000, 3)), rng.normal(size=(600, 3)), "cosine")
    for most in (5, 600):
        ticks: list[int] = []
        capped.link_nearest(rows, judges, 0.1, most, threads=2, tick=ticks.append)
        assert sum(ticks) == capped.link_nearest_jobs(5000, 600, most) > 1


def test_a_cap_of_nothing_is_refused() -> None:
    rows, judges = ready(np.ones((2, 2)), np.ones((3, 2)), "cosine")
    with pytest.raises(MethodError, match="at least one link, not 0"):
        capped.link_nearest(rows, judges, 1.0, 0)
    with pytest.raises(MethodError, match="at least one row, not 0"):
        capped.first_rows(np.zeros(3, np.int64), np.arange(3), 0)


@given(
    owned=st.lists(st.tuples(st.integers(-2, 3), st.integers(-50, 50)), max_size=30, unique_by=lambda row: row[1]),
    most=st.integers(1, 5),
    owner=st.integers(-2, 3),
)
def test_an_owner_keeps_the_lowest_ids_whoever_else_there_is(
    owned: list[tuple[int, int]], most: int, owner: int
) -> None:
    def staying(rows: list[tuple[int, int]]) -> set[tuple[int, int]]:
        codes = np.array([code for code, _ in rows], dtype=np.int64)
        order = np.argsort(np.array([name for _, name in rows], dtype=np.int64))
        return {row for row, stays in zip(rows, capped.first_rows(codes, order, most), strict=True) if stays}

    expected = set()
    for code in {code for code, _ in owned}:
        expected |= set(sorted(row for row in owned if row[0] == code)[:most])
    assert staying(owned) == expected
    mine = [row for row in owned if row[0] == owner]
    assert staying(mine) == {row for row in expected if row[0] == owner}
