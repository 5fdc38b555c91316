"""Candidates stay within what is public, vary as said, and lie where their own row alone puts them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataworth.errors import DataError, MethodError
from dataworth.records import Points
from dataworth.synthesis.candidates import (
    CandidateFunctions,
    Candidates,
    Category,
    Column,
    EmbeddingCandidates,
    Number,
    TableCandidates,
    TableDomain,
    Whole,
)

DOMAIN = TableDomain((Number(-2.0, 6.0), Whole(0, 10), Category((1, 2, 5)), Number(3.0, 3.0)))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def inside(x: NDArray[Any]) -> bool:
    return bool(
        ((x[:, 0] >= -2) & (x[:, 0] <= 6)).all()
        and np.isin(x[:, 1], np.arange(11)).all()
        and np.isin(x[:, 2], [1, 2, 5]).all()
        and (x[:, 3] == 3).all()
    )


def vectors(n: int = 200, d: int = 3) -> NDArray[Any]:
    return rng(5).normal(size=(n, d)).astype(np.float32)


@pytest.mark.parametrize(
    "candidates",
    [
        TableCandidates(DOMAIN),
        EmbeddingCandidates(vectors()),
        CandidateFunctions(lambda c, n, r: r.random((n, 1)), lambda x, c, p, r: x, lambda x: x, "numbers"),
    ],
)
def test_all_follow_the_protocol_and_repeat_themselves(candidates: Candidates) -> None:
    assert isinstance(candidates, Candidates)
    x = candidates.random(0, 7, rng(1))
    np.testing.assert_array_equal(x, candidates.random(0, 7, rng(1)))
    varied = candidates.variation(x, 0, 0.5, rng(2))
    np.testing.assert_array_equal(varied, candidates.variation(x, 0, 0.5, rng(2)))
    assert varied.shape == x.shape
    assert "\n" not in candidates.describe()


@pytest.mark.parametrize("candidates", [TableCandidates(DOMAIN), EmbeddingCandidates(vectors(d=4), scale="standard")])
def test_a_row_lies_where_it_lies_whatever_other_rows_there_are(candidates: Candidates) -> None:
    x = candidates.random(0, 300, rng(1))
    alone = np.vstack([candidates.embed(row[None]) for row in x])
    np.testing.assert_array_equal(candidates.embed(x), alone)


# -- tables ----------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.floats(0, 1))
def test_table_rows_and_their_variations_stay_in_the_domain(seed: int, progress: float) -> None:
    table = TableCandidates(DOMAIN)
    x = table.random(0, 50, rng(seed))
    assert inside(x)
    assert inside(table.variation(x, 0, progress, rng(seed)))


def test_random_rows_are_uniform() -> None:
    x = TableCandidates(DOMAIN).random(0, 30_000, rng())
    assert abs(x[:, 0].mean() - 2) < 0.08
    np.testing.assert_allclose(np.bincount(x[:, 1].astype(int)) / 30_000, 1 / 11, atol=0.01)
    np.testing.assert_allclose([(x[:, 2] == v).mean() for v in (1, 2, 5)], 1 / 3, atol=0.015)


@pytest.mark.parametrize(("progress", "rate"), [(0.0, 0.5), (1.0, 0.01), (0.5, 0.5 - 0.49 * 0.5**0.2)])
def test_rates_fall_as_said(progress: float, rate: float) -> None:
    table = TableCandidates(TableDomain((Number(0, 1000), Category(range(1000)))))  # type: ignore[arg-type]
    x = np.full((40_000, 2), 500.0, dtype=np.float32)
    varied = table.variation(x, 0, progress, rng())
    moved = np.abs(varied[:, 0] - 500) / 1000
    assert rate * 0.99 < moved.max() <= rate + 1e-6
    assert abs(moved.mean() - rate / 2) < 0.01 * max(rate, 0.1)
    anew = float((varied[:, 1] != 500).mean())
    assert abs(anew - rate * 0.999) < 5 * math.sqrt(rate / 40_000)


def test_distances_of_tables() -> None:
    table = TableCandidates(DOMAIN)
    x = np.array(
        [[-2, 0, 1, 3], [6, 0, 1, 3], [-2, 10, 1, 3], [-2, 0, 5, 3], [-99, 0, 1, 3], [-2, 0, 4, 3]], dtype=float
    )
    places = table.embed(x)
    apart = np.linalg.norm(places - places[0], axis=1)
    np.testing.assert_allclose(apart, [0, 1, 1, math.sqrt(2) / 3, 0, 1 / 3], atol=1e-12)


def test_public_rows_begin_where_they_are_given() -> None:
    public = np.array([[0, 1, 5, 3], [2, 2, 1, 3]], dtype=float)
    x = TableCandidates(DOMAIN, public=public).random(0, 5, rng())
    assert {tuple(row) for row in x.tolist()} == {tuple(row) for row in public.tolist()}


def test_a_domain_from_public_rows() -> None:
    public = Points([[0.5, 1, 7], [2.5, 3, 8]], ["a", "b"], features=["age", "kind", "visits"])
    expected: tuple[Column, ...] = (Number(0.5, 2.5), Category((1, 3)), Whole(7, 8))
    assert TableDomain.of(public, categories=["kind"]).columns == expected
    assert TableDomain.of(public, categories=[1]).columns == expected
    with pytest.raises(DataError, match="no column 'height'"):
        TableDomain.of(public, categories=["height"])
    with pytest.raises(DataError, match="columns 0 to 2, not 3"):
        TableDomain.of(public, categories=[3])
    with pytest.raises(DataError, match="1 of the public rows have missing"):
        TableDomain.of(Points([[np.nan], [1.0]], ["a", "b"], allow_missing=True))


def test_columns_and_rates_that_make_no_sense() -> None:
    for low, high in ((1.0, 0.0), (math.nan, 1.0), (0.0, math.inf)):
        with pytest.raises(MethodError, match="bounds are finite and ascending"):
            Number(low, high)
    with pytest.raises(MethodError, match="are whole themselves"):
        Whole(0, 1.5)  # type: ignore[arg-type]
    for values in ((), (2, 1), (1, 1), (math.nan,)):
        with pytest.raises(MethodError, match="one value or more"):
            Category(values)
    for columns in ((), ("age",)):
        with pytest.raises(MethodError, match="one Number, Whole or Category a column"):
            TableDomain(columns)  # type: ignore[arg-type]
    for wrong in ({"first": 1.5}, {"last": -0.1}, {"shape": 0.0}, {"first": math.nan}):
        with pytest.raises(MethodError, match="rates from 0 to 1"):
            TableCandidates(DOMAIN, **wrong)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="public rows have 2 columns, but the domain has 4"):
        TableCandidates(DOMAIN, public=np.zeros((3, 2)))


def test_other_parameters_describe_themselves_otherwise() -> None:
    public = np.array([[0, 1, 5, 3]])
    told = {
        TableCandidates(DOMAIN).describe(),
        TableCandidates(TableDomain((*DOMAIN.columns[:3], Number(3.0, 4.0)))).describe(),
        TableCandidates(DOMAIN, last=0.02).describe(),
        TableCandidates(DOMAIN, public=public).describe(),
        TableCandidates(DOMAIN, public=public + 1).describe(),
        EmbeddingCandidates(vectors()).describe(),
        EmbeddingCandidates(vectors() + 1).describe(),
        EmbeddingCandidates(vectors(), noise=0.1).describe(),
    }
    assert len(told) == 8


# -- vectors ---------------------------------------------------------------------------------------------------------


def test_vectors_begin_as_public_ones_each_once() -> None:
    public = vectors(20)
    x = EmbeddingCandidates(public, neighbours=3).random(0, 20, rng())
    assert sorted(map(tuple, x.tolist())) == sorted(map(tuple, public.tolist()))
    assert len(EmbeddingCandidates(public, neighbours=3).random(0, 45, rng())) == 45


def test_variations_shrink_and_vanish() -> None:
    candidates = EmbeddingCandidates(vectors(), first=1.0, last=0.1)
    x = candidates.random(0, 200, rng())
    steps = [np.linalg.norm(candidates.variation(x, 0, at, rng(1)) - x, axis=1).mean() for at in (0.0, 0.5, 1.0)]
    assert steps[0] > 2 * steps[1] > 4 * steps[2] > 0
    still = EmbeddingCandidates(vectors(), first=0.0, last=0.0)
    np.testing.assert_array_equal(still.variation(x, 0, 0.3, rng()), x)


def test_variations_keep_to_where_public_vectors_lie() -> None:
    """On a plane in space, movement and noise stay on it."""
    flat = vectors(d=3) * np.array([1.0, 1.0, 0.0], dtype=np.float32)
    candidates = EmbeddingCandidates(flat)
    varied = candidates.variation(candidates.random(0, 100, rng()), 0, 0.0, rng(1))
    assert np.abs(varied[:, 2]).max() < 1e-5
    assert np.ptp(varied[:, 0]) > 1


def test_without_noise_vectors_move_straight_to_a_neighbour() -> None:
    candidates = EmbeddingCandidates(
        np.array([[0.0, 0.0], [1.0, 0.0], [50.0, 50.0]]), first=1.0, neighbours=1, noise=0.0
    )
    varied = candidates.variation(np.full((200, 2), [0.6, 0.0], dtype=np.float32), 0, 0.0, rng())
    assert (varied[:, 1] == 0).all()
    assert varied[:, 0].min() >= 0.6 - 1e-6
    assert varied[:, 0].max() <= 1 + 1e-6
    assert np.ptp(varied[:, 0]) > 0.3


def test_standard_scale_divides_by_public_deviations() -> None:
    public = vectors() * np.array([1, 10, 0], dtype=np.float32)
    places = EmbeddingCandidates(public, scale="standard").embed(public)
    np.testing.assert_allclose(places.std(axis=0), [1, 1, 0], atol=1e-6)


def test_vectors_that_make_no_sense() -> None:
    for wrong in ({"first": 0.1, "last": 0.5}, {"noise": 1.5}, {"last": -1.0}):
        with pytest.raises(MethodError, match="sizes fall"):
            EmbeddingCandidates(vectors(), **wrong)  # type: ignore[arg-type]
    with pytest.raises(MethodError, match="scale must be"):
        EmbeddingCandidates(vectors(), scale="cosine")
    with pytest.raises(MethodError, match="neighbours must be from 1 to 9"):
        EmbeddingCandidates(vectors(10), neighbours=10)
    with pytest.raises(DataError, match="1 of 200 public rows are not finite"):
        EmbeddingCandidates(np.vstack([vectors(199), [[np.nan, 0, 0]]]))
    with pytest.raises(DataError, match="a matrix with a row each"):
        EmbeddingCandidates(np.zeros(4))


# -- functions -------------------------------------------------------------------------------------------------------


def test_functions_need_a_name_and_functions() -> None:
    with pytest.raises(MethodError, match="embed must be a function, not str"):
        CandidateFunctions(lambda c, n, r: r.random(n), lambda x, c, p, r: x, "mean", "x")  # type: ignore[arg-type]
    with pytest.raises(MethodError, match="name your candidates"):
        CandidateFunctions(lambda c, n, r: r.random(n), lambda x, c, p, r: x, lambda x: x, " ")
