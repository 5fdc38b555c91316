"""From options to a method record; an option that the method does not use is refused, never ignored."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dataworth.errors import InputError, MethodError, MissingExtra

if TYPE_CHECKING:
    from dataworth.kernels.neighbors import Metric
    from dataworth.kernels.threshold import Beta
    from dataworth.valuation.methods import PointMethod

__all__ = [
    "RETRAINING",
    "Choice",
    "Method",
    "choose",
    "in_options",
    "parse_semivalue",
    "refuse_unused",
    "told_in_options",
]


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
_SPELLED = {"target_error": "target-error", "seconds": "time", "folder": "work", "exact": "exact/--sampled"}

_FLAGS = {
    "exact=True": "--exact", "exact=False": "--sampled", "keep_links=True": "--keep-links", "spill=False": "--no-spill",
}  # fmt: skip

# What messages of the library say as Python does: parameters that are given values, and those that a message is about.
_GIVEN = (
    "features", "label", "id", "owner", "classes", "embed", "k", "radius", "metric", "semivalue", "normalise", "kernel",
    "bits", "dtype", "threads", "players", "scoring", "fits", "target_error", "seconds", "sampling", "truncation",
    "alpha", "beta", "seed", "folder", "memory", "engine", "update", "error", "column", "temperature", "quality",
    "rerank", "recall",
)  # fmt: skip
_ABOUT = _GIVEN[_GIVEN.index("k") :]
_WITH_VALUE = re.compile(rf"(?<![^\s(])({'|'.join(_GIVEN)})=(\[[^\]]*\]|'[^']*'|\"[^\"]*\"|[\w.,]*\w)?")
_AT_FIRST = re.compile(rf"^({'|'.join(_ABOUT)})(?: of Beta)?(?= must )")
_NO_WORDS: Mapping[str, str] = MappingProxyType({})


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
    if "fits" in parameters and "fits" not in given and given.keys() & {"target_error", "seconds"}:
        given["fits"] = None  # or a limit that nobody asked for would end the run first
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
    try:
        return Beta(float(numbers[1]), float(numbers[2])) if numbers else text
    except MethodError as error:
        raise MethodError(f"--semivalue {text}: {error}") from error


def in_options(message: str) -> str:
    """A message of the library with options in the place of parameters.

    Example:
        >>> in_options("fits=1 is less than two draws; use sampling='stratified', or more by sampling (exact=False)")
        '--fits 1 is less than two draws; use --sampling stratified, or more by sampling (--sampled)'
        >>> in_options("leave it out with features=[...]"), in_options("target_error must be above 0")
        ('leave it out with --features A,B', '--target-error must be above 0')
    """
    said = re.sub(r"\b(\w+=(?:True|False))\b", lambda found: _FLAGS.get(found[1], found[1]), message)
    said = _WITH_VALUE.sub(lambda found: f"{_option(found[1])} {_value(found[2] or '')}".rstrip(), said)
    return _AT_FIRST.sub(lambda found: _option(found[1]), said)


@contextmanager
def told_in_options(words: Mapping[str, str] = _NO_WORDS) -> Iterator[None]:
    """What is refused within is told in options.

    Args:
        words: What the library says -> what a command says instead, in the order in which they are replaced.
    """
    try:
        yield
    except MissingExtra:
        raise
    except InputError as error:
        said = str(error)
        for python, command in words.items():
            said = said.replace(python, command)
        said = in_options(said)
        if said == str(error):
            raise
        raise type(error)(said) from error


def _option(parameter: str) -> str:
    return f"--{_SPELLED.get(parameter, parameter)}"


def _value(text: str) -> str:
    """A value as a shell takes it."""
    if text == "[...]":
        return "A,B"
    bare = re.sub(r"['\"]\s*(,?)\s*", r"\1", text.removeprefix("[").removesuffix("]"))
    return f"'{bare}'" if re.search(r"\s", bare) else bare


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
