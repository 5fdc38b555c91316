"""What the page shows, worked out from records: words, cards, lists, pictures; no HTML yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Any, TypeAlias

import numpy as np

from dataworth.records import Evidence, Exhibit, Links, Release, Shares, Table, Values
from dataworth.records.comparison import Comparison
from dataworth.records.evidence import Cell
from dataworth.records.privacy import in_words
from dataworth.records.release import NOT_COVERED
from dataworth.report.charts import bin_values, draw_bins, draw_noisy
from dataworth.report.comparison import comparison_section
from dataworth.report.likeness import credit_section
from dataworth.report.parts import (
    Card,
    Chip,
    Picture,
    Row,
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
from dataworth.report.precision import below_beyond_errors, sampled
from dataworth.report.providers import shares_section
from dataworth.report.retrained import (
    BARS_SHOWN,
    HOW_RETRAINED,
    error_cards,
    error_flags,
    error_places,
    picture_of_errors,
    thing_of,
)
from dataworth.report.text import column, figure, share

__all__ = ["section"]

ROWS_SHOWN = 10

# Evidence with a place of its own on the page; every other piece follows in the order it was given.
_NEIGHBOURS = {"lowest": "lowest-neighbours", "highest": "highest-neighbours"}
_TRAIN_ROWS, _VALIDATION_ROWS = "train-rows", "validation-rows"
_PLACED = {*_NEIGHBOURS.values(), _TRAIN_ROWS, _VALIDATION_ROWS}

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


def section(result: Values | Release | Shares | Comparison | Evidence, beside: Sequence[Evidence] = ()) -> Section:
    """What the page shows of one result.

    Args:
        result: The result.
        beside: What the ledger or a plan says of a release.
    """
    if isinstance(result, Values):
        return _of_values(result) if result.attributions is None else credit_section(result)
    if isinstance(result, Release):
        return _of_release(result, beside)
    if isinstance(result, Shares):
        return shares_section(result)
    if isinstance(result, Comparison):
        return comparison_section(result)
    pictures, extras = shown_evidence([result])
    return Section(title=result.title, is_values=False, pictures=pictures, extras=extras)


def _of_values(values: Values) -> Section:
    v = values.values
    n, below, zero = v.size, int((v < 0).sum()), int((v == 0).sum())
    name, thing = values.method.partition("(")[0].strip(), thing_of(values)
    pictures, extras = shown_evidence([piece for piece in values.evidence if piece.name not in _PLACED])
    if values.owners is not None:
        pictures.append(drawn_owners(values.by_owner()))
    facts = [
        ("Method", values.method),
        (f"{thing.capitalize()}s valued", f"{n:,}"),
        ("Validation points", f"{values.n_validation:,}"),
    ]
    facts += [(str(key), _fact(item)) for key, item in values.provenance.items()]
    distribution, errors = distribution_of(values, zero, thing), picture_of_errors(values)
    if errors is not None and n <= BARS_SHOWN:  # the bars show each value: a histogram would say less
        distribution = errors
    elif errors is not None:
        pictures.insert(0, errors)
    how = _HOW.get(name) or HOW_RETRAINED.get(name, "")
    return Section(
        title=f"Values by {name}" if name else "Values",
        is_values=True,
        has_owners=values.owners is not None,
        has_errors=sampled(values),
        is_retrained=values.errors is not None,
        has_links=any(isinstance(piece, Links) for piece in values.evidence),
        has_classes=any(piece.name.startswith("class-") for piece in values.evidence),
        has_curves=any(isinstance(piece, Exhibit) and piece.y == "accuracy" for piece in values.evidence),
        thing=thing,
        flags=error_flags(values),
        how=how.format(thing=thing, article="an" if thing == "owner" else "a"),
        short=_in_short(values, name, below, zero),
        method=values.method,
        facts=facts,
        cards=_headline(values, below),
        distribution=distribution,
        lists=_lists(values),
        pictures=pictures,
        extras=extras,
    )


# -- a private release -----------------------------------------------------------------------------

_NINE_IN_TEN = 1.645  # of all noise lies within so many times its scale


def _of_release(release: Release, beside: Sequence[Evidence]) -> Section:
    """Nothing here may look at ``release.rows``: the page is made of public inputs, noisy counts and the ledger."""
    number = "" if release.number is None else f" {release.number}"
    pictures, extras = shown_evidence(beside)
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
    return Picture(title, draw_noisy(series, reach, alt), caption, text_grid(table))


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
        caption += f" {beyond:,} far-off {plural(beyond, 'point is', 'points are')} counted in the outermost bars."
    if counts.size == 1:
        return Picture(title, "", caption, None)
    alt = f"Histogram of the noisy number of neighbours of {together.size:,} validation points, median {middle}."
    table = Table("bins", title, {"from": edges[:-1].tolist(), "to": edges[1:].tolist(), "points": counts.tolist()})
    drawn = draw_bins(edges, counts, alt, across="noisy number of neighbours", up="validation points")
    return Picture(title, drawn, caption, text_grid(table))


# -- headline and distribution ---------------------------------------------------------------------


def _in_short(values: Values, name: str, below: int, zero: int) -> str:
    n, thing = len(values), thing_of(values)
    counted = f"{below:,} of {n:,} {thing}s {plural(below, 'has', 'have')} a value below zero"
    better = "judged by these validation points, the model does better without"
    if below == 0:
        said = f"No {thing} has a value below zero: judged by these validation points, none does harm."
    elif name == "ValidationVote":
        said = f"{counted}: more of the validation points near such a row have another label than share its own."
    elif sampled(values):
        surely = below_beyond_errors(values)
        said = f"{counted}, {f'{surely:,}' if surely else 'none'} of them by more than two standard errors: "
        said += (
            f"{better} {thing}s like {plural(surely, 'that one', 'those')}." if surely else "none is sure to do harm."
        )
    else:
        said = f"{counted}: {better} {plural(below, 'it', f'{thing}s like them')}."
    if zero and name == "LeaveOneOut":
        said += f" The model does as well without any one of the {zero:,} that {plural(zero, 'is', 'are')} worth zero, "
        said += "which does not say how it would do without all of them."
    elif zero:
        said += f" {zero:,} {plural(zero, f'{thing} is', f'{thing}s are')} worth exactly zero, and would not be missed."
    return said


def _headline(values: Values, below: int) -> list[Card]:
    v, judges, thing = values.values, values.n_validation, thing_of(values)
    cards = [
        Card(
            f"{v.size:,}",
            f"{plural(v.size, thing)} valued, {_with_rows(values)}judged by {judges:,} validation "
            f"{plural(judges, 'point')}",
        ),
        Card(f"{below:,}", f"{plural(below, thing)} below zero ({share(below / v.size)})"),
    ]
    if _sums_mean_something(values.method):
        cards.append(Card(figure(float(v.sum())), "sum of all values"))
    if values.errors is not None:
        return [*cards, *error_cards(values)]
    gains = np.sort(v[v > 0])[::-1]
    if gains.size > 1:
        needed = int(np.searchsorted(np.cumsum(gains), gains.sum() / 2)) + 1
        cards.append(Card(share(needed / v.size), "of the rows hold half of all positive value"))
    return cards


def _with_rows(values: Values) -> str:
    """How many rows the owners have together, where that is known."""
    rows = values.provenance.get("rows")
    return (
        f"with {rows:,} {plural(rows, 'row')} in all, " if thing_of(values) == "owner" and isinstance(rows, int) else ""
    )


def _sums_mean_something(method: str) -> bool:
    """Whether values sum to what everybody gains over nobody, as Shapley values do and no others."""
    name, _, settings = method.partition("(")
    shapley = name.strip().endswith("Shapley") and name.strip() != "BetaShapley"
    return shapley and ("semivalue=" not in settings or "semivalue='shapley'" in settings)


# -- rows and their neighbours ---------------------------------------------------------------------


def _lists(values: Values) -> list[tuple[str, str, list[Row], str]]:
    thing = thing_of(values)
    found = {piece.name: piece for piece in values.evidence}
    links = {end: found.get(name) for end, name in _NEIGHBOURS.items()}
    content = content_by_id(found.get(_TRAIN_ROWS)), content_by_id(found.get(_VALIDATION_ROWS))
    places = error_places(values)

    def write(number: float) -> str:
        return figure(number, places)

    def rows(end: str, table: Table) -> list[Row]:
        near = links[end]
        return [_row(record, near if isinstance(near, Links) else None, content, write) for record in records_of(table)]

    sizes = {
        end: len(set(near.row_ids.tolist())) if isinstance(near, Links) and len(near) else ROWS_SHOWN
        for end, near in links.items()
    }
    notes = {end: near.note if isinstance(near, Links) else "" for end, near in links.items()}
    if len(values) <= max(sizes.values()):
        every = rows("lowest", values.lowest(len(values)))
        return [(f"All {thing}s", "Lowest value first.", every, notes["lowest"])]
    low = (
        "Wrong labels and rows from elsewhere make owners low; so do honest rows that are merely rare."
        if thing == "owner"
        else "Look at these first: wrong labels, broken measurements and rows from elsewhere gather here, "
        "beside honest rows that are merely rare."
    )
    return [
        (f"Lowest {thing}s", low, rows("lowest", values.lowest(sizes["lowest"])), notes["lowest"]),
        (
            f"Highest {thing}s",
            "What the model leans on most.",
            rows("highest", values.highest(sizes["highest"])),
            notes["highest"],
        ),
    ]


Content: TypeAlias = tuple[dict[Any, dict[str, Cell]], dict[Any, dict[str, Cell]]]


def _row(record: Mapping[str, Any], links: Links | None, content: Content, write: Any) -> Row:
    of_train, of_validation = content
    words_of_row, picture = words_and_picture(of_train.get(record["id"], {}))
    near = []
    for point, distance, same in links.of_row(record["id"]) if links is not None else []:
        point_words, point_picture = words_and_picture(of_validation.get(point, {}))
        if len(point_words) > 2:  # a dozen features would bury the row itself
            point_words = {key: words for key, words in point_words.items() if key == "label"}
        point_words = {key: opening(words) for key, words in point_words.items()}
        near.append(Chip(str(point), figure(distance, decimals=3), same, point_words, point_picture))
    return Row(
        id=str(record["id"]),
        owner=str(record.get("owner", "")),
        value=write(record["value"]),
        below=record["value"] < 0,
        error=write(record["standard error"]) if record.get("standard error") else "",
        content=words_of_row,
        picture=picture,
        near=near,
    )
