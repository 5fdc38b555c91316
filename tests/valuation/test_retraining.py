"""Values by retraining: the same bits for any number of workers and after any number of stops, limits, refusals."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import dataworth as dw
from dataworth.errors import DataError, InputError, MethodError
from dataworth.kernels.sampling import Enumeration, Orders
from dataworth.kernels.strata import Strata
from dataworth.valuation import retraining
from dataworth.valuation.retraining import Solved, solve_rows
from dataworth.valuation.retraining_methods import RetrainingMethod
from dataworth.valuation.row_games import RowGame
from tests import oracles


def rows(seed: int, n: int, **more: Any) -> dw.Points:
    random = np.random.default_rng(seed)
    codes = np.arange(n) % 2
    return dw.Points(random.normal(size=(n, 2)) + codes[:, np.newaxis], np.array(["ill", "well"])[codes], **more)


def numbers(seed: int, n: int) -> dw.Points:
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 2))
    return dw.Points(x, x @ [1.0, -2.0] + random.normal(0, 0.3, n))


TRAIN, JUDGES = numbers(1, 16), numbers(2, 25)
MODEL = Ridge()
GAME = RowGame.of(TRAIN, JUDGES, MODEL)  # r2 tells the last bit of a model
STRATA = dw.DataBanzhaf(MODEL, fits=64 * 8, seed=3)
PAIRS = dw.DataShapley(MODEL, fits=32 * 12, sampling="antithetic", seed=3)
ILL, DOCTORS = rows(1, 16), rows(2, 25)


def solved(method: RetrainingMethod, folder: Path | None = None, *, game: RowGame = GAME, workers: int = 1) -> Solved:
    return solve_rows(game, method, folder=folder, workers=workers, progress=False)


def bits(found: Solved) -> tuple[Any, ...]:
    """Everything that must be the same to the last bit."""
    estimate = found.estimate
    return estimate.values.tobytes(), estimate.errors.tobytes(), found.draws, found.judged, found.full, found.ended


class Told(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Predicts the label of most rows, after it was told what to do at its next fits."""

    plan: Iterator[BaseException | None] = iter(())
    fits = 0

    def fit(self, x: Any, y: Any) -> Told:
        type(self).fits += 1
        trouble = next(self.plan, None)
        if trouble is not None:
            raise trouble
        self.classes_, counts = np.unique(y, return_counts=True)
        self.most_ = self.classes_[counts.argmax()]
        return self

    def predict(self, x: Any) -> Any:
        return np.full(len(x), self.most_)


def told(monkeypatch: pytest.MonkeyPatch, *, fails_at: int, trouble: BaseException) -> None:
    monkeypatch.setattr(Told, "plan", iter([*[None] * (fails_at - 1), trouble]))
    monkeypatch.setattr(Told, "fits", 0)


TOLD = RowGame.of(ILL, DOCTORS, Told())


def saves_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retraining, "_SAVE_EVERY", -1.0)


