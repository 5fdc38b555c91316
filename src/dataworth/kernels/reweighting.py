"""What private counts say beyond the noise: the validation set, reweighted so that it explains them.

Every validation point is taken as a row that might be in the training set, with its own label or with another.
How many training rows each stands for is unknown; a log-normal prior says about ``rows / n_validation``, and the
most probable weights given the noisy counts are found. What they predict is a far better guess of the counts
than the validation set alone where the training rows are distributed otherwise, and smooths the noise over
validation points that see the same rows. All of it works on noisy counts and public data, so it costs no
privacy (post-processing).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, minimize
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from dataworth.kernels.neighbors import LinkBits, Rows

__all__ = ["Prediction", "PublicLinks", "explain", "prior_weights"]

OTHER_LABEL = 0.1
"""The share of training rows that, before any count is seen, is taken to carry another label than expected."""

_OTHER_LABEL_SPREAD = 0.03  # prior standard deviation of that share
_OTHER_LABEL_RANGE = (0.01, 0.5)

LOG_VARIANCE = 1.0
"""Prior variance of the logarithm of a weight."""

_MISFIT = 0.1  # of the sampling variance of the validation set: what no weights can explain
_STEPS = 25  # further steps do not rank rows any better: counts follow the weights long before the weights settle
_GAIN = 1e-4  # a step that gains less than this share is the last
_REACH = 8.0  # weights stay within a factor exp(8) of the prior's


@dataclass(frozen=True, eq=False)
class PublicLinks:
    """Links of the validation set with itself: points (all, or some) as rows that might be there.

    Args:
        same: ``(m, n)`` sparse, one where row j is linked with point z and has its label.
        other: ``(m, n)`` sparse, one where it is linked and has another.
        n_classes: How many classes there are.
    """

    same: csr_array
    other: csr_array
    n_classes: int

    @classmethod
    def of(cls, rows: Rows, links: LinkBits, point_codes: NDArray[np.int64], n_classes: int) -> PublicLinks:
        """From the links of some validation points, taken as rows, with all of them.

        Args:
            rows: The points that were linked as rows.
            links: Their links with all points.
            point_codes: Class of each validation point, ``(n,)``.
            n_classes: How many classes there are.
        """
        linked = np.empty((len(rows), point_codes.size), dtype=np.bool_)
        linked[rows.order] = links.mask().T
        alike = np.empty_like(linked)
        alike[rows.order] = rows.codes[:, np.newaxis] == point_codes
        return cls(
            csr_array((linked & alike).astype(np.float64)), csr_array((linked & ~alike).astype(np.float64)), n_classes
        )

    @property
    def rows(self) -> int:
        """How many rows that might be there."""
        return int(self.same.shape[0])

    @cached_property
    def _same_by_point(self) -> csr_array:
        return self.same.T.tocsr()

    @cached_property
    def _other_by_point(self) -> csr_array:
        return self.other.T.tocsr()

    @property
    def _hit(self) -> float:
        """The chance that a label drawn from the other classes is a given one of them."""
        return 1.0 / (self.n_classes - 1) if self.n_classes > 1 else 0.0

    def counts(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Neighbours with the point's label and with another, if each row is there so many times.

        Args:
            weights: ``(2, m)``: with its own label, and with another, each other class equally likely.

        Returns:
            ``(n, 2)``: of the same label, of another.
        """
        alike, unlike = self._same_by_point @ weights.T, self._other_by_point @ weights.T  # columns: own label, another
        same = alike[:, 0] + self._hit * unlike[:, 1]
        other = unlike[:, 0] + alike[:, 1] + (1.0 - self._hit) * unlike[:, 1]
        return np.stack([same, other], axis=1)

    def pull(self, residual: NDArray[np.float64]) -> NDArray[np.float64]:
        """The transpose of ``counts``: what a residual at the points, ``(n, 2)``, asks of the weights, ``(2, m)``."""
        alike, unlike = (self.same @ residual).T, (self.other @ residual).T  # rows: same, other
        return np.stack([alike[0] + unlike[1], self._hit * unlike[0] + alike[1] + (1.0 - self._hit) * unlike[1]])


