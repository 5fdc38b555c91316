"""The private release as it was promised, sentence by sentence; each test says which promise it keeps.

Checks with teeth live in ``checks``; ``test_planted`` shows that each of them fails when what it guards is broken.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dataworth as dw
from dataworth.errors import BudgetExceeded, InputError, LedgerError, MethodError
from dataworth.kernels.threshold import neighbour_value
from dataworth.privacy.accounting import satisfies
from dataworth.privacy.kinds import CappedCounts, RowCount, SubsampledCounts
from dataworth.privacy.ledger import Charge, Ledger
from dataworth.privacy.mechanisms import SIGMA_STEPS, SecureSource, round_sigma_up
from dataworth.records import Owner, Points, Release, Row
from dataworth.valuation import planning
from dataworth.valuation.methods import CappedLinks, KNNShapley, Subsampled, ThresholdKNNShapley
from dataworth.valuation.planning import plan_release
from dataworth.valuation.releases import release_points
from tests import oracles, strategies
from tests.privacy import checks
from tests.privacy.checks import (
    ACCOUNTS,
    ASK,
    FEW,
    LINE,
    METHOD,
    RELATIONS,
    ROWS,
    SPEND,
    Scripted,
    answer_of,
    exact_counts,
    holds,
    link_mask,
    new_ledger,
    points_of,
    public_side,
    run,
    silent_plan,
    spent,
)
from tests.strategies import Problem

pytest.importorskip("opendp")
pytest.importorskip("dp_accounting")
pytest.importorskip("sqlalchemy")


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with new_ledger() as (made, _):
        yield made


# -- what is public ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", [CappedLinks(3), Subsampled("1/2"), Subsampled(1)], ids=repr)
@pytest.mark.parametrize("seed", range(3))
def test_nothing_leaves_but_through_noisy_counts(mechanism: Any, seed: int) -> None:
    """Public inputs are public; everything else, how many rows and owners there are included, is not."""
    checks.check_only_noisy_counts_leave(mechanism, seed)


def test_no_file_for_others_tells_how_many_rows_there_are(tmp_path: Path) -> None:
    """Owner files, manifest and guarantee never hold a number of rows or owners, or a hash of the rows."""
    plan = silent_plan(LINE, CappedLinks(2), sigma=Fraction(3), counted=True)
    noisy = [np.arange(10).reshape(5, 2), [4]]
    shown, told = [], []
    for n in (1, 37):
        train = points_of([(1.5, i % 2) for i in range(n)] + [(0.0, 0)], [f"o{i}" for i in range(n)] + ["me"])
        release = replace(run(train, plan, Scripted(noisy)), made="then")
        folder = release.save(tmp_path / str(n))
        shown.append([(folder / name).read_bytes() for name in ("manifest.json", "counts.csv")])
        ((_, name),) = [line.split(",") for line in (folder / "deliver.csv").read_text().split() if '"me"' in line]
        told.append((folder / "owners" / name).read_text())
    assert shown[0] == shown[1]
    assert told[0] == told[1]


def test_a_request_is_told_from_another_by_public_parameters_only(ledger: Ledger) -> None:
    """The digest of a request is over public parameters, population and declared version, not over the rows."""
    asked = []

    def find(key: str, digest: str) -> None:
        asked.append(digest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "find", find)
        for train in (ROWS, Points([[5.0]], [0], owners=["eve"])):
            release_points(train, FEW, ledger=ledger, request_key=f"k{len(asked)}", **ASK)
    assert len(asked) == 2
    assert asked[0] == asked[1]


def test_warnings_that_depend_on_the_rows_stay_with_the_operator(ledger: Ledger) -> None:
    """A delta above one over the number of rows is told as a warning, and leaves no trace in what is released."""
    many = Points(np.zeros((20_000, 1)), np.zeros(20_000, dtype=int))
    with pytest.warns(dw.WeakDelta):
        weak = release_points(many, FEW, ledger=ledger, **ASK)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        strong = release_points(ROWS, FEW, ledger=ledger, **ASK)
    text = [json.dumps([release.words, dict(release.public), repr(release)]) for release in (weak, strong)]
    assert text[0] == text[1]


# -- links -------------------------------------------------------------------------------------------------------------


@given(problem=strategies.classification_problems(max_train=12, max_validation=11), data=st.data())
@settings(max_examples=40)
def test_a_row_keeps_its_nearest_points(problem: Problem, data: st.DataObject) -> None:
    """Exactly as many links as the cap and the radius allow, by distance and then by the point's place."""
    most = data.draw(st.integers(1, len(problem.validation_x)))
    method = ThresholdKNNShapley(problem.radius, metric=problem.metric)
    usable = [bool(row.any()) or problem.metric == "euclidean" for row in problem.train_x]
    if problem.metric == "cosine" and not problem.validation_x.any(axis=1).all():
        return
    mask = link_mask(problem.train, silent_plan(problem.validation, CappedLinks(most), method=method))
    for row, line, fine in zip(problem.train_x, mask, usable, strict=True):
        kept, inside = oracles.nearest_links(row, problem.validation_x, problem.radius, most, problem.metric)
        assert np.flatnonzero(line).tolist() == (kept if fine else [])
        assert not fine or line.sum() == min(most, inside)


