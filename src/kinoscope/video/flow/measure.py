"""The flow of a whole file, frame by frame, whatever the algorithm."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import OptionError
from ..reader import open_video
from .algorithms import estimator, grey
from .encoding import Algorithm, Flow, FlowSettings, Picture, check_bound, encode_flow
from .vectors import vector_flow


@dataclass(frozen=True)
class FlowOptions:
    """How the flow of files is measured and stored."""

    algorithm: Algorithm = "dis"
    """dis (fast and good), farneback, tvl1 (the paper's, very slow), motion-vectors (the codec's own, nearly free)."""
    size: int = 256
    """Short side, in pixels, at which motion is measured; smaller videos stay as they are; 0 keeps every size."""
    bound: float = 20.0
    """Largest motion that is stored, in pixels per frame at that size; faster motion is cut to it."""

    def __post_init__(self) -> None:
        check_bound(self.bound)
        if self.size < 0:
            problem = f"size is {self.size}, but must be a number of pixels, or 0 for the video's own"
            raise OptionError(problem, cure="leave it out for the usual 256")

    @property
    def settings(self) -> FlowSettings:
        """Those that flow of frames has, too."""
        return FlowSettings(self.algorithm, self.bound)


def working_size(size: tuple[int, int], short: int) -> tuple[int, int]:
    """Height and width at which motion is measured: ``size`` with its short side scaled down to ``short``."""
    if not 0 < short < min(size):
        return size
    factor = short / min(size)
    height, width = (max(short, 2 * math.floor(side * factor / 2 + 0.5)) for side in size)
    return (short, width) if size[0] <= size[1] else (height, short)


def measure_flow(
    path: str | Path, options: FlowOptions = FlowOptions(), *, threads: int | None = None
) -> Iterator[tuple[Flow, float]]:
    """Yield (motion to the next frame [H, W, 2], time of the frame in seconds); memory does not grow with the video.

    There is one flow less than frames; a video of a single frame gives one, without motion. Flow is float32: u (right)
    and v (down) in pixels per frame of the working size. Frames that cannot be decoded are left out: the motion is
    that between the frames around them.

    Args:
        threads: of the codec (see :func:`kinoscope.video.open_video`); reading motion vectors always takes one.

    Raises:
        VideoError: the file cannot be read, or has no motion vectors where those are asked for.
        OptionError: the algorithm needs a package that is not installed.
    """
    estimate = None if options.algorithm == "motion-vectors" else estimator(options.algorithm)
    before = None
    count, last = 0, 0.0
    with open_video(path, threads=threads) as video:
        size = working_size(video.size, options.size)
        if estimate is None:
            for flow, last in vector_flow(video.path, size):
                count += 1
                yield flow, last
        else:
            for frame, time in video.stream(size=None if size == video.size else size):
                now = grey(frame)
                if before is not None:
                    count += 1
                    yield estimate(before, now), last
                before, last = now, time
    if not count:
        yield np.zeros((*size, 2), np.float32), last


def video_flow(
    path: str | Path, options: FlowOptions = FlowOptions(), *, threads: int | None = None
) -> Iterator[tuple[Picture, float]]:
    """As :func:`measure_flow`, encoded (see :func:`encode_flow`). Shape: [H, W, 3], uint8, each."""
    for flow, time in measure_flow(path, options, threads=threads):
        yield encode_flow(flow, options.bound), time
