"""A folder of videos → a folder of features, resumable; what fails is told at the end and stops nothing."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..data.feature_spec import same_encoder
from ..data.feature_store import feature_path
from ..data.features import read_features, write_features
from ..data.segments import VIDEO_SUFFIXES, video_name
from ..errors import DamagedVideoWarning, KinoscopeError, OutputError, VideoError
from ..files import require_writable
from ..progress import progress
from .catalog import EncoderSpec
from .encoder import Encoder
from .extract import Effort, extract_features
from .sampling import Sampling


@dataclass
class ExtractionReport:
    """What became of every video of a folder."""

    done: list[str] = field(default_factory=list)
    """Extracted now."""
    skipped: list[str] = field(default_factory=list)
    """Had features already, by the same encoder and sampling."""
    failed: dict[str, str] = field(default_factory=dict)
    """Path → reason."""
    damaged: dict[str, str] = field(default_factory=dict)
    """Path → what is missing; the features of the rest were written."""
    effort: Effort = field(default_factory=Effort)


def extract_folder(
    source: str | Path, out: str | Path, encoder: Encoder, sampling: Sampling = Sampling(), *, overwrite: bool = False
) -> ExtractionReport:
    """Features of every video below ``source``, one file each in ``out``.

    Args:
        source: a folder, or a single video.

    Others, and all else: see :func:`extract_videos`.

    Raises:
        VideoError: no such folder, no videos in it, or two that would share one feature file.
        OutputError: see :func:`extract_videos`.
    """
    return extract_videos(find_videos(source), out, encoder, sampling, overwrite=overwrite)


def extract_videos(
    videos: Mapping[str, Path],
    out: str | Path,
    encoder: Encoder,
    sampling: Sampling = Sampling(),
    *,
    overwrite: bool = False,
) -> ExtractionReport:
    """Features of ``videos``, files by name.

    Finished videos are skipped, broken feature files made again; a video that fails does not stop the others.

    Args:
        overwrite: replace features that another encoder or another sampling made.

    Raises:
        OutputError: ``out`` cannot be written or holds features made otherwise.
    """
    spec = sampling.resolve(encoder.spec)
    outcome = ExtractionReport()
    todo: dict[str, tuple[Path, int]] = {}
    for name, path in videos.items():
        if overwrite or not _finished(feature_path(out, name), path, spec):
            todo[name] = (path, path.stat().st_size)
        else:
            outcome.skipped.append(name)
        require_writable(feature_path(out, name))
    with progress("Extracting", sum(size for _, size in todo.values()) or None) as report:
        for name, (path, size) in todo.items():
            report(0, name)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", DamagedVideoWarning)
                try:
                    features = extract_features(path, encoder, sampling, effort=outcome.effort)
                    write_features(feature_path(out, name), features)
                except OutputError:
                    raise  # the others could not be written either
                except KinoscopeError as error:
                    outcome.failed[str(path)] = error.problem
                else:
                    outcome.done.append(name)
            damage = [str(w.message) for w in caught if issubclass(w.category, DamagedVideoWarning)]
            if damage and str(path) not in outcome.failed:
                outcome.damaged[str(path)] = damage[0].removeprefix(f"{path}: ")
            report(size, name)
    return outcome


def find_videos(source: str | Path) -> dict[str, Path]:
    """Videos at or below ``source`` by name (relative path without suffix), sorted.

    Raises:
        VideoError: nothing there, or two videos with one name (``a.mp4`` and ``a.avi``).
    """
    source = Path(source)
    if source.is_file():
        return {video_name(as_text(source.name)): source}
    if not source.is_dir():
        raise VideoError("no such file or folder", where=source)
    found: dict[str, Path] = {}
    for path in sorted(source.rglob("*")):
        if path.suffix.lower() not in VIDEO_SUFFIXES or not path.is_file() or path.name.startswith("."):
            continue
        name = video_name(as_text(path.relative_to(source).as_posix()))
        if name in found:
            raise VideoError(f"has the same name as {found[name].name}", where=path, cure="rename one of the two")
        found[name] = path
    if not found:
        raise VideoError("holds no videos", where=source, cure=f"known are: {', '.join(sorted(VIDEO_SUFFIXES))}")
    return found


def as_text(name: str) -> str:
    """A file name as UTF-8 can hold it; result files could not take the bytes of a foreign encoding."""
    return os.fsencode(name).decode("utf-8", "replace")


def _finished(path: Path, video: Path, spec: EncoderSpec) -> bool:
    """Whether ``path`` holds what would be made of ``video`` now.

    Raises:
        OutputError: it holds features of another encoder or another sampling.
    """
    if not path.is_file() or path.stat().st_mtime < video.stat().st_mtime:
        return False  # the video was replaced since
    try:
        features = read_features(path)
    except KinoscopeError:
        return False  # broken: make it again
    time = features.time
    sampled = (time.fps, time.stride, time.clip_length) == (spec.fps, spec.stride, spec.clip_length)
    made, wanted = (features.encoder, features.weight_hash), (spec.tag, spec.weights.hash)
    if not (sampled and features.width == spec.width and same_encoder(made, wanted)):
        tool = features.encoder or "another tool"
        raise OutputError(
            f"holds features of {tool} ({time.fps:g} fps, stride {time.stride:g}, clips of {time.clip_length:g})",
            where=path,
            cure="choose another --out, or add --overwrite",
        )
    return True
