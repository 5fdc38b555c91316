"""Splits among providers: nobody's row is lost or shared, and exactly what was asked is changed."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dataworth as dw
from dataworth.data.partition import Partition, Split, partition_points, partition_rows
from dataworth.errors import DataError, MethodError

ALL = ("contiguous", "iid", "dirichlet", "sizes", "column")


@st.composite
def asked(draw: st.DrawFn) -> tuple[int, dict[str, Any]]:
    """A number of rows, and a split of them that is possible."""
    n = draw(st.integers(2, 60))
    providers = draw(st.integers(1, min(n, 6)))
    how = draw(st.sampled_from(ALL))
    y = np.array(draw(st.lists(st.sampled_from("abc"), min_size=n, max_size=n)))
    y[0], y[-1] = "a", "b"
    options: dict[str, Any] = {"how": how, "y": y, "allow_empty": True, "seed": draw(st.integers(0, 5))}
    if how == "sizes":
        options["sizes"] = draw(st.lists(st.integers(0, n // providers), min_size=providers, max_size=providers))
    elif how == "column":
        owner = np.array(draw(st.lists(st.integers(0, providers - 1), min_size=n, max_size=n)))
        options["column"] = np.array(["x", "y", "z", "u", "v", "w"])[owner]
        providers = len(np.unique(owner))
    else:
        options["providers"] = providers
    if how == "dirichlet":
        options["alpha"] = draw(st.sampled_from([1e-9, 0.01, 0.5, 100.0]))
    rate = st.floats(0, 1)
    for name in ("label_noise", "duplicates"):
        options[name] = draw(st.one_of(rate, st.lists(rate, min_size=providers, max_size=providers)))
    return n, options


def own(split: Partition, at: int) -> np.ndarray[Any, Any]:
    """A provider's rows without the copies."""
    return split.rows[at][: len(split.rows[at]) - split.copies[at]]


@settings(max_examples=200, deadline=None)
@given(asked())
def test_every_row_is_at_one_provider_or_left_out(case: tuple[int, dict[str, Any]]) -> None:
    n, options = case
    split = partition_rows(n, **options)
    together = np.concatenate([*(own(split, at) for at in range(len(split))), split.left_out])
    np.testing.assert_array_equal(np.sort(together), np.arange(n))
    if options["how"] == "sizes":
        assert [len(own(split, at)) for at in range(len(split))] == options["sizes"]
    else:
        assert len(split.left_out) == 0


@settings(max_examples=200, deadline=None)
@given(asked())
def test_exactly_what_was_asked_is_changed(case: tuple[int, dict[str, Any]]) -> None:
    n, options = case
    y = options["y"]
    split = partition_rows(n, **options)
    assert split.labels is not None
    for at in range(len(split)):
        rows, size = split.rows[at], len(own(split, at))
        rates = {
            name: options[name][at] if isinstance(options[name], list) else options[name]
            for name in ("label_noise", "duplicates")
        }
        other = split.labels[at] != y[rows]
        np.testing.assert_array_equal(other, split.changed[at])
        assert other[:size].sum() == round(rates["label_noise"] * size)
        assert set(split.labels[at]) <= set(y)
        assert split.copies[at] == round(rates["duplicates"] * size)
        copies = rows[size:]
        assert len(set(copies.tolist())) == len(copies)  # nobody is copied twice
        where = {row: place for place, row in enumerate(own(split, at).tolist())}
        for place, row in enumerate(copies.tolist(), size):
            assert split.labels[at][place] == split.labels[at][where[row]]
        np.testing.assert_array_equal(split.copy_number(at), [0] * size + [1] * len(copies))


