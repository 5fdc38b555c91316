"""Attacks as they would be run the slow way, and audits that catch what is broken."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from dataworth.errors import DataError, MethodError
from dataworth.kernels.threshold import Beta, neighbour_value
from dataworth.privacy.accounting import spent_epsilon
from dataworth.privacy.mechanisms import InsecureSource, SecureSource, Source, round_sigma_up
from dataworth.records import Points
from dataworth.records.privacy import Budget, Row, Unit
from dataworth.valuation.audits import audit_epsilon, audit_membership
from dataworth.valuation.audits.cells import find_cells
from dataworth.valuation.audits.epsilon import (
    METHOD,
    OWNER_ROWS,
    Drawn,
    Outcome,
    Release,
    attack_release,
    draw_releases,
    worst_cases,
)
from dataworth.valuation.audits.membership import (
    Attack,
    attack_knn,
    attack_threshold,
    knn_copies,
    threshold_copies,
)
from dataworth.valuation.methods import (
    CappedLinks,
    KNNShapley,
    Mechanism,
    PointMethod,
    Subsampled,
    ThresholdKNNShapley,
    ValidationVote,
)
from dataworth.valuation.planning import Plan, plan_release
from dataworth.valuation.points import value_points
from dataworth.valuation.task import Task
from tests import oracles


def clouds(n: int, seed: int, width: int = 3) -> Points:
    """Rows of two classes on a coarse grid, so that copies and ties come up."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, n)
    return Points(np.rint(2 * random.normal(size=(n, width)) + y[:, None]) + 0.25, y)


def small_attack(seed: int, members: int = 6) -> Attack:
    return Attack.draw(clouds(4 * members, seed), clouds(9, seed + 1000), members=members, shadows=4, seed=seed)


