"""value_points against brute force for any small problem, and the laws its values keep at any size."""

from __future__ import annotations

import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import digamma

import dataworth as dw
from dataworth.errors import DataError, InputError, MethodError, UnmatchedLabels
from tests import oracles, strategies
from tests.strategies import Problem

DTYPES = ("float32", "float64")
SEMIVALUES: list[tuple[Any, oracles.SemivalueLaw]] = [
    ("shapley", oracles.SHAPLEY),
    ("banzhaf", oracles.BANZHAF),
    ("leave-one-out", oracles.LEAVE_ONE_OUT),
    (dw.Beta(4, 1), oracles.beta(4, 1)),
    (dw.Beta(1, 4), oracles.beta(1, 4)),
    (dw.Beta(2, 3), oracles.beta(2, 3)),
]


def value(train: dw.Points, validation: dw.Points, method: Any, **options: Any) -> NDArray[np.float64]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnmatchedLabels)
        return dw.value_points(train, validation, method=method, **options).values


def blobs(n: int, d: int, m: int, classes: int, seed: int = 0, dtype: Any = np.float32) -> tuple[dw.Points, dw.Points]:
    rng = np.random.default_rng(seed)
    middle = rng.normal(size=(classes, d))
    y, v = rng.integers(0, classes, n), np.arange(m) % classes
    x = (middle[y] + rng.normal(size=(n, d))).astype(dtype)
    return dw.Points(x, y), dw.Points((middle[v] + rng.normal(size=(m, d))).astype(dtype), v)


# -- against enumeration of all coalitions -----------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("normalise", ["subset", "k"])
@given(problem=strategies.classification_problems(max_train=6))
@settings(max_examples=60)
def test_knn_is_the_shapley_value_of_its_game(problem: Problem, normalise: Any, dtype: Any) -> None:
    def game(view: strategies.View) -> oracles.Utility:
        if normalise == "subset":
            return oracles.soft_knn(view.match, problem.k, problem.n_classes)
        return oracles.fixed_knn(view.match, problem.k)

    expected = problem.mean([oracles.shapley(game(view), len(view.match)) for view in problem.views()])
    method = dw.KNNShapley(problem.k, normalise=normalise, metric=problem.metric)
    np.testing.assert_allclose(value(problem.train, problem.validation, method, dtype=dtype), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("semivalue", "law"), SEMIVALUES, ids=str)
@given(problem=strategies.classification_problems(max_train=6))
@settings(max_examples=25)
def test_threshold_is_the_semivalue_of_its_game(
    problem: Problem, semivalue: Any, law: oracles.SemivalueLaw, dtype: Any
) -> None:
    n = len(problem.train_x)
    expected = problem.mean(
        [
            oracles.semivalue(oracles.threshold_knn(v.match, v.inside, problem.n_classes), n, law.weights(n))
            for v in problem.views()
        ]
    )
    method = dw.ThresholdKNNShapley(problem.radius, semivalue=semivalue, metric=problem.metric)
    np.testing.assert_allclose(value(problem.train, problem.validation, method, dtype=dtype), expected, atol=1e-12)


@given(
    problem=strategies.classification_problems(max_train=6, max_classes=2), kernel=st.sampled_from(["rbf", "uniform"])
)
@settings(max_examples=40)
def test_weighted_keeps_efficiency_and_its_game_when_unweighted(problem: Problem, kernel: Any) -> None:
    method = dw.WeightedKNNShapley(problem.k, kernel=kernel, metric=problem.metric)
    got = value(problem.train, problem.validation, method)
    if kernel == "uniform":
        views = list(problem.views())
        games = [oracles.weighted_hard_label([1 if a else -1 for a in v.match], problem.k) for v in views]
        expected = problem.mean([oracles.shapley(g, len(v.match)) for g, v in zip(games, views, strict=True)])
        np.testing.assert_allclose(got, expected, atol=1e-12)
    assert -1 - 1e-12 <= got.sum() <= 1e-12  # v(all) - v(none), and v(none) = 1


@given(problem=strategies.regression_problems(max_train=6), empty=strategies.empty_rules)
@settings(max_examples=60)
def test_regression_is_the_shapley_value_of_its_game(problem: Problem, empty: Any) -> None:
    expected = problem.mean(
        [
            oracles.shapley(
                oracles.regression(
                    [Fraction(float(problem.train_y[i])) for i in view.order], Fraction(float(target)), problem.k, empty
                ),
                len(view.order),
            )
            for view, target in zip(problem.views(), problem.validation_y, strict=True)
        ]
    )
    method = dw.KNNRegressionShapley(problem.k, empty=empty, metric=problem.metric)
    np.testing.assert_allclose(value(problem.train, problem.validation, method), expected, atol=1e-12)


