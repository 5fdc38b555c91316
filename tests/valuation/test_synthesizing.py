"""The provider's side: what leaves is a function of noisy counts, and is charged exactly once."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataworth.errors import BudgetExceeded, DataError, InputError, LedgerError, MethodError, MissingExtra, WeakDelta
from dataworth.privacy.accounting import satisfies
from dataworth.privacy.events import events_from_json
from dataworth.privacy.kinds import DisjointCounts, Histograms
from dataworth.privacy.ledger import Ledger, steps
from dataworth.records import Budget, Owner, Points, Row, Table
from dataworth.synthesis.protocol import Synthesizer
from dataworth.valuation import release_request, synthesizing
from dataworth.valuation.packages import write_package
from dataworth.valuation.synthesizing import self_check, synthesize
from tests.valuation.provider_problems import CLASSES, SPEND, Fixed, Grid, killed, new_ledger, rows

pytest.importorskip("opendp")
pytest.importorskip("dp_accounting")
pytest.importorskip("sqlalchemy")

ASK: dict[str, Any] = {
    "provider": "clinic",
    "classes": CLASSES,
    "synthesizer": Grid(),
    "spend": SPEND,
    "progress": False,
}
SEEDED: dict[str, Any] = {"ledger": None, "insecure_seed": 7}
CANARY = 12345.678


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return new_ledger(tmp_path / "ledger.db")


def spent(ledger: Ledger) -> int:
    return len(ledger.history())


# -- what is in a package --------------------------------------------------------------------------


def test_a_package_says_what_it_costs(ledger: Ledger) -> None:
    assert isinstance(Grid(), Synthesizer)
    package = synthesize(rows(300), ledger=ledger, **ASK)
    assert package.guarantee.budget == SPEND
    assert (package.guarantee.private, package.guarantee.joint) == (True, False)
    assert (package.guarantee.unit, package.guarantee.relation) == (ledger.unit, ledger.relation)
    assert package.points is not None
    assert len(package.points) == Grid().size
    assert package.points.features == ("age", "dose")
    assert (package.fidelity, package.synthesizer) == (None, Grid().describe())
    assert set(package.provenance) == {"dataworth", "made", "seed"}
    assert str(ledger.remaining) == "epsilon = 6, delta = 0.00099"


@pytest.mark.parametrize(
    ("unit", "relation", "share"),
    [
        (Row(), "add_or_remove", None), (Row(), "add_or_remove", "0.1"), (Row(), "replace", 3),
        (Owner(3), "add_or_remove", None), (Owner(3), "replace", None),
    ],
)  # fmt: skip
def test_everything_together_stays_within_what_is_spent(tmp_path: Path, unit: Any, relation: Any, share: Any) -> None:
    ledger = Ledger.create(
        tmp_path / "l.db", budget=Budget(4, "1e-5"), unit=unit, population="patients", relation=relation
    )
    points = rows(200)
    points = Points(points.x, points.y, owners=np.arange(200) // 4)
    package = synthesize(points, ledger=ledger, fidelity="own", fidelity_epsilon=share, **ASK)
    events = events_from_json(package.events)
    assert [type(event) for event in events] == [Histograms, DisjointCounts]
    assert satisfies(events, SPEND, unit=unit, relation=relation)
    assert package.fidelity is not None
    own = package.fidelity.guarantee
    assert float(own.budget.epsilon) == float(share or 0.25)
    assert package.fidelity.scale == events[1].scale  # type: ignore[union-attr]
    least = unit.rows * (2 if relation == "replace" else 1) / Fraction(own.budget.epsilon)
    assert least <= package.fidelity.scale < least + Fraction(1, 2**13)
    assert str(ledger.remaining).startswith("epsilon = 0,")
    with pytest.raises(BudgetExceeded):
        synthesize(points, ledger=ledger, **ASK)


def test_without_a_ledger_it_is_stamped() -> None:
    package = synthesize(rows(100), fidelity="own", **SEEDED, **ASK)
    assert not package.guarantee.private
    assert package.fidelity is not None
    assert not package.fidelity.guarantee.private
    assert "NOT PRIVATE" in repr(package)
    with pytest.raises(InputError, match="insecure_seed"):
        synthesize(rows(100), ledger=None, **ASK)


def test_a_seed_and_a_ledger_do_not_go_together(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="seeded"):
        synthesize(rows(100), ledger=ledger, insecure_seed=1, **ASK)


def test_figures_against_public_rows() -> None:
    package = synthesize(rows(2000), public=rows(500, seed=9), **SEEDED, **ASK)
    (table,) = package.evidence
    assert isinstance(table, Table)
    figures = dict(zip(*table.columns.values(), strict=True))
    assert figures["public rows"] == 500
    assert figures["accuracy on public rows of a model trained on synthetic ones"] > 0.8


def test_own_counts_tell_good_labels_from_bad() -> None:
    rates = []
    for wrong in (0.0, 0.4):
        package = synthesize(rows(3000, wrong=wrong), fidelity="own", **SEEDED, **ASK)
        assert package.fidelity is not None
        rates.append(package.fidelity.rate)
        assert abs(package.fidelity.size - 3000) < 100
    assert rates[0] > 0.9
    assert 0.5 < rates[1] < 0.7


def test_images_come_with_a_sheet() -> None:
    package = synthesize(rows(100, names=None), image_shape=(2, 1), **SEEDED, **ASK)
    assert [piece.name for piece in package.evidence] == ["synthetic-samples"]
    assert package.image_shape == (2, 1)


# -- nothing of the private rows but noisy counts ----------------------------------------------------


def others(n: int, seed: int) -> Points:
    """Rows with everything that must not leave: wild values, ids, owners, an unusual number of them."""
    made = rows(n, seed)
    x = np.array(made.x)
    x[0] = CANARY, -CANARY
    names = [f"secret-{seed}-{i}" for i in range(n)]
    return Points(x, made.y, ids=names, owners=[f"owner-{name}" for name in names], features=made.features)


@given(n=st.integers(1, 60), seed=st.integers(0, 1000), own=st.booleans())
@settings(max_examples=15)
def test_with_the_same_noisy_counts_the_bytes_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, n: int, seed: int, own: bool
) -> None:
    """Whatever the rows are, their number included: only what the source answers matters."""
    folder = tmp_path_factory.mktemp("bytes")
    written = []
    for number, points in enumerate((rows(300), others(n, seed))):
        with pytest.MonkeyPatch.context() as patch:
            source = Fixed()
            patch.setattr(release_request, "random_source", lambda _, source=source: source)
            package = synthesize(
                points, fidelity="own" if own else None, public=rows(40, seed=5), folder=folder / str(number), **SEEDED,
                **ASK,
            )  # fmt: skip
        assert len(source.seen) == 1 + own
        assert source.seen[0].sum() == len(points)  # it was looked at
        written.append(write_package(package, folder / f"{number}.package").read_bytes())
        assert (folder / str(number) / synthesizing.FINISHED).read_bytes() == written[-1]
    assert written[0] == written[1]


def test_no_canary_leaves(tmp_path: Path, ledger: Ledger) -> None:
    points = others(7919, 3)
    package = synthesize(points, fidelity="own", ledger=ledger, folder=tmp_path / "work", public=rows(40), **ASK)
    raw = write_package(package, tmp_path / "clinic.package").read_bytes()
    counts = np.unique(points.y, return_counts=True)[1].tolist()
    for word in (b"12345", b"secret-", b"owner-", b"7919", *(str(count).encode() for count in counts)):
        assert word not in raw, word
    for number in (CANARY, -CANARY):
        for dtype in (np.float32, np.float64):
            assert np.array(number, dtype=dtype).tobytes() not in raw
    payload = ledger.stored(1).payload
    assert b"secret" not in payload
    assert b"7919" not in payload


@pytest.mark.parametrize("most", [1, 2, 5])
def test_an_owner_counts_at_most_so_often(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """And which rows stay is the owner's own affair: those with the lowest ids."""
    source = Fixed()
    monkeypatch.setattr(release_request, "random_source", lambda _: source)
    x = np.repeat(np.arange(4) / 4 + 0.1, 10)
    owners = np.array(["ann"] * 30 + ["bob"] * 9 + ["cy"])
    points = Points(np.stack([x, x], axis=1), ["ill"] * 40, ids=np.arange(40)[::-1], owners=owners)
    package = synthesize(points, unit=Owner(most), fidelity="own", **SEEDED, **ASK)
    assert package.guarantee.unit == Owner(most)
    first, second = source.seen
    assert first.sum() == second.sum() == 2 * most + 1
    # The lowest ids of ann are rows 29, 28, ..., which are in the third cell; all of bob's are in the fourth.
    assert first.reshape(2, 4, 4)[0].diagonal().tolist() == [0, 0, most, most + 1]


