"""The oracles keep the axioms of values, and the closed forms of the theory pages equal them."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from tests import oracles
from tests.oracles import BANZHAF, LEAVE_ONE_OUT, SHAPLEY, Coalition, SemivalueLaw, Utility
from tests.strategies import Problem, classification_problems, label_patterns, signed_weights

LAWS = [
    SHAPLEY,
    BANZHAF,
    LEAVE_ONE_OUT,
    oracles.beta(1, 1),
    oracles.beta(4, 1),
    oracles.beta(16, 1),
    oracles.beta(1, 4),
    oracles.beta(2, 3),
    oracles.beta(Fraction(1, 2), Fraction(5, 2)),
]


def harmonic(n: int) -> Fraction:
    return sum((Fraction(1, j) for j in range(1, n + 1)), Fraction(0))


def floats(values: list[Fraction]) -> list[float]:
    return [float(value) for value in values]


@st.composite
def games(draw: st.DrawFn, players: int) -> Utility:
    """Any utility at all on a few players."""
    scores = draw(st.lists(st.integers(-9, 9), min_size=2**players, max_size=2**players))
    return lambda coalition: Fraction(scores[sum(1 << i for i in coalition)])


# -- semivalues ---------------------------------------------------------------------------------------------------


def test_shapley_of_the_glove_game() -> None:
    """One left glove, two right gloves, a pair is worth 1: the textbook answer is 2/3, 1/6, 1/6."""
    values = oracles.shapley(lambda s: Fraction(0 in s and len(s) > 1), 3)
    assert values == [Fraction(2, 3), Fraction(1, 6), Fraction(1, 6)]


@given(games(4))
def test_shapley_is_efficient(game: Utility) -> None:
    assert sum(oracles.shapley(game, 4)) == game((0, 1, 2, 3)) - game(())


@given(games(4), games(4))
def test_semivalues_are_linear(one: Utility, two: Utility) -> None:
    for law in LAWS:
        weights = law.weights(4)
        summed = oracles.semivalue(lambda s: 2 * one(s) - 3 * two(s), 4, weights)
        apart = zip(oracles.semivalue(one, 4, weights), oracles.semivalue(two, 4, weights), strict=True)
        assert summed == [2 * a - 3 * b for a, b in apart]


@given(games(3))
def test_a_player_who_never_matters_gets_zero(game: Utility) -> None:
    def with_dummy(coalition: Coalition) -> Fraction:
        return game(tuple(i for i in coalition if i < 3))

    for law in LAWS:
        values = oracles.semivalue(with_dummy, 4, law.weights(4))
        assert values[3] == 0
    assert oracles.shapley(with_dummy, 4)[:3] == oracles.shapley(game, 3)


@given(games(3))
def test_players_who_do_the_same_get_the_same(game: Utility) -> None:
    def twins(coalition: Coalition) -> Fraction:  # 2 and 3 count as one player who is there if either is
        return game(tuple(sorted({min(i, 2) for i in coalition})))

    for law in LAWS:
        values = oracles.semivalue(twins, 4, law.weights(4))
        assert values[2] == values[3]


@pytest.mark.parametrize("law", LAWS, ids=str)
@pytest.mark.parametrize("n", range(1, 9))
def test_both_tellings_of_a_semivalue_agree(law: SemivalueLaw, n: int) -> None:
    weights = law.weights(n)
    assert sum(math.comb(n - 1, s) * weights[s] for s in range(n)) == n
    for absent in range(n):  # this many given players absent, any of the others present
        chance = sum(math.comb(n - 1 - absent, s) * weights[s] for s in range(n - absent)) / n
        assert chance == law.absent(n)[absent]


@given(games(4))
def test_named_semivalues_are_what_they_say(game: Utility) -> None:
    assert oracles.semivalue(game, 4, oracles.beta(1, 1).weights(4)) == oracles.shapley(game, 4)
    left_out = [game((0, 1, 2, 3)) - game(tuple(j for j in range(4) if j != i)) for i in range(4)]
    assert oracles.semivalue(game, 4, LEAVE_ONE_OUT.weights(4)) == left_out


# -- KNN ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(1, 7))
def test_knn_recursions_for_every_pattern(n: int) -> None:
    for match, k in product(product((False, True), repeat=n), range(1, n + 3)):
        fixed = floats(oracles.shapley(oracles.fixed_knn(match, k), n))
        assert oracles.knn_reference(match, k, 2, "k") == pytest.approx(fixed, abs=1e-14)
        for n_classes in (2, 3):
            soft = floats(oracles.shapley(oracles.soft_knn(match, k, n_classes), n))
            assert oracles.knn_reference(match, k, n_classes, "subset") == pytest.approx(soft, abs=1e-14)


@settings(max_examples=40)
@given(label_patterns(8), st.integers(1, 10), st.sampled_from([2, 3, 10]))
def test_knn_recursions(match: list[bool], k: int, n_classes: int) -> None:
    n = len(match)
    fixed = floats(oracles.shapley(oracles.fixed_knn(match, k), n))
    assert oracles.knn_reference(match, k, n_classes, "k") == pytest.approx(fixed, abs=1e-14)
    soft = floats(oracles.shapley(oracles.soft_knn(match, k, n_classes), n))
    assert oracles.knn_reference(match, k, n_classes, "subset") == pytest.approx(soft, abs=1e-14)


def test_the_usual_soft_recursion_fails_for_fewer_rows_than_k() -> None:
    """H_min(K, N) and [N >= K], as usually copied, against H_min(K, N-1) and [N > K]."""
    match, k, n = [True, False, False], 5, 3

    def usual_step(i: int) -> float:
        return (match[i - 1] - match[i]) / (n - 1) * float(harmonic(min(k, n)))

    right = oracles.shapley(oracles.soft_knn(match, k, 2), n)
    assert float(right[0] - right[1]) != pytest.approx(usual_step(1), abs=0.1)
    ours = oracles.knn_reference(match, k, 2, "subset")
    assert ours[0] - ours[1] == pytest.approx(float(right[0] - right[1]))


@given(label_patterns(60), st.integers(1, 62))
def test_fixed_knn_closed_form(match: list[bool], k: int) -> None:
    n = len(match)
    closed = [
        match[i - 1] / max(i, k) - sum(match[j - 1] / (j * (j - 1)) for j in range(max(i, k) + 1, n + 1))
        for i in range(1, n + 1)
    ]
    assert oracles.knn_reference(match, k, 2, "k") == pytest.approx(closed, abs=1e-13)


@given(label_patterns(60), st.integers(1, 60), st.sampled_from([2, 3, 10]))
def test_the_two_knn_games_differ_by_label_counts_only(match: list[bool], k: int, n_classes: int) -> None:
    n = len(match)
    k = min(k, n)
    slope = (float(harmonic(k)) - 1) / (n - 1) if n > 1 else 0.0
    shift = [slope * (a - sum(match) / n) - 1 / (n_classes * n) for a in match]
    fixed, soft = (oracles.knn_reference(match, k, n_classes, normalise) for normalise in ("k", "subset"))
    assert soft == pytest.approx(fixed + shift, abs=1e-13)


@given(label_patterns(200), st.integers(1, 210), st.sampled_from([2, 5]))
def test_knn_values_add_up_to_accuracy_gained(match: list[bool], k: int, n_classes: int) -> None:
    everyone = tuple(range(len(match)))
    fixed = oracles.knn_reference(match, k, n_classes, "k")
    assert fixed.sum() == pytest.approx(float(oracles.fixed_knn(match, k)(everyone)), abs=1e-12)
    soft = oracles.knn_reference(match, k, n_classes, "subset")
    assert soft.sum() == pytest.approx(
        float(oracles.soft_knn(match, k, n_classes)(everyone)) - 1 / n_classes, abs=1e-12
    )


# -- Threshold-KNN ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", LAWS, ids=str)
@pytest.mark.parametrize(("same", "other", "outside"), [c for c in product(range(4), repeat=3) if 0 < sum(c) <= 5])
def test_threshold_closed_form_for_all_counts(law: SemivalueLaw, same: int, other: int, outside: int) -> None:
    n = same + other + outside
    match = [True] * same + [False] * other + [i % 2 == 0 for i in range(outside)]
    inside = [True] * (same + other) + [False] * outside
    for n_classes in (2, 5):
        exact = floats(oracles.semivalue(oracles.threshold_knn(match, inside, n_classes), n, law.weights(n)))
        assert oracles.tknn_reference(match, inside, n_classes, law) == pytest.approx(exact, abs=1e-14)


@pytest.mark.parametrize("others", range(0, 30, 3))
def test_the_printed_threshold_sum_is_a_harmonic_number(others: int) -> None:
    """The sum over the data set size in Theorem 13 does not depend on the data set size."""
    c = others
    for m in range(1, c + 2):
        printed = sum(
            Fraction(1, k + 1) * (1 - Fraction(math.comb(c - k, m), math.comb(c + 1, m))) for k in range(c + 1)
        )
        assert printed - 1 == harmonic(m) - 1


@given(label_patterns(7), st.sampled_from([2, 3]))
def test_threshold_with_all_inside_is_soft_knn_with_all_voting(match: list[bool], n_classes: int) -> None:
    n = len(match)
    soft = oracles.knn_reference(match, n + 1, n_classes, "subset")
    assert oracles.tknn_reference(match, [True] * n, n_classes) == pytest.approx(soft, abs=1e-14)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=7), st.integers(0, 99))
def test_any_game_of_two_counts_has_a_hypergeometric_form(rows: list[tuple[bool, bool]], seed: int) -> None:
    """Shapley values of g(number inside, number inside that match), for any g whatever."""
    n = len(rows)
    scores = np.random.default_rng(seed).integers(-9, 10, (n + 2, n + 2)).tolist()

    def g(size: int, matches: int) -> Fraction:
        return Fraction(scores[size][matches])

    def utility(coalition: Coalition) -> Fraction:
        near = [rows[i] for i in coalition if rows[i][1]]
        return g(len(near), sum(match for match, _ in near))

    values = oracles.shapley(utility, n)
    m = sum(near for _, near in rows)
    for value, (a, near) in zip(values, rows, strict=True):
        p = sum(match and inside for match, inside in rows) - a
        closed = Fraction(0)
        for j, hits in product(range(m), range(p + 1)):
            ways = math.comb(p, hits) * math.comb(m - 1 - p, j - hits) if near and 0 <= j - hits <= m - 1 - p else 0
            if ways:
                closed += Fraction(ways, math.comb(m - 1, j) * m) * (g(j + 1, hits + a) - g(j, hits))
        assert value == closed


# -- weighted -----------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(signed_weights(8), st.integers(1, 10))
def test_counting_subsets_equals_enumeration(weights: list[int], k: int) -> None:
    assert oracles.weighted_reference(weights, k) == oracles.shapley(
        oracles.weighted_hard_label(weights, k), len(weights)
    )


# -- estimates ----------------------------------------------------------------------------------------------------


def test_permutations_agree_with_the_recursions_at_thirty_rows() -> None:
    rng = np.random.default_rng(5)
    match = (rng.random(30) < 0.6).tolist()
    inside = (rng.random(30) < 0.5).tolist()
    cases: list[tuple[Utility, Callable[[], np.ndarray]]] = [
        (oracles.soft_knn(match, 5, 3), lambda: oracles.knn_reference(match, 5, 3, "subset")),
        (oracles.fixed_knn(match, 5), lambda: oracles.knn_reference(match, 5, 3, "k")),
        (oracles.threshold_knn(match, inside, 3), lambda: oracles.tknn_reference(match, inside, 3)),
    ]
    for utility, closed in cases:
        mean, error = oracles.permutation_shapley(utility, 30, 800, rng)
        assert (np.abs(mean - closed()) <= 4 * error + 1e-12).all()
        assert error.max() < 0.02


# -- who is near whom ---------------------------------------------------------------------------------------------


def test_nearest_first_breaks_ties_by_row_order() -> None:
    x = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 3.0]])
    assert oracles.nearest_first(x, np.array([4.0, 0.0]), "cosine") == [0, 2, 1, 4, 3]
    assert oracles.nearest_first(x, np.array([0.0, 0.0]), "euclidean") == [1, 2, 3, 0, 4]


@given(classification_problems())
def test_exact_order_sorts_by_distance(problem: Problem) -> None:
    for point, view in zip(problem.validation_x, problem.views(), strict=True):
        distance = [oracles.float_distance(problem.train_x[i], point, problem.metric) for i in view.order]
        assert (np.diff(distance) >= 0).all()
        assert view.inside == sorted(view.inside, reverse=True)
        for (i, d), (j, e) in zip(list(zip(view.order, distance))[:-1], list(zip(view.order, distance))[1:]):
            assert d < e or i < j


CORNERS: dict[str, Callable[[Problem], bool]] = {
    "one train row": lambda p: len(p.train_x) == 1,
    "fewer rows than k": lambda p: len(p.train_x) < p.k,
    "more rows than k": lambda p: len(p.train_x) > p.k,
    "one class": lambda p: p.n_classes == 1,
    "three classes": lambda p: p.n_classes == 3,
    "unmatched train labels": lambda p: p.unmatched > 0,
    "duplicate rows": lambda p: len(np.unique(p.train_x, axis=0)) < len(p.train_x),
    "a train row on a validation point": lambda p: (p.train_x[:, None] == p.validation_x).all(-1).any(),
    "nobody inside": lambda p: not any(any(view.inside) for view in p.views()),
    "everybody inside": lambda p: all(all(view.inside) for view in p.views()),
    "exactly on a positive radius": lambda p: p.radius > 0 and any(
        oracles.float_distance(row, point, p.metric) == p.radius for row in p.train_x for point in p.validation_x
    ),
    "string labels": lambda p: p.train_y.dtype.kind == "U",
    "bool labels": lambda p: p.train_y.dtype.kind == "b",
    "integer labels": lambda p: p.train_y.dtype.kind == "i",
    "float32": lambda p: p.train_x.dtype == np.float32,
    "cosine": lambda p: p.metric == "cosine",
    "euclidean": lambda p: p.metric == "euclidean",
}  # fmt: skip


@pytest.mark.parametrize("corner", CORNERS)
def test_problems_reach_every_corner(corner: str) -> None:
    quick = settings(max_examples=300, database=None, derandomize=True, phases=[Phase.generate])
    found = find(classification_problems(), CORNERS[corner], settings=quick)
    assert CORNERS[corner](found)
