"""Which prediction finds which true segment: the greedy matching of the ActivityNet evaluator, without its loops.

Specification: ``evaluation.md`` sections 1.1 (rule), 1.4 (numerical traps) and 1.5 (grouping).
Letters: P predictions, G true segments, Q candidate pairs, T thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import AnnotationError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
TieRule = Literal["content", "later-row", "earlier-row"]

_PAIRS_AT_ONCE = 4_000_000  # candidate pairs whose tIoU is computed together: bounds the memory, not the result


@dataclass(frozen=True)
class SegmentTable:
    """Segments of many videos as columns of one length. ``video`` and ``label`` are indices, times are in seconds.

    Raises:
        AnnotationError: columns of different lengths, a number that is not finite, or an end before its start.
    """

    video: Ints
    label: Ints
    start: Floats
    end: Floats
    score: Floats | None = None
    """None for ground truth."""

    def __post_init__(self) -> None:
        for name, kind in (("video", np.int64), ("label", np.int64), ("start", np.float64), ("end", np.float64)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=kind))
        columns: list[tuple[str, Any]] = [("start", self.start), ("end", self.end)]
        if self.score is not None:
            object.__setattr__(self, "score", np.asarray(self.score, dtype=np.float64))
            columns.append(("score", self.score))
        if {column.shape for _, column in [*columns, ("video", self.video), ("label", self.label)]} != {(len(self),)}:
            raise AnnotationError("the columns of a segment table must be one-dimensional and of one length")
        for name, column in columns:
            bad = ~np.isfinite(column)
            if bad.any():
                raise AnnotationError(
                    f"{name} of row {bad.argmax()} is {column[bad.argmax()]}", cure="give finite numbers"
                )
        if (self.end < self.start).any():
            row = int((self.end < self.start).argmax())
            raise AnnotationError(f"row {row} ends at {self.end[row]:g}, before its start at {self.start[row]:g}")

    def __len__(self) -> int:
        return int(np.size(self.video))

    def take(self, rows: Ints | Bools) -> SegmentTable:
        """Some of the rows, in the order given."""
        score = None if self.score is None else self.score[rows]
        return SegmentTable(self.video[rows], self.label[rows], self.start[rows], self.end[rows], score)


def segment_tiou(start_a: Floats, end_a: Floats, start_b: Floats, end_b: Floats) -> Floats:
    """Temporal intersection over union, element by element; 0 where the union is 0 (two segments of no length).

    Shape: four arrays that broadcast together -> their common shape.
    """
    overlap = np.maximum(0.0, np.minimum(end_a, end_b) - np.maximum(start_a, start_b))
    union = (end_a - start_a) + (end_b - start_b) - overlap
    tiou: Floats = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    return tiou


def rank_predictions(predictions: SegmentTable, ties: TieRule) -> Ints:
    """Row numbers by class, inside a class by descending score. Shape: [P].

    Equal scores: ``content`` puts the later (video, start, end) first, whatever the order of the rows. That is the
    order in which the reversed sort of the ActivityNet evaluator visits a file sorted by video and time, and what the
    specification's vector ``ties`` asks for. ``later-row`` is that evaluator's order on the rows as they stand (were
    its sort stable), ``earlier-row`` that of mmaction2.
    """
    assert predictions.score is not None
    rows = np.arange(len(predictions))
    keys = {
        "content": (-predictions.end, -predictions.start, -predictions.video),
        "later-row": (-rows,),
        "earlier-row": (rows,),
    }[ties]
    return np.lexsort((*keys, -predictions.score, predictions.label))


def match(
    predictions: SegmentTable, ground_truth: SegmentTable, thresholds: Floats, *, ties: TieRule, tolerance: float
) -> Ints:
    """For each prediction, in ranked order, the true segment that it finds at each threshold, or -1. Shape: [P, T].

    In order of score, a prediction takes the free true segment of its video and class with the highest tIoU that
    reaches the threshold; so one whose best is taken falls through to the next best. Of equal tIoU the later true
    segment goes first.
    """
    pairs = candidate_pairs(predictions, ground_truth, float(thresholds.min()) - tolerance, by_row=ties != "content")
    found = np.full((len(predictions), len(thresholds)), -1, dtype=np.int64)  # [P, T]
    for column, threshold in enumerate(thresholds):
        enough = pairs.tiou >= threshold - tolerance  # [Q]
        prediction, truth = pairs.prediction[enough], pairs.truth[enough]
        _match_greedily(prediction, truth, len(ground_truth), found[:, column])
    return found


@dataclass(frozen=True)
class Pairs:
    """Pairs of a prediction and a true segment that overlap enough, prediction by prediction, best first; each [Q]."""

    prediction: Ints
    truth: Ints
    tiou: Floats


def _match_greedily(prediction: Ints, truth: Ints, truths: int, found: Ints) -> None:
    """Fill ``found`` [P] as if the pairs were tried one by one, each taken when both of its sides are still free.

    A pair that comes first for its prediction and first for its true segment is taken in any case: nothing before it
    can claim a side. All such pairs are taken at once, the pairs of their sides removed, and so on. Each round takes at
    least the first remaining pair of every (class, video), so there are at most as many rounds as true segments in one.
    """
    free_truth = np.ones(truths, dtype=bool)  # [G]
    first_of_truth = np.empty(truths, dtype=np.int64)  # [G]
    while prediction.size:
        index = np.arange(prediction.size)
        first_of_truth[truth[::-1]] = index[::-1]  # of repeated indices the last assignment stays
        leads = np.empty(prediction.size, dtype=bool)
        leads[0] = True
        np.not_equal(prediction[1:], prediction[:-1], out=leads[1:])  # pairs of one prediction stand together
        taken = leads & (first_of_truth[truth] == index)
        found[prediction[taken]] = truth[taken]
        free_truth[truth[taken]] = False
        rest = free_truth[truth] & (found[prediction] < 0)
        prediction, truth = prediction[rest], truth[rest]


def candidate_pairs(
    predictions: SegmentTable, ground_truth: SegmentTable, lowest: float, *, by_row: bool = False
) -> Pairs:
    """All pairs of one video and class with at least the ``lowest`` tIoU, in the order of the predictions' rows.

    Of equal tIoU the later true segment goes first: by its times, or ``by_row``.
    """
    videos = 1 + max(predictions.video.max(initial=0), ground_truth.video.max(initial=0))
    group = ground_truth.label * videos + ground_truth.video  # [G]
    content = () if by_row else (ground_truth.end, ground_truth.start)
    order = np.lexsort((*content, group))  # [G], stable
    group = group[order]
    wanted = predictions.label * videos + predictions.video  # [P]
    first = np.searchsorted(group, wanted, side="left")
    count = np.searchsorted(group, wanted, side="right") - first  # [P] true segments to look at
    parts = [
        _pairs_of(rows, first[rows], count[rows], order, predictions, ground_truth, lowest) for rows in _chunks(count)
    ]
    prediction, place, tiou = (np.concatenate(column) for column in zip(*parts, strict=True))  # [Q] each
    trial = np.lexsort((-place, -tiou, prediction))
    return Pairs(prediction[trial], order[place[trial]], tiou[trial])


def _pairs_of(
    rows: Ints,
    first: Ints,
    count: Ints,
    order: Ints,
    predictions: SegmentTable,
    ground_truth: SegmentTable,
    lowest: float,
) -> tuple[Ints, Ints, Floats]:
    """Of some predictions' pairs: row of the prediction, place of the truth in ``order``, tIoU. Shape: [Q] each."""
    prediction = np.repeat(rows, count)  # [Q]
    within = np.arange(prediction.size) - np.repeat(np.cumsum(count) - count, count)  # 0, 1, … inside each prediction
    place = np.repeat(first, count) + within
    truth = order[place]
    tiou = segment_tiou(
        predictions.start[prediction], predictions.end[prediction], ground_truth.start[truth], ground_truth.end[truth]
    )
    enough = tiou >= lowest
    return prediction[enough], place[enough], tiou[enough]


def _chunks(count: Ints) -> list[Ints]:
    """Rows that have candidates, cut so that each part has a bounded number of pairs."""
    rows = np.flatnonzero(count)
    cuts = np.flatnonzero(np.diff(np.cumsum(count[rows]) // _PAIRS_AT_ONCE)) + 1
    return np.split(rows, cuts)
