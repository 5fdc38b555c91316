"""A map of items: many numbers each, drawn on a plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.records import Exhibit, Table

__all__ = ["item_map", "spread"]

MAPPED = 2_000


def spread(n: int, most: int) -> NDArray[np.int64]:
    """Positions of at most ``most`` of n items, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def item_map(
    train: NDArray[Any],
    generated: NDArray[Any],
    trained: NDArray[np.bool_] | None,
    *,
    on_sphere: bool,
) -> Exhibit:
    """A scatter of at most 2,000 items of both kinds, those alike close together.

    Args:
        train: Vectors of the training items, ``(n, d)``.
        generated: Vectors of the generated items, ``(m, d)``.
        trained: Which training items the generator was trained on, ``(n,)``, if known.
        on_sphere: Whether only the directions of the vectors count.
    """
    import sklearn.manifold  # noqa: F401  (before the limit below, which holds for libraries that are loaded)
    from threadpoolctl import threadpool_limits

    half = MAPPED // 2
    ours = spread(len(train), max(half, MAPPED - len(generated)))
    theirs = spread(len(generated), max(half, MAPPED - len(train)))
    x = np.concatenate([train[ours], generated[theirs]]).astype(np.float64)
    if on_sphere:
        lengths = np.linalg.norm(x, axis=1, keepdims=True)
        x = np.divide(x, lengths, out=np.zeros_like(x), where=lengths > 0)
    # One thread: the others would wait by spinning, which on a busy machine costs more than they bring.
    with threadpool_limits(1):
        place, by_tsne = _flat(x)
    names = ["training"] * ours.size
    if trained is not None:
        names = np.where(trained[ours], "trained on", "held out").tolist()
    kinds = np.array([*names, *["generated"] * theirs.size])
    # Those drawn last lie on top.
    order = np.argsort([{"generated": 2, "held out": 1}.get(kind, 0) for kind in kinds], kind="stable")
    across, up = ("t-SNE, across", "t-SNE, up") if by_tsne else ("first component", "second component")
    columns = {
        across: np.round(place[order, 0], 3).tolist(),
        up: np.round(place[order, 1], 3).tolist(),
        "kind": kinds[order].tolist(),
    }
    caption = f"{ours.size:,} of {len(train):,} training and {theirs.size:,} of {len(generated):,} generated items"
    if by_tsne:
        caption += (
            ", by t-SNE. Items that are close in it are alike. The rest is not a measurement: distances between "
            "clusters, their sizes and the axes mean nothing, and another run could look different. What counts is the "
            "tables."
        )
    else:
        caption += ", by their two principal components; what lies in other directions is not seen."
    return Exhibit(
        "map",
        "points",
        Table("map", "Map of training and generated items", columns),
        x=across,
        y=up,
        series="kind",
        alt="Scatter of items on a plane, one colour each for " + ", ".join(dict.fromkeys(columns["kind"])) + ".",
        caption=caption,
    )


def _flat(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
    """Places on a plane, and whether they are t-SNE's; too few items, or all alike, only have components."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    n, d = x.shape
    centred = x - x.mean(axis=0)
    centred /= np.abs(centred).max() or 1.0  # neither huge nor tiny numbers; the picture has no scale
    if n < 50 or d < 3 or not np.abs(centred).max() > 0:
        place = np.zeros((n, 2))
        left, length, _ = np.linalg.svd(centred, full_matrices=False)
        place[:, : min(n, d, 2)] = (left * length)[:, :2]
        return place, False
    if d > 50:
        centred = PCA(min(50, n), svd_solver="randomized", random_state=0).fit_transform(centred)
    perplexity = min(30.0, (n - 1) / 3)
    place = TSNE(2, perplexity=perplexity, init="pca", learning_rate="auto", random_state=0).fit_transform(centred)
    return np.asarray(place, dtype=np.float64), True
