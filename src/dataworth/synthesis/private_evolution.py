"""Private Evolution: candidates that private rows vote for, round after round.

After Lin et al. (ICLR 2024) and its kin for texts and tables: no model is trained on private rows. Public means make
candidates; every private row votes for those nearest to it; the votes, with noise on every candidate, say which of them
are varied further. Only the noisy votes leave the private side, and all of their cost is known beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, MethodError
from dataworth.kernels.voting import above, apportion, best, count_votes, draw_evenly
from dataworth.privacy.accounting import calibrate, calibrate_laplace
from dataworth.privacy.events import events_to_json
from dataworth.privacy.kinds import DisjointCounts, Event, Histograms
from dataworth.privacy.mechanisms import Source
from dataworth.records import Budget, Evidence, Relation, Table, Unit
from dataworth.records.sealed import digest_of, read_sealed, write_sealed
from dataworth.synthesis.candidates import Candidates, TableCandidates, TableDomain
from dataworth.synthesis.protocol import Synthetic

__all__ = ["Evolved", "PrivateEvolution"]

Select = Literal["sample", "rank"]
Final = Literal["variations", "selected"]

_KEPT = "dataworth-private-evolution-1"
_MOST = 10**6
_BINS_A_VOTE = 25  # what served well on embeddings of digits: see the page on theory
# What a stream of public randomness is for; with the seed, the round and the class it names the stream.
_RANDOM, _LOOK, _CHOOSE, _VARY, _FINISH = range(5)


@dataclass(frozen=True, eq=False)
class Evolved:
    """What evolution ends with: public rows of any kind, drawn by the last noisy votes.

    Args:
        x: The rows, as the candidates make them, ``(m, ...)``.
        codes: The class of each, int64, ``(m,)``.
        votes: The noisy votes of each round, int64, ``(C, bins)`` each.
        sizes: Noisy numbers of rows of each class, where they were released, int64, ``(C,)``.
        evidence: What was seen, from released figures.
    """

    x: NDArray[Any]
    codes: NDArray[np.int64]
    votes: tuple[NDArray[np.int64], ...]
    sizes: NDArray[np.int64] | None
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class PrivateEvolution:
    """Private Evolution over public candidates: a synthesizer.

    Every class has the same number of candidates (bins) in a round: ``population`` times ``fold``, and once more where
    the chosen are kept; see :meth:`bins`. All bins are noised, those of classes without rows too.

    Args:
        candidates: Where candidates come from, how they vary, and which are alike. Public.
        rounds: Histograms of votes; each costs the same.
        population: Candidates chosen in each class in each round.
        size: Synthetic rows to make; ``"noised"`` makes as many as there are private rows, by a noisy count.
        fractions: Of the classes among them: ``"noised"`` (by noisy counts), ``"uniform"``, or one declared number a
            class.
        threshold: Taken off every noisy count, in units of the noise scale, rounded up to whole votes.
        select: ``"sample"`` draws the chosen in proportion to their votes; ``"rank"`` takes those with most votes.
        votes: Candidates that each private row votes for: votes grow with it, their noise with its square root. None is
            a 25th of the population, at least one.
        lookahead: A candidate's place is the mean of this many of its variations; 0 takes the place of itself.
        keep_selected: The chosen stay among the candidates, beside their variations.
        fold: Variations of each that is chosen.
        opening: Rounds at the start that draw the chosen in proportion to their votes, with one variation of each and
            no threshold, whatever is said above.
        final: ``"variations"`` makes every synthetic row a faint variation of one that is chosen in the end;
            ``"selected"`` takes the chosen as they are.
        counting: The share of epsilon for noisy counts of the classes, where size or fractions are ``"noised"``.

    Raises:
        MethodError: A parameter that makes no sense.

    Example:
        >>> import numpy as np
        >>> from dataworth.privacy.mechanisms import InsecureSource
        >>> from dataworth.records import Budget, Row
        >>> from dataworth.synthesis.candidates import EmbeddingCandidates
        >>> rng = np.random.default_rng(0)
        >>> candidates = EmbeddingCandidates(rng.normal(size=(500, 2)))
        >>> evolution = PrivateEvolution(candidates, rounds=4, population=200, votes=5)
        >>> events = evolution.events(Budget(4, 1e-5), unit=Row(), relation="add_or_remove")
        >>> private, codes = rng.normal(1.5, 0.1, size=(1000, 2)), np.zeros(1000, dtype=np.int64)
        >>> made = evolution.synthesize(private, codes, 1, events=events, source=InsecureSource(0))
        >>> bool(abs(made.x.mean() - 1.5) < 0.2), 900 < len(made.x) < 1100
        (True, True)
    """

    candidates: Candidates
    rounds: int = 3
    population: int = 1000
    size: int | Literal["noised"] = "noised"
    fractions: Literal["noised", "uniform"] | tuple[float, ...] = "noised"
    threshold: float = 1.5
    select: Select = "sample"
    votes: int | None = None
    lookahead: int = 0
    keep_selected: bool = False
    fold: int = 1
    opening: int = 0
    final: Final = "variations"
    counting: float = 0.05

    def __post_init__(self) -> None:
        if not isinstance(self.candidates, Candidates):
            raise MethodError(
                f"candidates have random, variation, embed and describe; {type(self.candidates).__name__} has not"
            )
        for name, least in (("rounds", 1), ("population", 1), ("lookahead", 0), ("fold", 0), ("opening", 0)):
            _check_whole(name, getattr(self, name), least)
        for name, said in (("votes", None), ("size", "noised")):
            if getattr(self, name) != said:
                _check_whole(name, getattr(self, name), 1)
        object.__setattr__(self, "fractions", _checked_fractions(self.fractions))
        for name, known in (("select", get_args(Select)), ("final", get_args(Final))):
            if getattr(self, name) not in known:
                raise MethodError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}")
        if not 0 <= self.threshold < math.inf:
            raise MethodError(f"threshold must be 0 or more, in units of the noise scale, not {self.threshold!r}")
        if not 0.001 <= self.counting <= 0.9:
            raise MethodError(f"counting is a share of epsilon from 0.001 to 0.9, not {self.counting!r}")
        if not self.fold + self.keep_selected:
            raise MethodError("with fold=0 and nothing kept no candidate would be left")
        least = min(self.bins(0), self.bins(self.rounds - 1))
        if self.votes_a_row > least:
            raise MethodError(f"a row cannot vote for {self.votes_a_row} of {least} candidates")

    @classmethod
    def tabular(cls, domain: TableDomain, *, rounds: int = 29, population: int = 1000) -> PrivateEvolution:
        """The published preset for tables: five rounds that explore, then the best are kept and varied threefold.

        Args:
            domain: What may stand in each column, public.
            rounds: Histograms of votes.
            population: Candidates chosen in each class in each round.
        """
        return cls(
            TableCandidates(domain), rounds=rounds, population=population, threshold=0.0, select="rank",
            votes=1, keep_selected=True, fold=3, opening=5, final="selected",
        )  # fmt: skip

    @property
    def votes_a_row(self) -> int:
        """For how many candidates each private row votes."""
        return max(self.population // _BINS_A_VOTE, 1) if self.votes is None else self.votes

    def bins(self, round_: int) -> int:
        """Candidates of each class in a round, counted from 0."""
        return self.population * (1 if round_ < self.opening else self.fold + self.keep_selected)

    @property
    def counted(self) -> bool:
        """Whether noisy counts of the classes are released beside the votes."""
        return "noised" in (self.size, self.fractions)

    def events(self, spend: Budget, *, unit: Unit, relation: Relation) -> tuple[Event, ...]:
        """What will be released: noisy counts of the classes, if asked for, and noisy votes with what is left.

        Args:
            spend: The epsilon and delta to stay within.
            unit: Whose presence is hidden.
            relation: Whether that unit is added or removed, or replaced.

        Raises:
            MethodError: A budget that no noise keeps.
        """
        counts: tuple[Event, ...] = ()
        if self.counted:
            share = spend.epsilon * Decimal(repr(self.counting))
            counts = (DisjointCounts(calibrate_laplace(share, unit=unit, relation=relation)),)
        sigma = calibrate(
            lambda sigma: (*counts, Histograms(sigma, self.votes_a_row, self.rounds)),
            spend,
            unit=unit,
            relation=relation,
        )
        return (*counts, Histograms(sigma, self.votes_a_row, self.rounds))

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
        """Synthetic rows of numbers; see :meth:`evolve`, which this wraps.

        Args:
            x: Private features, ``(n, d)``.
            codes: Private labels as places in the public list of classes, ``(n,)``.
            n_classes: Length of that list.
            events: What :meth:`events` returned.
            source: Of noise.
            seed: Of candidates, variations and choices; public.
            folder: Where noisy votes are kept, so that a stopped run goes on; None keeps nothing.
            progress: Show a progress bar; None shows it on a terminal only.

        Raises:
            DataError: Rows that are no numbers, or do not fit the candidates.
        """
        made = self.evolve(
            x, codes, n_classes, events=events, source=source, seed=seed, folder=folder, progress=progress
        )
        if made.x.ndim != 2 or made.x.dtype.kind not in "fiub":
            raise DataError(
                f"these candidates are {made.x.dtype} of shape {made.x.shape}, not rows of numbers; call evolve instead"
            )
        return Synthetic(made.x.astype(np.float32), made.codes, made.evidence)

    def evolve(
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
    ) -> Evolved:
        """Rows of any kind that candidates can make: numbers, texts, ...

        Private rows that cannot be embedded as finite numbers cast no vote.

        Args:
            x: Private rows, ``(n, ...)``, as the candidates' ``embed`` takes them; there may be none.
            codes: Private labels as places in the public list of classes, ``(n,)``.
            n_classes: Length of that list.
            events: What :meth:`events` returned.
            source: Of noise.
            seed: Of candidates, variations and choices; public.
            folder: Where noisy votes are kept: one folder for one release of one data set. A stopped run goes on with
                the votes it finds there, and releases only the rounds that are missing.
            progress: Show a progress bar; None shows it on a terminal only.

        Raises:
            DataError: Rows, labels or candidates of shapes that do not fit, or a folder of another release.
            MethodError: Events that are not this synthesizer's.
        """
        from tqdm.auto import tqdm

        run = _Run(self, _histograms(self, events), _laplace_scale(self, events), n_classes, source, seed)
        kept = _Kept(folder, run, events)
        held = _Held.of(self.candidates, x, codes, n_classes)
        sizes = kept.sizes(lambda: run.count_classes(held)) if self.counted else None
        rounds: list[NDArray[np.int64]] = []
        population: list[NDArray[Any]] = []
        bar = tqdm(range(self.rounds), desc="rounds", leave=False, disable=None if progress is None else not progress)
        for round_ in bar:
            found = kept.round(round_)
            if found is None:
                population = run.breed(round_, population, rounds)
                found = kept.keep(round_, run.release(round_, population, held), population)
            counts, population = found
            rounds.append(counts)
        rows, row_codes = run.finish(population, rounds[-1], sizes)
        return Evolved(rows, row_codes, tuple(rounds), sizes, (run.table(rounds),))

    def describe(self) -> str:
        """Everything public that says how rows are made, on one line."""
        size = "noisy number" if self.size == "noised" else f"{self.size:,}"
        parts = [
            f"{self.rounds} rounds of {self.population:,} candidates a class",
            f"{self.votes_a_row} vote{'' if self.votes_a_row == 1 else 's'} a row",
            f"threshold {self.threshold:g}, {self.select}, fold {self.fold}{', kept' if self.keep_selected else ''}",
            f"opening {self.opening}, lookahead {self.lookahead}, final {self.final}",
            f"{size} of rows, fractions {self.fractions}"
            + (f" for {self.counting:g} of epsilon" if self.counted else ""),
            self.candidates.describe(),
        ]
        return f"Private Evolution ({'; '.join(parts)})"


# -- the private side ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Held:
    """Private rows where they lie, class by class. Nothing but :class:`_Run` looks at them, and it adds noise."""

    places: tuple[NDArray[Any], ...]
    numbers: NDArray[np.int64]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, candidates: Candidates, x: NDArray[Any], codes: NDArray[np.int64], n_classes: int) -> _Held:
        rows, labels = np.asarray(x), np.asarray(codes)
        if rows.ndim < 1 or labels.shape != rows.shape[:1]:
            raise DataError("private rows and labels must be equally many, a label each")
        if labels.size and not (
            np.issubdtype(labels.dtype, np.integer) and 0 <= labels.min() <= labels.max() < n_classes
        ):
            raise DataError(f"private labels must be places in the list of {n_classes} classes, 0 to {n_classes - 1}")
        places = _embedded(candidates, rows) if len(rows) else np.zeros((0, 1))
        return cls(
            tuple(places[labels == code] for code in range(n_classes)),
            np.bincount(labels.astype(np.int64), minlength=n_classes).astype(np.int64),
            rows.shape[1:],
        )


@dataclass(frozen=True, eq=False)
class _Run:
    """One run: what is decided by public parameters and released counts, and the two private queries."""

    evolution: PrivateEvolution
    sigma: Fraction
    scale: Fraction | None
    n_classes: int
    source: Source
    seed: int

    def __post_init__(self) -> None:
        _check_whole("n_classes", self.n_classes, 1)
        _check_whole("seed", self.seed, 0)
        fractions = self.evolution.fractions
        if not isinstance(fractions, str) and len(fractions) != self.n_classes:
            raise MethodError(f"{len(fractions)} fractions were declared for {self.n_classes} classes")

    @property
    def threshold(self) -> int:
        """In whole votes."""
        return math.ceil(Fraction(repr(float(self.evolution.threshold))) * self.sigma)

    def count_classes(self, held: _Held) -> NDArray[np.int64]:
        """Noisy numbers of rows of each class: a row is in one at most."""
        if self.scale is None:
            raise MethodError("no event says how classes are counted")
        return self.source.add_laplace(held.numbers, self.scale).counts

    def release(self, round_: int, population: list[NDArray[Any]], held: _Held) -> NDArray[np.int64]:
        """Noisy votes for all candidates of all classes: a row adds to ``votes`` bins of its own class."""
        evolution = self.evolution
        exact = np.zeros((self.n_classes, evolution.bins(round_)), dtype=np.int64)
        for code, x in enumerate(population):
            places = self._places(round_, code, x)
            if len(held.places[code]):
                if held.places[code].shape[1:] != places.shape[1:]:
                    raise DataError(
                        f"private rows lie in {held.places[code].shape[1]} dimensions, candidates in {places.shape[1]}"
                    )
                exact[code] = count_votes(places, held.places[code], evolution.votes_a_row)
        return self.source.add_noise(exact, self.sigma).counts

    # -- from here on nothing private ------------------------------------------------------------------------------

    def breed(self, round_: int, population: list[NDArray[Any]], rounds: list[NDArray[np.int64]]) -> list[NDArray[Any]]:
        """The candidates of a round: new ones at first, then variations of those that the last votes chose."""
        if not rounds:
            return [self._first(code) for code in range(self.n_classes)]
        return [self._next(round_, code, population[code], rounds[-1][code]) for code in range(self.n_classes)]

    def _first(self, code: int) -> NDArray[Any]:
        number = self.evolution.bins(0)
        x = _as_rows(self.evolution.candidates.random(code, number, self._rng(_RANDOM, 0, code)))
        if x.shape[:1] != (number,):
            raise DataError(f"{number} candidates were asked for; random gave an array of shape {x.shape}")
        return x

    def _next(self, round_: int, code: int, x: NDArray[Any], counts: NDArray[np.int64]) -> NDArray[Any]:
        evolution, rng = self.evolution, self._rng(_CHOOSE, round_, code)
        opening = round_ - 1 < evolution.opening
        if evolution.select == "sample" or opening:
            weights = above(counts, 0 if opening else self.threshold)
            chosen = x[draw_evenly(weights, evolution.population, rng.random())]
        else:
            chosen = x[best(counts, evolution.population)]
        if round_ < evolution.opening:
            return self._vary(chosen, code, round_, _VARY, 0)
        varied = [self._vary(chosen, code, round_, _VARY, turn) for turn in range(evolution.fold)]
        return np.concatenate([*([chosen] if evolution.keep_selected else []), *varied])

    def _places(self, round_: int, code: int, x: NDArray[Any]) -> NDArray[Any]:
        looks = self.evolution.lookahead
        seen = [self._vary(x, code, round_ + 1, _LOOK, turn) for turn in range(looks)] or [x]
        places: NDArray[Any] = np.mean([_embedded(self.evolution.candidates, rows) for rows in seen], axis=0)
        if not np.isfinite(places).all():
            raise DataError("some candidates are embedded as numbers that are not finite; see to embed and variation")
        return places

    def _vary(self, x: NDArray[Any], code: int, round_: int, purpose: int, turn: int) -> NDArray[Any]:
        rng = self._rng(purpose, round_, code, turn)
        varied = _as_rows(self.evolution.candidates.variation(x, code, round_ / self.evolution.rounds, rng))
        if varied.shape != x.shape:
            raise DataError(f"a variation of rows of shape {x.shape} has shape {varied.shape}; it must be the same")
        return varied

    def finish(
        self, population: list[NDArray[Any]], counts: NDArray[np.int64], sizes: NDArray[np.int64] | None
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Rows drawn by the last votes, so many of each class as the declared or noisy numbers say."""
        rows, codes = [], []
        for code, number in enumerate(self._numbers(sizes).tolist()):
            if not number:
                continue
            start = self._rng(_FINISH, self.evolution.rounds, code).random()
            x = population[code][draw_evenly(above(counts[code], self.threshold), number, start)]
            if self.evolution.final == "variations":
                x = self._vary(x, code, self.evolution.rounds, _VARY, 0)
            rows.append(x)
            codes.append(np.full(number, code, dtype=np.int64))
        return np.concatenate(rows), np.concatenate(codes)

    def _numbers(self, sizes: NDArray[np.int64] | None) -> NDArray[np.int64]:
        """How many rows of each class to make."""
        evolution = self.evolution
        some = np.zeros(self.n_classes)
        if sizes is not None and self.scale is not None:
            # A class with no more rows than noise alone may well show has none.
            some = np.where(sizes > 2 * float(self.scale), sizes, 0).astype(np.float64)
            some[np.argmax(sizes)] = max(float(sizes.max()), 1.0)
        total = int(some.sum()) if evolution.size == "noised" else evolution.size
        if evolution.fractions == "noised":
            return apportion(some, total)
        shares = np.ones(self.n_classes) if evolution.fractions == "uniform" else np.array(evolution.fractions)
        return apportion(shares.astype(np.float64), total)

    def table(self, rounds: list[NDArray[np.int64]]) -> Table:
        """What each round released, in two figures."""
        return Table(
            "private-evolution-rounds",
            "Noisy votes, round by round",
            {
                "round": list(range(1, len(rounds) + 1)),
                "candidates": [counts.size for counts in rounds],
                "mean votes": [float(counts.mean()) for counts in rounds],
                "above the threshold": [float((counts > self.threshold).mean()) for counts in rounds],
            },
            note=f"Noise scale {float(self.sigma):.3g} and threshold {self.threshold} votes on every candidate. Where "
            "mean votes are well below the noise scale, candidates are many for so few rows.",
        )

    def _rng(self, purpose: int, round_: int, code: int, turn: int = 0) -> np.random.Generator:
        return np.random.default_rng([self.seed, purpose, round_, code, turn])


