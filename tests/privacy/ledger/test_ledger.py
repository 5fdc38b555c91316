"""What a ledger promises one caller: made once, bound to what it is for, spends once, answers alike."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataworth.errors import BudgetExceeded, LedgerError, MethodError
from dataworth.privacy.kinds import CappedCounts
from dataworth.privacy.ledger import Charge, Ledger, Remaining, admission
from dataworth.privacy.ledger import ledger as ledger_module
from dataworth.records.privacy import Budget, Owner, Row
from tests.privacy.ledger.helpers import (
    NOISY,
    ROW,
    SMALL,
    SUBSAMPLED,
    WHOLE,
    commit,
    create,
    execute,
    spent,
    summed,
)

GAUSSIAN = (CappedCounts(Fraction(200), links=4),)


def test_what_it_is_for_is_kept(location: str) -> None:
    made = create(location, "1.50", "1e-6", unit=Owner(5), population="Kraków 2026", relation="replace")
    opened = Ledger.open(location)
    for ledger in (made, opened):
        assert ledger.budget == Budget("1.50", "1e-6")
        assert (ledger.unit, ledger.relation) == (Owner(5), "replace")
        assert (ledger.population, ledger.composition) == ("Kraków 2026", "basic")
        assert ledger.remaining == Remaining(Decimal("1.5"), Decimal("1e-6"))
    assert "Kraków 2026" in repr(made)


def test_a_ledger_is_never_overwritten(location: str) -> None:
    commit(create(location))
    with pytest.raises(LedgerError, match="already"):
        create(location, epsilon=100, population="others")
    ledger = Ledger.open(location)
    assert ledger.population == "patients"
    assert ledger.verify().releases == 1


def test_opening_never_creates(location: str) -> None:
    with pytest.raises(LedgerError, match="no ledger"):
        Ledger.open(location)
    with pytest.raises(LedgerError, match="no ledger"):
        Ledger.open(location)


@pytest.mark.parametrize(
    "settings",
    [
        {"population": ""},
        {"population": "   "},
        {"population": "x" * 201},
        {"population": "two\nlines"},
        {"population": None},
        {"unit": "row"},
        {"relation": "swap"},
        {"composition": "renyi"},
    ],
    ids=repr,
)
def test_what_no_ledger_can_be_for(file: str, settings: dict[str, Any]) -> None:
    with pytest.raises(MethodError):
        create(file, **settings)
    with pytest.raises(MethodError, match="budget must be a Budget"):
        Ledger.create(file, budget=(2, 1e-6), unit=Row(), population="p")  # type: ignore[arg-type]
    with pytest.raises(LedgerError, match="no ledger"):
        Ledger.open(file)


def test_a_release_is_spent_and_kept(location: str) -> None:
    ledger = create(location)
    answer = commit(ledger, key="k")
    assert answer.number == 1
    assert answer.payload == b"answer"
    assert np.array_equal(answer.noisy, NOISY)
    assert answer.noisy.dtype == np.int64
    assert abs(datetime.now(UTC) - datetime.fromisoformat(answer.made)).total_seconds() < 60
    assert spent(location) == summed(location) == (2 * 10**7, 10**10, 1)
    again = Ledger.open(location).stored(1)
    assert again == answer
    assert np.array_equal(again.noisy, NOISY)
    assert again.noisy.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        again.noisy[0, 0] = 1
    assert ledger.remaining == Remaining(Decimal("1.98"), Decimal("9.9e-7"))


@pytest.mark.parametrize("shape", [(0,), (0, 2), (5,), (3, 2), ()])
def test_noisy_counts_of_any_shape(location: str, shape: tuple[int, ...]) -> None:
    noisy = np.full(shape, -(2**63), dtype=np.int64)
    ledger = create(location)
    kept = ledger.stored(commit(ledger, noisy=noisy, payload=b"\0" * 3).number)
    assert np.array_equal(kept.noisy, noisy)
    assert kept.noisy.shape == shape
    assert kept.payload == b"\0\0\0"


def test_noisy_counts_that_are_no_plain_block(location: str) -> None:
    noisy = np.arange(24, dtype=np.int64).reshape(4, 6)[::-2, ::3].T
    assert np.array_equal(create(location).stored(commit(Ledger.open(location), noisy=noisy).number).noisy, noisy)


def test_the_callers_array_is_its_own(file: str) -> None:
    noisy = NOISY.copy()
    answer = commit(create(file), noisy=noisy)
    noisy[:] = 0
    assert np.array_equal(answer.noisy, NOISY)


@pytest.mark.parametrize(
    "wrong",
    [
        {"noisy": NOISY.astype(np.int32)},
        {"noisy": NOISY.astype(np.float64)},
        {"noisy": [1, 2]},
        {"payload": "text"},
        {"payload": None},
        {"digest": ""},
        {"digest": None},
        {"key": ""},
        {"key": " "},
        {"key": "x" * 201},
        {"key": "a\nb"},
        {"key": "a\0b"},
        {"key": "\ud800"},
        {"key": 7},
    ],
    ids=repr,
)
def test_what_cannot_be_kept(file: str, wrong: dict[str, Any]) -> None:
    ledger = create(file)
    with pytest.raises(MethodError):
        commit(ledger, **wrong)
    assert spent(file) == summed(file) == (0, 0, 0)


@pytest.mark.parametrize("key", ["k", "x" * 200, "with space", "żółw/..%", "'; DROP TABLE dataworth_releases; --"])
def test_a_retry_is_the_same_bytes_and_costs_nothing(location: str, key: str) -> None:
    ledger = create(location)
    first = commit(ledger, key=key)
    again = commit(ledger, key=key, payload=b"fresh noise", noisy=NOISY + 1)
    found = ledger.find(key, "asked")
    assert first == again == found
    assert np.array_equal(again.noisy, NOISY)
    assert spent(location) == (2 * 10**7, 10**10, 1)
    assert ledger.find("another", "asked") is None


def test_a_retry_is_answered_when_nothing_is_left(location: str) -> None:
    ledger = create(location, epsilon="0.02", delta="1e-8")
    first = commit(ledger, key="k")
    assert commit(ledger, key="k", payload=b"other") == first
    with pytest.raises(BudgetExceeded):
        commit(ledger, key="another")


def test_a_key_is_for_one_request(location: str) -> None:
    ledger = create(location)
    commit(ledger, key="k")
    with pytest.raises(LedgerError, match="was used for another request"):
        commit(ledger, key="k", digest="something else")
    with pytest.raises(LedgerError, match="was used for another request"):
        ledger.find("k", "something else")
    assert spent(location) == summed(location) == (2 * 10**7, 10**10, 1)


def test_without_a_key_every_call_is_a_new_spend(location: str) -> None:
    ledger = create(location)
    numbers = [commit(ledger, payload=b"%d" % i).number for i in range(3)]
    assert numbers == [1, 2, 3]
    assert [ledger.stored(number).payload for number in numbers] == [b"0", b"1", b"2"]
    assert spent(location)[2] == 3


@pytest.mark.parametrize("number", [0, 2, -1, True, "1", 1.0, 2**70])
def test_a_release_that_is_not_there(file: str, number: Any) -> None:
    ledger = create(file)
    commit(ledger)
    with pytest.raises(LedgerError, match="no release"):
        ledger.stored(number)


def test_refusal_says_what_was_asked_left_and_in_all(location: str) -> None:
    ledger = create(location, epsilon="1.5", delta="1e-6")
    commit(ledger, WHOLE)
    for refuse in (ledger.check, lambda charge: commit(ledger, charge)):
        with pytest.raises(BudgetExceeded) as refused:
            refuse(WHOLE)
        message = str(refused.value)
        for part in ("epsilon = 1, delta = 5e-7", "epsilon = 0.5, delta = 5e-7 left", "of epsilon = 1.5, delta = 1e-6"):
            assert part in message
    assert spent(location) == summed(location) == (10**9, 5 * 10**11, 1)
    assert execute(location, "SELECT count(*) FROM dataworth_noisy") == [(1,)]
    assert execute(location, "SELECT count(*) FROM dataworth_outbox") == [(1,)]
    assert ledger.verify().ok


@pytest.mark.parametrize(("epsilon", "delta"), [("100", "4.9e-7"), ("0.999999999", "0.1")])
def test_either_amount_refuses(location: str, epsilon: str, delta: str) -> None:
    ledger = create(location, epsilon, delta)
    with pytest.raises(BudgetExceeded):
        commit(ledger, WHOLE)
    with pytest.raises(BudgetExceeded):
        ledger.check(WHOLE)
    assert spent(location) == (0, 0, 0)


def test_exactly_all_of_it_fits(location: str) -> None:
    ledger = create(location, 1, "5e-7")
    ledger.check(WHOLE)
    commit(ledger, WHOLE)
    assert ledger.remaining == Remaining(Decimal(0), Decimal(0))


def test_a_charge_is_rounded_up(location: str) -> None:
    """Half a billionth more than the cap does not fit, though the cap has no such digits."""
    more = Charge(Budget("1.0000000005", "5e-7"), WHOLE.events, ROW, "add_or_remove")
    ledger = create(location, 1, "5e-7")
    with pytest.raises(BudgetExceeded):
        ledger.check(more)
    with pytest.raises(BudgetExceeded):
        commit(ledger, more)


def test_a_preview_tells_and_writes_nothing(location: str) -> None:
    ledger = create(location, epsilon="1.5")
    before = ledger.preview(WHOLE)
    assert before.admitted
    assert before.remaining == Remaining(Decimal("1.5"), Decimal("1e-6"))
    assert before.after == Remaining(Decimal("0.5"), Decimal("5e-7"))
    assert spent(location) == (0, 0, 0)
    commit(ledger, WHOLE)
    after = ledger.preview(WHOLE)
    assert (after.admitted, after.remaining, after.after) == (False, before.after, None)
    assert before.after == ledger.remaining


@pytest.mark.parametrize("act", ["check", "preview", "commit"])
def test_a_charge_for_another_unit_or_relation(file: str, act: str) -> None:
    ledger = create(file)
    for unit, relation in ((Owner(1), "add_or_remove"), (ROW, "replace")):
        charge = Charge(SMALL.spend, SMALL.events, unit, relation)  # type: ignore[arg-type]
        with pytest.raises(LedgerError, match="this ledger is for one row, add_or_remove; the release is for"):
            commit(ledger, charge) if act == "commit" else getattr(ledger, act)(charge)
    assert spent(file) == (0, 0, 0)


@pytest.mark.parametrize("act", ["check", "preview", "commit"])
def test_a_charge_that_declares_less_than_it_costs(file: str, act: str) -> None:
    ledger = create(file)
    lie = Charge(Budget("0.01", "5e-7"), WHOLE.events, ROW, "add_or_remove")
    with pytest.raises(MethodError, match="cost more than"):
        commit(ledger, lie) if act == "commit" else getattr(ledger, act)(lie)
    assert spent(file) == (0, 0, 0)


def test_seeded_noise_is_refused(file: str) -> None:
    ledger = create(file)
    commit(ledger, key="k")
    for key in (None, "k", "new"):
        with pytest.raises(LedgerError, match="seeded or left out"):
            commit(ledger, key=key, insecure=True)
    assert spent(file)[2] == 1


def test_no_refund_gets_past_the_tables(location: str) -> None:
    """A charge below nothing is refused by the arithmetic; were it not, the tables would."""
    ledger = create(location)
    commit(ledger)
    before = spent(location)
    for loss, delta in ((-(10**7), 0), (0, -(10**9)), (0, 0), (-1, -1)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ledger_module, "cost_of", lambda *_, at=(loss, delta): admission.Steps(*at))
            with pytest.raises(LedgerError):
                commit(ledger)
    assert spent(location) == summed(location) == before


@pytest.mark.parametrize(
    "change",
    [
        "loss_spent = -1",
        "delta_spent = -1",
        "loss_spent = loss_cap + 1",
        "delta_spent = delta_cap + 1",
        "releases = -1",
        "id = 2",
    ],
)
def test_the_tables_refuse_what_cannot_be(location: str, change: str) -> None:
    import sqlite3

    import psycopg

    from tests.privacy.ledger.helpers import libpq

    create(location)
    query = f"UPDATE dataworth_ledger SET {change}"  # noqa: S608
    if "://" in location:
        with pytest.raises(psycopg.errors.CheckViolation), psycopg.connect(libpq(location)) as connection:
            connection.execute(query.encode())
    else:
        with pytest.raises(sqlite3.IntegrityError), sqlite3.connect(location) as connection:
            connection.execute(query)


def test_gaussian_releases_fit_many_times_under_zcdp(location: str) -> None:
    """Twenty of epsilon 0.1 in a ledger of 0.6, which adds up to six."""
    tenth = Charge(Budget("0.1", "1e-6"), (CappedCounts(Fraction(43), links=1),), ROW, "add_or_remove")
    ledger = create(location, "0.6", "1e-6", composition="zcdp")
    for _ in range(20):
        commit(ledger, tenth)
    left = ledger.remaining
    assert left.rho is not None
    assert spent(location)[1] == 0
    assert left.delta == Decimal("5e-7")
    assert "rho" in str(left)
    assert ledger.verify().ok
    history = ledger.history()
    assert history.columns["rho"] == (spent(location)[0] / 20 / 2**40,) * 20


def test_other_releases_cost_their_square_and_delta_under_zcdp(location: str) -> None:
    ledger = create(location, 2, "4e-6", composition="zcdp")
    after = ledger.preview(SUBSAMPLED).after
    commit(ledger, SUBSAMPLED)
    assert spent(location) == summed(location) == (-(-(2**40) // 200), 10**12, 1)
    assert ledger.remaining == after
    commit(ledger, SUBSAMPLED)
    with pytest.raises(BudgetExceeded, match="rho = "):  # half of delta is for the conversion
        commit(ledger, SUBSAMPLED)
    commit(ledger, WHOLE)
    assert ledger.verify().ok


def test_an_absurd_charge_under_zcdp_is_refused_in_peace(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rho is above 64 bits; the database is never asked."""
    monkeypatch.setattr(ledger_module, "check_account", lambda charge: None)
    ledger = create(location, 100, "0.1", composition="zcdp")
    absurd = Charge(Budget(100, "0.1"), (CappedCounts(Fraction(1, 2**14), links=10**7),), ROW, "add_or_remove")
    for refuse in (ledger.check, lambda charge: commit(ledger, charge, key="k")):
        with pytest.raises(BudgetExceeded):
            refuse(absurd)


