"""The operator's page of a private release: public inputs, noisy counts and the ledger, and nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dataworth as dw
from tests.report.conftest import EVIL, parse, words
from tests.report.test_chromium import CHROMIUM, measured

PRIVATE = tuple(
    dw.Guarantee(dw.Budget(epsilon, "5e-7"), dw.Row(), relation)  # type: ignore[arg-type]
    for epsilon, relation in (("1", "add_or_remove"), ("1.4100001", "replace"))
)


def made(**changed: Any) -> dw.Release:
    rng = np.random.default_rng(0)
    n = 23
    parts: dict[str, Any] = {
        "population": "patients-2026",
        "method": "ThresholdKNNShapley(radius=0.5)",
        "mechanism": "CappedLinks(links=50)",
        "guarantees": PRIVATE,
        "noisy": np.rint(rng.normal(60, 40, size=(80, 2))).astype(np.int64),
        "sigma": Fraction(41, 2),
        "noisy_rows": 812,
        "rows_sigma": Fraction(60),
        "public": {
            "classes": 2,
            "expected rows": None,
            "data version": "",
            "expected rank correlation with exact values": 0.9532,
            "the same for the validation set alone": 0.9013,
            "expected error of a value (median)": 0.00123,
        },
        "made": "2026-01-02T03:04:05Z",
        "number": 3,
        "rows": {
            "ids": np.array([f"SECRET-ROW-{i}" for i in range(n)]),
            "owners": np.array([f"SECRET-OWNER-{i % 7}" for i in range(n)]),
            **{name: np.full(n, 0.31415926) for name in ("values", "band", "vote", "proxy")},
            "reason": np.zeros(n, dtype=np.int8),
        },
    }
    return dw.Release(**{**parts, **changed})


def page_of(result: Any, tmp_path: Path, **options: Any) -> Path:
    return dw.write_report(result, tmp_path / "page.html", **options)


def undated(page: Path) -> str:
    return re.sub(r"Written on [^<]*", "", page.read_text(encoding="utf-8"))


# -- what the page is made of ----------------------------------------------------------------------


def test_nothing_but_noisy_counts_enters(tmp_path: Path) -> None:
    """Real releases of sets of other sizes, rows, labels and owners: with the same noise drawn, one page."""
    rng = np.random.default_rng(5)
    validation = dw.Points(rng.normal(size=(20, 3)), np.arange(20) % 2)
    method, spend = dw.ThresholdKNNShapley(radius=0.5), dw.Budget(1, 1e-4)
    plan = dw.plan_release(validation, method=method, spend=spend, mechanism=dw.CappedLinks(5))
    pages, manifests = [], []
    first = None
    for n, owners in ((40, 5), (41, 6), (97, 1)):
        x = rng.normal(size=(n, 3))
        x[0] = np.nan if n == 97 else x[0]
        names = [f"owner {i % owners} of {owners}" for i in range(n)]
        train = dw.Points(x, rng.integers(0, 2, n), ids=rng.permutation(n), owners=names, allow_missing=True)
        release = dw.release_points(
            train, validation, method=method, spend=spend, ledger=None, plan=plan, insecure_seed=n
        )
        first = first or release
        drawn = {"noisy": first.noisy, "noisy_rows": first.noisy_rows, "made": first.made, "guarantees": PRIVATE}
        release = replace(release, **drawn)  # type: ignore[arg-type]
        pages.append(undated(page_of(release, tmp_path)))
        manifests.append(json.dumps(release.manifest()))
    assert pages[0] == pages[1] == pages[2]
    assert manifests[0] == manifests[1] == manifests[2]


def test_the_counts_do_enter(tmp_path: Path) -> None:
    other = made().noisy.copy()
    other[0, 0] += 1
    assert undated(page_of(made(), tmp_path)) != undated(page_of(made(noisy=other), tmp_path))


def test_no_row_owner_or_value_is_on_it(tmp_path: Path) -> None:
    text = page_of(made(), tmp_path).read_text(encoding="utf-8")
    for secret in ("SECRET", "0.314", "SECRET-OWNER"):
        assert secret not in text


def test_what_is_promised_and_what_is_not(tmp_path: Path) -> None:
    text = words(parse(page_of(made(), tmp_path)))
    for sentence in made().words:
        assert sentence in text
    for said in (
        "Private release 3 of patients-2026",
        "For the operator.",
        "It holds nobody's values",
        "What the guarantee does not cover",
        "nothing computed from several owners' values (sums, means, ranks, payouts, numbers of rows) is covered",
        "One person under two owner names is not protected as one.",
        "noisy number of rows812",
        "expected rank correlation of the values with exact ones; 0.901 from the validation points alone0.953",
    ):
        assert said in text
    assert "NOT PRIVATE" not in text
    assert "Not for data owners" not in text


def test_a_card_never_promises_more_than_was_kept(tmp_path: Path) -> None:
    tree = parse(page_of(made(), tmp_path))
    cards = [words(card) for card in tree.findall(".//dl[@class='cards']//dd")]
    assert cards[:2] == ["1", "1.411"]  # 1.4100001 rounded up


def test_pictures_have_words_and_figures(tmp_path: Path) -> None:
    tree = parse(page_of(made(), tmp_path))
    charts = list(tree.iter("svg"))
    assert len(charts) == 2
    assert all(len(chart.attrib["aria-label"]) > 20 for chart in charts)
    assert {element.tag for element in tree.iter()} & {"script", "link", "iframe", "object", "form"} == set()
    band = 1.645 * 20.5
    above = [int((made().noisy[:, side] > band).sum()) for side in (0, 1)]
    text = words(tree)
    assert f"{above[0]} of 80 counts of neighbours with the point's own label, {above[1]} of neighbours" in text


@pytest.mark.parametrize(
    "noisy",
    [[[0, 0]], [[5, 5]] * 4, [[-3, -2], [-1, 0]], [[2**62, 1], [0, 0], [1, 2]], [[i, 3000 - i] for i in range(3000)]],
    ids=["one", "equal", "negative", "huge", "many"],
)
def test_any_counts_make_a_page(tmp_path: Path, noisy: Any) -> None:
    page = page_of(made(noisy=np.array(noisy, dtype=np.int64)), tmp_path)
    assert "nan" not in words(parse(page)).lower()
    assert page.stat().st_size < 300_000


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    page = page_of(made(population=EVIL, public={EVIL: EVIL, "data version": EVIL}), tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\u202a-\u202e\u2066-\u2069]", text)
    parse(page)


# -- the ledger beside it --------------------------------------------------------------------------


def test_the_ledger_is_drawn_in_the_release_s_own_section(tmp_path: Path) -> None:
    spent = dw.Table("ledger-budget", "Spent and left", {"release": ["release 3", "left"], "epsilon": [1.0, 2.0]})
    bars = dw.Exhibit("ledger-budget", "bars", spent, x="epsilon", y="release", alt="Bars of what was spent.")
    history = dw.Table("ledger", "Releases", {"number": [1, 2, 3], "epsilon": [0.5, 0.5, 1.0]})
    tree = parse(page_of([made(), bars, history], tmp_path))
    assert len(tree.findall(".//section[@class='result']")) == 1
    assert len(list(tree.iter("svg"))) == 3
    assert "Releases" in words(tree)


# -- stamps and mixtures ---------------------------------------------------------------------------


@pytest.mark.parametrize("guarantees", [(), tuple(replace(promise, private=False) for promise in PRIVATE)])
def test_an_exercise_is_stamped_large(tmp_path: Path, guarantees: Any) -> None:
    tree = parse(page_of(made(guarantees=guarantees), tmp_path))
    stamp = tree.find(".//div[@class='stamp']/strong")
    assert stamp is not None
    assert words(stamp) == "NOT PRIVATE"
    text = words(tree)
    assert "Joint differential privacy" not in text
    assert "For the operator." not in text
    assert "What the guarantee does not cover" not in text
    assert "epsilon at delta" not in text


def exact() -> dw.Values:
    return dw.Values(np.arange(30), np.linspace(-1, 1, 30), "ThresholdKNNShapley(radius=0.5)", 80, ["a", "b"] * 15)


def curve() -> dw.Exhibit:
    table = dw.Table("removal-curve", "Accuracy as rows go", {"share": [0.0, 0.5], "accuracy": [0.9, 0.8]})
    return dw.Exhibit("removal-curve", "curve", table, "share", "accuracy", alt="A falling line.")


@pytest.mark.parametrize(
    "beside",
    [
        exact,
        lambda: exact().by_owner(),
        lambda: exact().lowest(3),
        curve,
        lambda: dw.Links("ledger", "Nearest", np.array(["a"]), np.array([1]), np.array([0.5]), np.array([True])),
    ],
    ids=["values", "sums", "lowest", "curve", "links"],
)
@pytest.mark.parametrize("private", [True, False])
def test_exact_figures_beside_a_release_need_public_data(tmp_path: Path, beside: Any, private: bool) -> None:
    release = made() if private else made(guarantees=())
    for results in ([release, beside()], [beside(), release]):
        with pytest.raises(dw.InputError, match=r"do not go on one page.*--bench"):
            page_of(results, tmp_path)
        assert list(tmp_path.iterdir()) == []
    tree = parse(page_of([release, beside()], tmp_path, bench=True))
    stamp = tree.find(".//div[@class='stamp']")
    assert stamp is not None
    assert "declared public" in words(stamp)
    assert len(tree.findall(".//section[@class='result']")) == 2


def test_exact_values_alone_are_stamped_only_if_asked(tmp_path: Path) -> None:
    assert "NOT PRIVATE" not in words(parse(page_of(exact(), tmp_path)))
    assert "NOT PRIVATE" in words(parse(page_of(exact(), tmp_path, bench=True)))


@pytest.mark.chromium
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: the page is not opened in a browser")
@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_is_wider_than_the_screen(tmp_path: Path, width: int) -> None:
    page = page_of(made(population="x" * 200, guarantees=PRIVATE), tmp_path)
    sizes = measured(page, width, tmp_path)
    assert sizes["needed"] <= width
    assert sizes["charts"] == 2
    assert sizes["widest"] <= sizes["figure"] + 4
