from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks import page
from benchmarks.measure import Finding, Section

SECTION = Section(
    "speed",
    "How fast",
    "What it says.",
    [
        Finding.of("held", [1.0, 2.0, 3.0], goal=2.5, group="first"),
        Finding.of("missed", [1.0, 2.0, 3.0], sign=">=", goal=50.0, group="first", note="why"),
        Finding.of("told", [0.125], unit="s", group="second"),
    ],
    picture="curve.svg",
    machine={"processor": "one"},
)


def test_the_page_says_what_was_measured_and_which_goals_were_missed() -> None:
    text = page.render([SECTION], pictures="benchmarks")
    assert "Goals met: 1 of 2." in text
    assert "| held | 2 times | 1 to 3 | <= 2.5 | yes |  |" in text
    assert "| missed | 2 times | 1 to 3 | >= 50 | **no** | why |" in text
    assert "| told | 0.125 s |  |  |  |  |" in text
    assert text.index("**first**") < text.index("| missed") < text.index("**second**")
    assert "](benchmarks/curve.svg)" in text
    assert "- processor: one" in text


def test_a_picture_is_told_in_words() -> None:
    text = page.render([SECTION, replace(SECTION, alt="A curve.")], pictures="benchmarks")
    assert "![held, first: 2 times; missed, first: 2 times; told, second: 0.125 s](benchmarks/curve.svg)" in text
    assert "![A curve.](benchmarks/curve.svg)" in text


def test_one_section_can_be_measured_again(tmp_path: Path) -> None:
    results, shown = tmp_path / "benchmarks" / "results.json", tmp_path / "benchmarks.md"
    assert page.load(results) == {}
    page.save({"speed": SECTION}, results, shown)
    assert page.load(results) == {"speed": SECTION}
    assert shown.read_text() == page.render([SECTION], pictures="benchmarks")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["benchmarks.md", "results.json"]
