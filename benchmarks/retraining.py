"""Values by retraining: coalitions a second against pyDVL and bare refitting, and whether they are the same ones."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Finding, Pace, Section, Task, interleave, say
from benchmarks.peers import PYTHON
from benchmarks.workloads import Problem, overlapping
from dataworth import DataBanzhaf, DataShapley, Points, value_points
from dataworth.kernels.sampling import Orders, Plan
from dataworth.kernels.strata import Strata
from dataworth.valuation.learners import Learner
from dataworth.valuation.row_games import RowGame

__all__ = ["Peer", "coalitions", "distinct_fits", "measure", "planes"]

Members = NDArray[np.bool_]
Method = DataShapley | DataBanzhaf

_POINTS = 200
_STRICT: dict[str, Any] = {"tol": 1e-10, "max_iter": 10_000}
_MINUTES = 15.0
_TEXT = f"""Coalitions are judged by training a model on them: `LogisticRegression()` with scikit-learn's defaults,
accuracy on {_POINTS} validation points. Rows are made up by the law of the data set 2dplanes (10 features, two
classes), or normal with 48 features. *pyDVL* is version 0.10 in its own environment, with 2 jobs and no cache:
`MSRBanzhafValuation`, and `ShapleyValuation` with its `PermutationSampler`, no truncation. Ours is `value_points` with
2 workers: `DataBanzhaf`, and `DataShapley` with `sampling="permutations"`.

Counted are coalitions with different members to which a model is fitted, on pyDVL's side by its utility in whatever
process; those that it judged but that were in no value yet when it stopped count too (*judged*; the others are *used*).
A rate is the coalitions between a short and a long run over the seconds between them, so processes that start, imports
and compilation count on neither side; *start to end* is our long run with all of it. pyDVL adds a sample's utility to
every value in the main process, one value at a time, which for maximum sample reuse takes longer than the models do; so
ours is also held against *its utility alone*: twice what one process judges when it does nothing else, more than any
sampler can reach with 2 jobs. *Bare refitting* is scikit-learn's clone, fit and score in a loop, one process.