@given(problem=strategies.classification_problems())
@settings(max_examples=60)
def test_vote_counts_agreements_less_disagreements(problem: Problem) -> None:
    expected = problem.mean(
        [[(1 if a else -1) if near else 0 for a, near in zip(v.match, v.inside, strict=True)] for v in problem.views()]
    )
    method = dw.ValidationVote(problem.radius, metric=problem.metric)
    np.testing.assert_allclose(value(problem.train, problem.validation, method), expected, atol=1e-15)


@given(problem=strategies.classification_problems(), rows=st.one_of(st.none(), st.integers(1, 50)))
@settings(max_examples=60)
def test_proxy_uses_counts_that_the_validation_set_predicts(problem: Problem, rows: int | None) -> None:
    x, y = problem.validation_x, problem.validation_y
    scale = (rows or len(problem.train_x)) / len(x)
    expected = np.zeros(len(problem.train_x))
    for z, view in enumerate(problem.views()):
        inside = oracles.inside_radius(x, x[z], problem.radius, problem.metric)
        p = (sum(near and y[i] == y[z] and i != z for i, near in enumerate(inside)) + 0.5) * scale
        q = (sum(near and y[i] != y[z] for i, near in enumerate(inside)) + 0.5) * scale
        m = 1 + p + q
        harmonic = float(np.euler_gamma + digamma(m + 1))
        for at, a, near in zip(view.order, view.match, view.inside, strict=True):
            if near:
                expected[at] += (a - 1 / problem.n_classes) / m + (harmonic - 1) / m * (a - p / (m - 1))
    method = dw.PublicProxy(problem.radius, expected_rows=rows, metric=problem.metric)
    np.testing.assert_allclose(value(problem.train, problem.validation, method), expected / len(x), atol=1e-12)


# -- laws at any size --------------------------------------------------------------------------------


def methods(metric: Any) -> list[Any]:
    radius = 0.7 if metric == "cosine" else 3.0
    return [
        dw.KNNShapley(5, metric=metric),
        dw.KNNShapley(5, normalise="k", metric=metric),
        dw.ThresholdKNNShapley(radius, metric=metric),
        dw.ThresholdKNNShapley(radius, semivalue="banzhaf", metric=metric),
        dw.ValidationVote(radius, metric=metric),
        dw.PublicProxy(radius, expected_rows=500, metric=metric),
        dw.KNNRegressionShapley(5, metric=metric),
    ]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("number", range(7))
def test_threads_change_no_bit(metric: Any, number: int) -> None:
    train, validation = blobs(3000, 7, 150, 3)
    method = methods(metric)[number]
    one, two, five = (value(train, validation, method, threads=t) for t in (1, 2, 5))
    assert (one == two).all()
    assert (one == five).all()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("number", range(7))
def test_order_of_rows_does_not_matter(metric: Any, number: int) -> None:
    train, validation = blobs(700, 7, 40, 3, dtype=np.float64)
    method = methods(metric)[number]
    shuffle = np.random.default_rng(1).permutation(len(train))
    straight = value(train, validation, method, dtype="float64")
    shuffled = value(train.take(shuffle), validation, method, dtype="float64")
    np.testing.assert_allclose(shuffled, straight[shuffle], atol=1e-14)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 6])  # the proxy's counts come from the whole validation set
def test_validation_points_add_up(metric: Any, number: int) -> None:
    train, validation = blobs(400, 5, 37, 3)
    method = methods(metric)[number]
    parts = [np.arange(20), np.arange(20, 37)]
    whole = value(train, validation, method, dtype="float64") * 37
    summed = sum(value(train, validation.take(p), method, dtype="float64", **_classes(method)) * len(p) for p in parts)
    np.testing.assert_allclose(summed, whole, atol=1e-12)


def _classes(method: Any) -> dict[str, Any]:
    return {} if isinstance(method, dw.KNNRegressionShapley) else {"classes": [0, 1, 2]}


