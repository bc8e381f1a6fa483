"""What AR-Net did with each frame of a video, what it answered and what that cost: one HTML file without any script.

Every candidate frame is a picture, drawn as large as the side of the square that was classified; what was skipped is
grey, what was not even decoded is an empty box. Seconds and GMAC stand beside what every frame at full size would take.
The file loads nothing; the videos stay where they are and are linked. Letters: T candidate frames.

Source: AR-Net sheet, section 2 (a skip drops the frame that decides, which was looked at, and those that follow it,
which were not).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..files import write_text
from .html import clock, text
from .marks import answer_table, number, part_key, part_style, share_bar, stacked_bar, video_link
from .media import image_uri
from .page import styles
from .video_cards import CardPage, render_cards, video_card

_STEPS = 16  # sides of pictures in the style sheet
_MANY = 24  # frames beyond which their columns are narrow
_TOLD = 3  # running answers that the pointer is told
_READING = (
    "Each picture is as large as the square that was classified. A grey picture was looked at and skipped; an empty "
    "box was not seen at all: that frame was never decoded. Below stands what had been answered up to there, and how "
    "surely; the bar is grey while that is not yet the final answer. Rest the pointer on a frame for more."
)


@dataclass(frozen=True)
class FrameChoice:
    """One candidate frame, and what became of it."""

    time: float
    """Seconds in the video."""
    size: int | None
    """Pixels of the side at which it was classified; None where it was skipped."""
    consulted: bool
    """Whether the policy looked at it; not where it follows a skip or the early end, and then it was never decoded."""
    picture: bytes | None
    """JPEG or PNG file, of which the square in the middle is drawn; None where there is none."""
    answers: Sequence[tuple[str, float]] = ()
    """(label, probability) after this frame, the most probable first."""
    reason: str = ""
    """Such as "skips 4", "policy's own answer", "after the early end"."""


@dataclass(frozen=True)
class CostRow:
    """What one part of the work took."""

    name: str
    """Such as "decode", "policy, 84 px", "efficientnet-lite2, 224 px"."""
    frames: int
    gmac: float
    """Billions of multiply-accumulates, of all these frames."""
    seconds: float
    size: int | None = None
    """One of the video's ``sizes``, whose colour it takes; None is grey."""


@dataclass(frozen=True)
class AdaptiveVideo:
    """One video: what was answered, what became of each frame, and what it cost."""

    name: str
    path: Path | None
    """The video's file, which is linked."""
    answers: Sequence[tuple[str, float]]
    """(label, probability), the most probable first."""
    choices: Sequence[FrameChoice]
    """In the order of time. Shape: [T]."""
    costs: Sequence[CostRow]
    sizes: Sequence[int]
    """The sides that the model can choose from, in pixels, the largest first."""
    dense_gmac: float
    """What every frame at the largest size would have cost."""
    seconds: float
    """Of all the work; what ``costs`` do not explain is shown as the rest."""
    note: str = ""
    """What a reader must know: damage, fewer frames than asked for."""

    def __post_init__(self) -> None:
        used = [choice.size for choice in self.choices] + [row.size for row in self.costs]
        strange = next((size for size in used if size is not None and size not in self.sizes), None)
        if strange is not None:
            raise ValueError(f"a side of {strange} px, but the model's are {', '.join(map(str, self.sizes))}")

    def style(self, size: int | None) -> str:
        """The class that colours what belongs to ``size``."""
        return part_style(0 if size is None else 1 + list(self.sizes).index(size))


AdaptivePage = CardPage[AdaptiveVideo]


def write_adaptive_page(path: str | Path, page: AdaptivePage) -> None:
    """Write ``page`` as one HTML file, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(path, render_adaptive_page(page, folder=Path(path).parent))


def render_adaptive_page(page: AdaptivePage, *, folder: Path | None = None) -> str:
    """The page's HTML; links are relative to ``folder``, where it will lie (the working directory when not given)."""
    reading = _READING if any(video.choices for video in page.videos) else ""
    style = styles("filmstrip", "recognition", "parts", "adaptive")
    return render_cards(
        page,
        lambda rank, video: _card(rank, video, folder),
        reading=reading,
        style=style,
        leads="names and times lead to the videos",
    )


