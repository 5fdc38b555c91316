"""Names are compared as what they are."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dataworth.records.arrays import among, exact

NAMES = st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(2**53 - 2, 2**53 + 2), min_size=1, max_size=6)
LARGE = st.lists(st.integers(2**63, 2**63 + 3) | st.integers(2**53 - 2, 2**53 + 2), min_size=1, max_size=6)


@given(NAMES, LARGE.map(lambda names: [*names, 2**63]))
def test_whole_numbers_of_any_size_are_told_apart(small: list[int], large: list[int]) -> None:
    a, b = exact(small, "ids"), exact(large, "ids")
    assert b.dtype == np.uint64
    assert among(a, b).tolist() == [name in large for name in small]
    assert among(b, a).tolist() == [name in small for name in large]


def test_texts() -> None:
    assert among(np.array(["a", "b"]), np.array(["b"])).tolist() == [False, True]
