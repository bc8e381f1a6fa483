"""ResNeXt-101 3D (Hara et al., CVPR 2018, "Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?").

Every convolution sees space and time. The first layer keeps time, the pool behind it and three stages halve it: 64
frames of 112 px become 4 steps of 4 × 4. Shortcuts that change size are convolutions (their "type B"). Layers are named
as in the released checkpoints.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .normalization import Normalization, initialize, norm, scaled
from .reduction import REDUCED, Bottleneck3d, Reduction, end_with

_STAGES = ((3, 256), (4, 512), (23, 1024), (3, 2048))  # blocks, channels that leave them
_GROUPS = 32  # the paper's "cardinality"


class ResNeXt3d(nn.Module):
    """The backbone. Shape: [B, 3, T, H, W] -> [B, C, ⌈T/16⌉, ⌈H/32⌉, ⌈W/32⌉]; C is ``width``, 2048 if not scaled.

    Args:
        width: all channels are multiplied by it.
        normalization: see :func:`.normalization.norm`.
        reduction: C becomes 512, see :mod:`.reduction`.
        channels: of the input; 3 for RGB, 2 in the published networks for flow.
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
        inputs, channels = channels, scaled(64, width)
        self.conv1 = nn.Conv3d(inputs, channels, 7, (1, 2, 2), 3, bias=False)
        self.bn1 = norm(normalization, channels)
        self.pool = nn.MaxPool3d(3, 2, 1)
        stages: list[nn.Sequential] = []
        for number, (blocks, outputs) in enumerate(_STAGES, 1):
            outputs = scaled(outputs, width)
            stage = nn.Sequential()
            for block in range(blocks):
                stride = 2 if block == 0 and number > 1 else 1
                stage.append(Bottleneck3d(channels, outputs, normalization, stride=stride, groups=_GROUPS))
                channels = outputs
            stages.append(stage)
        if reduction != "none":
            inputs, channels = channels, scaled(REDUCED, width)
            end_with(stages[-1], reduction, Bottleneck3d(inputs, channels, normalization, groups=_GROUPS))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.width = channels
        initialize(self.conv1, "fan_in")

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, 3, T, H, W] -> [B, C, ⌈T/16⌉, ⌈H/32⌉, ⌈W/32⌉]."""
        x = F.relu(self.bn1(self.conv1(clip)), inplace=True)  # [B, 64, T, ⌈H/2⌉, ⌈W/2⌉]
        x = self.layer1(self.pool(x))  # [B, 256, ⌈T/2⌉, ⌈H/4⌉, ⌈W/4⌉]
        x = self.layer2(x)  # [B, 512, ⌈T/4⌉, ⌈H/8⌉, ⌈W/8⌉]
        x = self.layer3(x)  # [B, 1024, ⌈T/8⌉, ⌈H/16⌉, ⌈W/16⌉]
        return self.layer4(x)  # [B, 2048, ⌈T/16⌉, ⌈H/32⌉, ⌈W/32⌉]
