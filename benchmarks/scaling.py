"""How cost grows with the number of rows, as a picture and as a slope."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Finding, Pace, Section, interleave, say, timed
from benchmarks.workloads import overlapping, radius_for
from dataworth import KNNShapley, ThresholdKNNShapley, value_points

__all__ = ["measure"]

_POINTS = 100
_FEATURES = (10, 64)
_FROM = 10_000  # below, the cost of a call is most of the time
_TEXT = f"""`value_points` end to end, 2 threads, {_POINTS} validation points, two classes, cosine metric, K = 5, a
radius that takes in a tenth of the rows. The slope is that of log time by least squares over n >= {_FROM:,}:
against log n for TKNN, against log (n log n) for KNN; 1 is linear, and n log n. Sizes that outgrow a cache push it
up, fixed costs pull it down."""
_PICTURE = "scaling.svg"


def measure(*, quick: bool, folder: Path | None = None) -> Section:
    sizes = (1_000, 10_000, 30_000, 100_000) if quick else (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
    curves: dict[str, list[float]] = {}
    findings: list[Finding] = []
    for d in _FEATURES:
        group = f"{d} features"
        seconds: dict[str, list[list[float]]] = {"TKNN": [], "KNN": []}
        for n in sizes:
            say(f"  {n:,} rows, {d} features")
            problem = overlapping(n, _POINTS, d)
            methods = {"TKNN": ThresholdKNNShapley(radius_for(problem, 0.1)), "KNN": KNNShapley(k=5)}

            def work(name: str, problem=problem, methods=methods) -> Callable[[], object]:  # type: ignore[no-untyped-def]
                return lambda: value_points(
                    problem.train, problem.validation, method=methods[name], threads=2, progress=False
                )

            rounds = interleave({name: timed(work(name)) for name in methods}, Pace(2 if quick else 15, 5, 41))
            for name in methods:
                seconds[name].append(rounds.of(name))
                curves.setdefault(f"{name}, {d} features", []).append(float(np.median(rounds.of(name))))
        for name, model in (("TKNN", np.array(sizes, float)), ("KNN", np.array(sizes) * np.log(sizes))):
            middle = [float(np.median(each)) for each in seconds[name]]
            against = "n" if name == "TKNN" else "n log n"
            findings.append(
                Finding.of(
                    f"{name}: slope against {against}", [_slope(sizes, model, middle)], unit="", goal=1.1, group=group
                )
            )
        for name in ("TKNN", "KNN"):
            findings.append(Finding.of(f"{name} at {sizes[-1]:,} rows", seconds[name][-1], unit="s", group=group))
    if folder is not None:
        _draw(sizes, curves, folder / _PICTURE)
    return Section("scaling", "Cost by number of rows", _TEXT, findings, picture=_PICTURE if folder else "")


def _slope(sizes: Sequence[int], model: NDArray[np.float64], seconds: Sequence[float]) -> float:
    keep = np.asarray(sizes) >= _FROM
    return float(np.polyfit(np.log(model[keep]), np.log(np.asarray(seconds)[keep]), 1)[0])


def _draw(sizes: Sequence[int], curves: dict[str, list[float]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "dataworth"  # the same figures draw the same file
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    colours = {"TKNN": "#1f77b4", "KNN": "#d95f02"}
    for name, seconds in curves.items():
        style = "-" if name.endswith(f" {_FEATURES[0]} features") else "--"
        axes.plot(
            sizes, seconds, style, marker="o", markersize=4, color=colours[name.split(",", maxsplit=1)[0]], label=name
        )
    n = np.asarray(sizes, dtype=float)
    for label, model, through in (
        ("n", n, curves[f"TKNN, {_FEATURES[0]} features"][-1]),
        ("n log n", n * np.log(n), curves[f"KNN, {_FEATURES[0]} features"][-1]),
    ):
        axes.plot(sizes, model / model[-1] * through, ":", color="#777777", linewidth=1)
        axes.annotate(f" {label}", (n[-1], through), color="#555555", fontsize=9, va="center")
    axes.set(xscale="log", yscale="log", xlabel="training rows", ylabel=f"seconds for {_POINTS} validation points")
    axes.margins(x=0.12)  # room for the names of the dotted lines
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    figure.savefig(draft, format="svg", metadata={"Date": None})
    plt.close(figure)
    os.replace(draft, path)
