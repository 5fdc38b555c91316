"""``dataworth plan``: what a private release would cost and be good for, before anything is spent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dataworth.cli.methods import Method, choose, parse_semivalue
from dataworth.cli.output import show, show_json
from dataworth.cli.private import MechanismName, build_mechanism, guarantees_json, remaining_json
from dataworth.cli.reading import Embed, parse_classes, read_judges, split_names
from dataworth.errors import InputError

if TYPE_CHECKING:
    from dataworth.privacy.ledger import Ledger, Preview
    from dataworth.records import Budget, Table
    from dataworth.valuation.planning import Plan

CURVE = ("0.1", "0.5", "1", "2", "4")
"""The epsilons that --curve tries."""


def _data(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Data")


def _method(*names: str, help: str, metavar: str | None = None, min: int | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, min=min, rich_help_panel="Method")


def _release(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Release")


def plan(
    *,
    validation: Annotated[Path, typer.Argument(help="The rows that judge; they are public. No others are read.")],
    label: Annotated[str | None, _data("--label", metavar="COLUMN", help="Labels.")] = None,
    id_: Annotated[str | None, _data("--id", metavar="COLUMN", help="Names of rows: no feature.")] = None,
    owner: Annotated[str | None, _data("--owner", metavar="COLUMN", help="Who contributed a row: no feature.")] = None,
    features: Annotated[
        list[str] | None, _data("--features", metavar="A,B,...", help="Feature columns. Default: all others.")
    ] = None,
    classes: Annotated[
        str | None, _data("--classes", metavar="A,B,...", help="All classes. Default: those of these rows.")
    ] = None,
    embed: Annotated[
        Embed | None,
        _data("--embed", metavar="MODEL", help="Turn texts (minilm) or images (efficientnet-lite0) into features."),
    ] = None,
    epsilon: Annotated[str, _release("--epsilon", metavar="E", help="What the release would spend.")],
    delta: Annotated[str, _release("--delta", metavar="D", help="The delta it would spend.")],
    ledger: Annotated[
        str | None, _release("--ledger", metavar="LEDGER", help="Say whether it fits and what would remain.")
    ] = None,
    max_rows: Annotated[
        int | None, _release("--max-rows", metavar="N", help="Without a ledger: hide owners of at most N rows.")
    ] = None,
    relation: Annotated[
        Literal["add_or_remove", "replace"] | None,
        _release("--relation", metavar="NAME", help="Without a ledger: add_or_remove (default) or replace."),
    ] = None,
    mechanism: Annotated[
        MechanismName | None, _release("--mechanism", metavar="NAME", help="capped (default) or subsampled.")
    ] = None,
    links: Annotated[
        int | None, _release("--links", metavar="N", help="Links a row may have; default: the best one (capped).")
    ] = None,
    probability: Annotated[
        str | None, _release("--probability", metavar="P", help="Of a row being counted; default 0.01 (subsampled).")
    ] = None,
    expected_rows: Annotated[
        int | None, _release("--expected-rows", metavar="N", help="The number of rows to value, if it is public.")
    ] = None,
    curve: Annotated[
        bool, _release("--curve", help=f"Try epsilon = {', '.join(CURVE)} too, at the same delta.")
    ] = False,
    radius: Annotated[
        float | None, _method("--radius", help="How near rows must be to vote; default: what suits these rows.")
    ] = None,
    metric: Annotated[
        Literal["cosine", "euclidean"] | None,
        _method("--metric", metavar="NAME", help="cosine (default) or euclidean."),
    ] = None,
    semivalue: Annotated[
        str | None,
        _method("--semivalue", metavar="NAME", help="shapley (default), banzhaf, leave-one-out or 'beta(4,1)'."),
    ] = None,
    dtype: Annotated[
        Literal["float32", "float64"],
        _method("--dtype", metavar="NAME", help="Precision of distances, float32 (default) or float64."),
    ] = "float32",
    threads: Annotated[
        int | None, _method("--threads", metavar="N", help="Threads to use. Default: all.", min=1)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Say what a private release would promise and be good for. Reads public rows only and spends nothing."""
    if ledger is not None and (max_rows is not None or relation is not None):
        option = "--max-rows" if max_rows is not None else "--relation"
        raise InputError(f"a ledger says itself whom it hides; leave out {option}")
    choice = choose(
        Method.THRESHOLD,
        {"radius": radius, "metric": metric, "semivalue": semivalue and parse_semivalue(semivalue)},
    )
    chosen = build_mechanism(mechanism, links, probability)

    import dataworth as dw

    spend = dw.Budget(epsilon, delta)
    account = None if ledger is None else dw.Ledger.open(ledger)
    unit = account.unit if account else dw.Row() if max_rows is None else dw.Owner(max_rows)
    public = read_judges(
        validation, label=label, id=id_, owner=owner, features=split_names(features), embed=embed
    )  # fmt: skip
    suggested = dw.suggest_radius(public, metric=choice.metric) if choice.radius_is_open else None
    options: Any = {
        "method": choice.build(suggested),
        "mechanism": chosen,
        "expected_rows": expected_rows,
        "classes": None if classes is None else parse_classes(classes, public.y),
        "unit": unit,
        "relation": account.relation if account else relation or "add_or_remove",
        "dtype": dtype,
        "threads": threads,
    }
    made = dw.plan_release(public, spend=spend, **options)
    tried = _curve([dw.plan_release(public, spend=dw.Budget(e, delta), **options) for e in CURVE]) if curve else None
    preview = None if account is None else _preview(account, made, spend)
    if as_json:
        show_json(_as_json(made, len(public), suggested, account, preview, tried))
        return
    lines: list[str | Table] = []
    if suggested is not None:
        lines.append(f"radius {suggested:.6g}, suggested by these rows; choose another with --radius")
    lines += [made.table(), *([tried] if tried else [])]
    if account is not None and preview is not None:
        lines += ["", f"the ledger of {account.population!r} has {preview.remaining} left of {account.budget}"]
        lines.append(
            "it would admit this release and then have " + str(preview.after) if preview.admitted else _REFUSED
        )
    show(lines)


