"""The pages of the documentation and the blocks of code in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "docs" / "benchmarks"  # its pages are written by `make bench`

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its info string as words, its text, and the line its text begins on."""

    info: tuple[str, ...]
    body: str
    line: int

    @property
    def language(self) -> str:
        return self.info[0] if self.info else ""

    @property
    def needs_models(self) -> bool:
        """Whether it can run only where the packaged models are installed."""
        return "needs-models" in self.info


def pages() -> list[Path]:
    """Every page that people write, README first."""
    found = sorted(page for page in (ROOT / "docs").rglob("*.md") if BENCHMARKS not in page.parents)
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *found]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        yield Block(tuple(found["info"].split()), found["body"], text.count("\n", 0, found.start("body")) + 1)


def prose(page: Path) -> str:
    """The page without its blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))
