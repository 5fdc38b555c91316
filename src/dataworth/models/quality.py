"""How good a generated item is by itself, as a number from which its training items are credited.

An item's quality is a function of that item alone: none of these compares it with other items.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.errors import DataError, MethodError, MissingExtra
from dataworth.models.checks import numbers_of, pixels_of

__all__ = ["QUALITIES", "Judge", "check_quality", "quality"]

QUALITIES = ("entropy", "piqe", "sharpness")

Judge: TypeAlias = Callable[[list[Any]], ArrayLike]
"""A list of contents (images as uint8 arrays (height, width, 3), or texts) -> a number for each, higher is better."""

_PIQE_PIXELS = 64
_BLUR_TAPS = 9
_ROUNDING = 1  # grey levels: a smooth slope that was rounded to levels climbs in sharp steps of this height


def quality(
    which: str | Judge, show: Callable[[int], Any], m: int, tick: Callable[[int], object] | None = None
) -> NDArray[np.float64]:
    """The quality of every generated item, higher is better.

    Named qualities judge images and lie between 0 and 1:

    * ``"piqe"``: ``1 - score / 100`` of the Perception-based Image Quality Evaluator (Venkatanath et al., NCC 2015),
      cut to 0 and 1. It looks for blur, blocks and noise in patches of 16 pixels, so images must be at least 64 x 64;
      an image of one colour has quality 0. It takes slight noise for detail.
    * ``"sharpness"``: after the blur of Crete et al. (SPIE 2007), the share of the grey-level differences between
      neighbours that is lost when the image is blurred over 9 pixels, along rows or along columns, whichever is
      less. A loss of one level counts for nothing, since rounding alone makes steps of that height. Noise counts as
      sharp; an image of one grey level has quality 0.
    * ``"entropy"``: the entropy of the grey levels in bits, divided by 8. An image of one grey level has quality 0,
      one whose 256 levels are equally frequent has 1, wherever they stand; so noise ranks high.

    Args:
        which: A name, or a callable that is given a list with the content of one item and gives a list with its
            quality: one at a time, so that an item's quality depends on no other item.
        show: Gives the content of a generated item: RGB pixels, uint8 ``(height, width, 3)``, or a text.
        m: How many items.
        tick: Called with 1 after each item.

    Returns:
        float64, shape ``(m,)``, finite, 0 or more.

    Raises:
        MethodError: An unknown name.
        MissingExtra: What it needs is not installed.
        DataError: Content it cannot judge; or a callable gave no number, NaN, infinity or a negative number.

    Example:
        >>> import numpy as np
        >>> halves = np.zeros((16, 16, 3), dtype=np.uint8)
        >>> halves[:, 8:] = 255
        >>> images = [halves, halves[:, :8]]
        >>> quality("entropy", images.__getitem__, 2)
        array([0.125, 0.   ])
        >>> quality(lambda texts: [min(len(text), 10) / 10 for text in texts], ["a tree"].__getitem__, 1)
        array([0.6])
    """
    if callable(which):
        name, judge = "your quality", _own(which)
    elif which in QUALITIES:
        name, judge = repr(which), _JUDGES[which]()
    else:
        raise MethodError(f"quality is judged by {', '.join(map(repr, QUALITIES))} or a callable, not {which!r}")
    judged = np.empty(m)
    for j in range(m):
        judged[j] = judge(show(j), f"generated item {j}")
        if tick is not None:
            tick(1)
    return check_quality(judged, m, name)


def check_quality(values: ArrayLike, m: int, name: str) -> NDArray[np.float64]:
    """Qualities, one a generated item, if they can be divided among training items.

    Args:
        values: A list or an array.
        m: How many there should be.
        name: What to call them in a message.

    Raises:
        DataError: Another count, no numbers, or numbers that are negative or not finite.

    Example:
        >>> check_quality([1, 0.5], 2, "quality")
        array([1. , 0.5])
    """
    numbers = numbers_of(values, m, name, "a generated item")
    odd, negative = int(m - np.isfinite(numbers).sum()), int((numbers < 0).sum())
    if odd:
        raise DataError(f"{name} is NaN or infinite for {odd} of {m} generated items; it must be a number, 0 or more")
    if negative:
        raise DataError(
            f"{name} is negative for {negative} of {m} generated items, and nobody can be credited less than nothing; "
            "shift or cut it to 0 or more"
        )
    return numbers


# -- the named qualities --------------------------------------------------------------------------

_Named: TypeAlias = Callable[[Any, str], float]
"""The content of an item, and which item it is, for messages -> its quality."""


def _own(judge: Judge) -> _Named:
    return lambda content, item: float(numbers_of(judge([content]), 1, "your quality", f"for {item}")[0])


def _piqe() -> _Named:
    try:
        from pypiqe import piqe
    except ImportError:
        raise MissingExtra("'piqe'", "quality") from None

    def judge(content: Any, item: str) -> float:
        image = pixels_of(content, item, "'piqe'")
        if min(image.shape[:2]) < _PIQE_PIXELS:
            raise DataError(
                f"'piqe' judges images of at least {_PIQE_PIXELS} x {_PIQE_PIXELS} pixels, and {item} has "
                f"{image.shape[0]} x {image.shape[1]}; use 'sharpness', or give qualities of your own"
            )
        with np.errstate(divide="ignore", invalid="ignore"):  # flat blocks and black images: it sees to them itself
            score = piqe(np.ascontiguousarray(image[:, :, ::-1]))[0]  # blue comes first there
        return min(max(1 - float(score) / 100, 0.0), 1.0)

    return judge


def _sharpness() -> _Named:
    from scipy.ndimage import uniform_filter1d

    def judge(content: Any, item: str) -> float:
        grey = _grey(pixels_of(content, item, "'sharpness'")).astype(np.float64)
        lost = []
        for axis in (0, 1):
            before = np.abs(np.diff(grey, axis=axis))
            after = np.abs(np.diff(uniform_filter1d(grey, _BLUR_TAPS, axis=axis, mode="nearest"), axis=axis))
            if before.any():  # along an axis without differences there is nothing to lose
                lost.append(float(np.maximum(before - after - _ROUNDING, 0).sum() / before.sum()))
        return min(lost, default=0.0)

    return judge


def _entropy() -> _Named:
    def judge(content: Any, item: str) -> float:
        counts = np.bincount(_grey(pixels_of(content, item, "'entropy'")).ravel())
        share = counts[counts > 0] / counts.sum()
        return float((share * np.log2(1 / share)).sum() / 8)

    return judge


def _grey(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Grey levels 0 to 255, by the weights of ITU-R BT.601; grey images keep theirs."""
    levels: NDArray[np.int64] = (image.astype(np.int64) @ np.array([299, 587, 114]) + 500) // 1000
    return levels


_JUDGES: dict[str, Callable[[], _Named]] = {"entropy": _entropy, "piqe": _piqe, "sharpness": _sharpness}
