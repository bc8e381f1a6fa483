"""SlowFast-R50 8×8 (Feichtenhofer et al., ICCV 2019, "SlowFast Networks for Video Recognition").

One clip is seen twice: the fast pathway sees every 2nd frame with few channels, the slow one every 8th with many. After
the first four stages a 7×1×1 convolution of stride 4 hands the fast map to the slow pathway (their section 3.4, as in
their released code for the 8×8 models). A clip of 64 frames is the paper's "8×8": 8 slow and 32 fast steps.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .normalization import Normalization, initialize, norm, scaled
from .reduction import REDUCED, Bottleneck3d, Reduction, end_with
from .resnet2d3d import EXPANSION, Bottleneck

FAST_STEPS = 4
"""α: steps of the fast pathway in one of the slow one."""
_FAST_EVERY = 2  # frames of the clip
_SLOW_EVERY = _FAST_EVERY * FAST_STEPS
_THINNER = 8  # 1/β: the fast pathway has an eighth of the channels
_FUSION_KERNEL, _FUSION_GROWTH = 7, 2
_BLOCKS = (3, 4, 6, 3)
_REDUCED_FAST = 128
_SLOW_TIME = (False, False, True, True)  # whether the blocks of a stage look at time; those of the fast one always do


class Stem(nn.Module):
    """The first layers of a pathway: a convolution, normalisation, ReLU, a pool over space."""

    def __init__(self, outputs: int, time: int, normalization: Normalization) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, outputs, (time, 7, 7), (1, 2, 2), (time // 2, 3, 3), bias=False)
        self.bn = norm(normalization, outputs)
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, 3, T, H, W] -> [B, C, T, ⌈H/4⌉, ⌈W/4⌉]."""
        return self.pool(F.relu(self.bn(self.conv(clip)), inplace=True))


