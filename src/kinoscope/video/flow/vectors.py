"""The motion that a video codec stored, as flow: nothing is searched, the file is only decoded.

A codec predicts blocks of a frame from frames around it, and stores where each block came from. FFmpeg hands these
vectors out for MPEG-1, MPEG-2, MPEG-4, H.263, H.264 and their kin, but not for H.265, VP9 or AV1. Exact is where a
block lies and how far its source is. Not told, and worked out here, is *which* frame the source is in:

- the nearest reference frame, before or after, that was decoded earlier. Frames of type B are references only where
  H.264 says so. An encoder may choose an older reference; such vectors come out too long.
- speed is taken as constant between the two frames, so that a vector over three frames gives a third of its length.

What has no vector (blocks and frames coded by themselves) keeps the motion that it had before. Vectors are chosen to
save bits, not to be true: flat regions may carry anything. Source: ISO/IEC 14496-10, 7.4.1 and 8.4.2; the use as a
substitute for optical flow is that of MVCGC (CoCLR sheet, section 13).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import PictureType
from av.video.stream import VideoStream

from ...errors import VideoError
from ..decoder import Decoder
from ..reader import Video
from .encoding import Flow
from .references import is_reference

CODECS = frozenset(
    {"flv", "h261", "h263", "h263p", "h264", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v1", "msmpeg4v2"}
    | {"msmpeg4", "rv10", "rv20", "rv30", "rv40", "wmv1", "wmv2"}
)
"""Those whose vectors FFmpeg hands out."""

_CELL = 4  # pixels a side of the smallest block
_WINDOW = 32  # frames kept to look for references: more than any codec may refer across
_CURE = "use --algorithm dis"


@dataclass(frozen=True)
class _Shown:
    """What is kept of a frame: not its pixels."""

    time: float
    order: int
    """Its place in the order of decoding."""
    anchor: bool
    """It is no B-frame: no frame before it, as they are shown, leans on one after it."""
    reference: bool
    """Others may be predicted from it."""
    vectors: npt.NDArray[Any] | None


class _VectorDecoder(Decoder):
    """Asks the codec for its vectors, and notes in which order frames are decoded and which are references."""

    def _decode(self, *, from_keyframe: bool = False) -> Iterator[av.VideoFrame]:
        self.noted: dict[int | None, tuple[int, bool]] = {}
        self.stream.codec_context.options = {"flags2": "+export_mvs"}  # before the codec opens, with the first packet
        return super()._decode(from_keyframe=from_keyframe)

    def _packets(self) -> Iterator[av.Packet[VideoStream]]:
        for number, packet in enumerate(super()._packets()):
            self.noted[packet.pts] = (number, is_reference(packet))
            if len(self.noted) > 4 * _WINDOW:
                del self.noted[next(iter(self.noted))]
            yield packet


class _VectorVideo(Video):
    """A video whose frames come with the codec's vectors."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, threads=1)  # with more, FFmpeg hands out vectors of frames that are still being decoded
        if self.codec not in CODECS:
            self.close()
            problem = f"is coded as {self.codec}, of which FFmpeg gives no motion vectors"
            raise VideoError(problem, where=path, cure=_CURE)
        if self._idle is not None:
            self._idle.close()
        self._idle = self._vectors = _VectorDecoder(self.path, 1)

    def shown(self) -> Iterator[_Shown]:
        """Every frame, as it is shown."""
        for position, (frame, time) in enumerate(self._decode_all()):
            anchor = frame.pict_type not in (PictureType.B, PictureType.BI)
            order, reference = self._vectors.noted.get(frame.pts, (position, anchor))
            data = frame.side_data.get("MOTION_VECTORS")
            # FFmpeg gives zeros for the B-frames of MPEG-4 where they lean on their neighbours' vectors.
            usable = data is not None and (anchor or self.codec != "mpeg4")
            vectors = data.to_ndarray().copy() if usable and len(data) else None
            yield _Shown(time, order, anchor, reference or anchor, vectors)


