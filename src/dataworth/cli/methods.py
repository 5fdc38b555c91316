"""From options to a method record; an option that the method does not use is refused, never ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from dataworth.errors import MethodError

if TYPE_CHECKING:
    from dataworth.kernels.neighbors import Metric
    from dataworth.kernels.threshold import Beta
    from dataworth.valuation.methods import PointMethod

__all__ = ["RETRAINING", "Choice", "Method", "choose", "parse_semivalue", "refuse_unused"]


class Method(StrEnum):
    """The methods by the names they have on the command line."""

    THRESHOLD = "threshold"
    KNN = "knn"
    WEIGHTED = "weighted"
    REGRESSION = "regression"
    VOTE = "vote"
    PROXY = "proxy"
    LEAVE_ONE_OUT = "leave-one-out"
    DATA_SHAPLEY = "data-shapley"
    DATA_BANZHAF = "data-banzhaf"
    BETA_SHAPLEY = "beta-shapley"


RETRAINING = (Method.LEAVE_ONE_OUT, Method.DATA_SHAPLEY, Method.DATA_BANZHAF, Method.BETA_SHAPLEY)
"""Those that train a model again and again."""

# Options whose names are not those of the parameters they set.
_SPELLED = {"target_error": "target-error", "seconds": "time", "exact": "exact/--sampled"}


@dataclass(frozen=True)
class Choice:
    """A method whose parameters are checked, but for a radius that may still be open.

    Args:
        record: The method's class.
        given: The parameters that were given.
        radius_is_open: Whether the method has a radius and none was given.
    """

    record: type[Any]
    given: Mapping[str, Any]
    radius_is_open: bool

    @property
    def metric(self) -> Metric:
        """The metric given, or the method's own; euclidean, which takes any rows, where the method has none."""
        metric: Metric = getattr(self.build(0.0 if self.radius_is_open else None), "metric", "euclidean")
        return metric

    def build(self, radius: float | None) -> PointMethod:
        """The method's record; the radius is for a choice that left it open, None otherwise."""
        method: PointMethod = self.record(**self.given, **({} if radius is None else {"radius": radius}))
        return method


def choose(method: Method, options: Mapping[str, object | None]) -> Choice:
    """The method's class with the given options, checked.

    Args:
        method: Which method.
        options: Every method option, by the name of the parameter it sets; None where it was not given.

    Raises:
        MethodError: An option that the method does not use (the message says which methods do), or a value
            that it cannot take.
    """
    refuse_unused(method, options)
    parameters = {field.name for field in fields(_records()[method])}  # some options are about the run
    given = {name: value for name, value in options.items() if value is not None and name in parameters}
    needs_radius = method in _users("radius")
    choice = Choice(_records()[method], given, radius_is_open=needs_radius and "radius" not in given)
    choice.build(0.0 if choice.radius_is_open else None)  # wrong values are told before any file is read
    return choice


def refuse_unused(method: Method, options: Mapping[str, object | None]) -> None:
    """Refuse an option that would change nothing.

    Raises:
        MethodError: An option that was given and that the method does not use; the message says which methods do.
    """
    for name, value in options.items():
        users = _users(name)
        if value is not None and method not in users:
            option = _SPELLED.get(name, name)
            raise MethodError(f"--{option} is not used by --method {method}, but by {', '.join(users)}")


def parse_semivalue(text: str) -> str | Beta:
    """``beta(4,1)`` becomes ``Beta(4, 1)``; anything else is a name for the method to judge.

    Raises:
        MethodError: Numbers that are not positive.
    """
    from dataworth.kernels.threshold import Beta

    numbers = re.fullmatch(r"beta\(\s*(\d+\.?\d*)\s*,\s*(\d+\.?\d*)\s*\)", text, re.IGNORECASE)
    return Beta(float(numbers[1]), float(numbers[2])) if numbers else text


def _users(option: str) -> list[Method]:
    """The methods that an option means something to."""
    match option:
        case "classes":
            return [method for method in Method if method is not Method.REGRESSION]
        case "dtype":  # the others always compute in double precision
            return [method for method in Method if method not in (Method.WEIGHTED, Method.REGRESSION, *RETRAINING)]
        case "players" | "work" | "resume":
            return list(RETRAINING)
        case parameter:
            return [
                method for method, record in _records().items() if parameter in {field.name for field in fields(record)}
            ]


def _records() -> dict[Method, type[Any]]:
    from dataworth.valuation import methods, retraining_methods

    return {
        Method.THRESHOLD: methods.ThresholdKNNShapley,
        Method.KNN: methods.KNNShapley,
        Method.WEIGHTED: methods.WeightedKNNShapley,
        Method.REGRESSION: methods.KNNRegressionShapley,
        Method.VOTE: methods.ValidationVote,
        Method.PROXY: methods.PublicProxy,
        Method.LEAVE_ONE_OUT: retraining_methods.LeaveOneOut,
        Method.DATA_SHAPLEY: retraining_methods.DataShapley,
        Method.DATA_BANZHAF: retraining_methods.DataBanzhaf,
        Method.BETA_SHAPLEY: retraining_methods.BetaShapley,
    }
