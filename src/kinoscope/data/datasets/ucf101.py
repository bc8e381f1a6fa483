"""UCF101 as it is unpacked: ``ucfTrainTestlist/`` beside the videos, in folders of their classes or all in one.

Source: Soomro, Zamir, Shah, UCF101 (CRCV-TR-12-01, 2012); the three official splits for action recognition. There is
no validation part: it must be carved from training.
"""

from __future__ import annotations

import re
from pathlib import Path

from ...errors import AnnotationError
from ..annotations_text import nearest, read_text
from ..segments import video_name
from .listing import Listing, Row
from .split_lists import check_split, folder_of, lines_of, odd_line

_PARTS = {"train": "trainlist", "test": "testlist"}
_GROUP = re.compile(r"(?P<group>v_.+_g\d{2})_c\d{2}")
_LAYOUT = "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1"


def lists_folder(source: Path) -> Path | None:
    """Where the split files lie at or directly below ``source``; None when this is no UCF101."""
    return folder_of(source, "trainlist0[0-9].txt")


def splits(source: Path) -> list[int]:
    """The numbers of the splits that have both lists."""
    folder = lists_folder(source)
    if folder is None:
        return []
    return [k for k in range(10) if all((folder / f"{name}{k:02d}.txt").is_file() for name in _PARTS.values())]


def list_clips(source: Path, split: int = 1) -> Listing:
    """The clips of an official split, subsets ``train`` and ``test``.

    Raises:
        AnnotationError: no lists, or a line in them that cannot be read or names an unknown class.
        OptionError: no such split.
    """
    folder = lists_folder(source)
    if folder is None:
        cure = "unpack UCF101TrainTestSplits-RecognitionTask.zip beside the videos"
        raise AnnotationError("holds no ucfTrainTestlist with trainlist01.txt", where=source, cure=cure)
    check_split(split, splits(source), folder)
    classes = _classes(folder / "classInd.txt")
    rows = []
    for subset, name in _PARTS.items():
        for file, number, where in lines_of(folder / f"{name}{split:02d}.txt"):
            label = file.partition("/")[0]
            if label == file:
                raise odd_line(file, where, _LAYOUT)
            _check_class(label, number, classes, where)
            rows.append(Row(video_name(file), file, label, subset, where=where))
    return Listing(tuple(rows), folder, source)


def source_group(stem: str) -> str | None:
    """The group of a clip, its name without ``_c01``: clips of a group were cut from one recording."""
    match = _GROUP.fullmatch(stem)
    return match["group"] if match else None


def _classes(path: Path) -> dict[str, int]:
    """The number of every class; empty without the file, which nothing but the check needs."""
    if not path.is_file():
        return {}
    found = {}
    for line in read_text(path).splitlines():
        number, _, label = line.strip().partition(" ")
        if number.isdecimal() and label:
            found[label.strip()] = int(number)
    return found


def _check_class(label: str, number: int | None, classes: dict[str, int], where: str) -> None:
    if classes and label not in classes:
        guess = nearest(label, classes)
        cure = f"did you mean {guess!r}?" if guess else "correct the list, or classInd.txt"
        raise AnnotationError(f"the class {label!r} is not in classInd.txt", where=where, cure=cure)
    if classes and number is not None and number != classes[label]:
        problem = f"{label!r} has the number {number} here but {classes[label]} in classInd.txt"
        raise AnnotationError(problem, where=where, cure="take both files from one release of the splits")
