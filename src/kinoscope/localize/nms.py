"""Suppression of duplicate segments in one dimension, and voting on their boundaries; NumPy only.

Classes and videos are suppressed side by side, see :mod:`.rounds`. Ties are resolved in one stated way everywhere: the
higher score first, then the earlier start, then the lower index.

Source: specification section 5. Soft-NMS: Bodla et al., ICCV 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ..errors import OptionError
from .intervals import Candidates, Floats, Indices, interval_iou
from .options import DecodeOptions
from .rounds import LOWEST, Picks, pick


def hard_nms(segments: ArrayLike, scores: ArrayLike, iou_threshold: float, max_kept: int | None = None) -> Indices:
    """Keep the best, drop what overlaps it by ``iou_threshold`` or more, repeat.

    Shape:
        segments [N, 2], scores [N] → indices of the kept, best first.
    """
    return _one_group(segments, scores, max_kept, method="hard", iou_threshold=iou_threshold, min_score=LOWEST)[0]


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
    rule = {"method": method, "iou_threshold": iou_threshold, "sigma": sigma, "min_score": min_score, "gate": gate}
    return _one_group(segments, scores, max_kept, **rule)


def _one_group(segments: ArrayLike, scores: ArrayLike, max_kept: int | None, **rule: Any) -> Picks:
    segments, scores, labels = _candidates(segments, scores, 0)
    options = DecodeOptions(**rule, max_segments=max(len(scores), 1) if max_kept is None else max_kept)
    return pick([(segments, scores, labels)], options)[0]


def _pairs(segments: ArrayLike) -> Floats:
    return np.asarray(segments, np.float64).reshape(-1, 2)


def _candidates(segments: ArrayLike, scores: ArrayLike, labels: ArrayLike) -> Candidates:
    segments, scores = _pairs(segments), np.asarray(scores, np.float64)
    if scores.shape != segments.shape[:1]:
        raise OptionError(
            f"{len(segments)} segments have scores of shape {scores.shape}", cure="give one score for each"
        )
    if not (np.isfinite(segments).all() and np.isfinite(scores).all()):
        raise OptionError(
            "segments or scores are NaN or infinite", cure="leave those out, or look where they come from"
        )
    return segments, scores, np.broadcast_to(np.asarray(labels, np.int64), scores.shape)


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
    iou = interval_iou(kept[:, None], segments)  # [M, N]
    votes = np.where(iou >= threshold, scores * (iou if weight == "score_iou" else 1.0), 0.0)
    total = votes.sum(1, keepdims=True)
    # Not a matrix product: its last bits depend on how many are kept.
    sums = np.stack([(votes * bound).sum(1) for bound in segments.T], axis=1)  # [M, 2]
    return np.divide(sums, total, out=kept.copy(), where=total > 0)


def suppress(
    segments: ArrayLike, scores: ArrayLike, labels: ArrayLike, options: DecodeOptions, length: float = 1.0
) -> Candidates:
    """:func:`suppress_many` of one video."""
    return suppress_many([_candidates(segments, scores, labels)], options, [length])[0]


def suppress_many(
    videos: Sequence[Candidates], options: DecodeOptions, lengths: Sequence[float] | None = None
) -> list[Candidates]:
    """Suppress duplicates as ``options`` say, per class if ``multiclass``, and keep the best ``max_segments`` of each.

    Voting, when asked for, is among candidates of the same class; without ``multiclass``, among all.

    Args:
        videos: the candidates of each; the answer does not depend on the others.
        options: the rule.
        lengths: of each video, in the unit of its segments; only the gate asks for them.

    Shape:
        segments [N, 2], scores [N], labels [N] of each → the same three for the kept, best first.

    Raises:
        OptionError: scores or segments that are no finite numbers, or not as many of the one as of the other.
    """
    videos = [_candidates(*each) for each in videos]
    compared = videos
    if options.gate is not None and lengths is not None:  # the gate is about shares of the video
        compared = [(each[0] / length, each[1], each[2]) for each, length in zip(videos, lengths, strict=True)]
    chosen = pick(compared, options)
    return [_kept(video, *picked, options) for video, picked in zip(videos, chosen, strict=True)]


def _kept(video: Candidates, index: Indices, decayed: Floats, options: DecodeOptions) -> Candidates:
    """What was chosen, with boundaries that were voted on."""
    segments, scores, labels = video
    refined, own = segments[index], labels[index]
    if options.voting is not None:
        pools, chosen = (labels, own) if options.multiclass else (np.zeros_like(labels), np.zeros_like(own))
        for pool in np.unique(chosen):
            among, at = pools == pool, chosen == pool
            refined[at] = vote(
                refined[at], segments[among], scores[among], threshold=options.voting, weight=options.voting_weight
            )
    return refined, decayed, own
