"""Where a measurement was made: without it no figure can be read."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

from threadpoolctl import threadpool_info

__all__ = ["cores", "describe"]

_PACKAGES = ("dataworth", "numpy", "scipy", "numba", "scikit-learn")


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe() -> dict[str, str]:
    import numpy  # noqa: F401 - the BLAS library is listed once numpy has loaded it

    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "processor": f"{_processor()}, {cores()} cores",
        "memory": _memory(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "matrix multiplication": _blas(),
        "load when begun": f"{os.getloadavg()[0]:.2f}",
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def _blas() -> str:
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    own = [pool for pool in pools if "numpy" in pool["filepath"]]  # SciPy may have brought another
    kinds = {
        f"{pool['internal_api']} {pool['version']}, {pool.get('architecture', 'unknown')} kernels"
        for pool in own or pools
    }
    forced = [f"{name}={os.environ[name]}" for name in sorted(os.environ) if name.startswith("OPENBLAS_")]
    return "; ".join(sorted(kinds)) + (f" (forced: {', '.join(forced)})" if forced else "")
