"""Methods as frozen records of their parameters: what to compute, not how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from fractions import Fraction
from numbers import Real
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.errors import MethodError
from dataworth.kernels.neighbors import METRICS, Metric
from dataworth.kernels.threshold import SEMIVALUES, Beta, Semivalue
from dataworth.models.index import HNSW, IVFPQ
from dataworth.models.perceptual import RERANKERS
from dataworth.models.quality import QUALITIES
from dataworth.valuation.parameters import called, check_choice, check_positive, check_whole
from dataworth.valuation.retraining_methods import RetrainingMethod

__all__ = [
    "CappedLinks",
    "KNNRegressionShapley",
    "KNNShapley",
    "Mechanism",
    "NeighborMethod",
    "PointMethod",
    "PublicProxy",
    "SimilarityMatch",
    "Subsampled",
    "ThresholdKNNShapley",
    "ValidationVote",
    "WeightedKNNShapley",
]


@dataclass(frozen=True)
class KNNShapley:
    """Shapley values of the K-nearest-neighbour classifier, exact, in O(n log n) a validation point.

    Args:
        k: How many nearest rows vote.
        normalise: ``"subset"`` divides a coalition's votes by ``min(k, |S|)`` (the soft-label game of Wang and
            Jia 2023, arXiv 2304.04258; an empty coalition guesses: ``1 / classes``). ``"k"`` divides by ``k``
            (the game of Jia et al., PVLDB 2019; an empty coalition scores 0).
        metric: ``"cosine"`` (1 - cosine similarity) or ``"euclidean"``.

    Raises:
        MethodError: A parameter out of range.

    Example:
        >>> import dataworth as dw
        >>> train = dw.Points([[1.0, 0.0], [0.0, 1.0]], ["cat", "dog"])
        >>> dw.value_points(train, train, method=dw.KNNShapley(k=1)).values
        array([0.25, 0.25])
    """

    k: int = 5
    normalise: Literal["subset", "k"] = "subset"
    metric: Metric = "cosine"

    def __post_init__(self) -> None:
        check_whole("k", self.k, 1)
        check_choice("normalise", self.normalise, ("subset", "k"))
        check_choice("metric", self.metric, METRICS)


@dataclass(frozen=True)
class ThresholdKNNShapley:
    """Semivalues of the Threshold-KNN classifier: every row within the radius votes (Wang et al., NeurIPS 2023).

    Two counts a validation point decide all values, so the cost is linear in the number of rows.

    Args:
        radius: In the metric's unit; a row is a neighbour when its distance is ``<= radius``. The paper's
            threshold of -0.5 on negative cosine similarity is ``radius=0.5``.
        semivalue: ``"shapley"``, ``"banzhaf"``, ``"leave-one-out"`` or ``Beta(alpha, beta)``.
        metric: ``"cosine"`` (1 - cosine similarity, in [0, 2]) or ``"euclidean"``.

    Raises:
        MethodError: A parameter out of range.

    Example:
        >>> import dataworth as dw
        >>> train = dw.Points([[1.0, 0.0], [0.0, 1.0]], ["cat", "dog"])
        >>> dw.value_points(train, train, method=dw.ThresholdKNNShapley(radius=0.5)).values
        array([0.25, 0.25])
    """

    radius: float
    semivalue: Semivalue = "shapley"
    metric: Metric = "cosine"

    def __post_init__(self) -> None:
        check_choice("metric", self.metric, METRICS)
        _check_radius(self.radius, self.metric)
        if not isinstance(self.semivalue, Beta):
            check_choice("semivalue", self.semivalue, SEMIVALUES, " or Beta(alpha, beta)")


@dataclass(frozen=True)
class WeightedKNNShapley:
    """Shapley values of the weighted hard-label K-nearest-neighbour classifier, for two classes.

    Weights are rounded to ``2 ** bits`` levels; a coalition is right when the votes for the validation
    label weigh at least as much as those against it (ties and the empty coalition count as right).
    Linear in the number of rows a validation point after sorting (the game of Wang, Mittal and Jia, AISTATS
    2024, arXiv 2401.11103).

    Args:
        k: How many nearest rows vote.
        kernel: ``"rbf"`` (weights fall with squared distance) or ``"uniform"`` (all weigh the same).
        bits: How finely weights are rounded, 1 to 8.
        metric: ``"cosine"`` or ``"euclidean"``.

    Raises:
        MethodError: A parameter out of range.

    Example:
        >>> import dataworth as dw
        >>> train = dw.Points([[1.0, 0.0], [0.0, 1.0]], ["cat", "dog"])
        >>> dw.value_points(train, train, method=dw.WeightedKNNShapley(k=1, kernel="uniform")).values
        array([0., 0.])
    """

    k: int = 5
    kernel: Literal["rbf", "uniform"] = "rbf"
    bits: int = 3
    metric: Metric = "cosine"

    def __post_init__(self) -> None:
        check_whole("k", self.k, 1)
        check_choice("kernel", self.kernel, ("rbf", "uniform"))
        check_choice("metric", self.metric, METRICS)
        check_whole("bits", self.bits, 1, 8)


@dataclass(frozen=True)
class KNNRegressionShapley:
    """Shapley values of K-nearest-neighbour regression (Jia et al., PVLDB 2019, Theorem 6).

    The utility is minus the squared error of the neighbours' labels summed and divided by ``k``.

    Args:
        k: How many nearest rows are averaged.
        empty: What no rows at all score: ``"zero"`` (the paper's) or ``"natural"`` (minus the squared target,
            as a prediction of zero would).
        metric: ``"euclidean"`` or ``"cosine"``.

    Raises:
        MethodError: A parameter out of range.

    Example:
        >>> import dataworth as dw
        >>> train = dw.Points([[0.0], [1.0]], [1.0, 3.0])
        >>> judge = dw.Points([[0.0]], [1.0])
        >>> dw.value_points(train, judge, method=dw.KNNRegressionShapley(k=1, empty="natural")).values
        array([ 2.5, -1.5])
    """

    k: int = 5
    empty: Literal["zero", "natural"] = "zero"
    metric: Metric = "euclidean"

    def __post_init__(self) -> None:
        check_whole("k", self.k, 1)
        check_choice("empty", self.empty, ("zero", "natural"))
        check_choice("metric", self.metric, METRICS)


@dataclass(frozen=True)
class ValidationVote:
    """A row's own vote: the mean over validation points of +1 (in the radius, same label), -1 (other label), 0.

    Uses nothing but the row itself and the validation set, so it reveals nothing about other rows.

    Args:
        radius: In the metric's unit.
        metric: ``"cosine"`` or ``"euclidean"``.

    Raises:
        MethodError: A parameter out of range.

    Example:
        >>> import dataworth as dw
        >>> train = dw.Points([[1.0, 0.0], [0.9, 0.1]], ["cat", "dog"])
        >>> judges = dw.Points([[1.0, 0.0], [0.0, 1.0]], ["cat", "dog"])
        >>> dw.value_points(train, judges, method=dw.ValidationVote(radius=0.5)).values
        array([ 0.5, -0.5])
    """

    radius: float
    metric: Metric = "cosine"

    def __post_init__(self) -> None:
        check_choice("metric", self.metric, METRICS)
        _check_radius(self.radius, self.metric)


@dataclass(frozen=True)
class PublicProxy:
    """Threshold-KNN-Shapley values with both counts estimated from the validation set alone.

    Uses the row itself, the validation set and a number of rows; with ``expected_rows`` declared it reveals
    nothing about other rows.

    Args:
        radius: In the metric's unit.
        expected_rows: The publicly known or declared number of training rows; None takes the true number,
            which is not public unless you say so.
        metric: ``"cosine"`` or ``"euclidean"``.

    Raises:
        MethodError: A parameter out of range.

    Example:
        >>> import dataworth as dw
        >>> train = dw.Points([[1.0, 0.0], [0.0, 1.0]], ["cat", "dog"])
        >>> values = dw.value_points(train, train, method=dw.PublicProxy(radius=0.5, expected_rows=2)).values
        >>> (values > 0).all()
        np.True_
    """

    radius: float
    expected_rows: int | None = None
    metric: Metric = "cosine"

    def __post_init__(self) -> None:
        check_choice("metric", self.metric, METRICS)
        _check_radius(self.radius, self.metric)
        if self.expected_rows is not None:
            check_whole("expected_rows", self.expected_rows, 1)


NeighborMethod: TypeAlias = (
    KNNShapley | ThresholdKNNShapley | WeightedKNNShapley | KNNRegressionShapley | ValidationVote | PublicProxy
)
PointMethod: TypeAlias = NeighborMethod | RetrainingMethod


@dataclass(frozen=True, eq=False, repr=False)
class SimilarityMatch:
    """Values by likeness: each generated item's worth is divided among the training items nearest to it.

    A match ``i`` of a generated item ``j`` of quality ``q`` gets the share ``q * exp(-d_ij / temperature)`` over the
    sum of that for all matches of ``j``, and a training item's value is the sum of its shares (GMValuator: Yang et
    al., ICLR 2025, arXiv 2304.10701, where the temperature is 1).

    Args:
        k: How many training items share in each generated item.
        recall: How the nearest vectors are found: ``"exact"``, or approximately by ``IVFPQ(...)`` or ``HNSW(...)``.
        rerank: What measures the recalled again and picks the matches: ``"pixels"``, ``"ssim"``, ``"st-lpips"``,
            ``"lpips"`` or ``"dreamsim"`` for images; or a callable that takes a list of generated items and an equally
            long list of training items (images as uint8 arrays ``(height, width, 3)``, texts, or vectors where there
            is nothing else) and gives the distance of each pair, which must depend on that pair alone. None keeps the
            distances of the vectors.
        quality: What each generated item is worth: ``"piqe"``, ``"sharpness"`` or ``"entropy"`` of images; a callable
            from a list of generated items to numbers of 0 or more; those numbers, ``(m,)``; or None for 1 each.
        temperature: In the unit of the distances that rank the matches. The smaller, the more goes to the nearest.
        metric: Of the vectors: ``"cosine"`` (1 - cosine similarity) or ``"euclidean"``.
        candidates: How many training items are recalled for the matches to be picked from; by default ``k``, or with
            ``rerank`` 50 or five times ``k``, whichever is more. Never more than there are.

    Raises:
        MethodError: A parameter out of range.

    Example:
        >>> import dataworth as dw
        >>> train = dw.Items([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
        >>> credit = dw.value_generated(dw.Items([[0.9, 0.1]]), train, method=dw.SimilarityMatch(k=1))
        >>> credit.values
        array([1., 0., 0.])
    """

    k: int = 10
    recall: Literal["exact"] | IVFPQ | HNSW = "exact"
    rerank: str | Callable[[list[Any], list[Any]], ArrayLike] | None = None
    quality: str | Callable[[list[Any]], ArrayLike] | ArrayLike | None = None
    temperature: float = 1.0
    metric: Metric = "cosine"
    candidates: int | None = None

    def __post_init__(self) -> None:
        check_whole("k", self.k, 1)
        if not isinstance(self.recall, IVFPQ | HNSW):
            check_choice("recall", self.recall, ("exact",), ", IVFPQ(...) or HNSW(...)")
        if self.rerank is not None and not callable(self.rerank):
            check_choice("rerank", self.rerank, RERANKERS, ", a callable or None")
        if isinstance(self.quality, str):
            check_choice("quality", self.quality, QUALITIES, ", a callable, numbers or None")
        elif self.quality is not None and not callable(self.quality):
            object.__setattr__(self, "quality", _quality(self.quality))
        check_positive("temperature", self.temperature)
        object.__setattr__(self, "k", int(self.k))
        object.__setattr__(self, "temperature", float(self.temperature))
        check_choice("metric", self.metric, METRICS)
        if self.candidates is not None:
            check_whole("candidates", self.candidates, 1)
            if self.candidates < self.k:
                raise MethodError(
                    f"candidates must be k, {self.k}, or more, not {self.candidates}: matches are picked from them"
                )
            object.__setattr__(self, "candidates", int(self.candidates))

    def __repr__(self) -> str:
        return f"SimilarityMatch({', '.join(f'{field.name}={self._told(field.name)}' for field in fields(self))})"

    def _told(self, name: str) -> str:
        """A parameter as text: a callable by its name, numbers by how many there are."""
        given = getattr(self, name)
        if isinstance(given, np.ndarray):
            return f"array({given.size})"
        return called(given) if callable(given) else repr(given)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SimilarityMatch) and all(
            np.array_equal(ours, theirs)
            if isinstance(ours, np.ndarray) or isinstance(theirs, np.ndarray)
            else bool(ours == theirs)
            for ours, theirs in ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        )

    def __hash__(self) -> int:
        return hash((self.k, self.recall, self.temperature, self.metric, self.candidates))

    def recalled(self, n: int) -> int:
        """How many of ``n`` training items are recalled for each generated item."""
        wanted = max(50, 5 * self.k) if self.rerank is not None else self.k
        return min(n, self.candidates or wanted)


@dataclass(frozen=True)
class CappedLinks:
    """Release the counts of all rows, each row linked with at most so many validation points.

    A row moves at most that many counts, so they need noise in proportion to the square root of the cap. Noisy
    counts are shrunk toward what the validation set, reweighted to explain them, predicts.

    Args:
        links: The cap; None chooses it by simulating the release on the validation set, which is public.

    Raises:
        MethodError: Not a positive integer.

    Example:
        >>> import dataworth as dw
        >>> dw.CappedLinks(links=50)
        CappedLinks(links=50)
    """

    links: int | None = None

    def __post_init__(self) -> None:
        if self.links is not None:
            check_whole("links", self.links, 1)
            object.__setattr__(self, "links", int(self.links))


@dataclass(frozen=True)
class Subsampled:
    """Release the counts of a fresh random subsample of the rows at each validation point.

    The mechanism of Wang et al. (NeurIPS 2023), with two counts in place of three, and integer noise.

    Args:
        probability: Of a row being counted at a point, above 0 and at most 1; kept as an exact fraction. A
            float stands for the decimal that Python prints for it.

    Raises:
        MethodError: Out of range, or no number.

    Example:
        >>> import dataworth as dw
        >>> dw.Subsampled(0.01)
        Subsampled(probability=Fraction(1, 100))
    """

    probability: Fraction

    def __init__(self, probability: Fraction | float | str = Fraction(1, 100)) -> None:
        exact: object = probability
        if isinstance(probability, float | str):
            try:
                exact = Fraction(repr(float(probability)) if isinstance(probability, float) else probability)
            except (ValueError, ZeroDivisionError):
                exact = None
        if isinstance(exact, bool) or not isinstance(exact, Fraction | int) or not 0 < exact <= 1:
            raise MethodError(f"probability must be a number above 0 and at most 1, not {probability!r}")
        object.__setattr__(self, "probability", Fraction(exact))


Mechanism: TypeAlias = CappedLinks | Subsampled


def _quality(given: Any) -> NDArray[np.float64]:
    """Numbers of 0 or more as an array of their own, which nobody writes to."""
    try:
        numbers = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise MethodError(
            f"quality must be one of {', '.join(map(repr, QUALITIES))}, a callable, numbers or None, "
            f"not {type(given).__name__}"
        ) from None
    if numbers.ndim != 1 or np.asarray(given).dtype.kind not in "fiub":
        raise MethodError(f"quality must be a flat list of numbers, one a generated item, not of shape {numbers.shape}")
    odd = int((~(np.isfinite(numbers) & (numbers >= 0))).sum())
    if odd:
        raise MethodError(f"{odd} of {numbers.size} qualities are negative or not finite; they must be 0 or more")
    numbers.flags.writeable = False
    return numbers


def _check_radius(radius: object, metric: Metric) -> None:
    top = 2.0 if metric == "cosine" else 1e150
    number = isinstance(radius, Real) and not isinstance(radius, bool)
    if not number or not 0 <= radius <= top:  # type: ignore[operator]
        unit = "from 0 to 2 (1 - cosine similarity; the paper's tau = -0.5 is 0.5)" if top == 2 else "from 0 to 1e150"
        raise MethodError(f"radius must be a number {unit}, not {radius!r}")
