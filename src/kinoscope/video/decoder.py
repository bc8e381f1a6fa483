"""One opened file and its decoder: frames come out in display order, each with its timestamp, errors are collected."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.error import FFmpegError
from av.video.stream import VideoStream

from ..errors import VideoError
from .opening import NOT_A_VIDEO, decode_threads, demux, has_display_times, open_container, reason


class SlotClock:
    """Display times for containers that store only the order of decoding: frame k takes the k-th packet's slot.

    AVI shows one packet per tick. There a packet of at most one byte is a placeholder without a picture: in
    mid-video the frame before it stays on; right after the first packet it only covers the encoder's delay (XviD),
    and the later frames move up.
    """

    def __init__(self) -> None:
        self._slots: deque[int] = deque()
        self._real = self._delay = self._next = 0

    def packet(self, ticks: int | None, size: int) -> None:
        """Note a packet on its way to the decoder."""
        ticks = self._next if ticks is None else max(ticks, self._next)
        self._next = ticks + 1
        if size <= 1:
            self._delay += self._real == 1
            return
        self._slots.append(ticks - self._delay)
        self._real += 1

    def lost(self) -> None:
        """The packet noted last gave no picture."""
        if self._slots:
            self._slots.pop()

    def frame(self) -> int | None:
        """The slot of the frame that comes out now, in ticks; ``None`` when there are more frames than packets."""
        return self._slots.popleft() if self._slots else None

    def flush(self) -> None:
        """Forget packets whose frames will not come, after a seek."""
        self._slots.clear()


class Decoder:
    """Decodes one file; a fresh or rewound decoder stands on the first frame.

    ``current`` is the frame that came out last and ``ticks`` its timestamp, in units of ``base`` seconds;
    ``previous`` is the frame before it. ``errors`` says what FFmpeg objected to since the file was opened.

    Args:
        path: the file.
        threads: codec threads; see :func:`kinoscope.video.opening.decode_threads`.

    Raises:
        VideoError: when the file cannot be opened, or not a single frame can be decoded.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self.path, self.threads = path, threads
        self.needed: set[int] | None = None
        """While set: timestamps of frames that are needed. Those of others on which nothing depends are not decoded."""
        self.needed_until = 0
        """Frames after this timestamp are decoded in any case: the next request is likely to want them."""
        self.decoded = 0
        """Frames that came out so far, through all that was rewound and sought."""
        self._open()

    def _open(self) -> None:
        self.container, self.stream = open_container(self.path)
        self.stream.thread_type = "AUTO"
        self.stream.codec_context.thread_count = decode_threads(self.threads, self.stream)
        self.base = self.stream.time_base or Fraction(1, 1_000_000)
        self.by_slot = not has_display_times(self.container)
        self.errors: list[str] = []
        self.packets = 0
        self.ticks = self.previous_ticks = -1
        self.current: av.VideoFrame | None = None
        self.previous: av.VideoFrame | None = None
        self.complete = True
        """Every frame from the first to ``current`` was decoded: nothing was skipped and nothing sought."""
        self._skipping = False
        self._clock = SlotClock()
        self._frames = self._decode()
        if self.advance() is None:
            self.close()
            why = f" ({self.errors[0]})" if self.errors else ""
            raise VideoError(f"no frame can be decoded{why}", where=self.path, cure=NOT_A_VIDEO)
        self.by_slot = self.by_slot or getattr(self.current, "pts", None) is None
        self._untouched = True

    def close(self) -> None:
        """Free the file and the codec's threads."""
        self._frames = iter(())
        self.current = self.previous = None
        self.container.close()

    def rewind(self) -> None:
        """Go back to the first frame. Opening again takes a millisecond and is exact where seeking to 0 is not."""
        if not self._untouched:
            self.close()
            self._open()

    def seek(self, ticks: int) -> bool:
        """Go to a keyframe at or before ``ticks``; ``False``, and no current frame, where the container cannot."""
        self._untouched = self.complete = False
        self.current = self.previous = None
        self._clock.flush()
        try:
            self.container.seek(ticks, stream=self.stream)
        except (FFmpegError, OSError):
            return False
        self._frames = self._decode(from_keyframe=True)
        if self.advance() is None or self.ticks > ticks:
            self.current = None
        return self.current is not None

    def advance(self) -> av.VideoFrame | None:
        """Decode the next frame; ``None`` at the end."""
        self._untouched = False
        if self.current is not None:
            self.previous, self.previous_ticks = self.current, self.ticks
        self.current = next(self._frames, None)
        return self.current

    def _decode(self, *, from_keyframe: bool = False) -> Iterator[av.VideoFrame]:
        earliest: int | None = None
        for packet in self._packets():
            if from_keyframe and earliest is None:
                if not packet.is_keyframe:
                    continue  # it would decode into grey shadows
                earliest = packet.pts
            self._skip_if_needless(packet)
            try:
                frames = packet.decode()
            except (FFmpegError, OSError, ValueError) as error:
                self.errors.append(reason(error))
                self._clock.lost()
                continue
            for frame in frames:
                stamp = self._clock.frame() if self.by_slot or frame.pts is None else frame.pts
                ticks = self.ticks + 1 if stamp is None else stamp
                if earliest is None or self.by_slot or ticks >= earliest:  # else it leans on what was before the seek
                    self.ticks = ticks
                    self.decoded += 1
                    yield frame

    def _packets(self) -> Iterator[av.Packet[VideoStream]]:
        """All packets. One that broke off at the end of the file is left out: half of its picture would be invented."""
        held: av.Packet[VideoStream] | None = None
        try:
            for packet in demux(self.container, self.stream):
                flush = packet.size == 0 and packet.pts is None and packet.dts is None
                if held is not None and not flush:
                    yield held
                if held is not None and flush:
                    self.errors.append("the last packet is incomplete")
                held = packet if packet.is_corrupt else None
                if not flush:
                    self.packets += 1
                    self._clock.packet(packet.dts, packet.size)
                if held is None:
                    yield packet
        except (FFmpegError, OSError, ValueError) as error:
            self.errors.append(reason(error))

    def _skip_if_needless(self, packet: av.Packet[VideoStream]) -> None:
        ticks, needed = packet.pts, self.needed
        skip = needed is not None and ticks is not None and ticks < self.needed_until and ticks not in needed
        if skip != self._skipping:
            self.stream.codec_context.skip_frame = "NONREF" if skip else "DEFAULT"
            self._skipping, self.complete = skip, False
