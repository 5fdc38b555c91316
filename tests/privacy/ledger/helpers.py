"""Charges that cost little to account for, and what child processes do to a ledger."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import stat
import time
from collections.abc import Callable
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy.engine import make_url

from dataworth.errors import BudgetExceeded
from dataworth.privacy.kinds import CappedCounts, RowCount, SubsampledCounts
from dataworth.privacy.ledger import Charge, Ledger, admission, statements, steps, store  # noqa: F401 - preloaded
from dataworth.records.privacy import Budget, Row

ROW = Row()
SMALL = Charge(Budget("0.02", "1e-8"), (CappedCounts(Fraction(300), links=1),), ROW, "add_or_remove")
"""Costs 0.02 and 1e-8 and needs less."""
WHOLE = Charge(Budget(1, "5e-7"), (CappedCounts(Fraction(40), links=25), RowCount(Fraction(100))), ROW, "add_or_remove")
"""Costs 1 and 5e-7 and needs less."""
SUBSAMPLED = Charge(
    Budget("0.1", "1e-6"), (SubsampledCounts(Fraction(20), Fraction(1, 100), points=10),), ROW, "add_or_remove"
)
"""Costs 0.1 and 1e-6, and earns nothing under zCDP."""
NOISY = np.arange(-3, 5, dtype=np.int64).reshape(4, 2)

for _charge in (SMALL, WHOLE, SUBSAMPLED):
    admission.check_account(_charge)  # so that children, which are forked, have the answer already

METHOD = multiprocessing.get_context("forkserver")
METHOD.set_forkserver_preload(["tests.privacy.ledger.helpers", "alembic.command"])


def create(location: Any, epsilon: Any = 2, delta: Any = "1e-6", **more: Any) -> Ledger:
    settings: dict[str, Any] = {"unit": ROW, "population": "patients", **more}
    return Ledger.create(location, budget=Budget(epsilon, delta), **settings)


def commit(ledger: Ledger, charge: Charge = SMALL, key: str | None = None, **more: Any) -> Any:
    settings: dict[str, Any] = {"noisy": NOISY, "payload": b"answer", "digest": "asked", **more}
    return ledger.commit(charge, request_key=key, **settings)


def execute(location: Any, *queries: str) -> list[Any]:
    """Whatever one likes, behind the ledger's back, rules switched off; the rows of the last statement."""
    if "://" not in str(location):
        connection = sqlite3.connect(location, isolation_level=None)
        connection.execute("PRAGMA ignore_check_constraints = ON")
        try:
            for query in queries:
                rows = connection.execute(query).fetchall()
            return rows
        finally:
            connection.close()
    import psycopg

    with psycopg.connect(libpq(location), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # no foreign keys
        for query in queries:
            cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


def libpq(location: str) -> str:
    """The URL as PostgreSQL's own client takes it."""
    return make_url(location).set(drivername="postgresql").render_as_string(hide_password=False)


def settle(location: Any) -> None:
    """Wait until the server has noticed who is gone: it ends what they had begun, one way or the other."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    deadline = time.monotonic() + 30
    while "://" in str(location) and execute(location, others) != [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def spent(location: Any) -> tuple[int, int, int]:
    """Loss and delta spent and the number of releases, as the ledger's one row says."""
    ((loss, delta, releases),) = execute(location, "SELECT loss_spent, delta_spent, releases FROM dataworth_ledger")
    return loss, delta, releases


def summed(location: Any) -> tuple[int, int, int]:
    """The same, as the releases say."""
    query = "SELECT coalesce(sum(loss_charge), 0), coalesce(sum(delta_charge), 0), count(*) FROM dataworth_releases"
    ((loss, delta, releases),) = execute(location, query)
    return int(loss), int(delta), releases


# What children do.


def kill_at(last: str, times: int = 1) -> None:
    """End this process, as by ``kill -9``, when it comes to a step for the n-th time."""
    left = [times]

    def at(step: str) -> None:
        if step == last:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    steps.at = at


def create_and_die(location: str, step: str) -> None:
    kill_at(step)
    steps.at("start")
    create(location)
    steps.at("returned")


def commit_and_die(location: str, step: str, payload: bytes, key: str | None, told: Connection) -> None:
    kill_at(step)
    steps.at("start")
    ledger = Ledger.open(location)
    answer = commit(ledger, key=key, payload=payload)
    steps.at("returned")
    told.send(answer.payload)
    steps.at("told")


def commit_forever(location: str, told: Connection) -> None:
    """Release one after another until killed."""
    ledger = Ledger.open(location)
    number = 0
    while True:
        number += 1
        told.send(commit(ledger, key=f"{os.getpid()}-{number}", payload=b"%d" % number).number)


def commit_many(
    location: str, barrier: Any, requests: int, keys: Callable[[int, int], str | None], which: int, told: Connection
) -> None:
    """All together now: what each request gave, or None where it was refused."""
    ledger = Ledger.open(location)
    barrier.wait(60)
    outcomes: list[tuple[int, bytes] | None] = []
    for request in range(requests):
        payload = b"%d of %d" % (request, which)
        try:
            answer = commit(ledger, key=keys(which, request), payload=payload)
            outcomes.append((answer.number, answer.payload))
        except BudgetExceeded:
            outcomes.append(None)
    told.send(outcomes)


def no_key(which: int, request: int) -> None:
    """Every call is a new spend."""


def own_key(which: int, request: int) -> str:
    return f"{which}-{request}"


def shared_key(which: int, request: int) -> str:
    """Everybody asks the same things."""
    return f"everyone-{request}"


def run_child(function: Callable[..., None], *arguments: Any, hears: bool = False) -> tuple[int | None, list[Any]]:
    """Exit code of a child (negative: the signal), and what it said."""
    mine, yours = METHOD.Pipe(duplex=False)
    child = METHOD.Process(target=function, args=(*arguments, yours) if hears else arguments)
    child.start()
    yours.close()
    heard = []
    while True:
        try:
            heard.append(mine.recv())
        except EOFError:
            break
    child.join(60)
    return child.exitcode, heard


def run_together(
    location: str, processes: int, requests: int, keys: Callable[[int, int], str | None]
) -> list[list[tuple[int, bytes] | None]]:
    """What each of many processes got, all started at once."""
    barrier = METHOD.Barrier(processes)
    pipes, children = [], []
    for which in range(processes):
        mine, yours = METHOD.Pipe(duplex=False)
        child = METHOD.Process(target=commit_many, args=(location, barrier, requests, keys, which, yours))
        child.start()
        yours.close()
        pipes.append(mine)
        children.append(child)
    outcomes = [pipe.recv() for pipe in pipes]
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * processes
    return outcomes
