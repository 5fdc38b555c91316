"""Ready rows: declared, checked against what is public, and blind to private rows."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dataworth as dw
from dataworth.errors import DataError, MethodError
from dataworth.privacy.kinds import CappedCounts, DeclaredRelease
from dataworth.privacy.mechanisms import round_sigma_up
from dataworth.synthesis.protocol import Synthesizer
from dataworth.synthesis.ready import ReadyFile

ROWS = dw.Points([[0.5, 1.0], [1.5, 2.0], [2.5, 3.0]], ["ill", "well", "ill"])
ROW: dict[str, Any] = {"unit": dw.Row(), "relation": "add_or_remove"}


class Trap:
    """A source or a row that must not be touched."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked for")


class OnlyWide:
    """Private features of which nothing is known but how many columns there are."""

    @property
    def shape(self) -> tuple[Any, int]:
        return Trap(), 2


def ready(**changes: Any) -> ReadyFile:
    options = {"points": ROWS, "classes": ["ill", "well"], "epsilon": 2, "delta": "1e-6", "made_by": "a colleague"}
    return ReadyFile(**{**options, **changes})


def test_private_rows_are_never_looked_at() -> None:
    maker = ready()
    assert isinstance(maker, Synthesizer)
    events = maker.events(dw.Budget(3, 1e-5), **ROW)
    assert events == (DeclaredRelease(Decimal(2), Decimal("1e-6")),)
    made = maker.synthesize(OnlyWide(), Trap(), 2, events=events, source=Trap())  # type: ignore[arg-type]
    np.testing.assert_array_equal(made.x, ROWS.x)
    assert made.x.dtype == np.float32
    assert made.codes.tolist() == [0, 1, 0]


def test_what_was_declared_is_what_is_spent() -> None:
    maker = ready()
    assert maker.events(dw.Budget(2, "1e-6"), **ROW)
    for spend in (dw.Budget("1.999999999", "1e-6"), dw.Budget(2, "1e-7")):
        with pytest.raises(MethodError, match="have cost epsilon = 2"):
            maker.events(spend, **ROW)
    assert ready(delta=0.0).events(dw.Budget(2, "1e-18"), **ROW) == (DeclaredRelease(Decimal(2), Decimal(0)),)


def test_other_promises_are_refused() -> None:
    with pytest.raises(MethodError, match="not for one row, replace"):
        ready().events(dw.Budget(3, 1e-5), unit=dw.Row(), relation="replace")
    with pytest.raises(MethodError, match="not for one owner of at most 5 rows"):
        ready().events(dw.Budget(3, 1e-5), unit=dw.Owner(5), relation="add_or_remove")
    owners = ready(unit=dw.Owner(5), relation="replace")
    assert owners.events(dw.Budget(3, 1e-5), unit=dw.Owner(5), relation="replace")


@pytest.mark.parametrize("suffix", ["parquet", "npz"])
def test_files_are_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"made.{suffix}"
    if suffix == "npz":
        np.savez(path, x=ROWS.x, y=ROWS.y)
        maker = ready(points=path)
    else:
        pq.write_table(pa.table({"b": ROWS.x[:, 1], "kind": ROWS.y, "a": ROWS.x[:, 0]}), path)
        maker = ready(points=path, label="kind", features=["a", "b"])
    made = maker.synthesize(
        np.zeros((1, 2)), np.zeros(1, np.int64), 2, events=maker.events(dw.Budget(2, 1e-6), **ROW), source=Trap()
    )  # fmt: skip
    np.testing.assert_array_equal(made.x, ROWS.x)


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"epsilon": 0}, MethodError, "epsilon must be from"),
        ({"epsilon": 101}, MethodError, "epsilon must be from"),
        ({"delta": "much"}, MethodError, "delta must be a decimal number"),
        ({"delta": -1}, MethodError, "delta must be from"),
        ({"delta": True}, MethodError, "delta must be a number"),
        ({"made_by": ""}, MethodError, "made_by says"),
        ({"made_by": "a\nb"}, MethodError, "made_by says"),
        ({"classes": ["well", "ill"]}, MethodError, "ascending"),
        ({"classes": ["ill", "ill"]}, MethodError, "ascending"),
        ({"classes": ["ill", "odd"]}, DataError, "1 of 3 ready labels are none of the 2 classes"),
        ({"classes": [0, 1]}, DataError, "labels are <U4, but the classes int"),
        ({"points": "nowhere.parquet"}, DataError, "no file"),
    ],
)
def test_bad_input(changes: dict[str, Any], kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        ready(**changes)


def test_bad_files(tmp_path: Path) -> None:
    path = tmp_path / "made.parquet"
    pq.write_table(pa.table({"a": [1.0, 2.0], "kind": ["ill", "well"]}), path)
    with pytest.raises(DataError, match="label= must name"):
        ready(points=path)
    with pytest.raises(DataError, match="no column 'y'"):
        ready(points=path, label="y")
    with pytest.raises(DataError, match="needs a feature column"):
        ready(points=path, label="kind", features=["kind"])
    with pytest.raises(DataError, match="have missing features"):
        ready(points=dw.Points([[np.nan]], ["ill"], allow_missing=True))


def test_other_columns_classes_and_events_are_refused() -> None:
    maker = ready()
    events = maker.events(dw.Budget(2, 1e-6), **ROW)
    codes, source = np.zeros(1, np.int64), Trap()
    with pytest.raises(DataError, match="have 2 columns, and the private ones 3"):
        maker.synthesize(np.zeros((1, 3)), codes, 2, events=events, source=source)
    with pytest.raises(DataError, match="of 2 classes, and 3 are asked for"):
        maker.synthesize(np.zeros((1, 2)), codes, 3, events=events, source=source)
    other = [CappedCounts(round_sigma_up(2), 1)]
    with pytest.raises(MethodError, match="not the events"):
        maker.synthesize(np.zeros((1, 2)), codes, 2, events=other, source=source)
