"""Killed at any moment, a ledger is as if the release had been made whole or never asked for."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from dataworth.privacy.ledger import Ledger
from tests.privacy.ledger.helpers import (
    METHOD,
    SMALL,
    commit,
    commit_and_die,
    commit_forever,
    create,
    create_and_die,
    execute,
    run_child,
    settle,
    spent,
    summed,
)

CREATE_FILE = ["start", "file made", "connected", "begun", "tables made", "genesis written", "before commit",
               "committed", "closed", "file named", "returned"]  # fmt: skip
CREATE_TABLES = ["start", "connected", "begun", "tables made", "genesis written", "before commit", "committed",
                 "closed", "returned"]  # fmt: skip
COMMIT = ["start", "connected", "begun", "looked up", "spent", "release written", "noisy written", "outbox written",
          "chained", "before commit", "committed", "closed", "returned", "told"]  # fmt: skip
DURABLE = COMMIT[COMMIT.index("committed") :]
PRICE = 2 * 10**7, 10**10  # of one release

FULL = 8  # times each


def consistent(location: str) -> Ledger:
    """Opens, verifies, and what was spent is the sum of what was charged."""
    ledger = Ledger.open(location)
    found = ledger.verify()
    assert found.ok, found.problems
    assert spent(location) == summed(location)
    assert found.releases == summed(location)[2]
    for query in ("SELECT count(*) FROM dataworth_noisy", "SELECT count(*) FROM dataworth_outbox"):
        assert execute(location, query) == [(found.releases,)]
    return ledger


def killed_while_creating(location: str, step: str) -> None:
    code, _ = run_child(create_and_die, location, step)
    assert code == -signal.SIGKILL
    there = step in ("file named", "returned") or ("://" in location and step in ("committed", "closed"))
    if there:
        assert consistent(location).verify().releases == 0
    else:
        with pytest.raises(ValueError, match="no ledger"):
            Ledger.open(location)
        create(location)
    commit(consistent(location))


def killed_while_committing(location: str, step: str, attempt: int) -> None:
    before = spent(location)
    key = f"{step} {attempt}"
    code, heard = run_child(commit_and_die, location, step, b"first", key, hears=True)
    assert code == -signal.SIGKILL
    assert heard == ([b"first"] if step == "told" else [])
    ledger = consistent(location)
    once = before[0] + PRICE[0], before[1] + PRICE[1], before[2] + 1
    kept = step in DURABLE
    assert spent(location) == (once if kept else before)  # above all: nothing is told that is not spent
    assert (ledger.find(key, "asked") is not None) == kept
    answer = commit(ledger, key=key, payload=b"second")
    assert answer.payload == (b"first" if kept else b"second")
    assert spent(location) == once
    consistent(location)


@pytest.mark.parametrize("step", CREATE_FILE)
def test_killed_while_making_a_file(file: str, step: str) -> None:
    killed_while_creating(file, step)


@pytest.mark.parametrize("step", CREATE_TABLES)
def test_killed_while_making_tables(schema: str, step: str) -> None:
    killed_while_creating(schema, step)


@pytest.mark.parametrize("step", COMMIT)
def test_killed_while_committing(location: str, step: str) -> None:
    create(location)
    killed_while_committing(location, step, attempt=0)


@pytest.mark.parametrize("step", COMMIT)
def test_a_retry_without_a_key_after_a_kill_is_a_new_spend(file: str, step: str) -> None:
    create(file)
    run_child(commit_and_die, file, step, b"first", None, hears=True)
    commit(consistent(file))
    assert spent(file)[2] == 1 + (step in DURABLE)


@pytest.mark.slow
@pytest.mark.parametrize("step", CREATE_FILE)
def test_killed_often_while_making_a_file(tmp_path: Path, step: str) -> None:
    for attempt in range(FULL):
        killed_while_creating(str(tmp_path / f"{attempt}.db"), step)


@pytest.mark.slow
@pytest.mark.parametrize("step", COMMIT)
def test_killed_often_while_committing(location: str, step: str) -> None:
    create(location)
    for attempt in range(FULL):
        killed_while_committing(location, step, attempt)


def killed_at_any_moment(location: str, moments: int) -> None:
    create(location, epsilon=100, delta="1e-4")
    told: list[int] = []
    for moment in range(moments):
        mine, yours = METHOD.Pipe(duplex=False)
        child: Any = METHOD.Process(target=commit_forever, args=(location, yours))
        child.start()
        yours.close()
        told.append(mine.recv())  # at work now
        time.sleep(0.0007 * (1 + moment % 29))
        os.kill(child.pid, signal.SIGKILL)
        child.join(60)
        while mine.poll():
            try:
                told.append(mine.recv())
            except EOFError:
                break
        settle(location)
        ledger = consistent(location)
        for number in told:
            assert ledger.stored(number).number == number
    assert told == sorted(set(told))
    assert spent(location)[2] >= len(told)
    # Spent but not told: at most the one that each kill may have caught between the two.
    assert spent(location)[2] <= len(told) + moments


def test_killed_at_any_moment(location: str) -> None:
    killed_at_any_moment(location, moments=6)


@pytest.mark.slow
def test_killed_at_very_many_moments(location: str) -> None:
    killed_at_any_moment(location, moments=100)


def test_the_price_is_that_of_the_charge() -> None:
    assert SMALL.spend.charge() == PRICE
