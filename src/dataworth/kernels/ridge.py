"""Ridge classifiers whose training is a sum: what each provider's rows say, added up and solved.

A ridge classifier needs of its training rows only sums over them (the Gram matrix of the features and, for each
class, the sum of the features of its rows). So every provider's rows are read once, and a model of any coalition is
a sum of a few matrices and one Cholesky solve: thousands of coalitions in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from threadpoolctl import ThreadpoolController

from dataworth.errors import DataError, MethodError
from dataworth.kernels.neighbors import pairwise
from dataworth.kernels.team import blocks

__all__ = ["CLIP", "FeatureMap", "LinearClassifier", "Statistics", "add_up", "collect", "one_thread", "solve"]

CLIP = 10.0
"""Standard deviations of the public rows beyond which a feature counts as this far out.

One wild value in one provider's rows, or a column that hardly varies in the public ones, would otherwise outweigh
everything else, or make the sums singular in double precision.
"""

_BLOCK = 4096  # rows turned into float64 features at a time
_MOST_ROWS = 1000  # of the public rows whose distances set the width of random features


# -- features -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """From rows to features, by public figures only.

    Columns are standardised by the mean and standard deviation of public rows (a column that is constant there is
    only centred), clipped at :data:`CLIP`, and divided by the square root of their number, so that a typical public
    row has squared length 1 whatever its number of columns. Random features take the place of these if asked for.

    Args:
        mean: Of each column, ``(d,)``.
        scale: What a centred column is divided by, ``(d,)``.
        waves: Frequencies of random features, ``(d, D)``, or None.
        phases: Their phases, ``(D,)``, or None.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    waves: NDArray[np.float64] | None = None
    phases: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, public: NDArray[Any], random_features: int | None = None, seed: int = 0) -> FeatureMap:
        """The map that public rows set.

        Args:
            public: Rows that may be known to everybody, ``(m, d)``, finite.
            random_features: How many random Fourier features (Rahimi and Recht, NIPS 2007) of a Gaussian kernel as
                wide as the median distance of the public rows; None for the columns themselves.
            seed: Of the random features.

        Raises:
            DataError: Columns too large to be standardised in double precision.
        """
        rows = public.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, spread = rows.mean(axis=0), rows.std(axis=0)
        beyond = int((~(np.isfinite(mean) & np.isfinite(spread))).sum())
        if beyond:
            raise DataError(f"{beyond} of {mean.size} columns hold numbers too large to be standardised; scale them")
        # A constant column is found by comparing: its computed deviation need not be exactly 0.
        constant = (rows == rows[0]).all(axis=0) | ~(spread > 0)
        plain = cls(mean, np.where(constant, 1.0, spread))
        if random_features is None:
            return plain
        some = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MOST_ROWS)).astype(np.int64))
        apart = pairwise(plain._standard(rows[some]), "euclidean")
        apart = apart[apart > 0]
        width = float(np.median(apart)) if apart.size else 1.0
        rng = np.random.default_rng(seed)
        waves = rng.standard_normal((mean.size, random_features)) / width
        return cls(plain.mean, plain.scale, waves, rng.uniform(0.0, 2.0 * math.pi, random_features))

    def __call__(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Features of rows ``(n, d)``, with a column of ones before them: float64, ``(n, width)``."""
        out = np.empty((len(x), self.width))
        out[:, 0] = 1.0
        for start, stop in blocks(len(x), _BLOCK):
            standard = self._standard(x[start:stop])
            if self.waves is None or self.phases is None:
                out[start:stop, 1:] = standard
            else:
                out[start:stop, 1:] = np.cos(standard @ self.waves + self.phases) * math.sqrt(2 / self.waves.shape[1])
        return out

    @property
    def width(self) -> int:
        """How many features there are, with the column of ones."""
        return 1 + int(self.mean.size if self.waves is None else self.waves.shape[1])

    def _standard(self, x: NDArray[Any]) -> NDArray[np.float64]:
        with np.errstate(over="ignore"):  # clipped next
            standard = (x.astype(np.float64) - self.mean) / self.scale
        return np.asarray(np.clip(standard, -CLIP, CLIP) / math.sqrt(self.mean.size))


# -- sums over rows -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Statistics:
    """All that a ridge classifier needs of some rows.

    Args:
        gram: Sum of the products of features, ``(width, width)``.
        cross: Sum of the features of each class's rows, ``(width, C)``.
        counts: Rows of each class, int64, ``(C,)``.
    """

    gram: NDArray[np.float64]
    cross: NDArray[np.float64]
    counts: NDArray[np.int64]


def collect(features: FeatureMap, x: NDArray[Any], codes: NDArray[np.int64], n_classes: int) -> Statistics:
    """The statistics of rows, block by block.

    Args:
        features: The public map.
        x: Rows, ``(n, d)``.
        codes: Class of each row, ``0 .. n_classes - 1``, ``(n,)``.
        n_classes: How many classes there are.

    Example:
        >>> import numpy as np
        >>> x = np.array([[-1.0], [1.0], [1.0]])
        >>> found = collect(FeatureMap.of(np.array([[-1.0], [1.0]])), x, np.array([0, 1, 1]), 2)
        >>> found.gram.tolist(), found.cross.tolist(), found.counts.tolist()
        ([[3.0, 1.0], [1.0, 3.0]], [[1.0, 2.0], [-1.0, 2.0]], [1, 2])
    """
    gram = np.zeros((features.width, features.width))
    cross = np.zeros((features.width, n_classes))
    for start, stop in blocks(len(x), _BLOCK):
        part = features(x[start:stop])
        gram += part.T @ part
        cross += part.T @ np.eye(n_classes)[codes[start:stop]]
    return Statistics(gram, cross, np.bincount(codes, minlength=n_classes).astype(np.int64))


def add_up(parts: Sequence[Statistics]) -> Statistics:
    """The statistics of all rows together, added from first to last; at least one part."""
    gram, cross, counts = parts[0].gram, parts[0].cross, parts[0].counts
    for part in parts[1:]:
        gram, cross, counts = gram + part.gram, cross + part.cross, counts + part.counts
    return Statistics(gram, cross, counts)


# -- models ---------------------------------------------------------------------------------------


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()  # looking for libraries takes as long as many small products


def one_thread() -> AbstractContextManager[object]:
    """While it lasts, products stay on one core: small ones only wait for each other's threads on a busy machine."""
    context: AbstractContextManager[object] = _blas().limit(limits=1, user_api="blas")
    return context


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """Scores of classes, linear in the features.

    The scores of a row sum to 1 over the classes, as the indicators do that they were fitted to, so some class of the
    training rows scores above 0, and a class that they did not have, which scores 0 everywhere, is never chosen.

    Args:
        features: The public map.
        weights: ``(width, C)``.
    """

    features: FeatureMap
    weights: NDArray[np.float64]

    def predict(self, x: NDArray[Any]) -> NDArray[np.int64]:
        """The class of each row ``(n, d)``: the highest score, of equal ones the first class.

        Rows are classified one by one. A matrix product of many rows may round a row's score by where the row
        stands; here no row can ever change the class of another, which counts of private rows rely on.
        """
        found = np.empty(len(x), dtype=np.int64)
        with one_thread():
            for row in range(len(x)):
                found[row : row + 1] = self.choose(self.features(x[row : row + 1]))
        return found

    def choose(self, features: NDArray[np.float64]) -> NDArray[np.int64]:
        """The classes of rows that are features already, ``(n, width)``, all at once."""
        return np.asarray((features @ self.weights).argmax(axis=1), dtype=np.int64)


def solve(features: FeatureMap, sums: Statistics, penalty: float) -> LinearClassifier:
    """The classifier that minimises the squared error on indicators of the classes plus a penalty on the weights.

    Args:
        features: The map that the statistics were collected with.
        sums: Of at least one row.
        penalty: Added to the diagonal of the Gram matrix, above 0; the intercept goes free. In units of rows: a
            penalty of 1 weighs as much as one more row of typical length.

    Raises:
        MethodError: A penalty so small that the sums are singular in double precision.

    Example:
        >>> import numpy as np
        >>> features = FeatureMap.of(np.array([[-1.0], [1.0]]))
        >>> sums = collect(features, np.array([[-1.0], [1.0]]), np.array([0, 1]), 2)
        >>> solve(features, sums, 1.0).predict(np.array([[-0.1], [0.1]])).tolist()
        [0, 1]
    """
    gram = sums.gram.copy()
    inner = np.arange(1, features.width)
    gram[inner, inner] += penalty
    try:
        weights = cho_solve(cho_factor(gram, overwrite_a=True, check_finite=False), sums.cross, check_finite=False)
    except LinAlgError:
        raise MethodError(
            f"a ridge penalty of {penalty:g} is too small for these rows: the sums are singular in double precision"
        ) from None
    return LinearClassifier(features, weights)
