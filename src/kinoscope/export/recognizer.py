"""The parts of a trained recogniser that can be exported: all of it, its encoder, or its head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..bert3d.clip_eye import ClipEye
from ..bert3d.feature_eye import FeatureEye
from ..bert3d.network import TokenClassifier
from ..bert3d.recognizer import TrainedRecognizer, load_recognizer
from ..bert3d.rivals import without_places
from ..encoders.catalog import EncoderSpec
from ..encoders.encoder import Encoder
from ..encoders.sampling import Sampling
from ..errors import OptionError
from .exportable import Exportable, Part, folded

FREE_LENGTH = ("bert", "bert-late", "tgap", "wide", "concat", "concat-fc", "non-local")
"""Heads that can be exported for any number of tokens up to their own; the others are unrolled over time."""


class WindowedEncoder(nn.Module):
    """A frozen encoder that slides over a longer clip: its features are the tokens.

    Args:
        encoder: [B, 3, t, H, W] -> [B, C].
        frames: t.
        stride: frames between the starts of neighbouring windows.
        tokens: N; the clip has t + (N - 1) · stride frames.
    """

    def __init__(self, encoder: nn.Module, frames: int, stride: int, tokens: int) -> None:
        super().__init__()
        self.encoder, self.frames = encoder, frames
        self.starts = range(0, tokens * stride, stride)

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, 3, T, H, W] -> [B, N, C]."""
        windows = torch.stack([clip[:, :, start : start + self.frames] for start in self.starts], dim=1)
        rows = self.encoder(windows.flatten(0, 1))  # [B, N, 3, t, H, W] -> [B·N, C]
        return rows.unflatten(0, (-1, len(self.starts)))  # [B, N, C]


class _Pooled(nn.Module):
    """An encoder whose tokens lose their places."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, 3, T, H, W] -> [B, N, C]."""
        return without_places(self.encoder(clip))


class _Whole(nn.Module):
    """Clip → tokens → logits."""

    def __init__(self, tokens: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.tokens, self.classifier = tokens, classifier

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, 3, T, H, W] -> [B, K]."""
        return self.classifier(self.tokens(clip))


@dataclass(frozen=True)
class _Sight:
    """How a recogniser sees: its encoder for one clip of tokens, and for the smallest piece that makes sense alone."""

    tokens: nn.Module
    """[B, 3, T, H, W] -> [B, N, C]."""
    spec: EncoderSpec
    """Of the clip of all tokens."""
    prepare: Callable[[np.ndarray], Tensor]
    """[T, S, S, 3] uint8 -> [1, 3, T, S, S]."""
    piece: nn.Module
    """What the part ``encoder`` is."""
    piece_spec: EncoderSpec
    """Of its clips."""
    sliding: bool
    """Each token is the feature of a piece; else a piece gives all tokens."""


def recognizer_part(folder: Path, part: Part, sampling: Sampling) -> Exportable:
    """A part of the recogniser in ``folder``.

    Raises:
        OptionError: a sampling of its own, or an encoder that cannot be exported.
        WeightError: see :func:`.load_recognizer`.
    """
    if sampling != Sampling():
        raise OptionError("a recogniser takes the clips of its training", cure="leave out --fps, --size and the like")
    recognizer = load_recognizer(folder, device="cpu", runtime="torch")
    return part_of(recognizer, part, folder.resolve().name)


def part_of(recognizer: TrainedRecognizer, part: Part, name: str) -> Exportable:
    """A part of a recogniser that is loaded already, on the CPU."""
    sight = _sight(recognizer)
    more = {"tokens": recognizer.tokens, "temperature": recognizer.temperature, "average": recognizer.average}
    if sight.sliding:
        more |= {"token_frames": sight.piece_spec.clip_length, "token_stride": sight.piece_spec.stride}
    videos = tuple(path for path in map(Path, recognizer.examples) if path.is_file())
    base = Exportable(
        model=f"{name} ({recognizer.head.head} on {sight.spec.summary})",
        part=part,
        network=folded(_Whole(sight.tokens, recognizer.classifier)),
        spec=sight.spec,
        prepare=sight.prepare,
        input="clip",
        output="logits",
        classes=recognizer.classes,
        more=more,
        videos=videos,
    )
    if part == "encoder":
        output = "features" if sight.sliding else "tokens"
        network, spec = folded(sight.piece), sight.piece_spec
        return replace(base, network=network, spec=spec, output=output, classes=())  # type: ignore[arg-type]
    return _head(base, sight, recognizer.classifier, recognizer) if part == "head" else base


def _head(base: Exportable, sight: _Sight, classifier: TokenClassifier, recognizer: TrainedRecognizer) -> Exportable:
    @torch.inference_mode()
    def tokens_of(clip: np.ndarray) -> Tensor:
        return sight.tokens(sight.prepare(clip)).clone()  # [T, S, S, 3] -> [1, N, C]

    most = recognizer.tokens if recognizer.head.head in FREE_LENGTH else None
    return replace(base, network=folded(classifier), prepare=tokens_of, input="tokens", most_tokens=most)


def _sight(recognizer: TrainedRecognizer) -> _Sight:
    if isinstance(recognizer.eye, FeatureEye):
        return _sliding(recognizer.eye, recognizer.tokens)
    if isinstance(recognizer.eye, ClipEye):
        return _at_once(recognizer.eye)
    raise OptionError(f"a recogniser that sees by {type(recognizer.eye).__name__} cannot be exported")


def _sliding(eye: FeatureEye, tokens: int) -> _Sight:
    encoder, frames, stride = eye.encoder, int(eye.spec.clip_length), int(eye.spec.stride)
    piece = replace(encoder.spec, fps=eye.spec.fps, clip_length=frames, stride=stride)
    whole = replace(piece, clip_length=frames + (tokens - 1) * stride)
    windows = WindowedEncoder(encoder, frames, stride, tokens)
    return _Sight(windows, whole, _prepared_by(encoder), encoder, piece, sliding=True)


def _at_once(eye: ClipEye) -> _Sight:
    encoder = eye.encoder
    tokens: nn.Module = encoder if eye.grid > 1 else _Pooled(encoder)
    return _Sight(tokens, encoder.spec, _prepared_by(encoder), tokens, encoder.spec, sliding=False)


def _prepared_by(encoder: Encoder) -> Callable[[np.ndarray], Tensor]:
    return lambda clip: encoder.prepare(clip[None])  # [T, S, S, 3] -> [1, 3, T, S, S]
