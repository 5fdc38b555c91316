"""Writing the page: one HTML file that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from dataworth.errors import InputError, MissingExtra
from dataworth.records import Evidence, Exhibit, Links, Release, Shares, Table, Values
from dataworth.records.comparison import Comparison
from dataworth.records.files import whole_file
from dataworth.report.charts import PALETTE
from dataworth.report.parts import Section, is_picture
from dataworth.report.sections import section
from dataworth.report.text import clean

__all__ = ["write_report"]

Result: TypeAlias = Values | Release | Shares | Comparison | Evidence

# What may stand beside a private release: made of public inputs, noisy counts and the ledger.
_BESIDE_RELEASES = frozenset(["ledger", "ledger-budget", "plan", "plan-curve", "noisy-counts", "private-release"])

_SEEDED = (
    "The noise of this release was seeded or left out, so it hides nothing. Use it for tests and experiments only."
)
_UNCOVERED = (
    "Nothing is known to protect the data of some provider behind these shares: noise was seeded or left out, or they "
    "were made of real data. Use them for tests and experiments only."
)
_BENCH = "This page shows exact figures beside a release, because its data was declared public. No guarantee covers it."


def write_report(
    results: Result | Sequence[Result],
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    bench: bool = False,
) -> Path:
    """Write one self-contained HTML page that shows results and says what they mean.

    The page opens from disk without a network, holds no scripts, and reads well on a phone, in print, and on
    dark screens. It shows what the records hold and nothing else: rows' content only if it was gathered with
    ``show_rows``; of a private release public inputs and noisy counts, never a value. The file appears whole or
    not at all.

    Args:
        results: Values, private releases, shares of providers, a comparison of methods, tables, or a sequence of them,
            shown in the order given.
        path: Where to write, usually ``something.html``; an existing file is replaced.
        title: The heading of the page.
        bench: Declares the data public, so that exact values, and figures computed from them, may stand beside a
            private release of the same data; the page is stamped NOT PRIVATE.

    Returns:
        The path written.

    Raises:
        InputError: There is nothing to show, something that a report cannot show, or a private release beside
            exact figures without ``bench``.
        MissingExtra: jinja2, altair or vl-convert is not installed.

    Example:
        >>> import dataworth as dw, pathlib, tempfile
        >>> values = dw.Values(["a", "b"], [0.25, -0.05], method="by hand", n_validation=4)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     dw.write_report(values, pathlib.Path(folder) / "report.html").name
        'report.html'
    """
    known = (Values, Release, Shares, Comparison, Table, Links, Exhibit)
    given: Sequence[Any] = [results] if isinstance(results, known) else list(results)
    if not given:
        raise InputError("a report needs at least one result to show: values, a release, shares or a table")
    odd = sorted({type(result).__name__ for result in given if not isinstance(result, known)})
    if odd:
        raise InputError(f"a report shows Values, Release, Shares, Comparison and Table records, not {', '.join(odd)}")
    mixed = _mixed(given)
    if mixed and not bench:
        raise InputError(
            f"a private release and {mixed[0]} do not go on one page: exact figures undo what the release hides. "
            "Write two pages; or, if all of the data is public, say so with bench=True (--bench) for a page that is "
            "stamped NOT PRIVATE"
        )
    page = _render(_sections(given, mixed), title, _BENCH if bench else _why_not_private(given))
    with whole_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(path)


def _why_not_private(given: Sequence[Result]) -> str:
    if any(isinstance(result, Release) and result.stamp for result in given):
        return _SEEDED
    return _UNCOVERED if any(isinstance(result, Shares) and result.stamp for result in given) else ""


def _mixed(given: Sequence[Result]) -> list[str]:
    """What must not stand beside the releases that are there.

    Shares of providers may, as long as all of them are made of private packages.
    """
    if not any(isinstance(result, Release) for result in given):
        return []
    mixed = []
    for result in given:
        match result:
            case Values():
                mixed.append("exact values")
            case Comparison():
                mixed.append("a comparison of exact values")
            case Shares():
                mixed += ["shares that are not private"] if result.stamp else []
            case Release():
                pass
            case _ if isinstance(result, Links) or result.name not in _BESIDE_RELEASES:
                mixed.append(f"{result.title!r}")
    return mixed


def _sections(given: Sequence[Result], mixed: Sequence[str]) -> list[Section]:
    """One section a result; what belongs to a single release goes into its section."""
    releases = [result for result in given if isinstance(result, Release)]
    if len(releases) == 1 and not mixed:
        return [section(releases[0], [result for result in given if isinstance(result, Table | Exhibit)])]
    return [section(result) for result in given]


def _render(sections: Sequence[Section], title: str | None, not_private: str) -> str:
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
        not_private=not_private,
        palette=PALETTE,
        written=f"{now.day} {now:%B %Y, %H:%M}",
        version=dataworth.__version__,
    )
    return page


def _title(sections: Sequence[Section]) -> str:
    if len(sections) == 1:
        if sections[0].is_credit:
            return "What each training item earned"
        return f"What each {sections[0].thing} is worth" if sections[0].is_values else sections[0].title
    worth = any(part.is_values or part.is_shares for part in sections)
    return "What the data is worth" if worth else "Results"
