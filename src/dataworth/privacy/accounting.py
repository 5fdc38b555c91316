"""What a release costs: events in, epsilon and delta out, on the safe side.

An event says what was counted and with which noise. Each is turned into the distribution of its privacy loss
under the worst change of the data, on the integers as sampled, rounded against us by the connect-the-dots
method (Doroshenko et al. 2022, arXiv 2207.04380, in dp-accounting), and composed exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from dataworth.errors import MethodError, MissingExtra
from dataworth.privacy.kinds import (
    CappedCounts,
    DeclaredRelease,
    DisjointCounts,
    Event,
    GradientSteps,
    Histograms,
    RowCount,
    SubsampledCounts,
)
from dataworth.privacy.mechanisms import MOST_SIGMA, SIGMA_STEPS, round_sigma_up
from dataworth.records.privacy import Amount, Budget, Guarantee, Relation, Unit, check_relation

__all__ = [
    "LEAST_DELTA",
    "calibrate",
    "calibrate_laplace",
    "epsilon_of_rho",
    "guarantee",
    "satisfies",
    "spent_epsilon",
    "zcdp",
]

LEAST_DELTA = 1e-10
_ROUNDING = 1e-12  # of delta, set aside for the floating-point error of composing by Fourier transform
_INTERVAL = 1e-4  # the grid of privacy losses
_MOST_SUBSAMPLED_ROWS = 1000
_ORDERS = 1 + np.logspace(-3, 6, 4000)  # Rényi orders; every one gives a bound, the least is taken


def spent_epsilon(events: Sequence[Event], delta: Amount, *, unit: Unit, relation: Relation) -> float:
    """The epsilon, never too small, at which the events together are differentially private.

    For a unit of two rows or more whose counts are not subsampled, the larger of two figures: the loss when
    all rows share their cells, and zero-concentrated privacy, which covers every way they may lie.

    Args:
        events: What one release consists of.
        delta: From 1e-10 to 0.1.
        unit: Whose presence is hidden.
        relation: Whether that unit is added or removed, or replaced.

    Returns:
        Epsilon; 0 if nothing is lost, infinity if no epsilon will do.

    Raises:
        MethodError: No events, a delta that cannot be accounted, or an owner of too many subsampled rows.
        MissingExtra: dp-accounting is not installed.
    """
    return _spent(tuple(events), Budget(1, delta).delta, unit, relation)


@lru_cache(maxsize=4096)
def _spent(events: tuple[Event, ...], delta: Decimal, unit: Unit, relation: Relation) -> float:
    """Takes up to a second, and providers of one federation ask the same, so answers are kept."""
    pure = pure_epsilon(events, unit=unit, relation=relation)
    if pure is not None:
        return float(pure[0]) if pure[1] <= Fraction(delta) else math.inf
    declared = [event for event in events if isinstance(event, DeclaredRelease)]
    if declared:  # what is known by its epsilon and delta alone is added by basic composition
        (epsilon, lost), others = _sums(declared), [event for event in events if event not in declared]
        left = delta - Decimal(lost.numerator) / Decimal(lost.denominator)
        if left < LEAST_DELTA:
            return math.inf
        return float(epsilon) + _spent(tuple(others), left, unit, relation)
    usable = _usable_delta(delta)
    directions = _compose(events, unit.rows, relation)
    exact = max((float(loss.get_epsilon_for_delta(usable)) for loss in directions), default=0.0)
    rho = zcdp(events, unit=unit, relation=relation)
    if unit.rows == 1 or rho is None:
        return exact
    return max(exact, _epsilon_of_rho(rho, usable))


def zcdp(events: Sequence[Event], *, unit: Unit, relation: Relation) -> Fraction | None:
    """The exact zero-concentrated privacy (rho) of the events, or None: subsampling earns nothing there.

    Args:
        events: What one release consists of.
        unit: Whose presence is hidden.
        relation: Whether that unit is added or removed, or replaced.

    Example:
        >>> from fractions import Fraction
        >>> from dataworth.records.privacy import Row
        >>> event = CappedCounts(sigma=Fraction(20), links=25)
        >>> zcdp([event], unit=Row(), relation="add_or_remove")
        Fraction(1, 32)
    """
    check_relation(relation)
    rho = Fraction(0)
    for event in events:
        if isinstance(event, SubsampledCounts | GradientSteps) and event.probability < 1:
            return None
        if isinstance(event, DeclaredRelease):
            if event.delta:
                return None
            rho += Fraction(event.epsilon) ** 2 / 2
            continue
        shift, times = _shift(event, unit.rows, relation)
        rho += Fraction(times * shift**2) / (2 * _scale(event) ** 2)  # of Laplace noise: its epsilon squared, halved
    return rho


def pure_epsilon(events: Sequence[Event], *, unit: Unit, relation: Relation) -> tuple[Fraction, Fraction] | None:
    """The exact epsilon and delta of events that need no accountant, or None.

    These are counts with discrete Laplace noise, whose epsilon holds without any delta, and releases that are
    known by a declared epsilon and delta alone; they are added up.

    Args:
        events: What one release consists of.
        unit: Whose presence is hidden.
        relation: Whether that unit is added or removed, or replaced.

    Example:
        >>> from fractions import Fraction
        >>> from dataworth.records.privacy import Row
        >>> pure_epsilon([DisjointCounts(Fraction(4))], unit=Row(), relation="replace")
        (Fraction(1, 2), Fraction(0, 1))
    """
    check_relation(relation)
    if not events or not all(isinstance(event, DisjointCounts | DeclaredRelease) for event in events):
        return None
    epsilon, delta = _sums([event for event in events if isinstance(event, DeclaredRelease)])
    for event in events:
        if isinstance(event, DisjointCounts):
            shift, times = _shift(event, unit.rows, relation)
            epsilon += times * shift / event.scale
    return epsilon, delta


def _sums(declared: Sequence[DeclaredRelease]) -> tuple[Fraction, Fraction]:
    return sum((Fraction(event.epsilon) for event in declared), Fraction(0)), sum(
        (Fraction(event.delta) for event in declared), Fraction(0)
    )


def epsilon_of_rho(rho: Fraction, delta: Amount) -> float:
    """The epsilon, never too small, that zero-concentrated privacy comes to at a delta.

    By Proposition 12 of Canonne, Kamath and Steinke 2020 (arXiv 2004.00010), over a grid of orders.

    Args:
        rho: Of zero-concentrated differential privacy.
        delta: From 1e-10 to 0.1.

    Raises:
        MethodError: A delta that cannot be accounted.
        MissingExtra: dp-accounting is not installed.

    Example:
        >>> from fractions import Fraction
        >>> round(epsilon_of_rho(Fraction(1, 100), 1e-6), 3)
        0.622
    """
    return _epsilon_of_rho(rho, _usable_delta(delta))


def satisfies(events: Sequence[Event], spend: Budget, *, unit: Unit, relation: Relation) -> bool:
    """Whether the events together stay within a declared budget, by the pessimistic account."""
    pure = pure_epsilon(events, unit=unit, relation=relation)
    if pure is not None:
        return pure[0] <= Fraction(spend.epsilon) and pure[1] <= Fraction(spend.delta)
    return Decimal(spent_epsilon(events, spend.delta, unit=unit, relation=relation)) <= spend.epsilon


def guarantee(
    events: Sequence[Event], delta: Amount, *, unit: Unit, relation: Relation, private: bool = True
) -> Guarantee:
    """What the events promise at a delta, epsilon rounded up to a billionth.

    Args:
        events: What one release consists of.
        delta: From 1e-10 to 0.1.
        unit: Whose presence is hidden.
        relation: Whether that unit is added or removed, or replaced; ask for both and print both.
        private: Whether the randomness was the operating system's.

    Raises:
        MethodError: Epsilon would be above 100, which promises nothing.
    """
    epsilon = spent_epsilon(events, delta, unit=unit, relation=relation)
    if not epsilon <= 100:
        raise MethodError(f"these events promise nothing at delta = {delta}: epsilon would be above 100")
    step = Decimal("1e-9")
    rounded = max(Decimal(epsilon).quantize(step, rounding=ROUND_CEILING), step)
    return Guarantee(Budget(rounded, delta), unit, relation, private)


def calibrate(
    events_at: Callable[[Fraction], Sequence[Event]], spend: Budget, *, unit: Unit, relation: Relation
) -> Fraction:
    """The smallest noise scale the sampler takes whose events stay within a budget.

    Args:
        events_at: The events of the release at a given scale; more noise must never cost more.
        spend: The epsilon and delta to stay within.
        unit: Whose presence is hidden.
        relation: Whether that unit is added or removed, or replaced.

    Returns:
        A multiple of ``1 / SIGMA_STEPS``: safe when accounted at that very scale, while one step less is not.

    Raises:
        MethodError: No scale up to the largest one is enough, or the budget cannot be accounted.
    """

    def safe(steps: int) -> bool:
        return satisfies(events_at(Fraction(steps, SIGMA_STEPS)), spend, unit=unit, relation=relation)

    def epsilon(steps: int) -> float:
        return spent_epsilon(events_at(Fraction(steps, SIGMA_STEPS)), spend.delta, unit=unit, relation=relation)

    high = _first_guess(events_at(Fraction(1)), spend, unit.rows, relation)
    while not safe(high):
        if high == MOST_SIGMA * SIGMA_STEPS:
            raise MethodError(f"no noise scale up to {MOST_SIGMA} keeps this release within {spend}")
        high = min(2 * high, MOST_SIGMA * SIGMA_STEPS)
    # Downwards from a safe scale: far below the answer, losses are too wide to tabulate.
    low = high // 2
    while low and safe(low):
        low, high = low // 2, low
    turn = 0
    while high - low > 1:
        turn += 1
        # Every third turn halves what is left, whatever the shape of the curve.
        middle = (low + high) // 2
        if low and turn % 3:
            middle = _between((low, epsilon(low)), (high, epsilon(high)), float(spend.epsilon))
        if safe(middle):
            high = middle
        else:
            low = middle
    return Fraction(high, SIGMA_STEPS)


def _between(low: tuple[int, float], high: tuple[int, float], wanted: float) -> int:
    """Where to look between two scales: where a power law through both costs what is wanted, or just beyond.

    A little nearer to the farther end, so that what is left is small on either side.
    """
    (a, costs), (b, saves) = low, high
    if not (math.isfinite(costs) and costs > saves > 0):
        return (a + b) // 2
    share = math.log(costs / wanted) / math.log(costs / saves)
    found = int(a * (b / a) ** share)
    pad = max(1, (b - a) // 32)
    return min(max(found + (pad if b - found > found - a else -pad), a + 1), b - 1)


def calibrate_laplace(epsilon: Amount, *, unit: Unit, relation: Relation) -> Fraction:
    """The smallest scale of discrete Laplace noise the sampler takes that keeps disjoint counts within an epsilon.

    Args:
        epsilon: To stay within; no delta is needed.
        unit: Whose presence is hidden.
        relation: Whether that unit is added or removed, or replaced.

    Returns:
        A multiple of ``1 / SIGMA_STEPS``.

    Raises:
        MethodError: An epsilon that is no budget, or that needs more noise than there is.

    Example:
        >>> from dataworth.records.privacy import Row
        >>> calibrate_laplace(0.25, unit=Row(), relation="add_or_remove")
        Fraction(4, 1)
    """
    shift, times = _shift(DisjointCounts(Fraction(1)), unit.rows, relation)
    return round_sigma_up(times * shift / Fraction(Budget(epsilon, "0.1").epsilon))


def _first_guess(events: Sequence[Event], spend: Budget, rows: int, relation: Relation) -> int:
    """Steps of a scale that would do by the classical Gaussian bound: a start, checked before it is used."""
    square = 0.0
    for event in events:
        if isinstance(event, DeclaredRelease):
            continue
        shift, times = _shift(event, rows, relation)
        square += times * shift**2 / float(_scale(event)) ** 2
    tail = math.sqrt(2 * math.log(1.25 / float(spend.delta)))
    sigma = math.sqrt(max(square, 1.0)) * tail / min(float(spend.epsilon), 1.0)
    return min(math.ceil(sigma * SIGMA_STEPS), MOST_SIGMA * SIGMA_STEPS)


def _shift(event: Event, rows: int, relation: Relation) -> tuple[int, int]:
    """By how much a unit moves a count at most, and how many counts it moves so.

    Replacing a unit's data moves the counts it leaves and those it enters. It leaves the number of rows alone
    for a row; an owner keeps at least one row of at most ``rows``.
    """
    sides = 2 if relation == "replace" else 1
    match event:
        case SubsampledCounts():
            return rows, sides * event.points
        case CappedCounts():
            return rows, sides * event.links
        case Histograms():
            return rows, sides * event.votes * event.rounds
        case DisjointCounts():
            return rows, sides
        case GradientSteps():
            if rows > 1 or relation == "replace":
                raise MethodError(
                    "gradient steps are accounted for one row added or removed, not for "
                    f"{'a row replaced' if rows == 1 else f'an owner of {rows:,} rows'}"
                )
            return 1, event.steps
        case RowCount():
            return (rows - 1 if relation == "replace" else rows), 1
        case DeclaredRelease():
            raise MethodError("a declared release has an epsilon and a delta, and nothing else to account")


def _scale(event: Event) -> Fraction:
    """The scale of an event's noise, where it has one."""
    match event:
        case DisjointCounts():
            return event.scale
        case DeclaredRelease():
            raise MethodError("a declared release has an epsilon and a delta, and nothing else to account")
        case _:
            return event.sigma


