"""What stands behind values by likeness: matches, evenness, sensitivity, near copies and a map, for a report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.errors import DataError, InputError, MethodError
from dataworth.kernels.matching import add_credit, credit, distances_at, keep_nearest, nearest
from dataworth.kernels.neighbors import METRICS, Judges, Metric, prepare
from dataworth.kernels.team import team_size
from dataworth.records import Attributions, Evidence, Exhibit, Items, Table, Values
from dataworth.valuation.content import excerpt, thumbnail
from dataworth.valuation.held_out import checked_mask, held_out_test, nearest_trained
from dataworth.valuation.maps import item_map, spread
from dataworth.valuation.matching import FLOAT32_REACH
from dataworth.valuation.task import bar

__all__ = ["gather_matches"]

BESIDE = 6  # matches beside an item
MOST_SHOWN = 50
GROUPS_SHOWN = 100
_SEARCHED = 500  # generated items looked at again where more matches than were kept are wanted
_COMPARED = 1_000  # training items whose nearest other one is looked for
_COPY = 0.01  # the share of training items that are as near to each other as what is marked
_LOOKED = 10_000  # generated items, the nearest ones, that may be marked
_COPIES_LISTED = 30
_FACTORS = (0.01, 0.1, 1 / 3, 1.0, 3.0, 10.0)
_TOP = 0.01


def gather_matches(
    values: Values,
    train: Items,
    generated: Items,
    *,
    trained: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    temperature: float | None = None,
    shown: int = 10,
    show_rows: bool = False,
    sensitivity: bool = True,
    map: bool = True,
    threads: int | None = None,
    progress: bool | None = None,
) -> Values:
    """The same values by likeness, with the evidence a report shows.

    What is gathered says more about the items than the values do. Without ``show_rows`` no picture, text or label of
    an item is taken over: only ids, distances, shares, figures by group, and places on a map without ids.

    Args:
        values: Values with attributions.
        train: The items that were valued, matched by id, in any order.
        generated: The items that were divided, matched by id, in any order.
        trained: Boolean mask in the order of ``train``: True for items the generator was trained on, False for items
            held out. Gives the tests of whether the values tell the two apart.
        groups: A name for each item of ``train``, such as the source it came from; the labels if not given.
        temperature: What the shares were made with; as the values' provenance says if not given.
        shown: How many items to show in each list, at most 50.
        show_rows: Take over the content of the items shown: picture or opening of the text, and label.
        sensitivity: Whether to value again with other numbers of matches and other temperatures.
        map: Whether to draw items on a plane, where both sides have vectors; at most 2,000 items take a few seconds.
        threads: How many threads search; every core if not given.
        progress: Whether to show a progress bar; on a terminal if not given.

    Returns:
        The values, any evidence they already had, and the new pieces:

        - ``highest-items``, ``lowest-items``: training items beside the generated items they are matched with.
        - ``first-generated``, ``concentrated-generated``, ``possible-copies``: generated items beside those who
          earned them.
        - ``evenness``: over how many items credit is spread.
        - ``credit-by-group``, and ``same-class`` where both sides have labels.
        - ``held-out-test`` and ``nearest-trained``, with ``trained``.
        - ``sensitivity``, ``sensitivity-k``, ``sensitivity-temperature``.
        - ``closest-generated``: the generated items nearest to a training item, possible copies marked, and
          ``nearest-distance``. Marks need vectors whose distances are those of the matches.
        - ``map``.
        - ``train-items``, ``generated-items``: the content of the items in the lists, with ``show_rows`` only.

    Raises:
        DataError: The ids of the items are not those of the values, or vectors of the two sides differ in length.
        InputError: ``trained`` or ``groups`` do not fit the items; or ``temperature`` is needed and not known, or is
            not what the shares were made with.
        MethodError: The values have no attributions, or ``shown`` is out of range.
        MissingExtra: Pictures are to be shown and Pillow is not installed.

    Example:
        >>> import dataworth as dw
        >>> train = dw.Items([[0.0], [1.0], [9.0]], ids=["a", "b", "far"])
        >>> generated = dw.Items([[0.0], [1.0]], ids=["p", "q"])
        >>> credit = dw.Attributions(train.ids, generated.ids, [[0], [1]], [[0.0], [0.0]], [[1.0], [1.0]])
        >>> values = dw.Values(train.ids, [1.0, 1.0, 0.0], "by hand", 2, attributions=credit)
        >>> seen = dw.gather_matches(values, train, generated, sensitivity=False, map=False)
        >>> [piece.name for piece in seen.evidence][:3]
        ['evenness', 'closest-generated', 'nearest-distance']
    """
    given = values.attributions
    if given is None:
        raise MethodError("these values have no attributions; values by likeness, of value_generated, have them")
    if isinstance(shown, bool) or not isinstance(shown, int) or not 1 <= shown <= MOST_SHOWN:
        raise MethodError(f"shown must be a whole number from 1 to {MOST_SHOWN}, not {shown!r}")
    order = _places(given.ids, train.ids, "training items")
    mask = None if trained is None else checked_mask(trained, len(train))[order]
    named = None if groups is None else _names(groups, len(train))[order]
    train = _taken(train, order)
    generated = _taken(generated, _places(given.generated_ids, generated.ids, "generated items"))
    workers = team_size(threads)
    metric = _metric(values, given, train, generated)

    pieces: list[Evidence] = [_evenness(values, given)]
    with bar(3, "evidence", progress) as tick:
        pieces += _groups(values, named, train.labels)
        if train.labels is not None and generated.labels is not None:
            pieces.append(_same_class(given, train.labels, generated.labels))
        if mask is not None:
            pieces += [held_out_test(values, mask), nearest_trained(given, mask)]
        nearness = _Nearness.of(given, train, metric, workers)
        pieces += nearness.evidence(given, shown)
        tick(1)
        if sensitivity:
            used = _temperature(values, given, temperature)
            pieces += _sensitivity(values, given, used, train, generated, metric, workers)
        tick(1)
        if map and train.x is not None and generated.x is not None:
            # Where only directions count, only they are drawn.
            on_sphere = (metric or values.provenance.get("metric")) == "cosine"
            pieces.append(item_map(train.x, generated.x, mask, on_sphere=on_sphere))
        tick(1)
    lists = _of_items(values, given, train, generated, metric, shown, workers)
    lists += _of_generated(given, shown, nearness)
    pieces += lists
    if show_rows:
        for column, name, items in ((TRAIN, "train-items", train), (GENERATED, "generated-items", generated)):
            wanted = {cell for piece in lists for cell in piece.table.columns[column] if cell is not None}
            pieces += _content(name, items, wanted)
    return values.with_evidence(*pieces)


# -- whose is what ---------------------------------------------------------------------------------


def _places(wanted: NDArray[Any], ids: NDArray[Any], what: str) -> NDArray[np.intp]:
    """Where the wanted ids are among the ids given, which are the same ones."""
    if np.array_equal(wanted, ids):
        return np.arange(ids.size)
    if (wanted.dtype.kind == "U") == (ids.dtype.kind == "U"):
        order = np.argsort(ids, kind="stable")
        found = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), ids.size - 1)]
        missing = int((ids[found] != wanted).sum())
        if missing == 0 and ids.size == wanted.size:
            return np.asarray(found)
        said = f"{missing} of {wanted.size} in the values are not among the {ids.size} given"
    else:
        said = f"the ids in the values are {wanted.dtype}, those given {ids.dtype}"
    raise DataError(f"these are other {what} than those of the values: {said}; give the very items that were matched")


def _taken(items: Items, order: NDArray[np.intp]) -> Items:
    """The items in an order; those that are in it already are not copied."""
    return items if np.array_equal(order, np.arange(len(items))) else items.take(order)


def _names(groups: ArrayLike, n: int) -> NDArray[Any]:
    names = np.asarray(groups)
    if names.shape != (n,) or names.dtype.kind not in "Uiub":
        raise InputError(f"groups must be {n} names, one a training item, not {names.dtype} of shape {names.shape}")
    return names.astype(str)


def _metric(values: Values, given: Attributions, train: Items, generated: Items) -> Metric | None:
    """The distance of the vectors that the matches were ranked by; None if it is not that of these vectors."""
    if train.x is None or generated.x is None:
        return None
    if train.x.shape[1] != generated.x.shape[1]:
        raise DataError(
            f"training items have {train.x.shape[1]} numbers each, generated ones {generated.x.shape[1]}; "
            "embed both with the same model"
        )
    some = spread(len(given), 20)
    # The one they say first: a few pairs could agree in both.
    for metric in sorted(METRICS, key=lambda metric: metric != values.provenance.get("metric")):
        if metric == "cosine" and not (train.x.any(axis=1).all() and generated.x.any(axis=1).all()):
            continue
        again = distances_at(train.x, generated.x[some], given.at[some], metric, threads=1)
        if np.allclose(again, given.distance[some], rtol=1e-6, atol=1e-9):
            return metric
    return None


def _temperature(values: Values, given: Attributions, temperature: float | None) -> float:
    """The temperature of the shares, checked against them."""
    if temperature is None:
        said = values.provenance.get("temperature")
        if not isinstance(said, int | float):
            raise InputError("these values do not say their temperature; give temperature=, or sensitivity=False")
        temperature = float(said)
    if not (np.isfinite(temperature) and temperature > 0):
        raise InputError(f"temperature must be positive and finite, not {temperature!r}")
    if not np.allclose(credit(given.distance, given.quality, temperature), given.share, rtol=1e-6, atol=1e-9):
        raise InputError(f"these shares were not made with temperature {temperature:g}; give the right temperature=")
    return temperature


def _search(
    x: NDArray[Any], points: NDArray[Any], k: int, metric: Metric, threads: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k nearest rows of every point, exactly."""
    centre = points.mean(axis=0, dtype=np.float64) if metric == "euclidean" else None
    wide = metric == "euclidean" and max(np.abs(x).max(), np.abs(points).max()) > FLOAT32_REACH
    codes = np.zeros(len(x), dtype=np.int64)
    rows = prepare(x, codes, 1, metric, centre=centre, dtype="float64" if wide else "float32", threads=threads)
    judges = Judges.ready(rows, points, np.zeros(len(points), dtype=np.int64), centre)
    return nearest(rows, judges, k, threads=threads)


