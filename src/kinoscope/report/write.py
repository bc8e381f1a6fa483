"""Putting a report together: one HTML file that holds its data, its style and its script, and asks no network."""

from __future__ import annotations

from pathlib import Path
from string import Template

from ..files import write_text
from .chart import chart_figure, chart_payload
from .content import Report
from .html import navigation, note_list, page_section, settings_block, summary_table, text
from .media import Media, collect_media
from .page import asset, page_head, policy_hash, styles
from .payload import report_payload, script_json

DEFAULT_EMBED_LIMIT = 64 * 1024 * 1024
"""Bytes of video files that a report takes in before it links to them."""

# Each file declares functions that the later ones use; report.js starts the page.
_SCRIPTS = (
    "time.js",
    "tooltip.js",
    "player.js",
    "curves.js",
    "filmstrip.js",
    "timeline.js",
    "maps.js",
    "charts.js",
    "tables.js",
    "report.js",
)


def write_report(path: str | Path, report: Report, *, embed_limit: int = DEFAULT_EMBED_LIMIT) -> None:
    """Write ``report`` as one HTML file, atomically.

    Video files go into it as long as they fit into ``embed_limit`` bytes together; larger ones are linked by a path
    relative to the report, and the page says so. With 0 every file is linked.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(path, render_report(report, folder=Path(path).parent, embed_limit=embed_limit))


def render_report(report: Report, *, folder: Path | None = None, embed_limit: int = DEFAULT_EMBED_LIMIT) -> str:
    """The report's HTML; ``folder`` is where it will lie (the working directory when not given)."""
    media = collect_media(report.pages, folder, embed_limit)
    style = styles("charts", "report")
    script = "(() => {\n'use strict';\n" + "\n".join(asset(name) for name in _SCRIPTS) + "\n})();\n"
    pages = [
        page_section(index, page, item) for index, (page, item) in enumerate(zip(report.pages, media, strict=True))
    ]
    data = report_payload(report, media) | {"charts": [chart_payload(chart) for chart in report.charts]}
    return Template(asset("report.html")).substitute(
        head=page_head(report.title, style, _policy(style, script, media)),
        title=text(report.title),
        subtitle=_subtitle(report),
        intro=f'<p class="intro">{text(report.intro)}</p>' if report.intro else "",
        notes=note_list(report.notes),
        charts="\n".join(chart_figure(index, chart) for index, chart in enumerate(report.charts)),
        tables="\n".join(summary_table(table) for table in report.tables),
        navigation=navigation(report),
        pages="\n".join(pages),
        settings=settings_block(report.settings),
        data=script_json(data),
        media="\n".join(_media_element(index, item) for index, item in enumerate(media) if item.base64 is not None),
        script=script,
    )


def _policy(style: str, script: str, media: list[Media]) -> str:
    """Content security policy: our own style and script by their hashes, pictures and videos from this file only."""
    linked = " 'self' file:" if any(item.href for item in media) else ""
    return (
        f"default-src 'none'; style-src '{policy_hash(style)}'; script-src '{policy_hash(script)}'; img-src data:; "
        f"media-src blob:{linked}; base-uri 'none'; form-action 'none'"
    )


def _media_element(index: int, media: Media) -> str:
    # Text that nobody parses until the video is shown; the script makes a blob of it, in which browsers can seek.
    return f'<script type="text/plain" id="media-{index}">{media.base64}</script>'


def _subtitle(report: Report) -> str:
    videos, segments = len(report.pages), sum(len(page.segments) for page in report.pages)
    made = report.settings.get("date", "")
    facts = [f"{videos:,} video{'' if videos == 1 else 's'}"]
    if any(page.film for page in report.pages) or not report.pages:
        facts.append(f"{segments:,} segment{'' if segments == 1 else 's'}")
    return " · ".join([*facts, *([text(made)] if made else [])])
