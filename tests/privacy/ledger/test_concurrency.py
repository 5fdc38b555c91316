"""Many processes at once: never overspent, nothing lost, nothing refused while there is room."""

from __future__ import annotations

import os
import threading
import time

import pytest

from dataworth.errors import BudgetExceeded
from dataworth.privacy.ledger import Ledger, Stored
from tests.privacy.ledger.helpers import (
    SMALL,
    WHOLE,
    commit,
    create,
    no_key,
    own_key,
    run_together,
    shared_key,
    spent,
    summed,
)
from tests.privacy.ledger.test_crash import PRICE, consistent

FEW = 4, 25
MANY = 16, 200


def room_for(releases: int) -> str:
    """The epsilon of so many small charges, to the digit."""
    return str(releases * SMALL.spend.epsilon)


def exactly_what_fits(location: str, processes: int, requests: int) -> None:
    """Room for half of what is asked."""
    asked = processes * requests
    room = asked // 2
    create(location, epsilon=room_for(room), delta="0.01")
    outcomes = [o for one in run_together(location, processes, requests, no_key) for o in one]
    admitted = [o for o in outcomes if o is not None]
    assert len(outcomes) == asked
    assert len(admitted) == room  # no more, and no refusal while there is room
    assert sorted(number for number, _ in admitted) == list(range(1, room + 1))
    ledger = consistent(location)
    assert spent(location) == summed(location) == (room * PRICE[0], room * PRICE[1], room)
    assert ledger.remaining.epsilon == 0
    for number, payload in admitted:
        assert ledger.stored(number).payload == payload  # no lost release


def everything_fits(location: str, processes: int, requests: int) -> None:
    asked = processes * requests
    create(location, epsilon=room_for(asked), delta="0.01")
    outcomes = [o for one in run_together(location, processes, requests, own_key) for o in one]
    assert None not in outcomes
    assert len({number for number, _ in filter(None, outcomes)}) == asked
    assert consistent(location).remaining.epsilon == 0


def one_answer_for_all(location: str, processes: int, requests: int) -> None:
    """Every process asks the same requests: each is spent once and all get the same bytes."""
    create(location, epsilon=room_for(requests), delta="0.01")  # and there is room for no more than once
    outcomes = run_together(location, processes, requests, shared_key)
    assert all(one == outcomes[0] for one in outcomes)
    assert None not in outcomes[0]
    assert consistent(location).verify().releases == requests


@pytest.mark.parametrize("law", [exactly_what_fits, everything_fits, one_answer_for_all])
def test_a_few_processes(location: str, law: object) -> None:
    assert callable(law)
    law(location, *FEW)


@pytest.mark.slow
@pytest.mark.parametrize("law", [exactly_what_fits, everything_fits, one_answer_for_all])
def test_sixteen_processes(location: str, law: object) -> None:
    assert callable(law)
    began = time.monotonic()
    law(location, *MANY)
    print(f"{MANY[0]} processes x {MANY[1]} requests: {time.monotonic() - began:.1f} s")


def test_one_and_one_fit_two(location: str) -> None:
    ledger = create(location, epsilon=2, delta="1e-6")
    commit(ledger, WHOLE)
    commit(ledger, WHOLE)
    assert ledger.remaining.epsilon == ledger.remaining.delta == 0
    with pytest.raises(BudgetExceeded):
        commit(ledger, WHOLE)
    assert spent(location) == (2 * 10**9, 10**12, 2)


def test_threads_of_one_process(location: str) -> None:
    ledger = create(location, epsilon=room_for(10), delta="0.01")
    answers: list[Stored] = []
    refused: list[BudgetExceeded] = []

    def work() -> None:
        for _ in range(5):
            try:
                answers.append(commit(ledger))
            except BudgetExceeded as error:
                refused.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(answer.number for answer in answers) == list(range(1, 11))
    assert len(refused) == 10
    consistent(location)


def test_a_ledger_is_used_after_a_fork(location: str) -> None:
    ledger = create(location)
    commit(ledger)
    child = os.fork()
    if child == 0:
        try:
            commit(ledger)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    commit(ledger)
    assert consistent(location).verify().releases == 3


def test_two_ledgers_opened_on_one_place_see_each_other(location: str) -> None:
    one = create(location, epsilon=room_for(1))
    other = Ledger.open(location)
    commit(one)
    with pytest.raises(BudgetExceeded):
        commit(other)
    assert other.remaining == one.remaining
