"""Fidelity: how often a model trained on synthetic rows agrees with a provider's private labels, asked and answered.

The coordinator asks: it sends the union of all synthetic rows and a recipe for a model, both public. Each provider
trains that model itself, counts its own rows on which the model is right and those on which it is wrong, and answers
with the two counts and noise. Whatever the question is, an answer is two disjoint noisy counts and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError
from dataworth.privacy.accounting import calibrate_laplace
from dataworth.privacy.kinds import DisjointCounts
from dataworth.privacy.mechanisms import Source
from dataworth.records import Budget, Fidelity, Guarantee, Package, Points, Unit
from dataworth.records.files import whole_file
from dataworth.records.privacy import Amount
from dataworth.records.sealed import digest_of, read_sealed, write_sealed
from dataworth.valuation.games import RidgeAccuracy
from dataworth.valuation.packages import (
    MOST_BYTES,
    check_counts,
    classes_of,
    fidelity_from_json,
    fidelity_to_json,
    pack_rows,
    package_digest,
    refuse_large,
    rows_of,
    shape_of,
)
from dataworth.valuation.private_rows import check_columns, private_rows
from dataworth.valuation.release_request import who_answers

if TYPE_CHECKING:
    from dataworth.privacy.ledger import Ledger

__all__ = ["Question", "Reply", "agreement", "answer", "ask", "noisy_agreement"]

QUESTION = "dataworth-question-1"
REPLY = "dataworth-reply-1"
LEAST_DELTA = "1e-18"  # what is written where none is needed
_MOST_REPLY = 2**20  # bytes
_MOST_PROVIDERS = 10_000
_MOST_FEATURES = 20_000  # random ones


class Fitted(Protocol):
    """A model that has been trained."""

    def predict(self, x: NDArray[Any]) -> NDArray[Any]:
        """Class numbers, ``(n,)``."""


@dataclass(frozen=True, eq=False, repr=False)
class Question:
    """What a coordinator asks every provider: how often does this model agree with your labels?

    Args:
        points: The synthetic rows of all providers, one after another in the order of their names.
        classes: The public list of labels.
        model: The recipe of the model.
        packages: Provider -> digest of its package.
        image_shape: As in the packages.

    Example:
        >>> import dataworth as dw, numpy as np
        >>> from dataworth.valuation.fidelity import ask
        >>> promised = dw.Guarantee(dw.Budget(4, 1e-5), dw.Row(), "add_or_remove", joint=False)
        >>> rows = dw.Points([[0.1], [0.9]], ["well", "ill"])
        >>> ask([dw.Package("clinic", rows, np.array(["ill", "well"]), promised, (), "by hand")])
        Question to 1 provider: 2 synthetic rows, 2 classes
    """

    points: Points
    classes: NDArray[Any]
    model: RidgeAccuracy
    packages: Mapping[str, str]
    image_shape: tuple[int, ...] | None = None

    @property
    def digest(self) -> str:
        """Of everything that is asked."""
        about, arrays = self._parts()
        return digest_of(json.loads(json.dumps({"format": QUESTION, **about}, default=float)), arrays)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the question to one file (``.npz``); it appears whole or not at all.

        Args:
            path: Where to.
        """
        return write_sealed(path, QUESTION, *self._parts())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Question:
        """Read a question; it is held to be data of a stranger.

        Args:
            path: A file that :meth:`save` wrote.

        Raises:
            DataError: There is no such file, it is damaged, too large or something else.
        """
        name = repr(os.fspath(path))
        refuse_large(path, MOST_BYTES)
        about, arrays = read_sealed(path, QUESTION, "question", "dataworth providers --ask")
        try:
            classes = classes_of(about["classes"])
            return cls(
                points=rows_of(arrays, classes, about["features"]),
                classes=classes,
                model=_recipe_from_json(about["model"]),
                packages=_packages_from_json(about["packages"]),
                image_shape=shape_of(about["image_shape"]),
            )
        except InputError as trouble:
            raise DataError(f"{name} is no question that can be answered: {trouble}") from None
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as trouble:
            raise DataError(
                f"{name} lacks a part of a question, or has a strange one ({type(trouble).__name__})"
            ) from None

    def fit(self) -> Fitted:
        """The model that is asked about; the same wherever it is trained."""
        codes = np.searchsorted(self.classes, self.points.y)
        fitted: Fitted = self.model.fit(self.points.x, codes, self.classes.size)
        return fitted

    def _parts(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        features = self.points.features
        about = {
            "classes": self.classes.tolist(),
            "features": None if features is None else list(features),
            "model": _recipe_to_json(self.model),
            "packages": dict(sorted(self.packages.items())),
            "image_shape": None if self.image_shape is None else list(self.image_shape),
        }
        codes = np.searchsorted(self.classes, self.points.y).astype(np.int32)
        return about, {"x": pack_rows(self.points.x, self.image_shape), "codes": codes}

    def __repr__(self) -> str:
        count = len(self.packages)
        rows = f"{len(self.points):,} synthetic rows, {self.classes.size} class{'' if self.classes.size == 1 else 'es'}"
        return f"Question to {count} provider{'' if count == 1 else 's'}: {rows}"


@dataclass(frozen=True)
class Reply:
    """A provider's answer to a question.

    Args:
        provider: Its name.
        fidelity: Two noisy counts and what they promise.
        model: The recipe of the model that was asked about.

    Example:
        >>> import dataworth as dw
        >>> from fractions import Fraction
        >>> promised = dw.Guarantee(dw.Budget(0.25, 1e-6), dw.Row(), "add_or_remove", joint=False)
        >>> found = dw.Fidelity(agree=81, disagree=19, scale=Fraction(4), guarantee=promised, question="0" * 64)
        >>> reply = dw.Reply("clinic", found, dw.RidgeAccuracy())
        >>> dw.Reply.from_json(reply.to_json()) == reply
        True
    """

    provider: str
    fidelity: Fidelity
    model: RidgeAccuracy

    def to_json(self) -> str:
        """The answer as text."""
        plain = {
            "format": REPLY,
            "provider": self.provider,
            "fidelity": fidelity_to_json(self.fidelity),
            "model": _recipe_to_json(self.model),
        }
        return json.dumps({**plain, "digest": _sha(plain)}, indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes, name: str = "this answer") -> Reply:
        """The inverse of :meth:`to_json`.

        Args:
            text: What it gave.
            name: What to call it in messages.

        Raises:
            DataError: It is none, or damaged.
        """
        try:
            plain = json.loads(text)
            digest = plain.pop("digest")
            if plain["format"] != REPLY:
                raise DataError(f"it has format {plain['format']!r}; this dataworth reads {REPLY!r}")
            if digest != _sha(plain):
                raise DataError("it does not fit its digest")
            found = fidelity_from_json(plain["fidelity"])
            model = _recipe_from_json(plain["model"])
            if set(plain) != {"format", "provider", "fidelity", "model"} or not _is_name(plain["provider"]):
                raise DataError("it has other parts than an answer has")
            check_counts(found)
        except InputError as trouble:
            raise DataError(f"{name} cannot be used: {trouble}") from None
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as trouble:
            raise DataError(f"{name} is no answer to a question ({type(trouble).__name__})") from None
        return cls(plain["provider"], found, model)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the answer to a JSON file; it appears whole or not at all.

        Args:
            path: Where to.
        """
        with whole_file(path) as temporary:
            temporary.write_text(self.to_json(), encoding="utf-8")
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Reply:
        """Read an answer; it is held to be data of a stranger.

        Args:
            path: A file that :meth:`save` wrote.

        Raises:
            DataError: There is no such file, it is damaged, too large or something else.
        """
        name = repr(os.fspath(path))
        try:
            if Path(path).stat().st_size > _MOST_REPLY:
                raise DataError(f"{name} is too large to be an answer to a question")
            text = Path(path).read_bytes()
        except FileNotFoundError:
            raise DataError(f"there is no file {name}") from None
        except OSError as trouble:
            raise DataError(f"{name} cannot be read ({type(trouble).__name__})") from None
        return cls.from_json(text, name)


def ask(packages: Iterable[Package], *, model: RidgeAccuracy | None = None) -> Question:
    """Put the synthetic rows of all providers together and ask how often a model trained on them is right.

    Costs nothing: packages may be used in any way. Every answer costs its provider.

    Args:
        packages: One a provider, of the same columns and classes; those declared empty are asked nothing.
        model: The recipe; ``RidgeAccuracy()`` if not given.

    Returns:
        The question, the same whatever the order of the packages.

    Raises:
        DataError: Packages that do not fit together, or all of them empty.
        InputError: Something that is no package.

    Example:
        >>> import dataworth as dw, numpy as np
        >>> promised = dw.Guarantee(dw.Budget(4, 1e-5), dw.Row(), "add_or_remove", joint=False)
        >>> rows = dw.Points([[0.1], [0.9]], ["well", "ill"])
        >>> dw.ask([dw.Package("clinic", rows, np.array(["ill", "well"]), promised, (), "by hand")])
        Question to 1 provider: 2 synthetic rows, 2 classes
    """
    some = sorted(packages_that_fit(packages), key=lambda package: package.provider)
    full = [(package, package.points) for package in some if package.points is not None]
    if not full:
        raise DataError("every provider declares itself empty; there is nothing to ask about")
    first, points = full[0]
    features = next((rows.features for _, rows in full if rows.features is not None), None)
    union = Points(
        np.concatenate([np.asarray(rows.x, dtype=np.float32) for _, rows in full]),
        np.concatenate([rows.y for _, rows in full]) if len(full) > 1 else points.y,
        features=features,
    )
    digests = {package.provider: package_digest(package) for package in some}
    return Question(union, first.classes, RidgeAccuracy() if model is None else model, digests, first.image_shape)


def answer(
    question: Question,
    points: Points,
    *,
    provider: str,
    epsilon: Amount,
    ledger: Ledger | None,
    unit: Unit | None = None,
    insecure_seed: int | None = None,
) -> Reply:
    """Answer a question once: two noisy counts of private rows, charged to the provider's ledger.

    A row whose label is none of the question's classes counts as one that the model is wrong on.

    The ledger keeps the answer under the question: asked again, it gives the same answer and spends nothing, whatever
    has happened to the data since.

    Args:
        question: From the coordinator.
        points: The provider's own rows; they stay here.
        provider: Its name, as in its package.
        epsilon: What the two counts may cost; no delta is needed (the least that can be written is charged).
        ledger: What it is charged to. None needs ``insecure_seed``: for tests and experiments on public data.
        unit: Whose presence is hidden, without a ledger; a ledger knows its own.
        insecure_seed: For tests only: seeded noise.

    Returns:
        The answer to send back.

    Raises:
        BudgetExceeded: The ledger has not enough left; nothing was spent.
        LedgerError: The question was answered before at another price, or a ledger was given together with a seed.
        DataError: Other columns than the question's, labels of another kind, or a provider that it does not ask.
        MethodError: An epsilon that is no budget.

    Example:
        >>> import dataworth as dw, numpy as np
        >>> from dataworth.valuation.fidelity import answer, ask
        >>> promised = dw.Guarantee(dw.Budget(4, 1e-5), dw.Row(), "add_or_remove", joint=False)
        >>> rows = dw.Points([[0.1], [0.9]], ["well", "ill"])
        >>> question = ask([dw.Package("clinic", rows, np.array(["ill", "well"]), promised, (), "by hand")])
        >>> mine = dw.Points([[0.2], [0.1], [0.8]], ["well", "well", "ill"])
        >>> reply = answer(question, mine, provider="clinic", epsilon=1, ledger=None, insecure_seed=1)
        >>> print(reply.fidelity.guarantee)
        NOT PRIVATE: the randomness was seeded or left out, so nothing is hidden.
    """
    if not isinstance(question, Question):
        raise InputError("question must be a Question; Question.load reads one from a file")
    if provider not in question.packages:
        raise DataError(f"the question asks {len(question.packages)} providers, but none is called {provider!r}")
    spend = Budget(epsilon, LEAST_DELTA)
    source, whose, relation = who_answers(ledger, spend, unit, insecure_seed)
    digest = question.digest
    asked = _sha([digest, provider, spend.charge()[0], str(whose), relation])
    key = f"fidelity {digest[:32]} {hashlib.sha256(provider.encode()).hexdigest()[:32]}"
    stored = None if ledger is None else ledger.find(key, asked)
    if stored is not None:
        return Reply.from_json(stored.payload, "the answer that the ledger keeps")
    check_columns(points, question.points, ("your rows", "the question"))
    # Whoever asks chooses the classes: a refusal would tell, without any noise, that a row has another label.
    x, codes = private_rows(points, question.classes, whose, others=True)
    scale = calibrate_laplace(spend.epsilon, unit=whose, relation=relation)
    charge = None
    if ledger is not None:
        from dataworth.privacy.ledger import Charge

        charge = Charge(spend, (DisjointCounts(scale),), whose, relation)
        ledger.check(charge)
    noisy = noisy_agreement(question.fit(), x, codes, scale, source)
    promise = Guarantee(spend, whose, relation, private=source.private, joint=False)
    found = Fidelity(int(noisy[0]), int(noisy[1]), scale, promise, digest)
    reply = Reply(provider, found, question.model)
    if ledger is None or charge is None:
        return reply
    kept = ledger.commit(charge, noisy=noisy, payload=reply.to_json().encode(), request_key=key, digest=asked)
    return Reply.from_json(kept.payload, "the answer that the ledger keeps")


def noisy_agreement(
    model: Fitted, x: NDArray[Any], codes: NDArray[np.int64], scale: Fraction, source: Source
) -> NDArray[np.int64]:
    """How many rows a model is right on and wrong on, with discrete Laplace noise on both, int64, ``(2,)``."""
    return source.add_laplace(agreement(model, x, codes), scale).counts


def agreement(model: Fitted, x: NDArray[Any], codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many rows a model is right on and wrong on, without noise: never to leave the house.

    Rows are given to the model one by one. In a product of matrices the last digits of a row's scores may depend on
    the rows beside it, so that a row which comes or goes could turn the prediction of another.

    Args:
        model: Trained on public or synthetic rows.
        x: Private features, ``(n, d)``.
        codes: Private labels as class numbers, ``(n,)``; no prediction is right on -1.

    Returns:
        int64, ``(2,)``.
    """
    row = np.empty((1, x.shape[1]), dtype=x.dtype)
    right = 0
    for features, code in zip(x, codes.tolist(), strict=True):
        row[0] = features
        right += int(model.predict(row)[0]) == code
    return np.array([right, len(codes) - right], dtype=np.int64)


def packages_that_fit(packages: Iterable[Package]) -> list[Package]:
    """Packages of different providers with the same columns, classes and images.

    Raises:
        DataError: They do not fit together, or there are none.
        InputError: Something that is no package.
    """
    given = list(packages)
    odd = sorted({type(package).__name__ for package in given if not isinstance(package, Package)})
    if odd:
        raise InputError(
            f"a coordinator takes packages, not {', '.join(odd)}; dataworth.synthesize makes them at each provider, "
            "and dataworth.read_package reads them"
        )
    if not given:
        raise DataError("there are no packages; give one for each provider")
    names = [package.provider for package in given]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"a provider brings one package, but there are several of {', '.join(map(repr, twice))}")
    full = [package for package in given if package.points is not None]
    for other in given:
        first = full[0] if full else given[0]
        both = f"{first.provider!r} and {other.provider!r}"
        if not _same_classes(first.classes, other.classes):
            raise DataError(f"the packages of {both} declare other classes; all providers must agree on one list")
        if other.points is None or first.points is None:
            continue
        if first.image_shape != other.image_shape:
            raise DataError(f"the packages of {both} hold images of {first.image_shape} and of {other.image_shape}")
        check_columns(
            first.points, other.points, (f"the package of {first.provider!r}", f"the package of {other.provider!r}")
        )
    return given


