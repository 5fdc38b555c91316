"""Pictures: figures in, one inline SVG out, drawn by Vega-Lite and coloured for light and dark pages."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from dataworth.errors import MissingExtra
from dataworth.records import Exhibit, Table
from dataworth.records.evidence import Cell
from dataworth.report.text import clean, figure

__all__ = [
    "BARS_SHOWN",
    "PALETTE",
    "SPLITS_SHOWN",
    "bin_values",
    "draw",
    "draw_bins",
    "draw_error_band",
    "draw_error_bars",
    "draw_matrix",
    "draw_noisy",
    "draw_splits",
    "figures_of",
]

# Each colour on a light page and on a dark one. Pictures are drawn in the light colours; the style sheet
# swaps them on dark screens by matching the very codes, so a picture taken out of the page still works.
PALETTE: Mapping[str, tuple[str, str]] = {
    "ink": ("#1b2430", "#e6e9ed"),
    "muted": ("#566070", "#a4adb9"),
    "axis": ("#98a2ae", "#626d7b"),
    "grid": ("#e4e7eb", "#333b45"),
    "blue": ("#2563a8", "#7fb3e8"),
    "red": ("#c0492b", "#f08f70"),
    "green": ("#2b7a58", "#6ec5a0"),
    "purple": ("#7650a0", "#bc9ee0"),
    "ochre": ("#946c0b", "#dcb85c"),
    "grey": ("#6c7683", "#a9b3be"),
}

BARS_SHOWN = 30
SPLITS_SHOWN = 20
_WIDTH, _HEIGHT = 400, 250
_SERIES = [PALETTE[name][0] for name in ("blue", "red", "green", "purple", "ochre")]
# Six that differ without colour; with the five colours, thirty lines look each like no other.
_DASHES: list[list[float]] = [[1, 0], [7, 3], [10, 3, 2, 3], [16, 4], [6, 2, 2, 2, 2, 2], [4, 1.5]]
_BASELINES: dict[str, list[float]] = {"random": [3, 3], "best possible": [1, 3]}
_SHAPES = ["circle", "square", "diamond", "triangle-up", "triangle-down"]
_POINTS_SHOWN = 3_000
_BAND_SHOWN = 300
_NOTHING = "\N{EN DASH}"


def draw(exhibit: Exhibit) -> str:
    """The picture of an exhibit of curves, bars or points, as an ``<svg>`` element for a page.

    Bars beyond ``BARS_SHOWN`` are left out in the middle of the table; points are thinned evenly.
    """
    columns = exhibit.table.columns
    x, y = columns[exhibit.x], columns[exhibit.y]
    names = [""] * len(x) if exhibit.series is None else [clean(str(name)) for name in columns[exhibit.series]]
    chart = {"curve": _curve, "bars": _bars, "points": _points}[exhibit.kind](x, y, names, exhibit)
    return _svg(chart, exhibit.alt)


def bin_values(values: NDArray[np.float64], most: int = 40) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
    """Bins for a histogram: edges ``(b + 1,)``, counts ``(b,)``, and how many rows lie beyond the edges.

    Bins cover the middle 99 % of many values, so that a few far ones do not flatten the rest; the rows beyond
    are counted in the outermost bins. Zero is always an edge when values lie on both sides of it.
    """
    low, high = np.quantile(values, [0.005, 0.995]) if values.size > 200 else (values.min(), values.max())
    if low == high:
        low, high = values.min(), values.max()
    width = (high - low) / min(most, max(8, int(np.sqrt(values.size))))
    if width <= np.spacing(max(abs(low), abs(high))):  # all equal, but for the last digit
        return np.array([low, high]), np.array([values.size]), 0
    first, last = int(np.floor(low / width + 1e-9)), int(np.ceil(high / width - 1e-9))
    edges = np.arange(first, last + 1) * width
    # An edge may miss a value it stands for by a rounding error; such a value is not far off.
    beyond = int(((values < min(edges[0], low)) | (values > max(edges[-1], high))).sum())
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return edges, counts.astype(np.int64), beyond


def draw_bins(
    edges: NDArray[np.float64], counts: NDArray[np.int64], alt: str, *, across: str = "value", up: str = "rows"
) -> str:
    """A histogram of values; bars below zero have another colour."""
    alt_ = _altair()
    data = [
        {"from": float(a), "to": float(b), "rows": int(c), "below": bool(b <= edges[-1] and (a + b) / 2 < 0)}
        for a, b, c in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    bars = (
        alt_.Chart(alt_.Data(values=data))
        .mark_bar(binSpacing=0.6)
        .encode(
            x=alt_.X(
                "from:Q",
                title=across,
                bin="binned",
                axis=alt_.Axis(grid=False, tickCount=6, **_notation(edges.tolist())),
            ),
            x2="to:Q",
            y=alt_.Y("rows:Q", title=up, axis=alt_.Axis(tickCount=min(4, int(counts.max())), format=",d")),
            color=_by_sign(alt_, "below"),
        )
    )
    return _svg(alt_.layer(bars, _zero_line(alt_, "x")) if edges[0] < 0 < edges[-1] else bars, alt)


def draw_noisy(series: Mapping[str, NDArray[np.int64]], reach: float, alt: str) -> str:
    """Noisy counts as lines, each largest first, in a band that says how far noise may have moved them.

    Args:
        series: The counts of each line, by its name.
        reach: Half the height of the band.
        alt: What the picture shows.
    """
    alt_ = _altair()
    names = list(series)
    data: dict[str, list[dict[str, Any]]] = {}
    for name, counts in series.items():
        ordered = np.sort(counts)[::-1]
        at = np.unique(np.linspace(0, ordered.size - 1, min(ordered.size, _BAND_SHOWN)).astype(int))
        data[name] = [
            {"x": int(i) + 1, "y": int(ordered[i]), "low": ordered[i] - reach, "high": ordered[i] + reach, "s": name}
            for i in at
        ]
    every = [entry for entries in data.values() for entry in entries]
    whole = alt_.Axis(grid=False, tickCount=max(1, min(6, every[-1]["x"] - 1)), format=",d")
    x = alt_.X("x:Q", title="validation points, most neighbours first", axis=whole, scale=alt_.Scale(nice=False))
    counted = alt_.Axis(tickCount=5, **(_notation([float(entry["y"]) for entry in every]) or {"format": ",d"}))
    low = alt_.Y("low:Q", title="noisy count", axis=counted)
    bands = [
        alt_.Chart(alt_.Data(values=data[name]))
        .mark_area(opacity=0.18, color=_SERIES[rank])
        .encode(x=x, y=low, y2="high:Q")
        for rank, name in enumerate(names)
    ]
    zero = alt_.Chart(alt_.Data(values=[{"zero": 0}])).mark_rule(color=PALETTE["axis"][0], strokeWidth=1)
    lines = alt_.Chart(alt_.Data(values=every)).mark_line(strokeWidth=2)
    drawn = lines.encode(x=x, y="y:Q", **_line_styles(alt_, names))
    return _svg(alt_.layer(*bands, zero.encode(y="zero:Q"), drawn), alt)


def draw_error_band(values: NDArray[np.float64], reach: NDArray[np.float64], alt: str, *, across: str = "rows") -> str:
    """Values as a line, lowest first, in a band that says how far each may be off.

    Args:
        values: From lowest to highest, ``(n,)``; of many, some hundred evenly spread are drawn.
        reach: Half the height of the band at each, ``(n,)``; NaN where it is not known.
        alt: What the picture shows.
        across: What has the values.
    """
    alt_ = _altair()
    at = np.unique(np.linspace(0, values.size - 1, min(values.size, _BAND_SHOWN)).astype(int)).tolist()
    off = np.nan_to_num(reach)
    data = [
        {"x": i + 1, "y": float(values[i]), "low": float(values[i] - off[i]), "high": float(values[i] + off[i])}
        for i in at
    ]
    whole = alt_.Axis(grid=False, tickCount=max(1, min(6, values.size - 1)), format=",d")
    scale = alt_.Scale(nice=False, zero=False)
    x = alt_.X("x:Q", title=f"{across}, lowest value first", axis=whole, scale=scale)
    axis = alt_.Axis(tickCount=5, **_notation([entry["y"] for entry in data]))
    base = alt_.Chart(alt_.Data(values=data))
    band = base.mark_area(opacity=0.22, color=_SERIES[0]).encode(
        x=x, y=alt_.Y("low:Q", title="value", axis=axis), y2="high:Q"
    )
    zero = alt_.Chart(alt_.Data(values=[{"zero": 0}])).mark_rule(color=PALETTE["axis"][0], strokeWidth=1)
    line = base.mark_line(strokeWidth=2, color=_SERIES[0]).encode(x=x, y="y:Q")
    return _svg(alt_.layer(band, zero.encode(y="zero:Q"), line), alt)


def draw_error_bars(names: Sequence[str], values: NDArray[np.float64], reach: NDArray[np.float64], alt: str) -> str:
    """A bar for each name, with a thin line that says how far it may be off.

    Args:
        names: Whom the bars are of, from top to bottom.
        values: One each, ``(names,)``.
        reach: How far the line goes to either side, ``(names,)``; none where it is 0 or NaN.
        alt: What the picture shows.
    """
    alt_ = _altair()
    labels = _distinct([clean(name) for name in names])
    bars = [{"x": v, "y": label, "below": v < 0} for v, label in zip(values.tolist(), labels, strict=True)]
    lines: list[dict[str, Any]] = [
        {"low": float(v - off), "high": float(v + off), "y": label}
        for v, off, label in zip(values, reach, labels, strict=True)
        if off > 0
    ]
    axis = alt_.Axis(tickCount=5, **_notation(values.tolist()))
    y = alt_.Y("y:N", sort=None, title=None, axis=alt_.Axis(labelLimit=130, ticks=False, domain=False))
    drawn = alt_.Chart(alt_.Data(values=bars)).mark_bar(height={"band": 0.72})
    layers = [drawn.encode(x=alt_.X("x:Q", title="value", axis=axis), y=y, color=_by_sign(alt_, "below"))]
    if (values < 0).any() or any(entry["low"] < 0 for entry in lines):
        layers.append(_zero_line(alt_, "x"))
    if lines:
        rules = alt_.Chart(alt_.Data(values=lines)).mark_rule(color=PALETTE["ink"][0], strokeWidth=1.4)
        layers.append(rules.encode(x=alt_.X("low:Q"), x2="high:Q", y=y))
    return _svg(alt_.layer(*layers).properties(height=60 + 20 * len(bars)), alt)


def draw_splits(
    names: Sequence[str], splits: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]], alt: str
) -> str:
    """A bar for each name and split, with a thin line of one standard error on either side where it is known.

    Names beyond ``SPLITS_SHOWN`` are left out in the middle.

    Args:
        names: Whom the bars are of, from top to bottom.
        splits: Name of each split to figures and standard errors, both ``(names,)``; NaN where not known.
        alt: What the picture shows.
    """
    alt_ = _altair()
    at = _ends(len(names), SPLITS_SHOWN)
    labels = dict(zip(at, _distinct([clean(names[i]) for i in at]), strict=True))
    kinds = list(splits)
    data: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for kind, (figures, off) in splits.items():
        for i, label in labels.items():
            number = float(figures[i])
            data.append({"x": number, "y": label, "s": kind})
            if off[i] > 0:
                errors.append({"low": number - off[i], "high": number + off[i], "y": label, "s": kind})
    axis = alt_.Axis(tickCount=5, **_notation([float(entry["x"]) for entry in data]))
    legend = alt_.Legend(title=None, orient="top", columns=3)
    colours = [*_SERIES[: len(kinds) - 1], PALETTE["grey"][0]]
    place = {
        "y": alt_.Y("y:N", sort=None, title=None, axis=alt_.Axis(labelLimit=130, ticks=False, domain=False)),
        "yOffset": alt_.YOffset("s:N", sort=kinds),
    }
    bars = (
        alt_.Chart(alt_.Data(values=data))
        .mark_bar(height={"band": 0.84})
        .encode(
            x=alt_.X("x:Q", title="value", axis=axis),
            color=alt_.Color("s:N", sort=kinds, legend=legend, scale=alt_.Scale(domain=kinds, range=colours)),
            **place,
        )
    )
    layers = [bars, _zero_line(alt_, "x")]
    if errors:
        lines = alt_.Chart(alt_.Data(values=errors)).mark_rule(color=PALETTE["ink"][0], strokeWidth=1.2)
        layers.append(lines.encode(x=alt_.X("low:Q"), x2="high:Q", **place))
    return _svg(alt_.layer(*layers).properties(height=80 + 14 * len(kinds) * len(at)), alt)


def draw_matrix(names: Sequence[str], cells: Sequence[Sequence[float | None]], alt: str) -> str:
    """A square table of figures from -1 to 1, each on a ground as strong as it is far from zero.

    Rows are named and numbered, columns have the numbers alone, so that long names have room; below zero the ground
    has another colour, and the figures have a minus sign.

    Args:
        names: What rows and columns are.
        cells: A row a name; None where nothing is known.
        alt: What the picture shows.
    """
    alt_ = _altair()
    labels = [f"{i + 1}  {clean(name)}" for i, name in enumerate(names)]
    data = [
        {
            "x": str(j + 1),
            "y": labels[i],
            "strength": 0.0 if cell is None else 0.55 * abs(cell),
            "below": cell is not None and cell < 0,
            "said": _NOTHING if cell is None else figure(cell, 2),
        }
        for i, row in enumerate(cells)
        for j, cell in enumerate(row)
    ]
    axis = {"ticks": False, "domain": False, "grid": False}
    place = {
        "x": alt_.X("x:N", sort=None, title=None, axis=alt_.Axis(orient="top", labelAngle=0, **axis)),
        "y": alt_.Y("y:N", sort=None, title=None, axis=alt_.Axis(labelLimit=170, **axis)),
    }
    base = alt_.Chart(alt_.Data(values=data))
    ground = base.mark_rect(stroke=PALETTE["grid"][0], strokeWidth=1).encode(
        color=_by_sign(alt_, "below"),
        fillOpacity=alt_.FillOpacity("strength:Q", legend=None, scale=alt_.Scale(domain=[0, 1], range=[0, 1])),
        **place,
    )
    said = base.mark_text(fontSize=11.5, color=PALETTE["ink"][0]).encode(text="said:N", **place)
    return _svg(alt_.layer(ground, said).properties(height=40 + 32 * len(labels)), alt)


# -- kinds -----------------------------------------------------------------------------------------


def _curve(x: Sequence[Cell], y: Sequence[Cell], names: Sequence[str], exhibit: Exhibit) -> Any:
    alt = _altair()
    data = [{"x": a, "y": b, "s": s} for a, b, s in zip(x, y, names, strict=True) if _is_number(a) and _is_number(b)]
    encode = _plane(alt, data, exhibit)
    encode["x"]["axis"]["grid"] = False
    lines = list(dict.fromkeys(names))
    if exhibit.series is not None:
        encode |= _line_styles(alt, lines)
    drawn = alt.Chart(alt.Data(values=data)).mark_line(color=_SERIES[0], strokeWidth=2).encode(**encode)
    # A long legend gets room of its own and takes none from the lines.
    return drawn.properties(height=_HEIGHT + 16 * max(0, (len(lines) - 3) // 2))


def _line_styles(alt: Any, names: list[str]) -> dict[str, Any]:
    """Colour and dashes, so that lines differ in black and white too; what is random, or best, is a grey baseline."""
    styles: dict[str, tuple[str, list[float]]] = {}
    rank = 0
    for name in names:
        baseline = [dash for start, dash in _BASELINES.items() if name.startswith(start)]
        if baseline:
            styles[name] = (PALETTE["grey"][0], baseline[0])
        else:
            styles[name] = (_SERIES[rank % len(_SERIES)], _DASHES[rank % len(_DASHES)])
            rank += 1
    colours, dashes = [style[0] for style in styles.values()], [style[1] for style in styles.values()]
    legend = alt.Legend(title=None, orient="top", columns=3 if len(names) <= 3 else 2, symbolSize=400)
    return {
        "color": alt.Color("s:N", sort=names, legend=legend, scale=alt.Scale(domain=names, range=colours)),
        "strokeDash": alt.StrokeDash("s:N", sort=names, legend=legend, scale=alt.Scale(domain=names, range=dashes)),
    }


def _bars(x: Sequence[Cell], y: Sequence[Cell], names: Sequence[str], exhibit: Exhibit) -> Any:
    alt = _altair()
    # Bars lie on their side whichever column holds the names, so that long names have room.
    named_by_y = any(isinstance(cell, str) for cell in y)
    numbers, labels = (x, y) if named_by_y else (y, x)
    measure = exhibit.x if named_by_y else exhibit.y
    at = _ends(len(numbers), BARS_SHOWN)
    named = zip(at, _distinct([clean(str(labels[i])) for i in at]), strict=True)
    bars_of = [(numbers[i], label, names[i]) for i, label in named]
    data = [{"x": x, "y": label, "s": name, "below": x < 0} for x, label, name in bars_of if _is_number(x)]
    axis = alt.Axis(tickCount=5, **_notation([float(entry["x"]) for entry in data]))
    colour = (
        _by_sign(alt, "below")
        if exhibit.series is None
        else alt.Color("s:N", legend=alt.Legend(title=None, orient="top"), scale=alt.Scale(range=_SERIES))
    )
    bars = (
        alt.Chart(alt.Data(values=data))
        .mark_bar(height={"band": 0.72})
        .encode(
            x=alt.X("x:Q", title=clean(measure), axis=axis),
            y=alt.Y("y:N", sort=None, title=None, axis=alt.Axis(labelLimit=130, ticks=False, domain=False)),
            color=colour,
        )
    )
    below = any(entry["below"] for entry in data)
    chart = alt.layer(bars, _zero_line(alt, "x")) if below else bars
    return chart.properties(height=60 + 20 * len(data))


def _points(x: Sequence[Cell], y: Sequence[Cell], names: Sequence[str], exhibit: Exhibit) -> Any:
    alt = _altair()
    at = np.unique(np.linspace(0, max(len(x) - 1, 0), min(len(x), _POINTS_SHOWN)).astype(int)).tolist()
    data = [{"x": x[i], "y": y[i], "s": names[i]} for i in at if _is_number(x[i]) and _is_number(y[i])]
    encode = _plane(alt, data, exhibit)
    if exhibit.series is not None:
        order = list(dict.fromkeys(names))
        legend = alt.Legend(title=None, orient="top", columns=3)
        colours, shapes = ([marks[i % len(marks)] for i in range(len(order))] for marks in (_SERIES, _SHAPES))
        encode["color"] = alt.Color("s:N", legend=legend, scale=alt.Scale(domain=order, range=colours))
        # Kinds differ in black and white too.
        encode["shape"] = alt.Shape("s:N", legend=legend, scale=alt.Scale(domain=order, range=shapes))
    mark = alt.Chart(alt.Data(values=data)).mark_point(color=_SERIES[0], filled=True, size=20, opacity=0.7)
    return mark.encode(**encode)


def _plane(alt: Any, data: Sequence[Mapping[str, Any]], exhibit: Exhibit) -> dict[str, Any]:
    """Both axes of a plane, wide enough to show a line that stays level."""
    axes: dict[str, Any] = {}
    for channel, title, kind in (("x", exhibit.x, alt.X), ("y", exhibit.y, alt.Y)):
        numbers = [float(entry[channel]) for entry in data] or [0.0]
        low, high = min(numbers), max(numbers)
        room = 0.1 * abs(low) or 1.0
        scale = alt.Scale(zero=False) if low < high else alt.Scale(domain=[low - room, low + room])
        axis = alt.Axis(tickCount=6 if channel == "x" else 5, **_notation(numbers))
        if exhibit.log_x and channel == "x" and low < high:
            scale = alt.Scale(type="log", nice=False)
            axis = alt.Axis(values=_log_ticks(numbers), format=".3~r")
        axes[channel] = kind(f"{channel}:Q", title=clean(title), scale=scale, axis=axis)
    return axes


def _log_ticks(numbers: Sequence[float]) -> list[float]:
    """At most eight of the very numbers, so that the axis names what was tried."""
    ordered = sorted(set(numbers))
    at = np.unique(np.linspace(0, len(ordered) - 1, min(len(ordered), 8)).astype(int))
    return [ordered[i] for i in at]


def _notation(numbers: Sequence[float]) -> dict[str, str]:
    """Powers of ten on an axis whose plain numbers would be too long."""
    top = max((abs(number) for number in numbers), default=0.0)
    return {} if top == 0 or 1e-6 <= top < 1e8 else {"format": "~e"}


def _by_sign(alt: Any, field: str) -> Any:
    scale = alt.Scale(domain=[False, True], range=[PALETTE["blue"][0], PALETTE["red"][0]])
    return alt.Color(f"{field}:N", legend=None, scale=scale)


def _zero_line(alt: Any, channel: str) -> Any:
    rule = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(color=PALETTE["axis"][0], strokeWidth=1)
    return rule.encode(**{channel: alt.X("zero:Q")})


def _ends(count: int, most: int) -> list[int]:
    """Positions of all of ``count`` entries, or of the first and last ones when there are too many."""
    if count <= most:
        return list(range(count))
    return [*range(most // 2), *range(count - most // 2, count)]


def _distinct(labels: Sequence[str]) -> list[str]:
    """The labels, later equal ones numbered, so that each keeps a bar of its own."""
    seen: dict[str, int] = {}
    distinct = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        distinct.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return distinct


def _is_number(cell: Cell) -> TypeGuard[int | float]:
    return isinstance(cell, (int, float)) and not isinstance(cell, bool) and bool(np.isfinite(cell))


# -- from chart to page ----------------------------------------------------------------------------


def _altair() -> Any:
    try:
        import altair
        import vl_convert  # noqa: F401  (what altair draws SVG with)
    except ImportError:
        raise MissingExtra("a report", "report") from None
    return altair


def _svg(chart: Any, alt: str) -> str:
    """The chart as an ``<svg>`` that fills its place on the page and says what it shows."""
    height = getattr(chart, "height", None)
    text = {"labelColor": PALETTE["muted"][0], "titleColor": PALETTE["muted"][0], "labelFontSize": 11.5}
    axis = {
        **text,
        "titleFontSize": 11.5,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "domainColor": PALETTE["axis"][0],
        "tickColor": PALETTE["axis"][0],
        "gridColor": PALETTE["grid"][0],
        "tickSize": 4,
        "labelFlush": False,
        "labelOverlap": True,
        "labelSeparation": 5,
    }
    finished = chart.properties(
        width=_WIDTH,
        height=height if isinstance(height, (int, float)) else _HEIGHT,
        autosize={"type": "fit", "contains": "padding"},
        padding=4,
    ).configure(
        aria=False,  # the figure as a whole has words; its hundred parts are not read out one by one
        background="transparent",
        font="system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif",
        view={"stroke": None},
        axis=axis,
        legend={**text, "labelColor": PALETTE["ink"][0], "labelLimit": 190, "columnPadding": 14},
    )
    out = io.StringIO()
    finished.save(out, format="svg")
    head, _, body = out.getvalue().partition(">")
    box = re.search(r'viewBox="([\d. -]+)"', head)
    if box is None:  # what the drawing library promises; without it a picture would have no size
        raise RuntimeError("the drawing library gave an SVG without a viewBox")
    label = html.escape(clean(alt), quote=True)
    return f'<svg class="chart" role="img" aria-label="{label}" viewBox="{box.group(1)}">{body}'


def figures_of(exhibit: Exhibit) -> Table:
    """The figures behind a picture as people read them: one column a line for curves with several lines."""
    table = exhibit.table
    if exhibit.kind != "curve" or exhibit.series is None:
        return table
    x, y, names = (table.columns[key] for key in (exhibit.x, exhibit.y, exhibit.series))
    cells = {(a, s): b for a, b, s in zip(x, y, names, strict=True)}
    along, series = list(dict.fromkeys(x)), list(dict.fromkeys(names))
    if len(cells) < len(table):  # a line that comes back over the same x has no such table
        return table
    wide = {str(s): [cells.get((a, s)) for a in along] for s in series}
    return Table(table.name, table.title, {exhibit.x: along, **wide}, table.note)
