"""``dataworth points`` over files that need not fit in memory: what is asked, checked, run and told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataworth.cli.methods import Choice, Method
from dataworth.cli.output import show, show_json
from dataworth.cli.reading import parse_classes, read_judges
from dataworth.errors import InputError, MethodError

if TYPE_CHECKING:
    from dataworth.engines.engine import Engine
    from dataworth.kernels.neighbors import DType
    from dataworth.records.stored import StoredValues

__all__ = ["Streaming"]

_TABLES = frozenset([".parquet", ".pq", ".arrow", ".feather", ".ipc"])
_OPTIONS = "--memory, --engine, --where, --update, --keep-links, --no-spill"
_METHODS = (Method.THRESHOLD, Method.VOTE)


@dataclass(frozen=True)
class Streaming:
    """What was said about files larger than memory; None where nothing was.

    Args:
        train: The rows to value.
        memory: What all workers may take together.
        engine: ``local``, ``dask`` or the address of a scheduler.
        where: Which rows to value.
        update: The folder of an earlier run whose links are taken over.
        keep_links: Whether links stay for a later run.
        spill: Whether links are on disk between the passes.
    """

    train: Path
    memory: str | None
    engine: str | None
    where: str | None
    update: Path | None
    keep_links: bool
    spill: bool

    @property
    def asked(self) -> bool:
        """Whether rows are worked on part by part: an option says so, or the rows are a folder or pattern of tables."""
        options = (self.memory, self.engine, self.where, self.update)
        given = self.keep_links or not self.spill or any(option is not None for option in options)
        return given or _pattern(self.train) or _first_is_table(self.train)

    def check(self, method: Method, out: Path | None, others: Mapping[str, bool]) -> None:
        """Refuse what does not go together with it.

        Args:
            method: How to value.
            out: Where to.
            others: Options and whether they were given.

        Raises:
            InputError: No folder for the values, or options about values in memory.
            MethodError: A method that is not worked out part by part.
        """
        if method not in _METHODS:
            raise MethodError(
                f"--method {method.value} does not work part by part, as folders and {_OPTIONS} ask; "
                f"{' and '.join(each.value for each in _METHODS)} do"
            )
        odd = [option for option, given in others.items() if given]
        if odd:
            raise InputError(
                f"{', '.join(odd)} cannot be had of values that are worked out part by part (a folder of tables, "
                f"{_OPTIONS}); leave it out, or give one file that fits in memory"
            )
        if out is None or out.suffix.lower() in (".parquet", ".pq"):
            raise InputError("values of a folder of tables are a folder too: give --out FOLDER")

    def run(
        self,
        choice: Choice,
        validation: Path,
        out: Path,
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
        """Value the rows and say what came of it."""
        import dataworth as dw
        from dataworth.data.sources import Source
        from dataworth.valuation.streaming import value_source

        if label is None:
            raise InputError("--label names the column of labels; folders of tables need it")
        source = Source.open(str(self.train), label=label, id=id, owner=owner, features=features, filter=self.where)
        judges = read_judges(
            validation, label=label, id=id, owner=owner, features=features or list(source.features), embed=None
        )
        suggested = dw.suggest_radius(judges, metric=choice.metric) if choice.radius_is_open else None
        stored = value_source(
            source,
            judges,
            method=choice.build(suggested),  # type: ignore[arg-type]  # check() let two methods pass
            out=out,
            classes=None if classes is None else parse_classes(classes, judges.y),
            dtype=dtype,
            engine=self._engine(threads),
            memory=self.memory or "2GiB",
            spill=self.spill,
            keep_links=self.keep_links,
            update=self.update,
        )
        if as_json:
            show_json(_as_json(stored, suggested))
        else:
            show(_as_text(stored, suggested))

    def _engine(self, threads: int | None) -> Engine:
        if self.engine is None or self.engine == "local":
            from dataworth.engines.local import Local

            return Local(threads)
        if self.engine != "dask" and "://" not in self.engine:
            raise InputError(
                "--engine must be local, dask or the address of a scheduler such as tcp://host:8786, not "
                f"{self.engine!r}"
            )
        from dataworth.engines.dask import Dask

        return Dask(workers=threads) if self.engine == "dask" else Dask(self.engine)


def _pattern(path: Path) -> bool:
    return not path.exists() and any(sign in str(path) for sign in "*?[")


def _first_is_table(path: Path) -> bool:
    """Whether a folder is one of tables: what its first file is."""
    if not path.is_dir():
        return False
    for _, folders, files in os.walk(path):
        folders.sort()
        named = sorted(name for name in files if not name.startswith((".", "_")))
        if named:
            return Path(named[0]).suffix.lower() in _TABLES
    return False


def _as_text(stored: StoredValues, suggested: float | None) -> list[Any]:
    files = "1 file" if stored.parts == 1 else f"{stored.parts:,} files"
    lines = [f"{stored.rows:,} rows by {stored.method}, {stored.n_validation:,} validation points"]
    if suggested is not None:
        lines.append(f"radius {suggested:.6g}, suggested by the validation set; choose another with --radius")
    if "files taken over" in stored.provenance:
        taken, gone = int(stored.provenance["files taken over"]), int(stored.provenance["files gone"])
        fresh = int(stored.provenance["files"]) - taken
        lines.append(f"links of {taken:,} files taken over, of {fresh:,} found anew; {gone:,} files no longer count")
    lines += [
        f"lowest {stored.lowest:.3g}, mean {stored.total / stored.rows:.3g}, highest {stored.highest:.3g}; "
        f"{stored.below_zero:,} rows below zero",
        f"worked out by {stored.provenance['engine']} in parts of up to {stored.provenance['rows of a part']:,} rows",
        "",
        f"values written to {stored.folder}, {files}",
    ]
    return lines


def _as_json(stored: StoredValues, suggested: float | None) -> dict[str, Any]:
    return {
        "method": stored.method,
        "rows": stored.rows,
        "validation_points": stored.n_validation,
        "suggested_radius": suggested,
        "lowest": stored.lowest,
        "mean": stored.total / stored.rows,
        "highest": stored.highest,
        "below_zero": stored.below_zero,
        "files": stored.parts,
        "taken_over": stored.provenance.get("files taken over"),
        "out": stored.folder,
    }
