"""GMValuator's experiments end to end on made-up digits, matched by their pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError, MissingExtra
from dataworth.models.generators import ConditionalGAN, Generator, Settings
from dataworth.papers.experiment import Setting
from dataworth.papers.gmvaluator import EXPERIMENTS, matched, retrained, running, trained
from dataworth.papers.gmvaluator.makers import repeats
from dataworth.papers.gmvaluator.pools import SOURCES, labels_of, pixels_of
from dataworth.papers.gmvaluator.retrained import styles
from dataworth.papers.gmvaluator.trained import train_on
from dataworth.records import Exhibit, Items, Table
from dataworth.records.evidence import evidence_to_json

SIDE = 12
NAMES = [f"gmvaluator-{name}" for name in ("copies", "c1", "c2", "c3", "c4", "ra1", "ra2", "ra3", "addition", "groups")]


def digits(n: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Upright strokes: ten classes by place, with height, thickness and brightness of their own."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % 10
    x = np.zeros((n, SIDE, SIDE))
    for image, label in zip(x, y, strict=True):
        top, left = divmod(int(label), 5)
        tall, wide = random.integers(3, 6), random.integers(1, 3)
        image[6 * top : 6 * top + tall, 2 * left : 2 * left + wide] = random.integers(150, 255)
    noise = random.normal(0, 6, x.shape)
    return np.clip(x + noise, 0, 255).astype(np.uint8), y.astype(np.uint8)


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


def remembers(pool: Items, settings: Settings, setting: Setting, seed: int) -> Generator:
    """A generator that repeats its pool with noise; what it is told of seeds it heeds."""
    classes = np.unique(labels_of(pool))

    def sample(codes: NDArray[np.int64], seed: int) -> NDArray[np.uint8]:
        return np.stack(pixels_of(repeats(8.0).make(pool, classes[codes], seed)))

    return Generator(settings, classes, {"step": [1.0]}, 1.0, sample)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "POOL": 200, "COPIES": 50, "CANDIDATES": 30, "CLASS_KS": (3, 10), "ATTRIBUTE_KS": (3, 5), "ALIKE_ITEMS": 40,
        "PLANTED": 50, "CLEANSING_ITEMS": (10, 200), "COPY_NOISE": (0, 200), "ALL_FEATURES": ("pixels",),
        "RANKINGS": (("pixels", None), ("pixels", "ssim")),
        "COPY_RANKINGS": (("pixels", None), ("pixels", "ssim")),
    }.items():  # fmt: skip
        monkeypatch.setattr(matched, name, value)
    for name, value in {
        "MADE": 200, "BASE": 100, "ADDED": 50, "GROUPED": 200, "ALL_FEATURES": ("pixels",),
    }.items():  # fmt: skip
        monkeypatch.setattr(retrained, name, value)
    monkeypatch.setattr(trained, "train_on", remembers)


def run(name: str, data: Path, **options: Any) -> list[Table | Exhibit]:
    results = EXPERIMENTS[f"gmvaluator-{name}"].run(data, progress=False, **options)
    evidence = [result for result in results if isinstance(result, Table | Exhibit)]
    assert len(evidence) == len(results)
    evidence_to_json(evidence)
    return evidence


def table(results: list[Table | Exhibit]) -> Table:
    assert isinstance(results[0], Table)
    return results[0]


def rows_of(found: Table, **wanted: Any) -> list[dict[str, Any]]:
    """The rows whose columns (underscores for spaces) have the wanted cells."""
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows()]
    return [row for row in rows if all(row[key.replace("_", " ")] == cell for key, cell in wanted.items())]


def test_they_have_their_names() -> None:
    assert list(EXPERIMENTS) == NAMES
    assert all(experiment.name == name and experiment.title for name, experiment in EXPERIMENTS.items())


# -- what is matched only ------------------------------------------------------------------------


def test_originals_come_first_but_under_heavy_noise(data: Path) -> None:
    results = run("copies", data)
    found = table(results)
    plain, loud = (rows_of(found, change=change)[0] for change in ("noise 0", "noise 200"))
    assert plain["original first"] == 1
    assert 1 / 10 < plain["share of the original"] <= 1
    assert loud["original first"] < 1
    assert {"blur", "shift", "darker"} <= set(found.columns["change"])
    assert "Not in the data folder: cifar10, cifar10-lossless." in found.note
    picture = results[1]
    assert isinstance(picture, Exhibit)
    assert picture.table.columns["noise (grey levels)"] == (0, 200) * 2


def test_contributors_have_the_class_far_above_chance(data: Path) -> None:
    found = table(run("c1", data, seeds=2))
    assert set(found.columns["made by"]) == {"real images, held out", "diffusion", "GAN"}
    assert len(found) == 3 * 2 * 2
    for row in rows_of(found):
        assert row["ours"] > 0.8
        assert row["uniform"] == pytest.approx(0.1)
        assert row["random"] == pytest.approx(0.1, abs=0.1)
        assert row["published (VAE-TracIn)"] == 0.72
        assert "ours sd" in row
    assert "Seeds 0 to 1, mean and standard deviation" in found.note


def test_a_reranker_that_is_missing_is_noted(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise MissingExtra(f"re-ranking by {name}", "perceptual")

    monkeypatch.setattr(matched, "reranker", missing)
    found = table(run("c1", data))
    assert set(found.columns["re-ranked by"]) == {"nothing"}
    assert "Skipped: re-ranking by ssim" in found.note


def test_contributors_share_what_can_be_measured(data: Path) -> None:
    found = table(run("c2", data))
    assert set(found.columns["attribute"]) == {"stroke thickness", "slant"}
    thick = rows_of(found, attribute="stroke thickness", k=3, made_by="real images, held out")[0]
    assert thick["ours"] > thick["uniform"] + 0.2
    assert thick["random"] == pytest.approx(thick["uniform"], abs=0.2)
    assert "celeba" in found.note


def test_faces_are_compared_by_their_files_attributes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    faces = tmp_path / "celeba" / "img_align_celeba"
    faces.mkdir(parents=True)
    random = np.random.default_rng(0)
    lines = ["150", "Male Young"]
    for at in range(150):
        male = at % 3 == 0
        grey = np.clip(random.normal(60 + 120 * male, 5, (8, 8, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(grey).save(faces / f"{at}.png")
        lines.append(f"{at}.png {1 if male else -1} 1")
    (tmp_path / "celeba" / "list_attr_celeba.txt").write_text("\n".join(lines), encoding="utf-8")
    found = table(run("c2", tmp_path, datasets=["celeba"]))
    assert set(found.columns["attribute"]) == {"Male"}
    assert found.columns["ours"] == (1.0, 1.0)
    assert all(0.3 < share < 0.8 for share in found.columns["uniform"])  # type: ignore[operator]
    assert found.columns["published (DreamSim), at least"] == (None, 0.98)


def test_odd_items_are_found_at_the_bottom(data: Path) -> None:
    found = table(run("c3", data))
    assert set(found.columns["planted"]) == {"noisy", "pure noise", "foreign (att_faces)"}
    for kind in ("pure noise", "foreign (att_faces)"):
        few, many = rows_of(found, planted=kind, made_by="real images, held out")
        assert (few["generated"], many["generated"]) == (10, 200)
        assert many["uncredited, planted"] == 1
        assert many["mean value, planted"] == 0
        # Nothing planted is credited, so clean items tie with it or come above it.
        assert many["AUROC"] == pytest.approx(1 - many["uncredited, clean"] / 2)
        assert few["uncredited, clean"] > many["uncredited, clean"]
        assert abs(many["random"] - 0.5) < 0.2
        assert many["outlyingness"] > 0.9
        # A generator that repeats odd items too makes them worth as much as others.
        _, learned = rows_of(found, planted=kind, made_by="GAN")
        assert learned["mean value, planted"] > 0.3 * learned["mean value, clean"]
    assert set(found.columns["made by"]) == {"real images, held out", "GAN"}


def test_time_is_measured_by_stage(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flat(images: list[NDArray[np.uint8]], **_: Any) -> NDArray[np.float32]:
        return np.array([image.reshape(-1) / 255 for image in images], np.float32)

    def seen(items: Items, *_: Any) -> Items:
        return items.with_vectors(flat(list(items.content or ())))  # type: ignore[arg-type]

    monkeypatch.setattr(matched, "embed_images", flat)
    monkeypatch.setattr(matched, "featured", seen)
    found = table(run("c4", data))
    assert found.columns["re-ranked by"] == ("nothing",)
    monkeypatch.setattr(matched, "RANKINGS", (("pixels", None), ("pixels", "ssim"), ("pixels", None)))
    found = table(run("c4", data))
    plain, ranked = rows_of(found)
    assert ranked["re-rank (s)"] > plain["re-rank (s)"]
    stages = [f"{stage} (s)" for stage in ("embed", "recall", "re-rank", "credit")]
    assert plain["together (s)"] == pytest.approx(sum(plain[stage] for stage in stages))
    assert plain["published, VAE-TracIn (s)"] == 47.945


# -- what is trained -----------------------------------------------------------------------------


def test_added_items_earn_what_their_kind_deserves(data: Path) -> None:
    found = table(run("addition", data))
    assert set(found.columns["made by"]) == {"repeats of the pool", "GAN", "diffusion"}
    nothing, same, other, spoilt, copied = rows_of(found, made_by="GAN")
    kinds = [row["added"] for row in (nothing, same, other, spoilt, copied)]
    assert kinds == ["nothing", "same classes", "other classes", "same classes, noisy", "copies"]
    assert nothing["mean value, base"] == pytest.approx(200 / 100)
    assert same["mean value, added"] > 1
    assert other["mean value, added"] < same["mean value, added"]
    assert 0 <= spoilt["accuracy"] <= nothing["accuracy"] <= 1
    for row in (same, other, spoilt):
        assert 100 * row["mean value, base"] + 50 * row["mean value, added"] == pytest.approx(200)


def test_left_out_groups_are_compared_with_their_values(data: Path) -> None:
    results = run("groups", data)
    row, *_ = rows_of(table(results))
    assert (row["made by"], row["groups"], row["items a group"]) == ("repeats of the pool", 20, 10)
    assert row["mean change"] > row["mean size of change, nothing left out"]
    assert -1 <= row["Spearman"] <= 1
    assert 0 < row["p"] <= 1
    assert len(results) == 3
    picture = results[1]
    assert isinstance(picture, Exhibit)
    assert len(picture.table) == 20


def test_styles_are_groups_of_one_size_within_classes() -> None:
    x = np.zeros((40, 3))
    x[:, 0] = np.random.default_rng(0).permutation(40)
    labels = np.repeat([4, 9], 20)
    groups = styles(Items(x, labels=labels), 2)
    assert np.bincount(groups).tolist() == [10] * 4
    assert set(groups[labels == 4]) == {0, 1}
    for first, second in ((0, 1), (2, 3)):
        low, high = sorted([x[groups == first, 0], x[groups == second, 0]], key=np.mean)
        assert low.max() < high.min()


# -- what is refused -----------------------------------------------------------------------------


def test_what_cannot_be_run_is_said(data: Path, tmp_path: Path) -> None:
    refusals: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"protocol": "leak-free"}, InputError, "one protocol only"),
        ({"datasets": ["wind"]}, InputError, "no data set wind; it has mnist, cifar10"),
        ({"datasets": ["cifar10"]}, DataError, "cifar10 is not in the data folder"),
    ]
    for options, error, words in refusals:
        with pytest.raises(error, match=words):
            run("c1", data, **options)
    for name in ("copies", "c1", "c2", "c3", "c4", "addition", "groups"):
        with pytest.raises(DataError, match="has none of the data sets"):
            run(name, tmp_path)


def test_a_set_without_its_held_out_images_is_absent(tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    np.savez(tmp_path / "mnist" / "mnist_train.npz", x=np.zeros((1, 2, 2), np.uint8), y=np.zeros(1, np.uint8))
    assert not SOURCES["mnist"].is_in(tmp_path)


def test_pixels_are_features_from_0_to_1() -> None:
    items = Items(images=np.array([[[0, 255], [51, 102]]], np.uint8))
    setting: Callable[..., Any] = lambda: None  # noqa: E731  # not looked at
    np.testing.assert_allclose(running.featured(items, "pixels", setting).x, [[0, 1, 0.2, 0.4]])  # type: ignore[arg-type]


# -- real generators -----------------------------------------------------------------------------


@pytest.mark.models
def test_real_generators_are_trained_and_kept(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained, "train_on", train_on)
    brief = {"GAN": ConditionalGAN(steps=2, batch=4, width=4, latent=4)}
    monkeypatch.setattr(retrained, "BRIEF", brief)
    monkeypatch.setattr(retrained, "TINY", brief)
    first = table(run("addition", data, work=tmp_path))
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "generators").iterdir()}
    assert len(kept) == 5  # one for each pool
    assert set(first.columns["made by"]) == {"repeats of the pool", "GAN"}
    again = table(run("addition", data, work=tmp_path))
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert again.columns == first.columns
