"""A video as its users see it: true times, any frame exactly, streams and clips by time."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from ..errors import DamagedVideoWarning, OptionError, VideoError
from .access import FramePicker, fetch
from .decoder import Decoder
from .index import FrameIndex, build_index
from .opening import decode_threads, origin_of
from .sampling import FloatArray, IntArray, Tail, clip_starts, displayed, sample_times, time_span
from .scaling import Frame, Scaler, Size, layout

_ABANDONED: list[Decoder] = []
"""Decoders that came into this process by fork. Their threads did not, so that closing them would wait for ever."""


@dataclass(frozen=True)
class FrameBatch:
    """Frames with their times; unpacks as ``frames, times = batch``."""

    frames: Frame
    """uint8 RGB. Shape: [T, H, W, 3]."""
    times: FloatArray
    """Timestamp of each frame, in seconds from the container's start. Shape: [T]."""

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        return iter((self.frames, self.times))

    def __len__(self) -> int:
        return len(self.frames)


def open_video(path: str | Path, *, threads: int | None = None) -> Video:
    """Open a video file and decode its first frame.

    Args:
        path: the file: anything that FFmpeg reads, animated GIF included.
        threads: codec threads; by default $KINOSCOPE_DECODE_THREADS, else what suits the file and the process: 1 to 3.

    Raises:
        VideoError: when the file is missing, empty, a folder, no video, only sound, or without a frame that decodes.
        OptionError: when ``threads`` is below 1.
    """
    return Video(path, threads=threads)


