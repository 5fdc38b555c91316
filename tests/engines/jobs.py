"""Jobs that tests of engines send to workers, which import them from here."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_info

from dataworth.errors import DataError


@dataclass(frozen=True)
class Notes:
    """A folder in which jobs leave notes, and numbers to work with."""

    folder: str
    numbers: NDArray[np.float64]


@dataclass(frozen=True)
class Slow:
    """A task that takes this long."""

    number: int
    seconds: float


def note(folder: str, name: str) -> None:
    (Path(folder) / f"{name}.{time.monotonic_ns()}.{threading.get_ident()}").touch()


def notes(folder: Path, name: str) -> int:
    return len(list(folder.glob(f"{name}.*")))


def digest(shared: Notes, task: int) -> str:
    """Every byte of the numbers, and of what a matrix product makes of them."""
    block = shared.numbers.reshape(-1, 4)[task % 7 :][:50]
    return hashlib.sha256(shared.numbers.tobytes() + (block @ block.T).tobytes() + bytes([task])).hexdigest()


def noted(shared: Notes, task: Slow) -> int:
    note(shared.folder, f"begun-{task.number}")
    time.sleep(task.seconds)
    note(shared.folder, f"ended-{task.number}")
    return task.number


def refuse_odd(shared: Notes, task: Slow) -> int:
    number = noted(shared, task)
    if number % 2:
        raise DataError(f"file-{number}.parquet cannot be read")
    return number


def blas_threads(shared: object, task: int) -> list[int]:
    _ = np.ones((4, 4)) @ np.ones((4, 4))
    time.sleep(0.05)
    return [int(library["num_threads"]) for library in threadpool_info() if library["user_api"] == "blas"]


def die_first(shared: Notes, task: int) -> int:
    """The first worker to get task 2 is gone at once, as one without memory would be."""
    mark = Path(shared.folder) / "died"
    note(shared.folder, f"begun-{task}")
    if task == 2:
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return task
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def always_die(shared: Notes, task: int) -> int:
    if task == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def process(shared: Notes, task: int) -> int:
    time.sleep(0.02)
    return os.getpid()


def writeable(shared: Notes, task: int) -> bool:
    return shared.numbers.flags.writeable


def needs_more(shared: int, task: int) -> int:
    raise ImportError("no such thing here")
