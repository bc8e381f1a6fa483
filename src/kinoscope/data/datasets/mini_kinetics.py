"""Mini-Kinetics: 200 classes of Kinetics-400, by the lists of AR-Net's release or by those of the first authors.

AR-Net's are ``mini_train_videofolder.txt`` and ``mini_val_videofolder.txt`` with ``minik_classInd.txt``; the first
authors' ``train_ytid_list.txt`` and ``val_ytid_list.txt`` hold a YouTube id per line and need Kinetics-400's tables
beside them. They are not the same clips: 121,000 and 80,000 to learn from. Missing videos are usual in both.

Source: Xie et al., Rethinking spatiotemporal feature learning (ECCV 2018); AR-Net sheet, section 6.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ...errors import AnnotationError
from ...wording import plural, some_of
from . import kinetics
from .frame_lists import FrameLine, class_names, read_lists, rows_of
from .listing import Listing, Row
from .split_lists import folder_of, odd_line, text_lines

_LISTS = {"mini_train_videofolder.txt": "train", "mini_val_videofolder.txt": "validation"}
_IDS = {"train_ytid_list.txt": "train", "val_ytid_list.txt": "validation"}
_CLASSES = ("minik_classInd.txt", "classInd.txt")


def lists_folder(source: Path) -> Path | None:
    """Where the lists lie at or directly below ``source``; None when there are none."""
    return folder_of(source, "mini_*_videofolder.txt") or folder_of(source, "*_ytid_list.txt")


def list_clips(source: Path) -> Listing:
    """The clips of the lists, subsets ``train`` and ``validation``.

    Raises:
        AnnotationError: no lists, what cannot be read in them, or a list of ids of which the tables know none.
    """
    if folder := folder_of(source, "mini_*_videofolder.txt"):
        lines = read_lists(folder, _LISTS, None)
        named = any((folder / name).is_file() for name in _CLASSES)
        classes = class_names(folder, _CLASSES) if named else _classes_by_folder(lines)
        return Listing(tuple(rows_of(lines, classes)), folder, source, tolerant=True)
    if folder := folder_of(source, "*_ytid_list.txt"):
        return _of_ids(folder, source)
    cure = f"put {' and '.join(_LISTS)} there, or {' and '.join(_IDS)} and Kinetics-400's tables"
    raise AnnotationError("holds no mini_train_videofolder.txt", where=source, cure=cure)


def _classes_by_folder(lines: list[FrameLine]) -> dict[int, str]:
    """Without a file of classes the folders of the videos are called like them."""
    labels: dict[int, str] = {}
    numbers: dict[str, int] = {}
    cure = f"put {_CLASSES[0]} beside the list"
    for line in lines:
        (number,), label = line.classes, PurePosixPath(line.file).parent.name
        if not label:
            raise AnnotationError(f"no folder tells the class of {line.file!r}", where=line.where, cure=cure)
        if (known := numbers.setdefault(label, number)) != number:
            raise AnnotationError(f"{label!r} is class {number}, but {known} before", where=line.where, cure=cure)
        if (named := labels.setdefault(number, label)) != label:
            raise AnnotationError(f"class {number} is {label!r}, but {named!r} before", where=line.where, cure=cure)
    return labels


def _of_ids(folder: Path, source: Path) -> Listing:
    """The clips of Kinetics' tables whose ids are listed; the list tells the subset."""
    tables = kinetics.list_clips(source)
    known: Mapping[str, list[Row]] = defaultdict(list)
    for row in tables.rows:
        known[_youtube_id(row)].append(row)
    rows: list[Row] = []
    unknown: list[str] = []
    for name, subset in _IDS.items():
        ids = _ids(folder, name)
        missing = [each for each in ids if each not in known]
        if len(missing) == len(ids):
            problem = f"the tables of Kinetics know none of its {plural(len(ids), 'id')}: {some_of(missing)}"
            cure = "put train.csv and validate.csv of Kinetics-400 beside it"
            raise AnnotationError(problem, where=folder / name, cure=cure)
        rows += [replace(row, subset=subset) for each in ids if each in known for row in known[each]]
        unknown += missing
    lost = f"left out, not in the tables of Kinetics: {plural(len(unknown), 'clip')}: {some_of(unknown)}"
    return replace(tables, rows=tuple(rows), source=folder, remarks=(*tables.remarks, *([lost] if unknown else [])))


def _youtube_id(row: Row) -> str:
    """From the name ``label/ID_000010_000020``."""
    return row.name.rpartition("/")[2].rsplit("_", 2)[0]


def _ids(folder: Path, name: str) -> list[str]:
    """The ids of a list, each once."""
    if not (folder / name).is_file():
        raise AnnotationError(f"holds no {name}", where=folder, cure=f"put {' and '.join(_IDS)} there")
    found: dict[str, None] = {}
    for text, where in text_lines(folder / name):
        if len(text.split()) > 1 or "/" in text:
            raise odd_line(text, where, "-aBcDeFgHiJ")
        found[text] = None
    return list(found)
