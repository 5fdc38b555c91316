"""From any source to items: the same items however they come, and nothing unusable gets in unnoticed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pyarrow import csv

import dataworth as dw
from dataworth.data.images import encoded, read_image

COLOURS = [np.full((4, 5, 3), 255 * np.eye(3, dtype=np.uint8)[channel]) for channel in range(3)]
FILES = [encoded(pixels) for pixels in COLOURS]
VECTORS = np.arange(6, dtype=np.float32).reshape(3, 2)


def colour(batch: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
    return np.array([image.mean((0, 1)) for image in batch])


def lengths(batch: list[str]) -> NDArray[np.float64]:
    return np.array([[1.0, len(text)] for text in batch])


def pixels_of(items: dw.Items) -> list[NDArray[np.uint8]]:
    assert items.kind == "images"
    assert items.content is not None
    return [read_image(at, entry) for at, entry in enumerate(items.content)]


def in_folder(root: Path, *names: str) -> Path:
    for at, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(FILES[at % 3])
    return root


# -- folders -------------------------------------------------------------------------------------


def test_a_folder_of_images_at_any_depth(tmp_path: Path) -> None:
    in_folder(tmp_path, "b/2.png", "a.png", "b/c/1.PNG", ".hidden/4.png", "b/.5.png")
    items = dw.read_items(str(tmp_path))
    assert items.ids.tolist() == ["a.png", "b/2.png", "b/c/1.PNG"]
    assert items.content == (tmp_path / "a.png", tmp_path / "b/2.png", tmp_path / "b/c/1.PNG")
    assert (items.owners, items.labels, items.x, items.skipped) == (None, None, None, ())


@pytest.mark.parametrize("asked", [("owner",), ("label",), ("owner", "label")])
def test_sub_folders_are_owners_or_labels_as_asked(asked: tuple[str, ...], tmp_path: Path) -> None:
    in_folder(tmp_path, "cat/2.png", "cat/x/1.png", "dog/1.png")
    parts: Any = dict.fromkeys(asked, "folder")
    items = dw.read_items(tmp_path, **parts)
    for part, values in (("owner", items.owners), ("label", items.labels)):
        assert (None if values is None else values.tolist()) == (["cat", "cat", "dog"] if part in asked else None)


def test_mixed_sizes_modes_and_formats_are_items(tmp_path: Path) -> None:
    sizes = [(3, 3), (9, 2), (64, 48), (1, 1)]
    modes = ["RGB", "L", "CMYK", "1"]
    for at, (size, mode, kind) in enumerate(zip(sizes, modes, ["BMP", "WEBP", "JPEG", "TIFF"], strict=True)):
        Image.new(mode, size).save(tmp_path / f"{at}.{kind.lower()}", kind)
    items = dw.embed_items(dw.read_items(tmp_path), lambda batch: [[image.size, 1] for image in batch])
    assert items.x is not None
    assert (items.x[:, 0] / items.x[:, 1]).round().tolist() == [3 * w * h for w, h in sizes]


BAD: dict[str, tuple[bytes, str]] = {
    "empty.png": (b"", r"is empty \(0 bytes\)"),
    "half.png": (FILES[0][: len(FILES[0]) // 2], "cannot be decoded"),
    "page.jpg": (b"<html>not found</html>", "cannot be decoded"),
    "labels.csv": (b"a,b", "is no image by its name"),
}


@pytest.mark.parametrize("name", BAD)
def test_one_bad_file_of_any_kind_is_refused_or_left_out(name: str, tmp_path: Path) -> None:
    in_folder(tmp_path, "a/1.png", "a/2.png", "b/3.png")
    raw, message = BAD[name]
    (tmp_path / "a" / name).write_bytes(raw)
    with pytest.raises(
        dw.DataError, match=rf"1 of 4 (images|files) cannot be used: .*{name}' {message}.*skip_bad=True"
    ):
        dw.read_items(tmp_path)
    items = dw.read_items(tmp_path, label="folder", skip_bad=True)
    assert items.ids.tolist() == ["a/1.png", "a/2.png", "b/3.png"]
    assert items.labels is not None
    assert items.labels.tolist() == ["a", "a", "b"]
    assert items.skipped == (f"a/{name}",)


def test_many_bad_files_are_counted_and_the_first_named(tmp_path: Path) -> None:
    in_folder(tmp_path, "good.png")
    for at in range(7):
        (tmp_path / f"{at}.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(dw.DataError, match="8 of 9 files cannot be used") as caught:
        dw.read_items(tmp_path)
    message = str(caught.value)
    assert [f"{at}.png" in message for at in range(7)] == [True] * 3 + [False] * 4
    assert "and 5 more" in message
    items = dw.read_items(tmp_path, skip_bad=True)
    assert items.skipped == (*(f"{at}.png" for at in range(7)), "notes.txt")
    assert repr(items) == "Items(1 images, 8 skipped)"


def test_a_bomb_is_found_with_the_others(tmp_path: Path) -> None:
    in_folder(tmp_path, "good.png")
    (tmp_path / "bomb.ppm").write_bytes(b"P6 60000 60000 255\n\0")
    with pytest.raises(dw.DataError, match=r"1 of 2 images cannot be used: .*bomb\.ppm' is too large to decode safely"):
        dw.read_items(tmp_path)


def test_broken_links_and_names_that_are_no_text(tmp_path: Path) -> None:
    in_folder(tmp_path, "good.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9t\xe9.png")).write_bytes(FILES[0])
    with pytest.raises(
        dw.DataError, match=r"2 of 3 images .*link\.png' cannot be opened.*'\\\\udce9t.*not valid UTF-8"
    ):
        dw.read_items(tmp_path)
    items = dw.read_items(tmp_path, skip_bad=True)
    assert items.skipped == ("link.png", r"\udce9t\udce9.png")
    assert all(name.encode() for name in items.skipped)


def test_a_folder_of_bad_images_alone_is_an_error_even_if_bad_ones_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"")
    (tmp_path / "2.png").write_bytes(b"no")
    with pytest.raises(dw.DataError, match=r"none of the 2 images can be used: .*1\.png' is empty"):
        dw.read_items(tmp_path, skip_bad=True)


@pytest.mark.parametrize(
    ("names", "arguments", "message"),
    [
        ([], {}, "there is no image in"),
        (["notes.txt"], {"skip_bad": True}, "there is no image in"),
        (["a.png"], {"column": "image"}, "has no columns: leave out column="),
        (["a.png"], {"id": "folder", "label": "class"}, "leave out id=, label=; owner='folder' or label='folder'"),
        (["a.png", "b/1.png"], {"owner": "folder"}, "1 of 2 images in .* lie in no sub-folder, so owner='folder' says"),
    ],
)
def test_a_folder_that_cannot_be_used(names: list[str], arguments: Any, message: str, tmp_path: Path) -> None:
    in_folder(tmp_path, *names)
    with pytest.raises(dw.InputError, match=message):
        dw.read_items(tmp_path, **arguments)


# -- tables --------------------------------------------------------------------------------------


def stored(kind: str, table: pa.Table, folder: Path) -> Any:
    pq.write_table(table, folder / "t.parquet")
    if kind == "csv":
        csv.write_csv(table, folder / "t.csv")
    if kind == "arrow":
        with pa.ipc.new_file(folder / "t.arrow", table.schema) as file:
            file.write_table(table)
    return {
        "parquet": str(folder / "t.parquet"),
        "csv": folder / "t.csv",
        "arrow": folder / "t.arrow",
        "table": table,
        "pandas": table.to_pandas(),
        "polars": pl.from_arrow(table),
        "lazy": pl.scan_parquet(folder / "t.parquet"),
    }[kind]


@pytest.mark.parametrize("kind", ["parquet", "csv", "arrow", "table", "pandas", "polars", "lazy"])
def test_texts_with_their_parts_from_any_table(kind: str, tmp_path: Path) -> None:
    table = pa.table({"nr": [7, 8, 9], "text": ["a", "bb", "ccc"], "who": ["n", "s", "n"], "kind": [1, 0, 1]})
    items = dw.read_items(stored(kind, table, tmp_path), column="text", id="nr", owner="who", label="kind")
    assert (items.kind, items.content) == ("texts", ("a", "bb", "ccc"))
    assert items.ids.tolist() == [7, 8, 9]
    assert items.owners is not None
    assert items.labels is not None
    assert (items.owners.tolist(), items.labels.tolist()) == (["n", "s", "n"], [1, 0, 1])
    without = dw.read_items(stored(kind, table.select(["nr", "text"]), tmp_path), id="nr")
    assert without.content == items.content  # the only column left needs no naming


IMAGES: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda folder: pa.array(FILES),
    "structs of bytes": lambda folder: pa.array([{"bytes": raw, "path": f"{at}.png"} for at, raw in enumerate(FILES)]),
    "structs of paths": lambda folder: pa.array([{"bytes": None, "path": f"{at}.png"} for at in range(3)]),
    "relative paths": lambda folder: pa.array([f"{at}.png" for at in range(3)]),
    "absolute paths": lambda folder: pa.array([str(folder / f"{at}.png") for at in range(3)]).dictionary_encode(),
    "pixels": lambda folder: pa.FixedShapeTensorArray.from_numpy_ndarray(np.stack(COLOURS)),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_images_of_a_column(kind: str, tmp_path: Path) -> None:
    in_folder(tmp_path, "0.png", "1.png", "2.png")
    pq.write_table(pa.table({"image": IMAGES[kind](tmp_path)}), tmp_path / "t.parquet")
    items = dw.read_items(tmp_path / "t.parquet")
    np.testing.assert_array_equal(pixels_of(items), COLOURS)
    assert items.ids.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(VECTORS.tolist(), pa.list_(pa.float32())),
        pa.array(VECTORS.tolist(), pa.large_list(pa.float64())),
        pa.array(VECTORS.tolist(), pa.list_(pa.float32(), 2)),
        pa.FixedShapeTensorArray.from_numpy_ndarray(VECTORS),
    ],
    ids=lambda column: str(column.type),
)
def test_a_stored_embedding_is_vectors(column: Any, tmp_path: Path) -> None:
    pq.write_table(pa.table({"e": column, "who": ["a", "b", "a"]}), tmp_path / "t.parquet")
    items = dw.read_items(tmp_path / "t.parquet", owner="who")
    assert items.kind == "vectors"
    np.testing.assert_array_equal(items.x, VECTORS)


def test_names_in_a_csv_stay_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,text\n007,a\n008,b\n")
    assert dw.read_items(tmp_path / "t.csv", id="id").ids.tolist() == ["007", "008"]


@pytest.mark.parametrize(
    ("column", "message", "left"),
    [
        (["a", None, "c"], "1 of 3 texts cannot be used: item 1 is missing", ["a", "c"]),
        ([FILES[0], None, FILES[2]], "1 of 3 images cannot be used: item 1 is missing", [FILES[0], FILES[2]]),
        ([FILES[0], b"", FILES[2]], r"1 of 3 images cannot be used: image 1 is empty", [FILES[0], FILES[2]]),
        (
            [{"bytes": FILES[0], "path": None}, {"bytes": None, "path": None}, None],
            "2 of 3 images cannot be used: item 1 is missing; item 2 is missing",
            [FILES[0]],
        ),
        ([[0.0, 1.0], None, [np.nan, 1.0]], "2 of 3 vectors .*: item 1 is missing or holds NaN", [[0.0, 1.0]]),
        ([[0.0, 1.0], [np.inf, 2.0], [1.0, 1.0]], "1 of 3 vectors .*: item 1 is missing or", [[0.0, 1.0], [1.0, 1.0]]),
    ],
    ids=["texts", "bytes", "empty bytes", "structs", "vectors missing", "vectors infinite"],
)
def test_bad_rows_are_refused_or_left_out(column: list[Any], message: str, left: list[Any]) -> None:
    table = pa.table({"item": column, "who": ["a", "b", "c"]})
    with pytest.raises(dw.DataError, match=message):
        dw.read_items(table, owner="who")
    items = dw.read_items(table, owner="who", skip_bad=True)
    kept = items.x.tolist() if items.x is not None else list(items.content or ())
    assert kept == left
    assert items.owners is not None
    assert items.owners.tolist() == [["a", "b", "c"][at] for at in items.ids]  # numbered as they lie in the table
    assert items.skipped == tuple(f"item {at}" for at in range(3) if at not in items.ids)
    named = dw.read_items(table, id="who", skip_bad=True)
    assert set(named.skipped) | set(named.ids.tolist()) == {"a", "b", "c"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(good=st.lists(st.booleans(), min_size=1, max_size=8), in_table=st.booleans())
def test_whatever_is_bad_the_rest_stays_together(good: list[bool], in_table: bool) -> None:
    """Left out or not, an item keeps its own id, owner and content."""
    raw = [FILES[at % 3] if fine else b"no image" for at, fine in enumerate(good)]
    names = [f"i{at}" for at in range(len(good))]
    source: Any = {"x": raw, "ids": names, "owners": names}
    if in_table:
        source = pa.table({"x": raw, "ids": names, "owners": names})
    arguments: Any = {"id": "ids", "owner": "owners"} if in_table else {}
    if not any(good):
        with pytest.raises(dw.DataError, match=f"none of the {len(good)} images can be used"):
            dw.read_items(source, skip_bad=True, **arguments)
        return
    items = dw.read_items(source, skip_bad=True, **arguments)
    expected = [at for at, fine in enumerate(good) if fine]
    assert items.ids.tolist() == [names[at] for at in expected]
    assert items.owners is not None
    assert items.owners.tolist() == items.ids.tolist()
    assert items.content == tuple(raw[at] for at in expected)
    assert items.skipped == tuple(names[at] for at, fine in enumerate(good) if not fine)
    if all(good):
        assert dw.read_items(source, **arguments).content == items.content
    else:
        with pytest.raises(dw.DataError, match=f"{good.count(False)} of {len(good)} images"):
            dw.read_items(source, **arguments)


@pytest.mark.parametrize(
    ("source", "arguments", "message"),
    [
        (pa.table({"a": ["x"], "b": ["y"]}), {}, "column= must name the column of items; the given Table has 'a', 'b'"),
        (pa.table({"a": ["x"], "b": ["y"]}), {"column": "c"}, r"has no column 'c' \(column=\); it has 'a', 'b'"),
        (pa.table({"a": ["x"], "b": ["y"]}), {"owner": "c"}, r"has no column 'c' \(owner=\)"),
        (pa.table({"a": ["x"]}), {"owner": "a"}, "the given Table has none left"),
        (pa.table({"a": ["x"]}), {"column": "a", "id": "a"}, "'a', is named as id=, owner= or label= too"),
        (pa.table({"a": pa.array([], pa.string())}), {}, "has no rows"),
        (pa.table({"a": [1.0, 2.0]}), {}, "column 'a' holds double; images are bytes"),
        (pa.table({"a": [[[1, 2], [3, 4]]]}), {}, "column 'a' holds list<"),
        (pa.table({"a": [[1.0], [1.0, 2.0]]}), {}, "'a' is ragged"),
        (pa.table({"a": pa.nulls(2)}), {"skip_bad": True}, "none of the 2 texts can be used: item 0 is missing"),
        (pa.table({"a": ["1.png", "2.png", "none"]}), {}, "2 of 3 strings in 'a' end like names of image files, so it"),
        (pa.table({"a": ["x", "y"], "i": [1, 1]}), {"id": "i"}, "1 of 2 items repeat an id"),
        (pa.table({"a": ["x", "y"], "i": [1, None]}), {"owner": "i"}, "owner column 'i' is missing in 1 of 2 rows"),
        (pa.table({"a": ["x", "y"], "i": [1.5, 2.5]}), {"label": "i"}, "labels must be 2 strings, integers or bools"),
    ],
)
def test_a_table_that_cannot_be_used(source: Any, arguments: Any, message: str) -> None:
    with pytest.raises(dw.InputError, match=message):
        dw.read_items(source, **arguments)


def test_missing_files_of_a_table_are_named(tmp_path: Path) -> None:
    in_folder(tmp_path, "0.png")
    pq.write_table(pa.table({"file": ["0.png", "gone.png"]}), tmp_path / "t.parquet")
    with pytest.raises(dw.DataError, match=r"1 of 2 images cannot be used: image '.*gone\.png' cannot be opened"):
        dw.read_items(tmp_path / "t.parquet")
    assert dw.read_items(tmp_path / "t.parquet", skip_bad=True).skipped == (str(tmp_path / "gone.png"),)


def test_some_texts_may_end_like_a_file() -> None:
    assert dw.read_items(pa.table({"t": ["see a.png", "two", "three"]})).kind == "texts"


# -- arrays by name ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dictionary", "npz"])
@pytest.mark.parametrize("content", ["vectors", "grey", "colour", "texts"])
def test_arrays_by_name_need_no_columns_named(kind: str, content: str, tmp_path: Path) -> None:
    x: Any = {
        "vectors": VECTORS,
        "grey": np.stack(COLOURS)[..., 0],
        "colour": np.stack(COLOURS),
        "texts": np.array(["a", "b", "c"]),
    }[content]
    arrays = {"x": x, "ids": np.array(["p", "q", "r"]), "owners": np.array([1, 2, 1]), "y": np.array([0, 1, 0])}
    np.savez(tmp_path / "t.npz", **arrays, extra=np.zeros(99))
    items = dw.read_items(arrays if kind == "dictionary" else tmp_path / "t.npz")
    assert items.owners is not None
    assert items.labels is not None
    assert (items.ids.tolist(), items.owners.tolist(), items.labels.tolist()) == (["p", "q", "r"], [1, 2, 1], [0, 1, 0])
    if content == "vectors":
        np.testing.assert_array_equal(items.x, VECTORS)
    elif content == "texts":
        assert items.content == ("a", "b", "c")
    else:
        expected = [read_image(at, image) for at, image in enumerate(x)]
        np.testing.assert_array_equal(pixels_of(items), expected)


def test_a_dictionary_holds_what_no_table_can() -> None:
    mixed = [COLOURS[0], COLOURS[1][:2], FILES[2], Image.fromarray(COLOURS[0])]
    items = dw.read_items({"picture": mixed, "nr": [4, 5, 6, 7]}, id="nr")
    assert [pixels.shape for pixels in pixels_of(items)] == [(4, 5, 3), (2, 5, 3), (4, 5, 3), (4, 5, 3)]
    # Bytes of image files may end in zeros, which an array of bytes would drop.
    assert dw.read_items({"x": [FILES[0] + b"\0\0"]}).content == (FILES[0] + b"\0\0",)


def test_names_of_another_length_are_refused() -> None:
    with pytest.raises(dw.DataError, match=r"'ids' must have one entry for each of 3 items, not shape \(2,\) \(id=\)"):
        dw.read_items({"x": VECTORS, "ids": [1, 2]})


# -- lists and arrays ----------------------------------------------------------------------------


def test_an_array_is_vectors_or_images(tmp_path: Path) -> None:
    assert dw.read_items(VECTORS).kind == "vectors"
    assert dw.read_items(VECTORS.astype(np.uint8)).kind == "vectors"
    np.testing.assert_array_equal(pixels_of(dw.read_items(np.stack(COLOURS))), COLOURS)
    assert len(dw.read_items(np.zeros((3, 8, 8), np.uint8))) == 3
    np.save(tmp_path / "x.npy", VECTORS)
    np.testing.assert_array_equal(dw.read_items(tmp_path / "x.npy").x, VECTORS)


@pytest.mark.parametrize("column", [pa.array, pd.Series, pl.Series, pa.chunked_array, list, tuple, iter, np.array])
def test_texts_come_in_any_sequence(column: Any) -> None:
    given = [["a", "b"], ["c"]] if column is pa.chunked_array else ["a", "b", "c"]
    items = dw.read_items(column(given))
    assert (items.kind, items.content) == ("texts", ("a", "b", "c"))


def test_images_come_in_lists(tmp_path: Path) -> None:
    in_folder(tmp_path, "0.png")
    mixed: list[Any] = [tmp_path / "0.png", FILES[1], COLOURS[2], bytearray(FILES[0]), memoryview(FILES[1])]
    palette = Image.fromarray(COLOURS[2]).quantize(4)
    items = dw.read_items([*mixed, palette])
    np.testing.assert_array_equal(pixels_of(items), [*COLOURS, *COLOURS])
    np.testing.assert_array_equal(pixels_of(dw.read_items(pd.Series([tmp_path / "0.png"]))), COLOURS[:1])
    np.testing.assert_array_equal(pixels_of(dw.read_items(pl.Series(FILES))), COLOURS)
    paths = pd.Series([str(tmp_path / "0.png")])  # a column of a table, where a path can only be a string
    np.testing.assert_array_equal(pixels_of(dw.read_items(paths)), COLOURS[:1])


@pytest.mark.parametrize("source", [VECTORS.tolist(), list(VECTORS), tuple(map(tuple, VECTORS)), pl.Series(VECTORS)])
def test_vectors_come_in_lists(source: Any) -> None:
    np.testing.assert_array_equal(dw.read_items(source).x, VECTORS)


def test_bad_entries_of_lists_are_left_out() -> None:
    assert dw.read_items(["a", None, "b", float("nan")], skip_bad=True).ids.tolist() == [0, 2]
    images: list[Any] = [None, FILES[0], b"no", COLOURS[1] / 255, COLOURS[2]]
    items = dw.read_items(images, skip_bad=True)
    assert items.ids.tolist() == [1, 4]
    assert items.skipped == ("item 0", "item 2", "item 3")
    rows = dw.read_items([[1.0, 2.0], None, [np.inf, 0.0], [3.0, 4.0]], skip_bad=True)
    assert rows.x is not None
    assert (rows.ids.tolist(), rows.x.tolist()) == ([0, 3], [[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(
        dw.DataError, match="3 of 5 images cannot be used: item 0 is missing; image 2 cannot be decoded"
    ):
        dw.read_items(images)


class Elsewhere:
    """An array that lies where NumPy cannot reach it."""

    def __dlpack__(self) -> None: ...

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "there are no items: the list is empty"),
        (np.zeros((0, 4)), "at least one row"),
        (np.zeros(3), r"has two dimensions \(vectors\), or three or four \(images\).* float64 of shape \(3,\)"),
        (np.array([b"a", b"b"]), r"not \|S1 of shape"),
        (np.zeros((2, 3, 8, 8), np.uint8), "channels come last"),
        (np.zeros((2, 8, 8)), "make numbers from 0 to 1 whole"),
        (np.zeros((8, 8, 3), np.uint8), "looks like one colour image"),
        (np.ma.masked_equal([[0.0, 1.0], [1.0, 2.0]], 0.0), "the array has masked entries in 1 rows"),
        (Elsewhere(), "the given Elsewhere cannot be used as an array: can't convert cuda:0"),
        (FILES[0], "not as one bytes"),
        ("gone.parquet", "there is no file 'gone.parquet'"),
        ("a cat on a mat", "there is no file 'a cat on a mat'"),
        (Path("a.png"), "'a.png' is one image; items are given as a list, a table or a folder"),
        (["a.png", "b.JPG"], "2 of 2 strings end like names of image files; a list of strings holds texts"),
        ([Path("a.png"), "b.png"], "lists of numbers .* not PosixPath, str"),
        ([1, 2, 3], "not int"),
        ([{"bytes": FILES[0]}], "not dict"),
        ([[1.0], [1.0, 2.0]], "ragged"),
        ([None, None], "none of the 2 texts can be used: item 0 is missing"),
        pytest.param({"a", "b"}, "is no table that can be read", id="set"),
        (3, "is no table that can be read"),
        (None, "is no table that can be read"),
        ({"x": 3}, "items are a list, an array or a column, not int"),
        ({"x": "abc"}, "not as one str"),
        ({"train": pa.table({"a": ["x"]})}, "holds several tables"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_source(source: Any, message: str) -> None:
    with pytest.raises(dw.InputError, match=message):
        dw.read_items(source, skip_bad=source == [None, None] if isinstance(source, list) else False)


@pytest.mark.parametrize("raw", [b"", b"no array", b"\x93NUMPY\x01\x00"])
def test_a_damaged_npy_file_is_named(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(raw)
    with pytest.raises(dw.DataError, match=r"x\.npy' cannot be read as NPY"):
        dw.read_items(tmp_path / "x.npy")
    with pytest.raises(dw.DataError, match=r"gone\.npy' cannot be opened: No such file"):
        dw.read_items(tmp_path / "gone.npy")


def test_python_objects_in_a_file_are_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(dw.DataError, match="may be damaged or hold Python objects"):
        dw.read_items(tmp_path / "x.npy")


def test_items_pass_through() -> None:
    items = dw.Items(texts=["a"])
    assert dw.read_items(items) is items
    with pytest.raises(dw.InputError, match="Items have all their parts already: leave out owner="):
        dw.read_items(items, owner="who")
    with pytest.raises(dw.InputError, match=r"has no columns; .* leave out column=, label="):
        dw.read_items(["a"], column="text", label="y")


# -- checking and embedding ----------------------------------------------------------------------


def test_a_bar_is_shown_when_asked_for_and_never_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    dw.read_items(FILES)
    assert capsys.readouterr() == ("", "")
    dw.read_items(FILES, progress=True)
    assert "checking images" in capsys.readouterr().err


def test_items_are_embedded_with_all_their_parts(tmp_path: Path) -> None:
    in_folder(tmp_path, "a/1.png", "b/2.png", "b/3.png")
    (tmp_path / "b" / "4.png").touch()
    read = dw.read_items(tmp_path, owner="folder", label="folder", skip_bad=True)
    items = dw.embed_items(read, colour)
    np.testing.assert_array_equal(items.x, np.eye(3))
    assert (items.ids.tolist(), items.content, items.skipped) == (read.ids.tolist(), read.content, ("b/4.png",))
    texts = dw.embed_items(dw.read_items(["a", "bb"]), lengths)
    np.testing.assert_array_equal(texts.x, dw.embed_texts(["a", "bb"], lengths))


def test_vectors_that_are_there_are_kept_unless_a_model_is_named() -> None:
    items = dw.Items(VECTORS, texts=["a", "bb", "ccc"])
    assert dw.embed_items(items) is items
    np.testing.assert_array_equal(dw.embed_items(items, lengths).x, dw.embed_texts(["a", "bb", "ccc"], lengths))
    alone = dw.Items(VECTORS)
    assert dw.embed_items(alone) is alone
    with pytest.raises(dw.InputError, match="vectors alone, with no images or texts"):
        dw.embed_items(alone, lengths)


@pytest.mark.parametrize(
    ("items", "model", "message"),
    [
        (dw.Items(images=FILES), "minilm", "images are embedded by 'efficientnet-lite0'"),
        (dw.Items(texts=["a"]), "efficientnet-lite0", "texts are embedded by 'minilm'"),
        (dw.Items(images=[b"no"]), colour, "image 0 cannot be decoded"),
    ],
)
def test_a_model_that_does_not_fit(items: dw.Items, model: Any, message: str) -> None:
    with pytest.raises(dw.InputError, match=message):
        dw.embed_items(items, model)


def test_vectors_of_a_named_callable_are_kept_on_disk(tmp_path: Path) -> None:
    asked: list[int] = []

    def count(batch: list[Any]) -> NDArray[np.float64]:
        asked.append(len(batch))
        return colour(batch)

    for _ in range(2):
        dw.embed_items(dw.Items(images=FILES), count, cache=tmp_path, cache_key="colour 1", progress=False)
    assert asked == [3]


WITHOUT = """
import sys
for name in ("PIL", "torch", "faiss", "transformers", "sklearn"): sys.modules[name] = None
import numpy, pyarrow, dataworth as dw
x = numpy.arange(6.0).reshape(3, 2)
assert dw.embed_items(dw.read_items(x)).kind == "vectors"
assert dw.embed_items(dw.read_items({"x": x, "ids": ["a", "b", "c"]})).ids[2] == "c"
assert dw.read_items(pyarrow.table({"e": x.tolist()})).x.shape == (3, 2)
assert dw.read_items(numpy.zeros((2, 8, 8), numpy.uint8)).kind == "images"
assert dw.read_items(["a text"]).kind == "texts"
try:
    dw.read_items([b"an image"])
