"""Values: what each row is worth, aligned with its id, with how it was found."""

from __future__ import annotations

import html
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataworth.errors import DataError, InputError, MissingExtra
from dataworth.records.arrays import exact, read_only
from dataworth.records.attributions import Attributions
from dataworth.records.evidence import Evidence, Table, evidence_from_json, evidence_to_json
from dataworth.records.files import whole_file

__all__ = ["Detection", "Values"]

FORMAT = "dataworth.values/1"

OWNER_CAVEAT = (
    "A sum of row values is not the owner's own Shapley value: that would count the owner's rows "
    "joining and leaving together. Use it to compare owners, not to pay them exactly."
)
ADDITIVE = (
    "Exact: each generated item's worth is divided among its matches once, so what an owner's items earned is the "
    "sum of what each of them earned."
)


@dataclass(frozen=True)
class Detection:
    """How well low values point at rows known to be bad.

    Args:
        auroc: Chance that a random bad row has a lower value than a random good one (ties count half).
        average_precision: Area under precision against recall when the lowest values are inspected first.
        curve: Columns ``inspected`` and ``found``, both as shares in [0, 1]: of all rows looked at, lowest
            value first, and of the bad rows found by then; ``random`` is what looking in random order finds.
        n_bad: How many rows are bad.

    Example:
        >>> import dataworth as dw
        >>> values = dw.Values([1, 2, 3, 4], [-0.5, -0.2, 0.1, 0.3], method="by hand", n_validation=4)
        >>> found = values.detection([True, False, False, False])
        >>> found.auroc, found.found_in_lowest(0.25)
        (1.0, 1.0)
    """

    auroc: float
    average_precision: float
    curve: Table
    n_bad: int

    def found_in_lowest(self, share: float) -> float:
        """The share of bad rows found when that share of rows, lowest values first, is inspected."""
        inspected = np.asarray(self.curve.columns["inspected"], dtype=np.float64)
        found = np.asarray(self.curve.columns["found"], dtype=np.float64)
        return float(np.interp(share, inspected, found))


