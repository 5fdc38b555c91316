"""Can a value tell whose row is in the data? The membership attack of Threshold KNN-Shapley (Algorithm 1).

An attacker joins a data market with a copy of somebody's row and looks at the value of that copy: with the
original present it is worth less, or otherwise, than without. How much, the attacker learns on shadow data sets
of the same kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, MethodError
from dataworth.kernels import neighbors
from dataworth.kernels.knn import soft_from_fixed
from dataworth.kernels.newcomer import newcomer_values
from dataworth.kernels.noisy import Given, clamped, exact, shrunk
from dataworth.kernels.reweighting import Prediction, explain
from dataworth.privacy.audit import auroc, log_likelihood_ratio, mean_interval
from dataworth.privacy.mechanisms import InsecureSource, Source
from dataworth.records import Points, Table
from dataworth.records.evidence import Cell
from dataworth.records.privacy import Budget
from dataworth.valuation.audits.cells import Bits, find_cells, let_in
from dataworth.valuation.methods import KNNShapley, Mechanism, Subsampled, ThresholdKNNShapley
from dataworth.valuation.planning import Judged, Plan, plan_release
from dataworth.valuation.task import Task, bar

__all__ = ["Attack", "Found", "attack_knn", "attack_threshold", "audit_membership"]

_Numbers: TypeAlias = NDArray[np.float64]

DATA_SETS = 4  # targets in, targets out, and a pool for shadows twice that size


@dataclass(frozen=True, eq=False)
class Attack:
    """One run: who is in the data, who is not, and what the attacker rehearses on.

    The first ``members`` rows of the task are the data set under attack, as many follow that are not in it, and
    twice as many from which shadow data sets of the same size are drawn. All of the first two kinds are targets.

    Args:
        task: Rows and judges.
        members: How many rows the data set under attack has.
        sets: Which rows each data set holds, the one under attack first, then the shadows,
            ``(1 + n_shadows, n_rows)``.
        classes: All class labels, if not those of the validation set.
    """

    task: Task
    members: int
    sets: Bits
    classes: Sequence[Any] | None

    @classmethod
    def draw(
        cls,
        rows: Points,
        validation: Points,
        *,
        members: int = 200,
        shadows: int = 32,
        seed: int = 0,
        classes: Sequence[Any] | None = None,
    ) -> Attack:
        """Deal rows out at random.

        Args:
            rows: At least four times as many as members; more are left out at random.
            validation: The points that judge.
            members: How many rows the data set under attack has.
            shadows: How many shadow data sets.
            seed: Of everything drawn.
            classes: All class labels; by default those of the validation set.

        Raises:
            DataError: Too few rows.
            MethodError: Fewer than two members or shadows.
        """
        if members < 2 or shadows < 2:
            raise MethodError(f"an attack needs at least two members and two shadows, not {members} and {shadows}")
        if len(rows) < DATA_SETS * members:
            raise DataError(
                f"an attack on {members} members needs {DATA_SETS * members} rows (members, as many others, and a "
                f"pool for shadows twice that size), not {len(rows)}"
            )
        random = np.random.default_rng(seed)
        dealt = rows.take(random.permutation(len(rows))[: DATA_SETS * members])
        sets = np.zeros((1 + shadows, len(dealt)), dtype=np.bool_)
        sets[0, :members] = True
        for shadow in sets[1:]:
            shadow[random.choice(np.arange(2 * members, len(dealt)), size=members, replace=False)] = True
        return cls(Task.of(dealt, validation, classes), members, sets, classes)

    @property
    def targets(self) -> NDArray[np.int64]:
        """Rows that are attacked, members first."""
        return np.arange(2 * self.members)

    def match(self) -> Bits:
        """Whether each row shares each point's label, ``(n_rows, n_validation)``."""
        return np.asarray(self.task.codes[:, None] == self.task.point_codes)

    def judge(self, absent: _Numbers, present: _Numbers) -> Found:
        """How well the values of a copy tell members from others.

        Args:
            absent: The value of each target's copy in each data set as it is, ``(1 + n_shadows, n_targets)``.
            present: The same with the target itself put into the shadows, ``(n_shadows, n_targets)``.
        """
        scores = log_likelihood_ratio(absent[0], present, absent[1:]).round(9)  # rounding errors make no order
        others = scores[self.members :]
        half = self.members // 2
        return Found(auroc(scores[: self.members], others), auroc(others[:half], others[half:]))


