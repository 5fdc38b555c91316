"""The cache gives back what was put in, or nothing: damage is never trusted."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from dataworth.errors import DataError
from dataworth.models.cache import FILE, VectorCache, default_folder

Vector: TypeAlias = NDArray[np.float32]

vectors = st.dictionaries(
    st.binary(min_size=32, max_size=32),
    arrays.arrays(np.float32, st.integers(1, 8), elements=st.floats(width=32, allow_nan=False)),
)


def vector(entries: list[float]) -> Vector:
    return np.array(entries, dtype=np.float32)


def change(folder: Path, statement: str) -> None:
    database = sqlite3.connect(folder / FILE)
    with database:
        database.execute(statement)
    database.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=vectors, others=vectors)
def test_what_goes_in_comes_out(entries: dict[bytes, Vector], others: dict[bytes, Vector], tmp_path: Path) -> None:
    with VectorCache(tmp_path) as cache:
        cache.put(others)
        cache.put(entries)
    with VectorCache(tmp_path) as cache:
        found = cache.get([*entries, *others, b"never stored"])
    assert found.keys() == {**others, **entries}.keys()
    for key, entry in {**others, **entries}.items():
        np.testing.assert_array_equal(found[key], entry)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE vectors SET vector = zeroblob(8) WHERE key = x'01'",
        "UPDATE vectors SET vector = substr(vector, 1, 4) WHERE key = x'01'",
        "UPDATE vectors SET vector = 'text' WHERE key = x'01'",
        "UPDATE vectors SET digest = zeroblob(16) WHERE key = x'01'",
        "UPDATE vectors SET (vector, digest) = (SELECT vector, digest FROM vectors WHERE key = x'02')"
        " WHERE key = x'01'",
    ],
)
def test_a_damaged_entry_is_absent_and_can_be_put_again(damage: str, tmp_path: Path) -> None:
    first, second = vector([1, 2]), vector([3, 4])
    with VectorCache(tmp_path) as cache:
        cache.put({b"\1": first, b"\2": second})
    change(tmp_path, damage)
    with VectorCache(tmp_path) as cache:
        assert list(cache.get([b"\1", b"\2"])) == [b"\2"]
        cache.put({b"\1": first})
        np.testing.assert_array_equal(cache.get([b"\1"])[b"\1"], first)


def test_a_file_that_is_no_cache_is_named_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"somebody's other file, long enough to have a header" * 50)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(DataError, match=f"{FILE}' cannot be used.*delete that file"):
        VectorCache(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before


def test_a_cache_of_another_format_is_named(tmp_path: Path) -> None:
    VectorCache(tmp_path).__exit__(None, None, None)
    change(tmp_path, "PRAGMA user_version = 99")
    with pytest.raises(DataError, match="has cache format 99; this dataworth writes 1"):
        VectorCache(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot be used"):
        VectorCache(tmp_path / "file" / "cache")


def test_a_batch_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    VectorCache(tmp_path).__exit__(None, None, None)
    full = "WHEN NEW.key = x'03' BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
    change(tmp_path, f"CREATE TRIGGER full BEFORE INSERT ON vectors {full}")
    with VectorCache(tmp_path) as cache:
        cache.put({b"\1": vector([1])})
        with pytest.raises(DataError, match=r"cannot be used \(disk is full\)"):
            cache.put({b"\2": vector([2]), b"\3": vector([3])})
        assert list(cache.get([b"\1", b"\2", b"\3"])) == [b"\1"]


def _fill(folder: Path, number: int) -> None:
    with VectorCache(folder) as cache:
        for at in range(20):
            cache.put({bytes([number, at]): vector([number, at])})


def test_processes_share_one_cache(tmp_path: Path) -> None:
    workers = [multiprocessing.get_context("spawn").Process(target=_fill, args=(tmp_path, number)) for number in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    with VectorCache(tmp_path) as cache:
        assert len(cache.get([bytes([number, at]) for number in (1, 2) for at in range(20)])) == 40


def test_the_usual_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATAWORTH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_folder().name == "dataworth"
    monkeypatch.setenv("DATAWORTH_CACHE", str(tmp_path / "own"))
    assert default_folder() == tmp_path / "own"


@pytest.mark.skipif("sys.platform != 'linux'")
def test_linux_keeps_it_in_the_xdg_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATAWORTH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "dataworth"


def test_the_folder_is_for_its_user_only(tmp_path: Path) -> None:
    VectorCache(tmp_path / "made").__exit__(None, None, None)
    assert (tmp_path / "made").stat().st_mode & 0o077 == 0
