"""Evidence: what a report shows beyond the values themselves, as plain data that can be saved."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError
from dataworth.records.arrays import exact

__all__ = ["Evidence", "Exhibit", "Links", "Table"]

Cell: TypeAlias = str | int | float | bool | None
Kind: TypeAlias = Literal["curve", "bars", "points", "rows", "sheet", "pairs"]


@dataclass(frozen=True, eq=False)
class Table:
    """A small table of figures, with a title and a note that says where they come from.

    Args:
        name: A short machine name, for example ``"tknn-table3"``.
        title: What a reader sees above it.
        columns: Column name to equally long lists of text, numbers, bools or None (not measured).
        note: Plain words below it: what the columns are, what was measured, what was published.

    Raises:
        InputError: Columns of different lengths, or a cell of another type.

    Example:
        >>> import dataworth as dw
        >>> table = dw.Table("demo", "A demo", {"set": ["a", "b"], "auroc": [0.91234, None]})
        >>> print(table.to_text())
        A demo
        set  auroc
        ---  -----
        a    0.912
        b    -
    """

    name: str
    title: str
    columns: Mapping[str, Sequence[Cell]]
    note: str = ""

    def __post_init__(self) -> None:
        columns = {str(key): tuple(_plain(cell) for cell in cells) for key, cells in self.columns.items()}
        for key, cells in columns.items():
            odd = sorted({type(cell).__name__ for cell in cells if not isinstance(cell, Cell)})
            if odd:
                raise InputError(
                    f"cells of a table are text, numbers, bools or None, but column {key!r} has {', '.join(odd)}"
                )
        if len({len(cells) for cells in columns.values()}) > 1:
            sizes = {key: len(cells) for key, cells in columns.items()}
            raise InputError(f"every column of a table must have the same length, not {sizes}")
        object.__setattr__(self, "columns", columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def rows(self) -> list[tuple[Cell, ...]]:
        """The rows, in order, each with one cell a column."""
        return list(zip(*self.columns.values(), strict=True))

    def to_text(self) -> str:
        """Aligned plain text for a terminal; numbers with three decimals, ``-`` for what is not there."""
        cells = [[show_cell(cell) for cell in row] for row in self.rows()]
        grid = [list(self.columns), *cells]
        widths = [max(len(line[i]) for line in grid) for i in range(len(self.columns))]
        rule = ["-" * width for width in widths]
        lines = [
            "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
            for line in [*grid[:1], rule, *grid[1:]]
        ]
        return "\n".join([self.title, *lines, *([self.note] if self.note else [])])

    def to_csv(self) -> str:
        """Comma-separated text with a header line; numbers in full, empty where there is none."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(["" if cell is None else cell for cell in row] for row in self.rows())
        return out.getvalue()

    def to_pandas(self) -> Any:
        """A pandas DataFrame (pandas must be installed)."""
        import pandas as pd

        return pd.DataFrame({key: list(cells) for key, cells in self.columns.items()})


@dataclass(frozen=True, eq=False)
class Links:
    """Which training rows are near which validation points, one entry a link.

    Args:
        name: A short machine name, for example ``"nearest-validation"``.
        title: What a reader sees above it.
        row_ids: Ids of the training rows, shape ``(m,)``.
        point_ids: Ids of the validation points, shape ``(m,)``.
        distance: In the metric's unit, float64, shape ``(m,)``.
        same_label: Whether the two share a label, bool, shape ``(m,)``.
        note: Plain words: which links these are.

    Raises:
        InputError: Arrays that are not flat, or not equally long.

    Example:
        >>> import dataworth as dw
        >>> links = dw.Links("near", "Nearest points", ["a", "a"], [7, 9], [0.2, 0.1], [True, False])
        >>> links.of_row("a")
        [(9, 0.1, False), (7, 0.2, True)]
    """

    name: str
    title: str
    row_ids: NDArray[Any]
    point_ids: NDArray[Any]
    distance: NDArray[np.float64]
    same_label: NDArray[np.bool_]
    note: str = ""

    def __post_init__(self) -> None:
        arrays = {
            "row_ids": exact(self.row_ids, "row_ids"),
            "point_ids": exact(self.point_ids, "point_ids"),
            "distance": np.asarray(self.distance, dtype=np.float64),
            "same_label": np.asarray(self.same_label, dtype=np.bool_),
        }
        if len({array.shape for array in arrays.values()}) > 1 or arrays["distance"].ndim != 1:
            raise InputError(f"links need flat arrays of one length, not {[a.shape for a in arrays.values()]}")
        for key, array in arrays.items():
            object.__setattr__(self, key, array)

    def __len__(self) -> int:
        return int(self.distance.shape[0])

    def of_row(self, row_id: Any) -> list[tuple[Any, float, bool]]:
        """The links of one row as ``(point id, distance, same label)``, nearest first."""
        at = np.flatnonzero(self.row_ids == row_id)
        at = at[np.argsort(self.distance[at], kind="stable")]
        return [(self.point_ids[i].item(), float(self.distance[i]), bool(self.same_label[i])) for i in at]


