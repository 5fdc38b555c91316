"""``dataworth audit``: attacks on values and on the private release, and what they show."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataworth.cli.methods import Method, choose
from dataworth.cli.output import check_file, check_report, show, show_json, write_text
from dataworth.cli.private import MechanismName, build_mechanism
from dataworth.cli.reading import Embed, parse_classes, read_pair, split_names
from dataworth.errors import InputError

if TYPE_CHECKING:
    from dataworth.records import Budget, Table

__all__ = ["audit"]

audit = typer.Typer(
    no_args_is_help=True,
    help="Attack values, or the private release itself, and say what the attack finds.",
    epilog="Example: dataworth audit epsilon --epsilon 1 --delta 1e-5",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Attacked(StrEnum):
    """What is attacked."""

    THRESHOLD = "threshold"
    KNN = "knn"
    PRIVATE = "private"


def _data(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Data")


def _method(*names: str, help: str, metavar: str | None = None, min: int | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, min=min, rich_help_panel="Method")


def _attack(*names: str, help: str, metavar: str | None = None, min: int | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, min=min, rich_help_panel="Attack")


def _output(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Output")


Links = Annotated[int | None, _method("--links", metavar="N", help="Links a row may have (capped).", min=1)]
Probability = Annotated[
    str | None, _method("--probability", metavar="P", help="Of a row being counted; default 0.01 (subsampled).")
]
Out = Annotated[Path | None, _output("--out", metavar="FILE", help="Write the table here (.csv).")]
Report = Annotated[Path | None, _output("--report", metavar="FILE", help="Write a page with the table (.html).")]
AsJson = Annotated[bool, _output("--json", help="Print one JSON object instead of text.")]


@audit.command(
    epilog="Example: dataworth audit membership train.parquet --validation val.parquet --label y --method knn"
)
def membership(
    *,
    train: Annotated[Path, typer.Argument(help="Rows to deal out: some are members, some not, some train the attack.")],
    validation: Annotated[Path, _data("--validation", metavar="FILE", help="The rows that judge, in the same form.")],
    label: Annotated[
        str | None,
        _data("--label", metavar="COLUMN", help="Labels. Images in a folder take the names of its sub-folders."),
    ] = None,
    id_: Annotated[str | None, _data("--id", metavar="COLUMN", help="Unique names of rows: no feature.")] = None,
    owner: Annotated[str | None, _data("--owner", metavar="COLUMN", help="Who contributed a row: no feature.")] = None,
    features: Annotated[
        list[str] | None, _data("--features", metavar="A,B,...", help="Feature columns. Default: all others.")
    ] = None,
    classes: Annotated[
        str | None, _data("--classes", metavar="A,B,...", help="All classes. Default: those of the validation rows.")
    ] = None,
    embed: Annotated[
        Embed | None,
        _data("--embed", metavar="MODEL", help="Turn texts (minilm) or images (efficientnet-lite0) into features."),
    ] = None,
    method: Annotated[
        Attacked, _method("--method", metavar="NAME", help=f"Whose values are attacked: {', '.join(Attacked)}.")
    ],
    k: Annotated[int | None, _method("--k", help="Nearest rows that vote; default 5 (knn).")] = None,
    radius: Annotated[
        float | None,
        _method("--radius", help="How near rows must be to vote; default: what suits the validation rows."),
    ] = None,
    epsilon: Annotated[str | None, _method("--epsilon", metavar="E", help="What a release spends (private).")] = None,
    delta: Annotated[str | None, _method("--delta", metavar="D", help="The delta it spends (private).")] = None,
    mechanism: Annotated[
        MechanismName | None, _method("--mechanism", metavar="NAME", help="capped (default) or subsampled (private).")
    ] = None,
    links: Links = None,
    probability: Probability = None,
    seeds: Annotated[int, _attack("--seeds", metavar="N", help="How many runs, at least 2.", min=2)] = 10,
    members: Annotated[
        int | None,
        _attack("--members", metavar="N", help="Rows under attack; default 200, or a quarter if fewer.", min=2),
    ] = None,
    shadows: Annotated[int, _attack("--shadows", metavar="N", help="Data sets to rehearse on.", min=2)] = 32,
    out: Out = None,
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Do values tell whose rows are in the data? The answer is NOT PRIVATE: it is for the operator alone."""
    check_file(out, "--out", ".csv")
    check_report(report, "--report")
    private = {"epsilon": epsilon, "delta": delta, "mechanism": mechanism, "links": links, "probability": probability}
    if method is not Attacked.PRIVATE:
        for name, value in private.items():
            if value is not None:
                raise InputError(f"--{name} is about private values; give --method private, or leave it out")
    spend = _spend(epsilon, delta) if method is Attacked.PRIVATE else None
    chosen = build_mechanism(mechanism, links, probability)
    choice = choose(Method.KNN if method is Attacked.KNN else Method.THRESHOLD, {"k": k, "radius": radius})

    import dataworth as dw
    from dataworth.valuation.audits import audit_membership

    pair = read_pair(
        train, validation, label=label, id=id_, owner=owner, features=split_names(features), bad=None, embed=embed
    )
    suggested = dw.suggest_radius(pair.validation, metric=choice.metric) if choice.radius_is_open else None
    table = audit_membership(
        pair.train,
        pair.validation,
        method=choice.build(suggested),  # type: ignore[arg-type]
        spend=spend,
        mechanism=chosen,
        members=members,
        shadows=shadows,
        seeds=seeds,
        classes=None if classes is None else parse_classes(classes, pair.validation.y),
    )
    _hand_over(table, out, report, as_json)


