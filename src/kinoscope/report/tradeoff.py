"""How well each method answers against what it costs: a page of two charts, and the same charts as one SVG file.

One chart has GMAC across, the other seconds, which need not agree; then where the seconds go, and every figure in a
table. Nothing runs: points tell their values to a pointer that rests on them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from ..files import write_text
from .chart import Axis, axis, axis_texts, ticks
from .html import text
from .marks import part_key, part_style, stacked_bar
from .page import asset, scriptless_page, styles

_HUES = 12  # colours of lines in the style sheet
_SHAPES = (
    "M-5 0A5 5 0 1 1 5 0A5 5 0 1 1-5 0Z",  # circle
    "M-4.5-4.5H4.5V4.5H-4.5Z",  # square
    "M0-6.2L6.2 0L0 6.2L-6.2 0Z",  # diamond
    "M0-6L5.8 4.4H-5.8Z",  # triangle
    "M0 6L5.8-4.4H-5.8Z",  # triangle on its head
    "M-2-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",  # cross
)
_PANEL, _LEFT, _ABOVE, _BELOW = (400, 270), 64, 44, 56  # of the SVG file, in pixels


@dataclass(frozen=True)
class Point:
    """One setting of a method, measured. Costs are of one video on average."""

    gmac: float
    """Billions of multiply-accumulates."""
    seconds: float
    score: float
    """From 0 to 1."""
    low: float
    """Where the score's interval begins; NaN draws none."""
    high: float
    label: str = ""
    """Such as "T = 16"."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """How many of the seconds each part takes, such as decode, policy, a backbone. A point without any has no bar."""


@dataclass(frozen=True)
class Curve:
    """One method; a line joins its points in their order."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class TradeoffPage:
    """What the page and the figure show."""

    title: str
    curves: Sequence[Curve]
    """The first is the one that the page is about."""
    x_labels: tuple[str, str] = ("GMAC per video", "seconds per video")
    y_label: str = "Accuracy"
    """Of the scores, which are shown in percent."""
    intro: str = ""
    """How to read the page, in a sentence or two."""
    notes: Sequence[str] = ()
    """What a reader must know."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What made the page: command, data, machine, date."""

    @property
    def panels(self) -> list[tuple[str, Callable[[Point], float]]]:
        """(label, cost of a point) of each chart."""
        return [(self.x_labels[0], lambda point: point.gmac), (self.x_labels[1], lambda point: point.seconds)]


def tradeoff_page(path: str | Path, page: TradeoffPage) -> None:
    """Write ``page`` as one HTML file, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(path, render_tradeoff_page(page))


def render_tradeoff_page(page: TradeoffPage) -> str:
    """The page's HTML."""
    parts = [f'<p class="intro">{text(page.intro)}</p>'] if page.intro else []
    if any(curve.points for curve in page.curves):
        figures = "\n".join(_figure(page, label, cost) for label, cost in page.panels)
        parts += [f'<div class="charts">{figures}</div>', _seconds(page), _table(page)]
    else:
        parts.append('<p class="empty">Nothing was measured.</p>')
    return scriptless_page(
        page.title,
        f"{len(page.curves):,} method{'' if len(page.curves) == 1 else 's'}",
        "\n".join(parts),
        style=styles("charts", "parts", "tradeoff"),
        notes=page.notes,
        settings=page.settings,
        leads="it can be kept and sent as it is",
    )


def tradeoff_svg(path: str | Path, page: TradeoffPage) -> None:
    """Write the page's two charts side by side as one SVG file on a light ground, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    (wide, high), rows = _PANEL, math.ceil(len(page.curves) / 3)
    step, bottom = _LEFT + wide, _ABOVE + high + _BELOW
    width, height = 2 * step + 24, bottom + 24 * rows + 8
    charts = "".join(
        _standing(page, label, cost, place * step + _LEFT) for place, (label, cost) in enumerate(page.panels)
    )
    keys = "".join(
        f'<svg x="{_LEFT + (n % 3) * (width - _LEFT) // 3}" y="{bottom + 24 * (n // 3)}" width="280" height="24">'
        f'<svg y="7" width="28" height="10">{_key(n)}</svg><text x="38" y="16">{text(curve.name)}</text></svg>'
        for n, curve in enumerate(page.curves)
    )
    write_text(
        path,
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{text(_in_words(page, *page.panels[0]))}"><style>{asset("tradeoff_figure.css")}</style>'
        f'<rect class="ground" width="{width}" height="{height}"/>{charts}{keys}</svg>\n',
    )


def _standing(page: TradeoffPage, label: str, cost: Callable[[Point], float], x: int) -> str:
    """One chart of the SVG file, its field's left side at ``x``."""
    (wide, high), (across, up) = _PANEL, _axes(page, cost)
    left, below = axis_texts(across, up)
    size = f'y="{_ABOVE}" width="{wide}" height="{high}"'
    return (
        f'<text x="{x}" y="{_ABOVE - 18}">{text(page.y_label)}, %</text>'
        f'<svg class="left" x="{x - 60}" y="{_ABOVE}" width="60" height="{high}">{left}</svg>'
        f'<svg x="{x}" {size}>{_field(page, cost, across, up)}</svg>'
        f'<svg class="below" x="{x}" y="{_ABOVE + high}" width="{wide}" height="22">{below}</svg>'
        f'<text class="below" x="{x + wide / 2}" y="{_ABOVE + high + 38}">{text(label)}</text>'
    )


