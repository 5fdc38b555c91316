"""What ``dataworth points`` does for methods that train a model again and again: models by name, limits, stops."""

from __future__ import annotations

import logging
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from dataworth.cli.methods import RETRAINING, Method
from dataworth.cli.output import make_folder
from dataworth.errors import DataworthWarning, InputError, MethodError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dataworth.records import Values

__all__ = ["Model", "Players", "Retraining", "Sampling", "build_model", "facts_json", "facts_text", "parse_time"]


_TERMINATED = 128 + 15  # what a shell reports of a process that was asked to end
_FEW_VALUES = 10  # of labels that may be classes


class Model(StrEnum):
    """The models by the names they have on the command line; the library takes any of scikit-learn."""

    LOGISTIC_REGRESSION = "logistic-regression"
    RIDGE = "ridge"
    NEAREST_CENTROID = "nearest-centroid"
    NAIVE_BAYES = "naive-bayes"
    KNN = "knn"
    DECISION_TREE = "decision-tree"
    RANDOM_FOREST = "random-forest"
    GRADIENT_BOOSTING = "gradient-boosting"
    LINEAR_REGRESSION = "linear-regression"
    RIDGE_REGRESSION = "ridge-regression"

    @property
    def predicts_numbers(self) -> bool:
        """Whether labels are numbers to it, not classes."""
        return self in (Model.LINEAR_REGRESSION, Model.RIDGE_REGRESSION)


class Players(StrEnum):
    """Who comes and goes."""

    ROWS = "rows"
    OWNERS = "owners"


class Sampling(StrEnum):
    """How coalitions are drawn."""

    STRATIFIED = "stratified"
    PERMUTATIONS = "permutations"
    ANTITHETIC = "antithetic"


