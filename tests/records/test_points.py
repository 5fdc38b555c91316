"""Points: what they take, and what they refuse, without ever quoting a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

import dataworth as dw

X = [[0.0], [1.0]]


# -- labels that are classes -----------------------------------------------------------------------


@pytest.mark.parametrize("y", [["a", "b"], [0, 1], [False, True], [0.0, 1.0], np.array([3.0, -2.0], np.float32)])
def test_whole_numbers_and_names_are_classes(y: ArrayLike) -> None:
    points = dw.Points(X, y)
    assert points.has_classes
    assert "labels: " in repr(points)


def test_one_fraction_makes_a_numeric_target() -> None:
    points = dw.Points(X, [1.0, 0.5])
    assert not points.has_classes
    assert "numeric target" in repr(points)


# -- lists are taken at their word -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (["a", float("nan")], "missing in 1 of 2"),
        (["a", None], "missing in 1 of 2"),
        ([1, None], "missing in 1 of 2"),
        ([1, np.float32("nan")], "missing in 1 of 2"),
        ([1, "a"], "mixes strings"),
        (["a", b"b"], "mixes strings"),
        (np.array([1, "a"], dtype=object), "mixes strings"),
        (np.array(["a", np.nan], dtype=np.dtypes.StringDType(na_object=np.nan)), "missing in 1 of 2"),
        ([2**64, 1], "neither int64 nor uint64"),
        ([2**63, -1], "neither int64 nor uint64"),
        ([object(), object()], "not object objects"),
        ([[1], [2, 3]], "not list objects"),
        ([[1], [2]], r"shape \(2, 1\)"),
        ([b"caf\xc3\xa9", b"tea"], "not ASCII"),
        (np.array([b"caf\xc3\xa9", b"tea"]), "not ASCII"),
        (np.ma.masked_array([1, 2], [False, True]), "masked entries in 1 rows"),
        ([1, np.ma.masked], "masked entries in 1 rows"),
    ],
)
def test_labels_and_names_that_numpy_would_change_are_refused(y: ArrayLike, said: str) -> None:
    with pytest.raises(dw.DataError, match=said):
        dw.Points(X, y)
    with pytest.raises(dw.DataError, match=said):
        dw.Points(X, [0, 1], ids=y)
    with pytest.raises(dw.DataError, match=said):
        dw.Points(X, [0, 1], owners=y)


@pytest.mark.parametrize("entries", [[2**63, 1], [2**64 - 1, 2**63], [np.int64(5), 2**63], [-1, 2**62], [True, 7]])
def test_integers_of_any_size_stay_integers(entries: list[int]) -> None:
    points = dw.Points(X, entries, ids=entries, owners=entries)
    for array in (points.y, points.ids, points.owners):
        assert array is not None
        assert array.dtype.kind in "iu"
        assert array.tolist() == entries


@pytest.mark.parametrize(
    ("y", "kind"),
    [
        ([True, False], "b"),
        ([0.5, 2], "f"),
        ([b"a", b"b"], "U"),
        (("a", "b"), "U"),
        (range(2), "i"),
        (np.array([True, False], object), "b"),
        (np.array(["a", "b"], np.dtypes.StringDType()), "U"),
        (np.ma.masked_array([1, 2]), "i"),
    ],
)
def test_labels_of_one_kind_keep_it(y: ArrayLike, kind: str) -> None:
    points = dw.Points(X, y)
    assert points.y.dtype.kind == kind
    assert points.y.tolist() == [e.decode() if isinstance(e, bytes) else e for e in list(y)]  # type: ignore[arg-type]


@pytest.mark.parametrize("wrap", [lambda x: x, list], ids=["array", "list of arrays"])
def test_masked_features_are_refused(wrap: Callable[[NDArray[Any]], ArrayLike]) -> None:
    x = np.ma.masked_array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [[False, False], [True, True], [False, True]])
    with pytest.raises(dw.DataError, match="x has masked entries in 2 rows"):
        dw.Points(wrap(x), [0, 1, 0])


def test_ragged_features_are_refused_in_our_own_words() -> None:
    with pytest.raises(dw.DataError, match=r"it is ragged$"):
        dw.Points([[1.0, 2.0], [3.0]], [0, 1])


# -- gaps, where a release allows them ---------------------------------------------------------------


def test_missing_features_are_counted_where_allowed() -> None:
    x = [[0.0, 1.0], [np.nan, 1.0], [np.inf, np.nan]]
    with pytest.raises(dw.DataError, match="2 of 3 rows hold NaN or infinity"):
        dw.Points(x, [0, 1, 0])
    points = dw.Points(x, [0, 1, 0], allow_missing=True)
    assert points.missing == 2
    assert (points.take([1, 2]).missing, points.take([0]).missing) == (2, 0)
    assert dw.Points(x[:1], [0], allow_missing=True).missing == 0


@pytest.mark.parametrize("which", ["train", "validation"])
def test_only_a_release_takes_missing_features(which: str) -> None:
    holed = dw.Points([[0.0], [np.nan]], [0, 1], allow_missing=True)
    whole = dw.Points([[0.0], [1.0]], [0, 1])
    pair = (holed, whole) if which == "train" else (whole, holed)
    with pytest.raises(dw.DataError, match="NaN or infinity"):
        dw.value_points(*pair, method=dw.ThresholdKNNShapley(radius=0.5, metric="euclidean"))
