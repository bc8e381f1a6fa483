"""One picture of a video at one moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..video import open_video
from ..video.preview import jpeg

HEIGHT = 180
"""Pixels of a picture."""


def still(path: str | Path, time: float, height: int = HEIGHT) -> bytes:
    """What a video shows at ``time`` seconds, as a JPEG file; its last picture where that is beyond the end.

    Raises:
        VideoError: the video cannot be read.
    """
    with open_video(path) as video:
        rows, columns = video.size
        size = (height, max(2, round(columns * height / rows / 2) * 2))
        moment = float(np.clip(time, 0.0, video.duration))
        return jpeg(video.frames_at([moment], size=size).frames[0])
