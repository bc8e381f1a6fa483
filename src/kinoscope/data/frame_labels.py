"""A label for every frame, as action segmentation has it; turned into segments for localisation.

Letters: F frames of one video.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import AnnotationError
from ..wording import plural
from .segments import Annotations, Segment, VideoAnnotation

BACKGROUND = frozenset({"background", "SIL", "action_start", "action_end"})
"""What GTEA, Breakfast and 50 Salads call frames in which nothing happens."""


@dataclass(frozen=True)
class FrameLabels:
    """Labels of all frames of all videos, at one rate."""

    labels: Mapping[str, NDArray[np.str_]]
    """Video → labels. Shape of each: [F], F at least 1."""
    fps: float
    """Labels per second: label ``i`` holds from ``i / fps`` to ``(i + 1) / fps`` seconds."""
    subsets: Mapping[str, str] = field(default_factory=dict)
    """Video → ``train`` or ``test``; videos that no list names are not in it."""
    source: Path | None = None
    remarks: tuple[str, ...] = ()
    """What was left out or could not be told, in words."""

    def __post_init__(self) -> None:
        if not 0 < self.fps < math.inf:
            raise AnnotationError(f"fps is {self.fps}, but must be positive", where=self.source, cure="give the rate")
        for name, labels in self.labels.items():
            if labels.ndim != 1 or not len(labels):
                problem = f"{name!r} has labels of shape {labels.shape}, but must have [F]"
                raise AnnotationError(problem, where=self.source, cure="give one label for every frame")

    @property
    def classes(self) -> tuple[str, ...]:
        """All labels that are no background, sorted."""
        found = {str(label) for labels in self.labels.values() for label in np.unique(labels)}
        return tuple(sorted(found - BACKGROUND))

    def subset(self, name: str) -> FrameLabels:
        """Only the videos whose subset is ``name``, case ignored."""
        chosen = {key for key, subset in self.subsets.items() if subset.lower() == name.lower()}
        labels = {key: labels for key, labels in self.labels.items() if key in chosen}
        return replace(self, labels=labels, subsets={key: self.subsets[key] for key in labels})

    def to_annotations(self) -> Annotations:
        """Segments: the longest stretches of one label, background left out and counted in a remark."""
        left_out: Counter[str] = Counter()
        videos = {}
        for name, labels in self.labels.items():
            segments = []
            for begin, end, label in runs(labels):
                if label in BACKGROUND:
                    left_out[label] += 1
                else:
                    segments.append(Segment(begin / self.fps, end / self.fps, label))
            videos[name] = VideoAnnotation(
                tuple(segments), duration=len(labels) / self.fps, subset=self.subsets.get(name)
            )
        remarks = [f"left out: {plural(left_out[name], 'segment')} of {name!r}" for name in sorted(left_out)]
        return Annotations(videos, self.source, (), (*self.remarks, *remarks))


def run_edges(labels: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The longest stretches of one label: first frames, and frames after the last. Shape: [F] -> [S], [S]."""
    edges = np.flatnonzero(np.concatenate(([True], labels[1:] != labels[:-1], [True])))
    return edges[:-1], edges[1:]


def runs(labels: NDArray[Any]) -> Iterator[tuple[int, int, str]]:
    """The same with their labels. Shape: [F]."""
    for begin, end in zip(*(edges.tolist() for edges in run_edges(labels)), strict=True):
        yield begin, end, str(labels[begin])
