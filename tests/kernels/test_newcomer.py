"""A newcomer's value is the one it has once the data set is built and valued with it in it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataworth.kernels.newcomer import newcomer_values
from tests import oracles


@st.composite
def games(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances (ties on purpose), matches, and which rows each data set holds."""
    n = draw(st.integers(1, 5))
    distance = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    match = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    sets = draw(st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=1, max_size=3))
    return np.array(distance, dtype=float), np.array(match), np.array(sets)


@settings(max_examples=40, deadline=None)
@given(game=games(), copies=st.integers(1, 3))
def test_every_newcomer_by_enumeration(game: tuple[np.ndarray, np.ndarray, np.ndarray], copies: int) -> None:
    distance, match, sets = game
    ks = [1, 2, 3, 9]
    found = newcomer_values(distance, match, sets, np.arange(distance.size), ks, copies=copies)
    assert found.shape == (len(ks), len(sets), distance.size)
    for s, held in enumerate(sets):
        for z in range(distance.size):
            everyone = np.append(distance[held], np.repeat(distance[z], copies))
            matches = np.append(match[held], np.repeat(match[z], copies))
            order = np.argsort(everyone, kind="stable")
            for at, k in enumerate(ks):
                utility = oracles.fixed_knn(matches[order].tolist(), k)
                wanted = oracles.shapley(utility, order.size)
                place = int(np.flatnonzero(order == order.size - 1)[0])
                assert found[at, s, z] == pytest.approx(float(wanted[place]), abs=1e-12)
