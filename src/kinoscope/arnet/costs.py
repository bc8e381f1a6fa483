"""What looking costs: multiply-accumulates of the actual networks, counted, and what was really spent on a video.

Counted as in the published table (see :func:`kinoscope.encoders.cost.count_macs`): for ResNets and 200 classes it gives
4.110, 2.249, 0.486 and 0.053 GMAC. Papers call a GMAC a GFLOP.

Source: AR-Net sheet, sections 2, 7 and 10.4 (skips cut off by the end are undercounted there; here every look counts).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..encoders.cost import count_macs
from .actions import Actions
from .network import ArNet

_GIGA = 1e9
RESNET50_GMAC = 4.1103
"""Of a frame at 224 px; what α was published for."""


@dataclass(frozen=True)
class CostTable:
    """GMAC of one frame."""

    backbones: tuple[float, ...]
    """For each resolution, the classifier included. Shape: [L]."""
    policy: float
    """Every time the policy is asked: its network, its memory and its answers."""

    def per_action(self, actions: Actions) -> Tensor:
        """c_k: what each action costs beside the policy. Shape: [A]."""
        return torch.tensor([*self.backbones, *[0.0] * (actions.count - len(self.backbones))])

    def relative(self) -> CostTable:
        """The same, scaled so that the largest backbone costs what ResNet-50 does at 224 px."""
        scale = RESNET50_GMAC / max(self.backbones)
        return CostTable(tuple(scale * each for each in self.backbones), scale * self.policy)

    def gmac(self, consulted: int, used: Sequence[int]) -> float:
        """Of a video: ``consulted`` looks of the policy, and how many frames each backbone was ``used`` for."""
        return consulted * self.policy + sum(n * cost for n, cost in zip(used, self.backbones, strict=False))


class _Step(nn.Module):
    """The policy on one frame, with everything that it computes."""

    def __init__(self, network: ArNet) -> None:
        super().__init__()
        self.policy = network.policy

    def forward(self, frame: Tensor) -> Tensor:
        """Shape: [1, 3, S, S] -> [1, A + K]."""
        features = self.policy.net(frame)
        _, actions, classes = self.policy.step(features, self.policy.start(len(frame)))
        return torch.cat((actions, classes), dim=1)


def cost_table(network: ArNet) -> CostTable:
    """Counted for the networks as they are, without computing anything."""
    actions = network.available
    backbones = [
        count_macs(backbone, (1, 3, size, size)) / _GIGA
        for backbone, size in zip(network.backbones, actions.sizes, strict=True)
    ]
    policy = count_macs(_Step(network), (1, 3, actions.policy_size, actions.policy_size)) / _GIGA
    return CostTable(tuple(backbones), policy)


@dataclass(frozen=True)
class Spent:
    """What one answer took."""

    candidates: int
    """T, frames that could have been looked at."""
    consulted: int
    """Frames that the policy was asked about: these had to be decoded."""
    used: tuple[int, ...]
    """Frames answered by each backbone and, last, by the policy itself. Shape: [L + 1]."""
    decoded: int
    """Frames that came out of the decoder, those on the way to the wanted ones among them."""
    gmac: float
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Where the time went: decode, policy, and each backbone by its name."""
    total_seconds: float = 0.0
    """From opening the file to the answer, on the clock."""
    in_vain: int = 0
    """Frames that the policy's network saw ahead and a skip then dropped: they were decoded, and they cost."""

    @property
    def looks(self) -> int:
        """Frames that the policy's network saw."""
        return self.consulted + self.in_vain
