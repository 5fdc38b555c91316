"""What must hold of a private release, as plain functions that raise AssertionError where it does not.

Tests run them on the code as it is; ``test_planted`` runs them on the code with a bug planted, and there they must
fail. Statistical ones fail by chance about once in a million.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import combinations_with_replacement, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, chi2

from dataworth.errors import BudgetExceeded, DataworthError, LedgerError, MethodError
from dataworth.kernels import neighbors
from dataworth.kernels.neighbors import DType, LinkBits
from dataworth.kernels.noisy import clamped, shrunk
from dataworth.kernels.reweighting import Prediction
from dataworth.kernels.threshold import neighbour_value
from dataworth.privacy.audit import noise_fit
from dataworth.privacy.kinds import CappedCounts, RowCount, SubsampledCounts
from dataworth.privacy.ledger import Charge, Ledger, admission
from dataworth.privacy.ledger import ledger as ledger_module
from dataworth.privacy.mechanisms import SIGMA_STEPS, NoisyCounts, SecureSource, Source
from dataworth.records import Budget, Owner, Points, Release, Row
from dataworth.records.privacy import Relation, Unit
from dataworth.valuation import planning, release_rows, releases
from dataworth.valuation.methods import CappedLinks, Mechanism, Subsampled, ThresholdKNNShapley
from dataworth.valuation.planning import Plan
from dataworth.valuation.releases import release_points
from tests import oracles

BY_CHANCE = 1e-6
METHOD = ThresholdKNNShapley(2.0, metric="euclidean")
ADD: Relation = "add_or_remove"
TWO_LINKS = CappedLinks(2)
RELATIONS: tuple[Relation, ...] = ("add_or_remove", "replace")


@cache
def holds(check: Callable[..., None], *given: Any) -> None:
    """Run a check on the code as it is, once in a process: several tests rest on the same one."""
    check(*given)


# -- a source whose answers are known ------------------------------------------------------------------------------


class Scripted:
    """Notes the counts it is given and answers with counts known beforehand, or with those given.

    Args:
        noisy: What to answer, in order; None answers with the counts themselves.
        bits: What every inclusion bit is.
    """

    private = False

    def __init__(self, noisy: Sequence[Any] | None = None, bits: bool = True) -> None:
        self._answers = None if noisy is None else iter(noisy)
        self._bits = bits
        self.seen: list[NDArray[np.int64]] = []
        self.sigmas: list[Fraction] = []

    def add_noise(self, counts: NDArray[Any], sigma: Fraction) -> NoisyCounts:
        self.seen.append(np.array(counts))
        self.sigmas.append(sigma)
        answer = counts if self._answers is None else next(self._answers)
        return NoisyCounts(np.array(answer, dtype=np.int64).reshape(counts.shape), sigma, private=False)

    def add_laplace(self, counts: NDArray[Any], scale: Fraction) -> NoisyCounts:
        return self.add_noise(counts, scale)

    def draw_bits(self, number: int, probability: Fraction) -> NDArray[np.bool_]:
        return np.full(number, self._bits)


class NoiselessBits(Scripted):
    """The operating system's bits, and no noise, so that bits can be seen in the counts."""

    def draw_bits(self, number: int, probability: Fraction) -> NDArray[np.bool_]:
        return SecureSource().draw_bits(number, probability)


def silent_plan(
    validation: Points,
    mechanism: Mechanism,
    *,
    sigma: Fraction = Fraction(0),
    unit: Unit | None = None,
    method: ThresholdKNNShapley = METHOD,
    counted: bool = False,
    expected_rows: int | None = None,
) -> Plan:
    """A plan made without an accountant: its noise is that which is given."""
    made = planning.plan_release(
        validation, method=method, spend=None, mechanism=mechanism, expected_rows=expected_rows, threads=1,
        progress=False, unit=unit,
    )  # fmt: skip
    return replace(made, sigma=sigma, rows_sigma=Fraction(3) if counted else None)


def run(train: Points, plan: Plan, source: Source, *, dtype: DType = "float32", threads: int = 1) -> Release:
    """The release itself, with a source of one's own."""
    return releases._released(train, plan, source, "people", "v1", dtype, threads, False)


def exact_counts(train: Points, plan: Plan) -> NDArray[np.int64]:
    """The counts that noise is added to."""
    source = Scripted()
    run(train, plan, source)
    return source.seen[0]


def link_mask(train: Points, plan: Plan) -> NDArray[np.bool_]:
    """Links of a release, one line a row of the data."""
    ids, owners = release_rows.names_of_rows(train, plan.unit)
    stays = release_rows.rows_that_stay(owners, ids, plan.unit)
    linked = release_rows.link_rows(train.x, train.y, stays, plan.judged, plan.method, plan.mechanism, "float32")
    mask = np.zeros((len(train), len(plan.judged)), dtype=np.bool_)
    if linked.rows is not None and linked.links is not None:
        mask[linked.at[linked.rows.order]] = linked.links.mask().T
    return mask


