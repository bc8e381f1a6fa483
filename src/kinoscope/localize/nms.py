"""Suppression of duplicate segments in one dimension, and voting on their boundaries; NumPy only.

Ties are resolved in one stated way everywhere: the higher score first, then the earlier start, then the lower index.

Source: specification section 5. Soft-NMS: Bodla et al., ICCV 2017.
"""

from __future__ import annotations

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
    segments, scores = np.asarray(segments, np.float64).reshape(-1, 2), np.asarray(scores, np.float64)
    order = np.lexsort((segments[:, 0], -scores))
    kept: list[int] = []
    while len(order) and (max_kept is None or len(kept) < max_kept):
        best, order = order[0], order[1:]
        kept.append(int(best))
        order = order[interval_iou(segments[best], segments[order], EPS) < iou_threshold]
    return np.array(kept, dtype=np.int64)


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
    segments, scores = np.asarray(segments, np.float64).reshape(-1, 2), np.asarray(scores, np.float64)
    order = np.lexsort((np.arange(len(scores)), segments[:, 0]))  # argmax takes the first: earlier start, lower index
    rest, left = segments[order], scores[order]
    kept: list[int] = []
    values: list[float] = []
    while len(order) and (max_kept is None or len(kept) < max_kept):
        best = int(left.argmax())
        kept.append(order[best])
        values.append(left[best])
        decay = _decay(rest[best], rest, method, iou_threshold, sigma, gate)
        decayed = left * decay
        alive = decayed >= min_score
        alive[best] = False
        order, rest, left = order[alive], rest[alive], decayed[alive]
    return np.array(kept, dtype=np.int64), np.array(values, dtype=np.float64)


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
    kept, segments = np.asarray(kept, np.float64).reshape(-1, 2), np.asarray(segments, np.float64).reshape(-1, 2)
    scores = np.asarray(scores, np.float64)
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
    segments, scores = np.asarray(segments, np.float64).reshape(-1, 2), np.asarray(scores, np.float64)
    labels = np.asarray(labels, np.int64)
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)] if options.multiclass else None
    parts = [_suppress_group(segments, scores, group, options) for group in groups or [np.arange(len(scores))]]
    index, values, refined = (np.concatenate([part[place] for part in parts]) for place in range(3))
    best = np.lexsort((index, segments[index, 0], -values))[: options.max_segments]
    return refined[best], values[best], labels[index[best]]


def _suppress_group(
    segments: Floats, scores: Floats, group: Indices, options: DecodeOptions
) -> tuple[Indices, Floats, Floats]:
    own, own_scores = segments[group], scores[group]
    if options.method == "hard":
        kept = hard_nms(own, own_scores, options.iou_threshold, options.max_segments)
        values = own_scores[kept]
    else:
        kept, values = soft_nms(
            own,
            own_scores,
            method=options.method,
            iou_threshold=options.iou_threshold,
            sigma=options.sigma,
            min_score=options.min_score,
            max_kept=options.max_segments,
        )
    refined = own[kept]
    if options.voting is not None:
        refined = vote(refined, own, own_scores, threshold=options.voting, weight=options.voting_weight)
    return group[kept], values, refined
