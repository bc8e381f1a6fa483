"""Attention of every token to its neighbourhood, in memory that grows with T · window and not with T²."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MASKED_KEY = -1e4
"""Added to the logits of padded keys, as in the official code: no weight beside a valid key, no NaN without any."""


def local_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, window: int, *, causal: bool = False
) -> Tensor:
    """Softmax attention of token i to the tokens j with \\|i − j\\| ≤ window // 2 (ActionFormer, section 3.2).

    The sequence is cut into blocks of queries; each block meets the keys of its own span and of one radius on either
    side. Any length works. ``window`` ≤ 1 means global attention.

    Args:
        query, key, value: [B, H, T, D]; H heads of width D.
        mask: [B, T], true where there is input. Padded queries give 0.
        window: tokens seen; even w acts as w + 1.
        causal: of these only those with j ≤ i.

    Shape:
        returns [B, H, T, D].

    Source: specification section 1.3, items 4 to 6.
    """
    radius = window // 2
    length = query.shape[2]
    if window <= 1 or length <= radius + 1:  # every token sees every other
        return _global(query, key, value, mask, causal)
    block = min(max(2 * radius, 16), length)
    count = -(-length // block)
    batch, heads, _, width = query.shape

    tail = count * block - length
    queries = F.pad(query, (0, 0, 0, tail)).view(batch, heads, count, block, width)
    keys, values = (_spans(tensor, radius, block, tail) for tensor in (key, value))  # [B, H, N, block + 2r, D]
    bias = _band_bias(mask, radius, block, count, query.dtype, causal)  # [B, N, block, block + 2r]

    # every block becomes an element of the batch: [B·N, H, …]
    queries, keys, values = (tensor.transpose(1, 2).flatten(0, 1) for tensor in (queries, keys, values))
    out = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias.flatten(0, 1).unsqueeze(1))
    out = out.view(batch, count, heads, block, width).transpose(1, 2).flatten(2, 3)  # [B, H, N·block, D]
    return out[:, :, :length] * mask[:, None, :, None]  # [B, H, T, D]


def _global(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, causal: bool) -> Tensor:
    bias = torch.zeros(mask.shape, dtype=query.dtype, device=query.device).masked_fill(~mask, MASKED_KEY)
    bias = bias[:, None, None, :]  # [B, 1, 1, T]
    if causal:
        length = mask.shape[1]
        later = torch.ones(length, length, dtype=torch.bool, device=query.device).triu(1)
        bias = bias.expand(-1, -1, length, -1).masked_fill(later, -torch.inf)
    out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    return out * mask[:, None, :, None]


def _spans(tensor: Tensor, radius: int, block: int, tail: int) -> Tensor:
    """What each block of queries may see: [B, H, T, D] → [B, H, N, block + 2·radius, D]."""
    padded = F.pad(tensor, (0, 0, radius, radius + tail))
    return padded.unfold(2, block + 2 * radius, block).transpose(-1, -2)


def _band_bias(mask: Tensor, radius: int, block: int, count: int, dtype: torch.dtype, causal: bool) -> Tensor:
    """[B, N, block, block + 2r]: 0 for a valid key in the window, −1e4 for a padded one, −inf outside."""
    batch, length = mask.shape
    device = mask.device
    queries = torch.arange(count * block, device=device).view(count, block, 1)
    span = torch.arange(block + 2 * radius, device=device) - radius
    keys = span + torch.arange(count, device=device).view(count, 1, 1) * block  # [N, 1, block + 2r]
    inside = (keys >= 0) & (keys < length)
    # Queries beyond the end are cut off later, but must see something: a row of −inf would make NaN gradients.
    seen = ((queries - keys).abs() <= radius) & (inside | (queries >= length))  # [N, block, block + 2r]
    if causal:
        seen &= keys <= queries
    valid = mask[:, keys.clamp(0, length - 1).flatten()].view(batch, *keys.shape)  # [B, N, 1, block + 2r]
    bias = torch.zeros(valid.shape, dtype=dtype, device=device).masked_fill(~valid, MASKED_KEY)
    return bias.masked_fill(~seen, -torch.inf)
