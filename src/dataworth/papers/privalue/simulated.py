"""One federation, both games: what copies say, calibrated in several ways, beside what the real data say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataworth.kernels.calibration import kendall, permutation_p, relative_error, spearman, total_error
from dataworth.papers.privalue.federations import Federation
from dataworth.records import Budget, Package, Points, Row, Shares
from dataworth.records.files import whole_file
from dataworth.synthesis.protocol import Synthesizer
from dataworth.valuation.calibration import Calibration, recalibrate
from dataworth.valuation.coalitions import solve_game
from dataworth.valuation.fidelity import answer, ask
from dataworth.valuation.games import RidgeAccuracy
from dataworth.valuation.providers import value_providers
from dataworth.valuation.synthesizing import synthesize

__all__ = ["FIDELITY_SHARE", "Found", "Outcome", "simulate"]

FIDELITY_SHARE = Decimal(1) / 16  # of epsilon, for the two counts of agreement; the copies get the rest


@dataclass(frozen=True)
class Found:
    """How near one way of dividing comes to the real values.

    Args:
        values: Of the providers.
        relative: Mean over providers of the error as a part of the real value.
        total: All errors together as a part of all real values together.
        spearman: Rank correlation; None where ranks do not exist.
        kendall: Kendall's tau-b; None likewise.
        p: Of the rank correlation, by permutation.
    """

    values: tuple[float, ...]
    relative: float
    total: float
    spearman: float | None
    kendall: float | None
    p: float | None

    @classmethod
    def of(cls, values: Sequence[float] | NDArray[np.float64], real: NDArray[np.float64]) -> Found:
        """Values set against the real ones."""
        flat = np.asarray(values, dtype=np.float64)
        return cls(
            tuple(flat.tolist()), relative_error(flat, real), total_error(flat, real), spearman(flat, real),
            kendall(flat, real), permutation_p(flat, real),
        )  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What one federation came to.

    Args:
        real: Shapley values of the game of the real data.
        real_accuracy: Of the model trained on all real rows.
        copied_accuracy: Of the model trained on all copies.
        ways: By name, how near each way of dividing comes.
    """

    real: tuple[float, ...]
    real_accuracy: float
    copied_accuracy: float
    ways: Mapping[str, Found]

    def to_json(self) -> str:
        """Plain text, numbers in full."""
        return json.dumps(
            {
                "real": self.real,
                "real_accuracy": self.real_accuracy,
                "copied_accuracy": self.copied_accuracy,
                "ways": {name: list(found.values) for name, found in self.ways.items()},
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        """The inverse: measures follow from the values."""
        plain = json.loads(text)
        real = np.array(plain["real"])
        return cls(
            tuple(plain["real"]),
            plain["real_accuracy"],
            plain["copied_accuracy"],
            {name: Found.of(values, real) for name, values in plain["ways"].items()},
        )


def simulate(
    federation: Federation,
    synthesizer: Synthesizer,
    spend: Budget,
    calibrations: Mapping[str, Calibration],
    utility: RidgeAccuracy,
    *,
    folder: Path,
    progress: bool | None = None,
) -> Outcome:
    """Make every provider's copy and value the providers on the copies and on their real rows.

    Copies are made, packed, asked about and valued by the very functions that providers and coordinators use, with
    seeded noise in place of a ledger, as the data are public. A finished federation is kept in the folder.

    Args:
        federation: Providers with real rows.
        synthesizer: What each provider uses.
        spend: What each spends: a sixteenth of epsilon on fidelity, the rest on the copy. A copy that ships its own
            counts and one that is asked by the union of copies each cost this much; they share the rows.
        calibrations: What to weigh with, by name; fidelity by the union.
        utility: What a coalition is worth.
        folder: Where what was made is kept.
        progress: Show a progress bar.
    """
    copies = _key(federation, {"by": synthesizer.describe(), "spend": str(spend)})
    ways_asked = {name: str(calibration) for name, calibration in calibrations.items()}
    kept = folder / f"{_key(federation, {'copies': copies, 'utility': repr(utility), **ways_asked})}.json"
    if kept.is_file():
        return Outcome.from_json(kept.read_text(encoding="utf-8"))
    test = federation.pools.seen(federation.pools.test)
    real = solve_game(
        utility.game([federation.pools.seen(player) for player in federation.players], test),
        federation.names,
        folder=folder,
        key="real",
        progress=progress,
    )
    packages = [
        _seen(_copy(federation, at, synthesizer, spend, folder / copies, progress), federation)
        for at in range(len(federation.players))
    ]
    own = value_providers(packages, test, utility=utility, folder=folder, progress=progress)
    question = ask(packages, model=utility)
    answers = [
        answer(
            question,
            federation.pools.seen(player),
            provider=name,
            epsilon=spend.epsilon * FIDELITY_SHARE,
            ledger=None,
            unit=Row(),
            insecure_seed=_noise(federation, at, 1),
        )
        for at, (name, player) in enumerate(zip(federation.names, federation.players, strict=True))
    ]
    union = value_providers(packages, test, utility=utility, answers=answers, folder=folder, progress=progress)
    ways = {"none": own.uncalibrated, "uniform": own.uniform, "own": own.values}
    ways |= {name: _values(union, calibration) for name, calibration in calibrations.items()}
    outcome = Outcome(
        tuple(real.values.tolist()),
        real.full,
        own.coalitions.full,
        {name: Found.of(values, real.values) for name, values in ways.items()},
    )
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(kept) as temporary:
        temporary.write_text(outcome.to_json(), encoding="utf-8")
    return outcome


def _values(shares: Shares, calibration: Calibration) -> NDArray[np.float64]:
    return recalibrate(shares, calibration).values


def _copy(
    federation: Federation, at: int, synthesizer: Synthesizer, spend: Budget, folder: Path, progress: bool | None
) -> Package:
    return synthesize(
        federation.players[at],
        provider=federation.names[at],
        classes=np.unique(federation.pools.test.y).tolist(),
        synthesizer=synthesizer,
        spend=spend,
        fidelity="own",
        fidelity_epsilon=spend.epsilon * FIDELITY_SHARE,
        image_shape=federation.pools.image_shape,
        folder=folder / f"provider-{at + 1}",
        unit=Row(),
        insecure_seed=_noise(federation, at, 0),
        seed=federation.seed,
        progress=progress,
    )


def _seen(package: Package, federation: Federation) -> Package:
    """The package with its rows as coalitions are judged by: any function of a copy is as private as the copy."""
    if package.points is None or federation.pools.image_shape is None:
        return package
    rows = Points(federation.pools.view(package.points.x), package.points.y)
    return replace(package, points=rows, image_shape=None)


def _noise(federation: Federation, at: int, purpose: int) -> int:
    """The seed of a provider's noise."""
    return int(np.random.SeedSequence([federation.seed, at, purpose]).generate_state(1)[0])


def _key(federation: Federation, more: Mapping[str, str]) -> str:
    about = {"set": federation.pools.name, "split": federation.split, "seed": federation.seed, **more}
    digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=12)
    for player in federation.players:
        digest.update(np.ascontiguousarray(player.x).tobytes() + player.y.astype("<i8").tobytes())
    return digest.hexdigest()
