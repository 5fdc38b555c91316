"""Links are a pure function of one row and one point; ranks are exact where they are promised to be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataworth.errors import DataError
from dataworth.kernels import neighbors
from dataworth.kernels.neighbors import Judges, Metric, Rows
from dataworth.kernels.threshold import add_links, point_weights
from tests import oracles, strategies
from tests.strategies import Problem

METRICS: tuple[Metric, ...] = ("cosine", "euclidean")


def ready(
    x: NDArray[Any],
    codes: NDArray[Any],
    v: NDArray[Any],
    point_codes: NDArray[Any],
    metric: Any,
    dtype: Any = "float32",
) -> tuple[Rows, Judges]:
    n_classes = int(point_codes.max()) + 1
    centre = v.mean(axis=0, dtype=np.float64) if metric == "euclidean" else None
    rows = neighbors.prepare(x, codes, n_classes, metric, centre=centre, dtype=dtype)
    return rows, Judges.ready(rows, v, point_codes, centre)


def links_of(x: NDArray[Any], v: NDArray[Any], radius: float, metric: Any, dtype: Any = "float32") -> NDArray[np.bool_]:
    """The link matrix in the order of x."""
    rows, judges = ready(x, np.arange(len(x)) % 2, v, np.arange(len(v)) % 2, metric, dtype)
    mask = np.empty((len(v), len(x)), dtype=np.bool_)
    mask[:, rows.order] = neighbors.link(rows, judges, radius, threads=2).mask()
    return mask


def by_definition(x: NDArray[Any], v: NDArray[Any], radius: float, metric: Any) -> NDArray[np.bool_]:
    limit = radius + 1e-9 * (1 + radius)
    return np.array([[neighbors.pair_distance(row, point, metric) <= limit for row in x] for point in v])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(problem=strategies.classification_problems(max_train=20, max_validation=11))
@settings(max_examples=100)
def test_links_and_counts_are_those_of_exact_arithmetic(problem: Problem, dtype: Any) -> None:
    _, point_codes = np.unique(problem.validation_y, return_inverse=True)
    classes = np.unique(problem.validation_y)
    codes = np.array([int(np.flatnonzero(classes == y)[0]) if y in classes else -1 for y in problem.train_y])
    rows, judges = ready(problem.train_x, codes, problem.validation_x, point_codes, problem.metric, dtype)
    links = neighbors.link(rows, judges, problem.radius)
    mask = np.empty((len(judges), len(rows)), dtype=np.bool_)
    mask[:, rows.order] = links.mask()
    for z, point in enumerate(problem.validation_x):
        inside = np.array(oracles.inside_radius(problem.train_x, point, problem.radius, problem.metric))
        assert (mask[z] == inside).all()
        assert links.n_same[z] == (inside & (codes == point_codes[z])).sum()
        assert links.n_other[z] == (inside & (codes != point_codes[z])).sum()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d", [1, 7, 64, 1024])
def test_close_calls_in_any_dimension_are_decided_in_float64(metric: Any, d: int) -> None:
    """Radii that sit within float32 rounding of many distances: screening alone would get some wrong."""
    rng = np.random.default_rng(d)
    v = rng.normal(size=(5, d))
    x = v[rng.integers(0, 5, 300)] + rng.normal(size=(300, d)) * rng.choice([0, 1e-8, 1e-6, 1.0], size=(300, 1))
    for radius in (0.0, 1e-7, neighbors.pair_distance(x[7], v[0], metric), neighbors.pair_distance(x[8], v[3], metric)):
        expected = by_definition(x, v, radius, metric)
        assert (links_of(x, v, radius, metric) == expected).all()
        assert (links_of(x, v, radius, metric, "float64") == expected).all()


def test_the_rounding_bound_holds_and_is_not_idle() -> None:
    """Screening errors stay inside the bound, and reach a fair part of it, so the bound is no mere guess."""
    rng = np.random.default_rng(0)
    for metric in METRICS:
        worst = 0.0
        for d in (3, 100, 3000):
            x, v = (rng.normal(size=(n, d)) * rng.lognormal(sigma=1, size=(n, 1)) for n in (400, 20))
            rows, judges = ready(x, np.zeros(400, np.int64), v, np.zeros(20, np.int64), metric)
            gaps = neighbors.products(rows, judges)
            exact = np.array([neighbors.distances_to(x, point, metric) for point in v])[:, rows.order]
            if metric == "euclidean":
                exact = 0.5 * exact**2 - judges.energy[:, None].astype(np.float64)
                # the point's own energy is known to float32 only; compare gaps between rows instead
                exact, gaps = exact - exact[:, :1], gaps - gaps[:, :1].astype(np.float64)
            else:
                exact = exact - 1.0
            bound = rows.slack[None, :] + judges.slack[:, None]
            bound = bound + bound[:, :1] if metric == "euclidean" else bound
            share = np.abs(gaps - exact) / bound
            worst = max(worst, float(share.max()))
        assert 0.001 < worst < 1.0, (metric, worst)


@pytest.mark.parametrize("metric", METRICS)
def test_other_rows_change_no_link(metric: Any) -> None:
    rng = np.random.default_rng(5)
    v = rng.normal(size=(19, 6)).round(1)
    x = rng.normal(size=(500, 6)).round(1)
    radius = neighbors.pair_distance(x[3], v[2], metric)
    whole = links_of(x, v, radius, metric)
    shuffle = rng.permutation(500)
    assert (links_of(x[shuffle], v, radius, metric) == whole[:, shuffle]).all()
    assert (links_of(x[:101], v, radius, metric) == whole[:, :101]).all()
    crowd = np.vstack([x, 1e3 * rng.normal(size=(300, 6)), np.repeat(x[:1], 200, axis=0)])
    assert (links_of(crowd, v, radius, metric)[:, :500] == whole).all()


@pytest.mark.parametrize("metric", METRICS)
def test_tiles_change_no_link(metric: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    x, v = rng.normal(size=(2500, 9)).astype(np.float32), rng.normal(size=(300, 9)).astype(np.float32)
    radius = neighbors.pair_distance(x[3], v[2], metric)
    whole = links_of(x, v, radius, metric)
    monkeypatch.setattr(neighbors, "_POINTS", 8)
    monkeypatch.setattr(neighbors, "_tile_rows", lambda _: 37)
    assert neighbors.link_jobs(2500, 300) == 38 * 68
    assert (links_of(x, v, radius, metric) == whole).all()


def test_counts_of_parts_add_up_and_values_follow_from_links_alone() -> None:
    """The spine: link parts of the rows apart, add counts, add values; the same bits as in one go."""
    rng = np.random.default_rng(7)
    x, v = rng.normal(size=(900, 5)), rng.normal(size=(30, 5))
    codes, point_codes = rng.integers(-1, 3, 900), np.arange(30) % 3
    rows, judges = ready(x, codes, v, point_codes, "cosine")
    whole = neighbors.link(rows, judges, 0.6)
    expected = np.zeros(900)
    add_links(rows, whole.bits, point_codes, *point_weights(whole.n_same, whole.n_other, 3), expected)

    cuts = [slice(0, 250), slice(250, 251), slice(251, 900)]
    parts = [ready(x[cut], codes[cut], v, point_codes, "cosine") for cut in cuts]
    links = [neighbors.link(*part, 0.6) for part in parts]
    n_same = np.sum([part.n_same for part in links], axis=0)
    n_other = np.sum([part.n_other for part in links], axis=0)
    assert (n_same == whole.n_same).all()
    assert (n_other == whole.n_other).all()
    same, other = point_weights(n_same, n_other, 3)
    for cut, (part, _), link in zip(cuts, parts, links, strict=True):
        got = np.zeros(len(part))
        add_links(part, link.bits, point_codes, same, other, got, threads=3)
        assert (got == expected[cut]).all()

    panels = np.zeros(900)  # validation points in panels that start at multiples of eight
    for panel in (slice(0, 16), slice(16, 30)):
        link = neighbors.link(rows, judges.take(panel.start, panel.stop), 0.6)
        add_links(rows, link.bits, point_codes[panel], same[panel], other[panel], panels)
    assert (panels == expected).all()


def test_progress_ticks_reach_the_promised_number() -> None:
    rng = np.random.default_rng(8)
    x, v = rng.normal(size=(5000, 3)), rng.normal(size=(600, 3))
    rows, judges = ready(x, np.zeros(5000, np.int64), v, np.zeros(600, np.int64), "cosine")
    ticks: list[int] = []
    neighbors.link(rows, judges, 0.1, threads=2, tick=ticks.append)
    assert sum(ticks) == neighbors.link_jobs(5000, 600) > 1
    ticks.clear()
    neighbors.products(rows, judges, threads=2, tick=ticks.append)
    assert sum(ticks) == neighbors.product_jobs(5000, 600) > 1


@given(
    values=st.lists(st.integers(-3, 3), min_size=1, max_size=300), seed=st.integers(0, 9), nearest=st.integers(1, 300)
)
def test_settled_rows_stand_in_exact_order(values: list[int], seed: int, nearest: int) -> None:
    """Gaps perturbed within the bound come out in the order of (float64 distance, place in the data)."""
    rng = np.random.default_rng(seed)
    x = np.array(values, dtype=np.float64)[:, None] / 2
    n = len(x)
    nearest = min(nearest, n)
    v = np.array([[0.25]])
    rows, judges = ready(x, rng.integers(0, 2, n), v, np.array([0]), "euclidean")
    gaps = neighbors.products(rows, judges)[0]
    gaps += (rng.uniform(-1, 1, n) * (rows.slack + judges.slack[0])).astype(np.float32)
    pick = np.empty(n, dtype=np.uint32)
    neighbors.settle_ties(gaps, nearest, rows, judges, 0, pick)
    order = np.lexsort((rows.order, gaps))
    expected, _ = neighbors.nearest_first(x, v[0], "euclidean")
    assert rows.order[order][:nearest].tolist() == expected[:nearest].tolist()


@pytest.mark.parametrize("case", ["near copies", "far from the origin", "long rows"])
def test_settled_rows_stay_ahead_of_all_others(case: str) -> None:
    """So many rows within rounding of each other that their gaps, dealt anew, could pass rows never looked at."""
    rng = np.random.default_rng(0)
    metric: Metric = "cosine" if case == "near copies" else "euclidean"
    if case == "near copies":
        middle = rng.normal(size=64)
        x, v = middle + 0.008 * rng.normal(size=(8000, 64)), middle + 0.008 * rng.normal(size=(2, 64))
    elif case == "far from the origin":
        x, v = 3e5 + rng.uniform(size=(20_000, 1)), np.array([[1.0], [-1.0]])
    else:
        x = rng.normal(size=(3000, 8)) * rng.lognormal(sigma=3, size=(3000, 1))
        v = rng.normal(size=(2, 8)) * 40
    x, v = x.astype(np.float32), v.astype(np.float32)
    rows, judges = ready(x, np.zeros(len(x), np.int64), v, np.zeros(2, np.int64), metric)
    for nearest in (20, 500):
        panel = neighbors.products(rows, judges)
        for z in range(2):
            neighbors.settle_ties(panel[z], nearest, rows, judges, z, np.empty(len(x), np.uint32))
            got = rows.order[np.lexsort((rows.order, panel[z]))][:nearest]
            assert got.tolist() == neighbors.nearest_first(x, v[z], metric)[0][:nearest].tolist()


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=2000), st.integers(1, 2000))
def test_count_bound_covers_the_count(values: list[int], count: int) -> None:
    array = np.array(values, dtype=np.float32)
    count = min(count, len(values))
    bound = neighbors._count_bound(array, count)
    assert (array <= bound).sum() >= count


def test_distances() -> None:
    a, b = np.array([1.0, 2.0, 2.0]), np.array([2.0, 4.0, 4.0])
    assert neighbors.pair_distance(a, b, "cosine") == 0.0
    assert neighbors.pair_distance(a, -b, "cosine") == 2.0
    assert neighbors.pair_distance(a, b, "euclidean") == 3.0
    assert neighbors.pairwise(np.stack([a, b]), "euclidean").tolist() == [[0.0, 3.0], [3.0, 0.0]]


def test_lengths_beyond_reach_are_refused_with_a_count() -> None:
    for length in (1e-150, 1e200):
        x = np.array([[length, 0.0], [1.0, 0.0]])
        with pytest.raises(DataError, match="1 of 2 rows are too long or too short"):
            neighbors.prepare(x, np.zeros(2, np.int64), 1, "cosine")
