"""What Private Evolution breeds: where candidates come from, how they vary, and what makes two alike.

All of it is public: bounds, categories and example rows come from public data or common knowledge, never from the
rows that vote.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.errors import DataError, MethodError
from dataworth.kernels.matching import nearest
from dataworth.kernels.neighbors import Judges, Rows, prepare
from dataworth.records import Points
from dataworth.records.sealed import digest_of

__all__ = [
    "CandidateFunctions",
    "Candidates",
    "Category",
    "Column",
    "EmbeddingCandidates",
    "Number",
    "TableCandidates",
    "TableDomain",
    "Whole",
]

_LOOKED_AT = 2_000  # public vectors whose neighbours say how vectors differ
_ONE_HOT = 1 / 3  # how far apart two categories are, where the ends of a number's range are 1 apart


@runtime_checkable
class Candidates(Protocol):
    """Makes candidates, varies them, and says where they lie: what Private Evolution needs to know of a kind of data.

    Rows are only counted and indexed by it: numbers, pixels and texts (an array of strings) serve alike. Everything
    random comes from the generator given, so that a run can be repeated.

    Example:
        >>> isinstance(TableCandidates(TableDomain((Number(0, 1),))), Candidates)
        True
    """

    def random(self, code: int, number: int, rng: np.random.Generator) -> NDArray[Any]:
        """New candidates of a class, from public knowledge alone, ``(number, ...)``."""

    def variation(self, x: NDArray[Any], code: int, progress: float, rng: np.random.Generator) -> NDArray[Any]:
        """One variation of each candidate, in the same order; bold at progress 0, faint at 1."""

    def embed(self, x: NDArray[Any]) -> NDArray[Any]:
        """Where rows lie, ``(m, e)``, so that Euclidean distance tells which are alike.

        Each row's place may depend on that row alone, not on others given with it: privacy rests on it.
        """

    def describe(self) -> str:
        """Its name and public parameters, on one line; what describes itself alike acts alike."""


@dataclass(frozen=True)
class CandidateFunctions:
    """Candidates from functions of your own, for texts or anything else that can stand in an array.

    Args:
        random: ``random(code, number, rng)`` gives ``number`` new candidates of a class.
        variation: ``variation(x, code, progress, rng)`` gives one variation of each.
        embed: ``embed(x)`` gives a row of numbers for each, by that row alone.
        name: What they are, with everything that changes what they do: a stopped run goes on only under the same name.

    Raises:
        MethodError: An empty name, or something that cannot be called.

    Example:
        >>> import numpy as np
        >>> words = np.array(["fever", "cough", "rash"])
        >>> symptoms = CandidateFunctions(
        ...     random=lambda code, number, rng: rng.choice(words, number),
        ...     variation=lambda x, code, progress, rng: np.where(rng.random(len(x)) < 0.5, x, words[0]),
        ...     embed=lambda x: (x[:, None] == words).astype(float),
        ...     name="three symptoms",
        ... )
        >>> symptoms.embed(np.array(["rash"]))
        array([[0., 0., 1.]])
    """

    random: Callable[[int, int, np.random.Generator], NDArray[Any]]
    variation: Callable[[NDArray[Any], int, float, np.random.Generator], NDArray[Any]]
    embed: Callable[[NDArray[Any]], NDArray[Any]]
    name: str

    def __post_init__(self) -> None:
        for part in ("random", "variation", "embed"):
            if not callable(getattr(self, part)):
                raise MethodError(f"{part} must be a function, not {type(getattr(self, part)).__name__}")
        if not isinstance(self.name, str) or not self.name.strip():
            raise MethodError("name your candidates, with the parameters that change what they do")

    def describe(self) -> str:
        """Their name."""
        return self.name


# -- tables --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Number:
    """A column of numbers within public bounds.

    Args:
        low: The least value.
        high: The greatest.

    Raises:
        MethodError: Bounds that are not finite, or the wrong way round.

    Example:
        >>> Number(low=0.0, high=250.0)
        Number(low=0.0, high=250.0)
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high)