@pytest.mark.parametrize("k", [1, 5, 2000, 3000])
def test_values_sum_to_accuracy_gained(k: int) -> None:
    train, validation = blobs(2000, 6, 60, 4)
    x = train.x / np.linalg.norm(train.x, axis=1, keepdims=True)
    v = validation.x / np.linalg.norm(validation.x, axis=1, keepdims=True)
    nearest = np.argsort(-(v @ x.T), axis=1, kind="stable")[:, :k]
    votes = train.y[nearest] == validation.y[:, None]
    soft = value(train, validation, dw.KNNShapley(k)).sum()
    assert soft == pytest.approx(votes.mean() - 0.25, abs=1e-9)
    fixed = value(train, validation, dw.KNNShapley(k, normalise="k")).sum()
    assert fixed == pytest.approx(votes.sum() / k / 60, abs=1e-9)


def test_threshold_values_sum_to_accuracy_gained_and_far_rows_get_exactly_zero() -> None:
    train, validation = blobs(2000, 6, 60, 4)
    far = dw.Points(np.vstack([train.x, -validation.x.sum(axis=0)]), np.append(train.y, 0))
    radius = 0.2
    x = far.x / np.linalg.norm(far.x, axis=1, keepdims=True)
    v = validation.x / np.linalg.norm(validation.x, axis=1, keepdims=True)
    inside = 1 - v @ x.T <= radius
    match = far.y[None] == validation.y[:, None]
    counts = inside.sum(axis=1)
    accuracy = np.where(counts > 0, (inside & match).sum(axis=1) / np.maximum(counts, 1), 0.25)
    got = value(far, validation, dw.ThresholdKNNShapley(radius))
    assert got.sum() == pytest.approx((accuracy - 0.25).mean(), abs=1e-9)
    null = ~inside.any(axis=0)
    assert null.sum() > 10
    assert (got[null] == 0).all()


def test_equal_rows_are_worth_the_same_to_threshold_knn() -> None:
    train, validation = blobs(50, 3, 20, 2)
    twice = dw.Points(np.vstack([train.x, train.x]), np.append(train.y, train.y))
    got = value(twice, validation, dw.ThresholdKNNShapley(0.4))
    assert (got[:50] == got[50:]).all()


def test_threshold_with_everyone_inside_is_knn_with_everyone_voting() -> None:
    train, validation = blobs(300, 4, 30, 3)
    threshold = value(train, validation, dw.ThresholdKNNShapley(2.0))
    knn = value(train, validation, dw.KNNShapley(300))
    np.testing.assert_allclose(threshold, knn, atol=1e-13)


def test_beta_one_one_is_shapley() -> None:
    train, validation = blobs(300, 4, 30, 3)
    beta = value(train, validation, dw.ThresholdKNNShapley(0.5, semivalue=dw.Beta(1, 1)))
    np.testing.assert_allclose(beta, value(train, validation, dw.ThresholdKNNShapley(0.5)), atol=1e-13)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_float32_agrees_with_float64(metric: Any) -> None:
    train, validation = blobs(5000, 20, 100, 3)
    for method in methods(metric)[:2]:
        gap = value(train, validation, method) - value(train, validation, method, dtype="float64")
        assert np.abs(gap).max() < 1e-5
    for method in methods(metric)[2:6]:  # links are decided in float64 either way
        assert (value(train, validation, method) == value(train, validation, method, dtype="float64")).all()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("normalise", ["subset", "k"])
def test_float64_equals_the_reference(metric: Any, normalise: Any) -> None:
    train, validation = blobs(3000, 10, 30, 2, dtype=np.float64)
    expected = np.zeros(len(train))
    for point, label in zip(validation.x, validation.y, strict=True):
        if metric == "cosine":
            distance = -(train.x @ point) / np.linalg.norm(train.x, axis=1)
        else:
            distance = np.square(train.x - point).sum(axis=1)
        order = np.argsort(distance, kind="stable")
        expected[order] += oracles.knn_reference(train.y[order] == label, 5, 2, normalise)
    got = value(train, validation, dw.KNNShapley(5, normalise=normalise, metric=metric), dtype="float64")
    np.testing.assert_allclose(got, expected / len(validation), atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_far_outlier_and_many_duplicates(dtype: Any) -> None:
    """Skewed distances: the values stay right (their cost is measured in benchmarks)."""
    rng = np.random.default_rng(3)
    x = np.vstack([rng.normal(size=(900, 4)), np.full((1, 4), 1e6), np.repeat(rng.normal(size=(3, 4)), 400, axis=0)])
    y = rng.integers(0, 2, len(x))
    train, validation = dw.Points(x, y), dw.Points(rng.normal(size=(12, 4)), np.arange(12) % 2)
    expected = np.zeros(len(x))
    for point, label in zip(validation.x, validation.y, strict=True):
        order = np.argsort(np.square(x - point).sum(axis=1), kind="stable")
        expected[order] += oracles.knn_reference(y[order] == label, 3, 2, "subset")
    got = value(train, validation, dw.KNNShapley(3, metric="euclidean"), dtype=dtype)
    np.testing.assert_allclose(got, expected / 12, atol=1e-12 if dtype == "float64" else 1e-4)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12])
