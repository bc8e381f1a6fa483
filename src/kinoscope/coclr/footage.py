"""One video as pretraining looks at it: sampled by time, scaled once, each frame that is shown kept once.

A *sample* is a moment, 1 / fps after the one before; a *row* is a distinct frame. A file with fewer frames per second
than are asked for shows a row in several samples; one with more leaves frames out.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..errors import DamagedVideoWarning
from ..video.flow.encoding import FlowSettings
from ..video.reader import Video, open_video
from ..video.sampling import IntArray, sample_times
from ..video.scaling import Frame
from ..video.streams import Stream, render_motion, rows_in_motion


@dataclass
class Effort:
    """Where the seconds of one process went."""

    decoding: float = 0.0
    """Seconds of opening videos and decoding them, or of reading what is cached."""
    motion: float = 0.0
    """Seconds of computing flow and differences."""
    augmenting: float = 0.0
    """Seconds of drawing and applying views."""


@dataclass(frozen=True)
class Footage:
    """Which frames of a video are looked at."""

    path: Path
    rows: IntArray
    """Which row each sample shows. Shape: [N]."""
    positions: IntArray
    """Where in the file each row is. Shape: [U]."""
    size: tuple[int, int]
    """Height and width of the scaled frames: the whole frame, its short side as asked."""
    damage: str | None = field(default=None, compare=False)
    """What of the file is missing or broken, as far as is known."""


def survey(path: Path, fps: float, short_side: int) -> Footage:
    """What of a video is looked at; no frame but the first is decoded.

    Raises:
        VideoError: the file cannot be read as a video.
    """
    with quiet_video(path) as video:
        moments = sample_times(video.duration, fps)
        shown = video._displayed(moments)  # as `video.frames_at(moments)` does, without decoding
        positions, rows = np.unique(shown, return_inverse=True)
        return Footage(path, rows, positions, scaled_size(video.size, short_side), video.damage)


def scaled_size(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Height and width after the short side became ``short_side``; the long one is even, which scales faster."""
    long = max(short_side, 2 * round(max(size) * short_side / min(size) / 2))
    return (short_side, long) if size[0] <= size[1] else (long, short_side)


def decode_rows(
    footage: Footage, rows: dict[Stream, IntArray], flow: FlowSettings, effort: Effort
) -> dict[Stream, Frame]:
    """Rows of several streams from one pass over the video.

    Args:
        footage: the video.
        rows: which rows of each stream, ascending and distinct.
        flow: how motion is measured.
        effort: grows by the seconds that this takes.

    Returns:
        By stream. Shape: [n, h, w, 3], uint8.

    Raises:
        VideoError: the file cannot be read any more.
    """
    count = len(footage.positions)
    needed = [each if stream == "rgb" else rows_in_motion(each, count) for stream, each in rows.items()]
    seen = np.unique(np.concatenate(needed))
    begin = time.perf_counter()
    with quiet_video(footage.path) as video:
        frames = video.frames_by_index(footage.positions[seen], size=footage.size).frames  # [n, h, w, 3]
    effort.decoding += time.perf_counter() - begin

    def pictures(wanted: IntArray) -> Frame:
        return frames[np.searchsorted(seen, wanted)]

    return {stream: take_rows(stream, each, count, pictures, flow, effort) for stream, each in rows.items()}


def take_rows(
    stream: Stream,
    rows: IntArray,
    count: int,
    pictures: Callable[[IntArray], Frame],
    flow: FlowSettings,
    effort: Effort,
) -> Frame:
    """Rows of one stream, from the pictures of ``count`` rows. Shape: [n, h, w, 3], uint8."""
    if stream == "rgb":
        return pictures(rows)
    needed = rows_in_motion(rows, count)
    frames = pictures(needed)
    begin = time.perf_counter()
    parts = [render_motion(frames[run], stream, flow) for run in runs(needed)]
    effort.motion += time.perf_counter() - begin
    return np.concatenate(parts)[np.searchsorted(needed, rows)]


def runs(rows: IntArray) -> list[slice]:
    """Where ascending ``rows`` follow one another without a gap."""
    ends = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
    return [slice(begin, end) for begin, end in pairwise(ends)]


@contextmanager
def quiet_video(path: Path) -> Iterator[Video]:
    """Open a video without warnings of damage: whoever trains on thousands is told once, in the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedVideoWarning)
        with open_video(path) as video:
            yield video
