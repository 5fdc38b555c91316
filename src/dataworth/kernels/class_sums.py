"""Sums over the rows of each class that rows can leave again: all that some models need to know of their rows.

Every sum is a pair of doubles, the sum itself and what rounding took from it (as in the compensated dot product of
Ogita, Rump and Oishi, SIAM J. Sci. Comput. 2005), and so as good as one kept with 32 digits. Subtracting a row that
was added then leaves nothing behind that a double could hold, and a variance may be the difference of two large sums.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dataworth.kernels.ridge import one_thread

__all__ = ["RowSums", "bayes_right", "centroid_right", "linear_system", "spreads"]

_CONSTANT = 1e-26
"""A variance below this part of the mean square is what rounding left of equal numbers."""

_LOST = 1e-6
"""When this little of a sum's peak is left, the sum may no longer be good to a double's digits."""

_MANY = 32  # rows from which products are left to BLAS

_BLOCK = 1024  # rows in one product
_BITS = 21  # 21 digits each, and 1,024 products of them, are 52 digits: such sums are exact in doubles


class RowSums:
    """Counts, sums and sums of squares of the columns for each class, and of products of columns if asked for.

    Args:
        d: How many columns.
        n_classes: How many classes.
        products: Whether to keep products of columns.

    Example:
        >>> x, codes = np.array([[0.5], [2.0], [4.0]]), np.array([0, 1, 1])
        >>> sums = RowSums(1, 2)
        >>> sums.add(x, codes, np.array([0, 1, 2]))
        >>> sums.remove(x, codes, np.array([1]))
        True
        >>> sums.counts.tolist(), sums.means().ravel().tolist()
        ([1, 1], [0.5, 4.0])
    """

    def __init__(self, d: int, n_classes: int, *, products: bool = False) -> None:
        self.counts: NDArray[np.int64] = np.zeros(n_classes, dtype=np.int64)
        """Rows of each class, ``(C,)``."""
        self.sums: NDArray[np.float64] = np.zeros((n_classes, 4, d))
        """For each class: sums, what rounding took from them, sums of squares, what it took from those."""
        side = d if products else 0
        self.products: NDArray[np.float64] = np.zeros((2, side, side))
        """Upper triangle of the sums of products of all rows, and what rounding took from it."""
        self._peaks: NDArray[np.float64] = np.zeros(d)  # of the sums of squares of all rows

    def clear(self) -> None:
        """No rows."""
        self.counts[:] = 0
        self.sums[:] = 0.0
        self.products[:] = 0.0
        self._peaks[:] = 0.0

    def add(self, x: NDArray[np.float64], codes: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        """Rows come.

        Args:
            x: All rows, finite, at most 1e100 in size, ``(n, d)``.
            codes: Their classes, ``(n,)``.
            rows: Which come.
        """
        self._move(x, codes, rows, 1.0)
        _raise_peaks(self.sums, self._peaks)

    def remove(self, x: NDArray[np.float64], codes: NDArray[np.int64], rows: NDArray[np.int64]) -> bool:
        """Rows go.

        Returns:
            Whether the sums are as good as sums of the rows left; if not, clear them and add those rows.
        """
        self._move(x, codes, rows, -1.0)
        return bool(_still_good(self.sums, self._peaks))

    def merge(self, other: RowSums) -> None:
        """The rows of other sums come."""
        _merge(other.sums, 1.0, self.sums, other.products, self.products)
        self.counts += other.counts
        _raise_peaks(self.sums, self._peaks)

    def part(self, other: RowSums) -> bool:
        """The rows of other sums go; returns what :meth:`remove` returns."""
        _merge(other.sums, -1.0, self.sums, other.products, self.products)
        self.counts -= other.counts
        return bool(_still_good(self.sums, self._peaks))

    def _move(self, x: NDArray[np.float64], codes: NDArray[np.int64], rows: NDArray[np.int64], sign: float) -> None:
        many = self.products.size and rows.size >= _MANY
        _add(x, codes, rows, sign, self.counts, self.sums, self.products[:, :0, :0] if many else self.products)
        if many:
            with one_thread():
                for start in range(0, rows.size, _BLOCK):
                    _add_pair(*_block_products(x[rows[start : start + _BLOCK]]), sign, self.products)

    def means(self) -> NDArray[np.float64]:
        """The mean row of each class, ``(C, d)``; 0 for a class without rows."""
        counts = np.maximum(self.counts, 1)[:, np.newaxis]
        return np.asarray((self.sums[:, 0] + self.sums[:, 1]) / counts)


# -- pairs of doubles -----------------------------------------------------------------------------


@njit(nogil=True, cache=True, inline="always")
def _split(a):  # type: ignore[no-untyped-def]
    """The upper and the lower half of the digits of a double (Dekker)."""
    c = 134217729.0 * a
    high = c - (c - a)
    return high, a - high


@njit(nogil=True, cache=True, inline="always")
def _product(a, b):  # type: ignore[no-untyped-def]
    """The product of two doubles, and exactly what rounding took from it."""
    a_high, a_low = _split(a)
    b_high, b_low = _split(b)
    p = a * b
    return p, a_low * b_low - (((p - a_high * b_high) - a_low * b_high) - a_high * b_low)


@njit(nogil=True, cache=True, inline="always")
def _sum(a, b):  # type: ignore[no-untyped-def]
    """The sum of two doubles, and exactly what rounding took from it."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


