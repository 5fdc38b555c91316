"""What commands over files that need not fit in memory have in common."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dataworth.errors import DataError, InputError

if TYPE_CHECKING:
    from dataworth.engines.engine import Engine
    from dataworth.records import Table
    from dataworth.records.stored import StoredValues

__all__ = ["ENGINE", "MEMORY", "WHERE", "Parts", "figures_json", "figures_text", "told_how_to_go_on", "was_there"]


def _large(name: str, *, metavar: str, help: str) -> Any:
    return typer.Option(name, metavar=metavar, help=help, rich_help_panel="Larger than memory")


MEMORY = _large("--memory", metavar="SIZE", help="What all workers may take together, such as 2GiB (the default).")
ENGINE = _large(
    "--engine",
    metavar="NAME",
    help="Where parts are worked on: local (default), dask (a cluster of --threads processes made for the run) or the "
    "address of a Dask scheduler.",
)
WHERE = _large("--where", metavar="FILTER", help='Value these rows only, such as "age >= 18 and not missing(income)".')


@dataclass(frozen=True)
class Parts:
    """What was said about files larger than memory; None where nothing was.

    Args:
        train: What is valued.
        memory: What all workers may take together.
        engine: ``local``, ``dask`` or the address of a scheduler.
        where: Which rows to value.
    """

    train: Path
    memory: str | None
    engine: str | None
    where: str | None

    @property
    def asked(self) -> bool:
        """Whether rows are worked on part by part: an option says so, or they are a folder or pattern of tables."""
        from dataworth.data.part_files import folder_of_tables

        given = any(option is not None for option in (self.memory, self.engine, self.where))
        return given or _pattern(self.train) or folder_of_tables(self.train)

    @property
    def size(self) -> str:
        """The memory, or the default."""
        return self.memory or "2GiB"

    def check_there(self) -> None:
        """Look whether a folder is one before anything is said of where its values go.

        Raises:
            DataError: There is no such folder, or it has neither tables nor images.
        """
        from dataworth.data.images import SUFFIXES
        from dataworth.data.part_files import SUFFIXES as TABLES

        if not self.train.exists() and not self.train.suffix and not _pattern(self.train):
            raise DataError(f"there is no file or folder {str(self.train)!r}")
        if self.train.is_dir():
            known = (*TABLES, *SUFFIXES)
            found = (name for _, _, names in os.walk(self.train) for name in names if not name.startswith((".", "_")))
            if not any(name.lower().endswith(known) for name in found):
                raise DataError(
                    f"the folder {str(self.train)!r} has no table ({', '.join(TABLES)}) and no image in it or below"
                )

    def check_folder(self, out: Path | None) -> None:
        """Refuse what cannot be a folder of values.

        Raises:
            InputError: It is not given, or named like a file.
        """
        if out is None or out.suffix.lower() in (".parquet", ".pq"):
            raise InputError("values of a folder of tables are a folder too: give --out FOLDER")

    def build(self, threads: int | None) -> Engine:
        """The engine that was asked for.

        Raises:
            InputError: It is none.
            MissingExtra: Dask is not installed.
        """
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


@contextmanager
def told_how_to_go_on() -> Iterator[None]:
    """Whoever stops a run is told that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        print("dataworth: stopped; the same command goes on with what is done", file=sys.stderr)
        raise


def was_there(out: Path) -> bool:
    """Whether a folder holds finished values already, so that a run only opens them."""
    return (out / "_values.json").exists()


def figures_text(stored: StoredValues, *, before: bool) -> list[str | Table]:
    """Lines about values and where they are.

    Args:
        stored: The values.
        before: Whether they were there already.
    """
    files = "1 file" if stored.parts == 1 else f"{stored.parts:,} files"
    deviation = f", standard deviation {stored.provenance['standard deviation']:.3g}"
    return [
        f"lowest {stored.lowest:.3g}, mean {stored.total / stored.rows:.3g}, highest {stored.highest:.3g}{deviation}; "
        f"{stored.below_zero:,} rows below zero",
        f"worked out by {stored.provenance['engine']} in parts of up to {stored.provenance['rows of a part']:,} rows",
        "",
        f"values {'are in' if before else 'written to'} {stored.folder}, {files}"
        + (", by the same command as before" if before else ""),
    ]


def figures_json(stored: StoredValues) -> dict[str, Any]:
    """The same for machines."""
    return {
        "lowest": stored.lowest,
        "mean": stored.total / stored.rows,
        "highest": stored.highest,
        "below_zero": stored.below_zero,
        "files": stored.parts,
        "out": stored.folder,
    }


def _pattern(path: Path) -> bool:
    return not path.exists() and any(sign in str(path) for sign in "*?[")
