"""Images in: what is found in a folder, and that every way of giving an image gives the same pixels."""

from __future__ import annotations

import functools
import io
import os
import resource
import struct
import subprocess
import sys
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from PIL.Image import Exif

from dataworth.data import images
from dataworth.data.images import (
    encoded,
    folder_files,
    image_content,
    image_files,
    image_trouble,
    labelled_folder,
    read_image,
)
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


def test_transparent_parts_are_on_white() -> None:
    """Two images that look alike are alike, whatever lies under their transparent parts."""
    ink = np.zeros((5, 7, 4), np.uint8)
    ink[1:3, 1:3, 3] = 255  # a black square, drawn on nothing that is black too
    seen = np.full((5, 7, 3), 255, np.uint8)
    seen[1:3, 1:3] = 0
    np.testing.assert_array_equal(read_image(0, as_bytes(Image.fromarray(ink))), seen)
    np.testing.assert_array_equal(read_image(0, as_bytes(Image.fromarray(ink).convert("LA"))), seen)
    np.testing.assert_array_equal(read_image(0, as_bytes(Image.fromarray(ink), "WEBP", lossless=True)), seen)
    np.testing.assert_array_equal(read_image(0, as_bytes(Image.fromarray(ink), "TIFF")), seen)
    noise = ink.copy()
    noise[ink[..., 3] == 0, :3] = 77
    np.testing.assert_array_equal(read_image(0, as_bytes(Image.fromarray(noise))), seen)
    half = np.dstack([PIXELS, np.full((5, 7), 128, np.uint8)])
    mixed = (PIXELS * (128 / 255) + 255 * (127 / 255)).round()
    np.testing.assert_allclose(read_image(0, as_bytes(Image.fromarray(half))), mixed, atol=1)


def test_an_opaque_image_is_the_same_with_and_without_an_alpha_channel() -> None:
    opaque = Image.fromarray(PIXELS)
    opaque.putalpha(255)
    np.testing.assert_array_equal(read_image(0, as_bytes(opaque)), PIXELS)


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_one_transparent_colour_of_a_palette_is_white(kind: str) -> None:
    palette = Image.fromarray(PIXELS).quantize(8)
    clear = int(np.asarray(palette)[0, 0])
    expected = np.asarray(palette.convert("RGB")).copy()
    expected[np.asarray(palette) == clear] = 255
    np.testing.assert_array_equal(read_image(0, as_bytes(palette, kind, transparency=clear)), expected)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "RGB"])
def test_modes_become_rgb(mode: str) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    np.testing.assert_array_equal(read_image(0, as_bytes(image, "TIFF")), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(
    ("kind", "options"),
    [("GIF", {}), ("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})],
    ids=str,
)
def test_the_first_of_several_frames_is_read(kind: str, options: dict[str, Any]) -> None:
    first = Image.fromarray(PIXELS).quantize(16).convert("RGB")
    later = [Image.new("RGB", (7, 5), colour) for colour in ("black", "red")]
    several = as_bytes(first, kind, save_all=True, append_images=later, **options)
    np.testing.assert_array_equal(read_image(0, several), read_image(0, as_bytes(first, kind, **options)))


def test_images_of_pillow_follow_the_rules_for_files() -> None:
    palette = Image.fromarray(PIXELS).quantize(16)
    np.testing.assert_array_equal(read_image(0, palette), np.asarray(palette.convert("RGB")))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="image 2 has more than 8 bits"):
        read_image(2, Image.new("I;16", (2, 2)))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("held", range(1, 9))
def test_photos_are_turned_upright(kind: str, held: int) -> None:
    exif = Exif()
    exif[0x0112] = held
    lying = as_bytes(Image.fromarray(PIXELS), kind, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(lying))).convert("RGB"))
    np.testing.assert_array_equal(read_image(0, lying), upright)
    if held == 6 and kind == "PNG":  # the camera lay on its side: a quarter clockwise
        np.testing.assert_array_equal(upright, np.rot90(PIXELS, -1))


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


