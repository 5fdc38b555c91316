"""Synthetic tables from noisy marginals, by the graphical models of the package ``mbi`` (Private-PGM).

Which marginals are counted is public; each is a table of counts of one column, or of a pair, by class. All get exact
discrete Gaussian noise from the source given, as one vector, so the privacy is accounted here and rests on nothing
that ``mbi`` does: from the noisy counts it fits one distribution of all columns that agrees with them best
(McKenna, Sheldon and Miklau 2019, arXiv 1901.09136), and synthetic rows are drawn from that.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, MethodError, MissingExtra
from dataworth.privacy.accounting import calibrate
from dataworth.privacy.kinds import Event, Histograms
from dataworth.privacy.mechanisms import Source
from dataworth.records import Budget, Points, Relation, Unit
from dataworth.records.sealed import digest_of, read_sealed, write_sealed
from dataworth.synthesis.candidates import Category, Column, TableDomain, Whole
from dataworth.synthesis.protocol import Synthetic

__all__ = ["PrivateMarginals", "likely_pairs"]

_KEPT = "dataworth-marginals/1"
_FILE = "counts.npz"
_MOST_CELLS = 2_000_000  # of all marginals together
_MOST_ROWS = 10_000_000

_Clique: TypeAlias = tuple[int, ...]  # columns that are counted together, by class


@dataclass(frozen=True)
class PrivateMarginals:
    """Synthetic rows that have the marginals of private ones, as far as noise lets them be known.

    Numbers are counted in bins of equal width and drawn anywhere in their bin; values outside the public bounds count
    as the nearest bound, unknown categories as the nearest known one.

    Args:
        domain: What may stand in each column: public knowledge.
        bins: Bins of a column of numbers, 2 to 1,000; columns of fewer whole numbers have a bin for each.
        pairs: Pairs of columns, by place, that are counted together. Public, and without circles: no column may be
            reached from another in two ways. See :func:`likely_pairs`. Each costs as much as a column does.
        rows: How many synthetic rows, 1 to 10,000,000; None for as many as the noisy counts say there are.
        iterations: Steps of the fit.

    Raises:
        MethodError: Parameters out of range, a pair of the same column or one that is not there, or pairs in a circle.

    Example:
        >>> import dataworth as dw
        >>> from dataworth.synthesis.candidates import Number
        >>> table = PrivateMarginals(TableDomain((Number(0, 1), Category((0, 1)))), pairs=((0, 1),))
        >>> table.events(dw.Budget(4, 1e-5), unit=dw.Row(), relation="add_or_remove")[0].votes
        3
    """

    domain: TableDomain
    bins: int = 8
    pairs: tuple[tuple[int, int], ...] = ()
    rows: int | None = None
    iterations: int = 1000

    def __post_init__(self) -> None:
        _check_whole("bins", self.bins, 2, 1000)
        _check_whole("iterations", self.iterations, 1, 100_000)
        if self.rows is not None:
            _check_whole("rows", self.rows, 1, _MOST_ROWS)
        object.__setattr__(self, "pairs", tuple(_checked(tuple(pair), len(self.domain)) for pair in self.pairs))
        _order(len(self.domain), self.pairs)

    def events(self, spend: Budget, *, unit: Unit, relation: Relation) -> tuple[Event, ...]:
        """One vector of counts, to which a row adds one in every marginal.

        Raises:
            MethodError: No noise scale keeps it within the budget.
        """

        def at(sigma: Fraction) -> tuple[Event, ...]:
            return (Histograms(sigma, votes=len(self._cliques), rounds=1),)

        return at(calibrate(at, spend, unit=unit, relation=relation))

    def synthesize(
        self,
        x: NDArray[Any],
        codes: NDArray[np.int64],
        n_classes: int,
        *,
        events: Sequence[Event],
        source: Source,
        seed: int = 0,
        folder: Path | None = None,
        progress: bool | None = None,
    ) -> Synthetic:
        """Count, add noise, fit, and draw rows.

        Args:
            x: Private features, ``(n, d)``.
            codes: Private labels as places in the public list of classes, ``(n,)``.
            n_classes: Length of that list.
            events: What :meth:`events` returned.
            source: Of noise.
            seed: Of the rows drawn from the fit.
            folder: Where the noisy counts are kept: one folder for one release of one data set. A stopped run goes on
                with them.
            progress: Not used: nothing here takes long but the first fit of a kind, which is compiled.

        Raises:
            DataError: Rows of another width, with missing features or labels that are no class, too many cells, or a
                folder of another release.
            MethodError: Events of another release.
            MissingExtra: ``mbi`` is not installed.
        """
        sigma = self._sigma(events)
        mbi = _mbi()  # before anything is released
        shapes = [(*(_size(self.domain.columns[j], self.bins) for j in clique), n_classes) for clique in self._cliques]
        if sum(int(np.prod(shape, dtype=np.float64)) for shape in shapes) > _MOST_CELLS:
            raise DataError(f"the marginals have more than {_MOST_CELLS:,} cells together; take fewer bins or pairs")
        noisy = self._noisy(x, codes, n_classes, shapes, sigma, source, folder)
        tables = self._fit(mbi, noisy, shapes, sigma)
        number = self.rows if self.rows is not None else self._total(noisy)
        return self._drawn(tables, number, n_classes, np.random.default_rng(seed))

    def describe(self) -> str:
        """The kind of marginals, the bins and, in short, the domain."""
        about = f"{len(self.domain)} columns by class, {len(self.pairs)} pairs, {self.bins} bins"
        rows = "rows as counted" if self.rows is None else f"{self.rows:,} rows"
        seen = digest_of({"domain": repr(self.domain), "pairs": repr(self.pairs)}, {})[:12]
        return f"private marginals of {about}; {rows}; {self.iterations:,} steps [{seen}]"

    @property
    def _cliques(self) -> list[_Clique]:
        return [*((j,) for j in range(len(self.domain))), *self.pairs]

    def _sigma(self, events: Sequence[Event]) -> Fraction:
        match list(events):
            case [Histograms(sigma=sigma, votes=votes, rounds=1)] if votes == len(self._cliques):
                return sigma
            case _:
                raise MethodError("these are not the events of this release; give those that events() returned")

    def _noisy(
        self,
        x: NDArray[Any],
        codes: NDArray[np.int64],
        n_classes: int,
        shapes: Sequence[tuple[int, ...]],
        sigma: Fraction,
        source: Source,
        folder: Path | None,
    ) -> list[NDArray[np.int64]]:
        """The noisy counts of each marginal: drawn once, and then kept."""
        about = {
            "synthesizer": self.describe(),
            "classes": n_classes,
            "sigma": f"{sigma.numerator}/{sigma.denominator}",
            "private": source.private,
        }
        cuts = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
        kept = None if folder is None else folder / _FILE
        if kept is not None and kept.exists():
            found, arrays = read_sealed(kept, _KEPT, "noisy counts", "dataworth synthesize")
            if {name: found.get(name) for name in about} != about:
                raise DataError(
                    f"{str(kept)!r} holds counts of another release (other parameters, classes or noise); repeat that "
                    "one, or name a new folder"
                )
            counts = arrays["counts"]
        else:
            bins = self._binned(x, codes, n_classes)
            exact = [
                np.bincount(
                    np.ravel_multi_index((*(bins[:, j] for j in clique), codes), shape), minlength=np.prod(shape)
                )
                for clique, shape in zip(self._cliques, shapes, strict=True)
            ]
            counts = source.add_noise(np.concatenate(exact).astype(np.int64), sigma).counts
            if kept is not None and folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                write_sealed(kept, _KEPT, about, {"counts": counts})
        return [part.reshape(shape) for part, shape in zip(np.split(counts, cuts), shapes, strict=True)]

    def _binned(self, x: NDArray[Any], codes: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
        if x.ndim != 2 or x.shape[1] != len(self.domain):
            raise DataError(
                f"the domain has {len(self.domain)} columns, and the rows are of shape {('n', *x.shape[1:])}"
            )
        if codes.shape != (len(x),) or (len(codes) and (codes.min() < 0 or codes.max() >= n_classes)):
            raise DataError(f"there must be one label for each row, from 0 to {n_classes - 1}")
        missing = len(x) - int(np.isfinite(x).all(axis=1).sum())
        if missing:
            raise DataError(
                f"{missing} of {len(x)} rows have missing or infinite features; leave them out or fill them in"
            )
        return np.stack([_bin(x[:, j], column, self.bins) for j, column in enumerate(self.domain.columns)], axis=1)

    def _fit(
        self, mbi: Any, noisy: Sequence[NDArray[np.int64]], shapes: Sequence[tuple[int, ...]], sigma: Fraction
    ) -> dict[_Clique, NDArray[np.float64]]:
        """Marginals of one distribution that agrees with the noisy ones best, as counts."""
        label = len(self.domain)
        sizes = [shape[0] for shape in shapes[:label]]
        domain = mbi.Domain([str(j) for j in range(label + 1)], [*sizes, shapes[0][-1]])
        names = [tuple(str(j) for j in (*clique, label)) for clique in self._cliques]
        measured = [
            mbi.LinearMeasurement(counts.ravel().astype(np.float64), name, stddev=float(sigma))
            for counts, name in zip(noisy, names, strict=True)
        ]
        model = mbi.estimation.MirrorDescent().estimate(domain, measured, iters=self.iterations)
        found = {}
        for clique, name, shape in zip(self._cliques, names, shapes, strict=True):
            table = np.asarray(model.project(name).transpose(name).datavector(), dtype=np.float64).reshape(shape)
            if not np.isfinite(table).all():
                raise MethodError("the fit of the marginals failed; take fewer bins or a larger epsilon")
            found[clique] = np.clip(table, 0.0, None)
        return found

    def _total(self, noisy: Sequence[NDArray[np.int64]]) -> int:
        """How many rows the counts say there are: sums of larger tables are noisier, and weigh less."""
        weights = np.array([1 / counts.size for counts in noisy])
        sums = np.array([counts.sum() for counts in noisy])
        return int(np.clip(np.rint(weights @ sums / weights.sum()), 1, _MOST_ROWS))

    def _drawn(
        self, tables: dict[_Clique, NDArray[np.float64]], number: int, n_classes: int, rng: np.random.Generator
    ) -> Synthetic:
        """Rows from the fit: the class first, then each column given the class and the column it is paired with."""
        by_class = tables[0,].sum(axis=0)
        codes = _pick(np.tile(by_class, (1, 1)), np.zeros(number, np.int64), rng)
        bins = np.zeros((number, len(self.domain)), dtype=np.int64)
        for j, parent in _order(len(self.domain), self.pairs):
            if parent is None:
                weights, given = tables[j,].T, codes
            else:
                pair = (parent, j) if (parent, j) in tables else (j, parent)
                table = tables[pair] if pair[0] == parent else tables[pair].transpose(1, 0, 2)
                weights = table.transpose(0, 2, 1).reshape(-1, table.shape[1])
                given = bins[:, parent] * n_classes + codes
            bins[:, j] = _pick(weights, given, rng)
        x = np.empty(bins.shape, dtype=np.float32)
        for j, column in enumerate(self.domain.columns):
            x[:, j] = _unbin(bins[:, j], column, self.bins, rng)
        return Synthetic(x, codes)


def likely_pairs(
    public: Points, domain: TableDomain, *, bins: int = 8, most: int | None = None
) -> tuple[tuple[int, int], ...]:
    """Which pairs of columns say most about each other, given the class, in PUBLIC rows: a tree without circles.

    Args:
        public: Rows that everybody may see, with columns and classes like the private ones.
        domain: What may stand in each column.
        bins: As for :class:`PrivateMarginals`.
        most: How many pairs at most, the best first; None for one less than there are columns.

    Raises:
        DataError: Rows of another width or with missing features.
        MethodError: A number of pairs that is not a whole number from 0 on.

    Example:
        >>> import numpy as np
        >>> import dataworth as dw
        >>> a = np.arange(40) % 4
        >>> public = dw.Points(np.stack([a, np.arange(40) // 10, 3 - a], axis=1), a % 2)
        >>> likely_pairs(public, TableDomain((Whole(0, 3), Whole(0, 3), Whole(0, 3))), most=1)
        ((0, 2),)
    """
    if most is not None:
        _check_whole("most", most, 0, 10**6)
    classes, codes = np.unique(public.y, return_inverse=True)
    binned = PrivateMarginals(domain, bins)._binned(public.x, codes.astype(np.int64), len(classes))
    sizes = [_size(column, bins) for column in domain.columns]
    scores = []
    for i, j in itertools.combinations(range(len(domain)), 2):
        table = np.zeros((len(classes), sizes[i], sizes[j]))
        np.add.at(table, (codes, binned[:, i], binned[:, j]), 1)
        scores.append((-_information(table), i, j))
    chosen: list[tuple[int, int]] = []
    group = list(range(len(domain)))
    for score, i, j in sorted(scores):
        if group[i] == group[j] or score >= 0 or (most is not None and len(chosen) >= most):
            continue
        chosen.append((i, j))
        old = group[j]
        group = [group[i] if at == old else at for at in group]
    return tuple(chosen)


# -- tables --------------------------------------------------------------------------------------------------------


def _information(table: NDArray[np.float64]) -> float:
    """Mutual information of the last two axes given the first, in nats."""
    joint = table / table.sum()
    expected = joint.sum(axis=2, keepdims=True) * joint.sum(axis=1, keepdims=True)
    expected = expected / np.maximum(joint.sum(axis=(1, 2), keepdims=True), 1e-300)
    there = joint > 0
    found = float((joint[there] * np.log(joint[there] / expected[there])).sum())
    return found if found > 1e-12 else 0.0


def _order(columns: int, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int | None]]:
    """Every column once, with the column it is drawn after, which comes before it."""
    beside: dict[int, list[int]] = {j: [] for j in range(columns)}
    for i, j in pairs:
        beside[i].append(j)
        beside[j].append(i)
    found: dict[int, int | None] = {}
    for root in range(columns):
        waiting: list[tuple[int, int | None]] = [] if root in found else [(root, None)]
        while waiting:
            j, parent = waiting.pop()
            if j in found:
                raise MethodError("pairs must have no circle: some column can be reached from another in two ways")
            found[j] = parent
            rest = list(beside[j])
            if parent is not None:
                rest.remove(parent)
            waiting += [(other, j) for other in rest]
    return list(found.items())


def _pick(weights: NDArray[np.float64], given: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """One column of ``weights`` for each entry of ``given``, which names the row; a row of zeros is uniform."""
    weights = np.where(weights.sum(axis=1, keepdims=True) > 0, weights, 1.0)
    steps = np.cumsum(weights, axis=1)
    level = rng.random(len(given)) * steps[given, -1]
    picked = np.empty(len(given), dtype=np.int64)
    for row in np.unique(given).tolist():
        here = given == row
        picked[here] = np.searchsorted(steps[row], level[here], side="right")
    last: NDArray[np.int64] = np.minimum(picked, weights.shape[1] - 1)
    return last


def _size(column: Column, bins: int) -> int:
    match column:
        case Category():
            return len(column.values)
        case Whole():
            return min(bins, int(column.high) - int(column.low) + 1)
        case _:
            return bins if column.high > column.low else 1


def _bin(values: NDArray[Any], column: Column, bins: int) -> NDArray[np.int64]:
    """The place of each value; each by itself."""
    exact = values.astype(np.float64)
    if isinstance(column, Category):
        known = np.array(column.values)
        middles = (known[:-1] + known[1:]) / 2
        return np.searchsorted(middles, exact, side="left").astype(np.int64)
    size = _size(column, bins)
    clipped = np.clip(np.rint(exact) if isinstance(column, Whole) else exact, column.low, column.high)
    width = column.high - column.low + (1 if isinstance(column, Whole) else 0)
    if not width:
        return np.zeros(len(values), dtype=np.int64)
    return np.minimum(((clipped - column.low) / width * size).astype(np.int64), size - 1)


def _unbin(bins: NDArray[np.int64], column: Column, most: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A value of each bin."""
    if isinstance(column, Category):
        return np.array(column.values)[bins]
    size = _size(column, most)
    if isinstance(column, Whole):
        span = int(column.high) - int(column.low) + 1
        least = -(-bins * span // size)  # the first whole number whose bin is this one
        past = -(-(bins + 1) * span // size)
        return (int(column.low) + rng.integers(least, past)).astype(np.float64)
    return column.low + (bins + rng.random(len(bins))) / size * (column.high - column.low)


def _checked(pair: tuple[int, ...], columns: int) -> tuple[int, int]:
    if len(pair) != 2 or not all(isinstance(j, int) and 0 <= j < columns for j in pair) or pair[0] == pair[1]:
        raise MethodError(f"a pair names two columns by place, from 0 to {columns - 1}, not {pair!r}")
    return pair[0], pair[1]


def _check_whole(name: str, given: object, least: int, most: int) -> None:
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
        raise MethodError(f"{name} must be a whole number from {least:,} to {most:,}, not {given!r}")


def _mbi() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says at every import that it counts in float32
            return import_module("mbi")
    except ImportError:
        raise MissingExtra("fitting marginals", "marginals") from None
