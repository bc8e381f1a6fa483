"""Features of a part of a video, and the encoder that an index was made with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..data.feature_time import video_duration
from ..encoders import Encoder, EncoderSpec, Sampling, extract_features, load_encoder
from ..encoders.rendering import decoded_size
from ..encoders.sampling import Runtime
from ..errors import OptionError, WeightError
from ..video import Video, open_video
from ..video.augment import evaluation_view
from ..video.streams import render_stream
from .index import Index


def moment_features(
    path: str | Path, encoder: Encoder, sampling: Sampling, span: tuple[float, float]
) -> tuple[np.ndarray, float]:
    """Features of the clips between two moments of a video, or of the one around a single moment; and its duration.

    A clip that would begin before the video, or end after it, is moved inside. Shape: [T, C] float32.

    Raises:
        OptionError: the span begins after the end of the video.
        VideoError: the video cannot be read.
    """
    spec = sampling.resolve(encoder.spec)
    if spec.stream == "flow" and spec.flow.algorithm == "motion-vectors":
        return _of_whole_video(path, encoder, sampling, span)
    with open_video(path) as video, torch.inference_mode():
        require_inside(span, video.duration, path)
        starts = clip_starts(span, video.duration, spec.clip_length / spec.fps, spec.stride / spec.fps)
        clips = (_clip(video, spec, start) for start in starts)
        rows = [encoder(encoder.prepare(clip[None])).cpu().numpy() for clip in clips]  # [1, C] each
        return np.concatenate(rows), video.duration


def _clip(video: Video, spec: EncoderSpec, start: float) -> np.ndarray:
    """What the encoder sees from ``start`` seconds on. Shape: [T, S, S, 3], uint8."""
    moments = np.minimum(start + np.arange(spec.clip_length + 1) / spec.fps, video.duration)  # [T + 1]
    if spec.decode_size is None:
        return video.frames_at(moments[:-1], size=spec.size).frames
    frames, times = video.frames_at(moments, size=decoded_size(video, spec))  # [T + 1, h, w, 3]
    return evaluation_view(render_stream(frames, spec.stream, spec.flow, times=times), spec.size, spec.crop)


def _of_whole_video(
    path: str | Path, encoder: Encoder, sampling: Sampling, span: tuple[float, float]
) -> tuple[np.ndarray, float]:
    """The codec's vectors are read from the beginning on, so all clips are encoded and those of ``span`` taken."""
    features = extract_features(path, encoder, sampling)
    duration = video_duration(features.time, len(features))
    require_inside(span, duration, path)
    return features.values[rows_within(features.time.centers(len(features)), span)], duration


def require_inside(span: tuple[float, float], duration: float, where: str | Path) -> None:
    """Raise :class:`OptionError` unless the span begins before the end of a video."""
    if span[0] > duration:
        problem = f"there is no moment at {span[0]:g} s: the video ends at {duration:.2f} s"
        raise OptionError(problem, where=where, cure="choose an earlier moment")


def rows_within(centres: np.ndarray, span: tuple[float, float]) -> np.ndarray:
    """Rows whose middle lies in the span; the one nearest to its middle if there is none. Shape: [T] -> [M]."""
    inside = np.flatnonzero((centres >= span[0]) & (centres <= span[1]))
    return inside if len(inside) else np.array([np.abs(centres - sum(span) / 2).argmin()])


def clip_starts(span: tuple[float, float], duration: float, length: float, step: float) -> list[float]:
    """When the clips of ``length`` seconds begin that show ``span``: every ``step`` seconds, or one around its middle.

    Everything is in seconds.
    """
    begin, end = span[0], min(span[1], duration)
    if end - begin <= length:
        begin = end = (begin + end) / 2 - length / 2
    else:
        end -= length
    latest = max(duration - length, 0.0)
    starts = np.arange(begin, end + 1e-6, step) if step > 0 else np.array([begin])
    return np.unique(np.clip(starts, 0.0, latest)).tolist()


def encoder_of(index: Index, name: str | None = None, *, device: str = "auto", runtime: Runtime = "auto") -> Encoder:
    """The encoder that made the features of ``index``.

    Args:
        name: what to load instead of what the index names, such as the folder of a trained encoder that was moved.

    Raises:
        OptionError: there is no such encoder.
        WeightError: it cannot be loaded, or has other weights than the index was made with.
    """
    source = name or index.source or index.encoder
    by_name = "name a video of the index instead of a file, or a feature file made alike"
    if not source:
        raise OptionError("the index does not say which encoder made its features", cure=by_name)
    try:
        encoder = load_encoder(source, device=device, runtime=runtime)
    except (OptionError, WeightError) as error:
        cure = f"give the encoder with --encoder, or {by_name}"
        problem = f"the index needs the encoder {source!r}, which cannot be loaded: {error.problem}"
        raise type(error)(problem, where=index.folder, cure=cure) from error
    made = encoder.spec.weights.hash
    if made != index.weight_hash:
        raise WeightError(
            f"the encoder {source!r} has the weights {made}, the index was made with {index.weight_hash}",
            where=index.folder,
            cure="make the index again with this encoder (kinoscope index --overwrite), or give --encoder",
        )
    return encoder
