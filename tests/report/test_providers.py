"""The page of shares of providers: flags first, figures of the record, and every word of what is promised."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import dataworth as dw
from dataworth.errors import InputError
from dataworth.report.charts import SPLITS_SHOWN
from tests.made_shares import INSECURE, PROMISE, made
from tests.records.test_release import made as released
from tests.report.conftest import EVIL, parse, words
from tests.report.test_chromium import CHROMIUM, measured

OWNER = dw.Guarantee(dw.Budget("0.5", "1e-7"), dw.Owner(5), "add_or_remove", joint=False)


def page(shares: object, folder: Path, **more: Any) -> ElementTree.Element:
    return parse(dw.write_report(shares, folder / "r.html", **more))  # type: ignore[arg-type]


def grid(tree: ElementTree.Element, title: str) -> list[list[str]]:
    for region in tree.iter("div"):
        if region.attrib.get("aria-label") == title:
            return [[words(cell) for cell in row] for row in region.iter("tr")]
    raise AssertionError(f"no table {title!r}")


def sampled(count: int, *, evil: str = "") -> dw.Shares:
    rng = np.random.default_rng(0)
    names = tuple(f"p{i}{evil}" for i in range(count))
    members = rng.random((60, count)) < 0.5
    tried = dw.Coalitions(
        names, members, rng.random((60, 1)), 0.1, 0.9, rng.random(count), rng.random(count), np.full(count, np.nan),
        False, f"by hand{evil}",
    )  # fmt: skip
    values = rng.random(count)
    flags, evidence = (f"Beware {evil}.",), (dw.Table("t", f"Packages {evil}", {"a": [evil, "b"]}),)
    return dw.Shares(
        names, values, np.full(count, np.nan), tried.values, float(values.sum()), values, values, f"mix{evil}", tried,
        (PROMISE,) * count, flags, {"note": evil}, evidence,
    )  # fmt: skip


def test_figures_are_those_of_the_record(tmp_path: Path) -> None:
    shares = made((0.1, 0.3, 0.2), (0.3, 0.5, 0.4), repeats=3, noise=0.01)
    tree = page(shares, tmp_path)
    assert words(tree.find(".//h1")) == "What each data provider is worth"  # type: ignore[arg-type]
    head, *rows = grid(tree, "Values and shares")
    assert head[:4] == ["provider", "value", "standard error", "share"]
    order = np.argsort(-shares.values)
    assert [row[0] for row in rows] == [shares.providers[i] for i in order]
    for row, i in zip(rows, order, strict=True):
        found = [float(cell.replace("\N{MINUS SIGN}", "-")) for cell in (row[1], row[2], row[4], row[5])]
        wanted = [shares.values[i], shares.errors[i], shares.uncalibrated[i], shares.uniform[i]]
        np.testing.assert_allclose(found, wanted, atol=5e-4)
        assert row[3] == f"{shares.shares[i]:.1%}"
        assert row[6:] == ["4", "1e-5"]
    weights = grid(tree, "What each weight is made of")
    assert weights[0] == ["provider", "s: synthetic game", "f: fidelity", "u: utility", "w: weight"]
    assert [row[0] for row in weights[1:]] == [row[0] for row in rows]
    np.testing.assert_allclose([float(row[4]) for row in weights[1:]], shares.shares[order], atol=5e-4)


def test_flags_come_before_any_figure(tmp_path: Path) -> None:
    shares = made((0.3, -0.1, 0.2), (0.5, np.nan, 0.3), flags=("Said elsewhere.",))
    text = words(page(shares, tmp_path))
    at = [text.index(flag) for flag in shares.flags]
    assert at == sorted(at)
    assert max(at) < text.index("Values and shares")
    assert max(at) < text.index("of utility divided")
    assert "NOT PRIVATE" not in text.replace("unless the page is stamped NOT PRIVATE", "")


def test_every_word_of_what_is_promised(tmp_path: Path) -> None:
    shares = made(spent=[PROMISE, OWNER, None], empty=("clinic 2",))
    text = words(page(shares, tmp_path))
    assert "clinic 0: Differential privacy, one row added or removed: epsilon = 4, delta = 1e-5." in text
    assert "clinic 1: Differential privacy, one owner of at most 5 rows added or removed: epsilon = 0.5" in text
    assert "clinic 2: Declared empty" in text
    assert "epsilon spent by each provider, as declared0.5 to 4" in text
    assert text.index("Taken as public: the validation points") < text.index("Values and shares")
    assert "whoever may see those may see this page" in text
    assert "One declares itself empty and gets nothing." in text


def test_a_page_of_what_nothing_protects_is_stamped(tmp_path: Path) -> None:
    for spent in (None, [PROMISE, INSECURE, PROMISE]):
        tree = page(made(spent=spent), tmp_path)
        (stamp,) = (one for one in tree.iter("div") if one.attrib.get("class") == "stamp")
        assert words(stamp).startswith("NOT PRIVATENothing is known to protect")
        assert "epsilon spent by each provider" not in words(tree)
        assert "show this page to those alone who may see all of the data" in words(tree)
        assert "whoever may see those may see this page" not in words(tree)


def test_pictures_have_words_and_error_lines(tmp_path: Path) -> None:
    quiet, noisy = made(fidelity_errors=np.zeros(3)), made(repeats=3, noise=0.02)
    texts = {}
    for name, shares in (("quiet", quiet), ("noisy", noisy)):
        path = dw.write_report(shares, tmp_path / f"{name}.html")
        tree = parse(path)
        charts = [svg for svg in tree.iter("svg") if svg.attrib.get("class") == "chart"]
        assert [svg.attrib["aria-label"].split(",")[0] for svg in charts] == [
            "Three bars for each of 3 providers",
            "Lines of the mean",
        ]
        texts[name] = words(tree)
    assert "Thin lines are one standard error" in texts["noisy"]
    assert "No standard errors are shown" in texts["quiet"]
    assert all("synthetic copies" in text for text in texts.values())


def test_coalitions_by_size(tmp_path: Path) -> None:
    tree = page(made((0.3, 0.2, 0.1)), tmp_path)
    rows = grid(tree, "What coalitions are worth by their size: the figures")
    assert rows[0] == ["providers", "mean", "highest", "lowest"]
    assert rows[2] == ["1", "0.300", "0.400", "0.200"]
    assert rows[4] == ["3", "0.700", "0.700", "0.700"]


def test_many_providers_of_whom_the_ends_are_drawn(tmp_path: Path) -> None:
    tree = page(sampled(SPLITS_SHOWN + 5), tmp_path)
    assert f"The picture shows the 10 highest and the 10 lowest of {SPLITS_SHOWN + 5} providers." in words(tree)
    assert len(grid(tree, "Values and shares")) == 1 + SPLITS_SHOWN + 5
    assert "60 (sampled), 1 model each" in words(tree)


def test_names_from_strangers_do_no_harm(tmp_path: Path) -> None:
    path = dw.write_report(sampled(3, evil=EVIL), tmp_path / "r.html")
    tree = parse(path)
    assert not list(tree.iter("script"))
    text = path.read_text(encoding="utf-8")
    assert not re.search("[\x00\x1b\u202e]", text)
    assert "alert('1')" in words(tree)


def test_synthetic_pictures_are_shown(tmp_path: Path) -> None:
    picture = "data:image/png;base64,iVBORw0KGgo="
    sheet = dw.Table("samples-1", "clinic 0: synthetic rows", {"class": ["0"], "rows": [picture]})
    exhibit = dw.Exhibit("samples-1", "sheet", sheet, x="class", y="rows", alt="Synthetic rows.")
    tree = page(made(evidence=[exhibit]), tmp_path)
    assert [image.attrib["src"] for image in tree.iter("img")] == [picture]
    assert "clinic 0: synthetic rows" in words(tree)


def test_beside_other_results(tmp_path: Path) -> None:
    values = dw.Values(["a"], [1.0], method="by hand", n_validation=1)
    assert words(page([made(), values], tmp_path).find(".//h1")) == "What the data is worth"  # type: ignore[arg-type]
    page([released(), made()], tmp_path)
    with pytest.raises(InputError, match="a private release and shares that are not private do not go on one page"):
        page([released(), made(spent=None)], tmp_path)
    assert "exact figures beside a release" in words(page([released(), made(spent=None)], tmp_path, bench=True))


def test_how_copies_were_made_is_told_in_full_and_digests_in_short(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {
        "provider": ["clinic 0", "clinic 1", "clinic 2"], "synthetic rows": [10, 20, 30],
        "made by": ["Evolution(rounds=4)", "Evolution(rounds=4)", "Marginals"], "digest": [f"{i}" * 64 for i in "abc"],
    }  # fmt: skip
    tree = page(made(evidence=[dw.Table("provider-packages", "Handed over", columns)]), tmp_path)
    assert grid(tree, "Handed over") == [
        ["provider", "synthetic rows", "digest"],
        *([f"clinic {i}", f"{10 * (i + 1)}", letter * 12] for i, letter in enumerate("abc")),
    ]
    text = words(tree)
    assert "Synthetic rows of clinic 0, clinic 1 were made by Evolution(rounds=4)." in text
    assert "Synthetic rows of clinic 2 were made by Marginals." in text


@pytest.mark.chromium
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: the page is not opened in a browser")
@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_is_wider_than_the_screen(tmp_path: Path, width: int) -> None:
    names = ["A very long name of a university hospital in the south", "x" * 200, "c"]
    sizes = measured(dw.write_report(made(names=names), tmp_path / "r.html"), width, tmp_path)
    assert sizes["needed"] <= sizes["seen"] == width
    assert sizes["charts"] == 2
    assert sizes["narrowest"] > 300
