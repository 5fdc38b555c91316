"""``dataworth demo``: the main job on real data that needs no download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dataworth.cli.output import check_drawing, make_folder, show


def demo(
    *,
    out: Annotated[Path, typer.Option(help="Folder for the report and the values; created if need be.")] = Path("demo"),
) -> None:
    """Find wrong labels among handwritten digits: one label in ten was changed at random, and their values tell.

    The digits come with scikit-learn. Writes report.html and the values into a folder; takes under a minute.
    """
    check_drawing()
    folder = make_folder(out, "--out")
    import dataworth as dw
    from dataworth.valuation.demo import run_demo

    found = run_demo()
    written = [
        dw.write_report([found.threshold, found.knn], folder / "report.html", title="Which digits are mislabelled?"),
        found.threshold.save(folder / "values.parquet"),
        found.knn.save(folder / "values-knn.parquet"),
    ]
    show([found.summary, "", *(f"written: {path}" for path in written)])
