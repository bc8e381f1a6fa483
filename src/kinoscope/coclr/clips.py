"""Clips of a library of videos: any stretch of any video, in several streams, from the cache or decoded as asked."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.feature_store import feature_path
from ..errors import KinoscopeError, OptionError, OutputError, VideoError
from ..files import require_writable
from ..progress import progress
from ..video.flow.encoding import FlowSettings
from ..video.sampling import IntArray
from ..video.scaling import Frame
from ..video.streams import Stream, require_stream
from .clip_cache import Cached, Recipe, find_cached, size_of, write_cached
from .footage import Effort, Footage, decode_rows, survey, take_rows
from .parallel import in_parallel

Span = tuple[int, Sequence[Stream]]
"""First sample of a clip, and the streams wanted of it."""


@dataclass(frozen=True)
class ClipOptions:
    """What a clip is."""

    frames: int = 32
    """T, samples in a clip."""
    fps: float = 25.0
    """Samples per second, whatever the rate of the file."""
    size: int = 128
    """Side of what networks see, in pixels."""
    decode_size: int | None = None
    """Short side of decoded frames, from which views are cropped; by default 4/3 of the size, an even number."""
    flow: FlowSettings = FlowSettings()
    """How motion is measured."""
    least_frames: int | None = None
    """A video with fewer samples is left out; by default half a clip. Clips of one that is shorter begin by standing
    still."""

    def __post_init__(self) -> None:
        for name in ("frames", "size", "decode_size", "least_frames"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(f"{name} is {value}, but must be at least 1")
        if not 0 < self.fps < math.inf:
            raise OptionError(f"fps is {self.fps}, but must be a positive number of samples per second")
        if self.decode_size is not None and self.decode_size < self.size:
            cure = "raise decode_size, or leave it out"
            raise OptionError(f"decode_size {self.decode_size} is below size {self.size}", cure=cure)

    @property
    def short_side(self) -> int:
        """Of decoded frames, in pixels."""
        return self.decode_size or 2 * round(self.size * 2 / 3)

    @property
    def least(self) -> int:
        """Samples that a video must have."""
        return self.least_frames or (self.frames + 1) // 2


class Clips:
    """A library of videos, cut into clips wherever one likes.

    With a ``cache`` every video is decoded once, by :meth:`prepare`, and then read from disk; without one only the
    frames of each clip are decoded, each time. All streams of all clips asked for at once come from one decode.

    A video that cannot be read is left out and told in ``failed``. Loader processes may share a library.

    Args:
        videos: files by name (see :func:`kinoscope.encoders.folder.find_videos`).
        streams: all that will be asked for; the cache holds what they need.
        options: what a clip is.
        cache: folder for decoded videos: about 3 bytes per pixel and sample, with flow 5.
        flow_folder: where ``kinoscope flow`` put its files; motion is read from them instead of being computed.
        labels: class by name, where it is known.
        groups: which videos count as one source (parts of one recording), by name; by default each is its own.

    Raises:
        OptionError: an unknown stream, or motion vectors without files to take them from.
    """

    def __init__(
        self,
        videos: Mapping[str, Path],
        streams: Sequence[Stream],
        options: ClipOptions = ClipOptions(),
        *,
        cache: Path | None = None,
        flow_folder: Path | None = None,
        labels: Mapping[str, str] | None = None,
        groups: Mapping[str, str] | None = None,
    ) -> None:
        for stream in streams:
            require_stream(stream)
        self.videos, self.streams, self.options = dict(videos), tuple(streams), options
        self.cache, self._class_of, self._group_of = cache, dict(labels or {}), dict(groups or {})
        flow = options.flow if "flow" in streams else None
        self.recipe = Recipe(options.fps, options.short_side, flow, flow_folder)
        self.effort = Effort()
        """Where the seconds of this process went."""
        self.failed: dict[Path, str] = {}
        """Videos that are left out, and why."""
        self.damaged: dict[Path, str] = {}
        """Videos of which a part is missing; the frame before stands in for it."""
        self._found: list[tuple[str, Footage | Cached]] | None = None

    def prepare(self, workers: int = 0, *, quiet: bool = False) -> None:
        """Look at every video and, with a cache, decode those that are not in it yet.

        What was done before is kept: a video is done again only if its file, or what is wanted of it, has changed.
        Happens by itself, in one process, when the library is first used.

        Args:
            workers: processes; 0 works in this one.
            quiet: show no progress.

        Raises:
            VideoError: no video is left.
            OutputError: the cache cannot be written, or the disk has too little space for it.
        """
        self.failed, self.damaged = {}, {}
        found = self._find(workers, quiet)
        if self.cache is not None:
            found |= self._fill(found, workers, quiet)
        usable = {name for name, each in found.items() if self._usable(name, each)}
        self._found = [(name, found[name]) for name in self.videos if name in usable]
        if not self._found:
            path, problem = next(iter(self.failed.items()), (None, "there are no videos"))
            raise VideoError(f"no video is left: {problem}", where=path, cure="see: kinoscope probe")

    # ---- what is there -------------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """Of the videos, in order."""
        return [name for name, _ in self._known()]

    @property
    def sources(self) -> IntArray:
        """A number for each source. Shape: [number of videos]."""
        groups = [self._group_of.get(name, name) for name in self.names]
        return np.unique(groups, return_inverse=True)[1].astype(np.int64)

    @property
    def classes(self) -> list[str]:
        """Of the videos that are there, sorted; empty without labels."""
        return sorted({self._class_of[name] for name in self.names if name in self._class_of})

    @property
    def labels(self) -> IntArray:
        """Which of ``classes`` each video is, -1 where that is not known. Shape: [number of videos]."""
        number = {label: k for k, label in enumerate(self.classes)}
        return np.asarray([number.get(self._class_of.get(name, ""), -1) for name in self.names], np.int64)

    def __len__(self) -> int:
        return len(self._known())

    def samples(self, i: int) -> int:
        """How many samples video ``i`` has."""
        return len(self._at(i).rows)

    def starts(self, i: int) -> int:
        """How many samples of video ``i`` a clip can begin at: at least 1."""
        return max(1, self.samples(i) - self.options.frames + 1)

    def frame_size(self, i: int) -> tuple[int, int]:
        """Height and width of the decoded frames of video ``i``, in pixels."""
        return self._at(i).size

    # ---- clips ---------------------------------------------------------------------------------------------------

    def read(self, i: int, spans: Sequence[Span]) -> list[dict[Stream, Frame]]:
        """Clips of video ``i``, all from one decode.

        Args:
            i: number of the video.
            spans: of each clip the first sample, below ``starts(i)``, and the streams wanted of it. The clip of a
                video that is shorter begins with its first frame, repeated.

        Returns:
            For each span its streams, whole frames at the decoded size. Shape: [T, h, w, 3], uint8.

        Raises:
            OptionError: a clip that would begin elsewhere, or a stream that was not announced.
            VideoError: the file, or its copy in the cache, is gone.
        """
        found = self._at(i)
        wanted = [(self._clip_rows(i, start), self._checked(streams)) for start, streams in spans]
        rows: dict[Stream, IntArray] = {}
        for stream in dict.fromkeys(stream for _, streams in wanted for stream in streams):
            rows[stream] = np.unique(np.concatenate([each for each, streams in wanted if stream in streams]))
        frames = self._rows(found, rows) if rows else {}
        return [
            {stream: frames[stream][np.searchsorted(rows[stream], each)] for stream in streams}
            for each, streams in wanted
        ]

    def _rows(self, found: Footage | Cached, rows: dict[Stream, IntArray]) -> dict[Stream, Frame]:
        if isinstance(found, Footage):
            return decode_rows(found, rows, self.options.flow, self.effort)
        return {stream: self._cached_rows(found, stream, each) for stream, each in rows.items()}

    def _cached_rows(self, cached: Cached, stream: Stream, rows: IntArray) -> Frame:
        def pictures(wanted: IntArray) -> Frame:
            begin = time.perf_counter()
            frames = cached.read("rgb", wanted)
            self.effort.decoding += time.perf_counter() - begin
            return frames

        if stream != "flow":
            return take_rows(stream, rows, cached.count, pictures, self.options.flow, self.effort)
        begin = time.perf_counter()
        motion = cached.read("flow", rows)
        self.effort.decoding += time.perf_counter() - begin
        return motion

    def _clip_rows(self, i: int, start: int) -> IntArray:
        """The row that each sample of a clip shows. Shape: [T]."""
        if not 0 <= start < self.starts(i):
            problem = f"a clip cannot begin at sample {start}: it must be from 0 to {self.starts(i) - 1}"
            raise OptionError(problem, where=self.names[i])
        rows, length = self._at(i).rows, self.options.frames
        first = start - max(0, length - len(rows))
        return rows[np.maximum(np.arange(first, first + length), 0)]

    def _checked(self, streams: Sequence[Stream]) -> Sequence[Stream]:
        for stream in streams:
            if stream not in self.streams:
                cure = f"announced were {', '.join(self.streams)}"
                raise OptionError(f"stream {stream!r} was not announced", cure=cure)
        return streams

    # ---- looking, and filling the cache --------------------------------------------------------------------------

    def _known(self) -> list[tuple[str, Footage | Cached]]:
        if self._found is None:
            self.prepare()
        assert self._found is not None
        return self._found

    def _at(self, i: int) -> Footage | Cached:
        return self._known()[i][1]

    def _usable(self, name: str, found: Footage | Cached) -> bool:
        least = self.options.least
        if len(found.rows) >= least:
            return True
        needed = f"{least} are needed ({least / self.options.fps:.2f} s)"
        self.failed[self.videos[name]] = f"is too short: it has {len(found.rows)} samples, {needed}"
        return False

    def _find(self, workers: int, quiet: bool) -> dict[str, Footage | Cached]:
        """Every video that can be read: from the cache, or as a plan of what to decode."""
        found: dict[str, Footage | Cached] = {}
        jobs = {}
        for name, path in self.videos.items():
            cached = self._cached(name)
            if cached is not None:
                found[name] = cached
            else:
                jobs[name] = (path, self.options.fps, self.options.short_side)
        with progress("Looking at videos", len(jobs) or None, quiet=quiet or not jobs) as report:
            for name, footage in in_parallel(survey, jobs, workers):
                report(1, name)
                if isinstance(footage, KinoscopeError):
                    self.failed[self.videos[name]] = footage.problem
                else:
                    found[name] = footage
                    self._note_damage(name, footage.damage)
        return found

    def _cached(self, name: str) -> Cached | None:
        if self.cache is None:
            return None
        try:
            mark = self.recipe.mark(self.videos[name], name)
        except OSError:
            return None  # told when it is looked at
        return find_cached(feature_path(self.cache, name), mark)

    def _fill(self, found: Mapping[str, Footage | Cached], workers: int, quiet: bool) -> dict[str, Cached]:
        """Decode what is not in the cache yet."""
        assert self.cache is not None
        todo = {name: each for name, each in found.items() if isinstance(each, Footage) and self._usable(name, each)}
        self._require_space(sum(size_of(each, self.recipe) for each in todo.values()))
        jobs = {name: (feature_path(self.cache, name), name, each, self.recipe) for name, each in todo.items()}
        for path, *_ in jobs.values():
            require_writable(path)
        filled = {}
        total = sum(len(each.positions) for each in todo.values())
        with progress("Decoding videos", total or None, quiet=quiet or not jobs) as report:
            for name, damage in in_parallel(write_cached, jobs, workers):
                report(len(todo[name].positions), name)
                if isinstance(damage, OutputError):
                    raise damage  # the others could not be written either
                if isinstance(damage, KinoscopeError):
                    self.failed[self.videos[name]] = damage.problem
                    continue
                self._note_damage(name, damage)
                filled[name] = Cached(jobs[name][0], todo[name].rows, len(todo[name].positions), todo[name].size)
        return filled

    def _note_damage(self, name: str, damage: str | None) -> None:
        if damage is not None:
            self.damaged[self.videos[name]] = damage

    def _require_space(self, needed: int) -> None:
        assert self.cache is not None
        folder = next(each for each in (self.cache, *self.cache.absolute().parents) if each.exists())
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise OutputError(
                f"the decoded videos need {needed / 1e9:.1f} GB, but the disk has {free / 1e9:.1f} GB left",
                where=self.cache,
                cure="choose a cache on another disk, a smaller size or fps; or do without: each clip is decoded then",
            )