@dataclass(frozen=True)
class Retraining:
    """The options of methods that train models as they were given, None (or False) where they were not."""

    method: Method
    model: Model | None
    scoring: str | None
    players: Players | None
    fits: int | None
    target_error: float | None
    time: str | None
    sampling: Sampling | None
    truncation: float | None
    alpha: float | None
    beta: float | None
    exact: bool | None
    seed: int | None
    work: Path | None
    resume: bool

    @property
    def of_owners(self) -> bool:
        """Whether owners are valued, not rows."""
        return self.players is Players.OWNERS

    def check(self, about_rows: Mapping[str, bool]) -> None:
        """Refuse, before anything is read, what does not go together.

        Args:
            about_rows: Options that look at single rows, with whether they were given; ``--bad`` is also what keeps
                a column out of the features, and may stay.

        Raises:
            InputError: The message names the option and says what would be right.
        """
        if self.method in RETRAINING and self.model is None:
            raise MethodError(f"--method {self.method} trains a model; name it with --model: {', '.join(Model)}")
        if self.method in RETRAINING and self.scoring is not None:
            from sklearn.metrics import get_scorer_names

            if self.scoring not in get_scorer_names():
                raise MethodError(
                    f"--scoring {self.scoring!r} is no scorer of scikit-learn, such as accuracy, balanced_accuracy, "
                    "roc_auc or, for numbers, r2"
                )
        for option, given in about_rows.items():
            if given and self.of_owners and option != "--bad":
                raise InputError(f"{option} is about rows, but --players owners values owners; leave it out")
        drawn = {"fits": self.fits, "target-error": self.target_error, "sampling": self.sampling}
        for option, value in {**drawn, "truncation": self.truncation}.items():
            if self.exact and value is not None:
                raise MethodError(f"--exact tries all coalitions and draws none, so --{option} means nothing to it")
        if self.truncation is not None and self.sampling in (None, Sampling.STRATIFIED):
            raise MethodError(
                "--truncation is for orders of arrival; give --sampling permutations or --sampling antithetic with it"
            )
        if self.resume and self.work is None:
            raise InputError("--resume goes on with what --work FOLDER kept; give --work too")

    def open_work(self) -> None:
        """Make the folder of work; one with draws of another day is gone on with only if that was said.

        Raises:
            InputError: It holds draws and ``--resume`` was not given, or it cannot be written to.
        """
        if self.work is None:
            return
        if not self.resume and any(self.work.glob("draws-*.npz")):
            raise InputError(
                f"--work {str(self.work)!r} holds draws of an earlier run; go on with them by --resume, or name "
                "another folder"
            )
        make_folder(self.work, "--work")

    def kept(self) -> list[str]:
        """What is left if nothing can be written, in words."""
        again = "" if self.resume else " with --resume"
        return (
            [] if self.work is None else [f"all draws are in {str(self.work)!r}, and the same command{again} goes on"]
        )

    def options(self) -> dict[str, object | None]:
        """The parameters they set, by name; None where nothing was given.

        Raises:
            MethodError: A time that is none.
        """
        return {
            "model": self.model and build_model(self.model),
            "scoring": self.scoring,
            "players": self.players,
            "fits": self.fits,
            "target_error": self.target_error,
            "seconds": None if self.time is None else parse_time(self.time),
            "sampling": self.sampling and self.sampling.value,
            "truncation": self.truncation,
            "alpha": self.alpha,
            "beta": self.beta,
            "exact": self.exact,
            "seed": self.seed,
            "work": self.work,
            "resume": self.resume or None,
        }

    def warn(self, y: NDArray[Any]) -> None:
        """Warn where labels that may be classes are treated as numbers.

        Args:
            y: Of the rows to value, ``(n,)``.
        """
        import numpy as np

        if self.model is None:
            return
        if self.model.predicts_numbers:
            values = np.unique(y)
            whole = values.dtype.kind in "biu" or (values.dtype.kind == "f" and bool((values % 1 == 0).all()))
            if whole and values.size <= _FEW_VALUES:
                warnings.warn(
                    f"labels are treated as numbers by --model {self.model}; there are only {values.size} different "
                    "ones, and if they are classes, a classifier such as --model ridge is right",
                    DataworthWarning,
                    stacklevel=2,
                )
        elif self.scoring is not None and re.search(
            r"^(r2|explained_variance|d2_absolute.*|.*_(error|deviance))$", self.scoring
        ):
            warnings.warn(
                f"labels are treated as numbers by --scoring {self.scoring}, but --model {self.model} tells classes; "
                "accuracy, balanced_accuracy or roc_auc judge those",
                DataworthWarning,
                stacklevel=2,
            )

    @contextmanager
    def told_how_to_go_on(self) -> Iterator[None]:
        """Whoever stops a run by Ctrl-C or SIGTERM is told what became of it; and how long it will take, in a log."""
        if self.method not in RETRAINING:
            yield
            return
        try:
            with _orderly_end(), _time_left_told():
                yield
        except (KeyboardInterrupt, _Terminated) as stop:
            again = "go on with the same command" + ("" if self.resume else " and --resume")
            lost = "nothing was kept; with --work FOLDER a run can be stopped and gone on with"
            print(f"dataworth: stopped; {lost if self.work is None else again}", file=sys.stderr)
            if isinstance(stop, _Terminated):
                raise SystemExit(_TERMINATED) from None
            raise


class _Terminated(BaseException):
    """SIGTERM came: work ends as by Ctrl-C, and what was found is kept."""


