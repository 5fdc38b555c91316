"""Solving games: exactly, by sampling, and after being stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import GaussianNB

import dataworth as dw
from dataworth.errors import DataError, InputError, MethodError
from dataworth.kernels.coalitions import semivalues, size_weights
from dataworth.records import Coalitions
from dataworth.valuation import coalitions
from dataworth.valuation.coalitions import solve_game
from dataworth.valuation.games import ModelScore, NeighborAccuracy, RidgeAccuracy, Utility


@dataclass(eq=False)
class Toy:
    """A game given by a function of a coalition's number, which counts how often it is asked."""

    worth: Callable[[int, int], float]
    alike: tuple[int, ...]
    repeats: int = 1
    noisy: bool = False
    floor: float = 0.25
    asked: list[tuple[int, int]] = field(default_factory=list)
    stop_after: int | None = None

    @property
    def digest(self) -> str:
        return hashlib.blake2b(repr((self.alike, self.repeats, self.noisy)).encode()).hexdigest()

    def utility(self, members: NDArray[np.bool_], repeat: int) -> float:
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        mask = sum(1 << i for i in np.flatnonzero(members).tolist())
        self.asked.append((mask, repeat))
        return self.worth(mask, repeat)

    def describe(self) -> str:
        return "a toy"


def strange(mask: int, repeat: int = 0) -> float:
    """A utility without any structure, the same every time."""
    return float(np.random.default_rng([mask, repeat]).uniform())


def names(n: int) -> tuple[str, ...]:
    return tuple(f"p{i}" for i in range(n))


def quiet(game: Any, n: int, **how: Any) -> Coalitions:
    return solve_game(game, names(n), progress=False, **how)


def same(a: Coalitions, b: Coalitions) -> bool:
    arrays = all(
        np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True)
        for name in ("members", "utilities", "alone", "values", "errors")
    )
    return arrays and (a.floor, a.full, a.exact, a.players) == (b.floor, b.full, b.exact, b.players)


# -- exact ----------------------------------------------------------------------------------------


def test_exact_values_are_those_of_the_table() -> None:
    toy = Toy(strange, tuple(range(5)))
    found = quiet(toy, 5)
    table = np.array([toy.floor, *(strange(mask) for mask in range(1, 32))])
    assert found.exact
    assert found.utilities[:, 0].tolist() == table.tolist()
    assert found.values.tolist() == semivalues(table, size_weights(5)).tolist()
    assert found.alone.tolist() == [strange(2**i) for i in range(5)]
    assert (found.floor, found.full) == (0.25, strange(31))
    assert found.errors.tolist() == [0] * 5
    assert found.members[6].tolist() == [False, True, True, False, False]
    assert sorted(toy.asked) == [(mask, 0) for mask in range(1, 32)]
    assert found.utility == "a toy"


def test_repeats_are_averaged_and_give_errors() -> None:
    toy = Toy(strange, (0, 1, 2), repeats=4, noisy=True)
    found = quiet(toy, 3)
    table = np.array([[0.25] * 4, *([strange(mask, r) for r in range(4)] for mask in range(1, 8))])
    by_repeat = semivalues(table, size_weights(3))
    np.testing.assert_allclose(found.values, by_repeat.mean(axis=1), atol=1e-15)
    np.testing.assert_allclose(found.errors, by_repeat.std(axis=1, ddof=1) / 2, atol=1e-15)
    assert found.full == pytest.approx(table[7].mean())


def test_one_repeat_of_a_noisy_utility_has_no_known_error() -> None:
    found = quiet(Toy(strange, (0, -1, 2), noisy=True), 3)
    assert np.isnan(found.errors[[0, 2]]).all()
    assert found.errors[1] == found.values[1] == 0


@pytest.mark.parametrize("exact", [True, False])
def test_twins_are_worth_the_same_and_the_empty_nothing_whatever_the_utility_says(exact: bool) -> None:
    toy = Toy(strange, (0, 1, 0, -1, 0, 5), repeats=2, noisy=True)
    found = quiet(toy, 6, exact=exact, max_permutations=60)
    assert found.values[0] == found.values[2] == found.values[4]
    assert found.errors[0] == found.errors[2] == found.errors[4]
    assert found.alone[0] == found.alone[2] == found.alone[4]
    assert found.values[3] == found.errors[3] == 0
    assert found.alone[3] == toy.floor
    assert found.values.sum() == pytest.approx(found.full - found.floor, abs=1e-12)
    assert len(set(toy.asked)) == len(toy.asked) <= 2 * (4 * 2 * 2 - 1)  # by number of twins and the two others


def test_one_player() -> None:
    for exact in (True, False):
        found = quiet(Toy(strange, (0,)), 1, exact=exact)
        assert found.values.tolist() == [strange(1) - 0.25]
        assert found.errors.tolist() == [0]


