"""What the page shows, worked out from records: words, cards, lists, pictures; no HTML yet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any, TypeAlias

import numpy as np

from dataworth.records import Evidence, Exhibit, Links, Release, Table, Values
from dataworth.records.evidence import Cell
from dataworth.records.privacy import in_words
from dataworth.records.release import NOT_COVERED
from dataworth.report.charts import BARS_SHOWN, bin_values, draw, draw_bins, draw_noisy, figures_of
from dataworth.report.text import column, decimals_of, figure, share

__all__ = ["Card", "Chip", "Grid", "Picture", "Row", "Section", "is_picture", "section"]

ROWS_SHOWN = 10
GRID_ROWS_SHOWN = 200

# Evidence with a place of its own on the page; every other piece follows in the order it was given.
_NEIGHBOURS = {"lowest": "lowest-neighbours", "highest": "highest-neighbours"}
_TRAIN_ROWS, _VALIDATION_ROWS = "train-rows", "validation-rows"
_PLACED = {*_NEIGHBOURS.values(), _TRAIN_ROWS, _VALIDATION_ROWS}

_ADDRESS = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}")

# One sentence on how a method works, by the name its text begins with.
_HOW = {
    "KNNShapley": "Each row is worth what it adds, on average over every order in which rows could arrive, to how "
    "well its nearest neighbours vote for the labels of the validation points.",
    "ThresholdKNNShapley": "Every row within the radius of a validation point votes on its label; a row is worth what "
    "its vote adds, on average over the groups of rows it could join.",
    "WeightedKNNShapley": "Each row is worth what it adds, on average over every order in which rows could arrive, to "
    "how often the weighted vote of the nearest neighbours gives a validation point its label.",
    "KNNRegressionShapley": "Each row is worth what it takes, on average over every order in which rows could arrive, "
    "off the squared error of predicting a validation point by its nearest neighbours.",
    "ValidationVote": "Each row is compared with the validation points within the radius: plus one for each that "
    "shares its label, minus one for each that does not, divided by the number of validation points.",
    "PublicProxy": "An estimate of what a row's vote adds that looks at the row itself and the validation points, "
    "not at the other rows.",
}


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


@dataclass(frozen=True)
class Extra:
    """A further piece of evidence: cards, or a table, or both empty when it is a picture."""

    title: str
    note: str
    cards: list[Card]
    grid: Grid | None


@dataclass(frozen=True)
class Section:
    """Everything the page shows of one result."""

    title: str
    is_values: bool
    is_release: bool = False
    stamp: str = ""
    promises: Sequence[str] = ()
    not_covered: Sequence[str] = ()
    has_owners: bool = False
    how: str = ""
    short: str = ""
    method: str = ""
    facts: Sequence[tuple[str, str]] = ()
    cards: Sequence[Card] = ()
    distribution: Picture | None = None
    lists: Sequence[tuple[str, str, list[Row]]] = ()
    pictures: Sequence[Picture] = ()
    extras: Sequence[Extra] = ()


def section(result: Values | Release | Evidence, beside: Sequence[Evidence] = ()) -> Section:
    """What the page shows of one result.

    Args:
        result: The result.
        beside: What the ledger or a plan says of a release.
    """
    if isinstance(result, Values):
        return _of_values(result)
    if isinstance(result, Release):
        return _of_release(result, beside)
    pictures, extras = _of_evidence([result])
    return Section(title=result.title, is_values=False, pictures=pictures, extras=extras)


def _of_values(values: Values) -> Section:
    v = values.values
    n, below, zero = v.size, int((v < 0).sum()), int((v == 0).sum())
    name = values.method.partition("(")[0].strip()
    pictures, extras = _of_evidence([piece for piece in values.evidence if piece.name not in _PLACED])
    if values.owners is not None:
        pictures.append(_owners(values.by_owner()))
    facts = [("Method", values.method), ("Rows valued", f"{n:,}"), ("Validation points", f"{values.n_validation:,}")]
    facts += [(str(key), str(item)) for key, item in values.provenance.items()]
    return Section(
        title=f"Values by {name}" if name else "Values",
        is_values=True,
        has_owners=values.owners is not None,
        how=_HOW.get(name, ""),
        short=_in_short(name, n, below, zero),
        method=values.method,
        facts=facts,
        cards=_headline(values, below),
        distribution=_distribution(values, zero),
        lists=_lists(values),
        pictures=pictures,
        extras=extras,
    )


# -- a private release -----------------------------------------------------------------------------

_NINE_IN_TEN = 1.645  # of all noise lies within so many times its scale


def _of_release(release: Release, beside: Sequence[Evidence]) -> Section:
    """Nothing here may look at ``release.rows``: the page is made of public inputs, noisy counts and the ledger."""
    number = "" if release.number is None else f" {release.number}"
    pictures, extras = _of_evidence(beside)
    facts = [(str(name), _fact(cell)) for name, cell in release.summary().rows() if cell not in (None, "")]
    promises, how = (release.words[: len(release.guarantees)], release.words[len(release.guarantees) :])
    return Section(
        title=f"{'Release' if release.stamp else 'Private release'}{number} of {release.population}",
        is_values=False,
        is_release=True,
        stamp=release.stamp,
        promises=[release.words[0]] if release.stamp else promises,
        not_covered=[] if release.stamp else [f"{sentence}." for sentence in NOT_COVERED.rstrip(".").split(". ")],
        how=_HOW.get(release.method.partition("(")[0], ""),
        short="" if release.stamp else " ".join(how),
        method=release.method,
        facts=[*facts, ("made", release.made)],
        cards=_release_cards(release),
        pictures=[_noisy(release), _neighbours(release), *pictures],
        extras=extras,
    )


def _release_cards(release: Release) -> list[Card]:
    cards = []
    for promise in () if release.stamp else release.guarantees:
        change = "is added or removed" if promise.relation == "add_or_remove" else "is replaced"
        # Rounded up: a page never promises more than was kept.
        epsilon = promise.budget.epsilon.quantize(Decimal("0.001"), rounding=ROUND_CEILING).normalize()
        cards.append(
            Card(f"{epsilon:f}", f"epsilon at delta = {in_words(promise.budget.delta)}, when {promise.unit} {change}")
        )
    cards.append(Card(figure(float(release.sigma)), "scale of the noise on every count"))
    expected = release.public.get("expected rank correlation with exact values")
    alone = release.public.get("the same for the validation set alone")
    if isinstance(expected, float) and isinstance(alone, float):
        said = "expected rank correlation of the values with exact ones"
        cards.append(Card(figure(expected, 3), f"{said}; {figure(alone, 3)} from the validation points alone"))
    return cards


def _fact(cell: Cell) -> str:
    return column([cell])[0](cell)


def _noisy(release: Release) -> Picture:
    """Every point's two counts, and how far noise may have moved them."""
    n, reach = release.n_validation, _NINE_IN_TEN * float(release.sigma)
    series = {"same label": release.noisy[:, 0], "another label": release.noisy[:, 1]}
    ordered = {name: np.sort(counts)[::-1] for name, counts in series.items()}
    above = {name: int((counts > reach).sum()) for name, counts in series.items()}
    title = "Noisy counts at each validation point"
    caption = (
        f"Each line has its own order. The bands hold nine in ten draws of the noise, {figure(reach)} on either side; "
        f"counts below zero are noise. Above such a band around zero: {above['same label']:,} of {n:,} counts of "
        f"neighbours with the point's own label, {above['another label']:,} of neighbours with another."
    )
    alt = (
        f"Two falling lines of {n:,} noisy counts each, of neighbours with the same label from "
        f"{figure(float(ordered['same label'][0]))} down to {figure(float(ordered['same label'][-1]))}, of neighbours "
        f"with another label from {figure(float(ordered['another label'][0]))} down to "
        f"{figure(float(ordered['another label'][-1]))}, in bands of the noise."
    )
    table = Table(release.counts().name, title, {"place": list(range(1, n + 1)), **_columns(ordered)})
    return Picture(title, draw_noisy(series, reach, alt), caption, _grid(table))


