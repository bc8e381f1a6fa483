"""Small pictures and a small film of a video, for people to look at."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np

from .reader import Video

_BROWSER_CODECS = frozenset({"av1", "h264", "vp8", "vp9"})
_TIME_BASE = Fraction(1, 90000)


def thumbnails(video: Video, count: int = 48, height: int = 72) -> list[tuple[float, bytes]]:
    """Evenly spaced moments of a video as (time in seconds, JPEG file)."""
    count = min(count, len(video))
    moments = ((np.arange(count) + 0.5) * video.duration / count).tolist()
    return list(zip(moments, pictures(video, moments, height), strict=True))


def pictures(video: Video, moments: Sequence[float] | np.ndarray, height: int) -> list[bytes]:
    """What a video shows at some moments (seconds), as JPEG files; its first or last picture where they lie outside."""
    inside = np.clip(moments, 0.0, video.duration)
    return [jpeg(frame) for frame in video.frames_at(inside, size=_size(video, height)).frames]


def plays_in_browsers(video: Video) -> bool:
    """Whether browsers can play the file itself."""
    return video.codec in _BROWSER_CODECS and video.path.suffix.lower() in (".mp4", ".m4v", ".mov", ".webm")


def browser_preview(video: Video, height: int = 360, max_seconds: float = 600) -> bytes | None:
    """An H.264 film of the same times for browsers that cannot play the file; ``None`` if the video is too long."""
    if video.duration > max_seconds:
        return None
    size = _size(video, max(2, min(height, video.size[0]) // 2 * 2))
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:  # not "faststart": it would need a file to read again
        stream = container.add_stream("libx264", rate=Fraction(video.fps).limit_denominator(1001))
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.options = {"crf": "28", "preset": "veryfast"}
        stream.codec_context.time_base = _TIME_BASE
        for pixels, time in video.stream(size=size):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(time / _TIME_BASE), _TIME_BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return target.getvalue()


def _size(video: Video, height: int) -> tuple[int, int]:
    """Height and width of small pictures that keep the video's shape; the width is even, as codecs want it."""
    rows, columns = video.size
    return height, max(2, round(columns * height / rows / 2) * 2)


def jpeg(pixels: np.ndarray) -> bytes:
    """A picture as JPEG. Shape: [H, W, 3], uint8 RGB."""
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.height, encoder.width, encoder.pix_fmt = *pixels.shape[:2], "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"qscale": "5"}
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(format="yuvj420p")
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode()])
