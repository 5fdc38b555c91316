"""The data sets of the papers: what they are called, where they lie in a data folder, and how they are opened.

A data folder has one folder a data set:

* ``NAME/NAME.parquet`` for the nine tables: one number column a feature, then ``label``;
* ``mnist/mnist_train.npz`` and ``mnist_test.npz``: ``x`` (uint8 pixels) and ``y``;
* ``cifar10/cifar10_train_jpeg.parquet`` and ``cifar10_test5k_jpeg.parquet`` (``jpeg`` bytes and ``label``), or
  ``cifar10/cifar10_train4k.npz``;
* ``ag_news/ag_news_test.parquet`` (``title``, ``text``, ``label``) and ``dbpedia14/dbpedia14_10k.parquet``
  (``text``, ``label``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError
from dataworth.valuation.embedding import embed_images, embed_texts

__all__ = ["SOURCES", "Dataset", "Pool", "Source", "choose_sources", "find_file", "load_dataset"]


@dataclass(frozen=True)
class Source:
    """A data set as the paper has it.

    Args:
        name: Its folder, and what to call it.
        title: What the paper calls it.
        kind: ``"table"``, ``"images"`` or ``"texts"``.
        files: Where the rows may lie in a data folder, best first.
        n_train: How many training rows the paper values; a tenth of that number judges.
        openml: Its number at OpenML, if it is there.
        held_out: Where the rows that judge lie, if not among the others, in the order of ``files``.
    """

    name: str
    title: str
    kind: Literal["table", "images", "texts"]
    files: tuple[str, ...]
    n_train: int
    openml: int | None = None
    held_out: tuple[str, ...] = ()


def _table(name: str, title: str, openml: int) -> Source:
    return Source(name, title, "table", (f"{name}/{name}.parquet",), 2000, openml)


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        _table("2dplanes", "2DPlanes", 727),
        _table("phoneme", "Phoneme", 1489),
        _table("cpu", "CPU", 761),
        _table("fraud", "Fraud", 42397),
        _table("creditcard", "Creditcard", 42477),
        _table("apsfail", "Apsfail", 41138),
        _table("click", "Click", 1218),
        _table("wind", "Wind", 847),
        _table("pol", "Pol", 722),
        Source("mnist", "MNIST", "images", ("mnist/mnist_train.npz",), 50_000, held_out=("mnist/mnist_test.npz",)),
        Source(
            "cifar10",
            "CIFAR10",
            "images",
            ("cifar10/cifar10_train_jpeg.parquet", "cifar10/cifar10_train4k.npz"),
            50_000,
            held_out=("cifar10/cifar10_test5k_jpeg.parquet",),
        ),
        Source("ag_news", "AG News", "texts", ("ag_news/ag_news_test.parquet",), 10_000),
        Source("dbpedia14", "DBPedia", "texts", ("dbpedia14/dbpedia14_10k.parquet",), 10_000),
    )
}
"""Every data set of the experiments, in the order of the paper's tables."""


@dataclass(frozen=True, eq=False)
class Pool:
    """Rows to draw from.

    Args:
        x: Features before any scaling, shape ``(n, d)``.
        y: Class codes ``0 .. classes - 1``, shape ``(n,)``.
    """

    x: NDArray[Any]
    y: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """An opened data set: features, not yet split, balanced or scaled.

    Args:
        source: Which one.
        rows: What training rows are drawn from, and validation rows too unless ``held_out`` is there.
        held_out: What validation rows are drawn from, if the set comes split.
        features: What the features are, in words.
    """

    source: Source
    rows: Pool
    held_out: Pool | None
    features: str

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return int(self.rows.y.max()) + 1


