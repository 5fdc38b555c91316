"""Small matching problems for Hypothesis: grids full of ties and duplicates, ids of every kind, a reranker or none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

import dataworth as dw
from dataworth.kernels.neighbors import METRICS, Metric


def taxi(generated: list[Any], train: list[Any]) -> list[float]:
    """A distance of vectors, as a callable that re-ranks; it ties often."""
    return [float(np.abs(a - b).sum()) for a, b in zip(generated, train, strict=True)]


def brightness(items: list[Any]) -> list[float]:
    """A quality of vectors."""
    return [float(abs(item).sum() / 7) for item in items]


@dataclass(frozen=True)
class Problem:
    """Training items, generated items and a method."""

    train: dw.Items
    made: dw.Items
    method: dw.SimilarityMatch
    quality: NDArray[np.float64] | None

    @property
    def full(self) -> dw.SimilarityMatch:
        """The method with the qualities that were given as numbers."""
        return self.method if self.quality is None else replace(self.method, quality=self.quality)


@st.composite
def problems(draw: st.DrawFn, most_train: int = 12, most_made: int = 8) -> Problem:
    n, m, d = draw(st.integers(1, most_train)), draw(st.integers(1, most_made)), draw(st.integers(1, 3))
    metric: Metric = draw(st.sampled_from(METRICS))
    entry = st.integers(-2, 2).map(lambda v: v / 2)
    row = st.lists(entry, min_size=d, max_size=d)
    if metric == "cosine":
        row = row.filter(any)

    def vectors(count: int) -> NDArray[Any]:
        given: NDArray[Any] = np.array(draw(st.lists(row, min_size=count, max_size=count)))
        return given.astype(draw(st.sampled_from([np.float32, np.float64])))

    named = draw(st.booleans())
    k = draw(st.integers(1, min(n, 3)) | st.integers(1, n))
    quality = draw(
        st.none() | st.lists(st.sampled_from([0.0, 1.0, 0.1, 2 / 3, 1e-300, 12345.6]), min_size=m, max_size=m)
    )
    method = dw.SimilarityMatch(
        k=k,
        rerank=draw(st.sampled_from([None, taxi])),
        quality=None if quality is not None else draw(st.sampled_from([None, brightness])),
        temperature=draw(st.sampled_from([0.01, 0.5, 1.0, 1000.0])),
        metric=metric,
        candidates=draw(st.none() | st.integers(k, min(n, k + 2)) | st.integers(k, n + 3)),
    )
    return Problem(
        dw.Items(
            vectors(n),
            ids=[f"row {i}" for i in range(n)] if named else None,
            owners=[i % 3 for i in range(n)] if draw(st.booleans()) else None,
        ),
        dw.Items(vectors(m), ids=[f"new {j}" for j in range(m)] if named else np.arange(m) + 100),
        method,
        None if quality is None else np.array(quality),
    )


def blobs(n: int, m: int, d: int = 16, seed: int = 0) -> tuple[dw.Items, dw.Items]:
    """Training items in clusters, and generated items near some of them."""
    rng = np.random.default_rng(seed)
    middle = rng.normal(size=(8, d))
    x = (middle[rng.integers(0, 8, n)] + 0.5 * rng.normal(size=(n, d))).astype(np.float32)
    made = (x[rng.integers(0, n, m)] + 0.2 * rng.normal(size=(m, d))).astype(np.float32)
    return dw.Items(x, owners=[f"owner {i % 5}" for i in range(n)]), dw.Items(made)


def same(values: dw.Values, fresh: dw.Values) -> None:
    """Equal to the last bit, but for the time that they took."""
    ours, theirs = values.attributions, fresh.attributions
    assert ours is not None
    assert theirs is not None
    assert values.values.tobytes() == fresh.values.tobytes()
    assert values.ids.tolist() == fresh.ids.tolist()
    assert (values.owners is None) == (fresh.owners is None)
    assert values.owners is None or fresh.owners is None or values.owners.tolist() == fresh.owners.tolist()
    assert ours.generated_ids.tolist() == theirs.generated_ids.tolist()
    assert ours.at.tolist() == theirs.at.tolist()
    assert ours.distance.tobytes() == theirs.distance.tobytes()
    assert ours.share.tobytes() == theirs.share.tobytes()
    assert (values.method, values.n_validation) == (fresh.method, fresh.n_validation)
    timed = {"made", "seconds", "build seconds", "threads"}
    assert {a: b for a, b in values.provenance.items() if a not in timed} == {
        a: b for a, b in fresh.provenance.items() if a not in timed
    }
