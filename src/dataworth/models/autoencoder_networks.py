"""The networks of the autoencoder, and one update of them; imported only where torch is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody calls it
from numpy.typing import NDArray
from torch import nn

from dataworth.models.autoencoder import Autoencoder

__all__ = ["AutoencoderRun"]

_BATCH = 250  # images at once when nothing is learned


class AutoencoderRun:
    """A variational autoencoder, in training or trained.

    The reader sees an image and no class, so that a private image can be read whatever its class; the painter is told
    the class where there are classes.

    Args:
        settings: How large.
        shape: Of the canvas: channels, height and width, both multiples of eight.
        classes: How many the painter is told of; 0 for none.
    """

    def __init__(self, settings: Autoencoder, shape: tuple[int, ...], classes: int) -> None:
        channels, high, wide = shape[0], shape[1] // 8, shape[2] // 8
        width, latent = settings.width, settings.latent
        flat = 4 * width * high * wide
        self.settings, self.classes = settings, classes
        self.reader = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * channels, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(2 * width, 4 * width, 4, 2, 1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(flat, 2 * latent),
        )
        self.painter = nn.Sequential(
            nn.Linear(latent + classes, flat),
            nn.SiLU(),
            nn.Unflatten(1, (4 * width, high, wide)),
            nn.Conv2d(4 * width, 8 * width, 3, padding=1),
            nn.PixelShuffle(2),
            nn.SiLU(),
            nn.Conv2d(2 * width, 4 * width, 3, padding=1),
            nn.PixelShuffle(2),
            nn.SiLU(),
            nn.Conv2d(width, 4 * channels, 3, padding=1),
            nn.PixelShuffle(2),
        )
        self._networks = nn.ModuleDict({"reader": self.reader, "painter": self.painter})
        self._optimiser = torch.optim.AdamW(
            self._networks.parameters(), settings.learning_rate, weight_decay=0.0, fused=True
        )

    def step(
        self, pixels: torch.Tensor, codes: torch.Tensor | None, draws: torch.Generator, done: int
    ) -> dict[str, float]:
        """One update.

        Args:
            pixels: uint8, ``(batch, channels, height, width)``.
            codes: Classes, where there are any.
            draws: All randomness comes from it.
            done: Updates before this one.
        """
        x = pixels.float().div_(255)
        with torch.autocast("cpu", torch.bfloat16):
            mean, log_variance = self.reader(x).float().chunk(2, 1)
            log_variance = log_variance.clamp(-10, 4)
            z = mean + torch.randn(mean.shape, generator=draws) * (log_variance / 2).exp()
            painted = self.painter(self._told(z, codes)).float()
        surprise = F.binary_cross_entropy_with_logits(painted, x, reduction="sum") / len(x)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        loss = surprise + self.settings.beta * divergence
        self._optimiser.param_groups[0]["lr"] = self._rate(done)
        self._optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._networks.parameters(), 200.0)
        self._optimiser.step()
        return {"surprise": surprise.item(), "divergence": divergence.item()}

    def _rate(self, done: int) -> float:
        left = (self.settings.steps - done) / (0.4 * self.settings.steps)
        return self.settings.learning_rate * min(1.0, (done + 1) / 100, 0.02 + 0.98 * left)

    def _told(self, z: torch.Tensor, codes: torch.Tensor | None) -> torch.Tensor:
        return z if codes is None else torch.cat([z, F.one_hot(codes, self.classes).to(z.dtype)], 1)

    def state(self) -> dict[str, Any]:
        """Weights and the state of their optimiser."""
        return {"networks": self._networks.state_dict(), "optimiser": self._optimiser.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Put back what :meth:`state` gave."""
        self._networks.load_state_dict(state["networks"])
        self._optimiser.load_state_dict(state["optimiser"])

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The weights by name."""
        return {name: weight.numpy() for name, weight in self._networks.state_dict().items()}

    def put_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Put back what :meth:`weights` gave.

        Raises:
            RuntimeError: Other names or shapes.
        """
        self._networks.load_state_dict({name: torch.from_numpy(weight) for name, weight in weights.items()})

    def encode(self, canvas: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Mean latent numbers of a canvas, ``(n, latent)``."""
        with torch.inference_mode():
            parts = torch.from_numpy(canvas).split(_BATCH)
            return np.concatenate([self.reader(part.float().div_(255)).chunk(2, 1)[0].numpy() for part in parts])

    def decode(self, latents: NDArray[np.float32], codes: NDArray[np.int64] | None) -> NDArray[np.float32]:
        """A canvas of pixels in [-1, 1]."""
        with torch.inference_mode():
            parts = self._told(torch.from_numpy(latents), None if codes is None else torch.from_numpy(codes))
            return np.concatenate(
                [self.painter(part).sigmoid_().mul_(2).sub_(1).numpy() for part in parts.split(_BATCH)]
            )
