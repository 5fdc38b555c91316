"""How things are timed, and what a measurement says.

Machines are shared and clocks drift, so nothing is compared across runs: the things compared take turns in
rounds, a ratio is formed inside each round, and the median of the rounds is the figure.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["Finding", "Pace", "Rounds", "Section", "Task", "interleave", "say", "timed"]

Task = Callable[[], float]
"""Does its work once and returns the seconds that took."""


def say(line: str) -> None:
    """Tell whoever waits what is being measured."""
    print(line, file=sys.stderr, flush=True)


def timed(work: Callable[[], object]) -> Task:
    """Wall-clock seconds of one call."""

    def task() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return task


@dataclass(frozen=True)
class Pace:
    """How many rounds: as many as fit in ``seconds``, but at least ``least`` and at most ``most``."""

    seconds: float
    least: int = 5
    most: int = 41

    def rounds(self, one_round: float) -> int:
        return int(min(self.most, max(self.least, self.seconds // max(one_round, 1e-9))))


@dataclass(frozen=True)
class Rounds:
    """Seconds of each task in each round, by the clock and of this process's cores."""

    seconds: Mapping[str, Sequence[float]]
    core_seconds: Mapping[str, Sequence[float]]

    def of(self, task: str) -> list[float]:
        return list(self.seconds[task])

    def ratio(self, task: str, base: str) -> list[float]:
        """How many times longer ``task`` took than ``base``, round by round."""
        return [t / b for t, b in zip(self.seconds[task], self.seconds[base], strict=True)]

    def core_ratio(self, task: str, base: str) -> float:
        """The median ratio of core seconds: what is left of a ratio when others take the cores away."""
        pairs = zip(self.core_seconds[task], self.core_seconds[base], strict=True)
        return statistics.median(t / b for t, b in pairs)


def interleave(tasks: Mapping[str, Task], pace: Pace) -> Rounds:
    """Run every task in every round, in an order of its own, after a warm-up round that is not counted."""
    names = list(tasks)
    turns = random.Random(0)  # noqa: S311 - who follows whom, nothing secret
    began = time.perf_counter()
    for name in names:
        _settle()
        tasks[name]()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    core_seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(pace.rounds(time.perf_counter() - began)):
        for name in turns.sample(names, len(names)):
            _settle()
            spent = time.process_time()
            seconds[name].append(tasks[name]())
            core_seconds[name].append(time.process_time() - spent)
    return Rounds(seconds, core_seconds)


def _settle() -> None:
    """Wait until no thread of ours is busy: those of a BLAS library spin for 0.1 s after a product they shared."""
    busy = True
    while busy:
        spent = time.process_time()
        time.sleep(0.01)
        busy = time.process_time() - spent > 0.002


@dataclass(frozen=True)
class Finding:
    """One measured figure, with the goal it is held against, if there is one.

    Args:
        what: What was measured.
        middle: The median.
        low: The least of all rounds.
        high: The greatest.
        unit: ``"x"`` for a ratio, ``"s"``, ``"MiB"`` or nothing.
        sign: Whether the goal is a ceiling or a floor.
        goal: The figure aimed at.
        group: The table it belongs in, where a section has several.
        note: What one should know to read it.
    """

    what: str
    middle: float
    low: float
    high: float
    unit: str = "x"
    sign: Literal["<=", ">="] = "<="
    goal: float | None = None
    group: str = ""
    note: str = ""

    @classmethod
    def of(cls, what: str, figures: Sequence[float], **about: Any) -> Finding:
        return cls(what, statistics.median(figures), min(figures), max(figures), **about)

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.middle <= self.goal if self.sign == "<=" else self.middle >= self.goal


@dataclass(frozen=True)
class Section:
    """What one benchmark found, and where and when.

    Args:
        name: As on the command line.
        title: Of its part of the page.
        text: What was done.
        findings: All figures.
        picture: A file beside the results.
        machine: Where it was measured.
        alt: What the picture shows, in words; all findings, if nothing is said.
    """

    name: str
    title: str
    text: str
    findings: Sequence[Finding]
    picture: str = ""
    machine: Mapping[str, str] = field(default_factory=dict)
    alt: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Section:
        return cls(**{**given, "findings": [Finding(**finding) for finding in given["findings"]]})