class Fusion(nn.Module):
    """The lateral connection: what the fast pathway saw, in steps of the slow one, joins its channels."""

    def __init__(self, fast: int, normalization: Normalization) -> None:
        super().__init__()
        self.outputs = fast * _FUSION_GROWTH
        kernel, padding = (_FUSION_KERNEL, 1, 1), (_FUSION_KERNEL // 2, 0, 0)
        self.conv = nn.Conv3d(fast, self.outputs, kernel, (FAST_STEPS, 1, 1), padding, bias=False)
        self.bn = norm(normalization, self.outputs)

    def forward(self, slow: Tensor, fast: Tensor) -> Tensor:
        """Shape: [B, C, N, H, W], [B, C', F, H, W] -> [B, C + 2C', N, H, W], with N = ⌈F/4⌉."""
        return torch.cat((slow, F.relu(self.bn(self.conv(fast)), inplace=True)), dim=1)


class SlowFast(nn.Module):
    """The backbone. Shape: [B, 3, T, H, W] -> [B, C, ⌈T/8⌉, ⌈H/32⌉, ⌈W/32⌉].

    The channels of a step are those of the slow pathway, ``slow_width``, then those of its fast steps: their mean, of
    ``fast_width`` channels (C = 2048 + 256), or, with ``late``, all four behind each other (C = 2048 + 4 · 256), which
    :func:`pathways` takes apart again. Where the clip ends within a step, its last fast step stands for the missing.

    Args:
        width: all channels are multiplied by it.
        normalization: see :func:`.normalization.norm`.
        reduction: see :mod:`.reduction`. The slow pathway leaves with 512 channels; the fast one with 128 (C = 640) or,
            with ``late``, as it is (C = 512 + 4 · 256).
        late: keep the steps of the fast pathway.
    """

    def __init__(
        self,
        width: float = 1.0,
        normalization: Normalization = "batch",
        reduction: Reduction = "none",
        *,
        late: bool = False,
    ) -> None:
        super().__init__()
        slow, fast = scaled(64, width), scaled(64 / _THINNER, width)
        self.slow_stem, self.fast_stem = Stem(slow, 1, normalization), Stem(fast, 5, normalization)
        fusions: list[Fusion] = []
        slow_stages: list[nn.Sequential] = []
        fast_stages: list[nn.Sequential] = []
        for number, temporal in enumerate(_SLOW_TIME):
            inside, thin = scaled(64 * 2**number, width), scaled(64 * 2**number / _THINNER, width)
            fusions.append(Fusion(fast, normalization))
            slow_stages.append(_stage(number, slow + fusions[-1].outputs, inside, temporal, normalization))
            fast_stages.append(_stage(number, fast, thin, True, normalization))
            slow, fast = inside * EXPANSION, thin * EXPANSION
        self.fusions = nn.ModuleList(fusions)
        self.slow, self.fast = nn.ModuleList(slow_stages), nn.ModuleList(fast_stages)
        initialize(self)
        if reduction != "none":
            inputs, slow = slow, scaled(REDUCED, width)
            end_with(slow_stages[-1], reduction, Bottleneck3d(inputs, slow, normalization))
        if reduction != "none" and not late:
            inputs, fast = fast, scaled(_REDUCED_FAST, width)
            end_with(fast_stages[-1], reduction, Bottleneck3d(inputs, fast, normalization))
        self.late, self.slow_width, self.fast_width = late, slow, fast
        self.width = slow + fast * (FAST_STEPS if late else 1)

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, 3, T, H, W] -> [B, C, ⌈T/8⌉, ⌈H/32⌉, ⌈W/32⌉]."""
        slow = self.slow_stem(clip[:, :, ::_SLOW_EVERY])  # [B, 64, ⌈T/8⌉, ⌈H/4⌉, ⌈W/4⌉]
        fast = self.fast_stem(clip[:, :, ::_FAST_EVERY])  # [B, 8, ⌈T/2⌉, ⌈H/4⌉, ⌈W/4⌉]
        for fusion, slow_stage, fast_stage in zip(self.fusions, self.slow, self.fast, strict=True):
            slow, fast = slow_stage(fusion(slow, fast)), fast_stage(fast)  # each halves H and W but the first
        steps = in_steps(fast)  # [B, 256, N, 4, H, W]
        kept = steps.movedim(3, 1).flatten(1, 2) if self.late else steps.mean(3)  # [B, 4·256 or 256, N, H, W]
        return torch.cat((slow, kept), dim=1)  # [B, C, N, H, W]


def _stage(number: int, inputs: int, inside: int, temporal: bool, normalization: Normalization) -> nn.Sequential:
    stage = nn.Sequential()
    for block in range(_BLOCKS[number]):
        stride = 2 if block == 0 and number > 0 else 1
        stage.append(Bottleneck(inputs, inside, stride, temporal, normalization))
        inputs = inside * EXPANSION
    return stage


def in_steps(fast: Tensor) -> Tensor:
    """The fast map by steps of the slow one; the last step repeats its last map if it is not full.

    Shape: [B, C, F, H, W] -> [B, C, ⌈F/4⌉, 4, H, W].
    """
    batch, channels, steps, height, width = fast.shape
    missing = -steps % FAST_STEPS
    if missing:
        fast = torch.cat((fast, fast[:, :, -1:].expand(-1, -1, missing, -1, -1)), dim=2)  # [B, C, 4N, H, W]
    return fast.reshape(batch, channels, -1, FAST_STEPS, height, width)  # [B, C, N, 4, H, W]


def pathways(tokens: Tensor, slow_width: int) -> tuple[Tensor, Tensor]:
    """Tokens of the late form taken apart: those of the slow pathway, and those of the fast one in their order.

    Shape: [B, N, C + 4C'] -> [B, N, C], [B, 4N, C'], with C = ``slow_width``.
    """
    batch, steps, width = tokens.shape
    fast_width = (width - slow_width) // FAST_STEPS
    fast = tokens[..., slow_width:].reshape(batch, steps * FAST_STEPS, fast_width)  # [B, N, 4C'] -> [B, 4N, C']
    return tokens[..., :slow_width], fast
