"""Features of a part of a video, without decoding the rest; and the encoder that an index was made with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..encoders import Encoder, Sampling, load_encoder
from ..encoders.sampling import Runtime
from ..errors import OptionError, WeightError
from ..video import open_video
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
    with open_video(path) as video, torch.inference_mode():
        if span[0] > video.duration:
            problem = f"there is no moment at {span[0]:g} s: the video ends at {video.duration:.2f} s"
            raise OptionError(problem, where=path, cure="choose an earlier moment")
        starts = clip_starts(span, video.duration, spec.clip_length / spec.fps, spec.stride / spec.fps)
        rows = []
        for start in starts:
            moments = np.minimum(start + np.arange(spec.clip_length) / spec.fps, video.duration)  # [T]
            frames = video.frames_at(moments, size=spec.size).frames  # [T, H, W, 3]
            rows.append(encoder(encoder.prepare(frames[None])).cpu().numpy())  # [1, C]
        return np.concatenate(rows), video.duration


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