# -- sampled --------------------------------------------------------------------------------------


def test_sampling_is_within_its_errors_of_the_exact_values() -> None:
    def worth(mask: int, repeat: int) -> float:
        return float(np.sqrt(sum(i + 1 for i in range(9) if mask >> i & 1)) + 0.2 * strange(mask, repeat))

    exact, found = (quiet(Toy(worth, tuple(range(9))), 9, exact=how) for how in (True, False))
    assert not found.exact
    assert (np.abs(found.values - exact.values) < 4 * found.errors).all()
    assert found.values.sum() == pytest.approx(found.full - found.floor, abs=1e-12)
    assert found.alone.tolist() == exact.alone.tolist()
    assert {tuple(row) for row in found.members.tolist()} <= {tuple(row) for row in exact.members.tolist()}
    assert len({tuple(row) for row in found.members.tolist()}) == len(found.members) == len(found.utilities)


def test_no_coalition_is_worked_out_twice() -> None:
    toy = Toy(strange, tuple(range(4)), repeats=2, noisy=True)
    quiet(toy, 4, exact=False)
    assert sorted(toy.asked) == [(mask, repeat) for mask in range(1, 16) for repeat in range(2)]


def test_more_than_twelve_players_are_sampled() -> None:
    def additive(mask: int, _: int) -> float:
        return 0.25 + sum(i for i in range(63) if mask >> i & 1)

    found = quiet(Toy(additive, tuple(range(63))), 63, max_permutations=40)
    assert not found.exact
    np.testing.assert_allclose(found.values, np.arange(63), atol=1e-9)
    assert found.members.shape[1] == 63
    assert found.members[-1].all()
    assert not found.members[0].any()
    with pytest.raises(MethodError, match=r"exact values of 13 players need 8,192 models.*exact=False"):
        quiet(Toy(additive, tuple(range(13))), 13, exact=True)


def test_it_stops_at_the_target_but_not_before_twenty_pairs() -> None:
    def pairs(target: float | None) -> int:
        toy = Toy(strange, tuple(range(14)))
        found = quiet(toy, 14, target_error=target, max_permutations=400)
        assert target is None or target < 0.01 or found.errors.max() <= target
        return len(toy.asked)

    soon, later, never, all_of_them = pairs(1e3), pairs(0.04), pairs(1e-9), pairs(None)
    assert soon < later < never == all_of_them
    assert 20 * 20 < soon <= 20 * 2 * 14 + 1 + 14


def test_seeds_and_orders_both_add_to_the_error() -> None:
    def shaky(mask: int, repeat: int) -> float:
        return float(np.sqrt(mask.bit_count()) + (repeat - 1) * mask.bit_count())

    calm = quiet(Toy(lambda mask, _: float(np.sqrt(mask.bit_count())), tuple(range(6))), 6, exact=False)
    found = quiet(Toy(shaky, tuple(range(6)), repeats=3, noisy=True), 6, exact=False)
    np.testing.assert_allclose(found.values, calm.values, atol=1e-12)
    np.testing.assert_allclose(found.errors, np.hypot(calm.errors, 1 / np.sqrt(3)), atol=1e-12)


def test_the_seed_chooses_the_orders() -> None:
    a, b, c = (quiet(Toy(strange, tuple(range(13))), 13, max_permutations=40, seed=seed) for seed in (1, 1, 2))
    assert same(a, b)
    assert a.values.tolist() != c.values.tolist()


# -- kept on disk ---------------------------------------------------------------------------------


@pytest.mark.parametrize("exact", [True, False])
def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path, exact: bool) -> None:
    def fresh(stop_after: int | None = None) -> Toy:
        return Toy(strange, (0, 1, 2, 0, 4, 5), repeats=2, noisy=True, stop_after=stop_after)

    how: dict[str, Any] = {"exact": exact, "max_permutations": 50}
    whole = quiet(fresh(), 6, **how)
    asked = []
    for stop_after in (11, 20):
        stopped = fresh(stop_after)
        with pytest.raises(KeyboardInterrupt):
            quiet(stopped, 6, folder=tmp_path / "deep" / "er", key="eps-4", **how)
        asked += stopped.asked
    last = fresh()
    assert same(quiet(last, 6, folder=tmp_path / "deep" / "er", key="eps-4", **how), whole)
    asked += last.asked
    assert len(set(asked)) >= len(asked) - 2  # what a stop cut in half is begun again, nothing else
    again = fresh()
    assert same(quiet(again, 6, folder=tmp_path / "deep" / "er", key="eps-4", **how), whole)
    assert again.asked == []
    (file,) = (tmp_path / "deep" / "er").iterdir()
    assert file.name.startswith("eps-4-")


