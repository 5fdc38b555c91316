"""The two sides of a matching, training items and generated ones: what fits together, and what each brings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.data.images import read_image
from dataworth.errors import DataError, InputError, MethodError
from dataworth.models.embed import Model
from dataworth.models.index import IVFPQ, check_count
from dataworth.models.perceptual import Reranker, reranker
from dataworth.models.quality import quality
from dataworth.records import Items
from dataworth.records.items import Kind
from dataworth.valuation.items import embed_items
from dataworth.valuation.methods import SimilarityMatch
from dataworth.valuation.parameters import called
from dataworth.valuation.task import bar

__all__ = ["Vectors", "check_judged", "check_kinds", "check_task", "qualities", "quoted", "show_of", "x_of"]


def check_task(train: Items, method: object) -> SimilarityMatch:
    """Refuse what no matching can be made of, before anything is embedded.

    Raises:
        MethodError: Another kind of method, fewer training items than ``k`` or than its index learns from, or items
            that the reranker cannot look at.
    """
    if not isinstance(method, SimilarityMatch):
        raise MethodError(f"generated items are valued by SimilarityMatch(...), not by {method!r}")
    if len(train) < method.k:
        raise MethodError(
            f"k={method.k} training items share in each generated item, but there are {len(train)}; use a smaller k"
        )
    if isinstance(method.recall, IVFPQ):
        check_count(method.recall, len(train))
    if method.rerank is not None:
        _check_seen(reranker(method.rerank), train, "train")
    return method


def check_kinds(train: Items, generated: Items, method: SimilarityMatch) -> None:
    """Refuse two sides that are not alike, before anything is embedded.

    Raises:
        MethodError: Items that the reranker, or the quality, cannot look at.
    """
    if method.rerank is not None:
        _check_seen(reranker(method.rerank), generated, "generated")
        if train.kind != generated.kind:
            raise MethodError(
                f"rerank={quoted(method.rerank)} looks at pairs of one kind, but train holds {train.kind} and "
                f"generated {generated.kind}; give both sides the same"
            )
    check_judged(generated, method)


def check_judged(generated: Items, method: SimilarityMatch) -> None:
    """Refuse generated items that their quality cannot look at.

    Raises:
        MethodError: They are no images.
    """
    if isinstance(method.quality, str) and generated.kind != "images":
        raise MethodError(
            f"quality={method.quality!r} looks at images, but generated holds {_held(generated)}: give "
            "Items(x, images=...), numbers, or a callable"
        )


def _check_seen(judge: Reranker, items: Items, side: str) -> None:
    if judge.kind not in ("any", items.kind):
        raise MethodError(
            f"rerank={judge.name} looks at {judge.kind}, but {side} holds {_held(items)}: give "
            f"Items(x, {judge.kind}=...), or leave rerank out"
        )


def _held(items: Items) -> str:
    return "vectors alone" if items.kind == "vectors" else items.kind


# -- vectors ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Vectors:
    """Where the vectors of both sides come from: they must be of one kind, or distances between them mean nothing.

    Args:
        embed: The model that makes them, or None: the packaged one if the items bring no vectors.
        given: Whether the items bring them.
        kind: What the training items are.
    """

    embed: str | Model | None
    given: bool
    kind: Kind

    @classmethod
    def of(cls, train: Items, embed: str | Model | None) -> Vectors:
        """As the training items have it."""
        return cls(embed, embed is None and train.x is not None, train.kind)

    @property
    def source(self) -> str:
        """In words, for a provenance."""
        if self.given:
            return "given"
        if self.embed is None:
            return "the packaged model"
        return self.embed if isinstance(self.embed, str) else called(self.embed)

    def check(self, items: Items, side: str) -> None:
        """Refuse items that cannot have such vectors, before anything is embedded.

        Args:
            items: Of either side.
            side: What to call them in a message: ``"generated"`` or ``"train"``.

        Raises:
            DataError: The items bring vectors and those of the other side are embedded, or the other way round; or
                they are texts beside images.
        """
        if {self.kind, items.kind} == {"images", "texts"}:
            raise DataError(
                f"train holds {self.kind} and {side} {items.kind}; match like with like, or give vectors alone, of a "
                "model that knows both"
            )
        if items.content is None and not self.given:
            model = "the packaged model" if self.embed is None else f"embed={quoted(self.embed)}"
            raise DataError(
                f"{side} has vectors and nothing that can be embedded, but vectors of the other side are made by "
                f"{model}: give vectors of one model to both sides, or images or texts to both"
            )
        if self.embed is None and self.given != (items.x is not None):
            has, lacks = ("train", side) if self.given else (side, "train")
            raise DataError(
                f"{has} has vectors and {lacks} none, and both must be made by the same model: give x to both, or "
                "embed= to embed both sides anew"
            )

    def give(self, items: Items, progress: bool | None) -> Items:
        """Items that passed :meth:`check`, with vectors."""
        return items if self.given else embed_items(items, self.embed, progress=progress)


def quoted(judge: Any) -> str:
    """A name or a callable, for messages."""
    return repr(judge) if isinstance(judge, str) else called(judge)


# -- what items show -------------------------------------------------------------------------------


def show_of(items: Items) -> Callable[[int], Any]:
    """Position -> what a judge of items is given: RGB pixels, a text, or a vector where there is nothing else."""
    if items.content is None:
        return lambda i: x_of(items)[i]
    content = items.content
    if items.kind == "texts":
        return lambda i: content[i]
    return lambda i: read_image(i, content[i])


def qualities(method: SimilarityMatch, generated: Items, progress: bool | None) -> NDArray[np.float64]:
    """What every generated item is worth, ``(m,)``.

    Raises:
        DataError: The callable, or a file of an item, cannot be used.
        MethodError: Another number of qualities than of items.
    """
    given, m = method.quality, len(generated)
    if given is None:
        return np.ones(m)
    if isinstance(given, np.ndarray):
        if given.size != m:
            raise MethodError(f"quality holds {given.size} numbers, but there are {m} generated items; give one each")
        return given
    if not isinstance(given, str) and not callable(given):
        raise MethodError(f"quality cannot be {given!r}")
    with bar(m, f"judging by {quoted(given)}", progress) as tick:
        return quality(given, show_of(generated), m, tick)


def x_of(items: Items) -> NDArray[Any]:
    """The vectors of items that have them."""
    if items.x is None:
        raise InputError("items have no vectors; dataworth.embed_items makes them")
    return items.x
