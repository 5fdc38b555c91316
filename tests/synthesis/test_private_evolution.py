"""Private rows speak through noisy votes alone, votes are exact before the noise, and nothing is released twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataworth.errors import DataError, MethodError
from dataworth.privacy.accounting import satisfies, spent_epsilon
from dataworth.privacy.audit import bound_epsilon
from dataworth.privacy.kinds import DisjointCounts, Event, Histograms
from dataworth.privacy.mechanisms import SIGMA_STEPS, InsecureSource, NoisyCounts, SecureSource
from dataworth.records import Budget, Owner, Row, Table
from dataworth.records.privacy import Relation, Unit
from dataworth.synthesis.candidates import CandidateFunctions, EmbeddingCandidates, Number, TableCandidates, TableDomain
from dataworth.synthesis.private_evolution import PrivateEvolution
from dataworth.synthesis.protocol import Synthesizer

GRID = np.arange(12, dtype=np.float32)[:, None]


class Scripted:
    """Answers with what a script says, and remembers what it was given; stops where it is told to."""

    private = False

    def __init__(self, script: Callable[[int, NDArray[np.int64]], NDArray[np.int64]], stop: int = -1) -> None:
        self.script, self.stop = script, stop
        self.clean: list[NDArray[np.int64]] = []
        self.asked: list[tuple[str, Fraction]] = []

    def _answer(self, kind: str, counts: NDArray[Any], scale: Fraction) -> NoisyCounts:
        if len(self.clean) == self.stop:
            raise KeyboardInterrupt
        self.clean.append(np.array(counts))
        self.asked.append((kind, scale))
        return NoisyCounts(self.script(len(self.clean) - 1, counts), scale, private=False)

    def add_noise(self, counts: NDArray[np.integer[Any]], sigma: Fraction) -> NoisyCounts:
        return self._answer("gaussian", counts, sigma)

    def add_laplace(self, counts: NDArray[np.integer[Any]], scale: Fraction) -> NoisyCounts:
        return self._answer("laplace", counts, scale)

    def draw_bits(self, number: int, probability: Fraction) -> NDArray[np.bool_]:
        raise AssertionError("no bits are drawn here")


def exact() -> Scripted:
    return Scripted(lambda _, counts: np.array(counts))


def scripted_noise(first: int = 0, stop: int = -1) -> Scripted:
    """Noise that depends on the number of the call alone, counted from ``first``."""

    def script(call: int, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        return counts + np.random.default_rng(first + call).integers(-4, 5, size=counts.shape)

    return Scripted(script, stop)


def grid(still: bool = True) -> CandidateFunctions:
    """Candidates on a line, that stay where they are or move by one step."""
    return CandidateFunctions(
        random=lambda code, number, rng: np.resize(GRID, (number, 1)),
        variation=lambda x, code, progress, rng: (
            x if still else x + rng.integers(-1, 2, size=x.shape).astype(np.float32)
        ),
        embed=lambda x: np.asarray(x, dtype=np.float64),
        name=f"grid {still}",
    )


def events_of(evolution: PrivateEvolution, sigma: int = 2) -> tuple[Event, ...]:
    counts = (DisjointCounts(Fraction(3)),) if evolution.counted else ()
    return (*counts, Histograms(Fraction(sigma), evolution.votes_a_row, evolution.rounds))


def evolution(**given: Any) -> PrivateEvolution:
    return replace(PrivateEvolution(grid(), rounds=3, population=12, votes=1, size=60, fractions="uniform"), **given)


def private(seed: int = 0, n: int = 40, n_classes: int = 3) -> tuple[NDArray[Any], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 11, size=(n, 1)), rng.integers(n_classes, size=n)


# -- what leaves the private side ------------------------------------------------------------------------------------


@pytest.mark.parametrize("votes", [1, 3])
@pytest.mark.parametrize("lookahead", [0, 2])
def test_clean_votes_sum_to_rows_times_votes_in_every_class_and_round(votes: int, lookahead: int) -> None:
    x, codes = private()
    source, made_by = scripted_noise(), evolution(votes=votes, lookahead=lookahead, candidates=grid(still=False))
    made_by.synthesize(x, codes, 4, events=events_of(made_by), source=source)
    assert [kind for kind, _ in source.asked] == ["gaussian"] * 3
    for clean in source.clean:
        assert clean.shape == (4, 12)
        assert clean.sum(axis=1).tolist() == (votes * np.bincount(codes, minlength=4)).tolist()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(0, 2), st.floats(-1, 12))
def test_a_row_more_adds_one_to_its_votes_and_a_replaced_one_moves_twice_as_many(
    seed: int, votes: int, code: int, place: float
) -> None:
    x, codes = private(seed, n=10)
    made_by = evolution(votes=votes, rounds=1)

    def votes_of(x: NDArray[Any], codes: NDArray[np.int64]) -> NDArray[np.int64]:
        source = exact()
        made_by.synthesize(x, codes, 3, events=events_of(made_by), source=source)
        return source.clean[0]

    with_one = votes_of(np.vstack([x, [[place]]]), np.append(codes, code))
    added = with_one - votes_of(x, codes)
    assert added.min() >= 0
    assert added.max() == 1
    assert added.sum() == added[code].sum() == votes
    changed = with_one - votes_of(np.vstack([x, [[5.0]]]), np.append(codes, 0))
    assert np.square(changed).sum() <= 2 * votes


@pytest.mark.parametrize("size", ["noised", 50])
@pytest.mark.parametrize("select", ["sample", "rank"])
def test_everything_made_is_a_function_of_the_noisy_counts(size: Any, select: Any) -> None:
    """Data sets that share neither rows, size nor classes, and one answer of the source: the same bits come out."""
    made_by = evolution(size=size, fractions="noised", select=select, candidates=grid(still=False), votes=2)

    def script(call: int, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.random.default_rng(call).integers(0, 30, size=counts.shape)

    x = np.full((7, 1), 3.25)
    made = [
        made_by.synthesize(rows, codes, 3, events=events_of(made_by), source=Scripted(script))
        for rows, codes in (private(n=400), (x, np.ones(7, dtype=np.int64)), (x[:0], np.zeros(0, dtype=np.int64)))
    ]
    for other in made[1:]:
        np.testing.assert_array_equal(made[0].x, other.x)
        np.testing.assert_array_equal(made[0].codes, other.codes)
        table, others = made[0].evidence[0], other.evidence[0]
        assert isinstance(table, Table)
        assert isinstance(others, Table)
        assert table.rows() == others.rows()


def test_noise_is_asked_for_as_the_events_say_on_every_bin() -> None:
    made_by = evolution(size="noised", opening=1, fold=2, keep_selected=True)
    source = exact()
    made_by.synthesize(*private(n_classes=2), 5, events=events_of(made_by), source=source)
    assert source.asked == [("laplace", Fraction(3)), *[("gaussian", Fraction(2))] * 3]
    assert [clean.shape for clean in source.clean] == [(5,), (5, 12), (5, 36), (5, 36)]
    assert not source.clean[1][2:].any()


def test_rows_that_cannot_be_embedded_cast_no_vote() -> None:
    x, codes = private(n=6, n_classes=1)
    x[[1, 4], 0] = np.nan, np.inf
    source, made_by = exact(), evolution(rounds=1)
    made_by.synthesize(x, codes, 1, events=events_of(made_by), source=source)
    assert source.clean[0].sum() == 4


# -- the account -----------------------------------------------------------------------------------------------------

UNITS: list[tuple[Unit, Relation]] = [
    (Row(), "add_or_remove"), (Row(), "replace"), (Owner(3), "add_or_remove"), (Owner(3), "replace"),
]  # fmt: skip


@cache
def calibrated(made_by: PrivateEvolution, unit: Unit, relation: Relation) -> tuple[Event, ...]:
    return made_by.events(Budget(4, 1e-5), unit=unit, relation=relation)


@pytest.mark.parametrize(("unit", "relation"), UNITS)
def test_events_fit_the_budget_and_hardly_anything_is_left(unit: Unit, relation: Relation) -> None:
    made_by = evolution(size="noised", votes=4)
    counts, votes = calibrated(made_by, unit, relation)
    assert isinstance(counts, DisjointCounts)
    assert isinstance(votes, Histograms)
    moved = unit.rows * (2 if relation == "replace" else 1)
    assert abs(float(counts.scale) - moved / (4 * 0.05)) < 1e-3
    assert (votes.votes, votes.rounds) == (4, 3)
    assert satisfies([counts, votes], Budget(4, 1e-5), unit=unit, relation=relation)
    less = replace(votes, sigma=votes.sigma - Fraction(1, SIGMA_STEPS))
    assert not satisfies([counts, less], Budget(4, 1e-5), unit=unit, relation=relation)


def test_without_noisy_counts_all_goes_to_the_votes() -> None:
    made_by = evolution(rounds=20)
    (votes,) = made_by.events(Budget(4, 1e-5), unit=Row(), relation="add_or_remove")
    assert isinstance(votes, Histograms)
    assert abs(float(votes.sigma) / (1.0814 * 20**0.5) - 1) < 0.01
    assert isinstance(made_by, Synthesizer)


@pytest.mark.parametrize(("population", "votes"), [(1000, 40), (60, 2), (25, 1), (3, 1)])
def test_unless_said_otherwise_a_row_votes_for_a_25th(population: int, votes: int) -> None:
    made_by = PrivateEvolution(grid(), population=population)
    assert made_by.votes_a_row == votes
    assert f"{votes} vote" in made_by.describe()


@pytest.mark.parametrize(("rounds", "epsilon"), [(1, 0.497), (2, 0.726), (5, 1.199), (10, 1.760), (20, 2.594)])
def test_published_presets_cost_what_they_cost(rounds: int, epsilon: float) -> None:
    sigma = Fraction(round(5 * 2**0.5 * SIGMA_STEPS), SIGMA_STEPS)
    spent = spent_epsilon([Histograms(sigma, 1, rounds)], 1e-5, unit=Row(), relation="add_or_remove")
    assert abs(spent / epsilon - 1) < 0.01


@pytest.mark.parametrize(
    "events",
    [
        (),
        (Histograms(Fraction(2), 1, 4),),
        (Histograms(Fraction(2), 2, 3),),
        (DisjointCounts(Fraction(2)), Histograms(Fraction(2), 1, 3)),
        (DisjointCounts(Fraction(2)),),
    ],
)
def test_events_of_another_release_are_refused(events: tuple[Event, ...]) -> None:
    with pytest.raises(MethodError, match="events"):
        evolution().synthesize(*private(), 3, events=events, source=exact())


@pytest.mark.slow
def test_neighbouring_data_cannot_be_told_apart_beyond_epsilon() -> None:
    """The likelihood ratio of the first histogram, with and without one row that lies alone; real noise."""
    made_by = evolution(rounds=1, votes=1)
    events = made_by.events(Budget(1, 1e-5), unit=Row(), relation="add_or_remove")
    x, codes = np.zeros((5, 1)), np.zeros(5, dtype=np.int64)
    one_more = np.vstack([x, [[7.0]]]), np.append(codes, 0)

    def draws(x: NDArray[Any], codes: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.array(
            [made_by.evolve(x, codes, 1, events=events, source=SecureSource()).votes[0][0, 7] for _ in range(2000)],
            float,
        )

    assert bound_epsilon(draws(x, codes), draws(*one_more), delta=1e-5, confidence=0.999999).epsilon <= 1


# -- what is made ----------------------------------------------------------------------------------------------------


def test_without_noise_the_rows_are_those_that_were_voted_for_in_proportion() -> None:
    x = np.repeat([[2.0], [5.0], [9.0]], [50, 30, 20], axis=0)
    made_by = evolution(size=100, threshold=0.0, final="selected")
    made = made_by.synthesize(x, np.zeros(100, dtype=np.int64), 1, events=events_of(made_by), source=exact())
    values, times = np.unique(made.x, return_counts=True)
    assert values.tolist() == [2, 5, 9]
    np.testing.assert_allclose(times, [50, 30, 20], atol=1)


def test_by_rank_the_modes_stay() -> None:
    x = np.repeat([[2.0], [5.0], [9.0]], [50, 30, 20], axis=0)
    made_by = evolution(
        population=3, rounds=4, size=50, threshold=0.0, select="rank", keep_selected=True, fold=3, final="selected"
    )
    made = made_by.evolve(x, np.zeros(100, dtype=np.int64), 1, events=events_of(made_by), source=exact())
    assert set(np.unique(made.x).tolist()) == {2, 5, 9}
    assert [counts.shape for counts in made.votes] == [(1, 12)] * 4


def test_an_empty_class_and_one_where_nothing_passes_the_threshold_are_made_all_the_same() -> None:
    made_by = evolution(threshold=1000.0, fractions=(1, 1, 2))
    made = made_by.synthesize(*private(n_classes=2), 3, events=events_of(made_by), source=scripted_noise())
    assert np.bincount(made.codes).tolist() == [15, 15, 30]
    for code in range(3):  # nobody is preferred, and so everybody serves
        assert np.unique(made.x[made.codes == code]).size == 12


def test_noisy_counts_say_how_many_rows_and_leave_out_classes_that_may_be_empty() -> None:
    x, codes = private(n=200, n_classes=3)
    codes[codes == 1] = 0
    made_by = evolution(size="noised", fractions="noised")
    made = made_by.synthesize(x, codes, 3, events=events_of(made_by), source=exact())
    assert np.bincount(made.codes, minlength=3).tolist() == np.bincount(codes, minlength=3).tolist()
    noisy = Scripted(lambda call, counts: np.array([120, 5, 40]) if call == 0 else counts)
    made = made_by.synthesize(x, codes, 3, events=events_of(made_by), source=noisy)
    assert np.bincount(made.codes, minlength=3).tolist() == [120, 0, 40]  # 5 rows are no more than noise of scale 3
    even = replace(made_by, fractions="uniform")
    noisy = Scripted(lambda call, counts: np.array([120, 5, 40]) if call == 0 else counts)
    made = even.synthesize(x, codes, 3, events=events_of(even), source=noisy)
    assert np.bincount(made.codes, minlength=3).tolist() == [54, 53, 53]


@pytest.mark.parametrize("sizes", [[-3, -9], [0, 0], [1, 2]])
def test_where_no_class_seems_to_have_rows_one_is_made(sizes: list[int]) -> None:
    made_by = evolution(size="noised", fractions="noised")
    source = Scripted(lambda call, counts: np.array(sizes) if call == 0 else counts)
    made = made_by.synthesize(
        np.zeros((0, 1)), np.zeros(0, dtype=np.int64), 2, events=events_of(made_by), source=source
    )
    assert made.codes.tolist() == [int(np.argmax(sizes))] * max(*sizes, 1)


def test_one_row_of_one_class() -> None:
    made_by = evolution(size="noised", threshold=0.0, final="selected")
    made = made_by.synthesize(np.array([[4.2]]), np.array([0]), 1, events=events_of(made_by), source=exact())
    assert made.x.tolist() == [[4.0]]
    assert made.x.dtype == np.float32


def test_another_seed_makes_other_rows_and_the_same_seed_the_same() -> None:
    made_by = evolution(candidates=TableCandidates(TableDomain((Number(0, 11),))))
    one, again, other = (
        made_by.synthesize(*private(), 3, events=events_of(made_by), source=InsecureSource(1), seed=seed).x
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_texts_evolve_by_functions_of_your_own() -> None:
    words = np.array(["fever", "cough", "rash", "headache"])
    said = CandidateFunctions(
        random=lambda code, number, rng: rng.choice(words, number).astype(object),
        variation=lambda x, code, progress, rng: np.where(rng.random(len(x)) < 0.2, rng.choice(words, len(x)), x),
        embed=lambda x: (np.asarray(x)[:, None] == words).astype(float),
        name="words",
    )
    made_by = evolution(candidates=said, population=8, final="selected", size=30, threshold=0.5)
    x = np.array(["rash"] * 60 + ["cough"] * 60, dtype=object)
    codes = np.repeat([0, 1], 60)
    made = made_by.evolve(x, codes, 2, events=events_of(made_by), source=InsecureSource(3))
    assert made.x.dtype.kind == "U"
    assert (made.x == np.array(["rash", "cough"])[made.codes]).mean() > 0.9
    with pytest.raises(DataError, match="call evolve instead"):
        made_by.synthesize(x, codes, 2, events=events_of(made_by), source=InsecureSource(3))


def test_tables_by_the_published_preset() -> None:
    rng = np.random.default_rng(1)
    x = np.column_stack([rng.normal(0.3, 0.03, 2000), rng.normal(0.8, 0.03, 2000)])
    made_by = replace(
        PrivateEvolution.tabular(TableDomain((Number(0, 1), Number(0, 1))), rounds=8, population=50), size=400
    )
    assert [made_by.bins(round_) for round_ in range(8)] == [50] * 5 + [200] * 3
    made_by = replace(made_by, fractions="uniform")
    made = made_by.synthesize(x, np.zeros(2000, dtype=np.int64), 1, events=events_of(made_by), source=InsecureSource(0))
    np.testing.assert_allclose(made.x.mean(axis=0), [0.3, 0.8], atol=0.03)


def test_the_evidence_is_of_released_figures() -> None:
    made_by = evolution(threshold=1.0)
    made = made_by.evolve(*private(n=120), 3, events=events_of(made_by), source=InsecureSource(0))
    (table,) = made.evidence
    assert isinstance(table, Table)
    assert table.columns["mean votes"] == tuple(float(counts.mean()) for counts in made.votes)
    assert table.columns["above the threshold"] == tuple(float((counts > 2).mean()) for counts in made.votes)


# -- a stopped run goes on -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [0, 1, 2, 3])
def test_a_run_stopped_between_rounds_goes_on_to_the_same_bits(stop: int, tmp_path: Path) -> None:
    made_by = evolution(size="noised", fractions="noised", candidates=grid(still=False), votes=2)
    given: dict[str, Any] = {"events": events_of(made_by), "seed": 4}
    whole = made_by.synthesize(*private(), 3, source=scripted_noise(), **given)
    with pytest.raises(KeyboardInterrupt):
        made_by.synthesize(*private(), 3, source=scripted_noise(stop=stop), folder=tmp_path, **given)
    rest = scripted_noise(first=stop)
    made = made_by.synthesize(*private(), 3, source=rest, folder=tmp_path, **given)
    assert len(rest.clean) == 4 - stop
    np.testing.assert_array_equal(made.x, whole.x)
    np.testing.assert_array_equal(made.codes, whole.codes)


def test_a_finished_run_asks_for_nothing_more(tmp_path: Path) -> None:
    made_by = evolution(candidates=EmbeddingCandidates(np.random.default_rng(0).normal(size=(50, 1))), size="noised")
    given: dict[str, Any] = {"events": events_of(made_by), "folder": tmp_path}
    first = made_by.synthesize(*private(), 3, source=InsecureSource(1), **given)
    nothing = scripted_noise(stop=0)
    again = made_by.synthesize(*private(seed=9, n=5), 3, source=nothing, **given)
    np.testing.assert_array_equal(first.x, again.x)


def test_texts_are_kept_too(tmp_path: Path) -> None:
    said = CandidateFunctions(
        random=lambda code, number, rng: np.array([f"word {i}" for i in range(number)]),
        variation=lambda x, code, progress, rng: np.array([f"{text}!" for text in x]),
        embed=lambda x: np.array([[float(len(text))] for text in x]),
        name="longer and longer",
    )
    made_by = evolution(candidates=said)
    x, codes = np.array(["word 1!!", "word 2"]), np.zeros(2, dtype=np.int64)
    given: dict[str, Any] = {"events": events_of(made_by), "folder": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        made_by.evolve(x, codes, 1, source=scripted_noise(stop=2), **given)
    made = made_by.evolve(x, codes, 1, source=scripted_noise(first=2), **given)
    assert {text[-3:] for text in made.x.tolist()} == {"!!!"}


def test_python_objects_evolve_but_are_not_kept(tmp_path: Path) -> None:
    odd = CandidateFunctions(
        random=lambda code, number, rng: np.array([Fraction(i) for i in range(number)], dtype=object),
        variation=lambda x, code, progress, rng: x,
        embed=lambda x: np.array([[float(one)] for one in x]),
        name="fractions",
    )
    made_by = evolution(candidates=odd)
    x, codes = np.array([Fraction(7, 2)], dtype=object), np.zeros(1, dtype=np.int64)
    assert made_by.evolve(x, codes, 1, events=events_of(made_by), source=exact()).x.dtype == object
    with pytest.raises(DataError, match="cannot be kept in a folder"):
        made_by.evolve(x, codes, 1, events=events_of(made_by), source=exact(), folder=tmp_path)


@pytest.mark.parametrize("other", ["seed", "parameters", "events", "classes", "source"])
def test_what_another_release_left_is_not_taken(other: str, tmp_path: Path) -> None:
    made_by = evolution()
    made_by.synthesize(*private(), 3, events=events_of(made_by), source=exact(), folder=tmp_path)
    again = evolution(population=13) if other == "parameters" else made_by
    with pytest.raises(DataError, match="a release with other parameters"):
        again.synthesize(
            *private(),
            4 if other == "classes" else 3,
            events=events_of(again, sigma=3 if other == "events" else 2),
            source=SecureSource() if other == "source" else exact(),
            seed=1 if other == "seed" else 0,
            folder=tmp_path,
        )


def test_a_damaged_or_misplaced_round_is_refused(tmp_path: Path) -> None:
    made_by = evolution()
    made_by.synthesize(*private(), 3, events=events_of(made_by), source=exact(), folder=tmp_path)
    second = tmp_path / "round-002.npz"
    held = second.read_bytes()
    second.write_bytes(held[:200])
    with pytest.raises(DataError, match="or a damaged one"):
        made_by.synthesize(*private(), 3, events=events_of(made_by), source=exact(), folder=tmp_path)
    second.write_bytes((tmp_path / "round-001.npz").read_bytes())
    with pytest.raises(DataError, match="a release with other"):
        made_by.synthesize(*private(), 3, events=events_of(made_by), source=exact(), folder=tmp_path)


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rounds": 0}, "rounds must be a whole number from 1"),
        ({"population": True}, "population must be a whole number"),
        ({"votes": 13}, "cannot vote for 13 of 12"),
        ({"votes": 13, "fold": 3, "opening": 1}, "cannot vote for 13 of 12"),
        ({"size": 0}, "size must be a whole number"),
        ({"size": "all"}, "size must be a whole number"),
        ({"fractions": "equal"}, "fractions must be 'noised', 'uniform' or numbers"),
        ({"fractions": (0.0, 0.0)}, "not all 0"),
        ({"fractions": (-1.0, 2.0)}, "not all 0"),
        ({"select": "best"}, "select must be one of sample, rank"),
        ({"final": "all"}, "final must be one of"),
        ({"threshold": -1.0}, "threshold must be 0 or more"),
        ({"threshold": float("nan")}, "threshold must be 0 or more"),
        ({"counting": 0.0}, "counting is a share of epsilon"),
        ({"fold": 0}, "no candidate would be left"),
        ({"lookahead": -1}, "lookahead must be a whole number from 0"),
        ({"candidates": "images"}, "str has not"),
    ],
)
def test_parameters_that_make_no_sense(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        evolution(**wrong)


def broken(**parts: Any) -> CandidateFunctions:
    return replace(grid(), **parts)


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        (
            broken(random=lambda c, n, r: GRID[:3]),
            r"12 candidates were asked for; random gave an array of shape \(3, 1\)",
        ),
        (broken(variation=lambda x, c, p, r: x[:3]), r"it must be the same"),
        (broken(embed=lambda x: x[:, 0]), "embed must give a row of numbers for each"),
        (broken(embed=lambda x: x * np.nan), "not finite"),
        (broken(embed=lambda x: np.hstack([x] * (2 if len(x) == 40 else 1))), "candidates in 1"),
    ],
)
def test_candidates_of_unfit_shapes(candidates: CandidateFunctions, message: str) -> None:
    made_by = evolution(candidates=candidates)
    x, _ = private()
    with pytest.raises(DataError, match=message):
        made_by.synthesize(x, np.zeros(40, dtype=np.int64), 1, events=events_of(made_by), source=exact())


def test_labels_and_fractions_that_do_not_fit() -> None:
    made_by = evolution()
    x, codes = private()
    for wrong in (codes[:-1], codes + 1, codes - 1, codes.astype(float)):
        with pytest.raises(DataError, match="label"):
            made_by.synthesize(x, wrong, 3, events=events_of(made_by), source=exact())
    two = evolution(fractions=(1.0, 1.0))
    with pytest.raises(MethodError, match="2 fractions were declared for 3 classes"):
        two.synthesize(x, codes, 3, events=events_of(two), source=exact())
    for seed in (-1, 0.5):
        with pytest.raises(MethodError, match="seed must be a whole number"):
            made_by.synthesize(x, codes, 3, events=events_of(made_by), source=exact(), seed=seed)  # type: ignore[arg-type]


def test_no_message_quotes_a_private_row() -> None:
    made_by = evolution()
    canary = 8675.309
    with pytest.raises(DataError) as told:
        made_by.synthesize(np.full((5, 1), canary), np.full(5, 7), 3, events=events_of(made_by), source=exact())
    assert "8675" not in str(told.value)
    assert "7" not in str(told.value)


def test_it_describes_itself_on_one_line_by_everything_that_matters() -> None:
    told = {
        evolution(**given).describe()
        for given in (
            {}, {"rounds": 4}, {"population": 13}, {"size": 61}, {"size": "noised"}, {"fractions": (1, 2)},
            {"threshold": 2.0}, {"select": "rank"}, {"votes": 2}, {"lookahead": 1}, {"keep_selected": True},
            {"fold": 2}, {"opening": 1}, {"final": "selected"}, {"candidates": grid(still=False)},
        )
    }  # fmt: skip
    assert len(told) == 15
    assert not any("\n" in text for text in told)