@contextmanager
def _orderly_end() -> Iterator[None]:
    """While it lasts, SIGTERM ends the work in order; further ones change nothing, for they come in twos."""
    if threading.current_thread() is not threading.main_thread():  # no other may say what a signal does
        yield
        return

    def end(number: int, frame: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Lines(logging.Handler):
    """Lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"dataworth: {record.getMessage()}", file=sys.stderr)


@contextmanager
def _time_left_told() -> Iterator[None]:
    """While it lasts, one line says what is left once the speed is known, where no bar is drawn."""
    if sys.stderr.isatty():
        yield
        return
    log, lines = logging.getLogger("dataworth.valuation.retraining"), _Lines()
    before = log.level
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(before)
        log.removeHandler(lines)


def parse_time(text: str) -> float:
    """Seconds of a time such as ``90``, ``90s``, ``30m`` or ``1.5h``.

    Raises:
        MethodError: No time, or none at all.

    Example:
        >>> parse_time("90"), parse_time("30m"), parse_time("1.5h")
        (90.0, 1800.0, 5400.0)
    """
    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([smh]?)\s*", text, re.ASCII | re.IGNORECASE)
    seconds = 0.0 if found is None else float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2].lower()]
    if seconds == 0.0:
        raise MethodError(f"--time must be a time above 0 such as 90s, 30m or 2h, not {text!r}")
    return seconds


def build_model(name: Model) -> Any:
    """The scikit-learn estimator of that name; features are brought to one scale where it matters."""
    from sklearn import ensemble, linear_model, naive_bayes, neighbors, tree
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    made: dict[Model, Callable[[], Any]] = {
        Model.LOGISTIC_REGRESSION: lambda: make_pipeline(
            StandardScaler(), linear_model.LogisticRegression(max_iter=1000)
        ),
        Model.RIDGE: lambda: make_pipeline(StandardScaler(), linear_model.RidgeClassifier()),
        Model.NEAREST_CENTROID: neighbors.NearestCentroid,
        Model.NAIVE_BAYES: naive_bayes.GaussianNB,
        Model.KNN: neighbors.KNeighborsClassifier,
        Model.DECISION_TREE: tree.DecisionTreeClassifier,
        Model.RANDOM_FOREST: ensemble.RandomForestClassifier,
        Model.GRADIENT_BOOSTING: ensemble.HistGradientBoostingClassifier,
        Model.LINEAR_REGRESSION: linear_model.LinearRegression,
        Model.RIDGE_REGRESSION: lambda: make_pipeline(StandardScaler(), linear_model.Ridge()),
    }
    return made[name]()


# -- what is printed of them ----------------------------------------------------------------------


def facts_text(values: Values, *, resumed: bool = False) -> list[str]:
    """How these values were found and how far they can be believed; nothing for values of a closed form."""
    from dataworth.report.precision import below_beyond_errors, cautions, mean_error

    facts: Mapping[str, Any] = values.provenance
    if "path" not in facts or values.errors is None:
        return []
    thing = "owners" if facts["players"] == "owners" else "rows"
    error, below = mean_error(values), below_beyond_errors(values)
    lines = [
        f"score {facts['score of everybody']:.6g} with everybody, {facts['score of nobody']:.6g} with nobody",
        f"path: {facts['path']}",
        f"{facts['coalitions']:,} coalitions ({facts['plan']}); ended because {facts['ended']}",
    ]
    if resumed:
        kept, used = facts["draws kept before"], facts["draws"]
        went_on = f"went on from {kept:,} draws kept before"
        lines.append(
            (went_on if kept <= used else f"took {used:,} of {kept:,} draws kept before")
            if kept
            else "note: nothing was kept of this very run (rows, model, scoring, seed and sampling): it began anew"
        )
    if not error:
        below_zero = int((values.values < 0).sum())
        lines.append(f"no standard error: nothing was sampled; {below_zero:,} of {len(values):,} {thing} below zero")
    else:
        beyond = f"{below:,} of {len(values):,} {thing} below zero by more than two standard errors"
        lines.append(f"mean standard error {error:.3g}; {beyond}")
    target = facts.get("target error")
    if error and target is not None and error > target:
        lines.append(f"note: the target error of {target:g} was not reached; allow more fits or time")
    return [*lines, *(f"note: {said}; allow more fits or time" for said in cautions(values))]


def facts_json(values: Values) -> dict[str, Any]:
    """The same for machines; None throughout for values of a closed form."""
    from dataworth.report.precision import below_beyond_errors, drowned, mean_error, rough

    facts = values.provenance
    known = "path" in facts and values.errors is not None
    return {
        "players": facts.get("players", "rows"),
        "path": facts.get("path"),
        "plan": facts.get("plan"),
        "coalitions": facts.get("coalitions"),
        "ended": facts.get("ended"),
        "target_error": facts.get("target error"),
        "score_of_everybody": facts.get("score of everybody"),
        "score_of_nobody": facts.get("score of nobody"),
        "mean_standard_error": mean_error(values) if known else None,
        "below_zero_by_two_errors": below_beyond_errors(values) if known else None,
        "mostly_noise": bool(drowned(values)) if known else None,
        "errors_are_rough": bool(rough(values)) if known else None,
    }
