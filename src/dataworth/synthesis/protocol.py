"""What every synthesizer can do: say what it will release, and then release it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dataworth.privacy.kinds import Event
from dataworth.privacy.mechanisms import Source
from dataworth.records import Budget, Evidence, Relation, Unit

__all__ = ["Synthesizer", "Synthetic"]


@dataclass(frozen=True, eq=False)
class Synthetic:
    """Synthetic rows: a function of public parameters and noisy counts or gradients only.

    Args:
        x: Features, float32, ``(m, d)``.
        codes: The class of each row as its place in the list of classes, int64, ``(m,)``.
        evidence: What was seen while they were made, from public data and released figures only.
    """

    x: NDArray[np.float32]
    codes: NDArray[np.int64]
    evidence: tuple[Evidence, ...] = ()


@runtime_checkable
class Synthesizer(Protocol):
    """Makes a differentially private synthetic copy of labelled rows.

    Whatever else it needs (bounds, public data, models) is public and part of its parameters.

    Example:
        >>> import dataworth as dw
        >>> evolution = dw.PrivateEvolution(dw.EmbeddingCandidates([[0.0], [1.0], [2.0]], neighbours=2))
        >>> isinstance(evolution, dw.Synthesizer)
        True
    """

    def events(self, spend: Budget, *, unit: Unit, relation: Relation) -> tuple[Event, ...]:
        """What :meth:`synthesize` will release, within a budget: from public parameters only.

        Args:
            spend: The epsilon and delta to stay within.
            unit: Whose presence is hidden.
            relation: Whether that unit is added or removed, or replaced.

        Raises:
            MethodError: The budget is too small, or the unit or relation is one it cannot protect.
        """

    def synthesize(
        self,
        x: NDArray[Any],
        codes: NDArray[np.int64],
        n_classes: int,
        *,
        events: Sequence[Event],
        source: Source,
        seed: int = 0,
        folder: Path | None = None,
        progress: bool | None = None,
    ) -> Synthetic:
        """Synthetic rows, released with exactly the noise that ``events`` says.

        Everything random that privacy rests on comes from ``source``; ``seed`` is for everything else and public.

        Args:
            x: Private features, ``(n, d)``; ``n`` is private.
            codes: Private labels as places in the public list of classes, ``(n,)``.
            n_classes: Length of that list.
            events: What :meth:`events` returned.
            source: Of noise and inclusion bits.
            seed: Of what needs no secrecy: candidates, variations, selection, weights.
            folder: Where released intermediate results are kept, so that a stopped run goes on without releasing
                anything twice; None keeps nothing.
            progress: Show a progress bar; None shows it on a terminal only.

        Raises:
            DataError: Rows it cannot use; the message quotes none.
            MissingExtra: Something it needs is not installed.
        """

    def describe(self) -> str:
        """Its name and public parameters, on one line."""
