"""What every job on labelled points begins with: labels as class numbers, panels of validation points, a bar."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError, MethodError, UnmatchedLabels
from dataworth.kernels import neighbors
from dataworth.kernels.neighbors import DType, Judges, Metric, Rows
from dataworth.kernels.team import Tick, blocks
from dataworth.records import Points
from dataworth.records.points import missing_features

__all__ = ["Task", "bar", "check_same_kind", "class_list", "encode", "link_panels"]

# Memory for the bits of the links held at once; more validation points come in further panels.
_BITS_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class Task:
    """Train and validation with their labels as class numbers; -1 for a train label that is no class.

    Args:
        train: The rows to value.
        validation: The points that judge.
        codes: Class of each train row, ``(n_train,)``.
        point_codes: Class of each validation point, ``(n_validation,)``.
        n_classes: How many classes there are.
    """

    train: Points
    validation: Points
    codes: NDArray[np.int64]
    point_codes: NDArray[np.int64]
    n_classes: int

    @classmethod
    def of(cls, train: Points, validation: Points, classes: Sequence[Any] | None) -> Task:
        """Number the labels; the warning points at whoever called the function that calls this.

        Args:
            train: The rows to value.
            validation: The points that judge.
            classes: All class labels there are; by default those of the validation set.

        Raises:
            DataError: Labels of different kinds, or validation labels that are not among the classes.
            InputError: ``classes`` is no list of different labels.
            MethodError: Labels are numbers with fractions.

        Warns:
            UnmatchedLabels: Some train labels are no class.
        """
        for name, points in (("train", train), ("validation", validation)):
            if points.missing:
                raise missing_features(points.missing, len(points))
            if points.y.dtype.kind == "f" and not (points.y == np.rint(points.y)).all():
                raise MethodError(
                    f"{name} labels are numbers with fractions, which are no classes; "
                    "use KNNRegressionShapley, or turn them into classes"
                )
        known = class_list(validation, classes)
        check_same_kind(train.y, known, "train labels")
        codes, point_codes = encode(train.y, known), encode(validation.y, known)
        strange = int((point_codes < 0).sum())
        if strange:
            raise DataError(f"{strange} of {len(validation)} validation labels are not among the classes given")
        unmatched = int((codes < 0).sum())
        if unmatched:
            warnings.warn(
                f"{unmatched} of {len(train)} train labels are no validation class: those rows match no "
                "validation point, so they can only lower the votes of others",
                UnmatchedLabels,
                stacklevel=3,
            )
        return cls(train, validation, codes, point_codes, known.size)

    def ready(self, metric: Metric, dtype: DType, threads: int) -> tuple[Rows, Judges]:
        """Rows and points made ready for tiles; euclidean data is centred on the validation mean, which is public."""
        centre = None
        if metric == "euclidean":
            neighbors.check_scale(self.train.x, self.validation.x)
            centre = self.validation.x.mean(axis=0, dtype=np.float64)
        rows = neighbors.prepare(
            self.train.x, self.codes, self.n_classes, metric, centre=centre, dtype=dtype, threads=threads
        )
        return rows, Judges.ready(rows, self.validation.x, self.point_codes, centre)


def class_list(validation: Points, classes: Sequence[Any] | None) -> NDArray[Any]:
    """The class labels in ascending order: those given, or those found in the validation set.

    Raises:
        DataError: The labels given are of another kind than those of the validation set.
        InputError: They are no list of different labels.
    """
    if classes is None:
        return np.unique(validation.y)
    try:
        given = Points(np.zeros((len(classes), 1)), classes).y  # the same rules as for labels
    except (DataError, TypeError):
        raise InputError(f"classes must be a list of labels, one kind and none missing, not {classes!r}") from None
    if np.unique(given).size != given.size:
        raise InputError(f"classes repeats labels: {given.size} given, {np.unique(given).size} different")
    check_same_kind(validation.y, given, "validation labels")
    return np.unique(given)


def check_same_kind(labels: NDArray[Any], classes: NDArray[Any], name: str) -> None:
    """Refuse text where the classes are numbers, and numbers where they are text.

    Raises:
        DataError: With the name given.
    """
    kinds = {True: "text", False: "numbers"}
    ours, theirs = labels.dtype.kind in "UO", classes.dtype.kind in "UO"
    if ours != theirs:
        raise DataError(f"{name} are {kinds[ours]}, but the classes are {kinds[theirs]}; use one kind for both")


def encode(labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64]:
    """The number of each label's class, in ascending order of classes; -1 for a label that is no class."""
    if {labels.dtype.kind, classes.dtype.kind} == {"i", "u"}:  # NumPy would compare these as floats
        labels, classes = labels.astype(object), classes.astype(object)
    at = np.minimum(np.searchsorted(classes, labels), classes.size - 1)
    return np.where(classes[at] == labels, at, -1).astype(np.int64)


def link_panels(rows: Rows, judges: Judges) -> list[slice]:
    """Validation points in panels whose bits fit in memory; panels start at multiples of 8."""
    return [slice(*block) for block in blocks(len(judges), max(8, _BITS_BYTES * 8 // len(rows) // 8 * 8))]


@contextmanager
def bar(jobs: int, title: str, progress: bool | None) -> Iterator[Tick]:
    """A progress bar on a terminal, or where asked for."""
    from tqdm.auto import tqdm

    with tqdm(total=jobs, desc=title, disable=None if progress is None else not progress, leave=False) as bar:
        yield bar.update
