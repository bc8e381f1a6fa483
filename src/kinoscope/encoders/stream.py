"""Features of a video that is still running: frames in as they come, a row out as soon as its clip is complete.

stream = FeatureStream(load_encoder("efficientnet-lite0"))
for frame, seconds, _ in follow(path, every=EVERY_FRAME, patience=10):
    rows = stream.push(frame, seconds)  # [n, C]
rows = stream.finish()
"""

from __future__ import annotations

from collections import deque

import av
import numpy as np
import torch
from torch import Tensor

from ..data.features import FeatureTime
from ..errors import OptionError
from ..video.scaling import Frame, Scaler, layout
from .encoder import Encoder
from .sampling import Sampling

EVERY_FRAME = 1e-6
"""Seconds between candidates of a stream of which every frame is wanted."""


class FeatureStream:
    """Rows of one stream: those of :func:`.extract.extract_features`, but for the last, whose clips are not complete.

    What a row sees at a moment is the frame that is on the screen then, so that a frame is looked at when the next one
    has come.

    Args:
        encoder: looks at frames or clips.
        sampling: which frames it sees.

    Raises:
        OptionError: an encoder whose input is made from whole videos.
    """

    def __init__(self, encoder: Encoder, sampling: Sampling = Sampling()) -> None:
        self.encoder, self.spec = encoder, sampling.resolve(encoder.spec)
        if self.spec.decode_size is not None:
            problem = f"the encoder {self.spec.name} makes its input from whole clips of a file"
            raise OptionError(problem, cure="follow a stream with an encoder of frames, such as efficientnet-lite0")
        self.time = FeatureTime(self.spec.fps, self.spec.stride, self.spec.clip_length)
        self._kept: deque[Tensor | Frame] = deque(maxlen=int(self.spec.clip_length))
        self._count = 0
        self._shown: av.VideoFrame | None = None
        self._time = self._gap = 0.0  # of the frame that is shown, and since the one before it
        self._scaler: tuple[tuple[int, int], int, Scaler] | None = None

    def push(self, frame: av.VideoFrame, seconds: float) -> np.ndarray:
        """Take the next frame, as it was decoded, and its time from the first frame on. Shape: -> [n, C], float32."""
        rows = []
        while self._shown is not None and self._count / self.spec.fps < seconds - 1e-9:
            rows.append(self._sample(self._shown))
        self._gap, self._shown, self._time = seconds - self._time, frame, seconds
        return np.concatenate(rows) if rows else np.empty((0, self.spec.width), np.float32)

    def finish(self) -> np.ndarray:
        """The stream is over: its last frame was shown as long as the one before it. Shape: -> [n, C], float32."""
        shown = self._shown
        rows = np.empty((0, self.spec.width), np.float32) if shown is None else self.push(shown, self._time + self._gap)
        self._shown = None
        return rows

    @torch.inference_mode()
    def _sample(self, frame: av.VideoFrame) -> np.ndarray:
        """One more sampled frame. Shape: -> [n, C], n is 0 or 1."""
        pixels = self._scaled(frame)  # [S, S, 3]
        kept: Tensor | Frame = pixels
        if self.spec.per_frame:
            kept = self.encoder.network(self.encoder.prepare(pixels[None, None])[:, :, 0])[0]  # [C]
        self._kept.append(kept)
        self._count += 1
        beyond = self._count - int(self.spec.clip_length)
        if beyond < 0 or beyond % int(self.spec.stride):
            return np.empty((0, self.spec.width), np.float32)
        if self.spec.per_frame:
            rows = self.encoder.pool(torch.stack([each for each in self._kept if isinstance(each, Tensor)])[None])
        else:
            rows = self.encoder(self.encoder.prepare(np.stack([np.asarray(each) for each in self._kept])[None]))
        return np.asarray(rows.float().cpu().numpy())  # [1, C]

    def _scaled(self, frame: av.VideoFrame) -> Frame:
        stored, rotation = (frame.height, frame.width), round(-frame.rotation / 90) % 4 * 90
        if self._scaler is None or self._scaler[:2] != (stored, rotation):
            self._scaler = (stored, rotation, Scaler(layout(stored, rotation, self.spec.size)))
        return self._scaler[2](frame)