@pytest.mark.parametrize("kind", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
def test_a_file_cut_short_is_refused(kind: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = as_bytes(Image.fromarray(pixels), kind)
    assert image_trouble(0, whole) is None
    for cut in (whole[: len(whole) // 2], whole[:10], whole[:1], b""):
        with pytest.raises(DataError, match=r"image 0 (cannot be decoded|is empty \(0 bytes\))"):
            read_image(0, cut)


def test_what_is_no_file_of_an_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("version https://git-lfs.github.com/spec/v1")
    (tmp_path / "link.png").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe.png")  # reading it would wait for ever
    for name, message in {
        "folder.png": "is a folder",
        "empty.png": r"is empty \(0 bytes\)",
        "text.png": r"cannot be decoded: it is damaged, or of no kind that is read \(BMP, GIF",
        "link.png": "cannot be opened: No such file",
        "pipe.png": "is no ordinary file",
        "null\0.png": "its name holds a null character",
    }.items():
        with pytest.raises(DataError, match=f"{message}") as caught:
            read_image(0, tmp_path / name)
        assert repr(str(tmp_path / name)) in str(caught.value)
        assert image_trouble(0, tmp_path / name) == str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to the administrator")
def test_what_may_not_be_opened_is_named(tmp_path: Path) -> None:
    make_folder(tmp_path, "a/1.png", "2.png")
    (tmp_path / "2.png").chmod(0)
    with pytest.raises(DataError, match=r"2\.png' cannot be opened: Permission denied"):
        read_image(0, tmp_path / "2.png")
    (tmp_path / "a").chmod(0)
    try:
        with pytest.raises(DataError, match=r"folder '.*a' cannot be opened: Permission denied"):
            image_files(tmp_path)
    finally:
        (tmp_path / "a").chmod(0o700)


def test_formats_that_start_programs_are_not_read() -> None:
    with pytest.raises(DataError, match="cannot be decoded"):
        read_image(0, as_bytes(Image.fromarray(PIXELS), "EPS"))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_deep_images_are_refused_rather_than_clipped(dtype: Any) -> None:
    with pytest.raises(DataError, match="more than 8 bits"):
        read_image(0, as_bytes(Image.fromarray(np.full((3, 3), 40_000, dtype=dtype)), "TIFF"))


def test_colours_that_cannot_be_converted_are_refused() -> None:
    lab = as_bytes(Image.new("LAB", (3, 3)), "TIFF")
    with pytest.raises(DataError, match=r"colours that are not read \(mode LAB\); convert it to RGB first"):
        read_image(0, lab)


# -- files that lie ------------------------------------------------------------------------------


def png(width: int, height: int) -> bytes:
    """A black PNG of one bit a pixel, written row by row: its pixels are never in memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def patched(raw: bytes, at: int, form: str, *values: int) -> bytes:
    new = struct.pack(form, *values)
    return raw[:at] + new + raw[at + len(new) :]


def tiled(width: int, height: int, tile: int) -> bytes:
    """A TIFF whose tiles are larger than the image."""
    data = zlib.compress(bytes(10))
    start = 8 + 2 + 12 * 12 + 4
    tags = [(256, width), (257, height), (258, 8), (259, 8), (262, 1), (277, 1), (284, 1)]
    tags += [(322, tile), (323, tile), (324, start), (325, len(data)), (339, 1)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + data


def small(kind: str) -> bytes:
    return as_bytes(Image.new("RGB", (8, 8)).convert("P" if kind == "GIF" else "RGB"), kind)


BOMBS: dict[str, Callable[[], bytes]] = {
    "png": lambda: png(60_000, 60_000),
    "png below the limit of Pillow": lambda: png(10_000, 6_000),
    "png that Pillow warns of": lambda: png(10_000, 9_000),
    "jpeg": lambda: patched(small("JPEG"), small("JPEG").index(b"\xff\xc0") + 5, ">HH", 60_000, 60_000),
    "gif whose frame exceeds its screen": lambda: patched(
        small("GIF"), small("GIF").index(b",\0\0\0\0") + 5, "<HH", 60_000, 60_000
    ),
    "bmp": lambda: patched(small("BMP"), 18, "<ii", 60_000, 60_000),
    "ppm": lambda: b"P6 60000 60000 255\n\0",
    "tiff": lambda: tiled(60_000, 60_000, 16),
    "tiff whose tiles exceed it": lambda: tiled(16, 16, 60_000),
    "webp": lambda: as_bytes(Image.new("L", (10_000, 6_000)), "WEBP", lossless=True, method=0),
}


@functools.cache
def bomb(name: str) -> bytes:
    return BOMBS[name]()


@pytest.mark.filterwarnings("default::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", BOMBS)
def test_what_would_decode_to_too_much_is_refused_before_it_is_decoded(name: str, tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(bomb(name))
    for image in (bomb(name), tmp_path / "bomb.png"):
        for look in (read_image, image_trouble):
            tracemalloc.start()
            start = time.perf_counter()
            try:
                message = str(look(0, image))
            except DataError as error:
                message = str(error)
            taken, (_, peak) = time.perf_counter() - start, tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert "too large to decode safely" in message
            assert "50,000,000" in message
            assert any(size in message.replace(",", "") for size in ("3600000000", "60000000", "90000000"))
            assert peak < len(bomb(name)) + 2**21
            assert taken < 1


def test_a_bomb_fits_into_little_memory(tmp_path: Path) -> None:
    """Decoders take memory that Python does not see, so another process is held to what it may take."""
    (tmp_path / "bomb.png").write_bytes(bomb("png"))
    (tmp_path / "tiles.tif").write_bytes(bomb("tiff whose tiles exceed it"))
    code = (
        "import resource, sys; from dataworth.data.images import image_trouble, read_image\n"
        "assert image_trouble(0, sys.argv[3]) is None\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in sys.argv[1:3]: print(image_trouble(0, path))\n"
        "grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before; assert grown < 8_000, grown"
    )
    (tmp_path / "small.png").write_bytes(encoded(PIXELS))
    files = [str(tmp_path / name) for name in ("bomb.png", "tiles.tif", "small.png")]
    done = subprocess.run(
        [sys.executable, "-c", code, *files],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31)),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("too large to decode safely") == 2


def test_a_warning_of_pillow_made_an_error_changes_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match="image 0 is too large to decode safely"):
            read_image(0, bomb("png that Pillow warns of"))


def test_the_limit_holds_where_pillow_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(DataError, match=r"60,000 x 60,000 = 3,600,000,000 pixels, and at most 50,000,000 are read"):
        read_image(0, bomb("png"))


def test_later_frames_are_neither_read_nor_judged() -> None:
    gif = as_bytes(Image.fromarray(PIXELS), "GIF", save_all=True, append_images=[Image.new("RGB", (7, 5))])
    second = gif.rindex(b"\x2c\0\0\0\0")
    np.testing.assert_array_equal(read_image(0, patched(gif, second + 5, "<HH", 60_000, 60_000)), read_image(0, gif))


def test_the_limits_are_the_last_that_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "PIXEL_LIMIT", 35)
    np.testing.assert_array_equal(read_image(0, encoded(PIXELS)), PIXELS)
    monkeypatch.setattr(images, "PIXEL_LIMIT", 34)
    with pytest.raises(DataError, match="7 x 5 = 35 pixels, and at most 34 are read; make it smaller first"):
        read_image(0, encoded(PIXELS))
    monkeypatch.undo()
    (tmp_path / "a.png").write_bytes(encoded(PIXELS))
    size = len(encoded(PIXELS))
    monkeypatch.setattr(images, "FILE_LIMIT", size)
    read_image(0, tmp_path / "a.png")
    monkeypatch.setattr(images, "FILE_LIMIT", size - 1)
    with pytest.raises(DataError, match=rf"a\.png' is too large to read safely: {size} bytes, and at most {size - 1}"):
        image_content(0, tmp_path / "a.png")


def samples() -> list[bytes]:
    image, exif = Image.fromarray(PIXELS), Exif()
    exif[0x0112] = 6
    clear = image.copy()
    clear.putalpha(100)
    return [
        *(as_bytes(image, kind) for kind in ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")),
        as_bytes(image, "JPEG", exif=exif, progressive=True),
        as_bytes(image.convert("CMYK"), "JPEG"),
        as_bytes(image.convert("L"), "PNG", transparency=3, exif=exif),
        as_bytes(image.quantize(8), "PNG", transparency=1),
        as_bytes(clear, "WEBP"),
        as_bytes(clear, "TIFF", compression="tiff_lzw", exif=exif),
        as_bytes(image.convert("1"), "TIFF", compression="group4"),
    ]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
@settings(max_examples=300)
@given(
    raw=st.sampled_from(samples()),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=4), st.integers(0, 4)), max_size=4),
)
def test_any_damage_is_an_image_or_one_clear_error(raw: bytes, changes: list[tuple[float, bytes, int]]) -> None:
    for where, new, dropped in changes:
        at = int(where * len(raw))
        raw = raw[:at] + new + raw[at + dropped :]
    limit, images.PIXEL_LIMIT = images.PIXEL_LIMIT, 100_000  # so that sizes made up by chance cost nothing
    try:
        said = None
        try:
            pixels = read_image(0, raw)
        except DataError as error:
            said = str(error)
        else:
            assert pixels.dtype == np.uint8
            assert pixels.ndim == 3
            assert pixels.shape[2] == 3
        assert image_trouble(0, raw) == said
    finally:
        images.PIXEL_LIMIT = limit


@pytest.mark.parametrize(
    "image", [PIXELS, PIXELS[..., 0], PIXELS[..., :1], PIXELS.astype(float), np.zeros((0, 2), np.uint8), None]
)
def test_pixels_are_looked_at_as_they_are_read(image: Any) -> None:
    said = None
    try:
        read_image(4, image)
    except DataError as error:
        said = str(error)
    assert image_trouble(4, image) == said


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


def test_what_systems_leave_behind_is_hidden_and_the_rest_is_told_apart(tmp_path: Path) -> None:
    make_folder(tmp_path, "b.jpg", "a.PNG", "x/Thumbs.db", "desktop.ini", ".DS_Store", "__MACOSX/._a.png")
    (tmp_path / "x" / "labels.csv").write_text("a,b")
    (tmp_path / "x" / "photo.heic").write_text("")
    found, others = folder_files(tmp_path)
    assert found == [tmp_path / "a.PNG", tmp_path / "b.jpg"]
    assert others == [tmp_path / "x" / "labels.csv", tmp_path / "x" / "photo.heic"]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    make_folder(tmp_path / "elsewhere", "1.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "kitten").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "broken.png").symlink_to(tmp_path / "gone")
    below = [path.relative_to(tmp_path / "set").as_posix() for path in image_files(tmp_path / "set")]
    assert below == ["broken.png", "cat/1.png", "kitten/1.png"]
    (tmp_path / "elsewhere" / "up").symlink_to(tmp_path)
    with pytest.raises(DataError, match="is a link back to a folder that it lies in"):
        image_files(tmp_path / "set")


def test_a_folder_without_classes_or_images_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        image_files(tmp_path / "gone")
    with pytest.raises(DataError, match="there is no image in"):
        image_files(tmp_path)
    make_folder(tmp_path, "1.png", "cat/2.png")
    with pytest.raises(DataError, match=r"1 of 2 images .* lie in no sub-folder"):
        labelled_folder(tmp_path)
