"""The three losses over one own key and a queue of others (specification, section 3).

A row of logits is [q·k, q·u_1, …, q·u_K] / T: column 0 is the own key, column c > 0 the queue's slot c − 1. Losses are
computed in float32 (or float64 where given), under autocast too, and from differences of logsumexp: nothing underflows,
however far the logits are apart.
"""

from __future__ import annotations

import torch
from torch import Tensor


def similarity_logits(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Logits of unit vectors. Shape: query and key [B, D], queue [K, D] -> [B, 1 + K]."""
    with torch.autocast(query.device.type, enabled=False):
        query, key, queue = _wide(query), _wide(key), _wide(queue)
        own = (query * key).sum(dim=1, keepdim=True)  # [B, 1]
        return torch.cat((own, query @ queue.T), dim=1) / temperature  # [B, 1 + K]


def info_nce(logits: Tensor) -> Tensor:
    """−log softmax of column 0. Shape: [B, 1 + K] -> [B]."""
    own = torch.zeros_like(logits, dtype=torch.bool)
    own[:, 0] = True
    return multi_instance_nce(logits, own)


def multi_instance_nce(logits: Tensor, positives: Tensor) -> Tensor:
    """−log( Σ_positives exp l / Σ_all exp l ): satisfied by one close positive (CoCLR, equation 2).

    With a = logsumexp over the negatives minus logsumexp over the positives this is log(1 + eᵃ), which is never
    negative and keeps its precision near 0. Rows without negatives cost exactly 0.

    Args:
        positives: at least one per row. Shape: [B, 1 + K], bool.

    Shape:
        [B, 1 + K] -> [B].
    """
    logits, positives = _wide(logits), positives.bool()
    lowest = torch.finfo(logits.dtype).min / 2  # not −inf: its logsumexp has no gradient where all of a row is masked
    inside = logits.masked_fill(~positives, lowest).logsumexp(dim=1)  # [B]
    outside = logits.masked_fill(positives, lowest).logsumexp(dim=1)  # [B]
    return torch.logaddexp(outside - inside, torch.zeros_like(inside))


def uber_nce(logits: Tensor, positives: Tensor) -> Tensor:
    """Mean over the positives of −log softmax: every positive is to be close (the official code's UberNCE).

    Shape: [B, 1 + K] twice -> [B].
    """
    logits, positives = _wide(logits), positives.bool()
    mean = logits.masked_fill(~positives, 0).sum(dim=1) / positives.sum(dim=1)  # [B]
    return logits.logsumexp(dim=1) - mean


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
