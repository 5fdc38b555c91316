"""A data folder made on the spot: the 2DPlanes generator, and a set with few rows of one class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from dataworth.papers.datasets import SOURCES, Dataset, Pool


def planes(rows: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """2DPlanes as its authors generate it: two planes that the first feature chooses between, and unit noise."""
    random = np.random.default_rng(seed)
    x = random.integers(-1, 2, size=(rows, 10)).astype(np.float64)
    x[:, 0] = random.choice([-1.0, 1.0], size=rows)
    first = 3 + 3 * x[:, 1] + 2 * x[:, 2] + x[:, 3]
    second = -3 + 3 * x[:, 4] + 2 * x[:, 5] + x[:, 6]
    target = np.where(x[:, 0] == 1, first, second) + random.standard_normal(rows)
    return x, (target < target.mean()).astype(np.int64)


def rare(rows: int, few: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Two clouds, one with ``few`` rows."""
    random = np.random.default_rng(seed)
    y = (random.permutation(rows) < few).astype(np.int64)
    return random.standard_normal((rows, 5)) * 3 + 2 * y[:, None], y


def dataset(name: str, x: NDArray[Any], y: NDArray[np.int64], held_out: Pool | None = None) -> Dataset:
    return Dataset(SOURCES[name], Pool(x, y), held_out, "made")


def write_table(folder: Path, name: str, x: NDArray[Any], y: NDArray[np.int64]) -> None:
    columns = {f"f{at}": pa.array(column.astype(np.float32)) for at, column in enumerate(x.T)}
    (folder / name).mkdir()
    pq.write_table(pa.table({**columns, "label": pa.array(y.astype(np.int8))}), folder / name / f"{name}.parquet")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_table(folder, "2dplanes", *planes(40_768, seed=1))
    write_table(folder, "fraud", *rare(6_000, 300, seed=2))
    return folder
