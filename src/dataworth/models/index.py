"""Approximate indexes of FAISS: for each query, training items that are probably among the nearest.

What an index finds for a query depends on that query, the training items and the settings alone: it is built by
one thread from a fixed seed, and each query is searched by itself, never as part of a matrix product. So a batch
of queries finds what each of them finds alone, on any number of threads. Another machine or version of FAISS may
find others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, MethodError, MissingExtra

__all__ = ["HNSW", "IVFPQ", "ApproximateIndex", "Settings", "build", "check_count"]

# k-means on fewer points a centre finds centres that fit those points and no others; FAISS warns below this.
_POINTS_A_CENTRE = 39
_MOST_POINTS_A_CENTRE = 256  # more make k-means slower, not better
_BLOCK = 16_384
_FLOAT32_REACH = 1e15  # squared lengths of larger numbers come near the end of float32


@dataclass(frozen=True)
class IVFPQ:
    """An inverted file of product-quantised vectors: small, and searched in part (Jégou et al., TPAMI 2011).

    Args:
        lists: Into how many lists k-means divides the training items.
        subvectors: Into how many parts a vector is cut, each replaced by the nearest of ``2 ** bits``; must divide
            the width of the vectors. More are more exact, and take a byte each an item (at 8 bits).
        bits: Of each part's number, 4 to 8.
        probes: How many lists a query looks into. More find more and take longer.
        sample: How many generated items are searched exactly too, to measure what the index misses.
        floor: The least share of the exactly nearest that it must find among those, or it is refused; 0 to 1.

    Raises:
        MethodError: A parameter out of range.

    Example:
        >>> import dataworth as dw
        >>> dw.SimilarityMatch(k=10, recall=dw.IVFPQ(lists=1024, probes=64)).recall.probes
        64
    """

    lists: int = 256
    subvectors: int = 8
    bits: int = 8
    probes: int = 16
    sample: int = 200
    floor: float = 0.9

    def __post_init__(self) -> None:
        _check_whole("lists", self.lists, 1)
        _check_whole("subvectors", self.subvectors, 1)
        _check_whole("bits", self.bits, 4, 8)
        _check_whole("probes", self.probes, 1)
        if self.probes > self.lists:
            raise MethodError(f"probes must be at most lists, {self.lists}, not {self.probes}: there are no more lists")
        _check_sample(self.sample, self.floor)
        _settle(self)

    @property
    def least(self) -> int:
        """How many training items it takes to learn the lists and the parts."""
        return _POINTS_A_CENTRE * max(self.lists, 1 << self.bits)


@dataclass(frozen=True)
class HNSW:
    """A graph of near neighbours, searched from item to item (Malkov and Yashunin, TPAMI 2020).

    It keeps every vector, so it saves time and no memory.

    Args:
        links: Of each item in the graph, 2 to 512.
        depth_build: How many candidates are kept while the graph is built. More make a better graph.
        depth: How many are kept while a query is searched, and at least as many as it asks for. More find more.
        sample: How many generated items are searched exactly too, to measure what the index misses.
        floor: The least share of the exactly nearest that it must find among those, or it is refused; 0 to 1.

    Raises:
        MethodError: A parameter out of range.

    Example:
        >>> import dataworth as dw
        >>> dw.SimilarityMatch(k=10, recall=dw.HNSW(depth=128)).recall.depth
        128
    """

    links: int = 32
    depth_build: int = 200
    depth: int = 64
    sample: int = 200
    floor: float = 0.9

    def __post_init__(self) -> None:
        _check_whole("links", self.links, 2, 512)
        _check_whole("depth_build", self.depth_build, 1)
        _check_whole("depth", self.depth, 1)
        _check_sample(self.sample, self.floor)
        _settle(self)


Settings: TypeAlias = IVFPQ | HNSW


@dataclass(frozen=True, eq=False, repr=False)
class ApproximateIndex:
    """A built index; made by :func:`build`.

    Args:
        settings: What it was built by.
        metric: ``"cosine"`` or ``"euclidean"``.
        width: Of the vectors.
        seconds: What building it took.
        threads: How many threads search.
    """

    settings: Settings
    metric: Literal["cosine", "euclidean"]
    width: int
    seconds: float
    threads: int
    _centre: NDArray[np.float64]
    _built: Any

    def __repr__(self) -> str:
        return f"ApproximateIndex({self._built.ntotal} items, {self.width} numbers each, {self.settings!r})"

    def search(self, queries: NDArray[Any], k: int) -> NDArray[np.int64]:
        """Positions of training items that are probably among the ``k`` nearest.

        Args:
            queries: float32 or float64, shape ``(m, d)``, finite.
            k: How many to look for.

        Returns:
            int64, shape ``(m, k)``, nearest first as far as the index knows; -1 where it found fewer.
        """
        if queries.ndim != 2 or queries.shape[1] != self.width:
            raise DataError(f"queries must have {self.width} numbers each, like the items, not shape {queries.shape}")
        found = np.full((len(queries), k), -1, dtype=np.int64)
        with _threads(self.threads), _one_by_one():
            for start in range(0, len(queries), _BLOCK):
                ready = _ready(queries[start : start + _BLOCK], self.metric, self._centre)
                found[start : start + _BLOCK] = self._built.search(ready, k)[1]
        return found


def build(
    x: NDArray[Any], settings: Settings, metric: Literal["cosine", "euclidean"], *, threads: int, seed: int = 0
) -> ApproximateIndex:
    """Build an index of training items, by one thread: the same each time.

    Args:
        x: Their vectors, float32 or float64, shape ``(n, d)``, finite; without zero vectors for cosine.
        settings: Which index.
        metric: ``"cosine"`` (1 - cosine similarity) or ``"euclidean"``.
        threads: How many threads search it later.
        seed: Of the random starts of k-means and of the graph's levels.

    Raises:
        DataError: Numbers too large for float32.
        MethodError: Too few items for the settings, or a width that ``subvectors`` does not divide.
        MissingExtra: FAISS is not installed.

    Example:
        >>> import numpy as np
        >>> x = np.eye(8, dtype=np.float32)
        >>> build(x, HNSW(), "euclidean", threads=1).search(x[:3], 1).ravel()
        array([0, 1, 2])
    """
    n, d = x.shape
    if isinstance(settings, IVFPQ):
        check_count(settings, n)
        _check_width(settings, d)
    faiss = _faiss()
    began = time.perf_counter()
    centre = np.zeros(d) if metric == "cosine" else x.mean(axis=0, dtype=np.float64)
    # Threads would build another graph each time: which item is linked first would be a matter of luck.
    with _threads(1):
        if isinstance(settings, IVFPQ):
            built = faiss.IndexIVFPQ(faiss.IndexFlatL2(d), d, settings.lists, settings.subvectors, settings.bits)
            built.cp.seed = built.pq.cp.seed = seed
            built.nprobe = settings.probes
            most = _MOST_POINTS_A_CENTRE * max(settings.lists, 2**settings.bits)
            built.train(_ready(x[_spread(n, most)], metric, centre))
        else:
            built = faiss.IndexHNSWFlat(d, settings.links)
            built.hnsw.rng = faiss.RandomGenerator(seed)
            built.hnsw.efConstruction = settings.depth_build
            built.hnsw.efSearch = settings.depth
        for start in range(0, n, _BLOCK):
            built.add(_ready(x[start : start + _BLOCK], metric, centre))
    return ApproximateIndex(settings, metric, d, time.perf_counter() - began, threads, centre, built)


def check_count(settings: IVFPQ, n: int) -> None:
    """Refuse too few training items to learn from.

    Raises:
        MethodError: With what so many items would do for.
    """
    if n < settings.least:
        smaller = n // _POINTS_A_CENTRE
        bits = int(math.log2(smaller)) if smaller else 0
        fewer = [f"lists={smaller}"] * (settings.lists > smaller) + [f"bits={bits}"] * (2**settings.bits > smaller)
        instead = f"use at most {' and '.join(fewer)}, or HNSW, or search" if bits >= 4 else "use HNSW, or search"
        raise MethodError(
            f"IVFPQ with lists={settings.lists} and bits={settings.bits} learns from {settings.least:,} items or more "
            f"({_POINTS_A_CENTRE} a centre), but there are {n:,}; {instead} exactly (recall='exact')"
        )


def _check_width(settings: IVFPQ, d: int) -> None:
    if d % settings.subvectors:
        fitting = [parts for parts in range(1, min(d, 256) + 1) if d % parts == 0]
        near = sorted(sorted(fitting, key=lambda parts: abs(parts - settings.subvectors))[:4])
        raise MethodError(
            f"subvectors={settings.subvectors} does not divide the {d} numbers of a vector; {_either(near)} would"
        )


def _ready(x: NDArray[Any], metric: str, centre: NDArray[np.float64]) -> NDArray[np.float32]:
    """Unit vectors, whose L2 order is that of cosine; or vectors around the centre, where float32 is finest."""
    rows = x.astype(np.float64)
    if metric == "cosine":
        rows /= np.abs(rows).max(axis=1, keepdims=True)  # first, or squares would leave the range of float64
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    else:
        rows -= centre
        if not (np.abs(rows) <= _FLOAT32_REACH).all():
            raise DataError(
                f"some numbers are above {_FLOAT32_REACH:.0e} in size, too large for an index, which computes in "
                "float32; rescale them, or search exactly (recall='exact')"
            )
    return np.ascontiguousarray(rows, dtype=np.float32)


def _spread(n: int, most: int) -> NDArray[np.int64]:
    """At most so many positions below n, evenly spread."""
    return np.arange(n) if n <= most else np.arange(most) * n // most


@contextmanager
def _threads(threads: int) -> Iterator[None]:
    """FAISS on so many threads; afterwards on as many as before."""
    faiss = _faiss()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


@contextmanager
def _one_by_one() -> Iterator[None]:
    """Each query for itself: a product of many queries at once rounds otherwise than that of one."""
    faiss = _faiss()
    before = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = 2**31 - 1  # there are never so many
    try:
        yield
    finally:
        faiss.cvar.distance_compute_blas_threshold = before


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise MissingExtra("an approximate index (IVFPQ, HNSW)", "generated") from None
    return faiss


def _either(numbers: list[int]) -> str:
    words = [str(number) for number in numbers]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _settle(settings: IVFPQ | HNSW) -> None:
    """Numbers as Python's own, so that they read the same from wherever they came."""
    for field in fields(settings):
        plain = float if field.name == "floor" else int
        object.__setattr__(settings, field.name, plain(getattr(settings, field.name)))


def _check_sample(sample: object, floor: object) -> None:
    _check_whole("sample", sample, 1)
    number = isinstance(floor, Real) and not isinstance(floor, bool)
    if not number or not 0 <= floor <= 1:  # type: ignore[operator]
        raise MethodError(f"floor must be a share from 0 to 1, not {floor!r}")


def _check_whole(name: str, given: object, low: int, high: int | None = None) -> None:
    whole = isinstance(given, Integral) and not isinstance(given, bool)
    if not whole or given < low or (high is not None and given > high):  # type: ignore[operator]
        span = f"of {low} or more" if high is None else f"from {low} to {high}"
        raise MethodError(f"{name} must be an integer {span}, not {given!r}")
