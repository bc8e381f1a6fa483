"""When each frame of a file is shown, and at which frames decoding can start: one pass over packets."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from ..errors import VideoError
from .decoder import SlotClock
from .opening import NOT_A_VIDEO, demux, has_display_times, open_container, origin_of, reason
from .sampling import FloatArray, IntArray

_FALLBACK_RATE = Fraction(25)  # of a single picture that says nothing about its length


_ENDS_TOGETHER = 0.25  # seconds by which the streams of a whole file may fall short of its announced length


@dataclass(frozen=True)
class FrameIndex:
    """Every frame of a file in display order, as its packets announce it."""

    times: FloatArray
    """When each frame appears, in seconds from the container's start. Shape: [N]."""
    ticks: IntArray
    """The same in the stream's own units, by which decoded frames are recognised. Shape: [N]."""
    keyframes: IntArray
    """Positions of the frames at which decoding can start, ascending. Shape: [K]; empty if the file cannot seek."""
    end: float
    """When the last frame disappears, in seconds."""
    fps: float
    """The exact rate of a constant rate video, else frames per second on average."""
    variable_rate: bool
    tolerance: float
    """How much later than meant the container may have rounded a timestamp, in seconds."""
    damage: str | None
    """What is missing at the end of the file, when that can be told."""


@dataclass
class _Packets:
    """What one pass over a file collects about its video packets, in the file's order."""

    pts: list[int | None]
    dts: list[int | None]
    sizes: list[int]
    keys: list[bool]
    seen: int = 0
    last_duration: int = 0
    others_end: float = 0.0
    error: str | None = None


def build_index(path: Path) -> FrameIndex:
    """Read the packets of ``path`` once and put its frames in order.

    Raises:
        VideoError: when the file cannot be opened or has no video packets.
    """
    container, stream = open_container(path)
    try:
        packets = _read_packets(container, stream)
        if not packets.sizes:
            raise VideoError("holds no pictures", where=path, cure=NOT_A_VIDEO)
        return _in_order(packets, container, stream)
    finally:
        container.close()


def _read_packets(container: InputContainer, stream: VideoStream) -> _Packets:
    found = _Packets([], [], [], [])
    held: av.Packet[VideoStream] | None = None  # the last packet may be incomplete: then it gives no frame
    # Matroska says how long it is, not how many frames it has: the other streams tell whether it was cut.
    streams = [stream, *container.streams.audio] if "matroska" in container.format.name else [stream]
    try:
        for packet in demux(container, *streams):
            if packet.stream is not stream:
                if packet.pts is not None:
                    found.others_end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            elif packet.size or packet.pts is not None or packet.dts is not None:
                if held is not None:
                    _note(found, held)
                held = packet if packet.is_corrupt else None
                if held is None:
                    _note(found, packet)
    except (FFmpegError, OSError, ValueError) as error:
        found.error = reason(error)
    if held is not None:
        found.error = "the last packet is incomplete"
    return found


def _note(found: _Packets, packet: av.Packet[VideoStream]) -> None:
    found.seen += 1
    if packet.is_discard:
        return  # outside the edit list: decoded for reference, never shown
    if packet.stream.codec_context.name == "vp8" and packet.size and not bytes(packet)[0] & 0x10:
        return  # an "alternate reference" picture: never shown (RFC 6386, section 9.1)
    found.pts.append(packet.pts)
    found.dts.append(packet.dts)
    found.sizes.append(packet.size)
    found.keys.append(bool(packet.is_keyframe))
    found.last_duration = packet.duration or found.last_duration


def _in_order(packets: _Packets, container: InputContainer, stream: VideoStream) -> FrameIndex:
    base = stream.time_base or Fraction(1, 1_000_000)
    known = [ticks for ticks in packets.pts if ticks is not None]
    by_slot = len(known) < len(packets.pts) or not has_display_times(container)
    if by_slot:
        ticks = _slots(packets)
        keyframes = np.flatnonzero([k for k, n in zip(packets.keys, packets.sizes, strict=True) if n > 1])
    else:
        order = np.argsort(np.asarray(known), kind="stable")  # decoding order -> display order
        ticks, keyframes = np.asarray(known, dtype=np.int64)[order], np.flatnonzero(np.asarray(packets.keys)[order])
    if (by_slot and (stream.codec_context.has_b_frames or known != sorted(set(known)))) or (np.diff(ticks) <= 0).any():
        keyframes = keyframes[:0]  # frames can only be told apart by counting them
    origin, length = origin_of(container, stream), packets.last_duration * base
    if not known and packets.dts.count(None) == len(packets.dts):  # bare pictures: a clock must be assumed
        base, length = 1 / (stream.guessed_rate or _FALLBACK_RATE), Fraction(0)
    times = _seconds(ticks, base, min(origin, ticks[0].item() * base) if by_slot else origin)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1 / float(stream.guessed_rate or _FALLBACK_RATE)
    end = float(times[-1]) + (float(length) or step)
    fps, variable = _frame_rate(times, end, stream, tick=float(base))
    damage = _damage(packets, container, stream, end)
    return FrameIndex(
        times, ticks, keyframes.astype(np.int64), end, fps, variable, min(float(base) / 2, 5e-4) + 1e-9, damage
    )


def _slots(packets: _Packets) -> IntArray:
    clock, slots = SlotClock(), []
    for dts, size in zip(packets.dts, packets.sizes, strict=True):
        clock.packet(dts, size)
    while (slot := clock.frame()) is not None:
        slots.append(slot)
    return np.asarray(slots, dtype=np.int64)


def _seconds(ticks: IntArray, base: Fraction, origin: Fraction) -> FloatArray:
    """Timestamps in seconds, rounded once where the origin is a whole number of ticks."""
    shift = origin / base
    if shift.denominator == 1:
        return (ticks - shift.numerator) * base.numerator / np.float64(base.denominator)
    return ticks * base.numerator / np.float64(base.denominator) - float(origin)


def _frame_rate(times: FloatArray, end: float, stream: VideoStream, *, tick: float) -> tuple[float, bool]:
    spread = float(times[-1] - times[0])
    mean = (len(times) - 1) / spread if spread > 0 else 1 / (end - float(times[0]))
    if len(times) == 1:
        known = float(stream.guessed_rate or mean)
        return (known if abs(1 / known - 1 / mean) <= tick else mean), False
    for rate in (stream.average_rate, stream.guessed_rate, Fraction(mean).limit_denominator(1001), mean):
        grid = times[0] + np.arange(len(times)) / float(rate) if rate else np.inf
        if np.abs(times - grid).max() <= min(tick, 2e-3) + 1e-6:  # containers round to whole ticks
            return float(rate or mean), False
    return len(times) / (end - float(times[0])), True


def _damage(packets: _Packets, container: InputContainer, stream: VideoStream, end: float) -> str | None:
    promised, found = stream.frames or 0, packets.seen
    if packets.error and promised <= found:
        return f"the file breaks off after {end:.3f} s ({packets.error})"
    if promised > found:
        return f"{promised - found} of {promised} frames are missing, from {end:.3f} s on"
    length = (container.duration or 0) / 1e6
    if "matroska" in container.format.name and length - max(end, packets.others_end) > _ENDS_TOGETHER:
        return f"the file breaks off after {end:.3f} s of {length:.3f} s"
    return None
