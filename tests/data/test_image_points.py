"""Folders of images as rows of pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dataworth.data.image_points import read_image_points
from dataworth.errors import DataError

RNG = np.random.default_rng(0)


def put(path: Path, pixels: NDArray[np.uint8], **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def test_rows_are_the_pixels(tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    put(tmp_path / "cat/a.png", images[0])
    put(tmp_path / "cat/deep/b.bmp", images[1])
    put(tmp_path / "dog/a.png", images[2])
    points, shape = read_image_points(tmp_path)
    assert shape == (4, 5, 3)
    assert points.x.dtype == np.float32
    np.testing.assert_array_equal(points.x.reshape(3, 4, 5, 3), images)
    assert points.y.tolist() == ["cat", "cat", "dog"]
    assert points.ids.tolist() == ["cat/a.png", "cat/deep/b.bmp", "dog/a.png"]


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (2, 4, 5), dtype=np.uint8)
    put(tmp_path / "a/1.png", images[0])
    put(tmp_path / "b/2.png", np.stack([images[1]] * 3, axis=2))  # grey, stored as RGB
    points, shape = read_image_points(tmp_path)
    assert shape == (4, 5)
    np.testing.assert_array_equal(points.x.reshape(2, 4, 5), images)
    points, shape = read_image_points(tmp_path, grey=False)
    assert shape == (4, 5, 3)
    np.testing.assert_array_equal(points.x.reshape(2, 4, 5, 3)[..., 1], images)


def test_one_image_of_colour_makes_all_of_three_channels(tmp_path: Path) -> None:
    put(tmp_path / "a/1.png", np.zeros((2, 2), np.uint8))
    put(tmp_path / "b/2.png", np.array([[[1, 2, 3]] * 2] * 2, np.uint8))
    assert read_image_points(tmp_path)[1] == (2, 2, 3)
    with pytest.raises(DataError, match="have colours"):
        read_image_points(tmp_path, grey=True)


def test_other_sizes_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "a/1.png", np.zeros((2, 3), np.uint8))
    put(tmp_path / "b/2.png", np.zeros((2, 4), np.uint8))
    with pytest.raises(DataError, match=r"2\.png' has 4 x 2 pixels and .*1\.png' 3 x 2"):
        read_image_points(tmp_path)


def test_images_outside_classes_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "1.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(DataError, match="lie in no sub-folder"):
        read_image_points(tmp_path)
    (tmp_path / "1.png").unlink()
    with pytest.raises(DataError, match="no image"):
        read_image_points(tmp_path)
    put(tmp_path / "a/1.png", np.zeros((2, 2), np.uint8))
    (tmp_path / "a/2.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"2\.png' cannot be decoded"):
        read_image_points(tmp_path)
