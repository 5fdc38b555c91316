"""Rows for the commands of providers and coordinators: tables, or folders of images as rows of pixels.

Columns, classes and image sizes are always taken from what is public, never from private rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataworth.errors import DataError, InputError

if TYPE_CHECKING:
    from dataworth.records import Points

__all__ = ["parse_shape", "read_rows", "read_rows_like"]


def read_rows(
    source: Path,
    *,
    label: str | None,
    id: str | None = None,
    owner: str | None = None,
    features: Sequence[str] | None = None,
    image_shape: tuple[int, ...] | None = None,
) -> tuple[Points, tuple[int, ...] | None]:
    """Rows of a table, or of a folder of images with one sub-folder a class, with the shape of an image.

    Args:
        source: A file or folder.
        label: The column of labels; a folder of images has none.
        id: The column of names.
        owner: The column that says whose rows are.
        features: The columns that are features.
        image_shape: Of the images that a table holds, or that a folder must hold.

    Raises:
        DataError: A source or column that cannot be used, or images of another shape.
        InputError: Options that a folder of images does not have.
    """
    if not source.is_dir():
        import dataworth as dw

        return dw.read_points(source, label=label, id=id, owner=owner, features=features), image_shape
    from dataworth.data.image_points import read_image_points

    named = [option for option, column in (("--label", label), ("--id", id), ("--owner", owner)) if column is not None]
    if named:
        raise InputError(
            f"{source.name!r} is a folder of images, whose labels are its sub-folders; leave out {named[0]}"
        )
    points, shape = read_image_points(source, grey=None if image_shape is None else len(image_shape) < len("hwc"))
    if image_shape is not None and shape != image_shape:
        raise DataError(f"the images in {str(source)!r} are {_words(shape)}, not {_words(image_shape)}")
    from dataworth.records import Points

    return Points(points.x, points.y, ids=points.ids), shape  # without the paths: nothing here shows a private image


def read_rows_like(
    source: Path,
    like: Points,
    image_shape: tuple[int, ...] | None,
    *,
    label: str | None,
    id: str | None = None,
    owner: str | None = None,
) -> Points:
    """Rows with the columns of others, in their order.

    Args:
        source: A file or folder.
        like: Public rows.
        image_shape: Of their images, if they are such.
        label: The column of labels, for a table.
        id: The column of names.
        owner: The column that says whose rows are.

    Raises:
        DataError: A source or column that cannot be used, or images of another shape.
        InputError: Options that a folder of images does not have.
    """
    features = None if like.features is None else list(like.features)
    return read_rows(source, label=label, id=id, owner=owner, features=features, image_shape=image_shape)[0]


def parse_shape(text: str | None) -> tuple[int, ...] | None:
    """``28x28`` or ``32x32x3`` as a shape.

    Raises:
        InputError: It is something else.
    """
    if text is None:
        return None
    sizes = text.lower().split("x")
    if len(sizes) not in (2, 3) or not all(size.isascii() and size.isdecimal() and int(size) > 0 for size in sizes):
        raise InputError(f"--image-shape is height x width, such as 28x28 or 32x32x3, not {text!r}")
    return tuple(int(size) for size in sizes)


def _words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
