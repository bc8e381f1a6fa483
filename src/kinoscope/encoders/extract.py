"""A video → its features: decoding and encoding overlap, and memory grows with the features alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data.features import Features, FeatureTime
from ..errors import VideoError
from ..video import Video, clip_samples, open_video, sample_times
from .catalog import EncoderSpec
from .encoder import Encoder
from .prefetch import Prefetch
from .rendering import rendered_clips
from .sampling import Sampling


@dataclass
class Effort:
    """Where the seconds of an extraction went."""

    total: float = 0.0
    """Wall-clock seconds."""
    decoding: float = 0.0
    """Seconds in which the decoding thread worked (beside the encoder)."""
    encoding: float = 0.0
    """Seconds in which the network worked."""
    waiting: float = 0.0
    """Seconds in which the network waited for frames."""
    video_seconds: float = 0.0
    """Length of the videos."""

    def add(self, other: Effort) -> None:
        """Add the seconds of another extraction."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def extract_features(
    path: str | Path,
    encoder: Encoder,
    sampling: Sampling = Sampling(),
    *,
    report: Callable[[float], None] | None = None,
    effort: Effort | None = None,
) -> Features:
    """Features of one video.

    Args:
        sampling: what to look at; by default what the encoder wants.
        report: called with the seconds of video that were done since the last call.
        effort: filled with where the time went.

    Raises:
        VideoError: the video cannot be read.
    """
    spec = sampling.resolve(encoder.spec)
    begin, spent = time.perf_counter(), effort if effort is not None else Effort()
    with open_video(path) as video:
        video_time = FeatureTime(spec.fps, spec.stride, spec.clip_length, 0.0, video.duration)
        samples = len(sample_times(video.duration, spec.fps))
        clips = clip_samples(samples, length=spec.clip_length, stride=spec.stride)  # [N, T]
        rows = np.empty((len(clips), spec.width), np.float32)
        done = 0
        batches = Prefetch(_batches(video, spec, _batch_size(spec, encoder.device)))
        with closing(_encode(encoder, spec, batches, clips, spent)) as parts:  # stops decoding before the video closes
            for part in parts:
                rows[done : done + len(part)] = part.numpy()
                done += len(part)
                if report is not None:
                    report(video.duration * len(part) / len(rows))
        if done < len(rows):
            raise VideoError(f"ended after {done} of {len(rows)} clips", where=path, cure="see: kinoscope probe --full")
        spent.video_seconds += video.duration
    spent.total += time.perf_counter() - begin
    return Features(rows, video_time, spec.tag, spec.weights.hash)


def _batch_size(spec: EncoderSpec, device: torch.device) -> int:
    """Frames or clips at once: large enough for the device, small enough for memory."""
    if spec.per_frame:
        return 256 if device.type == "cuda" else 32
    return 16 if device.type == "cuda" else 2


def _batches(video: Video, spec: EncoderSpec, size: int) -> Iterator[np.ndarray]:
    """Every sampled frame once, or every clip. Shape of each: [N, H, W, 3] or [N, T, H, W, 3]."""
    items: Iterator[np.ndarray]
    if spec.per_frame:
        items = (frame for frame, _ in video.stream(size=spec.size, fps=spec.fps))
    elif spec.decode_size is not None:
        items = rendered_clips(video, spec)
    else:
        clips = video.clips(length=spec.clip_length, stride=spec.stride, size=spec.size, fps=spec.fps)
        items = (clip.frames for clip in clips)
    while chunk := list(islice(items, size)):
        yield np.stack(chunk)


def _encode(
    encoder: Encoder, spec: EncoderSpec, batches: Prefetch, clips: np.ndarray, effort: Effort
) -> Generator[Tensor, None, None]:
    """Rows of features, a few at a time. Shape of each: [N, C]."""
    pool = _FramePool(encoder, clips) if spec.per_frame else None
    with batches, torch.inference_mode():
        for batch in batches:
            begin = time.perf_counter()
            if pool is not None:
                frames = encoder.network(encoder.prepare(batch[:, None])[:, :, 0])  # [N, C]
                rows = pool.add(frames)
            else:
                rows = encoder(encoder.prepare(batch))  # [N, C]
            rows = rows.cpu()
            effort.encoding += time.perf_counter() - begin
            yield rows
    effort.decoding += batches.working
    effort.waiting += batches.waiting


class _FramePool:
    """Features of frames, kept until the last clip that needs them is complete.

    Args:
        clips: which frames each clip holds, ascending. Shape: [N, T].
    """

    def __init__(self, encoder: Encoder, clips: np.ndarray) -> None:
        self.encoder, self.clips, self.done = encoder, torch.from_numpy(clips), 0
        self.first, self.frames = 0, torch.empty(0)  # `first` is the number of the frame in row 0

    def add(self, frames: Tensor) -> Tensor:
        """Take the features of the next frames, give those of the clips that are complete. Shape: [F, C] -> [N, C']."""
        self.frames = torch.cat((self.frames.to(frames), frames)) if len(self.frames) else frames
        complete = int((self.clips[:, -1] < self.first + len(self.frames)).sum())
        rows = self.encoder.pool(self.frames[self.clips[self.done : complete] - self.first])  # [N, T, C] -> [N, C']
        self.done = complete
        keep = end = self.first + len(self.frames)
        if complete < len(self.clips):
            keep = min(int(self.clips[complete, 0]), end)  # it may lie ahead: with stride > length there are gaps
        self.frames, self.first = self.frames[keep - self.first :], keep
        return rows
