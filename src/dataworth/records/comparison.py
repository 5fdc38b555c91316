"""Comparison: what several methods say of the same rows, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dataworth.errors import InputError
from dataworth.records.evidence import Evidence, Exhibit, Table, evidence_to_json

__all__ = ["Comparison"]


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Several methods on one data set: how far they agree, and what each is good for.

    ``write_report`` shows it as a page.

    Args:
        methods: What each method is called here, no name twice, in the order given.
        n_rows: How many rows each of them valued.
        evidence: Tables and exhibits, each by a name of its own; :func:`dataworth.compare_values` says which.
        facts: What was done: who judged, which model, seeds; plain text and numbers.

    Raises:
        InputError: Fewer than two methods, or a name that is there twice.

    Example:
        >>> import dataworth as dw
        >>> ids = ["a", "b", "c"]
        >>> one = dw.Values(ids, [0.1, 0.2, 0.3], method="One()", n_validation=4)
        >>> other = dw.Values(ids, [0.3, 0.2, 0.4], method="Other()", n_validation=4)
        >>> compared = dw.compare_values([one, other])
        >>> compared
        Comparison(One, Other; 3 rows)
        >>> compared.table("spearman").columns["Other"]
        (0.5, 1.0)
    """

    methods: tuple[str, ...]
    n_rows: int
    evidence: tuple[Evidence, ...]
    facts: Mapping[str, str | int | float]

    def __init__(
        self,
        methods: Sequence[str],
        n_rows: int,
        evidence: Sequence[Evidence],
        facts: Mapping[str, str | int | float] = MappingProxyType({}),
    ) -> None:
        settle = object.__setattr__
        settle(self, "methods", tuple(methods))
        settle(self, "n_rows", int(n_rows))
        settle(self, "evidence", tuple(evidence))
        settle(self, "facts", MappingProxyType(dict(facts)))
        if len(self.methods) < 2:
            raise InputError(f"a comparison is of at least two methods, not of {len(self.methods)}")
        for what, names in (("methods", self.methods), ("pieces", [piece.name for piece in self.evidence])):
            twice = sorted({name for name in names if list(names).count(name) > 1})
            if twice:
                raise InputError(f"{what} of a comparison need names of their own, but {twice} are there twice")

    def __repr__(self) -> str:
        return f"Comparison({', '.join(self.methods)}; {self.n_rows:,} rows)"

    def __contains__(self, name: object) -> bool:
        return any(piece.name == name for piece in self.evidence)

    def table(self, name: str) -> Table:
        """The table of that name; of a picture, the figures behind it.

        Raises:
            InputError: There is none; the message says which there are.
        """
        for piece in self.evidence:
            if piece.name == name and isinstance(piece, Table | Exhibit):
                return piece if isinstance(piece, Table) else piece.table
        raise InputError(f"this comparison has no {name!r}, but {', '.join(piece.name for piece in self.evidence)}")

    def to_json(self) -> dict[str, Any]:
        """Everything as one dictionary that JSON can hold."""
        return {
            "methods": list(self.methods),
            "rows": self.n_rows,
            "facts": dict(self.facts),
            "evidence": evidence_to_json(self.evidence),
        }
