"""Motion between two frames, measured from their pixels: three algorithms of OpenCV behind one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import OptionError
from .encoding import Algorithm, Flow, Picture

Estimate = Callable[[Any, Any], Flow]
"""(grey frame [H, W], the next one) → how far each pixel of the first moves [H, W, 2], in pixels."""

_SMALLEST = 16  # pixels a side: DIS refuses frames of fewer than 12


def compute_flow(frames: Picture, algorithm: Algorithm = "dis") -> Flow:
    """Motion from each frame to the next.

    ``flow[t, y, x] = (u, v)`` says that what is at (x, y) in frame t is at (x + u, y + v) in frame t + 1.

    Args:
        frames: RGB. Shape: [T, H, W, 3], uint8.
        algorithm: not "motion-vectors", which are in files, not in frames: see :func:`video_flow` for those.

    Shape: [T - 1, H, W, 2], float32: u (right) and v (down), in pixels per frame.

    Raises:
        OptionError: an algorithm that does not work on frames, or OpenCV is not installed (completely).
    """
    estimate = estimator(algorithm)
    flow = np.empty((max(0, len(frames) - 1), *frames.shape[1:3], 2), np.float32)  # [T - 1, H, W, 2]
    before = grey(frames[0]) if len(flow) else None
    for t, frame in enumerate(frames[1:]):
        now = grey(frame)
        flow[t] = estimate(before, now)
        before = now
    return flow


def grey(frame: Picture) -> Any:
    """Brightness of an RGB frame. Shape: [H, W, 3] → [H, W], uint8."""
    import cv2

    return cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)


def estimator(algorithm: Algorithm) -> Estimate:
    """The function that measures motion between two grey frames.

    Raises:
        OptionError: see :func:`compute_flow`.
    """
    if algorithm not in _MAKERS:
        cure = "give the file to video_flow, or choose another algorithm"
        if algorithm != "motion-vectors":
            cure = f"known are: {', '.join([*_MAKERS, 'motion-vectors'])}"
        raise OptionError(f"algorithm is {algorithm!r}, which does not work on frames", cure=cure)
    try:
        import cv2
    except ImportError as error:
        cure = "pip install opencv-contrib-python-headless, or take --algorithm motion-vectors"
        raise OptionError(f"--algorithm {algorithm} needs OpenCV, which is not installed", cure=cure) from error
    measure = _MAKERS[algorithm](cv2)

    def estimate(before: Any, after: Any) -> Flow:
        height, width = before.shape
        below, right = max(0, _SMALLEST - height), max(0, _SMALLEST - width)
        if below or right:
            before, after = (np.pad(each, ((0, below), (0, right)), "edge") for each in (before, after))
        return measure(before, after)[:height, :width]

    return estimate


def _dis(cv2: Any) -> Estimate:
    # "Medium" takes 5-12 ms a frame at 256 pixels, "fast" 1-3 ms, decoding and storing cost as much again; medium is
    # nearer to TV-L1 where motion is small (0.13 against 0.18 pixels on a baseball pitch of UCF101).
    # A new one for every pair: of small frames (44 pixels) a used one measures up to 14 pixels differently.
    medium = cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
    return lambda before, after: cv2.DISOpticalFlow_create(medium).calc(before, after, None)  # type: ignore[no-any-return]


def _farneback(cv2: Any) -> Estimate:
    settings = {"pyr_scale": 0.5, "levels": 5, "winsize": 15, "iterations": 3, "poly_n": 5, "poly_sigma": 1.2}
    return lambda before, after: cv2.calcOpticalFlowFarneback(before, after, None, flags=0, **settings)  # type: ignore[no-any-return]


def _tvl1(cv2: Any) -> Estimate:
    if not hasattr(cv2, "optflow"):
        cure = "pip uninstall opencv-python-headless && pip install opencv-contrib-python-headless, or --algorithm dis"
        raise OptionError("--algorithm tvl1 needs OpenCV's contributed modules, which are not installed", cure=cure)
    search = cv2.optflow.DualTVL1OpticalFlow_create()
    return lambda before, after: search.calc(before, after, None)  # type: ignore[no-any-return]


_MAKERS: dict[str, Callable[[Any], Estimate]] = {"dis": _dis, "farneback": _farneback, "tvl1": _tvl1}
