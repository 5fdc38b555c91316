"""Candidates that are images: laws with a coder that is a matrix, and the real one where torch is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataworth.errors import DataError, MethodError
from dataworth.models.autoencoder import Autoencoder, load_coder, train_autoencoder
from dataworth.synthesis.candidates import Candidates
from dataworth.synthesis.image_candidates import ImageCandidates


@dataclass
class Matrix:
    """A coder that stands in for a trained one: latent numbers are the values of four quarters of an image."""

    shape: tuple[int, ...] = (4, 4)
    classes: NDArray[Any] | None = None
    codes: NDArray[np.int64] | None = None
    latents: NDArray[np.float32] = field(
        default_factory=lambda: np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    )
    settings: Any = field(default_factory=lambda: SimpleNamespace(latent=4))
    digest: str = "a matrix"
    told: list[Any] = field(default_factory=list)

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        flat = images.reshape(len(images), 4, math.prod(self.shape) // 4).astype(np.float32).mean(axis=2)
        return np.asarray((flat - 128) / 30, dtype=np.float32)

    def decode(self, latents: NDArray[Any], codes: NDArray[np.int64] | None = None) -> NDArray[np.uint8]:
        self.told.append(codes)
        values = np.clip(np.rint(latents * 30 + 128), 0, 255).astype(np.uint8)
        return np.repeat(values, np.prod(self.shape) // 4, axis=1).reshape(len(values), *self.shape)


def candidates(coder: Matrix | None = None, **options: Any) -> ImageCandidates:
    return ImageCandidates(coder or Matrix(), **options)  # type: ignore[arg-type]  # it stands in


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_they_are_candidates() -> None:
    assert isinstance(candidates(), Candidates)
    assert candidates().image_shape == (4, 4)


def test_new_images_are_public_ones_each_once_while_they_last() -> None:
    made = candidates()
    first = made.random(0, 50, rng())
    assert first.shape == (50, 16)
    assert first.dtype == np.float32
    public = Matrix().decode(Matrix().latents).reshape(50, 16)
    np.testing.assert_array_equal(np.sort(first, axis=0), np.sort(public, axis=0))
    assert made.random(0, 0, rng()).shape == (0, 16)
    np.testing.assert_array_equal(made.random(0, 120, rng(3)), made.random(7, 120, rng(3)))  # no classes, one stream
    assert (made.random(0, 50, rng(1)) != first).any()


def test_wholly_fresh_images_owe_nothing_to_public_ones() -> None:
    other = Matrix(latents=3 + Matrix().latents)
    spread = candidates(other, fresh=1.0).random(0, 4000, rng())[:, ::4]
    assert abs((spread - 128) / 30).mean() < 1  # latent numbers of noise, and not around three


def test_new_images_are_of_the_class_where_classes_are_known() -> None:
    codes = (np.arange(50) >= 10).astype(np.int64)
    coder = Matrix(classes=np.array(["cat", "dog"]), codes=codes)
    made = candidates(coder)
    cats = made.random(0, 10, rng())
    np.testing.assert_array_equal(
        np.sort(cats, axis=0), np.sort(coder.decode(coder.latents[:10]).reshape(10, 16), axis=0)
    )
    coder.told.clear()
    made.variation(cats, 1, 0.5, rng())
    np.testing.assert_array_equal(coder.told[0], np.ones(10))
    for wrong in (2, -1):
        with pytest.raises(DataError, match="trained with 2 classes"):
            made.random(wrong, 3, rng())
        with pytest.raises(DataError, match="trained with 2 classes"):
            made.variation(cats, wrong, 0.5, rng())
    nobody = candidates(Matrix(classes=np.array(["cat", "dog"]), codes=np.zeros(50, np.int64)))
    assert nobody.random(1, 3, rng()).shape == (3, 16)  # no public image of that class was kept: any will do


@given(progress=st.floats(0, 1), seed=st.integers(0, 5), n=st.integers(0, 6))
def test_variations_are_images_and_repeat(progress: float, seed: int, n: int) -> None:
    made = candidates()
    x = made.random(0, n, rng(seed))
    varied = made.variation(x, 0, progress, rng(seed + 1))
    assert varied.shape == x.shape
    assert varied.dtype == np.float32
    assert ((varied >= 0) & (varied <= 255) & (varied == np.rint(varied))).all()
    np.testing.assert_array_equal(varied, made.variation(x, 0, progress, rng(seed + 1)))


def test_variations_grow_fainter_and_keep_the_spread_of_latent_numbers() -> None:
    made = candidates(first=0.9, last=0.1)
    x = made.random(0, 50, rng())
    x = np.tile(x, (40, 1))
    moved = [np.abs(made.variation(x, 0, p, rng(1)) - x).mean() for p in (0.0, 0.5, 1.0)]
    assert moved[0] > 1.5 * moved[1] > 2 * moved[2]
    z = rng(2).standard_normal((4000, 4)).astype(np.float32)
    images = Matrix().decode(z).reshape(-1, 16)
    assert made.variation(images, 0, 0.0, rng(3)).std() == pytest.approx(images.std(), rel=0.02)


@given(seed=st.integers(0, 20), n=st.integers(1, 40))
def test_a_rows_place_depends_on_that_row_alone_to_the_last_bit(seed: int, n: int) -> None:
    made = candidates(Matrix(shape=(8, 8, 3)))
    x = rng(seed).integers(0, 255, (40, 192)).astype(np.float32)
    whole = made.embed(x)
    some = rng(seed + 1).permutation(40)[:n]
    np.testing.assert_array_equal(made.embed(x[some]), whole[some])
    np.testing.assert_array_equal(made.embed(x[some].astype(np.float64) + 0.2), whole[some])  # to whole pixels first


def test_places_are_the_principal_coordinates_of_public_images() -> None:
    made = candidates(directions=3)
    public = Matrix().decode(Matrix().latents).reshape(50, 16).astype(float)
    centred = public - public.mean(axis=0)
    _, sizes, along = np.linalg.svd(centred, full_matrices=False)
    found = made.embed(public)
    assert found.shape == (50, 3)
    np.testing.assert_allclose(found.std(axis=0), sizes[:3] / np.sqrt(50), rtol=1e-3)
    np.testing.assert_allclose(np.abs(found[1] - found[0]), np.abs(along[:3] @ (public[1] - public[0])), atol=0.01)
    assert candidates(directions=900).embed(public).shape[1] <= 16


def test_another_measure_of_likeness() -> None:
    made = candidates(embed_with=lambda pixels: pixels[:, :2], embed_name="two pixels")
    x = made.random(0, 5, rng())
    np.testing.assert_array_equal(made.embed(x), x[:, :2])
    assert "two pixels" in made.describe()
    for options in ({"embed_with": lambda pixels: pixels}, {"embed_name": "x"}):
        with pytest.raises(MethodError, match="go together"):
            candidates(**options)


def test_what_changes_what_they_do_changes_how_they_describe_themselves() -> None:
    told = Matrix(classes=np.array(["a", "b"]), codes=np.arange(50) % 2)
    others = [
        candidates(),
        candidates(first=0.8),
        candidates(last=0.1),
        candidates(fresh=0.5),
        candidates(directions=2),
        candidates(Matrix(digest="another")),
        candidates(told),
        candidates(embed_with=lambda pixels: pixels, embed_name="pixels"),
    ]
    described = [made.describe() for made in others]
    assert len(set(described)) == len(others)
    assert all("\n" not in text for text in described)
    assert candidates().describe() == described[0]


@pytest.mark.parametrize(
    "options",
    [{"first": 1.1}, {"last": 0.0}, {"first": 0.1, "last": 0.2}, {"fresh": -0.1}, {"first": float("nan")},
     {"directions": 0}, {"directions": 2.5}, {"directions": True}],
)  # fmt: skip
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(MethodError, match=r"shares of noise fall|directions must be"):
        candidates(**options)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((3, 15)), "rows of 16 pixels, not float64 of shape"),
        (np.zeros((3, 4, 4)), "rows of 16 pixels"),
        (np.array([["a"] * 16]), "rows of 16 pixels"),
    ],
)
def test_rows_that_are_no_images_are_refused(x: Any, message: str) -> None:
    for use in (candidates().embed, lambda x: candidates().variation(x, 0, 0.5, rng())):
        with pytest.raises(DataError, match=message):
            use(x)


def test_a_row_with_other_numbers_lies_nowhere_and_changes_no_other_row() -> None:
    """A private row must not be able to stop a release, or it would show that it is there."""
    x = np.tile(np.arange(16.0), (5, 1))
    x[[1, 2, 4], 3] = -1, 255.1, np.nan
    for made in (candidates(), candidates(embed_with=lambda pixels: pixels[:, :2] / 2, embed_name="two pixels")):
        found = made.embed(x)
        assert np.isnan(found[[1, 2, 4]]).all()
        np.testing.assert_array_equal(found[[0, 3]], made.embed(x[[0, 3]]))
        assert made.embed(x[:0]).shape == (0, found.shape[1])
    with pytest.raises(DataError, match="3 of 5 candidates hold something else than pixels"):
        candidates().variation(x, 0, 0.5, rng())


@pytest.mark.models
def test_with_a_trained_coder(tmp_path: Path) -> None:
    images = np.zeros((200, 12, 12), np.uint8)
    for image, at in zip(images, rng().integers(1, 10, 200), strict=True):
        image[at : at + 2] = 255
    settings = Autoencoder(steps=150, batch=32, latent=2, width=8, learning_rate=3e-3)
    coder = train_autoencoder(settings, images, folder=tmp_path, progress=False)
    made = ImageCandidates(load_coder(coder.save(tmp_path / "coder.npz")), directions=8)
    x = made.random(0, 30, rng())
    varied = made.variation(x, 0, 1.0, rng(1))
    np.testing.assert_array_equal(varied, made.variation(x, 0, 1.0, rng(1)))
    assert made.embed(varied).shape == (30, 8)
    assert made.describe() == ImageCandidates(coder, directions=8).describe()
    # Faint variations of an image look more like it than others do.
    apart = np.linalg.norm(made.embed(varied)[:, None] - made.embed(x), axis=2)
    assert (apart.diagonal() < apart.mean(axis=1)).mean() > 0.8
