"""Comparing methods: several values of the same rows, how far they agree, and what each is good for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.errors import DataError, InputError, MethodError
from dataworth.kernels.calibration import spearman
from dataworth.records import Evidence, Exhibit, Points, Table, Values
from dataworth.records.comparison import Comparison
from dataworth.records.evidence import Cell
from dataworth.valuation.curves import ADDED, REMOVED, Retraining, check_seed, lines_of, match_ids, values_of
from dataworth.valuation.experiments import (
    BEST,
    FOUND,
    INSPECTED,
    RANDOM,
    area_of,
    clusters_note,
    discovery_curve,
    noisy_label_detection,
)
from dataworth.valuation.task import bar

__all__ = ["compare_values"]

LOWEST = 0.1
LONG = 60  # characters of a method's text that are too many for a name
_TAKEN = ("", "method", "random", "chance", BEST, RANDOM)  # what names columns and lines of its own
_BASELINE = "random"

# Name of each curve: title, what its area is called, whether rows leave or come, whether the highest are first,
# whether a high line is good.
_CURVES = {
    "removal-lowest-first": ("Lowest values removed first", "lowest removed", REMOVED, False, True),
    "removal-highest-first": ("Highest values removed first", "highest removed", REMOVED, True, False),
    "addition-highest-first": ("Highest values added first", "highest added", ADDED, True, True),
    "addition-lowest-first": ("Lowest values added first", "lowest added", ADDED, False, False),
}


def compare_values(
    results: Sequence[Values] | Mapping[str, Values],
    *,
    train: Points | None = None,
    test: Points | None = None,
    model: Any = None,
    bad: ArrayLike | None = None,
    fractions: Sequence[float] | None = None,
    repeats: int = 5,
    seed: int = 0,
    progress: bool | None = None,
) -> Comparison:
    """Several methods on one data set, side by side: do they agree, and what is each good for?

    All lines of a picture share the model, its seed, the random orders, and the order in which equal values go.

    Args:
        results: Values of the same rows, matched by id, in any order: a sequence, where each is called after its
            method (where that is not enough to tell them apart, with its settings, or if they are long, with the
            class of its model; and with a number where they are still the same), or a mapping from names to
            values.
        train: The points that were valued; for curves.
        test: Points that judge the curves: other ones than those that gave the values, or the curves flatter methods
            that looked at them most.
        model: A scikit-learn classifier or pipeline, trained again and again for the curves.
        bad: Boolean mask of the rows known to be bad, in the order of ``train``, or without it, of the first result.
        fractions: Rising shares of rows that leave or come; ``0, 0.05, ..., 0.5`` if not given.
        repeats: How many random orders to average.
        seed: Seed of the random orders, of ties between equal values, and of the model.
        progress: Whether to show a progress bar while models are trained; by default only on a terminal.

    Returns:
        For :func:`dataworth.write_report`, with this evidence, each under its name:

        - ``summary``: with curves or bad rows: the figures of each method, lowest mean place first. In a curve no
          method leads another by less than random orders differ among themselves.
        - ``methods``: method, judges, and where standard errors are known, how much of the spread is noise.
        - ``spearman``, ``kendall``: rank correlations (Kendall's tau-b), None where all values are equal.
        - ``lowest-overlap``: of the lowest tenths of two methods, the rows in both divided by the rows in either. Of
          rows tied at the edge, each counts for the part of them that still belongs to the tenth.
        - ``removal-lowest-first``, ``removal-highest-first``, ``addition-highest-first``, ``addition-lowest-first``:
          with ``train``, ``test`` and ``model``: accuracy curves, one line a method.
        - ``detection``, ``discovery-curve``: with ``bad``.

    Raises:
        InputError: Fewer than two results, something other than values, a name that cannot be used, or ``bad`` is no
            mask of some but not all rows.
        DataError: The results, or they and ``train``, are not of the same rows.
        MethodError: Some but not all of ``train``, ``test`` and ``model`` were given, the seed is none, or the model
            cannot be trained.

    Example:
        >>> import dataworth as dw
        >>> ids = ["a", "b", "c", "d"]
        >>> one = dw.Values(ids, [0.1, 0.2, 0.3, 0.4], method="One()", n_validation=4)
        >>> turned = dw.Values(ids[::-1], [0.4, 0.3, 0.2, 0.1], method="Turned()", n_validation=4)
        >>> compared = dw.compare_values([one, turned], bad=[True, False, False, False])
        >>> compared.table("spearman").rows()
        [('One', 1.0, 1.0), ('Turned', 1.0, 1.0)]
    """
    named = _named(results)
    check_seed(seed)
    if (test is None) != (model is None) or (test is not None and train is None):
        given = [name for name, thing in (("train", train), ("test", test), ("model", model)) if thing is not None]
        raise MethodError(f"curves need train, test and model together, not {', '.join(given)} alone")
    aligned = _aligned(named, train)
    first = next(iter(aligned.values()))
    names, by_row = list(aligned), [values.values for values in aligned.values()]
    facts: dict[str, str | int | float] = {"Rows": f"{len(first):,}"}

    evidence: list[Evidence] = [
        _methods(aligned, named),
        _matrix("spearman", "Spearman's rank correlation", names, by_row, spearman, _RANKS_NOTE),
        _matrix("kendall", "Kendall's rank correlation (tau-b)", names, by_row, _kendall, _PAIRS_NOTE),
        _overlaps(names, by_row),
    ]
    figures: dict[str, _Figure] = {}
    notes: list[str] = []
    if test is not None and train is not None:
        job = Retraining(model, train, test, fractions=fractions, repeats=repeats, seed=seed)
        curves, areas, spread = _curves(aligned, job, progress)
        evidence += curves
        figures |= areas
        facts |= {
            "Judges of the curves": f"{len(test):,} test points, as they were given",
            "Model of the curves": job.model,
            "Random orders": repeats,
            "Seed": seed,
            "Models fitted": f"{job.fits:,}",
        }
        notes.append(
            "Lowest and highest removed, highest and lowest added: mean accuracy along the curve, which is the area "
            "under it divided by its width. Lowest removed and highest added: higher is better; the other two: lower. "
            + (
                f"Single random orders had areas up to {spread[REMOVED]:.3f} apart where rows leave and up to "
                f"{spread[ADDED]:.3f} where they come: smaller differences may be chance, and are no lead."
                if repeats > 1
                else "How much of that is chance, a single random order does not tell: ask for more repeats."
            )
        )
    if bad is not None:
        table, picture = _detection(aligned, bad)
        evidence += [table, picture]
        n_bad = int(np.asarray(bad).sum())
        facts["Rows known to be bad"] = f"{n_bad:,}"
        figures["AUROC"] = _Figure(True, [*_floats(table, "AUROC"), 0.5])
        figures["average precision"] = _Figure(True, [*_floats(table, "average precision"), n_bad / len(first)])
        figures["F1"] = _Figure(True, [*_floats(table, "F1"), None])
        notes.append("AUROC, average precision and F1 (of two clusters): finding the rows known to be bad.")
    if figures:
        evidence.insert(0, _summary(names, figures, notes))
    return Comparison(names, len(first), evidence, facts)


# -- whose values, and of what ---------------------------------------------------------------------


def _named(results: Sequence[Values] | Mapping[str, Values]) -> dict[str, Values]:
    """The results by distinct names."""
    if isinstance(results, Values):
        raise InputError("a comparison needs a sequence or mapping of at least two results, not one")
    given = list(results.values()) if isinstance(results, Mapping) else list(results)
    odd = sorted({type(result).__name__ for result in given if not isinstance(result, Values)})
    if odd:
        hint = "; a private release hides the very values that a comparison is made of" if "Release" in odd else ""
        raise InputError(f"a comparison is of Values, not of {', '.join(odd)}{hint}")
    if len(given) < 2:
        raise InputError(f"a comparison needs at least two results, not {len(given)}")
    if isinstance(results, Mapping):
        wrong = [name for name in results if not isinstance(name, str) or name.strip() in _TAKEN]
        if wrong:
            raise InputError(f"{wrong[0]!r} cannot name a result here; {', '.join(map(repr, _TAKEN))} are taken")
        return dict(results)
    short = [_short(values.method) for values in given]
    names: dict[str, Values] = {}
    for name, values in zip(short, given, strict=True):
        wanted = name if short.count(name) == 1 else _with_model(values.method)
        unique, count = wanted or "unnamed", 1
        while unique in names or unique in _TAKEN:
            count += 1
            unique = f"{wanted} ({count})"
        names[unique] = values
    return names


def _short(method: str) -> str:
    """A method's name without its settings."""
    return method.partition("(")[0].strip() or method.strip()


def _with_model(method: str) -> str:
    """A method's text; one too long for a name and legend, as its name and the class of its model."""
    name, _, rest = method.partition("(")
    first = re.match(r"(\w+)\(", rest)
    if len(method) <= LONG or first is None:
        return method
    steps = list(re.finditer(r"\('[^']*',\s+(\w+)\(", rest)) if first[1] == "Pipeline" else []
    depths = [sum(map(rest[: step.start()].count, "([")) - sum(map(rest[: step.start()].count, ")]")) for step in steps]
    last = [step for step, depth in zip(steps, depths, strict=True) if depth == depths[0]][-1:]
    return f"{name}({(last or [first])[0][1]})"


def _aligned(named: Mapping[str, Values], train: Points | None) -> dict[str, Values]:
    """The results with rows in one order: that of ``train``, or of the first result."""
    first_name, first = next(iter(named.items()))
    if np.unique(first.ids).size < len(first):
        raise DataError(f"ids of {first_name} are there twice, so rows cannot be matched; give every row its own id")
    if len(first) < 2:
        raise DataError(f"a comparison needs at least two rows, not {len(first)}")
    aligned = {}
    for name, values in named.items():
        try:
            match_ids(values.ids, first.ids)
        except DataError as error:
            raise DataError(
                f"{first_name} and {name} value different rows: of {name}, {error}; compare values of the same rows, "
                "under the same ids"
            ) from None
        if train is not None:
            values_of(values, train)
        ids = first.ids if train is None else train.ids
        at = match_ids(values.ids, ids)
        off = None if values.errors is None else values.errors[at]
        aligned[name] = Values(ids, values.values[at], values.method, values.n_validation, errors=off)
    return aligned


# -- agreement -------------------------------------------------------------------------------------

_RANKS_NOTE = "1: the same order; 0: no relation; -1: the opposite order."
_PAIRS_NOTE = "How many more pairs of rows are in the same order than in the opposite one, with ties allowed for."
_CONSTANT = " All values of {} are equal: no correlation is defined."


def _matrix(
    name: str,
    title: str,
    names: Sequence[str],
    by_row: Sequence[NDArray[np.float64]],
    measure: Callable[[NDArray[np.float64], NDArray[np.float64]], float | None],
    note: str,
) -> Table:
    """A symmetric table of a measure between every two methods; None for values that are all equal."""
    level = [bool((values == values[0]).all()) for values in by_row]
    cells: list[list[Cell]] = [[None] * len(names) for _ in names]
    for i, one in enumerate(by_row):
        for j, other in enumerate(by_row[: i + 1]):
            if not (level[i] or level[j]):
                cells[i][j] = cells[j][i] = 1.0 if i == j else measure(one, other)
    constant = [known for known, is_level in zip(names, level, strict=True) if is_level]
    return Table(
        name,
        title,
        {"method": list(names), **{column: cells[j] for j, column in enumerate(names)}},
        note + (_CONSTANT.format(", ".join(constant)) if constant else ""),
    )


def _kendall(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """As the kernel has it for a few players, without a matrix of all pairs of rows."""
    from scipy.stats import kendalltau

    return float(np.clip(kendalltau(one, other, variant="b").statistic, -1.0, 1.0))


def _overlaps(names: Sequence[str], by_row: Sequence[NDArray[np.float64]]) -> Table:
    n = by_row[0].size
    count = max(1, round(LOWEST * n))
    parts = [_lowest(values, count) for values in by_row]
    cells = [[float(np.minimum(a, b).sum() / np.maximum(a, b).sum()) for a in parts] for b in parts]
    return Table(
        "lowest-overlap",
        f"Rows in both lowest tenths ({count:,} of {n:,})",
        {"method": list(names), **{name: cells[j] for j, name in enumerate(names)}},
        note=(
            "Rows in both lowest tenths, divided by rows in either: 1 is the same rows. Two tenths drawn at random "
            f"come to about {count / (2 * n - count):.2f}."
        ),
    )


def _lowest(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """How far each row belongs to the lowest ``count``: rows tied at the edge share the places that are left."""
    edge = np.partition(values, count - 1)[count - 1]
    below, tied = values < edge, values == edge
    part: NDArray[np.float64] = below + tied * ((count - below.sum()) / tied.sum())
    return part


def _methods(aligned: Mapping[str, Values], named: Mapping[str, Values]) -> Table:
    """Who judged, and how much of what is seen is noise of sampling."""
    columns: dict[str, list[Cell]] = {"method": list(aligned), "settings": [v.method for v in aligned.values()]}
    columns["judged by"] = [
        f"{values.n_validation:,} {'points' if values.attributions is None else 'generated items'}"
        for values in named.values()
    ]
    columns["spread of values"] = [float(values.values.std()) for values in aligned.values()]
    note = "Spread: the standard deviation of a method's values. Values of different methods have different scales."
    # Nothing is said of errors that are all 0.
    sampled = [values if (values.known_errors > 0).any() else None for values in aligned.values()]
    if any(values is not None for values in sampled):
        columns["mean standard error"] = [
            None if values is None else float(values.known_errors.mean()) for values in sampled
        ]
        columns["noise in the spread"] = [None if values is None else values.noise for values in sampled]
        note += (
            " Noise in the spread: the part of the variance of a method's values that is its own sampling, 0 to 1; "
            "the more there is, the lower its correlation with anything. Rows whose standard error is not known are "
            "left out of both. Methods without standard errors, or with errors of 0, left nothing to chance."
        )
    return Table("methods", "The methods", columns, note)


# -- curves ----------------------------------------------------------------------------------------


def _curves(
    aligned: Mapping[str, Values], job: Retraining, progress: bool | None
) -> tuple[list[Evidence], dict[str, _Figure], dict[str, float]]:
    """The pictures; the areas by name of a curve; how far areas of random orders differ as rows leave, and come."""
    pictures: list[Evidence] = []
    areas: dict[str, _Figure] = {}
    spread: dict[str, float] = {}
    orders = job.orders
    accuracies: dict[str, tuple[dict[str, list[float]], list[list[float]]]] = {}
    with bar(len(_CURVES) * (len(aligned) + len(orders.random)), "Training for the curves", progress) as tick:

        def run(kind: str, order: NDArray[np.intp]) -> list[float]:
            line = job.removing(order) if kind == REMOVED else job.adding(order)
            tick(1)
            return line

        for name, (_, _, kind, highest, _) in _CURVES.items():
            by_value = orders.highest_first if highest else orders.lowest_first
            lines = {method: run(kind, by_value(values.values)) for method, values in aligned.items()}
            accuracies[name] = lines, [run(kind, order) for order in orders.random]
    for name, (title, short, kind, _, is_good) in _CURVES.items():
        lines, runs = accuracies[name]
        random = np.array(runs)
        table = Table(name, title, {kind: job.shares, **lines, _BASELINE: random.mean(axis=0).tolist()})
        of_runs = [area_of(job.shares, run_of) for run_of in random]
        spread[kind] = max(of_runs) - min(of_runs)  # the same orders for both ends
        of_lines = [area_of(job.shares, line) for line in (*lines.values(), random.mean(axis=0))]
        areas[short] = _Figure(is_good, [*of_lines], spread[kind])
        pictures.append(_picture(table, kind, [*lines, _BASELINE], is_good, job))
    return pictures, areas, spread


def _picture(table: Table, kind: str, lines: Sequence[str], is_good: bool, job: Retraining) -> Exhibit:
    x = f"share of rows {kind}"
    return Exhibit(
        table.name,
        "curve",
        lines_of(table, kind, lines, names=(x, "line", "accuracy")),
        x=x,
        y="accuracy",
        series="line",
        alt=f"Lines of accuracy on the test points against the {x}, one for each of {len(lines) - 1} methods, and one "
        "for random orders.",
        caption=(
            f"{'Higher' if is_good else 'Lower'} is better. Accuracy of {job.model} on {len(job.judges):,} test "
            f"points; random is the mean of {len(job.orders.random)} orders, the same ones in every picture."
        ),
    )


# -- rows known to be bad --------------------------------------------------------------------------


def _detection(aligned: Mapping[str, Values], bad: ArrayLike) -> tuple[Table, Exhibit]:
    tables = [noisy_label_detection(values, bad) for values in aligned.values()]
    curves = [discovery_curve(values, bad) for values in aligned.values()]
    columns: dict[str, list[Cell]] = {"method": list(aligned)}
    for key in tables[0].columns:
        columns[key] = [table.columns[key][0] for table in tables]
    columns["area under discovery"] = [curve.areas["lowest value first"] for curve in curves]
    first = curves[0].table.columns
    note = clusters_note(int(np.asarray(bad).sum()), len(next(iter(aligned.values()))))
    level = [name for name, table in zip(aligned, tables, strict=True) if table.columns["called bad"] == (0,)]
    if level:
        note += f" All values of {', '.join(level)} are equal: there are no two clusters."
    note += f" The best possible area under discovery is {curves[0].areas[BEST]:.3f}; random order gets 0.5."
    lines = {name: curve.table.columns["lowest value first"] for name, curve in zip(aligned, curves, strict=True)}
    wide = Table(
        "discovery-curve",
        curves[0].table.title,
        {"inspected": first["inspected"], **lines, BEST: first[BEST], RANDOM: first[RANDOM]},
    )
    picture = Exhibit(
        "discovery-curve",
        "curve",
        lines_of(wide, "inspected", [*lines, BEST, RANDOM], names=(INSPECTED, "line", FOUND)),
        x=INSPECTED,
        y=FOUND,
        series="line",
        alt=f"Lines of the share of bad rows found against the share inspected, one for each of {len(lines)} methods, "
        "the best possible one, and one for random order.",
        caption=f"Higher is better. {curves[0].table.note}",
    )
    return Table("detection", "Finding the rows known to be bad", columns, note), picture


# -- all in one table ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Figure:
    """One figure of every method.

    Args:
        high_is_good: Whether more of it is better.
        cells: Of each method, then of chance; None where it is not known.
        chance: Differences up to this are no lead.
    """

    high_is_good: bool
    cells: list[float | None]
    chance: float = 0.0

    def places(self, n: int) -> NDArray[np.float64]:
        """Of each of the ``n`` methods one more than how many lead it, ``(n,)``; NaN where the figure is not known."""
        merit = np.array([np.nan if cell is None else cell for cell in self.cells[:n]]) * (
            1 if self.high_is_good else -1
        )
        led_by = (merit[np.newaxis] - merit[:, np.newaxis] > self.chance + 1e-12).sum(axis=1)  # nothing leads NaN
        return np.where(np.isnan(merit), np.nan, 1.0 + led_by)


def _summary(names: Sequence[str], figures: Mapping[str, _Figure], notes: Sequence[str]) -> Table:
    """The figures of each method, lowest mean place first, and of chance below them."""
    places = np.array([of.places(len(names)) for of in figures.values()])
    counted = ~np.isnan(places)
    mean = np.where(counted.any(axis=0), np.nansum(places, axis=0) / np.maximum(counted.sum(axis=0), 1), np.inf)
    order = np.argsort(mean, kind="stable").tolist()  # equal ones in the order given
    best = [names[i] for i in order if mean[i] == mean[order[0]] and np.isfinite(mean[i])]
    columns: dict[str, list[Cell]] = {
        "method": [*(names[i] for i in order), "chance"],
        "mean place": [*(float(mean[i]) if np.isfinite(mean[i]) else None for i in order), None],
    }
    for name, of in figures.items():
        columns[name] = [*(of.cells[i] for i in order), of.cells[-1]]
    said = (
        "Mean place: over the columns that follow it, where a method's place is one more than how many methods lead "
        "it; 1 is to be led in none of them."
    )
    if len(best) > 1:
        said += f" {', '.join(best[:-1])} and {best[-1]} share the best mean place."
    return Table(
        "summary",
        "All figures",
        columns,
        note=" ".join([*notes, said]),
    )


def _floats(table: Table, column: str) -> list[float | None]:
    return [float(cell) if isinstance(cell, int | float) else None for cell in table.columns[column]]