def _columns(ordered: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, list[Cell]]:
    return {name: counts.tolist() for name, counts in ordered.items()}


def _neighbours(release: Release) -> Picture:
    """How many neighbours validation points have, with any label."""
    together = release.noisy.astype(np.float64).sum(axis=1)
    title = "Neighbours counted at a validation point"
    low, middle, high = (figure(float(q)) for q in np.rint(np.quantile(together, [0.05, 0.5, 0.95])))
    caption = (
        f"Both noisy counts of a point added: half of the points have fewer than {middle}, nine in ten between {low} "
        f"and {high}."
    )
    if release.mechanism.startswith("CappedLinks"):
        caption += " Where there are few, values rest on what the validation points say of each other."
    edges, counts, beyond = bin_values(together)
    if beyond:
        caption += f" {beyond:,} far-off {_plural(beyond, 'point is', 'points are')} counted in the outermost bars."
    if counts.size == 1:
        return Picture(title, "", caption, None)
    alt = f"Histogram of the noisy number of neighbours of {together.size:,} validation points, median {middle}."
    table = Table("bins", title, {"from": edges[:-1].tolist(), "to": edges[1:].tolist(), "points": counts.tolist()})
    drawn = draw_bins(edges, counts, alt, across="noisy number of neighbours", up="validation points")
    return Picture(title, drawn, caption, _grid(table))


