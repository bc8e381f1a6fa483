"""Random changes of a clip, the same in all of its frames: crop, flip, colour, grey, blur.

What happens is drawn once per clip as a :class:`View` and then applied to every stream of it, so that pictures and
motion stay in step. It works on bytes with OpenCV, on one thread: loader workers share the cores already.

Source: CoCLR (arXiv 2010.09709), specification, section 6. Different from the official code (section 9): a crop that
does not fit is drawn again (8), and the grey channel is one for the whole clip and never the empty one of flow (6).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ..errors import OptionError
from .scaling import Frame
from .streams import STILL, Stream

_DRAWS = 10  # of a crop, before the central one is taken
_ASPECT = (3 / 4, 4 / 3)
_COLOUR = 0.4  # brightness, contrast and saturation are multiplied by 1 ± this
_HUE = 0.1  # of the colour circle
_SIGMA = (0.1, 2.0)  # of the blur, in pixels
_GREYS = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True)
class AugmentOptions:
    """How the views that pretraining compares are changed; the defaults are the paper's."""

    flip: float = 0.5
    """Probability that a view is mirrored."""
    area: tuple[float, float] = (0.2, 1.0)
    """Smallest and largest share of the frame that a crop may have."""
    strong: float = 0.3
    """Probability that a view of two clips is strong: jitter, grey and blur besides crop and flip."""
    jitter: float = 0.8
    """Probability that a strong view has other colours."""
    grey: float = 0.2
    """Probability that a strong view shows one colour channel in all three."""
    blur: float = 0.5
    """Probability that a strong view is blurred."""
    physical: bool = False
    """Treat motion as motion: a flip turns its direction, and its colours, which are none, stay as they are. The paper
    does neither."""

    def __post_init__(self) -> None:
        for name in ("flip", "strong", "jitter", "grey", "blur"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} is {getattr(self, name)}, but must be a probability from 0 to 1")
        least, most = self.area
        if not 0 < least <= most <= 1:
            raise OptionError(f"area is {least} to {most}, but must be shares of the frame, ascending, from 0 to 1")


@dataclass(frozen=True)
class Jitter:
    """Other colours: what is multiplied, by how much, and in which order."""

    brightness: float
    contrast: float
    saturation: float
    hue: float
    """Turn of the colour circle, in circles."""
    order: tuple[int, ...] = (0, 1, 2, 3)
    """Of the four fields above."""


@dataclass(frozen=True)
class View:
    """Everything random about one view of a clip."""

    box: tuple[int, int, int, int]
    """Top, left, height and width of the crop, in pixels."""
    flip: bool = False
    jitter: Jitter | None = None
    grey: int | None = None
    """Channel that is shown in all three."""
    blur: float | None = None
    """σ of the blur, in pixels of the result."""


def draw_view(rng: np.random.Generator, frame: tuple[int, int], options: AugmentOptions, *, strong: bool) -> View:
    """Draw a view: crop and flip (weak), with jitter, grey and blur at times (strong).

    Args:
        rng: where all randomness comes from.
        frame: height and width of the frames that it will be applied to, in pixels.
        strong: whether colours may change.
    """
    box, flip = draw_crop(rng, frame, options.area), bool(rng.random() < options.flip)
    if not strong:
        return View(box, flip)
    return View(
        box,
        flip,
        jitter=draw_jitter(rng) if rng.random() < options.jitter else None,
        grey=int(rng.integers(3)) if rng.random() < options.grey else None,
        blur=float(rng.uniform(*_SIGMA)) if rng.random() < options.blur else None,
    )


def draw_crop(
    rng: np.random.Generator, frame: tuple[int, int], area: tuple[float, float] = (0.2, 1.0)
) -> tuple[int, int, int, int]:
    """A random box of some share of the frame, 3:4 to 4:3; the central one when ten draws do not fit.

    Returns:
        Top, left, height and width, in pixels.
    """
    height, width = frame
    low, high = map(math.log, _ASPECT)
    for _ in range(_DRAWS):
        pixels, aspect = rng.uniform(*area) * height * width, math.exp(rng.uniform(low, high))
        h, w = round(math.sqrt(pixels / aspect)), round(math.sqrt(pixels * aspect))
        if 0 < h <= height and 0 < w <= width:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    return central_crop(frame)


