"""The kernels against the least that any exact method must do: the matrix product of the same tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.measure import Finding, Pace, Section, interleave, say, timed
from benchmarks.workloads import Problem, overlapping, radius_for
from dataworth import KNNShapley, ThresholdKNNShapley, value_points
from dataworth.kernels import knn, neighbors, team
from dataworth.kernels.knn import knn_values, soft_from_fixed
from dataworth.kernels.neighbors import Judges, Rows, link, prepare
from dataworth.kernels.threshold import add_links, point_weights
from dataworth.valuation.methods import PointMethod

__all__ = ["measure"]

_K = 5
_SHARE = 0.1  # of the rows are neighbours of a validation point
_TEXT = f"""Time of a kernel over time of *bare GEMM*: the float32 products of the same tiles by the same team of
threads, with nothing done to them. Both start from prepared rows (sorted by class, float32). TKNN's tiles stay in
cache (*GEMM*); KNN's fill a panel of distances, as it must see a point's distances together (*panel GEMM*). Beside
them, one `numpy.matmul` of everything (BLAS's own threads, the full matrix written to memory), and `value_points` end
to end, which also prepares the rows. Cosine metric, K = {_K}; the radius takes in about a tenth of the rows. KNN is
both games from one pass. Classes overlap: their means are a quarter of a standard normal vector. *Core time* is the
same ratio in seconds of this process's cores: where it is far from the ratio, the machine was not quiet."""


def measure(*, quick: bool) -> Section:
    large = (50_000, 5_000, 1024, 10, 1.25, 1.35) if not quick else (10_000, 1_000, 1024, 10, None, None)
    shapes: list[tuple[int, int, int, int, float | None, float | None]] = [
        large,  # rows, points, features, classes, goals for TKNN and KNN
        (100_000, 100, 100, 2, 1.5, 5.0),
        (100_000, 100, 10, 2, 3.0, 17.0),
    ]
    findings: list[Finding] = []
    for n, m, d, n_classes, tknn_goal, knn_goal in shapes:
        problem = overlapping(n, m, d, n_classes)
        say(f"  {problem.shape}")
        findings += _workload(problem, tknn_goal, knn_goal, Pace(15 if quick else 60, 3 if quick else 5))
    return Section("gemm", "Kernels against bare matrix multiplication", _TEXT, findings)


def _workload(problem: Problem, tknn_goal: float | None, knn_goal: float | None, pace: Pace) -> list[Finding]:
    radius = radius_for(problem, _SHARE)
    codes, point_codes = problem.train.y, problem.validation.y
    rows = prepare(problem.train.x, codes, problem.n_classes, "cosine")
    judges = Judges.ready(rows, problem.validation.x, point_codes, None)
    n, m, d = len(rows), len(judges), rows.x.shape[1]
    whole = np.empty((m, n), dtype=np.float32)

    def tknn(threads: int) -> None:
        links = link(rows, judges, radius, threads=threads)
        same, other = point_weights(links.n_same, links.n_other, problem.n_classes)
        add_links(rows, links.bits, point_codes, same, other, np.zeros(n), threads=threads)

    def both_games(threads: int) -> None:
        fixed = knn_values(rows, judges, point_codes, _K, threads=threads)
        soft_from_fixed(fixed, codes, point_codes, _K, problem.n_classes)

    def matmul(threads: int) -> None:
        with threadpool_limits(threads, "blas"):
            np.matmul(judges.x, rows.x.T, out=whole)

    methods: dict[str, PointMethod] = {"TKNN": ThresholdKNNShapley(radius=radius), "KNN": KNNShapley(k=_K)}

    def end_to_end(method: str) -> Callable[[int], None]:
        def run(threads: int) -> None:
            value_points(problem.train, problem.validation, method=methods[method], threads=threads, progress=False)

        return run

    works: dict[str, Callable[[int], None]] = {
        "GEMM": lambda threads: _bare(rows, judges, threads),
        "panel GEMM": lambda threads: _bare_panels(rows, judges, threads),
        "matmul": matmul,
        "TKNN": tknn,
        "KNN": both_games,
        "value_points TKNN": end_to_end("TKNN"),
        "value_points KNN": end_to_end("KNN"),
    }
    tasks = {
        f"{name} {threads}": timed(lambda work=work, threads=threads: work(threads))  # type: ignore[misc]
        for name, work in works.items()
        for threads in (1, 2)
    }
    rounds = interleave(tasks, pace)

    links = link(rows, judges, radius, threads=2)
    pairs = n * m
    share = float(links.n_same.sum() + links.n_other.sum()) / pairs
    group = (
        f"{problem.shape}, {problem.n_classes} classes "
        f"(radius {radius:g}: {share:.1%} neighbours, {links.near / pairs:.1e} close calls)"
    )
    found: list[Finding] = []
    for threads in (1, 2):
        base, on = f"GEMM {threads}", f"{threads} thread{'s' if threads > 1 else ''}"
        rate = 2 * pairs * d / np.median(rounds.of(base)) / 1e9
        found += [
            Finding.of(f"Bare GEMM, {on}", rounds.of(base), unit="s", group=group, note=f"{rate:.0f} GFLOP/s"),
            Finding.of(f"One matmul over GEMM, {on}", rounds.ratio(f"matmul {threads}", base), group=group),
        ]
        for name, product, goal in (("TKNN", "GEMM", tknn_goal), ("KNN", "panel GEMM", knn_goal)):
            task, own = f"{name} {threads}", f"{product} {threads}"
            extra = np.median(np.subtract(rounds.core_seconds[task], rounds.core_seconds[own])) / pairs * 1e9
            note = f"core time {rounds.core_ratio(task, own):.2f} times; {extra:.1f} ns a pair beyond the product"
            whole_job = rounds.ratio(f"value_points {task}", own)
            found += [
                Finding.of(f"{name} over {product}, {on}", rounds.ratio(task, own), goal=goal, group=group, note=note),
                Finding.of(f"value_points {name} over {product}, {on}", whole_job, group=group),
            ]
        found.append(Finding.of(f"KNN over GEMM, {on}", rounds.ratio(f"KNN {threads}", base), group=group))
        if n >= 100_000:
            found.append(
                Finding.of(
                    f"TKNN over KNN, {on}", rounds.ratio(f"TKNN {threads}", f"KNN {threads}"), goal=0.5, group=group
                )
            )
    for name in ("GEMM", "TKNN", "KNN"):
        held = name != "GEMM" and d >= 100 and n >= 50_000
        found.append(
            Finding.of(
                f"{name}: 1 thread over 2",
                rounds.ratio(f"{name} 1", f"{name} 2"),
                sign=">=",
                goal=1.6 if held else None,
                group=group,
            )
        )
    return found


def _bare_panels(rows: Rows, judges: Judges, threads: int) -> None:
    """The products that ``knn_values`` makes, into a panel of distances as it holds them, and nothing else."""
    panels = knn._panels(len(rows), len(judges), 4)
    memory = np.empty((panels[0][1], len(rows)), dtype=rows.x.dtype)
    for first, past in panels:
        _fill(rows, judges.take(first, past), memory[: past - first], threads)


def _fill(rows: Rows, judges: Judges, panel: NDArray[Any], threads: int) -> None:
    tiles = neighbors._tiles(len(rows), len(judges))

    def tile(_: int, number: int) -> None:
        z0, z1, i0, i1 = tiles[number]
        np.matmul(judges.x[z0:z1], rows.x[i0:i1].T, out=panel[z0:z1, i0:i1])

    team.run(tile, len(tiles), threads)


def _bare(rows: Rows, judges: Judges, threads: int) -> None:
    """The products that ``link`` makes, tile by tile, and nothing else."""
    tiles = neighbors._tiles(len(rows), len(judges))
    most = max((z1 - z0) * (i1 - i0) for z0, z1, i0, i1 in tiles)
    scratch = [np.empty(most, dtype=rows.x.dtype) for _ in range(threads)]

    def tile(worker: int, number: int) -> None:
        z0, z1, i0, i1 = tiles[number]
        out = scratch[worker][: (z1 - z0) * (i1 - i0)].reshape(z1 - z0, i1 - i0)
        np.dot(judges.x[z0:z1], rows.x[i0:i1].T, out=out)

    team.run(tile, len(tiles), threads)
