"""``dataworth points``: what each row of a file is worth."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataworth.cli.methods import Method, choose, parse_semivalue, refuse_unused
from dataworth.cli.output import check_file, check_report, say, show, show_json
from dataworth.cli.private import MechanismName, Request
from dataworth.cli.reading import Embed, parse_classes, read_pair, split_names
from dataworth.errors import InputError, MethodError

if TYPE_CHECKING:
    from dataworth.kernels.neighbors import DType
    from dataworth.records import Table, Values
    from dataworth.records.values import Detection

SHOWN = 5


class Metric(StrEnum):
    """How far apart two rows are."""

    COSINE = "cosine"
    EUCLIDEAN = "euclidean"


class Normalise(StrEnum):
    """What a coalition's votes are divided by."""

    SUBSET = "subset"
    K = "k"


class Kernel(StrEnum):
    """How weights fall with distance."""

    RBF = "rbf"
    UNIFORM = "uniform"


class Dtype(StrEnum):
    """The precision distances are computed in."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"


class RemovalModel(StrEnum):
    """The model that is trained again and again for the removal curve."""

    LOGISTIC_REGRESSION = "logistic-regression"
    NONE = "none"


def _data(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Data")


def _method(*names: str, help: str, metavar: str | None = None, min: int | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, min=min, rich_help_panel="Method")


def _private(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Private release")


def _output(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Output")


def points(
    *,
    train: Annotated[
        Path, typer.Argument(help="The rows to value: a Parquet, CSV, Arrow or NPZ file, or a folder of images.")
    ],
    validation: Annotated[Path, _data("--validation", metavar="FILE", help="The rows that judge, in the same form.")],
    label: Annotated[
        str | None,
        _data("--label", metavar="COLUMN", help="Labels. Images in a folder take the names of its sub-folders."),
    ] = None,
    id_: Annotated[str | None, _data("--id", metavar="COLUMN", help="Unique names of rows. Default: numbers.")] = None,
    owner: Annotated[str | None, _data("--owner", metavar="COLUMN", help="Who contributed each row.")] = None,
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
    bad: Annotated[
        str | None, _data("--bad", metavar="COLUMN", help="Marks train rows known to be bad: do low values find them?")
    ] = None,
    method: Annotated[
        Method,
        _method("--method", metavar="NAME", help=f"How to value: {', '.join(Method)}."),
    ],
    k: Annotated[
        int | None, _method("--k", help="Nearest rows that vote; default 5 (knn, weighted, regression).")
    ] = None,
    radius: Annotated[
        float | None,
        _method(
            "--radius",
            help="How near rows must be to vote; default: what suits the validation rows (threshold, vote, proxy).",
        ),
    ] = None,
    metric: Annotated[
        Metric | None,
        _method("--metric", metavar="NAME", help="cosine or euclidean; default cosine, for regression euclidean."),
    ] = None,
    semivalue: Annotated[
        str | None,
        _method(
            "--semivalue",
            metavar="NAME",
            help="shapley, banzhaf, leave-one-out or 'beta(4,1)'; default shapley (threshold).",
        ),
    ] = None,
    normalise: Annotated[
        Normalise | None,
        _method(
            "--normalise",
            metavar="BY",
            help="Divide votes by k, or (subset) by rows present if fewer; default subset (knn).",
        ),
    ] = None,
    kernel: Annotated[
        Kernel | None,
        _method("--kernel", metavar="NAME", help="Weights by distance, rbf or uniform; default rbf (weighted)."),
    ] = None,
    bits: Annotated[int | None, _method("--bits", help="Precision of weights, 1 to 8; default 3 (weighted).")] = None,
    dtype: Annotated[
        Dtype | None,
        _method(
            "--dtype",
            metavar="NAME",
            help="Precision of distances, float32 or float64; default float32 (threshold, knn, vote, proxy).",
        ),
    ] = None,
    threads: Annotated[
        int | None, _method("--threads", metavar="N", help="Threads to use. Default: all.", min=1)
    ] = None,
    epsilon: Annotated[
        str | None,
        _private("--epsilon", metavar="E", help="Spend this on a private release instead of giving exact values."),
    ] = None,
    delta: Annotated[
        str | None, _private("--delta", metavar="D", help="The delta to spend; well below one over the number of rows.")
    ] = None,
    ledger: Annotated[
        str | None,
        _private("--ledger", metavar="LEDGER", help="What it is charged to; made once by dataworth budget create."),
    ] = None,
    mechanism: Annotated[
        MechanismName | None,
        _private("--mechanism", metavar="NAME", help="capped (default: all rows, links capped) or subsampled."),
    ] = None,
    links: Annotated[
        int | None,
        _private("--links", metavar="N", help="Links a row may have; default: chosen on the validation rows (capped)."),
    ] = None,
    probability: Annotated[
        str | None,
        _private("--probability", metavar="P", help="Of a row being counted at a point; default 0.01 (subsampled)."),
    ] = None,
    expected_rows: Annotated[
        int | None,
        _private("--expected-rows", metavar="N", help="The number of rows, if it is public; else a noisy one is used."),
    ] = None,
    request_key: Annotated[
        str | None,
        _private("--request-key", metavar="KEY", help="Asked again under the same key, the same answer for nothing."),
    ] = None,
    data_version: Annotated[
        str | None, _private("--data-version", metavar="NAME", help="What you call this state of the data.")
    ] = None,
    out: Annotated[
        Path | None,
        _output("--out", metavar="FILE", help="Write the values here (.parquet); for a private release, a new folder."),
    ] = None,
    report: Annotated[
        Path | None,
        _output(
            "--report",
            metavar="FILE",
            help="Write a page that shows and explains them (.html); of a private release, the operator's page.",
        ),
    ] = None,
    removal_model: Annotated[
        RemovalModel | None,
        _output(
            "--removal-model",
            metavar="NAME",
            help="What the report trains as rows leave: logistic-regression (default) or none.",
        ),
    ] = None,
    show_rows: Annotated[
        bool, _output("--show-rows", help="Let the report show the content of rows, not only their ids.")
    ] = False,
    as_json: Annotated[bool, _output("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Value each row of a training set by what it does for a validation set.

    With --epsilon, release the values under joint differential privacy: one file for each owner, for that owner
    alone.
    """
    request = Request(
        epsilon, delta, ledger, mechanism, links, probability, expected_rows, request_key, data_version
    )  # fmt: skip
    if epsilon is None:
        request.refuse_without_epsilon()
        check_file(out, "--out", ".parquet", ".pq")
        check_report(report, "--report")
        if report is None and (show_rows or removal_model is not None):
            option = "--show-rows" if show_rows else "--removal-model"
            raise InputError(f"{option} is about the report; give --report too, or leave it out")
        removal_model = _removal_model(method, removal_model)
    else:
        exact = {"--bad": bad is not None, "--show-rows": show_rows, "--removal-model": removal_model is not None}
        request.check(method, out, report, exact, embed=embed is not None)
    refuse_unused(method, {"classes": classes, "dtype": dtype})
    choice = choose(
        method,
        {
            "k": k,
            "radius": radius,
            "metric": metric and metric.value,
            "semivalue": semivalue and parse_semivalue(semivalue),
            "normalise": normalise and normalise.value,
            "kernel": kernel and kernel.value,
            "bits": bits,
        },
    )

    import dataworth as dw

    pair = read_pair(
        train,
        validation,
        label=label,
        id=id_,
        owner=owner,
        features=split_names(features),
        bad=bad,
        embed=embed,
        allow_missing=epsilon is not None,
    )
    known_classes = None if classes is None else parse_classes(classes, pair.validation.y)
    suggested = dw.suggest_radius(pair.validation, metric=choice.metric) if choice.radius_is_open else None
    record = choice.build(suggested)
    precision: DType = "float64" if dtype is Dtype.FLOAT64 else "float32"
    if epsilon is not None:
        request.run(
            pair, record, suggested, out, report,
            classes=known_classes, dtype=precision, threads=threads, as_json=as_json,
        )  # fmt: skip
        return
    values = dw.value_points(
        pair.train, pair.validation, method=record, classes=known_classes, dtype=precision, threads=threads
    )
    if out is not None:
        values.save(out)  # at once: whatever fails later, hours of work are kept
    if report is not None or pair.bad is not None:
        fits = report is not None and removal_model is RemovalModel.LOGISTIC_REGRESSION
        if fits:
            say("training models for the removal curve; --removal-model none skips it")
        values = dw.gather_evidence(
            values,
            pair.train,
            pair.validation,
            metric=record.metric,
            bad=pair.bad,
            model=_logistic_regression() if fits else None,
            show_rows=show_rows,
        )
        if out is not None:
            values.save(out)
    if report is not None:
        dw.write_report(values, report)
    if as_json:
        found = None if pair.bad is None else values.detection(pair.bad)
        show_json(_as_json(values, suggested, found, out, report))
    else:
        show(_as_text(values, suggested, out, report))


