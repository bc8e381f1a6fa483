"""S3D, with and without gating (Xie et al., ECCV 2018, "Rethinking Spatiotemporal Feature Learning"), as CoCLR uses it.

Every k×k×k convolution of I3D becomes a 1×k×k and a k×1×1 one. CoCLR's differs from the original: symmetric padding,
PyTorch's batch norm defaults, conv weights from N(0, 0.01²), no gating by default. The layers have the names of the
official checkpoints, so that these load as they are.

Shapes of a clip 3×32×128×128, C×T×H×W:

    Conv_1a     64×16×64×64      MaxPool_4a  480×8×8×8
    MaxPool_2a  64×16×32×32      Mixed_4b    512×8×8×8     Mixed_4c  512×8×8×8    Mixed_4d  512×8×8×8
    Conv_2b     64×16×32×32      Mixed_4e    528×8×8×8     Mixed_4f  832×8×8×8
    Conv_2c    192×16×32×32      MaxPool_5a  832×4×4×4
    MaxPool_3a 192×16×16×16      Mixed_5b    832×4×4×4     Mixed_5c 1024×4×4×4
    Mixed_3b   256×16×16×16      Mixed_3c    480×16×16×16
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from .i3d import ADDED, INCEPTION, Branches, inception
from .normalization import Normalization, norm, scaled
from .reduction import Reduction

_STEM = (64, 64, 192)
MIXED = tuple(INCEPTION)
"""Names of the Inception modules, in their order."""
_POOL_BEFORE = {  # name, kernel, stride, padding
    "Mixed_3b": ("MaxPool_3a", (1, 3, 3), (1, 2, 2), (0, 1, 1)),
    "Mixed_4b": ("MaxPool_4a", (3, 3, 3), (2, 2, 2), (1, 1, 1)),
    "Mixed_5b": ("MaxPool_5a", (2, 2, 2), (2, 2, 2), (0, 0, 0)),
}


@dataclass(frozen=True)
class Channels:
    """How many channels every layer of an S3D has."""

    stem: tuple[int, int, int] = _STEM
    """Of Conv_1a, Conv_2b and Conv_2c."""
    mixed: tuple[Branches, ...] = tuple(INCEPTION.values())
    """Of the Inception modules; one more than published is called ``Mixed_5d``."""

    @classmethod
    def of_width(cls, width: float, reduction: Reduction = "none") -> Channels:
        """The published numbers times ``width``, as multiples of 8; a reduction has its own, see :mod:`.reduction`."""
        first, second, third = (scaled(channels, width) for channels in _STEM)
        return cls((first, second, third), tuple(inception(width, reduction).values()))


class PointConv(nn.Module):
    """The sheet's "P1": 1×1×1 convolution, normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, normalization: Normalization) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 1, bias=False)
        self.bn = norm(normalization, outputs)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, C, T, H, W] -> [B, C', T, H, W]."""
        return self.relu(self.bn(self.conv(x)))


class SeparableConv(nn.Module):
    """The sheet's "ST(k)": a 1×k×k convolution, then a k×1×1 one, each with normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, normalization: Normalization) -> None:
        super().__init__()
        k, s, pad = kernel, stride, kernel // 2
        self.conv1 = nn.Conv3d(inputs, outputs, (1, k, k), (1, s, s), (0, pad, pad), bias=False)
        self.bn1 = norm(normalization, outputs)
        self.conv2 = nn.Conv3d(outputs, outputs, (k, 1, 1), (s, 1, 1), (pad, 0, 0), bias=False)
        self.bn2 = norm(normalization, outputs)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, C, T, H, W] -> [B, C', ⌈T/s⌉, ⌈H/s⌉, ⌈W/s⌉]."""
        x = self.relu(self.bn1(self.conv1(x)))  # [B, C', T, ⌈H/s⌉, ⌈W/s⌉]
        return self.relu(self.bn2(self.conv2(x)))  # [B, C', ⌈T/s⌉, ⌈H/s⌉, ⌈W/s⌉]


class Gate(nn.Module):
    """Feature gating of S3D-G: a sigmoid of the pooled features multiplies the channels (Xie et al., section 4.3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, C, T, H, W] -> the same."""
        gates = self.fc(x.mean(dim=(2, 3, 4))).sigmoid()  # [B, C]
        return x * gates[:, :, None, None, None]


class Mixed(nn.Module):
    """Four branches, each gated if wanted, concatenated over channels."""

    def __init__(self, inputs: int, branches: Branches, gating: bool, normalization: Normalization) -> None:
        super().__init__()
        a, b, c, d, e, f = branches
        self.branch0 = nn.Sequential(PointConv(inputs, a, normalization))
        self.branch1 = nn.Sequential(PointConv(inputs, b, normalization), SeparableConv(b, c, 3, 1, normalization))
        self.branch2 = nn.Sequential(PointConv(inputs, d, normalization), SeparableConv(d, e, 3, 1, normalization))
        self.branch3 = nn.Sequential(nn.MaxPool3d(3, 1, 1), PointConv(inputs, f, normalization))
        self.outputs = a + c + e + f
        self.gating = gating
        if gating:
            self.gating_b0, self.gating_b1, self.gating_b2, self.gating_b3 = (Gate(n) for n in (a, c, e, f))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, C, T, H, W] -> [B, C', T, H, W]."""
        branches = [self.branch0(x), self.branch1(x), self.branch2(x), self.branch3(x)]
        if self.gating:
            gates = (self.gating_b0, self.gating_b1, self.gating_b2, self.gating_b3)
            branches = [gate(branch) for gate, branch in zip(gates, branches, strict=True)]
        return torch.cat(branches, dim=1)


class S3D(nn.Sequential):
    """The backbone. Shape: [B, 3, T, H, W] -> [B, C, ⌈T/8⌉, ⌈H/32⌉, ⌈W/32⌉] for even halves; C is ``width``.

    Args:
        channels: of every layer; the published ones by default, :meth:`Channels.of_width` for fewer.
        gating: the variant S3D-G.
        normalization: see :func:`.normalization.norm`.
    """

    def __init__(
        self, channels: Channels = Channels(), *, gating: bool = False, normalization: Normalization = "batch"
    ) -> None:
        super().__init__()
        first, second, third = channels.stem
        self.add_module("Conv_1a", SeparableConv(3, first, 7, 2, normalization))
        self.add_module("MaxPool_2a", nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)))
        self.add_module("Conv_2b", PointConv(first, second, normalization))
        self.add_module("Conv_2c", SeparableConv(second, third, 3, 1, normalization))
        inputs = third
        for name, branches in zip((*MIXED, ADDED), channels.mixed, strict=False):
            if name in _POOL_BEFORE:
                pool, kernel, stride, padding = _POOL_BEFORE[name]
                self.add_module(pool, nn.MaxPool3d(kernel, stride, padding))
            module = Mixed(inputs, branches, gating, normalization)
            self.add_module(name, module)
            inputs = module.outputs
        self.width = inputs
        for layer in self.modules():
            if isinstance(layer, nn.Conv3d) and not layer.weight.is_meta:  # where it takes seconds, for nothing
                nn.init.normal_(layer.weight, std=0.01)


def channels_of(state: Mapping[str, Tensor]) -> Channels:
    """The channels of the S3D that a state dict belongs to. Raises ``KeyError`` for a tensor that is not there."""

    def outputs(layer: str) -> int:
        return len(state[f"{layer}.weight"])

    stem = outputs("Conv_1a.conv1"), outputs("Conv_2b.conv"), outputs("Conv_2c.conv1")
    layers = ("branch0.0.conv", "branch1.0.conv", "branch1.1.conv1", "branch2.0.conv", "branch2.1.conv1")
    mixed = (tuple(outputs(f"{name}.{layer}") for layer in (*layers, "branch3.1.conv")) for name in MIXED)
    return Channels(stem, tuple(cast("Branches", branches) for branches in mixed))
