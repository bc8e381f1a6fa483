"""Which videos a command was given, and the files that hold what was found in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.segments import Segment, video_name
from ..errors import OptionError, VideoError
from ..files import output_errors

Found = Mapping[str, Sequence[Segment]]


def named_videos(files: Sequence[Path]) -> dict[str, Path]:
    """Every video in ``files`` (folders are searched), by a name that no two of them share.

    Raises:
        VideoError: a file or folder does not exist, or a folder holds no videos.
    """
    from ..encoders.folder import find_videos

    named: dict[str, Path] = {}
    for source in files:
        if not source.exists():
            raise VideoError("no such file or folder", where=source, cure="check the path")
        for name, path in find_videos(source).items():
            # Two videos of one name from different folders: their paths tell them apart.
            named[name if name not in named else video_name(path)] = path
    return named


def check_writable(*paths: Path | None) -> None:
    """Fail before long work where a result could not be written after it."""
    for path in paths:
        if path is None:
            continue
        if path.is_dir():
            raise OptionError("is a folder, but a file is to be written", where=path, cure="name a file in it")
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            probe = path.parent / f".{path.name}.probe"
            probe.touch()
            probe.unlink()


def write_results(
    found: Found, made: Mapping[str, str], *, output: Path | None, csv: Path | None, srt: Path | None
) -> None:
    """Write segments by video name as JSON, CSV and subtitles (one file, or a folder for several videos)."""
    from ..data.annotations_write import write_predictions_csv, write_predictions_json, write_srt

    if output is not None:
        write_predictions_json(output, found, **made)
    if csv is not None:
        write_predictions_csv(csv, found)
    if srt is not None:
        for name, segments in found.items():
            write_srt(srt if len(found) == 1 and not srt.is_dir() else srt / f"{name}.srt", segments)


def as_json(found: Found) -> dict[str, Any]:
    """What ``--json`` prints: ActivityNet's layout."""
    return {
        "results": {
            name: [{"label": s.label, "segment": [s.start, s.end], "score": s.score} for s in segments]
            for name, segments in found.items()
        }
    }
