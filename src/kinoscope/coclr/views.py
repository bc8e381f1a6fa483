"""The pair of views that a training step compares: drawn once, shown in every stream that is asked for.

Source: CoCLR (arXiv 2010.09709), specification, section 6. Different from the official code: the last frame can be
drawn (there it never is), and a clip that no view shows is not decoded.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..clips.reader import Clips
from ..video.augment import AugmentOptions, View, apply_view, draw_view
from ..video.scaling import Frame
from ..video.streams import Stream

Role = Literal["query", "key"]
Views = dict[str, dict[Stream, Frame]]
"""Clips [T, S, S, 3] by role and stream."""

_ONE_CLIP = 0.5  # probability that both views show the same clip


@dataclass(frozen=True)
class Pairing:
    """Where the two views come from, and which of them are strong; query first."""

    starts: tuple[int, int]
    """First sample of each."""
    strong: tuple[bool, bool]

    @property
    def one_clip(self) -> bool:
        """Whether both show the same samples."""
        return self.starts[0] == self.starts[1]


def draw_pairing(rng: np.random.Generator, starts: int, strong: float) -> Pairing:
    """Either two clips, each strong or weak by itself, or one clip, strong in one view and weak in the other.

    Args:
        rng: where all randomness comes from.
        starts: how many samples a clip can begin at.
        strong: probability that a view of two clips is strong.
    """
    first, second = rng.integers(starts, size=2).tolist()
    if rng.random() < _ONE_CLIP:
        query_is_strong = bool(rng.random() < 0.5)
        return Pairing((first, first), (query_is_strong, not query_is_strong))
    query_is_strong, key_is_strong = (rng.random(2) < strong).tolist()
    return Pairing((first, second), (query_is_strong, key_is_strong))


def sample_views(
    clips: Clips,
    i: int,
    rng: np.random.Generator,
    query: Sequence[Stream],
    key: Sequence[Stream],
    options: AugmentOptions = AugmentOptions(),
) -> Views:
    """A pair of views of one video.

    All streams of a view show the same samples, crop, flip, colours and blur. Which streams are asked for changes no
    draw: a run on one stream and a run on two see the same views from the same ``rng``.

    Args:
        clips: the library.
        i: number of the video in it.
        rng: where all randomness comes from.
        query: streams wanted of the query's view.
        key: streams wanted of the key's view.
        options: how views are changed.

    Returns:
        By role and stream. Shape: [T, S, S, 3], uint8.

    Raises:
        VideoError: the video is gone.
    """
    pairing = draw_pairing(rng, clips.starts(i), options.strong)
    asked: tuple[tuple[Role, Sequence[Stream]], ...] = (("query", query), ("key", key))
    spans = [(start, streams) for start, (_, streams) in zip(pairing.starts, asked, strict=True)]
    read = clips.read(i, spans)
    begin = time.perf_counter()
    views: Views = {}
    for (role, _), found, strong in zip(asked, read, pairing.strong, strict=True):
        view = draw_view(rng, clips.frame_size(i), options, strong=strong)
        views[role] = {stream: _shown(clip, view, clips, stream, options) for stream, clip in found.items()}
    clips.effort.augmenting += time.perf_counter() - begin
    return views


def _shown(clip: Frame, view: View, clips: Clips, stream: Stream, options: AugmentOptions) -> Frame:
    return apply_view(clip, view, clips.options.size, stream=stream, physical=options.physical)
