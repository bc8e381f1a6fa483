"""What a network sees of a clip: its colours, its motion, or the change from frame to frame.

Every stream is three channels of bytes, so that all of them are cached, augmented and normalised by the same code.

Source: CoCLR (arXiv 2010.09709), specification, sections 6 (encoding of flow) and 11 (streams that need no flow).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ..errors import OptionError
from .flow.encoding import FlowSettings, encode_flow
from .sampling import FloatArray, IntArray
from .scaling import Frame

if TYPE_CHECKING:
    from torch import Tensor

Stream = Literal["rgb", "flow", "difference"]
STREAMS: tuple[Stream, ...] = get_args(Stream)

STILL = 128
"""The byte that says "no motion" in flow, and "no change" in differences."""

MEAN = (0.485, 0.456, 0.406)
"""Of the channels of ImageNet, scaled to 0..1; taken for every stream."""
STD = (0.229, 0.224, 0.225)
"""Their standard deviation."""


def render_stream(
    frames: Frame, stream: Stream, flow: FlowSettings = FlowSettings(), *, times: FloatArray | None = None
) -> Frame:
    """One stream of a clip, from its frames and the one that follows.

    ``rgb`` gives the frames themselves. ``flow`` gives the motion from each frame to the next as the paper stores it:
    R = 128, G = vertical, B = horizontal (see :func:`kinoscope.video.flow.encode_flow`). ``difference`` gives
    128 + (next − this) / 2.

    A frame that was sampled more than once, because the file has fewer frames per second than were asked for, counts
    once: each repetition shows the motion to the next *different* frame, instead of standing still in between. Where
    no other frame follows, the motion before it goes on; a single frame does not move.

    Args:
        frames: T frames and the next, uint8 RGB. Shape: [T + 1, H, W, 3].
        stream: which one.
        flow: how motion is measured, and the motion that the largest byte stands for.
        times: of the frames, in seconds: a repeated frame repeats its time. Shape: [T + 1]. Without them frames that
            are equal in every pixel count as repeated.

    Returns:
        Shape: [T, H, W, 3], uint8.

    Raises:
        OptionError: an unknown stream, fewer than two frames, or other numbers than bytes.
    """
    require_stream(stream)
    _require_frames(frames)
    if stream == "rgb":
        return frames[:-1]
    first = _first_of_each(frames, times)  # [T + 1]
    distinct = frames[first]  # [U, H, W, 3]
    moving = render_motion(distinct, stream, flow)  # [U, H, W, 3]
    return moving[np.cumsum(first)[:-1] - 1]  # [U, H, W, 3] -> [T, H, W, 3]


def render_motion(frames: Frame, stream: Stream, flow: FlowSettings = FlowSettings()) -> Frame:
    """Flow or difference of frames that are all distinct; the last, which none follows, moves on as the one before.

    Shape: [U, H, W, 3] -> [U, H, W, 3], uint8.
    """
    if len(frames) < 2:
        return np.full_like(frames, STILL)
    if stream == "difference":
        change = np.subtract(frames[1:], frames[:-1], dtype=np.int16)  # [U - 1, H, W, 3]
        change += 2 * STILL
        change >>= 1
        moving = change.astype(np.uint8)
    else:
        from .flow import compute_flow

        moving = encode_flow(compute_flow(frames, flow.algorithm), flow.bound)  # [U - 1, H, W, 3]
    return np.concatenate((moving, moving[-1:]))  # [U, H, W, 3]


def normalise(clips: npt.NDArray[np.uint8] | Tensor) -> Tensor:
    """Bytes as networks want them: scaled to 0..1, then by mean and deviation of ImageNet, whatever the stream.

    Give bytes to the device first, and normalise there: they are a quarter of the size. Channels stay the innermost in
    memory (``torch.channels_last_3d``), where convolutions on most devices like them best.

    Shape: [..., T, H, W, 3] uint8 -> [..., 3, T, H, W] float32.
    """
    import torch

    pixels = torch.as_tensor(clips)
    std = torch.tensor(STD, device=pixels.device)
    mean = torch.tensor(MEAN, device=pixels.device)
    return (pixels.float() / (255 * std)).sub_(mean / std).movedim(-1, -4)  # [..., T, H, W, 3] -> [..., 3, T, H, W]


def require_stream(stream: str) -> None:
    """Raise :class:`OptionError` unless ``stream`` is one of ``STREAMS``."""
    if stream not in STREAMS:
        raise OptionError(f"stream is {stream!r}", cure=f"choose {', '.join(STREAMS[:-1])} or {STREAMS[-1]}")


def _require_frames(frames: npt.NDArray[Any]) -> None:
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        problem = f"frames are {frames.dtype} of shape {frames.shape}, but must be uint8 [T + 1, H, W, 3]"
        raise OptionError(problem)
    if len(frames) < 2:
        raise OptionError(f"{len(frames)} frames hold no clip and the frame after it", cure="give at least 2")


def _first_of_each(frames: Frame, times: FloatArray | None) -> npt.NDArray[np.bool_]:
    """Whether each frame is another than the one before it. Shape: [T + 1]."""
    if times is not None:
        changes = np.diff(np.asarray(times, np.float64)) != 0
    else:
        changes = np.asarray([not np.array_equal(a, b) for a, b in pairwise(frames)], bool)
    return np.concatenate(([True], changes))


def rows_in_motion(rows: IntArray, count: int) -> IntArray:
    """Which of ``count`` distinct frames must be at hand to render the motion of ``rows``. Shape: [N], ascending."""
    needed = np.concatenate((rows, rows + 1))
    if count - 1 in rows:
        needed = np.append(needed, count - 2)  # the last moves on as the one before
    return np.unique(needed[(needed >= 0) & (needed < count)])