def test_extremes_are_kept_to_the_digit(location: str) -> None:
    ledger = create(location, 100, "0.1")
    most = Charge(Budget(100, "0.1"), GAUSSIAN, ROW, "add_or_remove")
    commit(ledger, most)
    assert spent(location) == summed(location) == (100 * 10**9, 10**17, 1)
    assert ledger.verify().ok


def test_history_tells_nothing_of_the_data(location: str) -> None:
    ledger = create(location, 2, "1e-5")
    commit(ledger, WHOLE, key="monday", payload=b"hospital-3", digest="d1g3st")
    commit(ledger, SUBSAMPLED)
    table = ledger.history()
    assert list(table.columns) == ["number", "time", "epsilon", "delta", "mechanism", "request key"]
    assert table.columns["number"] == (1, 2)
    assert table.columns["epsilon"] == (1.0, 0.1)
    assert table.columns["delta"] == (5e-7, 1e-6)
    assert table.columns["request key"] == ("monday", None)
    assert table.columns["mechanism"] == (
        "counts of all rows, at most 25 links each, noise 40; number of rows, noise 100",
        "counts of rows let in with probability 1/100 at each of 10 points, noise 20",
    )
    text = table.to_csv()
    assert not any(secret in text for secret in ("hospital", "d1g3st", ledger.head))


