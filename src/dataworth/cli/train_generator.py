"""``dataworth train-generator``: a small generator of images, trained on public ones."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataworth.cli.output import check_file, make_folder, say, show, show_json, write_text
from dataworth.errors import InputError

if TYPE_CHECKING:
    from dataworth.models.autoencoder import ImageCoder

__all__ = ["GeneratorKind", "train_generator"]


class GeneratorKind(StrEnum):
    """What can be trained."""

    AUTOENCODER = "autoencoder"


def _training(*names: str, help: str, metavar: str | None = None, min: float | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, min=min, rich_help_panel="Training")


def _output(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Output")


def train_generator(
    *,
    public: Annotated[
        Path,
        typer.Argument(
            metavar="PUBLIC",
            help="PUBLIC images of one size, at most 64 x 64: a folder of images, or an NPZ file with x, uint8.",
        ),
    ],
    label: Annotated[
        str | None,
        typer.Option(
            "--label",
            metavar="COLUMN",
            help="Paint by class: the column of labels; in a folder of images: folder. Default: no classes.",
        ),
    ] = None,
    kind: Annotated[
        GeneratorKind, _training("--kind", metavar="NAME", help="What to train: autoencoder.")
    ] = GeneratorKind.AUTOENCODER,
    steps: Annotated[int | None, _training("--steps", metavar="N", help="Updates; default 2,500.", min=1)] = None,
    batch: Annotated[int | None, _training("--batch", metavar="N", help="Images an update; default 64.", min=1)] = None,
    latent: Annotated[
        int | None, _training("--latent", metavar="N", help="Numbers that stand for an image; default 16.", min=1)
    ] = None,
    width: Annotated[
        int | None, _training("--width", metavar="N", help="Channels of the widest picture; default 24.", min=1)
    ] = None,
    beta: Annotated[
        float | None,
        _training("--beta", metavar="X", help="More than 1: smoother pictures that show less of an image; default 1."),
    ] = None,
    seed: Annotated[int, _training("--seed", metavar="N", help="Of weights, batches and noise.", min=0)] = 0,
    work: Annotated[
        Path | None,
        _training("--work", metavar="DIR", help="Keep checkpoints here, to go on after a stop. Default: beside --out."),
    ] = None,
    out: Annotated[
        Path,
        _output(
            "--out",
            metavar="FILE",
            help="Write the generator here (.npz); beside it a sheet of pictures (.png) and its losses (.csv).",
        ),
    ],
    as_json: Annotated[bool, _output("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Train a small generator of images. Its file shows what it learned from, so give it PUBLIC images only.

    Stopped, it goes on where it was when the same command is given again.
    """
    check_file(out, "--out", ".npz")
    sheet, losses = out.with_suffix(".png"), out.with_suffix(".csv")
    for path in (out, sheet, losses):
        if path.exists() and public.exists() and path.resolve() == public.resolve():
            raise InputError(f"--out would write over the images in {str(public)!r}; give it another name")
    if public.is_dir() and out.parent.resolve().is_relative_to(public.resolve()):
        raise InputError("--out lies in the folder of public images, so the next run would read its sheet; move it")
    given = {"steps": steps, "batch": batch, "latent": latent, "width": width, "beta": beta}

    from dataworth.models.autoencoder import Autoencoder, train_autoencoder
    from dataworth.valuation.image_coders import coder_sheet, losses_table, read_public_images

    settings = Autoencoder(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    folder = make_folder(out.with_suffix(".work") if work is None else work, "--work")
    images, labels = read_public_images(public, label=label)
    say(f"training on {len(images):,} public images; stop it any time, the same command goes on")
    coder = train_autoencoder(settings, images, labels, folder=folder, seed=seed)
    coder.save(out)
    write_picture(sheet, coder_sheet(coder, images, labels, seed=seed))
    write_text(losses, losses_table(coder).to_csv())
    written = {"generator": out, "sheet": sheet, "losses": losses, "checkpoints": folder}
    if as_json:
        show_json(_as_json(coder, len(images), written))
        return
    show([f"{kind.value} of {len(images):,} public images of {_sides(coder)}, trained in {coder.seconds:,.0f} s"])
    show([f"at the end: {', '.join(f'{name} {found[-1]:.1f}' for name, found in _losses(coder).items())}"])
    show([f"{what} written to {path}" for what, path in written.items() if what != "checkpoints"])
    show([f"checkpoints are in {folder}; delete it when you need no other training to start from it"])


def write_picture(path: Path, pixels: Any) -> None:
    """Write a PNG file that appears whole or not at all."""
    from dataworth.data.images import encoded
    from dataworth.records.files import whole_file

    with whole_file(path) as temporary:
        temporary.write_bytes(encoded(pixels))


def _as_json(coder: ImageCoder, images: int, written: dict[str, Path]) -> dict[str, Any]:
    return {
        "images": images,
        "shape": list(coder.shape),
        "classes": None if coder.classes is None else coder.classes.tolist(),
        "seconds": coder.seconds,
        "losses": {name: found[-1] for name, found in _losses(coder).items()},
        "digest": coder.digest,
        **{name: str(path) for name, path in written.items()},
    }


def _losses(coder: ImageCoder) -> dict[str, list[float]]:
    return {name: found for name, found in coder.losses.items() if name != "step" and found}


def _sides(coder: ImageCoder) -> str:
    return " x ".join(map(str, coder.shape))
