"""Sequences of different lengths in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def pad(videos: Sequence[NDArray[Any]], length: int | None = None) -> tuple[Tensor, Tensor]:
    """Zero-pad videos at the end to the longest, or to ``length``.

    Shape:
        each [T_i, C], any numbers → features [B, T, C] float32, mask [B, T] (true where there is input).
    """
    lengths = [len(video) for video in videos]
    longest = max(lengths) if length is None else length
    features = np.zeros((len(videos), longest, videos[0].shape[1]), np.float32)
    for row, video in enumerate(videos):
        features[row, : len(video)] = video  # the only copy: a mapped file is read and converted here
    return torch.from_numpy(features), torch.arange(longest) < torch.tensor(lengths)[:, None]
