"""What the page shows of values by likeness: credit for generated items, and the matches it comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from dataworth.records import Attributions, Evidence, Exhibit, Table, Values
from dataworth.records.evidence import Cell
from dataworth.report.charts import bin_values, draw_bins
from dataworth.report.parts import (
    Card,
    Match,
    Matched,
    MatchList,
    Picture,
    Section,
    content_by_id,
    distribution_of,
    drawn_owners,
    opening,
    plural,
    records_of,
    shown_evidence,
    text_grid,
    words_and_picture,
)
from dataworth.report.text import column, figure, share

__all__ = ["credit_section"]

ROWS_SHOWN = 10
_THING = "training item"

# Where the content of each side of a pair is, by the name of the column that holds its ids.
_CONTENT = {_THING: "train-items", "generated item": "generated-items"}

_EARLY = ("credit-by-group",)  # beside the histogram; other pictures follow the matches

_HOW = (
    "The worth of every generated item (its quality, or 1) is divided among the training items it is most like: the "
    "nearer, the more. A training item's value is the sum of what it earned."
)
_BESIDE = {
    _THING: "Beside each: the generated items it is matched with, how much of each one's worth it earned, and their "
    "distance.",
    "generated item": "Beside each: the training items it is matched with, how much of its worth each one earned, and "
    "their distance.",
}


def credit_section(values: Values) -> Section:
    """What the page shows of values that have attributions."""
    given = values.attributions
    if given is None:
        raise TypeError("a section on credit needs values with attributions")
    v, m = values.values, len(given)
    zero = int((v == 0).sum())
    name = values.method.partition("(")[0].strip()
    found = {piece.name: piece for piece in values.evidence}
    pairs = [piece for piece in values.evidence if isinstance(piece, Exhibit) and piece.kind == "pairs"]
    placed = {*_CONTENT.values(), *(piece.name for piece in pairs)}
    rest = [piece for piece in values.evidence if piece.name not in placed]
    checks, extras = shown_evidence([piece for piece in rest if piece.name not in _EARLY])
    pictures, _ = shown_evidence([piece for piece in rest if piece.name in _EARLY])
    if values.owners is not None:
        pictures.append(drawn_owners(values.by_owner(), _THING))
    if "nearest-distance" not in found:
        checks.insert(0, _nearest(given))
    facts = [("Method", values.method), ("Training items", f"{v.size:,}"), ("Generated items", f"{m:,}")]
    facts += [(str(key), str(item)) for key, item in values.provenance.items()]
    return Section(
        title=f"Values by {name}" if name else "Values",
        is_values=True,
        is_credit=True,
        has_owners=values.owners is not None,
        how=_HOW,
        short=_in_short(v, given, zero),
        method=values.method,
        facts=facts,
        cards=_headline(v, given, zero),
        distribution=distribution_of(values, zero, _THING),
        matches=[_list(piece, values, found) for piece in pairs] or _plain_lists(values),
        pictures=pictures,
        checks=checks,
        extras=extras,
    )


# -- headline --------------------------------------------------------------------------------------


def _in_short(v: np.ndarray[Any, Any], given: Attributions, zero: int) -> str:
    m = len(given)
    said = (
        f"The worth of {m:,} generated {plural(m, 'item')}, {figure(math.fsum(given.quality))} in all, is divided "
        f"among {v.size:,} training {plural(v.size, 'item')} by likeness."
    )
    if zero:
        said += f" {zero:,} of them {plural(zero, 'earns', 'earn')} nothing: others are more like what was generated."
    return said


def _headline(v: np.ndarray[Any, Any], given: Attributions, zero: int) -> list[Card]:
    m, k = given.at.shape
    cards = [
        Card(f"{v.size:,}", f"training {plural(v.size, 'item')} valued"),
        Card(f"{m:,}", f"generated {plural(m, 'item')}, each divided among at most {k:,}"),
        Card(share(zero / v.size), "of the training items earn nothing"),
    ]
    everything, top = math.fsum(v), max(1, round(0.01 * v.size))
    if everything > 0:
        held = math.fsum(np.sort(v)[-top:]) / everything
        cards.append(Card(share(held), f"of all credit goes to the top 1% ({top:,} {plural(top, 'item')})"))
    return cards


def _nearest(given: Attributions) -> Picture:
    """How near the nearest match of each generated item is."""
    near = given.distance[:, 0]
    near = near[np.isfinite(near)]
    title = "How near the nearest training item is"
    if near.size == 0:
        return Picture(title, "", "No generated item is matched with anything.", None)
    low, middle, high = (figure(float(q)) for q in np.quantile(near, [0.05, 0.5, 0.95]))
    caption = f"Half of the generated items have one within {middle}; nine in ten between {low} and {high}."
    edges, counts, beyond = bin_values(near)
    if beyond:
        caption += f" {beyond:,} far-off {plural(beyond, 'item is', 'items are')} counted in the outermost bars."
    if counts.size == 1:
        return Picture(title, "", caption, None)
    alt = f"Histogram of the distance from {near.size:,} generated items to the nearest training item, median {middle}."
    columns = {"from": edges[:-1].tolist(), "to": edges[1:].tolist(), "generated items": counts.tolist()}
    drawn = draw_bins(edges, counts, alt, across="distance", up="generated items")
    return Picture(title, drawn, caption, text_grid(Table("bins", title, columns)))


# -- items beside what they are matched with -------------------------------------------------------


def _list(pairs: Exhibit, values: Values, found: Mapping[str, Evidence]) -> MatchList:
    content = {side: content_by_id(found.get(name)) for side, name in _CONTENT.items()}
    owners = {} if values.owners is None or pairs.x != _THING else _owners(values, set(pairs.table.columns[pairs.x]))
    write_gap, _ = column(pairs.table.columns.get("distance", ()))
    write_figure, _ = column(pairs.table.columns[pairs.series] if pairs.series else ())
    rows: dict[Cell, Matched] = {}
    for record in records_of(pairs.table):
        name = record[pairs.x]
        if name not in rows:
            words, picture = words_and_picture(content.get(pairs.x, {}).get(name, {}))
            own = write_figure(record[pairs.series]) if pairs.series else ""
            rows[name] = Matched(str(name), owners.get(name, ""), own, words, picture, [])
        if record[pairs.y] is not None:
            rows[name].near.append(_match(record, pairs.y, content.get(pairs.y, {}), write_gap))
    heads = (pairs.x.capitalize(), (pairs.series or "").capitalize(), f"{pairs.y.capitalize()}s")
    said = " ".join(part for part in (_BESIDE.get(pairs.x, ""), pairs.caption) if part)
    return MatchList(pairs.title, said, heads, list(rows.values()))


def _match(record: Mapping[str, Cell], y: str, content: Mapping[Any, Mapping[str, Cell]], write_gap: Any) -> Match:
    words, picture = words_and_picture(content.get(record[y], {}))
    part = record.get("share")
    part = float(part) if isinstance(part, int | float) and math.isfinite(part) else 0.0
    return Match(
        id=str(record[y]),
        share=share(part),
        width=f"{100 * min(max(part, 0.0), 1.0):.1f}",
        distance=write_gap(record.get("distance")),
        matched=record.get("matched") is not False,
        content={key: opening(text) for key, text in words.items()},
        picture=picture,
    )


def _owners(values: Values, wanted: set[Cell]) -> dict[Cell, str]:
    owners = values.owners if values.owners is not None else ()
    return {name: str(owner) for name, owner in zip(values.ids.tolist(), owners, strict=True) if name in wanted}


def _plain_lists(values: Values) -> list[MatchList]:
    """Without matches gathered: names and values alone."""
    ends = [("Highest training items", values.highest(ROWS_SHOWN), ""),
            ("Lowest training items", values.lowest(ROWS_SHOWN), "")]  # fmt: skip
    if len(values) <= ROWS_SHOWN:
        ends = [("All training items", values.highest(len(values)), "Highest value first.")]
    write, _ = column([float(np.abs(values.values).max())])
    return [
        MatchList(
            title,
            said,
            ("Training item", "Value", ""),
            [
                Matched(str(row["id"]), str(row.get("owner", "")), write(row["value"]), {}, "", [])
                for row in records_of(table)
            ],
        )
        for title, table, said in ends
    ]
