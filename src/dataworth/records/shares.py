"""Shares: what each provider is worth, calibrated, beside what they would be otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import InputError
from dataworth.records.arrays import read_only
from dataworth.records.coalitions import Coalitions
from dataworth.records.evidence import Evidence
from dataworth.records.privacy import Guarantee

__all__ = ["Shares"]


@dataclass(frozen=True, eq=False, repr=False)
class Shares:
    """The calibrated value of each provider, never exact, with what it was made of.

    Args:
        providers: Names, in order.
        values: Calibrated values in units of utility, ``(P,)``; they sum to ``total``.
        errors: Standard errors of ``values`` from the sampling of coalitions and the noise of training, ``(P,)``; NaN
            where not known.
        uncalibrated: Shapley values of the synthetic game, ``(P,)``.
        total: What the calibrated values sum to.
        fidelity: ``F_i``, agreement beyond chance, ``(P,)``; NaN where there was no answer.
        utility: ``U_i``, what each is worth alone beyond chance, ``(P,)``.
        calibration: The calibration with its parameters, as text.
        coalitions: What was tried, so that another calibration can be applied to it.
        spent: What each provider spent, ``P`` guarantees; None for one that declared itself empty.
        flags: What a reader must know before trusting the figures, one sentence each.
        provenance: Versions, settings, time.
        evidence: Tables and exhibits for a report.

    Raises:
        InputError: Arrays of different lengths, or values that are not finite.

    Example:
        >>> import dataworth as dw, numpy as np
        >>> members = np.array([[False, False], [True, False], [False, True], [True, True]])
        >>> tried = dw.Coalitions(
        ...     ("a", "b"), members, np.array([[0.5], [0.7], [0.6], [0.9]]), floor=0.5, full=0.9,
        ...     alone=np.array([0.7, 0.6]), values=np.array([0.25, 0.15]), errors=np.zeros(2), exact=True,
        ...     utility="by hand",
        ... )
        >>> unknown = np.full(2, np.nan)
        >>> shares = dw.Shares(
        ...     ("a", "b"), tried.values, unknown, tried.values, 0.4, unknown, tried.alone - 0.5, "none", tried,
        ...     (None, None),
        ... )
        >>> shares.shares.round(3).tolist()
        [0.625, 0.375]
    """

    providers: tuple[str, ...]
    values: NDArray[np.float64]
    errors: NDArray[np.float64]
    uncalibrated: NDArray[np.float64]
    total: float
    fidelity: NDArray[np.float64]
    utility: NDArray[np.float64]
    calibration: str
    coalitions: Coalitions
    spent: tuple[Guarantee | None, ...]
    flags: tuple[str, ...] = ()
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.providers)
        for name in ("values", "errors", "uncalibrated", "fidelity", "utility"):
            array = np.asarray(getattr(self, name), dtype=np.float64)
            if array.shape != (count,):
                raise InputError(f"{name} must have one entry for each of {count} providers, not shape {array.shape}")
            object.__setattr__(self, name, read_only(array))
        if not np.isfinite(self.values).all():
            raise InputError("calibrated values must be finite")

    @property
    def shares(self) -> NDArray[np.float64]:
        """``values`` as parts of one; equal parts where the total is not above zero."""
        if not self.values.sum() > 0:
            return np.full(len(self.providers), 1 / len(self.providers))
        return np.asarray(self.values / self.values.sum())

    @property
    def uniform(self) -> NDArray[np.float64]:
        """The split that knows nothing: ``total`` in equal parts."""
        return np.full(len(self.providers), self.total / len(self.providers))

    def __repr__(self) -> str:
        return f"Shares({len(self.providers)} providers, total {self.total:.3g}, {self.calibration})"
