"""The page of a comparison: every part in its place, figures that are those of the tables, words of caution."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

import dataworth as dw
from dataworth.report.charts import PALETTE, draw, draw_matrix
from dataworth.report.comparison import MATRIX_SHOWN
from tests.report.conftest import EVIL, parse, points, words
from tests.report.test_chromium import CHROMIUM, measured
from tests.report.test_release import made

N = 60


def compared(names: list[str], *, whole: bool = True, evil: bool = False) -> dw.Comparison:
    rng = np.random.default_rng(0)
    train, test = points(N, "t", evil=evil), points(20, "v", seed=1, evil=evil)
    named = {name: dw.Values(train.ids, rng.normal(size=N), f"{name}(k=1)", 20) for name in names}
    if not whole:
        return dw.compare_values(named)
    return dw.compare_values(
        named, train=train, test=test, model=KNeighborsClassifier(1), bad=np.arange(N) < 9, repeats=2,
        fractions=[0.0, 0.2, 0.4],
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dw.write_report(compared(["Alpha", "Beta", "Gamma"]), tmp_path_factory.mktemp("compared") / "page.html")


def test_every_part_is_there_in_order(page: Path) -> None:
    text = words(parse(page))
    heads = [
        "3 methods on the same 60 rows", "One data set.", "What each is good for", "All figures",
        "Do they agree?", "Spearman", "Kendall", "Rows in both lowest tenths", "Does it matter to a model?",
        "Lowest values removed first", "Highest values removed first", "Highest values added first",
        "Lowest values added first", "Do they find bad rows?", "Finding the rows known to be bad",
        "How the methods were compared", "KNeighborsClassifier", "What not to conclude",
        "Test points must be other ones", "Who may see it",
    ]  # fmt: skip
    at = 0
    for head in heads:
        assert head in text[at:], head
        at = text.index(head, at)


def test_every_figure_of_the_summary_is_on_the_page(page: Path) -> None:
    text = words(parse(page))
    for row in compared(["Alpha", "Beta", "Gamma"]).table("summary").rows():
        for cell in row[2:]:
            assert cell is None or f"{cell:.3f}" in text


def test_pictures_have_words(page: Path) -> None:
    charts = [one for one in parse(page).iter() if one.tag.endswith("svg")]
    assert len(charts) == 8
    assert all(len(one.attrib["aria-label"]) > 40 for one in charts)


def test_without_curves_only_agreement_is_shown(tmp_path: Path) -> None:
    text = words(parse(dw.write_report(compared(["Alpha", "Beta"], whole=False), tmp_path / "page.html")))
    assert "The rank correlation of their values is" in text
    assert "Does it matter to a model?" not in text
    assert "What each is good for" not in text


def test_names_are_only_names(tmp_path: Path) -> None:
    page = dw.write_report(compared([f"A {EVIL}", f"B {EVIL}"], evil=True), tmp_path / "page.html")
    assert "<script" not in page.read_text(encoding="utf-8")
    parse(page)


def test_many_methods_get_a_table_in_place_of_a_picture(tmp_path: Path) -> None:
    many = compared([f"Method {i}" for i in range(MATRIX_SHOWN + 1)], whole=False)
    page = parse(dw.write_report(many, tmp_path / "page.html"))
    assert not [one for one in page.iter() if one.tag.endswith("svg")]
    assert "Kendall's rank correlation" in words(page)


def test_it_does_not_stand_beside_a_private_release(tmp_path: Path) -> None:
    with pytest.raises(dw.InputError, match="a comparison of exact values do not go on one page"):
        dw.write_report([made(), compared(["Alpha", "Beta"], whole=False)], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_it_stands_beside_values(tmp_path: Path) -> None:
    both = compared(["Alpha", "Beta"], whole=False)
    values = dw.Values(["a", "b"], [1.0, -1.0], "by hand", 2)
    text = words(parse(dw.write_report([values, both], tmp_path / "page.html")))
    assert "What a comparison says, and what it does not" in text
    assert "What these numbers mean, and what they do not" in text


def test_equal_values_show_no_correlation(tmp_path: Path) -> None:
    level = dw.Values(["a", "b", "c"], [1.0, 1.0, 1.0], "Level()", 2)
    other = dw.Values(["a", "b", "c"], [1.0, 2.0, 3.0], "Other()", 2)
    text = words(parse(dw.write_report(dw.compare_values([level, other]), tmp_path / "page.html")))
    assert "All values of Level are equal: no correlation is defined." in text
    assert "The rank correlation of their values is" not in text


def test_a_tie_has_no_winner(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=30)
    named = {name: dw.Values(range(30), values, "m", 4) for name in ("Alpha", "Beta")}
    page = parse(dw.write_report(dw.compare_values(named, bad=np.arange(30) < 9), tmp_path / "page.html"))
    assert "Alpha and Beta share the best mean place." in words(page)
    lead = next(one for one in page.iter("p") if one.attrib.get("class") == "lead")
    assert "place" not in words(lead)


def test_methods_that_are_mostly_noise_are_named(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=30)

    def with_errors(error: float) -> dw.Values:
        return dw.Values(range(30), values, "m", 4, errors=np.full(30, error * values.std()))

    some = {"Loud": with_errors(0.8), "Sure": with_errors(0.1), "Known": dw.Values(range(30), values, "m", 4)}
    text = words(parse(dw.write_report(dw.compare_values(some), tmp_path / "page.html")))
    assert "Mostly noise. Of Loud, the errors are as large as the differences between values" in text
    del some["Loud"]
    assert "Mostly noise" not in words(parse(dw.write_report(dw.compare_values(some), tmp_path / "page.html")))


@pytest.mark.chromium
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: the page is not opened in a browser")
@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_is_wider_than_the_screen(tmp_path: Path, width: int) -> None:
    shown = compared(["Alpha", "A method whose name is so long that it fits nowhere" * 3, *"CDEFG"])
    sizes = measured(dw.write_report(shown, tmp_path / "page.html"), width, tmp_path)
    assert sizes["needed"] <= width
    assert sizes["charts"] == 8
    assert sizes["widest"] <= sizes["figure"] + 4


# -- the picture of a matrix -----------------------------------------------------------------------


def test_a_matrix_shows_every_cell_and_only_colours_that_turn_in_the_dark() -> None:
    svg = draw_matrix(["one", "two"], [[1.0, -0.256], [None, 0.5]], "Words.")
    shown = re.findall(r">([^<>]+)</text>", svg)
    assert shown[:4] == ["1.00", "\N{MINUS SIGN}0.26", "\N{EN DASH}", "0.50"]
    assert shown[4:] == ["1", "2", "1  one", "2  two"]
    known = {light for light, _ in PALETTE.values()} | {"none", "transparent"}
    assert set(re.findall(r'(?:fill|stroke)="([^"]+)"', svg)) <= known
    assert svg.count(f'fill="{PALETTE["red"][0]}"') == 1  # below zero


def test_up_to_six_lines_differ_without_colour() -> None:
    table = dw.Table(
        "t", "T", {"x": [0.0, 1.0] * 8, "y": [float(i) for i in range(16)],
                   "s": [name for name in [*"abcdef", "random order", "best possible"] for _ in range(2)]},
    )  # fmt: skip
    svg = draw(dw.Exhibit("e", "curve", table, "x", "y", "Words.", series="s"))
    dashes = re.findall(r'stroke-width="2" stroke-dasharray="([^"]+)"/', svg)
    assert len(set(dashes)) == 8
