"""Images as they come: folders, files, encoded bytes and arrays, decoded to RGB."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, MissingExtra

__all__ = ["Image", "encoded", "image_content", "image_files", "labelled_folder", "read_image"]

Image: TypeAlias = str | os.PathLike[str] | bytes | NDArray[np.uint8]
"""A path, the bytes of an image file, or pixels: uint8 of shape (height, width) or (height, width, 3)."""

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")

# The decoders that may see a file from outside; others (such as PostScript's) start programs.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


def image_files(folder: str | os.PathLike[str]) -> list[Path]:
    """All images below a folder, by suffix, sorted by their path; hidden files and folders are left out.

    Raises:
        DataError: No such folder, or no image in it.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"there is no folder {str(root)!r}")
    found = sorted(
        (path.relative_to(root).parts, path)
        for path in root.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
    if not found:
        raise DataError(f"there is no image in {str(root)!r} (suffixes read: {', '.join(SUFFIXES)})")
    return [path for _, path in found]


def labelled_folder(folder: str | os.PathLike[str]) -> tuple[list[Path], list[str], list[str]]:
    """The images of a folder with one sub-folder a class.

    Returns:
        Paths, labels (the sub-folders' names) and ids (paths relative to the folder, with forward slashes).

    Raises:
        DataError: No such folder, no image in it, or images outside the class sub-folders.
    """
    root = Path(folder)
    paths = image_files(root)
    parts = [path.relative_to(root).parts for path in paths]
    outside = sum(len(part) == 1 for part in parts)
    if outside:
        raise DataError(
            f"{outside} of {len(paths)} images in {str(root)!r} lie in no sub-folder; the label of an image is the "
            "name of its class sub-folder, so put them there"
        )
    return paths, [part[0] for part in parts], ["/".join(part) for part in parts]


def image_content(at: int, image: Image) -> bytes:
    """The bytes that decide what an image shows: of the file, or of the pixels with their shape."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, (str, os.PathLike)):
        return _file_bytes(Path(image))
    pixels = _pixels(at, image)
    return f"pixels {pixels.shape}\0".encode() + pixels.tobytes()


def read_image(at: int, image: Image) -> NDArray[np.uint8]:
    """Decode one image to RGB; grey images get three equal channels, transparency is dropped.

    Args:
        at: Its position, for messages about images without a name.
        image: A path, the bytes of an image file, or pixels.

    Returns:
        uint8, shape ``(height, width, 3)``.

    Raises:
        DataError: A missing or damaged file, or pixels of another type or shape. Files are named, other
            images are given by their position.
        MissingExtra: Pillow is not installed (paths and bytes need it).
    """
    if not isinstance(image, (str, os.PathLike, bytes)):
        return _pixels(at, image)
    raw, name = (
        (image, f"image {at}") if isinstance(image, bytes) else (_file_bytes(Path(image)), repr(os.fspath(image)))
    )
    pillow, ops = _pillow()
    try:
        with pillow.open(io.BytesIO(raw), formats=_FORMATS) as opened:
            upright = ops.exif_transpose(opened)
            if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
                raise DataError(
                    f"{name} has more than 8 bits a channel (mode {upright.mode}); convert it to 8 bits first"
                )
            return np.asarray(upright.convert("RGB"))
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{name} cannot be decoded as an image ({type(error).__name__}); it may be damaged") from None


def encoded(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels as the bytes of a PNG file, which loses nothing."""
    pillow, _ = _pillow()
    out = io.BytesIO()
    pillow.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def _file_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"image {str(path)!r} cannot be opened: {error.strerror}") from None


def _pixels(at: int, image: Any) -> NDArray[np.uint8]:
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    grey = array.ndim == 2
    if array.dtype != np.uint8 or not (grey or (array.ndim == 3 and array.shape[2] == 3)) or 0 in array.shape:
        raise DataError(
            f"image {at} must be a path, the bytes of an image file, or uint8 pixels of shape (height, width) or "
            f"(height, width, 3), not {type(image).__name__} of {array.dtype}, shape {array.shape}"
        )
    return np.ascontiguousarray(np.repeat(array[:, :, None], 3, axis=2) if grey else array)


def _pillow() -> tuple[Any, Any]:
    try:
        import PIL.Image
        import PIL.ImageOps
    except ImportError:
        raise MissingExtra("reading images", "images") from None
    return PIL.Image, PIL.ImageOps
