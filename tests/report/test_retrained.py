"""The page of values with standard errors, of rows and of owners; and how far such values can be believed."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dataworth as dw
from dataworth.report.charts import PALETTE, draw_error_band, draw_error_bars
from dataworth.report.precision import below_beyond_errors, drowned, mean_error, rough, sampled
from tests.report.conftest import EVIL, parse, words

FACTS: dict[str, str | int | float] = {
    "rows": 500,
    "players": "rows",
    "path": "by hand",
    "plan": "random coalitions",
    "coalitions": 4992,
    "ended": "5,000 fits were spent",
    "score of everybody": 0.84,
    "score of nobody": 0.5,
}


def sampled_values(n: int = 60, error: float = 0.1, *, method: str = "DataShapley(x)", **more: Any) -> dw.Values:
    rng = np.random.default_rng(0)
    given = {"ids": [f"r{i}" for i in range(n)], "provenance": FACTS, "errors": np.full(n, error), **more}
    return dw.Values(values=rng.normal(size=n), method=method, n_validation=40, **given)


def owner_values(n: int = 5, error: float = 0.1, **more: Any) -> dw.Values:
    ids = [f"owner {i}" for i in range(n)]
    return sampled_values(n, error, ids=ids, provenance={**FACTS, "players": "owners"}, **more)


def page_of(values: dw.Values, folder: Path) -> str:
    return words(parse(dw.write_report(values, folder / "r.html")))


# -- figures ---------------------------------------------------------------------------------------

numbers = st.floats(-1e3, 1e3).map(lambda number: round(number, 6))
errors_ = st.one_of(st.just(float("nan")), st.floats(0, 1e3).map(lambda number: round(number, 6)))


@given(st.lists(st.tuples(numbers, errors_), min_size=1, max_size=30))
def test_figures_of_precision_follow_their_definitions(pairs: list[tuple[float, float]]) -> None:
    v, errors = [value for value, _ in pairs], [error for _, error in pairs]
    values = dw.Values(range(len(v)), v, "x", 1, errors=errors)
    known = [error for error in errors if not math.isnan(error)]
    assert mean_error(values) == (pytest.approx(sum(known) / len(known)) if known else None)
    assert sampled(values) == any(error > 0 for error in known)
    assert below_beyond_errors(values) == sum(value + 2 * error < 0 for value, error in pairs)
    noise = values.noise
    assert noise is None or 0 <= noise <= 1
    assert bool(drowned(values)) == (noise is not None and noise >= 0.5)


def test_noise_is_the_part_of_the_variance_that_sampling_makes() -> None:
    rng = np.random.default_rng(0)
    truth, off = rng.normal(size=20_000), rng.normal(size=20_000)
    for error, part in ((0.5, 0.2), (1.0, 0.5), (2.0, 0.8)):
        values = dw.Values(range(20_000), truth + error * off, "x", 1, errors=np.full(20_000, error))
        assert values.noise == pytest.approx(part, abs=0.02)


def test_values_without_errors_have_no_such_figures() -> None:
    values = dw.Values(range(3), [1.0, 2.0, 3.0], "x", 1)
    assert (mean_error(values), values.noise, drowned(values)) == (None, None, "")
    assert (sampled(values), below_beyond_errors(values)) == (False, 0)


# -- pictures --------------------------------------------------------------------------------------


def test_bars_have_lines_where_errors_are_known() -> None:
    names, values = ["a", "b", EVIL, "a"], np.array([0.2, 0.1, 0.0, -0.1])
    plain = draw_error_bars(names, values, np.zeros(4), "Words.")
    some = draw_error_bars(names, values, np.array([0.1, np.nan, 0.0, 0.3]), "Words.")
    ink = f'stroke="{PALETTE["ink"][0]}"'
    assert some.count(ink) - plain.count(ink) == 2
    assert plain.count(f'fill="{PALETTE["red"][0]}"') == 1


@pytest.mark.parametrize("n", [1, 2, 50, 5_000])
def test_a_band_of_any_number_of_values(n: int) -> None:
    values = np.sort(np.random.default_rng(0).normal(size=n))
    drawn = draw_error_band(values, np.where(np.arange(n) % 3, 0.1, np.nan), "Words.")
    assert 'aria-label="Words."' in drawn
    assert draw_error_band(values, np.full(n, np.nan), "Words.") == draw_error_band(values, np.zeros(n), "Words.")
    assert len(drawn) < 60_000


def test_pictures_have_only_colours_that_turn_in_the_dark() -> None:
    known = {light for light, _ in PALETTE.values()} | {"none", "transparent"}
    values, off = np.array([-0.1, 0.2]), np.array([0.1, 0.1])
    for drawn in (draw_error_bars(["a", "b"], values, off, "Words."), draw_error_band(values, off, "Words.")):
        assert set(re.findall(r'(?:fill|stroke)="([^"]+)"', drawn)) <= known


# -- pages -----------------------------------------------------------------------------------------


def test_rows_stand_beside_their_errors(tmp_path: Path) -> None:
    values = sampled_values(errors=np.linspace(0.01, 0.1, 60))
    tree = parse(dw.write_report(values, tmp_path / "r.html"))
    lists = [table for table in tree.iter("table") if "rows" in table.attrib.get("class", "")]
    lowest = values.lowest(10)
    for row, value, error in zip(
        lists[0].findall("tbody/tr"), lowest.columns["value"], lowest.columns["standard error"], strict=True
    ):
        shown = words(row.findall("td")[1]).replace("\N{MINUS SIGN}", "-")
        assert shown.split(" \N{PLUS-MINUS SIGN} ") == [f"{value:.3f}", f"{error:.3f}"]


def test_headline_and_facts(tmp_path: Path) -> None:
    values = sampled_values(error=0.125)
    tree = parse(dw.write_report(values, tmp_path / "r.html"))
    cards = [words(card) for card in tree.findall(".//dl[@class='cards']/div")]
    assert cards[3:] == [  # after rows, those below zero, and their sum
        "mean standard error of a value0.125",
        "groups judged, each by a model trained on it4,992",
        "score with everybody0.840",
        "score with nobody0.500",
    ]
    text = words(tree)
    surely, below = int((values.values < -0.25).sum()), int((values.values < 0).sum())
    assert f"{below} of 60 rows have a value below zero, {surely} of them by more than two standard errors" in text
    assert {"path": "by hand", "ended": "5,000 fits were spent"}.items() <= dict(
        zip(map(words, tree.iter("dt")), map(words, tree.iter("dd")), strict=True)
    ).items()
    assert "Errors cover the choice of groups that were tried, and nothing else" in text
    assert "Two values that differ by less than their errors have no order" in text
    assert "Values of rows and their errors" in text


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("LeaveOneOut", "most values tie"),
        ("DataShapley", "every order in which rows could arrive"),
        ("DataBanzhaf", "each as likely as any other"),
        ("BetaShapley", "alpha above beta makes small groups count more"),
    ],
)
def test_each_method_has_a_sentence(tmp_path: Path, method: str, said: str) -> None:
    assert said in page_of(sampled_values(method=f"{method}(x)"), tmp_path)
    text = page_of(owner_values(method=f"{method}(x)"), tmp_path)
    assert said.replace("rows", "owners") in text
    assert "{thing}" not in text


def test_too_few_fits_are_said_and_only_then(tmp_path: Path) -> None:
    assert "Too few fits" in page_of(sampled_values(error=1.0), tmp_path)
    assert "Too few fits" not in page_of(sampled_values(error=0.1), tmp_path)
    assert "Too few fits" not in page_of(sampled_values(errors=None), tmp_path)


@pytest.mark.parametrize(("draws", "error", "few"), [(2, 0.1, True), (9, 0.1, True), (10, 0.1, False), (2, 0.0, False)])
def test_errors_from_few_draws_are_called_rough(tmp_path: Path, draws: int, error: float, few: bool) -> None:
    values = sampled_values(error=error, provenance={**FACTS, "draws": draws})
    assert bool(rough(values)) == few
    assert (f"The errors rest on {draws} draws" in page_of(values, tmp_path)) == few


def test_nothing_is_sure_to_do_harm(tmp_path: Path) -> None:
    text = page_of(sampled_values(error=10.0), tmp_path)
    assert "none of them by more than two standard errors: none is sure to do harm." in text
    assert "the model does better without" not in text


def test_owners_are_called_owners(tmp_path: Path) -> None:
    values = owner_values()
    tree = parse(dw.write_report(values, tmp_path / "r.html"))
    text = words(tree)
    assert words(tree.find(".//h1")) == "What each owner is worth"  # type: ignore[arg-type]
    assert "count all rows of an owner coming and going together" in text
    assert "All owners" in text
    assert "owners valued, with 500 rows in all, judged by 40 validation points" in text
    assert "figures by class" not in text
    assert "Look at the owner's rows" in text
    assert "How the owners were valued" in text
    assert "How the values are distributed" not in text  # the bars say more
    assert "not the owner's own Shapley value" not in text
    for odd in ("rows valued,", "5 rows", "All rows", "Lowest rows"):
        assert odd not in text


def test_many_owners_have_both_ends(tmp_path: Path) -> None:
    text = page_of(owner_values(60), tmp_path)
    assert "Lowest owners" in text
    assert "Highest owners" in text
    assert "60 owners" in text


def test_exact_values_say_so(tmp_path: Path) -> None:
    text = page_of(owner_values(error=0.0), tmp_path)
    assert "no coalition was left to chance" in text
    assert "Nothing was sampled, so there are no errors." in text
    assert "\N{PLUS-MINUS SIGN}" not in text
    assert "standard error" not in text.replace("so there is no standard error", "")


def test_errors_that_nobody_could_tell_are_not_called_nothing(tmp_path: Path) -> None:
    text = page_of(owner_values(error=float("nan")), tmp_path)
    assert "Too few groups were tried to tell the errors." in text
    assert "Nothing was sampled" not in text


def test_ties_of_leave_one_out_are_not_called_useless(tmp_path: Path) -> None:
    values = dw.Values(range(50), [0.0] * 48 + [0.1, -0.1], "LeaveOneOut(x)", 4, provenance=FACTS, errors=[0.0] * 50)
    text = page_of(values, tmp_path)
    assert "without any one of the 48 that are worth zero, which does not say how it would do without all" in text
    assert "would not be missed" not in text


@pytest.mark.parametrize(
    ("n", "error"), [(1, 0.5), (1, float("nan")), (2, 0.0), (2, 0.5), (11, float("nan")), (40, 0.5), (41, float("nan"))]
)
def test_any_number_of_values_makes_a_page(tmp_path: Path, n: int, error: float) -> None:
    for values in (
        sampled_values(n, error),
        owner_values(n, error),
        dw.Values(range(n), np.zeros(n), "by hand", 1, errors=np.full(n, error)),
    ):
        assert "nan" not in page_of(values, tmp_path).lower().replace("provenance", "")


def test_hostile_names_of_owners_stay_text(tmp_path: Path) -> None:
    values = owner_values(3)
    evil = dw.Values([f"{name} {EVIL}" for name in values.ids], values.values, values.method, 4,
                     provenance=values.provenance, errors=values.errors)  # fmt: skip
    page = dw.write_report(evil, tmp_path / "r.html")
    assert not list(parse(page).iter("script"))


def test_saved_values_give_the_same_page(tmp_path: Path) -> None:
    values = sampled_values()
    pages = [
        dw.write_report(each, tmp_path / "r.html").read_text(encoding="utf-8")
        for each in (values, dw.Values.load(values.save(tmp_path / "v.parquet")))
    ]
    undated = [re.sub(r"Written on [^<]*", "", page) for page in pages]
    assert undated[0] == undated[1]


def test_values_without_errors_say_nothing_of_them(tmp_path: Path) -> None:
    text = page_of(dw.Values(range(60), np.linspace(-1, 1, 60), "KNNShapley(k=5)", 4), tmp_path)
    assert "standard error" not in text
    assert "features in which nearness is measured" in text
