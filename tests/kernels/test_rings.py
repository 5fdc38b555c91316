"""Rings against enumeration over all orders of tied rows, and against float64 distances of every pair."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataworth.errors import InputError
from dataworth.kernels import neighbors, rings
from dataworth.kernels.neighbors import Judges, Rows, distances_to
from dataworth.kernels.rings import add_rings, choose_edges, count_rings, rank_values, ring_tables
from tests import oracles, strategies
from tests.strategies import Problem


def ready(
    x: NDArray[Any],
    codes: NDArray[np.int64],
    v: NDArray[Any],
    point_codes: NDArray[np.int64],
    metric: Any,
    dtype: Any = "float32",
) -> tuple[Rows, Judges]:
    centre = v.mean(axis=0, dtype=np.float64) if metric == "euclidean" else None
    n_classes = int(point_codes.max()) + 1
    rows = neighbors.prepare(x, codes, n_classes, metric, centre=centre, dtype=dtype)
    return rows, Judges.ready(rows, v, point_codes, centre)


def rings_by_hand(x: NDArray[Any], v: NDArray[Any], metric: Any, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """The ring of every pair, ``(n_validation, n)``, from its distance alone."""
    found = [np.searchsorted(own, distances_to(x, point, metric)) for point, own in zip(v, edges, strict=True)]
    return np.array(found, dtype=np.int64).reshape(len(v), len(x))


def same_as_by_hand(
    x: NDArray[Any],
    codes: NDArray[np.int64],
    v: NDArray[Any],
    point_codes: NDArray[np.int64],
    metric: Any,
    edges: NDArray[np.float64],
    dtype: Any = "float32",
) -> None:
    rows, judges = ready(x, codes, v, point_codes, metric, dtype)
    ring = rings_by_hand(x, v, metric, edges)
    count = edges.shape[1] + 1
    match = codes == point_codes[:, None]
    expected = np.zeros((2, len(v), count), dtype=np.int64)
    rng = np.random.default_rng(0)
    same, other = rng.normal(size=(2, len(v), count))
    sums = np.zeros(len(x))
    for z in range(len(v)):
        expected[0, z] = np.bincount(ring[z][match[z]], minlength=count)
        expected[1, z] = np.bincount(ring[z][~match[z]], minlength=count)
        sums += np.where(match[z], same[z][ring[z]], other[z][ring[z]])
    for threads in (1, 2):
        assert count_rings(rows, judges, edges, threads=threads).tolist() == expected.tolist()
        assert add_rings(rows, judges, edges, same, other, threads=threads).tolist() == sums.tolist()


# -- rings of pairs --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(problem=strategies.classification_problems(max_train=20, max_validation=4), data=st.data())
@settings(max_examples=60)
def test_rings_are_those_of_float64_distances(problem: Problem, dtype: Any, data: st.DataObject) -> None:
    """Rows and points share a few places, so that most distances are edges, and many edges are equal."""
    classes = np.unique(problem.validation_y)
    codes = np.array([int(np.flatnonzero(classes == y)[0]) if y in classes else -1 for y in problem.train_y])
    point_codes = np.searchsorted(classes, problem.validation_y)
    many = data.draw(st.integers(0, len(codes)))
    edges = np.array(
        [np.sort(distances_to(problem.train_x, point, problem.metric))[:many] for point in problem.validation_x]
    )
    edges += data.draw(st.sampled_from([0.0, 1e-12, -1e-12, 1e-7, -1e-7]))
    if problem.metric == "euclidean":
        edges = np.maximum(edges, 0.0)
    same_as_by_hand(problem.train_x, codes, problem.validation_x, point_codes, problem.metric, edges, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_more_rows_and_points_than_a_tile(metric: Any, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rings, "_POINTS", 8)
    monkeypatch.setattr(rings, "_ROWS", 32)
    monkeypatch.setattr(rings, "_STRETCH", 96)
    monkeypatch.setattr(rings, "_PANEL", 20)
    rng = np.random.default_rng(3)
    x, v = rng.normal(size=(333, 5)).astype(np.float32), rng.normal(size=(50, 5)).astype(np.float32)
    edges = choose_edges(x[::2], v, metric, 333, 4, 40)
    assert edges.shape[1] > 20
    same_as_by_hand(x, rng.integers(-1, 3, 333), v, rng.integers(0, 3, 50), metric, edges, dtype)


@pytest.mark.parametrize(
    "shape",
    ["far outliers", "all equal", "near the unit of float32", "far from the centre", "one distance", "two distances"],
)
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_any_spread_of_distances(metric: Any, shape: str) -> None:
    """What defeats cells of equal width, a common bound on rounding, or float32 altogether, still gets its ring."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(700, 3)) + 3
    match shape:
        case "far outliers":
            x[::50] *= 1e6
        case "all equal":
            x[:] = x[0]
        case "near the unit of float32":
            x = x[0] + 1e-7 * rng.normal(size=x.shape)
        case "far from the centre":
            x += 1e5
    v = x[:6] + rng.choice([0.0, 1e-3], size=(6, 1))
    if "distance" in shape:  # within each, distances differ by less than products are off
        away = rng.normal(size=(700, 16)) * (np.arange(16) > 0)
        away *= (1 + 1e-10 * rng.normal(size=(700, 1))) / np.linalg.norm(away, axis=1, keepdims=True)
        v = np.eye(1, 16)
        far = 500.0 if shape == "two distances" else 0.5
        turn = np.linalg.qr(rng.normal(size=(16, 16)))[0]  # or products of an axis would be off by nothing
        x, v = (v + np.where(np.arange(700) % 3 == 0, far, 0.5)[:, None] * away) @ turn, v @ turn
    edges = choose_edges(x, v, metric, len(x), 3, rings.MOST_RINGS)
    codes, point_codes = rng.integers(0, 2, len(x)), rng.integers(0, 2, len(v))
    same_as_by_hand(x, codes, v, point_codes, metric, edges)


