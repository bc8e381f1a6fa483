"""How a page gets its video: embedded in the report, linked beside it, or not at all, with the reason."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from .content import VideoPage

# A browser that is told a container's true name often refuses it, though it plays what is inside: QuickTime is read
# as MP4, Matroska as WebM.
_PLAYABLE = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/mp4",
    ".webm": "video/webm",
    ".mkv": "video/webm",
    ".ogv": "video/ogg",
}


@dataclass(frozen=True)
class Media:
    """A page's video as the report carries it: ``base64`` when embedded, ``href`` when linked, neither when absent."""

    mime: str = "video/mp4"
    base64: str | None = None
    href: str | None = None
    note: str = ""
    """Why the video is not embedded; empty when it is."""
    size: int = 0
    """Bytes that are embedded, before base64."""


def collect_media(pages: Sequence[VideoPage], folder: Path | None, embed_limit: int) -> list[Media]:
    """One :class:`Media` for each page.

    Files are embedded in their order while they fit into ``embed_limit`` bytes altogether; the others are linked,
    relative to ``folder``, where the report will lie. Bytes have no place to be linked to and are always embedded.
    """
    collected, left = [], embed_limit
    for page in pages:
        media = _media_of(page, folder, left)
        if not isinstance(page.media, bytes):
            left -= media.size
        collected.append(media)
    return collected


def _media_of(page: VideoPage, folder: Path | None, left: int) -> Media:
    if page.media is None:
        return Media(note="This report holds no video that a browser can play.")
    if isinstance(page.media, bytes):
        return _embedded(page.media, page.media_type or "video/mp4")
    path = page.media
    mime = page.media_type or _PLAYABLE.get(path.suffix.lower())
    if mime is None:
        return Media(note=f"Browsers cannot play “{path.suffix or path.name}” files.")
    try:
        size = path.stat().st_size
        if size <= left:
            return _embedded(path.read_bytes(), mime)
    except OSError:
        return Media(note=f"The video “{path.name}” was not found when this report was made.")
    note = f"The video ({size / 1e6:,.0f} MB) is not inside this report: it is played from the file “{path.name}”."
    return Media(mime, href=link_to(path, folder), note=note)


def _embedded(content: bytes, mime: str) -> Media:
    return Media(mime, base64=base64.b64encode(content).decode("ascii"), size=len(content))


def link_to(path: Path, folder: Path | None) -> str:
    """A relative URL, so that report and videos can be moved together; another drive needs the absolute one."""
    try:
        relative = os.path.relpath(path.resolve(), (folder or Path()).resolve())
    except ValueError:
        return path.resolve().as_uri()
    # The leading dot keeps a name like "a:b.mp4" from being read as a URL with a scheme.
    return quote(f"./{Path(relative).as_posix()}", errors="surrogateescape")


def image_uri(content: bytes) -> str:
    """A JPEG or PNG file as a data URI."""
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
