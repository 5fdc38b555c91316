"""The printed numbers are all there, and agree with each other where the paper prints them twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from dataworth.papers import published
from dataworth.papers.datasets import SOURCES

TABLES = {name for name, source in SOURCES.items() if source.kind == "table"}
ABLATIONS = [
    (published.TAU_MISLABEL, published.TAUS),
    (published.TAU_NOISY, published.TAUS),
    (published.K_MISLABEL, published.KS),
    (published.K_NOISY, published.KS),
]


@pytest.mark.parametrize("table", [published.MISLABEL, published.NOISY])
def test_every_data_set_has_a_detection_number(table: Mapping[str, published.Detection]) -> None:
    assert set(table) == set(SOURCES)
    for name, row in table.items():
        others = (row.data_shapley, row.loo, row.banzhaf)
        assert all((other is not None) == (name in TABLES) for other in others)
        assert all(0.4 < number < 1 for number in (row.tknn, row.knn, *others) if number is not None)


@pytest.mark.parametrize(("table", "settings"), ABLATIONS)
def test_every_table_has_a_number_for_every_setting(
    table: Mapping[str, Sequence[float]], settings: Sequence[float]
) -> None:
    assert set(table) == TABLES
    assert all(len(row) == len(settings) and all(0.5 < number < 1 for number in row) for row in table.values())


def test_table_12_repeats_table_10_at_tau_one_half() -> None:
    at = published.TAUS.index(0.5)
    assert {name: row[at] for name, row in published.TAU_NOISY.items()} == {
        name: published.NOISY[name].tknn for name in TABLES
    }


def test_table_14_repeats_table_10_with_two_sets_exchanged() -> None:
    exchanged = {"phoneme": "cpu", "cpu": "phoneme"}
    at = published.KS.index(5)
    assert {exchanged.get(name, name): row[at] for name, row in published.K_NOISY.items()} == {
        name: published.NOISY[name].knn for name in TABLES
    }


def test_table_11_is_a_second_run_of_table_3() -> None:
    at = published.TAUS.index(0.5)
    apart = [abs(row[at] - published.MISLABEL[name].tknn) for name, row in published.TAU_MISLABEL.items()]
    assert 0.001 < max(apart) < 0.0041


@pytest.mark.parametrize("table", [published.PRIVATE_MISLABEL, published.PRIVATE_NOISY])
def test_every_data_set_has_private_numbers_at_every_epsilon(
    table: Mapping[str, Mapping[str, published.PrivateDetection]],
) -> None:
    assert set(table) == set(SOURCES)
    subsampled = {name for name, rows in table.items() if rows["1"].knn_subsampled is not None}
    assert subsampled == {"2dplanes", "phoneme", "cpu", "creditcard", "click", "wind"}
    for name, rows in table.items():
        assert tuple(rows) == published.EPSILONS
        for row in rows.values():
            assert (row.knn_subsampled is not None) == (name in subsampled)
            for printed in (row.tknn, row.knn, row.knn_subsampled):
                assert printed is None or (0.3 < printed[0] < 1 and 0 <= printed[1] < 0.4)


def test_private_numbers_are_never_far_above_the_others() -> None:
    for name, rows in published.PRIVATE_MISLABEL.items():
        assert rows["1"].tknn[0] < published.MISLABEL[name].tknn + 0.01
    # Noisy rows of CPU stand out more in values from counts of a sample than in exact values.
    assert published.PRIVATE_NOISY["cpu"]["1"].tknn[0] > published.NOISY["cpu"].tknn + 0.08
