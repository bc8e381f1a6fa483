"""A folder per class, ``waving/a.mp4``; above it, where wished, a folder per subset, ``train/waving/a.mp4``."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from ...errors import AnnotationError
from ...wording import plural, some_of
from ..clip_subsets import SUBSETS
from ..segments import VIDEO_SUFFIXES, video_name
from .listing import Listing, Row

_LAYOUT = "put the videos of each class into a folder of its name: waving/a.mp4, falling/b.mp4"


def list_clips(source: Path) -> Listing:
    """A clip per video; its class is the folder below ``source`` (or below ``train``, ``val``, ``test``).

    Raises:
        AnnotationError: no class folder with a video, or folders of subsets beside folders of classes.
    """
    found, loose = _videos(source)
    deep = _subset_folders(found, source)
    rows, odd = [], loose
    for path in (path for paths in found.values() for path in paths):
        parts = path.relative_to(source).parts
        if deep and len(parts) < 3:
            odd.append(path)
            continue
        subset, label = parts[:2] if deep else (None, parts[0])
        file = path.relative_to(source).as_posix()
        rows.append(Row(video_name(file), file, label, subset.lower() if subset else None, where=path))
    if not rows:
        raise AnnotationError("has no folder of a class with videos in it", where=source, cure=_LAYOUT)
    return Listing(tuple(rows), source, source, tuple(_remarks(source, found, odd)))


def _videos(source: Path) -> tuple[dict[str, list[Path]], list[Path]]:
    """Videos by the folder below ``source`` that holds them, and those in no folder."""
    found: dict[str, list[Path]] = defaultdict(list)
    loose = []
    for path in sorted(source.rglob("*")):
        parts = path.relative_to(source).parts
        hidden = any(part.startswith(".") for part in parts)
        if path.suffix.lower() not in VIDEO_SUFFIXES or hidden or not path.is_file():
            continue
        if len(parts) == 1:
            loose.append(path)
        else:
            found[parts[0]].append(path)
    return found, loose


def _subset_folders(found: dict[str, list[Path]], source: Path) -> bool:
    """Whether the folders below ``source`` are subsets: named so, with folders in them."""
    subsets = {
        name
        for name, paths in found.items()
        if name.lower() in SUBSETS and any(path.parent != source / name for path in paths)
    }
    if subsets and (others := sorted(set(found) - subsets)):
        problem = f"has folders of subsets ({some_of(sorted(subsets))}) beside others ({some_of(others)})"
        cure = "keep only train, validation and test there, each with the folders of its classes; move others away"
        raise AnnotationError(problem, where=source, cure=cure)
    return bool(subsets)


def _remarks(source: Path, found: dict[str, list[Path]], odd: list[Path]) -> list[str]:
    remarks = []
    empty = [each.name for each in sorted(source.iterdir()) if each.is_dir() and each.name not in found]
    if empty := [name for name in empty if not name.startswith(".")]:
        remarks.append(f"without videos: {plural(len(empty), 'folder')}: {some_of(empty)}")
    if odd:
        names = [path.relative_to(source).as_posix() for path in odd]
        remarks.append(f"left out, in no folder of a class: {plural(len(odd), 'video')}: {some_of(names)}")
    return remarks
