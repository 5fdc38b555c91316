"""The numbers printed for GMValuator (Yang et al., arXiv 2304.10701; ICLR 2025), as far as they can be had.

Those of the first version (``HELD_OUT``) are from its Table 1. The others are second hand: reviews of the later
version quote them, its complete tables were not to be had, and where the reviews do not say what k was, neither
can we. Nothing is printed for C3 but scatter plots.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ATTRIBUTES", "CLASSES", "HELD_OUT", "SECONDS", "TOTAL_SECONDS", "Agreement", "HeldOut"]


@dataclass(frozen=True)
class Agreement:
    """C1: share of the top contributors that have the class of the generated item; k is not stated.

    Args:
        ours: By matching re-ranked with DreamSim.
        tracin: By VAE-TracIn.
        generator: What generated.
    """

    ours: float
    tracin: float
    generator: str


CLASSES = {"mnist": Agreement(0.8878, 0.7200, "beta-VAE"), "cifar10": Agreement(0.7794, 0.0628, "beta-VAE")}
"""C1 by data set. The VAE underfits CIFAR-10, so its low number there says little about VAE-TracIn."""

ATTRIBUTES = {"Wearing_Hat": 0.96, "Eyeglasses": 0.95, "Male": 0.98}
"""C2 on CelebA at k = 5 with DreamSim: at least this share of the contributors has the attribute alike."""

SECONDS = {"no re-ranking": 0.250, "VAE-TracIn": 47.945}
"""C4: seconds a generated item, MNIST, VAE; on the authors' machine."""

TOTAL_SECONDS = {"no re-ranking": 2137, "DreamSim": 17_086, "IF4GAN": 14_543}
"""C4: seconds for everything, noisy MNIST, GAN; on the authors' machine."""


@dataclass(frozen=True)
class HeldOut:
    """First version, Table 1: one CIFAR-10 class halved, the generator trained on the first half alone.

    Args:
        trained: Mean value of the half trained on.
        held_out: Mean value of the other half.
        t: Statistic of the one-sided test that the first mean is larger.
        p: Its p-value, at a significance level of .01.
    """

    trained: float
    held_out: float
    t: float
    p: float


HELD_OUT = {
    "BigGAN": HeldOut(1.632352, 0.319654, 17.924512, 6.937027e-68),
    "diffusion": HeldOut(0.369565, 0.030434, 15.947860, 8.053195e-55),
}
"""By generator. The text calls the hypotheses by each other's names; this is the reading that fits the numbers."""
