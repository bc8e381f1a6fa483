"""How the training of a localiser goes: loss, mAP on held-out videos, and what it finds in some of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..data.segments import Segment
from ..files import write_text
from .chart import chart_figure
from .content import Chart
from .html import clock, text
from .page import scriptless_page, styles

_HUES = 12  # colours of labels in the style sheet
_LANE = 16  # pixels of height of a lane of segments
_LEAST_WIDTH = 2.0  # thousandths of the width that a segment has at least, so that it can be seen


@dataclass(frozen=True)
class Example:
    """One held-out video: what is true beside what is found."""

    name: str
    duration: float
    """Seconds."""
    truth: Sequence[Segment]
    found: Sequence[Segment]
    """The more probable, the more opaque."""


@dataclass(frozen=True)
class OverviewPage:
    """What the page shows."""

    title: str
    subtitle: str
    charts: Sequence[Chart]
    examples: Sequence[Example]
    classes: Sequence[str]
    """Their order decides the colours."""
    notes: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


def write_overview_page(path: str | Path, page: OverviewPage) -> None:
    """Write ``page`` as one HTML file, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(path, render_overview_page(page))


def render_overview_page(page: OverviewPage) -> str:
    """The page's HTML."""
    hues = {label: f"hue-{number % _HUES}" for number, label in enumerate(page.classes)}
    charts = "\n".join(chart_figure(number, chart) for number, chart in enumerate(page.charts))
    parts = [f'<div class="charts">{charts}</div>'] if page.charts else []
    if page.examples:
        shown = {segment.label for each in page.examples for segment in (*each.truth, *each.found)}
        keys = "".join(
            f'<li><i class="swatch label {hues.get(label, "hue-0")}"></i><bdi>{text(label)}</bdi></li>'
            for label in sorted(shown)
        )
        parts.append(f'<h2>Held-out videos</h2><ul class="keys" aria-label="Labels">{keys}</ul>')
        parts += [_example(each, hues) for each in page.examples]
    return scriptless_page(
        page.title,
        page.subtitle,
        "\n".join(parts),
        style=styles("charts", "parts", "tradeoff", "overview"),
        notes=page.notes,
        settings=page.settings,
        leads="it is written anew after each validation: load it again",
    )


def _example(example: Example, hues: Mapping[str, str]) -> str:
    rows = "".join(
        f'<span class="hint">{title}</span>{_bar(segments, example.duration, hues, f"{title} in {example.name}")}'
        for title, segments in (("true", example.truth), ("found", example.found))
    )
    head = f"<h3><bdi>{text(example.name)}</bdi> <span class='hint'>{clock(example.duration)}</span></h3>"
    return f'<section class="card example">{head}<div class="lanes">{rows}</div></section>'


def _bar(segments: Sequence[Segment], duration: float, hues: Mapping[str, str], label: str) -> str:
    """Segments over the length of a video, in as many lanes as overlap."""
    lanes = list(_in_lanes(segments))
    count = 1 + max((lane for lane, _ in lanes), default=0)
    blocks = []
    for lane, segment in lanes:
        left = 1000 * segment.start / max(duration, 1e-9)
        width = max(1000 * segment.duration / max(duration, 1e-9), _LEAST_WIDTH)
        score = 1.0 if segment.score is None else min(max(segment.score, 0.0), 1.0)
        told = f"{segment.label} {clock(segment.start)} – {clock(segment.end)}"
        told += "" if segment.score is None else f", score {segment.score:.3f}"
        blocks.append(
            f'<rect class="label {hues.get(segment.label, "hue-0")}" x="{left:.1f}" y="{_LANE * lane}" '
            f'width="{width:.1f}" height="{_LANE - 3}" fill-opacity="{0.25 + 0.75 * score:.2f}">'
            f"<title>{text(told)}</title></rect>"
        )
    size = f'viewBox="0 0 1000 {_LANE * count}" preserveAspectRatio="none" height="{_LANE * count}"'
    return f'<svg {size} role="img" aria-label="{text(label)}: {len(segments)} segments">{"".join(blocks)}</svg>'


def _in_lanes(segments: Iterable[Segment]) -> Iterable[tuple[int, Segment]]:
    """Each segment with the first lane that is free at its beginning."""
    ends: list[float] = []
    for segment in sorted(segments, key=lambda each: (each.start, each.end)):
        if not (math.isfinite(segment.start) and math.isfinite(segment.end)):
            continue
        lane = next((n for n, end in enumerate(ends) if end <= segment.start), len(ends))
        ends[lane : lane + 1] = [segment.end]
        yield lane, segment