def _embedded(candidates: Candidates, rows: NDArray[Any]) -> NDArray[Any]:
    places = np.asarray(candidates.embed(rows))
    if places.ndim != 2 or len(places) != len(rows) or places.dtype.kind not in "fiub":
        raise DataError(
            f"embed must give a row of numbers for each of the rows, not {places.dtype} of shape {places.shape}"
        )
    return np.ascontiguousarray(places, dtype=np.float32 if places.dtype == np.float32 else np.float64)


def _as_rows(given: Any) -> NDArray[Any]:
    """Rows in an array; texts that came as Python objects in an array of texts."""
    rows = np.asarray(given)
    if rows.dtype.kind in "OT" and all(isinstance(entry, str) for entry in rows.ravel().tolist()):
        return rows.astype(np.str_)
    return rows


# -- what a stopped run left ---------------------------------------------------------------------------------------


class _Kept:
    """Noisy counts on disk, each written before anything is done with it."""

    def __init__(self, folder: Path | None, run: _Run, events: Sequence[Event]) -> None:
        self._folder = folder
        self._about = {
            "events": events_to_json(events),
            "parameters": digest_of(
                {"synthesizer": run.evolution.describe(), "n_classes": run.n_classes, "seed": run.seed}, {}
            ),
            "private": run.source.private,
        }

    def sizes(self, release: Any) -> NDArray[np.int64]:
        found = self._read("classes")
        if found is None:
            found = {"counts": release()}
            self._write("classes", found)
        return found["counts"]

    def round(self, round_: int) -> tuple[NDArray[np.int64], list[NDArray[Any]]] | None:
        found = self._read(f"round-{round_ + 1:03d}")
        if found is None:
            return None
        return found["counts"], list(found["candidates"])

    def keep(
        self, round_: int, counts: NDArray[np.int64], population: list[NDArray[Any]]
    ) -> tuple[NDArray[np.int64], list[NDArray[Any]]]:
        self._write(f"round-{round_ + 1:03d}", {"counts": counts, "candidates": np.stack(population)})
        return counts, population

    def _read(self, name: str) -> dict[str, NDArray[Any]] | None:
        if self._folder is None or not (self._folder / f"{name}.npz").exists():
            return None
        about, arrays = read_sealed(self._folder / f"{name}.npz", _KEPT, "round of Private Evolution", "synthesize")
        if {key: about.get(key) for key in self._about} != self._about or about.get("name") != name:
            raise DataError(
                f"the folder {str(self._folder)!r} holds rounds of a release with other parameters, classes, seed or "
                "noise; go on with those, or take a new folder (and a new charge)"
            )
        return arrays

    def _write(self, name: str, arrays: dict[str, NDArray[Any]]) -> None:
        if self._folder is None:
            return
        odd = sorted({str(array.dtype) for array in arrays.values() if array.dtype.hasobject})
        if odd:
            raise DataError("candidates that are Python objects cannot be kept in a folder; make them numbers or texts")
        self._folder.mkdir(parents=True, exist_ok=True)
        write_sealed(self._folder / f"{name}.npz", _KEPT, {**self._about, "name": name}, arrays)


