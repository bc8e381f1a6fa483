"""What a trained encoder sees of a video: its stream, made from the frames exactly as in pretraining.

Frames are decoded with the short side at ``decode_size``; motion is measured there, between frames that differ (a
source with fewer frames per second than are sampled would stand still in between); the centre square is then scaled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import groupby, repeat
from operator import itemgetter

import numpy as np

from ..video import Video, clip_samples, sample_times
from ..video.augment import evaluation_view
from ..video.flow.measure import FlowOptions, video_flow
from ..video.sampling import FloatArray, IntArray
from ..video.scaling import Frame, Size, scaled_size
from ..video.streams import STILL, render_motion
from .catalog import EncoderSpec

_HALF_TICK = 5e-4  # seconds: containers round times


def rendered_clips(video: Video, spec: EncoderSpec) -> Iterator[Frame]:
    """The clips of a video, as ``video.clips`` would cut them; every frame is decoded and rendered once.

    Shape of each: [T, S, S, 3], uint8.
    """
    moments = sample_times(video.duration, spec.fps)
    clips = clip_samples(len(moments), length=spec.clip_length, stride=spec.stride)  # [N, T]
    frames = (evaluation_view(frame[None], spec.size, spec.crop)[0] for frame in _pictures(video, spec, moments))
    return _windows(frames, clips)


def _pictures(video: Video, spec: EncoderSpec, moments: FloatArray) -> Iterator[Frame]:
    """One picture of the stream per sampled frame. Shape of each: [h, w, 3], uint8."""
    if spec.stream == "flow" and spec.flow.algorithm == "motion-vectors":
        options = FlowOptions(spec.flow.algorithm, spec.decode_size or spec.size, spec.flow.bound)
        return _on_display(video_flow(video.path, options), moments)
    frames = video.stream(size=decoded_size(video, spec), fps=spec.fps)
    return (frame for frame, _ in frames) if spec.stream == "rgb" else _moving(frames, spec)


def decoded_size(video: Video, spec: EncoderSpec) -> Size:
    """The size at which frames are decoded: the square that is seen or, for motion, the whole frame around it.

    Motion is measured on the whole frame in pretraining too: what crosses the edge of the square moves as well.
    """
    short_side = spec.decode_size or spec.size
    return short_side if spec.stream == "rgb" else scaled_size(video.size, short_side)


def _moving(frames: Iterator[tuple[Frame, float]], spec: EncoderSpec) -> Iterator[Frame]:
    """The motion from each frame to the next other one; the last moves on as the one before."""
    same = groupby(frames, key=itemgetter(1))  # a frame that was sampled more than once repeats its time
    distinct = ((next(group)[0], 1 + sum(1 for _ in group)) for _, group in same)
    before, times = next(distinct)
    picture = np.full_like(before, STILL)
    for frame, more in distinct:
        picture = render_motion(np.stack((before, frame)), spec.stream, spec.flow)[0]  # [2, h, w, 3] -> [h, w, 3]
        yield from repeat(picture, times)
        before, times = frame, more
    yield from repeat(picture, times)


def _on_display(pictures: Iterator[tuple[Frame, float]], moments: FloatArray) -> Iterator[Frame]:
    """The picture whose time has come at each moment; before the first: the first."""
    shown, following = next(pictures)[0], next(pictures, None)
    for moment in moments:
        while following is not None and following[1] <= moment + _HALF_TICK:
            shown, following = following[0], next(pictures, None)
        yield shown


def _windows(frames: Iterator[Frame], clips: IntArray) -> Iterator[Frame]:
    """The clips, from frames that are given once, in order. Shape: clips [N, T] -> N times [T, S, S, 3]."""
    kept: deque[Frame] = deque()
    first = 0  # the number of the frame in front
    for clip in clips.tolist():
        for number in range(first + len(kept), clip[-1] + 1):
            frame = next(frames)
            if number >= clip[0]:
                kept.append(frame)
        while len(kept) > clip[-1] + 1 - clip[0]:
            kept.popleft()
        first = clip[0]
        yield np.stack([kept[k - first] for k in clip])  # [T, S, S, 3]
