"""Opening a file as a video: which stream, how many threads, where its clock starts, and clear errors."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Stream
from av.video.stream import VideoStream

from ..errors import OptionError, VideoError

MAX_SIDE = 16384
_THREADS = "KINOSCOPE_DECODE_THREADS"
NOT_A_VIDEO = "check that the file is a video and was copied completely; re-encode it if a player can show it"


# Frames of these, unless large, are decoded faster than threads hand them over (a third faster with one, measured).
_QUICK = frozenset({"flv1", "gif", "h263", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v3", "wmv1", "wmv2"})
_LARGE = 640 * 480


def decode_threads(asked: int | None = None, stream: VideoStream | None = None) -> int:
    """How many codec threads a video gets: ``asked``, else $KINOSCOPE_DECODE_THREADS, else what suits the process.

    That is 1 in worker processes, which share the cores already, on a single core, and for small frames of a simple
    codec; else 3: two that decode while the third waits for frames to be taken.

    Raises:
        OptionError: when the number is not a whole number from 1 on.
    """
    text = os.environ.get(_THREADS, "").strip()
    if asked is not None:
        if asked < 1:
            raise OptionError(f"threads is {asked}, but must be 1 or more")
        return asked
    if text:
        if not text.isdecimal() or int(text) < 1:
            raise OptionError(f"{_THREADS} is {text!r}, but must be a whole number from 1 on")
        return int(text)
    cores = usable_cores()
    quick = stream is not None and stream.codec_context.name in _QUICK and stream.width * stream.height <= _LARGE
    return 1 if quick or cores == 1 or multiprocessing.parent_process() is not None else 3


def open_container(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open a file and choose its video stream.

    Raises:
        VideoError: when there is no such file, it is empty, no video, holds no picture stream, or one beyond
            ``MAX_SIDE`` pixels.
    """
    if not path.exists():
        raise VideoError("there is no such file", where=path, cure="check the path")
    if path.is_dir():
        raise VideoError("is a folder, not a video", where=path, cure="name the video files in it")
    if path.is_file() and path.stat().st_size == 0:
        raise VideoError("is empty (0 bytes)", where=path, cure="copy or download it again")
    try:
        # Names and comments in odd encodings are no reason to refuse the pictures.
        container = av.open(str(path.absolute()), metadata_errors="replace")  # "a: b.mp4" would be a protocol
    except (FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"cannot be opened as a video ({reason(error)})", where=path, cure=NOT_A_VIDEO) from error
    try:
        return container, _video_stream(container, path)
    except BaseException:
        container.close()
        raise


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    cover = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        kind = "only sound" if container.streams.audio else "no pictures"
        raise VideoError(f"holds {kind}: there is no video stream", where=path, cure="choose a file with pictures")
    known = [stream for stream in streams if stream.codec_context is not None]
    if not known:
        raise VideoError("is coded in a way that this FFmpeg cannot decode", where=path, cure="re-encode it as H.264")
    stream = max(known, key=lambda stream: stream.width * stream.height)
    if max(stream.width, stream.height) > MAX_SIDE:
        problem = f"frames of {stream.width}x{stream.height} pixels are beyond the bound of {MAX_SIDE} a side"
        raise VideoError(problem, where=path, cure="the header may be damaged; scale the video down otherwise")
    return stream


def demux(container: InputContainer, *streams: Stream) -> Iterator[av.Packet[Any]]:
    """All packets of ``streams``; when another turns up in mid-file (broadcasts), PyAV stumbles and has to go on."""
    while True:
        try:
            yield from container.demux(*streams)
            return
        except IndexError:
            continue


def reason(error: BaseException) -> str:
    """What FFmpeg says is wrong, in its own few words."""
    return str(getattr(error, "strerror", None) or error).lower()


def has_display_times(container: InputContainer) -> bool:
    """Whether packets say when their frame is *shown*. AVI and MPEG program streams know only the order of decoding;
    FFmpeg guesses the rest, and guesses wrong where frames are reordered."""
    return not {"avi", "mpeg"} & set(container.format.name.split(","))


def origin_of(container: InputContainer, stream: VideoStream) -> Fraction:
    """When the container starts, in seconds on the stream's clock; all our times count from there."""
    base = stream.time_base or Fraction(1, 1_000_000)
    own = None if stream.start_time is None else stream.start_time * base
    if container.start_time is None:
        return own or Fraction(0)
    start = Fraction(container.start_time, 1_000_000)  # FFmpeg rounds it to microseconds: prefer the exact value
    return own if own is not None and abs(own - start) <= Fraction(3, 2_000_000) else start


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
