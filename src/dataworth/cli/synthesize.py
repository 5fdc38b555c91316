"""``dataworth synthesize``: at a provider, a private synthetic copy as a package to send away.

Standard output, the package and the ledger never say how many private rows there are. What is exact of them is shown
with ``--self-check`` alone, on a terminal alone.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dataworth.cli.output import check_file, say, show, show_json
from dataworth.cli.synthesizers import Maker, MakerOptions, build
from dataworth.errors import InputError

if TYPE_CHECKING:
    from dataworth.privacy.ledger import Ledger
    from dataworth.records import Package, Points


def _privacy(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Privacy")


def _maker(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Synthesizer")


def _output(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Output")


def synthesize(
    *,
    source: Annotated[
        Path | None,
        typer.Argument(metavar="SOURCE", help="Your rows: a table, or a folder with one sub-folder of images a class."),
    ] = None,
    provider: Annotated[str, typer.Option("--provider", metavar="NAME", help="Your name, as all shall see it.")],
    label: Annotated[str | None, typer.Option("--label", metavar="COLUMN", help="The column of labels.")] = None,
    id_: Annotated[str | None, typer.Option("--id", metavar="COLUMN", help="Unique names of the rows.")] = None,
    owner: Annotated[
        str | None, typer.Option("--owner", metavar="COLUMN", help="Whose each row is, where owners are hidden.")
    ] = None,
    public: Annotated[
        Path | None,
        typer.Option(
            "--public", metavar="FILE", help="PUBLIC rows or images of this kind: columns, bounds, classes, figures."
        ),
    ] = None,
    classes: Annotated[
        str | None, typer.Option("--classes", metavar="A,B,...", help="All labels; default: those of the public rows.")
    ] = None,
    image_shape: Annotated[
        str | None, typer.Option("--image-shape", metavar="HxW", help="Rows of a table are images of this shape.")
    ] = None,
    empty: Annotated[bool, typer.Option("--empty", help="Declare, in public, that you have no rows.")] = False,
    synthesizer: Annotated[
        Maker, _maker("--synthesizer", metavar="NAME", help=f"{', '.join(Maker)}.")
    ] = Maker.PRIVATE_EVOLUTION,
    size: Annotated[int | None, _maker("--size", metavar="N", help="Rows to make; default: a noisy count.")] = None,
    rounds: Annotated[int | None, _maker("--rounds", metavar="N", help="Of Private Evolution.")] = None,
    population: Annotated[
        int | None, _maker("--population", metavar="N", help="Candidates a class, of Private Evolution.")
    ] = None,
    votes: Annotated[
        int | None, _maker("--votes", metavar="N", help="Candidates each row votes for, of Private Evolution.")
    ] = None,
    categories: Annotated[
        list[str] | None, _maker("--categories", metavar="A,B,...", help="Columns that hold categories.")
    ] = None,
    vectors: Annotated[bool, _maker("--vectors", help="Rows are vectors, such as embeddings.")] = False,
    generator: Annotated[
        Path | None, _maker("--generator", metavar="FILE", help="Of dataworth train-generator, for images.")
    ] = None,
    cache: Annotated[
        Path | None, _maker("--cache", metavar="DIR", help="Where PrivImage keeps its model of the public images.")
    ] = None,
    ready: Annotated[Path | None, _maker("--ready", metavar="FILE", help="Synthetic rows made elsewhere.")] = None,
    ready_epsilon: Annotated[
        str | None, _maker("--ready-epsilon", help="What they have cost, as declared; default: --epsilon.")
    ] = None,
    ready_delta: Annotated[str | None, _maker("--ready-delta", help="The same; default: --delta.")] = None,
    made_by: Annotated[str | None, _maker("--made-by", metavar="TEXT", help="What made them.")] = None,
    seed: Annotated[int, _maker("--seed", metavar="N", help="Of what needs no secrecy.")] = 0,
    epsilon: Annotated[str | None, _privacy("--epsilon", help="What the whole package may cost.")] = None,
    delta: Annotated[str | None, _privacy("--delta", help="The same; well below one over your number of rows.")] = None,
    ledger: Annotated[
        str | None, _privacy("--ledger", metavar="LEDGER", help="Your own ledger, of dataworth budget create.")
    ] = None,
    fidelity: Annotated[
        Literal["own"] | None, _privacy("--fidelity", help="own: add noisy counts of agreement with your labels.")
    ] = None,
    fidelity_epsilon: Annotated[
        str | None, _privacy("--fidelity-epsilon", help="Their part of epsilon; default a sixteenth.")
    ] = None,
    request_key: Annotated[
        str | None, _privacy("--request-key", metavar="KEY", help="What the charge is called; default: a random key.")
    ] = None,
    out: Annotated[Path, _output("--out", metavar="FILE", help="The package to send (.package).")],
    work: Annotated[
        Path | None,
        _output(
            "--work", metavar="DIR", help="What was released is kept here, to go on after a stop; default: OUT.work."
        ),
    ] = None,
    self_check: Annotated[
        bool, _output("--self-check", help="Show exact figures of your own rows, on this terminal alone.")
    ] = False,
    as_json: Annotated[bool, _output("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Make a private synthetic copy of your rows and pack it for a coordinator; charged to your own ledger.

    The same command again goes on where a stopped one was, or gives the same package, and charges nothing.
    """
    check_file(out, "--out", ".package")
    if self_check and not sys.stderr.isatty():
        raise InputError(
            "--self-check shows exact figures of private rows, on a terminal only; here they would be kept"
        )
    from dataworth.cli.provider_rows import parse_shape, read_rows, read_rows_like

    shape = parse_shape(image_shape)
    if empty:
        _refuse({"SOURCE": source, "--epsilon": epsilon, "--ledger": ledger, "--fidelity": fidelity})
        _declare_empty(provider, classes, public, label, shape, out, as_json)
        return
    if source is None or public is None or ledger is None or epsilon is None or delta is None:
        lacking = {"SOURCE": source, "--public": public, "--epsilon": epsilon, "--delta": delta, "--ledger": ledger}
        names = ", ".join(name for name, given in lacking.items() if given is None)
        raise InputError(f"a package needs {names} too (see dataworth synthesize --help)")
    import dataworth as dw
    from dataworth.valuation.packages import write_package
    from dataworth.valuation.private_rows import label_list
    from dataworth.valuation.synthesizing import self_check as check_self
    from dataworth.valuation.synthesizing import synthesize as make

    account = dw.Ledger.open(ledger)
    spend = dw.Budget(epsilon, delta)
    there, shape = read_rows(public, label=label if public.is_file() else None, image_shape=shape)
    labels = label_list(_classes(classes, there))
    options = MakerOptions(
        size, rounds, population, votes, _names(categories), vectors, generator, cache, ready, made_by
    )  # fmt: skip
    maker = build(synthesizer, options, there, shape, labels, label, (ready_epsilon or epsilon, ready_delta or delta))
    mine = read_rows_like(source, there, shape, label=label, id=id_, owner=owner)
    folder = work or out.with_name(f"{out.name}.work")
    say(f"released results are kept in {folder}")
    with _told_how_to_go_on(account):
        package = make(
            mine,
            provider=provider,
            classes=labels.tolist(),
            synthesizer=maker,
            spend=spend,
            ledger=account,
            fidelity=fidelity,
            fidelity_epsilon=fidelity_epsilon,
            public=there,
            image_shape=shape,
            request_key=request_key,
            folder=folder,
            seed=seed,
        )
        write_package(package, out)
    _tell(package, account, out, as_json)
    if self_check:
        print(f"\n{check_self(mine, package, public=there).to_text()}", file=sys.stderr)