@dataclass(frozen=True, eq=False)
class Prediction:
    """Counts as the reweighted validation set predicts them.

    Args:
        mean: ``(n, 2)``, at least 0: neighbours of the same label, of another.
        variance: ``(n, 2)``: of the true counts around them, as the noisy counts show it.
    """

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]


def prior_weights(links: PublicLinks, rows: float, other_label: float = OTHER_LABEL) -> NDArray[np.float64]:
    """How often each row that might be there is expected among so many rows, ``(2, m)``: own label, another."""
    each = rows / links.rows
    return np.stack([np.full(links.rows, each * (1.0 - other_label)), np.full(links.rows, each * other_label)])


def _other_label(links: PublicLinks, noisy: NDArray[np.int64], sigma: float, rows: float) -> float:
    """The most probable share of rows with another label, if all rows that might be there weigh the same."""
    own, other = links.counts(prior_weights(links, rows, 0.0)), links.counts(prior_weights(links, rows, 1.0))
    expected = (1.0 - OTHER_LABEL) * own + OTHER_LABEL * other
    precision = 1.0 / (sigma**2 + rows / links.rows * expected + 1.0)  # noise, and the validation set's own sampling
    change = other - own
    pull = float(((noisy - own) * change * precision).sum()) + OTHER_LABEL / _OTHER_LABEL_SPREAD**2
    share = pull / (float((change**2 * precision).sum()) + 1.0 / _OTHER_LABEL_SPREAD**2)
    return min(max(share, _OTHER_LABEL_RANGE[0]), _OTHER_LABEL_RANGE[1])


def explain(links: PublicLinks, noisy: NDArray[np.int64], sigma: float, rows: float) -> Prediction:
    """The counts that the most probable weights predict, given noisy ones.

    Maximises ``-|counts(w) - noisy|^2 / (2 tau^2) - |log(w / prior)|^2 / 2``, with tau the noise and what no
    weights can explain, and a prior whose share of other labels is fitted first. The spread of true counts around
    the prediction is then estimated from the residuals.

    Args:
        links: Of the validation set with itself, capped as the counts are.
        noisy: Noisy counts, ``(n, 2)``.
        sigma: The scale of their noise.
        rows: How many rows are expected: declared, or a noisy count of them.

    Example:
        >>> import numpy as np
        >>> from scipy.sparse import csr_array
        >>> links = PublicLinks(csr_array(np.eye(2)), csr_array(np.zeros((2, 2))), n_classes=2)
        >>> explain(links, np.array([[90, 10], [20, 3]]), sigma=1.0, rows=100.0).mean.round()
        array([[88.,  8.],
               [25.,  4.]])
    """
    prior = prior_weights(links, rows, _other_label(links, noisy, sigma, rows))
    expected = links.counts(prior)
    tau2 = sigma**2 + _MISFIT * rows / links.rows * expected + 1.0

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        exponent = flat.reshape(prior.shape)
        weights = prior * np.exp(exponent)
        residual = links.counts(weights) - noisy
        scaled = residual / tau2
        slope = links.pull(scaled) * weights + exponent / LOG_VARIANCE
        height = 0.5 * float((residual * scaled).sum()) + 0.5 * float((exponent**2).sum()) / LOG_VARIANCE
        return height, slope.ravel()

    with threadpool_limits(1, "blas"):  # vectors this short are only slowed down by more threads
        found = minimize(
            loss,
            np.zeros(prior.size),
            jac=True,
            method="L-BFGS-B",
            bounds=Bounds(-_REACH, _REACH),
            options={"maxiter": _STEPS, "ftol": _GAIN},
        )
    mean = links.counts(prior * np.exp(found.x.reshape(prior.shape)))
    excess = (noisy - mean) ** 2 - sigma**2
    size = float((mean**2).sum())
    growth = max(0.0, float((excess * mean).sum()) / size) if size > 0 else 0.0
    return Prediction(mean, growth * mean + 1.0)
