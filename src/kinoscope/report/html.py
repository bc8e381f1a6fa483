"""The parts of a report that stand without a script: headings, notes, tables, settings; everything escaped."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from ..data.segments import Segment
from .content import Report, Table, VideoPage
from .media import Media
from .payload import printable

_NUMERIC = re.compile(r"[-+]?\d[\d.,]*\s?[%s]?(\s?±\s?[\d.,]+\s?[%s]?)?|–")
_HEADER = ("Label", "Start", "End", "Length", "Score")
_NUMBER = ' class="num"'


def text(value: object) -> str:
    """Any value as HTML text that is safe in elements and in quoted attributes."""
    return html.escape(printable(value), quote=True)


def clock(seconds: float) -> str:
    """Seconds as ``m:ss.cc`` or ``h:mm:ss.cc``."""
    if not math.isfinite(seconds):
        return "–"
    minutes, rest = divmod(round(abs(seconds) * 100), 6000)
    hours, minutes = divmod(minutes, 60)
    sign = "-" if seconds < 0 else ""
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{sign}{head}:{rest // 100:02d}.{rest % 100:02d}"


def page_section(index: int, page: VideoPage, media: Media) -> str:
    """One video: heading, notes, empty places which the script fills, and the tables of segments."""
    notes = [*page.notes, *([media.note] if media.href else [])]  # with neither file nor link, the player's place tells
    timeline, maps = '<div class="card timeline" hidden></div>', '<div class="maps" hidden></div>'
    parts = [
        f'<section class="page" id="video-{index + 1}" data-page="{index}" aria-labelledby="name-{index + 1}">',
        f'<header class="page-head"><h2 id="name-{index + 1}"><bdi>{text(page.name)}</bdi></h2>',
        f"<p>{_facts(page)}</p></header>",
        note_list(notes),
        *([_stage(page), timeline, maps] if page.film else [maps, timeline, _segments(page)]),
    ]
    if page.truth:
        parts.append(f"<details class='card'><summary>Ground truth ({len(page.truth)})</summary>")
        parts.append(f"{segment_table('Ground truth', page.truth, 'truth')}</details>")
    return "\n".join([*parts, "</section>"])


def _stage(page: VideoPage) -> str:
    """The place of the player, and the segments beside it."""
    return "\n".join(
        [
            '<div class="stage"><div class="player" hidden></div>',
            '<div class="card side"><div class="side-scroll">',
            segment_table("Segments", page.segments, "segments"),
            "</div></div></div>",
        ]
    )


def _segments(page: VideoPage) -> str:
    """The list of segments where there is no player to stand beside; nothing without segments."""
    if not page.segments:
        return ""
    table = segment_table("Segments", page.segments, "segments")
    return f"<details class='card' open><summary>Segments ({len(page.segments)})</summary>{table}</details>"


def _facts(page: VideoPage) -> str:
    facts = [clock(page.duration)]
    if page.film or page.segments:
        labels = {segment.label for segment in page.segments}
        facts += [_count(len(page.segments), "segment"), _count(len(labels), "label")]
    if page.truth:
        facts.append(f"{len(page.truth)} in the ground truth")
    return " · ".join(facts)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def segment_table(caption: str, segments: Sequence[Segment], kind: str) -> str:
    """Segments as a table; ``data-row`` lets the script find the segment of a row after sorting."""
    if not segments:
        return f'<p class="empty">No segment: nothing was found in this video.</p><table class="{kind}" hidden></table>'
    scored = any(segment.score is not None for segment in segments)
    header = _HEADER if scored else _HEADER[:-1]
    cells = "".join(f'<th scope="col"{"" if name == "Label" else _NUMBER}>{name}</th>' for name in header)
    rows = "\n".join(_segment_row(index, segment, scored) for index, segment in enumerate(segments))
    head = f'<caption class="unseen">{text(caption)}</caption><thead><tr>{cells}</tr></thead>'
    return f'<table class="{kind} sortable">{head}<tbody>\n{rows}\n</tbody></table>'


def _segment_row(index: int, segment: Segment, scored: bool) -> str:
    numbers = [(segment.start, clock(segment.start)), (segment.end, clock(segment.end))]
    numbers.append((segment.duration, f"{segment.duration:.2f} s" if math.isfinite(segment.duration) else "–"))
    if scored:
        score = math.nan if segment.score is None else segment.score
        numbers.append((score, f"{score:.3f}" if math.isfinite(score) else "–"))
    cells = "".join(f'<td class="num" data-value="{_sortable(value)}">{shown}</td>' for value, shown in numbers)
    return f'<tr data-row="{index}"><td><bdi>{text(segment.label)}</bdi></td>{cells}</tr>'


def _sortable(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""


def summary_table(table: Table) -> str:
    """One of the report's tables, with its title and note."""
    cells = [[_cell(value) for value in row] for row in table.rows]
    numeric = [
        all(_NUMERIC.fullmatch(row[column]) for row in cells if column < len(row))
        for column in range(len(table.header))
    ]
    align = [_NUMBER if cells and flag else "" for flag in numeric]
    head = "".join(f'<th scope="col"{style}>{text(name)}</th>' for name, style in zip(table.header, align, strict=True))
    body = "\n".join(_summary_row(row, align) for row in cells)
    note = f'<p class="table-note">{text(table.note)}</p>' if table.note else ""
    content = f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>'
    return f'<div class="card"><h2>{text(table.title)}</h2><div class="wide">{content}</div>{note}</div>'


def _summary_row(row: Sequence[str], align: Sequence[str]) -> str:
    styles = [*align, *[""] * len(row)]
    return "<tr>" + "".join(f"<td{style}>{text(cell)}</td>" for cell, style in zip(row, styles, strict=False)) + "</tr>"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if math.isfinite(value) else "–"
    return "–" if value is None else str(value)


def note_list(notes: Iterable[str]) -> str:
    """Warnings, as a list; nothing when there are none."""
    items = "".join(f"<li>{text(note)}</li>" for note in notes)
    return f'<ul class="notes" aria-label="Notes">{items}</ul>' if items else ""


def settings_block(settings: Mapping[str, str]) -> str:
    """What made the report, folded away."""
    if not settings:
        return ""
    items = "".join(f"<dt>{text(key)}</dt><dd>{text(value)}</dd>" for key, value in settings.items())
    return f'<details class="card" id="settings"><summary>How this was made</summary><dl>{items}</dl></details>'


def navigation(report: Report) -> str:
    """Links to the videos; the script turns them into tabs. A single video needs none."""
    if len(report.pages) < 2:
        return ""
    links = "".join(
        f'<li><a href="#video-{index + 1}"><bdi>{text(page.name)}</bdi></a></li>'
        for index, page in enumerate(report.pages)
    )
    return f'<nav class="videos" aria-label="Videos"><ul>{links}</ul></nav>'