@dataclass(frozen=True)
class Found:
    """What one run of the attack found.

    Args:
        auroc: Chance that a member scores above a non-member; one half is a guess.
        null: The same between two halves of the non-members: one half but for chance, or the attack is wrong.
    """

    auroc: float
    null: float


# -- K nearest neighbours --------------------------------------------------------------------------


def attack_knn(attack: Attack, methods: Sequence[KNNShapley]) -> list[Found]:
    """Attack KNN-Shapley values, for several K at once.

    Args:
        attack: From :meth:`Attack.draw`.
        methods: What values are computed by; all of one game and metric.

    Raises:
        MethodError: No methods, or of different games or metrics.
    """
    if len({(method.normalise, method.metric) for method in methods}) != 1:
        raise MethodError("attack_knn takes methods of one game and metric that differ in k alone, at least one")
    return [attack.judge(*values) for values in zip(*knn_copies(attack, methods), strict=True)]


def knn_copies(attack: Attack, methods: Sequence[KNNShapley]) -> tuple[_Numbers, _Numbers]:
    """What the attacker sees: values of copies, for each method, as :meth:`Attack.judge` takes them."""
    return _knn_copies(attack, methods, attack.sets, 1), _knn_copies(attack, methods, attack.sets[1:], 2)


def _knn_copies(attack: Attack, methods: Sequence[KNNShapley], sets: Bits, copies: int) -> _Numbers:
    """Values, summed over points, of the last of some copies of every target in every data set, for every K."""
    task, targets, match = attack.task, attack.targets, attack.match()
    n = attack.members + copies
    soft = methods[0].normalise == "subset"
    ks = [min(method.k, n) if soft else method.k for method in methods]
    values = np.zeros((len(ks), len(sets), targets.size))
    for z, point in enumerate(task.validation.x):
        distance = neighbors.distances_to(task.train.x, point, methods[0].metric)
        values += newcomer_values(distance, match[:, z], sets, targets, ks, copies=copies)
    if soft:
        for at, k in enumerate(ks):
            values[at] += _soft_change(attack, sets, k, copies)
    return values


def _soft_change(attack: Attack, sets: Bits, k: int, copies: int) -> _Numbers:
    """What the soft game adds to the value of a copy: it depends on the classes of the rows alone."""
    task, codes = attack.task, attack.task.codes
    change = np.empty((len(sets), attack.targets.size))
    for at, held in enumerate(sets):
        for code in np.unique(codes[attack.targets]):
            everyone = np.append(codes[held], np.repeat(code, copies))
            moved = soft_from_fixed(np.zeros(everyone.size), everyone, task.point_codes, k, task.n_classes)
            change[at, codes[attack.targets] == code] = moved[-1]
    return change


# -- a radius, exact or private --------------------------------------------------------------------


def attack_threshold(
    attack: Attack,
    method: ThresholdKNNShapley,
    plan: Plan | None = None,
    *,
    seed: int = 0,
) -> Found:
    """Attack Threshold-KNN values, exact or from noisy counts.

    A copy's value needs the counts of its neighbours and no more, so no data set is built. Shadows are released
    as the data are, with noise of their own; the same noise stands with and without the target, which can only
    help the attacker.

    Args:
        attack: From :meth:`Attack.draw`.
        method: What values are computed by.
        plan: Noise and cap of a private release; None attacks exact values.
        seed: Of the noise, which is not the operating system's: the data of an experiment are public.
    """
    return attack.judge(*threshold_copies(attack, method, plan, InsecureSource(seed)))


