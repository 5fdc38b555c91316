"""Jobs in threads of this process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import TypeVar
from uuid import uuid4

from dataworth.engines.engine import Tick, on_one_core, positive

__all__ = ["Local"]

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Result = TypeVar("Result")


class Local:
    """Threads of this process, which share ``shared`` as it is; one worker is the calling thread itself.

    At most ``workers + 1`` tasks are begun and not yet handed over. When jobs fail, those already running are
    waited for, no others are begun, and the error raised is that of the first task in order that fails: the one
    that a single worker would have met.

    Args:
        workers: How many jobs run at a time; by default one for each core this process may use.

    Raises:
        InputError: Not a positive integer.

    Example:
        >>> sorted(Local(2).run(pow, 10, [3, 1, 2]))
        [(0, 1000), (1, 10), (2, 100)]
    """

    processes: int = 1

    def __init__(self, workers: int | None = None) -> None:
        self.workers = _cores() if workers is None else positive("workers", workers)

    def held(self) -> AbstractContextManager[Local]:
        """This engine: threads are made anew for each run, which takes no time."""
        return nullcontext(self)

    def describe(self) -> str:
        """Where jobs run, in a few words."""
        return "this machine, 1 worker" if self.workers == 1 else f"this machine, {self.workers} workers"

    def run(
        self,
        job: Callable[[Shared, Task], Result],
        shared: Shared,
        tasks: Sequence[Task],
        *,
        tick: Tick | None = None,
    ) -> Generator[tuple[int, Result], None, None]:
        """Call ``job(shared, task)`` for every task; see ``Engine.run``."""
        alone = min(self.workers, len(tasks)) <= 1
        with on_one_core():
            for place, result in _one_by_one(job, shared, tasks) if alone else self._in_threads(job, shared, tasks):
                if tick is not None:
                    tick(1)
                yield place, result

    def _in_threads(
        self, job: Callable[[Shared, Task], Result], shared: Shared, tasks: Sequence[Task]
    ) -> Generator[tuple[int, Result], None, None]:
        begun: dict[Future[Result], int] = {}
        ahead = iter(enumerate(tasks))
        name = f"dataworth-{uuid4().hex}"
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix=name)
        try:
            while True:
                for place, task in islice(ahead, self.workers + 1 - len(begun)):
                    begun[pool.submit(job, shared, task)] = place
                if not begun:
                    return
                done, _ = wait(begun, return_when=FIRST_COMPLETED)
                if any(future.exception() is not None for future in done):
                    pool.shutdown(wait=True, cancel_futures=True)
                    done = {future for future in begun if not future.cancelled() and future.exception() is not None}
                first = min(done, key=begun.__getitem__)
                yield begun.pop(first), first.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            _wait_for_threads(name)


def _one_by_one(
    job: Callable[[Shared, Task], Result], shared: Shared, tasks: Sequence[Task]
) -> Generator[tuple[int, Result], None, None]:
    for place, task in enumerate(tasks):
        yield place, job(shared, task)


def _wait_for_threads(name: str) -> None:
    """An interrupt while a thread starts leaves the pool without it, so the pool does not wait for all of its own."""
    while any(thread.name.startswith(name) and thread.ident is not None for thread in threading.enumerate()):
        time.sleep(0.001)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
