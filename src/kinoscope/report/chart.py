"""A chart as HTML and SVG that stands without a script, at any width: positions are shares, texts keep their size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import count, groupby

from .content import Chart, Line
from .html import text

_HUES, _DASHES = 12, 3  # colours and dashes of lines in the style sheet
_TICKS_ACROSS, _TICKS_UP = 6, 5

Axis = tuple[float, float, float]
"""First and last position of an axis, and the step between its ticks."""


def chart_figure(index: int, chart: Chart) -> str:
    """One chart: title, axes, lines, legend, notes; ``data-chart`` lets the script show values under the pointer."""
    across, up = axis(_finite(line.x for line in chart.lines)), axis(_finite(line.y for line in chart.lines))
    styles = _styles(chart.lines)
    lines = zip(chart.lines, styles, strict=True)
    paths = "".join(f'<path class="curve {style}" d="{_path(line, across, up)}"/>' for line, style in lines)
    levels = "".join(f'<path class="level" d="M0 {1000 - 1000 * share:.1f}H1000"/>' for share, _ in ticks(*up))
    left, bottom = axis_texts(across, up)
    notes = "".join(f'<p class="table-note">{text(note)}</p>' for note in chart.notes)
    return f"""<figure class="card chart" data-chart="{index}">
<figcaption><h2>{text(chart.title)}</h2><p class="hint">{text(chart.y_label)}</p></figcaption>
<div class="axes"><svg class="chart-left" aria-hidden="true">{left}</svg>
<svg class="chart-field" viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img"
 aria-label="{text(chart.alternative)}">{levels}{paths}</svg>
<svg class="chart-bottom" aria-hidden="true">{bottom}</svg></div>
<p class="hint chart-x">{text(chart.x_label)}</p>
{_legend(chart.lines, styles)}{notes}
</figure>"""


def axis_texts(across: Axis, up: Axis) -> tuple[str, str]:
    """The numbers on the left of a field and below it, as SVG texts that stand at shares of its sides."""
    left = "".join(f'<text x="100%" dx="-8" dy="4" y="{100 - 100 * s:.2f}%">{t}</text>' for s, t in ticks(*up))
    bottom = "".join(f'<text x="{100 * s:.2f}%" y="17">{t}</text>' for s, t in ticks(*across, most=_TICKS_ACROSS))
    return left, bottom


def chart_payload(chart: Chart) -> dict[str, object]:
    """What the script needs to tell values under the pointer."""
    low, high, _ = axis(_finite(line.x for line in chart.lines))
    lines = [
        {"style": style, "x": _numbers(line.x), "y": _numbers(line.y)}
        for line, style in zip(chart.lines, _styles(chart.lines), strict=True)
    ]
    return {"low": low, "high": high, "lines": lines}


def _styles(lines: Sequence[Line]) -> list[str]:
    """Classes for each line: the measured ones take the colours, the others the dashes in their order."""
    colour, dash = count(), count()
    return [f"wanted dash-{next(dash) % _DASHES}" if line.wanted else f"hue-{next(colour) % _HUES}" for line in lines]


def _legend(lines: Sequence[Line], styles: Sequence[str]) -> str:
    keys = zip(lines, styles, strict=True)
    sign = '<svg viewBox="0 0 28 10" aria-hidden="true"><path class="curve {}" d="M1 5H27"/></svg>'
    items = "".join(f"<li>{sign.format(style)}<bdi>{text(line.label)}</bdi></li>" for line, style in keys)
    return f'<ul class="chart-legend" aria-label="Lines">{items}</ul>'


def _finite(several: Iterator[Sequence[float]]) -> list[float]:
    return [float(value) for values in several for value in values if math.isfinite(value)]


def axis(values: Sequence[float]) -> Axis:
    """First and last position of an axis that holds ``values``, and its round step between ticks."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / _TICKS_UP
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough * (1 - 1e-9))
    return math.floor(low / step + 1e-6) * step, math.ceil(high / step - 1e-6) * step, step


def ticks(low: float, high: float, step: float, most: int = 10) -> list[tuple[float, str]]:
    """(share of the axis, text) of each tick."""
    steps = round((high - low) / step)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    every = math.ceil(steps / most)
    return [(index / steps, f"{low + index * step:.{digits}f}") for index in range(0, steps + 1, every)]


def _path(line: Line, across: Axis, up: Axis) -> str:
    """Lines between neighbouring values, parted where one is missing; a value by itself becomes a dot."""
    points = [
        (1000 * (x - across[0]) / (across[1] - across[0]), 1000 * (up[1] - y) / (up[1] - up[0]))
        for x, y in zip(line.x, line.y, strict=True)
    ]
    drawn = []
    for known, group in groupby(points, key=lambda point: all(map(math.isfinite, point))):
        if known:
            drawn.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in group))
    return "".join(part if "L" in part else f"{part}h0.01" for part in drawn)


def _numbers(values: Sequence[float]) -> list[float | None]:
    return [round(float(value), 4) if math.isfinite(value) else None for value in values]
