"""A small autoencoder: what is trained twice is the same, wherever it was stopped, and its file is only numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError
from dataworth.models.autoencoder import Autoencoder, load_coder, train_autoencoder
from dataworth.records.sealed import read_sealed, write_sealed

TINY = Autoencoder(steps=12, batch=8, latent=3, width=8)


def pictures(n: int = 100, shape: tuple[int, ...] = (14, 10), seed: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def bars(n: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Upright and lying bars at random places."""
    draws = np.random.default_rng(seed)
    images = np.zeros((n, 16, 16), np.uint8)
    labels = np.where(draws.random(n) < 0.5, "lying", "upright")
    for image, label, at in zip(images, labels, draws.integers(2, 13, n), strict=True):
        (image if label == "lying" else image.T)[at : at + 2] = 255
    return images, labels


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"latent": -1}, {"beta": 0.0}, {"learning_rate": float("nan")}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(wrong))} must be positive"):
        replace(TINY, **wrong)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((100, 4), np.uint8), "must be uint8 of shape"),
        (np.zeros((100, 4, 4), np.float32), "must be uint8 of shape"),
        (np.zeros((100, 4, 4, 2), np.uint8), "must be uint8 of shape"),
        (np.zeros((100, 0, 4), np.uint8), "must be uint8 of shape"),
        (np.zeros((100, 65, 4), np.uint8), "64 x 64 pixels at most, not 65 x 4"),
        (np.zeros((99, 4, 4), np.uint8), "100 public images at least, not from 99"),
    ],
)
def test_images_that_nothing_can_be_learned_from_are_refused(images: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        train_autoencoder(TINY, images, folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_labels_of_another_number_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one label for each of 100 images"):
        train_autoencoder(TINY, pictures(), np.zeros(99), folder=tmp_path)


def test_what_is_no_coder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        load_coder(tmp_path / "coder.npz")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(DataError, match="no image coder, or a damaged one"):
        load_coder(tmp_path / "other.npz")


@pytest.mark.models
@pytest.mark.parametrize("shape", [(14, 10), (16, 16, 3), (9, 9, 1)])
@pytest.mark.parametrize("told", [False, True])
def test_images_go_in_and_come_out_in_their_shape(shape: tuple[int, ...], told: bool, tmp_path: Path) -> None:
    images = pictures(shape=shape)
    labels = np.where(np.arange(100) % 3 == 0, "b", "a") if told else None
    coder = train_autoencoder(TINY, images, labels, folder=tmp_path, progress=False)
    codes = np.zeros(5, np.int64) if told else None
    latents = coder.encode(images[:5])
    painted = coder.decode(latents, codes)
    assert latents.shape == (5, 3)
    assert painted.shape == (5, *shape)
    assert painted.dtype == np.uint8
    np.testing.assert_allclose(latents, coder.latents[:5], rtol=1e-4, atol=1e-5)
    assert coder.encode(images[:0]).shape == (0, 3)
    assert coder.decode(latents[:0], None if codes is None else codes[:0]).shape == (0, *shape)
    if told:
        np.testing.assert_array_equal(coder.classes, ["a", "b"])
        np.testing.assert_array_equal(coder.codes[:4], [1, 0, 0, 1])  # type: ignore[index]  # they are there
        for wrong in (None, np.full(5, 2), np.full(5, -1), np.zeros(4, np.int64)):
            with pytest.raises(DataError, match="classes"):
                coder.decode(latents, wrong)
    with pytest.raises(DataError, match="this coder takes uint8 images of shape \\(n, "):
        coder.encode(images[:5].astype(np.float32))
    with pytest.raises(DataError, match=r"shape \(n, 3\), not \(5, 2\)"):
        coder.decode(latents[:, :2], codes)


@pytest.mark.models
def test_a_training_stopped_anywhere_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataworth.models import checkpoints

    images = pictures()
    whole = train_autoencoder(TINY, images, folder=tmp_path / "whole", progress=False)
    monkeypatch.setattr(checkpoints, "_SAVE_EVERY", -1.0)
    keep, kept = checkpoints._save, 0

    def stop_after_five(path: Path, state: Any) -> None:
        nonlocal kept
        keep(path, state)
        kept += 1
        if kept % 5 == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "_save", stop_after_five)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train_autoencoder(TINY, images, folder=tmp_path / "cut", progress=False)
    resumed = train_autoencoder(TINY, images, folder=tmp_path / "cut", progress=False)
    assert kept == TINY.steps
    assert resumed.losses == whole.losses
    assert resumed.digest == whole.digest


@pytest.mark.models
def test_what_is_trained_is_opened_and_other_images_are_another_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = pictures()
    first = train_autoencoder(TINY, images, folder=tmp_path, progress=False)
    monkeypatch.setattr("dataworth.models.checkpoints._save", None)  # nothing is trained, so nothing is kept
    again = train_autoencoder(TINY, images, folder=tmp_path, progress=False)
    assert (again.digest, again.seconds) == (first.digest, first.seconds)
    other = images.copy()
    other[0, 0, 0] ^= 1
    for anew in ({"images": other}, {"seed": 1}, {"labels": np.arange(100) % 2}):
        with pytest.raises(TypeError):
            train_autoencoder(TINY, **{"images": images, "folder": tmp_path, "progress": False, **anew})  # type: ignore[arg-type]


@pytest.mark.models
@pytest.mark.parametrize("told", [False, True])
def test_a_coder_is_read_as_it_was_written(told: bool, tmp_path: Path) -> None:
    images, labels = bars(120)
    coder = train_autoencoder(TINY, images, labels if told else None, folder=tmp_path / "work", progress=False)
    with pytest.raises(InputError, match=r"ends in \.npz"):
        coder.save(tmp_path / "coder.pt")
    read = load_coder(coder.save(tmp_path / "coder.npz"))
    assert (read.settings, read.shape, read.losses, read.seconds, read.digest) == (
        coder.settings, coder.shape, coder.losses, coder.seconds, coder.digest,
    )  # fmt: skip
    codes = np.ones(7, np.int64) if told else None
    np.testing.assert_array_equal(read.encode(images[:7]), coder.encode(images[:7]))
    np.testing.assert_array_equal(read.decode(coder.latents[:7], codes), coder.decode(coder.latents[:7], codes))


@pytest.mark.models
def test_a_damaged_or_strange_coder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "coder.npz"
    train_autoencoder(TINY, pictures(), folder=tmp_path / "work", progress=False).save(path)
    about, arrays = read_sealed(path, "dataworth-coder/1", "coder", "us")
    del about["format"]
    for facts, held in (
        ({**about, "shape": [28, 28]}, arrays),
        ({**about, "settings": {**about["settings"], "latent": 0}}, arrays),
        (about, {name: array for name, array in arrays.items() if name != "weight/reader.1.bias"}),
        (about, {**arrays, "weight/reader.1.bias": np.zeros(3, np.float32)}),
    ):
        write_sealed(tmp_path / "odd.npz", "dataworth-coder/1", facts, held)
        with pytest.raises(DataError, match="no image coder that this dataworth can open"):
            load_coder(tmp_path / "odd.npz")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataError, match="damaged"):
        load_coder(path)


