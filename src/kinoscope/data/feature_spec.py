"""What features a model was trained on, so that others are refused and new videos are extracted alike."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import FeatureError, OptionError
from .feature_checks import check_rows
from .features import Features

STEP_TOLERANCE = 0.05
"""How far, relatively, the step of features may lie outside of the steps seen in training."""


def same_encoder(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether two encoders, each a name and the hash of its weights, are the same one.

    The name of a trained encoder is the path to its folder, which may be written otherwise, or moved; its weights, the
    size of its frames and an adapter behind it tell.
    """
    (name, weights), (other_name, other_weights) = one, other
    variants = {re.search(r"(@\d+px)?(\+.*)?$", Path(each).name)[0] for each in (name, other_name)}  # type: ignore[index]
    moved = "/" in name + other_name and weights != "" and weights == other_weights and len(variants) == 1
    return one == other or moved


@dataclass(frozen=True)
class FeatureSpec:
    """The features that a model takes."""

    width: int
    """Channels."""
    fps: float
    """Rate at which frames were sampled, in frames per second."""
    stride: float
    """Sampled frames between rows."""
    clip_length: float
    """Sampled frames that a row saw."""
    encoder: str = ""
    """Name of the encoder; empty when not known."""
    weight_hash: str = ""
    """Hash of the encoder's weights; empty when not known."""
    steps: tuple[float, float] | None = None
    """Shortest and longest step between rows seen in training, in seconds; none: stride / fps."""

    def __post_init__(self) -> None:
        for name in ("width", "fps", "stride", "clip_length"):
            if not getattr(self, name) > 0:
                raise OptionError(f"{name} is {getattr(self, name)}, but must be positive", cure=f"change {name}")
        low, high = self.steps or (self.stride / self.fps,) * 2
        object.__setattr__(self, "steps", (float(low), float(high)))

    @classmethod
    def of(cls, videos: Iterable[tuple[str, Features]]) -> FeatureSpec:
        """What named features have in common. Raises :class:`FeatureError` when encoder, weights or width differ."""
        spec: FeatureSpec | None = None
        steps = []
        for name, features in videos:
            time = features.time
            if spec is None:
                spec = cls(
                    features.width, time.fps, time.stride, time.clip_length, features.encoder, features.weight_hash
                )
                first = name
            spec._check_source(features, name, f"those of {first}")
            steps.append(time.step)
        if spec is None:
            raise FeatureError("there are no features", cure="extract the features of the training videos first")
        rest = {name: getattr(spec, name) for name in cls.__dataclass_fields__ if name != "steps"}
        return cls(**rest, steps=(min(steps), max(steps)))

    def check(self, features: Features, where: str | None = None) -> None:
        """Raise :class:`FeatureError` unless a model trained on features like this can use ``features``."""
        self._check_source(features, where, "the model's")
        assert self.steps is not None
        low, high = self.steps
        if not low * (1 - STEP_TOLERANCE) <= features.time.step <= high * (1 + STEP_TOLERANCE):
            wanted = f"{low:g} s" if low == high else f"{low:g} to {high:g} s"
            raise FeatureError(
                f"features have a row every {features.time.step:g} s, the model's every {wanted}",
                where=where,
                cure=f"extract them at {self.fps:g} frames per second with stride {self.stride:g}",
            )
        check_rows(features, where)

    def _check_source(self, features: Features, where: str | None, others: str) -> None:
        alike = features.width == self.width and same_encoder(
            (self.encoder, self.weight_hash), (features.encoder, features.weight_hash)
        )
        for name, label in (("encoder", "encoder"), ("weight_hash", "weights")):
            ours, theirs = getattr(self, name), getattr(features, name)
            if ours and theirs and ours != theirs and not alike:
                raise FeatureError(
                    f"features come from {label} {theirs!r}, {others} from {ours!r}",
                    where=where,
                    cure=f"extract them with {self.encoder or 'the same encoder'}",
                )
        if features.width != self.width:
            raise FeatureError(
                f"features have {features.width} channels, {others} have {self.width}",
                where=where,
                cure=f"extract them with {self.encoder or 'the same encoder'}",
            )
