"""The private release against the exact job, and what it does with whatever it is given."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataworth.errors import DataError, InputError, LedgerError, MethodError, UnmatchedLabels, WeakDelta
from dataworth.kernels.threshold import Beta
from dataworth.privacy.ledger import Ledger
from dataworth.privacy.mechanisms import SecureSource
from dataworth.records import Budget, Points, Release
from dataworth.valuation.methods import CappedLinks, Subsampled, ThresholdKNNShapley
from dataworth.valuation.planning import plan_release
from dataworth.valuation.points import value_points
from dataworth.valuation.releases import release_points
from tests import strategies
from tests.privacy import checks
from tests.privacy.checks import ASK, FEW, ROWS, SPEND, Scripted, answer_of, new_ledger, public_side, run, silent_plan
from tests.strategies import Problem

pytest.importorskip("opendp")
pytest.importorskip("dp_accounting")
pytest.importorskip("sqlalchemy")

SEMIVALUES = ["shapley", "banzhaf", "leave-one-out", Beta(4, 1), Beta(1, 3)]
NO_NOISE: dict[str, Any] = {"spend": None, "ledger": None, "insecure_seed": 0, "progress": False}


def exact_values(train: Points, validation: Points, method: ThresholdKNNShapley, **more: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnmatchedLabels)
        return value_points(train, validation, method=method, **more).values


def same_bits(one: Any, other: Any) -> bool:
    return bool(np.asarray(one).tobytes() == np.asarray(other).tobytes())


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with new_ledger() as (made, _):
        yield made


# -- no noise is the exact job -----------------------------------------------------------------------------------------


@given(
    problem=strategies.classification_problems(max_train=15, max_validation=19),
    semivalue=st.sampled_from(SEMIVALUES),
    threads=st.sampled_from([1, 2]),
    dtype=st.sampled_from(["float32", "float64"]),
    mechanism=st.sampled_from(["no cap reached", "all let in", "cap chosen"]),
)
@settings(max_examples=150)
def test_without_noise_values_are_exact_to_the_bit(
    problem: Problem, semivalue: Any, threads: int, dtype: Any, mechanism: str
) -> None:
    """Ties, duplicates, nobody near, one class, strange labels; any number of points, threads and either metric."""
    method = ThresholdKNNShapley(problem.radius, semivalue=semivalue, metric=problem.metric)
    mechanisms: dict[str, CappedLinks | Subsampled | None] = {
        "no cap reached": CappedLinks(len(problem.validation_y)),
        "all let in": Subsampled(1),
        "cap chosen": None,
    }
    chosen = mechanisms[mechanism]
    more: dict[str, Any] = {"threads": threads, "dtype": dtype}
    release = release_points(problem.train, problem.validation, method=method, mechanism=chosen, **NO_NOISE, **more)
    assert same_bits(
        release.bench_values() + 0.0, exact_values(problem.train, problem.validation, method, **more) + 0.0
    )
    assert not release.rows["band"].any()
    assert release.stamp == "NOT PRIVATE"


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("mechanism", [CappedLinks(261), Subsampled(1)], ids=repr)
def test_without_noise_values_are_exact_on_more_tiles_than_one(metric: Any, mechanism: Any) -> None:
    random = np.random.default_rng(0)
    train = Points(random.normal(size=(5000, 4)), random.integers(0, 4, 5000))
    validation = Points(random.normal(size=(261, 4)), random.integers(0, 3, 261))
    method = ThresholdKNNShapley(0.8, metric=metric)
    release = release_points(train, validation, method=method, mechanism=mechanism, **NO_NOISE)
    assert same_bits(release.bench_values() + 0.0, exact_values(train, validation, method) + 0.0)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [([0.0, 1.0, 1.0, 5.0], None), (["a", "b", "b", "z"], ["a", "b", "c"]), ([0, 1, 1, 2**40], [0, 1, 7])],
)
def test_labels_of_every_kind(labels: Any, classes: Any) -> None:
    train = Points(np.eye(4)[:, :2] + 0.1, labels)
    validation = Points([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], labels[:3])
    method = ThresholdKNNShapley(0.6)
    for mechanism in (CappedLinks(3), Subsampled(1)):
        release = release_points(train, validation, method=method, mechanism=mechanism, classes=classes, **NO_NOISE)
        assert same_bits(release.bench_values(), exact_values(train, validation, method, classes=classes))


def test_without_noise_a_cap_that_would_be_chosen_is_none() -> None:
    """Where every cap ranks alike, and with more points than the largest cap that is ever tried."""
    one = Points(np.ones((8, 2)), [0] * 8)
    many = Points(np.random.default_rng(5).normal(size=(1100, 2)), np.arange(1100) % 2)
    train = Points(np.random.default_rng(6).normal(size=(40, 2)) + 1, np.arange(40) % 2)
    for validation in (one, many):
        method = ThresholdKNNShapley(2.0)
        release = release_points(train, validation, method=method, **NO_NOISE)
        assert same_bits(release.bench_values(), exact_values(train, validation, method))


def test_unusable_rows_leave_the_others_exact() -> None:
    """With rows of NaN among them, the others have the exact values of a set without those rows."""
    random = np.random.default_rng(1)
    x = random.normal(size=(30, 3))
    x[::4, 1] = np.nan
    x[1::7] = 0.0
    y = random.integers(0, 2, 30)
    validation, method = Points(random.normal(size=(12, 3)), random.integers(0, 2, 12)), ThresholdKNNShapley(0.7)
    fine = np.flatnonzero(np.isfinite(x).all(axis=1) & x.any(axis=1))
    exact = exact_values(Points(x[fine], y[fine]), validation, method)
    for mechanism in (CappedLinks(12), Subsampled(1)):
        release = release_points(
            Points(x, y, allow_missing=True), validation, method=method, mechanism=mechanism, **NO_NOISE
        )
        assert same_bits(release.bench_values()[fine] + 0.0, exact + 0.0)
        assert not np.delete(release.bench_values(), fine).any()


# -- what an owner is told depends on others through noisy counts alone ------------------------------------------------


@given(
    problem=strategies.classification_problems(max_train=9, max_validation=9),
    sampled=st.booleans(),
    split=st.integers(1, 9),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=60)
def test_others_count_only_through_noisy_counts(problem: Problem, sampled: bool, split: int, seed: int) -> None:
    """The rows after the split are kept, or go; the noisy counts are the same: so are answers and all that is shown."""
    random = np.random.default_rng(seed)
    n, m = len(problem.train_y), len(problem.validation_y)
    keep = min(split, n)
    method = ThresholdKNNShapley(problem.radius, metric=problem.metric)
    mechanism = Subsampled("1/3") if sampled else CappedLinks(1 + seed % m)
    plan = silent_plan(problem.validation, mechanism, sigma=Fraction(5, 2), method=method, counted=not sampled)
    noisy = random.integers(-5, 40, (m, 2))
    owners = ["me"] * keep + ["other"] * (n - keep)
    whole = run(Points(problem.train_x, problem.train_y, owners=owners), plan, Scripted([noisy, [11]]))
    alone = run(
        Points(problem.train_x[:keep], problem.train_y[:keep], owners=owners[:keep]), plan, Scripted([noisy, [11]])
    )
    assert answer_of(whole, "me") == answer_of(alone, "me")
    assert public_side(whole) == public_side(alone)


def test_rows_without_ids_are_numbered_for_their_owner() -> None:
    """A position in the whole data would tell how many rows others have; ids that were given are kept."""
    owners = ["bob", "ann", "bob", "cyd", "ann", "bob"]
    x, y = np.arange(6.0)[:, None], np.zeros(6, dtype=int)
    plan = silent_plan(FEW, CappedLinks(1))
    numbered = run(Points(x, y, owners=owners), plan, Scripted())
    assert [numbered.for_owner(name).ids.tolist() for name in ("ann", "bob", "cyd")] == [
        ["0", "1"],
        ["0", "1", "2"],
        ["0"],
    ]
    values = exact_values(Points(x, y), FEW, checks.METHOD)
    whole = run(Points(x, y, owners=owners), silent_plan(FEW, CappedLinks(3)), Scripted())
    assert same_bits(whole.for_owner("bob").values, values[[0, 2, 5]])
    named = run(Points(x, y, owners=owners, ids=[5, 4, 3, 2, 1, 0]), plan, Scripted())
    assert named.for_owner("bob").ids.tolist() == ["5", "3", "0"]
    alone = run(Points(x, y), plan, Scripted())  # every row is its own owner, asked for by its position
    assert [alone.for_owner(i).ids.tolist() for i in range(6)] == [["0"]] * 6


@pytest.mark.parametrize("mechanism", [CappedLinks(3), Subsampled(1)], ids=repr)
def test_order_of_rows_and_threads_change_nothing(mechanism: Any) -> None:
    random = np.random.default_rng(2)
    train = Points(
        random.normal(size=(400, 3)),
        random.integers(0, 3, 400),
        owners=random.integers(0, 30, 400),
        ids=-np.arange(400),
    )
    validation = Points(random.normal(size=(29, 3)), random.integers(0, 3, 29))
    plan = silent_plan(validation, mechanism, sigma=Fraction(2), counted=True)
    noisy = [random.integers(0, 60, (29, 2)), [400]]
    first = run(train, plan, Scripted(noisy))
    second = run(train.take(random.permutation(400)), plan, Scripted(noisy), threads=2)
    assert public_side(first) == public_side(second)
    for owner in range(30):
        one, other = first.for_owner(owner), second.for_owner(owner)
        a, b = np.argsort(one.ids), np.argsort(other.ids)
        for column in ("ids", "values", "band", "vote", "proxy"):
            assert same_bits(getattr(one, column)[a], getattr(other, column)[b])


@pytest.mark.parametrize("mechanism", [CappedLinks(2), Subsampled("1/4")], ids=repr)
def test_noisy_counts_are_right_on_average(mechanism: Any) -> None:
    """Exact counts, or the sampled share of them, within five standard errors."""
    random = np.random.default_rng(3)
    train = Points(random.normal(size=(60, 2)), random.integers(0, 2, 60))
    validation = Points(random.normal(size=(8, 2)), random.integers(0, 2, 8))
    plan = silent_plan(validation, mechanism, sigma=Fraction(2), expected_rows=60)
    exact = checks.exact_counts(train, plan)
    share = 1.0 if isinstance(mechanism, CappedLinks) else 0.25
    drawn = np.stack([run(train, plan, SecureSource()).noisy for _ in range(300)])
    error = np.sqrt((4 + exact * share * (1 - share)) / 300)
    assert (np.abs(drawn.mean(axis=0) - share * exact) < 5.5 * error).all()


# -- what may be asked, and how it is refused --------------------------------------------------------------------------


def test_what_cannot_be_released(ledger: Ledger) -> None:
    """A clear error, and nothing spent."""
    wide = Points(np.ones((3, 2)), ROWS.y, owners=ROWS.owners)
    holed = Points([[np.nan], [1.0], [2.0]], [0, 1, 1], allow_missing=True)
    wrong: list[tuple[Any, Any, dict[str, Any], Any]] = [
        ("rows.csv", FEW, {}, InputError),
        (ROWS, FEW.x, {}, InputError),
        (wide, FEW, {}, DataError),
        (ROWS, holed, {}, DataError),
        (ROWS, Points(FEW.x, [0.5, 1.0, 1.5]), {}, MethodError),
        (ROWS, FEW, {"classes": [0]}, InputError),
        (ROWS, FEW, {"classes": [0, 0, 1]}, InputError),
        (ROWS, FEW, {"mechanism": 5}, MethodError),
        (ROWS, FEW, {"expected_rows": -1}, MethodError),
        (ROWS, FEW, {"request_key": ""}, MethodError),
        (ROWS, FEW, {"spend": Budget(1, "1e-15")}, MethodError),
        (Points(ROWS.x, ROWS.y, owners=["", "bob", "bob"]), FEW, {}, DataError),
        (Points(ROWS.x, ROWS.y, owners=[" ", "bob", "bob"]), FEW, {}, DataError),
        (Points(ROWS.x, ROWS.y, owners=["two\nlines", "bob", "bob"]), FEW, {}, DataError),
        (Points(ROWS.x, ROWS.y, owners=["x" * 501, "bob", "bob"]), FEW, {}, DataError),
    ]
    for train, validation, change, error in wrong:
        with pytest.raises(error):
            release_points(train, validation, ledger=ledger, **{**ASK, **change})
    assert ledger._state()["releases"] == 0
    assert ledger.verify().ok


def test_names_that_look_like_paths_are_names(ledger: Ledger, tmp_path: Any) -> None:
    """A file is named at random, so no owner's name is ever part of a path."""
    names = ["../../etc/passwd", "C:\\x", ".", "a/b", "żółw", "=1+1", '"quoted", with comma']
    train = Points(np.zeros((7, 1)), [0, 1] * 3 + [0], owners=names)
    release = release_points(train, FEW, ledger=ledger, **ASK)
    folder = release.save(tmp_path / "out")
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 7 + 3
    assert all(path.parts[0] == "out" and len(path.parts) <= 3 for path in files)
    assert all(len(release.for_owner(name)) == 1 for name in names)
    assert not any(name in path.name for path in files for name in ("passwd", "quoted"))
    assert folder.is_dir()


