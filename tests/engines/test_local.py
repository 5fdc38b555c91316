"""Threads of this process: the results of a loop, a bounded number begun, and errors as a loop would meet them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from dataworth.engines.local import Local
from dataworth.errors import DataError, InputError
from tests.engines.jobs import Notes, Slow, blas_threads, noted, notes, refuse_odd


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("dataworth")]


@given(workers=st.integers(1, 4), tasks=st.lists(st.integers(0, 9), max_size=12))
@settings(max_examples=60)
def test_a_run_is_a_loop(workers: int, tasks: list[int]) -> None:
    ticks: list[int] = []
    found = list(Local(workers).run(pow, 3, tasks, tick=ticks.append))
    assert sorted(found) == [(place, 3**task) for place, task in enumerate(tasks)]
    assert ticks == [1] * len(tasks)
    assert not ours()


@given(workers=st.integers(2, 4), pauses=st.lists(st.floats(0, 0.004), min_size=1, max_size=14), data=st.data())
@settings(max_examples=30)
def test_the_error_is_the_one_a_loop_would_meet(workers: int, pauses: list[float], data: Any) -> None:
    broken = data.draw(st.sets(st.integers(0, len(pauses) - 1), min_size=1))

    def job(shared: None, place: int) -> int:
        time.sleep(pauses[place])
        if place in broken:
            raise DataError(f"part {place}")
        return place

    with pytest.raises(DataError, match=f"part {min(broken)}$"):
        list(Local(workers).run(job, None, range(len(pauses))))
    assert not ours()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_slow_reader_holds_the_workers_back(workers: int, tmp_path: Path) -> None:
    shared = Notes(str(tmp_path), np.zeros(1))
    most = 0
    for taken, _ in enumerate(Local(workers).run(noted, shared, [Slow(i, 0.001) for i in range(12)])):
        time.sleep(0.01)
        most = max(most, notes(tmp_path, "begun-*") - taken)
    assert most == (1 if workers == 1 else workers + 1)


def test_after_an_error_nothing_more_begins_and_nothing_still_runs(tmp_path: Path) -> None:
    tasks = [Slow(i, 0.1 if i == 0 else 0.02) for i in range(40)]
    with pytest.raises(DataError, match=r"file-1\.parquet cannot be read"):
        list(Local(2).run(refuse_odd, Notes(str(tmp_path), np.zeros(1)), tasks))
    begun, ended = notes(tmp_path, "begun-*"), notes(tmp_path, "ended-*")
    assert begun == ended <= 3
    time.sleep(0.05)
    assert notes(tmp_path, "begun-*") == begun
    assert not ours()


def test_a_reader_that_leaves_drops_the_rest(tmp_path: Path) -> None:
    with closing(Local(2).run(noted, Notes(str(tmp_path), np.zeros(1)), [Slow(i, 0.01) for i in range(40)])) as found:
        next(found)
    assert notes(tmp_path, "begun-*") == notes(tmp_path, "ended-*") <= 4
    assert not ours()


def test_an_interrupt_leaves_no_thread(tmp_path: Path) -> None:
    program = """
        import sys, threading, time
        from dataworth.engines.local import Local

        def job(shared, task):
            print("begun", flush=True)
            time.sleep(0.3)

        try:
            list(Local(2).run(job, None, range(100)))
        except KeyboardInterrupt:
            print("left", sum(t.name.startswith("dataworth") for t in threading.enumerate()), flush=True)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    os.kill(child.pid, signal.SIGINT)
    said, _ = child.communicate(timeout=10)
    assert said.splitlines()[-1] == "left 0"
    assert said.count("begun") <= 2


def test_jobs_multiply_on_one_core_and_the_setting_is_put_back() -> None:
    def now() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    with threadpool_limits(2, user_api="blas"):
        before = now()
        for workers in (1, 3):
            assert all(set(found) == {1} for _, found in Local(workers).run(blas_threads, 0, range(6)))
            assert now() == before


def test_runs_side_by_side_put_the_setting_back_together() -> None:
    with threadpool_limits(2, user_api="blas"):
        before = threadpool_info()
        one, other = Local(1).run(blas_threads, 0, range(3)), Local(1).run(blas_threads, 0, range(3))
        next(one)
        next(other)
        one.close()
        assert set(next(other)[1]) == {1}
        other.close()
        assert threadpool_info() == before


@pytest.mark.parametrize("workers", [0, -1, True, 2.0, "2"])
def test_workers_are_counted_from_one(workers: Any) -> None:
    with pytest.raises(InputError, match="workers must be a positive integer, not"):
        Local(workers)


def test_it_says_where_it_runs() -> None:
    assert Local(1).describe() == "this machine, 1 worker"
    assert Local(3).describe() == "this machine, 3 workers"
    assert Local().workers >= 1
    assert (Local(3).workers, Local(3).processes) == (3, 1)
