"""F1 of event boundaries at relative distances, as in generic event boundary detection (GEBD).

Specification: ``evaluation.md`` section 6, equal to the official challenge script. In a video of T seconds, a boundary
counts as found at relative distance d when a prediction lies within d · T of it. Letters: V videos, D distances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.boundary_truth import BoundaryTruth
from ..errors import AnnotationError, OptionError
from .bootstrap import Interval, draw_videos, middle
from .matching import Floats
from .result import Reason

DISTANCES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
"""GEBD's relative distances; the headline is F1 at the first, papers also give the mean over all."""
LEAST_CONSISTENCY = 0.3
"""Videos on which the raters agree less are not scored."""


@dataclass(frozen=True)
class BoundaryScore:
    """The score at one relative distance, from sums over videos."""

    distance: float
    found: float
    """Boundaries of the chosen raters that a prediction was matched to (TP)."""
    true: float
    """Boundaries of the chosen raters."""
    predicted: float
    """Predictions inside the videos."""
    f1_mean_over_raters: float
    """F1 when, instead of the rater whom the predictions suit best, the mean over the raters of a video counts."""

    @property
    def precision(self) -> float:
        """Share of the predictions that are right; 0 without any."""
        return self.found / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of the boundaries that are found; 1 if there is none."""
        return self.found / self.true if self.true else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


@dataclass(frozen=True)
class BoundaryResult:
    """Scores at several distances, with the counts of every video that they are sums of."""

    distances: tuple[float, ...]
    videos: tuple[str, ...]
    """The scored videos."""
    counts: Floats
    """Found, true, predicted, each for the best rater. Shape: [V, D, 3]."""
    mean_counts: Floats
    """The same, as means over the raters. Shape: [V, D, 3]."""
    subset: str | None = None
    """The part of the ground truth that was scored; None for everything."""
    reasons: tuple[Reason, ...] = ()

    @property
    def scores(self) -> tuple[BoundaryScore, ...]:
        """One score per distance."""
        sums, means = self.counts.sum(axis=0), self.mean_counts.sum(axis=0)  # [D, 3]
        f1 = f1_of(means)
        return tuple(
            BoundaryScore(distance, float(found), float(true), float(predicted), float(mean))
            for distance, (found, true, predicted), mean in zip(self.distances, sums, f1, strict=True)
        )

    @property
    def mean_f1(self) -> float:
        """Mean of F1 over the distances."""
        return float(np.mean([score.f1 for score in self.scores]))

    def table(self) -> list[dict[str, Any]]:
        """One row per distance, then their mean."""
        names = ("f1", "precision", "recall", "f1_mean_over_raters")
        rows = [{name: float(getattr(score, name)) for name in names} for score in self.scores]
        mean = {name: float(np.mean([row[name] for row in rows])) for name in names}
        heads = [*(f"{distance:g}" for distance in self.distances), "mean"]
        return [{"distance": head, **row} for head, row in zip(heads, [*rows, mean], strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values for JSON."""
        counts = [{"found": s.found, "true": s.true, "predicted": s.predicted} for s in self.scores]
        *rows, mean = self.table()
        return {
            "protocol": "gebd",
            "subset": self.subset,
            "mean_f1": self.mean_f1,
            "distances": [row | count for row, count in zip(rows, counts, strict=True)],
            "mean": mean,
            "videos": len(self.videos),
            "reasons": [
                {"kind": reason.kind, "count": reason.count, "text": reason.text, "names": list(reason.names)}
                for reason in self.reasons
            ],
        }


def gebd_f1(
    predictions: Mapping[str, Sequence[float]], truth: Mapping[str, BoundaryTruth], relative_distance: float
) -> BoundaryScore:
    """The score at one relative distance; see :func:`evaluate_boundaries`."""
    return evaluate_boundaries(predictions, truth, (relative_distance,)).scores[0]