def _compose(events: Sequence[Event], rows: int, relation: Relation) -> list[Any]:
    """The privacy losses of all events together, one for removing the unit and one for adding it."""
    check_relation(relation)
    if not events:
        raise MethodError("a release consists of at least one event; none was given")
    both = [_directions(event, rows, relation) for event in events if _shift(event, rows, relation)[0]]
    return [_product(side) for side in zip(*both, strict=True)]


def _product(losses: Iterable[Any]) -> Any:
    first, *rest = losses
    for loss in rest:
        first = first.compose(loss)
    return first


def _directions(event: Event, rows: int, relation: Relation) -> tuple[Any, Any]:
    """Privacy losses of one event: unit removed, unit added."""
    shift, times = _shift(event, rows, relation)
    if isinstance(event, GradientSteps):
        return _gradient_steps(event)
    if isinstance(event, DisjointCounts):
        loss = _laplace(event.scale, shift, times)
        return loss, loss
    if not isinstance(event, SubsampledCounts):
        loss, _ = _one_count(_scale(event), shift, Fraction(1))
        composed = loss.self_compose(times)
        return composed, composed
    removed, added = _one_count(event.sigma, rows, event.probability)
    if relation == "add_or_remove":
        return removed.self_compose(event.points), added.self_compose(event.points)
    # The worst replacement leaves one cell and enters another at every point, as flipping a label does.
    moved = removed.compose(added).self_compose(event.points)
    return moved, moved


