"""What every worker on parts is told: the files, the points that judge, and how rows meet them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.data.sources import Part, Piece, Source
from dataworth.errors import DataError, InputError, MethodError
from dataworth.kernels import neighbors
from dataworth.kernels.neighbors import DType, Judges, Metric, Rows
from dataworth.records import Points
from dataworth.records.points import missing_features
from dataworth.valuation.task import check_same_kind, class_list, encode

__all__ = ["PartJob", "fractions"]


@dataclass(frozen=True, eq=False)
class PartJob:
    """Rows in files and the points that they meet; made by :meth:`of`.

    Args:
        source: The files.
        points: The validation points as given, ``(n_validation, d)``.
        point_codes: Their classes, ``(n_validation,)``.
        classes: The class labels, ascending.
        metric: How far apart two rows are.
        dtype: The precision that distances are screened in.
        stamps: Size and time of change of every file; the footer of an Arrow file says nothing of its rows.
    """

    source: Source
    points: NDArray[Any]
    point_codes: NDArray[np.int64]
    classes: NDArray[Any]
    metric: Metric
    dtype: DType
    stamps: tuple[tuple[int, int], ...]

    @classmethod
    def of(
        cls, source: Source, validation: Points, metric: Metric, classes: Sequence[Any] | None, dtype: DType
    ) -> PartJob:
        """Rows and points that fit together.

        Raises:
            InputError: Rows without labels.
            DataError: They do not.
            MethodError: Labels of points that are no classes.
        """
        if source.label is None:
            raise InputError("rows are valued by their labels; Source.open(..., label=...) names their column")
        if validation.missing:
            raise missing_features(validation.missing, len(validation))
        if not validation.has_classes:
            raise MethodError("validation labels are numbers with fractions, which are no classes")
        if source.width != validation.x.shape[1]:
            raise DataError(
                f"the files have {source.width} features, but the validation set has {validation.x.shape[1]}"
            )
        if source.names is not None and validation.features is not None and source.names != validation.features:
            raise DataError("the files have other features than the validation set, or the same in another order")
        known = class_list(validation, classes)
        codes = encode(validation.y, known)
        strange = int((codes < 0).sum())
        if strange:
            raise DataError(f"{strange} of {len(validation)} validation labels are not among the classes given")
        return cls(source, validation.x, codes, known, metric, dtype, _stamps(source))

    @property
    def n_classes(self) -> int:
        """How many classes there are."""
        return int(self.classes.size)

    @property
    def centre(self) -> NDArray[np.float64] | None:
        """Euclidean data is centred on the validation mean, which is public."""
        return self.points.mean(axis=0, dtype=np.float64) if self.metric == "euclidean" else None

    def digest(self, *more: object) -> str:
        """A digest of everything that values depend on.

        Args:
            more: What else they depend on, such as the method; by ``repr``.
        """
        told = (self.source.digest, *more, self.metric, self.dtype, self.stamps)
        return _digest(self._judges_told, told)

    def links_digest(self, *more: object) -> str:
        """A digest of what the links of a file's rows depend on, but for the file.

        Args:
            more: What else they depend on, such as the radius; by ``repr``.
        """
        source = self.source
        told = (source.label, source.features, source.filter, *more, self.metric)
        return _digest(self._judges_told, told)

    @property
    def _judges_told(self) -> tuple[object, ...]:
        return (
            self.classes.tolist(),
            self.points.dtype,
            self.points.shape,
            np.ascontiguousarray(self.points),
            self.point_codes,
        )

    def check_files(self) -> None:
        """Make sure that all was read from the same files.

        Raises:
            DataError: One is gone, or was changed since the run began.
        """
        for file, before, now in zip(self.source.files, self.stamps, _stamps(self.source), strict=True):
            if before != now:
                raise DataError(f"{file!r} has changed since the run began; open the files again, for a new folder")

    def usable(self, x: NDArray[Any]) -> NDArray[np.bool_]:
        """Which rows can be linked."""
        return neighbors.usable_rows(x, self.metric, centre=self.centre, dtype=self.dtype)

    @property
    def unusable(self) -> str:
        """What is wrong with the others."""
        if self.metric == "cosine":
            return (
                "are zero vectors, which have no direction for the cosine metric, or far too long or short; drop them, "
                "or use metric='euclidean'"
            )
        more = ", or use dtype='float64'" if self.dtype == "float32" else ""
        return f"have features too large for {self.dtype} distances (squares overflow); rescale them{more}"

    def codes(self, piece: Piece) -> NDArray[np.int64]:
        """The class of each row, -1 for a label that is no class.

        Raises:
            MethodError: Labels are numbers with fractions.
            DataError: Labels are text where classes are numbers, or the other way about.
        """
        if piece.y.dtype.kind == "f" and not (piece.y == np.rint(piece.y)).all():
            raise fractions()
        check_same_kind(piece.y, self.classes, "labels of the files")
        return encode(piece.y, self.classes)

    def ready(self, part: Part, piece: Piece) -> tuple[Rows, Judges]:
        """The rows of a part and all points, made ready to meet.

        Raises:
            DataError: Rows that cannot be linked; the message names their file.
        """
        try:
            if self.metric == "euclidean":
                neighbors.check_scale(piece.x, self.points)
            rows = neighbors.prepare(
                piece.x, self.codes(piece), self.n_classes, self.metric, centre=self.centre, dtype=self.dtype
            )
        except DataError as error:
            raise DataError(f"{part.file!r}, rows {part.first} to {part.first + part.rows - 1}: {error}") from None
        return rows, self.meeting(rows)

    def meeting(self, rows: Rows) -> Judges:
        """All points made ready to meet some rows."""
        return Judges.ready(rows, self.points, self.point_codes, self.centre)


def fractions() -> MethodError:
    """Labels that are no classes."""
    return MethodError("labels are numbers with fractions, which are no classes; turn them into classes first")


def _stamps(source: Source) -> tuple[tuple[int, int], ...]:
    found = []
    for file in source.files:
        try:
            about = os.stat(file)
        except OSError:
            raise DataError(f"{file!r} is gone or cannot be read") from None
        found.append((about.st_size, about.st_mtime_ns))
    return tuple(found)


def _digest(judges: tuple[object, ...], told: tuple[object, ...]) -> str:
    plain = [item for item in judges if not isinstance(item, np.ndarray)]
    digest = hashlib.blake2b(repr((plain, told)).encode(), digest_size=16)
    for item in judges:
        if isinstance(item, np.ndarray):
            digest.update(item.data)
    return digest.hexdigest()
