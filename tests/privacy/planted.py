"""Bugs to plant in the private release, each with the check that must catch it.

A bug is a context manager that changes the code as a mistake would. ``BUGS`` says which check fails under which bug.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
from sqlalchemy import update

from dataworth.kernels import capped, neighbors, noisy, reweighting
from dataworth.kernels.neighbors import LinkBits
from dataworth.privacy import accounting
from dataworth.privacy.kinds import RowCount
from dataworth.privacy.ledger import Ledger, admission, statements
from dataworth.privacy.ledger import ledger as ledger_module
from dataworth.privacy.ledger.charges import Stored
from dataworth.privacy.ledger.schema import LEDGER, RELEASES
from dataworth.privacy.mechanisms import InsecureSource, NoisyCounts, SecureSource, round_sigma_up
from dataworth.records import Relation, Release, Row
from dataworth.valuation import planning, release_request, release_rows, release_sums, releases
from dataworth.valuation.release_rows import Linked
from tests.privacy import checks

Plant = Callable[[], Any]
patch, patch_object = mock.patch, mock.patch.object


@dataclass(frozen=True)
class Bug:
    """A mistake and what catches it.

    Args:
        name: The mistake, in words.
        plant: Makes a context manager that plants it.
        check: Passes on the code as it is and fails with the bug.
    """

    name: str
    plant: Plant
    check: Callable[[], None]

    def __str__(self) -> str:
        return self.name


# -- noise and bits ----------------------------------------------------------------------------------------------------

_add_noise, _draw_bits = SecureSource.add_noise, SecureSource.draw_bits


def less_noise(factor: float) -> Any:
    """Noise of a smaller scale than the one asked for."""

    def add_noise(self: SecureSource, counts: Any, sigma: Fraction) -> NoisyCounts:
        return replace(_add_noise(self, counts, round_sigma_up(float(sigma) * factor)), sigma=sigma)

    return patch_object(SecureSource, "add_noise", add_noise)


def float_noise() -> Any:
    """Normal noise, rounded."""

    def add_noise(self: SecureSource, counts: Any, sigma: Fraction) -> NoisyCounts:
        noise = np.rint(np.random.default_rng().normal(0, float(sigma), counts.shape)).astype(np.int64)
        return NoisyCounts(counts + noise, sigma, private=True)

    return patch_object(SecureSource, "add_noise", add_noise)


def one_noise_for_both_counts() -> Any:
    """The same noise on the two counts of a point."""

    def add_noise(self: SecureSource, counts: Any, sigma: Fraction) -> NoisyCounts:
        noise = _add_noise(self, np.zeros((len(counts), 1), dtype=np.int64), sigma).counts
        return NoisyCounts(counts + (noise if counts.ndim == 2 else noise[:, 0]), sigma, private=True)

    return patch_object(SecureSource, "add_noise", add_noise)


def noise_drawn_once() -> Any:
    """Noise kept and used again for the next release."""
    kept: dict[Any, Any] = {}

    def add_noise(self: SecureSource, counts: Any, sigma: Fraction) -> NoisyCounts:
        key = (counts.shape, sigma)
        if key not in kept:
            kept[key] = _add_noise(self, np.zeros_like(counts), sigma).counts
        return NoisyCounts(counts + kept[key], sigma, private=True)

    return patch_object(SecureSource, "add_noise", add_noise)


def seeded_noise() -> Any:
    """Noise of a generator with a seed in the code."""

    def add_noise(self: SecureSource, counts: Any, sigma: Fraction) -> NoisyCounts:
        return replace(InsecureSource(7).add_noise(counts, sigma), private=True)

    return patch_object(SecureSource, "add_noise", add_noise)


def predictable_bits() -> Any:
    """Bits of a fast generator: unpredictable to the eye, not to whoever has the seed."""
    generator = np.random.default_rng(99)

    def draw_bits(self: SecureSource, number: int, probability: Fraction) -> Any:
        return generator.random(number) < float(probability)

    return patch_object(SecureSource, "draw_bits", draw_bits)


def bits_drawn_once() -> Any:
    """One draw for all releases."""
    kept: dict[Any, Any] = {}

    def draw_bits(self: SecureSource, number: int, probability: Fraction) -> Any:
        return kept.setdefault((number, probability), _draw_bits(self, number, probability))

    return patch_object(SecureSource, "draw_bits", draw_bits)


def shared_subsample() -> Any:
    """One bit a row for all validation points, accounted as fresh bits at each."""

    def let_in(source: Any, bits: Any, mechanism: Any, threads: int) -> Any:
        line = np.where(source.draw_bits(bits.shape[1], mechanism.probability), 255, 0).astype(np.uint8)
        return bits & line

    return patch_object(releases, "_let_in", let_in)


# -- counts and links --------------------------------------------------------------------------------------------------

_counts, _link_nearest = Linked.counts, capped.link_nearest


def rows_counted_twice() -> Any:
    """Every row counted two times."""
    return patch_object(Linked, "counts", lambda linked, points: 2 * _counts(linked, points))


def counts_in_32_bits() -> Any:
    """Counts that wrap around."""

    def counts(linked: Any, points: int) -> Any:
        return _counts(linked, points).astype(np.int32).astype(np.int64)

    return patch_object(Linked, "counts", counts)


def noise_in_32_bits() -> Any:
    """A sampler of 32-bit integers, which saturates."""

    def add_noise(self: SecureSource, given: Any, sigma: Fraction) -> NoisyCounts:
        return _add_noise(self, np.clip(given, -(2**31), 2**31 - 1), sigma)

    return patch_object(SecureSource, "add_noise", add_noise)


def radius_from_the_data() -> Any:
    """A threshold that follows the private rows."""

    def link_nearest(rows: Any, judges: Any, radius: float, most: int, **more: Any) -> LinkBits:
        spread = float(np.median(np.abs(rows.source)))
        return _link_nearest(rows, judges, radius * (0.4 if spread < 1.2 else 1.0), most, **more)

    return patch_object(release_rows, "link_nearest", link_nearest)


def cap_from_the_data() -> Any:
    """A cap that follows the private rows."""

    def link_nearest(rows: Any, judges: Any, radius: float, most: int, **more: Any) -> LinkBits:
        return _link_nearest(rows, judges, radius, most + (len(rows) > 1), **more)

    return patch_object(release_rows, "link_nearest", link_nearest)


def ties_break_the_cap() -> Any:
    """Every point as near as the last one kept is kept."""

    def link_nearest(rows: Any, judges: Any, radius: float, most: int, **more: Any) -> LinkBits:
        kept = np.zeros((len(judges), len(rows)), dtype=np.bool_)
        for i, j in enumerate(rows.order):
            distance = np.array([neighbors.pair_distance(rows.source[j], v, rows.metric) for v in judges.source])
            inside = distance <= neighbors.radius_limit(radius)
            if inside.any():
                kept[:, i] = inside & (distance <= np.sort(distance[inside])[:most][-1])
        bits = np.packbits(kept, axis=0, bitorder="little")
        place = np.arange(len(rows))
        same = (judges.same_from[:, None] <= place) & (place < judges.same_to[:, None])
        return LinkBits(bits, (kept & same).sum(axis=1), (kept & ~same).sum(axis=1), 0)

    return patch_object(release_rows, "link_nearest", link_nearest)


def links_of_a_crowd() -> Any:
    """The last row of a tile loses a link when the tile is full: other rows decide."""

    def link_nearest(rows: Any, judges: Any, radius: float, most: int, **more: Any) -> LinkBits:
        return _link_nearest(rows, judges, radius, max(1, most - (len(rows) > 50)), **more)

    return patch_object(release_rows, "link_nearest", link_nearest)


def owners_by_place() -> Any:
    """The owner's first rows in the file stay, instead of the lowest ids."""

    def first_rows(codes: Any, order: Any, most: int) -> Any:
        return capped.first_rows(codes, np.arange(codes.size), most)

    return patch_object(release_rows, "first_rows", first_rows)


