"""Counting stored links, and which rows can be linked at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataworth.errors import DataError
from dataworth.kernels import neighbors
from dataworth.kernels.neighbors import Judges, prepare, tally, usable_rows


@given(
    n=st.integers(1, 70),
    m=st.integers(1, 30),
    n_classes=st.integers(1, 5),
    threads=st.sampled_from([1, 2, 3]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=150)
def test_bits_are_counted_by_label(n: int, m: int, n_classes: int, threads: int, seed: int) -> None:
    """Against a count pair by pair; any bits, labels that are no class, any number of points."""
    random = np.random.default_rng(seed)
    codes, point_codes = random.integers(-1, n_classes, n), random.integers(0, n_classes, m)
    rows = prepare(random.normal(size=(n, 2)), codes, n_classes, "euclidean")
    linked = random.random((n, m)) < random.random()
    bits = np.packbits(linked[rows.order].T, axis=0, bitorder="little")
    n_same, n_other = tally(rows, bits, point_codes, threads=threads)
    same = codes[:, None] == point_codes
    assert n_same.tolist() == (linked & same).sum(axis=0).tolist()
    assert n_other.tolist() == (linked & ~same).sum(axis=0).tolist()
    assert n_same.dtype == n_other.dtype == np.int64


def test_bits_beyond_the_last_point_are_not_counted() -> None:
    rows = prepare(np.eye(3), np.array([0, 1, 0]), 2, "cosine")
    n_same, n_other = tally(rows, np.full((1, 3), 255, dtype=np.uint8), np.array([0, 1]))
    assert (n_same.tolist(), n_other.tolist()) == ([2, 1], [1, 2])


@pytest.mark.parametrize("metric", neighbors.METRICS)
def test_links_are_tallied_as_they_were_counted(metric: Any) -> None:
    random = np.random.default_rng(2)
    v, point_codes = random.normal(size=(45, 4)), random.integers(0, 3, 45)
    rows = prepare(random.normal(size=(1000, 4)), random.integers(-1, 3, 1000), 3, metric)
    links = neighbors.link(rows, Judges.ready(rows, v, point_codes, None), 0.9, threads=2)
    n_same, n_other = tally(rows, links.bits, point_codes, threads=2)
    assert (n_same == links.n_same).all()
    assert (n_other == links.n_other).all()


def test_tallies_of_parts_of_the_links_add_up() -> None:
    random = np.random.default_rng(3)
    rows = prepare(random.normal(size=(300, 2)), random.integers(0, 3, 300), 3, "cosine")
    point_codes = random.integers(0, 3, 13)
    bits = random.integers(0, 256, size=(2, 300), dtype=np.uint8)
    some = random.integers(0, 256, size=(2, 300), dtype=np.uint8)
    whole = np.stack(tally(rows, bits, point_codes))
    parts = [np.stack(tally(rows, part, point_codes)) for part in (bits & some, bits & ~some)]
    assert (whole == parts[0] + parts[1]).all()


# -- which rows can be linked ------------------------------------------------------------------------------------------

NUMBERS = [0.0, -0.0, 1.0, -3.5, 1e-39, 5e-324, 1e-200, 1e19, 3e38, 1e150, 1e200, 1.7e308, np.nan, np.inf, -np.inf]


def taken(row: Any, metric: Any, dtype: Any, centre: Any) -> bool:
    """Whether ``prepare`` takes a row that is alone, without NaN or infinity where it needs finite numbers."""
    if not np.isfinite(row).all():
        return False
    try:
        prepare(row[np.newaxis], np.zeros(1, dtype=np.int64), 1, metric, centre=centre, dtype=dtype)
    except DataError:
        return False
    return True


@given(
    cells=st.lists(st.tuples(*[st.sampled_from(NUMBERS)] * 3), min_size=1, max_size=6),
    metric=st.sampled_from(neighbors.METRICS),
    dtype=st.sampled_from(["float32", "float64"]),
    single=st.booleans(),
    threads=st.sampled_from([1, 2]),
)
@settings(max_examples=200)
def test_usable_rows_are_those_that_prepare_takes(
    cells: list[Any], metric: Any, dtype: Any, single: bool, threads: int
) -> None:
    with np.errstate(over="ignore"):
        x = np.array(cells, dtype=np.float32 if single else np.float64)
    centre = np.full(3, 0.5) if metric == "euclidean" else None
    usable = usable_rows(x, metric, centre=centre, dtype=dtype, threads=threads)
    for row, fine in zip(x, usable, strict=True):
        # One by one: so no row's fate depends on another.
        if bool(fine) != taken(row, metric, dtype, centre):
            # Float64 distances end below where float64 squares do; such rows stay out.
            assert not fine
            assert np.abs(row).max() > 1e149
    if usable.any():
        codes = np.zeros(int(usable.sum()), dtype=np.int64)
        rows = prepare(x[usable], codes, 1, metric, centre=centre, dtype=dtype)
        assert np.isfinite(rows.x).all()
        judges = Judges.ready(rows, np.ones((2, 3)), np.zeros(2, dtype=np.int64), centre)
        links = neighbors.link(rows, judges, 1.0)
        for row, mask in zip(x[usable][rows.order], links.mask().T, strict=True):
            near = neighbors.pair_distance(row, np.ones(3), metric) <= neighbors.radius_limit(1.0)
            assert mask.tolist() == [near, near]


def test_no_warning_on_the_way() -> None:
    import warnings

    x = np.array([[np.nan, 1.0], [np.inf, -np.inf], [1e308, 1e308], [0.0, 0.0], [1.0, 2.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for metric in neighbors.METRICS:
            usable = usable_rows(x, metric, threads=2)
            assert usable.tolist() == [False, False, False, metric == "euclidean", True]
