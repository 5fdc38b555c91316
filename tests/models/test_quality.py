"""Qualities lie where they say, follow what they claim to see, and judge each item by itself."""

from __future__ import annotations

import builtins
import math
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_sample_images

from dataworth.errors import DataError, MethodError, MissingExtra
from dataworth.models.quality import QUALITIES, check_quality, quality

Image: TypeAlias = NDArray[np.uint8]

any_image = arrays.arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3)))


def judged(which: Any, contents: list[Any]) -> NDArray[np.float64]:
    return quality(which, contents.__getitem__, len(contents))


def photographs(side: int, count: int = 6) -> list[Image]:
    rng = np.random.default_rng(0)
    out = []
    for at in range(count):
        image = load_sample_images().images[at % 2]
        top, left = rng.integers(0, 427 - side), rng.integers(0, 640 - side)
        out.append(np.ascontiguousarray(image[top : top + side, left : left + side]))
    return out


def blurred(image: Image, sigma: float) -> Image:
    soft: Image = gaussian_filter(image.astype(float), (sigma, sigma, 0)).round().astype(np.uint8)
    return soft


def grey_levels(image: Image) -> list[list[int]]:
    return [[(299 * int(r) + 587 * int(g) + 114 * int(b) + 500) // 1000 for r, g, b in row] for row in image]


# -- laws of every quality ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", QUALITIES)
def test_each_item_is_judged_by_itself(which: str) -> None:
    images = [*photographs(70), *(blurred(image, 1.5) for image in photographs(64))]
    whole = judged(which, images)
    assert whole.dtype == np.float64
    assert ((whole >= 0) & (whole <= 1)).all()
    np.testing.assert_array_equal([judged(which, [image])[0] for image in images], whole)
    np.testing.assert_array_equal(judged(which, images[::-1]), whole[::-1])


@settings(max_examples=50)
@given(any_image)
def test_any_image_has_a_quality_from_0_to_1(image: Image) -> None:
    large = np.tile(image, (64, 64, 1))[:64, :70]
    for which, seen in (("sharpness", image), ("entropy", image), ("piqe", large)):
        assert 0 <= judged(which, [seen])[0] <= 1


@pytest.mark.parametrize("which", QUALITIES)
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (7, 7, 7), (200, 30, 90)])
def test_one_colour_is_worth_nothing(
    which: str, colour: tuple[int, int, int], recwarn: pytest.WarningsRecorder
) -> None:
    assert judged(which, [np.full((64, 80, 3), colour, np.uint8)]).tolist() == [0.0]
    assert not recwarn.list


@pytest.mark.parametrize("which", QUALITIES)
def test_the_image_is_left_as_it_was(which: str) -> None:
    image = photographs(64, 1)[0]
    image.flags.writeable = False
    before = image.copy()
    judged(which, [image])
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(("which", "side"), [("sharpness", 28), ("sharpness", 64), ("piqe", 64), ("piqe", 130)])
def test_more_blur_is_worse(which: str, side: int) -> None:
    got = np.array(
        [judged(which, [blurred(image, sigma) for sigma in (0.8, 1.5, 3, 6)]) for image in photographs(side)]
    )
    assert (np.diff(got.mean(axis=0)[:3]) < 0).all()
    if which == "sharpness":  # the other is off on single photographs
        assert (np.diff(got) <= 0).all()


def test_progress_is_told_item_by_item() -> None:
    ticks: list[int] = []
    images = photographs(20, 3)
    quality("entropy", images.__getitem__, 3, ticks.append)
    assert ticks == [1, 1, 1]
    assert quality("entropy", images.__getitem__, 0).shape == (0,)


# -- each of them ------------------------------------------------------------------------------------------------


@given(any_image)
def test_entropy_is_that_of_grey_levels(image: Image) -> None:
    counts = Counter(level for row in grey_levels(image) for level in row)
    shares = [count / counts.total() for count in counts.values()]
    assert judged("entropy", [image])[0] == pytest.approx(sum(-p * math.log2(p) for p in shares) / 8, abs=1e-12)


def test_entropy_is_1_where_all_levels_are_equally_frequent() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    assert judged("entropy", [ramp, np.tile(ramp, (3, 1, 1))]).tolist() == [1.0, 1.0]


def loss(rows: list[list[int]]) -> float | None:
    """Along rows: the share of differences between neighbours that a mean of nine takes away; by hand."""
    before, after = 0.0, 0.0
    for row in rows:
        width = len(row)
        mean = [sum(row[min(max(at + step, 0), width - 1)] for step in range(-4, 5)) / 9 for at in range(width)]
        for at in range(1, width):
            sharp, soft = abs(row[at] - row[at - 1]), abs(mean[at] - mean[at - 1])
            before += sharp
            after += max(0.0, sharp - soft - 1)
    return after / before if before else None


