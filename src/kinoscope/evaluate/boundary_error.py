"""How far the ends of segments that are found lie from the true ones, in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .result import DetectionResult


@dataclass(frozen=True)
class BoundaryError:
    """Of all true segments that are found at one tIoU threshold. In seconds; NaN where none is found."""

    threshold: float
    found: int
    segments: int
    """True segments, found or not."""
    start_mean: float
    """Mean distance of predicted from true starts."""
    start_median: float
    start_bias: float
    """Mean of predicted − true: above 0 predictions begin late."""
    end_mean: float
    end_median: float
    end_bias: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not known is None."""
        return {name: None if value != value else value for name, value in vars(self).items()}


def boundary_errors(result: DetectionResult) -> list[BoundaryError]:
    """The errors at each threshold of the protocol.

    A low threshold shows all that is found, a high one only what is found well: read both beside the share found.
    """
    guess, truth = result.predictions, result.ground_truth
    rows = []
    for threshold, column in zip(result.thresholds, result.matches.T, strict=True):
        hit = np.flatnonzero(column >= 0)
        off = [ours[hit] - true[column[hit]] for ours, true in ((guess.start, truth.start), (guess.end, truth.end))]
        told = [figure for each in off for figure in _told(each)]
        rows.append(BoundaryError(threshold, len(hit), len(truth), *told))
    return rows


def _told(off: np.ndarray) -> tuple[float, float, float]:
    if not len(off):
        return np.nan, np.nan, np.nan
    return float(np.abs(off).mean()), float(np.median(np.abs(off))), float(off.mean())