def test_the_unit_of_euclidean_features_does_not_matter(scale: float) -> None:
    train, validation = blobs(400, 5, 20, 2, dtype=np.float64)
    small = dw.Points(train.x * scale, train.y)
    judges = dw.Points(validation.x * scale, validation.y)
    for method, scaled in [
        (dw.ThresholdKNNShapley(2.0, metric="euclidean"), dw.ThresholdKNNShapley(2.0 * scale, metric="euclidean")),
        (dw.KNNShapley(5, metric="euclidean"), dw.KNNShapley(5, metric="euclidean")),
    ]:
        if scale < 1e-9 and isinstance(method, dw.ThresholdKNNShapley):
            continue  # the hair beyond the radius is 1e-9: such data must be rescaled
        np.testing.assert_allclose(value(small, judges, scaled), value(train, validation, method), atol=1e-9)


# -- labels ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, np.int8, np.uint64, np.bool_, np.float64])
def test_any_kind_of_label(kind: Any) -> None:
    train, validation = blobs(200, 4, 20, 2)
    expected = value(train, validation, dw.ThresholdKNNShapley(0.5))
    got = value(
        dw.Points(train.x, train.y.astype(kind)),
        dw.Points(validation.x, validation.y.astype(kind)),
        dw.ThresholdKNNShapley(0.5),
    )
    assert (got == expected).all()


def test_labels_of_different_integer_kinds_match() -> None:
    train, validation = blobs(100, 4, 20, 2)
    mixed = dw.Points(train.x, train.y.astype(np.bool_))
    assert (value(mixed, validation, dw.KNNShapley()) == value(train, validation, dw.KNNShapley())).all()


def test_integers_beyond_the_reach_of_floats_match_across_kinds() -> None:
    big = 2**60
    train = dw.Points(np.eye(2), np.array([big + 1, big + 3], dtype=np.int64))
    validation = dw.Points(np.eye(2), np.array([big + 1, big + 3], dtype=np.uint64))
    assert (dw.value_points(train, validation, method=dw.ThresholdKNNShapley(0.0)).values == 0.25).all()


def test_text_and_number_labels_are_refused() -> None:
    train, validation = blobs(10, 2, 4, 2)
    with pytest.raises(DataError, match="train labels are text, but the classes are numbers"):
        dw.value_points(dw.Points(train.x, train.y.astype(str)), validation, method=dw.KNNShapley())


def test_train_labels_that_are_no_class_warn_with_a_count() -> None:
    train = dw.Points(np.eye(3), ["a", "ghost", "ghost"])
    validation = dw.Points(np.eye(3), ["a", "b", "a"])
    with pytest.warns(UnmatchedLabels, match="2 of 3 train labels") as warned:
        dw.value_points(train, validation, method=dw.ThresholdKNNShapley(1.0))
    assert warned[0].filename == __file__  # it points at the caller


def test_more_classes_lower_the_guess() -> None:
    train, validation = dw.Points(np.eye(2), ["a", "b"]), dw.Points(np.eye(2), ["a", "b"])
    four = value(train, validation, dw.ThresholdKNNShapley(0.0), classes=["a", "b", "c", "d"])
    np.testing.assert_allclose(four, (1 - 1 / 4) / 2)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([], "list of labels"),
        (3, "list of labels"),
        ([["a"], ["b", "c"]], "list of labels"),
        (["a", "a"], "repeats"),
        ([1, 2], "text, but the classes are numbers"),
        (["a"], "not among"),
    ],
)
def test_classes_that_do_not_fit(classes: Any, message: str) -> None:
    points = dw.Points(np.eye(2), ["a", "b"])
    with pytest.raises(InputError, match=message):
        dw.value_points(points, points, method=dw.KNNShapley(), classes=classes)


# -- wrong input -------------------------------------------------------------------------------------


