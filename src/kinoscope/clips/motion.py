"""Where the motion of a video comes from: its frames, files that ``kinoscope flow`` wrote, or the codec's own vectors.

Stored motion is that to the next frame *of the file*. Where sampling leaves frames out it is multiplied by the number
of frames to the next row, as if the motion went on at its speed, so that it says the same as motion that is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import VideoError
from ..video.flow.encoding import Flow, FlowSettings, decode_flow, encode_flow
from ..video.flow.files import flow_options_of
from ..video.flow.vectors import vector_flow
from ..video.reader import open_video
from ..video.sampling import FloatArray, IntArray, displayed
from ..video.scaling import Frame
from ..video.streams import STILL, render_motion

if TYPE_CHECKING:
    from .footage import Footage

Measure = Callable[[IntArray, Frame], tuple[int, Frame]]
"""(the next rows [n], their pictures [n, h, w, 3]) → the first row of which the motion is known, and the motion."""

_MILLISECOND = 1e-3  # to which flow files round their times


@dataclass(frozen=True)
class StoredFlow:
    """A flow file."""

    path: Path
    bound: float
    """The motion that its largest byte stands for."""

    def read(self, times: FloatArray, rows: IntArray, size: tuple[int, int], flow: FlowSettings) -> Frame:
        """The motion of some rows.

        Args:
            times: of all rows of the video, in seconds. Shape: [U].
            rows: which of them. Shape: [n].
            size: height and width wanted.
            flow: how the motion is encoded.

        Returns:
            Shape: [n, h, w, 3], uint8.

        Raises:
            VideoError: the file cannot be read.
        """
        with open_video(self.path) as video:
            places = displayed(video.times, times + _MILLISECOND)  # [U]
            frames = video.frames_by_index(places[rows]).frames  # [n, H, W, 3]
        factors = _frames_to_next(places)[rows]
        if (factors == 1).all() and frames.shape[1:3] == size and flow.bound == self.bound:
            return frames
        moving = decode_flow(frames, self.bound) * factors[:, None, None, None]  # [n, H, W, 2]
        moving[frames[..., :0:-1] == STILL] = 0  # half a step off: what stands still must not begin to drift
        return encode_flow(np.stack([_scaled(each, size) for each in moving]), flow.bound)


def find_stored(path: Path, source: Path, flow: FlowSettings) -> StoredFlow:
    """The flow file of a video.

    Raises:
        VideoError: there is none, or it was made of another file or by another algorithm.
    """
    if not path.is_file():
        cure = "make it with kinoscope flow, or leave --flow out: motion is computed then"
        raise VideoError("there is no flow of this video", where=path, cure=cure)
    made = flow_options_of(path)
    if made["algorithm"] != flow.algorithm:
        cure = f"ask for {made['algorithm']}, or make it again with kinoscope flow --algorithm {flow.algorithm}"
        raise VideoError(f"holds flow by {made['algorithm']}, not {flow.algorithm}", where=path, cure=cure)
    if made.get("source_bytes") != source.stat().st_size:
        raise VideoError(f"holds flow of another {source.name}", where=path, cure="make it again with kinoscope flow")
    return StoredFlow(path, float(made["bound"]))


def measure_in_order(footage: Footage, flow: FlowSettings) -> Measure:
    """What gives the motion of a whole video, a piece at a time, from the first row to the last."""
    stored = footage.stored
    if stored is not None:
        return lambda rows, _: (int(rows[0]), stored.read(footage.times, rows, footage.size, flow))
    if flow.algorithm == "motion-vectors":
        vectors = vector_rows(footage, flow)
        return lambda rows, _: (int(rows[0]), np.stack(list(islice(vectors, len(rows)))))
    before = np.empty((0, *footage.size, 3), np.uint8)

    def measure(rows: IntArray, frames: Frame) -> tuple[int, Frame]:
        # The motion of a piece's last row is not known before the next one comes: it is given again then.
        nonlocal before
        joined = np.concatenate((before, frames))  # [1 + n, h, w, 3]
        first, before = int(rows[0]) - len(before), frames[-1:]
        return first, render_motion(joined, "flow", flow)

    return measure


def vector_rows(footage: Footage, flow: FlowSettings) -> Iterator[Frame]:
    """The codec's motion vectors of every row, in order; where they end, the last motion goes on.

    Shape of each: [h, w, 3], uint8.

    Raises:
        VideoError: the codec gives none, or the file has none.
    """
    found, motion = 0, np.zeros((*footage.size, 2), np.float32)
    factors = _frames_to_next(footage.positions)
    for motion, time in vector_flow(footage.path, footage.size):
        while found < len(footage.times) and footage.times[found] <= time + _MILLISECOND / 2:
            yield encode_flow(motion * factors[found], flow.bound)
            found += 1
    for factor in factors[found:]:
        yield encode_flow(motion * factor, flow.bound)


def _frames_to_next(places: IntArray) -> FloatArray:
    """How many frames further the next row is; behind the last as behind the one before. Shape: [U] -> [U]."""
    steps = np.maximum(np.diff(places), 1).astype(np.float64)
    return np.append(steps, steps[-1:] if len(steps) else 1.0)


def _scaled(flow: Flow, size: tuple[int, int]) -> Flow:
    """Motion in pixels of another size. Shape: [H, W, 2] -> [h, w, 2]."""
    if flow.shape[:2] == size:
        return flow
    import cv2

    height, width = flow.shape[:2]
    shrinks = size[0] <= height and size[1] <= width
    scaled = cv2.resize(flow, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return scaled * np.array([size[1] / width, size[0] / height], np.float32)
