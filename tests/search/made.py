"""Made libraries: features around a few directions, with a large part that all of them share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kinoscope.data.feature_store import FeatureStore
from kinoscope.data.features import Features, FeatureTime, write_features

WIDTH = 12
TIME = FeatureTime(fps=10, stride=5, clip_length=10)  # a row every half second, which saw one second


def values(rows: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shared, own = np.full(WIDTH, 3.0), np.random.default_rng(100 + seed % 3).normal(size=WIDTH)
    return (shared + own + 0.5 * rng.normal(size=(rows, WIDTH))).astype(np.float32)


def duration(rows: int) -> float:
    return (rows - 1) * 0.5 + 1.0


def library(folder: Path, rows: dict[str, int], seed: int = 0) -> FeatureStore:
    """Features of videos by name → how many rows."""
    for number, (name, count) in enumerate(rows.items()):
        time = FeatureTime(TIME.fps, TIME.stride, TIME.clip_length, 0.0, duration(count))
        features = Features(values(count, seed + number), time, "tiny", "a" * 16)
        write_features(folder / f"{name}.safetensors", features)
    return FeatureStore(folder)
