"""The ledger: what may be spent, what was spent, and refusal.

Statements are ``statements``'s and the database is ``store``'s; both need SQLAlchemy and are imported when a ledger
is made or opened.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import BudgetExceeded, InputError, LedgerError, MethodError, MissingExtra
from dataworth.privacy.events import describe_events, events_from_json, events_to_json
from dataworth.privacy.ledger import steps
from dataworth.privacy.ledger.admission import Steps, cap_of, check_account, cost_of, fits, remaining
from dataworth.privacy.ledger.chain import hash_genesis
from dataworth.privacy.ledger.charges import (
    Charge,
    Composition,
    Preview,
    Remaining,
    Stored,
    Verification,
    check_composition,
)
from dataworth.privacy.ledger.verification import Reader, unit_of
from dataworth.records import Table
from dataworth.records.privacy import Budget, Owner, Relation, Row, Unit, check_relation

if TYPE_CHECKING:
    from dataworth.privacy.ledger.store import Location, Store

__all__ = ["Ledger"]

_LONGEST = 200  # characters of a name or key


class Ledger:
    """A durable account of what releases about one population may spend and have spent.

    Made once with :meth:`create` and opened with :meth:`open`. It may be used by many processes and threads at
    once. The file, or the database, is confidential: whoever reads it has every answer ever given.

    Example:
        >>> import tempfile
        >>> from fractions import Fraction
        >>> import numpy as np
        >>> from dataworth.privacy.kinds import CappedCounts
        >>> from dataworth.privacy.ledger import Charge, Ledger
        >>> from dataworth.records import Budget, Row
        >>> folder = tempfile.TemporaryDirectory()
        >>> ledger = Ledger.create(
        ...     f"{folder.name}/ledger.db", budget=Budget(2, 1e-6), unit=Row(), population="patients-2026"
        ... )
        >>> charge = Charge(Budget(0.5, 5e-7), (CappedCounts(Fraction(60), links=25),), Row(), "add_or_remove")
        >>> answer = ledger.commit(
        ...     charge, noisy=np.array([4, -1]), payload=b"answer", request_key="first", digest="what was asked"
        ... )
        >>> answer.number, ledger.find("first", "what was asked").payload
        (1, b'answer')
        >>> print(ledger.remaining)
        epsilon = 1.5, delta = 5e-7
        >>> ledger.verify().ok
        True
        >>> folder.cleanup()
    """

    def __init__(self, store: Store, genesis: Mapping[str, Any]) -> None:
        """Not to be called: use :meth:`create` or :meth:`open`."""
        self._store = store
        self.population: str = genesis["population"]
        self.budget = Budget(genesis["epsilon"], genesis["delta"])
        self.unit: Unit = unit_of(genesis)
        self.relation: Relation = genesis["relation"]
        self.composition: Composition = genesis["composition"]
        self._cap = Steps(genesis["loss_cap"], genesis["delta_cap"])

    def __repr__(self) -> str:
        return f"Ledger of {self.population!r} in {self._store.name}"

    @classmethod
    def create(
        cls,
        location: Location,
        *,
        budget: Budget,
        unit: Unit,
        population: str,
        relation: Relation = "add_or_remove",
        composition: Composition = "basic",
    ) -> Ledger:
        """Make a ledger, once, for one population; nothing that is there already is ever overwritten.

        A name cannot stop a second ledger on the same people: whoever makes one doubles what may be learnt about
        them. The file is confidential and is made readable by its owner alone.

        Args:
            location: The path of a file to make, or a ``postgresql://`` URL of a database to make the tables in.
            budget: All that may ever be spent.
            unit: Whose presence is hidden, in every release.
            population: A name for whose data this is, 1 to 200 printable characters.
            relation: The change of the data that every release hides.
            composition: ``"basic"`` adds epsilons and deltas. ``"zcdp"`` adds zero-concentrated privacy, which
                admits many more releases of noisy counts of all rows, and fewer of any other kind.

        Returns:
            The ledger, open.

        Raises:
            LedgerError: There is something already, or it cannot be made there.
            MethodError: A budget, unit, name or rule that cannot be.
            MissingExtra: SQLAlchemy or the driver of PostgreSQL is not installed.
            OSError: The disk is full, or the database cannot be reached.
        """
        check_composition(composition)
        check_relation(relation)
        if not isinstance(budget, Budget):
            raise MethodError(f"budget must be a Budget, not {type(budget).__name__}")
        if not isinstance(unit, Row | Owner):
            raise MethodError(f"unit must be Row() or Owner(max_rows), not {type(unit).__name__}")
        _check_text("population", population)
        cap = cap_of(budget, composition)
        genesis: dict[str, Any] = {
            "made": _now(),
            "population": population,
            **_columns_of(unit),
            "relation": relation,
            "composition": composition,
            "epsilon": str(budget.epsilon),
            "delta": str(budget.delta),
            "loss_cap": cap.loss,
            "delta_cap": cap.delta,
        }
        start = {"loss_spent": 0, "delta_spent": 0, "releases": 0, "head": hash_genesis(genesis)}
        _need_sqlalchemy()
        from dataworth.privacy.ledger import statements, store

        made = store.create_store(location, lambda connection: statements.insert_genesis(connection, genesis | start))
        return cls(made, genesis)

    @classmethod
    def open(cls, location: Location) -> Ledger:
        """Open a ledger that is there; never makes one.

        Args:
            location: As it was given to :meth:`create`.

        Raises:
            LedgerError: There is none, or what is there is no ledger, is damaged, is of a newer dataworth, may be
                read by others, or cannot be written to.
            MissingExtra: SQLAlchemy or the driver of PostgreSQL is not installed.
            OSError: The database cannot be reached.
        """
        _need_sqlalchemy()
        from dataworth.privacy.ledger import statements, store

        found = store.open_store(location)
        with found.reading() as connection:
            genesis = statements.read_genesis(connection)
        try:
            check_composition(genesis["composition"])
            check_relation(genesis["relation"])
            return cls(found, genesis)
        except (InputError, TypeError) as error:
            raise LedgerError(f"the ledger {found.name} is damaged: it does not say what it is for") from error

    @property
    def remaining(self) -> Remaining:
        """What is left now."""
        return remaining(self._left(), self.composition)

    @property
    def head(self) -> str:
        """The hash of the last row: noted elsewhere, it shows later whether the ledger was rewritten."""
        return str(self._state()["head"])

    def preview(self, charge: Charge) -> Preview:
        """Whether a charge would fit, and what would be left; nothing is written.

        Args:
            charge: What a release would cost.

        Raises:
            LedgerError: It is for another unit or relation.
            MethodError: Its events cost more than it declares.
        """
        cost, left = self._cost(charge), self._left()
        admitted = fits(cost, left)
        after = remaining(left - cost, self.composition) if admitted else None
        return Preview(admitted, remaining(left, self.composition), after)

    def check(self, charge: Charge) -> None:
        """Refuse a charge that does not fit, before anything is computed; nothing is written.

        Args:
            charge: What a release would cost.

        Raises:
            BudgetExceeded: It does not fit.
            LedgerError: It is for another unit or relation.
            MethodError: Its events cost more than it declares.
        """
        cost, left = self._cost(charge), self._left()
        if not fits(cost, left):
            raise self._exceeded(charge, left)

    def find(self, request_key: str, digest: str) -> Stored | None:
        """The answer given before under a request key, or None.

        Args:
            request_key: 1 to 200 printable characters.
            digest: Of what is asked.

        Raises:
            LedgerError: Something else was asked under that key.
            MethodError: A key or digest that cannot be one.
        """
        from dataworth.privacy.ledger import statements

        _check_text("request_key", request_key)
        _check_text("digest", digest)
        with self._store.reading() as connection:
            return statements.find_key(connection, request_key, digest)

    def stored(self, number: int) -> Stored:
        """The answer of a release.

        Args:
            number: From 1 on.

        Raises:
            LedgerError: There is no such release.
        """
        from dataworth.privacy.ledger import statements

        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number < 2**63:
            raise LedgerError(f"releases are numbered from 1 on; there is no release {number!r}")
        with self._store.reading() as connection:
            found = statements.find_number(connection, number)
        if found is None:
            raise LedgerError(f"the ledger has no release {number}")
        return found

    def commit(
        self,
        charge: Charge,
        *,
        noisy: NDArray[np.int64],
        payload: bytes,
        request_key: str | None = None,
        digest: str,
        insecure: bool = False,
    ) -> Stored:
        """Spend a charge and keep its answer, both or neither; only what this returns may be released.

        Args:
            charge: What the release costs.
            noisy: Its noisy counts, int64, of any shape.
            payload: Its answer.
            request_key: 1 to 200 printable characters. Asked again under the same key, the ledger returns the
                answer it has, spends nothing, and ignores what is given. Without a key every call is a new spend.
            digest: Of what was asked, 1 to 200 printable characters.
            insecure: Whether the noise was seeded or left out; then nothing is charged and nothing kept.

        Returns:
            The answer as it is kept: this one, or the one given before under the key.

        Raises:
            BudgetExceeded: It does not fit; nothing was spent.
            LedgerError: Another unit or relation, seeded noise, a key used for something else, or a damaged ledger.
            MethodError: Its events cost more than it declares, or something that cannot be kept.
            OSError: The disk is full or the database cannot be reached. If the failure came while committing,
                asking again under the same key tells whether it was spent.
        """
        from dataworth.privacy.ledger import statements

        if insecure:
            raise LedgerError("the noise of this release was seeded or left out; a ledger takes private releases only")
        _check_answer(noisy, payload)
        _check_text("digest", digest)
        if request_key is not None:
            _check_text("request_key", request_key)
        cost = self._cost(charge)
        with self._store.writing() as connection:
            genesis = statements.read_genesis(connection, lock=True)
            kept = None if request_key is None else statements.find_key(connection, request_key, digest)
            steps.at("looked up")
            if kept is None:
                # What is above the whole budget may not even fit the column.
                if not fits(cost, self._cap) or not statements.spend(connection, cost):
                    raise self._exceeded(charge, _left_of(genesis))
                steps.at("spent")
                number = self._next_number(genesis, statements.chain_ends(connection))
                row = self._row(number, charge, cost, request_key, digest, genesis["head"])
                statements.insert_release(connection, row, noisy=noisy, payload=payload)
        if kept is not None:
            return kept
        copy = noisy.copy()
        copy.setflags(write=False)
        return Stored(number=number, payload=payload, noisy=copy, made=row["made"])

    def verify(self, *, head: str | None = None) -> Verification:
        """Read every row and find any that is not as it was written.

        It finds a change of any column of any table, and rows that were removed, added or swapped. Without a head
        that was noted elsewhere it cannot find a ledger rewritten as a whole, or an old copy put back.

        Args:
            head: A hash noted earlier, which must still be in the chain.
        """
        from dataworth.privacy.ledger import schema, statements

        reader = None
        try:
            with self._store.reading() as connection:
                genesis = statements.read_genesis(connection)
                reader = Reader(genesis)
                for row in statements.read_everything(connection):
                    reader.read(row)
                reader.close(statements.count_rows(connection))
                if statements.read_revisions(connection) != [schema.REVISIONS[-1]]:
                    reader.problems.append("it does not say by which version of dataworth its tables were made")
        except (LedgerError, TypeError, ValueError, OverflowError):
            so_far = [] if reader is None else reader.problems
            problems = (*so_far, "some of it cannot be read")
            return Verification(False, 0 if reader is None else reader.releases, problems, head="")
        if head is not None and head not in reader.hashes:
            reader.problems.append(f"the hash {head!r} is not in it: the ledger was rewritten, or is an older copy")
        problems = tuple(reader.problems)
        return Verification(not problems, reader.releases, problems, head=str(genesis["head"]))

    def history(self) -> Table:
        """What was released, when and at what price; nothing that is not safe to show.

        Returns:
            A row a release: number, time, epsilon, delta, mechanism, request key and, under zCDP, rho.
        """
        from dataworth.privacy.ledger import statements

        with self._store.reading() as connection:
            rows = list(statements.read_releases(connection))
        try:
            columns: dict[str, list[Any]] = {
                "number": [row["number"] for row in rows],
                "time": [row["made"] for row in rows],
                "epsilon": [float(Decimal(row["epsilon"]).scaleb(-9)) for row in rows],
                "delta": [float(Decimal(row["delta"]).scaleb(-18)) for row in rows],
                "mechanism": [describe_events(events_from_json(json.loads(row["events"]))) for row in rows],
                "request key": [row["request_key"] for row in rows],
            }
            if self.composition == "zcdp":
                columns["rho"] = [row["loss_charge"] / 2**40 for row in rows]
        except (InputError, TypeError, ValueError) as error:
            raise LedgerError(f"{self!r} is damaged; see what `dataworth budget --verify` says") from error
        return Table("ledger", f"Releases charged to {self.population}", columns)

    def _state(self) -> Mapping[str, Any]:
        from dataworth.privacy.ledger import statements

        with self._store.reading() as connection:
            return statements.read_genesis(connection)

    def _left(self) -> Steps:
        return _left_of(self._state())

    def _cost(self, charge: Charge) -> Steps:
        """What a charge costs here, after it has been shown to be what it says."""
        if charge.unit != self.unit or charge.relation != self.relation:
            raise LedgerError(
                f"this ledger is for {self.unit}, {self.relation}; the release is for {charge.unit}, {charge.relation}"
            )
        check_account(charge)
        epsilon, delta = charge.spend.charge()
        return cost_of(epsilon, delta, charge.events, charge.unit, charge.relation, self.composition)

    def _exceeded(self, charge: Charge, left: Steps) -> BudgetExceeded:
        return BudgetExceeded(
            f"this release asks for {charge.spend}, but the ledger of {self.population!r} has "
            f"{remaining(left, self.composition)} left of {self.budget}; nothing was spent"
        )

    def _next_number(self, genesis: Mapping[str, Any], ends: tuple[str, int, str] | None) -> int:
        """One more than the last, if the chain begins and ends where the ledger's one row says."""
        start = hash_genesis(genesis)
        if (start, genesis["releases"], genesis["head"]) != (ends or (start, 0, start)):
            raise LedgerError(
                f"the ledger {self._store.name} is damaged: its rows are not those it speaks of; nothing was spent"
            )
        return int(genesis["releases"]) + 1

    def _row(
        self, number: int, charge: Charge, cost: Steps, request_key: str | None, digest: str, previous: str
    ) -> dict[str, Any]:
        epsilon, delta = charge.spend.charge()
        return {
            "number": number,
            "made": _now(),
            **_columns_of(charge.unit),
            "relation": charge.relation,
            "epsilon": epsilon,
            "delta": delta,
            "loss_charge": cost.loss,
            "delta_charge": cost.delta,
            "events": json.dumps(events_to_json(charge.events)),
            "digest": digest,
            "request_key": request_key,
            "previous": previous,
        }


def _left_of(genesis: Mapping[str, Any]) -> Steps:
    return Steps(genesis["loss_cap"] - genesis["loss_spent"], genesis["delta_cap"] - genesis["delta_spent"])


def _columns_of(unit: Unit) -> dict[str, Any]:
    return {"unit": "row" if isinstance(unit, Row) else "owner", "max_rows": unit.rows}


def _now() -> str:
    """For people to read; the order of releases is that of their numbers."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _check_text(name: str, text: object) -> None:
    if not isinstance(text, str) or not 1 <= len(text) <= _LONGEST or not text.isprintable() or not text.strip():
        raise MethodError(f"{name} must be 1 to {_LONGEST} printable characters")


def _check_answer(noisy: object, payload: object) -> None:
    if not isinstance(noisy, np.ndarray) or noisy.dtype != np.int64:
        raise MethodError("noisy counts must be an array of int64")
    if not isinstance(payload, bytes):
        raise MethodError(f"payload must be bytes, not {type(payload).__name__}")


def _need_sqlalchemy() -> None:
    try:
        import sqlalchemy  # noqa: F401
    except ImportError as error:
        raise MissingExtra("a ledger", "private") from error
