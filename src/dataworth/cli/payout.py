"""``dataworth payout``: an amount of money divided by the shares of providers."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dataworth.cli.output import check_file, show, show_json, write_text
from dataworth.cli.reading import refuse_stored


class NegativeRule(StrEnum):
    """What becomes of values below zero."""

    ZERO = "zero"
    REFUSE = "refuse"


class NoisyRule(StrEnum):
    """What becomes of the noise in values."""

    KEEP = "keep"
    SHRINK = "shrink"


def payout(
    *,
    shares: Annotated[Path, typer.Argument(metavar="SHARES", help="Shares that dataworth providers wrote (.parquet).")],
    total: Annotated[str, typer.Option("--total", metavar="AMOUNT", help="What is divided, for example 99999.95.")],
    digits: Annotated[int, typer.Option("--digits", metavar="N", help="Decimals of the money.")] = 2,
    negative: Annotated[
        NegativeRule,
        typer.Option(
            "--negative",
            metavar="RULE",
            help="zero: values below zero get nothing, the others are scaled; refuse: then nothing is divided.",
        ),
    ] = NegativeRule.ZERO,
    noisy: Annotated[
        NoisyRule,
        typer.Option(
            "--noisy",
            metavar="RULE",
            help="keep: pay by the values as they are; shrink: draw them toward equal parts by how much of their "
            "spread is noise.",
        ),
    ] = NoisyRule.KEEP,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the amounts here too (.csv).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Divide an amount of money by the shares of providers, to the last cent."""
    check_file(out, "--out", ".csv")
    refuse_stored(shares, "a payout divides by shares of providers, which dataworth providers writes", one_file=False)
    import dataworth as dw
    from dataworth.valuation.payouts import payout as divide

    divided = divide(dw.Shares.load(shares), total, currency_digits=digits, negative=negative.value, noisy=noisy.value)
    table = divided.to_table()
    if out is not None:
        write_text(out, divided.to_csv())
    if as_json:
        show_json(divided.to_json())
    else:
        written = [] if out is None else [f"amounts written to {out}"]
        show([*(f"- {flag}" for flag in divided.flags), table, *written])
