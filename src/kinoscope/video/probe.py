"""What can be said of a video file without trusting it: never raises for the file's sake."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DamagedVideoWarning, KinoscopeError
from .reader import Video, open_video


@dataclass(frozen=True)
class ProbeReport:
    """The facts of one file; everything but ``path`` and ``error`` is empty when it cannot be read."""

    path: Path
    error: str | None = None
    """Why the file cannot be read; ``None`` if it can."""
    codec: str | None = None
    size: tuple[int, int] | None = None
    """Height and width of upright frames, in pixels."""
    fps: float | None = None
    """The exact rate of a constant rate video, else frames per second on average."""
    variable_rate: bool | None = None
    rotation: int | None = None
    """Clockwise turn that is applied to the frames, in degrees."""
    pixel_aspect: float | None = None
    """Width of a stored pixel over its height."""
    duration: float | None = None
    """In seconds."""
    frames: int | None = None
    has_audio: bool | None = None
    keyframe_interval: float | None = None
    """Longest way from one keyframe to the next or to the end, in seconds; ``None`` if the file cannot be sought."""
    damage: str | None = None
    """What is missing or broken; a quick look cannot find broken pictures."""

    @property
    def readable(self) -> bool:
        """Whether frames can be had."""
        return self.error is None


def probe_video(path: str | Path, *, full: bool = False) -> ProbeReport:
    """Look at a file: its header, its first frame and its packets; with ``full`` decode every frame too.

    Damage is put into the report, not warned of.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedVideoWarning)
        try:
            with open_video(path) as video:
                if full:
                    video.check()
                return _report(video)
        except (KinoscopeError, OSError) as error:
            text = error.problem if isinstance(error, KinoscopeError) else str(error)
            return ProbeReport(Path(path), error=text)


def _report(video: Video) -> ProbeReport:
    return ProbeReport(
        path=video.path,
        codec=video.codec,
        size=video.size,
        fps=video.fps,
        variable_rate=video.variable_rate,
        rotation=video.rotation,
        pixel_aspect=video.pixel_aspect,
        duration=video.duration,
        frames=len(video),
        has_audio=video.has_audio,
        keyframe_interval=_longest_gap(video),
        damage=video.damage,
    )


def _longest_gap(video: Video) -> float | None:
    if not len(video.keyframes):
        return None
    return float(np.diff(np.append(video.times[video.keyframes], video.duration)).max())
