"""Training in sittings: a run that is stopped anywhere goes on as if it had not been, bit for bit."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from dataworth.errors import DataError
from dataworth.records.files import whole_file

__all__ = ["Log", "Run", "train_in_sittings"]

_SAVE_EVERY = 60.0  # seconds


class Run(Protocol):
    """What is being trained: everything that an update changes can be taken out and put back."""

    def state(self) -> dict[str, Any]:
        """Weights and the state of their optimisers."""

    def load(self, state: dict[str, Any]) -> None:
        """Put back what :meth:`state` gave."""


class Log:
    """Losses as they fall, averaged over a few steps a line.

    Attributes:
        step: Updates done.
        seconds: How long they took, all sittings together.
        lines: ``step`` and one list a loss.
    """

    def __init__(self) -> None:
        self.step = 0
        self.seconds = 0.0
        self.lines: dict[str, list[float]] = {"step": []}
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, step: int, found: Mapping[str, float], every: int) -> None:
        """Take down the losses of one update; every so many updates their averages become a line."""
        self.step = step
        for name, loss in found.items():
            self._sums[name] = self._sums.get(name, 0.0) + loss
        self._count += 1
        if step % every == 0:
            self.lines["step"].append(step)
            for name, total in self._sums.items():
                self.lines.setdefault(name, []).append(total / self._count)
            self._sums, self._count = {}, 0

    def state(self) -> str:
        """Everything in it, as JSON."""
        return json.dumps({"step": self.step, "seconds": self.seconds, "lines": self.lines,
                           "sums": self._sums, "count": self._count})  # fmt: skip

    @classmethod
    def of(cls, state: str) -> Log:
        """The inverse of :meth:`state`."""
        log, plain = cls(), json.loads(state)
        log.step, log.seconds, log.lines = plain["step"], plain["seconds"], plain["lines"]
        log._sums, log._count = plain["sums"], plain["count"]
        return log


def train_in_sittings(
    run: Run,
    update: Callable[[Any, int], Mapping[str, float]],
    path: Path,
    *,
    steps: int,
    seed: int,
    what: str,
    progress: bool | None,
) -> Log:
    """Do the updates that are still to be done, keeping a checkpoint every minute and at the end.

    Args:
        run: What is trained.
        update: Does one update; given a ``torch.Generator``, from which all its randomness must come, and how many
            updates are done already; returns its losses by name.
        path: The checkpoint. Where there is one, training goes on from it; its folder is made if it is not there.
        steps: Updates in all.
        seed: Of the generator.
        what: What is trained, for the progress bar.
        progress: Show a progress bar; None shows it on a terminal only.

    Returns:
        The log of all sittings.

    Raises:
        DataError: The checkpoint is damaged, or of another run.
    """
    import torch
    from tqdm.auto import tqdm

    path.parent.mkdir(parents=True, exist_ok=True)
    draws = torch.Generator().manual_seed(seed)
    log = Log()
    if path.exists():
        saved = _load(path)
        try:
            run.load(saved["run"])
            draws.set_state(saved["draws"])
            log = Log.of(saved["log"])
        except (RuntimeError, ValueError, KeyError, TypeError) as trouble:
            raise _damaged(path, trouble) from None
    began, kept = time.perf_counter(), time.perf_counter()
    done = log.step
    hidden = None if progress is None else not progress
    with tqdm(total=steps, initial=done, desc=f"training {what}", disable=hidden, unit="step") as bar:
        while done < steps:
            found = update(draws, done)
            done += 1
            log.add(done, found, every=max(1, steps // 200))
            bar.update(1)
            now = time.perf_counter()
            if now - kept > _SAVE_EVERY or done == steps:
                log.seconds += now - began
                began = kept = now
                _save(path, {"run": run.state(), "draws": draws.get_state(), "log": log.state()})
    return log


def _save(path: Path, state: Mapping[str, Any]) -> None:
    import torch

    with whole_file(path) as temporary:
        torch.save(dict(state), temporary)


def _load(path: Path) -> dict[str, Any]:
    import pickle

    import torch

    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if set(state) != {"run", "draws", "log"}:
            raise ValueError("other parts")
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as trouble:
        raise _damaged(path, trouble) from None
    return state


def _damaged(path: Path, trouble: Exception) -> DataError:
    return DataError(f"the checkpoint {str(path)!r} cannot be read ({type(trouble).__name__}); delete it to begin anew")