def _laplace(scale: Fraction, rows: int, sides: int) -> Any:
    """The privacy loss of disjoint counts: exact for a row; an owner's rows may lie in several, so by epsilon alone."""
    losses = _dp_accounting("pld.privacy_loss_distribution")
    if rows == 1:
        one = losses.from_discrete_laplace_mechanism(
            float(1 / scale), value_discretization_interval=_INTERVAL, use_connect_dots=True
        )
        return one._pmf_remove.to_dense_pmf().self_compose(sides)
    parameters = _dp_accounting("pld.common").DifferentialPrivacyParameters(
        float(sides * rows / scale) * (1 + 1e-12), 0
    )
    both = losses.from_privacy_parameters(parameters, value_discretization_interval=_INTERVAL)
    return both._pmf_remove.to_dense_pmf()


def _gradient_steps(event: GradientSteps) -> tuple[Any, Any]:
    """Privacy losses of subsampled Gaussian steps: row removed, row added."""
    losses = _dp_accounting("pld.privacy_loss_distribution").from_gaussian_mechanism(
        float(event.sigma),
        sampling_prob=_float_above(event.probability),
        value_discretization_interval=_INTERVAL,
        use_connect_dots=True,
    )
    sides = losses._pmf_remove.to_dense_pmf(), losses._pmf_add.to_dense_pmf()
    return sides[0].self_compose(event.steps), sides[1].self_compose(event.steps)


