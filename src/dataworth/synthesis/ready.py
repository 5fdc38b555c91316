"""Synthetic rows that were made elsewhere, with the privacy their maker declares."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.data.columns import labels_of, numbers_of
from dataworth.data.tables import open_table, quoted
from dataworth.errors import DataError, MethodError
from dataworth.privacy.accounting import satisfies
from dataworth.privacy.kinds import DeclaredRelease, Event
from dataworth.privacy.mechanisms import Source
from dataworth.records import Budget, Points, Relation, Row, Unit
from dataworth.records.privacy import Amount
from dataworth.synthesis.protocol import Synthetic

__all__ = ["ReadyFile"]


@dataclass(frozen=True, eq=False)
class ReadyFile:
    """A synthetic copy made by another program, as a synthesizer: it never looks at the private rows.

    That the rows are differentially private is what their maker says; nothing here can check it. The unit and the
    neighbour relation must be those the maker protects, and asking for others is an error.

    Args:
        points: The synthetic rows with their labels, or a path to a table of them (Parquet, CSV, Arrow, NPZ).
        classes: The public list of labels, in ascending order.
        epsilon: As declared, from 1e-9 to 100.
        delta: As declared, from 1e-18 to 0.1, or 0.
        made_by: What made them, 1 to 200 printable characters, for example ``"synthcity 0.2.12, DP-GAN"``.
        label: The column of labels, if ``points`` is a path; NPZ files may leave it out if they call it ``y``.
        features: The feature columns in order, if ``points`` is a path; all others if not given.
        unit: Whose presence their maker hides.
        relation: Whether that unit is added or removed, or replaced.

    Raises:
        MethodError: An epsilon or delta out of range, no maker, or classes that repeat or do not ascend.
        DataError: A file or column that cannot be read, or labels that are no class.

    Example:
        >>> import dataworth as dw
        >>> rows = dw.Points([[0.1], [0.9]], ["ill", "well"])
        >>> ready = ReadyFile(rows, ["ill", "well"], epsilon=2, delta=0, made_by="a colleague")
        >>> ready.describe()
        '2 ready rows by a colleague, declared (2, 0)-differentially private'
    """

    points: Points | str | os.PathLike[str]
    classes: ArrayLike
    epsilon: Amount
    delta: Amount
    made_by: str
    label: str | None = None
    features: Sequence[str] | None = None
    unit: Unit = field(default_factory=Row)
    relation: Relation = "add_or_remove"
    _rows: Points = field(init=False, repr=False)
    _codes: NDArray[np.int64] = field(init=False, repr=False)
    _event: DeclaredRelease = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if (
            not isinstance(self.made_by, str)
            or not 1 <= len(self.made_by.strip()) <= 200
            or not self.made_by.isprintable()
        ):
            raise MethodError("made_by says in 1 to 200 printable characters what made the synthetic rows")
        declared = Budget(self.epsilon, Decimal("0.1") if _is_zero(self.delta) else self.delta)
        event = DeclaredRelease(declared.epsilon, Decimal(0) if _is_zero(self.delta) else declared.delta)
        rows = self.points if isinstance(self.points, Points) else _read(Path(self.points), self.label, self.features)
        if rows.missing:
            raise DataError(f"{rows.missing} of {len(rows)} ready rows have missing features")
        settle = object.__setattr__
        settle(self, "_event", event)
        settle(self, "_rows", rows)
        settle(self, "_codes", _codes(rows, np.asarray(self.classes)))

    def events(self, spend: Budget, *, unit: Unit, relation: Relation) -> tuple[Event, ...]:
        """What was declared, whatever may be spent beyond it.

        Raises:
            MethodError: The budget is below what was declared, or the unit or relation is another one.
        """
        if unit != self.unit or relation != self.relation:
            raise MethodError(
                f"the rows by {self.made_by} are declared private for {self.unit}, {self.relation}, not for {unit}, "
                f"{relation}; only their maker can say what they are worth there"
            )
        if not satisfies([self._event], spend, unit=unit, relation=relation):
            raise MethodError(
                f"the rows by {self.made_by} have cost epsilon = {self._event.epsilon}, delta = {self._event.delta}, "
                f"which is more than {spend}; spend what they have cost"
            )
        return (self._event,)

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
        """The ready rows. Of the private ones nothing is used but the number of columns, which is public.

        Args:
            x: Private features, ``(n, d)``; only ``d`` is looked at.
            codes: Not looked at.
            n_classes: Length of the public list of classes.
            events: What :meth:`events` returned.
            source: Not used.
            seed: Not used.
            folder: Not used.
            progress: Not used.

        Raises:
            DataError: Another number of columns or classes.
            MethodError: Events of something else.
        """
        if tuple(events) != (self._event,):
            raise MethodError("these are not the events of this release; give those that events() returned")
        width, have = x.shape[1], self._rows.x.shape[1]
        if width != have:
            raise DataError(f"the ready rows have {have} columns, and the private ones {width}; they must be the same")
        known = np.asarray(self.classes).size
        if n_classes != known:
            raise DataError(f"the ready rows are of {known} classes, and {n_classes} are asked for")
        return Synthetic(self._rows.x.astype(np.float32), self._codes.copy())

    def describe(self) -> str:
        """How many rows, by whom, and what they are declared to be."""
        return (
            f"{len(self._rows)} ready rows by {self.made_by}, declared ({self._event.epsilon}, {self._event.delta})-"
            "differentially private"
        )


def _is_zero(delta: Amount) -> bool:
    try:
        return not isinstance(delta, bool) and Decimal(str(delta)) == 0
    except InvalidOperation:  # Budget says what is wrong with it
        return False


def _codes(rows: Points, classes: NDArray[Any]) -> NDArray[np.int64]:
    if classes.ndim != 1 or classes.size == 0 or not np.array_equal(np.unique(classes), classes):
        raise MethodError("classes must be a list of labels in ascending order, each once")
    if classes.dtype.kind != rows.y.dtype.kind and "U" in (classes.dtype.kind, rows.y.dtype.kind):
        raise DataError(f"the ready labels are {rows.y.dtype}, but the classes {classes.dtype}")
    strange = int((~np.isin(rows.y, classes)).sum())
    if strange:
        raise DataError(f"{strange} of {len(rows)} ready labels are none of the {classes.size} classes")
    return np.searchsorted(classes, rows.y).astype(np.int64)


def _read(path: Path, label: str | None, features: Sequence[str] | None) -> Points:
    table = open_table(path)
    label = label if label is not None else table.usual.get("label")
    if label is None:
        raise DataError(f"label= must name the column of labels; {table.name} has {quoted(table.columns)}")
    usual = table.usual.get("features")
    if features is not None:
        wanted = list(features)
    else:
        wanted = [usual] if usual is not None else [column for column in table.columns if column != label]
    absent = [column for column in [label, *wanted] if column not in table.columns]
    if absent:
        raise DataError(f"{table.name} has no column {quoted(absent)}; it has {quoted(table.columns)}")
    if not wanted or label in wanted:
        raise DataError(f"{table.name} needs a feature column beside the label {label!r}")
    columns = table.read([*wanted, label], ())
    if columns.num_rows == 0:
        raise DataError(f"{table.name} has no rows")
    x, names = numbers_of(columns, wanted)
    return Points(x, labels_of(columns, label), features=names)
