"""From counts to values: noise on the counts, what each point then gives, and each row's sums of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.kernels.neighbors import ClassOrder, Rows
from dataworth.kernels.noisy import Given, exact, shrunk
from dataworth.kernels.reweighting import explain, prior_weights
from dataworth.kernels.threshold import Semivalue, add_links, neighbour_value
from dataworth.privacy.mechanisms import Source
from dataworth.valuation.planning import Plan

__all__ = ["Gifts", "Sums", "draw_noise", "gifts_of", "proxy_of"]


def draw_noise(
    counts: NDArray[np.int64], present: int, plan: Plan, source: Source
) -> tuple[NDArray[np.int64], int | None]:
    """Noise on the counts of all rows and, if the plan says so, on how many there are.

    Args:
        counts: Exact, ``(n_validation, 2)``.
        present: How many rows there are; those without a link are there too.
        plan: With the scales.
        source: Of the noise.
    """
    noisy = source.add_noise(counts, plan.sigma).counts
    if plan.sigma == 0 or plan.rows_sigma is None:
        return noisy, None
    return noisy, int(source.add_noise(np.array([present]), plan.rows_sigma).counts[0])


@dataclass(frozen=True, eq=False)
class Gifts:
    """What each point gives a linked row: a function of noisy counts and public data.

    Args:
        values: Of value, and how uncertain that is.
        proxy: What it would give a row of its label, and of another, if the counts were those that the validation set
            expects, each ``(n_validation,)``; None if no number of rows is known to scale them by.
    """

    values: Given
    proxy: tuple[NDArray[np.float64], NDArray[np.float64]] | None

    @property
    def digest(self) -> str:
        """Of all of them."""
        given = self.values
        told = [given.same, given.other, given.same_variance, given.other_variance, *(self.proxy or ())]
        return hashlib.blake2b(
            b"".join(np.ascontiguousarray(one).tobytes() for one in told), digest_size=16
        ).hexdigest()


def gifts_of(noisy: NDArray[np.int64], noisy_rows: int | None, plan: Plan) -> Gifts:
    """From noisy counts of all rows, shrunk toward what the validation set explains; exact ones stay as they are."""
    classes, semivalue = plan.judged.n_classes, plan.method.semivalue
    if plan.sigma == 0:
        return Gifts(exact(noisy, classes, semivalue), None)
    expected = plan.expected_rows if noisy_rows is None else noisy_rows
    rows = float(max(expected or 1, 1))
    prediction = explain(plan.links, noisy, float(plan.sigma), rows)
    values = shrunk(noisy, plan.sigma, prediction, classes, semivalue)
    return Gifts(values, proxy_of(plan.links.counts(prior_weights(plan.links, rows)), classes, semivalue))


def proxy_of(
    counts: NDArray[np.float64], n_classes: int, semivalue: Semivalue
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the points would give a row of their label, and of another, if the counts were these."""
    same = neighbour_value(counts[:, 0], counts[:, 1], True, n_classes, semivalue)
    return same, neighbour_value(counts[:, 0], counts[:, 1], False, n_classes, semivalue)


@dataclass(frozen=True, eq=False)
class Sums:
    """What linked points give each row, summed over points: values, what noise leaves open of them, vote, proxy.

    Args:
        rows: The rows that can be linked, in the order of their classes; None if there are none.
        at: The place of each among all rows, ``(m,)``.
        point_codes: Classes of the points, ``(n_validation,)``.
        threads: How many threads add.
        columns: The sums so far, each in the order of ``at``.
    """

    rows: Rows | ClassOrder | None
    at: NDArray[np.int64]
    point_codes: NDArray[np.int64]
    threads: int
    columns: dict[str, NDArray[np.float64]]

    @classmethod
    def of(
        cls,
        rows: Rows | ClassOrder | None,
        at: NDArray[np.int64],
        bits: NDArray[np.uint8],
        point_codes: NDArray[np.int64],
        threads: int,
    ) -> Sums:
        """Sums that begin at zero, the vote added already: it needs no counts."""
        columns = {name: np.zeros(at.size) for name in ("values", "variance", "vote")}
        sums = cls(rows, at, point_codes, threads, columns)
        ones = np.ones(point_codes.size)
        sums._add("vote", bits, ones, -ones)
        return sums

    def add(self, bits: NDArray[np.uint8], given: Given) -> None:
        """Add what each point gives to the rows with these links."""
        self._add("values", bits, given.same, given.other)
        if given.same_variance.any() or given.other_variance.any():
            self._add("variance", bits, given.same_variance, given.other_variance)

    def add_proxy(self, bits: NDArray[np.uint8], given: tuple[NDArray[np.float64], NDArray[np.float64]] | None) -> None:
        """Add what points would give by the validation set alone, if that is known."""
        if given is not None:
            self.columns["proxy"] = np.zeros(self.at.size)
            self._add("proxy", bits, *given)

    def add_all(self, bits: NDArray[np.uint8], gifts: Gifts) -> None:
        """Add both."""
        self.add(bits, gifts.values)
        self.add_proxy(bits, gifts.proxy)

    def _add(self, name: str, bits: NDArray[np.uint8], same: NDArray[np.float64], other: NDArray[np.float64]) -> None:
        if self.rows is not None:
            add_links(self.rows, bits, self.point_codes, same, other, self.columns[name], threads=self.threads)

    def means(self, n: int, band_factor: float) -> dict[str, NDArray[Any]]:
        """The columns of a release, as means over validation points, ``(n,)`` each: nothing for rows without links."""
        points = self.point_codes.size
        means = {name: sums / points for name, sums in self.columns.items() if name != "variance"}
        means["band"] = band_factor * np.sqrt(self.columns["variance"]) / points
        columns = {"proxy": np.full(n, np.nan)}  # unless the number of rows is known well enough for one
        for name, column in means.items():
            columns[name] = np.zeros(n)
            columns[name][self.at] = column
        return columns
