"""The k nearest of any subset: against sorting the members anew each time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataworth.kernels.neighbor_sets import NeighborSets


def right_by_sorting(
    x: NDArray[np.float64],
    codes: NDArray[np.int64],
    judges: NDArray[np.float64],
    judge_codes: NDArray[np.int64],
    members: NDArray[np.int64],
    k: int,
) -> int:
    right = 0
    for point, code in zip(judges, judge_codes, strict=True):
        near = sorted(members.tolist(), key=lambda row: (((x[row] - point) ** 2).sum(), row))[:k]
        right += int(np.bincount(codes[near], minlength=3).argmax() == code)
    return right


@given(seed=st.integers(0, 10**6), n=st.integers(1, 14), k=st.integers(1, 16), steps=st.integers(1, 40))
def test_whoever_comes_and_goes_the_nearest_members_vote(seed: int, n: int, k: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    # Halves of small integers: many rows are equal, or equally near, and distances are exact.
    x, judges = rng.integers(-2, 3, (n, 2)) / 2, rng.integers(-2, 3, (5, 2)) / 2
    codes, judge_codes = rng.integers(0, 3, n), rng.integers(0, 3, 5)
    sets = NeighborSets(x, codes, judges, judge_codes, 3, k)
    here = np.zeros(n, dtype=np.bool_)
    for _ in range(steps):
        chosen = np.flatnonzero(rng.random(n) < rng.random())
        coming, going = chosen[~here[chosen]], chosen[here[chosen]]
        sets.join(coming)
        sets.leave(going)
        here[coming], here[going] = True, False
        if rng.random() < 0.1:
            sets.clear()
            here[:] = False
        members = np.flatnonzero(here)
        assert sets.right() == right_by_sorting(x, codes, judges, judge_codes, members, k)


def test_equally_near_rows_count_in_their_order() -> None:
    x, codes = np.array([[1.0], [-1.0]]), np.array([1, 0])
    sets = NeighborSets(x, codes, np.array([[0.0]]), np.array([1]), 2, 1)
    sets.join(np.array([1]))
    assert sets.right() == 0
    sets.join(np.array([0]))
    assert sets.right() == 1


def test_of_equal_votes_the_first_class_wins() -> None:
    x, codes = np.array([[1.0], [2.0]]), np.array([1, 0])
    sets = NeighborSets(x, codes, np.array([[0.0]]), np.array([0]), 2, 2)
    sets.join(np.array([0]))
    assert sets.right() == 0
    sets.join(np.array([1]))
    assert sets.right() == 1