def test_seeded_releases_repeat() -> None:
    """For tests: one seed, one release; another seed, another."""
    plan = plan_release(FEW, method=checks.METHOD, spend=SPEND, mechanism=CappedLinks(1), expected_rows=3)
    common: dict[str, Any] = {"method": checks.METHOD, "spend": SPEND, "ledger": None, "plan": plan}
    one, same = (release_points(ROWS, FEW, insecure_seed=5, **common) for _ in range(2))
    assert one.noisy.tolist() == same.noisy.tolist()
    assert answer_of(one, "bob") == answer_of(same, "bob")
    assert any(
        release_points(ROWS, FEW, insecure_seed=seed, **common).noisy.tolist() != one.noisy.tolist()
        for seed in range(6, 10)
    )


@pytest.mark.parametrize(("rows", "weak"), [(10_000, False), (10_001, True)])
def test_a_weak_delta_is_told(rows: int, weak: bool) -> None:
    """Delta of 1e-4 with ten thousand rows is just allowed."""
    train = Points(np.zeros((rows, 1)), np.zeros(rows, dtype=int))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        release_points(train, FEW, ledger=None, insecure_seed=0, **ASK)
    assert [warning.category for warning in told] == [WeakDelta] * weak
    assert all(str(rows) not in str(warning.message) for warning in told)


