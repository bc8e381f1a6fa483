"""Event boundaries, moments at which something changes: the nouns, and the files that hold found ones.

The file: ``{"version": "kinoscope-boundaries-1", "boundaries": {video: [{"time": seconds, "score": 0.8}, …]}}``, with
the videos' lengths under ``durations`` where they are known, or a table ``video,time,score``. Read is also
``{video: [seconds, …]}``, as in generic event boundary detection (GEBD). What is true is read by
:mod:`kinoscope.data.boundary_truth`.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import AnnotationError
from ..files import write_json, write_text
from .annotations_csv import guard, unguard
from .annotations_text import shorten
from .segments import video_name

FORMAT = "kinoscope-boundaries-1"

_EXPECTED = (
    f'boundaries look like {{"version": "{FORMAT}", "boundaries": {{"video": [{{"time": 1.5, "score": 0.8}}]}}}}'
)
_PICKLES = (".pkl", ".pickle")


@dataclass(frozen=True, slots=True)
class Boundary:
    """A moment at which something changes, in seconds from the beginning of the video; found ones carry a ``score``."""

    time: float
    score: float | None = None
    """From 0 to 1: how clearly it stands out."""


def write_boundaries_json(
    path: str | Path,
    boundaries: Mapping[str, Sequence[Boundary]],
    durations: Mapping[str, float] | None = None,
    **meta: Any,
) -> None:
    """Write boundaries, and the lengths of videos in seconds, by video name; ``meta`` goes to ``external_data``.

    Raises:
        AnnotationError: a time that is not finite and from 0 on, or a score that is not finite.
        OutputError: the file cannot be written.
    """
    rows = {name: [_row(each, name, path) for each in found] for name, found in boundaries.items()}
    known = {"durations": dict(durations)} if durations else {}
    write_json(path, {"version": FORMAT, "boundaries": rows, **known, "external_data": meta})


def write_boundaries_csv(path: str | Path, boundaries: Mapping[str, Sequence[Boundary]]) -> None:
    """Write boundaries as ``video,time,score``; a video without any gets a row of its name alone.

    Raises:
        AnnotationError, OutputError: as :func:`write_boundaries_json`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")  # as predictions are written
    writer.writerow(("video", "time", "score"))
    for name, found in boundaries.items():
        if not found:
            writer.writerow((guard(name), "", ""))
        for row in (_row(each, name, path) for each in found):
            writer.writerow((guard(name), row["time"], row.get("score", "")))
    write_text(path, text.getvalue())


def read_boundaries(path: str | Path) -> dict[str, tuple[Boundary, ...]]:
    """Boundaries by video name, in the order of the file. Times outside of the video are kept.

    Raises:
        AnnotationError: not such a file; a time or score that is no finite number, with its place.
    """
    text = read_text(path)
    if text.lstrip()[:1] not in ("{", "["):
        return _read_table(text, path)
    tree = parse_tree(text, path)
    videos = tree.get("boundaries", tree) if isinstance(tree, dict) else tree
    version = tree.get("version", FORMAT) if isinstance(tree, dict) and "boundaries" in tree else FORMAT
    if version != FORMAT:
        raise AnnotationError(f"is of version {shorten(version)}, not {FORMAT!r}", where=path, cure="update Kinoscope")
    if not isinstance(videos, dict) or {"database", "results"} & videos.keys():
        kind = "segments" if isinstance(videos, dict) else type(videos).__name__
        raise AnnotationError(f"holds no boundaries but {kind}", where=path, cure=_EXPECTED)
    found: dict[str, tuple[Boundary, ...]] = {}
    for key, rows in videos.items():
        where = f"{path}: [{json.dumps(key)}]"
        if not isinstance(rows, list):
            raise AnnotationError(f"is {shorten(rows)}, not a list of boundaries", where=where, cure=_EXPECTED)
        if video_name(key) in found:
            raise AnnotationError("names a video a second time", where=where, cure="keep one of the two")
        found[video_name(key)] = tuple(_boundary(row, f"{where}[{index}]") for index, row in enumerate(rows))
    return found


