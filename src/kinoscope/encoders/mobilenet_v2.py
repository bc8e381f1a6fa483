"""MobileNetV2 of single frames (Sandler et al., CVPR 2018), under the names of torchvision's checkpoints."""

from __future__ import annotations

from torch import Tensor, nn

# expansion, channels, repeats, stride (Sandler et al. 2018, table 2)
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_STEM = 32


def _unit(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """Expand (1×1), depthwise (3×3), project (1×1); the input is added where the shape allows."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        expand = [_unit(inputs, hidden, 1)] if expansion > 1 else []
        project = nn.Conv2d(hidden, outputs, 1, bias=False)
        self.conv = nn.Sequential(
            *expand, _unit(hidden, hidden, 3, stride, groups=hidden), project, nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [N, C, H, W] -> [N, C', ⌈H/s⌉, ⌈W/s⌉]."""
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    """Single frames → pooled features."""

    width = 1280

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_unit(3, _STEM, 3, 2)]
        inputs = _STEM
        for expansion, outputs, repeats, stride in _STAGES:
            for number in range(repeats):
                layers.append(InvertedResidual(inputs, outputs, expansion, stride if number == 0 else 1))
                inputs = outputs
        self.features = nn.Sequential(*layers, _unit(inputs, self.width, 1))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and not layer.weight.is_meta:
                nn.init.kaiming_normal_(layer.weight, mode="fan_out")

    def forward(self, frames: Tensor) -> Tensor:
        """Shape: [N, 3, H, W], normalised by ImageNet's mean and deviation -> [N, 1280]."""
        return self.features(frames).mean(dim=(2, 3))
