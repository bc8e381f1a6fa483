"""Looking at videos through a frozen encoder: its features over time are the tokens."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..data.feature_spec import FeatureSpec
from ..data.features import Features
from ..encoders import Encoder, encoder_spec, load_encoder
from ..encoders.extract import extract_features
from ..encoders.sampling import Runtime, Sampling
from ..errors import DamagedVideoWarning, OptionError, WeightError
from ..video.sampling import FloatArray
from .protocol import ClipChoice
from .recognizer import Glimpse
from .token_clips import row_span, row_times, window_batch, windows


class FeatureEye:
    """Tokens are rows of features of a frozen encoder, a window of up to ``tokens`` of them a clip.

    Args:
        spec: the features that the head was trained on.
        tokens: most rows of a window.
        device, runtime: of the encoder, see :func:`kinoscope.load_encoder`.
    """

    grid = 1

    def __init__(self, spec: FeatureSpec, tokens: int, *, device: str = "auto", runtime: Runtime = "auto") -> None:
        self.spec, self.tokens, self._where = spec, tokens, (device, runtime)

    @classmethod
    def from_config(cls, values: Mapping[str, Any], tokens: int, *, device: str, runtime: str) -> FeatureEye:
        """What :meth:`describe` told."""
        steps = values.get("steps")
        spec = FeatureSpec(**{**values, "steps": tuple(steps) if steps else None})
        return cls(spec, tokens, device=device, runtime=runtime)  # type: ignore[arg-type]  # checked when it is loaded

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder, loaded when first needed.

        Raises:
            WeightError: Kinoscope does not have it, or has it with other weights.
        """
        if not self.spec.encoder:
            cure = "give it features of the same tool, from Python: recognize_features"
            raise WeightError("was trained on features whose encoder is not known", cure=cure)
        try:
            spec = encoder_spec(self.spec.encoder)
        except OptionError as error:
            cure = "if that is a folder, put it back, or start where its path leads to it"
            problem = f"was trained on features of {self.spec.encoder!r}, which Kinoscope does not have"
            raise WeightError(problem, cure=cure) from error
        if self.spec.weight_hash not in ("", spec.weights.hash):
            problem = f"was trained on features of {self.spec.encoder!r} with other weights ({self.spec.weight_hash})"
            raise WeightError(problem, cure="train it again")
        device, runtime = self._where
        return load_encoder(self.spec.encoder, device=device, runtime=runtime)

    def look(
        self, path: str | Path, clips: ClipChoice, crops: int, part: tuple[float, float] | None
    ) -> tuple[list[Glimpse], tuple[str, ...]]:
        """See :class:`.recognizer.Eye`."""
        if crops != 1:
            cure = "leave --crops away, or fine-tune the encoder: --finetune"
            raise OptionError("a recogniser on a frozen encoder looks at one crop", cure=cure)
        sampling = Sampling(self.spec.fps, int(self.spec.clip_length), int(self.spec.stride), self.encoder.spec.size)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DamagedVideoWarning)
            features = extract_features(path, self.encoder, sampling)
        damage = tuple(str(w.message) for w in caught if issubclass(w.category, DamagedVideoWarning))
        return self.glimpses(features, clips, part), damage

    def glimpses(
        self, features: Features, clips: ClipChoice = "all", part: tuple[float, float] | None = None
    ) -> list[Glimpse]:
        """Windows of features, as tokens.

        Raises:
            FeatureError: features of another encoder, width or step than the head was trained on, or with NaN.
        """
        self.spec.check(features)
        first, end = row_span(features, *(part or (None, None)))
        return row_glimpses(features.values[first:end], row_times(features, first, end), self.tokens, clips)

    def describe(self) -> dict[str, Any]:
        """For ``config.json``."""
        return {"kind": "features", **asdict(self.spec)}

    def save(self, folder: Path) -> None:
        """Nothing: the encoder is named."""


def row_glimpses(rows: np.ndarray, times: FloatArray, tokens: int, clips: ClipChoice = "all") -> list[Glimpse]:
    """Windows of rows as glimpses. Shape: rows [T, C], times [T, 2]."""
    return [Glimpse(window_batch([rows[at]])[0], times[at]) for at in windows(len(rows), tokens, clips)]
