"""Rows in files, too many for memory: against the least that must be done, and against what the formulas say."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import psutil

from benchmarks.cost import Cost, Rates, Run, fitted
from benchmarks.measure import Finding, Section, say
from benchmarks.scale_files import FEATURES, FILES, GROUP, Files
from benchmarks.scale_run import RUNS
from dataworth.valuation.part_memory import PROGRAM

__all__ = ["Measured", "measure", "on_paper", "predicted"]

_POINTS, _FEW = 1_000, 100
_FITTED = 1_000_000  # rows that the rates are measured with
_LOOK = 0.1  # seconds between looks at the memory of all processes
_PICTURE = "scale.svg"
_NAMES = {
    "kept": "2 threads, links kept",
    "twice": "2 threads, links found twice",
    "dask": "Dask, 2 workers, a cluster made for the run",
    "dask-there": "Dask, 2 workers that are there",
}
_TEXT = f"""`value_source` from Parquet: {FEATURES} float32 columns and a label, {FILES} files, row groups of at most
{GROUP:,} rows, pyarrow's own settings but no dictionary for features; {_POINTS:,} validation points, cosine metric, a
radius that takes in a tenth of the rows, `memory="2GiB"`. Files are in the page cache: all were read once just before.
Every run is a process of its own, and the things compared take turns; a run over {8 * 64} rows came before, so compiled
code is loaded. Where a cluster is made for the run, its start is in the figure. Files and values go where temporary
files go, and take 6 GB there.

*The limit* is two bare reads and two bare products, whether links are kept or not. A bare read: two threads decode all
columns of a part at a time with pyarrow and drop them. A bare product: the float32 products of the tiles of all parts,
by two threads, with nothing done to them. *In rows* is the same where columns are also put side by side into one
matrix, without which there is no product. Memory is the greatest resident memory of the process from its start, or the
greatest sum over all processes, seen every {_LOOK} s, of what each had at most so far, with what they share counted in
each.

*Predicted* is by the formulas of [what a run costs](theory/cost.md), with rates from {_FITTED:,} rows: two runs with
{_POINTS:,} and with {_FEW} points, the bare work of both, and a run over next to nothing. Bytes are those of calls of
the system; bytes over the network are all that went over this machine's own in that time."""


@dataclass
class Measured:
    """What runs over one number of rows took, by run; a list has an entry a round."""

    rows: int
    limits: list[dict[str, float]] = field(default_factory=list)
    runs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def seconds(self, run: str, phase: str = "all") -> list[float]:
        return [found["seconds"][phase] for found in self.runs[run]]

    def limit(self, read: str = "columns") -> list[float]:
        """Two reads and two products."""
        return [2 * (found[read] + found["product"]) for found in self.limits]

    def ratio(self, run: str, read: str = "columns") -> list[float]:
        """Round by round, over the limit."""
        return [a / b for a, b in zip(self.seconds(run), self.limit(read), strict=True)]

    def cost(self, run: str, points: int = _POINTS) -> Cost:
        """What the formulas say of a run."""
        made = run.startswith("dask")
        part_rows = int(self.runs[run][0]["part rows"])
        return Cost(
            self.rows, FEATURES, points, links_kept=run != "twice", processes=2 if made else 1, part_rows=part_rows
        )


def measure(*, quick: bool, folder: Path | None = None, files: Path | None = None) -> Section:
    """Measure, draw into ``folder``, and leave what was written in ``files``, if it is named."""
    sizes = {100_000: 1, 300_000: 1} if quick else {100_000: 2, _FITTED: 2, 10_000_000: 1}  # rows: rounds
    between = () if quick else (300_000, 3_000_000)  # for the picture: one round of one run
    at = max(sizes) if quick else _FITTED
    found: dict[int, Measured] = {}
    with tempfile.TemporaryDirectory() if files is None else nullcontext(files) as place:
        for rows in sorted([*sizes, *between]):
            say(f"  writing {rows:,} rows")
            made = Files.make(Path(place, str(rows)), rows)
            names = RUNS if rows in sizes else ("kept",)
            found[rows] = _rounds(made, names, sizes.get(rows, 1))
            if rows == at:
                few = _rounds(made, ("kept",), sizes[at], points=_FEW)
    rates = _rates(found[at], few)
    if folder is not None:
        _draw(found, rates, folder / _PICTURE)
    compared = [found[rows] for rows in sizes]
    findings = [finding for one in compared for finding in _against_limits(one, goals=one.rows == 10_000_000)]
    findings += _growth(found)
    findings += _rates_found(rates, at)
    findings += [finding for one in compared for finding in predicted(one, rates)]
    findings += on_paper(rates)
    slopes = "; ".join(f"{finding.what} {finding.middle:.2f}" for finding in findings if finding.what.endswith("slope"))
    alt = f"Seconds against rows, measured and predicted, on a linear and on a logarithmic scale. {slopes}"
    return Section("scale", "Rows in files", _TEXT, findings, picture=_PICTURE if folder else "", alt=alt)


