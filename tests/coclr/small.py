"""Pretraining in miniature: a backbone of one layer, and views that are made up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from kinoscope.coclr.network import ClipEncoder
from kinoscope.coclr.options import PretrainOptions
from kinoscope.coclr.pairs import TrainedStream

from ..encoders.tiny import TinyBackbone

SHAPE = (8, 32, 32, 3)


def tiny_encoder(seed: int = 0, dim: int = 6) -> ClipEncoder:
    torch.manual_seed(seed)
    return ClipEncoder(TinyBackbone(), dim)


class MadeViews:
    """Videos that are a colour each: the class decides the colour, every video has its own brightness."""

    def __init__(self, count: int, classes: int = 3) -> None:
        self.sources = np.arange(count)
        self.labels = np.arange(count) % classes

    def __len__(self) -> int:
        return len(self.sources)

    def describe(self, index: int) -> str:
        return f"video {index}"

    def sample(
        self, index: int, rng: np.random.Generator, query: Sequence[TrainedStream], key: Sequence[TrainedStream]
    ) -> dict[str, dict[TrainedStream, np.ndarray]]:
        noise = [rng.integers(0, 40, SHAPE) for _ in range(2)]
        colour = np.eye(3)[self.labels[index]] * 120 + 60 * (index / len(self))
        clips = [np.clip(colour + each, 0, 255).astype(np.uint8) for each in noise]
        return {
            "query": dict.fromkeys(query, clips[0]),
            "key": {stream: clips[1] if stream == "rgb" else 255 - clips[1] for stream in key},
        }


def small_options(**changes: object) -> PretrainOptions:
    values = {"batch_size": 4, "queue": 8, "dim": 6, "momentum": 0.9, "topk": 2, "learning_rate": 1e-2, "seed": 3}
    return PretrainOptions(**{**values, **changes})  # type: ignore[arg-type]
