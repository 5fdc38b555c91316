"""Private marginals: what is counted and how, what is drawn from it, and the package that fits it."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import dataworth as dw
from dataworth.errors import DataError, MethodError, MissingExtra
from dataworth.privacy.accounting import satisfies
from dataworth.privacy.kinds import CappedCounts, Event, Histograms
from dataworth.privacy.mechanisms import SIGMA_STEPS, NoisyCounts, random_source
from dataworth.synthesis import tabular
from dataworth.synthesis.candidates import Category, Column, Number, TableDomain, Whole
from dataworth.synthesis.protocol import Synthesizer
from dataworth.synthesis.tabular import PrivateMarginals, _bin, _order, _pick, _size, _unbin, likely_pairs

ROW: dict[str, Any] = {"unit": dw.Row(), "relation": "add_or_remove"}
DOMAIN = TableDomain((Number(-1.0, 1.0), Whole(0, 20), Category((0, 1, 5)), Whole(3, 5)))
SPEND = dw.Budget(4, 1e-5)


class Silent:
    """A source that adds nothing, and remembers what it was given."""

    private = False

    def __init__(self) -> None:
        self.given: list[NDArray[Any]] = []

    def add_noise(self, counts: NDArray[Any], sigma: Fraction) -> NoisyCounts:
        self.given.append(counts.copy())
        return NoisyCounts(counts.astype(np.int64), sigma, private=False)

    def add_laplace(self, counts: NDArray[Any], scale: Fraction) -> NoisyCounts:
        raise AssertionError("no Laplace noise is declared")

    def draw_bits(self, number: int, probability: Fraction) -> NDArray[np.bool_]:
        raise AssertionError("no bits are declared")


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``mbi`` offers, as far as it is used: a fit that believes every count."""

    def estimate(domain: Any, measured: Any, iters: int) -> Any:
        tables = {one.clique: np.asarray(one.counts) for one in measured}

        def project(name: Any) -> Any:
            return SimpleNamespace(transpose=lambda order: SimpleNamespace(datavector=lambda: tables[order]))

        return SimpleNamespace(project=project)

    module = SimpleNamespace(
        Domain=lambda names, sizes: None,
        LinearMeasurement=lambda counts, clique, stddev: SimpleNamespace(counts=counts, clique=clique),
        estimation=SimpleNamespace(MirrorDescent=lambda: SimpleNamespace(estimate=estimate)),
    )
    monkeypatch.setitem(sys.modules, "mbi", module)


def partner(last: NDArray[Any], codes: NDArray[Any]) -> NDArray[Any]:
    """The third column, which the fourth and the class decide."""
    third: NDArray[Any] = np.array([1, 5, 0])[(last.astype(int) - 3 + codes) % 3]
    return third


def rows(n: int, seed: int = 0) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Whole numbers follow the class, and the third column the fourth and the class."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2, n)
    last = rng.integers(3, 6, n)
    x = np.stack([rng.uniform(-1, 1, n), codes * 10 + rng.integers(0, 8, n), partner(last, codes), last], axis=1)
    return x, codes


def release(table: PrivateMarginals, x: Any, codes: Any, *, source: Any = None, **options: Any) -> Any:
    return table.synthesize(x, codes, 2, events=events_of(table), source=source or Silent(), **options)


