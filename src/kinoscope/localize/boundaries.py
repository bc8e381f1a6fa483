"""Event boundaries without labels or training: change points of the similarity map of a video's features.

A checkerboard kernel slides along the diagonal of the cosine similarity matrix (Foote, "Automatic audio segmentation
using a measure of audio novelty", ICME 2000): novelty is high where the rows before a moment resemble each other, those
after it too, but not the ones the others. Its Gaussian taper is separable, so with unit rows the kernel's sum over the
matrix is the squared distance between two tapered means::

    Σ_ab w_a w_b (s[past a, past b] + s[future a, future b] - 2 s[past a, future b]) = |mean of past - mean of future|²

Hence the matrix, and even its band, is never built: two products with a narrow band of weights, a block of rows at a
time. A moment lies between two rows; its time is the middle of their centres, ``time.to_seconds(row - 0.5)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, chain

import numpy as np
from numpy.typing import NDArray

from ..data.boundaries import Boundary
from ..data.feature_checks import check_rows
from ..data.features import Features
from ..errors import OptionError
from .options import at_least

Floats = NDArray[np.float64]

_BLOCK = 256  # moments computed together
_MAD_TO_DEVIATION = 1.4826  # of a normal distribution


@dataclass(frozen=True)
class BoundaryOptions:
    """What counts as an event boundary."""

    kernel_seconds: float | tuple[float, ...] = (0.5, 1.0)
    """How far before and after a moment is looked, in seconds; novelty is the mean over several, [0.5,1]. Longer finds
    coarser events."""
    min_gap: float = 0.5
    """Of two boundaries that are less than this many seconds apart only the more novel one stays."""
    prominence: float = 0.75
    """Novelty must rise by this many of its robust deviations (from the median and MAD of the video) above the valleys
    beside it. Higher finds fewer boundaries."""
    jitter: float = 1.25
    """And by this many times the novelty that a steady scene would have whose rows differ from their neighbours as
    these do: chance shall not look like change. From 1.25 on, noise of 64 channels or more has no boundary."""
    least: float = 0.001
    """And by this much in cosine similarity; with prominence and jitter 0 it is a plain threshold."""

    def __post_init__(self) -> None:
        if not self.widths:
            raise OptionError("kernel_seconds is empty", cure="give at least one length in seconds")
        for width in self.widths:
            at_least("kernel_seconds", width, 1e-6)
        for name in ("min_gap", "prominence", "jitter", "least"):
            at_least(name, getattr(self, name), 0)

    @property
    def widths(self) -> tuple[float, ...]:
        """Every length in ``kernel_seconds``."""
        return self.kernel_seconds if isinstance(self.kernel_seconds, tuple) else (self.kernel_seconds,)


@dataclass(frozen=True)
class Novelty:
    """How new what follows is, at the moments between neighbouring rows of features [T, C]."""

    times: Floats
    """The moments, in seconds. Shape: [T - 1]."""
    values: Floats
    """Mean similarity within both sides minus that across: from 0 to 1 for features that never point apart (cosine 0 or
    more), to 2 for any. Shape: [T - 1]."""
    jitter: float
    """What the values would be about in a steady scene whose rows differ from their neighbours as these do."""


def find_boundaries(features: Features, options: BoundaryOptions | None = None) -> list[Boundary]:
    """Moments at which the features of a video change, in order of time; none in a video that never changes.

    Args:
        features: of any encoder, before or after SoLa.

    Raises:
        FeatureError: features without rows, or with NaN or infinity.
    """
    return boundaries_from_novelty(novelty(features, options), features.time.duration, options)


def novelty(features: Features, options: BoundaryOptions | None = None) -> Novelty:
    """The novelty of every moment of a video.

    Near the ends, where one side is cut off, it is lowered by the share of the kernel that is left: what is hardly seen
    is no change. A row of zeros resembles nothing. Raises :class:`FeatureError` as :func:`find_boundaries`.
    """
    options = options or BoundaryOptions()
    check_rows(features)
    tapers = [_taper(width / features.time.step, len(features)) for width in options.widths]
    values = np.mean([_novelty(features.values, taper) for taper in tapers], axis=0)
    # Half the squared distance of the means of independent rows: their variance times Σ w².
    shares = [np.square(taper / taper.sum()).sum() for taper in tapers]
    jitter = float(np.median(_variances(features.values)) * np.mean(shares)) if len(features) > 1 else 0.0
    return Novelty(features.time.to_seconds(np.arange(len(features) - 1) + 0.5), values, jitter)


def boundaries_from_novelty(
    found: Novelty, duration: float | None = None, options: BoundaryOptions | None = None
) -> list[Boundary]:
    """The peaks of a novelty curve that stand out, in order of time, within the video.

    A boundary's score is p / (p + d): its prominence p against the robust deviation d of the curve, or the jitter if
    that is larger. 0.5 stands out by just so much, 1 where nothing else ever changes.
    """
    options = options or BoundaryOptions()
    curve = found.values
    usual = float(np.median(curve)) if len(curve) else 0.0
    deviation = _MAD_TO_DEVIATION * float(np.median(np.abs(curve - usual))) if len(curve) else 0.0
    threshold = max(options.prominence * deviation, options.jitter * found.jitter, options.least)
    places, heights, rises = peaks(curve, usual)
    high = (rises >= threshold) & (rises > 0)
    times = np.interp(places[high], np.arange(len(curve)), found.times) if high.any() else np.empty(0)
    scores = rises[high] / (rises[high] + max(deviation, found.jitter))
    inside = (times > 0) & (times < (np.inf if duration is None else duration))
    kept = _apart(times, heights[high], options.min_gap) & inside
    return [Boundary(float(at), float(score)) for at, score in zip(times[kept], scores[kept], strict=True)]


def peaks(curve: Floats, usual: float = 0.0) -> tuple[Floats, Floats, Floats]:
    """Local maxima of a curve that is 0 beyond its ends: place, height and prominence of each, in order.

    A flat top counts once, at its middle, so a place may be half a number. Prominence is the height above the higher of
    two valleys: the lowest points on the way to the nearest higher one, before and after. Where there is none before
    the end, the valley is not below ``usual``: that novelty falls there, where the kernel is cut off, means nothing.

    Shape:
        [N] -> [M], [M], [M].
    """
    padded = np.concatenate(([0.0], curve, [0.0]))  # [N + 2]
    first = np.flatnonzero(np.diff(padded, prepend=np.nan) != 0)  # of every stretch of equal values
    last = np.append(first[1:], len(padded)) - 1
    levels = padded[first]  # [R]
    rises = levels - np.maximum(_valleys(levels, usual), _valleys(levels[::-1], usual)[::-1])
    top = np.flatnonzero((levels[1:-1] > levels[:-2]) & (levels[1:-1] > levels[2:])) + 1
    return (first[top] + last[top]) / 2 - 1, levels[top], rises[top]


def _valleys(levels: Floats, usual: float) -> Floats:
    """The lowest value from each place back to the nearest higher one before it. Shape: [R] -> [R]."""
    lowest = []
    higher: list[tuple[float, float]] = []  # values that fall, each with the lowest since the one before
    for value in levels.tolist():
        low = value
        while higher and higher[-1][0] <= value:
            low = min(low, higher.pop()[1])
        lowest.append(low if higher else max(low, usual))
        higher.append((value, low))
    return np.array(lowest, dtype=np.float64)


def _apart(times: Floats, heights: Floats, gap: float) -> NDArray[np.bool_]:
    """Which of the ordered ``times`` stay when every one removes the lower ones nearer than ``gap``. Shape: [M]."""
    first = np.searchsorted(times, times - gap, side="right")
    last = np.searchsorted(times, times + gap, side="left")
    kept, free = np.zeros(len(times), dtype=bool), np.ones(len(times), dtype=bool)
    for place in np.argsort(-heights, kind="stable").tolist():
        if free[place]:
            kept[place] = True
            free[first[place] : last[place]] = False
    return kept


def _taper(width: float, rows: int) -> Floats:
    """Weights of the rows before (or after) a moment, nearest first: half a Gaussian of standard deviation width / 2.

    Shape: [L], L at least 1 and at most ``rows``.
    """
    length = max(1, round(min(width, rows)))
    return np.asarray(np.exp(-2.0 * ((np.arange(length) + 0.5) / width) ** 2))


def _novelty(values: NDArray[np.float32], weights: Floats) -> Floats:
    """Half the squared distance between the tapered means before and after every moment. Shape: [T, C] -> [T - 1]."""
    rows, length = len(values), len(weights)
    after = np.arange(1, rows)  # the first row after each moment
    sums = np.fromiter(chain([0.0], accumulate(weights)), np.float64)  # [L + 1]
    past, future = sums[np.minimum(after, length)], sums[np.minimum(rows - after, length)]  # [T - 1]
    changes = np.empty(rows - 1)
    for begin in range(1, rows, _BLOCK):
        end = min(begin + _BLOCK, rows)
        own = slice(begin - 1, end - 1)
        before = _band(weights[::-1], end - begin) @ _unit_rows(values, begin - length, end - 1)  # [B, C]
        behind = _band(weights, end - begin) @ _unit_rows(values, begin, end - 1 + length)  # [B, C]
        difference = before / past[own, None] - behind / future[own, None]
        changes[own] = np.square(difference).sum(axis=1)
    return np.asarray(0.5 * changes * np.minimum(past, future) / sums[-1])


def _variances(values: NDArray[np.float32]) -> Floats:
    """Half the squared distance between neighbouring unit rows: the variance of one, if they are independent.

    Shape:
        [T, C] -> [T - 1].
    """
    starts = range(0, len(values) - 1, _BLOCK)
    blocks = (_unit_rows(values, first, min(first + _BLOCK + 1, len(values))) for first in starts)
    return np.concatenate([0.5 * np.square(np.diff(rows, axis=0)).sum(axis=1) for rows in blocks])


def _band(weights: Floats, rows: int) -> NDArray[np.float32]:
    """A matrix whose row ``i`` holds ``weights`` from column ``i`` on. Shape: [L] -> [rows, rows + L - 1]."""
    band = np.zeros((rows, rows + len(weights) - 1), dtype=np.float32)
    places = np.arange(rows)[:, None]
    band[places, places + np.arange(len(weights))] = weights
    return band


def _unit_rows(values: NDArray[np.float32], first: int, end: int) -> NDArray[np.float32]:
    """Rows ``first`` to ``end`` scaled to length 1; rows of zeros where there is none. Shape: [end - first, C]."""
    rows = np.asarray(values[max(first, 0) : end], dtype=np.float32)  # mapped files may hold smaller numbers
    scale = np.abs(rows).max(axis=1, keepdims=True, initial=0)  # huge numbers overflow when they are squared
    scaled = rows / np.where(scale == 0, np.float32(1), scale)
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    before = max(-first, 0)
    padding = ((before, end - first - before - len(rows)), (0, 0))
    return np.pad(scaled / np.where(norms == 0, np.float32(1), norms), padding)
