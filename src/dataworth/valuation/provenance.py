"""What made some values, as plain facts."""

from __future__ import annotations

import platform
import time

import numpy as np

import dataworth
from dataworth.kernels.neighbors import DType

__all__ = ["provenance"]


def provenance(
    rows: int, features: int, classes: int, dtype: DType, threads: int, began: float
) -> dict[str, str | int | float]:
    """What made some values: versions, sizes, settings, and how long it took.

    Args:
        rows: How many rows were valued.
        features: How many features they have.
        classes: How many classes there are; 0 where targets are numbers.
        dtype: What distances were screened, or ranked, in.
        threads: How many threads worked.
        began: When it began, from ``time.perf_counter``.
    """
    return {
        "dataworth": dataworth.__version__,
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "rows": rows,
        "features": features,
        "classes": classes,
        "dtype": dtype,
        "threads": threads,
        "seconds": round(time.perf_counter() - began, 3),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