def _figure(page: TradeoffPage, label: str, cost: Callable[[Point], float]) -> str:
    """One chart of the page."""
    across, up = _axes(page, cost)
    left, below = axis_texts(across, up)
    keys = "".join(
        f'<li><svg width="28" height="10" aria-hidden="true">{_key(n)}</svg><bdi>{text(curve.name)}</bdi></li>'
        for n, curve in enumerate(page.curves)
    )
    return f"""<figure class="card chart"><figcaption><h2>{text(page.y_label)} against {text(label)}</h2>
<p class="hint">percent, with 95 % intervals</p>
</figcaption><div class="axes"><svg class="chart-left" aria-hidden="true">{left}</svg>
<svg class="chart-field" role="img" aria-label="{text(_in_words(page, label, cost))}">
{_field(page, cost, across, up)}</svg>
<svg class="chart-bottom" aria-hidden="true">{below}</svg></div>
<p class="hint chart-x">{text(label)}</p>
<ul class="chart-legend" aria-label="Methods">{keys}</ul></figure>"""


def _axes(page: TradeoffPage, cost: Callable[[Point], float]) -> tuple[Axis, Axis]:
    """Cost from 0; scores, with their intervals, in percent."""
    points = [point for curve in page.curves for point in curve.points]
    costs = [value for value in map(cost, points) if math.isfinite(value)]
    scores = [100 * value for point in points for value in (point.score, point.low, point.high) if math.isfinite(value)]
    return axis([0.0, *costs] if costs else []), axis(scores)


def _field(page: TradeoffPage, cost: Callable[[Point], float], across: Axis, up: Axis) -> str:
    """Levels, lines, intervals and points at shares of the field's sides, so that every size of it fits."""
    levels = "".join(
        f'<line class="level" x2="100%" y1="{100 - 100 * s:.2f}%" y2="{100 - 100 * s:.2f}%"/>' for s, _ in ticks(*up)
    )
    drawn = []
    for number, curve in reversed(list(enumerate(page.curves))):  # the first lies on top
        known = [point for point in curve.points if math.isfinite(cost(point)) and math.isfinite(point.score)]
        places = [(_share(cost(point), across), 100 - _share(100 * point.score, up)) for point in known]
        lines = "".join(_line(*a, *b, "curve") for a, b in pairwise(places))
        spans = "".join(
            _line(x, 100 - _share(100 * point.low, up), x, 100 - _share(100 * point.high, up), "interval")
            for point, (x, _) in zip(known, places, strict=True)
            if math.isfinite(point.low) and math.isfinite(point.high)
        )
        marks = "".join(
            _mark(number, x, y, _told(curve, point, page)) for point, (x, y) in zip(known, places, strict=True)
        )
        drawn.append(f'<g class="hue-{number % _HUES}">{lines}{spans}{marks}</g>')
    return levels + "".join(drawn)


def _share(value: float, ends: Axis) -> float:
    """Percent of the way from an axis' first to its last position."""
    return 100 * (value - ends[0]) / (ends[1] - ends[0])


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.2f}%" y1="{y1:.2f}%" x2="{x2:.2f}%" y2="{y2:.2f}%"/>'


def _mark(number: int, x: float, y: float, told: str = "") -> str:
    """A point in its method's shape, which keeps its size; around it an SVG of its own, as a path knows no percent."""
    title = f"<title>{text(told)}</title>" if told else ""
    return f'<svg class="point" x="{x:.2f}%" y="{y:.2f}%"><path d="{_SHAPES[number % len(_SHAPES)]}"/>{title}</svg>'


