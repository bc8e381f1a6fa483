"""What a command looks into, videos or features of them, and looking into each in turn."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from ..data.features import FeatureTime
from ..data.segments import VIDEO_SUFFIXES
from ..encoders.sampling import Sampling
from ..errors import KinoscopeError, OptionError, OutputError
from ..video.opening import usable_cores
from .outputs import named_features, named_videos
from .times import feature_time

FEATURE_SUFFIXES = (".safetensors", ".npy")

_SHOWN = 4  # failures beside the first, where there is nothing else to tell

Found = TypeVar("Found")
Report = Callable[[float], None]


@dataclass(frozen=True)
class Sources:
    """Files by the name of their video; either all are videos, or all hold features."""

    paths: dict[str, Path]
    are_features: bool = False
    time: FeatureTime | None = None
    """Of feature files that hold none."""

    def film(self, name: str) -> Path | None:
        """The video ``name``; none where only its features are at hand."""
        return None if self.are_features else self.paths[name]


def find_sources(files: Sequence[Path], sampling: Sampling) -> Sources:
    """The videos, or the features, that ``files`` name; folders are searched.

    Args:
        sampling: holds the time of feature files that have none, as given on the command line.

    Raises:
        OptionError: both videos and features.
        VideoError, FeatureError: see :func:`named_videos` and :func:`named_features`; features of a kind that is not
            read.
    """
    from ..data.feature_store import refuse_foreign

    kinds = {_holds_features(path) for path in files}
    if len(kinds) > 1:
        features = next(path for path in files if _holds_features(path))
        raise OptionError("holds features, others are videos", where=features, cure="give them to two commands")
    if kinds != {True}:
        for path in files:
            if not _holds_videos(path):
                refuse_foreign(path)
        return Sources(named_videos(files))
    if sampling.size is not None:
        raise OptionError("--size goes with videos, not with features", where=files[0], cure="leave it out")
    time = feature_time(sampling.fps, sampling.stride, sampling.clip_length)
    return Sources(named_features(files), True, time)


@dataclass(frozen=True)
class Jobs:
    """Several processes, each with an eye of its own and its share of the cores."""

    number: int
    make: Callable[[], Callable[[Path, Report], Any]]
    """Makes in each process what looks into a file; it travels there as a pickle."""

    def __post_init__(self) -> None:
        if self.number < 1:
            raise OptionError(f"jobs is {self.number}, but must be 1 or more", cure="leave it out for one at a time")


def look_into(
    sources: Sources, look: Callable[[Path, Report], Found], title: str, jobs: Jobs | None = None
) -> tuple[dict[str, Found], dict[Path, KinoscopeError]]:
    """What ``look`` found, by name, and the files that failed; these stop the others only if nothing else is left.

    Args:
        look: takes a path, and what is to be called with the seconds of video done; for features the latter is idle.
        title: of the progress bar.
        jobs: more than one: that many processes look, not this one.
    """
    from ..progress import progress

    sizes: dict[str, float] = {}
    failed: dict[Path, KinoscopeError] = {}
    for name, path in sources.paths.items():
        try:
            sizes[name] = 1.0 if sources.are_features else _seconds(path)
        except KinoscopeError as error:
            failed[path] = error
    found: dict[str, Found] = {}
    with progress(title, sum(sizes.values())) as report:
        for name, result in _results(sources, list(sizes), look, report, jobs):
            if isinstance(result, OutputError):
                raise result
            if isinstance(result, KinoscopeError):
                failed[sources.paths[name]] = result
            else:
                found[name] = result
            if sources.are_features or _several(jobs, sizes):
                report(sizes[name])
    found = {name: found[name] for name in sizes if name in found}  # in the order of the files
    if not found:
        first, *others = failed.values()
        problem = first.problem + "".join(f"; {error.where}: {error.problem}" for error in others[:_SHOWN])
        raise type(first)(problem, where=first.where, cure=first.cure)
    return found, failed


def _several(jobs: Jobs | None, sizes: Collection[str]) -> bool:
    return jobs is not None and jobs.number > 1 and len(sizes) > 1


def _results(
    sources: Sources,
    names: list[str],
    look: Callable[[Path, Report], Found],
    report: Report,
    jobs: Jobs | None,
) -> Iterator[tuple[str, Found | KinoscopeError]]:
    """What was found in each file, as it comes."""
    from ..clips.parallel import in_parallel

    if not _several(jobs, names):
        idle: Report = (lambda _seconds: None) if sources.are_features else report
        yield from in_parallel(look, {name: (sources.paths[name], idle) for name in names}, 1)
        return
    assert jobs is not None
    threads = max(1, usable_cores() // min(jobs.number, len(names)))
    make = pickle.dumps(jobs.make)
    yield from in_parallel(_look_elsewhere, {name: (make, threads, sources.paths[name]) for name in names}, jobs.number)


def _look_elsewhere(make: bytes, threads: int, path: Path) -> Any:
    """In another process: look into one file, and stop if nobody waits for it."""
    from ..clips.parallel import stop_if_unwanted

    return _eye(make, threads)(path, lambda _seconds: stop_if_unwanted())


@cache
def _eye(make: bytes, threads: int) -> Callable[[Path, Report], Any]:
    import torch

    torch.set_num_threads(threads)
    return pickle.loads(make)()  # type: ignore[no-any-return]


def _seconds(path: Path) -> float:
    from ..video import open_video

    with open_video(path) as video:
        return video.duration


def _holds_features(path: Path) -> bool:
    """Whether a path is a feature file, or a folder of such without videos."""
    if not path.is_dir():
        return path.suffix in FEATURE_SUFFIXES
    suffixes = _suffixes(path)
    return not suffixes.isdisjoint(FEATURE_SUFFIXES) and suffixes.isdisjoint(VIDEO_SUFFIXES)


def _holds_videos(path: Path) -> bool:
    return not _suffixes(path).isdisjoint(VIDEO_SUFFIXES)


def _suffixes(path: Path) -> set[str]:
    """Of a file, or of all that a folder holds."""
    return {each.suffix.lower() for each in (path.rglob("*") if path.is_dir() else [path])}