def public_side(release: Release) -> dict[str, Any]:
    """Everything that a release shows to all."""
    manifest = {name: fact for name, fact in release.manifest().items() if name != "made"}
    return {
        "manifest": manifest,
        "summary": (release.summary().columns, release.summary().note),
        "counts": (release.counts().columns, release.counts().note),
        "words": release.words,
        "repr": repr(release),
        "guarantees": release.guarantees,
        "noisy": release.noisy.tolist(),
        "noisy rows": release.noisy_rows,
        "public": dict(release.public),
    }


def answer_of(release: Release, owner: str | int) -> list[Any]:
    """All that an owner is told."""
    answer = release.for_owner(owner)
    return [
        answer.ids.tolist(), answer.values.tolist(), answer.band.tolist(), answer.vote.tolist(),
        answer.table().columns["proxy"], answer.reasons, answer.guarantees,
    ]  # fmt: skip


# -- sensitivity -----------------------------------------------------------------------------------------------------

# Points that tie, from a row's place, at the cap: equal points, and points left and right of it.
LINE = Points(np.array([[0.0], [1.0], [1.0], [2.0], [6.0]]), [0, 1, 0, 1, 1])
KINDS = list(product([0.0, 1.0, 1.5, 4.5, 20.0, math.nan], [0, 1, 7]))


def points_of(kinds: Sequence[tuple[float, int]], owners: Sequence[str] | None = None) -> Points:
    return Points([[x] for x, _ in kinds], [y for _, y in kinds], owners=owners, allow_missing=True)


def check_sensitivity_of_a_row(mechanism: Mechanism = TWO_LINKS, size: int = 2) -> None:
    """All data sets of so many rows on a grid: one row moves whole counts, few enough, and no other row's links."""
    most = len(LINE) if not isinstance(mechanism, CappedLinks) else mechanism.links or 0
    plan = silent_plan(LINE, mechanism)
    counts: dict[tuple[Any, ...], NDArray[np.int64]] = {}
    links: dict[tuple[float, int], list[bool]] = {}
    for many in range(1, size + 1):
        for data in combinations_with_replacement(KINDS, many):
            rows = points_of(data)
            counts[data] = exact_counts(rows, plan)
            for kind, line in zip(data, link_mask(rows, plan).tolist(), strict=True):
                assert line == links.setdefault(kind, line), "another row changed a row's links"
                assert sum(line) <= most, "a row has more links than the cap"
    counts[()] = np.zeros((len(LINE), 2), dtype=np.int64)
    for data, before in counts.items():
        assert before.dtype == np.int64
        for row in set(data):
            rest = Counter(data) - Counter([row])
            without = counts[tuple(sorted(rest.elements(), key=KINDS.index))]
            moved = before - without
            assert set(moved.ravel().tolist()) <= {0, 1}, "a count moved by more than one"
            assert int((moved**2).sum()) <= most, "adding a row moved more than the cap"
            for other in KINDS:
                changed = tuple(sorted([*rest.elements(), other], key=KINDS.index))
                squared = int(((before - counts[changed]) ** 2).sum())
                assert squared <= 2 * most, "replacing a row moved more than twice the cap"


def check_sensitivity_of_an_owner(allowed: int = 2, links: int = 2) -> None:
    """An owner of up to one row more than allowed, at every place and in every order of ids, beside another owner."""
    plan = silent_plan(LINE, CappedLinks(links), sigma=Fraction(2), unit=Owner(allowed), counted=True)
    beside = [(0.0, 0), (1.5, 1)]

    def seen(mine: Sequence[tuple[float, int]]) -> tuple[NDArray[np.int64], int]:
        source = Scripted()
        run(points_of([*mine, *beside], ["me"] * len(mine) + ["other"] * len(beside)), plan, source)
        return source.seen[0], int(source.seen[1][0])

    without, rows_without = seen([])
    others = [seen(mine)[0] for mine in combinations_with_replacement([(0.0, 1), (4.5, 0)], allowed)]
    for mine in product([(1.0, 0), (1.5, 1), (math.nan, 0), (20.0, 1)], repeat=allowed + 1):
        with_me, rows_with = seen(mine)
        moved = with_me - without
        assert int(np.abs(moved).max()) <= allowed, "an owner moved a count by more rows than allowed"
        assert int((moved**2).sum()) <= allowed**2 * links, "an owner moved more than r sqrt(L)"
        assert 0 <= rows_with - rows_without <= allowed, "an owner moved the number of rows by more than allowed"
        for other in others:
            assert int(((with_me - other) ** 2).sum()) <= 2 * allowed**2 * links


