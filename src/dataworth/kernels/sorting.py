"""A small stable sort that compiles in a fraction of a second and carries a second array along."""

from __future__ import annotations

from numba import njit

__all__ = ["sort_stably"]

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