def events_of(table: PrivateMarginals) -> tuple[Event, ...]:
    """What it would release, without the seconds that it takes to find the least noise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tabular, "calibrate", lambda at, spend, **change: Fraction(6))
        return table.events(SPEND, **ROW)


# -- privacy -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pairs", [(), ((2, 3), (0, 1))])
def test_a_row_adds_one_in_every_marginal(stand_in: None, pairs: Any) -> None:
    table = PrivateMarginals(DOMAIN, pairs=pairs)
    x, codes = rows(50)
    with_row, without = Silent(), Silent()
    release(table, x, codes, source=with_row)
    release(table, x[:-1], codes[:-1], source=without)
    moved = with_row.given[0] - without.given[0]
    assert sorted(set(moved.tolist())) == [0, 1]
    (event,) = events_of(table)
    assert isinstance(event, Histograms)
    assert moved.sum() == event.votes == 4 + len(pairs)
    assert event.rounds == len(with_row.given) == 1


def test_events_are_the_least_noise_within_the_budget() -> None:
    (event,) = PrivateMarginals(DOMAIN, pairs=((0, 1),)).events(SPEND, unit=dw.Row(), relation="replace")
    assert isinstance(event, Histograms)
    assert satisfies([event], SPEND, unit=dw.Row(), relation="replace")
    less = Histograms(event.sigma - Fraction(1, SIGMA_STEPS), event.votes, event.rounds)
    assert not satisfies([less], SPEND, unit=dw.Row(), relation="replace")


def test_kept_counts_are_not_drawn_again(stand_in: None, tmp_path: Path) -> None:
    table = PrivateMarginals(DOMAIN)
    x, codes = rows(60)
    first = release(table, x, codes, source=random_source(1), folder=tmp_path / "kept")

    class Spent(Silent):
        def add_noise(self, counts: NDArray[Any], sigma: Fraction) -> NoisyCounts:
            raise AssertionError("noise was drawn twice")

    again = release(table, x, codes, source=Spent(), folder=tmp_path / "kept")
    np.testing.assert_array_equal(first.x, again.x)
    other = PrivateMarginals(DOMAIN, bins=4)
    with pytest.raises(DataError, match="counts of another release"):
        release(other, x, codes, folder=tmp_path / "kept")


def test_only_noisy_counts_leave(stand_in: None) -> None:
    """Rows that the bins cannot tell apart give the same copy."""
    table = PrivateMarginals(TableDomain((Number(0, 8), Number(0, 8))))
    x, codes = np.random.default_rng(0).integers(0, 8, (40, 2)).astype(float), np.arange(40) % 2
    canary = x + np.random.default_rng(1).uniform(0.01, 0.99, x.shape)
    one = release(table, x, codes, source=random_source(5), seed=2)
    two = release(table, canary[::-1], codes[::-1], source=random_source(5), seed=2)
    np.testing.assert_array_equal(one.x, two.x)
    np.testing.assert_array_equal(one.codes, two.codes)


# -- what is drawn -------------------------------------------------------------------------------


def test_without_noise_the_copy_has_the_marginals(stand_in: None) -> None:
    x, codes = rows(2000)
    table = PrivateMarginals(DOMAIN, bins=21, pairs=((3, 2),), rows=20_000)
    made = release(table, x, codes)
    assert isinstance(table, Synthesizer)
    assert (made.x.shape, made.x.dtype, made.codes.dtype) == ((20_000, 4), np.float32, np.int64)
    assert abs(made.codes.mean() - codes.mean()) < 0.02
    for label in (0, 1):
        ours, theirs = x[codes == label], made.x[made.codes == label]
        np.testing.assert_allclose(
            np.bincount(theirs[:, 1].astype(int), minlength=21) / len(theirs),
            np.bincount(ours[:, 1].astype(int), minlength=21) / len(ours),
            atol=0.02,
        )
    assert set(made.x[:, 2]) == {0.0, 1.0, 5.0}
    np.testing.assert_array_equal(partner(made.x[:, 3], made.codes), made.x[:, 2])  # the pair holds
    lone = release(PrivateMarginals(DOMAIN, rows=2000), x, codes)
    assert (partner(lone.x[:, 3], lone.codes) != lone.x[:, 2]).mean() > 0.5  # not counted together


@pytest.mark.parametrize("pairs", [((2, 3),), ((3, 2),), ((1, 3), (3, 2), (0, 1))])
def test_pairs_may_be_named_in_any_order(stand_in: None, pairs: Any) -> None:
    x, codes = rows(300)
    made = release(PrivateMarginals(DOMAIN, pairs=pairs), x, codes)
    np.testing.assert_array_equal(partner(made.x[:, 3], made.codes), made.x[:, 2])


def test_as_many_rows_as_counted(stand_in: None) -> None:
    x, codes = rows(321)
    assert len(release(PrivateMarginals(DOMAIN), x, codes).x) == 321
    assert abs(len(release(PrivateMarginals(DOMAIN), x, codes, source=random_source(0)).x) - 321) < 60
    assert len(release(PrivateMarginals(DOMAIN), x[:0], codes[:0]).x) == 1
    assert len(release(PrivateMarginals(DOMAIN, rows=7), x, codes).x) == 7


def test_a_seed_draws_alike(stand_in: None) -> None:
    x, codes = rows(80)
    table = PrivateMarginals(DOMAIN)
    one, two, other = (release(table, x, codes, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.x, two.x)
    assert (one.x != other.x).any()


COLUMNS = st.one_of(
    st.tuples(st.floats(-100, 100), st.floats(0, 100)).map(lambda ends: Number(ends[0], ends[0] + ends[1])),
    st.tuples(st.integers(-50, 50), st.integers(0, 60)).map(lambda ends: Whole(ends[0], ends[0] + ends[1])),
    st.sets(st.integers(-20, 20), min_size=1, max_size=6).map(lambda values: Category(tuple(sorted(values)))),
)


@settings(max_examples=200, deadline=None)
@given(COLUMNS, st.integers(2, 12), st.integers(0, 100))
def test_what_is_drawn_in_a_bin_is_counted_in_it(column: Column, bins: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = _size(column, bins)
    assert size >= 1
    places = rng.integers(0, size, 50)
    values = _unbin(places, column, bins, rng)
    if isinstance(column, Category):
        assert set(values) <= set(column.values)
    else:
        assert (values >= column.low).all()
        assert (values <= column.high).all()
    if isinstance(column, Whole):
        np.testing.assert_array_equal(values, np.rint(values))
        everything = _bin(np.arange(column.low, column.high + 1), column, bins)
        assert set(everything.tolist()) == set(range(size))
    if not isinstance(column, Number) or column.high - column.low > 1e-6:
        again = _bin(values, column, bins)
        if isinstance(column, Number):  # floating point may move a value at the very edge
            assert (np.abs(again - places) <= 1).all()
            assert (again == places).mean() > 0.9
        else:
            np.testing.assert_array_equal(again, places)


def test_values_outside_count_as_the_nearest() -> None:
    assert _bin(np.array([-9.0, 9.0]), Number(0, 1), 4).tolist() == [0, 3]
    assert _bin(np.array([-9.0, 9.0, 2.4]), Whole(0, 3), 4).tolist() == [0, 3, 2]
    assert _bin(np.array([-9.0, 9.0, 2.1]), Category((0, 1, 4)), 4).tolist() == [0, 2, 1]


def test_picks_follow_their_weights() -> None:
    weights = np.array([[1.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
    picked = _pick(weights, np.zeros(20_000, np.int64), np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(picked, minlength=3) / 20_000, [0.25, 0, 0.75], atol=0.02)
    picked = _pick(weights, np.ones(20_000, np.int64), np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(picked, minlength=3) / 20_000, [1 / 3] * 3, atol=0.02)


# -- pairs ---------------------------------------------------------------------------------------


@given(st.integers(1, 8), st.data())
def test_every_column_comes_once_and_after_its_own(columns: int, data: st.DataObject) -> None:
    pairs = [(data.draw(st.integers(0, j - 1)), j) for j in range(1, columns) if data.draw(st.booleans())]
    found = _order(columns, data.draw(st.permutations(pairs)))
    assert sorted(j for j, _ in found) == list(range(columns))
    seen: set[int] = set()
    used = []
    for j, parent in found:
        assert parent is None or parent in seen
        seen.add(j)
        used += [] if parent is None else [tuple(sorted((parent, j)))]
    assert sorted(used) == sorted(pairs)


def test_likely_pairs_are_those_that_tell_of_each_other() -> None:
    x, codes = rows(500)
    public = dw.Points(x, codes)
    assert likely_pairs(public, DOMAIN, most=1) == ((2, 3),)
    assert likely_pairs(public, DOMAIN, most=0) == ()
    tree = likely_pairs(public, DOMAIN)
    assert len(tree) == 3
    _order(4, tree)


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"bins": 1}, "bins must be a whole number from 2"),
        ({"bins": True}, "bins must be"),
        ({"rows": 0}, "rows must be"),
        ({"iterations": 0}, "iterations must be"),
        ({"pairs": ((0, 4),)}, "from 0 to 3"),
        ({"pairs": ((1, 1),)}, "two columns"),
        ({"pairs": ((0, 1, 2),)}, "two columns"),
        ({"pairs": ((0, 1), (1, 2), (2, 0))}, "circle"),
        ({"pairs": ((0, 1), (1, 0))}, "circle"),
    ],
)
def test_bad_parameters(options: dict[str, Any], says: str) -> None:
    with pytest.raises(MethodError, match=says):
        PrivateMarginals(DOMAIN, **options)


def test_bad_rows(stand_in: None) -> None:
    table = PrivateMarginals(DOMAIN)
    x, codes = rows(10)
    with pytest.raises(DataError, match=r"domain has 4 columns, and the rows are of shape \('n', 3\)"):
        release(table, x[:, :3], codes)
    with pytest.raises(DataError, match="from 0 to 1"):
        release(table, x, codes + 1)
    x[3, 0] = np.nan
    with pytest.raises(DataError, match="1 of 10 rows have missing"):
        release(table, x, codes)
    with pytest.raises(MethodError, match="not the events"):
        table.synthesize(x, codes, 2, events=[CappedCounts(Fraction(2), 1)], source=Silent())
    wide = PrivateMarginals(TableDomain((Number(0, 1),) * 2), bins=1000, pairs=((0, 1),))
    with pytest.raises(DataError, match="2,000,000 cells"):
        wide.synthesize(x[:, :2], codes, 3, events=events_of(wide), source=Silent())


def test_without_the_package_nothing_is_released(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "mbi", None)
    source = Silent()
    with pytest.raises(MissingExtra, match=r"dataworth\[marginals\]"):
        release(PrivateMarginals(DOMAIN), *rows(10), source=source, folder=tmp_path / "kept")
    assert not source.given
    assert not (tmp_path / "kept").exists()


# -- the package itself --------------------------------------------------------------------------


@pytest.mark.models
def test_the_package_fits_what_was_counted() -> None:
    x, codes = rows(3000)
    table = PrivateMarginals(DOMAIN, pairs=((2, 3),), rows=5000)
    made = release(table, x, codes, source=random_source(0))
    assert (partner(made.x[:, 3], made.codes) == made.x[:, 2]).mean() > 0.9
    assert abs(((made.x[:, 1] >= 9) == made.codes).mean() - ((x[:, 1] >= 9) == codes).mean()) < 0.1
    assert abs(made.codes.mean() - codes.mean()) < 0.05
    exact = release(table, x, codes)
    for label in (0, 1):
        np.testing.assert_allclose(
            np.bincount(exact.x[exact.codes == label, 3].astype(int), minlength=6) / (exact.codes == label).sum(),
            np.bincount(x[codes == label, 3].astype(int), minlength=6) / (codes == label).sum(),
            atol=0.03,
        )