@settings(max_examples=50, deadline=None)
@given(asked())
def test_a_seed_splits_alike_and_parameters_are_plain(case: tuple[int, dict[str, Any]]) -> None:
    n, options = case
    one, two = partition_rows(n, **options), partition_rows(n, **options)
    for ours, theirs in zip((*one.rows, *one.changed), (*two.rows, *two.changed), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert json.loads(json.dumps(one.parameters)) == one.parameters


@given(st.integers(1, 300), st.integers(1, 20))
def test_contiguous_parts_are_as_equal_as_can_be(n: int, providers: int) -> None:
    if providers > n:
        with pytest.raises(DataError, match="cannot share"):
            partition_rows(n, providers=providers)
        return
    split = partition_rows(n, providers=providers)
    np.testing.assert_array_equal(np.concatenate(split.rows), np.arange(n))
    sizes = [len(rows) for rows in split.rows]
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


def test_as_published() -> None:
    """Ten parts of 5,000 in file order, or five of 10,000."""
    for providers in (10, 5):
        split = partition_rows(50_000, providers=providers)
        size = 50_000 // providers
        assert [(rows[0], rows[-1] + 1) for rows in split.rows] == [
            (size * at, size * (at + 1)) for at in range(providers)
        ]
    assert len(partition_rows(50_000)) == 10


def test_another_seed_splits_otherwise() -> None:
    y = np.arange(200) % 4
    for how in ("iid", "dirichlet"):
        one, two = (partition_rows(200, how=how, y=y, providers=4, seed=seed) for seed in (0, 1))
        assert any(len(a) != len(b) or (a != b).any() for a, b in zip(one.rows, two.rows, strict=True))


def test_the_smaller_alpha_the_more_uneven() -> None:
    y = np.arange(5000) % 10

    def unlikeness(alpha: float) -> float:
        split = partition_rows(5000, how="dirichlet", y=y, providers=5, alpha=alpha, allow_empty=True)
        counts = np.array([np.bincount(y[rows], minlength=10) for rows in split.rows])
        return float(np.abs(counts - 100).mean())

    found = [unlikeness(alpha) for alpha in (1000.0, 10.0, 0.5, 0.01)]
    assert found == sorted(found)
    assert found[0] < 5
    assert found[-1] > 100


def test_shares_are_rounded_to_whole_rows() -> None:
    split = partition_rows(10, how="sizes", sizes=[0.33, 0.33, 0.34])
    assert sorted(len(rows) for rows in split.rows) == [3, 3, 4]
    split = partition_rows(101, how="sizes", sizes=[0.5, 0.25])
    assert sum(len(rows) for rows in split.rows) == 76
    assert len(split.left_out) == 25


def test_label_noise_reaches_every_other_class() -> None:
    y = np.array(["a", "b", "c"])[np.arange(3000) % 3]
    split = partition_rows(3000, providers=1, y=y, label_noise=1.0)
    assert split.labels is not None
    moves = {(was, now): 0 for was in "abc" for now in "abc"}
    for was, now in zip(y.tolist(), split.labels[0].tolist(), strict=True):
        moves[was, now] += 1
    assert all(moves[label, label] == 0 for label in "abc")
    assert min(count for (was, now), count in moves.items() if was != now) > 400


def test_points_keep_what_they_are() -> None:
    points = dw.Points(
        np.arange(12.0).reshape(6, 2), list("ababab"), ids=[f"r{i}" for i in range(6)], owners=[1, 1, 2, 2, 3, 3],
        features=["u", "v"],
    )  # fmt: skip
    split = partition_rows(6, how="sizes", sizes=[4, 0], y=points.y, duplicates=0.5, allow_empty=True)
    first, second = partition_points(points, split)
    assert second is None
    assert first is not None
    assert len(first) == 6
    rows = split.rows[0]
    np.testing.assert_array_equal(first.x, points.x[rows])
    np.testing.assert_array_equal(first.owners, points.owners[rows])  # type: ignore[index]
    assert first.features == ("u", "v")
    assert first.ids.tolist() == [
        *(f"r{row}" for row in rows[:4]),
        *(f"r{row}-copy1" for row in rows[4:]),
    ]


def test_points_of_another_set_are_refused() -> None:
    points = dw.Points([[1.0], [2.0]], ["a", "b"])
    with pytest.raises(DataError, match="the 2 that there are"):
        partition_points(points, partition_rows(3, providers=1))


Y = np.array(["a", "b"] * 10)


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"how": "by-hand"}, MethodError, "how must be 'contiguous', 'iid'"),
        ({"providers": 21}, DataError, "21 providers cannot share 20 rows"),
        ({"providers": 0}, MethodError, "from 1 to"),
        ({"providers": True}, MethodError, "from 1 to"),
        ({"providers": 2, "seed": -1}, MethodError, "seed"),
        ({"providers": 2, "label_noise": 1.1, "y": Y}, MethodError, "label_noise must be between 0 and 1"),
        ({"providers": 2, "duplicates": -0.1}, MethodError, "duplicates must be between 0 and 1"),
        ({"providers": 2, "duplicates": math.nan}, MethodError, "duplicates must be between 0 and 1"),
        ({"providers": 3, "label_noise": [0.1, 0.2], "y": Y}, MethodError, "one for each of the 3 providers, not 2"),
        ({"providers": 2, "label_noise": 0.1}, MethodError, "needs labels"),
        ({"providers": 2, "label_noise": 0.5, "y": np.zeros(20, int)}, DataError, "two classes"),
        ({"providers": 2, "label_noise": 0.5, "y": np.linspace(0, 1, 20)}, DataError, "fractions"),
        ({"providers": 2, "y": Y[:5]}, DataError, "one entry for each of the 20 rows"),
        ({"how": "dirichlet"}, MethodError, "needs labels"),
        ({"how": "dirichlet", "y": np.zeros(20, int), "providers": 2}, DataError, "two classes"),
        ({"how": "dirichlet", "y": Y, "alpha": 0.0}, MethodError, "alpha must be above 0"),
        ({"how": "dirichlet", "y": Y, "alpha": math.nan}, MethodError, "alpha must be above 0"),
        ({"how": "dirichlet", "y": Y, "alpha": 1e-4, "providers": 15}, DataError, "larger alpha"),
        ({"how": "iid", "alpha": 0.5}, MethodError, "alpha belongs to the split 'dirichlet'"),
        ({"how": "iid", "sizes": [1]}, MethodError, "sizes belongs to"),
        ({"how": "sizes"}, MethodError, "needs sizes"),
        ({"how": "sizes", "sizes": []}, MethodError, "at least one"),
        ({"how": "sizes", "sizes": [15, 6]}, DataError, "sum to 21, but there are 20"),
        ({"how": "sizes", "sizes": [-1, 6]}, MethodError, "below 0"),
        ({"how": "sizes", "sizes": [0.5, 0.6]}, MethodError, "sum to 1 at most"),
        ({"how": "sizes", "sizes": [0.5, 6]}, MethodError, "sum to 1 at most"),
        ({"how": "sizes", "sizes": [20, 0]}, DataError, "1 of 2 providers would have no rows"),
        ({"how": "sizes", "sizes": [5, 5], "providers": 3}, MethodError, "name 2 providers, not 3"),
        ({"how": "column"}, MethodError, "needs column"),
        ({"how": "column", "column": np.arange(3)}, DataError, "one entry for each"),
    ],
)
def test_bad_input(options: dict[str, Any], kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        partition_rows(20, **options)


def test_splits_are_known_by_name() -> None:
    assert tuple(Split) == ALL
