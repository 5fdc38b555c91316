"""What sections of the page are made of, and how records become it: words and figures, no HTML yet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dataworth.records import Evidence, Exhibit, Links, Table, Values
from dataworth.records.evidence import Cell
from dataworth.report.charts import BARS_SHOWN, bin_values, draw, draw_bins, figures_of
from dataworth.report.text import column, decimals_of, figure

__all__ = [
    "Card",
    "Chip",
    "Extra",
    "Grid",
    "Group",
    "Match",
    "MatchList",
    "Matched",
    "Picture",
    "Row",
    "Section",
    "content_by_id",
    "distribution_of",
    "drawn",
    "drawn_owners",
    "is_picture",
    "opening",
    "plural",
    "records_of",
    "shown_evidence",
    "text_grid",
    "words_and_picture",
]

GRID_ROWS_SHOWN = 200
FIGURE_LENGTH = 24  # characters of a headline figure

_ADDRESS = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True)
class Card:
    """One headline figure and what it is."""

    figure: str
    label: str


@dataclass(frozen=True)
class Grid:
    """A table as text: heads with whether they are numeric, rows, and a remark on rows left out."""

    heads: list[tuple[str, bool]]
    rows: list[list[str]]
    left_out: str = ""
    pictures: str = ""  # the head of the column whose cells are picture addresses
    full_size: bool = False  # whether those pictures are shown in their own size


@dataclass(frozen=True)
class Picture:
    """A drawn figure, or only its words where there is nothing to draw; with its figures as a table."""

    title: str
    svg: str
    caption: str
    grid: Grid | None


@dataclass(frozen=True)
class Chip:
    """One validation point near a row."""

    id: str
    distance: str
    same: bool
    content: Mapping[str, str]
    picture: str


@dataclass(frozen=True)
class Row:
    """One training row, its value, and the validation points nearest to it."""

    id: str
    owner: str
    value: str
    below: bool
    content: Mapping[str, str]
    picture: str
    near: list[Chip]
    error: str = ""


@dataclass(frozen=True)
class Match:
    """One item beside another: the share that passed between them, and how far apart they are."""

    id: str
    share: str
    width: str  # of a bar, in percent
    distance: str
    matched: bool
    content: Mapping[str, str]
    picture: str


@dataclass(frozen=True)
class Matched:
    """One item, a figure of its own, and what it is matched with."""

    id: str
    owner: str
    figure: str
    content: Mapping[str, str]
    picture: str
    near: list[Match]


@dataclass(frozen=True)
class MatchList:
    """Items beside what they are matched with: a heading, what is said of them, and three column heads."""

    title: str
    said: str
    heads: tuple[str, str, str]
    rows: list[Matched]


@dataclass(frozen=True)
class Extra:
    """A further piece of evidence: cards, or a table, or both empty when it is a picture."""

    title: str
    note: str
    cards: list[Card]
    grid: Grid | None


@dataclass(frozen=True)
class Group:
    """Pictures and tables that answer one question: the question, what to see in them, and what they are."""

    title: str
    said: str
    pictures: Sequence[Picture]
    extras: Sequence[Extra] = ()


@dataclass(frozen=True)
class Section:
    """Everything the page shows of one result."""

    title: str
    is_values: bool
    is_release: bool = False
    is_credit: bool = False
    is_shares: bool = False
    is_comparison: bool = False
    stamp: str = ""
    flags: Sequence[str] = ()
    promises: Sequence[str] = ()
    not_covered: Sequence[str] = ()
    has_owners: bool = False
    has_errors: bool = False  # above zero
    is_retrained: bool = False
    has_links: bool = False
    has_classes: bool = False
    has_curves: bool = False
    thing: str = "row"  # what has the values
    how: str = ""
    short: str = ""
    method: str = ""
    facts: Sequence[tuple[str, str]] = ()
    cards: Sequence[Card] = ()
    distribution: Picture | None = None
    lists: Sequence[tuple[str, str, list[Row], str]] = ()  # heading, what is said, rows, how nearness was measured
    matches: Sequence[MatchList] = ()
    pictures: Sequence[Picture] = ()
    checks: Sequence[Picture] = ()
    extras: Sequence[Extra] = ()
    groups: Sequence[Group] = ()


def plural(count: int, one: str, many: str = "") -> str:
    """The word that fits the number."""
    return one if count == 1 else many or f"{one}s"


def distribution_of(values: Values, zero: int, thing: str = "row") -> Picture:
    """The histogram of the values, and what to see in it in words.

    Args:
        values: The values.
        zero: How many are zero exactly.
        thing: What has the values.
    """
    v = values.values
    title = "How the values are distributed"
    if v.min() == v.max():
        said = f"The one {thing}" if v.size == 1 else f"Each of the {v.size:,} {thing}s"
        return Picture(title, "", f"{said} has the value {figure(float(v[0]))}.", None)
    # A great many exact zeros would flatten everything else, so they are told and not drawn.
    apart = zero > 0.1 * v.size
    shown = v[v != 0] if apart else v
    edges, counts, beyond = bin_values(shown)
    five = np.quantile(v, [0.05, 0.5, 0.95])
    places = decimals_of([five[0], five[2]])

    def write(number: float) -> str:  # what is not zero is not written as zero
        return figure(number, None if number and places is not None and abs(number) < 10.0**-places else places)

    low, middle, high, bottom, top = (write(float(number)) for number in (*five, v.min(), v.max()))
    across = "value"
    if apart:
        above, below = int((v > 0).sum()), int((v < 0).sum())
        title = "How the values that are not zero are distributed"
        across = f"value; {zero:,} {thing}s at exactly zero are not drawn"
        caption = (
            f"{zero:,} of {v.size:,} {thing}s are worth exactly zero, and the picture leaves them out; {below:,} "
            f"{plural(below, 'is', 'are')} below zero and {above:,} above."
        )
    else:
        caption = _halves(v, float(five[1]), middle, thing)
    if five[0] < five[2]:
        caption += f" Nine in ten lie between {low} and {high}."
    caption += f" The lowest is {bottom}, the highest {top}."
    if beyond:
        caption += (
            f" {beyond:,} far-off {plural(beyond, f'{thing} is', f'{thing}s are')} counted in the outermost bars."
        )
    if counts.size == 1:
        return Picture(title, "", caption, None)
    of = f"{shown.size:,} {thing}s that are not worth zero" if apart else f"{shown.size:,} {thing}s"
    alt = f"Histogram of the values of {of}, from {bottom} to {top}{'' if apart else f', median {middle}'}."
    table = Table("bins", title, {"from": edges[:-1].tolist(), "to": edges[1:].tolist(), f"{thing}s": counts.tolist()})
    return Picture(title, draw_bins(edges, counts, alt, across=across, up=f"{thing}s"), caption, text_grid(table))


def _halves(v: np.ndarray[Any, Any], median: float, written: str, thing: str) -> str:
    """Where the middle of the values is; ties with it are counted, so that a half is one."""
    below, above = int((v < median).sum()), int((v > median).sum())
    tied = v.size - below - above
    if tied <= 1:
        return f"Half of the {thing}s have a value below {written}."
    return (
        f"{below:,} {plural(below, thing)} {plural(below, 'has', 'have')} a value below {written}, {above:,} above; "
        f"the {tied:,} in between have this very value."
    )


def opening(text: str) -> str:
    """The first words of a long text."""
    return text if len(text) <= 160 else f"{text[:160]}..."


def records_of(table: Table) -> list[dict[str, Cell]]:
    """The rows of a table, each by the names of its columns."""
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows()]


def content_by_id(piece: Evidence | None) -> dict[Any, dict[str, Cell]]:
    """The content of rows, by the row's id; empty without an exhibit of rows."""
    if not isinstance(piece, Exhibit) or piece.kind != "rows":
        return {}
    rows = {}
    for record in records_of(piece.table):
        rows[record.pop(piece.x)] = record
    return rows


