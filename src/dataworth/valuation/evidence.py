"""Evidence: what stands behind the values, gathered from the points for a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.errors import InputError, MethodError
from dataworth.kernels.neighbors import METRICS, Metric, check_directions, pair_distance
from dataworth.records import Evidence, Exhibit, Links, Points, Table, Values
from dataworth.valuation.content import excerpt, thumbnail
from dataworth.valuation.curves import check_seed, lines_of, removal_curve, values_of
from dataworth.valuation.reading import check_same_features

__all__ = ["gather_evidence"]

CLASSES_SHOWN = 100
FEATURES_SHOWN = 12  # columns of a row without a picture or text
_SLAB = 4_000_000  # features of validation points looked at together: 32 MB of float64
_SCALED = " in features standardised by the validation rows"


def gather_evidence(
    values: Values,
    train: Points,
    validation: Points,
    *,
    metric: Metric = "cosine",
    rows: int = 10,
    neighbours: int = 5,
    bad: ArrayLike | None = None,
    model: Any = None,
    show_rows: bool = False,
    seed: int = 0,
) -> Values:
    """The same values with the evidence a report shows: neighbours, classes, curves, and rows if asked.

    What is gathered reveals more about the rows than the values do. Without ``show_rows`` no label, feature,
    text or picture of a row is taken over: only ids, distances, whether labels agree, and figures by class.

    Args:
        values: Values of the rows of ``train``, matched by id, in any order.
        train: The points that were valued.
        validation: The points that judged.
        metric: Distance in which the nearest validation points are found: ``"cosine"`` or ``"euclidean"``,
            best the one the method used. For values by retraining, where no method says what is near, features are
            first standardised by the validation rows (a column constant there is only centred), so that units do not
            decide; a row without a direction then has the cosine distance 1 to every other.
        rows: How many of the lowest and of the highest rows to show.
        neighbours: How many of the nearest validation points to show for each.
        bad: Boolean mask of the rows of ``train`` known to be bad, if that is known; gives the detection
            figures and curve.
        model: A scikit-learn classifier; gives the removal curve, see :func:`dataworth.removal_curve`.
        show_rows: Take over the content of the rows shown: label, and text, picture or features.
        seed: Seed of the removal curve.

    Returns:
        The values, any evidence they already had, and the new pieces:

        - ``lowest-neighbours``, ``highest-neighbours``: links to the nearest validation points.
        - ``class-values``, ``class-below-zero``: bars by class (not for numeric targets, and not for more than
          100 classes, whose bars nobody could read).
        - ``removal-curve``, ``detection``, ``detection-curve``: where there is a ``model`` or a ``bad`` mask.
        - ``train-rows``, ``validation-rows``: the content of the rows above, with ``show_rows`` only.

    Raises:
        DataError: The ids of ``values`` and ``train`` differ, or ``train`` and ``validation`` do not have the
            same features, or a row shown is a zero vector under cosine (not for values by retraining).
        InputError: ``bad`` is no mask of the rows, or marks none or all of them.
        MethodError: ``metric``, ``rows``, ``neighbours`` or ``seed`` make no sense, ``model`` is no classifier, or the
            values are of owners, of whom there is no such evidence.
        MissingExtra: Pictures are to be shown and Pillow is not installed.

    Example:
        >>> import dataworth as dw
        >>> points = dw.Points([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], ["cat", "dog", "dog"])
        >>> values = dw.Values(points.ids, [0.2, -0.1, 0.3], method="by hand", n_validation=3)
        >>> seen = dw.gather_evidence(values, points, points, rows=1, neighbours=2)
        >>> [piece.name for piece in seen.evidence]
        ['lowest-neighbours', 'highest-neighbours', 'class-values', 'class-below-zero']
    """
    if metric not in METRICS:
        raise MethodError(f"metric must be one of {', '.join(map(repr, METRICS))}, not {metric!r}")
    for name, count in (("rows", rows), ("neighbours", neighbours)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise MethodError(f"{name} must be a positive integer, not {count!r}")
    check_seed(seed)
    check_same_features(train, validation)
    by_row = values_of(values, train)
    ends = {"lowest": np.argsort(by_row, kind="stable")[:rows], "highest": np.argsort(-by_row, kind="stable")[:rows]}
    shown = np.unique(np.concatenate(list(ends.values())))
    scale = _Scale.of(validation.x) if "path" in values.provenance and values.errors is not None else None
    found = _nearest(train.x[shown], validation.x, metric, neighbours, scale)
    near = dict(zip(shown.tolist(), found, strict=True))

    pieces: list[Evidence] = [
        _neighbours(end, [(int(row), *near[int(row)]) for row in at], train, validation, metric, scale is not None)
        for end, at in ends.items()
    ]
    if train.has_classes and np.unique(train.y).size <= CLASSES_SHOWN:
        pieces += _by_class(by_row, train.y)
    if model is not None:
        pieces.append(_removal(removal_curve(values, train, validation, model, seed=seed)))
    if bad is not None:
        pieces += _detection(values, train, bad)
    if show_rows:
        points = np.unique(np.concatenate([at for at, _ in near.values()]))
        pieces.append(_content("train-rows", "Training rows shown", train, shown))
        pieces.append(_content("validation-rows", "Validation points shown", validation, points))
    return values.with_evidence(*pieces)


# -- neighbours ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Scale:
    """What brings features to one scale: a mean and a width each, ``(d,)``."""

    mean: NDArray[np.float64]
    width: NDArray[np.float64]

    @classmethod
    def of(cls, points: NDArray[Any]) -> _Scale:
        mean = points.mean(axis=0, dtype=np.float64)
        total = np.zeros_like(mean)
        for slab in _slabs(points):
            total += ((slab - mean) ** 2).sum(axis=0)
        width = np.sqrt(total / len(points))
        width[(points.min(axis=0) == points.max(axis=0)) | (width == 0)] = 1.0  # what rounding leaves is no width
        return cls(mean, width)

    def __call__(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        scaled: NDArray[np.float64] = (rows - self.mean) / self.width
        return scaled


def _slabs(points: NDArray[Any]) -> Iterator[NDArray[Any]]:
    height = max(1, _SLAB // points.shape[1])
    return (points[at : at + height] for at in range(0, len(points), height))


def _nearest(
    rows: NDArray[Any], points: NDArray[Any], metric: Metric, count: int, scale: _Scale | None
) -> list[tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """For each row, positions and exact distances of its nearest points, nearest first.

    The screen is a float64 product over slabs of points; the distances that are shown come from the one
    function that also decides who is a neighbour when values are computed.
    """
    if metric == "cosine" and scale is None:
        for x in (rows, points):
            check_directions(np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64)))
    if scale is not None:
        rows = scale(rows)
    ready = _directions(rows) if metric == "cosine" else rows.astype(np.float64)
    slabs = (slab if scale is None else scale(slab) for slab in _slabs(points))
    screen = np.hstack([_screen(ready, slab, metric) for slab in slabs])
    count = min(count, len(points))
    nearest = []
    for row, gaps in zip(rows, screen, strict=True):
        at = np.argpartition(gaps, count - 1)[:count]
        chosen = points[at] if scale is None else scale(points[at])
        exact = np.array([_exact(row, point, metric) for point in chosen])
        order = np.lexsort((at, exact))
        nearest.append((at[order], np.maximum(exact[order], 0.0)))
    return nearest


def _exact(row: NDArray[Any], point: NDArray[Any], metric: Metric) -> float:
    """The distance; of what has no direction, that of two directions with nothing in common."""
    if metric == "cosine" and not (row.any() and point.any()):
        return 1.0
    return pair_distance(row, point, metric)


def _screen(ready: NDArray[np.float64], slab: NDArray[Any], metric: Metric) -> NDArray[np.float64]:
    if metric == "cosine":
        return 1.0 - ready @ _directions(slab).T
    wide = slab.astype(np.float64)
    # Differences, not a product: rows far from the origin keep all their digits.
    return np.stack([((wide - row) ** 2).sum(axis=1) for row in ready])


def _directions(x: NDArray[Any]) -> NDArray[np.float64]:
    wide = x.astype(np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    directions: NDArray[np.float64] = wide / np.where(length > 0, length, 1.0)
    return directions


def _neighbours(
    end: str,
    near: Sequence[tuple[int, NDArray[np.intp], NDArray[np.float64]]],
    train: Points,
    validation: Points,
    metric: Metric,
    scaled: bool,
) -> Links:
    rows = np.repeat([row for row, _, _ in near], [at.size for _, at, _ in near])
    points = np.concatenate([at for _, at, _ in near])
    kind = "the same label" if train.has_classes else "the same target"
    by = f"{metric} distance{_SCALED if scaled else ''}"
    return Links(
        f"{end}-neighbours",
        f"Nearest validation points of the {end} rows",
        row_ids=train.ids[rows],
        point_ids=validation.ids[points],
        distance=np.concatenate([gaps for _, _, gaps in near]),
        same_label=train.y[rows] == validation.y[points],
        note=f"Nearest first, by {by}; the mark says whether the two have {kind}.",
    )


# -- classes ---------------------------------------------------------------------------------------


def _by_class(by_row: NDArray[np.float64], y: NDArray[Any]) -> list[Exhibit]:
    classes, code = np.unique(y, return_inverse=True)
    size = np.bincount(code)
    mean = np.bincount(code, weights=by_row) / size
    below = np.bincount(code, weights=by_row < 0).astype(np.int64)
    order = np.argsort(mean, kind="stable")
    by_class = np.split(by_row[np.argsort(code, kind="stable")], np.cumsum(size)[:-1])
    low, middle, high = np.array([np.quantile(by_class[c], [0.05, 0.5, 0.95]) for c in order]).T
    names = [str(c) for c in classes[order]]
    worst, best = names[0], names[-1]
    return [
        Exhibit(
            "class-values",
            "bars",
            Table(
                "class-values",
                "Mean value by class",
                {
                    "class": names,
                    "rows": size[order].tolist(),
                    "mean value": mean[order].tolist(),
                    "5% lie below": low.tolist(),
                    "half lie below": middle.tolist(),
                    "95% lie below": high.tolist(),
                },
            ),
            x="mean value",
            y="class",
            alt=f"Bars of the mean value of the rows of each of {classes.size} classes, lowest first.",
            caption=(
                f"Lowest in {worst}, highest in {best}. A class can be low because its labels are poor, or because "
                "the validation set holds little of it: compare with how many points it has there."
                if classes.size > 1
                else "All rows are of one class."
            ),
        ),
        Exhibit(
            "class-below-zero",
            "bars",
            Table(
                "class-below-zero",
                "Share of rows below zero by class",
                {
                    "class": names,
                    "rows": size[order].tolist(),
                    "rows below zero": below[order].tolist(),
                    "share below zero": (below / size)[order].tolist(),
                },
            ),
            x="share below zero",
            y="class",
            alt=f"Bars of the share of rows with a value below zero in each of {classes.size} classes.",
            caption="In the order of the mean values. A class that stands out is where to look for wrong labels.",
        ),
    ]


# -- curves ----------------------------------------------------------------------------------------


def _removal(curve: Table) -> Exhibit:
    runs = np.array([curve.columns["random, lowest run"], curve.columns["random, highest run"]], dtype=np.float64)
    removed = "share of rows removed"
    spread = float((runs[1] - runs[0]).max())
    return Exhibit(
        "removal-curve",
        "curve",
        lines_of(curve, "removed", ["lowest first", "random", "highest first"], names=(removed, "order", "accuracy")),
        x=removed,
        y="accuracy",
        series="order",
        alt="Lines of accuracy on the validation points against the share of rows removed: lowest values first, "
        "at random, and highest values first.",
        caption=(
            "Useful values keep the first line at or above random and pull the last below it. "
            f"{curve.note} They differed by up to {spread:.3f}. The points that judge here also gave the values, "
            "which flatters the curve."
        ),
    )


def _detection(values: Values, train: Points, bad: ArrayLike) -> list[Evidence]:
    mask = np.asarray(bad)
    if mask.shape != (len(train),) or mask.dtype != np.bool_:
        raise InputError(f"bad must be a boolean mask of shape ({len(train)},), not {mask.dtype} of shape {mask.shape}")
    by_row = values_of(values, train)
    found = Values(train.ids, by_row, method=values.method, n_validation=values.n_validation).detection(mask)
    tenth = max(1, round(0.1 * len(train)))
    lowest = round(found.found_in_lowest(tenth / len(train)) * found.n_bad)  # equal values share their bad rows
    figures = Table(
        "detection",
        "Finding the rows known to be bad",
        {
            "known bad rows": [f"{found.n_bad:,} of {len(train):,}"],
            "AUROC": [found.auroc],
            "average precision": [found.average_precision],
            "bad among the lowest 10%": [f"{lowest:,} of {tenth:,}"],
        },
        note=(
            "AUROC: the chance that a bad row has a lower value than a good one (0.5 is guessing, 1 is perfect). "
            f"Average precision: how pure the list stays as it is read from the lowest value "
            f"(guessing gives {found.n_bad / len(train):.3f})."
        ),
    )
    inspected, reached = "share of rows inspected", "share of bad rows found"
    wide = Table(
        found.curve.name,
        found.curve.title,
        {
            "inspected": found.curve.columns["inspected"],
            "lowest value first": found.curve.columns["found"],
            "random order": found.curve.columns["random"],
        },
    )
    picture = Exhibit(
        "detection-curve",
        "curve",
        lines_of(wide, "inspected", ["lowest value first", "random order"], names=(inspected, "order", reached)),
        x=inspected,
        y=reached,
        series="order",
        alt="Lines of the share of bad rows found against the share inspected: lowest value first, and at random.",
        caption=(
            f"Reading the lowest 10% finds {found.found_in_lowest(0.1):.0%} of the bad rows; "
            f"the lowest 20%, {found.found_in_lowest(0.2):.0%}."
        ),
    )
    return [figures, picture]


# -- content of rows -------------------------------------------------------------------------------


def _content(name: str, title: str, points: Points, at: NDArray[np.intp]) -> Exhibit:
    columns: dict[str, list[Any]] = {
        "id": points.ids[at].tolist(),
        "label": [label if isinstance(label, float) else str(label) for label in points.y[at].tolist()],
    }
    note, shown = "", "label"
    items = None if points.items is None else [(int(i), points.items[int(i)]) for i in at]
    if items is None:
        names = points.features or tuple(f"feature {j}" for j in range(points.x.shape[1]))
        for j, column in enumerate(names[:FEATURES_SHOWN]):
            key = column if column not in columns else f"{column} (feature)"
            columns[key] = points.x[at, j].astype(np.float64).tolist()
        if len(names) > FEATURES_SHOWN:
            note = f"The first {FEATURES_SHOWN} of {len(names):,} features."
    else:
        shown = "text" if all(isinstance(item, str) for _, item in items) else "picture"
        columns[shown] = [excerpt(item) if isinstance(item, str) else thumbnail(i, item) for i, item in items]
    return Exhibit(name, "rows", Table(name, title, columns, note), x="id", y=shown, alt=f"{title}: their content.")
