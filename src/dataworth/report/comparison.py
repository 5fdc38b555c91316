"""What the page shows of several methods on one data set: the figures first, then agreement, curves and discovery."""

from __future__ import annotations

from collections.abc import Sequence

from dataworth.records import Evidence, Exhibit, Table
from dataworth.records.comparison import Comparison
from dataworth.records.evidence import Cell
from dataworth.report.charts import draw_matrix
from dataworth.report.parts import Extra, Group, Picture, Section, drawn, shown_evidence, text_grid
from dataworth.report.precision import drowned_methods
from dataworth.report.text import figure

__all__ = ["comparison_section"]

MATRIX_SHOWN = 12  # methods; beyond, figures would not fit their cells

_SUMMARY, _METHODS = "summary", "methods"
_MATRICES = ("spearman", "kendall", "lowest-overlap")
_CURVES = ("removal-lowest-first", "removal-highest-first", "addition-highest-first", "addition-lowest-first")
_FOUND = ("detection", "discovery-curve")

_AGREE = (
    "Every method gives the rows an order. Rank correlations compare whole orders; the third picture compares the ends "
    "that people look at."
)
_MATTER = (
    "One model is trained again and again while rows leave, or come, in the order of each method. All lines share its "
    "seed and the random orders."
)
_FIND = "Rows known to be bad should be low. Lines show how many of them are found, reading the lowest values first."


def comparison_section(compared: Comparison) -> Section:
    """What the page shows of a comparison."""
    by_name = {piece.name: piece for piece in compared.evidence}
    placed = {_SUMMARY, _METHODS, *_MATRICES, *_CURVES, *_FOUND}
    groups = [
        _group("What each is good for", "", _some(by_name, [_SUMMARY])),
        _group("Do they agree?", _AGREE, _some(by_name, [*_MATRICES, _METHODS])),
        _group("Does it matter to a model?", _MATTER, _some(by_name, _CURVES)),
        _group("Do they find bad rows?", _FIND, _some(by_name, _FOUND)),
        _group("More", "", [piece for name, piece in by_name.items() if name not in placed]),
    ]
    return Section(
        title=f"{len(compared.methods)} methods on the same {compared.n_rows:,} rows",
        is_values=False,
        is_comparison=True,
        short=_in_short(compared),
        flags=[f"{said[0].upper()}{said[1:]}."] if (said := drowned_methods(compared)) else [],
        facts=[(str(name), str(fact)) for name, fact in compared.facts.items()],
        groups=[group for group in groups if group.pictures or group.extras],
    )


def _some(by_name: dict[str, Evidence], names: Sequence[str]) -> list[Evidence]:
    return [by_name[name] for name in names if name in by_name]


def _group(title: str, said: str, pieces: Sequence[Evidence]) -> Group:
    pictures: list[Picture] = []
    extras: list[Extra] = []
    for piece in pieces:
        if isinstance(piece, Table) and piece.name in _MATRICES and len(piece) <= MATRIX_SHOWN:
            pictures.append(_matrix(piece))
        elif isinstance(piece, Exhibit) and piece.kind == "curve":
            pictures.append(drawn(piece))
        elif isinstance(piece, Table):
            extras.append(Extra(piece.title, piece.note, [], text_grid(piece)))
        else:
            more_pictures, more_extras = shown_evidence([piece])
            pictures += more_pictures
            extras += more_extras
    return Group(title, said, pictures, extras)


def _matrix(table: Table) -> Picture:
    names = [str(name) for name in table.columns["method"]]
    cells = [[_number(cell) for cell in row[1:]] for row in table.rows()]
    known = [cell for i, row in enumerate(cells) for cell in row[:i] if cell is not None]
    said = f", between different methods from {figure(min(known), 2)} to {figure(max(known), 2)}" if known else ""
    alt = f"{table.title} of every two of {len(names):,} methods{said}."
    return Picture(table.title, draw_matrix(names, cells, alt), table.note, text_grid(table))


def _in_short(compared: Comparison) -> str:
    said = f"{len(compared.methods)} methods valued the same {compared.n_rows:,} rows."
    if "spearman" in compared:
        rows = compared.table("spearman").rows()
        pairs = [
            (number, compared.methods[j], str(row[0]))
            for i, row in enumerate(rows)
            for j, number in enumerate(_number(cell) for cell in row[1 : i + 1])
            if number is not None
        ]
        if len(pairs) == 1:
            said += f" The rank correlation of their values is {figure(pairs[0][0], 2)}."
        elif pairs:
            (least, one, other), (most, same, alike) = min(pairs), max(pairs)
            said += (
                f" Their orders agree least between {one} and {other} (rank correlation {figure(least, 2)}), most "
                f"between {same} and {alike} ({figure(most, 2)})."
            )
    return said


def _number(cell: Cell) -> float | None:
    return float(cell) if isinstance(cell, int | float) else None
