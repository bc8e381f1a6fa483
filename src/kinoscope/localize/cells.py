"""The cells of a map of segments: which stretch of T rows each stands for, and the window that is looked at for it.

Places are edges: row i reaches from i to i + 1, and T rows from 0 to T. So edge = grid position + 0.5.

Source: G-TAD (Xu et al., CVPR 2020) section 3.3, BMN (Lin et al., ICCV 2019) section 3.2; specification sections 2.2
and 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .intervals import Floats

Axes = Literal["duration_start", "start_end"]
Window = Literal["release", "opentad", "jjboy"]


@dataclass(frozen=True)
class CellMap:
    """A map over ``rows`` rows; its cells, flattened, are numbered first axis first."""

    rows: int
    """T, the size of the last axis."""
    durations: int
    """Longest segment in rows; the size of the first axis where that is the duration."""
    axes: Axes = "duration_start"
    """The cell [d, s] is the segment from s to s + d + 1; with ``start_end`` (JJBOY's BMN) [s, e] is s to e + 1."""

    @property
    def shape(self) -> tuple[int, int]:
        """Of the map."""
        return (self.durations if self.axes == "duration_start" else self.rows), self.rows

    def segments(self) -> Floats:
        """Start and end of every cell, in edges; invalid cells included. Shape: [N, 2]."""
        first, last = (axis.ravel().astype(np.float64) for axis in np.indices(self.shape))  # [N] each
        if self.axes == "duration_start":
            return np.stack([last, last + first + 1], axis=1)
        return np.stack([first, last + 1], axis=1)

    def valid(self) -> np.ndarray:
        """Which cells are segments: not empty, within the rows, not too long. Shape: [N], bool."""
        start, end = self.segments().T
        return np.asarray((start < end) & (end <= self.rows) & (end - start <= self.durations))

    def windows(self, kind: Window) -> Floats:
        """What is looked at for every cell: its segment, wider by about half of its length L on either side.

        ``release`` (G-TAD, and BMN's standard): [s − L/2, s + L − 1 + L/2], which ends at the last row's index.
        ``opentad``: [s − L/2, s + L + L/2]. ``jjboy``: [s − (L + 1)/2, s + L + (L + 1)/2].

        Shape:
            returns [N, 2].
        """
        start, end = self.segments().T
        half = (end - start + (kind == "jjboy")) / 2
        return np.stack([start - half, end - (kind == "release") + half], axis=1)
