"""Segments without any training: where a classifier's probabilities over time rise and fall.

Every class is a curve through the centres of the rows. It is smoothed, and a segment is a stretch above the low
threshold that somewhere reaches the high one (hysteresis); its boundaries are where the curve, linear between rows,
crosses the low threshold. All options are in seconds and probabilities: they mean the same at any row rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.feature_time import video_duration
from ..data.features import FeatureTime
from ..data.segments import Segment
from ..errors import FeatureError, OptionError
from .nms import hard_nms
from .options import at_least, between

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ScoreOptions:
    """How score curves become segments."""

    smoothing: Literal["gaussian", "median", "none"] = "gaussian"
    """Filter over time."""
    smoothing_seconds: float = 0.5
    """Standard deviation of the Gaussian, or full width of the median window, in seconds."""
    high: float = 0.3
    """A segment must reach this probability somewhere."""
    low: float = 0.15
    """A segment extends as far as the probability stays at or above this."""
    merge_gap: float = 1.0
    """Segments of one class that are at most this many seconds apart become one."""
    min_duration: float = 0.5
    """Shorter segments are dropped, after merging; in seconds."""
    score: Literal["mean", "peak"] = "mean"
    """A segment's score: mean or largest unsmoothed probability of its rows. It is never renormalised."""
    overlap: float | None = 0.8
    """A segment that overlaps a better one of another class by this tIoU or more is dropped; none: all stay."""

    def __post_init__(self) -> None:
        if self.smoothing not in ("gaussian", "median", "none"):
            raise OptionError(f"smoothing is {self.smoothing!r}", cure="choose gaussian, median or none")
        if self.score not in ("mean", "peak"):
            raise OptionError(f"score is {self.score!r}", cure="choose mean or peak")
        for name in ("smoothing_seconds", "merge_gap", "min_duration"):
            at_least(name, getattr(self, name), 0)
        for name in ("high", "low"):
            between(name, getattr(self, name), 0, 1)
        if self.low > self.high:
            raise OptionError(f"low {self.low} is above high {self.high}", cure="lower low, or raise high")
        if self.overlap is not None:
            between("overlap", self.overlap, 1e-6, 1)


def segments_from_scores(
    scores: ArrayLike, time: FeatureTime, classes: Sequence[str], options: ScoreOptions | None = None
) -> list[Segment]:
    """Segments of every class whose probability ever reaches ``options.high``, best first.

    Segments of one class never overlap; those of different classes may. All lie within the video.

    Args:
        scores: probabilities, one row per feature row.
        time: when each row was.
        classes: name of each column.

    Shape:
        scores [T, K].

    Raises:
        FeatureError: scores that are not [T, K] probabilities.
    """
    options = options or ScoreOptions()
    values = _checked(scores, len(classes))
    found: list[Segment] = []
    # Smoothing never raises a maximum: columns that stay below the high threshold need no work.
    for column in np.flatnonzero(values.max(axis=0) >= options.high).tolist():
        raw = values[:, column]
        found += _class_segments(raw, smooth(raw, time.step, options), time, classes[column], options)
    return _without_near_copies(found, options.overlap)


def smooth(curve: Floats, step: float, options: ScoreOptions) -> Floats:
    """Smooth ``curve`` [T], whose rows are ``step`` seconds apart; every value stays within its neighbours' range."""
    if options.smoothing == "none" or options.smoothing_seconds == 0:
        return curve
    width = options.smoothing_seconds / step  # in rows
    radius = min(round(width / 2) if options.smoothing == "median" else int(np.ceil(4 * width)), len(curve))
    if radius == 0:
        return curve
    if options.smoothing == "median":
        padded = np.pad(curve, radius, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1)  # [T, 2 · radius + 1]
        return np.asarray(np.median(windows, axis=1))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / width) ** 2)
    inside = np.convolve(np.ones_like(curve), kernel)[radius:-radius]  # the kernel's mass within the video
    return np.asarray(np.convolve(curve, kernel)[radius:-radius] / inside)


def _checked(scores: ArrayLike, classes: int) -> Floats:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or not len(values) or values.shape[1] != classes:
        raise FeatureError(
            f"scores have shape {values.shape}, but must be [T, {classes}] with T of at least 1",
            cure="give one row per feature row and one column per class",
        )
    if not (np.isfinite(values).all() and values.min() >= -1e-6 and values.max() <= 1 + 1e-6):
        raise FeatureError(
            f"scores lie between {values.min():g} and {values.max():g}, but must be probabilities",
            cure="apply softmax or sigmoid first",
        )
    return np.clip(values, 0, 1)


def _class_segments(raw: Floats, curve: Floats, time: FeatureTime, label: str, options: ScoreOptions) -> list[Segment]:
    centres = time.centers(len(curve))
    spans: list[list[float]] = []
    for first, last in _runs(curve, options):
        start, end = _boundaries(curve, centres, first, last, options.low, time)
        if spans and start - spans[-1][1] <= options.merge_gap:
            spans[-1][1] = end
        else:
            spans.append([start, end])
    duration = video_duration(time, len(curve))
    segments = []
    for start, end in spans:
        rows = raw[(centres >= start) & (centres <= end)]
        start, end = max(start, 0.0), min(end, duration)
        if end > start and end - start >= options.min_duration and len(rows):
            score = float(rows.mean() if options.score == "mean" else rows.max())
            segments.append(Segment(float(start), float(end), label, score))
    return segments


def _runs(curve: Floats, options: ScoreOptions) -> list[tuple[int, int]]:
    """First and last row of every stretch at or above ``low`` that reaches ``high``."""
    above = np.concatenate([[False], curve >= options.low, [False]])
    edges = np.flatnonzero(above[1:] != above[:-1]).reshape(-1, 2)  # [R, 2]: first row, one after the last
    return [(int(first), int(end) - 1) for first, end in edges if curve[first:end].max() >= options.high]


def _boundaries(
    curve: Floats, centres: Floats, first: int, last: int, low: float, time: FeatureTime
) -> tuple[float, float]:
    """Where the curve crosses ``low`` on both sides of rows ``first`` to ``last``.

    At the ends of the video, where there is nothing to cross, a segment reaches as far as the outermost row saw.
    """
    half = 0.5 * time.clip_length / time.fps
    start, end = centres[first] - half, centres[last] + half
    if first > 0:
        start = centres[first] - time.step * (curve[first] - low) / (curve[first] - curve[first - 1])
    if last + 1 < len(curve):
        end = centres[last] + time.step * (curve[last] - low) / (curve[last] - curve[last + 1])
    return float(start), float(end)


def _without_near_copies(segments: list[Segment], overlap: float | None) -> list[Segment]:
    """Best first; of segments that nearly coincide only the best (within a class none overlap)."""
    bounds = np.array([[segment.start, segment.end] for segment in segments]).reshape(-1, 2)
    scores = [segment.score or 0.0 for segment in segments]
    order = hard_nms(bounds, scores, 1.0 if overlap is None else overlap)
    return [segments[place] for place in order]
