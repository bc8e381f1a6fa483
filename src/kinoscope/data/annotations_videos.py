"""From the names in an annotation file to video files on disk."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from ..errors import AnnotationError
from .segments import VIDEO_SUFFIXES, Annotations, video_name

_SHOWN = 5


def resolve_videos(annotations: Annotations, root: str | Path) -> dict[str, Path]:
    """The video file of every annotated video, below ``root``.

    In this order: the path as written; the name with any video suffix; a file of that name, or of ``v_`` + name as
    ActivityNet's downloads are called, anywhere below ``root`` if there is only one. Links below ``root`` are followed.

    Raises:
        AnnotationError: a path with ``..`` or an absolute one; files that are missing or could be several.
    """
    root = Path(root)
    if not root.is_dir():
        raise AnnotationError(
            "the folder of the videos does not exist", where=root, cure="give the folder that holds the videos"
        )
    by_name, by_stem = _index(root)
    found: dict[str, Path] = {}
    missing: list[str] = []
    for name, video in annotations.videos.items():
        written = video.path or Path(name)
        if ".." in written.parts or ".." in name.replace("\\", "/").split("/") or written.is_absolute():
            problem = f"the path {str(written)!r} leads out of the folder of the videos"
            raise AnnotationError(
                problem, where=annotations.source, cure="write paths relative to that folder, without '..'"
            )
        choices = [root / written] if video.path and (root / written).is_file() else by_name.get(name, [])
        choices = choices or by_stem.get(Path(name).name, []) or by_stem.get(f"v_{Path(name).name}", [])
        if len(choices) > 1:
            names = ", ".join(repr(str(choice.relative_to(root))) for choice in choices[:_SHOWN])
            raise AnnotationError(f"{name!r} could be {names}", where=annotations.source, cure="write its path in full")
        if choices:
            found[name] = choices[0]
        else:
            missing.append(str(written))
    if missing:
        _refuse(missing, len(annotations.videos), root, annotations.source)
    return found


def _index(root: Path) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Video files below ``root``, by their name in annotations and by their last part."""
    by_name: dict[str, list[Path]] = defaultdict(list)
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
            by_name[video_name(path.relative_to(root))].append(path)
            by_stem[path.stem].append(path)
    return by_name, by_stem


def _refuse(missing: list[str], total: int, root: Path, source: Path | None) -> None:
    names = ", ".join(repr(name) for name in missing[:_SHOWN])
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    problem = f"{len(missing)} of {total} videos have no file in {root}: {names}{more}"
    raise AnnotationError(problem, where=source, cure="check the folder, or take the videos out of the annotations")
