"""Public releases of clip networks, trained on Kinetics or IG65M → our backbones, with the classifier they came with.

Source: specification section 4 (layouts) and 7 (what they were fed); names: :mod:`.backbone_names`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..encoders.backbones import build_backbone
from ..encoders.trained import TrainedSpec
from ..video.streams import Stream
from .backbone_names import (
    Naming,
    hassony2_i3d,
    same_names,
    slowfast_facebook,
    slowfast_pytorchvideo,
    torchvision_s3d,
)
from .flow_input import PublishedFlow, fill_either
from .matching import rows_of, tensors_in

Levels = tuple[float, float, float]


@dataclass(frozen=True)
class Diet:
    """What a published network was fed: clips like these it knows."""

    size: int
    """Pixels of the square."""
    decode_size: int
    """Pixels of the short side before that."""
    frames: int
    """In a clip."""
    fps: float
    """Frames per second of video; where a network was fed every frame of its videos, what most of them have."""
    mean: Levels
    """Subtracted from pixel values 0 … 255."""
    std: Levels
    """Pixel values are divided by it after that."""

    def spec(self, backbone: str, stream: Stream, **changes: Any) -> TrainedSpec:
        """The encoder that is fed the same; ``changes`` are of :class:`TrainedSpec`. No motion is in the middle."""
        asked = {
            "width": 1.0,
            "normalization": "batch",
            "fps": self.fps,
            "clip_length": self.frames,
            "size": self.size,
            "decode_size": self.decode_size,
            "crop": self.size / self.decode_size,  # cut out of decoded frames as it is, not scaled
            "mean": _HALF if stream == "flow" else self.mean,
            "std": self.std,
        }
        return TrainedSpec(backbone=backbone, stream=stream, **{**asked, **changes})


def _levels(*shares: float) -> Levels:
    """Of 0 … 1, for pixel values 0 … 255."""
    red, green, blue = (round(share * 255, 6) for share in shares)
    return red, green, blue


_HALF: Levels = (127.5, 127.5, 127.5)
_KINETICS = _levels(0.43216, 0.394666, 0.37645), _levels(0.22803, 0.22145, 0.216989)
_HARA: Levels = (114.7748, 107.7354, 99.4750)

R2PLUS1D = Diet(112, 128, 32, 30.0, *_KINETICS)
RESNEXT = Diet(112, 128, 64, 25.0, _HARA, (1.0, 1.0, 1.0))
I3D = Diet(224, 256, 64, 25.0, _HALF, _HALF)
_SLOWFAST = Diet(224, 256, 64, 30.0, _levels(0.45, 0.45, 0.45), _levels(0.225, 0.225, 0.225))


@dataclass(frozen=True)
class Release:
    """One family of files."""

    backbone: str
    """See :func:`kinoscope.encoders.backbones.build_backbone`."""
    namings: tuple[Naming, ...]
    """What the tensors may be called."""
    diet: Diet
    """What it was fed."""
    epsilon: float | None = None
    """Of its batch norms, where the backbone's own default is another."""
    pairs: bool = False
    """Whether neighbouring steps of time are averaged before all are."""


RELEASES: dict[str, Release] = {
    "r2plus1d-18-torchvision": Release("r2plus1d-18", (same_names("fc"),), Diet(112, 128, 16, 15.0, *_KINETICS)),
    "s3d-torchvision": Release(
        "s3d", (torchvision_s3d,), Diet(224, 256, 128, 15.0, *_KINETICS), epsilon=1e-3, pairs=True
    ),
    "r2plus1d-34-ig65m": Release("r2plus1d-34", (same_names("fc"),), R2PLUS1D),
    "resnext3d-101-kinetics": Release("resnext3d-101", (same_names("fc"),), RESNEXT),
    "slowfast-50": Release("slowfast-50", (slowfast_pytorchvideo, slowfast_facebook), _SLOWFAST),
    "i3d-pytorch": Release("i3d", (same_names("logits.conv3d"), hassony2_i3d), I3D, pairs=True),
}


class BackboneClassifier(nn.Module):
    """A published network whole: normalised clip → logits of the classes that it was trained on.

    Args:
        backbone: clip [B, 3, T, H, W] -> map [B, C, N, H', W'], with its C as ``width``.
        classes: K.
        pairs: average neighbouring steps of time before all, as networks do that pool 2 × 7 × 7.
    """

    def __init__(self, backbone: nn.Module, classes: int, *, pairs: bool = False) -> None:
        super().__init__()
        self.backbone, self.pairs = backbone, pairs
        self.last = nn.Linear(int(backbone.width), classes)  # type: ignore[arg-type]  # every backbone has it

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, 3, T, H, W] -> [B, K]."""
        steps = self.backbone(clip).mean(dim=(3, 4))  # [B, C, N, H', W'] -> [B, C, N]
        if self.pairs and steps.shape[2] > 1:
            steps = (steps[:, :, :-1] + steps[:, :, 1:]) / 2  # [B, C, N - 1]
        return self.last(steps.mean(dim=2))  # [B, C, N] -> [B, K]


def load_backbone(checkpoint: Mapping[str, Any], source: str) -> BackboneClassifier | PublishedFlow[BackboneClassifier]:
    """The network of a public release, in evaluation mode: ``m(clip)`` → logits [B, K], its maps by ``m.backbone``.

    A network of motion, whose first convolution has two channels, takes clips of two channels too and is in
    ``m.network``. SlowFast takes 64 frames; its pathways see every 8th and every 2nd of them. (PyTorchVideo spreads the
    slow ones from the first frame to the last, so that some are others.)

    Args:
        checkpoint: a state dict, or a checkpoint around one.
        source: a key of ``RELEASES``.

    Raises:
        WeightError: tensors are missing, unknown or of another shape; they are named.
    """
    release, found = RELEASES[source], tensors_in(checkpoint)
    cure = f"give a file of {source}, or say what else it is"
    with torch.device("meta"):  # sizes are compared before any memory is taken
        backbone = build_backbone(release.backbone, epsilon=release.epsilon)
        first = f"backbone.{next(iter(backbone.state_dict()))}"
        naming = next((each for each in release.namings if each(first) in found), release.namings[0])
        classes = rows_of(found, naming("last.weight"), cure)
        network = BackboneClassifier(backbone, classes, pairs=release.pairs)
    if release.pairs:  # those classify by a 1×1×1 convolution
        found[naming("last.weight")] = found[naming("last.weight")].flatten(1)  # [K, C, 1, 1, 1] -> [K, C]
    return fill_either(network, found, naming(first), cure, naming)
