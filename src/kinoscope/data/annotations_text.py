"""An annotation file as text, whatever its layout, and its words in messages."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from ..errors import AnnotationError


def head_of(path: Path, size: int = 4096) -> str:
    """The beginning of a file, to tell what it is; what is no UTF-8 in it is replaced.

    Raises:
        AnnotationError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(size).decode("utf-8", "replace").removeprefix("\ufeff")
    except OSError as error:
        problem = f"cannot be read: {(error.strerror or str(error)).lower()}"
        raise AnnotationError(problem, where=path, cure="check that the file can be read") from error


def read_text(path: Path) -> str:
    """The file as text; every way in which it may not be text gets its own message."""
    if path.is_dir():
        raise AnnotationError("is a folder, not an annotation file", where=path, cure="name the file in it")
    if not path.is_file():
        raise AnnotationError("no such annotation file", where=path, cure="check the path")
    try:
        data = path.read_bytes()
    except OSError as error:
        problem = f"cannot be read: {(error.strerror or str(error)).lower()}"
        raise AnnotationError(problem, where=path, cure="check that the file can be read") from error
    if not data.strip():
        raise AnnotationError("is empty", where=path, cure="the first line of a table is video,start,end,label")
    cure = "save it as UTF-8 text"
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        raise AnnotationError("holds a NUL byte: not UTF-8 text, or damaged", where=f"{path}:{line}", cure=cure)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        problem = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise AnnotationError(problem, where=f"{path}:{line}", cure=cure) from error


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like ``name``, case ignored; None when nothing is near."""
    names = {other.lower(): other for other in known}
    near = get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    return names[near[0]] if near else None


def shorten(value: object) -> str:
    """``repr`` of a value from a file, without control characters and not longer than a line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def unwritable(text: str) -> bool:
    """Whether a text from JSON holds what no file and no terminal can: NUL, or half of a surrogate pair."""
    return "\0" in text or (not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text))