def _removal_model(method: Method, asked: RemovalModel | None) -> RemovalModel:
    if method is not Method.REGRESSION:
        return asked or RemovalModel.LOGISTIC_REGRESSION
    if asked is RemovalModel.LOGISTIC_REGRESSION:
        raise MethodError("--removal-model logistic-regression needs classes; with --method regression use none")
    return RemovalModel.NONE


def _logistic_regression() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def _as_text(values: Values, suggested: float | None, out: Path | None, report: Path | None) -> list[str | Table]:
    lines: list[str | Table] = [f"{len(values)} rows by {values.method}, {values.n_validation} validation points"]
    if suggested is not None:
        lines.append(f"radius {suggested:.6g}, suggested by the validation set; choose another with --radius")
    lines += [values.lowest(SHOWN), values.highest(SHOWN)]
    lines += [table for table in (_detection(values),) if table is not None]
    lines.append("")
    lines += [f"values written to {out}"] if out else ["values not kept; --out values.parquet keeps them"]
    lines += [f"report written to {report}"] if report else []
    return lines


def _as_json(
    values: Values, suggested: float | None, found: Detection | None, out: Path | None, report: Path | None
) -> dict[str, Any]:
    return {
        "method": values.method,
        "rows": len(values),
        "validation_points": values.n_validation,
        "suggested_radius": suggested,
        "lowest": _records(values.lowest(SHOWN)),
        "highest": _records(values.highest(SHOWN)),
        "detection": None
        if found is None
        else {"bad_rows": found.n_bad, "auroc": found.auroc, "average_precision": found.average_precision},
        "out": out and str(out),
        "report": report and str(report),
    }


def _detection(values: Values) -> Table | None:
    """The figures of finding the known bad rows, if they were asked for."""
    from dataworth.records import Table

    found = (piece for piece in values.evidence if isinstance(piece, Table) and piece.name == "detection")
    return next(found, None)


def _records(table: Table) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows()]
