"""Where a ledger is kept: connections, transactions, and errors in plain words.

SQLite writes ahead (WAL), waits for the disk at every commit, and takes its one write lock when a transaction begins.
PostgreSQL locks the one row of the ledger. No connection outlives what it was opened for, so that a ledger may be
used in any thread and after a fork.
"""

from __future__ import annotations

import errno
import os
import random
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from dataworth.errors import LedgerError, MissingExtra
from dataworth.privacy.ledger import schema, steps
from dataworth.privacy.ledger.statements import read_revisions
from dataworth.records.files import remember_names

__all__ = ["Location", "Store", "create_store", "open_store"]

Location = str | os.PathLike[str]

_MAGIC = b"SQLite format 3\0"
_PATIENCE = 120.0  # seconds to wait for other processes that write
_PRAGMAS = ("foreign_keys = ON", "synchronous = FULL", "fullfsync = ON", "trusted_schema = OFF")
_MIGRATIONS = Path(__file__).parent / "migrations"
_CREATION_LOCK = 0x64617461776F7274  # "dataworth", as far as it fits
_BESIDE = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a file


class Store:
    """A database with the tables of a ledger.

    Args:
        engine: With no pool.
        name: What errors call it; without a password.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self.name = name

    @property
    def is_file(self) -> bool:
        """Whether it is a SQLite file."""
        return self._engine.dialect.name == "sqlite"

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that is made durable at the end, or leaves nothing."""
        with self._plainly():
            with self._engine.connect() as connection:
                steps.at("connected")
                with connection.begin():
                    self._begin(connection, "BEGIN IMMEDIATE")
                    if not self.is_file:
                        _wait_for_the_disk(connection)
                    steps.at("begun")
                    yield connection
                    steps.at("before commit")
                steps.at("committed")
            steps.at("closed")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One moment of the ledger: what others write meanwhile is not seen."""
        with self._plainly(), self._engine.connect() as connection:
            if not self.is_file:
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                self._begin(connection, "BEGIN")
                yield connection

    def write_ahead(self) -> None:
        """Have SQLite write ahead; it remembers."""
        with self._plainly(), self._engine.connect() as connection:
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
            if mode != "wal":
                mode = connection.exec_driver_sql("PRAGMA journal_mode = WAL").scalar_one()
            if mode != "wal":
                raise LedgerError(f"{self.name} is on a file system that cannot keep a ledger; use a local disk")

    def _begin(self, connection: Connection, statement: str) -> None:
        """Begin on SQLite, where the driver is told to leave that to us, however long others write."""
        if not self.is_file:
            return
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                connection.exec_driver_sql(statement)
                return
            except DBAPIError as error:
                if _sqlite_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(0.001, 0.02))  # noqa: S311 - so that the waiting do not march in step

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise _in_plain_words(error, self.name) from error


def create_store(location: Location, fill: Callable[[Connection], None]) -> Store:
    """Make the tables and fill them, all or nothing; what is there already is never touched.

    Args:
        location: The path of a file, or a URL of PostgreSQL.
        fill: Writes the genesis row.

    Raises:
        LedgerError: There is something already, or it cannot be made there.
    """
    url = _database(location)
    if url is not None:
        return _create_tables(_postgresql(url), fill)
    return _create_file(Path(os.path.abspath(location)), fill)


def open_store(location: Location) -> Store:
    """A ledger's database that is there already.

    Raises:
        LedgerError: There is none, or it is no ledger, or one of a newer dataworth, or cannot be written to.
    """
    url = _database(location)
    if url is not None:
        store = _postgresql(url)
    else:
        path = Path(os.path.realpath(location))
        _check_file(path)
        store = _sqlite(path)
    revision = _revision(store)
    if store.is_file:
        store.write_ahead()
    if revision != schema.REVISIONS[-1]:
        with store.writing() as connection:
            _migrate(connection)
    return store


def _create_tables(store: Store, fill: Callable[[Connection], None]) -> Store:
    with store.writing() as connection:
        if not store.is_file:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_CREATION_LOCK})")
            if inspect(connection).has_table(schema.VERSION_TABLE):
                raise LedgerError(f"{store.name} holds a ledger already; open it with Ledger.open")
        _migrate(connection)
        steps.at("tables made")
        fill(connection)
        steps.at("genesis written")
    return store


def _create_file(path: Path, fill: Callable[[Connection], None]) -> Store:
    """Under another name first: the file appears whole, and only if there is none."""
    _check_free(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        try:
            handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        except PermissionError as error:
            raise LedgerError(f"the folder {str(path.parent)!r} is not writable") from error
        os.close(handle)
        steps.at("file made")
        store = _sqlite(temporary, name=path)
        store.write_ahead()
        _create_tables(store, fill)
        try:
            os.link(temporary, path)
        except FileExistsError as error:
            raise LedgerError(f"there is something at {str(path)!r} already; a ledger is never overwritten") from error
        steps.at("file named")
    finally:
        for ending in ("", *_BESIDE):
            Path(f"{temporary}{ending}").unlink(missing_ok=True)
    remember_names(path.parent)
    return _sqlite(path)


def _check_free(path: Path) -> None:
    if not path.parent.is_dir():
        raise LedgerError(f"the folder {str(path.parent)!r} for the ledger does not exist; create it first")
    for ending in ("", *_BESIDE):
        name = f"{path}{ending}"
        if os.path.lexists(name):
            raise LedgerError(f"there is something at {name!r} already; a ledger is never overwritten")


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise LedgerError(f"a ledger is a file, but {str(path)!r} is a folder")
    if not path.exists():
        raise LedgerError(f"there is no ledger at {str(path)!r}; make it once with Ledger.create")
    if not path.is_file():
        raise LedgerError(f"a ledger is a regular file, and {str(path)!r} is none")
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise LedgerError(f"a ledger is confidential, but others may use {str(path)!r}; run: chmod 600 {path}")
    for needed in (path, path.parent):
        if not os.access(needed, os.R_OK | os.W_OK):
            raise LedgerError(f"{str(needed)!r} is read-only or not yours; a ledger must be writable, with its folder")
    with path.open("rb") as file:
        start = file.read(len(_MAGIC))
    if start != _MAGIC:
        what = "an empty file" if not start else "no ledger"
        raise LedgerError(f"{str(path)!r} is {what}; make a ledger with Ledger.create")


def _revision(store: Store) -> str:
    """Which migration the tables are at: one of ours, or an error."""
    with store.reading() as connection:
        tables = inspect(connection)
        if not (tables.has_table(schema.VERSION_TABLE) and tables.has_table(schema.LEDGER.name)):
            raise LedgerError(f"there is no ledger in {store.name}; make it once with Ledger.create")
        revisions = read_revisions(connection)
    if len(revisions) != 1 or revisions[0] not in schema.REVISIONS:
        raise LedgerError(
            f"{store.name} was made by a newer dataworth, or is damaged: its tables are at {revisions}, "
            f"and this version knows {list(schema.REVISIONS)}"
        )
    return str(revisions[0])


def _migrate(connection: Connection) -> None:
    try:
        from alembic import command, config
    except ImportError as error:
        raise MissingExtra("a ledger", "private") from error

    settings = config.Config()
    settings.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    settings.attributes["connection"] = connection
    command.upgrade(settings, schema.REVISIONS[-1])


def _sqlite(path: Path, name: Path | None = None) -> Store:
    address = f"file:{quote(str(path))}?mode=rw"  # never creates

    def connect() -> sqlite3.Connection:
        # No isolation level: the driver begins nothing by itself.
        connection = sqlite3.connect(address, uri=True, timeout=10, isolation_level=None, check_same_thread=False)
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)
    return Store(engine, repr(str(name or path)))


def _database(location: Location) -> URL | None:
    """The URL of a database, or None for the path of a file."""
    text = os.fspath(location)
    if not isinstance(text, str) or not text or "\0" in text:
        raise LedgerError("a ledger's location is the path of a file or a URL that begins with postgresql://")
    if "://" not in text:
        return None
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.drivername not in ("postgresql", "postgresql+psycopg"):
        raise LedgerError("a ledger is kept in a file, or in PostgreSQL at a URL that begins with postgresql://")
    return url.set(drivername="postgresql+psycopg")


def _postgresql(url: URL) -> Store:
    try:
        engine = create_engine(url, poolclass=NullPool, hide_parameters=True, isolation_level="READ COMMITTED")
    except ImportError as error:
        raise MissingExtra("a ledger in PostgreSQL", "postgresql") from error
    name = URL.create("postgresql", host=url.host, port=url.port, database=url.database)
    return Store(engine, repr(name.render_as_string()))


def _wait_for_the_disk(connection: Connection) -> None:
    """A server may be set not to; what was released must be on its disk."""
    connection.exec_driver_sql(
        "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
    )


def _sqlite_code(error: DBAPIError) -> int | None:
    code = getattr(error.orig, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF  # the rest says why


_FULL = "is on a full disk; nothing was spent"
_DENIED = "cannot be opened or written to: it is read-only, gone, or not yours; nothing was spent"
_DAMAGED = "is damaged; see what `dataworth budget --verify` says"
_BUSY = f"is held by another process, for more than {_PATIENCE:.0f} seconds; nothing was spent"
_SQLITE: dict[int | None, tuple[type[Exception], str]] = {
    sqlite3.SQLITE_FULL: (OSError, _FULL),
    sqlite3.SQLITE_IOERR: (OSError, "could not be read or written"),
    sqlite3.SQLITE_BUSY: (TimeoutError, _BUSY),
    sqlite3.SQLITE_LOCKED: (TimeoutError, _BUSY),
    sqlite3.SQLITE_READONLY: (LedgerError, _DENIED),
    sqlite3.SQLITE_CANTOPEN: (LedgerError, _DENIED),
    sqlite3.SQLITE_PERM: (LedgerError, _DENIED),
    sqlite3.SQLITE_TOOBIG: (LedgerError, "cannot hold an answer as large as this; nothing was spent"),
}
_POSTGRESQL: dict[str, tuple[type[Exception], str]] = {
    "53100": (OSError, _FULL),
    "42501": (LedgerError, _DENIED),
    "25006": (LedgerError, _DENIED),
    "55P03": (TimeoutError, _BUSY),
    "57014": (TimeoutError, _BUSY),
}
_NUMBERS = {_FULL: errno.ENOSPC, _BUSY: errno.EBUSY}


def _in_plain_words(error: DBAPIError, name: str) -> Exception:
    """An error of ours, without the statement and without what was written."""
    original: Any = error.orig
    if isinstance(original, sqlite3.Error):
        kind, what = _SQLITE.get(_sqlite_code(error), (LedgerError, _DAMAGED))
    else:
        state = original.sqlstate
        lost = state is None or state[:2] in ("08", "57")
        otherwise = (ConnectionError, "cannot be reached") if lost else (LedgerError, _DAMAGED)
        kind, what = _POSTGRESQL.get(state, otherwise)
    if issubclass(kind, OSError):
        return kind(_NUMBERS.get(what, errno.EIO), f"the ledger {name} {what}")
    return kind(f"the ledger {name} {what}")
