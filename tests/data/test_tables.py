"""The same table, however it comes: formats round trip, and each way a file can be wrong is named."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
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
from pyarrow import csv, feather

from dataworth.data.tables import open_table
from dataworth.errors import DataError

TABLE = pa.table(
    {
        "b": pa.array([0.5, -1.25, 3.0, 1e-3], pa.float64()),
        "a": pa.array([1, 2, 3, 4], pa.int64()),
        "name": pa.array(["x", "y, z", 'with "quotes"', "über\nzwei Zeilen"]),
        "yes": pa.array([True, False, True, True]),
    }
)


class Capsule:
    """An object that speaks the Arrow C stream and nothing else."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


class HuggingFace:
    """As much of a Hugging Face data set as is used: rows chosen by an index over a table below."""

    def __init__(self, table: pa.Table, rows: list[int], arrow: bool = False) -> None:
        self._table, self._rows, self._arrow = table, rows, arrow
        self.column_names = table.column_names

    def __len__(self) -> int:
        return len(self._rows)

    def select_columns(self, names: list[str]) -> HuggingFace:
        return HuggingFace(self._table.select(names), self._rows, self._arrow)

    def with_format(self, kind: str) -> HuggingFace:
        return HuggingFace(self._table, self._rows, kind == "arrow")

    def __getitem__(self, rows: slice) -> Any:
        return self._table.take(self._rows)[rows] if self._arrow else self._table.take(self._rows)[rows].to_pydict()


def write_parquet(table: pa.Table, path: Path) -> Path:
    pq.write_table(table, path)
    return path


def write_stream(table: pa.Table, path: Path) -> Path:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return path


def write_file(table: pa.Table, path: Path) -> Path:
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return path


def write_feather(table: pa.Table, path: Path) -> Path:
    feather.write_feather(table, path)
    return path


def write_csv(table: pa.Table, path: Path) -> Path:
    csv.write_csv(table, path)
    return path


def write_tsv(table: pa.Table, path: Path) -> Path:
    csv.write_csv(table, path, csv.WriteOptions(delimiter="\t"))
    return path


def write_gzipped(table: pa.Table, path: Path) -> Path:
    csv.write_csv(table, path.with_suffix(""))
    path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))
    return path


def arrays(table: pa.Table) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(table[name].to_pylist()) for name in table.column_names}


def write_npz(table: pa.Table, path: Path) -> Path:
    np.savez(path, allow_pickle=False, **arrays(table))
    return path


def structured(table: pa.Table) -> NDArray[Any]:
    columns = arrays(table)
    out = np.empty(table.num_rows, dtype=[(name, array.dtype) for name, array in columns.items()])
    for name, array in columns.items():
        out[name] = array
    return out


FILES: Mapping[str, Callable[[pa.Table, Path], Path]] = {
    "t.parquet": write_parquet,
    "t.csv": write_csv,
    "t.csv.gz": write_gzipped,
    "t.tsv": write_tsv,
    "t.arrow": write_stream,
    "t.arrows": write_stream,
    "t.ipc": write_file,
    "T.FEATHER": write_feather,
    "t.npz": write_npz,
}

OBJECTS: Mapping[str, Callable[[pa.Table], Any]] = {
    "pyarrow table": lambda table: table,
    "record batch": lambda table: table.combine_chunks().to_batches()[0],
    "record batch reader": lambda table: table.to_reader(),
    "pandas": lambda table: table.to_pandas(),
    "pandas arrow": lambda table: table.to_pandas(types_mapper=pd.ArrowDtype),
    "polars": pl.from_arrow,
    "polars lazy": lambda table: pl.DataFrame(pl.from_arrow(table)).lazy(),
    "arrow stream": Capsule,
    "hugging face": lambda table: HuggingFace(table, list(range(table.num_rows))),
    "dictionary": arrays,
    "lists": lambda table: table.to_pydict(),
    "structured": structured,
}


@pytest.mark.parametrize("name", FILES)
def test_every_file_gives_the_same_columns(name: str, tmp_path: Path) -> None:
    opened = open_table(FILES[name](TABLE, tmp_path / name))
    assert opened.columns == ("b", "a", "name", "yes")
    assert opened.folder == tmp_path
    assert opened.read(["yes", "name", "a", "b"], []).to_pydict() == TABLE.select(["yes", "name", "a", "b"]).to_pydict()
    assert opened.read(["a"], []).column_names == ["a"]  # only what was asked for, as often as asked for


@pytest.mark.parametrize("kind", OBJECTS)
def test_every_object_gives_the_same_columns(kind: str) -> None:
    opened = open_table(OBJECTS[kind](TABLE))
    assert opened.columns == ("b", "a", "name", "yes")
    assert opened.read(["yes", "name", "b"], []).to_pydict() == TABLE.select(["yes", "name", "b"]).to_pydict()


