"""The packaged models with their real weights: what they give must mean something."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images

import dataworth as dw

pytestmark = pytest.mark.models

SUBJECTS = {
    "football": [
        "The striker scored twice before half time.",
        "Fans cheered as the goalkeeper saved the penalty.",
        "The coach praised his defenders after the match.",
    ],
    "cooking": [
        "Simmer the onions in butter until they are soft.",
        "Add a pinch of salt and let the dough rest.",
        "The soup tastes best with fresh basil.",
    ],
    "astronomy": [
        "The telescope found a planet around a distant star.",
        "Light from that galaxy left it billions of years ago.",
        "The comet will pass close to the Sun in spring.",
    ],
}
TEXTS = [text for texts in SUBJECTS.values() for text in texts]
SUBJECT = np.repeat(np.arange(len(SUBJECTS)), 3)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def nearest(x: NDArray[np.float32]) -> NDArray[np.intp]:
    similarity = x @ x.T
    np.fill_diagonal(similarity, -np.inf)
    found: NDArray[np.intp] = similarity.argmax(axis=1)
    return found


def test_texts_lie_nearest_to_texts_of_their_subject() -> None:
    x = dw.embed_texts(TEXTS, cache=False)
    assert x.shape == (9, 384)
    assert x.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(SUBJECT[nearest(x)], SUBJECT)


@pytest.mark.parametrize(
    ("text", "same_meaning", "same_words"),
    [
        (
            "He opened an account at the bank.",
            "She deposited money with her lender.",
            "He caught a fish at the bank of the river.",
        ),
        (
            "The film was not good at all.",
            "I did not like this movie.",
            "The film was developed in a good dark room.",
        ),
    ],
)
def test_meaning_outweighs_words(text: str, same_meaning: str, same_words: str) -> None:
    x = dw.embed_texts([text, same_meaning, same_words], cache=False)
    assert x[0] @ x[1] > x[0] @ x[2] + 0.05


def test_batches_and_neighbours_do_not_change_a_text(tmp_path: Path) -> None:
    together = dw.embed_texts(TEXTS, cache=False)
    alone = dw.embed_texts(TEXTS, batch_size=1, cache=False)
    np.testing.assert_allclose(together, alone, atol=2e-6)


def test_long_empty_and_foreign_texts_have_vectors() -> None:
    x = dw.embed_texts(["word " * 5000, "", "数据的价值", "😀"], cache=False)
    assert np.isfinite(x).all()


def views(image: NDArray[np.uint8], rng: np.random.Generator, count: int) -> list[NDArray[np.uint8]]:
    """Random parts of a photograph, some mirrored, in random light."""
    out = []
    for _ in range(count):
        top, left = rng.integers(0, image.shape[0] - 300), rng.integers(0, image.shape[1] - 300)
        part = image[top : top + 300, left : left + 300, :]
        part = part[:, ::-1] if rng.random() < 0.5 else part
        out.append(np.clip(part * rng.uniform(0.6, 1.3), 0, 255).astype(np.uint8))
    return out


def test_parts_of_one_photograph_lie_together() -> None:
    rng = np.random.default_rng(0)
    temple, flower = load_sample_images().images
    x = dw.embed_images([*views(temple, rng, 6), *views(flower, rng, 6)], cache=False)
    assert x.shape == (12, 1280)
    assert x.dtype == np.float32
    which = np.repeat([0, 1], 6)
    np.testing.assert_array_equal(which[nearest(x)], which)
    similarity = x @ x.T
    same = which[:, None] == which[None, :]
    assert similarity[same].mean() > similarity[~same].mean() + 0.2


def test_grey_and_batched_images_agree() -> None:
    rng = np.random.default_rng(1)
    grey = [image[:, :, 1] for image in views(load_sample_images().images[1], rng, 3)]
    stacked = dw.embed_images([np.stack([image] * 3, axis=2) for image in grey], batch_size=1, cache=False)
    np.testing.assert_allclose(dw.embed_images(grey, cache=False), stacked, atol=2e-5)


def test_packaged_models_are_cached_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = dw.embed_texts(TEXTS[:2], cache=tmp_path)
    monkeypatch.setattr("dataworth.models.embed._load_minilm", lambda: None)
    np.testing.assert_array_equal(dw.embed_texts(TEXTS[1::-1], cache=tmp_path), x[::-1])


def test_points_are_read_and_embedded_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAWORTH_CACHE", str(tmp_path))
    points = dw.read_points({"text": TEXTS, "y": SUBJECT}, features=["text"], embed="minilm")
    assert points.x.shape == (9, 384)
    assert points.items == tuple(TEXTS)


def test_nothing_global_is_changed(capfd: pytest.CaptureFixture[str]) -> None:
    import torch

    from dataworth.models import embed

    embed._load_minilm.cache_clear()
    embed._load_lite0.cache_clear()
    before = torch.get_num_threads(), torch.is_grad_enabled(), torch.random.get_rng_state().tolist()
    dw.embed_texts(["a"], cache=False)
    dw.embed_images([np.zeros((8, 8), np.uint8)], cache=False)
    assert (torch.get_num_threads(), torch.is_grad_enabled(), torch.random.get_rng_state().tolist()) == before
    assert capfd.readouterr() == ("", "")  # no bar, no chatter off a terminal
