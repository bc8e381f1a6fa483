"""The nouns that every layer shares: a labelled stretch of time, and what is known of one video."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_SUFFIXES = "3gp asf avi flv gif m2ts m4v mkv mov mp4 mpeg mpg mts ogv ts vob webm wmv"
VIDEO_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())


@dataclass(frozen=True, slots=True)
class Segment:
    """A label from ``start`` to ``end``, in seconds from the beginning of the video; predictions carry a ``score``.

    The label of a proposal, which has none, is empty.
    """

    start: float
    end: float
    label: str
    score: float | None = None

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.end - self.start


@dataclass(frozen=True)
class VideoAnnotation:
    """What an annotation file says of one video.

    ``segments`` is empty for a video that is known to hold none. ``label`` is the class of a trimmed clip
    (``video,label`` files). ``duration`` is in seconds, ``path`` as written in the file; both may be unknown.
    """

    segments: tuple[Segment, ...] = ()
    label: str | None = None
    duration: float | None = None
    subset: str | None = None
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Flaw:
    """A blemish that a tolerant reader met: its kind, what was done about it (dropped, kept, clipped), and where."""

    kind: str
    done: str
    where: str
    problem: str


@dataclass(frozen=True)
class Annotations:
    """Everything in an annotation or prediction file: video name → what is known of it.

    A video's name is its path in the file without a video suffix (``falls/07.mp4`` → ``falls/07``).
    """

    videos: dict[str, VideoAnnotation] = field(default_factory=dict)
    source: Path | None = None
    flaws: tuple[Flaw, ...] = ()
    remarks: tuple[str, ...] = ()
    """What a layout holds beside segments and was left out, in words."""
    external: Mapping[str, Any] = field(default_factory=dict)
    """What a file of predictions says of how it was made: ``external_data`` of ActivityNet's layout."""

    @property
    def classes(self) -> tuple[str, ...]:
        """All labels, sorted."""
        labels = {segment.label for video in self.videos.values() for segment in video.segments}
        labels |= {video.label for video in self.videos.values() if video.label is not None}
        return tuple(sorted(labels))

    def file_names(self) -> dict[str, str]:
        """Name → name by its file, of videos whose file is called otherwise (``file`` in JSON)."""
        named = {key: video_name(video.path) for key, video in self.videos.items() if video.path is not None}
        return {key: name for key, name in named.items() if name != key}

    def subset(self, name: str) -> Annotations:
        """Only the videos whose subset is ``name`` (case ignored)."""
        chosen = {key: video for key, video in self.videos.items() if (video.subset or "").lower() == name.lower()}
        return Annotations(chosen, self.source, self.flaws, self.remarks)


def video_name(path: str | Path) -> str:
    """The name by which a video is known in annotations, features and predictions: its path without video suffix."""
    text = Path(path).as_posix()
    return text[: -len(Path(text).suffix)] if Path(text).suffix.lower() in VIDEO_SUFFIXES else text