def check_links_ignore_other_rows(seed: int = 0) -> None:
    """Rows at the edge of what floats can tell: added, removed and permuted others leave links as they are."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(60, 5))
    near = random.choice([0, 1e-15, 1e-9, 1e-6, 1e-3, 1.0], size=(40, 1))
    v = x[random.integers(0, 60, 40)] + near * random.normal(size=(40, 5))
    validation = Points(v, np.arange(40) % 3)
    radius = neighbors.pair_distance(x[7], v[0], "euclidean")
    train = Points(x, np.arange(60) % 4)
    for mechanism in (CappedLinks(1), CappedLinks(7), Subsampled(1)):
        plan = silent_plan(validation, mechanism, method=ThresholdKNNShapley(radius, metric="euclidean"))
        whole = link_mask(train, plan)
        shuffle = random.permutation(60)
        assert (link_mask(train.take(shuffle), plan) == whole[shuffle]).all()
        assert (link_mask(train.take(np.arange(9, 31)), plan) == whole[9:31]).all()
        assert (link_mask(train.take([5]), plan) == whole[[5]]).all()
        crowd = Points(np.vstack([x, 1e3 * x, np.full((1, 5), np.nan)]), np.arange(121) % 4, allow_missing=True)
        assert (link_mask(crowd, plan)[:60] == whole).all()


# -- what leaves -----------------------------------------------------------------------------------------------------


def check_only_noisy_counts_leave(mechanism: Mechanism = TWO_LINKS, seed: int = 0) -> None:
    """With the same noisy counts, other people's data change neither an owner's answer nor what all may see."""
    random = np.random.default_rng(seed)
    validation = Points(random.normal(size=(13, 2)), random.integers(0, 3, 13))
    mine = Points(random.normal(size=(4, 2)), random.integers(0, 3, 4))
    plan = silent_plan(validation, mechanism, sigma=Fraction(3), counted=isinstance(mechanism, CappedLinks))
    noisy = random.integers(-3, 30, size=(13, 2))

    def with_others(n: int, before: int) -> Release:
        others = Points(random.normal(size=(n, 2)), random.integers(0, 5, n)) if n else None
        x = mine.x if others is None else np.insert(mine.x, [min(before, 4)] * n, others.x, axis=0)
        y = mine.y if others is None else np.insert(mine.y, [min(before, 4)] * n, others.y)
        theirs = [f"owner {i % 3}" for i in range(n)]
        owners = ["me"] * before + theirs + ["me"] * (4 - before)
        return run(Points(x, y, owners=owners), plan, Scripted([noisy, [17]]))

    one, other, alone = with_others(30, 0), with_others(57, 3), with_others(0, 4)
    assert answer_of(one, "me") == answer_of(other, "me") == answer_of(alone, "me")
    assert public_side(one) == public_side(other) == public_side(alone)
    assert answer_of(one, "nobody") == answer_of(one, "never was") == answer_of(alone, "owner 1")


def check_own_row_is_taken_out_once() -> None:
    """With hardly any noise, an owner's values are those of the game: the others are counted without that row."""
    random = np.random.default_rng(3)
    validation = Points(random.uniform(size=(7, 2)), np.arange(7) % 2)
    train = Points(random.uniform(size=(60, 2)), np.arange(60) % 2)
    for mechanism in (CappedLinks(5), CappedLinks(7), Subsampled(1)):
        plan = silent_plan(validation, mechanism, sigma=Fraction(1, SIGMA_STEPS), expected_rows=60)
        assert exact_counts(train, plan).min() >= 2  # or the floor would show
        released = run(train, plan, Scripted()).bench_values()
        assert np.abs(released - capped_game(train, validation, plan)).max() < 1e-6


def capped_game(train: Points, validation: Points, plan: Plan) -> NDArray[np.float64]:
    """Exact values of the game with capped links, by the slow walk over each point's neighbours."""
    most = plan.mechanism.links if isinstance(plan.mechanism, CappedLinks) and plan.mechanism.links else len(validation)
    metric, radius = plan.method.metric, plan.method.radius
    inside = np.zeros((len(train), len(validation)), dtype=np.bool_)
    for row, line in zip(train.x, inside, strict=True):
        line[oracles.nearest_links(row, validation.x, radius, most, metric)[0]] = True
    classes = len(set(validation.y.tolist()))
    total = np.zeros(len(train))
    for z, label in enumerate(validation.y.tolist()):
        total += oracles.tknn_reference([y == label for y in train.y.tolist()], inside[:, z], classes)
    return total / len(validation)


def check_counts_stay_above_nothing() -> None:
    """Noise far below zero: values as of an empty neighbourhood, or of half a neighbour, never out of their range."""
    validation, train = Points(LINE.x, [0, 1, 2, 1, 1]), points_of([(0.0, 0), (1.0, 1), (1.5, 2)])
    for far in (-3, -(2**40)):
        negative = np.full((len(LINE), 2), far)
        values = run(
            train, silent_plan(validation, Subsampled(1), sigma=Fraction(2)), Scripted([negative])
        ).bench_values()
        plan = silent_plan(validation, Subsampled(1))
        mask = link_mask(train, plan)
        match = train.y[:, None] == validation.y
        alone = np.where(match, neighbour_value(0, 0, True, 3), neighbour_value(0, 0, False, 3))
        assert values.all()
        assert np.allclose(values, np.where(mask, alone, 0.0).mean(axis=1), atol=1e-12)
        plan = silent_plan(validation, CappedLinks(2), sigma=Fraction(2), expected_rows=3)
        shrunken = run(train, plan, Scripted([negative])).bench_values()
        assert np.isfinite(shrunken).all()
        assert np.abs(shrunken).max() <= 1
    prediction = Prediction(np.zeros((4, 2)), np.ones((4, 2)))
    given = shrunk(np.full((4, 2), -50), Fraction(1), prediction, 2, "shapley")
    assert np.allclose(given.same, neighbour_value(0.5, 0.5, True, 2))
    assert np.allclose(given.other, neighbour_value(0.5, 0.5, False, 2))


