"""From a decoded frame to what each network sees of it.

In use and for validation a frame is scaled straight from its decoded form to each size that is wanted, so that what is
not wanted costs nothing. In training a random crop is cut first.

Source: AR-Net sheet, section 6 (crops, flip; the released nearest-neighbour kernel acts on the 224 px crop).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import av
import numpy as np

from ..video.augment import opencv
from ..video.sampling import IntArray
from ..video.scaling import Frame, Layout, Scaler, scaled_size
from .options import Kernel

_SCALES = (1.0, 0.875, 0.75, 0.66)
"""Of training crops, as shares of the short side; width and height are at most one step apart."""


@dataclass(frozen=True)
class Glass:
    """How frames of one video become squares of the sizes that are wanted.

    Args:
        stored: height and width of the frames in the file.
        rotation: clockwise turn that makes them upright, in degrees.
        largest: pixels of the side of the largest view, which ``nearest`` and ``bilinear`` scale.
        kernel, crop: see :class:`.options.ArNetOptions`.
    """

    stored: tuple[int, int]
    rotation: int
    largest: int
    kernel: Kernel
    crop: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "_scalers", {})

    def view(self, frame: av.VideoFrame, size: int) -> Frame:
        """The central square of a decoded frame. Shape: -> [S, S, 3], uint8."""
        if self.kernel == "area" or size == self.largest:
            return self._scaler(size)(frame)
        return shrink(self._scaler(self.largest)(frame)[None], size, self.kernel)[0]

    def _scaler(self, size: int) -> Scaler:
        scalers: dict[int, Scaler] = self._scalers  # type: ignore[attr-defined]  # set above: the class is frozen
        if size not in scalers:
            sideways = self.rotation in (90, 270)
            upright = self.stored[::-1] if sideways else self.stored
            scaled = scaled_size(upright, max(size, round(size / self.crop)))
            scalers[size] = Scaler(Layout(scaled[::-1] if sideways else scaled, self.rotation, (size, size)))
        return scalers[size]


def shrink(frames: Frame, size: int, kernel: Kernel) -> Frame:
    """Squares of another size; ``nearest`` takes the pixel ⌊i S / s⌋, as released.

    Shape: [N, S, S, 3] -> [N, s, s, 3].
    """
    if frames.shape[1] == size:
        return frames
    if kernel == "nearest":
        rows = nearest_rows(frames.shape[1], size)
        return frames[:, rows[:, None], rows]
    cv2 = opencv()
    how = cv2.INTER_AREA if kernel == "area" else cv2.INTER_LINEAR
    return np.stack([cv2.resize(frame, (size, size), interpolation=how) for frame in frames])


def nearest_rows(source: int, size: int) -> IntArray:
    """Which pixel of ``source`` each of ``size`` pixels shows. Shape: [s]."""
    return np.arange(size, dtype=np.int64) * source // size


def training_crop(rng: np.random.Generator, frame: tuple[int, int]) -> tuple[int, int, int, int]:
    """A crop at one of four scales, at the centre, a corner or a quarter: top, left, height, width, in pixels."""
    height, width = frame
    short = min(frame)
    steps = [round(short * scale) for scale in _SCALES]
    pairs = [(h, w) for i, h in enumerate(steps) for j, w in enumerate(steps) if abs(i - j) <= 1]
    h, w = pairs[int(rng.integers(len(pairs)))]
    quarters = rng.integers(5, size=2)  # 0, ¼, ½, ¾ and 1 of the room
    return int((height - h) * quarters[0] // 4), int((width - w) * quarters[1] // 4), h, w


def training_views(
    frames: Frame, box: tuple[int, int, int, int], flip: bool, sizes: Sequence[int], kernel: Kernel
) -> list[Frame]:
    """The pixels in a box at every size, mirrored if asked. Shape: [T, h, w, 3] -> for each size [T, S, S, 3]."""
    cv2, (top, left, height, width) = opencv(), box
    seen = frames[:, top : top + height, left : left + width]
    if flip:
        seen = seen[:, :, ::-1]
    largest = max(sizes)

    def at(size: int) -> Frame:
        how = cv2.INTER_AREA if min(height, width) >= size else cv2.INTER_LINEAR
        return np.stack([cv2.resize(np.ascontiguousarray(f), (size, size), interpolation=how) for f in seen])

    if kernel == "area":
        return [at(size) for size in sizes]
    whole = at(largest)
    return [shrink(whole, size, kernel) for size in sizes]