def test_an_owner_unit_needs_owners() -> None:
    with pytest.raises(InputError, match="no owners"):
        synthesize(rows(10), unit=Owner(2), **SEEDED, **ASK)


def test_one_rows_number_type_does_not_change_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Looks(Grid):
        def synthesize(self, x: Any, *given: Any, **named: Any) -> Any:
            seen.append(x.dtype)
            return super().synthesize(x, *given, **named)

    for dtype in (np.float32, np.float64, np.int64):
        synthesize(Points(np.ones((5, 2), dtype=dtype), ["ill"] * 5), **SEEDED, **{**ASK, "synthesizer": Looks()})
    assert set(seen) == {np.dtype(np.float32)}


# -- charged once, whatever happens ------------------------------------------------------------------


def test_with_a_folder_it_is_charged_once(tmp_path: Path, ledger: Ledger) -> None:
    ask = {**ASK, "fidelity": "own", "ledger": ledger, "folder": tmp_path / "work"}
    first = synthesize(rows(300), **ask)
    again = synthesize(rows(55, seed=8), **ask)  # the data changed meanwhile
    paths = [write_package(package, tmp_path / f"{i}.package").read_bytes() for i, package in enumerate((first, again))]
    assert paths[0] == paths[1]
    assert spent(ledger) == 1


