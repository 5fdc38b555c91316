"""``dataworth compare``: what several methods say of the same rows, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataworth.cli.output import check_report, say, show, show_json
from dataworth.cli.reading import read_pair, refuse_stored, split_names
from dataworth.cli.retraining import Model, build_model
from dataworth.errors import InputError, MethodError

if TYPE_CHECKING:
    from dataworth.records import Values


def _data(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Data")


def _curves(*names: str, help: str, metavar: str | None = None, min: int | None = None, max: int | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, min=min, max=max, rich_help_panel="Curves")


def _output(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Output")


def compare(
    *,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="VALUES", help="Two or more files of values of the same rows (points --out)."),
    ],
    train: Annotated[
        Path | None, _data("--train", metavar="FILE", help="The rows that were valued; for curves and --bad.")
    ] = None,
    label: Annotated[
        str | None,
        _data("--label", metavar="COLUMN", help="Labels. Images in a folder take the names of its sub-folders."),
    ] = None,
    id_: Annotated[
        str | None, _data("--id", metavar="COLUMN", help="Names of rows, as when they were valued. Default: numbers.")
    ] = None,
    owner: Annotated[
        str | None, _data("--owner", metavar="COLUMN", help="Who contributed each row; never a feature.")
    ] = None,
    features: Annotated[
        list[str] | None, _data("--features", metavar="A,B,...", help="Feature columns. Default: all others.")
    ] = None,
    bad: Annotated[
        str | None, _data("--bad", metavar="COLUMN", help="Marks train rows known to be bad: who finds them?")
    ] = None,
    test: Annotated[
        Path | None,
        _curves(
            "--test",
            metavar="FILE",
            help="Rows that judge the curves: other ones than the validation rows that gave the values, or the curves "
            "flatter those who looked at them most.",
        ),
    ] = None,
    model: Annotated[
        Model | None,
        _curves(
            "--model",
            metavar="NAME",
            help="What is trained as rows leave and come; default logistic-regression. Those of points --model that "
            "predict classes.",
        ),
    ] = None,
    repeats: Annotated[
        int | None, _curves("--repeats", metavar="N", help="Random orders to average; default 5.", min=1)
    ] = None,
    seed: Annotated[
        int | None,
        _curves("--seed", metavar="N", help="Of random orders and the model; default 0.", min=0, max=2**32 - 1),
    ] = None,
    report: Annotated[
        Path | None, _output("--report", metavar="FILE", help="Write a page that shows and explains it all (.html).")
    ] = None,
    as_json: Annotated[bool, _output("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Compare values of the same rows by several methods: do they agree, and what is each good for?"""
    check_report(report, "--report")
    _check(
        files,
        {"--test": test, "--bad": bad, "--label": label, "--id": id_, "--owner": owner, "--features": features},
        {"--model": model, "--repeats": repeats, "--seed": seed},
        train,
    )
    import dataworth as dw
    from dataworth.report.precision import drowned_methods

    results = _load(files)
    pair = None
    if train is not None:
        # Without test rows only ids and marks are looked at; the train rows then stand in for those that judge.
        pair = read_pair(
            train, test or train, label=label, id=id_, owner=owner, features=split_names(features), bad=bad, embed=None
        )
    if test is not None:
        say("training models for the curves; leave out --test to skip them")
    compared = dw.compare_values(
        results,
        train=None if pair is None else pair.train,
        test=None if pair is None or test is None else pair.validation,
        model=None if test is None else build_model(model or Model.LOGISTIC_REGRESSION),
        bad=None if pair is None else pair.bad,
        repeats=5 if repeats is None else repeats,
        seed=0 if seed is None else seed,
    )
    if report is not None:
        dw.write_report(compared, report)
    if as_json:
        show_json({**compared.to_json(), "report": report and str(report)})
    else:
        tables = [
            compared.table(name) for name in ("spearman", "lowest-overlap", "summary", "detection") if name in compared
        ]
        noise = drowned_methods(compared)
        show(
            [
                repr(compared),
                *tables,
                "",
                *([f"note: {noise}"] if noise else []),
                *([f"report written to {report}"] if report else []),
            ]
        )


def _check(files: list[Path], rows: dict[str, Any], curves: dict[str, Any], train: Path | None) -> None:
    """Refuse options that would change nothing, before any file is read."""
    if len(files) < 2:
        raise InputError(f"a comparison needs at least two files of values, not {len(files)}")
    twice = sorted({str(file) for file in files if files.count(file) > 1})
    if twice:
        raise InputError(f"{twice[0]!r} is there twice; a file agrees with itself")
    alone = [option for option, given in rows.items() if given]
    if train is None and alone:
        raise InputError(f"{alone[0]} is about the rows that were valued; give --train FILE too, or leave it out")
    if train is not None and not (rows["--test"] or rows["--bad"]):
        raise InputError("--train is for curves (--test FILE) or for rows known to be bad (--bad COLUMN); give one")
    alone = [option for option, given in curves.items() if given is not None]
    if curves["--model"] is not None and curves["--model"].predicts_numbers:
        raise MethodError(f"--model {curves['--model']} predicts numbers; curves need a model that predicts classes")
    if alone and not rows["--test"]:
        raise InputError(f"{alone[0]} is about the curves; give --train and --test too, or leave it out")


def _load(files: list[Path]) -> dict[str, Values]:
    """The values by distinct names: those of the methods, or with those of the files where two are the same."""
    from dataworth.records import Values
    from dataworth.records.saved import load_saved

    loaded = []
    for file in files:
        refuse_stored(file, "a comparison takes values in one file")
        if file.is_dir():
            raise InputError(
                f"{str(file)!r} is a folder; a comparison is of files of exact values. A private release hides the "
                "very values that would be compared"
            )
        result = load_saved(file)
        if not isinstance(result, Values):
            raise InputError(f"{str(file)!r} holds shares of providers; a comparison is of values of rows")
        loaded.append(result)
    methods = [values.method.partition("(")[0].strip() for values in loaded]
    names: dict[str, Values] = {}
    for file, method, values in zip(files, methods, loaded, strict=True):
        name = method if method and methods.count(method) == 1 else f"{method} ({file.stem})".strip()
        names[f"{method} ({file})".strip() if name in names else name] = values
    return names
