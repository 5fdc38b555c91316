"""The standard experiments: against brute force, against each other, and against what must hold for any values."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score
from sklearn.neighbors import KNeighborsClassifier

import dataworth as dw
from dataworth.valuation.experiments import area_of, two_clusters

NEAREST = KNeighborsClassifier(n_neighbors=1)
Floats = np.ndarray[tuple[int], np.dtype[np.float64]]

# Small whole numbers, so that values tie often.
lists = st.lists(st.integers(-5, 5), min_size=2, max_size=12)


def valued(values: object) -> dw.Values:
    figures = np.asarray(values, dtype=np.float64)
    return dw.Values([f"r{i}" for i in range(figures.size)], figures, method="by hand", n_validation=4)


def problem(n: int = 40, seed: int = 0) -> tuple[dw.Values, dw.Points, dw.Points]:
    """Two classes on a line, a fifth of the labels wrong, values without ties that know most of it."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = y[:, None] * 4.0 + rng.normal(size=(n, 1))
    wrong = np.arange(n) < n // 5
    train = dw.Points(x, np.where(wrong, 1 - y, y), ids=[f"r{i}" for i in range(n)])
    test = dw.Points(y[:, None] * 4.0 + rng.normal(size=(n, 1)), y)
    return valued(np.where(wrong, -1.0, 1.0) + rng.normal(size=n)), train, test


# -- noisy label detection -------------------------------------------------------------------------


def squares(values: Floats) -> float:
    return float(((values - values.mean()) ** 2).sum()) if values.size else 0.0


@given(lists, st.sampled_from([1.0, 1e-200, 1e150]), st.sampled_from([0.0, 7.0]))
def test_the_clusters_are_the_best_of_every_cut(given_values: list[int], scale: float, offset: float) -> None:
    whole = np.array(given_values, dtype=np.float64)
    called = two_clusters((whole + offset) * scale)
    if np.unique(whole).size == 1:
        assert not called.any()
        return
    assert 0 < called.sum() < whole.size
    assert whole[called].max() < whole[~called].min()  # equal values are never parted
    ordered = np.sort(whole)
    best = min(squares(ordered[:i]) + squares(ordered[i:]) for i in range(1, whole.size))
    assert squares(whole[called]) + squares(whole[~called]) == pytest.approx(best, abs=1e-9)


def test_of_two_best_cuts_the_lower_is_taken() -> None:
    assert two_clusters(np.array([3.0, 1.0, 2.0])).tolist() == [False, True, False]


def test_the_call_is_judged_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(3)
    bad = rng.random(200) < 0.15
    values = valued(rng.normal(size=200) - 2.0 * bad)
    (row,) = dw.noisy_label_detection(values, bad).rows()
    auroc, average, count, precision, recall, f1, _ = row
    called = two_clusters(values.values)
    assert count == called.sum()
    assert precision == pytest.approx(precision_score(bad, called))
    assert recall == pytest.approx(recall_score(bad, called))
    assert f1 == pytest.approx(f1_score(bad, called))
    found = values.detection(bad)
    assert (auroc, average) == (found.auroc, found.average_precision)


@given(st.integers(1, 6), st.integers(1, 6))
def test_chance_is_the_mean_of_every_call_of_that_size(size: int, n_bad: int) -> None:
    n = 7
    bad = np.arange(n) < n_bad
    figures = dw.noisy_label_detection(valued([0.0] * size + [1.0] * (n - size)), bad)
    assert figures.columns["called bad"] == (size,)
    every = [2 * sum(bad[list(call)]) / (size + n_bad) for call in combinations(range(n), size)]
    assert figures.columns["F1 by chance"][0] == pytest.approx(np.mean(every))


def test_equal_values_call_nothing_bad() -> None:
    table = dw.noisy_label_detection(valued(np.ones(5)), np.arange(5) < 2)
    assert table.columns["called bad"] == (0,)
    assert {table.columns[key] for key in ("precision", "recall", "F1", "F1 by chance")} == {(None,)}
    assert table.columns["AUROC"] == (0.5,)
    assert "All values are equal" in table.note


@pytest.mark.parametrize("experiment", [dw.noisy_label_detection, dw.discovery_curve])
@pytest.mark.parametrize("bad", [[0, 1, 0], [True, False], [True] * 3, [False] * 3])
def test_what_is_no_mask_is_refused(experiment: object, bad: list[bool]) -> None:
    with pytest.raises(dw.InputError, match="bad"):
        experiment(valued([1, 2, 3]), bad)  # type: ignore[operator]


# -- discovery -------------------------------------------------------------------------------------


@given(st.integers(1, 60), st.data())
def test_perfect_values_reach_the_best_line(n_bad: int, data: st.DataObject) -> None:
    n = data.draw(st.integers(n_bad + 1, 100))
    bad = np.random.default_rng(n).permutation(n) < n_bad
    curve = dw.discovery_curve(valued(np.where(bad, -1.0, 1.0)), bad)
    line, best = (np.array(curve.table.columns[key], dtype=float) for key in ("lowest value first", "best possible"))
    np.testing.assert_allclose(line, best)


