"""Values in a folder of files: read back as they were, and nothing else passes for them."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataworth.errors import DataError, InputError
from dataworth.records.stored import MANIFEST, StoredValues, encode_part, part_name, read_part

IDS: tuple[Any, ...] = (
    np.array([3, -1, 2**62, 0, 7]),
    np.array([3, 1, 2**64 - 1, 0, 7], dtype=np.uint64),
    np.array([5, 1, 2, 0, 7], dtype=np.int32),
    np.array(["b", "a", "żółw", "", "line\nend"]),
)
VALUES = np.array([0.25, -0.0, 0.1, -1e-300, 0.5])


def store(folder: Path, ids: Any, values: Any, sizes: list[int], owners: Any = None) -> StoredValues:
    """These values, in files of these sizes."""
    folder.mkdir(exist_ok=True)
    at = 0
    for number, size in enumerate(sizes):
        some = slice(at, at + size)
        (folder / part_name(number)).write_bytes(
            encode_part({"job": "j", "part": number}, ids[some], None if owners is None else owners[some], values[some])
        )
        at += size
    stored = StoredValues(
        str(folder), len(values), len(sizes), "by hand", 4, float(values.sum()), float(values.min()),
        float(values.max()), int((values < 0).sum()), {"job": "j", "seconds": 0.1},
    )  # fmt: skip
    stored.save()
    return StoredValues.open(folder)


@pytest.mark.parametrize("ids", IDS, ids=lambda ids: ids.dtype.str[1:])
@pytest.mark.parametrize("owners", [None, np.array(["ann", "bob", "ann", "żółw", "x"]), np.arange(5)])
def test_what_was_written_is_read(tmp_path: Path, ids: Any, owners: Any) -> None:
    stored = store(tmp_path, ids, VALUES, [2, 0, 3], owners)
    found = stored.load()
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_array_equal(found.values.view(np.int64), VALUES.view(np.int64))
    assert (found.owners is None) == (owners is None)
    if owners is not None:
        np.testing.assert_array_equal(np.asarray(found.owners), owners)
    assert (found.method, found.n_validation, dict(found.provenance)) == ("by hand", 4, {"job": "j", "seconds": 0.1})
    assert [file.name for file in stored.files] == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    assert repr(stored) == "StoredValues(5 rows in 3 files by by hand, min -1e-300, mean 0.17, max 0.5)"


@given(order=st.permutations(range(5)), cuts=st.lists(st.integers(0, 5), max_size=3), at=st.integers(0, 3))
def test_digests_are_of_ids_and_values_in_the_order_of_ids(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], cuts: list[int], at: int
) -> None:
    ids = IDS[at]
    sizes = np.diff([0, *sorted(cuts), 5]).tolist()
    stored = store(tmp_path_factory.mktemp("values"), ids[order], VALUES[order], sizes)
    sort = np.argsort(ids)
    names = ids[sort].tolist()
    kind = "<u8" if ids.dtype.kind == "u" else "<i8"
    told = "".join(f"{name}\n" for name in names).encode() if at == 3 else np.array(names, dtype=kind).tobytes()
    assert stored.digest() == hashlib.sha256(told + VALUES[sort].tobytes()).hexdigest()


def test_digests_tell_values_and_ids_apart(tmp_path: Path) -> None:
    cases = [(IDS[0], VALUES), (IDS[0], VALUES[::-1]), (IDS[0] + 1, VALUES), (IDS[0], np.abs(VALUES))]
    digests = {store(tmp_path / str(at), *case, [5]).digest() for at, case in enumerate(cases)}
    assert len(digests) == len(cases)


def test_any_reader_of_parquet_folders_reads_them(tmp_path: Path) -> None:
    store(tmp_path, IDS[3], VALUES, [2, 3], np.arange(5))
    table = pq.read_table(tmp_path)
    assert table.column_names == ["id", "owner", "value"]
    assert table["id"].to_pylist() == IDS[3].tolist()


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    assert store(tmp_path / "value=3", IDS[0], VALUES, [5]).load().values.tolist() == VALUES.tolist()


def flip(path: Path, at: int) -> None:
    held = bytearray(path.read_bytes())
    held[at // 8 % len(held)] ^= 1 << at % 8
    path.write_bytes(held)


@given(at=st.integers(0, 8 * 4000), manifest=st.booleans())
def test_a_flipped_bit_is_seen_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, at: int, manifest: bool
) -> None:
    folder = tmp_path_factory.mktemp("values")
    stored = store(folder, IDS[0], VALUES, [2, 3])
    digest = stored.digest()
    flip(folder / (MANIFEST if manifest else part_name(1)), at)
    try:
        again = StoredValues.open(folder)
        found = again.digest()
    except DataError:
        return
    assert again == stored
    assert found == digest


def drop_column(folder: Path) -> None:
    pq.write_table(pq.read_table(folder / part_name(1)).drop_columns(["value"]), folder / part_name(1))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (lambda folder: (folder / part_name(1)).unlink(), "lacks 1 of its 2 files, the first 'part-00001"),
    "empty": (lambda folder: (folder / part_name(1)).write_bytes(b""), r"part-00001\.parquet' is damaged"),
    "swapped": (
        lambda folder: (folder / part_name(1)).write_bytes((folder / part_name(0)).read_bytes()),
        r"part-00001\.parquet' is a file of other values",
    ),
    "cut rows": (
        lambda folder: (folder / part_name(1)).write_bytes(
            encode_part({"job": "j", "part": 1}, IDS[0][:1], None, VALUES[:1])
        ),
        "have 3 rows, not 5",
    ),
    "column": (drop_column, r"part-00001\.parquet' is damaged, or no file|does not fit its digest"),
    "manifest": (lambda folder: (folder / MANIFEST).write_text("{}"), "is damaged"),
    "list": (lambda folder: (folder / MANIFEST).write_text("[1]"), "is damaged"),
    "number": (
        lambda folder: (folder / MANIFEST).write_text((folder / MANIFEST).read_text().replace("0.85", "0.95")),
        "does not fit its digest",
    ),
    "no manifest": (lambda folder: (folder / MANIFEST).unlink(), "holds no finished values"),
    "format": (
        lambda folder: (folder / MANIFEST).write_text(
            json.dumps({**json.loads((folder / MANIFEST).read_text()), "format": "dataworth.stored-values/9"})
        ),
        "format 'dataworth.stored-values/9'; this dataworth reads",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_named(tmp_path: Path, what: str) -> None:
    store(tmp_path, IDS[0], VALUES, [2, 3])
    damage, message = DAMAGE[what]
    damage(tmp_path)
    with pytest.raises(DataError, match=message):
        StoredValues.open(tmp_path).load()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file '.*none\.parquet'"):
        read_part(tmp_path / "none.parquet")


def test_the_same_rows_make_the_same_bytes() -> None:
    first, second = (encode_part({"part": 1}, IDS[3], IDS[0], VALUES) for _ in range(2))
    assert first == second
    assert pq.read_schema(pa.BufferReader(first)).names == ["id", "owner", "value"]


@given(
    values=st.lists(st.sampled_from([-1.0, 0.0, 0.5, 0.5 + 2.0**-20, 2.0]), min_size=1, max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=4),
    n=st.integers(1, 40),
)
def test_lowest_highest_and_owners_are_those_of_all_values(values: list[float], cuts: list[int], n: int) -> None:
    """However rows are cut into files, equal values in the order of the rows."""
    ids, owners = np.arange(len(values)), np.array(["ann", "bob", "eve"])[np.arange(len(values)) % 3]
    edges = sorted({min(cut, len(values)) for cut in [0, *cuts, len(values)]})
    sizes = [b - a for a, b in pairwise(edges)] or [0]
    with tempfile.TemporaryDirectory() as folder:
        stored = store(Path(folder, "values"), ids, np.array(values), sizes, owners)
        whole = stored.load()
        for ours, theirs in [
            (stored.lowest_rows(n), whole.lowest(n)),
            (stored.highest_rows(n), whole.highest(n)),
        ]:
            assert (ours.title, ours.rows()) == (theirs.title, theirs.rows())
        assert (stored.by_owner().note, stored.by_owner().rows()) == (whole.by_owner().note, whole.by_owner().rows())


def test_owners_that_nobody_knows_are_not_summed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="owners are not known: name their column"):
        store(tmp_path, np.arange(5), VALUES, [2, 3]).by_owner()
