"""Real clips to compare and to calibrate with: as the network will see them, from videos."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..encoders.catalog import EncoderSpec
from ..encoders.folder import find_videos
from ..encoders.rendering import rendered_clips
from ..errors import OptionError
from ..video import open_video


def clips_of(source: Path, spec: EncoderSpec, most: int) -> list[np.ndarray]:
    """The first clips of the videos in ``source``, as many of each as are needed for ``most`` in all.

    Args:
        source: a folder of videos, or one.
        spec: how clips are made.
        most: clips in all.

    Raises:
        VideoError: no videos there, or one that cannot be read.
    """
    return clips_of_videos(list(find_videos(source).values()), spec, most)


def clips_of_videos(videos: Sequence[Path], spec: EncoderSpec, most: int) -> list[np.ndarray]:
    """The first clips of videos, spread over them; one of each comes before a second of any.

    Shape of each: [T, S, S, 3], uint8.
    """
    if most < 1:
        raise OptionError(f"--clips is {most}, but must be at least 1")
    step = max(1, len(videos) // most)
    chosen = list(videos)[::step][:most]
    apart = replace(spec, stride=spec.clip_length)
    found = []
    for path in chosen:
        with open_video(path) as video:
            found.append(list(islice(rendered_clips(video, apart), math.ceil(most / len(chosen)))))
    in_turn = chain.from_iterable(zip_longest(*found))
    return [clip for clip in in_turn if clip is not None][:most]


def made_clips(spec: EncoderSpec, most: int) -> list[np.ndarray]:
    """Clips of made videos, for want of real ones."""
    with made_videos(max(1.0, spec.clip_length / spec.fps)) as videos:
        return clips_of_videos(videos, spec, most)


@contextmanager
def made_videos(seconds: float) -> Iterator[list[Path]]:
    """Videos for want of real ones, as long as they are needed."""
    from ..data.playground import PlaygroundOptions, make_playground

    options = PlaygroundOptions(
        clips_per_class=1, clip_seconds=(seconds, seconds), orders_per_class=0, details_per_class=0, untrimmed_videos=0
    )
    with tempfile.TemporaryDirectory() as folder:
        yield list(make_playground(folder, options).videos)


Clip = TypeVar("Clip")


def held_out(clips: Sequence[Clip]) -> tuple[list[Clip], list[Clip]]:
    """Clips (or videos) to calibrate with, and every fourth to compare with; a single one serves for both."""
    if len(clips) < 2:
        return list(clips), list(clips)
    every = min(4, len(clips))
    compared = set(range(every - 1, len(clips), every))
    return [c for n, c in enumerate(clips) if n not in compared], [c for n, c in enumerate(clips) if n in compared]