def vector_flow(path: Path, size: tuple[int, int] | None = None) -> Iterator[tuple[Flow, float]]:
    """Yield (flow to the next frame [H, W, 2], time of the frame in seconds), for all frames but the last.

    Args:
        size: height and width of the flow, in whose pixels it is measured; ``None`` takes the video's own.

    Raises:
        VideoError: the codec gives no vectors, or the file has none.
    """
    with closing(_VectorVideo(path)) as video:
        cells = tuple(-(-side // _CELL) for side in video.stored_size)
        field = np.zeros((*cells, 2), np.float32)  # [h, w, 2], in stored pixels per second
        before: float | None = None
        found, frames = False, 0
        for time, frame, past, future in _with_references(video.shown()):
            found, frames = found or frame.vectors is not None, frames + 1
            speed, covered = _speed(frame, past, future, field.shape[:2])
            field = np.where(covered[..., None], speed, field)
            if before is not None:
                yield (
                    _upright(field * np.float32(time - before), video.stored_size, video.rotation, size or video.size),
                    before,
                )
            before = time
        if frames > 1 and not found:
            raise VideoError("has no motion vectors: every frame is coded by itself", where=path, cure=_CURE)


def _with_references(frames: Iterator[_Shown]) -> Iterator[tuple[float, _Shown, _Shown | None, _Shown | None]]:
    """Each frame's time, the frame whose vectors describe it, and the references of that before and after.

    The frame is its own, except that B-frames without vectors are described by the next other frame.
    """
    window: list[_Shown] = []
    told = 0
    for frame in frames:
        window.append(frame)
        if frame.anchor or len(window) - told >= _WINDOW:
            yield from _group(window, told)
            window = window[-_WINDOW:]
            told = len(window)
    yield from _group(window, told)


def _group(window: Sequence[_Shown], start: int) -> Iterator[tuple[float, _Shown, _Shown | None, _Shown | None]]:
    for position in range(start, len(window)):
        time, place = window[position].time, position
        if window[position].vectors is None and not window[position].anchor:
            place = len(window) - 1
        frame = window[place]
        earlier, later = window[:place][::-1], window[place + 1 :]
        yield time, frame, _nearest(frame, earlier), _nearest(frame, later)


def _nearest(frame: _Shown, others: Sequence[_Shown]) -> _Shown | None:
    return next((each for each in others if each.reference and each.order < frame.order), None)


def _speed(
    frame: _Shown, past: _Shown | None, future: _Shown | None, cells: tuple[int, ...]
) -> tuple[Flow, npt.NDArray[np.bool_]]:
    """The speed that a frame's vectors give each cell, in pixels per second, and where there is any.

    Where both directions give one, the slower counts: an older reference than we think makes vectors longer only.

    Shape: [h, w, 2] and [h, w].
    """
    speed, known = np.zeros((*cells, 2), np.float32), np.zeros(cells, np.bool_)
    for reference, sign in ((past, -1), (future, 1)):
        if frame.vectors is None or reference is None or reference.time == frame.time:
            continue
        # A vector leads from the block to its source: against the motion if that is earlier, else along it.
        chosen = frame.vectors[frame.vectors["source"] * sign > 0]
        mean, covered = _mean(chosen, sign / abs(frame.time - reference.time), cells)
        slower = (mean**2).sum(axis=-1) < (speed**2).sum(axis=-1)
        speed = np.where((covered & (slower | ~known))[..., None], mean, speed)
        known |= covered
    return speed, known


def _mean(vectors: npt.NDArray[Any], factor: float, cells: tuple[int, ...]) -> tuple[Flow, npt.NDArray[np.bool_]]:
    """The mean of the vectors over each cell, times ``factor``, and which cells have any. As :func:`_speed`."""
    total, count = np.zeros((cells[0] * cells[1], 2)), np.zeros(cells[0] * cells[1])
    scale = factor / np.maximum(vectors["motion_scale"], 1)
    for where, rows in _covered(vectors, cells):  # [N, h, w] cells of the N blocks of one size
        for axis, name in enumerate(("motion_x", "motion_y")):
            weights = np.repeat(vectors[name][rows] * scale[rows], where[0].size)
            total[:, axis] += np.bincount(where.ravel(), weights, len(count))
        count += np.bincount(where.ravel(), minlength=len(count))
    mean = total / np.maximum(count, 1)[:, None]
    return mean.reshape(*cells, 2).astype(np.float32), (count > 0).reshape(cells)


def _covered(vectors: npt.NDArray[Any], cells: tuple[int, ...]) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """For every size of block: the cells that its blocks cover [N, rows, columns], and which vectors these are [N]."""
    sizes = vectors["w"].astype(np.int64) * 256 + vectors["h"]
    for size in np.unique(sizes).tolist():
        rows = np.flatnonzero(sizes == size)
        width, height = size // 256, size % 256
        left = (vectors["dst_x"][rows].astype(np.int64) - width // 2) // _CELL
        top = (vectors["dst_y"][rows].astype(np.int64) - height // 2) // _CELL
        y = top[:, None, None] + np.arange(max(1, height // _CELL))[:, None]
        x = left[:, None, None] + np.arange(max(1, width // _CELL))
        # Blocks may stand over the edge of the picture: what lies outside counts for the cells at the edge.
        yield np.clip(y, 0, cells[0] - 1) * cells[1] + np.clip(x, 0, cells[1] - 1), rows


def _upright(field: Flow, stored: tuple[int, int], rotation: int, size: tuple[int, int]) -> Flow:
    """Cells of a stored frame → pixels of the upright one, turned clockwise. Shape: [h, w, 2] → [H, W, 2]."""
    height, width = size[::-1] if rotation in (90, 270) else size
    y = ((np.arange(height) + 0.5) * stored[0] / height).astype(np.int64) // _CELL
    x = ((np.arange(width) + 0.5) * stored[1] / width).astype(np.int64) // _CELL
    flow = field[y][:, x] * np.array([width / stored[1], height / stored[0]], np.float32)  # [height, width, 2]
    quarters = rotation // 90
    if quarters:
        flow = np.rot90(flow, k=-quarters)
        u, v = flow[..., 0], flow[..., 1]
        turned = {1: (-v, u), 2: (-u, -v), 3: (v, -u)}[quarters]
        flow = np.stack(turned, axis=-1)  # [H, W, 2]
    return np.ascontiguousarray(flow, np.float32)
