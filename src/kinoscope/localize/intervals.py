"""Intervals of time as arrays: their types, and how much they overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

Candidates = tuple[Floats, Floats, Indices]
"""Segments [N, 2], scores [N], class numbers [N]."""


def interval_iou(one: Floats, many: Floats, eps: float = 0.0) -> Floats:
    """tIoU of intervals, ``eps`` added to each length; 0 / 0 is 0. Shape: [..., 2], [..., 2] → [...], broadcast."""
    with np.errstate(invalid="ignore"):
        iou = iou_of_bounds(one[..., 0], one[..., 1], many[..., 0], many[..., 1], eps)
    return np.nan_to_num(iou, copy=False, nan=0.0)


def iou_of_bounds(start: Floats, end: Floats, other_start: Floats, other_end: Floats, eps: float) -> Floats:
    """The same of starts and ends, each in an array of its own, which is faster; ``eps`` must keep 0 / 0 away."""
    overlap = np.minimum(end, other_end)
    overlap -= np.maximum(start, other_start)
    np.maximum(overlap, 0.0, out=overlap)
    overlap /= (end - start + eps) + (other_end - other_start + eps) - overlap
    return overlap
