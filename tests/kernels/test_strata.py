"""Coalitions by size: right on average, errors as large as estimates stray, and what predictions must not do."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataworth.errors import InputError
from dataworth.kernels.coalitions import all_coalitions, semivalues, size_weights
from dataworth.kernels.sampling import A_TIME
from dataworth.kernels.strata import _FOLDS, Strata, _Predictions
from dataworth.kernels.threshold import Beta
from tests.kernels.table_games import KINDS, distances, estimated, game, played, same

SEMIVALUES: list[Any] = ["shapley", "banzhaf", Beta(16, 1), Beta(1, 4)]
N = 10


class Remembered(Strata):
    """The same coalitions, drawn once."""

    def members(self, number: int) -> NDArray[np.bool_]:
        return _members(self.n, self.semivalue, self.seed, number)


@cache
def _members(n: int, semivalue: Any, seed: int, number: int) -> NDArray[np.bool_]:
    return Strata(n, semivalue, seed).members(number)


# -- right on average -----------------------------------------------------------------------------


@pytest.mark.parametrize("semivalue", SEMIVALUES, ids=str)
@pytest.mark.parametrize(("games", "draws"), [(12, 60), pytest.param(50, 600, marks=pytest.mark.slow)])
def test_many_games_are_within_their_errors(semivalue: Any, games: int, draws: int) -> None:
    off = []
    for number in range(games):
        table = game(KINDS[number % 3], N, number)
        found = estimated(Remembered(N, semivalue, number % 5), table, draws)
        off.append(distances(found, semivalues(table, size_weights(N, semivalue))))
    z = np.concatenate(off)
    assert np.abs(z).max() < 4
    assert 0.75 < (z**2).mean() < 1.25  # errors are neither too small nor too large


@pytest.mark.parametrize(
    "semivalue", [*SEMIVALUES[::3], *(pytest.param(s, marks=pytest.mark.slow) for s in SEMIVALUES[1:3])]
)
def test_few_draws_are_right_on_average(semivalue: Any) -> None:
    """And their errors, squared, are on average what estimates stray, squared: over 400 seeds."""
    # Some of each kind, and an empty set that is worth something: it tells whether the ends are right.
    table = game("additive", N, 7) + 0.2 * game("majority", N, 7) + 0.2 * game("uniform", N, 7) + 1
    exact = semivalues(table, size_weights(N, semivalue))
    for draws in (2, 11):  # without what members predict, and with it
        runs = [estimated(Remembered(N, semivalue, seed), table, draws) for seed in range(400)]
        values = np.array([run.values for run in runs])
        spread = values.std(axis=0, ddof=1)
        assert (np.abs(values.mean(axis=0) - exact) < 4 * spread / np.sqrt(len(runs))).all()
        assert 0.85 < np.mean([run.errors**2 for run in runs]) / (spread**2).mean() < 1.15


@pytest.mark.parametrize("semivalue", SEMIVALUES, ids=str)
def test_predictions_take_chance_away(semivalue: Any) -> None:
    """A sum of members, each of whom matters less the more there are, is nearly all predicted."""
    members = all_coalitions(N)
    sizes = np.maximum(members.sum(axis=1), 1)
    worth = np.random.default_rng(1).normal(size=N)
    table = members @ worth / np.sqrt(sizes) + np.log1p(members.sum(axis=1))
    plain = estimated(Remembered(N, semivalue, 1), table, 10)  # too few to predict by members
    found = estimated(Remembered(N, semivalue, 1), table, 11)
    assert found.errors.mean() < plain.errors.mean() / 4
    np.testing.assert_allclose(found.values, semivalues(table, size_weights(N, semivalue)), atol=0.02)


def test_draws_do_not_predict_themselves() -> None:
    """What is taken off a draw knows nothing of that draw, nor of the others of its part."""
    plan, table = Remembered(N, "shapley", 1), game("uniform", N, 3)
    found = np.concatenate([played(plan, number, table)[0] for number in range(15)])
    sizes = np.concatenate([plan.members(number).sum(axis=1) for number in range(15)])
    folds = np.repeat(np.arange(15) % _FOLDS, A_TIME)
    before = _Predictions.of(plan, found, sizes, folds, 0.0, 1.0)
    for fold in range(_FOLDS):
        changed = np.where(folds == fold, 100 * np.sin(1 + np.arange(found.size)), found)
        after = _Predictions.of(plan, changed, sizes, folds, 0.0, 1.0)
        for now, then in ((after.by_size, before.by_size), (after.by_player, before.by_player)):
            assert now[fold].tolist() == then[fold].tolist()
            others = np.arange(_FOLDS) != fold
            assert (now[others] != then[others]).any(axis=1).all()


# -- laws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("draws", [10, 20])
@pytest.mark.parametrize("semivalue", SEMIVALUES, ids=str)
def test_whoever_adds_nothing_is_worth_nothing(semivalue: Any, draws: int) -> None:
    table = game("uniform", N - 1, 5)
    idle = np.concatenate([table, table])  # the last player makes no difference
    found = estimated(Remembered(N, semivalue, 2), idle, draws)
    assert abs(found.values[-1]) < 4 * found.errors[-1]
    assert found.errors[-1] > 0


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), level=st.floats(-1000, 1000), at=st.integers(0, 3), draws=st.integers(1, 13))
def test_a_constant_changes_nothing(seed: int, level: float, at: int, draws: int) -> None:
    table = np.random.default_rng(seed).normal(size=2**5)
    plan = Remembered(5, SEMIVALUES[at], seed % 20)
    plain, lifted = estimated(plan, table, draws), estimated(plan, table + level, draws)
    np.testing.assert_allclose(lifted.values, plain.values, atol=1e-10)
    np.testing.assert_allclose(lifted.errors, plain.errors, atol=1e-9)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), factor=st.floats(1e-6, 1e6), at=st.integers(0, 3), draws=st.integers(2, 13))
def test_units_do_not_matter(seed: int, factor: float, at: int, draws: int) -> None:
    table = np.random.default_rng(seed).normal(size=2**5)
    plan = Remembered(5, SEMIVALUES[at], seed % 20)
    plain, scaled = estimated(plan, table, draws), estimated(plan, -factor * table, draws)
    np.testing.assert_allclose(scaled.values, -factor * plain.values, atol=1e-9 * factor)
    np.testing.assert_allclose(scaled.errors, factor * plain.errors, atol=1e-9 * factor)


def test_players_have_no_rank() -> None:
    """Nothing but chance tells players apart whom the game does not tell apart: over seeds, none is favoured."""
    sizes = all_coalitions(6).sum(axis=1)
    table = np.sqrt(sizes) + np.random.default_rng(0).normal(0, 1, 7)[sizes]
    values = np.array([estimated(Remembered(6, "shapley", seed), table, 11).values for seed in range(40)])
    spread = np.maximum(values.std(axis=0, ddof=1), 1e-12) / np.sqrt(40)
    np.testing.assert_allclose(values.mean(axis=0), (table[-1] - table[0]) / 6, atol=4 * spread.max() + 1e-12)


# -- which coalitions -----------------------------------------------------------------------------


@pytest.mark.parametrize("semivalue", SEMIVALUES, ids=str)
@pytest.mark.parametrize("n", [2, 3, 10, 300])
def test_sizes_are_as_often_as_planned(n: int, semivalue: Any) -> None:
    plan = Strata(n, semivalue)
    sizes = np.concatenate([plan.members(number).sum(axis=1) for number in range(20)])
    assert sizes.min() >= 1
    assert sizes.max() <= n - 1
    seen = np.bincount(sizes, minlength=n)[1:] / sizes.size
    # Evenly spaced from a random start: each draw is within one of its 64 of what is planned, up to any size.
    assert np.abs(np.cumsum(seen) - np.cumsum(plan._chances)).max() <= 1 / A_TIME


@pytest.mark.parametrize("semivalue", ["shapley", "banzhaf"])
def test_members_of_a_size_are_drawn_evenly(semivalue: Any) -> None:
    plan = Strata(5, semivalue, 8)
    members = np.concatenate([plan.members(number) for number in range(120)])
    masks = members @ (1 << np.arange(5))
    for size in range(1, 5):
        held = members.sum(axis=1) == size
        every = [mask for mask in range(32) if mask.bit_count() == size]
        seen = np.bincount(masks[held], minlength=32)[every]
        expected = held.sum() / len(every)
        assert ((seen - expected) ** 2 / expected).sum() < 35  # chi-squared of 4 or 9, beyond 0.9999


@pytest.mark.parametrize("semivalue", ["banzhaf", Beta(16, 1), Beta(1, 40)], ids=str)
def test_thousands_of_players(semivalue: Any) -> None:
    """Shares of most sizes vanish in double precision; nothing becomes infinite or undefined."""
    n = 3_000
    plan = Strata(n, semivalue, 1)
    worth = np.random.default_rng(0).normal(size=n)
    found = [plan.members(number) @ worth / n for number in range(2)]
    estimate = plan.estimate(found, 0.0, float(worth.sum() / n))
    assert np.isfinite(estimate.values).all()
    assert np.isfinite(estimate.errors).all()


def test_least_draws_are_worth_an_error() -> None:
    table = game("uniform", N, 3)
    plan = Strata(N)
    assert plan.least >= 10
    assert (estimated(plan, table, plan.least).errors > 0).all()
    assert np.isnan(estimated(plan, table, 1).errors).all()
    assert same(estimated(plan, table, 3), estimated(Remembered(N), table, 3))
    assert played(plan, 0, table)[0].shape == (A_TIME,) == (plan.per_draw,)


@pytest.mark.parametrize("n", [0, 1])
def test_one_player_cannot_be_sampled_by_size(n: int) -> None:
    with pytest.raises(InputError, match=f"two players or more, not {n}"):
        Strata(n)