def evaluate_boundaries(
    predictions: Mapping[str, Sequence[float]],
    truth: Mapping[str, BoundaryTruth],
    distances: Sequence[float] = DISTANCES,
) -> BoundaryResult:
    """Score predicted times, by video, in seconds.

    Videos of low consistency do not count, nor predictions outside of a video or on a video without truth. The rater
    who suits the predictions best is chosen anew for every video and distance. A video without predictions adds the
    boundaries of its first rater to those that were missed.

    Raises:
        OptionError: a distance that is not positive.
        AnnotationError: no video to score.
    """
    if not distances or not all(0 < distance < float("inf") for distance in distances):
        raise OptionError(f"distances are {tuple(distances)}, but must be positive numbers", cure="0.05 is usual")
    scored = [
        name for name, video in truth.items() if video.consistency is None or not video.consistency < LEAST_CONSISTENCY
    ]
    if not scored:
        raise AnnotationError(
            f"no video to score among {len(truth)}", cure=f"f1_consis_avg must reach {LEAST_CONSISTENCY}"
        )
    counted = [_video(predictions.get(name, ()), truth[name], np.array(distances)) for name in scored]
    best, mean = (np.stack(part) for part in zip(*counted, strict=True))  # [V, D, 3]
    return BoundaryResult(tuple(distances), tuple(scored), best, mean)


def bootstrap_mean_f1(result: BoundaryResult, replicates: int = 2000, seed: int = 0) -> Interval:
    """Percentile interval (95 %) of the mean F1 over sets of videos drawn with replacement.

    Raises:
        OptionError: no replicate, or a negative seed.
    """
    if replicates < 1 or seed < 0:
        raise OptionError(f"replicates is {replicates} and seed {seed}, but must be at least 1 and 0")
    videos, distances, _ = result.counts.shape
    weights = draw_videos(videos, replicates, seed)  # [B, V]
    sums = (weights @ result.counts.reshape(videos, -1)).reshape(replicates, distances, 3)
    return middle(f1_of(sums).mean(axis=1))


def f1_of(counts: Floats) -> Floats:
    """F1 from found, true and predicted; 0 where nothing was found. Shape: [..., 3] -> [...]."""
    found, true, predicted = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    return np.divide(2 * found, true + predicted, out=np.zeros_like(found), where=true + predicted > 0)


def _video(predicted: Sequence[float], truth: BoundaryTruth, distances: Floats) -> tuple[Floats, Floats]:
    """Counts of the best rater, and their mean over the raters. Shape of both: [D, 3]."""
    times = np.array([time for time in predicted if 0 <= time <= truth.duration], dtype=np.float64)  # [P]
    counts = np.zeros((len(truth.raters), len(distances), 3))  # [R, D, 3]
    counts[..., 1] = np.array([len(rater) for rater in truth.raters])[:, None]
    counts[..., 2] = len(times)
    if not len(times):
        return counts[0], counts.mean(axis=0)
    for rater, boundaries in enumerate(truth.raters):
        counts[rater, :, 0] = _found(boundaries, times, distances * truth.duration)
    best = _published_f1(counts).argmax(axis=0)  # [D], the first on ties
    return counts[best, np.arange(len(distances))], counts.mean(axis=0)


def _published_f1(counts: Floats) -> Floats:
    """:func:`f1_of` from recall and precision, as the challenge's script has it: rounding decides between raters."""
    found, true, predicted = np.moveaxis(counts, -1, 0)
    recall = np.divide(found, true, out=np.ones_like(found), where=true > 0)
    precision = np.divide(found, predicted, out=np.zeros_like(found), where=predicted > 0)
    total = recall + precision
    return np.divide(2 * recall * precision, total, out=np.zeros_like(found), where=total > 0)


def _found(boundaries: Sequence[float], predicted: Floats, reach: Floats) -> Floats:
    """How many boundaries, each in turn, find their nearest free prediction within reach. Shape: [D] -> [D]."""
    found = np.zeros(len(reach))
    taken = np.zeros((len(reach), len(predicted)), dtype=bool)  # [D, P]
    every = np.arange(len(reach))
    for boundary in boundaries:
        away = np.where(taken, np.inf, np.abs(predicted - boundary))  # [D, P]
        nearest = away.argmin(axis=1)  # [D], the first on ties
        hit = away[every, nearest] <= reach
        taken[every[hit], nearest[hit]] = True
        found += hit
    return found