@njit(nogil=True, cache=True, inline="always")
def _cross_difference(a, b, a_low, b_low, c, d, c_low, d_low):  # type: ignore[no-untyped-def]
    """``(a + a_low) (b + b_low) - (c + c_low) (d + d_low)``, rounded about once."""
    p, e = _product(a, b)
    q, f = _product(c, d)
    s, t = _sum(p, -q)
    return s + (t + ((e + (a * b_low + a_low * b)) - (f + (c * d_low + c_low * d))))


def _block_products(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums of products of at most 1,024 rows, as a pair whose second part is small and holds what the first lacks.

    Each column is cut into its leading digits, whose products add up without rounding in whatever order, and the
    rest: with x = h + l, the sum of x x' is that of h h' and, twice over, of (h + l / 2) l' and its transpose.
    """
    size = np.abs(x).max(axis=0)
    unit = np.ldexp(1.0, np.frexp(size)[1] - _BITS)  # at most 2 ** 21 units in any number of the column
    leading = np.rint(x / unit) * unit
    rest = x - leading
    half = (leading + 0.5 * rest).T @ rest
    return leading.T @ leading, half + half.T


# -- rows come and go -----------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def _add(x, codes, rows, sign, counts, sums, products):  # type: ignore[no-untyped-def]
    d = x.shape[1]
    high = np.empty(d)
    low = np.empty(d)
    for at in range(rows.size):
        row = x[rows[at]]
        code = codes[rows[at]]
        counts[code] += int(sign)
        own = sums[code]
        for j in range(d):
            high[j], low[j] = _split(row[j])
        for j in range(d):
            own[0, j], lost = _sum(own[0, j], sign * row[j])
            own[1, j] += lost
        for j in range(d):
            p = row[j] * row[j]
            e = low[j] * low[j] - (((p - high[j] * high[j]) - low[j] * high[j]) - high[j] * low[j])
            own[2, j], lost = _sum(own[2, j], sign * p)
            own[3, j] += lost + sign * e
        for i in range(products.shape[1]):
            total = products[0, i]
            taken = products[1, i]
            a, a_high, a_low = row[i], high[i], low[i]
            for j in range(i, d):
                p = a * row[j]
                e = a_low * low[j] - (((p - a_high * high[j]) - a_low * high[j]) - a_high * low[j])
                total[j], lost = _sum(total[j], sign * p)
                taken[j] += lost + sign * e


@njit(nogil=True, cache=True)
def _merge(other, sign, sums, other_products, products):  # type: ignore[no-untyped-def]
    for code in range(sums.shape[0]):
        for part in (0, 2):
            for j in range(sums.shape[2]):
                sums[code, part, j], lost = _sum(sums[code, part, j], sign * other[code, part, j])
                sums[code, part + 1, j] += lost + sign * other[code, part + 1, j]
    for i in range(products.shape[1]):
        for j in range(i, products.shape[1]):
            products[0, i, j], lost = _sum(products[0, i, j], sign * other_products[0, i, j])
            products[1, i, j] += lost + sign * other_products[1, i, j]


@njit(nogil=True, cache=True)
def _add_pair(part, rest, sign, products):  # type: ignore[no-untyped-def]
    for i in range(products.shape[1]):
        for j in range(i, products.shape[1]):
            products[0, i, j], lost = _sum(products[0, i, j], sign * part[i, j])
            products[1, i, j] += lost + sign * rest[i, j]


@njit(nogil=True, cache=True)
def _raise_peaks(sums, peaks):  # type: ignore[no-untyped-def]
    for j in range(peaks.size):
        squares = 0.0
        for code in range(sums.shape[0]):
            squares += sums[code, 2, j]
        peaks[j] = max(peaks[j], squares)


@njit(nogil=True, cache=True)
def _still_good(sums, peaks):  # type: ignore[no-untyped-def]
    for j in range(peaks.size):
        squares = 0.0
        for code in range(sums.shape[0]):
            squares += sums[code, 2, j]
        # A column of which nothing is left held zeros and whole numbers, whose sums are exact.
        if squares != 0.0 and squares < _LOST * peaks[j]:
            return False
    return True


# -- what the sums say ----------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def _total(sums):  # type: ignore[no-untyped-def]
    """Of all classes together, ``(4, d)``."""
    total = np.zeros(sums.shape[1:])
    for code in range(sums.shape[0]):
        for part in (0, 2):
            for j in range(sums.shape[2]):
                total[part, j], lost = _sum(total[part, j], sums[code, part, j])
                total[part + 1, j] += lost + sums[code, part + 1, j]
    return total


@njit(nogil=True, cache=True)
def _variances(n, sums, out):  # type: ignore[no-untyped-def]
    """Population variances from ``(4, d)`` sums; exactly 0 where they are nothing but rounding."""
    for j in range(out.size):
        spread = _cross_difference(
            float(n), sums[2, j], 0.0, sums[3, j], sums[0, j], sums[0, j], sums[1, j], sums[1, j]
        ) / (float(n) * n)
        out[j] = spread if spread > _CONSTANT * (sums[2, j] / n) else 0.0


@njit(nogil=True, cache=True)
def spreads(counts, sums, centre):  # type: ignore[no-untyped-def]
    """What StandardScaler divides the columns of these rows by, and their variances.

    A column counts as constant, and is divided by 1, by the rule of scikit-learn: its variance is within what
    rounding may make of equal numbers of this mean.

    Args:
        counts: Rows of each class, ``(C,)``, one at least.
        sums: Of rows from which ``centre`` was taken, ``(C, 4, d)``.
        centre: ``(d,)``.

    Returns:
        Deviations and variances, both ``(d,)``.
    """
    n = counts.sum()
    d = centre.size
    variances = np.empty(d)
    total = _total(sums)
    _variances(n, total, variances)
    scales = np.ones(d)
    eps = 2.220446049250313e-16
    for j in range(d):
        mean = centre[j] + (total[0, j] + total[1, j]) / n
        if variances[j] > n * eps * variances[j] + (n * mean * eps) ** 2:
            scales[j] = math.sqrt(variances[j])
    return scales, variances


@njit(nogil=True, cache=True)
def centroid_right(counts, sums, scales, judges, judge_codes):  # type: ignore[no-untyped-def]
    """How many points are nearest to the mean of their own class; of equally near ones the first is chosen.

    Args:
        counts: Rows of each class, ``(C,)``, two classes at least.
        sums: ``(C, 4, d)``.
        scales: What columns are divided by before distances are taken, ``(d,)``.
        judges: Points, column by column, ``(d, m)``.
        judge_codes: Their classes, ``(m,)``.
    """
    d, m = judges.shape
    best = np.full(m, np.inf)
    chosen = np.full(m, -1)
    apart = np.empty(m)
    for code in range(counts.size):
        if counts[code] == 0:
            continue
        apart[:] = 0.0
        for j in range(d):
            mean = (sums[code, 0, j] + sums[code, 1, j]) / counts[code]
            weight = 1.0 / (scales[j] * scales[j])
            column = judges[j]
            for p in range(m):
                gap = column[p] - mean
                apart[p] += gap * gap * weight
        for p in range(m):
            if apart[p] < best[p]:
                best[p] = apart[p]
                chosen[p] = code
    return _agree(chosen, judge_codes)


@njit(nogil=True, cache=True)
def bayes_right(counts, sums, scales, smoothing, judges, judge_codes):  # type: ignore[no-untyped-def]
    """How many points Gaussian naive Bayes puts into their own class.

    To every variance is added ``smoothing`` times the largest variance of a column over all rows.

    Args:
        counts: Rows of each class, ``(C,)``, two classes at least.
        sums: ``(C, 4, d)``.
        scales: What columns are divided by before, ``(d,)``.
        smoothing: 0 or more.
        judges: Points, column by column, ``(d, m)``.
        judge_codes: Their classes, ``(m,)``.

    Returns:
        Whether every variance is above 0, without which there is no answer; and how many.
    """
    d, m = judges.shape
    n = counts.sum()
    total = _total(sums)
    spread = np.empty(d)
    _variances(n, total, spread)
    largest = 0.0
    for j in range(d):
        largest = max(largest, spread[j] / (scales[j] * scales[j]))
    best = np.full(m, -np.inf)
    chosen = np.full(m, -1)
    likely = np.empty(m)
    for code in range(counts.size):
        if counts[code] == 0:
            continue
        _variances(counts[code], sums[code], spread)
        constant = math.log(counts[code] / n)
        likely[:] = 0.0
        for j in range(d):
            variance = spread[j] + smoothing * largest * (scales[j] * scales[j])
            if not variance > 0.0:
                return False, 0
            # In units of the scaled column; the same for all classes, but kept as scikit-learn has it.
            constant -= 0.5 * math.log(2.0 * math.pi * (variance / (scales[j] * scales[j])))
            mean = (sums[code, 0, j] + sums[code, 1, j]) / counts[code]
            weight = 0.5 / variance
            column = judges[j]
            for p in range(m):
                gap = column[p] - mean
                likely[p] -= gap * gap * weight
        for p in range(m):
            if likely[p] + constant > best[p]:
                best[p] = likely[p] + constant
                chosen[p] = code
    return True, _agree(chosen, judge_codes)


@njit(nogil=True, cache=True)
def _agree(chosen, judge_codes):  # type: ignore[no-untyped-def]
    right = 0
    for p in range(chosen.size):
        right += chosen[p] == judge_codes[p]
    return right


@njit(nogil=True, cache=True)
def linear_system(counts, sums, products, scales, variances, penalty):  # type: ignore[no-untyped-def]
    """Normal equations of least squares on centred and scaled columns.

    A column without variance gets the equation that its weight is 0.

    Args:
        counts: Rows of each class, ``(C,)``.
        sums: ``(C, 4, d)``.
        products: ``(2, d, d)``.
        scales: What columns are divided by, ``(d,)``.
        variances: Of the columns before, ``(d,)``.
        penalty: Added to the diagonal.

    Returns:
        The matrix ``(d, d)``, of which the upper triangle is set; the right sides for the indicators of the classes,
        ``(C, d)``; the mean of the rows, not scaled, ``(d,)``.
    """
    d = scales.size
    n = float(counts.sum())
    total = _total(sums)
    matrix = np.zeros((d, d))
    right = np.zeros((counts.size, d))
    for i in range(d):
        if variances[i] == 0.0:
            matrix[i, i] = 1.0
            continue
        for j in range(i, d):
            if variances[j] > 0.0:
                moment = _cross_difference(
                    n, products[0, i, j], 0.0, products[1, i, j], total[0, i], total[0, j], total[1, i], total[1, j]
                )
                matrix[i, j] = moment / n / (scales[i] * scales[j])
        matrix[i, i] += penalty
        for code in range(counts.size):
            own = float(counts[code])
            moment = _cross_difference(n, sums[code, 0, i], 0.0, sums[code, 1, i], own, total[0, i], 0.0, total[1, i])
            right[code, i] = moment / n / scales[i]
    return matrix, right, (total[0] + total[1]) / n