# -- parameters ----------------------------------------------------------------------------------------------------


def _histograms(evolution: PrivateEvolution, events: Sequence[Event]) -> Fraction:
    """The noise scale on votes, once the events are found to be those of this synthesizer."""
    kinds = [DisjointCounts, Histograms] if evolution.counted else [Histograms]
    if [type(event) for event in events] != kinds:
        raise MethodError(f"these are not the events of this synthesizer: {', '.join(k.__name__ for k in kinds)}")
    last = events[-1]
    if not isinstance(last, Histograms) or (last.votes, last.rounds) != (evolution.votes_a_row, evolution.rounds):
        raise MethodError(
            f"the events are of other numbers of votes or rounds than {evolution.votes_a_row} and {evolution.rounds}"
        )
    return last.sigma


def _laplace_scale(evolution: PrivateEvolution, events: Sequence[Event]) -> Fraction | None:
    return next((event.scale for event in events if isinstance(event, DisjointCounts)), None)


def _checked_fractions(given: Any) -> str | tuple[float, ...]:
    if isinstance(given, str):
        if given not in ("noised", "uniform"):
            raise MethodError(f"fractions must be 'noised', 'uniform' or numbers, not {given!r}")
        return given
    fractions = tuple(float(share) for share in given)
    if not (all(0 <= share < math.inf for share in fractions) and sum(fractions) > 0):
        raise MethodError("fractions are 0 or more for every class, and not all 0")
    return fractions


def _check_whole(name: str, number: object, least: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= _MOST:
        raise MethodError(f"{name} must be a whole number from {least} to {_MOST:,}, not {number!r}")
