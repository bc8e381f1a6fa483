"""ResNet-18, -34 and -50 of single frames (He et al., CVPR 2016), under the names of torchvision's checkpoints.

In the bottleneck of ResNet-50 the stride stands on the 3×3 convolution, as in those checkpoints.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import OptionError

_WIDTHS, _STRIDES = (64, 128, 256, 512), (1, 2, 2, 2)
DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
"""Blocks of each stage."""


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(_convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _convolution(inputs, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _convolution(width, width, 3), nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [N, C, H, W] -> [N, C', ⌈H/s⌉, ⌈W/s⌉]."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions beside a shortcut."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1, self.bn1 = _convolution(inputs, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _convolution(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = _convolution(width, outputs, 1), nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [N, C, H, W] -> [N, 4 C', ⌈H/s⌉, ⌈W/s⌉]."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(y)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """Single frames → pooled features.

    Args:
        depth: 18, 34 or 50 layers.

    Raises:
        OptionError: another depth.
    """

    def __init__(self, depth: int) -> None:
        super().__init__()
        if depth not in DEPTHS:
            raise OptionError(f"depth is {depth}", cure=f"one of: {', '.join(map(str, DEPTHS))}")
        block = Bottleneck if depth == 50 else BasicBlock
        self.width = _WIDTHS[-1] * block.expansion
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        inputs = 64
        for stage, (width, blocks, stride) in enumerate(zip(_WIDTHS, DEPTHS[depth], _STRIDES, strict=True), 1):
            layers = []
            for number in range(blocks):
                layers.append(block(inputs, width, stride if number == 0 else 1))
                inputs = width * block.expansion
            self.add_module(f"layer{stage}", nn.Sequential(*layers))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and not layer.weight.is_meta:
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, frames: Tensor) -> Tensor:
        """Shape: [N, 3, H, W], normalised by ImageNet's mean and deviation -> [N, C]."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(frames))), 3, 2, 1)  # [N, 64, H/4, W/4]
        for stage in range(1, len(_WIDTHS) + 1):
            x = self.get_submodule(f"layer{stage}")(x)
        return x.mean(dim=(2, 3))  # [N, C, H/32, W/32] -> [N, C]
