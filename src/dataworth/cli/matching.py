"""From options to a rule of matching; an option that the chosen recall does not use is refused, never ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from dataworth.errors import MethodError, MissingExtra

if TYPE_CHECKING:
    from dataworth.valuation.methods import SimilarityMatch

__all__ = ["WORDS", "Quality", "Recall", "Rerank", "choose_match"]

WORDS = {
    "features=[...]": "--column COLUMN",
    "features=": "column=",
    "more probes, subvectors or candidates": "more --probes, --subvectors or --candidates",
    "more depth, links or candidates": "more --depth, --links or --candidates",
    "or a lower floor": "or a lower --floor",
    "leave rerank out": "leave --rerank out",
    "give Items(x, images=...), numbers, or a callable": "give images, or leave --quality out",
    "give Items(x, images=...)": "give images",
    "give Items(x, texts=...)": "give texts",
}
"""What messages about items say in Python -> what they say of options."""


class Recall(StrEnum):
    """How the nearest training items are found."""

    EXACT = "exact"
    IVFPQ = "ivfpq"
    HNSW = "hnsw"


class Rerank(StrEnum):
    """What measures pairs of images once more."""

    PIXELS = "pixels"
    SSIM = "ssim"
    ST_LPIPS = "st-lpips"
    LPIPS = "lpips"
    DREAMSIM = "dreamsim"


class Quality(StrEnum):
    """What an image is worth."""

    PIQE = "piqe"
    SHARPNESS = "sharpness"
    ENTROPY = "entropy"


def choose_match(
    recall: Recall | None, index: Mapping[str, object | None], options: Mapping[str, Any]
) -> SimilarityMatch:
    """The rule of matching that was asked for, checked.

    Args:
        recall: How to find matches; None for the default, which is exact.
        index: Every option of an approximate index, by the name of the parameter it sets; None where it was not given.
        options: Every other option of the rule, likewise.

    Raises:
        MethodError: An option that the recall does not use (the message says which does), or a value out of range.
        MissingExtra: What the rule needs is not installed; told now rather than when it is first used.
    """
    from dataworth.valuation.methods import SimilarityMatch

    found = recall or Recall.EXACT
    _refuse_unused(found, index)
    given = {name: value for name, value in options.items() if value is not None}
    if "candidates" in given and "rerank" not in given:
        raise MethodError("--candidates is how many --rerank measures; give --rerank too, or leave it out")
    if found is not Recall.EXACT:
        settings = {name: value for name, value in index.items() if value is not None}
        given["recall"] = _indexes()[found](**settings)
    rule = SimilarityMatch(**given)
    _check_installed(rule)
    return rule


def _refuse_unused(recall: Recall, index: Mapping[str, object | None]) -> None:
    for name, value in index.items():
        users = [kind for kind, record in _indexes().items() if name in {field.name for field in fields(record)}]
        if value is not None and recall not in users:
            raise MethodError(
                f"--{name.replace('_', '-')} is not used by --recall {recall}, but by {' and '.join(users)}"
            )


def _check_installed(rule: SimilarityMatch) -> None:
    from dataworth.models.perceptual import reranker

    if rule.rerank is not None:
        reranker(rule.rerank)
    if rule.recall != "exact" and find_spec("faiss") is None:
        raise MissingExtra("an approximate index (--recall)", "generated")
    if rule.quality == Quality.PIQE and find_spec("pypiqe") is None:
        raise MissingExtra("--quality piqe", "quality")


def _indexes() -> dict[Recall, type[Any]]:
    from dataworth.models.index import HNSW, IVFPQ

    return {Recall.IVFPQ: IVFPQ, Recall.HNSW: HNSW}
