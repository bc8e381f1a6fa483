"""A user's own labels: CSV or ActivityNet's JSON, of whole videos or of segments."""

from __future__ import annotations

from pathlib import Path

from ...wording import plural, some_of
from ..annotations import read_annotations
from ..segments import VideoAnnotation
from .listing import Listing, Row


def list_clips(source: Path) -> Listing:
    """A clip per labelled video, or per segment; segments are named ``video#1``, ``video#2`` … as the file orders them.

    Raises:
        AnnotationError: see :func:`~kinoscope.data.annotations.read_annotations`.
    """
    annotations = read_annotations(source)
    rows = [row for name, video in annotations.videos.items() for row in _rows(name, video, source)]
    empty = [name for name, video in annotations.videos.items() if video.label is None and not video.segments]
    remarks = list(annotations.remarks)
    remarks += [f"left out, without a label: {plural(len(empty), 'video')}: {some_of(empty)}"] if empty else []
    if flaws := annotations.flaws:
        first = f"{flaws[0].where}: {flaws[0].problem}"
        remarks.append(f"{flaws[0].done}: {plural(len(flaws), 'segment')}, the first at {first}")
    return Listing(tuple(rows), source, source.parent, tuple(remarks))


def _rows(name: str, video: VideoAnnotation, source: Path) -> list[Row]:
    file = str(video.path or name)
    if video.label is not None:
        return [Row(name, file, video.label, video.subset, where=source)]
    return [
        Row(f"{name}#{number}", file, segment.label, video.subset, segment.start, segment.end, source)
        for number, segment in enumerate(video.segments, 1)
    ]