def owners_without_limit() -> Any:
    """Nothing is left out."""
    return patch_object(release_rows, "first_rows", lambda codes, order, most: np.ones(codes.size, dtype=np.bool_))


def unusable_rows_go_in() -> Any:
    """Rows without a direction are linked like others."""
    return patch_object(neighbors, "usable_rows", lambda x, *_, **__: np.ones(len(x), dtype=np.bool_))


# -- values ------------------------------------------------------------------------------------------------------------

_shrunk, _clamped, _explain = noisy.shrunk, noisy.clamped, reweighting.explain


@contextmanager
def own_row_left_in() -> Iterator[None]:
    """The owner's own row counts among the others, too."""

    def estimate(self_out: Any) -> Any:
        return lambda counts, *rest: self_out(np.asarray(counts) + np.array([1, 1]), *rest)

    with patch_object(release_sums, "shrunk", estimate(_shrunk)), patch_object(releases, "clamped", estimate(_clamped)):
        yield


@contextmanager
def no_clamp() -> Iterator[None]:
    """Estimates below zero go into the formula."""

    class Loose:
        def __getattr__(self, name: str) -> Any:
            return getattr(np, name)

        @staticmethod
        def maximum(a: Any, b: Any) -> Any:
            return np.asarray(a, dtype=np.float64)

    with patch_object(noisy, "np", Loose()), np.errstate(all="ignore"):
        yield