@given(lists, st.data())
def test_no_line_is_above_the_best_or_below_the_worst(given_values: list[int], data: st.DataObject) -> None:
    n = len(given_values)
    n_bad = data.draw(st.integers(1, n - 1))
    bad = np.arange(n) < n_bad
    table = dw.discovery_curve(valued(given_values), bad).table
    line, best, share = (np.array(table.columns[key]) for key in ("lowest value first", "best possible", "inspected"))
    assert (line <= best + 1e-12).all()
    assert (line >= 1 - np.minimum((1 - share) * n / n_bad, 1.0) - 1e-12).all()
    assert (np.diff(line) >= -1e-12).all()
    np.testing.assert_allclose(np.array(table.columns["random order"], dtype=float), share)


@pytest.mark.parametrize("n", [4, 10, 25, 100])
def test_the_area_is_that_of_auroc(n: int) -> None:
    """Sizes that divide a hundred: the curve bends at its own points only, so the area is exact."""
    rng = np.random.default_rng(n)
    bad = np.arange(n) < max(1, n // 5)
    values = valued(rng.integers(0, 6, size=n))
    rate = bad.mean()
    area = dw.discovery_curve(values, bad).areas["lowest value first"]
    assert area == pytest.approx(rate / 2 + (1 - rate) * values.detection(bad).auroc, abs=1e-12)


def test_areas_of_both_other_lines() -> None:
    areas = dw.discovery_curve(valued(np.arange(10)), np.arange(10) < 2).areas
    assert areas["random order"] == pytest.approx(0.5)
    assert areas["best possible"] == pytest.approx(0.9)


def test_area_is_the_mean_height() -> None:
    assert area_of([0.0, 0.5], [0.2, 0.4]) == pytest.approx(0.3)
    assert area_of([0.0, 0.1, 0.5], [1.0, 1.0, 1.0]) == pytest.approx(1.0)
    assert area_of([0.3], [0.7]) == 0.7


# -- removal and addition --------------------------------------------------------------------------


def test_removal_is_the_removal_curve() -> None:
    curve = dw.point_removal(*problem(), NEAREST, fractions=[0.0, 0.2, 0.4], repeats=2, seed=1)
    table = dw.removal_curve(*problem(), NEAREST, fractions=[0.0, 0.2, 0.4], repeats=2, seed=1)
    assert curve.table.rows() == table.rows()
    low = np.array(table.columns["lowest first"])
    assert curve.areas["lowest first"] == pytest.approx((low[0] / 2 + low[1] + low[2] / 2) / 2)
    assert curve.areas["lowest first"] > curve.areas["random"] > curve.areas["highest first"]


def test_what_is_added_last_is_what_is_removed_first() -> None:
    """Without ties, taking away the lowest is keeping the highest."""
    shares = [0.0, 0.25, 0.5, 0.75, 1.0]
    removed = dw.point_removal(*problem(), NEAREST, fractions=shares).table.columns
    added = dw.point_addition(*problem(), NEAREST, fractions=shares).table.columns
    assert removed["lowest first"] == added["highest first"][::-1]
    assert removed["highest first"] == added["lowest first"][::-1]


@pytest.mark.parametrize("experiment", [dw.point_removal, dw.point_addition])
def test_reversed_values_mirror_both_lines(experiment: object) -> None:
    values, train, test = problem()
    values = valued(np.round(values.values))  # with ties
    one = experiment(values, train, test, NEAREST).table.columns  # type: ignore[operator]
    other = experiment(valued(-values.values), train, test, NEAREST).table.columns  # type: ignore[operator]
    assert one["lowest first"] == other["highest first"]
    assert one["highest first"] == other["lowest first"]
    assert one["random"] == other["random"]


def test_addition_by_hand() -> None:
    x = np.array([[0.0], [1.0], [2.0], [3.0]])
    train = dw.Points(x, ["a", "b", "a", "b"])
    test = dw.Points(x, ["a", "b", "b", "b"])
    values = dw.Values(train.ids, [0.1, 0.2, -0.3, 0.4], method="by hand", n_validation=4)
    curve = dw.point_addition(values, train, test, NEAREST, fractions=[0.0, 0.25, 0.5, 0.75, 1.0], repeats=1)
    # Highest first, rows 3, 1, 0, 2 come: a guess; then "b" alone answers everywhere, twice; then 0.0 is answered "a",
    # and the rest "b"; then 2.0 is answered "a".
    assert curve.table.columns["highest first"] == (0.5, 0.75, 0.75, 1.0, 0.75)
    # Lowest first, rows 2, 0, 1, 3 come: "a" alone, twice; then 2.0 and 3.0 are answered "a".
    assert curve.table.columns["lowest first"] == (0.5, 0.25, 0.25, 0.5, 0.75)
    assert "trained on the first of 4 rows" in curve.table.note


@pytest.mark.parametrize("experiment", [dw.point_removal, dw.point_addition])
def test_other_rows_are_refused(experiment: object) -> None:
    _, train, test = problem()
    with pytest.raises(dw.DataError, match="39 values"):
        experiment(valued(np.zeros(39)), train, test, NEAREST)  # type: ignore[operator]


def test_pictures_show_the_lines() -> None:
    picture = dw.point_addition(*problem(), NEAREST, fractions=[0.0, 0.5], repeats=2).picture
    assert (picture.kind, picture.series) == ("curve", "order")
    assert list(dict.fromkeys(picture.table.columns["order"])) == ["highest first", "random", "lowest first"]
