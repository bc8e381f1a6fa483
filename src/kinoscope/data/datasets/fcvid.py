"""FCVID: as it is released (``materials/`` beside the folders of the videos), or by the lists of AR-Net's release.

Released are ``FCVID_VideoName_TrainTestSplit.txt`` (``folder/name.mp4 train``) and ``FCVID_Label.txt``, which holds a
row of 0 and 1 for each video in the same order, a column per class. AR-Net's are ``fcvid_train_split.txt``,
``fcvid_val_split.txt`` and ``classInd.txt``; where both lie there, these are read.

Source: Jiang, Wu, Wang, Xue, Chang, FCVID (TPAMI 2018), 91,223 videos of 239 classes; AR-Net sheet, section 6.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...errors import AnnotationError
from ...wording import plural, some_of
from ..segments import video_name
from .frame_lists import class_names, read_class_names, read_lists, rows_of
from .listing import Listing, Row
from .split_lists import folder_of, odd_line, text_lines

_LISTS = {"fcvid_train_split.txt": "train", "fcvid_val_split.txt": "validation"}
_SPLIT, _LABELS = "FCVID_VideoName_TrainTestSplit.txt", "FCVID_Label.txt"
_NAMES = ("*Category*.txt", "*ClassName*.txt", "classInd.txt")  # what the release calls it is not established
_ONE_RELEASE = "take both files from one release"


def lists_folder(source: Path) -> Path | None:
    """Where the lists lie at or directly below ``source``; None when there are none."""
    return folder_of(source, "fcvid_*_split.txt") or folder_of(source, _SPLIT)


def list_clips(source: Path) -> Listing:
    """A clip per video with all its classes; of several, ``label`` is that of the smallest number.

    Raises:
        AnnotationError: no lists, or what cannot be read in them.
    """
    if folder := folder_of(source, "fcvid_*_split.txt"):
        lines = read_lists(folder, _LISTS, ",")
        return Listing(tuple(rows_of(lines, class_names(folder))), folder, source)
    if folder := folder_of(source, _SPLIT):
        return _released(folder, source)
    cure = "unpack it beside the folders of the videos"
    raise AnnotationError(f"holds no materials/{_SPLIT}", where=source, cure=cure)


def _released(folder: Path, source: Path) -> Listing:
    videos = list(_videos(folder / _SPLIT))
    marks = list(_marks(folder / _LABELS))
    if len(marks) != len(videos):
        problem = f"{plural(len(marks), 'row')}, but {plural(len(videos), 'video')} in {_SPLIT}"
        raise AnnotationError(problem, where=folder / _LABELS, cure=_ONE_RELEASE)
    width = marks[0][1] if marks else 0
    classes, remarks = _classes(folder, width)
    rows, empty = [], []
    for (file, subset, where), (numbers, _) in zip(videos, marks, strict=True):
        if not numbers:
            empty.append(file)
            continue
        label, *also = (classes[number] for number in numbers)
        rows.append(Row(video_name(file), file, label, subset, where=where, also=tuple(sorted(also))))
    remarks += [f"left out, without a label: {plural(len(empty), 'video')}: {some_of(empty)}"] if empty else []
    return Listing(tuple(rows), folder, source, tuple(remarks))


def _videos(path: Path) -> Iterator[tuple[str, str, str]]:
    """File, subset and ``file:line`` of each video; the last word is the subset, the name may hold blanks."""
    for text, where in text_lines(path):
        file, _, subset = text.replace("\t", " ").rpartition(" ")
        if not file or subset.lower() not in ("train", "test"):
            raise odd_line(text, where, "folder/name.mp4 train")
        yield file.strip().replace("\\", "/"), subset.lower(), where


def _marks(path: Path) -> Iterator[tuple[tuple[int, ...], int]]:
    """The numbers of each video's classes, and how many columns the row has: as many as the first."""
    width = None
    for text, where in text_lines(path):
        cells = text.split()
        meaning = {cell: _is_marked(cell, where) for cell in set(cells)}
        width = width or len(cells)
        if len(cells) != width:
            raise AnnotationError(f"{len(cells)} columns, but {width} before", where=where, cure=_ONE_RELEASE)
        yield tuple(number for number, cell in enumerate(cells) if meaning[cell]), width


def _is_marked(cell: str, where: str) -> bool:
    try:
        value = float(cell)
    except ValueError:
        value = -1.0
    if value not in (0, 1):
        raise AnnotationError(f"a mark is {cell[:80]!r}", where=where, cure="rows hold 0 and 1, a column per class")
    return value == 1


def _classes(folder: Path, count: int) -> tuple[dict[int, str], list[str]]:
    """The classes by number, and a remark where nothing names them."""
    path = next((path for pattern in _NAMES for path in sorted(folder.glob(pattern))), None)
    if path is None:
        remark = "no file names the classes, so they are class-000 and so on: put classInd.txt beside the lists"
        return {number: f"class-{number:03d}" for number in range(count)}, [remark]
    names = read_class_names(path)
    if len(names) != count:
        raise AnnotationError(f"{len(names)} classes, but {count} columns in {_LABELS}", where=path, cure=_ONE_RELEASE)
    return names, []
