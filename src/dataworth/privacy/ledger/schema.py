"""The tables of a ledger, as the newest migration leaves them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = ["LEDGER", "METADATA", "NOISY", "OUTBOX", "RELEASES", "REVISIONS", "VERSION", "VERSION_TABLE"]

REVISIONS = ("0001",)
"""The migrations, the newest last."""

VERSION_TABLE = "dataworth_version"

METADATA = MetaData()

VERSION = Table(VERSION_TABLE, MetaData(), Column("version_num", Text))
"""Kept by alembic; read here."""

LEDGER = Table(
    "dataworth_ledger",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("made", Text, nullable=False),
    Column("population", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("max_rows", BigInteger, nullable=False),
    Column("relation", Text, nullable=False),
    Column("composition", Text, nullable=False),
    Column("epsilon", Text, nullable=False),
    Column("delta", Text, nullable=False),
    Column("loss_cap", BigInteger, nullable=False),
    Column("delta_cap", BigInteger, nullable=False),
    Column("loss_spent", BigInteger, nullable=False),
    Column("delta_spent", BigInteger, nullable=False),
    Column("releases", BigInteger, nullable=False),
    Column("head", Text, nullable=False),
    CheckConstraint("id = 1", name="dataworth_ledger_one_row"),
    CheckConstraint("loss_spent >= 0 AND loss_spent <= loss_cap", name="dataworth_ledger_loss"),
    CheckConstraint("delta_spent >= 0 AND delta_spent <= delta_cap", name="dataworth_ledger_delta"),
    CheckConstraint("releases >= 0", name="dataworth_ledger_releases"),
)
"""One row: what the ledger is for, what it may give out, what it gave out, the hash of the last row."""

RELEASES = Table(
    "dataworth_releases",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("made", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("max_rows", BigInteger, nullable=False),
    Column("relation", Text, nullable=False),
    Column("epsilon", BigInteger, nullable=False),
    Column("delta", BigInteger, nullable=False),
    Column("loss_charge", BigInteger, nullable=False),
    Column("delta_charge", BigInteger, nullable=False),
    Column("events", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("request_key", Text),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    UniqueConstraint("request_key", name="dataworth_releases_request_key"),
    UniqueConstraint("previous", name="dataworth_releases_previous"),
    CheckConstraint("number >= 1", name="dataworth_releases_number"),
    CheckConstraint("epsilon > 0 AND delta > 0", name="dataworth_releases_declared"),
    CheckConstraint("loss_charge > 0 AND delta_charge >= 0", name="dataworth_releases_charge"),
)
"""One row a release: declared epsilon (1e-9) and delta (1e-18), what it was charged, its events, its hash."""

NOISY = Table(
    "dataworth_noisy",
    METADATA,
    Column("number", BigInteger, ForeignKey("dataworth_releases.number"), primary_key=True, autoincrement=False),
    Column("shape", Text, nullable=False),
    Column("counts", LargeBinary, nullable=False),
)
"""The noisy counts of each release: int64, least significant byte first."""

OUTBOX = Table(
    "dataworth_outbox",
    METADATA,
    Column("number", BigInteger, ForeignKey("dataworth_releases.number"), primary_key=True, autoincrement=False),
    Column("payload", LargeBinary, nullable=False),
)
"""The answer of each release, for whoever asks again, after random bytes that keep its hash from telling of it."""