@settings(max_examples=50)
@given(any_image)
def test_sharpness_is_the_share_lost_in_blurring(image: Image) -> None:
    grey = grey_levels(image)
    columns = [list(column) for column in zip(*grey)]
    shares = [share for share in (loss(grey), loss(columns)) if share is not None]
    assert judged("sharpness", [image])[0] == pytest.approx(min(shares, default=0.0), abs=1e-9)


def test_steps_of_rounding_are_not_sharp() -> None:
    slope = np.linspace(0, 20, 64)
    image = np.repeat(np.add.outer(slope, slope).round().astype(np.uint8)[:, :, None], 3, axis=2)
    edge = image.copy()
    edge[:, 32:] += 100
    edge[32:] += 100
    got = judged("sharpness", [image, edge])
    assert got[0] == 0
    assert got[1] > 0.5


def test_stripes_are_judged_across() -> None:
    stripes = np.zeros((20, 20, 3), np.uint8)
    stripes[:, ::2] = 255  # a mean of nine alternates by 1/9, but for the borders
    assert judged("sharpness", [stripes, stripes.transpose(1, 0, 2)]).tolist() == pytest.approx([8 / 9] * 2, abs=0.03)


def test_piqe_is_that_of_the_package_with_its_order_of_channels() -> None:
    import cv2
    from pypiqe import piqe

    for image in photographs(90):
        assert judged("piqe", [image])[0] == 1 - piqe(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[0] / 100


def test_piqe_sees_strong_noise_and_blocks() -> None:
    rng = np.random.default_rng(0)
    images = photographs(128)
    noisy = [np.clip(image + rng.normal(0, 60, image.shape), 0, 255).astype(np.uint8) for image in images]
    blocks = [np.repeat(np.repeat(image[::16, ::16], 16, axis=0), 16, axis=1) for image in images]
    assert judged("piqe", images).mean() > max(judged("piqe", noisy).mean(), judged("piqe", blocks).mean()) + 0.1


@pytest.mark.parametrize(("shape", "size"), [((28, 28), "28 x 28"), ((63, 200), "63 x 200")])
def test_piqe_refuses_images_of_few_blocks(shape: tuple[int, int], size: str) -> None:
    small = np.zeros((*shape, 3), np.uint8)
    message = f"'piqe' judges images of at least 64 x 64 pixels, and generated item 1 has {size}; use 'sharpness'"
    with pytest.raises(DataError, match=message):
        judged("piqe", [photographs(64, 1)[0], small])


def test_piqe_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = builtins.__import__

    def absent(name: str, *args: Any) -> Any:
        if name == "pypiqe":
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtra, match=r"'piqe'.*pip install 'dataworth\[quality\]'"):
        judged("piqe", [])


# -- callables, arrays, and what is refused ----------------------------------------------------------------------


def test_a_callable_is_given_one_item_at_a_time() -> None:
    calls: list[list[str]] = []

    def length(texts: list[str]) -> list[int]:
        calls.append(texts)
        return [len(text) for text in texts]

    np.testing.assert_array_equal(judged(length, ["a", "", "ccc"]), [1.0, 0.0, 3.0])
    assert calls == [["a"], [""], ["ccc"]]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([1.0, np.nan, np.inf], "your quality is NaN or infinite for 2 of 3 generated items"),
        ([1.0, -0.5, -2], "your quality is negative for 2 of 3 generated items"),
    ],
)
def test_what_cannot_be_divided_is_refused_with_counts(answers: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        judged(lambda given: [answers[given[0]]], [0, 1, 2])
    with pytest.raises(DataError, match=message):
        check_quality(answers, 3, "your quality")


@pytest.mark.parametrize("output", [[1.0, 2.0], 1.0, ["1"], [None], [[1.0]], []])
def test_an_answer_that_is_no_number_is_refused(output: Any) -> None:
    with pytest.raises(DataError, match="your quality must give 1 numbers, one for generated item 0"):
        judged(lambda given: output, ["a secret"])


def test_arrays_are_checked_alike() -> None:
    got = check_quality(np.array([1, 0], np.uint8), 2, "quality")
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, [1.0, 0.0])
    given_here = np.array([0.5, 0.25])
    assert check_quality(given_here, 2, "quality") is not given_here
    with pytest.raises(
        DataError, match=r"quality must give 3 numbers, one a generated item, not int64 of shape \(2,\)"
    ):
        check_quality([1, 2], 3, "quality")


@pytest.mark.parametrize("which", QUALITIES)
def test_texts_need_a_callable(which: str) -> None:
    with pytest.raises(DataError, match=f"'{which}' looks at images, and generated item 0 .*not str") as refused:
        judged(which, ["a secret"])
    assert "secret" not in str(refused.value)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(MethodError, match="'entropy', 'piqe', 'sharpness' or a callable, not 'brisque'"):
        judged("brisque", [])
