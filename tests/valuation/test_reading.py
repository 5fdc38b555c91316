"""From any source to points: the same rows however they come, and every way they cannot be used is said."""

from __future__ import annotations

import datetime
from decimal import Decimal
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
from pyarrow import csv

import dataworth as dw
from dataworth.data.images import encoded
from dataworth.valuation.reading import check_same_features

TABLE = pa.table(
    {
        "height": pa.array([1.5, -2.0, 0.25], pa.float32()),
        "kind": ["cat", "dog", "cat"],
        "count": pa.array([3, 4, 5], pa.int16()),
        "clinic": ["n", "s", "n"],
        "name": pa.array([7, 8, 9], pa.int64()),
        "tame": [True, False, True],
    }
)


def same(one: dw.Points, other: dw.Points) -> None:
    assert one.x.dtype == other.x.dtype
    for part in ("x", "y", "ids", "owners"):
        np.testing.assert_array_equal(getattr(one, part), getattr(other, part))
    assert (one.features, one.items) == (other.features, other.items)


def table_with(**columns: Any) -> pa.Table:
    return pa.table({"x": [1.0, 2.0, 3.0], **columns, "y": ["a", "b", "a"]})


# -- roles ---------------------------------------------------------------------------------------


def test_columns_play_their_parts_in_file_order() -> None:
    points = dw.read_points(TABLE, label="kind", id="name", owner="clinic")
    assert points.features == ("height", "count", "tame")
    assert points.x.dtype == np.float32
    np.testing.assert_array_equal(points.x, [[1.5, 3, 1], [-2, 4, 0], [0.25, 5, 1]])
    assert points.y.tolist() == ["cat", "dog", "cat"]
    assert points.ids.tolist() == [7, 8, 9]
    assert points.owners is not None
    assert points.owners.tolist() == ["n", "s", "n"]
    assert points.items is None


def test_features_are_taken_as_given_and_rows_numbered() -> None:
    points = dw.read_points(TABLE, label="tame", features=["count", "height"])
    assert points.features == ("count", "height")
    np.testing.assert_array_equal(points.x, [[3, 1.5], [4, -2], [5, 0.25]])
    assert points.y.tolist() == [True, False, True]
    assert points.ids.tolist() == [0, 1, 2]
    assert points.owners is None


@pytest.mark.parametrize("kind", ["parquet", "csv", "pandas", "polars", "lazy"])
def test_one_set_of_points_from_any_source(kind: str, tmp_path: Path) -> None:
    table = TABLE.set_column(0, "height", pa.array([1.5, -2.0, 0.25], pa.float64()))
    pq.write_table(table, tmp_path / "t.parquet")
    csv.write_csv(table, tmp_path / "t.csv")
    source: Any = {
        "parquet": str(tmp_path / "t.parquet"),
        "csv": tmp_path / "t.csv",
        "pandas": table.to_pandas(),
        "polars": pl.from_arrow(table),
        "lazy": pl.scan_parquet(tmp_path / "t.parquet"),
    }[kind]
    parts: Any = {"label": "kind", "id": "name", "owner": "clinic"}
    same(dw.read_points(source, **parts), dw.read_points(table, **parts))


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_numbers_survive_a_file_exactly(data: st.DataObject, tmp_path: Path) -> None:
    n, d = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    kind = data.draw(st.sampled_from(["float32", "float64", "int8", "int64", "uint16", "bool"]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    x = (rng.normal(scale=100, size=(n, d))).astype(kind)
    y = data.draw(st.lists(st.sampled_from(["a", "é", "z z"]), min_size=n, max_size=n))
    table = pa.table({**{f"f{at}": x[:, at] for at in range(d)}, "y": y})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=2)
    same(
        dw.read_points(tmp_path / "t.parquet", label="y"),
        dw.Points(x, y, features=[f"f{at}" for at in range(d)]),
    )


# -- kinds of columns ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 2, 3], pa.int8()),
        pa.array([1, 2, 3], pa.uint64()),
        pa.array([1, 2, 3], pa.float16()),
        pa.array([Decimal("1.00"), Decimal("2.00"), Decimal("3.00")]),
        pa.array([1.0, 2.0, 3.0]).dictionary_encode(),
        pa.chunked_array([[1.0], [2.0, 3.0]]),
    ],
    ids=lambda column: str(column.type),
)
def test_numbers_of_any_kind_are_features(column: Any) -> None:
    assert dw.read_points(table_with(f=column), label="y", features=["f"]).x.ravel().tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array(["a", "b", "a"], pa.large_string()), ["a", "b", "a"]),
        (pa.array(["a", "b", "a"], pa.string_view()), ["a", "b", "a"]),
        (pa.array([1, 2, 1], pa.int8()), [1, 2, 1]),
        (pa.array([1, 2, 1]).dictionary_encode(), [1, 2, 1]),
        (pa.array([True, False, True]), [True, False, True]),
        (pa.array([0.5, 1.5, 0.5]), [0.5, 1.5, 0.5]),
        (pa.array([Decimal("0.5"), Decimal("1.5"), Decimal("0.5")]), [0.5, 1.5, 0.5]),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_labels_of_any_kind(labels: Any, expected: list[Any]) -> None:
    assert dw.read_points(table_with(label=labels), label="label", features=["x"]).y.tolist() == expected


