"""Packages as files: what leaves a provider, and what a coordinator checks before it believes any of it.

A package comes from somebody else. Its digest finds damage, not fraud: whoever can write a file can seal it. So what
is read is held to be data and nothing more: sizes are looked at before anything is unpacked, numbers are finite,
labels are classes, and the noise that is declared must be enough for the budget that is declared.
"""

from __future__ import annotations

import json
import math
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.data.images import encoded
from dataworth.errors import DataError, InputError, MethodError
from dataworth.privacy.accounting import calibrate_laplace
from dataworth.privacy.events import events_from_json
from dataworth.privacy.kinds import DisjointCounts, Event, GradientSteps, SubsampledCounts
from dataworth.privacy.ledger import Charge, admission
from dataworth.privacy.mechanisms import check_sigma
from dataworth.records import Budget, Evidence, Exhibit, Fidelity, Guarantee, Owner, Package, Points, Row, Table
from dataworth.records.evidence import evidence_from_json, evidence_to_json
from dataworth.records.sealed import digest_of, read_sealed, write_sealed

__all__ = [
    "check_account",
    "check_counts",
    "classes_of",
    "describe_features",
    "events_of",
    "fidelity_from_json",
    "fidelity_to_json",
    "guarantee_from_json",
    "guarantee_to_json",
    "pack_rows",
    "package_digest",
    "rational",
    "read_package",
    "refuse_large",
    "rows_of",
    "sample_sheet",
    "shape_of",
    "write_package",
]

FORMAT = "dataworth-package-1"
MOST_BYTES = 4 * 2**30
"""Of a package once unpacked."""
_MOST_CLASSES = 10_000
_MOST_TEXT = 20_000  # characters of what describes a synthesizer
_MOST_EVENTS = 1000
_MOST_APART = 10.0  # what a unit moves a subsampled release by, in units of its noise
_MOST_MIXED = 1e6  # rows of an owner times the noise on subsampled counts
_MOST_LOSS = 400.0  # the square of mu in Gaussian differential privacy: epsilon is above 200 at any delta
_RATIONAL = re.compile(r"[1-9][0-9]{0,30}/[1-9][0-9]{0,30}")
_WHOLE_PIXELS = 255
_SHEET_ACROSS = 12
_SHEET_CLASSES = 10


def write_package(package: Package, path: str | os.PathLike[str]) -> Path:
    """Write a package to one file; it appears whole or not at all.

    The same package gives the same bytes. Nothing is written of the rows but features and labels.

    Args:
        package: From :func:`synthesize`.
        path: Where to; by habit it ends in ``.package``.

    Returns:
        The path written.

    Raises:
        DataError: The rows have owners, items or ids of their own, which synthetic rows never have.

    Example:
        >>> import tempfile
        >>> import dataworth as dw, numpy as np
        >>> from dataworth.valuation.packages import read_package, write_package
        >>> promised = dw.Guarantee(dw.Budget(4, 1e-5), dw.Row(), "add_or_remove", joint=False)
        >>> rows = dw.Points([[0.1], [0.9]], ["well", "ill"])
        >>> event = {"kind": "declared", "epsilon": "4", "delta": "0.00001"}
        >>> package = dw.Package("clinic", rows, np.array(["ill", "well"]), promised, (event,), "by hand")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     read_package(write_package(package, f"{folder}/clinic.package"))
        Package of 'clinic': 2 synthetic rows by by hand, epsilon = 4, delta = 1e-5
    """
    points = package.points
    if points is not None and (points.owners is not None or points.items is not None or points.named):
        raise DataError("synthetic rows have no owners, items or ids; a package with such is not written")
    return write_sealed(path, FORMAT, *_parts(package))


