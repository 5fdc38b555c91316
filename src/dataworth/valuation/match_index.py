"""Values by likeness of sets that change: generated items come in batches, and training items leave.

Whom a generated item is matched with depends on that item and the training items alone, so the matches of earlier
batches stand when another comes; and when training items leave, they stand for whoever had none of those among its
candidates. Values are added up again from the matches, to the last bit what a fresh run would give.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.errors import DataError, InputError, MethodError
from dataworth.kernels.team import team_size
from dataworth.models.embed import Model
from dataworth.models.index import HNSW, IVFPQ
from dataworth.records import Items, Table, Values
from dataworth.records.arrays import exact, joined, read_only
from dataworth.records.sealed import read_sealed, write_sealed
from dataworth.valuation.generated import credited, recall_table
from dataworth.valuation.items import read_items
from dataworth.valuation.matching import Matcher, Matches, RecallCheck
from dataworth.valuation.methods import SimilarityMatch
from dataworth.valuation.parameters import called
from dataworth.valuation.sides import Vectors, check_kinds, check_task, qualities, quoted, x_of

__all__ = ["MatchCost", "MatchIndex", "index_items"]

FORMAT = "dataworth.match-index/1"


@dataclass(frozen=True)
class MatchCost:
    """What making an index from the one before it took.

    Args:
        change: What was done.
        items: How many items came or went.
        matched: How many generated items were matched for it.
        pairs: How many pairs of a generated and a training item were compared for it; an approximate index compares
            fewer.
        fresh_pairs: How many a run from the start on the items that are there now would compare.
        seconds: How long it took; values are added up later, by :meth:`MatchIndex.values`.

    Example:
        >>> print(MatchCost("remove", items=3, matched=17, pairs=340_000, fresh_pairs=40_000_000, seconds=0.0042))
        remove, 3 items: 17 generated items matched, 340,000 pairs where a fresh run compares 40,000,000, in 0.004 s
    """

    change: Literal["index", "add", "remove", "load"]
    items: int
    matched: int
    pairs: int
    fresh_pairs: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.change}, {self.items:,} items: {self.matched:,} generated items matched, {self.pairs:,} pairs "
            f"where a fresh run compares {self.fresh_pairs:,}, in {self.seconds:.3f} s"
        )


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class MatchIndex:
    """Matches of generated items, kept so that more can come and training items can leave; made by :func:`index_items`.

    It never changes: :meth:`add` and :meth:`remove` return another index. It holds the vectors of both sides, and, if
    the method looks at content again, that content.

    Args:
        method: How generated items are matched.
        train: The training items that are there, with vectors.
        generated: The generated items that were added, in their order; None before the first.
        candidates: Positions of the training items that were recalled for each, int64 ``(m, c)``.
        recalled: Distances of their vectors, ``(m, c)``.
        at: Positions of the matches, nearest first, int64 ``(m, k)``.
        distance: Of the matches, in the unit of what ranked them, ``(m, k)``.
        quality: What each generated item is worth, ``(m,)``.
        quality_given: Whether those numbers were given to :meth:`add`, rather than found by the method.
        checks: What an approximate index missed, batch by batch.
        again: How many generated items were searched exactly since an approximate index found too few for them.
        skipped: How many generated items could not be read.
        vectors: Where vectors come from.
        matcher: The training items, made ready.
        cost: What making this index took.

    Example:
        >>> import dataworth as dw
        >>> train = dw.Items([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], ids=["a", "b", "c"])
        >>> index = index_items(train, method=dw.SimilarityMatch(k=1))
        >>> index = index.add(dw.Items([[1.0, 0.1], [0.1, 1.0]], ids=["new 1", "new 2"]))
        >>> index.values().values
        array([1., 0., 1.])
        >>> index.remove(["a"]).values().values
        array([1., 1.])
    """

    method: SimilarityMatch
    train: Items
    generated: Items | None
    candidates: NDArray[np.int64]
    recalled: NDArray[np.float64]
    at: NDArray[np.int64]
    distance: NDArray[np.float64]
    quality: NDArray[np.float64]
    quality_given: bool
    checks: tuple[RecallCheck, ...]
    again: int
    skipped: int
    vectors: Vectors
    matcher: Matcher
    cost: MatchCost

    def __post_init__(self) -> None:
        m, n = len(self), len(self.train)
        k, c = self.method.k, self.method.recalled(n)
        shapes = [array.shape for array in (self.candidates, self.recalled, self.at, self.distance, self.quality)]
        expected = [(m, c), (m, c), (m, k), (m, k), (m,)]
        if shapes != expected or k > n:
            raise DataError(f"the arrays of an index do not fit together: shapes {shapes}, not {expected}")
        for positions in (self.candidates, self.at):
            if positions.dtype != np.int64 or not ((positions >= 0) & (positions < n)).all():
                raise DataError(f"the arrays of an index do not fit together: matches are positions below {n}")
        usable = np.isfinite(self.distance).all() and np.isfinite(self.quality).all() and (self.quality >= 0).all()
        if not usable:
            raise DataError("the arrays of an index hold distances or qualities that are not finite, or negative")
        for name in ("candidates", "recalled", "at", "distance", "quality"):
            object.__setattr__(self, name, read_only(getattr(self, name)))

    def __len__(self) -> int:
        return 0 if self.generated is None else len(self.generated)

    def __repr__(self) -> str:
        return f"MatchIndex({len(self.train)} training items, {len(self)} generated items, {self.method!r})"

    @property
    def recall(self) -> Table | None:
        """What an approximate index missed, one line a batch; None where recall is exact, or nothing was added."""
        if not self.checks:
            return None
        return recall_table(self.checks, self.method.k, self.method.recalled(len(self.train)))

    def values(self, *, threads: int | None = None) -> Values:
        """The value of every training item that is there, to the last bit what :func:`value_generated` gives.

        Args:
            threads: How many threads to use; by default one for each core.

        Returns:
            Values aligned with the ids of ``train``; all 0 before anything was added.
        """
        return credited(
            self.train,
            np.zeros(0, dtype=np.int64) if self.generated is None else self.generated.ids,
            self.at,
            self.distance,
            self.quality,
            replace(self.method, quality=self.quality) if self.quality_given else self.method,
            vectors=self.vectors,
            skipped=self.skipped,
            again=self.again,
            checks=self.checks,
            threads=team_size(threads),
            began=time.perf_counter(),
        )

    # -- changes ---------------------------------------------------------------------------------

    def add(
        self,
        generated: Any,
        quality: ArrayLike | None = None,
        *,
        threads: int | None = None,
        progress: bool | None = None,
    ) -> MatchIndex:
        """An index with more generated items, which come last; only the new ones are matched.

        Args:
            generated: :class:`Items`, or whatever :func:`read_items` takes, with ids that no generated item of the
                index has. They bring vectors if the training items brought theirs, and are embedded if those were.
            quality: What each is worth, ``(m,)``, if the method does not say; given with every batch or with none.
            threads: How many threads to use; by default one for each core.
            progress: Whether to show progress bars; by default only on a terminal.

        Raises:
            DataError: Items that do not fit to the training items, or ids that the index holds.
            MethodError: Qualities that are given twice or with some batches only, items that the method cannot look
                at, or an approximate index that misses more than its floor allows.
        """
        began, workers = time.perf_counter(), team_size(threads)
        made = read_items(generated)
        rule = self._rule(quality)
        check_kinds(self.train, made, rule)
        self.vectors.check(made, "generated")
        ids = made.ids if self.generated is None else joined(self.generated.ids, made.ids, "ids")
        repeated = int(np.isin(made.ids, ids[: len(self)]).sum())
        if repeated:
            raise DataError(
                f"{repeated} of {len(made)} generated items to add have an id that the index holds; give every batch "
                "ids of its own"
            )
        made = self.vectors.give(made, progress)
        self.matcher.check_fits(made)
        worth = qualities(rule, made, progress)
        check = self.matcher.check_recall(made, workers)
        found, again = _matched(self.matcher, made, workers, progress)
        return replace(
            self,
            generated=self._with(made, ids),
            candidates=np.concatenate([self.candidates, found.candidates]),
            recalled=np.concatenate([self.recalled, found.recalled]),
            at=np.concatenate([self.at, found.at]),
            distance=np.concatenate([self.distance, found.distance]),
            quality=np.concatenate([self.quality, worth]),
            quality_given=quality is not None,
            checks=self.checks if check is None else (*self.checks, check),
            again=self.again + again,
            skipped=self.skipped + len(made.skipped),
            cost=_cost("add", len(made), len(made), len(self.train), ids.size, began),
        )

    def remove(self, train_ids: ArrayLike, *, threads: int | None = None, progress: bool | None = None) -> MatchIndex:
        """An index without some training items; only generated items that had one among their candidates are matched.

        An approximate index is built anew from the items that stay, and all generated items are matched again.

        Args:
            train_ids: Names of training items of the index, each once.
            threads: How many threads to use; by default one for each core.
            progress: Whether to show progress bars; by default only on a terminal.

        Raises:
            DataError: Ids that the index does not hold, or that are named twice.
            MethodError: Fewer than ``k`` training items would stay, a new approximate index misses more than its floor
                allows, or items must be compared again and the index was loaded without their content.
        """
        began, workers = time.perf_counter(), team_size(threads)
        leaves = self._leaving(train_ids)
        if not leaves.any():
            return replace(self, cost=_cost("remove", 0, 0, len(self.train), len(self), began))
        left = int(len(self.train) - leaves.sum())
        if left < self.method.k:
            raise MethodError(
                f"k={self.method.k} training items share in each generated item, but {left} of {len(self.train)} would "
                "stay; index the items anew with a smaller k"
            )
        train = self.train.take(~leaves)
        matcher = Matcher.of(train, self.method, self.matcher.threads)
        place = np.cumsum(~leaves) - 1
        touched = leaves[self.candidates].any(axis=1)
        checks, again = self.checks, self.again
        if self.generated is not None and self.method.recall != "exact":
            touched = np.ones_like(touched)  # another index may propose others
            check = matcher.check_recall(self.generated, workers)
            checks, again = () if check is None else (check,), 0
        stays = ~touched
        if self._lacks_content and touched.any():
            raise MethodError(
                f"{int(touched.sum())} of {len(self)} generated items must be compared again, but the index was loaded "
                f"without their {self.vectors.kind}; load it with generated=, or index the items that stay anew"
            )
        shapes = (len(self), matcher.recalled), (len(self), self.method.k)
        candidates, at = (np.empty(shape, dtype=np.int64) for shape in shapes)
        recalled, distance = (np.empty(shape) for shape in shapes)
        if stays.any():  # then as many are recalled as before
            candidates[stays], recalled[stays] = place[self.candidates[stays]], self.recalled[stays]
            at[stays], distance[stays] = place[self.at[stays]], self.distance[stays]
        if self.generated is not None and touched.any():
            found, short = _matched(matcher, self.generated.take(touched), workers, progress)
            candidates[touched], recalled[touched] = found.candidates, found.recalled
            at[touched], distance[touched] = found.at, found.distance
            again += short
        return replace(
            self,
            train=train,
            candidates=candidates,
            recalled=recalled,
            at=at,
            distance=distance,
            checks=checks,
            again=again,
            matcher=matcher,
            cost=_cost("remove", int(leaves.sum()), int(touched.sum()), left, len(self), began),
        )

    @property
    def _lacks_content(self) -> bool:
        """Whether the method compares images or texts again, and those of the generated items are not here."""
        held = self.generated is None or self.generated.content is not None
        return not held and self.matcher.reranker is not None and self.vectors.kind != "vectors"

    def _rule(self, quality: ArrayLike | None) -> SimilarityMatch:
        """The method for a batch, with the qualities that came with it."""
        if quality is not None and self.method.quality is not None:
            raise MethodError(
                f"the method of the index judges quality by {quoted(self.method.quality)}; leave out quality=, or "
                "index the items with quality=None"
            )
        if len(self) and (quality is not None) != self.quality_given:
            before = "came with" if self.quality_given else "had no"
            raise MethodError(f"earlier batches {before} quality=; give it with every batch or with none")
        rule = self.method if quality is None else replace(self.method, quality=quality)
        if quality is not None and not isinstance(rule.quality, np.ndarray):
            raise MethodError("quality= takes numbers, one a generated item; names and callables belong to the method")
        return rule

    def _with(self, made: Items, ids: NDArray[Any]) -> Items:
        """All generated items: vectors, and content if the method looks at it again."""
        x = x_of(made)
        seen = list(made.content or ()) if self.matcher.reranker is not None else []
        if self.generated is not None:
            x = np.concatenate([x_of(self.generated), x])
            # Content that a load left out is missed by nobody until training items leave.
            seen = [] if self.generated.content is None else [*self.generated.content, *seen]
        return Items(
            x,
            images=seen if seen and made.kind == "images" else None,
            texts=seen if seen and made.kind == "texts" else None,  # type: ignore[arg-type]  # a set of texts holds texts
            ids=ids,
        )

    def _leaving(self, train_ids: ArrayLike) -> NDArray[np.bool_]:
        """Which training items are named."""
        gone = exact(train_ids, "train_ids")
        if gone.ndim != 1:
            raise DataError(f"training items to remove are named in a flat list of ids, not of shape {gone.shape}")
        if gone.size == 0:
            return np.zeros(len(self.train), dtype=np.bool_)
        everyone = joined(self.train.ids, gone, "ids")
        held, gone = everyone[: len(self.train)], everyone[len(self.train) :]
        repeated = gone.size - np.unique(gone).size
        if repeated:
            raise DataError(f"{repeated} of the {gone.size} ids to remove repeat another of them; name each item once")
        leaves = np.isin(held, gone)
        unknown = int((~np.isin(gone, held)).sum())
        if unknown:
            raise DataError(f"{unknown} of the {gone.size} ids to remove are not in the index; nothing was removed")
        return leaves

    # -- files -----------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the index to a file (NumPy's ``.npz``), whole or not at all.

        It holds the vectors, ids, owners and labels of training items, vectors and ids of generated items, and all
        matches: keep it as you keep the data. It holds no images and no texts, and of callables only the names.

        Returns:
            The path written.
        """
        arrays: dict[str, NDArray[Any]] = {
            "train_x": x_of(self.train),
            "train_ids": self.train.ids,
            "candidates": self.candidates,
            "recalled": self.recalled,
            "at": self.at,
            "distance": self.distance,
            "quality": self.quality,
        }
        if self.train.owners is not None:
            arrays["train_owners"] = self.train.owners
        if self.train.labels is not None:
            arrays["train_labels"] = self.train.labels
        if self.generated is not None:
            arrays |= {"generated_x": x_of(self.generated), "generated_ids": self.generated.ids}
        embed = self.vectors.embed
        about = {
            "method": _plain(self.method),
            "embed": {"callable": called(embed)} if callable(embed) else embed,
            "vectors_given": self.vectors.given,
            "kind": self.vectors.kind,
            "quality_given": self.quality_given,
            "train_skipped": list(self.train.skipped),
            "skipped": self.skipped,
            "again": self.again,
            "checks": [asdict(check) for check in self.checks],
        }
        return write_sealed(path, FORMAT, about, arrays)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        train: Items | None = None,
        generated: Items | None = None,
        method: SimilarityMatch | None = None,
        *,
        embed: Model | None = None,
        threads: int | None = None,
    ) -> MatchIndex:
        """Read what :meth:`save` wrote.

        Args:
            path: The file.
            train: The training items, needed if the method looks at images or texts again. All ids of the index must
                be among theirs, and with the same vectors if they bring any.
            generated: The generated items, likewise; needed only if training items are to be removed.
            method: If given, the method that the index must have been made with; needed if it has callables, which
                are compared by name.
            embed: The callable that embeds items to come, if the index was made with one; compared by name.
            threads: How many threads make training items ready when they are needed.

        Raises:
            DataError: The file is not there, is no index or damaged, or the items are not those of the index.
            MethodError: It was made with another method, or needs a callable or content that is not given.
        """
        began, workers = time.perf_counter(), team_size(threads)
        name = repr(os.fspath(path))
        about, arrays = read_sealed(path, FORMAT, "index of matches", "MatchIndex.save")
        try:
            rule = _method(about["method"], method, name)
            held = Items(
                arrays["train_x"],
                ids=arrays["train_ids"],
                owners=arrays.get("train_owners"),
                labels=arrays.get("train_labels"),
                skipped=about["train_skipped"],
            )
            made = Items(arrays["generated_x"], ids=arrays["generated_ids"]) if "generated_ids" in arrays else None
            if rule.rerank is not None and about["kind"] != "vectors":
                held = _with_content(held, train, about["kind"], "train", name)
                if made is not None and generated is not None:
                    made = _with_content(made, generated, about["kind"], "generated", name)
            m, n = 0 if made is None else len(made), len(held)
            return cls(
                method=rule,
                train=held,
                generated=made,
                candidates=arrays["candidates"],
                recalled=arrays["recalled"],
                at=arrays["at"],
                distance=arrays["distance"],
                quality=arrays["quality"],
                quality_given=about["quality_given"],
                checks=tuple(RecallCheck(**check) for check in about["checks"]),
                again=about["again"],
                skipped=about["skipped"],
                vectors=Vectors(_embedder(about["embed"], embed, name), about["vectors_given"], about["kind"]),
                matcher=Matcher.of(held, rule, workers),
                cost=MatchCost("load", m, 0, 0, n * m, time.perf_counter() - began),
            )
        except (AttributeError, KeyError, TypeError) as trouble:
            raise DataError(f"{name} is a damaged index ({type(trouble).__name__}); index the items anew") from None


