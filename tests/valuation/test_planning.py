"""What a plan says, and that it is made of public inputs and holds together."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from dataworth.errors import DataError, InputError, MethodError
from dataworth.privacy.kinds import CappedCounts, RowCount, SubsampledCounts
from dataworth.records import Budget, Owner, Points, Row
from dataworth.valuation import planning
from dataworth.valuation.methods import CappedLinks, KNNShapley, Subsampled, ThresholdKNNShapley
from dataworth.valuation.planning import Plan, plan_release

pytest.importorskip("dp_accounting")

METHOD = ThresholdKNNShapley(0.5)
SPEND = Budget("0.5", "1e-3")
COMMON: dict[str, Any] = {"method": METHOD, "threads": 1, "progress": False}


def clouds(n: int, seed: int = 0, classes: int = 2) -> Points:
    random = np.random.default_rng(seed)
    y = random.integers(0, classes, n)
    return Points(random.normal(size=(n, 3)) + 2 * y[:, None] * np.eye(3)[0], y)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_release(clouds(30), spend=SPEND, **COMMON)


def facts(plan: Plan) -> dict[str, Any]:
    return {name: fact for name, fact in vars(plan).items() if name not in ("judged", "links")}


def test_the_same_inputs_give_the_same_plan(plan: Plan) -> None:
    again = plan_release(clouds(30), spend=SPEND, **{**COMMON, "threads": 2})
    assert facts(again) == facts(plan)
    assert plan.coherent


def test_a_plan_tells_what_to_expect(plan: Plan) -> None:
    table = plan.table()
    told = dict(zip(table.columns["fact"], table.columns["is"], strict=True))
    assert told["mechanism"] == repr(plan.mechanism)
    assert told["noise scale of a count"] == float(plan.sigma)
    assert told["noise scale of the number of rows"] == float(plan.rows_sigma or 0)
    assert "added or removed: epsilon = 0.5, delta = 0.001" in table.note
    assert "replaced by any other" in table.note
    assert -1 <= plan.expected_spearman <= 1
    assert plan.expected_error > 0
    assert plan.band_factor > 0


@pytest.mark.parametrize("points", [1, 2, 5, 6, 31])
def test_caps_are_tried_as_far_as_there_are_points(points: int) -> None:
    tried = planning._caps(CappedLinks(), points, noise=True)
    assert tried[-1] == points
    assert tried == sorted(set(tried))
    assert tried[:-1] == [cap for cap in planning.CAPS if cap < points]
    assert planning._caps(CappedLinks(7), points, noise=True) == [min(7, points)]
    assert planning._caps(Subsampled("1/2"), points, noise=True) == [points]


@pytest.mark.parametrize("points", [1, 8, 3000])
def test_without_noise_nothing_is_capped(points: int) -> None:
    """Also where all caps rank alike, and beyond the largest cap that is tried."""
    assert planning._caps(CappedLinks(), points, noise=False) == [points]
    assert planning._caps(CappedLinks(7), points, noise=False) == [min(7, points)]
    alike = plan_release(Points(np.ones((8, 2)), [0] * 8), spend=None, **COMMON)
    assert alike.mechanism == CappedLinks(8)


@pytest.mark.parametrize("points", [1, 8, 3000, 10**6])
def test_no_cap_at_all_is_tried_too(points: int) -> None:
    """Where rows are near thousands of points, any smaller cap would make their values another game's."""
    caps = planning._caps(CappedLinks(), points, noise=True)
    assert caps[-1] == points
    assert caps == sorted(set(caps))


def test_the_cap_that_ranks_best_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {5: 0.2, 10: 0.9, 15: 0.3, 20: 0.9, 30: 0.1}

    def run(self: Any, mechanism: Any, cap: int, sigma: float, *, with_rows: bool) -> Any:
        return planning._Trial(scores[cap], cap, 1.0)

    monkeypatch.setattr(planning._Rehearsal, "run", run)
    monkeypatch.setattr(planning, "_rough_sigma", lambda *_: 1.0)
    monkeypatch.setattr(planning, "_noise", lambda *_: (Fraction(1), (), ()))
    made = plan_release(clouds(30), spend=SPEND, **COMMON)
    assert made.mechanism == CappedLinks(10)  # the first of equals
    assert (made.expected_spearman, made.expected_error) == (0.9, 10)


def test_without_noise_every_link_is_kept() -> None:
    made = plan_release(clouds(30), spend=None, **COMMON)
    assert made.mechanism == CappedLinks(30)
    assert made.sigma == 0
    assert not any((made.rows_sigma, made.events, made.guarantees))
    assert made.expected_spearman == pytest.approx(1.0)
    assert made.coherent


