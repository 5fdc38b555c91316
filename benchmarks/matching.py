"""The nearest training items of generated ones: against bare matrix products, FAISS, and indexes that miss some."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Finding, Pace, Rounds, Section, interleave, say, timed
from benchmarks.memory import _resident
from dataworth.kernels import matching, team
from dataworth.kernels.matching import add_credit, credit, nearest
from dataworth.kernels.neighbors import Judges, Rows, prepare
from dataworth.models.index import HNSW, IVFPQ, build

__all__ = ["measure"]

_K = 10
_COPIES = 50
_CLUSTERS, _INTRINSIC = 200, 16
_MEMORY_GOAL = 512.0
_TEXT = f"""`nearest` (exact: float32 products screen, float64 distances decide) finds the {_K} nearest training items
of every generated item, euclidean metric. *Bare GEMM* is the products of the same tiles by the same team of threads,
with nothing done to them; both start from prepared items. *FAISS* is its exact `IndexFlatL2`, with the same number of
threads. It brings a BLAS library of its own, whose kernels may not know the processor; so the race is run once more
with both libraries told to use the same kind of kernels (`OPENBLAS_CORETYPE=Haswell`). *Core time* is a ratio in
seconds of this process's cores: where it is far from the ratio, the machine was not quiet.

Items are made up like embeddings: {_CLUSTERS} clusters of unequal size, each spread in {_INTRINSIC} directions of its
own with a little noise in all; generated items are new draws from the same clusters. Nothing is known of them but
that; on other data, indexes find more or less. Indexes are built by one thread, so that the graph is the same each
time. *Recall@{_K}* is the share of the exact {_K} that they return. *{_COPIES} copies* are as many exact copies of each
of n / {_COPIES} items, where no screening can tell the {_K} nearest and every item takes a second look. *Memory* is the
greatest resident memory of a fresh process while it prepares and matches, less what was resident just before (imports,
inputs, compiled kernels); it includes the prepared copies."""

Matrix = NDArray[np.float32]


def measure(*, quick: bool) -> Section:
    n, m, d = (10_000, 2_000, 512) if quick else (50_000, 10_000, 512)
    x, made = clustered(n, m, d)
    pace = Pace(20 if quick else 120, 3, 9)
    findings = [
        *_exact(x, made, pace, goal=None if quick else 1.3),
        *_alike(n, m, d, pace),
        *_copies(x, made[: m // 5], pace),
        *_credit(m, n, pace),
        *_indexes(x, made),
    ]
    return Section("matching", "Matching generated items", _TEXT, findings)


def clustered(n: int, m: int, d: int, *, seed: int = 0) -> tuple[Matrix, Matrix]:
    """Training and generated items from one mixture of low intrinsic dimension, float32 ``(n, d)`` and ``(m, d)``."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((_CLUSTERS, d), dtype=np.float32)
    spread = rng.standard_normal((_CLUSTERS, _INTRINSIC, d), dtype=np.float32) / np.float32(2 * np.sqrt(_INTRINSIC))
    share = rng.dirichlet(np.full(_CLUSTERS, 2.0))

    def draw(size: int) -> Matrix:
        items = np.float32(0.1) * rng.standard_normal((size, d), dtype=np.float32)
        of = rng.choice(_CLUSTERS, size, p=share)
        for cluster in range(_CLUSTERS):
            mine = np.flatnonzero(of == cluster)
            place = rng.standard_normal((mine.size, _INTRINSIC), dtype=np.float32)
            items[mine] += centres[cluster] + place @ spread[cluster]
        return items

    return draw(n), draw(m)


def _ready(x: Matrix, made: Matrix, threads: int = 2) -> tuple[Rows, Judges]:
    centre = x.mean(axis=0, dtype=np.float64)
    rows = prepare(x, np.zeros(len(x), dtype=np.int64), 1, "euclidean", centre=centre, threads=threads)
    return rows, Judges.ready(rows, made, np.zeros(len(made), dtype=np.int64), centre)


