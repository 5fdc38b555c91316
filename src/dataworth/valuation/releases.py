"""The private release: link, count, add noise, value; each owner's values for that owner alone.

The three steps are those of the exact job. What differs is how rows are counted: a capped number of links a row,
or a fresh subsample at every validation point, and integer noise on the counts. Nothing that depends on the
training rows leaves but through that noise, and each owner's own rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import InputError
from dataworth.kernels import neighbors
from dataworth.kernels.noisy import clamped
from dataworth.kernels.reweighting import prior_weights
from dataworth.kernels.team import run, team_size
from dataworth.privacy.mechanisms import Source
from dataworth.records import Budget, Points, Release, Unit
from dataworth.valuation.methods import Mechanism, Subsampled, ThresholdKNNShapley
from dataworth.valuation.planning import Judged, Plan
from dataworth.valuation.reading import check_same_features
from dataworth.valuation.release_request import Request, describe_release
from dataworth.valuation.release_rows import Linked, link_rows, names_of_rows, rows_that_stay
from dataworth.valuation.release_sums import Sums, draw_noise, gifts_of, proxy_of

if TYPE_CHECKING:
    from dataworth.privacy.ledger import Ledger

__all__ = ["release_points"]


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
    request = Request.of(
        validation, method=method, spend=spend, ledger=ledger, mechanism=mechanism, expected_rows=expected_rows,
        data_version=data_version, classes=classes, plan=plan, unit=unit, insecure_seed=insecure_seed, dtype=dtype,
    )  # fmt: skip
    stored = request.find(request_key)
    if stored is not None:
        return Release.from_bytes(stored.payload).numbered(stored.number)
    _check_rows(train, validation)
    names_of_rows(train, request.unit)  # what cannot be a name is told before anything is spent
    plan = request.planned(threads, progress)
    charge = request.charge(plan)
    request.warn_if_weak(len(train), stacklevel=2)
    workers = team_size(threads)
    release = _released(train, plan, request.source, request.population, data_version, dtype, workers, progress)
    if ledger is None or charge is None:
        return release
    kept = ledger.commit(
        charge, noisy=release.noisy, payload=release.to_bytes(), request_key=request_key, digest=request.digest
    )
    return Release.from_bytes(kept.payload).numbered(kept.number)


def _check_rows(train: Points, validation: Points) -> None:
    if not isinstance(train, Points):
        raise InputError("train must be dataworth.Points; dataworth.read_points makes them from files")
    check_same_features(train, validation)


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
    ids, owners = names_of_rows(train, plan.unit)
    linked = link_rows(
        train.x, train.y, rows_that_stay(owners, ids, plan.unit), judged, plan.method, plan.mechanism, dtype,
        threads=threads, progress=progress,
    )  # fmt: skip
    noisy_rows = None
    if isinstance(plan.mechanism, Subsampled):
        noisy, sums = _subsampled(linked, judged, plan, plan.mechanism, source, threads)
    else:
        noisy, noisy_rows, sums = _capped(linked, judged, plan, source, threads)
    columns = sums.means(len(train), plan.band_factor)
    return describe_release(
        plan, noisy, noisy_rows, private=source.private, population=population, data_version=data_version,
        rows={"ids": ids, "owners": owners, **columns, "reason": linked.reason},
    )  # fmt: skip


def _capped(
    linked: Linked, judged: Judged, plan: Plan, source: Source, threads: int
) -> tuple[NDArray[np.int64], int | None, Sums]:
    """Noise on the counts of all rows; values from counts shrunk toward what the validation set explains."""
    sums = Sums.of(linked.rows, linked.at, linked.bits, judged.point_codes, threads)
    noisy, noisy_rows = draw_noise(linked.counts(len(judged)), linked.present, plan, source)
    sums.add_all(linked.bits, gifts_of(noisy, noisy_rows, plan))
    return noisy, noisy_rows, sums


def _subsampled(
    linked: Linked, judged: Judged, plan: Plan, mechanism: Subsampled, source: Source, threads: int
) -> tuple[NDArray[np.int64], Sums]:
    """Noise on the counts of a fresh subsample at each point; an owner's own bit is known to that owner alone."""
    classes, semivalue, bits = judged.n_classes, plan.method.semivalue, linked.bits
    sums = Sums.of(linked.rows, linked.at, bits, judged.point_codes, threads)
    if plan.expected_rows is not None:
        weights = prior_weights(plan.links, plan.expected_rows)
        sums.add_proxy(bits, proxy_of(plan.links.counts(weights), classes, semivalue))
    if linked.rows is None:
        return source.add_noise(linked.counts(len(judged)), plan.sigma).counts, sums
    let_in = _let_in(source, bits, mechanism, threads)
    counts = np.stack(neighbors.tally(linked.rows, let_in, judged.point_codes, threads=threads), axis=1)
    noisy = source.add_noise(counts, plan.sigma).counts
    sums.add(let_in, clamped(noisy, plan.sigma, True, classes, semivalue))
    sums.add(bits & ~let_in, clamped(noisy, plan.sigma, False, classes, semivalue))
    return noisy, sums


def _let_in(source: Source, bits: NDArray[np.uint8], mechanism: Subsampled, threads: int) -> NDArray[np.uint8]:
    """Of the links, those whose rows are let in: a fresh bit for each; a pair without a link needs none."""
    chosen = np.empty_like(bits)

    def group(_: int, number: int) -> None:
        drawn = source.draw_bits(int(np.bitwise_count(bits[number]).sum()), mechanism.probability)
        neighbors.pick_links(bits[number], drawn, chosen[number])

    run(group, bits.shape[0], threads if source.private else 1)  # a seeded source gives its bits in one order
    return chosen