# -- runs ------------------------------------------------------------------------------------------


def _rounds(files: Files, runs: Sequence[str], rounds: int, points: int = _POINTS) -> Measured:
    measured = Measured(files.rows, runs={name: [] for name in runs})
    turns = Random(0)  # noqa: S311 - who follows whom, nothing secret
    for number in range(rounds):
        for name in turns.sample(["limits", *runs], len(runs) + 1):
            began = time.perf_counter()
            one = _process(name, files.folder, points)
            say(f"  {files.rows:,} rows, {points:,} points, round {number + 1} of {rounds}, {name}: "
                f"{one['seconds']['all'] if name in runs else one['columns'] + one['product']:.2f} s "
                f"({time.perf_counter() - began:.0f} s with its process)")  # fmt: skip
            (measured.limits if name == "limits" else measured.runs[name]).append(one)
    digests = {one["digest"] for found in measured.runs.values() for one in found}
    if len(digests) > 1:
        raise RuntimeError(f"runs over {files.rows:,} rows gave different values: {digests}")
    return measured


def _process(name: str, folder: Path, points: int) -> dict[str, Any]:
    """A run in a process of its own, with the greatest memory of it and all that it began."""
    command = [sys.executable, "-m", "benchmarks.scale_run", name, str(folder), str(points)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child, _watched(child.pid) as peak:
        said, _ = child.communicate()
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return {**json.loads(said), "mib of all": peak[0] / 2**20}


@contextmanager
def _watched(pid: int) -> Iterator[list[int]]:
    """The greatest sum, over the processes that live at a time, of what each had at most so far."""
    peak, done = [0], threading.Event()

    def look() -> None:
        root = psutil.Process(pid)
        while not done.wait(_LOOK):
            try:
                alive = [root, *root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            peak[0] = max(peak[0], sum(_most_resident(process.pid) for process in alive))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def _most_resident(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


# -- findings --------------------------------------------------------------------------------------


def _against_limits(one: Measured, *, goals: bool) -> list[Finding]:
    group = f"{one.rows:,} rows"
    limits = one.limits
    findings = [
        Finding.of("A bare read", [each["columns"] for each in limits], unit="s", group=group),
        Finding.of("A bare read in rows", [each["rows"] for each in limits], unit="s", group=group),
        Finding.of("The bare products", [each["product"] for each in limits], unit="s", group=group,
                   note=f"{2 * one.rows * _POINTS * FEATURES / _middle(limits, 'product') / 1e9:.0f} GFLOP/s"),
        Finding.of("The limit", one.limit(), unit="s", group=group),
    ]  # fmt: skip
    for run, name in _NAMES.items():
        phases = ", ".join(
            f"{phase} {statistics.median(one.seconds(run, key)):.3g} s"
            for phase, key in (("survey", "survey"), ("first pass", "first"), ("second", "second"))
        )
        in_rows = statistics.median(one.ratio(run, "rows"))
        goal = 1.5 if goals and run in ("kept", "twice") else None
        findings += [
            Finding.of(name, one.seconds(run), unit="s", group=group, note=phases),
            Finding.of(f"{name}, over the limit", one.ratio(run), goal=goal, group=group,
                       note=f"{in_rows:.2f} times the limit in rows"),
        ]  # fmt: skip
        if run.startswith("dask"):
            speed = [local / dask for local, dask in zip(one.seconds("kept"), one.seconds(run), strict=True)]
            said = f"{name}: speed over that of 2 threads"
            findings.append(Finding.of(said, speed, sign=">=", goal=0.8 if goals else None, group=group))
    for run, name in _NAMES.items():
        peaks = [each["mib of all" if run.startswith("dask") else "mib"] for each in one.runs[run]]
        findings.append(
            Finding.of(f"{name}: memory", peaks, unit="MiB", goal=2048.0 if goals else None, group=group)
        )  # fmt: skip
    return findings


def _growth(found: Mapping[int, Measured]) -> list[Finding]:
    """The slope of log seconds against log rows."""
    group = f"Growth from {min(found):,} to {max(found):,} rows"
    findings = []
    for run, name in _NAMES.items():
        there = [one for one in found.values() if run in one.runs]
        seconds = [statistics.median(one.seconds(run)) for one in there]
        slope = np.polyfit(np.log([one.rows for one in there]), np.log(seconds), 1)[0]
        findings.append(
            Finding.of(f"{name}: slope", [float(slope)], unit="", goal=1.1, group=group, note="1 is linear")
        )
    return findings


def _rates(many: Measured, few: Measured) -> Rates:
    begin = {
        phase: statistics.median(one["begin"][phase] for one in many.runs["kept"])
        for phase in ("survey", "first", "second", "all")
    }
    runs = [
        Run(
            measured.cost("kept", points),
            {phase: statistics.median(measured.seconds("kept", phase)) for phase in ("survey", "first", "second")},
            _middle(measured.limits, "rows"),
            _middle(measured.limits, "product"),
        )
        for measured, points in ((many, _POINTS), (few, _FEW))
    ]
    return fitted(runs[0], runs[1], begin)


def _rates_found(rates: Rates, rows: int) -> list[Finding]:
    group = f"Rates of one core while both work, measured at {rows:,} rows"
    told = [
        ("To begin and end", 1e3 * rates.begin, "ms", "whatever the rows"),
        ("Survey", 1e9 * rates.survey_byte, "ns", "a byte of the files"),
        ("Read in rows", 1e9 * rates.read_byte, "ns", "a byte of the files"),
        ("Product", 1e-9 / rates.flop, "GFLOP/s", ""),
        ("First pass", 1e9 * rates.link_row, "ns", "a row, beyond read and product"),
        ("First pass", 1e9 * rates.link_pair, "ns", "a pair, beyond read and product"),
        ("Second pass", 1e9 * rates.value_row, "ns", "a row, links kept"),
        ("Second pass", 1e9 * rates.value_pair, "ns", "a pair, links kept"),
    ]
    return [Finding.of(what, [figure], unit=unit, group=group, note=note) for what, figure, unit, note in told]


def predicted(one: Measured, rates: Rates) -> list[Finding]:
    """What the formulas say over what was measured."""
    group = f"Predicted over measured, {one.rows:,} rows"
    findings = []
    for run in ("kept", "twice"):
        cost, name = one.cost(run), _NAMES[run]
        read, written = (statistics.median(each[what] for each in one.runs[run]) for what in ("read", "written"))
        mib = max(each["mib"] for each in one.runs[run])
        seconds = rates.seconds(cost)
        findings += [
            Finding.of(f"{name}: seconds", [seconds / each for each in one.seconds(run)], group=group,
                       note=f"{seconds:.3g} s predicted"),
            Finding.of(f"{name}: bytes read", [cost.bytes_read / read], group=group,
                       note=f"{read / 1e9:.3g} GB measured"),
            Finding.of(f"{name}: bytes written", [cost.bytes_written / written], group=group,
                       note=f"{written / 1e9:.3g} GB measured"),
            Finding.of(f"{name}: memory", [cost.memory / 2**20 / mib], sign=">=", goal=1.0, group=group,
                       note="what is planned for; more than is taken"),
        ]  # fmt: skip
    links = one.runs["kept"][0]["links"]
    findings.append(
        Finding.of(
            "Links on the disk", [one.cost("kept").link_bytes / links], group=group, note=f"{links / 1e9:.3g} GB"
        )
    )
    run, cost = "dask-there", one.cost("dask-there")
    mib, loop = (statistics.median(each[what] for each in one.runs[run]) for what in ("mib of all", "loopback"))
    tasks = one.runs[run][0]["tasks"]
    findings += [
        Finding.of(f"{_NAMES[run]}: memory", [(cost.memory + PROGRAM) / 2**20 / mib], sign=">=", goal=1.0, group=group,
                   note="of all processes; the caller's is added, in which no job runs"),
        Finding.of(f"{_NAMES[run]}: bytes over the network", [(cost.sent_bytes + cost.returned_bytes) / loop],
                   group=group, note=f"{loop / 1e6:.3g} MB measured, {loop / tasks / 1e3:.3g} kB a task"),
        Finding.of(f"{_NAMES[run]}: tasks", [cost.tasks / tasks], group=group, note=f"{tasks} measured"),
    ]  # fmt: skip
    return findings


def on_paper(rates: Rates, rows: int = 1_000_000_000) -> list[Finding]:
    """What many rows would take: on two cores, and on 16 machines of 4 with one file system."""
    findings = []
    settings = [
        ("2 cores, files at 1 GB/s", 1, 2, 1e9),
        ("16 workers of 4 cores, files at 1 GB/s in all", 16, 64, 1e9),
        ("16 workers of 4 cores, files at 10 GB/s in all", 16, 64, 1e10),
    ]
    for name, processes, workers, rate in settings:
        group = f"On paper: {rows:,} rows, {_POINTS:,} points, {FEATURES} features; {name}"
        kept = Cost(rows, FEATURES, _POINTS, workers=workers, processes=processes)
        cores = workers // processes
        for cost in (kept, replace(kept, links_kept=False)):
            how = "links kept" if cost.links_kept else "links found twice"
            survey, passes = rates.seconds_from(cost, rate, cores)
            core_hours = (rates.survey(cost) + rates.link(cost) + rates.add(cost)) / 3600
            files = f"{cost.bytes_read / 1e9:,.0f} GB read, {cost.bytes_written / 1e9:,.0f} GB written"
            findings.append(
                Finding.of(f"All, {how}", [(survey + passes) / 60], unit="min", group=group,
                           note=f"survey {survey / 60:.3g} min; {core_hours:.3g} hours of cores; {files}")
            )  # fmt: skip
        each = kept.memory / processes / 2**20
        messages = kept.sent_bytes + kept.returned_bytes
        findings += [
            Finding.of("Links on the disk", [kept.link_bytes / 1e9], unit="GB", group=group),
            Finding.of(
                "Memory of each process", [each], unit="MiB", group=group, note=f"{cores} parts at a time in each"
            ),
            Finding.of("Tasks", [float(kept.tasks)], unit="", group=group, note=f"parts of {kept.part_rows:,} rows"),
        ]
        if processes > 1:
            findings.append(
                Finding.of("Messages", [messages / 1e6], unit="MB", group=group,
                           note="points, weights and counts; rows and links go between workers and files alone")
            )  # fmt: skip
    return findings


def _middle(figures: Sequence[Mapping[str, float]], name: str) -> float:
    return statistics.median(each[name] for each in figures)


# -- picture ---------------------------------------------------------------------------------------


def _draw(found: Mapping[int, Measured], rates: Rates, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "dataworth"  # the same figures draw the same file
    from matplotlib import pyplot as plt

    figure, both = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
    colours = {"kept": "#1f77b4", "twice": "#d95f02", "dask": "#7570b3", "dask-there": "#1b9e77"}
    for axes, scale in zip(both, ("linear", "log"), strict=True):
        for run, colour in colours.items():
            there = [one for one in found.values() if run in one.runs]
            rows, seconds = [one.rows for one in there], [statistics.median(one.seconds(run)) for one in there]
            axes.plot(rows, seconds, "-", marker="o", markersize=4, color=colour, label=_NAMES[run])
            if run in ("kept", "twice"):
                said = [rates.seconds(one.cost(run)) for one in there]
                axes.plot(rows, said, ":", marker="x", color=colour, label=f"{_NAMES[run]}: predicted")
        limit = [statistics.median(one.limit()) for one in found.values()]
        axes.plot(list(found), limit, "--", color="#777777", label="two bare reads, two bare products")
        axes.set(
            xscale=scale, yscale=scale, xlabel="training rows", ylabel=f"seconds for {_POINTS:,} validation points"
        )
        axes.grid(True, which="major", alpha=0.3)
    both[0].legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    figure.savefig(draft, format="svg", metadata={"Date": None})
    plt.close(figure)
    os.replace(draft, path)
