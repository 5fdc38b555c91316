"""Heaps on disk: every row is in one heap, with all others of its owner, and damage is named."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataworth.errors import DataError
from dataworth.records.dealt import blob_size, deal, heaps_of, keys_of, read_blob, read_dealt, write_blobs

OWNERS = st.one_of(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4), max_size=30),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=30),
)


@settings(max_examples=60)
@given(parts=st.lists(OWNERS, min_size=1, max_size=4), heaps=st.integers(1, 9))
def test_rows_of_an_owner_are_in_one_heap_in_their_order(parts: list[list[Any]], heaps: int) -> None:
    whose: dict[str, set[int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, str(number)) for number in range(len(parts))]
        for file, owners in zip(files, parts, strict=True):
            names = np.array(owners, dtype=np.str_ if not owners or isinstance(owners[0], str) else np.int64)
            table = pa.table({"owner": list(map(str, owners)), "place": np.arange(len(owners))})
            deal(file, table, heaps_of(keys_of(names), heaps), heaps)
        for file, owners in zip(files, parts, strict=True):
            seen = []
            for heap in range(heaps):
                found = read_dealt(file, heap)
                places = found["place"].to_pylist()
                assert places == sorted(places)
                assert found["owner"].to_pylist() == [str(owners[place]) for place in places]
                for name in found["owner"].to_pylist():
                    whose.setdefault(name, set()).add(heap)
                seen += places
            assert sorted(seen) == list(range(len(owners)))
    assert all(len(heap) == 1 for heap in whose.values())


def test_keys_are_of_names_as_text() -> None:
    assert keys_of(np.array([5, -5])).tolist() == keys_of(np.array(["5", "-5"])).tolist()
    assert len({tuple(key) for key in keys_of(np.arange(1000)).tolist()}) == 1000
    assert keys_of(np.empty(0)).shape == (0, 2)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=6))
def test_blobs_come_back(blobs: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "blobs")
        write_blobs(path, blobs)
        assert [read_blob(path, number) for number in range(len(blobs))] == blobs
        assert [blob_size(path, number) for number in range(len(blobs))] == list(map(len, blobs))
        assert path.stat().st_mode & 0o077 == 0


def test_every_flipped_bit_is_seen_or_elsewhere(tmp_path: Path) -> None:
    path, blobs = tmp_path / "blobs", [b"first of all", b"", b"the last one"]
    write_blobs(path, blobs)
    held = path.read_bytes()
    for bit in range(8 * len(held)):
        spoiled = bytearray(held)
        spoiled[bit // 8] ^= 1 << bit % 8
        path.write_bytes(spoiled)
        damaged = 0
        for number, blob in enumerate(blobs):
            try:
                assert read_blob(path, number) == blob
            except DataError:
                damaged += 1
        assert damaged or bit // 8 in (24, 25, 26, 27, 28, 29, 30, 31)  # where a blob of no bytes would begin
    for cut in (0, 10, 73, len(held) - 1):
        path.write_bytes(held[:cut])
        with pytest.raises(DataError, match="is damaged"):
            read_blob(path, 2)
    path.unlink()
    for read in (read_blob, blob_size):
        with pytest.raises(DataError, match="damaged or gone"):
            read(path, 0)
