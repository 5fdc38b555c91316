"""The kinds of release that can be accounted: what was counted, and with which noise."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TypeAlias

from dataworth.errors import MethodError
from dataworth.privacy.mechanisms import check_probability, check_sigma
from dataworth.records.privacy import Budget

__all__ = [
    "CappedCounts",
    "DeclaredRelease",
    "DisjointCounts",
    "Event",
    "GradientSteps",
    "Histograms",
    "RowCount",
    "SubsampledCounts",
]


@dataclass(frozen=True)
class SubsampledCounts:
    """Two noisy counts at each validation point, of rows that fresh independent bits let in.

    Args:
        sigma: Scale of the discrete Gaussian noise on each count.
        probability: Of a row being let in, anew at every validation point.
        points: Number of validation points.
    """

    sigma: Fraction
    probability: Fraction
    points: int

    def __post_init__(self) -> None:
        check_sigma(self.sigma)
        check_probability(self.probability)
        _check_number("points", self.points)


@dataclass(frozen=True)
class CappedCounts:
    """Two noisy counts at each validation point, of all rows, each touching at most ``links`` of the points.

    Args:
        sigma: Scale of the discrete Gaussian noise on each count.
        links: The cap.
    """

    sigma: Fraction
    links: int

    def __post_init__(self) -> None:
        check_sigma(self.sigma)
        _check_number("links", self.links)


@dataclass(frozen=True)
class RowCount:
    """The noisy number of rows.

    Args:
        sigma: Scale of its discrete Gaussian noise.
    """

    sigma: Fraction

    def __post_init__(self) -> None:
        check_sigma(self.sigma)


@dataclass(frozen=True)
class Histograms:
    """Histograms of all rows, one after another, in each of which a row adds one to exactly ``votes`` bins.

    Later histograms may depend on earlier ones (adaptive composition).

    Args:
        sigma: Scale of the discrete Gaussian noise on each bin.
        votes: Bins a row adds to, in each histogram.
        rounds: How many histograms.
    """

    sigma: Fraction
    votes: int
    rounds: int

    def __post_init__(self) -> None:
        check_sigma(self.sigma)
        _check_number("votes", self.votes)
        _check_number("rounds", self.rounds)


@dataclass(frozen=True)
class DisjointCounts:
    """Counts of which a row is in one at most, such as rows of each class.

    Args:
        scale: Of the discrete Laplace noise on each count: epsilon is one over it for a row added or removed.
    """

    scale: Fraction

    def __post_init__(self) -> None:
        check_sigma(self.scale)


@dataclass(frozen=True)
class GradientSteps:
    """Noisy sums of clipped gradients over rows that fresh independent bits let in (DP-SGD).

    The noise is Gaussian in floating point, which is not hardened against attacks on the last digits.

    Args:
        sigma: Scale of the noise, as a multiple of the clipping norm.
        probability: Of a row being let in, anew at every step.
        steps: How many.
    """

    sigma: Fraction
    probability: Fraction
    steps: int

    def __post_init__(self) -> None:
        check_sigma(self.sigma)
        check_probability(self.probability)
        _check_number("steps", self.steps)


@dataclass(frozen=True)
class DeclaredRelease:
    """A release made by other means, of which only the promise is known: whoever declares it vouches for it.

    Args:
        epsilon: As declared, from 1e-9 to 100.
        delta: As declared, from 1e-18 to 0.1, or 0.
    """

    epsilon: Decimal
    delta: Decimal

    def __post_init__(self) -> None:
        if not isinstance(self.epsilon, Decimal) or not isinstance(self.delta, Decimal):
            raise MethodError("a declared release takes its epsilon and delta as Decimal")
        Budget(self.epsilon, self.delta or Decimal("0.1"))


Event: TypeAlias = (
    SubsampledCounts | CappedCounts | RowCount | Histograms | DisjointCounts | GradientSteps | DeclaredRelease
)


def _check_number(name: str, number: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= 10**7:
        raise MethodError(f"{name} must be a whole number from 1 to 10,000,000, not {number!r}")