@dataclass(frozen=True, eq=False)
class Exhibit:
    """One picture: what kind it is, the figures behind it, and the words that go with it.

    Args:
        name: A short machine name, for example ``"removal-curve"``.
        kind: ``"curve"`` (lines over ``x``), ``"bars"`` (one bar a row of the table), ``"points"`` (a
            scatter), ``"rows"`` (the content of rows: cells of the table, with pictures in the column
            named by ``y`` as ``data:image/...;base64`` addresses), ``"sheet"`` (the same, with pictures in their own
            size: sheets of many small ones), or ``"pairs"`` (things, each beside what it
            is matched with: one row of the table a pair, those of one thing together).
        table: The figures drawn.
        x: Column along the horizontal axis (for ``"rows"``: the column of row ids; for ``"pairs"``: the things).
        y: Column along the vertical axis (for ``"pairs"``: what stands beside them, None where nothing does).
        series: Column whose entries get a colour each, if any (for ``"pairs"``: a figure of each thing in ``x``).
        alt: What the picture shows, for readers who cannot see it.
        caption: What it means, and what it does not.
        title: What a reader sees above it; the table's title if not given.
        log_x: Whether the horizontal axis of a curve is logarithmic; its figures are then above zero.

    Raises:
        InputError: An unknown kind, a column that the table does not have, or a logarithmic axis for anything but
            a curve over figures above zero.

    Example:
        >>> import dataworth as dw
        >>> table = dw.Table("by-class", "Mean value by class", {"class": ["cat", "dog"], "mean": [0.2, -0.1]})
        >>> picture = dw.Exhibit("by-class", "bars", table, x="mean", y="class", alt="Bars of the mean value.")
        >>> picture.title
        'Mean value by class'
    """

    name: str
    kind: Kind
    table: Table
    x: str
    y: str
    alt: str
    series: str | None = None
    caption: str = ""
    title: str = field(default="")
    log_x: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise InputError(f"exhibit {self.name!r} must be one of {', '.join(get_args(Kind))}, not {self.kind!r}")
        missing = [c for c in (self.x, self.y, self.series) if c is not None and c not in self.table.columns]
        if missing:
            raise InputError(
                f"exhibit {self.name!r} draws columns {missing}, but its table has {list(self.table.columns)}"
            )
        if self.log_x and not (
            self.kind == "curve" and all(_is_above_zero(cell) for cell in self.table.columns[self.x])
        ):
            raise InputError(
                f"a logarithmic axis is for curves over numbers above zero; exhibit {self.name!r} is no such"
            )
        if not self.title:
            object.__setattr__(self, "title", self.table.title)


Evidence: TypeAlias = Links | Table | Exhibit


def show_cell(cell: Cell) -> str:
    """How a cell is written for people: three decimals for floats, ``-`` for nothing."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.3f}" if 1e-3 <= abs(cell) < 1e6 or cell == 0 else f"{cell:.3g}"
    return str(cell)


def evidence_to_json(evidence: Sequence[Evidence]) -> list[dict[str, Any]]:
    """Plain dictionaries that JSON can hold, one for each piece."""
    return [_to_json(piece) for piece in evidence]


def evidence_from_json(pieces: Sequence[Mapping[str, Any]]) -> tuple[Evidence, ...]:
    """The inverse of :func:`evidence_to_json`."""
    return tuple(_from_json(piece) for piece in pieces)


def _to_json(piece: Evidence) -> dict[str, Any]:
    if isinstance(piece, Table):
        return {"is": "table", "name": piece.name, "title": piece.title, "note": piece.note,
                "columns": {key: list(cells) for key, cells in piece.columns.items()}}  # fmt: skip
    if isinstance(piece, Links):
        return {"is": "links", "name": piece.name, "title": piece.title, "note": piece.note,
                "row_ids": piece.row_ids.tolist(), "point_ids": piece.point_ids.tolist(),
                "distance": piece.distance.tolist(), "same_label": piece.same_label.tolist()}  # fmt: skip
    return {"is": "exhibit", "name": piece.name, "kind": piece.kind, "table": _to_json(piece.table),
            "x": piece.x, "y": piece.y, "series": piece.series, "alt": piece.alt,
            "caption": piece.caption, "title": piece.title, "log_x": piece.log_x}  # fmt: skip


def _from_json(piece: Mapping[str, Any]) -> Evidence:
    fields = {key: value for key, value in piece.items() if key != "is"}
    match piece.get("is"):
        case "table":
            return Table(**fields)
        case "links":
            return Links(**fields)
        case "exhibit":
            table = _from_json(fields.pop("table"))
            return Exhibit(table=table, **fields)  # type: ignore[arg-type]
        case other:
            raise DataError(f"unknown evidence {other!r}; this file may come from a newer dataworth")


def _is_above_zero(cell: Cell) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool) and cell > 0


def _plain(cell: Any) -> Cell:
    """NumPy scalars become Python's, so that a table can be saved and compared."""
    plain: Cell = cell.item() if isinstance(cell, np.generic) else cell
    return plain
