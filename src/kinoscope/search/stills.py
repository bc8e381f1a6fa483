"""One picture of a video at one moment."""

from __future__ import annotations

from pathlib import Path

from ..video import open_video
from ..video.preview import pictures

HEIGHT = 180
"""Pixels of a picture."""


def still(path: str | Path, time: float, height: int = HEIGHT) -> bytes:
    """What a video shows at ``time`` seconds, as a JPEG file; its last picture where that is beyond the end.

    Raises:
        VideoError: the video cannot be read.
    """
    with open_video(path) as video:
        return pictures(video, [time], height)[0]