@contextmanager
def true_rows_in_the_proxy() -> Iterator[None]:
    """The prediction is scaled by the number of rows there are."""
    rows: list[int] = []
    inner = releases._capped

    def note(linked: Any, *rest: Any) -> Any:
        rows.append(linked.reason.size)
        return inner(linked, *rest)

    def explain(links: Any, counts: Any, sigma: float, _: float) -> Any:
        return _explain(links, counts, sigma, float(rows[-1]))

    with patch_object(releases, "_capped", note), patch_object(release_sums, "explain", explain):
        yield


def rows_in_the_manifest() -> Any:
    """The manifest says how many rows there are."""
    manifest = Release.manifest
    return patch_object(Release, "manifest", lambda self: {**manifest(self), "rows": int(self.rows["ids"].size)})


def rows_named_by_position() -> Any:
    """Owners are told where in the whole data their rows stand."""
    return patch_object(release_rows, "numbers", lambda owners: np.arange(owners.size))


def ids_in_the_order_of_their_kind() -> Any:
    """Ids are ordered as text as soon as one of them is no number."""

    def order(ids: Any) -> Any:
        whole = all(str(name).isdecimal() for name in ids.tolist())
        return np.argsort(ids.astype(np.int64) if whole else ids, kind="stable")

    return patch_object(release_rows, "id_order", order)


def exact_counts_in_the_release() -> Any:
    """The public side shows a figure computed from exact links."""
    released = releases._released

    def leak(train: Any, *rest: Any) -> Release:
        made = released(train, *rest)
        return replace(made, public={**made.public, "mean": float(np.mean(made.rows["vote"]))})

    return patch_object(releases, "_released", leak)


# -- the account -------------------------------------------------------------------------------------------------------

_shift, _directions, _events, _usable_delta = (
    accounting._shift, accounting._directions, planning._events, accounting._usable_delta,
)  # fmt: skip
_spent_epsilon = accounting.spent_epsilon


def owner_as_r_rows() -> Any:
    """An owner of r rows is accounted as r times one row."""

    def spent_epsilon(events: Any, delta: Any, *, unit: Any, relation: Any) -> float:
        return float(unit.rows * _spent_epsilon(events, delta, unit=Row(), relation=relation))

    return patch_object(accounting, "spent_epsilon", spent_epsilon)


def owner_as_one_row() -> Any:
    """An owner is accounted as one row."""

    def spent_epsilon(events: Any, delta: Any, *, unit: Any, relation: Any) -> float:
        return _spent_epsilon(events, delta, unit=Row(), relation=relation)

    return patch_object(accounting, "spent_epsilon", spent_epsilon)


def replace_as_add() -> Any:
    """Replacing a row is accounted as adding one."""

    def spent_epsilon(events: Any, delta: Any, *, unit: Any, relation: Any) -> float:
        return _spent_epsilon(events, delta, unit=unit, relation="add_or_remove")

    return patch_object(accounting, "spent_epsilon", spent_epsilon)


def row_count_for_nothing() -> Any:
    """The noisy number of rows is left out of the events."""

    def events(*given: Any) -> Any:
        return tuple(event for event in _events(*given) if not isinstance(event, RowCount))

    return patch_object(planning, "_events", events)


def delta_taken_as_a_tenth() -> Any:
    """The accountant is asked at the largest delta, whatever was declared."""
    return patch_object(accounting, "_usable_delta", lambda delta: 0.1)


def sampling_without_noise_for_it() -> Any:
    """Amplification is claimed at the square of the probability."""

    def one_count(sigma: Any, rows: int, probability: Fraction) -> Any:
        return inner(sigma, rows, probability**2)

    inner = accounting._one_count
    return patch_object(accounting, "_one_count", one_count)


