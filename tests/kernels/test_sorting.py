"""The compiled sort and selection against NumPy's."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dataworth.kernels.sorting import select, sort_stably

keys = st.lists(st.integers(-20, 20), min_size=1, max_size=300)


@given(keys=keys)
def test_sort_is_stable_and_carries_the_load(keys: list[int]) -> None:
    key = np.array(keys, dtype=np.float64)
    load = np.arange(key.size, dtype=np.uint32)
    sort_stably(key, load, np.empty_like(key), np.empty_like(load))
    expected = np.argsort(keys, kind="stable")
    assert load.tolist() == expected.tolist()
    assert key.tolist() == sorted(keys)


@given(keys=keys, k=st.integers(0, 299))
def test_selection_is_the_kth_smallest(keys: list[int], k: int) -> None:
    k = min(k, len(keys) - 1)
    assert select(np.array(keys, dtype=np.float32), k) == sorted(keys)[k]


def test_selection_from_sorted_equal_and_long_inputs() -> None:
    for values in (np.arange(20_000.0), np.arange(20_000.0)[::-1].copy(), np.ones(20_000), np.sin(np.arange(20_000.0))):
        expected = np.sort(values)
        for k in (0, 1, 9_999, 19_999):
            assert select(values.copy(), k) == expected[k]
