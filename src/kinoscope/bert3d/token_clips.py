"""Clips as tokens over time: rows of stored features, cut to the clip and into windows that a head can take.

Letters: B windows, N tokens, C channels, T rows of a clip.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..data.feature_checks import check_rows
from ..data.features import Features
from ..data.hold_out import Ints
from ..data.labelled_clips import LabelledClip, require_within, video_of
from ..data.padding import pad
from ..errors import FeatureError
from ..video.sampling import FloatArray
from .protocol import ClipChoice, clip_starts

_SAMPLED = 200_000_000  # numbers of which means and deviations are worked out at most


@dataclass(frozen=True)
class TokenClips:
    """Labelled clips with their tokens."""

    clips: tuple[LabelledClip, ...]
    rows: tuple[np.ndarray, ...]
    """Of each clip, any numbers; from disk when looked at. Shape of each: [T, C]."""
    labels: Ints
    """Index of each clip's class, -1 where no training clip has it. Shape: [N]."""

    def __len__(self) -> int:
        return len(self.clips)

    def digest(self) -> str:
        """A fingerprint of the tokens: every number of them is read."""
        found = hashlib.sha256()
        for clip, rows in zip(self.clips, self.rows, strict=True):
            found.update(f"{clip.name} {rows.shape} {rows.dtype}".encode("utf-8", "surrogatepass"))
            found.update(np.ascontiguousarray(rows).data)
        return found.hexdigest()[:16]

    @property
    def longest(self) -> int:
        """Most tokens of a clip."""
        return max(map(len, self.rows))


def read_token_clips(clips: Sequence[LabelledClip], features: Mapping[str, Features], labels: Ints) -> TokenClips:
    """The tokens of ``clips``, out of the features of their videos.

    Raises:
        FeatureError: a video without features, or features without rows or with NaN.
        AnnotationError: a segment that lies beyond its video.
    """
    rows = []
    checked: set[str] = set()
    for clip in clips:
        name = video_of(clip)
        if name not in features:
            cure = "extract features of all videos: --encoder NAME makes those that are missing"
            raise FeatureError(f"there are no features of {name!r}", cure=cure)
        video = features[name]
        if name not in checked:
            check_rows(video, name)
            checked.add(name)
        require_within(clip, video.time.duration)
        first, end = row_span(video, clip.start, clip.end)
        rows.append(video.values[first:end])
    return TokenClips(tuple(clips), tuple(rows), labels)


def row_span(features: Features, start: float | None, end: float | None) -> tuple[int, int]:
    """First row of a stretch of the video and the one after its last: rows whose middle lies in it, at least one."""
    if start is None or end is None:
        return 0, len(features)
    centers = features.time.centers(len(features))  # [T]
    first, after = np.searchsorted(centers, [start, end])
    if after > first:
        return int(first), int(after)
    nearest = int(np.argmin(np.abs(centers - (start + end) / 2)))
    return nearest, nearest + 1


def row_times(features: Features, first: int, end: int) -> FloatArray:
    """When each row was seen, in seconds; within the video, and no row is longer than the step. Shape: [T, 2]."""
    time = features.time
    middle = time.centers(len(features))[first:end]  # [T]
    half = min(time.step, time.clip_length / time.fps) / 2
    last = time.duration if time.duration is not None else np.inf
    return np.stack((np.clip(middle - half, 0, last), np.clip(middle + half, 0, last)), axis=1)


def windows(rows: int, tokens: int, clips: ClipChoice = "all") -> list[slice]:
    """Which rows each window of a clip shows: all of a short one; of a longer one ``tokens`` each, as clips tile."""
    return [slice(int(first), int(first) + tokens) for first in clip_starts(rows, tokens, clips)]


def window_batch(parts: Sequence[np.ndarray]) -> tuple[Tensor, Tensor | None]:
    """Windows in one batch, filled up behind; no mask where all are of one length. Shape: -> [B, N, C], [B, N]."""
    tokens, mask = pad(parts)
    return tokens, None if bool(mask.all()) else mask


def moments(rows: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every channel over all rows. Shape: each [T, C] -> [C], [C]."""
    width = rows[0].shape[1]
    step = max(1, sum(map(len, rows)) * width // _SAMPLED)  # of very many rows some are enough
    total, squares, count = np.zeros(width), np.zeros(width), 0
    for part in rows:
        values = np.asarray(part[::step], dtype=np.float64)
        total, squares, count = total + values.sum(axis=0), squares + np.square(values).sum(axis=0), count + len(values)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()
