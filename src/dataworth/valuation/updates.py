"""Exact values of a training set that changes: rows come and go, and nobody is linked twice.

A row's links depend on that row and the validation set alone, so they are stored as bits. Adding rows links
the new ones and adds their counts; removing rows takes their counts away. Values are added up again from the
stored links, to the last bit what a fresh run on the rows that are there now would give.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.errors import DataError, InputError, MethodError
from dataworth.kernels import neighbors
from dataworth.kernels.neighbors import DType, Metric, Rows
from dataworth.kernels.team import team_size
from dataworth.kernels.threshold import Beta, add_links, point_weights
from dataworth.records import Points, Values
from dataworth.records.arrays import exact, joined, read_only
from dataworth.records.sealed import digest_of, read_sealed, write_sealed
from dataworth.valuation.methods import ThresholdKNNShapley
from dataworth.valuation.provenance import provenance
from dataworth.valuation.reading import check_same_features
from dataworth.valuation.task import Task, bar, class_list, encode

__all__ = ["ThresholdIndex", "UpdateCost", "index_points"]

FORMAT = "dataworth.threshold-index/1"


@dataclass(frozen=True)
class UpdateCost:
    """What making an index from the one before it took.

    Args:
        change: What was done.
        rows: How many rows came or went.
        pairs: How many pairs of a row and a validation point were linked for it.
        fresh_pairs: How many a run from the start on the rows that are there now would link.
        seconds: How long it took; values are added up later, by :meth:`ThresholdIndex.values`.

    Example:
        >>> print(UpdateCost("add", rows=100, pairs=100_000, fresh_pairs=50_100_000, seconds=0.0022))
        add, 100 rows: 100,000 pairs linked where a fresh run links 50,100,000, in 0.002 s
    """

    change: Literal["index", "add", "remove", "load"]
    rows: int
    pairs: int
    fresh_pairs: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.change}, {self.rows:,} rows: {self.pairs:,} pairs linked where a fresh run links "
            f"{self.fresh_pairs:,}, in {self.seconds:.3f} s"
        )


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ThresholdIndex:
    """The links of a training set, kept so that rows can be added and removed; made by :func:`index_points`.

    It never changes: :meth:`add` and :meth:`remove` return another index. Rows stand in the order in which
    they were given, added ones at the end. It holds no features of rows and takes a bit for each pair of a row
    and a validation point. Its values are exact and so reveal something about other rows, like those of
    :func:`value_points`; a private release after a change is a new release with a new charge.

    Args:
        method: What values are.
        validation: The points that judge; public and fixed, like the classes.
        classes: All class labels there are, in ascending order, ``(n_classes,)``. A row of any other label
            matches no point, when it comes later too.
        ids: Names of the rows, ``(n,)``.
        owners: Who contributed each row, ``(n,)``, if known.
        codes: Number of each row's class, or -1 for a label that is no class, ``(n,)``.
        bits: Bit ``z % 8`` of ``bits[z // 8, i]`` says whether row ``i`` is a neighbour of point ``z``;
            uint8, ``(ceil(n_validation / 8), n)``.
        n_same: Neighbours of each point that share its label, int64, ``(n_validation,)``.
        n_other: Neighbours that do not, int64, ``(n_validation,)``.
        dtype: What new rows are screened in; no link depends on it.
        cost: What making this index took.

    Example:
        >>> import dataworth as dw
        >>> validation = dw.Points([[1.0, 0.0], [0.0, 1.0]], ["cat", "dog"])
        >>> index = index_points(validation, validation, method=dw.ThresholdKNNShapley(radius=0.5))
        >>> index = index.add(dw.Points([[0.9, 0.1]], ["dog"], ids=[7])).remove([0])
        >>> index.values().highest(1).rows()
        [(1, 0.25)]
    """

    method: ThresholdKNNShapley
    validation: Points
    classes: NDArray[Any]
    ids: NDArray[Any]
    owners: NDArray[Any] | None
    codes: NDArray[np.int64]
    bits: NDArray[np.uint8]
    n_same: NDArray[np.int64]
    n_other: NDArray[np.int64]
    dtype: DType
    cost: UpdateCost

    def __post_init__(self) -> None:
        n, m = self.codes.size, len(self.validation)
        shapes = [self.ids.shape, self.codes.shape, self.bits.shape, self.n_same.shape, self.n_other.shape]
        shapes += [] if self.owners is None else [self.owners.shape]
        expected = [(n,), (n,), (-(-m // 8), n), (m,), (m,), (n,)][: len(shapes)]
        if shapes != expected or self.bits.dtype != np.uint8 or not (self.codes >= -1).all():
            raise DataError(f"the arrays of an index do not fit together: shapes {shapes}, not {expected}")
        if not (self.codes < self.classes.size).all():
            raise DataError("the arrays of an index do not fit together: rows of classes that are not there")
        for name in ("classes", "ids", "owners", "codes", "bits", "n_same", "n_other"):
            array = getattr(self, name)
            if array is not None:
                object.__setattr__(self, name, read_only(array))

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    def __repr__(self) -> str:
        return f"ThresholdIndex({len(self)} rows, {len(self.validation)} validation points, {self.method!r})"

    def values(self, *, threads: int | None = None) -> Values:
        """The value of every row that is there now, to the last bit what :func:`value_points` gives for them.

        Args:
            threads: How many threads to use; by default one for each core.

        Returns:
            Values in the order of ``ids``.
        """
        began, workers = time.perf_counter(), team_size(threads)
        n_classes = int(self.classes.size)
        order = np.argsort(np.where(self.codes < 0, n_classes, self.codes), kind="stable")
        weights = point_weights(self.n_same, self.n_other, n_classes, self.method.semivalue)
        sums = np.zeros(len(self))
        add_links(
            _without_features(self.codes[order], order, n_classes, self.method.metric),
            np.take(self.bits, order, axis=1), self._point_codes, *weights, sums, threads=workers,
        )  # fmt: skip
        return Values(
            ids=self.ids,
            values=sums / len(self.validation),
            owners=self.owners,
            method=repr(self.method),
            n_validation=len(self.validation),
            provenance=provenance(len(self), self.validation.x.shape[1], n_classes, self.dtype, workers, began),
        )

    def add(self, points: Points, *, threads: int | None = None, progress: bool | None = None) -> ThresholdIndex:
        """An index with more rows, which come last; only the new ones are linked.

        Args:
            points: Rows of the same features, with ids that no row of the index has, and with owners if the
                rows of the index have owners.
            threads: How many threads to use; by default one for each core.
            progress: Whether to show a progress bar; by default only on a terminal.

        Raises:
            DataError: Features, labels, ids or owners that do not fit, or zero vectors under cosine.

        Warns:
            UnmatchedLabels: Some labels are no class.
        """
        began = time.perf_counter()
        _check_points(points)
        check_same_features(points, self.validation)
        if (points.owners is None) != (self.owners is None):
            which = (
                "no owners, but those of the index do"
                if points.owners is None
                else "owners, but those of the index do not"
            )
            raise DataError(f"the rows to add name {which}; name the owners of all rows or of none")
        ids = joined(self.ids, points.ids, "ids")
        repeated = int(np.isin(ids[len(self) :], ids[: len(self)]).sum())
        if repeated:
            raise DataError(
                f"{repeated} of {len(points)} rows to add have an id that the index holds; give new rows ids of their "
                "own, or remove the rows that they replace first"
            )
        whose = None
        if self.owners is not None and points.owners is not None:
            whose = joined(self.owners, points.owners, "owners")
        task = Task.of(points, self.validation, self.classes.tolist())
        bits, n_same, n_other = _linked(task, self.method, self.dtype, team_size(threads), progress)
        return replace(
            self,
            ids=ids,
            owners=whose,
            codes=np.concatenate([self.codes, task.codes]),
            bits=np.concatenate([self.bits, bits], axis=1),
            n_same=self.n_same + n_same,
            n_other=self.n_other + n_other,
            cost=self._cost("add", len(points), len(points), ids.size, began),
        )

    def remove(self, ids: ArrayLike) -> ThresholdIndex:
        """An index without some rows; nothing is linked. All may go: the index then waits for rows to add.

        Args:
            ids: Names of rows of the index, each once.

        Raises:
            DataError: Ids that the index does not hold, or that are named twice.
        """
        began = time.perf_counter()
        gone = exact(ids, "ids")
        if gone.ndim != 1:
            raise DataError(f"ids to remove must be a flat list of ids, not of shape {gone.shape}")
        if gone.size == 0:
            return replace(self, cost=self._cost("remove", 0, 0, len(self), began))
        everyone = joined(self.ids, gone, "ids")
        held, gone = everyone[: len(self)], everyone[len(self) :]
        repeated = gone.size - np.unique(gone).size
        if repeated:
            raise DataError(f"{repeated} of the {gone.size} ids to remove repeat another of them; name each row once")
        leaves = np.isin(held, gone)
        unknown = int((~np.isin(gone, held)).sum())
        if unknown:
            raise DataError(f"{unknown} of the {gone.size} ids to remove are not in the index; nothing was removed")
        stays = ~leaves
        n_same, n_other = _counts(self.bits[:, leaves], self.codes[leaves], self._point_codes)
        return replace(
            self,
            ids=self.ids[stays],
            owners=None if self.owners is None else self.owners[stays],
            codes=self.codes[stays],
            bits=self.bits[:, stays],
            n_same=self.n_same - n_same,
            n_other=self.n_other - n_other,
            cost=self._cost("remove", gone.size, 0, len(self) - gone.size, began),
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the index to a file (NumPy's ``.npz``), without the validation set, which is only fingerprinted.

        The file appears whole or not at all. It holds the exact links of every row: keep it as you keep the data.

        Returns:
            The path written.
        """
        arrays = {"classes": self.classes, "ids": self.ids, "codes": self.codes, "bits": self.bits}
        if self.owners is not None:
            arrays["owners"] = self.owners
        about = {
            "method": asdict(self.method),
            "dtype": self.dtype,
            "validation": _fingerprint(self.validation, self.classes),
        }
        return write_sealed(path, FORMAT, about, arrays)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], validation: Points, *, method: ThresholdKNNShapley | None = None
    ) -> ThresholdIndex:
        """Read what :meth:`save` wrote.

        Args:
            path: The file.
            validation: The validation set that the index was made with.
            method: If given, the method that the index must have been made with.

        Raises:
            DataError: The file is not there, is no index, is damaged, or was made with another validation set.
            MethodError: It was made with another method.
        """
        began = time.perf_counter()
        _check_points(validation)
        name = repr(os.fspath(path))
        about, arrays = read_sealed(path, FORMAT, "index", "ThresholdIndex.save")
        classes, codes, bits = (arrays[key] for key in ("classes", "codes", "bits"))
        if about["validation"] != _fingerprint(validation, classes):
            raise DataError(f"{name} was made with another validation set; give that one, or index the rows anew")
        made_with = _method(about["method"])
        if method is not None and method != made_with:
            raise MethodError(f"{name} was made with {made_with!r}, not with {method!r}")
        point_codes = encode(validation.y, classes)
        n_same, n_other = _counts(bits, codes, point_codes)
        return cls(
            method=made_with,
            validation=validation,
            classes=classes,
            ids=arrays["ids"],
            owners=arrays.get("owners"),
            codes=codes,
            bits=bits,
            n_same=n_same,
            n_other=n_other,
            dtype=about["dtype"],
            cost=UpdateCost("load", codes.size, 0, codes.size * len(validation), time.perf_counter() - began),
        )

    @property
    def _point_codes(self) -> NDArray[np.int64]:
        return encode(self.validation.y, self.classes)

    def _cost(
        self, change: Literal["add", "remove"], rows: int, linked: int, rows_now: int, began: float
    ) -> UpdateCost:
        m = len(self.validation)
        return UpdateCost(change, rows, linked * m, rows_now * m, time.perf_counter() - began)


