"""ActivityNet's JSON layout: ``database`` for ground truth, ``results`` for predictions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import AnnotationError
from .annotations_checks import AnnotationBuilder, Draft, Place

_EXPECTED = (
    'ground truth looks like {"database": {"video": {"duration": 12.5, "subset": "test", "annotations": '
    '[{"label": "fall", "segment": [1.5, 3.0]}]}}}, predictions like '
    '{"results": {"video": [{"label": "fall", "segment": [1.5, 3.0], "score": 0.9}]}}'
)


class _RepeatedKeyError(ValueError):
    """An object in the file has the same key twice; Python's reader would silently keep the last."""


def parse_tree(text: str, path: Path) -> tuple[str, dict[str, Any]]:
    """What the file holds (``database`` or ``results``), and the whole of it; its entries by video are at that key.

    Raises:
        AnnotationError: not JSON, a key given twice, or another layout than ActivityNet's.
    """
    tree = parse_json(text, path)
    section = next((key for key in ("database", "results") if isinstance(tree, dict) and key in tree), None)
    if section is None or not isinstance(tree[section], dict):
        raise AnnotationError(f"not an annotation file: {_shape(tree)}", where=path, cure=_EXPECTED)
    return section, tree


def read_tree(videos: dict[str, Any], section: str, builder: AnnotationBuilder) -> None:
    """Feed the entries of all videos to ``builder``."""
    for name, entry in videos.items():
        if section == "database":
            _read_entry(name, entry, builder)
        else:
            _read_list(builder.video(name, (name, None, None)), name, entry, builder)


def parse_json(text: str, path: Path) -> Any:
    """JSON, or a refusal that leads to the line; NaN and Infinity pass here and are refused later, with their place."""
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}:{error.colno}"
        raise AnnotationError(
            f"not JSON: {error.msg}", where=where, cure="the file may be cut off; write it again"
        ) from error
    except _RepeatedKeyError as error:
        raise AnnotationError(
            f"the key {error} occurs twice in one object", where=path, cure="keep one entry per video"
        ) from error
    except RecursionError as error:
        raise AnnotationError("nested too deeply", where=path, cure=_EXPECTED) from error
    except ValueError as error:  # Python refuses integers of thousands of digits
        raise AnnotationError(f"holds a number that cannot be read: {error}", where=path, cure=_EXPECTED) from error


def locate(path: Path, section: str) -> Callable[[Place], str]:
    """Places of this file as ``file: database["v1"].annotations[3].segment``."""

    def text(place: Place) -> str:
        video, index, field = place if isinstance(place, tuple) else (str(place), None, None)
        steps = f"{section}[{json.dumps(video)}]"
        if index is not None:
            steps += f".annotations[{index}]" if section == "database" else f"[{index}]"
        return f"{path}: {steps}" + (f".{field}" if field else "")

    return text


def _read_entry(name: str, entry: Any, builder: AnnotationBuilder) -> None:
    place = (name, None, None)
    if not isinstance(entry, dict):
        builder.flaw("layout", place, f"is {_shape(entry)}, not an object", _EXPECTED)
        return
    draft = builder.video(
        name,
        place,
        duration=entry.get("duration"),
        subset=entry.get("subset", entry.get("split")),
        path=entry.get("file"),
    )
    if "annotations" not in entry:
        builder.flaw("layout", place, "has no 'annotations'", "give an empty list for a video that holds nothing")
    else:
        _read_list(draft, name, entry["annotations"], builder)


def _read_list(draft: Draft | None, name: str, rows: Any, builder: AnnotationBuilder) -> None:
    if draft is None:
        return
    if not isinstance(rows, list):
        builder.flaw("layout", (name, None, None), f"is {_shape(rows)}, not a list of segments", _EXPECTED)
        return
    for index, row in enumerate(rows):
        segment = row.get("segment") if isinstance(row, dict) else None
        if isinstance(segment, list) and len(segment) == 2:
            label = row.get("label")
            label = row.get("label_id") if label is None else label
            builder.segment(draft, segment[0], segment[1], label, row.get("score"), (name, index, "segment"))
        elif not isinstance(row, dict):
            builder.flaw("layout", (name, index, None), f"is {_shape(row)}, not an object", _EXPECTED)
        elif segment is None:
            builder.flaw(
                "layout", (name, index, None), "has no 'segment'", "give every annotation segment: [start, end]"
            )
        else:
            builder.flaw(
                "layout",
                (name, index, "segment"),
                f"is {_shape(segment)}, not [start, end]",
                "give two numbers, in seconds",
            )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        keys = [key for key, _ in pairs]
        raise _RepeatedKeyError(repr(next(key for key in keys if keys.count(key) > 1))[:80])
    return tree


def _shape(value: Any) -> str:
    if isinstance(value, dict):
        keys = ", ".join(repr(key)[:40] for key in list(value)[:6])
        return f"an object with the keys {keys}" if keys else "an empty object"
    if isinstance(value, list):
        return f"a list of {len(value)} items"
    return f"{type(value).__name__} {value!r}"[:60]
