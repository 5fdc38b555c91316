"""Images in: what is found in a folder, and that every way of giving an image gives the same pixels."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.Image import Exif

from dataworth.data.images import encoded, image_content, image_files, labelled_folder, read_image
from dataworth.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def as_bytes(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def test_pixels_bytes_and_paths_are_one_image(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(PIXELS))
    for image in (PIXELS, encoded(PIXELS), tmp_path / "a.png", str(tmp_path / "a.png")):
        np.testing.assert_array_equal(read_image(0, image), PIXELS)
    assert image_content(0, tmp_path / "a.png") == image_content(0, encoded(PIXELS))


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1)])
def test_grey_becomes_three_equal_channels(shape: tuple[int, ...]) -> None:
    grey = PIXELS[:, :, 0]
    expected = np.stack([grey] * 3, axis=2)
    np.testing.assert_array_equal(read_image(0, grey.reshape(shape)), expected)
    np.testing.assert_array_equal(read_image(0, as_bytes(Image.fromarray(grey))), expected)


def test_palettes_become_rgb() -> None:
    few = Image.fromarray(PIXELS).quantize(16)
    np.testing.assert_array_equal(read_image(0, as_bytes(few)), np.asarray(few.convert("RGB")))


def test_photos_are_turned_upright() -> None:
    exif = Exif()
    exif[0x0112] = 6  # the camera lay on its side: turn a quarter clockwise
    lying = as_bytes(Image.fromarray(PIXELS), exif=exif)
    np.testing.assert_array_equal(read_image(0, lying), np.rot90(PIXELS, -1))


def test_shape_counts_as_content() -> None:
    assert image_content(0, PIXELS) != image_content(0, PIXELS.reshape(7, 5, 3))


def test_a_damaged_image_is_named_or_placed(tmp_path: Path) -> None:
    broken = as_bytes(Image.fromarray(PIXELS), "JPEG")[:-60]
    (tmp_path / "broken.jpg").write_bytes(broken)
    with pytest.raises(DataError, match=r"broken\.jpg' cannot be decoded"):
        read_image(3, tmp_path / "broken.jpg")
    with pytest.raises(DataError, match="image 3 cannot be decoded"):
        read_image(3, broken)
    with pytest.raises(DataError, match="image 3 cannot be decoded"):
        read_image(3, b"no image")
    with pytest.raises(DataError, match=r"gone\.png' cannot be opened"):
        read_image(3, tmp_path / "gone.png")


def test_formats_that_start_programs_are_not_read() -> None:
    with pytest.raises(DataError, match="cannot be decoded"):
        read_image(0, as_bytes(Image.fromarray(PIXELS), "EPS"))


def test_deep_images_are_refused_rather_than_clipped() -> None:
    deep = as_bytes(Image.fromarray(np.full((3, 3), 40_000, dtype=np.uint16)))
    with pytest.raises(DataError, match="more than 8 bits"):
        read_image(0, deep)


@pytest.mark.parametrize(
    "image", [PIXELS.astype(float), PIXELS[0, 0], np.zeros((2, 2, 4), np.uint8), np.zeros((0, 2), np.uint8), None, 3]
)
def test_what_is_no_image_is_placed(image: Any) -> None:
    with pytest.raises(DataError, match="image 4 must be a path"):
        read_image(4, image)


def make_folder(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(PIXELS))
    return root


def test_a_folder_of_classes_is_sorted_and_labelled(tmp_path: Path) -> None:
    make_folder(tmp_path, "dog/2.png", "cat/b/1.PNG", "cat/a.png", "dog/.hidden.png", ".trash/3.png")
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    paths, labels, ids = labelled_folder(tmp_path)
    assert ids == ["cat/a.png", "cat/b/1.PNG", "dog/2.png"]
    assert labels == ["cat", "cat", "dog"]
    assert paths == [tmp_path / name for name in ids]
    assert image_files(tmp_path) == paths


def test_a_folder_without_classes_or_images_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        image_files(tmp_path / "gone")
    with pytest.raises(DataError, match="there is no image in"):
        image_files(tmp_path)
    make_folder(tmp_path, "1.png", "cat/2.png")
    with pytest.raises(DataError, match=r"1 of 2 images .* lie in no sub-folder"):
        labelled_folder(tmp_path)
