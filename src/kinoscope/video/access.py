"""Frames by their place in a video, each decoded once: seek where a keyframe saves work, else decode on."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np

from .decoder import Decoder
from .index import FrameIndex
from .sampling import IntArray

_WORTH_A_SEEK = 12
"""Frames that a seek must save: it empties the codec's pipeline and decodes a keyframe anew."""


class FramePicker:
    """Single frames of a video, each asked for when it is wanted: what comes after need not be known yet.

    Frames between those asked for are not decoded where nothing depends on them, and jumped over where a keyframe
    allows it.

    Args:
        decoder, index, lost: see :func:`fetch`.
    """

    def __init__(self, decoder: Decoder, index: FrameIndex, lost: set[int]) -> None:
        self._decoder, self._index, self._lost = decoder, index, lost
        self._before = decoder.decoded

    @property
    def decoded(self) -> int:
        """Frames that were decoded so far, those on the way to the wanted ones among them."""
        return self._decoder.decoded - self._before

    def __call__(self, position: int) -> av.VideoFrame:
        """The frame at a position, as it was decoded."""
        wanted = np.array([position], np.int64)
        ticks = int(self._index.ticks[position])
        if len(self._index.keyframes):
            self._decoder.needed, self._decoder.needed_until = {ticks}, ticks
        try:
            return next(fetch(self._decoder, self._index, wanted, self._lost))
        finally:
            self._decoder.needed = None


def fetch(decoder: Decoder, index: FrameIndex, wanted: IntArray, lost: set[int]) -> Iterator[av.VideoFrame]:
    """Yield the frames at the ascending positions ``wanted``, continuing from wherever ``decoder`` stands.

    A frame that cannot be decoded is replaced by the one that a player would leave on the screen, the last before it,
    and its position is added to ``lost``.
    """
    seekable = len(index.keyframes) > 0
    ticks = index.ticks[wanted]
    if seekable and len(wanted) and int(wanted[-1] - wanted[0]) >= len(wanted):  # there are gaps
        decoder.needed, decoder.needed_until = set(ticks.tolist()), int(ticks[-1])
    try:
        for position, moment in zip(wanted.tolist(), ticks.tolist(), strict=True):
            yield _reach(decoder, index, position, moment, lost) if seekable else _walk(decoder, position, moment, lost)
    finally:
        decoder.needed = None


def _reach(decoder: Decoder, index: FrameIndex, position: int, moment: int, lost: set[int]) -> av.VideoFrame:
    key = int(np.searchsorted(index.keyframes, position, side="right")) - 1
    if _is_ahead(decoder, moment) and not _seek_saves(decoder, index, key):
        found = _forward(decoder, moment)
        if found is not None:
            return found
    # Open GOPs and gradual refreshes may need an earlier keyframe than the nearest; the beginning is always right.
    for steps_back in (0, 1, 3) if position not in lost else ():
        if key - steps_back < 0 or not decoder.seek(int(index.ticks[index.keyframes[key - steps_back]])):
            continue
        found = _forward(decoder, moment)
        if found is not None:
            return found
    return _walk(decoder, position, moment, lost)


def _walk(decoder: Decoder, position: int, moment: int, lost: set[int]) -> av.VideoFrame:
    """Find a frame by decoding on from here or from the beginning, or the one to show in its place."""
    found = _forward(decoder, moment) if _is_ahead(decoder, moment) else None
    passed = decoder.complete and decoder.previous is not None and decoder.previous_ticks < moment
    if found is None and not passed:
        decoder.rewind()
        found = _forward(decoder, moment)
    if found is not None:
        return found
    lost.add(position)
    stand_in = decoder.previous or decoder.current
    assert stand_in is not None  # a decoder that opened has a first frame
    return stand_in


def _is_ahead(decoder: Decoder, moment: int) -> bool:
    return decoder.current is not None and decoder.ticks <= moment


def _seek_saves(decoder: Decoder, index: FrameIndex, key: int) -> bool:
    if key < 0:
        return False
    here = int(np.searchsorted(index.ticks, decoder.ticks))
    return int(index.keyframes[key]) - here >= _WORTH_A_SEEK


def _forward(decoder: Decoder, moment: int) -> av.VideoFrame | None:
    while decoder.current is not None and decoder.ticks < moment:
        decoder.advance()
    return decoder.current if decoder.current is not None and decoder.ticks == moment else None
