"""A page with a card for each video, of whatever kind; :mod:`.recognition` and :mod:`.adaptive` draw such cards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from .html import text
from .marks import video_link
from .page import scriptless_page

Video = TypeVar("Video")


@dataclass(frozen=True)
class CardPage(Generic[Video]):
    """What the page shows."""

    title: str
    videos: Sequence[Video]
    notes: Sequence[str] = ()
    """Warnings about all of it."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What made the page: command, model, versions, date."""


def render_cards(
    page: CardPage[Video], card: Callable[[int, Video], str], *, reading: str, style: str, leads: str
) -> str:
    """The page's HTML, ``reading`` (how to read a card) before all cards; :func:`scriptless_page` says the rest."""
    parts = [f'<p class="intro">{text(reading)}</p>'] if reading else []
    parts += [card(rank, video) for rank, video in enumerate(page.videos, 1)]
    return scriptless_page(
        page.title,
        f"{len(page.videos):,} video{'' if len(page.videos) == 1 else 's'}",
        "\n".join(parts) if page.videos else '<p class="empty">No video was recognised.</p>',
        style=style,
        notes=page.notes,
        settings=page.settings,
        leads=leads,
    )


def video_card(
    rank: int,
    name: str,
    parts: Sequence[str],
    *,
    path: Path | None,
    start: float | None,
    folder: Path | None,
    facts: str,
    note: str,
) -> str:
    """One card.

    Args:
        rank: from 1 on; it tells cards apart.
        parts: HTML, one below the other.
        path: the video's file, to which the name leads, at ``start`` seconds; the page will lie in ``folder``.
        facts: beside the name; plain, without marks.
        note: what a reader must know, above the parts.
    """
    told = f'<p class="video-note">{text(note)}</p>' if note else ""
    return "\n".join(
        [
            f'<section class="card video" aria-labelledby="video-{rank}">',
            f'<header class="page-head"><h2 id="video-{rank}">{video_link(name, path, folder, start)}</h2>',
            f"<p>{facts}</p></header>{told}",
            *parts,
            "</section>",
        ]
    )
