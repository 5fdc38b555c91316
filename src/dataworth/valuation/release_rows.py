"""The rows of a private release: what they are called, which of them stay, and their links.

All of it is decided for each row, or each owner's rows, by themselves; what others bring changes nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError
from dataworth.kernels import neighbors
from dataworth.kernels.capped import first_rows, link_nearest, link_nearest_jobs
from dataworth.kernels.neighbors import LinkBits, Rows
from dataworth.records import Owner, Points, Unit
from dataworth.valuation.methods import CappedLinks, Mechanism, ThresholdKNNShapley
from dataworth.valuation.planning import Judged
from dataworth.valuation.task import bar, encode

__all__ = [
    "BEYOND", "UNUSABLE", "Linked", "check_names", "codes_of", "id_order", "link_rows", "names_of_rows",
    "need_owners", "numbers", "rows_that_stay",
]  # fmt: skip

UNUSABLE, BEYOND = 1, 2  # positions in records.release.REASONS
_MOST_NAME = 500


# -- names -----------------------------------------------------------------------------------------


def names_of_rows(train: Points, unit: Unit) -> tuple[NDArray[Any], NDArray[Any]]:
    """What each row is called to its owner, and who that is; without owners, every row is its own.

    An owner reads both as text, so that how others are called changes nothing of it.

    Raises:
        InputError: The unit is an owner, and there are none.
        DataError: Something that cannot be a name.
    """
    need_owners(train.owners is not None, unit)
    owners = train.ids if train.owners is None else train.owners
    check_names(train.ids, owners)
    return (train.ids if train.named else numbers(owners)), owners


def need_owners(there: bool, unit: Unit) -> None:
    """Refuse to hide owners that nobody knows.

    Raises:
        InputError: The unit is an owner, and there are none.
    """
    if not there and isinstance(unit, Owner):
        raise InputError(f"the unit is {unit}, but the rows have no owners; give owners=")


def check_names(ids: NDArray[Any], owners: NDArray[Any]) -> None:
    """Refuse what cannot be a name.

    Raises:
        DataError: With how many there are, and none of them.
    """
    for what, names in (("row id", ids), ("owner name", owners)):
        odd = 0 if names.dtype.kind not in "UO" else sum(not _is_name(name) for name in np.unique(names).tolist())
        if odd:
            raise DataError(
                f"{odd} {what}{'s are' if odd > 1 else ' is'} empty, longer than {_MOST_NAME} characters, or "
                f"holds characters that cannot be printed; give every {what.split()[0]} a name"
            )


def _is_name(name: str) -> bool:
    return bool(name.strip()) and name.strip().isprintable() and len(name) <= _MOST_NAME


def numbers(owners: NDArray[Any]) -> NDArray[np.int64]:
    """Each row's number among its owner's: a place in the whole data would tell how many rows others have."""
    places = np.arange(owners.size)
    order = np.argsort(owners, kind="stable")
    _, starts, sizes = np.unique(owners[order], return_index=True, return_counts=True)
    numbers = np.empty_like(places)
    numbers[order] = places - np.repeat(starts, sizes)
    return numbers


def id_order(ids: NDArray[Any]) -> NDArray[np.int64]:
    """Rows in ascending order of id: whole numbers by size, then any other text; each by itself alone."""
    if ids.dtype.kind not in "UO":
        return np.argsort(ids, kind="stable")

    def key(row: int) -> tuple[int, int, str]:
        text = str(ids[row])
        whole = text.isascii() and text.removeprefix("-").isdecimal() and str(int(text)) == text
        return (0, int(text), "") if whole else (1, 0, text)

    return np.array(sorted(range(ids.size), key=key), dtype=np.int64)


def codes_of(labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64]:
    """Class numbers, -1 for a label that is none; where one side is text and the other numbers, both as text."""
    if (labels.dtype.kind in "UO") == (classes.dtype.kind in "UO"):
        return encode(labels, classes)
    texts = _as_text(classes)
    order = np.argsort(texts)
    found = encode(_as_text(labels), texts[order])
    return np.where(found >= 0, order[found], -1)


def _as_text(labels: NDArray[Any]) -> NDArray[Any]:
    if labels.dtype.kind == "O":  # texts, some of them long
        return labels
    if labels.dtype.kind != "f":
        return labels.astype(np.str_)
    return np.array([str(int(label)) if label == int(label) else repr(label) for label in labels.tolist()])


# -- which stay, and their links -------------------------------------------------------------------


def rows_that_stay(owners: NDArray[Any], ids: NDArray[Any], unit: Unit) -> NDArray[np.bool_] | None:
    """Which rows are not beyond what their owner may bring: the lowest ids, usable or not; None for all of them."""
    if not isinstance(unit, Owner):
        return None
    _, codes = np.unique(owners, return_inverse=True)
    return first_rows(codes, id_order(ids), unit.rows)


@dataclass(frozen=True, eq=False)
class Linked:
    """The rows that have links, their links, and why the others have none.

    Args:
        rows: Made ready for tiles; None if no row can be linked.
        links: Their links, capped.
        at: Position in the data of each row given to ``prepare``, ``(m,)``.
        reason: For every row of the data, ``(n,)``: 0, ``UNUSABLE`` or ``BEYOND``.
    """

    rows: Rows | None
    links: LinkBits | None
    at: NDArray[np.int64]
    reason: NDArray[np.int8]

    def counts(self, points: int) -> NDArray[np.int64]:
        """Exact counts of neighbours with a point's label, and with another, ``(points, 2)``."""
        if self.links is None:
            return np.zeros((points, 2), dtype=np.int64)
        return np.stack([self.links.n_same, self.links.n_other], axis=1)

    @property
    def bits(self) -> NDArray[np.uint8]:
        """All links."""
        return np.zeros((0, 0), dtype=np.uint8) if self.links is None else self.links.bits

    @property
    def present(self) -> int:
        """How many rows there are: those without a link are there too."""
        return int((self.reason != BEYOND).sum())


