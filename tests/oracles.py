"""Right answers the slow way: every coalition, in fractions, from the definitions of the utilities.

Nothing here uses a closed form of a value except the functions named ``*_reference``, which are the plain
float64 walks for sizes that no enumeration reaches. A coalition is a tuple of ranks in ascending order, so the
rows nearest to the validation point come first and ``coalition[:k]`` are its voters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Coalition = tuple[int, ...]
Utility = Callable[[Coalition], Fraction]
Metric = Literal["cosine", "euclidean"]

# -- utilities, from their definitions ---------------------------------------------------------------------------


def soft_knn(match: Sequence[bool], k: int, n_classes: int) -> Utility:
    """The share of matches among the ``min(k, |S|)`` nearest; the empty coalition guesses."""

    def utility(coalition: Coalition) -> Fraction:
        voters = coalition[:k]
        if not voters:
            return Fraction(1, n_classes)
        return Fraction(sum(bool(match[i]) for i in voters), len(voters))

    return utility


def fixed_knn(match: Sequence[bool], k: int) -> Utility:
    """Matches among the k nearest, divided by k however few there are."""

    def utility(coalition: Coalition) -> Fraction:
        return Fraction(sum(bool(match[i]) for i in coalition[:k]), k)

    return utility


def threshold_knn(match: Sequence[bool], inside: Sequence[bool], n_classes: int) -> Utility:
    """The share of matches among the members inside the radius; with none inside it guesses."""

    def utility(coalition: Coalition) -> Fraction:
        voters = [i for i in coalition if inside[i]]
        if not voters:
            return Fraction(1, n_classes)
        return Fraction(sum(bool(match[i]) for i in voters), len(voters))

    return utility


def weighted_hard_label(signed_weights: Sequence[int], k: int) -> Utility:
    """1 when the signed weights of the k nearest sum to 0 or more (ties and no members at all are right)."""

    def utility(coalition: Coalition) -> Fraction:
        return Fraction(sum(int(signed_weights[i]) for i in coalition[:k]) >= 0)

    return utility


def regression(labels: Sequence[Fraction], target: Fraction, k: int, empty: Literal["zero", "natural"]) -> Utility:
    """Minus the squared error of the sum of the k nearest labels divided by k."""

    def utility(coalition: Coalition) -> Fraction:
        if not coalition and empty == "zero":
            return Fraction(0)
        return -((sum((labels[i] for i in coalition[:k]), Fraction(0)) / k - target) ** 2)

    return utility


# -- semivalues, by enumeration ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class SemivalueLaw:
    """A semivalue, told twice, independently.

    ``weights(n)[s]`` is what it weighs one coalition of ``s`` other players with, times n (so that
    ``sum over s of comb(n - 1, s) * weights[s] == n``). ``absent(m)[others]`` is the chance that this many
    given other players are all absent when the player joins, for others < m: what the closed forms are made of.
    """

    name: str
    weights: Callable[[int], list[Fraction]]
    absent: Callable[[int], list[Fraction]]

    def __str__(self) -> str:
        return self.name


SHAPLEY = SemivalueLaw(
    "shapley",
    lambda n: [Fraction(1, math.comb(n - 1, s)) for s in range(n)],
    lambda m: [Fraction(1, others + 1) for others in range(m)],
)
BANZHAF = SemivalueLaw(
    "banzhaf",
    lambda n: [Fraction(n, 2 ** (n - 1))] * n,
    lambda m: [Fraction(1, 2**others) for others in range(m)],
)
LEAVE_ONE_OUT = SemivalueLaw(
    "leave-one-out",
    lambda n: [Fraction(n * (s == n - 1)) for s in range(n)],
    lambda m: [Fraction(others == 0) for others in range(m)],
)


def beta(alpha: int | Fraction, beta: int | Fraction) -> SemivalueLaw:
    """Beta(alpha, beta) of Kwon and Zou; alpha above beta favours small coalitions."""

    def rising(start: int | Fraction, steps: int) -> Fraction:
        return math.prod((Fraction(start) + j for j in range(steps)), start=Fraction(1))

    def weights(n: int) -> list[Fraction]:
        return [n * rising(beta, s) * rising(alpha, n - 1 - s) / rising(alpha + beta, n - 1) for s in range(n)]

    def absent(m: int) -> list[Fraction]:
        return [rising(alpha, others) / rising(alpha + beta, others) for others in range(m)]

    return SemivalueLaw(f"beta({alpha}, {beta})", weights, absent)


def semivalue(utility: Utility, n: int, weights: Sequence[Fraction]) -> list[Fraction]:
    """Every player's value: its weighed marginal contributions to all coalitions of the others.

    Args:
        utility: What a coalition scores.
        n: How many players.
        weights: What a coalition of s others weighs, times n; ``n`` of them.
    """
    score = {coalition: utility(coalition) for size in range(n + 1) for coalition in combinations(range(n), size)}
    values = []
    for i in range(n):
        gained = [Fraction(0)] * n
        for coalition, before in score.items():
            if i not in coalition:
                after = score[tuple(sorted((*coalition, i)))]
                if after != before:
                    gained[len(coalition)] += after - before
        values.append(sum((w * g for w, g in zip(weights, gained, strict=True)), Fraction(0)) / n)
    return values


def shapley(utility: Utility, n: int) -> list[Fraction]:
    """The Shapley value of every player."""
    return semivalue(utility, n, SHAPLEY.weights(n))


def permutation_shapley(
    utility: Utility, n: int, permutations: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shapley values estimated from random orders of arrival, and their standard errors."""
    gains = np.empty((permutations, n))
    for row in gains:
        members: list[int] = []
        before = utility(())
        for i in rng.permutation(n).tolist():
            members = sorted([*members, i])
            after = utility(tuple(members))
            row[i] = after - before
            before = after
    return gains.mean(axis=0), gains.std(axis=0, ddof=1) / math.sqrt(permutations)


