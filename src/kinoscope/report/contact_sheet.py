"""A contact sheet: pictures of what was found, with the query on top, in one HTML file without any script.

It loads nothing from anywhere, and its content security policy lets nothing run. Pictures lie in it as data URIs; the
videos stay where they are and are linked, at the moment of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from ..files import write_text
from .html import clock, text
from .media import image_uri, link_to
from .page import scriptless_page, styles

_BODY = """\
<section class="query" aria-label="Query">
$query
</section>
<section aria-label="Results">
<ol class="sheet">
$found
</ol>
</section>"""


@dataclass(frozen=True)
class Still:
    """A picture of a video, and what is said under it."""

    video: str
    """Its name."""
    time: float
    """Seconds: the moment of the picture."""
    jpeg: bytes | None = None
    """None where there is no picture."""
    path: Path | None = None
    """The video's file, which is linked."""
    note: str = ""
    """Such as which part of the video was found."""
    similarity: float | None = None
    """From -1 to 1; none of the query."""


@dataclass(frozen=True)
class ContactSheet:
    """What a contact sheet shows."""

    title: str
    query: Still
    found: Sequence[Still]
    """The most similar first."""
    kind: str = "results"
    """What was found, in the plural."""
    notes: Sequence[str] = ()
    """What a reader must know."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What made the sheet: command, encoder, versions, date."""


def write_contact_sheet(path: str | Path, sheet: ContactSheet) -> None:
    """Write ``sheet`` as one HTML file, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(path, render_contact_sheet(sheet, folder=Path(path).parent))


def render_contact_sheet(sheet: ContactSheet, *, folder: Path | None = None) -> str:
    """The sheet's HTML; links are relative to ``folder``, where it will lie (the working directory when not given)."""
    body = Template(_BODY).substitute(
        query=_figure(sheet.query, "Query", folder),
        found="\n".join(_item(rank, each, folder) for rank, each in enumerate(sheet.found, 1))
        or '<li class="empty">Nothing was found.</li>',
    )
    return scriptless_page(
        sheet.title,
        f"{len(sheet.found)} {sheet.kind}",
        body,
        style=styles("contact_sheet"),
        notes=sheet.notes,
        settings=sheet.settings,
        leads="pictures lead to the videos",
    )


def _item(rank: int, still: Still, folder: Path | None) -> str:
    return f"<li>{_figure(still, str(rank), folder)}</li>"


def _figure(still: Still, mark: str, folder: Path | None) -> str:
    """A picture with its caption; all of it is the link to the video."""
    name = f'<span class="name"><bdi>{text(still.video)}</bdi></span>'
    when = f'<span class="when"><time>{clock(still.time)}</time><span>{text(still.note)}</span></span>'
    body = f'{_picture(still)}<span class="mark-rank">{text(mark)}</span>{name}{when}{_similarity(still.similarity)}'
    if still.path is None:
        return f'<div class="still">{body}</div>'
    # "#t=" lets browsers that can play the file begin there.
    href = f"{link_to(still.path, folder)}#t={max(still.time, 0.0):.2f}"
    return f'<a class="still" href="{text(href)}">{body}</a>'


def _picture(still: Still) -> str:
    if still.jpeg is None:
        return '<span class="blank">no picture</span>'
    alternative = text(f"{still.video} at {clock(still.time)}")
    return f'<img src="{image_uri(still.jpeg)}" alt="{alternative}" decoding="async">'


def _similarity(value: float | None) -> str:
    """A number and a bar; below zero the bar is empty."""
    if value is None:
        return ""
    meter = f'<meter min="0" max="1" value="{max(value, 0.0):.3f}" aria-hidden="true"></meter>'
    return f'<span class="alike"><span class="unseen">similarity </span>{value:.3f}{meter}</span>'