def test_most_pairs_are_told_by_their_cell_and_all_that_look_by_a_copy_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cells hold what they are for: few products of plain data have to be looked at."""
    rng = np.random.default_rng(5)
    x, v = rng.normal(size=(3000, 16)).astype(np.float32), rng.normal(size=(4, 16)).astype(np.float32)
    rows, judges = ready(x, np.zeros(3000, np.int64), v, np.zeros(4, np.int64), "cosine")
    screen = rings._Screen.of_points(rows, judges, choose_edges(x, v, "cosine", 3000, 30, 64), 0, 4)
    cell = ((judges.x @ rows.x.T - screen.base[:, None]) * screen.scale[:, None]).astype(int)
    looked = np.take_along_axis(screen.cells, np.clip(cell, 0, rings._CELLS), axis=1) >= rings._NEAR
    assert looked.mean() < 0.05


def test_no_rows_and_no_edges() -> None:
    v, one = np.ones((2, 3)), np.array([0, 1])
    rows, judges = ready(np.empty((0, 3)), np.empty(0, np.int64), v, one, "cosine")
    assert count_rings(rows, judges, np.ones((2, 1))).tolist() == np.zeros((2, 2, 2)).tolist()
    assert add_rings(rows, judges, np.ones((2, 1)), np.ones((2, 2)), np.ones((2, 2))).tolist() == []
    same_as_by_hand(np.eye(3), np.array([0, 1, 1]), v, one, "cosine", np.empty((2, 0)))


def test_shapes_that_do_not_fit_are_refused() -> None:
    rows, judges = ready(np.eye(2), np.array([0, 1]), np.ones((1, 2)), np.array([0]), "cosine")
    with pytest.raises(InputError, match=r"edges must be of shape \(1, up to 126\).*not \(2, 1\)"):
        count_rings(rows, judges, np.ones((2, 1)))
    with pytest.raises(InputError, match=r"must be of shape .* not \(1, 127\)"):
        count_rings(rows, judges, np.ones((1, 127)))
    with pytest.raises(InputError, match=r"tables of rings must be of shape \(1, 2\)"):
        add_rings(rows, judges, np.ones((1, 1)), np.ones((1, 3)), np.ones((1, 2)))


# -- edges -----------------------------------------------------------------------------------------


@given(s=st.integers(0, 60), more=st.integers(0, 60), listed=st.integers(1, 130), many=st.integers(1, rings.MOST_RINGS))
def test_edges_are_distances_of_the_sample_in_order(s: int, more: int, listed: int, many: int) -> None:
    rng = np.random.default_rng(s)
    sample, v = rng.integers(0, 9, (s, 2)) / 2, rng.integers(0, 9, (2, 2)) / 2
    edges = choose_edges(sample, v, "euclidean", s + more, listed, many)
    assert edges.shape[0] == 2
    assert edges.shape[1] < many or edges.shape[1] == 0
    for own, point in zip(edges, v, strict=True):
        assert (np.diff(own) >= 0).all()
        assert np.isin(own, distances_to(sample, point, "euclidean")).all()
    assert (edges.size == 0) or listed < s + more


def test_ranks_of_edges_grow_by_the_same_factor() -> None:
    at = choose_edges(np.arange(10_000.0)[:, None], np.zeros((1, 1)), "euclidean", 10_000, 100, 50)[0] + 1
    factor = (10_000 / 100) ** (1 / 49)
    np.testing.assert_allclose(at, 100 * factor ** np.arange(49), atol=0.51)


def test_edges_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="rings must be from 1 to 127, not 128"):
        choose_edges(np.eye(2), np.eye(2), "euclidean", 2, 1, 128)
    with pytest.raises(InputError, match="at most 1 rows, not 1 and 2"):
        choose_edges(np.eye(2), np.eye(2), "euclidean", 1, 1, 4)


# -- values ----------------------------------------------------------------------------------------

ring_sizes = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=4).filter(
    lambda sizes: sum(map(sum, sizes)) <= 7
)


def orders_of(sizes: list[tuple[int, int]]) -> list[tuple[tuple[int, bool], ...]]:
    """All orders of rows in rings, as (ring, match) from the nearest on; each as often as there are such orders."""
    rows = [[(ring, at < q) for at in range(q + others)] for ring, (q, others) in enumerate(sizes)]
    return [tuple(row for ring in order for row in ring) for order in product(*(permutations(ring) for ring in rows))]


@given(near=st.lists(st.booleans(), min_size=1, max_size=5), sizes=ring_sizes, data=st.data())
@settings(max_examples=100)
def test_tables_are_means_over_all_orders_and_the_bound_is_what_the_worst_order_reaches(
    near: list[bool], sizes: list[tuple[int, int]], data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(near)))
    within = data.draw(st.lists(st.integers(0, len(sizes) - 1), min_size=len(near), max_size=len(near)))
    listed = np.zeros((2, 1, len(sizes)), dtype=np.int64)
    for match, ring in zip(near, within, strict=True):
        listed[0 if match else 1, 0, ring] += 1
    counts = listed + np.array(sizes).T[:, None, :]
    tables = ring_tables(counts, listed, k)
    first = rank_values(np.array([near]), k, tables.beyond)[0]

    orders = orders_of(sizes)
    found: dict[tuple[int, bool], list[float]] = {}
    worst, total = 0.0, np.zeros(len(near))
    for order in orders:
        values = oracles.knn_reference([*near, *(match for _, match in order)], k, 2, "k")
        total += values[: len(near)]
        worst = max(worst, float(np.abs(values[: len(near)] - first).max()))
        for row, value in zip(order, values[len(near) :], strict=True):
            found.setdefault(row, []).append(float(value))
    np.testing.assert_allclose(first, total / len(orders), atol=1e-12)
    for (ring, match), values_there in found.items():
        told = float((tables.same if match else tables.other)[0, ring])
        assert told == pytest.approx(np.mean(values_there), abs=1e-12)
        worst = max([worst, *(abs(value - told) for value in values_there)])
    assert tables.bound[0] == pytest.approx(worst, abs=1e-12)
    assert tables.bound[0] < 1 / len(near)


counts_of_rings = st.lists(st.tuples(st.integers(0, 10**5), st.integers(0, 10**5)), min_size=1, max_size=40)


@given(sizes=counts_of_rings, listed=st.integers(1, 300), matches=st.integers(0, 300), data=st.data())
def test_values_add_up_to_the_matches_among_the_nearest(
    sizes: list[tuple[int, int]], listed: int, matches: int, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, listed))
    near = np.random.default_rng(matches).permutation(np.arange(listed) < matches)
    held = np.zeros((2, 1, len(sizes)), dtype=np.int64)
    held[:, 0, 0] = near.sum(), (~near).sum()
    rest = np.array(sizes, dtype=np.int64).T[:, None, :]
    tables = ring_tables(rest + held, held, k)
    first = rank_values(near[None], k, tables.beyond)
    total = first.sum() + (tables.same * rest[0]).sum() + (tables.other * rest[1]).sum()
    assert total == pytest.approx(near[:k].sum() / k, abs=1e-9)
    assert 0 <= tables.bound[0] < 1 / listed


def test_all_rows_listed_is_the_exact_value() -> None:
    near = np.random.default_rng(1).random((3, 40)) < 0.4
    held = np.stack([near.sum(axis=1), (~near).sum(axis=1)])[:, :, None]
    for k in (1, 7, 40, 60):
        tables = ring_tables(held, held, k)
        assert tables.bound.tolist() == [0, 0, 0]
        found = rank_values(near, k, tables.beyond)
        expected = [oracles.knn_reference(one, k, 2, "k") for one in near]
        np.testing.assert_allclose(found, expected, atol=1e-14)


def test_lists_that_cannot_be_are_refused() -> None:
    one = np.ones((2, 1, 1), dtype=np.int64)
    with pytest.raises(InputError, match="more rows of a ring are listed"):
        ring_tables(one, 2 * one, 1)
    with pytest.raises(InputError, match="at least the 3 nearest"):
        ring_tables(2 * one, one, 3)
    assert ring_tables(one, one, 3).bound.tolist() == [0]
