"""Calibration: what providers are worth, from the game of their synthetic copies, fidelity and utility.

The formula is our own, published nowhere else; ``docs/theory/calibration.md`` has it with what it cannot do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtri

from dataworth.errors import DataError, InputError, MethodError
from dataworth.kernels.calibration import Terms, fit_weights, parts_of_one, scaled_total, spearman, spread, weigh
from dataworth.privacy.accounting import calibrate_laplace
from dataworth.privacy.mechanisms import InsecureSource
from dataworth.records import Budget, Coalitions, Evidence, Fidelity, Guarantee, Points, Row, Shares, Table
from dataworth.records.privacy import Amount
from dataworth.records.sealed import digest_of
from dataworth.valuation.coalitions import solve_game
from dataworth.valuation.fidelity import LEAST_DELTA, noisy_agreement
from dataworth.valuation.games import RidgeAccuracy, Utility
from dataworth.valuation.task import bar, check_same_kind, class_list, encode

if TYPE_CHECKING:
    from dataworth.synthesis.protocol import Synthesizer

__all__ = ["Calibration", "learn_calibration", "recalibrate"]

TERMS = "calibration-terms"
"""The name of the table of ``s``, ``f``, ``u`` and ``w`` in the evidence of shares."""

_SUM = 1e-9
_SEEDS = 10**6  # any synthesizer takes seeds below it
_ALIKE = 1.25  # largest over smallest value: below it nobody can be told apart in the settings that were measured

NEVER_EXACT = (
    "Shares are never exact: they come from synthetic copies, and how far they are from the values of the real data "
    "is not known here."
)
DECLARED = "Budgets and noisy counts are declared by the providers; the coordinator cannot verify them."


@dataclass(frozen=True)
class Calibration:
    """How values of the synthetic game, fidelity and utility become calibrated values.

    Args:
        alpha: Weight of the Shapley values of the synthetic game; 1 leaves shares uncalibrated.
        beta: Weight of fidelity, agreement with private labels beyond chance.
        gamma: Weight of utility, what a copy is worth alone beyond chance.
        scale: Of what real data gain to what synthetic copies gain, learned from public data; 1 if there are none.
        signed: Keep values below zero. An idea that was not tested; without it harmful providers get zero.

    Raises:
        MethodError: Weights below zero or not summing to 1, or a scale that is not above zero.

    Example:
        >>> import dataworth as dw, numpy as np
        >>> members = np.array([[False, False], [True, False], [False, True], [True, True]])
        >>> tried = dw.Coalitions(
        ...     ("a", "b"), members, np.array([[0.5], [0.7], [0.6], [0.9]]), floor=0.5, full=0.9,
        ...     alone=np.array([0.7, 0.6]), values=np.array([0.25, 0.15]), errors=np.zeros(2), exact=True,
        ...     utility="by hand",
        ... )
        >>> shares = Calibration().apply(tried, [0.2, 0.3])
        >>> shares.shares.round(3).tolist(), round(shares.total, 3)
        ([0.57, 0.43], 0.4)
        >>> recalibrate(shares, Calibration(1, 0, 0)).values.round(3).tolist()
        [0.25, 0.15]
    """

    alpha: float = 0.4
    beta: float = 0.3
    gamma: float = 0.3
    scale: float = 1.0
    signed: bool = False

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "gamma", "scale"):
            given = getattr(self, name)
            if isinstance(given, bool) or not isinstance(given, int | float | np.number) or not math.isfinite(given):
                raise MethodError(f"{name} must be a finite number, not {given!r}")
            object.__setattr__(self, name, float(given))
        below = [name for name in ("alpha", "beta", "gamma") if getattr(self, name) < 0]
        if below:
            raise MethodError(f"the weights of a calibration must not be below zero, but {', '.join(below)} is")
        total = self.alpha + self.beta + self.gamma
        if abs(total - 1) > _SUM:
            added = f"{self.alpha:g} + {self.beta:g} + {self.gamma:g}"
            raise MethodError(f"alpha, beta and gamma must sum to 1, but {added} is {total:.12g}")
        if not self.scale > 0:
            raise MethodError(f"scale must be above zero, not {self.scale:g}")
        if not isinstance(self.signed, bool):
            raise MethodError(f"signed must be True or False, not {self.signed!r}")

    def __str__(self) -> str:
        figures = ", ".join(f"{name}={getattr(self, name):.4g}" for name in ("alpha", "beta", "gamma", "scale"))
        return f"Calibration({figures}{', signed' if self.signed else ''})"

    @property
    def mix(self) -> tuple[float, float, float]:
        """``(alpha, beta, gamma)``."""
        return self.alpha, self.beta, self.gamma

    def apply(
        self,
        coalitions: Coalitions,
        fidelity: ArrayLike,
        *,
        fidelity_errors: ArrayLike | None = None,
        empty: Sequence[str] = (),
        spent: Sequence[Guarantee | None] | None = None,
        ceiling: float = 1.0,
        flags: Sequence[str] = (),
        provenance: Mapping[str, str | int | float] | None = None,
        evidence: Sequence[Evidence] = (),
    ) -> Shares:
        """Calibrated values of the players of a game that was solved.

        Args:
            coalitions: The game of the synthetic copies.
            fidelity: ``F_i``, agreement with private labels beyond chance, ``(P,)``; NaN where there was no answer.
            fidelity_errors: Their standard errors, ``(P,)``; if not given, they are not known.
            empty: Names of the players that declared themselves empty; they get zero exactly.
            spent: What each spent, ``P`` guarantees; without it nothing is known to protect any of them.
            ceiling: The highest utility that there is: 1 for accuracy.
            flags: Sentences that a reader must know first, from whoever made the packages.
            provenance: Versions, settings, time.
            evidence: Tables and exhibits for a report.

        Raises:
            InputError: Arrays of other lengths, names that are no player's, nobody who is not empty, or a ceiling that
                is not above the utility of nobody.
            MethodError: A term that alone has weight is missing.
        """
        players = coalitions.players
        unknown = np.full(len(players), np.nan)
        found = _flat(fidelity, "fidelity", players)
        errors = unknown if fidelity_errors is None else _flat(fidelity_errors, "fidelity_errors", players)
        promised = (None,) * len(players) if spent is None else tuple(spent)
        strange = len(set(empty) - set(players))
        if strange:
            raise InputError(f"{strange} of {len(set(empty))} empty providers are no players of the game")
        present = np.array([name not in set(empty) for name in players], dtype=np.bool_)
        if not present.any():
            raise InputError("every provider declared itself empty; there is nothing to divide")
        room = ceiling - coalitions.floor
        if not room > 0:
            raise InputError(f"ceiling must be above the utility of nobody, {coalitions.floor:g}, not {ceiling:g}")
        found, errors = np.where(present, found, np.nan), np.where(present, errors, np.nan)
        utility = np.where(present, np.maximum(coalitions.alone - coalitions.floor, 0.0), 0.0)
        gain = coalitions.full - coalitions.floor
        terms = weigh(coalitions.values, found, utility, self.mix, present, signed=self.signed)
        total = float(scaled_total(gain, self.scale, room))
        values = terms.weights * total
        spreads = spread(
            (coalitions.values, coalitions.errors),
            (found, errors),
            (utility, _alone_errors(coalitions)),
            (gain, _error_of(coalitions, np.ones(len(players), dtype=np.bool_))),
            self.mix,
            present,
            scale=self.scale,
            room=room,
            signed=self.signed,
        )
        shares = Shares(
            providers=players,
            values=values,
            errors=spreads,
            uncalibrated=coalitions.values,
            total=total,
            fidelity=found,
            utility=utility,
            calibration=str(self),
            coalitions=coalitions,
            spent=promised,
            provenance=provenance or {},
            evidence=(_table(players, terms, found), *evidence),
            empty=tuple(name for name in players if name in set(empty)),
            fidelity_errors=errors,
            ceiling=float(ceiling),
        )
        own = _flags(shares, terms, self)
        return replace(shares, flags=(*own[:1], *flags, *own[1:]) if shares.stamp else (*flags, *own))


def recalibrate(shares: Shares, calibration: Calibration) -> Shares:
    """The same coalition values, fidelity and budgets with another calibration; nothing is trained or asked again.

    Args:
        shares: What was valued before.
        calibration: The other one.

    Example:
        >>> import dataworth as dw, numpy as np
        >>> members = np.array([[False, False], [True, False], [False, True], [True, True]])
        >>> tried = dw.Coalitions(
        ...     ("a", "b"), members, np.array([[0.5], [0.7], [0.6], [0.9]]), floor=0.5, full=0.9,
        ...     alone=np.array([0.7, 0.6]), values=np.array([0.25, 0.15]), errors=np.zeros(2), exact=True,
        ...     utility="by hand",
        ... )
        >>> shares = dw.Calibration().apply(tried, [0.2, 0.3])
        >>> dw.recalibrate(shares, dw.Calibration(0, 1, 0)).shares.round(3).tolist()
        [0.4, 0.6]
    """
    again = calibration.apply(
        shares.coalitions,
        shares.fidelity,
        fidelity_errors=shares.fidelity_errors,
        empty=shares.empty,
        spent=shares.spent,
        ceiling=shares.ceiling,
        provenance=shares.provenance,
        evidence=[piece for piece in shares.evidence if piece.name != TERMS],
    )
    # What whoever made the packages had to say still holds; what the old calibration said of itself need not.
    said = [flag for flag in shares.flags if not flag.startswith(_OPENINGS)]
    first = again.flags[:1] if again.stamp else ()
    return replace(again, flags=(*first, *said, *again.flags[len(first) :]))


# -- what a reader must know -----------------------------------------------------------------------

_NOT_PRIVATE = "NOT PRIVATE: "
_IID = "Providers can hardly be told apart: "
_NOTHING = "The synthetic copies of all providers together are worth no more than none: "
_CEILING = "The scaled gain is above what can be gained at all: "
_NEGATIVE = "The synthetic game gives a value below zero to "
_LEVEL = "No provider is above zero in "
_DISAGREE = "Fidelity and the synthetic game order the providers in opposite ways"
_MISSING = "There is no answer on fidelity from "
_ERRORS = "Standard errors are not known: "
_SAMPLED = "Coalitions were sampled: "

_OPENINGS = (
    _NOT_PRIVATE, _IID, _NOTHING, _CEILING, _NEGATIVE, _LEVEL, _DISAGREE, _MISSING, _ERRORS, _SAMPLED,
    NEVER_EXACT, DECLARED,
)  # fmt: skip


def _flags(shares: Shares, terms: Terms, calibration: Calibration) -> list[str]:
    tried, present = shares.coalitions, shares.present
    flags = []
    if shares.stamp:
        flags.append(f"{_NOT_PRIVATE}nothing is known to protect the data of some provider.")
    if not tried.full > tried.floor:
        flags.append(f"{_NOTHING}every value is zero, and shares are equal parts.")
    elif calibration.scale * (tried.full - tried.floor) > shares.ceiling - tried.floor:
        flags.append(f"{_CEILING}it was cut to {shares.total:.3g}.")
    alike = _alike(shares)
    if alike:
        flags.append(f"{_IID}{alike}. Ranks mean nothing here; the uniform split is as good.")
    below = [name for name, value in zip(shares.providers, tried.values, strict=True) if value < 0]
    if below:
        kept = "kept, as signed values were asked for" if calibration.signed else "counted as zero"
        flags.append(f"{_NEGATIVE}{_names(below)}: adding such a copy makes the model worse. It is {kept}.")
    level = _level(shares, calibration)
    if level:
        flags.append(f"{_LEVEL}{_names(level)}: there, everyone got an equal part.")
    answered = present & ~np.isnan(shares.fidelity)
    if calibration.beta and answered.sum() > 2:
        order = spearman(tried.values[answered], shares.fidelity[answered])
        if order is not None and order < 0:
            flags.append(f"{_DISAGREE} (rank correlation {order:.2f}); one of the two misleads.")
    silent = [name for name, quiet in zip(shares.providers, present & ~answered, strict=True) if quiet]
    if silent and calibration.beta:
        flags.append(
            f"{_MISSING}{_names(silent)}: weighed by the other terms alone. Who expects little agreement gains by not "
            "answering."
        )
    if np.isnan(shares.errors[present]).any():
        flags.append(f"{_ERRORS}two repeats of the game or more, and the noise of fidelity, would give them.")
    if not tried.exact:
        flags.append(f"{_SAMPLED}{len(tried.members):,} of 2^{len(shares)} were tried.")
    if any(promise is not None for promise in shares.spent):
        flags.append(DECLARED)
    return [*flags, NEVER_EXACT]


def _alike(shares: Shares) -> str:
    """Why values do not tell providers apart, in words; nothing if they do."""
    values, errors = shares.values[shares.present], shares.errors[shares.present]
    if values.size < 2 or not shares.total > 0:
        return ""
    # The spread that noise alone exceeds once in twenty times.
    most = np.mean(errors**2) * chdtri(values.size - 1, 0.05)
    if not np.isnan(errors).any() and errors.any() and (values.size - 1) * values.var(ddof=1) <= most:
        return "their values differ by no more than their standard errors explain"
    if values.min() > 0 and values.max() < _ALIKE * values.min():
        return f"the largest value is {values.max() / values.min():.2f} times the smallest"
    return ""


def _level(shares: Shares, calibration: Calibration) -> list[str]:
    """The terms in which nobody who counts is above zero."""
    present = shares.present
    known = np.nan_to_num(shares.fidelity[present])
    answered = bool((~np.isnan(shares.fidelity[present])).any())
    terms = {
        "the synthetic game": (calibration.alpha, shares.coalitions.values[present]),
        "fidelity": (calibration.beta if answered else 0.0, known),
        "utility": (calibration.gamma, shares.utility[present]),
    }
    return [name for name, (weight, figures) in terms.items() if weight and not (figures > 0).any()]


def _names(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _table(players: Sequence[str], terms: Terms, fidelity: NDArray[np.float64]) -> Table:
    f: list[Any] = [None if math.isnan(F) else part for part, F in zip(terms.fidelity.tolist(), fidelity, strict=True)]
    return Table(
        TERMS,
        "What each weight is made of",
        {
            "provider": players,
            "s: synthetic game": terms.value.tolist(),
            "f: fidelity": f,
            "u: utility": terms.utility.tolist(),
            "w: weight": terms.weights.tolist(),
        },
        note="Each term is divided into parts of one; the weight is their mix, and divides the total.",
    )


# -- standard errors of what the game says ---------------------------------------------------------


def _alone_errors(tried: Coalitions) -> NDArray[np.float64]:
    """Of what each is worth alone; 0 where nothing was repeated, as errors of the values then say what is known."""
    return np.array([_error_of(tried, one) for one in np.eye(len(tried.players), dtype=np.bool_)])


def _error_of(tried: Coalitions, coalition: NDArray[np.bool_]) -> float:
    repeats = tried.utilities.shape[1]
    at = np.flatnonzero((tried.members == coalition).all(axis=1))
    if repeats < 2 or at.size == 0:
        return 0.0
    return float(tried.utilities[at[0]].std(ddof=1) / np.sqrt(repeats))


def _flat(figures: ArrayLike, name: str, players: Sequence[str]) -> NDArray[np.float64]:
    array = np.asarray(figures, dtype=np.float64)
    if array.shape != (len(players),):
        raise InputError(f"{name} must have one entry for each of {len(players)} providers, not shape {array.shape}")
    if np.isinf(array).any():
        raise InputError(f"{name} must be finite, or NaN where it is not known")
    return array


# -- learning from public data ---------------------------------------------------------------------


def learn_calibration(
    public: Points,
    validation: Points,
    *,
    synthesizer: Synthesizer,
    sizes: Sequence[int],
    spend: Budget,
    utility: Utility,
    mocks: int = 3,
    label_noise: tuple[float, float] = (0.0, 0.6),
    fidelity_epsilon: Amount = "0.25",
    model: RidgeAccuracy | None = None,
    seed: int = 0,
    fixed_weights: bool = False,
    progress: bool | None = None,
    folder: Path | None = None,
) -> Calibration:
    """Learn scale and weights where the truth is known: from public rows, dealt out to make-believe providers.

    Of each make-believe federation the real game and that of the synthetic copies are solved. The scale is the mean
    ratio of what everyone together gains in the two; the weights are those that bring the three terms nearest to the
    real shares. Noise is seeded: the rows are public.

    Args:
        public: Public rows, none of them a validation point; their labels are those of the validation points.
        validation: The rows that judge.
        synthesizer: The one that the providers use.
        sizes: How many rows each provider declares; scaled down together if there are too few public rows.
        spend: What each provider spends on its synthetic copy alone.
        utility: What a coalition is worth; the one the providers are valued by.
        mocks: How many federations.
        label_noise: Providers of a federation get other labels in shares from the first to the second of these numbers,
            evenly spaced, in random order.
        fidelity_epsilon: What each provider spends on the two counts of fidelity.
        model: Asked for fidelity, trained on all synthetic copies; a ``RidgeAccuracy()`` if not given.
        seed: Of everything random.
        fixed_weights: Learn the scale alone and keep the default weights.
        progress: Show a progress bar; None shows it on a terminal only.
        folder: Where intermediate results are kept, so that a stopped run can go on; None keeps nothing.

    Raises:
        DataError: Too few public rows, or labels that no validation point has.
        MethodError: Sizes, mocks or label noise out of range, copies that are worth nothing at this budget, or terms
            that do not follow the truth.

    Example:
        >>> import dataworth as dw, numpy as np
        >>> rng = np.random.default_rng(0)
        >>> y = np.repeat([0, 1], 300)
        >>> x = rng.normal(size=(600, 2)) + 2 * y[:, None]
        >>> pool, judges = dw.Points(x[::2], y[::2]), dw.Points(x[1::2], y[1::2])
        >>> learned = dw.learn_calibration(
        ...     pool, judges, synthesizer=dw.PrivateEvolution(dw.EmbeddingCandidates(pool.x), population=20),
        ...     sizes=[100, 200], spend=dw.Budget(4, 1e-5), utility=dw.RidgeAccuracy(), mocks=2,
        ...     label_noise=(0.0, 0.3), progress=False,
        ... )
        >>> round(learned.alpha + learned.beta + learned.gamma, 6), 0.5 < learned.scale < 2
        (1.0, True)
    """
    judge = RidgeAccuracy() if model is None else model
    codes, classes = _codes(public, validation)
    dealt = _dealt(len(public), sizes)
    low, high = label_noise
    if not 0 <= low <= high <= 1:
        raise MethodError(f"label_noise must be two numbers from 0 to 1, the lower first, not {label_noise!r}")
    if isinstance(mocks, bool) or not isinstance(mocks, int) or mocks < 1:
        raise MethodError(f"mocks must be a whole number above zero, not {mocks!r}")
    scale = calibrate_laplace(fidelity_epsilon, unit=Row(), relation="add_or_remove")
    promise = Guarantee(Budget(fidelity_epsilon, LEAST_DELTA), Row(), "add_or_remove", private=False, joint=False)
    events = synthesizer.events(spend, unit=Row(), relation="add_or_remove")
    about = {"seed": seed, "dealt": dealt, "noise": [low, high], "spend": str(spend), "by": synthesizer.describe()}
    digest = digest_of(about, {"x": public.x, "codes": codes})[:24]
    place = None if folder is None else Path(folder) / digest
    found = []
    with bar(mocks * len(dealt), "Mock providers", progress) as tick:
        for mock in range(mocks):
            rng = np.random.default_rng([seed, mock])
            here = None if place is None else place / f"mock-{mock}"
            real, copies = _federation(codes, dealt, (low, high), len(classes), rng), []
            for i, (rows, labels) in enumerate(real):
                copies.append(
                    synthesizer.synthesize(
                        public.x[rows],
                        labels,
                        len(classes),
                        events=events,
                        source=InsecureSource(int(rng.integers(_SEEDS))),
                        seed=int(rng.integers(_SEEDS)),
                        folder=_made(here, f"provider-{i + 1}"),
                        progress=False,
                    )
                )
                tick(1)
            games = {
                "real": [Points(public.x[rows], classes[labels]) for rows, labels in real],
                "synthetic": [Points(copy.x, classes[copy.codes]) for copy in copies],
            }
            solved = {
                name: solve_game(
                    utility.game(sets, validation),
                    tuple(f"mock provider {i + 1}" for i in range(len(dealt))),
                    seed=seed,
                    folder=_made(here, "games"),
                    key=f"{digest}-{mock}-{name}",
                    progress=False,
                )
                for name, sets in games.items()
            }
            union = (np.concatenate([copy.x for copy in copies]), np.concatenate([copy.codes for copy in copies]))
            trained, source = judge.fit(*union, len(classes)), InsecureSource(int(rng.integers(_SEEDS)))
            counts = [noisy_agreement(trained, public.x[rows], labels, scale, source).tolist() for rows, labels in real]
            fidelity = np.array([Fidelity(agree, disagree, scale, promise).rate for agree, disagree in counts])
            found.append(_lesson(solved["real"], solved["synthetic"], fidelity - 1 / len(classes), mock))
    ratios, terms, truth = zip(*found, strict=True)
    factor = float(np.mean(ratios))
    if fixed_weights:
        return Calibration(scale=factor)
    alpha, beta, gamma = fit_weights(np.concatenate(terms), np.concatenate(truth)).tolist()
    return Calibration(alpha, beta, gamma, scale=factor)


def _lesson(
    real: Coalitions, synthetic: Coalitions, fidelity: NDArray[np.float64], mock: int
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """What one federation teaches: its ratio of gains, the three terms of each player, and its true shares."""
    gains = [game.full - game.floor for game in (real, synthetic)]
    if not min(gains) > 0:
        which = "real public rows" if not gains[0] > 0 else "synthetic copies of public rows"
        raise MethodError(
            f"in federation {mock + 1}, the {which} are worth no more than nothing, so no scale can be learned; give "
            "more rows, or a larger budget"
        )
    everyone = np.ones(len(real.players), dtype=np.bool_)
    alone = synthetic.alone - synthetic.floor
    found = weigh(synthetic.values, fidelity, alone, Calibration().mix, everyone)
    terms = np.stack([found.value, found.fidelity, found.utility], axis=1)
    return gains[0] / gains[1], terms, parts_of_one(real.values, everyone)


def _made(folder: Path | None, name: str) -> Path | None:
    """A folder within another, made if need be."""
    if folder is None:
        return None
    (folder / name).mkdir(parents=True, exist_ok=True)
    return folder / name


def _codes(public: Points, validation: Points) -> tuple[NDArray[np.int64], NDArray[Any]]:
    classes = class_list(validation, None)
    check_same_kind(public.y, classes, "labels of public rows")
    codes = encode(public.y, classes)
    strange = int((codes < 0).sum())
    if strange:
        raise DataError(f"{strange} of {len(public)} public rows have a label that no validation point has")
    if public.x.shape[1] != validation.x.shape[1]:
        raise DataError(f"public rows have {public.x.shape[1]} features, but validation points {validation.x.shape[1]}")
    return codes, classes


def _dealt(available: int, sizes: Sequence[int]) -> list[int]:
    """How many public rows each make-believe provider gets."""
    declared = [int(size) for size in sizes]
    if len(declared) < 2 or min(declared) < 1:
        raise MethodError("sizes must be those of two providers or more, each a whole number above zero")
    wanted = sum(declared)
    dealt = declared if wanted <= available else [size * available // wanted for size in declared]
    if min(dealt) < 2:
        raise DataError(
            f"{available} public rows are too few for {len(declared)} providers of {min(declared)} to {max(declared)} "
            "rows: the smallest would get fewer than two"
        )
    return dealt


def _federation(
    codes: NDArray[np.int64],
    dealt: Sequence[int],
    label_noise: tuple[float, float],
    n_classes: int,
    rng: np.random.Generator,
) -> list[tuple[NDArray[np.intp], NDArray[np.int64]]]:
    """Rows and labels of each make-believe provider; some labels are those of another class."""
    order = rng.permutation(codes.size)
    stops = np.cumsum(dealt)
    wrong = rng.permutation(np.linspace(*label_noise, len(dealt)))
    federation = []
    for start, stop, share in zip(np.concatenate([[0], stops[:-1]]), stops, wrong, strict=True):
        rows = order[start:stop]
        labels = codes[rows]
        flipped = rng.random(rows.size) < share
        if n_classes > 1:
            labels[flipped] = (labels[flipped] + rng.integers(1, n_classes, int(flipped.sum()))) % n_classes
        federation.append((rows, labels))
    return federation
