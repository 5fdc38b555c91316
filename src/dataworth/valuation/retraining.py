"""Values by retraining: a plan's coalitions judged by a model, in any number of processes, with checkpoints."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import BrokenExecutor, Future
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError, MethodError
from dataworth.kernels.sampling import Absences, Enumeration, Estimate, Orders, Plan
from dataworth.kernels.strata import Strata
from dataworth.kernels.threshold import Beta, Semivalue
from dataworth.records import Points, Values
from dataworth.records.sealed import read_sealed, write_sealed
from dataworth.valuation.coalitions import MOST_EXACT
from dataworth.valuation.games import Labels
from dataworth.valuation.learners import Learner, lone_thread
from dataworth.valuation.provenance import provenance
from dataworth.valuation.retraining_methods import BetaShapley, DataBanzhaf, DataShapley, LeaveOneOut, RetrainingMethod
from dataworth.valuation.row_games import Players, RowGame
from dataworth.valuation.telling import check_told

__all__ = ["Solved", "solve_rows", "value_by_retraining"]

_FORMAT = "dataworth draws 2"
_SAVE_EVERY = 15.0  # seconds
_ALONE = 4.0  # seconds after which other processes are asked to help: they take about as long to start
_A_TASK = 0.25  # seconds of work that a process is asked for at a time
_ORPHANED = 60.0  # seconds without work after which a worker goes, where it cannot see that its parent was killed
_LOOK_UP = 1.0  # seconds between two looks at whether the parent is there
_SPEED_AFTER = 10.0  # seconds of work after which its speed is known
_LOOK_EVERY = 1.25  # the error is looked at when there are so many times the draws of the last look

_LOG = logging.getLogger(__name__)


def value_by_retraining(
    train: Points,
    validation: Points,
    method: RetrainingMethod,
    *,
    players: Players,
    classes: Labels | None,
    workers: int,
    folder: str | os.PathLike[str] | None,
    progress: bool | None,
) -> Values:
    """What :func:`dataworth.value_points` does for methods that train a model again and again; see there."""
    began = time.perf_counter()
    game = RowGame.of(
        train, validation, method.model, scoring=method.scoring, seed=method.seed, players=players, classes=classes
    )
    found = solve_rows(game, method, workers=workers, folder=folder, progress=progress)
    facts = provenance(len(train), train.x.shape[1], game.n_classes, "float64", workers, began)
    return Values(
        ids=game.names,
        values=found.estimate.values,
        errors=found.estimate.errors,
        owners=train.owners if players == "rows" else None,
        method=repr(method),
        n_validation=len(validation),
        provenance={**facts, "players": players, "path": game.how, **found.facts()},
    )


@dataclass(frozen=True, eq=False)
class Solved:
    """The values of a game's players, and what they took.

    Args:
        estimate: Values and standard errors.
        floor: The utility of nobody.
        full: The utility of everybody.
        draws: How many draws of the plan were used.
        judged: How many coalitions were judged in them.
        plan: What was drawn, in words.
        ended: Why there are no more.
        kept: How many draws an earlier run had kept.
        target: The mean standard error that was asked for, if one was.
    """

    estimate: Estimate
    floor: float
    full: float
    draws: int
    judged: int
    plan: str
    ended: str
    kept: int
    target: float | None

    def facts(self) -> dict[str, str | int | float]:
        """For the provenance of values."""
        return {
            "plan": self.plan,
            "draws": self.draws,
            "coalitions": self.judged,
            "ended": self.ended,
            "draws kept before": self.kept,
            "score of everybody": self.full,
            "score of nobody": self.floor,
            **({} if self.target is None else {"target error": float(self.target)}),
        }


def solve_rows(
    game: RowGame,
    method: RetrainingMethod,
    *,
    workers: int = 1,
    folder: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> Solved:
    """Judge coalitions until a limit of the method is met.

    Draws are independent of each other and are used in their order, so the result is the same for any number of
    workers and after any number of stops, but for a limit on seconds.

    Args:
        game: Who plays, and how a coalition is judged.
        method: What value is asked for, and the limits.
        workers: Processes that judge.
        folder: Where what was found is kept, about every 15 seconds and at the end; a later run goes on from there.
            The file is named by a digest of everything that utilities and draws depend on.
        progress: Show a progress bar with the time left; None shows it on a terminal only. Once the speed is known,
            the time left is logged too, at level INFO.

    Raises:
        MethodError: ``fits`` that do not suffice for one draw, ``exact=True`` for too many players, or a model that
            fails; the message names the coalition.
        DataError: A kept file that is damaged.

    Example:
        >>> import dataworth as dw
        >>> from sklearn.neighbors import NearestCentroid
        >>> points = dw.Points([[0.0], [2.0], [3.0]], ["a", "b", "b"])
        >>> solve_rows(RowGame.of(points, points, NearestCentroid()), dw.LeaveOneOut(NearestCentroid())).full
        1.0
    """
    plan, words = _plan(game.n, method)
    arrivals = isinstance(plan, Orders) and isinstance(method, DataShapley | BetaShapley)
    truncation = method.truncation if arrivals else None  # type: ignore[union-attr]
    limits = _Limits.of(method, plan)
    kept = _Kept.open(folder, game, f"{plan!r} truncation={truncation!r}")
    job = _Job(game, plan, kept.full, truncation)
    return kept.run(job, limits, workers, words, progress)


# -- what is to be drawn --------------------------------------------------------------------------


def _plan(n: int, method: RetrainingMethod) -> tuple[Plan, str]:
    """The coalitions that a method asks for, and the same in words."""
    if isinstance(method, LeaveOneOut):
        return Absences(n), "the whole set without each player in turn"
    semivalue = _semivalue(method)
    if method.exact and n > MOST_EXACT:
        raise MethodError(
            f"exact values of {n:,} players need 2 to the {n:,} models; up to {MOST_EXACT} players are solved exactly, "
            "more by sampling (exact=False)"
        )
    fits = math.inf if method.fits is None else method.fits
    if method.exact and 2**n > fits:
        raise MethodError(f"exact values of {n} players need {2**n:,} coalitions, but fits={fits:,} allows fewer")
    every = (n <= MOST_EXACT and 2**n <= fits) if method.exact is None else method.exact
    if every or n == 1:
        return Enumeration(n, semivalue), "all coalitions"
    if isinstance(method, DataBanzhaf) or method.sampling == "stratified":
        return Strata(n, semivalue, int(method.seed)), "random coalitions by size, each of which tells of every player"
    pairs = method.sampling == "antithetic"
    return Orders(
        n, semivalue, int(method.seed), pairs
    ), f"random orders of arrival{' and their reverses' if pairs else ''}"


def _semivalue(method: DataShapley | DataBanzhaf | BetaShapley) -> Semivalue:
    match method:
        case DataShapley():
            return "shapley"
        case DataBanzhaf():
            return "banzhaf"
        case BetaShapley():
            return Beta(float(method.alpha), float(method.beta))


@dataclass(frozen=True)
class _Limits:
    """When to stop; infinite where there is no limit."""

    fits: float
    target_error: float | None
    seconds: float

    @classmethod
    def of(cls, method: RetrainingMethod, plan: Plan) -> _Limits:
        if isinstance(method, LeaveOneOut) or plan.draws is not None:  # all or nothing
            seconds = None if isinstance(method, LeaveOneOut) else method.seconds
            return cls(math.inf, None, seconds or math.inf)
        fits = math.inf if method.fits is None else method.fits
        if fits < 2 * plan.per_draw:
            raise MethodError(
                f"fits={fits:,} is less than two draws, which a standard error needs: one takes up to "
                f"{plan.per_draw:,} of them here; allow {2 * plan.per_draw:,} or more"
                + ("" if isinstance(plan, Strata) else ', or use sampling="stratified", whose draws are small')
            )
        return cls(fits, method.target_error, method.seconds or math.inf)


# -- judging --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Draw:
    """What the coalitions of one draw are worth, in their order; and how many were judged, not cut short."""

    utilities: NDArray[np.float64]
    judged: int


@dataclass(frozen=True, eq=False)
class _Job:
    """All that a worker needs."""

    game: RowGame
    plan: Plan
    full: float
    truncation: float | None

    def draw(self, number: int) -> _Draw:
        """Judge one draw."""
        learner = _learner(self.game)
        found, judged = [], 0
        for walk in self.plan.walks(number):
            learner.clear()
            near = False
            for joins, leaves in walk:
                if not near:
                    learner.join(joins)
                    learner.leave(leaves)
                    score = learner.score()
                    judged += 1
                    near = self.truncation is not None and abs(self.full - score) <= self.truncation
                found.append(score)
        return _Draw(np.array(found), judged)


class _Last(threading.local):
    """The last game's learner in this thread: making one can take longer than a draw, but threads cannot share one.

    Known by the very game, not by its digest: a game made anew may be of a model or scorer that was edited since.
    """

    game: RowGame | None = None
    learner: Learner


_LAST = _Last()


def _learner(game: RowGame) -> Learner:
    if _LAST.game is not game:
        _LAST.learner = game.learner()
        _LAST.game = game
    return _LAST.learner


def _judged(job: _Job, numbers: Iterator[int], workers: int) -> Generator[_Draw]:
    """The draws with these numbers, in their order; other processes are asked only where they save time."""
    began = time.monotonic()
    for done, number in enumerate(numbers, start=1):
        yield job.draw(number)
        if workers > 1 and (spent := time.monotonic() - began) > _ALONE:
            yield from _shared(job, numbers, workers, each=max(1, round(_A_TASK * done / spent)))


def _shared(job: _Job, numbers: Iterator[int], workers: int, each: int) -> Generator[_Draw]:
    """The draws with these numbers, in their order, ``each`` of them at a time from a worker."""
    from joblib.externals.loky import ProcessPoolExecutor

    executor = ProcessPoolExecutor(workers, timeout=_ORPHANED, initializer=_begin, initargs=(job, os.getpid()))
    waiting: deque[tuple[list[int], Future[list[_Draw]]]] = deque()
    try:
        while True:
            while len(waiting) < 2 * workers and (some := list(islice(numbers, each))):
                waiting.append((some, executor.submit(_draws, some)))
            if not waiting:
                return
            some, future = waiting.popleft()
            found = future.result()
            yield from found
            if len(found) < len(some):  # the next of them failed: asked for by itself, it says how
                waiting.appendleft((some[len(found) :], executor.submit(_draws, some[len(found) :])))
    except BrokenExecutor as broken:
        raise MethodError(
            "a worker process ended before its work was done, most often for want of memory; use fewer threads"
        ) from broken
    finally:
        # An executor that is shut down while it hands out work stumbles over it.
        patience = time.monotonic() + _LOOK_UP
        while time.monotonic() < patience and not all(one.running() or one.done() for _, one in waiting):
            time.sleep(0.005)
        # What they still work at is not needed, and might take long.
        executor.shutdown(wait=True, kill_workers=True)


_JOB: list[_Job] = []  # in a worker: the one it was made for


def _begin(job: _Job, parent: int) -> None:
    _JOB[:] = [job]
    threading.Thread(target=_leave_after, args=(parent,), daemon=True).start()


def _leave_after(parent: int) -> None:
    """End this process soon after the one that asked for it was killed: nobody waits for its work any more."""
    while os.getppid() == parent:
        time.sleep(_LOOK_UP)
    os._exit(1)


def _draws(numbers: list[int]) -> list[_Draw]:
    """The draws with these numbers, up to one that fails: those before it may be all that is needed."""
    found: list[_Draw] = []
    for number in numbers:
        try:
            found.append(_JOB[0].draw(number))
        except Exception:
            if not found:
                raise
            break
    return found


# -- keeping --------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Kept:
    """The draws found so far, in memory and on disk."""

    file: Path | None
    about: dict[str, str]
    floor: float
    full: float
    draws: list[_Draw] = field(default_factory=list)
    seconds: float = 0.0

    @classmethod
    def open(cls, folder: str | os.PathLike[str] | None, game: RowGame, plan: str) -> _Kept:
        """What a folder holds of this game and plan, or nothing yet."""
        about = {"game": game.digest, "plan": plan}
        file = None
        if folder is not None:
            check_told([game.untold] if game.untold else [])
            _make(Path(folder))
            file = Path(folder) / f"draws-{game.digest[:12]}-{_short(plan)}.npz"
        if file is not None and file.exists():
            return cls._read(file, about, game.floor)
        learner = _learner(game)
        learner.clear()
        learner.join(np.arange(game.n))
        return cls(file, about, game.floor, learner.score())

    @classmethod
    def _read(cls, file: Path, about: dict[str, str], floor: float) -> _Kept:
        try:
            facts, arrays = read_sealed(file, _FORMAT, "file of draws", "dataworth")
        except DataError as trouble:
            what = str(trouble).rsplit(";", 1)[0]
            raise DataError(f"{what}; delete it, or name another folder") from trouble
        fits = {name: facts.get(name) for name in about} == about and set(arrays) == {"utilities", "lengths", "judged"}
        if not fits or arrays["lengths"].sum() != arrays["utilities"].size:
            raise DataError(f"{os.fspath(file)!r} holds the draws of another game; delete it or use another folder")
        parts = np.split(arrays["utilities"], np.cumsum(arrays["lengths"])[:-1]) if arrays["lengths"].size else []
        draws = [_Draw(part, judged) for part, judged in zip(parts, arrays["judged"].tolist(), strict=True)]
        return cls(file, about, floor, float(facts["full"]), draws, float(facts["seconds"]))

    def save(self) -> None:
        """Write all draws, if there is a file for them and another run has not written more meanwhile."""
        if self.file is None or self._more_are_there(self.file):
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        arrays = {
            "utilities": np.concatenate([draw.utilities for draw in self.draws] or [np.empty(0)]),
            "lengths": np.array([draw.utilities.size for draw in self.draws], dtype=np.int64),
            "judged": np.array([draw.judged for draw in self.draws], dtype=np.int64),
        }
        write_sealed(self.file, _FORMAT, {**self.about, "full": self.full, "seconds": self.seconds}, arrays)

    def _more_are_there(self, file: Path) -> bool:
        try:
            return len(self._read(file, self.about, self.floor).draws) > len(self.draws)
        except DataError:  # none there, or damaged meanwhile: ours are better
            return False

    def run(self, job: _Job, limits: _Limits, workers: int, words: str, progress: bool | None) -> Solved:
        """Use the draws there are, then make more, until a limit is met."""
        rule = _Rule(job.plan, limits, self.floor, self.full)
        stored = len(self.draws)
        for draw in self.draws:
            rule.use(draw)
            if rule.ended:
                break
        if not rule.ended:
            end = job.plan.draws
            numbers = count(stored) if end is None else iter(range(stored, end))
            pace = _Pace(rule, limits.seconds, self.seconds)
            with (
                _progress(pace, progress) as show,
                self._saved() as tick,
                closing(_judged(job, numbers, workers)) as fresh,
            ):
                while not rule.ended:
                    over = tick(limits.seconds)
                    show(self.seconds)
                    if over:
                        break
                    draw = next(fresh)
                    self.draws.append(draw)
                    rule.use(draw)
        if not rule.ended:
            if rule.used < 2 or job.plan.draws is not None:
                raise MethodError(
                    f"{limits.seconds:g} seconds were over after {rule.used} draws, too few for any value; allow more"
                    + ("" if self.file is None else ", and the run goes on from here")
                )
            rule.ended = f"{limits.seconds:g} seconds were over"
        estimate = _estimate(
            job.plan, [draw.utilities for draw in islice(self.draws, rule.used)], self.floor, self.full
        )
        return Solved(
            estimate, self.floor, self.full, rule.used, rule.judged, words, rule.ended, stored, limits.target_error
        )

    @contextmanager
    def _saved(self) -> Iterator[Callable[[float], bool]]:
        """Saves now and then, and however the work ends; told a number of seconds, says whether they are over."""
        began, before = time.monotonic(), self.seconds
        saved_at, saved = began, len(self.draws)

        def tick(limit: float) -> bool:
            nonlocal saved_at, saved
            now = time.monotonic()
            self.seconds = before + now - began
            if now - saved_at > _SAVE_EVERY and len(self.draws) > saved:
                self.save()
                saved_at, saved = now, len(self.draws)
            return self.seconds > limit

        try:
            yield tick
        finally:
            if len(self.draws) > saved:
                self.save()


def _make(folder: Path) -> None:
    """Make the folder before there is any work that could not be kept."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"folder must be a folder to keep work in, but {os.fspath(folder)!r} is a file")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as trouble:
        raise InputError(
            f"folder must be a folder to keep work in, but {os.fspath(folder)!r} cannot be made ({trouble.strerror})"
        ) from trouble