def slowly(attack: Attack, method: PointMethod) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Algorithm 1, word for word: every data set is built, and the attacker's copy is valued in it."""
    task = attack.task

    def value_of_copy(held: NDArray[np.bool_], target: int, copies: int) -> float:
        rows = np.append(np.flatnonzero(held), np.repeat(target, copies))
        train = Points(task.train.x[rows], task.train.y[rows])
        values = value_points(train, task.validation, method=method, dtype="float64", threads=1, progress=False)
        return float(values.values[-1] * len(task.validation))

    absent = [[value_of_copy(held, z, 1) for z in attack.targets] for held in attack.sets]
    present = [[value_of_copy(held, z, 2) for z in attack.targets] for held in attack.sets[1:]]
    return np.array(absent), np.array(present)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("normalise", ["subset", "k"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_knn_attacks_by_the_slow_way(seed: int, normalise: Any, metric: Any) -> None:
    attack = small_attack(seed)
    methods = [KNNShapley(k, normalise, metric) for k in (1, 3, 7, 20)]
    wanted = [slowly(attack, method) for method in methods]
    for found, slow in zip(knn_copies(attack, methods), zip(*wanted, strict=True), strict=True):
        np.testing.assert_allclose(found, slow, atol=1e-12)
    seen = zip(*knn_copies(attack, methods), strict=True)
    assert attack_knn(attack, methods) == [attack.judge(*values) for values in seen]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "method",
    [
        ThresholdKNNShapley(0.3),
        ThresholdKNNShapley(2.0, "banzhaf"),
        ThresholdKNNShapley(3.0, metric="euclidean"),
        ThresholdKNNShapley(0.5, Beta(4, 1)),
    ],
    ids=str,
)
@pytest.mark.parametrize("mechanism", [None, Subsampled(1), CappedLinks(9)], ids=str)
def test_threshold_attacks_by_the_slow_way(seed: int, method: ThresholdKNNShapley, mechanism: Mechanism | None) -> None:
    """Exact; and by the mechanisms without noise, where everybody is let in and no cap binds."""
    attack = small_attack(seed)
    plan = None if mechanism is None else silent(attack, method, mechanism)
    wanted = slowly(attack, method)
    for found, slow in zip(threshold_copies(attack, method, plan, InsecureSource(0)), wanted, strict=True):
        np.testing.assert_allclose(found, slow, atol=1e-12)
    seen = threshold_copies(attack, method, plan, InsecureSource(0))
    assert attack_threshold(attack, method, plan) == attack.judge(*seen)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("links", [1, 3])
def test_a_copy_keeps_the_capped_links_of_its_original(seed: int, links: int) -> None:
    attack, method = small_attack(seed), ThresholdKNNShapley(0.6)
    task = attack.task
    near = oracle_links(task, method.radius, links)
    match = attack.match()
    found = threshold_copies(attack, method, silent(attack, method, CappedLinks(links)), InsecureSource(0))
    for values, sets, originals in ((found[0], attack.sets, 0), (found[1], attack.sets[1:], 1)):
        for s, held in enumerate(sets):
            same, other = (near & match)[held].sum(0), (near & ~match)[held].sum(0)
            for t in attack.targets:
                a = match[t].astype(int)
                each = neighbour_value(same + originals * a, other + originals * (1 - a), a, task.n_classes)
                assert values[s, t] == pytest.approx(each[near[t]].sum(), abs=1e-12)


def oracle_links(task: Task, radius: float, most: int) -> NDArray[np.bool_]:
    """Each row's nearest points within the radius, ties by the order of points."""
    near = np.zeros((len(task.train), len(task.validation)), dtype=np.bool_)
    for i, row in enumerate(task.train.x):
        distance = np.array([oracles.float_distance(row, point, "cosine") for point in task.validation.x])
        near[i, np.argsort(distance, kind="stable")[:most]] = True
        near[i] &= distance <= radius
    return near


def silent(attack: Attack, method: ThresholdKNNShapley, mechanism: Mechanism) -> Plan:
    """A plan without noise."""
    return plan_release(
        attack.task.validation, method=method, spend=None, mechanism=mechanism, expected_rows=6, progress=False
    )


def test_subsampled_rows_are_let_in_as_often_as_said() -> None:
    attack, method = small_attack(0), ThresholdKNNShapley(2.0)
    plan = silent(attack, method, Subsampled(0.25))
    source = InsecureSource(3)
    runs = [threshold_copies(attack, method, plan, source) for _ in range(400)]
    match = attack.match()
    for at, held, originals in ((0, attack.sets[0], 0), (1, attack.sets[1], 1)):
        found = np.array([run[at][0] for run in runs])
        wanted = np.zeros((2, len(attack.targets)))  # mean and mean square, were points judged apart
        same, other = (match & held[:, None]).sum(0), (~match & held[:, None]).sum(0)
        a = match[attack.targets].astype(int)
        mean = np.zeros(a.shape)
        for p in range(8):
            for q in range(8):
                chance = binom.pmf(p, same + originals * a, 0.25) * binom.pmf(q, other + originals * (1 - a), 0.25)
                mean += chance * neighbour_value(p, q, a, 2)
        wanted = mean.sum(axis=1)
        error = found.std(axis=0) / 20
        assert (np.abs(found.mean(axis=0) - wanted) < 5 * error).all()


def test_dealing_rows() -> None:
    attack = Attack.draw(clouds(100, 0), clouds(9, 1), members=20, shadows=5, seed=3)
    assert len(attack.task.train) == 80
    assert np.flatnonzero(attack.sets[0]).tolist() == list(range(20))
    assert (attack.sets.sum(axis=1) == 20).all()
    assert not attack.sets[1:, :40].any()
    assert len({tuple(row) for row in attack.sets[1:].tolist()}) == 5
    again = Attack.draw(clouds(100, 0), clouds(9, 1), members=20, shadows=5, seed=3)
    other = Attack.draw(clouds(100, 0), clouds(9, 1), members=20, shadows=5, seed=4)
    assert (again.task.train.ids == attack.task.train.ids).all()
    assert (other.task.train.ids != attack.task.train.ids).any()
    with pytest.raises(DataError, match="needs 104 rows"):
        Attack.draw(clouds(100, 0), clouds(9, 1), members=26)
    with pytest.raises(MethodError, match="at least two"):
        Attack.draw(clouds(100, 0), clouds(9, 1), members=1)
    with pytest.raises(MethodError, match="one game"):
        attack_knn(attack, [KNNShapley(1), KNNShapley(2, "k")])
    with pytest.raises(MethodError, match="at least one"):
        attack_knn(attack, [])


def test_a_copied_row_gives_its_member_away_and_private_counts_do_not() -> None:
    """Few neighbours: exact values change when the original is there; noise hides it, and nothing tells strangers."""
    random = np.random.default_rng(0)
    x = random.normal(size=(1000, 4))
    rows, judges = Points(x[:800], x[:800, 0] > 0), Points(x[800:], x[800:, 0] > 0)
    method = ThresholdKNNShapley(0.05)

    def columns(**options: Any) -> dict[str, Any]:
        table = audit_membership(rows, judges, method=method, members=100, seeds=6, progress=False, **options)
        assert "NOT PRIVATE" in table.note
        return {name: cells[0] for name, cells in table.columns.items()}

    exact = columns()
    assert exact["from"] > 0.6
    assert exact["verdict"] == "values tell members"
    assert exact["release"] == "exact values"
    assert exact["non-members from"] < 0.5 < exact["non-members to"]
    for mechanism in (CappedLinks(10), Subsampled(0.01)):
        private = columns(spend=Budget(0.5, "1e-4"), mechanism=mechanism)
        assert abs(private["AUROC"] - 0.5) < 0.06
        assert str(mechanism) in private["release"]


def test_what_an_audit_of_members_refuses() -> None:
    rows, judges = clouds(40, 0), clouds(9, 1)
    threshold = ThresholdKNNShapley(0.5)
    wrong: list[tuple[Any, dict[str, Any], str]] = [
        (ValidationVote(0.5), {}, "not ValidationVote"),
        (threshold, {"mechanism": CappedLinks(3)}, "give a spend"),
        (threshold, {"seeds": 1}, "seeds must be"),
        (KNNShapley(3), {"spend": Budget(1, "1e-4")}, "private release"),
        (threshold, {"members": 11}, "needs 44 rows"),
    ]
    for method, options, words in wrong:
        with pytest.raises((MethodError, DataError), match=words):
            audit_membership(rows, judges, method=method, progress=False, **options)


# -- epsilon ---------------------------------------------------------------------------------------

DRAWS = 20_000
SPEND = Budget(1, "1e-5")


@cache
def plan_of(mechanism: Mechanism, unit: Unit, n_points: int | None) -> Plan:
    validation = worst_cases(mechanism, n_points)[0].validation
    return plan_release(
        validation, method=METHOD, spend=SPEND, mechanism=mechanism, unit=unit, threads=1, progress=False
    )


def outcomes(
    release: Release,
    name: str,
    mechanism: Mechanism,
    *,
    seen_alone: bool = False,
    n_points: int | None = None,
    source: Source | None = None,
) -> list[Outcome]:
    """The attack of one name, at the delta promised and at a telling one; seeded, unless a source is given."""
    view = "one owner, one link" if seen_alone else "all others together"
    case = next(case for case in worst_cases(mechanism, n_points) if (case.name, case.view) == (name, view))
    plan = plan_of(mechanism, case.unit, n_points)
    return attack_release(
        release, case, plan, SPEND.delta, draws=DRAWS, confidence=1 - 1e-6, source=source or InsecureSource(5)
    )


CASES = [
    ("a duplicate row", False),
    ("a row at the radius", False),
    ("a label flipped", False),
    ("an owner of 3 rows", False),
    ("a duplicate row", True),
    ("a label flipped", True),
]
QUICK_CASES = [  # accounting for owners takes its time
    pytest.param(*case, marks=[pytest.mark.slow] if case[0].startswith("an owner") else []) for case in CASES
]


@pytest.mark.parametrize(
    ("name", "alone"), [*QUICK_CASES, ("a row beyond the cap", False), ("the number of rows", False)]
)
def test_an_honest_capped_release_is_not_refuted(name: str, alone: bool) -> None:
    assert all(outcome.holds for outcome in outcomes(draw_releases, name, CappedLinks(2), seen_alone=alone))


@pytest.mark.parametrize(("name", "alone"), QUICK_CASES)
def test_an_honest_subsampled_release_is_not_refuted(name: str, alone: bool) -> None:
    assert all(outcome.holds for outcome in outcomes(draw_releases, name, Subsampled(0.1), seen_alone=alone))


def test_an_honest_release_is_not_refuted_with_true_randomness() -> None:
    pytest.importorskip("opendp")
    found = outcomes(draw_releases, "a row at the radius", CappedLinks(1), n_points=2, source=SecureSource())
    assert all(outcome.holds for outcome in found)
    assert found[0].bound.epsilon > 0


def thinned(factor: Fraction) -> Release:
    """Noise of another scale than the plan says."""

    def release(train: Points, validation: Points, plan: Plan, draws: int, source: Source) -> Drawn:
        rows_sigma = None if plan.rows_sigma is None else round_sigma_up(plan.rows_sigma * factor)
        broken = replace(plan, sigma=round_sigma_up(plan.sigma * factor), rows_sigma=rows_sigma)
        return draw_releases(train, validation, broken, draws, source)

    return release


def cells_of(train: Points, validation: Points, plan: Plan, mechanism: Mechanism | None = None) -> NDArray[np.int64]:
    return find_cells(Task.of(train, validation, None), plan.method, mechanism or plan.mechanism).astype(np.int64)


def always(counts: NDArray[np.int64], plan: Plan, draws: int, source: Source) -> Drawn:
    """The same counts every time, with noise."""
    return Drawn(source.add_noise(np.broadcast_to(counts, (draws, *counts.shape)), plan.sigma).counts, None)


def twice(train: Points, validation: Points, plan: Plan, draws: int, source: Source) -> Drawn:
    """Every row counted twice."""
    return always(2 * cells_of(train, validation, plan).sum(axis=0), plan, draws, source)


def uncapped(train: Points, validation: Points, plan: Plan, draws: int, source: Source) -> Drawn:
    """The cap forgotten."""
    return always(cells_of(train, validation, plan, Subsampled(1)).sum(axis=0), plan, draws, source)


def shared_subsample(train: Points, validation: Points, plan: Plan, draws: int, source: Source) -> Drawn:
    """One bit a row for all points, where the account says one for each."""
    assert isinstance(plan.mechanism, Subsampled)
    bits = source.draw_bits(draws * len(train), plan.mechanism.probability).reshape(draws, -1)
    counts = np.einsum("dr,rzc->dzc", bits.astype(np.int64), cells_of(train, validation, plan))
    return Drawn(source.add_noise(counts, plan.sigma).counts, None)


def predictable_bits(train: Points, validation: Points, plan: Plan, draws: int, source: Source) -> Drawn:
    """Bits that the adversary can repeat: whoever is let in, is so every time."""
    cells = cells_of(train, validation, plan)
    bits = InsecureSource(4).draw_bits(cells.shape[0] * cells.shape[1], Fraction(1, 2))
    return always((cells * bits.reshape(*cells.shape[:2], 1)).sum(axis=0), plan, draws, source)


@pytest.mark.parametrize(
    ("bug", "name", "mechanism"),
    [
        (thinned(Fraction(1, 2)), "a row at the radius", CappedLinks(2)),
        (thinned(Fraction(1, 2)), "a label flipped", CappedLinks(2)),
        (thinned(Fraction(1, 2)), "a row at the radius", Subsampled(0.1)),
        (thinned(Fraction(1, 8)), "the number of rows", CappedLinks(2)),
        (twice, "a duplicate row", CappedLinks(1)),
        (twice, "a row at the radius", CappedLinks(2)),
        (uncapped, "a row beyond the cap", CappedLinks(1)),
        (predictable_bits, "a row at the radius", Subsampled(0.1)),
    ],
)
def test_a_broken_release_is_caught(bug: Release, name: str, mechanism: Mechanism) -> None:
    assert not all(outcome.holds for outcome in outcomes(bug, name, mechanism))


def test_one_subsample_for_all_points_is_caught() -> None:
    honest, shared = (
        outcomes(release, "a row at the radius", Subsampled(0.05), n_points=20)
        for release in (draw_releases, shared_subsample)
    )
    assert all(outcome.holds for outcome in honest)
    assert not all(outcome.holds for outcome in shared)


def test_an_owner_accounted_as_so_many_times_a_row_is_caught() -> None:
    """Under subsampling three rows cost more than three times one, at the same delta."""
    mechanism = Subsampled(0.05)
    case = next(case for case in worst_cases(mechanism, 20) if case.name.startswith("an owner"))
    plan = plan_of(mechanism, Row(), 20)
    brought = replace(case, with_unit=case.with_unit.take(np.arange(1 + OWNER_ROWS)))

    def naive(delta: Any) -> float:
        return OWNER_ROWS * spent_epsilon(plan.events, delta, unit=Row(), relation="add_or_remove")

    found = attack_release(
        draw_releases, brought, plan, SPEND.delta, draws=DRAWS, confidence=1 - 1e-6, claim=naive,
        source=InsecureSource(1),
    )  # fmt: skip
    assert not all(outcome.holds for outcome in found)


def test_the_law_of_the_noise_tells_a_scale_that_bounds_do_not() -> None:
    pytest.importorskip("opendp")
    release = thinned(1 / round_sigma_up(2**0.5))
    table = audit_epsilon(SPEND, mechanism=CappedLinks(1), draws=1000, release=release, progress=False)
    law = dict(zip(table.columns, table.rows()[-1], strict=True))
    assert law["attack"] == "the law of the noise"
    assert str(law["verdict"]).startswith("BROKEN")
    assert not any(str(verdict).startswith("BROKEN") for verdict in table.columns["verdict"][:-1])


def test_the_table_of_an_audit() -> None:
    pytest.importorskip("opendp")
    table = audit_epsilon(SPEND, mechanism=CappedLinks(1), draws=1000, progress=False)
    assert len(table) == 2 * (len(CASES) + 2) + 1
    assert not any(str(verdict).startswith("BROKEN") for verdict in table.columns["verdict"])
    assert set(table.columns["change"]) == {"added or removed", "replaced", "none"}
    assert table.columns["has teeth"][-1] is True
    assert "1,000 draws a side" in table.note
    assert "proves nothing" in table.note
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"draws": 999}, "draws must be"),
        ({"draws": True}, "draws must be"),
        ({"mechanism": CappedLinks()}, "with its cap"),
    ]
    for options, words in wrong:
        with pytest.raises(MethodError, match=words):
            audit_epsilon(SPEND, progress=False, **options)


@pytest.mark.slow
@pytest.mark.parametrize("mechanism", [CappedLinks(1), CappedLinks(2), CappedLinks(4), Subsampled(0.1)], ids=str)
@pytest.mark.parametrize("epsilon", [0.5, 1, 4])
def test_the_release_stands_every_attack(mechanism: Mechanism, epsilon: float) -> None:
    """All attacks with true randomness: none refuted, and half the noise would have been seen."""
    table = audit_epsilon(Budget(epsilon, "1e-5"), mechanism=mechanism, draws=DRAWS, progress=False)
    assert not any(str(verdict).startswith("BROKEN") for verdict in table.columns["verdict"])
    assert sum(bool(teeth) for teeth in table.columns["has teeth"]) >= 3
