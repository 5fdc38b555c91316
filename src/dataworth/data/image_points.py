"""Folders of images as points: one row of pixels an image."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from dataworth.data.images import labelled_folder, read_image
from dataworth.errors import DataError
from dataworth.records.points import Points

__all__ = ["read_image_points"]


def read_image_points(
    folder: str | os.PathLike[str], *, grey: bool | None = None
) -> tuple[Points, tuple[int, int] | tuple[int, int, int]]:
    """Read the images of a folder with one sub-folder a class.

    Args:
        folder: Where they are; the label of an image is the name of its class sub-folder.
        grey: Whether they have one channel or three. If not given, one where red, green and blue agree in every
            pixel of every image. Where the images are private, say it: found from them, it would be a fact about them.

    Returns:
        Points whose rows are pixels, float32 from 0 to 255, in rows from the top left, red, green and blue beside
        each other; ids are paths below the folder with forward slashes. And the shape of an image: ``(height,
        width)`` if grey, else ``(height, width, 3)``.

    Raises:
        DataError: No such folder, images outside class sub-folders, one that cannot be decoded, images of different
            sizes, or colours where ``grey`` is asked for.
        MissingExtra: Pillow is not installed.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from dataworth.data.images import encoded
        >>> with tempfile.TemporaryDirectory() as name:
        ...     for label in ("cat", "dog"):
        ...         folder = pathlib.Path(name) / label
        ...         folder.mkdir()
        ...         _ = (folder / "1.png").write_bytes(encoded(np.full((2, 3), 7, np.uint8)))
        ...     points, shape = read_image_points(name)
        >>> points, shape
        (Points(2 rows, 6 features, labels: cat, dog), (2, 3))
    """
    paths, labels, ids = labelled_folder(folder)
    first = read_image(0, paths[0])
    pixels = np.empty((len(paths), *first.shape), dtype=np.uint8)
    for at, path in enumerate(paths):
        image = first if at == 0 else read_image(at, path)
        if image.shape != first.shape:
            raise DataError(
                f"images must be of one size, but {str(path)!r} has {_size(image)} pixels and {str(paths[0])!r} "
                f"{_size(first)}; bring all to one size first"
            )
        pixels[at] = image
    plain = _without_colour(pixels)
    if grey and not plain:
        raise DataError(f"grey images were asked for, but some in {str(folder)!r} have colours")
    one = plain if grey is None else grey
    kept = pixels[..., 0] if one else pixels
    height, width = first.shape[:2]
    return (
        Points(kept.reshape(len(kept), -1), labels, ids=ids, items=paths),
        (height, width) if one else (height, width, 3),
    )


def _without_colour(pixels: NDArray[np.uint8]) -> bool:
    return all(bool((image == image[..., :1]).all()) for image in pixels)


def _size(image: NDArray[np.uint8]) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"
