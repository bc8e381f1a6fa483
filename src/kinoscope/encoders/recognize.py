"""What a whole video shows, from the encoder's own classes: the mean over clips that are spread over it evenly."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from ..errors import OptionError
from ..video import open_video
from .encoder import Encoder

CLIP_SECONDS = 2.56
"""Length of a clip: 64 frames at 25 per second, as I3D was trained."""


def recognize(path: str | Path, encoder: Encoder, *, clips: int = 10, size: int | None = None) -> np.ndarray:
    """Probability of each class of the encoder. Shape: [K].

    A video shorter than a clip is repeated until it fills one.

    Args:
        clips: most clips that are looked at; a video that needs fewer to be covered gets fewer.
        size: pixels of the central square, if not the encoder's own.

    Raises:
        OptionError: the encoder has no classes.
        VideoError: the video cannot be read.
    """
    if clips < 1:
        raise OptionError(f"clips is {clips}, but must be at least 1")
    spec = encoder.spec
    encoder.require_classes()
    length = round(CLIP_SECONDS * spec.fps)
    with open_video(path) as video, torch.inference_mode():
        samples = max(1, round(video.duration * spec.fps))
        count = min(clips, math.ceil(samples / length))
        total = torch.zeros(len(spec.classes()))
        for start in np.linspace(0, max(samples - length, 0), count):
            moments = (round(start) + np.arange(length) % min(samples, length)) / spec.fps
            frames = video.frames_at(moments, size=size or spec.size).frames  # [T, H, W, 3]
            logits = encoder.classify(encoder(encoder.prepare(frames[None])))
            total += logits.softmax(dim=1)[0].cpu()
    return (total / count).numpy()
