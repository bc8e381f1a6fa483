"""Which slots of the queue are positives of each row (specification, section 3, "Positive mining in the code").

Masks have the columns of the logits: 0 is the own key, c > 0 the queue's slot c − 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

EMPTY = -1
"""Source and label of a slot that was never filled: never a positive, still a negative."""


def same_as_row(ids: Tensor, queue_ids: Tensor) -> Tensor:
    """Which filled slots share a row's source (or label). Shape: [B], [K] -> [B, K], bool."""
    return (ids[:, None] == queue_ids) & (queue_ids != EMPTY)


def nearest(features: Tensor, queue: Tensor, eligible: Tensor, topk: int) -> Tensor:
    """The ``topk`` most similar eligible slots of each row, fewer where fewer are eligible.

    Of equally similar slots the lower one comes first. Shape: [B, D], [K, D], [B, K] -> [B, K], bool.
    """
    chosen = torch.zeros_like(eligible)
    if topk == 0:
        return chosen
    with torch.autocast(features.device.type, enabled=False):
        similarity = features.float() @ queue.float().T if features.dtype != torch.float64 else features @ queue.T
    similarity = similarity.masked_fill(~eligible, -torch.inf)  # [B, K]
    order = similarity.argsort(dim=1, descending=True, stable=True)[:, :topk]  # [B, k]
    return chosen.scatter(1, order, True) & eligible


def positive_mask(same: Tensor, mined: Tensor) -> Tensor:
    """Own key, slots of the same source, mined slots. Shape: [B, K] twice -> [B, 1 + K], bool."""
    own = torch.ones_like(same[:, :1])
    return torch.cat((own, same | mined), dim=1)


def mine(
    other: Tensor,
    other_queue: Tensor,
    sources: Tensor,
    queue_sources: Tensor,
    topk: int,
    *,
    own: Tensor | None = None,
    own_queue: Tensor | None = None,
) -> Tensor:
    """Positives of CoCLR: the own key, slots of the same source, and the nearest of the others in the OTHER stream.

    Nothing is mined before every slot is filled. Slots of the same source are left out of the search, and stay
    positives. ``topk`` larger than the number of eligible slots takes them all.

    Args:
        other: the other stream's features of the rows' key views, unit vectors. Shape: [B, D].
        other_queue: those of the slots. Shape: [K, D].
        own, own_queue: the trained stream's keys and queue; if given, a slot counts as mined only if it is among the
            nearest in both streams (mutual neighbours; MVCGC).

    Shape:
        -> [B, 1 + K], bool.
    """
    same = same_as_row(sources, queue_sources)
    if (queue_sources == EMPTY).any():
        return positive_mask(same, torch.zeros_like(same))
    mined = nearest(other, other_queue, ~same, topk)
    if own is not None and own_queue is not None:
        mined &= nearest(own, own_queue, ~same, topk)
    return positive_mask(same, mined)


def drop_self(positives: Tensor) -> Tensor:
    """``positives`` without the own key, in every row that has another positive. Shape: [B, 1 + K] -> the same."""
    dropped = positives.clone()
    dropped[:, 0] &= ~positives[:, 1:].any(dim=1)
    return dropped
