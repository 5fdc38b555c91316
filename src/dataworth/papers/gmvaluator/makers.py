"""Who makes the generated items: what makers are, and two stand-ins that bracket trained generators.

Real images that no one trained on are what a perfect generator that remembers nobody would make; training images
with a little noise, what one that only remembers would. What an experiment finds of a generator means something
between what it finds of the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError
from dataworth.papers.gmvaluator.pools import labels_of, noisy, pixels_of
from dataworth.records import Items

__all__ = ["REMEMBERED_NOISE", "Maker", "asked_evenly", "real_images", "repeats"]

REMEMBERED_NOISE = 5.0
"""Standard deviation of what repeats are blurred by, in grey levels of 255: little, as features feel it strongly."""


@dataclass(frozen=True)
class Maker:
    """Something that makes images of the classes asked for.

    Args:
        name: What to call it.
        make: Training pool, classes asked for, seed -> images, with those classes as labels.
        trains: Whether it looks at the pool at all.
    """

    name: str
    make: Callable[[Items, NDArray[Any], int], Items] = field(repr=False)
    trains: bool = True


def real_images(held_out: Items) -> Maker:
    """Draws from real images that are in no pool.

    Args:
        held_out: Labelled images to draw from, without replacement.
    """

    def make(pool: Items, asked: NDArray[Any], seed: int) -> Items:
        return _named(held_out.take(_drawn(held_out, asked, seed)), asked)

    return Maker("real images, held out", make, trains=False)


def repeats(noise: float = REMEMBERED_NOISE) -> Maker:
    """Repeats images of the pool, with noise.

    Args:
        noise: Standard deviation, in grey levels of 255.
    """

    def make(pool: Items, asked: NDArray[Any], seed: int) -> Items:
        pixels = pixels_of(pool)
        repeated = [pixels[i] for i in _drawn(pool, asked, seed, again=True)]
        return noisy(Items(images=repeated, labels=asked), noise, seed, name="made")

    return Maker("repeats of the pool", make)


def asked_evenly(classes: NDArray[Any], m: int) -> NDArray[Any]:
    """The classes to ask for, in turn: shape ``(m,)``.

    Args:
        classes: Classes, in any number and order.
        m: How many items are wanted.
    """
    names: NDArray[Any] = np.unique(classes)
    return names[np.arange(m) % names.size]


def _drawn(items: Items, asked: NDArray[Any], seed: int, *, again: bool = False) -> NDArray[np.int64]:
    """Positions of random items of the classes asked for, distinct unless one may be drawn again."""
    random = np.random.default_rng(seed)
    at = np.empty(asked.size, dtype=np.int64)
    for label in np.unique(asked):
        wanted, there = np.flatnonzero(asked == label), np.flatnonzero(labels_of(items) == label)
        if not there.size or (wanted.size > there.size and not again):
            raise DataError(f"{wanted.size} images of class {label} are asked for, but there are {there.size}")
        at[wanted] = random.choice(there, wanted.size, replace=again)
    return at


def _named(items: Items, asked: NDArray[Any]) -> Items:
    return Items(images=pixels_of(items), ids=[f"made-{j}" for j in range(len(items))], labels=asked)
