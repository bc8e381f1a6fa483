"""What a recogniser answered, and where in time it looked: one HTML file without any script.

Every video has its answers and, for each clip that was looked at, a film strip with the attention under its pictures.
The file loads nothing; the videos stay where they are and are linked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..files import write_text
from .attention import Look, filmstrip, full_height, look_summary, overview
from .html import clock, text
from .marks import answer_table, number
from .page import styles
from .video_cards import CardPage, render_cards, video_card

__all__ = ["Look", "RecognitionPage", "VideoPage", "render_recognition_page", "write_recognition_page"]

_OPEN = 3  # looks of a video that are unfolded
_READING = (
    "Under each picture stands how much the class token took of that moment: the mean over the heads as a bar (the "
    "dashed line is where it would end if every moment were taken alike), then every head by itself, in a stronger "
    "colour for more. Rest the pointer on a bar for its exact value. Attention tells what was read, not why the answer "
    "was given."
)


@dataclass(frozen=True)
class VideoPage:
    """One video: what was answered, and the clips that were looked at."""

    name: str
    path: Path | None = None
    """The video's file, which is linked."""
    answers: Sequence[tuple[str, float]] = ()
    """(label, probability), the most probable first."""
    looks: Sequence[Look] = ()
    """In the order of time."""
    note: str = ""
    """What a reader must know: damage, a clip shorter than the input."""


RecognitionPage = CardPage[VideoPage]


def write_recognition_page(path: str | Path, page: RecognitionPage) -> None:
    """Write ``page`` as one HTML file, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(path, render_recognition_page(page, folder=Path(path).parent))


def render_recognition_page(page: RecognitionPage, *, folder: Path | None = None) -> str:
    """The page's HTML; links are relative to ``folder``, where it will lie (the working directory when not given)."""
    reads = any(look.mean is not None for video in page.videos for look in video.looks)
    return render_cards(
        page,
        lambda rank, video: _card(rank, video, folder),
        reading=_READING if reads else "",
        style=styles("filmstrip", "recognition"),
        leads="names lead to the videos",
    )


def _card(rank: int, video: VideoPage, folder: Path | None) -> str:
    return video_card(
        rank,
        video.name,
        [answer_table(video.answers), _looks(rank, video)],
        path=video.path,
        start=video.looks[0].start if video.looks else None,
        folder=folder,
        facts=_facts(video),
        note=video.note,
    )


def _facts(video: VideoPage) -> str:
    if not video.looks:
        return "no clip shown"
    count = f"{len(video.looks)} clip{'' if len(video.looks) == 1 else 's'}"
    begin, end = min(look.start for look in video.looks), max(look.end for look in video.looks)
    return f"{count} from {clock(begin)} to {clock(end)}"


def _looks(place: int, video: VideoPage) -> str:
    """The film strips; of several clips first where in the whole video it looked."""
    looks, height = video.looks, full_height(video.looks)
    anchors = [f"look-{place}-{rank}" for rank in range(1, len(looks) + 1)]
    parts = []
    if len(looks) > 1 and any(look.mean is not None for look in looks):
        parts.append(f"<h3>Over the whole video</h3>{overview(looks, anchors, height)}")
    for rank, (look, anchor) in enumerate(zip(looks, anchors, strict=True), 1):
        which = f"Clip {rank} of {len(looks)}" if len(looks) > 1 else "The clip"
        head = f"{which} · {clock(look.start)} – {clock(look.end)}"
        told = "".join(
            f'<span class="told">{part}</span>' for part in (_answered(look), text(look_summary(look))) if part
        )
        unfolded = " open" if rank <= _OPEN else ""
        parts.append(
            f'<details class="look" id="{anchor}"{unfolded}><summary>{head} {told}</summary>'
            f"{filmstrip(look, video.name, height)}</details>"
        )
    return "\n".join(parts)


def _answered(look: Look) -> str:
    if not look.answers:
        return ""
    label, probability = look.answers[0]
    return f"<bdi>{text(label)}</bdi> {number(probability)}"
