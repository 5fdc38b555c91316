"""The page as a file: whole, closed to the outside, escaped, and honest about what it shows."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import dataworth as dw
from tests.report.conftest import EVIL, parse, points, valued, words


def simple(n: int = 30, **more: object) -> dw.Values:
    rng = np.random.default_rng(0)
    return dw.Values(np.arange(n), rng.normal(size=n), method="by hand", n_validation=4, **more)  # type: ignore[arg-type]


# -- one file, closed ------------------------------------------------------------------------------


def test_nothing_is_loaded_or_run(full_page: Path) -> None:
    tree = parse(full_page)
    tags = {element.tag for element in tree.iter()}
    assert not tags & {"script", "link", "iframe", "object", "embed", "form", "base", "audio", "video", "use", "image"}
    for element in tree.iter():
        for name, value in element.attrib.items():
            assert not name.lower().startswith("on"), f"{name} runs something"
            if name in ("src", "href", "srcset", "action", "data", "{http://www.w3.org/1999/xlink}href"):
                assert value.startswith(("#", "data:image/")), f"{name}={value[:40]!r} leads out of the page"
    text = full_page.read_text(encoding="utf-8")
    assert re.findall(r"https?:|url\(|@import|=\s*[\"']//", text) == []


def test_policy_forbids_everything_else(full_page: Path) -> None:
    policy = next(
        element.attrib["content"]
        for element in parse(full_page).iter("meta")
        if element.attrib.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_html_parser_sees_balanced_tags(full_page: Path) -> None:
    class Balance(HTMLParser):
        open: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "img", "br"):
                self.open.append(tag)

        def handle_startendtag(self, tag: str, attrs: object) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    reader = Balance()
    reader.feed(full_page.read_text(encoding="utf-8"))
    assert reader.open == []


def test_anchors_lead_somewhere_and_ids_are_unique(full_page: Path) -> None:
    tree = parse(full_page)
    ids = [element.attrib["id"] for element in tree.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids))
    assert {link.attrib["href"][1:] for link in tree.iter("a")} <= set(ids)


# -- words for every picture -----------------------------------------------------------------------


def test_every_picture_has_words_and_figures(full_page: Path) -> None:
    tree = parse(full_page)
    charts = list(tree.iter("svg"))
    assert len(charts) == 2 * 4 + 2  # distribution, two by class, owners; removal and detection once
    assert all(chart.attrib["role"] == "img" and len(chart.attrib["aria-label"]) > 20 for chart in charts)
    for drawn in tree.iter("figure"):
        assert drawn.find("h3") is not None
        assert drawn.find("figcaption") is not None
        assert drawn.find("svg") is not None
        assert drawn.find("details//table") is not None
    for scrolled in tree.iter("div"):
        if "scroll" in scrolled.attrib.get("class", "").split():
            assert scrolled.attrib["aria-label"]


def test_pictures_of_rows_have_words(tmp_path: Path) -> None:
    png = (
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU"
        b"\x00\x00\x00\nIDATx\x9cc`\x00\x00\x00\x02\x00\x01H\xaf\xa4q\x00\x00\x00\x00IEND\xaeB`\x82"
    )
    train = dw.Points(np.eye(12), ["a", "b"] * 6, items=[png] * 12)
    values = dw.Values(train.ids, np.arange(12.0), method="x", n_validation=12)
    seen = dw.gather_evidence(values, train, train, rows=2, neighbours=3, show_rows=True)
    shown = list(parse(dw.write_report(seen, tmp_path / "r.html")).iter("img"))
    assert len(shown) == 4 * (1 + 3)
    assert all(picture.attrib["alt"].startswith("Picture of ") for picture in shown)
    assert all(picture.attrib["src"].startswith("data:image/png;base64,") for picture in shown)


# -- escaping --------------------------------------------------------------------------------------


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    train, validation = points(60, "t", evil=True, items=True), points(20, "v", evil=True, items=True)
    values = valued(train, validation, show_rows=True, bad=np.arange(60) < 6)
    hostile = dw.Values(values.ids, values.values, EVIL, 3, values.owners, {EVIL: EVIL}, values.evidence)
    table = dw.Table(EVIL, EVIL, {EVIL: [EVIL, EVIL], "n": [1, 2]}, EVIL)
    bars = dw.Exhibit(EVIL, "bars", table, x="n", y=EVIL, alt=EVIL, caption=EVIL)
    lines = dw.Exhibit(EVIL, "curve", table, x="n", y="n", series=EVIL, alt=EVIL)
    page = dw.write_report([hostile, table, bars, lines], tmp_path / "r.html", title=EVIL)
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\u202a-\u202e\u2066-\u2069]", text)
    assert text.count("&lt;script&gt;") > 100
    tree = parse(page)
    assert words(tree.find(".//h1")).startswith("<script>alert('1')</script>\"&\ufffd")  # type: ignore[arg-type]
    assert not any(name.startswith("on") for element in tree.iter() for name in element.attrib)


def test_text_that_is_no_picture_is_never_a_picture(tmp_path: Path) -> None:
    sly = [
        "data:text/html,<b>x",
        'data:image/png;base64,AAAA" onerror="x',
        "data:image/svg+xml;base64,AAAA",
        "https://x",
    ]
    table = dw.Table("t", "T", {"id": [1, 2, 3, 4], "picture": sly})
    tree = parse(dw.write_report(dw.Exhibit("t", "rows", table, "id", "picture", alt="Rows."), tmp_path / "r.html"))
    assert list(tree.iter("img")) == []
    assert words(tree).count("data:image/") == 2


def test_pictures_of_a_bare_exhibit_are_shown(tmp_path: Path) -> None:
    table = dw.Table("t", "T", {"id": ["a"], "picture": ["data:image/png;base64,iVBORw0KGgo="]})
    tree = parse(dw.write_report(dw.Exhibit("t", "rows", table, "id", "picture", alt="Rows."), tmp_path / "r.html"))
    assert [picture.attrib["alt"] for picture in tree.iter("img")] == ["Picture of row a"]


# -- what is shown ---------------------------------------------------------------------------------


def test_row_content_is_there_only_when_asked(tmp_path: Path) -> None:
    train, validation = points(60, "t", items=True), points(20, "v", items=True)
    bare = dw.write_report(valued(train, validation, bad=np.arange(60) < 6), tmp_path / "bare.html")
    assert "SECRET" not in bare.read_text(encoding="utf-8")
    full = dw.write_report(valued(train, validation, show_rows=True), tmp_path / "full.html")
    assert "SECRET" in full.read_text(encoding="utf-8")


def test_lowest_and_highest_rows_with_their_neighbours(tmp_path: Path) -> None:
    train, validation = points(60, "t"), points(20, "v")
    values = valued(train, validation, rows=3, neighbours=4)
    lists = [
        table
        for table in parse(dw.write_report(values, tmp_path / "r.html")).iter("table")
        if "rows" in table.attrib.get("class", "")
    ]
    assert [table.attrib["aria-label"] for table in lists] == ["Lowest rows", "Highest rows"]
    for table, wanted in zip(lists, (values.lowest(3), values.highest(3)), strict=True):
        rows = table.findall("tbody/tr")
        assert [words(row.find("td/bdi")) for row in rows] == [str(i).strip() for i in wanted.columns["id"]]  # type: ignore[arg-type]
        links = next(
            piece
            for piece in values.evidence
            if piece.name == f"{table.attrib['aria-label'].split()[0].lower()}-neighbours"
        )
        assert isinstance(links, dw.Links)
        for row, row_id in zip(rows, wanted.columns["id"], strict=True):
            chips = [words(chip).split() for chip in row.iter("li")]
            expected = [
                [point.strip(), f"{gap:.3f}", "same" if same else "other"] for point, gap, same in links.of_row(row_id)
            ]
            assert chips == expected


def test_headline_figures(tmp_path: Path) -> None:
    values = dw.Values(range(8), [-0.5, -0.25, 0.0, 0.25, 0.25, 0.5, 1.0, 2.0], "KNNShapley(k=5)", 4)
    cards = [
        words(card) for card in parse(dw.write_report(values, tmp_path / "r.html")).findall(".//dl[@class='cards']/div")
    ]
    assert cards == [
        "rows valued, judged by 4 validation points8",
        "rows below zero (25.0%)2",
        "sum of all values3.250",
        "of the rows hold half of all positive value12.5%",
    ]


@pytest.mark.parametrize(
    ("method", "summed"),
    [
        ("DataShapley(x, fits=9)", True),
        ("ThresholdKNNShapley(radius=0.2, semivalue='shapley', metric='cosine')", True),
        ("ThresholdKNNShapley(radius=0.2, semivalue='banzhaf', metric='cosine')", False),
        ("ThresholdKNNShapley(radius=0.2, semivalue=Beta(4, 1), metric='cosine')", False),
        ("LeaveOneOut(x)", False),
        ("DataBanzhaf(x)", False),
        ("BetaShapley(x)", False),
        ("by hand", False),
    ],
)
def test_only_sums_of_shapley_values_are_shown(tmp_path: Path, method: str, summed: bool) -> None:
    values = dw.Values(range(8), np.linspace(-1, 2, 8), method, 4)
    assert ("sum of all values" in words(parse(dw.write_report(values, tmp_path / "r.html")))) == summed


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([1.0, 2.0, 3.0, 4.0], "Half of the rows have a value below 2.500."),
        ([1.0, 2.0, 2.0, 2.0, 4.0, 5.0], "1 row has a value below 2.000, 2 above; the 3 in between have this very"),
        ([0.0] * 6 + [-1.0] + [1.0] * 3, "6 of 10 rows are worth exactly zero, and the picture leaves them out; 1 is"),
        ([-1e-6, 1e-7, 3e-7, *np.linspace(-1, -0.5, 40), *np.linspace(0.5, 1, 40)], "a value below 0.000000100."),
    ],
    ids=["no ties", "ties", "zeros", "next to zero"],
)
def test_the_middle_of_the_values_is_counted(tmp_path: Path, numbers: list[float], said: str) -> None:
    values = dw.Values(range(len(numbers)), numbers, "by hand", 4)
    assert said in words(parse(dw.write_report(values, tmp_path / "r.html")))


def test_zeros_that_are_not_drawn_are_said_in_the_picture(tmp_path: Path) -> None:
    values = dw.Values(range(60), [0.0] * 40 + list(np.linspace(-1, 1, 20)), "LeaveOneOut(x)", 4)
    page = parse(dw.write_report(values, tmp_path / "r.html"))
    figure = next(one for one in page.iter("figure"))
    assert "How the values that are not zero are distributed" in words(figure)
    assert "value; 40 rows at exactly zero are not drawn" in words(figure)
    assert "Half of" not in words(figure)


def test_what_is_not_on_the_page_is_not_explained(tmp_path: Path) -> None:
    bare = words(parse(dw.write_report(simple(), tmp_path / "r.html")))
    assert "labels that agree" not in bare
    assert "figures by class" not in bare.lower()
    assert "A curve drawn over" not in bare
    seen = words(parse(dw.write_report(valued(points(60, "t"), points(20, "v")), tmp_path / "r.html")))
    assert "Distances, labels that agree and figures by class say more" in seen
    assert "Nearest first, by cosine distance; the mark says" in seen
    assert "A curve drawn over" not in seen


def test_curves_are_explained(full_page: Path) -> None:
    assert "A curve drawn over" in words(parse(full_page))


def test_what_the_numbers_do_not_mean_is_said(tmp_path: Path) -> None:
    text = words(parse(dw.write_report(simple(), tmp_path / "r.html")))
    for said in (
        "Not for data owners",
        "Do not hand exact values, or this report, to data owners",
        "A low value is a lead, not proof",
        "It is not a price",
        "It depends on who judges",
        "It depends on the method",
        "Below zero",
        "Duplicates share",
    ):
        assert said in text
    assert "not the owner's own Shapley value" not in text
    owned = words(parse(dw.write_report(simple(owners=["a", "b"] * 15), tmp_path / "r.html")))
    assert "not the owner's own Shapley value" in owned


def test_a_table_alone_has_no_words_on_values(tmp_path: Path) -> None:
    table = dw.Table("t", "Ours and theirs", {"set": ["a", "b"], "auroc": [0.5, None], "n": [2008, 7]}, "A note.")
    tree = parse(dw.write_report(table, tmp_path / "r.html"))
    text = words(tree)
    assert "data owners" not in text
    assert words(tree.find(".//h1")) == "Ours and theirs"  # type: ignore[arg-type]
    assert [[words(cell) for cell in row] for row in tree.findall(".//tbody/tr")] == [
        ["a", "0.500", "2008"],
        ["b", "\N{EN DASH}", "7"],
    ]
    assert "A note." in text


def test_several_results_have_contents(full_page: Path) -> None:
    tree = parse(full_page)
    assert [words(link) for link in tree.findall(".//nav//a")] == [
        "Values by KNNShapley",
        "Published and ours",
        "Values by KNNShapley",
    ]
    assert len(tree.findall(".//section[@class='result']")) == 3


def test_saved_values_give_the_same_page(tmp_path: Path) -> None:
    values = valued(points(60, "t"), points(20, "v"), bad=np.arange(60) < 6, show_rows=True)
    pages = [
        dw.write_report(each, tmp_path / "r.html").read_text(encoding="utf-8")
        for each in (values, dw.Values.load(values.save(tmp_path / "v.parquet")))
    ]
    undated = [re.sub(r"Written on [^<]*", "", page) for page in pages]
    assert undated[0] == undated[1]


# -- odd sizes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "numbers",
    [
        [0.5],
        [0.0],
        [0.25] * 50,
        [0.0] * 50,
        [0.1 + 1e-17 * i for i in range(50)],
        [0.0] * 45 + [1.0, -2.0, 3.0, 0.5, 0.25],
        [1e-300 * i for i in range(-20, 20)],
        [1e300 * i for i in range(-20, 20)],
        [-1.0, -1.0, -1.0, -2.0],
        [*range(1000), 10**9],
    ],
    ids=["one", "zero", "equal", "zeros", "nearly equal", "mostly zero", "tiny", "huge", "negative", "far off"],
)
def test_any_values_make_a_page(tmp_path: Path, numbers: list[float]) -> None:
    values = dw.Values(range(len(numbers)), numbers, "by hand", 1)
    text = words(parse(dw.write_report(values, tmp_path / "r.html")))
    assert "nan" not in text.lower()
    assert f"{len(numbers):,}" in text


def test_many_classes_and_owners_stay_readable(tmp_path: Path) -> None:
    n = 3000
    points_ = dw.Points(np.random.default_rng(0).normal(size=(n, 2)), [f"c{i % 50}" for i in range(n)])
    values = dw.Values(points_.ids, np.random.default_rng(1).normal(size=n), "x", n, [f"o{i % 300}" for i in range(n)])
    page = dw.write_report(dw.gather_evidence(values, points_, points_, rows=1), tmp_path / "r.html")
    text = words(parse(page))
    assert "The picture shows the first and the last 15 of 50." in text
    assert "The picture shows the first and the last 15 of 300." in text
    assert "The first and the last 100 of 300 rows." in text


def test_a_million_rows_make_a_small_page(tmp_path: Path) -> None:
    n = 1_000_000
    rng = np.random.default_rng(0)
    values = dw.Values(np.arange(n), rng.standard_t(2, n) * 1e-5, "KNNShapley(k=5)", 1000, rng.integers(0, 50, n))
    page = dw.write_report(values, tmp_path / "r.html")
    assert page.stat().st_size < 150_000
    assert "1,000,000" in words(parse(page))


# -- the door and the disk -------------------------------------------------------------------------


def test_nothing_to_show_is_refused(tmp_path: Path) -> None:
    with pytest.raises(dw.InputError, match="at least one"):
        dw.write_report([], tmp_path / "r.html")
    with pytest.raises(dw.InputError, match="not ndarray, str"):
        dw.write_report([simple(), "text", np.zeros(3)], tmp_path / "r.html")  # type: ignore[list-item]
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = dw.write_report(simple(), tmp_path / "r.html")
    before = path.read_bytes()

    def half(self: Path, text: str, encoding: str) -> int:
        self.write_bytes(text.encode(encoding)[:100])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OSError, match="disk full"):
        dw.write_report(simple(9), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_replacement_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: object, target: object) -> None:
        raise PermissionError("no")

    monkeypatch.setattr("dataworth.report.page.os.replace", fail)
    with pytest.raises(PermissionError):
        dw.write_report(simple(), tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lacking", ["jinja2", "altair", "vl_convert"])
def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
    monkeypatch.setitem(sys.modules, lacking, None)
    with pytest.raises(dw.MissingExtra, match=r"pip install 'dataworth\[report\]'"):
        dw.write_report(simple(), tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []
