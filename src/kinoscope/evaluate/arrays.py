"""Mean average precision over tIoU thresholds, from arrays to arrays: for large data and for repeated scoring.

Specification: ``evaluation.md`` section 1. Letters: P predictions, G true segments, K classes, T thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import AnnotationError
from .matching import Floats, Ints, SegmentTable, TieRule, match, rank_predictions
from .precision import class_bounds, interpolated_ap

_SAME = 1e-3  # seconds: annotations of one class whose ends are nearer than this are one (ActionFormer, OpenTAD)


@dataclass(frozen=True)
class ArrayScores:
    """What :func:`score_arrays` finds."""

    ap: Floats
    """Average precision per class and threshold, NaN for a class without true segments. Shape: [K, T]."""
    positives: Ints
    """True segments per class. Shape: [K]."""
    ranking: Ints
    """Rows of the predictions by class, then by descending score. Shape: [P]."""
    matches: Ints
    """Row of the true segment that each prediction found at each threshold, -1 for none. Shape: [P, T]."""
    tie_share: float
    """Share of predictions whose score occurs again in their class: the larger, the more the tie rule decides."""

    @property
    def map(self) -> Floats:
        """Mean over the classes that have true segments, at each threshold. Shape: [T]."""
        present = self.ap[self.positives > 0]  # [K', T]
        return np.asarray(present.mean(axis=0)) if len(present) else np.zeros(self.ap.shape[1])


def score_arrays(
    predictions: SegmentTable,
    ground_truth: SegmentTable,
    *,
    classes: int,
    thresholds: Sequence[float],
    ties: TieRule = "content",
    tolerance: float = 0.0,
) -> ArrayScores:
    """Score predictions of many videos and classes; equal to the ActivityNet evaluator, with tIoU 0 for 0/0.

    Args:
        predictions: with scores; ``label`` in [0, classes).
        ground_truth: ``label`` in [0, classes), ``video`` in the same numbering as the predictions'.
        classes: number of classes, K.
        thresholds: tIoU from which a prediction is right, T of them.
        ties: order of equal scores.
        tolerance: a prediction is right from threshold - tolerance on.

    Raises:
        AnnotationError: predictions without scores, or a class or video out of range.
    """
    if predictions.score is None:
        raise AnnotationError("the predictions have no scores")
    for what, table in (("predictions", predictions), ("ground truth", ground_truth)):
        if len(table) and (table.label.min() < 0 or table.label.max() >= classes or table.video.min() < 0):
            raise AnnotationError(f"a class of the {what} is not in 0 … {classes - 1}, or a video is negative")
    ranking = rank_predictions(predictions, ties)
    ranked = predictions.take(ranking)
    limits = np.asarray(thresholds, dtype=np.float64)
    found = match(ranked, ground_truth, limits, ties=ties, tolerance=tolerance)  # [P, T], in ranked order
    positives = np.bincount(ground_truth.label, minlength=classes)
    bounds = class_bounds(ranked.label, classes)
    ap = np.full((classes, len(limits)), np.nan)
    for label in np.flatnonzero(positives):
        ap[label] = interpolated_ap(found[bounds[label] : bounds[label + 1]] >= 0, int(positives[label]))
    matches = np.empty_like(found)
    matches[ranking] = found  # back to the rows of the predictions
    return ArrayScores(ap, positives, ranking, matches, _tie_share(ranked))


def distinct_rows(start: Floats, end: Floats, group: Ints, *, shortest: float = 0.0) -> Ints:
    """Rows to keep when annotations of no length, and repeated ones, are removed (``evaluation.md`` section 1.2).

    A row goes if its length is 0 or below ``shortest``, or if a row kept before it, in the same group, has both ends
    within 1 ms. OpenTAD's rule is ``shortest=0``, ActionFormer's 1e-3. Like theirs it depends on the order of rows.

    Shape: three arrays [G] -> [at most G], ascending.
    """
    length = end - start
    rows = np.flatnonzero((length > 0) & (length >= shortest))
    order = rows[np.lexsort((start[rows], group[rows]))]
    near = (np.diff(group[order]) == 0) & (np.diff(start[order]) <= _SAME)  # neighbours that might be one
    suspects = set(group[order[1:][near]].tolist())
    kept: dict[int, list[int]] = {group_: [] for group_ in suspects}
    chosen = []
    for row in rows.tolist() if suspects else ():
        mates = kept.get(int(group[row]))
        if mates is not None:
            if any(abs(start[m] - start[row]) <= _SAME and abs(end[m] - end[row]) <= _SAME for m in mates):
                continue
            mates.append(row)
        chosen.append(row)
    return np.asarray(chosen, dtype=np.int64) if suspects else rows


def _tie_share(ranked: SegmentTable) -> float:
    if len(ranked) < 2 or ranked.score is None:
        return 0.0
    same = (ranked.score[1:] == ranked.score[:-1]) & (ranked.label[1:] == ranked.label[:-1])  # [P - 1]
    tied = np.zeros(len(ranked), dtype=bool)
    tied[1:] |= same
    tied[:-1] |= same
    return float(tied.mean())
