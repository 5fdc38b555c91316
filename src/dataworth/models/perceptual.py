"""How unlike a generated item and its candidates look: distances that put the candidates in their final order.

A pair's distance is a function of its two items alone, to the last bit: not of the other candidates, the other
generated items, the order they come in, or whether something was remembered. For networks that takes care: one that
is given two images at once may round differently than one that is given one. So each image goes through by itself.
"""

from __future__ import annotations

import contextlib
import functools
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.errors import DataError, MethodError, MissingExtra
from dataworth.models.cache import default_folder
from dataworth.models.checks import numbers_of, pixels_of
from dataworth.models.similarity import SSIM_WINDOW, moments, pixel_distances, ssim_distances

__all__ = ["RERANKERS", "Pairwise", "Reranker", "reranker"]

RERANKERS = ("dreamsim", "lpips", "pixels", "ssim", "st-lpips")

Show: TypeAlias = Callable[[int], Any]
"""Position -> what that item is: RGB pixels, uint8 (height, width, 3), or a text."""

Pairwise: TypeAlias = Callable[[list[Any], list[Any]], ArrayLike]
"""A list of generated and one of training contents, equally long -> a distance for each pair of entries."""

Judge: TypeAlias = Callable[[int, Any, list[int], Show], NDArray[np.float64]]
"""Position and content of a generated item, and positions of its candidates -> its distances to them."""

Features: TypeAlias = tuple[NDArray[Any], ...]

_KEPT_BYTES = 512 * 2**20  # of features of training images, while one batch of generated items is compared
_NUMBERS_AT_ONCE = 2**18  # in the features compared in one go; more would not stay in a core's cache

_ST_LPIPS_PACKAGE = "stlpips-pytorch"
_ST_LPIPS_WEIGHTS = "weights/vST0.0/alex_shift_tolerant.pth"
_NETWORK_PIXELS = 64  # the networks were calibrated on patches of 64 x 64 pixels
_LEAST_PIXELS = 8


@dataclass(frozen=True)
class Reranker:
    """A distance of items, with what the engine must know about it.

    Args:
        name: What to call it in messages.
        identity: Names the distance, its weights and its preparation, so that equal identities give equal distances
            to equal items. None if nobody vouches for that.
        kind: What it looks at.
        start: Gives a judge, with a memory of its own; loads weights where there are any, once.
    """

    name: str
    identity: str | None
    kind: Literal["images", "texts", "any"]
    start: Callable[[], Judge] = field(repr=False)

    def pairs(
        self,
        show_generated: Show,
        show_train: Show,
        at: NDArray[np.int64],
        tick: Callable[[int], object] | None = None,
    ) -> NDArray[np.float64]:
        """The distance of every generated item to each of its candidates.

        Features of training images are remembered during a call, in 512 MiB at most; those used longest ago go first.

        Args:
            show_generated: Gives the content of a generated item.
            show_train: Gives the content of a training item.
            at: Positions of the candidates, shape ``(m, c)``; below 0 where there is none.
            tick: Called with 1 after each generated item.

        Returns:
            float64, shape ``(m, c)``, finite; infinite where there is no candidate.

        Raises:
            DataError: Content that cannot be compared, images of different sizes where they have to agree, or a
                callable that gave another count than it was given pairs, no numbers, or numbers that are not finite.

        Example:
            >>> import numpy as np
            >>> images = [np.full((2, 2, 3), grey, dtype=np.uint8) for grey in (0, 51, 255)]
            >>> candidates = np.array([[0, 2], [1, -1]])
            >>> reranker("pixels").pairs(images.__getitem__, images.__getitem__, candidates).round(3)
            array([[0.   , 3.464],
                   [0.   ,   inf]])
        """
        judge = self.start()
        distances = np.full(at.shape, np.inf)
        for j, row in enumerate(at):
            found = np.flatnonzero(row >= 0)
            if found.size:
                judged = judge(j, show_generated(j), row[found].tolist(), show_train)
                odd = int(found.size - np.isfinite(judged).sum())
                if odd:
                    raise DataError(
                        f"{self.name} gave NaN or infinity for {odd} of {found.size} candidates of generated item {j}"
                    )
                distances[j, found] = judged
            if tick is not None:
                tick(1)
        return distances


