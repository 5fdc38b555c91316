"""Calibrated shares: what must hold whatever the figures, what is flagged, and what public data teach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import dataworth as dw
from dataworth.errors import DataError, InputError, MethodError
from dataworth.privacy.kinds import DisjointCounts, Event
from dataworth.privacy.mechanisms import Source
from dataworth.records.privacy import Relation, Unit
from dataworth.synthesis.protocol import Synthetic
from dataworth.valuation.calibration import Calibration, learn_calibration, recalibrate
from dataworth.valuation.games import RidgeAccuracy
from tests.made_shares import INSECURE, PROMISE, additive, made, solved

thousandths = st.integers(-200, 300).map(lambda number: number / 1000)


@st.composite
def games(draw: st.DrawFn) -> tuple[dw.Coalitions, NDArray[np.float64], tuple[str, ...]]:
    """A small game with interactions, fidelity of which some is missing, and who is empty."""
    count = draw(st.integers(2, 4))
    extra = np.array(draw(st.lists(thousandths, min_size=2**count, max_size=2**count)))
    present = np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    present[draw(st.integers(0, count - 1))] = True

    def worth(row: NDArray[np.bool_]) -> float:  # those who are empty bring nothing
        return float(0.2 + extra[int((row & present) @ (1 << np.arange(count)))] * bool((row & present).any()))

    fidelity = np.array(draw(st.lists(st.one_of(thousandths, st.just(float("nan"))), min_size=count, max_size=count)))
    names = [f"p{i}" for i in range(count)]
    return (
        solved(worth, count, names=names),
        fidelity,
        tuple(n for n, here in zip(names, present, strict=True) if not here),
    )


@given(games(), st.floats(0.1, 3))
def test_values_divide_the_total_and_the_empty_get_nothing(
    game: tuple[dw.Coalitions, NDArray[np.float64], tuple[str, ...]], scale: float
) -> None:
    tried, fidelity, empty = game
    shares = Calibration(scale=scale).apply(tried, fidelity, empty=empty)
    assert shares.total == pytest.approx(min(max(scale * (tried.full - tried.floor), 0), 1 - tried.floor))
    assert shares.values.sum() == pytest.approx(shares.total)
    assert shares.uniform.sum() == pytest.approx(shares.total)
    assert shares.shares.sum() == pytest.approx(1)
    assert (shares.values >= 0).all()
    assert (shares.values[~shares.present] == 0).all()
    assert (shares.shares[~shares.present] == 0).all()
    assert shares.empty == empty
    assert np.isnan(shares.fidelity[~shares.present]).all()  # who has no rows has nothing to agree with


@given(games())
def test_alpha_alone_leaves_values_uncalibrated(
    game: tuple[dw.Coalitions, NDArray[np.float64], tuple[str, ...]],
) -> None:
    tried, fidelity, empty = game
    shares = Calibration(1, 0, 0).apply(tried, fidelity, empty=empty)
    np.testing.assert_array_equal(shares.uncalibrated, tried.values)
    kept = np.maximum(tried.values, 0)
    if (tried.values >= 0).all():
        np.testing.assert_allclose(shares.values, tried.values, atol=1e-12)
    elif kept.sum() > 1e-6 and shares.total > 0:
        np.testing.assert_allclose(shares.shares, kept / kept.sum(), atol=1e-9)


def test_shares_of_the_true_game_are_the_true_ones() -> None:
    true = solved(lambda row: 0.1 + 0.8 * np.sqrt(float(np.array([0.5, 0.3, 0.2]) @ row)), 3)
    assert (true.values > 0).all()
    np.testing.assert_allclose(Calibration(1, 0, 0).apply(true, np.full(3, 0.5)).values, true.values)


def test_identical_providers_get_the_same_to_the_last_bit() -> None:
    tried = solved(lambda row: 0.1 + 0.3 * bool(row[0] or row[2]) + 0.1 * row[1], 3)
    shares = Calibration().apply(tried, [0.4, 0.1, 0.4])
    assert shares.values[0] == pytest.approx(shares.values[2], rel=1e-15)


def test_another_calibration_on_what_was_saved(tmp_path: Path) -> None:
    first = made(fidelity=(0.5, np.nan, 0.3), flags=("Said by whoever made the packages.",), repeats=3, noise=0.01)
    kept = dw.Shares.load(first.save(tmp_path / "shares.parquet"))
    other = Calibration(0.2, 0.5, 0.3, scale=1.2)
    again, direct = recalibrate(kept, other), made(
        fidelity=(0.5, np.nan, 0.3), flags=("Said by whoever made the packages.",), repeats=3, noise=0.01,
        calibration=other,
    )  # fmt: skip
    np.testing.assert_array_equal(again.values, direct.values)
    np.testing.assert_array_equal(again.errors, direct.errors)
    assert again.flags == direct.flags
    assert (again.calibration, again.total, again.spent) == (direct.calibration, direct.total, direct.spent)
    assert [piece.name for piece in again.evidence] == [piece.name for piece in first.evidence]
    back = recalibrate(again, Calibration())
    np.testing.assert_array_equal(back.values, first.values)
    assert back.flags == first.flags


@pytest.mark.parametrize(
    ("mix", "said"),
    [
        ((0.5, 0.3, 0.3), r"0.5 \+ 0.3 \+ 0.3 is 1.1"), ((1.2, -0.2, 0.0), "beta is"), ((float("nan"), 0, 1), "finite"),
        ((0.4, 0.3, 0.3, 0.0), "above zero, not 0"), ((0.4, 0.3, 0.3, -1.0), "above zero"), ((True, 0, 0), "finite"),
        (("0.4", 0.3, 0.3), "finite number, not '0.4'"), ((0.4, 0.3, 0.3, 1.0, 1), "True or False"),
    ],
)  # fmt: skip
def test_calibrations_that_are_none(mix: Any, said: str) -> None:
    with pytest.raises(MethodError, match=said):
        Calibration(*mix)


def test_tenths_sum_to_one() -> None:
    assert Calibration(0.1, 0.2, 0.7).mix == (0.1, 0.2, 0.7)
    assert str(Calibration(1, 0, 0)) == "Calibration(alpha=1, beta=0, gamma=0, scale=1)"


@pytest.mark.parametrize(
    ("fidelity", "more", "said"),
    [
        ([0.1, 0.2], {}, "one entry for each of 3 providers"),
        ([0.1, np.inf, 0.1], {}, "must be finite"),
        ([0.1, 0.1, 0.1], {"empty": ("nobody",)}, "1 of 1 empty providers are no players"),
        ([0.1, 0.1, 0.1], {"empty": ("clinic 0", "clinic 1", "clinic 2")}, "every provider declared itself empty"),
        ([0.1, 0.1, 0.1], {"ceiling": 0.1}, "ceiling must be above"),
        ([0.1, 0.1, 0.1], {"spent": (PROMISE,)}, "spent must have one entry"),
        ([0.1, 0.1, 0.1], {"fidelity_errors": [0.1]}, "fidelity_errors must have one entry"),
    ],
)
def test_what_does_not_fit(fidelity: Any, more: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Calibration().apply(additive([0.3, 0.2, 0.1]), fidelity, **more)


# -- flags -----------------------------------------------------------------------------------------


def said(shares: dw.Shares, words: str) -> bool:
    return any(words in flag for flag in shares.flags)


def test_shares_always_say_that_they_are_never_exact() -> None:
    shares = made()
    assert shares.flags[-1].startswith("Shares are never exact")
    assert said(shares, "declared by the providers")
    assert not shares.stamp
    assert len(shares.flags) == 2


def test_what_nothing_protects_is_said_first() -> None:
    for spent in (None, [PROMISE, INSECURE, PROMISE], [PROMISE, None, PROMISE]):
        shares = made(spent=spent, flags=("Another.",))
        assert shares.stamp == "NOT PRIVATE"
        assert shares.flags[0].startswith("NOT PRIVATE")
        assert shares.flags[1] == "Another."
    assert not made(spent=[PROMISE, None, PROMISE], empty=("clinic 1",)).stamp


def test_providers_that_are_alike() -> None:
    assert said(made((0.2, 0.21, 0.2), (0.4, 0.4, 0.4)), "the largest value is 1.0")
    uneven = (0.25, 0.2, 0.15), (0.4, 0.4, 0.4)
    assert said(made(*uneven, errors=np.full(3, 0.1)), "no more than their standard errors explain")
    assert not said(made(*uneven, errors=np.full(3, 0.01), fidelity_errors=np.zeros(3)), "hardly be told apart")
    assert not said(made(), "hardly be told apart")


def test_values_below_zero_are_told() -> None:
    shares = made((0.3, -0.1, 0.2))
    assert said(shares, "below zero to clinic 1")
    assert said(shares, "counted as zero")
    signed = made((0.3, -0.1, 0.2), calibration=Calibration(1, 0, 0, signed=True))
    np.testing.assert_allclose(signed.values, [0.3, -0.1, 0.2])
    assert said(signed, "signed values were asked for")


def test_orders_that_disagree_are_told() -> None:
    assert said(made(fidelity=(0.3, 0.4, 0.5)), "opposite ways (rank correlation -1.00)")
    assert not said(made(), "opposite ways")
    assert not said(made(fidelity=(0.3, 0.4, 0.5), calibration=Calibration(1, 0, 0)), "opposite ways")


def test_missing_answers_are_told() -> None:
    assert said(made(fidelity=(0.5, np.nan, np.nan)), "no answer on fidelity from clinic 1, clinic 2")
    assert not said(made(fidelity=(0.5, 0.4, np.nan), empty=("clinic 2",)), "no answer")
    assert not said(made(fidelity=(0.5, np.nan, np.nan), calibration=Calibration(0.5, 0, 0.5)), "no answer")


def test_terms_in_which_nobody_is_above_zero_are_told() -> None:
    sunk = made((-0.02, -0.03, -0.01))
    assert sunk.total == 0
    assert (sunk.values == 0).all()
    np.testing.assert_allclose(sunk.shares, 1 / 3)
    assert said(sunk, "worth no more than none")
    assert said(sunk, "above zero in the synthetic game, utility")
    assert said(made(fidelity=(0.0, -0.1, 0.0)), "above zero in fidelity")


def test_a_gain_above_what_there_is_to_gain_is_cut() -> None:
    shares = made(calibration=Calibration(scale=2.0))
    assert shares.total == pytest.approx(0.9)
    assert said(shares, "cut to 0.9")


def test_errors_not_known_are_told() -> None:
    assert said(made(errors=np.full(3, np.nan)), "Standard errors are not known")
    assert said(made(fidelity_errors=None), "Standard errors are not known")
    assert said(made(exact=False), "8 of 2^3 were tried")


def test_errors_come_from_repeats_and_from_the_noise_of_fidelity() -> None:
    quiet, noisy = made(fidelity_errors=np.zeros(3)), made(fidelity_errors=np.full(3, 0.1))
    np.testing.assert_allclose(quiet.errors, 0, atol=1e-12)
    assert (noisy.errors > 0.005).all()
    assert (made(repeats=4, noise=0.02).errors > made(repeats=4, noise=0.002).errors).all()


# -- learning --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Copy:
    """Hands over the very rows; with ``wrong`` some labels become those of the next class."""

    wrong: float = 0.0

    def events(self, spend: dw.Budget, *, unit: Unit, relation: Relation) -> tuple[Event, ...]:
        return (DisjointCounts(Fraction(1)),)

    def synthesize(
        self,
        x: NDArray[Any],
        codes: NDArray[np.int64],
        n_classes: int,
        *,
        events: Sequence[Event],
        source: Source,
        seed: int = 0,
        folder: Path | None = None,
        progress: bool | None = None,
    ) -> Synthetic:
        assert 0 <= seed <= 10**6  # what other synthesizers take
        flipped = np.random.default_rng(seed).random(len(codes)) < self.wrong
        return Synthetic(x.astype(np.float32), np.where(flipped, (codes + 1) % n_classes, codes))

    def describe(self) -> str:
        return f"Copy({self.wrong})"


def blobs(n: int, seed: int) -> dw.Points:
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n)
    return dw.Points(rng.normal(size=(n, 4)) + 1.2 * np.eye(4)[y], np.array(["a", "b", "c"])[y])


PUBLIC, VALIDATION = blobs(600, 0), blobs(300, 1)
SPEND = dw.Budget(3.75, "1e-5")


def learned(by: Copy | None = None, **more: Any) -> Calibration:
    given_: dict[str, Any] = {
        "synthesizer": Copy() if by is None else by, "sizes": [40, 80, 120, 160], "spend": SPEND,
        "utility": RidgeAccuracy(), "progress": False,
    }  # fmt: skip
    return learn_calibration(PUBLIC, VALIDATION, **{**given_, **more})


def test_copies_without_noise_teach_to_leave_them_alone() -> None:
    found = learned()
    assert found.scale == 1
    np.testing.assert_allclose(found.mix, (1, 0, 0), atol=1e-6)


def test_worse_copies_teach_a_larger_scale() -> None:
    found = learned(Copy(0.5))
    assert found.scale > 1.1
    assert found.mix[0] < 0.99
    fixed = learned(Copy(0.5), fixed_weights=True)
    assert fixed == Calibration(scale=found.scale)


def test_what_is_learned_is_the_same_again_and_from_the_folder(tmp_path: Path) -> None:
    once = learned(Copy(0.3), mocks=2, folder=tmp_path)
    assert list(tmp_path.iterdir())
    assert once == learned(Copy(0.3), mocks=2, folder=tmp_path) == learned(Copy(0.3), mocks=2)
    assert once != learned(Copy(0.3), mocks=2, seed=1)


def test_too_few_public_rows_are_dealt_in_proportion() -> None:
    assert learned(mocks=1, sizes=[4000, 8000, 12000]).scale == 1
    with pytest.raises(DataError, match="600 public rows are too few for 2 providers of 1 to 100000 rows"):
        learned(sizes=[1, 100_000])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"sizes": [10]}, "two providers or more"), ({"sizes": [10, 0]}, "two providers or more"),
        ({"mocks": 0}, "mocks must be"), ({"label_noise": (0.6, 0.0)}, "label_noise must be"),
        ({"label_noise": (0.0, 1.5)}, "label_noise must be"), ({"fidelity_epsilon": 0}, "epsilon"),
    ],
)  # fmt: skip
def test_lessons_that_cannot_be_had(more: dict[str, Any], words: str) -> None:
    with pytest.raises(MethodError, match=words):
        learned(**more)


def test_copies_that_are_worth_nothing() -> None:
    with pytest.raises(MethodError, match="synthetic copies of public rows are worth no more than nothing"):
        learned(Copy(1.0), label_noise=(0.0, 0.0))


def test_public_rows_of_other_kinds() -> None:
    with pytest.raises(DataError, match="a label that no validation point has"):
        learn_calibration(
            dw.Points(np.zeros((4, 4)), ["a", "b", "z", "z"]), VALIDATION, synthesizer=Copy(), sizes=[2, 2],
            spend=SPEND, utility=RidgeAccuracy(),
        )  # fmt: skip
    with pytest.raises(DataError, match="2 features, but validation points 4"):
        learn_calibration(
            dw.Points(np.zeros((4, 2)), list("abca")), VALIDATION, synthesizer=Copy(), sizes=[2, 2], spend=SPEND,
            utility=RidgeAccuracy(),
        )  # fmt: skip
