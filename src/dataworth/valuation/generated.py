"""The third job: what each training item is worth to what a generative model made, by likeness."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import MethodError
from dataworth.kernels import matching
from dataworth.kernels.team import team_size
from dataworth.models.embed import Model
from dataworth.models.perceptual import reranker
from dataworth.records import Attributions, Items, Table, Values
from dataworth.valuation.items import read_items
from dataworth.valuation.matching import Matcher, Matches, RecallCheck
from dataworth.valuation.methods import SimilarityMatch
from dataworth.valuation.provenance import provenance
from dataworth.valuation.sides import Vectors, check_kinds, check_task, qualities, quoted, x_of

__all__ = ["check_worth", "credited", "recall_table", "value_generated"]


def value_generated(
    generated: Any,
    train: Any,
    *,
    method: SimilarityMatch | None = None,
    embed: str | Model | None = None,
    threads: int | None = None,
    progress: bool | None = None,
) -> Values:
    """The value of every training item by its likeness to what a generative model made; nothing is trained.

    Each generated item's worth is divided among the training items that are most like it, exactly: its shares add up
    to its quality as real numbers, and a value is the exact sum of shares, rounded once. Whom a generated item is
    matched with depends on it and the training items alone.

    A value says what generated items resemble, which is not what they would be without the training item, and copies
    of an item earn credit that the original alone would have had.

    Args:
        generated: What the model made: :class:`Items`, or whatever :func:`read_items` takes.
        train: What it was trained on, the items to value, likewise.
        method: How to match; ``SimilarityMatch()`` if not given.
        embed: What makes vectors of both sides, as for :func:`embed_items`; vectors that items bring are then
            replaced. If not given, both sides bring vectors, or both are embedded by the packaged model.
        threads: How many threads search; by default one for each core.
        progress: Whether to show progress bars; by default only on a terminal.

    Returns:
        Values aligned with the ids of ``train``, with ``attributions``. The same for any number of threads, and, with
        the same vectors and qualities, for any order of the generated items. With an approximate ``recall`` the
        evidence says what the index missed.

    Raises:
        DataError: Vectors of different widths, vectors on one side only, zero vectors under cosine, texts beside
            images, or items that cannot be read.
        MethodError: Fewer training items than ``k``, items that the method cannot look at, or an index that misses
            more than its floor allows.
        MissingExtra: What the method or the embedding needs is not installed.

    Example:
        >>> import dataworth as dw
        >>> train = dw.Items([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], ids=["a", "b", "c"])
        >>> made = dw.Items([[1.0, 0.1], [0.1, 1.0]], ids=["new 1", "new 2"])
        >>> credit = dw.value_generated(made, train, method=dw.SimilarityMatch(k=2))
        >>> credit.values.round(3)
        array([0.535, 0.886, 0.579])
        >>> credit.attributions.of_generated("new 1").columns["id"]
        ('a', 'b')
    """
    began, workers = time.perf_counter(), team_size(threads)
    rule = SimilarityMatch() if method is None else method
    source, made = read_items(train), read_items(generated)
    check_task(source, rule)
    check_kinds(source, made, rule)
    vectors = Vectors.of(source, embed)
    vectors.check(source, "train")
    vectors.check(made, "generated")
    source, made = vectors.give(source, progress), vectors.give(made, progress)
    matcher = Matcher.of(source, rule, workers)
    matcher.check_fits(made)
    worth = qualities(rule, made, progress)
    check = matcher.check_recall(made, workers)
    at = np.empty((len(made), rule.k), dtype=np.int64)
    distance = np.empty(at.shape)

    def keep(panel: slice, matches: Matches) -> None:
        at[panel], distance[panel] = matches.at, matches.distance

    again = matcher.match(made, threads=workers, progress=progress, keep=keep)
    return credited(
        source, made.ids, at, distance, worth, rule,
        vectors=vectors, skipped=len(made.skipped), again=again, checks=[] if check is None else [check],
        threads=workers, began=began,
    )  # fmt: skip


# -- credit ----------------------------------------------------------------------------------------


def credited(
    train: Items,
    generated_ids: NDArray[Any],
    at: NDArray[np.int64],
    distance: NDArray[np.float64],
    worth: NDArray[np.float64],
    method: SimilarityMatch,
    *,
    vectors: Vectors,
    skipped: int,
    again: int,
    checks: Sequence[RecallCheck],
    threads: int,
    began: float,
) -> Values:
    """Values from matches: the last step of every way to them.

    Args:
        train: The items that are valued.
        generated_ids: ``(m,)``.
        at: Matches, ``(m, k)``.
        distance: Of the matches, ``(m, k)``.
        worth: Of the generated items, ``(m,)``.
        method: How they were matched.
        vectors: Where vectors came from.
        skipped: How many generated items could not be read.
        again: How many were searched exactly since an index found too few for them.
        checks: What the index missed, batch by batch.
        threads: How many threads worked.
        began: When it began, from ``time.perf_counter``.
    """
    check_worth(worth)
    share = matching.credit(distance, worth, method.temperature)
    values = matching.add_credit(at, share, len(train))
    about = provenance(len(train), x_of(train).shape[1], 0, "float32", threads, began)
    del about["classes"]  # nobody votes
    settings = method.recall
    about |= {
        "generated": len(generated_ids),
        "k": method.k,
        "temperature": float(method.temperature),
        "metric": method.metric,
        "recall": settings if isinstance(settings, str) else type(settings).__name__,
        "candidates": method.recalled(len(train)),
        "rerank": "none" if method.rerank is None else reranker(method.rerank).identity or quoted(method.rerank),
        "vectors": vectors.source,
        "skipped in train": len(train.skipped),
        "skipped in generated": skipped,
    }
    evidence = []
    if checks:
        about |= _recall_facts(checks) | {"searched again exactly": again}
        evidence.append(recall_table(checks, method.k, method.recalled(len(train))))
    return Values(
        train.ids,
        values,
        owners=train.owners,
        method=repr(method),
        n_validation=len(generated_ids),
        provenance=about,
        evidence=evidence,
        attributions=Attributions(train.ids, generated_ids, at, distance, share, train.owners),
    )


def check_worth(worth: NDArray[np.float64]) -> None:
    """Refuse qualities whose sums no float64 holds.

    Args:
        worth: Of the generated items, ``(m,)``.

    Raises:
        MethodError: They add up beyond its range.
    """
    with np.errstate(over="ignore"):
        bounded = worth.sum() < np.finfo(np.float64).max / 2
    if not bounded:
        raise MethodError("qualities add up beyond the range of float64; give them on a smaller scale")


def _recall_facts(checks: Sequence[RecallCheck]) -> dict[str, str | int | float]:
    size = sum(check.sample for check in checks)
    return {
        "recall at k": round(sum(check.recall_k * check.sample for check in checks) / size, 4),
        "recall at candidates": round(sum(check.recall_candidates * check.sample for check in checks) / size, 4),
        "searched exactly to check": size,
        "build seconds": round(checks[-1].build_seconds, 3),
    }


def recall_table(checks: Sequence[RecallCheck], k: int, recalled: int) -> Table:
    """What an approximate index missed, one line a batch of generated items."""
    columns: dict[str, list[str | int | float]] = {
        "index": [check.index for check in checks],
        "build seconds": [check.build_seconds for check in checks],
        "search seconds": [check.search_seconds for check in checks],
        "exact seconds": [check.exact_seconds for check in checks],
        "recall@k": [check.recall_k for check in checks],
        "recall@candidates": [check.recall_candidates for check in checks],
        "sample": [check.sample for check in checks],
    }
    return Table(
        "recall-check",
        "What the approximate index found of the exactly nearest",
        columns,
        note=f"Generated items, evenly spread over each batch, were searched exactly too: of their {k} nearest "
        f"training items the share that the index found (recall@k), and of their {recalled} nearest "
        "(recall@candidates). Seconds are for building the index and for finding the candidates of the sample.",
    )
