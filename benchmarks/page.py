"""The findings as a page of the documentation, and kept as JSON so that one section can be measured again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from benchmarks.measure import Finding, Section

__all__ = ["load", "render", "save", "table"]

_HEAD = """# Benchmarks

Written by `python -m benchmarks`; do not edit. Every figure is the median of rounds in which the things compared take
turns, after a warm-up round, with the least and the greatest round beside it. Ratios compare two times of the same
round: they hold where seconds do not.

```console
sh benchmarks/peers.sh                 # once: the environment of the peers (Python 3.11 or 3.12)
python -m benchmarks                   # everything; writes this page
python -m benchmarks --only memory     # one section; writes it anew
python -m benchmarks --quick           # smaller sizes, a few minutes; writes nothing
```

Run it on a quiet machine, and with no `OPENBLAS_CORETYPE` or `OPENBLAS_L2_SIZE` set
(`env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python -m benchmarks`): a forced core type slows the matrix product
that all ratios stand on, which flatters them.
"""


def load(path: Path) -> dict[str, Section]:
    if not path.exists():
        return {}
    return {given["name"]: Section.from_dict(given) for given in json.loads(path.read_text(encoding="utf-8"))}


def save(sections: Mapping[str, Section], results: Path, page: Path) -> None:
    """Write the results and the page that shows them."""
    listed = list(sections.values())
    _replace(results, json.dumps([section.to_dict() for section in listed], indent=1) + "\n")
    _replace(page, render(listed, pictures=results.parent.name))


def render(sections: Sequence[Section], *, pictures: str) -> str:
    """The whole page; pictures lie in a folder of that name beside it."""
    goals = [finding.met for section in sections for finding in section.findings if finding.met is not None]
    parts = [_HEAD, f"Goals met: {sum(goals)} of {len(goals)}.\n"]
    for section in sections:
        parts.append(f"## {section.title}\n\n{section.text}\n")
        if section.picture:
            told = "; ".join(f"{finding.what}, {finding.group}: {_figure(finding)}" for finding in section.findings)
            parts.append(f"![{section.alt or told}]({pictures}/{section.picture})\n")
        parts.append(table(section))
        parts.append("\n".join(f"- {key}: {value}" for key, value in section.machine.items()) + "\n")
    return "\n".join(parts)


def table(section: Section) -> str:
    """The findings of one section in Markdown, a table a group."""
    lines: list[str] = []
    for group, findings in groupby(section.findings, key=lambda finding: finding.group):
        if group:
            lines += [f"**{group}**", ""]
        lines += ["| | median | least to greatest | goal | met | |", "|---|---|---|---|---|---|"]
        for finding in findings:
            spread = "" if finding.low == finding.high else f"{_number(finding.low)} to {_number(finding.high)}"
            goal = "" if finding.goal is None else f"{finding.sign} {_number(finding.goal)}"
            met = {None: "", True: "yes", False: "**no**"}[finding.met]
            lines.append(f"| {finding.what} | {_figure(finding)} | {spread} | {goal} | {met} | {finding.note} |")
        lines.append("")
    return "\n".join(lines)


def _figure(finding: Finding) -> str:
    return f"{_number(finding.middle)} {'times' if finding.unit == 'x' else finding.unit}".strip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)