def _same_classes(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one.dtype.kind == other.dtype.kind and one.shape == other.shape and bool((one == other).all())


# -- recipes and digests as JSON -------------------------------------------------------------------


def _recipe_to_json(model: RidgeAccuracy) -> dict[str, Any]:
    return asdict(model)


def _recipe_from_json(given: Any) -> RidgeAccuracy:
    if not isinstance(given, dict) or set(given) != {"penalty", "random_features", "seed"}:
        raise DataError("the recipe of its model must say penalty, random_features and seed")
    count = given["random_features"]
    if count is not None and (type(count) is not int or not 1 <= count <= _MOST_FEATURES):
        raise DataError(f"its model may have up to {_MOST_FEATURES:,} random features")
    if type(given["penalty"]) not in (int, float) or type(given["seed"]) is not int:
        raise DataError("the penalty and the seed of its model must be numbers")
    return RidgeAccuracy(**given)


def _packages_from_json(given: Any) -> dict[str, str]:
    if not isinstance(given, dict) or not 1 <= len(given) <= _MOST_PROVIDERS:
        raise DataError("it must name the packages that it is about")
    if not all(_is_name(name) and isinstance(digest, str) for name, digest in given.items()):
        raise DataError("it must give a digest for each provider")
    return given


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 1 <= len(name) <= 200 and name.isprintable() and bool(name.strip())


def _sha(plain: object) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True, allow_nan=False).encode()).hexdigest()
