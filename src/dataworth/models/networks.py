"""The networks behind the generators, and one update of each; imported only where torch is there."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody calls it
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from dataworth.errors import MissingExtra
from dataworth.models.generators import ConditionalGAN, GuidedDiffusion

__all__ = ["DiffusionRun", "GANRun"]

_BATCH = 250  # images sampled at once; fixed, so that a seed gives the same images on any machine size
_AVERAGED = 0.999


class _Run:
    """What both generators share: weights that learn, their average that samples, and how they are kept."""

    def __init__(self, **parts: Any) -> None:
        self._parts = parts

    def state(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load(self, state: dict[str, Any]) -> None:
        for name, part in self._parts.items():
            part.load_state_dict(state[name])

    @staticmethod
    @torch.no_grad()
    def follow(average: nn.Module, learning: nn.Module, step: int) -> None:
        """Move the averaged weights toward the learning ones, faster while training is young."""
        slow = min(_AVERAGED, (1 + step) / (10 + step))
        for ours, theirs in zip(average.parameters(), learning.parameters(), strict=True):
            ours.lerp_(theirs, 1 - slow)
        for ours, theirs in zip(average.buffers(), learning.buffers(), strict=True):
            ours.copy_(theirs)


# -- adversarial -----------------------------------------------------------------------------------


class _ClassNorm(nn.Module):
    """Batch normalisation whose scale and shift belong to the class (de Vries et al., 2017).

    With the class given at the entrance only, and a thousand images, one picture a class was all that was learned.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.style = nn.Embedding(classes, 2 * channels)
        nn.init.zeros_(self.style.weight)

    def forward(self, h: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        scale, shift = self.style(y)[:, :, None, None].chunk(2, 1)
        return self.norm(h) * (1 + scale) + shift


class _Painter(nn.Module):
    """Latent numbers and a class -> an image in [-1, 1]."""

    def __init__(self, shape: tuple[int, int, int], classes: int, width: int, latent: int) -> None:
        super().__init__()
        self.high, self.wide = shape[1] // 8, shape[2] // 8
        self.start = nn.Linear(latent, 4 * width * self.high * self.wide)
        self.norms = nn.ModuleList(_ClassNorm(c, classes) for c in (4 * width, 2 * width, width))
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(4 * width, 2 * width, 3, padding=1),
                nn.Conv2d(2 * width, width, 3, padding=1),
                nn.Conv2d(width, 4 * shape[0], 3, padding=1),
            ]
        )

    def forward(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        h = self.start(z).view(len(z), -1, self.high, self.wide)
        for i, (norm, layer) in enumerate(zip(self.norms, self.layers, strict=True)):
            h = layer(F.interpolate(F.relu(norm(h, y)), scale_factor=1 if i == 0 else 2))
        return torch.tanh(F.pixel_shuffle(h, 2))


class _Critic(nn.Module):
    """An image and a class -> how real it looks."""

    def __init__(self, shape: tuple[int, int, int], classes: int, width: int) -> None:
        super().__init__()
        flat = 4 * width * (shape[1] // 8) * (shape[2] // 8)
        self.layers = nn.ModuleList(
            [
                spectral_norm(nn.Conv2d(4 * shape[0], width, 3, padding=1)),
                spectral_norm(nn.Conv2d(width, 2 * width, 4, 2, 1)),
                spectral_norm(nn.Conv2d(2 * width, 4 * width, 4, 2, 1)),
            ]
        )
        self.dense = spectral_norm(nn.Linear(flat, 4 * width))
        self.real = spectral_norm(nn.Linear(4 * width, 1))
        self.label = spectral_norm(nn.Embedding(classes, 4 * width))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        h = F.pixel_unshuffle(x, 2)
        for layer in self.layers:
            h = F.leaky_relu(layer(h), 0.2)
        h = F.leaky_relu(self.dense(h.flatten(1)), 0.2)
        return self.real(h)[:, 0] + (self.label(y) * h).sum(1)


class GANRun(_Run):
    """A conditional adversarial network in training."""

    def __init__(self, settings: ConditionalGAN, shape: tuple[int, int, int], classes: int) -> None:
        self.settings, self.classes = settings, classes
        self.painter = _Painter(shape, classes, settings.width, settings.latent)
        self.average = copy.deepcopy(self.painter).eval()
        self.critic = _Critic(shape, classes, settings.width)
        rate = settings.learning_rate
        self.paint = torch.optim.Adam(self.painter.parameters(), rate, betas=(0.0, 0.9))
        self.judge = torch.optim.Adam(self.critic.parameters(), 2 * rate, betas=(0.0, 0.9))
        super().__init__(
            painter=self.painter, average=self.average, critic=self.critic, paint=self.paint, judge=self.judge
        )

    def step(self, x: torch.Tensor, y: torch.Tensor, draws: torch.Generator, done: int) -> dict[str, float]:
        """One update of the critic and one of the painter."""
        n, latent = len(x), self.settings.latent
        with torch.no_grad():
            fake = self.painter(torch.randn(n, latent, generator=draws), y)
        scores = self.critic(torch.cat([x, fake]), torch.cat([y, y]))
        critic = F.relu(1 - scores[:n]).mean() + F.relu(1 + scores[n:]).mean()
        self.judge.zero_grad()
        critic.backward()
        self.judge.step()
        other = torch.randint(self.classes, (n,), generator=draws)
        painter = -self.critic(self.painter(torch.randn(n, latent, generator=draws), other), other).mean()
        self.paint.zero_grad()
        painter.backward()
        self.paint.step()
        self.follow(self.average, self.painter, done)
        return {"critic": critic.item(), "generator": painter.item()}

    @torch.inference_mode()
    def sample(self, codes: NDArray[np.int64], seed: int) -> NDArray[np.float32]:
        """Images in [-1, 1] of the given classes, ``(m, channels, height, width)``."""
        draws = torch.Generator().manual_seed(seed)
        z = torch.randn(len(codes), self.settings.latent, generator=draws)
        parts = zip(z.split(_BATCH), torch.from_numpy(codes).split(_BATCH), strict=True)
        return np.concatenate([self.average(*part).numpy() for part in parts])


# -- diffusion -------------------------------------------------------------------------------------


class DiffusionRun(_Run):
    """A guided diffusion model in training."""

    def __init__(self, settings: GuidedDiffusion, shape: tuple[int, int, int], classes: int) -> None:
        try:
            from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
        except ImportError:
            raise MissingExtra("a diffusion model", "generators") from None
        self.settings, self.classes = settings, classes
        levels, seen = len(settings.channels), shape[0] * settings.patch**2
        self.shape = (seen, shape[1] // settings.patch, shape[2] // settings.patch)
        self.network = UNet2DModel(
            sample_size=self.shape[1:],
            in_channels=seen,
            out_channels=seen,
            layers_per_block=1,
            block_out_channels=settings.channels,
            down_block_types=("DownBlock2D",) * levels,
            up_block_types=("UpBlock2D",) * levels,
            norm_num_groups=8,
            add_attention=False,
            num_class_embeds=classes + 1,  # the last one stands for "not told"
        )
        self.average = copy.deepcopy(self.network).eval()
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), settings.learning_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True
        )
        self.schedule = DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")
        self.sampler = DDIMScheduler.from_config(self.schedule.config)
        super().__init__(network=self.network, average=self.average, optimiser=self.optimiser)

    def step(self, x: torch.Tensor, y: torch.Tensor, draws: torch.Generator, done: int) -> dict[str, float]:
        """One update."""
        patches = F.pixel_unshuffle(x, self.settings.patch)
        hidden = torch.rand(len(y), generator=draws) < self.settings.unlabelled
        labels = torch.where(hidden, self.classes, y)
        times = torch.randint(1000, (len(y),), generator=draws)
        noise = torch.randn(patches.shape, generator=draws)
        noisy = self.schedule.add_noise(patches, noise, times)
        velocity = self.schedule.get_velocity(patches, noise, times)
        with torch.autocast("cpu", torch.bfloat16):
            found = self.network(noisy, times, class_labels=labels).sample
        loss = F.mse_loss(found.float(), velocity)
        self.optimiser.param_groups[0]["lr"] = self._rate(done)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.follow(self.average, self.network, done)
        return {"loss": loss.item()}

    def _rate(self, done: int) -> float:
        """The learning rate: a short warm-up, then level, then down to a tenth over the last fifth."""
        left = (self.settings.steps - done) / (0.2 * self.settings.steps)
        return self.settings.learning_rate * min(1.0, (done + 1) / 200, 0.1 + 0.9 * left)

    @torch.inference_mode()
    def sample(self, codes: NDArray[np.int64], seed: int) -> NDArray[np.float32]:
        """Images in [-1, 1] of the given classes, ``(m, channels, height, width)``."""
        draws = torch.Generator().manual_seed(seed)
        start = torch.randn((len(codes), *self.shape), generator=draws)
        parts = zip(start.split(_BATCH), torch.from_numpy(codes).split(_BATCH), strict=True)
        return np.concatenate([self._denoise(x, y) for x, y in parts])

    def _denoise(self, x: torch.Tensor, y: torch.Tensor) -> NDArray[np.float32]:
        untold, strength = torch.full_like(y, self.classes), self.settings.guidance
        self.sampler.set_timesteps(self.settings.sampling_steps)
        for t in self.sampler.timesteps:
            with torch.autocast("cpu", torch.bfloat16):
                told = self.average(x, t, class_labels=y).sample.float()
                if strength:
                    plain = self.average(x, t, class_labels=untold).sample.float()
                    told = plain + (1 + strength) * (told - plain)
            x = self.sampler.step(told, t, x, use_clipped_model_output=True).prev_sample
        return np.asarray(F.pixel_shuffle(x, self.settings.patch).numpy())
