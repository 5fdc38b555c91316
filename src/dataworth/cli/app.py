"""The application: its commands and the options that come before any of them.

Nothing heavy is imported here or at the top of a command's file, so that ``dataworth --help`` answers at once.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Annotated

import typer

import dataworth
from dataworth.cli.answer import answer
from dataworth.cli.audit import audit
from dataworth.cli.budget import budget
from dataworth.cli.compare import compare
from dataworth.cli.deliver import deliver
from dataworth.cli.demo import demo
from dataworth.cli.generated import generated
from dataworth.cli.partition import partition
from dataworth.cli.payout import payout
from dataworth.cli.plan import plan
from dataworth.cli.points import points
from dataworth.cli.providers import providers
from dataworth.cli.report import report
from dataworth.cli.reproduce import reproduce
from dataworth.cli.synthesize import synthesize
from dataworth.cli.train_generator import train_generator

__all__ = ["app", "debugging"]

debugging: ContextVar[bool] = ContextVar("debugging", default=False)
"""Whether a failure shows where in the code it happened."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(dataworth.__version__)
        raise typer.Exit


@app.callback()
def before(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="DATAWORTH_DEBUG", help="Show where in the code a failure happened.")
    ] = False,
) -> None:
    """What each record, data provider or training image is worth to a model."""
    debugging.set(debug)


app.command(epilog="Example: dataworth demo --out demo")(demo)
app.command(
    epilog="Example: dataworth points train.parquet --validation val.parquet --label y --method threshold "
    "--out values.parquet --report report.html\n\nRetraining: dataworth points train.parquet --validation val.parquet "
    "--label y --method data-shapley --model logistic-regression --fits 10000 --work kept --out values.parquet "
    "--report report.html\n\nPrivate: dataworth points train.parquet --validation val.parquet "
    "--label y --owner hospital --method threshold --radius 0.5 --epsilon 1 --delta 5e-7 --ledger ledger.db "
    "--out release/"
)(points)
app.command(
    epilog="Example: dataworth compare knn.parquet threshold.parquet --train train.parquet --test test.parquet "
    "--label y --bad wrong --report compared.html"
)(compare)
app.command(
    epilog="Example: dataworth generated generated/ --train training/ --k 10 --out credit.parquet --report report.html"
    "\n\nBatches: dataworth generated monday/ --train training/ --index credit.npz, and then "
    "dataworth generated tuesday/ --index credit.npz --update --out credit.parquet"
)(generated)
app.command(
    epilog="Example: dataworth synthesize mine.parquet --label y --synthesizer private-evolution --public "
    "public.parquet --epsilon 4 --delta 1e-5 --ledger ledger.db --provider clinic-a --out clinic-a.package"
)(synthesize)
app.command(
    epilog="Example: dataworth providers packages/ --validation val.parquet --label y --out shares.parquet "
    "--report shares.html\n\nFidelity by everybody's copies: dataworth providers packages/ --ask question.npz, then "
    "dataworth answer at each provider, then --answers replies/"
)(providers)
app.command(
    epilog="Example: dataworth answer question.npz mine.parquet --label y --ledger ledger.db --provider clinic-a "
    "--epsilon 0.25 --out clinic-a.json"
)(answer)
app.command(epilog="Example: dataworth payout shares.parquet --total 100000 --out payout.csv")(payout)
app.command(
    epilog="Example: dataworth partition data.parquet --label y --providers 10 --how dirichlet --out providers/"
)(partition)
app.command(name="train-generator", epilog="Example: dataworth train-generator public/ --out coder.pt")(train_generator)
app.command(
    epilog="Example: dataworth plan val.parquet --label y --radius 0.5 --epsilon 1 --delta 5e-7 --ledger ledger.db"
)(plan)
app.add_typer(budget, name="budget")
app.add_typer(audit, name="audit")
app.command(epilog="Example: dataworth deliver ledger.db 3 --out release/")(deliver)
app.command(epilog="Example: dataworth report values.parquet --out report.html --title 'Sensor readings'")(report)
app.command(epilog="Example: dataworth reproduce tknn-table3 --data data/ --out reproduced/")(reproduce)
