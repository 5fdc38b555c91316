"""Tables, links and exhibits: what they refuse and how they read."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import dataworth as dw
from dataworth.records.evidence import evidence_from_json, evidence_to_json


def test_columns_must_be_equally_long() -> None:
    with pytest.raises(dw.InputError, match="same length"):
        dw.Table("t", "T", {"a": [1], "b": [1, 2]})


def test_numpy_cells_become_plain() -> None:
    table = dw.Table("t", "T", {"a": list(np.array([1, 2])), "b": list(np.array([True, False]))})
    assert [type(cell) for cell in table.rows()[0]] == [int, bool]


@pytest.mark.parametrize("cell", [b"text", [1], np.array([1, 2]), 1j, np.datetime64("2020-01-01")])
def test_other_cells_are_refused(cell: object) -> None:
    with pytest.raises(dw.InputError, match="column 'a' has") as caught:
        dw.Table("t", "T", {"b": [1], "a": [cell]})  # type: ignore[list-item]
    assert "text'" not in str(caught.value)  # the type, not the content


def test_text_and_csv() -> None:
    table = dw.Table("t", "T", {"set": ["a, b", "c"], "x": [0.12345, None], "n": [1, 20], "ok": [True, False]}, "Note.")
    assert table.to_text().splitlines() == [
        "T",
        "set   x      n   ok",
        "----  -----  --  ---",
        "a, b  0.123  1   yes",
        "c     -      20  no",
        "Note.",
    ]
    assert table.to_csv() == 'set,x,n,ok\n"a, b",0.12345,1,True\nc,,20,False\n'
    assert table.to_pandas()["n"].tolist() == [1, 20]


def test_links_of_a_row_come_nearest_first() -> None:
    links = dw.Links(
        "l", "L", np.array(["a", "b", "a"]), np.arange(1, 4), np.array([0.5, 0.1, 0.2]), np.array([True, True, False])
    )
    assert links.of_row("a") == [(3, 0.2, False), (1, 0.5, True)]
    assert links.of_row("nobody") == []


def test_links_must_be_equally_long() -> None:
    with pytest.raises(dw.InputError, match="one length"):
        dw.Links("l", "L", np.array(["a"]), np.array([1, 2]), np.array([0.5]), np.array([True]))


def test_an_exhibit_draws_columns_it_has() -> None:
    table = dw.Table("t", "T", {"a": [1]})
    with pytest.raises(dw.InputError, match=r"\['b'\]"):
        dw.Exhibit("e", "bars", table, x="a", y="b", alt="")
    assert dw.Exhibit("e", "bars", table, x="a", y="a", alt="").title == "T"


def test_an_unknown_kind_of_exhibit_is_refused() -> None:
    with pytest.raises(
        dw.InputError, match="'e' must be one of curve, bars, points, rows, sheet, pairs, not 'hologram'"
    ):
        dw.Exhibit("e", "hologram", dw.Table("t", "T", {"a": [1]}), x="a", y="a", alt="")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "x"), [("bars", [1, 2]), ("curve", [0, 1]), ("curve", ["a", "b"]), ("curve", [None, 1])]
)
def test_a_logarithmic_axis_is_for_curves_above_zero(kind: str, x: list[Any]) -> None:
    with pytest.raises(dw.InputError, match="'e' is no such"):
        dw.Exhibit("e", kind, dw.Table("t", "T", {"a": x}), x="a", y="a", alt="", log_x=True)  # type: ignore[arg-type]


def test_exhibits_survive_saving() -> None:
    curve = dw.Exhibit("c", "curve", dw.Table("t", "T", {"a": [0.1, 10.0]}), x="a", y="a", alt="", log_x=True)
    table = dw.Table("p", "P", {"training item": ["a", "b"], "generated item": [7, None], "value": [0.5, 0.0]})
    pairs = dw.Exhibit("p", "pairs", table, x="training item", y="generated item", series="value", alt="")
    back = evidence_from_json(json.loads(json.dumps(evidence_to_json([curve, pairs]))))
    assert evidence_to_json(back) == evidence_to_json([curve, pairs])
    assert isinstance(back[0], dw.Exhibit)
    assert back[0].log_x


def test_exhibits_saved_before_there_were_logarithmic_axes_are_read() -> None:
    piece = evidence_to_json([dw.Exhibit("e", "bars", dw.Table("t", "T", {"a": [1]}), x="a", y="a", alt="")])[0]
    del piece["log_x"]
    (back,) = evidence_from_json([piece])
    assert isinstance(back, dw.Exhibit)
    assert not back.log_x
