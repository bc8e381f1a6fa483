"""Suppression of duplicate segments in one dimension, and voting on their boundaries; NumPy only.

Ties are resolved in one stated way everywhere: the higher score first, then the earlier start, then the lower index.

Source: specification section 5. Soft-NMS: Bodla et al., ICCV 2017.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .options import DecodeOptions

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

EPS = 1e-6
"""Added to every length in the tIoU of suppression, as in the public C++ code; voting goes without."""


def interval_iou(one: Floats, many: Floats, eps: float = 0.0) -> Floats:
    """tIoU of the interval ``one`` [2] with each of ``many`` [N, 2], ``eps`` added to each length; 0 / 0 is 0."""
    overlap = np.maximum(np.minimum(one[1], many[:, 1]) - np.maximum(one[0], many[:, 0]), 0.0)
    union = (one[1] - one[0] + eps) + (many[:, 1] - many[:, 0] + eps) - overlap
    return np.asarray(np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0))


def hard_nms(segments: ArrayLike, scores: ArrayLike, iou_threshold: float, max_kept: int | None = None) -> Indices:
    """Keep the best, drop what overlaps it by ``iou_threshold`` or more, repeat.

    Shape:
        segments [N, 2], scores [N] → indices of the kept, best first.
    """
    picks = _hard_picks(_pairs(segments), np.asarray(scores, np.float64), iou_threshold)
    return np.array([index for index, _ in islice(picks, max_kept)], dtype=np.int64)


def soft_nms(
    segments: ArrayLike,
    scores: ArrayLike,
    *,
    method: Literal["zero", "linear", "gaussian"] = "gaussian",
    iou_threshold: float = 0.1,
    sigma: float = 0.5,
    min_score: float = 0.001,
    max_kept: int | None = None,
    gate: tuple[float, float] | None = None,
) -> tuple[Indices, Floats]:
    """Take the best, let the scores of the rest decay with their overlap, drop those below ``min_score``, repeat.

    Args:
        segments: [N, 2], start and end in any unit.
        scores: [N].
        method: decay by 0 or by 1 − tIoU from ``iou_threshold`` on, or by exp(−tIoU² / ``sigma``) always.
        iou_threshold: where ``zero`` and ``linear`` set in.
        sigma: width of the Gaussian.
        min_score: the first one taken is never held against it.
        max_kept: stop after this many.
        gate: (a, b): the Gaussian acts only where tIoU ≥ a + b · length of the selected segment (BMN).

    Shape:
        returns indices of the kept and their decayed scores, both in the order of selection: descending scores.
    """

    def decay(best: Floats, rest: Floats) -> Floats:
        return _decay(best, rest, method, iou_threshold, sigma, gate)

    picks = list(islice(_soft_picks(_pairs(segments), np.asarray(scores, np.float64), decay, min_score), max_kept))
    kept = np.array([index for index, _ in picks], dtype=np.int64)
    return kept, np.array([score for _, score in picks], dtype=np.float64)


def _pairs(segments: ArrayLike) -> Floats:
    return np.asarray(segments, np.float64).reshape(-1, 2)


def _hard_picks(segments: Floats, scores: Floats, iou_threshold: float) -> Iterator[tuple[int, float]]:
    """Index and score of one kept segment after the other, best first."""
    order = np.lexsort((segments[:, 0], -scores))
    while len(order):
        best, order = int(order[0]), order[1:]
        yield best, float(scores[best])
        order = order[interval_iou(segments[best], segments[order], EPS) < iou_threshold]


def _soft_picks(
    segments: Floats, scores: Floats, decay: Callable[[Floats, Floats], Floats], min_score: float
) -> Iterator[tuple[int, float]]:
    """Index and decayed score of one selected segment after the other: descending scores."""
    order = np.lexsort((np.arange(len(scores)), segments[:, 0]))  # argmax takes the first: earlier start, lower index
    rest, left = segments[order], scores[order]
    while len(order):
        best = int(left.argmax())
        yield int(order[best]), float(left[best])
        decayed = left * decay(rest[best], rest)
        alive = decayed >= min_score
        alive[best] = False
        order, rest, left = order[alive], rest[alive], decayed[alive]


def _decay(
    best: Floats, rest: Floats, method: str, threshold: float, sigma: float, gate: tuple[float, float] | None
) -> Floats:
    iou = interval_iou(best, rest, EPS)
    if method == "gaussian":
        decay: Floats = np.exp(-(iou**2) / sigma)
        return decay if gate is None else np.where(iou >= gate[0] + gate[1] * (best[1] - best[0]), decay, 1.0)
    factor = 0.0 if method == "zero" else 1.0 - iou
    return np.asarray(np.where(iou >= threshold, factor, 1.0))


def vote(
    kept: ArrayLike,
    segments: ArrayLike,
    scores: ArrayLike,
    *,
    threshold: float,
    weight: Literal["score", "score_iou"] = "score_iou",
) -> Floats:
    """Replace every kept segment by the weighted mean of all candidates that overlap it by ``threshold`` or more.

    ``scores`` are those before any decay. A kept segment never leaves the hull of its voters.

    Shape:
        kept [M, 2], segments [N, 2], scores [N] → [M, 2].
    """
    kept, segments, scores = _pairs(kept), _pairs(segments), np.asarray(scores, np.float64)
    refined = kept.copy()
    for row, segment in enumerate(kept):
        iou = interval_iou(segment, segments)
        votes = np.where(iou >= threshold, scores * (iou if weight == "score_iou" else 1.0), 0.0)
        if (total := votes.sum()) > 0:
            refined[row] = votes @ segments / total
    return refined


def suppress(
    segments: ArrayLike, scores: ArrayLike, labels: ArrayLike, options: DecodeOptions
) -> tuple[Floats, Floats, Indices]:
    """Suppress duplicates as ``options`` say, per class if ``multiclass``, and keep the best ``max_segments``.

    Voting, when asked for, is among candidates of the same class; without ``multiclass``, among all.

    Shape:
        segments [N, 2], scores [N], labels [N] → the same three for the kept, best first.
    """
    segments, scores, labels = _pairs(segments), np.asarray(scores, np.float64), np.asarray(labels, np.int64)
    pools = np.zeros_like(labels) if not options.multiclass else labels
    groups = [np.flatnonzero(pools == pool) for pool in np.unique(pools)]
    # Every class yields descending scores: merging them lazily stops as soon as enough are found.
    picks = heapq.merge(*(_ranked_picks(segments, scores, group, options) for group in groups))
    best = list(islice(picks, options.max_segments))
    index = np.array([place for *_, place in best], dtype=np.int64)
    refined = segments[index]
    if options.voting is not None:
        for group in groups:
            own = np.isin(index, group)
            refined[own] = vote(
                refined[own],
                segments[group],
                scores[group],
                threshold=options.voting,
                weight=options.voting_weight,
            )
    return refined, np.array([-negative for negative, *_ in best], dtype=np.float64), labels[index]


def _ranked_picks(
    segments: Floats, scores: Floats, group: Indices, options: DecodeOptions
) -> Iterator[tuple[float, float, int]]:
    """The picks of one class with the keys of the tie rule: negative score, start, index."""
    own, own_scores = segments[group], scores[group]
    if options.method == "hard":
        picks = _hard_picks(own, own_scores, options.iou_threshold)
    else:

        def decay(best: Floats, rest: Floats) -> Floats:
            return _decay(best, rest, options.method, options.iou_threshold, options.sigma, None)

        picks = _soft_picks(own, own_scores, decay, options.min_score)
    for place, score in picks:
        yield -score, float(own[place, 0]), int(group[place])
