"""The demo: do low values find the labels that we changed? Real digits, no download."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataworth.data.images import encoded
from dataworth.records import Points, Table, Values
from dataworth.valuation.evidence import gather_evidence
from dataworth.valuation.methods import KNNShapley, ThresholdKNNShapley
from dataworth.valuation.points import suggest_radius, value_points

__all__ = ["DemoData", "DemoResult", "digits_with_errors", "run_demo"]

INSPECTED = 0.1


@dataclass(frozen=True, eq=False)
class DemoData:
    """Handwritten digits of which some carry a wrong label.

    Args:
        train: The digits to value, with pictures of them as items.
        validation: Digits with their true labels, to judge by.
        wrong: Which train labels were changed, bool, shape ``(n,)``.
    """

    train: Points
    validation: Points
    wrong: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class DemoResult:
    """What the demo found.

    Args:
        data: What was valued.
        radius: The radius that the validation set suggested, in cosine distance.
        threshold: Threshold-KNN values at that radius, with evidence.
        knn: KNN values, with evidence.
        summary: One row a method: how well low values find the wrong labels.
    """

    data: DemoData
    radius: float
    threshold: Values
    knn: Values
    summary: Table


def digits_with_errors(*, share: float = 0.1, n_validation: int = 400, seed: int = 0) -> DemoData:
    """Scikit-learn's 1,797 digits of 8 x 8 pixels, some of the labels changed to another digit at random.

    Args:
        share: Which share of the train labels to change.
        n_validation: How many digits to hold out, with their true labels, to judge by.
        seed: Seed of the split and of the changes.

    Raises:
        MissingExtra: Pillow, which writes the pictures, is not installed.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    rng = np.random.default_rng(seed)
    order = rng.permutation(digits.target.size)
    held_out, valued = order[:n_validation], order[n_validation:]

    wrong = np.zeros(valued.size, dtype=np.bool_)
    wrong[rng.choice(valued.size, size=round(share * valued.size), replace=False)] = True
    labels = digits.target[valued]
    labels[wrong] = (labels[wrong] + rng.integers(1, 10, size=wrong.sum())) % 10  # never the true digit

    def points(rows: NDArray[np.intp], labels: NDArray[np.int64]) -> Points:
        names = [f"digit-{row:04d}" for row in rows]
        ink = digits.images[rows] / 16  # from 0 (paper) to 1
        pictures = [encoded(page) for page in (255 * (1 - ink)).astype(np.uint8)]
        return Points(digits.data[rows].astype(np.float32), labels, ids=names, items=pictures)

    return DemoData(points(valued, labels), points(held_out, digits.target[held_out]), wrong)


def run_demo(*, progress: bool | None = None) -> DemoResult:
    """Change one digit label in ten, value all digits in two ways, and see whether low values find the changes.

    Args:
        progress: Whether to show progress bars; None shows them on a terminal.

    Raises:
        MissingExtra: Pillow, which writes the pictures, is not installed.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = digits_with_errors()
    radius = suggest_radius(data.validation)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))

    def valued(method: ThresholdKNNShapley | KNNShapley) -> Values:
        values = value_points(data.train, data.validation, method=method, progress=progress)
        return gather_evidence(values, data.train, data.validation, bad=data.wrong, model=model, show_rows=True)

    method = KNNShapley()
    threshold, knn = valued(ThresholdKNNShapley(radius)), valued(method)
    named = {f"Threshold-KNN, radius {radius:.3g}": threshold, f"KNN, k = {method.k}": knn}
    return DemoResult(data, radius, threshold, knn, _summary(data.wrong, named))


def _summary(wrong: NDArray[np.bool_], named: Mapping[str, Values]) -> Table:
    n_lowest = round(INSPECTED * wrong.size)
    detections = [values.detection(wrong) for values in named.values()]
    lowest = [np.argsort(values.values, kind="stable")[:n_lowest] for values in named.values()]
    return Table(
        "demo",
        f"Do low values find the {wrong.sum()} wrong labels among {wrong.size} digits?",
        {
            "method": list(named),
            "AUROC": [detection.auroc for detection in detections],
            "average precision": [detection.average_precision for detection in detections],
            f"wrong among the {n_lowest} lowest": [int(wrong[rows].sum()) for rows in lowest],
        },
        note=f"By chance: AUROC 0.5, and about {round(INSPECTED * wrong.sum())} wrong among the {n_lowest} lowest.",
    )
