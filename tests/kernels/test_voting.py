"""Votes are exact and each row's own; what follows the noise is plain arithmetic."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from dataworth.errors import InputError
from dataworth.kernels.voting import above, apportion, best, count_votes, draw_evenly

# Few places, so that equal distances and copies are common.
places = st.integers(1, 3).flatmap(
    lambda d: st.tuples(
        hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.just(d)), elements=st.integers(-2, 2).map(float)),
        hnp.arrays(np.float64, st.tuples(st.integers(0, 9), st.just(d)), elements=st.integers(-2, 2).map(float)),
    )
)
counts = hnp.arrays(np.int64, st.integers(1, 12), elements=st.integers(0, 9))


def by_hand(candidates: NDArray[Any], rows: NDArray[Any], votes: int) -> list[int]:
    found = [0] * len(candidates)
    for row in rows.tolist():
        far = [sum((Fraction(a) - Fraction(b)) ** 2 for a, b in zip(c, row, strict=True)) for c in candidates.tolist()]
        for at in sorted(range(len(far)), key=lambda i: (far[i], i))[:votes]:
            found[at] += 1
    return found


@settings(deadline=None)
@given(places, st.data())
def test_each_row_votes_for_its_nearest_and_ties_go_to_the_earlier(
    given_places: tuple[NDArray[Any], NDArray[Any]], data: st.DataObject
) -> None:
    candidates, rows = given_places
    votes = data.draw(st.integers(1, len(candidates)))
    found = count_votes(candidates, rows, votes)
    assert found.tolist() == by_hand(candidates, rows, votes)
    assert found.sum() == votes * len(rows)


@settings(deadline=None)
@given(places, st.data())
def test_one_row_more_adds_one_to_exactly_its_own_bins(
    given_places: tuple[NDArray[Any], NDArray[Any]], data: st.DataObject
) -> None:
    candidates, rows = given_places
    votes = data.draw(st.integers(1, len(candidates)))
    one = np.array([data.draw(st.lists(st.floats(-3, 3), min_size=rows.shape[1], max_size=rows.shape[1]))])
    at = data.draw(st.integers(0, len(rows)))
    change = count_votes(candidates, np.insert(rows, at, one, axis=0), votes) - count_votes(candidates, rows, votes)
    assert sorted(set(change.tolist())) in ([0, 1], [1])
    assert change.sum() == votes


def test_votes_do_not_depend_on_how_many_rows_are_counted_at_once() -> None:
    rng = np.random.default_rng(0)
    candidates, rows = rng.normal(size=(700, 16)).astype(np.float32), rng.normal(size=(900, 16)).astype(np.float32)
    one_by_one = sum(count_votes(candidates, row[None], 3) for row in rows)
    np.testing.assert_array_equal(count_votes(candidates, rows, 3), one_by_one)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e30])
def test_a_row_out_of_reach_casts_no_vote(odd: float) -> None:
    candidates = np.array([[0.0, 0.0], [1.0, 1.0]])
    assert count_votes(candidates, np.array([[0.1, odd], [0.9, 0.9]]), 1).tolist() == [0, 1]


@pytest.mark.parametrize("votes", [0, 3, -1])
def test_votes_out_of_range_are_refused(votes: int) -> None:
    with pytest.raises(InputError, match="votes must be from 1 to 2"):
        count_votes(np.zeros((2, 1)), np.zeros((4, 1)), votes)


@given(hnp.arrays(np.int64, 6, elements=st.integers(-9, 9)), st.integers(0, 5))
def test_a_threshold_is_cut_and_taken_off(noisy: NDArray[np.int64], threshold: int) -> None:
    assert above(noisy, threshold).tolist() == [max(count - threshold, 0) for count in noisy.tolist()]


@given(counts, st.integers(0, 40), st.floats(0, 1, exclude_max=True))
def test_draws_are_within_one_of_what_is_due(weights: NDArray[np.int64], number: int, start: float) -> None:
    drawn = draw_evenly(weights, number, start)
    held = weights if weights.any() else np.ones_like(weights)
    times = np.bincount(drawn, minlength=len(weights))
    assert times.sum() == number
    assert (np.abs(times - number * held / held.sum()) < 1 + 1e-9).all()
    assert not times[held == 0].any()
    assert (np.diff(drawn) >= 0).all()


def test_draws_are_fair_over_starts() -> None:
    weights = np.array([5, 0, 2, 1])
    times = sum(np.bincount(draw_evenly(weights, 3, start), minlength=4) for start in (np.arange(4000) + 0.5) / 4000)
    np.testing.assert_allclose(times / 4000, 3 * weights / 8, atol=1e-3)


def test_the_last_point_never_falls_off_the_end() -> None:
    below_one = np.nextafter(1.0, 0.0)
    for m in range(1, 200):
        assert draw_evenly(np.array([m, 1, 0]), 3 * m, below_one).max() <= 1


@given(hnp.arrays(np.int64, 8, elements=st.integers(-3, 3)), st.integers(0, 8))
def test_the_best_come_first_and_ties_by_position(noisy: NDArray[np.int64], number: int) -> None:
    assert best(noisy, number).tolist() == sorted(range(8), key=lambda i: (-noisy[i], i))[:number]


@given(hnp.arrays(np.float64, st.integers(1, 8), elements=st.floats(0, 100)), st.integers(0, 1000))
def test_shares_add_up_and_are_within_one(shares: NDArray[np.float64], total: int) -> None:
    if not shares.sum() > 1e-9:
        return
    given_out = apportion(shares, total)
    assert given_out.sum() == total
    assert (np.abs(given_out - shares / shares.sum() * total) < 1 + 1e-9).all()
    assert not given_out[shares == 0].any()


@pytest.mark.parametrize("shares", [[0.0, 0.0], [-1.0, 2.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_shares_that_are_none_are_refused(shares: list[float]) -> None:
    with pytest.raises(InputError, match="shares must be finite"):
        apportion(np.array(shares), 5)
