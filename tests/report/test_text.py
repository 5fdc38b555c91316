"""How numbers and names are written."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataworth.report.text import clean, column, figure, share


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (12.0, "12"),
        (-1234567.0, "\N{MINUS SIGN}1,234,567"),
        (0.5, "0.500"),
        (0.000123456, "0.000123"),
        (-0.00456, "\N{MINUS SIGN}0.00456"),
        (123.456, "123.5"),
        (1e-12, "1.00e-12"),
        (1.5e300, "1.50e+300"),
        (math.nan, "\N{EN DASH}"),
        (math.inf, "\N{EN DASH}"),
    ],
)
def test_figures(number: float, written: str) -> None:
    assert figure(number) == written


def test_what_rounds_to_zero_has_no_sign() -> None:
    assert figure(-0.0001, decimals=2) == "0.00"


@given(st.floats(-1e300, 1e300))
def test_figures_are_short_and_near(number: float) -> None:
    written = figure(number)
    assert len(written) <= 24
    back = float(written.replace(",", "").replace("\N{MINUS SIGN}", "-"))
    assert back == pytest.approx(number, rel=0.006)


@pytest.mark.parametrize(
    ("part", "written"),
    [(0.0, "0%"), (1.0, "100%"), (0.087, "8.7%"), (1e-6, "under 0.1%"), (0.9999, "over 99.9%"), (0.5, "50.0%")],
)
def test_shares(part: float, written: str) -> None:
    assert share(part) == written


def test_a_column_has_one_number_of_decimals() -> None:
    write, numeric = column([0.0123, 0.00004, None])
    assert numeric
    assert [write(cell) for cell in (0.0123, 0.00004, None)] == ["0.0123", "0.0000", "\N{EN DASH}"]


def test_whole_numbers_may_be_names_and_stay_as_they_are() -> None:
    write, numeric = column([20260101, -3])
    assert (write(20260101), write(-3), numeric) == ("20260101", "\N{MINUS SIGN}3", True)


def test_words_and_answers() -> None:
    write, numeric = column(["a", True, 0.5])
    assert ([write(cell) for cell in ("a", True, False, 0.5)], numeric) == (["a", "yes", "no", "0.500"], False)


def test_clean_keeps_what_people_write() -> None:
    assert clean("日本語 العربية e\u0301 🙂\tok\n") == "日本語 العربية e\u0301 🙂\tok\n"
    assert clean("a\x00\x1b\u202e\ud800\ufffeb") == "a" + "\ufffd" * 5 + "b"
