"""Reading what happens in which video, and when: CSV and ActivityNet's JSON, checked row by row.

Which flaw does what: see :class:`~kinoscope.data.annotations_checks.AnnotationBuilder`. In short, the default refuses
every flaw and names up to 20 of them with their lines; ``on_flaw="keep"`` takes published ground truth as it is
(ActivityNet and HACS hold segments of no length, duplicates, and ends beyond the video).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..errors import AnnotationError
from . import annotations_csv, annotations_json
from .annotations_checks import AnnotationBuilder, OnFlaw, shorten
from .annotations_videos import resolve_videos
from .annotations_write import write_annotations_json, write_predictions_csv, write_predictions_json, write_srt
from .segments import Annotations

__all__ = [
    "OnFlaw",
    "read_annotations",
    "read_predictions",
    "resolve_videos",
    "write_annotations_json",
    "write_predictions_csv",
    "write_predictions_json",
    "write_srt",
]


def read_annotations(
    path: str | Path,
    *,
    on_flaw: OnFlaw = "error",
    classes: Iterable[str] | None = None,
    root: str | Path | None = None,
) -> Annotations:
    """Read ground truth or predictions from CSV or JSON; what it is, is told by its content.

    CSV: a header ``video,label[,split]`` (trimmed clips) or ``video,start,end,label[,split]`` (times in seconds), in
    any case and order, separated by comma, semicolon or tab; ``duration`` and ``score`` are read when there, other
    columns ignored; a row with empty start, end and label says that the video holds nothing.
    JSON: ActivityNet's ``database`` or ``results``; numbers may be strings, labels may be integers.

    Args:
        path: the file.
        on_flaw: ``error`` reports every flaw; ``drop`` leaves flawed rows out; ``keep`` keeps segments that have no
            length, start before 0, end beyond the video or occur twice, and reports all others. What was dropped, kept
            or clipped is listed in ``Annotations.flaws``. Paths with ``..`` are refused whatever is chosen.
        classes: the labels that may occur; others are flaws, reported with the nearest known name.
        root: the folder of the videos: absolute paths below it are made relative. Other absolute paths are refused,
            because features and results are filed under a video's relative path.

    Raises:
        AnnotationError: one problem with its ``file:line`` (or place in the JSON), or up to 20 of them in one message.
    """
    annotations = _read(Path(path), on_flaw, classes, None if root is None else Path(root))
    if not annotations.videos:
        raise AnnotationError("names no video", where=path, cure="the file needs at least one row besides the header")
    return annotations


def read_predictions(path: str | Path, *, on_flaw: OnFlaw = "keep") -> Annotations:
    """Read predictions: as :func:`read_annotations`, and every segment must carry a score. The file may hold none.

    Raises:
        AnnotationError: as above, and when a score is missing.
    """
    predictions = _read(Path(path), on_flaw, None, None)
    for name, video in predictions.videos.items():
        if any(segment.score is None for segment in video.segments):
            problem = f"a segment of {shorten(name)} has no score, so this is not a file of predictions"
            raise AnnotationError(problem, where=path, cure="predictions need a score: video,start,end,label,score")
        if video.label is not None:
            raise AnnotationError(
                "holds labels of clips, not segments", where=path, cure="give video,start,end,label,score"
            )
    return predictions


def _read(path: Path, on_flaw: OnFlaw, classes: Iterable[str] | None, root: Path | None) -> Annotations:
    text = read_text(path)
    if text.lstrip()[:1] in ("{", "["):
        section, videos = annotations_json.parse_tree(text, path)
        builder = AnnotationBuilder(
            path, annotations_json.locate(path, section), on_flaw=on_flaw, classes=classes, root=root
        )
        annotations_json.read_tree(videos, section, builder)
    else:
        builder = AnnotationBuilder(path, annotations_csv.locate(path), on_flaw=on_flaw, classes=classes, root=root)
        annotations_csv.read_table(text, path, builder)
    return builder.finish()


def read_text(path: Path) -> str:
    """The file as text; every way in which it may not be text gets its own message."""
    if path.is_dir():
        raise AnnotationError("is a folder, not an annotation file", where=path, cure="name the file in it")
    if not path.is_file():
        raise AnnotationError("no such annotation file", where=path, cure="check the path")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"cannot be read: {(error.strerror or str(error)).lower()}", where=path) from error
    if not data.strip():
        raise AnnotationError("is empty", where=path, cure="the first line of a table is video,start,end,label")
    cure = "save it as UTF-8 text"
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        raise AnnotationError("holds a NUL byte: not UTF-8 text, or damaged", where=f"{path}:{line}", cure=cure)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        problem = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise AnnotationError(problem, where=f"{path}:{line}", cure=cure) from error