def shares_at_once(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Other processes are asked from the second draw on; the list says how often that happened."""
    monkeypatch.setattr(retraining, "_ALONE", 0.0)
    asked: list[int] = []
    real = retraining._shared

    def noted(job: Any, left: Any, workers: int, each: int) -> Any:
        asked.append(workers)
        return real(job, left, workers, 3)

    monkeypatch.setattr(retraining, "_shared", noted)
    return asked


# -- what is found --------------------------------------------------------------------------------


def by_refitting(train: dw.Points, members: NDArray[Any]) -> Fraction:
    if np.unique(train.y[members]).size < 2:
        return Fraction(1, 2)
    return Fraction(GaussianNB().fit(train.x[members], train.y[members]).score(DOCTORS.x, DOCTORS.y))


@pytest.mark.parametrize(
    ("method", "law"),
    [
        (dw.LeaveOneOut, oracles.LEAVE_ONE_OUT),
        (dw.DataShapley, oracles.SHAPLEY),
        (dw.DataBanzhaf, oracles.BANZHAF),
        (lambda model: dw.BetaShapley(model, 4, 1), oracles.beta(4, 1)),
    ],
)
def test_few_rows_have_exactly_the_values_of_the_definition(method: Any, law: oracles.SemivalueLaw) -> None:
    train = rows(5, 6)
    values = dw.value_points(train, DOCTORS, method=method(GaussianNB()), progress=False)
    exact = oracles.semivalue(lambda s: by_refitting(train, np.array(s, dtype=int)), 6, law.weights(6))
    np.testing.assert_allclose(values.values, [float(value) for value in exact], rtol=0, atol=1e-14)
    assert values.errors is not None
    assert values.errors.tolist() == [0.0] * 6
    assert values.ids.tolist() == train.ids.tolist()
    assert values.provenance["ended"] == "everything was tried"


def test_twelve_rows_are_exact_and_thirteen_are_sampled() -> None:
    twelve, thirteen = (RowGame.of(numbers(1, n), JUDGES, MODEL) for n in (12, 13))
    found = solved(dw.DataShapley(MODEL), game=twelve)
    assert (found.plan, found.judged, found.ended) == ("all coalitions", 4096, "everything was tried")
    assert found.estimate.values.sum() == pytest.approx(found.full - found.floor, abs=1e-13)
    sampled = solved(dw.DataShapley(MODEL, fits=1280), game=thirteen)
    assert (sampled.judged, sampled.draws, sampled.ended) == (1280, 20, "1,280 fits were spent")
    assert (sampled.estimate.errors > 0).all()


@pytest.mark.parametrize("sampling", ["stratified", "permutations", "antithetic"])
@pytest.mark.parametrize("kind", [dw.DataShapley, dw.DataBanzhaf, dw.BetaShapley])
def test_sampled_values_are_within_their_errors_of_exact_ones(kind: Any, sampling: str) -> None:
    more: dict[str, Any] = {} if kind is dw.DataBanzhaf else {"sampling": sampling}
    game = RowGame.of(rows(1, 8), DOCTORS, NearestCentroid())
    exact = solved(kind(NearestCentroid()), game=game)
    found = solved(kind(NearestCentroid(), exact=False, fits=2_000, seed=1, **more), game=game)
    assert (np.abs(found.estimate.values - exact.estimate.values) < 4.5 * found.estimate.errors).all()
    assert (found.full, found.floor) == (exact.full, exact.floor)


def test_numbers_are_valued_too() -> None:
    train, judges = numbers(1, 14), numbers(2, 20)
    values = dw.value_points(
        train, judges, method=dw.DataShapley(LinearRegression(), fits=640), threads=1, progress=False
    )
    assert values.errors is not None
    assert np.isfinite(values.errors).all()
    assert values.provenance["score of nobody"] == 0
    loo = dw.value_points(train, judges, method=dw.LeaveOneOut(LinearRegression()), threads=1, progress=False)
    models = [LinearRegression().fit(np.delete(train.x, i, 0), np.delete(train.y, i)) for i in range(14)]
    full = LinearRegression().fit(train.x, train.y).score(judges.x, judges.y)
    np.testing.assert_allclose(loo.values, [full - m.score(judges.x, judges.y) for m in models], atol=1e-10)


def test_owners_are_valued_with_all_their_rows() -> None:
    owners = np.array(["eve", "bob", "ann", "bob"] * 4)
    train = rows(1, 16, owners=owners)
    values = dw.value_points(train, DOCTORS, method=dw.DataShapley(GaussianNB()), players="owners", progress=False)
    assert values.ids.tolist() == ["ann", "bob", "eve"]
    assert values.owners is None
    assert values.provenance["players"] == "owners"
    exact = oracles.shapley(lambda s: by_refitting(train, np.isin(owners, values.ids[list(s)])), 3)
    np.testing.assert_allclose(values.values, [float(value) for value in exact], atol=1e-12)


@pytest.mark.parametrize("sampling", ["stratified", "permutations"])
def test_one_owner_gets_everything_even_by_sampling(sampling: Any) -> None:
    train = rows(1, 16, owners=["ann"] * 16)
    method = dw.DataShapley(NearestCentroid(), exact=False, sampling=sampling)
    values = dw.value_points(train, DOCTORS, method=method, players="owners", progress=False)
    assert values.values[0] == values.provenance["score of everybody"] - values.provenance["score of nobody"]  # type: ignore[operator]


# -- the same bits --------------------------------------------------------------------------------


def trust(model: Any, x: Any, y: Any) -> float:
    """The mean chance given to what is right: of scores of classes, one that tells the last bit of a model."""
    return float(model.predict_proba(x)[np.arange(len(y)), (y == "well").astype(int)].mean())


FOLLOWED: list[tuple[Any, Any]] = [
    (GaussianNB(), trust),
    (LogisticRegression(), trust),
    (make_pipeline(StandardScaler(), LogisticRegression()), trust),
    (NearestCentroid(), None),
    (RidgeClassifier(), None),
    (KNeighborsClassifier(3), None),
    (DecisionTreeClassifier(), trust),
    (Ridge(), None),
    (LinearRegression(), "neg_mean_squared_error"),
]


@pytest.mark.parametrize(("model", "scoring"), FOLLOWED, ids=lambda given: type(given).__name__)
def test_a_draw_is_the_same_whatever_a_worker_did_before(model: Any, scoring: Any) -> None:
    """Models that follow coalitions round and start where they are: none of it may reach the next draw."""
    numeric = isinstance(model, Ridge | LinearRegression)
    train, judges = (numbers(1, 20), JUDGES) if numeric else (rows(1, 20), DOCTORS)
    game = RowGame.of(train, judges, model, scoring=scoring)
    for plan in (Orders(20, seed=2), Strata(20, "banzhaf", 2)):
        job = retraining._Job(game, plan, 1.0, None)
        first = [job.draw(number).utilities.tobytes() for number in range(3)]
        again = [job.draw(number).utilities.tobytes() for number in (2, 1, 0)]  # each after another than before
        assert again[::-1] == first
        retraining._learner(TOLD)  # only the last game's is remembered
        assert job.draw(2).utilities.tobytes() == first[2]


@pytest.mark.parametrize("workers", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_any_number_of_workers_finds_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """Of owners with names, judged by a scorer without one."""
    train = rows(1, 32, owners=[f"o{i % 16}" for i in range(32)])
    model = LogisticRegression()
    game = RowGame.of(train, DOCTORS, model, scoring=lambda *judged: trust(*judged) + 0, players="owners")
    method = replace(PAIRS, model=model)
    alone = bits(solved(method, game=game))
    asked = shares_at_once(monkeypatch)
    assert bits(solved(method, tmp_path, game=game, workers=workers)) == alone
    assert asked == [workers]
    assert bits(solved(method, tmp_path, game=game)) == alone


def test_a_folder_changes_nothing_and_saves_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for method in (STRATA, PAIRS, dw.LeaveOneOut(MODEL)):
        folder = tmp_path / "not" / "yet" / "there"
        assert bits(solved(method, folder)) == bits(solved(method))
    assert len(list(folder.iterdir())) == 3
    monkeypatch.setattr(retraining._Job, "draw", None)  # nothing is judged again
    for method in (STRATA, PAIRS, dw.LeaveOneOut(MODEL)):
        assert solved(method, folder).ended


@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), ValueError("x"), SystemExit(3)], ids=repr)
@pytest.mark.parametrize("fails_at", [1, 2, 70, 150])
@pytest.mark.parametrize("sampling", ["stratified", "permutations"])
def test_a_run_that_was_stopped_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampling: Any, fails_at: int, trouble: BaseException
) -> None:
    method = dw.DataShapley(Told(), fits=256, sampling=sampling)
    whole = bits(solved(method, game=TOLD))
    told(monkeypatch, fails_at=fails_at, trouble=trouble)
    with pytest.raises(MethodError if isinstance(trouble, ValueError) else type(trouble)):
        solved(method, tmp_path, game=TOLD)
    assert bits(solved(method, tmp_path, game=TOLD)) == whole
    assert Told.fits <= 256 + 1 + 64 + 1  # the whole set, and what there was of the draw that was stopped


def test_a_run_can_be_stopped_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method = dw.DataShapley(Told(), fits=256)
    whole = bits(solved(method, game=TOLD))
    for stop in (80, 90, 75):
        told(monkeypatch, fails_at=stop, trouble=KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            solved(method, tmp_path, game=TOLD)
    assert bits(solved(method, tmp_path, game=TOLD)) == whole


@pytest.mark.parametrize("method", [STRATA, PAIRS, dw.DataShapley(MODEL, exact=False)])
def test_a_run_goes_on_from_whatever_was_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Any) -> None:
    """Any file that was ever there is what a run that was killed then would have left."""
    method = replace(method, fits=64 * 6)
    saves_always(monkeypatch)
    left: list[Path] = []
    real = retraining._Kept.save

    def copied(kept: retraining._Kept) -> None:
        real(kept)
        assert kept.file is not None
        left.append(tmp_path / f"copy {len(left)}")
        left[-1].mkdir()
        shutil.copy(kept.file, left[-1])

    monkeypatch.setattr(retraining._Kept, "save", copied)
    whole = bits(solved(method, tmp_path / "whole"))
    assert len(left) == whole[2]
    for copy in list(left):
        assert bits(solved(method, copy)) == whole


def test_two_threads_do_not_share_a_model() -> None:
    methods = [replace(PAIRS, seed=seed) for seed in range(2)]
    alone = [bits(solved(method)) for method in methods]
    found: list[Any] = [None, None]

    def work(at: int) -> None:
        found[at] = bits(solved(methods[at]))

    threads = [threading.Thread(target=work, args=(at,)) for at in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone


# -- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [STRATA, PAIRS])
def test_more_or_fewer_fits_than_are_kept(tmp_path: Path, method: Any) -> None:
    more, fewer = replace(method, fits=method.fits * 2), replace(method, fits=method.fits // 2)
    solved(method, tmp_path)
    assert bits(solved(fewer, tmp_path)) == bits(solved(fewer))
    assert bits(solved(more, tmp_path)) == bits(solved(more))
    assert bits(solved(method, tmp_path)) == bits(solved(method))


@pytest.mark.parametrize("fits", [128, 129, 191, 192, 193])
def test_fits_are_never_exceeded_and_used_up(fits: int) -> None:
    for method in (replace(STRATA, fits=fits), replace(PAIRS, fits=fits)):
        found = solved(method)
        per_draw = found.judged // found.draws
        assert fits - per_draw < found.judged <= fits


@pytest.mark.parametrize("method", [STRATA, PAIRS])
def test_a_target_error_stops_and_stops_again(tmp_path: Path, method: Any) -> None:
    sooner = replace(method, target_error=float(solved(method).estimate.errors.mean()) * 1.01, fits=10**6)
    found = solved(sooner, tmp_path)
    assert found.ended.startswith("the mean standard error reached")
    assert found.estimate.errors.mean() <= sooner.target_error
    assert found.draws >= 10
    assert bits(solved(sooner, tmp_path)) == bits(found) == bits(solved(sooner))
    much = replace(method, fits=found.judged + 64 * 20)
    assert bits(solved(much, tmp_path)) == bits(solved(much))
    assert bits(solved(sooner, tmp_path)) == bits(found)  # with more kept than are needed
    assert solved(replace(sooner, fits=128)).ended == "128 fits were spent"
    assert bits(solved(replace(sooner, fits=None))) == bits(found)


def test_fits_that_are_not_all_spent_are_not_called_so() -> None:
    assert solved(replace(STRATA, fits=64 * 3)).ended == "192 fits were spent"
    assert solved(replace(STRATA, fits=64 * 3 + 1)).ended == "the next draw of up to 64 would pass 193 fits"
    assert solved(replace(PAIRS, fits=1001)).ended == "the next draw of up to 32 would pass 1,001 fits"


def test_without_a_number_of_fits_other_limits_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    few = RowGame.of(numbers(1, 8), JUDGES, MODEL)
    assert solved(dw.DataShapley(MODEL, fits=None, target_error=1.0), game=few).plan == "all coalitions"
    assert solved(dw.DataShapley(MODEL, fits=None, exact=True), game=few).plan == "all coalitions"
    clock(monkeypatch)
    assert solved(replace(STRATA, fits=None, seconds=5.5)).ended == "5.5 seconds were over"


def test_the_target_is_told_beside_what_was_reached() -> None:
    assert solved(replace(STRATA, target_error=1e-9)).facts()["target error"] == 1e-9
    assert "target error" not in solved(STRATA).facts()


# -- while it lasts -------------------------------------------------------------------------------


class Bar:
    """What a bar was told."""

    made: ClassVar[list[Bar]] = []

    def __init__(self, total: float | None, initial: int, disable: bool | None, **_: object) -> None:
        self.total, self.n, self.told = total, initial, [initial]
        self.totals: list[float | None] = []
        self.made.append(self)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, judged: int) -> None:
        self.n += judged
        self.told.append(self.n)
        self.totals.append(self.total)

    def set_postfix_str(self, words: str, refresh: bool) -> None:
        pass


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Bar]:
    monkeypatch.setattr("tqdm.auto.tqdm", Bar)
    monkeypatch.setattr(Bar, "made", [])
    return Bar.made


def test_the_bar_begins_at_what_was_kept(tmp_path: Path, bars: list[Bar]) -> None:
    solved(replace(STRATA, fits=64 * 3), tmp_path)
    solved(replace(STRATA, fits=64 * 5), tmp_path)
    assert [bar.told for bar in bars] == [[0, 0, 64, 128], [192, 192, 256]]
    assert [bar.total for bar in bars] == [64 * 3, 64 * 5]
    solved(replace(STRATA, fits=64 * 5), tmp_path)
    assert len(bars) == 2  # nothing is left to do


def test_the_bar_counts_on_the_clock_where_it_is_the_limit(monkeypatch: pytest.MonkeyPatch, bars: list[Bar]) -> None:
    clock(monkeypatch)
    solved(replace(STRATA, fits=None, seconds=20))
    draws = [total if total is None else total / 64 for total in bars[0].totals]
    assert draws[0] is None
    assert draws[1] == pytest.approx(1 + 1 / 3 * 17)  # one draw in the first three seconds, and 17 seconds more
    assert draws[-1] == 19
    solved(replace(STRATA, fits=None, target_error=float(solved(STRATA).estimate.errors.mean()) / 4))
    assert bars[2].total is not None  # known once the error was looked at


def test_the_time_left_is_logged_once_the_speed_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "dataworth")
    solved(replace(STRATA, fits=64 * 30), tmp_path)
    assert not caplog.messages  # over before there was anything to say
    clock(monkeypatch)
    solved(replace(STRATA, fits=64 * 200), tmp_path)
    (said,) = caplog.messages
    assert said == "about 12,800 coalitions, of which 2,496 are done; at this speed 3 minutes more"


def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second passes at every look at the clock."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(retraining, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))


@pytest.mark.parametrize("method", [STRATA, PAIRS])
def test_seconds_end_a_run_that_can_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Any) -> None:
    with monkeypatch.context() as patched:
        clock(patched)
        hasty = solved(replace(method, seconds=5.5), tmp_path)
        assert hasty.ended == "5.5 seconds were over"
        assert 2 <= hasty.draws < solved(method).draws
        again = solved(replace(method, seconds=5.5), tmp_path)  # seconds of all runs together
        assert bits(again) == bits(hasty)
        longer = solved(replace(method, seconds=7.5), tmp_path)
        assert longer.draws > hasty.draws
    assert bits(solved(method, tmp_path)) == bits(solved(method))


def test_seconds_that_suffice_change_nothing() -> None:
    assert bits(solved(replace(STRATA, seconds=1e6))) == bits(solved(STRATA))


def test_too_few_seconds_for_any_value_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch)
    with pytest.raises(MethodError, match=r"0\.5 seconds were over after \d draws, too few for any value; allow more$"):
        solved(replace(STRATA, seconds=0.5))
    exact = dw.DataShapley(MODEL, seconds=3.5)
    game = RowGame.of(numbers(1, 8), JUDGES, MODEL)
    with pytest.raises(MethodError, match="and the run goes on from here"):
        solved(exact, tmp_path, game=game)
    assert bits(solved(replace(exact, seconds=None), tmp_path, game=game)) == bits(
        solved(dw.DataShapley(MODEL), game=game)
    )


def test_truncation_judges_fewer(tmp_path: Path) -> None:
    plain = solved(PAIRS)
    near = replace(PAIRS, truncation=0.2)
    cut = solved(near)
    assert cut.judged <= 32 * 12
    assert cut.draws > plain.draws  # the same fits go further
    assert bits(solved(near, tmp_path)) == bits(cut) == bits(solved(near, tmp_path))
    assert bits(solved(PAIRS, tmp_path)) == bits(plain)  # kept apart
    assert bits(solved(replace(PAIRS, truncation=1e-300))) != bits(cut)


def test_truncation_ends_one_order_not_the_next() -> None:
    plan, full = Orders(16, seed=3), 0.9
    plain = retraining._Job(GAME, plan, full, None).draw(0)
    cut = retraining._Job(GAME, plan, full, 0.3).draw(0)
    judged = 0
    for whole, found in zip(np.split(plain.utilities, 2), np.split(cut.utilities, 2), strict=True):
        near = int(np.flatnonzero(np.abs(full - whole) <= 0.3)[0])  # the first that is so near ends the order
        assert found.tolist() == [*whole[: near + 1], *[whole[near]] * (15 - near)]
        judged += near + 1
    assert cut.judged == judged < plain.judged == 32


def test_fits_that_do_not_suffice_are_told_with_the_number_that_would() -> None:
    for method, needed in ((STRATA, 128), (PAIRS, 64), (replace(PAIRS, sampling="permutations"), 32)):
        with pytest.raises(MethodError, match=f"allow {needed} or more"):
            solved(replace(method, fits=needed - 1))
        assert solved(replace(method, fits=needed)).draws == 2
    with pytest.raises(MethodError, match='or use sampling="stratified"'):
        solved(replace(PAIRS, fits=1))


def test_exact_values_of_many_are_refused() -> None:
    with pytest.raises(MethodError, match=r"2 to the 16 models; up to 12 players are solved exactly"):
        solved(dw.DataShapley(MODEL, exact=True))


# -- what goes wrong ------------------------------------------------------------------------------


def kept(folder: Path) -> Path:
    solved(replace(STRATA, fits=128), folder)
    (file,) = folder.iterdir()
    return file


@pytest.mark.parametrize("damage", ["cut", "turned", "empty", "text", "folder"])
def test_damaged_files_are_refused(tmp_path: Path, damage: str) -> None:
    file = kept(tmp_path)
    whole = file.read_bytes()
    file.unlink()
    match damage:
        case "cut":
            file.write_bytes(whole[: len(whole) // 2])
        case "turned":
            at = whole.index(b"utilities.npy") + 200
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        case "empty":
            file.write_bytes(b"")
        case "text":
            file.write_text("not arrays")
        case "folder":
            file.mkdir()
    with pytest.raises(DataError, match=r"draws-.*\.npz.*[^;]; delete it, or name another folder$"):
        solved(STRATA, tmp_path)


def test_draws_of_another_game_are_refused(tmp_path: Path) -> None:
    file = kept(tmp_path / "one")
    solved(replace(STRATA, seed=4), tmp_path / "two")
    (other,) = (tmp_path / "two").iterdir()
    assert other.name != file.name
    shutil.copy(other, file)
    with pytest.raises(DataError, match="holds the draws of another game; delete it or use another folder"):
        solved(STRATA, tmp_path / "one")


def test_other_games_keep_other_files(tmp_path: Path) -> None:
    games = [
        GAME,
        RowGame.of(TRAIN, JUDGES, Ridge(alpha=2.0)),
        RowGame.of(TRAIN, numbers(3, 25), MODEL),
        RowGame.of(TRAIN, JUDGES, LinearRegression()),
    ]
    for at, game in enumerate(games, start=1):
        assert bits(solved(replace(STRATA, fits=128), tmp_path, game=game)) == bits(
            solved(replace(STRATA, fits=128), game=game)
        )
        assert len(list(tmp_path.iterdir())) == at


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_folder_that_is_a_file_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    (tmp_path / "file").write_text("here")
    monkeypatch.setattr(retraining._Job, "draw", None)
    with pytest.raises(InputError, match="folder"):
        solved(STRATA, tmp_path / "file" / below)


def test_a_model_that_fails_names_the_coalition(monkeypatch: pytest.MonkeyPatch) -> None:
    own = "0.123456789"
    told(monkeypatch, fails_at=3, trouble=ValueError(f"row {own} is odd"))
    with pytest.raises(
        MethodError, match=r"Told failed on a coalition of 15 of 16 players with 15 rows \(0, "
    ) as trouble:
        solved(dw.LeaveOneOut(Told()), game=TOLD)
    assert own not in str(trouble.value)


class Picky(DecisionTreeClassifier):  # type: ignore[misc]
    """Fails, sleeps, or takes its process with it, where it is given a certain number of rows."""

    def __init__(self, fails: int = 0, sleeps: int = 0, dies: int = 0, home: int = 0) -> None:
        super().__init__()
        self.fails, self.sleeps, self.dies, self.home = fails, sleeps, dies, home

    def fit(self, x: Any, y: Any) -> Picky:
        if len(x) == self.fails:
            raise ValueError("so many")
        if len(x) == self.sleeps:
            time.sleep(40)
        if len(x) == self.dies and os.getpid() != self.home:
            os._exit(9)
        return clone(DecisionTreeClassifier(random_state=0)).fit(x, y)  # type: ignore[no-any-return]


def picky_draw(plan: Any, size: int) -> int:
    """The first draw of a plan that has a coalition of a size."""
    return next(k for k in range(10**6) if (plan.members(k).sum(axis=1) == size).any())


def test_workers_fail_as_one_would_and_keep_what_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rare size is met late, by a worker, in the middle of what it was asked for."""
    plan = Strata(40, "banzhaf", 3)
    size = next(s for s in range(28, 40) if 7 < picky_draw(plan, s) < 30)
    at = picky_draw(plan, size)
    game = RowGame.of(rows(1, 40), DOCTORS, Picky(fails=size))
    method = dw.DataBanzhaf(Picky(fails=size), fits=64 * 40, seed=3)
    with pytest.raises(MethodError, match=f"coalition of {size} of 40 players") as alone:
        solved(method, tmp_path / "alone", game=game)
    shares_at_once(monkeypatch)
    with pytest.raises(MethodError) as among_others:
        solved(method, tmp_path / "two", game=game, workers=2)
    assert str(among_others.value) == str(alone.value)
    for name in ("alone", "two"):
        (file,) = (tmp_path / name).iterdir()
        assert np.load(file)["lengths"].size == at


@pytest.mark.slow
def test_a_draw_that_fails_does_not_matter_where_it_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Strata(40, "banzhaf", 3)
    size = next(s for s in range(28, 40) if 7 < picky_draw(plan, s) < 30)
    game = RowGame.of(rows(1, 40), DOCTORS, Picky(fails=size))
    method = dw.DataBanzhaf(Picky(fails=size), fits=64 * picky_draw(plan, size), seed=3)
    alone = bits(solved(method, game=game))
    shares_at_once(monkeypatch)
    assert bits(solved(method, game=game, workers=2)) == alone


@pytest.mark.slow
def test_work_that_is_not_needed_any_more_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Strata(40, "banzhaf", 3)
    size = next(s for s in range(26, 40) if picky_draw(plan, s) > 3 and picky_draw(plan, s) % 3 == 1)  # begins a task
    game = RowGame.of(rows(1, 40), DOCTORS, Picky(sleeps=size))
    shares_at_once(monkeypatch)
    began = time.monotonic()
    solved(dw.DataBanzhaf(Picky(sleeps=size), fits=64 * picky_draw(plan, size), seed=3), game=game, workers=2)
    assert time.monotonic() - began < 35


@pytest.mark.slow
def test_a_worker_that_dies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Picky(dies=30, home=os.getpid())
    game = RowGame.of(rows(1, 40), DOCTORS, model)
    shares_at_once(monkeypatch)
    with pytest.raises(MethodError, match="a worker process ended"):
        solved(dw.DataShapley(model, fits=64 * 40, seed=3), tmp_path, game=game, workers=2)


def test_the_whole_set_must_be_learned_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told(monkeypatch, fails_at=1, trouble=ValueError("odd"))
    with pytest.raises(MethodError, match=r"coalition of all 16 players with 16 rows: ValueError$"):
        solved(dw.DataShapley(Told(), fits=256), tmp_path / "new", game=TOLD)


def test_plans_follow_from_methods() -> None:
    assert isinstance(retraining._plan(12, dw.DataShapley(MODEL))[0], Enumeration)
    assert isinstance(retraining._plan(12, dw.DataShapley(MODEL, fits=4095))[0], Strata)
    assert isinstance(retraining._plan(12, dw.DataShapley(MODEL, exact=True, fits=4096))[0], Enumeration)
    assert retraining._plan(20, PAIRS)[0] == Orders(20, "shapley", 3, True)
    assert retraining._plan(20, replace(PAIRS, sampling="permutations"))[0] == Orders(20, "shapley", 3, False)
    assert retraining._plan(20, STRATA)[0] == Strata(20, "banzhaf", 3)
    beta = dw.BetaShapley(MODEL, 4, 2, exact=False)
    assert retraining._plan(5, beta)[0] == Strata(5, dw.Beta(4, 2), 0)
    assert retraining._plan(1, beta)[0] == Enumeration(1, dw.Beta(4, 2))


def test_truncation_is_nothing_to_all_coalitions() -> None:
    few = dw.Points(TRAIN.x, TRAIN.y, owners=np.arange(len(TRAIN)) % 6)
    method = dw.DataShapley(MODEL, sampling="permutations", truncation=0.5)
    cut = dw.value_points(few, JUDGES, method=method, players="owners", progress=False)
    plain = dw.value_points(few, JUDGES, method=dw.DataShapley(MODEL), players="owners", progress=False)
    assert cut.values.tolist() == plain.values.tolist()
    assert cut.provenance["coalitions"] == 64
    with pytest.raises(MethodError, match="truncation and target_error mean nothing"):
        replace(method, exact=True)
    with pytest.raises(MethodError, match="need 64 coalitions, but fits=10"):
        dw.value_points(
            few, JUDGES, method=dw.DataShapley(MODEL, exact=True, fits=10), players="owners", progress=False
        )


def test_a_scorer_edited_under_its_name_is_heard() -> None:
    class Scorer:
        def __call__(self, model: object, x: object, y: object) -> float:
            return 0.25

    first = dw.value_points(TRAIN, JUDGES, method=dw.LeaveOneOut(MODEL, scoring=Scorer()), progress=False)
    Scorer.__call__ = lambda self, model, x, y: 0.75  # type: ignore[method-assign]
    again = dw.value_points(TRAIN, JUDGES, method=dw.LeaveOneOut(MODEL, scoring=Scorer()), progress=False)
    assert first.provenance["score of everybody"] != again.provenance["score of everybody"]


def test_a_shorter_run_does_not_take_the_place_of_a_longer_one(tmp_path: Path) -> None:
    kept = retraining._Kept.open(tmp_path, GAME, "some plan")
    other = retraining._Kept.open(tmp_path, GAME, "some plan")
    one = retraining._Draw(np.zeros(3), 3)
    kept.draws += [one] * 5
    kept.save()
    other.draws += [one] * 2
    other.save()
    assert len(retraining._Kept.open(tmp_path, GAME, "some plan").draws) == 5