def words_and_picture(record: Mapping[str, Cell]) -> tuple[dict[str, str], str]:
    """The words of a row's content, and its picture."""
    pictures = {key: cell for key, cell in record.items() if is_picture(cell)}
    words = {key: column([cell])[0](cell) for key, cell in record.items() if key not in pictures}
    return words, str(next(iter(pictures.values()), ""))


def is_picture(cell: Cell) -> bool:
    """Whether a cell is the address of a picture that lies in the cell itself."""
    return isinstance(cell, str) and _ADDRESS.fullmatch(cell) is not None


# -- other evidence --------------------------------------------------------------------------------


def shown_evidence(evidence: Sequence[Evidence]) -> tuple[list[Picture], list[Extra]]:
    """Pictures drawn, and everything else as cards and tables."""
    pictures: list[Picture] = []
    extras: list[Extra] = []
    for piece in evidence:
        match piece:
            case Exhibit(kind="pairs"):
                extras.append(Extra(piece.title, piece.caption or piece.table.note, [], text_grid(piece.table)))
            case Exhibit(kind="rows" | "sheet"):
                grid = replace(text_grid(piece.table, piece.y), full_size=piece.kind == "sheet")
                extras.append(Extra(piece.title, piece.caption or piece.table.note, [], grid))
            case Exhibit():
                pictures.append(drawn(piece))
            case Links():
                extras.append(Extra(piece.title, piece.note, [], text_grid(_links_table(piece))))
            case Table():
                extras.append(_table(piece))
    return pictures, extras