The {_MINUTES:.0f} minutes are those that 10,000 coalitions of 2,000 rows should not exceed. *A coalition* in the last
table is the mean over a sequence, one process: random coalitions of about half of the rows, and orders of arrival in
which rows join one by one; beside it the same coalitions refitted bare."""


def measure(*, quick: bool) -> Section:
    pace = Pace(5 if quick else 20, 1 if quick else 3, 5)
    findings = [*_throughput(pace, quick), *_equality(quick), *_many_rows(pace, quick), *_paths(quick)]
    return Section("retraining", "Values by retraining", _TEXT, findings)


def planes(n: int, m: int, *, flipped: float = 0.0, seed: int = 0) -> Problem:
    """The law of 2dplanes (Breiman et al., Classification and Regression Trees, 1984), classes by the target's sign.

    The first feature is -1 or 1 and says which of two planes in three of the nine others, each -1, 0 or 1, the target
    lies on, but for standard normal noise.

    Args:
        n: Training rows.
        m: Validation points.
        flipped: The share of training rows, the first ones, that get the other label.
        seed: Of everything.
    """
    rng = np.random.default_rng(seed)
    x = rng.integers(-1, 2, (n + m, 10)).astype(np.float64)
    x[:, 0] = rng.choice([-1.0, 1.0], n + m)
    above = 3 + 3 * x[:, 1] + 2 * x[:, 2] + x[:, 3]
    below = -3 + 3 * x[:, 4] + 2 * x[:, 5] + x[:, 6]
    y = (np.where(x[:, 0] > 0, above, below) + rng.standard_normal(n + m) > 0).astype(np.int64)
    y[: round(flipped * n)] ^= 1
    return Problem(Points(x[:n], y[:n]), Points(x[n:], y[n:]), 2)


# -- coalitions a second --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Contest:
    """The same value asked of both sides, in a short run and a long one."""

    name: str
    ours: Callable[[int], Method]
    plan: Plan
    fits: tuple[int, int]
    sampler: Literal["msr", "permutations"]
    batches: tuple[int, int]


def _throughput(pace: Pace, quick: bool) -> list[Finding]:
    from sklearn.linear_model import LogisticRegression

    n = 500
    problem = planes(n, _POINTS)
    group = f"{n} rows, 2 processes"
    contests = [
        _Contest(
            "Banzhaf",
            lambda fits: DataBanzhaf(LogisticRegression(), fits=fits),
            Strata(n, "banzhaf"),
            (1_280, 6_400) if quick else (48_000, 112_000),
            "msr",
            (4, 40) if quick else (8, 40),
        ),
        _Contest(
            "Shapley",
            lambda fits: DataShapley(LogisticRegression(), fits=fits, sampling="permutations"),
            Orders(n, antithetic=False),
            (2_000, 10_000) if quick else (80_000, 200_000),
            "permutations",
            (1, 7) if quick else (2, 10),
        ),
    ]
    found: list[Finding] = []
    with Peer(problem) as peer:
        for contest in contests:
            say(f"  {contest.name}, {group}")
            found += _contest(contest, problem, peer, pace, group)
    return found


def _contest(contest: _Contest, problem: Problem, peer: Peer, pace: Pace, group: str) -> list[Finding]:
    runs = _Runs({}, {})
    distinct: dict[int, int] = {}  # by draws: the same in every round

    def ours(name: str, fits: int) -> Task:
        method = contest.ours(fits)

        def task() -> float:
            began = time.perf_counter()
            values = value_points(problem.train, problem.validation, method=method, threads=2, progress=False)
            seconds = time.perf_counter() - began
            draws = int(values.provenance["draws"])
            if draws not in distinct:
                distinct[draws] = distinct_fits(contest.plan, draws, problem.train.y)
            return runs.ended(name, seconds, distinct[draws])

        return task

    def theirs(name: str, batches: int) -> Task:
        def task() -> float:
            told = peer.ask("race", sampler=contest.sampler, batches=batches, batch=1, jobs=2, seed=batches)
            return runs.ended(name, float(told["seconds"]), int(told["distinct"]))

        return task

    halves = np.random.default_rng(0).random((100, len(problem.train))) < 0.5
    rounds = interleave(
        {
            "ours short": ours("ours short", contest.fits[0]),
            "ours long": ours("ours long", contest.fits[1]),
            "pyDVL short": theirs("pyDVL short", contest.batches[0]),
            "pyDVL long": theirs("pyDVL long", contest.batches[1]),
            "utility": lambda: float(peer.utilities(halves)[1]),
            "bare": lambda: _bare(problem, halves),
        },
        pace,
    )
    our_rates, their_rates = runs.rates("ours"), runs.rates("pyDVL")
    whole = [
        count / seconds for count, seconds in zip(runs.fitted["ours long"], runs.seconds["ours long"], strict=True)
    ]
    alone = [2 * len(halves) / seconds for seconds in rounds.of("utility")]
    bare = [len(halves) / seconds for seconds in rounds.of("bare")]
    a_batch = 1 if contest.sampler == "msr" else len(problem.train)
    used = [a_batch * (contest.batches[1] - contest.batches[0]) / seconds for seconds in runs.longer("pyDVL")]
    per = {"unit": "a second", "group": f"{contest.name}, {group}"}
    goal = {"sign": ">=", "goal": 5.0, "group": per["group"]}
    note = f"the long run judged {runs.fitted['pyDVL long'][-1]:,} and used {a_batch * contest.batches[1]:,}"
    return [
        Finding.of("Ours", our_rates, **per),
        Finding.of("Ours, start to end", whole[1:], note=f"{runs.fitted['ours long'][-1]:,} coalitions", **per),
        Finding.of("pyDVL, judged", their_rates, note=note, **per),
        Finding.of("pyDVL, used", used, **per),
        Finding.of("Its utility alone, twice one process", alone, **per),
        Finding.of("Bare refitting, 1 process", bare, **per),
        Finding.of("Ours over pyDVL, judged", _over(our_rates, their_rates), **goal),
        Finding.of("Ours over its utility alone", _over(our_rates, alone), **goal),
        Finding.of("Ours, start to end, over its utility alone", _over(whole[1:], alone), group=per["group"]),
    ]


@dataclass(frozen=True)
class _Runs:
    """Seconds and fits of short and long runs, the first of each the warm-up."""

    seconds: dict[str, list[float]]
    fitted: dict[str, list[int]]

    def ended(self, name: str, seconds: float, fits: int) -> float:
        """A run ended; its seconds."""
        self.seconds.setdefault(name, []).append(seconds)
        self.fitted.setdefault(name, []).append(fits)
        return seconds

    def longer(self, side: str) -> list[float]:
        """How many seconds each long run took more than a short one mostly does."""
        more = [seconds - median(self.seconds[f"{side} short"][1:]) for seconds in self.seconds[f"{side} long"][1:]]
        if min(more) <= 0:
            raise RuntimeError(f"a long run of {side} took no longer than a short one: the machine is too busy to tell")
        return more

    def rates(self, side: str) -> list[float]:
        """Fits a second between a short run and each long one."""
        more = [fits - median(self.fitted[f"{side} short"][1:]) for fits in self.fitted[f"{side} long"][1:]]
        return _over(more, self.longer(side))


def _over(rates: Sequence[float], base: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(rates, base, strict=True)]


def distinct_fits(plan: Plan, draws: int, y: NDArray[Any]) -> int:
    """How many coalitions with different members and at least two classes a plan's first draws hold."""
    first = y == y[0]
    seen = set()
    for number in range(draws):
        for members in coalitions(plan, number):
            if (members & first).any() and (members & ~first).any():
                seen.add(hashlib.blake2b(np.packbits(members).data, digest_size=8).digest())
    return len(seen)


