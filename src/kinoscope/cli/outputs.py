"""Which videos a command was given, and the files that hold what was found in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..data.boundaries import Boundary
from ..data.segments import Segment
from ..errors import KinoscopeError, OptionError, VideoError
from ..files import require_writable

Found = Mapping[str, Sequence[Segment]]
Scored = TypeVar("Scored", Segment, Boundary)


@dataclass(frozen=True)
class Wanted:
    """Where results go, and how much of them people see."""

    output: Path | None
    csv: Path | None
    srt: Path | None
    html: Path | None
    json: bool
    """Print JSON instead of tables."""
    min_score: float
    """What scores less is left out of tables, subtitles and the report."""
    most: int
    """Rows of a table."""

    @property
    def files(self) -> tuple[Path | None, ...]:
        """Where results go; none where they were not asked for."""
        return self.output, self.csv, self.srt, self.html

    def enough(self, found: Sequence[Scored]) -> list[Scored]:
        """Of what was ``found`` that which people see."""
        return [each for each in found if (each.score or 0) >= self.min_score]


def named_videos(files: Sequence[Path]) -> dict[str, Path]:
    """Every video in ``files`` once (folders are searched), by a name that no two of them share.

    A name is the path below the folder that was given, without suffix; where two are alike, as many of the folders
    before it are added as it takes to tell them apart.

    Raises:
        VideoError: a file or folder does not exist, a folder holds no videos, or two differ in their suffix alone.
    """
    from ..encoders.folder import find_videos

    return _named(files, find_videos)


def named_features(files: Sequence[Path]) -> dict[str, Path]:
    """Every feature file in ``files``, as :func:`named_videos`.

    Raises:
        VideoError: a file or folder does not exist, or two files differ in their suffix alone.
        FeatureError: a folder holds no features.
    """
    return _named(files, _find_features)


def _find_features(source: Path) -> dict[str, Path]:
    from ..data.feature_store import FeatureStore
    from ..encoders.folder import as_text

    if source.is_file():
        return {as_text(source.stem): source}
    store = FeatureStore(source)
    return {as_text(name): store.path_of(name) for name in store}


def _named(files: Sequence[Path], find: Callable[[Path], dict[str, Path]]) -> dict[str, Path]:
    """What ``find`` finds at or below ``files``, by names that no two share."""
    from ..encoders.folder import as_text

    found: dict[Path, str] = {}  # the real path tells when a video was named twice
    shown: dict[Path, Path] = {}
    for source in files:
        if not source.exists():
            raise VideoError("no such file or folder", where=source, cure="check the path")
        for name, path in find(source).items():
            found.setdefault(path.resolve(), name)
            shown.setdefault(path.resolve(), path)
    while clashing := [path for path, count in _counts(found).items() if count > 1]:
        for path in clashing:
            folders = path.relative_to(path.anchor).parts[: -found[path].count("/") - 1]
            if not folders:
                raise VideoError("another video has the same name", where=shown[path], cure="rename one of the two")
            found[path] = f"{as_text(folders[-1])}/{found[path]}"
    return {name: shown[path] for path, name in found.items()}


def _counts(names: Mapping[Path, str]) -> dict[Path, int]:
    """How often the name of each video occurs."""
    counted = Counter(names.values())
    return {path: counted[name] for path, name in names.items()}


def check_writable(paths: Sequence[Path | None], sources: Collection[Path] = (), what: str = "videos") -> None:
    """Fail before long work where a result could not be written after it; nothing is created.

    Folders that are missing are no failure: they are made with the result.

    Args:
        sources: what must not be replaced.
        what: these are, in a word.

    Raises:
        OptionError: a result would take the place of a source, or of another result.
        OutputError: a file cannot be written.
    """
    kept = {path.resolve() for path in sources}
    taken: set[Path] = set()
    for path in filter(None, paths):
        if path.resolve() in kept:
            raise OptionError(f"is one of the {what}, and would be replaced", where=path, cure="name another output")
        if path.resolve() in taken:
            raise OptionError("two results would go to one file", where=path, cure="give each its own name")
        taken.add(path.resolve())
        require_writable(path)


def subtitle_paths(srt: Path | None, names: Collection[str]) -> dict[str, Path]:
    """Where the subtitles of each video go: one file for one video, a folder for several."""
    if srt is None:
        return {}
    if len(names) == 1 and not srt.is_dir():
        return dict.fromkeys(names, srt)
    return {name: srt / f"{name}.srt" for name in names}


def write_results(
    found: Found,
    made: Mapping[str, str],
    *,
    output: Path | None = None,
    csv: Path | None = None,
    srt: Mapping[str, Path] | None = None,
) -> None:
    """Write segments by video name as JSON, CSV and subtitles (see :func:`subtitle_paths`)."""
    from ..data.annotations_write import write_predictions_csv, write_predictions_json, write_srt

    if output is not None:
        write_predictions_json(output, found, **made)
    if csv is not None:
        write_predictions_csv(csv, found)
    for name, path in (srt or {}).items():
        if name in found:
            write_srt(path, found[name])


def report_end(paths: Sequence[Path | None], failed: Mapping[Path, KinoscopeError]) -> int:
    """Tell which files were written and which inputs failed; returns the exit code."""
    from .terminal import note

    if written := [str(path) for path in paths if path is not None]:
        note("Written: " + ", ".join(written))
    for path, problem in failed.items():
        note(f"failed: {path}: {problem.problem}")
    return 2 if failed else 0


def as_json(found: Found) -> dict[str, Any]:
    """What ``--json`` prints: ActivityNet's layout."""
    return {
        "results": {
            name: [{"label": s.label, "segment": [s.start, s.end], "score": s.score} for s in segments]
            for name, segments in found.items()
        }
    }
