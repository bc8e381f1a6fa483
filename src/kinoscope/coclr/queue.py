"""The memory queue: unit vectors of past keys, in both streams, and where they came from (specification, section 4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import OptionError
from .mining import EMPTY


class MemoryQueue(nn.Module):
    """First in, first out. All of its state are buffers, so that it lies in the checkpoint; it has no parameters.

    It begins with random unit vectors (from torch's generator), pointer 0 and every slot marked empty. A batch need
    not divide ``slots``: it wraps around, and of a batch larger than the queue the last rows stay.

    Args:
        slots: K.
        dim: D, channels of the trained stream's keys.
        other_dim: channels of the other stream's features; 0 keeps none.
    """

    def __init__(self, slots: int, dim: int, other_dim: int = 0) -> None:
        super().__init__()
        if slots < 1:
            raise OptionError(f"the queue has {slots} slots, but needs at least 1")
        self.register_buffer("keys", F.normalize(torch.randn(slots, dim), dim=1))
        self.register_buffer("others", F.normalize(torch.randn(slots, other_dim), dim=1))
        self.register_buffer("sources", torch.full((slots,), EMPTY))
        self.register_buffer("labels", torch.full((slots,), EMPTY))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))

    keys: Tensor
    """Shape: [K, D]."""
    others: Tensor
    """Shape: [K, D']."""
    sources: Tensor
    """Shape: [K]."""
    labels: Tensor
    """Shape: [K]."""
    pointer: Tensor

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def filled(self) -> int:
        """How many slots hold a key."""
        return int((self.sources != EMPTY).sum())

    @property
    def full(self) -> bool:
        """Whether every slot holds a key: mining waits for it."""
        return self.filled == len(self)

    @torch.no_grad()
    def enqueue(
        self, keys: Tensor, sources: Tensor, *, others: Tensor | None = None, labels: Tensor | None = None
    ) -> None:
        """Put a batch in, over the oldest slots. Shape: [B, D], [B], [B, D'], [B]."""
        count = len(keys)
        kept = min(count, len(self))
        slots = (self.pointer + torch.arange(count - kept, count, device=self.keys.device)) % len(self)  # [kept]
        self.keys[slots] = keys[count - kept :].to(self.keys.dtype)
        self.sources[slots] = sources[count - kept :]
        self.labels[slots] = EMPTY if labels is None else labels[count - kept :]
        if others is not None:
            self.others[slots] = others[count - kept :].to(self.others.dtype)
        self.pointer.copy_((self.pointer + count) % len(self))
