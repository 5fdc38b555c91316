"""Items: what a set of them holds, what it refuses, and that parts of it stay together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import dataworth as dw
from dataworth.records.items import is_pixels

X = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
STACK = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


def test_vectors_with_all_their_parts() -> None:
    items = dw.Items(X, ids=["a", "b", "c"], owners=[7, 8, 7], labels=["cat", "dog", "cat"], skipped=["d"])
    assert (items.kind, len(items), items.content) == ("vectors", 3, None)
    assert repr(items) == "Items(3 vectors, 2 numbers each, 2 classes, 2 owners, 1 skipped)"
    assert items.skipped == ("d",)


def test_items_are_numbered_unless_named() -> None:
    assert dw.Items(X).ids.tolist() == [0, 1, 2]
    assert repr(dw.Items(texts=["a"])) == "Items(1 texts)"


def test_nothing_can_be_written_through() -> None:
    stack = STACK.copy()
    items = dw.Items(X, images=stack, ids=[1, 2, 3], owners=[1, 2, 3], labels=[1, 2, 3])
    assert items.content is not None
    arrays: list[Any] = [items.x, items.ids, items.owners, items.labels, items.content[0]]
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    stack[0] = 9  # the caller's own array stays as it was


@pytest.mark.parametrize(
    "images",
    [
        STACK,
        np.stack([STACK] * 3, axis=3),
        STACK[..., None],
        list(STACK),
        [STACK[0], STACK[0, :, :3], np.zeros((9, 8, 3), np.uint8)],
        [Path("a.png"), Path("b.png"), Path("c.png")],
        ["a.png", "b.png", "c.png"],
        np.array(["a.png", "b.png", "c.png"]),
        [b"a", b"b", b"c"],
        [b"a", Path("b.png"), STACK[0]],
    ],
    ids=lambda images: f"{type(images).__name__} {getattr(images, 'shape', '')}",
)
def test_images_come_in_many_forms(images: Any) -> None:
    items = dw.Items(images=images)
    assert (items.kind, len(items)) == ("images", 3)
    assert items.content is not None
    assert all(isinstance(entry, (Path, bytes, np.ndarray)) for entry in items.content)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "need vectors .x=., images= or texts="),
        ({"images": ["a.png"], "texts": ["a"]}, "images or texts, not both"),
        ({"images": "a.png"}, "given as a list, one entry an item, not as one str"),
        ({"images": b"a"}, "not as one bytes"),
        ({"texts": "a"}, "not as one str"),
        ({"images": []}, "there are no images: the list is empty"),
        ({"images": np.zeros((0, 4, 5), np.uint8)}, "there are no images: the list is empty"),
        ({"texts": []}, "there are no texts"),
        ({"texts": ["a", None, 3]}, "2 of 3 texts are missing or no strings"),
        ({"images": ["a.png", None]}, "1 of 2 images are missing or no paths"),
        (
            {"images": [STACK[0], STACK[0] / 255]},
            r"1 of 2 images are no uint8 arrays .* image 1: float64, shape \(4, 5",
        ),
        ({"images": [np.zeros((4, 5, 4), np.uint8)]}, r"the first is image 0: uint8, shape \(4, 5, 4\)"),
        ({"images": [np.zeros((0, 5), np.uint8)]}, r"shape \(0, 5\)"),
        ({"images": STACK / 255}, r"not float64 of shape \(3, 4, 5\); make numbers from 0 to 1 whole"),
        ({"images": np.zeros((2, 3, 8, 8), np.uint8)}, r"channels come last: images\.transpose\(0, 2, 3, 1\)"),
        ({"images": np.zeros((2, 8, 8, 4), np.uint8)}, "leave out their fourth channel"),
        ({"images": np.zeros((8, 8, 3), np.uint8)}, r"looks like one colour image.* images\[numpy\.newaxis\]"),
        ({"images": np.zeros((8, 8), np.uint8)}, r"not uint8 of shape \(8, 8\)$"),
        ({"images": np.zeros((2, 8, 8), np.int64)}, r"not int64 of shape \(2, 8, 8\)$"),
        ({"images": np.zeros((2, 8, 8, 2), np.uint8)}, r"not uint8 of shape \(2, 8, 8, 2\)$"),
        ({"x": X, "images": ["a.png"]}, "there are 1 images, but x has 3 rows"),
        ({"x": X, "texts": ["a"]}, "there are 1 texts, but x has 3 rows"),
        ({"x": [[np.nan, 1.0], [1.0, 2.0]]}, "1 of 2 vectors hold NaN or infinity"),
        ({"x": [1.0, 2.0]}, "two dimensions"),
        ({"x": X, "ids": ["a", "a", "b"]}, "1 of 3 items repeat an id"),
        ({"x": X, "ids": ["a", "b"]}, "ids must have one entry for each of the 3 rows"),
        ({"x": X, "ids": ["a", None, "b"]}, "ids is missing in 1 of 3 rows"),
        ({"x": X, "owners": [0.5, 1.5, 2.5]}, "owners must be integers or strings"),
        ({"x": X, "labels": [0.5, 1.5, 2.5]}, "labels must be 3 strings, integers or bools"),
        ({"x": X, "labels": [1, 2]}, "labels must be 3 strings"),
    ],
)
def test_what_cannot_be_a_set_of_items(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(dw.InputError, match=message):
        dw.Items(**arguments)


def everything(n: int) -> dw.Items:
    names = [f"i{at}" for at in range(n)]
    return dw.Items(np.arange(2 * n).reshape(n, 2), texts=names, ids=names, owners=np.arange(n), labels=names)


@given(st.data())
def test_parts_stay_together(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 9))
    at = data.draw(st.lists(st.integers(0, n - 1), min_size=1, unique=True))
    mask = np.isin(np.arange(n), at)
    for which, expected in ((at, at), (np.array(at) - n, at), (mask, sorted(at)), (mask.tolist(), sorted(at))):
        taken = everything(n).take(which)
        assert taken.x is not None
        assert taken.owners is not None
        assert taken.labels is not None
        assert taken.x[:, 0].tolist() == [2 * i for i in expected]
        assert taken.owners.tolist() == expected
        names = [f"i{i}" for i in expected]
        assert taken.ids.tolist() == taken.labels.tolist() == list(taken.content or ()) == names


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ([], "none of the items is taken"),
        (np.zeros(3, bool), "none of the items is taken"),
        (np.ones(2, bool), "a mask of 3 bools, not bool of shape"),
        ([0.0], "positions are integers"),
        ([[0]], r"not int64 of shape \(1, 1\)"),
        ([0, 3, -4], "positions run from 0 to 2, but 2 of those given do not"),
        ([1, 1], "1 of 2 items repeat an id"),
    ],
)
def test_what_cannot_be_taken(which: Any, message: str) -> None:
    with pytest.raises(dw.InputError, match=message):
        everything(3).take(which)


def test_vectors_are_added_to_what_is_there() -> None:
    items = dw.Items(images=STACK, ids=["a", "b", "c"], owners=[1, 2, 2], labels=[0, 1, 0], skipped=["d"])
    with_x = items.with_vectors(X)
    assert repr(with_x) == "Items(3 images, 2 numbers each, 2 classes, 2 owners, 1 skipped)"
    np.testing.assert_array_equal(with_x.x, X)
    assert with_x.content is not None
    np.testing.assert_array_equal(with_x.content[1], STACK[1])
    with pytest.raises(dw.DataError, match="there are 3 images, but x has 2 rows"):
        items.with_vectors(X[:2])


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (STACK[0], True),
        (STACK[0][..., None], True),
        (np.zeros((4, 5, 3), np.uint8), True),
        (np.zeros((4, 5, 2), np.uint8), False),
        (np.zeros((4, 5, 3), np.int8), False),
        (np.zeros((4, 0), np.uint8), False),
        (np.zeros(4, np.uint8), False),
    ],
)
def test_what_pixels_are(array: NDArray[Any], expected: bool) -> None:
    assert is_pixels(array) is expected