def read_package(path: str | os.PathLike[str]) -> Package:
    """Read a package and check all that can be checked without its provider.

    Args:
        path: A file that :func:`write_package` wrote.

    Raises:
        DataError: There is no such file, it is damaged, too large or of another format, its rows or labels cannot be
            used, or its declared events cost more than its declared budget.
        MissingExtra: dp-accounting is not installed.

    Example:
        >>> import tempfile
        >>> import dataworth as dw
        >>> nobody = dw.synthesize(None, provider="clinic", classes=["ill", "well"], empty=True)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = dw.write_package(nobody, f"{folder}/clinic.package")
        ...     dw.read_package(path).points is None
        True
    """
    name = repr(os.fspath(path))
    refuse_large(path, MOST_BYTES)
    about, arrays = read_sealed(path, FORMAT, "package", "dataworth synthesize")
    try:
        package = _from_parts(about, arrays)
    except InputError as trouble:
        raise DataError(f"{name} is no package that can be used: {trouble}") from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as trouble:
        raise DataError(f"{name} lacks a part of a package, or has a strange one ({type(trouble).__name__})") from None
    check_account(package, name)
    _check_own_counts(package, name)
    return package


def package_digest(package: Package) -> str:
    """The digest that a package's file is sealed with.

    Args:
        package: Any package.
    """
    about, arrays = _parts(package)
    plain: dict[str, Any] = json.loads(json.dumps({"format": FORMAT, **about}, default=float))
    return digest_of(plain, arrays)


def check_account(package: Package, name: str) -> None:
    """Refuse a package whose events cost more than it declares, by our own account.

    Args:
        package: The package.
        name: What to call it in messages.

    Raises:
        DataError: They do, or cannot be accounted.
        MissingExtra: dp-accounting is not installed.
    """
    promised = package.guarantee
    events = events_of(package, name)
    if not events:
        if package.points is not None or package.fidelity is not None:
            raise DataError(f"{name} holds rows but declares no release that they came from")
        return
    try:
        if math.fsum(_loss(event, promised.unit.rows) for event in events) > _MOST_LOSS:
            raise MethodError("the account would fill the memory")
        admission.check_account(Charge(promised.budget, events, promised.unit, promised.relation))
    except (MethodError, MemoryError):
        raise DataError(
            f"{name} declares {promised.budget} ({promised.unit}, {promised.relation}), but the releases it lists "
            "cost more, or cannot be accounted; ask its provider for a package that keeps to what it says"
        ) from None


def _loss(event: Event, rows: int) -> float:
    """About the square of mu of a subsampled release; infinity where its account would take terabytes, or for ever.

    By the limit of many small releases (Dong, Roth and Su 2022), which is far from exact here: what it calls too much
    is twice the largest epsilon that a budget can have. Other releases are accounted in no time and lose nothing here.
    """
    match event:
        case GradientSteps():
            often = event.steps
        case SubsampledCounts():
            often = event.points
        case _:
            return 0.0
    apart = rows / float(event.sigma)
    if apart > _MOST_APART or rows * float(event.sigma) > _MOST_MIXED:
        return math.inf
    return math.expm1(apart**2) * often * float(event.probability) ** 2


def _check_own_counts(package: Package, name: str) -> None:
    """Refuse counts of agreement that are not among the declared releases."""
    found = package.fidelity
    if found is None:
        return
    check_counts(found)
    if DisjointCounts(found.scale) not in events_of(package, name):
        raise DataError(f"{name} holds counts of agreement, but does not list them among its releases")
    if found.guarantee.private != package.guarantee.private:
        raise DataError(f"{name} says two things about whether it is private")


def events_of(package: Package, name: str) -> tuple[Event, ...]:
    """The events of a package, as the accountant takes them.

    Raises:
        DataError: They cannot be read.
    """
    if len(package.events) > _MOST_EVENTS:
        raise DataError(f"{name} lists {len(package.events):,} releases; at most {_MOST_EVENTS:,} are read")
    try:
        return events_from_json(package.events)
    except InputError as trouble:
        raise DataError(f"{name} lists a release that cannot be read: {trouble}") from None


