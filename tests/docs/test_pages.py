"""What pages point at is there: files, headings, tests, dependencies, and the reference made from the code."""

from __future__ import annotations

import ast
import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.pages import ROOT, blocks, name_of, pages, prose

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|<img[^>]*\ssrc=\"([^\"]+)\"")
_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
_SOURCE = re.compile(r"`((?:src|docs|tests|benchmarks|tools)/[\w./-]+)`")

written = [page for page in pages() if page.parent.name != "reference" or page.name == "README.md"]


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for found in _LINK.findall(prose(page)):
        address = found[0] or found[1]
        if re.match(r"[a-z]+:", address):
            continue
        target, _, heading = address.partition("#")
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (heading and heading not in headings(file)):
            lost.append(address)
    assert not lost


@pytest.mark.parametrize("page", written, ids=name_of)
def test_named_tests_and_files_exist(page: Path) -> None:
    text = prose(page)
    lost = [path for path in _SOURCE.findall(text) if not (ROOT / path).exists()]
    for path, test in _TEST.findall(text):
        if test and (not (ROOT / path).exists() or test not in functions_in(ROOT / path)):
            lost.append(f"{path}::{test}")
    assert not lost


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "theory").glob("*.md")), ids=name_of)
def test_every_theory_page_names_what_checks_it_and_what_is_public(page: Path) -> None:
    if page.name == "README.md":
        return
    assert _TEST.search(prose(page))
    assert {"what-is-assumed-public", "cost", "tests"} <= headings(page)


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "decisions").glob("0*.md")), ids=name_of)
def test_decisions_have_one_form(page: Path) -> None:
    found = re.findall(r"^## (.+)$", prose(page), re.MULTILINE)
    assert found == ["Context", "Decision", "Consequences", "What would make us change it"]


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {re.split(r"[\[<>=~! ]", one)[0] for one in wanted} - {"dataworth"}
    text = (ROOT / "docs" / "decisions" / "0004-dependencies.md").read_text(encoding="utf-8")
    assert not {name for name in names if f"`{name}`" not in text}


def test_the_decision_on_ranks_has_the_rule_of_the_code() -> None:
    page = (ROOT / "docs" / "decisions" / "0002-ranks-in-float32-with-float64-rechecks.md").read_text(encoding="utf-8")
    code = (ROOT / "src" / "dataworth" / "kernels" / "knn.py").read_text(encoding="utf-8")
    said = re.search(r"`(\d+) k \+ max\((\d+), (\d+) // d\)`", page)
    done = re.search(r"(\d+) \* k \+ max\((\d+), (\d+) // rows\.x\.shape\[1\]\)", code)
    assert said is not None
    assert done is not None
    assert said.groups() == done.groups()


@pytest.mark.parametrize("name", ["api.md", "commands.md"])
def test_the_reference_is_up_to_date(name: str) -> None:
    made = generator().PAGES[name]()
    assert (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") == made, (
        "run: python docs/reference/generate.py"
    )


def test_blocks_say_what_they_are() -> None:
    known = {"python", "bash", "text", "console", "math"}
    found = [(page, block) for page in pages() for block in blocks(page)]
    unknown = [f"{name_of(page)}:{block.line}" for page, block in found if block.language not in known]
    assert not unknown


def generator() -> ModuleType:
    path = ROOT / "docs" / "reference" / "generate.py"
    spec = importlib.util.spec_from_file_location("generate", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def headings(page: Path) -> set[str]:
    """The headings of a page as addresses, the way GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def functions_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_inline_formulas_survive_markdown(page: Path) -> None:
    """A backslash before a sign is taken by Markdown before the formula is read: ``\\lbrace``, not ``\\{``."""
    spoiled = [formula for formula in re.findall(r"\$[^$\n]+\$", prose(page)) if re.search(r"\\[^a-zA-Z]", formula)]
    assert not spoiled