def test_zero_vectors_under_cosine_are_counted_not_shown() -> None:
    good = dw.Points(np.eye(3), [0, 1, 0])
    zero = dw.Points(np.array([[0.0, 0, 0], [1, 0, 0], [0, 0, 0]]), [0, 1, 0])
    for train, validation in [(zero, good), (good, zero)]:
        methods: list[Any] = [dw.KNNShapley(), dw.ThresholdKNNShapley(0.5), dw.WeightedKNNShapley()]
        for method in methods:
            with pytest.raises(DataError, match="2 of 3 rows are zero vectors"):
                dw.value_points(train, validation, method=method)
    value(zero, good, dw.ThresholdKNNShapley(0.5, metric="euclidean"))  # euclidean has no such trouble


def test_features_too_large_for_float32() -> None:
    points = dw.Points(np.array([[1e30, 0], [0, 1e30]]), [0, 1])
    with pytest.raises(DataError, match="dtype='float64'"):
        dw.value_points(points, points, method=dw.KNNShapley(metric="euclidean"))
    value(points, points, dw.KNNShapley(metric="euclidean"), dtype="float64")


@pytest.mark.parametrize("size", [1e160, 1e-170])
def test_features_beyond_the_reach_of_float64(size: float) -> None:
    points = dw.Points(np.array([[size, 0], [0, size], [size, size]]), [0, 1, 0])
    methods: list[Any] = [
        dw.KNNShapley(metric="euclidean"),
        dw.ThresholdKNNShapley(1.0, metric="euclidean"),
        dw.WeightedKNNShapley(metric="euclidean"),
        dw.KNNRegressionShapley(),
    ]
    for method in methods:
        with pytest.raises(DataError, match="rescale"):
            dw.value_points(points, points, method=method, dtype="float64")
    with pytest.raises(DataError, match="rescale"):
        dw.suggest_radius(points, metric="euclidean")


def test_a_radius_beyond_everything_takes_in_everybody() -> None:
    train, validation = blobs(50, 3, 10, 2)
    huge = value(train, validation, dw.ThresholdKNNShapley(1e100, metric="euclidean"))
    assert (huge == value(train, validation, dw.ThresholdKNNShapley(2.0))).all()


def test_labels_of_strangers_count_among_the_two() -> None:
    train, validation = dw.Points(np.eye(3), ["a", "b", "c"]), dw.Points(np.eye(3), ["a", "a", "a"])
    with pytest.raises(MethodError, match="two classes, but there are 3"), pytest.warns(UnmatchedLabels):
        dw.value_points(train, validation, method=dw.WeightedKNNShapley())


def test_three_labels_are_too_many_for_weighted() -> None:
    points = dw.Points(np.eye(3), [0, 1, 2])
    with pytest.raises(MethodError, match="two classes, but there are 3"):
        dw.value_points(points, points, method=dw.WeightedKNNShapley())


def test_fractions_are_no_classes() -> None:
    points = dw.Points(np.eye(2), [0.5, 1.25])
    with pytest.raises(MethodError, match="KNNRegressionShapley"):
        dw.value_points(points, points, method=dw.KNNShapley())


def test_regression_needs_numbers() -> None:
    points = dw.Points(np.eye(2), ["a", "b"])
    with pytest.raises(MethodError, match="numeric targets"):
        dw.value_points(points, points, method=dw.KNNRegressionShapley())


@pytest.mark.parametrize(
    "options", [{"dtype": "float16"}, {"threads": 0}, {"threads": -1}, {"threads": True}, {"threads": 1.5}]
)
def test_options_that_make_no_sense(options: Any) -> None:
    points = dw.Points(np.eye(2), ["a", "b"])
    with pytest.raises(InputError):
        dw.value_points(points, points, method=dw.KNNShapley(), **options)


