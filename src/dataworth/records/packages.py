"""What a provider hands over: a private synthetic copy of its data, and what was promised about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError
from dataworth.records.evidence import Evidence
from dataworth.records.points import Points
from dataworth.records.privacy import Guarantee

__all__ = ["Fidelity", "Package"]


@dataclass(frozen=True)
class Fidelity:
    """How often a model agrees with a provider's private labels: two noisy counts of disjoint rows.

    Args:
        agree: Noisy number of private rows whose label the model gives; may be negative.
        disagree: Noisy number of the others.
        scale: Of the discrete Laplace noise on both.
        guarantee: What the two counts promise.
        question: Digest of the question that was answered; empty where the model was trained on the provider's own
            synthetic copy.

    Example:
        >>> import dataworth as dw
        >>> from fractions import Fraction
        >>> promised = dw.Guarantee(dw.Budget(0.25, 1e-6), dw.Row(), "add_or_remove", joint=False)
        >>> found = dw.Fidelity(agree=812, disagree=191, scale=Fraction(4), guarantee=promised)
        >>> round(found.rate, 3), found.size
        (0.81, 1003)
    """

    agree: int
    disagree: int
    scale: Fraction
    guarantee: Guarantee
    question: str = ""

    @property
    def size(self) -> int:
        """The estimated number of private rows, never below zero."""
        return max(self.agree + self.disagree, 0)

    @property
    def rate(self) -> float:
        """The estimated share of private rows on which the model agrees, in [0, 1].

        The number of rows counts as one noise scale at least, so that noise alone cannot look like agreement.
        """
        return float(np.clip(self.agree / max(float(self.agree + self.disagree), float(self.scale)), 0.0, 1.0))


@dataclass(frozen=True, eq=False, repr=False)
class Package:
    """A private synthetic copy of one provider's data, ready to leave the house.

    Everything in it is public, declared, or differentially private.

    Args:
        provider: The provider's name, 1 to 200 printable characters.
        points: The synthetic rows; None if the provider declares that it has none.
        classes: The public list of labels, in ascending order, ``(C,)``.
        guarantee: What everything in the package promises together.
        events: What was released, as plain JSON (see ``dataworth.privacy.events``).
        synthesizer: The synthesizer with its parameters, as text.
        fidelity: Noisy counts of agreement of a model trained on ``points`` with the private labels, if released.
        image_shape: ``(height, width)`` or ``(height, width, channels)`` where a row holds the pixels of an image.
        evidence: Figures against public data, and pictures of synthetic rows.
        provenance: Versions and time; plain text and numbers.

    Raises:
        InputError: A name that cannot be printed.
        DataError: Labels that are no class, or rows that do not fill the image shape.

    Example:
        >>> import dataworth as dw, numpy as np
        >>> promised = dw.Guarantee(dw.Budget(4, 1e-5), dw.Row(), "add_or_remove", joint=False)
        >>> rows = dw.Points([[0.1], [0.9]], ["well", "ill"])
        >>> dw.Package("clinic", rows, np.array(["ill", "well"]), promised, (), "by hand")
        Package of 'clinic': 2 synthetic rows by by hand, epsilon = 4, delta = 1e-5
    """

    provider: str
    points: Points | None
    classes: NDArray[Any]
    guarantee: Guarantee
    events: Sequence[Mapping[str, Any]]
    synthesizer: str
    fidelity: Fidelity | None = None
    image_shape: tuple[int, ...] | None = None
    evidence: tuple[Evidence, ...] = ()
    provenance: Mapping[str, str | int | float] = None  # type: ignore[assignment]  # becomes {}

    def __post_init__(self) -> None:
        name = self.provider
        if not isinstance(name, str) or not 1 <= len(name) <= 200 or not name.isprintable() or not name.strip():
            raise InputError("a provider's name is 1 to 200 printable characters")
        object.__setattr__(self, "events", tuple(self.events))
        object.__setattr__(self, "provenance", dict(self.provenance or {}))
        if self.points is None:
            return
        strange = int((~np.isin(self.points.y, self.classes)).sum())
        if strange:
            raise DataError(f"{strange} of {len(self.points)} synthetic labels are none of the declared classes")
        if self.image_shape is not None and int(np.prod(self.image_shape)) != self.points.x.shape[1]:
            raise DataError(
                f"an image of shape {self.image_shape} has {int(np.prod(self.image_shape))} values; the rows have "
                f"{self.points.x.shape[1]}"
            )

    def __repr__(self) -> str:
        rows = "declared empty" if self.points is None else f"{len(self.points)} synthetic rows by {self.synthesizer}"
        stamp = "" if self.guarantee.private else ", NOT PRIVATE"
        return f"Package of {self.provider!r}: {rows}, {self.guarantee.budget}{stamp}"