def index_points(
    train: Points,
    validation: Points,
    *,
    method: ThresholdKNNShapley,
    classes: Sequence[Any] | None = None,
    dtype: DType = "float32",
    threads: int | None = None,
    progress: bool | None = None,
) -> ThresholdIndex:
    """Link a training set with a validation set, once, so that rows can be added and removed later.

    Args:
        train: The rows to begin with.
        validation: The points that judge; fixed from now on.
        method: With any semivalue.
        classes: All class labels there are, fixed from now on; by default those found in the validation set.
        dtype: What distances are screened in; close calls are decided in double either way.
        threads: How many threads to use; by default one for each core.
        progress: Whether to show a progress bar; by default only on a terminal.

    Returns:
        The index; it takes a bit for each pair of a row and a validation point, features not.

    Raises:
        DataError: Features or labels that do not fit together, or zero vectors under cosine.
        MethodError: Another method than Threshold-KNN.

    Warns:
        UnmatchedLabels: Some train labels are no class.

    Example:
        >>> import dataworth as dw
        >>> train = dw.Points([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], ["cat", "dog", "dog"])
        >>> validation = dw.Points([[1.0, 0.0]], ["cat"])
        >>> index = index_points(train, validation, method=dw.ThresholdKNNShapley(0.5), classes=["cat", "dog"])
        >>> index.values().values
        array([ 0.5, -0.5,  0. ])
        >>> index.remove([1]).values().values
        array([0.5, 0. ])
    """
    began = time.perf_counter()
    if dtype not in ("float32", "float64"):
        raise InputError(f"dtype must be 'float32' or 'float64', not {dtype!r}")
    if not isinstance(method, ThresholdKNNShapley):
        raise MethodError(f"index_points keeps links for ThresholdKNNShapley alone, not for {method!r}")
    _check_points(train)
    _check_points(validation)
    check_same_features(train, validation)
    known = class_list(validation, classes)
    task = Task.of(train, validation, known.tolist())
    bits, n_same, n_other = _linked(task, method, dtype, team_size(threads), progress)
    pairs = len(train) * len(validation)
    return ThresholdIndex(
        method=method,
        validation=validation,
        classes=known,
        ids=train.ids,
        owners=train.owners,
        codes=task.codes,
        bits=bits,
        n_same=n_same,
        n_other=n_other,
        dtype=dtype,
        cost=UpdateCost("index", len(train), pairs, pairs, time.perf_counter() - began),
    )


