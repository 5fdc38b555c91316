"""What games of any scikit-learn model share: the model checked and seeded, its scorer, and the score of guessing."""

from __future__ import annotations

import hashlib
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import MethodError

__all__ = [
    "Scorer",
    "check_scorer",
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

_DEEPEST = 12  # parts of parts that are looked into: something may hold itself

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
            scores = [float(check_scorer(model, scoring)(model, x, y)) for model in models]
    except Exception as trouble:
        raise MethodError(
            f"scoring={scorer_named(scoring)} cannot score a model that {does} ({type(trouble).__name__}: "
            f"{trouble}), so a coalition without rows has no utility; use another scorer"
        ) from trouble
    floor = math.fsum(scores) / len(scores)
    if not math.isfinite(floor):
        raise MethodError(f"scoring={scorer_named(scoring)} scores a model that {does} {floor}; use another scorer")
    return floor


# -- what utilities depend on ---------------------------------------------------------------------


def model_told(estimator: Any) -> str:
    """A model with all its settings and the release of scikit-learn, the same in every process."""
    import sklearn

    return f"{_told(estimator)} scikit-learn {sklearn.__version__}"


def scorer_told(scoring: str | Scorer) -> str:
    """A scorer with all that it does: functions of one name, such as lambdas, may do different things."""
    return _told(scoring)


def _told(value: Any, depth: int = 0) -> str:
    """A value in words that differ where it does; of arrays and code their digest, as their repr leaves things out."""
    deeper = depth + 1
    if isinstance(value, np.ndarray) and value.dtype != object:
        digest = hashlib.blake2b(np.ascontiguousarray(value).tobytes(), digest_size=16).hexdigest()
        return f"array {value.dtype} {value.shape} {digest}"
    if isinstance(value, FunctionType):
        enclosed = [cell.cell_contents for cell in value.__closure__ or ()]
        given = _told((value.__defaults__, value.__kwdefaults__, enclosed), deeper)
        return f"{value.__module__} {_code_told(value.__code__)} {given}"
    if isinstance(value, MethodType | partial):
        names = ("__func__", "__self__") if isinstance(value, MethodType) else ("func", "args", "keywords")
        return f"{type(value).__name__} {_told([getattr(value, name) for name in names], deeper)}"
    if depth < _DEEPEST and isinstance(value, Mapping):
        held = sorted(f"{_told(key, deeper)}: {_told(one, deeper)}" for key, one in value.items())
        return "{" + ", ".join(held) + "}"
    if depth < _DEEPEST and isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return f"{type(value).__name__}[{', '.join(_told(one, deeper) for one in value)}]"
    return _object_told(value, depth)


def _object_told(value: Any, depth: int) -> str:
    """Estimators by the parameters they were made with, others by what they say and hold, as make_scorer's do."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    shallow = depth < _DEEPEST and not isinstance(value, type)
    if shallow and hasattr(value, "get_params"):
        return f"{kind}({_told(value.get_params(deep=False), depth + 1)})"
    said = re.sub(r" at 0x[0-9a-f]+", "", repr(value))  # addresses differ from process to process
    return f"{kind}({said}, {_told(vars(value), depth + 1)})" if shallow and hasattr(value, "__dict__") else said


def _code_told(code: CodeType) -> str:
    whole = repr((code.co_code, code.co_names, code.co_varnames, [_constant_told(part) for part in code.co_consts]))
    return hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()


def _constant_told(part: Any) -> str:
    if isinstance(part, frozenset):  # whose order differs from process to process
        return f"frozenset {sorted(repr(one) for one in part)}"
    return _code_told(part) if isinstance(part, CodeType) else repr(part)
