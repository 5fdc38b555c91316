"""Files of rows for tests of releases that are made part by part, and a run of one in a process of its own."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa

import dataworth as dw
from dataworth.data.sources import Source
from dataworth.engines.local import Local
from dataworth.records.stored_release import StoredRelease
from dataworth.valuation import planning
from dataworth.valuation.release_parts import release_source
from tests.valuation.streaming_problems import judges, some_rows, table_of, write_files

METHOD = dw.ThresholdKNNShapley(radius=0.8)
SPEND = dw.Budget("0.5", "1e-4")
ASK: dict[str, Any] = {
    "method": METHOD, "spend": SPEND, "mechanism": dw.CappedLinks(3), "expected_rows": 100, "progress": False,
}  # fmt: skip
COLUMNS: dict[str, Any] = {"label": "y", "id": "id", "owner": "who", "allow_missing": True}


@contextmanager
def without_accountant(sigma: Fraction = Fraction(5, 2)) -> Iterator[None]:
    """Noise of one scale, whatever it would cost: for laws that are not about the account."""
    with (
        mock.patch.object(planning, "_calibrated", return_value=sigma),
        mock.patch.object(planning, "_other_guarantee", return_value=()),
    ):
        yield


def owned_rows(n: int = 120, *, seed: int = 0, owners: int = 7) -> pa.Table:
    """Rows with owners and ids, some of them without a direction or with features missing."""
    x, y = some_rows(n, seed=seed)
    x[3::17] = 0.0
    x[5::23, 1] = np.nan
    who = np.random.default_rng(seed).integers(0, owners, n)
    return table_of(x, y, id=[f"row-{at:05d}" for at in range(n)], who=[f"owner {at}" for at in who.tolist()])


def write_owned(folder: Path, n: int = 120, **more: Any) -> Path:
    """The same in three files, row groups of eight."""
    return write_files(folder, owned_rows(n, **more), [n // 3, n // 3, 0], 8)


def release(rows: Path | Source, out: Path, **more: Any) -> StoredRelease:
    """A release of them in parts of 16 rows."""
    source = rows if isinstance(rows, Source) else Source.open(rows, **COLUMNS)
    given = {"validation": judges(), "part_rows": 16, "engine": Local(1), **ASK, **more}
    return release_source(source, out=out, **given)


def bytes_of(folder: Path) -> dict[str, str]:
    """A digest of every file of a release."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def answer(found: Any, owner: Any) -> list[Any]:
    """All that an owner is told, to the last bit."""
    told = found.for_owner(owner)
    columns = [told.values, told.band, told.vote, told.proxy]
    return [told.ids.tolist(), str(told.ids.dtype), *[column.tobytes() for column in columns], told.reasons,
            told.guarantees]  # fmt: skip


@contextmanager
def at_moment(out: Path, number: int, act: Callable[[], None]) -> Iterator[list[int]]:
    """Do something at one of the moments at which files of a folder take their place or the ledger takes a step.

    Yields:
        A list whose only entry is how many moments have passed.
    """
    passed, inner = [0], os.replace

    def moment(*_: Any) -> None:
        if passed[0] == number:
            act()
        passed[0] += 1

    def replace(source: Any, target: Any) -> None:
        if not Path(target).is_relative_to(out):  # compiled code is kept in files, too
            inner(source, target)
            return
        moment()
        inner(source, target)
        moment()

    with mock.patch("os.replace", replace), mock.patch("dataworth.privacy.ledger.steps.at", moment):
        yield passed


def child(rows: str, out: str, ledger: str, key: str, at: str) -> None:
    """A release for a process of its own, which is killed at a moment."""
    source, held = Source.open(rows, **COLUMNS), dw.Ledger.open(ledger)
    with at_moment(Path(out), int(at), lambda: os.kill(os.getpid(), signal.SIGKILL)):
        release(source, Path(out), ledger=held, request_key=key or None)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    child(*sys.argv[1:])