def less_noise_than_planned() -> Any:
    """The plan's scale is halved between the account and the sampler."""
    capped_release = releases._capped

    def half(linked: Any, judged: Any, plan: Any, *rest: Any) -> Any:
        return capped_release(linked, judged, replace(plan, sigma=round_sigma_up(plan.sigma / 2)), *rest)

    return patch_object(releases, "_capped", half)


def any_plan_will_do() -> Any:
    """A plan is taken without a look at what it was made for."""
    return patch_object(release_request, "_check_plan", lambda *_: None)


def changed_plans_will_do() -> Any:
    """A plan's noise is not compared with its events."""
    return patch_object(planning.Plan, "coherent", True)


# -- the ledger --------------------------------------------------------------------------------------------------------

_commit, _spend, _find_key = Ledger.commit, statements.spend, statements.find_key


def spend_after_release() -> Any:
    """The answer is handed out first and charged at leisure."""
    owed: list[Any] = []

    def commit(self: Ledger, charge: Any, **given: Any) -> Stored:
        owed.append((charge, given))
        return Stored(number=len(owed), payload=given["payload"], noisy=given["noisy"], made="now")

    return patch_object(Ledger, "commit", commit)


@contextmanager
def read_then_write() -> Iterator[None]:
    """What is spent is read, a decision made, and a sum written, in two steps."""
    mine = threading.local()

    def commit(self: Ledger, charge: Any, **given: Any) -> Stored:
        mine.state = self._state()
        time.sleep(0.02)
        return _commit(self, charge, **given)

    def spend(connection: Any, cost: Any) -> bool:
        loss, delta = mine.state["loss_spent"] + cost.loss, mine.state["delta_spent"] + cost.delta
        if loss > mine.state["loss_cap"] or delta > mine.state["delta_cap"]:
            return False
        connection.execute(update(LEDGER).where(LEDGER.c.id == 1).values(loss_spent=loss, delta_spent=delta))
        return True

    with patch_object(Ledger, "commit", commit), patch_object(statements, "spend", spend):
        yield


@contextmanager
def retry_with_fresh_noise() -> Iterator[None]:
    """A request key is not looked up."""

    def commit(self: Ledger, charge: Any, *, request_key: Any = None, **given: Any) -> Stored:
        return _commit(self, charge, **given)

    with patch_object(Ledger, "find", lambda *_: None), patch_object(Ledger, "commit", commit):
        yield


@contextmanager
def answers_by_request() -> Iterator[None]:
    """An answer is given again to whoever asks the same, key or not."""
    known: dict[str, Stored] = {}

    def commit(self: Ledger, charge: Any, *, digest: str, **given: Any) -> Stored:
        if digest not in known:
            known[digest] = _commit(self, charge, digest=digest, **given)
        return known[digest]

    with patch_object(Ledger, "commit", commit):
        yield


def key_serves_any_request() -> Any:
    """The digest is not compared."""

    def find_key(connection: Any, request_key: str, digest: str) -> Any:
        found = statements._stored(connection, RELEASES.c.request_key == request_key)
        return None if found is None else found[0]

    return patch_object(statements, "find_key", find_key)


@contextmanager
def refunds() -> Iterator[None]:
    """A negative charge gives budget back."""

    def cost_of(epsilon: int, delta: int, *_: Any) -> admission.Steps:
        return admission.Steps(epsilon, delta)

    with patch_object(admission, "cost_of", cost_of), patch_object(ledger_module, "cost_of", cost_of):
        yield


@contextmanager
def delta_not_counted() -> Iterator[None]:
    """Only epsilon is compared with what is left."""

    def fits(cost: Any, left: Any) -> bool:
        return bool(cost.loss <= left.loss)

    def spend(connection: Any, cost: Any) -> bool:
        return _spend(connection, admission.Steps(cost.loss, 0))

    with (
        patch_object(admission, "fits", fits),
        patch_object(ledger_module, "fits", fits),
        patch_object(statements, "spend", spend),
    ):
        yield


def nothing_is_refused_beforehand() -> Any:
    """Whether there is room is asked only after everything was computed."""
    return patch_object(Ledger, "check", lambda *_: None)


# -- which check catches which -----------------------------------------------------------------------------------------


def _account(which: str, relation: Relation) -> Callable[[], None]:
    return partial(checks.check_account_by_definition, which, relation)


