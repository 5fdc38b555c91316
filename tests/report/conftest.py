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


def things(n: int, prefix: str, *, seed: int, evil: bool = False, kind: str = "texts") -> dw.Items:
    """Items to be matched: vectors beside texts that nobody is to see, pictures, or nothing."""
    mark = EVIL if evil else ""
    rng = np.random.default_rng(seed)
    content = {
        "texts": {"texts": [f"SECRET {prefix}{i} {mark}" for i in range(n)]},
        "images": {"images": rng.integers(0, 255, size=(n, 9, 9), dtype=np.uint8)},
        "vectors": {},
    }[kind]
    return dw.Items(
        rng.normal(size=(n, 6)),
        ids=[f"{prefix}{i} {mark}" for i in range(n)],
        owners=[f"owner {i % 5} {mark}" for i in range(n)],
        labels=[f"class {i % 4} {mark}" for i in range(n)],
        **content,  # type: ignore[arg-type]
    )


def credited(
    train: dw.Items, made: dw.Items, *, k: int = 6, quality: object = None, whole: bool = False, **evidence: object
) -> dw.Values:
    """Values by likeness with evidence; the slow pieces only for the whole of it."""
    method = dw.SimilarityMatch(k=k, quality=quality)  # type: ignore[arg-type]
    values = dw.value_generated(made, train, method=method, threads=1, progress=False)
    return dw.gather_matches(
        values,
        train,
        made,
        sensitivity=whole,
        map=whole,
        threads=1,
        progress=False,
        **evidence,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="session")
def credit_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of values by likeness with everything on it."""
    train, made = things(120, "t", seed=0, kind="images"), things(40, "g", seed=1, kind="images")
    recall = dw.Table("recall-check", "What the index found", {"index": ["HNSW"], "recall@k": [0.98]}, "Of them.")
    values = credited(train, made, k=4, trained=np.arange(120) < 60, show_rows=True, whole=True).with_evidence(recall)
    return dw.write_report(values, tmp_path_factory.mktemp("credit") / "report.html")


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