def test_arrays_are_not_points() -> None:
    points = dw.Points(np.eye(2), ["a", "b"])
    with pytest.raises(InputError, match=r"dataworth\.Points"):
        dw.value_points(np.eye(2), points, method=dw.KNNShapley())  # type: ignore[arg-type]
    with pytest.raises(MethodError, match="no method"):
        dw.value_points(points, points, method="knn")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make",
    [
        lambda: dw.KNNShapley(0),
        lambda: dw.KNNShapley(2.0),  # type: ignore[arg-type]
        lambda: dw.KNNShapley(normalise="soft"),  # type: ignore[arg-type]
        lambda: dw.KNNShapley(metric="manhattan"),  # type: ignore[arg-type]
        lambda: dw.ThresholdKNNShapley(-0.5),
        lambda: dw.ThresholdKNNShapley(float("nan")),
        lambda: dw.ThresholdKNNShapley(float("inf"), metric="euclidean"),
        lambda: dw.ThresholdKNNShapley(2.5),
        lambda: dw.ThresholdKNNShapley(0.5, semivalue="owen"),  # type: ignore[arg-type]
        lambda: dw.ThresholdKNNShapley(1e200, metric="euclidean"),
        lambda: dw.WeightedKNNShapley(bits=True),
        lambda: dw.PublicProxy(0.5, expected_rows=True),
        lambda: dw.Beta(0, 1),
        lambda: dw.Beta(1, float("inf")),
        lambda: dw.WeightedKNNShapley(bits=0),
        lambda: dw.WeightedKNNShapley(kernel="box"),  # type: ignore[arg-type]
        lambda: dw.PublicProxy(0.5, expected_rows=0),
        lambda: dw.KNNRegressionShapley(empty="nothing"),  # type: ignore[arg-type]
    ],
)
def test_parameters_that_make_no_sense(make: Any) -> None:
    with pytest.raises(MethodError):
        make()


# -- results -----------------------------------------------------------------------------------------


def test_numbers_of_numpy_are_parameters_too() -> None:
    train, validation = blobs(50, 3, 10, 2)
    assert (
        value(train, validation, dw.KNNShapley(np.int64(3))) == value(train, validation, dw.KNNShapley(3))  # type: ignore[arg-type]
    ).all()
    value(train, validation, dw.ThresholdKNNShapley(np.float32(0.5)))  # type: ignore[arg-type]


def test_values_carry_names_and_provenance() -> None:
    points = dw.Points(np.eye(2), ["a", "b"], ids=["p", "q"], owners=["north", "south"])
    values = dw.value_points(points, points, method=dw.KNNShapley(1))
    assert values.ids.tolist() == ["p", "q"]
    assert values.owners is not None
    assert values.owners.tolist() == ["north", "south"]
    assert values.method == "KNNShapley(k=1, normalise='subset', metric='cosine')"
    assert values.provenance["classes"] == 2
    assert values.n_validation == 2


def test_progress_shows_where_asked_and_not_in_files(capsys: pytest.CaptureFixture[str]) -> None:
    train, validation = blobs(300, 3, 20, 2)
    for method in methods("cosine"):
        dw.value_points(train, validation, method=method, progress=True)
        assert "0%" in capsys.readouterr().err
        dw.value_points(train, validation, method=method)  # standard error is no terminal here
        assert capsys.readouterr().err == ""


# -- choosing a radius -------------------------------------------------------------------------------


def test_suggested_radius_is_the_best_of_its_grid() -> None:
    _, validation = blobs(1, 4, 120, 3)
    radius = dw.suggest_radius(validation, metric="euclidean")
    distance = np.linalg.norm(validation.x[:, None].astype(np.float64) - validation.x[None], axis=2)
    np.fill_diagonal(distance, np.inf)

    def accuracy(r: float) -> float:
        right = 0.0
        for z in range(120):
            votes = np.bincount(validation.y[distance[z] <= r * (1 + 1e-9)], minlength=3)
            right += (votes[validation.y[z]] == votes.max()) / (votes == votes.max()).sum()
        return right / 120

    best = accuracy(radius)
    for quantile in (0.01, 0.05, 0.2, 0.5, 0.9):
        assert best >= accuracy(float(np.quantile(distance[np.isfinite(distance)], quantile))) - 1e-12


def test_ties_go_to_the_larger_radius() -> None:
    same = dw.Points(np.random.default_rng(0).normal(size=(30, 3)), [1] * 30)
    furthest = np.linalg.norm(same.x[:, None] - same.x[None], axis=2).max()
    assert dw.suggest_radius(same, metric="euclidean") == pytest.approx(furthest)


def test_a_metric_that_is_none_suggests_nothing() -> None:
    _, validation = blobs(1, 4, 12, 3)
    with pytest.raises(MethodError, match="metric must be"):
        dw.suggest_radius(validation, metric="manhattan")  # type: ignore[arg-type]


def test_one_point_suggests_nothing() -> None:
    with pytest.raises(DataError, match="at least two"):
        dw.suggest_radius(dw.Points(np.eye(1), ["a"]))
