"""Whether other frames are predicted from a coded frame, read from the first bytes of its packet."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.video.stream import VideoStream

_SLICES = (1, 5)  # kinds of H.264 units that hold pixels: of an ordinary frame, of one that needs no other


def is_reference(packet: av.Packet[VideoStream]) -> bool:
    """Whether H.264 marks a packet's frame as a reference; ``False`` for other codecs, which never use B-frames so.

    Source: ISO/IEC 14496-10, 7.4.1 (nal_ref_idc), 14496-15, 5.2 (how MP4 and Matroska store units), annex B (others).
    """
    codec = packet.stream.codec_context
    if codec.name != "h264" or not packet.size:
        return False
    extra, data = codec.extradata or b"", bytes(packet)
    units = _measured(data, (extra[4] & 3) + 1) if len(extra) > 4 and extra[0] == 1 else _marked(data)
    return next((header >> 5 & 3 > 0 for header in units if header & 31 in _SLICES), False)


def _measured(data: bytes, length: int) -> Iterator[int]:
    """The first byte of every unit, where each is preceded by its size in ``length`` bytes."""
    place = 0
    while place + length < len(data):
        yield data[place + length]
        place += length + int.from_bytes(data[place : place + length], "big")


def _marked(data: bytes) -> Iterator[int]:
    """The first byte of every unit, where each is preceded by the bytes 0, 0, 1."""
    place = data.find(b"\0\0\1")
    while 0 <= place < len(data) - 3:
        yield data[place + 3]
        place = data.find(b"\0\0\1", place + 3)