def link_rows(
    x: NDArray[Any],
    labels: NDArray[Any],
    stays: NDArray[np.bool_] | None,
    judged: Judged,
    method: ThresholdKNNShapley,
    mechanism: Mechanism,
    dtype: neighbors.DType,
    *,
    threads: int = 1,
    progress: bool | None = False,
) -> Linked:
    """Link rows with the validation points.

    Args:
        x: Features as given, not necessarily finite, ``(n, d)``.
        labels: Labels of any kind, ``(n,)``.
        stays: Which rows are not beyond what their owner may bring; None for all.
        judged: The validation set.
        method: With radius and metric.
        mechanism: With the cap, if there is one.
        dtype: The precision of screening.
        threads: How many threads share the rows.
        progress: Whether to show a progress bar.
    """
    metric = method.metric
    usable = neighbors.usable_rows(x, metric, centre=judged.centre, dtype=dtype, threads=threads)
    reason = np.where(usable, 0, UNUSABLE).astype(np.int8)
    if stays is not None:
        reason[~stays] = BEYOND
    at = np.flatnonzero(reason == 0)
    if at.size == 0:
        return Linked(None, None, at, reason)
    codes = codes_of(labels, judged.classes)
    all_of_them = at.size == len(x)
    rows = neighbors.prepare(
        x if all_of_them else x[at], codes if all_of_them else codes[at], judged.n_classes, metric,
        centre=judged.centre, dtype=dtype, threads=threads,
    )  # fmt: skip
    most = mechanism.links if isinstance(mechanism, CappedLinks) else None
    cap = len(judged) if most is None else min(most, len(judged))
    with bar(link_nearest_jobs(len(rows), len(judged), cap), "private release", progress) as tick:
        links = link_nearest(rows, judged.meeting(rows), method.radius, cap, threads=threads, tick=tick)
    return Linked(rows, links, at, reason)
