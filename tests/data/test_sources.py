"""Files read part by part give what the whole table gives, however they are cut; and each way to be wrong is named."""

from __future__ import annotations

import contextlib
import datetime
import glob
import os
import pickle
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import feather

from dataworth.data import repeats, sources
from dataworth.data.filters import Filter
from dataworth.data.part_files import paths_of, places_of, would_find
from dataworth.data.sources import Piece, Source
from dataworth.errors import DataError, InputError
from dataworth.valuation.reading import read_points
from dataworth.valuation.task import encode
from tests.data.test_filters import CONDITIONS

SLOW_CHECKS = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


def table(rows: int, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    embedding = rng.standard_normal((rows, 3), dtype=np.float32)
    return pa.table(
        {
            "id": pa.array([f"row {seed} {at}" for at in range(rows)], pa.string()),
            "a": pa.array(rng.integers(-3, 4, rows), pa.int16()),
            "b": pa.array(rng.integers(-2, 3, rows) / 2, pa.float32()),
            "flag": pa.array(rng.integers(0, 2, rows).astype(bool)),
            "e": pa.FixedSizeListArray.from_arrays(pa.array(embedding.ravel()), 3),
            "kind": pa.array(rng.choice(["cat", "dog", "Ente"], rows)).dictionary_encode(),
            "owner": pa.array(rng.integers(0, 5, rows), pa.int32()),
        }
    )


def write(data: pa.Table, path: Path, most: int, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(data, path, row_group_size=max(1, most), **options)
    elif path.suffix == ".feather":
        feather.write_feather(data, str(path), chunksize=max(1, most))
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, data.schema) as writer:
            writer.write_table(data.unify_dictionaries(), max_chunksize=max(1, most))
    return path


def together(pieces: Sequence[Piece]) -> tuple[Any, Any, Any, Any]:
    x, y, ids = (np.concatenate([getattr(piece, part) for piece in pieces]) for part in ("x", "y", "ids"))
    owners = [piece.owners for piece in pieces if piece.owners is not None]
    return x, y, ids, np.concatenate(owners) if owners else None


def read_all(source: Source, most: int = 10**9) -> tuple[Any, Any, Any, Any]:
    return together([source.read(part) for part in source.parts(most)])


# -- the whole is the sum of the parts ------------------------------------------------------------


@settings(deadline=None, max_examples=60, suppress_health_check=SLOW_CHECKS)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9)), min_size=1, max_size=4),
    suffix=st.sampled_from([".parquet", ".arrow", ".feather"]),
    most=st.integers(1, 60),
    named=st.booleans(),
    text=st.one_of(st.none(), CONDITIONS),
)
def test_parts_of_any_size_are_the_whole_table(
    sizes: list[tuple[int, int]], suffix: str, most: int, named: bool, text: str | None
) -> None:
    """As ``read_points`` reads it; and what a filter leaves, with the places that the rows had before it."""
    tables = [table(rows, seed) for seed, (rows, _) in enumerate(sizes)]
    if not sum(rows for rows, _ in sizes):
        tables[0], sizes[0] = table(5), (5, 3)
    whole = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    columns = {"label": "kind", "owner": "owner", "features": ["a", "e", "b", "flag"]}
    with tempfile.TemporaryDirectory() as folder:
        for at, data in enumerate(tables):
            write(data, Path(folder, f"{at}{suffix}"), sizes[at][1])
        source = Source.open(folder, **columns, id="id" if named else None, filter=text)  # type: ignore[arg-type]
        source = pickle.loads(pickle.dumps(source))  # noqa: S301 - our own
        parts = source.parts(most)
        pieces = [source.read(part) for part in parts]
        x, y, ids, owners = together(pieces)
    assert source.rows == whole.num_rows
    assert [part.number for part in parts] == list(range(len(parts)))
    assert [part.first for part in parts] == [0, *np.cumsum([part.rows for part in parts])[:-1]]
    assert sum(part.rows for part in parts) == whole.num_rows
    assert all(part.rows <= most or len(part.groups) == 1 for part in parts)
    points = read_points(whole, **columns, id="id" if named else None)  # type: ignore[arg-type]
    assert source.names == points.features
    assert (source.width, source.dtype) == (points.x.shape[1], points.x.dtype)
    rows = np.arange(whole.num_rows)
    if text is not None:
        rows = np.flatnonzero(
            Filter.parse(text, whole.schema).mask(whole.to_batches()[0]).to_numpy(zero_copy_only=False)
        )
    np.testing.assert_array_equal(x, points.x[rows])
    np.testing.assert_array_equal(y, points.y[rows])
    np.testing.assert_array_equal(ids, points.ids[rows])
    assert points.owners is not None
    np.testing.assert_array_equal(owners, points.owners[rows])
    assert owners.dtype == points.owners.dtype
    assert all(piece.x.flags.c_contiguous and piece.x.dtype == source.dtype for piece in pieces)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.bool_(), [True, False, True]), (pa.uint8(), [0, 255, 3]), (pa.int32(), [1, -(2**31), 2**31 - 1]),
        (pa.uint64(), [2**64 - 1, 2**53 + 1, 0]), (pa.float16(), np.array([0.5, 1, 2], np.float16)),
        (pa.float32(), [0.1, 0.2, 0.3]), (pa.float64(), [0.1, 0.2, 0.3]),
        (pa.dictionary(pa.int8(), pa.float32()), [0.5, 0.5, 1.5]), (pa.list_(pa.float32()), [[1, 2], [3, 4], [5, 6]]),
        (pa.large_list(pa.int64()), [[1, 2], [3, 4], [5, 6]]), (pa.list_(pa.float64(), 2), [[1, 2], [3, 4], [5, 6]]),
    ],
    ids=str,
)  # fmt: skip
def test_number_types(tmp_path: Path, kind: Any, values: Any, suffix: str) -> None:
    """Alone, and beside another column: the very bits that the whole table gives."""
    data = pa.table({"f": pa.array(values, kind), "g": pa.array([1, 2, 3], pa.int8()), "y": [1.5, 2.5, -1.0]})
    source = write(data, tmp_path / f"t{suffix}", 2)
    for features in (["f"], ["g", "f"]):
        points = read_points(data, label="y", features=features)
        opened = Source.open(source, label="y", features=features)
        x, y, ids, owners = read_all(opened, 1)
        assert opened.names == points.features
        assert x.dtype == points.x.dtype
        np.testing.assert_array_equal(x, points.x)
        np.testing.assert_array_equal(y, points.y)
        np.testing.assert_array_equal(ids, [0, 1, 2])
        assert owners is None


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
@pytest.mark.parametrize(
    "labels",
    [["x", "yy", "x"], [True, False, True], [3, 1, 2], np.array([1, 2, 3], np.uint8), [0.5, 1.0, 2.0]],
    ids=str,
)
@pytest.mark.parametrize("encoded", [False, True])
def test_label_types(tmp_path: Path, labels: Any, encoded: bool, suffix: str) -> None:
    column = pa.array(labels)
    data = pa.table({"f": [1.0, 2.0, 3.0], "y": column.dictionary_encode() if encoded else column})
    source = Source.open(write(data, tmp_path / f"t{suffix}", 2), label="y")
    points = read_points(data, label="y")
    _, y, _, _ = read_all(source, 1)
    assert y.dtype == points.y.dtype
    np.testing.assert_array_equal(y, points.y)
    survey = source.survey()
    np.testing.assert_array_equal(survey.labels, np.unique(points.y))
    assert survey.has_classes == points.has_classes


