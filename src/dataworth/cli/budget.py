"""``dataworth budget``: a ledger made, shown and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from dataworth.cli.output import show, show_json

if TYPE_CHECKING:
    from dataworth.privacy.ledger import Ledger, Verification

__all__ = ["budget"]


class _ShowByDefault(TyperGroup):
    """A group that takes what is no command of its own as what to show."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, *self.get_help_option_names(ctx)}:
            args = ["show", *args]
        return super().parse_args(ctx, args)


budget = typer.Typer(
    cls=_ShowByDefault,
    no_args_is_help=True,
    help="Make, show or check a ledger: what private releases may spend and have spent.",
    epilog="Example: dataworth budget ledger.db",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Place = Annotated[str, typer.Argument(metavar="LEDGER", help="A file, or a postgresql:// URL (password in ~/.pgpass).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


@budget.command(
    epilog="Example: dataworth budget create ledger.db --epsilon 2 --delta 1e-6 --population patients-2026 --max-rows 5"
)
def create(
    *,
    ledger: Place,
    epsilon: Annotated[str, typer.Option(help="All the epsilon that may ever be spent.")],
    delta: Annotated[str, typer.Option(help="All the delta that may ever be spent.")],
    population: Annotated[str, typer.Option(help="A name for whose data this is.")],
    max_rows: Annotated[
        int | None,
        typer.Option(help="Hide owners of at most so many rows; without it, single rows are hidden."),
    ] = None,
    relation: Annotated[
        Literal["add_or_remove", "replace"], typer.Option(help="The change of the data that every release hides.")
    ] = "add_or_remove",
    composition: Annotated[
        Literal["basic", "zcdp"],
        typer.Option(help="How costs add up; zcdp admits more releases that count all rows, and fewer others."),
    ] = "basic",
    as_json: AsJson = False,
) -> None:
    """Make a ledger, once for a population; what is there already is never overwritten.

    Nothing stops a second ledger on the same people under another name: whoever makes one doubles what may be
    learnt about them. The file is confidential.
    """
    from dataworth.privacy.ledger import Ledger
    from dataworth.records.privacy import Budget, Owner, Row

    made = Ledger.create(
        ledger,
        budget=Budget(epsilon, delta),
        unit=Row() if max_rows is None else Owner(max_rows),
        population=population,
        relation=relation,
        composition=composition,
    )
    _print(made, None, as_json)


@budget.command("show", epilog="Example: dataworth budget show ledger.db --verify --head 5f2c...")
def show_ledger(
    *,
    ledger: Place,
    verify: Annotated[bool, typer.Option("--verify", help="Read every row and find any that was changed.")] = False,
    head: Annotated[str | None, typer.Option(help="With --verify: a hash noted earlier, to be found again.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a ledger is for, what was released, and what is left."""
    from dataworth.errors import InputError, LedgerError
    from dataworth.privacy.ledger import Ledger

    if head is not None and not verify:
        raise InputError("--head is checked with --verify; give both")
    found = Ledger.open(ledger)
    verification = found.verify(head=head) if verify else None
    if verification is None or verification.ok:
        _print(found, verification, as_json)
        return
    _print_problems(verification, as_json)
    raise LedgerError(f"{len(verification.problems)} problem(s) found: this ledger is not as it was written")


def _print(ledger: Ledger, verification: Verification | None, as_json: bool) -> None:
    history, head, left = ledger.history(), ledger.head, ledger.remaining
    if as_json:
        show_json(
            {
                "population": ledger.population,
                "unit": str(ledger.unit),
                "max_rows": ledger.unit.rows,
                "relation": ledger.relation,
                "composition": ledger.composition,
                "epsilon": str(ledger.budget.epsilon),
                "delta": str(ledger.budget.delta),
                "remaining": {
                    "epsilon": f"{left.epsilon:f}",
                    "delta": f"{left.delta:f}",
                    "rho": None if left.rho is None else str(left.rho),
                },
                "releases": [dict(zip(history.columns, row, strict=True)) for row in history.rows()],
                "head": head,
                "verified": None if verification is None else verification.ok,
            }
        )
        return
    lines: list[Any] = [
        f"population  {ledger.population}",
        f"hides       {ledger.unit}, {'added or removed' if ledger.relation == 'add_or_remove' else 'replaced'}",
        f"budget      {ledger.budget} ({ledger.composition} composition)",
        f"remaining   {left}",
        f"releases    {len(history)}",
        f"head        {head}",
    ]
    if verification is not None:
        lines.append(f"verified    all {verification.releases} releases are as they were written")
    show([*lines, *([history] if len(history) else [])])


def _print_problems(verification: Verification, as_json: bool) -> None:
    if as_json:
        show_json({"verified": False, "releases": verification.releases, "problems": list(verification.problems)})
    else:
        show([f"- {problem}" for problem in verification.problems])
