"""THUMOS14 and MultiTHUMOS as they are released: a text file per class, ``video start end`` in each line.

    TH14_Temporal_Annotations_Test/annotation/CliffDiving_test.txt    video_test_0000004  0.2 1.1
    TH14_Temporal_annotations_validation/annotation/Diving_val.txt    video_validation_0000266  72.8 76.4
    multithumos/annotations/Jump.txt                                  video_test_0000004 0.23 0.93

Subsets are called as THUMOS calls them: ``validation`` is what methods are trained on, ``test`` what they are scored
on; the names of the files or else of the videos tell. Every CliffDiving is listed as Diving too, and stays so.
``Ambiguous`` is a label like others here; the protocol leaves it out.

Sources: THUMOS challenge 2014 (Jiang et al.); Yeung et al., Every moment counts (IJCV 2018), for MultiTHUMOS.
"""

from __future__ import annotations

import re
from pathlib import Path

from ...wording import plural, some_of
from ..annotations_checks import AnnotationBuilder, Place
from ..annotations_text import head_of, read_text

_LINE = re.compile(r"(?P<video>\S+)\s+(?P<start>[-+.\deE]+)\s+(?P<end>[-+.\deE]+)")
_PARTS = {"_test": "test", "_val": "validation"}
_LAYOUT = "lines look like 'video_test_0000004  0.2 1.1': video, start and end in seconds"


def class_files(source: Path) -> list[Path]:
    """The files of classes at or below ``source``, sorted; none where this is another layout.

    Files that are called so (``…_test.txt``, ``…_val.txt``) count whatever they hold, others by their first line.
    """
    texts = [path for path in sorted(source.rglob("*.txt")) if not _hidden(path, source)]
    if not any(_starts_as_class(path) for path in texts):
        return []
    return [path for path in texts if _part(path) or _starts_as_class(path)]


def locate(source: Path, place: Place) -> str:
    """A place (file below ``source``, line, field) as ``file:line``."""
    return f"{source / place[0]}:{place[1]}" if isinstance(place, tuple) else f"{source}:{place}"


def read_class_files(source: Path, files: list[Path], builder: AnnotationBuilder) -> tuple[str, ...]:
    """Feed every line of ``files`` to ``builder``; returns a remark on files beside them that hold no class.

    Raises:
        AnnotationError: a file that is no text, or empty.
    """
    for path in files:
        part = _part(path)
        label = path.stem.removesuffix(part or "")
        for number, line in enumerate(read_text(path).splitlines(), 1):
            if line.strip():
                _read_line(line, label, part, (path.relative_to(source).as_posix(), number, None), builder)
    others = [path for path in sorted(source.rglob("*.txt")) if path not in files and not _hidden(path, source)]
    names = [path.relative_to(source).as_posix() for path in others]
    return (f"left out, no segments of a class: {plural(len(names), 'file')}: {some_of(names)}",) if names else ()


def _read_line(line: str, label: str, part: str | None, place: Place, builder: AnnotationBuilder) -> None:
    match = _LINE.fullmatch(line.strip())
    if match is None:
        builder.flaw("layout", place, f"cannot read {line.strip()[:80]!r}", _LAYOUT)
        return
    draft = builder.video(match["video"], place, subset=_PARTS[part] if part else _subset(match["video"]))
    if draft is not None:
        builder.segment(draft, match["start"], match["end"], label, None, place)


def _subset(video: str) -> str | None:
    """``video_test_0000004`` → ``test``."""
    word = video.split("_")[1:2]
    return word[0] if word and word[0] in _PARTS.values() else None


def _part(path: Path) -> str | None:
    return next((end for end in _PARTS if path.stem.endswith(end)), None)


def _hidden(path: Path, source: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(source).parts) or not path.is_file()


def _starts_as_class(path: Path) -> bool:
    """Whether the first line that is not blank is a segment, as one of a list of classes or of labels is not."""
    line = next((line for line in head_of(path).splitlines() if line.strip()), "")
    return bool(_LINE.fullmatch(line.strip()))
