"""From generated items to their matches, panel by panel: recall by vectors, and a second look where one is asked for.

Whom a generated item is matched with depends on that item, the training items and the method alone. So a batch of
generated items may be matched today and another tomorrow, and nobody can tell from the matches.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError, MethodError
from dataworth.kernels import matching, neighbors
from dataworth.kernels.neighbors import Judges, Rows
from dataworth.kernels.team import Tick, blocks
from dataworth.models.index import HNSW, IVFPQ, ApproximateIndex, build
from dataworth.models.perceptual import Reranker, reranker
from dataworth.records import Items
from dataworth.valuation.methods import SimilarityMatch
from dataworth.valuation.sides import quoted, show_of, x_of
from dataworth.valuation.task import bar

__all__ = ["FLOAT32_REACH", "Matcher", "Matches", "RecallCheck", "check_directions", "largest"]

# Generated items whose candidates are held at once, and how many candidates all of them may have.
_PANEL = 8192
_CANDIDATES = 4_000_000
# Beyond this, squared lengths come near the end of float32.
FLOAT32_REACH = 1e15


# -- matches ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RecallCheck:
    """What an approximate index missed, and what it took, on generated items that were searched exactly too.

    Args:
        index: Which index, as text.
        sample: How many generated items were looked at.
        recall_k: Of the ``k`` exactly nearest, the share that it found.
        recall_candidates: Of as many exactly nearest as are recalled.
        build_seconds: What building the index took.
        search_seconds: What finding the candidates of the sample took.
        exact_seconds: What finding them exactly took.
    """

    index: str
    sample: int
    recall_k: float
    recall_candidates: float
    build_seconds: float
    search_seconds: float
    exact_seconds: float


@dataclass(frozen=True, eq=False)
class Matches:
    """Whom some generated items are matched with.

    Args:
        at: Positions of the matches among the training items, nearest first, int64 ``(m, k)``.
        distance: In the unit of what ranked them, float64 ``(m, k)``.
        candidates: Positions of all that were recalled, ``(m, c)``.
        recalled: Distances of their vectors, ``(m, c)``.
    """

    at: NDArray[np.int64]
    distance: NDArray[np.float64]
    candidates: NDArray[np.int64]
    recalled: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Matcher:
    """Training items made ready, once, to be matched with; made by :meth:`of`.

    Args:
        train: With vectors.
        method: How.
        reranker: What measures the recalled again, if anything.
        threads: How many threads make them ready.
    """

    train: Items
    method: SimilarityMatch
    reranker: Reranker | None
    threads: int

    @classmethod
    def of(cls, train: Items, method: SimilarityMatch, threads: int) -> Matcher:
        """Training items that a method can match with.

        Raises:
            DataError: Zero vectors under cosine.
        """
        if method.metric == "cosine":
            check_directions(train, "train")
        return cls(train, method, None if method.rerank is None else reranker(method.rerank), threads)

    @property
    def recalled(self) -> int:
        """How many training items are recalled for each generated item."""
        return self.method.recalled(len(self.train))

    # -- matching --------------------------------------------------------------------------------

    def check_fits(self, generated: Items) -> None:
        """Refuse vectors that have no distance to those of the training items.

        Raises:
            DataError: Vectors of another width, zero vectors under cosine, or numbers out of reach.
        """
        ours, theirs = x_of(self.train).shape[1], x_of(generated).shape[1]
        if ours != theirs:
            raise DataError(
                f"vectors of train have {ours} numbers, but those of generated {theirs}; make both by the same model"
            )
        if self.method.metric == "cosine":
            check_directions(generated, "generated")
        else:
            neighbors.check_scale(x_of(self.train), x_of(generated))

    def match(
        self, generated: Items, *, threads: int, progress: bool | None, keep: Callable[[slice, Matches], None]
    ) -> int:
        """Match generated items, panel by panel, so that candidates of one panel alone are in memory.

        Args:
            generated: With vectors that fit.
            threads: How many threads recall.
            progress: Whether to show progress bars.
            keep: Called with every panel and its matches.

        Returns:
            How many generated items were searched exactly since the index found too few for them.
        """
        x, m = x_of(generated), len(generated)
        panels = blocks(m, max(1, min(_PANEL, _CANDIDATES // self.recalled)))
        exact = self.method.recall == "exact"
        jobs = sum(matching.nearest_jobs(len(self.train), b - a) for a, b in panels) if exact else m
        again = 0
        with ExitStack() as bars:
            tick = bars.enter_context(bar(jobs, "finding matches", progress))
            look = None
            if self.reranker is not None:
                look = bars.enter_context(bar(m, f"comparing by {quoted(self.method.rerank)}", progress))
            shown = show_of(generated), show_of(self.train)
            for a, b in panels:
                if exact:
                    at, distance = self._nearest(x[a:b], threads, tick)
                else:
                    at, distance, short = self._proposed(x[a:b], threads)
                    again += short
                    tick(b - a)
                matched = matching.keep_nearest(at, self._measured(at, distance, a, shown, look), self.method.k)
                keep(slice(a, b), Matches(*matched, at, distance))
        return again

    def _measured(
        self,
        at: NDArray[np.int64],
        distance: NDArray[np.float64],
        start: int,
        shown: tuple[Callable[[int], Any], Callable[[int], Any]],
        tick: Tick | None,
    ) -> NDArray[np.float64]:
        """The distances that rank the recalled."""
        if self.reranker is None:
            return distance
        show_generated, show_train = shown
        try:
            return self.reranker.pairs(lambda j: show_generated(start + j), show_train, at, tick)
        except DataError as error:
            if start == 0:
                raise
            raise DataError(f"{error} (generated items counted from item {start:,})") from error

    # -- recall ----------------------------------------------------------------------------------

    def _nearest(
        self, x: NDArray[Any], threads: int, tick: Tick | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The exactly nearest training items of some vectors."""
        rows = self._rows_for(x)
        judges = Judges.ready(rows, x, np.zeros(len(x), dtype=np.int64), self._centre)
        return matching.nearest(rows, judges, self.recalled, threads=threads, tick=tick)

    def _proposed(self, x: NDArray[Any], threads: int) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
        """What an index proposes, with true distances; where it proposes too few, the exactly nearest."""
        found = replace(self._index, threads=threads).search(x, self.recalled)
        metric = self.method.metric
        measured = matching.distances_at(x_of(self.train), x, found, metric, threads=threads)
        at, distance = matching.keep_nearest(found, measured, self.recalled)
        short = at[:, -1] < 0
        if short.any():
            at[short], distance[short] = self._nearest(x[short], threads)
        return at, distance, int(short.sum())

    def check_recall(self, generated: Items, threads: int) -> RecallCheck | None:
        """Search some generated items, evenly spread, by the index and exactly; None where recall is exact.

        Raises:
            MethodError: The index misses more than ``floor`` allows.
        """
        settings = self.method.recall
        if not isinstance(settings, IVFPQ | HNSW):
            return None
        m, k = len(generated), self.method.k
        size = min(m, settings.sample)
        x = x_of(generated)[np.arange(size) * m // size]
        build_seconds = self._index.seconds  # builds it, if that is still to be done
        self._rows_for(x)
        began = time.perf_counter()
        at, _, _ = self._proposed(x, threads)
        searched = time.perf_counter()
        exactly, _ = self._nearest(x, threads)
        done = time.perf_counter()
        check = RecallCheck(
            repr(settings), size, _found(at, exactly[:, :k]), _found(at, exactly),
            build_seconds, searched - began, done - searched,
        )  # fmt: skip
        what, figure = f"the {k} nearest", check.recall_k
        if self.reranker is not None:
            what, figure = f"the {self.recalled} candidates for {quoted(self.method.rerank)}", check.recall_candidates
        if figure < settings.floor:
            deeper = "more probes, subvectors" if isinstance(settings, IVFPQ) else "more depth, links"
            raise MethodError(
                f"{settings!r} finds {figure:.1%} of {what} on {size} generated items that were searched exactly too, "
                f"which is below its floor of {settings.floor:.1%}; use {deeper} or candidates, recall='exact', or a "
                "lower floor"
            )
        return check

    @cached_property
    def _index(self) -> ApproximateIndex:
        settings = self.method.recall
        if not isinstance(settings, IVFPQ | HNSW):
            raise InputError("recall is exact, and has no index")
        return build(x_of(self.train), settings, self.method.metric, threads=1)

    # -- training items made ready ---------------------------------------------------------------

    def _rows_for(self, x: NDArray[Any]) -> Rows:
        """Rows in the type that some vectors can be compared with them in; no match depends on it."""
        near = self.method.metric == "cosine" or max(largest(x), self._reach) <= FLOAT32_REACH
        return self._rows if near else self._wide_rows

    @cached_property
    def _rows(self) -> Rows:
        return self._prepared("float32")

    @cached_property
    def _wide_rows(self) -> Rows:
        """For numbers so large that float32 cannot hold their squares."""
        return self._prepared("float64")

    def _prepared(self, dtype: neighbors.DType) -> Rows:
        x = x_of(self.train)
        codes = np.zeros(len(x), dtype=np.int64)
        return neighbors.prepare(
            x, codes, 1, self.method.metric, centre=self._centre, dtype=dtype, threads=self.threads
        )

    @cached_property
    def _centre(self) -> NDArray[np.float64] | None:
        """Where float32 is finest; no match depends on it."""
        return None if self.method.metric == "cosine" else x_of(self.train).mean(axis=0, dtype=np.float64)

    @cached_property
    def _reach(self) -> float:
        return largest(x_of(self.train))


def _found(at: NDArray[np.int64], exactly: NDArray[np.int64]) -> float:
    """Of what is exactly nearest, the share that is there."""
    hits = sum(np.isin(ours, theirs).sum() for ours, theirs in zip(exactly, at, strict=True))
    return float(hits / exactly.size)


def largest(x: NDArray[Any]) -> float:
    """How large the numbers of some vectors are, the sign aside."""
    return max(float(x.max()), -float(x.min()))


def check_directions(items: Items, side: str) -> None:
    """Refuse vectors that have no direction.

    Args:
        items: With vectors.
        side: What to call them in a message.

    Raises:
        DataError: Zero vectors, or some far too long or short.
    """
    x = x_of(items)
    try:
        neighbors.check_directions(np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64)))
    except DataError as error:
        raise DataError(f"{side}: {error}") from None