def index_items(
    train: Any,
    *,
    method: SimilarityMatch | None = None,
    embed: str | Model | None = None,
    threads: int | None = None,
    progress: bool | None = None,
) -> MatchIndex:
    """Make training items ready for generated items that come in batches, each matched once.

    Args:
        train: What the model was trained on, the items to value: :class:`Items`, or whatever :func:`read_items` takes.
        method: How to match; ``SimilarityMatch()`` if not given. Qualities as numbers come with the batches.
        embed: What makes vectors of both sides, as for :func:`value_generated`. An embedding may differ in the last
            bits from batch to batch, so give vectors where streams must equal fresh runs to the last bit.
        threads: How many threads to use; by default one for each core.
        progress: Whether to show progress bars; by default only on a terminal.

    Returns:
        An index without generated items; :meth:`MatchIndex.add` adds them.

    Raises:
        DataError: Items that cannot be read, or zero vectors under cosine.
        MethodError: Fewer training items than ``k``, or items that the method cannot look at.
        MissingExtra: What the method or the embedding needs is not installed.

    Example:
        >>> import dataworth as dw
        >>> index = index_items(dw.Items([[1.0, 0.0], [0.0, 1.0]]), method=dw.SimilarityMatch(k=1))
        >>> index = index.add(dw.Items([[0.9, 0.1]], ids=["first"])).add(dw.Items([[0.1, 0.9]], ids=["second"]))
        >>> index.values().values
        array([1., 1.])
        >>> index.cost.pairs, index.cost.fresh_pairs
        (2, 4)
    """
    began, workers = time.perf_counter(), team_size(threads)
    rule = SimilarityMatch() if method is None else method
    source = read_items(train)
    check_task(source, rule)
    if isinstance(rule.quality, np.ndarray):
        raise MethodError(
            "an index gets its generated items later, and the numbers of quality with them: "
            "index.add(generated, quality=...)"
        )
    vectors = Vectors.of(source, embed)
    vectors.check(source, "train")
    source = vectors.give(source, progress)
    matcher = Matcher.of(source, rule, workers)
    candidates, at = ((0, width) for width in (matcher.recalled, rule.k))
    return MatchIndex(
        method=rule,
        train=source,
        generated=None,
        candidates=np.empty(candidates, dtype=np.int64),
        recalled=np.empty(candidates),
        at=np.empty(at, dtype=np.int64),
        distance=np.empty(at),
        quality=np.empty(0),
        quality_given=False,
        checks=(),
        again=0,
        skipped=0,
        vectors=vectors,
        matcher=matcher,
        cost=_cost("index", len(source), 0, len(source), 0, began),
    )