def check_large_counts_keep_their_digits() -> None:
    """Counts beyond 32 bits go through links, noise, clamping and shrinkage as they are."""
    big = np.array([2**40, 2**31, 2**33 + 1], dtype=np.int64)
    rows = neighbors.prepare(np.ones((1, 2)), np.zeros(1, np.int64), 2, "cosine")
    links = LinkBits(np.zeros((1, 1), np.uint8), big, big[::-1].copy(), 0)
    linked = release_rows.Linked(rows, links, np.zeros(1, np.int64), np.zeros(1, np.int8))
    counts = linked.counts(3)
    assert counts.dtype == np.int64
    assert counts.tolist() == np.stack([big, big[::-1]], axis=1).tolist()
    noisy = SecureSource().add_noise(counts, Fraction(1, SIGMA_STEPS)).counts
    assert noisy.tolist() == counts.tolist()
    wanted = neighbour_value(counts[:, 0].astype(float) - 1, counts[:, 1].astype(float), True, 2)
    assert np.allclose(clamped(counts, Fraction(1), True, 2, "shapley").same, wanted, rtol=1e-14, atol=0)
    prediction = Prediction(counts.astype(np.float64), np.ones(counts.shape))
    assert np.allclose(shrunk(counts, Fraction(1, 100), prediction, 2, "shapley").same, wanted, rtol=1e-9, atol=0)


def check_row_content_never_raises() -> None:
    """Rows that cannot be linked, strange labels, one row, no usable row: a release comes, without a warning."""
    import warnings

    validation = Points(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), [0, 1, 1])
    odd = [[math.nan, 1.0], [math.inf, 0.0], [-math.inf, math.nan], [0.0, 0.0], [1e300, 1.0], [5e-324, 0.0]]
    sets = [
        Points(odd, [0, 1, 2, -5, 0, 1], allow_missing=True),
        Points([*odd, [1.0, 0.1]], [0.5, 1.0, 1e300, -0.0, 0.0, 1.0, 1.0], allow_missing=True),
        Points([[1.0, 0.0]], [99]),
        Points([[1e38, 1e38]], [0]),
        Points([[0.0, 0.0]], [2**63]),
    ]
    mechanisms: tuple[Mechanism, ...] = (CappedLinks(2), Subsampled("1/2"))
    for metric, mechanism in product(("cosine", "euclidean"), mechanisms):
        for dtype, train in product(("float32", "float64"), sets):
            method = ThresholdKNNShapley(0.5, metric=metric)  # type: ignore[arg-type]
            counted = isinstance(mechanism, CappedLinks)
            plan = silent_plan(validation, mechanism, sigma=Fraction(1), method=method, counted=counted)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                try:
                    release = run(train, plan, SecureSource(), dtype=dtype)  # type: ignore[arg-type]
                except (ArithmeticError, DataworthError, Warning) as error:
                    raise AssertionError(f"row content shows: {type(error).__name__}") from error
            for i, row in enumerate(train.x):
                answer = release.for_owner(i)
                assert np.isfinite(answer.values).all()
                if not np.isfinite(row).all() or (metric == "cosine" and not row.any()):
                    assert answer.values.tolist() == answer.vote.tolist() == [0.0]
                    assert "no links" in answer.reasons[0]
            assert len(release.noisy) == 3
            if counted:
                source = Scripted()
                run(train, plan, source)
                assert source.seen[1].tolist() == [len(train)], "rows without links are rows too"


def check_names_of_others() -> None:
    """One row with a name of another form changes neither which rows others keep nor what others are told."""
    plan = silent_plan(LINE, CappedLinks(1), unit=Owner(1))
    x, y = [[0.0], [3.0]] * 3, [0, 1] * 3
    ids, owners = [900, 1000, 90, 100, 9, 10], ["a", "a", "b", "b", "c", "c"]
    numbers = Points(x, y, ids=ids, owners=owners)
    texts = Points([*x, [0.0]], [*y, 0], ids=[*map(str, ids), "x1"], owners=[*owners, "z"])
    np.testing.assert_array_equal(link_mask(numbers, plan), link_mask(texts, plan)[:6])
    one = run(numbers, plan, Scripted([np.ones((len(LINE), 2), np.int64), [5]]))
    other = run(texts, plan, Scripted([np.ones((len(LINE), 2), np.int64), [5]]))
    for owner in "abc":
        assert answer_of(one, owner) == answer_of(other, owner)


def check_owner_limit() -> None:
    """Rows beyond the limit are an owner's highest ids, whoever else there is, and are left out before the cap."""
    plan = silent_plan(LINE, CappedLinks(5), unit=Owner(2))
    ids, owners = [30, 10, 5, 20, 7, 1], ["ann", "ann", "bob", "ann", "bob", "bob"]
    rows = Points(np.full((6, 1), 1.0), [0, 0, 1, 0, 1, 1], ids=ids, owners=owners)
    kept = {"ann": {10, 20}, "bob": {1, 5}}
    for order in ([0, 1, 2, 3, 4, 5], [5, 3, 1, 0, 2, 4], [3, 0, 1]):
        some = rows.take(order)
        release = run(some, plan, Scripted())
        mask = link_mask(some, plan)
        for i, (owner, name) in enumerate(zip(some.owners.tolist(), some.ids.tolist(), strict=True)):  # type: ignore[union-attr]
            assert mask[i].any() == (name in kept[owner])
        for owner in set(some.owners.tolist()):  # type: ignore[union-attr]
            answer = release.for_owner(owner)
            beyond = [bool(reason) for reason in answer.reasons]
            assert beyond == [int(name) not in kept[owner] for name in answer.ids.tolist()]
            assert not answer.values[beyond].any()
        assert exact_counts(some, plan).sum() == mask.sum() == 8 * len(set(some.owners.tolist()))  # type: ignore[union-attr]