def test_hugging_face_selections_count() -> None:
    opened = open_table(HuggingFace(TABLE, [2, 0]))
    assert opened.read(["a"], []).to_pydict() == {"a": [3, 1]}


numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(numbers, st.integers(-(2**62), 2**62), st.text("aé,\"'\n\t;#7", min_size=1)), min_size=1),
    name=st.sampled_from(sorted(set(FILES) - {"t.npz"})),
)
def test_any_table_survives_any_file(rows: list[tuple[float, int, str]], name: str, tmp_path: Path) -> None:
    x, whole, text = zip(*rows, strict=True)
    # A letter keeps CSV from reading a text as a number, which it has no way to tell from one.
    table = pa.table({"x": x, "whole": whole, "text": [f"t{entry}" for entry in text]})
    assert open_table(FILES[name](table, tmp_path / name)).read(table.column_names, []).to_pydict() == table.to_pydict()


# -- arrays by name ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8", "int64", "bool"])
def test_arrays_of_more_dimensions_come_as_tensors(dtype: str, tmp_path: Path) -> None:
    images = np.arange(24).reshape(4, 2, 3).astype(dtype)
    np.savez(tmp_path / "t.npz", x=images, flat=np.asfortranarray(images[:, 0]), y=np.arange(4))
    table = open_table(tmp_path / "t.npz").read(["x", "flat"], [])
    np.testing.assert_array_equal(table["x"].chunk(0).to_numpy_ndarray(), images)
    np.testing.assert_array_equal(table["flat"].chunk(0).to_numpy_ndarray(), images[:, 0])


def test_arrays_by_name_have_usual_parts() -> None:
    assert open_table({"x": [1.0], "y": [0], "other": [2]}).usual == {"features": "x", "label": "y"}
    assert open_table(TABLE).usual == {}


def test_bytes_strings_become_text_and_others_are_refused() -> None:
    assert open_table({"y": np.array([b"cat", b"dog"])}).read(["y"], []).to_pydict() == {"y": ["cat", "dog"]}
    with pytest.raises(DataError, match="array 'y' holds bytes that are not text"):
        open_table({"y": np.array([b"\xff"])}).read(["y"], [])


@pytest.mark.parametrize(
    ("entries", "kind"),
    [
        ([2**63, 1], pa.uint64()),
        ([2**62, -1], pa.int64()),
        ([0.5, 2], pa.float64()),
        ([np.float32(0.5)], pa.float32()),
        ([True, False], pa.bool_()),
        ([b"cat"], pa.string()),
        (["cat", None], pa.string()),
        ([1, None], pa.int64()),
    ],
)
def test_lists_by_name_keep_what_they_hold(entries: list[Any], kind: pa.DataType) -> None:
    column = open_table({"y": entries}).read(["y"], [])["y"]
    assert column.type == kind
    assert column.to_pylist() == [entry.decode() if isinstance(entry, bytes) else entry for entry in entries]


@pytest.mark.parametrize(
    ("arrays_given", "message"),
    [
        ({"x": [[1.0, 2.0], [3.0]]}, "ragged"),
        ({"x": [1.0, 2.0], "y": [1]}, r"lengths are \{'x': 2, 'y': 1\}"),
        ({"x": 3.0}, "'x' .* is a single value"),
        ({"x": np.array([1j, 2j])}, "array 'x' of type complex128"),
        ({"x": [["a", "b"]]}, "array 'x' must hold numbers, not <U1"),
        ({"x": [object()]}, "array 'x' of type object"),
        ({"x": [1, "a"]}, "array 'x' of type object .* or mixes them"),
        ({"x": ["a", float("nan")]}, "array 'x' of type object .* or mixes them"),
        ({"x": [2**63, -1]}, "array 'x' of type object"),
        ({"x": np.ma.masked_array([1, 2], [False, True])}, "array 'x' has masked entries in 1 rows"),
        ({"x": [1, np.ma.masked]}, "array 'x' has masked entries in 1 rows"),
        ({"x": np.ma.masked_array([[1, 2], [3, 4]], [[True, True], [False, True]])}, "masked entries in 2 rows"),
    ],
)
def test_arrays_that_are_no_columns(arrays_given: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_table(arrays_given).read(list(arrays_given), [])


def test_python_objects_in_npz_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.array([{}, []], dtype=object))
    with pytest.raises(DataError, match=r"cannot be read as NPZ.*allow_pickle=False"):
        open_table(tmp_path / "t.npz").read(["x"], [])


# -- CSV -----------------------------------------------------------------------------------------


