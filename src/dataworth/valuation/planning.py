"""What a private release will cost and be good for, known before anything is spent, from public inputs alone.

The release is rehearsed on the validation set: a plausible training set is drawn by weighting validation points at
random, its counts are capped, noised, shrunk and valued as the release would, and compared with its exact
values. The cap that ranks rows best is taken.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from dataworth.errors import InputError, MethodError
from dataworth.kernels import neighbors
from dataworth.kernels.capped import link_nearest
from dataworth.kernels.neighbors import Judges, Rows
from dataworth.kernels.noisy import Given, clamped, shrunk
from dataworth.kernels.reweighting import LOG_VARIANCE, PublicLinks, explain, prior_weights
from dataworth.kernels.team import team_size
from dataworth.privacy.accounting import calibrate, guarantee
from dataworth.privacy.kinds import CappedCounts, Event, RowCount, SubsampledCounts
from dataworth.privacy.mechanisms import round_sigma_up
from dataworth.records import Budget, Guarantee, Points, Relation, Row, Table, Unit
from dataworth.records.evidence import Cell
from dataworth.valuation.methods import CappedLinks, Mechanism, Subsampled, ThresholdKNNShapley
from dataworth.valuation.task import bar, class_list, encode

__all__ = ["Judged", "Plan", "check_rows", "fingerprint", "plan_release"]

CAPS = (
    5, 10, 15, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 5000, 7500, 10_000,
)  # fmt: skip
"""The caps that are tried, as far as there are validation points; and no cap at all."""

ROWS_A_POINT = 10
"""Without a declared number of rows, a rehearsal supposes so many for each validation point."""

_MOST_STAND_INS = 5000  # validation points that stand for rows; more are thinned out evenly
_MOST_REHEARSED = 500  # of them in a rehearsal, which only has to tell caps apart
_DRAWS = 3
_CALIBRATED_CAP = 50  # whose noise is found in earnest before a cap is chosen
_PSEUDO_ROWS = 1000
_SEED = 20230
_NINE_IN_TEN = 0.9


@dataclass(frozen=True, eq=False)
class Judged:
    """The validation set as a release sees it: points that judge, and some that stand for rows.

    Args:
        x: All validation points as given, ``(n, d)``.
        point_codes: Their classes, ``(n,)``.
        stand_ins: Some of them, evenly thinned out, as rows.
        n_classes: How many classes there are.
        classes: The class labels, ascending.
        centre: The validation mean for euclidean, None for cosine.
    """

    x: NDArray[Any]
    point_codes: NDArray[np.int64]
    stand_ins: Rows
    n_classes: int
    classes: NDArray[Any]
    centre: NDArray[np.float64] | None

    @classmethod
    def of(
        cls,
        validation: Points,
        method: ThresholdKNNShapley,
        classes: Sequence[Any] | None,
        dtype: neighbors.DType,
        threads: int,
    ) -> Judged:
        """Make the validation set ready; everything that can be wrong with it is told here, as it is public."""
        if not validation.has_classes:
            raise MethodError("validation labels are numbers with fractions, which are no classes")
        known = class_list(validation, classes)
        codes = encode(validation.y, known)
        strange = int((codes < 0).sum())
        if strange:
            raise InputError(f"{strange} of {len(validation)} validation labels are not among the classes given")
        centre = None
        if method.metric == "euclidean":
            neighbors.check_scale(validation.x)
            centre = validation.x.mean(axis=0, dtype=np.float64)
        some = _thinned(len(validation), _MOST_STAND_INS)
        rows = neighbors.prepare(
            validation.x[some], codes[some], known.size, method.metric, centre=centre, dtype=dtype, threads=threads
        )
        return cls(validation.x, codes, rows, known.size, known, centre)

    def rehearsed(self, threads: int) -> Judged:
        """The same points, with few enough that stand for rows."""
        if len(self.stand_ins) <= _MOST_REHEARSED:
            return self
        some = _thinned(len(self), _MOST_REHEARSED)
        rows = neighbors.prepare(
            self.x[some], self.point_codes[some], self.n_classes, self.stand_ins.metric, centre=self.centre,
            dtype="float64" if self.stand_ins.x.dtype == np.float64 else "float32", threads=threads,
        )  # fmt: skip
        return replace(self, stand_ins=rows)

    def __len__(self) -> int:
        return int(self.point_codes.size)

    def same_as(self, validation: Points, classes: NDArray[Any]) -> bool:
        """Whether it was made of these points and classes."""
        return (
            np.array_equal(self.x, validation.x)
            and np.array_equal(self.classes, classes)
            and np.array_equal(self.point_codes, encode(validation.y, classes))
        )

    def meeting(self, rows: Rows) -> Judges:
        """The points made ready to meet some rows."""
        return Judges.ready(rows, self.x, self.point_codes, self.centre)

    def linked(self, radius: float, cap: int, threads: int) -> PublicLinks:
        """The stand-ins' links with all points, capped."""
        links = link_nearest(self.stand_ins, self.meeting(self.stand_ins), radius, cap, threads=threads)
        return PublicLinks.of(self.stand_ins, links, self.point_codes, self.n_classes)


