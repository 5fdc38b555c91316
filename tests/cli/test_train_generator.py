"""``dataworth train-generator`` from public images to a file that opens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataworth.data.images import encoded, read_image
from tests.cli.conftest import Outcome, Run

QUICK = ("--steps", 4, "--batch", 8, "--latent", 2, "--width", 8)


@pytest.fixture
def public(tmp_path: Path) -> Path:
    path = tmp_path / "public.npz"
    images = np.random.default_rng(0).integers(0, 256, (110, 10, 12), dtype=np.uint8)
    np.savez(path, x=images, y=np.where(np.arange(110) % 2, "cat", "dog"))
    return path


@pytest.fixture
def train(run: Run, public: Path, tmp_path: Path) -> Any:
    """The command with its source and place named; more options come behind."""

    def call(*more: Any, source: Path = public, out: Path = tmp_path / "coder.npz") -> Outcome:
        return run("train-generator", source, "--out", out, *QUICK, *more)

    return call


def folder_of(path: Path, images: Any) -> Path:
    for at, image in enumerate(images):
        place = path / ("odd" if at % 2 else "even")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{at:03}.png").write_bytes(encoded(image))
    return path


# -- what is refused -----------------------------------------------------------------------------


def test_bad_options_are_refused_before_anything_is_read(train: Any, public: Path, tmp_path: Path) -> None:
    for more, message in (
        ({"out": tmp_path / "coder.pt"}, "--out writes a file that ends in .npz"),
        ({"out": tmp_path / "none" / "coder.npz"}, "does not exist; create it first"),
        ({"out": public}, "--out would write over the images"),
        ({"source": tmp_path / "none.npz"}, "none.npz"),
        ({"source": tmp_path}, "--out lies in the folder of public images"),
    ):
        done = train(**more)
        assert (done.code, done.out) == (2, "")
        assert message in done.err
    assert train("--kind", "oracle").code == 2
    assert train("--beta", -1).code == 2
    assert not (tmp_path / "coder.npz").exists()


def test_images_that_nothing_can_be_learned_from(train: Any, tmp_path: Path) -> None:
    images = np.zeros((110, 8, 8), np.uint8)
    odd = [*images[:100], *np.zeros((10, 8, 9), np.uint8)]
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "a.png").write_bytes(encoded(images[0])[:40])
    np.savez(tmp_path / "few.npz", x=images[:99])
    np.savez(tmp_path / "large.npz", x=np.zeros((100, 70, 8), np.uint8))
    np.savez(tmp_path / "vectors.npz", x=np.zeros((110, 8)))
    (tmp_path / "broken.npz").write_bytes(b"PK\3\4 and nothing more")
    for source, message in (
        (folder_of(tmp_path / "mixed", odd), "must all have one height and width; here are 100 of 8 x 8, 10 of 8 x 9"),
        (tmp_path / "damaged", "a.png"),
        (tmp_path / "few.npz", "100 public images at least, not from 99"),
        (tmp_path / "large.npz", "64 x 64 pixels at most"),
        (tmp_path / "vectors.npz", "holds vectors; a generator of images learns from images"),
        (tmp_path / "broken.npz", "broken.npz"),
    ):
        done = train(source=source)
        assert (done.code, done.out) == (2, ""), message
        assert message in done.err
        assert "our fault" not in done.err


# -- what comes out ------------------------------------------------------------------------------


@pytest.mark.models
def test_the_generator_opens_and_its_sheet_and_losses_lie_beside_it(train: Any, tmp_path: Path) -> None:
    from dataworth.models.autoencoder import load_coder

    done = train()
    assert (done.code, done.err) == (0, "")
    assert "autoencoder of 110 public images of 10 x 12" in done.out
    coder = load_coder(tmp_path / "coder.npz")
    assert (coder.shape, coder.classes, coder.settings.steps) == ((10, 12), None, 4)
    assert read_image(0, tmp_path / "coder.png").shape == (6 * 10 + 4, 16 * 12, 3)
    lines = (tmp_path / "coder.csv").read_text().splitlines()
    assert lines[0] == "step,surprise,divergence"
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3", "4"]


@pytest.mark.models
def test_the_same_command_goes_on_and_another_seed_begins_anew(train: Any, tmp_path: Path) -> None:
    work = ("--work", tmp_path / "work", "--json")
    first, again = json.loads(train(*work).out), json.loads(train(*work).out)
    assert again == first
    other = json.loads(train(*work, "--seed", 1).out)
    assert other["digest"] != first["digest"]
    assert len(list((tmp_path / "work").iterdir())) == 2


@pytest.mark.models
def test_a_folder_of_grey_and_of_coloured_images_with_classes(train: Any, tmp_path: Path) -> None:
    draws = np.random.default_rng(1)
    for name, shape in (("grey", (110, 8, 8)), ("coloured", (110, 8, 8, 3))):
        images = draws.integers(0, 256, shape, dtype=np.uint8)
        done = train("--label", "folder", "--json", source=folder_of(tmp_path / name, images))
        assert (done.code, done.err) == (0, "")
        told = json.loads(done.out)
        assert (told["shape"], told["classes"]) == (list(shape[1:]), ["even", "odd"])


@pytest.mark.models
def test_labels_of_an_npz_file_are_left_alone_unless_asked_for(train: Any) -> None:
    assert json.loads(train("--json").out)["classes"] is None
    assert json.loads(train("--json", "--label", "y").out)["classes"] == ["cat", "dog"]