# -- links and counts ------------------------------------------------------------------------------


def _linked(
    task: Task, method: ThresholdKNNShapley, dtype: DType, threads: int, progress: bool | None
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Bits in the order of the rows given, and both counts."""
    rows, judges = task.ready(method.metric, dtype, threads)
    with bar(neighbors.link_jobs(len(rows), len(judges)), "linking", progress) as tick:
        links = neighbors.link(rows, judges, method.radius, threads=threads, tick=tick)
    bits = np.empty_like(links.bits)
    bits[:, rows.order] = links.bits
    return bits, *links.counts()


def _counts(
    bits: NDArray[np.uint8], codes: NDArray[np.int64], point_codes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many of these rows each point has as neighbours of its label, and of another.

    Rows are counted by class and byte of bits, eight points at a time, and bytes are spelt out at the end.
    """
    m = point_codes.size
    present, at = np.unique(codes, return_inverse=True)
    bits_of_byte = np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1, bitorder="little")
    of_class = np.zeros((present.size, 8 * bits.shape[0]), dtype=np.int64)
    for group, byte in enumerate(bits):
        tally = np.bincount(256 * at + byte, minlength=256 * present.size).reshape(present.size, 256)
        of_class[:, 8 * group : 8 * group + 8] = tally @ bits_of_byte.astype(np.int64)
    same = np.zeros(m, dtype=np.int64)
    for links, code in zip(of_class, present, strict=True):
        same += np.where(point_codes == code, links[:m], 0)
    return same, of_class.sum(axis=0)[:m] - same


