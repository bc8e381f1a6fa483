"""What the report's script draws, as compact JSON that cannot break out of its ``<script>`` element."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np

from ..data.segments import Segment
from .content import Curve, Report, SimilarityMap, VideoPage
from .media import Media, image_uri

MAX_CURVE_POINTS = 2000
_NO_VALUE = 255  # the byte of a map's cell that has no cosine

# Control characters and lone surrogates (from file names that are not UTF-8) are not allowed in HTML.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def printable(value: object) -> str:
    """``str(value)`` with every character that HTML or UTF-8 cannot carry replaced by U+FFFD."""
    return _UNPRINTABLE.sub("\ufffd", str(value))


def script_json(value: Any) -> str:
    """``value`` as JSON for a ``<script>`` element: pure ASCII, without ``<``, ``>`` and ``&``."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def report_payload(report: Report, media: Sequence[Media]) -> dict[str, Any]:
    """The data of all pages. Labels are numbered through the report, so that a label keeps its colour."""
    labels = list(dict.fromkeys(label for page in report.pages for label in _labels(page)))
    number = {label: index for index, label in enumerate(labels)}
    pages = [_page(page, item, number) for page, item in zip(report.pages, media, strict=True)]
    return {"labels": [printable(label) for label in labels], "pages": pages}


def _labels(page: VideoPage) -> Iterator[str]:
    for items in (page.truth, page.segments, page.curves):
        yield from (item.label for item in items)


def _page(page: VideoPage, media: Media, number: dict[str, int]) -> dict[str, Any]:
    thumbnails = sorted((item for item in page.thumbnails if math.isfinite(item.time)), key=lambda item: item.time)
    return {
        "name": printable(page.name),
        "duration": shown_duration(page),
        "segments": [_segment(segment, number) for segment in page.segments],
        "truth": [_segment(segment, number) for segment in page.truth],
        "curves": [_curve(curve, number) for curve in page.curves],
        "maps": [_map(item) for item in page.maps if len(item.times)],
        "mapNotes": [printable(note) for note in page.map_notes],
        "film": page.film,
        "thumbnails": [[_number(item.time), image_uri(item.jpeg)] for item in thumbnails],
        "media": {"mime": media.mime, "embedded": media.base64 is not None, "href": media.href, "note": media.note},
    }


def shown_duration(page: VideoPage) -> float:
    """Length of the time axis: the video's, stretched where something lies beyond it, never zero."""
    ends = [page.duration, *(segment.end for segment in chain(page.segments, page.truth))]
    ends += [float(curve.times[-1]) for curve in page.curves if len(curve.times)]
    return round(max([end for end in ends if math.isfinite(end)] + [0.01]), 4)


def _segment(segment: Segment, number: dict[str, int]) -> list[float | None]:
    return [_number(segment.start), _number(segment.end), number[segment.label], _number(segment.score)]


def _number(value: float | None) -> float | None:
    """JSON has neither NaN nor infinity; 0.1 ms and four digits of a score are more than a screen shows."""
    return None if value is None or not math.isfinite(value) else round(float(value), 4)


def _curve(curve: Curve, number: dict[str, int]) -> dict[str, Any]:
    times, values = thin_curve(np.asarray(curve.times, dtype=float), np.asarray(curve.values, dtype=float))
    return {
        "label": number[curve.label],
        "times": [_number(time) for time in times.tolist()],
        "values": [_number(value) for value in values.tolist()],
    }


def thin_curve(times: np.ndarray, values: np.ndarray, limit: int = MAX_CURVE_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """At most ``limit`` points that look like the curve: lowest and highest of each stretch, in their order.

    A peak of a single point survives. A stretch without any number stays a gap. Shape: [T], [T] -> [M], [M].
    """
    known = np.isfinite(times)
    times, values = times[known], values[known]
    if len(times) <= limit:
        return times, values
    edges = np.linspace(0, len(times), limit // 2 + 1).astype(int)
    kept: list[int] = []
    for start, end in pairwise(edges.tolist()):
        stretch = values[start:end]
        if np.isnan(stretch).all():
            kept.append(start)
        else:
            kept += sorted({start + int(np.nanargmin(stretch)), start + int(np.nanargmax(stretch))})
    return times[kept], values[kept]


def _map(item: SimilarityMap) -> dict[str, Any]:
    """Cells as bytes over the map's own range: features of neighbouring frames often differ by 0.01 only."""
    values = np.asarray(item.values, dtype=float)
    known = np.isfinite(values)
    low, high = (float(values[known].min()), float(values[known].max())) if known.any() else (0.0, 1.0)
    scaled = (np.where(known, values, low) - low) / max(high - low, 1e-9) * (_NO_VALUE - 1)
    cells = np.where(known, np.rint(scaled), _NO_VALUE).astype(np.uint8)  # [N, N]
    return {
        "title": printable(item.title),
        "group": printable(item.group),
        "times": [_number(time) for time in item.times],
        "low": round(low, 6),
        "high": round(high, 6),
        "cells": base64.b64encode(cells.tobytes()).decode("ascii"),
    }
