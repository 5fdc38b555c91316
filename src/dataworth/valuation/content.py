"""The content of rows and items as a report shows it: openings of texts, small pictures."""

from __future__ import annotations

import base64
import io

from dataworth.data.images import Image, read_image
from dataworth.errors import DataError, MissingExtra

__all__ = ["excerpt", "thumbnail"]

THUMBNAIL = 96  # pixels, the longer side
TEXT_SHOWN = 400  # characters of a text


def excerpt(text: str) -> str:
    """The opening of a text."""
    return text if len(text) <= TEXT_SHOWN else f"{text[:TEXT_SHOWN]}..."


def thumbnail(at: int, item: Image) -> str:
    """A small picture as a ``data:`` address; words in its place when the item is no readable picture.

    Args:
        at: Its position, for messages.
        item: A path, the bytes of an image file, or pixels.

    Raises:
        MissingExtra: Pillow is not installed.
    """
    try:
        pixels = read_image(at, item)
    except DataError:
        return "(this picture cannot be read)"
    try:
        import PIL.Image
    except ImportError:
        raise MissingExtra("showing pictures", "images") from None
    # From bare pixels: where and when a photograph was taken, and what else its file tells, stays behind.
    small = PIL.Image.fromarray(pixels)
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    # Tiny pictures (digits, icons) stay sharp as PNG; photographs are smaller as JPEG.
    kind = "png" if max(small.size) <= 48 else "jpeg"
    out = io.BytesIO()
    small.save(out, kind)
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode('ascii')}"
