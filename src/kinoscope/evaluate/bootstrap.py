"""How far a score could be off because the test set is small: resampling of videos (``evaluation.md`` section 8).

This covers the noise of the test set only; the noise of training needs several seeds.
Letters: B replicates, V videos, K classes, T thresholds, n predictions of one class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..errors import OptionError
from .matching import Floats, Ints
from .precision import class_bounds, weighted_ap
from .result import DetectionResult

_CELLS_AT_ONCE = 8_000_000  # predictions of a class times replicates worked on together: bounds the memory


class Interval(NamedTuple):
    """The range that holds the middle 95 % (or as asked) of the replicates."""

    low: float
    high: float


def middle(values: Floats, confidence: float = 0.95) -> Interval:
    """The range of the middle ``confidence`` of the replicates; those without a score (NaN) are left out."""
    if not 0 < confidence < 1:
        raise OptionError(f"confidence is {confidence}, but must lie between 0 and 1", cure="0.95 is usual")
    known = values[~np.isnan(values)]
    if not len(known):
        return Interval(float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


@dataclass(frozen=True)
class Replicates:
    """Scores on resampled sets of videos."""

    map: Floats
    """Mean over the classes present in the replicate, at each threshold. Shape: [B, T]."""
    absent: Ints
    """For each class, in how many replicates it has no true segment and was left out of the mean. Shape: [K]."""
    seed: int


def bootstrap_map(
    result: DetectionResult, replicates: int = 2000, seed: int = 0, *, confidence: float = 0.95
) -> Interval:
    """Percentile interval of the average mAP.

    Raises:
        OptionError: no replicate, or a confidence not between 0 and 1.
    """
    _check(replicates, seed, confidence)
    return middle(bootstrap_replicates(result, replicates, seed).map.mean(axis=1), confidence)


@dataclass(frozen=True)
class Comparison:
    """How far one set of predictions is ahead of another on the same videos."""

    difference: float
    """Average mAP of the first less that of the second."""
    low: float
    high: float
    ahead: float
    """Share of the replicates in which the first is ahead; equal ones count half."""
    per_class: Floats
    """The same difference of each class, mean over thresholds. Shape: [K]."""
    replicates: int
    seed: int


def compare_map(
    first: DetectionResult,
    second: DetectionResult,
    replicates: int = 2000,
    seed: int = 0,
    *,
    confidence: float = 0.95,
) -> Comparison:
    """Paired bootstrap: both are scored on the same draws of videos, so that what is hard for both cancels out.

    Raises:
        OptionError: they were not scored alike: another protocol, other videos or classes; or options out of bounds.
    """
    _check(replicates, seed, confidence)
    told = [
        (one.protocol.thresholds, one.video_list_hash, one.classes, len(one.ground_truth)) for one in (first, second)
    ]
    if told[0] != told[1]:
        cure = "score both against one ground truth, protocol and subset"
        raise OptionError("the two results were not scored alike", cure=cure)
    names = sorted({*first.videos, *second.videos})
    weights = draw_videos(len(names), replicates, seed)  # [B, V]
    place = {name: number for number, name in enumerate(names)}
    maps = [
        weighted_map(one, weights[:, [place[name] for name in one.videos]], seed=seed).map.mean(axis=1)
        for one in (first, second)
    ]
    gap = maps[0] - maps[1]  # [B]
    ahead = float((gap > 0).mean() + (gap == 0).mean() / 2)
    per_class = first.ap.mean(axis=1) - second.ap.mean(axis=1)
    difference = first.average_map - second.average_map
    return Comparison(difference, *middle(gap, confidence), ahead, per_class, replicates, seed)


def bootstrap_replicates(result: DetectionResult, replicates: int = 2000, seed: int = 0) -> Replicates:
    """Score ``replicates`` sets of videos drawn with replacement.

    The unit is the video, every one of ``result.videos``: segments of one video are not independent. Matching never
    crosses videos, so it is done once and only the sums change.
    """
    _check(replicates, seed)
    return weighted_map(result, draw_videos(len(result.videos), replicates, seed), seed=seed)


def _check(replicates: int, seed: int, confidence: float = 0.95) -> None:
    if replicates < 1:
        raise OptionError(f"replicates is {replicates}, but must be at least 1", cure="2000 is usual")
    if seed < 0:
        raise OptionError(f"seed is {seed}, but must be at least 0")
    if not 0 < confidence < 1:
        raise OptionError(f"confidence is {confidence}, but must lie between 0 and 1", cure="0.95 is usual")


def draw_videos(videos: int, replicates: int, seed: int) -> Ints:
    """How often each video is drawn. Shape: [B, V]."""
    return np.random.default_rng(seed).multinomial(videos, np.full(videos, 1 / videos), size=replicates)


def weighted_map(result: DetectionResult, weights: Ints, *, seed: int = 0) -> Replicates:
    """Scores when video v counts ``weights[b, v]`` times, as if it were repeated under new names. Shape: [B, V]."""
    most = int(np.bincount(result.predictions.label, minlength=1).max()) if len(result.predictions) else 1
    step = max(1, _CELLS_AT_ONCE // most)
    parts = [_some_replicates(result, weights[first : first + step]) for first in range(0, len(weights), step)]
    ap_sum, present = (np.concatenate(part) for part in zip(*parts, strict=True))  # [B, T], [B, K]
    count = present.sum(axis=1, keepdims=True)  # [B, 1]
    scores = np.divide(ap_sum, count, out=np.zeros_like(ap_sum), where=count > 0)
    return Replicates(scores, (~present).sum(axis=0), seed)


def _some_replicates(result: DetectionResult, weights: Ints) -> tuple[Floats, np.ndarray]:
    """Sum of AP over the classes present, and which are present. Shape: [B, V] -> [B, T], [B, K]."""
    by_video = np.ascontiguousarray(weights.T, dtype=np.float64)  # [V, B]
    ranking = result.scores.ranking
    found = result.matches[ranking] >= 0  # [P, T]
    video = result.predictions.video[ranking]
    bounds = class_bounds(result.predictions.label[ranking], len(result.classes))
    truth = result.ground_truth
    ap_sum = np.zeros((len(weights), len(result.thresholds)))
    present = np.zeros((len(weights), len(result.classes)), dtype=bool)
    for label in range(len(result.classes)):
        positives = by_video[truth.video[truth.label == label]].sum(axis=0)  # [B]
        present[:, label] = positives > 0
        rows = slice(bounds[label], bounds[label + 1])
        ever = found[rows].any(axis=1)  # rows that are hits at some threshold are all that is needed
        if not ever.any():
            continue
        of_rows = by_video[video[rows]]  # [n, B]
        seen = np.cumsum(of_rows, axis=0)[ever]
        of_rows = of_rows[ever]
        for column, hits in enumerate(found[rows][ever].T):  # [n]
            ap_sum[:, column] += np.nan_to_num(weighted_ap(hits, seen, of_rows, positives))
    return ap_sum, present