def test_tensors_and_many_columns(tmp_path: Path) -> None:
    """Blocks that end inside a batch, batches that end inside a row group."""
    rows = 40_000
    x = np.random.default_rng(0).standard_normal((rows, 70), dtype=np.float32)
    kind = pa.FixedShapeTensorArray.from_numpy_ndarray(x[:, :4])
    data = pa.table({"t": kind, **{f"f{at}": x[:, at] for at in range(4, 70)}, "y": np.arange(rows) % 3})
    path = write(data, tmp_path / "t.parquet", 33_000)
    for features, expected in ((None, x), (["t"], x[:, :4]), (["f4"], x[:, 4:5])):
        source = Source.open(path, label="y", features=features)
        np.testing.assert_array_equal(read_all(source)[0], expected)
        assert source.survey(threads=2).rows == rows


def test_a_row_group_without_a_passing_row_is_not_read(tmp_path: Path) -> None:
    data = pa.table({"f": np.arange(30.0), "y": [0, 1] * 15, "t": [f"{at:02}" for at in range(30)]})
    path = write(data, tmp_path / "t.parquet", 10, compression="none", use_dictionary=False, write_page_checksum=True)
    chunk = pq.read_metadata(path).row_group(0).column(1)
    spoil(path, chunk.data_page_offset + chunk.total_compressed_size - 5)
    for text in ("f >= 12 and y == 1", "f in (15, 12.0) or f > 25", "t > '11'", "not f < 12"):
        source = Source.open(path, label="y", features=["f"], filter=text)
        read_all(source)
        source.survey()
    with pytest.raises(DataError, match="row group 0 of"):
        Source.open(path, label="y", features=["f"], filter="f >= 9").survey()


@pytest.mark.parametrize("size", [1, 4, 5, 30])
@pytest.mark.parametrize("most", [1, 9, 100])
@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("f in (7, 22.0)", [7, 22]),
        ("f > 26 or f < 3", [0, 1, 2, 27, 28, 29]),
        ("t in ('29', '03', 'x')", [3, 29]),
        ("f not in (3, 4) and 2 <= f <= 5", [2, 5]),
        ("not (f < 12 or t >= '14')", [12, 13]),
        ("d == '2024-01-09'", [8]),
        ("w == 17 and not f != 17", [17]),
    ],
)
def test_places_stay_where_row_groups_are_left_out(
    tmp_path: Path, text: str, places: list[int], most: int, size: int
) -> None:
    data = pa.table(
        {
            "f": np.arange(30.0), "w": pa.array(range(30), pa.uint8()), "y": [0, 1] * 15,
            "t": [f"{at:02}" for at in range(30)], "d": [datetime.date(2024, 1, 1 + at) for at in range(30)],
        }
    )  # fmt: skip
    write(data.slice(0, 13), tmp_path / "0.parquet", size)
    write(data.slice(13), tmp_path / "1.parquet", size)
    x, _, ids, _ = read_all(Source.open(tmp_path, label="y", features=["f"], filter=text), most)
    assert ids.tolist() == places
    assert x[:, 0].tolist() == places


def test_statistics_that_leave_nan_out_decide_nothing_about_it(tmp_path: Path) -> None:
    data = pa.table({"g": [1.0, np.nan, 3.0], "f": [1.0, 2.0, 3.0], "y": [0, 1, 0]})
    path = write(data, tmp_path / "t.parquet", 3)
    for text, ids in (("missing(g)", [1]), ("not missing(g)", [0, 2]), ("not g > 5", [0, 2]), ("g != 1", [2])):
        assert read_all(Source.open(path, label="y", features=["f"], filter=text))[2].tolist() == ids


def test_gaps_and_nan_in_rows_that_do_not_pass_harm_nobody(tmp_path: Path) -> None:
    data = pa.table({"f": [1.0, None, np.nan, 4.0], "y": ["a", None, "b", "b"], "id": [1, 1, None, 2]})
    source = Source.open(write(data, tmp_path / "t.parquet", 2), label="y", id="id", filter="f > 0")
    x, y, ids, _ = read_all(source)
    assert (x.tolist(), y.tolist(), ids.tolist()) == ([[1.0], [4.0]], ["a", "b"], [1, 2])
    survey = source.survey()
    assert survey.rows == 2
    assert survey.rows_of_files == (2,)


# -- what may be missing --------------------------------------------------------------------------

# Entries of a feature column, and what a single one may be.
ENTRIES: dict[Any, st.SearchStrategy[Any]] = {
    pa.bool_(): st.booleans(),
    pa.int8(): st.integers(-128, 127),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(),
    pa.dictionary(pa.int8(), pa.float32()): st.floats(width=32),
    pa.null(): st.none(),
    pa.list_(pa.float32()): st.lists(st.none() | st.floats(width=32), min_size=2, max_size=2),
    pa.list_(pa.int64(), 2): st.lists(st.none() | st.integers(-(2**60), 2**60), min_size=2, max_size=2),
    pa.large_list(pa.float64()): st.lists(st.floats(), min_size=1, max_size=1),
}


