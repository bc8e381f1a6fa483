"""Real video files whose every frame carries its number as twelve black or white blocks, read back without a decoder
to compare with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

HEIGHT, WIDTH = 72, 128  # three rows of four blocks


def draw(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A picture that says ``number`` (0-4095)."""
    bits = np.array([number >> k & 1 for k in range(12)], np.uint8).reshape(3, 4) * 219 + 16
    return np.repeat(np.kron(bits, np.ones((height // 3, width // 4), np.uint8))[..., None], 3, axis=2)


def number_of(frame: np.ndarray) -> int:
    """Read what :func:`draw` drew."""
    rows, columns = frame.shape[0] // 3, frame.shape[1] // 4
    blocks = frame[..., 1].reshape(3, rows, 4, columns)[:, rows // 4 : -rows // 4, :, columns // 4 : -columns // 4]
    return int(((blocks.mean(axis=(1, 3)) > 127).ravel() << np.arange(12)).sum())


def numbers(frames: Sequence[np.ndarray] | np.ndarray) -> list[int]:
    return [number_of(frame) for frame in frames]


def make(
    path: Path,
    frames: int = 60,
    *,
    codec: str = "libx264",
    rate: int | Fraction = 30,
    ticks: Sequence[int] | None = None,
    base: Fraction | None = None,
    gop: int = 12,
    b_frames: int = 2,
    sound: bool = False,
    size: tuple[int, int] = (HEIGHT, WIDTH),
    pixels: str = "yuv420p",
    picture: Callable[[int, int, int], np.ndarray] = draw,
    **options: str,
) -> Path:
    """Write a video; ``ticks`` are display times in units of ``base`` for a variable rate."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = *size, pixels
        if codec != "gif":
            stream.codec_context.gop_size, stream.codec_context.max_b_frames = gop, b_frames
        base = base or 1 / Fraction(rate)
        stream.time_base = stream.codec_context.time_base = base
        audio = container.add_stream("aac", rate=8000, layout="mono") if sound else None
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            frame = frame.reformat(format=pixels)
            frame.pts, frame.time_base = (ticks[number] if ticks else number), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000 * frames // 30), np.float32), "fltp", "mono")
            silence.rate = 8000
            container.mux(audio.encode(silence))
            container.mux(audio.encode(None))
    return path


def turn(path: Path, degrees: int) -> Path:
    """Write a clockwise turn into the display matrix of an MP4's only track (the `tkhd` box, ISO 14496-12, 8.3.2)."""
    a, b, c, d = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees]
    fixed = np.array([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of other fields
    content[start : start + 36] = fixed
    path.write_bytes(content)
    return path