@pytest.mark.parametrize("seed", range(3))
def test_links_are_a_function_of_the_row_and_public_data(seed: int) -> None:
    """Whoever is added, removed or moved: the same links for the unchanged rows, at the edge of floats too."""
    checks.check_links_ignore_other_rows(seed)


# -- the two mechanisms ------------------------------------------------------------------------------------------------


def test_inclusion_bits_are_fresh_for_every_row_and_point() -> None:
    """Independent Poisson bits per row and point, drawn anew at every release."""
    holds(checks.check_bits_are_independent_and_fresh)


def test_bits_are_the_operating_systems() -> None:
    """A predictable generator of bits would void what sampling is credited for."""
    holds(checks.check_bits_come_from_the_system)


def test_noise_is_the_exact_discrete_gaussian() -> None:
    """Integer noise on each count, of the law that is accounted."""
    holds(checks.check_noise_law)


def test_one_independent_noise_a_count() -> None:
    """One scale for all counts, and nothing shared between them."""
    holds(checks.check_noise_is_independent)


def test_noise_is_never_kept() -> None:
    """Neither noise nor bits are stored: a new release draws new ones, and a release holds no column for them."""
    holds(checks.check_noise_is_fresh)
    release = run(ROWS, silent_plan(FEW, Subsampled("1/2"), sigma=Fraction(2)), SecureSource())
    assert set(release.rows) == {"ids", "owners", "values", "band", "vote", "proxy", "reason"}


@pytest.mark.parametrize("bit", [True, False])
def test_a_sampled_value_is_the_formula_with_the_own_bit_taken_out(bit: bool) -> None:
    """With the owner's bit b: counts less b for its own kind, no lower than 0, not divided by q, summed over points."""
    noisy = np.array([[3, 1], [0, 2], [-4, 5], [1, -1], [9, 9]])
    plan = silent_plan(LINE, Subsampled("1/3"), sigma=Fraction(2))
    kinds = [(0.0, 0), (1.0, 1), (1.5, 7), (4.5, 1), (20.0, 0)]
    train = points_of(kinds)
    values = run(train, plan, Scripted([noisy], bits=bit)).bench_values()
    for (place, label), value in zip(kinds, values, strict=True):
        total = 0.0
        for z, (point, of) in enumerate(zip(LINE.x[:, 0], LINE.y, strict=True)):
            if abs(place - point) <= 2.0:
                a, b = int(label == of), int(bit)
                total += float(
                    neighbour_value(max(0, noisy[z, 0] - b * a), max(0, noisy[z, 1] - b * (1 - a)), a, n_classes=2)
                )
        assert value == pytest.approx(total / len(LINE), abs=1e-14)


def test_an_owner_gets_one_number_a_row() -> None:
    """Only the sum over points goes to an owner, not what each point gave."""
    answer = run(ROWS, silent_plan(FEW, Subsampled(1), sigma=Fraction(2)), SecureSource()).for_owner("bob")
    assert answer.values.shape == answer.band.shape == answer.vote.shape == (2,)


