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
    group: str = ""
    """Maps of one group stand side by side under this heading; a page shows its groups one below the other."""

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.times),) * 2:
            raise ValueError(f"map {self.title!r} has shape {self.values.shape}, but {len(self.times)} times")


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
    """Usually two: before and after SoLa. They are drawn side by side on one colour scale, marked where the truth's
    segments start and end."""
    media: bytes | Path | None = None
    """The video, or a preview of it that browsers can play. Bytes are always put into the report; see
    :func:`kinoscope.report.write_report` for files."""
    media_type: str | None = None
    """MIME type of ``media``; guessed from the file's suffix, else ``video/mp4``."""
    thumbnails: Sequence[Thumbnail] = ()
    """Drawn as a film strip; they stand in for the player where the browser cannot play the video."""
    notes: Sequence[str] = ()
    """Warnings about this video: damage, low confidence."""
    map_notes: Sequence[str] = ()
    """What a reader of the maps must know; said under them."""
    film: bool = True
    """Whether the page is about a video that can be watched. Without, it has no player, and maps come first."""


@dataclass(frozen=True)
class Table:
    """A table at the top of the report, such as mAP for raw and adapted features. Numbers are set right-aligned."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""


@dataclass(frozen=True)
class Line:
    """One line of a :class:`Chart`. A value that is NaN leaves a gap in it."""

    label: str
    x: Sequence[float]
    """Ascending. Shape: [N]."""
    y: Sequence[float]
    """Shape: [N]."""
    wanted: bool = False
    """Dashed and without colour: not measured, but what the others are compared with."""

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ValueError(f"line {self.label!r} has {len(self.x)} positions, but {len(self.y)} values")


@dataclass(frozen=True)
class Chart:
    """Lines over one axis, at the top of the report. Whoever cannot see them reads ``alternative`` and the tables."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    alternative: str
    """What the picture shows, in words."""
    notes: Sequence[str] = ()
    """What it says; printed under it."""


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
    charts: Sequence[Chart] = ()
    """Pictures above the tables."""
    intro: str = ""
    """How to read the report, in a sentence or two."""
