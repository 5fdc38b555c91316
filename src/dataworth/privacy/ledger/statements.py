"""What is asked of the tables, each a statement or two on a connection that is in a transaction."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, RowMapping, func, insert, select, update

from dataworth.errors import LedgerError
from dataworth.privacy.ledger import steps
from dataworth.privacy.ledger.admission import Steps
from dataworth.privacy.ledger.chain import hash_release
from dataworth.privacy.ledger.charges import Stored
from dataworth.privacy.ledger.schema import LEDGER, METADATA, NOISY, OUTBOX, RELEASES, VERSION

__all__ = [
    "chain_ends",
    "count_rows",
    "find_key",
    "find_number",
    "insert_genesis",
    "insert_release",
    "read_everything",
    "read_genesis",
    "read_releases",
    "read_revisions",
    "spend",
]


def insert_genesis(connection: Connection, row: Mapping[str, Any]) -> None:
    """Write the one row of a new ledger."""
    connection.execute(insert(LEDGER).values(id=1, **row))


def read_genesis(connection: Connection, *, lock: bool = False) -> dict[str, Any]:
    """The one row of a ledger; with ``lock``, nobody else writes until the transaction ends.

    Raises:
        LedgerError: There is no such row.
    """
    query = select(LEDGER).where(LEDGER.c.id == 1)
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    if row is None:
        raise LedgerError("the ledger is damaged: it does not say what it is for")
    return _plain(row)


def spend(connection: Connection, cost: Steps) -> bool:
    """Take a cost off what is left, if there is room: the one statement that decides."""
    spent = connection.execute(
        update(LEDGER)
        .where(
            LEDGER.c.id == 1,
            LEDGER.c.loss_spent + cost.loss <= LEDGER.c.loss_cap,
            LEDGER.c.delta_spent + cost.delta <= LEDGER.c.delta_cap,
        )
        .values(loss_spent=LEDGER.c.loss_spent + cost.loss, delta_spent=LEDGER.c.delta_spent + cost.delta)
    )
    return spent.rowcount == 1


def chain_ends(connection: Connection) -> tuple[str, int, str] | None:
    """What the first release follows, and number and hash of the last; None without releases."""
    first = select(RELEASES.c.previous).order_by(RELEASES.c.number).limit(1).scalar_subquery()
    row = connection.execute(
        select(first.label("start"), RELEASES.c.number, RELEASES.c.hash).order_by(RELEASES.c.number.desc()).limit(1)
    ).one_or_none()
    return None if row is None else (row.start, row.number, row.hash)


SALT = 32
"""Random bytes before each stored answer: without them its hash, which is shown, would let anybody test a guess."""


def insert_release(connection: Connection, row: Mapping[str, Any], *, noisy: NDArray[np.int64], payload: bytes) -> None:
    """Write a release, its noisy counts and its answer, and make it the head of the chain."""
    number = row["number"]
    shape, counts = json.dumps(list(noisy.shape)), noisy.astype("<i8").tobytes()
    kept = secrets.token_bytes(SALT) + payload
    own = hash_release(row, shape=shape, counts=counts, payload=kept)
    connection.execute(insert(RELEASES).values(**row, hash=own))
    steps.at("release written")
    connection.execute(insert(NOISY).values(number=number, shape=shape, counts=counts))
    steps.at("noisy written")
    connection.execute(insert(OUTBOX).values(number=number, payload=kept))
    steps.at("outbox written")
    connection.execute(update(LEDGER).where(LEDGER.c.id == 1).values(releases=number, head=own))
    steps.at("chained")


def find_key(connection: Connection, request_key: str, digest: str) -> Stored | None:
    """The answer given before under a request key.

    Raises:
        LedgerError: Another request was made under it.
    """
    found = _stored(connection, RELEASES.c.request_key == request_key)
    if found is None:
        return None
    answer, asked = found
    if asked != digest:
        raise LedgerError(
            f"the request key {request_key!r} was used for another request, release {answer.number}; "
            "use a new key, or ask exactly as before"
        )
    return answer


def find_number(connection: Connection, number: int) -> Stored | None:
    """The answer of a release."""
    found = _stored(connection, RELEASES.c.number == number)
    return None if found is None else found[0]


def read_releases(connection: Connection) -> Iterator[dict[str, Any]]:
    """The releases in order, without noisy counts and answers."""
    for row in connection.execute(select(RELEASES).order_by(RELEASES.c.number)).mappings():
        yield _plain(row)


def read_everything(connection: Connection) -> Iterator[dict[str, Any]]:
    """The releases in order with noisy counts and answers, a few at a time; None for what is missing."""
    joined = (
        select(RELEASES, NOISY.c.shape, NOISY.c.counts, OUTBOX.c.payload)
        .select_from(RELEASES)
        .outerjoin(NOISY, NOISY.c.number == RELEASES.c.number)
        .outerjoin(OUTBOX, OUTBOX.c.number == RELEASES.c.number)
        .order_by(RELEASES.c.number)
    )
    for row in connection.execute(joined, execution_options={"yield_per": 10}).mappings():
        yield _plain(row)


def read_revisions(connection: Connection) -> list[Any]:
    """Which migrations the tables say they are at; one, if all is well."""
    return list(connection.scalars(select(VERSION.c.version_num)))


def count_rows(connection: Connection) -> dict[str, int]:
    """How many rows each table has."""
    return {
        name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for name, table in METADATA.tables.items()
    }


def _plain(row: RowMapping) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def _stored(connection: Connection, which: ColumnElement[bool]) -> tuple[Stored, str] | None:
    """An answer, and the digest of what was asked."""
    row = connection.execute(
        select(RELEASES.c.number, RELEASES.c.made, RELEASES.c.digest, NOISY.c.shape, NOISY.c.counts, OUTBOX.c.payload)
        .join(NOISY, NOISY.c.number == RELEASES.c.number)
        .join(OUTBOX, OUTBOX.c.number == RELEASES.c.number)
        .where(which)
    ).one_or_none()
    if row is None:
        return None
    try:
        noisy = np.frombuffer(row.counts, dtype="<i8").astype(np.int64).reshape(json.loads(row.shape))
    except (TypeError, ValueError) as error:
        raise LedgerError(f"release {row.number} is damaged; see what `dataworth budget --verify` says") from error
    noisy.setflags(write=False)
    return Stored(number=row.number, payload=bytes(row.payload)[SALT:], noisy=noisy, made=row.made), row.digest
