"""``dataworth report``: saved values, drawn as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dataworth.cli.output import check_report, show


def report(
    *,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Values saved by an earlier command.")],
    out: Annotated[Path, typer.Option(help="The page to write, ending in .html.")],
    title: Annotated[str | None, typer.Option(help="What stands at the top of the page.")] = None,
) -> None:
    """Draw saved values as one HTML page that opens from disk, with no network."""
    check_report(out, "--out")
    import dataworth as dw

    page = dw.write_report([dw.Values.load(file) for file in files], out, title=title)
    show([f"report written to {page}"])