def _matched(matcher: Matcher, generated: Items, threads: int, progress: bool | None) -> tuple[Matches, int]:
    """Matches of all, with their candidates, and how many were searched exactly since an index found too few."""
    wide, narrow = (len(generated), matcher.recalled), (len(generated), matcher.method.k)
    whole = Matches(np.empty(narrow, np.int64), np.empty(narrow), np.empty(wide, np.int64), np.empty(wide))

    def keep(panel: slice, matches: Matches) -> None:
        for field in fields(Matches):
            getattr(whole, field.name)[panel] = getattr(matches, field.name)

    again = matcher.match(generated, threads=threads, progress=progress, keep=keep)
    return whole, again


def _cost(
    change: Literal["index", "add", "remove"], items: int, matched: int, train: int, generated: int, began: float
) -> MatchCost:
    return MatchCost(change, items, matched, matched * train, generated * train, time.perf_counter() - began)


# -- files -----------------------------------------------------------------------------------------


def _plain(method: SimilarityMatch) -> dict[str, Any]:
    """A method as JSON can say it; of callables only the names."""
    plain: dict[str, Any] = {field.name: getattr(method, field.name) for field in fields(method)}
    if not isinstance(method.recall, str):
        plain["recall"] = {"index": type(method.recall).__name__, **asdict(method.recall)}
    for name in _JUDGES:
        if callable(plain[name]):
            plain[name] = {"callable": called(plain[name])}
    return plain


