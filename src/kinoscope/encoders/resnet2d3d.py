"""2D3D-ResNet-50: the second backbone of CoCLR (sheet section 2), also that of CVRL (Qian et al., CVPR 2021).

The first two stages look at frames one by one; the bottlenecks of the last two begin with a 3×1×1 convolution. Time
is halved once, by the first layer.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .normalization import Normalization, initialize, norm, scaled
from .reduction import REDUCED, Bottleneck3d, Reduction, end_with

_STAGES = ((3, 64, False), (4, 128, False), (6, 256, True), (3, 512, True))  # blocks, channels inside, looks at time
EXPANSION = 4
"""Channels that leave a bottleneck for each one inside."""


class Bottleneck(nn.Module):
    """1×1×1 or 3×1×1, 1×3×3, 1×1×1 convolutions beside a shortcut."""

    def __init__(self, inputs: int, inside: int, stride: int, temporal: bool, normalization: Normalization) -> None:
        super().__init__()
        outputs, time = inside * EXPANSION, 3 if temporal else 1
        self.conv1 = nn.Conv3d(inputs, inside, (time, 1, 1), padding=(time // 2, 0, 0), bias=False)
        self.bn1 = norm(normalization, inside)
        self.conv2 = nn.Conv3d(inside, inside, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)
        self.bn2 = norm(normalization, inside)
        self.conv3 = nn.Conv3d(inside, outputs, 1, bias=False)
        self.bn3 = norm(normalization, outputs)
        self.downsample = nn.Sequential()
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv3d(inputs, outputs, 1, (1, stride, stride), bias=False)
            self.downsample = nn.Sequential(shortcut, norm(normalization, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, C, T, H, W] -> [B, C', T, ⌈H/s⌉, ⌈W/s⌉]."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)  # [B, C'/4, T, H, W]
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)  # [B, C'/4, T, ⌈H/s⌉, ⌈W/s⌉]
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x), inplace=True)  # [B, C', T, ⌈H/s⌉, ⌈W/s⌉]


class ResNet2d3d(nn.Module):
    """The backbone. Shape: [B, 3, T, H, W] -> [B, C, ⌈T/2⌉, ⌈H/32⌉, ⌈W/32⌉]; C is ``width``, 2048 if not scaled.

    Args:
        width: all channels are multiplied by it.
        normalization: see :func:`.normalization.norm`.
        reduction: C becomes 512, see :mod:`.reduction`.
    """

    def __init__(
        self, width: float = 1.0, normalization: Normalization = "batch", reduction: Reduction = "none"
    ) -> None:
        super().__init__()
        channels = scaled(64, width)
        self.conv1 = nn.Conv3d(3, channels, (5, 7, 7), 2, (2, 3, 3), bias=False)
        self.bn1 = norm(normalization, channels)
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        stages: list[nn.Sequential] = []
        for number, (blocks, inside, temporal) in enumerate(_STAGES, 1):
            inside = scaled(inside, width)
            stage = nn.Sequential()
            for block in range(blocks):
                stride = 2 if block == 0 and number > 1 else 1
                stage.append(Bottleneck(channels, inside, stride, temporal, normalization))
                channels = inside * EXPANSION
            stages.append(stage)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        initialize(self)
        if reduction != "none":
            inputs, channels = channels, scaled(REDUCED, width)
            end_with(self.layer4, reduction, Bottleneck3d(inputs, channels, normalization))
        self.width = channels

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, 3, T, H, W] -> [B, C, ⌈T/2⌉, ⌈H/32⌉, ⌈W/32⌉]."""
        x = F.relu(self.bn1(self.conv1(clip)), inplace=True)  # [B, 64, ⌈T/2⌉, ⌈H/2⌉, ⌈W/2⌉]
        x = self.layer1(self.pool(x))  # [B, 256, ⌈T/2⌉, ⌈H/4⌉, ⌈W/4⌉]
        x = self.layer2(x)  # [B, 512, ⌈T/2⌉, ⌈H/8⌉, ⌈W/8⌉]
        x = self.layer3(x)  # [B, 1024, ⌈T/2⌉, ⌈H/16⌉, ⌈W/16⌉]
        return self.layer4(x)  # [B, 2048, ⌈T/2⌉, ⌈H/32⌉, ⌈W/32⌉]