def refuse_large(path: str | os.PathLike[str], most: int) -> None:
    """Refuse an archive that would fill the memory, before anything of it is unpacked.

    Args:
        path: The archive.
        most: Bytes, unpacked.

    Raises:
        DataError: It is larger, no archive, or not there.
    """
    name = repr(os.fspath(path))
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(part.file_size for part in archive.infolist())
    except FileNotFoundError:
        raise DataError(f"there is no file {name}") from None
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as trouble:
        raise DataError(f"{name} is damaged, or no file of dataworth's ({type(trouble).__name__})") from None
    if size > most:
        raise DataError(f"{name} would take {size / 2**30:.1f} GiB in memory; at most {most / 2**30:.1f} are read")


def sample_sheet(
    rows: NDArray[Any], codes: NDArray[np.int64], classes: NDArray[Any], image_shape: tuple[int, ...]
) -> Exhibit:
    """Synthetic images, a strip of the first few of each class.

    Args:
        rows: Pixels 0 to 255, ``(m, height * width)`` or ``(m, height * width * channels)``.
        codes: Class of each row as its place in ``classes``, ``(m,)``.
        classes: Names.
        image_shape: ``(height, width)`` or ``(height, width, channels)``.
    """
    import base64

    shown: list[str] = []
    strips: list[str] = []
    for code, label in enumerate(classes.tolist()):
        at = np.flatnonzero(codes == code)[:_SHEET_ACROSS]
        if at.size and len(shown) < _SHEET_CLASSES:
            pixels = np.clip(np.rint(rows[at]), 0, _WHOLE_PIXELS).astype(np.uint8).reshape(at.size, *image_shape)
            empty = np.full((_SHEET_ACROSS - at.size, *image_shape), _WHOLE_PIXELS, dtype=np.uint8)
            strip = np.concatenate([*pixels, *empty], axis=1)
            strip = strip[..., 0] if strip.ndim == len("hwc") and strip.shape[2] == 1 else strip
            shown.append(str(label))
            strips.append("data:image/png;base64," + base64.b64encode(encoded(strip)).decode("ascii"))
    table = Table(
        "synthetic-samples",
        "Synthetic images",
        {"class": shown, "samples": strips},
        "The first of each class, none chosen. They are the generator's, not anybody's pictures.",
    )
    return Exhibit(table.name, "sheet", table, x="class", y="samples", alt="A strip of synthetic images of each class.")


# -- a package as facts and arrays -----------------------------------------------------------------


def _parts(package: Package) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    points = package.points
    about = {
        "provider": package.provider,
        "classes": package.classes.tolist(),
        "features": None if points is None or points.features is None else list(points.features),
        "image_shape": None if package.image_shape is None else list(package.image_shape),
        "guarantee": guarantee_to_json(package.guarantee),
        "events": [dict(event) for event in package.events],
        "synthesizer": package.synthesizer,
        "fidelity": None if package.fidelity is None else fidelity_to_json(package.fidelity),
        "evidence": evidence_to_json(package.evidence),
        "provenance": dict(package.provenance),
        "empty": points is None,
    }
    if points is None:
        return about, {}
    places = np.searchsorted(package.classes, points.y)
    return about, {"x": pack_rows(points.x, package.image_shape), "codes": places.astype(np.int32)}


def pack_rows(x: NDArray[Any], image_shape: tuple[int, ...] | None) -> NDArray[Any]:
    """Rows as they are kept in a file: pixels that are whole numbers from 0 to 255 as bytes, all else as it is."""
    whole = image_shape is not None and ((x >= 0) & (x <= _WHOLE_PIXELS) & (x == np.rint(x))).all()
    return np.ascontiguousarray(x, dtype=np.uint8 if whole else x.dtype)