def test_capped_values_are_exact_shapley_values_of_their_game() -> None:
    """Without noise, values of capped links are those of the game of capped links, by enumeration of coalitions."""
    validation = Points(LINE.x, [0, 1, 2, 1, 1])
    train = points_of([(0.0, 0), (1.0, 1), (1.5, 2), (1.5, 1), (4.5, 1), (0.0, 7)])
    for most in (1, 2, 3, 5):
        plan = silent_plan(validation, CappedLinks(most))
        mask = link_mask(train, plan)
        expected = np.zeros(len(train))
        for z, label in enumerate(validation.y.tolist()):
            game = oracles.threshold_knn((train.y == label).tolist(), mask[:, z].tolist(), 3)
            expected += np.array([float(v) for v in oracles.shapley(game, len(train))])
        assert np.allclose(run(train, plan, Scripted()).bench_values(), expected / len(validation), atol=1e-14)


def test_the_own_row_is_taken_out_before_anything_else() -> None:
    """An owner knows its own row: it leaves the noisy counts before they are shrunk."""
    holds(checks.check_own_row_is_taken_out_once)


def test_counts_are_clamped() -> None:
    """Sampled counts at 0, shrunk ones at a half: no sign ever turns."""
    holds(checks.check_counts_stay_above_nothing)


def test_large_counts() -> None:
    """Noise and counts are 64-bit integers: 32 would saturate in silence."""
    holds(checks.check_large_counts_keep_their_digits)


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [({"spend": None}, LedgerError), ({"insecure_seed": 0}, LedgerError), ({"unit": Owner(3)}, LedgerError)],
    ids=repr,
)
def test_nothing_insecure_with_a_ledger(ledger: Ledger, wrong: dict[str, Any], kind: Any) -> None:
    """No noise, or seeded noise, is refused with a real ledger, and nothing is spent."""
    with pytest.raises(kind):
        release_points(ROWS, FEW, ledger=ledger, **{**ASK, **wrong})
    assert ledger._state()["releases"] == 0


def test_without_a_ledger_a_release_is_stamped() -> None:
    """Seeded noise is for tests: every artefact of it says so, and without a seed there is no release at all."""
    with pytest.raises(InputError, match="charged to a ledger"):
        release_points(ROWS, FEW, ledger=None, **ASK)
    for change in ({}, {"spend": None}):
        release = release_points(ROWS, FEW, ledger=None, insecure_seed=1, **{**ASK, **change})
        assert release.stamp == "NOT PRIVATE"
        shown = [*release.words, release.summary().title, *release.for_owner("ann").guarantees, repr(release)]
        assert all("NOT PRIVATE" in text for text in shown)
        assert not any(promise.private for promise in release.guarantees)


