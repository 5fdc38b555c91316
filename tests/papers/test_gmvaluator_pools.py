"""Pools are opened, drawn evenly, halved without overlap, and odd items look as told."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dataworth.errors import DataError, InputError
from dataworth.papers.gmvaluator.pools import (
    SOURCES,
    blurred,
    darkened,
    draw,
    foreign,
    halves,
    labels_of,
    noisy,
    open_pool,
    picked,
    pixels_of,
    pure_noise,
    shifted,
    together,
)
from dataworth.records import Items


def some(n: int = 40, classes: int = 4, *, shape: tuple[int, ...] = (6, 5), seed: int = 0, name: str = "a") -> Items:
    images = np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)
    return Items(images=images, ids=[f"{name}{at}" for at in range(n)], labels=np.arange(n) % classes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name in ("mnist", "cifar10"):
        (tmp_path / name).mkdir()
    for part, n in (("train", 20), ("test", 10)):
        x = random.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        np.savez(tmp_path / "mnist" / f"mnist_{part}.npz", x=x, y=(np.arange(n) % 10).astype(np.uint8))
    for file, n in (("cifar10_train_jpeg", 4), ("cifar10_test5k_jpeg", 2)):
        jpegs = []
        for _ in range(n):
            out = io.BytesIO()
            Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(out, "JPEG")
            jpegs.append(out.getvalue())
        table = pa.table({"jpeg": jpegs, "label": pa.array(range(n), pa.int8()), "path": ["p"] * n})
        pq.write_table(table, tmp_path / "cifar10" / f"{file}.parquet")
    return tmp_path


# -- opening -------------------------------------------------------------------------------------


def test_archives_and_tables_of_jpegs_are_opened(folder: Path) -> None:
    digits = open_pool("mnist", folder)
    assert (len(digits), digits.ids[3], labels_of(digits)[13]) == (20, "mnist-3", 3)
    assert labels_of(digits).dtype == np.int64
    assert open_pool("mnist", folder, held_out=True).ids[0] == "mnist-test-0"
    things = open_pool("cifar10", folder)
    assert isinstance((things.content or ())[0], bytes)
    assert [image.shape for image in pixels_of(things)] == [(32, 32, 3)] * 4
    assert SOURCES["mnist"].is_in(folder)
    assert not SOURCES["att_faces"].is_in(folder)


def test_what_cannot_be_opened_is_said(folder: Path) -> None:
    with pytest.raises(InputError, match="no set of images 'imagenet'; there are mnist"):
        open_pool("imagenet", folder)
    with pytest.raises(DataError, match=r"it would be att_faces/att_faces\.npz"):
        open_pool("att_faces", folder)
    with pytest.raises(InputError, match="no images held out"):
        open_pool("cifar10-lossless", folder, held_out=True)
    np.savez(folder / "mnist" / "mnist_train.npz", pixels=np.zeros(3))
    with pytest.raises(DataError, match="archive of x and y"):
        open_pool("mnist", folder)
    path = folder / "cifar10" / "cifar10_train_jpeg.parquet"
    pq.write_table(pa.table({"jpeg": [b""]}), path)
    with pytest.raises(DataError, match="table of jpeg and label"):
        open_pool("cifar10", folder)
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="table of jpeg and label"):
        open_pool("cifar10", folder)


# -- drawing -------------------------------------------------------------------------------------


def test_draws_are_even_distinct_and_seeded() -> None:
    items = some(40)
    drawn = draw(items, 20, seed=3)
    assert np.bincount(labels_of(drawn)).tolist() == [5] * 4
    assert len(set(drawn.ids)) == 20
    assert drawn.ids.tolist() == draw(items, 20, seed=3).ids.tolist() != draw(items, 20, seed=4).ids.tolist()
    at = [int(name[1:]) for name in drawn.ids]
    assert all((a == (items.content or ())[i]).all() for a, i in zip(pixels_of(drawn), at, strict=True))
    with pytest.raises(InputError, match="evenly from 4 classes"):
        draw(items, 21, seed=0)
    with pytest.raises(DataError, match="one class has 10 only"):
        draw(items, 44, seed=0)


def test_halves_are_of_one_class_and_share_nothing() -> None:
    first, second = halves(some(40), 2, 5, seed=0)
    assert len(first) == len(second) == 5
    assert not set(first.ids) & set(second.ids)
    assert set(labels_of(first)) == set(labels_of(second)) == {2}
    with pytest.raises(DataError, match="which has 10 items"):
        halves(some(40), 2, 6, seed=0)


def test_together_keeps_order_classes_and_vectors_if_all_have_them() -> None:
    first, second = some(3, name="a"), some(2, name="b")
    both = together(first, second)
    assert both.ids.tolist() == ["a0", "a1", "a2", "b0", "b1"]
    assert labels_of(both).tolist() == [0, 1, 2, 0, 1]
    assert both.x is None
    vectors = np.arange(6.0).reshape(3, 2), np.ones((2, 2))
    embedded = together(first.with_vectors(vectors[0]), second.with_vectors(vectors[1]))
    np.testing.assert_array_equal(embedded.x, np.concatenate(vectors))
    assert together(first.with_vectors(vectors[0]), second).x is None
    with pytest.raises(DataError, match="unique"):
        together(first, first)
    with pytest.raises(InputError, match="nothing to put together"):
        together()
    with pytest.raises(InputError, match="only sets of images"):
        together(Items([[1.0]], labels=[0]))
    with pytest.raises(InputError, match="need labels"):
        together(Items(images=np.zeros((1, 2, 2), np.uint8)))


# -- planting ------------------------------------------------------------------------------------


def test_noise_has_its_size_and_keeps_classes() -> None:
    grey = Items(images=np.full((30, 20, 20), 128, np.uint8), labels=np.arange(30))
    loud = noisy(grey, 10, seed=0)
    assert np.std(pixels_of(loud)) == pytest.approx(10, rel=0.02)
    assert labels_of(loud).tolist() == list(range(30))
    assert loud.ids[0] == "noisy-of-0"
    assert (np.array(pixels_of(noisy(grey, 0, seed=0))) == 128).all()
    clipped = np.array(pixels_of(noisy(Items(images=np.full((5, 20, 20), 250, np.uint8)), 50, seed=0)))
    assert (clipped == 255).mean() > 0.4  # clipped, not wrapped around to black
    with pytest.raises(InputError, match="0 or more"):
        noisy(grey, -1, seed=0)


def test_picked_items_know_where_they_were() -> None:
    items = some(40, shape=(6, 5, 3))
    few, at = picked(items, 10, seed=1)
    assert len(set(at)) == 10
    assert few.ids.tolist() == [f"a{i}" for i in at]
    assert picked(items, 10, seed=1)[1].tolist() == at.tolist() != picked(items, 10, seed=2)[1].tolist()
    assert sorted(picked(items, 99, seed=0)[1]) == list(range(40))


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 3)])
def test_images_are_moved_smoothed_and_darkened(shape: tuple[int, ...]) -> None:
    dot = np.zeros((1, *shape), np.uint8)
    dot[0, 4, 3] = 200
    items = Items(images=dot, labels=[5])
    moved = pixels_of(shifted(items, 1))[0]
    assert moved.shape == shape
    assert (moved[5, 4] == 200).all()
    assert moved.sum() == dot.sum()
    (dark,) = pixels_of(darkened(items, 0.8))
    assert (dark[4, 3] == 160).all()
    smooth = pixels_of(blurred(items, 1.0))[0].astype(int)
    assert smooth.sum() == pytest.approx(dot.sum(), rel=0.1)
    assert (smooth[4, 3] > smooth[4, 2]).all()
    assert (smooth[4, 2] == smooth[3, 3]).all()
    for changed in (shifted(items, 1), darkened(items, 0.8), blurred(items, 1.0)):
        assert labels_of(changed).tolist() == [5]


def test_colours_are_not_smoothed_into_each_other() -> None:
    red = np.zeros((1, 5, 5, 3), np.uint8)
    red[..., 0] = 100
    (smooth,) = pixels_of(blurred(Items(images=red), 2.0))
    assert (smooth == red[0]).all()


def test_celeba_is_opened_by_its_file_of_attributes(tmp_path: Path) -> None:
    faces = tmp_path / "celeba" / "img_align_celeba"
    faces.mkdir(parents=True)
    Image.fromarray(np.full((4, 4, 3), 7, np.uint8)).save(faces / "b.png")
    (faces.parent / "list_attr_celeba.txt").write_text("2\nMale\nb.png 1\na.png -1\n", encoding="utf-8")
    opened = open_pool("celeba", tmp_path)
    assert opened.ids.tolist() == ["b.png", "a.png"]
    assert opened.labels is None
    assert (pixels_of(opened.take([0]))[0] == 7).all()


def test_pure_noise_and_foreign_items_pass_for_items_of_the_pool() -> None:
    like = some(40, 3)
    noise = pure_noise(like, 50, seed=0)
    assert all(image.shape == (6, 5) for image in pixels_of(noise))
    assert set(labels_of(noise)) == {0, 1, 2}
    assert np.mean(pixels_of(noise)) == pytest.approx(127.5, abs=5)
    colour = some(20, shape=(32, 32, 3), name="c")
    grey = foreign(colour, like, 20, seed=0)
    assert all(image.shape == (6, 5) and image.dtype == np.uint8 for image in pixels_of(grey))
    assert set(labels_of(grey)) <= {0, 1, 2}
    back = foreign(like, colour, 5, seed=0)
    assert all(image.shape == (32, 32, 3) for image in pixels_of(back))
    assert len(together(like, noise, grey)) == 40 + 50 + 20
    with pytest.raises(DataError, match="there are 20 only"):
        foreign(colour, like, 21, seed=0)


def test_pixels_are_asked_of_images_only() -> None:
    with pytest.raises(InputError, match="the items are vectors"):
        pixels_of(Items([[1.0]]))
