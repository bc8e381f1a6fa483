"""What a trained network looks at in a test video: windows over its whole length, one crop or ten. Nothing is random.

Letters: W windows, T samples of a clip, V views.

Source: CoCLR sheet, sections 7 (test time) and 9.9 (the published transforms draw colours at random even here).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from ..errors import OptionError
from ..video.augment import View, apply_view, central_square, evaluation_view
from ..video.sampling import IntArray
from ..video.scaling import Frame
from ..video.streams import Stream
from .reader import Clips

Crops = Literal[1, 10]

_OFFICIAL_CROP = 224 / 240  # the published crops are 224 pixels of frames of 240
_WINDOWS_AT_ONCE = 8  # decoded together: bounds the memory however long the video


def window_starts(samples: int, frames: int) -> IntArray:
    """First sample of every window: ``frames // 2 − 1`` apart, as long as a whole clip fits. Shape: [W].

    A video that is not longer than a clip has one window; it begins before the first sample (a negative number) where
    the video is shorter, and samples before the first repeat it.

    Raises:
        OptionError: a count below 1.
    """
    if samples < 1 or frames < 1:
        raise OptionError(f"samples {samples} and frames {frames} must be at least 1")
    if samples <= frames:
        return np.array([samples - frames], dtype=np.int64)
    return np.arange(0, samples - frames + 1, max(1, frames // 2 - 1), dtype=np.int64)


def window_samples(samples: int, frames: int) -> IntArray:
    """Which samples each window shows. Shape: [W, T]."""
    return np.maximum(window_starts(samples, frames)[:, None] + np.arange(frames), 0)


def crop_views(frame: tuple[int, int], crops: Crops = 1, share: float = 1.0) -> list[View]:
    """The crops of a frame (height, width): the central square, or ten.

    Ten are the centre and the four corners, each with its mirror image. Mirrored motion keeps its sign, as in the
    published training.

    Args:
        share: side of the square, as a share of the short side; ten of all of it would be one, so those have 224 / 240,
            as published for CoCLR.

    Raises:
        OptionError: another number of crops.
    """
    height, width = frame
    if crops == 1:
        return [View(central_square(height, width, share))]
    if crops != 10:
        raise OptionError(f"crops is {crops}", cure="choose 1 (the centre) or 10 (centre and corners, mirrored)")
    top, left, side, _ = central_square(height, width, share if share < 1 else _OFFICIAL_CROP)
    down, right = height - side, width - side
    corners = [(top, left), (0, 0), (0, right), (down, 0), (down, right)]
    return [View((top, left, side, side), flip=flip) for flip in (False, True) for top, left in corners]


def read_windows(clips: Clips, index: int, streams: Sequence[Stream]) -> Iterator[dict[Stream, Frame]]:
    """The windows of a video in order, a few at a time from one decode. Shape of each: [T, h, w, 3], uint8."""
    starts = np.maximum(window_starts(clips.samples(index), clips.options.frames), 0).tolist()
    for first in range(0, len(starts), _WINDOWS_AT_ONCE):
        yield from clips.read(index, [(start, streams) for start in starts[first : first + _WINDOWS_AT_ONCE]])


def crop_window(clip: Frame, size: int, crops: Crops = 1, stream: Stream = "rgb", share: float = 1.0) -> Frame:
    """The crops of a window as a network sees them. Shape: [T, h, w, 3] -> [V, T, size, size, 3], uint8.

    Args:
        share: see :func:`crop_views`.
    """
    if crops == 1:
        return evaluation_view(clip, size, share)[None]
    height, width = clip.shape[1:3]
    views = crop_views((height, width), crops, share)
    return np.stack([apply_view(clip, view, size, stream=stream) for view in views])