def central_crop(frame: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest central box that is 3:4 to 4:3: top, left, height and width, in pixels."""
    height, width = frame
    h, w = min(height, round(width / _ASPECT[0])), min(width, round(height * _ASPECT[1]))
    return (height - h) // 2, (width - w) // 2, h, w


def apply_view(clip: Frame, view: View, size: int, *, stream: Stream = "rgb", physical: bool = False) -> Frame:
    """A clip as the view shows it.

    Args:
        clip: one stream, uint8. Shape: [T, h, w, 3].
        view: see :func:`draw_view`.
        size: side of the result, in pixels.
        stream: which one ``clip`` is.
        physical: see ``AugmentOptions``.

    Returns:
        Shape: [T, size, size, 3], uint8.
    """
    colours = stream == "rgb" or not physical
    shown = crop_and_resize(clip, view.box, size, flip=view.flip)  # [T, h, w, 3] -> [T, size, size, 3]
    if view.flip and stream == "flow" and physical:
        shown[..., 2] = _MIRRORED[shown[..., 2]]
    if view.jitter is not None and colours:
        shown = apply_jitter(shown, view.jitter)
    if view.grey is not None and colours:
        channel = 1 + view.grey % 2 if stream == "flow" else view.grey  # flow has nothing in the first
        shown = np.repeat(shown[..., channel, None], 3, axis=-1)
    if view.blur is not None:
        _blur(shown, view.blur)
    return shown


def evaluation_view(clip: Frame, size: int, share: float = 1.0) -> Frame:
    """The deterministic view: the central square. Shape: [T, h, w, 3] -> [T, size, size, 3].

    Args:
        share: its side, as a share of the short side.
    """
    return crop_and_resize(clip, central_square(clip.shape[1], clip.shape[2], share), size)


def central_square(height: int, width: int, share: float = 1.0) -> tuple[int, int, int, int]:
    """Top, left, height and width of the square in the middle, with that ``share`` of the short side."""
    side = max(1, round(min(height, width) * share))
    return (height - side) // 2, (width - side) // 2, side, side


def crop_and_resize(clip: Frame, box: tuple[int, int, int, int], size: int, *, flip: bool = False) -> Frame:
    """The pixels in a box, bicubic, mirrored if asked. Shape: [T, h, w, 3] -> [T, size, size, 3]."""
    cv2 = opencv()
    top, left, height, width = box
    out = np.empty((len(clip), size, size, 3), np.uint8)
    for frame, result in zip(clip[:, top : top + height, left : left + width], out, strict=True):
        scaled = cv2.resize(frame, (size, size), interpolation=cv2.INTER_CUBIC)
        result[:] = cv2.flip(scaled, 1) if flip else scaled
    return out


def apply_jitter(clip: Frame, jitter: Jitter) -> Frame:
    """Other brightness, contrast, saturation and hue, in the view's order. Shape: [T, H, W, 3] -> [T, H, W, 3]."""
    steps = (
        lambda pixels: _brighten(pixels, jitter.brightness),
        lambda pixels: _contrast(pixels, jitter.contrast),
        lambda pixels: _saturate(pixels, jitter.saturation),
        lambda pixels: _turn_hue(pixels, jitter.hue),
    )
    for step in jitter.order:
        clip = steps[step](clip)
    return clip


def draw_jitter(rng: np.random.Generator) -> Jitter:
    """Brightness, contrast and saturation times 0.6 to 1.4, hue turned by up to a tenth of the circle, in any order."""
    order = tuple(rng.permutation(4).tolist())
    brightness, contrast, saturation = rng.uniform(1 - _COLOUR, 1 + _COLOUR, 3).tolist()
    return Jitter(brightness, contrast, saturation, float(rng.uniform(-_HUE, _HUE)), order)


def _brighten(clip: Frame, factor: float) -> Frame:
    table = _table(np.arange(256) * factor)
    return opencv().LUT(_tall(clip), table).reshape(clip.shape)


def _contrast(clip: Frame, factor: float) -> Frame:
    """Move every frame away from its mean grey, or towards it."""
    cv2 = opencv()
    out = np.empty_like(clip)
    for frame, result in zip(clip, out, strict=True):
        grey = float(np.dot(cv2.mean(frame)[:3], _GREYS))
        cv2.LUT(frame, _table(np.arange(256) * factor + (1 - factor) * round(grey)), result)
    return out


def _saturate(clip: Frame, factor: float) -> Frame:
    """Move every pixel away from its grey, or towards it."""
    mixture = factor * np.eye(3) + (1 - factor) * np.tile(_GREYS, (3, 1))
    return opencv().transform(_tall(clip), mixture.astype(np.float32)).reshape(clip.shape)


def _turn_hue(clip: Frame, turn: float) -> Frame:
    cv2, steps = opencv(), round(turn * 256) % 256  # a full circle has 256 steps: bytes wrap as hues do
    if not steps:
        return clip  # hue, saturation and value in bytes are not exact: not there and back for nothing
    colours = cv2.cvtColor(_tall(clip), cv2.COLOR_RGB2HSV_FULL)
    colours[..., 0] += np.uint8(steps)
    return cv2.cvtColor(colours, cv2.COLOR_HSV2RGB_FULL).reshape(clip.shape)


def _blur(clip: Frame, sigma: float) -> None:
    cv2 = opencv()
    for frame in clip:
        cv2.GaussianBlur(frame, (0, 0), sigma, dst=frame)


def _tall(clip: Frame) -> Frame:
    """All frames as one picture, for what looks at single pixels. Shape: [T, H, W, 3] -> [T * H, W, 3]."""
    return clip.reshape(-1, *clip.shape[2:])


def _table(values: np.ndarray) -> Frame:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _mirrored() -> Frame:
    """The byte of −u for the byte of u. What stands still goes on standing still, though 255 − 128 is 127."""
    table = np.arange(255, -1, -1).astype(np.uint8)
    table[STILL] = STILL
    return table


_MIRRORED = _mirrored()


@cache
def opencv() -> Any:
    """OpenCV, kept to one thread."""
    import cv2

    cv2.setNumThreads(1)
    return cv2
