"""A long video through the head piece by piece: memory stays bounded, and the result is that of a single pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .network import ActionFormer, Levels

_ROWS = 4096


def can_be_cut(network: ActionFormer) -> bool:
    """Whether outputs depend on a limited neighbourhood: local attention, no padding that leaks in, no place told."""
    options = network.options
    return options.mask_clean and min(options.windows) > 1 and not options.position_code


def in_pieces(network: ActionFormer, values: NDArray[Any], rows: int = _ROWS) -> Levels:
    """The head's output for one video, computed from ``rows`` rows at a time and what these depend on.

    Shape:
        values [T, C], any numbers → per level (class logits [1, T_l, K], offsets [1, T_l, 2]).
    """
    head, device = network.options, next(network.parameters()).device
    coarsest = head.strides[-1]  # cuts at its multiples fall between the same points at every level
    rows, margin = (-(-count // coarsest) * coarsest for count in (rows, head.reach))
    pieces = []
    for begin in range(0, len(values), rows):
        end = min(begin + rows, len(values))
        left, right = max(begin - margin, 0), min(end + margin, len(values))
        piece = torch.from_numpy(np.array(values[left:right], dtype=np.float32))[None].to(device)  # [1, T', C]
        outputs = network(piece, torch.ones(piece.shape[:2], dtype=torch.bool, device=device))
        inside = [slice((begin - left) // stride, -(-(end - left) // stride)) for stride in head.strides]
        pieces.append([(a[:, own].cpu(), b[:, own].cpu()) for (a, b), own in zip(outputs, inside, strict=True)])
    levels = zip(*pieces, strict=True)
    return [(torch.cat([a for a, _ in level], dim=1), torch.cat([b for _, b in level], dim=1)) for level in levels]
