"""Where in time a recogniser looked: a film strip of one clip with the class token's attention under every picture.

Letters: N tokens over time, L layers, H heads.

Source: BERT head sheet, section 2 (the class token draws from N moments; what it keeps of itself is its own weight).
Attention tells what was read, not why the answer was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .html import clock, text
from .media import image_uri

_ROW = 13  # pixels of a head's row
_STANDS_OUT = 1.1  # times what it would be if every token were looked at alike


@dataclass(frozen=True)
class Look:
    """One clip that was looked at, and how much of each of its moments was taken."""

    start: float
    """Seconds."""
    end: float
    spans: Sequence[tuple[float, float]]
    """From when to when each token is, in seconds. Shape: [N]."""
    pictures: Sequence[bytes | None] = ()
    """JPEG or PNG files: the frame nearest to each token's middle; None where there is none. Shape: [N], or empty."""
    attention: NDArray[np.floating] | None = None
    """Weights of the class token on the tokens; None for a head without attention. Shape: [L, H, N]."""
    self_weight: float | None = None
    """Weight of the class token on itself, mean over the heads of the last layer; without, what is missing to 1."""
    class_token: bool = True
    """Whether the head has a class token; without one the weights are those of the mean of all tokens."""
    answers: Sequence[tuple[str, float]] = ()
    """(label, probability) of this clip alone, the most probable first."""

    def __post_init__(self) -> None:
        count = len(self.spans)
        if self.pictures and len(self.pictures) != count:
            raise ValueError(f"a look of {count} tokens has {len(self.pictures)} pictures")
        if self.attention is not None and (self.attention.ndim != 3 or self.attention.shape[2] != count):
            raise ValueError(f"attention has shape {self.attention.shape}, but must be [L, H, {count}]")

    @cached_property
    def mean(self) -> NDArray[np.float64] | None:
        """Mean over the heads of the last layer, whose class token is the answer. Shape: [N]."""
        if self.attention is None or not self.attention.size:
            return None
        return np.nan_to_num(np.asarray(self.attention[-1], dtype=np.float64)).mean(axis=0)  # [H, N] -> [N]

    @property
    def strongest(self) -> int | None:
        """The token that was looked at most; none where nothing stands out."""
        if self.mean is None or self.mean.max() <= _STANDS_OUT * self.even:
            return None
        return int(self.mean.argmax())

    @property
    def own(self) -> float | None:
        """Weight of the class token on itself; None where there is no class token, or no attention."""
        if self.self_weight is not None or self.mean is None or not self.class_token:
            return self.self_weight
        return float(np.clip(1.0 - self.mean.sum(), 0.0, 1.0))

    @property
    def even(self) -> float:
        """The weight of every token, the class token among them, if none were preferred."""
        return 1.0 / (len(self.spans) + self.class_token)


def full_height(looks: Sequence[Look]) -> float:
    """The weight that fills a bar, one for several looks, so that they can be compared; even attention fills half."""
    means = [look.mean for look in looks if look.mean is not None]
    return max([2 * look.even for look in looks] + [float(mean.max()) for mean in means], default=1.0)


def filmstrip(look: Look, name: str, height: float) -> str:
    """The look as HTML: pictures with their times, a bar under each, a row for each head.

    Args:
        name: of the video, for those who cannot see the pictures.
        height: the weight that fills a bar, see :func:`full_height`.
    """
    strongest = look.strongest if look.strongest is not None else -1
    moments = "".join(_moment(look, index, name, index == strongest) for index in range(len(look.spans)))
    rows = [_gutter(""), f'<div class="moments">{moments}</div>']
    if look.mean is not None:
        rows += [_gutter("mean"), _bars(look, look.mean, height), *_shares(look.mean, strongest), *_heads(look)]
    label = f"{name}, {_span(look.start, look.end)}: pictures over time"
    few = " few" if len(look.spans) < 4 else ""  # one picture as wide as the page would say no more
    return f'<div class="strip{few}" tabindex="0" role="group" aria-label="{text(label)}">{"".join(rows)}</div>'


def look_summary(look: Look) -> str:
    """Where it looked most, in words, as plain text."""
    if look.mean is None:
        return ""
    own = f"{_percent(look.own)} on the class token itself" if look.own is not None else ""
    best = look.strongest
    if best is None:
        return "; ".join(filter(None, ("looked everywhere alike", own)))
    return "; ".join(filter(None, (f"most at {_span(*look.spans[best])}: {_percent(look.mean[best])}", own)))


