"""What a private release is asked for: all of it public, but for the source of randomness."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError, LedgerError, MethodError, WeakDelta
from dataworth.kernels import neighbors
from dataworth.privacy.mechanisms import Source, random_source
from dataworth.records import Budget, Guarantee, Points, Relation, Release, Row, Unit
from dataworth.records.privacy import in_words
from dataworth.valuation.methods import CappedLinks, Mechanism, ThresholdKNNShapley
from dataworth.valuation.planning import Judged, Plan, check_rows, fingerprint, plan_release
from dataworth.valuation.task import class_list

if TYPE_CHECKING:
    from dataworth.privacy.ledger import Charge, Ledger, Stored

__all__ = ["Request", "describe_release", "links_of_a_row", "who_answers"]

_EXPECTED = (
    "expected rank correlation with exact values",
    "the same for the validation set alone",
    "expected error of a value (median)",
)


@dataclass(frozen=True, eq=False)
class Request:
    """What is asked, of which ledger; made by :meth:`of`, which refuses what is wrong with it.

    Args:
        validation: The points that judge.
        classes: All class labels, as they were given; None for those of the points.
        points: A digest of both.
        method: How to value.
        spend: What is charged; None for no noise at all.
        mechanism: As it was asked for.
        expected_rows: The declared number of rows.
        unit: Whose presence is hidden.
        relation: The relation that is kept account of.
        data_version: What the operator calls this state of the data.
        dtype: The precision of screening.
        source: Of noise and bits.
        ledger: What is charged, if anything is.
        plan: If it was made already.
    """

    validation: Points
    classes: Sequence[Any] | None
    points: str
    method: ThresholdKNNShapley
    spend: Budget | None
    mechanism: Mechanism | None
    expected_rows: int | None
    unit: Unit
    relation: Relation
    data_version: str
    dtype: neighbors.DType
    source: Source
    ledger: Ledger | None
    plan: Plan | None

    @classmethod
    def of(
        cls,
        validation: Points,
        *,
        method: ThresholdKNNShapley,
        spend: Budget | None,
        ledger: Ledger | None,
        mechanism: Mechanism | None,
        expected_rows: int | None,
        data_version: str,
        classes: Sequence[Any] | None,
        plan: Plan | None,
        unit: Unit | None,
        insecure_seed: int | None,
        dtype: neighbors.DType,
    ) -> Request:
        """What :func:`dataworth.release_points` was given.

        Raises:
            InputError: No validation points, or neither a ledger nor a seed.
            LedgerError: A ledger together with a seed or another unit, or without anything to spend.
            MethodError: Another method, or a plan for something else.
            DataError: Validation points with missing features.
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
        return cls(
            validation, classes, points, method, spend, mechanism, expected_rows, whose, relation, data_version, dtype,
            source, ledger, plan,
        )  # fmt: skip

    @property
    def population(self) -> str:
        """Whose data it is about, as the ledger names it."""
        return "none" if self.ledger is None else self.ledger.population

    @cached_property
    def digest(self) -> str:
        """Of what was asked, not of what came of it: so a retry finds its answer whatever else has changed since."""
        asked = [
            replace(self.method, radius=float(self.method.radius)), self.mechanism or CappedLinks(), self.spend,
            self.unit, self.relation, self.expected_rows, self.population, self.data_version, self.dtype,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps([self.points, *map(str, asked)]).encode()).hexdigest()

    def find(self, key: str | None) -> Stored | None:
        """The answer that the ledger gave before under a key.

        Raises:
            LedgerError: Something else was asked under that key.
        """
        return None if self.ledger is None or key is None else self.ledger.find(key, self.digest)

    def planned(self, threads: int | None, progress: bool | None, links: int | None = None) -> Plan:
        """The plan that was given, or one made now.

        Args:
            threads: How many threads to use.
            progress: Whether to show a progress bar.
            links: The cap of a run that goes on, if one does. Another may be best by now, as by another version of
                this library, but rows were linked under this one.

        Raises:
            InputError: The plan that was given has another cap.
        """
        made = self._plan(self.mechanism, threads, progress) if self.plan is None else self.plan
        if links in (None, links_of_a_row(made)):
            return made
        if self.plan is not None:
            raise InputError(
                f"the run that was begun in this folder keeps {links} links a row, but the plan "
                f"{links_of_a_row(made)}; give the plan of that run, or name a new folder"
            )
        return replace(self._plan(CappedLinks(links), threads, progress), asked=made.asked)

    def _plan(self, mechanism: Mechanism | None, threads: int | None, progress: bool | None) -> Plan:
        return plan_release(
            self.validation, method=self.method, spend=self.spend, mechanism=mechanism,
            expected_rows=self.expected_rows, classes=self.classes, unit=self.unit, relation=self.relation,
            dtype=self.dtype, threads=threads, progress=progress,
        )  # fmt: skip

    def planned_as(self, head: Release, threads: int) -> Plan:
        """The plan of a release that was made of this very request, from what the ledger keeps of it.

        Nothing is rehearsed or calibrated again, so that a release is valued as it was counted whatever has become of
        this library and those it rests on. It charges nothing: it has no events.

        Args:
            head: The release, with its recipe.
            threads: How many threads to use.
        """
        judged = Judged.of(self.validation, self.method, self.classes, self.dtype, threads)
        cap = int(head.recipe["links"])
        rank, proxy, error = (float(head.public[name] or 0.0) for name in _EXPECTED)
        return Plan(
            self.method, self.mechanism or CappedLinks(), CappedLinks(cap), self.spend, self.unit, self.relation,
            head.sigma, head.rows_sigma, (), head.guarantees, self.expected_rows, rank, error,
            float(head.recipe["band factor"]), proxy, self.points, judged,
            judged.linked(self.method.radius, cap, threads),
        )  # fmt: skip

    def charge(self, plan: Plan) -> Charge | None:
        """What the ledger is to be charged, if there is one.

        Raises:
            BudgetExceeded: The ledger has not enough left.
        """
        if self.ledger is None or self.spend is None:
            return None
        from dataworth.privacy.ledger import Charge

        charge = Charge(self.spend, plan.events, self.unit, self.relation)
        self.ledger.check(charge)
        return charge

    def warn_if_weak(self, rows: int, *, stacklevel: int) -> None:
        """Tell the operator of a delta that would allow publishing somebody's row.

        Warns:
            WeakDelta: It is above one over the number of rows.
        """
        if self.spend is not None and float(self.spend.delta) * rows > 1:
            warnings.warn(
                f"delta = {in_words(self.spend.delta)} is above one over the number of rows: it would allow "
                "publishing somebody's row",
                WeakDelta,
                stacklevel=stacklevel + 1,
            )


