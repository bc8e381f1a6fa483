"""Windows: the stretches of a video that the similarity matrix is taken from."""

from __future__ import annotations

import numpy as np

from .options import SolaOptions


def draw_window(rows: np.ndarray, options: SolaOptions, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A window of consecutive rows, and which of its positions exist: a shorter video stands in its middle, in zeros.

    Shape: [T, C] -> [window, C], [N].
    """
    begin = int(rng.integers(0, max(len(rows) - options.window, 0) + 1))
    piece = np.asarray(rows[begin : begin + options.window], dtype=np.float32)
    before = (options.window - len(piece)) // 2
    position = np.asarray(options.positions)
    valid = (position >= before) & (position < before + len(piece))
    if len(piece) == options.window:
        return piece, valid
    padded = np.zeros((options.window, rows.shape[1]), dtype=np.float32)
    padded[before : before + len(piece)] = piece
    return padded, valid
