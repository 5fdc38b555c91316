"""Federations to try: public data dealt out to providers, a public pool that no provider has, and a test set.

The public pool is the last rows of a set (of CIFAR-10, whose file is sorted by class, the last of a fixed shuffle):
10,000 of 60,000 or 50,000 images, a fifth of a table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dataworth.data.partition import partition_points, partition_rows
from dataworth.errors import DataError
from dataworth.papers.datasets import SOURCES, find_file, load_dataset
from dataworth.records import Points

__all__ = ["SPLITS", "Federation", "Pools", "Split", "deal", "is_there", "most_noise", "open_pools"]

Split: TypeAlias = Literal["iid", "uneven", "skewed"]
SPLITS: tuple[Split, ...] = ("iid", "uneven", "skewed")

PUBLIC_IMAGES = 10_000
DIMENSIONS = {"mnist": 32, "cifar10": 64}
SPREAD = 0.6  # sizes of an uneven federation go from 0.4 to 1.6 times the mean
SKEW = 0.5  # of the Dirichlet law of a skewed federation

View: TypeAlias = Callable[[NDArray[Any]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Pools:
    """A data set in three parts that share no row.

    Args:
        name: What to call it.
        private: What is dealt out to providers.
        public: What everybody may see, labelled; synthesizers may use its rows.
        test: What judges, public too.
        view: From the rows above to the features that coalitions are judged by: fitted on public rows.
        image_shape: Where rows are pixels.
        features: What the judged features are, in words.
    """

    name: str
    private: Points
    public: Points
    test: Points
    view: View
    image_shape: tuple[int, ...] | None
    features: str

    def seen(self, points: Points) -> Points:
        """The points with the features that coalitions are judged by."""
        return Points(self.view(points.x), points.y, ids=points.ids)


@dataclass(frozen=True, eq=False)
class Federation:
    """Providers who share out the private part of a set.

    Args:
        pools: Where their rows come from.
        split: How.
        players: The rows of each.
        seed: Of the split.
    """

    pools: Pools
    split: Split
    players: tuple[Points, ...]
    seed: int

    @property
    def names(self) -> tuple[str, ...]:
        """Of the providers."""
        return tuple(f"provider {at + 1}" for at in range(len(self.players)))


def open_pools(name: str, data: Path, *, pixels: bool = False, progress: bool | None = None) -> Pools:
    """A data set in its three parts.

    Args:
        name: ``"mnist"``, ``"cifar10"`` or a table.
        data: The data folder.
        pixels: Rows are pixels (MNIST only), and judged by principal components of public images.
        progress: Show a progress bar where images are embedded.

    Raises:
        DataError: The set is not there, or too small.
        MissingExtra: CIFAR-10, and its embedder is not installed.
    """
    if name == "mnist":
        return _mnist(data, pixels)
    if name == "cifar10":
        return _cifar10(data, progress)
    return _table(name, data)


def deal(pools: Pools, split: Split, providers: int, seed: int, *, rows: int | None = None) -> Federation:
    """Deal the private rows out.

    ``iid`` shuffles and cuts into equal parts. ``uneven`` gives the providers sizes from 0.4 to 1.6 times the mean and
    false labels from none to 60 percent (of ten classes; see :func:`most_noise`), each evenly spaced and in random
    order. ``skewed`` draws a share of every class for each provider from a Dirichlet law of 0.5, with all labels true.

    Args:
        pools: Of a data set.
        split: How.
        providers: How many.
        seed: Of everything drawn.
        rows: How many of the private rows are dealt out; all if not given.

    Raises:
        DataError: Fewer rows than that.
    """
    n = len(pools.private) if rows is None else rows
    if n > len(pools.private):
        raise DataError(f"{n:,} rows are to be dealt out, but {pools.name} has {len(pools.private):,}")
    rng = np.random.default_rng([seed, providers])
    chosen = pools.private.take(np.sort(rng.permutation(len(pools.private))[:n]))
    if split == "iid":
        found = partition_rows(n, how="iid", providers=providers, seed=seed)
    elif split == "skewed":
        found = partition_rows(n, how="dirichlet", providers=providers, y=chosen.y, alpha=SKEW, seed=seed)
    else:
        sizes = np.linspace(1 - SPREAD, 1 + SPREAD, providers) * n / providers
        noise = np.linspace(0.0, most_noise(pools), providers)
        found = partition_rows(
            n,
            how="sizes",
            sizes=[int(size) for size in rng.permutation(sizes)],
            y=chosen.y,
            label_noise=rng.permutation(noise).tolist(),
            seed=seed,
        )
    players = tuple(player for player in partition_points(chosen, found) if player is not None)
    return Federation(pools, split, players, seed)


def most_noise(pools: Pools) -> float:
    """Share of false labels of the worst provider of an uneven federation: two thirds of what would tell nothing.

    0.6 for ten classes and 1/3 for two, of which half the labels being false leaves nothing to learn.
    """
    classes = len(np.unique(pools.test.y))
    return 2 / 3 * (classes - 1) / classes


# -- data sets -------------------------------------------------------------------------------------


def _mnist(data: Path, pixels: bool) -> Pools:
    train, test = (_archive(data / "mnist" / f"mnist_{part}.npz") for part in ("train", "test"))
    public = train[0][-PUBLIC_IMAGES:]
    components = _components(public, DIMENSIONS["mnist"])
    raw = [(x, y) for x, y in ((train[0][:-PUBLIC_IMAGES], train[1][:-PUBLIC_IMAGES]),
                               (public, train[1][-PUBLIC_IMAGES:]), test)]  # fmt: skip
    words = f"{DIMENSIONS['mnist']} principal components of public images"
    if pixels:
        parts = [Points(x, y) for x, y in raw]
        return Pools("mnist", parts[0], parts[1], parts[2], components, (28, 28), words)
    parts = [Points(components(x), y) for x, y in raw]
    return Pools("mnist", parts[0], parts[1], parts[2], _as_is, None, words)


def _cifar10(data: Path, progress: bool | None) -> Pools:
    opened = load_dataset(SOURCES["cifar10"], data, progress=progress)
    if opened.held_out is None or len(opened.rows.y) <= 2 * PUBLIC_IMAGES:
        raise DataError("cifar10 must come with 50,000 training images and a test set for this experiment")
    order = np.random.default_rng(0).permutation(len(opened.rows.y))
    x, y = opened.rows.x[order], opened.rows.y[order]
    components = _components(x[-PUBLIC_IMAGES:], DIMENSIONS["cifar10"])
    words = f"{DIMENSIONS['cifar10']} principal components of {opened.features}"
    parts = [
        Points(components(rows), labels)
        for rows, labels in (
            (x[:-PUBLIC_IMAGES], y[:-PUBLIC_IMAGES]),
            (x[-PUBLIC_IMAGES:], y[-PUBLIC_IMAGES:]),
            (opened.held_out.x, opened.held_out.y),
        )
    ]
    return Pools("cifar10", parts[0], parts[1], parts[2], _as_is, None, words)


def _table(name: str, data: Path) -> Pools:
    opened = load_dataset(SOURCES[name], data)
    order = np.random.default_rng(0).permutation(len(opened.rows.y))
    x, y = opened.rows.x[order], opened.rows.y[order]
    fifth = len(y) // 5
    mean, deviation = x[-fifth:].mean(axis=0), x[-fifth:].std(axis=0)
    scaled = np.clip((x - mean) / np.where(deviation > 0, deviation, 1.0), -10, 10).astype(np.float32)
    cuts = (slice(0, -2 * fifth), slice(len(y) - fifth, None), slice(len(y) - 2 * fifth, len(y) - fifth))
    parts = [Points(scaled[cut], y[cut]) for cut in cuts]
    return Pools(name, parts[0], parts[1], parts[2], _as_is, None, "columns standardised by public rows")


def _archive(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    if not path.is_file():
        raise DataError(f"{str(path)!r} is not there; it holds x (uint8 pixels) and y")
    with np.load(path, allow_pickle=False) as archive:
        x, y = archive["x"], archive["y"]
    return x.reshape(len(x), -1).astype(np.float32), y.astype(np.int64)


def _components(public: NDArray[Any], dimensions: int) -> View:
    """Principal components of public rows, all divided by one number so that a coordinate is about 1 wide."""
    from sklearn.decomposition import PCA

    fitted = PCA(dimensions, random_state=0).fit(public)
    width = float(fitted.transform(public).std(axis=0).mean())

    def view(x: NDArray[Any]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = (fitted.transform(x) / width).astype(np.float32)
        return found

    return view


def _as_is(x: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(x, dtype=np.float32)


def is_there(name: str, data: Path) -> bool:
    """Whether the data folder has the set."""
    return find_file(SOURCES[name], data) is not None
