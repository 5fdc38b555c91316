"""Does a release spend more than it says? Lower bounds of epsilon from runs of the mechanism on worst neighbours.

Two data sets differ in one unit, placed where it moves the most counts. The adversary is everybody else
together, who knows all other rows and sees every noisy count; or one owner with a single link, who sees one value.

A promise is audited at its own delta, and at one large enough for tests to see most: the accountant says what
epsilon the same release has there, and there too it must not be exceeded. At a tiny delta the difference between
half the noise and all of it lies in events too rare for any number of runs that one would wait for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import binom

from dataworth.errors import MethodError
from dataworth.kernels.noisy import clamped
from dataworth.privacy.accounting import spent_epsilon
from dataworth.privacy.audit import Bound, bound_epsilon, noise_fit
from dataworth.privacy.kinds import Event
from dataworth.privacy.mechanisms import InsecureSource, NoisyCounts, SecureSource, Source, round_sigma_up
from dataworth.records import Points, Table
from dataworth.records.evidence import Cell
from dataworth.records.privacy import Amount, Budget, Owner, Relation, Row, Unit
from dataworth.valuation.audits.cells import find_cells
from dataworth.valuation.methods import CappedLinks, Mechanism, Subsampled, ThresholdKNNShapley
from dataworth.valuation.planning import Judged, Plan, plan_release
from dataworth.valuation.releases import _released
from dataworth.valuation.task import Task, bar

__all__ = ["Case", "Drawn", "Outcome", "Release", "attack_release", "audit_epsilon", "draw_releases", "worst_cases"]

View: TypeAlias = Literal["all others together", "one owner, one link"]
Claim: TypeAlias = Callable[[Amount], float]
"""The epsilon claimed at a delta."""

METHOD = ThresholdKNNShapley(1.0, metric="euclidean")
OWNER_ROWS = 3
_REFUTED_BY_CHANCE = 0.01  # shared out over the audits of one table
_LEAST_DRAWS = 1_000
_SAMPLED_POINTS = 3
_WRONG_LAW = 1e-6
_DELTAS = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001)
_TELLING = 0.03  # epsilon that must be left at the larger delta


@dataclass(frozen=True, eq=False)
class Drawn:
    """What many releases of one data set show.

    Args:
        noisy: Noisy counts, ``(draws, n_validation, 2)``.
        rows: Noisy numbers of rows, ``(draws,)``, if they are released.
    """

    noisy: NDArray[np.int64]
    rows: NDArray[np.int64] | None


Release: TypeAlias = Callable[[Points, Points, Plan, int, Source], Drawn]
"""From training rows, validation points, a plan and a number of draws to what independent releases would show."""


@dataclass(frozen=True, eq=False)
class Case:
    """Two data sets that differ in one unit, and who looks.

    Args:
        name: What the unit is.
        view: What the adversary sees.
        relation: How the data sets differ.
        unit: What they differ in.
        without: The one data set, with owners.
        with_unit: The other.
        validation: The points that judge.
        beyond_cap: Whether counts that a cap should keep the unit out of are looked at too.
    """

    name: str
    view: View
    relation: Relation
    unit: Unit
    without: Points
    with_unit: Points
    validation: Points
    beyond_cap: bool = False


@dataclass(frozen=True)
class Outcome:
    """What an attack on a release showed at one delta.

    Args:
        name: What was attacked.
        view: What the adversary saw.
        relation: How the data sets differ.
        delta: Of the promise, or larger.
        claimed: The epsilon that the accountant gives at that delta.
        bound: What was proved.
        half: What the same attack proves of the same mechanism with half the noise: whether it has teeth.
    """

    name: str
    view: View
    relation: Relation
    delta: float
    claimed: float
    bound: Bound
    half: Bound

    @property
    def holds(self) -> bool:
        """Whether the promise stands; an audit cannot prove it."""
        return self.bound.epsilon <= self.claimed


# -- the mechanism, run many times -----------------------------------------------------------------


def draw_releases(train: Points, validation: Points, plan: Plan, draws: int, source: Source) -> Drawn:
    """What independent releases of the same rows show, by the code that releases them.

    Counts without subsampling are the same every time, so they are counted once and given noise ``draws``
    times. A subsample is drawn afresh at every validation point, so one release against the points repeated
    is as many releases.

    Args:
        train: The rows, with owners.
        validation: The points that judge.
        plan: Of one release.
        draws: How many releases.
        source: Of bits and noise.
    """
    if isinstance(plan.mechanism, Subsampled):
        again = Points(np.tile(validation.x, (draws, 1)), np.tile(validation.y, draws))
        longer = replace(plan, judged=Judged.of(again, plan.method, None, "float32", 1))
        return Drawn(_release(train, longer, source).reshape(draws, len(validation), 2), None)
    repeated = _Repeated(source, draws)
    _release(train, plan, repeated)
    noisy, *rows = repeated.drawn
    return Drawn(noisy, rows[0][:, 0] if rows else None)


def _release(train: Points, plan: Plan, source: Source) -> NDArray[np.int64]:
    return _released(
        train, plan, source, population="audit", data_version="", dtype="float32", threads=1, progress=False,
    ).noisy  # fmt: skip


class _Repeated:
    """A source that draws the noise of every release at once, keeps all of it and hands on the first."""

    def __init__(self, source: Source, draws: int) -> None:
        self._source, self._draws = source, draws
        self.drawn: list[NDArray[np.int64]] = []

    @property
    def private(self) -> bool:
        return self._source.private

    def add_noise(self, counts: NDArray[np.integer[Any]], sigma: Fraction) -> NoisyCounts:
        noisy = self._source.add_noise(np.broadcast_to(counts, (self._draws, *counts.shape)), sigma)
        self.drawn.append(noisy.counts)
        return replace(noisy, counts=noisy.counts[0])

    def add_laplace(self, counts: NDArray[np.integer[Any]], scale: Fraction) -> NoisyCounts:
        raise NotImplementedError("no release that is audited here adds Laplace noise")

    def draw_bits(self, number: int, probability: Fraction) -> NDArray[np.bool_]:
        return self._source.draw_bits(number, probability)


# -- the table -------------------------------------------------------------------------------------


def audit_epsilon(
    spend: Budget,
    *,
    mechanism: Mechanism | None = None,
    draws: int = 20_000,
    release: Release = draw_releases,
    progress: bool | None = None,
) -> Table:
    """Attack the private release on worst neighbours, with the operating system's randomness.

    Args:
        spend: What one release may spend; its noise is planned for that.
        mechanism: ``CappedLinks(links)``, by default two links; or ``Subsampled(probability)``, at three points.
        draws: How often each of two neighbouring data sets is released, at least 1,000; half of them choose an
            event, the other half tests it.
        release: What is audited; by default the release as it is.
        progress: Whether to show a progress bar; by default only on a terminal.

    Returns:
        Two rows an attack, at the delta promised and at a telling one: the epsilon claimed there for that change
        of the data, the lower bound, the bound that the same attack finds with half the noise, and a verdict.
        Bounds hold together with confidence 0.99.

    Raises:
        MethodError: Too few draws, a cap that is not given, or a budget that no noise keeps.
        MissingExtra: OpenDP or dp-accounting is not installed.

    Example:
        >>> from dataworth.records.privacy import Budget
        >>> table = audit_epsilon(Budget(1, "1e-5"), mechanism=CappedLinks(1), draws=1000, progress=False)
        >>> "BROKEN" in table.columns["verdict"]
        False
    """
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < _LEAST_DRAWS:
        raise MethodError(f"draws must be a whole number from {_LEAST_DRAWS:,} on, not {draws!r}")
    audited = CappedLinks(2) if mechanism is None else mechanism
    if not isinstance(audited, Subsampled) and not (isinstance(audited, CappedLinks) and audited.links):
        raise MethodError(f"an audit needs CappedLinks(links) with its cap, or Subsampled, not {audited!r}")
    cases = worst_cases(audited)
    confidence = 1 - _REFUTED_BY_CHANCE / (2 * len(cases))
    plans: dict[Unit, Plan] = {}
    outcomes = []
    with bar(len(cases) + 1, "audits", progress) as tick:
        for case in cases:
            if case.unit not in plans:
                plans[case.unit] = plan_release(
                    case.validation, method=METHOD, spend=spend, mechanism=audited, unit=case.unit, progress=False
                )
            plan = plans[case.unit]
            outcomes += attack_release(release, case, plan, spend.delta, draws=draws, confidence=confidence)
            tick(1)
        law = _noise_law(release, cases[0], plans[cases[0].unit], draws)
        tick(1)
    lines = [_line(outcome) for outcome in outcomes] + [law]
    note = (
        f"{draws:,} draws a side; half choose an event, the other half test it. All bounds hold together with "
        f"confidence {1 - _REFUTED_BY_CHANCE}. Noise is planned for {spend}, a unit added or removed; the claims are "
        "the accountant's for the change and the delta of the line. A bound below the claim refutes nothing and "
        "proves nothing: whether the attack would have seen half the noise says what it is worth."
    )
    return Table(
        "audit-epsilon", f"Audit of {audited!r}", {key: [line[key] for line in lines] for key in lines[0]}, note
    )


def attack_release(
    release: Release,
    case: Case,
    plan: Plan,
    delta: Amount,
    *,
    draws: int,
    confidence: float,
    claim: Claim | None = None,
    source: Source | None = None,
) -> list[Outcome]:
    """Release both data sets of a case many times and bound epsilon, at the delta promised and at a telling one.

    Args:
        release: What is audited.
        case: The two data sets, and who looks.
        plan: What the release says it does.
        delta: Of the promise.
        draws: How often each data set is released.
        confidence: That each bound holds.
        claim: The epsilon claimed at a delta; by default the accountant's for the plan's events.
        source: Of the randomness; by default the operating system's.
    """
    claimed = claim or (lambda at: _accounted(plan.events, at, case.unit, case.relation))

    def draw(run: Plan, randomness: Source) -> list[NDArray[np.float64]]:
        sets = (case.without, case.with_unit)
        return [_score(release(rows, case.validation, run, draws, randomness), case, plan) for rows in sets]

    without, with_unit = draw(plan, source or SecureSource())
    # The weakened twin only shows what the attack can see, so its randomness need not be good.
    weak_without, weak_with = draw(_weakened(plan, Fraction(1, 2)), InsecureSource(0))
    outcomes = []
    for at in (delta, _telling_delta(claimed)):
        bound = bound_epsilon(without, with_unit, delta=float(at), confidence=confidence)
        half = bound_epsilon(weak_without, weak_with, delta=float(at), confidence=confidence)
        outcomes.append(Outcome(case.name, case.view, case.relation, float(at), claimed(at), bound, half))
    return outcomes


@lru_cache(maxsize=1024)
def _accounted(events: tuple[Event, ...], delta: Amount, unit: Unit, relation: Relation) -> float:
    return spent_epsilon(events, delta, unit=unit, relation=relation)


def _weakened(plan: Plan, factor: Fraction) -> Plan:
    """The same plan with less noise than it says."""
    rows_sigma = None if plan.rows_sigma is None else round_sigma_up(plan.rows_sigma * factor)
    return replace(plan, sigma=round_sigma_up(plan.sigma * factor), rows_sigma=rows_sigma)


def _telling_delta(claim: Claim) -> float:
    """The largest delta of a list at which something is left of epsilon; the least if nothing ever is."""
    return next((delta for delta in _DELTAS if claim(delta) >= _TELLING), _DELTAS[-1])


# -- worst neighbours ------------------------------------------------------------------------------


def worst_cases(mechanism: Mechanism, n_points: int | None = None) -> list[Case]:
    """Neighbouring data sets that move as many counts as the mechanism allows.

    The unit's rows stand in the middle of the validation points, each exactly at the radius; a cap leaves out
    two of them. An owner brings one row more than may be.

    Args:
        mechanism: How counts are released.
        n_points: How many validation points; by default two more than the cap, or three.
    """
    if n_points is None:
        n_points = mechanism.links + 2 if isinstance(mechanism, CappedLinks) and mechanism.links else _SAMPLED_POINTS
    points = Points(np.eye(n_points), np.arange(n_points) % 2)
    middle, inside = np.zeros(n_points), np.full(n_points, 0.1 / n_points)
    first, far = points.x[0], np.full(n_points, -9.0)

    def rows(*given: tuple[NDArray[np.float64], int, str]) -> Points:
        return Points([x for x, _, _ in given], [y for _, y, _ in given], owners=[owner for _, _, owner in given])

    ann, row, flipped = (first, 0, "ann"), (middle, 0, "bob"), (middle, 1, "bob")
    near, copy, remote = (inside, 0, "ann"), (inside, 0, "bob"), (far, 0, "bob")
    many = [row] * (OWNER_ROWS + 1)
    together: View = "all others together"
    alone: View = "one owner, one link"
    add: Relation = "add_or_remove"
    cases = [
        Case("a duplicate row", together, add, Row(), rows(near), rows(near, copy), points),
        Case("a row at the radius", together, add, Row(), rows(ann), rows(ann, row), points),
        Case("a label flipped", together, "replace", Row(), rows(ann, row), rows(ann, flipped), points),
        Case(f"an owner of {OWNER_ROWS} rows", together, add, Owner(OWNER_ROWS), rows(ann), rows(ann, *many), points),
        Case("a duplicate row", alone, add, Row(), rows(near), rows(near, copy), points),
        Case("a label flipped", alone, "replace", Row(), rows(ann, row), rows(ann, flipped), points),
    ]
    if isinstance(mechanism, CappedLinks):  # a subsampled release has no cap and never tells the number of rows
        cases += [
            Case("a row beyond the cap", together, add, Row(), rows(ann), rows(ann, row), points, beyond_cap=True),
            Case("the number of rows", together, add, Row(), rows(ann), rows(ann, remote), points),
        ]
    return cases


# -- one number a draw -----------------------------------------------------------------------------


def _score(drawn: Drawn, case: Case, plan: Plan) -> NDArray[np.float64]:
    """What tells the two data sets apart, ``(draws,)``: the log likelihood ratio of all that was released."""
    if case.view == "one owner, one link":
        # What a row of the first point's label, linked with nothing else, is given beside the others.
        return clamped(drawn.noisy[:, 0], plan.sigma, False, 2, "shapley").same
    probability = float(plan.mechanism.probability) if isinstance(plan.mechanism, Subsampled) else 1.0
    total = np.zeros(len(drawn.noisy))
    without, with_unit = (_counts(rows, case, plan) for rows in (case.without, case.with_unit))
    for cell in zip(*np.nonzero(without != with_unit), strict=True):
        seen = drawn.noisy[(slice(None), *cell)]
        total += _log_ratio(seen, int(with_unit[cell]), int(without[cell]), plan.sigma, probability)
    if drawn.rows is not None and plan.rows_sigma is not None:
        more, fewer = (len(_brought(rows, plan)) for rows in (case.with_unit, case.without))
        total += _log_ratio(drawn.rows, more, fewer, plan.rows_sigma, 1.0)
    return total


def _counts(rows: Points, case: Case, plan: Plan) -> NDArray[np.int64]:
    """Exact counts that the release should start from, or could if it forgot its cap, ``(n_validation, 2)``."""
    mechanism = None if case.beyond_cap else plan.mechanism
    cells = find_cells(Task.of(_brought(rows, plan), case.validation, None), plan.method, mechanism)
    return np.asarray(cells.sum(axis=0))


def _brought(rows: Points, plan: Plan) -> Points:
    """The rows that owners may bring: the first of each."""
    if rows.owners is None or isinstance(plan.unit, Row):
        return rows
    most = plan.unit.rows
    keep = np.concatenate([np.flatnonzero(rows.owners == owner)[:most] for owner in np.unique(rows.owners)])
    return rows.take(keep)


def _log_ratio(
    seen: NDArray[np.int64], more: int, fewer: int, sigma: Fraction, probability: float
) -> NDArray[np.float64]:
    """How much likelier a noisy count is with one number of rows than with another."""

    def log_law(rows: int) -> NDArray[np.float64]:
        let_in = np.arange(rows + 1)
        square = ((seen[:, None] - let_in) / float(sigma)) ** 2
        return np.asarray(logsumexp(binom.logpmf(let_in, rows, probability) - 0.5 * square, axis=1))

    return log_law(more) - log_law(fewer)


# -- lines of the table ----------------------------------------------------------------------------


def _noise_law(release: Release, case: Case, plan: Plan, draws: int) -> dict[str, Cell]:
    """A line for the chi-square test, which sees what bounds cannot: noise a little too small."""
    nobody = Points(np.full((1, case.validation.x.shape[1]), -9.0), [0], owners=["ann"])  # it has no links

    def fit(run: Plan, source: Source) -> float:
        return noise_fit(release(nobody, case.validation, run, draws, source).noisy, plan.sigma)

    fits = fit(plan, SecureSource())
    return {
        "attack": "the law of the noise",
        "seen by": "a chi-square test",
        "change": "none",
        "delta": None,
        "claimed epsilon": None,
        "lower bound": None,
        "with half the noise": None,
        "has teeth": fit(_weakened(plan, Fraction(7, 10)), InsecureSource(0)) < _WRONG_LAW,
        "verdict": f"fits, p = {fits:.2g}" if fits >= _WRONG_LAW else f"BROKEN, p = {fits:.2g}",
        "event": "counts of a row that has no links; teeth: it tells 0.7 of the noise",
    }


def _line(outcome: Outcome) -> dict[str, Cell]:
    return {
        "attack": outcome.name,
        "seen by": outcome.view,
        "change": "replaced" if outcome.relation == "replace" else "added or removed",
        "delta": outcome.delta,
        "claimed epsilon": outcome.claimed,
        "lower bound": outcome.bound.epsilon,
        "with half the noise": outcome.half.epsilon,
        "has teeth": outcome.half.epsilon > outcome.claimed,
        "verdict": "not refuted" if outcome.holds else "BROKEN",
        "event": outcome.bound.event,
    }