def _one_count(sigma: Fraction, rows: int, probability: Fraction) -> tuple[Any, Any]:
    """Privacy losses of one noisy count that ``rows`` rows enter, each with ``probability``: removed, added."""
    if rows > 1 and probability < 1:
        return _mixture(float(sigma), rows, _float_above(probability))
    losses = _dp_accounting("pld.privacy_loss_distribution").from_discrete_gaussian_mechanism(
        float(sigma),
        sensitivity=rows,
        sampling_prob=_float_above(probability),
        value_discretization_interval=_INTERVAL,
        use_connect_dots=True,
    )
    # The two sides have no public accessor; only they tell "remove then add" from "remove twice".
    return losses._pmf_remove.to_dense_pmf(), losses._pmf_add.to_dense_pmf()


def _mixture(sigma: float, rows: int, probability: float) -> tuple[Any, Any]:
    """As ``_one_count`` where the number of rows let in is binomial."""
    if rows > _MOST_SUBSAMPLED_ROWS:
        raise MethodError(
            f"subsampling is accounted for owners of at most {_MOST_SUBSAMPLED_ROWS:,} rows, not {rows:,}; "
            "cap the links instead"
        )
    from scipy.stats import binom

    reach = math.ceil(11.6 * sigma)  # noise beyond it has mass below 1e-30
    support = np.arange(-reach, reach + rows + 1)
    wide = np.arange(-reach - rows, reach + rows + 1)
    total = logsumexp(-0.5 * (wide / sigma) ** 2)
    without = -0.5 * (support / sigma) ** 2 - total
    let_in = np.arange(rows + 1)
    shifted = -0.5 * ((support - let_in[:, None]) / sigma) ** 2 - total
    with_unit = logsumexp(shifted + binom.logpmf(let_in, rows, probability)[:, None], axis=0)
    return _connect(with_unit, without), _connect(without, with_unit)


