"""Made-up rows in Parquet files, as many as a disk holds, and the points that judge them."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.workloads import Problem, radius_for
from dataworth import Points

__all__ = ["FEATURES", "FILES", "GROUP", "Files"]

FEATURES = 64
FILES = 8
GROUP = 131_072
"""Rows of a row group."""

_SHARE = 0.1  # of the rows are neighbours of a point
_SAMPLE = 20_000


@dataclass(frozen=True)
class Files:
    """A folder of made-up rows: 64 float32 columns and a label, in 8 files.

    They are written with pyarrow's own settings but for one: features get no dictionary, which makes numbers that
    hardly repeat half as large again and slower to read.

    Args:
        folder: Where; the rows are in ``rows`` below.
        rows: How many.
        radius: Takes in about a tenth of the rows.
    """

    folder: Path
    rows: int
    radius: float

    @classmethod
    def at(cls, folder: Path) -> Files:
        """Files that were made before."""
        about = json.loads((folder / "about.json").read_text("utf-8"))
        return cls(folder, about["rows"], about["radius"])

    @classmethod
    def make(cls, folder: Path, rows: int) -> Files:
        """Write them, if they are not there already."""
        if (folder / "about.json").exists():
            found = cls.at(folder)
            if found.rows != rows:
                raise ValueError(f"{str(folder)!r} has {found.rows:,} rows, not {rows:,}")
            return found
        (folder / "rows").mkdir(parents=True, exist_ok=True)
        each = -(-rows // FILES)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda at: _write(folder / "rows", at, min(each, rows - at * each)), range(FILES)))
        draft = folder / ".about.json.part"
        draft.write_text(json.dumps({"rows": rows, "radius": _radius()}), "utf-8")
        os.replace(draft, folder / "about.json")
        return cls.at(folder)

    def judges(self, points: int) -> Points:
        """The first so many of the points that judge."""
        x, y = _rows(np.random.default_rng([1, 0]), points)
        return Points(x, y)


def _write(folder: Path, at: int, rows: int) -> None:
    rng = np.random.default_rng([2, at])
    names = [f"f{number:02d}" for number in range(FEATURES)]
    kinds = [(name, pa.float32()) for name in names]
    schema = pa.schema([*kinds, ("label", pa.int64())])
    with pq.ParquetWriter(folder / f"{at:02d}.parquet", schema, use_dictionary=["label"]) as writer:
        for start in range(0, rows, GROUP):
            x, y = _rows(rng, min(GROUP, rows - start))
            columns = [*np.ascontiguousarray(x.T), y]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=GROUP)


def _rows(rng: np.random.Generator, n: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Two classes whose means are a quarter of a standard normal vector, as in the other workloads."""
    means = 0.25 * np.random.default_rng(0).standard_normal((2, FEATURES), dtype=np.float32)
    y = rng.integers(0, 2, n)
    x = rng.standard_normal((n, FEATURES), dtype=np.float32)
    x += means[y]
    return x, y


def _radius() -> float:
    rows, points = (Points(*_rows(np.random.default_rng([seed, 9]), _SAMPLE)) for seed in (3, 4))
    return radius_for(Problem(rows, points, 2), _SHARE)
