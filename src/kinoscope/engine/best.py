"""The best weights so far, kept beside those that go on learning."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn


class BestWeights(nn.Module):
    """A copy of a network at its best validation. As one of a task's networks it is in every checkpoint.

    Args:
        network: whose weights are kept; the copy does not learn.
        figures: how many numbers make a score.
    """

    score: Tensor

    def __init__(self, network: nn.Module, figures: int = 1) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.register_buffer("score", torch.full((figures,), -torch.inf))

    @torch.no_grad()
    def keep(self, network: nn.Module, *score: float) -> bool:
        """Copy ``network`` if it is at least as good, and tell whether it was; what is NaN or infinite is not.

        Args:
            score: more is better; of equal first numbers the second ones decide, and so on.
        """
        exact = torch.tensor(score, dtype=self.score.dtype)  # as it is kept, so that equal scores are equal
        if not all(map(math.isfinite, score)) or exact.tolist() < self.score.tolist():
            return False
        self.score.copy_(exact)
        for kept, value in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            kept.copy_(value)
        return True