def reranker(which: str | Pairwise) -> Reranker:
    """The reranker of a name, or around a callable.

    * ``"pixels"``: Euclidean distance of the pixels, from 0 to 1 each.
    * ``"ssim"``: one minus structural similarity, with the 11 x 11 Gaussian window of its authors.
    * ``"st-lpips"``: the shift-tolerant perceptual metric of Ghildyal and Liu (ECCV 2022), from packaged weights.
    * ``"lpips"``: the perceptual metric of Zhang et al. (CVPR 2018) on AlexNet, by its authors' package, which fetches
      AlexNet from the network when it is first used.
    * ``"dreamsim"``: the metric of Fu et al. (NeurIPS 2023), by its authors' package, which fetches its networks into
      dataworth's cache folder when it is first used.

    All but ``"dreamsim"``, which resizes every image itself, need the two images of a pair to be of one size. Images
    whose shorter side is below 64 pixels are enlarged to that for ``"st-lpips"`` and ``"lpips"``, by bilinear
    interpolation.

    Args:
        which: A name, or a callable that is given two lists, the content of the generated item as often as there are
            candidates and the contents of those, and gives one distance a pair: finite, smaller for what is more
            alike, negative if it likes. It must give a pair the same number whatever else is in the lists.

    Raises:
        MethodError: An unknown name.
        MissingExtra: What it needs is not installed.

    Example:
        >>> import numpy as np
        >>> def in_length(generated, train):
        ...     return [abs(len(a) - len(b)) for a, b in zip(generated, train)]
        >>> made, texts = ["a tree"], ["a tree in spring", "a door"]
        >>> reranker(in_length).pairs(made.__getitem__, texts.__getitem__, np.array([[0, 1]]))
        array([[10.,  0.]])
    """
    if callable(which):
        return Reranker("your distance", None, "any", lambda: functools.partial(_ask, which))
    if which not in RERANKERS:
        raise MethodError(f"items are compared by {', '.join(map(repr, RERANKERS))} or a callable, not {which!r}")
    measure, identity = _MEASURES[which]()
    return Reranker(repr(which), identity, "images", lambda: _Compared(repr(which), measure()))


def _ask(which: Pairwise, j: int, generated: Any, positions: list[int], show_train: Show) -> NDArray[np.float64]:
    output = which([generated] * len(positions), [show_train(i) for i in positions])
    return numbers_of(output, len(positions), "your distance", "for each pair")


# -- comparing by features ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Measure:
    """A distance that looks at each image by itself first.

    Args:
        features: What it needs to know of an image, in a tuple of arrays.
        distances: From those of one image and of others.
        least: Pixels that the shorter side must have.
        one_size: Whether the images of a pair must be of one size.
    """

    features: Callable[[NDArray[np.uint8]], Features]
    distances: Callable[[Features, Sequence[Features]], NDArray[np.float64]]
    least: int = 1
    one_size: bool = True


@dataclass(frozen=True)
class _Measured:
    size: tuple[int, int]
    features: Features


