"""Why an mAP is not higher: what false positives are, which true segments are found worse, which are missed.

Specification: ``evaluation.md`` section 7, in the manner of DETAD (Alwassel et al., "Diagnosing Error in Temporal
Action Detectors", ECCV 2018). Letters: P predictions, G true segments, K classes, T thresholds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from ..errors import AnnotationError
from .arrays import score_arrays
from .matching import Bools, Floats, Ints, candidate_pairs
from .precision import class_bounds
from .result import DetectionResult

KINDS = (
    "true positive",
    "double detection",
    "wrong label",
    "localization",
    "confusion",
    "background",
)
TRUE, DOUBLE, WRONG_LABEL, LOCALIZATION, CONFUSION, BACKGROUND = range(len(KINDS))
LEAST_TIOU = 0.1  # below it a prediction has nothing to do with a true segment
DEPTH = 10  # false positives are looked at among the best DEPTH · N predictions of a class with N true segments
_NEGLIGIBLE = 0.05  # running precision from which on predictions do not count as finding anything
Buckets = Literal["activitynet", "thumos14"]
Edges = tuple[tuple[float, ...], tuple[str, ...]]
_FIVE = ("XS", "S", "M", "L", "XL")
_EDGES: Mapping[Buckets, Mapping[str, Edges]] = {
    "activitynet": {
        "coverage": ((0, 0.2, 0.4, 0.6, 0.8, 1), _FIVE),
        "length": ((0, 30, 60, 120, 180, np.inf), _FIVE),
        "instances": ((0, 1, 4, 8, np.inf), _FIVE[:4]),
    },
    "thumos14": {
        "coverage": ((0, 0.02, 0.04, 0.06, 0.08, 1), _FIVE),
        "length": ((0, 3, 6, 12, 18, np.inf), _FIVE),
        "instances": ((0, 1, 40, 80, np.inf), _FIVE[:4]),
    },
}


@dataclass(frozen=True)
class Bucket:
    """True segments that are alike, and how they fare."""

    characteristic: str
    """``coverage`` (share of the video), ``length`` (seconds), ``instances`` (of the class in the video)."""
    name: str
    low: float
    """Without; the lowest edge of all is included."""
    high: float
    """Included."""
    segments: int
    map_n: float
    """Mean AP_N over thresholds and the classes with segments here; NaN without any."""
    missed: float
    """Share of these segments that nothing finds, mean over thresholds; NaN without any."""


@dataclass(frozen=True)
class Diagnosis:
    """What :func:`diagnose` finds."""

    kinds: Ints
    """Kind (:data:`KINDS`) of each prediction at each threshold; -1 beyond the depth looked at. Shape: [P, T]."""
    ap_n: Floats
    """Average precision as if every class had the mean number of true segments. Shape: [K, T]."""
    profile: Floats
    """Share of each kind among the n-th N predictions of all classes, mean over thresholds. Shape: [10, 6]."""
    gain: Mapping[str, float]
    """How much the mean AP_N grows when all false positives of one kind are taken away. Gains do not add up."""
    buckets: tuple[Bucket, ...]
    thresholds: tuple[float, ...]
    """tIoU from which a prediction is right. [T]"""
    left_out: int = 0
    """True segments that are no case for a diagnosis: longer than their video, or without length."""

    @property
    def map_n(self) -> float:
        """Mean AP_N over classes and thresholds."""
        return float(self.ap_n.mean())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        names = KINDS
        ranges = [dict(zip(names, row, strict=True)) for row in self.profile.tolist()]
        buckets = [
            {**vars(each), **{name: _finite(getattr(each, name)) for name in ("high", "map_n", "missed")}}
            for each in self.buckets
        ]
        return {
            "average_mAP_N": self.map_n,
            "thresholds": list(self.thresholds),
            "left_out": self.left_out,
            "profile": ranges,
            "gain": dict(self.gain),
            "buckets": buckets,
        }


def diagnose(
    result: DetectionResult, durations: Mapping[str, float] | None = None, edges: Buckets = "activitynet"
) -> Diagnosis:
    """Look for the reasons behind a score.

    Args:
        result: of :func:`~kinoscope.evaluate.detection.evaluate_detection`.
        durations: of videos, in seconds; without them coverage is left out, as is that of a video without one. True
            segments that are longer than their video do not count, nor do those without length.
        edges: where the buckets of length, coverage and number of instances begin; ``thumos14`` also looks at the
            tIoU 0.5 alone.

    Raises:
        AnnotationError: no true segment is left.
    """
    all_segments = len(result.ground_truth)
    case = _Case(_usable(result, durations or {}, (0.5,) if edges == "thumos14" else result.thresholds))
    result = case.result
    kinds = case.kinds()  # [P, T]
    within = case.within  # [P]
    matches = result.matches
    hits = matches >= 0
    ap_n = case.ap_n(hits, np.ones_like(hits), result.scores.positives)
    base = case.ap_n(hits, np.repeat(within[:, None], hits.shape[1], axis=1), result.scores.positives).mean()
    gain = {}
    for number in range(DOUBLE, len(KINDS)):
        kept = within[:, None] & (kinds != number)
        gain[KINDS[number]] = float(case.ap_n(hits, kept, result.scores.positives).mean() - base)
    found = case.found()  # [G, T]
    buckets = [
        case.bucket(found, characteristic, name, low, high, values)
        for characteristic, values in case.characteristics(durations or {})
        for (low, high), name in _steps(_EDGES[edges][characteristic])
    ]
    return Diagnosis(
        kinds,
        ap_n,
        case.profile(kinds),
        gain,
        tuple(buckets),
        result.thresholds,
        all_segments - len(result.ground_truth),
    )


def _usable(result: DetectionResult, durations: Mapping[str, float], thresholds: tuple[float, ...]) -> DetectionResult:
    """The same classes and predictions, on the true segments that count, at these thresholds."""
    truth = result.ground_truth
    length = truth.end - truth.start
    usable = (length > 0) & ~(length > _of_videos(result, durations))
    if not usable.any():
        problem = f"all of {len(truth)} true segments are longer than their video, or without length"
        raise AnnotationError(problem, cure="check their times, and the durations of the videos")
    if usable.all() and thresholds == result.thresholds:
        return result
    rules, truth = replace(result.protocol, thresholds=thresholds), truth.take(usable)
    scores = score_arrays(
        result.predictions,
        truth,
        classes=len(result.classes),
        thresholds=thresholds,
        ties=rules.ties,
        tolerance=rules.tolerance,
    )
    return replace(result, protocol=rules, ground_truth=truth, scores=scores)


def _of_videos(result: DetectionResult, durations: Mapping[str, float]) -> Floats:
    """Seconds of the video of each true segment; NaN where they are not known. Shape: [G]."""
    known = np.array([durations.get(name) or np.nan for name in result.videos], dtype=np.float64)
    return np.asarray(known[result.ground_truth.video])


def _steps(edges: Edges) -> Iterable[tuple[tuple[float, float], str]]:
    borders, names = edges
    return zip(pairwise(borders), names, strict=True)


class _Case:
    """One result, seen in the order of its ranking where that is needed."""

    def __init__(self, result: DetectionResult) -> None:
        self.result = result
        self.classes = len(result.classes)
        self.mean_positives = len(result.ground_truth) / self.classes  # N̄
        ranking = result.scores.ranking
        self.bounds = class_bounds(result.predictions.label[ranking], self.classes)
        rank = np.empty(len(ranking), np.int64)
        rank[ranking] = np.arange(len(ranking))
        self.rank = rank - self.bounds[result.predictions.label]  # place inside the class [P]

    @cached_property
    def range_of(self) -> Ints:
        """In which block of N predictions of its class each prediction stands, from 0. Shape: [P]."""
        positives = self.result.scores.positives[self.result.predictions.label]
        return np.asarray(self.rank // np.maximum(positives, 1))

    @property
    def within(self) -> Bools:
        """Whether a prediction is among those looked at. Shape: [P]."""
        return np.asarray(self.range_of < DEPTH)

    def kinds(self) -> Ints:
        """Shape: [P, T]."""
        guess, truth = self.result.predictions, self.result.ground_truth
        blank = [replace(table, label=np.zeros(len(table), np.int64)) for table in (guess, truth)]
        pairs = candidate_pairs(blank[0], blank[1], LEAST_TIOU)
        # The best true segment of any class; of equal ones the earliest, and at equal times CliffDiving before Diving.
        content = (truth.label[pairs.truth], truth.end[pairs.truth], truth.start[pairs.truth])
        order = np.lexsort((*content, -pairs.tiou, pairs.prediction))  # [Q]
        rows, first = np.unique(pairs.prediction[order], return_index=True)
        best = np.zeros(len(guess))
        same = np.zeros(len(guess), dtype=bool)
        best[rows] = pairs.tiou[order[first]]
        same[rows] = guess.label[rows] == truth.label[pairs.truth[order[first]]]
        found = np.full(self.result.matches.shape, BACKGROUND, np.int64)
        for column, limit in enumerate(self.result.thresholds):
            near, touching = best >= limit, best >= LEAST_TIOU
            found[touching, column] = np.where(same[touching], LOCALIZATION, CONFUSION)
            found[near, column] = np.where(same[near], DOUBLE, WRONG_LABEL)
        found[self.result.matches >= 0] = TRUE
        found[~self.within] = -1
        return found

    def ap_n(self, hits: Bools, kept: Bools, positives: Ints) -> Floats:
        """AP_N of the classes that have true segments. Shape: [P, T], [P, T], [K] -> [K', T]."""
        ranking, rows = self.result.scores.ranking, []
        for label in np.flatnonzero(positives):
            mine = ranking[self.bounds[label] : self.bounds[label + 1]]
            rows.append(
                [
                    _ap_n(hits[mine, column][kept[mine, column]], int(positives[label]), self.mean_positives)
                    for column in range(hits.shape[1])
                ]
            )
        return np.array(rows).reshape(-1, hits.shape[1])

    def profile(self, kinds: Ints) -> Floats:
        """Shape: [P, T] -> [10, 6]."""
        counts = np.zeros((DEPTH, len(KINDS)))
        for column in kinds.T:
            rows = column >= 0
            np.add.at(counts, (self.range_of[rows], column[rows]), 1)
        total = counts.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(counts, total, out=np.zeros_like(counts), where=total > 0))

    def found(self) -> Bools:
        """Whether something of more than negligible precision finds each true segment. Shape: [G, T]."""
        result = self.result
        found = np.zeros((len(result.ground_truth), len(result.thresholds)), dtype=bool)
        for label in np.flatnonzero(result.scores.positives):
            mine = result.scores.ranking[self.bounds[label] : self.bounds[label + 1]]
            for column in range(found.shape[1]):
                matches = result.matches[mine, column]
                precision = _precision_n(matches >= 0, int(result.scores.positives[label]), self.mean_positives)
                good = matches[(matches >= 0) & (precision > _NEGLIGIBLE)]
                found[good, column] = True
        return found

    def characteristics(self, durations: Mapping[str, float]) -> list[tuple[str, Floats]]:
        """What true segments are told apart by; NaN where it is not known. Shape: [G] each."""
        truth = self.result.ground_truth
        length = truth.end - truth.start
        _, back, count = np.unique(truth.video * self.classes + truth.label, return_inverse=True, return_counts=True)
        coverage = length / _of_videos(self.result, durations)
        found = [("length", length), ("instances", count[back].astype(np.float64))]
        return found if np.isnan(coverage).all() else [("coverage", coverage), *found]

    def bucket(self, found: Bools, characteristic: str, name: str, low: float, high: float, values: Floats) -> Bucket:
        """How the true segments of which ``values`` lies above ``low`` and up to ``high`` fare."""
        inside = (values > low) & (values <= high)  # [G]; NaN is nowhere
        if low == 0:
            inside |= values == 0
        number = int(inside.sum())
        if not number:
            return Bucket(characteristic, name, low, high, 0, np.nan, np.nan)
        matches = self.result.matches
        hits = (matches >= 0) & inside[matches]  # [P, T]
        elsewhere = (matches >= 0) & ~inside[matches]
        kept = ~np.broadcast_to(
            elsewhere.any(axis=1, keepdims=True), hits.shape
        )  # found another: gone at all thresholds
        positives = np.bincount(self.result.ground_truth.label[inside], minlength=self.classes)
        map_n = float(self.ap_n(hits, kept, positives).mean())
        return Bucket(characteristic, name, low, high, number, map_n, float(1.0 - found[inside].mean()))


def _precision_n(hits: Bools, positives: int, mean_positives: float) -> Floats:
    """R N̄ / (R N̄ + FP) after each prediction. Shape: [n] -> [n]."""
    right = np.cumsum(hits) / positives * mean_positives
    wrong = np.cumsum(~hits)
    total = right + wrong
    return np.asarray(np.divide(right, total, out=np.zeros_like(total), where=total > 0))


def _ap_n(hits: Bools, positives: int, mean_positives: float) -> float:
    """Area under the envelope of that precision. Shape: [n] -> []."""
    if not hits.any():
        return 0.0
    precision = _precision_n(hits, positives, mean_positives)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[hits].sum() / positives)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
