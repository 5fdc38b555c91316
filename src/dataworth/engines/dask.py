"""Jobs on the workers of a Dask cluster: one on this machine that lasts for the run, or one that is there already."""

from __future__ import annotations

import gc
import pickle
import pkgutil
import queue
import socket
import time
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, nullcontext
from copy import copy
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import uuid4

import numpy as np

import dataworth
from dataworth.engines.engine import Tick, on_one_core, positive
from dataworth.engines.local import Local
from dataworth.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["Dask"]

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Result = TypeVar("Result")

_SMALL = 1 << 15
"""Bytes of ``shared`` that travel with each task; more is put on every worker once."""

_EACH = 2
"""Tasks begun and not yet handed over, for each thread of the cluster: one at work and one that waits for it."""

_LOOK = 1.0
"""Seconds between looks at whether the scheduler and any worker are still there."""

_COUNT = 5.0
"""Seconds for which a count of the cluster's threads holds."""

_NAMED = 5
"""Workers named in one message."""


class Dask:
    """The workers of a Dask cluster.

    Tasks are sent a few for each thread at a time, so that millions of them burden no scheduler. When a worker is
    lost, its tasks begin anew on others. An error of the job itself is raised at once and never tried again; a note
    on it says which machine it comes from.

    Whoever can connect to a scheduler can run anything on its workers: a cluster made here admits this process
    alone, and one that is there already is as open as it was made.

    Args:
        where: The address of a scheduler, such as ``"tcp://10.0.0.1:8786"``, or a ``distributed.Client``, which
            is left open. Without either, a cluster on this machine is made for each run and closed after it, or for
            several by :meth:`held`.
        workers: Of a cluster made here: how many; by default one for each core this process may use.
        threads: Of a cluster made here: how many threads each worker has; by default one.
        processes: Of a cluster made here: whether workers are processes, the default, or threads of this one.
            A script that starts processes needs ``if __name__ == "__main__":`` around what it does.
        losses: How many times one task may lose its worker. What a cluster that is there already counts itself
            follows its own ``distributed.scheduler.allowed-failures``.
        patience: Seconds to wait for a scheduler to answer, and for a first worker when there is none.

    Raises:
        InputError: Settings that do not fit together.
        MissingExtra: Dask is not installed.

    Example:
        >>> engine = Dask(workers=2, processes=False)
        >>> sorted(engine.run(pow, 10, [3, 1, 2]))
        [(0, 1000), (1, 10), (2, 100)]
    """

    def __init__(
        self,
        where: str | Client | None = None,
        *,
        workers: int | None = None,
        threads: int | None = None,
        processes: bool | None = None,
        losses: int = 3,
        patience: float = 30.0,
    ) -> None:
        if find_spec("distributed") is None:
            raise MissingExtra("Dask", "dask")
        if where is not None and (workers, threads, processes) != (None, None, None):
            raise InputError("workers, threads and processes are for a cluster made here, not for one that is there")
        if where is not None and not isinstance(where, str):
            _check_client(where)
        self._where = where
        self._workers = Local().workers if workers is None else positive("workers", workers)
        self._threads = 1 if threads is None else positive("threads", threads)
        self._processes = processes is not False
        if where is None and self._processes and find_spec("cryptography") is None:
            raise MissingExtra("a Dask cluster of processes", "dask")
        self._losses = positive("losses", losses)
        if isinstance(patience, bool) or not isinstance(patience, (int, float)) or not 0 < patience < float("inf"):
            raise InputError(f"patience must be a positive number of seconds, not {patience!r}")
        self._patience = float(patience)
        self._client: Client | None = None  # of the cluster that is held

    @property
    def workers(self) -> int:
        """How many jobs run at a time: the threads of all workers.

        Of a cluster that is there already, the workers it has now, which are asked for at each look; it is waited for
        a first one. Others may join later and leave.

        Raises:
            InputError: No scheduler answers, or it has no worker.
        """
        return self._workers * self._threads if self._where is None else sum(self._there().values())

    @property
    def processes(self) -> int:
        """How many processes take memory for jobs: the workers and, for a cluster made here, this one that leads it.

        Of a cluster that is there already it is the workers that it has now.

        Raises:
            InputError: No scheduler answers, or it has no worker.
        """
        if self._where is None:
            return self._workers + 1 if self._processes else 1
        return len({_process_of(address) for address in self._there()})

    def _there(self) -> dict[str, int]:
        """The threads of each worker of a cluster that is there already."""
        with self._connected() as client:
            _wait_for_worker(client, self._patience)
            return {str(address): int(threads) for address, threads in client.nthreads().items()}

    @contextmanager
    def held(self) -> Iterator[Dask]:
        """This engine for several runs in a row: a cluster that is made here, or a connection, lasts for all of them.

        Example:
            >>> with Dask(workers=1, processes=False).held() as engine:
            ...     [list(engine.run(pow, 10, [2])), list(engine.run(pow, 10, [3]))]
            [[(0, 100)], [(0, 1000)]]
        """
        with self._connected() as client:
            engine = copy(self)
            engine._client = client
            yield engine

    def describe(self) -> str:
        """Where jobs run, in a few words."""
        if isinstance(self._where, str):
            return f"Dask at {self._where}"
        if self._where is not None:
            return "Dask, through a client"
        kind = "processes" if self._processes else "workers in one process"
        return f"Dask on this machine, {self._workers} {kind} with {self._threads} threads each"

    def run(
        self,
        job: Callable[[Shared, Task], Result],
        shared: Shared,
        tasks: Sequence[Task],
        *,
        tick: Tick | None = None,
    ) -> Generator[tuple[int, Result], None, None]:
        """Call ``job(shared, task)`` for every task; see ``Engine.run``.

        On a cluster that is there already, calls that have begun when a run ends early go on to their end.

        Raises:
            InputError: No scheduler answers, a worker lacks this version of the package, or a task kept losing
                its worker.
            ConnectionError: The scheduler, or the last worker, is gone.
        """
        if not tasks:
            return
        with self._connected() as client:
            _check_workers(client, self._patience)
            sending = _Run(client, job, shared, tasks, self._losses, self._patience)
            try:
                for place, result in sending.results():
                    if tick is not None:
                        tick(1)
                    yield place, result
            finally:
                sending.stop()

    @contextmanager
    def _connected(self) -> Iterator[Client]:
        from distributed import Client

        if self._client is not None:
            yield self._client
        elif self._where is None:
            with self._made() as client:
                yield client
        elif isinstance(self._where, str):
            try:
                client = Client(self._where, timeout=self._patience, set_as_default=False)
            except (OSError, ValueError) as silent:
                _let_go(silent)
                raise InputError(
                    f"no Dask scheduler answers at {self._where!r}; start one with `dask scheduler` and give its "
                    "address, such as 'tcp://10.0.0.1:8786'"
                ) from silent
            except TypeError as bare:  # what distributed raises where it has no certificate to show
                _let_go(bare)
                raise InputError(
                    f"{self._where!r} asks for a certificate, and Dask is told of none: name its files in the settings "
                    "distributed.comm.tls of Dask, or give a Client that has security=..."
                ) from bare
            with client:
                yield client
        else:
            _check_client(self._where)
            yield self._where

    @contextmanager
    def _made(self) -> Iterator[Client]:
        import logging

        from distributed import Client, LocalCluster

        with (
            _unguarded(),
            LocalCluster(
                n_workers=self._workers,
                threads_per_worker=self._threads,
                processes=self._processes,
                memory_limit=0,  # the caller plans memory by the size of parts; a paused worker would wait for ever
                security=self._processes or None,  # made for this run, so nobody else on this machine can connect
                silence_logs=logging.CRITICAL,  # what matters is raised
                worker_dashboard_address="127.0.0.1:0",
                scheduler_kwargs={
                    "allowed_failures": self._losses,
                    "dashboard": False,
                    "dashboard_address": "127.0.0.1:0",  # its server of facts starts even without a dashboard
                },
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
            nullcontext() if self._processes else on_one_core(),  # set by this thread, so that it can be put back
        ):
            yield client


def _let_go(failed: BaseException) -> None:
    """End a client that could not connect, here and now.

    Only the frames of its failure know it. Left to the collector of garbage, it would be closed by whichever thread
    that runs in, and if that is one that another client is waiting for, both wait for ever.
    """
    told: BaseException | None = failed
    while told is not None:
        traceback.clear_frames(told.__traceback__)
        told.__traceback__ = None
        told = told.__cause__ or told.__context__
    gc.collect()


@contextmanager
def _unguarded() -> Iterator[None]:
    """Say what a script lacks whose worker processes could not begin, as each ran the script from its start."""
    try:
        yield
    except RuntimeError as trouble:
        if "Nanny failed to start" not in str(trouble):
            raise
        raise InputError(
            'worker processes could not be started; in a script, put what it does under if __name__ == "__main__":, or '
            "use Dask(processes=False)"
        ) from trouble


# -- one run ---------------------------------------------------------------------------------------


class _Run(Generic[Shared, Task, Result]):
    """The tasks of one run: which are begun, and what becomes of them."""

    def __init__(
        self,
        client: Client,
        job: Callable[[Shared, Task], Result],
        shared: Shared,
        tasks: Sequence[Task],
        losses: int,
        patience: float,
    ) -> None:
        self.client, self.job, self.shared, self.tasks = client, job, shared, tasks
        self.losses, self.patience = losses, patience
        self.name = f"dataworth-{uuid4().hex}"
        self.begun: dict[tuple[str, int, int], Future[Result]] = {}  # by name, place and how often it was lost
        self.finished: queue.SimpleQueue[tuple[str, int, int]] = queue.SimpleQueue()
        self.lost: Counter[int] = Counter()
        self.threads, self.counted = 1, float("-inf")
        self.abandoned: float | None = None
        self.small = _size(shared) <= _SMALL
        self.spread: Future[Shared] | None = None

    def results(self) -> Iterator[tuple[int, Result]]:
        from distributed.comm.core import CommClosedError

        ahead = iter(range(len(self.tasks)))
        while True:
            for place in islice(ahead, max(0, self.room() - len(self.begun))):
                self.send(place)
            if not self.begun:
                return
            key = self.next_finished()
            place = key[1]
            future = self.begun[key]
            if future.status == "error":
                self.fail()
            try:
                result = future.result()
            except CancelledError as cancelled:
                del self.begun[key]
                self.send_again(place, cancelled)
                continue
            except CommClosedError as cut:
                if future.status == "error":
                    raise  # it is the job's own
                raise _no_scheduler() from cut
            del self.begun[key]
            future.release()
            yield place, result

    def room(self) -> int:
        """How many tasks may be begun and not yet handed over; follows workers that come and go."""
        if time.monotonic() - self.counted > _COUNT:
            self.count_threads()
        return _EACH * max(1, self.threads)

    def count_threads(self) -> None:
        self.check_connection()
        try:
            self.threads = sum(self.client.nthreads().values())
        except OSError:
            self.check_connection()  # or it is being lost now, which the next look will tell
        self.counted = time.monotonic()

    def send(self, place: int) -> None:
        import cloudpickle

        key = (self.name, place, self.lost[place])
        task = self.tasks[place]
        if self.small:
            load = cloudpickle.dumps((self.job, self.shared, task))
            future = self.client.submit(_work, _versions(), load, key=key, pure=False)
        else:
            load = cloudpickle.dumps((self.job, task))
            future = self.client.submit(_work_with, _versions(), load, self.spread_out(), key=key, pure=False)
        self.begun[key] = future
        future.add_done_callback(lambda _: self.finished.put(key))

    def spread_out(self) -> Future[Shared]:
        """``shared`` on every worker; put there again if all that held it are gone."""
        if self.spread is None or self.spread.status != "finished":
            try:
                self.spread = self.client.scatter([self.shared], broadcast=True, hash=False, timeout=self.patience)[0]
            except (OSError, TimeoutError) as gone:
                self.check_connection()
                raise _no_worker(self.patience) from gone
        return self.spread

    def next_finished(self) -> tuple[str, int, int]:
        while True:
            try:
                key = self.finished.get(timeout=_LOOK)
            except queue.Empty:
                self.check_any_worker()
                continue
            if key in self.begun:
                return key

    def check_connection(self) -> None:
        if self.client.status != "running":
            raise _no_scheduler()

    def check_any_worker(self) -> None:
        self.count_threads()
        if self.threads:
            self.abandoned = None
        elif self.abandoned is None:
            self.abandoned = time.monotonic()
        elif time.monotonic() - self.abandoned > self.patience:
            raise _no_worker(self.patience)

    def send_again(self, place: int, cancelled: CancelledError) -> None:
        """Its worker was lost, and with it all copies of ``shared``; or the cluster was restarted."""
        self.check_connection()
        if getattr(cancelled, "reason", None) == "scheduler-connection-lost":
            raise _no_scheduler() from cancelled
        self.lost[place] += 1
        if self.lost[place] > self.losses:
            raise self.kept_losing(place) from cancelled
        self.send(place)

    def fail(self) -> None:
        """Raise the error of the first task among those that have failed by now."""
        from distributed.scheduler import KilledWorker

        failed = min((key for key, future in self.begun.items() if future.status == "error"), key=lambda key: key[1])
        error = self.begun[failed].exception()
        if isinstance(error, KilledWorker):
            raise self.kept_losing(failed[1]) from error
        if isinstance(error, (ImportError, AttributeError, TypeError)):
            _check_workers(self.client, self.patience)  # another version fails in such ways before it can say so
        self.begun[failed].result()

    def kept_losing(self, place: int) -> InputError:
        return InputError(
            f"task {place + 1} of {len(self.tasks)} lost its worker again and again, most often for want of memory: "
            "smaller parts, or fewer workers on a machine, need less; what a worker wrote before it ended may tell"
        )

    def stop(self) -> None:
        """Forget what is not handed over; what is not yet begun never begins."""
        if self.client.status == "running":
            self.client.cancel([*self.begun.values()])
        self.begun.clear()
        self.spread = None


def _no_scheduler() -> ConnectionError:
    return ConnectionError("the connection to the Dask scheduler was lost; what was finished before is kept by the run")


def _no_worker(patience: float) -> ConnectionError:
    return ConnectionError(f"the Dask cluster has had no worker for {patience:g} seconds")


def _size(shared: object) -> int:
    """Bytes that travel; large arrays are looked at, not copied."""
    import cloudpickle

    buffers: list[pickle.PickleBuffer] = []
    head = cloudpickle.dumps(shared, protocol=5, buffer_callback=buffers.append)
    return len(head) + sum(buffer.raw().nbytes for buffer in buffers)


# -- what can go wrong before ----------------------------------------------------------------------


def _check_client(given: object) -> None:
    from distributed import Client

    if not isinstance(given, Client):
        raise InputError(f"where must be an address, a distributed.Client or None, not {type(given).__name__}")
    if given.asynchronous:
        raise InputError("the client is asynchronous; make it with asynchronous=False")
    if given.status != "running":
        raise InputError(f"the client is not connected: its status is {given.status!r}")


def _versions() -> tuple[str, str]:
    """What must be the same everywhere: the package, and numpy's major version."""
    return dataworth.__version__, np.__version__.partition(".")[0]


def _wait_for_worker(client: Client, patience: float) -> None:
    try:
        client.wait_for_workers(1, timeout=patience)
    except TimeoutError as none:
        raise InputError(
            f"no worker joined the Dask cluster within {patience:g} seconds; start some with `dask worker ADDRESS`"
        ) from none


def _process_of(address: str) -> str:
    """What workers of one process have in common: ``inproc://host/process/number``; others are processes alone."""
    return address.rpartition("/")[0] if address.startswith("inproc://") else address


def _check_workers(client: Client, patience: float) -> None:
    """Refuse a cluster where the package is missing or another one, and say where.

    Nothing of ours can be sent before we know that it is there, so the question is one of the standard library's.
    """
    _wait_for_worker(client, patience)
    wrong: dict[str, list[str]] = {}
    for package, right in (("dataworth", dataworth.__version__), ("numpy", np.__version__)):
        name = f"{package}:__version__"
        answers: dict[str, Any] = client.run(pkgutil.resolve_name, name, on_error="return")
        try:
            answers["the scheduler"] = client.run_on_scheduler(pkgutil.resolve_name, name)
        except (ImportError, AttributeError) as missing:
            answers["the scheduler"] = missing
        for who, answer in answers.items():
            if isinstance(answer, (ImportError, AttributeError)):
                wrong.setdefault(who, []).append(f"no {package}")
            elif isinstance(answer, str) and not _fits(package, answer, right):
                wrong.setdefault(who, []).append(f"{package} {answer}, not {right}")
    if wrong:
        told = [f"{who} has {' and '.join(what)}" for who, what in sorted(wrong.items())]
        more = [f"and {len(told) - _NAMED} more"] if len(told) > _NAMED else []
        raise InputError(
            f"these cannot take part: {'; '.join([*told[:_NAMED], *more])}. Install there what is installed here"
        )


def _fits(package: str, found: str, right: str) -> bool:
    return found == right if package == "dataworth" else found.partition(".")[0] == right.partition(".")[0]


# -- on a worker -----------------------------------------------------------------------------------


def _work(versions: tuple[str, str], load: bytes) -> Any:
    """Do one task; everything came with it."""
    _check_here(versions)
    job, shared, task = pickle.loads(load)  # noqa: S301 - from the client, which can run anything here
    with on_one_core(), _named():
        return job(shared, task)


def _work_with(versions: tuple[str, str], load: bytes, shared: object) -> Any:
    """Do one task with what was put here before."""
    _check_here(versions)
    job, task = pickle.loads(load)  # noqa: S301 - from the client, which can run anything here
    with on_one_core(), _named():
        return job(shared, task)


@contextmanager
def _named() -> Iterator[None]:
    """Errors carry the machine's name: a disk may be full, or a folder not be mounted, on one of many."""
    try:
        yield
    except Exception as error:
        error.add_note(f"on {socket.gethostname()}")
        raise


def _check_here(versions: tuple[str, str]) -> None:
    """A worker that joined after the run began was not asked before."""
    if _versions() != versions:
        from distributed import get_worker

        raise InputError(
            f"the Dask worker {get_worker().address} has dataworth {dataworth.__version__} and numpy {np.__version__}, "
            f"where the run began with dataworth {versions[0]} and numpy {versions[1]}; install the same there"
        )