def _short(words: str) -> str:
    import hashlib

    return hashlib.blake2b(words.encode(), digest_size=6).hexdigest()


def _estimate(plan: Plan, utilities: list[NDArray[np.float64]], floor: float, full: float) -> Estimate:
    """The plan's estimate, with the same bits whatever the number of cores."""
    with lone_thread():
        return plan.estimate(utilities, floor, full)


class _Rule:
    """Uses draws in their order and says when they are enough; looks only at them, never at the clock."""

    def __init__(self, plan: Plan, limits: _Limits, floor: float, full: float) -> None:
        self._plan, self._limits, self._ends = plan, limits, (floor, full)
        self._utilities: list[NDArray[np.float64]] = []
        self._next_look = float(plan.least)
        self.judged = 0
        self.error: float | None = None
        self.ended = ""

    @property
    def used(self) -> int:
        return len(self._utilities)

    @property
    def wanted(self) -> float:
        """How many coalitions there will be by what is known now."""
        if self._plan.draws is not None:
            return self._plan.draws * self._plan.per_draw
        target = self._limits.target_error
        if self.error is None or target is None or self.error <= target:
            return self._limits.fits
        return min(self._limits.fits, self.judged * (self.error / target) ** 2)

    def use(self, draw: _Draw) -> None:
        """Take the next draw in."""
        self._utilities.append(draw.utilities)
        self.judged += draw.judged
        if self._plan.draws is not None:
            self.ended = "everything was tried" if self.used == self._plan.draws else ""
        elif self._limits.target_error is not None and self.used >= self._next_look:
            self._next_look = self.used * _LOOK_EVERY
            self.error = float(_estimate(self._plan, self._utilities, *self._ends).errors.mean())
            if self.error <= self._limits.target_error:
                self.ended = f"the mean standard error reached {self._limits.target_error:g}"
        if not self.ended and self._plan.draws is None and self.judged + self._plan.per_draw > self._limits.fits:
            fits = f"{self._limits.fits:,} fits"
            spent = self.judged == self._limits.fits
            self.ended = (
                f"{fits} were spent" if spent else f"the next draw of up to {self._plan.per_draw:,} would pass {fits}"
            )