def read_boundary_durations(path: str | Path) -> dict[str, float]:
    """Lengths of videos in seconds, where a file of boundaries knows them.

    Raises:
        AnnotationError: a length that is no positive number.
    """
    text = read_text(path)
    tree = parse_tree(text, path) if text.lstrip()[:1] == "{" else {}
    given = tree.get("durations", {}) if "boundaries" in tree else {}
    if not isinstance(given, dict):
        raise AnnotationError(f"durations are {shorten(given)}", where=path, cure="give them by video, in seconds")
    found = {name: number(value, f"the duration of {name!r}", str(path)) for name, value in given.items()}
    if wrong := [name for name, seconds in found.items() if seconds <= 0]:
        raise AnnotationError(f"the duration of {wrong[0]!r} is not positive", where=path, cure="give it in seconds")
    return {video_name(name): seconds for name, seconds in found.items()}


def _read_table(text: str, path: str | Path) -> dict[str, tuple[Boundary, ...]]:
    """What :func:`write_boundaries_csv` writes; a row without a time says that the video has none."""
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:  # such as a cell of more than 131,072 letters
        raise AnnotationError(f"not a readable table: {error}", where=path, cure=_EXPECTED) from error
    if not {"video", "time"} <= set(reader.fieldnames or ()):
        cure = f"a table has the columns video,time,score; in JSON, {_EXPECTED}"
        raise AnnotationError("is neither a table of boundaries nor JSON", where=f"{path}:1", cure=cure)
    found: dict[str, tuple[Boundary, ...]] = {}
    for line, row in rows:
        where = f"{path}:{line}"
        if not row["video"]:
            raise AnnotationError("names no video", where=where, cure="name the video in this row")
        name = video_name(unguard(row["video"]))
        here = _boundary({**row, "score": row.get("score") or None}, where) if row["time"] else None
        found[name] = (*found.get(name, ()), *([here] if here else []))
    return found


def read_text(path: str | Path) -> str:
    """The content of a text file; what is none is refused with its cause, a pickle without opening it.

    Raises:
        AnnotationError: missing, not UTF-8 text, or a pickle.
    """
    path = Path(path)
    if not path.is_file():
        raise AnnotationError("is a folder" if path.is_dir() else "no such file", where=path, cure="check the path")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"cannot be read: {(error.strerror or str(error)).lower()}", where=path) from error
    if path.suffix.lower() in _PICKLES or data[:1] == b"\x80":
        raise AnnotationError(
            "is a pickle, which can run programs when it is read, so it was not opened",
            where=path,
            cure="if you trust its source, turn it into JSON once, with pickle.load and json.dump in Python",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError("is not UTF-8 text", where=path, cure=_EXPECTED) from error


def parse_tree(text: str, path: str | Path) -> Any:
    """The content of JSON. Raises :class:`AnnotationError` where it is none, or an object names a key twice."""
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}:{error.colno}"
        raise AnnotationError(f"not JSON: {error.msg}", where=where, cure=_EXPECTED) from error
    except (ValueError, RecursionError) as error:  # RecursionError: nested too deeply
        raise AnnotationError(f"cannot be used: {error}", where=path, cure=_EXPECTED) from error


def number(value: Any, what: str, where: str) -> float:
    """A finite number from JSON, which may be written as text. Raises :class:`AnnotationError` for anything else."""
    try:
        found = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise AnnotationError(f"{what} is {shorten(value)}", where=where, cure="give a finite number")
    return found


def _boundary(row: Any, where: str) -> Boundary:
    if not isinstance(row, dict):
        return Boundary(number(row, "a time", where))
    score = row.get("score")
    return Boundary(
        number(row.get("time"), "time", where), None if score is None else number(score, "score", f"{where}.score")
    )


def _row(boundary: Boundary, name: str, path: str | Path) -> dict[str, float]:
    time, score = float(boundary.time), boundary.score
    if not (math.isfinite(time) and time >= 0 and math.isfinite(score or 0)):
        problem = f"a boundary of {name!r} has the time {time:g} and the score {score}"
        raise AnnotationError(problem, where=path, cure="give finite numbers, times from 0 on")
    return {"time": time} if score is None else {"time": time, "score": float(score)}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {shorten(twice)} occurs twice in one object")
    return tree