def _thinned(n: int, most: int) -> NDArray[np.int64]:
    """Places of at most so many of n points, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


@dataclass(frozen=True, eq=False)
class Plan:
    """What a release would do: made of public inputs only, so it may be shown to anybody.

    Args:
        method: The method.
        asked: The mechanism as it was asked for.
        mechanism: The mechanism, its cap chosen.
        spend: What the release is charged; None for no noise at all.
        unit: Whose presence is hidden.
        relation: The relation that is kept account of.
        sigma: The noise scale of a count.
        rows_sigma: The noise scale of the number of rows, if it is released.
        events: What is released, for the accountant.
        guarantees: What is promised, first under ``relation``, then under the other.
        expected_rows: The declared number of rows, if there is one.
        expected_spearman: Rank correlation with the exact values in the rehearsal.
        expected_error: Median error of a value in the rehearsal, as a mean over validation points.
        band_factor: Nine in ten errors are below so many times the spread that the noise explains.
        proxy_spearman: Rank correlation of values that use the validation set alone, in the same rehearsal.
        fingerprint: SHA-256 over the validation points and the classes.
        judged: The validation set, made ready.
        links: Its links with itself, capped.

    Example:
        >>> import dataworth as dw
        >>> validation = dw.Points([[1.0, 0.1], [1.0, 0.2], [0.1, 1.0], [0.2, 1.0]], [0, 0, 1, 1])
        >>> plan = dw.plan_release(validation, method=dw.ThresholdKNNShapley(radius=0.5), spend=dw.Budget(1.0, 1e-5))
        >>> [promise.relation for promise in plan.guarantees]
        ['add_or_remove', 'replace']
    """

    method: ThresholdKNNShapley
    asked: Mechanism
    mechanism: Mechanism
    spend: Budget | None
    unit: Unit
    relation: Relation
    sigma: Fraction
    rows_sigma: Fraction | None
    events: tuple[Event, ...]
    guarantees: tuple[Guarantee, ...]
    expected_rows: int | None
    expected_spearman: float
    expected_error: float
    band_factor: float
    proxy_spearman: float
    fingerprint: str
    judged: Judged = field(repr=False)
    links: PublicLinks = field(repr=False)

    @property
    def coherent(self) -> bool:
        """Whether its events and promises are those of its cap and noise scales: what is charged is released."""
        settled = self.mechanism == self.asked or (
            isinstance(self.asked, CappedLinks)
            and isinstance(self.mechanism, CappedLinks)
            and self.mechanism.links in _caps(self.asked, len(self.judged), noise=self.spend is not None)
        )
        if self.spend is None:
            return settled and not self.events and not self.guarantees and self.sigma == 0
        counted = isinstance(self.mechanism, CappedLinks) and self.expected_rows is None
        try:
            rows_sigma = _rows_sigma(self.sigma, self.mechanism) if counted else None
            events = _events(self.mechanism, len(self.judged), counted, self.sigma)
        except MethodError:  # a scale that no sampler takes
            return False
        promises = _promises(events, self.spend, self.unit, self.relation)
        return settled and (self.events, self.rows_sigma, self.guarantees) == (events, rows_sigma, promises)

    def table(self) -> Table:
        """The plan as a table."""
        facts: dict[str, Cell] = {
            "mechanism": repr(self.mechanism),
            "noise scale of a count": float(self.sigma),
            "noise scale of the number of rows": None if self.rows_sigma is None else float(self.rows_sigma),
            "expected rank correlation with exact values": self.expected_spearman,
            "the same for the validation set alone": self.proxy_spearman,
            "expected error of a value (median)": self.expected_error,
        }
        note = " ".join(
            [
                *(str(promise) for promise in self.guarantees),
                "Expectations come from rehearsing the release on the validation set with "
                + (f"{self.expected_rows:,} rows declared." if self.expected_rows else "a supposed number of rows."),
            ]
        )
        return Table(
            "plan",
            "A private release, before anything is spent",
            {"fact": list(facts), "is": list(facts.values())},
            note,
        )


def plan_release(
    validation: Points,
    *,
    method: ThresholdKNNShapley,
    spend: Budget | None,
    mechanism: Mechanism | None = None,
    expected_rows: int | None = None,
    classes: Sequence[Any] | None = None,
    unit: Unit | None = None,
    relation: Relation = "add_or_remove",
    dtype: neighbors.DType = "float32",
    threads: int | None = None,
    progress: bool | None = None,
) -> Plan:
    """Say what a private release would do, before anything is spent, from public inputs only.

    Args:
        validation: The points that judge; public.
        method: ``ThresholdKNNShapley``; only this method has a private release.
        spend: The epsilon and delta of the release; None leaves the noise out (for experiments).
        mechanism: ``CappedLinks()`` (default) or ``Subsampled(probability)``.
        expected_rows: The publicly known or declared number of training rows. Without it a capped release spends
            a little on a noisy count of them.
        classes: All class labels; by default those of the validation set.
        unit: Whose presence is hidden: ``Row()`` (default) or ``Owner(max_rows)``.
        relation: The neighbour relation that the spend is for; both are shown.
        dtype: As in :func:`value_points`.
        threads: How many threads to use; by default one for each core.
        progress: Whether to show a progress bar; by default only on a terminal.

    Returns:
        The plan.

    Raises:
        MethodError: Another method, a budget that no noise can keep, or a parameter out of range.

    Example:
        >>> import dataworth as dw
        >>> validation = dw.Points([[1.0, 0.1], [1.0, 0.2], [0.1, 1.0], [0.2, 1.0]], [0, 0, 1, 1])
        >>> plan = dw.plan_release(
        ...     validation, method=dw.ThresholdKNNShapley(radius=0.5), spend=dw.Budget(1.0, 1e-5), expected_rows=100
        ... )
        >>> plan.mechanism, round(float(plan.sigma), 2)
        (CappedLinks(links=4), 7.46)
    """
    if not isinstance(method, ThresholdKNNShapley):
        raise MethodError(f"only ThresholdKNNShapley has a private release, not {type(method).__name__}")
    check_rows(expected_rows)
    chosen = CappedLinks() if mechanism is None else mechanism
    if not isinstance(chosen, CappedLinks | Subsampled):
        raise MethodError(f"mechanism must be CappedLinks or Subsampled, not {mechanism!r}")
    whose = Row() if unit is None else unit
    workers = team_size(threads)
    judged = Judged.of(validation, method, classes, dtype, workers)
    rehearsal = _Rehearsal(judged.rehearsed(workers), method, expected_rows or ROWS_A_POINT * len(judged), workers)
    caps = _caps(chosen, len(judged), noise=spend is not None)
    counted = isinstance(chosen, CappedLinks) and expected_rows is None
    trials: dict[int, _Trial] = {}
    with bar(len(caps), "rehearsing the release", progress) as tick:
        for cap in caps:
            guess = 0.0 if spend is None else _rough_sigma(chosen, spend, cap, len(judged), counted, whose, relation)
            trials[cap] = rehearsal.run(chosen, cap, guess, with_rows=counted)
            tick(1)
    cap = max(trials, key=lambda cap: trials[cap].spearman)
    settled = CappedLinks(cap) if isinstance(chosen, CappedLinks) else chosen
    sigma, events, promises = _noise(settled, len(judged), counted, spend, whose, relation)
    trial = trials[cap]
    return Plan(
        method, chosen, settled, spend, whose, relation, sigma,
        _rows_sigma(sigma, settled) if counted and sigma else None,
        events, promises, expected_rows, trial.spearman, trial.error, trial.band_factor, rehearsal.proxy(),
        fingerprint(validation, judged.classes), judged, judged.linked(method.radius, cap, workers),
    )  # fmt: skip


def check_rows(expected_rows: int | None) -> None:
    """Refuse a declared number of rows that is none.

    Raises:
        MethodError: It is not a whole number from 1 to a billion.
    """
    if expected_rows is not None and (
        isinstance(expected_rows, bool) or not isinstance(expected_rows, int) or not 1 <= expected_rows <= 10**9
    ):
        raise MethodError(f"expected_rows must be a whole number from 1 to 1,000,000,000, not {expected_rows!r}")


def _caps(mechanism: Mechanism, points: int, *, noise: bool) -> list[int]:
    """The caps to try; without noise a cap would only make values inexact."""
    match mechanism:
        case CappedLinks(links=None) if not noise:
            return [points]
        case CappedLinks(links=None):
            return [*(cap for cap in CAPS if cap < points), points]
        case CappedLinks(links=int(links)):
            return [min(links, points)]
        case _:
            return [points]


# -- noise -----------------------------------------------------------------------------------------


def _noise(
    mechanism: Mechanism, points: int, counted: bool, spend: Budget | None, unit: Unit, relation: Relation
) -> tuple[Fraction, tuple[Event, ...], tuple[Guarantee, ...]]:
    """The least noise that keeps the spend, what it is accounted as, and what it promises."""
    if spend is None:
        return Fraction(0), (), ()
    sigma = _calibrated(mechanism, points, counted, spend, unit, relation)
    events = _events(mechanism, points, counted, sigma)
    return sigma, events, _promises(events, spend, unit, relation)


def _promises(events: tuple[Event, ...], spend: Budget, unit: Unit, relation: Relation) -> tuple[Guarantee, ...]:
    """What is promised under the relation that the spend is for, and under the other."""
    other: Relation = "replace" if relation == "add_or_remove" else "add_or_remove"
    return Guarantee(spend, unit, relation), *_other_guarantee(events, spend, unit, other)


def _events(mechanism: Mechanism, points: int, counted: bool, sigma: Fraction) -> tuple[Event, ...]:
    match mechanism:
        case CappedLinks(links=int(links)):
            rows = (RowCount(_rows_sigma(sigma, mechanism)),) if counted else ()
            return (CappedCounts(sigma, links), *rows)
        case Subsampled(probability=probability):
            return (SubsampledCounts(sigma, probability, points),)
        case _:
            raise MethodError(f"the cap of {mechanism!r} is not chosen yet")


def _rows_sigma(sigma: Fraction, mechanism: Mechanism) -> Fraction:
    """The number of rows is one more coordinate, weighted sqrt(links / 10): a tenth of the squared sensitivity."""
    links = mechanism.links if isinstance(mechanism, CappedLinks) else None
    root = Fraction(math.isqrt(10 * 10**12 // (links or 1)) + 1, 10**6)
    return round_sigma_up(sigma * root)


@lru_cache(maxsize=256)
def _calibrated(
    mechanism: Mechanism, points: int, counted: bool, spend: Budget, unit: Unit, relation: Relation
) -> Fraction:
    return calibrate(lambda sigma: _events(mechanism, points, counted, sigma), spend, unit=unit, relation=relation)


@lru_cache(maxsize=256)
def _other_guarantee(events: tuple[Event, ...], spend: Budget, unit: Unit, relation: Relation) -> tuple[Guarantee, ...]:
    """What the same noise promises under the other relation; nothing if that would be an epsilon above 100."""
    try:
        return (guarantee(events, spend.delta, unit=unit, relation=relation),)
    except MethodError:
        return ()


def _rough_sigma(
    mechanism: Mechanism, spend: Budget, cap: int, points: int, counted: bool, unit: Unit, relation: Relation
) -> float:
    """The noise scale of a cap, by that of one cap calibrated in earnest: noise grows with the cap's square root."""
    if isinstance(mechanism, Subsampled):
        return float(_calibrated(mechanism, points, False, spend, unit, relation))
    at = cap if mechanism.links is not None else min(_CALIBRATED_CAP, points)
    return float(_calibrated(CappedLinks(at), points, counted, spend, unit, relation)) * math.sqrt(cap / at)