def test_a_plan_spares_making_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan settles cap, rows and noise; nothing is planned again, and what is released is as planned."""
    plan = plan_release(FEW, method=checks.METHOD, spend=SPEND, expected_rows=7)
    monkeypatch.setattr("dataworth.valuation.release_request.plan_release", None)
    release = release_points(ROWS, FEW, method=checks.METHOD, spend=SPEND, ledger=None, plan=plan, insecure_seed=1)
    assert (release.mechanism, release.sigma) == (repr(plan.mechanism), plan.sigma)
    assert release.public["expected rows"] == 7
    assert tuple(promise.budget for promise in release.guarantees) == tuple(p.budget for p in plan.guarantees)


def test_a_retry_is_answered_without_planning_counting_or_drawing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = release_points(ROWS, FEW, ledger=ledger, request_key="k", **ASK)
    for name in ("release_request.plan_release", "releases._released"):
        monkeypatch.setattr(f"dataworth.valuation.{name}", None)
    assert release_points(ROWS, FEW, ledger=ledger, request_key="k", **ASK).to_bytes() == first.to_bytes()


def test_one_key_asked_by_many_at_once_is_one_release(ledger: Ledger) -> None:
    """Each computes its own noise; the first is charged and kept, and all are given that one."""
    plan = plan_release(FEW, method=checks.METHOD, spend=SPEND, mechanism=CappedLinks(1), expected_rows=3)
    more: dict[str, Any] = {"method": checks.METHOD, "spend": SPEND, "ledger": ledger, "plan": plan}
    barrier, answers = threading.Barrier(4), []

    def ask() -> None:
        barrier.wait()
        answers.append(release_points(ROWS, FEW, request_key="one", **more).to_bytes())

    crowd = [threading.Thread(target=ask) for _ in range(4)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert len(answers) == 4
    assert len(set(answers)) == 1
    assert ledger._state()["releases"] == 1
    assert Release.from_bytes(answers[0]).number == 1


def test_a_key_of_other_classes_or_points_is_refused(ledger: Ledger) -> None:
    release_points(ROWS, FEW, ledger=ledger, request_key="k", **ASK)
    others: list[tuple[Points, dict[str, Any]]] = [(FEW, {"classes": [0, 1, 5]}), (Points(FEW.x, [1, 1, 0]), {})]
    for validation, change in others:
        with pytest.raises(LedgerError, match="another request"):
            release_points(ROWS, validation, ledger=ledger, request_key="k", **{**ASK, **change})


# -- longer looks at noise and bits ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_noise_of_many_releases_follows_its_law() -> None:
    """Four hundred thousand draws at each scale, through whole releases."""
    checks.check_noise_law(points=5000, times=40)


@pytest.mark.slow
def test_bits_of_many_releases_are_independent() -> None:
    """A million bits through whole releases."""
    checks.check_bits_are_independent_and_fresh(releases_of=1000)


def test_labels_of_another_kind_are_compared_as_text() -> None:
    """One row with an odd label must not change what the labels of others are."""
    plan = silent_plan(FEW, CappedLinks(3))
    numbers = run(Points(ROWS.x, [0, 1, 1], owners=ROWS.owners), plan, Scripted())
    texts = run(Points(ROWS.x, ["0", "1", "1"], owners=ROWS.owners), plan, Scripted())
    floats = run(Points([*ROWS.x.tolist(), [99.0]], [0.0, 1.0, 1.0, 1.5], owners=[*ROWS.owners, "z"]), plan, Scripted())  # type: ignore[misc]
    for owner in set(ROWS.owners.tolist()):  # type: ignore[union-attr]
        assert same_bits(numbers.for_owner(owner).values, texts.for_owner(owner).values)
        assert same_bits(numbers.for_owner(owner).values, floats.for_owner(owner).values)


def test_a_retry_is_answered_even_if_the_data_can_no_longer_be_released(ledger: Ledger) -> None:
    first = release_points(ROWS, FEW, ledger=ledger, request_key="k", **ASK)
    wider = Points(np.ones((3, 7)), ["x", "y", "z"])
    again = release_points(wider, FEW, ledger=ledger, request_key="k", **ASK)
    assert again.to_bytes() == first.to_bytes()


def test_whole_numbers_of_any_kind_are_parameters() -> None:
    assert CappedLinks(np.int64(2)) == CappedLinks(2)  # type: ignore[arg-type]
    assert type(CappedLinks(np.int64(2)).links) is int  # type: ignore[arg-type]
    assert Subsampled(np.float64(0.01)) == Subsampled(0.01)


def test_a_proxy_is_there_or_not_whoever_else_is() -> None:
    holed = Points([[np.nan]], [0], owners=["zoe"], allow_missing=True)
    with_ann = Points([[np.nan], [1.0]], [0, 1], owners=["zoe", "ann"], allow_missing=True)
    for expected in (None, 5):
        plan = silent_plan(FEW, Subsampled(Fraction(1, 2)), expected_rows=expected)
        noisy = np.ones((len(FEW), 2), dtype=np.int64)
        alone, both = run(holed, plan, Scripted([noisy])), run(with_ann, plan, Scripted([noisy]))
        assert answer_of(alone, "zoe") == answer_of(both, "zoe")
