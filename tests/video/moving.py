"""A textured scene under a camera that moves at a known speed, as frames and as files."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def moving(
    frames: int, u: float, v: float, size: tuple[int, int] = (96, 128), *, steps: Sequence[int] | None = None
) -> np.ndarray:
    """Frames in which everything moves by (u, v) pixels a step to the right and down. Shape: [T, H, W, 3].

    Args:
        steps: how many steps the scene has moved at each frame; by default one per frame.
    """
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float64)
    waves = np.random.default_rng(5).uniform((0.05, 0.05, 0, 8), (0.45, 0.45, 6.3, 16), (24, 4))
    waves[::2, 0] *= -1
    pictures = []
    for step in steps if steps is not None else range(frames):
        at_x, at_y = x - u * step, y - v * step
        wave = sum(high * np.sin(across * at_x + down * at_y + shift) for across, down, shift, high in waves)
        pictures.append(np.clip(128 + wave, 0, 255).astype(np.uint8))
    return np.repeat(np.stack(pictures)[..., None], 3, axis=-1)  # [T, H, W, 3]


def film(
    path: Path,
    frames: np.ndarray,
    *,
    codec: str = "libx264",
    gop: int = 12,
    b_frames: int = 0,
    ticks: Sequence[int] | None = None,
    rate: int = 25,
    pixels: str = "yuv420p",
    **options: str,
) -> Path:
    """Write frames as a video; ``ticks`` are display times in milliseconds for a variable rate."""
    base = Fraction(1, 1000) if ticks is not None else Fraction(1, rate)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        if codec != "gif":
            stream.codec_context.gop_size, stream.codec_context.max_b_frames = gop, b_frames
        stream.codec_context.time_base = base
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = (number if ticks is None else ticks[number]), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def inside(flow: np.ndarray, border: int = 16) -> np.ndarray:
    """Flow without the rim, where the scene comes in and goes out. Shape: [..., H, W, 2] → [..., h, w, 2]."""
    return flow[..., border:-border, border:-border, :]
