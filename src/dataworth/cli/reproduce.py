"""``dataworth reproduce``: the published experiments, with the published number beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataworth.cli.output import check_drawing, make_folder, show, write_text
from dataworth.cli.reading import split_names
from dataworth.errors import InputError

if TYPE_CHECKING:
    from dataworth.papers.experiment import Experiment, Result
    from dataworth.records import Table


class Protocol(StrEnum):
    """How data are prepared: as the authors did, splitting first, or unlike the validation rows."""

    PUBLISHED = "published"
    LEAK_FREE = "leak-free"
    SHIFTED = "shifted"


def reproduce(
    *,
    names: Annotated[
        list[str] | None, typer.Argument(help="Experiments to run. Default: list what there is.", show_default=False)
    ] = None,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder that holds the data sets.")] = None,
    datasets: Annotated[
        list[str] | None, typer.Option(metavar="A,B,...", help="Only these data sets. Default: all of the experiment.")
    ] = None,
    protocol: Annotated[
        Protocol,
        typer.Option(
            metavar="NAME",
            help="published, as the authors did; leak-free: split before balancing, several seeds; or shifted: tables "
            "whose training rows are unlike the validation rows, several seeds.",
        ),
    ] = Protocol.PUBLISHED,
    seeds: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many seeds. Default: the protocol's.")
    ] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch tables that the folder lacks from OpenML.")] = False,
    work: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder that keeps trained generators between runs. Default: one in the cache folder.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for a CSV a table and report.html; created if need be.")
    ] = None,
) -> None:
    """Run published experiments again and set the published numbers beside ours."""
    experiments = _experiments()
    if not names:
        show([f"{name:<20} {experiment.title}" for name, experiment in experiments.items()])
        return
    unknown = [name for name in names if name not in experiments]
    if unknown:
        raise InputError(f"there is no experiment {', '.join(map(repr, unknown))}; there are {', '.join(experiments)}")
    if data is None:
        raise InputError("experiments need data: give --data DIR, the folder that holds the data sets")
    if not data.is_dir():
        raise InputError(f"--data must name a folder, but {str(data)!r} is none")
    if out is not None:
        check_drawing()
        make_folder(out, "--out")

    results: list[Result] = []
    for name in names:
        experiment = experiments[name]
        found = experiment.run(
            data, protocol=protocol.value, seeds=seeds, datasets=split_names(datasets), fetch=fetch, work=work
        )
        show(_shown(result) for result in found)
        results += found
        if out is not None:
            _keep(found, name, out)
    if out is not None:
        import dataworth as dw

        page = dw.write_report(results, out / "report.html", title="Published experiments, run again")
        show(["", f"tables written to {out}, report to {page}"])


def _experiments() -> dict[str, Experiment]:
    """Every experiment by its name."""
    from dataworth.papers import attacks, gmvaluator, privalue, private, tknn

    found = (tknn, private, attacks, gmvaluator, privalue)
    return {name: experiment for paper in found for name, experiment in paper.EXPERIMENTS.items()}


def _shown(result: Result) -> Table | str:
    """What a terminal can show of a result."""
    from dataworth.records import Table, Values

    if isinstance(result, Table):
        return result
    what = repr(result) if isinstance(result, Values) else f"picture: {result.title}"
    return f"\n{what} (in the report that --out writes)"


def _keep(found: Sequence[Result], experiment: str, folder: Path) -> None:
    """Write the figures of tables and behind pictures as text, and values as they are saved."""
    from dataworth.records import Table, Values

    values = 0
    for result in found:
        if isinstance(result, Values):
            values += 1
            result.save(folder / f"{experiment}-values-{values}.parquet")
            continue
        table = result if isinstance(result, Table) else result.table
        write_text(folder / f"{table.name}.csv", table.to_csv())
