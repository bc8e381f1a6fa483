"""How many true segments some proposals find, whatever they are called: AR@AN, its area, and Recall@kx.

Specification: ``evaluation.md`` sections 2 and 3. Letters: P proposals, G true segments, V videos with true segments,
T thresholds, M points of a curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..errors import AnnotationError, OptionError
from .matching import Floats, Ints, SegmentTable, candidate_pairs, rank_predictions

TO_95 = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
Budget = Literal["proportional", "top"]
_NEVER = np.iinfo(np.int64).max
_CELLS_AT_ONCE = 8_000_000  # true segments times points of the curve


@dataclass(frozen=True)
class ProposalScores:
    """Average recall against the average number of proposals of a video."""

    number: Floats
    """AN, average number of proposals. Shape: [M]."""
    recall: Floats
    """At each threshold. Shape: [T, M]."""
    thresholds: tuple[float, ...]
    budget: Budget
    proposals: int
    """On videos with true segments."""
    foreign: int
    """On other videos; they were left out, or counted, as asked."""

    @property
    def average_recall(self) -> Floats:
        """AR, mean over the thresholds. Shape: [M]."""
        return np.asarray(self.recall.mean(axis=0))

    @property
    def auc(self) -> float:
        """Area under AR over AN, divided by the largest AN.

        The curve begins at its first point, not at 0, as in the published evaluators: it is low by up to 1 / M.
        """
        if len(self.number) < 2:
            return float(self.average_recall[-1])
        return float(np.trapezoid(self.average_recall, self.number) / self.number[-1])

    def at(self, number: float) -> float:
        """AR@``number``: of the last point that has no more proposals."""
        place = int(np.searchsorted(self.number, number * (1 + 1e-9), side="right")) - 1
        return float(self.average_recall[place]) if place >= 0 else 0.0


def average_recall(
    proposals: SegmentTable,
    ground_truth: SegmentTable,
    *,
    most: float | None = 100,
    thresholds: Sequence[float] = TO_95,
    points: int | None = 100,
    budget: Budget = "proportional",
    count_foreign: bool = False,
) -> ProposalScores:
    """Average recall of class-agnostic proposals; labels are not looked at.

    Args:
        proposals: with scores.
        ground_truth: ``video`` in the same numbering.
        most: the largest average number of proposals of a video; None takes all.
        points: of the curve: 100 in ActivityNet's evaluator, None is one for each proposal up to ``most`` (OpenTAD).
        budget: ``proportional`` gives a video as large a share of its own proposals as every other (published);
            ``top`` gives every video the same number, what AR@100 sounds like.
        count_foreign: let proposals on videos without true segments use up the average, as the published evaluators do.

    Raises:
        AnnotationError: no true segment, or proposals without scores.
        OptionError: a largest number or a number of points below 1.
    """
    if proposals.score is None:
        raise AnnotationError("the proposals have no scores")
    if not len(ground_truth):
        raise AnnotationError("there is no true segment to recall")
    if (most is not None and not most >= 1) or (points is not None and points < 1):
        raise OptionError(f"most is {most}, points are {points}, but must be at least 1", cure="100 is usual")
    videos, truth_video = np.unique(ground_truth.video, return_inverse=True)  # [V], [G]
    place = np.searchsorted(videos, proposals.video)
    ours = (place < len(videos)) & (videos[np.minimum(place, len(videos) - 1)] == proposals.video)  # [P]
    foreign = int((~ours).sum())
    counted = len(proposals) if count_foreign else len(proposals) - foreign
    rows = proposals.take(ours)
    own = np.bincount(place[ours], minlength=len(videos))  # n_v [V]
    limits = np.asarray(thresholds, dtype=np.float64)
    first = _first_hits(rows, ground_truth, limits)  # [G, T]
    number, used = _budgets(own, counted, most, points, budget)  # [M], [M, V]
    recall = np.empty((len(limits), len(number)))
    step = max(1, _CELLS_AT_ONCE // len(ground_truth))
    for begin in range(0, len(number), step):
        allowed = used[begin : begin + step][:, truth_video]  # [m, G]
        for column in range(len(limits)):
            recall[column, begin : begin + step] = (first[:, column] < allowed).mean(axis=1)
    return ProposalScores(number, recall, tuple(limits.tolist()), budget, len(rows), foreign)


def recall_at_kx(
    predictions: SegmentTable,
    ground_truth: SegmentTable,
    *,
    multiples: Sequence[int] = (1, 2, 3, 5),
    thresholds: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5),
) -> Floats:
    """Recall by the k · x best predictions of each class in each video, where x true segments of it are there.

    A prediction may serve several true segments; one whose label is no class (-1) serves none. Mean over the classes
    that have any. Shape: -> [k's, T].

    Source: ``evaluation.md`` section 2 (Ego4D-MQ reports Recall@1x at 0.5).

    Raises:
        AnnotationError: no true segment, or predictions without scores.
    """
    if predictions.score is None:
        raise AnnotationError("the predictions have no scores")
    if not len(ground_truth):
        raise AnnotationError("there is no true segment to recall")
    limits = np.asarray(thresholds, dtype=np.float64)
    predictions = predictions.take(predictions.label >= 0)
    group = _groups(predictions, ground_truth)
    guess, truth = replace(predictions, video=group[0]), replace(ground_truth, video=group[1])
    first = _first_hits(guess, truth, limits)  # [G, T]
    _, back, count = np.unique(truth.video, return_inverse=True, return_counts=True)
    mine = count[back]  # x of each true segment's class and video [G]
    found = np.stack([first < (k * mine)[:, None] for k in multiples])  # [k's, G, T]
    present = np.unique(ground_truth.label)
    return np.mean([found[:, ground_truth.label == label].mean(axis=1) for label in present], axis=0)


def _groups(predictions: SegmentTable, ground_truth: SegmentTable) -> tuple[Ints, Ints]:
    """A number for each class and video, the same in both tables. Shape: [P], [G]."""
    classes = 1 + max(predictions.label.max(initial=0), ground_truth.label.max(initial=0))
    return predictions.video * classes + predictions.label, ground_truth.video * classes + ground_truth.label


def _first_hits(proposals: SegmentTable, ground_truth: SegmentTable, limits: Floats) -> Ints:
    """The rank, in its video, of the best proposal that reaches each threshold; a huge number for none. Shape: [G, T].

    Ranks follow the score; of equal scores the later (start, end) goes first.
    """
    blank = replace(proposals, label=np.zeros(len(proposals), np.int64))
    by_score = rank_predictions(blank, "content")
    ranked = blank.take(by_score[np.argsort(blank.video[by_score], kind="stable")])
    rank = np.arange(len(ranked)) - np.searchsorted(ranked.video, ranked.video)  # place inside the video [P]
    pairs = candidate_pairs(ranked, replace(ground_truth, label=np.zeros(len(ground_truth), np.int64)), limits.min())
    first = np.full((len(ground_truth), len(limits)), _NEVER, dtype=np.int64)
    for column, limit in enumerate(limits):
        enough = pairs.tiou >= limit
        truth, place = pairs.truth[enough][::-1], rank[pairs.prediction[enough]][::-1]
        first[truth, column] = place  # of repeated indices the last assignment stays: the best rank
    return first


def _budgets(own: Ints, counted: int, most: float | None, points: int | None, budget: Budget) -> tuple[Floats, Ints]:
    """The average numbers of proposals, and how many each video may use at each. Shape: [V] -> [M], [M, V]."""
    videos = len(own)
    if most is None:
        most = counted / videos if counted else 1.0
    steps = max(1, int(most)) if points is None else points
    share = np.arange(1, steps + 1) / steps  # [M]
    if budget == "top":
        number = share * most
        return number, np.minimum(np.floor(number + 1e-9).astype(np.int64)[:, None], own)
    if not counted:
        return share * most, np.zeros((steps, videos), np.int64)
    kept = np.minimum((own * (most * videos / counted)).astype(np.int64), own)  # n_v' [V]
    total = int(kept.sum())
    if not total:
        return share * most, np.zeros((steps, videos), np.int64)
    quota = share * (most * videos / total)  # q [M]; in this order floors fall as in the published evaluators
    used = np.minimum((kept * quota[:, None]).astype(np.int64), kept)
    return quota * total / videos, used
