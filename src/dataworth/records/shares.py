"""Shares: what each provider is worth, calibrated, beside what they would be otherwise."""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import DataError, InputError
from dataworth.records.arrays import read_only
from dataworth.records.coalitions import Coalitions
from dataworth.records.evidence import Evidence, Table, evidence_from_json, evidence_to_json
from dataworth.records.files import whole_file
from dataworth.records.privacy import Budget, Guarantee, Owner, Row

__all__ = ["Shares"]

FORMAT = "dataworth.shares/1"

_COLUMNS = ("value", "error", "uncalibrated", "fidelity", "fidelity_error", "utility")


@dataclass(frozen=True, eq=False, repr=False)
class Shares:
    """The calibrated value of each provider, never exact, with what it was made of.

    Args:
        providers: Names, in order.
        values: Calibrated values in units of utility, ``(P,)``; they sum to ``total``.
        errors: Standard errors of ``values`` from the sampling of coalitions, the noise of training and that of
            fidelity, ``(P,)``; NaN where not known. Another synthetic copy would give other values still.
        uncalibrated: Shapley values of the synthetic game, ``(P,)``.
        total: What the calibrated values sum to.
        fidelity: ``F_i``, agreement beyond chance, ``(P,)``; NaN where there was no answer.
        utility: ``U_i``, what each is worth alone beyond chance, ``(P,)``.
        calibration: The calibration with its parameters, as text.
        coalitions: What was tried, so that another calibration can be applied to it.
        spent: What each provider spent, ``P`` guarantees; None where nothing is known to protect its data, and for one
            that declared itself empty.
        flags: What a reader must know before trusting the figures, one sentence each.
        provenance: Versions, settings, time.
        evidence: Tables and exhibits for a report.
        empty: Names of the providers that declared themselves empty; they get zero exactly.
        fidelity_errors: Standard errors of ``fidelity``, ``(P,)``; NaN where not known, all of it if not given.
        ceiling: The highest utility that there is: 1 for accuracy.

    Raises:
        InputError: Arrays of different lengths, names that repeat or are not those of ``coalitions``, or values that
            are not finite.

    Example:
        >>> import dataworth as dw, numpy as np
        >>> members = np.array([[False, False], [True, False], [False, True], [True, True]])
        >>> tried = dw.Coalitions(
        ...     ("a", "b"), members, np.array([[0.5], [0.7], [0.6], [0.9]]), floor=0.5, full=0.9,
        ...     alone=np.array([0.7, 0.6]), values=np.array([0.25, 0.15]), errors=np.zeros(2), exact=True,
        ...     utility="by hand",
        ... )
        >>> unknown = np.full(2, np.nan)
        >>> shares = dw.Shares(
        ...     ("a", "b"), tried.values, unknown, tried.values, 0.4, unknown, tried.alone - 0.5, "none", tried,
        ...     (None, None),
        ... )
        >>> shares.shares.round(3).tolist()
        [0.625, 0.375]
    """

    providers: tuple[str, ...]
    values: NDArray[np.float64]
    errors: NDArray[np.float64]
    uncalibrated: NDArray[np.float64]
    total: float
    fidelity: NDArray[np.float64]
    utility: NDArray[np.float64]
    calibration: str
    coalitions: Coalitions
    spent: tuple[Guarantee | None, ...]
    flags: tuple[str, ...] = ()
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    empty: tuple[str, ...] = ()
    fidelity_errors: NDArray[np.float64] = None  # type: ignore[assignment]  # becomes an array of NaN
    ceiling: float = 1.0

    def __post_init__(self) -> None:
        settle = object.__setattr__
        for name in ("providers", "spent", "flags", "evidence", "empty"):
            settle(self, name, tuple(getattr(self, name)))
        settle(self, "provenance", dict(self.provenance))
        count = len(self.providers)
        for name in ("values", "errors", "uncalibrated", "fidelity", "utility", "fidelity_errors"):
            given = getattr(self, name)
            unknown = given is None and name == "fidelity_errors"
            array = np.full(count, np.nan) if unknown else np.array(given, dtype=np.float64)
            if array.shape != (count,):
                raise InputError(f"{name} must have one entry for each of {count} providers, not shape {array.shape}")
            settle(self, name, read_only(array))
        if not (np.isfinite(self.values).all() and math.isfinite(self.total)):
            raise InputError("calibrated values must be finite")
        if len(set(self.providers)) < count:
            raise InputError("two providers have the same name")
        if self.coalitions.players != self.providers:
            raise InputError("the coalitions are those of other providers, or of these in another order")
        if len(self.spent) != count:
            raise InputError(f"spent must have one entry for each of {count} providers, not {len(self.spent)}")
        strange = len(set(self.empty) - set(self.providers))
        if strange:
            raise InputError(f"{strange} of the names in empty are those of no provider")

    def __len__(self) -> int:
        return len(self.providers)

    def __repr__(self) -> str:
        stamp = f", {self.stamp}" if self.stamp else ""
        return f"Shares({len(self)} providers, total {self.total:.3g}, {self.calibration}{stamp})"

    @property
    def present(self) -> NDArray[np.bool_]:
        """Who did not declare itself empty, ``(P,)``."""
        return np.array([name not in self.empty for name in self.providers], dtype=np.bool_)

    @property
    def shares(self) -> NDArray[np.float64]:
        """``values`` as parts of one; equal parts of those not empty where the total is not above zero."""
        total = self.values.sum()
        if not total > 0:
            return np.asarray(self.present / max(int(self.present.sum()), 1))
        return np.asarray(self.values / total)

    @property
    def uniform(self) -> NDArray[np.float64]:
        """The split that knows nothing: ``total`` in equal parts among those not empty."""
        return np.asarray(self.total * self.present / max(int(self.present.sum()), 1))

    @property
    def stamp(self) -> str:
        """NOT PRIVATE if nothing is known to protect some provider's data, and nothing otherwise."""
        there = zip(self.present, self.spent, strict=True)
        covered = all(promise is not None and promise.private for here, promise in there if here)
        return "" if covered else "NOT PRIVATE"

    # -- leaving and coming back -----------------------------------------------------------------

    def to_table(self) -> Table:
        """One row a provider: value, error, share, what it would be otherwise, and what was spent."""
        promised = [None if promise is None else promise.budget for promise in self.spent]
        return Table(
            "shares",
            "Calibrated values of providers",
            {
                "provider": self.providers,
                "value": self.values.tolist(),
                "standard error": _known(self.errors),
                "share": self.shares.tolist(),
                "uncalibrated": self.uncalibrated.tolist(),
                "uniform": self.uniform.tolist(),
                "fidelity": _known(self.fidelity),
                "utility": _known(self.utility),
                "epsilon": [None if budget is None else float(budget.epsilon) for budget in promised],
                "delta": [None if budget is None else float(budget.delta) for budget in promised],
            },
            note=" ".join(self.flags),
        )

    def to_pandas(self) -> Any:
        """A pandas DataFrame with the columns of :meth:`to_table` (pandas must be installed)."""
        return self.to_table().to_pandas()

    def to_json(self) -> dict[str, Any]:
        """What JSON can hold: the table row by row, the total, the flags; None for what is not known."""
        table = self.to_table()
        return {
            "providers": [dict(zip(table.columns, row, strict=True)) for row in table.rows()],
            "total": self.total,
            "calibration": self.calibration,
            "utility": self.coalitions.utility,
            "exact coalitions": self.coalitions.exact,
            "promises": [None if promise is None else str(promise) for promise in self.spent],
            "empty": list(self.empty),
            "stamp": self.stamp,
            "flags": list(self.flags),
            "provenance": dict(self.provenance),
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a Parquet file with everything in it: a row a provider, and coalitions, flags and evidence beside.

        The file appears whole or not at all: it is written under a temporary name first.

        Returns:
            The path written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = (
            self.values, self.errors, self.uncalibrated, self.fidelity, self.fidelity_errors, self.utility,
        )  # fmt: skip
        tried = self.coalitions
        games = {"alone": tried.alone, "shapley": tried.values, "shapley_error": tried.errors}
        table = pa.table(
            {
                "provider": pa.array(self.providers, pa.string()),
                **{name: pa.array(column) for name, column in zip(_COLUMNS, columns, strict=True)},
                **{name: pa.array(column) for name, column in games.items()},
                "empty": pa.array((~self.present).tolist(), pa.bool_()),
                "spent": pa.array([_promise_to_json(promise) for promise in self.spent], pa.string()),
            }
        )
        about = {
            "format": FORMAT,
            "total": self.total,
            "ceiling": self.ceiling,
            "calibration": self.calibration,
            "flags": list(self.flags),
            "provenance": dict(self.provenance),
            "evidence": evidence_to_json(self.evidence),
            "coalitions": {
                "members": _packed(np.packbits(tried.members.ravel())),
                "utilities": _packed(tried.utilities.astype("<f8").ravel()),
                "tried": len(tried.members),
                "repeats": tried.utilities.shape[1],
                "floor": tried.floor,
                "full": tried.full,
                "exact": tried.exact,
                "utility": tried.utility,
            },
        }
        table = table.replace_schema_metadata({"dataworth": json.dumps(about)})
        with whole_file(path) as temporary:
            pq.write_table(table, temporary)
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Shares:
        """Read what :meth:`save` wrote.

        Raises:
            DataError: The file is not there, is not Parquet, is damaged, or holds no shares of this format.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        name = repr(os.fspath(path))
        try:
            table = pq.read_table(os.fspath(path))
        except FileNotFoundError:
            raise DataError(f"there is no file {name}") from None
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{name} cannot be read as Parquet: {error}") from None
        raw = (table.schema.metadata or {}).get(b"dataworth")
        if raw is None:
            raise DataError(f"{name} is Parquet, but holds no shares of providers; Shares.save writes such files")
        try:
            about = json.loads(raw)
            found = about["format"]
            if found == FORMAT:
                return cls._from_parts(table, about)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{name} holds shares of providers, but they are damaged ({type(error).__name__}); save them again"
            ) from error
        raise DataError(
            f"{name} has format {found!r}, not {FORMAT!r}: it holds no shares of providers that this dataworth reads"
        )

    @classmethod
    def _from_parts(cls, table: Any, about: Mapping[str, Any]) -> Shares:
        providers = tuple(table["provider"].to_pylist())
        column = {name: table[name].to_numpy() for name in (*_COLUMNS, "alone", "shapley", "shapley_error")}
        kept = about["coalitions"]
        m, repeats, count = kept["tried"], kept["repeats"], len(providers)
        bits = np.frombuffer(_unpacked(kept["members"]), np.uint8)
        if bits.size != -(-m * count // 8):  # fewer would be filled up with zeros
            raise ValueError("members of coalitions are missing")
        members = np.unpackbits(bits, count=m * count)
        tried = Coalitions(
            players=providers,
            members=members.astype(np.bool_).reshape(m, count),
            utilities=np.frombuffer(_unpacked(kept["utilities"]), "<f8").astype(np.float64).reshape(m, repeats),
            floor=kept["floor"],
            full=kept["full"],
            alone=column["alone"],
            values=column["shapley"],
            errors=column["shapley_error"],
            exact=kept["exact"],
            utility=kept["utility"],
        )
        return cls(
            providers=providers,
            values=column["value"],
            errors=column["error"],
            uncalibrated=column["uncalibrated"],
            total=about["total"],
            fidelity=column["fidelity"],
            utility=column["utility"],
            calibration=about["calibration"],
            coalitions=tried,
            spent=tuple(_promise_from_json(text) for text in table["spent"].to_pylist()),
            flags=tuple(about["flags"]),
            provenance=about["provenance"],
            evidence=evidence_from_json(about["evidence"]),
            empty=tuple(name for name, empty in zip(providers, table["empty"].to_pylist(), strict=True) if empty),
            fidelity_errors=column["fidelity_error"],
            ceiling=about["ceiling"],
        )


def _known(figures: NDArray[np.float64]) -> Sequence[float | None]:
    return [None if math.isnan(figure) else figure for figure in figures.tolist()]


def _packed(array: NDArray[Any]) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")


def _unpacked(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _promise_to_json(promise: Guarantee | None) -> str | None:
    if promise is None:
        return None
    return json.dumps(
        {
            "epsilon": str(promise.budget.epsilon),
            "delta": str(promise.budget.delta),
            "unit": "row" if isinstance(promise.unit, Row) else "owner",
            "max_rows": promise.unit.rows,
            "relation": promise.relation,
            "private": promise.private,
            "joint": promise.joint,
        }
    )


def _promise_from_json(text: str | None) -> Guarantee | None:
    if text is None:
        return None
    kept = json.loads(text)
    unit = Row() if kept["unit"] == "row" else Owner(kept["max_rows"])
    budget = Budget(kept["epsilon"], kept["delta"])
    return Guarantee(budget, unit, kept["relation"], private=bool(kept["private"]), joint=bool(kept["joint"]))
