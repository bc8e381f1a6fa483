"""Optical flow as pictures: the encoding of the CoCLR sheet (section 6), its inverse, and colours for people."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...errors import OptionError

Algorithm = Literal["dis", "farneback", "tvl1", "motion-vectors"]
Flow = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

_STILL = 128  # the level of no motion, and the constant third channel
_HUES = 360


@dataclass(frozen=True)
class FlowSettings:
    """How motion is measured and stored."""

    algorithm: Algorithm = "dis"
    """dis (fast and good), farneback, tvl1 (the paper's, very slow), motion-vectors (the codec's own, nearly free)."""
    bound: float = 20.0
    """Largest motion that is stored, in pixels per frame; faster motion is cut to it."""

    def __post_init__(self) -> None:
        check_bound(self.bound)


def check_bound(bound: float) -> None:
    """Raise :class:`OptionError` unless ``bound`` is a positive number of pixels."""
    if not (math.isfinite(bound) and bound > 0):
        cure = "leave it out for the usual 20"
        raise OptionError(f"bound is {bound}, but must be a positive number of pixels per frame", cure=cure)


def encode_flow(flow: npt.NDArray[Any], bound: float = 20.0) -> Picture:
    """Store flow in the three bytes of a pixel.

    A component from -bound to +bound goes linearly to 0…255, rounded; what is faster is cut. As an RGB reader sees
    the files of the paper's authors: red is the constant 128, green is v, blue is u.

    Args:
        flow: u (right) and v (down), in pixels per frame, finite. Shape: [..., 2].
        bound: largest motion that can be stored.

    Shape: [..., 3], uint8.

    Raises:
        OptionError: when the bound is not a positive number.

    Source: CoCLR sheet, section 6 (the authors' extraction script).
    """
    check_bound(bound)
    encoded = np.empty((*flow.shape[:-1], 3), np.uint8)  # [..., 3]
    encoded[..., 0] = _STILL
    # Times 255/40, plus 127.5: no motion gives exactly 127.5, which rounds to 128 whatever the bound.
    levels = np.multiply(flow, np.float32(127.5 / bound), dtype=np.float32)
    levels += np.float32(127.5)
    np.clip(np.rint(levels, out=levels), 0, 255, out=levels)
    encoded[..., :0:-1] = levels  # u → blue, v → green
    return encoded


def decode_flow(encoded: Picture, bound: float = 20.0) -> Flow:
    """The flow in encoded pictures, to the nearest of 256 levels.

    No motion lies half-way between two levels and is stored in the upper one: it comes back as half a step,
    ``bound / 255`` (0.078 pixels for the usual bound). Every motion within the bound comes back to within that error.

    Args:
        encoded: what :func:`encode_flow` gave. Shape: [..., 3].
        bound: the same as there.

    Shape: [..., 2]: u (right) and v (down), in pixels per frame.

    Raises:
        OptionError: when the bound is not a positive number.
    """
    check_bound(bound)
    levels = encoded[..., :0:-1].astype(np.float32)  # [..., 2]
    return levels * np.float32(2 * bound / 255) - np.float32(bound)


def clipped(flow: Flow, bound: float) -> npt.NDArray[np.bool_]:
    """Where a component is beyond what :func:`encode_flow` can store. Shape: [..., 2] → [...]."""
    return np.asarray((np.abs(flow) > bound).any(axis=-1))


def flow_colors(flow: Flow, bound: float = 20.0) -> Picture:
    """Flow as people read it: the hue is the direction (red right, green down, blue up), the strength is the speed.

    Strength grows with the square root of the speed, so that small motion is seen beside large; full colour is
    ``bound``. Motion below one level of :func:`encode_flow` is white.

    Shape: [..., 2] → [..., 3], uint8 RGB.
    """
    u, v = flow[..., 0], flow[..., 1]
    strength = np.sqrt(np.clip(np.hypot(u, v) / bound - 1 / 127.5, 0, 1))  # [...]
    hue = np.rint(np.arctan2(v, u) * (_HUES / (2 * np.pi))).astype(np.int64) % _HUES
    return np.asarray(255 - strength[..., None] * (255 - _wheel()[hue]), np.uint8)  # [..., 3]


def _wheel() -> npt.NDArray[np.float32]:
    """Full colours by hue. Shape: [_HUES, 3], 0 to 255."""
    turn = np.arange(_HUES, dtype=np.float32)[:, None] / _HUES - np.array([0, 1 / 3, 2 / 3], np.float32)
    away = np.abs((turn + 0.5) % 1 - 0.5)  # of each hue from red, green and blue, in turns
    return np.asarray(255 * np.clip(2 - 6 * away, 0, 1), np.float32)
