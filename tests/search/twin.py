"""Retrieval as its description says it: one sentence, one statement, plain loops."""

from __future__ import annotations

import numpy as np


def unit(row: np.ndarray) -> np.ndarray:
    length = np.sqrt((row.astype(np.float64) ** 2).sum())
    return row / length if length > 1e-6 else 0 * row


def video_vectors(videos: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the normalised windows, minus the mean of all videos, normalised; and that mean."""
    means = [np.mean([unit(row) for row in each], axis=0) for each in videos]
    mean = np.mean(means, axis=0) if len(means) > 1 else np.zeros_like(means[0])
    return np.stack([unit(each - mean) for each in means]), mean


def moments(
    rows: list[tuple[int, float, np.ndarray]], query: np.ndarray, count: int, per_video: int, apart: float
) -> list[tuple[int, float]]:
    """(video, time) of the nearest: always the best row that is still allowed."""
    found: list[tuple[int, float]] = []
    order = sorted(range(len(rows)), key=lambda n: (-round(float(np.float32(rows[n][2] @ query)), 6), n))
    for n in order:
        video, time, _ = rows[n]
        same = [other for where, other in found if where == video]
        if len(same) < per_video and all(abs(time - other) >= apart for other in same) and len(found) < count:
            found.append((video, time))
    return found
