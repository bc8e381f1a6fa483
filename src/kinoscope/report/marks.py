"""Small marks that several pages share: bars of shares and of parts, answers, a video's name that leads to its file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from .html import text
from .media import link_to

_PARTS = 8  # colours of parts in the style sheet; the first is grey


def number(value: float) -> str:
    """A probability with three digits; a dash where there is none."""
    return f"{value:.3f}" if math.isfinite(value) else "–"


def share_bar(share: float, kind: str = "") -> str:
    """A share from 0 to 1 as a bar; the number stands beside it."""
    width = 100 * min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
    bar = f'<rect width="{width:.1f}" height="1"/>'
    return f'<svg class="share {kind}" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">{bar}</svg>'


def answer_table(answers: Sequence[tuple[str, float]]) -> str:
    """What was answered, the most probable first: label, bar, probability."""
    if not answers:
        return '<p class="empty">No answer.</p>'
    rows = "\n".join(
        f'<tr><th scope="row"><bdi>{text(label)}</bdi></th><td class="share-cell">{share_bar(probability)}</td>'
        f'<td class="num">{number(probability)}</td></tr>'
        for label, probability in answers
    )
    return f'<table class="answers"><caption class="unseen">Answers</caption><tbody>\n{rows}\n</tbody></table>'


def part_style(place: int) -> str:
    """The class that colours part ``place`` of a whole; 0 is grey, the others go from the strongest colour on."""
    return f"part-{min(place, _PARTS - 1)}"


def part_key(style: str) -> str:
    """A patch of a part's colour, for legends."""
    return f'<i class="swatch {style}"></i>'


def stacked_bar(parts: Iterable[tuple[str, float, str]], full: float, label: str) -> str:
    """Parts of a whole, one after the other; the figures stand beside it.

    Args:
        parts: (style, amount, what the pointer is told) of each.
        full: the amount that fills the bar.
        label: what the bar shows, in words.
    """
    blocks, left = [], 0.0
    for style, amount, told in parts:
        if not (math.isfinite(amount) and amount > 0 and full > 0):
            continue
        width = min(1000 * amount / full, 1000 - left)
        place = f'x="{left:.1f}" width="{width:.1f}" height="1"'
        blocks.append(f'<rect class="{style}" {place}><title>{text(told)}</title></rect>')
        left += width
    drawing = 'viewBox="0 0 1000 1" preserveAspectRatio="none" role="img"'
    return f'<svg class="stack" {drawing} aria-label="{text(label)}">{"".join(blocks)}</svg>'


def video_link(name: str, path: Path | None, folder: Path | None, time: float | None = None) -> str:
    """A video's name, which leads to its file at ``time`` seconds if it has one; the page will lie in ``folder``."""
    shown = f"<bdi>{text(name)}</bdi>"
    if path is None:
        return shown
    # "#t=" lets browsers that can play the file begin there.
    moment = "" if time is None else f"#t={max(time, 0.0):.2f}"
    return f'<a href="{text(link_to(path, folder) + moment)}">{shown}</a>'
