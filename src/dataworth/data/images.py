"""Images as they come: folders, files, encoded bytes and arrays, decoded to RGB.

A file is held to be hostile until it is decoded: what it would take in memory is known from its header before any
pixel is read, and whatever a decoder trips over becomes one error that names the file.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, MissingExtra
from dataworth.records.items import is_pixels

__all__ = [
    "FILE_LIMIT",
    "PIXEL_LIMIT",
    "Image",
    "encoded",
    "folder_files",
    "image_content",
    "image_files",
    "image_trouble",
    "is_image_name",
    "labelled_folder",
    "read_image",
]

Image: TypeAlias = str | os.PathLike[str] | bytes | NDArray[np.uint8]
"""A path, the bytes of an image file, or pixels: uint8 of shape (height, width) or (height, width, 3)."""

PIXEL_LIMIT = 50_000_000
"""Pixels of the largest image that is decoded, 150 MB in RGB; a file of a few kilobytes can ask for a thousand times
as much."""

FILE_LIMIT = 2**29
"""Bytes of the largest image file that is read."""

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")

# The decoders that may see a file from outside; others (such as PostScript's) start programs.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")

# How a file becomes pixels. Part of what a vector is kept under, so that other rules never meet old vectors.
_RULES = b"upright, RGB, on white\0"

_ORIENTATION = 0x0112  # the tag in which a camera says how it was held
_TILE_SIDES = (322, 323)  # TIFF: width and height of a tile, which may be far larger than the image

# Files that systems put into folders of pictures without being asked.
_LITTER = ("desktop.ini", "thumbs.db")


def is_image_name(name: str) -> bool:
    """Whether a file's name ends like an image's."""
    return name.lower().endswith(SUFFIXES)


def folder_files(folder: str | os.PathLike[str]) -> tuple[list[Path], list[Path]]:
    """All files below a folder, sorted by their path: those named like images, and the others.

    Hidden files and folders, and what systems leave behind in folders of pictures, are left out. Links are followed.

    Raises:
        DataError: No such folder, one below it that cannot be opened, a link back to a folder that it lies in, or no
            file that is named like an image.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"there is no folder {str(root)!r}")
    found = sorted((path.relative_to(root).parts, path) for path in _walk(root, frozenset()))
    images = [path for _, path in found if is_image_name(path.name)]
    if not images:
        raise DataError(f"there is no image in {str(root)!r} (suffixes read: {', '.join(SUFFIXES)})")
    return images, [path for _, path in found if not is_image_name(path.name)]


def image_files(folder: str | os.PathLike[str]) -> list[Path]:
    """All images below a folder, by suffix, sorted by their path; hidden files and folders are left out.

    Raises:
        DataError: As :func:`folder_files`.
    """
    return folder_files(folder)[0]


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
    """The bytes that decide what an image shows: of the file and how it is decoded, or of the pixels with their shape.

    Raises:
        DataError: As :func:`read_image`, for a file that cannot be opened and for pixels.
    """
    if isinstance(image, (str, os.PathLike, bytes)):
        with _naming(at, image):
            return _RULES + _raw(image)
    pixels = _pixels(at, image)
    return f"pixels {pixels.shape}\0".encode() + pixels.tobytes()


def read_image(at: int, image: Image) -> NDArray[np.uint8]:
    """Decode one image to RGB, upright; of several frames or pages the first.

    Grey images get three equal channels. Transparent parts are put on white: what lies under them is often black or
    noise that nobody sees. Colour profiles are not applied. 16-bit colours lose their lower half; grey of more than 8
    bits is refused, since nothing says which of its range is black and which white.

    Args:
        at: Its position, for messages about images without a name.
        image: A path, the bytes of an image file, pixels, or an image of Pillow.

    Returns:
        uint8, shape ``(height, width, 3)``.

    Raises:
        DataError: A file that is missing, empty, damaged, of another format, or larger than ``FILE_LIMIT`` or, once
            decoded, ``PIXEL_LIMIT``; or pixels of another type or shape. Files are named, other images are given by
            their position.
        MissingExtra: Pillow is not installed (paths and bytes need it).
    """
    if not isinstance(image, (str, os.PathLike, bytes)):
        return _pixels(at, image)
    with _naming(at, image):
        return np.asarray(_decoded(_raw(image)))


def image_trouble(at: int, image: Image) -> str | None:
    """Why :func:`read_image` would refuse an image, or None if it would not; somewhat faster than decoding it.

    Raises:
        MissingExtra: Pillow is not installed (paths and bytes need it).
    """
    try:
        if isinstance(image, (str, os.PathLike, bytes)):
            with _naming(at, image):
                _decoded(_raw(image), skim=True)
        elif not (isinstance(image, np.ndarray) and is_pixels(image)):
            _pixels(at, image)
    except DataError as error:
        return str(error)
    return None


