"""``dataworth partition``: one data set as the parts of several providers, to try out what each would be worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataworth.cli.output import show, show_json
from dataworth.errors import InputError

if TYPE_CHECKING:
    from dataworth.data.partition import Partition
    from dataworth.records import Table

WAYS = ("contiguous", "iid", "dirichlet", "sizes", "column")


def _split(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Split")


def _change(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Changes")


def partition(
    *,
    source: Annotated[
        Path,
        typer.Argument(
            help="A table (Parquet, CSV, Arrow, NPZ), a folder with one sub-folder of images a class, or an NPZ file "
            "with images in x."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="A new or empty folder for the parts.")],
    label: Annotated[str | None, typer.Option("--label", metavar="COLUMN", help="Labels, where they matter.")] = None,
    id_: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="Unique names, so that copies get names of their own.")
    ] = None,
    providers: Annotated[int | None, _split("--providers", metavar="N", help="How many; default 10.")] = None,
    how: Annotated[str, _split("--how", metavar="WAY", help=f"{', '.join(WAYS)}.")] = "contiguous",
    alpha: Annotated[
        float | None, _split("--alpha", help="The smaller, the more uneven the classes; default 0.5 (dirichlet).")
    ] = None,
    sizes: Annotated[
        str | None, _split("--sizes", metavar="A,B,...", help="Rows of each, or shares such as 0.5,0.25 (sizes).")
    ] = None,
    column: Annotated[str | None, _split("--column", metavar="COLUMN", help="Whose each row is (column).")] = None,
    allow_empty: Annotated[bool, _split("--allow-empty", help="Let a provider have no rows.")] = False,
    seed: Annotated[int, _split("--seed", help="Of all that is drawn.")] = 0,
    label_noise: Annotated[
        str | None,
        _change("--label-noise", metavar="RATES", help="Share of labels made wrong: one for all, or one a provider."),
    ] = None,
    duplicates: Annotated[
        str | None,
        _change("--duplicates", metavar="RATES", help="Share of rows added once more: one for all, or one a provider."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Split a data set into simulated providers.

    Rows and pixels stay as they are. This is for trying out: the parts are raw data, and nothing is private.
    """
    if how not in WAYS:
        raise InputError(f"--how must be {', '.join(WAYS)}, not {how!r}")
    for option, given, owner in (
        ("--alpha", alpha, "dirichlet"),
        ("--sizes", sizes, "sizes"),
        ("--column", column, "column"),
    ):
        if given is not None and how != owner:
            raise InputError(f"{option} belongs to --how {owner}, not to --how {how}; leave it out")
        if given is None and how == owner and option != "--alpha":
            raise InputError(f"--how {how} needs {option}")
    asked_sizes = None if sizes is None else _sizes(sizes)
    noise = 0.0 if label_noise is None else _rates("--label-noise", label_noise)
    copied = 0.0 if duplicates is None else _rates("--duplicates", duplicates)

    from dataworth.data.partition_files import partition_source

    split = partition_source(
        source,
        out,
        how=how,
        providers=providers,
        label=label,
        id=id_,
        column=column,
        alpha=alpha,
        sizes=asked_sizes,
        label_noise=noise,
        duplicates=copied,
        allow_empty=allow_empty,
        seed=seed,
    )
    if as_json:
        show_json(
            {
                "out": str(out),
                "providers": [
                    {"name": name, "rows": len(rows), "wrong_labels": int(changed.sum()), "copies": copies}
                    for name, rows, changed, copies in zip(
                        split.names, split.rows, split.changed, split.copies, strict=True
                    )
                ],
                "left_out": len(split.left_out),
                "private": False,
            }
        )
    else:
        show([f"{len(split)} providers in {out}; these are raw data: nothing is private", _table(split)])


def _table(split: Partition) -> Table:
    from dataworth.records import Table

    left = f"{len(split.left_out):,} rows are left out" if len(split.left_out) else ""
    return Table(
        "providers",
        "Providers",
        {
            "provider": list(split.names),
            "rows": [len(rows) for rows in split.rows],
            "wrong labels": [int(changed.sum()) for changed in split.changed],
            "copies": list(split.copies),
        },
        note=left,
    )


def _sizes(text: str) -> list[int] | list[float]:
    """``100,200`` as numbers of rows, ``0.5,0.25`` as shares."""
    try:
        if any("." in part for part in text.split(",")):
            return [float(part) for part in text.split(",")]
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"--sizes takes numbers of rows such as 100,200, or shares such as 0.5,0.25, not {text!r}"
        ) from None


def _rates(option: str, text: str) -> float | list[float]:
    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"{option} takes shares from 0 to 1, one or one a provider, such as 0,0.2,0, not {text!r}"
        ) from None
    return rates[0] if len(rates) == 1 else rates
