"""``dataworth providers``: at a coordinator, shares of providers from their packages and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataworth.cli.output import check_file, check_report, show, show_json
from dataworth.errors import DataError, InputError

if TYPE_CHECKING:
    from dataworth.records import Package, Shares


def _value(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Values")


def _fidelity(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Fidelity")


def _output(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Output")


def providers(
    *,
    packages: Annotated[
        list[Path],
        typer.Argument(
            metavar="PACKAGES",
            help="Files of dataworth synthesize, or folders of them; or one file of shares to weigh anew.",
        ),
    ],
    validation: Annotated[
        Path | None,
        typer.Option("--validation", metavar="FILE", help="PUBLIC rows or images that judge; needed unless --ask."),
    ] = None,
    label: Annotated[str | None, typer.Option("--label", metavar="COLUMN", help="The column of labels.")] = None,
    ask: Annotated[
        Path | None,
        _fidelity("--ask", metavar="FILE", help="Write the question for all providers here (.npz), and value nothing."),
    ] = None,
    answers: Annotated[
        list[Path] | None,
        _fidelity("--answers", metavar="FILES", help="Files of dataworth answer, or a folder of them."),
    ] = None,
    weights: Annotated[
        tuple[float, float, float] | None,
        _value("--weights", metavar="A B C", help="Of synthetic value, fidelity and utility; default 0.4 0.3 0.3."),
    ] = None,
    scale: Annotated[
        float | None, _value("--scale", metavar="X", help="Gain of real over that of synthetic rows; default 1.")
    ] = None,
    penalty: Annotated[float | None, _value("--penalty", metavar="X", help="Of the ridge model; default 1.")] = None,
    random_features: Annotated[
        int | None, _value("--random-features", metavar="N", help="Of the ridge model, in place of the columns.")
    ] = None,
    radius: Annotated[
        float | None,
        _value("--radius", metavar="R", help="Judge by the neighbours within R (Threshold-KNN) instead; no training."),
    ] = None,
    metric: Annotated[
        str | None, _value("--metric", metavar="NAME", help="Of --radius: cosine or euclidean; default cosine.")
    ] = None,
    exact: Annotated[bool | None, _value("--exact/--sample", help="All coalitions, or random orders.")] = None,
    max_permutations: Annotated[int, _value("--max-permutations", metavar="N", help="Orders at most.")] = 1000,
    target_error: Annotated[
        float | None, _value("--target-error", metavar="X", help="Stop when no standard error is larger.")
    ] = None,
    seed: Annotated[int, _value("--seed", metavar="N", help="Of orders and random features.")] = 0,
    work: Annotated[
        Path | None, _value("--work", metavar="DIR", help="Keep utilities of coalitions here, to go on after a stop.")
    ] = None,
    out: Annotated[Path | None, _output("--out", metavar="FILE", help="Write the shares here (.parquet).")] = None,
    report: Annotated[Path | None, _output("--report", metavar="FILE", help="Write a page here (.html).")] = None,
    as_json: Annotated[bool, _output("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Value providers on the synthetic copies in their packages; private rows are neither needed nor taken.

    With --ask, write the question that lets providers say how well the copies together agree with their own labels.
    """
    check_file(out, "--out", ".parquet", ".pq")
    check_file(ask, "--ask", ".npz")
    check_report(report, "--report")
    if ask is not None and (validation is not None or answers or out is not None or report is not None):
        raise InputError(
            "--ask writes a question and values nothing; leave out --validation, --answers, --out, --report"
        )
    if radius is not None and (penalty is not None or random_features is not None):
        raise InputError("--radius judges by neighbours; --penalty and --random-features are of the ridge model")
    if metric is not None and radius is None:
        raise InputError("--metric goes with --radius")
    if out is not None and validation is not None and out.exists() and out.resolve() == validation.resolve():
        raise InputError(f"--out would write over the validation rows in {str(validation)!r}; give it another name")
    if packages[0].suffix.lower() in (".parquet", ".pq"):
        _weigh_anew(packages, weights, scale, out, report, as_json, others=(validation, ask, answers, radius, work))
        return
    if ask is None and validation is None:
        raise InputError("name the public rows that judge with --validation, or write a question with --ask")
    from dataworth.valuation.games import RidgeAccuracy
    from dataworth.valuation.packages import read_package

    model = RidgeAccuracy(1.0 if penalty is None else penalty, random_features, seed)
    some = [read_package(path) for path in _files(packages, ".package", "package")]
    if ask is not None:
        _ask(some, model, ask, as_json)
        return
    shares = _valued(
        some,
        validation,
        label,
        utility=model if radius is None else _neighbours(radius, metric),
        answers=_files(answers or [], ".json", "answer"),
        calibration=_calibration(weights, scale),
        exact=exact,
        max_permutations=max_permutations,
        target_error=target_error,
        folder=work,
        seed=seed,
    )
    _keep(shares, out, report, as_json)