def choose_sources(names: list[str] | None, *kinds: str) -> list[Source]:
    """The data sets named, or all of the given kinds, in the order of the paper's tables.

    Raises:
        InputError: A name that no data set has, or one that this experiment does not use.
    """
    usable = [source for source in SOURCES.values() if source.kind in kinds]
    if names is None:
        return usable
    wrong = sorted(set(names) - {source.name for source in usable})
    if wrong:
        raise InputError(
            f"this experiment has no data set {', '.join(wrong)}; it has {', '.join(s.name for s in usable)}"
        )
    return [source for source in usable if source.name in names]


def find_file(source: Source, folder: Path) -> Path | None:
    """The first of the source's files that the folder has."""
    return next((folder / file for file in source.files if (folder / file).is_file()), None)


def load_dataset(source: Source, folder: Path, *, fetch: bool = False, progress: bool | None = None) -> Dataset:
    """Open a data set from the folder, or, if it is not there and ``fetch`` allows it, from OpenML.

    Raises:
        DataError: It is not there, cannot be read, or OpenML cannot be reached.
        MissingExtra: Images or texts, and their embedder is not installed.
    """
    path = find_file(source, folder)
    if path is None:
        if fetch and source.openml is not None:
            return _fetch(source, source.openml)
        raise DataError(f"{source.name} is not in the data folder; it would be {' or '.join(source.files)}")
    if source.kind == "table":
        return Dataset(source, _read_table(path), None, "as given")
    # The nth place for training rows goes with the nth place for held-out rows.
    at = source.files.index(str(path.relative_to(folder).as_posix()))
    held_out = folder / source.held_out[at] if at < len(source.held_out) else None
    pools = [_embed(file, source.kind, progress) for file in (path, held_out) if file is not None and file.is_file()]
    features = "efficientnet-lite0 (paper: ResNet50)" if source.kind == "images" else "minilm (paper: RoBERTa-large)"
    return Dataset(source, pools[0], pools[1] if len(pools) > 1 else None, features)


def _read_table(path: Path) -> Pool:
    columns = _read_columns(path)
    label = columns.pop("label")
    return Pool(
        np.column_stack([column.to_numpy() for column in columns.values()]).astype(np.float64), _codes(label.to_numpy())
    )


def _read_columns(path: Path) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{str(path)!r} cannot be read as Parquet: {error}") from None
    if "label" not in table.column_names or table.num_columns < 2:
        raise DataError(f"{str(path)!r} needs a column 'label' and at least one other, not {table.column_names}")
    return dict(zip(table.column_names, table.columns, strict=True))


def _embed(path: Path, kind: str, progress: bool | None) -> Pool:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            return Pool(embed_images(list(archive["x"]), progress=progress), _codes(archive["y"]))
    columns = _read_columns(path)
    y = _codes(columns["label"].to_numpy())
    if kind == "images":
        return Pool(embed_images(columns["jpeg"].to_pylist(), progress=progress), y)
    texts = columns["text"].to_pylist()
    if "title" in columns:
        texts = [f"{title}. {text}" for title, text in zip(columns["title"].to_pylist(), texts, strict=True)]
    return Pool(embed_texts(texts, progress=progress), y)


def _fetch(source: Source, openml: int) -> Dataset:
    """The number columns of an OpenML data set; its last label in order becomes class 1."""
    from sklearn.datasets import fetch_openml

    try:
        bunch = fetch_openml(data_id=openml, as_frame=False, parser="liac-arff")
    except (OSError, ValueError) as error:  # no network; or OpenML answers that it has no such set
        raise DataError(
            f"{source.name} (number {openml}) cannot be fetched from OpenML ({error}); "
            f"put it into the data folder as {source.files[0]}, features first and then label"
        ) from None
    numbers = [at for at, name in enumerate(bunch.feature_names) if name not in (bunch.categories or {})]
    x = np.asarray(bunch.data)[:, numbers].astype(np.float64)
    return Dataset(source, Pool(x, _codes(bunch.target)), None, f"number columns of OpenML {openml}")


def _codes(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Labels as ``0 .. classes - 1`` in sorted order."""
    codes: NDArray[np.int64] = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    return codes
