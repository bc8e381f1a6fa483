"""Files → frames with true times."""

from __future__ import annotations

from .probe import ProbeReport, probe_video
from .reader import FrameBatch, Video, open_video
from .sampling import clip_samples, clip_starts, sample_times

__all__ = [
    "FrameBatch",
    "ProbeReport",
    "Video",
    "clip_samples",
    "clip_starts",
    "open_video",
    "probe_video",
    "sample_times",
]
