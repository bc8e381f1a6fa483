"""Flow files: lossless video that any reader of video can open, whose pixels are encoded flow.

One frame per motion, in Matroska with FFV1 as ``bgr0``: the frame is the motion from a frame of the source to its next
one, and is shown when the source's frame is, to the millisecond that Matroska keeps (the first is shown from 0 on).
How it was measured, and of which file, stands as JSON in the comment of the container.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from ...errors import DamagedVideoWarning, OutputError, VideoError
from ...files import atomic_path
from ..opening import open_container
from ..reader import open_video
from .encoding import Flow, Picture, clipped, encode_flow
from .measure import FlowOptions, measure_flow

_FORMAT = 1
_TICK = Fraction(1, 1000)  # Matroska's
# Every frame on its own, so that clips from anywhere cost only themselves; Rice coding writes a third more bytes than
# range coding, and reads nearly twice as fast.
_FFV1 = {"level": "3", "g": "1", "coder": "rice"}
_SEGMENT = bytes.fromhex("18538067")  # Matroska's one element that holds all others (RFC 9559, section 5.1)


@dataclass(frozen=True)
class FlowStats:
    """What was found in a video, and what it took."""

    frames: int
    """Motions in the file."""
    seconds: float
    """Of video."""
    work_seconds: float
    """That it took to decode, measure and write."""
    bytes: int
    """Of the flow file."""
    mean_motion: float
    """Mean length of the motion, in pixels per frame."""
    still_share: float
    """Of motions which are constant: no motion is seen in them anywhere."""
    clipped_share: float
    """Of pixels whose motion is beyond the bound, and was cut to it."""


def flow_path(folder: str | Path, name: str) -> Path:
    """Where the flow of the video ``name`` lies."""
    return Path(folder) / f"{name}.mkv"


def write_flow(
    source: str | Path,
    target: str | Path,
    options: FlowOptions = FlowOptions(),
    *,
    report: Callable[[float], None] | None = None,
    threads: int | None = None,
) -> FlowStats:
    """Measure the flow of a video and write it, atomically; memory does not grow with the video.

    Args:
        report: called with the share of the video that was done since the last call.
        threads: codec threads for reading.

    Raises:
        VideoError, OptionError: see :func:`measure_flow`.
        OutputError: the file cannot be written.
    """
    begin, tally, last = perf_counter(), _Tally(options.bound), 0.0
    (seconds, fps), made = _length(source), _origin(Path(source), options)
    with atomic_path(target) as temporary:
        with _Writer(temporary, made, fps) as writer:
            for flow, time in measure_flow(source, options, threads=threads):
                writer.write(encode_flow(flow, options.bound), time)
                tally.add(flow)
                if report is not None:
                    report((time - last) / seconds)
                last = time
        size = temporary.stat().st_size
    return tally.stats(seconds, perf_counter() - begin, size)


def flow_options_of(path: str | Path) -> dict[str, Any]:
    """How a flow file was made: ``algorithm``, ``size``, ``bound``, ``format``, and of what: ``source_bytes``,
    ``source_mtime`` (in ns).

    Raises:
        VideoError: it cannot be opened, or is no flow file of ours.
    """
    path = Path(path)
    container, _ = open_container(path)
    with container:
        text = container.metadata.get("COMMENT") or container.metadata.get("comment") or ""
    try:
        made = json.loads(text)["kinoscope_flow"]
        if not isinstance(made, dict) or made["format"] > _FORMAT:
            raise ValueError
        FlowOptions(**{name: made[name] for name in ("algorithm", "size", "bound")})
    except (ValueError, KeyError, TypeError) as error:
        cure = "make it with kinoscope flow, or choose another folder"
        raise VideoError("is no flow file that this Kinoscope can read", where=path, cure=cure) from error
    return made


def is_finished(path: str | Path, source: str | Path, options: FlowOptions) -> bool:
    """Whether ``path`` is what :func:`write_flow` would make of ``source`` now; ``False`` if it must be made (again).

    Raises:
        OutputError: something else is there: flow that was made with other options, or no flow at all.
    """
    path, wanted = Path(path), _origin(Path(source), options)
    if not path.exists() or not path.stat().st_size:
        return False
    try:
        made = flow_options_of(path)
    except VideoError as error:
        cure = "choose another --out, or add --overwrite to replace it"
        raise OutputError("is in the way: it is no flow file of Kinoscope", where=path, cure=cure) from error
    if differing := [name for name in asdict(options) if made[name] != wanted[name]]:
        has = ", ".join(f"{name} {made[name]}" for name in differing)
        cure = "choose another --out, or add --overwrite"
        raise OutputError(f"holds flow that was made with other options: {has}", where=path, cure=cure)
    return made == wanted and _is_whole(path)


def _length(source: str | Path) -> tuple[float, float]:
    """Seconds, and frames per second; of damage warns who reads the frames."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedVideoWarning)
        with open_video(source) as video:
            return video.duration, video.fps


