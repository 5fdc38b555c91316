"""A run over parts: its folder, its parts, and the files of values that it ends with."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dataworth.data.sources import Part, Source
from dataworth.engines.engine import Engine, positive
from dataworth.errors import DataError, InputError
from dataworth.records.stored import StoredValues, part_name
from dataworth.valuation.part_memory import Need, rows_that_fit, survey_threads
from dataworth.valuation.parts_kept import PartsKept
from dataworth.valuation.task import bar

__all__ = ["Figures", "PartRun", "Setting"]

Shared = TypeVar("Shared")


@dataclass(frozen=True, eq=False)
class Setting:
    """How a run over parts is to be done; none of it moves a value.

    Args:
        out: The folder of values.
        engine: Where parts are worked on.
        memory: What all workers may take together, in bytes.
        part_rows: How many rows a part has, if not by memory.
        survey: Whether to look at every row before.
        progress: Whether to show progress bars.
    """

    out: str | os.PathLike[str]
    engine: Engine
    memory: int
    part_rows: int | None
    survey: bool
    progress: bool | None


@dataclass(frozen=True)
class Figures:
    """What a part's values come to."""

    rows: int
    total: float
    squares: float
    lowest: float
    highest: float
    below_zero: int

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Figures:
        """Those of some values; none will do."""
        if not values.size:
            return cls(0, 0.0, 0.0, 0.0, 0.0, 0)
        return cls(
            values.size,
            math.fsum(values.tolist()),
            float(np.square(values).sum()),
            float(values.min()),
            float(values.max()),
            int((values < 0).sum()),
        )


@dataclass(frozen=True, eq=False)
class PartRun:
    """A run that has its folder; made by :meth:`begin`.

    Args:
        source: The files.
        folder: The folder as it was named.
        parts: All parts, in the order of the rows.
        rows_of_a_part: How many rows a part may have.
        kept: What the folder holds.
        engine: Where parts are worked on.
        progress: Whether to show progress bars.
        survey_threads: How many threads may look at rows before.
    """

    source: Source
    folder: str
    parts: Sequence[Part]
    rows_of_a_part: int
    kept: PartsKept
    engine: Engine
    progress: bool | None
    survey_threads: int

    @classmethod
    def finished(cls, how: Setting, digest: str) -> StoredValues | None:
        """The values of a run, if they are all there.

        Args:
            how: Where to.
            digest: Of everything that values depend on.

        Raises:
            InputError: The folder holds values of another run.
            DataError: Values that are there, but damaged.
        """
        asked = None if how.part_rows is None else positive("part_rows", how.part_rows)
        return StoredValues.open(how.out) if PartsKept(_folder(how.out), digest).finished(asked) else None

    @classmethod
    @contextmanager
    def begin(
        cls, source: Source, digest: str, how: Setting, need: Need, *, disk: int = 0, spare: str = ""
    ) -> Iterator[PartRun | StoredValues]:
        """Make the folder of a run, or go on with it, and keep other runs out; values that are there come at once.

        Args:
            source: The files.
            digest: Of everything that values depend on.
            how: Where to, with what.
            need: What the job takes of the memory.
            disk: How many bytes the work will take, as far as is known.
            spare: What would take less room, for messages.

        Raises:
            InputError: A folder that holds something else or cannot be written, too little room on the disk, or
                memory that does not suffice for one row group.
            DataError: Values that are there, but damaged.
        """
        kept = PartsKept(_folder(how.out), digest, spare)
        if source.would_read(str(kept.out / part_name(0))):
            raise InputError(
                f"out={os.fspath(how.out)!r} lies among the files that are read, and values would be read as rows the "
                "next time; name a folder elsewhere"
            )
        there = cls.finished(how, digest)
        if there is not None:
            yield there
            return
        rows = rows_that_fit(source, need, how.memory, how.engine, asked=how.part_rows, begun=kept.rows_of_a_part())
        with kept.alone():
            there = cls.finished(how, digest)  # by another run, just now
            if there is not None:
                yield there
                return
            kept.begin(rows, disk)
            threads = survey_threads(source, how.memory)
            yield cls(source, os.fspath(how.out), source.parts(rows), rows, kept, how.engine, how.progress, threads)

    @contextmanager
    def at_work(self) -> Iterator[PartRun]:
        """The run with its engine held, for passes in a row."""
        with self.engine.held() as engine:
            yield replace(self, engine=engine)

    def add_values(
        self, job: Callable[[Shared, Part], Figures], shared: Shared, key: str, title: str = "Adding values"
    ) -> list[Figures]:
        """Have the values of all parts written that are not there yet.

        Args:
            job: Writes the values of a part by ``kept.keep_values``, and says what they come to.
            shared: What every call needs.
            key: A digest of what values are made from besides the rows; files of another are written again.
            title: Of the progress bar.

        Returns:
            The figures of every part, in their order.
        """
        figures: dict[int, Figures] = {}
        left = []
        for part in self.parts:
            known = self.kept.values(part, key)
            if known is None:
                left.append(part)
            else:
                figures[part.number] = Figures.of(known)
        with bar(len(left), title, self.progress) as tick:
            for at, found in self.engine.run(job, shared, left, tick=tick):
                figures[left[at].number] = found
        return [figures[part.number] for part in self.parts]

    def finish(
        self,
        figures: Sequence[Figures],
        *,
        method: str,
        n_validation: int,
        provenance: Callable[[int], Mapping[str, str | int | float]],
    ) -> StoredValues:
        """Describe the values that are all there now, and remove what led to them.

        Args:
            figures: From :meth:`add_values`.
            method: The method with its parameters, as text.
            n_validation: How many points judged.
            provenance: What else is to be known of them, given how many rows there are.

        Raises:
            DataError: There is no row.
            InputError: This machine does not see the files that workers wrote.
        """
        some = [found for found in figures if found.rows]
        if not some:
            self.kept.give_up(self.parts)
            raise DataError(f"no row of {self.source} passes")
        self.kept.check_values(self.parts)
        rows, total = sum(found.rows for found in some), math.fsum(found.total for found in some)
        spread = math.fsum(found.squares for found in some) / rows - (total / rows) ** 2
        stored = StoredValues(
            folder=self.folder,
            rows=rows,
            parts=len(self.parts),
            method=method,
            n_validation=n_validation,
            total=total,
            lowest=min(found.lowest for found in some),
            highest=max(found.highest for found in some),
            below_zero=sum(found.below_zero for found in some),
            provenance={
                **provenance(rows),
                "job": self.kept.job,
                "engine": self.engine.describe(),
                "rows of a part": self.rows_of_a_part,
                "files": len(self.source.files),
                "standard deviation": math.sqrt(max(spread, 0.0)),
            },
        )
        stored.save()
        self.kept.clear()
        return StoredValues.open(self.folder)


def _folder(out: str | os.PathLike[str]) -> Path:
    if not isinstance(out, str | os.PathLike) or not os.fspath(out):
        raise InputError(f"out must name a folder, not {out!r}")
    return Path(out).absolute()
