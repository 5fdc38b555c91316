"""PrivImage: what is counted, what is chosen from noisy counts, and what is released only once."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import kstest

from dataworth.errors import DataError, MethodError
from dataworth.models.generators import GuidedDiffusion
from dataworth.privacy.accounting import spent_epsilon
from dataworth.privacy.kinds import DisjointCounts, Event, GradientSteps, Histograms
from dataworth.privacy.mechanisms import InsecureSource, NoisyCounts, SecureSource
from dataworth.records import Budget, Owner, Row
from dataworth.synthesis.privimage import (
    NoisySteps,
    PrivImage,
    _Found,
    _Held,
    _Release,
    secret_normals,
    secret_uniforms,
)
from dataworth.synthesis.protocol import Synthesizer

SHAPE, GROUPS = (8, 8), 6
RNG = np.random.default_rng(0)
PUBLIC = RNG.integers(0, 256, (120, 64), dtype=np.uint8)
DIRECTIONS = RNG.normal(size=(64, GROUPS))


def by_directions(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """A public judge that costs nothing to train."""
    return np.asarray(x @ DIRECTIONS, dtype=np.float32)


TINY = PrivImage(
    PUBLIC,
    SHAPE,
    labels=np.arange(120) % GROUPS,
    classifier=by_directions,
    size=12,
    model=GuidedDiffusion(steps=3, batch=8, channels=(8, 16), guidance=0.0, sampling_steps=2),
    adapting=2,
    tuning=NoisySteps(steps=4, rate=0.25, keep_every=2, repeats=2),
)


def events_of(made_by: PrivImage) -> tuple[Event, ...]:
    """Events of the right kinds at scales that nothing was calibrated to."""
    tuning = made_by.tuning
    chance = Fraction(repr(tuning.rate))
    last = (Histograms(Fraction(3), made_by.votes, 1), GradientSteps(Fraction(5, 4), chance, tuning.steps))
    return (DisjointCounts(Fraction(2)), *last) if made_by.counted else last


class Watched:
    """No noise, and every question written down."""

    private = False

    def __init__(self) -> None:
        self.asked: list[tuple[str, Fraction, NDArray[Any] | int]] = []

    def add_noise(self, counts: NDArray[np.integer[Any]], sigma: Fraction) -> NoisyCounts:
        self.asked.append(("gaussian", sigma, counts))
        return NoisyCounts(counts.astype(np.int64), sigma, private=False)

    def add_laplace(self, counts: NDArray[np.integer[Any]], scale: Fraction) -> NoisyCounts:
        self.asked.append(("laplace", scale, counts))
        return NoisyCounts(counts.astype(np.int64), scale, private=False)

    def draw_bits(self, number: int, probability: Fraction) -> NDArray[np.bool_]:
        self.asked.append(("bits", probability, number))
        return np.asarray(np.arange(number) % 2 == 0, dtype=np.bool_)


def released(
    made_by: PrivImage, x: NDArray[Any], codes: NDArray[np.int64], n_classes: int, folder: Path | None = None
) -> tuple[_Release, _Found, Watched]:
    source = Watched()
    release = _Release.of(made_by, events_of(made_by), n_classes, source, 0, folder)
    return release, release.query(_Held(x.astype(np.uint8), codes)), source


@given(st.integers(0, 12), st.integers(1, 4), st.integers(1, GROUPS), st.integers(0, 10**6))
def test_every_row_adds_one_to_as_many_cells_of_its_class_as_it_has_votes(
    n: int, n_classes: int, votes: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, codes = rng.integers(0, 256, (n + 1, 64)), rng.integers(0, n_classes, n + 1)
    made_by = replace(TINY, votes=votes)
    _, whole, _ = released(made_by, x, codes, n_classes)
    _, without, _ = released(made_by, x[:n], codes[:n], n_classes)
    np.testing.assert_array_equal(whole.counts.sum(axis=1), votes * np.bincount(codes, minlength=n_classes))
    moved = whole.counts - without.counts
    assert moved.min() >= 0
    assert moved.max() == 1
    assert moved.sum() == votes  # so the L2 sensitivity is the root of the votes
    assert (moved.sum(axis=1) > 0).tolist() == (np.arange(n_classes) == codes[n]).tolist()
    assert whole.numbers is not None
    assert without.numbers is not None
    assert np.abs(whole.numbers - without.numbers).sum() == 1


def test_rows_are_judged_one_by_one_and_public_groups_are_found_without_labels() -> None:
    rng = np.random.default_rng(1)
    kinds = rng.integers(0, 256, (4, 64))
    public = np.clip(np.repeat(kinds, 30, axis=0) + rng.integers(-3, 4, (120, 64)), 0, 255)
    made_by = PrivImage(public, SHAPE, clusters=4, size=5)
    _, found, _ = released(made_by, kinds, np.array([0, 0, 1, 1]), 2)
    assert len({tuple(found.public[i * 30 : i * 30 + 30]) for i in range(4)}) == 4
    group = found.public[::30]
    np.testing.assert_array_equal(found.counts[0, group], [1, 1, 0, 0])
    np.testing.assert_array_equal(found.counts[1, group], [0, 0, 1, 1])
    np.testing.assert_array_equal(found.numbers, [2, 2])


def test_noise_is_what_the_events_say() -> None:
    _, _, source = released(TINY, PUBLIC[:9], np.arange(9) % 3, 3)
    assert [asked[:2] for asked in source.asked] == [("laplace", Fraction(2)), ("gaussian", Fraction(3))]
    found = _Release.of(TINY, events_of(TINY), 3, InsecureSource(3), 0, None).query(
        _Held(TINY.public[:9], np.arange(9) % 3)
    )
    exact = released(TINY, TINY.public[:9], np.arange(9) % 3, 3)[1]
    assert (found.counts != exact.counts).any()


def test_events_spend_what_may_be_spent_and_no_more() -> None:
    made_by = PrivImage(PUBLIC, SHAPE, clusters=5, votes=2, tuning=NoisySteps(steps=200))
    unit = Row()
    events = made_by.events(Budget(1, 1e-5), unit=unit, relation="add_or_remove")
    counts, votes, steps = events
    assert counts == DisjointCounts(Fraction(20))  # a twentieth of epsilon
    assert isinstance(votes, Histograms)
    assert (votes.votes, votes.rounds) == (2, 1)
    assert isinstance(steps, GradientSteps)
    assert (steps.probability, steps.steps) == (Fraction(1, 10), 200)
    assert 0.99 < spent_epsilon(events, 1e-5, unit=unit, relation="add_or_remove") <= 1
    alone = spent_epsilon([votes], 1e-5, unit=unit, relation="add_or_remove")
    assert 0.09 < alone <= 0.1
    declared = replace(made_by, rows=100, fractions="uniform")
    assert declared.events(Budget(1, 1e-5), unit=unit, relation="add_or_remove")[0] == votes
    assert isinstance(made_by, Synthesizer)


def test_what_noisy_steps_do_not_protect_is_refused() -> None:
    with pytest.raises(MethodError, match="hides one row and not one owner of at most 3 rows"):
        TINY.events(Budget(1, 1e-5), unit=Owner(3), relation="add_or_remove")
    with pytest.raises(MethodError, match="relation cannot be 'replace'"):
        TINY.events(Budget(1, 1e-5), unit=Row(), relation="replace")


def test_events_of_another_synthesizer_are_refused() -> None:
    x, codes = PUBLIC[:4], np.zeros(4, np.int64)
    for made_by in (
        replace(TINY, votes=2),
        replace(TINY, tuning=replace(TINY.tuning, steps=5)),
        replace(TINY, rows=9, fractions="uniform"),
    ):
        with pytest.raises(MethodError, match="not this synthesizer's"):
            TINY.synthesize(x, codes, 1, events=events_of(made_by), source=InsecureSource(0))
    with pytest.raises(MethodError, match="not this synthesizer's"):
        TINY.synthesize(x, codes, 1, events=(Histograms(Fraction(3), 1, 1),), source=InsecureSource(0))


# -- choices, from noisy counts alone --------------------------------------------------------------------------------


def chosen(made_by: PrivImage, counts: list[list[int]], public: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    noisy = np.array(counts)
    release = _Release.of(made_by, events_of(made_by), len(noisy), Watched(), 0, None)
    return release.chances(_Found(noisy, None, np.arange(120) % GROUPS if public is None else public))


@given(st.lists(st.lists(st.integers(-9, 9), min_size=GROUPS, max_size=GROUPS), min_size=2, max_size=GROUPS))
def test_with_exclusive_choice_no_public_class_has_two_names(counts: list[list[int]]) -> None:
    made_by = replace(TINY, select="top", chosen=2)
    chances = chosen(made_by, counts)
    assert ((chances > 0).sum(axis=0) <= 1).all()
    assert ((chances > 0).sum(axis=1) >= 1).all()  # later classes are left something
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    assert chances[0, int(np.argmax(counts[0]))] > 0  # the first class has what it wants most
    shared = chosen(replace(made_by, exclusive=False), counts)
    for row, noisy in zip(shared, counts, strict=True):
        assert set(np.flatnonzero(row)) == set(np.argsort(-np.array(noisy), kind="stable")[:2])


def test_too_few_public_classes_to_go_round_are_said() -> None:
    with pytest.raises(MethodError, match="6 public classes cannot go round 7"):
        chosen(replace(TINY, select="top"), [[0] * GROUPS] * 7)


def test_weights_are_the_votes_above_the_noise() -> None:
    chances = chosen(replace(TINY, threshold=2.0), [[6, 7, 16, -50, 0, 0], [5, 1, 2, 3, 4, -1]])
    np.testing.assert_allclose(chances[0], np.array([0, 1, 10, 0, 0, 0]) / 11)  # less twice the scale of 3
    np.testing.assert_allclose(chances[1], [0.2, 0.2, 0.2, 0.2, 0.2, 0])  # none stands out: those with most
    empty = chosen(TINY, [[20, 30, 0, 0, 0, 0]], public=np.ones(120, np.int64))
    np.testing.assert_array_equal(empty[0], [0, 1, 0, 0, 0, 0])  # where no public image is, none is drawn


def test_sizes_follow_noisy_counts_and_declared_numbers() -> None:
    def sizes(made_by: PrivImage, numbers: list[int] | None) -> list[int]:
        release = _Release.of(made_by, events_of(made_by), 3, Watched(), 0, None)
        noisy = None if numbers is None else np.array(numbers)
        found = _Found(np.zeros((3, GROUPS), np.int64), noisy, np.zeros(120, np.int64))
        return [int(size) for size in release.sizes(found)]

    assert sizes(TINY, [30, -2, 10]) == [9, 0, 3]
    assert sizes(TINY, [-1, -2, -3]) == [4, 4, 4]
    assert sizes(replace(TINY, size=None), [30, -2, 10]) == [30, 0, 10]
    assert sizes(replace(TINY, size=None, rows=90), [30, -2, 10]) == [68, 0, 22]
    assert sizes(replace(TINY, fractions=(1, 0, 2)), [30, -2, 10]) == [4, 0, 8]
    assert sizes(replace(TINY, rows=7, size=None, fractions="uniform"), None) == [3, 2, 2]


# -- secret numbers --------------------------------------------------------------------------------------------------


def test_secret_numbers_have_their_laws_and_never_repeat() -> None:
    source = InsecureSource(0)
    uniforms, normals = secret_uniforms(source, 50_000), secret_normals(source, 50_000)
    assert uniforms.min() > 0
    assert uniforms.max() < 1
    assert kstest(uniforms, "uniform").pvalue > 1e-3
    assert kstest(normals, "norm").pvalue > 1e-3
    again = InsecureSource(0)
    np.testing.assert_array_equal(uniforms, secret_uniforms(again, 50_000))
    assert not np.isin(secret_uniforms(again, 1000), uniforms).any()
    assert not np.isin(secret_uniforms(SecureSource(), 1000), secret_uniforms(SecureSource(), 1000)).any()


# -- what is released is released once -------------------------------------------------------------------------------


def test_a_query_is_not_asked_again(tmp_path: Path) -> None:
    x, codes = PUBLIC[:9], np.arange(9) % 3
    _, first, source = released(TINY, x, codes, 3, tmp_path)
    assert len(source.asked) == 2
    _, second, source = released(TINY, PUBLIC[9:30], np.zeros(21, np.int64), 3, tmp_path)
    assert not source.asked
    np.testing.assert_array_equal(first.counts, second.counts)
    np.testing.assert_array_equal(first.numbers, second.numbers)


def test_a_folder_of_another_release_is_refused(tmp_path: Path) -> None:
    x, codes = PUBLIC[:9], np.arange(9) % 3
    released(TINY, x, codes, 3, tmp_path)
    with pytest.raises(DataError, match="other parameters or noise"):
        released(replace(TINY, threshold=1.0), x, codes, 3, tmp_path)
    release = _Release.of(TINY, events_of(TINY), 3, SecureSource(), 0, tmp_path)  # would pass off seeded noise as safe
    with pytest.raises(DataError, match="other parameters or noise"):
        release.query(_Held(TINY.public[:9], codes))


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_shape": (64,)}, "image_shape must be"),
        ({"labels": np.zeros(3)}, "120 public images need a label each"),
        ({"labels": None, "clusters": 121}, "cannot be put into 121 groups"),
        ({"votes": GROUPS + 1}, "cannot vote for 7 of 6"),
        ({"rows": 0}, "rows must be a whole number"),
        ({"size": True}, "size must be a whole number"),
        ({"fractions": (0.0, 0.0)}, "not all 0"),
        ({"fractions": "equal"}, "fractions must be"),
        ({"select": "best"}, "select must be one of weighted, top"),
        ({"threshold": float("nan")}, "threshold must be"),
        ({"querying": 0.95}, "querying is a share"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises((MethodError, DataError), match=message):
        replace(TINY, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be"),
        ({"rate": 1.5}, "at most 1"),
        ({"clip": 0.0}, "clip must be above 0"),
        ({"part": "head"}, "part must be one of"),
    ],
)
def test_steps_that_make_no_sense_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        NoisySteps(**change)


@pytest.mark.parametrize(
    ("x", "codes", "message"),
    [
        (np.zeros((3, 63)), np.zeros(3, np.int64), "rows of 64 numbers"),
        (np.full((3, 64), np.nan), np.zeros(3, np.int64), "pixels from 0 to 255"),
        (np.full((3, 64), 256), np.zeros(3, np.int64), "pixels from 0 to 255"),
        (np.zeros((3, 64)), np.zeros(2, np.int64), "a label each"),
        (np.zeros((3, 64)), np.full(3, 5), "places in the list of 2 classes"),
    ],
)
def test_private_rows_that_do_not_fit_are_refused(x: NDArray[Any], codes: NDArray[np.int64], message: str) -> None:
    with pytest.raises(DataError, match=message):
        TINY.synthesize(x, codes, 2, events=events_of(TINY), source=InsecureSource(0))


def test_a_classifier_that_scores_other_classes_is_refused() -> None:
    made_by = replace(TINY, classifier=lambda x: x)
    with pytest.raises(DataError, match="must score 6 public classes"):
        released(made_by, PUBLIC[:3], np.zeros(3, np.int64), 1)


def test_images_are_judged_one_by_one() -> None:
    """What an image votes for may not depend on the rounding that images beside it bring."""
    seen: list[int] = []

    def judge(x: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(len(x))
        return by_directions(x)

    released(replace(TINY, classifier=judge), PUBLIC[:5], np.zeros(5, np.int64), 1)
    assert seen == [1] * 5


# -- all of it -------------------------------------------------------------------------------------------------------


@pytest.mark.models
def test_images_come_out_with_what_was_chosen(tmp_path: Path) -> None:
    x, codes = PUBLIC[:40].astype(np.float32), np.arange(40) % 2
    events = events_of(TINY)
    made = TINY.synthesize(x, codes, 2, events=events, source=InsecureSource(0), folder=tmp_path, progress=False)
    assert made.x.shape == (12, 64)
    assert made.x.dtype == np.float32
    assert made.x.min() >= 0
    assert made.x.max() <= 255
    assert made.codes.tolist() == sorted(made.codes.tolist())
    assert [piece.name for piece in made.evidence] == ["privimage"]
    source = Watched()
    again = TINY.synthesize(
        PUBLIC[50:60], np.zeros(10, np.int64), 2, events=events, source=InsecureSource(0), folder=tmp_path
    )
    np.testing.assert_array_equal(made.x, again.x)  # everything was released: no row is looked at any more
    assert not source.asked
    with pytest.raises(DataError, match="other parameters or noise"):
        TINY.synthesize(x, codes, 2, events=events, source=InsecureSource(0), seed=1, folder=tmp_path)


@pytest.mark.models
def test_nobody_is_enough(tmp_path: Path) -> None:
    made = TINY.synthesize(
        np.zeros((0, 64)), np.zeros(0, np.int64), 2, events=events_of(TINY), source=InsecureSource(0), progress=False
    )
    assert made.x.shape == (12, 64)
    assert np.isfinite(made.x).all()
