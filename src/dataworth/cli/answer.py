"""``dataworth answer``: at a provider, two noisy counts in answer to a coordinator's question."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dataworth.cli.output import check_file, show, show_json
from dataworth.errors import InputError


def answer(
    *,
    question: Annotated[Path, typer.Argument(metavar="QUESTION", help="Of dataworth providers --ask (.npz).")],
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="Your rows: a table, or a folder with one sub-folder of images a class."),
    ],
    label: Annotated[str | None, typer.Option("--label", metavar="COLUMN", help="The column of labels.")] = None,
    id_: Annotated[str | None, typer.Option("--id", metavar="COLUMN", help="Unique names of the rows.")] = None,
    owner: Annotated[
        str | None, typer.Option("--owner", metavar="COLUMN", help="Whose each row is, where owners are hidden.")
    ] = None,
    provider: Annotated[
        str | None, typer.Option("--provider", metavar="NAME", help="Your name, as in your package.")
    ] = None,
    ledger: Annotated[str, typer.Option("--ledger", metavar="LEDGER", help="Your own ledger.")],
    epsilon: Annotated[str, typer.Option("--epsilon", help="What the answer may cost.")] = "0.25",
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The answer to send back (.json).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Answer how often a model agrees with your labels: two noisy counts, charged once to your own ledger.

    The same question again gets the same answer, and nothing is charged.
    """
    check_file(out, "--out", ".json")
    import dataworth as dw
    from dataworth.cli.private import remaining_json
    from dataworth.cli.provider_rows import read_rows_like
    from dataworth.valuation.fidelity import Question
    from dataworth.valuation.fidelity import answer as reply_to

    account = dw.Ledger.open(ledger)
    asked = Question.load(question)
    if provider is None:
        if len(asked.packages) > 1:
            raise InputError(f"the question is to {len(asked.packages)} providers; say with --provider which you are")
        (provider,) = asked.packages
    mine = read_rows_like(source, asked.points, asked.image_shape, label=label, id=id_, owner=owner)
    reply = reply_to(asked, mine, provider=provider, epsilon=epsilon, ledger=account)
    reply.save(out)
    found, left = reply.fidelity, account.remaining
    if as_json:
        show_json(
            {
                "provider": provider,
                "question": found.question,
                "noisy_agreement": [found.agree, found.disagree],
                "guarantee": str(found.guarantee),
                "epsilon": str(found.guarantee.budget.epsilon),
                "remaining": remaining_json(left),
                "out": str(out),
            }
        )
        return
    show(
        [
            f"question {found.question[:12]}: noisy counts of your rows on which the model agrees with your labels, "
            f"and of the others: {found.agree} and {found.disagree}",
            str(found.guarantee),
            f"left in the ledger: {left}",
            f"answer written to {out}",
        ]
    )