def _origin(source: Path, options: FlowOptions) -> dict[str, Any]:
    """What is noted in the file. Empty where there is no source: reading it will say so."""
    state = source.stat() if source.is_file() else None
    known = {} if state is None else {"source_bytes": state.st_size, "source_mtime": state.st_mtime_ns}
    return {"format": _FORMAT, **asdict(options), **known}


def _is_whole(path: Path) -> bool:
    """Whether a Matroska file is as long as its header says; copies break off."""
    with path.open("rb") as file:
        head = file.read(256)
    start = head.find(_SEGMENT) + len(_SEGMENT)
    length = head[start : start + 8]  # a one in eight bits, then the length in 56, when the file was finished
    whole = int.from_bytes(length[1:], "big") + start + len(length)
    return start >= len(_SEGMENT) and len(length) == 8 and length[0] == 1 and path.stat().st_size == whole


class _Writer:
    """A lossless video that grows by one encoded flow at a time."""

    def __init__(self, path: Path, made: dict[str, Any], fps: float) -> None:
        self._container = av.open(str(path), "w", format="matroska")
        self._container.metadata["comment"] = json.dumps({"kinoscope_flow": made})
        self._rate = Fraction(fps).limit_denominator(1001)
        self._stream: VideoStream | None = None
        self._reformatter = VideoReformatter()
        self._ticks = -1

    def write(self, encoded: Picture, time: float) -> None:
        """Add a frame that is shown from ``time`` on, in seconds. Shape: [H, W, 3]."""
        if self._stream is None:
            self._stream = self._container.add_stream("ffv1", rate=self._rate, options=dict(_FFV1))
            self._stream.height, self._stream.width, self._stream.pix_fmt = *encoded.shape[:2], "bgr0"
            self._stream.codec_context.time_base, self._stream.codec_context.thread_count = _TICK, 1
            time = 0.0  # a player shows the first frame before its time; a file that began later would count from there
        frame = av.VideoFrame.from_ndarray(encoded, format="rgb24")
        frame = self._reformatter.reformat(frame, format="bgr0")
        self._ticks = max(self._ticks + 1, round(time / _TICK))
        frame.pts, frame.time_base = self._ticks, _TICK
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and self._stream is not None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()


class _Tally:
    """Counts what flow is like."""

    def __init__(self, bound: float) -> None:
        self._bound = bound
        self._frames = self._still = 0
        self._motion = self._clipped = 0.0

    def add(self, flow: Flow) -> None:
        speed = np.hypot(flow[..., 0], flow[..., 1])  # [H, W]
        self._frames += 1
        self._motion += float(speed.mean())
        # Less than half a level of the encoding everywhere: the stored picture has one colour.
        self._still += float(speed.max()) <= self._bound / 255
        if float(speed.max()) > self._bound:
            self._clipped += float(clipped(flow, self._bound).mean())

    def stats(self, seconds: float, work: float, size: int) -> FlowStats:
        frames = max(1, self._frames)
        shares = self._motion / frames, self._still / frames, self._clipped / frames
        return FlowStats(self._frames, seconds, work, size, *shares)
