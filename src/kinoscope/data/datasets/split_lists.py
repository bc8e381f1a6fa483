"""Lists that divide a data set, as text files: where they lie, and their lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ...errors import AnnotationError, OptionError
from ..annotations_text import read_text

_LINE = re.compile(r"(?P<file>.*\S)\s+(?P<number>\d+)")


def folder_of(source: Path, pattern: str) -> Path | None:
    """The folder with files like ``pattern``: ``source`` itself or one directly in it."""
    if not source.is_dir():
        return None
    found = sorted(source.glob(pattern)) or sorted(source.glob(f"*/{pattern}"))
    return found[0].parent if found else None


def lines_of(path: Path) -> Iterator[tuple[str, int | None, str]]:
    """File and number (None where there is none) of every line of a list, and the ``file:line`` it stands on.

    Raises:
        AnnotationError: the list cannot be read.
    """
    for text, where in text_lines(path):
        match = _LINE.fullmatch(text)
        file = match["file"] if match else text
        yield file.replace("\\", "/"), int(match["number"]) if match else None, where


def text_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Every line that is not blank, without blanks around it, and the ``file:line`` it stands on.

    Raises:
        AnnotationError: the file cannot be read.
    """
    for line, text in enumerate(read_text(path).splitlines(), 1):
        if text.strip():
            yield text.strip(), f"{path}:{line}"


def check_split(split: int, known: list[int], folder: Path) -> None:
    """Raise :class:`OptionError` for a split that has no files."""
    if split not in known:
        have = f"there are {', '.join(map(str, known))}" if known else "there is none with all its files"
        raise OptionError(f"has no split {split}: {have}", where=folder, cure="choose one that is there")


def odd_line(text: str, where: str, layout: str) -> AnnotationError:
    """The refusal of a line that is not what the data set's lists hold."""
    return AnnotationError(f"cannot read {text[:80]!r}", where=where, cure=f"lines look like {layout!r}")
