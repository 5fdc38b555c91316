"""A comparison is what it was given, and refuses what could not be told apart."""

from __future__ import annotations

import json

import pytest

import dataworth as dw

TABLE = dw.Table("summary", "T", {"method": ["a", "b"], "AUROC": [0.5, None]})


def test_it_holds_what_it_was_given() -> None:
    picture = dw.Exhibit("curve", "curve", TABLE, "AUROC", "AUROC", "Words.")
    compared = dw.Comparison(["a", "b"], 1200, [TABLE, picture], {"Seed": 3})
    assert repr(compared) == "Comparison(a, b; 1,200 rows)"
    assert compared.table("summary") is TABLE
    assert compared.table("curve") is TABLE
    assert "summary" in compared
    assert "spearman" not in compared
    assert json.loads(json.dumps(compared.to_json()))["evidence"][0]["columns"]["AUROC"] == [0.5, None]


def test_what_is_not_there_is_told() -> None:
    with pytest.raises(dw.InputError, match="no 'spearman', but summary"):
        dw.Comparison(["a", "b"], 2, [TABLE]).table("spearman")


@pytest.mark.parametrize(
    ("methods", "pieces", "said"),
    [(["a"], [TABLE], "at least two"), (["a", "a"], [TABLE], "there twice"), (["a", "b"], [TABLE, TABLE], "pieces")],
)
def test_what_cannot_be_told_apart_is_refused(methods: list[str], pieces: list[dw.Table], said: str) -> None:
    with pytest.raises(dw.InputError, match=said):
        dw.Comparison(methods, 2, pieces)
