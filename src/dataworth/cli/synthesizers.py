"""Synthesizers from the options of ``dataworth synthesize``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataworth.errors import InputError, MissingExtra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dataworth.records import Points
    from dataworth.synthesis.protocol import Synthesizer

__all__ = ["Maker", "MakerOptions", "build"]


class Maker(StrEnum):
    """The synthesizers by the names they have on the command line."""

    PRIVATE_EVOLUTION = "private-evolution"
    PRIVIMAGE = "privimage"
    MARGINALS = "marginals"
    READY = "ready"


@dataclass(frozen=True)
class MakerOptions:
    """What the options say about a synthesizer, None where they say nothing.

    Args:
        size: Synthetic rows to make.
        rounds: Of Private Evolution.
        population: Of Private Evolution, in each class.
        votes: Of each row, in each round of Private Evolution.
        categories: Columns that hold categories.
        vectors: Whether rows are vectors, such as embeddings, whose columns do not stand for themselves.
        generator: A trained autoencoder of public images.
        cache: Where PrivImage keeps its public model.
        ready: Synthetic rows made elsewhere.
        made_by: What made them.
        ready_epsilon: What they have cost, as declared.
        ready_delta: The same.
    """

    size: int | None = None
    rounds: int | None = None
    population: int | None = None
    votes: int | None = None
    categories: tuple[str, ...] = ()
    vectors: bool = False
    generator: Path | None = None
    cache: Path | None = None
    ready: Path | None = None
    made_by: str | None = None
    ready_epsilon: str | None = None
    ready_delta: str | None = None


_OF = {
    Maker.PRIVATE_EVOLUTION: {"size", "rounds", "population", "votes", "categories", "vectors", "generator"},
    Maker.PRIVIMAGE: {"size", "cache"},
    Maker.MARGINALS: {"size", "categories"},
    Maker.READY: {"ready", "made_by", "ready_epsilon", "ready_delta"},
}


def build(
    maker: Maker,
    options: MakerOptions,
    public: Points,
    image_shape: tuple[int, ...] | None,
    classes: NDArray[Any],
    label: str | None,
    declared: tuple[str, str],
) -> Synthesizer:
    """The synthesizer that the options describe.

    Args:
        maker: Which.
        options: Its parameters.
        public: Public rows, with the columns of the private ones.
        image_shape: Of their images, if they are such.
        classes: The public list of labels.
        label: The column of labels of a ready file.
        declared: Epsilon and delta of ready rows.

    Raises:
        InputError: Options that it does not have, or lacks.
        MissingExtra: Something it needs is not installed.
    """
    for name, given in vars(options).items():
        if given and name not in _OF[maker]:
            raise InputError(
                f"--{name.replace('_', '-')} is not an option of --synthesizer {maker.value}; leave it out"
            )
    if image_shape is None and maker is Maker.PRIVIMAGE:
        raise InputError("--synthesizer privimage makes images: give folders of images, or say --image-shape")
    _check_installed(maker)
    match maker:
        case Maker.PRIVATE_EVOLUTION:
            return _evolution(options, public, image_shape)
        case Maker.PRIVIMAGE:
            from dataworth.synthesis.privimage import PrivImage

            return PrivImage.small(public.x, image_shape or (), size=options.size, cache=options.cache)
        case Maker.MARGINALS:
            from dataworth.synthesis.candidates import TableDomain
            from dataworth.synthesis.tabular import PrivateMarginals, likely_pairs

            domain = TableDomain.of(public, categories=options.categories)
            return PrivateMarginals(domain, pairs=likely_pairs(public, domain), rows=options.size)
        case Maker.READY:
            return _ready(options, public, classes, label, declared)


def _check_installed(maker: Maker) -> None:
    """Refuse, before anything is charged, what would fail after it.

    Raises:
        MissingExtra: Something that the synthesizer needs is not installed.
    """
    needed = {
        Maker.PRIVIMAGE: ("PrivImage", "synthesis", ("torch", "diffusers", "opacus")),
        Maker.MARGINALS: ("fitting marginals", "marginals", ("mbi",)),
    }
    if maker in needed:
        feature, extra, modules = needed[maker]
        if any(find_spec(module) is None for module in modules):
            raise MissingExtra(feature, extra)


def _evolution(options: MakerOptions, public: Points, image_shape: tuple[int, ...] | None) -> Synthesizer:
    from dataworth.synthesis.candidates import EmbeddingCandidates, TableCandidates, TableDomain
    from dataworth.synthesis.private_evolution import PrivateEvolution

    candidates: Any
    if options.generator is not None:
        from dataworth.models.autoencoder import load_coder
        from dataworth.synthesis.image_candidates import ImageCandidates

        candidates = ImageCandidates(load_coder(options.generator))
        if candidates.image_shape != image_shape:
            raise InputError(f"--generator paints images of {candidates.image_shape}, but the rows are {image_shape}")
    elif image_shape is not None:
        raise InputError(
            "Private Evolution of images needs a generator of public ones: give --generator, from "
            "dataworth train-generator"
        )
    elif options.vectors:
        candidates = EmbeddingCandidates(public.x)
    else:
        domain = TableDomain.of(public, categories=options.categories)
        candidates = TableCandidates(domain, public=public.x)
    more = {name: given for name in ("rounds", "population", "votes") if (given := getattr(options, name)) is not None}
    return PrivateEvolution(candidates, size="noised" if options.size is None else options.size, **more)


def _ready(
    options: MakerOptions, public: Points, classes: NDArray[np.generic], label: str | None, declared: tuple[str, str]
) -> Synthesizer:
    from dataworth.synthesis.ready import ReadyFile

    if options.ready is None or options.made_by is None:
        raise InputError("--synthesizer ready takes rows made elsewhere: give --ready FILE and --made-by TEXT")
    features = None if public.features is None else list(public.features)
    return ReadyFile(options.ready, classes, *declared, made_by=options.made_by, label=label, features=features)