def test_categories_of_pandas_and_polars_are_labels() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": pd.Categorical(["a", "b"])})
    assert dw.read_points(frame, label="y").y.tolist() == ["a", "b"]
    polars = pl.DataFrame({"x": [1.0, 2.0], "y": pl.Series(["a", "b"], dtype=pl.Categorical)})
    assert dw.read_points(polars, label="y").y.tolist() == ["a", "b"]


EMBEDDING = np.arange(6, dtype=np.float32).reshape(3, 2)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(EMBEDDING.tolist(), pa.list_(pa.float32())),
        pa.array(EMBEDDING.tolist(), pa.large_list(pa.float32())),
        pa.array(EMBEDDING.tolist(), pa.list_(pa.float32(), 2)),
        pa.FixedShapeTensorArray.from_numpy_ndarray(EMBEDDING),
        pa.chunked_array([pa.array([[9, 9], [0, 1]], pa.list_(pa.float32()))[1:], [[2, 3], [4, 5]]]),
    ],
    ids=lambda column: str(column.type),
)
def test_a_column_of_lists_is_a_block_of_features(column: Any) -> None:
    alone = dw.read_points(table_with(e=column), label="y", features=["e"])
    np.testing.assert_array_equal(alone.x, EMBEDDING)
    assert alone.x.dtype == np.float32
    assert alone.features is None
    beside = dw.read_points(table_with(e=column), label="y")
    np.testing.assert_array_equal(beside.x, np.column_stack([[1.0, 2.0, 3.0], EMBEDDING]))
    assert beside.features == ("x", "e[0]", "e[1]")


def test_arrays_by_name_need_no_columns_named(tmp_path: Path) -> None:
    y = np.array(["a", "b", "a"])
    np.savez(tmp_path / "t.npz", x=EMBEDDING, y=y, ids=[4, 5, 6], owners=["n", "s", "n"], classes=["a", "b"])
    same(dw.read_points(tmp_path / "t.npz"), dw.Points(EMBEDDING, y, ids=[4, 5, 6], owners=np.array(["n", "s", "n"])))
    same(dw.read_points({"a": EMBEDDING, "b": y}, label="b"), dw.Points(EMBEDDING, y))
    same(dw.read_points({"x": [[9.0]] * 3, "z": EMBEDDING, "y": y}, features=["z"]), dw.Points(EMBEDDING, y))


# -- embedding -----------------------------------------------------------------------------------


def lengths(batch: list[Any]) -> NDArray[np.float64]:
    return np.array([[1.0, len(text)] for text in batch])


