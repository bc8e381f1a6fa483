"""Looking at videos through a whole network: clips of consecutive samples, each token with its places if wanted."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..clips.reader import ClipOptions, Clips
from ..clips.windows import crop_window
from ..encoders import Encoder
from ..encoders.sampling import Runtime
from ..encoders.tokens import load_token_encoder
from ..encoders.trained import TrainedSpec, trained_spec
from ..errors import OptionError
from ..video.sampling import FloatArray
from .protocol import ClipChoice, clip_starts
from .recognizer import Glimpse
from .rivals import without_places

_VIEWS_AT_ONCE = 8  # through the network together
_CLIPS_AT_ONCE = 8  # decoded together


class ClipEye:
    """Clips as the encoder in a folder was trained on them.

    Args:
        folder: of the encoder (``encoder/`` in a recogniser's folder).
        grid: 1 pools the places of a token; above, the head looks at them.
        device, runtime: see :func:`kinoscope.load_encoder`.
    """

    def __init__(self, folder: Path, *, grid: int = 1, device: str = "auto", runtime: str = "auto") -> None:
        self.folder, self.grid, self._where = folder, grid, (device, runtime)

    @cached_property
    def spec(self) -> TrainedSpec:
        """What the encoder wants."""
        return trained_spec(self.folder)

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder, loaded when first needed: clips -> tokens with places."""
        device, runtime = self._where
        chosen: Runtime = runtime  # type: ignore[assignment]  # checked there
        return load_token_encoder(str(self.folder), device=device, runtime=chosen)

    def look(
        self, path: str | Path, clips: ClipChoice, crops: int, part: tuple[float, float] | None
    ) -> tuple[list[Glimpse], tuple[str, ...]]:
        """See :class:`.recognizer.Eye`."""
        if crops not in (1, 10):
            raise OptionError(f"crops is {crops}", cure="choose 1 (the centre) or 10 (centre and corners, mirrored)")
        video = Path(path)
        library = Clips({video.name: video}, (self.spec.stream,), clip_options(self.spec))
        library.prepare(quiet=True)
        starts, stream = part_starts(library, 0, part, clips), self.spec.stream
        glimpses = []
        for first in range(0, len(starts), _CLIPS_AT_ONCE):
            several = starts[first : first + _CLIPS_AT_ONCE].tolist()
            for start, clip in zip(several, library.read(0, [(s, (stream,)) for s in several]), strict=True):
                views = crop_window(clip[stream], self.spec.size, crops, stream, self.spec.crop)  # type: ignore[arg-type]
                tokens = self._tokens(torch.from_numpy(views))
                glimpses.append(Glimpse(tokens, self._spans(start, tokens.shape[1], library.samples(0))))
        return glimpses, tuple(library.damaged.values())

    @torch.inference_mode()
    def _tokens(self, views: Tensor) -> Tensor:
        """Shape: [V, T, S, S, 3] of pixels -> [V, N, C] or [V, N, H, W, C]."""
        parts = [self.encoder(self.encoder.prepare(part)) for part in views.split(_VIEWS_AT_ONCE)]  # type: ignore[no-untyped-call]
        tokens = torch.cat(parts)
        return tokens if self.grid > 1 else without_places(tokens)

    def _spans(self, start: int, tokens: int, samples: int) -> FloatArray:
        """When each token was seen, up to the end of a shorter video, which then begins again. Shape: [N, 2]."""
        step = self.spec.clip_length / tokens
        first = (start + step * np.arange(tokens)) % samples
        return np.stack((first, np.minimum(first + step, samples)), axis=1) / self.spec.fps

    def describe(self) -> dict[str, Any]:
        """For ``config.json``."""
        return {"kind": "clips"}

    def save(self, folder: Path) -> None:
        """The encoder must lie in ``folder`` already; who trained or converted it wrote it there.

        Raises:
            WeightError: it does not.
        """
        trained_spec(folder / "encoder")


def clip_options(spec: TrainedSpec) -> ClipOptions:
    """The clips that an encoder was trained on; a video that is too short begins again (BERT sheet, section 7)."""
    sizes = (spec.clip_length, spec.fps, spec.size, spec.decode_size)
    return ClipOptions(*sizes, spec.flow, least_frames=1, short="wrap", crop=spec.crop)


def part_starts(library: Clips, index: int, part: tuple[float, float] | None, clips: ClipChoice = "all") -> np.ndarray:
    """First samples of the clips that show a part (seconds) of a video, or all of it. Shape: [N].

    Clips tile the part; one that is longer than the part lies around its middle, within the video.
    """
    frames, last = library.options.frames, library.starts(index) - 1
    if part is None:
        return np.minimum(clip_starts(library.samples(index), frames, clips), last)
    begin = min(round(part[0] * library.options.fps), library.samples(index) - 1)
    samples = max(1, round((part[1] - part[0]) * library.options.fps))
    if samples <= frames:
        return np.clip(np.array([begin + samples // 2 - frames // 2]), 0, last)
    return np.clip(begin + clip_starts(samples, frames, clips), 0, last)
