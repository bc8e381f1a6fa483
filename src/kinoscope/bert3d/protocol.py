"""Which samples of a video the clips of a test show: one in the centre, or as many as tile the whole video.

Source: specification sections 7 and 9 (the published rule), 10.5 (what it drops) and 11 (exact tiling). Samples count
from 0 here, frames of the published code from 1.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..errors import OptionError
from ..video.sampling import IntArray

ClipChoice = Literal["centre", "all"]
Short = Literal["wrap", "still"]


def clip_starts(samples: int, frames: int, clips: ClipChoice = "all", *, official: bool = False) -> IntArray:
    """First sample of every clip. Shape: [N], ascending.

    ``"centre"`` is one clip. ``"all"`` are as few as show every sample, ⌈samples / frames⌉: spread evenly, the first
    begins with the video and the last ends with it. A video that is not longer than a clip has one; it begins at 0.

    Args:
        samples: of the video.
        frames: T, samples in a clip.
        official: where the published code would begin. Its clips never overlap, and what is left at both ends is in
            none of them: of 128 samples it shows 64 in one clip, of 131 it shows 128 in two.

    Raises:
        OptionError: a count below 1, or another choice of clips.
    """
    if samples < 1 or frames < 1:
        raise OptionError(f"samples {samples} and frames {frames} must be at least 1")
    if clips not in ("centre", "all"):
        raise OptionError(f"clips is {clips!r}", cure="choose 'centre' or 'all'")
    if official:
        return _official_starts(samples, frames, clips)
    left = max(0, samples - frames)
    if clips == "centre":
        return np.array([left // 2], dtype=np.int64)
    count = -(-samples // frames)
    # Rounded down, two neighbours are at most ⌈left / (count - 1)⌉ ≤ frames apart: no sample is between them.
    return np.arange(count, dtype=np.int64) * left // max(1, count - 1)


def clip_indices(
    samples: int, frames: int, clips: ClipChoice = "all", *, official: bool = False, short: Short = "wrap"
) -> IntArray:
    """Which samples each clip shows. Shape: [N, T].

    Args:
        samples, frames, clips, official: see :func:`clip_starts`.
        short: what a clip of a shorter video goes on with: ``"wrap"`` begins again at the first sample, as published;
            ``"still"`` repeats the last.

    Raises:
        OptionError: see :func:`clip_starts`; or another ``short``.
    """
    if short not in ("wrap", "still"):
        raise OptionError(f"short is {short!r}", cure="choose 'wrap' or 'still'")
    indices = clip_starts(samples, frames, clips, official=official)[:, None] + np.arange(frames)  # [N, T]
    return indices % samples if short == "wrap" else np.minimum(indices, samples - 1)


def _official_starts(samples: int, frames: int, clips: ClipChoice) -> IntArray:
    last = samples - 1  # the published code counts one sample less than there are
    if clips == "centre":
        return np.array([max(0, last - frames + 1) // 2 if last >= frames else 0], dtype=np.int64)
    starts = np.arange(1, last - frames, frames, dtype=np.int64)
    if not len(starts):
        return np.zeros(1, dtype=np.int64)
    return starts + (last - (starts[-1] + frames)) // 2
