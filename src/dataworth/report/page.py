"""Writing the page: one HTML file that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from dataworth.errors import InputError, MissingExtra
from dataworth.records import Evidence, Exhibit, Links, Table, Values
from dataworth.records.files import whole_file
from dataworth.report.charts import PALETTE
from dataworth.report.sections import Section, is_picture, section
from dataworth.report.text import clean

__all__ = ["write_report"]

Result: TypeAlias = Values | Evidence


def write_report(results: Result | Sequence[Result], path: str | os.PathLike[str], *, title: str | None = None) -> Path:
    """Write one self-contained HTML page that shows results and says what they mean.

    The page opens from disk without a network, holds no scripts, and reads well on a phone, in print, and on
    dark screens. It shows what the records hold and nothing else: rows' content only if it was gathered with
    ``show_rows``. The file appears whole or not at all.

    Args:
        results: Values, tables, or a sequence of them, shown in the order given.
        path: Where to write, usually ``something.html``; an existing file is replaced.
        title: The heading of the page.

    Returns:
        The path written.

    Raises:
        InputError: There is nothing to show, or something that a report cannot show.
        MissingExtra: jinja2, altair or vl-convert is not installed.

    Example:
        >>> import dataworth as dw, pathlib, tempfile
        >>> values = dw.Values(["a", "b"], [0.25, -0.05], method="by hand", n_validation=4)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     dw.write_report(values, pathlib.Path(folder) / "report.html").name
        'report.html'
    """
    given: Sequence[Any] = [results] if isinstance(results, (Values, Table, Links, Exhibit)) else list(results)
    if not given:
        raise InputError("a report needs at least one result to show: values or a table")
    odd = sorted({type(result).__name__ for result in given if not isinstance(result, (Values, Table, Links, Exhibit))})
    if odd:
        raise InputError(f"a report shows Values and Table records, not {', '.join(odd)}")
    page = _render([section(result) for result in given], title)
    with whole_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(path)


def _render(sections: Sequence[Section], title: str | None) -> str:
    try:
        import jinja2
    except ImportError:
        raise MissingExtra("a report", "report") from None
    import dataworth

    now = datetime.now().astimezone()
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dataworth.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda shown: clean(shown) if type(shown) is str else shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["picture"] = is_picture
    page: str = environment.get_template("page.html").render(
        title=title or _title(sections),
        sections=sections,
        palette=PALETTE,
        written=f"{now.day} {now:%B %Y, %H:%M}",
        version=dataworth.__version__,
    )
    return page


def _title(sections: Sequence[Section]) -> str:
    if len(sections) == 1:
        return "What each row is worth" if sections[0].is_values else sections[0].title
    return "What the data is worth" if any(part.is_values for part in sections) else "Results"
