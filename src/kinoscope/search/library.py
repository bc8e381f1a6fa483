"""A folder of videos, or of their features, becomes an index; running it again takes in what changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..data.feature_store import FeatureStore, feature_path
from ..encoders import Encoder, Sampling, extract_folder
from ..encoders.folder import ExtractionReport, as_text, find_videos
from ..errors import FeatureError, OptionError, VideoError
from ..files import output_errors
from .build import write_index
from .index import Entry, Index, is_index, open_index

FEATURES = "features"
"""Folder in an index that keeps the features of its videos."""


@dataclass
class IndexReport:
    """What became of a library."""

    index: Index
    dropped: list[str] = field(default_factory=list)
    """Videos that the index held, and that are not there any more."""
    extraction: ExtractionReport = field(default_factory=ExtractionReport)
    """What became of every video; empty where features were given."""


def index_library(
    videos: str | Path,
    out: str | Path,
    encoder: Encoder,
    sampling: Sampling = Sampling(),
    *,
    source: str = "",
    overwrite: bool = False,
) -> IndexReport:
    """Index every video below ``videos``; features that are there already, in ``out``, are not made again.

    Args:
        source: what loads ``encoder`` again, to encode queries; by default its tag.
        overwrite: replace an index of another folder, encoder or sampling.

    Raises:
        VideoError: no such folder, no videos in it, or none that can be read.
        OptionError: ``out`` is the index of another folder.
        OutputError: ``out`` cannot be written or holds features made otherwise.
    """
    videos, out = Path(videos), Path(out)
    found = find_videos(videos)
    library = videos if videos.is_dir() else videos.parent
    before = _entries_before(out, library, overwrite)
    _forget_changed(out, found, before)
    extraction = extract_folder(videos, out / FEATURES, encoder, sampling, overwrite=overwrite)
    usable = {name: path for name, path in found.items() if str(path) not in extraction.failed}
    if not usable:
        problem = f"none of {len(found)} videos can be read; the first: {next(iter(extraction.failed.values()))}"
        raise VideoError(problem, where=videos, cure="see: kinoscope probe")
    dropped = sorted(set(before) - set(found))
    if extraction.done or set(before) != set(usable) or not is_index(out):
        store = FeatureStore(out / FEATURES).part(usable)
        write_index(out, store, videos=usable, library=library, source=source)
    _remove_features(out, dropped)
    return IndexReport(open_index(out), dropped, extraction)


def index_features(features: FeatureStore, out: str | Path, videos: Path | None = None) -> IndexReport:
    """Index a folder of features.

    Args:
        videos: the folder of their videos, for pictures of results.

    Raises:
        FeatureError: features that differ, have no time, or hold NaN or infinity.
        OptionError: the index would lie among the features.
        OutputError: ``out`` cannot be written.
    """
    out = Path(out)
    if out.resolve().is_relative_to(features.folder.resolve()):
        cure = "choose an --out beside that folder"
        raise OptionError("the index would lie among the features", where=out, cure=cure)
    before = set() if (known := _readable(out)) is None else {entry.name for entry in known.entries}
    write_index(out, features, videos=files_of(features, videos), library=videos)
    index = open_index(out)
    return IndexReport(index, sorted(before - {entry.name for entry in index.entries}))


def files_of(features: FeatureStore, videos: Path | None) -> dict[str, Path]:
    """The file of each video of which there are features, by their names.

    Raises:
        VideoError: no such folder, or no videos in it.
        FeatureError: the features are of other videos.
    """
    if videos is None:
        return {}
    names = {features.path_of(name): as_text(name) for name in features}
    found = {names[features.path_of(name)]: path for name, path in find_videos(videos).items() if name in features}
    if not found:
        cure = "give the folder that the features were made of"
        raise FeatureError("the features are of other videos than this folder holds", where=videos, cure=cure)
    return found


def _entries_before(out: Path, library: Path, overwrite: bool) -> dict[str, Entry]:
    """What the index in ``out`` holds, if it is one of the same folder."""
    index = _readable(out)
    if index is None:
        return {}
    if index.library is None or index.library.resolve() != library.resolve():
        if overwrite:
            return {}
        other = "features" if index.library is None else f"the folder {index.library.resolve()}"
        cure = "choose another --out, or add --overwrite"
        raise OptionError(f"is the index of {other}, not of {library}", where=out, cure=cure)
    return {entry.name: entry for entry in index.entries}


def _readable(out: Path) -> Index | None:
    """The index in ``out``; none if there is none, or a damaged one, which is made again."""
    try:
        return open_index(out) if is_index(out) else None
    except FeatureError:
        return None


def _forget_changed(out: Path, found: Mapping[str, Path], before: Mapping[str, Entry]) -> None:
    """Remove the features of videos that are not what was indexed, though they may be older."""
    changed = []
    for name, path in found.items():
        entry = before.get(name)
        now = path.stat()
        if (
            entry is not None
            and entry.size is not None
            and (entry.size, entry.modified) != (now.st_size, now.st_mtime_ns)
        ):
            changed.append(name)
    _remove_features(out, changed)


def _remove_features(out: Path, names: list[str]) -> None:
    """Only of videos that the index held: nothing else in the folder is ours to remove."""
    for name in names:
        path = feature_path(out / FEATURES, name)
        with output_errors(path):
            path.unlink(missing_ok=True)
