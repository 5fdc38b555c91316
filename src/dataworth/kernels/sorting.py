"""A stable sort that carries a second array along, and a selection; both compile in a fraction of a second."""

from __future__ import annotations

from numba import njit

__all__ = ["select", "sort_stably"]

_RUN = 16


@njit(nogil=True, cache=True)
def sort_stably(key, load, spare_key, spare_load):  # type: ignore[no-untyped-def]
    """Sort ``key`` ascending in place and move ``load`` along; equal keys keep their order.

    Merge sort over insertion-sorted runs: O(n log n) whatever the keys.

    Args:
        key: What to sort by, ``(n,)``.
        load: What goes with it, ``(n,)``.
        spare_key: Scratch like ``key``, at least as long.
        spare_load: Scratch like ``load``, at least as long.
    """
    n = key.shape[0]
    for start in range(0, n, _RUN):
        for i in range(start + 1, min(start + _RUN, n)):
            v, w = key[i], load[i]
            p = i
            while p > start and key[p - 1] > v:
                key[p] = key[p - 1]
                load[p] = load[p - 1]
                p -= 1
            key[p] = v
            load[p] = w
    width = _RUN
    while width < n:
        for start in range(0, n, 2 * width):
            middle = min(start + width, n)
            stop = min(start + 2 * width, n)
            i, j = start, middle
            for p in range(start, stop):
                left = i < middle and (j >= stop or key[i] <= key[j])
                at = i if left else j
                spare_key[p] = key[at]
                spare_load[p] = load[at]
                if left:
                    i += 1
                else:
                    j += 1
        for p in range(n):
            key[p] = spare_key[p]
            load[p] = spare_load[p]
        width *= 2


@njit(nogil=True, cache=True)
def select(values, k):  # type: ignore[no-untyped-def]
    """The k-th smallest value, counted from 0; the values are moved about.

    Quickselect around the median of three, which keeps sorted and equal values cheap; an order crafted against
    it costs O(n^2), so it is for short lists.

    Args:
        values: Not NaN, ``(n,)`` with ``n > k``.
        k: Which one.
    """
    low, high = 0, values.shape[0] - 1
    while low < high:
        a, b, c = values[low], values[(low + high) // 2], values[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break  # between the halves everything equals the pivot
    return values[k]