@dataclass(frozen=True)
class Whole:
    """A column of whole numbers within public bounds.

    Args:
        low: The least value.
        high: The greatest.

    Raises:
        MethodError: Bounds that are not whole numbers, or the wrong way round.

    Example:
        >>> Whole(low=0, high=120)
        Whole(low=0, high=120)
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high)
        if self.low != int(self.low) or self.high != int(self.high):
            raise MethodError(f"bounds of whole numbers are whole themselves, not {self.low} and {self.high}")


@dataclass(frozen=True)
class Category:
    """A column of categories, each written as a number, of a public list.

    Args:
        values: The numbers that stand for them, in ascending order.

    Raises:
        MethodError: No values, or values that are not finite and ascending.

    Example:
        >>> Category((0, 1, 9))
        Category(values=(0.0, 1.0, 9.0))
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(float(value) for value in self.values))
        if not self.values or not np.isfinite(self.values).all() or (np.diff(self.values) <= 0).any():
            raise MethodError("a category column has one value or more, finite, in ascending order, each once")


Column: TypeAlias = Number | Whole | Category


@dataclass(frozen=True)
class TableDomain:
    """What may stand in each column of a table: public knowledge.

    Args:
        columns: One description a column, in order.

    Raises:
        MethodError: No columns, or something else among them.

    Example:
        >>> domain = TableDomain((Number(0.0, 200.0), Whole(0, 10), Category((0, 1))))
        >>> len(domain)
        3
    """

    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        if not self.columns or not all(isinstance(column, Column) for column in self.columns):
            raise MethodError("a table's domain is one Number, Whole or Category a column, and one column at least")

    def __len__(self) -> int:
        return len(self.columns)

    @classmethod
    def of(cls, public: Points, *, categories: Sequence[int | str] = ()) -> TableDomain:
        """The domain that PUBLIC rows span. Bounds taken from private rows would give some of those rows away.

        A column is of whole numbers if all its public values are.

        Args:
            public: Rows that everybody may see, with columns like the private ones.
            categories: Columns that hold categories, by place or name; they may take the values found.

        Raises:
            DataError: A column that is not there, or rows with missing features.

        Example:
            >>> import dataworth as dw
            >>> TableDomain.of(dw.Points([[0.5, 1], [2.5, 3]], ["a", "b"]), categories=[1]).columns
            (Number(low=0.5, high=2.5), Category(values=(1.0, 3.0)))
        """
        if public.missing:
            raise DataError(f"{public.missing} of the public rows have missing features; leave them out")
        at = {_column_at(public, column) for column in categories}
        return cls(tuple(_column_of(public.x[:, j], j in at) for j in range(public.x.shape[1])))


@dataclass(frozen=True, eq=False)
class TableCandidates:
    """Rows of a table: uniform over its public domain, or public rows, each column varied by itself (Tab-PE).

    At progress ``p`` the rate is ``first - (first - last) * p ** shape``. A category is drawn anew with a chance of
    the rate; a number moves by up to the rate times its range, either way. Distances are between numbers scaled to
    [0, 1] by their bounds and one-hot categories times 1/3.

    Args:
        domain: What may stand in each column.
        first: The rate at the start.
        last: The rate in the end.
        shape: The exponent of progress.
        public: Public rows to begin with, ``(m, d)``; None begins anywhere in the domain.

    Raises:
        MethodError: Rates outside [0, 1] or an exponent that is not above 0.
        DataError: Public rows with other columns, or that are not finite.

    Example:
        >>> import numpy as np
        >>> table = TableCandidates(TableDomain((Number(0, 10), Category((0, 1)))))
        >>> table.embed(np.array([[2.5, 1.0]])).round(3)
        array([[0.25 , 0.   , 0.333]])
    """

    domain: TableDomain
    first: float = 0.5
    last: float = 0.01
    shape: float = 0.2
    public: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.last <= 1 and 0 <= self.first <= 1 and 0 < self.shape < math.inf):
            raise MethodError(
                f"first and last are rates from 0 to 1, and shape is above 0, not {self.first}, {self.last} and "
                f"{self.shape}"
            )
        if self.public is not None:
            object.__setattr__(self, "public", _public_rows(self.public, len(self.domain)))

    def random(self, code: int, number: int, rng: np.random.Generator) -> NDArray[Any]:
        """Rows with every column uniform over its domain, or public rows."""
        if self.public is not None:
            return np.array(self.public[_picked(len(self.public), number, rng)], dtype=np.float32)
        x = np.empty((number, len(self.domain)), dtype=np.float32)
        for j, column in enumerate(self.domain.columns):
            match column:
                case Number():
                    x[:, j] = rng.uniform(column.low, column.high, number)
                case Whole():
                    x[:, j] = rng.integers(int(column.low), int(column.high), number, endpoint=True)
                case Category():
                    x[:, j] = rng.choice(column.values, number)
        return x

    def variation(self, x: NDArray[Any], code: int, progress: float, rng: np.random.Generator) -> NDArray[Any]:
        """Rows with every column moved or drawn anew, as the rate says."""
        rate = self.first - (self.first - self.last) * progress**self.shape
        varied = np.array(x, dtype=np.float32)
        for j, column in enumerate(self.domain.columns):
            if isinstance(column, Category):
                anew = rng.random(len(varied)) < rate
                varied[anew, j] = rng.choice(column.values, int(anew.sum()))
                continue
            moved = varied[:, j] + rng.uniform(-rate, rate, len(varied)) * (column.high - column.low)
            moved = np.rint(moved) if isinstance(column, Whole) else moved
            varied[:, j] = np.clip(moved, column.low, column.high)
        return varied

    def embed(self, x: NDArray[Any]) -> NDArray[Any]:
        """Numbers scaled by their bounds and clipped to them, categories one-hot times 1/3; each row by itself."""
        parts = []
        for j, column in enumerate(self.domain.columns):
            values = np.asarray(x[:, j], dtype=np.float64)
            if isinstance(column, Category):
                # As candidates hold them: rounded to float32.
                known = np.asarray(column.values, dtype=np.float32)
                parts.append((values.astype(np.float32)[:, None] == known).astype(np.float64) * _ONE_HOT)
            else:
                width = (column.high - column.low) or 1.0
                parts.append(np.clip((values[:, None] - column.low) / width, 0.0, 1.0))
        return np.hstack(parts)

    def describe(self) -> str:
        """The kinds of columns, the rates and, where there are any, the public rows."""
        kinds = ", ".join(
            f"{sum(isinstance(column, kind) for column in self.domain.columns)} {name}"
            for kind, name in ((Number, "numbers"), (Whole, "whole numbers"), (Category, "categories"))
        )
        start = "uniform" if self.public is None else f"from {len(self.public):,} public rows"
        seen = _short_digest(repr(self.domain), self.public)
        return f"table of {kinds}; {start}; rate {self.first:g} to {self.last:g}, shape {self.shape:g} [{seen}]"


