"""A small variational autoencoder of public images, trained here: pictures as a few numbers, and back.

Private synthesis searches among pictures that a public model can paint. This one trains in minutes on one core, and
its file holds numbers only, so that it can be opened wherever it comes from.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError, MissingExtra
from dataworth.models.canvas import from_canvas, to_canvas
from dataworth.models.checkpoints import train_in_sittings
from dataworth.records.arrays import read_only
from dataworth.records.sealed import digest_of, read_sealed, write_sealed

if TYPE_CHECKING:
    from dataworth.models.autoencoder_networks import AutoencoderRun

__all__ = ["LARGEST_SIDE", "LEAST_IMAGES", "Autoencoder", "ImageCoder", "load_coder", "train_autoencoder"]

LEAST_IMAGES = 100
LARGEST_SIDE = 64  # pixels
_MOST_LATENTS = 20_000  # images of the training set whose latent numbers are kept
_MADE = "dataworth-coder/1"


@dataclass(frozen=True)
class Autoencoder:
    """A convolutional variational autoencoder (Kingma and Welling, 2014).

    The brightness of a pixel, from 0 to 1, is held to be the chance that it is lit, and the loss is the cross entropy.
    With a squared error, weighed by its own average, latent numbers came to stand for nothing (tried on digits).
    Digits come out clear; of photographs of 32 x 32 pixels only large patches of light and colour are left (tried
    with 4,000 of them: ``beta=1`` for 1,200 updates, ``beta=0.05`` for 600).

    Args:
        steps: Updates.
        batch: Images an update.
        latent: Numbers that stand for an image.
        width: Channels at half the height and width; deeper layers have two and four times as many.
        beta: Weight of the divergence of latent numbers from standard normal ones: above 1 latent numbers hold less,
            and what is painted from random ones looks more like an image.
        learning_rate: Of AdamW, after a short warm-up; it falls over the last two fifths.

    Raises:
        InputError: A setting that is not positive.
    """

    steps: int = 2_500
    batch: int = 64
    latent: int = 16
    width: int = 24
    beta: float = 1.0
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        for name, number in asdict(self).items():
            if not number > 0:
                raise InputError(f"{name} must be positive, not {number!r}")


@dataclass(frozen=True, eq=False)
class ImageCoder:
    """A trained autoencoder: images to latent numbers and back, by public images alone.

    Args:
        settings: What it is.
        shape: Of an image: ``(height, width)`` or ``(height, width, channels)``.
        classes: The labels that its painter is told, in ascending order; None if it is told none.
        latents: Of the public images that it was trained on, or of 20,000 of them, float32, ``(m, latent)``.
        codes: The class of each of those as its place in ``classes``, int64, ``(m,)``; None without classes.
        losses: ``step`` and one list a loss, each averaged over the steps since the line before.
        seconds: How long training took, all sittings together.
        digest: Of everything above and the weights, except ``losses`` and ``seconds``.
    """

    settings: Autoencoder
    shape: tuple[int, ...]
    classes: NDArray[Any] | None
    latents: NDArray[np.float32]
    codes: NDArray[np.int64] | None
    losses: Mapping[str, list[float]]
    seconds: float
    digest: str
    _run: AutoencoderRun

    def __repr__(self) -> str:
        told = "" if self.classes is None else f", {len(self.classes)} classes"
        return f"ImageCoder({'x'.join(map(str, self.shape))}, latent={self.settings.latent}{told})"

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The latent numbers of images: the mean of what may stand for each.

        Args:
            images: uint8, ``(n, height, width)`` or ``(n, height, width, channels)``, as it was trained on.

        Returns:
            ``(n, latent)``.

        Raises:
            DataError: Images of another shape or type.
        """
        if images.dtype != np.uint8 or images.shape[1:] != self.shape:
            raise DataError(
                f"this coder takes uint8 images of shape {('n', *self.shape)}, not {images.dtype} of shape "
                f"{images.shape}".replace("'n'", "n")
            )
        return self._run.encode(to_canvas(images)) if len(images) else np.empty((0, self.settings.latent), np.float32)

    def decode(self, latents: NDArray[Any], codes: NDArray[np.int64] | None = None) -> NDArray[np.uint8]:
        """The pictures that latent numbers stand for.

        Args:
            latents: ``(n, latent)``.
            codes: The class of each as its place in ``classes``, ``(n,)``; needed where there are classes, and left
                alone where there are none.

        Returns:
            uint8, ``(n, *shape)``.

        Raises:
            DataError: Another number of columns, or classes that are missing or unknown.
        """
        z = np.array(latents, dtype=np.float32)
        if z.ndim != 2 or z.shape[1] != self.settings.latent:
            raise DataError(f"latent numbers must have shape (n, {self.settings.latent}), not {z.shape}")
        told = None
        if self.classes is not None:
            if codes is None:
                raise DataError(f"this coder paints one of {len(self.classes)} classes; give codes=, one an image")
            told = np.array(codes, dtype=np.int64)
            if told.shape != z.shape[:1] or ((told < 0) | (told >= len(self.classes))).any():
                raise DataError(f"codes must be {len(z)} places in a list of {len(self.classes)} classes")
        if not len(z):
            return np.empty((0, *self.shape), np.uint8)
        return from_canvas(self._run.decode(z, told), self.shape)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one NPZ file of numbers and plain text, without pickles; :func:`load_coder` reads it.

        Args:
            path: Where to; it ends in ``.npz``.

        Raises:
            InputError: Another ending.
        """
        if Path(path).suffix.lower() != ".npz":
            raise InputError(f"a coder is written to a file that ends in .npz, not {os.fspath(path)!r}")
        about, arrays = _content(self.settings, self.shape, self.classes, self.latents, self.codes, self._run.weights())
        return write_sealed(path, _MADE, {**about, "losses": dict(self.losses), "seconds": self.seconds}, arrays)


def train_autoencoder(
    settings: Autoencoder,
    images: NDArray[np.uint8],
    labels: NDArray[Any] | None = None,
    *,
    folder: Path,
    seed: int = 0,
    progress: bool | None = None,
) -> ImageCoder:
    """Train an autoencoder on PUBLIC images, or take up the training where it was stopped, or open it if it is done.

    Nothing about it is private: the file holds what the images taught it, and their latent numbers. What is being
    trained is known by its settings, seed, images and labels: the same call continues or opens the same checkpoint,
    another call begins another.

    Args:
        settings: How large, and how long.
        images: Public images, uint8, ``(n, height, width)`` or ``(n, height, width, channels)``, one or three
            channels, sides of at most 64 pixels, at least 100 of them.
        labels: The class of each, ``(n,)``, where the painter is to be told what it paints; None tells it nothing.
        folder: Where checkpoints are kept; made if it is not there.
        seed: Of weights, batches and noise.
        progress: Show a progress bar; None shows it on a terminal only.

    Raises:
        DataError: Images or labels of another shape or type, too few or too large images, or a checkpoint that is
            damaged.
        MissingExtra: torch is not installed.
    """
    _check_images(images)
    classes: NDArray[Any] | None = None
    codes: NDArray[np.int64] | None = None
    if labels is not None:
        classes, codes = np.unique(labels, return_inverse=True)
        if codes.shape != images.shape[:1]:
            raise DataError(f"there must be one label for each of {len(images)} images, not shape {np.shape(labels)}")
    try:
        import torch

        from dataworth.models.autoencoder_networks import AutoencoderRun
    except ImportError:
        raise MissingExtra("training a generator", "generators") from None
    canvas = to_canvas(images)
    shape: tuple[int, ...] = images.shape[1:]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        run = AutoencoderRun(settings, canvas.shape[1:], 0 if classes is None else len(classes))
        pixels = torch.from_numpy(canvas)
        targets = None if codes is None else torch.from_numpy(codes.astype(np.int64))

        def update(draws: Any, done: int) -> Mapping[str, float]:
            at = torch.randint(len(pixels), (settings.batch,), generator=draws)
            return run.step(pixels[at], None if targets is None else targets[at], draws, done)

        path = Path(folder) / f"{_key(settings, images, codes, seed)}.pt"
        log = train_in_sittings(
            run, update, path, steps=settings.steps, seed=seed + 1, what="Autoencoder", progress=progress
        )
    kept = np.arange(len(images))
    if len(kept) > _MOST_LATENTS:
        kept = np.sort(np.random.default_rng(seed).choice(len(images), _MOST_LATENTS, replace=False))
    told = None if codes is None else codes[kept].astype(np.int64)
    return _settled(settings, shape, classes, run.encode(canvas[kept]), told, log.lines, log.seconds, run)


def load_coder(path: str | os.PathLike[str]) -> ImageCoder:
    """Read what :meth:`ImageCoder.save` or ``dataworth train-generator`` wrote.

    Args:
        path: The file.

    Raises:
        DataError: There is no such file, or it is damaged, or something else.
        MissingExtra: torch is not installed.
    """
    about, arrays = read_sealed(path, _MADE, "image coder", "dataworth train-generator")
    try:
        from dataworth.models.autoencoder_networks import AutoencoderRun
    except ImportError:
        raise MissingExtra("an image coder", "generators") from None
    try:
        given = about["settings"]
        settings = Autoencoder(**{field.name: given[field.name] for field in fields(Autoencoder)})
        shape = tuple(int(side) for side in about["shape"])
        classes, codes = arrays.get("classes"), arrays.get("codes")
        channels = 1 if len(shape) == 2 else shape[2]
        sides = tuple(side + -side % 8 for side in shape[:2])
        run = AutoencoderRun(settings, (channels, *sides), 0 if classes is None else len(classes))
        start = "weight/"
        run.put_weights({name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)})
        return _settled(
            settings, shape, classes, arrays["latents"], codes, about["losses"], float(about["seconds"]), run
        )
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as trouble:
        raise DataError(
            f"{os.fspath(path)!r} is no image coder that this dataworth can open ({type(trouble).__name__}); train it "
            "anew"
        ) from None


def _settled(
    settings: Autoencoder,
    shape: tuple[int, ...],
    classes: NDArray[Any] | None,
    latents: NDArray[np.float32],
    codes: NDArray[np.int64] | None,
    losses: Mapping[str, list[float]],
    seconds: float,
    run: AutoencoderRun,
) -> ImageCoder:
    digest = digest_of(*_content(settings, shape, classes, latents, codes, run.weights()))
    told = None if codes is None else read_only(codes)
    return ImageCoder(settings, shape, classes, read_only(latents), told, losses, seconds, digest, run)


def _content(
    settings: Autoencoder,
    shape: tuple[int, ...],
    classes: NDArray[Any] | None,
    latents: NDArray[np.float32],
    codes: NDArray[np.int64] | None,
    weights: Mapping[str, NDArray[np.float32]],
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What makes a coder what it is: plain facts, and arrays by name."""
    arrays: dict[str, NDArray[Any]] = {
        "latents": latents,
        **{f"weight/{name}": weight for name, weight in weights.items()},
    }
    if classes is not None and codes is not None:
        arrays |= {"classes": classes, "codes": codes}
    return {"settings": asdict(settings), "shape": list(shape)}, arrays


def _check_images(images: NDArray[Any]) -> None:
    shaped = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3))
    if images.dtype != np.uint8 or not shaped or 0 in images.shape[1:]:
        raise DataError(
            "public images must be uint8 of shape (n, height, width) or (n, height, width, 3), not "
            f"{images.dtype} of shape {images.shape}"
        )
    if max(images.shape[1:3]) > LARGEST_SIDE:
        raise DataError(
            f"images may have {LARGEST_SIDE} x {LARGEST_SIDE} pixels at most, not {images.shape[1]} x "
            f"{images.shape[2]}; make them smaller first"
        )
    if len(images) < LEAST_IMAGES:
        raise DataError(f"a generator learns from {LEAST_IMAGES} public images at least, not from {len(images)}")


def _key(settings: Autoencoder, images: NDArray[np.uint8], codes: NDArray[Any] | None, seed: int) -> str:
    about = {"is": "autoencoder", **asdict(settings), "seed": seed, "shape": images.shape, "told": codes is not None}
    digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=12)
    digest.update(np.ascontiguousarray(images).tobytes())
    if codes is not None:
        digest.update(codes.astype("<i8").tobytes())
    return f"autoencoder-{digest.hexdigest()}"
