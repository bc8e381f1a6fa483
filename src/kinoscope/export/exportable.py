"""What can be exported: one network with one input and one output, and all that another program must know of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from .. import __version__
from ..bert3d.head import UnbiasedLayerNorm
from ..encoders.catalog import EncoderSpec, encoder_spec
from ..encoders.encoder import Encoder, load_encoder
from ..encoders.sampling import Sampling
from ..errors import OptionError
from ..video.streams import MEAN, STD

Part = Literal["whole", "encoder", "head"]

FORMAT, VERSION = "kinoscope-export", 1
_TYPICAL_STD = 0.03
"""Of a class token with its position, which are the smallest values that a head normalises."""


@dataclass(frozen=True)
class Exportable:
    """One network, ready to be traced."""

    model: str
    """What it was made from, for people."""
    part: Part
    """Of the model."""
    network: nn.Module
    """In evaluation mode on the CPU: ``input`` [B, ...] -> ``output`` [B, ...]."""
    spec: EncoderSpec
    """The clips that it wants: frames per second, frames, pixels, normalisation."""
    prepare: Callable[[np.ndarray], Tensor]
    """A clip as decoded → what the network wants. Shape: [T, S, S, 3] uint8 -> [1, ...]."""
    input: Literal["clip", "tokens"]
    """Name of the input."""
    output: Literal["logits", "features", "tokens"]
    """Name of the output."""
    classes: tuple[str, ...] = ()
    """Of the logits, in order."""
    most_tokens: int | None = None
    """The number of tokens is free from 1 to this; none: it is that of the example."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else stands in its description."""
    videos: tuple[Path, ...] = ()
    """Videos that it was trained on, as far as they are known."""

    def example(self) -> Tensor:
        """An input of a batch of two: a batch of one would be taken for a constant."""
        blank = np.zeros((self.spec.clip_length, self.spec.size, self.spec.size, 3), np.uint8)
        return self.prepare(blank).contiguous().repeat_interleave(2, dim=0)

    def config(self) -> dict[str, Any]:
        """All that a program needs to use the exported file alone; values for JSON."""
        shape: list[str | int] = ["batch", *self.example().shape[1:]]
        if self.most_tokens is not None:
            shape[1] = "tokens"
        found: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "kinoscope": __version__,
            "model": self.model,
            "part": self.part,
            "input": {"name": self.input, "shape": shape, "dtype": "float32"},
            "output": {"name": self.output, "dtype": "float32"},
            "clip": clip_facts(self.spec),
        }
        if self.most_tokens is not None:
            found["input"]["most_tokens"] = self.most_tokens
        return found | dict(self.more) | {"classes": list(self.classes)}


def clip_facts(spec: EncoderSpec) -> dict[str, Any]:
    """How clips are made: pixels are (value − mean) / std per channel, values 0 … 255, channels red, green, blue."""
    mean, std = pixel_statistics(spec)
    return {
        "fps": spec.fps,
        "frames": spec.clip_length,
        "size": spec.size,
        "mean": mean,
        "std": std,
        "stream": spec.stream,
    }


def pixel_statistics(spec: EncoderSpec) -> tuple[list[float], list[float]]:
    """Mean and deviation that pixel values 0 … 255 are normalised by, per channel."""
    if spec.mean is None or spec.std is None:
        return [round(255 * value, 6) for value in MEAN], [round(255 * value, 6) for value in STD]
    return _per_channel(spec.mean), _per_channel(spec.std)


def _per_channel(value: float | Sequence[float]) -> list[float]:
    return [float(value)] * 3 if isinstance(value, (int, float)) else [float(each) for each in value]


def load_exportable(model: str, part: Part = "whole", sampling: Sampling = Sampling()) -> Exportable:
    """A part of a model, ready to be exported.

    Args:
        model: the folder of a recogniser or of an encoder, or an encoder's name.
        part: ``whole`` (clip → logits, or features where there are no classes), ``encoder`` (clip → features or
            tokens) or ``head`` (tokens → logits).
        sampling: the clips that an encoder is to take, if not its own; a recogniser's are those of its training.

    Raises:
        OptionError: an unknown name, or a part that the model does not have.
        WeightError: a damaged folder.
    """
    if kind_of(Path(model)) == "recognizer":
        from .recognizer import recognizer_part

        return recognizer_part(Path(model), part, sampling)
    return encoder_part(model, part, sampling)


def encoder_part(name: str, part: Part, sampling: Sampling) -> Exportable:
    """An encoder: its features or, as a whole, the logits of its own classes."""
    if part == "head":
        raise OptionError(f"the encoder {name} has no head", cure="use --part whole or encoder, or give a recogniser")
    spec = sampling.resolve(encoder_spec(name))
    encoder = load_encoder(name, device="cpu", runtime="torch")
    classes = spec.classes() if part == "whole" else ()
    return Exportable(
        model=spec.summary,
        part=part,
        network=folded(_Classified(encoder) if classes else encoder),
        spec=spec,
        prepare=lambda clip: encoder.prepare(clip[None]),  # [T, S, S, 3] -> [1, 3, T, S, S]
        input="clip",
        output="logits" if classes else "features",
        classes=classes,
    )


def folded(network: nn.Module) -> nn.Module:
    """A copy whose layer norms are all of the standard kind, which runtimes have a fast kernel for."""
    copied = copy.deepcopy(network).eval().requires_grad_(False)
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, UnbiasedLayerNorm):
                norm = child.folded().requires_grad_(False)
                norm.eps = 2 * child.epsilon * _TYPICAL_STD  # √(s² + e) ≈ s + e / 2s, while the head's own is s + ε
                setattr(parent, name, norm)
    return copied


class _Classified(nn.Module):
    """An encoder and the classifier that it was trained with."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, 3, T, H, W] -> [B, K]."""
        return self.encoder.classify(self.encoder(clip))


def kind_of(folder: Path) -> str | None:
    """What kind of model a folder says that it holds."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None  # told where the folder is loaded
    return str(config.get("kind")) if isinstance(config, dict) else None


def outputs_of(source: Exportable, inputs: Tensor) -> Tensor:
    """What PyTorch computes. Shape: [B, ...] -> [B, ...]."""
    with torch.inference_mode():
        return source.network(inputs)
