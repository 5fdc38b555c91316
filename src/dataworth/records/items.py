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

__all__ = ["Content", "Items", "Kind"]

Content: TypeAlias = str | bytes | Path | NDArray[np.uint8]
"""What an item is: a text; or an image as encoded bytes, a path, or pixels (height, width[, 3])."""

Kind: TypeAlias = Literal["vectors", "images", "texts"]


@dataclass(frozen=True, eq=False, repr=False)
class Items:
    """Items of one kind, with a vector each, or with the images or texts that vectors can be made of.

    Args:
        x: Vectors, shape ``(n, d)``, finite; None if the items are still to be embedded.
        images: The images: a uint8 array ``(n, height, width)`` or ``(n, height, width, 3)``, or a list of paths,
            of the bytes of image files, or of such arrays.
        texts: The texts. Images and texts exclude each other.
        ids: Unique names, integers or strings; ``0 .. n-1`` if not given.
        owners: Whose each item is, if known.
        labels: The class each item shows, or was generated for, if known.
        skipped: Names of sources that were left out because they could not be read.

    Raises:
        DataError: No items, vectors that are not finite, lengths that differ, or ids that repeat.
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
        """
        index = np.asarray(which)
        at = np.flatnonzero(index) if index.dtype == np.bool_ else index
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


def _content(given: Sequence[Content] | NDArray[np.uint8], what: str) -> tuple[Content, ...]:
    if isinstance(given, (str, bytes, Path)):
        raise InputError(f"{what} are given as a list, one entry an item, not as one {type(given).__name__}")
    content = tuple(given)
    if not content:
        raise DataError(f"there are no {what}: the list is empty")
    kinds = (str,) if what == "texts" else (bytes, Path, np.ndarray)
    if what == "images":
        content = tuple(Path(entry) if isinstance(entry, str) else entry for entry in content)
    wrong = sum(not isinstance(entry, kinds) for entry in content)
    if wrong:
        wanted = "strings" if what == "texts" else "paths, bytes of image files or uint8 arrays"
        raise DataError(f"{wrong} of {len(content)} {what} are missing or no {wanted}")
    return content


def _labels(labels: ArrayLike, n: int) -> NDArray[Any]:
    array = exact(labels, "labels")
    if array.shape != (n,) or array.dtype.kind not in "Uiub":
        raise DataError(
            f"labels must be {n} strings, integers or bools, one an item, not {array.dtype} of shape {array.shape}"
        )
    return array
