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
from ..video.sampling import FloatArray, IntArray, sample_times
from ..video.scaling import Frame, scaled_size
from ..video.streams import Stream, render_motion, rows_in_motion
from .motion import StoredFlow, find_stored


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
    times: FloatArray
    """When each row appears, in seconds. Shape: [U]."""
    size: tuple[int, int]
    """Height and width of the scaled frames: the whole frame, its short side as asked."""
    stored: StoredFlow | None = None
    """Where its motion is read from; none: it is computed."""
    damage: str | None = field(default=None, compare=False)
    """What of the file is missing or broken, as far as is known."""


def survey(
    path: Path, fps: float, short_side: int, flow: FlowSettings | None = None, flow_file: Path | None = None
) -> Footage:
    """What of a video is looked at; no frame but the first is decoded.

    Args:
        path: the video.
        fps: samples per second.
        short_side: of the scaled frames, in pixels.
        flow: the motion that ``flow_file`` must hold.
        flow_file: what ``kinoscope flow`` made of the video; none: motion is computed.

    Raises:
        VideoError: the file cannot be read as a video, or its flow file cannot be used.
    """
    with quiet_video(path) as video:
        moments = sample_times(video.duration, fps)
        shown = video.positions_at(moments)
        positions, rows = np.unique(shown, return_inverse=True)
        size = scaled_size(video.size, short_side)
        stored = find_stored(flow_file, path, flow) if flow is not None and flow_file is not None else None
        return Footage(path, rows, positions, video.times[positions], size, stored, video.damage)


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
    found: dict[Stream, Frame] = {}
    begin = time.perf_counter()
    if footage.stored is not None and "flow" in rows:
        found["flow"] = footage.stored.read(footage.times, rows["flow"], footage.size, flow)
    needed = [rows_shown(stream, each, count) for stream, each in rows.items() if stream not in found]
    seen = np.unique(np.concatenate(needed)) if needed else np.empty(0, np.int64)
    if len(seen):
        with quiet_video(footage.path) as video:
            frames = video.frames_by_index(footage.positions[seen], size=footage.size).frames  # [n, h, w, 3]
    effort.decoding += time.perf_counter() - begin

    def pictures(wanted: IntArray) -> Frame:
        return frames[np.searchsorted(seen, wanted)]

    for stream, each in rows.items():
        if stream not in found:
            found[stream] = take_rows(stream, each, count, pictures, flow, effort)
    return found


def rows_shown(stream: Stream, rows: IntArray, count: int) -> IntArray:
    """Which of ``count`` rows must be decoded for ``rows`` of a stream."""
    return rows if stream == "rgb" else rows_in_motion(rows, count)


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
