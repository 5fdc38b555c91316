"""Logistic regression of many coalitions, one after the other: each by Newton steps from the one before.

Rows that take part stand in a buffer, one column each, so that a row comes or goes without a copy of the others and
every loop runs along memory. What is minimised is what scikit-learn's ``LogisticRegression`` minimises, ``C`` times
the sum of the log losses plus half the squared length of the weights, so far that neither the start nor the order of
the rows can be told from the result.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dataworth.errors import MethodError

__all__ = ["TOLERANCE", "LogisticPath", "parameters"]

TOLERANCE = 1e-10
"""How far from the optimum a solution may be, in units of its own curvature.

With gradient g and Hessian H, that distance is the square root of g'H^-1 g, and it may be this much times the square
root of twice the objective, or this much if that is less. The penalty puts at least 1 on the diagonal of H for every
weight, so no weight is further off, whatever the scale of the columns.
"""

_MOST_STEPS = 300
_FEW = 0.3  # share of rows up to which those that came or went are added to or taken from a Hessian one by one
_SLOW = 0.5  # a Hessian is too old if a step with it leaves more than this of the distance
_HIDDEN = 1e-12  # share of the objective below which its changes may be rounding
_LEAST_CURVATURE = 1e-100  # of each row, where chances are so near 0 and 1 that nothing can be told of intercepts
_LEAST_PIVOT = 1e-14  # of its diagonal entry: less is rounding

_SUMS = {"reassoc", "contract"}  # sums may be regrouped, so that they use the width of the processor


def parameters(columns: int, classes: int, *, intercept: bool = True) -> int:
    """How many numbers a fit has to find: one logit for two classes, one for each class of more.

    Example:
        >>> parameters(10, 2), parameters(10, 3)
        (11, 33)
    """
    return (columns + intercept) * (1 if classes == 2 else classes)


class LogisticPath:
    """The optimum of logistic regression for a set of rows, followed as rows come and go.

    A solution does not depend on the path by more than :data:`TOLERANCE`, and after :meth:`clear` not even in its
    last bit on what came before that. Rows are trusted: those that join must be out, those that leave must be in.

    Args:
        x: All rows, finite float64, ``(n, d)``.
        codes: Class of each row, ``0 .. classes - 1``, ``(n,)``.
        classes: How many there are, at least 2.
        cost: ``C``, above 0.
        intercept: Whether there is one; it is not penalised.
        standardize: Whether columns count for the penalty as divided by their standard deviation among the rows that
            take part (constant ones by 1). Needs the intercept.

    Example:
        >>> import numpy as np
        >>> path = LogisticPath(np.array([[-1.0], [1.0], [2.0], [-3.0]]), np.array([0, 1, 0, 0]), 2, cost=1.0)
        >>> path.join(np.array([0, 1]))
        >>> path.solve()
        >>> present, weights, intercepts = path.solution()
        >>> present.tolist(), weights.round(4).tolist(), abs(intercepts.round(4)).tolist()
        ([0, 1], [[0.6748]], [0.0])
    """

    def __init__(
        self,
        x: NDArray[np.float64],
        codes: NDArray[np.int64],
        classes: int,
        *,
        cost: float,
        intercept: bool = True,
        standardize: bool = False,
    ) -> None:
        n, d = x.shape
        # The intercept goes free, so centred columns have the same weights, and more of their digits count.
        self._centre: NDArray[np.float64] = x.mean(axis=0) if intercept else np.zeros(d)
        self._intercept, self._standardize, self._cost = intercept, standardize, float(cost)
        self._rows = np.ascontiguousarray(self.ready(x).T)
        self._codes = codes.astype(np.int64)
        p, logits = d + intercept, 1 if classes == 2 else classes
        self._columns = np.empty((p, n))  # of the rows that take part
        self._member = np.empty(n, dtype=np.int64)  # which row stands in each column
        self._place = np.full(n, -1, dtype=np.int64)  # in which column each row stands
        self._classes = np.empty(n, dtype=np.int64)  # class of each column
        self._held = np.empty((logits, n))  # with what spread each column is in the Hessian; the first below 0: not yet
        self._work = np.empty((2 * logits + 2, n))
        self.counts: NDArray[np.int64] = np.zeros(classes, dtype=np.int64)
        """Rows of each class that take part, kept up to date; to be read only."""
        self._slots = np.zeros(classes, dtype=np.int64)
        self._penalty = np.ones(p)
        self._penalty[d:] = 0.0
        self._size = 0
        self._warm = False  # whether weights and Hessian belong to a coalition near by
        self._whole: NDArray[np.float64] | None = None  # weights of all rows, by class
        self._room = np.empty(logits * p), np.empty((logits * p) ** 2), np.empty((logits * p) ** 2)
        self._take_part(np.arange(min(classes, 2)))

    # -- who takes part ---------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """How many rows take part."""
        return self._size

    @property
    def rows(self) -> NDArray[np.int64]:
        """Those that take part, in no order, ``(size,)``."""
        return self._member[: self._size].copy()

    def clear(self) -> None:
        """No row takes part, and nothing is remembered of what was solved."""
        self._place[self._member[: self._size]] = -1
        self.counts[:] = 0
        self._size = 0
        self._warm = False

    def join(self, rows: NDArray[np.int64]) -> None:
        """Rows, each once, take part from now on."""
        buffer = (self._columns, self._member, self._place, self._classes, self.counts, self._held)
        self._size = _join(rows, self._rows, self._codes, buffer, self._size)

    def leave(self, rows: NDArray[np.int64]) -> None:
        """Rows, each once, take part no longer."""
        if rows.size > _FEW * self._size:
            self._warm = False
        buffer = (self._columns, self._member, self._place, self._classes, self.counts, self._held)
        self._size = _leave(rows, self._rows, buffer, self._size, self._cost, self._warm, self._hessian)

    # -- solutions --------------------------------------------------------------------------------

    def solve(self) -> None:
        """Find the optimum for the rows that take part.

        Raises:
            MethodError: They are of fewer than two classes, or their numbers are beyond double precision.
        """
        self._solve_from(None)

    def _solve_from(self, start: NDArray[np.float64] | None) -> None:
        """Find the optimum, where nothing is known of it from these weights, by class, or else those of all rows."""
        present = np.flatnonzero(self.counts)
        if present.size < 2:
            raise MethodError(f"logistic regression needs rows of at least 2 classes, not of {present.size}")
        if not np.array_equal(present, self._present):
            self._warm = False
        if not self._warm:
            start = self._start() if start is None else start
            self._take_part(present)
            self._weights[:] = (
                start[present[1]] - start[present[0]]
                if present.size == 2
                else start[present] - start[present].mean(axis=0)
            )
        if self._standardize:
            self._penalty[: self._centre.size] = _deviations(self._columns, self._size, self._centre) ** 2
        solved = _solve(
            self._columns,
            self._size,
            self._classes,
            self._slots,
            self.counts[present],
            self._cost,
            self._penalty,
            self._intercept,
            self._weights,
            self._hessian,
            self._factor,
            self._held,
            self._work,
            self._warm,
        )
        self._warm = solved
        if not solved:
            raise MethodError(
                f"logistic regression of {self._size} rows did not reach its optimum in double precision; "
                "scale the columns, or lower C"
            )

    def solution(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """What was solved last: classes that take part, weights and intercepts.

        Weights are those of the columns as given, or standardised if that was asked for.

        Returns:
            ``(C,)``; ``(1, d)`` for two classes, whose logit is that of the second, or ``(C, d)``; ``(1,)``, or
            ``(C,)`` that sum to 0.
        """
        d = self._centre.size
        weights = self._weights[:, :d].copy()
        intercepts = self._weights[:, d].copy() if self._intercept else np.zeros(len(weights))
        if self._standardize:
            intercepts += weights @ self._columns[:d, : self._size].mean(axis=1)
            weights *= np.sqrt(self._penalty[:d])
        else:
            intercepts -= weights @ self._centre
        if len(weights) > 1:
            intercepts -= intercepts.mean()
        return self._present.copy(), weights, intercepts

    def moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Mean and variance of each column among the rows that take part, and what standardising divides it by.

        Returns:
            Three arrays ``(d,)``.
        """
        inside = self._columns[: self._centre.size, : self._size]
        return self._centre + inside.mean(axis=1), inside.var(axis=1), _deviations(inside, self._size, self._centre)

    # -- other rows -------------------------------------------------------------------------------

    def ready(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows ``(m, d)`` as :meth:`choose` and :meth:`count_right` take them, ``(p, m)``."""
        columns = np.empty((x.shape[1] + self._intercept, len(x)))
        columns[: x.shape[1]] = (x - self._centre).T
        columns[x.shape[1] :] = 1.0
        return columns

    def choose(self, ready: NDArray[np.float64]) -> NDArray[np.int64]:
        """The class of each row by what was solved last: the greatest logit, of equal ones the first class.

        Returns:
            ``(m,)``.
        """
        return np.asarray(_choose(ready, self._weights, self._present))

    def count_right(self, ready: NDArray[np.float64], codes: NDArray[np.int64]) -> int:
        """For how many rows that class is the right one.

        Args:
            ready: From :meth:`ready`, ``(p, m)``.
            codes: Right classes, ``(m,)``.
        """
        return int(_count_right(ready, self._weights, self._present, codes))

    # -- inside -----------------------------------------------------------------------------------

    def _take_part(self, present: NDArray[np.int64]) -> None:
        """Make room for a fit of these classes."""
        logits, p = 1 if present.size == 2 else present.size, self._penalty.size
        weights, hessian, factor = self._room
        self._present = present
        self._slots[present] = np.arange(present.size)
        self._weights = weights[: logits * p].reshape(logits, p)
        self._hessian = hessian[: (logits * p) ** 2].reshape(logits * p, logits * p)
        self._factor = factor[: (logits * p) ** 2].reshape(logits * p, logits * p)

    def _start(self) -> NDArray[np.float64]:
        """Weights of all rows, by class, ``(classes, p)``: from there most coalitions are a few steps away."""
        if self._whole is None:
            members = self._member[: self._size].copy()
            whole = np.zeros((self.counts.size, self._penalty.size))
            self.clear()
            self.join(np.arange(self._codes.size))
            self._solve_from(whole)
            if self._present.size == 2:
                whole[self._present[1]] = self._weights[0]
            else:
                whole[self._present] = self._weights
            self.clear()
            self.join(members)
            self._whole = whole  # only now: who interrupts must not leave another start behind
        return self._whole


# -- the buffer -----------------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def _join(rows, table, codes, buffer, size):  # type: ignore[no-untyped-def]
    columns, member, place, classes, counts, held = buffer
    for row in rows:
        for j in range(table.shape[1]):
            columns[j, size] = table[row, j]
        member[size] = row
        place[row] = size
        classes[size] = codes[row]
        counts[codes[row]] += 1
        held[0, size] = -1.0
        size += 1
    return size


@njit(nogil=True, cache=True)
def _leave(rows, table, buffer, size, cost, warm, hessian):  # type: ignore[no-untyped-def]
    """Take rows out of the buffer, and of the Hessian if it is to be used again; the last column fills the gap."""
    columns, member, place, classes, counts, held = buffer
    logits = hessian.shape[0] // table.shape[1]
    for row in rows:
        at = place[row]
        if warm and held[0, at] >= 0.0:
            _add_row(hessian, table[row], held[:logits, at], -cost)
        counts[classes[at]] -= 1
        place[row] = -1
        size -= 1
        if at < size:
            columns[:, at] = columns[:, size]
            held[:, at] = held[:, size]
            classes[at] = classes[size]
            member[at] = member[size]
            place[member[at]] = at
    return size


@njit(nogil=True, cache=True)
def _deviations(columns, size, centre):  # type: ignore[no-untyped-def]
    """Standard deviation of each column, 1 where it is constant but for rounding, as scikit-learn judges that."""
    found = np.empty(centre.size)
    for j in range(centre.size):
        inside = columns[j, :size]
        mean = inside.mean()
        variance = 0.0
        for value in inside:
            variance += (value - mean) ** 2
        variance /= size
        rounding = size * 2.220446049250313e-16
        constant = inside.min() == inside.max()  # whose computed deviation need not be 0
        constant |= variance <= rounding * variance + (rounding * (mean + centre[j])) ** 2
        found[j] = 1.0 if constant else np.sqrt(variance)
    return found


# -- sums over rows -------------------------------------------------------------------------------


@njit(nogil=True, cache=True, fastmath=_SUMS)
def _product(columns, weights, out):  # type: ignore[no-untyped-def]
    """``weights @ columns``, four columns at a time: fewer passes over the result."""
    out[:] = 0.0
    j = 0
    while j + 4 <= weights.size:
        w0, w1, w2, w3 = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        c0, c1, c2, c3 = columns[j], columns[j + 1], columns[j + 2], columns[j + 3]
        for i in range(out.size):
            out[i] += (w0 * c0[i] + w1 * c1[i]) + (w2 * c2[i] + w3 * c3[i])
        j += 4
    while j < weights.size:
        w0, c0 = weights[j], columns[j]
        for i in range(out.size):
            out[i] += w0 * c0[i]
        j += 1


@njit(nogil=True, cache=True, fastmath=_SUMS)
def _products(columns, upto, row, out):  # type: ignore[no-untyped-def]
    """``columns[:upto] @ row``, four at a time: fewer passes over the row."""
    j = 0
    while j + 4 <= upto:
        c0, c1, c2, c3 = columns[j], columns[j + 1], columns[j + 2], columns[j + 3]
        s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
        for i in range(row.size):
            r = row[i]
            s0 += r * c0[i]
            s1 += r * c1[i]
            s2 += r * c2[i]
            s3 += r * c3[i]
        out[j], out[j + 1], out[j + 2], out[j + 3] = s0, s1, s2, s3
        j += 4
    while j < upto:
        c0 = columns[j]
        s0 = 0.0
        for i in range(row.size):
            s0 += row[i] * c0[i]
        out[j] = s0
        j += 1


@njit(nogil=True, cache=True)
def _look(columns, m, classes, slots, cost, penalty, weights, work, slope):  # type: ignore[no-untyped-def]
    """The objective at some weights; its slope, and the spread of each row, go to ``slope`` and ``work``.

    Of ``work``, one row for each logit comes first, then the spread, one row for each logit too.
    """
    logits, p = weights.shape
    for k in range(logits):
        _product(columns, weights[k], work[k][:m])
    value = cost * (
        _two(classes, slots, work[0][:m], work[1]) if logits == 1 else _many(classes, slots, m, logits, work)
    )
    for k in range(logits):
        part = slope[k * p : (k + 1) * p]
        _products(columns, p, work[k][:m], part)
        for j in range(p):
            part[j] = cost * part[j] + penalty[j] * weights[k, j]
            value += 0.5 * penalty[j] * weights[k, j] ** 2
    return value


@njit(nogil=True, cache=True)
def _two(classes, slots, gaps, spread):  # type: ignore[no-untyped-def]
    """Loss of two classes; logits become the slope of the loss by the logit, and its curvature the spread."""
    loss, product = 0.0, 1.0
    for i in range(gaps.size):
        sign = 2.0 * slots[classes[i]] - 1.0
        margin = sign * gaps[i]
        e = np.exp(-abs(margin))
        u = 1.0 / (1.0 + e)
        # The sum of logarithms is the logarithm of the product, taken before that could overflow.
        product *= 1.0 + e
        if product > 1e290:
            loss += np.log(product)
            product = 1.0
        if margin >= 0.0:
            gaps[i] = -sign * e * u
        else:
            loss -= margin
            gaps[i] = -sign * u
        spread[i] = e * u * u
    return loss + np.log(product)


@njit(nogil=True, cache=True)
def _many(classes, slots, m, logits, work):  # type: ignore[no-untyped-def]
    """Loss of more classes; logits become the slope of the loss by the logit, and chances the spread."""
    loss = 0.0
    for i in range(m):
        own = slots[classes[i]]
        most = work[0, i]
        for k in range(1, logits):
            most = max(most, work[k, i])
        loss += most - work[own, i]
        total = 0.0
        for k in range(logits):
            chance = np.exp(work[k, i] - most)
            work[logits + k, i] = chance
            total += chance
        loss += np.log(total)
        others = 0.0
        for k in range(logits):
            chance = work[logits + k, i] / total
            work[logits + k, i] = work[k, i] = chance
            if k != own:
                others += chance
        work[own, i] = -others  # more exact than the chance less 1
    return loss


@njit(nogil=True, cache=True)
def _curve(columns, m, cost, logits, work, hessian):  # type: ignore[no-untyped-def]
    """The Hessian without penalty, its lower triangle, summed anew from every row."""
    p = columns.shape[0]
    pull, scaled = work[work.shape[0] - 2][:m], work[work.shape[0] - 1][:m]
    for a in range(logits):
        for b in range(a + 1):
            for i in range(m):
                pull[i] = cost * _pull(work[logits : 2 * logits, i], a, b)
            for j in range(p):
                column = columns[j]
                for i in range(m):
                    scaled[i] = pull[i] * column[i]
                _products(columns, j + 1 if a == b else p, scaled, hessian[a * p + j][b * p : (b + 1) * p])


@njit(nogil=True, cache=True)
def _pull(spread, a, b):  # type: ignore[no-untyped-def]
    """How the slope by logit ``a`` changes with logit ``b``."""
    if spread.size == 1:
        return spread[0]
    if a != b:
        return -spread[a] * spread[b]
    others = 0.0
    for k in range(spread.size):
        if k != a:
            others += spread[k]
    return spread[a] * others


@njit(nogil=True, cache=True)
def _add_row(hessian, row, spread, cost):  # type: ignore[no-untyped-def]
    p = row.size
    for a in range(spread.size):
        for b in range(a + 1):
            pull = cost * _pull(spread, a, b)
            for j in range(p):
                along = hessian[a * p + j, b * p : (b + 1) * p]
                scaled = pull * row[j]
                for k in range(j + 1 if a == b else p):
                    along[k] += scaled * row[k]


# -- steps ----------------------------------------------------------------------------------------


@njit(nogil=True, cache=True, fastmath=_SUMS)
def _factorise(hessian, penalty, weight, factor):  # type: ignore[no-untyped-def]
    """Cholesky factor of the Hessian with the penalty on its diagonal; whether it is finite.

    The same added to the weights of all of several classes changes no chance, so at the optimum they sum to 0, as they
    do where steps begin. No slope ever points that way, and what is added to the Hessian there changes no step; without
    it intercepts would have no curvature, and weights next to none.
    """
    p = penalty.size
    several = factor.shape[0] > p
    anchors = np.zeros(p)
    if several:
        for k in range(factor.shape[0]):
            anchors[k % p] += hessian[k, k] * p / factor.shape[0]
    for i in range(factor.shape[0]):
        own = factor[i]
        for j in range(i + 1):
            other = factor[j]
            left = hessian[i, j]
            if several and (i - j) % p == 0:
                left += anchors[i % p]
            whole = left + penalty[i % p]
            for k in range(j):
                left -= own[k] * other[k]
            if i > j:
                own[j] = left / other[j]
            else:
                pivot = max(left + penalty[i % p], _LEAST_PIVOT * whole, _LEAST_CURVATURE * weight)
                if not (0.0 < pivot < np.inf):
                    return False
                own[i] = np.sqrt(pivot)
    return True


@njit(nogil=True, cache=True, fastmath=_SUMS)
def _step(factor, slope, step):  # type: ignore[no-untyped-def]
    """The Newton step against a slope; returns the distance to the optimum as the factor measures it."""
    size = slope.size
    squared = 0.0
    for i in range(size):
        own = factor[i]
        left = -slope[i]
        for k in range(i):
            left -= own[k] * step[k]
        step[i] = left / own[i]
        squared += step[i] * step[i]
    for i in range(size - 1, -1, -1):
        own = factor[i]
        step[i] /= own[i]
        last = step[i]
        for k in range(i):
            step[k] -= last * own[k]
    return np.sqrt(squared)


@njit(nogil=True, cache=True)
def _nothing_known(counts, intercept, weights):  # type: ignore[no-untyped-def]
    """The objective over the cost without any weights, and the intercepts that go with it, into ``weights``."""
    total = counts.sum()
    logs = np.log(counts / total) if intercept else np.full(counts.size, -np.log(counts.size))
    weights[:] = 0.0
    if intercept and weights.shape[0] == 1:
        weights[0, -1] = logs[1] - logs[0]
    elif intercept:
        weights[:, -1] = logs - logs.mean()
    return -(counts * logs).sum()


@njit(nogil=True, cache=True)
def _catch_up(columns, m, cost, hessian, held, work):  # type: ignore[no-untyped-def]
    """Add rows that came since the Hessian was summed; whether they were few enough for that."""
    logits = hessian.shape[0] // columns.shape[0]
    new = 0
    for i in range(m):
        new += held[0, i] < 0.0
    if new > _FEW * m:
        return False
    for i in range(m):
        if held[0, i] < 0.0:
            held[:logits, i] = work[logits : 2 * logits, i]
            _add_row(hessian, columns[:, i].copy(), held[:logits, i], cost)
    return True


@njit(nogil=True, cache=True)
def _worth(rate, shrunk, left, price):  # type: ignore[no-untyped-def]
    """Whether a new Hessian saves more than it costs.

    Each step leaves the share ``rate`` of the distance; ``left`` of it may remain. The error of a Hessian grows with
    the way gone since, so a new one, now that the distance has ``shrunk`` to that share, would leave that much less.
    """
    return np.log(left) / np.log(rate) - np.log(left) / np.log(rate * shrunk) > price


@njit(nogil=True, cache=True)
def _solve(  # type: ignore[no-untyped-def]  # noqa: PLR0912
    columns, m, classes, slots, counts, cost, penalty, intercept, weights, hessian, factor, held, work, warm
):
    """Go to the optimum from ``weights``; whether it was reached.

    A Hessian serves as long as steps with it go well enough that summing a new one would take longer. A step lowers
    the objective, but for rounding, or it is shortened until it does.
    """
    logits, p = weights.shape
    slope, step, trial = np.empty(logits * p), np.empty(logits * p), np.empty((logits, p))

    value = _look(columns, m, classes, slots, cost, penalty, weights, work, slope)
    if not value < cost * _nothing_known(counts, intercept, trial):
        weights[:] = trial
        warm = False
        value = _look(columns, m, classes, slots, cost, penalty, weights, work, slope)
    ready = warm and _catch_up(columns, m, cost, hessian, held, work)
    ready = ready and _factorise(hessian, penalty, cost * m, factor)

    looking = m * logits * (2.0 * p + 20.0) + (logits * p) ** 2
    building = 0.2 * logits * (logits + 1) * m * p * p + (logits * p) ** 3 / 4.0
    first = before = 0.0
    steps, exact = 0, False  # since the Hessian was there; whether it was that of where they began
    for _ in range(_MOST_STEPS):
        if not ready:
            _curve(columns, m, cost, logits, work, hessian)
            for k in range(logits):
                held[k, :m] = work[logits + k, :m]
            if not _factorise(hessian, penalty, cost * m, factor):
                return False
            ready, exact, steps = True, True, 0
        distance = _step(factor, slope, step)
        scale = np.sqrt(min(1.0, 2.0 * value))
        if distance <= TOLERANCE * scale:
            weights += step.reshape(logits, p)
            return True
        if steps == 0:
            first = distance
        else:
            rate = distance / before
            if steps == 1 and exact and rate > _SLOW and distance * distance <= _HIDDEN * value:
                return True
            if rate > _SLOW or _worth(rate, distance / first, TOLERANCE * scale / distance, building / looking):
                ready = False
                continue
        length = 1.0
        while True:
            for k in range(logits):
                for j in range(p):
                    trial[k, j] = weights[k, j] + length * step[k * p + j]
            found = _look(columns, m, classes, slots, cost, penalty, trial, work, slope)
            if found <= value - 1e-4 * length * distance * distance:
                break
            # Close to the optimum the objective hides its changes in rounding; its slope along the step does not.
            if (
                found <= value + _HIDDEN * (cost * m + value)
                and abs(np.dot(slope, step)) <= _SLOW * distance * distance
            ):
                break
            length *= 0.5
            if length < 0.1 and exact and steps == 0 and distance * distance <= _HIDDEN * value:
                return True  # rounding is all that is left
            if not length > 1e-15:
                return False
        weights[:] = trial
        value, before = found, distance
        steps += 1
        ready = length == 1.0
    return False


# -- choices --------------------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def _choose(ready, weights, present):  # type: ignore[no-untyped-def]
    m = ready.shape[1]
    chosen = np.empty(m, dtype=np.int64)
    found, best = np.empty(m), np.empty(m)
    _product(ready, weights[0], best)
    if weights.shape[0] == 1:
        for i in range(m):
            chosen[i] = present[1] if best[i] > 0.0 else present[0]
        return chosen
    chosen[:] = present[0]
    for k in range(1, weights.shape[0]):
        _product(ready, weights[k], found)
        for i in range(m):
            if found[i] > best[i]:
                best[i] = found[i]
                chosen[i] = present[k]
    return chosen


@njit(nogil=True, cache=True)
def _count_right(ready, weights, present, codes):  # type: ignore[no-untyped-def]
    right = 0
    chosen = _choose(ready, weights, present)
    for i in range(chosen.size):
        right += chosen[i] == codes[i]
    return right