_JUDGES = ("rerank", "quality")
_INDEXES = {"IVFPQ": IVFPQ, "HNSW": HNSW}


def _method(plain: Mapping[str, Any], given: SimilarityMatch | None, name: str) -> SimilarityMatch:
    """The method of a file, with the callables of the one that is given."""
    parts = dict(plain)
    if isinstance(parts["recall"], dict):
        settings = dict(parts["recall"])
        parts["recall"] = _INDEXES[settings.pop("index")](**settings)
    if given is not None and not isinstance(given, SimilarityMatch):
        raise MethodError(f"method must be SimilarityMatch(...), not {given!r}")
    for judge in _JUDGES:
        if not isinstance(parts[judge], dict):
            continue
        known = parts[judge]["callable"]
        if given is None:
            raise MethodError(
                f"{name} was made with {judge}={known}, a callable, which no file holds; give the method= it was made "
                "with"
            )
        own = getattr(given, judge)
        if not callable(own) or called(own) != known:
            raise MethodError(f"{name} was made with {judge}={known}, not with {given!r}")
        parts[judge] = own
    made_with = SimilarityMatch(**parts)
    if given is not None and given != made_with:
        raise MethodError(f"{name} was made with {made_with!r}, not with {given!r}")
    return made_with


def _embedder(saved: Any, given: Model | None, name: str) -> str | Model | None:
    """What embeds items to come, as it was when the index was saved."""
    if not isinstance(saved, dict):
        if given is not None:
            raise MethodError(f"{name} was not made with a callable to embed items, so it takes no embed=")
        return str(saved) if saved is not None else None
    known = str(saved["callable"])
    if given is None:

        def absent(items: list[Any]) -> ArrayLike:
            raise MethodError(f"items of {name} were embedded by {known}, which no file holds; load it with embed=")

        absent.__name__ = known
        return absent
    if called(given) != known:
        raise MethodError(f"items of {name} were embedded by {known}, not by {called(given)}")
    return given


