"""Frames of a file that is still being written, or of a stream on standard input; nothing is kept of what is past."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from ..errors import VideoError
from .opening import decode_threads, demux, reason

_REORDERED, _JUMP = 1.0, 3600.0  # seconds that time stamps may go back, and ahead, without being a jump
_NAP = 0.05  # seconds between two looks at a file that has not grown
_GROWS = "record as MPEG-TS, Matroska or fragmented MP4: an ordinary MP4 can only be read when it is complete"


class _Growing:
    """A file whose end is not believed until it has not grown for a while; what is read is read once."""

    def __init__(self, file: BinaryIO, patience: float, stop: Callable[[], bool]) -> None:
        self._file, self._patience, self._stop = file, patience, stop

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes; none at the true end."""
        waited = 0.0
        while not (found := self._file.read(count)):
            if waited >= self._patience or self._stop():
                return b""
            time.sleep(_NAP)
            waited += _NAP
        return found


def follow(
    source: Path,
    *,
    every: float,
    patience: float,
    skip: Callable[[], int] = lambda: 0,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[av.VideoFrame, float, float]]:
    """Yield (frame as decoded, its time, when it arrived) of candidates ``every`` seconds apart, as they come.

    A stream cannot be jumped in: what lies between candidates is read, but frames that nothing depends on are not
    decoded.

    Args:
        source: a file, a pipe, or ``-`` for standard input.
        every: seconds of the stream between candidates.
        patience: seconds without anything new after which a growing file counts as complete.
        skip: asked after each candidate: how many of the next ones are not wanted.
        stop: asked now and then whether to end.

    Yields:
        Times in seconds from the first frame, which go on where a recorder's clock starts anew; arrivals, when a frame
        had been decoded, by :func:`time.perf_counter`.

    Raises:
        VideoError: it cannot be opened, or holds no video that can be read as it comes.
    """
    if str(source) != "-" and not source.exists():
        raise VideoError("there is no such file", where=source, cure="check the path, or start the recording first")
    if source.is_dir():
        raise VideoError("is a folder, not a video", where=source, cure="name the file that is being written")
    try:
        raw: BinaryIO = sys.stdin.buffer if str(source) == "-" else source.open("rb")
    except OSError as error:
        raise VideoError(f"cannot be opened ({reason(error)})", where=source, cure="check the path") from error
    try:
        yield from _frames(_Growing(raw, patience, stop), source, every, skip, stop)
    finally:
        if raw is not sys.stdin.buffer:
            raw.close()


def _frames(
    raw: _Growing, source: Path, every: float, skip: Callable[[], int], stop: Callable[[], bool]
) -> Iterator[tuple[av.VideoFrame, float, float]]:
    try:
        container = av.open(raw, metadata_errors="replace")
    except (FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"cannot be read as it comes ({reason(error)})", where=source, cure=_GROWS) from error
    with container:
        if not container.streams.video:
            raise VideoError("holds no video stream", where=source, cure="choose a stream with pictures")
        stream = container.streams.video[0]
        stream.codec_context.thread_count = decode_threads(None, stream)
        clock, due, seen = _Clock(), -1.0, False
        for packet in _packets(container, stream):
            if stop():
                return
            if packet.pts is not None and packet.time_base is not None:
                early = clock.at(float(packet.pts * packet.time_base)) < due
                stream.codec_context.skip_frame = "NONREF" if early else "DEFAULT"
            try:
                frames = packet.decode()
            except (FFmpegError, OSError, ValueError):
                continue  # damage passes, the stream goes on
            for frame in frames:
                if frame.time is None:
                    continue
                seen, moment = True, clock.read(frame.time)
                if moment >= due:
                    yield frame, moment, time.perf_counter()
                    due = moment + every * (1 + skip())
        if not seen and not stop():
            raise VideoError("no frame can be decoded as it comes", where=source, cure=_GROWS)


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet[VideoStream]]:
    """All packets; what breaks off ends the stream."""
    try:
        yield from demux(container, stream)
    except (FFmpegError, OSError, ValueError):
        return


class _Clock:
    """Seconds of a stream; where its time stamps jump, back or far ahead, they go on from the last frame."""

    def __init__(self) -> None:
        self._shift: float | None = None
        self._last = 0.0

    def at(self, stamp: float) -> float:
        """What a time stamp would be read as, if no jump is before it."""
        return 0.0 if self._shift is None else stamp - self._shift

    def read(self, stamp: float) -> float:
        """The time of the next frame."""
        if self._shift is None:
            self._shift = stamp
        if not -_REORDERED <= stamp - self._shift - self._last <= _JUMP:
            self._shift = stamp - self._last
        self._last = max(self._last, stamp - self._shift)
        return stamp - self._shift
