"""A few pictures of each of many videos, read only when a page asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import KinoscopeError
from ..video import open_video
from ..video.preview import pictures
from .content import Thumbnail


class VideoStrips:
    """Pictures of videos by their number; kept once read, as a page that is written again mostly asks for the same.

    Args:
        paths: the videos' files, None where there is none. Shape: [V].
        spans: the part of each that is meant, in seconds; None is all of it. Shape: [V], or empty.
        count: pictures of each.
        height: of a picture, in pixels.
    """

    def __init__(
        self,
        paths: Sequence[Path | None],
        spans: Sequence[tuple[float, float] | None] = (),
        *,
        count: int = 4,
        height: int = 96,
    ) -> None:
        if spans and len(spans) != len(paths):
            raise ValueError(f"{len(spans)} spans for {len(paths)} videos")
        self.paths, self.spans, self.count, self.height = paths, spans, count, height
        self._kept: dict[int, tuple[Thumbnail, ...]] = {}

    def __call__(self, video: int) -> tuple[Thumbnail, ...]:
        """Pictures of video ``video``, evenly spaced; none where it cannot be read."""
        if video not in self._kept:
            self._kept[video] = self._read(video)
        return self._kept[video]

    def _read(self, number: int) -> tuple[Thumbnail, ...]:
        path = self.paths[number]
        if path is None:
            return ()
        try:
            with open_video(path) as video:
                start, end = (self.spans[number] if self.spans else None) or (0.0, video.duration)
                moments = start + (np.arange(self.count) + 0.5) * (end - start) / self.count
                shown = pictures(video, moments, self.height)
        except KinoscopeError:
            return ()  # the page says that there is no picture
        return tuple(Thumbnail(float(moment), picture) for moment, picture in zip(moments, shown, strict=True))
