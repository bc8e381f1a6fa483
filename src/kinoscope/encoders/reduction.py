"""Reduction blocks: the widest maps are narrowed before a head whose size grows with the square of its width.

Kalfaoglu et al., "Late Temporal Modeling in 3D CNN Architectures with BERT" (ECCV workshops 2020), section 3.3; sheet
section 4. **FRMB** puts a narrower block in the place of the backbone's last one: cheaper, but that block's pretrained
weights are lost. **FRAB** adds the same block after the last one.

=====================================  ===========================================================================
ResNeXt-101 3D, SlowFast               :class:`Bottleneck3d` 2048 → 512, with 32 groups in ResNeXt; as the paper
I3D                                    an Inception module → 512 (:func:`.i3d.inception`); as the paper
ResNet2D3D-50, S3D                     the same as SlowFast and I3D; the paper has neither
R(2+1)D                                one of its own blocks, 512 → 256: halved as I3D; the paper does not reduce it
=====================================  ===========================================================================
"""

from __future__ import annotations

from math import gcd
from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import OptionError
from .normalization import Normalization, initialize, norm

Reduction = Literal["none", "frmb", "frab"]
"""No reduction block, one in the place of the last block, or one after it."""
REDUCED = 512
"""Channels that leave the paper's reduction blocks."""


class Bottleneck3d(nn.Module):
    """1×1×1, 3×3×3, 1×1×1 convolutions beside a shortcut: ResNeXt's block, and the block that reduces.

    Args:
        inputs, outputs: channels; half of the outputs are inside.
        stride: of time, height and width.
        normalization: see :func:`.normalization.norm`.
        groups: of the convolution in the middle; fewer where they would not divide its channels.
    """

    def __init__(
        self, inputs: int, outputs: int, normalization: Normalization, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        inside = outputs // 2
        self.conv1 = nn.Conv3d(inputs, inside, 1, bias=False)
        self.bn1 = norm(normalization, inside)
        self.conv2 = nn.Conv3d(inside, inside, 3, stride, 1, groups=gcd(groups, inside), bias=False)
        self.bn2 = norm(normalization, inside)
        self.conv3 = nn.Conv3d(inside, outputs, 1, bias=False)
        self.bn3 = norm(normalization, outputs)
        self.downsample = nn.Sequential()
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv3d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, norm(normalization, outputs))
        initialize(self, "fan_in")

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, C, T, H, W] -> [B, C', ⌈T/s⌉, ⌈H/s⌉, ⌈W/s⌉]."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)  # [B, C'/2, T, H, W]
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)  # [B, C'/2, ⌈T/s⌉, ⌈H/s⌉, ⌈W/s⌉]
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x), inplace=True)  # [B, C', ⌈T/s⌉, ⌈H/s⌉, ⌈W/s⌉]


def end_with(stage: nn.Sequential, reduction: Reduction, block: nn.Module) -> None:
    """Let ``block`` take the place of the last block of ``stage`` (FRMB) or come after it (FRAB)."""
    if reduction == "frmb":
        del stage[-1]
    stage.append(block)


def require_reduction(reduction: str) -> None:
    """Raise :class:`OptionError` unless ``reduction`` is one of ``Reduction``."""
    known = get_args(Reduction)
    if reduction not in known:
        raise OptionError(f"reduction is {reduction!r}", cure=f"one of: {', '.join(known)}")