BUGS = [
    Bug("half the noise", partial(less_noise, 0.5), checks.check_noise_law),
    Bug("noise less by the square root of two", partial(less_noise, math.sqrt(0.5)), checks.check_noise_law),
    Bug("float noise", float_noise, checks.check_noise_law),
    Bug("one noise for both counts", one_noise_for_both_counts, checks.check_noise_is_independent),
    Bug("noise drawn once and used again", noise_drawn_once, checks.check_noise_is_fresh),
    Bug("seeded noise", seeded_noise, checks.check_noise_is_fresh),
    Bug("predictable bits", predictable_bits, checks.check_bits_come_from_the_system),
    Bug("bits drawn once and used again", bits_drawn_once, checks.check_bits_are_independent_and_fresh),
    Bug("a shared subsample accounted as independent", shared_subsample, checks.check_bits_are_independent_and_fresh),
    Bug("rows counted twice", rows_counted_twice, checks.check_sensitivity_of_a_row),
    Bug("own row left among the others", own_row_left_in, checks.check_own_row_is_taken_out_once),
    Bug("counts of 32 bits", counts_in_32_bits, checks.check_large_counts_keep_their_digits),
    Bug("noise of 32 bits", noise_in_32_bits, checks.check_large_counts_keep_their_digits),
    Bug("radius picked from the data", radius_from_the_data, checks.check_sensitivity_of_a_row),
    Bug("cap picked from the data", cap_from_the_data, checks.check_sensitivity_of_a_row),
    Bug("ties break the cap", ties_break_the_cap, checks.check_sensitivity_of_a_row),
    Bug("links that depend on a crowd", links_of_a_crowd, checks.check_links_ignore_other_rows),
    Bug("owners' rows by their place in the file", owners_by_place, checks.check_owner_limit),
    Bug("owners without a limit", owners_without_limit, checks.check_sensitivity_of_an_owner),
    Bug("unusable rows are linked", unusable_rows_go_in, checks.check_row_content_never_raises),
    Bug("missing clamp", no_clamp, checks.check_counts_stay_above_nothing),
    Bug("true row count in the proxy", true_rows_in_the_proxy, checks.check_only_noisy_counts_leave),
    Bug("row count in the manifest", rows_in_the_manifest, checks.check_only_noisy_counts_leave),
    Bug("rows named by their position", rows_named_by_position, checks.check_only_noisy_counts_leave),
    Bug("a mean over owners in public", exact_counts_in_the_release, checks.check_only_noisy_counts_leave),
    Bug("an owner accounted as r times a row", owner_as_r_rows, _account("sampled, owner", "add_or_remove")),
    Bug("an owner accounted as one row", owner_as_one_row, _account("capped, owner", "add_or_remove")),
    Bug("replacement accounted as addition", replace_as_add, _account("capped", "replace")),
    Bug("replacement accounted as addition, sampled", replace_as_add, _account("sampled", "replace")),
    Bug("row count left out of the account", row_count_for_nothing, _account("capped, rows counted", "add_or_remove")),
    Bug("delta ignored by the accountant", delta_taken_as_a_tenth, _account("capped", "add_or_remove")),
    Bug("amplification overstated", sampling_without_noise_for_it, _account("sampled", "add_or_remove")),
    Bug("ids ordered by what others are called", ids_in_the_order_of_their_kind, checks.check_names_of_others),
    Bug("noise halved after the account", less_noise_than_planned, checks.check_events_are_what_was_released),
    Bug("any plan taken", any_plan_will_do, checks.check_another_plan_is_refused),
    Bug("changed plans taken", changed_plans_will_do, checks.check_another_plan_is_refused),
    Bug("spend after release", spend_after_release, checks.check_spent_before_released),
    Bug("read-then-write spend", read_then_write, checks.check_never_overspent),
    Bug("retry with fresh noise", retry_with_fresh_noise, checks.check_a_retry_is_the_stored_answer),
    Bug("one answer for all who ask the same", answers_by_request, checks.check_every_call_without_a_key_is_new),
    Bug("a key serves any request", key_serves_any_request, checks.check_a_retry_is_the_stored_answer),
    Bug("refund by negative spend", refunds, checks.check_no_refunds),
    Bug("delta not counted by the ledger", delta_not_counted, checks.check_either_amount_refuses),
    Bug("computed before it is refused", nothing_is_refused_beforehand, checks.check_refusal_touches_nothing),
]
