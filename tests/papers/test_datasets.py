"""Data sets come from their places in a data folder, or from OpenML where that is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataworth.errors import DataError, InputError
from dataworth.papers import datasets
from dataworth.papers.datasets import SOURCES, choose_sources, load_dataset
from tests.papers.conftest import planes, write_table


def test_a_table_is_read_with_its_features_and_labels(tmp_path: Path) -> None:
    x, y = planes(50, seed=0)
    write_table(tmp_path, "2dplanes", x, y)
    found = load_dataset(SOURCES["2dplanes"], tmp_path)
    assert found.rows.x.dtype == np.float64
    assert (found.rows.x == x).all()
    assert (found.rows.y == y).all()
    assert (found.classes, found.held_out, found.features) == (2, None, "as given")


def test_what_is_not_there_is_named_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"wind is not in the data folder; it would be wind/wind\.parquet"):
        load_dataset(SOURCES["wind"], tmp_path)


def test_a_damaged_or_unlabelled_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pol").mkdir()
    file = tmp_path / "pol" / "pol.parquet"
    file.write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        load_dataset(SOURCES["pol"], tmp_path)
    pq.write_table(pa.table({"f1": [1.0]}), file)
    with pytest.raises(DataError, match="needs a column 'label'"):
        load_dataset(SOURCES["pol"], tmp_path)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Stand-ins for the embedders; the list holds what they were asked to embed."""
    items: list[Any] = []

    def embed(given: Sequence[Any], *, progress: bool | None) -> Any:
        items.extend(given)
        return np.array([[len(np.asarray(item).reshape(-1)), 1.0] for item in given], dtype=np.float32)

    monkeypatch.setattr(datasets, "embed_images", embed)
    monkeypatch.setattr(datasets, "embed_texts", embed)
    return items


def test_pixels_are_embedded_and_the_held_out_part_kept_apart(tmp_path: Path, asked: list[Any]) -> None:
    (tmp_path / "mnist").mkdir()
    for part, n in (("train", 6), ("test", 4)):
        x = np.full((n, 28, 28), n, dtype=np.uint8)
        np.savez(tmp_path / "mnist" / f"mnist_{part}.npz", x=x, y=np.arange(n, dtype=np.uint8) % 2)
    found = load_dataset(SOURCES["mnist"], tmp_path)
    assert found.held_out is not None
    assert (len(found.rows.y), len(found.held_out.y)) == (6, 4)
    assert [image.shape for image in asked] == [(28, 28)] * 10
    assert "efficientnet-lite0" in found.features


def test_image_bytes_are_preferred_to_the_smaller_file_of_pixels(tmp_path: Path, asked: list[Any]) -> None:
    folder = tmp_path / "cifar10"
    folder.mkdir()
    np.savez(folder / "cifar10_train4k.npz", x=np.zeros((3, 32, 32, 3), np.uint8), y=np.arange(3))
    pixels_only = load_dataset(SOURCES["cifar10"], tmp_path)
    assert (len(pixels_only.rows.y), pixels_only.held_out) == (3, None)
    pq.write_table(pa.table({"jpeg": [b"one", b"two"], "label": [0, 1]}), folder / "cifar10_train_jpeg.parquet")
    pq.write_table(pa.table({"jpeg": [b"three"], "label": [0]}), folder / "cifar10_test5k_jpeg.parquet")
    asked.clear()
    found = load_dataset(SOURCES["cifar10"], tmp_path)
    assert asked == [b"one", b"two", b"three"]
    assert found.held_out is not None


def test_a_title_stands_before_its_text(tmp_path: Path, asked: list[Any]) -> None:
    (tmp_path / "ag_news").mkdir()
    table = pa.table({"label": [2, 0], "title": ["Rates", "Cup"], "text": ["rise", "won"]})
    pq.write_table(table, tmp_path / "ag_news" / "ag_news_test.parquet")
    found = load_dataset(SOURCES["ag_news"], tmp_path)
    assert asked == ["Rates. rise", "Cup. won"]
    assert found.rows.y.tolist() == [1, 0]
    assert "minilm" in found.features


def test_openml_gives_the_number_columns_when_it_may_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*, data_id: int, as_frame: bool, parser: str) -> SimpleNamespace:
        assert (data_id, as_frame) == (1489, False)
        return SimpleNamespace(
            data=np.array([[1.5, 0.0, 3.0], [2.5, 1.0, np.nan]]),
            feature_names=["a", "colour", "b"],
            categories={"colour": ["red", "blue"]},
            target=np.array(["1", "2"], dtype=object),
        )

    monkeypatch.setattr("sklearn.datasets.fetch_openml", answer)
    found = load_dataset(SOURCES["phoneme"], tmp_path, fetch=True)
    np.testing.assert_array_equal(found.rows.x, [[1.5, 3.0], [2.5, np.nan]])
    assert found.rows.y.tolist() == [0, 1]
    assert found.features == "number columns of OpenML 1489"


def test_openml_out_of_reach_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(**_: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", unreachable)
    with pytest.raises(
        DataError, match=r"cannot be fetched from OpenML .*put it into the data folder as wind/wind\.parquet"
    ):
        load_dataset(SOURCES["wind"], tmp_path, fetch=True)


def test_the_folder_comes_before_openml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sklearn.datasets.fetch_openml", None)
    write_table(tmp_path, "2dplanes", *planes(20, seed=0))
    assert len(load_dataset(SOURCES["2dplanes"], tmp_path, fetch=True).rows.y) == 20


def test_names_are_checked_and_keep_the_papers_order() -> None:
    assert [source.name for source in choose_sources(["pol", "cpu"], "table")] == ["cpu", "pol"]
    assert len(choose_sources(None, "table")) == 9
    with pytest.raises(InputError, match="no data set mnist, moon"):
        choose_sources(["mnist", "moon", "cpu"], "table")
