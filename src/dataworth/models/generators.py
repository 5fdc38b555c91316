"""Small class-conditional image generators, trained here: an adversarial network and a guided diffusion model.

They are for experiments on two cores: real enough to see which training images a generator leans on, small
enough to train in minutes. Training is cut into checkpoints and goes on where it was stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError, MissingExtra
from dataworth.models.canvas import from_canvas, to_canvas
from dataworth.models.checkpoints import train_in_sittings

__all__ = ["ConditionalGAN", "Generator", "GuidedDiffusion", "Settings", "train_generator"]


@dataclass(frozen=True)
class ConditionalGAN:
    """A class-conditional adversarial network with a projection critic and hinge losses.

    Miyato and Koyama, "cGANs with Projection Discriminator" (ICLR 2018): a critic with spectral normalisation, and
    a generator whose normalisation belongs to the class.

    Args:
        steps: Updates of the generator, and of the critic.
        batch: Images an update.
        width: Channels of the widest picture; deeper layers have two and four times as many.
        latent: Random numbers behind an image.
        learning_rate: Of the generator; the critic's is twice that.
    """

    steps: int = 6_000
    batch: int = 32
    width: int = 32
    latent: int = 64
    learning_rate: float = 2e-4

    def __post_init__(self) -> None:
        _check_positive(self)


@dataclass(frozen=True)
class GuidedDiffusion:
    """A diffusion model with classifier-free guidance (Ho and Salimans, 2022), on squares of pixels.

    A UNet of diffusers sees every ``patch`` x ``patch`` square of pixels as one place, predicts velocities
    under a cosine schedule, and is sampled by DDIM.

    Args:
        steps: Updates.
        batch: Images an update.
        channels: Of each level of the UNet; the next level has half the height and width.
        patch: Side of a square of pixels.
        learning_rate: Of AdamW, after a short warm-up.
        unlabelled: Share of images whose label is hidden while training, for guidance.
        guidance: How far beyond the labelled prediction a sample goes; 0 is none.
        sampling_steps: Denoising steps a sample.
    """

    steps: int = 5_000
    batch: int = 64
    channels: tuple[int, ...] = (64, 128)
    patch: int = 4
    learning_rate: float = 1e-3
    unlabelled: float = 0.1
    guidance: float = 0.5
    sampling_steps: int = 25

    def __post_init__(self) -> None:
        _check_positive(self)


Settings: TypeAlias = ConditionalGAN | GuidedDiffusion


@dataclass(frozen=True, eq=False)
class Generator:
    """A trained generator.

    Args:
        settings: What it is.
        classes: The labels it knows, in ascending order.
        losses: Step and each loss, averaged over the steps since the line before: ``step`` and one entry a loss.
        seconds: How long training took, all sittings together.
    """

    settings: Settings
    classes: NDArray[Any]
    losses: Mapping[str, list[float]]
    seconds: float
    _draw: Callable[[NDArray[np.int64], int], NDArray[np.uint8]]

    def sample(self, labels: NDArray[Any], *, seed: int = 0) -> NDArray[np.uint8]:
        """One image a label, by the averaged weights.

        Args:
            labels: Each one of ``classes``, ``(m,)``.
            seed: Equal seeds and labels give equal images.

        Returns:
            uint8, ``(m, height, width)`` or ``(m, height, width, 3)``, as the training images.

        Raises:
            DataError: A label the generator was not trained with.
        """
        return self._draw(_codes(np.asarray(labels), self.classes), seed)


def train_generator(
    settings: Settings,
    images: NDArray[np.uint8],
    labels: NDArray[Any],
    *,
    folder: Path,
    seed: int = 0,
    progress: bool | None = None,
) -> Generator:
    """Train a generator, or take up the training where it was stopped, or open it if it is done.

    What is being trained is known by its settings, seed, images and labels: the same call continues or opens
    the same file, another call begins another.

    Args:
        settings: Which generator, and how large.
        images: uint8, ``(n, height, width)`` or ``(n, height, width, 3)``.
        labels: The class of each, ``(n,)``.
        folder: Where checkpoints are kept; made if it is not there.
        seed: Of weights, batches and noise.
        progress: Show a progress bar; None shows it on a terminal only.

    Raises:
        DataError: Images or labels of another shape or type, or a checkpoint that is damaged.
        MissingExtra: torch or diffusers is not installed.
    """
    if (
        images.dtype != np.uint8
        or not (images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3))
        or not images.size
    ):
        raise DataError(
            f"images must be uint8 of shape (n, height, width) or (n, height, width, 3), not {images.dtype} of "
            f"shape {images.shape}"
        )
    classes, codes = np.unique(labels, return_inverse=True)
    if codes.shape != images.shape[:1]:
        raise DataError(f"there must be one label for each of {len(images)} images, not shape {np.shape(labels)}")
    try:
        import torch

        from dataworth.models.networks import DiffusionRun, GANRun
    except ImportError:
        raise MissingExtra("training a generator", "generators") from None

    path = Path(folder) / f"{_key(settings, images, codes, seed)}.pt"
    canvas = to_canvas(images)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        run: GANRun | DiffusionRun
        if isinstance(settings, ConditionalGAN):
            run = GANRun(settings, canvas.shape[1:], len(classes))
        else:
            run = DiffusionRun(settings, canvas.shape[1:], len(classes))
        pixels, targets = torch.from_numpy(canvas), torch.from_numpy(codes.astype(np.int64))

        def update(draws: Any, done: int) -> Mapping[str, float]:
            at = torch.randint(len(pixels), (settings.batch,), generator=draws)
            return run.step(pixels[at].float().div_(127.5).sub_(1.0), targets[at], draws, done)

        name = type(settings).__name__
        log = train_in_sittings(run, update, path, steps=settings.steps, seed=seed + 1, what=name, progress=progress)
    shape = images.shape[1:]

    def draw(codes: NDArray[np.int64], seed: int) -> NDArray[np.uint8]:
        return from_canvas(run.sample(codes, seed), shape)

    return Generator(settings, classes, log.lines, log.seconds, draw)


def _codes(labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64]:
    at = np.minimum(np.searchsorted(classes, labels), classes.size - 1)
    unknown = int((classes[at] != labels).sum())
    if unknown:
        raise DataError(f"{unknown} of {labels.size} labels are none of the {classes.size} the generator knows")
    return at.astype(np.int64)


def _key(settings: Settings, images: NDArray[np.uint8], codes: NDArray[Any], seed: int) -> str:
    about = {"is": type(settings).__name__, **asdict(settings), "seed": seed, "shape": images.shape}
    digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=12)
    digest.update(np.ascontiguousarray(images).tobytes() + codes.astype("<i8").tobytes())
    return f"{type(settings).__name__.lower()}-{digest.hexdigest()}"


def _check_positive(settings: Settings) -> None:
    for name, number in asdict(settings).items():
        numbers = number if isinstance(number, tuple) else (number,)
        if not numbers or not all(n > 0 or (name in ("guidance", "unlabelled") and n == 0) for n in numbers):
            raise InputError(f"{name} must be positive, not {number!r}")
