"""EPIC-Kitchens-100: tables of actions, each with a verb and a noun; one of the two is read as the label.

``EPIC_100_train.csv`` and ``EPIC_100_validation.csv``, with ``start_timestamp`` and ``stop_timestamp`` as
``00:01:02.50``. The benchmark counts classes, not words: the label is the key of the class in
``EPIC_100_verb_classes.csv`` or ``EPIC_100_noun_classes.csv`` beside the table, else the number of the class.
Durations come from ``EPIC_100_video_info.csv`` where it lies there. Test tables hold no labels.

Source: Damen et al., Rescaling egocentric vision (IJCV 2022); the columns as its annotations describe them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ...errors import AnnotationError
from ..annotations_checks import AnnotationBuilder, Place
from ..annotations_csv import table_rows
from ..annotations_text import head_of, read_text
from ..dataset_choice import EpicChoice

_TIME = re.compile(r"(?P<hours>\d{1,4}):(?P<minutes>[0-5]?\d):(?P<seconds>[0-5]?\d(?:\.\d*)?)")
_OWN = {"video_id", "start_timestamp", "stop_timestamp"}
_SUBSETS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


def tables(source: Path) -> list[Path]:
    """The tables of actions: ``source`` itself, or those in it, sorted; none where this is another layout."""
    paths = sorted(source.glob("*.csv")) if source.is_dir() else [source]
    return [path for path in paths if path.is_file() and _is_table(path)]


def read_table(path: Path, choice: EpicChoice, builder: AnnotationBuilder) -> tuple[str, ...]:
    """Feed every row of a table to ``builder``; returns remarks on what was left out or could not be told.

    Raises:
        AnnotationError: a column that is missing; files beside the table that cannot be read.
    """
    column = f"{choice.label}_class"
    rows = table_rows(read_text(path), path, ",")
    line, cells = next(rows)
    header = _header(cells)
    if column not in header and not {"verb_class", "noun_class"} & set(header):
        for line, _ in rows:  # the test part, whose labels are kept by the challenge
            builder.leave_out("without a label, as in the test part", (path.name, line, None))
        return ()
    if column not in header:
        shown = ", ".join(map(repr, header[:16]))
        cure = "take the table as it was released"
        raise AnnotationError(f"no column {column}; the header has {shown}"[:300], where=f"{path}:{line}", cure=cure)
    names = _class_names(path.parent / f"EPIC_100_{choice.label}_classes.csv")
    durations = _column_by(path.parent / "EPIC_100_video_info.csv", "video_id", "duration")
    subset = _subset(path)
    for line, cells in rows:
        place = (path.name, line, None)
        if len(cells) != len(header):
            problem = f"{len(cells)} cells, but the header names {len(header)} columns"
            builder.flaw("cells", place, problem, "put text that holds the separator in double quotes")
            continue
        row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
        name = row.get("video_id", "")
        draft = builder.video(name, place, duration=durations.get(name), subset=subset)
        label = _label(row.get(column, ""), names, choice, place, builder)
        if draft is not None and label is not None:
            start, end = (_seconds(row.get(f"{which}_timestamp", "")) for which in ("start", "stop"))
            builder.segment(draft, start, end, label, None, place)
    remarks = (
        [] if names else [f"no EPIC_100_{choice.label}_classes.csv beside {path.name}: labels are numbers of classes"]
    )
    if subset is None:
        remarks.append(f"{path.name} does not say which part it is, so its videos are of no subset")
    return tuple(remarks)


def _is_table(path: Path) -> bool:
    line = head_of(path).lstrip().partition("\n")[0]
    return set(_header(line.split(","))) >= _OWN


def _header(cells: list[str]) -> list[str]:
    return [cell.strip().strip('"').lower() for cell in cells]


def _subset(path: Path) -> str | None:
    """``EPIC_100_validation.csv`` → ``validation``."""
    words = path.stem.lower().split("_")
    return next((_SUBSETS[word] for word in words if word in _SUBSETS), None)


def _label(
    number: str, names: Mapping[str, str], choice: EpicChoice, place: Place, builder: AnnotationBuilder
) -> str | None:
    if not number.isdecimal():
        cure = "give the number of the class in every row"
        builder.flaw("label", place, f"{choice.label}_class is {number[:60]!r}, not a number", cure)
        return None
    plain = str(int(number[:9]))
    if names and plain not in names:
        cure = "take the table and the names of the classes from one release"
        builder.flaw("label", place, f"{choice.label}_class is {plain}, which has no name beside it", cure)
        return None
    return names.get(plain, plain)


def _seconds(text: str) -> float | str:
    """``00:01:02.50`` as 62.5; anything else as it is, to be told with its place."""
    match = _TIME.fullmatch(text)
    if match is None:
        return text
    return int(match["hours"]) * 3600 + int(match["minutes"]) * 60 + float(match["seconds"])


def _class_names(path: Path) -> dict[str, str]:
    names = _column_by(path, "id", "key")
    if len(set(names.values())) < len(names):
        raise AnnotationError("a name stands for two classes", where=path, cure="give every class a name of its own")
    return names


def _column_by(path: Path, key: str, value: str) -> dict[str, str]:
    """One column of a table by another; empty where the table is not there."""
    if not path.is_file():
        return {}
    rows = table_rows(read_text(path), path, ",")
    line, cells = next(rows)
    header = _header(cells)
    if missing := [name for name in (key, value) if name not in header]:
        cure = "take the table as it was released"
        raise AnnotationError(f"no column {missing[0]}", where=f"{path}:{line}", cure=cure)
    found: dict[str, str] = {}
    for line, cells in rows:
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        name = row.get(key, "")
        if not name or found.setdefault(name, row.get(value, "")) != row.get(value, ""):
            problem = f"{key} is {name[:60]!r}" + (", as in a line before" if name else "")
            raise AnnotationError(problem, where=f"{path}:{line}", cure=f"give every row a {key} of its own")
    return found