class _Compared:
    """Judges by a measure, and remembers the training images it has measured."""

    def __init__(self, name: str, measure: _Measure) -> None:
        self._name = name
        self._measure = measure
        self._kept: OrderedDict[int, _Measured] = OrderedDict()
        self._bytes = 0

    def __call__(self, j: int, generated: Any, positions: list[int], show_train: Show) -> NDArray[np.float64]:
        one = self._look(generated, f"generated item {j}")
        step = max(1, _NUMBERS_AT_ONCE // sum(part.size for part in one.features))
        judged = np.empty(len(positions))
        for start in range(0, len(positions), step):
            some = positions[start : start + step]
            others = [self._recall(i, show_train) for i in some]
            for i, other in zip(some, others, strict=True):
                if self._measure.one_size and other.size != one.size:
                    raise DataError(
                        f"{self._name} compares images of one size, but generated item {j} has {_by(one.size)} pixels "
                        f"and training item {i} {_by(other.size)}; resize all images to one size first"
                    )
            judged[start : start + step] = self._measure.distances(one.features, [other.features for other in others])
        return judged

    def _look(self, content: Any, item: str) -> _Measured:
        image = pixels_of(content, item, self._name)
        size, least = image.shape[:2], self._measure.least
        if min(size) < least:
            raise DataError(
                f"{self._name} needs images of at least {_by((least, least))} pixels, and {item} has {_by(size)}; "
                "enlarge all images first, or compare by 'pixels'"
            )
        return _Measured(size, self._measure.features(image))

    def _recall(self, i: int, show_train: Show) -> _Measured:
        if i in self._kept:
            self._kept.move_to_end(i)
            return self._kept[i]
        measured = self._kept[i] = self._look(show_train(i), f"training item {i}")
        self._bytes += _size(measured)
        while self._bytes > _KEPT_BYTES:
            self._bytes -= _size(self._kept.popitem(last=False)[1])
        return measured


def _size(measured: _Measured) -> int:
    return sum(part.nbytes for part in measured.features)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


# -- without weights ------------------------------------------------------------------------------


def _pixels() -> tuple[Callable[[], _Measure], str]:
    measure = _Measure(
        lambda image: (image,), lambda one, others: pixel_distances(one[0], [other[0] for other in others])
    )
    return lambda: measure, "pixels"


def _ssim() -> tuple[Callable[[], _Measure], str]:
    measure = _Measure(moments, ssim_distances, least=SSIM_WINDOW)  # type: ignore[arg-type]  # moments are features
    return lambda: measure, f"ssim, Gaussian {SSIM_WINDOW}"


# -- ST-LPIPS -------------------------------------------------------------------------------------

# Layer -> shape of its weights. A blur follows each of the first three; a linear layer weighs the channels of each.
_ST_LPIPS_LAYERS = {
    "net.slice1.0": (64, 3, 11, 11),
    "net.slice2.5": (192, 64, 5, 5),
    "net.slice3.9": (384, 192, 3, 3),
    "net.slice4.11": (256, 384, 3, 3),
    "net.slice5.13": (256, 256, 3, 3),
}


def _st_lpips_missing() -> MissingExtra:
    # The weight package asks for libraries that are not needed to read its weights, hence --no-deps.
    return MissingExtra(f"'st-lpips' (its weights: pip install --no-deps {_ST_LPIPS_PACKAGE}==0.0.2)", "images")


def _st_lpips() -> tuple[Callable[[], _Measure], str]:
    version = _version(_ST_LPIPS_PACKAGE, _st_lpips_missing)
    return _load_st_lpips, f"st-lpips {version} alex, bilinear to {_NETWORK_PIXELS}"


@functools.cache
def _load_st_lpips() -> _Measure:
    """ST-LPIPS on AlexNet: LPIPS on a network that hardly notices shifts.

    Its first convolution has stride 1 instead of 4 and its pooling stride 1 instead of 2; images shrink only where
    they are blurred first, before the rectifier in the first layer, with borders reflected. Features have length 1 at
    each place, squared differences are weighed by channel, averaged over places and added over the five layers. That
    is the squared distance of one long vector an image, once the weights' square roots are in it.
    """
    try:
        import torch
        from torch.nn import functional
    except ImportError:
        raise _st_lpips_missing() from None
    # Found, not imported: the package needs libraries that we do not.
    found = util.find_spec(_ST_LPIPS_PACKAGE.replace("-", "_"))
    if found is None or not found.submodule_search_locations:
        raise _st_lpips_missing()
    weights = _read_st_lpips(Path(found.submodule_search_locations[0]) / _ST_LPIPS_WEIGHTS)
    blur = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]], dtype=torch.float32) / 16

    def convolve(x: Any, layer: str, padding: int) -> Any:
        return functional.conv2d(x, weights[f"{layer}.weight"], weights[f"{layer}.bias"], padding=padding)

    def halve(x: Any) -> Any:
        channels = x.shape[1]
        padded = functional.pad(x, (2, 2, 2, 2), mode="reflect")
        return functional.conv2d(padded, blur.expand(channels, 1, 3, 3), stride=2, groups=channels)

    def layers(x: Any) -> Iterator[Any]:
        x = (x - weights["scaling_layer.shift"]) / weights["scaling_layer.scale"]
        names = list(_ST_LPIPS_LAYERS)
        x = functional.relu(halve(convolve(x, names[0], 2)))
        yield x
        for name, padding in zip(names[1:3], (2, 1), strict=True):
            x = functional.relu(convolve(halve(functional.max_pool2d(x, 3, stride=1)), name, padding))
            yield x
        for name in names[3:]:
            x = functional.relu(convolve(x, name, 1))
            yield x

    def features(image: NDArray[np.uint8]) -> Features:
        parts = []
        with torch.inference_mode():
            for at, x in enumerate(layers(_network_input(torch, image))):
                weight = weights[f"lin{at}.model.1.weight"].flatten()
                unit = x[0] / (x[0].square().sum(dim=0).sqrt() + 1e-10)
                heard = weight > 0  # channels of weight 0 would only take room
                part = unit[heard] * (weight[heard] / (x.shape[2] * x.shape[3])).sqrt()[:, None, None]
                parts.append(part.flatten().numpy())
        return (np.concatenate(parts),)

    return _Measure(features, _squared_distances, least=_LEAST_PIXELS)