# -- headline and distribution ---------------------------------------------------------------------


def _in_short(name: str, n: int, below: int, zero: int) -> str:
    if below == 0:
        said = "No row has a value below zero: judged by these validation points, none does harm."
    elif name == "ValidationVote":
        said = f"{below:,} of {n:,} rows {_plural(below, 'has', 'have')} a value below zero: more of the validation "
        said += "points near such a row have another label than share its own."
    else:
        said = f"{below:,} of {n:,} rows {_plural(below, 'has', 'have')} a value below zero: judged by these "
        said += f"validation points, the model does better without {_plural(below, 'it', 'rows like them')}."
    if zero:
        said += f" {zero:,} {_plural(zero, 'row is', 'rows are')} worth exactly zero, and would not be missed."
    return said


def _headline(values: Values, below: int) -> list[Card]:
    v, judges = values.values, values.n_validation
    cards = [
        Card(
            f"{v.size:,}",
            f"{_plural(v.size, 'row')} valued, judged by {judges:,} validation {_plural(judges, 'point')}",
        ),
        Card(f"{below:,}", f"{_plural(below, 'row')} below zero ({share(below / v.size)})"),
        Card(figure(float(v.sum())), "sum of all values"),
    ]
    gains = np.sort(v[v > 0])[::-1]
    if gains.size > 1:
        needed = int(np.searchsorted(np.cumsum(gains), gains.sum() / 2)) + 1
        cards.append(Card(share(needed / v.size), "of the rows hold half of all positive value"))
    return cards


def _plural(count: int, one: str, many: str = "") -> str:
    return one if count == 1 else many or f"{one}s"


def _distribution(values: Values, zero: int) -> Picture:
    v = values.values
    title = "How the values are distributed"
    if v.min() == v.max():
        said = "The one row" if v.size == 1 else f"Each of the {v.size:,} rows"
        return Picture(title, "", f"{said} has the value {figure(float(v[0]))}.", None)
    # A great many exact zeros would flatten everything else, so they are told and not drawn.
    apart = zero > 0.1 * v.size
    shown = v[v != 0] if apart else v
    edges, counts, beyond = bin_values(shown)
    five = np.quantile(v, [0.05, 0.5, 0.95])
    places = decimals_of([five[0], five[2]])
    low, middle, high = (figure(float(number), places) for number in five)
    bottom, top = figure(float(v.min()), places), figure(float(v.max()), places)
    caption = (
        f"Half of the rows have a value below {middle}; nine in ten lie between {low} and {high}. "
        f"The lowest is {bottom}, the highest {top}."
    )
    if apart:
        caption += f" The {zero:,} rows worth exactly zero are left out of the picture."
    if beyond:
        caption += f" {beyond:,} far-off {_plural(beyond, 'row is', 'rows are')} counted in the outermost bars."
    if counts.size == 1:
        return Picture(title, "", caption, None)
    alt = f"Histogram of the values of {shown.size:,} rows, from {bottom} to {top}, median {middle}."
    table = Table("bins", title, {"from": edges[:-1].tolist(), "to": edges[1:].tolist(), "rows": counts.tolist()})
    return Picture(title, draw_bins(edges, counts, alt), caption, _grid(table))


# -- rows and their neighbours ---------------------------------------------------------------------


def _lists(values: Values) -> list[tuple[str, str, list[Row]]]:
    found = {piece.name: piece for piece in values.evidence}
    links = {end: found.get(name) for end, name in _NEIGHBOURS.items()}
    content = _by_id(found.get(_TRAIN_ROWS)), _by_id(found.get(_VALIDATION_ROWS))
    write, _ = column([float(np.abs(values.values).max())])

    def rows(end: str, table: Table) -> list[Row]:
        near = links[end]
        return [_row(record, near if isinstance(near, Links) else None, content, write) for record in _records(table)]

    sizes = {
        end: len(set(near.row_ids.tolist())) if isinstance(near, Links) and len(near) else ROWS_SHOWN
        for end, near in links.items()
    }
    if len(values) <= max(sizes.values()):
        return [("All rows", "Lowest value first.", rows("lowest", values.lowest(len(values))))]
    low = (
        "Look at these first: wrong labels, broken measurements and rows from elsewhere gather here, "
        "beside honest rows that are merely rare."
    )
    return [
        ("Lowest rows", low, rows("lowest", values.lowest(sizes["lowest"]))),
        ("Highest rows", "What the model leans on most.", rows("highest", values.highest(sizes["highest"]))),
    ]


