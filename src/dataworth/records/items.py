"""Items: things to be matched by likeness, training items or what a model generated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.errors import DataError, InputError
from dataworth.records.arrays import exact, read_only
from dataworth.records.points import features_of, names_of

__all__ = ["Content", "Items", "Kind", "is_pixels"]

Content: TypeAlias = str | bytes | Path | NDArray[np.uint8]
"""What an item is: a text; or an image as encoded bytes, a path, or pixels (height, width[, 3])."""

Kind: TypeAlias = Literal["vectors", "images", "texts"]


@dataclass(frozen=True, eq=False, repr=False)
class Items:
    """Items of one kind, with a vector each, or with the images or texts that vectors can be made of.

    Args:
        x: Vectors, shape ``(n, d)``, finite; None if the items are still to be embedded.
        images: The images: a uint8 array ``(n, height, width)`` or ``(n, height, width, 3)``, or a list of paths,
            of the bytes of image files, or of uint8 arrays ``(height, width)`` or ``(height, width, 3)``. Files are
            opened when their pixels are needed; :func:`read_items` looks at all of them first.
        texts: The texts. Images and texts exclude each other.
        ids: Unique names, integers or strings; ``0 .. n-1`` if not given.
        owners: Whose each item is, if known.
        labels: The class each item shows, or was generated for, if known.
        skipped: Names of sources that were left out because they could not be read.

    Raises:
        DataError: No items, vectors that are not finite, entries that are no images or texts, lengths that differ, or
            ids that repeat.
        InputError: Nothing given, or images and texts at once.

    Example:
        >>> import dataworth as dw
        >>> dw.Items([[0.0, 1.0], [1.0, 0.0]], ids=["a", "b"], owners=["Ann", "Bob"])
        Items(2 vectors, 2 numbers each, 2 owners)
    """

    x: NDArray[Any] | None
    content: tuple[Content, ...] | None
    kind: Kind
    ids: NDArray[Any]
    owners: NDArray[Any] | None
    labels: NDArray[Any] | None
    skipped: tuple[str, ...]

    def __init__(
        self,
        x: ArrayLike | None = None,
        *,
        images: Sequence[Content] | NDArray[np.uint8] | None = None,
        texts: Sequence[str] | None = None,
        ids: ArrayLike | None = None,
        owners: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        skipped: Sequence[str] = (),
    ) -> None:
        if images is not None and texts is not None:
            raise InputError("items are images or texts, not both; make two sets of them")
        given = images if images is not None else texts
        if given is None and x is None:
            raise InputError("items need vectors (x=), images= or texts=")
        vectors = None if x is None else features_of(x)
        content = None if given is None else _content(given, "images" if images is not None else "texts")
        n = len(vectors) if vectors is not None else len(content or ())
        if content is not None and len(content) != n:
            raise DataError(f"there are {len(content)} {'images' if texts is None else 'texts'}, but x has {n} rows")
        if vectors is not None and not np.isfinite(vectors).all():
            odd = int(n - np.isfinite(vectors).all(axis=1).sum())
            raise DataError(f"{odd} of {n} vectors hold NaN or infinity; drop those items before valuing")
        names = np.arange(n) if ids is None else names_of(ids, n, "ids")
        repeated = n - np.unique(names).size
        if repeated:
            raise DataError(f"ids must be unique, but {repeated} of {n} items repeat an id that another item has")
        settle = object.__setattr__
        settle(self, "x", None if vectors is None else read_only(vectors))
        settle(self, "content", content)
        settle(self, "kind", "vectors" if content is None else "images" if texts is None else "texts")
        settle(self, "ids", read_only(names))
        settle(self, "owners", None if owners is None else read_only(names_of(owners, n, "owners")))
        settle(self, "labels", None if labels is None else read_only(_labels(labels, n)))
        settle(self, "skipped", tuple(skipped))

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    def __repr__(self) -> str:
        about = [f"{len(self)} {self.kind}"]
        if self.x is not None:
            about.append(f"{self.x.shape[1]} numbers each")
        if self.labels is not None:
            about.append(f"{np.unique(self.labels).size} classes")
        if self.owners is not None:
            about.append(f"{np.unique(self.owners).size} owners")
        if self.skipped:
            about.append(f"{len(self.skipped)} skipped")
        return f"Items({', '.join(about)})"

    def take(self, which: ArrayLike) -> Items:
        """Some of the items, in the given order.

        Args:
            which: Positions, or a boolean mask of length ``n``.

        Raises:
            DataError: None of the items, or one twice.
            InputError: A mask of another length, a position that is not there, or no positions at all.
        """
        at = _positions(which, len(self))
        some = None if self.content is None else [self.content[int(i)] for i in at]
        return Items(
            None if self.x is None else self.x[at],
            images=some if self.kind == "images" else None,
            texts=some if self.kind == "texts" else None,  # type: ignore[arg-type]  # a set of texts holds texts
            ids=self.ids[at],
            owners=None if self.owners is None else self.owners[at],
            labels=None if self.labels is None else self.labels[at],
            skipped=self.skipped,
        )

    def with_vectors(self, x: ArrayLike) -> Items:
        """The same items with a vector each.

        Args:
            x: Shape ``(n, d)``, in the order of the items.
        """
        return Items(
            x,
            images=self.content if self.kind == "images" else None,
            texts=self.content if self.kind == "texts" else None,  # type: ignore[arg-type]  # as above
            ids=self.ids,
            owners=self.owners,
            labels=self.labels,
            skipped=self.skipped,
        )


def is_pixels(array: NDArray[Any]) -> bool:
    """Whether an array is one image: uint8, shape ``(height, width)``, ``(height, width, 1)`` or with 3 channels."""
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3))
    return array.dtype == np.uint8 and shaped and 0 not in array.shape


def _content(given: Sequence[Content] | NDArray[np.uint8], what: str) -> tuple[Content, ...]:
    if isinstance(given, (str, bytes, Path)):
        raise InputError(f"{what} are given as a list, one entry an item, not as one {type(given).__name__}")
    if isinstance(given, np.ndarray) and what == "images" and given.dtype.kind not in "OUT" and len(given):
        _check_stack(given)
    content = tuple(given)
    if not content:
        raise DataError(f"there are no {what}: the list is empty")
    if what == "texts":
        wrong = sum(not isinstance(entry, str) for entry in content)
        if wrong:
            raise DataError(f"{wrong} of {len(content)} texts are missing or no strings")
        return content
    wrong = sum(not isinstance(entry, (str, bytes, Path, np.ndarray)) for entry in content)
    if wrong:
        raise DataError(
            f"{wrong} of {len(content)} images are missing or no paths, bytes of image files or uint8 arrays"
        )
    odd = [at for at, entry in enumerate(content) if isinstance(entry, np.ndarray) and not is_pixels(entry)]
    if odd:
        entry = np.asarray(content[odd[0]])
        raise DataError(
            f"{len(odd)} of {len(content)} images are no uint8 arrays of shape (height, width) or (height, width, 3); "
            f"the first is image {odd[0]}: {entry.dtype}, shape {entry.shape}"
        )
    return tuple(
        Path(entry) if isinstance(entry, str) else read_only(entry) if isinstance(entry, np.ndarray) else entry
        for entry in content
    )


def _check_stack(images: NDArray[Any]) -> None:
    """Refuse an array that is no stack of images, and say which slip it looks like."""
    shape = images.shape
    hint = ""
    if images.dtype.kind == "f":
        hint = "; make numbers from 0 to 1 whole: (255 * images).round().astype(numpy.uint8)"
    elif len(shape) == 4 and shape[3] not in (1, 3) and shape[1] in (1, 3):
        hint = "; channels come last: images.transpose(0, 2, 3, 1)"
    elif len(shape) == 4 and shape[3] == 4:
        hint = "; put transparent images on a background first, and leave out their fourth channel"
    elif len(shape) == 3 and shape[2] in (3, 4):
        hint = "; this looks like one colour image, and a set of one is images[numpy.newaxis]"
    if hint or images.dtype != np.uint8 or len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)):
        raise DataError(
            "images must be a uint8 array of shape (n, height, width) or (n, height, width, 3), not "
            f"{images.dtype} of shape {shape}{hint}"
        )


def _positions(which: ArrayLike, n: int) -> NDArray[np.int64]:
    index = np.asarray(which)
    if index.dtype == np.bool_ and index.shape == (n,):
        index = np.flatnonzero(index)
    if index.size == 0:
        raise DataError("none of the items is taken; a set needs one at least")
    if index.dtype.kind not in "iu" or index.ndim != 1:
        raise InputError(f"positions are integers, or a mask of {n} bools, not {index.dtype} of shape {index.shape}")
    outside = int(((index < -n) | (index >= n)).sum())
    if outside:
        raise InputError(f"positions run from 0 to {n - 1}, but {outside} of those given do not")
    return index.astype(np.int64)


def _labels(labels: ArrayLike, n: int) -> NDArray[Any]:
    array = exact(labels, "labels")
    if array.shape != (n,) or array.dtype.kind not in "Uiub":
        raise DataError(
            f"labels must be {n} strings, integers or bools, one an item, not {array.dtype} of shape {array.shape}"
        )
    return array