def _connect(upper: NDArray[np.float64], lower: NDArray[np.float64]) -> Any:
    """The pessimistic privacy loss of two log probability mass functions on one support."""
    order = np.argsort(lower - upper, kind="stable")  # the largest loss first
    loss = (upper - lower)[order]
    # Probability, under each, of a loss at least as large; nothing is above the largest.
    upper_mass = np.concatenate([[0.0], np.exp(np.logaddexp.accumulate(upper[order]))])
    lower_log_mass = np.concatenate([[-np.inf], np.logaddexp.accumulate(lower[order])])
    scaled = loss / _INTERVAL
    grid = np.unique(np.concatenate([np.floor(scaled), np.ceil(scaled)])).astype(np.int64)
    above = np.searchsorted(-loss, -grid * _INTERVAL, side="left")
    deltas = upper_mass[above] - np.exp(grid * _INTERVAL + lower_log_mass[above])
    deltas = np.clip(np.maximum.accumulate(deltas[::-1])[::-1], 0.0, 1.0)
    pmf = _dp_accounting("pld.pld_pmf").create_pmf_pessimistic_connect_dots(_INTERVAL, grid, deltas)
    return pmf.to_dense_pmf()


def _epsilon_of_rho(rho: Fraction, delta: float) -> float:
    accountant = _dp_accounting("rdp.rdp_privacy_accountant")
    epsilon, _ = accountant.compute_epsilon(_ORDERS, float(rho) * (1 + 1e-15) * _ORDERS, delta)
    return float(epsilon)


def _usable_delta(delta: Amount) -> float:
    usable = float(Budget(1, delta).delta)
    if usable < LEAST_DELTA:
        raise MethodError(f"delta must be at least {LEAST_DELTA} for the accountant to resolve it, not {delta}")
    return usable - _ROUNDING


def _float_above(probability: Fraction) -> float:
    """The least float that is no smaller."""
    nearest = float(probability)
    return nearest if Fraction(nearest) >= probability else math.nextafter(nearest, 2.0)


def _dp_accounting(module: str) -> Any:
    try:
        return import_module(f"dp_accounting.{module}")
    except ImportError as error:
        raise MissingExtra("a private release", "private") from error
