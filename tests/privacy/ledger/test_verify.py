"""Verification finds every change of every column of every table, and rows removed, added or swapped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataworth.errors import InputError, LedgerError
from dataworth.privacy.ledger import Ledger
from dataworth.privacy.ledger.schema import METADATA, VERSION
from tests.privacy.ledger.helpers import NOISY, SMALL, SUBSAMPLED, WHOLE, commit, create, execute, libpq

TABLES = [*METADATA.tables.values(), VERSION]
COLUMNS = [(table.name, column.name) for table in TABLES for column in table.columns]
KEYS = {"dataworth_ledger": "id", "dataworth_version": "version_num"}


@pytest.fixture
def filled(location: str) -> str:
    return fill(location)


def fill(location: str) -> str:
    """A ledger with three releases."""
    ledger = create(location, 2, "1e-5")
    commit(ledger, WHOLE, key="monday", payload=b"one", noisy=NOISY)
    commit(ledger, SUBSAMPLED, payload=b"two", noisy=NOISY + 1)
    commit(ledger, SMALL, key="friday", payload=b"three", noisy=NOISY + 2)
    assert found(location) == []
    return location


def found(location: str) -> list[str]:
    """What opening and verifying find wrong."""
    try:
        ledger = Ledger.open(location)
    except LedgerError as error:
        return [str(error)]
    verification = ledger.verify()
    assert verification.ok == (not verification.problems)
    return list(verification.problems)


def other(value: Any) -> Iterator[str]:
    """The value changed a little, in SQL."""
    match value:
        case int():
            yield from (str(value + 1), str(value - 1))
        case str():
            yield f"'{value}x'"
            yield f"'{value[:-1]}'"
            yield f"'{'0' if value[0] != '0' else '1'}{value[1:]}'"
        case bytes() | memoryview():
            changed = bytes([value[0] ^ 1]) + bytes(value[1:])
            yield f"X'{changed.hex()}'"
            yield f"X'{bytes(value).hex()}00'"
        case None:
            yield "'key'"


def test_an_untouched_ledger_is_fine(filled: str) -> None:
    verification = Ledger.open(filled).verify()
    assert (verification.ok, verification.releases, verification.problems) == (True, 3, ())


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_change_of_any_column_is_found(file: str, table: str, column: str) -> None:
    any_change_is_found(fill(file), table, column)


@pytest.mark.slow
@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_change_of_any_column_is_found_in_postgresql(schema: str, table: str, column: str) -> None:
    any_change_is_found(fill(schema), table, column)


def any_change_is_found(filled: str, table: str, column: str) -> None:
    key = KEYS.get(table, "number")
    tried = 0
    names = execute(filled, f"SELECT {key} FROM {table} ORDER BY 1")  # noqa: S608
    few = "://" in filled  # a server takes longer
    for (name,) in names[-1:] if few else names:
        at = repr(name)
        ((value,),) = execute(filled, f"SELECT {column} FROM {table} WHERE {key} = {at}")  # noqa: S608
        for changed in list(other(value))[: 1 if few else None]:
            if "://" in filled:
                changed = changed.replace("X'", "'\\x")  # noqa: PLW2901
            now = changed if column == key else at
            change = f"UPDATE {table} SET {column} = {changed} WHERE {key} = {at}"  # noqa: S608
            if not applied(filled, change):
                continue  # the table itself refused
            assert found(filled), change
            back = f"UPDATE {table} SET {column} = {literal(filled, value)} WHERE {key} = {now}"  # noqa: S608
            execute(filled, back)
            tried += 1
    assert found(filled) == []
    # PostgreSQL's rules cannot be switched off: it may refuse every change of a key or a count.
    assert tried or "://" in filled


def applied(location: str, change: str) -> bool:
    try:
        execute(location, change)
    except Exception as error:
        if "constraint" in str(error).lower() or "mismatch" in str(error):
            return False
        raise
    return True


def literal(location: str, value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes | memoryview):
        return f"'\\x{bytes(value).hex()}'" if "://" in location else f"X'{bytes(value).hex()}'"
    return repr(value)


ODD = ["NULL", "''", "'x'", "X'ff00'", "1.5", "-1", "CAST(X'ff' AS TEXT)", "1e400"]


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_what_no_column_ever_holds_is_found(file: str, table: str, column: str) -> None:
    """SQLite takes anything anywhere; verification answers, and never breaks."""
    ledger = create(file)
    commit(ledger, key="k")
    whole = Path(file).read_bytes()
    tried = 0
    for value in ODD:
        Path(file).write_bytes(whole)
        if applied(file, f"UPDATE {table} SET {column} = {value}"):  # noqa: S608
            tried += 1
            assert found(file), value
            assert not ledger.verify().ok, value  # opened before
    assert tried


EXTRA = """INSERT INTO dataworth_releases
    SELECT 4, made, unit, max_rows, relation, epsilon, delta, loss_charge, delta_charge, events, digest, NULL,
    hash, 'h' FROM dataworth_releases WHERE number = 3"""


KEPT = ("dataworth_noisy", "dataworth_outbox", "dataworth_releases")


def swapped(one: int, another: int, *tables: str) -> list[str]:
    return [
        f"UPDATE {table} SET number = {now} WHERE number = {was}"  # noqa: S608
        for was, now in ((one, 9), (another, one), (9, another))
        for table in tables
    ]


def removed(rows: str, *tables: str) -> list[str]:
    return [f"DELETE FROM {table} {rows}" for table in tables]  # noqa: S608


@pytest.mark.parametrize(
    "changes",
    [
        ["DELETE FROM dataworth_releases WHERE number = 1"],
        ["DELETE FROM dataworth_releases WHERE number = 2"],
        ["DELETE FROM dataworth_releases WHERE number = 3"],
        ["DELETE FROM dataworth_noisy WHERE number = 2"],
        ["DELETE FROM dataworth_outbox WHERE number = 3"],
        ["DELETE FROM dataworth_ledger"],
        ["DELETE FROM dataworth_version"],
        ["INSERT INTO dataworth_version VALUES ('0000')"],
        removed("WHERE number = 3", *KEPT),
        removed("", *KEPT),
        swapped(1, 2, *KEPT),
        swapped(1, 2, "dataworth_outbox"),
        swapped(3, 1, "dataworth_noisy"),
        [EXTRA],
        ["INSERT INTO dataworth_outbox SELECT 7, payload FROM dataworth_outbox WHERE number = 1"],
        ["INSERT INTO dataworth_noisy SELECT 7, shape, counts FROM dataworth_noisy WHERE number = 1"],
        ["DROP TABLE dataworth_outbox"],
        ["ALTER TABLE dataworth_releases RENAME COLUMN digest TO digested"],
        ["UPDATE dataworth_ledger SET loss_spent = 0, delta_spent = 0"],
    ],
    ids=lambda changes: changes[0][:60],
)
def test_rows_removed_added_or_swapped_are_found(filled: str, changes: list[str]) -> None:
    execute(filled, *changes)
    assert found(filled)


def test_the_tail_cut_off_with_its_counters_is_found(filled: str) -> None:
    """The head is kept beside the counters: whoever sets these back must also know what to set it to."""
    execute(
        filled,
        "DELETE FROM dataworth_outbox WHERE number = 3",
        "DELETE FROM dataworth_noisy WHERE number = 3",
        "UPDATE dataworth_ledger SET releases = 2, "
        "loss_spent = loss_spent - (SELECT loss_charge FROM dataworth_releases WHERE number = 3), "
        "delta_spent = delta_spent - (SELECT delta_charge FROM dataworth_releases WHERE number = 3)",
        "DELETE FROM dataworth_releases WHERE number = 3",
    )
    problems = found(filled)
    assert len(problems) == 1
    assert "the hash of the last row" in problems[0]


def test_what_only_a_noted_head_can_find(filled: str) -> None:
    """Cut off the tail and set everything back, the head too: a chain without an anchor is whole again."""
    noted = Ledger.open(filled).head
    execute(
        filled,
        "DELETE FROM dataworth_outbox WHERE number = 3",
        "DELETE FROM dataworth_noisy WHERE number = 3",
        "UPDATE dataworth_ledger SET releases = 2, "
        "head = (SELECT hash FROM dataworth_releases WHERE number = 2), "
        "loss_spent = loss_spent - (SELECT loss_charge FROM dataworth_releases WHERE number = 3), "
        "delta_spent = delta_spent - (SELECT delta_charge FROM dataworth_releases WHERE number = 3)",
        "DELETE FROM dataworth_releases WHERE number = 3",
    )
    ledger = Ledger.open(filled)
    assert ledger.verify().ok
    verification = ledger.verify(head=noted)
    assert not verification.ok
    assert "rewritten, or is an older copy" in verification.problems[0]


def test_an_old_copy_put_back_is_found_by_a_noted_head(file: str) -> None:
    ledger = create(file)
    commit(ledger)
    shutil.copy(file, f"{file}.old")
    commit(ledger)
    noted = ledger.head
    assert ledger.verify(head=noted).ok
    shutil.copy(f"{file}.old", file)
    restored = Ledger.open(file)
    assert restored.verify().ok
    assert not restored.verify(head=noted).ok


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE dataworth_ledger SET head = 'x'",
        "UPDATE dataworth_ledger SET releases = 2",
        "UPDATE dataworth_ledger SET releases = 4",
        "UPDATE dataworth_releases SET hash = 'x' WHERE number = 3",
        "UPDATE dataworth_ledger SET loss_cap = loss_cap * 10",
        "UPDATE dataworth_ledger SET population = 'others'",
    ],
)
def test_nothing_is_added_to_a_ledger_that_is_not_what_it_says(filled: str, change: str) -> None:
    execute(filled, change)
    with pytest.raises(LedgerError, match="damaged"):
        commit(Ledger.open(filled))
    assert execute(filled, "SELECT count(*) FROM dataworth_releases") == [(3,)]
    assert execute(filled, "SELECT count(*) FROM dataworth_outbox") == [(3,)]


def test_answers_that_cannot_be_read(filled: str) -> None:
    execute(filled, "UPDATE dataworth_noisy SET shape = '[7]' WHERE number = 1")
    with pytest.raises(LedgerError, match="damaged"):
        Ledger.open(filled).stored(1)
    execute(filled, 'UPDATE dataworth_releases SET events = \'[{"kind": "magic"}]\' WHERE number = 1')
    with pytest.raises(LedgerError, match="damaged"):
        Ledger.open(filled).history()


def test_a_genesis_that_says_nothing(filled: str) -> None:
    execute(filled, "UPDATE dataworth_ledger SET composition = 'renyi'")
    with pytest.raises(InputError, match="damaged"):
        Ledger.open(filled)


def test_the_tables_are_not_what_helps(filled: str) -> None:
    """The changes above really were made behind the ledger's back."""
    execute(filled, "UPDATE dataworth_releases SET digest = 'other' WHERE number = 2")
    assert execute(filled, "SELECT digest FROM dataworth_releases WHERE number = 2") == [("other",)]
    assert "://" not in filled or libpq(filled).startswith("postgresql://")
    assert found(filled) == ["release 2: it does not match its own hash"]