except dw.MissingExtra as error:
    print(error)
"""


def test_only_files_of_images_need_a_library_of_images() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "reading images needs an optional part of dataworth: pip install 'dataworth[images]'" in done.stdout


@pytest.mark.models
def test_images_and_texts_have_a_model_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATAWORTH_CACHE", str(tmp_path))
    images = dw.embed_items(dw.read_items(FILES))
    np.testing.assert_array_equal(images.x, dw.embed_images(FILES))
    assert images.x is not None
    assert images.x.shape == (3, 1280)
    texts = dw.embed_items(dw.read_items(["a cat", "two dogs"]))
    assert texts.x is not None
    assert texts.x.shape == (2, 384)


@pytest.mark.models
def test_arrays_of_torch_are_arrays() -> None:
    import torch

    np.testing.assert_array_equal(dw.read_items(torch.from_numpy(VECTORS)).x, VECTORS)
    stack = torch.from_numpy(np.stack(COLOURS))
    np.testing.assert_array_equal(pixels_of(dw.read_items(stack)), COLOURS)
    np.testing.assert_array_equal(pixels_of(dw.read_items(list(stack))), COLOURS)
    with pytest.raises(dw.DataError, match="channels come last"):
        dw.read_items(stack.permute(0, 3, 1, 2))
    with pytest.raises(dw.DataError, match="cannot be used as an array"):
        dw.read_items(torch.zeros(2, 2, requires_grad=True))
