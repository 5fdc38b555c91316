"""Comparing methods: symmetric, blind to the order of rows, and right where the answer is known."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import dataworth as dw
from dataworth.valuation.comparison import _Figure

NEAREST = KNeighborsClassifier(n_neighbors=1)
N = 40
MATRICES = ("spearman", "kendall", "lowest-overlap")
CURVES = ("removal-lowest-first", "removal-highest-first", "addition-highest-first", "addition-lowest-first")

pairs = st.integers(2, 12).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(-3, 3), min_size=n, max_size=n) for _ in range(2)])
)


SCALED = repr(make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)))
TREE = repr(RandomForestClassifier(n_estimators=17, max_depth=3, random_state=4))
VOTING = repr(make_pipeline(StandardScaler(), VotingClassifier([("a", SVC()), ("b", GaussianNB())])))


def valued(values: object, method: str = "by hand") -> dw.Values:
    figures = np.asarray(values, dtype=np.float64)
    return dw.Values([f"r{i}" for i in range(figures.size)], figures, method=method, n_validation=4)


def problem() -> tuple[dict[str, dw.Values], dw.Points, dw.Points, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Two classes on a line with wrong labels: a method that knows them, one that guesses, one that is turned round."""
    rng = np.random.default_rng(0)
    y = np.arange(N) % 2
    x = y[:, None] * 4.0 + rng.normal(size=(N, 1))
    wrong = rng.permutation(N) < N // 5
    train = dw.Points(x, np.where(wrong, 1 - y, y), ids=[f"r{i}" for i in range(N)])
    test = dw.Points(y[:, None] * 4.0 + rng.normal(size=(N, 1)), y)
    knows = np.where(wrong, -1.0, 1.0) + rng.normal(scale=0.2, size=N)
    named = {"knows": valued(knows), "guesses": valued(rng.normal(size=N)), "turned": valued(-knows)}
    return named, train, test, wrong


def matrix(compared: dw.Comparison, name: str) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array([row[1:] for row in compared.table(name).rows()], dtype=np.float64)


def turned_about(values: dw.Values, seed: int) -> dw.Values:
    at = np.random.default_rng(seed).permutation(len(values))
    return dw.Values(values.ids[at], values.values[at], method=values.method, n_validation=values.n_validation)


# -- agreement -------------------------------------------------------------------------------------


def tau_b(one: list[int], other: list[int]) -> float:
    """Kendall's tau-b from its pairs."""
    signs = [(np.sign(one[i] - one[j]), np.sign(other[i] - other[j])) for i, j in combinations(range(len(one)), 2)]
    top = sum(a * b for a, b in signs)
    return float(top / np.sqrt(sum(a != 0 for a, _ in signs) * sum(b != 0 for _, b in signs)))


@given(pairs)
def test_rank_correlations_are_those_of_their_definitions(given_values: tuple[list[int], list[int]]) -> None:
    one, other = given_values
    compared = dw.compare_values({"one": valued(one), "other": valued(other)})
    if len(set(one)) == 1 or len(set(other)) == 1:
        assert compared.table("spearman").columns["one"][1] is None
        assert compared.table("kendall").columns["other"][0] is None
        assert "are equal" in compared.table("kendall").note
        return
    assert matrix(compared, "spearman")[0, 1] == pytest.approx(spearmanr(one, other).statistic)
    assert matrix(compared, "kendall")[0, 1] == pytest.approx(tau_b(one, other))


@given(pairs)
def test_tables_are_symmetric_and_blind_to_the_order_of_rows(given_values: tuple[list[int], list[int]]) -> None:
    one, other = (valued(values) for values in given_values)
    compared = dw.compare_values({"one": one, "other": other})
    again = dw.compare_values({"one": turned_about(one, 1), "other": turned_about(other, 2)})
    swapped = dw.compare_values({"other": other, "one": one})
    for name in MATRICES:
        cells = matrix(compared, name)
        np.testing.assert_array_equal(cells, cells.T)
        np.testing.assert_allclose(matrix(again, name), cells, atol=1e-12)
        np.testing.assert_allclose(matrix(swapped, name), cells[::-1, ::-1], atol=1e-12)
    assert (np.diag(matrix(compared, "lowest-overlap")) == 1.0).all()


def test_equal_methods_agree_in_everything() -> None:
    named, train, test, wrong = problem()
    twin = {"one": named["guesses"], "twin": turned_about(named["guesses"], 3)}
    compared = dw.compare_values(twin, train=train, test=test, model=NEAREST, bad=wrong)
    for name in MATRICES:
        assert (matrix(compared, name) == 1.0).all()
    for name in CURVES:
        table = compared.table(name)
        up, lines = np.array(table.columns["accuracy"]), np.array(table.columns["line"])
        np.testing.assert_array_equal(up[lines == "one"], up[lines == "twin"])
    assert set(compared.table("summary").columns["mean place"]) == {1.0, None}
    assert "one and twin share the best mean place." in compared.table("summary").note


