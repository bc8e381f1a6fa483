"""From a decoded frame to upright RGB pixels of the size that is asked for, through one libswscale context."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from ..errors import OptionError

Size = int | tuple[int, int] | None
Frame = npt.NDArray[np.uint8]

# swscale's own thread pool costs more than it gives on frames of this size (1.6-3.6 times); decoding has the threads.
# PyAV before 17 has no such pool and no such argument.
_ONE_THREAD = {"threads": 1} if "threads" in (inspect.getdoc(VideoReformatter.reformat) or "") else {}


@dataclass(frozen=True)
class Layout:
    """How stored frames become output frames: scale to ``scaled``, turn clockwise by ``rotation``, crop to ``size``."""

    scaled: tuple[int, int]
    """Height and width to which the stored frame is scaled, before it is turned."""
    rotation: int
    size: tuple[int, int]
    """Height and width of the result."""


def layout(stored: tuple[int, int], rotation: int, size: Size) -> Layout:
    """Plan the way from a stored frame to the size asked for.

    Args:
        stored: height and width in the file.
        rotation: clockwise turn that makes the frame upright: 0, 90, 180 or 270 degrees.
        size: ``None`` keeps every pixel; an int S scales the short side to S and takes the central S x S square (the
            field's usual evaluation transform); a pair (H, W) scales to exactly that, whatever the aspect ratio.

    Raises:
        OptionError: when a side asked for is below 1.
    """
    sideways = rotation in (90, 270)
    upright = stored[::-1] if sideways else stored
    sides = (size, size) if isinstance(size, int) else upright if size is None else tuple(size)
    if len(sides) != 2 or min(sides) < 1:
        raise OptionError(f"size is {size}, but must be a number of pixels from 1 on, or a pair (height, width)")
    scaled = sides
    if isinstance(size, int):
        scaled = scaled_size(upright, size)
    return Layout(scaled[::-1] if sideways else scaled, rotation, (sides[0], sides[1]))


def scaled_size(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Height and width after the short side became ``short_side``.

    The long one becomes an even number: swscale takes nearly twice as long for an odd width.
    """
    long = max(short_side, 2 * round(max(size) * short_side / min(size) / 2))
    return (short_side, long) if size[0] <= size[1] else (long, short_side)


class Scaler:
    """Writes decoded frames as upright RGB into arrays; keeps one swscale context for a whole stream.

    Each pixel of a smaller picture is the mean of the area it covers (no aliasing, and the fastest filter of swscale
    of which that is true); pictures are enlarged bilinearly.
    """

    def __init__(self, plan: Layout) -> None:
        self.plan = plan
        height, width = plan.scaled[::-1] if plan.rotation in (90, 270) else plan.scaled
        top, left = (height - plan.size[0]) // 2, (width - plan.size[1]) // 2
        self._crop = slice(top, top + plan.size[0]), slice(left, left + plan.size[1])
        self._reformatter = VideoReformatter()
        self._colours: dict[str, Any] = {}

    def into(self, frame: av.VideoFrame, out: Frame) -> None:
        """Convert ``frame`` and write it to ``out``. Shape: [H, W, 3], uint8 RGB."""
        height, width = self.plan.scaled
        rgb = self._to_rgb(frame, width, height)
        plane, channels = rgb.planes[0], len(rgb.format.components)
        pixels: Frame = np.ndarray(  # rows are padded: look at them in place, and copy only what the crop keeps
            (height, width, channels), np.uint8, buffer=memoryview(plane), strides=(plane.line_size, channels, 1)
        )
        if self.plan.rotation:
            pixels = np.rot90(pixels, k=-self.plan.rotation // 90)
        pixels = pixels[self._crop]  # [H, W, channels]
        if channels == 3:
            np.copyto(out, pixels)
        else:
            for channel in range(3):  # faster than copying three bytes at a time
                np.copyto(out[..., channel], pixels[..., channel])

    def _to_rgb(self, frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
        # swscale converts to rgb24 quickly when it need not scale, and to rgba when it must.
        layout = "rgb24" if (frame.width, frame.height) == (width, height) else "rgba"
        shrinks = width <= frame.width and height <= frame.height
        filtering = Interpolation.AREA if shrinks else Interpolation.BILINEAR
        try:
            return self._reformatter.reformat(
                frame, width, height, layout, interpolation=filtering, **_ONE_THREAD, **self._colours
            )
        except FFmpegError:
            if self._colours:
                raise
            # The file names a colour matrix that swscale does not know, or an impossible one: take the usual.
            self._colours = {"src_colorspace": Colorspace.ITU601, "dst_colorspace": Colorspace.ITU601}
            return self._to_rgb(frame, width, height)

    def __call__(self, frame: av.VideoFrame) -> Frame:
        """Convert ``frame`` into a new array. Shape: [H, W, 3], uint8 RGB."""
        out = np.empty((*self.plan.size, 3), np.uint8)
        self.into(frame, out)
        return out