def test_without_a_folder_every_call_is_a_new_spend(ledger: Ledger) -> None:
    for _ in range(2):
        synthesize(rows(300), ledger=ledger, **ASK)
    assert spent(ledger) == 2
    with pytest.raises(InputError, match="goes with a folder"):
        synthesize(rows(300), ledger=ledger, request_key="spring", **ASK)


def in_a_child(work: Callable[[], Any]) -> int:
    """Run something in a process of its own; how it ended."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("when", ["spent", "first half", "second half", "rows kept", "counts kept", "packed"])
def test_a_killed_run_goes_on_and_pays_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Whatever was released before is used again, and nothing is charged or drawn twice."""
    new_ledger(tmp_path / "ledger.db")
    folder = tmp_path / "work"
    ask = {**ASK, "fidelity": "own", "request_key": "spring", "folder": folder}

    def half(number: int) -> None:
        if when == ("first half", "second half")[number]:
            killed()

    def run() -> Any:
        with monkeypatch.context() as patch:
            if when == "spent":
                patch.setattr(steps, "at", lambda step: killed() if step == "spent" else None)
            if when == "rows kept":
                patch.setattr(synthesizing, "_counts", killed)
            if when == "counts kept":
                patch.setattr(synthesizing, "Fidelity", killed)
            if when == "packed":
                patch.setattr(synthesizing, "write_package", killed)
            grid = Grid(halves=2, stop=half)
            return synthesize(rows(300), **{**ask, "ledger": Ledger.open(tmp_path / "ledger.db"), "synthesizer": grid})

    assert in_a_child(run) == 9
    left = {path: path.read_bytes() for path in folder.rglob("*.np*")}
    left |= {path: path.read_bytes() for path in folder.glob("fidelity.json")}
    assert len(left) == {"spent": 0, "first half": 0, "second half": 1, "rows kept": 3}.get(when, 4)
    ledger = Ledger.open(tmp_path / "ledger.db")
    assert spent(ledger) == (0 if when == "spent" else 1)
    grid = Grid(halves=2)
    package = synthesize(rows(300), **{**ask, "ledger": ledger, "synthesizer": grid})
    assert spent(ledger) == 1
    assert ledger.verify().ok
    for path, kept in left.items():
        assert path.read_bytes() == kept
    assert package.fidelity is not None
    counts = json.loads((folder / "fidelity.json").read_text())
    assert (package.fidelity.agree, package.fidelity.disagree) == (counts["agree"], counts["disagree"])
    again = synthesize(rows(300), **{**ask, "ledger": ledger, "synthesizer": grid})
    assert again.points is not None
    assert package.points is not None
    assert np.array_equal(again.points.x, package.points.x)
    assert again.fidelity == package.fidelity