def test_opposite_methods_disagree_in_everything() -> None:
    named, *_ = problem()
    compared = dw.compare_values({name: named[name] for name in ("knows", "turned")})
    assert [matrix(compared, name)[0, 1] for name in MATRICES] == [-1.0, -1.0, 0.0]


def test_only_the_order_of_values_counts() -> None:
    named, *_ = problem()
    compared = dw.compare_values({"one": named["knows"], "other": valued(np.exp(5 * named["knows"].values))})
    assert all((matrix(compared, name) == 1.0).all() for name in MATRICES)


def test_overlap_by_hand() -> None:
    one, other = np.arange(40.0), np.arange(40.0)
    other[3] = -1.0
    other[[2, 0]] = 50.0  # lowest of one: 0 1 2 3; of the other: 3 1 4 5
    compared = dw.compare_values([valued(one, "One()"), valued(other, "Other()")])
    assert matrix(compared, "lowest-overlap")[0, 1] == pytest.approx(2 / 6)


def test_rows_tied_at_the_edge_share_their_places() -> None:
    """Two of four tied rows belong to the lowest tenth: each counts a half, whatever order the file has."""
    one = np.array([0.0, 0.0] + [1.0] * 4 + [2.0] * 34)
    other = np.arange(40.0)  # lowest: 0 1 2 3
    compared = dw.compare_values({"one": valued(one), "other": valued(other)})
    assert matrix(compared, "lowest-overlap")[0, 1] == pytest.approx((1 + 1 + 0.5 + 0.5) / (1 + 1 + 1 + 1 + 0.5 + 0.5))


def test_noise_is_a_part_of_the_spread() -> None:
    named, *_ = problem()
    guesses = named["guesses"]
    errors = np.full(N, 0.5 * guesses.values.std())
    errors[7] = np.nan  # not known for this row
    noisy = dw.Values(guesses.ids[::-1], guesses.values[::-1], "m", 4, errors=errors[::-1])
    unknown = dw.Values(guesses.ids, guesses.values, "m", 4, errors=np.full(N, np.nan))
    table = dw.compare_values({"exact": named["knows"], "noisy": noisy, "unknown": unknown}).table("methods")
    assert table.columns["mean standard error"][0] is None
    assert table.columns["noise in the spread"][::2] == (None, None)
    assert table.columns["noise in the spread"][1] == pytest.approx(0.25)


# -- curves and bad rows ---------------------------------------------------------------------------


def test_lines_are_those_of_the_single_experiments() -> None:
    named, train, test, wrong = problem()
    compared = dw.compare_values(
        named, train=train, test=test, model=NEAREST, bad=wrong, fractions=[0.0, 0.2, 0.4], repeats=2, seed=3
    )
    removed = dw.point_removal(named["guesses"], train, test, NEAREST, fractions=[0.0, 0.2, 0.4], repeats=2, seed=3)
    added = dw.point_addition(named["guesses"], train, test, NEAREST, fractions=[0.0, 0.2, 0.4], repeats=2, seed=3)
    for name, curve in zip(CURVES, (removed, removed, added, added), strict=True):
        table = compared.table(name)
        up, lines = np.array(table.columns["accuracy"]), np.array(table.columns["line"])
        order = name.partition("-")[2].replace("-", " ")
        assert tuple(up[lines == "guesses"]) == curve.table.columns[order]
        assert tuple(up[lines == "random"]) == curve.table.columns["random"]
        column = f"{order.split()[0]} {'removed' if curve is removed else 'added'}"
        summary = compared.table("summary")
        at = summary.columns["method"].index("guesses")
        assert summary.columns[column][at] == pytest.approx(curve.areas[order])
    found = dw.discovery_curve(named["guesses"], wrong)
    table = compared.table("discovery-curve")
    up, lines = np.array(table.columns["share of bad rows found"]), np.array(table.columns["line"])
    assert tuple(up[lines == "guesses"]) == found.table.columns["lowest value first"]


def test_who_knows_comes_first_and_who_is_turned_round_last() -> None:
    named, train, test, wrong = problem()
    shuffled = {name: turned_about(values, i) for i, (name, values) in enumerate(named.items())}
    compared = dw.compare_values(shuffled, train=train, test=test, model=NEAREST, bad=wrong)
    assert compared.table("summary").columns["method"] == ("knows", "guesses", "turned", "chance")
    assert compared.table("detection").columns["AUROC"][0] == 1.0
    assert compared.table("detection").columns["AUROC"][2] == 0.0


