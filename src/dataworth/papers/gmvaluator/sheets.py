"""How a training went, as pictures: its losses, and a sheet of samples."""

from __future__ import annotations

import base64

import numpy as np

from dataworth.data.images import encoded, read_image
from dataworth.models.generators import Generator
from dataworth.records import Exhibit, Table
from dataworth.records.evidence import Cell

__all__ = ["loss_curves", "sample_sheet"]

ACROSS = 12  # samples a class
MOST_CLASSES = 10


def loss_curves(experiment: str, what: str, generator: Generator) -> Exhibit:
    """The losses of a training over its steps.

    Args:
        experiment: The experiment's name.
        what: What was trained on what.
        generator: The generator.
    """
    steps = generator.losses["step"]
    names = [name for name in generator.losses if name != "step"]
    columns: dict[str, list[Cell]] = {
        "step": [step for _ in names for step in steps],
        "loss": [loss for name in names for loss in generator.losses[name]],
        "of": [name for name in names for _ in steps],
    }
    title = f"Losses: {what}"
    table = Table(_slug(experiment, "losses", what), title, columns)
    last = ", ".join(f"{name} {generator.losses[name][-1]:.3f}" for name in names if generator.losses[name])
    return Exhibit(
        table.name,
        "curve",
        table,
        x="step",
        y="loss",
        series="of",
        alt=f"Losses over {steps[-1] if steps else 0:,.0f} steps; at the end: {last}.",
        caption=f"Trained in {generator.seconds:,.0f} s. Losses of adversarial networks are no measure of quality.",
    )


def sample_sheet(experiment: str, what: str, generator: Generator, seed: int) -> Exhibit:
    """A row of samples for each class, at most ten classes.

    Args:
        experiment: The experiment's name.
        what: What was trained on what.
        generator: The generator.
        seed: Of the samples.
    """
    classes = generator.classes[:MOST_CLASSES]
    drawn = generator.sample(np.repeat(classes, ACROSS), seed=seed)
    strips = [np.concatenate(list(drawn[i : i + ACROSS]), axis=1) for i in range(0, len(drawn), ACROSS)]
    pictures = [base64.b64encode(encoded(read_image(i, strip))).decode("ascii") for i, strip in enumerate(strips)]
    title = f"Samples: {what}"
    table = Table(
        _slug(experiment, "samples", what),
        title,
        {"class": classes.tolist(), "samples": [f"data:image/png;base64,{picture}" for picture in pictures]},
        f"{ACROSS} samples a class, none chosen.",
    )
    return Exhibit(table.name, "sheet", table, x="class", y="samples", alt=f"{title}.")


def _slug(*parts: str) -> str:
    return "-".join(" ".join(parts).replace(",", "").split())
