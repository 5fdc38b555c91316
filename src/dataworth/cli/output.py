"""Where results go: checks before anything is computed, tables for people, JSON for machines."""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataworth.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from dataworth.records import Table

__all__ = [
    "check_drawing",
    "check_file",
    "check_report",
    "make_folder",
    "say",
    "show",
    "show_json",
    "write_text",
    "writing",
]


WIDE = 8  # columns


def check_file(path: Path | None, option: str, *endings: str) -> None:
    """Refuse, before hours of work, a file that could not be written at the end.

    Raises:
        InputError: The name has another ending, is a folder's, or its folder is not there or not writable.
    """
    if path is None:
        return
    if path.suffix.lower() not in endings:
        raise InputError(f"{option} writes a file that ends in {' or '.join(endings)}, not {str(path)!r}")
    folder = path.parent
    if path.is_dir():
        raise InputError(f"{option} must name a file, but {str(path)!r} is a folder")
    if not folder.is_dir():
        raise InputError(f"the folder {str(folder)!r} for {option} does not exist; create it first")
    _try_writing(folder, option)


def check_report(path: Path | None, option: str) -> None:
    """Refuse, before hours of work, a report that could not be written or drawn at the end.

    Raises:
        InputError: As :func:`check_file`.
        MissingExtra: What draws reports is not installed.
    """
    check_file(path, option, ".html", ".htm")
    if path is not None:
        check_drawing()


def check_drawing() -> None:
    """Refuse before hours of work what only fails when the report is drawn.

    Raises:
        MissingExtra: What draws reports is not installed.
    """
    if any(find_spec(module) is None for module in ("jinja2", "altair", "vl_convert")):
        raise MissingExtra("a report", "report")


def make_folder(path: Path, option: str) -> Path:
    """The folder, created with its parents if need be.

    Raises:
        InputError: It cannot be created or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {str(path)!r} for {option} cannot be created: {error.strerror}") from None
    _try_writing(path, option)
    return path


def write_text(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all."""
    from dataworth.records.files import whole_file

    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def writing(path: Path, option: str, *there: str) -> Iterator[None]:
    """While a file is written: if that fails after all, say who asked for it and what is there already.

    Args:
        path: The file.
        option: What asked for it.
        there: What a reader still has, in words; nothing where there is nothing.

    Raises:
        OSError: The system refused, in these words.
    """
    try:
        yield
    except OSError as error:
        left = "; ".join(there) or "nothing was written"
        raise OSError(f"{option} {str(path)!r} cannot be written ({error.strerror or error}); {left}") from error


def say(message: str) -> None:
    """Tell whoever waits what is going on; on stderr, so that it never mixes with results."""
    if sys.stderr.isatty():
        print(message, file=sys.stderr)


def show(lines: Iterable[str | Table]) -> None:
    """Print lines and tables: drawn with rich on a terminal, plain text otherwise."""
    from dataworth.records import Table

    draw = _drawn if sys.stdout.isatty() else _plain
    for line in lines:
        if isinstance(line, Table):
            draw(line)
        else:
            print(line)


def show_json(answer: Mapping[str, Any]) -> None:
    """Print one JSON object and nothing else."""
    print(json.dumps(answer, allow_nan=False))


def _plain(table: Table) -> None:
    print(f"\n{_written(table).to_text()}")


def _drawn(table: Table) -> None:
    from rich import box, console, text
    from rich import table as rich_table

    from dataworth.records.evidence import show_cell

    drawn = rich_table.Table(
        title=text.Text(table.title),
        caption=text.Text(table.note),
        box=box.SIMPLE,
        title_justify="left",
        caption_justify="left",
    )
    for name, cells in table.columns.items():
        numbers = any(isinstance(cell, int | float) for cell in cells)
        drawn.add_column(text.Text(name), justify="right" if numbers else "left", overflow="fold")
    for row in _written(table).rows():
        drawn.add_row(*(text.Text(_printable(show_cell(cell))) for cell in row))
    screen = console.Console()
    if (
        screen.measure(drawn, options=screen.options.update(width=10_000)).maximum > screen.width
        and len(table.columns) > WIDE
    ):
        _plain(table)  # squeezed to a few letters a column, it could not be read
    else:
        screen.print(drawn)


def _printable(cell: str) -> str:
    """Ids come from a file: what would steer the terminal instead of being shown is made visible."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in cell)


def _try_writing(folder: Path, option: str) -> None:
    """Make a file there and remove it: leave to write says nothing of a full disk or one that is read only."""
    try:
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".dataworth-"):
            pass
    except OSError as error:
        why = f" ({error.strerror})" if error.strerror else ""
        raise InputError(f"the folder {str(folder)!r} for {option} is not writable{why}") from None


def _written(table: Table) -> Table:
    """The same with its numbers as text, those of a column alike."""
    from dataworth.records import Table

    columns = {name: _alike(cells) for name, cells in table.columns.items()}
    return Table(table.name, table.title, columns, table.note)


def _alike(cells: Sequence[Any]) -> Sequence[Any]:
    """A column of floats with as many decimals as tell them apart, three or more; other columns as they are.

    Differences of less than a millionth of the largest are not told. Columns of numbers all below a thousandth are
    written with powers of ten, and those with numbers of a million or more as they always are.
    """
    if not all(cell is None or isinstance(cell, float) for cell in cells):
        return cells  # facts of many kinds one below the other need not be alike
    floats = [cell for cell in cells if isinstance(cell, float) and math.isfinite(cell)]
    largest = max((abs(cell) for cell in floats), default=0.0)
    if largest == 0.0 or largest >= 1e6:
        return cells
    power = math.floor(math.log10(largest))
    form, least, most = ("f", max(3, 2 - power), max(3, 5 - power)) if power >= -3 else ("e", 2, 5)
    apart = len({f"{cell:.{most}{form}}" for cell in floats})
    places = next(k for k in range(least, most + 1) if len({f"{cell:.{k}{form}}" for cell in floats}) == apart)
    return [f"{cell:.{places}{form}}" if isinstance(cell, float) and math.isfinite(cell) else cell for cell in cells]
