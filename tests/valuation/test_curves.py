"""The removal curve against curves worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import dataworth as dw

NEAREST = KNeighborsClassifier(n_neighbors=1)


def problem(n: int = 60, seed: int = 0) -> tuple[dw.Values, dw.Points, dw.Points]:
    """Two classes on a line; the first fifth of the labels wrong, and the values know it."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = y[:, None] * 4.0 + rng.normal(size=(n, 1))
    wrong = np.arange(n) < n // 5
    train = dw.Points(x, np.where(wrong, 1 - y, y), ids=[f"r{i}" for i in range(n)])
    validation = dw.Points(y[:, None] * 4.0 + rng.normal(size=(n, 1)), y)
    values = dw.Values(train.ids, np.where(wrong, -1.0, 1.0), method="by hand", n_validation=n)
    return values, train, validation


def test_each_step_is_a_model_on_what_is_left() -> None:
    x = np.array([[0.0], [1.0], [2.0], [3.0]])
    train = dw.Points(x, ["a", "b", "a", "b"], ids=[10, 11, 12, 13])
    validation = dw.Points(x, ["a", "b", "b", "b"])
    values = dw.Values(train.ids, [0.1, 0.2, -0.3, 0.4], method="by hand", n_validation=4)
    curve = dw.removal_curve(values, train, validation, NEAREST, fractions=[0.0, 0.25, 0.5, 0.75, 1.0], repeats=2)
    # Lowest first, rows 12, 10, 11, 13 leave: all; then 2.0 is answered by 1.0 or 3.0, both "b"; then "b"
    # alone is left, and answers everywhere; then it still does; then nothing is left but a guess.
    assert curve.columns["lowest first"] == (0.75, 1.0, 0.75, 0.75, 0.5)
    # Highest first, rows 13, 11, 10, 12 leave: 3.0 is answered "a"; then "a" alone is left, ...
    assert curve.columns["highest first"] == (0.75, 0.5, 0.25, 0.25, 0.5)
    assert curve.columns["removed"] == (0.0, 0.25, 0.5, 0.75, 1.0)


def test_values_that_know_beat_chance() -> None:
    curve = dw.removal_curve(*problem(), NEAREST, fractions=[0.0, 0.2, 0.4])
    lowest, random, highest = (np.array(curve.columns[name]) for name in ("lowest first", "random", "highest first"))
    assert lowest[0] == random[0] == highest[0]
    assert lowest[1] > random[1] > highest[1]
    low, high = (np.array(curve.columns[f"random, {end} run"]) for end in ("lowest", "highest"))
    assert (low <= random).all()
    assert (random <= high).all()


def test_whole_float_labels_are_classes() -> None:
    values, train, validation = problem()
    wanted = dw.removal_curve(values, train, validation, NEAREST).rows()
    train, validation = (dw.Points(p.x, p.y.astype(np.float64), ids=p.ids) for p in (train, validation))
    assert dw.removal_curve(values, train, validation, NEAREST).rows() == wanted


def test_values_are_matched_by_id() -> None:
    values, train, validation = problem()
    turned = np.random.default_rng(5).permutation(len(train))
    shuffled = dw.Values(values.ids[turned], values.values[turned], method="by hand", n_validation=60)
    wanted = dw.removal_curve(values, train, validation, NEAREST).rows()
    assert dw.removal_curve(shuffled, train, validation, NEAREST).rows() == wanted


def test_equal_values_leave_in_no_order_of_the_file() -> None:
    """Rows sorted by class and all of one value: removing in the file's order would lose a whole class."""
    n = 200
    y = np.repeat([0, 1], n // 2)
    points = dw.Points(y[:, None] + np.linspace(0, 0.1, n)[:, None], y)
    values = dw.Values(points.ids, np.zeros(n), method="by hand", n_validation=n)
    curve = dw.removal_curve(values, points, points, NEAREST, fractions=[0.5])
    assert curve.columns["lowest first"] == curve.columns["highest first"] == (1.0,)


def test_the_same_seed_gives_the_same_curve() -> None:
    forest = RandomForestClassifier(n_estimators=3)
    runs = [dw.removal_curve(*problem(), make_pipeline(StandardScaler(), forest), seed=3, repeats=2) for _ in range(2)]
    assert runs[0].rows() == runs[1].rows()
    assert forest.random_state is None  # the model given is left as it was
    assert not hasattr(forest, "estimators_")
    assert "RandomForestClassifier" in runs[0].note


def test_default_fractions() -> None:
    curve = dw.removal_curve(*problem(), NEAREST, repeats=1)
    assert curve.columns["removed"] == pytest.approx(np.linspace(0, 0.5, 11))


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([f"r{i}" for i in range(59)], "there are 59 values"),
        ([f"s{i}" for i in range(60)], "60 of 60 rows have no value"),
        (list(range(60)), "int64"),
    ],
)
def test_other_rows_are_refused(ids: list[str], said: str) -> None:
    _, train, validation = problem()
    values = dw.Values(ids, np.zeros(len(ids)), method="by hand", n_validation=1)
    with pytest.raises(dw.DataError, match=said):
        dw.removal_curve(values, train, validation, NEAREST)


def test_other_features_are_refused() -> None:
    values, train, _ = problem()
    with pytest.raises(dw.DataError, match="features"):
        dw.removal_curve(values, train, dw.Points([[1.0, 2.0]], [0]), NEAREST)


def test_numeric_targets_are_refused() -> None:
    points = dw.Points([[0.0], [1.0]], [0.5, 1.5])
    values = dw.Values(points.ids, [0.0, 1.0], method="by hand", n_validation=2)
    with pytest.raises(dw.MethodError, match="classes"):
        dw.removal_curve(values, points, points, NEAREST)


@pytest.mark.parametrize("model", [LinearRegression(), StandardScaler(), "a forest", None])
def test_what_is_no_classifier_is_refused(model: object) -> None:
    with pytest.raises(dw.MethodError, match="scikit-learn classifier"):
        dw.removal_curve(*problem(), model)


@pytest.mark.parametrize("fractions", [[], [-0.1], [0.5, 1.1], [0.5, 0.2], [0.1, 0.1], [float("nan")]])
def test_fractions_that_make_no_sense_are_refused(fractions: list[float]) -> None:
    with pytest.raises(dw.MethodError, match="fractions"):
        dw.removal_curve(*problem(), NEAREST, fractions=fractions)


@pytest.mark.parametrize("repeats", [0, -1, 1.5, True])
def test_repeats_that_make_no_sense_are_refused(repeats: int) -> None:
    with pytest.raises(dw.MethodError, match="repeats"):
        dw.removal_curve(*problem(), NEAREST, repeats=repeats)


def test_a_model_that_needs_more_rows_says_so() -> None:
    with pytest.raises(dw.MethodError, match="6 of 60 rows"):
        dw.removal_curve(*problem(), KNeighborsClassifier(n_neighbors=20), fractions=[0.9])


class Indiscreet(DummyClassifier):  # type: ignore[misc]
    def fit(self, x: object, y: object) -> None:
        raise ValueError("the secret row")


def test_a_model_that_fails_quotes_no_row() -> None:
    with pytest.raises(dw.MethodError, match=r"\(ValueError\)") as caught:
        dw.removal_curve(*problem(), Indiscreet())
    assert "secret" not in str(caught.value)


def test_a_constant_model_gives_a_level_curve() -> None:
    curve = dw.removal_curve(*problem(), DummyClassifier(strategy="constant", constant=1), fractions=[0.0, 0.3])
    assert curve.columns["random"] == (0.5, 0.5)
