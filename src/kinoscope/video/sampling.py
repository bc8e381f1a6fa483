"""Which moments of a video are looked at: pure arithmetic on seconds, so that everybody agrees without decoding."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import OptionError

Tail = Literal["pad", "drop"]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# A sample this small a part of its step before the end does not count: `duration * fps` is rarely a whole number in
# floating point, and a 10 s video at 30 frames per second has 300 samples, not 301.
_SLACK = 1e-4


def time_span(duration: float, start: float = 0.0, end: float | None = None) -> tuple[float, float]:
    """Check a part of a video; ``end`` is cut to the duration.

    Args:
        duration: length of the video, in seconds.
        start: first moment of interest, in seconds.
        end: end of the part, in seconds; ``None`` means the end of the video.

    Raises:
        OptionError: for a negative, infinite or NaN bound, ``start >= end``, or a start beyond the duration.
    """
    if not (math.isfinite(start) and start >= 0):
        raise OptionError(f"start is {start} s, but must be a number of seconds from 0 on")
    if end is not None and not end > start:
        raise OptionError(f"end is {end} s, but must lie after start, which is {start} s")
    if start >= duration:
        raise OptionError(f"start is {start} s, but the video ends at {duration:.3f} s", cure="choose an earlier start")
    return start, duration if end is None else min(end, duration)


def sample_times(duration: float, fps: float, *, start: float = 0.0, end: float | None = None) -> FloatArray:
    """The moments at which a video is sampled: ``start + k / fps`` for every k before ``end``; at least one.

    Shape: [N], in seconds.

    Raises:
        OptionError: when ``fps`` is not a positive number, or the span is empty (see :func:`time_span`).
    """
    if not (math.isfinite(fps) and fps > 0):
        raise OptionError(f"fps is {fps}, but must be a positive number of frames per second")
    start, end = time_span(duration, start, end)
    count = max(1, math.ceil((end - start) * fps - _SLACK))
    return start + np.arange(count) / fps


def clip_starts(samples: int, *, length: int, stride: int, tail: Tail = "pad") -> IntArray:
    """At which samples the clips of a video of ``samples`` samples begin. Shape: [N].

    Clips of ``length`` samples begin ``stride`` samples apart. What is left at the end, and in no full clip, is
    given in one more clip that runs over the end (``tail="pad"``, so that every sample is in some clip as long as
    ``stride <= length``), or left out (``tail="drop"``). A video shorter than one clip always gives one clip.

    Raises:
        OptionError: when a count is below 1 or ``tail`` is unknown.
    """
    for name, value in (("samples", samples), ("length", length), ("stride", stride)):
        if value < 1:
            raise OptionError(f"{name} is {value}, but must be 1 or more")
    if tail not in ("pad", "drop"):
        raise OptionError(f"tail is {tail!r}, but must be 'pad' or 'drop'")
    left = max(0, samples - length)
    last = math.ceil(left / stride) if tail == "pad" else left // stride
    starts = np.arange(last + 1, dtype=np.int64) * stride
    return starts[starts < samples]  # with stride > length the tail may lie in the gap between two clips


def clip_samples(samples: int, *, length: int, stride: int, tail: Tail = "pad") -> IntArray:
    """Which samples each clip holds; samples past the end are replaced by the last one. Shape: [N, T]."""
    starts = clip_starts(samples, length=length, stride=stride, tail=tail)
    return np.minimum(starts[:, None] + np.arange(length), samples - 1)  # [N, T]


def displayed(times: FloatArray, seconds: Any, *, tolerance: float = 0.0) -> IntArray:
    """Index of the frame on display at each moment: the last with ``time <= seconds + tolerance``, else the first.

    Args:
        times: timestamps of all frames, ascending, in seconds. Shape: [N].
        seconds: moments, in seconds. Any shape; the result has the same.
        tolerance: how much a timestamp may lie later than the true moment, because containers round it.
    """
    found = np.searchsorted(times, np.asarray(seconds, dtype=np.float64) + tolerance, side="right") - 1
    return np.maximum(found, 0).astype(np.int64)