class Video:
    """One video file. Use :func:`open_video`; ``with`` closes it at once, garbage collection in the end.

    Frames are uint8 RGB, turned upright. Pixels are taken as square, as everywhere in this field; ``pixel_aspect``
    says when they are not. Times are seconds from the container's start, as stored: never a frame number over a rate.

    Wherever ``size`` is asked for: ``None`` gives every pixel, an int S the central S x S square after scaling the
    short side to S, a pair exactly (height, width).

    Several streams may be read in turn; share a video between processes, not between threads.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        self.path = Path(path)
        decode_threads(threads)  # complains of an impossible number before anything is opened
        self._threads = threads
        self._closed, self._process = False, os.getpid()
        self._index: FrameIndex | None = None
        self._lost: set[int] = set()
        self.damage: str | None = None
        """What is known to be missing or broken so far; a pass over the whole file knows all."""
        self._idle: Decoder | None = Decoder(self.path, self._threads)
        stream, first = self._idle.stream, self._idle.current
        assert first is not None
        self.codec: str = stream.codec_context.name
        self.has_audio: bool = bool(self._idle.container.streams.audio)
        self.rotation: int = round(-first.rotation / 90) % 4 * 90
        """Clockwise turn that was applied to the frames, in degrees: 0, 90, 180 or 270."""
        self.pixel_aspect = float(stream.sample_aspect_ratio or 1)
        """Width of a stored pixel over its height; 1 for square pixels."""
        self.stored_size = (first.height, first.width)
        """Height and width of frames as they lie in the file, before they are turned upright, in pixels."""
        self.size = layout(self.stored_size, self.rotation, None).size
        """Height and width of upright frames, in pixels."""
        self._origin = origin_of(self._idle.container, stream)

    # ---- what is known of the whole file -------------------------------------------------------------------------

    @property
    def times(self) -> FloatArray:
        """When each frame appears, in seconds, ascending. Shape: [N]."""
        return self._indexed().times

    @property
    def duration(self) -> float:
        """When the last frame disappears, in seconds from the container's start."""
        return self._indexed().end

    @property
    def fps(self) -> float:
        """Frames per second: the exact rate where it is constant, else the average."""
        return self._indexed().fps

    @property
    def variable_rate(self) -> bool:
        """Whether the frames do not stand on a regular grid."""
        return self._indexed().variable_rate

    @property
    def keyframes(self) -> IntArray:
        """Positions of the frames at which decoding can start; empty where the container does not allow it."""
        return self._indexed().keyframes

    def __len__(self) -> int:
        return len(self._indexed().times)

    # ---- frames by time and by position --------------------------------------------------------------------------

    def frames_by_index(self, indices: npt.ArrayLike, *, size: Size = None) -> FrameBatch:
        """The frames at the given positions, in the order asked, repeats included.

        Shape: frames [T, H, W, 3], times [T].

        Raises:
            OptionError: when a position is not a whole number from 0 to ``len(video) - 1``.
        """
        positions = np.atleast_1d(np.asarray(indices))
        if positions.ndim != 1 or (positions.size and positions.dtype.kind not in "iu"):
            raise OptionError(
                f"frame positions must be a list of whole numbers, not {positions.dtype} {positions.shape}"
            )
        positions = positions.astype(np.int64)
        outside = positions[(positions < 0) | (positions >= len(self))]
        if outside.size:
            raise OptionError(
                f"there is no frame {outside[0]}: the video has frames 0 to {len(self) - 1}", where=self.path
            )
        wanted, rows = np.unique(positions, return_inverse=True)
        height, width = layout(self.stored_size, self.rotation, size).size
        frames = np.empty((len(positions), height, width, 3), np.uint8)  # [T, H, W, 3]
        order = np.argsort(rows, kind="stable")
        bounds = np.searchsorted(rows[order], np.arange(len(wanted) + 1))
        for number, frame in enumerate(self._fetch(wanted, size)):
            frames[order[bounds[number] : bounds[number + 1]]] = frame
        return FrameBatch(frames, self.times[positions])

    def frames_at(self, seconds: npt.ArrayLike, *, size: Size = None) -> FrameBatch:
        """The frame on display at each moment: the last whose time has come. Before the first frame: the first.

        Timestamps may count as up to half a tick (at most 0.5 ms) earlier, because containers round them. The batch
        carries the frames' own times. Shape: frames [T, H, W, 3], times [T].

        Raises:
            OptionError: when a moment is not a number.
        """
        moments = np.atleast_1d(np.asarray(seconds, dtype=np.float64))
        if moments.ndim != 1 or np.isnan(moments).any():
            raise OptionError("moments must be a list of seconds without NaN", where=self.path)
        return self.frames_by_index(self.positions_at(moments), size=size)

    def positions_at(self, seconds: FloatArray) -> IntArray:
        """Position of the frame on display at each moment, without decoding (see :meth:`frames_at`). Shape: [N]."""
        index = self._indexed()
        return displayed(index.times, seconds, tolerance=index.tolerance)

    @contextmanager
    def picker(self) -> Iterator[FramePicker]:
        """Lend what gives single frames as they were decoded, one position at a time, for who decides as it goes.

        Positions ascend; a frame that cannot be decoded is replaced by the one before it, and told as damage.
        """
        index = self._indexed()
        with self._decoder() as decoder:
            yield FramePicker(decoder, index, self._lost)
        self._report_lost()

    # ---- frames in a row -----------------------------------------------------------------------------------------

    def stream(
        self, *, size: Size = None, start: float = 0.0, end: float | None = None, fps: float | None = None
    ) -> Iterator[tuple[Frame, float]]:
        """Yield (frame [H, W, 3], its time in seconds) one after another; memory does not grow with the video.

        Args:
            size: see the class.
            start: first moment, in seconds: the stream begins with the frame on display then.
            end: the stream stops before this moment; ``None`` goes to the end.
            fps: sample by time: the k-th frame is the one on display at ``start + k / fps``. Frames are repeated or
                left out as needed; those left out are not converted, and not even decoded where that is possible.
                ``None`` gives every frame.

        Raises:
            OptionError: for an empty or impossible span or rate.
        """
        if fps is None and start == 0 and end is None:
            return self._stream_all(size)
        return self._stream_positions(self._positions(start, end, fps), size)

    def clips(
        self,
        *,
        length: int = 16,
        stride: int = 8,
        size: Size = None,
        fps: float | None = None,
        start: float = 0.0,
        end: float | None = None,
        tail: Tail = "pad",
    ) -> Iterator[FrameBatch]:
        """Yield clips of ``length`` frames, ``stride`` sampled frames apart; unpack each as ``frames, times``.

        Sampling is by time (see :func:`kinoscope.video.sampling.sample_times`), so a clip lasts equally long whatever
        the rate of the file and however irregular it is. What remains at the end gives one more clip, filled up by
        repeating the last frame (``tail="pad"``), or is left out (``tail="drop"``); a video shorter than a clip always
        gives one. Times are those of the frames shown, repeated frames repeat theirs.

        Args:
            length: frames per clip.
            stride: sampled frames between the beginnings of neighbouring clips.
            size: see the class.
            fps: sampling rate; by default the video's own, which takes every frame once if it is constant.
            start: first moment, in seconds.
            end: last moment, in seconds; ``None`` means the end.
            tail: what becomes of the remainder.

        Raises:
            OptionError: for an impossible number.
        """
        variable = self.variable_rate
        positions = self._positions(start, end, self.fps if fps is None and variable else fps)
        return self._clips(
            positions, clip_starts(len(positions), length=length, stride=stride, tail=tail), length, size
        )

    def check(self) -> str | None:
        """Decode every frame, without converting any, and say what is missing or broken (``damage``)."""
        seen = sum(1 for _ in self._decode_all())
        if seen < len(self):
            self._report(f"{len(self) - seen} of {len(self)} frames cannot be decoded")
        return self.damage

    # ---- life ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Free the file; the video cannot be read any more. Closing twice is fine."""
        self._closed = True
        if self._idle is not None and self._process == os.getpid():
            self._idle.close()
        self._idle = None

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return Video, (self.path,)  # worker processes open their own, with their own number of threads

    def __repr__(self) -> str:
        height, width = self.size
        return f"<Video {str(self.path)!r} {self.codec} {width}x{height}>"

    # ---- inside --------------------------------------------------------------------------------------------------

    def _indexed(self) -> FrameIndex:
        if self._index is None:
            self._index = build_index(self.path)
            self._report(self._index.damage)
        return self._index

    def _positions(self, start: float, end: float | None, fps: float | None) -> IntArray:
        """Which frames a stream takes, repeats included. Shape: [N]."""
        if fps is not None:
            return self.positions_at(sample_times(self.duration, fps, start=start, end=end))
        start, end = time_span(self.duration, start, end)
        first, last = self.positions_at(np.asarray((start, end)))
        last -= last > first and self.times[last] >= end - self._indexed().tolerance
        return np.arange(first, last + 1)

    def _stream_all(self, size: Size) -> Iterator[tuple[Frame, float]]:
        scaler = Scaler(layout(self.stored_size, self.rotation, size))
        for frame, time in self._decode_all():
            yield scaler(frame), time

    def _decode_all(self) -> Iterator[tuple[av.VideoFrame, float]]:
        """Every frame that can be had, with its time; needs no index unless the container has no clock."""
        slots: dict[int, float] = {}
        with self._decoder() as decoder:
            decoder.rewind()
            if decoder.by_slot:
                slots = dict(zip(self._indexed().ticks.tolist(), self.times.tolist(), strict=True))
            while decoder.current is not None:
                time = slots.get(decoder.ticks) if slots else float(decoder.ticks * decoder.base - self._origin)
                if time is not None:
                    yield decoder.current, time
                decoder.advance()
            if (decoder.stream.frames or 0) > decoder.packets:
                self._indexed()  # says how much is missing, and from when on
            if decoder.errors:
                self._report(f"{len(decoder.errors)} packets cannot be decoded ({decoder.errors[0]})")

    def _stream_positions(self, positions: IntArray, size: Size) -> Iterator[tuple[Frame, float]]:
        wanted, repeats = np.unique(positions, return_counts=True)
        times = self.times[wanted].tolist()
        for frame, time, count in zip(self._fetch(wanted, size), times, repeats.tolist(), strict=True):
            for number in range(count):
                yield (frame if number == 0 else frame.copy()), time

    def _clips(self, positions: IntArray, starts: IntArray, length: int, size: Size) -> Iterator[FrameBatch]:
        frames: deque[tuple[Frame, float]] = deque()
        stream, first = self._stream_positions(positions, size), 0  # `first` is the sample at the front of the queue
        for begin in starts.tolist():
            while first < begin and (frames or next(stream, None)):
                first += 1
                if frames:
                    frames.popleft()
            while len(frames) < length and (item := next(stream, None)):
                frames.append(item)
            shown = [frames[min(k, len(frames) - 1)] for k in range(length)]
            yield FrameBatch(np.stack([frame for frame, _ in shown]), np.asarray([time for _, time in shown]))

    def _fetch(self, wanted: IntArray, size: Size) -> Iterator[Frame]:
        index, scaler = self._indexed(), Scaler(layout(self.stored_size, self.rotation, size))
        if not len(wanted):
            return
        with self._decoder() as decoder:
            for frame in fetch(decoder, index, wanted, self._lost):
                yield scaler(frame)
            self._report_lost()

    @contextmanager
    def _decoder(self) -> Iterator[Decoder]:
        """Lend the idle decoder, or a new one while that is in use, so that streams do not disturb each other."""
        if self._closed:
            raise VideoError("was closed before it was read", where=self.path, cure="read it inside its `with` block")
        if self._process != os.getpid():
            if self._idle is not None:
                _ABANDONED.append(self._idle)
            self._idle, self._process = None, os.getpid()
        decoder, self._idle = self._idle or Decoder(self.path, self._threads), None
        try:
            yield decoder
        finally:
            if self._idle is None and not self._closed:
                self._idle = decoder
            else:
                decoder.close()

    def _report_lost(self) -> None:
        if self._lost:
            times = self.times
            first = float(times[min(self._lost)])
            self._report(f"{len(self._lost)} of {len(times)} frames cannot be decoded, the first at {first:.3f} s")

    def _report(self, damage: str | None) -> None:
        """Remember damage; warn the first time."""
        if damage is None or self.damage is not None:
            return
        self.damage = damage
        warnings.warn(DamagedVideoWarning(f"{self.path}: {damage}"), stacklevel=4)
