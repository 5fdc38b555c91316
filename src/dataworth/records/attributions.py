"""Attributions: for each generated item, which training items earned it, and with what share."""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.errors import DataError, InputError
from dataworth.records.arrays import exact, read_only
from dataworth.records.evidence import Table
from dataworth.records.files import whole_file

__all__ = ["Attributions"]

FORMAT = "dataworth.attributions/1"


@dataclass(frozen=True, eq=False, repr=False)
class Attributions:
    """The matches of every generated item, nearest first, with the share of its worth that each one earned.

    Args:
        ids: Names of the training items, shape ``(n,)``.
        generated_ids: Names of the generated items, shape ``(m,)``.
        at: Positions in ``ids`` of each generated item's matches, int64, shape ``(m, k)``; -1 where there are fewer
            than ``k``.
        distance: Of each match, in the unit of what ranked it, float64, shape ``(m, k)``; infinite where there is
            none.
        share: What each match earned, float64, shape ``(m, k)``; 0 where there is none. A generated item's shares
            add up to its quality exactly.
        owners: Whose each training item is, shape ``(n,)``, if known.

    Raises:
        InputError: Arrays that do not fit together.

    Example:
        >>> import dataworth as dw
        >>> credit = dw.Attributions(["a", "b"], ["new"], [[1, 0]], [[0.1, 0.9]], [[0.75, 0.25]])
        >>> credit.of_generated("new").rows()
        [('b', 0.1, 0.75), ('a', 0.9, 0.25)]
    """

    ids: NDArray[Any]
    generated_ids: NDArray[Any]
    at: NDArray[np.int64]
    distance: NDArray[np.float64]
    share: NDArray[np.float64]
    owners: NDArray[Any] | None

    def __init__(
        self,
        ids: ArrayLike,
        generated_ids: ArrayLike,
        at: ArrayLike,
        distance: ArrayLike,
        share: ArrayLike,
        owners: ArrayLike | None = None,
    ) -> None:
        arrays: dict[str, NDArray[Any] | None] = {
            "ids": exact(ids, "ids"),
            "generated_ids": exact(generated_ids, "generated_ids"),
            "at": np.asarray(at, dtype=np.int64),
            "distance": np.asarray(distance, dtype=np.float64),
            "share": np.asarray(share, dtype=np.float64),
            "owners": None if owners is None else exact(owners, "owners"),
        }
        for name, array in arrays.items():
            object.__setattr__(self, name, None if array is None else read_only(array))
        n, m = self.ids.shape, self.generated_ids.shape
        shapes = {name: array.shape for name, array in arrays.items() if array is not None}
        matched = {self.at.shape, self.distance.shape, self.share.shape}
        fits = len(n) == len(m) == 1 and matched == {(*m, *self.at.shape[1:])} and self.at.ndim == 2
        if not fits or shapes.get("owners", n) != n:
            raise InputError(f"ids and owners must be (n,), generated_ids (m,) and the rest (m, k), not {shapes}")
        if self.at.size and (self.at.min() < -1 or self.at.max() >= n[0]):
            raise InputError(f"positions of matches must lie below {n[0]}, the number of training items")
        none = self.at < 0
        if not ((self.share[none] == 0).all() and (self.share >= 0).all() and np.isinf(self.distance[none]).all()):
            raise InputError("shares must be 0 or more; where there is no match, 0 with an infinite distance")
        if not np.isfinite(self.distance[~none]).all():
            raise InputError("the distance of every match must be a finite number")

    def __len__(self) -> int:
        return int(self.generated_ids.shape[0])

    def __repr__(self) -> str:
        return f"Attributions({len(self)} generated items, {self.ids.size} training items, {self.at.shape[1]} matches)"

    @cached_property
    def quality(self) -> NDArray[np.float64]:
        """What each generated item was worth: the exact sum of its shares, shape ``(m,)``."""
        return np.array([math.fsum(row) for row in self.share.tolist()], dtype=np.float64)

    # -- looking ---------------------------------------------------------------------------------

    def of_generated(self, generated_id: Any) -> Table:
        """The contributors of one generated item, nearest first: id, owner if known, distance, share.

        Raises:
            InputError: There is no such generated item.
        """
        j = _place(self.generated_ids, generated_id, "generated item")
        there = self.at[j] >= 0
        at = self.at[j][there]
        columns: dict[str, list[Any]] = {"id": self.ids[at].tolist()}
        if self.owners is not None:
            columns["owner"] = self.owners[at].tolist()
        columns |= {"distance": self.distance[j][there].tolist(), "share": self.share[j][there].tolist()}
        return Table("contributors", f"Contributors to {generated_id}", columns)

    def of_item(self, item_id: Any) -> Table:
        """The generated items that one training item is matched with, largest share first.

        Raises:
            InputError: There is no such training item.
        """
        entries = self.entries_of(_place(self.ids, item_id, "training item"))
        entries = entries[np.argsort(-self.share.flat[entries], kind="stable")]
        return Table(
            "matches",
            f"Generated items matched with {item_id}",
            {
                "generated": self.generated_ids[entries // self.at.shape[1]].tolist(),
                "distance": self.distance.flat[entries].tolist(),
                "share": self.share.flat[entries].tolist(),
            },
        )

    def entries_of(self, item: int) -> NDArray[np.intp]:
        """Flat positions in ``at`` of the matches of one training item, given by its position."""
        order, starts = self._by_item
        return order[starts[item] : starts[item + 1]]

    @cached_property
    def _by_item(self) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Flat positions in ``at``, training item by training item, and where each item's begin."""
        flat = self.at.ravel()
        starts = np.searchsorted(np.sort(flat), np.arange(self.ids.size + 1))
        return np.argsort(flat, kind="stable"), starts.astype(np.int64)

    # -- leaving and coming back -----------------------------------------------------------------

    def to_arrow(self) -> Any:
        """A pyarrow Table, one row a match: generated item, rank, id, owner if known, distance and share."""
        import pyarrow as pa

        j, rank = np.nonzero(self.at >= 0)
        at = self.at[j, rank]
        columns = {"generated": self.generated_ids[j], "rank": rank + 1, "id": self.ids[at]}
        if self.owners is not None:
            columns["owner"] = self.owners[at]
        columns |= {"distance": self.distance[j, rank], "share": self.share[j, rank]}
        return pa.table({name: pa.array(column) for name, column in columns.items()})

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one entry a match, for whoever reads Parquet (``.parquet``) or JSON (``.json``).

        The Parquet file is the table of :meth:`to_arrow`; the JSON file lists generated items, each with its
        contributors. The file appears whole or not at all.

        Returns:
            The path written.

        Raises:
            InputError: Another ending.
        """
        import pyarrow.parquet as pq

        kind = Path(path).suffix.lower()
        if kind not in (".parquet", ".pq", ".json"):
            raise InputError(f"attributions are written to .parquet or .json, not to {os.fspath(path)!r}")
        with whole_file(path) as temporary:
            if kind == ".json":
                with temporary.open("w", encoding="utf-8") as file:
                    file.writelines(self._json())
            else:
                pq.write_table(self.to_arrow(), temporary)
        return Path(path)

    def _json(self) -> Iterator[str]:
        yield '{"format": ' + json.dumps(FORMAT) + ', "generated": ['
        for j, name in enumerate(self.generated_ids.tolist()):
            contributors = [
                {
                    "id": self.ids[i].item(),
                    **({} if self.owners is None else {"owner": self.owners[i].item()}),
                    "distance": float(self.distance[j, rank]),
                    "share": float(self.share[j, rank]),
                }
                for rank, i in enumerate(self.at[j])
                if i >= 0
            ]
            entry = {"id": name, "quality": float(self.quality[j]), "contributors": contributors}
            yield ("," if j else "") + "\n" + json.dumps(entry, allow_nan=False)
        yield "\n]}\n"

    def columns(self) -> tuple[Any, str]:
        """What a file of values keeps: one list of matches a training item, and the names of the generated items.

        Returns:
            A pyarrow array of lists of ``(generated position, rank, distance, share)``, and text.
        """
        import pyarrow as pa

        order, starts = self._by_item
        entries = order[starts[0] :]
        k = self.at.shape[1]
        fields = {
            "generated": entries // k,
            "rank": (entries % k).astype(np.int32),
            "distance": self.distance.flat[entries],
            "share": self.share.flat[entries],
        }
        matches = pa.StructArray.from_arrays([pa.array(column) for column in fields.values()], names=list(fields))
        lists = pa.LargeListArray.from_arrays(pa.array(starts - starts[0]), matches)
        sink = pa.BufferOutputStream()
        names = pa.table({"generated": pa.array(self.generated_ids)}, metadata={"k": str(k)})
        with pa.ipc.new_stream(sink, names.schema) as writer:
            writer.write_table(names)
        return lists, base64.b64encode(sink.getvalue().to_pybytes()).decode("ascii")

    @classmethod
    def from_columns(cls, lists: Any, names: str, ids: NDArray[Any], owners: NDArray[Any] | None) -> Attributions:
        """The inverse of :meth:`columns`.

        Raises:
            DataError: They do not fit together.
        """
        import pyarrow as pa

        try:
            table = pa.ipc.open_stream(base64.b64decode(names, validate=True)).read_all()
            k = int(table.schema.metadata[b"k"])
            lists = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
            flat = lists.flatten()
            j, rank = (flat.field(name).to_numpy() for name in ("generated", "rank"))
            lengths = np.diff(lists.offsets.to_numpy())
            at = np.full((table.num_rows, k), -1, dtype=np.int64)
            at[j, rank] = np.repeat(np.arange(lengths.size), lengths)
            distance, share = np.full(at.shape, np.inf), np.zeros(at.shape)
            distance[j, rank] = flat.field("distance").to_numpy()
            share[j, rank] = flat.field("share").to_numpy()
            return cls(ids, exact(table["generated"].to_pylist(), "generated"), at, distance, share, owners)
        except (pa.ArrowException, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"the attributions are damaged ({type(error).__name__})") from None


def _place(ids: NDArray[Any], name: Any, what: str) -> int:
    found = np.flatnonzero(ids == name) if np.ndim(name) == 0 else np.empty(0)
    if found.size == 0:
        raise InputError(f"there is no {what} {name!r}; the first of {ids.size:,} is {ids[:1].tolist()}")
    return int(found[0])
