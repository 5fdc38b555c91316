"""The page of values by likeness: its figures are those of the records, its pictures are beside what they earned."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import dataworth as dw
from tests.report.conftest import EVIL, credited, parse, points, things, valued, words
from tests.report.test_chromium import CHROMIUM, measured

TRAIN, MADE = things(120, "t", seed=0), things(40, "g", seed=1)


def page(values: object, folder: Path, **more: object) -> ElementTree.Element:
    return parse(dw.write_report(values, folder / "r.html", **more))  # type: ignore[arg-type]


def cards(tree: ElementTree.Element) -> list[str]:
    """The headline figures, label first."""
    return [words(card) for card in tree.findall(".//dl[@class='cards']")[0]]


def lists(tree: ElementTree.Element) -> dict[str, list[ElementTree.Element]]:
    return {
        table.attrib["aria-label"]: table.findall("tbody/tr")
        for table in tree.iter("table")
        if "rows" in table.attrib.get("class", "").split()
    }


# -- figures ---------------------------------------------------------------------------------------


def test_headline_figures(tmp_path: Path) -> None:
    share = [[0.75, 0.25], [1.0, 0.0], [2.0, 0.0]]
    at = [[0, 1], [0, -1], [1, -1]]
    distance = [[0.1, 0.2], [0.3, np.inf], [0.1, np.inf]]
    credit = dw.Attributions(list("abcd"), ["x", "y", "z"], at, distance, share)
    values = dw.Values(list("abcd"), [1.75, 2.25, 0.0, 0.0], "SimilarityMatch(k=2)", 3, attributions=credit)
    tree = page(values, tmp_path)
    assert cards(tree) == [
        "training items valued4",
        "generated items, each divided among at most 23",
        "of the training items earn nothing50.0%",
        "of all credit goes to the top 1% (1 item)56.2%",
    ]
    text = words(tree)
    assert "The worth of 3 generated items, 4 in all, is divided among 4 training items by likeness." in text
    assert "2 of them earn nothing" in text
    assert words(tree.find(".//h1")) == "What each training item earned"  # type: ignore[arg-type]
    assert "validation" not in text


def test_without_matches_gathered_there_are_names_and_values(tmp_path: Path) -> None:
    values = dw.value_generated(MADE, TRAIN, threads=1, progress=False)
    tree = page(values, tmp_path)
    found = lists(tree)
    assert list(found) == ["Highest training items", "Lowest training items"]
    highest = [words(row.find("td/bdi")) for row in found["Highest training items"]]  # type: ignore[arg-type]
    assert highest == [str(i).strip() for i in values.highest(10).columns["id"]]
    assert not list(tree.iter("img"))
    assert "How near the nearest training item is" in words(tree)


def test_items_stand_beside_what_they_are_matched_with(tmp_path: Path) -> None:
    values = credited(TRAIN, MADE, shown=4)
    assert values.attributions is not None
    found = lists(page(values, tmp_path))
    assert list(found)[:4] == [
        "Highest training items",
        "Lowest training items",
        "Generated items and who earned them",
        "Generated items earned by few",
    ]
    for row, name in zip(found["Highest training items"], values.highest(4).columns["id"], strict=True):
        assert words(row.find("td/bdi")) == str(name).strip()  # type: ignore[arg-type]
        wanted = values.attributions.of_item(name).rows()[:6]
        assert [words(chip).split()[0] for chip in row.iter("li")] == [str(made).strip() for made, _, _ in wanted]
        assert [words(chip).split()[1] for chip in row.iter("li")] == [f"{share:.1%}" for _, _, share in wanted]
        widths = [part.attrib["style"] for part in row.iter("span") if part.attrib.get("class") == "part"]
        assert widths == [f"width: {100 * float(share):.1f}%" for _, _, share in wanted]  # type: ignore[arg-type]
    for row, j in zip(found["Generated items and who earned them"], range(2), strict=True):
        wanted = values.attributions.of_generated(MADE.ids[j]).rows()
        assert [words(chip).split()[0] for chip in row.iter("li")] == [str(entry[0]).strip() for entry in wanted]


def test_what_nothing_matches_is_said_to_be_so(tmp_path: Path) -> None:
    found = lists(page(credited(TRAIN, MADE, k=1), tmp_path))
    for row in found["Lowest training items"]:
        text = words(row)
        assert "Not matched with anything. Nearest, earned by others:" in text
        assert "%" not in text
        assert not [part for part in row.iter("span") if part.attrib.get("class") == "part"]
        assert len(list(row.iter("li"))) == 3
    assert all("Not matched" not in words(row) for row in found["Highest training items"])


def test_pictures_stand_in_every_row(credit_page: Path) -> None:
    tree = parse(credit_page)
    for rows in lists(tree).values():
        for row in rows:
            shown = list(row.iter("img"))
            assert len(shown) == 1 + len(list(row.iter("li")))
            assert all(picture.attrib["src"].startswith("data:image/png;base64,") for picture in shown)
            assert all(re.fullmatch(r"Picture of [tg]\d+ ", picture.attrib["alt"]) for picture in shown)
    assert credit_page.stat().st_size < 2_000_000


def test_ids_that_both_sides_have_are_not_mixed_up(tmp_path: Path) -> None:
    train = dw.Items(TRAIN.x, texts=[f"TRAIN {i}" for i in range(120)])
    made = dw.Items(MADE.x, texts=[f"MADE {i}" for i in range(40)])
    found = lists(page(credited(train, made, show_rows=True), tmp_path))
    for heading, rows in found.items():
        own, other = ("TRAIN", "MADE") if "raining items" in heading else ("MADE", "TRAIN")
        for row in rows:
            name = words(row.find("td/bdi"))  # type: ignore[arg-type]
            assert f"{own} {name}" in words(row.find("td"))  # type: ignore[arg-type]
            for chip in row.iter("li"):
                assert f"{other} {words(chip).split()[0]}" in words(chip)


def test_owners_have_bars_of_their_share(tmp_path: Path) -> None:
    values = credited(TRAIN, MADE)
    tree = page(values, tmp_path)
    (figure,) = [one for one in tree.iter("figure") if words(one.find("h3")) == "Share of credit by owner"]  # type: ignore[arg-type]
    assert "Exact: each generated item's worth is divided" in words(figure)
    rows = [[words(cell) for cell in row] for row in figure.findall("details//tbody/tr")]
    for row, (owner, count, _, share, _) in zip(rows, values.by_owner().rows(), strict=True):
        assert row[0] == str(owner).strip()
        assert row[1] == str(count)
        assert row[3] == f"{share:.3f}"
    assert "does grow with the number of items" in words(tree)
    alone = credited(dw.Items(TRAIN.x), MADE)
    assert "by owner" not in words(page(alone, tmp_path))


def test_tests_and_checks_are_on_the_page(credit_page: Path) -> None:
    text = words(parse(credit_page))
    for said in (
        "Did items the model was trained on earn more than items held out?",
        "Null hypothesis",
        "Are generated items nearer to what the model was trained on?",
        "Are generated items matched with their own class?",
        "How evenly credit is spread",
        "How much the number of matches matters",
        "How much the temperature matters",
        "Map of training and generated items",
        "is not a measurement",
        "Generated items closest to a training item",
        "How far the nearest training item is",
        "Mean value by class",
        "What the index found",
        "Other settings, other values",
    ):
        assert said in text, said
    assert "How near the nearest training item is" not in text  # the lines beside training items say more


def test_what_credit_does_not_mean_is_said(tmp_path: Path) -> None:
    tree = page(credited(TRAIN, MADE), tmp_path)
    text = words(tree)
    for said in (
        "Likeness is not causation",
        "An item that the model never saw earns as much",
        "has to be tested",
        "on the embedding or metric, on the number of matches and on the temperature",
        "Look-alikes share",
        "It is no legal finding",
        "It is not a price",
        "Who may see it",
        "Do not hand this report to owners of single items",
        "Not for everyone",
    ):
        assert said in text, said
    for other in ("A low value is a lead", "validation points", "Exact values reveal"):
        assert other not in text
    anchors = {element.attrib["id"] for element in tree.iter() if "id" in element.attrib}
    assert {link.attrib["href"][1:] for link in tree.iter("a")} <= anchors


def test_both_kinds_of_values_have_their_own_words(tmp_path: Path) -> None:
    tree = page([credited(TRAIN, MADE), valued(points(30, "t"), points(10, "v"))], tmp_path)
    text = words(tree)
    for said in ("Not for everyone", "Not for data owners", "Likeness is not causation", "A low value is a lead"):
        assert said in text
    ours, theirs = (words(tree.find(f".//section[@id='{name}']")) for name in ("meaning-of-credit", "meaning"))  # type: ignore[arg-type]
    assert "An owner's share is exact" in ours
    assert "not the owner's own Shapley value" in theirs
    ids = [element.attrib["id"] for element in tree.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids))


def test_pairs_alone_are_a_table(tmp_path: Path) -> None:
    values = credited(TRAIN, MADE)
    (pairs,) = [piece for piece in values.evidence if piece.name == "highest-items"]
    text = words(page([pairs, dw.Table("t", "T", {"a": [1]})], tmp_path))
    assert "Highest training items" in text
    assert "matched" in text


def test_one_row_with_long_words_is_a_table_not_figures(tmp_path: Path) -> None:
    long, short = (dw.Table("t", "T", {"index": [name], "recall": [0.98]}) for name in ("HNSW(" + "x" * 60, "HNSW"))
    assert page(long, tmp_path).find(".//dl[@class='cards']") is None
    assert words(page(long, tmp_path).find(".//tbody")) == f"HNSW({'x' * 60}0.980"  # type: ignore[arg-type]
    assert cards(page(short, tmp_path)) == ["indexHNSW", "recall0.980"]


# -- privacy, escaping, saving ---------------------------------------------------------------------


def test_content_is_shown_only_when_asked_for(tmp_path: Path) -> None:
    bare = dw.write_report(credited(TRAIN, MADE, whole=True, trained=np.arange(120) < 60), tmp_path / "bare.html")
    assert "SECRET" not in bare.read_text(encoding="utf-8")
    full = dw.write_report(credited(TRAIN, MADE, show_rows=True), tmp_path / "full.html")
    assert "SECRET" in full.read_text(encoding="utf-8")


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    train, made = things(60, "t", seed=0, evil=True), things(20, "g", seed=1, evil=True)
    values = credited(train, made, whole=True, show_rows=True, groups=[f"group {i % 3} {EVIL}" for i in range(60)])
    hostile = dw.Values(
        values.ids, values.values, EVIL, 20, values.owners, {EVIL: EVIL}, values.evidence, values.attributions
    )
    path = dw.write_report([hostile, values], tmp_path / "r.html", title=EVIL)
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\u202a-\u202e\u2066-\u2069]", text)
    assert text.count("&lt;script&gt;") > 100
    tree = parse(path)
    assert not any(name.startswith("on") for element in tree.iter() for name in element.attrib)
    styles = {element.attrib["style"] for element in tree.iter() if "style" in element.attrib}
    assert any(style.startswith("width: ") for style in styles)
    assert not any("alert" in style for style in styles)


def test_shares_of_a_file_made_by_others_draw_no_wider_than_the_bar(tmp_path: Path) -> None:
    """Evidence comes from files too: a share may be anything a cell can be."""
    credit = dw.Attributions(["a"], ["x"], [[0]], [[0.1]], [[1.0]])
    for share in (1e9, -5.0, float("nan"), float("inf"), "1%; background: red", None, True):
        table = dw.Table("p", "P", {"training item": ["a"], "generated item": ["x"], "share": [share]})
        pairs = dw.Exhibit("highest-items", "pairs", table, x="training item", y="generated item", alt="Words.")
        values = dw.Values(["a"], [1.0], "by hand", 1, evidence=[pairs], attributions=credit)
        tree = page(values, tmp_path)
        (part,) = [one for one in tree.iter("span") if one.attrib.get("class") == "part"]
        found = re.fullmatch(r"width: (\d+\.\d)%", part.attrib["style"])
        assert found is not None
        assert 0 <= float(found[1]) <= 100


def test_saved_values_give_the_same_page(tmp_path: Path) -> None:
    values = credited(TRAIN, MADE, show_rows=True, trained=np.arange(120) < 60, quality=np.arange(40.0))
    pages = [
        dw.write_report(each, tmp_path / "r.html").read_text(encoding="utf-8")
        for each in (values, dw.Values.load(values.save(tmp_path / "v.parquet")))
    ]
    undated = [re.sub(r"Written on [^<]*", "", text) for text in pages]
    assert undated[0] == undated[1]


def test_credit_does_not_stand_beside_a_private_release(tmp_path: Path) -> None:
    from tests.report.test_release import made

    values = credited(TRAIN, MADE)
    with pytest.raises(dw.InputError, match="exact values"):
        dw.write_report([made(), values], tmp_path / "r.html")


# -- odd sizes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m", "k"), [(1, 1, 1), (2, 1, 2), (3, 50, 1), (60, 1, 6)])
@pytest.mark.parametrize("kind", ["vectors", "images"])
def test_any_size_makes_a_page(tmp_path: Path, n: int, m: int, k: int, kind: str) -> None:
    values = credited(things(n, "t", seed=0, kind=kind), things(m, "g", seed=1, kind=kind), k=k, show_rows=True)
    text = words(page(values, tmp_path))
    assert "nan" not in text.lower().split()
    assert f"{n:,}" in text


def test_nothing_earned_makes_a_page(tmp_path: Path) -> None:
    text = words(page(credited(TRAIN, MADE, quality=np.zeros(40), show_rows=True), tmp_path))
    assert "120 of them earn nothing" in text
    assert "Share of credit by owner" not in text


def test_generated_items_without_a_match_make_a_page(tmp_path: Path) -> None:
    credit = dw.Attributions(["a", "b"], ["x"], [[-1]], [[np.inf]], [[0.0]])
    values = dw.Values(["a", "b"], [0.0, 0.0], "by hand", 1, attributions=credit)
    assert "No generated item is matched with anything." in words(page(values, tmp_path))
    train, made = dw.Items([[0.0], [1.0]], ids=["a", "b"]), dw.Items([[0.0]], ids=["x"])
    seen = dw.gather_matches(values, train, made, temperature=1.0)
    assert "Not matched with anything." in words(page(seen, tmp_path))


def test_large_sets_make_a_small_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n, m, k = 100_000, 20_000, 5
    at = rng.integers(0, n, size=(m, k))
    distance = np.sort(rng.random((m, k)), axis=1)
    credit = dw.Attributions(np.arange(n), np.arange(m), at, distance, np.full((m, k), 0.2))
    v = np.bincount(at.ravel(), minlength=n) * 0.2
    values = dw.Values(np.arange(n), v, "by hand", m, rng.integers(0, 40, n), attributions=credit)
    bare = dw.Items(rng.random((n, 2))), dw.Items(rng.random((m, 2)))
    seen = dw.gather_matches(values, *bare, sensitivity=False, map=False, threads=1)
    assert dw.write_report(seen, tmp_path / "r.html").stat().st_size < 400_000


# -- in a browser ----------------------------------------------------------------------------------


@pytest.mark.chromium
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: the page is not opened in a browser")
@pytest.mark.parametrize("width", [375, 768, 1280])
def test_nothing_is_wider_than_the_screen(credit_page: Path, tmp_path: Path, width: int) -> None:
    sizes = measured(credit_page, width, tmp_path)
    assert sizes["needed"] <= width
    assert sizes["height"] > 2000
    assert sizes["charts"] == 7
    assert sizes["narrowest"] > 300
    assert sizes["widest"] <= sizes["figure"] + 4


@pytest.mark.chromium
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: the page is not opened in a browser")
@pytest.mark.parametrize("kind", ["texts", "vectors"])
def test_long_names_and_texts_do_not_widen_a_phone(tmp_path: Path, kind: str) -> None:
    long = "x" * 300
    rng = np.random.default_rng(0)
    texts = {"texts": [long * 2] * 30} if kind == "texts" else {}
    train, made = (
        dw.Items(rng.normal(size=(30, 3)), ids=[f"{long}{i}" for i in range(30)], labels=[long] * 30, **texts)
        for _ in range(2)
    )
    written = dw.write_report(credited(train, made, show_rows=True), tmp_path / "r.html", title=long)
    assert measured(written, 375, tmp_path)["needed"] <= 375
