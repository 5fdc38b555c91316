"""The provider's side: a private synthetic copy, charged once to the provider's own ledger, as a package.

What is released is settled first, from public parameters; then it is charged; only then is noise drawn. Whatever was
released on the way is kept in a folder, so that a stopped run goes on where it was and draws no noise twice.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

import dataworth
from dataworth.errors import DataError, InputError, LedgerError, MethodError, MissingExtra
from dataworth.privacy.accounting import calibrate_laplace
from dataworth.privacy.events import events_to_json
from dataworth.privacy.kinds import DisjointCounts, Event
from dataworth.privacy.ledger import Charge, admission
from dataworth.privacy.mechanisms import Source
from dataworth.records import Budget, Evidence, Fidelity, Guarantee, Package, Points, Relation, Row, Table, Unit
from dataworth.records.evidence import evidence_from_json, evidence_to_json
from dataworth.records.files import whole_file
from dataworth.records.privacy import Amount
from dataworth.records.sealed import read_sealed, write_sealed
from dataworth.synthesis.protocol import Synthesizer, Synthetic
from dataworth.valuation.fidelity import agreement, noisy_agreement
from dataworth.valuation.games import RidgeAccuracy
from dataworth.valuation.packages import read_package, sample_sheet, write_package
from dataworth.valuation.private_rows import check_columns, label_list, private_rows, warn_of_weak_delta
from dataworth.valuation.release_request import who_answers
from dataworth.valuation.task import encode

if TYPE_CHECKING:
    from dataworth.privacy.ledger import Ledger

__all__ = ["self_check", "synthesize"]

OWN_SHARE = 16  # of epsilon, one part for the counts of agreement: 0.25 of 4
FINISHED = "finished.package"
_REQUEST, _LOCK, _STEPS, _ROWS, _COUNTS = "request.json", "lock", "steps", "synthetic.npz", "fidelity.json"
_ROWS_FORMAT = "dataworth-synthetic-1"
_BILLIONTH = Decimal("1e-9")
_NEIGHBOURS_OF = 2000  # synthetic rows whose nearest private row is looked up
_PERCENTILES = (0, 1, 10, 50)


def synthesize(
    points: Points | None,
    *,
    provider: str,
    classes: Sequence[Any],
    synthesizer: Synthesizer | None = None,
    spend: Budget | None = None,
    ledger: Ledger | None = None,
    fidelity: Literal["own"] | None = None,
    fidelity_epsilon: Amount | None = None,
    public: Points | None = None,
    image_shape: tuple[int, ...] | None = None,
    empty: bool = False,
    request_key: str | None = None,
    folder: Path | str | None = None,
    unit: Unit | None = None,
    insecure_seed: int | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Package:
    """Make a differentially private synthetic copy of a provider's rows, charged to its ledger.

    The package holds the synthetic rows, what was promised and what was released; nothing else of the private rows
    is in it, their number included.

    Args:
        points: The provider's own rows; they stay here. None only with ``empty``.
        provider: Its name, as the coordinator shall show it.
        classes: The public list of labels that all providers agreed on.
        synthesizer: What makes the rows, such as ``PrivateEvolution(...)``; all its parameters are public.
        spend: The epsilon and delta of everything in the package.
        ledger: What it is charged to. None needs ``insecure_seed``: for tests and experiments on public data; the
            package is then stamped NOT PRIVATE.
        fidelity: ``"own"`` adds two noisy counts: on how many private rows a model trained on the synthetic ones is
            right and wrong. It takes ``fidelity_epsilon`` from the budget, and the rows get the rest.
        fidelity_epsilon: One sixteenth of the epsilon if not given.
        public: Public rows with labels, for figures in the package: how well a model trained on the synthetic rows
            does on them.
        image_shape: ``(height, width)`` or ``(height, width, channels)`` where a row holds the pixels of an image.
        empty: Declare, in public, that the provider has no rows. Nothing is released and nothing charged.
        request_key: What the charge is called in the ledger. Without one, ``folder`` has a key of its own.
        folder: Where released intermediate results and the finished package are kept. Called again with the same
            folder, a stopped run goes on and a finished one gives its package, and nothing is charged again. Without
            a folder every call is a new spend.
        unit: Whose presence is hidden, without a ledger; a ledger knows its own. An owner's rows beyond its limit are
            left out, those with the highest ids.
        insecure_seed: For tests only: seeded noise.
        seed: Of what needs no secrecy; public.
        progress: Whether to show a progress bar; by default only on a terminal.

    Returns:
        The package; :func:`write_package` writes it.

    Raises:
        BudgetExceeded: The ledger has not enough left; nothing was computed or spent.
        LedgerError: The key was used for another request, or was charged while the folder does not hold what was
            released under it.
        DataError: Rows, labels or columns that cannot be used, told before anything is spent; no row is quoted.
        MethodError: A budget, unit or parameter that the synthesizer cannot serve.
        MissingExtra: Something the synthesizer needs is not installed.

    Warns:
        WeakDelta: Delta is above one over the number of rows (for the provider's eyes).

    Example:
        >>> import dataworth as dw
        >>> from dataworth.valuation.synthesizing import synthesize
        >>> synthesize(None, provider="clinic", classes=["ill", "well"], empty=True)
        Package of 'clinic': declared empty, epsilon = 1e-9, delta = 1e-18
    """
    labels = label_list(classes)
    if empty:
        _check_nothing_given(points, synthesizer, spend, ledger, fidelity, folder)
        return _empty_package(provider, labels, image_shape)
    if points is None:
        raise InputError("a provider without rows declares so: give empty=True, or points")
    if synthesizer is None or spend is None:
        raise InputError("give a synthesizer= and what to spend=: what makes the rows, and at which epsilon and delta")
    source, whose, relation = who_answers(ledger, spend, unit, insecure_seed)
    if source.private and find_spec("opendp") is None:  # noise comes after the charge, so this must come before it
        raise MissingExtra("a private synthetic copy", "private")
    plan = _plan(synthesizer, spend, whose, relation, fidelity, fidelity_epsilon)
    x, codes = private_rows(points, labels, whose)
    _check_shapes(points, public, image_shape, labels)
    name = Package(provider, None, labels, _promise(plan, source), (), synthesizer.describe()).provider
    request = _Request(
        name, labels, points.features, image_shape, plan, ledger, request_key, seed, insecure_seed, source.private
    )
    warn_of_weak_delta(spend, len(points), 3)
    if folder is None:
        if request_key is not None:
            raise InputError("a request key goes with a folder=, which keeps what is released under it; give one")
        made = _made(None if ledger is None else request.commit(ledger, None, secrets.token_hex(16)))
        return _package(x, codes, request, made, source, None, public, progress)
    place = Path(folder)
    with _alone(place):
        made = request.open(place, ledger)
        finished = place / FINISHED
        if not finished.exists():
            package = _package(x, codes, request, made, source, place, public, progress)
            write_package(package, finished)
        return read_package(finished)


def self_check(points: Points, package: Package, *, public: Points | None = None) -> Table:
    """What only the provider may see: exact figures on its own rows, of how like them the synthetic rows are.

    Nothing here is private. None of it may be sent on, nor the choice of a package by it without thought: choosing
    the best of several is a use of the private rows that no budget covers.

    Args:
        points: The provider's own rows.
        package: Its package.
        public: Public rows, to compare nearest-neighbour distances with: synthetic rows that are much nearer to
            private rows than public ones are may be copies.

    Raises:
        DataError: Columns or labels that do not fit, or a package that is declared empty.

    Example:
        >>> import dataworth as dw, numpy as np
        >>> promised = dw.Guarantee(dw.Budget(4, 1e-5), dw.Row(), "add_or_remove", joint=False)
        >>> rows = dw.Points([[0.1], [0.9]], ["well", "ill"])
        >>> package = dw.Package("clinic", rows, np.array(["ill", "well"]), promised, (), "by hand")
        >>> mine = dw.Points([[0.2], [0.1], [0.8]], ["well", "well", "ill"])
        >>> dw.self_check(mine, package).rows()[2]
        ('accuracy on your rows of a model trained on the synthetic ones', 1.0)
    """
    if package.points is None:
        raise DataError("a package that is declared empty has nothing to check")
    check_columns(points, package.points, ("your rows", "the package"))
    x, codes = private_rows(points, package.classes, Row())
    fitted = RidgeAccuracy().fit(
        np.asarray(package.points.x, dtype=np.float32), encode(package.points.y, package.classes), package.classes.size
    )
    right, wrong = agreement(fitted, x, codes).tolist()
    figures: dict[str, float] = {
        "your rows": len(x),
        "synthetic rows": len(package.points),
        "accuracy on your rows of a model trained on the synthetic ones": right / (right + wrong),
    }
    for what, rows in (("synthetic", package.points), ("public", public)):
        if rows is not None:
            check_columns(points, rows, ("your rows", f"the {what} rows"))
            nearest = _nearest(rows.x, x)
            for percentile in _PERCENTILES:
                name = "smallest" if percentile == 0 else f"{percentile} of 100 are below"
                figures[f"distance of a {what} row to your nearest row, {name}"] = float(
                    np.percentile(nearest, percentile)
                )
    for label, count in zip(package.classes.tolist(), np.bincount(codes, minlength=package.classes.size), strict=True):
        figures[f"your rows of class {label}"] = int(count)
    return Table(
        "self-check",
        "FOR YOUR EYES ONLY: exact figures of your own rows, never to be sent on",
        {"figure": list(figures), "value": list(figures.values())},
    )


def _nearest(rows: NDArray[Any], private: NDArray[Any]) -> NDArray[np.float64]:
    from sklearn.neighbors import NearestNeighbors

    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), _NEIGHBOURS_OF)).astype(np.int64)]
    distances, _ = NearestNeighbors(n_neighbors=1).fit(private).kneighbors(some)
    return np.asarray(distances[:, 0], dtype=np.float64)


# -- what will be released, from public parameters -------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """What a package will cost, settled before anything is looked at.

    Args:
        synthesizer: What makes the rows.
        spend: On everything.
        unit: Whose presence is hidden.
        relation: How it changes.
        rows: The releases behind the rows.
        counts: That behind the counts of agreement, if they are asked for.
        counts_epsilon: What that one costs.
    """

    synthesizer: Synthesizer
    spend: Budget
    unit: Unit
    relation: Relation
    rows: tuple[Event, ...]
    counts: DisjointCounts | None
    counts_epsilon: Decimal | None

    @property
    def events(self) -> tuple[Event, ...]:
        """Everything that is released."""
        return (*self.rows, *(() if self.counts is None else (self.counts,)))


def _plan(
    synthesizer: Synthesizer,
    spend: Budget,
    unit: Unit,
    relation: Relation,
    fidelity: str | None,
    fidelity_epsilon: Amount | None,
) -> _Plan:
    if fidelity not in (None, "own"):
        raise MethodError(f"fidelity must be 'own' or None, not {fidelity!r}")
    if fidelity is None:
        if fidelity_epsilon is not None:
            raise MethodError("fidelity_epsilon is what fidelity='own' costs; give both or neither")
        rows = tuple(synthesizer.events(spend, unit=unit, relation=relation))
        plan = _Plan(synthesizer, spend, unit, relation, rows, None, None)
    else:
        part = (spend.epsilon / OWN_SHARE).quantize(_BILLIONTH, rounding=ROUND_FLOOR)
        epsilon = part if fidelity_epsilon is None else Budget(fidelity_epsilon, spend.delta).epsilon
        if not 0 < epsilon < spend.epsilon:
            raise MethodError(
                f"the counts of agreement cost epsilon = {epsilon} of the {spend.epsilon} that is spent in all; "
                "nothing would be left for the rows"
            )
        counts = DisjointCounts(calibrate_laplace(epsilon, unit=unit, relation=relation))
        rest = Budget(spend.epsilon - epsilon, spend.delta)
        rows = tuple(synthesizer.events(rest, unit=unit, relation=relation))
        plan = _Plan(synthesizer, spend, unit, relation, rows, counts, epsilon)
    admission.check_account(Charge(spend, plan.events, unit, relation))
    return plan


def _promise(plan: _Plan, source: Source) -> Guarantee:
    return Guarantee(plan.spend, plan.unit, plan.relation, private=source.private, joint=False)


def _check_nothing_given(points: Points | None, *others: object) -> None:
    if points is not None:
        raise InputError("empty=True declares that there are no rows, but points were given; leave one out")
    if any(other is not None for other in others):
        raise InputError("a provider that declares itself empty makes nothing and spends nothing; leave the rest out")


def _empty_package(provider: str, labels: NDArray[Any], image_shape: tuple[int, ...] | None) -> Package:
    # A declaration is made in public and hides nothing but what it does not say: it keeps to any budget, and this is
    # the least that can be written.
    least = Guarantee(Budget("1e-9", "1e-18"), Row(), "add_or_remove", joint=False)
    facts = {"dataworth": dataworth.__version__, "made": _today()}
    return Package(provider, None, labels, least, (), "declared empty", None, image_shape, provenance=facts)


def _check_shapes(
    points: Points, public: Points | None, image_shape: tuple[int, ...] | None, labels: NDArray[Any]
) -> None:
    if image_shape is not None and int(np.prod(image_shape)) != points.x.shape[1]:
        raise DataError(
            f"an image of shape {image_shape} has {int(np.prod(image_shape))} values; the rows have {points.x.shape[1]}"
        )
    if public is None:
        return
    check_columns(points, public, ("your rows", "the public rows"))
    strange = int((encode(public.y, labels) < 0).sum())
    if strange:
        raise DataError(f"{strange} of {len(public)} public labels are none of the declared classes")


# -- charged once, whatever happens ----------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Request:
    """What is asked for, in public parameters, and how it is charged."""

    provider: str
    labels: NDArray[Any]
    features: tuple[str, ...] | None
    image_shape: tuple[int, ...] | None
    plan: _Plan
    ledger: Ledger | None
    key: str | None
    seed: int
    insecure_seed: int | None
    private: bool

    def declaration(self) -> dict[str, Any]:
        """Everything that is asked for; nothing of the private rows."""
        plan = self.plan
        return {
            "what": "package",
            "provider": self.provider,
            "classes": self.labels.tolist(),
            "features": None if self.features is None else list(self.features),
            "image_shape": None if self.image_shape is None else list(self.image_shape),
            "synthesizer": plan.synthesizer.describe(),
            "spend": list(plan.spend.charge()),
            "unit": str(plan.unit),
            "relation": plan.relation,
            "events": events_to_json(plan.events),
            "population": None if self.ledger is None else self.ledger.population,
            "insecure_seed": self.insecure_seed,
            "seed": self.seed,
        }

    @property
    def digest(self) -> str:
        """Of what is asked for."""
        return hashlib.sha256(json.dumps(self.declaration(), sort_keys=True).encode()).hexdigest()

    @property
    def charge(self) -> Charge:
        """What it costs."""
        return Charge(self.plan.spend, self.plan.events, self.plan.unit, self.plan.relation)

    def commit(self, ledger: Ledger, key: str | None, token: str) -> str:
        """Spend it, before any noise is drawn; when that was, in UTC."""
        ledger.check(self.charge)
        payload = json.dumps({"token": token, **self.declaration()}).encode()
        nothing = np.zeros(0, dtype=np.int64)
        kept = ledger.commit(self.charge, noisy=nothing, payload=payload, request_key=key, digest=self.digest)
        if _token_of(kept.payload) != token:  # another process was first
            raise LedgerError(f"the request key {key!r} was charged by another run meanwhile; wait for that one")
        return kept.made

    def open(self, folder: Path, ledger: Ledger | None) -> str:
        """See to it that the request is charged exactly once and that the folder is its own; when it was charged."""
        marker = _read_marker(folder)
        if marker is None:
            if _held(folder):
                raise InputError(f"the folder {str(folder)!r} holds other things; name a new or empty one")
            token = secrets.token_hex(16)
            key = self.key if self.key is not None else f"package {token}"
            if ledger is not None:
                if ledger.find(key, self.digest) is not None:
                    raise LedgerError(_lost(key, folder))
                ledger.check(self.charge)
            marker = {"digest": self.digest, "key": key, "token": token, "made": _today()}
            with whole_file(folder / _REQUEST) as temporary:
                temporary.write_text(json.dumps(marker), encoding="utf-8")
        if marker["digest"] != self.digest:
            raise InputError(
                f"the folder {str(folder)!r} holds the work on another request (other options, columns, classes or "
                "ledger); repeat that one, or name a new folder"
            )
        if self.key is not None and marker["key"] != self.key:
            raise InputError(f"the folder {str(folder)!r} holds the work under the request key {marker['key']!r}")
        if ledger is None:
            return marker["made"]
        return self._charged(folder, ledger, marker)

    def _charged(self, folder: Path, ledger: Ledger, marker: Mapping[str, str]) -> str:
        stored = ledger.find(marker["key"], self.digest)
        if stored is not None:
            if _token_of(stored.payload) != marker["token"]:
                raise LedgerError(_lost(marker["key"], folder))
            return _made(stored.made)
        if _held(folder) - {_REQUEST}:
            raise LedgerError(
                f"the folder {str(folder)!r} holds released results that this ledger never charged; open the ledger "
                "they were charged to, or name a new folder"
            )
        return _made(self.commit(ledger, marker["key"], marker["token"]))


def _held(folder: Path) -> set[str]:
    """What is in a folder but its lock, and files that a killed run had not finished writing."""
    names = {path.name for path in folder.iterdir()} - {_LOCK}
    return {name for name in names if not (name.startswith(".") and name.endswith(".part"))}


def _lost(key: str, folder: Path) -> str:
    return (
        f"the request key {key!r} was charged before, but the folder {str(folder)!r} does not hold what was released "
        "under it; a second run would draw other noise for one charge. Name the folder of that run, or give another "
        "request key, which is charged anew"
    )


def _token_of(payload: bytes) -> object:
    try:
        plain = json.loads(payload)
    except ValueError:
        return None
    return plain.get("token") if isinstance(plain, dict) else None


def _read_marker(folder: Path) -> dict[str, str] | None:
    try:
        plain = json.loads((folder / _REQUEST).read_text(encoding="utf-8"))
        return {name: str(plain[name]) for name in ("digest", "key", "token", "made")}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as trouble:
        raise DataError(f"{str(folder / _REQUEST)!r} is damaged ({type(trouble).__name__})") from None


def _made(charged: str | None) -> str:
    """The day; how long a run took would tell of the number of rows."""
    return _today() if charged is None else charged[: len("2026-11-22")]


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No two runs at once in one folder: each would draw noise of its own for one charge.

    The lock is SQLite's: it works everywhere, and one that was killed holds it no longer.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as trouble:
        raise InputError(f"the folder {str(folder)!r} cannot be made ({trouble.strerror})") from None
    lock = sqlite3.connect(folder / _LOCK, timeout=0, isolation_level=None)
    try:
        try:
            lock.execute("PRAGMA journal_mode = MEMORY")  # no second file
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            raise InputError(f"another run is at work in the folder {str(folder)!r}, or it cannot be written") from None
        yield
    finally:
        lock.close()


# -- noise is drawn --------------------------------------------------------------------------------


def _package(
    x: NDArray[np.float32],
    codes: NDArray[np.int64],
    request: _Request,
    made: str,
    source: Source,
    folder: Path | None,
    public: Points | None,
    progress: bool | None,
) -> Package:
    plan, labels = request.plan, request.labels
    synthetic = _rows(x, codes, request, source, folder, progress)
    found = None
    fitted = None
    if plan.counts is not None or public is not None:
        fitted = RidgeAccuracy().fit(synthetic.x, synthetic.codes, labels.size)
    if plan.counts is not None and plan.counts_epsilon is not None:
        noisy = _counts(x, codes, fitted, plan.counts.scale, source, folder)
        promise = Guarantee(
            Budget(plan.counts_epsilon, plan.spend.delta), plan.unit, plan.relation, source.private, joint=False
        )
        found = Fidelity(int(noisy[0]), int(noisy[1]), plan.counts.scale, promise)
    return Package(
        provider=request.provider,
        points=Points(synthetic.x, labels[synthetic.codes], features=request.features),
        classes=labels,
        guarantee=_promise(plan, source),
        events=tuple(events_to_json(plan.events)),
        synthesizer=plan.synthesizer.describe(),
        fidelity=found,
        image_shape=request.image_shape,
        evidence=(*synthetic.evidence, *_evidence(synthetic, labels, fitted, public, request.image_shape)),
        provenance={"dataworth": dataworth.__version__, "made": made, "seed": request.seed},
    )


def _rows(
    x: NDArray[np.float32],
    codes: NDArray[np.int64],
    request: _Request,
    source: Source,
    folder: Path | None,
    progress: bool | None,
) -> Synthetic:
    """The synthetic rows; kept before anything else is made of them, so that the counts are those of these rows."""
    kept = None if folder is None else folder / _ROWS
    if kept is not None and kept.exists():
        about, arrays = read_sealed(kept, _ROWS_FORMAT, "set of synthetic rows", "dataworth synthesize")
        return Synthetic(arrays["x"], arrays["codes"], evidence_from_json(about["evidence"]))
    steps = None
    if folder is not None:
        steps = folder / _STEPS
        steps.mkdir(mode=0o700, exist_ok=True)
    count = request.labels.size
    made = request.plan.synthesizer.synthesize(
        x, codes, count, events=request.plan.rows, source=source, seed=request.seed, folder=steps, progress=progress
    )
    _check_made(made, x.shape[1], count)
    if kept is not None:
        write_sealed(
            kept, _ROWS_FORMAT, {"evidence": evidence_to_json(made.evidence)}, {"x": made.x, "codes": made.codes}
        )
    return made


def _check_made(made: Synthetic, columns: int, count: int) -> None:
    x, codes = made.x, made.codes
    fits = x.ndim == 2 and x.shape[0] >= 1 and x.shape[1] == columns and codes.shape == x.shape[:1]
    if not fits or not np.isfinite(x).all() or codes.min() < 0 or codes.max() >= count:
        raise MethodError(
            f"the synthesizer must give at least one row of {columns} finite numbers, each with a class from 0 to "
            f"{count - 1}; it gave x of shape {x.shape} and codes of shape {codes.shape}"
        )


def _counts(
    x: NDArray[np.float32],
    codes: NDArray[np.int64],
    fitted: Any,
    scale: Fraction,
    source: Source,
    folder: Path | None,
) -> NDArray[np.int64]:
    kept = None if folder is None else folder / _COUNTS
    if kept is not None and kept.exists():
        plain = json.loads(kept.read_text(encoding="utf-8"))
        return np.array([plain["agree"], plain["disagree"]], dtype=np.int64)
    noisy = noisy_agreement(fitted, x, codes, scale, source)
    if kept is not None:
        with whole_file(kept) as temporary:
            temporary.write_text(json.dumps({"agree": int(noisy[0]), "disagree": int(noisy[1])}), encoding="utf-8")
    return noisy


def _evidence(
    synthetic: Synthetic,
    labels: NDArray[Any],
    fitted: Any,
    public: Points | None,
    image_shape: tuple[int, ...] | None,
) -> list[Evidence]:
    """Figures against public rows, and pictures of synthetic ones: functions of what is released and public."""
    shown: list[Evidence] = []
    if public is not None:
        codes = encode(public.y, labels)
        right = fitted.predict(np.asarray(public.x, dtype=np.float32)) == codes
        shares = [np.bincount(some, minlength=labels.size) / some.size for some in (synthetic.codes, codes)]
        figures: dict[str, float] = {
            "synthetic rows": len(synthetic.x),
            "public rows": len(public),
            "accuracy on public rows of a model trained on synthetic ones": float(right.mean()),
            "accuracy of guessing": 1 / labels.size,
            "largest difference of a class's share": float(np.abs(shares[0] - shares[1]).max()),
        }
        shown.append(
            Table(
                "synthetic-quality",
                "Synthetic rows against public ones",
                {"figure": list(figures), "value": list(figures.values())},
                "Computed from synthetic and public rows alone.",
            )
        )
    if image_shape is not None:
        shown.append(sample_sheet(synthetic.x, synthetic.codes, labels, image_shape))
    return shown
