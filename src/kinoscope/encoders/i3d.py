"""Two-stream Inflated 3D ConvNet, RGB stream (Carreira & Zisserman, CVPR 2017, figure 3), as published.

TensorFlow's "SAME" padding is kept: it depends on the input size and is not symmetric, so plain symmetric padding
would shift the features of every strided layer. The published network pools 2 × 7 × 7 at the end, which is the whole
frame at 224 px; here the whole frame is pooled at any size, which is equal at 224 px.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .normalization import Normalization, norm, scaled, set_epsilon
from .reduction import Reduction

Branches = tuple[int, int, int, int, int, int]
"""Output channels a, b→c, d→e, f of an Inception module: 1×1, (1×1, 3×3), (1×1, 3×3), (pool, 1×1)."""

INCEPTION: dict[str, Branches] = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
"""The modules of I3D and of S3D, in their order."""
ADDED = "Mixed_5d"
"""The module that FRAB adds."""
_REDUCED: Branches = (192, 96, 192, 24, 64, 64)
_POOL_BEFORE = {
    "Mixed_3b": ((1, 3, 3), (1, 2, 2)),
    "Mixed_4b": ((3, 3, 3), (2, 2, 2)),
    "Mixed_5b": ((2, 2, 2), (2, 2, 2)),
}
_EPSILON = 1e-3  # of the batch norms of the published weights
_POOL_NAME = {"Mixed_3b": "MaxPool3d_3a_3x3", "Mixed_4b": "MaxPool3d_4a_3x3", "Mixed_5b": "MaxPool3d_5a_2x2"}

Triple = tuple[int, int, int]


def inception(width: float = 1.0, reduction: Reduction = "none") -> dict[str, Branches]:
    """The modules with their channels times ``width``, as multiples of 8; the last one leaves 512 if they are reduced.

    With ``"frmb"`` the reduced module is ``Mixed_5c``, with ``"frab"`` it follows as ``Mixed_5d`` (:mod:`.reduction`).
    """
    modules = dict(INCEPTION)
    if reduction != "none":
        modules["Mixed_5c" if reduction == "frmb" else ADDED] = _REDUCED
    return {
        name: (
            scaled(a, width),
            scaled(b, width),
            scaled(c, width),
            scaled(d, width),
            scaled(e, width),
            scaled(f, width),
        )
        for name, (a, b, c, d, e, f) in modules.items()
    }


def pad_same(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """Zero-pad the last three axes as TensorFlow's "SAME" does: the odd one goes behind."""
    pads: list[int] = []
    for size, k, s in zip(reversed(x.shape[-3:]), reversed(kernel), reversed(stride), strict=True):
        missing = max((-(-size // s) - 1) * s + k - size, 0)
        pads += [missing // 2, missing - missing // 2]
    return F.pad(x, pads) if any(pads) else x


class MaxPoolSame(nn.Module):
    """Max pooling with "SAME" padding. Zeros are neutral: every input went through a ReLU."""

    def __init__(self, kernel: Triple, stride: Triple) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, C, T, H, W] -> [B, C, ⌈T/s⌉, ⌈H/s⌉, ⌈W/s⌉]."""
        return F.max_pool3d(pad_same(x, self.kernel, self.stride), self.kernel, self.stride)


class Unit3D(nn.Module):
    """Convolution, normalisation (a batch norm adds 0.001 to variances), ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Triple = (1, 1, 1),
        stride: Triple = (1, 1, 1),
        *,
        normalization: Normalization = "batch",
    ) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.bn = norm(normalization, outputs)
        set_epsilon(self.bn, _EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, C, T, H, W] -> [B, C', ⌈T/s⌉, ⌈H/s⌉, ⌈W/s⌉]."""
        return F.relu(self.bn(self.conv3d(pad_same(x, self.kernel, self.stride))))


class InceptionModule(nn.Module):
    """Four branches, concatenated over channels."""

    def __init__(self, inputs: int, widths: Branches, normalization: Normalization = "batch") -> None:
        super().__init__()
        unit = partial(Unit3D, normalization=normalization)
        self.b0 = unit(inputs, widths[0])
        self.b1a = unit(inputs, widths[1])
        self.b1b = unit(widths[1], widths[2], (3, 3, 3))
        self.b2a = unit(inputs, widths[3])
        self.b2b = unit(widths[3], widths[4], (3, 3, 3))
        self.b3a = MaxPoolSame((3, 3, 3), (1, 1, 1))
        self.b3b = unit(inputs, widths[5])
        self.outputs = widths[0] + widths[2] + widths[4] + widths[5]

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, C, T, H, W] -> [B, C', T, H, W]."""
        branches = (self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x)))
        return torch.cat(branches, dim=1)


class I3DBackbone(nn.Sequential):
    """The backbone. Shape: [B, 3, T, H, W] -> [B, C, ⌈T/8⌉, ⌈H/32⌉, ⌈W/32⌉]; C is ``width``, 1024 if not scaled.

    Args:
        width: all channels are multiplied by it.
        normalization: see :func:`.normalization.norm`.
        reduction: C becomes 512, see :mod:`.reduction`.
        channels: of the input; 3 for RGB.
    """

    def __init__(
        self,
        width: float = 1.0,
        normalization: Normalization = "batch",
        reduction: Reduction = "none",
        *,
        channels: int = 3,
    ) -> None:
        super().__init__()
        unit = partial(Unit3D, normalization=normalization)
        first, third = scaled(64, width), scaled(192, width)
        self.add_module("Conv3d_1a_7x7", unit(channels, first, (7, 7, 7), (2, 2, 2)))
        self.add_module("MaxPool3d_2a_3x3", MaxPoolSame((1, 3, 3), (1, 2, 2)))
        self.add_module("Conv3d_2b_1x1", unit(first, first))
        self.add_module("Conv3d_2c_3x3", unit(first, third, (3, 3, 3)))
        inputs = third
        for name, widths in inception(width, reduction).items():
            if name in _POOL_BEFORE:
                self.add_module(_POOL_NAME[name], MaxPoolSame(*_POOL_BEFORE[name]))
            module = InceptionModule(inputs, widths, normalization)
            self.add_module(name, module)
            inputs = module.outputs
        self.width = inputs


class PairMean(nn.Module):
    """The mean over places, and over the averages of neighbouring moments.

    The published logits are the mean over time of a linear layer on a 2-frame average; the mean of those averages is
    taken here first, so that ``classify(forward(clip))`` equals them.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, C, T, H, W] -> [B, C]."""
        x = x.mean(dim=(3, 4))  # [B, C, T]
        if x.shape[2] > 1:
            x = (x[:, :, :-1] + x[:, :, 1:]) / 2  # [B, C, T - 1]
        return x.mean(dim=2)


class I3D(nn.Module):
    """I3D with its classifier.

    Args:
        classes: K, outputs of the classifier.
        channels: of the input; 3 for RGB.
    """

    width = 1024

    def __init__(self, classes: int = 400, channels: int = 3) -> None:
        super().__init__()
        self.features = I3DBackbone(channels=channels)
        self.logits = nn.Conv3d(self.width, classes, kernel_size=1)

    def forward(self, clip: Tensor) -> Tensor:
        """Pooled feature. Shape: [B, 3, T, H, W], values in [-1, 1] -> [B, 1024]."""
        return PairMean()(self.features(clip))

    def classify(self, features: Tensor) -> Tensor:
        """Logits of pooled features. Shape: [B, 1024] -> [B, K]."""
        return self.logits(features[:, :, None, None, None]).flatten(1)