# -- noise and bits, as they come --------------------------------------------------------------------------------------


def released_noise(sigma: Fraction, points: int = 1500, times: int = 2) -> NDArray[np.int64]:
    """What releases add to exact counts, ``(times, points, 2)``, with the operating system's randomness."""
    random = np.random.default_rng(1)
    validation = Points(random.normal(size=(points, 2)), np.arange(points) % 2)
    train = Points(random.normal(size=(40, 2)), np.arange(40) % 2)
    plan = silent_plan(validation, CappedLinks(1), sigma=sigma, expected_rows=40)
    exact = exact_counts(train, plan)
    return np.stack([run(train, plan, SecureSource()).noisy - exact for _ in range(times)])


def check_noise_law(points: int = 1500, times: int = 2) -> None:
    """The noise of whole releases against the exact discrete Gaussian, at a scale where rounded floats show."""
    for sigma in (Fraction(1, 2), Fraction(13, 4)):
        assert noise_fit(released_noise(sigma, points, times), sigma) > BY_CHANCE


def check_noise_is_independent() -> None:
    """The signs of noise on a point's two counts, on neighbouring points and in two releases tell nothing."""
    noise = np.sign(released_noise(Fraction(3)))
    pairs = [(noise[..., 0], noise[..., 1]), (noise[:, ::2], noise[:, 1::2]), (noise[0], noise[1])]
    for left, right in pairs:
        table = np.zeros((3, 3))
        np.add.at(table, (left.ravel() + 1, right.ravel() + 1), 1)
        expected = table.sum(1)[:, None] * table.sum(0) / table.sum()
        assert chi2.sf(((table - expected) ** 2 / expected).sum(), 4) > BY_CHANCE


def check_noise_is_fresh() -> None:
    """Two releases of the same rows never share their noise."""
    validation = Points(np.eye(20), np.arange(20) % 2)
    train = points_like(validation)
    plan = silent_plan(validation, CappedLinks(2), sigma=Fraction(50), expected_rows=20)
    seen = {run(train, plan, SecureSource()).noisy.tobytes() for _ in range(4)}
    assert len(seen) == 4


def points_like(validation: Points) -> Points:
    return Points(validation.x + 0.01, validation.y)


def let_in(releases_of: int, probability: str, rows: int = 64, points: int = 16) -> NDArray[np.bool_]:
    """Inclusion bits of whole releases, ``(releases, rows, points)``: each row alone at points of its own."""
    places = np.arange(rows) * 100.0
    validation = Points(np.repeat(places, points)[:, None], np.arange(rows * points) % 2)
    train = Points(places[:, None], np.zeros(rows, dtype=int))
    plan = silent_plan(validation, Subsampled(probability))
    counts = [run(train, plan, NoiselessBits()).noisy.sum(axis=1) for _ in range(releases_of)]
    return np.stack(counts).reshape(releases_of, rows, points).astype(np.bool_)


def check_bits_are_independent_and_fresh(releases_of: int = 12) -> None:
    """A row's bits at two points, two rows' at one, and in two releases, agree as often as independent bits do."""
    bits = let_in(releases_of, "1/2")
    pairs = [
        (bits[:, :, :-1], bits[:, :, 1:]),
        (bits[:, :, :8], bits[:, :, 8:]),
        (bits[:, :-1], bits[:, 1:]),
        (bits[:-1], bits[1:]),
    ]
    for left, right in pairs:
        agree = int((left == right).sum())
        # Neighbouring pairs share bits, but whether they agree is independent for bits of one half.
        p = 2 * min(binom.cdf(agree, left.size, 0.5), binom.sf(agree - 1, left.size, 0.5))
        assert p > BY_CHANCE, f"{agree} of {left.size} pairs of bits agree"
    ones = int(bits.sum())
    assert 2 * min(binom.cdf(ones, bits.size, 0.5), binom.sf(ones - 1, bits.size, 0.5)) > BY_CHANCE


def check_bits_come_from_the_system() -> None:
    """The operating system's bytes decide the bits, one byte or more each, and nothing else does."""
    for byte, expected in ((0xFF, False), (0x00, True)):
        asked: list[int] = []

        def urandom(size: int, byte: int = byte, asked: list[int] = asked) -> bytes:
            asked.append(size)
            return bytes([byte]) * size

        with mock.patch("dataworth.privacy.mechanisms.os.urandom", urandom):
            bits = let_in(1, "1/3", rows=4, points=8)
        assert (bits == expected).all()
        assert sum(asked) >= bits.size


