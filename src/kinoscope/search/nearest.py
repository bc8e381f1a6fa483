"""The nearest videos and the nearest moments of an index, without what would only repeat itself."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import OptionError
from .engines import Engine, Exact, best, similarities
from .index import Index


@dataclass(frozen=True)
class Hit:
    """One result."""

    video: str
    """Its name in the index."""
    similarity: float
    """Cosine of the centred features, from -1 to 1."""
    time: float
    """Seconds: the moment that was found, or the one of the video that is most like the query."""
    start: float
    """Seconds: what was found begins here; 0 for a whole video."""
    end: float
    """Seconds: and ends here."""
    path: Path | None = None
    """The video's file, whether it is still there or not."""


@dataclass(frozen=True)
class Omitted:
    """What is left out of the results because it is the query itself."""

    video: int
    """Its position in the index."""
    start: float = -float("inf")
    """Seconds: moments from here on …"""
    end: float = float("inf")
    """… to here are left out, both included."""

    @property
    def everything(self) -> bool:
        """Whether no moment of the video may be a result."""
        return self.start <= 0 and self.end == float("inf")

    def holds(self, video: int, time: float) -> bool:
        """Whether the moment of ``video`` at ``time`` is left out."""
        return video == self.video and self.start <= time <= self.end


def nearest_moments(
    index: Index,
    vector: np.ndarray,
    count: int,
    *,
    per_video: int = 1,
    apart: float | None = None,
    omitted: Omitted | None = None,
    engine: Engine | None = None,
) -> list[Hit]:
    """The moments most like ``vector``, the most similar first; fewer than ``count`` if there are no more.

    Args:
        vector: a row as :meth:`Index.as_moments` gives it. Shape: [C].
        per_video: most of one video.
        apart: least seconds between two of one video; by default what one moment saw.
        omitted: what is no result.
        engine: what ranks the moments; exact by default.

    Raises:
        OptionError: a count below 1, or a negative distance.
    """
    _require_counts(count, per_video)
    apart = index.clip_seconds if apart is None else apart
    if not apart >= 0:
        raise OptionError(f"apart is {apart} s, but must be a number of seconds from 0 on")
    taken: dict[int, list[float]] = defaultdict(list)  # by video
    open_videos = len(index.entries) - (omitted is not None and omitted.everything)
    hits: list[Hit] = []
    for row, similarity in (engine or Exact(index.moments)).ranked(vector) if open_videos else ():
        video, time = index.entry_of(row), index.time_of(row)
        if omitted is not None and omitted.holds(video, time):
            continue
        if len(taken[video]) >= per_video or any(abs(time - other) < apart for other in taken[video]):
            continue
        taken[video].append(time)
        hits.append(_moment(index, video, time, similarity))
        open_videos -= len(taken[video]) == per_video
        if len(hits) == count or not open_videos:
            break
    return hits


def nearest_videos(index: Index, vector: np.ndarray, count: int, *, omitted: Omitted | None = None) -> list[Hit]:
    """The videos most like ``vector``, the most similar first; fewer than ``count`` if there are no more.

    Videos are few compared with moments: all are compared, exactly.

    Args:
        vector: a row as :meth:`Index.as_video` or :meth:`Index.as_moments` gives it. Shape: [C].
        omitted: the video that is left out, whatever times it says.

    Raises:
        OptionError: a count below 1.
    """
    _require_counts(count)
    found = similarities(index.videos, vector[None])[0]  # [V]
    order = [video for video in best(found, count + 1).tolist() if omitted is None or video != omitted.video]
    return [_video(index, video, vector, float(found[video])) for video in order[:count]]


def _moment(index: Index, video: int, time: float, similarity: float) -> Hit:
    half, entry = index.clip_seconds / 2, index.entries[video]
    start, end = max(time - half, 0.0), min(time + half, entry.duration)
    return Hit(entry.name, similarity, time, start, end, index.path_of(video))


def _video(index: Index, video: int, vector: np.ndarray, similarity: float) -> Hit:
    alike = similarities(index.moments[index.rows_of(video)], vector[None])[0]  # [T]
    time, entry = float(index.centres(video)[int(alike.argmax())]), index.entries[video]
    return Hit(entry.name, similarity, time, 0.0, entry.duration, index.path_of(video))


def _require_counts(count: int, per_video: int = 1) -> None:
    for name, value in (("k", count), ("per_video", per_video)):
        if value < 1:
            raise OptionError(f"{name} is {value}, but must be at least 1")
