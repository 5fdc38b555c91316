"""Pictures: bins that hold every row, bars and lines that draw what the table says."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import dataworth as dw
from dataworth.report.charts import PALETTE, bin_values, draw, draw_bins, figures_of


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314


def texts(svg: str) -> list[str]:
    return ["".join(text.itertext()) for text in parse(svg).iter("text")]


# -- bins ------------------------------------------------------------------------------------------


@given(arrays(np.float64, st.integers(1, 400), elements=st.floats(-1e6, 1e6, allow_subnormal=False)))
def test_every_row_is_in_a_bin(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    edges, counts, beyond = bin_values(values)
    assert counts.sum() == values.size
    assert edges.size == counts.size + 1
    assert (np.diff(edges) > 0).all() or counts.size == 1
    assert beyond <= ((values < edges[0]) | (values > edges[-1])).sum()
    assert beyond <= 0.01 * values.size + 2
    assert counts.size <= 43


def test_zero_is_an_edge_between_loss_and_gain() -> None:
    edges, counts, _ = bin_values(np.linspace(-0.37, 1.91, 500))
    assert 0.0 in edges
    assert counts[edges[1:] <= 0].sum() == (np.linspace(-0.37, 1.91, 500) < 0).sum()


def test_far_values_do_not_flatten_the_rest() -> None:
    values = np.append(np.random.default_rng(0).normal(size=10_000), [1e9, -1e9])
    edges, counts, beyond = bin_values(values)
    assert -4 < edges[0] < edges[-1] < 4
    assert (counts > 0).sum() > 20
    assert beyond >= 2


def test_colours_tell_loss_from_gain() -> None:
    svg = draw_bins(np.array([-1.0, 0.0, 1.0]), np.array([3, 5]), "Words.")
    assert svg.count(f'fill="{PALETTE["red"][0]}"') == 1
    assert svg.count(f'fill="{PALETTE["blue"][0]}"') == 1


def test_only_colours_that_turn_in_the_dark(dw_svg: list[str]) -> None:
    known = {light for light, _ in PALETTE.values()} | {"none", "transparent"}
    for svg in dw_svg:
        used = {
            element.attrib[key] for element in parse(svg).iter() for key in ("fill", "stroke") if key in element.attrib
        }
        assert used <= known, f"{used - known} would not turn in the dark"


@pytest.fixture
def dw_svg() -> list[str]:
    table = dw.Table("t", "T", {"x": [1.0, 2.0, 3.0], "y": [-1.0, 2.0, 0.5], "s": ["a", "random", "b"]})
    kinds = [
        dw.Exhibit("e", "curve", table, "x", "y", "Words.", series="s"),
        dw.Exhibit("e", "bars", table, "y", "s", "Words."),
        dw.Exhibit("e", "bars", table, "y", "s", "Words.", series="s"),
        dw.Exhibit("e", "points", table, "x", "y", "Words.", series="s"),
        dw.Exhibit("e", "points", table, "x", "y", "Words."),
        dw.Exhibit("e", "curve", table, "x", "y", "Words."),
        dw.Exhibit("e", "curve", table, "x", "y", "Words.", log_x=True),
    ]
    return [*map(draw, kinds), draw_bins(np.array([-1.0, 0.0, 1.0]), np.array([3, 5]), "Words.")]


def test_size_comes_from_the_page(dw_svg: list[str]) -> None:
    for svg in dw_svg:
        root = parse(svg)
        assert set(root.attrib) == {"class", "role", "aria-label", "viewBox"}
        assert root.attrib["aria-label"] == "Words."
        assert [float(number) for number in root.attrib["viewBox"].split()][2] == pytest.approx(400, abs=2)


# -- bars ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("x", "y"), [("n", "name"), ("name", "n")])
def test_bars_whichever_way_round(x: str, y: str) -> None:
    table = dw.Table("t", "T", {"name": ["long name", "other"], "n": [1.0, 2.0]})
    shown = texts(draw(dw.Exhibit("e", "bars", table, x, y, "Words.")))
    assert {"long name", "other", "n"} <= set(shown)


def test_equal_names_keep_a_bar_each() -> None:
    table = dw.Table("t", "T", {"name": ["a", "a", "b"], "n": [1.0, 2.0, 3.0]})
    assert {"a", "a (2)", "b"} <= set(texts(draw(dw.Exhibit("e", "bars", table, "n", "name", "Words."))))


def test_the_middle_of_many_bars_is_left_out() -> None:
    table = dw.Table("t", "T", {"name": [f"bar {i}" for i in range(100)], "n": [float(i) for i in range(100)]})
    shown = {
        text for text in texts(draw(dw.Exhibit("e", "bars", table, "n", "name", "Words."))) if text.startswith("bar")
    }
    assert shown == {f"bar {i}" for i in [*range(15), *range(85, 100)]}


def test_names_with_paths_and_codes_are_only_names() -> None:
    """Dots, brackets and colons mean something to the drawing library; here they are letters."""
    names = ["a.b[0]", "x:Q", "datum.value", "\\n"]
    table = dw.Table("t", "T", {"na.me[0]:Q": names, "n:N": [1.0, 2.0, 3.0, 4.0]})
    shown = texts(draw(dw.Exhibit("e", "bars", table, "n:N", "na.me[0]:Q", "Words.")))
    assert {*names, "n:N"} <= set(shown)


def test_missing_figures_are_left_out() -> None:
    table = dw.Table("t", "T", {"x": [1.0, 2.0, None, 4.0], "y": [1.0, float("nan"), 2.0, 3.0], "s": list("abcd")})
    assert {"a", "d"} <= set(texts(draw(dw.Exhibit("e", "bars", table, "y", "s", "Words."))))
    for kind in ("curve", "points"):
        assert "NaN" not in draw(dw.Exhibit("e", kind, table, "x", "y", "Words."))


@pytest.mark.parametrize("kind", ["curve", "bars", "points"])
def test_nothing_to_draw_is_an_empty_picture(kind: str) -> None:
    table = dw.Table("t", "T", {"x": [], "y": []})
    assert parse(draw(dw.Exhibit("e", kind, table, "x", "y", "Words."))).tag == "svg"  # type: ignore[arg-type]


def test_points_of_several_kinds_differ_in_black_and_white_too() -> None:
    names = ["one", "two", "three"]
    table = dw.Table("t", "T", {"x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 3.0], "s": names})
    root = parse(draw(dw.Exhibit("e", "points", table, "x", "y", "Words.", series="s")))
    marks = [
        path
        for group in root.iter("g")
        if "mark-symbol" in group.attrib.get("class", "")
        for path in group.iter("path")
    ]
    assert len({path.attrib["d"] for path in marks if path.attrib.get("stroke-width") == "2"}) >= 3
    legend = [
        text for text in texts(draw(dw.Exhibit("e", "points", table, "x", "y", "W.", series="s"))) if text in names
    ]
    assert legend == names  # colour and shape in one legend, not in two


# -- lines -----------------------------------------------------------------------------------------


def test_lines_differ_in_black_and_white_too() -> None:
    names = ["one", "two", "random order", "three"]
    table = dw.Table(
        "t", "T", {"x": [0.0, 1.0] * 4, "y": [float(i) for i in range(8)], "s": [name for name in names for _ in "ab"]}
    )
    root = parse(draw(dw.Exhibit("e", "curve", table, "x", "y", "Words.", series="s")))
    lines = [
        path for group in root.iter("g") if "mark-line" in group.attrib.get("class", "") for path in group.iter("path")
    ]
    looks = {(line.attrib["stroke"], line.attrib["stroke-dasharray"]) for line in lines}
    assert len(lines) == len(looks) == 4
    assert sum(stroke == PALETTE["grey"][0] for stroke, _ in looks) == 1


def test_a_logarithmic_axis_names_what_was_tried() -> None:
    table = dw.Table("t", "T", {"x": [0.001, 0.1 / 3, 0.1, 10.0], "y": [1.0, 2.0, 3.0, 4.0]})
    even, wide = (draw(dw.Exhibit("e", "curve", table, "x", "y", "Words.", log_x=log)) for log in (False, True))
    assert {"0.001", "0.1", "10"} <= set(texts(wide))
    assert "0.001" not in texts(even)
    once = dw.Table("t", "T", {"x": [3.0], "y": [1.0]})
    assert parse(draw(dw.Exhibit("e", "curve", once, "x", "y", "Words.", log_x=True))).tag == "svg"


@pytest.mark.parametrize("x", [[1e-300, 1.0, 1e300], [1.0 + 1e-15, 1.0], [5e-324, 1e-3]])
def test_any_numbers_above_zero_fit_a_logarithmic_axis(x: list[float]) -> None:
    table = dw.Table("t", "T", {"x": x, "y": [1.0] * len(x)})
    assert "NaN" not in draw(dw.Exhibit("e", "curve", table, "x", "y", "Words.", log_x=True))


def test_a_level_line_is_drawn_at_its_height() -> None:
    table = dw.Table("t", "T", {"x": [0.0, 1.0], "y": [0.02, 0.02]})
    assert "0.020" in texts(draw(dw.Exhibit("e", "curve", table, "x", "y", "Words.")))


def test_figures_of_lines_stand_side_by_side() -> None:
    table = dw.Table("t", "T", {"x": [0, 1, 0, 1], "s": ["a", "a", "b", "b"], "y": [1.0, 2.0, 3.0, 4.0]})
    wide = figures_of(dw.Exhibit("e", "curve", table, "x", "y", "Words.", series="s"))
    assert dict(wide.columns) == {"x": (0, 1), "a": (1.0, 2.0), "b": (3.0, 4.0)}


def test_lines_that_come_back_keep_their_table() -> None:
    table = dw.Table("t", "T", {"x": [0, 1, 0], "s": ["a", "a", "a"], "y": [1.0, 2.0, 3.0]})
    assert figures_of(dw.Exhibit("e", "curve", table, "x", "y", "Words.", series="s")) is table
