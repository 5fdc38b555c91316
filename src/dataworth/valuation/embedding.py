"""Texts and images turned into features: the data room opens them, the model room embeds them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dataworth.data.images import Image, image_content, image_files, read_image
from dataworth.errors import DataError, InputError
from dataworth.models.cache import default_folder
from dataworth.models.embed import Embedder, Model, embed, image_embedder, text_embedder

__all__ = ["embed_images", "embed_texts"]


def embed_texts(
    texts: Iterable[str],
    model: str | Model = "minilm",
    *,
    batch_size: int | None = None,
    cache: str | os.PathLike[str] | Literal[False] | None = None,
    cache_key: str | None = None,
    progress: bool | None = None,
) -> NDArray[np.float32]:
    """Turn texts into features: one unit vector a text.

    Equal texts are embedded once. Vectors are kept in a cache on disk by what they were computed from (the
    model with its version, and the text), so a set that was embedded before, or overlaps with one, costs
    little the next time. The cache holds vectors, not texts; vectors can still tell something about a text.

    Args:
        texts: ``n`` texts: a list, an array, or a column of a table.
        model: ``"minilm"`` (all-MiniLM-L6-v2: 384 numbers, English, the first 256 tokens of a text), or a
            callable that takes a list of texts and gives one row of numbers for each.
        batch_size: Texts a call of the model; 64 if not given.
        cache: Folder of the cache; None takes ``$DATAWORTH_CACHE`` or the user's cache folder, False none.
        cache_key: Name and version of a callable. Only with it are a callable's vectors cached, since nothing
            else tells one callable from another: change it whenever the callable changes.
        progress: Show a progress bar; None shows it on a terminal only.

    Returns:
        float32, shape ``(n, d)``, each row of length 1.

    Raises:
        DataError: No texts, a text that is missing or no string, or a model whose output cannot be used
            (another number of rows, NaN, infinity, a row of zeros).
        InputError: An unknown model, or a cache for a callable without a ``cache_key``.
        MissingExtra: ``"minilm"`` is not installed.

    Example:
        >>> import dataworth as dw
        >>> x = dw.embed_texts(["a cat", "two dogs"], model=lambda texts: [[len(t), t.count("o")] for t in texts])
        >>> x.round(2)
        array([[1.  , 0.  ],
               [0.97, 0.24]], dtype=float32)
    """
    if isinstance(texts, (str, bytes)):
        raise InputError("embed_texts takes a list of texts, not one text; put it in a list")
    items = _listed(texts)
    wrong = sum(not isinstance(text, str) for text in items)
    if wrong:
        raise DataError(f"{wrong} of {len(items)} texts are missing or no strings; drop those rows or fill them in")
    embedder = text_embedder(model, batch_size=batch_size, cache_key=cache_key)
    return embed(
        items,
        embedder,
        content=lambda at, text: text.encode("utf-8", "surrogatepass"),
        prepare=lambda at, text: text,
        cache=_cache_folder(cache, embedder),
        progress=progress,
    )


def embed_images(
    images: str | os.PathLike[str] | Iterable[Image],
    model: str | Model = "efficientnet-lite0",
    *,
    batch_size: int | None = None,
    cache: str | os.PathLike[str] | Literal[False] | None = None,
    cache_key: str | None = None,
    progress: bool | None = None,
) -> NDArray[np.float32]:
    """Turn images into features: one unit vector an image.

    Images are decoded a batch at a time: the first frame, turned upright, in RGB, transparent parts on white. What
    would decode to more than 50 million pixels is refused before it is decoded. Equal images are embedded once, and
    vectors are cached as in :func:`embed_texts`.

    Args:
        images: A folder (its images at any depth, sorted by path), or ``n`` images, each a path, the bytes of an
            image file, or uint8 pixels of shape (height, width) or (height, width, 3).
        model: ``"efficientnet-lite0"`` (1,280 numbers, trained on ImageNet; the whole image is scaled to 128 x
            128 pixels), or a callable that takes a list of uint8 arrays (height, width, 3) and gives one row of
            numbers for each.
        batch_size: Images a call of the model; 32 for ``"efficientnet-lite0"``, 64 for a callable if not given.
        cache: Folder of the cache; None takes ``$DATAWORTH_CACHE`` or the user's cache folder, False none.
        cache_key: Name and version of a callable, without which its vectors are not cached.
        progress: Show a progress bar; None shows it on a terminal only.

    Returns:
        float32, shape ``(n, d)``, each row of length 1.

    Raises:
        DataError: No images, an image that is missing, damaged or too large (named, or given by its position), or a
            model whose output cannot be used.
        InputError: An unknown model, or a cache for a callable without a ``cache_key``.
        MissingExtra: ``"efficientnet-lite0"`` or Pillow is not installed.

    Example:
        >>> import dataworth as dw
        >>> import numpy as np
        >>> red = np.zeros((4, 4, 3), np.uint8)
        >>> red[..., 0] = 200
        >>> dw.embed_images([red], model=lambda images: [image.mean((0, 1)) for image in images])
        array([[1., 0., 0.]], dtype=float32)
    """
    if isinstance(images, bytes):
        raise InputError("embed_images takes a folder or a list of images, not one image; put it in a list")
    items = image_files(images) if isinstance(images, (str, os.PathLike)) else _listed(images)
    embedder = image_embedder(model, batch_size=batch_size, cache_key=cache_key)
    return embed(
        items,
        embedder,
        content=image_content,
        prepare=read_image,
        cache=_cache_folder(cache, embedder),
        progress=progress,
    )


def _listed(items: Iterable[Any]) -> Sequence[Any]:
    return items.to_pylist() if hasattr(items, "to_pylist") else list(items)  # arrow's entries are no Python objects


def _cache_folder(cache: str | os.PathLike[str] | Literal[False] | None, embedder: Embedder) -> Path | None:
    if cache is False or (cache is None and embedder.identity is None):
        return None
    if cache is None:
        return default_folder()
    if not isinstance(cache, (str, os.PathLike)):
        raise InputError(f"cache must be a folder, None for the usual one, or False for none, not {cache!r}")
    if embedder.identity is None:
        raise InputError(
            "a callable's vectors are cached only under a name: give cache_key='name and version' beside cache=, and "
            "change it whenever the callable changes"
        )
    return Path(cache)