def _keep(shares: Shares, out: Path | None, report: Path | None, as_json: bool) -> None:
    if out is not None:
        shares.save(out)  # at once: whatever fails later, the work is kept
    if report is not None:
        import dataworth as dw

        dw.write_report([shares], report)
    _tell(shares, out, report, as_json)


def _weigh_anew(
    paths: Sequence[Path],
    weights: tuple[float, float, float] | None,
    scale: float | None,
    out: Path | None,
    report: Path | None,
    as_json: bool,
    *,
    others: Sequence[object],
) -> None:
    """Shares that were saved, with another calibration: nothing is trained or asked again."""
    from dataworth.records import Shares
    from dataworth.valuation.calibration import recalibrate

    saved = Shares.load(paths[0])  # first, so that a table of rows is named as what it is
    if len(paths) > 1 or any(other is not None for other in others):
        raise InputError("a file of shares is weighed anew alone, with --weights and --scale; it needs nothing else")
    _keep(recalibrate(saved, _calibration(weights, scale)), out, report, as_json)


def _neighbours(radius: float, metric: str | None) -> Any:
    from dataworth.valuation.games import NeighborAccuracy

    return NeighborAccuracy(radius, metric or "cosine")  # type: ignore[arg-type]  # checked there


def _files(given: Sequence[Path], ending: str, what: str) -> list[Path]:
    """The files named, and those in the folders named, each once."""
    found: list[Path] = []
    for path in given:
        inside = sorted(path.glob(f"*{ending}")) if path.is_dir() else [path]
        if not inside:
            raise DataError(f"the folder {str(path)!r} holds no {what} (*{ending})")
        found += inside
    return list(dict.fromkeys(found))


def _ask(packages: Sequence[Package], model: Any, path: Path, as_json: bool) -> None:
    from dataworth.valuation.fidelity import ask

    question = ask(packages, model=model)
    question.save(path)
    names = [package.provider for package in packages if package.points is not None]
    if as_json:
        show_json({"question": question.digest, "providers": names, "rows": len(question.points), "out": str(path)})
        return
    show([repr(question), f"question {question.digest[:12]} written to {path}; send it to {', '.join(names)}"])


def _valued(packages: Sequence[Package], validation: Path | None, label: str | None, **more: Any) -> Shares:
    from dataworth.cli.provider_rows import read_rows_like
    from dataworth.valuation.fidelity import packages_that_fit
    from dataworth.valuation.providers import value_providers

    full = [package for package in packages_that_fit(packages) if package.points is not None]
    if not full or validation is None:
        raise DataError("every provider declares itself empty; there is nothing to divide")
    rows = [package.points for package in full if package.points is not None]
    like = next((points for points in rows if points.features is not None), rows[0])
    shape = full[0].image_shape if validation.is_dir() else None
    judges = read_rows_like(validation, like, shape, label=label)
    return value_providers(packages, judges, **more)


def _calibration(weights: tuple[float, float, float] | None, scale: float | None) -> Any:
    from dataworth.valuation.calibration import Calibration

    return Calibration(*(weights or (0.4, 0.3, 0.3)), scale=1.0 if scale is None else scale)


def _tell(shares: Shares, out: Path | None, report: Path | None, as_json: bool) -> None:
    if as_json:
        show_json({**shares.to_json(), "out": out and str(out), "report": report and str(report)})
        return
    lines: list[Any] = [f"- {flag}" for flag in shares.flags]
    lines += [replace(shares.to_table(), note=""), ""]  # the flags were said
    lines += [] if out else ["shares not kept; --out shares.parquet keeps them for dataworth payout"]
    lines += [f"{what} written to {path}" for what, path in (("shares", out), ("report", report)) if path is not None]
    show(lines)
