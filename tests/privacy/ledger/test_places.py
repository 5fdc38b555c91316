"""Where a ledger is kept: what is no ledger, who may read it, disks that are full or read-only, missing packages."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataworth.errors import LedgerError, MissingExtra
from dataworth.privacy.ledger import Ledger, store
from tests.privacy.ledger.helpers import NOISY, SMALL, commit, create, execute, libpq, modes, spent, summed
from tests.privacy.ledger.test_crash import consistent

NOBODY = 65534


def as_somebody_else(act: Callable[[], None]) -> None:
    """Run in a child that is not root, for whom files can be read-only."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if os.geteuid() == 0:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            act()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def give_away(*paths: str | Path) -> None:
    if os.geteuid() == 0:
        for path in paths:
            os.chown(path, NOBODY, NOBODY)


@pytest.fixture
def open_folder(file: str) -> str:
    """A ledger that somebody else may get at."""
    folder = Path(file).parent
    for parent in (folder, *folder.parents):
        if parent.owner() == Path(file).parent.owner() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    give_away(folder)
    return file


def refused(location: str) -> None:
    with pytest.raises(LedgerError, match=r"read-only or not yours"):
        Ledger.open(location)


def test_a_file_is_for_its_owner_alone(file: str) -> None:
    was = os.umask(0)
    try:
        ledger = create(file)
        folder = Path(file).parent
        assert modes(folder) == {"ledger.db": 0o600}
        reader = sqlite3.connect(file)  # while it is open, what is beside the file stays
        reader.execute("SELECT * FROM dataworth_ledger").fetchall()
        commit(ledger)
        assert modes(folder) == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}
        reader.close()
    finally:
        os.umask(was)


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604])
def test_a_file_that_others_may_read_is_refused(file: str, mode: int) -> None:
    create(file)
    os.chmod(file, mode)
    with pytest.raises(LedgerError, match="chmod 600"):
        Ledger.open(file)
    os.chmod(file, 0o600)
    Ledger.open(file)


def test_sqlite_writes_ahead_and_waits_for_the_disk(file: str) -> None:
    ledger = create(file)
    assert execute(file, "PRAGMA journal_mode") == [("wal",)]
    with ledger._store.writing() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
        assert connection.in_transaction()


def test_a_copy_by_other_means_writes_ahead_again(file: str) -> None:
    commit(create(file))
    execute(file, f"VACUUM INTO '{file}.copy'")
    os.chmod(f"{file}.copy", 0o600)
    assert execute(f"{file}.copy", "PRAGMA journal_mode") == [("delete",)]
    assert Ledger.open(f"{file}.copy").verify().ok
    assert execute(f"{file}.copy", "PRAGMA journal_mode") == [("wal",)]


def test_a_server_told_not_to_wait_for_its_disk_waits(schema: str) -> None:
    address = schema.replace("search_path", "synchronous_commit%3Doff%20-csearch_path")
    ledger = create(address)
    with ledger._store.writing() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar_one() == "read committed"
    with ledger._store.reading() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "off"


