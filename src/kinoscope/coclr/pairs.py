"""What pretraining draws from a library: pairs of views, and which videos belong together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..clips.reader import Clips
from ..video.augment import AugmentOptions, apply_jitter, draw_jitter
from ..video.scaling import Frame
from ..video.streams import Stream
from .views import sample_views

TrainedStream = Literal["rgb", "flow", "difference", "jitter"]
"""A stream that a network learns: ``jitter`` is RGB in other colours, or as one of its channels, always."""

_GREY = 0.5  # how often a jittered clip shows one channel only


class PairedViews:
    """Pairs of views of the videos in a library (see :mod:`kinoscope.coclr.views`)."""

    def __init__(self, clips: Clips, augment: AugmentOptions) -> None:
        self.clips, self.augment = clips, augment

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def sources(self) -> npt.NDArray[np.int64]:
        """Which videos are of one source. Shape: [N]."""
        return self.clips.sources

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Class of each video, -1 where it is not known. Shape: [N]."""
        return self.clips.labels

    def describe(self, index: int) -> str:
        """The video's name."""
        return self.clips.names[index]

    def sample(
        self, index: int, rng: np.random.Generator, query: Sequence[TrainedStream], key: Sequence[TrainedStream]
    ) -> dict[str, dict[TrainedStream, Frame]]:
        """Query and key view of a video in the streams asked for. Shape of each: [T, S, S, 3], uint8."""
        of_colours = rng.spawn(1)[0]  # of its own: which streams are asked for changes no other draw
        pair = sample_views(self.clips, index, rng, _shown(query), _shown(key), self.augment)
        return {
            "query": {stream: _as(stream, pair["query"], of_colours) for stream in query},
            "key": {stream: _as(stream, pair["key"], of_colours) for stream in key},
        }


def shown_stream(stream: TrainedStream) -> Stream:
    """What has to be decoded for a stream."""
    return "rgb" if stream == "jitter" else stream


def _shown(streams: Sequence[TrainedStream]) -> list[Stream]:
    return list(dict.fromkeys(shown_stream(stream) for stream in streams))


def _as(stream: TrainedStream, views: dict[Stream, Frame], rng: np.random.Generator) -> Frame:
    clip = views[shown_stream(stream)]
    if stream != "jitter":
        return clip
    clip = apply_jitter(clip, draw_jitter(rng))
    return np.repeat(clip[..., rng.integers(3), None], 3, axis=-1) if rng.random() < _GREY else clip
