"""The page in a real browser, opened from disk: nothing refused, nothing wider than the screen."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import dataworth as dw
from tests.report.conftest import points, valued

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: the page is not opened in a browser"),
]


def chromium(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    quiet = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --hide-scrollbars --enable-logging=stderr"
    )
    return subprocess.run(
        [CHROMIUM, *quiet.split(), f"--user-data-dir={folder / 'profile'}", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def measured(page: Path, width: int, folder: Path) -> dict[str, int]:
    """Sizes of the page in a frame of that width, read by a page around it (the report runs no script)."""
    source = html.escape(page.read_text(encoding="utf-8"), quote=True)
    around = folder / "around.html"
    around.write_text(
        f"""<!DOCTYPE html><html><meta charset="utf-8"><body><iframe srcdoc="{source}" style="border:0;width:{width}px;
        height:900px"></iframe><script>addEventListener("load", () => {{
          const inner = document.querySelector("iframe").contentDocument, root = inner.documentElement;
          const charts = [...inner.querySelectorAll("svg.chart")].map(svg => svg.getBoundingClientRect());
          const figures = [...inner.querySelectorAll("figure")].map(one => one.getBoundingClientRect().width);
          document.title = JSON.stringify({{
            seen: root.clientWidth, needed: root.scrollWidth, height: root.scrollHeight, charts: charts.length,
            narrowest: Math.floor(Math.min(...charts.map(box => box.width))),
            lowest: Math.floor(Math.min(...charts.map(box => box.height))),
            widest: Math.ceil(Math.max(...charts.map(box => box.width))),
            figure: Math.ceil(Math.max(...figures)),
          }});
        }});</script></body></html>""",
        encoding="utf-8",
    )
    dom = chromium(
        folder, "--window-size=1400,1000", "--virtual-time-budget=5000", "--dump-dom", around.as_uri()
    ).stdout
    title = re.search(r"<title>(\{.*?\})</title>", dom)
    assert title is not None, "the frame was not measured"
    return {key: int(number) for key, number in re.findall(r'"(\w+)":(\d+)', html.unescape(title.group(1)))}


@pytest.mark.parametrize("width", [375, 768, 1280])
def test_nothing_is_wider_than_the_screen(full_page: Path, tmp_path: Path, width: int) -> None:
    sizes = measured(full_page, width, tmp_path)
    assert sizes["seen"] == width
    assert sizes["needed"] <= width
    assert sizes["height"] > 2000
    assert sizes["charts"] == 10
    assert sizes["narrowest"] > 300  # not squeezed to where its words cannot be read
    assert sizes["lowest"] > 80
    assert sizes["widest"] <= sizes["figure"] + 4


def test_long_names_do_not_widen_a_phone(tmp_path: Path) -> None:
    long = "x" * 300
    train = dw.Points(np.eye(30), [f"{long}{i % 3}" for i in range(30)], ids=[f"{long}{i}" for i in range(30)])
    values = dw.Values(train.ids, np.linspace(-1e300, 1e300, 30), long, 30, [f"{long}{i % 4}" for i in range(30)])
    page = dw.write_report(dw.gather_evidence(values, train, train, show_rows=True), tmp_path / "r.html", title=long)
    assert measured(page, 375, tmp_path)["needed"] <= 375


def test_it_opens_from_disk_with_nothing_refused(tmp_path: Path) -> None:
    """A rule of the page's own policy that hit something the page needs would be said in the log."""
    page = dw.write_report(valued(points(60, "t"), points(20, "v"), show_rows=True), tmp_path / "r.html")
    done = chromium(tmp_path, "--window-size=1280,2000", f"--screenshot={tmp_path / 'r.png'}", page.as_uri())
    assert not re.search(r"Content Security Policy|Refused to|Uncaught", done.stderr)
    from PIL import Image

    with Image.open(tmp_path / "r.png") as shot:
        assert shot.size == (1280, 2000)
        assert len(shot.convert("RGB").getcolors(1 << 20) or []) > 50


def test_a_dark_page_is_dark_and_its_charts_turn_with_it(full_page: Path, tmp_path: Path) -> None:
    from PIL import Image

    from dataworth.report.charts import PALETTE

    shades = []
    for scheme in ("1", "0"):  # light, dark
        picture = tmp_path / f"{scheme}.png"
        chromium(
            tmp_path,
            f"--blink-settings=preferredColorScheme={scheme}",
            "--window-size=1280,1600",
            f"--screenshot={picture}",
            full_page.as_uri(),
        )
        with Image.open(picture) as shot:
            shades.append({colour for _, colour in shot.convert("RGB").getcolors(1 << 22) or []})

    def rgb(code: str) -> tuple[int, ...]:
        return tuple(bytes.fromhex(code[1:]))

    light, dark = shades
    assert (255, 255, 255) in light
    assert (255, 255, 255) not in dark
    for name in ("blue", "red"):
        assert rgb(PALETTE[name][0]) in light
        assert rgb(PALETTE[name][1]) in dark
        assert rgb(PALETTE[name][0]) not in dark


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="no pdftotext here: printed pages are not read")
def test_print_cuts_no_figure(full_page: Path, tmp_path: Path) -> None:
    """Heading, axes and caption of every figure come out on one sheet, and tables of figures on none."""
    pdf = tmp_path / "r.pdf"
    chromium(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={pdf}", full_page.as_uri())
    command = ["pdftotext", str(pdf), "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    sheets = [" ".join(sheet.split()) for sheet in text.split("\f")]
    for parts in (
        ("Accuracy as rows are removed", "share of rows removed", "which flatters the curve"),
        ("lowest values are inspected first", "share of rows inspected", "of the bad rows; the lowest 20%"),
        ("Values summed by owner", "sum of values", "not to pay them exactly"),
        ("Share of rows below zero by class", "share below zero", "where to look for wrong labels"),
    ):
        assert any(all(part in sheet for part in parts) for sheet in sheets), f"{parts[0]!r} is cut"
    assert "The figures" not in text
