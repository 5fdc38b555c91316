"""KNN-regression Shapley values, from labels sorted nearest first.

The prediction of a coalition is the sum of the labels of its K nearest members divided by K; its utility is
minus the squared error. Values follow from the farthest row inwards (Jia et al., PVLDB 2019, Theorem 6, here
also right for fewer rows than K): neighbours in rank differ by a sum over all labels whose weights split into
a factor of the rank and a factor of the label's own rank, so running sums give all n values in O(n).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dataworth.errors import MethodError

__all__ = ["regression_values"]


def regression_values(
    y_sorted: NDArray[np.float64], target: float, k: int, *, empty: Literal["zero", "natural"]
) -> NDArray[np.float64]:
    """Exact Shapley values of all rows to one validation point, in the order given.

    Releases the GIL. A million rows keep their digits: errors stay near 1e-15 of the largest value, and near
    1e-9 when the labels' mean is a million times their spread.

    Args:
        y_sorted: Labels of the rows, nearest first, ``(n,)``.
        target: Label of the validation point.
        k: How many nearest rows are averaged, 1 or more; may exceed n.
        empty: What no rows at all score: ``"zero"`` (the paper's), or ``"natural"`` (``-target**2``, the
            error of predicting 0).

    Returns:
        float64 ``(n,)``, in the squared unit of the labels. They add up to v(all rows) - v(no rows).

    Raises:
        MethodError: An unknown ``empty``.

    Example:
        >>> import numpy as np
        >>> regression_values(np.array([1.0, 3.0]), target=1.0, k=1, empty="natural")
        array([ 2.5, -1.5])
    """
    if empty not in ("zero", "natural"):
        raise MethodError(f"empty must be 'zero' or 'natural', not {empty!r}")
    labels = np.ascontiguousarray(y_sorted, dtype=np.float64)
    if labels.size == 0:
        return np.zeros(0)
    return np.asarray(_regression_values(labels, float(target), k, empty == "natural"))


@njit(nogil=True, cache=True)
def _regression_values(y, target, k, natural):  # type: ignore[no-untyped-def]
    n = y.shape[0]
    values = np.empty(n)
    nearer = np.empty(n)  # sum of the labels nearer than each row
    total = 0.0
    for i in range(n):
        nearer[i] = total
        total += y[i]

    # The farthest row votes only with fewer than K others; s of them bring s times the others' mean label.
    last = y[n - 1] / k
    alone = -last * (last - 2.0 * target) if natural else -((last - target) ** 2)
    sizes = min(k, n) - 1
    mean = nearer[n - 1] / (n - 1) if n > 1 else 0.0
    values[n - 1] = (alone - last * sizes * (last - 2.0 * target + (sizes + 1.0) * mean / k)) / n

    farther = 0.0  # weighted sum of the labels two or more ranks behind
    for i in range(n - 1, 0, -1):  # rank, from 1, of the nearer row of the pair (i, i + 1)
        if i + 2 <= n:
            behind = i + 2.0  # rank of the label that joins the sum
            farther += min(k / (behind - 1.0), 1.0) * min((k - 1.0) / (behind - 2.0), 1.0) * y[i + 1]
        votes = min(k / float(i), 1.0)
        among = min((k - 1.0) / (i - 1.0), 1.0) if i > 1 else 0.0
        seen = among * nearer[i - 1] + y[i - 1] + y[i] + farther / votes
        values[i - 1] = values[i] + (y[i] - y[i - 1]) / k * votes * (seen / k - 2.0 * target)
    return values