# -- plain float64 walks for larger sizes ------------------------------------------------------------------------


def knn_reference(
    match_sorted: Sequence[bool] | NDArray[np.bool_], k: int, n_classes: int, normalise: Literal["subset", "k"]
) -> NDArray[np.float64]:
    """KNN-Shapley by the recursion from the farthest row inwards, rank by rank, for one validation point.

    Args:
        match_sorted: Whether each row shares the point's label, nearest first.
        k: How many nearest rows vote.
        n_classes: What the empty coalition guesses among (``"subset"`` only).
        normalise: ``"subset"`` divides votes by ``min(k, |S|)``, ``"k"`` by k.
    """
    a = [float(match) for match in match_sorted]
    n = len(a)
    values = np.empty(n)
    if normalise == "k":
        values[n - 1] = a[n - 1] / max(k, n)
        for i in range(n - 1, 0, -1):
            values[i - 1] = values[i] + (a[i - 1] - a[i]) / k * min(k, i) / i
        return values
    values[n - 1] = (a[n - 1] - 1 / n_classes) / n
    if n >= 2:
        others = sum(a[: n - 1]) / (n - 1)
        values[n - 1] += (a[n - 1] - others) / n * sum(1 / (j + 1) for j in range(1, min(k, n)))
    harmonic = sum(1 / j for j in range(1, min(k, n - 1) + 1))
    for i in range(n - 1, 0, -1):
        pull = harmonic + ((min(i, k) * (n - 1) / i - k) / k if n > k else 0.0)
        values[i - 1] = values[i] + (a[i - 1] - a[i]) / (n - 1) * pull
    return values


def tknn_reference(
    match: Sequence[bool] | NDArray[np.bool_],
    inside: Sequence[bool] | NDArray[np.bool_],
    n_classes: int,
    law: SemivalueLaw = SHAPLEY,
) -> NDArray[np.float64]:
    """Threshold-KNN values row by row from the counts of the other neighbours, for one validation point."""
    m = int(np.sum(inside))
    same = int(np.sum(np.asarray(match) & np.asarray(inside)))
    values = np.zeros(len(match))
    if m == 0:
        return values
    absent = [float(chance) for chance in law.absent(m)]
    alone, joining = absent[-1], math.fsum(absent) / m
    for i in range(len(match)):
        if inside[i]:
            a = float(match[i])
            values[i] = (a - 1 / n_classes) * alone
            if m >= 2:
                values[i] += (a - (same - a) / (m - 1)) * (joining - alone)
    return values