def test_what_is_no_ledger(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch(0o600)
    (tmp_path / "text").write_text("SQLite format? no")
    (tmp_path / "almost").write_bytes(b"SQLite format 3\0" + bytes(500))
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe", 0o600)
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE people (name TEXT)")
    with sqlite3.connect(tmp_path / "half.db") as other:
        other.execute("CREATE TABLE dataworth_version (version_num TEXT)")
    for path in tmp_path.iterdir():
        if path.is_file():
            path.chmod(0o600)
    before = {path.name: path.lstat().st_size for path in tmp_path.iterdir()}
    for name in ("folder", "empty", "text", "almost", "dangling", "pipe", "other.db", "half.db", "nothing"):
        with pytest.raises(LedgerError) as error:
            Ledger.open(tmp_path / name)
        assert name in str(error.value) or name == "dangling"
    assert {path.name: path.lstat().st_size for path in tmp_path.iterdir()} == before  # nothing is created
    with sqlite3.connect(tmp_path / "other.db") as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("delete",)  # nor changed


@pytest.mark.parametrize("version", ["'0002'", "'000'", "''"])
def test_a_ledger_of_a_newer_dataworth(location: str, version: str) -> None:
    create(location)
    execute(location, f"UPDATE dataworth_version SET version_num = {version}")  # noqa: S608
    with pytest.raises(LedgerError, match="newer dataworth"):
        Ledger.open(location)


@pytest.mark.parametrize("name", ["ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db-journal"])
def test_nothing_is_made_over_or_beside_what_is_there(tmp_path: Path, name: str) -> None:
    """What another database left beside its file would be taken for ours."""
    (tmp_path / name).write_text("mine")
    with pytest.raises(LedgerError, match="already"):
        create(tmp_path / "ledger.db")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_somebody_else_was_faster(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check is not what protects: the name is taken only if it is free."""
    create(file, population="first")
    monkeypatch.setattr(store, "_check_free", lambda path: None)
    with pytest.raises(LedgerError, match="already"):
        create(file, population="second")
    assert Ledger.open(file).population == "first"
    assert [path.name for path in Path(file).parent.iterdir()] == ["ledger.db"]


def test_places_where_none_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for location in (tmp_path / "nowhere" / "ledger.db", tmp_path / "file" / "ledger.db", tmp_path):
        with pytest.raises(LedgerError):
            create(location)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("location", ["", "a\0b", b"ledger.db", "mysql://host/db", "postgresql+psycopg2://h/d", "://"])
def test_locations_that_are_none(location: Any) -> None:
    for act in (Ledger.open, create):
        with pytest.raises(LedgerError, match="postgresql://"):
            act(location)


@pytest.mark.parametrize("name", ["ledger", "a b.db", "50%.db", "q?mode=memory.db", "#1.db", "żółw.db", "file:x.db"])
def test_file_names_of_any_kind(tmp_path: Path, name: str) -> None:
    commit(create(tmp_path / name))
    assert Ledger.open(tmp_path / name).verify().releases == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_relative_path_stays_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    create("ledger.db")
    ledger = Ledger.open("ledger.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    commit(ledger)
    assert Ledger.open(tmp_path / "ledger.db").verify().releases == 1


def test_a_read_only_file(open_folder: str) -> None:
    create(open_folder)
    give_away(open_folder)

    def act() -> None:
        ledger = Ledger.open(open_folder)
        commit(ledger)
        os.chmod(open_folder, 0o400)
        refused(open_folder)
        with pytest.raises(LedgerError, match="read-only"):
            commit(ledger)  # opened while it was not
        os.chmod(open_folder, 0o600)
        assert ledger.verify().releases == 1

    as_somebody_else(act)
    assert spent(open_folder) == summed(open_folder)
    assert summed(open_folder)[2] == 1


def test_a_read_only_folder(open_folder: str) -> None:
    create(open_folder)
    give_away(open_folder)
    folder = Path(open_folder).parent

    def act() -> None:
        ledger = Ledger.open(open_folder)
        commit(ledger)
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
        refused(open_folder)
        with pytest.raises(LedgerError, match="read-only, gone, or not yours"):
            commit(ledger)
        with pytest.raises(LedgerError, match="not writable"):
            create(folder / "another.db")
        folder.chmod(0o700)
        assert [path.name for path in folder.iterdir()] == ["ledger.db"]
        assert ledger.verify().releases == 1

    as_somebody_else(act)


def test_a_file_that_is_gone(file: str) -> None:
    ledger = create(file)
    Path(file).unlink()
    with pytest.raises(LedgerError, match="gone"):
        commit(ledger)
    assert list(Path(file).parent.iterdir()) == []  # never made anew


def test_a_disk_that_fills_up(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = create(file)
    commit(ledger, key="before")
    pages = execute(file, "PRAGMA page_count")[0][0]
    before = spent(file)
    monkeypatch.setattr(store, "_PRAGMAS", (*store._PRAGMAS, f"max_page_count = {pages + 2}"))
    with pytest.raises(OSError, match="is on a full disk; nothing was spent") as full:
        commit(ledger, key="k", payload=bytes(10**5))
    assert full.value.errno == errno.ENOSPC
    assert not isinstance(full.value, LedgerError)
    monkeypatch.undo()
    assert spent(file) == before
    consistent(file)
    assert ledger.find("k", "asked") is None
    assert commit(ledger, key="k", payload=bytes(10**5)).number == 2


def test_a_disk_too_full_for_a_new_ledger(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_PRAGMAS", (*store._PRAGMAS, "max_page_count = 3"))
    with pytest.raises(OSError, match="full disk"):
        create(file)
    assert list(Path(file).parent.iterdir()) == []


def fill(ledger: Ledger) -> None:
    for _ in range(1000):
        commit(ledger, payload=bytes(2**14))


def test_a_real_disk_that_fills_up(tmp_path: Path) -> None:
    """A file system of a megabyte, where one may be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if not (mount and umount) or os.geteuid() != 0:
        pytest.skip("a small file system can be mounted by root only")
    mounted = subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "none", disk], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        location = str(disk / "ledger.db")
        ledger = create(location)
        commit(ledger)
        with pytest.raises(OSError, match=r"full disk|could not be read or written"):
            commit(ledger, payload=bytes(2**21), key="k")
        ledger = consistent(location)
        assert ledger.find("k", "asked") is None
        commit(ledger, key="k")
        with pytest.raises(OSError, match=r"full disk|could not be read or written"):
            fill(ledger)
        assert consistent(location).verify().releases >= 2
    finally:
        subprocess.run([umount, disk], check=True)


def test_a_lock_that_is_held_for_too_long(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = create(file)
    monkeypatch.setattr(store, "_PATIENCE", 0.0)
    monkeypatch.setattr(store, "_PRAGMAS", (*store._PRAGMAS, "busy_timeout = 50"))
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(TimeoutError, match="held by another process"):
        commit(ledger)
    assert ledger.remaining == ledger.preview(SMALL).remaining  # readers need not wait
    holder.execute("ROLLBACK")
    holder.close()
    commit(ledger)


def test_waiting_outlasts_one_who_holds_the_lock_for_a_while(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where SQLite itself gives up at once."""
    import threading
    import time

    ledger = create(file)
    monkeypatch.setattr(store, "_PRAGMAS", (*store._PRAGMAS, "busy_timeout = 0"))
    held = threading.Event()

    def hold() -> None:
        holder = sqlite3.connect(file, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        held.set()
        time.sleep(0.3)
        holder.execute("ROLLBACK")
        holder.close()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    commit(ledger)
    thread.join(10)


def test_a_server_that_cannot_be_reached(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    location = f"postgresql://someone:s3cret@/ledgers?host={tmp_path}"
    for act in (Ledger.open, create):
        with pytest.raises(ConnectionError, match="cannot be reached") as error:
            act(location)
        assert "s3cret" not in str(error.value)


def test_one_who_may_only_read(schema: str) -> None:
    import psycopg

    commit(create(schema))
    address = schema.replace("csearch_path", "cdefault_transaction_read_only%3Don%20-csearch_path")
    ledger = Ledger.open(address)
    assert ledger.verify().ok
    with pytest.raises(LedgerError, match="read-only"):
        commit(ledger)
    with psycopg.connect(libpq(schema), autocommit=True) as connection:
        name = connection.execute("SELECT current_schema()").fetchone()
        assert name is not None
        connection.execute("CREATE ROLE reader LOGIN")
        connection.execute(f"GRANT USAGE ON SCHEMA {name[0]} TO reader".encode())
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {name[0]} TO reader".encode())
    with pytest.raises(LedgerError, match="not yours"):
        commit(Ledger.open(schema.replace("keeper@", "reader@")))
    assert spent(schema)[2] == 1


def test_errors_tell_nothing_of_what_was_written(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = create(file)
    monkeypatch.setattr(store, "_PRAGMAS", (*store._PRAGMAS, "query_only = ON"))
    with pytest.raises(LedgerError) as error:
        commit(ledger, payload=b"s3cret", key="s3cret", noisy=np.array([77777], dtype=np.int64))
    told: BaseException | None = error.value
    while told is not None:
        assert "s3cret" not in str(told)
        assert "77777" not in str(told)
        told = told.__cause__ or told.__context__


def test_without_sqlalchemy(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    for act in (Ledger.open, create):
        with pytest.raises(MissingExtra, match=r"a ledger needs .*pip install 'dataworth\[private\]'"):
            act(file)


def test_without_alembic(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "alembic", None)
    with pytest.raises(MissingExtra, match=r"pip install 'dataworth\[private\]'"):
        create(file)
    assert list(Path(file).parent.iterdir()) == []


def test_without_the_driver_of_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for act in (Ledger.open, create):
        with pytest.raises(MissingExtra, match=r"in PostgreSQL needs .*pip install 'dataworth\[postgresql\]'"):
            act("postgresql://host/ledgers")


@pytest.mark.parametrize("module", ["dataworth", "dataworth.privacy.ledger"])
def test_importing_loads_no_database(module: str) -> None:
    script = f"import sys, {module}; print('sqlalchemy' in sys.modules, 'alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["False", "False"]


def test_opening_needs_no_migrations(file: str) -> None:
    """A ledger is opened at every call of the command."""
    create(file)
    script = f"import sys; from dataworth.privacy.ledger import Ledger; Ledger.open({file!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert "sqlalchemy" in done.stdout.split()
    assert "alembic" not in done.stdout.split()


def test_the_answer_is_what_was_kept(location: str) -> None:
    ledger = create(location)
    payload = bytes(range(256)) * 4096
    assert commit(ledger, payload=payload).payload == Ledger.open(location).stored(1).payload == payload
    assert np.array_equal(ledger.stored(1).noisy, NOISY)
