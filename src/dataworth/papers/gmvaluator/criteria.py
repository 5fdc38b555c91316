"""What GMValuator is judged by, as plain functions of matches, values and what is known of the items.

None of them knows how items were generated, so each can be tried on stand-ins. C1 and C2 ask whether an item's
contributors are of its kind, which likeness nearly guarantees: the number says little without the ones beside it,
what a random choice would reach and what real images that no generator made reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError
from dataworth.records import Values

__all__ = [
    "Found",
    "Rank",
    "agreement",
    "chance_agreement",
    "find_planted",
    "first_is",
    "frechet_distance",
    "permuted_spearman",
    "random_agreement",
]


# -- C1 and C2: contributors alike ---------------------------------------------------------------


def agreement(at: NDArray[np.int64], train: NDArray[Any], generated: NDArray[Any], k: int) -> NDArray[np.float64]:
    """Of each generated item's first ``k`` contributors, the share that has its class or attribute.

    Args:
        at: Positions of the contributors, nearest and so largest share first, shape ``(m, >=k)``.
        train: Class or attribute of each training item, shape ``(n,)``.
        generated: Of each generated item, shape ``(m,)``.
        k: How many contributors count.

    Returns:
        Between 0 and 1, shape ``(m,)``.

    Raises:
        InputError: Fewer than ``k`` contributors, or lengths that differ.

    Example:
        >>> agreement(np.array([[0, 1], [2, 1]]), np.array([7, 7, 3]), np.array([7, 7]), k=2).tolist()
        [1.0, 0.5]
    """
    if at.ndim != 2 or generated.shape != at.shape[:1]:
        raise InputError(f"contributors are needed of every generated item: {at.shape} beside {generated.shape}")
    first = at[:, :k]
    if k < 1 or first.shape[1] < k or (first < 0).any():
        raise InputError(f"the first {k} contributors are asked for, but some item has fewer; match with k={k} or more")
    alike: NDArray[np.float64] = (train[first] == generated[:, None]).mean(axis=1)
    return alike


def chance_agreement(train: NDArray[Any], generated: NDArray[Any]) -> NDArray[np.float64]:
    """What items drawn at random reach in :func:`agreement` on average, whatever k: the kind's share of the pool.

    Args:
        train: Class or attribute of each training item, shape ``(n,)``.
        generated: Of each generated item, shape ``(m,)``.

    Returns:
        Shape ``(m,)``.
    """
    names, counts = np.unique(train, return_counts=True)
    place = np.minimum(np.searchsorted(names, generated), names.size - 1)
    share: NDArray[np.float64] = np.where(names[place] == generated, counts[place] / train.size, 0.0)
    return share


def random_agreement(train: NDArray[Any], generated: NDArray[Any], k: int, seed: int) -> NDArray[np.float64]:
    """What ``k`` random training items a generated item reach in one draw.

    Args:
        train: Class or attribute of each training item, shape ``(n,)``.
        generated: Of each generated item, shape ``(m,)``.
        k: How many are drawn for each, without replacement.
        seed: Of the draw.

    Returns:
        Shape ``(m,)``.
    """
    random = np.random.default_rng(seed)
    drawn = np.array([random.choice(train.size, k, replace=False) for _ in generated])
    return agreement(drawn, train, generated, k)


# -- C3: odd items rank low ----------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """How well low values find planted items.

    Args:
        auroc: Chance that a planted item's value is below another's, ties counting half.
        random: The same after the values were dealt out anew at random.
        uncredited: Share of the planted items whose value is 0, because nothing matched them.
        uncredited_others: Share of the other items whose value is 0: these tie with the planted ones.
        mean: Mean value of the planted items.
        mean_others: Mean value of the others.
    """

    auroc: float
    random: float
    uncredited: float
    uncredited_others: float
    mean: float
    mean_others: float


def find_planted(values: Values, planted: NDArray[np.bool_], seed: int) -> Found:
    """Rank the training items by value and look where the planted ones are.

    Args:
        values: Of all training items.
        planted: Which are planted, shape ``(n,)``.
        seed: Of the random ranking.

    Raises:
        InputError: The mask marks none or all, or has another shape.
    """
    auroc = values.detection(planted).auroc
    dealt = Values(values.ids, np.random.default_rng(seed).permutation(values.values), "at random", 0)
    nothing = values.values == 0
    return Found(
        auroc=auroc,
        random=dealt.detection(planted).auroc,
        uncredited=float(nothing[planted].mean()),
        uncredited_others=float(nothing[~planted].mean()),
        mean=float(values.values[planted].mean()),
        mean_others=float(values.values[~planted].mean()),
    )


# -- copies: the original comes first ------------------------------------------------------------


def first_is(at: NDArray[np.int64], originals: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each copy's first contributor is its original.

    Args:
        at: Positions of the contributors, largest share first, shape ``(m, k)``.
        originals: Position of each copy's original, shape ``(m,)``.
    """
    if at.ndim != 2 or originals.shape != at.shape[:1] or at.shape[1] < 1:
        raise InputError(f"one original a copy is needed: {at.shape} beside {originals.shape}")
    first: NDArray[np.bool_] = at[:, 0] == originals
    return first


