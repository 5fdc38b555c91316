"""Several machines for tests: namespaces of Linux with names, addresses, processes and mounts of their own.

Nothing is made outside of them, so nothing has to be removed: when the process that made a network ends, however it
does, all its machines end with everything on them.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from dataworth.engines.engine import Engine, Tick

__all__ = ["Host", "Watching", "network", "not_here", "patiently", "seen_on"]

_PATIENCE = 180.0
"""Seconds that anything may take on a machine that others keep busy."""

_TOOLS = ("ip", "unshare", "nsenter", "taskset", "mount")

_APART = ("unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")

# The first process of a machine ends when its input does, which takes all others of the machine with it.
_BOOT = """
set -e
echo "$0" > /proc/sys/kernel/hostname
mount --bind "$1" /etc/hosts
ip link set lo up
echo ready
exec cat
"""


def not_here() -> str | None:
    """Why there can be no such machines here, or None if there can."""
    lacking = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if lacking:
        return f"{', '.join(lacking)} of iproute2 and util-linux are needed"
    if os.geteuid() != 0:
        return "only root can make machines out of namespaces"
    tried = subprocess.run(
        [*_APART, "ip", "link", "add", "type", "bridge"], capture_output=True, text=True, check=False
    )
    return f"namespaces cannot be made here: {tried.stderr.strip()}" if tried.returncode else None


def patiently(what: str, true: Callable[[], Any], *, seconds: float = _PATIENCE) -> Any:
    """Wait until something is true, and give it back."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = true()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds:g} seconds: {what}")


# -- machines --------------------------------------------------------------------------------------


