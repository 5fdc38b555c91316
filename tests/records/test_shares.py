"""Shares as a record: what fits together, what is private, and how they leave and come back."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dataworth as dw
from dataworth.errors import DataError, InputError
from tests.made_shares import INSECURE, PROMISE, additive, made

OWNERS = dw.Guarantee(dw.Budget("0.3", "1e-17"), dw.Owner(7), "replace", joint=True)


def same(one: dw.Shares, other: dw.Shares) -> None:
    for field in fields(dw.Shares):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b, strict=True)
        elif field.name == "evidence":
            assert [piece.to_csv() if isinstance(piece, dw.Table) else piece.title for piece in a] == [
                piece.to_csv() if isinstance(piece, dw.Table) else piece.title for piece in b
            ]
        elif field.name == "coalitions":
            for part in fields(dw.Coalitions):
                np.testing.assert_array_equal(getattr(a, part.name), getattr(b, part.name), strict=True)
                assert type(getattr(a, part.name)) is type(getattr(b, part.name))
        else:
            assert a == b, field.name


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"repeats": 3, "noise": 0.01, "provenance": {"dataworth": "0.1.0", "seconds": 0.25, "seed": 3}},
        {"fidelity": (np.nan, 0.4, 1 / 3), "empty": ("clinic 0",), "spent": [None, OWNERS, INSECURE]},
        {"names": ["zoë", "=1+1", "a\u2028b"], "ceiling": 2.5, "fidelity_errors": None, "errors": np.full(3, np.nan)},
        {"exact": False, "flags": ("One.", 'Two "quoted".'), "evidence": [dw.Table("t", "T", {"x": [1, 2.5, None]})]},
    ],
)
def test_round_trip(tmp_path: Path, more: dict[str, Any]) -> None:
    shares = made(**more)
    same(shares, dw.Shares.load(shares.save(tmp_path / "shares.parquet")))
    assert [path.name for path in tmp_path.iterdir()] == ["shares.parquet"]


def test_many_providers_and_sampled_coalitions_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    members, names = rng.random((311, 13)) < 0.5, tuple(f"p{i}" for i in range(13))
    tried = dw.Coalitions(
        names, members, rng.random((311, 2)), 0.1, 0.9, rng.random(13), rng.random(13), rng.random(13), False, "by hand"
    )
    shares = dw.Shares(
        names, rng.random(13), rng.random(13), tried.values, 0.8, rng.random(13), rng.random(13), "by hand", tried,
        (PROMISE,) * 13,
    )  # fmt: skip
    same(shares, dw.Shares.load(shares.save(tmp_path / "shares.parquet")))


def test_other_readers_see_a_row_a_provider(tmp_path: Path) -> None:
    shares = made()
    table = pq.read_table(shares.save(tmp_path / "shares.parquet"))
    assert table["provider"].to_pylist() == list(shares.providers)
    np.testing.assert_array_equal(table["value"].to_numpy(), shares.values)


def test_files_that_hold_no_shares(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        dw.Shares.load(tmp_path / "nowhere.parquet")
    (tmp_path / "text.parquet").write_text("not parquet")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        dw.Shares.load(tmp_path / "text.parquet")
    pq.write_table(pa.table({"provider": ["a"]}), tmp_path / "plain.parquet")
    with pytest.raises(DataError, match=r"holds no shares of providers; Shares\.save writes such files"):
        dw.Shares.load(tmp_path / "plain.parquet")
    values = dw.Values(["a"], [1.0], method="by hand", n_validation=1).save(tmp_path / "values.parquet")
    with pytest.raises(DataError, match=r"dataworth\.values/1', not 'dataworth\.shares/1'"):
        dw.Shares.load(values)
    with pytest.raises(DataError, match="dataworth"):
        dw.Values.load(made().save(tmp_path / "shares.parquet"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda about: about["coalitions"].update(members=""),
        lambda about: about["coalitions"].update(tried=10**9, repeats=0, utilities=""),
        lambda about: about["coalitions"].update(utilities="!"),
        lambda about: about["coalitions"].pop("floor"),
        lambda about: about.update(flags=None),
        lambda about: about.update(evidence=[{"is": "spell"}]),
        lambda about: about.update(total=float("nan")),
    ],
)
def test_damaged_files(tmp_path: Path, damage: Any) -> None:
    path = made().save(tmp_path / "shares.parquet")
    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[b"dataworth"])
    damage(about)
    pq.write_table(table.replace_schema_metadata({"dataworth": json.dumps(about)}), path)
    with pytest.raises(DataError, match="damaged"):
        dw.Shares.load(path)


def test_what_does_not_fit() -> None:
    tried, ones = additive([0.3, 0.2]), np.ones(2)
    names = tried.players

    def shares(**changed: Any) -> dw.Shares:
        parts: dict[str, Any] = {
            "providers": names, "values": ones, "errors": ones, "uncalibrated": ones, "total": 2.0, "fidelity": ones,
            "utility": ones, "calibration": "by hand", "coalitions": tried, "spent": (None, None),
        }  # fmt: skip
        return dw.Shares(**{**parts, **changed})

    assert len(shares()) == 2
    for changed, words in (
        ({"values": np.ones(3)}, "values must have one entry"),
        ({"values": np.array([1.0, np.nan])}, "must be finite"),
        ({"total": float("inf")}, "must be finite"),
        ({"providers": ("x", "x")}, "same name"),
        ({"providers": ("x", "y")}, "those of other providers"),
        ({"spent": (None,)}, "spent must have one entry"),
        ({"empty": ("nobody",)}, "1 of the names in empty"),
        ({"errors": None}, "errors must have one entry"),
    ):
        with pytest.raises(InputError, match=words):
            shares(**changed)
    with pytest.raises(ValueError, match="read-only"):
        shares().values[0] = 2.0


def test_the_callers_own_array_stays_apart() -> None:
    mine = np.array([0.3, 0.2])
    tried = additive([0.3, 0.2])
    shares = dw.Shares(tried.players, mine, mine, mine, 0.5, mine, mine, "by hand", tried, (None, None))
    mine[0] = 9.0
    assert shares.values[0] == 0.3


def test_protected_is_who_is_empty_or_has_a_promise() -> None:
    assert made().stamp == ""
    assert made(spent=[PROMISE, OWNERS, None], empty=("clinic 2",)).stamp == ""
    for spent in (None, [PROMISE, PROMISE, None], [PROMISE, PROMISE, INSECURE]):
        shares = made(spent=spent)
        assert shares.stamp == "NOT PRIVATE"
        assert "NOT PRIVATE" in repr(shares)


def test_splits_beside_the_calibrated_one() -> None:
    shares = made(empty=("clinic 1",))
    np.testing.assert_allclose(shares.uniform, [shares.total / 2, 0, shares.total / 2])
    assert shares.shares.sum() == pytest.approx(1)
    assert shares.present.tolist() == [True, False, True]


def test_as_a_table_and_as_json() -> None:
    shares = made(fidelity=(0.5, np.nan, 0.3), errors=np.full(3, np.nan))
    table = shares.to_table()
    assert table.columns["provider"] == shares.providers
    assert table.columns["standard error"] == (None, None, None)
    assert table.columns["fidelity"] == (0.5, None, 0.3)
    assert table.columns["epsilon"] == (4.0, 4.0, 4.0)
    assert shares.to_pandas().shape == (3, 10)
    found = json.loads(json.dumps(shares.to_json(), allow_nan=False))
    assert found["providers"][1]["fidelity"] is None
    assert found["promises"][0].startswith("Differential privacy, one row added or removed")
    assert found["flags"] == list(shares.flags)
