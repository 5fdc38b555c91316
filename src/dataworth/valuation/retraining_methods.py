"""Methods that train a model again and again, as frozen records of their parameters."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, Literal, TypeAlias

from dataworth.errors import MethodError
from dataworth.kernels.threshold import Beta
from dataworth.valuation.parameters import called, check_choice, check_positive, check_whole
from dataworth.valuation.scoring import Scorer

__all__ = ["BetaShapley", "DataBanzhaf", "DataShapley", "LeaveOneOut", "RetrainingMethod", "Sampling"]

Sampling: TypeAlias = Literal["stratified", "permutations", "antithetic"]
"""How coalitions are drawn."""

_SAMPLINGS: tuple[Sampling, ...] = ("stratified", "permutations", "antithetic")


@dataclass(frozen=True)
class LeaveOneOut:
    """What the model's score loses when a row (or an owner) leaves the whole training set: one fit for each.

    With many rows most losses are 0 or the same few numbers, for one row hardly moves a score.

    Args:
        model: A scikit-learn estimator or pipeline; it is copied, never trained itself.
        scoring: The name of a scorer of scikit-learn or a callable ``scorer(estimator, x, y)``; None takes accuracy
            for classifiers and r2 for regressors.
        seed: What every ``random_state`` in the model is set to, the same for every coalition.

    Raises:
        MethodError: A parameter out of range.

    Example:
        >>> import dataworth as dw
        >>> from sklearn.neighbors import NearestCentroid
        >>> train = dw.Points([[0.0], [2.0], [3.0]], ["a", "b", "b"])
        >>> dw.value_points(train, train, method=dw.LeaveOneOut(NearestCentroid()), progress=False).values
        array([0.5, 0. , 0. ])
    """

    model: Any
    _: KW_ONLY
    scoring: str | Scorer | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _check_trained(self)

    def __repr__(self) -> str:
        return _retold(self)


@dataclass(frozen=True)
class DataShapley:
    """Shapley values of rows (or owners) to any scikit-learn model, by training it on many coalitions.

    The value of Ghorbani and Zou (ICML 2019): what a row adds on average over all orders of arrival. Up to 12 players
    are solved exactly; more are sampled, and every value comes with its standard error.

    Args:
        model: A scikit-learn estimator or pipeline; it is copied, never trained itself.
        scoring: The name of a scorer of scikit-learn or a callable ``scorer(estimator, x, y)``; None takes accuracy
            for classifiers and r2 for regressors.
        fits: At most so many coalitions are judged; None where another limit is to end the run.
        target_error: Stop when the mean standard error over players is no larger, in units of the score.
        seconds: Begin no further draw (64 coalitions, or an order of arrival) after so long, stops and resumptions not
            counted. What was found then depends on the machine; the other two limits do not.
        sampling: ``"stratified"``: coalitions of all sizes, each of which tells of every player (several times fewer
            fits for the same error); ``"permutations"``: orders of arrival; ``"antithetic"``: orders of arrival, each
            followed by its reverse.
        truncation: For orders of arrival: once the score is so near the whole set's, later arrivals count 0. Saves
            fits and biases values; None judges every arrival.
        exact: True tries all coalitions (up to 12 players), False samples, None samples above 12 players.
        seed: Of the coalitions drawn and of every ``random_state`` in the model.

    Raises:
        MethodError: A parameter out of range.

    Example:
        >>> import dataworth as dw
        >>> from sklearn.neighbors import NearestCentroid
        >>> train = dw.Points([[0.0], [2.0], [3.0]], ["a", "b", "b"])
        >>> dw.value_points(train, train, method=dw.DataShapley(NearestCentroid()), progress=False).values.round(3)
        array([0.333, 0.083, 0.083])
    """

    model: Any
    _: KW_ONLY
    scoring: str | Scorer | None = None
    fits: int | None = 10_000
    target_error: float | None = None
    seconds: float | None = None
    sampling: Sampling = "stratified"
    truncation: float | None = None
    exact: bool | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _check_trained(self)
        _check_sampled(self)
        _check_arrivals(self.sampling, self.truncation)
        _check_exact(self)

    def __repr__(self) -> str:
        return _retold(self)


@dataclass(frozen=True)
class DataBanzhaf:
    """Banzhaf values of rows (or owners) to any scikit-learn model, by maximum sample reuse.

    What a row adds on average over all coalitions of the others, each equally likely (Wang and Jia, AISTATS 2023):
    of all semivalues the one whose order of rows stands most noise in the score. Nearly all coalitions hold about half
    of the players, and each tells of every player. The values do not sum to the whole set's gain.

    Args:
        model: A scikit-learn estimator or pipeline; it is copied, never trained itself.
        scoring: The name of a scorer of scikit-learn or a callable ``scorer(estimator, x, y)``; None takes accuracy
            for classifiers and r2 for regressors.
        fits: At most so many coalitions are judged; None where another limit is to end the run.
        target_error: Stop when the mean standard error over players is no larger, in units of the score.
        seconds: Begin no further draw after so long; see :class:`DataShapley`.
        exact: True tries all coalitions (up to 12 players), False samples, None samples above 12 players.
        seed: Of the coalitions drawn and of every ``random_state`` in the model.

    Raises:
        MethodError: A parameter out of range.

    Example:
        >>> import dataworth as dw
        >>> from sklearn.neighbors import NearestCentroid
        >>> train = dw.Points([[0.0], [2.0], [3.0]], ["a", "b", "b"])
        >>> dw.value_points(train, train, method=dw.DataBanzhaf(NearestCentroid()), progress=False).values.round(3)
        array([0.375, 0.125, 0.125])
    """

    model: Any
    _: KW_ONLY
    scoring: str | Scorer | None = None
    fits: int | None = 10_000
    target_error: float | None = None
    seconds: float | None = None
    exact: bool | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _check_trained(self)
        _check_sampled(self)

    def __repr__(self) -> str:
        return _retold(self)


@dataclass(frozen=True)
class BetaShapley:
    """Beta Shapley values of rows (or owners) to any scikit-learn model.

    A Shapley value in which small coalitions count more (``alpha`` above ``beta``) or less (Kwon and Zou, AISTATS
    2022). ``alpha=1, beta=1`` is the Shapley value; ``alpha=16, beta=1`` looks at a row among a few others, where one
    more row matters most. The values need not sum to the whole set's gain.

    Args:
        model: A scikit-learn estimator or pipeline; it is copied, never trained itself.
        alpha: Above 0.
        beta: Above 0.
        scoring: The name of a scorer of scikit-learn or a callable ``scorer(estimator, x, y)``; None takes accuracy
            for classifiers and r2 for regressors.
        fits: At most so many coalitions are judged; None where another limit is to end the run.
        target_error: Stop when the mean standard error over players is no larger, in units of the score.
        seconds: Begin no further draw after so long; see :class:`DataShapley`.
        sampling: As in :class:`DataShapley`.
        truncation: As in :class:`DataShapley`.
        exact: True tries all coalitions (up to 12 players), False samples, None samples above 12 players.
        seed: Of the coalitions drawn and of every ``random_state`` in the model.

    Raises:
        MethodError: A parameter out of range.

    Example:
        >>> import dataworth as dw
        >>> from sklearn.neighbors import NearestCentroid
        >>> train = dw.Points([[0.0], [2.0], [3.0]], ["a", "b", "b"])
        >>> method = dw.BetaShapley(NearestCentroid(), alpha=4, beta=1)
        >>> dw.value_points(train, train, method=method, progress=False).values.round(3)
        array([0.167, 0.067, 0.067])
    """

    model: Any
    alpha: float = 16.0
    beta: float = 1.0
    _: KW_ONLY
    scoring: str | Scorer | None = None
    fits: int | None = 10_000
    target_error: float | None = None
    seconds: float | None = None
    sampling: Sampling = "stratified"
    truncation: float | None = None
    exact: bool | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        Beta(self.alpha, self.beta)  # which checks them
        _check_trained(self)
        _check_sampled(self)
        _check_arrivals(self.sampling, self.truncation)
        _check_exact(self)

    def __repr__(self) -> str:
        return _retold(self)


RetrainingMethod: TypeAlias = LeaveOneOut | DataShapley | DataBanzhaf | BetaShapley


def _check_trained(method: RetrainingMethod) -> None:
    if isinstance(method.model, type) or not hasattr(method.model, "fit") or not hasattr(method.model, "get_params"):
        given = f"the class {method.model.__name__}" if isinstance(method.model, type) else type(method.model).__name__
        raise MethodError(
            f"model must be a scikit-learn estimator or pipeline, such as LogisticRegression(), not {given}"
        )
    if method.scoring is not None and not isinstance(method.scoring, str) and not callable(method.scoring):
        raise MethodError(f"scoring must be the name of a scorer, a callable or None, not {method.scoring!r}")
    check_whole("seed", method.seed, 0)


def _check_sampled(method: DataShapley | DataBanzhaf | BetaShapley) -> None:
    if method.fits is not None:
        check_whole("fits", method.fits, 1)
    elif method.target_error is None and method.seconds is None and method.exact is not True:
        raise MethodError("fits=None needs another limit: give target_error or seconds with it, or a number of fits")
    for name, limit in (("target_error", method.target_error), ("seconds", method.seconds)):
        if limit is not None:
            check_positive(name, limit)
    if method.exact is not None and not isinstance(method.exact, bool):
        raise MethodError(f"exact must be True, False or None, not {method.exact!r}")


def _check_exact(method: DataShapley | BetaShapley) -> None:
    if method.exact and (method.truncation is not None or method.target_error is not None):
        raise MethodError("exact=True tries all coalitions, so truncation and target_error mean nothing to it")


def _check_arrivals(sampling: Sampling, truncation: float | None) -> None:
    check_choice("sampling", sampling, _SAMPLINGS)
    if truncation is None:
        return
    check_positive("truncation", truncation)
    if sampling == "stratified":
        raise MethodError('truncation is for orders of arrival; use sampling="permutations" or "antithetic" with it')


def _retold(method: RetrainingMethod) -> str:
    """The parameters that are not the defaults; a model on one line, a scorer by its name."""
    told = []
    for parameter in fields(method):
        given = getattr(method, parameter.name)
        if parameter.name == "model":
            told.append(" ".join(repr(given).split()))
        elif given != parameter.default or parameter.name in ("alpha", "beta"):
            told.append(f"{parameter.name}={called(given) if callable(given) else repr(given)}")
    return f"{type(method).__name__}({', '.join(told)})"
