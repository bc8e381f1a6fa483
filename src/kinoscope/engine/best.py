"""The best weights so far, kept beside those that go on learning."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class BestWeights(nn.Module):
    """A copy of a network at its best validation. As one of a task's networks it is in every checkpoint.

    Args:
        network: whose weights are kept; the copy does not learn.
    """

    score: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.register_buffer("score", torch.tensor(-torch.inf))

    @torch.no_grad()
    def keep(self, network: nn.Module, score: float) -> bool:
        """Copy ``network`` if it is at least as good, and tell whether it was."""
        if score < float(self.score):
            return False
        self.score.fill_(score)
        for kept, value in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            kept.copy_(value)
        return True