def _exact(x: Matrix, made: Matrix, pace: Pace, *, goal: float | None) -> list[Finding]:
    (n, d), m = x.shape, len(made)
    shape = f"{n:,} training x {m:,} generated items x {d:,} features, k = {_K}"
    say(f"  {shape}")
    found: list[Finding] = []
    for threads in (1, 2):
        rounds, same = _race(x, made, threads, pace)
        on = f"{threads} thread{'s' if threads > 1 else ''}"
        rate = 2 * n * m * d / np.median(rounds.of("GEMM")) / 1e9
        found += [
            Finding.of(f"Bare GEMM, {on}", rounds.of("GEMM"), unit="s", group=shape, note=f"{rate:.0f} GFLOP/s"),
            Finding.of(f"nearest, {on}", rounds.of("nearest"), unit="s", group=shape),
            Finding.of(
                f"nearest over GEMM, {on}", rounds.ratio("nearest", "GEMM"), goal=goal, group=shape,
                note=f"core time {rounds.core_ratio('nearest', 'GEMM'):.2f} times",
            ),
            Finding.of(
                f"FAISS over nearest, {on}", rounds.ratio("FAISS", "nearest"), group=shape,
                note=f"core time {rounds.core_ratio('FAISS', 'nearest'):.2f} times; {_kernels()}; "
                f"{same:.3%} of its matches are the same",
            ),
        ]  # fmt: skip
    peak = _in_child(["memory", n, m, d])["mib"]
    note = f"prepared copies are {4 * (n + m) * d / 2**20:,.0f} MiB of it; all pairs would be {4 * n * m / 2**20:,.0f}"
    found.append(Finding.of("Memory, 2 threads", [peak], unit="MiB", goal=_MEMORY_GOAL, group=shape, note=note))
    return found


def _alike(n: int, m: int, d: int, pace: Pace) -> list[Finding]:
    """The same race with the same kind of matrix product on both sides."""
    say("  the same kernels of matrix multiplication")
    told = _in_child(["race", n, m, d, pace.seconds, pace.least, pace.most], OPENBLAS_CORETYPE="Haswell")
    group = f"The same with Haswell kernels for all, 2 threads ({told['kernels']} for FAISS)"
    return [
        Finding.of(f"{what} over {base}", told[f"{what} {base}"], group=group, note=f"core time {core:.2f} times")
        for what, base, core in (
            ("nearest", "GEMM", told["nearest core"]),
            ("FAISS", "nearest", told["FAISS core"]),
        )
    ]


def _race(x: Matrix, made: Matrix, threads: int, pace: Pace) -> tuple[Rounds, float]:
    """Bare products, ours and FAISS's by turns; and the share of matches on which the two agree."""
    import faiss

    rows, judges = _ready(x, made)
    flat = faiss.IndexFlatL2(x.shape[1])
    flat.add(x)
    faiss.omp_set_num_threads(threads)
    works: dict[str, Callable[[], object]] = {
        "GEMM": lambda: _bare(rows, judges, threads),
        "nearest": lambda: nearest(rows, judges, _K, threads=threads),
        "FAISS": lambda: flat.search(made, _K),
    }
    rounds = interleave({name: timed(work) for name, work in works.items()}, pace)
    same = flat.search(made, _K)[1] == nearest(rows, judges, _K, threads=threads)[0]
    return rounds, float(same.mean())


def _kernels() -> str:
    """What FAISS's own BLAS library took this processor for."""
    from threadpoolctl import threadpool_info

    own = [pool for pool in threadpool_info() if pool["user_api"] == "blas" and "faiss" in pool["filepath"]]
    return ", ".join(f"{pool['internal_api']} {pool['version']}, {pool['architecture']} kernels" for pool in own)