def overview(looks: Sequence[Look], anchors: Sequence[str], height: float) -> str:
    """All looks of a video over its time, as SVG: a block for each token, of a stronger colour where more was taken.

    Clips that overlap lie in rows of their own; each leads to its film strip.

    Args:
        anchors: the element that each look's film strip is.
    """
    begin, end = min(look.start for look in looks), max(look.end for look in looks)
    lanes = _lanes(looks)
    scale = 1000 / max(end - begin, 1e-9)
    blocks = []
    for look, lane, anchor in zip(looks, lanes, anchors, strict=True):
        cells = "".join(
            _cell((first - begin) * scale, lane, (last - first) * scale, weight / height, _told(first, last, weight))
            for (first, last), weight in zip(look.spans, _weights(look), strict=True)
        )
        blocks.append(f'<a href="#{anchor}" aria-label="{_span(look.start, look.end)}">{cells}</a>')
    depth = max(lanes) + 1
    drawing = (
        f'<svg class="heat" viewBox="0 0 1000 {depth}" height="{18 * depth}" preserveAspectRatio="none">'
        f"{''.join(blocks)}</svg>"
    )
    return (
        f'<div class="overview">{drawing}<p class="ends"><span>{clock(begin)}</span><span>{clock(end)}</span></p></div>'
    )


def _lanes(looks: Sequence[Look]) -> list[int]:
    """The first row in which each look overlaps none before it."""
    free: list[float] = []
    lanes = []
    for look in looks:
        lane = next((lane for lane, until in enumerate(free) if look.start >= until - 1e-6), len(free))
        free[lane : lane + 1] = [look.end]
        lanes.append(lane)
    return lanes


def _moment(look: Look, index: int, name: str, strongest: bool) -> str:
    """One token: its picture and its time, of which narrow columns show the beginning only."""
    start, end = look.spans[index]
    picture = look.pictures[index] if look.pictures else None
    alternative = text(f"{name} at {clock((start + end) / 2)}")
    shown = (
        '<span class="blank" aria-label="no picture">–</span>'
        if picture is None
        else f'<img src="{image_uri(picture)}" alt="{alternative}" decoding="async">'
    )
    times = f'<span class="from">{start:.2f}</span><span class="to">–{end:.2f} s</span>'
    mark = " strongest" if strongest else ""
    return f'<div class="moment{mark}" title="{_span(start, end)}">{shown}<span class="times">{times}</span></div>'


def _bars(look: Look, mean: NDArray[np.float64], height: float) -> str:
    """Bars over a dashed line where even attention would end."""
    bars = "".join(
        f'<rect x="{index + 0.06:.2f}" y="{1 - share:.4f}" width="0.88" height="{share:.4f}">'
        f"<title>{_told(*look.spans[index], weight)}</title></rect>"
        for index, weight in enumerate(mean)
        for share in [min(weight / height, 1.0)]
    )
    level = 1 - look.even / height
    line = f'<path class="even" d="M0 {level:.4f}H{len(mean)}"><title>even: {_percent(look.even)}</title></path>'
    return (
        f'<svg class="bars" viewBox="0 0 {len(mean)} 1" height="56" preserveAspectRatio="none" role="img"'
        f' aria-label="Attention over time">{bars}{line}</svg>'
    )


def _shares(mean: NDArray[np.float64], strongest: int) -> list[str]:
    """The bars' values as numbers."""
    numbers = (
        f"<b>{_percent(weight)}</b>" if index == strongest else f"<span>{_percent(weight)}</span>"
        for index, weight in enumerate(mean)
    )
    return [_gutter(""), f'<div class="shares">{"".join(numbers)}</div>']


def _heads(look: Look) -> list[str]:
    """A row of cells for each head, layer by layer; the strongest colour is the largest weight."""
    assert look.attention is not None
    weights = np.nan_to_num(np.asarray(look.attention, dtype=np.float64))  # [L, H, N]
    layers, heads, count = weights.shape
    largest = max(float(weights.max()), 2 * look.even)
    rows = []
    for layer in range(layers):
        where = f"layer {layer + 1}, " if layers > 1 else ""
        cells = "".join(
            _cell(index, head, 1, weight / largest, f"{where}head {head + 1}: {_told(*look.spans[index], weight)}")
            for head, row in enumerate(weights[layer])
            for index, weight in enumerate(row)
        )
        names = "".join(f"<li>{f'{layer + 1} · ' if layers > 1 else ''}head {head + 1}</li>" for head in range(heads))
        rows.append(f'<ol class="gutter heads">{names}</ol>')
        rows.append(
            f'<svg class="heat" viewBox="0 0 {count} {heads}" height="{_ROW * heads}" preserveAspectRatio="none"'
            f' role="img" aria-label="Attention of {where}{heads} heads">{cells}</svg>'
        )
    return rows


def _weights(look: Look) -> list[float]:
    return [0.0] * len(look.spans) if look.mean is None else look.mean.tolist()


def _cell(x: float, y: int, width: float, shade: float, told: str) -> str:
    """A block of a heat map, one unit high; ``shade`` from 0 to 1."""
    place = f'x="{x:g}" y="{y}" width="{width:g}" height="1"'
    return f'<rect {place} fill-opacity="{min(max(shade, 0.0), 1.0):.3g}"><title>{told}</title></rect>'


def _told(start: float, end: float, weight: float) -> str:
    return f"{_span(start, end)}: {weight:.4f}"


def _span(start: float, end: float) -> str:
    return f"{start:.2f} – {end:.2f} s"


def _percent(weight: float | None) -> str:
    return "–" if weight is None else f"{100 * weight:.0f} %"


def _gutter(label: str) -> str:
    return f'<span class="gutter">{label}</span>'
