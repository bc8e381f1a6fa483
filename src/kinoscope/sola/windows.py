"""Windows: the stretches of a video that the similarity matrix is taken from."""

from __future__ import annotations

import numpy as np

from .options import SolaOptions


def draw_window(rows: np.ndarray, options: SolaOptions, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A window of consecutive rows, and which of its positions exist: a shorter video stands in its middle, in zeros.

    Shape: [T, C] -> [window, C], [N].
    """
    start = place_window(len(rows), options, rng)
    piece = np.asarray(rows[max(start, 0) : start + options.window], dtype=np.float32)
    place = start + np.asarray(options.positions)  # in the video
    valid = (place >= 0) & (place < len(rows))
    if len(piece) == options.window:
        return piece, valid
    padded = np.zeros((options.window, rows.shape[1]), dtype=np.float32)
    padded[-start : len(piece) - start] = piece
    return padded, valid


def place_window(length: int, options: SolaOptions, rng: np.random.Generator) -> int:
    """The row of a video at which a random window starts; below 0 if the video is shorter, and stands in its middle."""
    begin = int(rng.integers(0, max(length - options.window, 0) + 1))
    return begin - max(options.window - length, 0) // 2
