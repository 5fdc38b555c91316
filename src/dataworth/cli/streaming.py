"""``dataworth points`` over files that need not fit in memory: what is asked, checked, run and told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataworth.cli.methods import Choice, Method
from dataworth.cli.output import show, show_json
from dataworth.cli.parts import Parts, figures_json, figures_text, told_how_to_go_on, was_there
from dataworth.cli.reading import parse_classes, read_judges
from dataworth.errors import InputError, MethodError

if TYPE_CHECKING:
    from dataworth.cli.private import Request
    from dataworth.kernels.neighbors import DType
    from dataworth.records.stored import StoredValues

__all__ = ["Streaming"]

SHOWN = 5
_OPTIONS = "--memory, --engine, --where, --update, --keep-links, --no-spill"
_METHODS = (Method.THRESHOLD, Method.VOTE, Method.KNN)


@dataclass(frozen=True)
class Streaming:
    """What was said about rows in files larger than memory; None where nothing was.

    Args:
        parts: About the files.
        update: The folder of an earlier run whose links are taken over.
        keep_links: Whether links stay for a later run.
        spill: Whether links are on disk between the passes.
        error: How far off a value may be.
    """

    parts: Parts
    update: Path | None
    keep_links: bool
    spill: bool
    error: float | None

    @property
    def asked(self) -> bool:
        """Whether rows are worked on part by part."""
        return self.parts.asked or self.keep_links or not self.spill or self.update is not None

    def check(self, method: Method, out: Path | None, others: Mapping[str, bool], *, private: bool) -> None:
        """Refuse what does not go together.

        Args:
            method: How to value.
            out: Where to.
            others: Options and whether they were given.
            private: Whether a private release is asked for.

        Raises:
            InputError: No folder for the values, or options about values in memory; or the other way about.
            MethodError: A method that is not worked out part by part.
            DataError: There is nothing to value.
        """
        self.parts.check_there()
        if not self.asked:
            if self.error is not None:
                raise InputError("--error is about rows that are worked out part by part; in memory values are exact")
            return
        if method not in _METHODS:
            raise MethodError(
                f"--method {method.value} does not work part by part, as folders and {_OPTIONS} ask; "
                "threshold, vote and knn do"
            )
        odd = [option for option, given in others.items() if given]
        if odd:
            raise InputError(
                f"{', '.join(odd)} cannot be had of values that are worked out part by part (a folder of tables, "
                f"{_OPTIONS}); leave it out, or give one file that fits in memory"
            )
        exact = {
            "--update": self.update is not None,
            "--keep-links": self.keep_links,
            "--error": self.error is not None,
        }
        if private and any(exact.values()):
            given = ", ".join(option for option, given in exact.items() if given)
            raise InputError(f"{given} is about exact values; a private release counts and draws anew: leave it out")
        self.parts.check_folder(out)

    def run(
        self,
        choice: Choice,
        validation: Path,
        out: Path,
        report: Path | None,
        request: Request | None,
        *,
        label: str | None,
        id: str | None,
        owner: str | None,
        features: list[str] | None,
        classes: str | None,
        dtype: DType,
        threads: int | None,
        as_json: bool,
    ) -> None:
        """Value the rows, or release their values if that is what is requested, and say what came of it."""
        import dataworth as dw
        from dataworth.data.sources import Source
        from dataworth.valuation.streaming import value_source

        if label is None:
            raise InputError("--label names the column of labels; folders of tables need it")
        source = Source.open(
            str(self.parts.train), label=label, id=id, owner=owner, features=features, filter=self.parts.where,
            allow_missing=request is not None,
        )  # fmt: skip
        judges = read_judges(
            validation, label=label, id=id, owner=owner, features=features or list(source.features), embed=None
        )
        suggested = dw.suggest_radius(judges, metric=choice.metric) if choice.radius_is_open else None
        known = None if classes is None else parse_classes(classes, judges.y)
        engine, method = self.parts.build(threads), choice.build(suggested)
        if request is not None:
            request.run_source(
                source, judges, method, suggested, out, report, classes=known, dtype=dtype, engine=engine,
                memory=self.parts.size, spill=self.spill, as_json=as_json,
            )  # fmt: skip
            return
        before = was_there(out)
        with told_how_to_go_on():
            stored = value_source(
                source,
                judges,
                method=method,  # type: ignore[arg-type]  # check() let three methods pass
                out=out,
                classes=known,
                dtype=dtype,
                engine=engine,
                memory=self.parts.size,
                spill=self.spill,
                keep_links=self.keep_links,
                update=self.update,
                error=self.error,
            )
        if as_json:
            show_json(_as_json(stored, suggested))
        else:
            show(_as_text(stored, suggested, before=before))


def _as_text(stored: StoredValues, suggested: float | None, *, before: bool) -> list[Any]:
    lines: list[Any] = [f"{stored.rows:,} rows by {stored.method}, {stored.n_validation:,} validation points"]
    if suggested is not None:
        lines.append(f"radius {suggested:.6g}, suggested by the validation set; choose another with --radius")
    if "files taken over" in stored.provenance:
        taken, gone = int(stored.provenance["files taken over"]), int(stored.provenance["files gone"])
        fresh = int(stored.provenance["files"]) - taken
        lines.append(f"links of {taken:,} files taken over, of {fresh:,} found anew; {gone:,} files no longer count")
    if "error bound" in stored.provenance:
        bound = _upwards(float(stored.provenance["error bound"]))
        lines.append(f"no value is further than {bound} from the exact one at the worst; most are many times nearer")
    shown = [stored.lowest_rows(SHOWN), stored.highest_rows(SHOWN)] if stored.rows > 2 * SHOWN else []
    return [*lines, *shown, *figures_text(stored, before=before)]


def _upwards(bound: float) -> str:
    """A bound in two digits that is one still."""
    return f"{float(Context(prec=2, rounding=ROUND_CEILING).create_decimal(bound)):.2g}"


def _as_json(stored: StoredValues, suggested: float | None) -> dict[str, Any]:
    return {
        "method": stored.method,
        "rows": stored.rows,
        "validation_points": stored.n_validation,
        "suggested_radius": suggested,
        **figures_json(stored),
        "error_bound": stored.provenance.get("error bound"),
        "taken_over": stored.provenance.get("files taken over"),
        "out": stored.folder,
    }
