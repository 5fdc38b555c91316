"""Pools of real images to train generators on and to value: opened, drawn, halved, and with odd ones planted.

A data folder has ``mnist/mnist_train.npz`` and ``mnist_test.npz``, ``cifar10/cifar10_train_jpeg.parquet`` and
``cifar10_test5k_jpeg.parquet``, ``cifar10/cifar10_train4k.npz`` and ``att_faces/att_faces.npz``: ``x`` (uint8
pixels) and ``y`` in the archives, ``jpeg`` (bytes) and ``label`` in the tables. CelebA would be
``celeba/list_attr_celeba.txt`` and the images in ``celeba/img_align_celeba/``. The 4,000 lossless CIFAR-10 images
are among the 50,000 stored as JPEG, so the two are never in one pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.data.attributes import read_attributes
from dataworth.data.images import read_image
from dataworth.errors import DataError, InputError, MissingExtra
from dataworth.records import Items

__all__ = [
    "SOURCES",
    "Source",
    "blurred",
    "darkened",
    "draw",
    "foreign",
    "halves",
    "labels_of",
    "noisy",
    "open_pool",
    "picked",
    "pixels_of",
    "pure_noise",
    "scaled",
    "shifted",
    "together",
]

Pixels = NDArray[np.uint8]

FACES = "img_align_celeba"


@dataclass(frozen=True)
class Source:
    """A set of labelled images.

    Args:
        name: What to call it.
        title: What a reader calls it.
        file: Where its training images lie in a data folder.
        held_out: Where images that no one trains on lie, if the set comes split.
    """

    name: str
    title: str
    file: str
    held_out: str | None = None

    def is_in(self, folder: Path) -> bool:
        """Whether the folder has it, with the images held out if it comes split."""
        return all((folder / file).is_file() for file in (self.file, self.held_out) if file is not None)


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source("mnist", "MNIST", "mnist/mnist_train.npz", "mnist/mnist_test.npz"),
        Source(
            "cifar10", "CIFAR-10 (JPEG)", "cifar10/cifar10_train_jpeg.parquet", "cifar10/cifar10_test5k_jpeg.parquet"
        ),
        Source("cifar10-lossless", "CIFAR-10 (4,000, lossless)", "cifar10/cifar10_train4k.npz"),
        Source("att_faces", "AT&T faces", "att_faces/att_faces.npz"),
        Source("celeba", "CelebA", "celeba/list_attr_celeba.txt"),
    )
}
"""Every set by its name."""


def open_pool(name: str, folder: Path, *, held_out: bool = False) -> Items:
    """The images of a set, with their classes (CelebA has none); ids tell where an image lies in its file.

    Args:
        name: One of :data:`SOURCES`.
        folder: The data folder.
        held_out: The images held out instead.

    Raises:
        InputError: No such set, or it has no images held out.
        DataError: Its file is not there or cannot be used.
    """
    if name not in SOURCES:
        raise InputError(f"there is no set of images {name!r}; there are {', '.join(SOURCES)}")
    source = SOURCES[name]
    file = source.held_out if held_out else source.file
    if file is None:
        raise InputError(f"{name} has no images held out; draw some of its images and leave them out")
    path = folder / file
    if not path.is_file():
        raise DataError(f"{name} is not in the data folder; it would be {file}")
    if path.suffix == ".txt":
        faces = read_attributes(path).ids
        return Items(images=[path.parent / FACES / face for face in faces], ids=faces)
    images, labels = _read_archive(path) if path.suffix == ".npz" else _read_jpegs(path)
    prefix = f"{name}-test" if held_out else name
    return Items(images=images, ids=[f"{prefix}-{at}" for at in range(len(labels))], labels=labels)


def _read_archive(path: Path) -> tuple[Pixels, NDArray[np.int64]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive["x"], archive["y"].astype(np.int64)
    except (KeyError, OSError, ValueError) as error:
        raise DataError(f"{str(path)!r} cannot be read as an archive of x and y ({type(error).__name__})") from None


def _read_jpegs(path: Path) -> tuple[list[bytes], NDArray[np.int64]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=["jpeg", "label"])
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{str(path)!r} cannot be read as a table of jpeg and label ({type(error).__name__})") from None
    return table["jpeg"].to_pylist(), table["label"].to_numpy().astype(np.int64)


# -- drawing -------------------------------------------------------------------------------------


def draw(items: Items, n: int, seed: int) -> Items:
    """Some of the items, equally many of each class, in a random order.

    Args:
        items: Labelled, to draw from without replacement.
        n: How many, a multiple of the number of classes.
        seed: Of the draw.

    Raises:
        InputError: A number that the classes do not share out, or items without labels.
        DataError: A class has too few.
    """
    labels = labels_of(items)
    classes, counts = np.unique(labels, return_counts=True)
    each, left = divmod(n, classes.size)
    if n < 1 or left:
        raise InputError(f"{n} items cannot be drawn evenly from {classes.size} classes; give a multiple of that")
    if counts.min() < each:
        raise DataError(f"{each} items of each class are to be drawn, but one class has {counts.min()} only")
    random = np.random.default_rng(seed)
    at = np.concatenate([random.choice(np.flatnonzero(labels == c), each, replace=False) for c in classes])
    return items.take(random.permutation(at))


def halves(items: Items, label: int | str, size: int, seed: int) -> tuple[Items, Items]:
    """Two disjoint random halves of one class.

    Args:
        items: Labelled.
        label: The class.
        size: Items in each half.
        seed: Of the draw.

    Raises:
        DataError: The class has fewer than twice the size.
    """
    at = np.flatnonzero(labels_of(items) == label)
    if size < 1 or at.size < 2 * size:
        raise DataError(f"two halves of {size} items are wanted of class {label!r}, which has {at.size} items")
    at = np.random.default_rng(seed).permutation(at)[: 2 * size]
    return items.take(at[:size]), items.take(at[size:])


def together(*parts: Items) -> Items:
    """Items of several sets as one, in the given order, with their classes.

    Raises:
        InputError: No sets, or a set that holds no images, or no labels.
        DataError: Ids that repeat.
    """
    if not parts:
        raise InputError("there is nothing to put together")
    if any(part.kind != "images" for part in parts):
        raise InputError("only sets of images can be put together here")
    vectors = [part.x for part in parts if part.x is not None]
    return Items(
        np.concatenate(vectors) if len(vectors) == len(parts) else None,
        images=[image for part in parts for image in part.content or ()],
        ids=np.concatenate([part.ids for part in parts]),
        labels=np.concatenate([labels_of(part) for part in parts]),
    )


def pixels_of(items: Items) -> list[Pixels]:
    """The decoded images: uint8, shape ``(height, width)`` or ``(height, width, 3)`` as they were given.

    Raises:
        InputError: The items are no images.
    """
    if items.kind != "images" or items.content is None:
        raise InputError(f"pixels are wanted, but the items are {items.kind}")
    return [image if isinstance(image, np.ndarray) else read_image(at, image) for at, image in enumerate(items.content)]


def labels_of(items: Items) -> NDArray[Any]:
    """The classes.

    Raises:
        InputError: They are not known.
    """
    if items.labels is None:
        raise InputError("the items need labels: their classes")
    return items.labels


# -- planting ------------------------------------------------------------------------------------


def picked(items: Items, n: int, seed: int) -> tuple[Items, NDArray[np.int64]]:
    """Random distinct items, and where each one was.

    Args:
        items: To pick from.
        n: How many.
        seed: Of the draw.

    Returns:
        The items, and their positions in ``items``, shape ``(n,)``.
    """
    at = np.random.default_rng(seed).permutation(len(items))[:n].astype(np.int64)
    return items.take(at), at


def noisy(items: Items, noise: float, seed: int, *, name: str = "noisy") -> Items:
    """The images with Gaussian noise added to every pixel and channel, rounded and clipped; classes stay.

    Args:
        items: Images.
        noise: Standard deviation, in grey levels of 255; 0 copies them.
        seed: Of the noise.
        name: What their ids begin with.

    Raises:
        InputError: A negative noise.
    """
    if not noise >= 0:
        raise InputError(f"noise must be 0 or more grey levels, not {noise}")
    random = np.random.default_rng([seed, 1])
    images = [
        np.clip(np.rint(image + noise * random.standard_normal(image.shape)), 0, 255).astype(np.uint8)
        for image in pixels_of(items)
    ]
    return Items(images=images, ids=[f"{name}-of-{of}" for of in items.ids], labels=items.labels)


def blurred(items: Items, sigma: float) -> Items:
    """The images, each channel smoothed by a Gaussian.

    Args:
        items: Images.
        sigma: Standard deviation of the Gaussian, in pixels.
    """
    from scipy import ndimage

    images = [
        np.rint(ndimage.gaussian_filter(image.astype(np.float64), (sigma, sigma, 0)[: image.ndim])).astype(np.uint8)
        for image in pixels_of(items)
    ]
    return Items(images=images, ids=[f"blurred-of-{of}" for of in items.ids], labels=items.labels)


def shifted(items: Items, by: int) -> Items:
    """The images moved down and right; the pixels at the border are repeated.

    Args:
        items: Images.
        by: How far, in pixels.
    """
    images = []
    for image in pixels_of(items):
        grown = np.pad(image, ((by, 0), (by, 0), (0, 0))[: image.ndim], mode="edge")
        images.append(np.ascontiguousarray(grown[: image.shape[0], : image.shape[1]]))
    return Items(images=images, ids=[f"shifted-of-{of}" for of in items.ids], labels=items.labels)


def darkened(items: Items, factor: float) -> Items:
    """The images with every pixel multiplied.

    Args:
        items: Images.
        factor: From 0 to 1.
    """
    images = [np.rint(image * factor).astype(np.uint8) for image in pixels_of(items)]
    return Items(images=images, ids=[f"darkened-of-{of}" for of in items.ids], labels=items.labels)


def scaled(items: Items, shape: tuple[int, ...]) -> Items:
    """The images at another size.

    Args:
        items: Images.
        shape: Height and width, for grey images; and 3 for colour.

    Raises:
        MissingExtra: Pillow is not installed.
    """
    return Items(images=_resized(pixels_of(items), shape), ids=items.ids, labels=items.labels)


def pure_noise(like: Items, n: int, seed: int) -> Items:
    """Images of uniformly random pixels, of the shape and with random classes of other items.

    Args:
        like: Images with classes.
        n: How many.
        seed: Of pixels and classes.
    """
    random = np.random.default_rng(seed)
    shape = _shape(like)
    images = [random.integers(0, 256, size=shape, dtype=np.uint8) for _ in range(n)]
    return Items(images=images, ids=[f"noise-{at}" for at in range(n)], labels=_borrowed(like, n, random))


def foreign(other: Items, like: Items, n: int, seed: int) -> Items:
    """Images of another set that pass for items of this one: of its size, grey if it is, with random classes of it.

    Args:
        other: Images to draw from, without replacement.
        like: Images with classes.
        n: How many.
        seed: Of the draw and the classes.

    Raises:
        DataError: There are fewer.
        MissingExtra: Pillow is not installed.
    """
    if n > len(other):
        raise DataError(f"{n} foreign items are to be drawn, but there are {len(other)} only")
    random = np.random.default_rng(seed)
    some = other.take(random.permutation(len(other))[:n])
    return Items(
        images=_resized(pixels_of(some), _shape(like)),
        ids=[f"foreign-{of}" for of in some.ids],
        labels=_borrowed(like, n, random),
    )


def _shape(items: Items) -> tuple[int, ...]:
    return tuple(pixels_of(items.take(np.array([0])))[0].shape)


def _borrowed(like: Items, n: int, random: np.random.Generator) -> NDArray[Any]:
    classes: NDArray[Any] = random.choice(np.unique(labels_of(like)), n)
    return classes


def _resized(images: Sequence[Pixels], shape: tuple[int, ...]) -> list[Pixels]:
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtra("resizing images", "images") from None
    size = shape[1], shape[0]
    mode = "L" if len(shape) == 2 else "RGB"
    return [
        np.asarray(Image.fromarray(image).convert(mode).resize(size, Image.Resampling.BILINEAR)) for image in images
    ]