_REFUSED = "it would refuse this release: it has not enough left"


def _preview(account: Ledger, made: Plan, spend: Budget) -> Preview:
    from dataworth.privacy.ledger import Charge

    return account.preview(Charge(spend, made.events, made.unit, made.relation))


def _curve(plans: list[Plan]) -> Table:
    from dataworth.records import Table

    return Table(
        "plan-curve",
        "The same for other epsilons",
        {
            "epsilon": [str(plan.spend and plan.spend.epsilon) for plan in plans],
            "mechanism": [repr(plan.mechanism) for plan in plans],
            "noise scale": [float(plan.sigma) for plan in plans],
            "expected rank correlation": [plan.expected_spearman for plan in plans],
            "expected error of a value": [plan.expected_error for plan in plans],
        },
    )


def _as_json(
    made: Plan,
    points: int,
    suggested: float | None,
    account: Ledger | None,
    preview: Preview | None,
    tried: Table | None,
) -> dict[str, Any]:
    return {
        "method": repr(made.method),
        "mechanism": repr(made.mechanism),
        "links": getattr(made.mechanism, "links", None),
        "validation_points": points,
        "suggested_radius": suggested,
        "expected_rows": made.expected_rows,
        "noise_scale": float(made.sigma),
        "noise_scale_of_rows": None if made.rows_sigma is None else float(made.rows_sigma),
        "expected_rank_correlation": made.expected_spearman,
        "rank_correlation_of_validation_alone": made.proxy_spearman,
        "expected_error": made.expected_error,
        "guarantees": guarantees_json(made.guarantees),
        "ledger": None
        if account is None or preview is None
        else {
            "population": account.population,
            "remaining": remaining_json(preview.remaining),
            "admitted": preview.admitted,
            "after": None if preview.after is None else remaining_json(preview.after),
        },
        "curve": None if tried is None else [dict(zip(tried.columns, row, strict=True)) for row in tried.rows()],
    }