def _with_content(held: Items, given: Items | None, kind: str, side: str, name: str) -> Items:
    """Items of a file, with the images or texts of those given."""
    if given is None:
        raise MethodError(f"the method of {name} looks at {kind} again, which no file holds; give {side}= to load it")
    if not isinstance(given, Items):
        raise InputError(f"{side} must be dataworth.Items, not {type(given).__name__}")
    if given.content is None or given.kind != kind:
        raise DataError(f"{name} was made of {kind}, but {side} holds {given.kind}")
    place = {item: at for at, item in enumerate(given.ids.tolist())}
    ids = held.ids.tolist()
    unknown = sum(item not in place for item in ids)
    if unknown:
        raise DataError(f"{side} lacks {unknown} of the {len(ids)} items that {name} holds, by their ids")
    at = [place[item] for item in ids]
    if given.x is not None and not np.array_equal(given.x[at], x_of(held)):
        raise DataError(f"vectors of {side} are not those that {name} was made with; give the same items")
    seen = [given.content[i] for i in at]
    return Items(
        x_of(held),
        images=seen if kind == "images" else None,
        texts=seen if kind == "texts" else None,  # type: ignore[arg-type]  # a set of texts holds texts
        ids=held.ids,
        owners=held.owners,
        labels=held.labels,
        skipped=held.skipped,
    )