def test_a_clock_that_goes_backwards(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = create(location)
    for year in ("2030", "1999", "2026"):
        monkeypatch.setattr(ledger_module, "_now", lambda at=year: f"{at}-01-01T00:00:00+00:00")
        commit(ledger)
    assert [time[:4] for time in ledger.history().columns["time"] if isinstance(time, str)] == ["2030", "1999", "2026"]
    assert ledger.verify().ok


def test_events_are_kept_exactly(location: str) -> None:
    commit(create(location), SUBSAMPLED)
    ((text,),) = execute(location, "SELECT events FROM dataworth_releases")
    assert json.loads(text) == [{"kind": "subsampled-counts", "sigma": "20/1", "probability": "1/100", "points": 10}]


def test_the_head_moves_with_every_release(location: str) -> None:
    ledger = create(location)
    heads = [ledger.head]
    for _ in range(3):
        commit(ledger)
        heads.append(ledger.head)
    assert len(set(heads)) == 4
    assert all(re.fullmatch("[0-9a-f]{64}", head) for head in heads)
    assert ledger.verify().head == heads[-1]
    assert all(ledger.verify(head=head).ok for head in heads)


def test_the_head_does_not_tell_of_the_answer(tmp_path: Path) -> None:
    """The head is shown to anybody, and an answer is made of private rows: equal ledgers must not have equal heads."""
    heads = set()
    for number in range(3):
        ledger = create(tmp_path / f"{number}.db")
        commit(ledger, WHOLE, payload=b"the same answer", noisy=NOISY)
        rows = execute(str(tmp_path / f"{number}.db"), "SELECT payload FROM dataworth_outbox")
        assert bytes(rows[0][0]).endswith(b"the same answer")
        assert ledger.stored(1).payload == b"the same answer"
        heads.add(bytes(rows[0][0])[:32])
    assert len(heads) == 3
