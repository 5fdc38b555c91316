"""What can be measured on an image without a model: how thick and how slanted a digit is, animal or vehicle.

C2 asks whether an item and its contributors share attributes. A digit's are measured on the pixels alone, on
training and generated items alike, and cut into thirds of the training items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError

__all__ = ["VEHICLES", "animal_or_vehicle", "into_thirds", "slant", "stroke_thickness", "thirds"]

VEHICLES = (0, 1, 8, 9)
"""CIFAR-10 classes that are vehicles: airplane, automobile, ship, truck. The others are animals."""

_FINER = 4  # times in each direction: a stroke of two or three pixels is measured in quarters of one
_NO_INK = "no ink"


def stroke_thickness(image: NDArray[np.uint8]) -> float | None:
    """How thick the strokes of a light shape on black are.

    In a long stroke of width w the distance to the edge is w / 4 on average, so the thickness is four times the
    mean distance to the edge over the ink. The image is enlarged four times, and ink is what is lighter than half
    of its lightest pixel.

    Args:
        image: uint8, shape ``(height, width)`` or ``(height, width, 3)``.

    Returns:
        Pixels of the image as given; None if it is black all over.

    Example:
        >>> bar = np.zeros((28, 28), np.uint8)
        >>> bar[4:24, 10:14] = 255
        >>> round(stroke_thickness(bar), 1)
        3.7
    """
    from scipy import ndimage

    grey = _grey(image)
    if not grey.any():
        return None
    fine = ndimage.zoom(grey, _FINER, order=1, mode="grid-constant", grid_mode=True)
    ink = np.pad(fine > fine.max() / 2, 1)
    # Distances are from a pixel's middle to that of the first one without ink, half a pixel beyond the edge.
    return float(4 * (ndimage.distance_transform_edt(ink)[ink] - 0.5).mean() / _FINER)


def slant(image: NDArray[np.uint8]) -> float | None:
    """How far a light shape on black leans to the right, from its second moments.

    Args:
        image: uint8, shape ``(height, width)`` or ``(height, width, 3)``.

    Returns:
        Degrees from upright, negative to the left; None for an image whose light is all in one row, or nowhere.

    Example:
        >>> slant(255 * np.eye(28, dtype=np.uint8)[::-1])
        45.0
    """
    grey = _grey(image)
    total = grey.sum()
    if total == 0:
        return None
    rows, columns = np.indices(grey.shape)
    down = rows - (grey * rows).sum() / total
    right = columns - (grey * columns).sum() / total
    tall = (grey * down * down).sum()
    return float(np.degrees(np.arctan(-(grey * down * right).sum() / tall))) if tall > 0 else None


def thirds(measured: Sequence[float | None]) -> tuple[float, float]:
    """The two numbers that cut what was measured into thirds.

    Raises:
        DataError: Nothing was measured.
    """
    numbers = [number for number in measured if number is not None]
    if not numbers:
        raise DataError("none of the images has ink to measure")
    low, high = np.quantile(numbers, [1 / 3, 2 / 3])
    return float(low), float(high)


def into_thirds(
    measured: Sequence[float | None], cuts: tuple[float, float], names: tuple[str, str, str]
) -> NDArray[np.str_]:
    """Each measurement's third, by name; ``"no ink"`` where there was nothing to measure.

    Args:
        measured: What was measured, shape ``(n,)``.
        cuts: The training items' :func:`thirds`, for training and generated items alike.
        names: Of the lowest, the middle and the highest third.

    Example:
        >>> into_thirds([1.0, 2.0, None], (1.5, 3.0), ("thin", "middle", "thick")).tolist()
        ['thin', 'middle', 'no ink']
    """
    return np.array([_NO_INK if number is None else names[int(np.searchsorted(cuts, number))] for number in measured])


def animal_or_vehicle(labels: NDArray[Any]) -> NDArray[np.str_]:
    """What a CIFAR-10 class is.

    Args:
        labels: Classes 0 to 9, shape ``(n,)``.
    """
    return np.where(np.isin(labels, VEHICLES), "vehicle", "animal")


def _grey(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    pixels = np.asarray(image, dtype=np.float64)
    return pixels.mean(axis=2) if pixels.ndim == 3 else pixels
