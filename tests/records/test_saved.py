"""Files of values and of shares are told apart by what they say they hold."""

from __future__ import annotations

from pathlib import Path

import pytest

import dataworth as dw
from dataworth.errors import DataError
from dataworth.records.saved import load_saved
from tests.made_shares import made


def test_each_is_read_as_what_it_is(tmp_path: Path) -> None:
    values = dw.Values(["a"], [1.0], method="by hand", n_validation=1).save(tmp_path / "values.parquet")
    shares = made().save(tmp_path / "shares.parquet")
    assert isinstance(load_saved(values), dw.Values)
    assert isinstance(load_saved(shares), dw.Shares)


def test_what_is_neither(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        load_saved(tmp_path / "nowhere.parquet")
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        load_saved(tmp_path / "text.parquet")