def test_a_run_that_is_resumed_gives_what_it_would_have_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With noise that is known: the stop leaves no trace."""
    written = []
    for name in ("whole", "stopped"):
        monkeypatch.setattr(release_request, "random_source", lambda _: Fixed())
        ask = {**ASK, **SEEDED, "folder": tmp_path / name}
        if name == "stopped":

            def stop(number: int) -> None:
                if number == 1:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                synthesize(rows(300), **{**ask, "synthesizer": Grid(halves=2, stop=stop)})

            class Later(Fixed):
                def __init__(self) -> None:
                    super().__init__()
                    self.seen.append(np.zeros(0, dtype=np.int64))  # one answer was given before

            monkeypatch.setattr(release_request, "random_source", lambda _: Later())
        package = synthesize(rows(300), **{**ask, "synthesizer": Grid(halves=2)})
        written.append(write_package(package, tmp_path / f"{name}.package").read_bytes())
    assert written[0] == written[1]


def test_rows_that_are_kept_are_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A synthesizer need not make the same rows twice; the counts are those of the rows in the package."""
    calls: list[int] = []
    ask = {**ASK, **SEEDED, "fidelity": "own", "folder": tmp_path / "work", "synthesizer": Grid(stop=calls.append)}

    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(synthesizing, "noisy_agreement", stop)
        with pytest.raises(KeyboardInterrupt):
            synthesize(rows(300), **ask)
    synthesize(rows(300), **ask)
    assert calls == [0]


def test_a_lost_folder_is_refused(tmp_path: Path, ledger: Ledger) -> None:
    ask = {**ASK, "ledger": ledger, "request_key": "spring"}
    folder = tmp_path / "work"
    synthesize(rows(300), folder=folder, **ask)
    with pytest.raises(LedgerError, match=r"charged before.*charged anew"):
        synthesize(rows(300), folder=tmp_path / "other", **ask)
    shutil.rmtree(folder)
    for _ in range(2):  # nor the second time, when the folder is there again
        with pytest.raises(LedgerError, match=r"charged before.*charged anew"):
            synthesize(rows(300), folder=folder, **ask)
    assert spent(ledger) == 1
    synthesize(rows(300), folder=folder, **{**ask, "request_key": "summer"})
    assert spent(ledger) == 2


def test_a_folder_made_to_look_like_it_is_refused(tmp_path: Path, ledger: Ledger) -> None:
    """The ledger knows a token of the folder that it was charged for."""
    ask = {**ASK, "request_key": "spring"}
    synthesize(rows(300), ledger=ledger, folder=tmp_path / "one", **ask)
    other = new_ledger(tmp_path / "other.db")
    synthesize(rows(300), ledger=other, folder=tmp_path / "two", **ask)
    with pytest.raises(LedgerError, match="charged before"):
        synthesize(rows(300), ledger=ledger, folder=tmp_path / "two", **ask)


def test_released_results_need_the_ledger_that_paid(tmp_path: Path, ledger: Ledger) -> None:
    ask = {**ASK, "request_key": "spring", "folder": tmp_path / "work"}
    synthesize(rows(300), ledger=ledger, **ask)
    with pytest.raises(LedgerError, match="never charged"):
        synthesize(rows(300), ledger=new_ledger(tmp_path / "other.db"), **ask)


