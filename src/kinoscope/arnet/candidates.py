"""Which frames of a video are candidates: one from each of T segments.

Frames count from 0 here, from 1 in the published code.

Source: AR-Net sheet, section 6. Where the rate varies, segments are equally long in time, not in frames.
"""

from __future__ import annotations

import numpy as np

from ..errors import OptionError
from ..video import Video
from ..video.sampling import IntArray


def middle_frames(frames: int, segments: int) -> IntArray:
    """The middle frame of each segment; of a video with no more frames than segments all, the last repeated.

    Shape: [T].

    Raises:
        OptionError: a count below 1.
    """
    _require(frames, segments)
    if frames <= segments:
        return np.minimum(np.arange(segments, dtype=np.int64), frames - 1)
    # ⌊n / 2T + k n / T⌋ in whole numbers: rounding of floats moves frames where the sum is a whole number
    return (2 * np.arange(segments, dtype=np.int64) + 1) * frames // (2 * segments)


def drawn_frames(frames: int, segments: int, rng: np.random.Generator) -> IntArray:
    """A random frame of each segment; see :func:`middle_frames` for short videos. Shape: [T], ascending.

    Raises:
        OptionError: a count below 1.
    """
    _require(frames, segments)
    if frames <= segments:
        return middle_frames(frames, segments)
    length = frames // segments
    return np.arange(segments, dtype=np.int64) * length + rng.integers(length, size=segments)


def candidates(
    video: Video,
    segments: int,
    part: tuple[float, float] | None = None,
    rng: np.random.Generator | None = None,
) -> IntArray:
    """The candidate frames of a video, or of a part of it (seconds from and to); random ones with ``rng``. Shape: [T].

    Raises:
        VideoError: it cannot be read.
        OptionError: a count below 1.
    """
    first, end = _span(video, part)
    if not video.variable_rate or end - first <= segments:
        chosen = middle_frames(end - first, segments) if rng is None else drawn_frames(end - first, segments, rng)
        return first + chosen
    begin, after = (0.0, video.duration) if part is None else part
    share = 0.5 if rng is None else rng.random(segments)
    moments = begin + (np.arange(segments) + share) * (min(after, video.duration) - begin) / segments  # [T]
    return np.clip(video.positions_at(moments), first, end - 1)


def _span(video: Video, part: tuple[float, float] | None) -> tuple[int, int]:
    """First frame of a part, and the one after its last; at least one frame."""
    if part is None:
        return 0, len(video)
    first, last = video.positions_at(np.asarray(part, np.float64)).tolist()
    begins_later = video.times[last] >= part[1] - 1e-9
    return first, max(first + 1, last + (not begins_later))


def _require(frames: int, segments: int) -> None:
    if frames < 1 or segments < 1:
        raise OptionError(f"frames {frames} and segments {segments} must be at least 1")
