"""A diffusion model that first learns from public images and then, under noise, from private ones; needs torch."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody calls it
from numpy.typing import NDArray
from scipy.special import ndtri

from dataworth.errors import DataError, InputError, MissingExtra
from dataworth.models.canvas import from_canvas, to_canvas
from dataworth.models.checkpoints import train_in_sittings
from dataworth.models.generators import GuidedDiffusion
from dataworth.models.networks import DiffusionRun
from dataworth.records.files import whole_file

__all__ = ["FineTuning", "Part", "PrivateDiffusion", "pretrained", "read_state", "tuned_names"]

Part: TypeAlias = Literal["classes", "conditions", "decoder", "all"]

_CONDITIONS = r"class_embedding|time_emb_proj|norm|\.bias$"
_PARTS = {
    "classes": "^class_embedding",
    "conditions": _CONDITIONS,
    "decoder": rf"{_CONDITIONS}|^up_blocks|^conv_out",
    "all": "",
}
_MICRO = 128  # noised images whose gradients are held at once
_BELOW_ONE = 1 - 1e-5  # clipping aims below the bound by more than float32 can err in the norm of a gradient


def pretrained(
    settings: GuidedDiffusion,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    folder: Path,
    seed: int = 0,
    progress: bool | None = None,
) -> dict[str, dict[str, torch.Tensor]]:
    """The weights of a model of public images, trained now or read where it was kept.

    Args:
        settings: Of the model.
        images: uint8, ``(n, height, width)`` or ``(n, height, width, 3)``.
        labels: The public class of each, ``(n,)``.
        folder: Where the model is kept; the same call opens the same file.
        seed: Of weights, batches and noise.
        progress: Show a progress bar; None shows it on a terminal only.

    Returns:
        ``network`` and ``average``: the weights that learned and their running mean.
    """
    canvas, (names, codes) = to_canvas(images), np.unique(labels, return_inverse=True)
    pixels, targets = torch.from_numpy(canvas), torch.from_numpy(codes.astype(np.int64))
    with _seeded(seed):
        run = DiffusionRun(settings, canvas.shape[1:], len(names))

        def update(draws: Any, done: int) -> Mapping[str, float]:
            at = torch.randint(len(pixels), (settings.batch,), generator=draws)
            return run.step(_scaled(pixels[at]), targets[at], draws, done)

        path = Path(folder) / f"public-{_key(settings, images, codes, seed)}.pt"
        train_in_sittings(
            run, update, path, steps=settings.steps, seed=seed + 1, what="on public images", progress=progress
        )
    return {"network": run.network.state_dict(), "average": run.average.state_dict()}


def tuned_names(network: Any, part: Part) -> list[str]:
    """Names of the parameters that private images may move."""
    return [name for name, _ in network.named_parameters() if re.search(_PARTS[part], name)]


class PrivateDiffusion:
    """A class-conditional diffusion model, from public weights to private fine-tuning.

    Args:
        settings: Of the model.
        shape: Of an image, ``(height, width)`` or ``(height, width, 3)``.
        n_classes: Classes it draws.
        seed: Of weights that public ones replace, and of the diffusion's noise on public images.
    """

    def __init__(self, settings: GuidedDiffusion, shape: tuple[int, ...], n_classes: int, *, seed: int) -> None:
        self.settings, self.shape, self.n_classes = settings, shape, n_classes
        canvas = to_canvas(np.zeros((1, *shape), np.uint8)).shape[1:]
        with _seeded(seed):
            self.run = DiffusionRun(settings, canvas, n_classes)
        self.draws = torch.Generator().manual_seed(seed + 1)

    def begin_from(self, weights: Mapping[str, Mapping[str, torch.Tensor]], mixture: NDArray[np.float64]) -> None:
        """Take over public weights; each class starts as a mixture of the public classes.

        Args:
            weights: What :func:`pretrained` returned.
            mixture: Rows sum to 1, ``(n_classes, public classes)``.
        """
        mix = torch.from_numpy(mixture).float()
        for name in ("network", "average"):
            state = dict(weights[name])
            table = state["class_embedding.weight"]
            state["class_embedding.weight"] = torch.cat([mix @ table[:-1], table[-1:]])
            getattr(self.run, name).load_state_dict(state)

    def learn_public(
        self,
        images: NDArray[np.uint8],
        draw: Callable[[int], tuple[NDArray[np.int64], NDArray[np.int64]]],
        steps: int,
        *,
        progress: bool | None = None,
    ) -> None:
        """Train on public images under the private classes' names.

        Args:
            images: uint8, ``(m, height, width)`` or ``(m, height, width, 3)``.
            draw: Places of images, and a class for each, as many as it is asked for.
            steps: Updates.
            progress: Show a progress bar; None shows it on a terminal only.
        """
        pixels = torch.from_numpy(to_canvas(images))
        self.run.settings = replace(self.settings, steps=max(1, steps))  # its learning rate falls toward the last step
        for step in _bar(steps, 0, "training on the chosen public images", progress):
            at, codes = draw(self.settings.batch)
            self.run.step(_scaled(pixels[torch.from_numpy(at)]), torch.from_numpy(codes), self.draws, step)

    def fine_tune(
        self,
        images: NDArray[np.uint8],
        codes: NDArray[np.int64],
        how: FineTuning,
        *,
        path: Path | None = None,
        about: str = "",
        progress: bool | None = None,
    ) -> None:
        """Train on private images by noisy, clipped gradients; goes on from the last step that was kept.

        Args:
            images: uint8, private, ``(n, height, width)`` or ``(n, height, width, 3)``; n is private too.
            codes: The class of each, ``(n,)``.
            how: Steps, clipping, noise, and who is let in.
            path: Where the state after every few steps is kept; None keeps none.
            about: What this training is, in words that the file keeps; another training's file is refused.
            progress: Show a progress bar, which counts steps and shows no loss; None shows it on a terminal only.

        Raises:
            DataError: The file is damaged or belongs to another training.
        """
        wrapped = _per_image(self.run.network, how.part)
        learning = [p for p in self.run.network.parameters() if p.requires_grad]
        optimiser = torch.optim.Adam(learning, how.learning_rate)
        done = self._resume(path, about, optimiser)
        if path is not None and not path.exists():
            self._keep(path, about, 0, optimiser)
        pixels, targets = torch.from_numpy(to_canvas(images)), torch.from_numpy(codes)
        for step in _bar(how.steps, done, "learning from private images under noise", progress):
            present = torch.from_numpy(np.flatnonzero(how.bits(len(images))))
            total = self.clipped_sum(wrapped, learning, pixels[present], targets[present], how)
            noisy = (total + how.clip * how.sigma * torch.from_numpy(how.noise(len(total)))) / how.expected_batch
            for parameter, piece in zip(learning, noisy.split([p.numel() for p in learning]), strict=True):
                parameter.grad = piece.view_as(parameter).float()
            self.run.network.class_embedding.weight.grad[-1] = 0  # "not told" is no image's class: nothing but noise
            optimiser.step()
            self.run.follow(self.run.average, self.run.network, step)
            if path is not None and ((step + 1) % how.keep_every == 0 or step + 1 == how.steps):
                self._keep(path, about, step + 1, optimiser)
        wrapped.remove_hooks()

    def clipped_sum(
        self, wrapped: Any, learning: list[Any], x: torch.Tensor, y: torch.Tensor, how: FineTuning
    ) -> torch.Tensor:
        """The sum over images of their gradients, each shortened to the clipping norm at most; float64, flat."""
        total = torch.zeros(sum(p.numel() for p in learning), dtype=torch.float64)
        at_once = max(1, _MICRO // how.repeats)
        for pixels, targets in zip(x.split(at_once), y.split(at_once), strict=True):
            if not len(pixels):
                break  # nobody was let in; the step is taken with noise alone
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Full backward hook")  # images and labels need no gradient
                self._losses(wrapped, pixels, targets, how).sum().backward()
            flat = torch.cat([p.grad_sample.flatten(1) for p in learning], 1)
            for p in learning:
                p.grad = p.grad_sample = None
            mean = flat.view(len(pixels), how.repeats, -1).mean(1)
            norm = mean.norm(dim=1)
            factor = torch.where(norm.isfinite(), _BELOW_ONE * how.clip / norm.clamp_min(how.clip), 0.0)
            total += (factor @ mean.nan_to_num(0.0, 0.0, 0.0)).double()
        return total

    def _losses(self, wrapped: Any, x: torch.Tensor, y: torch.Tensor, how: FineTuning) -> torch.Tensor:
        """The error of the predicted velocity, each image with several noises, at times spread over the schedule.

        Times and noises are secret and fresh for every image: drawn in public order, one image more would change
        those of all that come after it, and with them more of the sum than clipping allows.
        """
        patches = F.pixel_unshuffle(_scaled(x), self.settings.patch).repeat_interleave(how.repeats, 0)
        spread = (how.uniforms(len(x))[:, None] + np.arange(how.repeats)) / how.repeats
        times = torch.from_numpy((1000 * spread).astype(np.int64).ravel())
        noise = torch.from_numpy(ndtri(how.uniforms(patches.numel())).astype(np.float32)).view_as(patches)
        noisy = self.run.schedule.add_noise(patches, noise, times)
        found = wrapped(noisy, times, class_labels=y.repeat_interleave(how.repeats)).sample
        return (found - self.run.schedule.get_velocity(patches, noise, times)).square().mean((1, 2, 3))

    def sample(self, codes: NDArray[np.int64], seed: int) -> NDArray[np.uint8]:
        """One image a class code, by the averaged weights, uint8, ``(m, *shape)``."""
        return from_canvas(self.run.sample(codes, seed), self.shape)

    def _resume(self, path: Path | None, about: str, optimiser: Any) -> int:
        if path is None or not path.exists():
            return 0
        state = read_state(path, about)
        for part, name in ((self.run.network, "network"), (self.run.average, "average"), (optimiser, "optimiser")):
            part.load_state_dict(state[name])
        return int(state["step"])

    def _keep(self, path: Path, about: str, step: int, optimiser: Any) -> None:
        parts = {"network": self.run.network, "average": self.run.average, "optimiser": optimiser}
        state = {name: part.state_dict() for name, part in parts.items()}
        with whole_file(path) as temporary:
            torch.save({**state, "step": step, "about": about}, temporary)


@dataclass(frozen=True)
class FineTuning:
    """How private images move a model.

    Args:
        part: Which parameters they move: ``"classes"`` (one vector a class), ``"conditions"`` (what class and time say
            to each layer, norms and biases), ``"decoder"`` (those and the upward half), or ``"all"``.
        steps: Updates.
        clip: The most that one image adds to a sum of gradients, in L2.
        sigma: Scale of the noise on the sum, as a multiple of ``clip``.
        learning_rate: Of Adam.
        repeats: Noises, each at its own time, whose gradients are averaged within an image before clipping.
        expected_batch: What the noisy sum is divided by; public.
        keep_every: Steps between two states that are kept.
        bits: Whom a step lets in: as many independent bits as there are images.
        uniforms: Independent uniform numbers above 0 and below 1, float64, as many as asked for; as secret as noise.
        noise: Independent standard normal numbers, float64, as many as asked for.
    """

    part: Part
    steps: int
    clip: float
    sigma: float
    learning_rate: float
    repeats: int
    expected_batch: float
    keep_every: int
    bits: Callable[[int], NDArray[np.bool_]]
    uniforms: Callable[[int], NDArray[np.float64]]
    noise: Callable[[int], NDArray[np.float64]]


def read_state(path: Path, about: str) -> dict[str, Any]:
    """A kept state, if it belongs to this training.

    Raises:
        DataError: The file is damaged, or another training's.
    """
    import pickle

    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if set(state) != {"network", "average", "optimiser", "step", "about"}:
            raise ValueError("other parts")
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as trouble:
        raise DataError(
            f"the state of training {str(path)!r} cannot be read ({type(trouble).__name__}); what it cost is spent: "
            "put the file back, or begin a new release in another folder"
        ) from None
    if state["about"] != about:
        raise DataError(
            f"the state of training {str(path)!r} belongs to a release with other parameters; give another folder"
        )
    return state


def _per_image(network: Any, part: Part) -> Any:
    """The network with gradients of each image kept apart, for the parameters of one part."""
    try:
        from opacus import GradSampleModule
    except ImportError:
        raise MissingExtra("learning from private images", "synthesis") from None
    if part not in _PARTS:
        raise InputError(f"part must be one of {', '.join(_PARTS)}, not {part!r}")
    tuned = set(tuned_names(network, part))
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in tuned)
    return GradSampleModule(network.train(), loss_reduction="sum")


def _key(settings: GuidedDiffusion, images: NDArray[np.uint8], codes: NDArray[Any], seed: int) -> str:
    """What a model of public images is known by: all that went into its training."""
    learnt = {name: value for name, value in asdict(settings).items() if name not in ("guidance", "sampling_steps")}
    about = json.dumps({**learnt, "seed": seed, "shape": images.shape}, sort_keys=True)
    digest = hashlib.blake2b(about.encode(), digest_size=12)
    digest.update(np.ascontiguousarray(images).tobytes() + codes.astype("<i8").tobytes())
    return digest.hexdigest()


def _scaled(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.float().div_(127.5).sub_(1.0)


def _bar(steps: int, done: int, words: str, progress: bool | None) -> Iterator[int]:
    from tqdm.auto import tqdm

    hidden = None if progress is None else not progress
    yield from tqdm(range(done, steps), initial=done, total=steps, desc=words, disable=hidden, unit="step")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Torch's own generator seeded inside, and as it was outside."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
