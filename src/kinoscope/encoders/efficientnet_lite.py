"""EfficientNet-Lite0/1/2 (Tan & Le, ICML 2019).

The Lite variants have no squeeze-and-excitation, ReLU6 instead of swish, and a stem and head that are not scaled.

Layer names are those of the released PyTorch weights; padding is TensorFlow's "SAME", as in training.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# kernel, repeats, input channels, output channels, expansion, stride (Tan & Le 2019, table 1)
_STAGES = (
    (3, 1, 32, 16, 1, 1),
    (3, 2, 16, 24, 6, 2),
    (5, 2, 24, 40, 6, 2),
    (3, 3, 40, 80, 6, 2),
    (5, 3, 80, 112, 6, 1),
    (5, 4, 112, 192, 6, 2),
    (3, 1, 192, 320, 6, 1),
)
# width factor, depth factor, input size in px
VARIANTS: dict[int, tuple[float, float, int]] = {0: (1.0, 1.0, 224), 1: (1.0, 1.1, 240), 2: (1.1, 1.2, 260)}


def _round_channels(channels: int, factor: float) -> int:
    """Scaled number of channels: the nearest multiple of 8 that is not more than 10 % too small."""
    scaled = channels * factor
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


class Conv2dSame(nn.Conv2d):
    """2-D convolution without bias, padded as TensorFlow's "SAME" does: the odd pixel goes behind."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [N, C, H, W] -> [N, C', ⌈H/s⌉, ⌈W/s⌉]."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        missing = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:]]
        if missing[0] == missing[1] and missing[0] % 2 == 0:  # symmetric: the convolution pads for free
            return F.conv2d(x, self.weight, None, self.stride, missing[0] // 2, 1, self.groups)
        pads = [p for m in reversed(missing) for p in (m // 2, m - m // 2)]
        return F.conv2d(F.pad(x, pads), self.weight, None, self.stride, 0, 1, self.groups)


class InvertedResidual(nn.Module):
    """Expand (1×1), depthwise, project (1×1); the input is added where the shape allows."""

    def __init__(self, kernel: int, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self._expand_conv = Conv2dSame(inputs, hidden, 1) if expansion > 1 else None
        self._bn0 = nn.BatchNorm2d(hidden, eps=1e-3) if expansion > 1 else None
        self._depthwise_conv = Conv2dSame(hidden, hidden, kernel, stride, groups=hidden)
        self._bn1 = nn.BatchNorm2d(hidden, eps=1e-3)
        self._project_conv = Conv2dSame(hidden, outputs, 1)
        self._bn2 = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [N, C, H, W] -> [N, C', ⌈H/s⌉, ⌈W/s⌉]."""
        y = x
        if self._expand_conv is not None and self._bn0 is not None:
            y = F.relu6(self._bn0(self._expand_conv(y)))
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.residual else y


class _Activated(nn.Module):
    """Convolution, batch norm, ReLU6."""

    def __init__(self, convolution: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.convolution, self.norm = convolution, norm

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [N, C, H, W] -> [N, C', H', W']."""
        return F.relu6(self.norm(self.convolution(x)))


class MeanOverPlaces(nn.Module):
    """The mean over some axes of a map."""

    def __init__(self, axes: tuple[int, ...]) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [N, C, …] -> [N, C]."""
        return x.mean(dim=self.axes)


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite with its ImageNet classifier.

    Args:
        variant: 0, 1 or 2.
        classes: K, outputs of the classifier.
    """

    width = 1280

    def __init__(self, variant: int = 0, classes: int = 1000) -> None:
        super().__init__()
        width, depth, _ = VARIANTS[variant]
        self._conv_stem = Conv2dSame(3, 32, 3, stride=2)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        blocks: list[nn.Module] = []
        for stage, (kernel, repeats, inputs, outputs, expansion, stride) in enumerate(_STAGES):
            first, last = stage == 0, stage == len(_STAGES) - 1
            inputs = inputs if first else _round_channels(inputs, width)  # the stem is not scaled
            outputs = _round_channels(outputs, width)
            repeats = repeats if first or last else math.ceil(repeats * depth)
            for repeat in range(repeats):
                shape = (inputs, outputs, expansion, stride) if repeat == 0 else (outputs, outputs, expansion, 1)
                blocks.append(InvertedResidual(kernel, *shape))
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = Conv2dSame(_round_channels(_STAGES[-1][3], width), self.width, 1)
        self._bn1 = nn.BatchNorm2d(self.width, eps=1e-3)
        self._fc = nn.Linear(self.width, classes)

    def steps(self) -> list[nn.Module]:
        """What :meth:`forward` does to frames one after the other, before the mean over places."""
        stem, head = _Activated(self._conv_stem, self._bn0), _Activated(self._conv_head, self._bn1)
        return [stem, *self._blocks, head]

    def forward(self, frames: Tensor) -> Tensor:
        """Pooled features of single frames. Shape: [N, 3, H, W], values (x − 127) / 128 -> [N, 1280]."""
        x = F.relu6(self._bn0(self._conv_stem(frames)))
        for block in self._blocks:
            x = block(x)
        x = F.relu6(self._bn1(self._conv_head(x)))
        return torch.mean(x, dim=(2, 3))

    def classify(self, features: Tensor) -> Tensor:
        """ImageNet logits of pooled features. Shape: [N, 1280] -> [N, K]."""
        return self._fc(features)
