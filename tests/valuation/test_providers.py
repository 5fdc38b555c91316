"""The coordinator's side: what it makes of packages and answers, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataworth.errors import DataError, InputError, MethodError
from dataworth.records import Budget, Exhibit, Fidelity, Guarantee, Owner, Package, Points, Row, Shares, Table
from dataworth.valuation.calibration import Calibration, recalibrate
from dataworth.valuation.coalitions import solve_game
from dataworth.valuation.fidelity import Reply, answer, ask
from dataworth.valuation.games import NeighborAccuracy, RidgeAccuracy
from dataworth.valuation.packages import write_package
from dataworth.valuation.providers import ADDS_UP, SELF_REPORTED, value_providers
from tests.valuation.provider_problems import CLASSES, PROMISE, own_counts, package_of, rows

pytest.importorskip("dp_accounting")
pytest.importorskip("sqlalchemy")

VALIDATION = rows(400, 99)
UNCALIBRATED = Calibration(1, 0, 0)


def value(packages: Any, validation: Points = VALIDATION, **more: Any) -> Shares:
    return value_providers(packages, validation, progress=False, **more)


def some(**noise: float) -> list[Package]:
    return [package_of(name, rows(30, i, wrong)) for i, (name, wrong) in enumerate(noise.items())]


def reply_of(package: Package, packages: list[Package], agree: int = 90, disagree: int = 10, **model: Any) -> Reply:
    recipe = RidgeAccuracy(**model)
    promise = Guarantee(Budget("0.25", "1e-18"), Row(), "add_or_remove", joint=False)
    found = Fidelity(agree, disagree, Fraction(4), promise, ask(packages, model=recipe).digest)
    return Reply(package.provider, found, recipe)


# -- values ----------------------------------------------------------------------------------------


def test_with_real_rows_as_copies_and_no_calibration_values_are_the_true_ones() -> None:
    packages = some(a=0.0, b=0.1, c=0.3)
    shares = value(packages, calibration=UNCALIBRATED)
    game = RidgeAccuracy().game([package.points for package in packages], VALIDATION, CLASSES)
    true = solve_game(game, ("a", "b", "c"), progress=False)
    assert (true.values > 0).all()
    assert shares.values == pytest.approx(true.values, abs=1e-12)
    assert shares.uncalibrated.tolist() == true.values.tolist()
    assert shares.total == pytest.approx(true.full - true.floor)


def test_other_utilities_and_weights() -> None:
    packages = some(a=0.0, b=0.4)
    rule = NeighborAccuracy(0.3, metric="euclidean")
    shares = value(packages, utility=rule, calibration=UNCALIBRATED)
    game = rule.game([package.points for package in packages], VALIDATION, CLASSES)
    assert shares.uncalibrated.tolist() == solve_game(game, ("a", "b"), progress=False).values.tolist()
    assert shares.coalitions.utility == game.describe()


def test_equal_providers_get_equal_shares() -> None:
    packages = [package_of(name, rows(40, 3), **own_counts(30, 10)) for name in "abc"]
    shares = value(packages)
    assert np.ptp(shares.values) < 1e-12
    assert shares.shares == pytest.approx(np.full(3, 1 / 3))


def test_the_same_rows_under_several_names_are_flagged() -> None:
    once = rows(40, 3)
    turned = Points(once.x[::-1], once.y[::-1], features=once.features)
    shares = value([package_of("a", once), package_of("b", turned), package_of("c", rows(40, 4))])
    assert [flag for flag in shares.flags if "the same rows" in flag and "of a, b hold" in flag]
    apart = value([package_of("a", once), package_of("c", rows(40, 4))])
    assert not [flag for flag in apart.flags if "the same rows" in flag]


def test_the_order_of_packages_changes_nothing_but_the_order() -> None:
    packages = some(a=0.0, b=0.2, c=0.4)
    one, other = value(packages), value(packages[::-1])
    assert other.providers == ("c", "b", "a")
    assert one.values == pytest.approx(other.values[::-1], abs=1e-12)


def test_who_declares_itself_empty_gets_exactly_zero() -> None:
    packages = [*some(a=0.0, b=0.1), package_of("nobody", None)]
    shares = value(packages)
    assert shares.values[2] == 0
    assert shares.spent[2] is None
    assert shares.empty == ("nobody",)
    without = value(packages[:2])
    assert shares.values[:2] == pytest.approx(without.values, abs=1e-12)
    with pytest.raises(DataError, match="nothing to divide"):
        value([package_of("nobody", None)])


def test_more_than_twelve_are_sampled() -> None:
    packages = [package_of(f"p{i}", rows(10, i)) for i in range(13)]
    with pytest.raises(MethodError, match="12"):
        value(packages, exact=True)
    shares = value(packages, max_permutations=40)
    assert not shares.coalitions.exact
    assert shares.uncalibrated.sum() == pytest.approx(shares.coalitions.full - shares.coalitions.floor)
    assert any("sampled" in flag for flag in shares.flags)


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    packages = some(a=0.0, b=0.2, c=0.4)
    first = value(packages, folder=tmp_path / "kept")
    again = value(packages, folder=tmp_path / "kept")
    assert first.values.tolist() == again.values.tolist()
    assert any((tmp_path / "kept").iterdir())


def test_paths_will_do(tmp_path: Path) -> None:
    packages = some(a=0.0, b=0.2)
    replies = [reply_of(package, packages) for package in packages]
    paths = [write_package(package, tmp_path / f"{package.provider}.package") for package in packages]
    letters = [reply.save(tmp_path / f"{reply.provider}.json") for reply in replies]
    assert (
        value(paths, answers=[str(path) for path in letters]).values.tolist()
        == value(packages, answers=replies).values.tolist()
    )


# -- fidelity --------------------------------------------------------------------------------------


def test_answers_count_and_are_paid_for() -> None:
    packages = [package_of(name, rows(40, 3)) for name in "ab"]
    replies = [reply_of(packages[0], packages, 95, 5), reply_of(packages[1], packages, 60, 40)]
    shares = value(packages, answers=replies)
    assert shares.fidelity == pytest.approx([0.45, 0.1])
    assert shares.values[0] > shares.values[1]
    for promise in shares.spent:
        assert promise is not None
        assert promise.budget == Budget("4.25", "1e-5")
        assert (promise.private, promise.joint) == (True, False)
    assert SELF_REPORTED in shares.flags
    assert ADDS_UP in shares.flags
    (table,) = [piece for piece in shares.evidence if isinstance(piece, Table) and piece.name == "provider-packages"]
    assert table.columns["epsilon in all"] == (4.25, 4.25)
    assert table.columns["of a model trained on"] == ("all copies", "all copies")
    assert table.columns["noisy agreement"] == (95, 60)


def test_a_missing_answer_is_flagged() -> None:
    packages = some(a=0.0, b=0.1, c=0.1)
    shares = value(packages, answers=[reply_of(package, packages) for package in packages[:2]])
    assert np.isnan(shares.fidelity).tolist() == [False, False, True]
    assert any("no answer" in flag.lower() and "c" in flag for flag in shares.flags)
    nobody = value(packages)
    assert np.isnan(nobody.fidelity).all()
    assert SELF_REPORTED not in nobody.flags


def test_the_counts_in_a_package_stand_in() -> None:
    packages = [package_of("a", rows(40, 3), **own_counts(80, 20)), package_of("b", rows(40, 4))]
    shares = value(packages)
    assert shares.fidelity[0] == pytest.approx(0.3)
    assert shares.spent[0] == PROMISE  # they are in the package's budget already
    mixed = value(packages, answers=[reply_of(packages[1], packages)])
    assert mixed.fidelity == pytest.approx([0.3, 0.4])
    assert any("do not compare with answers" in flag for flag in mixed.flags)
    both = value(packages, answers=[reply_of(package, packages) for package in packages])
    assert both.fidelity == pytest.approx([0.4, 0.4])


def test_the_noise_of_fidelity_is_known() -> None:
    """The standard error is that of a simulation with the same noise."""
    from dataworth.privacy.mechanisms import InsecureSource
    from dataworth.valuation.providers import _error

    source = InsecureSource(3)
    noisy = source.add_laplace(np.tile([600, 200], (20_000, 1)), Fraction(4)).counts
    rates = [Fidelity(int(a), int(d), Fraction(4), PROMISE).rate for a, d in noisy]
    assert _error(Fidelity(600, 200, Fraction(4), PROMISE)) == pytest.approx(np.std(rates), rel=0.03)
    assert _error(Fidelity(-600, -200, Fraction(4), PROMISE)) == 0.5
    assert np.isnan(_error(None))


def test_an_honest_round() -> None:
    """From private rows to shares, with seeded noise: better labels are worth more."""
    private = {name: rows(1500, i, wrong) for i, (name, wrong) in enumerate({"good": 0.0, "bad": 0.45}.items())}
    insecure = replace(PROMISE, private=False)
    packages = [package_of(name, points.take(range(100)), guarantee=insecure) for name, points in private.items()]
    question = ask(packages)
    replies = [
        answer(question, points, provider=name, epsilon="0.25", ledger=None, insecure_seed=i)
        for i, (name, points) in enumerate(private.items())
    ]
    shares = value(packages, answers=replies)
    assert shares.fidelity[0] > 0.4
    assert shares.fidelity[1] < 0.15
    assert shares.values[0] > shares.values[1]
    assert shares.stamp
    assert shares.flags[0].startswith("NOT PRIVATE")


def test_another_calibration_needs_nothing_new() -> None:
    packages = some(a=0.0, b=0.1)
    replies = [reply_of(package, packages) for package in packages]
    shares, other = value(packages, answers=replies), Calibration(0.2, 0.5, 0.3)
    direct = value(packages, answers=replies, calibration=other)
    assert recalibrate(shares, other).values == pytest.approx(direct.values, abs=1e-12)


# -- what is shown ---------------------------------------------------------------------------------


def test_what_packages_show_goes_under_their_names() -> None:
    table = Table("synthetic-quality", "Quality", {"figure": ["x"], "value": [1]})
    sheet = Exhibit("synthetic-samples", "bars", table, x="value", y="figure", alt="bars")
    packages = [package_of(name, rows(9), evidence=(table, sheet)) for name in "ab"]
    shares = value(packages)
    names = {piece.name: piece.title for piece in shares.evidence}
    assert len(names) == len(shares.evidence)
    assert names["synthetic-quality-1"] == "a: Quality"
    assert names["synthetic-samples-2"] == "b: Quality"


def test_shares_can_be_kept_and_drawn(tmp_path: Path) -> None:
    pytest.importorskip("altair")
    from dataworth.report import write_report

    packages = some(a=0.0, b=0.2)
    shares = value(packages, answers=[reply_of(package, packages) for package in packages])
    again = Shares.load(shares.save(tmp_path / "shares.parquet"))
    assert again.flags == shares.flags
    assert again.spent == shares.spent
    write_report([again], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "What each provider handed over" in text


# -- what is refused -------------------------------------------------------------------------------


def test_private_rows_are_not_taken() -> None:
    with pytest.raises(InputError, match="takes packages, not Points"):
        value([rows(30)])
    with pytest.raises(InputError, match="list"):
        value(package_of("a", rows(9)))
    with pytest.raises(InputError, match="Points"):
        value(some(a=0), validation="rows")  # type: ignore[arg-type]


def test_packages_and_validation_must_fit_together() -> None:
    a = package_of("a", rows(9))
    for packages, words in (
        ([a, a], "several of 'a'"),
        ([a, package_of("b", rows(9, names=("dose", "age")))], "column 1"),
        ([a, package_of("b", Points([[1.0]], ["ill"]))], "columns"),
        ([a, package_of("b", rows(9), classes=np.array(["dead", *CLASSES]))], "other classes"),
        ([a, package_of("b", rows(9), image_shape=(1, 2))], "images"),
        ([], "no packages"),
    ):
        with pytest.raises(DataError, match=words):
            value(packages)
    for validation, words in (
        (rows(9, names=("dose", "age")), "column 1"),
        (Points([[1.0]], ["ill"]), "columns"),
        (Points([[1.0, 2.0]], ["dead"]), "validation labels"),
        (Points([[1.0, 2.0]], [1]), "numbers"),
        (Points([[1.0, np.nan]], ["ill"], allow_missing=True), "NaN"),
    ):
        with pytest.raises(DataError, match=words):
            value([a], validation)


def test_a_package_that_declares_too_little_is_refused() -> None:
    cheap = replace(PROMISE, budget=Budget(3, "1e-5"))
    with pytest.raises(DataError, match="cost more"):
        value([package_of("a", rows(9), guarantee=cheap)])
    with pytest.raises(DataError, match="declares no release"):
        value([package_of("a", rows(9), events=())])


def test_answers_must_be_to_these_packages() -> None:
    packages = some(a=0.0, b=0.1)
    good = reply_of(packages[0], packages)
    value(packages, answers=[good])
    changed = [packages[0], package_of("b", rows(30, 77))]
    for given, answers, words in (
        (changed, [good], "another question"),
        (packages[:1], [good], "another question"),
        ([*packages, package_of("c", rows(5))], [good], "another question"),
        (packages, [good, good], "two answers"),
        (packages, [replace(good, provider="c")], "no package"),
        (packages, [replace(good, model=RidgeAccuracy(3))], "another question"),
        (packages, [good, reply_of(packages[1], packages, penalty=3)], "different models"),
        (packages, [replace(good, fidelity=replace(good.fidelity, scale=Fraction(1)))], "takes noise"),
        ([*packages, package_of("c", None)], [replace(good, provider="c")], "declares itself empty"),
    ):
        with pytest.raises(DataError, match=words):
            value(given, answers=answers)
    with pytest.raises(InputError, match="list of answers"):
        value(packages, answers=good)
    with pytest.raises(InputError, match="not int"):
        value(packages, answers=[3])


def test_promises_that_do_not_add_up_are_refused() -> None:
    packages = some(a=0.0, b=0.1)
    good = reply_of(packages[0], packages)
    other = replace(good.fidelity.guarantee, unit=Owner(2))
    strange = replace(good, fidelity=replace(good.fidelity, guarantee=other, scale=Fraction(8)))
    with pytest.raises(DataError, match="do not add up"):
        value(packages, answers=[strange])
    huge = replace(good.fidelity.guarantee, budget=Budget(99, "1e-18"))
    with pytest.raises(DataError, match="promises nothing"):
        value(packages, answers=[replace(good, fidelity=replace(good.fidelity, guarantee=huge))])


def test_promises_that_differ_are_flagged() -> None:
    other = replace(PROMISE, unit=Owner(2))
    shares = value([package_of("a", rows(9)), package_of("b", rows(9, 1), guarantee=other)])
    assert any("do not promise the same" in flag for flag in shares.flags)
