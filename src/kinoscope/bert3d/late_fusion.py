"""Late fusion of SlowFast: a BERT head for each pathway, their class tokens beside each other.

Source: sheet, section 4 (slow 8 × 512, fast 32 × 256, a classifier of 768).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..encoders.slowfast import FAST_STEPS, pathways
from .head import BertHead


class LateFusionHead(nn.Module):
    """Tokens of ``slowfast-50-late`` → the two class tokens.

    Args:
        slow: of N tokens.
        fast: of 4 N tokens.
    """

    slow: BertHead
    fast: BertHead

    def __init__(self, slow: BertHead, fast: BertHead) -> None:
        super().__init__()
        self.slow, self.fast = slow, fast
        self.width = slow.width + fast.width

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Shape: [B, N, Cs + 4 Cf] -> [B, Cs + Cf]."""
        slow, fast = pathways(tokens, self.slow.width)
        return torch.cat((self.slow(slow, mask), self.fast(fast, _each_step(mask))), dim=1)

    def attend(self, tokens: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As :meth:`forward`, with the attention of the slow pathway. Shape: -> [B, Cs + Cf], [B, L, H, S, S]."""
        slow, fast = pathways(tokens, self.slow.width)
        feature, weights = self.slow.attend(slow, mask)
        return torch.cat((feature, self.fast(fast, _each_step(mask))), dim=1), weights


def _each_step(mask: Tensor | None) -> Tensor | None:
    """The mask of the fast pathway. Shape: [B, N] -> [B, 4 N]."""
    return None if mask is None else mask.repeat_interleave(FAST_STEPS, dim=1)
