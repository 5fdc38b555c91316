"""A team of threads that share a list of jobs; each does its own matrix products on one core.

A thread that owns its tile from the product to the last count needs no barrier inside a tile, and a core
that is taken away delays only the tile it was on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import count

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from dataworth.errors import InputError

__all__ = ["Tick", "add_in_order", "blocks", "run", "team_size"]

Tick = Callable[[int], None]
"""Called with the amount of work just finished, to drive a progress bar."""


def team_size(threads: int | None) -> int:
    """How many threads to use: the number asked for, or one for each core this process may use.

    Raises:
        InputError: Not a positive integer.
    """
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        raise InputError(f"threads must be a positive integer or None for every core, not {threads!r}")
    return threads


def blocks(n: int, size: int) -> list[tuple[int, int]]:
    """Half-open ranges of at most ``size`` that cover ``0 .. n``."""
    return [(start, min(n, start + size)) for start in range(0, n, size)]


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


def run(job: Callable[[int, int], None], jobs: int, threads: int, tick: Tick | None = None) -> None:
    """Call ``job(worker, number)`` once for every number below ``jobs``, lowest first.

    Args:
        job: Must release the GIL for most of its time. ``worker`` (below ``threads``) names a thread, so a
            job can use scratch space of its own.
        jobs: How many there are.
        threads: How many threads share them.
        tick: Called with 1 after each job, one call at a time.

    Raises:
        BaseException: The first error of any job, or KeyboardInterrupt; jobs not yet begun are dropped.
    """
    numbers = count()
    stop = threading.Event()
    ticking = threading.Lock()

    def work(worker: int) -> None:
        while not stop.is_set():
            number = next(numbers)  # atomic: one C call under the GIL
            if number >= jobs:
                return
            try:
                job(worker, number)
            except BaseException:
                stop.set()
                raise
            if tick is not None:
                with ticking:
                    tick(1)

    with _blas().limit(limits=1, user_api="blas"):
        if min(threads, jobs) <= 1:
            work(0)
            return
        with ThreadPoolExecutor(min(threads, jobs)) as pool:
            try:
                for done in [pool.submit(work, worker) for worker in range(min(threads, jobs))]:
                    done.result()
            finally:
                stop.set()


def add_in_order(
    job: Callable[[int, int, NDArray[np.float64]], None],
    jobs: int,
    total: NDArray[np.float64],
    threads: int,
    tick: Tick | None = None,
) -> None:
    """Add up what jobs find, in the order of their numbers, so that sums are the same for any number of threads.

    Args:
        job: Called as ``job(worker, number, sums)``; adds what it finds to ``sums``, which is zero and shaped
            like ``total``.
        jobs: How many there are.
        total: Added to in place.
        threads: How many threads share the jobs.
        tick: Called with 1 after each job.
    """
    turn = threading.Condition()
    waiting: dict[int, NDArray[np.float64]] = {}  # finished before an earlier one
    spare: list[NDArray[np.float64]] = []
    done = 0
    broken = False

    def ordered(worker: int, number: int) -> None:
        nonlocal done, broken
        with turn:
            # Nobody runs far ahead of a slow job, so few sums wait in memory.
            turn.wait_for(lambda: number < done + 2 * threads or broken)
            sums = spare.pop() if spare else np.empty_like(total)
        if broken:
            return  # the failed job's error is the one to see
        sums[...] = 0.0
        try:
            job(worker, number, sums)
        except BaseException:
            with turn:
                broken = True
                turn.notify_all()
            raise
        with turn:
            waiting[number] = sums
            while done in waiting:
                sums = waiting.pop(done)
                np.add(total, sums, out=total)
                spare.append(sums)
                done += 1
            turn.notify_all()

    run(ordered, jobs, threads, tick)