def weighted_reference(signed_weights: Sequence[int], k: int) -> list[Fraction]:
    """Weighted hard-label KNN-Shapley by counting subsets in Python integers; exact, for n up to about 200.

    For each row: subsets of the others by size and sum, counted afresh without that row, both among all rows
    (where it joins fewer than k) and among the rows nearer than each row it could push out.
    """
    w = [int(weight) for weight in signed_weights]
    n = len(w)
    values = []
    for i in range(n):
        counts: list[dict[int, int]] = [{0: 1}] + [{} for _ in range(k - 1)]
        value = Fraction(0)
        for rank, weight in enumerate(w):  # rank from 0: how many rows are nearer
            if rank > i and rank >= k:
                drawn = counts[k - 1].items()
                differ = sum(c * ((s + w[i] >= 0) - (s + weight >= 0)) for s, c in drawn)
                value += Fraction(differ, (rank + 1) * math.comb(rank, k))
            if rank != i:
                for size in range(k - 1, 0, -1):
                    for s, c in counts[size - 1].items():
                        counts[size][s + weight] = counts[size].get(s + weight, 0) + c
        for size in range(min(k, n)):
            turned = sum(c * ((s + w[i] >= 0) - (s >= 0)) for s, c in counts[size].items())
            value += Fraction(turned, n * math.comb(n - 1, size))
        values.append(value)
    return values


# -- who is near whom, exactly -----------------------------------------------------------------------------------


def nearest_first(x: NDArray[Any], point: NDArray[Any], metric: Metric) -> list[int]:
    """Positions of the rows from nearest to farthest by exact arithmetic; equal distances in row order."""
    return sorted(range(len(x)), key=lambda i: (_exact_key(x[i], point, metric), i))


def inside_radius(x: NDArray[Any], point: NDArray[Any], radius: float, metric: Metric) -> list[bool]:
    """Whether each row's distance, up to 1e-9 (1 + radius), is at most the radius."""
    return [float_distance(row, point, metric) <= radius + 1e-9 * (1 + radius) for row in x]


def float_distance(row: NDArray[Any], point: NDArray[Any], metric: Metric) -> float:
    """The distance of two rows, rounded once or twice from exact sums."""
    a, b = [Fraction(float(u)) for u in row], [Fraction(float(u)) for u in point]
    if metric == "euclidean":
        return math.sqrt(sum((p - q) ** 2 for p, q in zip(a, b, strict=True)))
    dot = sum(p * q for p, q in zip(a, b, strict=True))
    return 1.0 - float(dot) / math.sqrt(sum(p * p for p in a) * sum(q * q for q in b))


def _exact_key(row: NDArray[Any], point: NDArray[Any], metric: Metric) -> Fraction:
    """A rational that sorts as the distance does."""
    a, b = [Fraction(float(u)) for u in row], [Fraction(float(u)) for u in point]
    if metric == "euclidean":
        return sum(((p - q) ** 2 for p, q in zip(a, b, strict=True)), Fraction(0))
    dot = sum((p * q for p, q in zip(a, b, strict=True)), Fraction(0))
    return -dot * abs(dot) / sum((p * p for p in a), Fraction(0))


def nearest_links(
    row: NDArray[Any], points: NDArray[Any], radius: float, most: int, metric: Metric
) -> tuple[list[int], int]:
    """The points that one row keeps when it may keep so many: its nearest within the radius, ties in point order.

    Returns:
        The points kept, in ascending order, and how many are within the radius in all.
    """
    inside = inside_radius(points, row, radius, metric)
    links = [z for z in nearest_first(points, row, metric) if inside[z]]
    return sorted(links[:most]), len(links)