@st.composite
def with_gaps(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(1, 12))
    kinds = draw(st.lists(st.sampled_from(list(ENTRIES)), min_size=1, max_size=4))
    columns = {}
    for at, kind in enumerate(kinds):
        entries = draw(st.lists(st.none() | ENTRIES[kind], min_size=rows, max_size=rows))
        if pa.types.is_nested(kind) and not any(entries):
            entries[-1] = draw(ENTRIES[kind])
        columns[f"f{at}"] = pa.array(entries, kind)
    return pa.table({**columns, "y": pa.array([f"class {at % 2}" for at in range(rows)])})


@settings(deadline=None, max_examples=80)
@given(
    data=with_gaps(), group=st.integers(1, 12), most=st.integers(1, 12), suffix=st.sampled_from([".parquet", ".arrow"])
)
def test_what_is_missing_is_read_as_the_whole_table_has_it(data: pa.Table, group: int, most: int, suffix: str) -> None:
    """NaN where nothing is, everything else as it is; and nobody says a word of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = write(data, Path(folder, f"t{suffix}"), group)
        source = Source.open(path, label="y", allow_missing=True)
        x, y, _, _ = read_all(source, most)
        survey = source.survey(usable=lambda rows: np.isfinite(rows).all(axis=1))
        points = read_points(data, label="y", allow_missing=True)
        assert (source.dtype, source.width) == (points.x.dtype, points.x.shape[1])
        np.testing.assert_array_equal(x, points.x)
        np.testing.assert_array_equal(y, points.y)
        assert survey.rows == len(points)
        assert survey.has_classes
        if points.missing:
            with pytest.raises(DataError, match=r"missing|lacks|NaN or infinity|numbers"):
                Source.open(path, label="y").survey()


def test_which_rows_are_of_use_is_asked_of_finite_rows_alone(tmp_path: Path) -> None:
    data = pa.table({"f": [None, np.nan, np.inf, 1.0, 2.0], "y": [0, 1, 0, 1, 0]})
    source = Source.open(write(data, tmp_path / "t.parquet", 2), label="y", allow_missing=True)
    asked: list[float] = []

    def usable(rows: Any) -> Any:
        assert len(rows)  # nothing is asked of nobody
        asked.extend(rows[:, 0].tolist())
        return rows[:, 0] > 1

    with pytest.raises(DataError, match="1 of 5 rows are too small"):
        source.survey(usable=usable, unusable="are too small", threads=1)
    assert asked == [1.0, 2.0]


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("y", ["a", None, "b"], "label column 'y' is missing in 1 of 3 rows"),
        ("y", [1.0, np.inf, 2.0], "the label is NaN or infinite in 1 of 3 rows"),
        ("id", ["a", None, "b"], "id column 'id' is missing in 1 of 3 rows"),
        ("owner", ["a", "b", None], "owner column 'owner' is missing in 1 of 3 rows"),
        ("f", [[1.0], [1.0, 2.0], None], "'f' is ragged"),
    ],
)
def test_labels_and_names_must_be_there_all_the_same(tmp_path: Path, column: str, values: Any, words: str) -> None:
    data = pa.table({"f": [1.0, None, 3.0], "y": [0, 1, 0], "id": [1, 2, 3], "owner": [1, 2, 3]})
    data = data.set_column(data.column_names.index(column), column, pa.array(values))
    path = write(data, tmp_path / "t.parquet", 9)
    source = Source.open(path, label="y", id="id", owner="owner", allow_missing=True)
    for look in (source.survey, lambda: read_all(source)):
        with pytest.raises(DataError, match=words):
            look()


def test_a_column_of_lists_that_are_all_missing_has_no_width(tmp_path: Path) -> None:
    data = pa.table({"f": pa.array([None, None], pa.list_(pa.float32())), "y": [0, 1]})
    path = write(data, tmp_path / "t.parquet", 9)
    for allowed in (False, True):
        with pytest.raises(DataError, match="'f' has no list in any row"):
            Source.open(path, label="y", allow_missing=allowed)


def test_rows_without_labels(tmp_path: Path) -> None:
    """All is read as with them, but for the labels; their column is a feature like any other."""
    write(table(6), tmp_path / "0.parquet", 2)
    write(table(5, 1), tmp_path / "1.parquet", 3)
    some = {"id": "id", "owner": "owner", "features": ["e", "a"]}
    bare, full = (Source.open(tmp_path, label=label, **some) for label in (None, "kind"))  # type: ignore[arg-type]
    assert bare.label is None
    for part in bare.parts(4):
        ours, theirs = bare.read(part), full.read(part)
        assert ours.labels is None
        np.testing.assert_array_equal(ours.x, theirs.x)
        np.testing.assert_array_equal(ours.ids, theirs.ids)
        assert ours.owners is not None
        np.testing.assert_array_equal(ours.owners, theirs.owners)
        with pytest.raises(InputError, match=r"have no labels; Source.open\(..., label=...\)"):
            _ = ours.y
        assert bare.names_only().read(part).labels is None
    survey = bare.survey()
    assert (survey.rows, survey.labels, survey.has_classes) == (11, None, False)
    with pytest.raises(DataError, match=r"features must be numbers.*'kind'"):
        Source.open(tmp_path, label=None, id="id")


# -- which files ----------------------------------------------------------------------------------


def test_files_are_found(tmp_path: Path) -> None:
    names = [
        "b/1.parquet",
        "a/2.pq",
        "a/10.parquet",
        "c.arrow",
        "_temporary/0.parquet",
        ".hidden/1.parquet",
        "_x.parquet",
    ]
    for seed, name in enumerate(names):
        target = tmp_path / name
        plain_name = target.with_suffix(".parquet" if target.suffix == ".pq" else target.suffix)
        write(table(3, seed), plain_name, 2).rename(target)
    (tmp_path / "a/notes.txt").write_text("no table")

    def found(where: Any) -> list[str]:
        files = Source.open(where, label="kind", id="id").files
        return [Path(file).relative_to(tmp_path).as_posix() for file in files]

    assert found(tmp_path) == ["a/10.parquet", "a/2.pq", "b/1.parquet", "c.arrow"]
    assert found(f"{tmp_path}/*/*.parquet") == ["_temporary/0.parquet", "a/10.parquet", "b/1.parquet"]
    assert found([tmp_path / "c.arrow", str(tmp_path / "a")]) == ["c.arrow", "a/10.parquet", "a/2.pq"]
    relative = os.path.relpath(tmp_path / "c.arrow")
    assert found(relative) == ["c.arrow"]
    for where, words in [
        ([], "list is empty"),
        (tmp_path / "none.parquet", "there is no file"),
        (f"{tmp_path}/*.csv", "no file matches"),
        (tmp_path / "a/notes.txt", "cannot be read part by part"),
        ([tmp_path, tmp_path / "c.arrow"], "named twice"),
    ]:
        with pytest.raises(DataError, match=words):
            found(where)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="has no file"):
        found(empty)


def test_a_name_may_look_like_a_pattern(tmp_path: Path) -> None:
    path = write(table(3), tmp_path / "a[1].parquet", 2)
    assert Source.open(path, label="kind", id="id").files == (str(path),)


@settings(deadline=None, max_examples=150, suppress_health_check=SLOW_CHECKS)
@given(
    way=st.lists(st.sampled_from(["a", "b", ".h", "_u", "link", "ab"]), max_size=3),
    name=st.sampled_from(["c.parquet", ".c.parquet", "_c.parquet", "b", "c.PQ", "c.txt"]),
    asked=st.lists(
        st.sampled_from(
            [".", "a", "real", "link", "*.parquet", "*/*.parquet", "**", "**/*.parquet", "a/**/c*", "[a-b]/*", ".*/*",
             "**/_*", "a/first.parquet", "a*/**/b/*", "link/**/*.parquet", "*/.c*", "?/c.parquet"]
        ),
        min_size=1, max_size=2,
    ),
    through=st.booleans(),
)  # fmt: skip
def test_what_would_be_read_is_what_an_opening_finds(
    way: list[str], name: str, asked: list[str], through: bool
) -> None:
    """Any place, any folder, file or pattern; also by way of links."""
    with tempfile.TemporaryDirectory() as base:
        rows = Path(base, "rows")
        for folder in ("a", "b", "real", ".h", "_u"):
            write(table(2), rows / folder / "first.parquet", 2)
        (rows / "link").symlink_to("real")
        Path(base, "other").symlink_to("rows")
        where = [str(rows if part == "." else rows / part) for part in asked]
        places = places_of(where)
        file = rows.joinpath(*way, name)
        said = would_find(places, str(Path(base, "other", file.relative_to(rows)) if through else file))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        found = set[str]()
        for one in where:
            magic = glob.has_magic(one)
            with contextlib.suppress(DataError):  # there is no such file
                found |= {
                    os.path.realpath(path) for path in (glob.glob(one, recursive=True) if magic else paths_of(one))
                }
        assert said == (os.path.realpath(file) in found)


def test_what_would_be_read_stays_where_it_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(table(2), tmp_path / "rows/0.parquet", 2)
    monkeypatch.chdir(tmp_path)
    folder, pattern, file = (
        Source.open(where, label="kind", id="id") for where in ("rows", "*/*.parquet", ["rows/0.parquet"])
    )
    monkeypatch.chdir("/")
    for name, said in [
        ("rows/1.parquet", (True, True, False)), ("rows/0.parquet", (True, True, True)),
        ("rows/out/1.parquet", (True, False, False)), ("rows/_out/1.parquet", (False, False, False)),
        ("out/1.parquet", (False, True, False)), ("1.parquet", (False, False, False)),
    ]:  # fmt: skip
        assert tuple(source.would_read(tmp_path / name) for source in (folder, pattern, file)) == said
    assert folder.would_read(str(tmp_path / "rows/1.parquet"))
    assert not folder.would_read("rows/1.parquet")
    same = Source.open([tmp_path / "rows/0.parquet"], label="kind", id="id")
    assert same.digest == folder.digest


def test_what_is_sent_is_not_what_was_worked_out(tmp_path: Path) -> None:
    source = Source.open(write(table(2), tmp_path / "0.parquet", 2), label="kind", id="id")
    before = pickle.dumps(source)
    source.names_only().read(source.parts(2)[0])
    assert source.digest != str(source.names)
    assert pickle.dumps(source) == before
    there = pickle.loads(before)  # noqa: S301 - our own
    assert there.digest == source.digest
    assert len(there.read(there.parts(2)[0])) == 2


def test_files_without_rows_are_fine(tmp_path: Path) -> None:
    write(table(0), tmp_path / "0.parquet", 2)
    nothing = pa.table({name: pa.nulls(0) for name in table(0).column_names})
    write(nothing, tmp_path / "1.parquet", 2)
    write(table(5), tmp_path / "2.parquet", 2)
    write(table(0), tmp_path / "3.arrow", 2)
    source = Source.open(tmp_path, label="kind", id="id")
    assert [part.file for part in source.parts(3)] == [str(tmp_path / "2.parquet")] * 2
    assert source.survey().rows_of_files == (0, 0, 5, 0)
    (tmp_path / "2.parquet").unlink()
    with pytest.raises(DataError, match="the 3 files have no rows"):
        Source.open(tmp_path, label="kind")


def test_empty_row_groups_are_fine(tmp_path: Path) -> None:
    data = table(6)
    with pq.ParquetWriter(tmp_path / "t.parquet", data.schema) as writer:
        for start, stop in ((0, 0), (0, 2), (2, 2), (2, 6), (6, 6)):
            writer.write_table(data.slice(start, stop - start))
    source = Source.open(tmp_path, label="kind", id="id")
    assert [part.groups for part in source.parts(100)] == [(1, 3)]
    np.testing.assert_array_equal(read_all(source)[2], read_points(data, label="kind", id="id").ids)


def test_columns_may_stand_in_another_order_and_texts_be_stored_otherwise(tmp_path: Path) -> None:
    data = table(4)
    write(data, tmp_path / "0.parquet", 2)
    other = table(4, 1)
    other = other.set_column(5, "kind", other["kind"].cast(pa.large_string())).select(data.column_names[::-1])
    write(other, tmp_path / "1.parquet", 2)
    x, y, ids, _ = read_all(Source.open(tmp_path, label="kind", id="id", features=["a", "b"]))
    both = pa.concat_tables([data, other.select(data.column_names).cast(data.schema)])
    points = read_points(both, label="kind", id="id", features=["a", "b"])
    np.testing.assert_array_equal(x, points.x)
    np.testing.assert_array_equal(y, points.y)
    np.testing.assert_array_equal(ids, points.ids)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data.drop_columns(["a"]), "2.parquet' lacks 'a', compared with .*0.parquet'"),
        (lambda data: data.append_column("z", data["a"]), "2.parquet' also has 'z', compared"),
        (lambda data: data.rename_columns({"a": "A"}), "2.parquet' lacks 'a' and also has 'A'"),
        (
            lambda data: data.set_column(1, "a", data["a"].cast(pa.int32())),
            "2.parquet' has 'a' as int32, and .*0.parquet' as int16",
        ),
        (lambda data: data.set_column(1, "a", pa.nulls(4)), "2.parquet' has 'a' as null"),
    ],
)
def test_the_first_odd_file_is_named(tmp_path: Path, change: Any, words: str) -> None:
    for at in range(4):
        write(table(4, at) if at < 2 else change(table(4, at)), tmp_path / f"{at}.parquet", 2)
    with pytest.raises(DataError, match=words):
        Source.open(tmp_path, label="kind", id="id")


def test_columns_that_do_not_do(tmp_path: Path) -> None:
    data = pa.table(
        {
            "y": [1, 2], "text": ["a", "b"], "money": pa.array([1, 2], pa.decimal128(5, 2)), "blob": [b"1", b"2"],
            "list": [[1.0], [2.0]], "none": pa.array([[], []], pa.list_(pa.float32())), "f": [1.0, 2.0],
            "image": pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((2, 2, 2), np.float32)),
        }
    )  # fmt: skip
    path = write(data, tmp_path / "t.parquet", 2)
    for asked, words in [
        ({"label": "y"}, r"these columns are not: 'text' \(string\).* turn it into numbers, or leave"),
        ({"label": "y", "features": ["money"]}, "'money' holds decimals"),
        ({"label": "money", "features": ["f"]}, "'money' holds decimals"),
        ({"label": "blob", "features": ["f"]}, "label column 'blob' must hold"),
        ({"label": "y", "id": "f"}, "id column 'f' must hold integers or strings"),
        ({"label": "y", "owner": "list"}, "owner column 'list' must hold"),
        ({"label": "Y"}, r"has no column 'Y' \(label=\)"),
        ({"label": "y", "features": ["g"]}, r"has no column 'g' \(features=\)"),
        ({"label": "y", "features": ["y"]}, "cannot be a feature of itself"),
        ({"label": "y", "features": ["f", "f"]}, "twice"),
        ({"label": "y", "features": ["none"]}, "empty lists"),
        ({"label": "y", "features": ["image"]}, "embed it"),
        ({"label": "y", "features": ["f"], "filter": "g > 3"}, r"has no column 'g' \(filter\)"),
    ]:
        with pytest.raises(DataError, match=words):
            Source.open(path, **asked)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="list of column names"):
        Source.open(path, label="y", features="f")
    source = Source.open(path, label="y", features=["f"])
    with pytest.raises(InputError, match="at least 1"):
        source.parts(0)
    with pytest.raises(InputError, match="at least 1"):
        source.survey(threads=0)
    other = Source.open(write(data, tmp_path / "u.parquet", 2), label="y", features=["f"])
    with pytest.raises(InputError, match="no part of this source"):
        source.read(other.parts(1)[0])
    twice = pa.table([[1], [2], [3]], names=["f", "f", "y"])
    with pytest.raises(DataError, match="repeats 'f'"):
        Source.open(write(twice, tmp_path / "v.arrow", 2), label="y")


# -- damage ---------------------------------------------------------------------------------------


def spoil(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    about = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_files_that_are_cut_or_foreign_are_named_at_opening(tmp_path: Path, suffix: str) -> None:
    for at in range(3):
        write(table(50, at), tmp_path / f"{at}{suffix}", 10)
    odd = tmp_path / f"1{suffix}"
    whole = odd.read_bytes()
    cases = [b"", b"PAR1", b"ARROW1\0\0", whole[:-1], whole[: len(whole) // 2], b"a,b\n1,2\n", whole[4:], whole + b"x"]
    if suffix == ".parquet":
        cases.append(whole[:4] + whole[400:])
    for content in cases:
        odd.write_bytes(content)
        with pytest.raises(DataError, match=re.escape(repr(str(odd)))):
            Source.open(tmp_path, label="kind", id="id")
    odd.write_bytes(whole)
    Source.open(tmp_path, label="kind", id="id")


def test_an_arrow_stream_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table(3).schema) as writer:
        writer.write_table(table(3))
    with pytest.raises(DataError, match="Arrow stream; write it as an Arrow file"):
        Source.open(path, label="kind")


def test_a_flipped_bit_under_a_checksum_is_named(tmp_path: Path) -> None:
    for at in range(5):
        write(table(60, at), tmp_path / f"{at}.parquet", 20, compression="none", write_page_checksum=True)
    odd = tmp_path / "3.parquet"
    pages = pq.read_metadata(odd).row_group(2)
    column = next(pages.column(at) for at in range(pages.num_columns) if pages.column(at).path_in_schema == "b")
    spoil(odd, column.data_page_offset + column.total_compressed_size // 2 + 10)
    source = Source.open(tmp_path, label="kind", id="id")
    with pytest.raises(DataError, match=r"1 of 5 files.*row group 2 of .*3\.parquet' cannot be decoded.*checksum"):
        source.survey(threads=2)
    with pytest.raises(DataError, match=r"row groups 0 to 2 of .*3\.parquet' cannot be decoded"):
        read_all(source)


@settings(deadline=None, max_examples=60, suppress_health_check=SLOW_CHECKS)
@given(
    place=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255), suffix=st.sampled_from([".parquet", ".arrow"])
)
def test_a_flipped_byte_anywhere_is_an_error_or_another_number(
    tmp_path: Path, place: float, bits: int, suffix: str
) -> None:
    """Never another exception, a crash, or rows of another shape."""
    path = write(table(40), tmp_path / f"t{suffix}", 10)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= bits
    path.write_bytes(content)
    try:
        source = Source.open(path, label="kind", id="id", owner="owner", filter="a > -3")
        source.survey(threads=1)
        x, y, ids, owners = read_all(source)
    except DataError:
        return
    assert x.shape == (len(y), source.width)
    assert np.isfinite(x).all()
    assert len(ids) == len(owners) == len(y)


def test_a_file_that_changed_since_is_not_read(tmp_path: Path) -> None:
    path = write(table(6), tmp_path / "t.parquet", 2)
    source = Source.open(path, label="kind", id="id")
    part = source.parts(2)[1]
    source.read(part)
    write(table(6, 1), path, 2)
    with pytest.raises(DataError, match="has changed since it was opened"):
        source.read(part)
    with pytest.raises(DataError, match="has changed since it was opened"):
        source.survey()
    other = pa.table({"f": [1.0, 2.0], "y": [0, 1]})
    size = write(other, path, 2).stat().st_size
    source = Source.open(path, label="y")
    write(other.set_column(0, "f", pa.array([1.0, 3.0])), path, 2)
    assert path.stat().st_size == size
    part = source.parts(2)[0]
    with pytest.raises(DataError, match="has changed since it was opened"):
        source.read(part)
    path.unlink()
    with pytest.raises(DataError, match="is gone"):
        source.read(part)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_a_file_of_the_same_footer_and_another_time_is_not_read(tmp_path: Path, suffix: str) -> None:
    """The footer of an Arrow file says nothing of its rows."""
    path = write(pa.table({"f": [1.0, 2.0], "y": [0, 1]}), tmp_path / f"t{suffix}", 2)
    source = Source.open(path, label="y")
    footer, stamp = source._files[0].footer, path.stat().st_mtime_ns
    if suffix == ".arrow":
        write(pa.table({"f": [1.0, 3.0], "y": [0, 1]}), path, 2)
        assert Source.open(path, label="y")._files[0].footer == footer
    os.utime(path, ns=(stamp + 1000, stamp + 1000))
    for look in (source.survey, lambda: source.read(source.parts(2)[0])):
        with pytest.raises(DataError, match="has changed since it was opened"):
            look()


def test_the_digest_knows_files_columns_and_filter(tmp_path: Path) -> None:
    path = write(table(6), tmp_path / "0.parquet", 2)
    write(table(6, 1), tmp_path / "1.parquet", 2)

    def digest(**asked: Any) -> str:
        return Source.open(tmp_path, **{"label": "kind", "id": "id", **asked}).digest

    before = digest()
    different = {
        before, digest(id="owner", features=["a"]), digest(features=["a", "b"]), digest(features=["b", "a"]),
        digest(filter="a > 0"), digest(filter="a > 1"), digest(owner="owner"), digest(allow_missing=True),
        digest(label=None, features=["a"]),
    }  # fmt: skip
    assert len(different) == 9
    assert digest() == before
    first = Source.open(tmp_path, label="kind", id="id").file_digests
    write(table(6, 2), path, 2)
    assert digest() != before
    second = Source.open(tmp_path, label="kind", id="id").file_digests
    assert first[0] != second[0]
    assert first[1] == second[1]
    write(table(6), path, 2)
    os.utime(path, ns=(0, 0))  # the same bytes, written at another time
    assert digest() != before
    write(table(1, 7), tmp_path / "2.parquet", 2)
    assert digest() not in different


def test_files_of_one_name_size_and_time_are_told_apart(tmp_path: Path) -> None:
    """The footer of an Arrow file says nothing of its rows."""
    one, other = pa.table({"f": [1.0, 2.0], "y": [0, 1]}), pa.table({"f": [1.0, 3.0], "y": [0, 1]})
    for day, data in [(1, one), (2, other)]:
        os.utime(write(data, tmp_path / f"rows/day={day}/part-0.arrow", 2), ns=(5, 5))
    shutil.copytree(tmp_path / "rows", tmp_path / "copy")
    write(other, tmp_path / "turned/day=1/part-0.arrow", 2)
    write(one, tmp_path / "turned/day=2/part-0.arrow", 2)
    for path in tmp_path.glob("turned/*/*"):
        os.utime(path, ns=(5, 5))
    names = ["day=1/part-0.arrow", "day=2/part-0.arrow"]

    def opened(where: Any) -> Source:
        return Source.open(where, label="y")

    rows = opened(tmp_path / "rows")
    assert len({(file.size, file.stamp, file.footer) for file in rows._files}) == 1
    assert rows.file_digests[0] != rows.file_digests[1]
    assert opened(tmp_path / "copy").digest == rows.digest  # as a whole, with its times
    assert opened([tmp_path / "rows" / name for name in names]).digest == rows.digest
    assert opened([tmp_path / "rows" / name for name in names[::-1]]).digest != rows.digest  # rows in another order
    alone = [opened(tmp_path / "rows" / name) for name in names]
    assert alone[0].file_digests + alone[1].file_digests == rows.file_digests  # whatever comes beside a file
    os.rename(tmp_path / "rows/day=2", tmp_path / "rows/day=3")
    assert opened(tmp_path / "rows").digest != rows.digest


def test_a_footer_is_compared_again_when_a_file_is_written_again(tmp_path: Path) -> None:
    """With its size and its time of change as they were, in place or put in its place."""
    path, at = tmp_path / "t.parquet", (10**18, 10**18)

    def put(data: pa.Table, path: Path) -> int:
        write(data, path, 2, compression="none", use_dictionary=False)
        os.utime(path, ns=at)
        return path.stat().st_size

    for put_aside in (False, True):
        size = put(pa.table({"f": [1.0, 2.0], "y": [0, 1]}), path)
        source = Source.open(path, label="y")
        part = source.parts(2)[0]
        source.read(part)
        time.sleep(0.02)  # clocks of file systems tick every few milliseconds
        other = tmp_path / "other.parquet" if put_aside else path
        assert put(pa.table({"f": [1.0, 3.0], "y": [0, 1]}), other) == size
        other.replace(path)
        with pytest.raises(DataError, match="has changed since it was opened"):
            source.read(part)


# -- the survey -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("a", pa.array([1, None, 3, None], pa.int16()), "feature columns are missing: 'a' in 2 of 4 rows"),
        ("b", pa.array([1, np.nan, np.inf, 4], pa.float32()), "NaN or infinity: 'b' in 2 of 4 rows"),
        ("e", pa.array([[1, 2, 3], None, [1, 2, 3], [1, 2, 3]], pa.list_(pa.float32(), 3)), "missing: 'e' in 1 of 4"),
        ("kind", pa.array(["cat", None, "dog", "dog"]), "label column 'kind' is missing in 1 of 4 rows"),
        ("id", pa.array(["secret", None, "x", None]), "id column 'id' is missing in 2 of 4 rows"),
        ("owner", pa.array([None, 1, 2, 3], pa.int32()), "owner column 'owner' is missing in 1 of 4 rows"),
    ],
)
def test_what_is_missing_is_counted_for_each_file(tmp_path: Path, column: str, values: Any, words: str) -> None:
    for at in range(3):
        data = table(4, at)
        if at:
            data = data.set_column(data.column_names.index(column), column, values)
        write(data, tmp_path / f"{at}.parquet", 3)
    source = Source.open(tmp_path, label="kind", id="id", owner="owner")
    with pytest.raises(DataError, match=f"2 of 3 files cannot be used: .*1.parquet': .*{words}.*2.parquet': ") as error:
        source.survey()
    assert "secret" not in str(error.value)
    part = source.parts(100)[1]
    with pytest.raises(DataError, match=f"1.parquet': .*{words}"):
        source.read(part)


@pytest.mark.parametrize("size", [2, 1000])
def test_rows_of_no_use_are_counted_for_each_file(tmp_path: Path, size: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (3000, 2)).astype(np.float32)
    x[:1000] += 1
    for at in range(3):
        data = pa.table({"a": x[at * 1000 :, 0][:1000], "b": x[at * 1000 :, 1][:1000], "y": [0] * 1000})
        write(data, tmp_path / f"{at}.parquet", size)

    def any_number(rows: Any) -> Any:
        return np.asarray(rows.any(axis=1))

    of_none = [int((~x[at * 1000 :][:1000].any(axis=1)).sum()) for at in range(3)]
    assert of_none[0] == 0 < min(of_none[1:])
    source = Source.open(tmp_path, label="y")
    assert source.survey().rows == 3000
    with pytest.raises(DataError) as error:
        source.survey(usable=any_number, unusable="are all zero")
    assert str(error.value) == "2 of 3 files cannot be used: " + "; ".join(
        f"{str(tmp_path / f'{at}.parquet')!r}: {of_none[at]} of 1000 rows are all zero" for at in (1, 2)
    )
    passing = Source.open(tmp_path, label="y", filter="a > 0 or b > 0")
    assert passing.survey(usable=any_number).rows == 3000 - sum(of_none)


def test_rows_that_are_not_there_are_not_told_to_be_of_no_use(tmp_path: Path) -> None:
    data = pa.table({"a": pa.array([0.0, None, 1.0, 0.0]), "y": [0, 1, 0, 1]})
    source = Source.open(write(data, tmp_path / "t.parquet", 1), label="y")
    with pytest.raises(DataError, match="'a' in 1 of 4 rows") as error:
        source.survey(usable=lambda rows: np.asarray(rows != 0)[:, 0], unusable="are all zero")
    assert "all zero" not in str(error.value)


def test_what_says_which_rows_are_of_use_says_it_of_each(tmp_path: Path) -> None:
    source = Source.open(write(table(6), tmp_path / "t.parquet", 3), label="kind", id="id", features=["a"])
    for wrong in (lambda rows: rows.sum(axis=1), lambda rows: rows > 0):
        with pytest.raises(InputError, match="usable must give a bool for each of 3 rows"):
            source.survey(usable=wrong)


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3)


@settings(deadline=None, max_examples=60, suppress_health_check=SLOW_CHECKS)
@given(
    names=st.lists(st.tuples(NAMES, st.sampled_from([0, 0, 0, 60, 64, 65, 300])), min_size=1, max_size=12),
    suffix=st.sampled_from([".parquet", ".arrow", ".feather"]),
    kind=st.sampled_from([pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]),
    group=st.integers(1, 5),
    most=st.integers(1, 12),
)
def test_texts_of_any_length_are_read_as_they_are(
    names: list[tuple[str, int]], suffix: str, kind: pa.DataType, group: int, most: int
) -> None:
    """A few long ones do not make room for all as long; what is asked of arrays has the same answers."""
    texts = [name + "l" * more for name, more in names]
    ids = [f"{at} {text}" for at, text in enumerate(texts)]
    columns = {"f": pa.array([1.0] * len(texts)), "id": pa.array(ids, kind)}
    columns |= {"y": pa.array(texts, kind), "o": pa.array(texts[::-1], kind)}
    with tempfile.TemporaryDirectory() as folder:
        path = write(pa.table(columns), Path(folder, f"t{suffix}"), group)
        source = Source.open(path, label="y", id="id", owner="o", features=["f"])
        pieces = [source.read(part) for part in source.parts(most)]
        survey = source.survey()
    for held, texts_of in (("labels", texts), ("ids", ids), ("owners", texts[::-1])):
        assert [text for piece in pieces for text in getattr(piece, held).tolist()] == texts_of
    assert survey.labels is not None
    assert survey.labels.tolist() == sorted(set(texts))
    classes = np.array(sorted({*texts, "none"}))
    codes = np.concatenate([encode(piece.y, classes) for piece in pieces])
    assert classes[codes].tolist() == texts
    for piece in pieces:
        assert (piece.y.dtype.kind == "O") == (kind == pa.string() and max(map(len, piece.y.tolist())) > 64) or (
            kind != pa.string()
        )


@pytest.mark.parametrize("part", ["label", "id", "owner"])
@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_texts_with_nul_are_refused(tmp_path: Path, part: str, coded: bool, suffix: str) -> None:
    """Arrays would take ``a`` and ``a`` with NUL behind it for one."""
    names = pa.array(["a", "a\0", "b", "c"])
    data = pa.table({"f": [1.0, 2.0, 3.0, 4.0], "y": [0, 1, 0, 1], "n": names.dictionary_encode() if coded else names})
    asked = {"label": "y", "features": ["f"]} | {part: "n"}
    source = Source.open(write(data, tmp_path / f"t{suffix}", 4), **asked)  # type: ignore[arg-type]
    for look in (source.survey, lambda: source.read(source.parts(4)[0])):
        with pytest.raises(DataError, match=f"{part} column 'n' holds NUL characters; remove them"):
            look()


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_texts_that_are_no_names_are_refused(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few may be as long as they like; all may not."""
    monkeypatch.setattr(sources, "_TEXT_SPARE", 0)
    for length, refused in [(380, False), (450, True)]:
        texts = [f"{at:0{length}}" for at in range(20)]
        data = pa.table({"f": np.ones(20), "y": np.zeros(20, int), "id": texts})
        source = Source.open(write(data, tmp_path / f"{length}{suffix}", 10), label="y", id="id")
        for look in (source.survey, lambda opened=source: opened.read(opened.parts(20)[0])):
            if refused:
                with pytest.raises(DataError, match="id column 'id' holds texts of more than 448 bytes a row"):
                    look()
            else:
                look()