def _declare_empty(
    provider: str,
    classes: str | None,
    public: Path | None,
    label: str | None,
    shape: tuple[int, ...] | None,
    out: Path,
    as_json: bool,
) -> None:
    from dataworth.cli.provider_rows import read_rows
    from dataworth.valuation.packages import write_package
    from dataworth.valuation.synthesizing import synthesize as make

    if public is None:
        raise InputError("all providers must agree on the classes: give --public, whose labels they are")
    there, shape = read_rows(public, label=label if public.is_file() else None, image_shape=shape)
    package = make(None, provider=provider, classes=_classes(classes, there), image_shape=shape, empty=True)
    write_package(package, out)
    _tell(package, None, out, as_json)


def _refuse(options: dict[str, object]) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise InputError(f"--empty declares that there are no rows; leave out {', '.join(given)}")


def _classes(text: str | None, public: Points) -> list[Any]:
    import numpy as np

    from dataworth.cli.reading import parse_classes

    return list(np.unique(public.y).tolist()) if text is None else list(parse_classes(text, public.y))


def _names(given: Sequence[str] | None) -> tuple[str, ...]:
    from dataworth.cli.reading import split_names

    return tuple(split_names(given) or ())


def _tell(package: Package, ledger: Ledger | None, out: Path, as_json: bool) -> None:
    from dataworth.cli.private import remaining_json

    points, found = package.points, package.fidelity
    left = None if ledger is None else ledger.remaining
    if as_json:
        show_json(
            {
                "provider": package.provider,
                "synthetic_rows": 0 if points is None else len(points),
                "classes": package.classes.tolist(),
                "synthesizer": package.synthesizer,
                "guarantee": None if points is None else str(package.guarantee),
                "epsilon": None if points is None else str(package.guarantee.budget.epsilon),
                "delta": None if points is None else str(package.guarantee.budget.delta),
                "noisy_agreement": None if found is None else [found.agree, found.disagree],
                "remaining": None if left is None else remaining_json(left),
                "out": str(out),
            }
        )
        return
    lines: list[Any] = [repr(package)]
    if points is not None:
        lines += ["", f"{package.guarantee} It covers everything in the package."]
    if found is not None:
        lines.append(f"noisy counts of agreement with your labels: {found.agree} and {found.disagree}")
    if left is not None:
        lines += [f"left in the ledger: {left}", ""]
    show([*lines, f"package written to {out}"])


@contextmanager
def _told_how_to_go_on(ledger: Ledger) -> Iterator[None]:
    """Whatever stops a run that was paid for, the provider is told that it can go on."""
    before = ledger.head
    try:
        yield
    except BaseException:
        if ledger.head != before:
            command = shlex.join(["dataworth", *sys.argv[1:]]) if sys.argv[1:] else "the same command"
            print(f"dataworth: the package is charged; go on for nothing with: {command}", file=sys.stderr)
        raise