@audit.command(epilog="Example: dataworth audit epsilon --epsilon 1 --delta 1e-5 --mechanism subsampled")
def epsilon(
    *,
    epsilon: Annotated[str, _method("--epsilon", metavar="E", help="What a release may spend.")] = "1",
    delta: Annotated[str, _method("--delta", metavar="D", help="The delta it may spend.")] = "1e-5",
    mechanism: Annotated[
        MechanismName, _method("--mechanism", metavar="NAME", help="capped or subsampled.")
    ] = MechanismName.CAPPED,
    links: Links = None,
    probability: Probability = None,
    draws: Annotated[
        int, _attack("--draws", metavar="N", help="Releases of each of two neighbouring data sets.", min=1000)
    ] = 20_000,
    out: Out = None,
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Run the private release on worst neighbours and bound from below what it spends. Reads no data.

    Exit code 1 if a promise is broken.
    """
    check_file(out, "--out", ".csv")
    check_report(report, "--report")
    spend = _spend(epsilon, delta)
    if mechanism is MechanismName.CAPPED and links is None and probability is None:
        links = 2
    chosen = build_mechanism(mechanism, links, probability)

    from dataworth.valuation.audits import audit_epsilon

    table = audit_epsilon(spend, mechanism=chosen, draws=draws)
    _hand_over(table, out, report, as_json)
    if any(str(verdict).startswith("BROKEN") for verdict in table.columns["verdict"]):
        raise typer.Exit(1)


def _spend(epsilon: str | None, delta: str | None) -> Budget:
    from dataworth.records.privacy import Budget

    for option, given in (("--epsilon", epsilon), ("--delta", delta)):
        if given is None:
            raise InputError(f"an attack on a private release needs {option} too")
    return Budget(str(epsilon), str(delta))


def _hand_over(table: Table, out: Path | None, report: Path | None, as_json: bool) -> None:
    if out is not None:
        write_text(out, table.to_csv())
    if report is not None:
        import dataworth as dw

        dw.write_report([table], report, title=table.title)
    if as_json:
        rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows()]
        show_json({"audit": table.name, "rows": rows, "note": table.note})
        return
    show([table])
    show([f"table written to {out}"] if out else [])
    show([f"report written to {report}"] if report else [])
