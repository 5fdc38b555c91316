"""Events as plain JSON and back, exactly, and in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from dataworth.errors import DataError
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

__all__ = ["describe_events", "events_from_json", "events_to_json"]

_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?(E[+-][0-9]+)?")
_RATIONAL = re.compile(r"[1-9][0-9]*/[1-9][0-9]*")


def events_to_json(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Plain dictionaries that JSON can hold, one an event; rationals are text, ``"numerator/denominator"``.

    Args:
        events: What one release consists of.

    Example:
        >>> from fractions import Fraction
        >>> from dataworth.privacy.kinds import CappedCounts
        >>> events_to_json([CappedCounts(sigma=Fraction(41, 2), links=25)])
        [{'kind': 'capped-counts', 'sigma': '41/2', 'links': 25}]
    """
    return [_to_json(event) for event in events]


def events_from_json(pieces: Sequence[Mapping[str, Any]]) -> tuple[Event, ...]:
    """The inverse of :func:`events_to_json`.

    Args:
        pieces: One dictionary an event.

    Raises:
        DataError: An unknown kind, a field too many or too few, or a number that is not written exactly.
        MethodError: A number that no such event can have.
    """
    if not isinstance(pieces, list | tuple):
        raise DataError(f"events are a list of JSON objects, not {type(pieces).__name__}")
    return tuple(_from_json(piece) for piece in pieces)


def describe_events(events: Sequence[Event]) -> str:
    """What was released, in words, from public parameters only.

    Example:
        >>> from fractions import Fraction
        >>> from dataworth.privacy.kinds import CappedCounts, RowCount
        >>> describe_events([CappedCounts(Fraction(41, 2), links=25), RowCount(Fraction(60))])
        'counts of all rows, at most 25 links each, noise 20.5; number of rows, noise 60'
    """
    return "; ".join(_in_words(event) for event in events)


def _to_json(event: Event) -> dict[str, Any]:  # noqa: PLR0911 - one a kind
    match event:
        case SubsampledCounts():
            return {
                "kind": "subsampled-counts",
                "sigma": _text(event.sigma),
                "probability": _text(event.probability),
                "points": event.points,
            }
        case CappedCounts():
            return {"kind": "capped-counts", "sigma": _text(event.sigma), "links": event.links}
        case RowCount():
            return {"kind": "row-count", "sigma": _text(event.sigma)}
        case Histograms():
            return {
                "kind": "histograms",
                "sigma": _text(event.sigma),
                "votes": event.votes,
                "rounds": event.rounds,
            }
        case DisjointCounts():
            return {"kind": "disjoint-counts", "scale": _text(event.scale)}
        case GradientSteps():
            return {
                "kind": "gradient-steps",
                "sigma": _text(event.sigma),
                "probability": _text(event.probability),
                "steps": event.steps,
            }
        case DeclaredRelease():
            return {"kind": "declared", "epsilon": str(event.epsilon), "delta": str(event.delta)}


def _from_json(piece: Mapping[str, Any]) -> Event:  # noqa: PLR0911 - one a kind
    if not isinstance(piece, Mapping):
        raise DataError(f"an event is a JSON object, not {type(piece).__name__}")
    match piece.get("kind"):
        case "subsampled-counts":
            _expect(piece, "sigma", "probability", "points")
            return SubsampledCounts(_rational(piece["sigma"]), _rational(piece["probability"]), piece["points"])
        case "capped-counts":
            _expect(piece, "sigma", "links")
            return CappedCounts(_rational(piece["sigma"]), piece["links"])
        case "row-count":
            _expect(piece, "sigma")
            return RowCount(_rational(piece["sigma"]))
        case "histograms":
            _expect(piece, "sigma", "votes", "rounds")
            return Histograms(_rational(piece["sigma"]), piece["votes"], piece["rounds"])
        case "disjoint-counts":
            _expect(piece, "scale")
            return DisjointCounts(_rational(piece["scale"]))
        case "gradient-steps":
            _expect(piece, "sigma", "probability", "steps")
            return GradientSteps(_rational(piece["sigma"]), _rational(piece["probability"]), piece["steps"])
        case "declared":
            _expect(piece, "epsilon", "delta")
            return DeclaredRelease(_decimal(piece["epsilon"]), _decimal(piece["delta"]))
        case other:
            raise DataError(f"unknown event {other!r}; it may come from a newer dataworth")


def _in_words(event: Event) -> str:  # noqa: PLR0911 - one a kind
    match event:
        case SubsampledCounts():
            share = f"rows let in with probability {event.probability} at each of {event.points:,} points"
            return f"counts of {share}, noise {float(event.sigma):g}"
        case CappedCounts():
            return f"counts of all rows, at most {event.links:,} links each, noise {float(event.sigma):g}"
        case RowCount():
            return f"number of rows, noise {float(event.sigma):g}"
        case Histograms():
            votes = "one vote" if event.votes == 1 else f"{event.votes:,} votes"
            rounds = "one histogram" if event.rounds == 1 else f"{event.rounds:,} histograms"
            return f"{rounds} of all rows, {votes} a row, noise {float(event.sigma):g}"
        case DisjointCounts():
            return f"disjoint counts of rows, Laplace noise of scale {float(event.scale):g}"
        case GradientSteps():
            share = f"rows let in with probability {float(event.probability):g}"
            return f"{event.steps:,} gradient steps, {share}, floating-point noise {float(event.sigma):g}"
        case DeclaredRelease():
            return f"a release declared to be ({event.epsilon}, {event.delta})-differentially private"


def _expect(piece: Mapping[str, Any], *fields: str) -> None:
    if set(piece) != {"kind", *fields}:
        raise DataError(f"an event of kind {piece['kind']!r} has {', '.join(fields)}, not {sorted(piece)}")


def _text(number: Fraction) -> str:
    return f"{number.numerator}/{number.denominator}"


def _decimal(text: object) -> Decimal:
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
        raise DataError(f"an epsilon or delta of an event is written as decimal text, not {text!r}")
    return Decimal(text)


def _rational(text: object) -> Fraction:
    if not isinstance(text, str) or not _RATIONAL.fullmatch(text) or _text(Fraction(text)) != text:
        raise DataError(f"a number of an event is written numerator/denominator in lowest terms, not {text!r}")
    return Fraction(text)
