"""Snippets of many videos as rows of one table, each action or background, near a boundary or far from one.

A snippet is action if the centre of what its row saw lies inside an annotated segment, whatever its label.
Letters: N snippets, C channels, V videos.

Source: SoLa sheet, sections 5 and 11.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.feature_checks import check_rows
from ..data.feature_time import video_duration
from ..data.features import Features
from ..data.segments import Annotations, Segment
from ..errors import AnnotationError, FeatureError, OptionError
from .matching import Bools, Floats, Ints

_OVERSHOOT = 0.5  # seconds; published annotations round

Rows = NDArray[np.float32]


class SnippetLabels(NamedTuple):
    """What is known of each snippet of one video."""

    action: Bools
    """Inside a segment. Shape: [T]."""
    near: Bools
    """Near the start or end of one. Shape: [T]."""


@dataclass(frozen=True)
class Snippets:
    """Every snippet of every video, once; videos lie one after the other in the order of ``names``."""

    names: tuple[str, ...]
    values: Rows
    """[N, C]"""
    video: Ints
    """Place of each snippet's video in ``names``. Shape: [N]."""
    action: Bools
    """[N]"""
    near: Bools
    """[N]"""
    late: int
    """Segments that end clearly after their video, as its features know it: is their time right?"""
    zeros: int
    """Rows of zeros, which say nothing."""

    def __len__(self) -> int:
        return len(self.action)

    @property
    def per_video(self) -> Ints:
        """Snippets of each video that are background and action. Shape: [V, 2]."""
        counts = np.bincount(2 * self.video + self.action, minlength=2 * len(self.names))
        return counts.reshape(-1, 2)

    def require_both(self, part: str) -> None:
        """Raise :class:`AnnotationError` unless there are snippets of both classes; ``part`` names the videos."""
        background, action = self.per_video.sum(axis=0)
        if not background or not action:
            present = "action" if action else "background"
            raise AnnotationError(
                f"all {len(self)} snippets of the {len(self.names)} {part} videos are {present}: nothing to separate",
                cure="a probe needs both; check the times of the annotations and of the features, and the split",
            )


def label_snippets(centers: Floats, segments: Iterable[Segment], near: float = 1.0) -> SnippetLabels:
    """Label the snippets of one video.

    A segment holds its start, not its end. Segments of no length say nothing.

    Args:
        centers: of the snippets, in seconds (see ``FeatureTime.centers``). Shape: [T].
        segments: of any label; they may overlap.
        near: seconds; a snippet at exactly this distance from a boundary is near it.
    """
    bounds = np.array([(s.start, s.end) for s in segments if s.end > s.start], dtype=np.float64).reshape(-1, 2)
    if not len(bounds):
        nothing = np.zeros(len(centers), dtype=bool)
        return SnippetLabels(nothing, nothing.copy())
    starts, ends = bounds[np.argsort(bounds[:, 0])].T
    reached = np.maximum.accumulate(ends)  # how far the segments begun so far reach, together
    begun = np.searchsorted(starts, centers, side="right")  # [T]
    action = (begun > 0) & (centers < reached[begun - 1])
    edges = np.sort(bounds, axis=None)
    after = np.searchsorted(edges, centers).clip(1, len(edges) - 1)
    distance = np.minimum(np.abs(centers - edges[after - 1]), np.abs(centers - edges[after]))
    return SnippetLabels(action, distance <= near)


def read_snippets(
    features: Mapping[str, Features],
    annotations: Annotations,
    names: Sequence[str],
    *,
    near: float = 1.0,
    normalise: bool = True,
) -> Snippets:
    """The labelled snippets of the videos ``names``, read one video after the other.

    Args:
        features: by video name.
        annotations: segments in seconds.
        names: videos that both know.
        near: seconds from a start or end within which a snippet is near a boundary.
        normalise: scale each row to length 1, as the published probe does; a row of zeros stays.

    Raises:
        OptionError: ``near`` is negative.
        FeatureError: a row with NaN or infinity, or videos of different widths.
    """
    if not near >= 0:
        raise OptionError(f"near is {near:g} s, but must be at least 0", cure="1 second is usual")
    values: list[Rows] = []
    labels: list[SnippetLabels] = []
    late = zeros = 0
    for name in names:
        each, segments = features[name], annotations.videos[name].segments
        check_rows(each, name)
        if values and each.width != values[0].shape[1]:
            problem = f"features of {name!r} have {each.width} channels, those of {names[0]!r} {values[0].shape[1]}"
            raise FeatureError(problem, cure="keep the features of each encoder in a folder of their own")
        values.append(normalise_rows(each.values) if normalise else each.values)
        labels.append(label_snippets(each.time.centers(len(each)), segments, near))
        end = video_duration(each.time, len(each)) + max(_OVERSHOOT, each.time.step)
        late += sum(segment.end > end for segment in segments)
        zeros += int((~each.values.any(axis=1)).sum())
    return Snippets(
        tuple(names),
        np.concatenate(values).astype(np.float32, copy=False),  # [N, C]
        np.repeat(np.arange(len(names)), [len(each) for each in values]),
        np.concatenate([each.action for each in labels]),
        np.concatenate([each.near for each in labels]),
        late,
        zeros,
    )


def normalise_rows(values: Rows) -> Rows:
    """Each row divided by its Euclidean length; a row of zeros stays. Shape: [T, C]."""
    length = np.linalg.norm(values.astype(np.float64), axis=1, keepdims=True)  # float32 squares overflow at 2e19
    return np.asarray(values / np.where(length > 0, length, 1), dtype=np.float32)


def shared_videos(
    folders: Iterable[Collection[str]], annotations: Annotations
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Annotated videos of which every folder has features, and the other annotated ones; both sorted."""
    everywhere = list(folders)
    shared = [name for name in sorted(annotations.videos) if all(name in folder for folder in everywhere)]
    return tuple(shared), tuple(sorted(set(annotations.videos) - set(shared)))