def threshold_copies(
    attack: Attack, method: ThresholdKNNShapley, plan: Plan | None, source: Source
) -> tuple[_Numbers, _Numbers]:
    """What the attacker sees: values of copies, summed over points, as :meth:`Attack.judge` takes them."""
    mechanism = None if plan is None else plan.mechanism
    cells = find_cells(attack.task, method, mechanism)
    counts = _count(attack.sets, cells, mechanism, source)
    if plan is not None:
        counts = source.add_noise(counts, plan.sigma).counts
    give = _giver(attack, method, plan, counts)
    copies = cells[attack.targets].astype(np.float64)

    def worth(originals: int) -> _Numbers:
        """What a copy in either cell is given beside the counts and so many originals in the same cell."""
        same, other = ((originals + 1) * np.array(cell) for cell in ((1, 0), (0, 1)))
        return np.stack([give(counts + same).same, give(counts + other).other], axis=-1).reshape(counts.shape)

    alone = worth(0)
    absent = np.einsum("szc,tzc->st", alone, copies, optimize=True)
    change = worth(1)[1:] - alone[1:]
    present = absent[1:].copy()
    for shadow, changed in enumerate(change):
        there = copies * let_in(copies.shape[:2], mechanism, source)
        present[shadow] += np.einsum("zc,tzc->t", changed, there, optimize=True)
    return absent, present


def _count(sets: Bits, cells: Bits, mechanism: Mechanism | None, source: Source) -> NDArray[np.int64]:
    """Counts of every data set, ``(n_sets, n_validation, 2)``: rows of the point's label, and others."""
    counts = np.empty((len(sets), *cells.shape[1:]), dtype=np.int64)
    for held, out in zip(sets, counts, strict=True):
        there = cells[held]
        out[:] = (there & let_in(there.shape[:2], mechanism, source)).sum(axis=0)
    return counts


def _giver(
    attack: Attack, method: ThresholdKNNShapley, plan: Plan | None, noisy: NDArray[np.int64]
) -> Callable[[NDArray[np.int64]], Given]:
    """How counts of all data sets, noisy or not and with a copy in them, become what points give the copy."""
    n_classes, semivalue = attack.task.n_classes, method.semivalue
    if plan is None or plan.sigma == 0:
        return lambda counts: exact(counts.reshape(-1, 2), n_classes, semivalue)
    if isinstance(plan.mechanism, Subsampled):
        return lambda counts: clamped(counts.reshape(-1, 2), plan.sigma, True, n_classes, semivalue)
    found = _predict(attack, method, plan, plan.mechanism.links or len(attack.task.validation), noisy)
    return lambda counts: shrunk(counts.reshape(-1, 2), plan.sigma, found, n_classes, semivalue)


def _predict(attack: Attack, method: ThresholdKNNShapley, plan: Plan, cap: int, noisy: NDArray[np.int64]) -> Prediction:
    """What the validation set predicts of the counts of every data set; the copy itself hardly moves it."""
    # Not the plan's own links: one plan, for its noise, may serve many attacks, each with its validation set.
    links = Judged.of(attack.task.validation, method, attack.classes, "float32", 1).linked(method.radius, cap, 1)
    found = [explain(links, counts, float(plan.sigma), attack.members) for counts in noisy]
    return Prediction(np.concatenate([each.mean for each in found]), np.concatenate([each.variance for each in found]))


# -- on data of one's own --------------------------------------------------------------------------


