"""From options to points: two sources read alike, and what is known about the rows of the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataworth.errors import DataError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dataworth.data.tables import OpenTable
    from dataworth.records import Points

__all__ = [
    "Embed",
    "Pair",
    "columns_of",
    "parse_classes",
    "read_judges",
    "read_marks",
    "read_pair",
    "refuse_stored",
    "split_names",
]


class Embed(StrEnum):
    """The models that turn texts or pictures into features."""

    MINILM = "minilm"
    EFFICIENTNET_LITE0 = "efficientnet-lite0"


@dataclass(frozen=True, eq=False)
class Pair:
    """What was read.

    Args:
        train: The rows to value.
        validation: The rows that judge.
        bad: Which train rows are known to be bad, bool, shape ``(n,)``, if a column says so.
    """

    train: Points
    validation: Points
    bad: NDArray[np.bool_] | None


def read_pair(
    train: Path,
    validation: Path,
    *,
    label: str | None,
    id: str | None,
    owner: str | None,
    features: Sequence[str] | None,
    bad: str | None,
    embed: Embed | None,
    allow_missing: bool = False,
) -> Pair:
    """Read the rows to value and the rows that judge.

    The ``id`` and ``owner`` columns may be missing from the validation rows; the ``bad`` column too. Where
    they are there, they are no features. With ``allow_missing`` features may be missing from the rows to value,
    never from those that judge.

    Raises:
        DataError: A source or column that cannot be used.
        InputError: Options that do not go together.
    """
    import dataworth as dw

    parts: dict[str, Any] = {"label": label, "embed": embed and embed.value}
    mask = None
    if bad is not None:
        table = _open(train, bad)
        mask = read_marks(table, bad, "--bad")
        if features is None:
            features = [column for column in _features(table, label, id, owner) if column != bad]
        elif bad in features:
            raise InputError(
                f"--bad names {bad!r}, which --features names too; what marks bad rows cannot be a feature"
            )
    points = dw.read_points(train, id=id, owner=owner, features=features, allow_missing=allow_missing, **parts)
    judges = read_judges(validation, label=label, id=id, owner=owner, features=features, embed=embed)
    return Pair(points, judges, mask)


def read_judges(
    validation: Path,
    *,
    label: str | None,
    id: str | None,
    owner: str | None,
    features: Sequence[str] | None,
    embed: Embed | None,
) -> Points:
    """Read the rows that judge; their ``id`` and ``owner`` columns may be missing.

    Raises:
        DataError: A source or column that cannot be used.
        InputError: Options that do not go together.
    """
    import dataworth as dw

    there = columns_of(validation)
    return dw.read_points(
        validation,
        label=label,
        id=id if id in there else None,
        owner=owner if owner in there else None,
        features=features,
        embed=embed and embed.value,
    )


def refuse_stored(path: Path, needed: str, *, one_file: bool = True) -> None:
    """Refuse a folder of values that were worked out part by part, where a file is needed.

    Args:
        path: What was given.
        needed: What is taken instead.
        one_file: Whether one file of the same values would do.

    Raises:
        InputError: It is such a folder; the message says how to make one file of it.
    """
    from dataworth.records.stored import MANIFEST

    if (path / MANIFEST).is_file():
        how = (
            ". Where they fit in memory, Python makes one file of them: "
            f"dw.StoredValues.open({str(path)!r}).load().save('values.parquet')"
        )
        raise InputError(
            f"{str(path)!r} is a folder of values that were worked out part by part; {needed}{how if one_file else ''}"
        )


def split_names(given: Sequence[str] | None) -> list[str] | None:
    """``a,b`` and repeated options as one list of names; None if nothing was given."""
    if not given:
        return None
    return [name for part in given for name in _split(part)]


def parse_classes(text: str, y: NDArray[Any]) -> list[str] | list[int] | list[bool] | list[float]:
    """The classes named in ``a,b,c``, of the type the labels have.

    Raises:
        InputError: A name that cannot be such a label.
    """
    names = _split(text)
    try:
        match y.dtype.kind:
            case "i" | "u":
                return [int(name) for name in names]
            case "b":
                return [{"true": True, "false": False}[name.lower()] for name in names]
            case "f":
                return [float(name) for name in names]
            case _:
                return list(names)
    except (ValueError, KeyError):
        raise InputError(f"--classes must name labels as they are in the data ({y.dtype}), not {text!r}") from None


def columns_of(source: Path) -> tuple[str, ...]:
    """The columns of a file; none for a folder of images or a bare array."""
    from dataworth.data.tables import open_table

    return () if source.is_dir() or source.suffix.lower() == ".npy" else open_table(source).columns


def read_marks(table: OpenTable, column: str, option: str) -> NDArray[np.bool_]:
    """A column of true and false, or of 1 and 0, as a mask.

    Args:
        table: Where it is.
        column: Its name.
        option: What asked for it, for messages.

    Raises:
        DataError: It holds something else.
    """
    import numpy as np

    held = table.read([column], ())[column]
    marks = held.to_numpy()
    if held.null_count or marks.dtype.kind not in "biu" or not np.isin(marks, (0, 1)).all():
        raise DataError(
            f"column {column!r} ({option}) must hold true or false (or 1 or 0) in every row, not {held.type}"
        )
    mask: NDArray[np.bool_] = marks.astype(np.bool_)
    return mask


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _open(source: Path, bad: str) -> OpenTable:
    from dataworth.data.tables import open_table

    if source.is_dir():
        raise InputError(f"{str(source)!r} is a folder of images, which has no column {bad!r}; leave out --bad")
    table = open_table(source)
    if bad not in table.columns:
        raise DataError(f"{table.name} has no column {bad!r} (--bad)")
    return table


def _features(table: OpenTable, label: str | None, id: str | None, owner: str | None) -> list[str]:
    """The columns that are features when nobody says which."""
    usual = table.usual
    if "features" in usual:
        return [usual["features"]]
    others = {label or usual.get("label"), id or usual.get("id"), owner or usual.get("owner")}
    return [column for column in table.columns if column not in others]
