"""Small marks that several pages share: a bar for a share, a video's name that leads to its file."""

from __future__ import annotations

import math
from pathlib import Path

from .html import text
from .media import link_to


def number(value: float) -> str:
    """A probability with three digits; a dash where there is none."""
    return f"{value:.3f}" if math.isfinite(value) else "–"


def share_bar(share: float, kind: str = "") -> str:
    """A share from 0 to 1 as a bar; the number stands beside it."""
    width = 100 * min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
    bar = f'<rect width="{width:.1f}" height="1"/>'
    return f'<svg class="share {kind}" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">{bar}</svg>'


def video_link(name: str, path: Path | None, folder: Path | None, time: float | None = None) -> str:
    """A video's name, which leads to its file at ``time`` seconds if it has one; the page will lie in ``folder``."""
    shown = f"<bdi>{text(name)}</bdi>"
    if path is None:
        return shown
    # "#t=" lets browsers that can play the file begin there.
    moment = "" if time is None else f"#t={max(time, 0.0):.2f}"
    return f'<a href="{text(link_to(path, folder) + moment)}">{shown}</a>'
