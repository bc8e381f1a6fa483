"""R(2+1)D-18 and -34 (Tran et al., CVPR 2018, "A Closer Look at Spatiotemporal Convolutions").

A 3×3×3 convolution becomes a 1×3×3 and a 3×1×1 one with M channels between them, M chosen so that the number of
parameters stays (their section 3.5). Layers are named as in the widespread PyTorch releases of it.

The 18 layers are those of torchvision, where both convolutions of a block have the M of the first. The 34 layers are
those of the weights pretrained on IG65M (Ghadiyaram et al., CVPR 2019), converted from Caffe2: there each convolution
has its own M, and batch norms add 0.001 to their variances. (The PyTorch release also copies Caffe2's momentum of 0.9,
which in PyTorch means to forget at once; ours is PyTorch's 0.1.)
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .normalization import Normalization, initialize, norm, scaled, set_epsilon
from .reduction import Reduction, end_with

_STAGES = (64, 128, 256, 512)
_BLOCKS_18, _BLOCKS_34 = (2, 2, 2, 2), (3, 4, 6, 3)
_STEM_BETWEEN = 45  # M of the first layer: it is not 3×3×3, and was chosen by hand
_CAFFE2_EPSILON = 1e-3
_REDUCED = 256


def between(inputs: int, outputs: int) -> int:
    """M = ⌊t d² N N' / (d² N + t N')⌋ with t = d = 3: channels between the two convolutions."""
    return 27 * inputs * outputs // (9 * inputs + 3 * outputs)


class Conv2Plus1d(nn.Sequential):
    """1×3×3 convolution, normalisation, ReLU, 3×1×1 convolution."""

    def __init__(self, inputs: int, middle: int, outputs: int, stride: int, normalization: Normalization) -> None:
        super().__init__(
            nn.Conv3d(inputs, middle, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
            norm(normalization, middle),
            nn.ReLU(inplace=True),
            nn.Conv3d(middle, outputs, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
        )


class BasicBlock(nn.Module):
    """Two factorised convolutions beside a shortcut; both have the M of the first, or each its own (``own_middle``)."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, normalization: Normalization, *, own_middle: bool = False
    ) -> None:
        super().__init__()
        middle = between(inputs, outputs)
        first = Conv2Plus1d(inputs, middle, outputs, stride, normalization)
        self.conv1 = nn.Sequential(first, norm(normalization, outputs), nn.ReLU(inplace=True))
        if own_middle:
            middle = between(outputs, outputs)
        second = Conv2Plus1d(outputs, middle, outputs, 1, normalization)
        self.conv2 = nn.Sequential(second, norm(normalization, outputs))
        self.downsample = nn.Sequential()
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv3d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, norm(normalization, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, C, T, H, W] -> [B, C', ⌈T/s⌉, ⌈H/s⌉, ⌈W/s⌉]."""
        return F.relu(self.conv2(self.conv1(x)) + self.downsample(x), inplace=True)


class R2Plus1d(nn.Module):
    """The backbone. Shape: [B, 3, T, H, W] -> [B, C, ⌈T/8⌉, ⌈H/16⌉, ⌈W/16⌉]; C is ``width``, 512 if not scaled.

    Args:
        width: all channels are multiplied by it.
        normalization: see :func:`.normalization.norm`.
        reduction: C becomes 256, see :mod:`.reduction`.
        deep: 34 layers as in the weights from IG65M, not 18.
    """

    def __init__(
        self,
        width: float = 1.0,
        normalization: Normalization = "batch",
        reduction: Reduction = "none",
        *,
        deep: bool = False,
    ) -> None:
        super().__init__()
        channels, middle = scaled(_STAGES[0], width), max(8, round(_STEM_BETWEEN * width))
        self.stem = nn.Sequential(
            nn.Conv3d(3, middle, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
            norm(normalization, middle),
            nn.ReLU(inplace=True),
            nn.Conv3d(middle, channels, (3, 1, 1), padding=(1, 0, 0), bias=False),
            norm(normalization, channels),
            nn.ReLU(inplace=True),
        )
        stages: list[nn.Sequential] = []
        for number, (outputs, blocks) in enumerate(zip(_STAGES, _BLOCKS_34 if deep else _BLOCKS_18, strict=True), 1):
            outputs = scaled(outputs, width)
            stage = nn.Sequential()
            for block in range(blocks):
                stride = 2 if block == 0 and number > 1 else 1
                stage.append(BasicBlock(channels, outputs, stride, normalization, own_middle=deep))
                channels = outputs
            stages.append(stage)
        if reduction != "none":
            inputs, channels = channels, scaled(_REDUCED, width)
            end_with(stages[-1], reduction, BasicBlock(inputs, channels, 1, normalization, own_middle=deep))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.width = channels
        initialize(self)
        if deep:
            set_epsilon(self, _CAFFE2_EPSILON)

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, 3, T, H, W] -> [B, C, ⌈T/8⌉, ⌈H/16⌉, ⌈W/16⌉]."""
        x = self.layer1(self.stem(clip))  # [B, 64, T, ⌈H/2⌉, ⌈W/2⌉]
        x = self.layer2(x)  # [B, 128, ⌈T/2⌉, ⌈H/4⌉, ⌈W/4⌉]
        x = self.layer3(x)  # [B, 256, ⌈T/4⌉, ⌈H/8⌉, ⌈W/8⌉]
        return self.layer4(x)  # [B, 512, ⌈T/8⌉, ⌈H/16⌉, ⌈W/16⌉]
