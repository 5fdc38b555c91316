"""Retraining, with a generator whose doings are known: it repeats its training items, a little changed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError
from dataworth.papers.gmvaluator.pools import labels_of
from dataworth.papers.gmvaluator.retraining import Judge, Make, Quality, add_items, leave_groups_out, likeness_to
from dataworth.records import Items, Values

CENTRES = np.eye(8) * 4


def items(labels: NDArray[np.int64], seed: int, name: str, spread: float = 0.3) -> Items:
    """Embedded images in clouds, one a class; the pixels do not matter."""
    x = CENTRES[labels] + spread * np.random.default_rng(seed).standard_normal((labels.size, 8))
    ids = [f"{name}{at}" for at in range(labels.size)]
    return Items(x, images=np.zeros((labels.size, 2, 2), np.uint8), ids=ids, labels=labels)


def repeat(asked: NDArray[np.int64], seed: int) -> Make:
    """A generator that repeats a random training item of the class asked for."""

    def make(pool: Items) -> Items:
        random = np.random.default_rng(seed)
        pairs = [np.flatnonzero(labels_of(pool) == label) for label in asked]
        at = np.array([same[int(random.random() * same.size)] for same in pairs])
        assert pool.x is not None
        x = pool.x[at] + 0.05 * random.standard_normal((at.size, 8))
        return Items(x, images=np.zeros((at.size, 2, 2), np.uint8), ids=np.arange(at.size), labels=asked)

    return make


def nearest(generated: Items, train: Items) -> Values:
    """All of a generated item's worth to its nearest training item."""
    assert generated.x is not None
    assert train.x is not None
    distance = ((generated.x[:, None] - train.x[None]) ** 2).sum(axis=2)
    earned = np.bincount(distance.argmin(axis=1), minlength=len(train)).astype(np.float64)
    return Values(train.ids, earned, "nearest", len(generated))


# -- judging -------------------------------------------------------------------------------------


def test_a_judge_tells_good_from_bad() -> None:
    labels = np.arange(120) % 3
    judge = Judge(items(labels, 0, "real"), items(labels, 1, "held"))
    assert judge.accuracy > 0.98
    good = judge(items(labels, 2, "good"))
    swapped = Items(items(labels, 2, "bad").x, labels=(labels + 1) % 3)
    far = Items(np.asarray(items(labels, 2, "far").x) + 10, labels=labels)
    assert good.accuracy > 0.98
    assert judge(swapped).accuracy < 0.02
    assert judge(swapped).frechet == pytest.approx(good.frechet)  # which looks at no classes
    assert judge(far).frechet == pytest.approx(8 * 10**2, rel=0.05)


def test_a_judge_compares_with_the_classes_asked_for() -> None:
    labels = np.arange(120) % 3
    judge = Judge(items(labels, 0, "real"), items(labels, 1, "held"))
    one = items(np.zeros(40, np.int64), 2, "one")
    assert judge(one).frechet < 1
    with pytest.raises(DataError, match="need vectors"):
        judge(Items(images=np.zeros((1, 2, 2), np.uint8), labels=[0]))


# -- adding --------------------------------------------------------------------------------------


def test_adding_reports_what_each_kind_earns() -> None:
    labels = np.arange(60) % 2
    pool, asked = items(labels, 0, "pool"), np.zeros(400, np.int64)
    added = {
        "same class": items(np.zeros(30, np.int64), 1, "same"),
        "other class": items(np.full(30, 5), 2, "other"),
    }
    judged: list[int] = []

    def judge(generated: Items) -> Quality:
        judged.append(len(generated))
        return Quality(1.0, 0.0)

    nothing, same, other = add_items(pool, added, repeat(asked, 0), nearest, judge)
    assert [nothing.kind, same.kind, other.kind] == ["nothing", "same class", "other class"]
    assert (nothing.added, nothing.items, same.items) == (None, 0, 30)
    assert nothing.base == pytest.approx(400 / 60)
    # All 60 items of class 0 are repeated equally often once the generator has seen them.
    assert same.added == pytest.approx(400 / 60, rel=0.2)
    assert same.base * 60 + (same.added or 0) * 30 == pytest.approx(400)
    # A generator that has not seen them repeats others, so they are rarely nearest.
    assert same.untrained is not None
    assert same.untrained < 0.5 * (same.added or 0)
    assert other.added == other.untrained == 0
    assert judged == [400, 400, 400]


# -- leaving out ---------------------------------------------------------------------------------


def groups_of_sizes(sizes: list[int]) -> tuple[Items, NDArray[np.int64]]:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    x = CENTRES[groups] + 0.3 * np.random.default_rng(0).standard_normal((groups.size, 8))
    everything = Items(x, images=np.zeros((groups.size, 2, 2), np.uint8), labels=np.zeros(groups.size, np.int64))
    return everything, groups


def test_groups_that_are_worth_more_are_missed_more() -> None:
    pool, groups = groups_of_sizes([4, 10, 20, 40, 60, 80])
    asked = np.zeros(500, np.int64)
    found = leave_groups_out(pool, groups, repeat(asked, 0), repeat(asked, 1), repeat(asked, 2), nearest)
    assert found.groups.tolist() == list(range(6))
    assert found.sizes.tolist() == [4, 10, 20, 40, 60, 80]
    assert found.value.sum() == 500
    assert found.rank.rho > 0.9
    assert found.rank.p < 0.05
    assert (found.change > 0).all()
    assert np.abs(found.control).max() < found.change.max() / 2


def test_a_generator_that_ignores_its_pool_misses_no_one() -> None:
    pool, groups = groups_of_sizes([10, 10, 10, 10, 10])
    fixed = repeat(np.zeros(100, np.int64), 0)(pool)
    again = repeat(np.zeros(100, np.int64), 1)(pool)
    with pytest.raises(DataError, match="no order"):
        leave_groups_out(pool, groups, lambda _: fixed, lambda _: again, lambda _: fixed, nearest)
    with pytest.raises(InputError, match="one group an item"):
        leave_groups_out(pool, groups[1:], lambda _: fixed, lambda _: again, lambda _: fixed, nearest)


def test_likeness_is_minus_the_mean_distance_to_the_nearest() -> None:
    group = Items([[2.0, 0.0], [0.0, 1.0]])
    assert likeness_to(group, Items([[5.0, 0.0], [0.0, 3.0]])) == pytest.approx(0)
    assert likeness_to(group, Items([[1.0, 1.0]])) == pytest.approx(np.sqrt(0.5) - 1)
    assert likeness_to(group, Items([[-1.0, 0.0], [1.0, 0.0]])) == pytest.approx(-0.5)


def test_a_generator_that_never_looks_at_its_pool_shows_no_correlation() -> None:
    """Its luck with one group must not count as that group's value and as what leaving it out changes."""
    pool, groups = groups_of_sizes([12] * 8)
    labels = labels_of(pool)
    draws = np.random.default_rng(0)

    def careless(_: Items) -> Items:
        mix = draws.dirichlet(np.full(8, 0.5))
        chosen = draws.choice(len(pool), 150, p=mix[groups] / mix[groups].sum())
        x = np.asarray(pool.x)[chosen] + 0.05 * draws.standard_normal((150, 8))
        return Items(x, labels=labels[chosen])

    found = [leave_groups_out(pool, groups, careless, careless, careless, nearest) for _ in range(30)]
    for rhos in ([each.rank.rho for each in found], [each.control_rank.rho for each in found]):
        assert abs(np.mean(rhos)) < 0.2  # about three standard errors; by the same images it would be about 0.4