# -- the rehearsal ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Trial:
    spearman: float
    error: float
    band_factor: float


_Drawn: TypeAlias = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64]]


class _Rehearsal:
    """Plausible training sets made of validation points, and how a release of them would come out."""

    def __init__(self, judged: Judged, method: ThresholdKNNShapley, rows: float, threads: int) -> None:
        self._judged, self._method, self._rows, self._threads = judged, method, float(rows), threads
        self._full = judged.linked(method.radius, len(judged), threads)
        self._draws = list(self._draw())

    def _draw(self) -> Iterator[_Drawn]:
        """Weights of the stand-ins, some rows (which stand-in, whether with its own label), their exact values."""
        random = np.random.default_rng(_SEED)
        prior = prior_weights(self._full, self._rows)
        for _ in range(_DRAWS):
            weights = prior * np.exp(math.sqrt(LOG_VARIANCE) * random.standard_normal(prior.shape))
            weights *= self._rows / weights.sum()
            picked = random.choice(weights.size, size=_PSEUDO_ROWS, p=(weights / weights.sum()).ravel())
            flipped, who = np.divmod(picked, self._full.rows)
            given = _exact_real(self._full.counts(weights), self._judged.n_classes, self._method)
            yield weights, who, flipped == 1, _sums(self._full, given.same, given.other, who, flipped == 1)

    def run(self, mechanism: Mechanism, cap: int, sigma: float, *, with_rows: bool) -> _Trial:
        """Rank correlation, median error and band of a release with this cap and noise."""
        links = self._judged.linked(self._method.radius, cap, self._threads)
        random = np.random.default_rng(_SEED + 1)  # the same noise for every cap: they differ in scale only
        correlations, errors, ratios = [], [], []
        for weights, who, flipped, truth in self._draws:
            given = self._released(mechanism, links, weights, sigma, with_rows, cap, random)
            values = _sums(links, given.same, given.other, who, flipped)
            spread = np.sqrt(_sums(links, given.same_variance, given.other_variance, who, flipped))
            correlations.append(_spearman(values, truth))
            error = np.abs(values - truth)
            errors.append(error)
            ratios.append(error[spread > 0] / spread[spread > 0])
        every = np.concatenate(ratios)
        factor = float(np.quantile(every, _NINE_IN_TEN)) if every.size else 0.0
        return _Trial(
            float(np.mean(correlations)), float(np.median(np.concatenate(errors))) / len(self._judged), factor
        )

    def _released(
        self,
        mechanism: Mechanism,
        links: PublicLinks,
        weights: NDArray[np.float64],
        sigma: float,
        with_rows: bool,
        cap: int,
        random: np.random.Generator,
    ) -> Given:
        classes, semivalue = self._judged.n_classes, self._method.semivalue
        counts = links.counts(weights)
        noise = sigma * random.standard_normal(counts.shape)
        scale = Fraction(sigma)
        if isinstance(mechanism, Subsampled):
            sampled = random.binomial(np.rint(counts).astype(np.int64), float(mechanism.probability))
            return clamped(np.rint(sampled + noise).astype(np.int64), scale, False, classes, semivalue)
        if sigma == 0.0:
            return _exact_real(counts, classes, self._method)
        noisy = np.rint(counts + noise).astype(np.int64)
        off = sigma * math.sqrt(10.0 / cap) * random.standard_normal() if with_rows else 0.0
        return shrunk(noisy, scale, explain(links, noisy, sigma, max(self._rows + off, 1.0)), classes, semivalue)

    def proxy(self) -> float:
        """Rank correlation of values from the validation set alone."""
        given = _exact_real(
            self._full.counts(prior_weights(self._full, self._rows)), self._judged.n_classes, self._method
        )
        found = [
            _spearman(_sums(self._full, given.same, given.other, who, flipped), truth)
            for _, who, flipped, truth in self._draws
        ]
        return float(np.mean(found))


