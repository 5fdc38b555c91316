"""What every published experiment shares: what it is run on, how it is run, and how its tables say so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, TypeVar, get_args

from dataworth.errors import DataError, InputError, MissingExtra
from dataworth.papers.datasets import Dataset, choose_sources, find_file, load_dataset
from dataworth.papers.protocols import FIRST_SEED, Protocol
from dataworth.records import Exhibit, Table, Values
from dataworth.records.evidence import Cell

__all__ = ["Experiment", "Result", "Setting", "Shelf"]

T = TypeVar("T")
Result: TypeAlias = Table | Exhibit | Values

SEEDS = {"published": 1, "leak-free": 5, "shifted": 5}


@dataclass(frozen=True)
class Setting:
    """What an experiment is run on.

    Args:
        data: The data folder.
        protocol: How data are prepared.
        seeds: How many seeds; None takes the experiment's own number.
        datasets: Names of the data sets to use; None takes all the folder has.
        fetch: Whether a data set that the folder lacks may be fetched from OpenML.
        progress: Show a progress bar; None shows it on a terminal only.
        work: Folder for what takes long to make and is kept between runs, such as trained generators; None takes the
            user's cache folder.
    """

    data: Path
    protocol: Protocol
    seeds: int | None
    datasets: list[str] | None
    fetch: bool
    progress: bool | None
    work: Path | None = None

    @property
    def all_seeds(self) -> range:
        """The seeds to run, counted up from the protocol's first."""
        first = FIRST_SEED[self.protocol]
        return range(first, first + (self.seeds or SEEDS[self.protocol]))

    def bar(self, items: Iterable[T], what: str) -> Iterable[T]:
        """The items, with a progress bar where one is wanted."""
        from tqdm.auto import tqdm

        bar: Iterable[T] = tqdm(
            items, desc=what, leave=False, disable=None if self.progress is None else not self.progress
        )
        return bar


@dataclass(frozen=True)
class Experiment:
    """One published experiment.

    Args:
        name: What to call it, for example ``"tknn-table3"``.
        title: What it shows.
        measure: Does the work.
    """

    name: str
    title: str
    measure: Callable[[Experiment, Setting], list[Result]] = field(repr=False)

    def run(
        self,
        data: Path,
        *,
        protocol: str = "published",
        seeds: int | None = None,
        datasets: list[str] | None = None,
        fetch: bool = False,
        progress: bool | None = None,
        work: Path | None = None,
    ) -> list[Result]:
        """Run it on the data sets that are there.

        Args:
            data: A folder with one folder a data set.
            protocol: ``"published"``, the original preparation; ``"leak-free"``, which splits before it balances; or
                ``"shifted"``, which draws training rows unlike the validation rows, from tables only.
            seeds: How many seeds (for run times: how many runs); if not given, 1 as published, 5 otherwise, 5 runs.
                Several give means and standard deviations; with one, private tables draw noise five times.
            datasets: Names of the data sets to use; if not given, all the folder has.
            fetch: Fetch tables that the folder lacks from OpenML.
            progress: Show a progress bar; None shows it on a terminal only.
            work: Folder that keeps trained generators between runs; if not given, one in the user's cache folder.

        Returns:
            Tables and pictures; the notes say how they came about and what is missing.

        Raises:
            InputError: An unknown protocol or data set, or fewer than one seed.
            DataError: A data set named is not there, none is there, or one cannot be used.
        """
        if protocol not in get_args(Protocol):
            raise InputError(f"protocol must be one of {', '.join(map(repr, get_args(Protocol)))}, not {protocol!r}")
        if seeds is not None and seeds < 1:
            raise InputError(f"seeds must be a positive number, not {seeds}")
        return self.measure(self, Setting(Path(data), protocol, seeds, datasets, fetch, progress, work))  # type: ignore[arg-type]


class Shelf:
    """The data sets of one run, opened one after another, and the words about them for the tables.

    A set that the folder lacks, or whose embedder is not installed, is noted and left out, unless it was named.
    Only tables can be shifted.

    Args:
        setting: What the experiment is run on.
        *kinds: The kinds of data sets that the experiment uses.
    """

    def __init__(self, setting: Setting, *kinds: str) -> None:
        self._setting = setting
        usable = [kind for kind in kinds if kind == "table" or setting.protocol != "shifted"]
        self._sources = choose_sources(setting.datasets, *usable)
        self._absent: list[str] = []
        self._skipped: list[str] = []
        self._embedded = False
        self._started = time.perf_counter()

    def __iter__(self) -> Iterator[Dataset]:
        setting = self._setting
        for source in setting.bar(self._sources, "data sets"):
            can_fetch = setting.fetch and source.openml is not None
            if setting.datasets is None and not can_fetch and find_file(source, setting.data) is None:
                self._absent.append(source.name)
                continue
            try:
                dataset = load_dataset(source, setting.data, fetch=setting.fetch, progress=setting.progress)
            except MissingExtra as missing:
                if setting.datasets is not None:
                    raise
                self._skipped.append(f"{source.name} ({missing})")
                continue
            self._embedded |= source.kind != "table"
            yield dataset

    def table(
        self,
        experiment: Experiment,
        rows: Sequence[Mapping[str, Cell]],
        note: Sequence[str],
        suffix: str = "",
        *,
        seeds: bool = True,
    ) -> Table:
        """The rows as a table whose note ends with the protocol, what is missing, and the run time."""
        if not rows:
            where = f"{str(self._setting.data)!r} has none of the data sets that {experiment.name} uses"
            raise DataError(
                f"{where}; skipped: {'; '.join(self._skipped) or 'none'}; absent: {', '.join(self._absent)}"
            )
        words = [*note, self._protocol(seeds)]
        if self._embedded:
            words.append(
                "Images and texts are embedded by other models than the paper's and drawn class by class without "
                "copies, so their differences do not measure how well the experiment was repeated."
            )
        if self._absent:
            words.append(f"Not in the data folder: {', '.join(self._absent)}.")
        if self._skipped:
            words.append(f"Skipped: {'; '.join(self._skipped)}.")
        words.append(f"Run time {time.perf_counter() - self._started:.0f} s.")
        columns = {key: [row[key] for row in rows] for key in rows[0]}
        return Table(experiment.name + suffix, experiment.title, columns, " ".join(words))

    def _protocol(self, seeds: bool) -> str:
        used = list(self._setting.all_seeds) if seeds else [self._setting.all_seeds[0]]
        which = (
            f"seed {used[0]}" if len(used) == 1 else f"seeds {used[0]} to {used[-1]}, mean and standard deviation (sd)"
        )
        how = {
            "published": "the original preparation, which balances the classes with copies before it splits",
            "leak-free": "validation rows split off first, evenly over classes; copies on the training side alone",
            "shifted": "features scaled by the whole file; validation rows split off first; training rows drawn with "
            "probability growing as exp(2t) in their place t along a random direction, so unlike the validation rows; "
            "no balancing; noise, where there is some, is added to the scaled features; rows likely to be drawn come "
            "early, so the corrupted first tenth lies further out than the rest",
        }[self._setting.protocol]
        return f"Protocol {self._setting.protocol} ({which}): {how}."
