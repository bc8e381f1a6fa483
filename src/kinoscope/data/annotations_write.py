"""Writing annotations and predictions strictly: what is written here, every evaluator reads."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import AnnotationError
from ..files import write_json, write_text
from .annotations_csv import guard
from .segments import Annotations, Segment

_SRT_MARKUP = str.maketrans({"<": "‹", ">": "›", "{": "(", "}": ")"})


def write_annotations_json(
    path: str | Path, annotations: Annotations, *, version: str = f"kinoscope {__version__}"
) -> None:
    """Write ground truth as ActivityNet's ``database``.

    Raises:
        AnnotationError: a segment that is not start < end with finite times, or a clip's label (the layout has none).
        OutputError: the file cannot be written.
    """
    database = {}
    for name, video in annotations.videos.items():
        if video.label is not None:
            cure = "clips are kept as CSV: video,label"
            raise AnnotationError(
                f"{name!r} has the label of a clip, which this layout cannot hold", where=path, cure=cure
            )
        rows = [{"label": s.label, "segment": list(_times(s, name, path))} for s in video.segments]
        entry: dict[str, Any] = {"duration": video.duration, "subset": video.subset}
        entry = {key: value for key, value in entry.items() if value is not None}
        if video.path is not None:
            entry["file"] = video.path.as_posix()
        database[name] = {**entry, "annotations": rows}
    write_json(path, {"version": version, "database": database})


def write_predictions_json(path: str | Path, predictions: Mapping[str, Sequence[Segment]], **meta: Any) -> None:
    """Write predictions as ActivityNet's ``results``; ``meta`` goes to ``external_data``, except ``version``.

    Where it names a ``classifier`` of videos, ActivityNet's own fields say so, too: ``used`` and ``details``.

    Raises:
        AnnotationError: a segment without score, or not start < end, or with a time or score that is not finite.
        OutputError: the file cannot be written.
    """
    version = meta.pop("version", f"kinoscope {__version__}")
    results = {
        name: [
            {"label": s.label, "segment": list(_times(s, name, path)), "score": _score(s, name, path)} for s in segments
        ]
        for name, segments in predictions.items()
    }
    if "classifier" in meta:
        meta = {"used": True, "details": meta["classifier"], **meta}
    write_json(path, {"version": version, "results": results, "external_data": meta})


def write_predictions_csv(path: str | Path, predictions: Mapping[str, Sequence[Segment]]) -> None:
    """Write predictions as ``video,start,end,label,score``; a video without any gets a row of its name alone.

    A name or label that a spreadsheet would run as a formula (``=``, ``+``, ``-``, ``@`` first) gets an apostrophe
    before it; our reader takes it off. For other programs write JSON when names begin so (YouTube's may, with ``-``).

    Raises:
        AnnotationError, OutputError: as :func:`write_predictions_json`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")  # RFC 4180; only so does the writer quote a lone carriage return
    writer.writerow(("video", "start", "end", "label", "score"))
    for name, segments in predictions.items():
        if not segments:
            writer.writerow((guard(name), "", "", "", ""))
        for segment in segments:
            start, end = _times(segment, name, path)
            writer.writerow((guard(name), start, end, guard(segment.label), _score(segment, name, path)))
    write_text(path, text.getvalue())


def write_srt(path: str | Path, segments: Iterable[Segment]) -> None:
    """Write the segments of one video as subtitles, in order of time, to the millisecond.

    A label cannot break out of its subtitle: line breaks become spaces, ``-->`` an arrow, and the signs of markup
    (``<``, ``{``) look-alikes.

    Raises:
        AnnotationError: a segment that is not start < end, finite and from 0 on.
        OutputError: the file cannot be written.
    """
    blocks = []
    for number, segment in enumerate(sorted(segments, key=lambda s: (s.start, s.end, s.label)), start=1):
        start, end = _times(segment, "the video", path)
        first = round(start * 1000)
        last = max(round(end * 1000), first + 1)  # players skip subtitles of no length
        score = "" if segment.score is None else f" ({_score(segment, 'the video', path):.0%})"
        blocks.append(f"{number}\n{_clock(first)} --> {_clock(last)}\n{_subtitle(segment.label)}{score}\n")
    write_text(path, "\n".join(blocks))


def _times(segment: Segment, name: str, path: str | Path) -> tuple[float, float]:
    start, end = float(segment.start), float(segment.end)
    if not (math.isfinite(start) and math.isfinite(end) and 0 <= start < end):
        problem = f"a segment of {name!r} runs from {start:g} to {end:g}, but 0 <= start < end must hold"
        raise AnnotationError(problem, where=path, cure="clip segments to the video and leave empty ones out")
    return start, end


def _score(segment: Segment, name: str, path: str | Path) -> float:
    if segment.score is None or not math.isfinite(segment.score):
        problem = f"the segment of {name!r} at {segment.start:g} has the score {segment.score}"
        raise AnnotationError(problem, where=path, cure="give every prediction a finite score")
    return float(segment.score)


def _clock(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d},{rest:03d}"


def _subtitle(label: str) -> str:
    return " ".join(label.split()).replace("-->", "→").translate(_SRT_MARKUP) or "?"
