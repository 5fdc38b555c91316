"""Events as JSON and back, exactly; nothing unknown is let in."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataworth.errors import DataError, InputError
from dataworth.privacy.events import describe_events, events_from_json, events_to_json
from dataworth.privacy.kinds import CappedCounts, Event, RowCount, SubsampledCounts

sigmas = st.integers(1, 2**32).map(lambda n: Fraction(n, 2**14))
shares = st.tuples(st.integers(1, 10**30), st.integers(1, 10**30)).map(lambda ab: Fraction(min(ab), max(ab)))
numbers = st.integers(1, 10**7)
events = st.one_of(
    st.builds(SubsampledCounts, sigmas, shares, numbers),
    st.builds(CappedCounts, sigmas, numbers),
    st.builds(RowCount, sigmas),
)
CAPPED = {"kind": "capped-counts", "sigma": "41/2", "links": 25}


@given(st.lists(events, max_size=4))
def test_there_and_back(some: list[Event]) -> None:
    written = json.dumps(events_to_json(some))
    assert events_from_json(json.loads(written)) == tuple(some)


@given(st.lists(events, min_size=1, max_size=3), st.lists(events, min_size=1, max_size=3))
def test_other_events_have_other_texts(one: list[Event], other: list[Event]) -> None:
    assert (events_to_json(one) == events_to_json(other)) == (one == other)


def test_rationals_are_written_as_such() -> None:
    assert events_to_json([SubsampledCounts(Fraction(3), Fraction(1, 3), 7), RowCount(Fraction(1, 2))]) == [
        {"kind": "subsampled-counts", "sigma": "3/1", "probability": "1/3", "points": 7},
        {"kind": "row-count", "sigma": "1/2"},
    ]


@pytest.mark.parametrize(
    "pieces",
    [
        None,
        {},
        "[]",
        [None],
        [[]],
        [{}],
        [{"kind": "laplace", "sigma": "1/1"}],
        [{"kind": "capped-counts", "sigma": "41/2"}],
        [CAPPED | {"probability": "1/2"}],
        [CAPPED | {"sigma": 20.5}],
        [CAPPED | {"sigma": "20.5"}],
        [CAPPED | {"sigma": "82/4"}],
        [CAPPED | {"sigma": "+41/2"}],
        [CAPPED | {"sigma": " 41/2"}],
        [CAPPED | {"sigma": "41/0"}],
        [CAPPED | {"sigma": "-41/2"}],
        [CAPPED | {"sigma": "4_1/2"}],
        [CAPPED | {"sigma": "٤/٢"}],
    ],
    ids=repr,
)
def test_what_is_no_event(pieces: Any) -> None:
    with pytest.raises(DataError):
        events_from_json(pieces)


@pytest.mark.parametrize("change", [{"sigma": "1/3"}, {"links": 0}, {"links": "25"}, {"links": True}, {"links": 2.5}])
def test_numbers_that_no_event_can_have(change: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        events_from_json([CAPPED | change])


@given(st.lists(events, min_size=1, max_size=3))
def test_words_name_every_event(some: list[Event]) -> None:
    assert describe_events(some).count("noise") == len(some)
