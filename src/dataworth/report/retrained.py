"""What the page shows of values that come with standard errors, most of them found by training a model many times."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataworth.records import Table, Values
from dataworth.records.evidence import Cell
from dataworth.report.charts import draw_error_band, draw_error_bars
from dataworth.report.parts import Card, Picture, plural, text_grid
from dataworth.report.precision import cautions, mean_error, sampled
from dataworth.report.text import decimals_of, figure

__all__ = ["BARS_SHOWN", "HOW_RETRAINED", "error_cards", "error_flags", "error_places", "picture_of_errors", "thing_of"]

BARS_SHOWN = 40

# One sentence on how a method works, by the name its text begins with; of rows or of owners.
HOW_RETRAINED = {
    "LeaveOneOut": "The model is trained on everything, and again without each {thing} in turn: {article} {thing} is "
    "worth what the score loses when it alone leaves. With many {thing}s most losses are nothing or the same few "
    "numbers, for one {thing} hardly moves a score, so most values tie and their order says little.",
    "DataShapley": "The model is trained on many groups of {thing}s: {article} {thing} is worth what its coming adds "
    "to the score, on average over every order in which {thing}s could arrive.",
    "DataBanzhaf": "The model is trained on many groups of {thing}s: {article} {thing} is worth what its coming adds "
    "to the score, on average over all groups of the others, each as likely as any other.",
    "BetaShapley": "The model is trained on many groups of {thing}s: {article} {thing} is worth what its coming adds "
    "to the score, on average over groups of the others, where alpha above beta makes small groups count more, and "
    "beta above alpha large ones.",
}

_COVERED = (
    "Errors cover the choice of groups that were tried, and nothing else: other validation points, another seed of the "
    "model or other rows would move values too."
)


def thing_of(values: Values) -> str:
    """What has the values: a row, or an owner with all their rows."""
    return "owner" if values.provenance.get("players") == "owners" else "row"


def error_flags(values: Values) -> list[str]:
    """What has to be read before the figures."""
    flags = [f"{said[0].upper()}{said[1:]}." for said in cautions(values)]
    return [" ".join([*flags, "Allow more fits before you rely on them."])] if flags else []


def error_cards(values: Values) -> list[Card]:
    """Errors, what they took, and the two scores between which all values lie."""
    facts = values.provenance
    cards = []
    error = mean_error(values)
    if error is not None and sampled(values):
        cards.append(Card(figure(error), "mean standard error of a value"))
    elif error is not None:
        cards.append(Card("exact", "no coalition was left to chance, so there is no standard error"))
    if isinstance(facts.get("coalitions"), int):
        cards.append(Card(f"{facts['coalitions']:,}", "groups judged, each by a model trained on it"))
    for name, label in (("score of everybody", "score with everybody"), ("score of nobody", "score with nobody")):
        score = facts.get(name)
        if isinstance(score, int | float):
            cards.append(Card(figure(float(score), 3), label))
    return cards


def error_places(values: Values) -> int | None:
    """Decimals that show values, and two digits of the largest error where it is the smaller."""
    top = decimals_of([float(np.abs(values.values).max())])
    errors = np.zeros(0) if values.errors is None else values.errors[~np.isnan(values.errors)]
    finer = decimals_of([float(errors.max())]) if errors.size else None
    return top if top is None or finer is None else max(top, min(finer - 1, top + 2))


def picture_of_errors(values: Values) -> Picture | None:
    """The values in their order with what sampling may have moved them; bars where there are few."""
    n, thing = len(values), thing_of(values)
    few = 1 < n <= BARS_SHOWN
    if values.errors is None or n < 2 or not (few or sampled(values)):
        return None
    order = np.argsort(values.values, kind="stable")[:: -1 if few else 1]
    v, errors = values.values[order], values.errors[order]
    title = f"Values of {thing}s" + (" and their errors" if sampled(values) else "")
    places = error_places(values)
    low, high = figure(float(v.min()), places), figure(float(v.max()), places)
    lead = f"The values of {n:,} {thing}s from {low} to {high}"
    if sampled(values):
        caption = _said(v, errors, thing, few)
    elif np.isnan(errors).any():
        caption = "Too few groups were tried to tell the errors."
    else:
        caption = "Nothing was sampled, so there are no errors."
    names = [str(name) for name in values.ids[order].tolist()]
    if few:
        drawn = draw_error_bars(names, v, 2 * errors, f"{lead}, as bars, highest first, with their errors.")
    else:
        drawn = draw_error_band(v, 2 * errors, f"{lead}, as a rising line in a band of errors.", across=f"{thing}s")
    columns: dict[str, list[Cell]] = {thing: [*names], "value": v.tolist()}
    if sampled(values):
        columns["standard error"] = [None if np.isnan(error) else float(error) for error in errors]
    return Picture(title, drawn, caption, text_grid(Table("errors", title, columns)))


def _said(v: NDArray[np.float64], errors: NDArray[np.float64], thing: str, few: bool) -> str:
    """What the errors are, and how many values they leave apart from zero."""
    above, below = int((v > 2 * errors).sum()), int((v < -2 * errors).sum())
    within = v.size - above - below
    reach = "The thin lines reach" if few else "The band reaches"
    apart = f"{above:,} {plural(above, f'{thing} is', f'{thing}s are')} above zero by more than that, {below:,} below"
    if within:
        apart += f"; {within:,} may be worth nothing. Of {thing}s worth nothing, two or three in 100 come to lie on "
        apart += "either side by chance"
    return (
        f"{reach} two standard errors to either side, which holds what endless sampling would find for about 95 in 100 "
        f"{thing}s. {apart}. {_COVERED}"
    )
