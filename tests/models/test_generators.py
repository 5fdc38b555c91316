"""Small generators: what is trained twice is the same, wherever it was stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError
from dataworth.models.generators import ConditionalGAN, GuidedDiffusion, Settings, train_generator

TINY: list[Settings] = [
    ConditionalGAN(steps=12, batch=8, width=8, latent=8),
    GuidedDiffusion(steps=12, batch=8, channels=(8, 16), sampling_steps=3),
]
KINDS = pytest.mark.parametrize("settings", TINY, ids=lambda settings: type(settings).__name__)


def pictures(n: int = 20, shape: tuple[int, ...] = (14, 10)) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    draws = np.random.default_rng(3)
    return draws.integers(0, 256, (n, *shape), dtype=np.uint8), np.where(np.arange(n) % 2, "odd", "even")


@pytest.mark.parametrize("width", [0, -1])
def test_settings_out_of_range_are_refused(width: int) -> None:
    with pytest.raises(InputError, match="width must be positive"):
        ConditionalGAN(width=width)


def test_images_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="images must be uint8"):
        train_generator(TINY[0], np.zeros((3, 4), np.uint8), np.zeros(3), folder=tmp_path)
    with pytest.raises(DataError, match="images must be uint8"):
        train_generator(TINY[0], np.zeros((3, 4, 4), np.float32), np.zeros(3), folder=tmp_path)
    with pytest.raises(DataError, match="one label for each of 3"):
        train_generator(TINY[0], np.zeros((3, 4, 4), np.uint8), np.zeros(2), folder=tmp_path)


@pytest.mark.models
@KINDS
@pytest.mark.parametrize("shape", [(14, 10), (16, 16, 3)])
def test_samples_have_the_shape_of_the_images(settings: Settings, shape: tuple[int, ...], tmp_path: Path) -> None:
    images, labels = pictures(shape=shape)
    made = train_generator(settings, images, labels, folder=tmp_path, progress=False)
    drawn = made.sample(np.array(["odd", "even", "odd"]), seed=1)
    assert drawn.shape == (3, *shape)
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn, made.sample(np.array(["odd", "even", "odd"]), seed=1))
    assert (drawn != made.sample(np.array(["odd", "even", "odd"]), seed=2)).any()
    with pytest.raises(DataError, match="1 of 2 labels"):
        made.sample(np.array(["odd", "prime"]))


@pytest.mark.models
@KINDS
def test_a_training_stopped_anywhere_ends_the_same(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = pictures()
    whole = train_generator(settings, images, labels, folder=tmp_path / "whole", progress=False)
    monkeypatch.setattr("dataworth.models.checkpoints._SAVE_EVERY", -1.0)
    kept = 0

    def stop_after_five(path: Path, state: Any) -> None:
        nonlocal kept
        keep(path, state)
        kept += 1
        if kept % 5 == 0:
            raise KeyboardInterrupt

    from dataworth.models import checkpoints

    keep = checkpoints._save
    monkeypatch.setattr(checkpoints, "_save", stop_after_five)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train_generator(settings, images, labels, folder=tmp_path / "cut", progress=False)
    resumed = train_generator(settings, images, labels, folder=tmp_path / "cut", progress=False)
    assert kept == settings.steps
    assert resumed.losses == whole.losses
    np.testing.assert_array_equal(resumed.sample(labels, seed=0), whole.sample(labels, seed=0))


@pytest.mark.models
@KINDS
def test_what_is_trained_is_opened(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = pictures()
    first = train_generator(settings, images, labels, folder=tmp_path, progress=False)
    monkeypatch.setattr("dataworth.models.checkpoints._save", None)  # nothing is trained, so nothing is kept
    again = train_generator(settings, images, labels, folder=tmp_path, progress=False)
    assert again.seconds == first.seconds
    np.testing.assert_array_equal(again.sample(labels), first.sample(labels))
    other = images.copy()
    other[0, 0, 0] ^= 1
    with pytest.raises(TypeError):  # other images are another training
        train_generator(settings, other, labels, folder=tmp_path, progress=False)


@pytest.mark.models
def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    images, labels = pictures()
    train_generator(TINY[0], images, labels, folder=tmp_path, progress=False)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="delete it to begin anew"):
        train_generator(TINY[0], images, labels, folder=tmp_path, progress=False)


@pytest.mark.models
@KINDS
def test_the_callers_draws_are_left_alone(settings: Settings, tmp_path: Path) -> None:
    import torch

    images, labels = pictures()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_generator(settings, images, labels, folder=tmp_path, progress=False)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.models
@KINDS
def test_training_learns_what_its_classes_look_like(settings: Settings, tmp_path: Path) -> None:
    """Dark and bright images: after a few hundred steps, samples of the classes differ as the classes do."""
    from dataclasses import replace

    draws = np.random.default_rng(0)
    labels = np.repeat([0, 1], 32)
    images = (40 + 170 * labels[:, None, None] + draws.integers(-20, 20, (64, 16, 16))).astype(np.uint8)
    made = train_generator(
        replace(settings, steps=250, batch=16, learning_rate=1e-3), images, labels, folder=tmp_path, progress=False
    )
    drawn = made.sample(np.repeat([0, 1], 20)).reshape(2, -1).mean(axis=1)
    assert drawn[1] - drawn[0] > 60


@pytest.mark.models
def test_packaged_faces() -> None:
    from dataworth.models.faces import sample_faces

    faces = sample_faces(4, seed=2)
    assert faces.shape == (4, 64, 64, 3)
    np.testing.assert_array_equal(faces, sample_faces(4, seed=2))
    # A trained network paints skin redder than blue, and no two faces alike; random weights paint grey.
    assert faces[..., 0].mean() > faces[..., 2].mean() + 15
    assert faces.std(axis=0).mean() > 20
