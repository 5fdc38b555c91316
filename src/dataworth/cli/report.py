"""``dataworth report``: saved values, drawn as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dataworth.cli.output import check_report, show
from dataworth.cli.reading import refuse_stored


def report(
    *,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Values, shares of providers, or folders of private releases, saved by an earlier command.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The page to write, ending in .html.")],
    title: Annotated[str | None, typer.Option(help="What stands at the top of the page.")] = None,
    bench: Annotated[
        bool,
        typer.Option(
            "--bench",
            help="All of the data is public: let exact values stand beside private releases; stamped NOT PRIVATE.",
        ),
    ] = False,
) -> None:
    """Draw saved values, shares or releases as one HTML page that opens from disk, with no network."""
    check_report(out, "--out")
    for file in files:
        refuse_stored(file, "a report takes values in one file")
    import dataworth as dw
    from dataworth.records.saved import load_saved

    results = [dw.Release.from_folder(file) if file.is_dir() else load_saved(file) for file in files]
    page = dw.write_report(results, out, title=title, bench=bench)
    show([f"report written to {page}"])