def test_every_curve_says_which_way_is_good() -> None:
    named, train, test, _ = problem()
    both = {name: named[name] for name in ("turned", "knows")}
    summary = dw.compare_values(both, train=train, test=test, model=NEAREST, repeats=1).table("summary")
    assert summary.columns["method"] == ("knows", "turned", "chance")
    assert summary.columns["mean place"] == (1.0, 2.0, None)


figures_ = st.lists(st.one_of(st.none(), st.integers(-20, 20).map(lambda n: n / 10)), min_size=1, max_size=6)


@given(figures_, st.booleans(), st.integers(0, 15).map(lambda n: n / 10 + 0.05))
def test_nobody_leads_by_less_than_chance(cells: list[float | None], high: bool, chance: float) -> None:
    places = _Figure(high, [*cells, None], chance).places(len(cells))
    for mine, place in zip(cells, places, strict=True):
        if mine is None:
            assert np.isnan(place)
            continue
        leads = [(other - mine) * (1 if high else -1) for other in cells if other is not None]
        assert place == 1 + sum(lead > chance for lead in leads)


def test_leads_within_the_spread_of_random_orders_do_not_count() -> None:
    """Values that are nearly the same have curves that differ by less than those of random orders do."""
    named, train, test, _ = problem()
    moved = named["knows"].values + np.random.default_rng(1).normal(scale=0.3, size=N)
    both = {"one": named["knows"], "near": valued(moved)}
    summary = dw.compare_values(both, train=train, test=test, model=NEAREST, repeats=4).table("summary")
    assert any(cells[0] != cells[1] for name, cells in summary.columns.items() if name.endswith(("removed", "added")))
    assert summary.columns["mean place"] == (1.0, 1.0, None)
    assert summary.columns["method"][:2] == ("one", "near")
    assert "one and near share the best mean place." in summary.note


def test_one_random_order_does_not_tell_chance() -> None:
    named, train, test, _ = problem()
    notes = [
        dw.compare_values(named, train=train, test=test, model=NEAREST, repeats=repeats).table("summary").note
        for repeats in (1, 2)
    ]
    assert ["ask for more repeats" in note for note in notes] == [True, False]
    assert ["are no lead" in note for note in notes] == [False, True]


def test_the_mask_goes_with_the_train_rows() -> None:
    named, train, _, wrong = problem()
    at = np.random.default_rng(9).permutation(N)
    one = dw.compare_values(named, bad=wrong).table("detection").rows()
    moved = {name: turned_about(values, 7) for name, values in named.items()}
    assert dw.compare_values(moved, train=train, bad=wrong).table("detection").rows() == one
    first = dw.Values(np.array(train.ids)[at], named["knows"].values[at], "by hand", 4)
    assert dw.compare_values({**named, "knows": first}, bad=wrong[at]).table("detection").rows() == one


def test_what_is_not_asked_for_is_not_there() -> None:
    named, train, test, wrong = problem()
    assert "summary" not in dw.compare_values(named)
    assert "removal-lowest-first" not in dw.compare_values(named, bad=wrong)
    assert "detection" not in dw.compare_values(named, train=train, test=test, model=NEAREST)


def test_equal_values_are_found_by_nobody() -> None:
    named, _, _, wrong = problem()
    compared = dw.compare_values({"level": valued(np.ones(N)), "knows": named["knows"]}, bad=wrong)
    assert compared.table("detection").columns["F1"][0] is None
    assert "All values of level are equal" in compared.table("detection").note
    assert compared.table("summary").columns["method"] == ("knows", "level", "chance")


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("methods", "names"),
    [
        (["One(k=1)", "Other(k=1)"], ("One", "Other")),
        (["One(k=1)", "One(k=2)", "Other()"], ("One(k=1)", "One(k=2)", "Other")),
        (["One(k=1)", "One(k=1)"], ("One(k=1)", "One(k=1) (2)")),
        ([f"One({SCALED})", f"One({TREE})"], ("One(LogisticRegression)", "One(RandomForestClassifier)")),
        ([f"One({TREE})", f"One({TREE})"], ("One(RandomForestClassifier)", "One(RandomForestClassifier) (2)")),
        ([f"One({SCALED})", "Other()"], ("One", "Other")),
        ([f"One({VOTING})", "One(GaussianNB())"], ("One(VotingClassifier)", "One(GaussianNB())")),
        (["random", "chance()"], ("random (2)", "chance (2)")),
        (["", "x"], ("unnamed", "x")),
    ],
)
def test_every_result_has_a_name_of_its_own(methods: list[str], names: tuple[str, ...]) -> None:
    assert dw.compare_values([valued([1, 2, 3], method) for method in methods]).methods == names


