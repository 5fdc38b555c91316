"""The private release: link, count, add noise, value; each owner's values for that owner alone.

The three steps are those of the exact job. What differs is how rows are counted: a capped number of links a row,
or a fresh subsample at every validation point, and integer noise on the counts. Nothing that depends on the
training rows leaves but through that noise, and each owner's own rows.
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError, LedgerError, MethodError, WeakDelta
from dataworth.kernels import neighbors
from dataworth.kernels.capped import first_rows, link_nearest, link_nearest_jobs
from dataworth.kernels.neighbors import LinkBits, Rows
from dataworth.kernels.noisy import Given, clamped, exact, shrunk
from dataworth.kernels.reweighting import explain, prior_weights
from dataworth.kernels.team import run, team_size
from dataworth.kernels.threshold import Semivalue, add_links, neighbour_value
from dataworth.privacy.mechanisms import Source, random_source
from dataworth.records import Budget, Guarantee, Owner, Points, Relation, Release, Unit
from dataworth.records.privacy import in_words
from dataworth.valuation.methods import CappedLinks, Mechanism, Subsampled, ThresholdKNNShapley
from dataworth.valuation.planning import Judged, Plan, check_rows, fingerprint, plan_release
from dataworth.valuation.reading import check_same_features
from dataworth.valuation.task import bar, class_list, encode

if TYPE_CHECKING:
    from dataworth.privacy.ledger import Ledger

__all__ = ["release_points", "who_answers"]

UNUSABLE, BEYOND = 1, 2  # positions in records.release.REASONS
_MOST_NAME = 500


def release_points(
    train: Points,
    validation: Points,
    *,
    method: ThresholdKNNShapley,
    spend: Budget | None,
    ledger: Ledger | None,
    mechanism: Mechanism | None = None,
    expected_rows: int | None = None,
    request_key: str | None = None,
    data_version: str = "",
    classes: Sequence[Any] | None = None,
    plan: Plan | None = None,
    unit: Unit | None = None,
    insecure_seed: int | None = None,
    dtype: neighbors.DType = "float32",
    threads: int | None = None,
    progress: bool | None = None,
) -> Release:
    """Release Threshold-KNN values to data owners under joint differential privacy, charged to a ledger.

    Every owner may be given their own rows' values (:meth:`Release.for_owner`); what all others see of an owner's
    data, even all together, is differentially private. The validation set, classes, radius and metric are public.

    Args:
        train: The rows to value, with ``owners`` if they belong to several. Rows with missing features
            (``allow_missing=True``) or without a direction get no links, and their owner alone is told.
        validation: The points that judge; public.
        method: ``ThresholdKNNShapley(radius=...)``.
        spend: The epsilon and delta of this release. None leaves the noise out, without a ledger only.
        ledger: What the release is charged to. None needs ``insecure_seed``: for tests and for experiments on
            public data; the release is then stamped NOT PRIVATE.
        mechanism: ``CappedLinks()`` (default; the cap is chosen on public data) or ``Subsampled(probability)``.
        expected_rows: The publicly known or declared number of rows; otherwise a noisy count is released with it.
        request_key: With a key, asking again returns the stored answer byte for byte and spends nothing. Without
            one, every call is a new spend.
        data_version: What the operator calls this state of the data; part of the request.
        classes: All class labels; by default those found in the validation set.
        plan: From :func:`plan_release` for the same public inputs, to spare making it again.
        unit: Whose presence is hidden, without a ledger; a ledger knows its own.
        insecure_seed: For tests only: seeded noise.
        dtype: As in :func:`value_points`.
        threads: How many threads to use; by default one for each core.
        progress: Whether to show a progress bar; by default only on a terminal.

    Returns:
        The release.

    Raises:
        BudgetExceeded: The ledger has not enough left; nothing was spent, and nothing computed unless others spent
            what was left meanwhile.
        LedgerError: The request key was used for another request, or a ledger was given together with a seed.
        MethodError: A method, mechanism or budget that cannot be used.
        DataError: Features or labels that do not fit together.

    Warns:
        WeakDelta: Delta is above one over the number of rows (for the operator's eyes).

    Example:
        >>> import dataworth as dw
        >>> train = dw.Points([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], [0, 1, 1], owners=["ann", "bob", "bob"])
        >>> validation = dw.Points([[1.0, 0.1], [0.1, 1.0]], [0, 1])
        >>> release = dw.release_points(  # an exercise: no ledger, seeded noise
        ...     train, validation, method=dw.ThresholdKNNShapley(radius=0.5), spend=dw.Budget(1.0, 1e-5),
        ...     ledger=None, insecure_seed=1,
        ... )
        >>> release.stamp, len(release.for_owner("bob")), len(release.for_owner("nobody"))
        ('NOT PRIVATE', 2, 0)
    """
    source, whose, relation = who_answers(ledger, spend, unit, insecure_seed)
    _check_question(validation, method)
    check_rows(expected_rows)
    known = class_list(validation, classes)
    points = fingerprint(validation, known)
    if plan is not None:
        if plan.fingerprint != points or not plan.judged.same_as(validation, known):
            raise MethodError("the plan was made for another validation set or other classes; make it anew")
        _check_plan(plan, method, spend, mechanism, expected_rows, whose, relation)
        mechanism, expected_rows = plan.asked, plan.expected_rows
    # What was asked, not what came of it: so a retry finds its answer whatever else has changed since.
    population = "none" if ledger is None else ledger.population
    asked = [
        replace(method, radius=float(method.radius)), mechanism or CappedLinks(), spend, whose, relation, expected_rows,
        population, data_version, dtype,
    ]  # fmt: skip
    digest = hashlib.sha256(json.dumps([points, *map(str, asked)]).encode()).hexdigest()
    stored = None if ledger is None or request_key is None else ledger.find(request_key, digest)
    if stored is not None:
        return Release.from_bytes(stored.payload).numbered(stored.number)
    _check_rows(train, validation)
    _names(train, whose)  # what cannot be a name is told before anything is spent
    if plan is None:
        plan = plan_release(
            validation, method=method, spend=spend, mechanism=mechanism, expected_rows=expected_rows, classes=classes,
            unit=whose, relation=relation, dtype=dtype, threads=threads, progress=progress,
        )  # fmt: skip
    charge = None
    if ledger is not None and spend is not None:
        from dataworth.privacy.ledger import Charge

        charge = Charge(spend, plan.events, whose, relation)
        ledger.check(charge)
    if spend is not None and float(spend.delta) * len(train) > 1:
        warnings.warn(
            f"delta = {in_words(spend.delta)} is above one over the number of rows: it would allow publishing "
            "somebody's row",
            WeakDelta,
            stacklevel=2,
        )
    workers = team_size(threads)
    release = _released(train, plan, source, population, data_version, dtype, workers, progress)
    if ledger is None or charge is None:
        return release
    kept = ledger.commit(
        charge, noisy=release.noisy, payload=release.to_bytes(), request_key=request_key, digest=digest
    )
    return Release.from_bytes(kept.payload).numbered(kept.number)


# -- before anything is counted --------------------------------------------------------------------


def who_answers(
    ledger: Ledger | None, spend: Budget | None, unit: Unit | None, insecure_seed: int | None
) -> tuple[Source, Unit, Relation]:
    """The source of randomness, and the unit and relation that are kept account of.

    Raises:
        InputError: Neither a ledger nor a seed.
        LedgerError: A ledger together with a seed or another unit, or without anything to spend.
    """
    from dataworth.records import Row

    if ledger is None:
        if insecure_seed is None:
            raise InputError(
                "a private release is charged to a ledger: give ledger=dw.Ledger.open(...); for an experiment on "
                "public data give insecure_seed= instead, and the release is stamped NOT PRIVATE"
            )
        return random_source(insecure_seed), Row() if unit is None else unit, "add_or_remove"
    if insecure_seed is not None:
        raise LedgerError("seeded noise hides nothing, so it is refused with a ledger; leave insecure_seed out")
    if spend is None:
        raise LedgerError("a release without noise hides nothing, so it is refused with a ledger; give spend=")
    if unit is not None and unit != ledger.unit:
        raise LedgerError(f"the ledger keeps account of {ledger.unit}, not of {unit}; leave unit= out")
    return random_source(), ledger.unit, ledger.relation


def _check_question(validation: Points, method: ThresholdKNNShapley) -> None:
    """Refuse what is wrong with the question itself, all of which is public."""
    if not isinstance(validation, Points):
        raise InputError("validation must be dataworth.Points; dataworth.read_points makes them from files")
    if not isinstance(method, ThresholdKNNShapley):
        raise MethodError(f"only ThresholdKNNShapley has a private release, not {type(method).__name__}")
    if validation.missing:
        raise DataError(f"{validation.missing} of {len(validation)} validation points hold NaN or infinity")


def _check_rows(train: Points, validation: Points) -> None:
    if not isinstance(train, Points):
        raise InputError("train must be dataworth.Points; dataworth.read_points makes them from files")
    check_same_features(train, validation)


def _names(train: Points, unit: Unit) -> tuple[NDArray[Any], NDArray[Any]]:
    """What each row is called to its owner, and who that is; without owners, every row is its own.

    An owner reads both as text, so that how others are called changes nothing of it.
    """
    if train.owners is None and isinstance(unit, Owner):
        raise InputError(f"the unit is {unit}, but the rows have no owners; give owners=")
    owners = train.ids if train.owners is None else train.owners
    for what, names in (("row id", train.ids), ("owner name", owners)):
        odd = 0 if names.dtype.kind != "U" else sum(not _is_name(name) for name in np.unique(names).tolist())
        if odd:
            raise DataError(
                f"{odd} {what}{'s are' if odd > 1 else ' is'} empty, longer than {_MOST_NAME} characters, or "
                f"holds characters that cannot be printed; give every {what.split()[0]} a name"
            )
    return (train.ids if train.named else _numbers(owners)), owners


def _is_name(name: str) -> bool:
    return bool(name.strip()) and name.strip().isprintable() and len(name) <= _MOST_NAME


def _numbers(owners: NDArray[Any]) -> NDArray[np.int64]:
    """Each row's number among its owner's: a place in the whole data would tell how many rows others have."""
    places = np.arange(owners.size)
    order = np.argsort(owners, kind="stable")
    _, starts, sizes = np.unique(owners[order], return_index=True, return_counts=True)
    numbers = np.empty_like(places)
    numbers[order] = places - np.repeat(starts, sizes)
    return numbers


def _id_order(ids: NDArray[Any]) -> NDArray[np.int64]:
    """Rows in ascending order of id: whole numbers by size, then any other text; each by itself alone."""
    if ids.dtype.kind != "U":
        return np.argsort(ids, kind="stable")

    def key(row: int) -> tuple[int, int, str]:
        text = str(ids[row])
        whole = text.isascii() and text.removeprefix("-").isdecimal() and str(int(text)) == text
        return (0, int(text), "") if whole else (1, 0, text)

    return np.array(sorted(range(ids.size), key=key), dtype=np.int64)


def _codes(labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64]:
    """Class numbers, -1 for a label that is none; where one side is text and the other numbers, both as text."""
    if (labels.dtype.kind == "U") == (classes.dtype.kind == "U"):
        return encode(labels, classes)
    texts = _as_text(classes)
    order = np.argsort(texts)
    found = encode(_as_text(labels), texts[order])
    return np.where(found >= 0, order[found], -1)


def _as_text(labels: NDArray[Any]) -> NDArray[Any]:
    if labels.dtype.kind != "f":
        return labels.astype(np.str_)
    return np.array([str(int(label)) if label == int(label) else repr(label) for label in labels.tolist()])


def _check_plan(
    plan: Plan,
    method: ThresholdKNNShapley,
    spend: Budget | None,
    mechanism: Mechanism | None,
    expected_rows: int | None,
    unit: Unit,
    relation: Relation,
) -> None:
    """Refuse a plan that was made for something else than what is asked."""
    if (plan.method, plan.spend, plan.unit, plan.relation) != (method, spend, unit, relation):
        raise MethodError("the plan was made for another method, spend, unit or relation; make it anew")
    if not plan.coherent:
        raise MethodError(
            "the plan was changed: its events or promises are not those of its cap and noise; make it anew"
        )
    if mechanism not in (None, plan.asked, plan.mechanism) or expected_rows not in (None, plan.expected_rows):
        raise MethodError("a plan settles the mechanism and the expected rows; leave mechanism= and expected_rows= out")


# -- link, count, add ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Linked:
    """The rows that have links, their links, and why the others have none.

    Args:
        rows: Made ready for tiles; None if no row can be linked.
        links: Their links, capped.
        at: Position in the data of each row given to ``prepare``, ``(m,)``.
        reason: For every row of the data, ``(n,)``: 0, ``UNUSABLE`` or ``BEYOND``.
    """

    rows: Rows | None
    links: LinkBits | None
    at: NDArray[np.int64]
    reason: NDArray[np.int8]


def _link(
    train: Points,
    ids: NDArray[Any],
    owners: NDArray[Any],
    judged: Judged,
    plan: Plan,
    dtype: neighbors.DType,
    threads: int,
    progress: bool | None,
) -> _Linked:
    metric = plan.method.metric
    usable = neighbors.usable_rows(train.x, metric, centre=judged.centre, dtype=dtype, threads=threads)
    reason = np.where(usable, 0, UNUSABLE).astype(np.int8)
    if isinstance(plan.unit, Owner):
        # A rule on each owner's rows alone, and before the cap: the lowest ids, usable or not.
        _, codes = np.unique(owners, return_inverse=True)
        reason[~first_rows(codes, _id_order(ids), plan.unit.rows)] = BEYOND
    at = np.flatnonzero(reason == 0)
    if at.size == 0:
        return _Linked(None, None, at, reason)
    codes = _codes(train.y, judged.classes)
    all_of_them = at.size == len(train)
    rows = neighbors.prepare(
        train.x if all_of_them else train.x[at], codes if all_of_them else codes[at], judged.n_classes, metric,
        centre=judged.centre, dtype=dtype, threads=threads,
    )  # fmt: skip
    most = plan.mechanism.links if isinstance(plan.mechanism, CappedLinks) else None
    cap = len(judged) if most is None else min(most, len(judged))
    with bar(link_nearest_jobs(len(rows), len(judged), cap), "private release", progress) as tick:
        links = link_nearest(rows, judged.meeting(rows), plan.method.radius, cap, threads=threads, tick=tick)
    return _Linked(rows, links, at, reason)


def _released(
    train: Points,
    plan: Plan,
    source: Source,
    population: str,
    data_version: str,
    dtype: neighbors.DType,
    threads: int,
    progress: bool | None,
) -> Release:
    judged = plan.judged
    ids, owners = _names(train, plan.unit)
    linked = _link(train, ids, owners, judged, plan, dtype, threads, progress)
    noisy_rows = None
    if isinstance(plan.mechanism, Subsampled):
        noisy, sums = _subsampled(linked, judged, plan, plan.mechanism, source, threads)
    else:
        noisy, noisy_rows, sums = _capped(linked, judged, plan, source, threads)
    columns = {"proxy": np.full(len(train), np.nan)}  # unless the number of rows is known well enough for one
    for name, column in sums.means(plan.band_factor).items():
        columns[name] = np.zeros(len(train))
        columns[name][linked.at] = column
    promises = tuple(
        Guarantee(promise.budget, promise.unit, promise.relation, source.private) for promise in plan.guarantees
    )
    return Release(
        population=population,
        method=repr(plan.method),
        mechanism=repr(plan.mechanism),
        guarantees=promises,
        noisy=noisy,
        sigma=plan.sigma,
        noisy_rows=noisy_rows,
        rows_sigma=plan.rows_sigma,
        public={
            "classes": judged.n_classes,
            "expected rows": plan.expected_rows,
            "data version": data_version,
            "expected rank correlation with exact values": plan.expected_spearman,
            "the same for the validation set alone": plan.proxy_spearman,
            "expected error of a value (median)": plan.expected_error,
        },
        made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        number=None,
        rows={"ids": ids, "owners": owners, **columns, "reason": linked.reason},
    )


def _counts(linked: _Linked, points: int) -> NDArray[np.int64]:
    """Exact counts, ``(points, 2)``."""
    if linked.links is None:
        return np.zeros((points, 2), dtype=np.int64)
    return np.stack([linked.links.n_same, linked.links.n_other], axis=1)


def _capped(
    linked: _Linked, judged: Judged, plan: Plan, source: Source, threads: int
) -> tuple[NDArray[np.int64], int | None, _Sums]:
    """Noise on the counts of all rows; values from counts shrunk toward what the validation set explains."""
    classes, semivalue = judged.n_classes, plan.method.semivalue
    sums = _Sums.of(linked, judged, threads)
    noisy = source.add_noise(_counts(linked, len(judged)), plan.sigma).counts
    if plan.sigma == 0:
        sums.add(sums.bits, exact(noisy, classes, semivalue))
        return noisy, None, sums
    noisy_rows = None
    if plan.rows_sigma is not None:
        # Rows without a link count too: they are there.
        present = np.array([int((linked.reason != BEYOND).sum())])
        noisy_rows = int(source.add_noise(present, plan.rows_sigma).counts[0])
    expected = plan.expected_rows if noisy_rows is None else noisy_rows
    rows = float(max(expected or 1, 1))
    prediction = explain(plan.links, noisy, float(plan.sigma), rows)
    sums.add(sums.bits, shrunk(noisy, plan.sigma, prediction, classes, semivalue))
    sums.add_proxy(plan.links.counts(prior_weights(plan.links, rows)), classes, semivalue)
    return noisy, noisy_rows, sums


def _subsampled(
    linked: _Linked, judged: Judged, plan: Plan, mechanism: Subsampled, source: Source, threads: int
) -> tuple[NDArray[np.int64], _Sums]:
    """Noise on the counts of a fresh subsample at each point; an owner's own bit is known to that owner alone."""
    classes, semivalue = judged.n_classes, plan.method.semivalue
    sums = _Sums.of(linked, judged, threads)
    if plan.expected_rows is not None:
        sums.add_proxy(plan.links.counts(prior_weights(plan.links, plan.expected_rows)), classes, semivalue)
    if linked.rows is None:
        return source.add_noise(_counts(linked, len(judged)), plan.sigma).counts, sums
    let_in = _let_in(source, sums.bits, mechanism, threads)
    counts = np.stack(neighbors.tally(linked.rows, let_in, judged.point_codes, threads=threads), axis=1)
    noisy = source.add_noise(counts, plan.sigma).counts
    sums.add(let_in, clamped(noisy, plan.sigma, True, classes, semivalue))
    sums.add(sums.bits & ~let_in, clamped(noisy, plan.sigma, False, classes, semivalue))
    return noisy, sums


def _let_in(source: Source, bits: NDArray[np.uint8], mechanism: Subsampled, threads: int) -> NDArray[np.uint8]:
    """Of the links, those whose rows are let in: a fresh bit for each; a pair without a link needs none."""
    chosen = np.empty_like(bits)

    def group(_: int, number: int) -> None:
        drawn = source.draw_bits(int(np.bitwise_count(bits[number]).sum()), mechanism.probability)
        neighbors.pick_links(bits[number], drawn, chosen[number])

    run(group, bits.shape[0], threads if source.private else 1)  # a seeded source gives its bits in one order
    return chosen


@dataclass(frozen=True, eq=False)
class _Sums:
    """What linked points give each row, summed over points: values, what noise leaves open of them, vote, proxy.

    Args:
        linked: The rows and their links.
        judged: The validation set.
        threads: How many threads add.
        columns: The sums so far, each in the order of ``linked.at``.
    """

    linked: _Linked
    judged: Judged
    threads: int
    columns: dict[str, NDArray[np.float64]]

    @classmethod
    def of(cls, linked: _Linked, judged: Judged, threads: int) -> _Sums:
        """Sums that begin at zero, the vote added already: it needs no counts."""
        sums = cls(
            linked,
            judged,
            threads,
            {name: np.zeros(linked.at.size) for name in ("values", "variance", "vote")},
        )
        ones = np.ones(len(judged))
        sums._add("vote", sums.bits, ones, -ones)
        return sums

    @property
    def bits(self) -> NDArray[np.uint8]:
        """All links."""
        return np.zeros((0, 0), dtype=np.uint8) if self.linked.links is None else self.linked.links.bits

    def add(self, bits: NDArray[np.uint8], given: Given) -> None:
        """Add what each point gives to the rows with these links."""
        self._add("values", bits, given.same, given.other)
        if given.same_variance.any() or given.other_variance.any():
            self._add("variance", bits, given.same_variance, given.other_variance)

    def add_proxy(self, counts: NDArray[np.float64], n_classes: int, semivalue: Semivalue) -> None:
        """Add what the points would give if the counts were those that the validation set expects."""
        same = neighbour_value(counts[:, 0], counts[:, 1], True, n_classes, semivalue)
        other = neighbour_value(counts[:, 0], counts[:, 1], False, n_classes, semivalue)
        self.columns["proxy"] = np.zeros(self.linked.at.size)
        self._add("proxy", self.bits, same, other)

    def _add(self, name: str, bits: NDArray[np.uint8], same: NDArray[np.float64], other: NDArray[np.float64]) -> None:
        rows = self.linked.rows
        if rows is not None:
            codes = self.judged.point_codes
            add_links(rows, bits, codes, same, other, self.columns[name], threads=self.threads)

    def means(self, band_factor: float) -> dict[str, NDArray[np.float64]]:
        """The columns of a release, as means over validation points."""
        points = len(self.judged)
        means = {name: sums / points for name, sums in self.columns.items() if name != "variance"}
        return {**means, "band": band_factor * np.sqrt(self.columns["variance"]) / points}