def coalitions(plan: Plan, number: int) -> Iterable[Members]:
    """Who is in each coalition of a draw, ``(n,)``; the same array each time, to be looked at at once."""
    members = np.zeros(plan.n, dtype=np.bool_)
    for walk in plan.walks(number):
        members[:] = False
        for joins, leaves in walk:
            members[joins], members[leaves] = True, False
            yield members


def _bare(problem: Problem, members: Members, model: Any = None) -> float:
    """Seconds that scikit-learn takes for these coalitions, one after another."""
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression

    chosen = LogisticRegression() if model is None else model
    x, y = problem.train.x.astype(np.float64), problem.train.y
    points, labels = problem.validation.x.astype(np.float64), problem.validation.y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with one row
        began = time.perf_counter()
        for row in members:
            clone(chosen).fit(x[row], y[row]).score(points, labels)
        return time.perf_counter() - began


# -- the same utilities ---------------------------------------------------------------------------


def _equality(quick: bool) -> list[Finding]:
    """Utilities of the same coalitions on both sides."""
    from sklearn.linear_model import LogisticRegression

    n, count = (100, 20) if quick else (500, 100)
    problem = planes(n, _POINTS)
    say(f"  utilities of {count} coalitions")
    rng = np.random.default_rng(1)
    members = np.array([rng.random(n) < rng.uniform(0.02, 1.0) for _ in range(count)])
    group = f"Utilities of {count} random coalitions of 2% to 100% of {n} rows: ours less pyDVL's"
    found = []
    with Peer(problem) as peer:
        for settings in (_STRICT, {}):
            learner = RowGame.of(problem.train, problem.validation, LogisticRegression(**settings)).learner()
            ours = np.array([_judge(learner, row) for row in members])
            gaps = np.abs(ours - peer.utilities(members, settings)[0])
            what = ", ".join(f"{name}={value:g}" for name, value in settings.items()) or "defaults"
            note = f"{np.count_nonzero(gaps > 1e-6)} of {count} differ by more than 1e-6"
            about = {"goal": 1e-6} if settings else {}
            found.append(Finding.of(f"Greatest, {what}", [float(gaps.max())], unit="", group=group, note=note, **about))
    return found


