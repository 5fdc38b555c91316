"""Small providers, a small synthesizer and packages made by hand, for the tests of both sides."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.privacy.events import events_to_json
from dataworth.privacy.kinds import DeclaredRelease, DisjointCounts, Event, Histograms
from dataworth.privacy.ledger import Ledger
from dataworth.privacy.mechanisms import NoisyCounts, Source, round_sigma_up
from dataworth.records import Budget, Fidelity, Guarantee, Package, Points, Relation, Row, Unit
from dataworth.records.files import whole_file
from dataworth.synthesis.protocol import Synthetic

CLASSES = ["ill", "well"]
SPEND = Budget(4, "1e-5")
PROMISE = Guarantee(SPEND, Row(), "add_or_remove", joint=False)
DECLARED = tuple(events_to_json([DeclaredRelease(SPEND.epsilon, SPEND.delta)]))


def rows(n: int, seed: int = 0, wrong: float = 0.0, names: Sequence[str] | None = ("age", "dose")) -> Points:
    """Two classes side by side in [0, 1]^2."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, 2))
    well = (x[:, 0] > 0.5) != (rng.random(n) < wrong)
    return Points(x, np.where(well, "well", "ill"), features=names)


def events_of(halves: int, spend: Budget, unit: Unit, relation: Relation) -> tuple[Event, ...]:
    """Histograms with more noise than they need: the classical bound spares looking for the least."""
    moved = unit.rows * math.sqrt(halves * (2 if relation == "replace" else 1))
    sigma = moved * math.sqrt(2 * math.log(1.25 / float(spend.delta))) / min(float(spend.epsilon), 4.0)
    return (Histograms(round_sigma_up(sigma), votes=1, rounds=halves),)


@dataclass(frozen=True)
class Grid:
    """A noisy histogram over classes and the cells of a public grid on [0, 1]^2, and rows drawn from it.

    Args:
        cells: Along each side.
        size: Rows to make.
        halves: How many histograms, one after another, their counts added: so that there is a middle to stop in.
        stop: Called before each of them, for tests.
    """

    cells: int = 4
    size: int = 60
    halves: int = 1
    stop: Callable[[int], None] | None = field(default=None, compare=False)

    def events(self, spend: Budget, *, unit: Unit, relation: Relation) -> tuple[Event, ...]:
        return events_of(self.halves, spend, unit, relation)

    def synthesize(
        self,
        x: NDArray[Any],
        codes: NDArray[np.int64],
        n_classes: int,
        *,
        events: Sequence[Event],
        source: Source,
        seed: int = 0,
        folder: Path | None = None,
        progress: bool | None = None,
    ) -> Synthetic:
        (event,) = events
        assert isinstance(event, Histograms)
        inside = np.clip(np.floor(np.clip(x, 0, 1) * self.cells), 0, self.cells - 1).astype(np.int64)
        bins = codes * self.cells**2 + inside[:, 0] * self.cells + inside[:, 1]
        clean = np.bincount(bins, minlength=n_classes * self.cells**2)
        total = np.zeros(clean.size, dtype=np.int64)
        for number in range(self.halves):
            kept = None if folder is None else folder / f"{number}.npy"
            if self.stop is not None:
                self.stop(number)
            if kept is not None and kept.exists():
                noisy = np.load(kept)
            else:
                noisy = source.add_noise(clean, event.sigma).counts
                if kept is not None:
                    with whole_file(kept) as temporary, temporary.open("wb") as file:
                        np.save(file, noisy)
            total += noisy
        weight = np.maximum(total, 0) + 1e-9
        rng = np.random.default_rng(seed)
        drawn = rng.choice(clean.size, self.size, p=weight / weight.sum())
        where = np.stack([drawn % self.cells**2 // self.cells, drawn % self.cells], axis=1)
        made = ((where + rng.random((self.size, 2))) / self.cells).astype(np.float32)
        return Synthetic(made, drawn // self.cells**2)

    def describe(self) -> str:
        return f"Grid(cells={self.cells}, size={self.size}, halves={self.halves})"


class Fixed:
    """A source whose noisy counts are the same whatever is counted; it notes what that was."""

    private = False

    def __init__(self, high: int = 30) -> None:
        self._high = high
        self.seen: list[NDArray[np.int64]] = []

    def add_noise(self, counts: NDArray[Any], sigma: Fraction) -> NoisyCounts:
        return self._answer(counts, sigma)

    def add_laplace(self, counts: NDArray[Any], scale: Fraction) -> NoisyCounts:
        return self._answer(counts, scale)

    def draw_bits(self, number: int, probability: Fraction) -> NDArray[np.bool_]:
        raise AssertionError("nothing here is subsampled")

    def _answer(self, counts: NDArray[Any], scale: Fraction) -> NoisyCounts:
        self.seen.append(np.array(counts))
        noisy = np.random.default_rng(len(self.seen)).integers(0, self._high, counts.shape)
        return NoisyCounts(noisy.astype(np.int64), scale, private=False)


def package_of(name: str, points: Points | None, **other: Any) -> Package:
    """A package made by hand of rows that are as they are."""
    given: dict[str, Any] = {"classes": np.array(CLASSES), "events": () if points is None else DECLARED} | other
    return Package(name, points, guarantee=given.pop("guarantee", PROMISE), synthesizer="by hand", **given)


def own_counts(agree: int, disagree: int, scale: int = 4) -> dict[str, Any]:
    """What a package with counts of agreement has more than another: the counts, and that they are declared."""
    promise = Guarantee(Budget("0.25", "1e-5"), Row(), "add_or_remove", joint=False)
    rest = DeclaredRelease(SPEND.epsilon - promise.budget.epsilon, SPEND.delta)
    events = events_to_json([rest, DisjointCounts(Fraction(scale))])
    return {"fidelity": Fidelity(agree, disagree, Fraction(scale), promise), "events": tuple(events)}


def new_ledger(path: Path, epsilon: str = "10", unit: Unit | None = None) -> Ledger:
    """A ledger of its own."""
    return Ledger.create(path, budget=Budget(epsilon, "1e-3"), unit=unit or Row(), population="patients")


def killed(*_: Any) -> None:
    """End this process as a power cut would."""
    os._exit(9)