# -- the account, by definition ----------------------------------------------------------------------------------------

Law = tuple[NDArray[np.int64], NDArray[np.float64]]


def gaussian(sigma: Fraction, shifts: Sequence[tuple[int, float]] = ((0, 1.0),)) -> Law:
    """A mixture of discrete Gaussians, each shifted, from the definition."""
    widest = max(shift for shift, _ in shifts)
    reach = math.ceil(11 * float(sigma)) + 1
    support = np.arange(-reach - widest, reach + 2 * widest + 1)
    total = np.exp(-0.5 * (np.arange(-reach, reach + 1) / float(sigma)) ** 2).sum()
    mass = sum(w * np.exp(-0.5 * ((support - shift) / float(sigma)) ** 2) for shift, w in shifts) / total
    return support, mass


def loss_delta(pairs: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]], epsilon: float) -> float:
    """The delta at an epsilon of independent releases, each given as two laws on one support; both directions."""
    worst = 0.0
    for side in (0, 1):
        upper, lower = np.ones(1), np.ones(1)
        for pair in pairs:
            upper = np.multiply.outer(upper, pair[side]).ravel()
            lower = np.multiply.outer(lower, pair[1 - side]).ravel()
            keep = (upper > 1e-18) | (lower > 1e-18)
            upper, lower = upper[keep], lower[keep]
        worst = max(worst, float(np.maximum(upper - math.exp(epsilon) * lower, 0).sum()))
    return worst


ACCOUNTS: list[tuple[str, Mechanism, Unit, int | None]] = [
    ("capped", CappedLinks(1), Row(), 30),
    ("capped, rows counted", CappedLinks(1), Row(), None),
    ("capped, owner", CappedLinks(1), Owner(3), 30),
    ("sampled", Subsampled("1/4"), Row(), 30),
    ("sampled, owner", Subsampled("1/4"), Owner(4), 30),
]


def check_account_by_definition(which: str, relation: Relation) -> None:
    """The worst change of the data, summed over all outcomes: within the declared spend, and not with less noise."""
    spend = Budget("0.25", "0.001")
    ((_, mechanism, unit, expected),) = [case for case in ACCOUNTS if case[0] == which]
    with (  # nothing kept from before, and no rough guess first: there is one cap only
        mock.patch.object(planning, "_calibrated", planning._calibrated.__wrapped__),
        mock.patch.object(planning, "_other_guarantee", planning._other_guarantee.__wrapped__),
        mock.patch.object(planning, "_rough_sigma", return_value=1.0),
    ):
        plan = planning.plan_release(
            Points(np.array([[0.0]]), [1]), method=METHOD, spend=spend, mechanism=mechanism, unit=unit,
            relation=relation, expected_rows=expected, threads=1, progress=False, classes=[0, 1],
        )  # fmt: skip
    claims = {promise.relation: promise.budget for promise in plan.guarantees}
    for asked, budget in claims.items():
        delta = loss_delta(_worst_pairs(plan, asked, 1.0), float(budget.epsilon))
        assert delta <= float(spend.delta) * (1 + 1e-6), f"{which}, {asked}: delta is {delta:.3g} at {budget}"
    assert claims[relation] == spend
    least = loss_delta(_worst_pairs(plan, relation, 0.93), float(spend.epsilon))
    # For owners the account also covers shifts that one point cannot show, so more noise may be planned.
    assert unit.rows > 1 or least > float(spend.delta), f"{which}, {relation}: more noise than the spend needs"


