"""Makers that really learn: generators trained on the pool they are given, kept between runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError
from dataworth.models.cache import default_folder
from dataworth.models.generators import ConditionalGAN, Generator, GuidedDiffusion, Settings, train_generator
from dataworth.papers.experiment import Setting
from dataworth.papers.gmvaluator.makers import Maker
from dataworth.papers.gmvaluator.pools import labels_of, pixels_of
from dataworth.records import Items

__all__ = ["GENERATORS", "learned", "train_on", "trained"]

GENERATORS: dict[str, Settings] = {"diffusion": GuidedDiffusion(), "GAN": ConditionalGAN()}
"""The generators that the experiments train, by the name in their tables."""


def trained(name: str, settings: Settings, setting: Setting) -> Maker:
    """A generator that is trained on the pool it is given, or opened if it was trained on it before.

    Args:
        name: What to call it.
        settings: Which generator.
        setting: Where trained generators are kept, and whether there is a progress bar.
    """

    def make(pool: Items, asked: NDArray[Any], seed: int) -> Items:
        made = train_on(pool, settings, setting, seed).sample(asked, seed=seed)
        return Items(images=made, ids=[f"made-{j}" for j in range(len(made))], labels=asked)

    return Maker(name, make)


def learned(setting: Setting) -> list[Maker]:
    """A maker for each of :data:`GENERATORS`."""
    return [trained(name, settings, setting) for name, settings in GENERATORS.items()]


def train_on(pool: Items, settings: Settings, setting: Setting, seed: int) -> Generator:
    """The generator itself, with its losses.

    Raises:
        DataError: The pool's images are not of one size.
    """
    pixels = pixels_of(pool)
    shapes = {image.shape for image in pixels}
    if len(shapes) > 1:
        raise DataError(f"a generator is trained on images of one size; the pool has {len(shapes)} sizes")
    return train_generator(
        settings, np.stack(pixels), labels_of(pool), folder=_folder(setting), seed=seed, progress=setting.progress
    )


def _folder(setting: Setting) -> Path:
    return (default_folder() if setting.work is None else setting.work) / "generators"
