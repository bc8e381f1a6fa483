"""What a report shows, as plain data: videos with segments, score curves, similarity maps, thumbnails, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..data.segments import Segment


@dataclass(frozen=True)
class Curve:
    """The score of one label over time. A value that is NaN leaves a gap in the drawn line."""

    label: str
    times: Sequence[float]
    """Seconds, ascending. Shape: [T]."""
    values: Sequence[float]
    """Scores from 0 to 1. Shape: [T]."""

    def __post_init__(self) -> None:
        if len(self.times) != len(self.values):
            raise ValueError(f"curve {self.label!r} has {len(self.times)} times, but {len(self.values)} values")


@dataclass(frozen=True)
class SimilarityMap:
    """How alike the moments of a video are: the cosine of every pair of feature rows."""

    title: str
    times: Sequence[float]
    """Centre of each row and column, in seconds, evenly spaced. Shape: [N]."""
    values: np.ndarray
    """Cosines from -1 to 1; NaN where there is none. Shape: [N, N]."""

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.times),) * 2:
            raise ValueError(f"map {self.title!r} has shape {self.values.shape}, but {len(self.times)} times")


def similarity_map(features: np.ndarray, times: Sequence[float], title: str, *, max_size: int = 160) -> SimilarityMap:
    """The self-similarity of a video's features, small enough to be drawn.

    More than ``max_size`` rows are pooled into that many: a cell is then the mean cosine of the pairs it stands for,
    so its diagonal tells how steady the features are within one cell.

    Shape:
        features: [T, C]; times: [T], in seconds; the map: [N, N] with N = min(T, max_size).
    """
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2 or len(rows) != len(times):
        raise ValueError(f"features {rows.shape} must be [T, C] with one of {len(times)} times for each row")
    norms = np.linalg.norm(rows, axis=1, keepdims=True)  # [T, 1]
    rows = rows / np.where(norms == 0, 1.0, norms)  # a row of zeros resembles nothing: cosine 0
    size = min(len(rows), max_size)
    if size == 0:
        return SimilarityMap(title, (), np.zeros((0, 0)))
    starts = np.arange(size) * len(rows) // size
    counts = np.diff(starts, append=len(rows))
    # The mean of all cosines between two groups of unit rows is the dot product of the groups' means.
    rows = np.add.reduceat(rows, starts, axis=0) / counts[:, None]  # [T, C] -> [N, C]
    centres = np.add.reduceat(np.asarray(times, dtype=np.float64), starts) / counts  # [T] -> [N]
    return SimilarityMap(title, centres.tolist(), np.clip(rows @ rows.T, -1.0, 1.0))


@dataclass(frozen=True)
class Thumbnail:
    """A small picture of the video at ``time`` seconds; ``jpeg`` holds an encoded JPEG (or PNG) file."""

    time: float
    jpeg: bytes


@dataclass(frozen=True)
class VideoPage:
    """Everything that is shown of one video."""

    name: str
    duration: float
    """Seconds."""
    segments: Sequence[Segment]
    truth: Sequence[Segment] = ()
    """What an annotator says; drawn hatched, above the predictions."""
    curves: Sequence[Curve] = ()
    """The curves with the highest peaks are shown first, the others can be switched on."""
    maps: Sequence[SimilarityMap] = ()
    """Usually two: before and after SoLa. They are drawn side by side on one colour scale."""
    media: bytes | Path | None = None
    """The video, or a preview of it that browsers can play. Bytes are always put into the report; see
    :func:`kinoscope.report.write_report` for files."""
    media_type: str | None = None
    """MIME type of ``media``; guessed from the file's suffix, else ``video/mp4``."""
    thumbnails: Sequence[Thumbnail] = ()
    """Drawn as a film strip; they stand in for the player where the browser cannot play the video."""
    notes: Sequence[str] = ()
    """Warnings about this video: damage, low confidence."""


@dataclass(frozen=True)
class Table:
    """A table at the top of the report, such as mAP for raw and adapted features. Numbers are set right-aligned."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""


@dataclass(frozen=True)
class Report:
    """One HTML report: tables, one page per video, and what made it."""

    title: str
    pages: Sequence[VideoPage]
    tables: Sequence[Table] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    """What made the report: command, model, options, versions, date."""
    notes: Sequence[str] = ()
    """Warnings about the whole report."""