def encoded(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels as the bytes of a PNG file, which loses nothing."""
    out = io.BytesIO()
    _pillow().fromarray(pixels).save(out, "PNG")
    return out.getvalue()


# -- files ---------------------------------------------------------------------------------------


class _UnreadableError(Exception):
    """Why an image cannot be read, in words that go on after its name."""


@contextmanager
def _naming(at: int, image: Any) -> Iterator[None]:
    """What is wrong with an image becomes an error that names it, or says where it is."""
    try:
        yield
    except _UnreadableError as trouble:
        name = f"image {os.fspath(image)!r}" if isinstance(image, (str, os.PathLike)) else f"image {at}"
        raise DataError(f"{name} {trouble}") from None


def _walk(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    """The files below a folder that are not hidden, in no particular order."""
    here = os.path.realpath(folder)
    if here in above:
        raise DataError(f"{str(folder)!r} is a link back to a folder that it lies in; remove it")
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise DataError(f"folder {str(folder)!r} cannot be opened: {error.strerror}") from None
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in _LITTER:
            continue
        path = folder / entry.name
        if entry.is_dir():
            yield from _walk(path, above | {here})
        else:
            yield path


def _raw(image: str | os.PathLike[str] | bytes) -> bytes:
    if isinstance(image, bytes):
        return image
    try:
        about = os.stat(image)
        if not stat.S_ISREG(about.st_mode):  # a pipe would be waited for, a device read without end
            raise _UnreadableError("is a folder" if stat.S_ISDIR(about.st_mode) else "is no ordinary file")
        if about.st_size > FILE_LIMIT:
            raise _UnreadableError(
                f"is too large to read safely: {about.st_size:,} bytes, and at most {FILE_LIMIT:,} are read"
            )
        return Path(image).read_bytes()
    except OSError as error:
        raise _UnreadableError(f"cannot be opened: {error.strerror}") from None
    except ValueError:
        raise _UnreadableError("cannot be opened: its name holds a null character") from None


# -- pixels --------------------------------------------------------------------------------------


def _decoded(raw: bytes, *, skim: bool = False) -> Any:
    """A file as an image of Pillow, settled."""
    if not raw:
        raise _UnreadableError("is empty (0 bytes)")
    with _decoding():
        return _settled(_pillow().open(io.BytesIO(raw), formats=_FORMATS), skim=skim)


@contextmanager
def _decoding() -> Iterator[None]:
    """Whatever goes wrong while an image is decoded becomes words."""
    pillow = _pillow()
    try:
        yield
    except (_UnreadableError, MemoryError):
        raise
    except pillow.UnidentifiedImageError:
        raise _UnreadableError(
            f"cannot be decoded: it is damaged, or of no kind that is read ({', '.join(_FORMATS)})"
        ) from None
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning) as error:
        raise _UnreadableError(
            f"is too large to decode safely (at most {PIXEL_LIMIT:,} pixels are read): {error}"
        ) from None
    except Exception as error:  # a decoder raises whatever a damaged file makes it trip over
        raise _UnreadableError(f"cannot be decoded ({type(error).__name__}); it may be damaged") from None


def _settled(picture: Any, *, skim: bool = False) -> Any:
    """An image of Pillow, decoded: upright, RGB, without transparency. A skimmed JPEG is an eighth of its size."""
    _check_size(*picture.size)
    _check_size(*(int(dict(getattr(picture, "tag_v2", {})).get(side, 1)) for side in _TILE_SIDES))
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        raise _UnreadableError(
            f"has more than 8 bits a channel (mode {picture.mode}), and nothing says which of its range is black and "
            "which white; convert it to 8 bits first"
        )
    if picture.mode not in _MODES:
        raise _UnreadableError(f"has colours that are not read (mode {picture.mode}); convert it to RGB first")
    if skim:
        picture.draft(None, (1, 1))
    picture.load()
    _check_size(*picture.size)
    return _on_white(_upright(picture))


def _check_size(width: int, height: int) -> None:
    if width * height > PIXEL_LIMIT:
        raise _UnreadableError(
            f"is too large to decode safely: {width:,} x {height:,} = {width * height:,} pixels, and at most "
            f"{PIXEL_LIMIT:,} are read; make it smaller first"
        )


def _upright(picture: Any) -> Any:
    turn = _pillow().Transpose
    turns = (
        turn.FLIP_LEFT_RIGHT, turn.ROTATE_180, turn.FLIP_TOP_BOTTOM,
        turn.TRANSPOSE, turn.ROTATE_270, turn.TRANSVERSE, turn.ROTATE_90,
    )  # fmt: skip
    held = picture.getexif().get(_ORIENTATION, 1)  # after loading: a TIFF turns itself upright, and then says so
    return picture.transpose(turns[held - 2]) if held in range(2, 9) else picture


def _on_white(picture: Any) -> Any:
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        below = _pillow().new("RGB", layer.size, "white")
        below.paste(layer, mask=layer.getchannel("A"))
        return below
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _pixels(at: int, image: Any) -> NDArray[np.uint8]:
    if hasattr(image, "getbands"):  # an image of Pillow: the rules are those for files
        with _naming(at, image), _decoding():
            return np.asarray(_settled(image))
    array = np.asarray(image)
    if not is_pixels(array):
        raise DataError(
            f"image {at} must be a path, the bytes of an image file, or uint8 pixels of shape (height, width) or "
            f"(height, width, 3), not {type(image).__name__} of {array.dtype}, shape {array.shape}"
        )
    grey = array.reshape(*array.shape[:2], -1)
    return np.ascontiguousarray(np.repeat(grey, 3, axis=2) if grey.shape[2] == 1 else grey)


def _pillow() -> Any:
    try:
        import PIL.Image
    except ImportError:
        raise MissingExtra("reading images", "images") from None
    return PIL.Image
