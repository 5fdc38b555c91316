"""Feature columns with gaps: an error by default, NaN where a release allows it, and nothing else changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataworth.data.columns import numbers_of
from dataworth.errors import DataError

_KINDS: list[Any] = [
    pa.bool_(), pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64(),
    pa.float32(), pa.float64(), pa.decimal128(25, 3),
]  # fmt: skip


@pytest.mark.parametrize("kind", _KINDS, ids=str)
@given(gaps=st.lists(st.booleans(), min_size=4, max_size=4))
def test_a_gap_changes_no_other_row(kind: Any, gaps: list[bool]) -> None:
    """Not even the number type, on which the last digit of a distance may depend."""
    full = pa.array([1, 0, 1, 1], pa.int64()).cast(kind)
    holed = pa.array([None if gap else cell.as_py() for gap, cell in zip(gaps, full, strict=True)], kind)
    whole, names = numbers_of(pa.table({"a": full, "b": full}), ["a", "b"], allow_missing=True)
    x, _ = numbers_of(pa.table({"a": holed, "b": full}), ["a", "b"], allow_missing=True)
    assert x.dtype == whole.dtype
    assert names == ["a", "b"]
    np.testing.assert_array_equal(np.isnan(x[:, 0]), gaps)
    np.testing.assert_array_equal(x[~np.array(gaps)], whole[~np.array(gaps)])
    np.testing.assert_array_equal(x[:, 1], whole[:, 1])


def test_large_integers_beside_a_gap() -> None:
    x, _ = numbers_of(pa.table({"a": pa.array([2**60 + 1, None], pa.int64())}), ["a"], allow_missing=True)
    assert x[0, 0] == float(2**60 + 1)
    assert np.isnan(x[1, 0])


def test_nan_and_infinity_stay() -> None:
    x, _ = numbers_of(pa.table({"a": [np.nan, np.inf, 1.0]}), ["a"], allow_missing=True)
    np.testing.assert_array_equal(x, [[np.nan], [np.inf], [1.0]])


def test_a_column_of_nothing() -> None:
    x, _ = numbers_of(pa.table({"a": pa.nulls(2), "b": [1.0, 2.0]}), ["a", "b"], allow_missing=True)
    np.testing.assert_array_equal(x, [[np.nan, 1.0], [np.nan, 2.0]])


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), 2), pa.large_list(pa.float64())])
def test_lists_with_gaps(kind: Any) -> None:
    table = pa.table({"e": pa.array([[1.0, 2.0], None, [None, 4.0]], kind)})
    x, names = numbers_of(table, ["e"], allow_missing=True)
    np.testing.assert_array_equal(x, [[1, 2], [np.nan, np.nan], [np.nan, 4]])
    assert x.dtype == ("float64" if pa.types.is_large_list(kind) else "float32")
    assert names is None


@pytest.mark.parametrize("kind", [pa.int16(), pa.int64(), pa.bool_()])
def test_lists_of_whole_numbers_with_a_gap(kind: Any) -> None:
    full = pa.array([[1, 0], [1, 1]], pa.list_(pa.int64())).cast(pa.list_(kind))
    holed = pa.array([full[0].as_py(), None], pa.list_(kind))
    one = pa.table({"e": full, "b": [1.0, 2.0]})
    other = pa.table({"e": holed, "b": [1.0, 2.0]})
    whole, _ = numbers_of(one, ["e", "b"], allow_missing=True)
    x, _ = numbers_of(other, ["e", "b"], allow_missing=True)
    assert x.dtype == whole.dtype
    np.testing.assert_array_equal(x, [whole[0], [np.nan, np.nan, 2.0]])


def test_tensors_with_gaps() -> None:
    kind = pa.fixed_shape_tensor(pa.float32(), [2])
    storage = pa.array([[1.0, 2.0], None], kind.storage_type)
    table = pa.table({"t": pa.ExtensionArray.from_storage(kind, storage)})
    x, _ = numbers_of(table, ["t"], allow_missing=True)
    np.testing.assert_array_equal(x, [[1, 2], [np.nan, np.nan]])


def test_gaps_are_refused_unless_allowed() -> None:
    for column in ([1.0, None], [1.0, np.nan], [1.0, -np.inf], [[1.0], None]):
        with pytest.raises(DataError, match="in 1 of 2 rows"):
            numbers_of(pa.table({"a": column}), ["a"])


def test_what_is_no_number_is_refused_all_the_same() -> None:
    with pytest.raises(DataError, match="must be numbers"):
        numbers_of(pa.table({"a": ["x", None]}), ["a"], allow_missing=True)
    with pytest.raises(DataError, match="ragged"):
        numbers_of(pa.table({"a": [[1.0], [1.0, 2.0], None]}), ["a"], allow_missing=True)
    with pytest.raises(DataError, match="no list in any row"):
        numbers_of(pa.table({"a": pa.nulls(2, pa.list_(pa.float32()))}), ["a"], allow_missing=True)