def audit_membership(
    train: Points,
    validation: Points,
    *,
    method: KNNShapley | ThresholdKNNShapley,
    spend: Budget | None = None,
    mechanism: Mechanism | None = None,
    members: int | None = None,
    shadows: int = 32,
    seeds: int = 10,
    classes: Sequence[Any] | None = None,
    progress: bool | None = None,
) -> Table:
    """Attack a method on data that the auditor holds: do its values tell who is in the data?

    Every run deals rows anew: members, as many others, and a pool for shadows twice that size. The result is
    computed from the rows as they are, so it is for the operator alone, never for publication.

    Args:
        train: At least eight rows; those not needed are left out at random.
        validation: The points that judge.
        method: ``KNNShapley`` or ``ThresholdKNNShapley``.
        spend: Attack the private release of ``ThresholdKNNShapley`` values at this budget; None attacks exact ones.
        mechanism: Of the private release: ``CappedLinks()`` (default) or ``Subsampled(probability)``.
        members: How many rows the data under attack have; by default 200, or a quarter of the rows if fewer.
        shadows: How many data sets the attacker rehearses on.
        seeds: How many runs, at least two.
        classes: All class labels; by default those of the validation set.
        progress: Whether to show a progress bar; by default only on a terminal.

    Returns:
        One row: the mean AUROC of the attack with its 95% interval; the same between non-members, where it must
        be one half; and what that says.

    Raises:
        DataError: Too few rows.
        MethodError: Another method, a mechanism without a spend, or too few runs.

    Example:
        >>> import dataworth as dw
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(100, 3))
        >>> rows, judges = dw.Points(x[:80], x[:80, 0] > 0), dw.Points(x[80:], x[80:, 0] > 0)
        >>> table = audit_membership(rows, judges, method=dw.ThresholdKNNShapley(radius=0.3), seeds=3, progress=False)
        >>> table.columns["members"], 0 < table.columns["AUROC"][0] < 1
        ((20,), True)
    """
    if not isinstance(method, KNNShapley | ThresholdKNNShapley):
        raise MethodError(f"this attack is on KNNShapley and ThresholdKNNShapley, not {type(method).__name__}")
    if spend is None and mechanism is not None:
        raise MethodError("a mechanism is for a private release; give a spend too, or leave it out")
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 2:
        raise MethodError(f"seeds must be a whole number from 2 on (one run has no interval), not {seeds!r}")
    size = min(200, len(train) // DATA_SETS) if members is None else members
    plan = None
    if spend is not None:
        if not isinstance(method, ThresholdKNNShapley):
            raise MethodError(f"only ThresholdKNNShapley has a private release, not {type(method).__name__}")
        plan = plan_release(
            validation, method=method, spend=spend, mechanism=mechanism, expected_rows=size, classes=classes,
            progress=progress,
        )  # fmt: skip
    found = []
    with bar(seeds, "attacks", progress) as tick:
        for seed in range(seeds):
            attack = Attack.draw(train, validation, members=size, shadows=shadows, seed=seed, classes=classes)
            if isinstance(method, KNNShapley):
                found += attack_knn(attack, [method])
            else:
                found.append(attack_threshold(attack, method, plan, seed=seed))
            tick(1)
    attacked, null = mean_interval([run.auroc for run in found]), mean_interval([run.null for run in found])
    columns: dict[str, list[Cell]] = {
        "method": [repr(method)],
        "release": ["exact values" if plan is None else f"{plan.mechanism!r} at {spend}"],
        "members": [size],
        "runs": [seeds],
        "AUROC": [attacked.mean],
        "from": [attacked.low],
        "to": [attacked.high],
        "AUROC among non-members": [null.mean],
        "non-members from": [null.low],
        "non-members to": [null.high],
        "verdict": ["values tell members" if attacked.low > 0.5 else "no sign that values tell members"],
    }
    note = (
        f"NOT PRIVATE: made from the rows as they are, for the operator's eyes only. Chance that a member scores above "
        f"a non-member, mean of {seeds} runs with a 95% interval; one half is a guess. {shadows} shadow data sets, "
        f"{len(validation)} validation points. Finding no sign is no proof."
    )
    return Table("audit-membership", "Audit: do values tell who is in the data?", columns, note)
