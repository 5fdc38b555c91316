"""A pair's distance is that of its two images and of nothing else; known metrics give their known numbers."""

from __future__ import annotations

import math
import pickle
import socket
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from dataworth.errors import DataError, MethodError, MissingExtra
from dataworth.models import perceptual
from dataworth.models.perceptual import RERANKERS, Reranker, reranker
from dataworth.models.similarity import moments

Image: TypeAlias = NDArray[np.uint8]
Distances: TypeAlias = NDArray[np.float64]


def images(count: int, height: int = 20, width: int = 17, seed: int = 0) -> list[Image]:
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (height, width, 3))
    noise = [rng.normal(0, 8 * at, base.shape) for at in range(count)]
    return [np.clip(base + some, 0, 255).astype(np.uint8) for some in noise]


def all_pairs(which: Any, made: list[Any], train: list[Any]) -> Distances:
    at = np.tile(np.arange(len(train)), (len(made), 1))
    return reranker(which).pairs(made.__getitem__, train.__getitem__, at)


def by_mean(generated: list[Image], train: list[Image]) -> list[float]:
    return [abs(float(a.mean()) - float(b.mean())) for a, b in zip(generated, train, strict=True)]


ALWAYS = ["pixels", "ssim", by_mean]

one_image = arrays.arrays(np.uint8, st.tuples(st.integers(11, 15), st.integers(11, 15), st.just(3)))


@st.composite
def two_images(draw: st.DrawFn) -> tuple[Image, Image]:
    one = draw(one_image)
    return one, draw(arrays.arrays(np.uint8, one.shape))


# -- pixels and structural similarity ----------------------------------------------------------------------------


@given(two_images())
def test_pixels_are_the_euclidean_distance(pair: tuple[Image, Image]) -> None:
    a, b = pair
    got = all_pairs("pixels", [a], [b, a])
    assert got[0, 0] == pytest.approx(math.sqrt(sum((int(p) - int(q)) ** 2 for p, q in zip(a.flat, b.flat))) / 255)
    assert got[0, 1] == 0