def _without_features(codes: NDArray[np.int64], order: NDArray[np.int64], n_classes: int, metric: Metric) -> Rows:
    """What adding up links needs to know of rows: whose class is which, class by class, and their places."""
    n = codes.size
    group = np.where(codes < 0, n_classes, codes)
    starts = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=n_classes + 1))])
    x, nothing = np.empty((n, 0), dtype=np.float32), np.zeros(n)
    return Rows(x, nothing, nothing, x, nothing, order, starts, group, metric)


# -- names -----------------------------------------------------------------------------------------


def _check_points(points: object) -> None:
    if not isinstance(points, Points):
        raise InputError(
            f"rows must be dataworth.Points, not {type(points).__name__}; dataworth.read_points makes them from files"
        )


# -- files -----------------------------------------------------------------------------------------


def _fingerprint(validation: Points, classes: NDArray[Any]) -> str:
    """A digest of what links and counts depend on: features as float64, labels, and how many classes there are."""
    labels = np.array([str(label) for label in validation.y.tolist()])
    about = {"classes": int(classes.size), "text": validation.y.dtype.kind == "U"}
    return digest_of(about, {"x": validation.x.astype("<f8"), "labels": labels})


def _method(plain: Mapping[str, Any]) -> ThresholdKNNShapley:
    semivalue = plain["semivalue"]
    return ThresholdKNNShapley(
        radius=plain["radius"],
        semivalue=Beta(**semivalue) if isinstance(semivalue, dict) else semivalue,
        metric=plain["metric"],
    )