def colour(batch: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
    return np.array([image.mean((0, 1)) for image in batch])


COLOURS = [np.full((2, 3, 3), 255 * np.eye(3, dtype=np.uint8)[channel]) for channel in range(3)]


def test_texts_are_embedded_and_kept_as_items() -> None:
    points = dw.read_points(table_with(t=["a", "bb", "a"]), label="y", features=["t"], embed=lengths)
    np.testing.assert_array_equal(points.x, dw.embed_texts(["a", "bb", "a"], lengths))
    assert points.items == ("a", "bb", "a")
    assert points.features is None


def test_one_column_left_needs_no_naming() -> None:
    table = pa.table({"t": ["a", "bb"], "y": [0, 1], "who": ["n", "s"]})
    assert dw.read_points(table, label="y", owner="who", embed=lengths).items == ("a", "bb")


@pytest.mark.parametrize("kind", ["bytes", "struct of bytes", "struct of paths", "pixels"])
def test_images_are_embedded_and_kept_as_items(kind: str, tmp_path: Path) -> None:
    files = [encoded(image) for image in COLOURS]
    for at, file in enumerate(files):
        (tmp_path / f"{at}.png").write_bytes(file)
    column: Any = {
        "bytes": pa.array(files),
        "struct of bytes": pa.array([{"bytes": file, "path": None} for file in files]),
        "struct of paths": pa.array([{"bytes": None, "path": str(tmp_path / f"{at}.png")} for at in range(3)]),
        "pixels": pa.FixedShapeTensorArray.from_numpy_ndarray(np.stack(COLOURS)),
    }[kind]
    points = dw.read_points(table_with(image=column), label="y", features=["image"], embed=colour)
    np.testing.assert_array_equal(points.x, np.eye(3))
    assert points.items is not None
    assert [item.read_bytes() if isinstance(item, Path) else item for item in points.items] == files


def test_paths_start_at_the_folder_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def watch(images: list[Any], model: object) -> NDArray[Any]:
        asked.extend(images)
        return EMBEDDING

    monkeypatch.setattr("dataworth.valuation.reading.embed_images", watch)
    pq.write_table(table_with(p=["a.png", "b/c.png", "/d.png"]), tmp_path / "t.parquet")
    dw.read_points(tmp_path / "t.parquet", label="y", features=["p"], embed="efficientnet-lite0")
    assert asked == [tmp_path / "a.png", tmp_path / "b" / "c.png", Path("/d.png")]


def test_a_folder_of_classes_becomes_points(tmp_path: Path) -> None:
    for name, image in zip(["blue/1.png", "green/1.png", "red/a/2.png"], COLOURS[::-1], strict=True):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(encoded(image))
    points = dw.read_points(tmp_path, embed=colour)
    np.testing.assert_array_equal(points.x, np.eye(3)[::-1])
    assert points.y.tolist() == ["blue", "green", "red"]
    assert points.ids.tolist() == ["blue/1.png", "green/1.png", "red/a/2.png"]
    assert points.items == tuple(tmp_path / name for name in points.ids)


# -- gaps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["parquet", "csv", "pandas", "polars", "npz"])
def test_gaps_become_rows_without_features_where_allowed(kind: str, tmp_path: Path) -> None:
    table = pa.table({"a": [1.0, None, 3.0], "b": [0.5, 0.25, float("inf")], "y": ["p", "q", "p"]})
    pq.write_table(table, tmp_path / "t.parquet")
    csv.write_csv(table, tmp_path / "t.csv")
    x = np.array([[1.0, 0.5], [np.nan, 0.25], [3.0, np.inf]])
    np.savez(tmp_path / "t.npz", x=x, y=np.array(["p", "q", "p"]))
    source: Any = {
        "parquet": tmp_path / "t.parquet",
        "csv": tmp_path / "t.csv",
        "npz": tmp_path / "t.npz",
        "pandas": table.to_pandas(),
        "polars": pl.from_arrow(table),
    }[kind]
    with pytest.raises(dw.DataError, match=r"missing|NaN or infinity"):
        dw.read_points(source, label="y")
    points = dw.read_points(source, label="y", allow_missing=True)
    np.testing.assert_array_equal(points.x, x)
    assert points.missing == 2
    assert points.y.tolist() == ["p", "q", "p"]


def test_labels_and_names_must_be_there_all_the_same() -> None:
    for column in ("y", "id", "who"):
        columns: dict[str, list[Any]] = {"a": [1.0, 2.0], "y": ["p", "q"], "id": ["r", "s"], "who": ["t", "u"]}
        columns[column][1] = None
        with pytest.raises(dw.DataError, match=f"'{column}' is missing in 1 of 2 rows"):
            dw.read_points(pa.table(columns), label="y", id="id", owner="who", allow_missing=True)


# -- what cannot be used -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "arguments", "message"),
    [
        (TABLE, {}, "label= must name the column of labels; the given Table has 'height', 'kind'"),
        (TABLE, {"label": "yy"}, r"has no column 'yy' \(label=\); it has 'height', 'kind', 'count', 'clinic'"),
        (TABLE, {"label": "kind", "id": "nr"}, r"has no column 'nr' \(id=\)"),
        (TABLE, {"label": "kind", "owner": "who"}, r"has no column 'who' \(owner=\)"),
        (TABLE, {"label": "kind", "features": ["height", "w", "v"]}, r"has no column 'w', 'v' \(features=\)"),
        (TABLE, {"label": "kind", "features": "height"}, r"a list of column names: features=\['height'\]"),
        (TABLE, {"label": "kind", "features": ["height", "height"]}, "names a column twice"),
        (TABLE, {"label": "tame", "features": ["height", "tame"]}, "a label cannot be a feature of itself"),
        (TABLE.select(["kind"]), {"label": "kind"}, "has no feature column beside 'kind'"),
        (TABLE, {"label": "kind", "features": []}, "has no feature column beside"),
        (TABLE.slice(0, 0), {"label": "kind", "features": ["height"]}, "has no rows"),
        (TABLE, {"label": "kind", "embed": "bert"}, "embed must be 'minilm', 'efficientnet-lite0' or a callable"),
        (TABLE, {"label": "kind", "embed": lengths}, "embed turns one column into features, but there are 5: 'height'"),
        (TABLE, {"label": "kind", "id": "tame"}, "id column 'tame' must hold integers or strings, not bool"),
        (TABLE, {"label": "kind", "owner": "height"}, "owner column 'height' must hold integers or strings, not float"),
        (table_with(i=[1, 2, 1]), {"label": "y", "id": "i"}, "1 of 3 rows repeat an id"),
        (table_with(i=["1", None, None]), {"label": "y", "id": "i"}, "id column 'i' is missing in 2 of 3 rows"),
        (table_with(z=["1", None, "2"]), {"label": "z"}, "label column 'z' is missing in 1 of 3 rows"),
        (table_with(z=[[1], [2], [3]]), {"label": "z"}, "label column 'z' must hold strings.*not list"),
        (table_with(z=[0.5, np.nan, 1.0]), {"label": "z", "features": ["x"]}, "label is NaN or infinite in 1 of 3"),
        (table_with(f=[1.0, None, None]), {"label": "y"}, "feature columns are missing: 'f' in 2 of 3 rows"),
        (table_with(f=[1.0, np.nan, 2.0]), {"label": "y"}, "hold NaN or infinity: 'f' in 1 of 3 rows"),
        (table_with(f=[1.0, np.inf, -np.inf]), {"label": "y"}, "hold NaN or infinity: 'f' in 2 of 3 rows"),
        (table_with(f=[[1.0, np.nan], [1.0, 2.0], [np.inf, 1.0]]), {"label": "y"}, "infinity: 'f' in 2 of 3 rows"),
        (table_with(f=[[1.0], [1.0, 2.0], []]), {"label": "y"}, "'f' is ragged: its lists have lengths from 0 to 2"),
        (table_with(f=[[1.0], [None], [2.0]]), {"label": "y"}, "'f' lacks 1 entries inside its lists"),
        (table_with(f=pa.array([[], [], []], pa.list_(pa.float32()))), {"label": "y"}, "'f' holds empty lists"),
        (
            table_with(secret=["s1", "s2", "s3"]),
            {"label": "y"},
            r"'secret' \(string\); embed the text \(features=\['secret'\], embed='minilm'\)",
        ),
        (table_with(f=[b"a", b"b", b"c"]), {"label": "y"}, r"'f' \(binary\).*embed='efficientnet-lite0'"),
        (table_with(f=[datetime.date(2026, 1, 1)] * 3), {"label": "y"}, r"'f' \(date32.*turn it into numbers"),
        (table_with(f=[["a"], ["b"], ["c"]]), {"label": "y"}, r"'f' \(list"),
        (table_with(f=pa.nulls(3)), {"label": "y"}, "'f' in 3 of 3 rows"),
        ({"x": np.zeros((3, 4, 4), np.uint8), "y": [0, 1, 0]}, {}, r"'x' holds an array of shape \(4, 4\) in each row"),
        (
            table_with(t=["a", None, "b"]),
            {"label": "y", "features": ["t"], "embed": lengths},
            "'t' is missing in 1 of 3",
        ),
        (
            table_with(t=[b"a", b"b", b"c"]),
            {"label": "y", "features": ["t"], "embed": "minilm"},
            "needs a column of texts",
        ),
        (table_with(), {"label": "y", "embed": colour}, "column 'x' holds double; images are bytes"),
        (
            table_with(i=[{"bytes": None, "path": None}] * 2 + [{"bytes": b"a", "path": "b"}]),
            {"label": "y", "features": ["i"], "embed": colour},
            "'i' has neither bytes nor a path in 2 of 3 rows",
        ),
    ],
)
def test_what_cannot_be_used_is_said(source: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(dw.InputError, match=message) as caught:
        dw.read_points(source, **arguments)
    assert "s1" not in str(caught.value)  # no row's content


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"embed": colour, "label": "y", "id": "i"}, "has no columns .*: leave out label=, id="),
        ({}, "is a folder: give embed='efficientnet-lite0' or a callable"),
        ({"embed": "minilm"}, "is a folder: give embed='efficientnet-lite0' or a callable"),
        ({"embed": colour}, "there is no image in"),
    ],
)
def test_a_folder_that_cannot_be_used(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(dw.InputError, match=message):
        dw.read_points(tmp_path, **arguments)


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(dw.DataError, match=r"there is no file .*gone\.parquet"):
        dw.read_points(tmp_path / "gone.parquet", label="y")
    pq.write_table(TABLE, tmp_path / "t.parquet")
    (tmp_path / "t.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:100])
    with pytest.raises(dw.DataError, match=r"t\.parquet' cannot be read as Parquet"):
        dw.read_points(tmp_path / "t.parquet", label="kind")


def test_many_columns_are_not_all_listed() -> None:
    wide = pa.table({f"c{at}": ["text"] for at in range(50)})
    with pytest.raises(dw.DataError, match=r"'c1' \(string\), .* 'c10' \(string\) and 39 more; embed"):
        dw.read_points(wide, label="c0")
    with pytest.raises(dw.DataError, match=r"'c9' and 40 more$"):
        dw.read_points(wide, label="gone")


def test_only_the_columns_needed_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet")
    asked: list[Any] = []
    read = pq.ParquetFile.read

    def watch(self: Any, *args: Any, columns: list[str], **more: Any) -> Any:
        asked.append(columns)
        return read(self, *args, columns=columns, **more)

    monkeypatch.setattr(pq.ParquetFile, "read", watch)
    dw.read_points(tmp_path / "t.parquet", label="kind", features=["count"])
    assert asked == [["count", "kind"]]


# -- train and validation ------------------------------------------------------------------------


def points(*names: str, named: bool = True) -> dw.Points:
    return dw.Points(np.ones((1, len(names))), ["a"], features=names if named else None)


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (points("a", "c", "b"), "the same features in another order, from 'b' on; read both with the same features="),
        (points("a", "b"), "but validation lacks 'c'; read both with"),
        (points("a", "b", "c", "d"), "but train lacks 'd'; read both with"),
        (points("a", "b", "d"), "but validation lacks 'c' and train lacks 'd'"),
        (points("a", "b", named=False), "train has 3 of them and validation 2"),
    ],
)
def test_different_features_are_refused(validation: dw.Points, message: str) -> None:
    with pytest.raises(dw.DataError, match=message):
        check_same_features(points("a", "b", "c"), validation)


def test_equal_features_pass() -> None:
    check_same_features(points("a", "b"), points("a", "b"))
    check_same_features(points("a", "b"), points("x", "y", named=False))


@pytest.mark.parametrize("suffix", [".parquet", ".pq", ".arrow", ".feather", ".ipc"])
def test_a_folder_of_tables_is_told_where_it_is_read(tmp_path: Path, suffix: str) -> None:
    for place in ("month=3", "_work"):
        (tmp_path / place).mkdir()
    (tmp_path / "_work" / "0.png").touch()
    (tmp_path / ".hidden").touch()
    (tmp_path / "month=3" / f"rows{suffix.upper()}").touch()
    for arguments in ({}, {"label": "y"}, {"embed": colour}):
        with pytest.raises(dw.InputError, match=r"a folder of tables.* value_source\(Source.open.* dataworth points"):
            dw.read_points(tmp_path, **arguments)
