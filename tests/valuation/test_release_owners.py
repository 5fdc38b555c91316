"""Rows of owners who do not fit in memory: the numbers and limits of rows that do."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dataworth as dw
from dataworth.data.sources import Source
from dataworth.engines.local import Local
from dataworth.errors import DataError, InputError
from dataworth.records import Unit
from dataworth.valuation.release_owners import RowsOfOwners, heaps_for
from dataworth.valuation.release_rows import numbers, rows_that_stay
from tests.valuation.streaming_problems import write_files


def rows_of(folder: str, columns: dict[str, Any], sizes: list[int], unit: Unit, **more: Any) -> RowsOfOwners:
    n = len(columns["who"])
    table = pa.table({"x": np.ones(n), "y": np.zeros(n, dtype=int), **columns})
    files = write_files(Path(folder, "rows"), table, sizes, 3)
    source = Source.open(files, label="y", owner="who", id="id" if "id" in columns else None)
    settled: dict[str, Any] = {"heaps": 4, "memory": 2**20, **more}
    kept = Path(folder, "kept")
    kept.mkdir(exist_ok=True)
    return RowsOfOwners(source, unit, source.parts(4), kept, **settled)


@settings(max_examples=40)
@given(
    who=st.lists(st.sampled_from(["ann", "bob", "cyd", "żółw"]), min_size=1, max_size=25),
    kind=st.sampled_from(["none", "whole", "large", "text"]),
    data=st.data(),
)
def test_numbers_and_limits_are_those_of_all_rows_in_memory(who: list[str], kind: str, data: st.DataObject) -> None:
    """However rows are cut and dealt, and in whatever order ids are; then with what was found before."""
    n = len(who)
    columns: dict[str, Any] = {"who": who}
    if kind != "none":
        places = data.draw(st.permutations(range(n)))
        columns["id"] = {
            "whole": np.array(places) - 5,
            "large": np.array(places, dtype=np.uint64) + np.uint64(2**63),
            "text": [str(place - 3) if place % 3 else f"0{place}" for place in places],
        }[kind]
    units: list[Unit] = [dw.Row(), dw.Owner(1), dw.Owner(2)]
    unit = data.draw(st.sampled_from(units))
    sizes = data.draw(st.lists(st.integers(0, n), min_size=1, max_size=3))
    owners = np.array(who)
    numbered = numbers(owners)
    wanted = rows_that_stay(owners, np.asarray(columns["id"]) if "id" in columns else numbered, unit)
    with tempfile.TemporaryDirectory() as folder:
        rows = rows_of(folder, columns, sizes, unit, heaps=data.draw(st.integers(1, 6)))
        for engine in (Local(2), Local(1)):  # the second finds all done
            rows.find(engine, False)
            found = [rows.of(part, part.rows) for part in rows.parts]
            assert np.concatenate([one for one, _ in found]).tolist() == numbered.tolist()
            stays = [stay for _, stay in found]
            if wanted is None:
                assert stays == [None] * len(stays)
            else:
                assert np.concatenate(stays).tolist() == wanted.tolist()  # type: ignore[arg-type]


def test_damaged_heaps_are_named(tmp_path: Path) -> None:
    rows = rows_of(str(tmp_path), {"who": ["ann", "bob", "cyd"] * 5}, [15], dw.Owner(2))
    rows.find(Local(1), False)
    for file in (tmp_path / "kept").rglob("found-*"):
        file.write_bytes(bytes(255 - byte for byte in file.read_bytes()))
    for part in rows.parts:
        with pytest.raises(DataError, match="is damaged or gone"):
            rows.of(part, part.rows)
    for file in (tmp_path / "kept").rglob("found-*"):
        file.unlink()
    next((tmp_path / "kept").rglob("dealt-*")).write_bytes(b"")
    with pytest.raises(DataError, match="is damaged or gone"):
        rows.find(Local(1), False)


def test_other_rows_are_not_taken(tmp_path: Path) -> None:
    rows = rows_of(str(tmp_path), {"who": ["ann", "bob", "cyd"] * 5}, [15], dw.Owner(2))
    rows.find(Local(1), False)
    with pytest.raises(DataError, match="owners of other rows"):
        rows.of(rows.parts[0], rows.parts[0].rows + 1)


def test_an_owner_who_does_not_fit_is_told_without_a_name(tmp_path: Path) -> None:
    rows = rows_of(str(tmp_path), {"who": ["somebody"] * 50}, [50], dw.Owner(2), memory=5000)
    with pytest.raises(InputError, match="the rows of one owner take about") as told:
        rows.find(Local(1), False)
    assert "somebody" not in str(told.value)


def test_names_that_are_none_are_told_with_their_file(tmp_path: Path) -> None:
    rows = rows_of(str(tmp_path), {"who": ["ann"] * 5 + ["\t"]}, [3, 3], dw.Row())
    with pytest.raises(DataError, match=r"001\.parquet': 1 owner name is empty"):
        rows.find(Local(1), False)


def test_heaps_fit_in_the_memory(tmp_path: Path) -> None:
    rows = rows_of(str(tmp_path), {"who": ["ann"] * 40}, [40], dw.Row())
    assert [heaps_for(rows.source, parts, 10**9) for parts in (1, 5, 50)] == [1, 5, 16]
    assert heaps_for(rows.source, 1, 320) == 40
    assert heaps_for(rows.source, 1, 0) == 4096
