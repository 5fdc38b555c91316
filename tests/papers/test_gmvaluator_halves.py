"""The experiments on halves, with a stand-in for trained generators: one that remembers, or one that does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import dataworth as dw
from dataworth.models.generators import Generator, Settings
from dataworth.papers.experiment import Result, Setting
from dataworth.papers.gmvaluator import halves, running, trained
from dataworth.papers.gmvaluator.pools import labels_of, pixels_of
from dataworth.records import Exhibit, Items, Table, Values
from dataworth.records.evidence import evidence_to_json

SIDE = 12


def digits(n: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Ten classes by place, each image with a texture of its own, by which alone it is told from its class."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % 10
    x = np.zeros((n, SIDE, SIDE))
    for image, label in zip(x, y, strict=True):
        top, left = divmod(int(label), 5)
        image[6 * top : 6 * top + 5, 2 * left : 2 * left + 2] = random.integers(60, 255, (5, 2))
    return x.astype(np.uint8), y.astype(np.uint8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for part, n, seed in (("train", 800, 1), ("test", 400, 2)):
        x, y = digits(n, seed)
        (folder / "mnist").mkdir(exist_ok=True)
        np.savez(folder / "mnist" / f"mnist_{part}.npz", x=x, y=y)
    (folder / "att_faces").mkdir()
    faces = np.random.default_rng(3).integers(80, 256, (60, 20, 16), dtype=np.uint8)
    np.savez(folder / "att_faces" / "att_faces.npz", x=faces, y=np.arange(60, dtype=np.uint8) % 6)
    return folder


def _remembers(pool: Items, settings: Settings, setting: Setting, seed: int) -> Generator:
    """A generator that repeats its pool, one image of the class asked for after another."""
    pixels, labels = np.stack(pixels_of(pool)), labels_of(pool)

    def draw(codes: NDArray[np.int64], seed: int) -> NDArray[np.uint8]:
        turn = {code: 0 for code in np.unique(codes).tolist()}
        at = []
        for code in codes.tolist():
            mine = np.flatnonzero(labels == np.unique(labels)[code])
            at.append(int(mine[turn[code] % mine.size]))
            turn[code] += 1
        return pixels[at]

    return Generator(settings, np.unique(labels), {"step": [1.0, 2.0], "loss": [0.5, 0.25]}, 3.0, draw)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SIZES": (10, 20), "MADE": 150, "ALL_FEATURES": ("pixels",), "ENDS": 10, "FACE": (10, 8),
    }.items():  # fmt: skip
        monkeypatch.setattr(halves, name, value)
    monkeypatch.setattr(trained, "train_on", _remembers)
    monkeypatch.setattr(halves, "train_on", _remembers)

    def flat(items: Items, features: Any, setting: Setting) -> Items:
        x = np.array([image.reshape(-1) for image in pixels_of(items)], dtype=np.float32)
        return items.with_vectors(x + 1)

    monkeypatch.setattr(halves, "featured", flat)
    monkeypatch.setattr(running, "embed_items", None)  # no model is loaded in these tests


def run(name: str, data: Path, **options: Any) -> list[Result]:
    results = halves.EXPERIMENTS[f"gmvaluator-{name}"].run(data, progress=False, **options)
    evidence_to_json([result for result in results if not isinstance(result, Values)])
    return results


def rows_of(found: Result, **wanted: Any) -> list[dict[str, Any]]:
    assert isinstance(found, Table)
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows()]
    return [row for row in rows if all(row[key.replace("_", " ")] == cell for key, cell in wanted.items())]


def test_a_generator_that_remembers_is_found_out_and_one_that_does_not_is_not(data: Path) -> None:
    found, curve, by_class, *pictures = run("ra2", data)
    for name in ("GAN", "diffusion", "repeats of the pool"):
        for row in rows_of(found, made_by=name):
            assert row["classes"] == 10
            assert row["classes below 0.01"] >= 9
            assert row["mean value, trained on"] > row["mean value, held out"]
            assert row["nearest is trained on"] > 0.95
            assert row["distance ratio"] < 0.3
    for row in rows_of(found, made_by="real images, held out"):
        assert row["classes below 0.01"] <= 1
        assert row["nearest is trained on"] == pytest.approx(0.5, abs=0.15)
        assert row["distance ratio"] == pytest.approx(1, abs=0.1)
    assert {row["images a class"] for row in rows_of(found, data_set="mnist")} == {10, 20}
    assert rows_of(found, made_by="BigGAN, published")[0]["t (Welch)"] == pytest.approx(17.92, abs=0.01)
    assert len(rows_of(by_class, images_a_class=10, made_by="GAN")) == 10
    assert isinstance(curve, Exhibit)
    kinds = [picture.kind for picture in pictures if isinstance(picture, Exhibit)]
    assert kinds == ["curve", "sheet"] * 4  # two sizes, two generators


def test_all_values_are_divided_among_both_halves(data: Path) -> None:
    found = run("ra2", data)[0]
    for row in rows_of(found, data_set="mnist"):
        n = 10 * row["images a class"]
        total = n * (row["mean value, trained on"] + row["mean value, held out"])
        assert total == pytest.approx(150)


def test_maps_and_their_figures(data: Path) -> None:
    found, *maps = run("ra1", data)
    assert all(isinstance(drawn, Exhibit) and drawn.kind == "points" for drawn in maps)
    assert len(maps) == 2 * 4
    assert len({drawn.name for drawn in maps if isinstance(drawn, Exhibit)}) == 8
    rows = {row["made by"]: row for row in rows_of(found, images_a_class=20)}
    assert rows["diffusion"]["share of generated items nearest to one of them"] == 1
    assert rows["diffusion"]["p, by relabelling"] < 0.001
    assert rows["real images, held out"]["p, by relabelling"] > 0.01


def test_what_earns_is_nearer_than_what_does_not(data: Path, tmp_path: Path) -> None:
    found, *shown = run("ra3", data)
    for row in rows_of(found, data_set="mnist"):
        assert row["mean distance, highest 10"] <= row["mean distance, random 10"]
        assert row["mean distance, highest 10"] <= row["mean distance, lowest 10"]
    assert [row["made by"] for row in rows_of(found, data_set="att_faces")] == ["diffusion"]
    values = [result for result in shown if isinstance(result, Values)]
    assert len(values) == 3
    page = dw.write_report([found, *shown], tmp_path / "page.html")
    text = page.read_text(encoding="utf-8")
    assert 'class="sheet"' in text
    assert "data:image/png" in text
