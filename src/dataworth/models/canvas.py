"""Images of any height and width on a canvas that networks can halve three times."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["from_canvas", "to_canvas"]

_SIDE = 8  # sides are padded to a multiple of it


def to_canvas(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images as ``(n, channels, height, width)``, their edges repeated until sides are multiples of eight.

    Args:
        images: ``(n, height, width)`` or ``(n, height, width, channels)``.
    """
    stacked = images[:, None] if images.ndim == 3 else np.moveaxis(images, 3, 1)
    height, width = (-side % _SIDE for side in stacked.shape[2:])
    room = [(0, 0), (0, 0), (height // 2, height - height // 2), (width // 2, width - width // 2)]
    return np.ascontiguousarray(np.pad(stacked, room, mode="edge"))


def from_canvas(canvas: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The inverse, from pixels in [-1, 1], which are rounded.

    Args:
        canvas: ``(n, channels, height, width)``.
        shape: Of one image, ``(height, width)`` or ``(height, width, channels)``.
    """
    top, left = ((canvas.shape[axis + 2] - shape[axis]) // 2 for axis in (0, 1))
    cut = canvas[:, :, top : top + shape[0], left : left + shape[1]]
    pixels = np.rint((np.clip(cut, -1, 1) + 1) * 127.5).astype(np.uint8)
    return np.ascontiguousarray(pixels[:, 0] if len(shape) == 2 else np.moveaxis(pixels, 1, 3))