@dataclass
class Host:
    """One machine.

    Args:
        name: Its name, which the others know, too.
        address: Its address.
        core: The one core it has.
        keeper: The process that ends it.
        switch: Its end of the cable, outside.
        logs: Where what its programs write goes.
    """

    name: str
    address: str
    core: int
    keeper: subprocess.Popen[str]
    switch: list[str]
    logs: Path
    programs: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def log(self) -> Path:
        """What its programs wrote."""
        return self.logs / f"{self.name}.log"

    def start(self, command: str, **variables: str) -> subprocess.Popen[bytes]:
        """Run a line of shell."""
        inside = ["nsenter", "--target", str(_first_process(self.keeper)), "--net", "--uts", "--mount", "--pid", "--"]
        here = ["taskset", "--cpu-list", str(self.core), "sh", "-c", f'cd "$0" && {command}', str(Path.cwd())]
        with self.log.open("ab") as log:
            program = subprocess.Popen(
                [*inside, *here], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **variables}
            )
        self.programs.append(program)
        return program

    def do(self, command: str, **variables: str) -> None:
        """Run a line of shell to its end."""
        ended = self.start(command, **variables).wait(timeout=_PATIENCE)
        assert ended == 0, f"{command!r} on {self.name}:\n{self.log.read_text()[-3000:]}"

    def workers(self) -> list[psutil.Process]:
        """The worker processes that a ``dask worker`` has started."""
        found = psutil.Process(self.keeper.pid).children(recursive=True)
        for program in self.programs:
            if program.poll() is None:
                found += psutil.Process(program.pid).children(recursive=True)
        return [one for one in found if _is_worker(one)]

    def kill_programs(self) -> None:
        """End all that was started on it, at once."""
        for program in self.programs:
            if program.poll() is None:
                for one in psutil.Process(program.pid).children(recursive=True):
                    one.kill()
                program.wait(timeout=_PATIENCE)

    def unplug(self) -> None:
        """Pull its cable: no one hears of it any more, not even that it is gone."""
        _run(self.switch, f"ip link set {self.name} down")

    def plug(self) -> None:
        """Put its cable in again."""
        _run(self.switch, f"ip link set {self.name} up")

    def end(self) -> None:
        """End everything on it."""
        assert self.keeper.stdin is not None
        self.keeper.stdin.close()
        self.keeper.wait(timeout=_PATIENCE)
        for program in self.programs:
            program.wait(timeout=_PATIENCE)


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in str(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def _first_process(keeper: subprocess.Popen[str]) -> int:
    return int(psutil.Process(keeper.pid).children()[0].pid)


@contextmanager
def network(names: Sequence[str], folder: Path) -> Iterator[dict[str, Host]]:
    """Machines on one network, which all know each other's names; they are gone afterwards.

    Args:
        names: What they are called.
        folder: For their logs; all files are common to all of them, until one mounts something.
    """
    addresses = {name: f"10.77.0.{at}" for at, name in enumerate(names, 10)}
    known = folder / "hosts"
    known.write_text("".join(f"{address} {name}\n" for name, address in addresses.items()) + "127.0.0.1 localhost\n")
    cores = sorted(os.sched_getaffinity(0))
    keepers: list[subprocess.Popen[str]] = []
    hosts: dict[str, Host] = {}
    try:
        keepers.append(_boot("switch", known))
        switch = ["nsenter", "--target", str(_first_process(keepers[0])), "--net", "--"]
        _run(switch, "ip link add br0 type bridge")
        _run(switch, "ip link set br0 up")
        for at, (name, address) in enumerate(addresses.items()):
            keepers.append(_boot(name, known))
            inner = _first_process(keepers[-1])
            _run(switch, f"ip link add {name} type veth peer name eth0 netns {inner}")
            _run(switch, f"ip link set {name} master br0 up")
            inside = ["nsenter", "--target", str(inner), "--net", "--"]
            _run(inside, f"ip addr add {address}/24 dev eth0")
            _run(inside, "ip link set eth0 up")
            hosts[name] = Host(name, address, cores[at % len(cores)], keepers[-1], switch, folder)
        yield hosts
    finally:
        for host in hosts.values():
            host.end()
        for keeper in keepers:
            with keeper:  # closes its input and waits
                pass


def _boot(name: str, known: Path) -> subprocess.Popen[str]:
    keeper = subprocess.Popen(
        [*_APART, "sh", "-c", _BOOT, name, str(known)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert keeper.stdout is not None
    assert keeper.stdout.readline() == "ready\n", f"{name} did not start"
    return keeper


def _run(where: Sequence[str], command: str) -> None:
    subprocess.run([*where, *command.split()], check=True)


# -- jobs that are watched -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Watched:
    job: Callable[[Any, Any], Any]
    shared: Any
    folder: str


class Watching:
    """An engine whose jobs leave notes on where they run, and wait where they are told to.

    A job waits for as long as there is a file ``before-HOST`` or ``after-HOST`` in the folder: before it begins its
    work on that host, or after it has done it.

    Args:
        engine: Where jobs run.
        folder: For notes; all hosts see it.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder = engine, folder

    @property
    def workers(self) -> int:
        return self.engine.workers

    @property
    def processes(self) -> int:
        return self.engine.processes

    def describe(self) -> str:
        return self.engine.describe()

    @contextmanager
    def held(self) -> Iterator[Watching]:
        with self.engine.held() as engine:
            yield Watching(engine, self.folder)

    def run(
        self, job: Callable[[Any, Any], Any], shared: Any, tasks: Sequence[Any], *, tick: Tick | None = None
    ) -> Generator[tuple[int, Any], None, None]:
        yield from self.engine.run(_watched, _Watched(job, shared, str(self.folder)), tasks, tick=tick)


def _watched(shared: _Watched, task: Any) -> Any:
    from distributed import get_worker

    host = socket.gethostname()
    _wait(shared.folder, "before", host, get_worker().address)
    done = shared.job(shared.shared, task)
    _wait(shared.folder, "after", host, get_worker().address)
    return done


def _wait(folder: str, when: str, host: str, address: str) -> None:
    Path(folder, f"seen-{when}-{host}-{uuid4().hex}").write_text(address)
    while Path(folder, f"{when}-{host}").exists():
        time.sleep(0.02)


def seen_on(folder: Path, when: str) -> Mapping[str, list[str]]:
    """The addresses of workers that jobs have been at, for each host."""
    found: dict[str, list[str]] = {}
    for note in folder.glob(f"seen-{when}-*"):
        found.setdefault(note.name.removeprefix(f"seen-{when}-").rpartition("-")[0], []).append(note.read_text())
    return found
