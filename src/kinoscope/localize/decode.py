"""From the head's output to scored segments in seconds.

Source: specification section 1.8. Grid positions become seconds only through :class:`FeatureTime`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.feature_time import video_duration
from ..data.features import FeatureTime
from ..data.segments import Segment
from .intervals import Candidates
from .network import Levels, level_masks
from .nms import suppress_many
from .options import ActionFormerOptions, DecodeOptions
from .targets import pyramid_points


@dataclass(frozen=True)
class Seen:
    """What a head says of one video, before suppression."""

    candidates: Candidates
    class_scores: NDArray[np.float32]
    """How probable each class is at each row. Shape: [T, K]."""


def decode_level(
    points: Tensor, logits: Tensor, offsets: Tensor, mask: Tensor, options: DecodeOptions
) -> tuple[Tensor, Tensor, Tensor]:
    """Candidates of one level of one video.

    A point may be a candidate for several classes. Too short candidates are dropped only after the best were chosen, as
    in the official code.

    Shape:
        points [T, 4], logits [T, K], offsets [T, 2] or [T, K, 2], mask [T] → segments [N, 2] in grid units, scores [N],
        labels [N]; best first, ties in the order of points, then classes.
    """
    scores = (logits.sigmoid() * mask[:, None]).flatten()  # [T · K]
    places = torch.nonzero(scores > options.threshold).flatten()
    best = scores[places].sort(descending=True, stable=True).indices[: options.candidates]
    places = places[best]
    rows, labels = places // logits.shape[1], places % logits.shape[1]
    own = offsets[rows] if offsets.ndim == 2 else offsets[rows, labels]  # [N, 2]
    reach = own * points[rows, 3:]  # [N, 2]
    segments = torch.stack([points[rows, 0] - reach[:, 0], points[rows, 0] + reach[:, 1]], dim=1)
    long = segments[:, 1] - segments[:, 0] > options.min_length
    return segments[long], scores[places[long]], labels[long]


def decode(outputs: Levels, mask: Tensor, head: ActionFormerOptions, options: DecodeOptions) -> list[Candidates]:
    """Candidates of every video of a batch, all levels together, before suppression; ``mask`` is [B, T]."""
    mask = mask.bool().cpu()
    masks = level_masks(mask, head.levels)
    points = pyramid_points(mask.shape[1], head)
    # float64 on the CPU: sums and products of grid positions and strides are then exact
    levels = [(logits.detach().cpu().double(), offsets.detach().cpu().double()) for logits, offsets in outputs]
    videos = []
    for video in range(len(mask)):
        parts = [
            decode_level(points[level].double(), logits[video], offsets[video], masks[level][video], options)
            for level, (logits, offsets) in enumerate(levels)
        ]
        segments, scores, labels = (torch.cat([part[place] for part in parts]).numpy() for place in range(3))
        videos.append((segments, scores, labels))
    return videos


def to_segments(
    videos: Sequence[Candidates],
    times: Sequence[FeatureTime],
    rows: Sequence[int],
    classes: Sequence[str],
    options: DecodeOptions,
) -> list[list[Segment]]:
    """Suppress duplicates and give the rest as segments in seconds, clipped to their video, best first.

    What clipping leaves without length is dropped; the releases keep it, as a mistake.

    Args:
        videos: the candidates of each, in grid units.
        times: of the features of each.
        rows: how many features each has.
        classes: their names.
        options: the rule of suppression.
    """
    kept = suppress_many(videos, options, rows)
    return [_in_seconds(*each, classes) for each in zip(kept, times, rows, strict=True)]


def _in_seconds(kept: Candidates, time: FeatureTime, rows: int, classes: Sequence[str]) -> list[Segment]:
    grid, scores, labels = kept
    seconds = np.clip(time.to_seconds(grid), 0.0, video_duration(time, rows))  # [N, 2]
    return [
        Segment(start, end, classes[label], score)
        for (start, end), label, score in zip(seconds.tolist(), labels.tolist(), scores.tolist(), strict=True)
        if end > start
    ]