# -- retraining: quality of what is made, and agreement of two rankings ---------------------------


def frechet_distance(first: NDArray[Any], second: NDArray[Any]) -> float:
    """The Fréchet distance of two normal distributions with the means and covariances of two samples.

    ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))``; the trace of the root is the sum of the singular values of
    ``A B^T``, where ``A`` and ``B`` are the centred samples over the root of their sizes less one. Small samples of
    many features read high: compare figures of equal sizes only.

    Args:
        first: Vectors, shape ``(n1, d)``.
        second: Vectors, shape ``(n2, d)``.

    Raises:
        DataError: Fewer than two vectors, or vectors of different lengths.

    Example:
        >>> x = np.array([[0.0, 1.0], [2.0, 1.0], [1.0, 5.0]])
        >>> abs(round(frechet_distance(x, x), 6)), round(frechet_distance(x, x + 2), 6)
        (0.0, 8.0)
    """
    if min(len(first), len(second)) < 2 or first.shape[1:] != second.shape[1:]:
        raise DataError(f"two samples of at least two equally long vectors each, not {first.shape}, {second.shape}")
    means = [np.mean(x, axis=0, dtype=np.float64) for x in (first, second)]
    a, b = ((x - mean) / np.sqrt(len(x) - 1) for x, mean in zip((first, second), means, strict=True))
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(((means[0] - means[1]) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * root)


@dataclass(frozen=True)
class Rank:
    """Spearman's rank correlation.

    Args:
        rho: The correlation.
        p: Share of the orders that reach one at least as far from 0, the given order among them: two-sided.
    """

    rho: float
    p: float


def permuted_spearman(first: NDArray[Any], second: NDArray[Any], *, permutations: int = 9999, seed: int = 0) -> Rank:
    """Spearman's correlation of two lists, with a p-value from random orders of one of them.

    Args:
        first: Numbers, shape ``(n,)``.
        second: Numbers, shape ``(n,)``.
        permutations: How many random orders.
        seed: Of the orders.

    Raises:
        DataError: Lists of different lengths, fewer than three entries, or a list whose entries are all equal.
    """
    from scipy.stats import rankdata

    if first.shape != second.shape or first.ndim != 1 or first.size < 3:
        raise DataError(f"two lists of one length of at least three numbers, not {first.shape} and {second.shape}")
    a, b = (rankdata(numbers) - (first.size + 1) / 2 for numbers in (first, second))
    size = np.sqrt((a @ a) * (b @ b))
    if size == 0:
        raise DataError("a list whose numbers are all equal has no order to compare")
    random = np.random.default_rng(seed)
    others = np.array([random.permutation(a) @ b for _ in range(permutations)])
    further = int((np.abs(others) >= abs(a @ b) - 1e-9 * size).sum())
    return Rank(float(a @ b / size), (1 + further) / (1 + permutations))
