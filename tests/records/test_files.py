"""Files appear whole or not at all; a lock is held by one."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from dataworth.records.files import locked, whole_file


def test_a_file_takes_its_place_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "note.txt"
    target.write_text("old")
    with whole_file(str(target)) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    """Nor on two machines, where processes may have the same number."""
    target = tmp_path / "note.txt"
    with whole_file(target) as one, whole_file(target) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
        assert {path.name[:10] + path.suffix for path in tmp_path.iterdir()} == {".note.txt..part"}
    assert target.read_text() == "one"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "note.txt"
    target.write_text("old")

    def write_half() -> None:
        with whole_file(target) as temporary:
            temporary.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(os.name == "nt", reason="no such locks")
def test_one_at_a_time_holds_a_file(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with locked(lock) as one:
        with locked(lock) as other:
            assert (one, other) == (True, False)
        with locked(tmp_path / "another") as third:
            assert third
    with locked(lock) as again:
        assert again


@pytest.mark.skipif(os.name == "nt", reason="no such locks")
def test_a_lock_that_was_removed_is_made_again(tmp_path: Path) -> None:
    """Whoever opened the file that is removed does not hold what others would find."""
    lock = tmp_path / "lock"
    inner = os.open
    opened: list[int] = []

    def open_(path: Any, *more: Any) -> int:
        handle = inner(path, *more)
        if not opened:
            lock.unlink()
        opened.append(handle)
        return handle

    with mock.patch("os.open", open_), locked(lock) as alone:
        assert alone
        assert len(opened) == 2
        with locked(lock) as other:
            assert not other


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_a_secret_lock_is_for_its_owner(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", secret=True):
        assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o600