# -- vectors -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class EmbeddingCandidates:
    """Vectors, such as embeddings of images or texts: public ones to begin with, moved among public ones.

    A variation has a size, ``first`` at progress 0, ``last`` at 1 and geometrically in between. It goes a random part
    of the way, at most ``size * (1 - noise)``, to one of the ``neighbours`` nearest public vectors, and takes a step of
    ``size * noise`` times normal noise that spreads as public vectors do around their neighbours. So candidates stay
    near where vectors of this kind lie; with more noise they go farther from the public ones.

    Args:
        public: Public vectors, unlabelled, ``(m, d)``; two at least.
        first: Size of a variation at the start.
        last: Size of a variation in the end.
        neighbours: Among how many nearest public vectors one is chosen to move to.
        noise: The share of a variation that is noise instead of movement to a public vector, 0 to 1.
        scale: ``"standard"`` divides each coordinate by its public standard deviation where distances are taken,
            ``"none"`` leaves them.

    Raises:
        MethodError: Sizes, a share or a scale that make no sense.
        DataError: Public vectors that are too few or not finite.

    Example:
        >>> import numpy as np
        >>> cloud = np.random.default_rng(0).normal(size=(100, 3))
        >>> EmbeddingCandidates(cloud).random(0, 2, np.random.default_rng(1)).shape
        (2, 3)
    """

    public: NDArray[Any]
    first: float = 1.5
    last: float = 1.0
    neighbours: int = 10
    noise: float = 0.7
    scale: str = "none"
    _ready: Rows = field(init=False, repr=False)
    _spread: NDArray[np.float64] = field(init=False, repr=False)
    _unit: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not (0 <= self.last <= self.first < math.inf and 0 <= self.noise <= 1):
            raise MethodError(
                f"sizes fall from first to last and noise is a share from 0 to 1, not {self.first}, {self.last}, "
                f"{self.noise}"
            )
        if self.scale not in ("standard", "none"):
            raise MethodError(f"scale must be 'standard' or 'none', not {self.scale!r}")
        public = _public_rows(self.public, None)
        if not 1 <= self.neighbours < len(public):
            raise MethodError(
                f"neighbours must be from 1 to {len(public) - 1:,}, one less than public vectors, not {self.neighbours}"
            )
        deviation = public.std(axis=0, dtype=np.float64)
        unit = np.where(deviation > 0, deviation, 1.0) if self.scale == "standard" else np.ones(public.shape[1])
        ready = prepare(public, np.zeros(len(public), dtype=np.int64), 1, "euclidean", centre=_centre(public))
        object.__setattr__(self, "public", public)
        object.__setattr__(self, "_ready", ready)
        object.__setattr__(self, "_unit", unit)
        object.__setattr__(self, "_spread", self._spread_of(public, ready))

    def random(self, code: int, number: int, rng: np.random.Generator) -> NDArray[Any]:
        """Public vectors, each once as long as there are enough."""
        return np.array(self.public[_picked(len(self.public), number, rng)], dtype=np.float32)

    def variation(self, x: NDArray[Any], code: int, progress: float, rng: np.random.Generator) -> NDArray[Any]:
        """Vectors moved part of the way to a public neighbour, with noise like the differences to neighbours."""
        size = self.last if self.first == 0 else self.first * (self.last / self.first) ** progress
        near = self._near(x)
        toward = self.public[near[np.arange(len(x)), rng.integers(self.neighbours, size=len(x))]]
        part = size * (1 - self.noise) * rng.random((len(x), 1))
        step = size * self.noise * (rng.standard_normal(x.shape) @ self._spread.T)
        return np.asarray(x + part * (toward - x) + step, dtype=np.float32)

    def embed(self, x: NDArray[Any]) -> NDArray[Any]:
        """The vectors, each coordinate divided by its public standard deviation if asked for."""
        return np.asarray(x, dtype=np.float64) / self._unit

    def describe(self) -> str:
        """How many public vectors there are, and how variations move."""
        return (
            f"vectors among {len(self.public):,} public ones; size {self.first:g} to {self.last:g}, "
            f"{self.neighbours} neighbours, noise {self.noise:g}, scale {self.scale} "
            f"[{_short_digest('', self.public)}]"
        )

    def _near(self, x: NDArray[Any]) -> NDArray[np.int64]:
        rows = np.ascontiguousarray(x, dtype=np.float32)
        judges = Judges.ready(self._ready, rows, np.zeros(len(rows), dtype=np.int64), _centre(self.public))
        return nearest(self._ready, judges, self.neighbours, threads=1)[0]

    def _spread_of(self, public: NDArray[Any], ready: Rows) -> NDArray[np.float64]:
        """A root of the covariance of half the differences between some public vectors and their neighbours."""
        some = np.ascontiguousarray(public[: min(len(public), _LOOKED_AT)])
        judges = Judges.ready(ready, some, np.zeros(len(some), dtype=np.int64), _centre(public))
        near, _ = nearest(ready, judges, self.neighbours + 1, threads=1)
        apart = (public[near[:, 1:]].astype(np.float64) - some[:, None]).reshape(-1, public.shape[1])
        values, vectors = np.linalg.eigh(apart.T @ apart / (2 * len(apart)))
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _centre(public: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(public.mean(axis=0, dtype=np.float64))


def _picked(held: int, number: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Places of rows, each once as long as there are enough, then each twice as long ..."""
    rounds = [rng.permutation(held) for _ in range(-(-number // held))]
    return np.concatenate(rounds)[:number] if rounds else np.zeros(0, dtype=np.int64)


def _public_rows(given: ArrayLike, width: int | None) -> NDArray[Any]:
    rows = np.array(given, dtype=np.float32)
    if rows.ndim != 2 or not rows.size:
        raise DataError(f"public rows are a matrix with a row each, not of shape {rows.shape}")
    if width is not None and rows.shape[1] != width:
        raise DataError(f"public rows have {rows.shape[1]} columns, but the domain has {width}")
    bad = int((~np.isfinite(rows)).any(axis=1).sum())
    if bad:
        raise DataError(f"{bad} of {len(rows)} public rows are not finite; leave them out")
    rows.flags.writeable = False
    return rows


def _column_at(public: Points, column: int | str) -> int:
    width = public.x.shape[1]
    if isinstance(column, str):
        if public.features is None or column not in public.features:
            raise DataError(f"the public rows have no column {column!r}")
        return public.features.index(column)
    if not 0 <= column < width:
        raise DataError(f"the public rows have columns 0 to {width - 1}, not {column}")
    return column


def _column_of(values: NDArray[Any], category: bool) -> Column:
    if category:
        return Category(tuple(np.unique(values).tolist()))
    low, high = float(values.min()), float(values.max())
    return Whole(int(low), int(high)) if (values == np.rint(values)).all() else Number(low, high)


def _check_bounds(low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise MethodError(f"bounds are finite and ascending, not {low} and {high}")


def _short_digest(text: str, rows: NDArray[Any] | None) -> str:
    return digest_of({"text": text}, {} if rows is None else {"rows": rows})[:12]