def _card(rank: int, video: AdaptiveVideo, folder: Path | None) -> str:
    return video_card(
        rank,
        video.name,
        [answer_table(video.answers), _frames(video, folder), _costs(video)],
        path=video.path,
        start=next((choice.time for choice in video.choices if choice.size is not None), None),
        folder=folder,
        facts=_facts(video),
        note=video.note,
    )


def _facts(video: AdaptiveVideo) -> str:
    if not video.choices:
        return "no frame shown"
    count = f"{len(video.choices):,} frame{'' if len(video.choices) == 1 else 's'}"
    return f"{count} from {clock(video.choices[0].time)} to {clock(video.choices[-1].time)}"


def _frames(video: AdaptiveVideo, folder: Path | None) -> str:
    """Every candidate frame, in rows that are read like text, under a legend that counts them."""
    if not video.choices:
        return ""
    frames = "\n".join(_frame(choice, video, folder) for choice in video.choices)
    many = " many" if len(video.choices) > _MANY else ""
    label = text(f"{video.name}: frames over time")
    return f'<h3>Frames</h3>{_legend(video)}<ol class="frames{many}" aria-label="{label}">\n{frames}\n</ol>'


def _legend(video: AdaptiveVideo) -> str:
    """How many frames each choice got; sizes that none got are told too."""
    keys = [
        (part_key(video.style(size)), f"{size} px", sum(choice.size == size for choice in video.choices))
        for size in video.sizes
    ]
    skipped = [choice.consulted for choice in video.choices if choice.size is None]
    keys.append((part_key("looked"), "skipped", sum(skipped)))
    keys.append((part_key("never"), "not seen", len(skipped) - sum(skipped)))
    items = "".join(f"<li>{key}{name} <b>× {count}</b></li>" for key, name, count in keys)
    return f'<ul class="keys" aria-label="Frames of each kind">{items}</ul>'


def _frame(choice: FrameChoice, video: AdaptiveVideo, folder: Path | None) -> str:
    """One frame: picture, choice, time, and the answer up to there."""
    when = video_link(clock(choice.time), video.path, folder, choice.time)
    reason = f'<p class="why">{text(choice.reason)}</p>' if choice.reason else ""
    return (
        f'<li title="{text(_told(choice))}"><div class="shot">{_picture(choice, video)}</div>'
        f'<div><p class="choice">{_choice(choice)}</p><p class="when">{when}</p>{_running(choice, video)}{reason}</div>'
        "</li>"
    )


def _picture(choice: FrameChoice, video: AdaptiveVideo) -> str:
    """The square, at the side's share of the largest; what was skipped is as small as what the policy looks at."""
    sizes = video.sizes or (1,)
    side = f"side-{max(1, round(_STEPS * (choice.size or sizes[-1]) / max(sizes)))}"
    kind = "looked" if choice.consulted else "never"
    style = f"{side} {kind if choice.size is None else video.style(choice.size)}"
    alternative = text(f"{video.name} at {clock(choice.time)}, {_choice(choice)}")
    if choice.size is None and not choice.consulted:
        return f'<span class="{style}" role="img" aria-label="{alternative}"></span>'
    if choice.picture is None:
        return f'<span class="{style}" role="img" aria-label="{alternative}">–</span>'
    return f'<img class="{style}" src="{image_uri(choice.picture)}" alt="{alternative}" decoding="async">'


def _choice(choice: FrameChoice) -> str:
    if choice.size is not None:
        return f"{choice.size} px"
    return "skipped" if choice.consulted else "not seen"


def _told(choice: FrameChoice) -> str:
    """All about a frame, as plain text."""
    answers = "; ".join(f"{label} {number(probability)}" for label, probability in choice.answers[:_TOLD])
    return " · ".join(filter(None, (clock(choice.time), _choice(choice), choice.reason, answers)))


