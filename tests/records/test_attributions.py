"""Who earned what: looked up, exported, and refused where it makes no sense."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dataworth as dw
from dataworth.errors import DataError, InputError

AT = [[1, 0], [2, -1], [1, 2]]
DISTANCE = [[0.1, 0.9], [0.2, np.inf], [0.3, 0.4]]
SHARE = [[0.75, 0.25], [1.0, 0.0], [0.5, 0.5]]


def small(owners: list[str] | None = None) -> dw.Attributions:
    return dw.Attributions(["a", "b", "c", "d"], ["p", "q", "r"], AT, DISTANCE, SHARE, owners)


def test_looking_from_both_sides() -> None:
    credit = small(["x", "y", "x", "y"])
    assert credit.of_generated("p").rows() == [("b", "y", 0.1, 0.75), ("a", "x", 0.9, 0.25)]
    assert credit.of_generated("q").rows() == [("c", "x", 0.2, 1.0)]
    assert credit.of_item("c").rows() == [("q", 0.2, 1.0), ("r", 0.4, 0.5)]
    assert credit.of_item("d").rows() == []
    assert credit.quality.tolist() == [1, 1, 1]


@pytest.mark.parametrize("name", ["z", ["p", "q"], 0])
def test_who_is_not_there(name: object) -> None:
    with pytest.raises(InputError, match="no generated item"):
        small().of_generated(name)


def test_exports(tmp_path: Path) -> None:
    credit = small(["x", "y", "x", "y"])
    table = pq.read_table(credit.save(tmp_path / "credit.parquet"))
    assert table.column_names == ["generated", "rank", "id", "owner", "distance", "share"]
    assert table["id"].to_pylist() == ["b", "a", "c", "b", "c"]
    plain = json.loads(credit.save(tmp_path / "credit.json").read_text(encoding="utf-8"))
    assert [entry["id"] for entry in plain["generated"]] == ["p", "q", "r"]
    assert plain["generated"][1] == {
        "id": "q", "quality": 1.0, "contributors": [{"id": "c", "owner": "x", "distance": 0.2, "share": 1.0}],
    }  # fmt: skip
    with pytest.raises(InputError, match=r"\.parquet or \.json"):
        credit.save(tmp_path / "credit.txt")
    assert {file.name for file in tmp_path.iterdir()} == {"credit.parquet", "credit.json"}


@pytest.mark.parametrize(
    ("at", "distance", "share", "words"),
    [
        ([[4, 0]], [[0.1, 0.2]], [[0.5, 0.5]], "below 4"),
        ([[0, 1, 2]], [[0.1, 0.2]], [[0.5, 0.5]], "must be"),
        ([[0, -1]], [[0.1, 0.2]], [[1.0, 0.0]], "infinite distance"),
        ([[0, -1]], [[0.1, np.inf]], [[0.5, 0.5]], "where there is no match"),
        ([[0, 1]], [[0.1, 0.2]], [[1.5, -0.5]], "0 or more"),
        ([[0, 1]], [[0.1, np.nan]], [[0.5, 0.5]], "finite"),
        ([[0, 1]], [[0.1, np.inf]], [[0.5, 0.5]], "finite"),
    ],
)
def test_what_does_not_fit_is_refused(at: object, distance: object, share: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        dw.Attributions(["a", "b", "c", "d"], ["p"], at, distance, share)  # type: ignore[arg-type]


@given(
    n=st.integers(1, 6),
    shares=st.lists(st.lists(st.floats(0, 4), min_size=3, max_size=3), min_size=1, max_size=5),
    large=st.booleans(),
)
def test_values_and_credit_come_back_as_they_were(n: int, shares: list[list[float]], large: bool) -> None:
    import tempfile

    draws = np.random.default_rng(len(shares))
    at = draws.integers(-1, n, (len(shares), 3))
    share = np.where(at < 0, 0, shares)
    distance = np.where(at < 0, np.inf, draws.random(at.shape))
    ids = np.arange(n, dtype=np.uint64) + np.uint64(2**63 if large else 0)
    owners = [f"owner {i % 2}" for i in range(n)]
    credit = dw.Attributions(ids, [f"g{j}" for j in range(len(shares))], at, distance, share, owners)
    sums = [float(sum((Fraction(s) for s in share[at == i]), Fraction())) for i in range(n)]
    values = dw.Values(ids, sums, "by likeness", len(shares), owners=owners, attributions=credit)
    with tempfile.TemporaryDirectory() as folder:
        back = dw.Values.load(values.save(Path(folder) / "values.parquet"))
    assert back.attributions is not None
    for name in ("ids", "generated_ids", "at", "distance", "share", "owners"):
        np.testing.assert_array_equal(getattr(back.attributions, name), getattr(credit, name))
    table = back.by_owner()
    assert "Exact" in table.note
    everything = float(sum((Fraction(s) for s in share[at >= 0]), Fraction()))
    assert sum(float(str(cell)) for cell in table.columns["sum of values"]) == pytest.approx(everything)


def test_credit_of_other_rows_is_refused() -> None:
    with pytest.raises(InputError, match="very rows"):
        dw.Values(["a", "b", "c", "e"], [0, 0, 0, 0], "by likeness", 3, attributions=small())


def test_half_a_character_is_no_name() -> None:
    with pytest.raises(DataError, match="half a character"):
        dw.Items([[0.0]], ids=["\ud800"])
