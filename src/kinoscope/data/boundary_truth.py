"""What is true of event boundaries: GEBD's ground truth, or the starts and ends of ordinary annotations.

GEBD (Shou et al., "Generic event boundary detection", ICCV 2021) has several raters per video. Its layout as JSON:
``{video: {"f1_consis_avg": 0.8, "fps": 25, "video_duration": 10, "substages_timestamps": [[2.0, 5.0], [2.1]]}}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import AnnotationError
from .annotations_text import shorten
from .boundaries import number, parse_tree, read_text
from .segments import Annotations, VideoAnnotation, video_name

MERGED = 0.1
"""Boundaries of annotations within so many seconds are one: what ends here and begins there is a single change."""

_RATERS = "substages_timestamps"
_EXPECTED = f'GEBD looks like {{"video": {{"video_duration": 10.0, "f1_consis_avg": 0.8, "{_RATERS}": [[2.0, 5.0]]}}}}'


@dataclass(frozen=True)
class BoundaryTruth:
    """The boundaries of one video."""

    duration: float
    """Length of the video in seconds."""
    raters: tuple[tuple[float, ...], ...]
    """The boundaries that each rater saw, in seconds; at least one rater."""
    consistency: float | None = None
    """How well the raters agree (GEBD's mean F1 between them), if known."""


def is_gebd(path: str | Path) -> bool:
    """Whether a file holds ground truth in GEBD's layout, which no table and no layout of segments looks like.

    Raises:
        AnnotationError: missing, not text, or a pickle, as GEBD publishes its files.
    """
    text = read_text(path)
    try:
        tree = parse_tree(text, path)
    except AnnotationError:
        return False  # a table, or a problem that the reader of annotations tells better
    return isinstance(tree, dict) and any(isinstance(entry, dict) and _RATERS in entry for entry in tree.values())


def read_gebd(path: str | Path) -> dict[str, BoundaryTruth]:
    """GEBD's ground truth, by video. Raises :class:`AnnotationError` that leads to what is wrong."""
    tree = parse_tree(read_text(path), path)
    if not isinstance(tree, dict) or not tree:
        raise AnnotationError("names no video", where=path, cure=_EXPECTED)
    return {video_name(key): _entry(entry, f"{path}: [{json.dumps(key)}]") for key, entry in tree.items()}


def boundary_truth(annotations: Annotations, durations: Mapping[str, float] | None = None) -> dict[str, BoundaryTruth]:
    """Starts and ends of annotated segments as boundaries, seen by one rater.

    Only those inside the video count, and those within :data:`MERGED` seconds of each other are one, at their mean.

    Args:
        annotations: segments in seconds.
        durations: lengths of videos whose annotations do not tell them, in seconds.

    Raises:
        AnnotationError: a video without a known duration, or labels of clips.
    """
    videos = {
        name: replace(video, duration=video.duration or (durations or {}).get(name))
        for name, video in annotations.videos.items()
    }
    unknown = [name for name, video in videos.items() if video.duration is None]
    if unknown:
        several = f" and of {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise AnnotationError(
            f"the duration of {unknown[0]!r}{several} is not known, but boundaries are scored relative to it",
            where=annotations.source,
            cure="add a column duration (CSV), or a field duration (JSON), in seconds",
        )
    return {name: _of_segments(name, video, annotations.source) for name, video in videos.items()}


def merged(times: Iterable[float], tolerance: float = MERGED) -> list[float]:
    """Sorted times in which those up to ``tolerance`` after the first of a group are replaced by their mean."""
    groups: list[list[float]] = []
    for time in sorted(set(times)):
        if groups and time - groups[-1][0] <= tolerance:
            groups[-1].append(time)
        else:
            groups.append([time])
    return [sum(group) / len(group) for group in groups]


def _of_segments(name: str, video: VideoAnnotation, source: Path | None) -> BoundaryTruth:
    if video.label is not None:
        cure = "segments need the columns video,start,end,label,duration"
        raise AnnotationError(f"{name!r} has a label but no segments", where=source, cure=cure)
    assert video.duration is not None
    times = {time for segment in video.segments for time in (segment.start, segment.end)}
    inside = [time for time in times if MERGED < time < video.duration - MERGED]
    return BoundaryTruth(video.duration, (tuple(merged(inside)),))


def _entry(entry: Any, where: str) -> BoundaryTruth:
    if not isinstance(entry, dict) or not isinstance(entry.get(_RATERS), list):
        raise AnnotationError(f"has no list {_RATERS!r} (found {shorten(entry)})", where=where, cure=_EXPECTED)
    duration = number(entry.get("video_duration"), "video_duration", where)
    if duration <= 0:
        raise AnnotationError(f"video_duration {duration:g} is not positive", where=where, cure="give it in seconds")
    raters = entry[_RATERS]
    if not raters or not all(isinstance(times, list) for times in raters):
        raise AnnotationError(f"{_RATERS} is not one list per rater", where=where, cure=_EXPECTED)
    consistency = entry.get("f1_consis_avg")
    return BoundaryTruth(
        duration,
        tuple(tuple(number(time, "a time", f"{where}.{_RATERS}") for time in times) for times in raters),
        None if consistency is None else number(consistency, "f1_consis_avg", where),
    )