def test_a_dictionary_may_hold_what_is_missing(tmp_path: Path) -> None:
    codes = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int8()), pa.array(["a", None]))
    data = pa.table({"f": [1.0, 2.0, 3.0], "y": codes})
    source = Source.open(write(data, tmp_path / "t.arrow", 9), label="y")
    with pytest.raises(DataError, match="label column 'y' is missing in 1 of 3 rows"):
        source.survey()


def test_text_that_is_no_text_is_named(tmp_path: Path) -> None:
    data = pa.table({"f": [1.0, 2.0], "y": pa.array([b"a", b"\xe4\xf6"]).view(pa.string())})
    for suffix in (".parquet", ".arrow"):
        source = Source.open(write(data, tmp_path / f"t{suffix}", 2), label="y")
        with pytest.raises(DataError, match=r"0 of .* holds text that is not UTF-8"):
            source.survey()


def test_labels_that_are_no_numbers(tmp_path: Path) -> None:
    source = Source.open(write(pa.table({"f": [1.0, 2.0], "y": [0.5, np.nan]}), tmp_path / "t.parquet", 1), label="y")
    for check in (source.survey, lambda: read_all(source)):
        with pytest.raises(DataError, match="label is NaN or infinite in 1 of"):
            check()


def test_lists_must_be_of_one_length_in_all_files(tmp_path: Path) -> None:
    for at, entries in enumerate([[None, [1.0, 2.0]], [[1.0, 2.0, 3.0], [1.0, 2.0, 4.0]]]):
        write(pa.table({"e": pa.array(entries, pa.list_(pa.float64())), "y": [0, 1]}), tmp_path / f"{at}.parquet", 1)
    source = Source.open(tmp_path, label="y", filter="not missing(e)")
    assert source.width == 2
    with pytest.raises(
        DataError, match=r"1\.parquet': feature column 'e' is ragged: lists of 3 entries here, 2 elsewhere"
    ):
        source.survey()
    with pytest.raises(DataError, match=r"1\.parquet': feature column 'e' is ragged"):
        read_all(source)