def drawn(exhibit: Exhibit) -> Picture:
    """The picture of an exhibit, with its figures."""
    grid = text_grid(figures_of(exhibit))
    caption = exhibit.caption
    if exhibit.kind == "bars" and len(exhibit.table) > BARS_SHOWN:
        caption += f" The picture shows the first and the last {BARS_SHOWN // 2} of {len(exhibit.table):,}."
    return Picture(exhibit.title, draw(exhibit), caption.strip(), grid)


def drawn_owners(by_owner: Table, thing: str = "row") -> Picture:
    """Bars by owner: their share of everything where sums are exact and have one, else their sums."""
    columns = dict(by_owner.columns)
    columns["owner"] = [str(owner) for owner in columns["owner"]]
    measure, said, title = "sum of values", "sum of the values", by_owner.title
    if "share" in columns:
        measure, said, title = "share", "share of all credit", "Share of credit by owner"
    table = Table(by_owner.name, title, columns, by_owner.note)
    alt = f"Bars of the {said} of the {thing}s of each of {len(table):,} owners, highest first."
    return drawn(Exhibit("by-owner", "bars", table, measure, "owner", alt, caption=by_owner.note))


def _table(table: Table) -> Extra:
    if len(table) == 1:  # one row of figures is read at a glance; long words are not
        cards = [Card(column([cells[0]])[0](cells[0]), name) for name, cells in table.columns.items()]
        if all(len(card.figure) <= FIGURE_LENGTH for card in cards):
            return Extra(table.title, table.note, cards, None)
    return Extra(table.title, table.note, [], text_grid(table))


def _links_table(links: Links) -> Table:
    columns: dict[str, Sequence[Any]] = {
        "row": links.row_ids.tolist(),
        "validation point": links.point_ids.tolist(),
        "distance": links.distance.tolist(),
        "same label": links.same_label.tolist(),
    }
    return Table(links.name, links.title, columns)


def text_grid(table: Table, pictures: str = "") -> Grid:
    """A table as text; of a long one, its two ends.

    Args:
        table: The table.
        pictures: The name of its column of picture addresses, if any.
    """
    written = {name: column(cells) for name, cells in table.columns.items()}
    rows = table.rows()
    left_out = ""
    if len(rows) > GRID_ROWS_SHOWN:
        half = GRID_ROWS_SHOWN // 2
        left_out = f"The first and the last {half} of {len(rows):,} rows."
        rows = [*rows[:half], *rows[-half:]]
    writers = [write for write, _ in written.values()]
    return Grid(
        heads=[(name, numeric) for name, (_, numeric) in written.items()],
        rows=[[write(cell) for write, cell in zip(writers, row, strict=True)] for row in rows],
        left_out=left_out,
        pictures=pictures,
    )