# -- evenness and groups ---------------------------------------------------------------------------


def _parts(given: Attributions) -> NDArray[np.float64]:
    """What part of each generated item's worth each match earned; 0 where it is worth nothing."""
    worth = given.quality[:, np.newaxis]
    return np.divide(given.share, worth, out=np.zeros_like(given.share), where=worth > 0)


def _effective(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many equal parts would be as uneven: the exponential of the entropy of each row; 0 for a row of zeros."""
    logs = np.log(parts, out=np.zeros_like(parts), where=parts > 0)
    return np.where(parts.any(axis=-1), np.exp(-(parts * logs).sum(axis=-1)), 0.0)


def _held_by_top(by_item: NDArray[np.float64]) -> float | None:
    top = max(1, round(_TOP * by_item.size))
    everything = float(by_item.sum())
    return float(np.partition(by_item, by_item.size - top)[-top:].sum() / everything) if everything > 0 else None


def _evenness(values: Values, given: Attributions) -> Table:
    v, everything = values.values, float(values.values.sum())
    contributors = _effective(_parts(given)[given.quality > 0])
    half = None
    if everything > 0:
        half = float((np.searchsorted(np.cumsum(np.sort(v)[::-1]), everything / 2) + 1) / v.size)
    return Table(
        "evenness",
        "How evenly credit is spread",
        {
            "share of training items that hold half of all credit": [half],
            "effective number of items that hold it": [float(_effective(v / everything)) if everything > 0 else None],
            "effective contributors to a generated item, median": [
                float(np.median(contributors)) if contributors.size else None
            ],
        },
        note=(
            "Effective number: how many equal shares would be as uneven (the exponential of the entropy). "
            f"A generated item has at most {given.at.shape[1]:,} contributors."
        ),
    )


def _groups(values: Values, groups: NDArray[Any] | None, labels: NDArray[Any] | None) -> list[Evidence]:
    if groups is None and labels is None:
        return []
    what, given = ("class", labels) if groups is None else ("group", groups)
    names, code = np.unique(np.asarray(given).astype(str), return_inverse=True)
    # A class of one item is that item's label, and its mean that item's value.
    if groups is None and (names.size > GROUPS_SHOWN or np.bincount(code).min() < 2):
        return []
    size, v = np.bincount(code), values.values
    total = np.bincount(code, weights=v)
    mean, everything = total / size, total.sum()
    order = np.argsort(-mean, kind="stable")
    table = Table(
        "credit-by-group",
        f"Mean value by {what}",
        {
            what: names[order].tolist(),
            "items": size[order].tolist(),
            "mean value": mean[order].tolist(),
            "share of items": (size / v.size)[order].tolist(),
            "share of credit": (total / everything)[order].tolist() if everything > 0 else [None] * names.size,
            "share that earns nothing": (np.bincount(code, weights=v == 0) / size)[order].tolist(),
        },
    )
    caption = "A mean follows how many generated items are of that kind and how many training items share them."
    alt = f"Bars of the mean value of the training items of each {what}, {names.size} in all, highest first."
    return [Exhibit("credit-by-group", "bars", table, x="mean value", y=what, alt=alt, caption=caption)]


def _same_class(given: Attributions, labels: NDArray[Any], wanted: NDArray[Any]) -> Table:
    ours, theirs = labels.astype(str), wanted.astype(str)
    there = given.at >= 0
    same = (ours[given.at] == theirs[:, np.newaxis]) & there
    names, counts = np.unique(ours, return_counts=True)
    place = np.minimum(np.searchsorted(names, theirs), names.size - 1)
    chance = np.where(names[place] == theirs, counts[place] / ours.size, 0.0)
    worth = float(given.share.sum())
    return Table(
        "same-class",
        "Are generated items matched with their own class?",
        {
            "share of nearest items of the same class": [float(same[:, 0].sum() / max(1, there[:, 0].sum()))],
            "share of all matches of the same class": [float(same.sum() / max(1, there.sum()))],
            "share of credit of the same class": [float(given.share[same].sum() / worth) if worth > 0 else None],
            "by chance": [float(chance.mean())],
        },
        note=(
            "The class of a generated item is the one it was made for. High shares say that the distance sees classes; "
            "they do not say that the items caused it."
        ),
    )


# -- sensitivity -----------------------------------------------------------------------------------


def _sensitivity(
    values: Values,
    given: Attributions,
    temperature: float,
    train: Items,
    generated: Items,
    metric: Metric | None,
    threads: int,
) -> list[Evidence]:
    """What other settings would have given, from the matches that were kept; more matches need a search."""
    n, m, k = given.ids.size, len(given), given.at.shape[1]
    rows: list[tuple[int, float, int, float | None, float | None, float]] = []

    def again(
        at: NDArray[np.int64],
        distance: NDArray[np.float64],
        quality: NDArray[np.float64],
        settings: Iterable[tuple[int, float]],
        base: NDArray[np.float64],
    ) -> None:
        for matches, warmth in settings:
            some_at, some_distance = keep_nearest(at, distance, matches)
            by_item = add_credit(some_at, credit(some_distance, quality, warmth), n)
            nothing = float((by_item == 0).mean())
            rows.append((matches, warmth, len(at), _rank_correlation(by_item, base), _held_by_top(by_item), nothing))

    fewer = sorted({1, 3, k // 2, k} & set(range(1, k + 1)))
    again(given.at, given.distance, given.quality, [(matches, temperature) for matches in fewer], values.values)
    more = [matches for matches in (2 * k, 4 * k) if matches <= n]
    if metric is not None and train.x is not None and generated.x is not None and more:
        some = spread(m, _SEARCHED)
        at, distance = _search(train.x, generated.x[some], more[-1], metric, threads)
        kept = keep_nearest(at, distance, k)
        base = add_credit(kept[0], credit(kept[1], given.quality[some], temperature), n)
        again(at, distance, given.quality[some], [(matches, temperature) for matches in more], base)
    by_matches = len(rows)
    if k > 1:  # a single match earns everything at any temperature
        warmths = [(k, factor * temperature) for factor in _FACTORS]
        again(given.at, given.distance, given.quality, warmths, values.values)
    names = ("matches", "temperature", "generated items", _CORRELATION, _HELD, "share that earns nothing")
    used = f"{k:,} {'match' if k == 1 else 'matches'} and temperature {temperature:g}"
    sampled = any(row[2] < m for row in rows)
    note = (
        f"Rank correlation: Spearman's, with the values as they are, by {used}. Fewer matches are the nearest of those "
        "that were kept."
    )
    if sampled:
        note += (
            f" More matches were searched for {_SEARCHED:,} of the generated items, evenly spread, and compared with "
            f"{k:,} matches of the same ones."
        )
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    table = Table("sensitivity", "Other settings, other values", columns, note)
    curves = [
        _lines("sensitivity-k", "How much the number of matches matters", "matches", rows[:by_matches], 0, m, used),
        _lines(
            "sensitivity-temperature", "How much the temperature matters", "temperature", rows[by_matches:], 1, m, used
        ),
    ]
    return [table, *(curve for curve in curves if len(set(curve.table.columns[curve.x])) > 1)]


_CORRELATION, _HELD = "rank correlation", "held by the top 1%"


def _lines(
    name: str, title: str, along: str, rows: Sequence[tuple[Any, ...]], column: int, m: int, used: str
) -> Exhibit:
    """Two lines over one setting; what the top holds of a sample is not comparable with what it holds of all."""
    points = [(row[column], _CORRELATION, row[3]) for row in rows]
    points += [(row[column], _HELD, row[4]) for row in rows if row[2] == m]
    x, line, y = (list(cells) for cells in zip(*points, strict=True)) if points else ([], [], [])
    return Exhibit(
        name,
        "curve",
        Table(name, title, {along: x, "line": line, "share or correlation": y}),
        x=along,
        y="share or correlation",
        series="line",
        alt=f"Two lines over the {along}: rank correlation with the values as they are, and the share of credit held "
        "by the top 1% of items.",
        caption=f"These values were made with {used}. Where the first line stays near 1, the order of the items hardly "
        "depends on that choice.",
        log_x=True,
    )


def _rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    from scipy import stats

    if a.min() == a.max() or b.min() == b.max():
        return None
    return float(stats.spearmanr(a, b).statistic)


# -- near copies -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Nearness:
    """How near each generated item is to its nearest training item, for where that is.

    How near is near differs from place to place: one handwritten 1 is like another, one 8 is not like the next. So a
    distance is taken over the one from that training item to its own nearest other, and this ratio is compared with
    the same ratio of training items.

    Args:
        distance: To the nearest training item, ``(m,)``.
        ratio: That over the training item's own, ``(m,)``; NaN where it was not looked for.
        order: The generated items that are matched at all, most suspicious first.
        limit: The ratio up to which an item is marked; None where distances are not those of vectors.
        usual: Distances of some training items to their nearest other; None likewise.
    """

    distance: NDArray[np.float64]
    ratio: NDArray[np.float64]
    order: NDArray[np.intp]
    limit: float | None
    usual: NDArray[np.float64] | None

    @classmethod
    def of(cls, given: Attributions, train: Items, metric: Metric | None, threads: int) -> _Nearness:
        distance = np.maximum(given.distance[:, 0], 0.0)  # equal directions can come out a rounding below zero
        ratio = np.full(len(given), np.nan)
        order = np.flatnonzero(np.isfinite(distance))
        order = order[np.argsort(distance[order], kind="stable")]
        if metric is None or train.x is None or len(train) < 3:
            return cls(distance, ratio, order, None, None)
        usual, ratios = _among_training(train.x, metric, threads)
        order = order[:_LOOKED]
        items, place = np.unique(given.at[order, 0], return_inverse=True)
        found, gaps = _search(train.x, train.x[items], 2, metric, threads)
        ratio[order] = _ratio(distance[order], _nearest_but(found, gaps, items[:, np.newaxis])[place])
        order = order[np.argsort(ratio[order], kind="stable")]
        return cls(distance, ratio, order, float(np.quantile(ratios, _COPY, method="lower")), usual)

    @property
    def copies(self) -> NDArray[np.intp]:
        """The generated items that are marked, most suspicious first."""
        return self.order[:0] if self.limit is None else self.order[self.ratio[self.order] <= self.limit]

    def evidence(self, given: Attributions, shown: int) -> list[Evidence]:
        """The nearest ones as a table, and all of them beside training items as lines."""
        marked, limit = self.copies.size, self.limit
        listed = self.order[: max(shown, min(marked, _COPIES_LISTED))]
        if limit is None:
            note = "Whether that is unusually near cannot be said: it needs vectors whose distances ranked the matches."
        else:
            note = (
                "Ratio: the distance to the training item over the distance from that item to the nearest other one. "
                f"{marked:,} of {len(given):,} {'is' if marked == 1 else 'are'} marked, for a ratio of at most "
                f"{limit:.3g}: only {_COPY:.0%} of training items are that near to each other, and about as many new "
                "items of the same kind would be marked. A mark is a reason to look. It proves no copying, and a copy "
                "that was cropped, turned or recoloured may go without."
            )
            if len(given) > _LOOKED:
                note += f" Looked at: the {_LOOKED:,} nearest."
        if marked > listed.size:
            note += f" Listed: the first {listed.size:,}."
        columns = {
            GENERATED: given.generated_ids[listed].tolist(),
            TRAIN: given.ids[given.at[listed, 0]].tolist(),
            "distance": self.distance[listed].tolist(),
            "ratio": [None if limit is None else float(ratio) for ratio in self.ratio[listed]],
            "share": _parts(given)[listed, 0].tolist(),
            "possible copy": [None if limit is None else bool(ratio <= limit) for ratio in self.ratio[listed]],
        }
        table = Table("closest-generated", "Generated items closest to a training item", columns, note)
        near = self.distance[np.isfinite(self.distance)]
        return [table] if self.usual is None or near.size == 0 else [table, _nearness(near, self.usual)]


def _among_training(x: NDArray[Any], metric: Metric, threads: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of some training items: the distance to the nearest other one, and that over the other one's own.

    The other one's own is to the nearest third item, as if the first were new.
    """
    some = spread(len(x), _COMPARED)
    found, gaps = _search(x, x[some], 2, metric, threads)
    far = _nearest_but(found, gaps, some[:, np.newaxis])
    other = np.where(found[:, 0] == some, found[:, 1], found[:, 0])
    found, gaps = _search(x, x[other], 3, metric, threads)
    return far, _ratio(far, _nearest_but(found, gaps, np.stack([other, some], axis=1)))


def _nearest_but(
    found: NDArray[np.int64], gaps: NDArray[np.float64], without: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The distance of the first row found that is none of those to leave out.

    There is one: of one row more than are left out. A row that is not found itself has others at no distance before it.
    """
    allowed = (found[:, :, np.newaxis] != without[:, np.newaxis, :]).all(axis=2)
    first = allowed.argmax(axis=1)
    nearest_gaps: NDArray[np.float64] = gaps[np.arange(len(gaps)), first]
    return np.maximum(nearest_gaps, 0.0)


def _ratio(gap: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
    """One over the other; an item at no distance is as near as can be, whatever its copies are."""
    ratio: NDArray[np.float64] = np.where(gap > 0, np.inf, 0.0)
    np.divide(gap, own, out=ratio, where=(own > 0) & (gap > 0))
    return ratio


def _nearness(near: NDArray[np.float64], usual: NDArray[np.float64]) -> Exhibit:
    """Both distances as shares reached within a distance."""
    lines = {"generated items": np.sort(near), "training items, to another": np.sort(usual)}
    reach = max(float(np.quantile(gaps, 0.99, method="higher")) for gaps in lines.values())
    grid = np.linspace(0.0, reach if reach > 0 else 1.0, 61)
    columns: dict[str, list[Any]] = {"distance": [], "of": [], "share within": []}
    for name, gaps in lines.items():
        columns["distance"] += grid.tolist()
        columns["of"] += [name] * grid.size
        columns["share within"] += (np.searchsorted(gaps, grid, side="right") / gaps.size).tolist()
    return Exhibit(
        "nearest-distance",
        "curve",
        Table("nearest-distance", "How far the nearest training item is", columns),
        x="distance",
        y="share within",
        series="of",
        alt="Two rising lines: the share of generated items whose nearest training item lies within a distance, and "
        "the share of training items whose nearest other training item does.",
        caption=f"Half of the generated items have a training item within {np.median(near):.3g}; half of the training "
        f"items have another within {np.median(usual):.3g}. A first line far to the left of the second is the mark of "
        "copies, or of items smoother than real ones.",
    )


# -- items beside what they are matched with -------------------------------------------------------

TRAIN, GENERATED = "training item", "generated item"

Pair = tuple[int, int | None, float | None, float | None, bool]
"""Positions of a thing and of what is beside it, the share earned, the distance, and whether the two are matched."""


def _pairs(
    name: str, title: str, pairs: Sequence[Pair], sides: tuple[str, str], figure: tuple[str, NDArray[Any]],
    given: Attributions, caption: str,
) -> Exhibit:  # fmt: skip
    ids = {TRAIN: given.ids, GENERATED: given.generated_ids}
    x, y = sides
    columns: dict[str, list[Any]] = {
        x: ids[x][[pair[0] for pair in pairs]].tolist(),
        figure[0]: figure[1][[pair[0] for pair in pairs]].tolist(),
        y: [None if pair[1] is None else ids[y][pair[1]].item() for pair in pairs],
        "share": [pair[2] for pair in pairs],
        "distance": [pair[3] for pair in pairs],
        "matched": [pair[4] for pair in pairs],
    }
    alt = f"{title}, each beside the {y}s it is matched with."
    return Exhibit(name, "pairs", Table(name, title, columns), x=x, y=y, series=figure[0], alt=alt, caption=caption)


def _of_items(
    values: Values,
    given: Attributions,
    train: Items,
    generated: Items,
    metric: Metric | None,
    shown: int,
    threads: int,
) -> list[Exhibit]:
    """The highest and the lowest training items, beside the generated items they are matched with."""
    v, sides = values.values, (TRAIN, GENERATED)
    best = np.argsort(-v, kind="stable")[:shown]
    best = best[v[best] > 0]
    rest = np.setdiff1d(np.arange(v.size), best)
    least = np.empty(0, dtype=np.intp)
    said = "Lowest value first."
    if rest.size:
        tied = rest[v[rest] == v[rest].min()]
        if tied.size > shown:
            least = tied[spread(tied.size, shown)]
            worth = "earn nothing" if v[tied[0]] == 0 else f"have the lowest value, {v[tied[0]]:.3g}"
            said = f"{tied.size:,} of {v.size:,} training items {worth}; these are evenly spread over them."
        else:
            least = rest[np.argsort(v[rest], kind="stable")[:shown]]
    alone = [int(i) for i in least if given.entries_of(int(i)).size == 0]
    near: dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
    if alone and metric is not None and train.x is not None and generated.x is not None:
        found = _search(generated.x, train.x[alone], min(3, len(generated)), metric, threads)
        near = dict(zip(alone, zip(*found, strict=True), strict=True))
        said += " Beside those that are not matched with anything: the nearest generated items, which others earned."
    low = [pair for i in least for pair in _beside(int(i), given, near)]
    high = [pair for i in best for pair in _beside(int(i), given, near)]
    lists = [
        ("highest-items", "Highest training items", high, ""),
        ("lowest-items", "Lowest training items", low, said),
    ]
    return [
        _pairs(name, title, pairs, sides, ("value", v), given, caption)
        for name, title, pairs, caption in lists
        if pairs
    ]


def _beside(i: int, given: Attributions, near: dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]]) -> list[Pair]:
    entries = given.entries_of(i)
    if entries.size == 0:
        if i not in near:
            return [(i, None, None, None, False)]
        return [(i, int(j), 0.0, float(gap), False) for j, gap in zip(*near[i], strict=True)]
    entries = entries[np.argsort(-given.share.flat[entries], kind="stable")][:BESIDE]
    j = entries // given.at.shape[1]
    worth = given.quality[j]
    parts = np.divide(given.share.flat[entries], worth, out=np.zeros(j.size), where=worth > 0)
    gaps = given.distance.flat[entries]
    return [(i, int(a), float(part), float(gap), True) for a, part, gap in zip(j, parts, gaps, strict=True)]


def _of_generated(given: Attributions, shown: int, nearness: _Nearness) -> list[Exhibit]:
    """The first generated items, those earned by few, and possible copies, beside those who earned them."""
    parts, m = _parts(given), len(given)
    few = m if m <= shown else max(1, shown // 2)
    rest = np.arange(few, m)
    top = parts.max(axis=1)
    firm = rest[np.argsort(-top[rest], kind="stable")[: shown - few]] if given.at.shape[1] > 1 else rest[:0]
    contributors = ("contributors", _effective(parts))
    counted = "Contributors: the effective number, how many equal shares would be as uneven."
    copied = "Marked for being nearer to a training item than training items are to each other; see below."
    lists = [
        ("first-generated", "Generated items and who earned them", np.arange(few), BESIDE, contributors,
         f"In the order of the file. {counted}"),
        ("concentrated-generated", "Generated items earned by few", firm, BESIDE, contributors,
         "Those with the largest single share."),
        ("possible-copies", "Possible copies", nearness.copies[: max(1, shown // 2)], 1, ("ratio", nearness.ratio),
         copied),
    ]  # fmt: skip
    return [
        _pairs(
            name, title, [pair for j in at for pair in _earners(int(j), given, parts, most)], (GENERATED, TRAIN),
            figure, given, caption,
        )
        for name, title, at, most, figure, caption in lists if at.size
    ]  # fmt: skip


def _earners(j: int, given: Attributions, parts: NDArray[np.float64], most: int) -> list[Pair]:
    there = np.flatnonzero(given.at[j] >= 0)[:most]
    if there.size == 0:
        return [(j, None, None, None, False)]
    return [(j, int(given.at[j, r]), float(parts[j, r]), float(given.distance[j, r]), True) for r in there]


# -- content ---------------------------------------------------------------------------------------


def _content(name: str, items: Items, wanted: set[Any]) -> list[Exhibit]:
    """What the items shown look like or say; nothing for bare vectors."""
    at = [i for i, own in enumerate(items.ids.tolist()) if own in wanted]
    columns: dict[str, list[Any]] = {"id": items.ids[at].tolist()}
    if items.labels is not None:
        columns["label"] = items.labels[at].astype(str).tolist()
    if items.content is not None:
        cells = [items.content[i] for i in at]
        shown = "text" if items.kind == "texts" else "picture"
        columns[shown] = [
            excerpt(cell) if isinstance(cell, str) else thumbnail(i, cell) for i, cell in zip(at, cells, strict=True)
        ]
    if len(columns) == 1:
        return []
    title = "Training items shown" if name == "train-items" else "Generated items shown"
    last = list(columns)[-1]
    return [Exhibit(name, "rows", Table(name, title, columns), x="id", y=last, alt=f"{title}: their content.")]
