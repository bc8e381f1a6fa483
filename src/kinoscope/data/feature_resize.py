"""Features of a whole video in another number of rows, with the time that these then have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from .feature_time import FeatureTime, video_duration
from .features import Features


def resize(features: Features, rows: int) -> Features:
    """The video in ``rows`` rows, by linear interpolation in which its edges stay its edges. Shape: [T, C] → [rows, C].

    Source: localisation sheet, section 1.9.
    """
    values = torch.from_numpy(np.array(features.values, np.float32))  # [T, C]
    resized = F.interpolate(values.T[None], rows, mode="linear")[0].T.contiguous().numpy()
    return replace(features, values=resized, time=resized_time(features.time, len(features), rows))


def resized_time(time: FeatureTime, before: int, rows: int) -> FeatureTime:
    """Of ``rows`` rows in the place of those ``before``: each now stands for its own share of the video."""
    stride = time.stride * before / rows
    offset = time.offset + 0.5 * (time.clip_length - time.stride) / time.fps
    return FeatureTime(time.fps, stride, stride, offset, video_duration(time, before))


def resized_grid(grid: np.ndarray, before: int, rows: int) -> np.ndarray:
    """Where places on the grid of ``before`` rows lie among ``rows`` rows; any shape."""
    return (grid + 0.5) * (rows / before) - 0.5


class ResizedFeatures(Mapping[str, Features]):
    """Features by video name, resized each time they are asked for."""

    def __init__(self, features: Mapping[str, Features], rows: int) -> None:
        self.features, self.rows = features, rows

    def __getitem__(self, name: str) -> Features:
        return resize(self.features[name], self.rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self.features)

    def __len__(self) -> int:
        return len(self.features)