def links_of_a_row(plan: Plan) -> int:
    """How many links a row keeps at most; all of them where there is no cap."""
    settled = plan.mechanism.links if isinstance(plan.mechanism, CappedLinks) else None
    return settled or len(plan.judged)


def who_answers(
    ledger: Ledger | None, spend: Budget | None, unit: Unit | None, insecure_seed: int | None
) -> tuple[Source, Unit, Relation]:
    """The source of randomness, and the unit and relation that are kept account of.

    Raises:
        InputError: Neither a ledger nor a seed.
        LedgerError: A ledger together with a seed or another unit, or without anything to spend.
    """
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


def describe_release(
    plan: Plan,
    noisy: NDArray[np.int64],
    noisy_rows: int | None,
    *,
    private: bool,
    population: str,
    data_version: str,
    rows: Mapping[str, NDArray[Any]],
    recipe: Mapping[str, str | int | float] | None = None,
) -> Release:
    """A release with all that may be said of it.

    Args:
        plan: How it was made.
        noisy: Its noisy counts, ``(n_validation, 2)``.
        noisy_rows: The noisy number of rows, if that is released too.
        private: Whether the noise was.
        population: Whose data it is about.
        data_version: What the operator calls this state of the data.
        rows: Everybody's values, if they are kept with it.
        recipe: What they are made again from, if they are not.
    """
    return Release(
        population=population,
        method=repr(plan.method),
        mechanism=repr(plan.mechanism),
        guarantees=tuple(
            Guarantee(promise.budget, promise.unit, promise.relation, private) for promise in plan.guarantees
        ),
        noisy=noisy,
        sigma=plan.sigma,
        noisy_rows=noisy_rows,
        rows_sigma=plan.rows_sigma,
        public={
            "classes": plan.judged.n_classes,
            "expected rows": plan.expected_rows,
            "data version": data_version,
            _EXPECTED[0]: plan.expected_spearman,
            _EXPECTED[1]: plan.proxy_spearman,
            _EXPECTED[2]: plan.expected_error,
        },
        made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        number=None,
        rows=rows,
        recipe={} if recipe is None else recipe,
    )