def _worst_pairs(plan: Plan, relation: Relation, less: float) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Laws without and with the unit, for each count it moves: one, or two if it leaves one and enters another."""
    r = plan.unit.rows
    sigma = Fraction(float(plan.sigma) * less)
    if isinstance(plan.mechanism, Subsampled):
        q = float(plan.mechanism.probability)
        entering = [(k, float(binom.pmf(k, r, q))) for k in range(r + 1)]
    else:
        entering = [(r, 1.0)]
    with_unit = gaussian(sigma, entering)[1]
    without = gaussian(sigma, [(0, 1.0), (r, 0.0)])[1]
    pairs = [(without, with_unit)]
    if relation == "replace":
        pairs.append((with_unit, without))
    if plan.rows_sigma is not None and (relation == ADD or r > 1):
        shift = r if relation == ADD else r - 1
        of_rows = Fraction(float(plan.rows_sigma) * less)
        pairs.append((gaussian(of_rows, [(0, 1.0), (shift, 0.0)])[1], gaussian(of_rows, [(shift, 1.0)])[1]))
    return pairs


def check_events_are_what_was_released() -> None:
    """Every noisy number of a release is in its charge, with the scale it was drawn at and the cap it was linked at."""
    for mechanism, expected in ((CappedLinks(2), None), (Subsampled("1/2"), None)):
        plan = planning.plan_release(
            LINE, method=METHOD, spend=Budget("0.25", "0.001"), mechanism=mechanism, expected_rows=expected, threads=1,
            progress=False,
        )  # fmt: skip
        source = Scripted()
        run(points_of(KINDS[:9]), plan, source)
        assert source.sigmas == [
            event.sigma for event in plan.events if isinstance(event, CappedCounts | SubsampledCounts | RowCount)
        ]
        assert [seen.size for seen in source.seen] == [1 if isinstance(e, RowCount) else 10 for e in plan.events]
        assert (len(plan.events) == 2) == (isinstance(mechanism, CappedLinks) and expected is None)
        for event in plan.events:
            if isinstance(event, CappedCounts):
                assert event.links == 2
                assert link_mask(points_of(KINDS[:9]), plan).sum(axis=1).max() <= event.links


# -- the ledger --------------------------------------------------------------------------------------------------------

FEW = Points(np.array([[0.0], [1.0], [3.0]]), [0, 1, 1])
ROWS = Points(np.array([[0.0], [1.5], [9.0]]), [0, 1, 1], owners=["ann", "bob", "bob"])
SPEND = Budget("0.5", "1e-4")
ASK: dict[str, Any] = {
    "method": METHOD, "spend": SPEND, "mechanism": CappedLinks(1), "expected_rows": 3, "progress": False, "threads": 1,
}  # fmt: skip


@contextmanager
def new_ledger(epsilon: Any = 20, delta: Any = "0.01", **more: Any) -> Iterator[tuple[Ledger, Path]]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        settings: dict[str, Any] = {"unit": Row(), "population": "people", **more}
        yield Ledger.create(path, budget=Budget(epsilon, delta), **settings), path


def spent(path: Path) -> tuple[int, int, int]:
    """Loss and delta spent in whole steps, and how many releases, read afresh."""
    ledger = Ledger.open(path)
    state = ledger._state()
    return state["loss_spent"], state["delta_spent"], state["releases"]


def check_spent_before_released() -> None:
    """What is returned has been spent already; what could not be spent is not returned."""
    price = SPEND.charge()
    with new_ledger() as (ledger, path):
        release = release_points(ROWS, FEW, ledger=ledger, **ASK)
        assert spent(path) == (*price, 1)
        assert ledger.stored(1).payload == replace(release, number=None).to_bytes()
        assert ledger.verify().ok

        class LostError(Exception):
            pass

        for step in ("begun", "spent", "outbox written", "before commit"):
            with mock.patch("dataworth.privacy.ledger.steps.at", _fail_at(step, LostError)):
                try:
                    release_points(ROWS, FEW, ledger=ledger, **ASK)
                except LostError:
                    pass
                else:
                    raise AssertionError(f"a release came out although the ledger failed at {step!r}")
            assert spent(path) == (*price, 1)
        with mock.patch("dataworth.privacy.ledger.steps.at", _fail_at("committed", LostError)), suppress(LostError):
            release_points(ROWS, FEW, ledger=ledger, request_key="lost", **ASK)
        assert spent(path)[2] == 2, "spent before anything came out"
        again = release_points(ROWS, FEW, ledger=ledger, request_key="lost", **ASK)
        assert again.number == 2
        assert spent(path)[2] == 2


def _fail_at(last: str, error: type[Exception]) -> Callable[[str], None]:
    def at(step: str) -> None:
        if step == last:
            raise error

    return at


def check_refusal_touches_nothing() -> None:
    """A release that would overspend draws no noise, computes nothing and leaves the ledger as it is."""
    with new_ledger("0.9") as (ledger, path):
        release_points(ROWS, FEW, ledger=ledger, **ASK)
        before = spent(path)

        def spy(name: str) -> Any:
            def refuse(*_: Any, **__: Any) -> None:
                raise AssertionError(f"{name} although there is no room")

            return refuse

        with (
            mock.patch.object(SecureSource, "add_noise", spy("noise drawn")),
            mock.patch.object(SecureSource, "draw_bits", spy("bits drawn")),
            mock.patch.object(releases, "_released", spy("counted")),
        ):
            try:
                release_points(ROWS, FEW, ledger=ledger, **ASK)
            except BudgetExceeded:
                pass
            else:
                raise AssertionError("a release above the budget was not refused")
        assert spent(path) == before


def check_never_overspent(threads: int = 4, room: int = 5, requests: int = 4) -> None:
    """Many at once: as many releases as there is room for, each counted, none too many, none lost."""
    charge = Charge(Budget("0.02", "1e-8"), (CappedCounts(Fraction(300), links=1),), Row(), ADD)
    with new_ledger(str(0.02 * room), "1e-3") as (ledger, path):
        ledger.check(charge)  # accounted once, before the race
        outcomes: list[str] = []
        barrier = threading.Barrier(threads)

        def work() -> None:
            for _ in range(requests):
                barrier.wait()
                try:
                    ledger.commit(charge, noisy=np.zeros(2, dtype=np.int64), payload=b"x", digest="d")
                    outcomes.append("released")
                except BudgetExceeded:
                    outcomes.append("refused")
                except Exception as error:
                    outcomes.append(type(error).__name__)

        crowd = [threading.Thread(target=work) for _ in range(threads)]
        for one in crowd:
            one.start()
        for one in crowd:
            one.join()
        assert Counter(outcomes) == {"released": room, "refused": threads * requests - room}
        assert spent(path) == (room * 20_000_000, room * 10**10, room)
        assert ledger.verify().ok


def check_a_retry_is_the_stored_answer() -> None:
    """Under a key the same bytes, whatever became of the data, for no charge; another request is refused."""
    with new_ledger() as (ledger, path):
        first = release_points(ROWS, FEW, ledger=ledger, request_key="monday", **ASK)
        before = spent(path)
        changed = Points(ROWS.x + 0.7, [1, 1, 0], owners=["ann", "bob", "cyd"])
        for data in (ROWS, changed):
            again = release_points(data, FEW, ledger=Ledger.open(path), request_key="monday", **ASK)
            assert again.to_bytes() == first.to_bytes()
        assert spent(path) == before
        others: list[dict[str, Any]] = [
            {"method": ThresholdKNNShapley(1.0, metric="euclidean")},
            {"spend": Budget("0.4", "1e-4")},
            {"data_version": "2"},
            {"expected_rows": 4},
            {"mechanism": CappedLinks(2)},
            {"classes": [0, 1, 2]},
        ]
        for change in others:
            try:
                release_points(ROWS, FEW, ledger=ledger, request_key="monday", **{**ASK, **change})
            except LedgerError:
                continue
            raise AssertionError(f"the key served another request: {sorted(change)}")
        try:
            release_points(ROWS, Points(FEW.x + 1, FEW.y), ledger=ledger, request_key="monday", **ASK)
        except LedgerError:
            pass
        else:
            raise AssertionError("the key served other validation points")
        assert spent(path) == before


def check_every_call_without_a_key_is_new() -> None:
    """Fresh noise and a new charge each time, also for the same request."""
    with new_ledger() as (ledger, path):
        noisy = {release_points(ROWS, FEW, ledger=ledger, **ASK).noisy.tobytes() for _ in range(6)}
        assert len(noisy) > 1
        assert spent(path) == (*(6 * part for part in SPEND.charge()), 6)


def check_no_refunds() -> None:
    """A charge of nothing or less is refused by the arithmetic, and by the tables if the arithmetic were wrong."""
    for epsilon, delta in ((-(10**9), 10**10), (10**9, -(10**10)), (0, 10**10), (-1, -1)):
        try:
            admission.cost_of(epsilon, delta, (CappedCounts(Fraction(300), links=1),), Row(), ADD, "basic")
        except MethodError:
            continue
        raise AssertionError("a charge below nothing has a price")
    charge = Charge(Budget("0.02", "1e-8"), (CappedCounts(Fraction(300), links=1),), Row(), ADD)
    with new_ledger() as (ledger, path):
        ledger.commit(charge, noisy=np.zeros(2, dtype=np.int64), payload=b"x", digest="d")
        before = spent(path)
        for back in (admission.Steps(-(10**7), 0), admission.Steps(0, -(10**9))):
            with mock.patch.object(ledger_module, "cost_of", lambda *_, back=back: back):
                try:
                    ledger.commit(charge, noisy=np.zeros(2, dtype=np.int64), payload=b"x", digest="d")
                except LedgerError:
                    continue
            raise AssertionError("the tables took a charge below nothing")
        assert spent(path) == before


def check_either_amount_refuses() -> None:
    """Room for epsilon alone, or for delta alone, is no room."""
    for epsilon, delta in ((100, "1.5e-4"), ("0.9", "0.1")):
        with new_ledger(epsilon, delta) as (ledger, path):
            release_points(ROWS, FEW, ledger=ledger, **ASK)
            try:
                release_points(ROWS, FEW, ledger=ledger, **ASK)
            except BudgetExceeded:
                assert spent(path)[2] == 1
                continue
            raise AssertionError("a release was admitted for which there was no room")


def check_another_plan_is_refused() -> None:
    """A plan for other points, classes, method, spend, unit, cap or rows, or with less noise than its events say."""
    plan = planning.plan_release(
        FEW, method=METHOD, spend=SPEND, mechanism=CappedLinks(1), expected_rows=3, threads=1, progress=False
    )
    common: dict[str, Any] = {**ASK, "ledger": None, "insecure_seed": 1, "plan": plan}
    release_points(ROWS, FEW, **common)
    moved = Points(FEW.x + 0.5, FEW.y)
    relabelled = Points(FEW.x, FEW.y[::-1].copy())
    wrong: list[tuple[Points, dict[str, Any]]] = [
        (moved, {}),
        (relabelled, {}),
        (FEW, {"classes": [0, 1, 2]}),
        (FEW, {"method": ThresholdKNNShapley(1.0, metric="euclidean")}),
        (FEW, {"spend": Budget(4, "1e-4")}),
        (FEW, {"unit": Owner(2)}),
        (FEW, {"mechanism": CappedLinks(2)}),
        (FEW, {"expected_rows": 4}),
        (FEW, {"plan": replace(plan, sigma=plan.sigma / 2)}),
        (FEW, {"plan": replace(plan, mechanism=CappedLinks(3)), "mechanism": None}),
        (FEW, {"plan": replace(plan, events=(CappedCounts(plan.sigma, 1), RowCount(plan.sigma)))}),
    ]
    for validation, change in wrong:
        try:
            release_points(ROWS, validation, **{**common, **change})
        except MethodError:
            continue
        raise AssertionError(f"a plan for something else was taken: {sorted(change)}")
