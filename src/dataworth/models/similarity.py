"""Distances of images that need no weights: of pixels, and by structural similarity.

Both are functions of the two images alone, to the last bit: others that are measured in the same call change
nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["SSIM_WINDOW", "Moments", "moments", "pixel_distances", "ssim_distances"]

Float: TypeAlias = NDArray[np.float64]

SSIM_WINDOW = 11
_SIGMA = 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # keep the ratio finite where an image is black, or flat

Moments: TypeAlias = tuple[Float, Float, Float]
"""An image (height, width, 3), and its mean and variance in every window that lies wholly inside it."""


def pixel_distances(one: NDArray[np.uint8], others: Sequence[NDArray[np.uint8]]) -> Float:
    r"""Euclidean distances of pixels that run from 0 to 1, $\lVert a - b \rVert_2$ over places and channels.

    Args:
        one: An image, uint8 ``(height, width, 3)``.
        others: Images of the same shape, ``c`` of them.

    Returns:
        float64, shape ``(c,)``; from 0 to ``sqrt(height * width * 3)``. The sum of squares is exact.

    Example:
        >>> import numpy as np
        >>> white = np.full((2, 2, 3), 255, dtype=np.uint8)
        >>> pixel_distances(white, [white, white * 0]).round(3).tolist()
        [0.0, 3.464]
    """
    difference = np.stack(others).astype(np.int32) - one
    squares = np.square(difference, out=difference).reshape(len(others), -1).sum(axis=1, dtype=np.int64)
    distances: Float = np.sqrt(squares) / 255
    return distances


def moments(image: NDArray[np.uint8]) -> Moments:
    """What structural similarity needs to know of one image; computed once for all its pairs.

    Args:
        image: uint8 ``(height, width, 3)``, each side at least :data:`SSIM_WINDOW`.
    """
    x = image.astype(np.float64)
    mean = np.ascontiguousarray(_windows(x))  # no view, which would keep what it was cut from
    return x, mean, _windows(x * x) - mean * mean


def ssim_distances(one: Moments, others: Sequence[Moments]) -> Float:
    """One minus structural similarity (Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 2004), as they define it.

    Windows are 11 x 11, weighted by a Gaussian of standard deviation 1.5; their constants are 0.01 and 0.03 of the
    range 255. Similarity is averaged over the windows that lie wholly inside the image and over the three channels,
    so that a grey image has the same distance as grey and as RGB.

    Args:
        one: From :func:`moments`.
        others: The same of ``c`` images of the same shape.

    Returns:
        float64, shape ``(c,)``; 0 for equal images, at most 2.

    Example:
        >>> import numpy as np
        >>> step = np.zeros((16, 16, 3), dtype=np.uint8)
        >>> step[:, 8:] = 255
        >>> ssim_distances(moments(step), [moments(step), moments(255 - step)]).round(2).tolist()
        [0.0, 1.44]
    """
    x, mean_x, variance_x = one
    y, mean_y, variance_y = (np.stack(part) for part in zip(*others, strict=True))
    means = mean_x * mean_y
    covariance = _windows(x * y) - means
    similarity = (2 * means + _C1) * (2 * covariance + _C2)
    similarity /= (mean_x * mean_x + mean_y * mean_y + _C1) * (variance_x + variance_y + _C2)
    distances: Float = 1 - similarity.reshape(len(others), -1).mean(axis=1)
    return distances


def _windows(x: Float) -> Float:
    """Weighted means over the windows that lie wholly inside, along the axes third and second from last."""
    from scipy.ndimage import correlate1d

    half = SSIM_WINDOW // 2
    rows: Float = correlate1d(x, _weights(), axis=-3)[..., half:-half, :, :]
    both: Float = correlate1d(rows, _weights(), axis=-2)[..., half:-half, :]
    return both


@functools.cache
def _weights() -> Float:
    at = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    weights = np.exp(-0.5 * np.square(at / _SIGMA))
    normal: Float = weights / weights.sum()
    return normal