Content: TypeAlias = tuple[dict[Any, dict[str, Cell]], dict[Any, dict[str, Cell]]]


def _row(record: Mapping[str, Any], links: Links | None, content: Content, write: Any) -> Row:
    of_train, of_validation = content
    words_of_row, picture = _split(of_train.get(record["id"], {}))
    near = []
    for point, distance, same in links.of_row(record["id"]) if links is not None else []:
        point_words, point_picture = _split(of_validation.get(point, {}))
        if len(point_words) > 2:  # a dozen features would bury the row itself
            point_words = {key: words for key, words in point_words.items() if key == "label"}
        point_words = {key: _opening(words) for key, words in point_words.items()}
        near.append(Chip(str(point), figure(distance, decimals=3), same, point_words, point_picture))
    return Row(
        id=str(record["id"]),
        owner=str(record.get("owner", "")),
        value=write(record["value"]),
        below=record["value"] < 0,
        content=words_of_row,
        picture=picture,
        near=near,
    )


def _opening(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:160]}..."


def _records(table: Table) -> list[dict[str, Cell]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows()]


def _by_id(piece: Evidence | None) -> dict[Any, dict[str, Cell]]:
    if not isinstance(piece, Exhibit) or piece.kind != "rows":
        return {}
    rows = {}
    for record in _records(piece.table):
        rows[record.pop(piece.x)] = record
    return rows


def _split(record: Mapping[str, Cell]) -> tuple[dict[str, str], str]:
    """The words of a row's content, and its picture."""
    pictures = {key: cell for key, cell in record.items() if is_picture(cell)}
    words = {key: column([cell])[0](cell) for key, cell in record.items() if key not in pictures}
    return words, str(next(iter(pictures.values()), ""))


def is_picture(cell: Cell) -> bool:
    """Whether a cell is the address of a picture that lies in the cell itself."""
    return isinstance(cell, str) and _ADDRESS.fullmatch(cell) is not None


# -- other evidence --------------------------------------------------------------------------------


def _of_evidence(evidence: Sequence[Evidence]) -> tuple[list[Picture], list[Extra]]:
    pictures: list[Picture] = []
    extras: list[Extra] = []
    for piece in evidence:
        match piece:
            case Exhibit(kind="rows"):
                extras.append(Extra(piece.title, piece.caption or piece.table.note, [], _grid(piece.table, piece.y)))
            case Exhibit():
                pictures.append(_picture(piece))
            case Links():
                extras.append(Extra(piece.title, piece.note, [], _grid(_links_table(piece))))
            case Table():
                extras.append(_table(piece))
    return pictures, extras


def _picture(exhibit: Exhibit) -> Picture:
    grid = _grid(figures_of(exhibit))
    caption = exhibit.caption
    if exhibit.kind == "bars" and len(exhibit.table) > BARS_SHOWN:
        caption += f" The picture shows the first and the last {BARS_SHOWN // 2} of {len(exhibit.table):,}."
    return Picture(exhibit.title, draw(exhibit), caption.strip(), grid)


def _owners(by_owner: Table) -> Picture:
    columns = dict(by_owner.columns)
    columns["owner"] = [str(owner) for owner in columns["owner"]]
    table = Table(by_owner.name, by_owner.title, columns, by_owner.note)
    alt = f"Bars of the sum of the values of the rows of each of {len(table):,} owners, highest first."
    return _picture(Exhibit("by-owner", "bars", table, "sum of values", "owner", alt, caption=by_owner.note))


def _table(table: Table) -> Extra:
    if len(table) == 1:  # one row of figures is read at a glance
        cards = [Card(column([cells[0]])[0](cells[0]), name) for name, cells in table.columns.items()]
        return Extra(table.title, table.note, cards, None)
    return Extra(table.title, table.note, [], _grid(table))


def _links_table(links: Links) -> Table:
    columns: dict[str, Sequence[Any]] = {
        "row": links.row_ids.tolist(),
        "validation point": links.point_ids.tolist(),
        "distance": links.distance.tolist(),
        "same label": links.same_label.tolist(),
    }
    return Table(links.name, links.title, columns)


def _grid(table: Table, pictures: str = "") -> Grid:
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
