"""Joining class-agnostic segments with the class scores of the whole video.

Source: specification sections 1.9 and 9 (ActivityNet protocols of ActionFormer, G-TAD and BMN).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..data.segments import Segment
from .intervals import Floats, Indices

FUSION = "the 2 most probable labels of each video, with the geometric mean of both scores"
"""What :func:`fuse_segments` does by default, in words."""


def fuse_scores(
    scores: ArrayLike, video_scores: ArrayLike, *, top: int = 2, rule: Literal["sqrt", "product"] = "sqrt"
) -> tuple[Indices, Indices, Floats]:
    """Give every segment each of the video's ``top`` classes.

    ``sqrt`` takes the geometric mean of both scores, ``product`` their product; the ranking is the same.

    Shape:
        scores [N] of segments, video_scores [K] → segment indices, labels and scores, each [top · N], best class first.
    """
    scores, video_scores = np.asarray(scores, np.float64), np.asarray(video_scores, np.float64)
    classes = np.argsort(-video_scores, kind="stable")[:top]
    fused = np.multiply.outer(video_scores[classes], scores)  # [top, N]
    fused = np.sqrt(fused) if rule == "sqrt" else fused
    index = np.tile(np.arange(len(scores)), len(classes))
    return index, np.repeat(classes, len(scores)), fused.ravel()


def classify_segments(
    segments: Sequence[Segment],
    video_scores: ArrayLike,
    classes: Sequence[str],
    *,
    top: int = 2,
    rule: Literal["sqrt", "product"] = "sqrt",
) -> list[Segment]:
    """Proposals of a head with one class, labelled by a classifier of the whole video; see :func:`fuse_scores`.

    Shape:
        video_scores [K], one for each of ``classes`` → each segment ``top`` times, best first.
    """
    index, labels, scores = fuse_scores(
        [segment.score or 0.0 for segment in segments], video_scores, top=top, rule=rule
    )
    order = np.argsort(-scores, kind="stable")
    return [
        replace(segments[index[place]], label=classes[labels[place]], score=float(scores[place])) for place in order
    ]


def fuse_segments(
    segments: Sequence[Segment], video_scores: Mapping[str, float], *, top: int = 2, most: int = 200
) -> list[Segment]:
    """Segments under each of the video's ``top`` labels, best first; of equal labels the first by name.

    What the segments were called is forgotten: the classifier decides. Their score becomes the geometric mean of both.

    Args:
        segments: with scores.
        video_scores: of the whole video, by label.
        most: segments that are kept.
    """
    labels = sorted(video_scores, key=lambda label: (-video_scores[label], label))
    found = classify_segments(segments, [video_scores[label] for label in labels], labels, top=top)
    return sorted(found, key=lambda segment: (-(segment.score or 0.0), segment.start))[:most]