@pytest.mark.parametrize(
    "other",
    [
        {"provider": "other"}, {"classes": ["ill", "well", "dead"]}, {"spend": Budget(1, "1e-5")}, {"seed": 4},
        {"synthesizer": Grid(cells=5)}, {"fidelity": "own"}, {"image_shape": (2, 1)}, {"request_key": "summer"},
    ],
    ids=str,
)  # fmt: skip
def test_a_folder_is_for_one_request(tmp_path: Path, ledger: Ledger, other: dict[str, Any]) -> None:
    ask = {**ASK, "request_key": "spring", "ledger": ledger, "folder": tmp_path / "work"}
    synthesize(rows(300), **ask)
    with pytest.raises(InputError, match="request"):
        synthesize(rows(300), **{**ask, **other})
    with pytest.raises(InputError, match="request"):
        synthesize(rows(300, names=("age", "height")), **ask)
    assert spent(ledger) == 1


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path, ledger: Ledger) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="other things"):
        synthesize(rows(300), ledger=ledger, folder=tmp_path / "work", **ASK)
    with pytest.raises(InputError, match="cannot be made"):
        synthesize(rows(300), ledger=ledger, folder=tmp_path / "work" / "thesis.txt" / "work", **ASK)
    assert spent(ledger) == 0


def test_two_runs_in_one_folder(tmp_path: Path, ledger: Ledger) -> None:
    ask = {**ASK, "ledger": ledger, "folder": tmp_path / "work"}

    def meanwhile(_: int) -> None:
        with pytest.raises(InputError, match="another run"):
            synthesize(rows(300), **ask)

    synthesize(rows(300), **{**ask, "synthesizer": Grid(stop=meanwhile)})
    assert spent(ledger) == 1


def test_what_does_not_fit_computes_nothing(tmp_path: Path) -> None:
    def never(_: int) -> None:
        raise AssertionError("nothing may be computed")

    ledger = new_ledger(tmp_path / "small.db", epsilon="3.9")
    with pytest.raises(BudgetExceeded, match="nothing was spent"):
        synthesize(rows(300), ledger=ledger, folder=tmp_path / "work", **{**ASK, "synthesizer": Grid(stop=never)})
    assert spent(ledger) == 0
    with pytest.raises(BudgetExceeded, match="nothing was spent"):
        synthesize(rows(300), ledger=ledger, **{**ASK, "synthesizer": Grid(stop=never)})


# -- what is refused, before anything is spent -------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": ["ill"]}, "none of the declared classes"),
        ({"classes": [0, 1]}, "text"),
        ({"classes": []}, "classes must be a list"),
        ({"classes": ["ill", "ill", "well"]}, "repeats"),
        ({"provider": ""}, "name"),
        ({"provider": "a\nb"}, "name"),
        ({"synthesizer": None}, "synthesizer"),
        ({"spend": None}, "spend"),
        ({"points": None}, "empty=True"),
        ({"points": [[1.0, 2.0]]}, "Points"),
        ({"image_shape": (3, 3)}, "image of shape"),
        ({"fidelity": "union"}, "'own'"),
        ({"fidelity_epsilon": 1}, "both or neither"),
        ({"fidelity": "own", "fidelity_epsilon": 4}, "nothing would be left"),
        ({"fidelity": "own", "fidelity_epsilon": -1}, "epsilon must be"),
        ({"public": Points([[1.0]], ["ill"])}, "columns"),
        ({"public": rows(5, names=("dose", "age"))}, "column 1"),
        ({"public": Points([[1.0, 2.0]], ["dead"])}, "public labels"),
        ({"points": Points([[1.0, np.nan]], ["ill"], allow_missing=True)}, "NaN"),
        ({"points": Points([[1.0, 1e39]], ["ill"])}, "float32"),
    ],
    ids=range(20),
)
def test_bad_input_spends_nothing(tmp_path: Path, ledger: Ledger, change: dict[str, Any], words: str) -> None:
    given = {**ASK, "points": rows(30), "ledger": ledger, "folder": tmp_path / "work", **change}
    with pytest.raises(InputError, match=words):
        synthesize(given.pop("points"), **given)
    assert spent(ledger) == 0
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("points", [Points([[0.3, 0.3]], ["ill"]), Points([[0.3, 0.3]] * 50, ["ill"] * 50)])
def test_one_row_or_one_class_will_do(points: Points) -> None:
    """Saying that it will not do would tell."""
    package = synthesize(points, fidelity="own", **SEEDED, **ASK)
    assert package.points is not None
    assert len(package.points) == 60


