"""From the names in an annotation file to video files on disk."""

from __future__ import annotations

from pathlib import Path

from ..errors import AnnotationError
from ..wording import some_of
from .segments import Annotations
from .video_index import VideoIndex, refuse_outside


def resolve_videos(annotations: Annotations, root: str | Path) -> dict[str, Path]:
    """The video file of every annotated video, below ``root``; see :meth:`VideoIndex.choices`.

    Raises:
        AnnotationError: a path with ``..`` or an absolute one; files that are missing or could be several.
    """
    index = VideoIndex(Path(root))
    found: dict[str, Path] = {}
    missing: list[str] = []
    for name, video in annotations.videos.items():
        refuse_outside(name, annotations.source)
        written = video.path or Path(name)
        path = index.only(written, annotations.source) or index.only(name, annotations.source)
        if path is None:
            missing.append(str(written))
        else:
            found[name] = path
    if missing:
        raise missing_videos(missing, len(annotations.videos), index.root, annotations.source)
    return found


def missing_videos(missing: list[str], total: int, root: Path, source: Path | None) -> AnnotationError:
    """The refusal of annotations whose videos are not all there."""
    problem = f"{len(missing)} of {total} videos have no file in {root}: {some_of(missing)}"
    return AnnotationError(problem, where=source, cure="check the folder, or take the videos out of the annotations")
