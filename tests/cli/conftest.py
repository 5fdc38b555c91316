"""A small data set on disk and the command run as a shell would, in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataworth.cli import main


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: Any) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        assert isinstance(stopped.value.code, int)
        return Outcome(stopped.value.code, printed.out, printed.err)

    return call


def blobs(n: int, seed: int, wrong: int = 0) -> pa.Table:
    """Two well separated classes; the first rows carry the other class's label."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    centres = np.array([[3.0, 0.5], [0.5, 3.0]])
    x = centres[truth] + rng.normal(scale=0.4, size=(n, 2))
    bad = np.arange(n) < wrong
    names = np.array(["cat", "dog"])[np.where(bad, 1 - truth, truth)]
    return pa.table(
        {
            "name": [f"row-{i}" for i in range(n)],
            "who": [f"owner-{i % 3}" for i in range(n)],
            "a": x[:, 0],
            "b": x[:, 1],
            "y": names,
            "wrong": bad,
        }
    )


@pytest.fixture
def train(tmp_path: Path) -> Path:
    path = tmp_path / "train.parquet"
    pq.write_table(blobs(60, seed=1, wrong=6), path)
    return path


@pytest.fixture
def validation(tmp_path: Path) -> Path:
    path = tmp_path / "validation.parquet"
    pq.write_table(blobs(30, seed=2).select(["a", "b", "y"]), path)
    return path
