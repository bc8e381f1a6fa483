"""Rows of a batch from all processes, in one order; without processes: the rows as they are."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def gather(rows: Tensor) -> Tensor:
    """Rows of the whole batch, in the order that it had before it was shared out. Shape: [B, …] -> [W · B, …].

    The loop gives process r the rows r, r + W, r + 2W, … of a batch, so process by process they come back in turn.
    No gradient flows through; every process gets the same.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return rows.detach()
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.detach().contiguous())
    return torch.stack(parts, dim=1).flatten(0, 1)  # W × [B, …] -> [B · W, …], in turns


def align(rows: Tensor, indices: Tensor, wanted: Tensor) -> Tensor:
    """``rows`` in the order of ``wanted``, where row i is about sample ``indices[i]``; each sample occurs once.

    Shape: [B, …], [B], [B] -> [B, …].
    """
    return rows[indices.argsort()][wanted.argsort().argsort()]