def _read_st_lpips(path: Path) -> dict[str, Any]:
    import torch

    wanted: dict[str, tuple[int, ...]] = {"scaling_layer.shift": (1, 3, 1, 1), "scaling_layer.scale": (1, 3, 1, 1)}
    for at, (layer, shape) in enumerate(_ST_LPIPS_LAYERS.items()):
        wanted |= {f"{layer}.weight": shape, f"{layer}.bias": shape[:1], f"lin{at}.model.1.weight": (1, shape[0], 1, 1)}
    if not path.is_file():
        raise DataError(f"there are no weights of ST-LPIPS at {str(path)!r}; install {_ST_LPIPS_PACKAGE}==0.0.2 anew")
    other = DataError(f"{str(path)!r} holds no weights of ST-LPIPS on AlexNet; install {_ST_LPIPS_PACKAGE}==0.0.2 anew")
    try:
        weights: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError):
        raise other from None
    if not isinstance(weights, dict):
        raise other
    shapes = {name: tuple(getattr(weights.get(name), "shape", ())) for name in wanted}
    if shapes != wanted or any(bool((weights[f"lin{at}.model.1.weight"] < 0).any()) for at in range(5)):
        raise other
    return weights


def _squared_distances(one: Features, others: Sequence[Features]) -> NDArray[np.float64]:
    """Squared distances of long vectors; each added up by itself, in the order that NumPy always takes."""
    vector = one[0].astype(np.float64)
    distances = np.empty(len(others))
    for at, (other,) in enumerate(others):
        difference = vector - other
        distances[at] = np.square(difference, out=difference).sum()
    return distances


def _network_input(torch: Any, image: NDArray[np.uint8]) -> Any:
    """Pixels from -1 to 1, shape (1, 3, height, width), the shorter side at least 64."""
    x = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
    height, width = image.shape[:2]
    short = min(height, width)
    if short >= _NETWORK_PIXELS:
        return x
    size = [(side * _NETWORK_PIXELS + short // 2) // short for side in (height, width)]
    return torch.nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


# -- by their authors' packages -------------------------------------------------------------------


def _lpips() -> tuple[Callable[[], _Measure], str]:
    version = _version("lpips", lambda: MissingExtra("'lpips'", "perceptual"))
    return _load_lpips, f"lpips {version} alex, bilinear to {_NETWORK_PIXELS}"


@functools.cache
def _load_lpips() -> _Measure:
    try:
        import lpips
        import torch
    except ImportError:
        raise MissingExtra("'lpips'", "perceptual") from None
    with torch.random.fork_rng(devices=[]), _quiet():  # weights are drawn before they are read
        network = lpips.LPIPS(net="alex", verbose=False).eval()

    def features(image: NDArray[np.uint8]) -> Features:
        return (_network_input(torch, image).numpy(),)

    def distances(one: Features, others: Sequence[Features]) -> NDArray[np.float64]:
        x = torch.from_numpy(one[0])
        with torch.inference_mode():
            return np.array([float(network(x, torch.from_numpy(other[0]))) for other in others])

    return _Measure(features, distances, least=_LEAST_PIXELS)


def _dreamsim() -> tuple[Callable[[], _Measure], str]:
    version = _version("dreamsim", lambda: MissingExtra("'dreamsim'", "perceptual"))
    return _load_dreamsim, f"dreamsim {version} ensemble"


@functools.cache
def _load_dreamsim() -> _Measure:
    try:
        import torch
        from dreamsim import dreamsim
        from PIL import Image
    except ImportError:
        raise MissingExtra("'dreamsim'", "perceptual") from None
    folder = default_folder() / "dreamsim"
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]), _quiet():
        network, prepare = dreamsim(pretrained=True, device="cpu", cache_dir=str(folder))

    def features(image: NDArray[np.uint8]) -> Features:
        with torch.inference_mode():
            vector = network.embed(prepare(Image.fromarray(image))).flatten().numpy().astype(np.float64)
        return (vector / np.sqrt(np.square(vector).sum()),)

    def distances(one: Features, others: Sequence[Features]) -> NDArray[np.float64]:
        # One minus the cosine, as half a squared distance of unit vectors: exactly 0 for equal images.
        return _squared_distances(one, others) / 2

    return _Measure(features, distances, one_size=False)


def _version(package: str, missing: Callable[[], MissingExtra]) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        raise missing() from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Packages that print where they load from say it beside our output, not in it."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


_MEASURES: dict[str, Callable[[], tuple[Callable[[], _Measure], str]]] = {
    "dreamsim": _dreamsim,
    "lpips": _lpips,
    "pixels": _pixels,
    "ssim": _ssim,
    "st-lpips": _st_lpips,
}