@dataclass(frozen=True, eq=False, repr=False)
class Values:
    """The value of each row of a training set; higher is better.

    Args:
        ids: Names of the rows, shape ``(n,)``.
        values: float64, shape ``(n,)``, in units of the method's utility (for classification: accuracy).
            For exact Shapley values they sum to what the whole set gains over the empty one.
        method: The method with its parameters, as text.
        n_validation: How many validation points judged; for values by likeness, how many generated items were divided.
        owners: Who contributed each row, shape ``(n,)``, if known.
        provenance: What made these values: versions, settings, time; plain text and numbers.
        evidence: Links, tables and exhibits for a report, if they were asked for.
        attributions: For values by likeness: what each row earned of each generated item.
        errors: Standard errors of the values, ``(n,)``, where a method that samples found them: 0 where nothing was
            left to chance, NaN where too little was tried to tell.

    Raises:
        InputError: Arrays whose lengths differ, values that are not finite, or a provenance that is not plain.

    Example:
        >>> import dataworth as dw
        >>> values = dw.Values(["a", "b"], [0.25, -0.05], method="by hand", n_validation=4)
        >>> values.lowest(1).rows()
        [('b', -0.05)]
    """

    ids: NDArray[Any]
    values: NDArray[np.float64]
    method: str
    n_validation: int
    owners: NDArray[Any] | None
    provenance: Mapping[str, str | int | float]
    evidence: tuple[Evidence, ...]
    attributions: Attributions | None
    errors: NDArray[np.float64] | None

    def __init__(
        self,
        ids: ArrayLike,
        values: ArrayLike,
        method: str,
        n_validation: int,
        owners: ArrayLike | None = None,
        provenance: Mapping[str, str | int | float] = MappingProxyType({}),
        evidence: Sequence[Evidence] = (),
        attributions: Attributions | None = None,
        errors: ArrayLike | None = None,
    ) -> None:
        checked = np.array(values, dtype=np.float64)  # a copy: what the caller does to theirs later is theirs
        names = exact(ids, "ids")
        whose = None if owners is None else exact(owners, "owners")
        if checked.ndim != 1 or names.shape != checked.shape or (whose is not None and whose.shape != checked.shape):
            shapes = [array.shape for array in (names, checked, whose) if array is not None]
            raise InputError(f"ids, values and owners must be flat and equally long, not of shapes {shapes}")
        _check_facts(method, n_validation)
        if not np.isfinite(checked).all():
            raise InputError(f"{int((~np.isfinite(checked)).sum())} of {checked.size} values are not finite")
        settle = object.__setattr__
        settle(self, "ids", read_only(names))
        settle(self, "values", read_only(checked))
        settle(self, "method", method)
        settle(self, "n_validation", int(n_validation))
        settle(self, "owners", None if whose is None else read_only(whose))
        settle(self, "provenance", MappingProxyType({key: _plain(key, fact) for key, fact in provenance.items()}))
        settle(self, "evidence", tuple(evidence))
        if attributions is not None and not np.array_equal(attributions.ids, self.ids):
            raise InputError("attributions must be of the very rows that are valued, in the same order")
        settle(self, "attributions", attributions)
        settle(self, "errors", None if errors is None else _check_errors(errors, checked.shape))

    def __len__(self) -> int:
        return int(self.values.shape[0])

    @property
    def known_errors(self) -> NDArray[np.float64]:
        """The standard errors that are known, ``(m,)``; none for a method that does not sample."""
        return np.empty(0) if self.errors is None else self.errors[~np.isnan(self.errors)]

    @property
    def noise(self) -> float | None:
        """The part of the variance of the values that is their sampling, 0 to 1; None without errors or variance."""
        known, variance = self.known_errors, float(self.values.var()) if len(self) else 0.0
        return min(1.0, float((known**2).mean()) / variance) if known.size and variance > 0 else None

    def __repr__(self) -> str:
        judges = "validation points" if self.attributions is None else "generated items"
        figures = (
            f", min {self.values.min():.3g}, mean {self.values.mean():.3g}, max {self.values.max():.3g}"
            if len(self)
            else ""
        )
        return f"Values({len(self)} rows by {self.method}, {self.n_validation} {judges}{figures})"

    def _repr_html_(self) -> str:
        """A small table for notebooks; every text is escaped."""
        parts = [f"<p><b>{html.escape(repr(self))}</b></p>"]
        for title, table in (("Lowest", self.lowest(5)), ("Highest", self.highest(5))):
            head = "".join(f"<th>{html.escape(str(column))}</th>" for column in table.columns)
            body = "".join(
                "<tr>"
                + "".join(f"<td>{html.escape(f'{c:.4g}' if isinstance(c, float) else str(c))}</td>" for c in row)
                + "</tr>"
                for row in table.rows()
            )
            parts.append(
                f"<table><caption>{title}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            )
        return "".join(parts)

    # -- looking ---------------------------------------------------------------------------------

    def lowest(self, n: int = 10) -> Table:
        """The ``n`` rows of lowest value, lowest first: ids, owners and standard errors if known, values."""
        return self._some("lowest", np.argsort(self.values, kind="stable")[:n])

    def highest(self, n: int = 10) -> Table:
        """The ``n`` rows of highest value, highest first: ids, owners and standard errors if known, values."""
        return self._some("highest", np.argsort(-self.values, kind="stable")[:n])

    def _some(self, name: str, at: NDArray[np.intp]) -> Table:
        every = at.size == len(self)
        title = f"All {at.size} values, {name} first" if every else f"The {at.size} {name} values"
        columns: dict[str, Sequence[Any]] = {"id": self.ids[at].tolist()}
        if self.owners is not None:
            columns["owner"] = self.owners[at].tolist()
        columns["value"] = self.values[at].tolist()
        if self.errors is not None and self.errors.any():  # exact values have none to show
            columns["standard error"] = _known(self.errors[at])
        return Table(name, title, columns)

    def by_owner(self) -> Table:
        """Sums of values by owner, highest first, with the number of rows and the mean.

        Values by likeness to generated items are additive: an owner's sum is exactly what their items earned, and
        its share of everything is given too. Any other sum of row values is **not** the owner's own Shapley value
        (their rows would have to join and leave together); the table's note says which.

        Raises:
            InputError: The owners are not known.
        """
        if self.owners is None:
            raise InputError("owners are not known: give owners= to Points, or owner= to read_points, before valuing")
        names, at = np.unique(self.owners, return_inverse=True)
        total = np.bincount(at, weights=self.values).astype(np.float64)
        additive = self.attributions is not None
        if additive:
            total = np.array([math.fsum(self.values[at == i]) for i in range(names.size)])
        return owner_table(names, np.bincount(at), total, math.fsum(self.values), additive=additive)

    def detection(self, bad: ArrayLike) -> Detection:
        """How well low values find rows that are known to be bad.

        Args:
            bad: Boolean mask of shape ``(n,)`` in the order of ``ids``; some but not all rows are bad.

        Raises:
            InputError: The mask has another shape or type, or marks no row or every row.
        """
        from sklearn.metrics import average_precision_score, roc_auc_score

        mask = np.asarray(bad)
        if mask.shape != self.values.shape or mask.dtype != np.bool_:
            raise InputError(
                f"bad must be a boolean mask of shape {self.values.shape}, not {mask.dtype} of shape {mask.shape}"
            )
        n_bad = int(mask.sum())
        if n_bad in (0, mask.size):
            raise InputError(f"bad marks {n_bad} of {mask.size} rows; detection needs some bad and some good rows")
        inspected, found = _discovery(self.values, mask)
        curve = Table(
            "detection-curve",
            "Bad rows found when the lowest values are inspected first",
            {"inspected": inspected.tolist(), "found": found.tolist(), "random": inspected.tolist()},
        )
        return Detection(
            auroc=float(roc_auc_score(mask, -self.values)),
            average_precision=float(average_precision_score(mask, -self.values)),
            curve=curve,
            n_bad=n_bad,
        )

    def plot(self, ax: Any = None) -> Any:
        """The values sorted from lowest to highest; returns the matplotlib axes.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError:
            raise MissingExtra("Values.plot", "plot") from None
        axes = ax if ax is not None else plt.subplots(layout="constrained")[1]
        ordered = np.sort(self.values)
        axes.plot(np.linspace(0, 100, ordered.size), ordered)
        axes.axhline(0, color="0.6", linewidth=0.8)
        axes.set(xlabel="rows, lowest value first (%)", ylabel="value", title=self.method)
        return axes

    def with_evidence(self, *evidence: Evidence) -> Values:
        """These values with more evidence for a report."""
        return replace(self, evidence=(*self.evidence, *evidence))

    # -- leaving and coming back -----------------------------------------------------------------

    def to_arrow(self) -> Any:
        """A pyarrow Table with columns ``id``, ``owner`` (if known), ``value`` and ``error`` (if known)."""
        import pyarrow as pa

        return pa.table({name: pa.array(column) for name, column in self._columns().items()})

    def to_pandas(self) -> Any:
        """A pandas DataFrame with columns ``id``, ``owner`` (if known), ``value`` and ``error`` (if known)."""
        import pandas as pd

        return pd.DataFrame(self._columns())

    def to_polars(self) -> Any:
        """A polars DataFrame with columns ``id``, ``owner`` (if known), ``value`` and ``error`` (if known)."""
        import polars as pl

        return pl.DataFrame(self._columns())

    def _columns(self) -> dict[str, NDArray[Any]]:
        owners = {} if self.owners is None else {"owner": self.owners}
        errors = {} if self.errors is None else {"error": self.errors}
        return {"id": self.ids, **owners, "value": self.values, **errors}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a Parquet file with everything in it: columns, method, provenance and evidence.

        The file appears whole or not at all: it is written under a temporary name first.

        Returns:
            The path written.
        """
        import pyarrow.parquet as pq

        about = {
            "format": FORMAT,
            "method": self.method,
            "n_validation": self.n_validation,
            "provenance": dict(self.provenance),
            "evidence": evidence_to_json(self.evidence),
        }
        table = self.to_arrow()
        if self.attributions is not None:
            matches, about["generated"] = self.attributions.columns()
            table = table.append_column("matches", matches)
        table = table.replace_schema_metadata({"dataworth": json.dumps(about)})
        with whole_file(path) as temporary:
            pq.write_table(table, temporary)
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Values:
        """Read what :meth:`save` wrote.

        Raises:
            DataError: The file is not there, is not Parquet, is damaged, or holds no values of this format.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(os.fspath(path))
        except FileNotFoundError:
            raise DataError(f"there is no file {os.fspath(path)!r}") from None
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{os.fspath(path)!r} cannot be read as Parquet: {error}") from None
        raw = (table.schema.metadata or {}).get(b"dataworth")
        if raw is None:
            raise DataError(
                f"{os.fspath(path)!r} is Parquet, but holds no dataworth values; Values.save writes such files"
            )
        try:
            about = json.loads(raw)
            if about["format"] == FORMAT:
                ids = _names(table["id"])
                owners = _names(table["owner"]) if "owner" in table.column_names else None
                generated = about.get("generated")
                return cls(
                    ids=ids,
                    values=table["value"].to_numpy(),
                    owners=owners,
                    attributions=None
                    if generated is None
                    else Attributions.from_columns(table["matches"], generated, ids, owners),
                    method=about["method"],
                    n_validation=about["n_validation"],
                    provenance=about["provenance"],
                    evidence=evidence_from_json(about["evidence"]),
                    errors=table["error"].to_numpy() if "error" in table.column_names else None,
                )
        except DataError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{os.fspath(path)!r} holds dataworth values, but what describes them is damaged "
                f"({type(error).__name__}); save them again"
            ) from error
        raise DataError(f"{os.fspath(path)!r} has format {about['format']!r}; this dataworth reads {FORMAT!r}")


def _check_facts(method: Any, n_validation: Any) -> None:
    if not isinstance(method, str) or not isinstance(n_validation, int | np.integer):
        kinds = f"{type(method).__name__} and {type(n_validation).__name__}"
        raise InputError(f"method must be text and n_validation a whole number, not {kinds}")


def _check_errors(given: ArrayLike, shape: tuple[int, ...]) -> NDArray[Any]:
    errors = np.array(given, dtype=np.float64)
    if errors.shape != shape:
        raise InputError(f"errors must be as many as the values, of shape {shape}, not {errors.shape}")
    odd = int((np.isinf(errors) | (errors < 0)).sum())
    if odd:
        raise InputError(f"{odd} of {errors.size} standard errors are negative or infinite")
    return read_only(errors)


def owner_table(
    names: NDArray[Any], rows: NDArray[np.int64], total: NDArray[np.float64], everything: float, *, additive: bool
) -> Table:
    """Sums of values by owner, highest first.

    Args:
        names: Of the owners, ``(n,)``.
        rows: How many rows each has, ``(n,)``.
        total: What their values come to, ``(n,)``.
        everything: What all values come to.
        additive: Whether a sum of values is what the owner's rows are worth together.
    """
    order = np.argsort(-total, kind="stable")
    shares = {"share": (total / everything)[order].tolist()} if additive and everything > 0 else {}
    return Table(
        "by-owner",
        "Values summed by owner",
        {
            "owner": names[order].tolist(),
            "rows": rows[order].tolist(),
            "sum of values": total[order].tolist(),
            **shares,
            "mean value": (total / rows)[order].tolist(),
        },
        note=ADDITIVE if additive else OWNER_CAVEAT,
    )


def _known(errors: NDArray[np.float64]) -> list[float | None]:
    """Errors for a table, None where there is none."""
    return [None if math.isnan(error) else error for error in errors.tolist()]


def _plain(key: str, fact: Any) -> str | int | float:
    """A fact of the provenance as Python's own text or number."""
    plain = fact.item() if isinstance(fact, np.generic) else fact
    if not isinstance(key, str) or not isinstance(plain, str | int | float):
        raise InputError(f"provenance holds names with text or numbers, but {key!r} has {type(fact).__name__}")
    return plain


def _names(column: Any) -> NDArray[Any]:
    """A saved column of ids or owners; integers stay what they were."""
    import pyarrow as pa

    whole = pa.types.is_integer(column.type) and not column.null_count
    return exact(column.to_numpy() if whole else column.to_pylist(), "a column of names")


def _discovery(
    values: NDArray[np.float64], bad: NDArray[np.bool_], points: int = 101
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares inspected and shares found; rows of equal value count as found in an average order."""
    _, group = np.unique(values, return_inverse=True)
    ends = np.concatenate([[0], np.cumsum(np.bincount(group))]) / values.size
    found = np.concatenate([[0], np.cumsum(np.bincount(group, weights=bad))]) / bad.sum()
    inspected = np.linspace(0.0, 1.0, points)
    return inspected, np.interp(inspected, ends, found)
