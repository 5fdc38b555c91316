"""The coordinator's side: what providers are worth, from their packages and answers alone.

Nothing here takes private rows: what a provider knows reaches this module as synthetic rows and noisy counts that it
has paid for.
"""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import dataworth
from dataworth.errors import DataError, InputError, MethodError
from dataworth.records import Budget, Evidence, Exhibit, Fidelity, Guarantee, Package, Points, Shares, Table
from dataworth.records.sealed import digest_of
from dataworth.valuation.calibration import Calibration
from dataworth.valuation.coalitions import solve_game
from dataworth.valuation.fidelity import Reply, ask, packages_that_fit
from dataworth.valuation.games import RidgeAccuracy, Utility
from dataworth.valuation.packages import check_account, check_counts, package_digest, read_package
from dataworth.valuation.private_rows import check_columns
from dataworth.valuation.task import check_same_kind, encode

__all__ = ["value_providers"]

SELF_REPORTED = (
    "Fidelity is what providers say of themselves: noise hides their rows, and nothing here can tell an honest count "
    "from an invented one."
)
ADDS_UP = (
    "A person whose data are at several providers is protected by the sum of what those providers spent, not by the "
    "largest of it."
)
MOST_SHOWN = 20  # pieces of evidence of one package


def value_providers(
    packages: Iterable[Package | str | os.PathLike[str]],
    validation: Points,
    *,
    utility: Utility | None = None,
    calibration: Calibration | None = None,
    answers: Iterable[Reply | str | os.PathLike[str]] = (),
    exact: bool | None = None,
    max_permutations: int = 1000,
    target_error: float | None = None,
    ceiling: float = 1.0,
    folder: str | os.PathLike[str] | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Shares:
    """Value data providers on their synthetic copies, calibrated by fidelity and utility.

    Values are never exact: they come from synthetic rows. The uncalibrated and the uniform split are in the result,
    beside the calibrated one.

    Args:
        packages: One a provider, or the paths of their files; never private rows.
        validation: Public rows with labels, on which coalitions are judged.
        utility: What a coalition's rows are worth; ``RidgeAccuracy()`` if not given.
        calibration: The weights; ``Calibration()`` if not given.
        answers: To the question that :func:`ask` made of these very packages, or the paths of their files. Where a
            provider gave none, the counts in its package are used, if there are any.
        exact: All coalitions (up to 12 providers), or permutations; by default whichever there are few enough for.
        max_permutations: Where coalitions are sampled.
        target_error: Stop sampling when no standard error is larger.
        ceiling: The highest utility there can be: 1 for accuracy.
        folder: Where utilities of coalitions are kept, so that a stopped run goes on.
        seed: Of the order in which coalitions are sampled.
        progress: Whether to show a progress bar; by default only on a terminal.

    Returns:
        The shares, with flags that must be read before they are used.

    Raises:
        DataError: Packages that do not fit together or do not keep to what they declare, answers to another
            question, or validation rows with other columns or labels.
        InputError: Something that is no package, such as private rows.
        MethodError: More than 12 providers with ``exact=True``, or parameters that a utility cannot serve.

    Example:
        >>> import dataworth as dw, numpy as np
        >>> from dataworth.valuation.providers import value_providers
        >>> promised = dw.Guarantee(dw.Budget(4, 1e-5), dw.Row(), "add_or_remove", joint=False)
        >>> event = {"kind": "declared", "epsilon": "4", "delta": "0.00001"}
        >>> classes = np.array(["ill", "well"])
        >>> def package(name, rows, labels):
        ...     return dw.Package(name, dw.Points(rows, labels), classes, promised, (event,), "by hand")
        >>> some = [package("a", [[0.1], [0.9]], ["well", "ill"]), package("b", [[0.2]], ["well"])]
        >>> validation = dw.Points([[0.0], [1.0]], ["well", "ill"])
        >>> shares = value_providers(some, validation, progress=False)
        >>> shares.uncalibrated.tolist()
        [0.5, 0.0]
    """
    began = time.perf_counter()
    some = packages_that_fit(_read(packages))
    for package in some:
        check_account(package, f"the package of {package.provider!r}")
    _check_validation(validation, some)
    replies = _replies(answers, some)
    rule = RidgeAccuracy() if utility is None else utility
    weights = Calibration() if calibration is None else calibration
    classes = some[0].classes
    game = rule.game([package.points for package in some], validation, classes.tolist())
    names = tuple(package.provider for package in some)
    tried = solve_game(
        game,
        names,
        exact=exact,
        max_permutations=max_permutations,
        target_error=target_error,
        seed=seed,
        folder=None if folder is None else Path(folder),
        key="providers",
        progress=progress,
    )
    found = {package.provider: _fidelity(package, replies) for package in some}
    spent = [_spent(package, replies) for package in some]
    return weights.apply(
        tried,
        np.array([_beyond_chance(found[name], classes.size) for name in names]),
        fidelity_errors=np.array([_error(found[name]) for name in names]),
        empty=[package.provider for package in some if package.points is None],
        spent=spent,
        ceiling=ceiling,
        flags=_flags(some, replies, found, spent),
        provenance={
            "dataworth": dataworth.__version__,
            "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "providers": len(some),
            "validation rows": len(validation),
            "features": validation.x.shape[1],
            "classes": int(classes.size),
            "seed": seed,
            "seconds": round(time.perf_counter() - began, 3),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        evidence=(_table(some, replies, found, spent), *_shown(some)),
    )


def _read(packages: Iterable[Package | str | os.PathLike[str]]) -> list[Package]:
    if isinstance(packages, Package | str | os.PathLike):
        raise InputError("packages must be a list with one package, or path, for each provider")
    return [read_package(given) if isinstance(given, str | os.PathLike) else given for given in packages]


def _check_validation(validation: Points, packages: Sequence[Package]) -> None:
    if not isinstance(validation, Points):
        raise InputError("validation must be dataworth.Points; dataworth.read_points makes them from files")
    if validation.missing:
        raise DataError(f"{validation.missing} of {len(validation)} validation points hold NaN or infinity")
    full = [package for package in packages if package.points is not None]
    if not full:
        raise DataError("every provider declares itself empty; there is nothing to divide")
    for package in full:
        if package.points is not None:
            check_columns(validation, package.points, ("the validation set", f"the package of {package.provider!r}"))
    classes = full[0].classes
    check_same_kind(validation.y, classes, "validation labels")
    strange = int((encode(validation.y, classes) < 0).sum())
    if strange:
        raise DataError(f"{strange} of {len(validation)} validation labels are none of the classes of the packages")


# -- answers -------------------------------------------------------------------------------------


def _replies(answers: Iterable[Reply | str | os.PathLike[str]], packages: Sequence[Package]) -> dict[str, Reply]:
    """Answers by provider, each to the question that these packages make."""
    if isinstance(answers, Reply | str | os.PathLike):
        raise InputError("answers must be a list of answers, or of paths of their files")
    given = [Reply.load(reply) if isinstance(reply, str | os.PathLike) else reply for reply in answers]
    digests: dict[RidgeAccuracy, str] = {}
    found: dict[str, Reply] = {}
    names = {package.provider: package for package in packages}
    for reply in given:
        if not isinstance(reply, Reply):
            raise InputError(f"answers must be of dataworth answer, not {type(reply).__name__}")
        package = names.get(reply.provider)
        if package is None:
            raise DataError(f"there is an answer of {reply.provider!r}, but no package")
        if package.points is None:
            raise DataError(f"{reply.provider!r} declares itself empty, and has nothing to answer with")
        if reply.provider in found:
            raise DataError(f"there are two answers of {reply.provider!r}; keep one")
        check_counts(reply.fidelity)
        if reply.model not in digests:
            digests[reply.model] = ask(packages, model=reply.model).digest
        if reply.fidelity.question != digests[reply.model]:
            raise DataError(
                f"the answer of {reply.provider!r} is to another question: some package was changed, added or left "
                "out since. Ask again with these packages, or give those that were asked about"
            )
        found[reply.provider] = reply
    if len(digests) > 1:
        raise DataError("the answers are to questions about different models; ask all providers the same one")
    return found


def _fidelity(package: Package, replies: Mapping[str, Reply]) -> Fidelity | None:
    if package.points is None:
        return None
    reply = replies.get(package.provider)
    return package.fidelity if reply is None else reply.fidelity


def _beyond_chance(found: Fidelity | None, n_classes: int) -> float:
    return math.nan if found is None else found.rate - 1 / n_classes


def _error(found: Fidelity | None) -> float:
    """The standard error of an agreement rate by its noise, to first order; it is never above that of a coin."""
    if found is None:
        return math.nan
    stays = math.exp(-1 / float(found.scale))
    variance = 2 * stays / (1 - stays) ** 2  # of discrete Laplace noise
    rows = max(float(found.size), float(found.scale))
    return min(math.sqrt(variance * (found.rate**2 + (1 - found.rate) ** 2)) / rows, 0.5)


# -- what was spent ------------------------------------------------------------------------------


def _spent(package: Package, replies: Mapping[str, Reply]) -> Guarantee | None:
    """Everything a provider spent, by basic composition: epsilons add up, and only the package has a delta."""
    if package.points is None:
        return None
    promise, reply = package.guarantee, replies.get(package.provider)
    if reply is None:
        return promise
    answered = reply.fidelity.guarantee
    if (promise.unit, promise.relation) != (answered.unit, answered.relation):
        raise DataError(
            f"the package of {package.provider!r} promises for {promise.unit}, {promise.relation}, but its answer for "
            f"{answered.unit}, {answered.relation}; they do not add up"
        )
    try:
        # The counts of an answer have noise enough to need no delta, which was checked when it was read.
        total = Budget(promise.budget.epsilon + answered.budget.epsilon, promise.budget.delta)
    except MethodError as trouble:
        raise DataError(f"what {package.provider!r} spent in all promises nothing: {trouble}") from None
    return Guarantee(total, promise.unit, promise.relation, promise.private and answered.private, joint=False)


# -- what must be known, and what is shown -------------------------------------------------------


def _flags(
    packages: Sequence[Package],
    replies: Mapping[str, Reply],
    found: Mapping[str, Fidelity | None],
    spent: Sequence[Guarantee | None],
) -> list[str]:
    flags = []
    if any(fidelity is not None for fidelity in found.values()):
        flags.append(SELF_REPORTED)
    own = [name for name, fidelity in found.items() if fidelity is not None and name not in replies]
    if own and replies:
        flags.append(
            f"No answer from {', '.join(own)}: the counts in the package are used, which are of a model trained on "
            "that provider's copy alone and do not compare with answers about all copies."
        )
    for names in _same_rows(packages):
        flags.append(
            f"The packages of {', '.join(names)} hold the same rows. Who sends a package under several names is paid "
            "more in all than for one; make sure that they are different providers."
        )
    promises = {promise.hides for promise in spent if promise is not None}
    if len(promises) > 1:
        said = "; ".join(sorted(promises))
        flags.append(f"Providers do not promise the same: {said}. Their epsilons do not compare.")
    if len(packages) > 1:
        flags.append(ADDS_UP)
    return flags


def _same_rows(packages: Sequence[Package]) -> list[list[str]]:
    """Groups of providers whose packages hold the same rows, in whatever order."""
    groups: dict[str, list[str]] = {}
    for package in packages:
        if package.points is not None:
            codes = encode(package.points.y, package.classes)
            table = np.column_stack([np.asarray(package.points.x, dtype=np.float64) + 0.0, codes])
            order = np.lexsort(table.T)
            groups.setdefault(digest_of({}, {"rows": table[order]}), []).append(package.provider)
    return [names for names in groups.values() if len(names) > 1]


def _table(
    packages: Sequence[Package],
    replies: Mapping[str, Reply],
    found: Mapping[str, Fidelity | None],
    spent: Sequence[Guarantee | None],
) -> Table:
    """What each provider handed over and what it paid for it."""
    columns: dict[str, list[str | int | float | None]] = {
        "provider": [package.provider for package in packages],
        "synthetic rows": [0 if package.points is None else len(package.points) for package in packages],
        "made by": [package.synthesizer for package in packages],
        "epsilon of the package": [],
        "epsilon of the answer": [],
        "epsilon in all": [],
        "delta in all": [],
        "hides": [],
        "noisy agreement": [],
        "noisy disagreement": [],
        "of a model trained on": [],
        "digest": [package_digest(package) for package in packages],
    }
    for package, promise in zip(packages, spent, strict=True):
        reply, counts = replies.get(package.provider), found[package.provider]
        cells = (
            None if promise is None else float(package.guarantee.budget.epsilon),
            None if reply is None else float(reply.fidelity.guarantee.budget.epsilon),
            None if promise is None else float(promise.budget.epsilon),
            None if promise is None else float(promise.budget.delta),
            None if promise is None else promise.hides,
            None if counts is None else counts.agree,
            None if counts is None else counts.disagree,
            None if counts is None else "all copies" if counts.question else "its own copy",
        )
        for name, cell in zip(list(columns)[3:-1], cells, strict=True):
            columns[name].append(cell)
    return Table(
        "provider-packages",
        "What each provider handed over, and what it spent",
        columns,
        "As declared by each provider: the epsilons of the package and of the answer add up; an answer needs no delta. "
        "Counts of agreement carry noise and may be below zero.",
    )


def _shown(packages: Sequence[Package]) -> list[Evidence]:
    """Tables and pictures of the packages, under the names of their providers."""
    shown: list[Evidence] = []
    for number, package in enumerate(packages, start=1):
        for piece in package.evidence[:MOST_SHOWN]:
            name, title = f"{piece.name}-{number}", f"{package.provider}: {piece.title}"
            if isinstance(piece, Table | Exhibit):
                shown.append(replace(piece, name=name, title=title))
    return shown