def _key(number: int) -> str:
    """A method's line and shape, for legends."""
    return f'<g class="hue-{number % _HUES}">{_line(0, 50, 100, 50, "curve")}{_mark(number, 50, 50)}</g>'


def _seconds(page: TradeoffPage) -> str:
    """A bar for each point whose seconds are known part by part, all on one scale."""
    bars = [(curve, point) for curve in page.curves for point in curve.points if point.shares]
    if not bars:
        return ""
    names = list(dict.fromkeys(name for _, point in bars for name in point.shares))
    style = {name: part_style(place) for place, name in enumerate(names)}
    full = max(_whole(point) for _, point in bars)
    rows = "\n".join(_bar(curve, point, style, full) for curve, point in bars)
    keys = "".join(f"<li>{part_key(style[name])}<bdi>{text(name)}</bdi></li>" for name in names)
    return (
        f'<section class="card"><h2>Where the seconds go</h2><ul class="keys" aria-label="Parts">{keys}</ul>'
        f'<ul class="stacks">\n{rows}\n</ul></section>'
    )


def _bar(curve: Curve, point: Point, style: Mapping[str, str], full: float) -> str:
    parts = [(style[name], seconds, f"{name}: {_seconds_of(seconds)} s") for name, seconds in point.shares.items()]
    alternative = f"{curve.name} {point.label}: {', '.join(told for _, _, told in parts)}"
    label = f' <span class="hint">{text(point.label)}</span>' if point.label else ""
    return (
        f"<li><span><bdi>{text(curve.name)}</bdi>{label}</span>{stacked_bar(parts, full, alternative)}"
        f'<span class="num">{_seconds_of(_whole(point))} s</span></li>'
    )


def _whole(point: Point) -> float:
    """The point's seconds; what its parts do not explain stays empty in its bar."""
    explained = sum(value for value in point.shares.values() if math.isfinite(value))
    return max(explained, point.seconds) if math.isfinite(point.seconds) else explained


def _table(page: TradeoffPage) -> str:
    """Every figure."""
    names = (*page.x_labels, f"{page.y_label}, %", "95 % interval")
    head = '<th scope="col">Method</th><th scope="col"></th>'
    head += "".join(f'<th scope="col" class="num">{text(name)}</th>' for name in names)
    rows = "\n".join(
        f'<tr><th scope="row"><bdi>{text(curve.name)}</bdi></th><td><bdi>{text(point.label)}</bdi></td>'
        f'<td class="num">{_figure_of(point.gmac, 2)}</td><td class="num">{_seconds_of(point.seconds)}</td>'
        f'<td class="num">{_figure_of(100 * point.score, 1)}</td><td class="num">{_interval(point)}</td></tr>'
        for curve in page.curves
        for point in curve.points
    )
    return (
        '<section class="card"><h2>All figures</h2><div class="wide" tabindex="0" role="group" '
        f'aria-label="All figures"><table class="figures"><thead><tr>{head}</tr></thead><tbody>\n{rows}\n'
        "</tbody></table></div></section>"
    )


def _told(curve: Curve, point: Point, page: TradeoffPage) -> str:
    """All about a point, as plain text."""
    name = " · ".join(filter(None, (curve.name, point.label)))
    score = f"{page.y_label} {_figure_of(100 * point.score, 1)} % ({_interval(point)})"
    return f"{name}: {score}, {_figure_of(point.gmac, 2)} GMAC, {_seconds_of(point.seconds)} s"


def _in_words(page: TradeoffPage, label: str, cost: Callable[[Point], float]) -> str:
    """What a chart shows: the ends of every line."""

    def told(point: Point) -> str:
        return f"{_figure_of(100 * point.score, 1)} % at {_figure_of(cost(point), 2)}"

    ends = (
        f"{curve.name} {' to '.join(dict.fromkeys((told(curve.points[0]), told(curve.points[-1]))))}"
        for curve in page.curves
        if curve.points
    )
    return f"{page.y_label} against {label}: {'; '.join(ends)}"


def _interval(point: Point) -> str:
    if not (math.isfinite(point.low) and math.isfinite(point.high)):
        return "–"
    return f"{100 * point.low:.1f} – {100 * point.high:.1f}"


def _seconds_of(value: float) -> str:
    return _figure_of(value, 3)


def _figure_of(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}" if math.isfinite(value) else "–"
