"""The command line: parse, call one function, print or write. No arithmetic lives here.

Exit codes: 0 done; 2 asked wrongly (one line on stderr says what would be right); 3 the budget would be exceeded
(nothing computed, nothing spent); 130 stopped by Ctrl-C; 143 stopped by SIGTERM while models were trained, which
is kept with --work; 1 anything else, which is our fault or the machine's.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import NoReturn, TextIO

from dataworth.cli.app import app, debugging
from dataworth.errors import BudgetExceeded, DataworthWarning, InputError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the ``dataworth`` command and exit with its code.

    Args:
        arguments: What follows the command's name; taken from the process if not given.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("default", DataworthWarning)
        warnings.showwarning = _show_warning
        try:
            app(args=arguments, prog_name="dataworth")
        except KeyboardInterrupt:
            sys.exit(130)
        except InputError as error:
            _fail(_words(error).replace("Ledger.create", "dataworth budget create"), 2)
        except BudgetExceeded as error:
            _fail(str(error), 3)
        except OSError as error:
            if isinstance(error, ConnectionError) and error.errno is None:  # our own words about a cluster
                _fail(f"{_words(error)}; the same command goes on", 1)
            # A full disk or a folder that vanished is nobody's wrong question, but no bug of ours either.
            _fail(f"the system refused: {_words(error)}", 1)
        except Exception as error:
            _fail(
                f"this is our fault, not yours: {type(error).__name__}. "  # its message may quote a row
                "Run `dataworth --debug ...` or set DATAWORTH_DEBUG=1 to see what and where, and please report it.",
                1,
            )
    sys.exit(0)


def _words(error: Exception) -> str:
    """What an error says, and the machine it comes from where that is another one."""
    return "; ".join([str(error), *getattr(error, "__notes__", ())])


def _fail(message: str, code: int) -> NoReturn:
    if debugging.get():
        traceback.print_exc()
    print("dataworth:", " ".join(message.split()), file=sys.stderr)
    sys.exit(code)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """One plain line on stderr instead of a place in our source that tells the reader nothing."""
    print("dataworth: warning:", " ".join(str(message).split()), file=sys.stderr)