def _judge(learner: Learner, members: Members) -> float:
    learner.clear()
    learner.join(np.flatnonzero(members))
    return learner.score()


# -- many rows ------------------------------------------------------------------------------------


def _many_rows(pace: Pace, quick: bool) -> list[Finding]:
    from sklearn.linear_model import LogisticRegression

    n, m, fits, some = (300, 100, 1_000, 20) if quick else (2_000, 500, 10_000, 200)
    found = []
    for law, problem in (("the law of 2dplanes", planes(n, m)), ("normal classes", overlapping(n, m, 48))):
        say(f"  {fits:,} coalitions of {problem.shape}")
        methods: dict[str, tuple[Method, Plan]] = {
            "DataShapley": (DataShapley(LogisticRegression(), fits=fits), Strata(n)),
            "DataBanzhaf": (DataBanzhaf(LogisticRegression(), fits=fits), Strata(n, "banzhaf")),
        }
        tasks: dict[str, Task] = {}
        for name, (method, plan) in methods.items():
            tasks[name] = lambda method=method, problem=problem: _valued(problem, method)  # type: ignore[misc]
            members = _fitted_members(plan, problem.train.y, some)
            tasks[f"bare {name}"] = (
                lambda problem=problem, members=members: _bare(problem, members) * fits / some  # type: ignore[misc]
            )
        rounds = interleave(tasks, pace)
        group = f"{fits:,} coalitions, {problem.shape}, {law}, 2 workers"
        for name in methods:
            goal = {} if quick else {"goal": 60 * _MINUTES}
            found += [
                Finding.of(f"{name}, start to end", rounds.of(name), unit="s", group=group, **goal),
                Finding.of(
                    f"Bare refitting, 1 process, over {name}", rounds.ratio(f"bare {name}", name), group=group,
                    note=f"by {some} of the coalitions",
                ),
            ]  # fmt: skip
    return found


def _valued(problem: Problem, method: Method) -> float:
    began = time.perf_counter()
    value_points(problem.train, problem.validation, method=method, threads=2, progress=False)
    return time.perf_counter() - began


def _fitted_members(plan: Plan, y: NDArray[Any], count: int) -> Members:
    """The first coalitions of a plan with at least two classes."""
    every = (row.copy() for number in range(count) for row in coalitions(plan, number))
    return np.array(list(islice((row for row in every if np.unique(y[row]).size > 1), count)))


# -- models that follow ---------------------------------------------------------------------------


def _paths(quick: bool) -> list[Finding]:
    """A coalition's time by each way to follow it."""
    from sklearn.linear_model import LogisticRegression, RidgeClassifier
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

    n = 100 if quick else 500
    problem = planes(n, _POINTS)
    plans: dict[str, tuple[Plan, int]] = {
        "random halves": (Strata(n, "banzhaf"), 2 if quick else 20),
        "arrivals": (Orders(n, antithetic=False), 1 if quick else 4),
    }
    found = []
    for model in (
        LogisticRegression(),
        RidgeClassifier(),
        NearestCentroid(),
        GaussianNB(),
        KNeighborsClassifier(1),
    ):
        told = repr(model)
        say(f"  {told}")
        learner = RowGame.of(problem.train, problem.validation, model).learner()
        for what, (plan, draws) in plans.items():
            count = sum(1 for number in range(draws) for _ in coalitions(plan, number))
            spread = _spread_members(plan, problem.train.y, 20 if quick else 50)
            tasks: dict[str, Task] = {
                "follow": lambda learner=learner, plan=plan, draws=draws: _follow(learner, plan, draws),  # type: ignore[misc]
                "bare": lambda spread=spread, model=model: _bare(problem, spread, model),  # type: ignore[misc]
            }
            rounds = interleave(tasks, Pace(2, 2 if quick else 5, 9))
            ours = [1e6 * seconds / count for seconds in rounds.of("follow")]
            bare = [1e6 * seconds / len(spread) for seconds in rounds.of("bare")]
            group = f"A coalition of {n} rows, 1 process"
            note = f"refitting is {np.median(_over(bare, ours)):,.0f} times that: {np.median(bare):,.0f} microseconds"
            found.append(Finding.of(f"{told}, {what}", ours, unit="microseconds", group=group, note=note))
    return found