@pytest.mark.parametrize("name", ["random", "method", "", "best possible", "chance", 3])
def test_names_that_are_taken_are_refused(name: object) -> None:
    with pytest.raises(dw.InputError, match="cannot name"):
        dw.compare_values({name: valued([1, 2]), "b": valued([1, 2])})  # type: ignore[dict-item]


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (dw.Values(["r0", "r1", "r9"], [1, 2, 3], "m", 1), "1 of 3 rows have no value, and there are 3 values"),
        (dw.Values(["r0", "r1"], [1, 2], "m", 1), "1 of 3 rows have no value, and there are 2 values"),
        (dw.Values(["r0", "r1", "r2", "r3"], [1, 2, 3, 4], "m", 1), "0 of 3 rows have no value, and there are 4"),
        (dw.Values([0, 1, 2], [1, 2, 3], "m", 1), "int64"),
        (dw.Values(np.array([], dtype=str), [], "m", 1), "3 of 3 rows have no value"),
    ],
)
def test_other_rows_are_refused(other: dw.Values, said: str) -> None:
    with pytest.raises(dw.DataError, match=f"one and other value different rows: of other, .*{said}"):
        dw.compare_values({"one": valued([1, 2, 3]), "other": other})


def test_train_rows_must_be_those_that_were_valued() -> None:
    named, _, test, _ = problem()
    with pytest.raises(dw.DataError, match="these values are for other rows"):
        dw.compare_values(named, train=test, test=test, model=NEAREST)


def test_ids_that_are_there_twice_are_refused() -> None:
    twice = dw.Values(["a", "a", "b"], [1, 2, 3], "m", 1)
    with pytest.raises(dw.DataError, match="twice"):
        dw.compare_values({"one": twice, "other": twice})


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ([valued([1, 2])], "at least two results, not 1"),
        ([], "not 0"),
        (valued([1, 2]), "sequence or mapping"),
        ([valued([1, 2]), "values.parquet"], "of Values, not of str"),
    ],
)
def test_what_cannot_be_compared_is_refused(results: object, said: str) -> None:
    with pytest.raises(dw.InputError, match=said):
        dw.compare_values(results)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 1.5, True, 2**32])
def test_seeds_that_are_none_are_refused(seed: int) -> None:
    named, train, test, _ = problem()
    given = {"train": train, "test": test, "model": NEAREST}
    for curves in ({}, given):
        with pytest.raises(dw.MethodError, match="seed must be an integer from 0 to 4294967295"):
            dw.compare_values(named, seed=seed, **curves)
    for experiment in (dw.point_removal, dw.point_addition, dw.removal_curve):
        with pytest.raises(dw.MethodError, match="seed must be an integer"):
            experiment(named["knows"], train, test, NEAREST, seed=seed)
    with pytest.raises(dw.MethodError, match="seed must be an integer"):
        dw.gather_evidence(named["knows"], train, test, model=NEAREST, seed=seed)


def test_errors_of_nothing_but_zero_have_no_column() -> None:
    named, *_ = problem()
    exact = dw.Values(named["knows"].ids, named["knows"].values, "m", 4, errors=np.zeros(N))
    columns = dw.compare_values({"exact": exact, "guesses": named["guesses"]}).table("methods").columns
    assert "mean standard error" not in columns
    drawn = dw.Values(exact.ids, exact.values, "m", 4, errors=np.full(N, 0.1))
    columns = dw.compare_values({"exact": exact, "drawn": drawn}).table("methods").columns
    assert columns["mean standard error"] == (None, pytest.approx(0.1))
    assert columns["noise in the spread"][0] is None


@pytest.mark.parametrize("left_out", ["train", "test", "model"])
def test_curves_need_all_three(left_out: str) -> None:
    named, train, test, _ = problem()
    given = {"train": train, "test": test, "model": NEAREST}
    del given[left_out]
    with pytest.raises(dw.MethodError, match="train, test and model together"):
        dw.compare_values(named, **given)


def test_one_row_is_too_few() -> None:
    with pytest.raises(dw.DataError, match="at least two rows"):
        dw.compare_values([valued([1.0]), valued([2.0])])


def test_what_is_no_classifier_is_refused() -> None:
    named, train, test, _ = problem()
    with pytest.raises(dw.MethodError, match="classifier"):
        dw.compare_values(named, train=train, test=test, model=LinearRegression())
