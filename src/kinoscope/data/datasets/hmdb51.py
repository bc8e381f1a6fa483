"""HMDB51 as it is unpacked: ``testTrainMulti_7030_splits/`` beside the folders of the classes.

Source: Kuehne, Jhuang, Garrote, Poggio, Serre, HMDB (ICCV 2011); three splits of 70 training and 30 test clips of
each class, other clips unused. There is no validation part: it must be carved from training.
"""

from __future__ import annotations

import re
from pathlib import Path

from ...errors import AnnotationError
from ...wording import plural
from ..segments import video_name
from .listing import Listing, Row
from .split_lists import check_split, folder_of, lines_of, odd_line

_NAME = re.compile(r"(?P<label>.+)_test_split(?P<split>\d+)")
_MARKS = {1: "train", 2: "test"}
_UNUSED = 0
_PROPERTIES = re.compile(r"(?P<film>.+)_[fuhl]_(?:nm|cm)_np\d+_(?:fr|ba|le|ri)_(?:goo|med|bad)_\d+")
"""How names end: visible part of the body, camera motion, number of people, viewpoint, quality, number."""
_LAYOUT = "April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1"


def lists_folder(source: Path) -> Path | None:
    """Where the split files lie at or directly below ``source``; None when this is no HMDB51."""
    return folder_of(source, "*_test_split[0-9].txt")


def splits(source: Path) -> list[int]:
    """The numbers of the splits that every class has a list of."""
    lists = _lists(lists_folder(source))
    labels = {label for label, _ in lists}
    return [k for k in sorted({split for _, split in lists}) if all((label, k) in lists for label in labels)]


def list_clips(source: Path, split: int = 1) -> Listing:
    """The clips of an official split, subsets ``train`` and ``test``; those marked 0 are left out.

    Raises:
        AnnotationError: no lists, or a line in them that cannot be read.
        OptionError: no such split.
    """
    folder = lists_folder(source)
    if folder is None:
        cure = "unpack test_train_splits.rar beside the folders of the classes"
        raise AnnotationError("holds no testTrainMulti_7030_splits", where=source, cure=cure)
    check_split(split, splits(source), folder)
    rows, unused = [], 0
    for (label, number), path in sorted(_lists(folder).items()):
        for file, mark, where in lines_of(path) if number == split else ():
            if mark not in (*_MARKS, _UNUSED):
                raise odd_line(f"{file} {'' if mark is None else mark}".strip(), where, _LAYOUT)
            if mark == _UNUSED:
                unused += 1
                continue
            file = f"{label}/{file}"
            rows.append(Row(video_name(file), file, label, _MARKS[mark], where=where))
    remarks = (f"left out, in neither part of split {split}: {plural(unused, 'clip')}",) if unused else ()
    return Listing(tuple(rows), folder, source, remarks)


def source_group(stem: str, label: str) -> str | None:
    """The film a clip was cut from: what stands before the class in its name. Films show several classes."""
    match = _PROPERTIES.fullmatch(stem)
    return match["film"].removesuffix(f"_{label}") if match else None


def _lists(folder: Path | None) -> dict[tuple[str, int], Path]:
    """The list of each class and split."""
    names = [(path, _NAME.fullmatch(path.stem)) for path in folder.glob("*.txt")] if folder else []
    return {(match["label"], int(match["split"])): path for path, match in names if match}
