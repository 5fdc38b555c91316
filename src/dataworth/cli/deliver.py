"""``dataworth deliver``: the files of a release that was charged before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dataworth.cli.output import check_report, show, show_json
from dataworth.cli.private import check_new_folder, hand_over
from dataworth.cli.reading import refuse_stored
from dataworth.errors import InputError


def deliver(
    *,
    ledger: Annotated[
        str,
        typer.Argument(
            metavar="LEDGER|FOLDER",
            help="The ledger: a file, or a postgresql:// URL; or the folder of a release of rows in files.",
        ),
    ],
    number: Annotated[
        int | None, typer.Argument(help="Which release of the ledger; dataworth budget lists them.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="A new folder for one file an owner.")],
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the operator's page here too (.html).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Write a file for each owner of a release that was charged before: the same values, and nothing is spent.

    Values of rows in files are not in the ledger but in the folder of the release: name that, without a number.
    """
    check_new_folder(out, "--out")
    check_report(report, "--report")
    import dataworth as dw

    if Path(ledger).is_dir():
        _deliver_folder(Path(ledger), number, out, report, as_json=as_json)
        return
    if number is None:
        raise InputError("say which release of the ledger: dataworth deliver LEDGER NUMBER --out FOLDER")
    found = dw.Ledger.open(ledger)
    stored = found.stored(number)
    release = dw.Release.from_bytes(stored.payload).numbered(stored.number)
    if release.recipe:
        raise InputError(
            f"release {number} is of rows in files, whose values are in its folder: dataworth deliver FOLDER --out "
            "NEW; if the folder is lost, the same dataworth points with the same --request-key makes it again for "
            "nothing"
        )
    hand_over(release, found, ledger, out, report, as_json=as_json)


def _deliver_folder(folder: Path, number: int | None, out: Path, report: Path | None, *, as_json: bool) -> None:
    refuse_stored(folder, "what is delivered is a private release, and these are exact values", one_file=False)
    from dataworth.records.stored_release import StoredRelease

    if number is not None:
        raise InputError("a number is for the releases of a ledger; the folder of a release is one")
    if report is not None:
        raise InputError("--report is made with the release itself, or from a ledger; leave it out")
    StoredRelease.open(folder).deliver(out)
    if as_json:
        show_json({"out": str(out)})
    else:
        show([f"a file for each owner is in {out / 'owners'}; {out / 'deliver.csv'} says whose is which"])
