"""What every engine does, and what a job may count on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol, TypeVar

from threadpoolctl import ThreadpoolController

from dataworth.errors import InputError

__all__ = ["Engine", "Tick", "on_one_core", "positive"]

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Result = TypeVar("Result")

Tick = Callable[[int], None]
"""Called with the number of tasks just finished, to drive a progress bar."""


class Engine(Protocol):
    """Maps a job over tasks. Which engine runs a job, and with how many workers, changes no result."""

    @property
    def workers(self) -> int:
        """How many jobs run at a time, in all processes together.

        Raises:
            InputError: That cannot be known, as nothing answers where jobs would run.
        """
        ...

    @property
    def processes(self) -> int:
        """How many processes take memory for them: those that jobs run in and, on the same machine, this one.

        Raises:
            InputError: That cannot be known, as nothing answers where jobs would run.
        """
        ...

    def run(
        self,
        job: Callable[[Shared, Task], Result],
        shared: Shared,
        tasks: Sequence[Task],
        *,
        tick: Tick | None = None,
    ) -> Generator[tuple[int, Result], None, None]:
        """Call ``job(shared, task)`` for every task, and hand over each result once.

        A bounded number of tasks is begun and not yet handed over, so a slow reader of results holds the
        workers back. Closing the generator, or an error in the loop over it, drops the tasks not yet begun.

        Args:
            job: A function of a module. It depends on its two arguments alone, works with one thread, changes
                neither argument, and can be called a second time for a task, even while the first call still
                runs: a worker that is lost may have done its work.
            shared: What every call needs; sent to every worker once.
            tasks: What the calls differ in, small.
            tick: Called with 1 before each result is handed over.

        Yields:
            The place in ``tasks`` and the result, as they finish, in any order.

        Raises:
            BaseException: The error of a job, unchanged, as soon as one fails; jobs not yet begun are dropped.
        """
        ...

    def held(self) -> AbstractContextManager[Engine]:
        """This engine for several runs in a row: what each would make for itself is made once, and kept to the end."""
        ...

    def describe(self) -> str:
        """Where jobs run, in a few words."""
        ...


def positive(name: str, given: object) -> int:
    """A count that was asked for.

    Raises:
        InputError: Not a positive integer.
    """
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise InputError(f"{name} must be a positive integer, not {given!r}")
    return given


_holding = threading.Lock()
_inside = 0
_limit = ExitStack()


@contextmanager
def on_one_core() -> Iterator[None]:
    """Keep every matrix product in this process on the core of the thread that asks for it.

    The setting belongs to the process. Threads that each set it and put it back would undo one another's, so the
    first one in sets it and the last one out puts it back. Only the thread that set it can: where another is the last
    one out, one core it stays.
    """
    global _inside  # noqa: PLW0603 - a setting of the process
    with _holding:
        if not _inside:
            _limit.enter_context(ThreadpoolController().limit(limits=1, user_api="blas"))
        _inside += 1
    try:
        yield
    finally:
        with _holding:
            _inside -= 1
            if not _inside:
                _limit.close()