def _exact_real(counts: NDArray[np.float64], n_classes: int, method: ThresholdKNNShapley) -> Given:
    """What each point gives a row of a set with these counts, which are weights and so not whole."""
    return clamped(np.rint(counts).astype(np.int64), Fraction(0), True, n_classes, method.semivalue)


def _sums(
    links: PublicLinks,
    same: NDArray[np.float64],
    other: NDArray[np.float64],
    who: NDArray[np.int64],
    flipped: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """What the points give some rows, with their own label or with another (on average over the others)."""
    own, swapped = links.pull(np.stack([same, other], axis=1))
    return np.asarray(np.where(flipped, swapped[who], own[who]))


def _spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Rank correlation; 0 where either does not vary."""
    x, y = rankdata(a), rankdata(b)
    x, y = x - x.mean(), y - y.mean()
    size = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / size if size > 0 else 0.0


def fingerprint(validation: Points, classes: NDArray[Any]) -> str:
    """SHA-256 over the validation points and the classes, which are public."""
    digest = hashlib.sha256()
    digest.update(repr((validation.x.shape, validation.x.dtype.str)).encode())
    digest.update(np.ascontiguousarray(validation.x).tobytes())
    digest.update(repr((validation.y.tolist(), classes.tolist())).encode())
    return digest.hexdigest()
