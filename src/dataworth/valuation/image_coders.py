"""From a source of public images to a trained coder, and how well it paints them."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.data.images import read_image
from dataworth.errors import DataError
from dataworth.models.autoencoder import LEAST_IMAGES, ImageCoder
from dataworth.records import Table
from dataworth.valuation.items import read_items

__all__ = ["coder_sheet", "losses_table", "read_public_images"]

_ACROSS = 16  # images a line of the sheet
_LINES = 2  # of each kind
_EDGE = 2  # pixels between kinds


def read_public_images(
    source: str | os.PathLike[str], *, label: str | None = None, progress: bool | None = None
) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
    """Public images of one size as one array.

    Args:
        source: A folder of images, at any depth, or an NPZ file with images as ``x``, uint8; or any other source that
            :func:`~dataworth.read_items` reads.
        label: The column of labels; ``"folder"`` takes the first sub-folder in a folder of images. None reads none.
        progress: Show a progress bar while files are checked; None shows it on a terminal only.

    Returns:
        uint8 images, ``(n, height, width)`` if all of them are grey and ``(n, height, width, 3)`` otherwise; and their
        labels, or None.

    Raises:
        DataError: No such source, fewer than 100 images, images of several sizes, a file that cannot be decoded, or
            something else than images.
        MissingExtra: Pillow is not installed (image files need it).
    """
    items = read_items(source, label=label, progress=progress)
    if items.kind != "images" or items.content is None:
        raise DataError(f"{os.fspath(source)!r} holds {items.kind}; a generator of images learns from images")
    if len(items) < LEAST_IMAGES:
        raise DataError(f"a generator learns from {LEAST_IMAGES} public images at least, not from {len(items)}")
    decoded = [read_image(at, content) for at, content in enumerate(items.content)]
    sizes = Counter(image.shape[:2] for image in decoded)
    if len(sizes) > 1:
        found = ", ".join(f"{n:,} of {height} x {width}" for (height, width), n in sizes.most_common(3))
        raise DataError(
            f"public images must all have one height and width; here are {found}{', ...' if len(sizes) > 3 else ''}"
        )
    images = np.stack(decoded)
    if (images == images[..., :1]).all():
        images = np.ascontiguousarray(images[..., 0])
    return images, items.labels if label is not None else None


def coder_sheet(
    coder: ImageCoder, images: NDArray[np.uint8], labels: NDArray[Any] | None = None, *, seed: int = 0
) -> NDArray[np.uint8]:
    """A sheet to look at: public images, below them the same as painted again, below those painted from noise.

    Args:
        coder: A trained coder.
        images: Public images, ``(n, *coder.shape)``.
        labels: The class of each, one of ``coder.classes``; needed where there are classes.
        seed: Of the choice and the noise.

    Returns:
        uint8, ``(height, width)`` or ``(height, width, 3)``.
    """
    draws = np.random.default_rng(seed)
    at = np.sort(draws.choice(len(images), min(_ACROSS * _LINES, len(images)), replace=False))
    told = None if coder.classes is None or labels is None else np.searchsorted(coder.classes, labels[at])
    noise = draws.standard_normal((at.size, coder.settings.latent))
    kinds = (images[at], coder.decode(coder.encode(images[at]), told), coder.decode(noise, told))
    blocks = [_block(kind) for kind in kinds]
    gap = np.full((_EDGE, *blocks[0].shape[1:]), 255, dtype=np.uint8)
    return np.concatenate([blocks[0], gap, blocks[1], gap, blocks[2]])


def losses_table(coder: ImageCoder) -> Table:
    """How the losses of a training fell.

    Args:
        coder: A trained coder.
    """
    return Table(
        "autoencoder-losses",
        "Losses of the autoencoder",
        {name: list(found) for name, found in coder.losses.items()},
        "Surprise: cross entropy of an image's pixels with what is painted. Divergence: of latent numbers from "
        f"standard normal ones. Both in nats an image, averaged since the line before. Trained in {coder.seconds:,.0f} "
        "s on public images.",
    )


def _block(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images side by side in lines; what is missing in the last is black."""
    lines = -(-len(images) // _ACROSS)
    full = np.zeros((lines * _ACROSS, *images.shape[1:]), dtype=np.uint8)
    full[: len(images)] = images
    rows = [np.concatenate(list(full[i * _ACROSS : (i + 1) * _ACROSS]), axis=1) for i in range(lines)]
    block = np.concatenate(rows)
    return block[..., 0] if block.ndim == 3 and block.shape[2] == 1 else block