def test_more_noise_is_expected_to_rank_worse() -> None:
    validation = clouds(60)
    rehearsal = planning._Rehearsal(planning.Judged.of(validation, METHOD, None, "float32", 1), METHOD, 600.0, 1)
    ranks = [rehearsal.run(CappedLinks(), 60, sigma, with_rows=False).spearman for sigma in (0.0, 1.0, 50.0, 5000.0)]
    assert ranks[0] == pytest.approx(1.0)
    assert ranks[0] >= ranks[1] > ranks[2] > ranks[3] - 0.01
    assert ranks[3] == pytest.approx(rehearsal.proxy(), abs=0.1)  # nothing is left but the validation set


@pytest.mark.parametrize(
    ("mechanism", "rows", "events"),
    [
        (CappedLinks(2), None, (CappedCounts, RowCount)),
        (CappedLinks(2), 50, (CappedCounts,)),
        (Subsampled("1/4"), None, (SubsampledCounts,)),
    ],
    ids=repr,
)
def test_events_and_guarantees(mechanism: Any, rows: int | None, events: Any) -> None:
    made = plan_release(clouds(4), spend=SPEND, mechanism=mechanism, expected_rows=rows, **COMMON)
    assert tuple(type(event) for event in made.events) == events
    assert isinstance(made.events[0], CappedCounts | SubsampledCounts)
    assert made.events[0].sigma == made.sigma
    assert (made.rows_sigma is None) == (RowCount not in events)
    assert [promise.relation for promise in made.guarantees] == ["add_or_remove", "replace"]
    assert made.guarantees[0].budget == SPEND
    assert made.coherent


def test_what_does_not_hold_together_is_seen() -> None:
    made = plan_release(clouds(4), spend=SPEND, mechanism=CappedLinks(2), **COMMON)
    assert made.rows_sigma is not None
    changes: list[dict[str, Any]] = [
        {"sigma": made.sigma / 2},
        {"sigma": Fraction(0)},
        {"rows_sigma": made.rows_sigma / 2},
        {"rows_sigma": None},
        {"mechanism": CappedLinks(3)},
        {"mechanism": Subsampled("1/4")},
        {"events": made.events[:1]},
        {"expected_rows": 9},
        {"spend": None},
    ]
    for change in changes:
        assert not replace(made, **change).coherent, change


def test_a_plan_is_known_by_points_and_classes() -> None:
    points = clouds(8)
    classes = np.array([0, 1])
    own = planning.fingerprint(points, classes)
    assert own == planning.fingerprint(clouds(8), classes)
    others = [
        planning.fingerprint(Points(points.x + 1e-12, points.y), classes),
        planning.fingerprint(Points(points.x, 1 - points.y), classes),
        planning.fingerprint(Points(points.x, points.y.astype(str)), classes.astype(str)),
        planning.fingerprint(Points(points.x.astype(np.float32), points.y), classes),
        planning.fingerprint(points, np.array([0, 1, 2])),
        planning.fingerprint(Points(points.x.reshape(4, 6), points.y[:4]), classes),
    ]
    assert len({own, *others}) == 7


@pytest.mark.parametrize("classes", [1, 2, 10])
@pytest.mark.parametrize("n", [1, 2, 9])
def test_small_and_odd_validation_sets(n: int, classes: int) -> None:
    """One point, one class, more classes than points: a plan comes, with figures that are numbers."""
    validation = Points(np.eye(9)[:n], np.arange(n) % classes)
    for mechanism in (CappedLinks(), Subsampled("1/2")):
        made = plan_release(validation, spend=None, mechanism=mechanism, **COMMON)
        assert np.isfinite([made.expected_spearman, made.expected_error, made.band_factor, made.proxy_spearman]).all()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"method": KNNShapley(3)}, MethodError),
        ({"mechanism": "capped"}, MethodError),
        ({"expected_rows": 0}, MethodError),
        ({"expected_rows": True}, MethodError),
        ({"expected_rows": 2.5}, MethodError),
        ({"expected_rows": 10**10}, MethodError),
        ({"classes": [0]}, InputError),
        ({"classes": ["a", "b"]}, DataError),
    ],
    ids=repr,
)
def test_what_cannot_be_planned(wrong: dict[str, Any], error: Any) -> None:
    with pytest.raises(error):
        plan_release(clouds(6), **{**COMMON, "spend": None, **wrong})


def test_labels_that_are_no_classes() -> None:
    """Validation labels are public, so what is wrong with them is told."""
    with pytest.raises(MethodError, match="no classes"):
        plan_release(Points([[1.0], [2.0]], [0.5, 1.0]), spend=None, **COMMON)
    whole = plan_release(Points([[1.0], [2.0]], [0.0, 1.0]), spend=None, **COMMON)
    assert whole.judged.classes.tolist() == [0.0, 1.0]


def test_an_owner_needs_more_noise_than_a_row() -> None:
    row, owner = (
        plan_release(clouds(4), spend=SPEND, mechanism=CappedLinks(1), expected_rows=9, unit=unit, **COMMON).sigma
        for unit in (Row(), Owner(3))
    )
    assert owner >= 2.9 * row
