"""Flow as a film for people: the video, and beside it its motion in colours."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from ...files import atomic_path
from ..reader import open_video
from .encoding import Picture, decode_flow, flow_colors
from .files import flow_options_of

_TIME_BASE = Fraction(1, 90000)


def preview_path(flow: str | Path) -> Path:
    """Where the film of a flow file lies: ``name.mkv`` → ``name.preview.mp4``."""
    return Path(flow).with_suffix(".preview.mp4")


def write_preview(
    source: str | Path, flow: str | Path, target: str | Path, *, report: Callable[[float], None] | None = None
) -> None:
    """Write an H.264 film of a video and, to its right, of its flow (see :func:`flow_colors`), atomically.

    Args:
        source: the video that ``flow`` was made of.
        flow: a flow file.
        target: ends in ``.mp4``.
        report: called with the share of the film that was done since the last call.

    Raises:
        VideoError: one of the two cannot be read, or ``flow`` is no flow file.
        OutputError: the film cannot be written.
    """
    colors = _colors(float(flow_options_of(flow)["bound"]))
    with (
        open_video(source) as video,
        open_video(flow) as motion,
        atomic_path(target) as temporary,
        _Film(temporary, motion.size, video.fps) as film,
    ):
        last, length = 0.0, motion.duration
        # There is no motion at the last frame.
        for (pixels, time), (encoded, _) in zip(video.stream(size=motion.size), motion.stream(), strict=False):
            film.write(pixels, colors[encoded[..., 1], encoded[..., 2]], time)
            if report is not None:
                report((time - last) / length)
            last = time


def _colors(bound: float) -> Picture:
    """The colour of every encoded motion, by its levels of green and blue. Shape: [256, 256, 3]."""
    levels = np.full((256, 256, 3), 128, np.uint8)
    levels[..., 1], levels[..., 2] = np.mgrid[:256, :256]
    return flow_colors(decode_flow(levels, bound), bound)


class _Film:
    """H.264 of two pictures of one size, side by side; its sides are even, as the codec wants them."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        self._odd = [(0, side % 2) for side in size] + [(0, 0)]
        h264 = "libx264" in av.codecs_available
        options = {"crf": "23", "preset": "veryfast"} if h264 else {"qscale": "4"}
        self._container = av.open(str(path), "w", format="mp4")
        rate = Fraction(fps).limit_denominator(1001)
        self._stream = self._container.add_stream("libx264" if h264 else "mpeg4", rate=rate, options=options)
        self._stream.height, self._stream.width = size[0] + size[0] % 2, 2 * (size[1] + size[1] % 2)
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base, self._stream.codec_context.thread_count = _TIME_BASE, 1
        self._reformatter = VideoReformatter()

    def write(self, left: Picture, right: Picture, time: float) -> None:
        """Add the pair that is shown from ``time`` on, in seconds. Shape: [H, W, 3] each."""
        picture = np.concatenate([np.pad(each, self._odd, "edge") for each in (left, right)], axis=1)  # [H, 2 W, 3]
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame = self._reformatter.reformat(frame, format="yuv420p")
        frame.pts, frame.time_base = round(time / _TIME_BASE), _TIME_BASE
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> _Film:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()