@settings(max_examples=50)
@given(two_images())
def test_ssim_is_that_of_its_authors(pair: tuple[Image, Image]) -> None:
    a, b = pair
    wanted = 1 - structural_similarity(
        a, b, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    got = all_pairs("ssim", [a, b], [a, b])
    assert got[0, 1] == pytest.approx(wanted, abs=1e-9)
    assert got[0, 1] == got[1, 0]
    assert got[0, 0] == got[1, 1] == 0


@pytest.mark.parametrize("shape", [(11, 40), (28, 28), (64, 33)])
@pytest.mark.parametrize("noise", [2, 20, 200])
def test_ssim_of_grey_images_is_that_of_one_channel(shape: tuple[int, int], noise: float) -> None:
    rng = np.random.default_rng(1)
    a = np.add.outer(np.arange(shape[0]) * 2, np.arange(shape[1])).astype(np.uint8)
    b = np.clip(a + rng.normal(0, noise, shape), 0, 255).astype(np.uint8)
    wanted = 1 - structural_similarity(
        a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    colour = [np.repeat(grey[:, :, None], 3, axis=2) for grey in (a, b)]
    assert all_pairs("ssim", colour[:1], colour[1:])[0, 0] == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("which", ["pixels", "ssim"])
def test_more_noise_is_farther(which: str) -> None:
    train = images(6)
    assert (np.diff(all_pairs(which, train[:1], train)[0]) > 0).all()


# -- laws of every reranker --------------------------------------------------------------------------------------


def check_nothing_else_counts(which: Any, made: list[Any], train: list[Any]) -> None:
    """A pair has one distance, to the bit: alone, in any order, among any others, seen before or not."""
    whole = all_pairs(which, made, train)
    judge = reranker(which)
    for j, i in np.ndindex(whole.shape):
        alone = judge.pairs([made[j]].__getitem__, [train[i]].__getitem__, np.zeros((1, 1), np.int64))
        assert alone[0, 0] == whole[j, i]
    rng = np.random.default_rng(2)
    for _ in range(3):
        at = np.stack([rng.permutation(len(train)) for _ in made])
        at[rng.random(at.shape) < 0.4] = -1
        order = rng.permutation(len(made))
        got = judge.pairs(lambda j, order=order: made[order[j]], train.__getitem__, at)  # type: ignore[misc]
        wanted = np.where(at < 0, np.inf, np.take_along_axis(whole[order], np.maximum(at, 0), axis=1))
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("which", ALWAYS)
def test_nothing_else_counts(which: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    check_nothing_else_counts(which, images(3, seed=3), images(7, seed=4))
    monkeypatch.setattr(perceptual, "_KEPT_BYTES", 10_000)
    monkeypatch.setattr(perceptual, "_NUMBERS_AT_ONCE", 2_000)
    check_nothing_else_counts(which, images(3, seed=3), images(7, seed=4))


@given(height=st.integers(11, 40), width=st.integers(11, 40), count=st.integers(1, 9), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_no_size_of_batch_counts(height: int, width: int, count: int, seed: int) -> None:
    train = images(count, height, width, seed)
    for which in ("pixels", "ssim"):
        whole = all_pairs(which, train[:1], train)[0]
        np.testing.assert_array_equal([all_pairs(which, train[:1], [each])[0, 0] for each in train], whole)


@pytest.mark.parametrize("which", ALWAYS)
def test_without_candidates_nothing_is_looked_at(which: Any) -> None:
    def refuse(at: int) -> Any:
        raise AssertionError(f"item {at} was looked at")

    ticks: list[int] = []
    got = reranker(which).pairs(refuse, refuse, np.full((3, 2), -1), ticks.append)
    np.testing.assert_array_equal(got, np.full((3, 2), np.inf))
    assert ticks == [1, 1, 1]
    assert reranker(which).pairs(refuse, refuse, np.empty((0, 2), np.int64)).shape == (0, 2)


@pytest.mark.parametrize("which", ALWAYS)
def test_duplicates_are_equally_far(which: Any) -> None:
    train = [image for image in images(3) for _ in range(2)]
    got = all_pairs(which, images(2, seed=5), train)
    np.testing.assert_array_equal(got[:, ::2], got[:, 1::2])


def test_training_images_are_looked_at_once_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    train, looked = images(4), []

    def show(i: int) -> Image:
        looked.append(i)
        return train[i]

    at = np.array([[0, 1], [1, 2], [3, 0]])
    wanted = all_pairs("ssim", train[:3], train)[np.arange(3)[:, None], at]
    np.testing.assert_array_equal(reranker("ssim").pairs(train.__getitem__, show, at), wanted)
    assert looked == [0, 1, 2, 3]
    one = sum(part.nbytes for part in moments(train[0]))
    monkeypatch.setattr(perceptual, "_KEPT_BYTES", 2 * one)
    looked.clear()
    np.testing.assert_array_equal(reranker("ssim").pairs(train.__getitem__, show, at), wanted)
    assert looked == [0, 1, 2, 3, 0]  # 1 was still there; 0 had gone
    looked.clear()
    reranker("ssim").pairs(train.__getitem__, show, np.array([[0, 1], [0, 2], [0, 3]]))
    assert looked == [0, 1, 2, 3]  # what was used last stays
    monkeypatch.setattr(perceptual, "_KEPT_BYTES", 0)
    looked.clear()
    np.testing.assert_array_equal(reranker("ssim").pairs(train.__getitem__, show, at), wanted)
    assert looked == [0, 1, 1, 2, 3, 0]


# -- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["pixels", "ssim"])
def test_images_of_two_sizes_are_refused(which: str) -> None:
    train = [*images(2), images(1, 17, 20)[0]]
    message = (
        rf"'{which}' compares images of one size, but generated item 0 has 20 x 17 pixels and training item 2 17 x 20"
    )
    with pytest.raises(DataError, match=message):
        all_pairs(which, images(1), train)
    at = np.array([[2], [2]])  # remembered, the size still counts
    with pytest.raises(DataError, match="generated item 1 has 20 x 17"):
        reranker(which).pairs([train[2], train[0]].__getitem__, train.__getitem__, at)


def test_images_smaller_than_a_window_are_refused() -> None:
    small = images(1, 10, 30)
    with pytest.raises(DataError, match=r"'ssim' needs images of at least 11 x 11 pixels, and generated item 0 has 10"):
        all_pairs("ssim", small, small)
    with pytest.raises(DataError, match="training item 0 has 10 x 30"):
        all_pairs("ssim", images(1, 30, 30), small)


@pytest.mark.parametrize(
    ("content", "given"),
    [
        ("a secret", "not str"),
        (np.zeros((4, 4, 3)), r"not float64 of shape \(4, 4, 3\)"),
        (np.zeros((4, 4), np.uint8), r"not uint8 of shape \(4, 4\)"),
        (np.zeros((4, 0, 3), np.uint8), "without pixels"),
    ],
)
def test_what_is_no_image_is_refused(content: Any, given: str) -> None:
    with pytest.raises(DataError, match=given) as refused:
        all_pairs("pixels", [content], [content])
    assert "secret" not in str(refused.value)
    with pytest.raises(DataError, match=f"training item 0.*{given}"):
        all_pairs("pixels", images(1), [content])


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(MethodError, match="'dreamsim', 'lpips', 'pixels', 'ssim', 'st-lpips' or a callable, not 'l2'"):
        reranker("l2")


@pytest.mark.parametrize(
    ("which", "line"),
    [
        ("lpips", r"pip install 'dataworth\[perceptual\]'"),
        ("dreamsim", r"pip install 'dataworth\[perceptual\]'"),
        ("st-lpips", r"pip install --no-deps stlpips-pytorch==0.0.2\).*pip install 'dataworth\[images\]'"),
    ],
)
def test_what_is_not_installed_is_named_at_once(which: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", absent)
    with pytest.raises(MissingExtra, match=line):
        reranker(which)


# -- callables ---------------------------------------------------------------------------------------------------


def test_a_callable_is_given_one_item_with_all_its_candidates() -> None:
    calls: list[tuple[list[str], list[str]]] = []

    def distance(generated: list[str], train: list[str]) -> list[float]:
        calls.append((generated, train))
        return [float(ord(b) - ord(a)) for a, b in zip(generated, train, strict=True)]

    at = np.array([[2, 0, -1], [-1, -1, -1], [1, 1, 1]])
    got = reranker(distance).pairs("xyz".__getitem__, "abc".__getitem__, at)
    assert calls == [(["x", "x"], ["c", "a"]), (["z", "z", "z"], ["b", "b", "b"])]
    inf = np.inf
    np.testing.assert_array_equal(got, [[-21, -23, inf], [inf, inf, inf], [-24, -24, -24]])


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ([1.0], r"must give 2 numbers, one for each pair, not float64 of shape \(1,\)"),
        ([[1.0], [2.0]], r"not float64 of shape \(2, 1\)"),
        (1.0, r"not float64 of shape \(\)"),
        (["1", "2"], "not <U1"),
        ([1j, 2j], "not complex128"),
        ([None, 1.0], "not object"),
        ([[1.0], [1.0, 2.0]], "ragged"),
        ([np.nan, 1.0], "gave NaN or infinity for 1 of 2 candidates of generated item 0"),
        ([np.inf, -np.inf], "gave NaN or infinity for 2 of 2"),
        (np.ma.MaskedArray([1.0, 2.0], [True, False]), "masked"),
    ],
)
def test_what_a_callable_gives_is_checked(output: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"your distance.*{message}"):
        reranker(lambda generated, train: output).pairs("x".__getitem__, "ab".__getitem__, np.array([[0, 1]]))


def test_any_real_numbers_serve() -> None:
    for output in ([-1, 0], np.array([-1, 0], np.float16), np.array([True, False]), (3, 2)):
        got = reranker(lambda generated, train, output=output: output).pairs(  # type: ignore[misc]
            "x".__getitem__, "ab".__getitem__, np.array([[0, 1]])
        )
        assert got.dtype == np.float64
        np.testing.assert_array_equal(got[0], np.asarray(output, np.float64))


def test_rerankers_say_what_they_are() -> None:
    assert (reranker(by_mean).identity, reranker(by_mean).kind) == (None, "any")
    pixels, ssim = reranker("pixels"), reranker("ssim")
    assert isinstance(pixels, Reranker)
    assert (pixels.identity, pixels.kind) == ("pixels", "images")
    assert ssim.identity == "ssim, Gaussian 11"


# -- networks ----------------------------------------------------------------------------------------------------


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def patterns(side: int = 64) -> list[Image]:
    """Three images of integers alone, the same on every machine."""
    at = np.arange(side)
    return [
        np.stack([(at[:, None] * k + at * (k + 2) * c) % 256 for c in (1, 2, 3)], axis=2).astype(np.uint8)
        for k in (1, 2, 3)
    ]


def photographs(side: int) -> list[Image]:
    from sklearn.datasets import load_sample_images

    temple, flower = load_sample_images().images
    return [temple[50 : 50 + side, 80 : 80 + side], flower[150 : 150 + side, 200 : 200 + side]]


@pytest.mark.models
@pytest.mark.usefixtures("no_network")
class TestShiftTolerant:
    def test_it_gives_the_numbers_of_its_authors(self) -> None:
        # What their package gives for these images; ours adds in another order.
        wanted = [[0, 0.607995093, 0.634355664], [0.607995093, 0, 0.397136986], [0.634355664, 0.397136986, 0]]
        np.testing.assert_allclose(all_pairs("st-lpips", patterns(), patterns()), wanted, rtol=1e-5)

    def test_nothing_else_counts(self) -> None:
        check_nothing_else_counts("st-lpips", photographs(64), images(4, 64, 64))
        check_nothing_else_counts("st-lpips", photographs(28), images(3, 28, 28))

    def test_threads_do_not_count(self) -> None:
        import torch

        before = torch.get_num_threads()
        try:
            found = []
            for threads in (1, 2):
                torch.set_num_threads(threads)
                found.append(all_pairs("st-lpips", photographs(72), images(2, 72, 72)))
        finally:
            torch.set_num_threads(before)
        np.testing.assert_array_equal(found[0], found[1])

    def test_a_shift_hardly_matters(self) -> None:
        for photograph in photographs(97):
            still, shifted, other = photograph[:, :-1], photograph[:, 1:], photographs(97)[0][::-1, :-1]
            for_pixels = all_pairs("pixels", [still], [shifted, other])[0]
            for_metric = all_pairs("st-lpips", [still], [shifted, other])[0]
            assert for_metric[0] / for_metric[1] < 0.02
            assert for_metric[0] / for_metric[1] < for_pixels[0] / for_pixels[1] / 5

    @pytest.mark.parametrize("side", [28, 64])
    def test_more_noise_is_farther(self, side: int) -> None:
        rng = np.random.default_rng(0)
        for photograph in photographs(side):
            noise = rng.normal(0, 1, photograph.shape)
            train = [np.clip(photograph + s * noise, 0, 255).astype(np.uint8) for s in (0, 5, 10, 20, 40, 80)]
            got = all_pairs("st-lpips", [photograph], train)[0]
            assert got[0] == 0
            assert (np.diff(got) > 0).all()

    def test_small_images_are_enlarged(self) -> None:
        import torch

        small = photographs(16)
        large = [perceptual._network_input(torch, image) for image in small]
        assert [tuple(each.shape) for each in large] == [(1, 3, 64, 64)] * 2
        narrow = perceptual._network_input(torch, images(1, 10, 25)[0])
        assert tuple(narrow.shape) == (1, 3, 64, 160)
        flat = perceptual._network_input(torch, np.full((8, 8, 3), 255, np.uint8))
        np.testing.assert_array_equal(flat.numpy(), np.ones((1, 3, 64, 64)))
        assert 0 < all_pairs("st-lpips", small[:1], small[1:])[0, 0] < 2

    def test_what_it_cannot_compare_is_refused(self) -> None:
        with pytest.raises(DataError, match="at least 8 x 8 pixels, and generated item 0 has 7 x 64"):
            all_pairs("st-lpips", images(1, 7, 64), images(1, 7, 64))
        with pytest.raises(DataError, match="one size, but generated item 0 has 64 x 96 pixels and training item 0 96"):
            all_pairs("st-lpips", images(1, 64, 96), images(1, 96, 64))  # which have equally many features

    def test_flat_and_extreme_images_have_finite_distances(self) -> None:
        flat = [np.full((64, 64, 3), grey, np.uint8) for grey in (0, 127, 255)]
        got = all_pairs("st-lpips", flat, [*flat, *patterns()])
        assert np.isfinite(got).all()
        np.testing.assert_array_equal(np.diagonal(got), 0)

    def test_nothing_global_is_changed(self, capfd: pytest.CaptureFixture[str]) -> None:
        import torch

        perceptual._load_st_lpips.cache_clear()
        before = torch.get_num_threads(), torch.is_grad_enabled(), torch.random.get_rng_state().tolist()
        all_pairs("st-lpips", patterns()[:1], patterns()[1:2])
        assert (torch.get_num_threads(), torch.is_grad_enabled(), torch.random.get_rng_state().tolist()) == before
        assert capfd.readouterr() == ("", "")
        assert "stlpips_pytorch" not in sys.modules

    def test_other_weights_are_refused(self, tmp_path: Path) -> None:
        import torch

        with pytest.raises(DataError, match="there are no weights of ST-LPIPS"):
            perceptual._read_st_lpips(tmp_path / "absent.pth")
        other = tmp_path / "other.pth"
        for content in ({"net.slice1.0.weight": torch.zeros(3)}, {"net.slice1.0.bias": 3}, {}, [1], torch.zeros(3)):
            torch.save(content, other)
            with pytest.raises(DataError, match="holds no weights of ST-LPIPS on AlexNet"):
                perceptual._read_st_lpips(other)
        for raw in (b"", b"no weights at all", other.read_bytes()[:-100]):
            other.write_bytes(raw)
            with pytest.raises(DataError, match="holds no weights of ST-LPIPS on AlexNet"):
                perceptual._read_st_lpips(other)

    def test_a_pickle_with_code_in_it_is_not_run(self, tmp_path: Path) -> None:
        class Harm:
            def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
                return Path.touch, (tmp_path / "harm",)  # type: ignore[return-value]

        (tmp_path / "other.pth").write_bytes(pickle.dumps(Harm(), protocol=2))
        with pytest.raises(DataError, match="holds no weights"):
            perceptual._read_st_lpips(tmp_path / "other.pth")
        assert not (tmp_path / "harm").exists()

    def test_the_name_says_which_weights(self) -> None:
        assert reranker("st-lpips").identity == "st-lpips 0.0.2 alex, bilinear to 64"


# The packages need torchvision, which does not stand beside the torch of the tests. These have their interface.
LPIPS = """
import torch


class LPIPS(torch.nn.Module):
    def __init__(self, net="alex", verbose=True):
        super().__init__()
        assert net == "alex"
        torch.rand(3)
        print("Loading")

    def forward(self, in0, in1, normalize=False):
        assert in0.shape == in1.shape and in0.dtype == torch.float32 and len(in0) == 1
        assert min(in0.shape[2:]) >= 64 and -1 <= in0.min() and in0.max() <= 1
        return (in0 - in1).square().mean((1, 2, 3), keepdim=True)
"""
DREAMSIM = """
import os
import torch
import numpy as np


class Model(torch.nn.Module):
    def embed(self, img):
        assert img.shape == (1, 3, 32, 32)
        return torch.nn.functional.avg_pool2d(img, 8).flatten(1) - 0.5

    def forward(self, a, b):
        return 1 - torch.nn.functional.cosine_similarity(self.embed(a), self.embed(b), dim=-1)


def preprocess(picture):
    array = np.array(picture.convert("RGB").resize((32, 32)), dtype=np.float32) / 255
    return torch.from_numpy(array).permute(2, 0, 1)[None]


def dreamsim(pretrained=True, device="cuda", cache_dir="./models", normalize_embeds=True, dreamsim_type="ensemble"):
    assert pretrained and device == "cpu"
    if not os.path.exists(cache_dir):
        os.mkdir(cache_dir)
    print("Downloading checkpoint")
    return Model().eval(), preprocess
"""


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, source in (("lpips", LPIPS), ("dreamsim", DREAMSIM)):
        (tmp_path / f"{name}.py").write_text(source)
        (tmp_path / f"{name}-9.1.dist-info").mkdir()
        (tmp_path / f"{name}-9.1.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.1\n"
        )
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("DATAWORTH_CACHE", str(tmp_path / "cache" / "below"))
    loaders = perceptual._load_lpips, perceptual._load_dreamsim
    for loader in loaders:
        loader.cache_clear()
    yield
    for loader in loaders:
        loader.cache_clear()
    for name in ("lpips", "dreamsim"):
        sys.modules.pop(name, None)


@pytest.mark.models
@pytest.mark.usefixtures("stand_ins", "no_network")
class TestPackages:
    def test_lpips_is_asked_as_it_wants_to_be(self, capfd: pytest.CaptureFixture[str]) -> None:
        import torch

        state = torch.random.get_rng_state().tolist()
        assert reranker("lpips").identity == "lpips 9.1 alex, bilinear to 64"
        a, b = photographs(64)
        got = all_pairs("lpips", [a], [b, a])
        wanted = np.square(a.astype(np.float64) / 127.5 - b / 127.5).mean()
        np.testing.assert_allclose(got, [[wanted, 0]], rtol=1e-5)
        assert all_pairs("lpips", [a[:20, :30]], [b[:20, :30]])[0, 0] > 0
        with pytest.raises(DataError, match="one size"):
            all_pairs("lpips", [a], [b[:, :-1]])
        assert torch.random.get_rng_state().tolist() == state
        assert capfd.readouterr().out == ""

    def test_dreamsim_is_asked_as_it_wants_to_be(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert reranker("dreamsim").identity == "dreamsim 9.1 ensemble"
        train = [*photographs(64), photographs(90)[0]]
        got = all_pairs("dreamsim", train, train)
        assert capfd.readouterr().out == ""
        import dreamsim
        from PIL import Image as Pictures

        model, preprocess = dreamsim.dreamsim(device="cpu", cache_dir=str(tmp_path))
        seen = [preprocess(Pictures.fromarray(image)) for image in train]
        np.testing.assert_allclose(got, [[float(model(a, b)) for b in seen] for a in seen], atol=1e-6)
        np.testing.assert_array_equal(np.diagonal(got), 0)
        assert (tmp_path / "cache" / "below" / "dreamsim").is_dir()

    @pytest.mark.parametrize("which", ["lpips", "dreamsim"])
    def test_nothing_else_counts(self, which: str) -> None:
        check_nothing_else_counts(which, photographs(64), images(3, 64, 64))

    @pytest.mark.parametrize("which", ["lpips", "dreamsim"])
    def test_a_package_without_what_it_needs_is_missing(self, which: str, tmp_path: Path) -> None:
        (tmp_path / f"{which}.py").write_text("import torchvision_of_another_world\n")
        with pytest.raises(MissingExtra, match=rf"'{which}'.*dataworth\[perceptual\]"):
            all_pairs(which, patterns()[:1], patterns()[:1])


def test_every_name_is_tested() -> None:
    assert RERANKERS == ("dreamsim", "lpips", "pixels", "ssim", "st-lpips")
