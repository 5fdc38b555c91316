"""``dataworth deliver``: a release that the ledger keeps, written again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dataworth.cli.output import check_report
from dataworth.cli.private import check_new_folder, hand_over


def deliver(
    *,
    ledger: Annotated[str, typer.Argument(metavar="LEDGER", help="The ledger: a file, or a postgresql:// URL.")],
    number: Annotated[int, typer.Argument(help="Which release; dataworth budget lists them.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="A new folder for one file an owner.")],
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the operator's page here too (.html).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Write a release that was charged before: the same values, and nothing is spent."""
    check_new_folder(out, "--out")
    check_report(report, "--report")
    import dataworth as dw

    found = dw.Ledger.open(ledger)
    stored = found.stored(number)
    release = dw.Release.from_bytes(stored.payload).numbered(stored.number)
    hand_over(release, found, ledger, out, report, as_json=as_json)