@pytest.mark.models
def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    train_autoencoder(TINY, pictures(), folder=tmp_path, progress=False)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="delete it to begin anew"):
        train_autoencoder(TINY, pictures(), folder=tmp_path, progress=False)


@pytest.mark.models
def test_the_callers_draws_are_left_alone(tmp_path: Path) -> None:
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_autoencoder(TINY, pictures(), folder=tmp_path, progress=False)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.models
def test_training_learns_to_paint_what_it_was_not_shown(tmp_path: Path) -> None:
    images, labels = bars(600)
    settings = replace(TINY, steps=400, batch=32, latent=4, width=8, learning_rate=3e-3)
    coder = train_autoencoder(settings, images[:500], labels[:500], folder=tmp_path, progress=False)
    unseen, codes = images[500:], np.searchsorted(coder.classes, labels[500:])  # type: ignore[arg-type]
    wrong = np.abs(coder.decode(coder.encode(unseen), codes).astype(float) - unseen).mean()
    mean = np.abs(images[:500].mean(axis=0) - unseen).mean()
    assert wrong < mean / 3
    # What is painted from noise is of the class asked for: the strokes of a lying bar fill whole lines.
    noise = np.random.default_rng(0).standard_normal((40, 4))
    painted = [coder.decode(noise, np.full(40, code)).astype(float) for code in (0, 1)]
    lying, upright = (p.mean(axis=2).std(axis=1).mean() / p.mean(axis=1).std(axis=1).mean() for p in painted)
    assert lying > 2
    assert upright < 0.5
