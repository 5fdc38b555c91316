"""The documentation runs: every Python and shell block, in order, and prints what the page says it prints.

A page has one namespace and one folder. A ``text`` block right after a block that ran is what that block prints;
``...`` in it stands for anything. Blocks of other kinds (``console`` among them) are for reading only.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import Block, blocks, name_of, pages

SHELL = ("bash", "sh")
RUN = ("python", *SHELL)

with_code = [page for page in pages() if any(block.language in RUN for block in blocks(page))]
with_models = [page for page in with_code if any(block.needs_models for block in blocks(page))]


@pytest.mark.parametrize("page", with_code, ids=name_of)
def test_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(page, [block for block in blocks(page) if not block.needs_models])


@pytest.mark.models
@pytest.mark.parametrize("page", with_models, ids=name_of)
def test_page_runs_with_models(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATAWORTH_CACHE", str(tmp_path / "cache"))
    run(page, list(blocks(page)))


def test_every_guide_runs_something() -> None:
    guides = [page for page in pages() if page.parent.name == "guide" and page.name != "README.md"]
    assert len(guides) >= 6
    assert set(guides) <= set(with_code)


def test_what_a_page_says_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nx = 1\n```\n\n```bash\necho one\n```\n\n```text\none\n```\n\n```python\nprint(x)\n```\n"
    )
    run(page, list(blocks(page)))
    page.write_text("```bash\necho two\n```\n```text\none\n```\n")
    with pytest.raises(pytest.fail.Exception, match="two"):
        run(page, list(blocks(page)))


def run(page: Path, found: list[Block]) -> None:
    namespace: dict[str, Any] = {"__name__": page.stem}
    for block, after in zip(found, [*found[1:], None], strict=True):
        if block.language not in RUN:
            continue
        where = f"{page.name}:{block.line}"
        printed = shell(block, where) if block.language in SHELL else python(block, namespace, page)
        if after is not None and after.language == "text":
            compare(after.body, printed, where)


def python(block: Block, namespace: dict[str, Any], page: Path) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        # Blank lines in front, so that a failure shows the line of the page.
        exec(compile("\n" * (block.line - 1) + block.body, str(page), "exec"), namespace)  # noqa: S102 - our own pages
    return out.getvalue()


def shell(block: Block, where: str) -> str:
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-euc", block.body],
        env={**os.environ, "PATH": tools},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{where} exits with {done.returncode}:\n{done.stderr}"
    return done.stdout


def compare(said: str, printed: str, where: str) -> None:
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    if not doctest.OutputChecker().check_output(said, printed, options):
        pytest.fail(f"{where} prints\n{printed}\nbut the page says\n{said}")


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
