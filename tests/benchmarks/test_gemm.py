from __future__ import annotations

import numpy as np
import pytest

from benchmarks import gemm, machine
from benchmarks.workloads import overlapping
from dataworth.kernels.neighbors import Judges, prepare, products


@pytest.mark.parametrize("threads", [1, 2])
def test_the_bare_product_does_the_whole_work(threads: int) -> None:
    problem = overlapping(3000, 20, 8, 3)
    rows = prepare(problem.train.x, problem.train.y, 3, "cosine")
    judges = Judges.ready(rows, problem.validation.x, problem.validation.y, None)
    panel = np.full((20, 3000), np.nan, dtype=np.float32)
    gemm._fill(rows, judges, panel, threads)
    np.testing.assert_allclose(panel, -products(rows, judges), atol=1e-6)


def test_the_machine_is_named() -> None:
    told = machine.describe()
    assert set(told) >= {"date", "processor", "packages", "matrix multiplication"}
    assert f"{machine.cores()} cores" in told["processor"]
    assert "numpy" in told["packages"]
