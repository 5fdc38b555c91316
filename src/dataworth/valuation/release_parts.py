"""A private release of rows too many for memory: link, count, add noise, value, part by part, on any engine.

The steps are those of a release of rows in memory. Parts are linked and counted by workers; counts are integers and add
up in any order. The noise is drawn once, by the process that asked, after all parts are counted; then the ledger is
charged; and only then do workers add up what each row is given. What is released is what the ledger keeps, so a run
that is stopped anywhere is charged once and ends with the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataworth.data.sources import Part, Piece, Source
from dataworth.engines.engine import Engine, positive
from dataworth.engines.local import Local
from dataworth.errors import DataError, InputError, LedgerError, MethodError
from dataworth.kernels.neighbors import ClassOrder, DType
from dataworth.records import Budget, Owner, Points, Release, Unit
from dataworth.records.stored import part_name
from dataworth.records.stored_release import ROWS, StoredRelease
from dataworth.valuation.methods import CappedLinks, Mechanism, Subsampled, ThresholdKNNShapley
from dataworth.valuation.part_job import PartJob
from dataworth.valuation.part_memory import (
    DEFAULT_MEMORY,
    PROGRAM,
    Need,
    names_bytes,
    parse_memory,
    rows_that_fit,
    survey_threads,
)
from dataworth.valuation.planning import Judged, Plan
from dataworth.valuation.release_kept import Begun, ReleaseKept
from dataworth.valuation.release_owners import RowsOfOwners, heaps_for
from dataworth.valuation.release_request import Request, describe_release, links_of_a_row
from dataworth.valuation.release_rows import check_names, codes_of, link_rows, need_owners
from dataworth.valuation.release_sums import Gifts, Sums, draw_noise, gifts_of
from dataworth.valuation.task import bar

if TYPE_CHECKING:
    from dataworth.privacy.ledger import Ledger, Stored

__all__ = ["release_source"]


def release_source(
    source: Source,
    validation: Points,
    *,
    method: ThresholdKNNShapley,
    spend: Budget | None,
    ledger: Ledger | None,
    out: str | os.PathLike[str],
    mechanism: CappedLinks | None = None,
    expected_rows: int | None = None,
    request_key: str | None = None,
    data_version: str = "",
    classes: Sequence[Any] | None = None,
    plan: Plan | None = None,
    unit: Unit | None = None,
    insecure_seed: int | None = None,
    dtype: DType = "float32",
    engine: Engine | None = None,
    memory: int | str = DEFAULT_MEMORY,
    part_rows: int | None = None,
    spill: bool = True,
    progress: bool | None = None,
) -> StoredRelease:
    """Release Threshold-KNN values of rows in files that need not fit in memory, charged to a ledger.

    What is promised, and every answer, is that of :func:`dataworth.release_points`, to the last bit, given the same
    noise. The ledger keeps the noisy counts and what the release was made of; values are in the folder. A run that was
    stopped anywhere goes on by the same call: it is charged once, and ends with the same bytes.

    Args:
        source: The files, from ``Source.open``. With ``allow_missing=True`` rows with missing features get no links,
            and their owner alone is told.
        validation: The points that judge; public.
        method: ``ThresholdKNNShapley(radius=...)``.
        spend: The epsilon and delta of this release. None leaves the noise out, without a ledger only.
        ledger: What the release is charged to. None needs ``insecure_seed``, and the release is stamped NOT PRIVATE.
        out: A folder for the release, new or of an earlier run of this very call; workers of a cluster must see it
            under the same path. All of it is for the operator only, but for ``manifest.json`` and ``counts.csv``.
        mechanism: ``CappedLinks()``; the cap is chosen on public data. A subsample cannot be released part by part.
        expected_rows: The publicly known or declared number of rows; otherwise a noisy count is released with it.
        request_key: With a key, asking again, also into a new folder, gives the same bytes and spends nothing, as long
            as the files are those that were counted. Without one, every call that does not go on with a folder is a
            new spend.
        data_version: What the operator calls this state of the data; part of the request.
        classes: All class labels; by default those found in the validation set.
        plan: From :func:`dataworth.plan_release` for the same public inputs, to spare making it again.
        unit: Whose presence is hidden, without a ledger; a ledger knows its own.
        insecure_seed: For tests only: seeded noise.
        dtype: As in :func:`dataworth.value_points`.
        engine: Where parts are worked on; by default threads of this machine, one for each core.
        memory: What all workers may take together, in bytes or such as ``"2GiB"``; parts are cut to fit.
        part_rows: How many rows a part has, if not by memory; a row group larger than that is a part by itself.
        spill: Keep links on disk until values are added up, one bit a pair, so that they need not be found again.
        progress: Whether to show progress bars, for the operator; by default only on a terminal.

    Returns:
        The release: its folder, and what anybody may see of it.

    Raises:
        BudgetExceeded: The ledger has not enough left; nothing was spent, and nothing computed unless others spent
            what was left meanwhile.
        LedgerError: The request key was used for another request or for other files, the folder holds a release that
            is charged and was of others, or a ledger was given together with a seed.
        MethodError: A method, mechanism or budget that cannot be used.
        InputError: A folder that holds something else, lies among the files, cannot be written, or in which another
            run is at work; too little room on the disk, or memory that does not suffice for one row group or for the
            rows of one owner.
        DataError: Features that do not fit together, or anything wrong with a file; for the operator's eyes.

    Warns:
        WeakDelta: Delta is above one over the number of rows (for the operator's eyes).

    Example:
        >>> import tempfile
        >>> import dataworth as dw, pyarrow as pa, pyarrow.parquet as pq
        >>> from dataworth.data.sources import Source
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     rows = pa.table({"a": [1.0, 0.9], "b": [0.0, 0.1], "y": [0, 1], "who": ["bob", "bob"]})
        ...     pq.write_table(rows, f"{folder}/rows.parquet")
        ...     release = release_source(  # an exercise: no ledger, seeded noise
        ...         Source.open(f"{folder}/rows.parquet", label="y", owner="who"),
        ...         dw.Points([[1.0, 0.1], [0.1, 1.0]], [0, 1]),
        ...         method=dw.ThresholdKNNShapley(radius=0.5), spend=dw.Budget(1.0, 1e-5), ledger=None,
        ...         out=f"{folder}/release", insecure_seed=1,
        ...     )
        ...     release.for_owner("bob").ids
        array(['0', '1'], dtype='<U1')
    """
    if not isinstance(source, Source):
        raise InputError("release_source takes a Source of files; dataworth.release_points takes rows in memory")
    _check_mechanism(mechanism, plan)
    request = Request.of(
        validation, method=method, spend=spend, ledger=ledger, mechanism=mechanism, expected_rows=expected_rows,
        data_version=data_version, classes=classes, plan=plan, unit=unit, insecure_seed=insecure_seed, dtype=dtype,
    )  # fmt: skip
    need_owners(source.owner is not None, request.unit)
    job = PartJob.of(source, validation, method.metric, classes, dtype)
    memory_ = parse_memory(memory)
    asked = None if part_rows is None else positive("part_rows", part_rows)
    engine = Local() if engine is None else engine

    kept = ReleaseKept(Path(out).absolute(), job.digest(request.digest, ledger is None, insecure_seed))
    if source.would_read(kept.out / ROWS / part_name(0)):
        raise InputError(
            f"out={os.fspath(out)!r} lies among the files that are read, and values would be read as rows the next "
            "time; name a folder elsewhere"
        )
    there = _There.of(kept, request, request_key, job)
    if there.finished is not None:
        return there.finished
    with kept.alone():
        there = _There.of(kept, request, request_key, job)  # as no run changes it any more
        if there.finished is not None:
            return there.finished
        begun, head = there.begun, there.head
        if head is None:
            made = request.planned(
                engine.workers if isinstance(engine, Local) else 1, progress, None if begun is None else begun.links
            )
            charge = request.charge(made)
        else:
            made, charge = request.planned_as(head, 1), None
        if asked is not None and begun is not None and asked != begun.rows:
            raise InputError(
                f"{os.fspath(out)!r} holds an unfinished release in parts of {begun.rows} rows, not {asked}; go on "
                "with those, or name a new folder"
            )
        before = None if begun is None else begun.rows
        rows = rows_that_fit(source, _need(job, made), memory_, engine, asked=asked, begun=before)
        if begun is None:
            begun = kept.begin(
                Begun(rows, request_key or secrets.token_hex(16), links_of_a_row(made), kept.job),
                source.rows * _bits_of_a_row(job) if spill and source.filter is None else 0,
            )
        a_worker = max((memory_ - PROGRAM * engine.processes) // engine.workers, 0)
        with engine.held() as held:
            run = _Run.of(job, made, kept, held, begun.rows, a_worker, spill, progress)
            run = replace(run, survey_threads=survey_threads(source, memory_))
            if head is None:
                counted = run.count_all(request, begun.request_key)
                request.warn_if_weak(counted.rows, stacklevel=2)
                head = run.draw(counted, request)
                if charge is None or ledger is None:
                    kept.keep_head(head)
                else:
                    answer = ledger.commit(
                        charge, noisy=head.noisy, payload=head.to_bytes(), request_key=begun.request_key,
                        digest=request.digest,
                    )  # fmt: skip
                    head = Release.from_bytes(answer.payload).numbered(answer.number)
                    _check_files_of(head, job)
                    # Another run of the same key may have been the first to be charged, by another plan.
                    run = run.under(request.planned_as(head, 1))
            return run.add_all(head)


@dataclass(frozen=True)
class _There:
    """What a folder and the ledger hold of a release already.

    Args:
        finished: All of it.
        begun: What a run noted that was stopped.
        head: What is charged, or kept without a ledger.
    """

    finished: StoredRelease | None = None
    begun: Begun | None = None
    head: Release | None = None

    @classmethod
    def of(cls, kept: ReleaseKept, request: Request, request_key: str | None, job: PartJob) -> _There:
        """Look, and refuse what is another's.

        Raises:
            InputError: The folder holds something else, or cannot be made.
            LedgerError: The key was used for something else, or the folder's release is charged and cannot go on so.
            DataError: The folder is damaged.
        """
        head = _head_of(request.find(request_key))
        _check_files_of(head, job)
        begun = kept.noted()
        if kept.is_finished:
            if head is None and begun is not None and begun.job == kept.job:  # stopped just before its work was removed
                head = _head_of(request.find(begun.request_key)) or kept.head()
            return cls(finished=kept.finished(head))
        if begun is None:
            kept.check_free()
            return cls(head=head)
        if begun.job != kept.job or request_key not in (None, begun.request_key):
            raise _another(kept, request, begun)
        if head is None:
            head = _head_of(request.find(begun.request_key)) or kept.head()
        return cls(begun=begun, head=head)


def _head_of(found: Stored | None) -> Release | None:
    return None if found is None else Release.from_bytes(found.payload).numbered(found.number)


def _another(kept: ReleaseKept, request: Request, begun: Begun) -> InputError | LedgerError:
    """What to say of a folder whose run was another: one that is charged must not be given up for lost."""
    try:
        found = request.find(begun.request_key)
    except LedgerError:
        return LedgerError(
            f"{str(kept.out)!r} holds the unfinished release of another request, which is charged; ask exactly as then "
            "for its values, or name a new folder for a new release"
        )
    if found is None:
        return InputError(
            f"{str(kept.out)!r} holds the unfinished release of other rows or of another request; name a new folder"
        )
    if begun.job == kept.job:
        return LedgerError(
            f"{str(kept.out)!r} holds release {found.number}, which is charged, under another request key; leave "
            "request_key out for its values, or name a new folder for a new release"
        )
    return LedgerError(
        f"{str(kept.out)!r} holds release {found.number}, which is charged but not finished, and the files are not as "
        "they were counted: another name, size, time of change, column or filter. Put them back as they were and make "
        "the same call, or name a new folder for a new release"
    )


def _check_mechanism(mechanism: Mechanism | None, plan: Plan | None) -> None:
    for asked in (mechanism, None if plan is None else plan.mechanism):
        if isinstance(asked, Subsampled):
            raise MethodError(
                "Subsampled cannot be released part by part: which rows were let in would have to be kept on disk "
                "until values are added up, and random bits of a private release are never stored; use CappedLinks()"
            )


def _check_files_of(head: Release | None, job: PartJob) -> None:
    """Refuse to value other files than those that were counted.

    Raises:
        LedgerError: They are others.
    """
    if head is None:
        return
    if not head.recipe:
        raise LedgerError(
            "the request key was used for a release of rows in memory, whose values the ledger has: `dataworth "
            "deliver` writes them; use a new key for files"
        )
    if head.recipe["files"] != _files(job):
        raise LedgerError(
            f"the files are not those that release {head.number} was counted from (another name, size, time of change, "
            "column or filter); give those for its values, or a new request key for a new release"
        )


def _files(job: PartJob) -> str:
    """A digest of the files; the ledger keeps it with the answer, which is confidential."""
    return hashlib.sha256(repr((job.source.digest, job.stamps)).encode()).hexdigest()


def _bits_of_a_row(job: PartJob) -> int:
    return -(-len(job.points) // 8)


def _need(job: PartJob, plan: Plan) -> Need:
    source, points = job.source, len(job.points)
    numbers = 2 * source.dtype.itemsize + np.dtype(job.dtype).itemsize  # with a copy of the rows that can be linked
    columns = 8 * 8 + names_bytes(source)
    return Need(
        row=source.width * numbers + 2 * _bits_of_a_row(job) + columns, worker=points * source.width * 24,
        once=points * 64 + len(plan.judged.stand_ins) * (2 * points + 48 * links_of_a_row(plan)),
    )  # fmt: skip


# -- the passes --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Counted:
    """What all parts come to; exact, and a secret."""

    counts: NDArray[np.int64]
    present: int
    rows: int


@dataclass(frozen=True, eq=False)
class _Shared:
    """What every call of a job needs: public, but for the files and the folder."""

    job: PartJob
    judged: Judged
    method: ThresholdKNNShapley
    mechanism: Mechanism
    kept: ReleaseKept
    owners: RowsOfOwners | None
    spill: bool
    gifts: Gifts | None = None
    band_factor: float = 0.0
    key: str = ""


@dataclass(frozen=True, eq=False)
class _Run:
    """A run that has its folder."""

    job: PartJob
    plan: Plan
    kept: ReleaseKept
    engine: Engine
    parts: Sequence[Part]
    owners: RowsOfOwners | None
    spill: bool
    progress: bool | None
    survey_threads: int = 1

    @classmethod
    def of(
        cls,
        job: PartJob,
        plan: Plan,
        kept: ReleaseKept,
        engine: Engine,
        rows: int,
        memory: int,
        spill: bool,
        progress: bool | None,
    ) -> _Run:
        source, parts = job.source, job.source.parts(rows)
        owners = None
        if source.owner is not None and (source.id is None or isinstance(plan.unit, Owner)):
            heaps = heaps_for(source, len(parts), memory)
            owners = RowsOfOwners(source, plan.unit, parts, kept.work, heaps, memory)
        return cls(job, plan, kept.under(links_of_a_row(plan)), engine, parts, owners, spill, progress)

    def under(self, plan: Plan) -> _Run:
        """The same run by another plan: rows are linked again where its cap is another."""
        return replace(self, plan=plan, kept=self.kept.under(links_of_a_row(plan)))

    @property
    def _shared(self) -> _Shared:
        plan = self.plan
        return _Shared(self.job, plan.judged, plan.method, plan.mechanism, self.kept, self.owners, self.spill)

    def count_all(self, request: Request, key: str) -> _Counted:
        """Look at every row, group rows by owner if need be, link and count.

        Args:
            request: What is asked.
            key: What the ledger will know it by.

        Raises:
            DataError: What is wrong with which file. The folder is free again then if the rows are wrong, no part is
                counted yet and nothing is charged; files that are only gone for a moment cost no work.
        """
        try:
            with self.kept.room():
                self._survey()
                self._group()
            counted = self._count()
            self.job.check_files()
        except DataError:
            if self._files_are_there and not self.kept.has_counts() and request.find(key) is None:
                self.kept.give_up()
            raise
        return counted

    @property
    def _files_are_there(self) -> bool:
        try:
            self.job.check_files()
        except DataError:
            return False
        return True

    def _survey(self) -> None:
        if self.kept.surveyed.exists():
            return
        source = self.job.source
        with bar(source.rows, "Checking files", self.progress) as tick:
            source.survey(tick, threads=self.survey_threads, folder=self.kept.work)
        self.kept.surveyed.touch(mode=0o600)

    def _group(self) -> None:
        if self.owners is not None:
            self.owners.find(self.engine, self.progress)

    def _count(self) -> _Counted:
        counts, present, rows = np.zeros((len(self.plan.judged), 2), dtype=np.int64), 0, 0
        left = []
        for part in self.parts:
            known = self.kept.find(part, "counts")
            if known is None:
                left.append(part)
            else:
                counts += known["counts"]
                present, rows = present + int(known["present"]), rows + int(known["rows"])
        with bar(len(left), "Linking parts", self.progress) as tick:
            for _, (more, these, all_) in self.engine.run(_link, self._shared, left, tick=tick):
                counts += more
                present, rows = present + these, rows + all_
        return _Counted(counts, present, rows)

    def draw(self, counted: _Counted, request: Request) -> Release:
        """Draw the noise, once, here and nowhere else; nothing of it is released before it is charged."""
        plan, private = self.plan, request.source.private
        noisy, noisy_rows = draw_noise(counted.counts, counted.present, plan, request.source)
        return describe_release(
            plan, noisy, noisy_rows, private=private, population=request.population,
            data_version=request.data_version, rows={},
            recipe={
                "files": _files(self.job), "links": links_of_a_row(plan),
                "band factor": float(plan.band_factor),
            },
        )  # fmt: skip

    def add_all(self, head: Release) -> StoredRelease:
        """Write every row's values, and then what describes them."""
        with self.kept.room():
            self._group()  # not done yet where the release is delivered again
        gifts = gifts_of(head.noisy, head.noisy_rows, self.plan)
        key = hashlib.blake2b(f"{self.kept.job} {self.kept.links} {gifts.digest}".encode(), digest_size=16).hexdigest()
        shared = replace(self._shared, gifts=gifts, band_factor=self.plan.band_factor, key=key)
        left = [part for part in self.parts if not self.kept.has_rows(part, key)]
        with bar(len(left), "Adding values", self.progress) as tick:
            for _ in self.engine.run(_add, shared, left, tick=tick):
                pass
        self.job.check_files()
        return self.kept.finish(head, self.parts, key)


def _link(shared: _Shared, part: Part) -> tuple[NDArray[np.int64], int, int]:
    """First pass: link a part, keep its links, count; also how many rows are there, and how many in all."""
    shared.kept.check_seen()
    piece = shared.job.source.read(part)
    _, _, stays = _names(shared, part, piece)
    reason, bits, counts, present = _linked(shared, piece, stays)
    if shared.spill:
        shared.kept.keep(part, "links", {"reason": reason, "bits": bits})
    told = {"counts": counts, "present": np.array(present), "rows": np.array(len(piece))}
    shared.kept.keep(part, "counts", told)
    return counts, present, len(piece)


def _add(shared: _Shared, part: Part) -> None:
    """Second pass: add what points give to the rows they are linked with, and write the part's values."""
    job, kept, gifts = shared.job, shared.kept, shared.gifts
    if gifts is None:
        raise RuntimeError("values are added when the noise is known")
    kept.check_seen()
    links = kept.find(part, "links") if shared.spill else None
    piece = (job.source if links is None else job.source.names_only()).read(part)
    ids, owners, stays = _names(shared, part, piece)
    if links is None:
        reason, bits, _, _ = _linked(shared, piece, stays)
    else:
        reason, bits = links["reason"], links["bits"]
    at = np.flatnonzero(reason == 0)
    codes = codes_of(piece.y[at], job.classes)
    order = ClassOrder.of(codes, job.n_classes) if at.size else None
    sums = Sums.of(order, at, bits, job.point_codes, 1)
    sums.add_all(bits, gifts)
    means = sums.means(len(reason), shared.band_factor)
    columns = {"id": ids, "owner": owners, "value": means["values"]}
    columns |= {name: means[name] for name in ("band", "vote", "proxy")}
    kept.keep_rows(part, shared.key, {**columns, "reason": reason})


def _names(shared: _Shared, part: Part, piece: Piece) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_] | None]:
    """What each row is called to its owner, who that is, and whether it stays; None if all do."""
    owners = piece.ids if piece.owners is None else piece.owners
    try:
        check_names(piece.ids, owners)
    except DataError as error:
        raise DataError(f"{part.file!r}: {error}") from None
    named = shared.job.source.id is not None
    if shared.owners is None:  # without ids and owners, every row is the first of its own
        return (piece.ids if named else np.zeros(len(owners), dtype=np.int64)), owners, None
    numbers, stays = shared.owners.of(part, len(owners))
    return (piece.ids if named else numbers), owners, stays


def _linked(
    shared: _Shared, piece: Piece, stays: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int8], NDArray[np.uint8], NDArray[np.int64], int]:
    """Why each row has no links, the links of the others, exact counts, and how many rows are there."""
    points = len(shared.judged)
    if not len(piece):
        return np.empty(0, np.int8), np.empty((0, 0), np.uint8), np.zeros((points, 2), np.int64), 0
    linked = link_rows(piece.x, piece.y, stays, shared.judged, shared.method, shared.mechanism, shared.job.dtype)
    return linked.reason, linked.bits, linked.counts(points), linked.present
