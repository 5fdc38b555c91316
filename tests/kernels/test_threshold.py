"""The one formula of Threshold-KNN values, and the look-up that adds them."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataworth.kernels.neighbors import Judges, link, prepare
from dataworth.kernels.threshold import Beta, add_links, neighbour_value, point_weights
from tests import oracles

LAWS: list[tuple[Any, oracles.SemivalueLaw]] = [
    ("shapley", oracles.SHAPLEY),
    ("banzhaf", oracles.BANZHAF),
    ("leave-one-out", oracles.LEAVE_ONE_OUT),
    (Beta(1, 1), oracles.SHAPLEY),
    (Beta(16, 1), oracles.beta(16, 1)),
    (Beta(1, 16), oracles.beta(1, 16)),
    (Beta(0.5, 2), oracles.beta(Fraction(1, 2), 2)),
]


@pytest.mark.parametrize(("semivalue", "law"), LAWS, ids=str)
@given(same=st.integers(0, 30), other=st.integers(0, 30), own=st.booleans(), classes=st.sampled_from([2, 3, 10]))
def test_value_of_a_neighbour(
    semivalue: Any, law: oracles.SemivalueLaw, same: int, other: int, own: bool, classes: int
) -> None:
    match = [own] + [True] * same + [False] * other
    expected = oracles.tknn_reference(match, [True] * len(match), classes, law)[0]
    assert neighbour_value(same, other, own, classes, semivalue) == pytest.approx(expected, abs=1e-12)


def test_crowds_of_a_million_keep_their_digits() -> None:
    m = 1_000_000
    harmonic = math.fsum(1 / j for j in range(1, m + 1))
    p = m // 3
    expected = (1 - 1 / 2) / m + (harmonic - 1) / m * (1 - p / (m - 1))
    assert float(neighbour_value(p, m - 1 - p, True, 2)) == pytest.approx(expected, rel=1e-12)
    absent, total = 1.0, 0.0
    for others in range(m):  # Beta(4, 2), member by member
        total += absent
        last = absent
        absent *= (4 + others) / (6 + others)
    expected = (1 - 1 / 2) * last + (1 - p / (m - 1)) * (total / m - last)
    assert float(neighbour_value(p, m - 1 - p, True, 2, Beta(4, 2))) == pytest.approx(expected, rel=1e-9)


@given(counts=st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)), own=st.booleans())
def test_estimated_counts_give_finite_values_between_those_of_whole_ones(
    counts: tuple[float, float], own: bool
) -> None:
    value = float(neighbour_value(*counts, own, 2))
    assert math.isfinite(value)
    assert (value >= 0) == own or value == 0  # Shapley: a match never hurts, a non-match never helps


def test_a_point_without_neighbours_gives_nothing() -> None:
    none = np.zeros(1, dtype=np.int64)
    assert point_weights(none, none, 2) == (np.zeros(1), np.zeros(1))


@given(seed=st.integers(0, 50), n=st.integers(1, 40), m=st.integers(1, 21))
def test_look_up_adds_exactly_the_weights_of_the_links(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    x, v = rng.normal(size=(n, 2)), rng.normal(size=(m, 2))
    codes, point_codes = rng.integers(-1, 3, n), rng.integers(0, 3, m)
    rows = prepare(x, codes, 3, "cosine")
    links = link(rows, Judges.ready(rows, v, point_codes, None), 0.8)
    same, other = (rng.integers(-1000, 1000, m).astype(np.float64) for _ in range(2))  # sums of integers are exact
    out = np.full(n, 7.0)
    add_links(rows, links.bits, point_codes, same, other, out, threads=2)
    expected = np.full(n, 7.0)
    for z in range(m):
        for i in range(n):
            if links.mask()[z, i]:
                row = rows.order[i]
                expected[row] += same[z] if codes[row] == point_codes[z] else other[z]
    assert (out == expected).all()
