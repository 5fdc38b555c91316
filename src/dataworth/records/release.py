"""A private release: noisy counts that anybody may see, and for each owner the values of their own rows."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, TextIO

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError, MethodError
from dataworth.records.arrays import exact, read_only
from dataworth.records.evidence import Cell, Table
from dataworth.records.files import whole_file
from dataworth.records.privacy import Budget, Guarantee, Owner, Row, Unit

__all__ = ["Answer", "NotCovered", "Release", "answer_of", "rows_of_owner", "whole_folder", "write_answers"]

FORMAT = "dataworth.release/1"

_MANIFEST, _COUNTS = "manifest.json", "counts.csv"
_MOST_DIGITS = 20  # of a name that is a number of 64 bits, with its sign
_DIGEST = 32  # bytes of SHA-256 in front of the others
_AT_A_TIME = 10_000  # rows
_UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)  # what comes of bytes that mean something else

NOT_COVERED = (
    "The guarantee is joint: it covers what everyone else sees of an owner's data. An owner's values depend on "
    "their own rows, so they are for that owner alone; nothing computed from several owners' values (sums, means, "
    "ranks, payouts, numbers of rows) is covered. One person under two owner names is not protected as one."
)

REASONS = ("", "features missing, infinite or without a direction: no links", "beyond the rows one owner may bring")
"""Why a row has no value of its own, by the number that stands for it in a release."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What one owner is told: about their own rows only, and for their eyes only.

    Args:
        ids: Names of the owner's rows, ``(m,)``.
        values: Their values, ``(m,)``, means over validation points.
        band: Nine in ten simulated rows lie within this of the value without noise or cap, ``(m,)``.
        vote: Mean over validation points of +1 (linked, same label) and -1 (linked, another), ``(m,)``: needs
            nobody else's data.
        proxy: The value if the validation set were the training set, ``(m,)``; NaN where no number of rows is
            declared or released to scale it by.
        reasons: Why a row has no links, or nothing, ``(m,)``.
        guarantees: What is promised, in words.

    Example:
        >>> import dataworth as dw, numpy as np
        >>> one = np.array([0.25])
        >>> answer = dw.Answer(np.array(["row 7"]), one, one / 5, one, one, ("",), ())
        >>> answer.table().rows()
        [('row 7', 0.25, 0.05, 0.25, 0.25, '')]
    """

    ids: NDArray[Any]
    values: NDArray[np.float64]
    band: NDArray[np.float64]
    vote: NDArray[np.float64]
    proxy: NDArray[np.float64]
    reasons: tuple[str, ...]
    guarantees: tuple[str, ...]

    def __len__(self) -> int:
        return int(self.values.size)

    def table(self) -> Table:
        """The rows as a table: id, value, band, vote, proxy, and why a row has none."""
        columns: dict[str, list[Cell]] = {
            "id": self.ids.tolist(),
            "value": self.values.tolist(),
            "band": self.band.tolist(),
            "vote": self.vote.tolist(),
            "proxy": [None if math.isnan(proxy) else proxy for proxy in self.proxy.tolist()],
            "remark": list(self.reasons),
        }
        return Table("own-values", "The values of your rows", columns, note=" ".join(self.guarantees))

    def to_json(self) -> str:
        """The same as JSON text."""
        return "".join(self.json_texts())

    def json_texts(self) -> Iterator[str]:
        """The text of :meth:`to_json`, some rows at a time, for owners of many."""
        words = json.dumps({"guarantee": list(self.guarantees), "not_covered": NOT_COVERED, "rows": []}, indent=1)
        head, tail = words.removesuffix("]\n}"), "]\n}"
        yield head
        for first in range(0, len(self), _AT_A_TIME):
            some = slice(first, first + _AT_A_TIME)
            table = replace(
                self, ids=self.ids[some], values=self.values[some], band=self.band[some], vote=self.vote[some],
                proxy=self.proxy[some], reasons=self.reasons[some],
            ).table()  # fmt: skip
            rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows()]
            text = json.dumps({"rows": rows}, indent=1).removeprefix('{\n "rows": [').removesuffix("\n ]\n}")
            yield text if first == 0 else f",{text}"
        yield f"\n {tail}" if len(self) else tail


class NotCovered:
    """What neither kind of private release hands out, with the reason."""

    def publish(self) -> NoReturn:
        """Refused: the values of all owners together are not covered by a joint guarantee."""
        self._refuse("publishing everybody's values")

    def by_owner(self) -> NoReturn:
        """Refused: sums over owners' values are not covered by a joint guarantee."""
        self._refuse("summing or comparing owners' values")

    def ranking(self) -> NoReturn:
        """Refused: a rank depends on everybody's exact links."""
        self._refuse("ranking rows or owners")

    def payout(self) -> NoReturn:
        """Refused: what is paid to one owner would depend on all owners' exact links."""
        self._refuse("paying out by these values")

    def _refuse(self, what: str) -> NoReturn:
        raise MethodError(
            f"{what} is not covered by joint differential privacy: each owner's values depend on that owner's own "
            "rows, so they may only be told to that owner (Release.for_owner); the noisy counts may be shown to anybody"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Release(NotCovered):
    """Values of Threshold-KNN under joint differential privacy, each owner's for that owner alone.

    Made by :func:`dataworth.release_points`; read back by :meth:`from_bytes`. What its attributes show is a
    function of public inputs and noisy counts. Values are to be had through :meth:`for_owner` only.

    Args:
        population: Whose data it is about, as the ledger names it.
        method: The method with its parameters, as text.
        mechanism: The mechanism with its parameters, as text.
        guarantees: What is promised, first under the relation that is kept account of, then under the other; none
            if there was no noise.
        noisy: int64 ``(n_validation, 2)``: noisy counts of neighbours with each point's label and with another.
        sigma: The scale of their discrete Gaussian noise.
        noisy_rows: The noisy number of rows, if that was released too.
        rows_sigma: The scale of its noise.
        public: Public parameters and what a simulation on public data expects; plain text and numbers.
        made: When, in UTC.
        number: Its number in the ledger; None without one.
        rows: One entry a row: ``ids``, ``owners``, ``values``, ``band``, ``vote``, ``proxy``, ``reason``.
            Everybody's values: kept so that answers can be given out and stored, and never to be shown. None for a
            release of rows in files, whose values are in files too.
        recipe: What such values are made again from besides the files: a digest of those, cap and band factor. The
            ledger keeps it; it is no part of what anybody may see.

    Example:
        >>> import dataworth as dw
        >>> train = dw.Points([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], [0, 1, 1], owners=["ann", "bob", "bob"])
        >>> validation = dw.Points([[1.0, 0.1], [0.1, 1.0]], [0, 1])
        >>> release = dw.release_points(  # an exercise: no ledger, seeded noise
        ...     train, validation, method=dw.ThresholdKNNShapley(radius=0.5), spend=dw.Budget(1.0, 1e-5),
        ...     ledger=None, insecure_seed=1,
        ... )
        >>> release.noisy.shape, release.for_owner("bob").ids
        ((2, 2), array(['0', '1'], dtype='<U1'))
    """

    population: str
    method: str
    mechanism: str
    guarantees: tuple[Guarantee, ...]
    noisy: NDArray[np.int64]
    sigma: Fraction
    noisy_rows: int | None
    rows_sigma: Fraction | None
    public: Mapping[str, str | int | float | None]
    made: str
    number: int | None
    rows: Mapping[str, NDArray[Any]]
    recipe: Mapping[str, str | int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settle = object.__setattr__
        settle(self, "noisy", read_only(self.noisy))
        settle(self, "public", MappingProxyType(dict(self.public)))
        settle(self, "recipe", MappingProxyType(dict(self.recipe)))
        settle(self, "rows", MappingProxyType({name: read_only(column) for name, column in self.rows.items()}))

    def __repr__(self) -> str:
        stamp = f"{self.stamp}, " if self.stamp else ""
        return f"Release({stamp}{self.method} by {self.mechanism}, {self.n_validation} validation points)"

    @property
    def n_validation(self) -> int:
        """How many validation points judged."""
        return int(self.noisy.shape[0])

    @property
    def guarantee(self) -> Guarantee | None:
        """What is promised under the relation that the ledger keeps account of; None if there was no noise."""
        return self.guarantees[0] if self.guarantees else None

    @property
    def stamp(self) -> str:
        """NOT PRIVATE if the noise was seeded or left out, and nothing otherwise."""
        private = bool(self.guarantees) and all(promise.private for promise in self.guarantees)
        return "" if private else "NOT PRIVATE"

    @property
    def words(self) -> tuple[str, ...]:
        """The guarantees as sentences, and how they were kept."""
        promises = tuple(str(promise) for promise in self.guarantees)
        if self.stamp:
            return ("NOT PRIVATE: the randomness was seeded or left out, so nothing is hidden.",)
        noise = (
            f"Mechanism: {self.mechanism}; discrete Gaussian noise of scale {float(self.sigma):.6g} on two counts at "
            f"each of {self.n_validation} validation points"
            + (f", and of scale {float(self.rows_sigma):.6g} on the number of rows" if self.rows_sigma else "")
            + "."
        )
        public = (
            "Taken as public: the validation points, the classes, the metric, the radius, the embedding and scaling, "
            "and the parameters of the mechanism. Not public: everything else, the number of rows and owners included."
        )
        return (*promises, noise, public)

    # -- what may be asked -----------------------------------------------------------------------

    def for_owner(self, owner: str | int) -> Answer:
        """The values of one owner's rows, to be handed to that owner and to nobody else.

        A name that is not in the data gets the same answer as one that never was: no rows.

        Args:
            owner: The owner's name, as in the data (a whole number stands for its digits); without owners, the
                row's id.
        """
        owners = self._known_rows()["owners"]
        return self._answer(np.flatnonzero(rows_of_owner(owners, owner)))

    def check_values(self) -> None:
        """Make sure that owners' values are with it.

        Raises:
            MethodError: They are not; the message says where they are.
        """
        if self.recipe:
            raise MethodError(
                "the ledger keeps the noisy counts of this release, but not the values, which are of rows in files: "
                "asking once more as before, of the same files and with the same request key, writes them again for "
                "nothing"
            )
        if not self.rows:
            raise MethodError(
                "this release was read from the files that anybody may see, which hold nobody's values; those of rows "
                "in files are in the folder too (StoredRelease.open), those of others in the ledger: `dataworth "
                "deliver` writes them again for nothing"
            )

    def _known_rows(self) -> Mapping[str, NDArray[Any]]:
        self.check_values()
        return self.rows

    def _answer(self, mine: NDArray[np.intp]) -> Answer:
        """What is told about some rows, which must be one owner's."""
        return answer_of({name: cells[mine] for name, cells in self.rows.items()}, self.words)

    def counts(self) -> Table:
        """The noisy counts, which are differentially private themselves and may be shown to anybody."""
        return Table(
            "noisy-counts",
            "Noisy counts of neighbours at each validation point",
            {
                "validation point": list(range(self.n_validation)),
                "same label": self.noisy[:, 0].tolist(),
                "another label": self.noisy[:, 1].tolist(),
            },
            note=" ".join(self.words),
        )

    def summary(self) -> Table:
        """What the operator may know: parameters, guarantees, noise and what a simulation expects."""
        facts: dict[str, Cell] = {
            "population": self.population,
            "method": self.method,
            "mechanism": self.mechanism,
            "validation points": self.n_validation,
            "noise scale of a count": float(self.sigma),
        }
        if self.noisy_rows is not None and self.rows_sigma is not None:
            facts |= {"noisy number of rows": self.noisy_rows, "noise scale of the rows": float(self.rows_sigma)}
        facts |= dict(self.public)
        return Table(
            "private-release",
            "A private release" + (f": {self.stamp}" if self.stamp else ""),
            {"fact": list(facts), "is": [str(fact) if isinstance(fact, bool) else fact for fact in facts.values()]},
            note=" ".join((*self.words, NOT_COVERED)),
        )

    def bench_values(self) -> NDArray[np.float64]:
        """All values in the order of the training rows, for experiments on public data.

        Raises:
            MethodError: The release is private: values of many owners together are not covered.
        """
        if not self.stamp:
            self._refuse("handing out all values at once")
        return np.asarray(self._known_rows()["values"])

    # -- leaving and coming back -------------------------------------------------------------------

    def manifest(self) -> dict[str, Any]:
        """Public parameters, guarantees and a digest of the noisy counts; no number of rows, owners or files."""
        return {
            "format": FORMAT,
            "stamp": self.stamp,
            "population": self.population,
            "method": self.method,
            "mechanism": self.mechanism,
            "guarantees": [_guarantee_to_json(promise) for promise in self.guarantees],
            "words": list(self.words),
            "sigma": str(self.sigma),
            "rows_sigma": None if self.rows_sigma is None else str(self.rows_sigma),
            "noisy_rows": self.noisy_rows,
            "noisy_counts_sha256": hashlib.sha256(self.noisy.astype("<i8").tobytes()).hexdigest(),
            "n_validation": self.n_validation,
            "public": dict(self.public),
            "made": self.made,
            "number": self.number,
        }

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write one file for each owner under a random name, the manifest, and the noisy counts.

        ``owners/`` holds a JSON file an owner, ``deliver.csv`` says whose is which (both for the operator's hands
        only, as are the file permissions), ``manifest.json`` and ``counts.csv`` may be shown to anybody. The
        folder appears whole or not at all.

        Args:
            folder: A folder that does not exist yet.

        Returns:
            The folder.

        Raises:
            InputError: It exists already, or its parent does not.
        """
        target = Path(folder)
        owners = self._known_rows()["owners"]
        order = np.argsort(owners, kind="stable")
        names, starts = np.unique(owners[order], return_index=True)
        with whole_folder(target) as temporary:
            answers = (self._answer(mine) for mine in np.split(order, starts[1:]))
            write_answers(temporary, zip(names.tolist(), answers, strict=True))
            self.write_public(temporary)
        return target

    def write_public(self, folder: Path) -> None:
        """Write the files that may be shown to anybody, the manifest last; what is there under their names goes.

        Args:
            folder: A folder that is there.
        """
        texts = {_COUNTS: self.counts().to_csv(), _MANIFEST: json.dumps(self.manifest(), indent=1) + "\n"}
        for name, text in texts.items():
            with whole_file(folder / name, secret=True) as temporary:
                temporary.write_text(text, "utf-8")

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str]) -> Release:
        """What anybody may see of a release that :meth:`save` wrote: no owner's values are read.

        Args:
            folder: The folder it was written to.

        Raises:
            DataError: The manifest or the counts are not there, are damaged, or do not belong together.
        """
        where = Path(folder)
        try:
            about = json.loads((where / _MANIFEST).read_text(encoding="utf-8"))
            lines = csv.DictReader((where / _COUNTS).read_text(encoding="utf-8").splitlines())
            noisy = [[int(line["same label"]), int(line["another label"])] for line in lines]
            release = cls._from_manifest(about, noisy, {})
        except DataError:
            raise
        except OSError as error:
            raise DataError(f"{str(where)!r} holds no release: {error.strerror}") from error
        except _UNREADABLE as error:
            raise DataError(f"{str(where)!r} holds no release ({type(error).__name__})") from error
        if release.manifest()["noisy_counts_sha256"] != about.get("noisy_counts_sha256"):
            raise DataError(f"the counts in {str(where)!r} are not those of its manifest")
        return release

    def to_bytes(self) -> bytes:
        """Everything, owners' values included, as bytes: for the ledger, which is confidential."""
        import pyarrow as pa

        about = {**self.manifest(), "noisy": self.noisy.tolist()} | (
            {"recipe": dict(self.recipe)} if self.recipe else {}
        )
        table = pa.table({name: pa.array(column) for name, column in self.rows.items()})
        table = table.replace_schema_metadata({"dataworth": json.dumps(about)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        body = bytes(sink.getvalue().to_pybytes())
        return hashlib.sha256(body).digest() + body

    @classmethod
    def from_bytes(cls, data: bytes) -> Release:
        """Read what :meth:`to_bytes` made.

        Raises:
            DataError: The bytes are damaged, or no release of this format.
        """
        import pyarrow as pa

        digest, body = data[:_DIGEST], data[_DIGEST:]
        if hashlib.sha256(body).digest() != digest:
            raise DataError("these bytes are no release, or a damaged one")
        try:
            table = pa.ipc.open_file(pa.BufferReader(body)).read_all()
            about = json.loads((table.schema.metadata or {})[b"dataworth"])
            return cls._from_manifest(
                about, about["noisy"], {name: _column(table[name]) for name in table.column_names}
            )
        except DataError:
            raise
        except _UNREADABLE as error:  # Arrow's own are among them
            raise DataError(f"these bytes are no release ({type(error).__name__})") from error

    @classmethod
    def _from_manifest(cls, about: Mapping[str, Any], noisy: Any, rows: Mapping[str, NDArray[Any]]) -> Release:
        if about["format"] != FORMAT:
            raise DataError(f"the release has format {about['format']!r}; this dataworth reads {FORMAT!r}")
        return cls(
            population=about["population"],
            method=about["method"],
            mechanism=about["mechanism"],
            guarantees=tuple(_guarantee_from_json(promise) for promise in about["guarantees"]),
            noisy=np.array(noisy, dtype=np.int64).reshape(-1, 2),
            sigma=Fraction(about["sigma"]),
            noisy_rows=about["noisy_rows"],
            rows_sigma=None if about["rows_sigma"] is None else Fraction(about["rows_sigma"]),
            public=about["public"],
            made=about["made"],
            number=about["number"],
            rows=rows,
            recipe=about.get("recipe", {}),
        )

    def numbered(self, number: int) -> Release:
        """The same release with its number in the ledger."""
        return replace(self, number=number)


def answer_of(rows: Mapping[str, NDArray[Any]], words: tuple[str, ...]) -> Answer:
    """What is told about some rows, which must be one owner's.

    Args:
        rows: One entry a row, as in a :class:`Release`.
        words: The guarantees.
    """
    return Answer(
        np.array(list(map(str, rows["ids"].tolist())), dtype=np.str_),  # no wider than this owner's longest
        rows["values"],
        rows["band"],
        rows["vote"],
        rows["proxy"],
        tuple(REASONS[int(code)] for code in rows["reason"]),
        words,
    )


def rows_of_owner(owners: NDArray[Any], owner: object) -> NDArray[np.bool_]:
    """Which rows are of the owner of a name; none if it can be no name.

    Args:
        owners: Of every row, as text or as whole numbers, ``(n,)``.
        owner: The name; a whole number stands for its digits.
    """
    named = isinstance(owner, str | int | np.integer) and not isinstance(owner, bool)
    try:
        name = str(owner) if named else "\0"
    except ValueError:  # a whole number of more digits than Python writes out, and than any name has
        name = "\0"
    # NumPy would not tell a name from the same with zero characters at its end.
    return np.zeros(owners.size, dtype=np.bool_) if name.endswith("\0") else _called(owners, name)


def _called(names: NDArray[Any], name: str) -> NDArray[np.bool_]:
    """Which names are this one, as text, whether they are kept as text or as numbers."""
    if names.dtype.kind in "UO":
        return np.asarray(names == name, dtype=np.bool_)
    whole = (
        len(name) <= _MOST_DIGITS and name.isascii() and name.removeprefix("-").isdecimal() and str(int(name)) == name
    )
    return np.asarray(names == int(name)) if whole else np.zeros(names.size, dtype=np.bool_)


def _column(column: Any) -> NDArray[Any]:
    import pyarrow as pa

    return exact(column.to_pylist(), "a column") if pa.types.is_string(column.type) else column.to_numpy()


def _guarantee_to_json(promise: Guarantee) -> dict[str, Any]:
    return {
        "epsilon": str(promise.budget.epsilon),
        "delta": str(promise.budget.delta),
        "unit": "row" if isinstance(promise.unit, Row) else "owner",
        "max_rows": promise.unit.rows,
        "relation": promise.relation,
        "private": promise.private,
    }


def _guarantee_from_json(promise: Mapping[str, Any]) -> Guarantee:
    unit: Unit = Row() if promise["unit"] == "row" else Owner(promise["max_rows"])
    return Guarantee(Budget(promise["epsilon"], promise["delta"]), unit, promise["relation"], promise["private"])


def _csv(name: str | int) -> str:
    quoted = str(name).replace('"', '""')
    return f'"{quoted}"'


def _new_file(path: Path) -> TextIO:
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")


def write_answers(folder: Path, answers: Iterable[tuple[str | int, Answer]]) -> None:
    """Write one file for each owner under a random name, and ``deliver.csv``, which says whose is which.

    Args:
        folder: A folder that only the operator can open.
        answers: Owners and what they are told, one at a time.
    """
    (folder / "owners").mkdir(mode=0o700)
    with _new_file(folder / "deliver.csv") as lines:
        lines.write("owner,file\n")
        for owner, answer in answers:
            name = f"{secrets.token_hex(16)}.json"
            with _new_file(folder / "owners" / name) as file:
                file.writelines(answer.json_texts())
            lines.write(f"{_csv(owner)},{name}\n")


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder that only its owner can open, and that takes its place at the end or not at all."""
    if target.exists():
        raise InputError(f"{str(target)!r} exists already; a release is written to a new folder")
    if not target.parent.is_dir():
        raise InputError(f"the folder {str(target.parent)!r} does not exist; create it first")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        temporary.mkdir(mode=0o700)
        yield temporary
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
