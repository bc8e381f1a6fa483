"""When each row of a feature file was seen: grid positions become seconds here, and nowhere else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from ..errors import FeatureError


@dataclass(frozen=True)
class FeatureTime:
    """Which part of the video each feature row saw; the only place where grid positions become seconds.

    Row ``i`` was computed from ``clip_length`` frames taken at ``fps`` frames per second, the first of them
    ``offset + i * stride / fps`` seconds into the video.
    """

    fps: float
    """Rate at which frames were sampled from the video, in frames per second (not the rate of the file)."""
    stride: float
    """Sampled frames between the starts of neighbouring rows."""
    clip_length: float
    """Sampled frames that one row saw."""
    offset: float = 0.0
    """Time of the first frame of row 0, in seconds."""
    duration: float | None = None
    """Length of the video, in seconds, when known."""

    def __post_init__(self) -> None:
        for name in ("fps", "stride", "clip_length", "offset", "duration"):
            value = getattr(self, name)
            if name == "duration" and value is None:
                continue
            if not _is_finite(value) or (value <= 0 and name != "offset"):
                bound = "a number" if name == "offset" else "a positive number"
                raise FeatureError(f"{name} is {value!r}, but must be {bound}", cure="give the time of the features")

    @property
    def step(self) -> float:
        """Seconds between neighbouring rows."""
        return self.stride / self.fps

    def to_seconds(self, grid: Any) -> Any:
        """Grid position (row index, real valued) → seconds, the centre of what the row saw."""
        return self.offset + (np.asarray(grid, dtype=np.float64) * self.stride + 0.5 * self.clip_length) / self.fps

    def to_grid(self, seconds: Any) -> Any:
        """Seconds → grid position; the inverse of :meth:`to_seconds`."""
        return ((np.asarray(seconds, dtype=np.float64) - self.offset) * self.fps - 0.5 * self.clip_length) / self.stride

    def centers(self, rows: int) -> np.ndarray:
        """Centre of each of ``rows`` rows, in seconds. Shape: [T]."""
        return np.asarray(self.to_seconds(np.arange(rows)))


def _is_finite(value: Any) -> bool:
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def video_duration(time: FeatureTime, rows: int) -> float:
    """Length of the video in seconds; where it is not known, the end of what the last row saw."""
    if time.duration is not None:
        return time.duration
    return time.offset + ((rows - 1) * time.stride + time.clip_length) / time.fps
