"""What values part by part cost, as formulas: bytes, products, memory and messages, and seconds from a machine's rates.

Nothing here is measured and nothing is read; docs/theory/cost.md says why each formula holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dataworth.valuation.part_memory import MOST_ROWS, PROGRAM

__all__ = ["Cost", "Rates", "Run", "fitted"]

_NAMES_HELD = 256  # bytes of a row's label and name while a part is worked on
_VALUE = 16  # bytes of a row's number and value
_COUNTS = 16  # bytes of a point's two counts


@dataclass(frozen=True)
class Cost:
    """What a Threshold-KNN run over files takes, whatever the machine.

    Args:
        rows: Training rows.
        features: Numbers a row.
        points: Validation points.
        item: Bytes of a number in the files.
        names: Bytes of a row's label, id and owner in the files.
        survey: Whether every row is looked at before.
        links_kept: Whether links go to the disk between the passes; they are found twice otherwise.
        workers: Jobs at a time, in all processes together.
        processes: Processes that jobs run in.
        part_rows: Rows of a part.

    Example:
        >>> cost = Cost(rows=1_000_000, features=64, points=1_000)
        >>> cost.link_bytes, cost.flops, cost.feature_reads
        (125000000, 128000000000, 2)
    """

    rows: int
    features: int
    points: int
    item: int = 4
    names: int = 1
    survey: bool = True
    links_kept: bool = True
    workers: int = 2
    processes: int = 1
    part_rows: int = MOST_ROWS

    @property
    def pairs(self) -> int:
        """A row and a point."""
        return self.rows * self.points

    # -- files -------------------------------------------------------------------------------------

    @property
    def row_bytes(self) -> int:
        """Of a row in the files."""
        return self.features * self.item + self.names

    @property
    def feature_reads(self) -> int:
        """How often features are read: for the survey, to link, and to link again."""
        return self.survey + 1 + (not self.links_kept)

    @property
    def name_reads(self) -> int:
        """How often labels and names are read: for the survey, to count, and to write values."""
        return self.survey + 2

    @property
    def link_bytes(self) -> int:
        """Of all links, one bit a pair; a row's links fill whole bytes."""
        return self.rows * self._link_row if self.links_kept else 0

    @property
    def value_bytes(self) -> int:
        """Of all values with their rows' numbers, before compression."""
        return self.rows * _VALUE

    @property
    def bytes_read(self) -> int:
        """From files, in all passes; links are read once."""
        features = self.rows * self.features * self.item * self.feature_reads
        return features + self.rows * self.names * self.name_reads + self.link_bytes

    @property
    def bytes_written(self) -> int:
        """To files."""
        return self.link_bytes + self.value_bytes

    # -- products ----------------------------------------------------------------------------------

    @property
    def flops(self) -> int:
        """Multiplications and additions of all products."""
        return 2 * self.pairs * self.features * (1 if self.links_kept else 2)

    # -- memory ------------------------------------------------------------------------------------

    @property
    def worker_bytes(self) -> int:
        """What one worker holds: a part's rows as read and as multiplied, its links and names; and the points.

        Besides what reading takes, which hangs on how files were written: ``Source.reading_bytes``.
        """
        row = self.features * (self.item + 4) + self._link_row + _NAMES_HELD
        return 24 * self.points * self.features + self.part_rows * row

    @property
    def memory(self) -> int:
        """Of all processes that jobs run in, the most that is planned for."""
        return PROGRAM * self.processes + self.workers * self.worker_bytes

    # -- messages ----------------------------------------------------------------------------------

    @property
    def parts(self) -> int:
        """At least; files whose rows are no multiple of a part's have more."""
        return -(-self.rows // self.part_rows)

    @property
    def tasks(self) -> int:
        """Of a scheduler, in both passes."""
        return 2 * self.parts

    @property
    def sent_bytes(self) -> int:
        """To workers: points with their classes in each pass, and two weights a point in the second.

        They go to the scheduler, and from there to one process after another.
        """
        points = self.points * (self.features * self.item + 8)
        return (1 + self.processes) * (2 * points + 16 * self.points)

    @property
    def returned_bytes(self) -> int:
        """From workers: the counts of every part, to the scheduler and on to the caller."""
        return 2 * self.parts * self.points * _COUNTS

    @property
    def _link_row(self) -> int:
        return -(-self.points // 8)


@dataclass(frozen=True)
class Rates:
    """What a machine needs, in seconds of one core; measured while as many cores are at work as later.

    Args:
        begin: Of the whole call, for whatever does not grow with the rows.
        survey_byte: To look at a byte of the files.
        read_byte: To make a byte of the files a row in memory.
        flop: Of a product.
        link_row: To make a row ready, and to keep what was found.
        link_pair: To decide a pair and keep its bit, beyond the product.
        value_row: To read a row's label and write its value.
        value_pair: To read a link and add what it gives.
    """

    begin: float
    survey_byte: float
    read_byte: float
    flop: float
    link_row: float
    link_pair: float
    value_row: float
    value_pair: float

    def survey(self, cost: Cost) -> float:
        """Core seconds of the look at every row."""
        return cost.rows * cost.row_bytes * self.survey_byte if cost.survey else 0.0

    def link(self, cost: Cost) -> float:
        """Core seconds to read all rows and link them once."""
        product = 2 * cost.pairs * cost.features * self.flop
        read = cost.rows * cost.row_bytes * self.read_byte
        return read + product + cost.rows * self.link_row + cost.pairs * self.link_pair

    def add(self, cost: Cost) -> float:
        """Core seconds of the second pass."""
        own = cost.rows * self.value_row + cost.pairs * self.value_pair
        return own if cost.links_kept else own + self.link(cost)

    def seconds(self, cost: Cost) -> float:
        """Of a run, where files are read faster than they are decoded."""
        return self.begin + (self.survey(cost) + self.link(cost) + self.add(cost)) / cost.workers

    def seconds_from(self, cost: Cost, file_rate: float, caller_cores: int) -> tuple[float, float]:
        """Of the survey, which the caller alone makes, and of the two passes, where files have a speed of their own.

        Reading and working go on at the same time, so the slower of the two decides.

        Args:
            cost: The run.
            file_rate: Bytes a second of the file system, for all machines together.
            caller_cores: The cores of the machine that began the run.
        """
        features, names = cost.rows * cost.row_bytes, cost.rows * cost.names
        survey = max(self.survey(cost) / caller_cores, features / file_rate) if cost.survey else 0.0
        first = max(self.link(cost) / cost.workers, (features + cost.link_bytes) / file_rate)
        again = names + cost.link_bytes if cost.links_kept else features
        second = max(self.add(cost) / cost.workers, (again + cost.value_bytes) / file_rate)
        return survey, first + second


@dataclass(frozen=True)
class Run:
    """Seconds that a run with links kept took by the clock, beside those of the bare work.

    Args:
        cost: What ran.
        seconds: Of ``survey``, ``first`` and ``second`` pass.
        read: Of a bare read of the files into rows, by as many threads.
        product: Of the bare products of the same tiles, by as many threads.
    """

    cost: Cost
    seconds: Mapping[str, float]
    read: float
    product: float


def fitted(many: Run, few: Run, begin: Mapping[str, float]) -> Rates:
    """Rates from two runs over the same files, which differ in the number of points.

    What grows with the pairs is told from what grows with the rows by the difference of the two. Rates may come out
    below zero where what they measure is less than the noise; their sum is right all the same.

    Args:
        many: With many points.
        few: With few.
        begin: Seconds of the passes of a run over next to nothing, and of ``all``.

    Example:
        >>> cost = [Cost(1000, 10, points) for points in (100, 10)]
        >>> took = [{"survey": 1.0, "first": 2.0, "second": second} for second in (2.0, 1.1)]
        >>> runs = [Run(each, seconds, 0.5, 0.5) for each, seconds in zip(cost, took)]
        >>> rates = fitted(*runs, {"survey": 0.0, "first": 0.0, "second": 0.0, "all": 0.0})
        >>> round(rates.value_row, 6), round(rates.value_pair, 6), round(rates.seconds(cost[0]), 6)
        (0.002, 2e-05, 5.0)
    """
    cost, workers = many.cost, many.cost.workers
    row_bytes = cost.rows * cost.row_bytes

    def split(of_many: float, of_few: float) -> tuple[float, float]:
        pair = (of_many - of_few) / (cost.pairs - few.cost.pairs)
        return workers * (of_many / cost.rows - pair * cost.points), workers * pair

    link = [run.seconds["first"] - begin["first"] - run.read - run.product for run in (many, few)]
    add = [run.seconds["second"] - begin["second"] for run in (many, few)]
    link_row, link_pair = split(*link)
    value_row, value_pair = split(*add)
    return Rates(
        begin=begin["all"],
        survey_byte=workers * (many.seconds["survey"] - begin["survey"]) / row_bytes,
        read_byte=workers * many.read / row_bytes,
        flop=workers * many.product / (2 * cost.pairs * cost.features),
        link_row=link_row,
        link_pair=link_pair,
        value_row=value_row,
        value_pair=value_pair,
    )