def test_what_is_not_installed_is_told_before_the_charge(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthesizing, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match="private"):
        synthesize(rows(30), ledger=ledger, **ASK)
    assert spent(ledger) == 0


def test_a_synthesizer_that_overspends_is_stopped(ledger: Ledger) -> None:
    class Greedy(Grid):
        def events(self, spend: Budget, **named: Any) -> Any:
            return (Histograms(Fraction(1, 2), 1, 1),)

    with pytest.raises(MethodError, match="cost more"):
        synthesize(rows(30), ledger=ledger, **{**ASK, "synthesizer": Greedy()})
    assert spent(ledger) == 0


@pytest.mark.parametrize("column", ["x", "codes"])
def test_a_synthesizer_that_makes_nonsense_is_told_so(column: str) -> None:
    class Nonsense(Grid):
        def synthesize(self, *given: Any, **named: Any) -> Any:
            made = super().synthesize(*given, **named)
            wrong: dict[str, Any] = {"x": np.full_like(made.x, np.nan), "codes": made.codes + 2}
            return replace(made, **{column: wrong[column]})

    with pytest.raises(MethodError, match="finite numbers"):
        synthesize(rows(30), **SEEDED, **{**ASK, "synthesizer": Nonsense()})


def test_a_weak_delta_is_told_to_the_provider_alone() -> None:
    with pytest.warns(WeakDelta) as told:
        synthesize(rows(500), **SEEDED, **{**ASK, "spend": Budget(4, "0.01")})
    assert "500" not in str(told[0].message)
    assert told[0].filename == __file__


# -- declared empty ----------------------------------------------------------------------------------


def test_a_provider_may_declare_itself_empty(ledger: Ledger) -> None:
    package = synthesize(None, provider="clinic", classes=CLASSES, empty=True)
    assert package.points is None
    assert package.events == ()
    for more in ({"ledger": ledger}, {"spend": SPEND}, {"synthesizer": Grid()}, {"fidelity": "own"}):
        with pytest.raises(InputError, match="makes nothing"):
            synthesize(None, provider="clinic", classes=CLASSES, empty=True, **more)
    with pytest.raises(InputError, match="points were given"):
        synthesize(rows(3), provider="clinic", classes=CLASSES, empty=True)


# -- for the provider's eyes only --------------------------------------------------------------------


def test_the_self_check_is_exact() -> None:
    points = rows(500)
    package = synthesize(points, **SEEDED, **ASK)
    table = self_check(points, package, public=rows(100, seed=3))
    assert "FOR YOUR EYES ONLY" in table.title
    figures = dict(zip(*table.columns.values(), strict=True))
    assert (figures["your rows"], figures["synthetic rows"]) == (500, 60)
    assert figures["your rows of class ill"] == int((points.y == "ill").sum())
    assert 0.7 < figures["accuracy on your rows of a model trained on the synthetic ones"] <= 1
    assert package.points is not None
    apart = np.linalg.norm(package.points.x[:, None] - points.x[None].astype(np.float32), axis=2).min(axis=1)
    assert figures["distance of a synthetic row to your nearest row, smallest"] == pytest.approx(apart.min(), abs=1e-5)
    copies = replace(package, points=Points(points.x, points.y))
    found = dict(zip(*self_check(points, copies).columns.values(), strict=True))
    assert found["distance of a synthetic row to your nearest row, 50 of 100 are below"] == pytest.approx(0, abs=1e-3)
    with pytest.raises(DataError, match="empty"):
        self_check(points, synthesize(None, provider="clinic", classes=CLASSES, empty=True))