def test_csv_names_keep_their_zeros(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,owner,x\n007,1,1\n7,2,2\n")
    table = open_table(path).read(["id", "owner", "x"], ["id", "owner"])
    assert table.to_pydict() == {"id": ["007", "7"], "owner": [1, 2], "x": [1, 2]}


def test_csv_empty_fields_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,text,x\na,word,1.5\n,,\n")
    assert open_table(path).read(["id", "text", "x"], ["id"]).to_pydict() == {
        "id": ["a", None],
        "text": ["word", None],
        "x": [1.5, None],
    }


def test_csv_of_uneven_lines_counts_them_and_shows_none(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\nsecret,3,4\n5,6\nsecret\n")
    with pytest.raises(
        DataError, match=r"2 lines of .* do not have the 2 fields of its header \(the first has 3\)"
    ) as e:
        open_table(path).read(["a"], [])
    assert "secret" not in str(e.value)


def test_csv_that_is_no_text_shows_nothing_of_it(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"")
    with pytest.raises(DataError, match="cannot be read as CSV"):
        open_table(path)


# -- files that are not what they say ------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file .*gone\.parquet"):
        open_table(tmp_path / "gone.parquet")


@pytest.mark.parametrize("name", ["t.xlsx", "t", "t.gz", "t.npy", "t.pkl"])
def test_an_unknown_suffix_says_what_is_read(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"data")
    with pytest.raises(DataError, match=r"no known suffix; these are read: \.parquet"):
        open_table(tmp_path / name)


@pytest.mark.parametrize("name", ["t.parquet", "t.ipc", "T.FEATHER", "t.npz"])
def test_a_truncated_file_is_named(name: str, tmp_path: Path) -> None:
    path = FILES[name](TABLE, tmp_path / name)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=f"{name}' cannot be read as"):
        open_table(path).read(["a"], [])


def test_a_truncated_stream_is_named(tmp_path: Path) -> None:
    path = write_stream(TABLE, tmp_path / "t.arrows")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="cannot be read as Arrow"):
        open_table(path).read(["a"], [])


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "t.feather", "t.npz"])
@pytest.mark.parametrize("content", [b"", b"not this format at all, and long enough to look", b"PAR1 to PAR1"])
def test_a_file_of_another_format_is_named(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name}' cannot be read as"):
        open_table(tmp_path / name).read(["a"], [])


def test_a_damaged_page_is_named(tmp_path: Path) -> None:
    path = write_parquet(TABLE, tmp_path / "t.parquet")
    raw = bytearray(path.read_bytes())
    raw[4:40] = bytes(36)
    path.write_bytes(raw)
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        open_table(path).read(TABLE.column_names, [])


def test_an_index_that_pandas_saved_is_no_column(tmp_path: Path) -> None:
    pd.DataFrame({"x": [1.0, 2.0]}, index=pd.Index([5, 7])).to_parquet(tmp_path / "t.parquet")
    assert "__index_level_0__" in pq.read_schema(tmp_path / "t.parquet").names
    assert open_table(tmp_path / "t.parquet").columns == ("x",)


# -- objects that are no tables ------------------------------------------------------------------

REPEATED = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], names=["x", "y", "x"])


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.arrow", "t.ipc"])
def test_repeated_columns_in_a_file_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"column names must be unique, but '.*' repeats 'x'"):
        open_table(FILES[name](REPEATED, tmp_path / name))


@pytest.mark.parametrize(
    "source", [REPEATED, REPEATED.to_pandas(), Capsule(REPEATED)], ids=["arrow", "pandas", "stream"]
)
def test_repeated_columns_in_an_object_are_refused(source: Any) -> None:
    with pytest.raises(DataError, match="column names must be unique"):
        open_table(source)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((2, 2)), r"give arrays to dataworth\.Points\(x, y\)"),
        (3, "the given int is no table"),
        ([{"x": 1}], "the given list is no table"),
        (pd.DataFrame(np.zeros((2, 2))), "column names must be strings"),
        ({"train": HuggingFace(TABLE, [0]), "test": HuggingFace(TABLE, [1])}, "several tables: 'train', 'test'"),
    ],
)
def test_objects_that_are_no_tables(source: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_table(source)


def test_a_streamed_hugging_face_set_is_refused() -> None:
    class Streamed:
        column_names = ("x",)

        def with_format(self, kind: str) -> Streamed:
            return self

    with pytest.raises(DataError, match="streams its rows"):
        open_table(Streamed())


def test_a_pandas_column_of_mixed_objects_is_refused_without_its_content() -> None:
    with pytest.raises(DataError, match="mixes types") as e:
        open_table(pd.DataFrame({"x": ["secret", 1.5]}, dtype=object)).read(["x"], [])
    assert "secret" not in str(e.value)
