"""Workers of a Dask cluster: the same results as in one process, whatever happens to the workers."""

from __future__ import annotations

import gc
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from dataworth import __version__
from dataworth.engines.dask import Dask, _versions, _work, _work_with
from dataworth.engines.local import Local
from dataworth.errors import DataError, InputError, MissingExtra
from tests.engines.jobs import (
    Notes,
    Slow,
    always_die,
    blas_threads,
    die_first,
    digest,
    needs_more,
    noted,
    notes,
    process,
    refuse_odd,
    writeable,
)

distributed = pytest.importorskip("distributed")
psutil = pytest.importorskip("psutil")

FEW, MANY = 40, 40_000  # numbers that travel with each task, and numbers that are put on every worker once
ROOT = Path(__file__).resolve().parents[2]


def sharing(folder: Path, count: int = FEW) -> Notes:
    return Notes(str(folder), np.random.default_rng(count).normal(size=count))


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Of a cluster with two workers of one thread, which no test may break."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", memory_limit=0
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True) if "spawn_main" in str(child.cmdline())}


@pytest.fixture
def made() -> Callable[[], set[int]]:
    """Worker processes of this one that a test has made."""
    before = children()
    return lambda: children() - before


@contextmanager
def started(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of its own group that runs this program; it is gone afterwards."""
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True,
    )  # fmt: skip
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


SCHEDULER = """
    import asyncio, sys
    from distributed import Scheduler

    async def serve():
        async with Scheduler(host="127.0.0.1", port=0, dashboard=False) as scheduler:
            print(scheduler.address, flush=True)
            await scheduler.finished()

    asyncio.run(serve())
"""

WORKER = """
    import asyncio, sys
    sys.path.insert(0, ".")
    {first}
    from distributed import Worker

    async def serve():
        async with Worker(sys.argv[1], nthreads=1) as worker:
            print(worker.address, flush=True)
            await worker.finished()

    asyncio.run(serve())
"""
NO_PACKAGE = "sys.modules['dataworth'] = None"
OTHER_PACKAGE = "import dataworth; dataworth.__version__ = '99.0'"
OTHER_NUMPY = "import numpy; numpy.__version__ = '99.1.2'"


def said(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


# -- the same results ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "count"),
    [
        ({"workers": 1}, FEW),
        ({"workers": 2}, MANY),
        ({"workers": 4}, FEW),
        ({"workers": 1, "processes": False}, FEW),
        ({"workers": 4, "processes": False}, MANY),
        ({"workers": 2, "threads": 2, "processes": False}, MANY),
    ],
    ids=str,
)
def test_results_are_those_of_one_process(
    setting: dict[str, Any], count: int, made: Callable[[], set[int]], tmp_path: Path
) -> None:
    shared, tasks = sharing(tmp_path, count), list(range(23))
    ticks: list[int] = []
    found = list(Dask(**setting).run(digest, shared, tasks, tick=ticks.append))
    assert sorted(found) == list(Local(1).run(digest, shared, tasks))
    assert ticks == [1] * 23
    assert not made()


def test_a_client_is_used_and_left_open(client: Any, tmp_path: Path) -> None:
    engine = Dask(client)
    for count in (FEW, MANY):
        shared = sharing(tmp_path, count)
        assert sorted(engine.run(digest, shared, range(9))) == list(Local(1).run(digest, shared, range(9)))
    assert client.status == "running"
    assert len({pid for _, pid in engine.run(process, shared, range(12))}) == 2
    until(lambda: not client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks)))


def until(true: Callable[[], object]) -> None:
    for _ in range(200):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def test_no_tasks_need_no_cluster() -> None:
    assert list(Dask("tcp://127.0.0.1:1").run(pow, 3, [])) == []


def test_what_is_shared_is_on_every_worker_and_can_be_worked_with(client: Any, tmp_path: Path) -> None:
    for count in (FEW, MANY):
        assert all(ok for _, ok in Dask(client).run(writeable, sharing(tmp_path, count), range(4)))


def test_jobs_multiply_on_one_core() -> None:
    """In threads of this process, and in workers that the environment does not hold to one core."""
    with threadpool_limits(2, user_api="blas"):
        before = threadpool_info()
        found = [threads for _, threads in Dask(workers=2, processes=False).run(blas_threads, 0, range(4))]
        found.append(_work(_versions(), pickle.dumps((blas_threads, 0, 1))))
        found.append(_work_with(_versions(), pickle.dumps((blas_threads, 1)), 0))
        assert threadpool_info() == before
    assert all(set(threads) == {1} for threads in found)


def test_a_slow_reader_holds_the_workers_back(client: Any, tmp_path: Path) -> None:
    tasks = [Slow(i, 0.0) for i in range(30)]
    most = 0
    for taken, _ in enumerate(Dask(client).run(noted, sharing(tmp_path), tasks)):
        time.sleep(0.02)
        most = max(most, notes(tmp_path, "begun-*") - taken)
    assert 2 <= most <= 4
    assert notes(tmp_path, "begun-*") == 30


# -- workers that are lost -------------------------------------------------------------------------


@pytest.mark.parametrize(("workers", "count"), [(2, FEW), pytest.param(2, MANY, marks=pytest.mark.slow), (1, MANY)])
def test_a_worker_that_dies_is_survived(workers: int, count: int, made: Callable[[], set[int]], tmp_path: Path) -> None:
    found = list(Dask(workers=workers).run(die_first, sharing(tmp_path, count), range(14)))
    assert sorted(found) == [(i, i) for i in range(14)]
    assert notes(tmp_path, "begun-2") == 2
    assert not made()


def test_a_worker_killed_from_outside_is_survived(made: Callable[[], set[int]], tmp_path: Path) -> None:
    """Also what it had finished and not yet handed over is asked for again, and each result comes once."""
    shared = sharing(tmp_path, MANY)
    with closing(Dask(workers=2).run(noted, shared, [Slow(i, 0.02) for i in range(30)])) as run:
        found = [next(run)]
        os.kill(min(made()), signal.SIGKILL)
        found += run
    assert sorted(found) == [(i, i) for i in range(30)]


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_a_task_that_ends_every_worker_ends_the_run(count: int, made: Callable[[], set[int]], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="task 3 of 3 lost its worker again and again, most often for want of memory"):
        list(Dask(workers=1, losses=1).run(always_die, sharing(tmp_path, count), range(3)))
    assert not made()


# -- errors ----------------------------------------------------------------------------------------


def test_an_error_is_raised_at_once_and_not_tried_again(client: Any, tmp_path: Path) -> None:
    tasks = [Slow(i, 0.01) for i in range(40)]
    with pytest.raises(DataError, match="file") as failed:
        list(Dask(client).run(refuse_odd, sharing(tmp_path), tasks))
    assert re.fullmatch(r"file-[13579]\.parquet cannot be read", str(failed.value))  # one of the first to fail
    assert failed.value.__notes__ == [f"on {socket.gethostname()}"]
    time.sleep(0.1)
    assert notes(tmp_path, "begun-1") <= 1
    assert notes(tmp_path, "begun-*") < 10
    until(lambda: not client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks)))


def test_the_first_of_the_errors_is_raised(client: Any, tmp_path: Path) -> None:
    run = Dask(client).run(refuse_odd, sharing(tmp_path), [Slow(0, 0.0), Slow(2, 0.0), Slow(3, 0.05), Slow(1, 0.0)])
    next(run)
    time.sleep(0.3)
    with pytest.raises(DataError, match="file-3"):
        list(run)


def test_an_import_that_fails_in_a_job_is_the_error_of_the_job(client: Any) -> None:
    with pytest.raises(ImportError, match="no such thing here"):
        list(Dask(client).run(needs_more, 0, [1]))


def test_a_reader_that_leaves_ends_the_workers(made: Callable[[], set[int]], tmp_path: Path) -> None:
    tasks = [Slow(0, 0.0), *(Slow(i, 60.0) for i in range(1, 9))]
    began = time.monotonic()
    with closing(Dask(workers=2).run(noted, sharing(tmp_path), tasks)) as run:
        next(run)
        assert len(made()) == 2
    assert not made()
    assert time.monotonic() - began < 15


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_leaves_no_process(end: signal.Signals, tmp_path: Path) -> None:
    program = """
        import sys, time
        sys.path.insert(0, ".")
        from dataworth.engines.dask import Dask, _versions, _work, _work_with
        from tests.engines.jobs import Notes, Slow, noted
        import numpy as np

        if __name__ == "__main__":
            tasks = [Slow(0, 0), *[Slow(1, 20)] * 9]
            for place, _ in Dask(workers=2).run(noted, Notes(sys.argv[1], np.zeros(1)), tasks):
                print("got", place, flush=True)
    """
    with started(program, str(tmp_path)) as child:
        assert said(child) == "got 0"
        workers = [one for one in psutil.Process(child.pid).children() if "spawn_main" in str(one.cmdline())]
        assert len(workers) == 2
        if end == signal.SIGINT:
            os.killpg(child.pid, end)  # as a terminal does: to the workers too
            child.wait(timeout=15)
        else:
            child.kill()
        _, alive = psutil.wait_procs(workers, timeout=15)
        assert not alive


# -- clusters that cannot be used ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (NO_PACKAGE, "has no dataworth"),
        (OTHER_PACKAGE, r"has dataworth 99\.0, not \d"),
        (OTHER_NUMPY, r"has numpy 99\.1\.2, not \d"),
    ],
)
def test_a_worker_that_cannot_take_part_is_named(first: str, told: str, client: Any, tmp_path: Path) -> None:
    with started(WORKER.format(first=first), client.scheduler.address) as worker:
        address = said(worker)
        with pytest.raises(InputError, match=f"these cannot take part: {address} {told}"):
            list(Dask(client).run(noted, sharing(tmp_path), [Slow(0, 0.0)]))
    until(lambda: len(client.nthreads()) == 2)
    assert not notes(tmp_path, "*")


@pytest.mark.parametrize(
    ("first", "count"), [pytest.param(OTHER_PACKAGE, FEW, marks=pytest.mark.slow), (OTHER_NUMPY, MANY)]
)
def test_a_worker_of_another_version_that_joins_later_is_named(
    first: str, count: int, client: Any, tmp_path: Path
) -> None:
    run = Dask(client).run(noted, sharing(tmp_path, count), [Slow(i, 0.05) for i in range(400)])
    next(run)
    with started(WORKER.format(first=first), client.scheduler.address) as worker:
        address = said(worker)
        with pytest.raises(InputError, match=f"{address} has .*99.*, where the run began with dataworth {__version__}"):
            list(run)
    until(lambda: len(client.nthreads()) == 2)


def test_a_worker_without_the_package_that_joins_later_falls_out(client: Any, tmp_path: Path) -> None:
    """It cannot read its first task and ends; the task begins anew elsewhere."""
    tasks = [Slow(i, 0.03) for i in range(100)]
    run = Dask(client).run(noted, sharing(tmp_path), tasks)
    found = [next(run)]
    with started(WORKER.format(first=NO_PACKAGE), client.scheduler.address) as worker:
        address = said(worker)
        found += run
        assert sorted(found) == [(i, i) for i in range(100)]
        assert address not in client.nthreads()


def test_an_address_that_does_not_answer() -> None:
    for address in ("tcp://127.0.0.1:1", "nonsense://x"):
        with pytest.raises(InputError, match=f"no Dask scheduler answers at '{address}'"):
            list(Dask(address, patience=0.5).run(pow, 3, [1]))


def test_an_address_that_asks_for_a_certificate() -> None:
    with pytest.raises(InputError, match=r"'tls://127\.0\.0\.1:1' asks for a certificate, and Dask is told of none"):
        list(Dask("tls://127.0.0.1:1", patience=0.5).run(pow, 3, [1]))


@pytest.mark.slow
def test_a_scheduler_that_is_lost_and_one_without_workers(tmp_path: Path) -> None:
    with started(SCHEDULER) as scheduler:
        address = said(scheduler)
        engine = Dask(address, patience=1.0)
        with pytest.raises(InputError, match="no worker joined the Dask cluster within 1 seconds"):
            list(engine.run(noted, sharing(tmp_path), [Slow(0, 0.0)]))
        with started(WORKER.format(first=""), address) as worker:
            said(worker)
            shared = sharing(tmp_path, MANY)
            assert sorted(engine.run(digest, shared, range(5))) == list(Local(1).run(digest, shared, range(5)))
            run = engine.run(noted, sharing(tmp_path), [Slow(i, 0.05) for i in range(400)])
            next(run)
            worker.kill()
            with pytest.raises(ConnectionError, match="the Dask cluster has had no worker for 1 seconds"):
                list(run)
        with started(WORKER.format(first=""), address) as worker:
            said(worker)
            run = engine.run(noted, sharing(tmp_path), [Slow(i, 0.05) for i in range(400)])
            next(run)
            scheduler.kill()
            began = time.monotonic()
            with pytest.raises(ConnectionError, match="the connection to the Dask scheduler was lost"):
                list(run)
            assert time.monotonic() - began < 5


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"workers": 0}, "workers must be a positive integer"),
        ({"threads": 1.5}, "threads must be a positive integer"),
        ({"losses": 0}, "losses must be a positive integer"),
        ({"patience": 0}, "patience must be a positive number of seconds"),
        ({"patience": float("nan")}, "patience must be a positive number of seconds"),
        ({"where": 8786}, "where must be an address"),
        ({"where": "tcp://a:1", "workers": 2}, "are for a cluster made here"),
    ],
)
def test_settings_that_do_not_fit(setting: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Dask(**setting)


def test_a_closed_client_is_refused() -> None:
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0") as cluster:
        client = distributed.Client(cluster, set_as_default=False)
        engine = Dask(client)
        client.close()
        with pytest.raises(InputError, match="the client is not connected: its status is 'closed'"):
            list(engine.run(pow, 3, [1]))
        with pytest.raises(InputError, match="not connected"):
            Dask(client)


def test_it_says_where_it_runs(client: Any) -> None:
    assert Dask(workers=2).describe() == "Dask on this machine, 2 processes with 1 threads each"
    assert Dask("tcp://a:1").describe() == "Dask at tcp://a:1"
    assert Dask(client).describe() == "Dask, through a client"


def test_a_held_cluster_is_made_once_and_closed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    real = distributed.LocalCluster

    def make(**more: Any) -> Any:
        made.append(real(**more))
        return made[-1]

    monkeypatch.setattr(distributed, "LocalCluster", make)
    engine = Dask(workers=2, processes=False)
    with engine.held() as held:
        found = [sorted(held.run(pow, 10, tasks)) for tasks in ([3, 1], [2])]
        with held.held() as again:
            found.append(list(again.run(pow, 2, [5])))
        assert found == [[(0, 1000), (1, 10)], [(0, 100)], [(0, 32)]]
        assert (held.describe(), held.workers, held.processes) == (engine.describe(), 2, 1)
        assert len(made) == 1
        assert made[0].status.name == "running"
    assert made[0].status.name == "closed"
    assert list(engine.run(pow, 2, [3])) == [(0, 8)]  # as before, a cluster of its own
    assert len(made) == 2


def test_a_held_cluster_is_closed_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    real = distributed.LocalCluster

    def make(**more: Any) -> Any:
        made.append(real(**more))
        return made[-1]

    monkeypatch.setattr(distributed, "LocalCluster", make)
    with pytest.raises(ZeroDivisionError), Dask(workers=1, processes=False).held() as held:
        list(held.run(pow, 0, [-1]))
    assert made[0].status.name == "closed"


@pytest.mark.parametrize("address", ["tls://127.0.0.1:1", "nonsense"])
def test_a_client_that_could_not_connect_is_closed_at_once(address: str) -> None:
    """Closed by the collector of garbage in a thread that starts, it would hold up that thread for ever."""

    def open_ones() -> int:
        return sum(isinstance(one, distributed.Client) and one.status != "closed" for one in gc.get_objects())

    gc.collect()
    before = open_ones()
    gc.disable()
    try:
        with pytest.raises(InputError):
            _ = Dask(address, patience=0.3).workers
        assert open_ones() == before
    finally:
        gc.enable()


@pytest.mark.slow
def test_a_script_without_a_guard_is_told(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("from dataworth.engines.dask import Dask\nlist(Dask(workers=1).run(pow, 2, [3]))\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert 'put what it does under if __name__ == "__main__":' in done.stderr.splitlines()[-1]


def test_a_held_client_is_left_open(client: Any) -> None:
    with Dask(client).held() as held:
        assert list(held.run(pow, 2, [3])) == [(0, 8)]
    assert client.status == "running"


def test_it_counts_jobs_at_a_time_and_processes(client: Any) -> None:
    def counted(*given: Any, **setting: Any) -> tuple[int, int]:
        engine = Dask(*given, **setting)
        return engine.workers, engine.processes

    assert counted(workers=3, threads=2) == (6, 4)
    assert counted(workers=3, threads=2, processes=False) == (6, 1)
    assert counted(client) == counted(client.scheduler.address) == (2, 2)
    with started(WORKER.format(first=""), client.scheduler.address) as worker:
        said(worker)
        until(lambda: counted(client) == (3, 3))
    until(lambda: counted(client) == (2, 2))
    with (
        distributed.LocalCluster(
            n_workers=3, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as near,
    ):
        assert counted(near) == (6, 1)


def test_a_cluster_that_cannot_be_counted(client: Any) -> None:
    with pytest.raises(InputError, match="no Dask scheduler answers at 'tcp://"):
        _ = Dask("tcp://127.0.0.1:1", patience=0.5).workers
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        distributed.Client(cluster, set_as_default=False) as empty,
        pytest.raises(InputError, match=r"no worker joined the Dask cluster within 0\.2 seconds"),
    ):
        _ = Dask(empty, patience=0.2).processes


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtra, match=r"dataworth\[dask\]"):
        Dask(workers=2)


def test_processes_need_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingExtra, match=r"a Dask cluster of processes needs .*dataworth\[dask\]"):
        Dask(workers=2)
    Dask(workers=2, processes=False)