def _from_parts(about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Package:
    classes = classes_of(about["classes"])
    events = about["events"]
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise DataError("its releases are no list of JSON objects")
    if type(about["empty"]) is not bool or about["empty"] == bool(arrays):
        raise DataError("it must either declare itself empty or hold rows")
    return Package(
        provider=about["provider"],
        points=None if about["empty"] else rows_of(arrays, classes, about["features"]),
        classes=classes,
        guarantee=guarantee_from_json(about["guarantee"]),
        events=tuple(events),
        synthesizer=_text(about["synthesizer"], "the name of its synthesizer"),
        fidelity=None if about["fidelity"] is None else fidelity_from_json(about["fidelity"]),
        image_shape=shape_of(about["image_shape"]),
        evidence=_evidence_of(about["evidence"]),
        provenance={_text(key, "a key"): _fact(value) for key, value in about["provenance"].items()},
    )


def _evidence_of(given: Any) -> tuple[Evidence, ...]:
    """Tables and exhibits of a stranger, with numbers that can be drawn."""
    evidence = evidence_from_json(given)
    tables = [piece.table if isinstance(piece, Exhibit) else piece for piece in evidence]
    columns = (column for table in tables if isinstance(table, Table) for column in table.columns.values())
    if any(type(cell) is int and abs(cell) >= 2**64 for column in columns for cell in column):
        raise DataError("its figures hold a whole number of more than 64 bits")
    return evidence


def classes_of(given: object) -> NDArray[Any]:
    """A list of labels from a file, checked and as an array in ascending order.

    Raises:
        DataError: It is no such list.
    """
    if not isinstance(given, list) or not 1 <= len(given) <= _MOST_CLASSES:
        raise DataError(f"its classes must be a list of 1 to {_MOST_CLASSES:,} labels")
    labels = Points(np.zeros((len(given), 1)), given).y
    if not np.array_equal(np.unique(labels), labels):
        raise DataError("its classes must be different labels in ascending order")
    return labels


def rows_of(arrays: Mapping[str, NDArray[Any]], classes: NDArray[Any], features: object) -> Points:
    """Synthetic rows from a file, as points.

    Raises:
        DataError: Arrays of another kind or shape, numbers that are not finite, or codes that are no classes.
    """
    if set(arrays) != {"x", "codes"}:
        raise DataError(f"it must hold the arrays x and codes, not {sorted(arrays)}")
    x, codes = arrays["x"], arrays["codes"]
    if x.ndim != 2 or x.dtype not in (np.float32, np.float64, np.uint8):
        raise DataError(f"its rows must be a table of float32, float64 or uint8, not {x.dtype} of shape {x.shape}")
    if codes.dtype != np.int32 or codes.shape != x.shape[:1]:
        raise DataError("its codes must be one int32 a row")
    if codes.size and not (codes.min() >= 0 and codes.max() < classes.size):
        raise DataError("some of its rows have a code that stands for no class")
    if x.dtype == np.float64 and x.size and not (np.abs(x) <= np.finfo(np.float32).max).all():  # nor what is no number
        raise DataError("some of its rows hold numbers that float32 cannot hold, which no synthetic row does")
    if features is not None and not (isinstance(features, list) and all(isinstance(name, str) for name in features)):
        raise DataError("the names of its columns must be a list of texts")
    return Points(x, classes[codes], features=features)


def shape_of(given: object) -> tuple[int, ...] | None:
    """An image shape from a file.

    Raises:
        DataError: It is none.
    """
    if given is None:
        return None
    sizes = given if isinstance(given, list) else []
    if len(sizes) not in (2, 3) or not all(type(size) is int and 1 <= size <= 10**4 for size in sizes):
        raise DataError("its image shape must be two or three whole numbers: height, width and, for colours, channels")
    return tuple(sizes)


def _text(given: object, what: str) -> str:
    if not isinstance(given, str) or len(given) > _MOST_TEXT or not given.isprintable():
        raise DataError(f"{what} must be up to {_MOST_TEXT:,} printable characters")
    return given


def _fact(given: object) -> str | int | float:
    if type(given) in (int, float):
        return given  # type: ignore[return-value]
    return _text(given, "a fact on where it comes from")


# -- promises and counts as JSON -------------------------------------------------------------------


def guarantee_to_json(promise: Guarantee) -> dict[str, Any]:
    """A guarantee as plain JSON; amounts are text."""
    unit = promise.unit
    return {
        "epsilon": str(promise.budget.epsilon),
        "delta": str(promise.budget.delta),
        "unit": "row" if isinstance(unit, Row) else "owner",
        "max_rows": unit.rows,
        "relation": promise.relation,
        "private": promise.private,
        "joint": promise.joint,
    }


def guarantee_from_json(given: Any) -> Guarantee:
    """The inverse of :func:`guarantee_to_json`.

    Raises:
        DataError: It is none.
    """
    fields = {"epsilon", "delta", "unit", "max_rows", "relation", "private", "joint"}
    if not isinstance(given, dict) or set(given) != fields:
        raise DataError("its promise must say epsilon, delta, unit, max_rows, relation, private and joint")
    if type(given["private"]) is not bool or type(given["joint"]) is not bool:
        raise DataError("whether its promise is private and joint must be true or false")
    if not isinstance(given["epsilon"], str) or not isinstance(given["delta"], str):
        raise DataError("its epsilon and delta must be decimal text")
    if given["unit"] not in ("row", "owner") or (given["unit"] == "row" and given["max_rows"] != 1):
        raise DataError("its unit must be a row or an owner")
    unit = Row() if given["unit"] == "row" else Owner(given["max_rows"])
    budget = Budget(given["epsilon"], given["delta"])
    return Guarantee(budget, unit, given["relation"], given["private"], given["joint"])


def fidelity_to_json(found: Fidelity) -> dict[str, Any]:
    """Noisy counts of agreement as plain JSON."""
    return {
        "agree": found.agree,
        "disagree": found.disagree,
        "scale": f"{found.scale.numerator}/{found.scale.denominator}",
        "guarantee": guarantee_to_json(found.guarantee),
        "question": found.question,
    }


def fidelity_from_json(given: Any) -> Fidelity:
    """The inverse of :func:`fidelity_to_json`.

    Raises:
        DataError: It is none.
    """
    if not isinstance(given, dict) or set(given) != {"agree", "disagree", "scale", "guarantee", "question"}:
        raise DataError("an answer must say agree, disagree, scale, guarantee and question")
    for name in ("agree", "disagree"):
        if type(given[name]) is not int or abs(given[name]) > 2**53:
            raise DataError(f"the noisy count {name!r} must be a whole number")
    question = given["question"]
    if not isinstance(question, str) or not re.fullmatch(r"[0-9a-f]{0,64}", question):
        raise DataError("the digest of a question is up to 64 hexadecimal digits")
    promise = guarantee_from_json(given["guarantee"])
    return Fidelity(given["agree"], given["disagree"], rational(given["scale"]), promise, question)


def rational(given: object) -> Fraction:
    """A number above zero written ``numerator/denominator``.

    Raises:
        DataError: It is not.
    """
    if not isinstance(given, str) or not _RATIONAL.fullmatch(given):
        raise DataError("a scale must be text, numerator/denominator")
    return Fraction(given)


def describe_features(features: Sequence[str] | None, columns: int) -> str:
    """The columns of rows in words, for messages; they are public."""
    if features is None:
        return f"{columns} columns without names"
    few = ", ".join(map(repr, features[:5]))
    return f"{columns} columns ({few}{', ...' if len(features) > len(features[:5]) else ''})"


def check_counts(found: Fidelity) -> None:
    """Refuse noisy counts whose noise is not enough for what they promise, or is none that is ever drawn.

    Args:
        found: The counts.

    Raises:
        DataError: It is not.
    """
    promise = found.guarantee
    try:
        check_sigma(found.scale)
        needed = calibrate_laplace(promise.budget.epsilon, unit=promise.unit, relation=promise.relation)
    except MethodError as trouble:
        raise DataError(f"its promise cannot be kept: {trouble}") from None
    if found.scale < needed:
        raise DataError(f"it declares {promise.budget}, which takes noise of scale {needed}, but says {found.scale}")
