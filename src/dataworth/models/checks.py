"""What items show and what judges of them answer, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError
from dataworth.records.arrays import check_unmasked

__all__ = ["numbers_of", "pixels_of"]


def pixels_of(content: Any, item: str, name: str) -> NDArray[np.uint8]:
    """The content of an item that a judge of images is given: decoded pixels.

    Args:
        content: Should be uint8 of shape ``(height, width, 3)``.
        item: Which item, for the message.
        name: Of the judge.

    Raises:
        DataError: It is something else.
    """
    if isinstance(content, np.ndarray) and content.dtype == np.uint8 and content.ndim == 3 and content.shape[2] == 3:
        if content.size:
            return content
        raise DataError(f"{item} is an image without pixels")
    given = f"{content.dtype} of shape {content.shape}" if isinstance(content, np.ndarray) else type(content).__name__
    raise DataError(
        f"{name} looks at images, and {item} must be RGB pixels, uint8 of shape (height, width, 3), not {given}"
    )


def numbers_of(output: Any, count: int, name: str, each: str) -> NDArray[np.float64]:
    """What a judge answered: a flat list with the right count of real numbers.

    Args:
        output: A list or an array.
        count: How many it should hold.
        name: Of the judge.
        each: What every number is for.

    Raises:
        DataError: Another count, no numbers, or masked ones.
    """
    check_unmasked(output, name)
    try:
        numbers = np.asarray(output)
    except (TypeError, ValueError):
        raise DataError(f"{name} must give {count} numbers, one {each}; it gave ragged rows") from None
    if numbers.shape != (count,) or numbers.dtype.kind not in "fiub":
        raise DataError(f"{name} must give {count} numbers, one {each}, not {numbers.dtype} of shape {numbers.shape}")
    return numbers.astype(np.float64)
