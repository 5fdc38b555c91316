"""Peak memory of a valuation in a process of its own, beyond its inputs and one float32 copy of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import Finding, Section, say
from benchmarks.workloads import overlapping, radius_for

__all__ = ["measure"]

_RUNS = 3
_TEXT = """Greatest resident memory during `value_points` (2 threads) in a fresh process, less what was resident just
before (imports, inputs, compiled kernels) and less one float32 copy of the features. The kernels were called once on
a small set beforehand; the high-water mark is the kernel's own (`VmHWM`), set back to the current size just before.
A float32 matrix of all pairs would be the size noted."""


def measure(*, quick: bool) -> Section:
    shapes = (
        [(10_000, 1_000, 1024, 10), (100_000, 1_000, 64, 2)]
        if quick
        else [(50_000, 5_000, 1024, 10), (1_000_000, 1_000, 64, 2)]
    )
    findings: list[Finding] = []
    for n, m, d, n_classes in shapes:
        group = f"{n:,} rows x {m:,} points x {d:,} features"
        say(f"  {group}")
        for method in ("TKNN", "KNN"):
            size = [str(number) for number in (n, m, d, n_classes)]
            command = [sys.executable, "-m", "benchmarks.memory", method, *size]
            peaks = []
            for _ in range(1 if quick else _RUNS):
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                peaks.append(float(json.loads(done.stdout)["mib"]))
            matrix = f"all pairs: {4 * n * m / 2**20:,.0f} MiB"
            findings.append(Finding.of(method, peaks, unit="MiB", goal=256.0, group=group, note=matrix))
    return Section("memory", "Memory", _TEXT, findings)


def _child(name: str, n: int, m: int, d: int, n_classes: int) -> None:
    """Value one made-up problem and print the peak."""
    from dataworth import KNNShapley, ThresholdKNNShapley, value_points

    problem = overlapping(n, m, d, n_classes)
    method = ThresholdKNNShapley(radius=radius_for(problem, 0.1)) if name == "TKNN" else KNNShapley(k=5)
    small = overlapping(500, 50, d, n_classes)
    value_points(small.train, small.validation, method=method, threads=2, progress=False)
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident("VmHWM")
    value_points(problem.train, problem.validation, method=method, threads=2, progress=False)
    copy = 4 * (n + m) * d
    print(json.dumps({"mib": (_resident("VmHWM") - before - copy) / 2**20}))


def _resident(field: str) -> int:
    """Bytes, from the kernel's account of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"this system does not tell {field}; the memory benchmark needs Linux")


if __name__ == "__main__":
    _child(sys.argv[1], *(int(number) for number in sys.argv[2:]))
