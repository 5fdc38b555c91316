"""Whether the rows of a ledger are as they were written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dataworth.errors import InputError
from dataworth.privacy.events import events_from_json
from dataworth.privacy.ledger.admission import Steps, cap_of, cost_of
from dataworth.privacy.ledger.chain import hash_genesis, hash_release
from dataworth.records.privacy import Budget, Owner, Row, Unit

__all__ = ["Reader", "unit_of"]

_PINNED = ("unit", "max_rows", "relation")


class Reader:
    """Reads a ledger from its first row to its last and keeps what it finds wrong.

    Args:
        genesis: The one row of the ledger.
    """

    def __init__(self, genesis: Mapping[str, Any]) -> None:
        self._genesis = genesis
        self._last = _try_hash(genesis)
        self._loss = self._delta = 0
        self.releases = 0
        self.hashes = {self._last}
        self.problems: list[str] = []
        try:
            cap = cap_of(Budget(genesis["epsilon"], genesis["delta"]), genesis["composition"])
        except (InputError, TypeError):
            cap = None
        if cap != Steps(genesis["loss_cap"], genesis["delta_cap"]):
            self.problems.append("the caps are not those of the ledger's budget")

    def read(self, row: Mapping[str, Any]) -> None:
        """Take the next release: its columns, noisy counts and answer."""
        self.releases += 1
        self.problems.extend(f"release {row['number']}: {problem}" for problem in self._wrong(row))
        self._last = row["hash"]
        self.hashes.add(self._last)

    def close(self, rows: Mapping[str, int]) -> None:
        """Compare what was read with what the ledger's one row says.

        Args:
            rows: How many rows each table has.
        """
        genesis = self._genesis
        said = {
            "the number of releases": (genesis["releases"], self.releases),
            "the loss spent": (genesis["loss_spent"], self._loss),
            "the delta spent": (genesis["delta_spent"], self._delta),
            "the hash of the last row": (genesis["head"], self._last),
        }
        self.problems.extend(
            f"{what} is said to be {kept}, but the rows give {found}"
            for what, (kept, found) in said.items()
            if not _same(kept, found)
        )
        for table, expected in (
            ("dataworth_ledger", 1),
            ("dataworth_noisy", self.releases),
            ("dataworth_outbox", self.releases),
        ):
            if rows[table] != expected:
                self.problems.append(f"{table} has {rows[table]} rows, not {expected}")

    def _wrong(self, row: Mapping[str, Any]) -> Iterator[str]:
        if not _same(row["number"], self.releases):
            yield f"it stands where release {self.releases} should"
        if row["previous"] != self._last:
            yield "it does not follow the row before it"
        if row["shape"] is None or row["payload"] is None:
            yield "its noisy counts or its answer are missing"
        elif _try_hash(row) != row["hash"]:
            yield "it does not match its own hash"
        if any(not _same(row[name], self._genesis[name]) for name in _PINNED):
            yield "it is for another unit or relation than the ledger"
        charged = Steps(row["loss_charge"], row["delta_charge"])
        if charged != self._cost(row):
            yield "it was not charged what it cost"
        if isinstance(charged.loss, int) and isinstance(charged.delta, int):
            self._loss += charged.loss
            self._delta += charged.delta

    def _cost(self, row: Mapping[str, Any]) -> Steps | None:
        try:
            events = events_from_json(json.loads(row["events"]))
            return cost_of(
                row["epsilon"], row["delta"], events, unit_of(row), row["relation"], self._genesis["composition"]
            )
        except (InputError, TypeError, ValueError):
            return None


def unit_of(row: Mapping[str, Any]) -> Unit:
    """The unit that a row of a ledger names.

    Raises:
        InputError: It names none.
    """
    match row["unit"], row["max_rows"]:
        case "row", 1:
            return Row()
        case "owner", int(rows):
            return Owner(rows)
        case other:
            raise InputError(f"unknown unit {other!r}")


def _try_hash(row: Mapping[str, Any]) -> str:
    """The hash a row should have; no hash at all if something in it is of no kind that was ever written."""
    try:
        if "payload" not in row:
            return hash_genesis(row)
        return hash_release(row, shape=row["shape"], counts=bytes(row["counts"]), payload=bytes(row["payload"]))
    except (TypeError, ValueError):
        return ""


def _same(one: object, other: object) -> bool:
    """Equal and of one type: 1 is not 1.0."""
    return type(one) is type(other) and one == other
