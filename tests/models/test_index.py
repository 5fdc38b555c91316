"""Approximate indexes: the same each time, each query for itself, and plain words where they do not fit."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dataworth.errors import DataError, MethodError
from dataworth.models.index import HNSW, IVFPQ, Settings, _spread, build

GRAPH = HNSW(links=16, depth_build=60, depth=40)
LISTS = IVFPQ(lists=16, subvectors=8, bits=4, probes=6)


def vectors(n: int, d: int = 16, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    middle = np.random.default_rng(99).normal(size=(6, d))
    return (middle[rng.integers(0, 6, n)] + 0.5 * rng.normal(size=(n, d)) + 3).astype(np.float32)


def nearest(x: NDArray[Any], queries: NDArray[Any], k: int, metric: str) -> NDArray[np.intp]:
    rows, points = x.astype(float), queries.astype(float)
    if metric == "cosine":
        rows, points = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (rows, points))
    return np.argsort(((points[:, None] - rows[None]) ** 2).sum(axis=2), axis=1, kind="stable")[:, :k]


def recall(found: NDArray[Any], expected: NDArray[Any]) -> float:
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(expected, found, strict=True)]))


@pytest.mark.parametrize("settings", [GRAPH, LISTS])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_query_finds_the_same_alone_on_any_threads_and_after_any_build(settings: Settings, metric: Any) -> None:
    x, queries = vectors(700), vectors(300, seed=1)
    one, two = build(x, settings, metric, threads=1), build(x, settings, metric, threads=2)
    found = one.search(queries, 10)
    assert found.shape == (300, 10)
    assert found.dtype == np.int64
    assert found.tolist() == two.search(queries, 10).tolist()
    assert found[:50].tolist() == [two.search(query[np.newaxis], 10)[0].tolist() for query in queries[:50]]
    assert found.tolist() == np.concatenate([one.search(queries[:7], 10), one.search(queries[7:], 10)]).tolist()
    assert recall(found, nearest(x, queries, 10, metric)) > (0.95 if settings is GRAPH else 0.4)
    assert one.seconds > 0


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_every_list_and_enough_depth_find_everything(metric: Any) -> None:
    x, queries = vectors(700), vectors(20, seed=1)
    lists = build(x, IVFPQ(lists=16, subvectors=8, bits=4, probes=16), metric, threads=1)
    assert np.sort(lists.search(queries, 700), axis=1).tolist() == [list(range(700))] * 20
    graph = build(x, HNSW(depth=700), metric, threads=1)
    assert recall(graph.search(queries, 10), nearest(x, queries, 10, metric)) == 1.0


@pytest.mark.parametrize("settings", [GRAPH, LISTS])
def test_cosine_does_not_see_lengths(settings: Settings) -> None:
    x, queries = vectors(700), vectors(30, seed=1).astype(np.float64)
    scale = 2.0 ** np.random.default_rng(0).integers(-600, 600, (700, 1))
    index, scaled = build(x, settings, "cosine", threads=1), build(x * scale, settings, "cosine", threads=1)
    assert index.search(queries, 5).tolist() == scaled.search(queries * 2.0**600, 5).tolist()


def test_lists_are_learnt_from_items_all_over_the_set() -> None:
    assert _spread(10, 4).tolist() == [0, 2, 5, 7]
    assert _spread(3, 4).tolist() == [0, 1, 2]
    assert _spread(4, 4).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("settings", [GRAPH, LISTS])
def test_far_from_the_origin_digits_are_kept(settings: Settings) -> None:
    """Float32 would lose the differences; around the middle of the items it does not."""
    x, queries = vectors(700).astype(float), vectors(30, seed=1).astype(float)
    near = build(x, settings, "euclidean", threads=1).search(queries, 5)
    far = build(x + 2.0**20, settings, "euclidean", threads=1).search(queries + 2.0**20, 5)
    assert recall(far, near) > 0.99


def test_duplicates_and_more_asked_for_than_there_are() -> None:
    x = np.repeat(vectors(20), 40, axis=0)
    for settings in (GRAPH, LISTS):
        found = build(x, settings, "cosine", threads=1).search(x[:3], 900)
        assert found.shape == (3, 900)
        assert (found[:, -100:] == -1).all()
        for row in found:
            real = row[row >= 0]
            assert np.unique(real).size == real.size
    one = build(x[:1], GRAPH, "euclidean", threads=1)
    assert one.search(x[:2], 2).tolist() == [[0, -1], [0, -1]]
    assert build(x, GRAPH, "cosine", threads=1).search(x[:0], 3).shape == (0, 3)


def test_what_faiss_was_set_to_stays() -> None:
    import faiss

    before = faiss.omp_get_max_threads(), faiss.cvar.distance_compute_blas_threshold
    index = build(vectors(700), LISTS, "cosine", threads=3)
    index.search(vectors(3), 2)
    with pytest.raises(DataError, match=r"16 numbers each, like the items, not shape \(3, 4\)"):
        index.search(vectors(3, d=4), 2)
    assert (faiss.omp_get_max_threads(), faiss.cvar.distance_compute_blas_threshold) == before


def test_no_query_meets_another_in_a_product() -> None:
    """What that changes is too rare to be seen in what is found: a list or an item at the very edge."""
    import faiss

    seen = []

    class Spy:
        def search(self, queries: Any, k: int) -> Any:
            seen.append((faiss.omp_get_max_threads(), faiss.cvar.distance_compute_blas_threshold))
            return index._built.search(queries, k)

    index = build(vectors(700), LISTS, "cosine", threads=2)
    replace(index, _built=Spy()).search(vectors(3), 2)
    assert seen == [(2, 2**31 - 1)]


def test_nothing_is_printed() -> None:
    """FAISS warns of few training points on stderr; there are always enough."""
    code = (
        "import numpy as np; from dataworth.models.index import IVFPQ, build;"
        "build(np.random.default_rng(0).normal(size=(624, 4)), IVFPQ(lists=16, subvectors=2, bits=4, probes=2),"
        "'cosine', threads=1).search(np.eye(4), 5)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize(
    ("settings", "n", "message"),
    [
        (
            IVFPQ(),
            9_983,
            r"lists=256 and bits=8 learns from 9,984 items or more .*at most lists=255 and bits=7, or HNSW",
        ),
        (IVFPQ(lists=512), 9_984, r"19,968 items or more .* there are 9,984; use at most lists=256, or HNSW"),
        (IVFPQ(lists=512), 5_000, "use at most lists=128 and bits=7, or HNSW"),
        (IVFPQ(), 100, "there are 100; use HNSW, or search exactly"),
        (IVFPQ(subvectors=3), 9_984, "subvectors=3 does not divide the 16 numbers of a vector; 1, 2, 4 or 8 would"),
        (IVFPQ(subvectors=32), 9_984, "1, 4, 8 or 16 would|2, 4, 8 or 16 would"),
    ],
)
def test_what_does_not_fit_is_refused(settings: IVFPQ, n: int, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        build(np.ones((n, 16), dtype=np.float32), settings, "cosine", threads=1)


def test_numbers_too_large_for_float32() -> None:
    x = np.array([[1e20], [2e20], [-1e20]])
    with pytest.raises(DataError, match=r"above 1e\+15 in size, too large for an index"):
        build(x, GRAPH, "euclidean", threads=1)
    assert build(x, GRAPH, "cosine", threads=1).search(-x[:1], 1).tolist() == [[2]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IVFPQ(lists=0), "lists must be an integer of 1 or more"),
        (lambda: IVFPQ(lists=2.0), "lists must be an integer"),  # type: ignore[arg-type]
        (lambda: IVFPQ(subvectors=True), "subvectors must be an integer"),
        (lambda: IVFPQ(bits=3), "bits must be an integer from 4 to 8, not 3"),
        (lambda: IVFPQ(bits=9), "bits must be an integer from 4 to 8"),
        (lambda: IVFPQ(probes=0), "probes must be"),
        (lambda: IVFPQ(lists=8, probes=9), "probes must be at most lists, 8, not 9"),
        (lambda: IVFPQ(sample=0), "sample must be"),
        (lambda: IVFPQ(floor=1.1), "floor must be a share from 0 to 1"),
        (lambda: HNSW(floor=float("nan")), "floor must be"),
        (lambda: HNSW(floor="high"), "floor must be"),  # type: ignore[arg-type]
        (lambda: HNSW(links=1), "links must be an integer from 2 to 512"),
        (lambda: HNSW(depth=0), "depth must be"),
        (lambda: HNSW(depth_build=0), "depth_build must be"),
    ],
)
def test_settings_out_of_range(make: Any, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        make()


def test_settings_read_the_same_from_wherever_numbers_came() -> None:
    assert repr(HNSW(depth=np.int64(7), floor=1)) == repr(HNSW(depth=7, floor=1.0))  # type: ignore[arg-type]
    assert repr(IVFPQ(lists=np.int32(32))) == repr(IVFPQ(lists=32))  # type: ignore[arg-type]