def test_with_a_ledger_noise_is_the_operating_systems(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A charged release is drawn by the secure source and by no other, at the planned scale."""
    drawn: list[Fraction] = []
    inner = SecureSource.add_noise

    def add_noise(self: SecureSource, counts: Any, sigma: Fraction) -> Any:
        drawn.append(sigma)
        return inner(self, counts, sigma)

    monkeypatch.setattr(SecureSource, "add_noise", add_noise)
    monkeypatch.setattr("dataworth.privacy.mechanisms.InsecureSource.add_noise", None)
    release = release_points(ROWS, FEW, ledger=ledger, **ASK)
    assert drawn == [release.sigma]
    assert release.stamp == ""
    assert [promise.private for promise in release.guarantees] == [True, True]


# -- sensitivity -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", [CappedLinks(1), CappedLinks(2), CappedLinks(3), Subsampled(1)], ids=repr)
def test_sensitivity_of_a_row(mechanism: Any) -> None:
    """One count a point by one; with a cap sqrt(L) added or removed, sqrt(2L) replaced; all small sets tried."""
    checks.check_sensitivity_of_a_row(mechanism)


def test_sensitivity_of_a_row_among_two_others() -> None:
    """The same, over all data sets of three rows."""
    checks.check_sensitivity_of_a_row(CappedLinks(2), size=3)


@pytest.mark.parametrize(("allowed", "links"), [(1, 1), (2, 2), (2, 3)])
def test_sensitivity_of_an_owner(allowed: int, links: int) -> None:
    """An owner with at most r rows: r sqrt(L), replaced r sqrt(2L), and r rows in the count of rows."""
    checks.check_sensitivity_of_an_owner(allowed, links)


def test_the_bounds_on_an_owner_are_reached() -> None:
    """All rows in one place move r in each of L counts; elsewhere instead, twice as many counts."""
    plan = silent_plan(LINE, CappedLinks(1), unit=Owner(3))
    beside = [(9.0, 0)]
    counts = [
        exact_counts(points_of([*mine, *beside], ["me"] * len(mine) + ["other"]), plan)
        for mine in ([], [(0.0, 0)] * 3, [(6.0, 1)] * 3)
    ]
    assert int(((counts[1] - counts[0]) ** 2).sum()) == 9
    assert int(((counts[1] - counts[2]) ** 2).sum()) == 18


@given(
    problem=strategies.classification_problems(max_train=8, max_validation=9),
    most=st.integers(1, 9),
    data=st.data(),
)
@settings(max_examples=40)
def test_sensitivity_at_the_radius(problem: Problem, most: int, data: st.DataObject) -> None:
    """Neighbours with rows exactly on the radius, twice there, or just beyond: whole counts, and few enough."""
    if problem.metric == "cosine" and not problem.validation_x.any(axis=1).all():
        return
    method = ThresholdKNNShapley(problem.radius, metric=problem.metric)
    plan = silent_plan(problem.validation, CappedLinks(most), method=method)
    which = data.draw(st.integers(0, len(problem.train_x) - 1))
    before = exact_counts(problem.train, plan)
    if len(problem.train_x) > 1:
        others = problem.train.take(np.flatnonzero(np.arange(len(problem.train_x)) != which))
        moved = before - exact_counts(others, plan)
        assert set(moved.ravel().tolist()) <= {0, 1}
        assert int(moved.sum()) <= min(most, len(problem.validation_x))
    x, y = problem.train_x.copy(), problem.train_y.copy()
    x[which], y[which] = data.draw(st.sampled_from(list(problem.validation_x))), data.draw(st.sampled_from(y.tolist()))
    moved = before - exact_counts(Points(x, y), plan)
    assert set(moved.ravel().tolist()) <= {-1, 0, 1}
    assert int(np.abs(moved).sum()) <= 2 * most


# -- accounting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("which", [case[0] for case in ACCOUNTS])
def test_the_account_holds_by_definition(which: str, relation: Any) -> None:
    """The discrete loss, pessimistic, for each relation and unit; the smallest noise; never r times a row."""
    holds(checks.check_account_by_definition, which, relation)


def test_every_noisy_number_is_accounted() -> None:
    """The events are what was drawn: counts, and the number of rows only where none is declared."""
    holds(checks.check_events_are_what_was_released)


@pytest.mark.parametrize("relation", RELATIONS)
def test_noise_is_the_smallest_safe_one(relation: Any) -> None:
    """Rounded up to what the sampler takes, accounted again as such: one step less would not do."""
    plan = plan_release(FEW, method=METHOD, spend=SPEND, mechanism=CappedLinks(1), expected_rows=3, relation=relation)
    (event,) = plan.events
    assert isinstance(event, CappedCounts)
    assert event.sigma == plan.sigma == round_sigma_up(plan.sigma)
    less = CappedCounts(plan.sigma - Fraction(1, SIGMA_STEPS), 1)
    assert satisfies([event], SPEND, unit=Row(), relation=relation)
    assert not satisfies([less], SPEND, unit=Row(), relation=relation)


def test_both_relations_are_promised(ledger: Ledger) -> None:
    """The relation that is charged comes first, the other is computed and printed beside it."""
    release = release_points(ROWS, FEW, ledger=ledger, **ASK)
    assert [promise.relation for promise in release.guarantees] == ["add_or_remove", "replace"]
    assert release.guarantee is not None
    assert release.guarantee.budget == SPEND
    assert release.guarantees[1].budget.epsilon > SPEND.epsilon
    text = " ".join(release.words)
    assert "added or removed" in text
    assert "replaced by any other" in text


def test_owners_get_capped_links_by_default() -> None:
    """For owners of several rows the default is the mechanism that is cheap for them."""
    plan = plan_release(FEW, method=METHOD, spend=None, unit=Owner(5), expected_rows=9)
    assert isinstance(plan.mechanism, CappedLinks)
    assert isinstance(plan_release(FEW, method=METHOD, spend=None, unit=Row()).mechanism, CappedLinks)


def test_names_of_others() -> None:
    """A limit on an owner's rows is a rule on that owner's rows alone, however others name theirs."""
    holds(checks.check_names_of_others)


def test_rows_beyond_the_limit() -> None:
    """r is kept by a rule on that owner's rows alone, lowest ids, before capping."""
    holds(checks.check_owner_limit)


def test_an_owners_unit_needs_owners() -> None:
    """Without owners nobody can say whose rows belong together."""
    with pytest.raises(InputError, match="give owners="):
        release_points(Points(ROWS.x, ROWS.y), FEW, ledger=None, insecure_seed=0, **{**ASK, "unit": Owner(2)})


def test_two_names_are_not_protected_as_one() -> None:
    """One person under two owner names is not one owner, and owners are told."""
    told = run(ROWS, silent_plan(FEW, CappedLinks(1), sigma=Fraction(2), expected_rows=3), Scripted())
    assert "two owner names" in told.for_owner("ann").to_json()


def test_noisy_counts_may_be_shown(ledger: Ledger) -> None:
    """They are differentially private themselves: the table of them is what was stored with the charge."""
    release = release_points(ROWS, FEW, ledger=ledger, **ASK)
    columns = release.counts().columns
    assert list(columns["same label"]) == release.noisy[:, 0].tolist()
    assert list(columns["another label"]) == release.noisy[:, 1].tolist()
    assert ledger.stored(1).noisy.tolist() == release.noisy.tolist()


# -- values that cost nothing, and the proxy ---------------------------------------------------------------------------


def test_a_vote_needs_nobody_else() -> None:
    """A value of the own row, public data and independent randomness alone tells nothing of others."""
    plan = silent_plan(LINE, CappedLinks(5), sigma=Fraction(2), counted=True)
    mine = [(6.5, 1), (6.5, 0), (3.0, 1)]  # near the last point; and near two of label 0 and 1, 0, 1
    for others, noisy in (([], 5), ([(1.0, 0)] * 9, -80)):
        train = points_of([*mine, *others], ["me"] * 3 + ["other"] * len(others))
        release = run(train, plan, Scripted([np.full((5, 2), noisy), [noisy]]))
        assert release.for_owner("me").vote.tolist() == [0.2, -0.2, 0.2]


def test_the_proxy_uses_declared_or_noisy_rows() -> None:
    """The number of rows in the proxy is declared, or noisy and charged; never the true one."""
    train = points_of([(1.5, 1)] * 4)
    declared = silent_plan(LINE, CappedLinks(2), sigma=Fraction(2), expected_rows=50)
    noised = silent_plan(LINE, CappedLinks(2), sigma=Fraction(2), counted=True)
    counts = np.full((5, 2), 3)

    def proxy(plan: Any, rows: int) -> list[float]:
        return list(run(train, plan, Scripted([counts, [rows]])).rows["proxy"])

    assert proxy(declared, 1) == proxy(noised, 50) == proxy(declared, 9)
    assert proxy(noised, 50) != proxy(noised, 7)
    assert proxy(noised, -3) == proxy(noised, 0) == proxy(noised, 1)


@pytest.mark.parametrize("links", [1, 3, 10, 77, 1000])
def test_the_row_count_is_a_tenth_of_the_squared_sensitivity(links: int) -> None:
    """One more coordinate, weighted sqrt(L / 10), inside the same charge."""
    sigma = Fraction(40)
    of_rows = planning._rows_sigma(sigma, CappedLinks(links))
    assert of_rows >= sigma * Fraction(math.sqrt(10 / links))
    assert float(of_rows) == pytest.approx(40 * math.sqrt(10 / links), rel=1e-4)
    assert planning._events(CappedLinks(links), 9, True, sigma) == (CappedCounts(sigma, links), RowCount(of_rows))


def test_the_plan_is_made_of_public_inputs() -> None:
    """Planning reads the validation set, parameters and the declared rows; the same plan whoever is in the data."""
    made = [
        release_points(train, FEW, ledger=None, insecure_seed=1, **{**ASK, "mechanism": None, "expected_rows": None})
        for train in (ROWS, Points(np.full((40, 1), 2.0), np.ones(40, dtype=int)))
    ]
    facts = [(r.mechanism, r.sigma, r.rows_sigma, r.guarantees, dict(r.public)) for r in made]
    assert facts[0] == facts[1]
    plan = plan_release(FEW, method=METHOD, spend=SPEND)
    assert (repr(plan.mechanism), plan.sigma, plan.rows_sigma) == facts[0][:3]


def test_a_plan_for_something_else_is_refused() -> None:
    """What is released is what was planned, for these points, and what is charged is what is released."""
    holds(checks.check_another_plan_is_refused)


# -- what is never published -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["publish", "by_owner", "ranking", "payout"])
def test_nothing_over_owners(what: str) -> None:
    """Sums, means, ranks and payouts over owners' values are not covered, and are refused with the reason."""
    release = run(ROWS, silent_plan(FEW, CappedLinks(1), sigma=Fraction(2), expected_rows=3), Scripted())
    with pytest.raises(MethodError, match="joint differential privacy"):
        getattr(release, what)()


def test_all_values_at_once_are_for_experiments(ledger: Ledger) -> None:
    """A private release hands out nobody's values but to their owner."""
    release = release_points(ROWS, FEW, ledger=ledger, **ASK)
    with pytest.raises(MethodError, match="joint differential privacy"):
        release.bench_values()
    assert len(release.for_owner("bob")) == 2


def test_vote_proxy_and_band_are_in_the_owners_file_only() -> None:
    """The public side has no column of owners at all."""
    release = run(ROWS, silent_plan(FEW, CappedLinks(1), sigma=Fraction(2), expected_rows=3), Scripted())
    shown = json.dumps(public_side(release), default=str)
    for secret in ("ann", "bob", "vote", "band"):
        assert secret not in shown
    told = json.loads(release.for_owner("bob").to_json())["rows"]
    assert [sorted(row) for row in told] == [["band", "id", "proxy", "remark", "value", "vote"]] * 2
    assert "ann" not in json.dumps(told)


def test_absent_owners_are_answered_like_unknown_ones() -> None:
    """Nobody learns from an empty answer whether a name was ever in the data."""
    release = run(ROWS, silent_plan(FEW, CappedLinks(1), sigma=Fraction(2), expected_rows=3), Scripted())
    assert answer_of(release, "cyd") == answer_of(release, "ANN") == answer_of(release, "") == answer_of(release, 0)


def test_a_release_after_a_change_is_a_new_release(ledger: Ledger) -> None:
    """Changes are never added to stored noisy counts: fresh noise, a new charge, under a new key."""
    plan = plan_release(FEW, method=METHOD, spend=SPEND, mechanism=CappedLinks(1), expected_rows=3)
    more: dict[str, Any] = {"method": METHOD, "spend": SPEND, "ledger": ledger, "plan": plan}
    differences = set()
    for turn in range(6):
        first = release_points(ROWS, FEW, request_key=f"before {turn}", **more)
        then = release_points(ROWS.take([0, 1]), FEW, request_key=f"after {turn}", **more)
        differences.add((then.noisy - first.noisy).tobytes())
    assert len(differences) > 1  # were the noise kept, all would be the one row that went
    assert ledger._state()["releases"] == 12


def test_row_content_shows_nowhere() -> None:
    """A row without features or direction has no links, its owner is told, and nothing fails or warns."""
    holds(checks.check_row_content_never_raises)


# -- the ledger --------------------------------------------------------------------------------------------------------


def test_charges_are_integers_and_events_exact(ledger: Ledger) -> None:
    """Epsilon in billionths, delta in 1e-18ths, the relation, and every event with its scale as a ratio."""
    release_points(ROWS, FEW, ledger=ledger, **ASK)
    from sqlalchemy import text

    with ledger._store.reading() as connection:
        row = connection.execute(text("SELECT * FROM dataworth_releases")).mappings().one()
    assert (row["epsilon"], row["delta"]) == SPEND.charge()
    assert (row["loss_charge"], row["delta_charge"]) == SPEND.charge()
    assert row["relation"] == "add_or_remove"
    plan = plan_release(FEW, method=METHOD, spend=SPEND, mechanism=CappedLinks(1), expected_rows=3)
    (event,) = json.loads(row["events"])
    assert event == {
        "kind": "capped-counts",
        "sigma": f"{plan.sigma.numerator}/{plan.sigma.denominator}",
        "links": 1,
    }


def test_a_charge_is_shown_to_hold_before_it_is_admitted(ledger: Ledger) -> None:
    """Events that cost more than the declared spend are refused by the ledger's own account."""
    plan = plan_release(FEW, method=METHOD, spend=SPEND, mechanism=CappedLinks(1), expected_rows=3)
    short = Charge(SPEND, (CappedCounts(plan.sigma - Fraction(1, SIGMA_STEPS), 1),), Row(), "add_or_remove")
    with pytest.raises(MethodError, match="cost more"):
        ledger.check(short)


def test_spent_and_answered_together() -> None:
    """Charge, noisy counts and answer are one transaction: nothing comes out that was not spent, nothing is lost."""
    holds(checks.check_spent_before_released)


def test_refusal() -> None:
    """Above the budget nothing is computed, no noise is drawn and nothing is spent."""
    holds(checks.check_refusal_touches_nothing)


def test_never_overspent() -> None:
    """One conditional statement decides, however many ask at once."""
    holds(checks.check_never_overspent)


def test_both_amounts_count() -> None:
    """Admitted only if epsilons and deltas both fit."""
    holds(checks.check_either_amount_refuses)


def test_no_refunds() -> None:
    """Nothing is ever given back."""
    holds(checks.check_no_refunds)


def test_a_key_is_one_answer() -> None:
    """With a request key a retry is the stored answer byte for byte; the key serves no other request."""
    holds(checks.check_a_retry_is_the_stored_answer)


def test_without_a_key_every_call_is_new() -> None:
    """Each call is a new charge with fresh noise."""
    holds(checks.check_every_call_without_a_key_is_new)


def test_the_ledgers_unit_and_relation_rule() -> None:
    """The ledger is bound to unit, r and relation; the release takes them from there."""
    with new_ledger(unit=Owner(2), relation="replace") as (ledger, _):
        release = release_points(ROWS, FEW, ledger=ledger, **ASK)
        assert release.guarantee is not None
        assert (release.guarantee.unit, release.guarantee.relation) == (Owner(2), "replace")
        assert release.population == "people"
        with pytest.raises(LedgerError, match="keeps account of"):
            release_points(ROWS, FEW, ledger=ledger, **{**ASK, "unit": Row()})


def test_zcdp_admits_more_full_data_releases() -> None:
    """Under zCDP six releases fit where adding up epsilons takes four, and they cost no delta."""
    with new_ledger("2.0", "1e-3", composition="zcdp") as (ledger, path):
        for _ in range(6):
            release_points(ROWS, FEW, ledger=ledger, **ASK)
        assert spent(path)[1:] == (0, 6)
    with new_ledger("2.0", "1e-3") as (ledger, _):
        for _ in range(4):
            release_points(ROWS, FEW, ledger=ledger, **ASK)
        with pytest.raises(BudgetExceeded):
            release_points(ROWS, FEW, ledger=ledger, **ASK)


def test_sampling_earns_nothing_under_zcdp() -> None:
    """A sampled release enters as its epsilon squared over two, and with its delta."""
    sampled = Charge(SPEND, (SubsampledCounts(Fraction(9), Fraction(1, 4), 3),), Row(), "add_or_remove")
    with new_ledger("2.0", "1e-3", composition="zcdp") as (ledger, path):
        ledger.commit(sampled, noisy=np.zeros(2, dtype=np.int64), payload=b"x", digest="d")
        assert spent(path) == (math.ceil(2**40 / 8), SPEND.charge()[1], 1)


def test_a_ledger_is_confidential_and_never_made_in_passing(tmp_path: Path) -> None:
    """Mode 0600, made on request only: a missing file is an error."""
    with pytest.raises(LedgerError):
        Ledger.open(tmp_path / "missing.db")
    assert not list(tmp_path.iterdir())
    with new_ledger() as (_, path):
        assert path.stat().st_mode & 0o777 == 0o600


def test_only_threshold_values_have_a_private_release(ledger: Ledger) -> None:
    """Baselines whose noise is float, or that a crowd can see through, are refused with a ledger."""
    with pytest.raises(MethodError, match="ThresholdKNNShapley"):
        release_points(ROWS, FEW, ledger=ledger, **{**ASK, "method": KNNShapley(3)})
    assert ledger._state()["releases"] == 0


def test_the_release_record_comes_back_byte_for_byte(ledger: Ledger) -> None:
    """What the ledger keeps is the answer: read and written again it is the same."""
    release = release_points(ROWS, FEW, ledger=ledger, **ASK)
    stored = ledger.stored(1).payload
    assert Release.from_bytes(stored).to_bytes() == stored
    assert public_side(Release.from_bytes(stored).numbered(1)) == public_side(release)