def _bare(rows: Rows, judges: Judges, threads: int) -> None:
    """The products that ``nearest`` makes, tile by tile, and nothing else."""
    n, m = len(rows), len(judges)
    parts, groups = matching._parts(n, m), team.blocks(m, matching._POINTS)
    scratch = [np.empty(matching._POINTS * matching._ROWS, dtype=rows.x.dtype) for _ in range(threads)]

    def products(worker: int, number: int) -> None:
        (z0, z1), (start, stop) = groups[number // len(parts)], parts[number % len(parts)]
        for a in range(start, stop, matching._ROWS):
            b = min(a + matching._ROWS, stop)
            out = scratch[worker][: (z1 - z0) * (b - a)].reshape(z1 - z0, b - a)
            np.dot(judges.x[z0:z1], rows.x[a:b].T, out=out)

    team.run(products, len(groups) * len(parts), threads)


def _copies(x: Matrix, made: Matrix, pace: Pace) -> list[Finding]:
    """What it costs when no point can be decided from its candidates."""
    kinds = {"no copies": x, "copies": np.repeat(x[: len(x) // _COPIES], _COPIES, axis=0)}
    tasks = {}
    for name, items in kinds.items():
        rows, judges = _ready(items, made)
        tasks[name] = timed(lambda rows=rows, judges=judges: nearest(rows, judges, _K, threads=2))  # type: ignore[misc]
    say(f"  {_COPIES} copies of each item")
    rounds = interleave(tasks, pace)
    note = f"core time {rounds.core_ratio('copies', 'no copies'):.2f} times"
    group = f"{len(x):,} training x {len(made):,} generated items"
    return [Finding.of(f"{_COPIES} copies over none", rounds.ratio("copies", "no copies"), group=group, note=note)]


def _credit(m: int, n: int, pace: Pace) -> list[Finding]:
    """From distances to values."""
    rng = np.random.default_rng(0)
    distance, quality = np.sort(rng.random((m, _K)), axis=1), rng.random(m)
    at = rng.integers(0, n, (m, _K))
    rounds = interleave({"credit": timed(lambda: add_credit(at, credit(distance, quality, 0.1), n))}, pace)
    return [Finding.of(f"credit and sums of {m:,} x {_K} matches", rounds.of("credit"), unit="s", group="Credit")]


def _indexes(x: Matrix, made: Matrix) -> list[Finding]:
    rows, judges = _ready(x, made)
    exact, _ = nearest(rows, judges, _K, threads=2)
    (n, d), m = x.shape, len(made)
    group = f"Approximate indexes, {n:,} training x {m:,} generated items x {d:,} features, one run"
    found: list[Finding] = []
    for name, settings in (
        ("IVFPQ, 256 lists, 8 subvectors of 8 bits, 16 probes", IVFPQ()),
        ("HNSW, 32 links", HNSW()),
    ):
        say(f"  {name}")
        index = build(x, settings, "euclidean", threads=2)
        began = time.perf_counter()
        at = index.search(made, _K)
        took = time.perf_counter() - began
        recall = float(np.mean([np.isin(a, b).mean() for a, b in zip(exact, at, strict=True)]))
        found += [
            Finding.of(f"{name}: build", [index.seconds], unit="s", group=group),
            Finding.of(f"{name}: search, 2 threads", [took], unit="s", group=group),
            Finding.of(f"{name}: recall@{_K}", [recall], unit="", group=group),
        ]
    return found


def _in_child(arguments: list[Any], **environment: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.matching", *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _child(what: str, n: int, m: int, d: int, *paces: float) -> dict[str, Any]:
    """Match one made-up problem."""
    if what == "memory":
        nearest(*_ready(*clustered(600, 50, d)), _K, threads=2)
        x, made = clustered(n, m, d)
        Path("/proc/self/clear_refs").write_text("5")
        before = _resident("VmHWM")
        nearest(*_ready(x, made), _K, threads=2)
        return {"mib": (_resident("VmHWM") - before) / 2**20}
    rounds, _ = _race(*clustered(n, m, d), 2, Pace(paces[0], int(paces[1]), int(paces[2])))
    return {
        "nearest GEMM": rounds.ratio("nearest", "GEMM"),
        "FAISS nearest": rounds.ratio("FAISS", "nearest"),
        "nearest core": rounds.core_ratio("nearest", "GEMM"),
        "FAISS core": rounds.core_ratio("FAISS", "nearest"),
        "kernels": _kernels(),
    }


if __name__ == "__main__":
    print(json.dumps(_child(sys.argv[1], *map(int, sys.argv[2:5]), *map(float, sys.argv[5:]))))