class _Pace:
    """How fast new draws come, and what is left by that; draws kept before are no work of this run."""

    def __init__(self, rule: _Rule, limit: float, seconds: float) -> None:
        self.rule = rule
        self._limit, self._began, self.before = limit, seconds, rule.judged
        self._speed, self._seconds = 0.0, seconds

    def look(self, seconds: float) -> float:
        """Take in how many seconds of work there were in all; gives those of this run."""
        self._seconds, spent = seconds, seconds - self._began
        self._speed = (self.rule.judged - self.before) / spent if spent > 0 else 0.0
        return spent

    @property
    def wanted(self) -> float | None:
        """How many coalitions there will be in the end; None while nothing tells."""
        by_clock = self.rule.judged + self._speed * max(0.0, self._limit - self._seconds) if self._speed else math.inf
        wanted = max(self.rule.judged, min(self.rule.wanted, by_clock))
        return wanted if math.isfinite(wanted) else None

    def words(self) -> str:
        """What is left; empty while nothing tells."""
        if self.wanted is None or not self._speed:
            return ""
        left = (self.wanted - self.rule.judged) / self._speed
        time_left = f"{left:.0f} seconds" if left < 100 else f"{left / 60:.0f} minutes"
        wanted = float(f"{self.wanted:.3g}")
        return (
            f"about {wanted:,.0f} coalitions, of which {self.rule.judged:,} are done; at this speed "
            f"{time_left if left < 6000 else f'{left / 3600:.1f} hours'} more"
        )


@contextmanager
def _progress(pace: _Pace, progress: bool | None) -> Iterator[Callable[[float], None]]:
    """A bar of coalitions, with the time left and the error once it is known; told the seconds of work so far."""
    from tqdm.auto import tqdm

    hidden = None if progress is None else not progress
    rule, shown, logged = pace.rule, pace.before, False
    with tqdm(total=pace.wanted, initial=shown, desc="Coalitions", disable=hidden, leave=False, unit_scale=True) as bar:

        def show(seconds: float) -> None:
            nonlocal shown, logged
            spent = pace.look(seconds)
            bar.total = pace.wanted
            if rule.error is not None:
                bar.set_postfix_str(f"mean error {rule.error:.2g}", refresh=False)
            bar.update(rule.judged - shown)
            shown = rule.judged
            if not logged and spent > _SPEED_AFTER and pace.words():
                _LOG.info(pace.words())
                logged = True

        yield show