def test_it_saves_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coalitions, "_SAVE_EVERY", -1.0)
    sizes: list[int] = []

    def worth(mask: int, repeat: int) -> float:
        sizes.append(sum(file.stat().st_size for file in tmp_path.iterdir()))
        return strange(mask, repeat)

    quiet(Toy(worth, tuple(range(3))), 3, folder=tmp_path)
    assert sizes[0] == 0 < sizes[1] < sizes[-1]


def test_another_game_has_another_file(tmp_path: Path) -> None:
    first, second = Toy(strange, (0, 1)), Toy(lambda mask, _: mask / 4, (0, 0))
    quiet(first, 2, folder=tmp_path)
    assert quiet(second, 2, folder=tmp_path).full == 0.75
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_file_is_not_used(tmp_path: Path) -> None:
    quiet(Toy(strange, (0, 1)), 2, folder=tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-40])
    with pytest.raises(DataError, match="file of coalitions"):
        quiet(Toy(strange, (0, 1)), 2, folder=tmp_path)
    impostor = tmp_path / "other"
    quiet(Toy(strange, (0, 0)), 2, folder=impostor)
    file.write_bytes(next(impostor.iterdir()).read_bytes())
    with pytest.raises(DataError, match="another game"):
        quiet(Toy(strange, (0, 1)), 2, folder=tmp_path)


# -- real games -----------------------------------------------------------------------------------


def some(seed: int, n: int) -> dw.Points:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2, n)
    return dw.Points(rng.normal(codes[:, np.newaxis], 1.0, (n, 4)), codes)


@pytest.mark.parametrize(
    "utility", [RidgeAccuracy(), NeighborAccuracy(1.0, "euclidean"), ModelScore(SGDClassifier(), repeats=2)], ids=str
)
def test_identical_providers_are_worth_the_same_and_the_order_of_players_is_nothing(utility: Utility) -> None:
    players = [some(1, 20), some(2, 60), None, some(1, 20), some(3, 5)]
    found = quiet(utility.game(players, some(9, 200)), 5)
    assert found.values[0] == found.values[3]
    assert found.values[2] == 0
    assert found.values.sum() == pytest.approx(found.full - found.floor, abs=1e-12)
    turned = [4, 2, 0, 3, 1]
    other = quiet(utility.game([players[i] for i in turned], some(9, 200)), 5)
    if not isinstance(utility, ModelScore):  # a model may look at the order of its rows
        np.testing.assert_allclose(other.values, found.values[turned], atol=1e-12)


def test_more_rows_are_worth_more() -> None:
    players = [some(seed, n) for seed, n in enumerate([4, 30, 300])]
    found = quiet(RidgeAccuracy().game(players, some(9, 500)), 3)
    assert found.values[0] < found.values[1] < found.values[2]


def test_a_model_that_fails_says_for_whom() -> None:
    class Picky(GaussianNB):  # type: ignore[misc]
        def fit(self, x: Any, y: Any) -> Any:
            if len(x) > 30:
                raise ValueError("too many")
            return super().fit(x, y)

    game = ModelScore(Picky()).game([some(1, 20), some(2, 20), None], some(9, 20))
    with pytest.raises(MethodError, match=r"failed on the coalition of 'north', 'south' \(ValueError: too many\)"):
        solve_game(game, ("north", "south", "east"), progress=False)


def test_utilities_must_be_finite() -> None:
    with pytest.raises(MethodError, match=r"scored the coalition of 'p1' \[nan\]"):
        quiet(Toy(lambda mask, _: np.nan if mask == 2 else 0.5, (0, 1)), 2)


# -- bad input ------------------------------------------------------------------------------------

TOY = Toy(strange, (0, 1))


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ({"players": ()}, InputError, "1 to 63 players, not 0"),
        ({"players": names(64)}, InputError, "1 to 63 players, not 64"),
        ({"players": names(3)}, InputError, "has 2 players, but 3 names"),
        ({"players": ("a", "a")}, InputError, "'a' is there more than once"),
        ({"max_permutations": 38}, MethodError, "an even number of 40 or more"),
        ({"max_permutations": 101}, MethodError, "an even number"),
        ({"max_permutations": 100.0}, MethodError, "an even number"),
        ({"target_error": 0}, MethodError, "target_error must be a number above 0"),
        ({"target_error": "small"}, MethodError, "target_error must be"),
        ({"seed": -1}, MethodError, "seed must be an integer"),
        ({"key": "../up"}, InputError, "key must be up to 80 letters"),
    ],
)
def test_bad_input(how: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        solve_game(TOY, **{"players": ("a", "b"), "progress": False, **how})
    assert TOY.asked == []


def test_a_target_that_cannot_be_known_to_be_reached_is_refused() -> None:
    with pytest.raises(MethodError, match="one repeat of a noisy utility"):
        quiet(Toy(strange, (0, 1), noisy=True), 2, exact=False, target_error=0.1)