def _follow(learner: Learner, plan: Plan, draws: int) -> float:
    """Seconds to judge a plan's first draws."""
    walks = [walk for number in range(draws) for walk in plan.walks(number)]
    began = time.perf_counter()
    for walk in walks:
        learner.clear()
        for joins, leaves in walk:
            learner.join(joins)
            learner.leave(leaves)
            learner.score()
    return time.perf_counter() - began


def _spread_members(plan: Plan, y: NDArray[Any], count: int) -> Members:
    """Coalitions of a plan's first draw with at least two classes, evenly spaced."""
    every = [row.copy() for row in coalitions(plan, 0) if np.unique(y[row]).size > 1]
    return np.array([every[at] for at in np.linspace(0, len(every) - 1, count).round().astype(int)])


# -- the peer -------------------------------------------------------------------------------------


class Peer:
    """A process of the peers' Python that has read a problem's rows and answers questions about them."""

    def __init__(self, problem: Problem) -> None:
        self._n = len(problem.train)
        self._folder = tempfile.TemporaryDirectory()
        arrays = Path(self._folder.name) / "problem.npz"
        np.savez(
            arrays,
            x=problem.train.x.astype(np.float64),
            y=problem.train.y,
            points=problem.validation.x.astype(np.float64),
            labels=problem.validation.y,
        )
        lone = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        self._process = subprocess.Popen(
            [PYTHON, Path(__file__).with_name("retraining_peer.py"), arrays],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **lone, "PYTHONWARNINGS": "ignore"},  # joblib's workers inherit it
        )
        self._answer(None)

    def ask(self, do: str, game: RowGame | None = None, **about: Any) -> dict[str, Any]:
        """The answer to one command; utilities that it asks for on the way are the game's."""
        self._write(json.dumps({"do": do, **about}).encode() + b"\n")
        return self._answer(game)

    def utilities(self, members: Members, settings: dict[str, Any] | None = None) -> tuple[NDArray[np.float64], float]:
        """Utilities of coalitions ``(k, n)``, and the seconds that took one process."""
        file = Path(self._folder.name) / "coalitions.npy"
        np.save(file, members)
        told = self.ask("utilities", coalitions=str(file), settings=settings or {})
        return np.array(told["utilities"]), float(told["seconds"])

    def _answer(self, game: RowGame | None) -> dict[str, Any]:
        learner = None if game is None else game.learner()
        members = np.zeros(self._n, dtype=np.bool_)
        while self._read(1) == b"?":
            if learner is None:
                raise RuntimeError("the peer asked for a utility, but there is no game to look it up in")
            asked = np.unpackbits(np.frombuffer(self._read(-(-self._n // 8)), dtype=np.uint8), count=self._n) > 0
            learner.join(np.flatnonzero(asked & ~members))
            learner.leave(np.flatnonzero(members & ~asked))
            members = asked
            self._write(struct.pack("<d", learner.score()))
        if self._process.stdout is None:
            raise RuntimeError("the peer was started without a way to hear it")
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told

    def _write(self, data: bytes) -> None:
        if self._process.stdin is None:
            raise RuntimeError("the peer was started without a way to talk to it")
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def _read(self, size: int) -> bytes:
        data = self._process.stdout.read(size) if self._process.stdout else b""
        if len(data) < size:
            raise RuntimeError("the pyDVL process ended without an answer; its error is above")
        return data

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=60)
        self._folder.cleanup()
