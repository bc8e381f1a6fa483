"""The lists of AR-Net's release: a video per line with its number of frames and the numbers of its classes.

    v_QOlSCBRmfWY,2067,0      ActivityNet and FCVID: name, frames, up to three classes (more are read too)
    playing cricket/x 300 112 Mini-Kinetics: path, frames, class; a path may hold blanks

The number of frames is checked to be one and not used: the file knows better. The published loader drops videos of
fewer than three listed frames; here they stay.

Source: AR-Net sheet, sections 6 and 10.13.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import AnnotationError
from ..annotations_text import read_text
from ..segments import video_name
from .listing import Row
from .split_lists import odd_line, text_lines

_NUMBERED = re.compile(r"(?P<number>\d+)[\s,.:]+(?P<name>\S.*)")


@dataclass(frozen=True)
class FrameLine:
    """One line of a list."""

    file: str
    classes: tuple[int, ...]
    """Numbers, from 0, each once, the smallest first."""
    subset: str
    where: str


def read_lists(folder: Path, lists: Mapping[str, str], separator: str | None) -> list[FrameLine]:
    """The lines of all lists of a data set.

    Args:
        folder: where the lists lie.
        lists: the subset of each list by the name of its file.
        separator: what stands between the fields; None: blanks, and the file takes all but the last two.

    Raises:
        AnnotationError: a list that is missing, a line with too few fields, a number that is none.
    """
    if missing := [name for name in lists if not (folder / name).is_file()]:
        raise AnnotationError(f"holds no {missing[0]}", where=folder, cure=f"put {' and '.join(lists)} there")
    return [line for name, subset in lists.items() for line in _lines(folder / name, subset, separator)]


def rows_of(lines: Iterable[FrameLine], classes: Mapping[int, str]) -> Iterator[Row]:
    """The lines with labels for numbers: the smallest number gives ``label``, as the published loss sees it.

    Raises:
        AnnotationError: a number without a class.
    """
    for line in lines:
        if unknown := [number for number in line.classes if number not in classes]:
            problem = f"class {unknown[0]} is none of the {len(classes)} classes, which are 0 to {len(classes) - 1}"
            raise AnnotationError(problem, where=line.where, cure="take list and classes from one release")
        label, *also = (classes[number] for number in line.classes)
        yield Row(video_name(line.file), line.file, label, line.subset, where=line.where, also=tuple(sorted(also)))


def class_names(folder: Path, names: Iterable[str] = ("classInd.txt",)) -> dict[int, str]:
    """The classes by number: line 1 is class 0. Numbers before all names are dropped; they must count up by one.

    Args:
        folder: where the file lies.
        names: what it may be called.

    Raises:
        AnnotationError: no such file, a blank line between others, a class twice, numbers out of order.
    """
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        cure = "put a file there with one class per line, in the order of their numbers"
        raise AnnotationError(f"holds no {' or '.join(names)}", where=folder, cure=cure)
    return read_class_names(path)


def read_class_names(path: Path) -> dict[int, str]:
    """See :func:`class_names`."""
    lines = [line.strip() for line in read_text(path).rstrip().splitlines()]
    known: dict[str, int] = {}
    for number, label in enumerate(_plain(lines, path)):
        cure = "a class per line, each once, in the order of their numbers"
        if not label:
            raise AnnotationError("a blank line, which would be a class", where=f"{path}:{number + 1}", cure=cure)
        if known.setdefault(label, number) != number:
            problem = f"{label!r} stands in line {known[label] + 1} too"
            raise AnnotationError(problem, where=f"{path}:{number + 1}", cure=cure)
    return {number: label for label, number in known.items()}


def _plain(lines: list[str], path: Path) -> list[str]:
    """Names without the numbers before them, where all have one."""
    matches = [match for line in lines if (match := _NUMBERED.fullmatch(line))]
    if len(matches) < len(lines):
        return lines
    first = int(matches[0]["number"])
    for place, match in enumerate(matches):
        if int(match["number"]) != first + place:
            problem = f"number {int(match['number'])} follows {first + place - 1}"
            raise AnnotationError(problem, where=f"{path}:{place + 1}", cure="sort the classes by number, without gaps")
    return [match["name"] for match in matches]


def _lines(path: Path, subset: str, separator: str | None) -> Iterator[FrameLine]:
    layout = "name 300 7" if separator is None else separator.join(("name", "300", "7"))
    for text, where in text_lines(path):
        cells = text.rsplit(None, 2) if separator is None else [cell.strip() for cell in text.split(separator)]
        if len(cells) < 3 or not cells[0]:
            raise odd_line(text, where, f"{layout}: file, number of frames, number of the class")
        file, frames, *classes = cells
        _whole(frames, "the number of frames", where)
        numbers = sorted({_whole(cell, "the number of a class", where) for cell in classes})
        yield FrameLine(file.replace("\\", "/"), tuple(numbers), subset, where)


def _whole(cell: str, what: str, where: str) -> int:
    if not cell.isdecimal():
        raise AnnotationError(f"{what} is {cell[:80]!r}", where=where, cure="give a whole number, from 0")
    return int(cell)
