"""What games of any scikit-learn model share: the model checked and seeded, its scorer, and the score of guessing."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import MethodError
from dataworth.valuation.telling import tell

__all__ = [
    "Scorer",
    "check_parameters",
    "check_scorer",
    "for_rows",
    "guessing_score",
    "mean_score",
    "model_copy",
    "model_told",
    "scorer_named",
    "scorer_told",
    "seed_of",
    "seeded",
    "takes_seed",
]

Scorer: TypeAlias = Callable[[Any, Any, Any], float]
"""Called as ``scorer(estimator, x, y)``; higher is better."""

_GUESSES = 100  # random guesses whose mean score is that of knowing nothing


# -- models ---------------------------------------------------------------------------------------


def model_copy(estimator: Any) -> Any | None:
    """An untrained copy of a scikit-learn estimator that learns and predicts; None for anything else."""
    from sklearn.base import clone

    try:
        copy = clone(estimator)
    except TypeError:
        return None
    return copy if hasattr(copy, "fit") and hasattr(copy, "predict") else None


def takes_seed(estimator: Any) -> list[str]:
    """The parameters that take a seed, those of its parts included."""
    return [name for name in estimator.get_params() if name.split("__")[-1] == "random_state"]


def seed_of(seed: int, repeat: int = 0) -> int:
    """The seed that a model gets in one repeat."""
    return int(np.random.SeedSequence([seed, repeat]).generate_state(1)[0])


def seeded(estimator: Any, seed: int) -> Any:
    """An untrained copy in which every ``random_state`` is the seed, whatever it was."""
    from sklearn.base import clone

    return clone(estimator).set_params(**dict.fromkeys(takes_seed(estimator), seed))


# -- scorers --------------------------------------------------------------------------------------


def for_rows(model: Any, n: int) -> Any:
    """The untrained model; one that ends in nearest neighbours asks no more of them than there are rows.

    Scikit-learn refuses to name five neighbours among four rows. Here all four vote, whatever the scorer.

    Args:
        model: A copy that may be changed.
        n: How many rows it will be fitted to.
    """
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    from sklearn.pipeline import Pipeline

    last = model
    while isinstance(last, Pipeline):
        last = last.steps[-1][1]
    if not isinstance(last, KNeighborsClassifier | KNeighborsRegressor) or last.n_neighbors is None:
        return model
    if last.n_neighbors > n:
        last.set_params(n_neighbors=n)
    return model


def check_parameters(estimator: Any) -> None:
    """Refuse what scikit-learn would refuse when it fits: what follows a model without fitting it must not differ.

    Raises:
        MethodError: In scikit-learn's words, which are about parameters.
    """
    from sklearn.pipeline import Pipeline

    if isinstance(estimator, Pipeline):
        for _, step in estimator.steps:
            check_parameters(step)
    kind = type(estimator)
    if kind.__module__.split(".")[0] != "sklearn" or not hasattr(kind, "_validate_params"):
        return
    try:
        estimator._validate_params()
    except ValueError as trouble:
        raise MethodError(f"{kind.__name__} cannot be fitted: {trouble}") from trouble


def check_scorer(model: Any, scoring: object) -> Scorer:
    """The scorer of this name, or the callable itself.

    Raises:
        MethodError: scikit-learn has no scorer of this name, or it is neither a name nor callable.
    """
    from sklearn.metrics import check_scoring

    if not isinstance(scoring, str) and not callable(scoring):
        raise MethodError(f"scoring must be the name of a scorer or a callable, not {scoring!r}")
    try:
        scorer: Scorer = check_scoring(model, scoring=scoring)
    except ValueError as trouble:
        raise MethodError(
            f"scoring={scorer_named(scoring)} is no scorer of scikit-learn; sklearn.metrics.get_scorer_names() lists "
            "them"
        ) from trouble
    return scorer


def scorer_named(scoring: str | Scorer) -> str:
    """A scorer as a message says it, without its address in memory."""
    return repr(scoring) if isinstance(scoring, str) else str(getattr(scoring, "__qualname__", type(scoring).__name__))


def guessing_score(scoring: str | Scorer, classes: NDArray[Any], x: NDArray[Any], labels: NDArray[Any]) -> float:
    """What knowing nothing scores: ``1 / classes`` for accuracy, else the mean of 100 models that guess uniformly.

    Args:
        scoring: The scorer.
        classes: All labels there are, ``(C,)``.
        x: Validation rows, ``(m, d)``.
        labels: Theirs, ``(m,)``.

    Raises:
        MethodError: The scorer cannot score a model that guesses, or scores it NaN or infinite.

    Example:
        >>> import numpy as np
        >>> guessing_score("accuracy", np.array(["cat", "dog"]), np.zeros((1, 2)), np.array(["cat"]))
        0.5
    """
    from sklearn.dummy import DummyClassifier

    if isinstance(scoring, str) and scoring == "accuracy":
        return 1.0 / classes.size
    nothing = np.zeros((classes.size, x.shape[1]))
    guesses = (DummyClassifier(strategy="uniform", random_state=draw) for draw in range(_GUESSES))
    return _mean_score(scoring, "guesses", (guess.fit(nothing, classes) for guess in guesses), x, labels)


def mean_score(scoring: str | Scorer, x: NDArray[Any], targets: NDArray[np.float64]) -> float:
    """What a regressor scores that always predicts the mean of the validation targets.

    Raises:
        MethodError: The scorer cannot score it, or scores it NaN or infinite.
    """
    from sklearn.dummy import DummyRegressor

    constant = DummyRegressor(strategy="constant", constant=float(targets.mean()))
    return _mean_score(scoring, "always predicts the mean", [constant.fit(x[:1], targets[:1])], x, targets)


def _mean_score(scoring: str | Scorer, does: str, models: Any, x: NDArray[Any], y: NDArray[Any]) -> float:
    try:
        with warnings.catch_warnings(action="ignore"):  # guesses may hit labels that no validation point has
            scores = [float(check_scorer(model, scoring)(model, x.copy(), y.copy())) for model in models]
    except Exception as trouble:  # whose words may quote rows
        raise MethodError(
            f"scoring={scorer_named(scoring)} cannot score a model that {does} ({type(trouble).__name__}), so a "
            f"coalition without rows has no utility; {_instead(scoring, y)}"
        ) from trouble
    floor = math.fsum(scores) / len(scores)
    if not math.isfinite(floor):
        raise MethodError(f"scoring={scorer_named(scoring)} scores a model that {does} {floor}; use another scorer")
    return floor


def _instead(scoring: str | Scorer, y: NDArray[Any]) -> str:
    """What to do about a scorer that cannot score knowing nothing."""
    classes = np.unique(y)
    if not isinstance(scoring, str) or (y.dtype.kind == "f" and classes.size > 2):
        return "use another scorer"
    if classes.size > 2:
        return (
            "if it is one of two classes, use an average over classes, such as 'f1_macro' for 'f1', or another scorer"
        )
    if 1 in classes.tolist():
        return "use another scorer"
    return (
        "if it does not know which label is the positive one, use labels 0 and 1, "
        "sklearn.metrics.make_scorer(..., pos_label=...), or an average over classes, such as 'f1_macro' for 'f1'"
    )


# -- what utilities depend on ---------------------------------------------------------------------


def model_told(estimator: Any) -> str:
    """A model with all that it holds and does, and the release of scikit-learn, the same in every process."""
    import sklearn

    return f"{tell(estimator).words} scikit-learn {sklearn.__version__}"


def scorer_told(scoring: str | Scorer) -> str:
    """A scorer with all that it does: functions of one name, such as lambdas, may do different things."""
    return tell(scoring).words