def _running(choice: FrameChoice, video: AdaptiveVideo) -> str:
    """The answer after a frame; its bar is grey while the final answer is another."""
    if not choice.answers:
        return ""
    label, probability = choice.answers[0]
    final = bool(video.answers) and video.answers[0][0] == label
    return (
        f'<div class="running">{share_bar(probability, "" if final else "other")}'
        f"<p>{number(probability)}</p><p><bdi>{text(label)}</bdi></p></div>"
    )


def _costs(video: AdaptiveVideo) -> str:
    """Two bars, of seconds and of GMAC, and a table that is their legend."""
    if not video.costs:
        return ""
    gmac, explained = _sum(row.gmac for row in video.costs), _sum(row.seconds for row in video.costs)
    parts = [(video.style(row.size), row) for row in video.costs]
    rest = video.seconds - explained
    if rest >= 0.01 * video.seconds > 0:
        parts.append(("part-rest", CostRow("the rest", 0, 0.0, rest)))
    seconds = max(explained, video.seconds) if math.isfinite(video.seconds) else explained
    dense = max(gmac, video.dense_gmac) if math.isfinite(video.dense_gmac) else gmac
    times = stacked_bar(
        ((style, row.seconds, f"{row.name}: {row.seconds:.3f} s") for style, row in parts),
        seconds,
        "Seconds of each part",
    )
    work = stacked_bar(
        ((style, row.gmac, f"{row.name}: {_amount(row.gmac)} GMAC") for style, row in parts),
        dense,
        "GMAC of each part",
    )
    return (
        f'<h3>Cost</h3><p class="saved">{_saved(video, gmac)}</p>'
        f'<div class="stacks"><span>{seconds:.3f} s</span>{times}<span>{_amount(gmac)} GMAC</span>{work}</div>'
        f"{_cost_table(parts, gmac, seconds)}"
    )


def _saved(video: AdaptiveVideo, gmac: float) -> str:
    if not (video.sizes and math.isfinite(video.dense_gmac) and video.dense_gmac > 0):
        return f"{_amount(gmac)} GMAC"
    return (
        f"<b>{_amount(gmac)}</b> of {_amount(video.dense_gmac)} GMAC that looking at every frame at {video.sizes[0]} px"
        f" would take (<b>{_percent(gmac, video.dense_gmac)}</b>)"
    )


def _cost_table(parts: Sequence[tuple[str, CostRow]], gmac: float, seconds: float) -> str:
    body = "\n".join(
        f'<tr><th scope="row"><span>{part_key(style)}<bdi>{text(row.name)}</bdi></span></th>'
        f"{_cells(f'{row.frames:,}' if row.frames else '–', row.gmac, row.seconds, seconds)}</tr>"
        for style, row in parts
    )
    names = ("Frames", "GMAC", "Seconds", "Share")
    head = '<th scope="col">Part</th>' + "".join(f'<th scope="col" class="num">{name}</th>' for name in names)
    foot = f'<tr><th scope="row">together</th>{_cells("", gmac, seconds, seconds)}</tr>'
    return (
        '<div class="wide"><table class="costs"><caption class="unseen">Cost</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody><tfoot>{foot}</tfoot></table></div>"
    )


def _cells(frames: str, gmac: float, seconds: float, whole: float) -> str:
    shown = (frames, _amount(gmac), f"{seconds:.3f}" if math.isfinite(seconds) else "–", _percent(seconds, whole))
    return "".join(f'<td class="num">{cell}</td>' for cell in shown)


def _amount(gmac: float) -> str:
    """GMAC with digits that still tell a small network from none."""
    if not math.isfinite(gmac):
        return "–"
    return f"{gmac:,.{2 if gmac >= 0.1 or not gmac else 4}f}"


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole > 0 and math.isfinite(part) else "–"


def _sum(values: Iterable[float]) -> float:
    return sum(value for value in values if math.isfinite(value))
