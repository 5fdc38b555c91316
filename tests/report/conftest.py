"""Pages to look at, and how to read them strictly."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import dataworth as dw

EVIL = "<script>alert('1')</script>\"&\x00\x1b\u202e"


def parse(page: Path) -> ElementTree.Element:
    """The page as a tree; it is written so strictly that an XML parser reads it."""
    return ElementTree.fromstring(page.read_text(encoding="utf-8"))  # noqa: S314


def words(element: ElementTree.Element) -> str:
    """All text of an element, spaces folded."""
    return " ".join("".join(element.itertext()).split())


def points(n: int, prefix: str, *, seed: int = 0, evil: bool = False, items: bool = False) -> dw.Points:
    rng = np.random.default_rng(seed)
    mark = EVIL if evil else ""
    return dw.Points(
        rng.normal(size=(n, 3)),
        [f"class {i % 4} {mark}" for i in range(n)],
        ids=[f"{prefix}{i} {mark}" for i in range(n)],
        owners=[f"owner {i % 5} {mark}" for i in range(n)],
        features=[f"f{j} {mark}" for j in range(3)],
        items=[f"SECRET {i} {mark}" for i in range(n)] if items else None,
    )


def valued(train: dw.Points, validation: dw.Points, **evidence: object) -> dw.Values:
    n = len(train)
    values = dw.Values(
        train.ids,
        np.random.default_rng(1).normal(size=n) * 1e-3,
        method="KNNShapley(k=5)",
        n_validation=len(validation),
        owners=train.owners,
        provenance={"seconds": 0.5},
    )
    return dw.gather_evidence(values, train, validation, **evidence)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def full_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with everything on it: two results of values, tables, curves and a wide table."""
    from sklearn.neighbors import KNeighborsClassifier

    train, validation = points(120, "t", items=True), points(40, "v", seed=1)
    values = valued(train, validation, bad=np.arange(120) < 12, model=KNeighborsClassifier(3))
    wide = dw.Table(
        "wide",
        "Published and ours",
        {f"column number {j}": [float(i * j) for i in range(5)] for j in range(20)},
        "Note.",
    )
    shown = valued(train, validation, show_rows=True)
    return dw.write_report([values, wide, shown], tmp_path_factory.mktemp("full") / "report.html", title="A title")
