"""Clips of a library of videos: any stretch of any video, in several streams, from the cache or decoded as asked."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import OptionError
from ..video.flow.encoding import FlowSettings
from ..video.sampling import IntArray
from ..video.scaling import Frame
from ..video.streams import Stream, require_stream
from .cache import Cached, Recipe
from .footage import Effort, Footage, decode_rows, take_rows
from .library import Library, LibraryBuilder

Short = Literal["still", "wrap"]
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
    """A video with fewer samples is left out; by default half a clip."""
    short: Short = "still"
    """What a clip of a video that is shorter shows: it begins by standing ``still``; or goes on and then begins again
    (``wrap``)."""
    crop: float = 1.0
    """Side of the square that a network sees where nothing is random, as a share of the short side."""

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
        self.cache, self._given = cache, (dict(groups or {}), dict(labels or {}))
        flow = options.flow if "flow" in streams else None
        if flow is not None and flow.algorithm == "motion-vectors" and cache is None and flow_folder is None:
            cure = "give a cache, or the folder that kinoscope flow made"
            raise OptionError("motion vectors are read along whole files, not frame by frame", cure=cure)
        self.recipe = Recipe(options.fps, options.short_side, flow, flow_folder)
        self.effort = Effort()
        """Where the seconds of this process went."""
        self._library: Library | None = None

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
        builder = LibraryBuilder(self.videos, self.recipe, self.cache, self.options.least, workers, quiet)
        self._library = builder.build()
        names, (groups, labels) = self._library.names, self._given
        self._sources = np.unique([groups.get(name, name) for name in names], return_inverse=True)[1].astype(np.int64)
        self._classes = sorted({labels[name] for name in names if name in labels})
        self._labels = np.asarray([self._number(labels.get(name)) for name in names], np.int64)

    # ---- what is there -------------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """Of the videos, in order."""
        return self._known().names

    @property
    def failed(self) -> dict[Path, str]:
        """Videos that are left out, and why."""
        return self._known().failed

    @property
    def damaged(self) -> dict[Path, str]:
        """Videos of which a part is missing; the frame before stands in for it."""
        return self._known().damaged

    @property
    def sources(self) -> IntArray:
        """A number for each source. Shape: [number of videos]."""
        self._known()
        return self._sources

    @property
    def classes(self) -> list[str]:
        """Of the videos that are there, sorted; empty without labels."""
        self._known()
        return self._classes

    @property
    def labels(self) -> IntArray:
        """Which of ``classes`` each video is, -1 where that is not known. Shape: [number of videos]."""
        self._known()
        return self._labels

    def __len__(self) -> int:
        return len(self._known().names)

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
            For each span its streams, whole frames at the decoded size; not to be written to. Shape: [T, h, w, 3],
            uint8.

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
        return [{stream: _picked(frames[stream], rows[stream], each) for stream in streams} for each, streams in wanted]

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
        if self.options.short == "wrap":
            return rows[(start + np.arange(length)) % len(rows)]
        first = start - max(0, length - len(rows))
        return rows[np.maximum(np.arange(first, first + length), 0)]

    def _number(self, label: str | None) -> int:
        return -1 if label is None else self._classes.index(label)

    def _checked(self, streams: Sequence[Stream]) -> Sequence[Stream]:
        for stream in streams:
            if stream not in self.streams:
                cure = f"announced were {', '.join(self.streams)}"
                raise OptionError(f"stream {stream!r} was not announced", cure=cure)
        return streams

    def _known(self) -> Library:
        if self._library is None:
            self.prepare()
        assert self._library is not None
        return self._library

    def _at(self, i: int) -> Footage | Cached:
        return self._known().found[i]


def _picked(frames: Frame, rows: IntArray, wanted: IntArray) -> Frame:
    """The frames of ``wanted`` rows, of those at hand; not copied where that is all of them. Shape: [T, h, w, 3]."""
    return frames if np.array_equal(rows, wanted) else frames[np.searchsorted(rows, wanted)]