def test_nothing_passes(tmp_path: Path) -> None:
    source = Source.open(write(table(4), tmp_path / "t.parquet", 2), label="kind", id="id", filter="a > 100")
    with pytest.raises(DataError, match="no row of Source"):
        source.survey()
    x, y, ids, owners = read_all(source)
    assert x.shape == (0, source.width)
    assert (len(y), len(ids), owners) == (0, 0, None)


def test_progress_and_a_survey_of_many_labels(tmp_path: Path) -> None:
    rows = 1500
    data = pa.table({"f": np.arange(rows) / 2, "y": np.arange(rows) / 4})
    seen: list[int] = []
    survey = Source.open(write(data, tmp_path / "t.parquet", 400), label="y").survey(seen.append)
    assert seen == [400, 400, 400, 300]
    assert survey.labels is None
    assert not survey.has_classes


@pytest.mark.parametrize("small", [False, True], ids=["in memory", "on disk"])
@pytest.mark.parametrize(
    "kind", [pa.int64(), pa.uint64(), pa.int8(), pa.string(), pa.dictionary(pa.int8(), pa.string())]
)
@settings(deadline=None, max_examples=15, suppress_health_check=SLOW_CHECKS)
@given(drawn=st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=12), min_size=1, max_size=5), data=st.data())
def test_ids_that_repeat_are_counted_as_points_count_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, drawn: list[list[int]], small: bool, data: Any
) -> None:
    text = pa.types.is_string(kind) or pa.types.is_dictionary(kind)
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder, monkeypatch.context() as patch:
        if small:
            patch.setattr(repeats, "_KEYS", 4)
        for at, ids in enumerate(drawn):
            column = pa.array([f"n{one}" if text else one for one in ids], pa.string() if text else kind).cast(kind)
            one = pa.table({"id": column, "f": np.zeros(len(ids)), "y": np.zeros(len(ids), int)})
            write(one, Path(folder, f"{at}.parquet"), 5)
        source = Source.open(folder, label="y", id="id")
        everything = [one for ids in drawn for one in ids]
        repeated = len(everything) - len(set(everything))
        spill = Path(folder, "spill")
        spill.mkdir()
        if not repeated:
            assert source.survey(threads=2, folder=spill).rows == len(everything)
        else:
            with pytest.raises(DataError) as error:
                source.survey(threads=2, folder=spill)
            twice = {one for one in everything if everything.count(one) > 1}
            files = [at for at, ids in enumerate(drawn) if twice & set(ids)]
            assert f"but {repeated} of {len(everything)} rows repeat" in str(error.value)
            named = [at for at in range(len(drawn)) if f"{at}.parquet" in str(error.value)]
            assert named == files[:3]
            assert ("more files" in str(error.value)) == (len(files) > 3)
        assert not list(spill.iterdir())


def test_ids_of_128_bits_that_share_half_are_told_apart() -> None:
    with repeats.Repeats(None, wide=True) as found:
        found.add(np.array([[1, 1], [1, 2], [2, 1], [1, 3]], np.uint64), 0)
        found.add(np.array([[1, 2], [1, 4]], np.uint64), 1)
        assert found.found() == (1, [0, 1])
