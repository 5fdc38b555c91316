"""A place for a ledger: a file, or a schema of a PostgreSQL that is started for the tests."""

from __future__ import annotations

import glob
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

REQUIRED = os.environ.get("DATAWORTH_REQUIRE_POSTGRES") == "1"


def _program(name: str) -> str | None:
    """In the path, or where Debian puts it."""
    return shutil.which(name) or max(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), default=None)


def _user() -> str | None:
    """PostgreSQL refuses to run as root; the name of somebody else then, or None for ourselves."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


def _group(user: str | None) -> int | None:
    return None if user is None else pwd.getpwnam(user).pw_gid


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a server with no data of anyone; clients are killed, it is not, so it need not wait for its disk."""
    initdb, postgres = _program("initdb"), _program("postgres")
    if initdb is None or postgres is None or find_spec("psycopg") is None:
        reason = "PostgreSQL (initdb, postgres) and psycopg are needed"
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    import psycopg

    folder = Path(tempfile.mkdtemp(prefix="dataworth-"))
    user = _user()
    group = _group(user)
    if user is not None:
        shutil.chown(folder, user, group)
    extra: list[int] | None = [] if user is not None else None
    subprocess.run(
        [initdb, "-D", folder / "data", "-U", "keeper", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"],
        check=True, capture_output=True, user=user, group=group, extra_groups=extra, cwd="/",
    )  # fmt: skip
    server = subprocess.Popen(
        [postgres, "-D", folder / "data", "-k", folder, "-c", "listen_addresses=", "-c", "max_connections=60",
         "-c", "fsync=off"],
        stdout=subprocess.DEVNULL, stderr=(folder.parent / f"{folder.name}.log").open("wb"),
        user=user, group=group, extra_groups=extra, cwd="/",
    )  # fmt: skip
    address = f"postgresql://keeper@/postgres?host={folder}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(address).close()
                break
            except psycopg.OperationalError:
                if time.monotonic() > deadline or server.poll() is not None:
                    raise
                time.sleep(0.1)
        yield address
    finally:
        server.send_signal(signal.SIGQUIT)  # at once: nobody needs these data again
        server.wait(60)
        shutil.rmtree(folder, ignore_errors=True)
        (folder.parent / f"{folder.name}.log").unlink(missing_ok=True)


@pytest.fixture
def schema(postgresql: str) -> str:
    """The URL of a fresh schema, where a ledger can be made."""
    import psycopg

    name = f"s{secrets.token_hex(6)}"
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
    return f"{postgresql}&options=-csearch_path%3D{name}"


@pytest.fixture
def file(tmp_path: Path) -> str:
    """The path of a file that is not there yet."""
    folder = tmp_path / "kept"
    folder.mkdir()
    return str(folder / "ledger.db")


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest) -> str:
    """Both, one after the other."""
    found: str = request.getfixturevalue("file" if request.param == "sqlite" else "schema")
    return found
