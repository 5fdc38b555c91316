"""Pictures that Private Evolution breeds: painted by a small public model, varied among its latent numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, MethodError
from dataworth.models.autoencoder import ImageCoder
from dataworth.records.sealed import digest_of

__all__ = ["ImageCandidates"]

_GRID = 2.0**20  # steps in 1 of the directions in which images differ
_LOOKED_AT = 2_000  # public images that the directions are found from
_BLOCK = 4_096  # rows at once in double precision


@dataclass(frozen=True, eq=False)
class ImageCandidates:
    """Images as rows of pixels, float32 from 0 to 255, from an autoencoder of PUBLIC images.

    New candidates are public images as the autoencoder paints them, moved a little. A variation reads an image, mixes
    noise into its latent numbers ``z``, ``sqrt(1 - s**2) z + s noise``, which keeps their spread, and paints the
    result. The share ``s`` falls geometrically from ``first`` at progress 0 to ``last`` at 1.

    Likeness is measured along the directions in which public images, as painted, differ most. Their coordinates are
    whole multiples of 2**-20 and pixels are whole, so sums are exact, and a row's place depends on that row alone.

    Args:
        coder: A trained autoencoder, from :func:`dataworth.models.autoencoder.load_coder`.
        first: The share of noise in a variation at the start, 0 to 1.
        last: The share in the end, above 0.
        fresh: The share of noise in new candidates: 0 is public images as painted, 1 latent numbers of nothing but
            noise.
        directions: How many directions; with fewer pixels than that, all.
        embed_with: Measures likeness instead, given rows of whole pixels, by each row alone; name it in ``embed_name``.
        embed_name: What ``embed_with`` is, with all that changes what it does.

    Raises:
        MethodError: Shares out of range, or ``embed_with`` without a name or the other way round.

    Example:
        >>> import dataworth as dw
        >>> def evolution(coder):  # a trained autoencoder, from dataworth train-generator
        ...     return dw.PrivateEvolution(dw.ImageCandidates(coder, first=0.6))
    """

    coder: ImageCoder
    first: float = 0.7
    last: float = 0.3
    fresh: float = 0.0
    directions: int = 32
    embed_with: Callable[[NDArray[np.uint8]], NDArray[Any]] | None = None
    embed_name: str = ""
    _along: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not (0 < self.last <= self.first <= 1 and 0 <= self.fresh <= 1):
            raise MethodError(
                f"shares of noise fall from first to last, 1 >= first >= last > 0, and fresh is from 0 to 1, not "
                f"{self.first}, {self.last}, {self.fresh}"
            )
        if isinstance(self.directions, bool) or not isinstance(self.directions, int) or self.directions < 1:
            raise MethodError(f"directions must be a whole number of 1 or more, not {self.directions!r}")
        if (self.embed_with is None) != (not self.embed_name.strip()):
            raise MethodError("embed_with and embed_name go together: a function, and its name with its parameters")
        object.__setattr__(self, "_along", np.empty((0, 0)) if self.embed_with else self._directions())

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of the image that a row holds: ``(height, width)`` or ``(height, width, channels)``."""
        return self.coder.shape

    def random(self, code: int, number: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """New images, ``(number, pixels)``: public ones as painted, each once as long as there are enough.

        Where the painter knows classes, they are public images of the class; otherwise of any.

        Raises:
            DataError: A class that the coder does not know.
        """
        held = len(self.coder.latents)
        pool = np.arange(held) if self.coder.codes is None else np.flatnonzero(self.coder.codes == self._known(code))
        pool = pool if pool.size else np.arange(held)  # none of the kept public images shows it
        rounds = [rng.permutation(pool) for _ in range(-(-number // pool.size))]
        at = np.concatenate([np.zeros(0, dtype=np.int64), *rounds])[:number]
        return self._painted(self._mixed(self.coder.latents[at], self.fresh, rng), code)

    def variation(self, x: NDArray[Any], code: int, progress: float, rng: np.random.Generator) -> NDArray[np.float32]:
        """One variation of each image, ``(m, pixels)``.

        Raises:
            DataError: Rows that are no images of the shape.
        """
        share = self.first * (self.last / self.first) ** progress
        pixels, whole = self._pixels(x)
        if not whole.all():
            odd = int((~whole).sum())
            raise DataError(f"{odd} of {len(x)} candidates hold something else than pixels from 0 to 255")
        images = pixels.reshape(len(x), *self.image_shape)
        return self._painted(self._mixed(self.coder.encode(images), share, rng), code)

    def embed(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Where images lie, ``(m, directions)``, each by itself; NaN for a row that holds something else than pixels.

        Raises:
            DataError: Rows of another length or type.
        """
        pixels, whole = self._pixels(x)
        if self.embed_with is not None:
            places = np.array(self.embed_with(pixels), dtype=np.float64)
        else:
            places = np.empty((len(pixels), self._along.shape[1]))
            for at in range(0, len(pixels), _BLOCK):
                places[at : at + _BLOCK] = pixels[at : at + _BLOCK].astype(np.float64) @ self._along
        places[~whole] = np.nan
        return places

    def describe(self) -> str:
        """The coder, the shares of noise, and how likeness is measured."""
        shape = "x".join(map(str, self.image_shape))
        told = "" if self.coder.classes is None else f", told of {len(self.coder.classes)} classes"
        alike = self.embed_name.strip() or f"{self._along.shape[1]} directions of public images"
        seen = self.coder.digest + digest_of({}, {"along": self._along})
        return (
            f"images of {shape} by an autoencoder of {self.coder.settings.latent} latent numbers{told}; noise "
            f"{self.first:g} to {self.last:g}, fresh {self.fresh:g}; likeness by {alike} "
            f"[{digest_of({'seen': seen}, {})[:12]}]"
        )

    def _known(self, code: int) -> int:
        classes = self.coder.classes
        if classes is not None and not 0 <= code < len(classes):
            raise DataError(f"the coder was trained with {len(classes)} classes and knows no class number {code}")
        return code

    def _mixed(self, z: NDArray[np.float32], share: float, rng: np.random.Generator) -> NDArray[np.float32]:
        noise = rng.standard_normal(z.shape, dtype=np.float32)
        return np.asarray(math.sqrt(1 - share**2) * z + share * noise, dtype=np.float32)

    def _painted(self, z: NDArray[np.float32], code: int) -> NDArray[np.float32]:
        told = None if self.coder.classes is None else np.full(len(z), self._known(code), dtype=np.int64)
        return self.coder.decode(z, told).reshape(len(z), math.prod(self.image_shape)).astype(np.float32)

    def _pixels(self, x: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Rows as whole pixels, and which rows hold pixels; the others are black."""
        rows, wanted = np.asarray(x), math.prod(self.image_shape)
        if rows.ndim != 2 or rows.shape[1] != wanted or rows.dtype.kind not in "fiu":
            raise DataError(
                f"images of shape {self.image_shape} are rows of {wanted} pixels, not {rows.dtype} of shape "
                f"{rows.shape}"
            )
        whole: NDArray[np.bool_] = np.all((rows >= 0) & (rows <= 255), axis=1)
        return np.rint(np.where(whole[:, None], rows, 0)).astype(np.uint8), whole

    def _directions(self) -> NDArray[np.float64]:
        """Principal directions of public images as painted, on a grid, ``(pixels, directions)``."""
        from sklearn.decomposition import PCA

        some = np.linspace(0, len(self.coder.latents) - 1, min(_LOOKED_AT, len(self.coder.latents))).astype(np.int64)
        told = None if self.coder.codes is None else self.coder.codes[some]
        painted = self.coder.decode(self.coder.latents[some], told).reshape(some.size, -1).astype(np.float64)
        count = min(self.directions, *painted.shape)
        found = PCA(count, svd_solver="randomized", random_state=0).fit(painted).components_
        return np.asarray(np.rint(found.T * _GRID) / _GRID)
