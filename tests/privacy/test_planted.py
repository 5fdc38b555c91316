"""Each planted bug is caught by the check it names, and by nothing but the bug: the code as it is passes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial

import pytest

from tests.privacy import checks
from tests.privacy.planted import BUGS, Bug

pytest.importorskip("opendp")
pytest.importorskip("dp_accounting")
pytest.importorskip("sqlalchemy")


def _name(check: Callable[[], None]) -> str:
    if isinstance(check, partial):
        return f"{check.func.__name__}: {', '.join(check.args)}"
    return check.__name__


CHECKS = {_name(bug.check): bug.check for bug in BUGS}


@pytest.mark.parametrize("check", CHECKS)
def test_the_code_as_it_is_passes(check: str) -> None:
    it = CHECKS[check]
    checks.holds(it.func, *it.args) if isinstance(it, partial) else checks.holds(it)


@pytest.mark.parametrize("bug", BUGS, ids=str)
def test_a_planted_bug_is_caught(bug: Bug) -> None:
    with bug.plant(), pytest.raises(AssertionError):
        bug.check()


def test_every_check_has_a_bug_that_it_catches() -> None:
    made = {name for name, item in inspect.getmembers(checks) if name.startswith("check_")}
    assert made == {name.partition(":")[0] for name in CHECKS}


def test_there_are_bugs_enough() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 20
